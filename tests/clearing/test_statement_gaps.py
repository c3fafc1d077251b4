"""Missing statements as facts alone: numbers, balances and silent days, of files that hold one statement, several or none."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.clearing.ledgers_of_others import plain_days

from tongbao.clearing.policy.statement_gaps import gaps_of
from tongbao.clearing.schema.lines import (
    Balance,
    FileState,
    Format,
    Header,
    Side,
    SourceFile,
    SourceTerms,
    Told,
)

DAY = date(2026, 11, 2)
TERMS = SourceTerms(source="bank", side=Side.BANK, format=Format.CAMT_053, report_days=1)
UNTIL = DAY + timedelta(days=9)


def file(**header: Any) -> SourceFile:
    """A file with this header."""
    plain: dict[str, Any] = {"source": "bank", "format": Format.CAMT_053, "side": Side.BANK}
    return SourceFile(
        id=UUID(int=1),
        name="file",
        digest=b"",
        size_bytes=1,
        header=Header(**(plain | header)),
        state=FileState.READ,
        received_at=datetime(2026, 11, 3, tzinfo=UTC),
        received_by="mei",
    )


def told(number: int, opening: int, closing: int, **fields: Any) -> Told:
    """The statement of a number, one a day, with its balances."""
    on = DAY + timedelta(days=number)
    plain: dict[str, Any] = {
        "statement": f"S{number}",
        "sequence": number,
        "from_on": on,
        "until_on": on,
        "opening": Balance(currency="CNY", amount_minor=opening, on=on),
        "closing": Balance(currency="CNY", amount_minor=closing, on=on),
    }
    return Told(**(plain | fields))


def gaps(*files: SourceFile, until: date = DAY, **terms: Any) -> list[str]:
    """What is missing, by its name."""
    agreed = {"is_daily": False} | terms
    fields = {name: getattr(TERMS, name) for name in SourceTerms.__struct_fields__}
    found = gaps_of(files, SourceTerms(**(fields | agreed)), until, lambda on, days: plain_days((), on, days))
    return [facts["gap"] for _, facts in found]


def test_gap_between_two_statements_of_one_file_is_found() -> None:
    one = file(statements=(told(1, 0, 100), told(3, 250, 300)))
    assert gaps(one) == [f"balance:{DAY + timedelta(days=3)}", "sequence:2-2"]
    assert gaps(one, file(statements=(told(2, 100, 250),))) == []


def test_statement_that_comes_again_in_another_file_is_no_gap() -> None:
    week = file(statements=(told(1, 0, 100), told(2, 100, 250)))
    assert gaps(week, file(statements=(told(2, 100, 250), told(3, 250, 300)))) == []


def test_statement_that_comes_anew_takes_the_place_of_the_first() -> None:
    wrong = file(statements=(told(1, 0, 100), told(2, 100, 240), told(3, 250, 300)))
    assert gaps(wrong) == [f"balance:{DAY + timedelta(days=3)}"]
    assert gaps(wrong, file(statements=(told(2, 100, 250, statement="S2b"),))) == []


def test_pages_of_a_statement_follow_each_other() -> None:
    pages = (told(1, 0, 60, page=1), told(1, 60, 100, page=2))
    assert gaps(file(statements=pages[::-1]), file(statements=(told(2, 100, 90),))) == []


def test_accounts_and_currencies_are_numbered_by_themselves() -> None:
    euro = Balance(currency="EUR", amount_minor=7, on=DAY)
    other = msgspec.structs.replace(told(4, 0, 0), opening=euro, closing=euro)
    third = told(6, 5, 5, account="****0001")
    assert gaps(file(statements=(told(1, 0, 100), other, third, told(2, 100, 90)))) == []


def test_file_without_lines_that_is_of_a_day_is_the_statement_of_that_day() -> None:
    days = [file(from_on=DAY + timedelta(days=n), until_on=DAY + timedelta(days=n)) for n in range(3)]
    assert gaps(*days, until=DAY + timedelta(days=4), is_daily=True) == []
    without = [days[0], file(), days[2]]
    assert gaps(*without, until=DAY + timedelta(days=4), is_daily=True) == [f"day:{DAY + timedelta(days=1)}"]


@pytest.mark.parametrize("form", [Format.CAMT_053, Format.NOTICE])
def test_notices_are_nobodys_statement(form: Format) -> None:
    notice = file(format=form, from_on=DAY + timedelta(days=1), until_on=DAY + timedelta(days=1))
    found = gaps(file(from_on=DAY, until_on=DAY), notice, until=DAY + timedelta(days=3), is_daily=True)
    assert found == ([f"day:{DAY + timedelta(days=1)}"] if form is Format.NOTICE else [])
