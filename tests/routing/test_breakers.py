"""Circuit breakers: what opens them, how they come back, and what they leave alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.routing.models.breakers import CLOSED, HALF_OPEN, OPEN, Breakers, BreakerTuning

TUNING = BreakerTuning(
    step=0.15,
    threshold=0.35,
    wait_s=10.0,
    wait_s_max=60.0,
    probe_shares=(0.02, 0.05, 0.15),
    probe_share_max=0.2,
    impatience_s=100.0,
)
ROW = np.array([1])
ILL, WELL = 1.0, 0.0


class Patient:
    """One breaker and the instant of its last news."""

    def __init__(self, tuning: BreakerTuning = TUNING) -> None:
        self.tuning = tuning
        self.breakers = Breakers(tuning)

    def learn(self, at_s: float, ill: float, sent_s: float | None = None) -> None:
        """One end at an instant, of an attempt that was sent then or earlier."""
        sent = at_s if sent_s is None else sent_s
        self.breakers.learn(ROW, np.array([at_s]), np.array([sent]), np.array([ill]))

    def open(self, at_s: float = 0.0) -> float:
        """Fail until it opens, all at one instant; return that instant."""
        for _ in range(20):
            self.learn(at_s, ILL)
            if self.state(at_s) == OPEN:
                return at_s
        raise AssertionError("it never opened")

    def state(self, at_s: float) -> int:
        return int(self.breakers.read(ROW, np.array([at_s])).state[0])

    def share(self, at_s: float) -> float:
        return float(self.breakers.read(ROW, np.array([at_s])).probe_share[0])


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], CLOSED),
        ([ILL], CLOSED),
        ([ILL] * 2, CLOSED),
        ([ILL] * 3, OPEN),
        ([WELL] * 50 + [ILL] * 2, CLOSED),
        ([WELL] * 50 + [ILL] * 3, OPEN),
        ([ILL, WELL] * 2, CLOSED),
        ([ILL, WELL, WELL, WELL] * 20, CLOSED),
        ([ILL, ILL, WELL] * 10, OPEN),
    ],
)
def test_learn_opens_by_the_moving_rate_of_technical_ends(ends: list[float], expected: int) -> None:
    patient = Patient()
    for ill in ends:
        patient.learn(0.0, ill)
    assert patient.state(0.0) == expected


def test_learn_of_what_issuers_decline_never_opens() -> None:
    patient = Patient()
    for number in range(1_000):
        patient.learn(float(number), WELL)
    assert patient.state(1_000.0) == CLOSED
    assert patient.breakers.rate[1] == 0


def test_good_end_above_the_threshold_does_not_open() -> None:
    patient = Patient()
    patient.breakers.rate[1] = 0.9
    patient.learn(0.0, WELL)
    assert patient.state(0.0) == CLOSED


@pytest.mark.parametrize(
    ("after_s", "expected"),
    [
        (0.0, OPEN),
        (9.999, OPEN),
        (10.0, HALF_OPEN),
        (1_000_000.0, HALF_OPEN),
    ],
)
def test_open_breaker_waits_and_is_half_open_then(after_s: float, expected: int) -> None:
    patient = Patient()
    assert patient.state(patient.open() + after_s) == expected


def test_probe_share_grows_with_probes_that_end_well_until_it_heals() -> None:
    patient = Patient()
    patient.open()
    shares = []
    for number in range(3):
        at_s = 10.0 + number
        shares.append(patient.share(at_s))
        assert patient.state(at_s) == HALF_OPEN
        patient.learn(at_s, WELL)
    assert patient.state(13.0) == CLOSED
    assert shares == sorted(shares)
    assert [round(each, 2) for each in shares] == [0.02, 0.05, 0.15]
    assert patient.share(13.0) == 0


def test_healed_breaker_is_on_probation() -> None:
    patient = Patient()
    patient.open()
    for number in range(3):
        patient.learn(10.0 + number, WELL)
    assert patient.breakers.rate[1] == TUNING.threshold / 2
    patient.learn(20.0, ILL)
    assert patient.state(20.0) == CLOSED
    patient.learn(20.0, ILL)
    assert patient.state(20.0) == OPEN


def test_idle_half_open_breaker_asks_for_more_probes_up_to_the_most() -> None:
    patient = Patient()
    patient.open()
    shares = [patient.share(10.0 + idle_s) for idle_s in (0.0, 25.0, 50.0, 100.0, 5_000.0)]
    assert shares == sorted(shares)
    assert shares[0] == TUNING.probe_shares[0]
    assert shares[-1] == shares[-2] == TUNING.probe_share_max
    # A probe that came back is news: it is patient again.
    patient.learn(110.0, WELL)
    assert patient.share(110.0) == pytest.approx(TUNING.probe_shares[1])


def test_failed_probe_doubles_the_wait_up_to_the_most_and_begins_anew() -> None:
    patient = Patient()
    at_s = patient.open()
    waits = []
    for wait_s in (10.0, 20.0, 40.0, 60.0, 60.0):
        assert patient.state(at_s + wait_s - 0.01) == OPEN
        assert patient.state(at_s + wait_s) == HALF_OPEN
        at_s += wait_s
        patient.learn(at_s, WELL)
        patient.learn(at_s, ILL)
        waits.append(float(patient.breakers.wait_s[1]))
        assert patient.breakers.probes[1] == 0
    assert waits == [20.0, 40.0, 60.0, 60.0, 60.0]


def test_healing_gives_the_short_wait_back() -> None:
    patient = Patient()
    patient.open()
    patient.learn(10.0, ILL)
    for number in range(3):
        patient.learn(30.0 + number, WELL)
    assert patient.state(33.0) == CLOSED
    patient.open(40.0)
    assert patient.state(50.0) == HALF_OPEN


@pytest.mark.parametrize("ill", [ILL, WELL])
@pytest.mark.parametrize("sent_s", [-30.0, -0.1, 0.0, 9.9])
def test_end_of_an_attempt_sent_before_probing_began_is_left_out(ill: float, sent_s: float) -> None:
    patient = Patient()
    patient.open()
    before = patient.breakers.read(ROW, np.array([12.0]))
    patient.learn(11.0, ill, sent_s)
    assert patient.breakers.read(ROW, np.array([12.0])) == before


def test_waiting_is_told_from_when_it_is_half_open_and_never_for_closed_ones() -> None:
    patient = Patient()
    assert patient.breakers.read(ROW, np.array([3.0])).waiting_s[0] == -np.inf
    patient.open()
    assert patient.breakers.read(ROW, np.array([4.0])).waiting_s[0] == -6.0
    assert patient.breakers.read(ROW, np.array([17.0])).waiting_s[0] == 7.0


def test_rows_are_independent_and_the_one_of_the_unseen_stays_closed() -> None:
    breakers = Breakers(TUNING, rows=4)
    for _ in range(9):
        zeros = np.zeros(2)
        breakers.learn(np.array([1, 3]), zeros, zeros, np.array([ILL, WELL]))
    assert breakers.read(np.arange(4), np.zeros(4)).state.tolist() == [0, OPEN, 0, 0]


def test_hold_and_keep_carry_every_row_over() -> None:
    breakers = Breakers(TUNING, rows=2)
    for _ in range(9):
        breakers.learn(ROW, np.zeros(1), np.zeros(1), np.ones(1))
    breakers.hold(100)
    assert breakers.read(np.array([0, 1, 99]), np.zeros(3)).state.tolist() == [0, OPEN, 0]
    breakers.keep(np.array([0, 99, 1]))
    assert breakers.read(np.arange(3), np.zeros(3)).state.tolist() == [0, 0, OPEN]


NEWS = st.tuples(st.floats(0.0, 40.0), st.sampled_from((ILL, WELL)), st.sampled_from((0.0, 0.5, 15.0, 100.0)))
TUNINGS = st.builds(
    BreakerTuning,
    step=st.floats(0.05, 1.0),
    threshold=st.floats(0.05, 0.9),
    wait_s=st.floats(0.5, 30.0),
    wait_s_max=st.floats(30.0, 300.0),
    probe_shares=st.lists(st.floats(0.001, 0.15), min_size=1, max_size=5).map(
        lambda each: tuple(sorted(each))
    ),
    probe_share_max=st.floats(0.15, 0.5),
    impatience_s=st.floats(1.0, 500.0),
)


@settings(max_examples=120, deadline=None)
@given(TUNINGS, st.lists(NEWS, max_size=60))
def test_breaker_never_leaves_its_states(
    tuning: BreakerTuning, news: list[tuple[float, float, float]]
) -> None:
    """Whatever comes: known states, moves that are allowed, shares within bounds, waits within bounds."""
    patient = Patient(tuning)
    now_s = 0.0
    for gap_s, ill, took_s in news:
        now_s += gap_s
        before = patient.state(now_s)
        patient.learn(now_s, ill, now_s - took_s)
        after = patient.state(now_s)
        allowed: dict[int, set[int]] = {
            CLOSED: {CLOSED, OPEN},
            OPEN: {OPEN},
            HALF_OPEN: {HALF_OPEN, OPEN, CLOSED},
        }
        assert after in allowed[before]
        if ill == WELL:
            assert after != OPEN or before == OPEN
        else:
            assert after != CLOSED or before == CLOSED
        _within_bounds(patient, now_s)


def _within_bounds(patient: Patient, now_s: float) -> None:
    tuning, breakers = patient.tuning, patient.breakers
    assert 0 <= breakers.rate[1] <= 1
    assert tuning.wait_s <= breakers.wait_s[1] <= max(tuning.wait_s, tuning.wait_s_max)
    assert 0 <= breakers.probes[1] < tuning.probes_to_close
    for later_s in (0.0, 5.0, 1_000.0):
        share, state = patient.share(now_s + later_s), patient.state(now_s + later_s)
        most = max(tuning.probe_share_max, *tuning.probe_shares)
        assert 0 <= share <= most + 1e-12
        assert (share > 0) == (state == HALF_OPEN)


@settings(max_examples=60, deadline=None)
@given(st.lists(NEWS, max_size=40))
def test_rows_learned_side_by_side_equal_each_alone(news: list[Any]) -> None:
    many, rows = Breakers(TUNING), np.array([1, 2])
    first, second = Patient(), Patient()
    now_s = 0.0
    for gap_s, ill, took_s in news:
        now_s += gap_s
        at_s = np.full(2, now_s)
        many.learn(rows, at_s, at_s - took_s, np.array([ill, 1 - ill]))
        first.learn(now_s, ill, now_s - took_s)
        second.learn(now_s, 1 - ill, now_s - took_s)
    for row, alone in ((1, first), (2, second)):
        for name in Breakers.COLUMNS:
            assert getattr(many, name)[row] == getattr(alone.breakers, name)[1]
