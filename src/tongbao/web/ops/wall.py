"""``/ops/wall``: four scenes for a screen on a wall: money in now, rails, risk, settlement. ``?kiosk`` leaves everything else away.

Each scene has one number. A script rotates them; without one the page leads itself on to the next scene.
"""

from typing import NamedTuple

from fastapi import Response

from tongbao.parties.schema import OperatorPermission
from tongbao.web.ops import alerts, today
from tongbao.web.ops.board_view import CLOSED, OPEN
from tongbao.web.ops.health_reading import Reading
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown, texts
from tongbao.web.signing import frames
from tongbao.web.ui.kit import Kit
from tongbao.web.wording import Say

SCENES = ("money", "rails", "risk", "settlement")
SCENE_S = 12
RAILS_SHOWN = 10
ALERTS_SHOWN = 3


class Rail(NamedTuple):
    """A channel of a method: its state as (word, tone), its approval of the last day."""

    method: str
    channel: str
    state: str
    tone: str
    approval: str


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get("/ops/wall", _page, OperatorPermission.OPERATIONS_READ, moded=True)


async def _page(desk: Desk) -> Response:
    reading = await desk.floor.readings.read(desk.live)
    shown = part(reading, desk.language)
    if "kiosk" not in desk.request.query_params:
        return desk.page(Shown("wall.html", "wall", {"part": shown}))
    scene = desk.chosen("scene", SCENES, SCENES[0])
    following = SCENES[(SCENES.index(scene) + 1) % len(SCENES)]
    context = {
        "t": desk.t,
        "ui": desk.ui,
        "part": shown,
        "scene": scene,
        "seconds": SCENE_S,
        "mode_shown": desk.mode,
        "next_href": desk.to("/ops/wall", kiosk="1", scene=following),
    }
    return frames.plain(desk.request, frames.Page("ops/wall_kiosk.html", "wall", context))


def part(reading: Reading, language: str) -> dict[str, object]:
    """Return what the scenes show."""
    ui, t = Kit(language, reading.at), texts(language)
    flows = today.flows(reading.money, reading.at)
    rate = today.approval(reading.money, reading.at)
    first = flows[0] if flows else None
    rails = _rails(reading, ui, t)
    shown = alerts.views(reading, language)
    old = sum(sum(each.counts[2:]) for each in reading.breaks)
    return {
        "t": t,
        "ui": ui,
        "at": reading.at,
        "money": ui.money(first.per_minute_minor, first.currency) if first else "—",
        "hour": ui.money(sum(first.minor), first.currency) if first else "—",
        "approval": "—" if rate.now is None else ui.percent(rate.now),
        "judged": ui.count(rate.judged_count),
        "unresolved": ui.count(reading.waiting.count),
        "rails": rails[:RAILS_SHOWN],
        "rails_well": ui.count(sum(each.tone == "ok" for each in rails)),
        "rails_all": ui.count(len(rails)),
        "cases": ui.count(reading.cases.waiting_count),
        "overdue": ui.count(reading.cases.overdue_count),
        "is_overdue": bool(reading.cases.overdue_count),
        "drift": ui.count(len(reading.drift)),
        "alerts": shown[:ALERTS_SHOWN],
        "breaks": ui.count(sum(sum(each.counts) for each in reading.breaks)),
        "breaks_old": ui.count(old),
        "are_old": bool(old),
        "unsealed": ui.count(reading.unsealed.count),
        "hooks": ui.count(reading.hooks.dead_count),
    }


def _rails(reading: Reading, ui: Kit, t: Say) -> list[Rail]:
    """Return the rails, those in trouble first."""
    found = []
    for group in reading.board.methods:
        for row in group.rows:
            key, tone = (
                ("b_closed", "ok")
                if row.state == CLOSED
                else ("b_open", "error")
                if row.state == OPEN
                else ("b_half_open", "warn")
            )
            rate = "—" if row.approval is None else ui.percent(row.approval.value)
            method = str(t(f"m_{group.method}")) if group.method in _METHODS else group.method
            found.append(Rail(method, row.channel, str(t(key)), tone, rate))
    return sorted(found, key=lambda each: (each.tone == "ok", each.tone != "error"))


_METHODS = frozenset({"card", "alipay", "wechat_pay", "wallet"})
