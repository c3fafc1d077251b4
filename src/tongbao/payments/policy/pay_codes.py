"""Pay codes: what a payer's phone shows and a merchant scans. Short-lived, signed, and good for one payment.

A code is its facts and an HMAC-SHA-256 (RFC 2104), cut to 128 bits, over them under a key of the house, in capitals and
digits (base32, RFC 4648), so that QR codes stay small. It names a wallet and nobody: without the house's key nobody can
make one, and what it says is worth nothing after a minute.

Up to a limit for each currency a code pays by itself; above it the payer proves who it is (rule of the card and wallet
schemes for payments without a password; 1,000 yuan in China, People's Bank notice 296 of 2017).
"""

import base64
import binascii
import hashlib
import hmac
import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tongbao.core.money import Money

LIFE = timedelta(seconds=60)
TEXT_CHARS = 63
FREE_MAJOR_MAX = {"CNY": 1_000, "JPY": 10_000}
"""So much a code pays without a proof, in major units of each currency."""
FREE_MAJOR_MAX_OTHER = 50
_PREFIX = "TB1"
_FORM = struct.Struct(">Q?I8s")
"""Wallet book, whether its money is real, second of the end, eight random bytes."""
_MAC_BYTES = 16


class CodeFacts(NamedTuple):
    """What a code says: which wallet pays, with real money or not, until when; ``nonce`` tells codes apart."""

    wallet_book_id: int
    live: bool
    expires_at: datetime
    nonce: bytes


def key_of(secret: bytes) -> bytes:
    """Return the key that codes are signed with: nothing else that the secret signs can be taken for one."""
    return hmac.digest(secret, b"tongbao/pay-code/v1", hashlib.sha256)


def text_of(facts: CodeFacts, key: bytes) -> str:
    """Return a code as it is shown; its end is kept to the second."""
    body = _FORM.pack(facts.wallet_book_id, facts.live, int(facts.expires_at.timestamp()), facts.nonce)
    raw = body + hmac.digest(key, body, hashlib.sha256)[:_MAC_BYTES]
    return _PREFIX + base64.b32encode(raw).decode().rstrip("=")


def facts_of(text: str, key: bytes) -> CodeFacts | None:
    """Return what a code says; None for anything that this house did not make."""
    shown = text.strip().upper()
    if len(shown) != TEXT_CHARS or not shown.startswith(_PREFIX):
        return None
    chars = shown.removeprefix(_PREFIX)
    try:
        raw = base64.b32decode(chars + "=" * (-len(chars) % 8))
    except (binascii.Error, ValueError):
        return None
    body, mac = raw[: _FORM.size], raw[_FORM.size :]
    if not hmac.compare_digest(mac, hmac.digest(key, body, hashlib.sha256)[:_MAC_BYTES]):
        return None
    book_id, live, until_s, nonce = _FORM.unpack(body)
    return CodeFacts(book_id, live, datetime.fromtimestamp(until_s, UTC), nonce)


def is_free(amount: Money) -> bool:
    """Return whether a code pays an amount by itself."""
    most = FREE_MAJOR_MAX.get(amount.currency, FREE_MAJOR_MAX_OTHER)
    return amount.amount_minor <= Money.of_major(most, amount.currency).amount_minor
