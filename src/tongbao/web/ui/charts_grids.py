"""Two dimensions at once: a heat map as a table whose cells are tinted, and what state each of many was in over time. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tongbao.web.ui.figure import Axis, Figure, Head, drawing

TINTS = 6
STATE_HEIGHTS = {"ok": 8, "warn": 14, "error": 22, "review": 14, "plain": 4}
"""States differ in height as in color; what is worse stands taller."""


@dataclass(frozen=True, slots=True)
class Span:
    """A state from ``start`` to ``end``, both shares of the time that is shown, in [0, 1]."""

    start: float
    end: float
    state: str


def heat_map(
    row_names: Sequence[str],
    column_names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    axis: Axis,
) -> Figure:
    """Return a table whose cells are the darker the larger their value; None is a cell without one."""
    known = [value for line in values for value in line if value is not None]
    low = axis.low if axis.low is not None else min(known, default=0)
    span = ((axis.high if axis.high is not None else max(known, default=1)) - low) or 1
    head = Markup().join(Markup('<th scope="col">{}</th>').format(name) for name in column_names)
    lines = []
    for name, line in zip(row_names, values, strict=True):
        cells = Markup().join(_cell(value, low, span, axis) for value in line)
        lines.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(name, cells))
    body = Markup(
        '<div class="heat" tabindex="0" role="group" aria-label="{}"><table><caption class="vh">{}</caption>'
        '<thead><tr><th scope="col">{}</th>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(axis.caption, axis.caption, axis.head, head, Markup().join(lines))
    # It is a table already; another one below it would say the same twice.
    return Figure("heat-map", body, axis.caption)


def state_timeline(
    tracks: Sequence[tuple[str, Sequence[Span]]],
    states: Mapping[str, tuple[str, str]],
    ends: tuple[str, str],
    axis: Axis,
    words: tuple[str, str, str],
) -> Figure:
    """Return the states of each track over one stretch of time.

    ``states`` give a tone and a word by state, ``ends`` the words for the beginning and the end, ``words`` name state,
    share of the time and number of stretches in the table; ``axis.text`` writes a share.
    """
    lines, rows = [], []
    for label, spans in tracks:
        marks = Markup().join(_span(span, states[span.state][0]) for span in spans)
        now = states[spans[-1].state] if spans else ("plain", "—")
        said = ", ".join(f"{states[span.state][1]} {axis.text(span.end - span.start)}" for span in spans[-6:])
        lines.append(
            Markup(
                '<li><span class="label">{}</span>{}<span class="value"><span class="tag {}">{}</span></span></li>'
            ).format(label, drawing(marks, f"{label}: {said}", (100, 22)), now[0], now[1])
        )
        rows += _told(label, spans, states, axis)
    foot = Markup(
        '<li class="axis-row" aria-hidden="true"><span></span><span class="ends"><span>{}</span><span>{}</span></span></li>'
    ).format(*ends)
    heads: tuple[Head, ...] = (axis.head, words[0], (words[1], "num"), (words[2], "num"))
    legend = tuple((f"s-{tone}", word) for tone, word in dict.fromkeys(states.values()))
    body = Markup('<ul class="rows states">{}{}</ul>').format(Markup().join(lines), foot)
    return Figure("states", body, axis.caption, heads, tuple(rows), legend)


def _cell(value: float | None, low: float, span: float, axis: Axis) -> Markup:
    if value is None:
        return Markup('<td class="mut">—</td>')
    tint = min(TINTS - 1, max(0, int((value - low) / span * TINTS)))
    return Markup('<td class="h{}">{}</td>').format(tint, axis.text(value))


def _span(span: Span, tone: str) -> Markup:
    height = STATE_HEIGHTS[tone]
    width = max(100 * (span.end - span.start), 0.4)
    return Markup('<rect class="s-{}" x="{:.2f}" y="{}" width="{:.2f}" height="{}"/>').format(
        tone, 100 * span.start, 22 - height, width, height
    )


def _told(
    label: str, spans: Sequence[Span], states: Mapping[str, tuple[str, str]], axis: Axis
) -> list[tuple[str, ...]]:
    """Return how long a track was in each state, in how many stretches."""
    told: list[tuple[str, ...]] = []
    for state, (_, word) in states.items():
        mine = [span.end - span.start for span in spans if span.state == state]
        if mine:
            told.append((label, word, axis.text(sum(mine)), str(len(mine))))
    return told
