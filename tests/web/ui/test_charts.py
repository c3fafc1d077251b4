"""Drawings: each carries its table, escapes what it is given, and survives empty, flat and long series."""

import random
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.web.ui import charts_bars, charts_curves, charts_flows, charts_grids, charts_lines
from tongbao.web.ui.charts_bars import Part
from tongbao.web.ui.charts_flows import Flow
from tongbao.web.ui.charts_grids import Span
from tongbao.web.ui.figure import (
    POINTS_MAX,
    TABLE_ROWS_MAX,
    WIDTH,
    Axis,
    Figure,
    Series,
    down_sampled,
    scale_of,
)
from tongbao.web.ui.gallery import say_in
from tongbao.web.ui.gallery_charts import figures
from tongbao.web.ui.kit import Kit

HOSTILE = '"><script>alert(1)</script>'
AXIS = Axis("Caption", "When", lambda value: f"{value:g}")
FINITE = st.floats(-1e12, 1e12, allow_nan=False)


def drawn(figure: Figure) -> ElementTree.Element:
    """The drawing, which must be well formed."""
    return ElementTree.fromstring(f"<div>{figure.body}</div>")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_sample_is_well_formed_and_has_words_and_its_table(language: str) -> None:
    for key, (title, span, figure) in figures(say_in(language), Kit(language)).items():
        assert title
        assert 3 < span <= 12
        body = drawn(figure)
        for svg in body.iter("svg"):
            assert svg.get("aria-label") or svg.get("aria-hidden") == "true", key
        assert figure.rows or body.find(".//table") is not None, key
        assert all(len(row) == len(figure.heads) for row in figure.rows), key
        assert not re.search(r"style=|#[0-9a-f]{3,6}\b|fill=|stroke=", figure.body), key


@given(st.lists(FINITE, min_size=1, max_size=60), st.booleans())
def test_scale_holds_every_value_between_round_ends(values: list[float], zero: bool) -> None:
    scale = scale_of(values, 0 if zero and min(values) >= 0 else None)
    slack = (scale.high - scale.low) * 1e-6
    assert scale.low - slack <= min(values)
    assert max(values) <= scale.high + slack
    assert all(0 <= scale.share(value) <= 1 for value in values)
    assert 2 <= len(scale.ticks) <= 8


@pytest.mark.parametrize("seed", range(5))
def test_long_series_keeps_its_extremes_and_its_order(seed: int) -> None:
    chance = random.Random(seed)
    values = [
        None if chance.random() < 0.1 else chance.uniform(-9, 9) for _ in range(POINTS_MAX * (seed + 2))
    ]
    kept = down_sampled(values)
    known = [value for value in values if value is not None]
    assert len(kept) <= max(2 * WIDTH, POINTS_MAX)
    assert [place for place, _ in kept] == sorted({place for place, _ in kept})
    assert {min(known), max(known)} <= {value for _, value in kept}


@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0], [None, None], [1.0, None, 3.0], [-2.0, 2.0]])
def test_line_over_any_series_is_drawn(values: list[float | None]) -> None:
    texts = [str(place) for place in range(len(values))]
    figure = charts_lines.lines(
        [Series("A", values), Series("B", values, 2, True)],
        texts,
        AXIS,
        filled=bool([v for v in values if v]),
    )
    assert len(figure.rows) == len(values)
    assert "nan" not in drawn(figure).find(".//svg").attrib["viewBox"]  # type: ignore[union-attr]


def test_gap_in_a_series_breaks_its_line() -> None:
    figure = charts_lines.lines([Series("A", [1.0, 2.0, None, 3.0, 4.0])], list("abcde"), AXIS)
    path = next(each for each in drawn(figure).iter("path") if "over" in each.get("class", ""))
    assert path.get("d", "").count("M") == 2
    assert figure.rows[2] == ("c", "—")


def test_table_of_a_long_series_is_bounded_and_keeps_both_ends() -> None:
    count = 5_000
    figure = charts_lines.area(
        [float(place) for place in range(count)], [str(place) for place in range(count)], AXIS
    )
    assert len(figure.rows) == TABLE_ROWS_MAX
    assert (figure.rows[0][0], figure.rows[-1][0]) == ("0", "4999")
    assert len(figure.body) < 60_000


def test_names_from_outside_are_escaped_everywhere() -> None:
    axis = Axis(HOSTILE, HOSTILE, lambda value: HOSTILE)
    every = [
        charts_lines.lines([Series(HOSTILE, [1.0, 2.0])], [HOSTILE, HOSTILE], axis),
        charts_bars.bars([(HOSTILE, 1.0)], axis, HOSTILE),
        charts_bars.stacked([(HOSTILE, (1.0, 2.0))], (HOSTILE, HOSTILE), axis),
        charts_bars.dots([(HOSTILE, 1.0)], 0.5, axis, (HOSTILE, HOSTILE)),
        charts_bars.funnel([(HOSTILE, 1.0)], axis, lambda share: HOSTILE, (HOSTILE,) * 3),
        charts_bars.waterfall([Part(HOSTILE, 1, total=True)], axis, (HOSTILE, HOSTILE)),
        charts_grids.heat_map([HOSTILE], [HOSTILE], [[1.0]], axis),
        charts_grids.state_timeline(
            [(HOSTILE, [Span(0, 1, "a")])], {"a": ("ok", HOSTILE)}, (HOSTILE, HOSTILE), axis, (HOSTILE,) * 3
        ),
        charts_flows.sankey([Flow(HOSTILE, "b", 1.0)], axis, (HOSTILE, HOSTILE)),
        charts_curves.calibration([(0.5, 0.5, 3)], axis, HOSTILE, HOSTILE),
    ]
    for figure in every:
        assert "<script" not in figure.body
        drawn(figure)


def test_waterfall_ends_at_the_sum_of_its_parts() -> None:
    parts = [
        Part("Gross", 1000, total=True),
        Part("Fees", -30),
        Part("Refunds", -200),
        Part("Net", 770, total=True),
    ]
    figure = charts_bars.waterfall(parts, AXIS, ("Change", "Level"))
    assert [row[2] for row in figure.rows] == ["1000", "970", "770", "770"]


def test_flows_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        charts_flows.sankey([Flow("a", "b", 1), Flow("b", "a", 1)], AXIS, ("To", "Count"))


def test_flows_without_value_are_not_drawn() -> None:
    assert charts_flows.sankey([Flow("a", "b", 0)], AXIS, ("To", "Count")).rows == ()


def test_dot_below_its_target_differs_in_color_and_in_words() -> None:
    figure = charts_bars.dots([("A", 0.9), ("B", 0.99)], 0.95, AXIS, ("Rate", "Target"))
    points = [each.get("class") for each in drawn(figure).iter("path") if "point" in each.get("class", "")]
    assert points == ["point s2", "point s1"]
    assert figure.rows[0] == ("A", "0.9", "0.95")
