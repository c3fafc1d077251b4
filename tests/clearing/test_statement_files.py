"""Statements as files and pages: what stands in them, that nothing in them is a formula, and what they take of memory."""

import csv
import io
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from lxml import etree, html

from tongbao.clearing.adapters import statement_html
from tongbao.clearing.adapters.statement_cells import DANGEROUS, amount, guarded, summary
from tongbao.clearing.adapters.statement_csv import StatementCsv
from tongbao.clearing.adapters.statement_xlsx import StatementXlsx
from tongbao.clearing.policy import money_texts
from tongbao.clearing.policy.statements import day
from tongbao.clearing.schema.bills import MoneyState
from tongbao.clearing.schema.movements import KIND_NAMES, MovementKind
from tongbao.clearing.schema.statements import Entry, FeeSum, Holdings, KindSum, Statement, StatementLine
from tongbao.core.errors import InvalidRequest

NOON = datetime(2027, 3, 15, 4, tzinfo=UTC)
FORMULA = '=cmd|"/c calc"!A1'


def statement_of(currency: str = "CNY") -> Statement:
    return Statement(
        book_id=1,
        currency=currency,
        period=day(date(2027, 3, 15), "Asia/Shanghai"),
        opening=Holdings(in_transit_minor=1_000),
        closing=Holdings(in_transit_minor=2_000, payable_minor=900, owed_minor=30),
        movements=(
            KindSum(kind=MovementKind.SALE, method="card", channel="one", count=2, amount_minor=3_000),
        ),
        fees=(
            FeeSum(
                kind=MovementKind.SALE,
                method="card",
                channel="one",
                count=1,
                amount_minor=1_000,
                fee_minor=30,
                tax_minor=2,
            ),
        ),
        held_minor=0,
        released_minor=0,
        payout_count=1,
        payouts_minor=1_100,
        returned_minor=0,
        is_final=True,
        made_at=NOON,
    )


def line_of(**fields: object) -> StatementLine:
    plain: dict[str, object] = {
        "at": NOON,
        "entry": "sale",
        "reference": "mv_1",
        "amount_minor": 123_456,
        "change_minor": 123_456,
        "balance_minor": -5,
        "method": "card",
        "channel": "one",
        "store": "北门店",
    }
    return StatementLine(**(plain | fields))  # type: ignore[arg-type]


def csv_of(statement: Statement, *lines: StatementLine, language: str = "en") -> list[dict[str, str]]:
    writer = StatementCsv(statement, language)
    data = writer.begin() + writer.rows(lines)
    assert data.startswith("\ufeff".encode())
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def sheets_of(path: Path) -> dict[str, list[list[str]]]:
    """Read a workbook back by its XML alone: every sheet, its rows, their texts."""
    names = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    found = {}
    with zipfile.ZipFile(path) as archive:
        book = etree.fromstring(archive.read("xl/workbook.xml"))
        for number, sheet in enumerate(book.findall(".//m:sheet", names), 1):
            tree = etree.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml"))
            assert not tree.findall(".//m:f", names)
            rows = [
                ["".join(cell.itertext()) for cell in row.findall("m:c", names)]
                for row in tree.findall(".//m:row", names)
            ]
            found[sheet.get("name")] = rows
    return found


@pytest.mark.parametrize("start", DANGEROUS)
def test_write_text_that_looks_like_a_formula_gets_an_apostrophe(start: str) -> None:
    assert guarded(f"{start}1+1") == f"'{start}1+1"
    assert guarded(f"1{start}") == f"1{start}"


def test_write_amounts_have_the_decimals_of_their_currency() -> None:
    cases = [(5, "CNY", "0.05"), (-1_230, "CNY", "-12.30"), (7, "JPY", "7"), (1, "KWD", "0.001")]
    cases += [(10**15, "JPY", "1000000000000000"), (0, "CNY", "0.00")]
    for minor, currency, written in cases:
        assert amount(minor, currency) == written
    assert amount(None, "CNY") == ""


def test_write_csv_line_is_read_back_as_it_was_and_no_cell_is_a_formula() -> None:
    line = line_of(store=FORMULA, channel_reference="@x", method="\tcard", amount_minor=-5, fee_minor=1)
    [row] = csv_of(statement_of(), line)
    assert row["Store"] == f"'{FORMULA}"
    assert (row["Channel's number"], row["Method"]) == ("'@x", "'\tcard")
    assert (row["Amount"], row["Fee with tax"], row["Net"]) == ("-0.05", "0.01", "")
    assert row["Time"] == "2027-03-15 12:00:00+08:00"
    for value in row.values():
        assert not value.startswith(DANGEROUS) or re.fullmatch(r"-\d+\.\d\d", value)


def test_write_csv_in_chinese_has_chinese_heads() -> None:
    [row] = csv_of(statement_of(), line_of(), language="zh-CN")
    assert (row["类型"], row["门店"], row["余额"]) == ("收款", "北门店", "-0.05")


def test_write_workbook_is_read_back_with_every_cell_as_text(tmp_path: Path) -> None:
    path = tmp_path / "statement.xlsx"
    with StatementXlsx(path, statement_of(), "zh", sheet_rows_max=3) as writer:
        writer.rows([line_of(store=FORMULA), line_of(), line_of(amount_minor=-1)])
    sheets = sheets_of(path)
    assert list(sheets) == ["汇总", "明细", "明细 2"]
    assert [len(rows) for rows in sheets.values()][1:] == [3, 2]
    assert f"'{FORMULA}" in sheets["明细"][1]
    assert "-0.01" in sheets["明细 2"][1]
    assert ["期初余额", "", "10.00"] in sheets["汇总"]


def test_write_workbook_without_lines_has_heads_only(tmp_path: Path) -> None:
    path = tmp_path / "statement.xlsx"
    with StatementXlsx(path, statement_of(), "en"):
        pass
    assert len(sheets_of(path)["Movements"]) == 1


def test_write_many_lines_takes_no_more_memory_than_few(tmp_path: Path) -> None:
    statement, line = statement_of(), line_of()

    def peak(chunks: int) -> int:
        tracemalloc.start()
        writer = StatementCsv(statement, "en")
        with StatementXlsx(tmp_path / f"{chunks}.xlsx", statement, "en") as book:
            for _ in range(chunks):
                writer.rows([line] * 100)
                book.rows([line] * 100)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    assert peak(20) < 2 * peak(2)


def test_sum_summary_rows_between_the_balances_make_the_closing_one() -> None:
    rows = list(summary(statement_of("KWD"), "en"))
    plain = sum(Decimal(row.amount) for row in rows if not row.kind)
    opening, closing = (Decimal(row.amount) for row in rows if row.kind == "sum")
    assert opening + plain == closing


def lines(count: int) -> Iterator[StatementLine]:
    return (line_of(at=NOON + timedelta(seconds=each)) for each in range(count))


def test_render_page_escapes_what_others_wrote_and_says_what_it_leaves_out() -> None:
    name = '<script>alert("x")</script>'
    page = statement_html.page(
        statement_of(),
        lines(statement_html.LINES_SHOWN_MAX + 5),
        merchant=name,
        language="en",
        line_count=5_005,
    )
    tree = html.document_fromstring(page)
    assert not tree.xpath("//script")
    assert len(tree.xpath("//table[@class='lines']/tbody/tr")) == statement_html.LINES_SHOWN_MAX
    assert "5 further lines" in tree.text_content()
    assert name in tree.text_content()
    style = tree.xpath("//style")[0].text
    assert style.strip() == statement_html.CSS.strip()
    assert "@page" in style


def test_render_page_with_a_file_of_styles_holds_none_itself() -> None:
    page = statement_html.page(
        msgspec.structs.replace(statement_of(), is_final=False),
        lines(1),
        merchant="茶馆",
        language="zh-CN",
        line_count=1,
        css_href="/static/statement.css",
    )
    tree = html.document_fromstring(page)
    assert not tree.xpath("//style | //*[@style]")
    assert tree.xpath("//link/@href") == ["/static/statement.css"]
    assert "期间尚未结束" in tree.text_content()
    assert tree.xpath("/html/@lang") == ["zh-CN"]


def test_ask_for_a_language_that_nobody_wrote_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        StatementCsv(statement_of(), "fr").begin()
    assert refused.value.code == "language_unknown"


def test_name_every_entry_and_state_in_both_languages() -> None:
    assert set(money_texts.ENTRIES) == {*KIND_NAMES.values(), *Entry}
    assert set(money_texts.STATES) == set(MoneyState)
    assert set(MoneyState) <= set(money_texts.SENTENCES)
    for table in (money_texts.ENTRIES, money_texts.COLUMNS, money_texts.WORDS, money_texts.SENTENCES):
        for english, chinese in table.values():
            assert english.isascii()
            assert re.search(r"[\u4e00-\u9fff]", chinese)
            fields = [sorted(re.findall(r"\{(\w+)\}", each)) for each in (english, chinese)]
            assert fields[0] == fields[1]
