"""A no from a channel in the words of a Stripe-shaped error, with what a caller may do about it.

Texts and codes follow from the standard reason (``channels.service.reason_info``); the payer's text is the message,
so it may be shown as it is.
"""

import re

from tongbao.channels.schema import Retry
from tongbao.channels.service.codes import reason_info
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.intents import PaymentError

ADVICE = {
    Retry.NEVER: "do_not_try_again",
    Retry.SAME_CHANNEL: "try_again_later",
    Retry.OTHER_CHANNEL: "try_again_later",
    Retry.STEP_UP: None,
    Retry.CLEAR_PAN: "confirm_card_data",
    Retry.LATER: "try_again_later",
}
"""Stripe's advice codes by what may be tried."""
SUGGESTED = {
    Retry.NEVER: "use_another_method",
    Retry.SAME_CHANNEL: "retry",
    Retry.OTHER_CHANNEL: "retry",
    Retry.STEP_UP: "authenticate",
    Retry.CLEAR_PAN: "enter_card_again",
    Retry.LATER: "retry_later",
}
_NETWORK_CODE = re.compile(r"[0-9A-Z]{2}\Z")


def error_object(error: PaymentError, *, chinese: bool = False) -> dict[str, object]:
    """Return the error object of a decline, without the objects that it concerns."""
    known = reason_info(error.reason)
    network_code = error.channel_code or ""
    return {
        "advice_code": ADVICE[error.retry],
        "category": error.fault.value,
        "charge": uuid_text("ch", error.attempt_id) if error.attempt_id else None,
        "code": known.error_code,
        "decline_code": known.decline_code,
        "doc_url": None,
        "message": known.payer_zh if chinese else known.payer_en,
        "network_advice_code": None,
        "network_decline_code": network_code if _NETWORK_CODE.match(network_code) else None,
        "param": None,
        "retry": error.retry.value,
        "standardised_code": error.reason.value.upper(),
        "suggested_action": SUGGESTED[error.retry],
        "type": "card_error",
    }
