"""The facts that closing a case tells: a label for each payment that gets one, and what is done with its money."""

from datetime import datetime

from tongbao.risk.policy.case_closing import Closing
from tongbao.risk.schema.cases import CaseDecided, CaseFile, Disposal
from tongbao.risk.schema.facts import Labelled, LabelSource


def labelled(closing: Closing, case: CaseFile, actor: str, now: datetime) -> list[Labelled]:
    """Return a label for each payment that a closing says something of."""
    return [
        Labelled(
            occurred_at=now,
            signals_id=each.event_id,
            book_id=each.book_id,
            live=case.live,
            subject_id=each.subject_id,
            is_fraud=closing.labels[each.event_id],
            source=LabelSource.CASE,
            actor=actor,
        )
        for each in closing.payments
        if each.event_id in closing.labels
    ]


def decided(case: CaseFile, how: tuple[Disposal, Closing], actor: str, approver: str) -> CaseDecided:
    """Return how a case was closed: ``actor`` closed it, ``approver`` agreed where a second person was needed."""
    disposal, closing = how
    return CaseDecided(
        occurred_at=case.updated_at,
        case_id=case.id,
        book_id=case.book_id,
        live=case.live,
        disposition=disposal.disposition,
        actor=actor,
        approver=approver,
        release=closing.release,
        reject=closing.reject,
        freeze_entity=case.entity if disposal.freeze else None,
        freeze_key=case.key if disposal.freeze else "",
    )
