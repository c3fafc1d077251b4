"""What a transfer must look like by itself, and what makes two say the same. Pure; no account is looked at.

A malformed transfer is refused here, alone, so that nothing which the database driver cannot write ever reaches
a batch that others share.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tongbao.core.ids import derive
from tongbao.ledger.schema import (
    AMOUNT_MINOR_MAX,
    CODE_CHARS_MAX,
    GROUP_SIZE_MAX,
    REFERENCE_CHARS_MAX,
    JournalRow,
    Kind,
    Refusal,
    Transfer,
)

_CODE = re.compile(rf"[a-z0-9_.]{{1,{CODE_CHARS_MAX}}}\Z")
_known_codes: set[str] = set()
_KNOWN_CODES_MAX = 10_000
_INT8_MIN, _INT8_MAX = -(2**63), 2**63 - 1
_INT4_MIN, _INT4_MAX = -(2**31), 2**31 - 1
_TAKES_AMOUNT_FROM_ROW = frozenset({Kind.VOID, Kind.EXPIRY, Kind.REVERSAL})
_ON_HOLD = frozenset({Kind.CAPTURE, Kind.VOID, Kind.EXPIRY})
# Spaces that people type and that Python does not count as printable: no-break and ideographic.
_SPACES = str.maketrans({"\u00a0": " ", "\u3000": " "})


def malformed(t: Transfer) -> tuple[Refusal, str] | None:
    """Return why a transfer can be refused by itself, without looking at any account; None where it is sound."""
    kind = t.kind
    if kind is Kind.PLAIN and _is_simple(t):
        return None
    if not _is_typed(t):
        return Refusal.FIELDS_INVALID, "ids, amounts, codes and instants are of their types and in range"
    if kind in _TAKES_AMOUNT_FROM_ROW or (kind is Kind.CAPTURE and t.final and t.amount_minor == 0):
        if t.amount_minor != 0:
            return Refusal.FIELDS_INVALID, f"a {kind.name.lower()} takes its amount from the row it refers to"
    elif t.amount_minor <= 0:
        return Refusal.AMOUNT_NOT_POSITIVE, f"amount {t.amount_minor} is not positive"
    if t.amount_minor > AMOUNT_MINOR_MAX:
        return Refusal.AMOUNT_TOO_LARGE, f"amount {t.amount_minor} exceeds {AMOUNT_MINOR_MAX}"
    if (kind is Kind.PLAIN or kind is Kind.HOLD) and t.debit_account_id == t.credit_account_id:
        return Refusal.SAME_ACCOUNT, "debit and credit account are the same"
    if t.code not in _known_codes and not _learn_code(t.code):
        return Refusal.CODE_INVALID, f"a code is 1 to {CODE_CHARS_MAX} of a-z, 0-9, _ and ."
    if t.reference is not None and not _is_reference(t.reference):
        return Refusal.REFERENCE_TOO_LONG, f"a reference is 1 to {REFERENCE_CHARS_MAX} printable characters"
    if (t.occurred_at is not None and not _is_instant(t.occurred_at)) or (
        t.expires_at is not None and not _is_instant(t.expires_at)
    ):
        return Refusal.TIME_INVALID, "an instant needs a time zone and a year that every zone has"
    if kind is not Kind.PLAIN or t.refers_to is not None or t.expires_at is not None or t.final:
        return _misfitted(t)
    return None


def spans(items: Sequence[Transfer]) -> Iterator[tuple[int, int]]:
    """Yield the half-open ranges of items that stand or fall together; a group begins at its leader."""
    start = 0
    while start < len(items):
        group = items[start].group_key
        end = start + 1
        if group is not None:
            while end < len(items) and items[end].group_key == group and items[end].key != group:
                end += 1
        yield start, end
        start = end


def misplaced_in_groups(items: Sequence[Transfer]) -> dict[int, tuple[Refusal, str]]:
    """Return, by index, the members of groups that are torn apart, leaderless, doubled or too large in a call."""
    refused: dict[int, tuple[Refusal, str]] = {}
    seen: dict[UUID, list[int]] = {}
    torn: set[UUID] = set()
    for start, end in spans(items):
        group = items[start].group_key
        if group is None:
            continue
        if group in seen or items[start].key != group:
            torn.add(group)
        seen.setdefault(group, []).extend(range(start, end))
    for group, indexes in seen.items():
        if group in torn:
            reason = (Refusal.GROUP_SPLIT, "a group stands together, once, and begins with its namesake")
        elif len(indexes) > GROUP_SIZE_MAX:
            reason = (Refusal.GROUP_TOO_LARGE, f"a group has at most {GROUP_SIZE_MAX} transfers")
        else:
            continue
        refused.update(dict.fromkeys(indexes, reason))
    return refused


def same_content(t: Transfer, stored: JournalRow, group_size: int | None) -> bool:
    """Tell whether a request says the same as the row that its key already names.

    The row itself is the fingerprint: every field that the caller gave is compared, nothing is hashed away.
    """
    if (t.kind, t.code, t.reference, t.refers_to) != (
        stored.kind,
        stored.code,
        stored.reference,
        stored.refers_to,
    ):
        return False
    if (t.group_key, group_size) != (stored.group_key, stored.group_size):
        return False
    if t.occurred_at is not None and t.occurred_at != stored.occurred_at:
        return False
    if t.kind is Kind.PLAIN or t.kind is Kind.HOLD:
        asked = stored.amount_minor if stored.requested_minor is None else stored.requested_minor
        return (
            t.debit_account_id == stored.debit_account_id
            and t.credit_account_id == stored.credit_account_id
            and t.asset_id == stored.asset_id
            and t.amount_minor == asked
            and t.up_to is (stored.requested_minor is not None)
            and t.expires_at == stored.expires_at
        )
    if t.kind is Kind.CAPTURE:
        asked_all = t.amount_minor == 0 and stored.amount_minor == stored.released_minor
        same_amount = asked_all or t.amount_minor == stored.amount_minor
        return same_amount and t.final is (stored.released_minor is not None)
    return True


def _is_simple(t: Transfer) -> bool:
    """Tell whether a plain transfer is sound at first sight, as nearly all are; others are looked at closely."""
    return (
        t.reference is t.occurred_at is t.refers_to is t.expires_at is None  # type: ignore[comparison-overlap]  # all None
        and not t.final
        and type(t.amount_minor) is type(t.debit_account_id) is type(t.credit_account_id) is int
        and type(t.book_id) is type(t.asset_id) is int
        and 0 < t.amount_minor <= AMOUNT_MINOR_MAX
        and 0 < t.debit_account_id <= _INT8_MAX
        and 0 < t.credit_account_id <= _INT8_MAX
        and 0 < t.book_id <= _INT8_MAX
        and 0 < t.asset_id <= _INT4_MAX
        and t.debit_account_id != t.credit_account_id
        and type(t.key) is UUID
        and type(t.code) is str
        and t.code in _known_codes
        and (t.group_key is None or isinstance(t.group_key, UUID))
    )


def _is_typed(t: Any) -> bool:
    """Tell whether the fields are what their types promise and fit their columns.

    One that is not would make the driver fail on everything that shares its batch.
    """
    return (
        type(t.amount_minor) is type(t.asset_id) is int
        and type(t.debit_account_id) is type(t.credit_account_id) is type(t.book_id) is int
        and _INT8_MIN <= t.debit_account_id <= _INT8_MAX
        and _INT8_MIN <= t.credit_account_id <= _INT8_MAX
        and _INT8_MIN <= t.book_id <= _INT8_MAX
        and _INT4_MIN <= t.asset_id <= _INT4_MAX
        and type(t.kind) is Kind
        and type(t.code) is str
        and isinstance(t.key, UUID)
        and (t.reference is None or type(t.reference) is str)
        and (t.refers_to is None or isinstance(t.refers_to, UUID))
        and (t.group_key is None or isinstance(t.group_key, UUID))
        and (t.occurred_at is None or isinstance(t.occurred_at, datetime))
        and (t.expires_at is None or isinstance(t.expires_at, datetime))
    )


def _is_instant(at: datetime) -> bool:
    """Tell whether an instant has a zone and can be turned into UTC, which year 1 and 9999 of other zones cannot."""
    return at.tzinfo is UTC or (at.utcoffset() is not None and 1 < at.year < 9999)


def _learn_code(code: str) -> bool:
    """Tell whether a code is well-formed, remembering those that are: the same few come again and again."""
    if not _CODE.match(code):
        return False
    if len(_known_codes) < _KNOWN_CODES_MAX:
        _known_codes.add(code)
    return True


def _is_reference(reference: str) -> bool:
    return 0 < len(reference) <= REFERENCE_CHARS_MAX and reference.translate(_SPACES).isprintable()


def _misfitted(t: Transfer) -> tuple[Refusal, str] | None:
    """Return why fields do not fit the kind of transfer they stand on."""
    if (t.refers_to is None) is (t.kind in _ON_HOLD or t.kind is Kind.REVERSAL):
        return Refusal.FIELDS_INVALID, f"refers_to does not fit a {t.kind.name.lower()}"
    if t.kind is Kind.REVERSAL and t.refers_to is not None and t.key != derive(t.refers_to, "reversal"):
        return (
            Refusal.FIELDS_INVALID,
            "the key of a reversal is derived from its original's, so that there is one",
        )
    if t.expires_at is not None and t.kind is not Kind.HOLD:
        return Refusal.FIELDS_INVALID, "only a hold expires"
    if t.final and t.kind is not Kind.CAPTURE:
        return Refusal.FIELDS_INVALID, "only a capture can be final"
    if t.up_to and t.kind is not Kind.PLAIN:
        return Refusal.FIELDS_INVALID, "only a plain transfer can be balancing"
    return None
