"""How the world says no: one row a reason, with the word of each protocol for it.

Codes: ISO 8583 field 39 (with the private ``N7``, ``1A`` and ``6P`` that Visa publishes), sub codes of ``alipay.trade.pay``, error
codes of WeChat Pay's ``codepay``. Card numbers are the test cards that Stripe publishes, so that merchants'
suites need no new ones.
"""

import enum

import msgspec


class Decline(enum.StrEnum):
    """Reasons of a no that behavior can name."""

    DO_NOT_HONOR = "do_not_honor"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CARD_EXPIRED = "card_expired"
    CARD_LOST = "card_lost"
    CARD_STOLEN = "card_stolen"
    CARD_NUMBER_INVALID = "card_number_invalid"
    CVC_INCORRECT = "cvc_incorrect"
    PIN_INCORRECT = "pin_incorrect"
    FRAUD_SUSPECTED = "fraud_suspected"
    LIMIT_EXCEEDED = "limit_exceeded"
    VELOCITY_EXCEEDED = "velocity_exceeded"
    AUTHENTICATION_REQUIRED = "authentication_required"
    AUTHENTICATION_FAILED = "authentication_failed"
    NOT_PERMITTED = "not_permitted"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    PROCESSING_ERROR = "processing_error"
    PAYER_CANCELED = "payer_canceled"


class Words(msgspec.Struct, frozen=True):
    """One reason in three protocols."""

    iso8583: str
    alipay: str
    wechat_pay: str


_FAILED = ("ACQ.PAYMENT_FAIL", "TRADE_ERROR")
WORDS: dict[Decline, Words] = {
    Decline.DO_NOT_HONOR: Words("05", *_FAILED),
    Decline.INSUFFICIENT_FUNDS: Words("51", "ACQ.BUYER_BALANCE_NOT_ENOUGH", "NOT_ENOUGH"),
    Decline.CARD_EXPIRED: Words("54", *_FAILED),
    Decline.CARD_LOST: Words("41", *_FAILED),
    Decline.CARD_STOLEN: Words("43", *_FAILED),
    Decline.CARD_NUMBER_INVALID: Words("14", *_FAILED),
    Decline.CVC_INCORRECT: Words("N7", *_FAILED),
    Decline.PIN_INCORRECT: Words("55", *_FAILED),
    Decline.FRAUD_SUSPECTED: Words("59", "ACQ.BUYER_ENABLE_STATUS_FORBID", "RULE_LIMIT"),
    Decline.LIMIT_EXCEEDED: Words("61", "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR", "RULE_LIMIT"),
    Decline.VELOCITY_EXCEEDED: Words("65", "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR", "FREQUENCY_LIMITED"),
    Decline.AUTHENTICATION_REQUIRED: Words("1A", "ACQ.PAYMENT_REQUEST_HAS_RISK", "RULE_LIMIT"),
    Decline.AUTHENTICATION_FAILED: Words("6P", *_FAILED),
    Decline.NOT_PERMITTED: Words("57", "ACQ.PARTNER_ERROR", "NO_AUTH"),
    Decline.ISSUER_UNAVAILABLE: Words("91", "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH", "BANK_ERROR"),
    Decline.PROCESSING_ERROR: Words("96", *_FAILED),
    Decline.PAYER_CANCELED: Words("17", *_FAILED),
}

DISPUTED_CARD = "4000000000000259"
DECLINED_AFTERWARDS = "4000008400001629"
"""Authenticated, and declined all the same."""
CARDS: dict[str, Decline] = {
    "4000000000000002": Decline.DO_NOT_HONOR,
    "4000000000009995": Decline.INSUFFICIENT_FUNDS,
    "4000000000009987": Decline.CARD_LOST,
    "4000000000009979": Decline.CARD_STOLEN,
    "4000000000000069": Decline.CARD_EXPIRED,
    "4000000000000127": Decline.CVC_INCORRECT,
    "4000000000000119": Decline.PROCESSING_ERROR,
    "4000000000006975": Decline.VELOCITY_EXCEEDED,
    "4100000000000019": Decline.FRAUD_SUSPECTED,
    "4000002500003155": Decline.AUTHENTICATION_REQUIRED,
    "4000002760003184": Decline.AUTHENTICATION_REQUIRED,
    DECLINED_AFTERWARDS: Decline.DO_NOT_HONOR,
}
"""Card numbers that are declined; ``DISPUTED_CARD`` is approved and disputed later; all others are approved."""


class ThreeDs(enum.StrEnum):
    """What an issuer does when it is to make sure of its cardholder."""

    FRICTIONLESS = "frictionless"  # it knows without asking
    CHALLENGE = "challenge"  # it asks on its page
    BROKEN = "broken"  # it cannot
    ABSENT = "absent"  # it takes no part


THREE_DS: dict[str, ThreeDs] = {
    "4000002500003155": ThreeDs.CHALLENGE,
    "4000002760003184": ThreeDs.CHALLENGE,
    DECLINED_AFTERWARDS: ThreeDs.CHALLENGE,
    "4000000000003097": ThreeDs.BROKEN,
    "378282246310005": ThreeDs.ABSENT,
}
"""Card numbers by what their issuer does; all others are frictionless. The first two are declined without being asked."""

AMOUNTS: dict[int, Decline] = {
    5: Decline.DO_NOT_HONOR,
    51: Decline.INSUFFICIENT_FUNDS,
    54: Decline.CARD_EXPIRED,
    59: Decline.FRAUD_SUSPECTED,
    61: Decline.LIMIT_EXCEEDED,
    91: Decline.ISSUER_UNAVAILABLE,
    96: Decline.PROCESSING_ERROR,
}
"""Last two digits of an amount in minor units, and how it is declined."""


def passes_luhn(number: str) -> bool:
    """Return whether a card number has 12 to 19 digits and the right check digit (ISO/IEC 7812-1)."""
    if not (number.isascii() and number.isdigit() and 12 <= len(number) <= 19):
        return False
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
