"""What may not be printed, and how it is blotted out before it leaves the process.

Masked are the values of keys that name a secret, pydantic's secret types, passwords inside URLs and DSNs,
``name=value``, header and ``Bearer`` secrets inside any text, and card numbers: 13 to 19 digits that pass the
Luhn check (ISO/IEC 7812-1), in one piece or in groups, keep the first six and last four that PCI DSS 4.0
(requirement 3.4.1) lets be shown.

This is the last net, not a licence: callers log ids and amounts, never people or secrets. Where it errs it
hides too much: one in ten of long plain numbers inside a text loses its middle. Numbers passed as numbers, and
UUIDs, are left alone.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate, islice

from pydantic import Secret, SecretBytes, SecretStr

MASK = "***"
CUT = "…"
DEPTH_MAX = 6
ITEMS_MAX = 200
KEYS_CACHED_MAX = 4_096
TEXT_MAX = 16_384
TEXT_TAIL = 600
PAN_DIGITS_MIN = 13
PAN_DIGITS_MAX = 19
PAN_SHOWN_FIRST = 6
PAN_SHOWN_LAST = 4

# Looked for anywhere in a key without its case and separators, so ``X-Api-Key`` and ``apiKey`` are one.
_SECRET_STEMS = (
    *("password", "passwd", "passphrase", "passcode", "secret", "token", "cookie", "credential"),
    *("apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "masterkey", "wrappingkey"),
    *("sessionkey", "hmackey", "keymaterial", "cardnumber", "accountnumber", "trackdata", "securitycode"),
)
# Too short to be looked for inside other words: each must be a whole word of the key.
_SECRET_WORDS = frozenset(
    {"pan", "cvc", "cvc2", "cvv", "cvv2", "cvn", "csc", "pin", "otp", "pwd", "kek", "dek"}
)
# The header is secret, an issuer's ``authorization_amount`` is not.
_SECRET_LAST_WORDS = frozenset({"authorization"})
# ``token_count`` and ``token_expires_at`` measure a secret without telling it.
_MEASURES = frozenset({"count", "max", "min", "at", "ms", "s", "length", "type", "version"})
_DSN_STEMS = ("dsn", "databaseurl", "connectionstring")

_KEY_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]*|[0-9]+")
# A password may hold a slash or an @; a number up to a slash is a port. Lengths are bounded to stay linear.
_URL_PASSWORD = re.compile(
    r"(://[^\s/:@\"']{0,256}:)(?![0-9]{1,5}(?:[/?#\s\"',;)]|$))[^\s\"]{1,256}(?=@)", re.IGNORECASE
)
_HEADER = re.compile(r"((?:cookie|authorization)[\"']?\s{0,3}:\s{0,3}[\"']?)[^\r\n\"']+", re.IGNORECASE)
_BEARER = re.compile(r"(\bbearer\s{1,3})[\w.~+/=-]+", re.IGNORECASE)
_NAMED = re.compile(
    r"((?:passw(?:or)?d|passphrase|passcode|secret|token|authorization|cookie|credential|\bpwd|\bcv[cv]2?|\bpan"
    r"|(?:api|access|private|signing|encryption|master)[_-]?key|card[_-]?number)"
    r"[\w-]{0,64}[\"']?\s{0,3}[=:]\s{0,3})"
    r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s&,;\"'}\])]+)",
    re.IGNORECASE,
)
# Every match of the three patterns above holds one of these: most texts are spared the slow search.
_HINTS = (
    "pass",
    "secret",
    "token",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "pwd",
    "cv",
    "pan",
    "key",
    "card",
)
_UUID_OR_DIGITS = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
    rf"|\d(?:[ \t\u00a0\u2009\u202f\u2010-\u2015-]{{0,3}}\d){{{PAN_DIGITS_MIN - 1},}}",
    re.IGNORECASE,
)


def mask(value: object, depth: int = 0) -> object:
    """Return ``value`` fit to be printed: plain containers, numbers and masked text.

    Containers deeper than ``DEPTH_MAX`` or longer than ``ITEMS_MAX`` are cut with an ellipsis, bytes become
    their length, and any other object its masked text.
    """
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Secret | SecretStr | SecretBytes):
        return MASK
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth >= DEPTH_MAX:
            return CUT
        if isinstance(value, Mapping):
            return _mask_mapping(value, depth)
        items = [mask(item, depth + 1) for item in islice(value, ITEMS_MAX)]
        return items if len(value) <= ITEMS_MAX else [*items, CUT]
    return mask_text(_text(value))


def mask_entry(key: object, value: object, depth: int = 0) -> object:
    """Return ``value`` as it may be printed under ``key``: hidden where the key names a secret."""
    name = str(key)
    if names_secret(name):
        return MASK
    masked = mask(value, depth)
    if isinstance(value, str) and masked != value and any(stem in _squeezed(name) for stem in _DSN_STEMS):
        return MASK
    return masked


def mask_text(text: str) -> str:
    """Return ``text`` without the secrets and card numbers that can be recognised in it.

    Text beyond ``TEXT_MAX`` characters is dropped, with the last ``TEXT_TAIL`` before them, in which the
    beginning of a secret could stand that is recognised only by its end.
    """
    if len(text) > TEXT_MAX:
        return mask_text(text[:TEXT_MAX])[:-TEXT_TAIL] + CUT
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1{MASK}", text)
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS):
        text = _HEADER.sub(rf"\1{MASK}", text)
        text = _BEARER.sub(rf"\1{MASK}", text)
        text = _NAMED.sub(rf"\1{MASK}", text)
    return _UUID_OR_DIGITS.sub(_mask_digits, text)


@lru_cache(maxsize=KEYS_CACHED_MAX)
def mask_key(key: str) -> str:
    """Return a key as it may be printed; callers do use card numbers as keys."""
    return mask_text(key)


@lru_cache(maxsize=KEYS_CACHED_MAX)
def names_secret(key: str) -> bool:
    """Return whether a key names something secret by the look of it."""
    words = [word.lower() for word in _KEY_WORD.findall(key)]
    if not words or (len(words) > 1 and words[-1] in _MEASURES):
        return False
    if words[-1] in _SECRET_LAST_WORDS or not _SECRET_WORDS.isdisjoint(words):
        return True
    return any(stem in _squeezed(key) for stem in _SECRET_STEMS)


def _mask_mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    items = islice(value.items(), ITEMS_MAX)
    masked = {mask_key(str(key)): mask_entry(key, item, depth + 1) for key, item in items}
    return masked if len(value) <= ITEMS_MAX else {**masked, CUT: len(value) - ITEMS_MAX}


def _mask_digits(match: re.Match[str]) -> str:
    if match["uuid"]:
        return match[0]
    characters = list(match[0])
    for card in _card_numbers(match[0]):
        for position in card[PAN_SHOWN_FIRST:-PAN_SHOWN_LAST]:
            characters[position] = "*"
    return "".join(characters)


def _card_numbers(text: str) -> Iterator[list[int]]:
    """Yield the positions of the digits of each card number in a run of digit groups.

    A card number is whole groups: beside ``4111111111111111 12`` (number and month) the first group alone is
    one, so every span of neighbouring groups is tried. Running Luhn sums, one for each parity of the last
    digit, make a try one subtraction: a hostile text costs no more than a long one.
    """
    positions = [index for index, char in enumerate(text) if char.isdecimal()]
    starts = [index for index, at in enumerate(positions) if index == 0 or positions[index - 1] != at - 1]
    ends = {*starts[1:], len(positions)}
    digits = [int(text[at]) for at in positions]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits]
    sums = [
        [
            0,
            *accumulate(
                pair[(index + parity) % 2] for index, pair in enumerate(zip(digits, doubled, strict=True))
            ),
        ]
        for parity in (0, 1)
    ]
    for start in starts:
        for end in range(start + PAN_DIGITS_MIN, start + PAN_DIGITS_MAX + 1):
            luhn = sums[(end - 1) % 2]
            if end in ends and (luhn[end] - luhn[start]) % 10 == 0:
                yield positions[start:end]


def _squeezed(key: str) -> str:
    return "".join(char for char in key.lower() if char.isalnum())


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        # A broken __str__ of somebody's object must not turn a log line into a failed payment.
        return f"<{type(value).__name__} that cannot be printed>"
