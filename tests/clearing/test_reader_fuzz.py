"""Any bytes at all: readers refuse them with a reason, and account for every line of a table."""

import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clearing.reader_files import DAY, plain_csv, read, row, statement

from tongbao.clearing.adapters.text_lines import LINE_BYTES_MAX, TextLines
from tongbao.clearing.schema.lines import CsvColumns, Format
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox import settlement_files as written

CHANNEL = [row(number, 1_000 + number, fee_minor=number) for number in range(6)] + [row(7, -500)]
HOUSE = [
    row(1, 900, kind="transfer", batch="b"),
    row(2, 800, kind="transfer", batch="b"),
    row(3, -70, kind="payout"),
]
FILES: dict[Format, bytes] = {
    Format.STRIPE_BALANCE: written.stripe(CHANNEL),
    Format.ALIPAY_BILL: written.alipay(CHANNEL, "2088", DAY),
    Format.WECHAT_TRADE: written.wechat_trade(CHANNEL),
    Format.WECHAT_FUND: written.wechat_fund(CHANNEL),
    Format.ISO8583_TOTALS: written.acquirer_totals(CHANNEL),
    Format.CAMT_052: written.camt(HOUSE, statement(message="camt.052", version=2)),
    Format.CAMT_053: written.camt(HOUSE, statement()),
    Format.CAMT_054: written.camt(HOUSE, statement(message="camt.054")),
    Format.MT940: written.mt940(HOUSE, statement()),
    Format.CSV: plain_csv(CHANNEL),
}


def _read_or_unreadable(form: Format, data: bytes) -> None:
    try:
        found = read(form, data)
    except InvalidRequest as error:
        assert error.code == "file_unreadable"  # noqa: PT017 - most bytes are no file, some are
        return
    assert all(each.number >= 0 and each.code and each.detail for each in found.refusals)
    assert len({each.key for each in found.lines}) == len(found.lines) or form not in {
        Format.MT940,
        Format.CAMT_053,
    }


@pytest.mark.parametrize("form", [each for each in Format if each is not Format.NOTICE])
@given(data=st.binary(max_size=400))
@settings(max_examples=60)
def test_any_bytes_are_refused_with_a_reason(form: Format, data: bytes) -> None:
    _read_or_unreadable(form, data)


@pytest.mark.parametrize("form", [each for each in Format if each is not Format.NOTICE])
@given(cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6)), max_size=6))
@settings(max_examples=80)
def test_damaged_files_are_read_or_refused_and_never_break(
    form: Format, cuts: list[tuple[float, int, bytes]]
) -> None:
    data = bytearray(FILES[form])
    for place, length, instead in cuts:
        at = int(place * len(data))
        data[at : at + length] = instead
    _read_or_unreadable(form, bytes(data))


@given(
    lines=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters='\n\r"'), max_size=30), max_size=20
    )
)
def test_every_line_of_a_table_is_taken_or_refused(lines: list[str]) -> None:
    data = "id,amount\n" + "".join(f"{line}\n" for line in lines)
    columns = CsvColumns(gross="amount")
    found = read(Format.CSV, data.encode(), columns=columns, currency="EUR")
    empty = sum(not line.replace(",", "").strip() for line in lines)
    assert len(found.lines) + len(found.refusals) == len(lines) - empty
    numbers = [each.number for each in found.lines] + [each.number for each in found.refusals]
    assert len(set(numbers)) == len(numbers)


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=200))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_lines_come_back_as_they_were_written(encoding: str, text: str) -> None:
    if encoding == "utf-8" and text[:1] == "\ufeff":
        return
    lines = TextLines(io.BytesIO(text.encode(encoding)), "gb18030" if encoding == "gb18030" else "utf-8")
    wanted = text.split("\n") if text else []
    if text.endswith("\n"):
        wanted.pop()
    if encoding == "gb18030" and lines.encoding == "utf-8":
        return
    if encoding == "utf-16" and "\ufffd" in text:
        return
    assert [line for _number, line in lines] == wanted


class Endless:
    """A stream without any line break, that counts what was asked of it."""

    def __init__(self, size: int, beginning: bytes = b"") -> None:
        self.left = size
        self._beginning = beginning

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes of nothing."""
        if self._beginning:
            found, self._beginning = self._beginning, b""
            return found
        size = min(size, self.left)
        self.left -= size
        return b"x" * size


def test_line_without_an_end_is_one_refusal_and_is_not_kept() -> None:
    stream = Endless(200_000_000, b"first\n")
    tracemalloc.start()
    entries = list(TextLines(stream))  # type: ignore[arg-type]  # reading is all that is asked of a stream
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert entries[0] == (1, "first")
    assert [getattr(line, "code", "") for _number, line in entries[1:]] == ["line_too_long"]
    assert (stream.left, peak < 20 * LINE_BYTES_MAX) == (0, True)


def test_document_without_an_entry_is_left_before_it_fills_the_memory() -> None:
    head = written.camt([], statement()).partition(b"<ElctrncSeqNb>")[0]
    found = read(Format.CAMT_053, head + b"<Junk>a</Junk>" * 1_000_000 + b"</Stmt>")
    assert found.codes == ["file_truncated"]


def test_long_line_between_good_ones_costs_itself_only() -> None:
    data = b"a\n" + b"y" * (3 * LINE_BYTES_MAX) + b"\nb\n" + b"z" * 500_000 + b"\nc"
    entries = [(number, getattr(line, "code", line)) for number, line in TextLines(io.BytesIO(data))]
    assert entries == [(1, "a"), (2, "line_too_long"), (3, "b"), (4, "line_too_long"), (5, "c")]
