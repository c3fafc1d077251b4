"""``/ops/health``: whether the house can serve, and how its machinery does; every cause in words."""

from datetime import timedelta

from fastapi import Response
from markupsafe import Markup

from tongbao.parties.schema import OperatorPermission
from tongbao.web.ops import alerts
from tongbao.web.ops.alerts_policy import SEALING_LATE, is_behind
from tongbao.web.ops.health_reading import Reading
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown, known_text, texts
from tongbao.web.ui.kit import Kit
from tongbao.web.wording import Say

MEGABYTE = 1_000_000


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get("/ops/health", _page, OperatorPermission.OPERATIONS_READ, moded=True)


async def _page(desk: Desk) -> Response:
    reading = await desk.floor.readings.read(desk.live)
    return desk.page(Shown("health.html", "health", {"part": part(reading, desk.language)}))


def part(reading: Reading, language: str) -> dict[str, object]:
    """Return what the live part of the page shows."""
    ui = Kit(language, reading.at)
    t = texts(language)
    now = reading.at
    behind = [each for each in reading.vitals.consumers if is_behind(each, now)]
    lag = sum(each.lag for each in reading.vitals.consumers)
    failing = [each for each in reading.workers if each.failed_count]
    oldest = reading.unsealed.oldest_at
    is_late = oldest is not None and now - oldest > SEALING_LATE
    return {
        "t": t,
        "ui": ui,
        "alerts": alerts.views(reading, language),
        "ready": not reading.findings,
        "causes": [_cause(t, each) for each in reading.findings],
        "kpis": [
            (t("h_lag"), ui.count(lag), t("h_lag_note", n=len(behind)), "error" if behind else "ok"),
            (
                t("h_seal"),
                _span(now - oldest, t) if oldest else t("h_seal_none"),
                t("h_seal_note", n=ui.count(reading.unsealed.count)),
                "warn" if is_late else "ok",
            ),
            (
                t("h_db"),
                _bytes(reading.vitals.database.size_bytes, ui),
                t("h_db_note", n=reading.vitals.database.session_count),
                "",
            ),
            (t("h_streams"), ui.count(reading.stream_count), t("h_streams_note"), ""),
        ],
        "workers": [
            (
                _named(t, "worker", each.name),
                t("h_every", s=_every(each.every_s, t)),
                (t("h_failed", n=ui.count(each.failed_count)), "warn")
                if each.failed_count
                else (t("h_well"), "ok"),
            )
            for each in sorted(reading.workers, key=lambda each: (not each.failed_count, each.name))
        ],
        "failing": len(failing),
        "consumers": [
            (
                _named(t, "consumer", each.name),
                ui.count(each.lag),
                each.moved_at,
                ui.count(each.dead_count) if each.dead_count else "—",
                (t("h_behind"), "error")
                if is_behind(each, now)
                else (t("h_dead"), "error")
                if each.dead_count
                else (t("h_well"), "ok"),
            )
            for each in reading.vitals.consumers
        ],
        "queues": [
            (t("h_q_unresolved"), ui.count(reading.waiting.count), reading.waiting.oldest_at),
            (t("h_q_hooks"), ui.count(reading.hooks.pending_count), None),
            (t("h_q_dead"), ui.count(reading.hooks.dead_count), reading.hooks.oldest_dead_at),
            (t("h_q_cases"), ui.count(reading.cases.waiting_count), reading.cases.oldest_due_at),
            (t("h_q_unsealed"), ui.count(reading.unsealed.count), oldest),
        ],
        "oldest_s": reading.vitals.database.oldest_s,
        "relay_at": reading.vitals.relay_moved_at,
        "sealer_at": reading.unsealed.moved_at,
    }


def _named(t: Say, kind: str, name: str) -> str | Markup:
    """Return what a part of the program is called: in words where there are some, otherwise by its own name."""
    key = f"{kind}_{name.replace('-', '_').replace('.', '_')}"
    return Markup('{}<br><code class="mono mut">{}</code>').format(t(key), name) if known_text(key) else name


def _cause(t: Say, finding: str) -> Markup:
    what, _, where = finding.partition(" ")
    return t("al_unbalanced", what=what, where=where)


def _every(seconds: float, t: Say) -> str:
    if seconds < 60:
        return str(t("n_seconds", n=f"{seconds:g}"))
    return _span(timedelta(seconds=seconds), t)


def _span(length: timedelta, t: Say) -> str:
    """Return a length of time in its largest whole unit."""
    seconds = max(0, round(length.total_seconds()))
    for size, key in ((86_400, "n_days"), (3_600, "n_hours"), (60, "n_minutes")):
        if seconds >= size:
            return str(t(key, n=seconds // size))
    return str(t("n_seconds", n=seconds))


def _bytes(size: int, ui: Kit) -> str:
    """Return a size in megabytes or gigabytes."""
    if size >= 1_000 * MEGABYTE:
        return f"{size / 1_000 / MEGABYTE:.1f} GB"
    return f"{ui.count(round(size / MEGABYTE))} MB"
