"""What looks conclude: how often they err where nothing differs, and how often they find what does."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from tongbao.decisions.policy import limits, looks, readout
from tongbao.decisions.schema.experiments import (
    Cell,
    Epoch,
    Experiment,
    ExperimentState,
    Metric,
    Readout,
    ReadoutState,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAYS = 28
UNITS_A_DAY = 1_000
BASE = 0.03
RUNS = 1_000


def experiment(**changes: object) -> Experiment:
    made = Experiment(
        book_id=1,
        name="coupon",
        version=2,
        state=ExperimentState.RUNNING,
        unit="customer",
        salt="pepper",
        arms=("control", "treated"),
        epochs=(Epoch(number=1, started_at=NOON, weights_bps={"control": 5_000, "treated": 5_000}),),
        metric=Metric(outcome="paid"),
        created_at=NOON,
        updated_at=NOON,
        started_at=NOON,
        created_by="person:test",
    )
    return msgspec.structs.replace(made, **changes)


def share(arm: str, units: int, successes: float, epoch: int = 1) -> Cell:
    """The cell of a share."""
    rate = successes / units
    variance = rate * (1 - rate) * units / (units - 1)
    return Cell(arm=arm, epoch=epoch, units=units, mean=rate, variance=variance)


def simulated(lift: float, seed: int, base: float = BASE) -> NDArray[np.int64]:
    """Successes by run, arm and day, added up over the days."""
    rates = np.array([base, base * (1 + lift)])[None, :, None]
    daily = np.random.default_rng(seed).binomial(UNITS_A_DAY, np.broadcast_to(rates, (RUNS, 2, DAYS)))
    return np.cumsum(daily, axis=2)


def cells(sums: NDArray[np.int64], day: int) -> list[Cell]:
    """The cells of one run after a day (1 to 28)."""
    units = UNITS_A_DAY * day
    return [share("control", units, int(sums[0, day - 1])), share("treated", units, int(sums[1, day - 1]))]


def found_at(sums: NDArray[np.int64]) -> Iterator[int]:
    """The day of each run on which a planned weekly look found a difference; runs without one are left out."""
    plan = experiment()
    for run in sums:
        for look in range(1, 5):
            if readout.take(plan, look, cells(run, 7 * look), NOON).arms[0].is_significant:
                yield 7 * look
                break


def harmed_at(sums: NDArray[np.int64], alpha: float = 0.05) -> Iterator[int]:
    """The day of each run on which the always valid interval first excluded 0, looked at daily."""
    for run in sums:
        for day in range(1, DAYS + 1):
            effect = looks.effect(cells(run, day), "treated", "control")
            assert effect is not None
            low, high = looks.always_valid(effect, alpha)
            if not low <= 0 <= high:
                yield day
                break


def test_take_of_equal_arms_errs_as_often_as_planned() -> None:
    assert len(list(found_at(simulated(0.0, seed=1)))) / RUNS <= 0.06


def test_take_of_a_fifth_more_finds_it() -> None:
    days = list(found_at(simulated(0.2, seed=2)))
    assert len(days) / RUNS == pytest.approx(0.98, abs=0.02)
    assert np.mean(days) == pytest.approx(18, abs=1)


def test_take_of_a_tenth_more_finds_half() -> None:
    assert len(list(found_at(simulated(0.1, seed=3)))) / RUNS == pytest.approx(0.53, abs=0.06)


def test_always_valid_interval_of_equal_arms_seen_daily_rarely_errs() -> None:
    assert len(list(harmed_at(simulated(0.0, seed=4)))) / RUNS <= 0.055


def test_always_valid_interval_of_a_fifth_less_tells_harm() -> None:
    days = list(harmed_at(simulated(-0.2, seed=5)))
    assert len(days) / RUNS >= 0.85
    assert np.mean(days) <= 18


def test_always_valid_interval_of_a_small_arm_and_rare_events_rarely_errs() -> None:
    # A tenth of the traffic, 1 % of events, looked at after every 40 units: 19 % would be wrong with Welch's variance.
    rng = np.random.default_rng(13)
    wrong = 0
    for _ in range(200):
        one, other = (np.cumsum(rng.binomial(n, 0.01, 250)) for n in (36, 4))
        for look in range(50, 250):
            made = [share("control", 36 * look, one[look - 1]), share("treated", 4 * look, other[look - 1])]
            effect = looks.effect(made, "treated", "control")
            if effect is not None:
                low, high = looks.always_valid(effect, 0.05)
                if high < 0 or low > 0:
                    wrong += 1
                    break
    assert wrong / 200 <= 0.05


def test_z_test_seen_daily_would_err_often() -> None:
    # The mistake that planned looks are there for: every day at the limit of a single look.
    sums = simulated(0.0, seed=6)
    wrong = 0
    for run in sums[:300]:
        effects = [looks.effect(cells(run, day), "treated", "control") for day in range(1, DAYS + 1)]
        wrong += any(abs(effect.z) > 1.96 for effect in effects if effect is not None)
    assert wrong / 300 > 0.2


@pytest.mark.parametrize(
    ("count", "alpha", "constant"),
    [
        (1, 0.05, 1.960),
        (2, 0.05, 1.977),
        (3, 0.05, 2.004),
        (4, 0.05, 2.024),
        (5, 0.05, 2.040),
        (10, 0.05, 2.087),
        (4, 0.01, 2.609),
        (5, 0.01, 2.621),
    ],
)
def test_constant_equals_the_published_one(count: int, alpha: float, constant: float) -> None:
    # Jennison and Turnbull, Group Sequential Methods with Applications to Clinical Trials (2000), table 2.3.
    assert limits.constant(count, alpha) == pytest.approx(constant, abs=0.0006)


def test_limits_of_four_looks_equal_the_published_ones() -> None:
    # The same source: 2.024 * sqrt(4 / k).
    found = [limits.limit(4, look, 0.05) for look in (1, 2, 3, 4)]
    assert found == pytest.approx([4.048, 2.863, 2.337, 2.024], abs=0.001)


@pytest.mark.parametrize("count", range(1, 13))
def test_limits_of_every_plan_err_as_named(count: int) -> None:
    steps = np.random.default_rng(count).standard_normal((100_000, count)).cumsum(axis=1)
    z = np.abs(steps) / np.sqrt(np.arange(1, count + 1))
    passed = z >= np.array([limits.limit(count, look, 0.05) for look in range(1, count + 1)])
    assert passed.any(axis=1).mean() == pytest.approx(0.05, abs=0.003)


@pytest.mark.parametrize(
    ("count", "look", "alpha"),
    [(0, 0, 0.05), (4, 5, 0.05), (4, 0, 0.05), (13, 1, 0.05), (4, 1, 0.0), (4, 1, 1.0)],
)
def test_limit_outside_of_the_plan_is_refused(count: int, look: int, alpha: float) -> None:
    with pytest.raises(ValueError):
        limits.limit(count, look, alpha)


def test_sample_ratio_of_a_sound_split_rarely_alarms_and_of_a_skewed_one_nearly_always() -> None:
    rng = np.random.default_rng(7)
    epochs = experiment().epochs

    def alarms(rate: float) -> float:
        counts = rng.binomial(20_000, rate, RUNS)
        p = [
            looks.sample_ratio_p([share("control", int(n), 1), share("treated", 20_000 - int(n), 1)], epochs)
            for n in counts
        ]
        return float(np.mean(np.array(p) < looks.SAMPLE_RATIO_P_MIN))

    assert alarms(0.50) <= 0.003
    assert alarms(0.48) >= 0.97


def test_sample_ratio_follows_the_weights_of_each_epoch() -> None:
    epochs = (
        Epoch(number=1, started_at=NOON, weights_bps={"control": 9_000, "treated": 1_000}),
        Epoch(number=2, started_at=NOON, weights_bps={"control": 5_000, "treated": 5_000}),
    )
    right = [
        share("control", 900, 1),
        share("treated", 100, 1),
        share("control", 500, 1, 2),
        share("treated", 500, 1, 2),
    ]
    assert looks.sample_ratio_p(right, epochs) == pytest.approx(1)
    # All in all 1,400 to 600 again, but each epoch is wrong.
    wrong = [
        share("control", 700, 1),
        share("treated", 300, 1),
        share("control", 700, 1, 2),
        share("treated", 300, 1, 2),
    ]
    assert looks.sample_ratio_p(wrong, epochs) < 1e-10


def test_sample_ratio_of_few_units_waits_and_of_a_closed_arm_alarms() -> None:
    closed = (Epoch(number=1, started_at=NOON, weights_bps={"control": 10_000, "treated": 0}),)
    assert looks.sample_ratio_p([share("control", 8, 1)], experiment().epochs) == 1
    assert looks.sample_ratio_p([], experiment().epochs) == 1
    assert looks.sample_ratio_p([share("control", 800, 1), share("treated", 2, 1)], closed) == 0


SHIFTED = [
    # A quiet week with little of the new arm, then a sale with much of it: the new arm is worse in both.
    share("control", 36_000, 36_000 * 0.020, 1),
    share("treated", 4_000, 4_000 * 0.015, 1),
    share("control", 4_000, 4_000 * 0.060, 2),
    share("treated", 36_000, 36_000 * 0.055, 2),
]


def pooled(found: Sequence[Cell]) -> list[Cell]:
    """The cells as somebody would read them who forgets the epochs."""
    totals = {arm: [c for c in found if c.arm == arm] for arm in ("control", "treated")}
    return [
        share(arm, sum(c.units for c in group), sum(c.units * c.mean for c in group))
        for arm, group in totals.items()
    ]


def test_effect_over_a_change_of_weights_keeps_its_sign_where_the_plain_means_turn_it() -> None:
    naive = looks.effect(pooled(SHIFTED), "treated", "control")
    ours = looks.effect(SHIFTED, "treated", "control")
    assert naive is not None
    assert ours is not None
    assert naive.difference > 0.02
    assert naive.z > 10
    assert ours.difference == pytest.approx(-0.005, abs=1e-12)
    assert ours.z < -2


def test_effect_of_equal_arms_over_changes_of_weights_errs_as_often_as_planned() -> None:
    rng = np.random.default_rng(8)
    split = [
        ("control", 9_000, 1, 0.02),
        ("treated", 1_000, 1, 0.02),
        ("control", 1_000, 2, 0.06),
        ("treated", 9_000, 2, 0.06),
    ]
    wrong = naively = 0
    for _ in range(RUNS):
        made = [share(arm, n, int(rng.binomial(n, rate)), epoch) for arm, n, epoch, rate in split]
        ours, naive = (looks.effect(found, "treated", "control") for found in (made, pooled(made)))
        assert ours is not None
        assert naive is not None
        wrong += abs(ours.z) > 1.96
        naively += abs(naive.z) > 1.96
    assert wrong / RUNS <= 0.07
    assert naively / RUNS > 0.99


def test_effect_of_one_epoch_is_that_of_two_shares() -> None:
    found = looks.effect([share("control", 5_000, 150), share("treated", 4_000, 160)], "treated", "control")
    assert found is not None
    assert found.difference == pytest.approx(0.01)
    assert found.variance == pytest.approx(0.04 * 0.96 / 3_999 + 0.03 * 0.97 / 4_999, rel=0.02)
    assert found.units == pytest.approx(4 * 5_000 * 4_000 / 9_000)


def test_effect_of_arms_that_are_all_and_nothing_is_told() -> None:
    found = looks.effect([share("control", 50, 50), share("treated", 50, 0)], "treated", "control")
    assert found is not None
    assert found.difference == -1
    assert found.z < -9


@pytest.mark.parametrize(
    "made",
    [
        [],
        [share("control", 50, 5)],
        [share("control", 50, 5), share("treated", 50, 5, 2)],
        [share("control", 50, 0), share("treated", 50, 0)],
        [share("control", 50, 5), Cell(arm="treated", epoch=1, units=1, mean=1, variance=0)],
    ],
)
def test_effect_without_anything_to_compare_is_none(made: list[Cell]) -> None:
    assert looks.effect(made, "treated", "control") is None


counts = st.integers(2, 10_000)
units_and_rates = st.lists(
    st.tuples(counts, counts, st.floats(0.01, 0.99), st.floats(0.01, 0.99)), min_size=1, max_size=5
)


@given(units_and_rates)
@settings(max_examples=100, deadline=None)
def test_effect_of_exchanged_arms_is_the_opposite(rows: list[tuple[int, int, float, float]]) -> None:
    made = []
    for epoch, (one, other, rate, other_rate) in enumerate(rows, 1):
        made += [share("a", one, one * rate, epoch), share("b", other, other * other_rate, epoch)]
    there, back = looks.effect(made, "b", "a"), looks.effect(made, "a", "b")
    assert there is not None
    assert back is not None
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert there.variance == pytest.approx(back.variance)
    assert min(r[3] - r[2] for r in rows) - 1e-9 <= there.difference <= max(r[3] - r[2] for r in rows) + 1e-9


def test_significant_of_several_arms_keeps_the_false_discovery_rate() -> None:
    rng = np.random.default_rng(9)
    arms = [f"arm{n}" for n in range(10)]
    wrong = sum(
        bool(looks.significant(dict(zip(arms, z, strict=True)), 1, 1, 0.05))
        for z in rng.standard_normal((RUNS, 10))
    )
    assert wrong / RUNS <= 0.065


def test_significant_gives_more_than_each_arm_at_a_tenth_would() -> None:
    z = {f"arm{n}": 2.4 for n in range(9)} | {"arm9": 0.5}
    assert float(norm.isf(0.05 / 20)) > 2.4
    assert looks.significant(z, 1, 1, 0.05) == frozenset(z) - {"arm9"}
    assert (
        looks.significant({"arm0": 2.4} | {f"arm{n}": 0.5 for n in range(1, 10)}, 1, 1, 0.05) == frozenset()
    )


def test_cuped_takes_away_what_the_time_before_explains() -> None:
    rng = np.random.default_rng(10)
    before = rng.gamma(2, 10, 20_000)
    values = 0.8 * before + rng.normal(0, 5, 20_000)
    less = looks.cuped(values, before)
    rho = np.corrcoef(values, before)[0, 1]
    assert less.mean() == pytest.approx(values.mean())
    assert less.var() / values.var() == pytest.approx(1 - rho**2, abs=1e-9)
    assert looks.cuped(values, np.ones_like(values)) == pytest.approx(values)


def moments(arm: str, values: NDArray[np.float64], second: NDArray[np.float64]) -> Cell:
    return Cell(
        arm=arm,
        epoch=1,
        units=len(values),
        mean=float(values.mean()),
        variance=float(values.var(ddof=1)),
        second_mean=float(second.mean()),
        second_variance=float(second.var(ddof=1)),
        covariance=float(np.cov(values, second)[0, 1]),
    )


def test_prepared_with_a_covariate_agrees_with_single_units_and_removes_a_lucky_start() -> None:
    rng = np.random.default_rng(11)
    before = rng.gamma(2, 10, 10_000)
    values = 0.8 * before + rng.normal(0, 5, 10_000)
    order = np.argsort(before + rng.normal(0, 300, 10_000))  # better customers lean to the second arm
    one, other = order[:5_000], order[5_000:]
    metric = Metric(outcome="spend", value_max=1e6, covariate="spend_before")
    made = [moments("control", values[one], before[one]), moments("treated", values[other], before[other])]
    plain, ours = (looks.effect(c, "treated", "control") for c in (made, looks.prepared(made, metric)))
    assert plain is not None
    assert ours is not None
    less = looks.cuped(values, before)
    assert ours.difference == pytest.approx(less[other].mean() - less[one].mean(), abs=0.005)
    assert ours.variance < 0.25 * plain.variance
    assert abs(ours.z) < 3 < plain.z


def test_prepared_ratio_has_the_variance_that_repeated_samples_have() -> None:
    rng = np.random.default_rng(12)
    orders = rng.poisson(4, (2_000, 400)) + 1.0
    spend = orders * 10 + rng.normal(0, 4, orders.shape) * np.sqrt(orders)
    ratios = spend.sum(axis=1) / orders.sum(axis=1)
    metric = Metric(outcome="spend", value_max=1e6, per="orders")
    found = [
        looks.prepared([moments("control", s, o)], metric)[0]
        for s, o in zip(spend[:200], orders[:200], strict=True)
    ]
    assert found[0].mean == pytest.approx(ratios[0])
    assert np.mean([cell.variance / cell.units for cell in found]) == pytest.approx(ratios.var(), rel=0.08)


def test_prepared_ratio_over_nothing_is_left_out() -> None:
    empty = Cell(arm="control", epoch=1, units=10, mean=1.0, variance=1.0)
    assert looks.prepared([empty], Metric(outcome="spend", per="orders")) == []


def read(plan: Experiment, found: Sequence[Cell], day: float, **guardrails: Sequence[Cell]) -> Readout:
    return readout.readout(plan, readout.Facts(NOON + timedelta(days=day), found, guardrails))


def looked(plan: Experiment, found: Sequence[Cell], look: int) -> Experiment:
    taken = readout.take(plan, look, found, NOON)
    return msgspec.structs.replace(plan, taken=(*plan.taken, taken))


WEAK = [share("control", 5_000, 150), share("treated", 5_000, 170)]
STRONG = [share("control", 5_000, 150), share("treated", 5_000, 300)]
BAD = [share("control", 5_000, 300), share("treated", 5_000, 150)]


@pytest.mark.parametrize(
    ("day", "count", "horizon", "taken", "due"),
    [
        (6.9, 4, 28, 0, None),
        (7, 4, 28, 0, 1),
        (13.9, 4, 28, 0, 1),
        (13.9, 4, 28, 1, None),
        (14, 4, 28, 1, 2),
        (21, 4, 28, 0, 3),
        (90, 4, 28, 3, 4),
        (90, 4, 28, 4, None),
        (6, 7, 7, 0, None),
        (7, 7, 7, 0, 7),
        (6.9, 4, 14, 0, None),
        (7, 4, 14, 0, 2),
    ],
)
def test_look_due_is_the_last_planned_one_after_a_week(
    day: float, count: int, horizon: int, taken: int, due: int | None
) -> None:
    plan = experiment(looks=count, horizon_days=horizon)
    if taken:
        plan = looked(plan, WEAK, taken)
    assert readout.look_due(plan, NOON + timedelta(days=day)) == due


def test_look_due_after_the_end_is_the_last_before_it() -> None:
    plan = experiment(ended_at=NOON + timedelta(days=15))
    assert readout.look_due(plan, NOON + timedelta(days=60)) == 2


def test_readout_before_the_first_look_concludes_nothing() -> None:
    said = read(experiment(), STRONG, 3)
    assert said.state is ReadoutState.TOO_EARLY
    assert said.arms[1].difference is None
    assert said.arms[1].mean == pytest.approx(0.06)


def test_readout_of_harm_in_the_first_week_is_harmful() -> None:
    assert read(experiment(), BAD, 2).state is ReadoutState.HARMFUL
    lower = Metric(outcome="refunded", higher_is_better=False)
    assert read(experiment(metric=lower), STRONG, 2).state is ReadoutState.HARMFUL
    assert read(experiment(metric=lower), BAD, 2).state is ReadoutState.TOO_EARLY


def test_readout_of_harm_among_few_units_waits() -> None:
    few = [share("control", 100, 90), share("treated", 100, 10)]
    said = read(experiment(), few, 2)
    assert said.state is ReadoutState.TOO_EARLY
    assert said.arms[1].always_low is None


def test_readout_after_a_look_says_what_it_found_until_the_end() -> None:
    better = looked(experiment(), STRONG, 2)
    said = read(better, STRONG, 15)
    assert said.state is ReadoutState.BETTER
    assert said.arms[1].is_significant
    assert said.arms[1].difference == pytest.approx(0.03)
    assert said.arms[1].low is not None
    assert said.arms[1].low > 0
    # Once found it stays found: the plan was to stop there.
    assert read(looked(better, WEAK, 3), WEAK, 22).state is ReadoutState.BETTER


@pytest.mark.parametrize(
    ("found", "look", "state"),
    [
        (WEAK, 1, ReadoutState.RUNNING),
        (WEAK, 4, ReadoutState.NO_DIFFERENCE),
        ([share("control", 5_000, 200), share("treated", 5_000, 155)], 4, ReadoutState.WORSE),
    ],
)
def test_readout_of_a_look(found: list[Cell], look: int, state: ReadoutState) -> None:
    assert read(looked(experiment(), found, look), found, 7 * look).state is state


def test_readout_of_a_broken_sample_ratio_says_nothing() -> None:
    skewed = [share("control", 9_600, 288), share("treated", 10_400, 700)]
    said = read(looked(experiment(), skewed, 1), skewed, 8)
    assert said.state is ReadoutState.BLOCKED
    assert said.sample_ratio_p < 0.0005
    assert {arm.mean for arm in said.arms} == {None}
    assert {arm.difference for arm in said.arms} == {None}


def test_readout_of_a_broken_guardrail_is_harmful_though_the_metric_is_better() -> None:
    plan = experiment(guardrails=(Metric(outcome="refunded", higher_is_better=False),))
    said = read(looked(plan, STRONG, 1), STRONG, 8, refunded=STRONG)
    assert said.state is ReadoutState.HARMFUL
    assert said.guardrails[0].harmful == ("treated",)
    calm = read(looked(plan, STRONG, 1), STRONG, 8, refunded=WEAK)
    assert calm.state is ReadoutState.BETTER
    assert calm.guardrails[0].harmful == ()


def test_readout_names_the_units_that_are_missing() -> None:
    said = read(experiment(effect_min=0.006), WEAK, 3)
    # Two shares of 3 %: 2 * 0.03 * 0.97 * (2.8016 / 0.006)**2 * 1.024, less the 5,000 there are.
    assert said.units_missing == pytest.approx(2 * 0.0291 * (2.8016 / 0.006) ** 2 * 1.0238 - 5_000, rel=0.002)
    assert read(experiment(effect_min=0.05), WEAK, 3).units_missing == 0
    assert read(experiment(), WEAK, 3).units_missing is None
    assert read(experiment(effect_min=0.05), [], 3).units_missing is None


def test_limit_of_more_information_falls_to_the_constant() -> None:
    found = [limits.limit(12, look, 0.05) for look in range(1, 13)]
    assert found == sorted(found, reverse=True)
    assert math.isclose(found[-1], limits.constant(12, 0.05))
