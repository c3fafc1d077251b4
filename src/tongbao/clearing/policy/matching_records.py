"""Records of one side as columns, so that a million of them fit in memory and are compared in a few passes. Pure numpy.

References are bytes of one width (``S``), dates days since 1970-01-01, kinds and currencies small numbers into lists that both
sides share. Columns are never changed.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import msgspec
import numpy as np
import numpy.typing as npt

from tongbao.clearing.schema.breaks import Expected, Reported
from tongbao.core.errors import InvalidRequest

Ints = npt.NDArray[np.int64]
Days = npt.NDArray[np.int32]
Small = npt.NDArray[np.int16]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.bytes_]

REFERENCE_CHARS_MAX = 120
UNKNOWN_DAY = np.iinfo(np.int32).min
_EPOCH = date(1970, 1, 1).toordinal()


class Records(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The records of one side, arrays (n,). Amounts and fees are signed minor units of ``currency``.

    ``on``: the business day, ``UNKNOWN_DAY`` where it is not told; ``due_on``: of expected records, the last day on which
    absence is no surprise. ``fee`` counts where ``has_fee``.
    """

    kind: Small
    currency: Small
    amount: Ints
    reference: Texts
    channel_reference: Texts
    group: Texts
    on: Days
    due_on: Days
    fee: Ints
    has_fee: Flags

    def __len__(self) -> int:
        return len(self.amount)


class Words:
    """The kinds and currencies that both sides speak of, each with its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        """Return the number of a word, a new one for a new word; raise InvalidRequest ``words_too_many`` past 32,000."""
        found = self._numbers.get(text)
        if found is None:
            if len(self.texts) >= np.iinfo(np.int16).max:
                raise InvalidRequest(
                    "words_too_many", "so many kinds or currencies are no kinds or currencies"
                )
            found = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return found


def day_number(on: date | None) -> int:
    """Return a date as days since 1970-01-01."""
    return int(UNKNOWN_DAY) if on is None else on.toordinal() - _EPOCH


def day_of(number: int) -> date | None:
    """Return the date of a number."""
    return None if number == UNKNOWN_DAY else date.fromordinal(number + _EPOCH)


def texts(values: Iterable[str]) -> Texts:
    """Return references as bytes; raise InvalidRequest ``reference_too_long`` above 120 bytes: nothing is cut off."""
    encoded = [value.encode() for value in values]
    if any(len(each) > REFERENCE_CHARS_MAX for each in encoded):
        raise InvalidRequest("reference_too_long", f"a reference has at most {REFERENCE_CHARS_MAX} bytes")
    return np.array(encoded, dtype=np.bytes_) if encoded else np.array([], dtype="S1")


def of_expected(records: Sequence[Expected], words: Words) -> Records:
    """Return the columns of what our books say; see ``schema.breaks.Expected``."""
    return _columns(records, [day_number(each.due_on) for each in records], words)


def of_reported(records: Sequence[Reported], words: Words) -> Records:
    """Return the columns of what somebody reports."""
    return _columns(records, [0] * len(records), words)


def _columns(records: Sequence[Expected] | Sequence[Reported], due: list[int], words: Words) -> Records:
    return Records(
        kind=np.array([words.number(each.kind) for each in records], dtype=np.int16),
        currency=np.array([words.number(each.currency) for each in records], dtype=np.int16),
        amount=np.array([each.amount_minor for each in records], dtype=np.int64),
        reference=texts(each.reference for each in records),
        channel_reference=texts(each.channel_reference for each in records),
        group=texts(each.group for each in records),
        on=np.array([day_number(each.on) for each in records], dtype=np.int32),
        due_on=np.array(due, dtype=np.int32),
        fee=np.array([each.fee_minor or 0 for each in records], dtype=np.int64),
        has_fee=np.array([each.fee_minor is not None for each in records], dtype=np.bool_),
    )
