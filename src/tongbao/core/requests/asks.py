"""What a repeatable request is, and what may be found under its key."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

KEY_CHARS_MAX = 255


class Rendered(NamedTuple):
    """An answer as it is given, and kept for repeats of the same request."""

    status: int
    body: bytes


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may be repeated: under which key, what it said, and how its result is put into words.

    ``digest``: SHA-256 over operation and key; ``fingerprint``: SHA-256 over the canonical parameters (``ask_digest``).
    ``render`` turns what the use case returns into the answer, inside the commit that the answer tells of.
    ``kept_until``: until then a repeat gets the same answer.
    """

    digest: bytes
    fingerprint: bytes
    key: str
    request_id: str
    render: Callable[[Any], Rendered]
    kept_until: datetime


class Known(NamedTuple):
    """What stands under a key: the request as it was, and its answer where it has one."""

    fingerprint: bytes
    subject_id: UUID | None
    claimed_at: datetime
    answer: Rendered | None


def ask_digest(*parts: str | bytes) -> bytes:
    """Return SHA-256 over the parts, each with its length before it, so that no two lists of parts are one."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.digest()
