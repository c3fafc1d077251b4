"""Worlds keep their promises: the same for a seed, the same luck for all, honest measures."""

import numpy as np
import pytest

from tongbao.bench import routing_measures as measures
from tongbao.bench.routing_baselines import BASELINES, Oracle, RoundRobin
from tongbao.bench.routing_measures import AHEAD, Played, events_measured, half_width, ratio_interval, summary
from tongbao.bench.routing_play import Feedback, Moment, play
from tongbao.bench.routing_world_draws import (
    CHANNELS_MAX,
    PAYMENTS_MAX,
    Event,
    IntArray,
    Regime,
    WorldSpec,
    every_spec,
)
from tongbao.bench.routing_worlds import (
    DELAY_MEAN,
    LOST_SHARE,
    NEUTRAL_SHARE,
    TIMEOUT_SHARE,
    Block,
    Outcome,
    World,
    outcomes,
)
from tongbao.core.errors import InvalidRequest

SHORT = 1_500
EVERY = [pytest.param(spec, id=spec.label) for spec in every_spec(SHORT)]


class Fixed:
    """Uses one channel, or a given plan (T,), and writes down all that it is told."""

    def __init__(self, count: int, arms: IntArray | int, second: int = -1) -> None:
        self.name = "fixed"
        self._count = count
        self._arms = arms
        self._second = second
        self.heard: list[Feedback] = []
        self.asked_after: list[int] = []

    def choose(self, moment: Moment) -> IntArray:
        arm = self._arms if isinstance(self._arms, int) else int(self._arms[moment.t])
        return np.full(self._count, arm)

    def second(self, moment: Moment, first: IntArray) -> IntArray:
        return np.full(self._count, self._second)

    def learn(self, feedback: Feedback) -> None:
        self.heard.append(feedback)

    def all(self, what: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.concatenate([getattr(each, what) for each in self.heard])


def _arrays(block: Block) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    luck = block.luck
    rest = [block.group, block.delay]
    return [
        block.now_s,
        block.acceptance,
        block.technical,
        luck.technical,
        luck.accept,
        luck.neutral,
        block.mislabel,
        block.draws,
        *(each.astype(np.float64) for each in rest),
    ]


@pytest.mark.parametrize("spec", EVERY)
def test_world_of_a_seed_is_the_same_beside_other_neighbours(spec: WorldSpec) -> None:
    alone, crowd = World(spec, [1000]), World(spec, [3, 1000, 7])
    np.testing.assert_array_equal(alone.cost_bps[0], crowd.cost_bps[1])
    for one, many in zip(alone.blocks(), crowd.blocks(), strict=True):
        for left, right in zip(_arrays(one), _arrays(many), strict=True):
            np.testing.assert_array_equal(left[:, 0], right[:, 1])


@pytest.mark.parametrize("spec", EVERY)
def test_world_walked_twice_is_the_same_and_other_seeds_differ(spec: WorldSpec) -> None:
    world = World(spec, [5, 6])
    for one, again in zip(world.blocks(), world.blocks(), strict=True):
        for left, right in zip(_arrays(one), _arrays(again), strict=True):
            np.testing.assert_array_equal(left, right)
        assert not np.array_equal(one.luck.accept[:, 0], one.luck.accept[:, 1])


@pytest.mark.parametrize("channels", [2, 3, 5, 8])
@pytest.mark.parametrize("spec", EVERY)
def test_rates_of_every_regime_lie_between_zero_and_one(spec: WorldSpec, channels: int) -> None:
    sized = WorldSpec(spec.regime, SHORT, channels, 3, spec.mislabel)
    last = np.zeros(4)
    for block in World(sized, range(4)).blocks():
        for rates in (block.acceptance, block.technical, block.success):
            assert rates.shape[1:] == (4, channels)
            assert rates.min() >= 0
            assert rates.max() <= 1
        assert block.group.min() >= 0
        assert block.group.max() < 3
        assert (np.diff(np.vstack([last, block.now_s]), axis=0) > 0).all()
        last = block.now_s[-1]


def test_payments_arrive_at_about_ten_a_second() -> None:
    world = World(WorldSpec(Regime.STATIONARY, 5_000), range(30))
    *_, block = world.blocks()
    assert 5_000 / block.now_s[-1].mean() == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("spec", EVERY)
def test_oracle_has_no_regret_and_nobody_has_negative_regret(spec: WorldSpec) -> None:
    world = World(spec, range(3))
    assert play(world, Oracle()).regret == pytest.approx(0.0, abs=1e-9)
    for name in ("round_robin", "hedge_125"):
        run = play(world, BASELINES[name](world))
        assert (run.regret > 0).all()
        assert (run.regret_success >= 0).all()
        assert (run.regret_value >= 0).all()


def test_same_channel_for_the_same_payment_meets_the_same_luck() -> None:
    world = World(WorldSpec(Regime.HARD_OUTAGE, SHORT), range(4))
    always, turns = Fixed(4, 2), Fixed(4, np.arange(SHORT) % 5)
    play(world, always)
    play(world, turns)
    seen_always = np.stack([each.seen for each in always.heard])
    seen_turns = np.stack([each.seen for each in turns.heard])
    np.testing.assert_array_equal(seen_always[2::5], seen_turns[2::5])


def test_success_of_a_fixed_channel_matches_its_true_probability() -> None:
    world = World(WorldSpec(Regime.HARD_OUTAGE, 2_000), range(80))
    run = play(world, Fixed(80, 1))
    told = np.mean([block.success[..., 1].mean(axis=0) for block in world.blocks()], axis=0)
    assert run.success_share.mean() == pytest.approx(told.mean(), abs=0.01)


def test_outcomes_have_the_stated_shares() -> None:
    world = World(WorldSpec(Regime.STATIONARY, 4_000), range(20))
    met = np.concatenate(
        [
            outcomes(np.full(block.technical.shape, 0.4), block.acceptance, block.luck)
            for block in world.blocks()
        ]
    )
    shares = [float((met == each).mean()) for each in Outcome]
    assert shares[Outcome.TECHNICAL] == pytest.approx(0.4 * (1 - TIMEOUT_SHARE), abs=0.01)
    assert shares[Outcome.UNRESOLVED] == pytest.approx(0.4 * TIMEOUT_SHARE / 2, abs=0.01)
    assert shares[Outcome.HIDDEN_CHARGED] == pytest.approx(0.4 * TIMEOUT_SHARE / 2, abs=0.01)
    assert shares[Outcome.NEUTRAL] == pytest.approx(0.6 * NEUTRAL_SHARE, abs=0.003)
    neutral = met == Outcome.NEUTRAL
    technical = np.isin(met, (Outcome.TECHNICAL, Outcome.UNRESOLVED, Outcome.HIDDEN_CHARGED))
    everywhere = (neutral | technical).all(axis=-1)
    np.testing.assert_array_equal(neutral.any(axis=-1) & ~everywhere, False)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.20])
def test_mislabelled_failures_have_the_stated_share(share: float) -> None:
    plain, wrong = (
        World(WorldSpec(Regime.MISLABELLED, 1_500, mislabel=each), range(60)) for each in (0.0, share)
    )
    true, told = Fixed(60, 0), Fixed(60, 0)
    play(plain, true)
    play(wrong, told)
    truly, seen = true.all("seen"), told.all("seen")
    failed = np.isin(truly, (Outcome.ISSUER_DECLINED, Outcome.TECHNICAL))
    assert (truly != seen)[failed].mean() == pytest.approx(share, abs=0.01)
    np.testing.assert_array_equal(truly[~failed], seen[~failed])
    np.testing.assert_array_equal(seen[failed & (truly != seen)], 3 - truly[failed & (truly != seen)])


def test_delayed_answers_come_later_once_each_and_some_never() -> None:
    payments, count = 4_000, 10
    player = Fixed(count, 0)
    play(World(WorldSpec(Regime.DELAYED, payments), range(count)), player)
    assert all(len(set(each.row.tolist())) == len(each.row) for each in player.heard)
    t0, row = player.all("t0"), player.all("row")
    assert len({*zip(t0.tolist(), row.tolist(), strict=True)}) == len(t0)
    early = t0 < payments - 1_000
    assert early.sum() / (count * (payments - 1_000)) == pytest.approx(1 - LOST_SHARE, abs=0.005)
    sent = np.concatenate(
        [block.now_s for block in World(WorldSpec(Regime.DELAYED, payments), range(count)).blocks()]
    )
    waited_s = player.all("now_s") - sent[t0, row]
    assert waited_s.min() > 0
    assert waited_s[early].mean() * payments / sent[-1].mean() == pytest.approx(DELAY_MEAN, rel=0.1)


def test_unresolved_is_never_cascaded_by_default() -> None:
    world = World(WorldSpec(Regime.HARD_OUTAGE, 4_000), range(10))
    player = Fixed(10, 0, second=1)
    run = play(world, player)
    firsts = np.stack([each.seen for each in player.heard if (each.arm == 0).all() and len(each.row) == 10])
    tried_again = np.zeros_like(firsts, dtype=bool)
    for each in player.heard:
        if (each.arm == 1).all():
            tried_again[each.t0, each.row] = True
    assert (firsts == Outcome.UNRESOLVED).sum() > 100
    np.testing.assert_array_equal(tried_again, np.isin(firsts, (Outcome.ISSUER_DECLINED, Outcome.TECHNICAL)))
    assert run.double_charges.sum() == 0
    assert run.attempts.mean() == pytest.approx(1 + tried_again.mean())
    assert (run.final_share > run.success_share).all()


def test_naive_cascade_charges_payers_twice() -> None:
    world = World(WorldSpec(Regime.HARD_OUTAGE, 4_000), range(10))
    run = play(world, BASELINES["naive_cascade"](world))
    assert run.double_charges.sum() > 0
    assert run.attempts.mean() > 1


def test_load_above_capacity_makes_failures_and_load_below_none() -> None:
    world = World(WorldSpec(Regime.RATE_LIMIT, SHORT, channels=3), range(5))
    idle = world.technical_under(np.zeros((5, 3)))
    full = world.technical_under(np.ones((5, 3)))
    assert idle.max() < 0.011
    assert (full > 0.05).all()
    assert full.max() <= 0.6
    crowded = play(world, Fixed(5, 0))
    spread = play(world, RoundRobin(5, 3))
    assert crowded.success_share.mean() < spread.success_share.mean()


def test_swap_exchanges_best_and_worst() -> None:
    world = World(WorldSpec(Regime.SWAP, 2_000, groups=1), range(10))
    levels = np.concatenate([block.acceptance for block in world.blocks()])
    in_order = np.sort(levels, axis=-1)
    np.testing.assert_allclose(in_order, np.broadcast_to(in_order[:1], in_order.shape))
    changes = (np.abs(np.diff(levels, axis=0)).max(axis=-1) > 1e-9).sum(axis=0)
    assert changes.min() >= 1
    assert changes.max() <= 3


def test_correlated_outages_hit_two_channels_at_once() -> None:
    world = World(WorldSpec(Regime.CORRELATED_OUTAGE), range(10))
    spans: dict[tuple[int, int, int, float], set[int]] = {}
    for event in world.events:
        spans.setdefault((event.row, event.start, event.end, event.factor), set()).add(event.arm)
    assert spans
    assert all(len(arms) == 2 for arms in spans.values())


def test_issuer_degradation_leaves_other_groups_alone() -> None:
    world = World(WorldSpec(Regime.ISSUER_DEGRADATION), range(5))
    event = next(each for each in world.events if each.end - each.start > 600)
    hit, spared = [], []
    for block in world.blocks():
        steps = block.start + np.arange(len(block.group))
        inside = (steps >= event.start) & (steps < event.end)
        mine = block.group[:, event.row] == event.group
        rates = block.acceptance[:, event.row, event.arm]
        hit += rates[inside & mine].tolist()
        spared += rates[inside & ~mine].tolist()
    assert min(spared) > max(hit)
    assert 0.2 <= event.drop <= 0.5


def test_shed_meter_reads_a_hand_made_trace() -> None:
    trace = np.concatenate([np.ones(37), np.zeros(200)])
    # From payment 35 on the next 50 hold 2 of 50, which is less than 5 %.
    assert measures.shed_after(trace) == 35
    assert measures.shed_after(np.ones(300)) == 300
    assert measures.shed_after(np.zeros(300)) == 0
    assert measures.shed_after(np.ones(20)) == 20
    back = np.concatenate([np.zeros(100), np.ones(100)])
    assert measures.returned_after(back, 1.0) == 100 - AHEAD + AHEAD // 2
    assert measures.returned_after(np.zeros(70), 1.0) == 70


def test_outage_figures_count_hard_outages_of_used_channels_only() -> None:
    world = World(WorldSpec(Regime.STATIONARY, 8_000, channels=3), [1])
    arms = np.zeros((8_000, 1), dtype=np.int8)
    arms[1_020:4_500] = 1
    world.events = [
        Event(0, 0, 1_000, 2_000, factor=0.1),  # counts: shed after 18, back after 2,500 - 25
        Event(0, 2, 3_000, 4_000, factor=0.0),  # not used before
        Event(0, 1, 2_000, 3_000, factor=0.3),  # not hard
    ]
    figures = events_measured(world, arms)
    assert figures.shed.tolist() == [18]
    assert figures.shed_rows.tolist() == [0]
    assert figures.returned.tolist() == [2_475]
    assert figures.into_share.tolist() == [20 / 8_000]


def test_summary_relates_runs_to_hedge_best_and_static() -> None:
    world = World(WorldSpec(Regime.STATIONARY, SHORT), range(6))
    runs = [play(world, BASELINES[name](world)) for name in ("oracle", "static", "round_robin", "hedge_125")]
    rows = {row.player: row for row in summary(runs)}
    by_name: dict[str, Played] = {run.player: run for run in runs}
    hedge, turns = by_name["hedge_125"], by_name["round_robin"]
    assert rows["hedge_125"].ratio_hedge == 1.0
    assert rows["oracle"].ratio_hedge == pytest.approx(0.0, abs=1e-9)
    assert rows["round_robin"].ratio_hedge == pytest.approx(turns.regret.mean() / hedge.regret.mean())
    assert (
        rows["round_robin"].ratio_hedge_low
        < rows["round_robin"].ratio_hedge
        < rows["round_robin"].ratio_hedge_high
    )
    assert rows["oracle"].best == "hedge_125"
    assert rows["static"].uplift_static_pp == 0.0
    assert rows["hedge_125"].regret_worst == hedge.regret.max()


def test_intervals_hold_their_means() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert half_width(values) == pytest.approx(1.959964 * values.std(ddof=1) / 2)
    assert np.isnan(half_width(values[:1]))
    assert ratio_interval(2 * values, values) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize(
    ("regime", "payments", "channels", "groups", "mislabel"),
    [
        (Regime.DRIFT, 0, 5, 4, 0.0),
        (Regime.DRIFT, PAYMENTS_MAX + 1, 5, 4, 0.0),
        (Regime.DRIFT, 100, 1, 4, 0.0),
        (Regime.DRIFT, 100, CHANNELS_MAX + 1, 4, 0.0),
        (Regime.DRIFT, 100, 5, 0, 0.0),
        (Regime.DRIFT, 100, 5, 4, 0.05),
        (Regime.MISLABELLED, 100, 5, 4, 1.5),
    ],
)
def test_world_of_impossible_size_is_rejected(
    regime: Regime, payments: int, channels: int, groups: int, mislabel: float
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        WorldSpec(regime, payments, channels, groups, mislabel)
    assert caught.value.code == "world_spec_invalid"


@pytest.mark.parametrize("seeds", [[], list(range(1_001))])
def test_world_without_seeds_or_with_too_many_is_rejected(seeds: list[int]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        World(WorldSpec(Regime.STATIONARY), seeds)
    assert caught.value.code == "world_seeds_invalid"
