"""Interchange-like tables: lines of CSV as schemes and acquirers publish them, read into charges that the house bears.

Columns, by name in the first line: ``brand``, ``funding``, ``region`` (empty: any), ``rate`` (percent, as ``0.2`` or
``0.0325``), ``fixed`` and ``cap`` (major units of the currency, empty: none), ``currency`` (empty: any). The first line
that fits a payment counts, as among charges of one name, so the special stands above the general.

A refused line raises InvalidRequest ``fee_table_invalid`` with the facts ``line`` (of the file, from 1) and ``column``.
"""

import csv
import re
from collections.abc import Mapping

from tongbao.clearing.policy.fee_checks import FUNDINGS, check_spec
from tongbao.clearing.policy.fee_regions import REGIONS
from tongbao.clearing.schema.fees import (
    CHARGES_MAX,
    RATE_WHOLE,
    Basis,
    Bearer,
    Charge,
    Match,
    ScheduleSpec,
    Tier,
)
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money

COLUMNS = ("brand", "funding", "region", "rate", "fixed", "cap", "currency")
TABLE_CHARS_MAX = 200_000
CARD = "card"
_RATE = re.compile(r"(?P<whole>[0-9]{1,3})(?:\.(?P<rest>[0-9]{1,4}))?\s*%?")
_BRAND = re.compile(r"[a-z0-9_]{1,64}")


def charges_of_table(text: str, name: str = "interchange") -> tuple[Charge, ...]:
    """Return the charges of a table, in its order, all under one ``name``; a byte order mark is passed over.

    Raises InvalidRequest ``fee_table_invalid``, or ``schedule_invalid`` for a line that those above it leave nothing.
    """
    if len(text) > TABLE_CHARS_MAX:
        raise _invalid(1, "", f"at most {TABLE_CHARS_MAX} characters")
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _invalid(reader.line_num, "", str(error)) from None
    if not rows:
        raise _invalid(1, "", "the table is empty")
    head = tuple(cell.strip().lower() for cell in rows[0][1])
    if sorted(head) != sorted(COLUMNS):
        raise _invalid(rows[0][0], "", f"the columns are {', '.join(COLUMNS)}")
    if not 1 < len(rows) <= CHARGES_MAX + 1:
        raise _invalid(rows[-1][0], "", f"from 1 to {CHARGES_MAX} lines")
    charges = tuple(_charge(line, _cells(line, head, row), name) for line, row in rows[1:])
    check_spec(ScheduleSpec(charges=charges))
    return charges


def _cells(line: int, head: tuple[str, ...], row: list[str]) -> dict[str, str]:
    if len(row) != len(head):
        raise _invalid(line, "", f"{len(row)} cells for {len(head)} columns")
    return {column: cell.strip() for column, cell in zip(head, row, strict=True)}


def _charge(line: int, cells: Mapping[str, str], name: str) -> Charge:
    for column, allowed in (("funding", FUNDINGS), ("region", REGIONS)):
        if cells[column] and cells[column] not in allowed:
            raise _invalid(line, column, f"empty, or one of {', '.join(sorted(allowed))}")
    if cells["brand"] and not _BRAND.fullmatch(cells["brand"]):
        raise _invalid(line, "brand", "small letters, digits and _")
    match = Match(
        methods=(CARD,),
        brands=_one(cells["brand"]),
        fundings=_one(cells["funding"]),
        regions=_one(cells["region"]),
        currencies=_one(cells["currency"]),
    )
    fixed, cap = _minor(line, cells, "fixed"), _minor(line, cells, "cap")
    return Charge(
        name=name,
        bearer=Bearer.HOUSE,
        basis=Basis.AMOUNT,
        match=match,
        tiers=(Tier(rate_e6=_rate(line, cells["rate"]), fixed_minor=fixed),),
        max_minor=cap,
    )


def _one(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def _rate(line: int, text: str) -> int:
    found = _RATE.fullmatch(text)
    if found is None:
        raise _invalid(line, "rate", "a rate in percent with up to 4 decimals, such as 0.2")
    rate = int(found["whole"]) * 10_000 + int((found["rest"] or "").ljust(4, "0"))
    if rate > RATE_WHOLE:
        raise _invalid(line, "rate", "at most 100 %")
    return rate


def _minor(line: int, cells: Mapping[str, str], column: str) -> dict[str, int]:
    text, currency = cells[column], cells["currency"]
    if not currency:
        if text:
            raise _invalid(line, column, "an amount needs a currency")
        return {}
    try:
        amount = Money.of_major(text or "0", currency).amount_minor
    except InvalidRequest as error:
        where = "currency" if error.code.startswith("currency") else column
        raise _invalid(line, where, error.detail) from None
    if amount < 0:
        raise _invalid(line, column, "an amount is not negative")
    return {currency: amount} if text and (amount or column == "cap") else {}


def _invalid(line: int, column: str, reason: str) -> InvalidRequest:
    where = f"line {line}, {column}" if column else f"line {line}"
    return InvalidRequest("fee_table_invalid", f"{where}: {reason}", line=line, column=column, reason=reason)
