"""Calls under way: counted while they are open, overdue by what their channel needed lately."""

from uuid import UUID

import pytest

from tongbao.routing.service.under_way import (
    ANSWERS_MIN,
    CALLS_MAX,
    HORIZON_S,
    OVERDUE_COUNTED_MAX,
    OVERDUE_S,
    OVERDUE_S_MIN,
    OVERDUE_TIMES,
    Calls,
    UnderWay,
)

LINE = (True, "card", "a")
OTHER = (True, "card", "b")


def answered(took_s: float, count: int = ANSWERS_MIN) -> UnderWay:
    """Return calls of a line that has answered so many, each after ``took_s``."""
    calls = UnderWay()
    for number in range(count):
        calls.begin(UUID(int=number + 1_000), LINE, 0.0)
        calls.end(UUID(int=number + 1_000), took_s)
    return calls


def test_calls_are_open_until_they_end_and_count_on_their_own_line() -> None:
    calls = UnderWay()
    calls.begin(UUID(int=1), LINE, 0.0)
    calls.begin(UUID(int=2), LINE, 0.1)
    calls.begin(UUID(int=3), OTHER, 0.1)
    calls.end(UUID(int=1), 0.2)
    assert calls.calls(LINE, 0.3) == Calls(1, 0)
    assert calls.calls(OTHER, 0.3) == Calls(1, 0)
    assert calls.calls((False, "card", "a"), 0.3) == Calls(0, 0)


def test_end_of_a_call_that_is_not_known_changes_nothing() -> None:
    calls = UnderWay()
    calls.begin(UUID(int=1), LINE, 0.0)
    calls.end(UUID(int=9), 0.1)
    calls.end(UUID(int=1))
    calls.end(UUID(int=1), 0.2)
    assert calls.calls(LINE, 0.3) == Calls(0, 0)


@pytest.mark.parametrize(
    ("took_s", "count", "overdue_s"),
    [
        (0.02, ANSWERS_MIN, OVERDUE_S_MIN),
        (0.02, ANSWERS_MIN - 1, OVERDUE_S),
        (0.5, ANSWERS_MIN, OVERDUE_TIMES * 0.5),
        (10.0, ANSWERS_MIN, OVERDUE_S),
    ],
)
def test_call_is_overdue_by_what_the_channel_needed_lately(
    took_s: float, count: int, overdue_s: float
) -> None:
    calls = answered(took_s, count)
    calls.begin(UUID(int=1), LINE, 100.0)
    assert calls.calls(LINE, 100.0 + overdue_s - 0.01) == Calls(1, 0)
    assert calls.calls(LINE, 100.0 + overdue_s) == Calls(1, 1)


def test_slow_answer_of_long_ago_is_forgotten() -> None:
    calls = answered(3.0)
    for number in range(200):
        calls.begin(UUID(int=number + 5_000), LINE, 10.0)
        calls.end(UUID(int=number + 5_000), 10.02)
    calls.begin(UUID(int=1), LINE, 100.0)
    assert calls.calls(LINE, 100.0 + OVERDUE_S_MIN).overdue == 1


def test_one_slow_answer_makes_the_next_calls_wait_longer() -> None:
    calls = answered(0.02)
    calls.begin(UUID(int=2), LINE, 50.0)
    calls.end(UUID(int=2), 50.9)
    calls.begin(UUID(int=1), LINE, 100.0)
    assert calls.calls(LINE, 100.0 + OVERDUE_TIMES * 0.9 - 0.01).overdue == 0


def test_call_that_is_forgotten_says_nothing_of_answers() -> None:
    calls = answered(0.02)
    calls.begin(UUID(int=2), LINE, 0.0)
    # It lies beyond the horizon, and nobody heard that it ended.
    assert calls.calls(LINE, HORIZON_S) == Calls(0, 0)
    calls.begin(UUID(int=1), LINE, 100.0)
    assert calls.calls(LINE, 100.0 + OVERDUE_S_MIN).overdue == 1


def test_overdue_calls_are_counted_up_to_a_maximum() -> None:
    calls = UnderWay()
    for number in range(OVERDUE_COUNTED_MAX + 5):
        calls.begin(UUID(int=number), LINE, 0.0)
    assert calls.calls(LINE, OVERDUE_S) == Calls(OVERDUE_COUNTED_MAX + 5, OVERDUE_COUNTED_MAX)


def test_beyond_the_maximum_the_oldest_call_is_forgotten() -> None:
    calls = UnderWay()
    for number in range(CALLS_MAX + 1):
        calls.begin(UUID(int=number), LINE if number else OTHER, 0.0)
    assert calls.calls(OTHER, 0.1).open == 0
    assert calls.calls(LINE, 0.1).open == CALLS_MAX
