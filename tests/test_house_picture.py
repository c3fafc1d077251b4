"""The picture of the house is drawn from the import contract and from docstrings, and says what they say."""

import xml.etree.ElementTree as Xml

import pytest
from tests.house_picture import PICTURE, ROOT, picture, purpose, rooms

BYTES_MAX = 12_000
SVG = "{http://www.w3.org/2000/svg}"


def test_picture_of_the_house_is_what_the_code_draws() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "draw it again: python -m tests.house_picture"


def test_picture_is_small_and_has_colors_for_light_and_dark() -> None:
    drawn = picture()
    assert len(drawn.encode()) < BYTES_MAX
    assert "@media (prefers-color-scheme: dark)" in drawn


def test_picture_fills_built_rooms_and_outlines_the_others() -> None:
    told = [room for line in rooms() for room in line]
    boxes = [each.get("class") for each in Xml.fromstring(picture()).iter(f"{SVG}rect")]
    built = sum(room.is_built for room in told)
    # Each kind stands in the legend once more.
    assert (boxes.count("built"), boxes.count("later")) == (built + 1, len(told) - built + 1)


def test_rooms_are_those_that_there_are() -> None:
    built = {room.name for line in rooms() for room in line if room.is_built}
    assert built == {each.parent.name for each in (ROOT / "src/tongbao").glob("*/__init__.py")}
    assert all(room.purpose for line in rooms() for room in line if room.is_built)


def test_rooms_from_the_top_down_begin_with_web_and_end_with_core() -> None:
    lines = [[room.name for room in line] for line in rooms()]
    assert (lines[0], lines[-1]) == (["web"], ["core"])
    assert {"channels", "routing", "risk"} <= set(next(line for line in lines if "risk" in line))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Risk control: every payment gets a tier.", "every payment gets a tier"),
        ("Benchmarks and drills: every claim, measured.", "benchmarks and drills: every claim, measured"),
        ("Exchange: rates with their day. Nothing moves.", "rates with their day"),
        ("HTTP and pages.", "HTTP and pages"),
        ("A seeded world.", "a seeded world"),
        ("", ""),
    ],
)
def test_purpose_of_a_first_line_is_its_first_sentence(told: str, expected: str) -> None:
    assert purpose(told) == expected
