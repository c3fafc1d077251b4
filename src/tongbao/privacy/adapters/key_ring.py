"""Wrapping keys in memory, by version: the part that key sources of this process share."""

from collections.abc import Callable, Iterable
from datetime import datetime

from tongbao.core.clock import Clock
from tongbao.privacy.errors import KeyRefused, KeysUnusable, SealBroken
from tongbao.privacy.schema import Hidden, KeyVersion, WrappedKey
from tongbao.privacy.sealing import KEY_BYTES, NONCE_BYTES, seal, unseal

RandomBytes = Callable[[int], bytes]
"""Where random bytes come from: ``secrets.token_bytes``, or a seeded source in tests."""


class RingKey(Hidden, frozen=True, kw_only=True):
    """One version of the wrapping key, in clear."""

    version: int
    key: bytes
    created_at: datetime | None = None
    retire_at: datetime | None = None


class KeyRing:
    """Wraps under the highest version and unwraps under every one that is not retired.

    A wrapped key is nonce and AES-256-GCM seal, 60 bytes, bound to the caller's context and the version.
    """

    def __init__(self, keys: Iterable[RingKey], clock: Clock, random_bytes: RandomBytes) -> None:
        listed = list(keys)
        self._keys = {key.version: key for key in listed}
        self._clock = clock
        self._random_bytes = random_bytes
        if not self._keys or len(self._keys) != len(listed) or min(self._keys) < 1:
            raise KeysUnusable("keys_invalid", "key versions are positive, and each is given once")
        if any(len(key.key) != KEY_BYTES for key in listed):
            raise KeysUnusable("keys_invalid", f"a wrapping key has {KEY_BYTES} bytes")
        self.current = max(self._keys)

    def __contains__(self, version: int) -> bool:
        return version in self._keys

    def wrap(self, key: bytes, context: bytes) -> WrappedKey:
        """Return ``key`` under the current version."""
        nonce = self._random_bytes(NONCE_BYTES)
        sealed = seal(self._keys[self.current].key, nonce, key, _bound(context, self.current))
        return WrappedKey(self.current, nonce + sealed)

    def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """Return the key; raise KeyRefused or SealBroken."""
        known = self._keys.get(wrapped.version)
        if known is None:
            raise KeyRefused("key_unknown", wrapped.version)
        if known.retire_at is not None and known.retire_at <= self._clock.now():
            raise KeyRefused("key_retired", wrapped.version)
        nonce, sealed = wrapped.data[:NONCE_BYTES], wrapped.data[NONCE_BYTES:]
        key = unseal(known.key, nonce, sealed, _bound(context, wrapped.version))
        if len(key) != KEY_BYTES:
            raise SealBroken
        return key

    def versions(self) -> list[KeyVersion]:
        """Return what may be told of each version, oldest first."""
        return [
            KeyVersion(
                version=key.version,
                current=key.version == self.current,
                created_at=key.created_at,
                retire_at=key.retire_at,
            )
            for _, key in sorted(self._keys.items())
        ]


def _bound(context: bytes, version: int) -> bytes:
    return b"%b|%d" % (context, version)
