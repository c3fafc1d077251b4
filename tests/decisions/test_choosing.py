import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.base import NOWHERE, Floats
from tongbao.decisions.models.beta_thompson import BetaThompson
from tongbao.decisions.models.chooser import Choice, Chooser
from tongbao.decisions.models.choosing import (
    Mask,
    draw,
    draw_one,
    floored,
    thompson_of_one,
    thompson_propensities,
    top_two,
)
from tongbao.decisions.schema.log import CANDIDATES_MAX

ALMOST_ONE = math.nextafter(1.0, 0.0)
ARMS_MAX = 8


@st.composite
def beliefs(draw_: st.DrawFn) -> tuple[Floats, Floats, Mask]:
    """Means, sds that differ by up to 1e9, and which arms are allowed (at least one)."""
    count = draw_(st.integers(1, ARMS_MAX))
    scale = 10 ** draw_(st.floats(-6, 6))
    means = draw_(st.lists(st.floats(-3, 3), min_size=count, max_size=count))
    sds = draw_(st.lists(st.floats(-6, 3), min_size=count, max_size=count))
    allowed = draw_(st.lists(st.booleans(), min_size=count, max_size=count))
    allowed[draw_(st.integers(0, count - 1))] = True
    return scale * np.array(means), scale * 10 ** np.array(sds), np.array(allowed)


def everything(count: int) -> Mask:
    return np.ones(count, dtype=np.bool_)


@settings(deadline=None)
@given(beliefs())
def test_propensities_sum_to_one_and_are_zero_where_not_allowed(case: tuple[Floats, Floats, Mask]) -> None:
    mean, sd, allowed = case
    result = thompson_propensities(mean, sd, allowed)
    assert abs(math.fsum(result) - 1) <= 1e-12
    assert (result >= 0).all()
    assert (result[~allowed] == 0).all()


@settings(deadline=None)
@given(beliefs(), st.floats(0.01, 2.0))
def test_propensity_never_falls_when_the_mean_rises(case: tuple[Floats, Floats, Mask], more: float) -> None:
    mean, sd, allowed = case
    arm = int(allowed.argmax())
    higher = mean.copy()
    higher[arm] += more * np.abs(mean).max()
    before, after = (thompson_propensities(each, sd, allowed)[arm] for each in (mean, higher))
    assert after >= before - 1e-3  # the accuracy of the quadrature


@settings(deadline=None)
@given(beliefs(), st.randoms(use_true_random=False))
def test_propensities_follow_their_arms_when_the_order_changes(
    case: tuple[Floats, Floats, Mask], chance: np.random.Generator
) -> None:
    mean, sd, allowed = case
    order = list(range(len(mean)))
    chance.shuffle(order)
    shuffled = thompson_propensities(mean[order], sd[order], allowed[order])
    np.testing.assert_allclose(shuffled, thompson_propensities(mean, sd, allowed)[order], atol=1e-9)


@settings(deadline=None)
@given(beliefs(), st.floats(-1e3, 1e3), st.floats(-3, 3))
def test_propensities_do_not_depend_on_the_unit(
    case: tuple[Floats, Floats, Mask], shift: float, exponent: float
) -> None:
    mean, sd, allowed = case
    scale, sd = 10.0**exponent, np.maximum(sd, 1e-3 * np.abs(mean).max() + 1e-9)
    moved = thompson_propensities(scale * (mean + shift * sd.min()), scale * sd, allowed)
    np.testing.assert_allclose(moved, thompson_propensities(mean, sd, allowed), atol=1e-6)


@settings(deadline=None)
@given(beliefs())
def test_propensities_by_rows_equal_those_one_by_one(case: tuple[Floats, Floats, Mask]) -> None:
    mean, sd, allowed = case
    rows = np.stack([mean, -mean, mean * 0])
    masks = np.stack([allowed, everything(len(mean)), allowed])
    together = thompson_propensities(rows, np.stack([sd] * 3), masks)
    for row in range(3):
        np.testing.assert_allclose(
            together[row], thompson_propensities(rows[row], sd, masks[row]), rtol=0, atol=5e-4
        )


def test_what_can_be_told_apart_is_reckoned_for_each_row_of_its_own() -> None:
    mean, sd = np.array([[1.0, 1.0 + 1e-7, 1.0 + 1e-7], [1e9, 2e9, 1e9]]), np.zeros((2, 3))
    together = thompson_propensities(mean, sd, np.ones((2, 3), dtype=np.bool_))
    np.testing.assert_allclose(together, [[0.0, 0.5, 0.5], [0.0, 1.0, 0.0]], atol=1e-9)
    for row in range(2):
        alone = thompson_propensities(mean[row], sd[row], everything(3))
        np.testing.assert_allclose(together[row], alone, atol=1e-9)


def monte_carlo(mean: Floats, sd: Floats, draws: int, seed: int) -> Floats:
    greatest = np.random.default_rng(seed).normal(mean, sd, (draws, len(mean))).argmax(axis=1)
    return np.bincount(greatest, minlength=len(mean)) / draws


def integrated(mean: Floats, sd: Floats) -> Floats:
    """Return the same integrals by brute force: every arm's density on its own fine grid of normal quantiles."""
    from_left = np.linspace(-9, 9, 180_001)
    density = np.exp(-(from_left**2) / 2) / math.sqrt(2 * math.pi)
    return np.array(
        [np.trapezoid(density * others_below(k, from_left, mean, sd), from_left) for k in range(len(mean))]
    )


def others_below(arm: int, quantiles: Floats, mean: Floats, sd: Floats) -> Floats:
    points, result = mean[arm] + sd[arm] * quantiles, np.ones_like(quantiles)
    for other in range(len(mean)):
        if other != arm:
            z = (points - mean[other]) / sd[other] / math.sqrt(2)
            result *= 0.5 * np.array([math.erfc(-value) for value in z.tolist()])
    return result


KNOWN = (
    ("two equal", [0.0, 0.0], [1.0, 1.0]),
    ("rates after some thousand trials", [0.90, 0.905, 0.91, 0.88], [0.006, 0.008, 0.005, 0.01]),
    ("one wide among narrow", [0.0, 0.2, 0.1, 0.15], [1.0, 1e-3, 1e-3, 1e-3]),
    ("one step inside a wide one", [0.0, 0.2], [1.0, 1e-6]),
    ("sds over six decades", [0.0, 0.5, -0.2, 0.1, 0.4], [10.0, 1e-3, 0.1, 1.0, 1e-4]),
    ("eight alike", [0.0, 0.1, 0.2, 0.3, 0.0, -0.1, 0.05, 0.15], [1.0, 0.9, 1.1, 0.5, 2.0, 1.0, 0.7, 1.3]),
    ("one far ahead", [5.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
)


@pytest.mark.parametrize(("mean", "sd"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN])
def test_propensities_agree_with_a_million_draws(mean: list[float], sd: list[float]) -> None:
    result = thompson_propensities(np.array(mean), np.array(sd), everything(len(mean)))
    drawn = monte_carlo(np.array(mean), np.array(sd), 1_000_000, seed=1)
    # 1e-3 for the quadrature, three standard errors (at most 1.5e-3) for the draws.
    np.testing.assert_allclose(
        result, drawn, rtol=0, atol=1e-3 + 3 * np.sqrt(drawn * (1 - drawn) / 1e6).max()
    )


@pytest.mark.parametrize(("mean", "sd"), [row[1:] for row in KNOWN[:4]], ids=[row[0] for row in KNOWN[:4]])
def test_propensities_agree_with_fine_integration_within_a_thousandth(
    mean: list[float], sd: list[float]
) -> None:
    result = thompson_propensities(np.array(mean), np.array(sd), everything(len(mean)))
    np.testing.assert_allclose(result, integrated(np.array(mean), np.array(sd)), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("sds_apart", "chance"), [(3, 1.35e-3), (4, 3.17e-5), (5, 2.87e-7)])
def test_small_propensities_of_two_arms_are_exact(sds_apart: float, chance: float) -> None:
    mean, sd = np.array([sds_apart * math.sqrt(2), 0.0]), np.ones(2)
    alone = thompson_propensities(mean, sd, everything(2))
    many = thompson_propensities(np.stack([mean] * 2), np.stack([sd] * 2), np.ones((2, 2), dtype=bool))
    assert alone[1] == pytest.approx(chance, rel=0.01)
    assert many[1, 1] == pytest.approx(alone[1], rel=1e-9)


@given(beliefs())
def test_one_choice_in_plain_numbers_equals_the_arrays(case: tuple[Floats, Floats, Mask]) -> None:
    mean, sd, _ = case
    plain = thompson_of_one(mean.tolist(), sd.tolist())
    many = thompson_propensities(
        np.stack([mean] * 2), np.stack([sd] * 2), np.ones((2, len(mean)), dtype=bool)
    )
    assert math.fsum(plain) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(plain, many[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("mean", "sd", "code"),
    [
        ([], [], "no_arm_allowed"),
        ([math.nan, 1.0], [1.0, 1.0], "beliefs_invalid"),
        ([0.0, 1.0], [-1.0, 1.0], "beliefs_invalid"),
        ([0.0, 1.0], [math.inf, 1.0], "beliefs_invalid"),
    ],
)
def test_one_choice_of_senseless_beliefs_is_refused(mean: list[float], sd: list[float], code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        thompson_of_one(mean, sd)
    assert refused.value.code == code


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).filter(any), st.floats(0, 1, exclude_max=True))
def test_draw_of_one_line_never_takes_what_has_no_chance(shares: list[float], uniform: float) -> None:
    place = draw_one(shares, uniform)
    assert shares[place] > 0
    if (
        abs(sum(shares[:place]) - uniform * sum(shares)) > 1e-9
        and abs(sum(shares[: place + 1]) - uniform * sum(shares)) > 1e-9
    ):
        assert place == int(draw(np.array(shares), uniform))


def test_propensities_of_equal_arms_are_equal_to_the_last_digits() -> None:
    for count in (2, 5, 8, 64):
        result = thompson_propensities(np.full(count, 0.9), np.full(count, 0.01), everything(count))
        np.testing.assert_allclose(result, 1 / count, rtol=1e-12)


def test_propensities_of_certain_arms_go_to_the_greatest() -> None:
    result = thompson_propensities(np.array([1.0, 2.0, 1.5]), np.zeros(3), everything(3))
    np.testing.assert_allclose(result, [0.0, 1.0, 0.0], atol=1e-9)
    tied = thompson_propensities(np.zeros(4), np.zeros(4), everything(4))
    np.testing.assert_allclose(tied, 0.25)


@settings(deadline=None)
@given(beliefs())
def test_one_allowed_arm_gets_everything(case: tuple[Floats, Floats, Mask]) -> None:
    mean, sd, allowed = case
    only = np.arange(len(mean)) == allowed.argmax()
    np.testing.assert_allclose(thompson_propensities(mean, sd, only), only, atol=1e-12)
    np.testing.assert_allclose(floored(np.where(only, 1.0, 0.0), only, 0.3), only, atol=1e-12)
    np.testing.assert_allclose(top_two(np.where(only, 1.0, 0.0)), only, atol=1e-12)


@pytest.mark.parametrize(
    "allowed", [np.zeros(3, bool), np.zeros((0,), bool), np.array([[True, False], [False, False]])]
)
def test_no_allowed_arm_is_refused(allowed: Mask) -> None:
    numbers = np.ones(allowed.shape)
    with pytest.raises(InvalidRequest, match="no_arm_allowed"):
        thompson_propensities(numbers, numbers, allowed)
    with pytest.raises(InvalidRequest, match="no_arm_allowed"):
        floored(numbers, allowed, 0.0)


@pytest.mark.parametrize(
    ("mean", "sd"),
    [
        ([math.nan, 0.0], [1.0, 1.0]),
        ([math.inf, 0.0], [1.0, 1.0]),
        ([0.0, 0.0], [-1.0, 1.0]),
        ([0.0, 0.0], [math.nan, 1]),
    ],
)
def test_beliefs_that_are_no_numbers_are_refused(mean: list[float], sd: list[float]) -> None:
    with pytest.raises(InvalidRequest, match="beliefs_invalid"):
        thompson_propensities(np.array(mean), np.array(sd), everything(2))


def test_beliefs_of_an_arm_that_is_not_allowed_do_not_matter() -> None:
    allowed = np.array([True, True, False])
    for mean, sd in ((math.nan, 1.0), (1e300, 0.0), (-5.0, math.inf)):
        result = thompson_propensities(np.array([0.0, 1.0, mean]), np.array([1.0, 1.0, sd]), allowed)
        np.testing.assert_allclose(
            result[:2], thompson_propensities(np.array([0.0, 1.0]), np.ones(2), everything(2))
        )


@settings(deadline=None)
@given(beliefs(), st.floats(0, 1))
def test_floored_gives_every_allowed_arm_its_floor_and_keeps_the_order(
    case: tuple[Floats, Floats, Mask], share: float
) -> None:
    mean, sd, allowed = case
    floor = share / int(allowed.sum())
    before = thompson_propensities(mean, sd, allowed)
    after = floored(before, allowed, floor)
    assert abs(math.fsum(after) - 1) <= 1e-12
    assert (after[allowed] >= floor * (1 - 1e-12)).all()
    assert (after[~allowed] == 0).all()
    order = np.argsort(before[allowed], kind="stable")
    assert (np.diff(after[allowed][order]) >= -1e-12).all()
    np.testing.assert_allclose(after[allowed], floor + (1 - share) * before[allowed], atol=1e-12)


@pytest.mark.parametrize("floor", [-0.01, 0.34, 1.0, math.nan])
def test_floored_with_a_floor_that_does_not_fit_is_refused(floor: float) -> None:
    with pytest.raises(InvalidRequest, match="floor_invalid"):
        floored(np.full(3, 1 / 3), everything(3), floor)


@settings(deadline=None)
@given(beliefs())
def test_top_two_sums_to_one_keeps_the_order_and_caps_the_leader(case: tuple[Floats, Floats, Mask]) -> None:
    plain = thompson_propensities(*case)
    result = top_two(plain)
    assert abs(math.fsum(result) - 1) <= 1e-12
    assert (result[plain == 0] == 0).all()
    leader = int(plain.argmax())
    assert result[leader] >= result.max() - 1e-12
    if 1e-9 < plain[leader] < 1 - 1e-9:
        assert result[leader] <= max(plain[leader], 0.5) + 1e-9


def test_top_two_agrees_with_drawing_until_another_leads() -> None:
    plain, chance, taken = np.array([0.55, 0.3, 0.13, 0.02]), np.random.default_rng(8), np.zeros(4)
    draws = 200_000
    leaders = chance.choice(4, draws, p=plain)
    for leader in range(4):
        count = int((leaders == leader).sum())
        stays = int((chance.random(count) < 0.5).sum())
        rest = np.delete(np.arange(4), leader)
        challengers = chance.choice(4, 12 * count, p=plain)
        challengers = challengers[np.isin(challengers, rest)][: count - stays]
        taken[leader] += stays
        taken += np.bincount(challengers, minlength=4)
    np.testing.assert_allclose(top_two(plain), taken / taken.sum(), atol=0.005)


def test_top_two_near_certainty_gives_the_challenger_its_half() -> None:
    np.testing.assert_allclose(top_two(np.array([1 - 1e-13, 1e-13, 0.0])), [0.5, 0.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(top_two(np.array([[1.0, 0.0], [0.5, 0.5]])), [[1.0, 0.0], [0.5, 0.5]])


weights = st.lists(st.sampled_from([0.0, 1e-12, 0.1, 0.5, 1.0]), min_size=1, max_size=9).filter(any)
uniforms = st.one_of(st.sampled_from([0.0, ALMOST_ONE, 5e-324]), st.floats(0, ALMOST_ONE))


@settings(deadline=None)
@given(weights, uniforms)
def test_draw_never_takes_what_has_no_chance(given_weights: list[float], uniform: float) -> None:
    propensities = np.array(given_weights) / sum(given_weights)
    assert propensities[int(draw(propensities, uniform))] > 0


def test_draw_at_both_ends_takes_the_first_and_the_last_with_a_chance() -> None:
    propensities = np.array([0.0, 0.3, 0.0, 0.7, 0.0])
    assert draw(propensities, np.array(0.0)) == 1
    assert draw(propensities, 0.3) == 3
    assert draw(propensities, ALMOST_ONE) == 3
    rows = draw(np.stack([propensities, propensities[::-1]]), np.array([0.1, 0.1]))
    assert rows.tolist() == [1, 1]


def test_draw_frequencies_match_the_propensities() -> None:
    propensities = np.array([0.5, 0.0, 0.3, 0.15, 0.05])
    count = 200_000
    chosen = draw(np.broadcast_to(propensities, (count, 5)), np.random.default_rng(6).random(count))
    shares = np.bincount(chosen, minlength=5) / count
    assert (np.abs(shares - propensities) <= 4 * np.sqrt(propensities * (1 - propensities) / count)).all()


@pytest.mark.parametrize("uniform", [-1e-9, 1.0, math.nan])
def test_draw_with_no_uniform_is_refused(uniform: float) -> None:
    with pytest.raises(InvalidRequest, match="uniform_invalid"):
        draw(np.array([0.5, 0.5]), uniform)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=4), uniforms, st.sampled_from(Choice))
def test_choose_takes_an_allowed_arm_from_what_it_writes(
    allowed: list[bool], uniform: float, choice: Choice
) -> None:
    learner, arms = BetaThompson(), ("a", "b", "c", "d")
    learner.learn("a", 1.0, 0.0, NOWHERE)
    chooser = Chooser(learner, floor=0.05, choice=choice)
    if not any(allowed):
        with pytest.raises(InvalidRequest, match="no_arm_allowed"):
            chooser.choose(arms, allowed, NOWHERE, 0.0, uniform)
        return
    chosen = chooser.choose(arms, allowed, NOWHERE, 0.0, uniform)
    assert allowed[arms.index(chosen.arm)]
    assert (chosen.propensities[np.array(allowed)] >= 0.05 - 1e-12).all()
    assert (chosen.propensities[~np.array(allowed)] == 0).all()
    assert arms.index(chosen.arm) == draw(chosen.propensities, uniform)
    assert chosen.beliefs.arms == arms


BAD_ARMS = (
    ((), ()),
    (("a", "a"), (True, True)),
    (("a", "b"), (True,)),
    (tuple(str(n) for n in range(CANDIDATES_MAX + 1)), (True,) * (CANDIDATES_MAX + 1)),
)


@pytest.mark.parametrize(("arms", "allowed"), BAD_ARMS)
def test_choose_among_arms_that_cannot_be_told_apart_is_refused(
    arms: tuple[str, ...], allowed: tuple[bool, ...]
) -> None:
    with pytest.raises(InvalidRequest, match="arms_invalid"):
        Chooser(BetaThompson()).choose(arms, allowed, NOWHERE, 0.0, 0.5)


def test_choose_with_a_floor_too_high_for_the_allowed_arms_is_refused() -> None:
    chooser = Chooser(BetaThompson(), floor=0.4)
    chooser.choose(("a", "b", "c"), (True, True, False), NOWHERE, 0.0, 0.5)
    with pytest.raises(InvalidRequest, match="floor_invalid"):
        chooser.choose(("a", "b", "c"), (True, True, True), NOWHERE, 0.0, 0.5)
