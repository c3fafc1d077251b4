"""The events that merchants may be told of, by what they are about. Pure data; their words are ``event_`` and the type."""

from collections.abc import Mapping

EVENTS: Mapping[str, tuple[str, ...]] = {
    "payment_intent": (
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.processing",
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
    ),
    "charge": (
        "charge.succeeded",
        "charge.failed",
        "charge.captured",
        "charge.expired",
        "charge.refunded",
        "charge.updated",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    ),
    "refund": ("refund.created", "refund.updated", "refund.failed"),
    "complaint": ("complaint.created", "complaint.closed"),
    "checkout": ("checkout.session.completed", "checkout.session.expired"),
    "payment_link": ("payment_link.created", "payment_link.updated"),
    "payment_method": (
        "payment_method.attached",
        "payment_method.detached",
        "payment_method.updated",
        "setup_intent.created",
        "setup_intent.succeeded",
        "setup_intent.setup_failed",
        "setup_intent.canceled",
        "mandate.updated",
    ),
    "payout": (
        "payout.created",
        "payout.paid",
        "payout.failed",
        "payout.returned",
        "payout.canceled",
        "account.external_account.updated",
    ),
    "webhook_endpoint": ("webhook_endpoint.disabled",),
}
"""Groups in the order of pages; ``*`` is all of them, and a type a merchant writes itself may end in ``.*``."""
TYPES = tuple(kind for group in EVENTS.values() for kind in group)
EVERYTHING = "*"
