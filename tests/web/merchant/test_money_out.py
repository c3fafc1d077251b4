"""Settlements, payouts, the bill, statements and receipts: what is read, by whom, and accounts changed by two people."""

import io
import re
import zipfile
from collections.abc import AsyncIterator

import pytest
from tests.faces.merchant_money_place import CODE, Till, open_till
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.merchant.money_visits import Visit, visit

from tongbao.clearing.schema.agreements import Agreement
from tongbao.clearing.schema.payouts import DestinationState
from tongbao.core.db import Database
from tongbao.core.ids import int_text, parse_uuid
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole
from tongbao.web.ui.money import amount

PAGES = (
    "/settlements",
    "/settlements/adjustments",
    "/settlements/{batch2}",
    "/payouts",
    "/payouts/{payout1}",
    "/payouts/accounts",
    "/payouts/accounts/{proposed}",
    "/bill",
    "/bill/where?q={payment}",
    "/statements",
    "/receipts",
)
OWN = (
    "/settlements/{batch0}",
    "/payouts/{payout0}",
    "/payouts/accounts/{account}",
    "/receipts/{receipt}",
)
RAW = re.compile(r">\s*(?:part_paid|requires_[a-z]+|in_transit|PayoutState|BatchState|None)\s*<")


@pytest.fixture(scope="module")
async def till(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Till]:
    async with open_till(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def late(till: Till) -> Till:
    """The merchant once it is paid so late that months come which nobody has announced; asked for by the last test."""
    await till.whole.house.clearing.agreements.make(
        till.tenant.scope.book_id, "CNY", Agreement(days=60), actor="mei", note="for a test"
    )
    return till


@pytest.fixture
async def owner(till: Till) -> AsyncIterator[Visit]:
    async with visit(till) as made:
        yield made


def filled(path: str, till: Till) -> str:
    """A path with the ids of this merchant."""
    return path.format_map(till.named)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_page_in_each_language_shows_words_and_escapes_names(
    till: Till, owner: Visit, path: str, language: str
) -> None:
    text = await owner.page(filled(path, till), language=language)
    assert f'lang="{language}"' in text
    assert "<script>alert" not in text
    assert not RAW.search(text), RAW.search(text)


@pytest.mark.parametrize("path", OWN)
async def test_ids_of_another_merchant_or_mode_are_not_found(till: Till, owner: Visit, path: str) -> None:
    other = await till.whole.people.merchant()
    assert (await owner.answer(filled(path, till))).status_code == 200
    assert (await owner.answer(filled(path, till) + "?mode=live")).status_code == 404
    stranger = await till.whole.people.member(scope_of(other), MerchantRole.OWNER, PASSWORD)
    async with visit(till, stranger) as outside:
        home = f"/merchant/{int_text(MERCHANT_PREFIX, other.merchant_id)}"
        assert (await outside.answer(filled(path, till), home=home)).status_code == 404
        assert (await outside.answer(filled(path, till))).status_code == 404


async def test_settlements_show_the_running_period_and_each_batch(till: Till, owner: Visit) -> None:
    text = await owner.page("/settlements")
    for words in ("¥77.00", "+¥15.00", "Held as reserve", "¥271.56", "¥431.47", "Paid out", "Approved"):
        assert words in text, words
    filtered = await owner.page("/settlements?state=paid")
    assert "¥271.56" in filtered
    assert "¥376.03" not in filtered


async def test_batch_adds_up_from_gross_to_net(till: Till, owner: Visit) -> None:
    text = await owner.page(filled("/settlements/{batch2}", till))
    for words in (
        "¥427.00",
        "−¥28.00",
        "−¥21.35",
        "¥376.03",
        "Card processing",
        "Fees and reserve are final",
    ):
        assert words in text, words
    assert till.named["payment"] in text
    assert f"/payouts/{till.named['payout2']}" in text


async def test_settlements_as_a_file_hold_plain_amounts(till: Till, owner: Visit) -> None:
    answer = await owner.answer("/settlements?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    lines = answer.text.splitlines()
    assert len(lines) == 4
    assert "271.56" in answer.text
    assert till.named["batch0"] in answer.text


async def test_adjustment_and_absence_of_debts_are_told(till: Till, owner: Visit) -> None:
    text = await owner.page("/settlements/adjustments")
    assert "+¥15.00" in text
    assert "Goodwill &lt;script&gt;" in text
    assert "You owe nothing" in text


async def test_payouts_stand_in_calendar_and_list(till: Till, owner: Visit) -> None:
    text = await owner.page("/payouts")
    for words in ("Accepted by the bank", "Sent to the bank", "today", "•••• 2233", "A change is under way"):
        assert words in text, words
    assert "6222020200112233" not in text


@pytest.mark.parametrize(
    ("month", "language", "words"),
    [
        ("2026-10", "en", "National Day"),
        ("2026-10", "zh-CN", "国庆节"),
        ("2026-02", "en", "Spring Festival"),
        ("nonsense", "en", "Calendar"),
        ("9999-99", "en", "Calendar"),
    ],
)
async def test_calendar_names_holidays_of_the_agreement(
    till: Till, owner: Visit, month: str, language: str, words: str
) -> None:
    assert words in await owner.page(f"/payouts?month={month}", language=language)


async def test_payout_tells_its_story(till: Till, owner: Visit) -> None:
    paid = await owner.page(filled("/payouts/{payout0}", till))
    for words in ("Payout made", "Sent to the bank", "The bank booked it", "¥271.56", "Tea House 茶馆"):
        assert words in paid, words
    accepted = await owner.page(filled("/payouts/{payout1}", till))
    assert "The bank accepted it" in accepted


async def test_refused_payout_says_why_and_where_the_money_is(till: Till, owner: Visit) -> None:
    book = till.tenant.scope.book_id
    paying = till.whole.house.clearing.paying
    payout = await paying.get(book, parse_uuid("po", till.named["payout2"]))
    till.answer(payout.end_to_end, "RJCT", "AC04")
    await till.paying()
    text = await owner.page(filled("/payouts/{payout2}", till))
    assert "The account is closed." in text
    assert "paid again once the account is mended" in text
    assert "Payouts to it are stopped" in await owner.page(filled("/payouts/accounts/{account}", till))


async def test_account_takes_two_people(till: Till, owner: Visit) -> None:
    sent = {
        "holder": "Second House",
        "scheme": "local",
        "number": "6222020200445566",
        "agent_code": CODE,
        "country": "cn",
        "currency": "cny",
        "note": "new bank",
    }
    answer = await owner.send("/payouts/accounts/new", "/payouts/accounts/new", **sent)
    assert answer.status_code == 303, answer.text[-2000:]
    path = answer.headers["location"].partition("?")[0].removeprefix(till.home)
    shown = await owner.page(path)
    assert "You proposed it" in shown
    assert "6222020200445566" not in shown
    own = await owner.send(f"{path}/confirm", path)
    assert own.status_code == 403
    async with visit(till, till.second) as second:
        done = await second.send(f"{path}/confirm", path)
        assert done.status_code == 303, done.text[-2000:]
        assert "Nothing is paid to it until" in await second.page(path)
        missing = await second.send(f"{path}/pause", path, reason="")
        assert missing.status_code == 422
        await second.send(f"{path}/pause", path, reason="nobody wanted that")
    found = await till.whole.house.clearing.destinations.get(
        till.tenant.scope.book_id, parse_uuid("dst", path.rpartition("/")[2])
    )
    assert (found.state, found.paused_reason) == (DestinationState.PAUSED, "nobody wanted that")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("number", "12", "4 to 34 letters"),
        ("number", "", "wrong"),
        ("agent_code", "123", "no code of a bank"),
        ("holder", "x", "at least two characters"),
        ("currency", "ZZZ", "no such currency"),
        ("country", "XYZ", "wrong"),
    ],
)
async def test_wrong_account_is_told_beside_its_field(
    till: Till, owner: Visit, field: str, value: str, words: str
) -> None:
    sent = {
        "holder": "Third House",
        "scheme": "local",
        "number": "6222020200445577",
        "agent_code": CODE,
        "country": "CN",
        "currency": "CNY",
    }
    answer = await owner.send("/payouts/accounts/new", "/payouts/accounts/new", **(sent | {field: value}))
    assert answer.status_code in {400, 422}, answer.status_code
    assert words in answer.text
    assert "6222020200445577" not in answer.text


async def test_bill_tells_fee_net_and_day_of_each_movement(till: Till, owner: Visit) -> None:
    text = await owner.page("/bill")
    for words in ("¥128.00", "¥0.49", "¥121.11", "~¥0.29", "Waits for its cut", "Adjustment"):
        assert words in text, words
    refunds = await owner.page("/bill?kind=refund")
    assert "−¥28.00" in refunds
    assert "¥128.00" not in refunds
    one = await owner.page(f"/bill?q={till.named['waiting']}")
    assert "¥77.00" in one
    assert "¥128.00" not in one
    assert (await owner.answer("/bill?after=nonsense")).status_code == 200
    file = await owner.answer("/bill?format=csv")
    assert len(file.text.splitlines()) == 10


@pytest.mark.parametrize("name", ["payment", "refund", "batch0", "payout0", "waiting"])
async def test_money_is_found_by_any_id(till: Till, owner: Visit, name: str) -> None:
    text = await owner.page(f"/bill/where?q={till.named[name]}")
    assert 'class="timeline"' in text
    assert "Counted into" in text or "Cut into a batch" in text


async def test_unknown_id_is_told_with_what_may_be_wrong(till: Till, owner: Visit) -> None:
    text = await owner.page("/bill/where?q=nobody-knows", status=404)
    assert "Check the mode" in text


async def test_statement_is_page_table_workbook_and_print(till: Till, owner: Visit) -> None:
    month = f"{till.whole.clock.now():%Y-%m}"
    page = await owner.page(f"/statements/{month}")
    statements, now = till.whole.house.clearing.statements, till.whole.clock.now()
    period = await statements.month(till.tenant.scope, "CNY", now.year, now.month)
    closing = (await statements.get(till.tenant.scope, "CNY", period)).closing.total_minor
    for words in ("Opening balance", "Closing balance", "Movements by kind", amount(closing, "CNY", "en")):
        assert words in page, words
    table = await owner.answer(f"/statements/{month}?format=csv")
    assert table.headers["content-disposition"].endswith('.csv"')
    workbook = await owner.answer(f"/statements/{month}?format=xlsx")
    assert "xl/workbook.xml" in zipfile.ZipFile(io.BytesIO(workbook.content)).namelist()
    printed = await owner.answer(f"/statements/{month}?format=html")
    assert "default-src 'none'" in printed.headers["content-security-policy"]
    day = f"{till.whole.clock.now():%Y-%m-%d}"
    assert day in await owner.page(f"/statements/{day}")


@pytest.mark.parametrize("path", ["2026", "2026-13", "2026-02-30", "x", "2026-11?currency=yuan"])
async def test_statement_of_no_time_is_not_found(till: Till, owner: Visit, path: str) -> None:
    assert (await owner.answer(f"/statements/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"what": "payment", "reference": "{refund}"}, 409, "not gone back"),
        ({"what": "payment", "reference": "pi_nothing"}, 404, "Nothing here has this id"),
        ({"what": "payment", "reference": ""}, 422, "wrong"),
        ({"what": "month", "month": "2026-13", "currency": "CNY"}, 404, "written like"),
        ({"what": "month", "month": "{month}", "currency": "CNY"}, 409, "not over yet"),
        ({"what": "other"}, 422, "wrong"),
    ],
)
async def test_paper_that_cannot_be_made_says_why(
    till: Till, owner: Visit, fields: dict[str, str], status: int, words: str
) -> None:
    known = till.named | {"month": f"{till.whole.clock.now():%Y-%m}"}
    sent = {name: value.format_map(known) for name, value in fields.items()}
    answer = await owner.send("/receipts", "/receipts", **sent)
    if words == "not gone back" and answer.status_code == 303:
        return  # the channel was quick: the refund has reached its payer, and its receipt is made
    assert answer.status_code == status, answer.text[-2000:]
    assert words in answer.text


async def test_receipt_of_a_payment_is_made_once(till: Till, owner: Visit) -> None:
    answer = await owner.send(
        "/receipts", "/receipts", what="payment", reference=till.named["payment"], currency="CNY"
    )
    assert answer.status_code == 303
    assert till.named["receipt"] in answer.headers["location"]
    printed = await owner.answer(filled("/receipts/{receipt}", till))
    assert f"R-{till.whole.clock.now().year}-000001" in printed.text


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/settlements", MerchantRole.VIEWER, 200),
        ("/payouts/accounts/new", MerchantRole.VIEWER, 403),
        ("/payouts/accounts/new", MerchantRole.SUPPORT, 403),
        ("/payouts/accounts/new", MerchantRole.FINANCE, 200),
    ],
)
async def test_page_is_shown_to_who_may_see_it(
    till: Till, path: str, role: MerchantRole, status: int
) -> None:
    async with visit(till, await till.member(role)) as somebody:
        await somebody.page(path, status=status)


async def test_act_without_permission_or_token_changes_nothing(till: Till, owner: Visit) -> None:
    path = filled("/payouts/accounts/{proposed}", till)
    async with visit(till, await till.member(MerchantRole.VIEWER)) as viewer:
        refused = await viewer.send(f"{path}/retire", path, reason="why not", version="1")
        assert refused.status_code == 403
    forged = await owner.send(f"{path}/retire", path, reason="why not", csrf="forged")
    assert forged.status_code in {401, 403}
    unknown = await owner.send(f"{path}/sell", path, reason="why not")
    assert unknown.status_code == 404
    found = await till.whole.house.clearing.destinations.get(
        till.tenant.scope.book_id, parse_uuid("dst", till.named["proposed"])
    )
    assert found.state is DestinationState.PROPOSED


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "CN 2031 are not announced yet"), ("zh-CN", "CN 2031 年节假日安排尚未公布")],
)
@pytest.mark.usefixtures("late")
async def test_month_that_is_not_announced_says_so(owner: Visit, language: str, words: str) -> None:
    assert words in await owner.page("/payouts?month=2031-02", language=language)
    assert words not in await owner.page("/payouts?month=2026-02", language=language)
