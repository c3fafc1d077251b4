"""What follows from each standard reason: who is at fault, what may be tried, how a Stripe-shaped error says it.

Faults and retries are our judgment, on these grounds: routing must not blame a channel for what the payer or the
merchant did, networks forbid repeating a decline that says the card is gone, and only a "no" that another
acquirer could turn into a "yes" is worth another channel.
"""

from tongbao.channels.schema import Fault, Reason, Retry

Row = tuple[Fault, Retry, str, str | None]

ROWS: dict[Reason, Row] = {
    # reason: fault, retry, error code, decline code
    Reason.APPROVE_WITH_ID: (Fault.ISSUER, Retry.LATER, "card_declined", "approve_with_id"),
    Reason.AUTHENTICATION_REQUIRED: (
        Fault.ISSUER,
        Retry.STEP_UP,
        "authentication_required",
        "authentication_required",
    ),
    Reason.AUTHENTICATION_FAILED: (
        Fault.CUSTOMER,
        Retry.NEVER,
        "payment_intent_authentication_failure",
        "authentication_not_handled",
    ),
    Reason.AMOUNT_TOO_SMALL: (Fault.MERCHANT, Retry.NEVER, "amount_too_small", None),
    Reason.AMOUNT_TOO_LARGE: (Fault.MERCHANT, Retry.OTHER_CHANNEL, "amount_too_large", "invalid_amount"),
    Reason.ACCOUNT_CLOSED: (Fault.CUSTOMER, Retry.NEVER, "card_declined", "invalid_account"),
    Reason.ACCOUNT_FROZEN: (Fault.CUSTOMER, Retry.NEVER, "card_declined", "restricted_card"),
    Reason.ACCOUNT_UNKNOWN: (Fault.CUSTOMER, Retry.NEVER, "card_declined", "invalid_account"),
    Reason.CARD_BLOCKED: (Fault.ISSUER, Retry.NEVER, "card_declined", "restricted_card"),
    Reason.CARD_EXPIRED: (Fault.CUSTOMER, Retry.NEVER, "expired_card", "expired_card"),
    Reason.CARD_LOST: (Fault.ISSUER, Retry.NEVER, "card_declined", "lost_card"),
    Reason.CARD_STOLEN: (Fault.ISSUER, Retry.NEVER, "card_declined", "stolen_card"),
    Reason.CARD_NOT_SUPPORTED: (Fault.CHANNEL, Retry.OTHER_CHANNEL, "card_declined", "card_not_supported"),
    Reason.CARD_NUMBER_INVALID: (Fault.CUSTOMER, Retry.NEVER, "incorrect_number", "incorrect_number"),
    Reason.CARD_VELOCITY_EXCEEDED: (Fault.ISSUER, Retry.LATER, "card_declined", "card_velocity_exceeded"),
    Reason.CHANNEL_ERROR: (Fault.CHANNEL, Retry.OTHER_CHANNEL, "processing_error", "processing_error"),
    Reason.CHANNEL_RATE_LIMITED: (Fault.CHANNEL, Retry.OTHER_CHANNEL, "processing_error", "try_again_later"),
    Reason.CHANNEL_UNAVAILABLE: (Fault.CHANNEL, Retry.OTHER_CHANNEL, "processing_error", "processing_error"),
    Reason.CONFIGURATION_INVALID: (
        Fault.INTERNAL,
        Retry.OTHER_CHANNEL,
        "processing_error",
        "processing_error",
    ),
    Reason.CURRENCY_NOT_SUPPORTED: (
        Fault.CHANNEL,
        Retry.OTHER_CHANNEL,
        "card_declined",
        "currency_not_supported",
    ),
    Reason.CVC_INCORRECT: (Fault.CUSTOMER, Retry.NEVER, "incorrect_cvc", "incorrect_cvc"),
    Reason.DO_NOT_HONOR: (Fault.ISSUER, Retry.OTHER_CHANNEL, "card_declined", "do_not_honor"),
    Reason.DUPLICATE: (Fault.MERCHANT, Retry.NEVER, "card_declined", "duplicate_transaction"),
    Reason.EXPIRED: (Fault.CUSTOMER, Retry.NEVER, "payment_intent_payment_attempt_expired", None),
    Reason.EXPIRY_INVALID: (Fault.CUSTOMER, Retry.NEVER, "invalid_expiry_year", "invalid_expiry_year"),
    Reason.FRAUD_SUSPECTED: (Fault.RISK, Retry.NEVER, "card_declined", "fraudulent"),
    Reason.INSUFFICIENT_FUNDS: (Fault.CUSTOMER, Retry.LATER, "card_declined", "insufficient_funds"),
    Reason.ISSUER_ERROR: (Fault.ISSUER, Retry.LATER, "processing_error", "processing_error"),
    Reason.ISSUER_UNAVAILABLE: (Fault.ISSUER, Retry.LATER, "card_declined", "issuer_not_available"),
    Reason.LIMIT_EXCEEDED: (Fault.CUSTOMER, Retry.LATER, "card_declined", "withdrawal_count_limit_exceeded"),
    Reason.MANDATE_INVALID: (Fault.CUSTOMER, Retry.STEP_UP, "payment_intent_mandate_invalid", None),
    Reason.MERCHANT_INVALID: (Fault.MERCHANT, Retry.OTHER_CHANNEL, "account_invalid", None),
    Reason.NETWORK_ERROR: (Fault.NETWORK, Retry.OTHER_CHANNEL, "processing_error", "processing_error"),
    Reason.NETWORK_TIMEOUT: (Fault.NETWORK, Retry.LATER, "processing_error", "processing_error"),
    Reason.NOT_PERMITTED_TO_CARDHOLDER: (
        Fault.ISSUER,
        Retry.NEVER,
        "card_declined",
        "transaction_not_allowed",
    ),
    Reason.NOT_PERMITTED_TO_MERCHANT: (
        Fault.MERCHANT,
        Retry.OTHER_CHANNEL,
        "card_declined",
        "service_not_allowed",
    ),
    Reason.OTHER: (Fault.CHANNEL, Retry.NEVER, "card_declined", "generic_decline"),
    Reason.PAYER_CANCELED: (Fault.CUSTOMER, Retry.NEVER, "card_declined", "generic_decline"),
    Reason.PIN_INCORRECT: (Fault.CUSTOMER, Retry.STEP_UP, "card_declined", "incorrect_pin"),
    Reason.PIN_REQUIRED: (Fault.ISSUER, Retry.STEP_UP, "card_declined", "online_or_offline_pin_required"),
    Reason.PIN_TRIES_EXCEEDED: (Fault.CUSTOMER, Retry.NEVER, "card_declined", "pin_try_exceeded"),
    Reason.POSTAL_CODE_INCORRECT: (Fault.CUSTOMER, Retry.NEVER, "incorrect_zip", "incorrect_zip"),
    Reason.RECURRING_REVOKED: (
        Fault.CUSTOMER,
        Retry.NEVER,
        "card_declined",
        "revocation_of_authorization",
    ),
    Reason.REFERENCE_CONFLICT: (Fault.INTERNAL, Retry.NEVER, "processing_error", "processing_error"),
    Reason.REFUND_TOO_LARGE: (Fault.MERCHANT, Retry.NEVER, "charge_already_refunded", None),
    Reason.REFUND_TOO_LATE: (Fault.MERCHANT, Retry.NEVER, "charge_not_refundable", None),
    Reason.REQUEST_INVALID: (Fault.INTERNAL, Retry.NEVER, "processing_error", "processing_error"),
    Reason.RISK_BLOCKED: (Fault.RISK, Retry.NEVER, "card_declined", "fraudulent"),
    Reason.SECURITY_VIOLATION: (Fault.ISSUER, Retry.NEVER, "card_declined", "security_violation"),
    Reason.STATE_INVALID: (Fault.MERCHANT, Retry.NEVER, "payment_intent_unexpected_state", None),
    Reason.TRY_AGAIN_LATER: (Fault.ISSUER, Retry.SAME_CHANNEL, "card_declined", "try_again_later"),
}
