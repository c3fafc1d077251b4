"""API keys: their text, what each kind may do, and whether one opens.

A key is ``sk_live_`` and 256 random bits in Crockford base 32. What is random in full needs no slow hash: one
SHA-256 is stored, and guessing it is hopeless (measured: 0.6 µs a check against 21 ms of argon2id).
"""

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime

from tongbao.core.errors import AppError
from tongbao.core.ids import ALPHABET
from tongbao.parties.errors import BadField, KeyRefused, MerchantNotOpen
from tongbao.parties.facts import KeyFacts
from tongbao.parties.policy import fields
from tongbao.parties.schema import (
    KeyDraft,
    KeyKind,
    MerchantState,
    Permission,
)

KEY_BITS = 256
KEY_CHARS = 52
LABEL_CHARS_MAX = 80
NETWORKS_MAX = 32
PUBLISHABLE = frozenset({Permission.CHECKOUT_CLIENT, Permission.METHODS_CREATE})
_HEADS = {KeyKind.SECRET: "sk", KeyKind.PUBLISHABLE: "pk", KeyKind.RESTRICTED: "rk"}
_KEY = re.compile(rf"(?:sk|pk|rk)_(?:live|test)_[{ALPHABET}]{{{KEY_CHARS}}}\Z")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def prefix(kind: KeyKind, *, live: bool) -> str:
    """Return how a key of this kind and mode begins."""
    return f"{_HEADS[kind]}_{'live' if live else 'test'}_"


def text(kind: KeyKind, bits: int, *, live: bool) -> str:
    """Return the text of a key from ``KEY_BITS`` random bits."""
    shifts = range(5 * (KEY_CHARS - 1), -1, -5)
    return prefix(kind, live=live) + "".join(ALPHABET[(bits >> shift) & 31] for shift in shifts)


def looks_like_a_key(candidate: str) -> bool:
    """Return whether a text has the form of a key; anything else is refused without asking the database."""
    return _KEY.match(candidate) is not None


def permissions(draft: KeyDraft) -> frozenset[Permission]:
    """Return what the key will be able to do; raise BadField where kind and permissions do not go together."""
    if draft.kind is KeyKind.RESTRICTED:
        if not draft.permissions:
            raise BadField("permissions", "a restricted key lists its permissions")
        return draft.permissions
    if draft.permissions:
        raise BadField("permissions", "only a restricted key lists its permissions")
    return frozenset(Permission) if draft.kind is KeyKind.SECRET else PUBLISHABLE


def check(draft: KeyDraft, now: datetime) -> None:
    """Raise BadField where a key of this draft can never be made."""
    fields.check_text("label", draft.label, chars_max=LABEL_CHARS_MAX)
    if draft.expires_at is not None and (draft.expires_at.tzinfo is None or draft.expires_at <= now):
        raise BadField("expires_at", "a key expires in the future, at an instant with a time zone")
    if len(draft.allowed_addresses) > NETWORKS_MAX:
        raise BadField("allowed_addresses", f"at most {NETWORKS_MAX} networks")
    networks(draft.allowed_addresses)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return networks from their texts (``203.0.113.0/24``, one address, IPv6); raise BadField for others."""
    try:
        return tuple(ipaddress.ip_network(item) for item in texts)
    except ValueError:
        raise BadField(
            "allowed_addresses", "networks are written like 203.0.113.0/24 or 2001:db8::/32"
        ) from None


def refusal(facts: KeyFacts, now: datetime) -> AppError | None:
    """Return why the key does not open, wherever it is used from; in order: revoked, expired, merchant."""
    if facts.revoked_at is not None:
        return KeyRefused("api_key_revoked", "this key was revoked")
    if facts.expires_at is not None and facts.expires_at <= now:
        return KeyRefused("api_key_expired", "this key has expired")
    if facts.merchant_state is not MerchantState.OPEN:
        return MerchantNotOpen(facts.merchant_state)
    return None


def is_inside(address: str | None, allowed: Sequence[Network]) -> bool:
    """Return whether an address lies in one of the networks; an unknown or malformed one lies in none.

    An IPv4 address that arrives mapped into IPv6 (``::ffff:192.0.2.1``) counts as the IPv4 address.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(plain in network for network in allowed)
