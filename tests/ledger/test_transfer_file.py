"""What one line of a transfer file says, and how files become rows."""

import io
from pathlib import Path
from uuid import UUID

import pytest

from tongbao.core.ids import derive, uuid_text
from tongbao.ledger import transfer_rows
from tongbao.ledger.errors import BadTransferFile
from tongbao.ledger.schema import AccountId, BookId, Transfer
from tongbao.ledger.transfer_file import (
    Columns,
    Name,
    Place,
    Problem,
    Row,
    draft,
    import_id_of,
    key_of,
    link,
    parse_amount,
    parse_minor,
    sniffed_delimiter,
)

HEADER = ["book", "debit", "credit", "asset", "amount", "code", "key", "reference", "occurred_at", "group"]
COLUMNS = Columns(HEADER)
IMPORT = import_id_of(bytes(range(32)))
PLACES: dict[Name, Place | Problem] = {
    ("b", "x", "CNY"): Place(BookId(1), AccountId(2), 156, 2),
    ("b", "y", "CNY"): Place(BookId(1), AccountId(3), 156, 2),
    ("b", "gone", "CNY"): Problem("account_unknown", "no account gone"),
}


def read(content: bytes, name: str = "t.csv") -> list[Row]:
    source = transfer_rows.open_rows(io.BytesIO(content), Path(name))
    return [row for block in source.blocks for row in block.rows]


def line(**fields: str) -> Row:
    values = {"book": "b", "debit": "x", "credit": "y", "asset": "CNY", "amount": "1", "code": "c"} | fields
    return Row(7, [values.get(name, "") for name in HEADER])


def one(row: Row) -> Transfer | Problem:
    return draft([row], COLUMNS, PLACES, IMPORT)[0]


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [
        ("12.34", 2, 1234),
        ("12", 2, 1200),
        ("12.3", 2, 1230),
        ("0.07", 2, 7),
        ("-0.07", 2, -7),
        ("5", 0, 5),
        ("1.234", 3, 1234),
        ("0.000000000000000001", 18, 1),
        ("90071992547409.91", 2, 9007199254740991),
        ("00.50", 2, 50),
    ],
)
def test_amount_in_major_units_is_read_exactly(text: str, scale: int, minor: int) -> None:
    assert parse_amount(text, scale) == minor


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("1.234", "amount_too_precise"),
        ("1.200", "amount_too_precise"),
        *(
            (bad, "amount_malformed")
            for bad in ("", "-", ".", ".5", "5.", "-.5", "1,5", "1 000", "+1", "1e3", "--1")
        ),
        *(
            (bad, "amount_malformed")
            for bad in ("1_0", "１", "٣", "NaN", "inf", "0x1", "1.2.3", "1.-2", "²", "9" * 41)
        ),
    ],
)
def test_amount_that_is_no_plain_number_is_a_problem(text: str, refusal: str) -> None:
    found = parse_amount(text, 2)
    assert isinstance(found, Problem)
    assert found.refusal == refusal


def test_minor_units_are_whole_numbers_only() -> None:
    assert (parse_minor("120"), parse_minor("-5"), parse_minor("007")) == (120, -5, 7)
    assert all(
        isinstance(parse_minor(bad), Problem) for bad in ("", "1.0", "1_0", "+1", "１", " 1", "9" * 5000)
    )


def test_line_with_everything_becomes_a_transfer() -> None:
    key = UUID("01890000-0000-7000-8000-000000000001")
    found = one(line(key=uuid_text("tr", key), reference="r", occurred_at="2026-01-01T08:00:00+08:00"))
    assert isinstance(found, Transfer)
    assert (found.key, found.reference, found.amount_minor) == (key, "r", 100)
    assert found.occurred_at is not None
    assert found.occurred_at.isoformat() == "2026-01-01T00:00:00+00:00"
    assert one(line(key=str(key))) == one(line(key=str(key).upper()))


def test_line_without_key_has_the_one_of_its_number() -> None:
    found = one(line())
    assert isinstance(found, Transfer)
    assert found.key == derive(IMPORT, "7") == key_of(line(), COLUMNS, IMPORT)
    assert found.key.version == 7
    assert found.reference is None


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"debit": "gone"}, "account_unknown"),
        ({"credit": "gone"}, "account_unknown"),
        ({"amount": "much"}, "amount_malformed"),
        *(
            ({"key": bad}, "key_malformed")
            for bad in ("1", "tr_", "x" * 36, "0189_000-0000-7000-8000-000000000001")
        ),
        *(
            ({"occurred_at": bad}, "time_invalid")
            for bad in ("now", "2026-01-01", "2026-01-01T00:00:00", "17")
        ),
        ({"occurred_at": "9999-12-31T23:59:59-12:00"}, "time_invalid"),
        ({"occurred_at": "0001-01-01T00:00:00+12:00"}, "time_invalid"),
    ],
)
def test_line_that_cannot_be_understood_is_a_problem(fields: dict[str, str], refusal: str) -> None:
    found = one(line(**fields))
    assert isinstance(found, Problem)
    assert found.refusal == refusal


@pytest.mark.parametrize(
    "header",
    [
        "book,debit,credit,asset,amount",
        "book,debit,credit,asset,code",
        "book,debit,credit,asset,code,amount,amount_minor",
        "book,debit,credit,asset,code,amount,memo",
        "book,debit,credit,asset,code,amount,book",
        "book,debit,credit,asset,code,amount,",
        "",
    ],
)
def test_header_that_does_not_fit_is_refused(header: str) -> None:
    with pytest.raises(BadTransferFile):
        Columns(header.split(","))


def test_delimiter_is_found_by_known_columns() -> None:
    names = ["book", "debit", "amount"]
    for delimiter in (",", ";", "\t"):
        assert sniffed_delimiter(delimiter.join(names)) == delimiter
    assert sniffed_delimiter("nothing") == ","


HEAD = b"book,debit,credit,asset,amount,code\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\xff\xfeb\0o\0",
        b"PK\x03\x04xxxx",
        b"\x1f\x8b\x08xxxx",
        b"b\0ook,debit\n",
        b"book,debit\xff\n",
        b"x" * 100_000,
        b'"book,debit\n',
        HEAD.replace(b"\n", b"\r") * 3,
        b"PAR1 but no Parquet",
    ],
)
def test_file_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(BadTransferFile):
        read(content)


def test_every_line_comes_out_once_with_its_number() -> None:
    lines = [
        (b"b,x,y,CNY,1,c", None),
        (b"", "line_empty"),
        (b"b,x,y,CNY,1", "line_ragged"),
        (b"b,x,y,CNY,1,c,d", "line_ragged"),
        (b'b,x,y,CNY,1,"c', "line_badly_quoted"),
        (b'b,x,y,CNY,1,"a"b', "line_badly_quoted"),
        (b"b,x,y,CNY,1,\xff", "line_not_utf8"),
        (b"b,x,y,CNY,1,\xef\xbf\xbd", None),
        (b"b,x,y,CNY,1,a\0b", "line_has_nul"),
        (b"b,x,y,CNY,1,a\rb", "line_badly_quoted"),
        (b"b,x,y,CNY,1," + b"z" * 70_000, "line_too_long"),
        (b"b,x,y,CNY,1," + b"z" * 2_000_000, "line_too_long"),
        ('b,x,y,CNY,1,"通,宝 ""q"""'.encode(), None),
        (b"b,x,y,CNY,1,last", None),
    ]
    for end in (b"\n", b"\r\n"):
        rows = read(b"\xef\xbb\xbf" + end.join([HEAD.strip(), *(content for content, _ in lines)]))
        assert [row.line_no for row in rows] == list(range(2, len(lines) + 2))
        assert [row.problem and str(row.problem.refusal) for row in rows] == [refusal for _, refusal in lines]
        assert rows[-2].fields[-1] == '通,宝 "q"'
        assert max(len("".join(row.fields)) for row in rows) < transfer_rows.LINE_BYTES_MAX + 10


def test_blocks_of_a_long_file_are_bounded() -> None:
    source = transfer_rows.open_rows(io.BytesIO(HEAD + b"b,x,y,CNY,1,c\n" * 20_000), Path("t.csv"))
    blocks = list(source.blocks)
    assert [len(block.rows) for block in blocks] == [7_900, 7_900, 4_200]
    assert blocks[-1].bytes_done == len(HEAD) + 20_000 * 14


def grouped(*groups: str | None) -> tuple[list[Row], list[Transfer | Problem]]:
    """Lines of these groups; None is a line that cannot be read."""
    rows = [
        Row(no, ["?"], Problem("line_ragged", ""))
        if group is None
        else line(group=group)._replace(line_no=no)
        for no, group in enumerate(groups, 2)
    ]
    return rows, draft(rows, COLUMNS, PLACES, IMPORT)


def outcomes(*groups: str | None, oversize: str = "", after_unreadable: bool = False) -> list[object]:
    """The number of the leading line of each linked line, 0 for single ones, or the refusal."""
    rows, results = grouped(*groups)
    found = link(rows, results, COLUMNS, oversize=oversize, after_unreadable=after_unreadable)
    leaders = {derive(IMPORT, str(row.line_no)): row.line_no for row in rows}
    return [
        str(answer.refusal)
        if isinstance(answer, Problem)
        else leaders[answer.group_key]
        if answer.group_key
        else 0
        for answer in found
    ]


def test_consecutive_lines_of_one_group_are_linked() -> None:
    assert outcomes("", "g", "g", "h", "h", "", "g") == [0, 3, 3, 5, 5, 0, 0]


def test_group_with_or_beside_an_unreadable_line_is_refused() -> None:
    refused = "group_refused"
    assert outcomes("g", None, "g", "") == [refused, "line_ragged", refused, 0]
    assert outcomes("g", "g", None, "h", "h", "", "i", "i") == [
        refused, refused, "line_ragged", refused, refused, 0, 8, 8,
    ]  # fmt: skip
    assert outcomes("g", "g", after_unreadable=True) == [refused, refused]
    assert outcomes("", None, "") == [0, "line_ragged", 0]


def test_group_with_a_wrong_member_is_refused_as_a_whole() -> None:
    rows, results = grouped("g", "g", "h", "h")
    results[1] = Problem("amount_malformed", "")
    found = link(rows, results, COLUMNS, oversize="", after_unreadable=False)
    assert [answer.refusal if isinstance(answer, Problem) else "" for answer in found] == [
        "group_refused", "amount_malformed", "", "",
    ]  # fmt: skip


def test_group_of_more_than_100_lines_is_refused() -> None:
    assert outcomes(*["g"] * 100) == [2] * 100
    assert outcomes(*["g"] * 101) == ["group_too_large"] * 101
    assert outcomes("g", "h", "h", oversize="g") == ["group_too_large", 3, 3]
