"""Buckets, arms and the shape of a roll-out."""

import hashlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.decisions.policy.rollout import RolloutOrder, bucket, fault_of, is_challenged, is_unproved
from tongbao.decisions.schema.evaluation import Verdict
from tongbao.decisions.schema.policies import Guardrail

SALT = "5a17"
UNITS = [f"cus_{number}" for number in range(20_000)]


def test_bucket_is_the_head_of_sha_256() -> None:
    head = int.from_bytes(hashlib.sha256(b"5a17:cus_1").digest()[:8], "big")
    assert bucket("5a17", "cus_1") == (head >> 11) / 2**53
    assert math.isclose(bucket("5a17", "cus_1"), head / 2**64)


@given(st.text(max_size=40), st.text(st.characters(), max_size=40))
def test_bucket_of_any_text_lies_between_zero_and_one(salt: str, unit: str) -> None:
    assert 0 <= bucket(salt, unit) < 1
    assert bucket(salt, unit) == bucket(salt, unit)


def test_bucket_takes_half_a_surrogate() -> None:
    assert 0 <= bucket("5a17", "\ud800") < 1


def test_buckets_are_even() -> None:
    counts = [0] * 20
    for unit in UNITS:
        counts[int(bucket("5a17", unit) * 20)] += 1
    expected = len(UNITS) / 20
    # chi-square with 19 degrees of freedom: 43.8 is passed once in a thousand
    assert sum((count - expected) ** 2 / expected for count in counts) < 43.8


def test_buckets_under_different_salts_are_independent() -> None:
    both = sum(bucket("one", unit) < 0.5 and bucket("two", unit) < 0.5 for unit in UNITS)
    assert abs(both / len(UNITS) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(UNITS))


@given(st.text(max_size=20), st.integers(0, 10_000), st.integers(0, 10_000))
def test_growing_share_never_takes_a_unit_from_the_challenger(unit: str, one: int, other: int) -> None:
    smaller, larger = sorted((one, other))
    if is_challenged(SALT, smaller, unit):
        assert is_challenged(SALT, larger, unit)


@pytest.mark.parametrize("share_bps", [1, 500, 5_000])
def test_challenger_gets_its_share_of_the_units(share_bps: int) -> None:
    share = share_bps / 10_000
    found = sum(is_challenged(SALT, share_bps, unit) for unit in UNITS) / len(UNITS)
    assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / len(UNITS))


def test_challenger_at_the_ends_gets_nobody_and_everybody() -> None:
    assert not any(is_challenged(SALT, 0, unit) for unit in UNITS[:500])
    assert all(is_challenged(SALT, 10_000, unit) for unit in UNITS[:500])


SOUND = RolloutOrder(
    champion=1, challenger=2, share_bps=500, shadow=3, guardrails=(Guardrail(outcome="a", worse_by=0),)
)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({}, ""),
        ({"champion": 2}, "different"),
        ({"shadow": 2}, "different"),
        ({"share_bps": -1}, "share_bps"),
        ({"share_bps": 10_001}, "share_bps"),
        ({"challenger": None}, "without a challenger"),
        ({"challenger": None, "share_bps": 0}, "without a challenger"),
        ({"challenger": None, "share_bps": 0, "guardrails": ()}, ""),
        ({"share_bps": 10_000}, "compares"),
        ({"share_bps": 10_000, "guardrails": ()}, ""),
        ({"guardrails": tuple(Guardrail(outcome=str(n), worse_by=0) for n in range(11))}, "at most 10"),
        ({"guardrails": (Guardrail(outcome="a", worse_by=0),) * 2}, "one guardrail"),
        ({"guardrails": (Guardrail(outcome="", worse_by=0),)}, "names an outcome"),
        ({"guardrails": (Guardrail(outcome="chosen=", worse_by=0),)}, "names what is chosen"),
        ({"guardrails": (Guardrail(outcome="chosen=decline", worse_by=0),)}, ""),
        ({"guardrails": (Guardrail(outcome="a", worse_by=-0.1),)}, "worse_by"),
        ({"guardrails": (Guardrail(outcome="a", worse_by=math.nan),)}, "worse_by"),
        ({"guardrails": (Guardrail(outcome="a", worse_by=0, value_range=0),)}, "value_range"),
        ({"guardrails": (Guardrail(outcome="a", worse_by=0, value_range=math.inf),)}, "value_range"),
        ({"guardrails": (Guardrail(outcome="a", worse_by=0, count_min=1),)}, "count_min"),
    ],
)
def test_fault_of_an_order_names_what_is_wrong(changes: dict[str, object], part: str) -> None:
    fault = fault_of(msgspec.structs.replace(SOUND, **changes))
    assert part in fault
    assert bool(part) == bool(fault)


@pytest.mark.parametrize(
    ("share_bps", "verdict", "is_forced", "expected"),
    [
        (10_000, None, False, False),
        (10_000, Verdict.BETTER, False, False),
        (10_000, Verdict.UNDECIDED, False, False),
        (500, Verdict.REFUSED, False, False),
        (501, Verdict.REFUSED, False, True),
        (501, Verdict.REFUSED, True, True),
        (500, Verdict.WORSE, False, False),
        (501, Verdict.WORSE, False, True),
        (501, Verdict.WORSE, True, False),
    ],
)
def test_is_unproved_by_verdict_and_share(
    share_bps: int, verdict: Verdict | None, is_forced: bool, expected: bool
) -> None:
    assert is_unproved(share_bps, verdict, is_forced=is_forced) is expected
