"""``tongbao receipts``, ``fees profits`` and the lists over all books, beside the process that serves."""

import csv
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.web.clearing_calls import agree, book, settled
from tests.web.desk_calls import call, parsed, shown
from tests.web.test_clearing_lists import planted
from tests.web.v2_house import Tenant
from tests.web.whole_house import Whole, open_whole

from tongbao.clearing.schema.payouts import PayoutState
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.web.commands import at_desk

NO_PAPER = "rcpt_00000000000000000000000000"
NO_PAYMENT = "pi_00000000000000000000000000"
NO_PAYOUT = "po_00000000000000000000000000"


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 260)


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def code_of(*arguments: object) -> str:
    """The code with which a command is refused."""
    with pytest.raises(AppError) as refused:
        await call(*arguments)
    return refused.value.code


async def test_receipt_is_issued_listed_shown_and_printed(
    whole: Whole, tenant: Tenant, tmp_path: Path
) -> None:
    payment = await whole.pay(tenant, 10_000)
    await whole.tally()
    merchant = book(tenant)
    made = await shown("receipts", "issue", merchant, payment, "--as", "mei")
    assert made.startswith("R-")
    assert "100.00" in made
    again = await parsed("receipts", "issue", merchant, payment)
    (found,) = await parsed("receipts", "list", merchant)
    assert again == found
    assert (found["issued_by"], found["live"], found["source"]) == ("mei", False, payment)
    listed = await shown("receipts", "list", merchant)
    receipt = next(word for word in listed.split() if word.startswith("rcpt_"))
    assert "card" in await shown("receipts", "show", merchant, receipt)
    assert (await parsed("receipts", "show", merchant, receipt))["number"] == 1
    assert "test" in await shown("receipts", "show", merchant, receipt)
    out = tmp_path / "paper.html"
    assert str(out) in await shown("receipts", "page", merchant, receipt, "--out", out, "--lang", "zh")
    assert "收款凭证" in out.read_text(encoding="utf-8")
    assert await code_of("receipts", "page", merchant, receipt, "--out", tmp_path / "no" / "x.html") == (
        "file_unwritable"
    )


async def test_receipts_that_cannot_be_are_refused_with_their_codes(whole: Whole, tenant: Tenant) -> None:
    stranger = await whole.tenant()
    merchant, other = book(tenant), book(stranger)
    await whole.pay(stranger)
    payment = await whole.pay(tenant)
    await whole.tally()
    month = datetime.now(UTC).strftime("%Y-%m")
    for arguments, code in (
        (("issue", merchant, NO_PAYMENT), "payment_unknown"),
        (("issue", other, payment), "payment_unknown"),
        (("issue", merchant, "x"), "id_malformed"),
        (("issue", "book_x", payment), "book_unknown"),
        (("show", merchant, NO_PAPER), "receipt_unknown"),
        (("show", merchant, "x"), "id_malformed"),
        (("invoice", merchant, "CNY", "2020-1"), "statement_time_invalid"),
        (("invoice", merchant, "CNY", "2020-13"), "statement_time_invalid"),
        (("invoice", merchant, "XXQ", "2020-01"), "currency_unknown"),
        (("invoice", merchant, "CNY", "2020-01"), "invoice_empty"),
        (("invoice", merchant, "CNY", month), "invoice_too_early"),
    ):
        assert await code_of("receipts", *arguments) == code, arguments


async def test_profits_are_told_as_a_table_as_json_and_as_a_file(
    whole: Whole, tenant: Tenant, tmp_path: Path
) -> None:
    await agree(whole, tenant)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    today = datetime.now(UTC).date()
    span = ("--from", today - timedelta(days=2), "--to", today + timedelta(days=3))
    base = ("fees", "profits", *span, "--test", "--book", book(tenant))
    out = tmp_path / "profits.csv"
    table = await shown(*base, "--by", "book", "--by", "channel", "--csv", out)
    assert book(tenant) in table
    assert "¥0.38" in table
    (line,) = await parsed(*base, "--by", "book")
    assert (line["book"], line["volume_minor"], line["fees_minor"]) == (book(tenant), 10_000, 38)
    assert line["margin_minor"] == 38 - line["cost_minor"]
    (row,) = csv.DictReader(out.read_text(encoding="utf-8-sig").splitlines())
    assert (row["Sales"], row["Fees with tax"]) == ("100.00", "0.38")
    assert await parsed(*base[:-3], "--test", "--book", book(tenant), "--channel", "moon") == []
    assert await code_of(*base, "--zone", "Moon/Base") == "zone_unknown"
    assert await code_of("fees", "profits", "--from", today, "--to", today) == "statement_time_invalid"
    assert await code_of(*base, "--csv", tmp_path / "no" / "x.csv") == "file_unwritable"


async def test_payouts_of_all_books_are_listed_by_filter(whole: Whole, tenant: Tenant) -> None:
    await whole.pay(tenant)
    made = await planted(whole, tenant, 3)
    (gone,) = await planted(whole, tenant, 1, state=PayoutState.RETURNED, currency="USD")
    listed = await shown("payouts", "list", "--limit", 2)
    assert gone in listed
    assert "There are more" in listed
    assert len(await parsed("payouts", "list", book(tenant), "--limit", 10_000)) == 4
    (found,) = await parsed("payouts", "list", "--state", "returned", "--currency", "usd")
    assert found["state"] == "returned"
    assert len(await parsed("payouts", "list", book(tenant), "--on", "2031-05-05")) == 4
    assert await parsed("payouts", "list", book(tenant), "--on", "2031-05-06") == []
    assert await code_of("payouts", "list", "book_x") == "book_unknown"
    resolve = ("payouts", "resolve", book(tenant))
    assert await code_of(*resolve, made[0], "paid", "--note", "x", "--as", "mei") == "payout_state"
    assert await code_of(*resolve, NO_PAYOUT, "paid", "--note", "x", "--as", "mei") == "payout_unknown"
    assert await code_of(*resolve, made[0], "paid", "--note", "", "--as", "mei") == "note_missing"


async def test_batches_beyond_one_page_are_listed(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant, approval_above_minor=1)
    for _ in range(3):
        await whole.pay(tenant, 1_000)
        await settled(whole, tenant)
    listed = await shown("settle", "batches", "--book", book(tenant), "--limit", 2)
    assert "There are more" in listed
    assert len(await parsed("settle", "batches", "--book", book(tenant), "--limit", 2)) == 2
    assert len(await parsed("settle", "batches", "--book", book(tenant), "--currency", "cny")) == 3
    assert await parsed("settle", "batches", "--book", book(tenant), "--currency", "EUR") == []
