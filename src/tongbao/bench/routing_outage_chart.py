"""The picture of the routing drill as SVG text: approvals, share by channel and waiting over time, outages shaded.

Pure. Colors are the picture's own and follow the reader's light or dark setting.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from tongbao.bench.routing_outage_measures import Second, Switch

WIDTH, HEIGHT = 960, 590
LEFT, RIGHT = 64.0, 940.0
PANEL_HEIGHT = 130.0
PANEL_TOPS = (70.0, 240.0, 410.0)
LEGEND_Y = 40
LEGEND_STEP = 150
COLORS = ("#3f83c9", "#e08e37", "#4da56e", "#b070b8", "#c9605c", "#7a869a")
LATENCY_MS_MIN, LATENCY_MS_MAX = 10.0, 20_000.0
TICKS_S = (5, 10, 15, 20, 30, 60, 120, 300, 600)
TICK_COUNT_MAX = 10
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #27313a; }
.title { font-weight: 600; } .small { font-size: 12px; }
.ground { fill: #ffffff; } .grid { stroke: #c9d1d8; stroke-width: 1; fill: none; }
.out { fill: #d64545; fill-opacity: .13; } .line { fill: none; stroke: #1f6f5c; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #dbe3e8; } .ground { fill: #14191d; } .grid { stroke: #3a444c; }
  .out { fill: #ff7b7b; fill-opacity: .2; } .line { stroke: #62d0b0; }
}
"""
Scale = Callable[[float], float]


def chart(seconds: Sequence[Second], outages: Sequence[Switch], channels: Sequence[str]) -> str:
    """Return the picture. ``seconds`` in order and not empty; ``channels`` in the order of their layers, from below."""
    until_s = seconds[-1].at_s + 1
    across = _across(until_s)
    colors = {name: COLORS[number % len(COLORS)] for number, name in enumerate(channels)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(_summary(outages))}">',
        f'<style>{_STYLE}</style><rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        *_legend(colors),
        *(_outage(each, across) for each in outages),
        *_approvals(seconds, across),
        *_shares(seconds, across, colors),
        *_latency(seconds, across),
        *_time_axis(until_s, across),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _across(until_s: int) -> Scale:
    return lambda at_s: round(LEFT + (RIGHT - LEFT) * at_s / until_s, 1)


def _down(panel: int, share: float) -> float:
    """Return the height of a share of a panel, 0 at its foot and 1 at its head."""
    return round(PANEL_TOPS[panel] + PANEL_HEIGHT * (1 - min(max(share, 0.0), 1.0)), 1)


def _summary(outages: Sequence[Switch]) -> str:
    told = [f"{each.channel} {each.kind} from {each.from_s:.0f} to {each.until_s:.0f} s" for each in outages]
    return f"Approvals, share by channel and 95th percentile of waiting by second; {', '.join(told)}"


def _legend(colors: dict[str, str]) -> list[str]:
    parts = []
    for number, (name, color) in enumerate(colors.items()):
        x = LEFT + number * LEGEND_STEP
        parts.append(f'<rect x="{x:g}" y="{LEGEND_Y - 11}" width="12" height="12" rx="2" fill="{color}"/>')
        parts.append(f'<text x="{x + 18:g}" y="{LEGEND_Y}">{escape(name)}</text>')
    return parts


def _outage(outage: Switch, across: Scale) -> str:
    """Return the shade of an outage over all panels, with what it was above it."""
    x, width = across(outage.from_s), across(outage.until_s) - across(outage.from_s)
    top, height = PANEL_TOPS[0], PANEL_TOPS[-1] + PANEL_HEIGHT - PANEL_TOPS[0]
    return (
        f'<rect class="out" x="{x:g}" y="{top:g}" width="{width:.1f}" height="{height:g}"/>'
        f'<text class="small" x="{x:g}" y="18">{escape(outage.channel)} {escape(outage.kind)}</text>'
    )


def _frame(panel: int, title: str, marks: Sequence[tuple[float, str]]) -> list[str]:
    """Return the title of a panel and its grid, with a text at each line."""
    parts = [f'<text class="title" x="{LEFT:g}" y="{PANEL_TOPS[panel] - 8:g}">{escape(title)}</text>']
    for share, text in marks:
        y = _down(panel, share)
        parts.append(f'<path class="grid" d="M{LEFT:g} {y:g}H{RIGHT:g}"/>')
        parts.append(
            f'<text class="small" x="{LEFT - 8:g}" y="{y + 4:g}" text-anchor="end">{escape(text)}</text>'
        )
    return parts


def _approvals(seconds: Sequence[Second], across: Scale) -> list[str]:
    points = [(each.at_s + 0.5, each.approved / each.payments) for each in seconds if each.payments]
    marks = [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")]
    frame = _frame(0, "Payments approved in the answer to their request", marks)
    return [*frame, _line(0, points, across)]


def _latency(seconds: Sequence[Second], across: Scale) -> list[str]:
    points = [(each.at_s + 0.5, _log_share(each.p95_ms)) for each in seconds]
    marks = [
        (_log_share(ms), text)
        for ms, text in ((10, "10 ms"), (100, "100 ms"), (1_000, "1 s"), (10_000, "10 s"))
    ]
    return [*_frame(2, "95th percentile of a request, logarithmic", marks), _line(2, points, across)]


def _log_share(ms: float) -> float:
    bounded = min(max(ms, LATENCY_MS_MIN), LATENCY_MS_MAX)
    return math.log(bounded / LATENCY_MS_MIN) / math.log(LATENCY_MS_MAX / LATENCY_MS_MIN)


def _line(panel: int, points: Sequence[tuple[float, float]], across: Scale) -> str:
    path = "L".join(f"{across(at_s):g} {_down(panel, share):g}" for at_s, share in points)
    return f'<path class="line" d="M{path}"/>'


def _shares(seconds: Sequence[Second], across: Scale, colors: dict[str, str]) -> list[str]:
    """Return one layer for each channel, stacked; a second is a step, one without decisions a gap."""
    routed = [each for each in seconds if each.shares]
    layers = {name: [""] for name in colors}
    for each in routed:
        left, right = across(each.at_s), across(each.at_s + 1)
        reached = [0.0]
        for name in colors:
            reached.append(reached[-1] + each.shares.get(name, 0.0))
        for name, (low, high) in zip(colors, pairwise(reached), strict=True):
            if high > low:
                top, foot = _down(1, high), _down(1, low)
                layers[name].append(f"M{left:g} {foot:g}V{top:g}H{right:g}V{foot:g}Z")
    frame = _frame(1, "Share of what was sent, by channel", [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")])
    return [
        *frame,
        *(f'<path fill="{colors[name]}" d="{"".join(steps)}"/>' for name, steps in layers.items()),
    ]


def _time_axis(until_s: int, across: Scale) -> list[str]:
    step = next((each for each in TICKS_S if until_s / each <= TICK_COUNT_MAX), TICKS_S[-1])
    y = PANEL_TOPS[-1] + PANEL_HEIGHT + 20
    return [
        f'<text class="small" x="{across(at_s):g}" y="{y:g}" text-anchor="middle">{at_s} s</text>'
        for at_s in range(0, until_s + 1, step)
    ]
