"""Clocks: frozen, simulated and real."""

import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest

from tongbao.core.clock import Clock, FrozenClock, RealClock, SimulatedClock, require_utc

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Zoneless(tzinfo):
    """A time zone that does not know its offset, which Python takes for none at all."""

    def utcoffset(self, _at: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, _at: datetime | None) -> None:
        return None


class Machine:
    """A stand-in for the machine's monotonic seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)


def test_frozen_clock_stands_until_it_is_moved() -> None:
    clock = FrozenClock(NOON)
    assert clock.now() == clock.now() == NOON
    clock.advance(timedelta(seconds=5))
    assert clock.now() == NOON + timedelta(seconds=5)
    clock.advance(timedelta(days=-1))
    assert clock.now() == NOON + timedelta(days=-1, seconds=5)
    clock.set(NOON)
    assert clock.now() == NOON


def test_simulated_clock_runs_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    clock = SimulatedClock(NOON, speed=3600.0)
    assert clock.now() == NOON
    machine.seconds += 24
    assert clock.now() == NOON + timedelta(days=1)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_simulated_clock_with_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        SimulatedClock(NOON, speed)


def test_real_clock_reads_the_machine_in_utc() -> None:
    before = datetime.now(UTC)
    now = RealClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_require_utc_of_another_zone_gives_the_same_instant_in_utc() -> None:
    shanghai = timezone(timedelta(hours=8))
    at = require_utc(datetime(2026, 5, 1, 20, tzinfo=shanghai))
    assert at == NOON
    assert at.tzinfo is UTC


@pytest.mark.parametrize("zone", [None, Zoneless()])
def test_instant_without_a_zone_is_refused_everywhere(zone: tzinfo | None) -> None:
    naive = datetime(2026, 5, 1, tzinfo=zone)
    with pytest.raises(ValueError, match="time zone"):
        require_utc(naive)
    with pytest.raises(ValueError, match="time zone"):
        FrozenClock(naive)
    with pytest.raises(ValueError, match="time zone"):
        FrozenClock(NOON).set(naive)
    with pytest.raises(ValueError, match="time zone"):
        SimulatedClock(naive)


def test_every_clock_fits_the_protocol() -> None:
    clocks: list[Clock] = [RealClock(), FrozenClock(NOON), SimulatedClock(NOON)]
    assert all(clock.now().tzinfo is UTC for clock in clocks)
