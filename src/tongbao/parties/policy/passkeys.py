"""What passkeys are bound to: challenges that nobody has to store, and holders whom nobody can tell from their handles.

A challenge is HMAC-SHA-256 (RFC 2104) under a key of the house over what it is good for. It is as unforeseeable as a random
one to whoever has not the key, is found again when the answer comes, and is spent with the row that it names: the
challenge of a step-up closes when it is passed, and one proof lets one passkey be registered.
"""

import hashlib
import hmac
from uuid import UUID

_PROOF = b"tongbao/passkey-proof/v1"
_REGISTRATION = b"tongbao/passkey-registration/v1"
_USER = b"tongbao/passkey-user/v1"
_SIGN_IN = b"tongbao/passkey-sign-in/v1"
_ENROLMENT = b"tongbao/passkey-enrolment/v1"


def proof_challenge(secret: bytes, proof_id: UUID, digest: bytes) -> bytes:
    """Return what an authenticator signs for one step-up: ``digest`` tells payment, payee, amount and currency."""
    return hmac.digest(secret, _PROOF + proof_id.bytes + digest, hashlib.sha256)


def registration_challenge(secret: bytes, proof_id: UUID, holder_id: UUID) -> bytes:
    """Return what an authenticator answers to register a passkey for a holder after one proof."""
    return hmac.digest(secret, _REGISTRATION + proof_id.bytes + holder_id.bytes, hashlib.sha256)


def user_handle(secret: bytes, holder_id: UUID) -> bytes:
    """Return the 32 bytes by which authenticators tell holders apart; they say nothing of who it is."""
    return hmac.digest(secret, _USER + holder_id.bytes, hashlib.sha256)


def sign_in_challenge(secret: bytes, visit: str) -> bytes:
    """Return what an authenticator signs to sign somebody in during one visit of a browser; it is spent with an answer."""
    return hmac.digest(secret, _SIGN_IN + visit.encode("utf-8", "replace"), hashlib.sha256)


def enrolment_challenge(secret: bytes, session_id: UUID, holder_id: UUID) -> bytes:
    """Return what an authenticator answers to add a passkey of somebody who is signed in."""
    return hmac.digest(secret, _ENROLMENT + session_id.bytes + holder_id.bytes, hashlib.sha256)
