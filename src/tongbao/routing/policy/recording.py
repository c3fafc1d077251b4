"""Recording: what a decision about a channel leaves in the log, for people, for replays and for learning."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tongbao.decisions.schema.log import Candidate, Fact, Why
from tongbao.routing.models.breakers import CLOSED, STATE_NAMES
from tongbao.routing.policy.ranking import Z90
from tongbao.routing.policy.reckoning import Reckoned
from tongbao.routing.schema.payments import UNKNOWN, Payment

DIGITS = 5
_ALWAYS = ("method", "currency", "amount_minor", "hour", "weekday")
_WHERE_KNOWN = ("issuer", "brand", "funding", "card_country", "merchant_country", "mcc")


def context(payment: Payment, tried_count: int) -> dict[str, Fact]:
    """Return what of the payment the choice could depend on; no personal data is among it."""
    facts: dict[str, Fact] = {name: getattr(payment, name) for name in _ALWAYS}
    for name in _WHERE_KNOWN:
        if getattr(payment, name) != UNKNOWN:
            facts[name] = getattr(payment, name)
    if payment.is_recurring:
        facts["is_recurring"] = True
    facts["attempt_no"] = tried_count + 1
    return facts


def candidates(
    reckoned: Reckoned, excluded: Mapping[str, str], tried: Sequence[str]
) -> tuple[Candidate, ...]:
    """Return every channel with its chance, expected value, interval and numbers, or why it could not be chosen."""
    states = reckoned.prospect.state[0].tolist()
    columns = zip(reckoned.channels, states, _figures(reckoned), strict=True)
    known = [_candidate(reckoned, *each) for each in columns]
    out = dict.fromkeys(tried, "tried") | dict(excluded)
    gone = [
        Candidate(name=name, excluded=code) for name, code in out.items() if name not in reckoned.channels
    ]
    return (*known, *gone)


def reasons(reckoned: Reckoned, place: int, tried: Sequence[str]) -> tuple[Why, ...]:
    """Return why this channel, the first reason first; never none."""
    found = [_main(reckoned, place)]
    if tried:
        found.append(Why("cascade", {"tried": ", ".join(tried)}))
    found += [why for why in reckoned.ruled.reasons if why.code == "rule_skipped"]
    return tuple(found)


def _main(reckoned: Reckoned, place: int) -> Why:
    traffic, probes, forced = (each[0].tolist() for each in reckoned.gate)
    if forced[place]:
        return Why("all_open")
    if probes[place]:
        return Why("probe", {"share": round(float(reckoned.shares[0, place]), DIGITS)})
    if sum(traffic) + sum(probes) == 1:
        return Why("only_channel")
    if reckoned.wanted.code == "rule":
        return Why("rule", {"rule": reckoned.ruled.decided_by or ""})
    if reckoned.wanted.code != "learned":
        return Why(reckoned.wanted.code)
    value = reckoned.value.mean[0].tolist()
    is_best = all(value[place] >= other for other, is_in in zip(value, traffic, strict=True) if is_in)
    chance = round(float(reckoned.wanted.shares[0, place]), DIGITS)
    return Why("learned" if is_best else "explored", {"chance": chance})


class _Figures(NamedTuple):
    """The numbers of one channel, rounded but for its share: chances as shares, money in minor units."""

    share: float
    value: float
    value_low: float
    value_high: float
    chance: float
    chance_low: float
    chance_high: float
    rate: float
    cost: float
    credit: float
    waiting_s: float


def _figures(reckoned: Reckoned) -> list[_Figures]:
    """Return the numbers of all channels; taken out of the arrays at once, which one by one costs ten times as much."""
    prospect, money, value = reckoned.prospect, reckoned.money, reckoned.value
    spread, margin = Z90 * value.sd, Z90 * prospect.sd
    table = np.concatenate(
        (
            value.mean,
            value.mean - spread,
            value.mean + spread,
            prospect.mean,
            np.maximum(prospect.mean - margin, 0.0),
            np.minimum(prospect.mean + margin, 1.0),
            reckoned.rate,
            money.cost,
            money.credit,
            prospect.waiting_s,
        )
    )
    columns = (reckoned.shares[0].tolist(), *table.round(DIGITS).tolist())
    return [_Figures(*row) for row in zip(*columns, strict=True)]


def _candidate(reckoned: Reckoned, name: str, state: int, figures: _Figures) -> Candidate:
    gone = reckoned.filtered.get(name)
    if gone is not None:
        return Candidate(name=name, excluded=gone.code, facts=gone.facts)
    facts: dict[str, Fact] = {
        "approval": figures.chance,
        "approval_low": figures.chance_low,
        "approval_high": figures.chance_high,
        "technical_rate": figures.rate,
    }
    if figures.cost:
        facts["cost_minor"] = figures.cost
    if figures.credit:
        facts["credit_minor"] = figures.credit
    if state != CLOSED:
        facts["breaker"] = STATE_NAMES[state]
        facts["waiting_s"] = figures.waiting_s
    why = reckoned.closed.get(name)
    if why is not None:
        facts |= why.facts
    return Candidate(
        name=name,
        propensity=figures.share,
        score=figures.value,
        low=figures.value_low,
        high=figures.value_high,
        # Where every breaker is open, the one that was let through is no longer excluded.
        excluded=why.code if why is not None and figures.share == 0 else None,
        facts=facts,
    )
