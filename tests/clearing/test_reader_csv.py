"""Tables by configuration: amounts, signs, times and keys as the agreement says."""

import io
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.clearing.reader_files import COLUMNS, channel_rows, known, plain_csv, read, said, terms

from tongbao.clearing.adapters.keys import Occurrences, digest, named_key
from tongbao.clearing.adapters.opening import open_file
from tongbao.clearing.schema.lines import CsvColumns, Format, Line, LineKind, Side
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox.settlement_files import Row

AMOUNT = CsvColumns(gross="amount")


@given(rows=channel_rows())
def test_table_written_and_read_says_the_same(rows: list[Row]) -> None:
    found = read(Format.CSV, plain_csv(rows))
    assert (said(found.lines), found.refusals) == (known(rows), [])


@pytest.mark.parametrize(
    ("currency", "text", "fields", "outcome"),
    [
        ("EUR", "19.99", {}, 1_999),
        ("EUR", "+19.9", {}, 1_990),
        ("EUR", '"1,234.50"', {}, 123_450),
        ("EUR", "1234", {}, 123_400),
        ("JPY", "1999", {}, 1_999),
        ("KWD", "1.999", {}, 1_999),
        ("EUR", "-0.01", {}, -1),
        ("EUR", "1999", {"amount_unit": "minor"}, 1_999),
        ("EUR", "1.234,5", {"decimal_comma": True, "delimiter": ";"}, 123_450),
        ("EUR", "999999999999999999", {"amount_unit": "minor"}, 999_999_999_999_999_999),
        ("EUR", "1999.", {}, "amount_malformed"),
        ("EUR", ".5", {}, "amount_malformed"),
        ("EUR", "1_000", {}, "amount_malformed"),
        ("EUR", "１９", {}, "amount_malformed"),
        ("EUR", "1e3", {}, "amount_malformed"),
        ("EUR", "NaN", {}, "amount_malformed"),
        ("EUR", '"1,23"', {}, "amount_malformed"),
        ("EUR", "1,5", {"delimiter": ";"}, "amount_malformed"),
        ("EUR", "1.5", {"decimal_comma": True}, "amount_malformed"),
        ("EUR", "19.990", {}, "amount_too_precise"),
        ("JPY", "19.5", {}, "amount_too_precise"),
        ("EUR", "19.5", {"amount_unit": "minor"}, "amount_malformed"),
        ("EUR", "99999999999999999999", {}, "amount_out_of_range"),
        ("XAU", "1", {}, "currency_without_minor_unit"),
        ("EUX", "1", {}, "currency_unknown"),
    ],
)
def test_amount_is_read_exactly_or_refused(
    currency: str, text: str, fields: dict[str, Any], outcome: int | str
) -> None:
    columns = msgspec.structs.replace(AMOUNT, **fields)
    between = columns.delimiter
    data = f"amount{between}rest\n{text}{between}\n".encode()
    found = read(Format.CSV, data, columns=columns, currency=currency)
    assert [each.gross_minor for each in found.lines] + found.codes == [outcome]


def test_kinds_that_are_negative_turn_the_sign_and_never_twice() -> None:
    columns = msgspec.structs.replace(
        AMOUNT,
        kind="kind",
        kinds={"R": "refund", "S": "sale"},
        fee="fee",
        net="net",
        negative_kinds=("refund",),
    )
    data = b"kind,amount,fee,net\nR,10.00,0.30,9.70\nR,-10.00,0.30,-9.70\nS,10.00,-0.30,9.70\nT,1.00,,1.00\n"
    lines = read(Format.CSV, data, columns=columns, currency="EUR").lines
    assert [(each.kind, each.gross_minor, each.fee_minor, each.net_minor) for each in lines] == [
        (LineKind.REFUND, -1_000, -30, -970),
        (LineKind.REFUND, -1_000, -30, -970),
        (LineKind.SALE, 1_000, 30, 970),
        (LineKind.OTHER, 100, 0, 100),
    ]


def test_kind_is_told_by_the_sign_where_no_column_tells_it() -> None:
    data = b"amount,rest\n5.00,\n-5.00,\n"
    for side, kinds in (
        (Side.CHANNEL, [LineKind.SALE, LineKind.REFUND]),
        (Side.BANK, [LineKind.TRANSFER, LineKind.PAYOUT]),
    ):
        agreed = msgspec.structs.replace(terms(Format.CSV, columns=AMOUNT, currency="EUR"), side=side)
        lines = [each for each in open_file(io.BytesIO(data), agreed) if isinstance(each, Line)]
        assert [each.kind for each in lines] == kinds


def test_net_alone_and_a_fee_give_the_gross() -> None:
    columns = CsvColumns(net="net", fee="fee")
    (line,) = read(Format.CSV, b"net,fee\n9.70,0.30\n", columns=columns, currency="EUR").lines
    assert (line.gross_minor, line.fee_minor, line.net_minor) == (1_000, 30, 970)


def test_amounts_that_contradict_each_other_are_refused() -> None:
    columns = msgspec.structs.replace(AMOUNT, fee="fee", net="net")
    found = read(Format.CSV, b"amount,fee,net\n10.00,0.30,9.00\n", columns=columns, currency="EUR")
    assert (found.lines, found.codes) == ([], ["amounts_contradict"])


def test_times_are_read_by_their_form_and_zone() -> None:
    columns = msgspec.structs.replace(AMOUNT, occurred_at="at", time_format="%d.%m.%Y %H:%M")
    data = b"amount;at;\n1,00;02.11.2026 08:30;\n1,00;2026-11-02;\n1,00;02.11.1926 08:30;\n"
    columns = msgspec.structs.replace(columns, delimiter=";", decimal_comma=True)
    found = read(Format.CSV, data, columns=columns, currency="EUR", zone="Europe/Berlin")
    assert [each.occurred_at for each in found.lines] == [datetime(2026, 11, 2, 7, 30, tzinfo=UTC)]
    assert found.codes == ["time_malformed", "date_absurd"]
    assert (found.header.from_on, found.header.until_on) == (None, None)


def test_equal_lines_without_a_key_stay_two_and_come_again_with_the_same_keys() -> None:
    data = b"amount,note\n5.00,tea\n5.00,tea\n6.00,tea\n5.00,tea\n"
    first = read(Format.CSV, data, columns=AMOUNT, currency="EUR")
    again = read(Format.CSV, b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"), columns=AMOUNT, currency="EUR")
    keys = [each.key for each in first.lines]
    assert len(set(keys)) == 4
    assert keys == [each.key for each in again.lines]


def test_occurrences_count_over_many_calls_as_a_dictionary_would() -> None:
    counted: dict[bytes, int] = {}
    occurrences = Occurrences()
    for begin in range(0, 3_000, 70):
        digests = [digest(str((number * number) % 977).encode()) for number in range(begin, begin + 70)]
        wanted = []
        for each in digests:
            counted[each] = counted.get(each, 0) + 1
            wanted.append(counted[each])
        assert occurrences.next(digests) == wanted


def test_keys_of_several_names_are_never_the_same_for_other_names() -> None:
    names = [
        ("a|", "b"),
        ("a", "|b"),
        ("a", "b"),
        ("a|b", ""),
        ("", "a|b"),
        ("a\\", "b"),
        ("a\\|b", ""),
        ("x" * 200, ""),
    ]
    assert len({named_key(each) for each in names}) == len(names)


def test_table_between_its_marks_is_read_and_a_missing_end_is_told() -> None:
    columns = msgspec.structs.replace(AMOUNT, skip_before=2, end_mark="Total")
    data = b"Report\n\namount,rest\n1.00,\nTotal,1.00\n2.00,\n"
    found = read(Format.CSV, data, columns=columns, currency="EUR")
    assert ([each.number for each in found.lines], found.codes) == ([4], [])
    cut = read(Format.CSV, data.partition(b"Total")[0], columns=columns, currency="EUR")
    assert ([each.number for each in cut.lines], cut.codes) == ([4], ["file_truncated"])


@pytest.mark.parametrize(
    ("data", "keys", "taken"),
    [
        (b"id,amount,rest\n1,1.00,\n2,2.00,", ("id",), 2),
        (b"id,amount,rest\n1,1.00,\n2,2.00,", (), 1),
        (b"id,rest,amount\n1,,1.00\n2,,2.00", ("id",), 1),
        (b"id,amount,rest\n1,1.00,\n2,2.0", ("id",), 1),
    ],
)
def test_last_line_without_a_break_is_taken_only_where_nothing_can_be_cut(
    data: bytes, keys: tuple[str, ...], taken: int
) -> None:
    columns = msgspec.structs.replace(AMOUNT, key=keys)
    found = read(Format.CSV, data, columns=columns, currency="EUR")
    assert len(found.lines) == taken
    assert found.codes == ["file_truncated"] * (2 - taken)


@pytest.mark.parametrize(
    "fields",
    [
        {"columns": CsvColumns()},
        {"columns": AMOUNT},
        {"columns": AMOUNT, "currency": "EUR", "zone": "Mars/Base"},
        {"columns": msgspec.structs.replace(AMOUNT, gross="nowhere"), "currency": "EUR"},
        {"columns": msgspec.structs.replace(AMOUNT, delimiter=""), "currency": "EUR"},
        {"columns": msgspec.structs.replace(AMOUNT, delimiter='"'), "currency": "EUR"},
        {"columns": msgspec.structs.replace(AMOUNT, amount_unit="cents"), "currency": "EUR"},
        {"columns": msgspec.structs.replace(AMOUNT, kinds={"a": "gift"}), "currency": "EUR"},
        {"columns": msgspec.structs.replace(AMOUNT, skip_before=5), "currency": "EUR"},
    ],
)
def test_agreement_that_cannot_read_the_file_makes_it_unreadable(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        read(Format.CSV, b"amount,rest\n1.00,\n", **fields)


def test_column_that_stands_twice_is_not_guessed() -> None:
    with pytest.raises(InvalidRequest, match="amount"):
        read(Format.CSV, b"amount,amount\n1.00,2.00\n", columns=AMOUNT, currency="EUR")


def test_line_without_its_key_is_refused() -> None:
    data = plain_csv([]) + b",pa_1,ch,sale,CNY,1.00,0.00,1.00,2026-11-02T00:00:00Z,\n"
    assert COLUMNS.key == ("id",)
    assert read(Format.CSV, data).codes == ["key_missing"]
