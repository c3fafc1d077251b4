"""Volume commitments as prices: zero on track, the shortfall rate when it is certain, monotone in between."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.routing.policy.commitments import SPREAD_SHARE, expected_at_pace, price
from tongbao.routing.schema.spec import Commitment

COMMITMENT = Commitment(volume_minor=1_000_000, currency="EUR", shortfall_bps=40)
MINORS = st.integers(0, 2_000_000)
SHARES = st.floats(0, 1)


def test_price_on_track_or_ahead_is_nothing() -> None:
    for done, expected in ((1_000_000, 0), (400_000, 600_000), (2_000_000, 5)):
        assert price(COMMITMENT, done, expected, 0.5).bps == 0.0
    assert price(COMMITMENT, 399_999, 600_000, 0.5).bps > 0.0


@pytest.mark.parametrize(
    ("gap_in_spreads", "share_of_rate"), [(1.0, 0.682689), (2.0, 0.954500), (3.0, 0.997300)]
)
def test_price_follows_the_normal_distribution_of_the_gap(
    gap_in_spreads: float, share_of_rate: float
) -> None:
    left_share = 0.25
    spread = SPREAD_SHARE * COMMITMENT.volume_minor * math.sqrt(left_share)
    found = price(COMMITMENT, 0, COMMITMENT.volume_minor - round(gap_in_spreads * spread), left_share)
    assert found.gap_minor == round(gap_in_spreads * spread)
    assert found.shortfall_prob == pytest.approx(share_of_rate, abs=1e-6)
    assert found.bps == pytest.approx(40 * share_of_rate, abs=1e-4)


def test_price_of_any_gap_at_the_end_of_the_month_is_the_whole_rate() -> None:
    assert price(COMMITMENT, 999_999, 0, 0.0).bps == 40.0
    assert price(COMMITMENT, 1_000_000, 0, 0.0).bps == 0.0


def test_price_of_a_commitment_to_nothing_is_nothing() -> None:
    assert price(Commitment(volume_minor=0, currency="EUR", shortfall_bps=40), 0, 0, 1.0).bps == 0.0


@given(done=MINORS, expected=MINORS, left=SHARES, more=MINORS)
def test_price_never_rises_with_volume_and_stays_within_the_rate(
    done: int, expected: int, left: float, more: int
) -> None:
    here = price(COMMITMENT, done, expected, left).bps
    assert 0.0 <= here <= COMMITMENT.shortfall_bps
    assert price(COMMITMENT, done + more, expected, left).bps <= here
    assert price(COMMITMENT, done, expected + more, left).bps <= here


@given(done=MINORS, expected=MINORS, lefts=st.tuples(SHARES, SHARES))
def test_price_never_falls_as_time_runs_out(done: int, expected: int, lefts: tuple[float, float]) -> None:
    early, late = max(lefts), min(lefts)
    assert price(COMMITMENT, done, expected, late).bps >= price(COMMITMENT, done, expected, early).bps


@given(done=MINORS, expected=MINORS, left=SHARES, volumes=st.tuples(MINORS, MINORS))
def test_price_never_falls_with_the_volume_promised(
    done: int, expected: int, left: float, volumes: tuple[int, int]
) -> None:
    small, large = (Commitment(volume_minor=v, currency="EUR", shortfall_bps=40) for v in sorted(volumes))
    found = price(large, done, expected, left).bps - price(small, done, expected, left).bps
    assert found >= -1e-9


@given(done=st.integers(0, 900_000), left=st.floats(0.1, 1))
def test_price_is_smooth_where_time_is_left(done: int, left: float) -> None:
    steps = [price(COMMITMENT, done + minor, 0, left).bps for minor in range(0, 10_000, 1_000)]
    # A thousandth of the commitment moves the price by no more than the density of the noise allows.
    slope = 40 * 1_000 * math.sqrt(2 / math.pi) / (SPREAD_SHARE * COMMITMENT.volume_minor * math.sqrt(left))
    assert all(abs(b - a) <= slope + 1e-9 for a, b in pairwise(steps))


@pytest.mark.parametrize(
    ("done", "left_share", "expected"),
    [(0, 0.5, 0), (500, 0.5, 500), (300, 0.75, 900), (900, 0.0, 0), (5, 1.0, 0), (5, 1.5, 0)],
)
def test_expected_at_pace_goes_on_as_the_month_began(done: int, left_share: float, expected: int) -> None:
    assert expected_at_pace(done, left_share) == expected
