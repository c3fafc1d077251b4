"""A Pareto front of tiers as an SVG: what fraud and friction cost against how many payments are bothered. Pure text.

Takes its ink from ``currentColor`` and its accent from the style sheet's ``--primary``, ``--border`` and ``--muted`` with
fallbacks that carry on white and on black, so that it reads in light and dark without a style of its own. The policy
of today is a ring of another form, not only of another color. Read aloud by its title and description.
"""

import math
from collections.abc import Sequence
from html import escape

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.report_words import column
from tongbao.risk.policy.prices import POINTS_MAX, Point

WIDTH = 720
HEIGHT = 360
LEFT, RIGHT, TOP, BOTTOM = 76, 700, 36, 306
TICKS_MAX = 5
_ACCENT = "var(--primary, #1f8a8c)"
_RULE = "var(--border, #8a9796)"
_QUIET = "var(--muted, currentColor)"

_TITLE = ("What friction buys", "打扰换来什么")
_ACROSS = ("Payments stepped up or reviewed, %", "被加强验证或人工审核的付款，%")
_UP = ("Cost of fraud and friction a payment", "每笔付款的欺诈与打扰成本")
_TODAY = ("policy of today", "当前策略")
_PRICED = ("with these prices", "采用新影子价格")
_POINT = (
    "{share} bothered (step-up {step_up}, review {review}, decline {decline}): cost {cost}",
    "打扰 {share}（验证 {step_up}，审核 {review}，拒绝 {decline}）：成本 {cost}",
)
_DESCRIPTION = (
    "{count} trade-offs. From {first} to {last}. {today}",
    "{count} 个权衡点。从 {first} 到 {last}。{today}",
)


def pareto_chart(
    points: Sequence[Point],
    language: str,
    today: Point | None = None,
    name: str = "front",
    priced: Point | None = None,
) -> str:
    """Return the SVG of a front (``prices.front``); costs in major units.

    ``today`` is where the policy stands, a ring; ``priced`` where it would stand with other prices, a square.
    ``name`` makes its ids unique in a page: letters, digits and dashes. Raises InvalidRequest ``language_unknown``,
    ``front_invalid`` for no points, more than ``POINTS_MAX`` or another name.
    """
    at = column(language)
    if not 0 < len(points) <= POINTS_MAX or not name.replace("-", "").isalnum():
        raise InvalidRequest("front_invalid", f"a front has 1 to {POINTS_MAX} points and a name of letters")
    shown = [*points, *(each for each in (today, priced) if each is not None)]
    across = _Scale([100 * each.bothered_share for each in shown], LEFT, RIGHT)
    up = _Scale([each.cost / 100 for each in shown], BOTTOM, TOP)
    places = [_place(each, across, up) for each in points]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="front" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" font-family="inherit" font-size="14" fill="currentColor">',
        f'<title id="{name}-title">{escape(_TITLE[at])}</title>',
        f'<desc id="{name}-desc">{escape(_description(points, (today, priced), at))}</desc>',
        _axes(across, up, at),
        f'<path d="{line}" fill="none" stroke="{_ACCENT}" stroke-width="2"/>',
        *(_dot(each, place, at) for each, place in zip(points, places, strict=True)),
    ]
    if today is not None:
        parts.append(_ring(today, _place(today, across, up), at))
    if priced is not None:
        parts.append(_square(priced, _place(priced, across, up), at))
    return "".join([*parts, "</svg>"])


class _Scale:
    """Values from zero on to places, with round ticks."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self.high = max(*values, 0.0) * 1.05 or 1.0
        self._first, self._last = first, last

    def place(self, value: float) -> float:
        """Return the place of a value."""
        return self._first + value / self.high * (self._last - self._first)

    def ticks(self) -> list[tuple[float, str]]:
        """Return at most ``TICKS_MAX`` + 1 round values and how they are written."""
        rough = self.high / TICKS_MAX
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
        digits = max(0, -math.floor(math.log10(step)))
        return [(step * k, f"{step * k:.{digits}f}") for k in range(math.floor(self.high / step) + 1)]


def _place(point: Point, across: _Scale, up: _Scale) -> tuple[float, float]:
    return across.place(100 * point.bothered_share), up.place(point.cost / 100)


def _said(point: Point, at: int) -> str:
    return _POINT[at].format(
        share=_percent(point.bothered_share),
        step_up=_percent(point.step_up_share),
        review=_percent(point.review_share),
        decline=_percent(point.decline_share),
        cost=f"{point.cost / 100:.3f}",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _description(points: Sequence[Point], marked: tuple[Point | None, Point | None], at: int) -> str:
    names = (_TODAY[at], _PRICED[at])
    said = [
        f"{name}: {_said(each, at)}" for name, each in zip(names, marked, strict=True) if each is not None
    ]
    first, last = _said(points[0], at), _said(points[-1], at)
    return _DESCRIPTION[at].format(count=len(points), first=first, last=last, today=". ".join(said)).strip()


def _axes(across: _Scale, up: _Scale, at: int) -> str:
    parts = []
    for value, label in up.ticks():
        y = up.place(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{_RULE}" stroke-width="1" opacity="0.5"/>')
        parts.append(_text(LEFT - 8, y + 4, label, anchor="end"))
    for value, label in across.ticks():
        x = across.place(value)
        parts.append(f'<path d="M{x:.1f} {BOTTOM}v5" stroke="{_RULE}" stroke-width="1"/>')
        parts.append(_text(x, BOTTOM + 20, label, anchor="middle"))
    parts.append(_text(RIGHT, BOTTOM + 42, _ACROSS[at], anchor="end"))
    parts.append(_text(LEFT, TOP - 16, _UP[at], anchor="start"))
    return "".join(parts)


def _dot(point: Point, place: tuple[float, float], at: int) -> str:
    x, y = place
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_ACCENT}"><title>{escape(_said(point, at))}</title></circle>'


def _ring(point: Point, place: tuple[float, float], at: int) -> str:
    """Return the mark of today's policy."""
    x, y = place
    shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="currentColor" stroke-width="2">'
    return f"{shape}<title>{escape(_said(point, at))}</title></circle>{_named(place, _TODAY[at], -10)}"


def _square(point: Point, place: tuple[float, float], at: int) -> str:
    """Return the mark of the policy with other prices; its name stands below, where today's stands above."""
    x, y = place
    shape = (
        f'<rect x="{x - 7:.1f}" y="{y - 7:.1f}" width="14" height="14" fill="none" stroke="currentColor" '
        f'stroke-width="2">'
    )
    return f"{shape}<title>{escape(_said(point, at))}</title></rect>{_named(place, _PRICED[at], 22)}"


def _named(place: tuple[float, float], name: str, lift: float) -> str:
    """Return the name of a mark, on the side where there is room."""
    x, y = place
    is_right = x > (LEFT + RIGHT) / 2
    anchor = "end" if is_right else "start"
    return _text(x - 14 if is_right else x + 14, y + lift, name, anchor=anchor, fill="currentColor")


def _text(x: float, y: float, words: str, *, anchor: str, fill: str = _QUIET) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="12">{escape(words)}</text>'
