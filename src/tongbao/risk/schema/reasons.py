"""Why a payment was judged as it was: the closed list of codes that models, rules, lists and caps speak in."""

import enum

import msgspec


class ReasonCode(enum.StrEnum):
    """Stable codes; texts for payers and analysts stand in ``policy.reason_texts``."""

    AMOUNT_UNUSUAL = "amount_unusual"  # for this card, customer or merchant
    AMOUNT_HIGH = "amount_high"
    SPREE = "spree"  # several unusual amounts within days
    BURST_CARD = "burst_card"
    BURST_CUSTOMER = "burst_customer"
    BURST_DEVICE = "burst_device"
    BURST_ADDRESS = "burst_address"
    DECLINES_BEFORE = "declines_before"  # issuers or channels said no just before
    CARD_TESTING = "card_testing"
    NEW_CARD = "new_card"
    NEW_CUSTOMER = "new_customer"
    NEW_DEVICE = "new_device"
    NEW_PAIR = "new_pair"  # card and device, or customer and merchant, meet for the first time
    DEVICE_SHARED = "device_shared"  # many cards or people on one device
    DEVICE_UNTRUSTED = "device_untrusted"
    GEO_MISMATCH = "geo_mismatch"
    GEO_VELOCITY = "geo_velocity"
    MERCHANT_UNDER_SUSPICION = "merchant_under_suspicion"
    FRAUD_BEFORE = "fraud_before"  # known fraud of the card, customer or device
    EMAIL_RISKY = "email_risky"
    BENEFICIARY_RISKY = "beneficiary_risky"
    TIME_UNUSUAL = "time_unusual"
    FAMILIAR = "familiar"  # speaks for the payment
    LISTED_BLOCKED = "listed_blocked"
    LISTED_ALLOWED = "listed_allowed"
    ACCOUNT_FROZEN = "account_frozen"
    RULE = "rule"
    PROVED = "proved"  # the payer proved who it is
    EXPLORED = "explored"  # a tier was tried in order to learn
    LOW_RISK = "low_risk"
    UNAVAILABLE = "unavailable"  # risk control could not judge


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one reason adds to the score in log-odds; positive speaks against the payment.

    ``features`` are the names and values behind it, the heaviest first.
    """

    code: ReasonCode
    log_odds: float
    features: tuple[tuple[str, float], ...] = ()
