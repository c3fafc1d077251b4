"""The fields of MT940: balances, statement lines and what is told to their owner.

Source: SWIFT, Standards MT, category 9, MT940 Customer Statement Message; codes of reversal (RC, RD) and of field 86.
"""

import re
from datetime import date

import msgspec

from tongbao.clearing.adapters.amounts import exponent_of, minor_of
from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import Balance, LineKind

_ENTRY = re.compile(
    r"(?P<value>[0-9]{6})(?P<booked>[0-9]{4})?(?P<mark>[RE]?[CD])(?P<funds>[A-Z])?(?P<amount>[0-9]{1,15},[0-9]{0,4})"
    r"(?P<type>[NFS][A-Z0-9]{3})(?P<ours>.{0,35}?)(?://(?P<theirs>.{0,35}))?"
)
_BALANCE = re.compile(
    r"(?P<mark>[CD])(?P<on>[0-9]{6})(?P<currency>[A-Z]{3})(?P<amount>[0-9]{1,15},[0-9]{0,4})"
)
_SUBFIELD = re.compile(r"\?[0-9]{2}")
_END_TO_END = (
    re.compile(r"/EREF/\s*(?P<id>[^/\n]{1,35})"),
    re.compile(r"EREF\+\s*(?P<id>\S{1,35}?)\s*(?=[A-Z]{4}\+|$)"),
)
_BACK = re.compile(r"/(?:RETN|REJT|RTRN)/")
_NO_REFERENCE = frozenset({"NONREF", "NOTPROVIDED", ""})
_CHARGES = frozenset({"CHG", "COM"})
_RETURNED = frozenset({"RTI", "RET"})
_DIRECT_DEBIT = "DDT"
_EXPECTED = "E"
_REVERSED = "R"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A statement line. ``signed_minor``: as it stands on the account. ``is_booked``: it is no mere expectation."""

    signed_minor: int
    is_booked: bool
    kind: LineKind
    booked_on: date
    value_on: date
    reference: str
    theirs: str


def entry_of(field: str, told: str, currency: str, instants: Instants) -> Entry:
    """Return what fields 61 (its first line) and 86 say; raise Unfit."""
    found = _ENTRY.fullmatch(field.partition("\n")[0].rstrip())
    if found is None:
        raise Unfit("entry_malformed", "field 61 is a date, a mark, an amount and a type", ":61:", field)
    mark, kind_code = found["mark"], found["type"][1:]
    minor = amount_of(found["amount"], currency, ":61:")
    signed = minor if mark in {"C", "RD", "EC"} else -minor
    value_on = day_of(found["value"], instants, ":61:")
    is_back = mark.startswith(_REVERSED) or kind_code in _RETURNED or _BACK.search(told) is not None
    ours, theirs = (found["ours"] or "").strip(), (found["theirs"] or "").strip()
    return Entry(
        signed_minor=signed,
        is_booked=not mark.startswith(_EXPECTED),
        kind=_kind(signed, kind_code, is_back),
        booked_on=_near(found["booked"], value_on, instants),
        value_on=value_on,
        reference=_end_to_end(told) or ("" if ours in _NO_REFERENCE else ours),
        theirs="" if theirs in _NO_REFERENCE else theirs,
    )


def balance_of(field: str, instants: Instants) -> Balance:
    """Return what a field 60 or 62 says; raise Unfit."""
    found = _BALANCE.fullmatch(field.strip())
    if found is None:
        raise Unfit("balance_malformed", "a balance is a mark, a date, a currency and an amount", value=field)
    minor = amount_of(found["amount"], found["currency"], "balance")
    return Balance(
        currency=found["currency"],
        amount_minor=minor if found["mark"] == "C" else -minor,
        on=day_of(found["on"], instants, "balance"),
    )


def amount_of(text: str, currency: str, column: str) -> int:
    """Return the minor units of ``1234,5``, whose comma must stand and whose decimals need not; raise Unfit."""
    return minor_of(
        text.replace(",", ".").removesuffix("."), exponent_of(currency, column), column, pads=True
    )


def decimals_of(field: str) -> int:
    """Return how many decimals the amount at the end of a field has, -1 without a comma: fewer than usual may have been cut."""
    _whole, comma, decimals = field.strip().rpartition(",")
    return len(decimals) if comma else -1


def day_of(text: str, instants: Instants, column: str) -> date:
    """Return the date of six digits, of this century; raise Unfit."""
    return instants.day(f"20{text[:2]}-{text[2:4]}-{text[4:6]}", column)


def plain(told: str) -> str:
    """Return what field 86 tells without the numbers of its parts."""
    return _SUBFIELD.sub("", told.replace("\n", "")) if "?" in told else told.replace("\n", "")


def _near(text: str | None, value_on: date, instants: Instants) -> date:
    """Return the day of booking, month and day only, in the year that is nearest to the day of value."""
    if not text:
        return value_on
    found: list[date] = []
    for year in (value_on.year - 1, value_on.year, value_on.year + 1):
        try:
            found.append(instants.day(f"{year}-{text[:2]}-{text[2:]}", ":61:"))
        except Unfit:
            continue
    if not found:
        raise Unfit("date_malformed", "month and day of booking", ":61:", text)
    return min(found, key=lambda on: abs((on - value_on).days))


def _end_to_end(told: str) -> str:
    text = plain(told)
    for pattern in _END_TO_END:
        if found := pattern.search(text):
            name = found["id"].strip()
            return "" if name in _NO_REFERENCE else name
    return ""


def _kind(signed: int, code: str, is_back: bool) -> LineKind:
    if code in _CHARGES:
        return LineKind.FEE
    if signed >= 0:
        return LineKind.RETURN if is_back else LineKind.TRANSFER
    return LineKind.TRANSFER if is_back or code == _DIRECT_DEBIT else LineKind.PAYOUT
