"""Lines that tell our reference of one thing and the channel's of another, and totals in several currencies."""

from itertools import permutations

import msgspec
import pytest
from tests.clearing.test_matching import expected, reported, run

from tongbao.clearing.policy.matching import Matching
from tongbao.clearing.schema.breaks import BreakKind


def found(of: Matching) -> list[tuple[str, tuple[int, ...], tuple[int, ...], str]]:
    """The differences without their amounts."""
    return [(each.kind.value, each.expected, each.reported, each.cause) for each in of.differences]


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_match_line_under_the_reference_of_a_twin_never_takes_the_twins_place(order: tuple[int, ...]) -> None:
    lines = [reported(1), reported(2, reference="pa_1")]
    done = run([expected(1), expected(2)], [lines[place] for place in order])
    assert [(int(a), order[int(b)]) for a, b in zip(done.expected, done.reported, strict=True)] == [(0, 0)]
    assert found(done) == [(BreakKind.DATA_MISMATCH, (1,), (order.index(1),), "reference")]


def test_match_line_under_the_reference_of_an_absent_twin_leaves_it_missing() -> None:
    done = run([expected(1), expected(2)], [reported(2, reference="pa_1")])
    assert not len(done.expected)
    assert sorted(found(done)) == [
        (BreakKind.DATA_MISMATCH, (1,), (0,), "reference"),
        (BreakKind.MISSING, (0,), (), ""),
    ]


def test_match_line_with_another_channel_reference_that_nobody_has_still_pairs() -> None:
    done = run([expected(1)], [reported(1, channel_reference="ch_other")])
    assert (done.expected.tolist(), done.reported.tolist(), done.differences) == ([0], [0], [])


@pytest.mark.parametrize("place", [0, 1])
def test_match_one_of_two_parts_alike_pairs_the_part_that_the_channel_names(place: int) -> None:
    parts = [expected(number, reference="pa_1") for number in (1, 2)]
    done = run(parts, [reported(place + 1, reference="pa_1")])
    assert (done.expected.tolist(), done.reported.tolist()) == ([place], [0])
    assert found(done) == [(BreakKind.MISSING, (1 - place,), (), "")]


def test_match_totals_of_a_day_in_two_currencies_pairs_each_with_its_own() -> None:
    mine = [
        expected(1, 500, group="day/sale"),
        expected(2, 300, group="day/sale"),
        expected(3, 700, group="day/sale", currency="USD"),
    ]
    plain = msgspec.structs.replace(reported(1), kind="total", reference="", channel_reference="")
    totals = [
        msgspec.structs.replace(plain, id=1, amount_minor=800, group="day/sale"),
        msgspec.structs.replace(plain, id=2, amount_minor=700, group="day/sale", currency="USD"),
    ]
    done = run(mine, totals)
    assert not done.differences
    assert sorted((each.expected, each.reported) for each in done.groups) == [((0, 1), (0,)), ((2,), (1,))]
