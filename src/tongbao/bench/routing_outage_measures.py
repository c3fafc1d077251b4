"""The measures of the routing drill: payments and decisions in, what switching was worth and how fast it was out. Pure.

Instants are Unix seconds, spans are half-open. A payment counts as approved where the answer to its one request says
so: what is found out later by an inquiry is no sale to a payer who was told to wait.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from tongbao.bench.routing_outage_load import Paid

BPS = 10_000
WINDOW_S = 2.0
SHED_SHARE = 0.05
"""A channel has been left where fewer than so many of the decisions of the next window go there."""
BACK_SHARE = 0.5
"""It is back where it has this share of the share that it had before."""
CALM_S = 5.0
"""Its share before is that of so many seconds."""
SHARE_STEP_S = 0.1
APPROVED = "succeeded"
LATE_QUANTILE = 0.95


Span = tuple[float, float]
"""From an instant until before another one."""


class Send(NamedTuple):
    """One decision with what came of it. ``cost_minor``: what the log says an approval costs there, minor units."""

    at_s: float
    payment: str
    channel: str
    is_first: bool
    amount_minor: int
    cost_minor: float
    approved: bool


class Outage(NamedTuple):
    """How and when a channel was away; ``until_s`` is when it could answer again."""

    kind: str
    channel: str
    from_s: float
    until_s: float


class Second(NamedTuple):
    """One second of the drill, counted from its beginning. ``p95_ms`` is of requests that were begun in it."""

    at_s: int
    payments: int
    approved: int
    attempts_per_payment: float
    shares: dict[str, float]
    p95_ms: float


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """How one outage went. None: it did not happen as long as the drill looked.

    ``shed_s`` and ``shed_payments``: until the channel's share of decisions fell below 5 %, and how many were sent there by
    then; ``probes``: how many after that, while it was away. ``return_s``: from when it could answer until it had half
    of its share again.
    """

    kind: str
    channel: str
    share_before: float
    from_s: float
    until_s: float
    shed_s: float | None
    shed_payments: int
    probes: int
    return_s: float | None
    approval: float
    cost_bps: float


def approval(paid: Iterable[Paid], spans: Sequence[Span]) -> float:
    """Return the share of the payments of some spans that were approved at once, in [0, 1]; 0 where there were none."""
    told = [each.status == APPROVED for each in paid if _within(each.at_s, spans)]
    return round(sum(told) / len(told), 4) if told else 0.0


def approved_late(paid: Iterable[Paid], sends: Iterable[Send]) -> int:
    """Return how many payments were approved in the end that were not when their request was answered."""
    approved = {each.payment for each in sends if each.approved}
    return sum(each.status != APPROVED and each.payment in approved for each in paid)


def cost_bps(sends: Iterable[Send], spans: Sequence[Span]) -> float:
    """Return what approvals of some spans cost by the decision log, in basis points of their amounts."""
    approved = [each for each in sends if each.approved and _within(each.at_s, spans)]
    amount_minor = sum(each.amount_minor for each in approved)
    return round(sum(each.cost_minor for each in approved) / amount_minor * BPS, 1) if amount_minor else 0.0


def p95_ms(paid: Iterable[Paid], spans: Sequence[Span]) -> float:
    """Return the 95th percentile of how long requests of some spans took, in milliseconds."""
    return quantile_ms([each.took_s for each in paid if _within(each.at_s, spans)])


def share(sends: Sequence[Send], channel: str, from_s: float, until_s: float) -> float | None:
    """Return the channel's share of the first choices of a span, in [0, 1]; None where nothing was decided."""
    first = bisect_left(sends, from_s, key=lambda each: each.at_s)
    last = bisect_left(sends, until_s, key=lambda each: each.at_s)
    chosen = [each.channel == channel for each in sends[first:last] if each.is_first]
    return sum(chosen) / len(chosen) if chosen else None


def switch(
    outage: Outage, sends: Sequence[Send], paid: Sequence[Paid], look_until_s: float, zero_s: float = 0.0
) -> Switch:
    """Return how an outage went, its instants counted from ``zero_s``; ``sends`` are in the order of time.

    ``look_until_s``: where the next outage begins, or the drill ends.
    """
    began, ended = outage.from_s, outage.until_s
    before = share(sends, outage.channel, began - CALM_S, began) or 0.0
    left_s = _first(sends, outage.channel, (began, ended), below=SHED_SHARE)
    back_s = _first(sends, outage.channel, (ended, look_until_s), above=BACK_SHARE * before)
    there = [each.at_s for each in sends if each.channel == outage.channel and began <= each.at_s < ended]
    shed_payments = sum(at_s < (ended if left_s is None else left_s) for at_s in there)
    return Switch(
        kind=outage.kind,
        channel=outage.channel,
        share_before=round(before, 4),
        from_s=round(began - zero_s, 2),
        until_s=round(ended - zero_s, 2),
        shed_s=None if left_s is None else round(left_s - began, 2),
        shed_payments=shed_payments,
        probes=len(there) - shed_payments,
        return_s=None if back_s is None else round(back_s - ended, 2),
        approval=approval(paid, [(began, ended)]),
        cost_bps=cost_bps(sends, [(began, ended)]),
    )


def by_second(paid: Sequence[Paid], sends: Sequence[Send], from_s: float) -> list[Second]:
    """Return every second that payments were begun in, in order; shares are those of all that was sent in it."""
    attempts = Counter(each.payment for each in sends)
    first_at = {each.payment: each.at_s for each in reversed(sends)}
    tried: dict[int, list[int]] = {}
    for payment, at_s in first_at.items():
        tried.setdefault(int(at_s - from_s), []).append(attempts[payment])
    routed: dict[int, Counter[str]] = {}
    for each in sends:
        routed.setdefault(int(each.at_s - from_s), Counter())[each.channel] += 1
    seconds = []
    ordered = sorted(paid, key=lambda each: each.at_s)
    for at_s, group in groupby(ordered, key=lambda each: int(each.at_s - from_s)):
        told = list(group)
        counts, numbers = routed.get(at_s, Counter()), tried.get(at_s, [])
        seconds.append(
            Second(
                at_s=at_s,
                payments=len(told),
                approved=sum(each.status == APPROVED for each in told),
                attempts_per_payment=round(sum(numbers) / len(numbers), 3) if numbers else 0.0,
                shares={name: round(count / counts.total(), 4) for name, count in sorted(counts.items())},
                p95_ms=quantile_ms([each.took_s for each in told]),
            )
        )
    return seconds


def quantile_ms(took_s: Sequence[float], quantile: float = LATE_QUANTILE) -> float:
    """Return the nearest-rank quantile of spans given in seconds, in milliseconds; 0 of none."""
    if not took_s:
        return 0.0
    rank = max(0, -int(-quantile * len(took_s) // 1) - 1)
    return round(sorted(took_s)[rank] * 1000, 1)


def _within(at_s: float, spans: Sequence[Span]) -> bool:
    return any(from_s <= at_s < until_s for from_s, until_s in spans)


def _first(
    sends: Sequence[Send],
    channel: str,
    span: tuple[float, float],
    *,
    below: float | None = None,
    above: float | None = None,
) -> float | None:
    """Return the first instant from which a whole window's share is below, or not below, what is given."""
    from_s, until_s = span
    for step in range(int((until_s - from_s - WINDOW_S) / SHARE_STEP_S) + 1):
        at_s = from_s + step * SHARE_STEP_S
        found = share(sends, channel, at_s, at_s + WINDOW_S)
        if found is None:
            continue
        if (below is not None and found < below) or (above is not None and found >= above):
            return at_s
    return None
