"""``/ops/alerts``: what is wrong now, since when, why, what to do; people say that they have seen it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fastapi import Response
from markupsafe import Markup

from tongbao.core.clock import EPOCH
from tongbao.core.errors import AppError
from tongbao.parties.schema import Acknowledgment, OperatorPermission
from tongbao.parties.service.acknowledgments import Acknowledgments
from tongbao.web.ops.alerts_policy import Alert, Severity, alerts
from tongbao.web.ops.health_reading import Reading
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown, known_text, text

KEY_CHARS_MAX = 200
NOTES_SHOWN = 10
TONES = {Severity.ERROR: "error", Severity.WARN: "warn"}


class AlertView(NamedTuple):
    """An alert in words; ``seen`` is the latest word that somebody said about it since it began."""

    key: str
    tone: str
    title: Markup
    why: Markup
    remedy: Markup
    since: datetime | None
    href: str
    seen: Acknowledgment | None


def add(pages: Pages) -> None:
    """Add the page and its act."""
    pages.get("/ops/alerts", _page, OperatorPermission.OPERATIONS_READ, moded=True)
    pages.post("/ops/alerts", _acknowledge, OperatorPermission.OPERATIONS_READ, moded=True)


def notes_of(desk: Desk) -> Acknowledgments:
    """Return what people said about alerts."""
    runtime = desk.house.runtime
    return Acknowledgments(runtime.database, runtime.clock)


def views(
    reading: Reading, language: str, said: Mapping[str, Sequence[Acknowledgment]] | None = None
) -> list[AlertView]:
    """Return the alerts of a reading in a language."""
    return [_view(each, language, (said or {}).get(each.key, ())) for each in alerts(reading)]


async def read(desk: Desk) -> list[AlertView]:
    """Return the alerts of now with what people said about each."""
    reading = await desk.floor.readings.read(desk.live)
    keys = [each.key for each in alerts(reading)]
    said: dict[str, list[Acknowledgment]] = {}
    if keys:
        for each in (await notes_of(desk).of(keys)).values():
            said.setdefault(each.alert, []).append(each)
    return views(reading, desk.language, said)


async def _page(desk: Desk) -> Response:
    return await _answer(desk)


async def _answer(desk: Desk, status: int = 200, wrong: str = "") -> Response:
    shown = await read(desk)
    context = {
        "alerts": shown,
        "wrong_key": wrong,
        "error_count": sum(each.tone == "error" for each in shown),
        "unseen_count": sum(each.seen is None for each in shown),
        "notes": (await notes_of(desk).latest())[:NOTES_SHOWN],
        "title_of": lambda key: _title(desk, key),
    }
    return desk.page(Shown("alerts.html", "alerts", context, status))


async def _acknowledge(desk: Desk) -> Response:
    fields = await desk.form()
    key = fields.get("alert", "")[:KEY_CHARS_MAX]
    standing = {each.key: each for each in alerts(await desk.floor.readings.read(desk.live))}
    if key not in standing:
        return desk.done("/ops/alerts", "alert_gone")
    try:
        since = standing[key].since or EPOCH.astimezone(UTC)
        await notes_of(desk).add(desk.visitor.operator, key, since, fields.get("reason", "").strip())
    except AppError as error:
        return await _answer(desk, desk.wrong(error), key)
    return desk.done("/ops/alerts", "alert_seen")


def _view(alert: Alert, language: str, said: Sequence[Acknowledgment]) -> AlertView:
    facts: dict[str, object] = dict(alert.facts)
    if "method" in facts:
        facts["method"] = (
            text(language, f"method_{facts['method']}") if facts["method"] in _METHODS else facts["method"]
        )
    if "name" in facts:
        facts["name"] = _part_name(alert.kind, str(facts["name"]), language)
    later = [each for each in said if alert.since is None or each.at >= alert.since]
    return AlertView(
        alert.key,
        TONES[alert.severity],
        text(language, f"al_{alert.kind}", **facts),
        text(language, f"al_{alert.kind}_why", **facts),
        text(language, f"al_{alert.kind}_do", **facts),
        alert.since,
        alert.href,
        max(later, key=lambda each: each.at, default=None),
    )


def _part_name(kind: str, name: str, language: str) -> str | Markup:
    """Return what a worker or a reader of facts is called; by its own name where it has no other."""
    key = f"{'worker' if kind == 'worker_failing' else 'consumer'}_{name.replace('.', '_').replace('-', '_')}"
    return text(language, key) if known_text(key) else name


def _title(desk: Desk, key: str) -> str:
    """Return what an alert of earlier is called: its kind in words, and its subject."""
    kind, _, subject = key.partition(":")
    known = desk.word(f"ak_{kind}", kind)
    return f"{known}: {subject}" if subject else str(known)


_METHODS = frozenset({"card", "wallet", "alipay", "wechat_pay"})
