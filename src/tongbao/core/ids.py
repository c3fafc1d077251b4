"""Time-ordered ids: 128-bit for what happens, 63-bit for what exists, and their text form.

- Things that happen (transfers, events, payments) carry a UUIDv7 (RFC 9562): made by whoever acts, without
  asking anybody, and doubling as the idempotency key.
- Things that exist and are named in millions of rows (books, accounts) carry a 63-bit integer: 42 bits of
  milliseconds since 2020 and 21 random bits. Uniqueness is proved by the primary key, not by luck.
- People and APIs see a prefix and Crockford base 32 (no I, L, O, U): ``tr_01jd3k8v4yefvb3k4g8h2m5n6p``.
  Text order equals time order.

The clock and the randomness are passed in, so a seeded run makes the same ids again.
"""

import hashlib
import random
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from tongbao.core.clock import EPOCH, Clock
from tongbao.core.errors import InvariantBroken

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
INT_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
INT_MS_BITS = 42
INT_RANDOM_BITS = 21
UUID_MS_BITS = 48
UUID_CHARS = 26
INT_CHARS = 13
TEXTS_CACHED_MAX = 8_192
"""One payment writes the same few ids a dozen times."""
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_PAIR_SHIFTS = {chars: range(10 * (chars // 2 - 1), -1, -10) for chars in (UUID_CHARS, INT_CHARS)}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# To the digits that int() reads; letters that are none become what it refuses.
_TO_DIGITS = str.maketrans(
    dict.fromkeys(_LETTERS, "!") | dict(zip(ALPHABET, "0123456789abcdefghijklmnopqrstuv", strict=True))
)
_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)


class IdFactory:
    """Makes ids that never go backwards within this factory, whatever the clock does.

    Not safe for use from several threads; give each thread a factory of its own.
    """

    def __init__(self, clock: Clock, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._last_uuid = 0
        self._last_int = 0

    def uuid(self) -> UUID:
        """Return a new UUIDv7, strictly greater than the last one made here.

        Raises InvariantBroken ``clock_out_of_range`` for an instant before 1970.
        """
        ms = self._ms_since(EPOCH, UUID_MS_BITS)
        if ms <= self._last_uuid >> 80:
            # Within one millisecond ids count on from a random one (RFC 9562, 6.2, method 2).
            value = _next_uuid(self._last_uuid)
        else:
            bits = self._rng.getrandbits(74)
            value = (ms << 80) | ((bits >> 62) << 64) | (bits & ((1 << 62) - 1)) | _VERSION_AND_VARIANT
        self._last_uuid = value
        return UUID(int=value)

    def int63(self) -> int:
        """Return a new positive 63-bit id, strictly greater than the last one made here.

        Raises InvariantBroken ``clock_out_of_range`` for an instant before 2020 or after 2159.
        """
        ms = self._ms_since(INT_EPOCH, INT_MS_BITS)
        value = (ms << INT_RANDOM_BITS) | self._rng.getrandbits(INT_RANDOM_BITS)
        if value <= self._last_int:
            value = self._last_int + 1
        self._last_int = value
        return value

    def _ms_since(self, epoch: datetime, bits: int) -> int:
        """Return the whole milliseconds since ``epoch``, in integers: a float loses one now and then.

        Out of range there is no id: every process with a clock that was never set would count 1, 2, 3 …
        """
        since = self._clock.now() - epoch
        ms = since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
        if not 0 <= ms < 1 << bits:
            raise InvariantBroken("clock_out_of_range", "the clock is outside the range of ids", ms=ms)
        return ms


def derive(parent: UUID, label: str) -> UUID:
    """Return the id that ``label`` always has under ``parent``: same input, same id, in any process.

    Keeps the parent's time part, so derived keys stay close to it in every index. Used where one act needs
    several keys (``derive(payment, "fee")``) that must be equal when the act is repeated.
    """
    digest = int.from_bytes(hashlib.sha256(parent.bytes + label.encode()).digest()[:10], "big")
    bits = digest & ((1 << 74) - 1)
    value = (parent.int >> 80 << 80) | ((bits >> 62) << 64) | (bits & ((1 << 62) - 1)) | _VERSION_AND_VARIANT
    return UUID(int=value)


def first_uuid_at(at: datetime) -> UUID:
    """Return a bound that no UUIDv7 of ``at``'s millisecond or later is below; what was made before it is."""
    return UUID(int=(at - EPOCH) // timedelta(milliseconds=1) << 80)


@lru_cache(maxsize=TEXTS_CACHED_MAX)
def uuid_text(prefix: str, value: UUID) -> str:
    """Return ``value`` as ``prefix_`` and 26 characters."""
    return f"{prefix}_{_base32(value.int, UUID_CHARS)}"


def int_text(prefix: str, value: int) -> str:
    """Return a 63-bit id as ``prefix_`` and 13 characters; raise ValueError where it is no such id."""
    if not 0 <= value < 1 << 63:
        raise ValueError("an id has 63 bits")
    return f"{prefix}_{_base32(value, INT_CHARS)}"


def parse_uuid(prefix: str, text: str) -> UUID:
    """Read back what ``uuid_text`` wrote; raise ValueError for anything else, capitals included.

    So an id has one text only, and texts may be compared and used as keys.
    """
    return UUID(int=_parse(prefix, text, UUID_CHARS, 128))


def parse_int(prefix: str, text: str) -> int:
    """Read back what ``int_text`` wrote; raise ValueError for anything else."""
    return _parse(prefix, text, INT_CHARS, 63)


def _next_uuid(last: int) -> int:
    """Return the smallest UUIDv7 above ``last``, carrying over the version and variant bits."""
    low = (last & ((1 << 62) - 1)) + 1
    middle = (last >> 64) & 0xFFF
    ms = last >> 80
    if low >> 62:
        low, middle = 0, middle + 1
    if middle >> 12:
        middle, ms = 0, ms + 1
    return (ms << 80) | (middle << 64) | low | _VERSION_AND_VARIANT


def _base32(value: int, chars: int) -> str:
    odd = ALPHABET[value >> 5 * (chars - 1)] if chars % 2 else ""
    return odd + "".join([_PAIRS[value >> shift & 1023] for shift in _PAIR_SHIFTS[chars]])


def _parse(prefix: str, text: str, chars: int, bits: int) -> int:
    head, _, body = text.rpartition("_")
    try:
        # Only letters and digits of ASCII: int() would read signs, spaces and underscores, too.
        if head != prefix or len(body) != chars or not (body.isascii() and body.isalnum()):
            raise ValueError
        value = int(body.translate(_TO_DIGITS), 32)
    except ValueError:
        raise ValueError(f"not an id of the form {prefix}_…: {text[:64]!r}") from None
    if value >> bits:
        raise ValueError(f"id out of range: {text[:64]!r}")
    return value
