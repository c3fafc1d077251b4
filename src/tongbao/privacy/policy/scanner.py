"""The scanner that keeps card numbers out of every field that is not made for them.

A card number is a run of 13 to 19 digits in a known issuer range, of a length that this range has, with a right
check digit. It is found in one piece or in groups with spaces and dashes, in ASCII, full-width or any other
decimal digits, beside other numbers, and glued to a word (``visa4111…``).

What only resembles one is let through: UUIDs, ids and hashes (digits glued to a mix of letters and digits), bar
codes (EAN-13) and resident ids of China (GB 11643), which carry check digits of their own. Of arbitrary long
numbers in a card range one in ten passes the Luhn check and is refused; a merchant writes such a number with a
prefix of letters and digits, or leaves it out.
"""

import re
from collections.abc import Iterator
from datetime import date

from tongbao.core.errors import InvalidRequest
from tongbao.privacy.errors import CardDataRefused
from tongbao.privacy.policy.brands import DIGITS_MAX, DIGITS_MIN, PREFIX_DIGITS_MAX, is_luhn_valid, range_of

CARD_NUMBER_FIELDS = frozenset({"card[number]", "payment_method_data[card][number]"})
"""Where requests may carry a card number: the doors through which cards enter the vault."""
DEPTH_MAX = 32
"""Levels of lists and mappings that are looked into; deeper requests are refused."""
KEY_CHARS_SHOWN_MAX = 64
_NUMBER_MIN = 10 ** (DIGITS_MIN - 1)
_NUMBER_MAX = 10**DIGITS_MAX
_DIGITS = b"0123456789"
# Space, tab, no-break, thin, narrow and ideographic spaces; ASCII, typographic, minus and full-width dashes.
_SEPARATOR = r" \t\u00a0\u2009\u202f\u3000\u2010-\u2015\u2212\uff0d-"
_UUID_OR_RUN = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
    rf"|\d(?:[{_SEPARATOR}]{{0,3}}\d){{{DIGITS_MIN - 1},}}",
    re.IGNORECASE,
)
_GROUP = re.compile(r"\d+")
_MIXED_BEFORE = re.compile(r"[0-9][A-Za-z]+\Z")
_MIXED_AFTER = re.compile(r"[A-Za-z]+[0-9]")
_WORD_CHARS_MAX = 80
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECKS = "10X98765432"


def find_card_number(text: str) -> tuple[int, int] | None:
    """Return start and end of the first card number in ``text``; None where there is none."""
    if not _has_enough_digits(text):
        return None
    for run in _UUID_OR_RUN.finditer(text):
        if run["uuid"] is None and (found := _card_in_run(text, run.start(), run.end())) is not None:
            return found
    return None


def refuse_card_data(value: object, *, allowed: frozenset[str] = CARD_NUMBER_FIELDS) -> None:
    """Raise CardDataRefused where a card number stands anywhere in a request outside of the ``allowed`` fields.

    Looks at texts, numbers and keys inside mappings and lists. Fields are named as in forms, ``metadata[note]``,
    items of a list by position, ``items[0][name]``; in an error never the value. Raises InvalidRequest
    ``nested_too_deep`` past ``DEPTH_MAX`` levels.
    """
    if not _is_suspect(value, 0):
        return
    for path, text in _texts(value, "", 0):
        if path not in allowed and find_card_number(text) is not None:
            raise CardDataRefused(path)


def _has_enough_digits(text: str) -> bool:
    """Return False where ``text`` cannot hold a card number; cheap, for it is asked of every text there is."""
    if len(text) < DIGITS_MIN:
        return False
    if not text.isascii():
        return True
    return len(text) - len(text.encode().translate(None, _DIGITS)) >= DIGITS_MIN


def _is_suspect(value: object, depth: int) -> bool:
    """Return whether a closer look is due: some text has enough digits for a card number."""
    if isinstance(value, str):
        return _has_enough_digits(value)
    if isinstance(value, dict):
        _check_depth(depth)
        for key, item in value.items():
            # Short texts are most of what there is: they do not pay for a call.
            if (type(key) is not str or len(key) >= DIGITS_MIN) and _is_suspect(key, depth + 1):
                return True
            if (type(item) is not str or len(item) >= DIGITS_MIN) and _is_suspect(item, depth + 1):
                return True
        return False
    if isinstance(value, list | tuple):
        _check_depth(depth)
        return any(_is_suspect(item, depth + 1) for item in value)
    return isinstance(value, int | float) and _NUMBER_MIN <= abs(value) < _NUMBER_MAX


def _texts(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield every text of a request with its path; a key, which may be the card number itself, as ``path[]``."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        _check_depth(depth)
        for key, item in value.items():
            name = str(key)
            yield f"{path}[]", name
            inner = f"{path}[{name[:KEY_CHARS_SHOWN_MAX]}]" if path else name[:KEY_CHARS_SHOWN_MAX]
            yield from _texts(item, inner, depth + 1)
    elif isinstance(value, list | tuple):
        _check_depth(depth)
        for position, item in enumerate(value):
            yield from _texts(item, f"{path}[{position}]", depth + 1)
    elif isinstance(value, int | float) and _NUMBER_MIN <= abs(value) < _NUMBER_MAX:
        yield path, str(int(abs(value)))


def _check_depth(depth: int) -> None:
    if depth >= DEPTH_MAX:
        raise InvalidRequest("nested_too_deep", f"a request has at most {DEPTH_MAX} levels")


def _card_in_run(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the card number in a run of digit groups: some neighbouring whole groups, read as one number."""
    digits = ""
    starts: list[tuple[int, int]] = []
    ends: dict[int, int] = {}
    for group in _GROUP.finditer(text, start, end):
        starts.append((len(digits), group.start()))
        digits += _ascii(group[0])
        ends[len(digits)] = group.end()
    for offset, first in starts:
        known = range_of(digits[offset : offset + PREFIX_DIGITS_MAX])
        for length in () if known is None else known.lengths:
            last = ends.get(offset + length)
            if last is None or not is_luhn_valid(number := digits[offset : offset + length]):
                continue
            if not (
                _is_inside_mixed_word(text, first, last) or _is_look_alike(number, text[last : last + 1])
            ):
                return first, last
    return None


def _is_inside_mixed_word(text: str, start: int, end: int) -> bool:
    """Return whether the word around holds further digits: an id or a hash, of which these are a part."""
    before = text[max(start - _WORD_CHARS_MAX, 0) : start]
    after = text[end : end + _WORD_CHARS_MAX]
    return _MIXED_BEFORE.search(before) is not None or _MIXED_AFTER.match(after) is not None


def _is_look_alike(digits: str, after: str) -> bool:
    """Return whether the digits, with the character ``after`` them, have a check of another kind that is right."""
    if len(digits) == 13:
        return _is_bar_code(digits)
    if len(digits) == 17:
        return after in {"X", "x"} and _is_resident_id(digits + "X")
    return len(digits) == 18 and _is_resident_id(digits)


def _is_bar_code(digits: str) -> bool:
    """Return whether 13 digits are an article number (EAN-13, ISO/IEC 15420)."""
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


def _is_resident_id(text: str) -> bool:
    """Return whether 18 characters are a resident id of China: a day of birth, a right check (GB 11643-1999)."""
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text, _RESIDENT_WEIGHTS, strict=False))
    return 1900 <= born.year < 2100 and _RESIDENT_CHECKS[total % 11] == text[17]


def _ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)
