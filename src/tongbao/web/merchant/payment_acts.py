"""What a merchant may do with a payment: capture what is reserved, give money back, cancel what is not paid."""

from collections.abc import Mapping
from typing import NamedTuple

from tongbao.parties.schema import Permission
from tongbao.payments.schema.intents import CancelReason
from tongbao.web.merchant.portal import Desk
from tongbao.web.stories.payment_story import Story
from tongbao.web.ui.forms import Form

NOTE_MAX = 400


class Kind(NamedTuple):
    """An act: who may, what is said once it is done, and the reasons to choose from."""

    permission: Permission
    said: str
    causes: tuple[str, ...] = ()


class Filled(NamedTuple):
    """An act as it will happen. ``final``: what is left of a reservation is released."""

    amount_minor: int
    cause: str = ""
    note: str = ""
    final: bool = False


ACTS: Mapping[str, Kind] = {
    "refund": Kind(
        Permission.REFUNDS_WRITE, "refunded", ("requested_by_customer", "duplicate", "fraudulent")
    ),
    "capture": Kind(Permission.PAYMENTS_WRITE, "captured"),
    "cancel": Kind(
        Permission.PAYMENTS_WRITE,
        "canceled",
        ("requested_by_customer", "duplicate", "fraudulent", "abandoned"),
    ),
}


def fill(act: str, form: Form, story: Story, refundable_minor: int) -> Filled | None:
    """Return an act as a form asks for it; None where a field of it is wrong, which the form then says."""
    intent, kind = story.intent, ACTS[act]
    cause = form.choice("cause", kind.causes) if kind.causes else ""
    note = form.text("note", NOTE_MAX, required=False)
    amount: int | None = intent.amount_minor
    if act != "cancel":
        most = refundable_minor if act == "refund" else intent.amount_capturable_minor
        amount = form.amount("amount", intent.currency, least=1, most=max(most, 1))
    if form.errors or amount is None:
        return None
    return Filled(amount, cause, note, form.checked("final"))


async def perform(desk: Desk, story: Story, act: str, filled: Filled, fields: Mapping[str, str]) -> None:
    """Do an act, once for one form. Raises what the use case raises."""
    payments, scope, intent = desk.portal.house.payments, desk.visitor.scope, story.intent
    ask = desk.ask(act, fields, moves_money=True)
    if act == "refund":
        # Who did it and why stays with the refund, where the API and the ledger's readers find it.
        kept = {"refunded_by": desk.visitor.actor} | ({"note": filled.note} if filled.note else {})
        await payments.refunds.create(
            scope,
            intent_id=intent.id,
            amount_minor=filled.amount_minor,
            cause=filled.cause,
            metadata=kept,
            ask=ask,
        )
    elif act == "capture":
        await payments.intents.capture(
            scope, intent.id, filled.amount_minor, final=filled.final or None, ask=ask
        )
    else:
        await payments.intents.cancel(scope, intent.id, CancelReason(filled.cause), ask=ask)
