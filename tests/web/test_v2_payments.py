"""A payment's story, the search by any id, and mandates under ``/v2``."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from tests.payments.scripted import UNRESOLVED, declined
from tests.web.v2_house import V2, Json, Tenant, open_v2

from tongbao.channels.schema import Reason
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.payments.schema.intents import CaptureMethod


@pytest.fixture(scope="module")
async def v2(database: Database, ids: IdFactory) -> AsyncIterator[V2]:
    async with open_v2(database, ids) as opened:
        yield opened


@pytest.fixture
async def tenant(v2: V2) -> Tenant:
    return await v2.tenant()


async def story_of(v2: V2, tenant: Tenant, reference: str) -> Json:
    return await v2.get(tenant, f"/v2/payments/{reference}/story")


async def test_story_of_a_full_life_is_told_in_time_order_and_adds_up(v2: V2, tenant: Tenant) -> None:
    """A no, a yes by another channel, two captures, a refund, a dispute: one answer tells all of it."""
    clock, payments = v2.house.clock, v2.house.payments
    v2.channel().reply("authorize", declined(Reason.CHANNEL_UNAVAILABLE, "91"))
    view = await v2.pay(tenant, amount_minor=3_000, capture_method=CaptureMethod.MANUAL_MULTIPLE)
    intent_id = view.intent.id
    for amount, final in ((1_000, False), (1_500, True)):
        clock.advance(timedelta(seconds=1))
        await payments.intents.capture(tenant.scope, intent_id, amount, final=final)
    clock.advance(timedelta(seconds=1))
    await payments.refunds.create(tenant.scope, intent_id=intent_id, amount_minor=400)
    paid = (await payments.intents.get(tenant.scope, intent_id)).attempt
    assert paid is not None
    clock.advance(timedelta(seconds=1))
    await v2.dispute(paid, paid.channel)

    story = await story_of(v2, tenant, view.intent.reference)
    intent = story["payment_intent"]
    assert (intent["status"], intent["amount_received_minor"], intent["amount_refunded_minor"]) == (
        "succeeded",
        2_500,
        400,
    )
    assert [(attempt["channel"], attempt["status"]) for attempt in story["attempts"]] == [
        ("one", "declined"),
        ("two", "captured"),
    ]
    assert (story["attempts"][0]["reason"], story["attempts"][0]["code"]) == ("channel_unavailable", "91")
    acts = [(act["operation"], act["amount_minor"], act["status"]) for act in story["attempts"][1]["acts"]]
    assert acts == [("capture", 1_000, "approved"), ("capture", 1_500, "approved")]
    assert [refund["amount_minor"] for refund in story["refunds"]] == [400]
    assert [dispute["network_reason_code"] for dispute in story["disputes"]] == ["10.4"]

    trail = [(row["kind"], row["code"], row["debit_account"]) for row in story["transfers"]]
    assert trail[0] == ("hold", "payment.authorized", "channel_receivable/two")
    assert [code for _, code, _ in trail].count("payment.captured") == 2
    assert {row["currency"] for row in story["transfers"]} == {"CNY"}
    known = {row["key"] for row in story["transfers"]}
    assert all(row["refers_to"] in known for row in story["transfers"] if row["refers_to"])
    await _moves_add_up(v2, tenant, story)

    instants = [datetime.fromisoformat(moment["at"]) for moment in story["timeline"]]
    assert instants == sorted(instants)
    told = [moment["what"] for moment in story["timeline"]]
    assert told[0] == "payment_intent.created"
    assert told.count("transfer.recorded") == len(story["transfers"])
    without = [what for what in told if what != "transfer.recorded"]
    first = without.index
    assert first("attempt.sent") < first("capture.sent") < first("refund.sent") < first("dispute.opened")


async def _moves_add_up(v2: V2, tenant: Tenant, story: Json) -> None:
    """The posted rows of the trail are all that stands on the merchant's account for money on its way."""
    moved = 0
    for row in story["transfers"]:
        if row["kind"] in {"plain", "capture"}:
            moved += row["amount_minor"] if row["credit_account"] == "in_transit" else 0
            moved -= row["amount_minor"] if row["debit_account"] == "in_transit" else 0
    before, v2.house.scope = v2.house.scope, tenant.scope
    try:
        assert await v2.house.balance("in_transit") == moved
    finally:
        v2.house.scope = before


async def test_story_of_an_unknown_outcome_says_so(v2: V2, tenant: Tenant) -> None:
    v2.channel().reply("authorize", UNRESOLVED)
    view = await v2.pay(tenant)
    story = await story_of(v2, tenant, view.intent.reference)
    assert (story["payment_intent"]["status"], story["payment_intent"]["certainty"]) == (
        "processing",
        "unknown",
    )
    (attempt,) = story["attempts"]
    assert (attempt["status"], attempt["ended_at"], story["transfers"]) == ("unresolved", None, [])


async def test_story_tells_no_secret_and_nobodys_address(v2: V2, tenant: Tenant) -> None:
    view = await v2.pay(tenant, receipt_email="mei@example.com")
    answer = await v2.http.get(f"/v2/payments/{view.intent.reference}/story", headers=tenant.headers)
    for hidden in ("mei@example.com", view.intent.client_secret, "tok_test"):
        assert hidden not in answer.text


async def test_search_by_any_id_finds_the_payment(v2: V2) -> None:
    tenant = await v2.furnished()
    reference = tenant.ids["payment"]
    by_order = await v2.pay(tenant, merchant_reference="order 7")
    attempt = by_order.attempt
    assert attempt is not None
    assert attempt.channel_reference is not None
    for text, wanted in (
        (reference, reference),
        (tenant.ids["attempt"], reference),
        (tenant.ids["attempt"].replace("pa_", "ch_"), reference),
        (tenant.ids["refund"], reference),
        (tenant.ids["setup"], tenant.ids["setup"]),
        (tenant.ids["customer"], reference),
        ("order 7", by_order.intent.reference),
        ("  order 7 ", by_order.intent.reference),
        (attempt.channel_reference, by_order.intent.reference),
    ):
        found = await v2.get(tenant, "/v2/payments/search", q=text)
        assert wanted in [each["id"] for each in found["data"]], text
        assert found["has_more"] is False


async def test_search_by_the_id_of_a_dispute_finds_the_payment(v2: V2, tenant: Tenant) -> None:
    view = await v2.pay(tenant)
    assert view.attempt is not None
    await v2.dispute(view.attempt)
    story = await story_of(v2, tenant, view.intent.reference)
    found = await v2.get(tenant, "/v2/payments/search", q=story["disputes"][0]["id"])
    assert [each["id"] for each in found["data"]] == [view.intent.reference]


@pytest.mark.parametrize(
    "text",
    [
        *("x", "pi_", "pi_x", "cus_x", "cus_00000000000000000000000000"),
        *("seti_x", "seti_00000000000000000000000000", "cs_00000000000000000000000000"),
        *("%", "_", "'; DROP TABLE", "中文", "\U0001f600", " "),
    ],
)
async def test_search_for_what_is_not_there_finds_nothing(v2: V2, tenant: Tenant, text: str) -> None:
    assert (await v2.get(tenant, "/v2/payments/search", q=text))["data"] == []


@pytest.mark.parametrize("text", ["", "\0", "a" * 201])
async def test_search_for_what_can_be_no_id_is_refused(v2: V2, tenant: Tenant, text: str) -> None:
    await v2.get(tenant, "/v2/payments/search", 400, q=text)


async def test_search_for_a_customer_with_many_payments_shows_a_hundred(v2: V2, tenant: Tenant) -> None:
    customer_id = await v2.customer(tenant)
    for _ in range(101):
        await v2.pay(tenant, customer_id=customer_id, confirm=None)
    found = await v2.get(tenant, "/v2/payments/search", q=uuid_text("cus", customer_id))
    assert (len(found["data"]), found["has_more"]) == (100, True)


async def test_mandate_that_is_ended_stays_ended(v2: V2) -> None:
    tenant = await v2.furnished()
    path = f"/v2/mandates/{tenant.ids['mandate']}/end"
    ended = await v2.post(tenant, path)
    assert ended["status"] == "inactive"
    assert ended["ends_at"] is not None
    v2.house.clock.advance(timedelta(minutes=1))
    again = await v2.post(tenant, path)
    assert (again["status"], again["ends_at"]) == ("inactive", ended["ends_at"])
    listed = await v2.get(tenant, "/v2/mandates", customer=tenant.ids["customer"])
    assert [(each["id"], each["status"]) for each in listed["data"]] == [(ended["id"], "inactive")]


async def test_mandates_of_a_customer_come_page_by_page_newest_first(v2: V2, tenant: Tenant) -> None:
    customer_id, made = await v2.customer(tenant), []
    for usage in ("off_session", "on_session", "off_session", "off_session"):
        v2.house.clock.advance(timedelta(seconds=1))
        done = await v2.house.payments.setups.create(
            tenant.scope,
            customer_id=customer_id,
            method_id=await v2.method(tenant),
            usage=usage,
            confirm=True,
        )
        assert done.view is not None
        if done.view.mandate is not None:
            made.append(done.view.mandate.reference)
    params: Json = {"customer": uuid_text("cus", customer_id), "limit": 2}
    seen: list[str] = []
    for _ in range(3):
        page = await v2.get(tenant, "/v2/mandates", **params)
        seen += [each["id"] for each in page["data"]]
        if page["next_after"] is None:
            break
        params["after"] = page["next_after"]
    assert seen == made[::-1]
    assert len(seen) == 3


async def test_mandates_need_a_customer(v2: V2, tenant: Tenant) -> None:
    await v2.get(tenant, "/v2/mandates", 400)
    await v2.get(tenant, "/v2/mandates", 400, customer="x")
    await v2.get(tenant, "/v2/mandates", 404, customer="cus_" + "0" * 26)
