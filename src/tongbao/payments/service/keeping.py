"""Keeping for later: a payment that its payer allowed to be repeated attaches the method, and is a mandate itself.

``setup_future_usage`` on an intent says so; what it means is committed with the success, whoever brings the news of it.
"""

from typing import NamedTuple

from tongbao.core.ids import derive
from tongbao.payments.policy.steps import Step
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.methods import Mandate, MandateState, PaymentMethod
from tongbao.payments.service.desk import Desk, Told

_PAID = (IntentState.SUCCEEDED, IntentState.REQUIRES_CAPTURE)


class Kept(NamedTuple):
    """What a success keeps for later; empty for most."""

    inserts: tuple[Document, ...] = ()
    updates: tuple[Document, ...] = ()
    events: tuple[Told, ...] = ()


async def kept_by(desk: Desk, step: Step) -> Kept:
    """Return what the step keeps: the method with its customer, and off session a mandate without caps."""
    intent, attempt = step.intent, step.attempt
    is_first = any(name == "charge.succeeded" for name, _ in step.events)
    if intent is None or attempt is None or not is_first or not _is_wanted(intent, attempt):
        # What comes after the first news of a success (a capture, a contradiction) finds it kept, or let go of since.
        return Kept()
    assert attempt.method_id is not None
    method = await desk.read(PaymentMethod, attempt.book_id, attempt.method_id)
    if method.customer_id not in (None, intent.customer_id):
        return Kept()
    mandate = _mandate(intent, attempt) if intent.setup_future_usage == "off_session" else None
    inserts = (mandate,) if mandate else ()
    if method.customer_id is not None:
        return Kept(inserts)
    attached = method.changed(attempt.updated_at, customer_id=intent.customer_id)
    return Kept(inserts, (attached,), (("payment_method.attached", attached),))


def _is_wanted(intent: Intent, attempt: Attempt) -> bool:
    """Return whether a payment that has just succeeded is to be kept; one under a mandate has been already."""
    asked = intent.setup_future_usage is not None and intent.mandate_id is None
    is_paid = intent.state in _PAID and intent.paid_by_id == attempt.id
    return asked and is_paid and intent.customer_id is not None and attempt.method_id is not None


def _mandate(intent: Intent, attempt: Attempt) -> Mandate:
    assert attempt.method_id is not None
    return Mandate(
        id=derive(attempt.id, "mandate"),
        book_id=intent.book_id,
        live=intent.live,
        created_at=attempt.updated_at,
        updated_at=attempt.updated_at,
        state=MandateState.ACTIVE,
        method_id=attempt.method_id,
        customer_id=intent.customer_id,
        currency=intent.currency,
        network_reference=attempt.network_reference,
        accepted_at=intent.created_at,
    )
