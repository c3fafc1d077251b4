"""A stepped clock goes where its driver says, never back, and lets tasks have instants of their own."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tongbao.core.clock import FrozenClock, SteppedClock
from tongbao.core.ids import IdFactory

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_stepped_clock_never_goes_back() -> None:
    clock = SteppedClock(NOON)
    clock.go_to(NOON + HOUR)
    clock.go_to(NOON + HOUR)
    with pytest.raises(ValueError, match="does not go back"):
        clock.go_to(NOON)
    assert clock.now() == NOON + HOUR


def test_a_naive_instant_is_refused() -> None:
    clock = SteppedClock(NOON)
    with pytest.raises(ValueError, match="time zone"):
        clock.go_to(datetime(2027, 1, 1))  # noqa: DTZ001  # what is refused


async def test_tasks_side_by_side_have_instants_of_their_own() -> None:
    clock = SteppedClock(NOON)

    async def at(minutes: int) -> datetime:
        clock.of_own(NOON + timedelta(minutes=minutes))
        await asyncio.sleep(0)
        return clock.now()

    found = list(await asyncio.gather(at(1), at(2), at(3)))
    assert found == [NOON + timedelta(minutes=each) for each in (1, 2, 3)]
    assert clock.now() == NOON


def test_a_clock_that_was_let_go_runs_with_the_other_and_waits_for_it() -> None:
    clock, other = SteppedClock(NOON), FrozenClock(NOON - HOUR)
    clock.of_own(NOON - HOUR)
    clock.let_go(other)
    assert (clock.now(), clock.is_stepped) == (NOON, False)
    other.set(NOON + HOUR)
    assert clock.now() == NOON + HOUR
    other.set(NOON)
    assert clock.now() == NOON + HOUR
    with pytest.raises(ValueError, match="let go"):
        clock.go_to(NOON + 2 * HOUR)


def test_ids_never_go_backwards_while_time_becomes_real() -> None:
    clock = SteppedClock(NOON)
    ids = IdFactory(clock)
    made = [ids.uuid()]
    clock.of_own(NOON - HOUR)
    made.append(ids.uuid())
    clock.go_to(NOON + HOUR)
    made.append(ids.uuid())
    clock.let_go(FrozenClock(NOON))
    made.append(ids.uuid())
    assert made == sorted(set(made))
