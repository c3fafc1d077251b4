"""The picture of the house. ``python -m tests.house_picture`` writes ``docs/pictures/house.svg``.

Which rooms there are, on which line each stands and which are built comes from the import contract ``rooms`` in
``pyproject.toml``; what a room is for, from the first line of its docstring. So nothing in the picture can be out of date
without a test that says so. Colors are those of the pages, light or dark as whoever looks prefers.
"""

import ast
import textwrap
import tomllib
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "house.svg"
WIDTH = 960
EDGE = 24
GAP = 10
STEP = 21
"""Between two lines of rooms, with the arrow."""
TOP = 82
FOOT = 44
PAD = 16
NAME_Y = 25
LINE = 16
LOW = 40
"""Height of a room that has one line of text."""
BESIDE = 112
"""From the name of a room that has a line for itself to what it is for."""
DESIGNED_WEIGHT = 0.62
"""How wide a room is that has its place only, beside one that is built."""
CHAR = 6.6
"""Width of a letter of the small text on average, in pixels: a little more than common fonts need."""
NAME_WORDS_MAX = 2
WORDS_MAX = 160
_STYLE = """
text { font: 12.5px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #566766; }
.title { font-size: 19px; font-weight: 650; fill: #10201f; } .name { font-size: 15px; font-weight: 650; fill: #0b6b6f; }
.ground { fill: #f5f7f7; } .built { fill: #fff; stroke: #b9cfcd; } .mark { fill: #0e8a8d; }
.later { fill: none; stroke: #7f918f; stroke-dasharray: 4 4; } .later-name { font-size: 14px; font-weight: 550; }
.way { fill: none; stroke: #7f918f; stroke-width: 1.5; stroke-linecap: round; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
  text { fill: #9bb0ae; } .title { fill: #e6f0ef; } .name { fill: #4fc7c4; }
  .ground { fill: #0b1414; } .built { fill: #12302f; stroke: #2b5553; } .mark { fill: #2ea7a6; }
  .later, .way { stroke: #6c8280; }
}"""


class Room(NamedTuple):
    """One room: its name, whether it is built, and what it is for (empty where it is not built)."""

    name: str
    is_built: bool
    purpose: str


def rooms() -> list[list[Room]]:
    """Return the lines of the contract ``rooms`` from the top down; modules of Python's own (``__main__``) are no rooms."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [each for each in settings["tool"]["importlinter"]["contracts"] if each["id"] == "rooms"]
    lines = [
        [_room(each.strip()) for each in layer.split("|") if not each.strip("( )").startswith("__")]
        for layer in contract["layers"]
    ]
    return [line for line in lines if line]


def _room(text: str) -> Room:
    name = text.strip("()")
    source = ROOT / "src" / "tongbao" / name / "__init__.py"
    if not source.is_file():
        return Room(name, False, "")
    told = (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    return Room(name, True, purpose(told))


def purpose(told: str) -> str:
    """Return the first sentence of a docstring's first line, in small letters, without a name of one or two words before it."""
    head, _, rest = told.partition(": ")
    sentence = (rest if rest and len(head.split()) <= NAME_WORDS_MAX else told).partition(". ")[0].rstrip(".")
    is_word = sentence[1:2].islower() or sentence[1:2] == " "
    return textwrap.shorten(
        sentence[:1].lower() + sentence[1:] if is_word else sentence, WORDS_MAX, placeholder=" …"
    )


def picture() -> str:
    """Return the picture as SVG."""
    lines = rooms()
    body: list[str] = []
    y = float(TOP)
    for place, line in enumerate(lines):
        if place:
            body.append(_arrow(y))
            y += STEP
        drawn, height = _line(line, y)
        body += drawn
        y += height
    return "\n".join([*_head(lines, y + FOOT), *body, *_legend(y), "</svg>", ""])


def _head(lines: list[list[Room]], height: float) -> list[str]:
    count = sum(room.is_built for line in lines for room in line)
    label = (
        f"The rooms of the house on {len(lines)} lines, from {lines[0][0].name} at the top to {lines[-1][0].name} "
        f"at the bottom; {count} are built."
    )
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{label}">',
        f"<style>{_STYLE}\n</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height:g}" rx="14"/>',
        f'<text class="title" x="{EDGE}" y="40">The house</text>',
        f'<text x="{EDGE}" y="62">Imports run downward only; rooms on one line do not see each other. '
        "Lower rooms tell upper ones by facts, after the commit.</text>",
    ]


def _legend(y: float) -> list[str]:
    return [
        f'<rect class="built" x="{EDGE + 0.5}" y="{y + 17.5:g}" width="22" height="12" rx="3"/>',
        f'<text x="{EDGE + 31}" y="{y + 28:g}">built</text>',
        f'<rect class="later" x="{EDGE + 78.5}" y="{y + 17.5:g}" width="22" height="12" rx="3"/>',
        f'<text x="{EDGE + 109}" y="{y + 28:g}">has its place and follows</text>',
        f'<text x="{WIDTH - EDGE}" y="{y + 28:g}" text-anchor="end">drawn from pyproject.toml and the docstrings</text>',
    ]


def _line(line: list[Room], y: float) -> tuple[list[str], float]:
    """Return the boxes of a line and its height. A room alone has its name beside what it is for, several have it above."""
    widths = _widths(line)
    is_alone = len(line) == 1
    aside = BESIDE if is_alone else 0
    told = [
        textwrap.wrap(room.purpose, int((width - aside - 2 * PAD) / CHAR))
        for room, width in zip(line, widths, strict=True)
    ]
    most = max(map(len, told))
    height = LOW + LINE * max(most - 1, 0) if is_alone or not most else NAME_Y + LINE * most + 12
    body: list[str] = []
    x = float(EDGE)
    for room, width, words in zip(line, widths, told, strict=True):
        below = (aside, 0) if is_alone else (0, LINE + 3)
        body += _box(room, (x, y, width, height), words, below)
        x += width + GAP
    return body, height


def _widths(line: list[Room]) -> list[float]:
    """Return the widths of boxes that fill a line: those that are built are wider."""
    weights = [1.0 if room.is_built else DESIGNED_WEIGHT for room in line]
    free = WIDTH - 2 * EDGE - GAP * (len(line) - 1)
    return [round(free * weight / sum(weights), 1) for weight in weights]


def _box(
    room: Room, at: tuple[float, float, float, float], words: list[str], below: tuple[float, float]
) -> list[str]:
    """Return a box; ``below``: how far to the right of the name, and below it, what the room is for begins."""
    x, y, width, height = at
    kind = "built" if room.is_built else "later"
    box = f'<rect class="{kind}" x="{x + 0.5:g}" y="{y + 0.5:g}" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>'
    if not room.is_built:
        middle = f'x="{x + width / 2:g}" y="{y + height / 2 + 5:g}" text-anchor="middle"'
        return [box, f'<text class="later-name" {middle}>{escape(room.name)}</text>']
    spans = "".join(
        f'<tspan x="{x + PAD + below[0]:g}" dy="{LINE if place else below[1]:g}">{escape(text)}</tspan>'
        for place, text in enumerate(words)
    )
    name = f'<tspan class="name">{escape(room.name)}</tspan>'
    return [
        box,
        f'<rect class="mark" x="{x + 0.5:g}" y="{y + 9:g}" width="3" height="{height - 18:g}" rx="1.5"/>',
        f'<text x="{x + PAD:g}" y="{y + NAME_Y:g}">{name}{spans}</text>',
    ]


def _arrow(y: float) -> str:
    middle = WIDTH / 2
    return f'<path class="way" d="M{middle:g} {y + 4.5:g}v11m-4.5-4.5l4.5 4.5l4.5-4.5"/>'


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
