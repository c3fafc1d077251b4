"""Response codes of ISO 8583 field 39, as standard reasons, and which of them approve.

Source: the response code table of ISO 8583:1987 and the additions that Visa, Mastercard and UnionPay publish for
their members (two characters with letters are such additions). Where networks disagree, the reading that most
acquirers' guides share is taken. Codes from ``A0`` on and gaps are network-private: they stay ``other``.
"""

from tongbao.channels.schema import Reason

APPROVED = frozenset({"00", "08", "10", "11", "16"})
"""Approved: plainly, with identification, for a smaller amount, as VIP, with an update of track 3."""

PARTIAL = "10"
"""Approved for less than was asked; field 4 of the answer says how much."""

NOT_FOUND = "25"
"""The record that a message speaks of is not there; the whole answer to an inquiry of an unknown reference."""

AMOUNT_INVALID = "13"
"""The amount makes no sense; said of a refund: more than is left."""

PENDING = "09"
"""Taken, and not finished: a later inquiry tells."""

OPEN = frozenset({"68", "79", "82", "96", "98"})
"""The sender of the code does not know the end itself: answer too late, in doubt, timed out, malfunction.

``96`` is a decline to many; yet a system that broke down in the middle may have done its part, so it is inquired.
"""

CODES: dict[str, Reason] = {
    "01": Reason.DO_NOT_HONOR,
    "02": Reason.DO_NOT_HONOR,
    "03": Reason.MERCHANT_INVALID,
    "04": Reason.CARD_BLOCKED,
    "05": Reason.DO_NOT_HONOR,
    "06": Reason.ISSUER_ERROR,
    "07": Reason.FRAUD_SUSPECTED,
    "09": Reason.NETWORK_TIMEOUT,
    "12": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "13": Reason.REQUEST_INVALID,
    "14": Reason.CARD_NUMBER_INVALID,
    "15": Reason.CARD_NUMBER_INVALID,
    "17": Reason.PAYER_CANCELED,
    "18": Reason.DO_NOT_HONOR,
    "19": Reason.TRY_AGAIN_LATER,
    "20": Reason.ISSUER_ERROR,
    "21": Reason.STATE_INVALID,
    "22": Reason.ISSUER_ERROR,
    "23": Reason.REQUEST_INVALID,
    "25": Reason.STATE_INVALID,
    "28": Reason.ISSUER_UNAVAILABLE,
    "30": Reason.REQUEST_INVALID,
    "31": Reason.CARD_NOT_SUPPORTED,
    "32": Reason.NETWORK_ERROR,
    "33": Reason.CARD_EXPIRED,
    "34": Reason.FRAUD_SUSPECTED,
    "35": Reason.CARD_BLOCKED,
    "36": Reason.CARD_BLOCKED,
    "37": Reason.CARD_BLOCKED,
    "38": Reason.PIN_TRIES_EXCEEDED,
    "39": Reason.CARD_NOT_SUPPORTED,
    "40": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "41": Reason.CARD_LOST,
    "42": Reason.ACCOUNT_UNKNOWN,
    "43": Reason.CARD_STOLEN,
    "44": Reason.ACCOUNT_UNKNOWN,
    "46": Reason.ACCOUNT_CLOSED,
    "51": Reason.INSUFFICIENT_FUNDS,
    "52": Reason.ACCOUNT_UNKNOWN,
    "53": Reason.ACCOUNT_UNKNOWN,
    "54": Reason.CARD_EXPIRED,
    "55": Reason.PIN_INCORRECT,
    "56": Reason.CARD_NUMBER_INVALID,
    "57": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "58": Reason.NOT_PERMITTED_TO_MERCHANT,
    "59": Reason.FRAUD_SUSPECTED,
    "60": Reason.DO_NOT_HONOR,
    "61": Reason.LIMIT_EXCEEDED,
    "62": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "63": Reason.SECURITY_VIOLATION,
    "64": Reason.REFERENCE_CONFLICT,
    "65": Reason.CARD_VELOCITY_EXCEEDED,
    "66": Reason.DO_NOT_HONOR,
    "67": Reason.CARD_BLOCKED,
    "68": Reason.NETWORK_TIMEOUT,
    "70": Reason.PIN_REQUIRED,
    "71": Reason.PIN_REQUIRED,
    "72": Reason.ACCOUNT_FROZEN,
    "74": Reason.ISSUER_ERROR,
    "75": Reason.PIN_TRIES_EXCEEDED,
    "76": Reason.ACCOUNT_UNKNOWN,
    "77": Reason.REFERENCE_CONFLICT,
    "78": Reason.CARD_BLOCKED,
    "79": Reason.NETWORK_TIMEOUT,
    "80": Reason.REQUEST_INVALID,
    "81": Reason.SECURITY_VIOLATION,
    "82": Reason.NETWORK_TIMEOUT,
    "83": Reason.FRAUD_SUSPECTED,
    "84": Reason.EXPIRED,
    "85": Reason.OTHER,
    "86": Reason.PIN_INCORRECT,
    "87": Reason.NETWORK_ERROR,
    "88": Reason.SECURITY_VIOLATION,
    "89": Reason.CONFIGURATION_INVALID,
    "90": Reason.TRY_AGAIN_LATER,
    "91": Reason.ISSUER_UNAVAILABLE,
    "92": Reason.NETWORK_ERROR,
    "93": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "94": Reason.DUPLICATE,
    "95": Reason.REFERENCE_CONFLICT,
    "96": Reason.NETWORK_ERROR,
    "97": Reason.CONFIGURATION_INVALID,
    "98": Reason.NETWORK_TIMEOUT,
    "99": Reason.PIN_INCORRECT,
    "1A": Reason.AUTHENTICATION_REQUIRED,
    "5C": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "6P": Reason.AUTHENTICATION_FAILED,
    "9G": Reason.CARD_BLOCKED,
    "B1": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "B2": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "N0": Reason.ISSUER_UNAVAILABLE,
    "N3": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "N4": Reason.LIMIT_EXCEEDED,
    "N7": Reason.CVC_INCORRECT,
    "N8": Reason.REFERENCE_CONFLICT,
    "P2": Reason.REQUEST_INVALID,
    "P5": Reason.DO_NOT_HONOR,
    "Q1": Reason.AUTHENTICATION_FAILED,
    "R0": Reason.RECURRING_REVOKED,
    "R1": Reason.RECURRING_REVOKED,
    "R2": Reason.NOT_PERMITTED_TO_CARDHOLDER,
    "R3": Reason.RECURRING_REVOKED,
    "Z3": Reason.ISSUER_UNAVAILABLE,
}
"""Every code that is not an approval. ``85`` (no reason to decline) answers account checks only."""
