"""The evidence of a case in order of time: payments, decisions, proofs, ends, alerts, labels, and what analysts did. Pure.

Of a proof and of an end only that they came is kept with the payment, not when; they stand right after it, at its instant.
"""

import enum
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.risk.policy.case_texts import ACTS, CAUSES, SEVERITIES, TIERS, column, money, percent
from tongbao.risk.schema.cases import CaseEvent, Cause, Known, Severity
from tongbao.risk.schema.tiers import Tier

Told = str | int | float | bool | None | tuple[str, ...]


class EvidenceKind(enum.StrEnum):
    """What an entry of the timeline tells of; in this order where the instant is the same."""

    PAYMENT = "payment"
    DECISION = "decision"
    PROOF = "proof"
    END = "end"
    ALERT = "alert"
    LABEL = "label"
    ACT = "act"


_ORDER = {kind: place for place, kind in enumerate(EvidenceKind)}


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the timeline. ``event_id`` is the look that it belongs to, None for what analysts did.

    ``is_of_case``: the payment is one of the case, not only of the same entity. ``facts`` are plain values by name.
    """

    at: datetime
    kind: EvidenceKind
    event_id: UUID | None = None
    is_of_case: bool = True
    actor: str = ""
    facts: dict[str, Told] = msgspec.field(default_factory=dict)


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of the case."""

    event_id: UUID
    cause: Cause
    severity: Severity
    at: datetime


_PAYMENT = ("Payment {subject} over {money}", "付款 {subject}，金额 {money}")
_DECISION = ("Decision: {tier}, chance of fraud {chance}", "决策：{tier}，欺诈概率 {chance}")
_UNSCORED = ("Decision: {tier}, without a score", "决策：{tier}，无评分")
_PROOF = {
    True: ("The payer proved who it is", "付款人通过了验证"),
    False: ("The payer did not prove who it is", "付款人未通过验证"),
}
_END = {True: ("Approved", "已批准"), False: ("Not approved: {code}", "未批准：{code}")}
_ALERT = ("Alert: {cause} ({severity})", "告警：{cause}（{severity}）")
_LABEL = {
    True: ("Labelled fraud by {source}", "被标记为欺诈（来源：{source}）"),
    False: ("Labelled genuine by {source}", "被标记为正常（来源：{source}）"),
}
_BY = (" by {actor}", "（{actor}）")
_NOTE = (": {note}", "：{note}")


def timeline_of(
    payments: Sequence[Known],
    of_case: Collection[UUID],
    alerts: Sequence[Rung],
    trail: Sequence[CaseEvent],
) -> list[Evidence]:
    """Return the evidence in order of time; ``of_case`` are the looks that belong to the case itself."""
    found: list[Evidence] = []
    for each in payments:
        found += _of_payment(each, is_of_case=each.signals.id in of_case)
    found += [
        Evidence(
            at=each.at,
            kind=EvidenceKind.ALERT,
            event_id=each.event_id,
            facts={"cause": each.cause.value, "severity": each.severity.value},
        )
        for each in alerts
    ]
    found += [
        Evidence(
            at=each.at,
            kind=EvidenceKind.ACT,
            actor=each.actor,
            facts={"act": each.act.value, "note": each.note, "version": each.version},
        )
        for each in trail
    ]
    return sorted(found, key=_place)


def evidence_text(entry: Evidence, language: str) -> str:
    """Return an entry in words. Raises InvalidRequest ``language_unknown``."""
    at, facts = column(language), entry.facts
    if entry.kind is EvidenceKind.PAYMENT:
        amount = money(int(str(facts["value"])), str(facts["currency"]))
        return _PAYMENT[at].format(subject=facts["subject"], money=amount)
    if entry.kind is EvidenceKind.DECISION:
        tier, score = TIERS[Tier(str(facts["tier"]))][at], facts["score"]
        if score is None:
            return _UNSCORED[at].format(tier=tier)
        return _DECISION[at].format(tier=tier, chance=percent(float(str(score))))
    if entry.kind is EvidenceKind.PROOF:
        return _PROOF[bool(facts["is_passed"])][at]
    if entry.kind is EvidenceKind.END:
        return _END[bool(facts["is_approved"])][at].format(code=facts["code"])
    if entry.kind is EvidenceKind.ALERT:
        cause, severity = Cause(str(facts["cause"])), Severity(str(facts["severity"]))
        return _ALERT[at].format(cause=CAUSES[cause][at], severity=SEVERITIES[severity][at])
    if entry.kind is EvidenceKind.LABEL:
        return _LABEL[bool(facts["is_fraud"])][at].format(source=facts["source"])
    return _act_text(entry, at)


def _act_text(entry: Evidence, at: int) -> str:
    words = {act.value: pair[at] for act, pair in ACTS.items()}[str(entry.facts["act"])]
    note = entry.facts["note"]
    return words + _BY[at].format(actor=entry.actor) + (_NOTE[at].format(note=note) if note else "")


def _of_payment(known: Known, *, is_of_case: bool) -> list[Evidence]:
    signals = known.signals

    def entry(kind: EvidenceKind, facts: dict[str, Told], at: datetime = signals.at) -> Evidence:
        return Evidence(at=at, kind=kind, event_id=signals.id, is_of_case=is_of_case, facts=facts)

    found = [
        entry(
            EvidenceKind.PAYMENT,
            {"subject": signals.subject, "value": signals.value, "currency": signals.currency},
        ),
        entry(
            EvidenceKind.DECISION,
            {
                "tier": known.tier.value,
                "score": known.score,
                "reasons": known.reasons,
                "rules": known.rules,
                "decision": None
                if known.decision_id is None
                else uuid_text(DECISION_PREFIX, known.decision_id),
            },
        ),
    ]
    if known.is_passed is not None:
        found.append(entry(EvidenceKind.PROOF, {"is_passed": known.is_passed}))
    if known.is_approved is not None:
        found.append(entry(EvidenceKind.END, {"is_approved": known.is_approved, "code": known.end_code}))
    if known.is_fraud is not None and known.labelled_at is not None:
        facts: dict[str, Told] = {"is_fraud": known.is_fraud, "source": known.label_source}
        found.append(entry(EvidenceKind.LABEL, facts, known.labelled_at))
    return found


def _place(entry: Evidence) -> tuple[datetime, UUID, int, int]:
    """Return the place in time; entries of one payment at one instant stay together."""
    last = UUID(int=(1 << 128) - 1)
    return entry.at, entry.event_id or last, _ORDER[entry.kind], int(str(entry.facts.get("version", 0)))
