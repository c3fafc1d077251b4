"""A merchant's own routing rules, one a line, in words.

    # Whatever is above this line and begins with # belongs to the rule below it.
    big tickets abroad: when amount > 500 EUR and country_match == false
        then prefer card_a, card_b

A rule has a name, a condition in the language of ``decisions.policy.expressions`` and one action; a line that is indented
continues the one above. Actions: ``only a, b`` leaves these, ``avoid a`` takes it away, ``prefer a, b`` ranks these first
in that order, ``split a 70, b 30`` shares by whole percent.

- Every ``only`` and ``avoid`` that matches filters, in the order written. An ``only`` that would leave nothing is skipped
  and says so; ``avoid`` is never skipped, so a payment may be left without a channel.
- The first ``prefer`` or ``split`` that matches and has a channel left decides; it is read after all filters.
- Whether the breaker of a preferred channel is open is not known here: whoever ranks passes over it.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tongbao.core.money import Money
from tongbao.decisions.policy.expression_language import Field, FieldType, Language
from tongbao.decisions.policy.expressions import Compiled
from tongbao.decisions.schema.log import Why
from tongbao.routing.schema.payments import UNKNOWN, Payment

LANGUAGE = Language(
    (
        Field("amount", FieldType.MONEY, "the amount to be paid, with its currency"),
        Field("currency", FieldType.TEXT, "ISO 4217 code of the amount"),
        Field("method", FieldType.TEXT, "kind of payment method"),
        Field("issuer", FieldType.TEXT, "the bank's name or the first digits of its cards"),
        Field("brand", FieldType.TEXT, "network of the card"),
        Field("funding", FieldType.TEXT, "credit, debit or prepaid"),
        Field("card_country", FieldType.TEXT, "ISO 3166 country of the issuer"),
        Field("merchant_country", FieldType.TEXT, "ISO 3166 country of the merchant"),
        Field("country_match", FieldType.BOOLEAN, "both countries are known and the same"),
        Field("mcc", FieldType.TEXT, "merchant category, four digits as text"),
        Field("is_recurring", FieldType.BOOLEAN, "asked by the merchant under a mandate"),
        Field("hour", FieldType.NUMBER, "hour of the day, 0 to 23"),
        Field("weekday", FieldType.NUMBER, "day of the week, 0 is Monday"),
    )
)


class ActionKind(enum.StrEnum):
    """What a rule does to the channels of a payment that it matches."""

    ONLY = "only"
    AVOID = "avoid"
    PREFER = "prefer"
    SPLIT = "split"


FILTERS = frozenset({ActionKind.ONLY, ActionKind.AVOID})


@dataclass(frozen=True, slots=True)
class Action:
    """``shares`` are whole percent that sum to 100, one per channel of a split; empty for the others."""

    kind: ActionKind
    channels: tuple[str, ...]
    shares: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; ``comments`` are the lines above it, without their mark."""

    name: str
    when: Compiled
    action: Action
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a policy in their order; ``comments`` stand after the last one."""

    rules: tuple[Rule, ...] = ()
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruled:
    """What the rules say of a payment.

    ``allowed``: candidates that no rule filtered, in their order. ``filtered``: the others, each with the name of the rule
    that took it away. ``preferred`` or ``split`` hold what is allowed of the one rule that decides, ``decided_by``; the
    shares of a split are its percents, which sum to less than 100 where a channel is gone. ``matched``: names of all
    rules whose condition holds. ``reasons`` use the codes ``rule_only``, ``rule_avoid``, ``rule_prefer``, ``rule_split``
    and ``rule_skipped``.
    """

    allowed: tuple[str, ...]
    filtered: dict[str, str]
    preferred: tuple[str, ...] | None = None
    split: dict[str, int] | None = None
    decided_by: str | None = None
    matched: tuple[str, ...] = ()
    reasons: tuple[Why, ...] = ()


def fields_of(payment: Payment) -> dict[str, object]:
    """Return the values of ``LANGUAGE`` for a payment."""
    return {
        "amount": Money(payment.amount_minor, payment.currency),
        "currency": payment.currency,
        "method": payment.method,
        "issuer": payment.issuer,
        "brand": payment.brand,
        "funding": payment.funding,
        "card_country": payment.card_country,
        "merchant_country": payment.merchant_country,
        "country_match": payment.card_country == payment.merchant_country != UNKNOWN,
        "mcc": payment.mcc,
        "is_recurring": payment.is_recurring,
        "hour": payment.hour,
        "weekday": payment.weekday,
    }


def apply(rules: Rules, payment: Payment, candidates: Sequence[str]) -> Ruled:
    """Return what ``rules`` say of ``payment`` among ``candidates``, which keep their order."""
    if not rules.rules:
        return Ruled(tuple(candidates), {})
    values = fields_of(payment)
    matched = [rule for rule in rules.rules if rule.when.test(values)]
    allowed: Sequence[str] = candidates
    filtered: dict[str, str] = {}
    reasons: list[Why] = []
    for rule in matched:
        if rule.action.kind in FILTERS:
            left = _left(rule.action, allowed)
            if not left and rule.action.kind is ActionKind.ONLY:
                reasons.append(_why("skipped", rule))
                continue
            filtered |= {name: rule.name for name in allowed if name not in left}
            allowed = left
            reasons.append(_why(rule.action.kind, rule))
    decider, skipped = _decider(matched, allowed)
    reasons += skipped
    names = tuple(rule.name for rule in matched)
    if decider is None:
        return Ruled(tuple(allowed), filtered, matched=names, reasons=tuple(reasons))
    shares = _shares(decider.action, allowed)
    is_split = decider.action.kind is ActionKind.SPLIT
    return Ruled(
        tuple(allowed),
        filtered,
        preferred=None if is_split else tuple(shares),
        split=shares if is_split else None,
        decided_by=decider.name,
        matched=names,
        reasons=(*reasons, _why(decider.action.kind, decider)),
    )


def _left(action: Action, allowed: Sequence[str]) -> list[str]:
    keeps = action.kind is ActionKind.ONLY
    return [name for name in allowed if (name in action.channels) is keeps]


def _decider(matched: Sequence[Rule], allowed: Sequence[str]) -> tuple[Rule | None, list[Why]]:
    """Return the rule that orders or shares, and a reason for each before it that has no channel left."""
    skipped: list[Why] = []
    for rule in matched:
        if rule.action.kind not in FILTERS:
            if any(_shares(rule.action, allowed).values()):
                return rule, skipped
            skipped.append(_why("skipped", rule))
    return None, skipped


def _shares(action: Action, allowed: Sequence[str]) -> dict[str, int]:
    """Return the percent of each channel of the action that is left; 1 where the action has no shares."""
    shares = action.shares or (1,) * len(action.channels)
    return {name: share for name, share in zip(action.channels, shares, strict=True) if name in allowed}


def _why(what: str, rule: Rule) -> Why:
    facts: Mapping[str, str] = {"rule": rule.name, "channels": ", ".join(rule.action.channels)}
    return Why(f"rule_{what}", dict(facts))
