"""Recording: what a decision about a channel leaves in the log, for people, for replays and for learning."""

from collections.abc import Mapping, Sequence

import numpy as np

from tongbao.decisions.schema.log import Candidate, Fact, Why
from tongbao.routing.models.breakers import BreakerState
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
    out = {name: Why(code) for name, code in excluded.items()}
    out |= {name: Why("tried") for name in tried}
    known = tuple(_candidate(reckoned, place) for place in range(len(reckoned.channels)))
    gone = (name for name in out if name not in reckoned.channels)
    return (*known, *(Candidate(name=name, excluded=out[name].code) for name in gone))


def reasons(reckoned: Reckoned, place: int, tried: Sequence[str]) -> tuple[Why, ...]:
    """Return why this channel, the first reason first; never none."""
    found = [_main(reckoned, place)]
    if tried:
        found.append(Why("cascade", {"tried": ", ".join(tried)}))
    found += [why for why in reckoned.ruled.reasons if why.code == "rule_skipped"]
    return tuple(found)


def _main(reckoned: Reckoned, place: int) -> Why:
    gate, shares = reckoned.gate, reckoned.wanted.shares[0]
    if gate.forced[0, place]:
        return Why("all_open")
    if gate.probes[0, place]:
        return Why("probe", {"share": round(float(reckoned.shares[0, place]), DIGITS)})
    if int((gate.traffic | gate.probes)[0].sum()) == 1:
        return Why("only_channel")
    if reckoned.wanted.code == "rule":
        return Why("rule", {"rule": reckoned.ruled.decided_by or ""})
    if reckoned.wanted.code != "learned":
        return Why(reckoned.wanted.code)
    value = np.where(gate.traffic[0], reckoned.value.mean[0], -np.inf)
    is_best = value[place] >= value.max()
    return Why("learned" if is_best else "explored", {"chance": round(float(shares[place]), DIGITS)})


def _candidate(reckoned: Reckoned, place: int) -> Candidate:
    name = reckoned.channels[place]
    if name in reckoned.filtered:
        gone = reckoned.filtered[name]
        return Candidate(name=name, excluded=gone.code, facts=dict(gone.facts))
    value, spread = float(reckoned.value.mean[0, place]), Z90 * float(reckoned.value.sd[0, place])
    why = reckoned.closed.get(name)
    share = float(reckoned.shares[0, place])
    return Candidate(
        name=name,
        propensity=share,
        score=round(value, DIGITS),
        low=round(value - spread, DIGITS),
        high=round(value + spread, DIGITS),
        # Where every breaker is open, the one that was let through is no longer excluded.
        excluded=why.code if why is not None and share == 0 else None,
        facts=_figures(reckoned, place) | (dict(why.facts) if why else {}),
    )


def _figures(reckoned: Reckoned, place: int) -> dict[str, Fact]:
    prospect, money = reckoned.prospect, reckoned.money
    chance, spread = float(prospect.mean[0, place]), Z90 * float(prospect.sd[0, place])
    facts: dict[str, Fact] = {
        "approval": round(chance, DIGITS),
        "approval_low": round(max(0.0, chance - spread), DIGITS),
        "approval_high": round(min(1.0, chance + spread), DIGITS),
        "technical_rate": round(float(reckoned.rate[0, place]), DIGITS),
    }
    if money.cost[0, place]:
        facts["cost_minor"] = float(money.cost[0, place])
    if money.credit[0, place]:
        facts["credit_minor"] = round(float(money.credit[0, place]), 2)
    if prospect.state[0, place] != BreakerState.CLOSED:
        facts["breaker"] = BreakerState(int(prospect.state[0, place])).name.lower()
        facts["waiting_s"] = round(float(prospect.waiting_s[0, place]), 1)
    return facts
