"""Wrapping keys from the environment, for containers whose platform keeps secrets.

``TONGBAO_VAULT_KEYS="1:<base64>,2:<base64>"``: each key has 32 random bytes, the highest version is current.
To rotate, add a version and restart; once nothing is wrapped under the old one any more, take it away.
"""

import base64
import binascii
import secrets
from collections.abc import Mapping

from tongbao.core.clock import Clock
from tongbao.privacy.adapters.key_ring import KeyRing, RandomBytes, RingKey
from tongbao.privacy.errors import KeysUnusable
from tongbao.privacy.schema import KeyHealth, KeyVersion, WrappedKey

VARIABLE = "TONGBAO_VAULT_KEYS"


class EnvironmentKeys:
    """A ``ports.KeySource`` over keys given as text; they end with the process."""

    def __init__(self, text: str, clock: Clock, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self._ring = KeyRing(map(_parse, text.split(",")), clock, random_bytes)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], clock: Clock) -> "EnvironmentKeys":
        """Read ``TONGBAO_VAULT_KEYS``; raise KeysUnusable where it is missing or malformed."""
        text = environment.get(VARIABLE, "")
        if not text:
            raise KeysUnusable("keys_missing", f"{VARIABLE} is not set")
        return cls(text, clock)

    def __repr__(self) -> str:
        return "EnvironmentKeys(***)"

    async def wrap(self, key: bytes, context: bytes) -> WrappedKey:
        """Return ``key`` wrapped under the highest version."""
        return self._ring.wrap(key, context)

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """Return the key; raise SealBroken or KeyRefused."""
        return self._ring.unwrap(wrapped, context)

    async def current_version(self) -> int:
        """Return the highest version."""
        return self._ring.current

    async def versions(self) -> list[KeyVersion]:
        """Return all versions, oldest first."""
        return self._ring.versions()

    async def health(self) -> KeyHealth:
        """Return that it works: the keys are in memory."""
        return KeyHealth(healthy=True, current_version=self._ring.current)


def _parse(entry: str) -> RingKey:
    """Read ``version:base64``; an error never repeats the text, which is a key."""
    version, colon, encoded = entry.strip().partition(":")
    try:
        if not colon or not (version.isascii() and version.isdecimal()):
            raise ValueError
        return RingKey(version=int(version), key=base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise KeysUnusable("keys_invalid", f"{VARIABLE} is a list of version:base64") from None
