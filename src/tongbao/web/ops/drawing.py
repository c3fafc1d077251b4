"""Small drawings of the ops console as SVG text: an interval on a scale, a course over time. Pure.

Colours come from the style sheet by class, so that the strictest content policy holds; every drawing says in its label
what it shows.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

SPAN_WIDTH = 120
SPAN_HEIGHT = 16
SHARE_WIDTH = 80
COURSE_WIDTH = 112
COURSE_HEIGHT = 28
PAD = 3


class Span(NamedTuple):
    """A number with its interval, ``low <= value <= high``."""

    value: float
    low: float
    high: float


def span(shown: Span, label: str) -> Markup:
    """Return a track from 0 to 1 with the interval as a band and the value as a mark."""
    low, value, high = (_place(each, (0.0, 1.0)) for each in (shown.low, shown.value, shown.high))
    return Markup(
        '<svg class="span" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<rect class="track" x="0" y="5" width="{w}" height="6" rx="3"/>'
        '<rect class="band" x="{x:g}" y="5" width="{band:g}" height="6" rx="2"/>'
        '<rect class="value" x="{at:g}" y="1" width="3" height="14" rx="1"/></svg>'
    ).format(
        w=SPAN_WIDTH,
        h=SPAN_HEIGHT,
        label=label,
        x=round(low, 1),
        band=round(max(high - low, 1.0), 1),
        at=round(min(max(value - 1.5, 0.0), SPAN_WIDTH - 3.0), 1),
    )


def loss(shown: Span, label: str, scale: tuple[float, float]) -> Markup:
    """Return a bar from zero to the value with the interval as a line over it."""
    zero, low, value, high = (_place(each, scale) for each in (0.0, shown.low, shown.value, shown.high))
    return Markup(
        '<svg class="span" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<path class="zero" d="M{zero:.1f} 0V{h}"/>'
        '<rect class="loss" x="{x:.1f}" y="4" width="{long:.1f}" height="8" rx="1"/>'
        '<path class="reach" d="M{low:.1f} 5v6M{low:.1f} 8H{high:.1f}M{high:.1f} 5v6"/></svg>'
    ).format(
        w=SPAN_WIDTH,
        h=SPAN_HEIGHT,
        label=label,
        zero=zero,
        x=min(zero, value),
        long=abs(value - zero),
        low=low,
        high=high,
    )


def share(part: float, label: str) -> Markup:
    """Return a bar that is filled as far as ``part`` of the whole, in [0, 1]."""
    return Markup(
        '<svg class="span part" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<rect class="track" x="0" y="5" width="{w}" height="6" rx="3"/>'
        '<rect class="value" x="0" y="5" width="{filled:g}" height="6" rx="3"/></svg>'
    ).format(
        w=SHARE_WIDTH, h=SPAN_HEIGHT, label=label, filled=round(min(max(part, 0.0), 1.0) * SHARE_WIDTH, 1)
    )


def course(values: Sequence[float | None], low: float, label: str) -> Markup:
    """Return a line over equal steps of time, oldest first, on a scale from ``low`` to 1; None leaves a gap."""
    step = (COURSE_WIDTH - 2 * PAD) / max(len(values) - 1, 1)
    scale = (low, 1.0)
    height = COURSE_HEIGHT - 2 * PAD
    points = [
        None
        if value is None
        else (PAD + at * step, COURSE_HEIGHT - PAD - _place(value, scale) * height / SPAN_WIDTH)
        for at, value in enumerate(values)
    ]
    path = ""
    for before, point in zip([None, *points], points, strict=False):
        if point is not None:
            path += f"{'M' if before is None else 'L'}{point[0]:.1f} {point[1]:.1f}"
            # A point without neighbors is drawn as a dot: a line of no length with round ends.
            path += "h.01" if before is None else ""
    newest = next((point for point in reversed(points) if point is not None), None)
    dot = Markup("")
    if newest is not None:
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(*newest)
    return Markup(
        '<svg class="course" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<path class="floor" d="M0 {floor}H{w}"/><path class="over" d="{path}"/>{dot}</svg>'
    ).format(w=COURSE_WIDTH, h=COURSE_HEIGHT, label=label, floor=COURSE_HEIGHT - 1, path=path, dot=dot)


def _place(value: float, scale: tuple[float, float]) -> float:
    """Return where a value lies on a track, in its units."""
    low, high = scale
    reach = (high - low) or 1.0
    return min(max((value - low) / reach, 0.0), 1.0) * SPAN_WIDTH
