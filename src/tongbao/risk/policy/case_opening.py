"""What rings, and into which case it goes: facts in, an alert or nothing out.

Alerts of one entity belong together while a case of it is open and fresh. Which entity that is depends on what the
payment stands out for: a card tester uses every card once, so it is the device, or the address, that tells. Otherwise it
is the card, and where there is none, the customer, the device, whoever gets the money, the address, the merchant.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.risk.policy.case_priority import UNSCORED_CHANCE, chance_max, saving_of, stakes_of
from tongbao.risk.schema.cases import (
    CASE_PAYMENTS_MAX,
    Alert,
    CaseFile,
    CaseKey,
    CasePayment,
    CaseSpec,
    CaseState,
    Cause,
    Known,
    Severity,
)
from tongbao.risk.schema.facts import Assessed, Labelled, LabelSource
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.signals import Entity, Signals
from tongbao.risk.schema.tiers import Tier

LOSS_MIN: tuple[tuple[int, Severity], ...] = (
    (500_000, Severity.CRITICAL),
    (100_000, Severity.HIGH),
    (20_000, Severity.MEDIUM),
)
"""Expected loss in hundredths of the house's currency from which an alert is that severe."""
SLA_H: dict[Severity, float] = {
    Severity.LOW: 72.0,
    Severity.MEDIUM: 24.0,
    Severity.HIGH: 4.0,
    Severity.CRITICAL: 1.0,
}
_BY_STRENGTH = (
    Entity.CARD,
    Entity.CUSTOMER,
    Entity.DEVICE,
    Entity.BENEFICIARY,
    Entity.ADDRESS,
    Entity.MERCHANT,
)
_ATTACKS = frozenset({ReasonCode.CARD_TESTING, ReasonCode.BURST_DEVICE, ReasonCode.BURST_ADDRESS})
_SHARED = (Entity.DEVICE, Entity.ADDRESS)
_EXPLAINED_BY: tuple[tuple[ReasonCode, tuple[Entity, ...]], ...] = (
    (ReasonCode.CARD_TESTING, _SHARED),
    (ReasonCode.BURST_DEVICE, (Entity.DEVICE,)),
    (ReasonCode.DEVICE_SHARED, (Entity.DEVICE,)),
    (ReasonCode.BURST_ADDRESS, (Entity.ADDRESS,)),
    (ReasonCode.BENEFICIARY_RISKY, (Entity.BENEFICIARY,)),
    (ReasonCode.MERCHANT_UNDER_SUSPICION, (Entity.MERCHANT,)),
)


def assessed_alert(fact: Assessed, spec: CaseSpec) -> Alert | None:
    """Return what a judged payment rings, None where it does not."""
    if fact.tier is Tier.REVIEW:
        cause = Cause.HELD
    elif fact.tier is Tier.DECLINE and fact.signals.value >= spec.declined_value_min:
        cause = Cause.DECLINED
    elif not set(spec.rules).isdisjoint(fact.rules):
        cause = Cause.WATCHED_RULE
    else:
        return None
    known = Known(
        signals=fact.signals, tier=fact.tier, score=fact.score, reasons=fact.reasons, rules=fact.rules
    )
    return _alert(cause, fact.occurred_at, known, spec)


def labelled_alert(fact: Labelled, known: Known, spec: CaseSpec) -> Alert | None:
    """Return what a label rings for a payment of which this was known, None where it does not.

    What analysts said themselves does not ring; nor does that a payment was good.
    """
    if not fact.is_fraud or fact.source is LabelSource.CASE:
        return None
    return _alert(Cause.FRAUD_KNOWN, fact.occurred_at, msgspec.structs.replace(known, is_fraud=True), spec)


def payment_of(known: Known) -> CasePayment:
    """Return a payment as a case keeps it. Held is what was sent to review and did not fail since."""
    signals = known.signals
    return CasePayment(
        event_id=signals.id,
        book_id=signals.book_id,
        subject_id=signals.subject_id,
        at=signals.at,
        value=signals.value,
        currency=signals.currency,
        tier=known.tier,
        score=known.score,
        reasons=known.reasons,
        rules=known.rules,
        is_held=known.tier is Tier.REVIEW and known.is_approved is not False,
        is_fraud=known.is_fraud,
    )


def case_key_of(signals: Signals, reasons: Sequence[str], spec: CaseSpec) -> CaseKey:
    """Return what the alerts of a payment are gathered by."""
    for entity in (*_explaining(reasons), *_BY_STRENGTH):
        if key := signals.key(entity):
            is_across = spec.is_across_books and entity is not Entity.MERCHANT
            return CaseKey(signals.live, 0 if is_across else signals.book_id, entity, key)
    return CaseKey(signals.live, signals.book_id, None, signals.subject)


def is_joinable(case: CaseFile, alert: Alert, spec: CaseSpec) -> bool:
    """Return whether an alert goes into a case that is there already.

    A case that waits for a second person is left as it was asked about.
    """
    return (
        case.state in (CaseState.OPEN, CaseState.ASSIGNED)
        and case.case_key == alert.case_key
        and alert.at < case.last_alert_at + timedelta(hours=spec.fresh_h)
        and case.payment_count < CASE_PAYMENTS_MAX
    )


def opened(case_id: UUID, alerts: Sequence[Alert], now: datetime, spec: CaseSpec) -> CaseFile:
    """Return the first version of a case of these alerts, which share a key."""
    first = alerts[0]
    empty = CaseFile(
        id=case_id,
        book_id=first.case_key.book_id,
        live=first.case_key.live,
        version=1,
        state=CaseState.OPEN,
        severity=first.severity,
        kind=first.cause,
        entity=first.case_key.entity,
        key=first.case_key.key,
        opened_at=now,
        updated_at=now,
        last_alert_at=first.at,
        due_at=due_at(first, spec),
        payment_count=0,
        saving=0.0,
        chance_max=0.0,
        stakes=(),
    )
    return absorbed(empty, list(merged({}, alerts).values()), alerts, now, spec)


def absorbed(
    case: CaseFile, payments: Sequence[CasePayment], alerts: Sequence[Alert], now: datetime, spec: CaseSpec
) -> CaseFile:
    """Return a case with all its ``payments`` counted anew and ``alerts`` taken in; its version stays.

    It becomes as severe as its worst alert, and due when the first of them is.
    """
    return msgspec.structs.replace(
        case,
        updated_at=now,
        severity=max([case.severity, *(each.severity for each in alerts)], key=lambda one: one.weight),
        last_alert_at=max([case.last_alert_at, *(each.at for each in alerts)]),
        due_at=min([case.due_at, *(due_at(each, spec) for each in alerts)]),
        payment_count=len(payments),
        saving=saving_of(payments, spec.worth),
        chance_max=chance_max(payments),
        stakes=stakes_of(payments),
    )


def merged(known: Mapping[UUID, CasePayment], alerts: Sequence[Alert]) -> dict[UUID, CasePayment]:
    """Return the payments of a case by look, with those of ``alerts``; a label joins what is known of a payment."""
    payments = dict(known)
    for each in alerts:
        fresh = each.payment
        before = payments.get(fresh.event_id)
        if before is None:
            payments[fresh.event_id] = fresh
        elif fresh.is_fraud is not None:
            payments[fresh.event_id] = msgspec.structs.replace(before, is_fraud=fresh.is_fraud)
    return payments


def due_at(alert: Alert, spec: CaseSpec) -> datetime:
    """Return when a case of this alert is to be closed."""
    return alert.at + timedelta(hours=spec.sla_h.get(alert.severity, SLA_H[alert.severity]))


def severity_of(cause: Cause, known: Known, spec: CaseSpec) -> Severity:
    """Return how severe an alert is: by what may be lost, at least medium where a payer waits or fraud is known.

    An attack on cards is high whatever the amounts: testers pay small ones. What was declined is medium at most otherwise.
    """
    score = UNSCORED_CHANCE if known.score is None else known.score
    chance = 1.0 if known.is_fraud else score
    loss = known.signals.value * spec.worth.get(known.signals.currency, 1.0) * chance
    severity = next((each for least, each in LOSS_MIN if loss >= least), Severity.LOW)
    if cause is Cause.DECLINED and severity.weight > Severity.MEDIUM.weight:
        severity = Severity.MEDIUM
    floor = Severity.MEDIUM if cause in (Cause.HELD, Cause.FRAUD_KNOWN) else Severity.LOW
    if not _ATTACKS.isdisjoint(known.reasons):
        floor = Severity.HIGH
    return max(severity, floor, key=lambda one: one.weight)


def _alert(cause: Cause, at: datetime, known: Known, spec: CaseSpec) -> Alert:
    return Alert(
        cause=cause,
        severity=severity_of(cause, known, spec),
        at=at,
        case_key=case_key_of(known.signals, known.reasons, spec),
        payment=payment_of(known),
    )


def _explaining(reasons: Sequence[str]) -> list[Entity]:
    return [entity for code, entities in _EXPLAINED_BY if code in reasons for entity in entities]
