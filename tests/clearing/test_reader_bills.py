"""Files of channels: what is written is read, and what is wrong is said with its line."""

import io
from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from tests.clearing.reader_files import DAY, channel_rows, known, read, row, said, terms

from tongbao.clearing.adapters.opening import open_file
from tongbao.clearing.schema.lines import Format, LineKind
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox import settlement_files as written
from tongbao.simulator.sandbox.settlement_files import Row

PAIR = [row(1, 1_999, fee_minor=12), row(2, -999, fee_minor=-6)]


@given(rows=channel_rows())
def test_alipay_bill_written_and_read_says_the_same_with_its_totals(rows: list[Row]) -> None:
    found = read(Format.ALIPAY_BILL, written.alipay(rows, "20881234", DAY))
    assert (said(found.lines), found.refusals) == (known(rows), [])
    assert found.header.declared_count == len(rows)
    assert found.header.declared_minor == sum(each.amount_minor for each in rows)
    assert (found.header.from_on, found.header.until_on, found.header.account) == (DAY, DAY, "****1234")


@given(rows=channel_rows())
def test_wechat_trade_bill_written_and_read_says_the_same_with_its_totals(rows: list[Row]) -> None:
    found = read(Format.WECHAT_TRADE, written.wechat_trade(rows))
    assert (said(found.lines), found.refusals) == (known(rows), [])
    assert found.header.declared_count == len(rows)
    assert found.header.declared_minor == sum(each.amount_minor for each in rows)


@given(rows=channel_rows())
def test_wechat_fund_bill_puts_fees_on_lines_of_their_own(rows: list[Row]) -> None:
    found = read(Format.WECHAT_FUND, written.wechat_fund(rows))
    assert not found.refusals
    paid = [each for each in found.lines if each.kind is not LineKind.FEE]
    fees = [each for each in found.lines if each.kind is LineKind.FEE]
    assert [each.gross_minor for each in paid] == [each.amount_minor for each in rows]
    assert sum(each.gross_minor for each in fees) == -sum(each.fee_minor for each in rows)
    assert (found.header.declared_count, found.header.declared_minor) == (
        len(found.lines),
        sum(each.gross_minor for each in found.lines),
    )


@pytest.mark.parametrize("currency", ["CNY", "JPY", "KWD", "ISK", "UGX", "MGA"])
def test_stripe_report_is_read_with_the_decimals_of_its_currency(currency: str) -> None:
    rows = [row(1, 1_000, fee_minor=300, currency=currency), row(2, -200, currency=currency)]
    found = read(Format.STRIPE_BALANCE, written.stripe(rows))
    assert (said(found.lines), found.refusals) == (known(rows), [])


@given(rows=channel_rows("KWD"))
def test_stripe_report_written_and_read_says_the_same(rows: list[Row]) -> None:
    found = read(Format.STRIPE_BALANCE, written.stripe(rows))
    assert (said(found.lines), found.refusals) == (known(rows), [])
    assert len({each.key for each in found.lines}) == len(rows)


@given(rows=channel_rows())
def test_totals_of_an_acquirer_sum_the_day_by_kind(rows: list[Row]) -> None:
    found = read(Format.ISO8583_TOTALS, written.acquirer_totals(rows))
    sales = [each.amount_minor for each in rows if each.kind == "sale"]
    by_batch = {each.batch: (each.kind, each.count, each.gross_minor) for each in found.lines}
    assert by_batch.get(f"{DAY}/CNY/sale") == ((LineKind.TOTAL, len(sales), sum(sales)) if sales else None)
    assert not found.refusals
    assert found.header.declared_minor == sum(each.amount_minor for each in rows)


def test_payout_of_stripe_is_a_transfer_to_us_under_the_name_that_the_bank_shows() -> None:
    payout = row(3, 980, kind="transfer", reference="", channel_reference="po_1", batch="po_1")
    (line,) = read(Format.STRIPE_BALANCE, written.stripe([payout])).lines
    assert (line.kind, line.gross_minor, line.net_minor) == (LineKind.TRANSFER, 980, 980)
    assert (line.reference, line.channel_reference, line.batch) == ("po_1", "po_1", "po_1")


def test_withdrawal_of_wechat_is_a_transfer_to_us_and_totals_still_fit() -> None:
    found = read(
        Format.WECHAT_FUND, written.wechat_fund([row(1, 2_000), row(2, 1_500, kind="transfer")], 100)
    )
    assert [(each.kind, each.gross_minor) for each in found.lines] == [
        (LineKind.SALE, 2_000),
        (LineKind.TRANSFER, 1_500),
    ]
    assert found.header.declared_minor == 3_500


def test_refund_is_told_by_its_own_reference_and_its_fee_comes_back() -> None:
    for form, data in (
        (Format.ALIPAY_BILL, written.alipay(PAIR, "2088", DAY)),
        (Format.WECHAT_TRADE, written.wechat_trade(PAIR)),
        (Format.STRIPE_BALANCE, written.stripe(PAIR)),
    ):
        refund = read(form, data).lines[1]
        assert (refund.kind, refund.reference) == (LineKind.REFUND, PAIR[1].reference)
        assert (refund.gross_minor, refund.fee_minor, refund.net_minor) == (-999, -6, -993)


def test_times_of_chinese_bills_are_those_of_shanghai() -> None:
    for form, data in (
        (Format.ALIPAY_BILL, written.alipay(PAIR, "2088", DAY)),
        (Format.WECHAT_TRADE, written.wechat_trade(PAIR)),
    ):
        assert read(form, data).lines[0].occurred_at == datetime(2026, 11, 2, 4, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (Format.ALIPAY_BILL, written.alipay(PAIR, "2088", DAY)),
        (Format.WECHAT_TRADE, written.wechat_trade(PAIR)),
        (Format.WECHAT_FUND, written.wechat_fund(PAIR)),
        (Format.ISO8583_TOTALS, written.acquirer_totals(PAIR)),
        (Format.STRIPE_BALANCE, written.stripe(PAIR)),
    ],
)
def test_file_cut_anywhere_is_unreadable_or_truncated_and_tells_no_other_amount(
    form: Format, data: bytes
) -> None:
    whole = read(form, data).lines
    for length in range(len(data) - 2):
        try:
            found = read(form, data[:length])
        except InvalidRequest as error:
            assert error.code == "file_unreadable"  # noqa: PT017 - some cuts are readable, some are not
            continue
        assert found.lines == whole[: len(found.lines)]
        # Reports of Stripe have no end: one that stops behind a line cannot be told from a shorter one.
        is_between = data[:length].endswith(b"\n") and form is Format.STRIPE_BALANCE
        # What follows the totals of Alipay tells nothing that counts.
        is_done = (
            form is Format.ALIPAY_BILL
            and found.header.declared_count == 2
            and length >= data.rindex(b"\r\n#")
        )
        assert is_between or is_done or found.codes[-1:] == ["file_truncated"], length


def test_bad_values_are_refused_one_by_one_and_the_rest_is_taken() -> None:
    good = written.wechat_trade([row(1)]).decode("utf-8-sig").splitlines()
    head, line, *totals = good
    for old, new, code in (
        ("`10.00", "`ten", "amount_malformed"),
        ("`10.00", "`10.001", "amount_too_precise"),
        ("`10.00", f"`{'9' * 19}.00", "amount_out_of_range"),
        ("`CNY", "`CNX", "currency_unknown"),
        ("`CNY", "`XAU", "currency_without_minor_unit"),
        ("`2026-11-02", "`1026-11-02", "date_absurd"),
        ("`2026-11-02", "`2026-13-02", "time_malformed"),
        ("`SUCCESS", "`PERHAPS", "state_unknown"),
        ("`NATIVE", "`NATIVE,`", "columns_extra"),
        ("`NATIVE,", "", "columns_missing"),
        ("`pa_", f"`{'x' * 120}", "reference_too_long"),
        ("`pa_", "`p\x00a_", "reference_malformed"),
    ):
        assert old in line
        broken = line.replace(old, new)
        text = "\n".join([head, broken, line, *totals, ""])
        found = read(Format.WECHAT_TRADE, text.encode())
        assert [(each.number, each.code) for each in found.refusals] == [(2, code)], (old, new)
        assert [each.number for each in found.lines] == [3]


def test_bytes_that_are_no_text_cost_their_line_only() -> None:
    lines = written.alipay([row(1), row(2), row(3)], "2088", DAY).split(b"\r\n")
    lines[6] = lines[6].replace("茶".encode("gbk"), b"\xff\xff")
    found = read(Format.ALIPAY_BILL, b"\r\n".join(lines))
    assert [(each.number, each.code) for each in found.refusals] == [(7, "encoding_broken")]
    assert [each.number for each in found.lines] == [6, 8]
    assert found.header.declared_count == 3


def test_bill_in_any_encoding_says_the_same() -> None:
    text = written.alipay(PAIR, "2088", DAY).decode("gbk")
    wanted = read(Format.ALIPAY_BILL, text.encode("gbk")).lines
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "gb18030"):
        assert read(Format.ALIPAY_BILL, text.encode(encoding)).lines == wanted


def test_contradicting_amounts_of_stripe_are_refused() -> None:
    data = written.stripe([row(1, 1_000, fee_minor=30)]).replace(b"9.70", b"9.71")
    found = read(Format.STRIPE_BALANCE, data)
    assert (found.lines, found.codes) == ([], ["amounts_contradict"])


def test_quoted_values_may_hold_commas_and_lines_and_a_lonely_quote_costs_one_line() -> None:
    head, *lines = written.stripe([row(1), row(2), row(3)]).decode().splitlines()
    lines[0] = lines[0].replace(
        "ch00000000000000000001,,", 'ch00000000000000000001,"tea, green\nand ""black""",'
    )
    lines[1] = lines[1].replace("ch00000000000000000002,,", 'ch00000000000000000002,"tea,')
    found = read(Format.STRIPE_BALANCE, ("\n".join([head, *lines]) + "\n").encode())
    assert [(each.number, each.text) for each in found.lines] == [(2, 'tea, green and "black"'), (5, "")]
    assert [(each.number, each.code) for each in found.refusals] == [(4, "quotes_broken")]


def test_commas_in_values_of_wechat_part_nothing() -> None:
    data = written.wechat_trade([row(1)]).decode("utf-8-sig")
    head, line, *totals = data.splitlines()
    cells = line.split(",")
    cells[20] = '`tea, green, and "black"'
    quoted = ",".join(f'"{each}"' for each in line.split(","))
    found = read(Format.WECHAT_TRADE, "\n".join([head, ",".join(cells), quoted, *totals, ""]).encode())
    assert ([each.text for each in found.lines], found.refusals) == (['tea, green, and "black"', ""], [])
    assert found.lines[0].reference == found.lines[1].reference == row(1).reference


def test_other_column_names_of_stripe_are_understood() -> None:
    text = (
        "balance_transaction_id,created (UTC),available_on (UTC),currency,gross,fee,net,reporting_category\n"
        "txn_1,2026-03-15 14:23,2026-03-17,usd,150.00,4.65,145.35,charge\n"
    )
    (line,) = read(Format.STRIPE_BALANCE, text.encode()).lines
    assert (line.key, line.net_minor, line.value_on) == ("txn_1", 14_535, date(2026, 3, 17))


def test_totals_with_the_wrong_sign_or_kind_are_refused() -> None:
    text = "date,currency,kind,count,amount_minor\n2026-11-02,CNY,refund,1,5\n2026-11-02,CNY,tips,1,5\nend,,,2,10\n"
    assert read(Format.ISO8583_TOTALS, text.encode()).codes == ["sign_wrong", "kind_unknown"]


@pytest.mark.parametrize("form", [each for each in Format if each not in {Format.CSV, Format.NOTICE}])
@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n\n", b"hello\n", b"\x00" * 100])
def test_file_that_is_none_of_its_format_is_unreadable(form: Format, data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        read(form, data)


def test_format_that_nobody_reads_is_told() -> None:
    agreed = msgspec.structs.replace(terms(Format.CSV), format="fax")
    with pytest.raises(InvalidRequest, match="format_unknown"):
        open_file(io.BytesIO(b""), agreed)
