"""How long codes, sessions and remembered devices of payers are good, how they are kept, and who may add a passkey.

A code of six digits and five attempts is guessed with a chance of 5 in a million, and five are opened an hour for one
address. It is kept as HMAC-SHA-256 (RFC 2104) under a key of the house, so a copy of the table tells nothing. Whoever
has a code alone does not replace the passkeys of a payer at once: the payer is told and has a day to object.
"""

import hashlib
import hmac
import unicodedata
from datetime import datetime, timedelta
from uuid import UUID

from tongbao.parties.errors import BadField
from tongbao.parties.policy import fields
from tongbao.parties.ports import Contact, ContactKind, Enrolment, Means, PayerSession, RememberedDevice

CODE_DIGITS = 6
ATTEMPTS_MAX = 5
CODE_GOOD = timedelta(minutes=10)
OPENED_MAX = 5
OPENED_WITHIN = timedelta(hours=1)
CODES_KEPT = timedelta(days=1)
IDLE = timedelta(minutes=15)
ABSOLUTE = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=1)
DEVICE_GOOD = timedelta(days=90)
RECOVERY_WAIT = timedelta(hours=24)
RECOVERY_GOOD = timedelta(hours=72)
"""So long after the waiting time a new passkey may be added; then a recovery starts from the beginning."""
TYPED_CHARS_MAX = 32
CONTACT_CHARS_MAX = 254
_BETWEEN = str.maketrans("", "", " \t\u00a0-\u2010\u2011")
_PHONE_BETWEEN = str.maketrans("", "", " ()./-")
_SHOWN_DIGITS = 4


def contact_of(typed: str) -> Contact:
    """Return the address that somebody typed, an e-mail address or a telephone number; raise BadField."""
    text = unicodedata.normalize("NFKC", typed[: CONTACT_CHARS_MAX + 1]).strip()
    if "@" in text:
        fields.check_email(text)
        return Contact(kind=ContactKind.EMAIL, address=text, folded=fields.fold_email(text))
    fields.check_phone(text)
    return Contact(kind=ContactKind.PHONE, address=text, folded=text.translate(_PHONE_BETWEEN))


def masked(contact: Contact) -> str:
    """Return an address as it may be shown: ``m***@example.com``, ``***4567``."""
    if contact.kind is ContactKind.EMAIL:
        name, _, domain = contact.address.rpartition("@")
        return f"{name[:1]}***@{domain}"
    digits = "".join(char for char in contact.folded if char.isdigit())
    shown = min(_SHOWN_DIGITS, (len(digits) - 1) // 2)
    return "***" + (digits[-shown:] if shown > 0 else "")


def normal_code(typed: str) -> str:
    """Return the digits of a code as it was typed; raise BadField for what cannot be one, which costs no attempt."""
    digits = unicodedata.normalize("NFKC", typed[:TYPED_CHARS_MAX]).translate(_BETWEEN)
    if (
        len(typed) > TYPED_CHARS_MAX
        or len(digits) != CODE_DIGITS
        or not (digits.isascii() and digits.isdigit())
    ):
        raise BadField("code", f"a code has {CODE_DIGITS} digits")
    return digits


def code_digest(secret: bytes, code_id: UUID, code: str) -> bytes:
    """Return the only form in which a code is kept; the same digits of another code have another one."""
    return hmac.digest(secret, b"tongbao/payer-code/v1" + code_id.bytes + code.encode(), hashlib.sha256)


def is_same(kept: bytes, given: bytes) -> bool:
    """Return whether two digests are equal, in time that tells nothing of where they differ."""
    return hmac.compare_digest(kept, given)


def is_over(session: PayerSession, now: datetime) -> bool:
    """Return whether a session was ended, has idled for 15 minutes, or is 12 hours old."""
    idle, old = now >= session.seen_at + IDLE, now >= session.created_at + ABSOLUTE
    return session.ended_at is not None or idle or old


def is_forgotten(device: RememberedDevice, now: datetime) -> bool:
    """Return whether a device was revoked, or not seen for 90 days."""
    return device.revoked_at is not None or now >= device.seen_at + DEVICE_GOOD


def ready_at(begun_at: datetime) -> datetime:
    """Return when a recovery lets a new passkey in."""
    return begun_at + RECOVERY_WAIT


def is_stale(begun_at: datetime, now: datetime) -> bool:
    """Return whether a recovery was begun too long ago to count."""
    return now >= ready_at(begun_at) + RECOVERY_GOOD


def enrolment(
    means: Means, passkey_count: int, recovery_begun_at: datetime | None, now: datetime
) -> Enrolment:
    """Return whether a session may add a passkey: the first one, one beside its own, or one after a recovery."""
    if means is Means.PASSKEY or not passkey_count:
        return Enrolment.ALLOWED
    if recovery_begun_at is None or is_stale(recovery_begun_at, now):
        return Enrolment.NEEDS_PASSKEY
    return Enrolment.RECOVERED if now >= ready_at(recovery_begun_at) else Enrolment.WAITS
