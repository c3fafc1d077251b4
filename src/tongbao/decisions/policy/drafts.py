"""What may be written about a policy: names, notes, and specifications in canonical form with their digest.

The canonical form has its keys sorted, no spaces, UTF-8; equal content has an equal digest, whoever wrote it down.
Only plain JSON has such a form: no NaN, no infinity, no keys but text, and no NUL, which the database cannot keep.
"""

import hashlib
import re
from typing import Any

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.policies import NAME_CHARS_MAX, SPEC_BYTES_MAX

NAME = re.compile(r"[a-z][a-z0-9_]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
_PATH = re.compile(r" - at `(?P<path>[^`]*)`$")
_ENCODER = msgspec.json.Encoder(order="sorted")


def kind_of(policy: str) -> str:
    """Return what a policy's name says of its kind: ``routing`` of ``routing/m_123``; empty where it is no name."""
    if len(policy) > NAME_CHARS_MAX or not NAME.fullmatch(policy):
        return ""
    return policy.partition("/")[0]


def check_text(name: str, text: str, chars_max: int, chars_min: int = 0) -> None:
    """Raise InvalidRequest ``policy_text_invalid`` for a text that cannot be kept, or says nothing where it must."""
    if not chars_min <= len(text.strip()) <= len(text) <= chars_max:
        raise InvalidRequest(
            "policy_text_invalid", f"{name} has {chars_min} to {chars_max} characters", field=name
        )
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidRequest("policy_text_invalid", f"{name} holds a character that is none", field=name)


def canonical(spec: dict[str, Any]) -> bytes:
    """Return the canonical form of ``spec``, of at most ``SPEC_BYTES_MAX`` bytes.

    Raises ValueError with the reason where there is none.
    """
    try:
        encoded = _ENCODER.encode(spec)
        is_plain = msgspec.json.decode(encoded) == spec
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it is not plain JSON ({type(error).__name__})") from error
    if len(encoded) > SPEC_BYTES_MAX:
        raise ValueError(f"it has {len(encoded)} bytes; at most {SPEC_BYTES_MAX}")
    if not is_plain:
        raise ValueError("it is not plain JSON: a number that is none, or a key or value of another kind")
    if b"\\u0000" in encoded:
        raise ValueError("a text in it holds NUL")
    return encoded


def digest_of(encoded: bytes) -> str:
    """Return the SHA-256 of a canonical form as 64 hexadecimal digits."""
    return hashlib.sha256(encoded).hexdigest()


def invalid_spec(policy: str, error: Exception) -> InvalidRequest:
    """Return ``policy_spec_invalid`` for what a validator raised, with the path that its text ends with."""
    text = error.detail if isinstance(error, InvalidRequest) else str(error)
    found = _PATH.search(text)
    path = found["path"] if found else str(getattr(error, "facts", {}).get("path", "$"))
    reason = text[: found.start()] if found else text
    return InvalidRequest(
        "policy_spec_invalid",
        f"the specification of {policy} is refused at {path}: {reason}",
        path=path,
        reason=reason,
    )
