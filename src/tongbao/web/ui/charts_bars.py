"""Rows that are compared: bars, stacked bars, dots against a target, a funnel, a waterfall from gross to net. Pure.

Each row carries its value as text beside the drawing, so that the drawing never has to be measured by eye.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tongbao.web.ui.figure import Axis, Figure, Head, paths, row, rows_list, scale_of


@dataclass(frozen=True, slots=True)
class Part:
    """One step of a waterfall: a change, or with ``total`` the sum that stands there. Amounts in minor units."""

    label: str
    amount: float
    total: bool = False


def bars(items: Sequence[tuple[str, float]], axis: Axis, value_head: str) -> Figure:
    """Return bars from zero, as long as their values; negative ones lead to the left of it."""
    scale = scale_of([0, *(value for _, value in items)], axis.low, axis.high)
    zero = scale.share(0) * 100
    drawn = []
    for label, value in items:
        end = scale.share(value) * 100
        marks = _bar("s1" if value >= 0 else "s2", min(zero, end), abs(end - zero))
        drawn.append(row(label, marks, axis.text(value)))
    heads: tuple[Head, ...] = (axis.head, (value_head, "num"))
    return Figure(
        "bars",
        rows_list(drawn),
        axis.caption,
        heads,
        tuple((name, axis.text(value)) for name, value in items),
    )


def stacked(items: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], axis: Axis) -> Figure:
    """Return bars made of parts, one color a part; the value beside is the sum."""
    most = max((sum(values) for _, values in items), default=0) or 1
    drawn = []
    for label, values in items:
        marks, at = Markup(), 0.0
        for number, value in enumerate(values, 1):
            marks += _bar(f"s{number}", at, 100 * value / most)
            at += 100 * value / most
        drawn.append(row(label, marks, axis.text(sum(values))))
    heads: tuple[Head, ...] = (axis.head, *((name, "num") for name in names))
    rows = tuple((label, *(axis.text(value) for value in values)) for label, values in items)
    legend = tuple((f"s{number}", name) for number, name in enumerate(names, 1))
    return Figure("stacked", rows_list(drawn), axis.caption, heads, rows, legend)


def dots(items: Sequence[tuple[str, float]], target: float, axis: Axis, words: tuple[str, str]) -> Figure:
    """Return each value as a dot on a line with the target marked; ``words`` name the value and the target."""
    values = [value for _, value in items]
    scale = scale_of([target, *values], axis.low, axis.high)
    aim = scale.share(target) * 100
    drawn = []
    for label, value in items:
        at, css = scale.share(value) * 100, "s1" if value >= target else "s2"
        marks = paths(
            [
                ("track", "M0 9H100"),
                (f"thick {css}", f"M{aim:.2f} 9H{at:.2f}"),
                ("target", f"M{aim:.2f} 0V18"),
                (f"point {css}", f"M{at:.2f} 9h.01"),
            ]
        )
        drawn.append(row(label, marks, axis.text(value)))
    ends = Markup(
        '<li class="axis-row" aria-hidden="true"><span></span><span class="ends"><span>{}</span><span>{}</span></span></li>'
    ).format(axis.text(scale.low), axis.text(scale.high))
    heads: tuple[Head, ...] = (axis.head, (words[0], "num"), (words[1], "num"))
    rows = tuple((label, axis.text(value), axis.text(target)) for label, value in items)
    legend = (("s-plain dash", f"{words[1]} {axis.text(target)}"),)
    return Figure("dots", rows_list([*drawn, ends]), axis.caption, heads, rows, legend)


def funnel(
    items: Sequence[tuple[str, float]], axis: Axis, share: Callable[[float], str], words: tuple[str, str, str]
) -> Figure:
    """Return steps that lose some of those before; ``words`` name the count, the share of all and of the step before."""
    first = items[0][1] or 1 if items else 1
    drawn, rows, before = [], [], first
    for label, value in items:
        width = 100 * value / first
        note = Markup('{}<span class="mut">{}</span>').format(axis.text(value), share(value / first))
        drawn.append(row(label, _bar("s1", (100 - width) / 2, width), note))
        rows.append((label, axis.text(value), share(value / first), share(value / (before or 1))))
        before = value
    heads: tuple[Head, ...] = (axis.head, *((word, "num") for word in words))
    return Figure("funnel", rows_list(drawn), axis.caption, heads, tuple(rows))


def waterfall(parts: Sequence[Part], axis: Axis, words: tuple[str, str]) -> Figure:
    """Return the way from the first sum to the last by its changes; ``words`` name the change and the level after it."""
    levels, level = [], 0.0
    for part in parts:
        start = 0.0 if part.total else level
        level = part.amount if part.total else level + part.amount
        levels.append((start, level))
    scale = scale_of([0, *(end for span in levels for end in span)])
    drawn, rows = [], []
    for part, (start, end) in zip(parts, levels, strict=True):
        near, far = sorted((scale.share(start) * 100, scale.share(end) * 100))
        css = "s1" if part.total else "s-ok" if part.amount > 0 else "s2"
        link = paths([("rule", f"M{scale.share(end) * 100:.2f} 18V9")]) if part is not parts[-1] else Markup()
        written = axis.text(part.amount)
        value = written if part.total or part.amount <= 0 else f"+{written}"
        drawn.append(row(part.label, link + _bar(css, near, far - near), value, "sum" if part.total else ""))
        rows.append((part.label, value, axis.text(end)))
    heads: tuple[Head, ...] = (axis.head, *((word, "num") for word in words))
    return Figure("waterfall", rows_list(drawn), axis.caption, heads, tuple(rows))


def _bar(css: str, start: float, width: float) -> Markup:
    # What is there is seen, however little it is.
    return Markup('<rect class="{}" x="{:.2f}" y="3" width="{:.2f}" height="12"/>').format(
        css, start, max(width, 0.6) if width else 0.0
    )
