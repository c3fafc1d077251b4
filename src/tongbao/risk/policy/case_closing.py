"""How a case is closed: which labels that gives, what becomes of held payments, and when two people are needed. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.case_priority import latest_looks
from tongbao.risk.schema.cases import (
    CaseFile,
    CasePayment,
    CaseSpec,
    Disposal,
    Disposition,
    HeldAct,
    PaymentRef,
)


class Closing(NamedTuple):
    """What closing a case does. ``labels`` are by look: True for fraud. ``payments`` are those whose state changes."""

    labels: dict[UUID, bool]
    release: tuple[PaymentRef, ...]
    reject: tuple[PaymentRef, ...]
    payments: tuple[CasePayment, ...]


def named(disposal: Disposal, payments: Sequence[CasePayment]) -> Disposal:
    """Return ``disposal`` with its payments named, so that it means the same later.

    Where it names none, the disposition goes for every payment that nobody labelled yet.
    """
    if disposal.fraud is not None or disposal.genuine is not None:
        return msgspec.structs.replace(disposal, fraud=disposal.fraud or (), genuine=disposal.genuine or ())
    unlabelled = tuple(each.event_id for each in payments if each.is_fraud is None)
    return msgspec.structs.replace(
        disposal,
        fraud=unlabelled if disposal.disposition is Disposition.FRAUD else (),
        genuine=unlabelled if disposal.disposition is Disposition.GENUINE else (),
    )


def closing_of(case: CaseFile, payments: Sequence[CasePayment], disposal: Disposal) -> Closing:
    """Return what a named disposal does to the payments of a case.

    A held payment with a label is released or rejected by it, others as ``on_held`` says; of two looks at one payment the
    stricter counts. Raises InvalidRequest ``case_payment_unknown``, ``case_labels_contradict``,
    ``case_disposition_contradicted``, ``case_freeze_invalid`` or ``case_held_undecided``.
    """
    known = {each.event_id: each for each in payments}
    labels = _labels(disposal, known)
    _check_disposition(disposal, known, labels)
    _check_freeze(case, disposal)
    changed = []
    for each in payments:
        label = labels.get(each.event_id, each.is_fraud)
        ruling = _ruling(label, disposal) if each.is_held else None
        if each.event_id in labels or ruling is not None:
            changed.append(msgspec.structs.replace(each, is_fraud=label, ruling=ruling, is_held=False))
    rejected = {_ref(each) for each in changed if each.ruling is HeldAct.REJECT}
    released = {_ref(each) for each in changed if each.ruling is HeldAct.RELEASE} - rejected
    return Closing(labels, tuple(sorted(released)), tuple(sorted(rejected)), tuple(changed))


def needs_second(
    payments: Sequence[CasePayment], disposal: Disposal, closing: Closing, spec: CaseSpec
) -> bool:
    """Return whether a second person has to agree: to a freeze, or to releasing more than one may alone."""
    released = set(closing.release)
    value = sum(
        each.value * spec.worth.get(each.currency, 1.0)
        for each in latest_looks(payments)
        if _ref(each) in released
    )
    return disposal.freeze or value > spec.release_alone_max


def _labels(disposal: Disposal, known: Mapping[UUID, CasePayment]) -> dict[UUID, bool]:
    fraud, genuine = set(disposal.fraud or ()), set(disposal.genuine or ())
    if unknown := (fraud | genuine) - known.keys():
        raise InvalidRequest(
            "case_payment_unknown", "a payment is not of this case", payments=sorted(map(str, unknown))
        )
    if fraud & genuine:
        raise InvalidRequest("case_labels_contradict", "a payment is either fraud or genuine")
    return dict.fromkeys(fraud, True) | dict.fromkeys(genuine, False)


def _check_disposition(
    disposal: Disposal, known: Mapping[UUID, CasePayment], labels: Mapping[UUID, bool]
) -> None:
    """Keep a case from being called what none of its payments is."""
    has_fraud = any(labels.get(event_id, each.is_fraud) for event_id, each in known.items())
    if disposal.disposition is Disposition.FRAUD and not has_fraud:
        raise InvalidRequest(
            "case_disposition_contradicted", "a case of fraud has at least one payment that is fraud"
        )
    if disposal.disposition is Disposition.GENUINE and True in labels.values():
        raise InvalidRequest("case_disposition_contradicted", "a genuine case labels no payment as fraud")


def _check_freeze(case: CaseFile, disposal: Disposal) -> None:
    if disposal.freeze and disposal.disposition is not Disposition.FRAUD:
        raise InvalidRequest("case_freeze_invalid", "only fraud is a reason to freeze")
    if disposal.freeze and case.entity is None:
        raise InvalidRequest("case_freeze_invalid", "nothing is known that could be frozen")


def _ruling(label: bool | None, disposal: Disposal) -> HeldAct:
    if label is not None:
        return HeldAct.REJECT if label else HeldAct.RELEASE
    if disposal.on_held is None:
        raise InvalidRequest(
            "case_held_undecided", "say whether held payments without a label are released or rejected"
        )
    return disposal.on_held


def _ref(payment: CasePayment) -> PaymentRef:
    return PaymentRef(payment.book_id, payment.subject_id)
