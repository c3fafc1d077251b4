"""The dialect of ISO 8583:1987 that we speak: which message says what, and in which field.

Transport: TCP, kept open, many messages in flight on one connection. A frame is two bytes of length (big-endian,
not counting themselves) and a message: four ASCII digits of type, binary bitmaps of 8 bytes, ASCII fields with
ASCII lengths. An answer has the type of its request plus 10, and repeats fields 11 and 37 of it.

Messages (request → answer):

========== ==================================================================================================
0100 → 0110 reserve (field 3 ``000000``); with field 62: reserve ``field 4`` more on that authorization
0200 → 0210 sale, reserve and claim at once (``000000``), or refund (``200000``, field 62 names the payment)
0220 → 0230 completion: claim ``field 4`` of the authorization in field 62; no further completion follows when
            field 25 is ``06``, more may follow when it is ``59``
0400 → 0410 reversal: give back the whole authorization in field 62 (also a sale that was not settled yet)
0420 → 0430 the same reversal, repeated because 0410 did not come
0600 → 0610 inquiry: what became of the act whose reference is in field 48
0800 → 0810 sign on (field 70 ``001``), sign off (``002``), echo (``301``)
========== ==================================================================================================

Fields of requests:

=== ========================================================================================================
2   card number (not in 0600, 0800)
3   processing code
4   amount, 12 digits of minor units of the currency in field 49
7   transmission time, UTC, ``MMDDhhmmss``
11  trace number, ``000001`` to ``999999``, distinct among all requests in flight of one channel
12  local time ``hhmmss``, 13 local date ``MMDD``: here both in UTC
14  expiry ``YYMM`` (0100, 0200)
18  merchant category code (0100, 0200)
22  point-of-service entry mode: ``812`` e-commerce, ``100`` credential on file
24  network international id, ``000``
25  condition: ``59`` e-commerce, ``08`` merchant-initiated, ``06`` final completion
32  acquirer id; 33 forwarding id, where the settings name one
37  retrieval reference: 12 characters derived from *our reference of the authorization*, so that all messages
    of one payment carry the same
38  approval code of the authorization, where we know it (0220)
41  terminal, 8 characters; 42 merchant, 15 characters
43  merchant's name, 25 characters, then city and country (0100, 0200)
46  ``3DS``: the issuer is to make sure of the payer first (0100, 0200), by EMV 3-D Secure
47  where the payer goes back to afterwards, an address of at most 999 characters (with field 46)
48  **our whole reference of this act.** A second request of the same type with the same field 48 is the same
    act: the acquirer does nothing and repeats its first answer.
49  currency, three digits of ISO 4217
60  network reference of the payment under which a mandate was given (merchant-initiated 0100, 0200)
61  card verification code, where the payer gave one (0100, 0200)
62  our reference of the authorization that is acted on (0100 increment, 0200 refund, 0220, 0400, 0420)
70  network management code (0800)
90  original data: type 4, trace 6, transmission time 10, acquirer 11, forwarding 11 (0220, 0400, 0420); trace and
    time are zeros, since fields 37 and 62 tell the original, also one that was never answered
=== ========================================================================================================

Fields of answers, beside the repeated 3, 4, 7, 11, 37, 41, 42, 49:

=== ========================================================================================================
4   what was really reserved or moved; smaller than asked with code ``10`` (approved for less)
38  approval code, six characters
39  response code; ``3D``: the payer has to go to the issuer's page in field 47 first; ``00``, ``08``, ``10``, ``11``, ``16`` approve, ``09`` is pending, and after ``68``, ``79``,
    ``82``, ``96`` and ``98`` the end is open: we inquire
46  what became of field 46: ``result/flow/version/eci``, as ``authenticated/challenge/2.2.0/05``; results and flows in
    the words of ``channels.schema``, empty where there is none. An approval without it was not authenticated.
47  with code ``3D``: the page on which the issuer asks the payer
44  first character: result for the card verification code, ``M`` match, ``N`` no match, ``P`` not processed
62  the network's own id of the payment, where it has one
=== ========================================================================================================

Answer to an inquiry (0610): field 39 is ``25`` where no act has this reference, else the response code that the
act was answered with; and then fields 4 (amount of the act as it stands: reserved, or claimed once captured), 49,
37, 38, 46, 47, 60 (12 digits: refunded of it so far; absent means 0), 62 and

=== ========================================================================================================
63  state of the act: ``authorized`` ``captured`` ``voided`` ``refunded`` ``declined`` ``pending``, and
    ``authenticating`` while the issuer's page waits for the payer. A payment of
    which a part went back stays ``captured``; ``refunded`` is a payment that went back whole, or the state of a
    refund when the reference in field 48 is that of a refund. A completion is ``captured``.
=== ========================================================================================================

Inquiries are not part of the standard (nor is what an acquirer posts to us over HTTP: ``notices``): an acquirer that cannot answer 0600 is configured without them
(``Iso8583Settings.inquires``). Source: ISO 8583:1987 public field tables; fields 48 and 60 to 63 are private use.
"""

import copy
import hashlib
from collections.abc import Mapping
from datetime import datetime

import iso8583
from iso8583.specs import default as _standard_spec

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import ALPHABET

Fields = Mapping[str, str]
"""Fields of a message by number as text, as the codec has it: ``{"39": "00"}``."""

AUTHORIZATION = "0100"
SALE = "0200"
COMPLETION = "0220"
REVERSAL = "0400"
REVERSAL_ADVICE = "0420"
INQUIRY = "0600"
NETWORK = "0800"

PURCHASE = "000000"
REFUND = "200000"
SIGN_ON = "001"
ECHO = "301"

ECOMMERCE = "59"
MERCHANT_INITIATED = "08"
FINAL = "06"
AUTHENTICATE = "3DS"
AUTHENTICATING = "3D"
ADDRESS_CHARS_MAX = 999

MESSAGE_BYTES_MAX = 65_535
AMOUNT_MINOR_MAX = 999_999_999_999

_SPEC = copy.deepcopy(_standard_spec)


class Unreadable(Exception):
    """Bytes that are no message. It never quotes them: they may hold a card number."""


def answer_type(mti: str) -> str:
    """Return the type of the answer to a request: ``0100`` → ``0110``."""
    return f"{mti[:2]}{int(mti[2]) + 1}{mti[3]}"


def encode(mti: str, fields: Fields) -> bytes:
    """Return a message with its length in front; raise Unreadable where a field does not fit its format."""
    try:
        raw, _ = iso8583.encode({"t": mti, **fields}, _SPEC)
    except iso8583.EncodeError as error:
        # The codec's error carries the whole message, so neither it nor its cause may travel on.
        raise Unreadable(f"field {error.field} cannot be written") from None
    if len(raw) > MESSAGE_BYTES_MAX:
        raise Unreadable("the message is too long")
    return len(raw).to_bytes(2, "big") + bytes(raw)


def decode(raw: bytes) -> tuple[str, dict[str, str]]:
    """Return type and fields of a message without its length; raise Unreadable."""
    try:
        decoded, _ = iso8583.decode(raw, _SPEC)
    except (iso8583.DecodeError, ValueError):
        raise Unreadable("not a message of this dialect") from None
    fields = {number: value for number, value in decoded.items() if number.isdigit() and number != "1"}
    return decoded["t"], fields


def original_data(mti: str, acquirer: str, forwarding: str) -> str:
    """Return field 90: which message is spoken of.

    Trace and time are zeros: the original may never have been answered, may have been sent several times, and is
    told without doubt by fields 37 and 62.
    """
    return f"{mti}{0:06d}{0:010d}{acquirer:0>11}{forwarding:0>11}"


def amount_text(amount_minor: int) -> str:
    """Return field 4 of an amount in minor units; raise ValueError where it does not fit."""
    if not 0 <= amount_minor <= AMOUNT_MINOR_MAX:
        raise ValueError("an amount has at most 12 digits")
    return f"{amount_minor:012d}"


def amount_minor(text: str) -> int:
    """Return what field 4 says in minor units; raise ValueError where it is no amount."""
    if len(text) != 12 or not (text.isascii() and text.isdigit()):
        raise ValueError("an amount has 12 digits")
    return int(text)


def currency_number(code: str) -> str:
    """Return field 49 of a currency: ``CNY`` → ``156``; raise InvalidRequest for a code that ISO 4217 lacks."""
    return currencies.currency(code).numeric


def currency_code(number: str) -> str | None:
    """Return the currency of field 49; None where ISO 4217 has no such number."""
    try:
        return currencies.currency_by_numeric(number).code
    except InvalidRequest:
        return None


def transmission_time(at: datetime) -> str:
    """Return field 7 of an instant in UTC: ``MMDDhhmmss``."""
    return at.strftime("%m%d%H%M%S")


def retrieval_reference(reference: str) -> str:
    """Return field 37 of our reference of an authorization: 12 characters, the same in every repeat."""
    digest = int.from_bytes(hashlib.sha256(reference.encode("ascii")).digest()[:8], "big")
    return "".join(ALPHABET[(digest >> shift) & 31] for shift in range(0, 60, 5)).upper()
