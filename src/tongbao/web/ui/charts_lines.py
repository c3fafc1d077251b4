"""Lines over time: lines and areas, the small line of a key figure, columns, the fan of a forecast. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tongbao.web.ui.figure import (
    HEIGHT,
    WIDTH,
    Axis,
    Figure,
    Head,
    Scale,
    Series,
    down_sampled,
    paths,
    plot,
    scale_of,
    spread,
    table_places,
)

SPARK_WIDTH = 72
SPARK_HEIGHT = 26
ABSENT = "—"


@dataclass(frozen=True, slots=True)
class Forecast:
    """One coming step: the middle and the ends of the wide and of the narrow interval."""

    middle: float
    narrow: tuple[float, float]
    wide: tuple[float, float]


def lines(series: Sequence[Series], x_texts: Sequence[str], axis: Axis, filled: bool = False) -> Figure:
    """Return lines over ``x_texts``, one text a value; ``filled`` draws the ground below each, as an area."""
    scale = scale_of(_known(series), axis.low, axis.high)
    marks = []
    for each in series:
        line = _line(each.values, scale)
        if filled and line:
            marks.append((f"under {each.css}", line + _closing(each.values)))
        marks.append((f"over {each.css}{' dash' if each.dashed else ''}", line))
    return Figure(
        "lines",
        plot(paths(marks), axis, scale, spread(x_texts)),
        axis.caption,
        *_table(series, x_texts, axis),
        legend=_legend(series),
    )


def area(values: Sequence[float | None], x_texts: Sequence[str], axis: Axis, name: str = "") -> Figure:
    """Return one series as an area."""
    return lines([Series(name or axis.caption, values)], x_texts, axis, filled=True)


def columns(series: Sequence[Series], x_texts: Sequence[str], axis: Axis) -> Figure:
    """Return columns, the series of each place standing upon each other; values are not negative."""
    count = len(x_texts)
    heights = [sum(each.values[place] or 0 for each in series) for place in range(count)]
    scale = scale_of([0, *heights], 0, axis.high)
    step = WIDTH / max(count, 1)
    marks, below = Markup(), [0.0] * count
    for each in series:
        for place, value in enumerate(each.values):
            if value:
                top = scale.share(below[place] + value)
                height = (top - scale.share(below[place])) * HEIGHT
                marks += Markup(
                    '<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>'
                ).format(each.css, place * step + step * 0.14, HEIGHT * (1 - top), step * 0.72, height)
                below[place] += value
    return Figure(
        "columns",
        plot(marks, axis, scale, spread(x_texts), "columns-plot"),
        axis.caption,
        *_table(series, x_texts, axis),
        legend=_legend(series, ""),
    )


def spark(values: Sequence[float]) -> Markup:
    """Return the small line of a key figure; it repeats no number and is silent to screen readers."""
    scale = scale_of(values)
    line = _line(values, scale, (SPARK_WIDTH, SPARK_HEIGHT - 4), 2)
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true"><path d="{}"/></svg>'
    ).format(SPARK_WIDTH, SPARK_HEIGHT, line)


def fan(
    past: Sequence[float],
    coming: Sequence[Forecast],
    x_texts: Sequence[str],
    axis: Axis,
    names: Sequence[str],
) -> Figure:
    """Return what was and what is forecast with its intervals.

    ``x_texts`` are those of the past, then of the forecast; ``names`` are the words for the past, the forecast, the
    narrow and the wide interval.
    """
    every = [*past, *(end for step in coming for end in (*step.wide, *step.narrow, step.middle))]
    scale = scale_of(every, axis.low, axis.high)
    count, start = len(past) + len(coming), len(past) - 1
    joint = past[-1:]

    def band(pairs: Sequence[tuple[float, float]]) -> str:
        ends = [(value, value) for value in joint] + list(pairs)
        upper = [_point(start + place, high, count, scale) for place, (_, high) in enumerate(ends)]
        lower = [_point(start + place, low, count, scale) for place, (low, _) in enumerate(ends)]
        return "M" + "L".join(upper + lower[::-1]) + "Z"

    ahead: list[float | None] = [None] * start + [*joint, *(step.middle for step in coming)]
    behind: list[float | None] = [*past, *[None] * len(coming)]
    marks = paths(
        [
            ("band s1", band([step.wide for step in coming])),
            ("band s1", band([step.narrow for step in coming])),
            ("over s1", _line(behind, scale)),
            ("over s1 dash", _line(ahead, scale)),
        ]
    )
    rows = [(x_texts[place], axis.text(value), ABSENT, ABSENT, ABSENT) for place, value in enumerate(past)]
    for place, step in enumerate(coming):
        spans = (f"{axis.text(low)} – {axis.text(high)}" for low, high in (step.narrow, step.wide))
        rows.append((x_texts[len(past) + place], ABSENT, axis.text(step.middle), *spans))  # type: ignore[arg-type]
    heads: tuple[Head, ...] = (axis.head, *((name, "num") for name in names))
    legend = (("s1 line", names[0]), ("s1 dash", names[1]), ("s1 soft", names[3]))
    kept = tuple(rows[place] for place in table_places(len(rows)))
    return Figure("fan", plot(marks, axis, scale, spread(x_texts)), axis.caption, heads, kept, legend)


def _known(series: Sequence[Series]) -> list[float]:
    return [value for each in series for value in each.values if value is not None]


def _legend(series: Sequence[Series], mark: str = " line") -> tuple[tuple[str, str], ...]:
    if len(series) < 2:
        return ()
    return tuple((each.css + (" dash" if each.dashed else mark), each.name) for each in series)


def _point(place: int, value: float, count: int, scale: Scale) -> str:
    across = place * WIDTH / max(count - 1, 1)
    return f"{across:.1f} {HEIGHT * (1 - scale.share(value)):.1f}"


def _line(
    values: Sequence[float | None], scale: Scale, size: tuple[float, float] = (WIDTH, HEIGHT), pad: float = 0
) -> str:
    """Return the path over the values that are known; it is broken where one is missing."""
    path, last = [], -2
    step = size[0] / max(len(values) - 1, 1)
    sampled = down_sampled(values)
    whole = len(sampled) == len(values)
    for place, value in sampled:
        gap = last < 0 or (whole is False and None in values[last + 1 : place])
        path.append(f"{'M' if gap else 'L'}{place * step:.1f} {pad + size[1] * (1 - scale.share(value)):.1f}")
        last = place
    return "".join(path)


def _closing(values: Sequence[float | None]) -> str:
    known = [place for place, value in enumerate(values) if value is not None]
    step = WIDTH / max(len(values) - 1, 1)
    return f"L{known[-1] * step:.1f} {HEIGHT}L{known[0] * step:.1f} {HEIGHT}Z"


def _table(
    series: Sequence[Series], x_texts: Sequence[str], axis: Axis
) -> tuple[tuple[Head, ...], tuple[tuple[str, ...], ...]]:
    heads: tuple[Head, ...] = (axis.head, *((each.name, "num") for each in series))
    rows = []
    for place in table_places(len(x_texts)):
        values = (each.values[place] for each in series)
        rows.append((x_texts[place], *(ABSENT if value is None else axis.text(value) for value in values)))
    return heads, tuple(rows)
