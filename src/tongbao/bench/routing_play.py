"""The harness: a player routes the payments of a world, or of several at once, many seeds side by side, and is measured.

Per payment: the player chooses a channel, the world answers, at most one cascade follows, and the answers that become
visible are learned. A cascade happens only after an explicit answer that nothing was charged; after a time-out never,
unless the player says so itself (``cascade_after``), which is what the counter of double charges is for.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from tongbao.bench.routing_measures import Played, events_measured
from tongbao.bench.routing_world_draws import MARGIN_BPS, FloatArray, IntArray
from tongbao.bench.routing_worlds import (
    LOAD_MEMORY,
    Block,
    BoolArray,
    ClassArray,
    Luck,
    Outcome,
    World,
    outcomes,
    success,
    value,
)
from tongbao.bench.routing_worlds_together import Together

KNOWN_UNCHARGED = (Outcome.ISSUER_DECLINED, Outcome.TECHNICAL)
"""Explicit answers that nothing was charged and that another channel may better."""
# Members of an enum are slow to compare with arrays, and steps are many.
_APPROVED = int(Outcome.APPROVED)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a player may know when it chooses: payment ``t`` of every seed.

    ``now_s`` (n,) seconds since the start, ``group`` (n,) issuer groups, ``cost_bps`` (n, K), ``uniforms``
    (n, K + 2) in [0, 1) for the player's own draws, ``margin_bps`` what a success earns before its cost.
    """

    t: int
    now_s: FloatArray
    group: IntArray
    cost_bps: FloatArray
    uniforms: FloatArray
    margin_bps: float = MARGIN_BPS


@dataclass(frozen=True, slots=True)
class Feedback:
    """Answers that became visible, all (m,); no seed appears twice in one batch.

    ``row``: place of the seed; ``seen``: ``Outcome`` 0-4 as labelled by the channel; ``t0``: payment of the attempt;
    ``now_s``: time at which the answer is seen. ``is_second``: of attempts that followed a first one's no.
    """

    row: IntArray
    arm: IntArray
    group: IntArray
    seen: ClassArray
    t0: IntArray
    now_s: FloatArray
    is_second: bool = False

    @property
    def won(self) -> BoolArray:
        """Where the payment succeeded: all that most baselines look at."""
        won: BoolArray = self.seen == _APPROVED
        return won


class Player(Protocol):
    """A routing policy over n seeds at once. It may have ``second`` and ``cascade_after`` as well."""

    @property
    def name(self) -> str:
        """How tables call it."""

    def choose(self, moment: Moment) -> IntArray:
        """Return the channel of each seed's payment (n,)."""

    def learn(self, feedback: Feedback) -> None:
        """Take in answers."""


@runtime_checkable
class Cascading(Protocol):
    """A player with a second choice."""

    def second(self, moment: Moment, first: IntArray) -> IntArray:
        """Return the channel to try after ``first`` failed (n,), -1 for none. Asked only where a cascade may be.

        Which answers allow it, the player may say in ``cascade_after``; ``KNOWN_UNCHARGED`` otherwise.
        """


@runtime_checkable
class Clairvoyant(Protocol):
    """A player that is told the truth: the bound of what any policy can reach."""

    def foresee(self, worth: FloatArray) -> None:
        """Take in what each channel is worth for the coming payment (n, K)."""


def best_of(worth: FloatArray) -> IntArray:
    """Return the channel that is worth most (n,), the first of equals."""
    return np.asarray(worth.argmax(axis=1), dtype=np.int64)


def play(world: World, player: Player) -> Played:
    """Play a player through a world once. The world is not changed; the player is."""
    return play_together(Together([world]), player)[0]


def play_together(worlds: Together, player: Player) -> list[Played]:
    """Play a player that has a row for every row of ``worlds`` through all of them in one walk.

    Each world's figures are those of ``play`` with a player of its own that keeps its rows apart and draws from the
    moment's uniforms only. The worlds are not changed; the player is.
    """
    run = _Run(worlds, player)
    for block in worlds.blocks():
        run.play_block(block)
    return run.results()


@dataclass
class _Tally:
    """Sums per seed (n,)."""

    regret_success: FloatArray
    regret_value: FloatArray
    worth: FloatArray
    approved: FloatArray
    approved_finally: FloatArray
    attempts: FloatArray
    cost: FloatArray
    double_charges: FloatArray


@dataclass
class _Answers:
    """What was done and seen, (T, n); -1 where there was no second attempt."""

    arms: ClassArray
    seen: ClassArray
    group: ClassArray
    second_arms: ClassArray
    second_seen: ClassArray


@dataclass
class _Run:
    worlds: Together
    player: Player
    load: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        n, payments = self.worlds.count, self.worlds.payments
        self.rows = np.arange(n)
        self.load = np.zeros((n, self.worlds.channels))
        self.tally = _Tally(*(np.zeros(n) for _ in range(8)))
        self.answers = _Answers(*(np.full((payments, n), -1, dtype=np.int8) for _ in range(5)))
        self.due: dict[int, list[tuple[IntArray, IntArray]]] = defaultdict(list)
        # Asked once: checking a protocol costs more than a whole step.
        self.seer = self.player if isinstance(self.player, Clairvoyant) else None
        self.cascader = self.player if isinstance(self.player, Cascading) else None
        self.cascade_after = np.isin(
            np.arange(len(Outcome)), getattr(self.player, "cascade_after", KNOWN_UNCHARGED)
        )
        self.is_delayed = len(self.worlds.delayed) > 0
        self.is_loaded = len(self.worlds.loaded) > 0
        self.loaded_mislabel = self.worlds.mislabel[self.worlds.loaded, None]

    def play_block(self, block: Block) -> None:
        """Play the payments of one block in order and add up what they came to."""
        size = len(block.group)
        self.answers.group[block.start : block.start + size] = block.group
        first = np.empty(block.group.shape, dtype=np.int8)
        times = np.repeat(np.arange(block.start, block.start + size)[:, None], self.worlds.count, axis=1)
        if self.is_delayed:
            self._plan(block)
        truth = outcomes(block.technical, block.acceptance, block.luck)
        labels = _shown(truth, block.mislabel[..., None], self.worlds.mislabel[:, None])
        for step in range(size):
            if self.is_loaded:
                self._answer_loaded(block, step, truth, labels)
            first[step] = self._pay(block, times[step], truth[step], labels[step])
        self._add_up(block, first)

    def _answer_loaded(self, block: Block, step: int, truth: ClassArray, labels: ClassArray) -> None:
        """Write what the channels under load would answer now, which only the traffic so far can tell."""
        at = (step, self.worlds.loaded)
        block.technical[at] = technical = self.worlds.technical_under(self.load)
        luck = Luck(block.luck.technical[at], block.luck.accept[at], block.luck.neutral[at])
        truth[at] = met = outcomes(technical, block.acceptance[at], luck)
        labels[at] = _shown(met, block.mislabel[at][:, None], self.loaded_mislabel)

    def _pay(self, block: Block, t0: IntArray, given: ClassArray, shown: ClassArray) -> ClassArray:
        """Route one payment of every row; return what the first attempts truly met."""
        t = int(t0[0])
        step = t - block.start
        moment = Moment(t, block.now_s[step], block.group[step], self.worlds.cost_bps, block.draws[step])
        if self.seer is not None:
            self.seer.foresee(self._worth(block, step))
        arm = self.player.choose(moment)
        met: ClassArray = given[self.rows, arm]
        seen: ClassArray = shown[self.rows, arm]
        self.answers.arms[t] = arm
        self.answers.seen[t] = seen
        if self.is_loaded:
            self._carry(self.rows, arm)
        if self.cascader is not None:
            self._cascade(moment, given, met, block.mislabel[step])
        if self.is_delayed:
            self._learn_visible(moment, t0)
        else:
            self.player.learn(Feedback(self.rows, arm, moment.group, seen, t0, moment.now_s))
            if self.cascader is not None:
                self._learn_second(moment, t0, self.rows)
        return met

    def _worth(self, block: Block, step: int) -> FloatArray:
        prob = success(block.technical[step], block.acceptance[step])
        return np.where(self.worlds.counts_value[:, None], value(prob, self.worlds.cost_bps), prob)

    def _carry(self, rows: IntArray, arm: IntArray) -> None:
        self.load[rows] *= 1.0 - 1.0 / LOAD_MEMORY
        self.load[rows, arm] += 1.0 / LOAD_MEMORY

    def _cascade(self, moment: Moment, given: ClassArray, met: ClassArray, uniform: FloatArray) -> None:
        first, seen = self.answers.arms[moment.t], self.answers.seen[moment.t]
        allowed = self.cascade_after[seen]
        if not allowed.any() or self.cascader is None:
            return
        other = self.cascader.second(moment, first.astype(np.int64))
        rows = np.flatnonzero(allowed & (other >= 0) & (other != first))
        again = given[rows, other[rows]]
        self.answers.second_arms[moment.t, rows] = other[rows]
        # Another part of the same uniform: the labels of the two attempts are wrong independently enough.
        self.answers.second_seen[moment.t, rows] = _shown(
            again, (uniform[rows] + 0.5) % 1.0, self.worlds.mislabel[rows]
        )
        self.tally.attempts[rows] += 1
        won = rows[again == Outcome.APPROVED]
        self.tally.approved_finally[won] += 1
        self.tally.cost[won] += self.worlds.cost_bps[won, other[won]]
        self.tally.double_charges[won] += met[won] == Outcome.HIDDEN_CHARGED
        if self.is_loaded:
            self._carry(rows, other[rows])

    def _learn_second(self, moment: Moment, t0: IntArray, row: IntArray) -> None:
        arm = self.answers.second_arms[t0, row]
        had = np.flatnonzero(arm >= 0)
        if len(had):
            kept = (self.answers.second_arms, self.answers.second_seen)
            self._tell(moment, t0[had], row[had], kept, is_second=True)

    def _tell(
        self,
        moment: Moment,
        t0: IntArray,
        row: IntArray,
        kept: tuple[ClassArray, ClassArray],
        *,
        is_second: bool = False,
    ) -> None:
        arms, seen = kept
        group = self.answers.group[t0, row].astype(np.int64)
        arm = arms[t0, row].astype(np.int64)
        self.player.learn(Feedback(row, arm, group, seen[t0, row], t0, moment.now_s[row], is_second))

    def _plan(self, block: Block) -> None:
        """Note at which payment the late answers of a block will be seen."""
        delay = block.delay[:, self.worlds.delayed]
        step, place = np.nonzero(delay >= 0)
        t0, row = step + block.start, self.worlds.delayed[place]
        due = t0 + delay[step, place]
        order = np.argsort(due, kind="stable")
        t0, row, due = t0[order], row[order], due[order]
        at, first = np.unique(due, return_index=True)
        for instant, begin, end in zip(at, first, [*first[1:], len(due)], strict=True):
            self.due[int(instant)].append((t0[begin:end], row[begin:end]))

    def _learn_visible(self, moment: Moment, t0: IntArray) -> None:
        """Tell what is seen now: the answers of rows that are never late, and the late ones that are due."""
        prompt = self.worlds.prompt
        waiting = [(t0[prompt], prompt), *self.due.pop(moment.t, [])]
        at = np.concatenate([part[0] for part in waiting])
        row = np.concatenate([part[1] for part in waiting])
        for part in _without_repeats(row):
            self._tell(moment, at[part], row[part], (self.answers.arms, self.answers.seen))
            if self.cascader is not None:
                self._learn_second(moment, at[part], row[part])

    def _add_up(self, block: Block, first: ClassArray) -> None:
        tally, size = self.tally, len(first)
        arms = self.answers.arms[block.start : block.start + size].astype(np.int64)[..., None]
        prob = block.success
        worth = value(prob, self.worlds.cost_bps)
        chosen = np.take_along_axis(worth, arms, axis=-1)[..., 0]
        tally.regret_success += (prob.max(axis=-1) - np.take_along_axis(prob, arms, axis=-1)[..., 0]).sum(0)
        tally.regret_value += (worth.max(axis=-1) - chosen).sum(0)
        tally.worth += chosen.sum(0)
        won = first == Outcome.APPROVED
        tally.approved += won.sum(0)
        tally.approved_finally += won.sum(0)
        tally.attempts += size
        tally.cost += (self.worlds.cost_bps[self.rows, arms[..., 0]] * won).sum(0)

    def results(self) -> list[Played]:
        """Return the figures of the whole run, world by world."""
        return [
            self._result(world, place)
            for world, place in zip(self.worlds.worlds, self.worlds.places, strict=True)
        ]

    def _result(self, world: World, place: slice) -> Played:
        payments, tally = world.spec.payments, self.tally
        by_value = self.worlds.counts_value[place]
        approved_finally = tally.approved_finally[place]
        arms = np.ascontiguousarray(self.answers.arms[:, place])
        return Played(
            player=self.player.name,
            spec=world.spec,
            seeds=world.seeds,
            regret=np.where(by_value, tally.regret_value[place], tally.regret_success[place]),
            regret_success=tally.regret_success[place],
            regret_value=tally.regret_value[place],
            value_bps=1e4 * tally.worth[place] / payments,
            success_share=tally.approved[place] / payments,
            final_share=approved_finally / payments,
            attempts=tally.attempts[place] / payments,
            cost_bps=tally.cost[place] / np.maximum(approved_finally, 1),
            double_charges=tally.double_charges[place],
            events=events_measured(world, arms),
            arms=arms,
        )


def _shown(met: ClassArray, uniform: FloatArray, mislabel: FloatArray) -> ClassArray:
    """Return what the channels say: nothing of hidden charges, and a share of failures under the wrong label."""
    shown = np.where(met == Outcome.HIDDEN_CHARGED, np.int8(Outcome.UNRESOLVED), met)
    if mislabel.any():
        failed = (shown == Outcome.ISSUER_DECLINED) | (shown == Outcome.TECHNICAL)
        swapped = Outcome.ISSUER_DECLINED + Outcome.TECHNICAL - shown
        shown = np.where(failed & (uniform < mislabel), swapped, shown)
    return shown.astype(np.int8)


def _without_repeats(row: IntArray) -> Iterator[IntArray]:
    """Split places into parts in which no row appears twice, rows ascending; each row's answers keep their order."""
    if not len(row):
        return
    order = np.argsort(row, kind="stable")
    ordered = row[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    repeat = np.arange(len(row)) - starts
    for number in range(int(repeat.max()) + 1):
        yield order[repeat == number]
