"""What the vault asks of whoever keeps the wrapping keys: a file, the environment, a KMS, an HSM."""

from typing import Protocol

from tongbao.privacy.schema import KeyHealth, KeyVersion, WrappedKey


class KeySource(Protocol):
    """Wraps and unwraps data keys under versioned wrapping keys that never leave it.

    ``context`` is bound into the wrapping: a wrapped key opens only with the same bytes. Both ways raise
    KeysUnusable while the source cannot be reached or trusted.
    """

    async def wrap(self, key: bytes, context: bytes) -> WrappedKey:
        """Return ``key`` wrapped under the current version, which by then would survive a crash."""
        ...

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """Return the key; raise SealBroken, or KeyRefused for a version that is unknown or retired."""
        ...

    async def current_version(self) -> int:
        """Return the version under which keys are wrapped now."""
        ...

    async def versions(self) -> list[KeyVersion]:
        """Return all versions, oldest first."""
        ...

    async def health(self) -> KeyHealth:
        """Return whether the source works now; never raises."""
        ...
