"""What the house gave a merchant or took beside payments, and what it asks the merchant to pay, as rows. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from markupsafe import Markup

from tongbao.clearing.schema.adjustments import Adjustment
from tongbao.clearing.schema.demands import Demand, DemandState
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.intents import Intent
from tongbao.web.merchant.office import Office
from tongbao.web.merchant.payments_view import named

DEMAND_TONES = {
    DemandState.OPEN: "warn",
    DemandState.PART_PAID: "warn",
    DemandState.PAID: "ok",
}
Cells = tuple[str | Markup, ...]


def adjustment(found: Adjustment, office: Office) -> Cells:
    """Return an adjustment as a row: when, why, about which payment, how much."""
    order = found.order
    payment: str | Markup = ""
    if order.intent_id is not None:
        reference = uuid_text(Intent.PREFIX, order.intent_id)
        payment = office.link(f"/payments/{reference}", office.t("c_payment"))
    return (
        office.when(found.updated_at),
        named(order.reason),
        named(order.reference),
        payment,
        office.ui.money(order.amount_minor, order.currency, sign=True),
    )


def demand(found: Demand, office: Office) -> Cells:
    """Return a demand as a row: its number, how it stands, until when, how much, what is left."""
    order = found.order
    return (
        named(order.reference),
        office.tag(f"demand_{found.state}", DEMAND_TONES.get(found.state, "plain")),
        office.day(order.due_on),
        named(order.note),
        office.ui.money(order.amount_minor, order.currency),
        office.ui.money(found.left_minor, order.currency),
    )


def owed(found: Iterable[Demand], office: Office) -> list[str]:
    """Return what is still asked for, currency by currency."""
    left: dict[str, int] = defaultdict(int)
    for each in found:
        left[each.order.currency] += each.left_minor
    return [office.ui.money(minor, currency) for currency, minor in sorted(left.items()) if minor]
