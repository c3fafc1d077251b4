"""``/ops/live``: the live parts of today, health and the wall, each rendered once for all who watch it."""

from collections.abc import Callable, Mapping

from fastapi import Response

from tongbao.parties.schema import OperatorPermission
from tongbao.web import pages as templates
from tongbao.web.ops import health, today, wall
from tongbao.web.ops.health_reading import Reading
from tongbao.web.ops.rendering_desk import Desk, Floor, Pages
from tongbao.web.ui import stream
from tongbao.web.ui.live import Channel

PERIOD_S = 2.0
Part = Callable[[Reading, str], Mapping[str, object]]
PARTS: Mapping[str, tuple[str, Part]] = {
    "today": ("ops/_today.html", today.part),
    "health": ("ops/_health.html", health.part),
    "wall": ("ops/_wall.html", wall.part),
}


def add(pages: Pages) -> None:
    """Add the stream."""
    pages.get("/ops/live", _stream, OperatorPermission.OPERATIONS_READ, moded=True)


async def _stream(desk: Desk) -> Response:
    known = {name: _channel(desk.floor, name, live=desk.live) for name in PARTS}
    names = {channel.name: name for name, channel in known.items()}
    return stream.answer(desk.request, desk.floor.hub, stream.wanted(desk.request, known), names)


def _channel(floor: Floor, name: str, *, live: bool) -> Channel:
    template, part = PARTS[name]

    async def render(language: str) -> str:
        reading = await floor.readings.read(live)
        shown = part(reading, language)
        return templates.part(
            language, template, {"part": shown, "ui": shown["ui"], "t": shown["t"], "only": ""}
        )

    return Channel(f"ops-{name}:{'live' if live else 'test'}", render, PERIOD_S)
