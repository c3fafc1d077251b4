"""Who gets which arm: even, independent of every other experiment, the same everywhere, exclusive within a layer."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from tongbao.decisions.policy import assignment
from tongbao.decisions.policy.rollout import bucket
from tongbao.decisions.schema.experiments import Epoch, Experiment, ExperimentState, Metric, Place

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BUCKET_0 = 0.889378
KNOWN = [
    "calm",
    "control",
    "control",
    "control",
    "control",
    "control",
    "control",
    "control",
    "control",
    "control",
    "bold",
    "control",
]
UNITS = [f"cus_{number}" for number in range(100_000)]


SOME = UNITS[:30_000]


def experiment(salt: str = "pepper", **changes: object) -> Experiment:
    made = Experiment(
        book_id=7,
        name="checkout",
        version=2,
        state=ExperimentState.RUNNING,
        unit="customer",
        salt=salt,
        arms=("control", "bold", "calm"),
        epochs=(weights(control=5_000, bold=3_000, calm=2_000),),
        metric=Metric(outcome="paid"),
        created_at=NOON,
        updated_at=NOON,
        started_at=NOON,
        created_by="person:test",
    )
    return msgspec.structs.replace(made, **changes)


def weights(number: int = 1, **weights_bps: int) -> Epoch:
    return Epoch(number=number, started_at=NOON, weights_bps=weights_bps)


def arms(made: Experiment, units: list[str]) -> list[str | None]:
    plan = assignment.plan(made)
    placed = [assignment.place(plan, unit) for unit in units]
    return [None if each is None else each.arm for each in placed]


def numbers(made: Experiment) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Arms as numbers, for correlations."""
    order = {arm: float(place) for place, arm in enumerate(made.arms)}
    return np.array([order[arm] for arm in arms(made, UNITS) if arm is not None])


def test_place_of_100_000_units_splits_by_the_weights() -> None:
    placed = arms(experiment(), UNITS)
    counts = [placed.count(arm) for arm in ("control", "bold", "calm")]
    assert sum(counts) == len(UNITS)
    assert chisquare(counts, [50_000, 30_000, 20_000]).pvalue > 0.001


def test_place_in_two_experiments_is_uncorrelated() -> None:
    one, other = numbers(experiment("pepper")), numbers(experiment("paprika"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.01


def test_place_in_the_arms_of_a_layer_is_uncorrelated_with_the_slice() -> None:
    inside = set(sliced(0, 5_000))
    flags = np.array([float(unit in inside) for unit in SOME])
    assert abs(np.corrcoef(flags, numbers(experiment())[: len(SOME)])[0, 1]) < 0.02


def test_place_in_another_process_is_the_same() -> None:
    code = (
        "from tongbao.decisions.policy.rollout import bucket;"
        "print([bucket('pepper', f'cus_{n}') for n in range(200)])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "77"}
    )
    assert told.stdout.strip() == str([bucket("pepper", unit) for unit in UNITS[:200]])


def test_place_of_known_units_never_changes() -> None:
    # A change here would move units of running experiments into other arms.
    # Each by hand: int(sha256(b"pepper:cus_0").hexdigest()[:16], 16) / 2**64, and so on.
    assert bucket("pepper", "cus_0") == pytest.approx(BUCKET_0, abs=1e-6)
    assert arms(experiment(), UNITS[:12]) == KNOWN


def sliced(low: int, high: int, layer: str = "pages") -> list[str]:
    made = experiment(f"salt-{low}", layer=layer, layer_from_bps=low, layer_to_bps=high)
    return [unit for unit, arm in zip(SOME, arms(made, SOME), strict=True) if arm is not None]


def test_place_in_slices_of_a_layer_excludes_and_covers() -> None:
    first, second, third = sliced(0, 2_500), sliced(2_500, 7_000), sliced(7_000, 10_000)
    assert sorted([*first, *second, *third]) == sorted(SOME)
    assert chisquare([len(first), len(second), len(third)], [7_500, 13_500, 9_000]).pvalue > 0.001


def test_place_in_two_layers_is_independent() -> None:
    both = set(sliced(0, 5_000, "pages")) & set(sliced(0, 5_000, "prices"))
    assert len(both) / len(SOME) == pytest.approx(0.25, abs=0.01)


def test_place_after_a_change_of_weights_moves_no_more_than_it_must() -> None:
    before = arms(experiment(), UNITS)
    grown = experiment(
        epochs=(
            weights(control=5_000, bold=3_000, calm=2_000),
            weights(2, control=4_000, bold=4_000, calm=2_000),
        )
    )
    after = arms(grown, UNITS)
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    assert moved / len(UNITS) == pytest.approx(0.1, abs=0.005)
    assert assignment.place(assignment.plan(grown), "cus_1") == Place(str(after[1]), 2)


def test_place_under_weight_zero_never_happens() -> None:
    made = experiment(epochs=(weights(control=5_000, bold=0, calm=5_000),))
    assert set(arms(made, UNITS[:20_000])) == {"control", "calm"}


@given(unit=st.text(min_size=1, max_size=200), low=st.integers(0, 9_999), width=st.integers(1, 10_000))
@settings(max_examples=200, deadline=None)
def test_place_of_any_text_is_an_arm_or_outside(unit: str, low: int, width: int) -> None:
    high = min(low + width, 10_000)
    made = experiment(layer="pages", layer_from_bps=low, layer_to_bps=high)
    inside = low / 10_000 <= bucket("layer:pages:7", unit) < high / 10_000
    assert (arms(made, [unit])[0] in made.arms) == inside


@pytest.mark.parametrize(
    ("low", "high", "layer", "expected"),
    [
        (0, 5_000, "pages", True),
        (4_999, 10_000, "pages", True),
        (5_000, 10_000, "pages", False),
        (0, 10_000, "prices", False),
        (0, 10_000, None, False),
    ],
)
def test_overlaps_compares_slices_of_one_layer(
    low: int, high: int, layer: str | None, expected: bool
) -> None:
    one = experiment(layer="pages", layer_from_bps=0, layer_to_bps=5_000)
    other = experiment(layer=layer, layer_from_bps=low, layer_to_bps=high)
    assert assignment.overlaps(one, other) is expected
    assert assignment.overlaps(other, one) is expected


def test_first_of_two_exposures_wins() -> None:
    device, customer = (Place("bold", 1), NOON), (Place("calm", 2), NOON + timedelta(hours=1))
    assert assignment.first(device, customer) == device
    assert assignment.first(customer, device) == device
    assert assignment.first(device, None) == device
    assert assignment.first(device, (Place("calm", 2), NOON)) == (Place("calm", 2), NOON)
    merged_away = (Place("calm", assignment.MERGED), NOON - timedelta(days=1))
    assert assignment.first(device, merged_away) == device
