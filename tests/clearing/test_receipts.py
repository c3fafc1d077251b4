"""Receipts and invoices over real payments: numbers without gaps, the same paper however often it is asked for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from lxml import html
from tests.clearing.settlement import HOURLY, Shop, open_shop
from tests.payments.scripted import declined

from tongbao.channels.schema import Reason
from tongbao.clearing.adapters import receipt_html
from tongbao.clearing.schema.receipts import Receipt, ReceiptKind
from tongbao.clearing.service.receipts import Receipts
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound
from tongbao.core.ids import IdFactory
from tongbao.payments.service.reading import Reading

NOON = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        opened.house.clock.set(NOON)
        await opened.agree(HOURLY)
        yield opened


@pytest.fixture
async def receipts(shop: Shop) -> AsyncIterator[Receipts]:
    reading = Reading(shop.house.database, shop.house.metrics)
    yield Receipts(shop.house.database, shop.house.clock, shop.clearing.agreements, reading)
    await reading.close()


async def test_issue_receipt_twice_gives_the_same_paper_without_fees(shop: Shop, receipts: Receipts) -> None:
    view = await shop.house.pay(10_000, description="Tea", merchant_reference="order 1")
    await shop.pass_hour()
    first = await receipts.for_payment(shop.house.scope, view.intent.id)
    assert first == await receipts.for_payment(shop.house.scope, view.intent.id)
    assert (first.text_number, first.total_minor, first.tax_minor) == ("R-2027-000001", 10_000, 0)
    assert (first.description, first.merchant_reference, first.method) == ("Tea", "order 1", "card")
    assert first == await receipts.get(shop.book_id, first.id)


async def test_issue_receipts_number_payments_without_gaps_although_some_are_refused(
    shop: Shop, receipts: Receipts
) -> None:
    paid = [await shop.house.pay(1_000 + each) for each in range(5)]
    reserved = await shop.house.reserve(500)
    await shop.record()
    scope = shop.house.scope

    async def issue(intent_id: object) -> Receipt | str:
        try:
            return await receipts.for_payment(scope, intent_id)  # type: ignore[arg-type]
        except AppError as error:
            return error.code

    asked = [each.intent.id for each in (*paid, reserved, *paid)]
    found = await asyncio.gather(*map(issue, asked))
    assert found.count("receipt_without_sale") == 1
    papers = {each.number: each for each in found if isinstance(each, Receipt)}
    assert sorted(papers) == [1, 2, 3, 4, 5]
    assert {each.source_id for each in papers.values()} == {each.intent.id for each in paid}


async def test_issue_receipt_after_a_later_capture_shows_only_what_is_new(
    shop: Shop, receipts: Receipts
) -> None:
    view = await shop.house.reserve(1_000)
    scope, intents = shop.house.scope, shop.house.payments.intents
    await intents.capture(scope, view.intent.id, amount_minor=300, final=False)
    await shop.record()
    first = await receipts.for_payment(scope, view.intent.id)
    await intents.capture(scope, view.intent.id, amount_minor=700)
    await shop.record()
    second = await receipts.for_payment(scope, view.intent.id)
    assert [(each.total_minor, each.part, each.number) for each in (first, second)] == [
        (300, 1, 1),
        (700, 2, 2),
    ]


async def test_number_receipts_of_another_year_begins_again(shop: Shop, receipts: Receipts) -> None:
    for year in (2027, 2028):
        shop.house.clock.set(NOON.replace(year=year))
        view = await shop.house.pay(1_000)
        await shop.record()
        receipt = await receipts.for_payment(shop.house.scope, view.intent.id)
        assert receipt.text_number == f"R-{year}-000001"


async def test_issue_refund_receipt_only_for_money_that_went_back(shop: Shop, receipts: Receipts) -> None:
    view, scope = await shop.house.pay(10_000), shop.house.scope
    done = await shop.house.payments.refunds.create(scope, intent_id=view.intent.id, amount_minor=400)
    shop.house.channel().reply("refund", declined(Reason.OTHER))
    failed = await shop.house.payments.refunds.create(scope, intent_id=view.intent.id, amount_minor=300)
    assert done.view is not None
    assert failed.view is not None
    await shop.record()
    receipt = await receipts.for_refund(scope, done.view.refund.id)
    assert (receipt.text_number, receipt.total_minor) == ("C-2027-000001", -400)
    assert receipt == await receipts.for_refund(scope, done.view.refund.id)
    with pytest.raises(Conflict) as refused:
        await receipts.for_refund(scope, failed.view.refund.id)
    assert refused.value.code == "refund_not_done"


async def test_invoice_of_a_month_equals_the_fees_of_the_books(shop: Shop, receipts: Receipts) -> None:
    view, scope = await shop.house.pay(10_000), shop.house.scope
    await shop.pass_hour()
    await shop.house.payments.refunds.create(scope, intent_id=view.intent.id, amount_minor=4_000)
    await shop.pass_hour()
    with pytest.raises(Conflict) as refused:
        await receipts.invoice(scope, "CNY", 2027, 3)
    assert refused.value.code == "invoice_too_early"
    shop.house.clock.set(datetime(2027, 4, 1, 2, tzinfo=UTC))
    invoice = await receipts.invoice(scope, "CNY", 2027, 3)
    told = [
        (each.name, each.amount_minor, each.tax_minor, each.tax_name, each.tax_e6) for each in invoice.items
    ]
    assert told == [("processing", 117 - 46, 7 - 2, "VAT", 60_000), ("refund_handling", 5, 0, "", 0)]
    net = await shop.balance("fee_revenue")
    tax = await shop.balance("fee_revenue/tax")
    assert (invoice.total_minor, invoice.tax_minor) == (net + tax, tax)
    assert invoice.text_number == "F-2027-000001"
    assert invoice == await receipts.invoice(scope, "CNY", 2027, 3)
    with pytest.raises(Conflict) as refused:
        await receipts.invoice(scope, "CNY", 2027, 2)
    assert refused.value.code == "invoice_empty"


async def test_page_receipts_by_kind_shows_each_once(shop: Shop, receipts: Receipts) -> None:
    scope = shop.house.scope
    for amount in (1_000, 2_000, 3_000):
        view = await shop.house.pay(amount)
        await shop.record()
        await receipts.for_payment(scope, view.intent.id)
    first, more = await receipts.page(shop.book_id, kind=ReceiptKind.RECEIPT, limit=2)
    rest, none = await receipts.page(shop.book_id, kind=ReceiptKind.RECEIPT, before=first[-1].id)
    assert (more, none) == (True, False)
    assert [each.total_minor for each in (*first, *rest)] == [3_000, 2_000, 1_000]
    assert await receipts.page(shop.book_id, kind=ReceiptKind.INVOICE) == ([], False)


async def test_ask_for_papers_of_another_merchant_finds_nothing(
    database: Database, ids: IdFactory, shop: Shop, receipts: Receipts
) -> None:
    view = await shop.house.pay(1_000)
    await shop.record()
    receipt = await receipts.for_payment(shop.house.scope, view.intent.id)
    async with open_shop(database, ids) as other:
        scope = other.house.scope
        for ask, code in (
            (receipts.for_payment(scope, view.intent.id), "payment_unknown"),
            (receipts.for_refund(scope, view.intent.id), "refund_unknown"),
            (receipts.get(scope.book_id, receipt.id), "receipt_unknown"),
        ):
            with pytest.raises(NotFound) as refused:
                await ask
            assert refused.value.code == code
        assert await receipts.page(scope.book_id) == ([], False)


async def test_ask_for_an_invoice_that_cannot_be_is_refused(shop: Shop, receipts: Receipts) -> None:
    for currency, month, code in (("XXQ", 1, "currency_unknown"), ("CNY", 13, "statement_time_invalid")):
        with pytest.raises(InvalidRequest) as refused:
            await receipts.invoice(shop.house.scope, currency, 2027, month)
        assert refused.value.code == code


async def test_render_receipt_of_a_refund_tells_what_went_back_without_a_minus_at_its_head(
    shop: Shop, receipts: Receipts
) -> None:
    view, scope = await shop.house.pay(1_234_567), shop.house.scope
    done = await shop.house.payments.refunds.create(scope, intent_id=view.intent.id, amount_minor=1_234_500)
    assert done.view is not None
    await shop.record()
    receipt = await receipts.for_refund(scope, done.view.refund.id)
    tree = html.document_fromstring(
        await receipts.html(shop.book_id, receipt.id, issuer="Tea", language="en")
    )
    assert tree.xpath("//p[@class='whole']/strong/text()") == ["12,345.00"]
    assert tree.xpath("//tr[@class='sum']/td[last()]/text()") == ["\N{MINUS SIGN}12,345.00"]
    assert tree.xpath("//dl[@class='facts']/dt[text()='Refund']/following-sibling::dd[1]/text()") == [
        done.view.refund.reference
    ]
    assert "(UTC)" in tree.text_content()


async def test_render_receipt_and_invoice_show_their_sums_and_escape_what_others_wrote(
    shop: Shop, receipts: Receipts
) -> None:
    view = await shop.house.pay(10_000, description="<b>Tea</b>")
    await shop.pass_hour()
    receipt = await receipts.for_payment(shop.house.scope, view.intent.id)
    tree = html.document_fromstring(
        await receipts.html(shop.book_id, receipt.id, issuer="茶馆", language="zh-CN")
    )
    assert "<b>Tea</b>" in tree.text_content()
    assert tree.xpath("//tr[@class='sum']/td/text()") == ["合计", "100.00"]
    assert "测试模式" in tree.text_content()
    assert "银行卡" in tree.text_content()
    shop.house.clock.set(NOON + timedelta(days=30))
    invoice = await receipts.invoice(shop.house.scope, "CNY", 2027, 3)
    page = receipt_html.page(invoice, issuer="House", recipient="Tea house", language="en", css_href="/s.css")
    tree = html.document_fromstring(page)
    assert tree.xpath("//tr[@class='sum']/td/text()") == ["Total", "1", "1.10", "0.07", "1.17"]
    assert [each.strip() for each in tree.xpath("//tbody/tr[1]/td/text()")] == [
        *("processing", "1", "1.10", "VAT 6%", "0.07", "1.17"),
    ]
    assert "2027-03-01 – 2027-03-31" in tree.text_content()


def test_number_paper_has_six_digits_and_more_where_needed() -> None:
    plain = Receipt(
        id=IdFactory(_Clock()).uuid(),
        book_id=1,
        live=True,
        kind=ReceiptKind.INVOICE,
        series="F",
        year=2027,
        number=17,
        part=1,
        source_id=IdFactory(_Clock()).uuid(),
        source="2027-03",
        currency="CNY",
        items=(),
        issued_at=NOON,
        issued_by="key:test",
        zone="UTC",
    )
    assert plain.text_number == "F-2027-000017"
    assert msgspec.structs.replace(plain, number=1_234_567).text_number == "F-2027-1234567"


class _Clock:
    def now(self) -> datetime:
        return NOON
