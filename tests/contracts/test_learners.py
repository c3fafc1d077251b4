"""What every learner must keep, whatever it learns; a new one needs one line in ``CASES``."""

import doctest
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import msgspec
import numpy as np
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models import state
from tongbao.decisions.models.base import NOWHERE, SEGMENT_DEPTH_MAX, Beliefs, Context, Learner
from tongbao.decisions.models.beta_thompson import BetaThompson, Prior
from tongbao.decisions.models.cells import CELLS_MAX, IN_FLIGHT_MAX, KEY_CHARS_MAX, Memory
from tongbao.decisions.models.chooser import Choice, Chooser
from tongbao.decisions.models.forgetting import HalfLives, effective_count, kept, kept_one
from tongbao.decisions.models.gaussian_thompson import GaussianThompson, NormalPrior
from tongbao.decisions.models.hierarchy import HierarchicalBeta, own_facts, shrunk
from tongbao.decisions.models.linear_thompson import FEATURES_MAX, Feature, LinearThompson

NOW_S = 1_790_000_000.0
ARMS = ("acquirer_a", "acquirer_b", "acquirer_c")
HERE = Context(segment=("card", "issuer_x"), features={"amount_log10": 3.5, "hour": 14.0})
FEATURES = (Feature("amount_log10", 3.0, 1.0), Feature("hour", 12.0, 6.0, marks_missing=True))
MODELS = ("beta_thompson", "gaussian_thompson", "hierarchy", "linear_thompson")
Make = Callable[[Memory], Learner]


@dataclass(frozen=True)
class Case:
    """A learner with how many cells one (arm, context) takes."""

    name: str
    make: Make
    cells_per_arm: int = 1


CASES = (
    Case("beta", lambda memory: BetaThompson(memory=memory)),
    Case("gaussian", lambda memory: GaussianThompson(NormalPrior(0.5, 0.3), memory)),
    Case("linear", lambda memory: LinearThompson(FEATURES, NormalPrior(0.5, 0.3), memory)),
    Case("hierarchy", lambda memory: HierarchicalBeta(memory=memory), cells_per_arm=3),
)
PLAIN = Memory()
FADING = Memory(HalfLives(seconds=3_600.0, count=200.0), horizon_s=600.0)
each_learner = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def taught(learner: Learner, count: int, seed: int = 7, start: int = 0) -> Learner:
    """Teach facts ``start`` to ``count`` of one fixed story, a second apart, some with an outcome under way."""
    chance = np.random.default_rng(seed)
    for number in range(count):
        arm, value = ARMS[chance.integers(2)], float(chance.random() < 0.8)
        if number >= start:
            learner.begin(arm, NOW_S + number, HERE)
            if number % 3:
                learner.end(arm, NOW_S + number, HERE)
            learner.learn(arm, value, NOW_S + number, HERE)
    return learner


def assert_equal(left: Beliefs, right: Beliefs) -> None:
    assert left.arms == right.arms
    for name in ("mean", "sd", "strength"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def assert_close(left: Beliefs, right: Beliefs, tolerance: float = 1e-9) -> None:
    for name in ("mean", "sd", "strength"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=tolerance, atol=tolerance)


@each_learner
def test_predict_repeated_changes_nothing(case: Case) -> None:
    learner = taught(case.make(FADING), 50)
    before = learner.dump()
    first = learner.predict(ARMS, HERE, NOW_S + 60)
    learner.predict((*ARMS, "never_seen"), NOWHERE, NOW_S + 1e6)
    assert learner.dump() == before
    assert_equal(learner.predict(ARMS, HERE, NOW_S + 60), first)


@each_learner
@pytest.mark.parametrize("choice", Choice)
def test_choose_with_equal_seeds_and_facts_gives_equal_choices(case: Case, choice: Choice) -> None:
    stories = []
    for _ in range(2):
        learner, chance, chosen = case.make(FADING), np.random.default_rng(3), []
        chooser = Chooser(learner, 0.05, choice)
        for number in range(60):
            one = chooser.choose(ARMS, (True,) * 3, HERE, NOW_S + number, float(chance.random()))
            learner.learn(one.arm, float(chance.random() < 0.7), NOW_S + number, HERE)
            chosen.append((one.arm, one.propensities.tolist()))
        stories.append((chosen, learner.dump()))
    assert stories[0] == stories[1]
    assert len({arm for arm, _ in stories[0][0]}) > 1


@each_learner
def test_load_midway_goes_on_as_if_never_dumped(case: Case) -> None:
    whole = taught(case.make(FADING), 80)
    half = taught(case.make(FADING), 40)
    resumed = case.make(FADING)
    resumed.load(half.dump())
    assert resumed.dump() == half.dump()
    assert_equal(resumed.predict(ARMS, HERE, NOW_S + 50), half.predict(ARMS, HERE, NOW_S + 50))
    taught(resumed, 80, start=40)
    assert resumed.dump() == whole.dump()
    assert_equal(resumed.predict(ARMS, HERE, NOW_S + 90), whole.predict(ARMS, HERE, NOW_S + 90))


@each_learner
def test_load_of_an_empty_state_forgets_what_was_known(case: Case) -> None:
    learner, fresh = taught(case.make(FADING), 30), case.make(FADING)
    learner.load(fresh.dump())
    assert_equal(learner.predict(ARMS, HERE, NOW_S), fresh.predict(ARMS, HERE, NOW_S))


@each_learner
def test_load_of_foreign_or_broken_bytes_is_refused_and_changes_nothing(case: Case) -> None:
    learner = taught(case.make(FADING), 30)
    good = learner.dump()
    foreign = [other.make(FADING).dump() for other in CASES if other.name != case.name]
    flipped = [
        good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :] for place in range(0, len(good), 37)
    ]
    for bad in (b"", b"{}", good[:-1], good + b"\0", *foreign, *flipped):
        with pytest.raises(InvalidRequest) as caught:
            learner.load(bad)
        assert caught.value.code == "learner_state_invalid"
    assert learner.dump() == good


@each_learner
def test_load_of_more_cells_than_allowed_is_refused(case: Case) -> None:
    large, small = case.make(Memory(cells_max=64)), case.make(Memory(cells_max=9))
    for number in range(10):
        large.learn(f"arm_{number}", 1.0, NOW_S, HERE)
    with pytest.raises(InvalidRequest, match="learner_state_invalid"):
        small.load(large.dump())


TABLE = state.Table(2, [("a",)], [[1.0, 1.0]], [NOW_S], [2.0], [(("a",), [NOW_S, NOW_S + 1])])
BAD_TABLES = (
    msgspec.structs.replace(TABLE, keys=[("a",), ("a",)]),
    msgspec.structs.replace(TABLE, at_s=[]),
    msgspec.structs.replace(TABLE, values=[[1.0]]),
    msgspec.structs.replace(TABLE, values=[[1.0, math.nan]]),
    msgspec.structs.replace(TABLE, at_s=[math.inf]),
    msgspec.structs.replace(TABLE, in_flight=[(("b",), [NOW_S])]),
    msgspec.structs.replace(TABLE, in_flight=[(("a",), [NOW_S + 1, NOW_S])]),
    msgspec.structs.replace(TABLE, in_flight=[(("a",), [NOW_S] * (IN_FLIGHT_MAX + 1))]),
)


@pytest.mark.parametrize("table", BAD_TABLES)
def test_load_of_an_inconsistent_table_is_refused(table: state.Table) -> None:
    learner = BetaThompson()
    learner.load(state.packed("beta_thompson", "", TABLE))
    with pytest.raises(InvalidRequest, match="learner_state_invalid"):
        learner.load(state.packed("beta_thompson", "", table))
    assert learner.dump() == state.packed("beta_thompson", "", TABLE)


def test_load_into_other_features_is_refused() -> None:
    learner = LinearThompson(FEATURES)
    for other in (
        LinearThompson(FEATURES[:1]),
        LinearThompson(tuple(reversed(FEATURES))),
        LinearThompson((FEATURES[0], Feature("hour", 12.0, 3.0, marks_missing=True))),
        LinearThompson(FEATURES, NormalPrior(sd=2.0)),
    ):
        with pytest.raises(InvalidRequest, match="learner_state_invalid"):
            learner.load(other.dump())


@each_learner
def test_predict_before_any_fact_gives_one_finite_prior(case: Case) -> None:
    beliefs = case.make(PLAIN).predict(ARMS, HERE, NOW_S)
    for values in (beliefs.mean, beliefs.sd, beliefs.strength):
        assert values.shape == (3,)
        assert np.isfinite(values).all()
        assert np.ptp(values) == 0
    assert (beliefs.sd > 0).all()
    assert (beliefs.strength > 0).all()
    assert beliefs.mean[0] == pytest.approx(0.5)


@each_learner
def test_predict_of_an_unseen_arm_among_known_ones_gives_its_prior(case: Case) -> None:
    learner = taught(case.make(PLAIN), 60)
    alone = case.make(PLAIN).predict(("new",), HERE, NOW_S)
    beside = learner.predict((*ARMS, "new"), HERE, NOW_S + 60)
    assert beside.mean[3] == alone.mean[0]
    assert beside.sd[3] == alone.sd[0] > beside.sd[0]


@each_learner
@pytest.mark.parametrize(
    "features", [{}, {"hour": None}, {"hour": math.nan}, {"amount_log10": 3.0, "unknown": 7.0}]
)
def test_predict_with_missing_features_is_finite(case: Case, features: dict[str, float | None]) -> None:
    learner = taught(case.make(PLAIN), 60)
    context = Context(segment=("card",), features=features)
    learner.learn(ARMS[0], 1.0, NOW_S + 61, context)
    beliefs = learner.predict(ARMS, context, NOW_S + 62)
    assert np.isfinite(beliefs.mean).all()
    assert (beliefs.sd > 0).all()


@each_learner
def test_learn_moves_the_mean_towards_the_outcomes_and_narrows_it(case: Case) -> None:
    learner = case.make(PLAIN)
    before = learner.predict(ARMS, HERE, NOW_S)
    for number in range(200):
        learner.learn(ARMS[0], 1.0, NOW_S + number, HERE)
        learner.learn(ARMS[1], 0.0, NOW_S + number, HERE)
    after = learner.predict(ARMS, HERE, NOW_S + 200)
    assert after.mean[0] > 0.95
    assert after.mean[1] < 0.05
    assert (after.sd[:2] < before.sd[:2] / 4).all()
    assert after.mean[2] == before.mean[2]


@each_learner
def test_memory_past_its_maximum_forgets_the_least_recently_seen(case: Case) -> None:
    learner, roomy = case.make(Memory(cells_max=4 * case.cells_per_arm + 6)), case.make(PLAIN)
    for number in range(200):
        for arm, value in ((f"arm_{number}", number % 2), ("kept", 1.0)):
            learner.learn(arm, value, NOW_S + number, HERE)
            roomy.learn(arm, value, NOW_S + number, HERE)
        learner.begin(f"arm_{number}", NOW_S + number, HERE)
        if number == 50:
            size = len(learner.dump())
    assert len(learner.dump()) <= size + 100
    seen, later_s = ("arm_199", "kept"), NOW_S + 2_000
    assert_equal(learner.predict(seen, HERE, later_s), roomy.predict(seen, HERE, later_s))
    forgotten = learner.predict(("arm_1", "never_seen"), HERE, later_s)
    assert forgotten.mean[0] == forgotten.mean[1]


@each_learner
def test_begin_without_end_is_bounded(case: Case) -> None:
    learner = case.make(Memory(horizon_s=1e9))
    sizes = []
    for number in range(2 * IN_FLIGHT_MAX):
        learner.begin(ARMS[0], NOW_S + number, HERE)
        sizes.append(len(learner.dump()) if number in (IN_FLIGHT_MAX, 2 * IN_FLIGHT_MAX - 1) else 0)
    assert max(sizes) == sizes[-1] == sizes[IN_FLIGHT_MAX]


@each_learner
def test_learn_of_equal_time_facts_in_any_order_gives_equal_beliefs(case: Case) -> None:
    memory = Memory(HalfLives(seconds=600.0))
    facts = [(ARMS[number % 2], number % 3 / 2) for number in range(12)]
    one, other = case.make(memory), case.make(memory)
    for arm, value in facts:
        one.learn(arm, value, NOW_S, HERE)
    for arm, value in reversed(facts):
        other.learn(arm, value, NOW_S, HERE)
    assert_close(one.predict(ARMS, HERE, NOW_S + 300), other.predict(ARMS, HERE, NOW_S + 300))


@each_learner
def test_learn_of_late_facts_gives_what_timely_ones_would_have_given(case: Case) -> None:
    memory = Memory(HalfLives(seconds=600.0))
    facts = [(ARMS[number % 2], number % 5 / 4, NOW_S + 60.0 * number) for number in range(20)]
    timely, late = case.make(memory), case.make(memory)
    for arm, value, at_s in facts:
        timely.learn(arm, value, at_s, HERE)
    for arm, value, at_s in facts[10:] + facts[:10]:
        late.learn(arm, value, at_s, HERE)
    assert_close(timely.predict(ARMS, HERE, NOW_S + 1500), late.predict(ARMS, HERE, NOW_S + 1500))


@each_learner
def test_a_fact_older_than_memory_itself_changes_no_mean(case: Case) -> None:
    learner = case.make(Memory(HalfLives(seconds=1.0)))
    learner.learn(ARMS[0], 1.0, NOW_S, HERE)
    before = learner.predict(ARMS, HERE, NOW_S)
    learner.learn(ARMS[0], 0.0, NOW_S - 1e6, HERE)
    assert_close(learner.predict(ARMS, HERE, NOW_S), before, 1e-12)


@each_learner
def test_forgetting_after_a_swap_follows_and_without_it_does_not(case: Case) -> None:
    def better_after_swap(memory: Memory) -> int:
        learner, chance = case.make(memory), np.random.default_rng(11)
        for number in range(1_000):
            rates = (0.9, 0.6) if number < 700 else (0.6, 0.9)
            for arm, rate in zip(ARMS, rates, strict=False):
                learner.learn(arm, float(chance.random() < rate), NOW_S + number, HERE)
        return int(learner.predict(ARMS[:2], HERE, NOW_S + 1_000).mean.argmax())

    assert better_after_swap(Memory(HalfLives(seconds=60.0))) == 1
    assert better_after_swap(Memory(HalfLives(count=120.0))) == 1
    assert better_after_swap(PLAIN) == 0


@each_learner
def test_an_abandoned_arm_forgets_while_others_learn(case: Case) -> None:
    learner = case.make(Memory(HalfLives(count=50.0)))
    for number in range(50):
        learner.learn(ARMS[0], 0.0, NOW_S + number, HERE)
    shunned = learner.predict(ARMS, HERE, NOW_S + 50)
    for _ in range(500):
        learner.learn(ARMS[1], 1.0, NOW_S + 50, HERE)
    again = learner.predict(ARMS, HERE, NOW_S + 50)
    assert shunned.mean[0] < 0.1 < 0.4 < again.mean[0]
    assert again.sd[0] > 2 * shunned.sd[0]


@each_learner
def test_begin_in_a_burst_spreads_choices_and_vanishes_after_end_or_horizon(case: Case) -> None:
    learner = taught(case.make(Memory(horizon_s=30.0)), 40)
    quiet_s = NOW_S + 1_000
    quiet = learner.predict(ARMS, HERE, quiet_s)
    chooser = Chooser(learner)
    favorite = int(quiet.mean.argmax())

    def odds(at_s: float) -> float:
        return float(chooser.choose(ARMS, (True,) * 3, HERE, at_s, 0.5).propensities[favorite])

    unhurried = odds(quiet_s)
    for number in range(40):
        learner.begin(ARMS[favorite], quiet_s + number / 100, HERE)
    assert odds(quiet_s + 1) < 0.7 * unhurried
    assert_equal(learner.predict(ARMS, HERE, quiet_s + 31), quiet)
    for number in range(40):
        learner.end(ARMS[favorite], quiet_s + number / 100, HERE)
    assert_equal(learner.predict(ARMS, HERE, quiet_s + 1), quiet)


@each_learner
def test_end_of_what_never_began_changes_nothing(case: Case) -> None:
    learner = taught(case.make(PLAIN), 20)
    before = learner.dump()
    learner.end(ARMS[0], NOW_S - 1, HERE)
    learner.end("never_seen", NOW_S, HERE)
    assert learner.dump() == before


@each_learner
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_learn_of_no_number_is_refused_and_changes_nothing(case: Case, value: float) -> None:
    learner = taught(case.make(PLAIN), 10)
    before = learner.dump()
    with pytest.raises(InvalidRequest, match="value_invalid"):
        learner.learn(ARMS[0], value, NOW_S, HERE)
    with pytest.raises(InvalidRequest, match="instant_invalid"):
        learner.learn(ARMS[0], 1.0, math.nan, HERE)
    with pytest.raises(InvalidRequest, match="instant_invalid"):
        learner.begin(ARMS[0], math.inf, HERE)
    with pytest.raises(InvalidRequest, match="arm_name_too_long"):
        learner.learn("a" * (KEY_CHARS_MAX + 1), 1.0, NOW_S, HERE)
    assert learner.dump() == before


@pytest.mark.parametrize("make", [BetaThompson, HierarchicalBeta])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_learn_of_a_rate_outside_of_its_range_is_refused(make: Callable[[], Learner], value: float) -> None:
    with pytest.raises(InvalidRequest, match="value_invalid"):
        make().learn(ARMS[0], value, NOW_S, HERE)


@pytest.mark.parametrize("name", MODELS)
def test_module_of_a_model_says_what_a_reader_must_know(name: str) -> None:
    text = import_module(f"tongbao.decisions.models.{name}").__doc__ or ""
    facts = (
        "Features:",
        "Output:",
        "Calibrated",
        "Label:",
        "Seed:",
        "Cost per event",
        "Baseline",
        "Reference:",
    )
    assert [fact for fact in facts if fact not in text] == []


@pytest.mark.parametrize("name", [*MODELS, "chooser"])
def test_example_of_the_module_runs_as_printed(name: str) -> None:
    result = doctest.testmod(import_module(f"tongbao.decisions.models.{name}"))
    assert (result.failed, result.attempted > 0) == (0, True)


def test_gaussian_with_large_values_keeps_its_spread() -> None:
    learner = GaussianThompson(NormalPrior(mean=1e9, sd=1.0))
    values = 1e9 + np.random.default_rng(5).normal(0.0, 2.0, 2_000)
    for value in values:
        learner.learn("a", float(value), NOW_S, NOWHERE)
    beliefs = learner.predict(("a",), NOWHERE, NOW_S)
    assert beliefs.mean[0] == pytest.approx(values.mean(), abs=0.01)
    assert beliefs.sd[0] * math.sqrt(2_000) == pytest.approx(values.std(), rel=0.01)


def test_gaussian_interval_covers_the_mean_as_often_as_it_says() -> None:
    chance, covered = np.random.default_rng(9), 0
    for _ in range(400):
        learner = GaussianThompson(NormalPrior(sd=5.0, strength=0.01))
        for value in chance.normal(3.0, 2.0, 30):
            learner.learn("a", float(value), NOW_S, NOWHERE)
        beliefs = learner.predict(("a",), NOWHERE, NOW_S)
        covered += abs(beliefs.mean[0] - 3.0) < 1.645 * beliefs.sd[0]
    assert 0.87 <= covered / 400 <= 0.94


def test_linear_without_features_agrees_with_gaussian() -> None:
    prior = NormalPrior(mean=2.0, sd=3.0, strength=1.5, sd_strength=2.0)
    linear, plain = LinearThompson((), prior, FADING), GaussianThompson(prior, FADING)
    for number, value in enumerate(np.random.default_rng(1).normal(5.0, 2.0, 40)):
        for learner in (linear, plain):
            learner.learn(ARMS[number % 2], float(value), NOW_S + 30.0 * number, HERE)
            learner.begin(ARMS[0], NOW_S + 30.0 * number, HERE)
    assert_close(linear.predict(ARMS, HERE, NOW_S + 1300), plain.predict(ARMS, HERE, NOW_S + 1300))


def test_linear_recovers_known_weights_and_a_mark_for_missing() -> None:
    chance = np.random.default_rng(2)
    learner = LinearThompson(FEATURES, NormalPrior(sd=10.0))
    for _ in range(1_500):
        amount, hour = chance.normal(3.0, 1.0), chance.uniform(0, 24) if chance.random() < 0.7 else None
        known = 0.0 if hour is None else (hour - 12) / 6
        value = 4.0 + 2.0 * (amount - 3.0) - known + (3.0 if hour is None else 0.0) + chance.normal(0, 0.5)
        learner.learn("a", value, NOW_S, Context(features={"amount_log10": amount, "hour": hour}))

    def mean(**features: float | None) -> float:
        return float(learner.predict(("a",), Context(features=features), NOW_S).mean[0])

    assert mean(amount_log10=3.0, hour=12.0) == pytest.approx(4.0, abs=0.1)
    assert mean(amount_log10=4.0, hour=12.0) == pytest.approx(6.0, abs=0.15)
    assert mean(amount_log10=3.0, hour=18.0) == pytest.approx(3.0, abs=0.15)
    assert mean(amount_log10=3.0, hour=None) == mean(amount_log10=3.0) == pytest.approx(7.0, abs=0.15)


def test_linear_with_collinear_and_extreme_features_stays_finite() -> None:
    learner = LinearThompson((Feature("a"), Feature("b")), memory=Memory(HalfLives(count=20.0)))
    for number in range(3_000):
        learner.learn("x", float(number % 7), NOW_S, Context(features={"a": 1e12, "b": 1e12}))
    beliefs = learner.predict(("x",), Context(features={"a": -1e300, "b": math.inf}), NOW_S)
    assert np.isfinite(beliefs.mean).all()
    assert (beliefs.sd > 0).all()
    assert learner.predict(("x",), Context(features={"a": 1.0, "b": 1.0}), NOW_S).mean[0] == pytest.approx(
        3.0, abs=3
    )


def test_hierarchy_parent_counts_nothing_twice() -> None:
    nested = np.array([[10.0, 4.0], [6.0, 4.0], [1.0, 5.0]])
    np.testing.assert_array_equal(own_facts(nested), [[4.0, 0.0], [5.0, 0.0], [1.0, 5.0]])
    only_leaf = HierarchicalBeta(Prior(0.5, 2.0), pull=1e9)
    for _ in range(10):
        only_leaf.learn("a", 1.0, NOW_S, Context(segment=("card", "x")))
    beliefs = only_leaf.predict(("a",), Context(segment=("card", "x")), NOW_S)
    assert beliefs.strength[0] == pytest.approx(12.0, rel=1e-6)
    assert beliefs.mean[0] == pytest.approx(11 / 12, rel=1e-6)


def test_hierarchy_leaf_is_pulled_less_the_more_it_knows() -> None:
    means = []
    for trials in (0.0, 10.0, 1_000.0):
        successes, failures = np.array([[900.0], [0.0]]), np.array([[100.0], [trials]])
        mean, strength = shrunk(successes, failures, Prior(), pull=50.0)
        means.append(float(mean[0]))
        assert strength[0] == pytest.approx(1 / (1 / 50 + 1 / 1_002) + trials)
    assert means[0] == pytest.approx(0.9, abs=0.001)
    assert means[0] > means[1] > 0.7 > 0.1 > means[2]


def test_hierarchy_leaf_with_few_facts_errs_less_than_alone_or_lumped() -> None:
    chance = np.random.default_rng(4)
    rates = np.clip(0.85 + 0.07 * chance.normal(size=40), 0, 1)
    shrinking, alone, lumped = HierarchicalBeta(pull=30.0), BetaThompson(), BetaThompson()
    for leaf, rate in enumerate(rates):
        for _ in range(12):
            value = float(chance.random() < rate)
            shrinking.learn("a", value, NOW_S, Context(segment=("card", f"issuer_{leaf}")))
            alone.learn(f"issuer_{leaf}", value, NOW_S, NOWHERE)
            lumped.learn("a", value, NOW_S, NOWHERE)

    def error(means: list[float]) -> float:
        return float(np.square(np.array(means) - rates).mean())

    leaves = range(len(rates))
    shrunk_error = error(
        [shrinking.predict(("a",), Context(("card", f"issuer_{leaf}")), NOW_S).mean[0] for leaf in leaves]
    )
    alone_error = error([alone.predict((f"issuer_{leaf}",), NOWHERE, NOW_S).mean[0] for leaf in leaves])
    lumped_error = error([lumped.predict(("a",), NOWHERE, NOW_S).mean[0]] * len(rates))
    assert shrunk_error < min(alone_error, lumped_error)


def test_hierarchy_deeper_than_its_maximum_is_refused() -> None:
    deep = Context(segment=("x",) * (SEGMENT_DEPTH_MAX + 1))
    learner = HierarchicalBeta()
    learner.predict(ARMS, Context(segment=("x",) * SEGMENT_DEPTH_MAX), NOW_S)
    with pytest.raises(InvalidRequest, match="segment_too_deep"):
        learner.predict(ARMS, deep, NOW_S)
    with pytest.raises(InvalidRequest, match="segment_too_deep"):
        learner.learn("a", 1.0, NOW_S, deep)


BAD = (
    ("prior_invalid", lambda: Prior(mean=1.0)),
    ("prior_invalid", lambda: Prior(strength=0.0)),
    ("prior_invalid", lambda: NormalPrior(sd=0.0)),
    ("prior_invalid", lambda: NormalPrior(mean=math.nan)),
    ("prior_invalid", lambda: HierarchicalBeta(pull=0.0)),
    ("memory_invalid", lambda: HierarchicalBeta(memory=Memory(cells_max=SEGMENT_DEPTH_MAX))),
    ("memory_invalid", lambda: Memory(cells_max=0)),
    ("memory_invalid", lambda: Memory(cells_max=CELLS_MAX + 1)),
    ("memory_invalid", lambda: Memory(in_flight_weight=1.1)),
    ("memory_invalid", lambda: Memory(horizon_s=0.0)),
    ("half_life_invalid", lambda: HalfLives(seconds=0.0)),
    ("half_life_invalid", lambda: HalfLives(count=math.nan)),
    ("features_invalid", lambda: LinearThompson((Feature("a"), Feature("a")))),
    ("features_invalid", lambda: LinearThompson((Feature("a", scale=0.0),))),
    ("features_invalid", lambda: LinearThompson([Feature(str(n)) for n in range(FEATURES_MAX + 1)])),
    ("floor_invalid", lambda: Chooser(BetaThompson(), floor=-0.1)),
)


@pytest.mark.parametrize(("code", "make"), BAD)
def test_construction_with_impossible_settings_is_refused(code: str, make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert caught.value.code == code


def test_feature_that_is_no_number_is_refused() -> None:
    features: dict[str, float | None] = {"hour": "noon"}  # type: ignore[dict-item]  # what a careless caller sends
    with pytest.raises(InvalidRequest, match="feature_invalid"):
        LinearThompson(FEATURES).predict(ARMS, Context(features=features), NOW_S)


def test_kept_halves_by_clock_and_by_count_and_never_grows() -> None:
    half_lives = HalfLives(seconds=60.0, count=10.0)
    elapsed_s, steps = np.array([0.0, 60.0, 60.0, -5.0, 1e9]), np.array([0.0, 0.0, 10.0, -5.0, 0.0])
    np.testing.assert_allclose(kept(elapsed_s, steps, half_lives), [1.0, 0.5, 0.25, 1.0, 0.0])
    singles = [kept_one(float(a), float(b), half_lives) for a, b in zip(elapsed_s, steps, strict=True)]
    assert singles == kept(elapsed_s, steps, half_lives).tolist()
    assert effective_count(10.0) == pytest.approx(sum(0.5 ** (n / 10) for n in range(2_000)))
    assert effective_count(math.inf) == math.inf
