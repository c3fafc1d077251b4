"""Refunds, disputes, links, the till and customers: lists, pages, acts with their effects, and what is refused."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.faces.merchant_place import HOSTILE, Shop, open_quiet_shop
from tests.web.merchant.visits import Visit, member, visit

from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import MerchantRole
from tongbao.payments.schema.checkout import OpenAmount, PaymentLink
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.schema.refunds import Dispute, DisputeState


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_quiet_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def owner(shop: Shop) -> AsyncIterator[Visit]:
    async with visit(shop) as made:
        yield made


async def dispute_of(shop: Shop, reference: str) -> Dispute:
    return await shop.whole.house.payments.disputes.get(shop.tenant.scope, parse_uuid("dp", reference))


async def links(shop: Shop) -> list[PaymentLink]:
    return (await shop.whole.house.payments.sessions.links(shop.tenant.scope, PageOrder(limit=100))).items


async def test_refunds_are_listed_and_lead_to_their_payment(shop: Shop, owner: Visit) -> None:
    text = await owner.page("/refunds")
    assert "¥60.00" in text
    assert f"/payments/{shop.named['refunded']}" in text
    one = await owner.page(f"/refunds/{shop.named['refund']}")
    assert "¥60.00 returned to the payer" in one
    assert "Nothing" in await owner.page("/refunds?state=failed")
    assert "Nothing" in await owner.page("/refunds?to=2001-01-01")


@pytest.mark.parametrize(
    ("path", "row"),
    [("/refunds", {"Amount": "60.00", "Currency": "CNY"}), ("/disputes", {"Amount": "456.00"})],
)
async def test_list_is_exported(owner: Visit, path: str, row: dict[str, str]) -> None:
    (found,) = csv.DictReader(io.StringIO((await owner.answer(f"{path}?format=csv")).text))
    assert {key: found[key] for key in row} == row


async def test_dispute_says_what_the_payer_says_and_until_when(shop: Shop, owner: Visit) -> None:
    text = await owner.page("/disputes")
    assert "“It never came” (13.1)" in text
    assert "8 days left" in text
    assert "Answer by" in await owner.page(f"/disputes/{shop.named['dispute']}")


async def test_evidence_is_kept_then_handed_in_and_shown(shop: Shop, owner: Visit) -> None:
    reference = await shop.dispute(await shop.pay("d1", 3_000))
    path = f"/disputes/{reference}"
    kept = await owner.send(path, path, step="keep", shipping_carrier="SF <Express>")
    assert kept.headers["location"].endswith("said=dispute_keep")
    assert (await dispute_of(shop, reference)).evidence == {"shipping_carrier": "SF <Express>"}
    done = await owner.send(path, path, step="submit", shipping_carrier="SF <Express>", service_date="1 May")
    assert done.status_code == 303
    found = await dispute_of(shop, reference)
    assert (found.state, found.submission_count) == (DisputeState.UNDER_REVIEW, 1)
    text = await owner.page(path)
    assert "SF &lt;Express&gt;" in text
    assert "Hand in" not in text


async def test_dispute_is_accepted(shop: Shop, owner: Visit) -> None:
    reference = await shop.dispute(await shop.pay("d2", 3_000))
    path = f"/disputes/{reference}"
    answer = await owner.send(path, path, step="accept")
    assert answer.status_code == 303
    assert (await dispute_of(shop, reference)).state is DisputeState.LOST
    assert "went back to the payer" in await owner.page(path)
    assert 'value="accept"' not in await owner.page(path)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"step": "submit"}, 422),
        ({"step": "keep", "product_description": "x" * 4_001}, 422),
        ({"step": "shred"}, 404),
        ({}, 404),
    ],
)
async def test_answer_that_cannot_be_is_not_taken(
    shop: Shop, owner: Visit, fields: dict[str, str], status: int
) -> None:
    path = f"/disputes/{shop.named['dispute']}"
    assert (await owner.send(path, path, **fields)).status_code == status
    assert (await dispute_of(shop, shop.named["dispute"])).evidence == {}


async def test_answer_after_its_time_is_not_taken(shop: Shop) -> None:
    reference = await shop.dispute(await shop.pay("d3", 3_000), days=1)
    path = f"/disputes/{reference}"
    async with visit(shop) as early:
        form = await early.hidden(path)
    shop.whole.clock.advance(timedelta(days=1, minutes=1))
    async with visit(shop) as late:
        fields = {"once": form["once"], "step": "submit", "service_date": "1 May"}
        other = f"/disputes/{shop.named['dispute']}"
        answer = await late.send(path, other, **fields)
        assert answer.status_code == 409
        assert "The time to answer is over." in answer.text
        assert "Hand in" not in await late.page(path)


async def test_viewer_may_look_and_not_answer(shop: Shop) -> None:
    async with visit(shop, await member(shop, MerchantRole.VIEWER)) as viewer:
        path = f"/disputes/{shop.named['dispute']}"
        assert "Hand in" not in await viewer.page(path)
        assert (await viewer.send(path, "/payments", step="accept")).status_code == 403
        for page in ("/links/new", "/till"):
            await viewer.page(page, 403)


async def test_link_whose_payer_chooses_the_sum_is_made_and_tells_its_bounds(
    shop: Shop, owner: Visit
) -> None:
    fields = {"name": "Gift", "kind": "open", "least": "5", "top": "200", "preset": "20", "currency": "CNY"}
    fields["once"] = (await owner.hidden("/links/new?kind=open"))["once"]
    assert (await owner.send("/links/new?kind=open", "/links/new", **fields)).status_code == 303
    link = (await links(shop))[0]
    assert link.open_amount == OpenAmount(least_minor=500, most_minor=20_000, preset_minor=2_000)
    for page in (f"/links/{link.reference}", f"/links/{link.reference}/poster", "/links"):
        assert "¥5.00 – " in await owner.page(page)


async def test_link_is_made_once_and_switched(shop: Shop, owner: Visit) -> None:
    before = len(await links(shop))
    fields = {"name": HOSTILE, "amount": "88.00", "currency": "CNY", "most": "3"}
    fields["once"] = (await owner.hidden("/links/new"))["once"]
    answers = [await owner.send("/links/new", "/links/new", **fields) for _ in range(2)]
    assert [each.status_code for each in answers] == [303, 303]
    link = (await links(shop))[0]
    assert len(await links(shop)) == before + 1
    assert (link.amount_minor, link.currency, link.completed_count_max) == (8_800, "CNY", 3)
    path = f"/links/{link.reference}"
    for page in (path, f"{path}/poster", "/links"):
        text = await owner.page(page)
        assert HOSTILE not in text
        assert "&lt;img src=x" in text
    code = await owner.answer(f"{path}/code.svg")
    assert code.headers["content-type"] == "image/svg+xml"
    assert (await owner.send(path, path, active="0")).status_code == 303
    assert not (await links(shop))[0].active
    assert (await owner.send(path, path, active="1")).status_code == 303
    assert (await links(shop))[0].active


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "amount": "1.00", "currency": "CNY"},
        {"name": "Tea", "amount": "0", "currency": "CNY"},
        {"name": "Tea", "amount": "1.005", "currency": "CNY"},
        {"name": "Tea", "amount": "1.00", "currency": "ABC"},
        {"name": "Tea", "amount": "1.00", "currency": ""},
        {"name": "Tea", "amount": "1.00", "currency": "CNY", "most": "0"},
        {"name": "T" * 121, "amount": "1.00", "currency": "CNY"},
        {"name": "Tea", "kind": "open", "least": "", "top": "9", "currency": "CNY"},
        {"name": "Tea", "kind": "open", "least": "10", "top": "9", "currency": "CNY"},
        {"name": "Tea", "kind": "open", "least": "1", "top": "9", "preset": "10", "currency": "CNY"},
    ],
)
async def test_link_with_a_wrong_field_is_not_made(shop: Shop, owner: Visit, fields: dict[str, str]) -> None:
    before = len(await links(shop))
    answer = await owner.send("/links/new", "/links/new", **fields)
    assert answer.status_code == 422
    assert 'class="wrong"' in answer.text
    assert len(await links(shop)) == before


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"amount": "5.00", "currency": "CNY", "code": "123"}, 400, "This is no pay code."),
        ({"amount": "", "currency": "CNY", "code": "123"}, 422, "wrong"),
        ({"amount": "5.00", "currency": "CNY", "code": ""}, 422, "wrong"),
    ],
)
async def test_till_says_what_is_wrong_with_a_code(
    owner: Visit, fields: dict[str, str], status: int, words: str
) -> None:
    answer = await owner.send("/till", "/till", **fields)
    assert answer.status_code == status
    assert words in answer.text


async def test_customers_are_found_and_show_what_they_paid(shop: Shop, owner: Visit) -> None:
    text = await owner.page("/customers")
    assert "陈美" in text
    assert HOSTILE not in text
    assert "陈美" in await owner.page("/customers?q=mei@example.com")
    assert "陈美" in await owner.page(f"/customers?q={shop.named['mei']}")
    for word in ("nobody@example.com", "cus_wrong", "mei"):
        assert "Nothing" in await owner.page(f"/customers?q={word}")
    one = await owner.page(f"/customers/{shop.named['mei']}")
    assert "¥168.00" in one
    assert "4242424242424242" not in one
    assert shop.named["plain"] in await owner.page(f"/payments?q={shop.named['mei']}")


async def test_things_of_another_merchant_are_not_found(shop: Shop, owner: Visit) -> None:
    other = await shop.whole.tenant()
    made = await shop.whole.send(other, "POST", "/v1/customers", data={"name": "Theirs"})
    paid = await shop.whole.pay(other)
    refund = await shop.whole.send(other, "POST", "/v1/refunds", data={"payment_intent": paid})
    for path in (f"/customers/{made.json()['id']}", f"/refunds/{refund.json()['id']}", f"/payments/{paid}"):
        await owner.page(path, 404)
