"""What a model is worth: curves of shares against shares (ROC, precision and recall) and calibration. Pure.

Both sides run from 0 to 1; a share is written by ``axis.text``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tongbao.web.ui.figure import WIDTH, Axis, Figure, Head, Scale, paths, plot, table_places

_UNIT = Scale(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))


@dataclass(frozen=True, slots=True)
class Curve:
    """Points ``(x, y)`` in [0, 1], x rising, under one name."""

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 1


def curves(
    each: Sequence[Curve], axis: Axis, x_name: str, diagonal: bool = False, mark: float | None = None
) -> Figure:
    """Return curves on a square; ``diagonal`` draws what chance would do, ``mark`` the x where the house works now.

    ``axis.head`` names the y side.
    """
    marks = [("target", f"M0 {WIDTH}L{WIDTH} 0")] if diagonal else []
    if mark is not None:
        marks.append(("target", f"M{mark * WIDTH:.1f} 0V{WIDTH}"))
    marks += [(f"over s{curve.color}", _path(curve.points)) for curve in each]
    return _figure(paths(marks), axis, x_name, each)


def calibration(bins: Sequence[tuple[float, float, int]], axis: Axis, x_name: str, counts: str) -> Figure:
    """Return what was said against what came true: bins of ``(said, true, count)``; the diagonal is a perfect model."""
    points = [(said, true) for said, true, _ in bins]
    dots = [("point s1", f"M{said * WIDTH:.1f} {(1 - true) * WIDTH:.1f}h.01") for said, true in points]
    marks = paths([("target", f"M0 {WIDTH}L{WIDTH} 0"), ("over s1", _path(points)), *dots])
    found = _figure(marks, axis, x_name, [Curve(axis.head, points)])
    heads: tuple[Head, ...] = (*found.heads, (counts, "num"))
    rows = tuple((*row, str(bins[place][2])) for place, row in enumerate(found.rows))
    return Figure("calibration", found.body, found.caption, heads, rows)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x * WIDTH:.1f} {(1 - y) * WIDTH:.1f}" for x, y in points) if points else ""


def _figure(marks: Markup, axis: Axis, x_name: str, each: Sequence[Curve]) -> Figure:
    texts = [axis.text(tick) for tick in _UNIT.ticks]
    body = plot(marks, axis, _UNIT, texts, "square")
    named = body.replace(
        Markup("</ol></div>"), Markup('</ol><p class="axis" aria-hidden="true">{}</p></div>').format(x_name)
    )
    heads: tuple[Head, ...] = ((x_name, "num"), (axis.head, "num"))
    if len(each) > 1:
        heads = (axis.caption, *heads)
    rows = []
    for curve in each:
        first = (curve.name,) if len(each) > 1 else ()
        for place in table_places(len(curve.points)):
            x, y = curve.points[place]
            rows.append((*first, axis.text(x), axis.text(y)))
    legend = tuple((f"s{curve.color} line", curve.name) for curve in each) if len(each) > 1 else ()
    return Figure("curves", Markup(named), axis.caption, heads, tuple(rows), legend)  # noqa: S704 - markup before
