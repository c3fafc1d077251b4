"""``/v2/receipts``: papers of payments, refunds and months, as data and as pages; a merchant's own, and the house's sight of all."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from lxml import html
from tests.web.clearing_calls import agree, book, clerk, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole, Permission

RECEIPTS = "/v2/receipts"
HOUSE = "/v2/operations/receipts"
NO_PAPER = "rcpt_00000000000000000000000000"
NO_PAYMENT = "pi_00000000000000000000000000"
NO_REFUND = "re_00000000000000000000000000"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def issued(whole: Whole, tenant: Tenant, amount: int = 10_000) -> tuple[str, Json]:
    """A payment and its receipt."""
    whole.clock.advance(timedelta(seconds=1))
    payment = await whole.pay(tenant, amount)
    await whole.tally()
    return payment, await whole.post(tenant, RECEIPTS, {"payment": payment}, 201)


async def test_issue_receipt_twice_is_the_same_paper(whole: Whole, tenant: Tenant) -> None:
    payment, made = await issued(whole, tenant)
    assert (made["object"], made["kind"], made["source"]) == ("receipt", "receipt", payment)
    assert (made["total_minor"], made["tax_minor"], made["currency"]) == (10_000, 0, "CNY")
    assert made["number"].startswith("R-")
    assert made["number"].endswith("-000001")
    assert (made["live"], made["issued_by"][:4]) == (False, "key:")
    again = await whole.post(tenant, RECEIPTS, {"payment": payment}, 201)
    assert again == made
    assert await whole.get(tenant, f"{RECEIPTS}/{made['id']}") == made


async def test_issue_refund_receipt_tells_what_went_back(whole: Whole, tenant: Tenant) -> None:
    payment = await whole.pay(tenant, 10_000)
    answer = await whole.send(
        tenant, "POST", "/v1/refunds", data={"payment_intent": payment, "amount": "400"}
    )
    refund = answer.json()["id"]
    await whole.tally()
    made = await whole.post(tenant, RECEIPTS, {"refund": refund}, 201)
    assert (made["kind"], made["total_minor"], made["source"]) == ("refund_receipt", -400, refund)


async def test_papers_come_in_pages_and_by_kind(whole: Whole, tenant: Tenant) -> None:
    made = [(await issued(whole, tenant, 1_000 + each))[1]["id"] for each in range(3)]
    first = await whole.get(tenant, RECEIPTS, limit=2)
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (made[:0:-1], True)
    rest = await whole.get(tenant, RECEIPTS, limit=2, ending_before=made[1])
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (made[:1], False)
    assert (await whole.get(tenant, RECEIPTS, kind="invoice"))["data"] == []
    assert len((await whole.get(tenant, RECEIPTS, kind="receipt"))["data"]) == 3


async def test_invoice_names_its_taxes_and_so_does_the_bill(whole: Whole, tenant: Tenant) -> None:
    spec = {
        "charges": [
            {
                "name": "processing",
                "tiers": [{"rate_e6": 10_000}],
                "tax_name": "VAT",
                "tax_e6": 60_000,
            },
            {
                "name": "service",
                "match": {"currencies": ["CNY"]},
                "tiers": [{"fixed_minor": {"CNY": 100}}],
                "tax_name": "GST",
                "tax_e6": 22_750,
            },
        ]
    }
    name = f"tea_{tenant.scope.book_id:x}"
    async with clerk(whole) as mei, clerk(whole) as chen:
        body = {"name": name, "spec": spec, "note": "with tax"}
        draft = told(await mei.post("/v2/fees/versions", json=body), 201)
        path = f"/v2/fees/versions/{draft['version']}"
        now = whole.clock.now()
        span = {"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()}
        told(await mei.post(f"{path}/simulate", json={"name": name} | span))
        told(await chen.post(f"{path}/publish", json={"name": name, "note": "seen"}))
    whole.clock.advance(timedelta(minutes=2))
    await agree(whole, tenant, schedule=name)
    await whole.pay(tenant, 10_000)
    month = whole.clock.now().strftime("%Y-%m")
    await settled(whole, tenant)
    (line,) = (await whole.get(tenant, "/v2/settlements/bill"))["data"]
    assert (line["fee_minor"], line["tax_minor"]) == (100 + 6 + 100 + 2, 8)
    told_parts = [
        (each["name"], each["tax_minor"], each["tax_name"], each["tax_e6"], each["tax_bps"])
        for each in line["parts"]
    ]
    assert told_parts == [("processing", 6, "VAT", 60_000, 600), ("service", 2, "GST", 22_750, None)]
    early = {"month": month, "currency": "CNY"}
    assert await whole.refused(tenant, "POST", RECEIPTS, early) == (409, "invoice_too_early")
    begun = whole.clock.now()
    whole.clock.set(datetime(begun.year + begun.month // 12, begun.month % 12 + 1, 2, tzinfo=UTC))
    invoice = await whole.post(tenant, RECEIPTS, early, 201)
    assert (invoice["kind"], invoice["source"], invoice["total_minor"]) == ("invoice", month, 208)
    assert invoice["tax_minor"] == 8
    assert [(each["name"], each["tax_name"], each["tax_bps"]) for each in invoice["items"]] == [
        ("processing", "VAT", 600),
        ("service", "GST", None),
    ]
    assert invoice["taxes"] == [
        {"name": "GST", "rate_e6": 22_750, "rate_bps": None, "net_minor": 100, "amount_minor": 2},
        {"name": "VAT", "rate_e6": 60_000, "rate_bps": 600, "net_minor": 100, "amount_minor": 6},
    ]
    page = await whole.send(tenant, "GET", f"{RECEIPTS}/{invoice['id']}/page", params={"language": "zh"})
    shown = html.document_fromstring(page.text).text_content()
    for words in ("通宝", "VAT 6%", "GST 2.275%", "税额汇总", "2.08"):
        assert words in shown


async def test_page_lets_in_its_own_style_alone_and_escapes_what_others_wrote(
    whole: Whole, tenant: Tenant
) -> None:
    order = {
        "amount": "10000",
        "currency": "cny",
        "confirm": "true",
        "payment_method": "pm_card_visa",
        "description": "<script>alert(1)</script>",
    }
    payment = (await whole.send(tenant, "POST", "/v1/payment_intents", data=order)).json()["id"]
    await whole.tally()
    made = await whole.post(tenant, RECEIPTS, {"payment": payment}, 201)
    page = await whole.send(tenant, "GET", f"{RECEIPTS}/{made['id']}/page")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text
    shown = html.document_fromstring(page.text).text_content()
    for words in ("<script>alert(1)</script>", "100.00", "test mode", made["number"]):
        assert words in shown


async def test_papers_of_another_merchant_are_unknown(whole: Whole, tenant: Tenant) -> None:
    payment, made = await issued(whole, tenant)
    other = await whole.tenant()
    assert await whole.refused(other, "GET", f"{RECEIPTS}/{made['id']}") == (404, "receipt_unknown")
    assert await whole.refused(other, "GET", f"{RECEIPTS}/{made['id']}/page") == (404, "receipt_unknown")
    assert await whole.refused(other, "POST", RECEIPTS, {"payment": payment}) == (404, "payment_unknown")
    assert (await whole.get(other, RECEIPTS))["data"] == []
    assert (await whole.get(other, RECEIPTS, ending_before=made["id"]))["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "receipt_order_invalid"),
        ({"payment": NO_PAYMENT, "refund": NO_REFUND}, 400, "receipt_order_invalid"),
        ({"payment": NO_PAYMENT, "currency": "CNY"}, 400, "receipt_order_invalid"),
        ({"month": "2026-01"}, 400, "receipt_order_invalid"),
        ({"currency": "CNY"}, 400, "receipt_order_invalid"),
        ({"payment": "x"}, 400, "id_malformed"),
        ({"refund": NO_PAYMENT}, 400, "id_malformed"),
        ({"payment": "pi_" + "0" * 80}, 400, "request_invalid"),
        ({"payment": NO_PAYMENT}, 404, "payment_unknown"),
        ({"refund": NO_REFUND}, 404, "refund_unknown"),
        ({"month": "2026-13", "currency": "CNY"}, 400, "request_invalid"),
        ({"month": "2026-1", "currency": "CNY"}, 400, "request_invalid"),
        ({"month": "2020-01", "currency": "cny"}, 400, "request_invalid"),
        ({"month": "2020-01", "currency": "XXQ"}, 400, "currency_unknown"),
        ({"month": "2020-01", "currency": "CNY"}, 409, "invoice_empty"),
        ({"payment": NO_PAYMENT, "amount_minor": 5}, 400, "request_invalid"),
    ],
)
async def test_order_that_names_no_paper_is_refused(
    whole: Whole, tenant: Tenant, body: Json, status: int, code: str
) -> None:
    assert await whole.refused(tenant, "POST", RECEIPTS, body) == (status, code)


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        (f"{RECEIPTS}/x", {}, 404, "resource_missing"),
        (f"{RECEIPTS}/{NO_PAPER}", {}, 404, "receipt_unknown"),
        (f"{RECEIPTS}/{NO_PAPER}/page", {}, 404, "receipt_unknown"),
        (f"{RECEIPTS}/{NO_PAPER}/page", {"language": "fr"}, 400, "request_invalid"),
        (RECEIPTS, {"ending_before": "x"}, 400, "id_malformed"),
        (RECEIPTS, {"limit": 101}, 400, "request_invalid"),
        (RECEIPTS, {"limit": 0}, 400, "request_invalid"),
        (RECEIPTS, {"kind": "cake"}, 400, "request_invalid"),
    ],
)
async def test_question_that_cannot_be_is_refused(
    whole: Whole, tenant: Tenant, path: str, params: Json, status: int, code: str
) -> None:
    assert await whole.refused(tenant, "GET", path, **params) == (status, code)


async def test_key_that_may_only_read_reports_issues_nothing(whole: Whole, tenant: Tenant) -> None:
    payment, made = await issued(whole, tenant)
    reader = Tenant(tenant.merchant, tenant.scope, await whole.key(tenant, Permission.REPORTS_READ))
    assert await whole.get(reader, f"{RECEIPTS}/{made['id']}") == made
    assert (await whole.refused(reader, "POST", RECEIPTS, {"payment": payment}))[0] == 403


async def test_payment_that_nobody_paid_has_no_receipt(whole: Whole, tenant: Tenant) -> None:
    order = {"amount": "500", "currency": "cny"}
    payment = (await whole.send(tenant, "POST", "/v1/payment_intents", data=order)).json()["id"]
    found = await whole.refused(tenant, "POST", RECEIPTS, {"payment": payment})
    assert found == (409, "receipt_without_sale")


async def test_house_reads_papers_of_its_mode_with_the_right(whole: Whole, tenant: Tenant) -> None:
    _, made = await issued(whole, tenant)
    path = f"{HOUSE}/{book(tenant)}"
    other = await whole.tenant()
    async with clerk(whole) as mei:
        (found,) = told(await mei.get(path))["data"]
        assert (found["id"], found["number"]) == (made["id"], made["number"])
        assert told(await mei.get(f"{path}/{made['id']}")) == found
        live = {"Tongbao-Mode": "live"}
        assert refusal(await mei.get(f"{path}/{made['id']}", headers=live)) == (404, "receipt_unknown")
        elsewhere = f"{HOUSE}/{book(other)}/{made['id']}"
        assert refusal(await mei.get(elsewhere)) == (404, "receipt_unknown")
        assert refusal(await mei.get(f"{HOUSE}/x")) == (404, "resource_missing")
        assert refusal(await mei.get(path, params={"ending_before": "x"})) == (400, "id_malformed")
    async with whole.operator(OperatorRole.OPERATOR_L1) as desk:
        assert (await desk.get(path)).status_code == 403
    assert (await whole.refused(tenant, "GET", path))[0] == 401
