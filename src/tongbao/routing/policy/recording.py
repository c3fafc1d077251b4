"""Recording: what a decision about a channel leaves in the log, for people, for replays and for learning."""

from collections.abc import Mapping, Sequence

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
        value = getattr(payment, name)
        if value != UNKNOWN:
            facts[name] = value
    if payment.is_recurring:
        facts["is_recurring"] = True
    facts["attempt_no"] = tried_count + 1
    return facts


def candidates(
    reckoned: Reckoned, excluded: Mapping[str, str], tried: Sequence[str]
) -> tuple[Candidate, ...]:
    """Return every channel with its chance, expected value, interval and numbers, or why it could not be chosen."""
    channels = reckoned.channels
    known = [_candidate(reckoned, place, name) for place, name in enumerate(channels)]
    out = dict.fromkeys(tried, "tried") | dict(excluded)
    gone = [Candidate(name=name, excluded=code) for name, code in out.items() if name not in channels]
    return (*known, *gone)


def reasons(reckoned: Reckoned, place: int, tried: Sequence[str]) -> tuple[Why, ...]:
    """Return why this channel, the first reason first; never none."""
    found = [_main(reckoned, place)]
    if tried:
        found.append(Why("cascade", {"tried": ", ".join(tried)}))
    found += [why for why in reckoned.ruled.reasons if why.code == "rule_skipped"]
    return tuple(found)


def _main(reckoned: Reckoned, place: int) -> Why:
    gate, wanted = reckoned.gate, reckoned.wanted
    if place == gate.forced:
        return Why("all_open")
    if place in gate.probes:
        return Why("probe", {"share": round(reckoned.shares[place], DIGITS)})
    if len(gate.traffic) + len(gate.probes) == 1:
        return Why("only_channel")
    if wanted.code == "rule":
        return Why("rule", {"rule": reckoned.ruled.decided_by or ""})
    if wanted.code != "learned":
        return Why(wanted.code)
    is_best = reckoned.value[place] >= max(reckoned.value[each] for each in gate.traffic)
    return Why("learned" if is_best else "explored", {"chance": round(wanted.shares[place], DIGITS)})


def _candidate(reckoned: Reckoned, place: int, name: str) -> Candidate:
    gone = reckoned.filtered.get(name)
    if gone is not None:
        return Candidate(name=name, excluded=gone.code, facts=gone.facts)
    known, share = reckoned.known, reckoned.shares[place]
    value, spread = reckoned.value[place], Z90 * reckoned.value_sd[place]
    facts = _facts(reckoned, place)
    why = reckoned.closed.get(name)
    if why is not None:
        facts |= why.facts
    if known.state[place] != CLOSED:
        facts["breaker"] = STATE_NAMES[known.state[place]]
        facts["waiting_s"] = round(known.waiting_s[place], 1)
    return Candidate(
        name=name,
        propensity=share,
        score=round(value, DIGITS),
        low=round(value - spread, DIGITS),
        high=round(value + spread, DIGITS),
        # Where every breaker is open, the one that was let through is no longer excluded.
        excluded=why.code if why is not None and share == 0 else None,
        facts=facts,
    )


def _facts(reckoned: Reckoned, place: int) -> dict[str, Fact]:
    known, money = reckoned.known, reckoned.money
    chance, spread = known.chance[place], Z90 * known.chance_sd[place]
    facts: dict[str, Fact] = {
        "approval": round(chance, DIGITS),
        "approval_low": round(chance - spread, DIGITS) if chance > spread else 0.0,
        "approval_high": round(chance + spread, DIGITS) if chance + spread < 1.0 else 1.0,
        "technical_rate": round(known.rate[place], DIGITS),
    }
    if known.offset is not None and known.offset[place]:
        facts["offset"] = round(known.offset[place], DIGITS)
    if money.cost[place]:
        facts["cost_minor"] = money.cost[place]
    if money.credit[place]:
        facts["credit_minor"] = round(money.credit[place], 2)
    return facts
