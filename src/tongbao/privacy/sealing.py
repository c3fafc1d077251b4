"""The cryptography of the vault, in one place: AES-256-GCM seals and the blind index.

Seals follow NIST SP 800-38D with random nonces of 96 bits. One data key seals few values (one person's), a
wrapping key at most 2**32 data keys before it must be rotated. Pure: keys and nonces are passed in.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tongbao.privacy.errors import SealBroken
from tongbao.privacy.schema import DIGEST_BYTES

KEY_BYTES = 32
NONCE_BYTES = 12
_INDEX_PURPOSE = b"tongbao/vault/blind-index/card-number/v1"


def seal(key: bytes, nonce: bytes, clear: bytes, context: bytes) -> bytes:
    """Return ``clear`` encrypted and bound to ``context``; a nonce is used once under a key."""
    return AESGCM(key).encrypt(nonce, clear, context)


def unseal(key: bytes, nonce: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return what was sealed; raise SealBroken for another key, nonce, context or a changed byte."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, context)
    except (InvalidTag, ValueError):
        # Without the cause: a nonce of a wrong length is tampering like any other.
        raise SealBroken from None


def blind_index(book_key: bytes, number: str) -> bytes:
    """Return the digest by which equal numbers of one book are found: HMAC-SHA256 under a derived key.

    The key is derived from the book's own (HKDF, RFC 5869), so that no other use of that key can meet this one.
    Without it the few billion numbers of a card range cannot be tried.
    """
    key = HKDFExpand(hashes.SHA256(), KEY_BYTES, _INDEX_PURPOSE).derive(book_key)
    return hmac.digest(key, number.encode(), hashlib.sha256)[:DIGEST_BYTES]
