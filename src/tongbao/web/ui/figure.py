"""A drawing with its numbers: every figure says in words what it shows and carries the table that it was drawn from.

Marks are SVG that stretches with its place; words and numbers are HTML, so that they follow the reader's text size. Colors
come from the style sheet by class (``s1`` to ``s6`` for series, ``s-ok`` and its sisters for tones), never from here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 640
HEIGHT = 200
POINTS_MAX = 2_000
TABLE_ROWS_MAX = 120
TICKS_MAX = 5
X_LABELS_MAX = 5
SERIES_MAX = 6
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
Head = str | tuple[str, str]
"""The head of a column; ``(text, "num")`` for a column of numbers."""


@dataclass(frozen=True, slots=True)
class Figure:
    """``body`` is the drawing, ``heads`` and ``rows`` the same as a table, ``legend`` pairs of a class and a word."""

    kind: str
    body: Markup
    caption: str
    heads: tuple[Head, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """What a drawing is about: its caption, the name of what runs along it, how a value is written, its bounds."""

    caption: str
    head: str
    text: Callable[[float], str]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Values under one name; None where there is none. ``color`` is 1 to 6."""

    name: str
    values: Sequence[float | None]
    color: int = 1
    dashed: bool = False

    @property
    def css(self) -> str:
        """The class of its color."""
        return f"s{(self.color - 1) % SERIES_MAX + 1}"


@dataclass(frozen=True, slots=True)
class Scale:
    """A line of values from ``low`` to ``high``, with round ``ticks`` at equal distances, ends included."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one, never beyond."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def scale_of(values: Sequence[float], low: float | None = None, high: float | None = None) -> Scale:
    """Return a scale with round ends around ``values``; bounds that are given are kept as they are."""
    least = min(values, default=0.0) if low is None else low
    most = max(values, default=1.0) if high is None else high
    if most <= least:
        most = least + (abs(least) * 0.1 or 1.0)
    rough = (most - least) / (TICKS_MAX - 1)
    tens = 10.0 ** _exponent(rough)
    step = next(tens * step for step in _STEPS if tens * step >= rough * 0.999)
    start = least if low is not None else step * (least // step)
    if high is not None:
        return Scale(start, most, tuple(start + (most - start) * part / 4 for part in range(5)))
    count = max(1, -int(-(most - start) // step) if (most - start) % step else int((most - start) // step))
    return Scale(start, start + step * count, tuple(start + step * place for place in range(count + 1)))


def down_sampled(values: Sequence[float | None], points_max: int = POINTS_MAX) -> list[tuple[int, float]]:
    """Return the points to draw with their places: all, or the least and the most of each pixel of a long series."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) <= points_max:
        return known
    kept: list[tuple[int, float]] = []
    for pixel in range(WIDTH):
        part = known[pixel * len(known) // WIDTH : (pixel + 1) * len(known) // WIDTH]
        if part:
            kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def spread(texts: Sequence[str], most: int = X_LABELS_MAX) -> list[str]:
    """Return at most ``most`` texts at equal distances, both ends among them."""
    if len(texts) <= most:
        return list(texts)
    return [texts[round(place * (len(texts) - 1) / (most - 1))] for place in range(most)]


def table_places(count: int) -> list[int]:
    """Return the places of at most ``TABLE_ROWS_MAX`` rows of a long table, at equal distances."""
    if count <= TABLE_ROWS_MAX:
        return list(range(count))
    return [round(row * (count - 1) / (TABLE_ROWS_MAX - 1)) for row in range(TABLE_ROWS_MAX)]


def paths(items: Sequence[tuple[str, str]]) -> Markup:
    """Return paths, each of a class and its ``d``."""
    return Markup().join(Markup('<path class="{}" d="{}"/>').format(css, d) for css, d in items)


def drawing(marks: Markup, label: str, size: tuple[float, float] = (WIDTH, HEIGHT)) -> Markup:
    """Return marks as a drawing that fills its place."""
    return Markup(
        '<svg viewBox="0 0 {:g} {:g}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(*size, label, marks)


def plot(marks: Markup, axis: Axis, scale: Scale, x_texts: Sequence[str], css: str = "") -> Markup:
    """Return marks on a grid, the scale at its left and texts below it."""
    height = HEIGHT if "square" not in css else WIDTH
    rules = paths([("rule", f"M0 {height * (1 - scale.share(tick)):g}H{WIDTH}") for tick in scale.ticks])
    items = [Markup("<li>{}</li>").format(axis.text(tick)) for tick in scale.ticks]
    below = [Markup("<li>{}</li>").format(text) for text in x_texts]
    return Markup(
        '<div class="plot{}" data-read=""><ol class="y" aria-hidden="true">{}</ol>{}<ol class="x" aria-hidden="true">{}</ol></div>'
    ).format(
        f" {css}" if css else "",
        Markup().join(items),
        drawing(rules + marks, axis.caption, (WIDTH, height)),
        Markup().join(below),
    )


def rows_list(rows: Sequence[Markup], css: str = "") -> Markup:
    """Return rows of label, drawing and value, one below the other."""
    return Markup('<ul class="rows{}">{}</ul>').format(f" {css}" if css else "", Markup().join(rows))


def row(label: str, marks: Markup, value: str | Markup, css: str = "") -> Markup:
    """Return one row: a label, a drawing 100 wide and 18 high, a value. The drawing only repeats what the value says."""
    return Markup(
        '<li{}><span class="label">{}</span><svg viewBox="0 0 100 18" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
        '<span class="value">{}</span></li>'
    ).format(Markup(' class="{}"').format(css) if css else "", label, marks, value)


def _exponent(number: float) -> int:
    exponent = 0
    while number >= 10.0:
        number, exponent = number / 10.0, exponent + 1
    while 0.0 < number < 1.0:
        number, exponent = number * 10.0, exponent - 1
    return exponent
