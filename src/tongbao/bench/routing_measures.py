"""Figures of routing runs: what was lost, how fast sick channels were left and found again, and how sure that is.

Shedding counts hard outages only (at most ``HARD_FACTOR_MAX`` of the success left) of channels that carried at least
``SHARE_MIN`` of the traffic before. All durations are payments of the whole stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tongbao.bench.routing_world_draws import Event, FloatArray, IntArray, WorldSpec
from tongbao.bench.routing_worlds import ClassArray, World

SHARE_MIN = 0.05
BEFORE = 200
"""Payments before an outage over which the channel's share is taken."""
MAIN_SHARE = 0.5
"""From this share on a channel is the main one."""
AHEAD = 50
"""A channel is left (or found again) when the next 50 payments say so."""
RETURN_MAX = 3_000
"""Payments after an outage in which a return is waited for; counted as this where it never came."""
RESAMPLES = 1_000
Z95 = 1.959964


@dataclass(frozen=True)
class EventFigures:
    """Figures over hard outages: ``shed`` and ``returned`` (one per event that counts), ``into_share`` (n,).

    ``shed``: payments from the start until the next 50 hold less than 5 % on the sick channel, the length of the
    outage where that never came; ``shed_rows`` are the seeds' places, ``shed_shares`` the share before. ``returned``: payments from the end until the
    next 50 hold at least half of the earlier share. ``into_share``: payments sent into open hard outages, of all.
    """

    shed: IntArray
    shed_rows: IntArray
    shed_shares: FloatArray
    returned: IntArray
    into_share: FloatArray


@dataclass(frozen=True)
class Played:
    """What one player came to in one world; arrays (n,) per seed, ``arms`` (T, n).

    ``regret``: lost successes, in ``COST_SPREAD`` lost value in amounts of a payment; ``regret_success`` and
    ``regret_value`` are both given always. ``value_bps``: expected earnings per payment. ``success_share``: first
    attempts; ``final_share``: after the cascade. ``cost_bps``: mean over approved payments.
    """

    player: str
    spec: WorldSpec
    seeds: tuple[int, ...]
    regret: FloatArray
    regret_success: FloatArray
    regret_value: FloatArray
    value_bps: FloatArray
    success_share: FloatArray
    final_share: FloatArray
    attempts: FloatArray
    cost_bps: FloatArray
    double_charges: FloatArray
    events: EventFigures
    arms: ClassArray


@dataclass(frozen=True)
class Row:
    """One line of the table: a player in a regime. Means over seeds; ``*_ci`` are half-widths or bounds of 95 %.

    ``ratio_hedge``, ``ratio_best``: regret over that of the reference and of the best other baseline, with bounds from
    paired resampling of seeds; ``shed_main_*``: outages of channels that carried half of the traffic; ``uplift_static_pp``: points of first-attempt success over the static rules. NaN where
    the reference was not played, or no event counted.
    """

    regime: str
    player: str
    regret: float
    regret_ci: float
    regret_worst: float
    success_share: float
    success_ci: float
    final_share: float
    attempts: float
    cost_bps: float
    value_bps: float
    shed_mean: float
    shed_p90: float
    shed_max: int
    shed_count: int
    shed_main_mean: float
    shed_main_count: int
    return_mean: float
    outage_share: float
    double_charges: int
    ratio_hedge: float
    ratio_hedge_low: float
    ratio_hedge_high: float
    ratio_best: float
    best: str
    uplift_static_pp: float


def shed_after(on_sick: FloatArray) -> int:
    """Return after how many payments the following ``AHEAD`` hold less than ``SHARE_MIN`` on the channel.

    ``on_sick``: 1 where a payment went to the channel, from the outage's start to its end. Only whole windows inside
    the outage count; its length is returned when none was (nearly) free of the channel.
    """
    whole = max(1, len(on_sick) - AHEAD + 1)
    left = np.flatnonzero(_sums_ahead(on_sick)[:whole] < SHARE_MIN * min(AHEAD, len(on_sick)))
    return int(left[0]) if len(left) else len(on_sick)


def returned_after(on_channel: FloatArray, share_before: float) -> int:
    """Return after how many payments the following ``AHEAD`` hold half of the earlier share; the length if never."""
    ahead = _sums_ahead(on_channel)
    back = np.flatnonzero(ahead >= 0.5 * share_before * AHEAD)
    return int(back[0]) if len(back) else len(on_channel)


def _sums_ahead(marks: FloatArray) -> FloatArray:
    sums = np.concatenate([[0.0], np.cumsum(marks)])
    ends = np.minimum(np.arange(len(marks)) + AHEAD, len(marks))
    return np.asarray(sums[ends] - sums[: len(marks)], dtype=np.float64)


def events_measured(world: World, arms: ClassArray) -> EventFigures:
    """Measure the hard outages of a world against what was chosen, ``arms`` (T, n)."""
    shed: list[int] = []
    rows: list[int] = []
    shares: list[float] = []
    returned: list[int] = []
    into = np.zeros(world.count)
    for event in world.events:
        if not event.is_hard:
            continue
        mine = (arms[:, event.row] == event.arm).astype(np.float64)
        into[event.row] += mine[event.start : event.end].sum()
        before = mine[max(0, event.start - BEFORE) : event.start]
        share = float(before.mean()) if len(before) else 0.0
        if share < SHARE_MIN:
            continue
        shed.append(shed_after(mine[event.start : event.end]))
        rows.append(event.row)
        shares.append(share)
        until = _quiet_until(world, event)
        # A channel that carried little before is not missed: only a main channel can be seen to return.
        if share >= MAIN_SHARE and until - event.end >= RETURN_MAX:
            returned.append(returned_after(mine[event.end : event.end + RETURN_MAX], share))
    return EventFigures(
        np.array(shed, dtype=np.int64),
        np.array(rows, dtype=np.int64),
        np.array(shares, dtype=np.float64),
        np.array(returned, dtype=np.int64),
        into / world.spec.payments,
    )


def _quiet_until(world: World, event: Event) -> int:
    """Return the payment at which the channel falls sick again, or the world ends."""
    later = (
        other.start
        for other in world.events
        if other.row == event.row and other.arm == event.arm and other.start >= event.end
    )
    return min(later, default=world.spec.payments)


def half_width(values: FloatArray) -> float:
    """Return half of the normal 95 % interval of a mean; NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return float(Z95 * values.std(ddof=1) / np.sqrt(len(values)))


def ratio_interval(ours: FloatArray, theirs: FloatArray) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of means, resampling seeds in pairs (bootstrap, fixed seed)."""
    rng = np.random.default_rng(np.random.SeedSequence([len(ours), 95]))
    picks = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
    ratios = ours[picks].mean(axis=1) / np.maximum(theirs[picks].mean(axis=1), 1e-12)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def summary(
    runs: Sequence[Played],
    reference: str = "hedge_125",
    static: str = "static",
    candidates: frozenset[str] = frozenset(),
) -> list[Row]:
    """Return a row per run with its ratios to the reference, to the best other baseline and to the static rules.

    ``candidates`` are players that are no baselines; they, the oracle and the run itself are never "the best
    baseline". Runs of one regime must have the same seeds.
    """
    by_regime: dict[str, list[Played]] = {}
    for run in runs:
        by_regime.setdefault(run.spec.label, []).append(run)
    excluded = candidates | {"oracle"}
    rows = []
    for regime, peers in by_regime.items():
        named = {peer.player: peer for peer in peers}
        for run in peers:
            others = [peer for peer in peers if peer.player not in excluded | {run.player}]
            best = min(others, key=lambda peer: float(peer.regret.mean()), default=None)
            rows.append(_row(regime, run, (named.get(reference), best, named.get(static))))
    return rows


def _row(regime: str, run: Played, peers: tuple[Played | None, Played | None, Played | None]) -> Row:
    hedge, best, static = peers
    nan = float("nan")
    low, high = ratio_interval(run.regret, hedge.regret) if hedge else (nan, nan)
    events = run.events
    main = events.shed[events.shed_shares >= MAIN_SHARE]
    return Row(
        regime=regime,
        player=run.player,
        regret=float(run.regret.mean()),
        regret_ci=half_width(run.regret),
        regret_worst=float(run.regret.max()),
        success_share=float(run.success_share.mean()),
        success_ci=half_width(run.success_share),
        final_share=float(run.final_share.mean()),
        attempts=float(run.attempts.mean()),
        cost_bps=float(run.cost_bps.mean()),
        value_bps=float(run.value_bps.mean()),
        shed_mean=float(events.shed.mean()) if len(events.shed) else nan,
        shed_p90=float(np.quantile(events.shed, 0.9)) if len(events.shed) else nan,
        shed_max=int(events.shed.max()) if len(events.shed) else 0,
        shed_count=len(events.shed),
        shed_main_mean=float(main.mean()) if len(main) else nan,
        shed_main_count=len(main),
        return_mean=float(events.returned.mean()) if len(events.returned) else nan,
        outage_share=float(events.into_share.mean()),
        double_charges=int(run.double_charges.sum()),
        ratio_hedge=_ratio(run, hedge),
        ratio_hedge_low=low,
        ratio_hedge_high=high,
        ratio_best=_ratio(run, best),
        best=best.player if best else "",
        uplift_static_pp=100 * float((run.success_share - static.success_share).mean()) if static else nan,
    )


def _ratio(run: Played, peer: Played | None) -> float:
    if peer is None or not peer.regret.mean():
        return float("nan")
    return float(run.regret.mean() / peer.regret.mean())
