"""Secrets at rest: AES-256-GCM (NIST SP 800-38D) under keys that the caller holds.

A sealed secret is one version byte, four bytes that name the key, a random nonce of 96 bits and the ciphertext with
its tag. It opens only under the context that it was sealed with, so one moved to another row does not open.
"""

import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tongbao.core.errors import InvariantBroken

KEY_BYTES = 32
_VERSION = b"\x01"
_NAME_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _NAME_BYTES


class AesGcmBox:
    """A ``SecretBox``: the first key seals, every key opens, so that keys can be replaced one after another."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a secret box needs keys of {KEY_BYTES} bytes")
        self._boxes = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0])

    def __repr__(self) -> str:
        return f"AesGcmBox({len(self._boxes)} keys)"

    def seal(self, clear: bytes, context: bytes) -> bytes:
        """Return ``clear`` encrypted and bound to ``context``."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = _VERSION + self._first
        return head + nonce + self._boxes[self._first].encrypt(nonce, clear, head + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed.

        Raises InvariantBroken ``secret_sealed_elsewhere`` where no key of this box sealed it, ``secret_broken`` for
        another context or a changed byte.
        """
        head, nonce = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
        box = self._boxes.get(head[len(_VERSION) :])
        if box is None or not head.startswith(_VERSION):
            raise InvariantBroken("secret_sealed_elsewhere", "none of the keys given sealed this secret")
        try:
            return box.decrypt(nonce, sealed[_HEAD_BYTES + _NONCE_BYTES :], head + context)
        except (InvalidTag, ValueError):
            # Without the cause: a secret cut short is tampering like any other.
            raise InvariantBroken("secret_broken", "a sealed secret does not open in its place") from None


def _name(key: bytes) -> bytes:
    """Return the name of a key: enough of a digest to tell keys apart, nothing of the key."""
    return hashlib.sha256(b"tongbao/secret-box/v1" + key).digest()[:_NAME_BYTES]
