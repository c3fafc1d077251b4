"""The back-test of rules: what is counted, what is estimated, and what is said to be unknown."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.routing.policy.rules import Rules
from tongbao.routing.policy.rules_backtest import (
    ESTIMATE_COUNT_MIN,
    NOWHERE,
    RANKED,
    ROWS_MAX,
    Logged,
    Move,
    backtest,
    sentence,
    wilson,
)
from tongbao.routing.policy.rules_text import parse
from tongbao.routing.schema.payments import Payment

CHANNELS = ("a", "b", "c")


def row(
    channel: str, *, approved: bool = True, amount_minor: int = 100, hour: int = 0, currency: str = "EUR"
) -> Logged:
    payment = Payment(
        book_id=7, live=True, subject_id=UUID(int=1), amount_minor=amount_minor, currency=currency, method="card", hour=hour
    )  # fmt: skip
    return Logged(payment, channel, CHANNELS, approved, 3)


def rules(text: str) -> Rules:
    return parse(text, CHANNELS)


NOTHING = Rules()


def test_backtest_counts_matches_changes_money_and_cost_by_rule() -> None:
    rows = [row("a"), row("a", approved=False, currency="USD"), row("b", amount_minor=7), row("a", hour=9)]
    found = backtest(
        rows, NOTHING, rules("early: when hour < 6 then prefer b\nlate: when hour > 6 then avoid c")
    )
    early, late = found.rules
    assert (found.payments_count, found.changed_count) == (4, 2)
    assert (early.name, early.matched_count, early.changed_count) == ("early", 3, 2)
    assert early.amounts == {"EUR": 100, "USD": 100}
    assert early.costs == {"EUR": 6, "USD": 3}
    assert (early.approval.count, early.approval.approved_count) == (3, 2)
    (move,) = early.moves
    assert (move.from_channel, move.to_channel, move.count) == ("a", "b", 2)
    assert (move.seen.count, move.seen.approved_count) == (2, 1)
    assert (move.there.count, move.there.approved_count) == (1, 1)
    assert (late.matched_count, late.changed_count, late.moves) == (1, 0, ())


@pytest.mark.parametrize(
    ("old", "new", "moves"),
    [
        ("", "r: when true then prefer a", []),
        ("", "r: when true then prefer c, a", [("a", "c", 1.0)]),
        ("", "r: when true then only b", [("a", "b", 1.0)]),
        ("", "r: when true then avoid a", [("a", RANKED, 1.0)]),
        ("", "r: when true then avoid b", []),
        ("", "r: when true then avoid a, b, c", [("a", NOWHERE, 1.0)]),
        ("", "r: when true then split a 70, b 20, c 10", [("a", "b", 0.2), ("a", "c", 0.1)]),
        ("", "r: when true then split a 99, b 1", [("a", "b", 0.01)]),
        # The same as before: whatever made the route differ (an open breaker) would do so again.
        ("r: when true then prefer c", "r: when true then prefer c", []),
        ("old: when true then prefer c", "new: when hour == 0 then prefer c", []),
    ],
)
def test_backtest_moves_a_payment_as_far_as_rules_decide(
    old: str, new: str, moves: list[tuple[str, str, float]]
) -> None:
    (result,) = backtest([row("a")], rules(old), rules(new)).rules
    assert [(move.from_channel, move.to_channel, move.count) for move in result.moves] == moves


def test_backtest_blames_the_filter_even_where_another_rule_chooses() -> None:
    found = backtest([row("a")], NOTHING, rules("f: when true then avoid a\np: when true then prefer c"))
    assert [(each.name, each.changed_count) for each in found.rules] == [("f", 1), ("p", 0)]


def test_backtest_of_a_split_expects_whole_minor_units() -> None:
    rows = [row("a", amount_minor=333) for _ in range(3)]
    (result,) = backtest(rows, NOTHING, rules("s: when true then split a 50, b 50")).rules
    assert result.moves[0].count == 1.5
    assert result.moves[0].amounts == {"EUR": 500}  # 499.5


def test_backtest_tells_apart_what_a_dropped_rule_leaves_to_the_ranking() -> None:
    rows = [row("a"), row("a", hour=9), row("b", amount_minor=5)]
    old = rules("early: when hour < 6 then prefer a\nlate: when hour > 6 then avoid b")
    found = backtest(rows, old, NOTHING)
    assert found.rules == ()
    assert found.changed_count == 0
    assert [(each.rule, each.count, each.amounts) for each in found.released] == [
        ("early", 2, {"EUR": 105}),
        ("late", 1, {"EUR": 100}),
    ]


def moved(there: int) -> Move:
    rows = [row("a", approved=False)] + [row("b", approved=n % 4 > 0) for n in range(there)]
    return backtest(rows, NOTHING, rules("r: when true then prefer b")).rules[0].moves[0]


def test_sentence_refuses_an_estimate_under_the_minimum() -> None:
    few, enough = moved(ESTIMATE_COUNT_MIN - 1), moved(ESTIMATE_COUNT_MIN)
    assert not few.there.is_enough
    assert enough.there.is_enough
    assert sentence(few) == (
        "1 payments would have left a, where 0 of 1 were approved (0.0 %, 95 % interval 0.0 to 79.3 %), for b. "
        "How they would have fared there is unknown; only 29 payments like them went there, too few for an estimate."
    )
    assert sentence(enough).endswith(
        "How they would have fared there is unknown; of the payments like them that did go there "
        "22 of 30 were approved (73.3 %, 95 % interval 55.6 to 85.8 %)."
    )


def test_sentence_says_where_the_ranking_or_nothing_is_left() -> None:
    for text, said in (
        ("avoid a", "where to is unknown"),
        ("avoid a, b, c", "no channel would have been left"),
    ):
        (result,) = backtest([row("a")], NOTHING, rules(f"r: when true then {text}")).rules
        assert said in sentence(result.moves[0])


@pytest.mark.parametrize(
    ("approved", "count", "low", "high"),
    [(0, 0, 0.0, 1.0), (5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)],
)
def test_wilson_gives_the_published_interval(approved: int, count: int, low: float, high: float) -> None:
    assert list(wilson(approved, count)) == pytest.approx([low, high], abs=1e-4)


def test_backtest_of_a_channel_that_was_no_candidate_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        backtest([row("z")], NOTHING, NOTHING)
    assert refused.value.code == "backtest_row_invalid"


def test_backtest_of_too_many_rows_is_refused() -> None:
    with pytest.raises(LimitExceeded) as refused:
        backtest([row("a")] * (ROWS_MAX + 1), NOTHING, NOTHING)
    assert refused.value.code == "backtest_too_long"


TEXTS = st.sampled_from(
    [
        "",
        "p: when hour < 12 then prefer b",
        "o: when hour < 5 then only a, b\ns: when true then split a 40, b 35, c 25",
        "x: when hour > 3 then avoid a\np: when hour > 2 then prefer c, a",
        "n: when hour == 7 then avoid a, b, c",
    ]
)
ROWS = st.lists(
    st.builds(
        lambda channel, ok, minor, hour: row(channel, approved=ok, amount_minor=minor, hour=hour),
        st.sampled_from(CHANNELS),
        st.booleans(),
        st.integers(0, 10**6),
        st.integers(0, 23),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, old=TEXTS, new=TEXTS)
def test_backtest_changes_no_more_than_there_is(rows: list[Logged], old: str, new: str) -> None:
    found = backtest(rows, rules(old), rules(new))
    assert found.changed_count + sum(each.count for each in found.released) <= len(rows) + 1e-9
    for result in found.rules:
        assert result.matched_count <= len(rows)
        assert result.changed_count == pytest.approx(sum(move.count for move in result.moves))
        assert sum(result.amounts.values()) <= sum(each.payment.amount_minor for each in rows)
        assert all(move.from_channel != move.to_channel for move in result.moves)
    if old == new:
        assert found.changed_count == 0
        assert found.released == ()
