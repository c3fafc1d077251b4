"""Matching against known truths: every difference by its name, and never two records that do not belong together."""

import random
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.clearing.policy import matching
from tongbao.clearing.policy.matching import HOWS, Matching, Terms
from tongbao.clearing.policy.matching_records import (
    Words,
    day_number,
    day_of,
    of_expected,
    of_reported,
    texts,
)
from tongbao.clearing.schema.breaks import BreakKind, Expected, How, Reported
from tongbao.core.errors import InvalidRequest

DAY = date(2026, 11, 2)
UNTIL = date(2026, 11, 20)


def expected(number: int, amount: int = 1_000, **fields: Any) -> Expected:
    plain = Expected(
        id=UUID(int=number),
        kind="sale",
        currency="CNY",
        amount_minor=amount,
        reference=f"pa_{number}",
        channel_reference=f"ch_{number}",
        on=DAY,
        due_on=DAY + timedelta(days=2),
    )
    return msgspec.structs.replace(plain, **fields)


def reported(number: int, amount: int = 1_000, **fields: Any) -> Reported:
    plain = Reported(
        id=number,
        kind="sale",
        currency="CNY",
        amount_minor=amount,
        reference=f"pa_{number}",
        channel_reference=f"ch_{number}",
        on=DAY,
    )
    return msgspec.structs.replace(plain, **fields)


def run(mine: list[Expected], theirs: list[Reported], **terms: int) -> Matching:
    words = Words()
    return matching.match(
        of_expected(mine, words),
        of_reported(theirs, words),
        Terms(until_on=day_number(UNTIL), **terms),
    )


def pairs(found: Matching) -> set[tuple[int, int, How]]:
    rows = zip(found.expected.tolist(), found.reported.tolist(), found.how.tolist(), strict=True)
    return {(index, other, HOWS[how]) for index, other, how in rows}


def kinds(found: Matching) -> list[BreakKind]:
    return [each.kind for each in found.differences]


def test_match_of_equal_records_pairs_them_by_reference_in_any_order() -> None:
    found = run([expected(1), expected(2, 500)], [reported(2, 500), reported(1)])
    assert pairs(found) == {(0, 1, How.REFERENCE), (1, 0, How.REFERENCE)}
    assert not found.differences


def test_match_without_our_reference_goes_by_the_channels() -> None:
    found = run([expected(1)], [reported(1, reference="")])
    assert pairs(found) == {(0, 0, How.CHANNEL_REFERENCE)}


@pytest.mark.parametrize(
    ("fields", "kind", "difference"),
    [
        ({"amount_minor": 1_001}, BreakKind.OVER_AMOUNT, 1),
        ({"amount_minor": 999}, BreakKind.UNDER_AMOUNT, -1),
        ({"amount_minor": -1_000}, BreakKind.DATA_MISMATCH, -2_000),
        ({"currency": "USD"}, BreakKind.CURRENCY_MISMATCH, 0),
        ({"kind": "refund", "amount_minor": -1_000}, BreakKind.DATA_MISMATCH, -2_000),
        ({"on": DAY + timedelta(days=9)}, BreakKind.DATA_MISMATCH, 0),
        ({"reference": "pa_9"}, BreakKind.DATA_MISMATCH, 0),
        ({"reference": "pa_9", "channel_reference": "ch_9"}, BreakKind.MISSING, -1_000),
    ],
)
def test_match_of_one_record_that_differs_names_the_difference(
    fields: dict[str, Any], kind: BreakKind, difference: int
) -> None:
    found = run([expected(1)], [reported(1, **fields)])
    assert not pairs(found)
    assert (kinds(found)[0], found.differences[0].difference) == (kind, difference)


def test_match_of_a_refund_of_more_is_over_although_it_is_less() -> None:
    found = run([expected(1, -400, kind="refund")], [reported(1, -500, kind="refund")])
    assert (kinds(found), found.differences[0].difference) == ([BreakKind.OVER_AMOUNT], -100)


def test_match_of_what_is_absent_goes_by_the_day_on_which_it_is_due() -> None:
    found = run([expected(1, due_on=UNTIL), expected(2, due_on=UNTIL - timedelta(days=1))], [reported(3)])
    assert kinds(found) == [BreakKind.EXPECTED, BreakKind.MISSING, BreakKind.UNEXPECTED]


def test_match_of_a_line_that_comes_twice_pairs_one_and_names_the_other() -> None:
    found = run([expected(1)], [reported(1), reported(1, id=2)])
    assert pairs(found) == {(0, 0, How.REFERENCE)}
    assert [(each.kind, each.expected, each.reported) for each in found.differences] == [
        (BreakKind.DUPLICATE, (0,), (1,))
    ]


def test_match_of_two_captures_under_one_reference_pairs_equal_amounts() -> None:
    mine = [expected(1, 600), expected(2, 400, reference="pa_1", channel_reference="ch_1")]
    theirs = [reported(1, 400), reported(1, 600)]
    assert pairs(run(mine, theirs)) == {(0, 1, How.REFERENCE), (1, 0, How.REFERENCE)}


def test_match_of_two_captures_reported_as_one_goes_by_their_sum() -> None:
    mine = [expected(1, 600), expected(2, 400, reference="pa_1", channel_reference="ch_1")]
    found = run(mine, [reported(1, 1_000)])
    assert [(each.expected, each.reported) for each in found.groups] == [((0, 1), (0,))]
    assert not found.differences


def test_match_of_parts_that_do_not_sum_is_a_split_mismatch() -> None:
    mine = [expected(1, 600), expected(2, 400, reference="pa_1", channel_reference="ch_1")]
    found = run(mine, [reported(1, 999)])
    assert [(each.kind, each.expected, each.reported, each.difference) for each in found.differences] == [
        (BreakKind.SPLIT_MISMATCH, (0, 1), (0,), -1)
    ]


def test_match_of_the_last_of_several_names_its_own_difference() -> None:
    mine = [expected(1, 600), expected(2, 400, reference="pa_1", channel_reference="ch_1")]
    found = run(mine, [reported(1, 600), reported(1, 390)])
    assert pairs(found) == {(0, 0, How.REFERENCE)}
    assert [(each.kind, each.expected, each.difference) for each in found.differences] == [
        (BreakKind.UNDER_AMOUNT, (1,), -10)
    ]


def test_match_of_a_batch_total_sums_what_no_line_was_reported_for() -> None:
    mine = [expected(number, 100 * number, group="2026-11-02/CNY/sale") for number in (1, 2, 3)]
    total = reported(9, 600, kind="total", reference="", channel_reference="", group="2026-11-02/CNY/sale")
    found = run(mine, [total])
    assert [(each.how, each.expected, each.reported) for each in found.groups] == [
        (How.TOTAL, (0, 1, 2), (0,))
    ]
    wrong = run(mine, [msgspec.structs.replace(total, amount_minor=500)])
    assert [(each.kind, each.difference) for each in wrong.differences] == [(BreakKind.SPLIT_MISMATCH, -100)]


def test_match_under_one_batch_keeps_different_payments_apart() -> None:
    found = run([expected(1, group="b")], [reported(2, group="b")])
    assert kinds(found) == [BreakKind.MISSING, BreakKind.UNEXPECTED]


def test_match_by_amount_and_date_takes_only_the_only_two() -> None:
    nameless = {"reference": "", "channel_reference": ""}
    near = reported(9, 777, on=DAY + timedelta(days=1), **nameless)
    assert pairs(run([expected(1, 777)], [near])) == {(0, 0, How.AMOUNT_DATE)}
    rival = reported(8, 777, on=DAY + timedelta(days=4), **nameless)
    assert not pairs(run([expected(1, 777)], [near, rival]))
    assert not pairs(run([expected(1, 777), expected(2, 777)], [near]))
    far = msgspec.structs.replace(near, on=DAY + timedelta(days=3))
    assert not pairs(run([expected(1, 777)], [far]))
    named = msgspec.structs.replace(near, reference="pa_other")
    assert not pairs(run([expected(1, 777)], [named]))
    undated = msgspec.structs.replace(near, on=None)
    assert not pairs(run([expected(1, 777)], [undated]))


def test_match_with_another_cost_pairs_and_tells() -> None:
    found = run([expected(1, fee_minor=6)], [reported(1, fee_minor=8)])
    assert pairs(found) == {(0, 0, How.REFERENCE)}
    assert [(each.kind, each.difference) for each in found.differences] == [(BreakKind.FEE_MISMATCH, 2)]
    assert not run([expected(1, fee_minor=6)], [reported(1, fee_minor=7)], fee_tolerance_minor=1).differences
    assert not run([expected(1)], [reported(1, fee_minor=8)]).differences


def test_match_of_nothing_finds_nothing() -> None:
    found = run([], [])
    assert (len(found.expected), found.groups, found.differences) == (0, [], [])


def test_match_of_many_lines_under_one_reference_is_settled_like_few() -> None:
    mine = [expected(number, reference="0", channel_reference="") for number in range(20_000)]
    theirs = [reported(number, reference="0", channel_reference="") for number in range(20_001)]
    found = run(mine, theirs)
    assert (len(found.expected), kinds(found)) == (20_000, [BreakKind.DUPLICATE])


def test_reference_that_is_too_long_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="reference_too_long"):
        texts(["x" * 121])
    assert day_of(day_number(DAY)) == DAY
    assert day_of(day_number(None)) is None


def one_world(
    rng: random.Random, count: int
) -> tuple[list[Expected], list[Reported], dict[int, int], dict[int, str]]:
    """Books, a file with faults, which line is which record, and the fault of each record by its name."""
    mine = [
        expected(number, rng.randrange(1, 400), on=DAY + timedelta(days=rng.randrange(5)), due_on=DAY)
        for number in range(count)
    ]
    theirs: list[Reported] = []
    truth: dict[int, int] = {}
    faults: dict[int, str] = {}
    for number, record in enumerate(mine):
        line = reported(number, record.amount_minor, id=len(theirs), on=record.on)
        fault = rng.choice(
            ["", "", "", "", "missing", "over", "under", "currency", "duplicate", "late", "nameless"]
        )
        match fault:
            case "missing":
                faults[number] = "missing"
                continue
            case "over" | "under":
                step = 1 if fault == "over" else -1
                line = msgspec.structs.replace(
                    line, amount_minor=line.amount_minor + step * rng.randrange(1, 9) * 1_000
                )
                fault = "over_amount" if abs(line.amount_minor) > record.amount_minor else "under_amount"
            case "currency":
                line, fault = msgspec.structs.replace(line, currency="USD"), "currency_mismatch"
            case "late":
                assert line.on is not None
                line, fault = msgspec.structs.replace(line, on=line.on + timedelta(days=8)), "data_mismatch"
            case "nameless":
                line, fault = msgspec.structs.replace(line, reference="", channel_reference=""), ""
        if fault:
            faults[number] = fault
        truth[line.id] = number
        theirs.append(line)
        if fault == "duplicate":
            truth[len(theirs)] = number
            theirs.append(msgspec.structs.replace(line, id=len(theirs)))
    return mine, theirs, truth, faults


@given(seed=st.integers(0, 2**32), count=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_match_of_a_world_with_faults_pairs_only_what_belongs_together(seed: int, count: int) -> None:
    rng = random.Random(seed)
    mine, theirs, truth, faults = one_world(rng, count)
    rng.shuffle(theirs)
    found = run(mine, theirs)
    sure = {How.REFERENCE, How.CHANNEL_REFERENCE}
    for index, other, how in pairs(found):
        # Nameless lines of one amount may stand for each other; nothing else may.
        assert truth[theirs[other].id] == index or how not in sure
        assert mine[index].amount_minor == theirs[other].amount_minor
    for index, fault in faults.items():
        named = [each.kind.value for each in found.differences if index in each.expected]
        assert named == [fault], (index, fault)
    # Every record ends in one pair or one difference.
    ends = [index for index, _, _ in pairs(found)]
    ends += [
        index for each in found.differences if each.kind is not BreakKind.DUPLICATE for index in each.expected
    ]
    ends += [index for group in found.groups for index in group.expected]
    assert sorted(ends) == list(range(len(mine)))
    lines = [other for _, other, _ in pairs(found)]
    lines += [other for each in found.differences for other in each.reported]
    lines += [other for group in found.groups for other in group.reported]
    assert sorted(lines) == list(range(len(theirs)))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_match_does_not_depend_on_the_order_of_lines(seed: int) -> None:
    rng = random.Random(seed)
    mine, theirs, _, _ = one_world(rng, 40)
    again = sorted(theirs, key=lambda _: rng.random())
    first, second = run(mine, theirs), run(mine, again)

    def named(found: Matching, lines: list[Reported]) -> set[tuple[object, ...]]:
        rows = {(index, msgspec.structs.replace(lines[other], id=0)) for index, other, _ in pairs(found)}
        return {(index, msgspec.json.encode(line)) for index, line in rows}

    assert named(first, theirs) == named(second, again)
    assert sorted(kinds(first)) == sorted(kinds(second))
