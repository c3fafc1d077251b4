"""Wallets under ``/v2``: opened, filled, emptied, read; whose they are, and in which mode."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.payments.scripted import declined
from tests.web.v2_house import V2, Json, Tenant, open_v2

from tongbao.channels.schema import Reason, Wallet
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory, parse_int, uuid_text
from tongbao.parties.schema import Feature


@pytest.fixture(scope="module")
async def v2(database: Database, ids: IdFactory) -> AsyncIterator[V2]:
    async with open_v2(database, ids) as opened:
        yield opened


@pytest.fixture
async def tenant(v2: V2) -> Tenant:
    return await v2.tenant()


async def balance(v2: V2, tenant: Tenant, wallet: str) -> int:
    found = await v2.get(tenant, f"/v2/wallets/{wallet}", currency="CNY")
    available: int = found["available_minor"]
    return available


def paying(source: str, target: str, amount_minor: int) -> Json:
    return {"from_wallet": source, "to_wallet": target, "amount_minor": amount_minor, "currency": "CNY"}


async def test_wallet_that_is_opened_is_empty_and_has_a_payer(v2: V2, tenant: Tenant) -> None:
    made = await v2.post(tenant, "/v2/wallets", {"name": "Mei", "currency": "cny"}, 201)
    assert (made["currency"], made["posted_minor"], made["available_minor"]) == ("CNY", 0, 0)
    assert (made["name"], made["live"]) == ("Mei", False)
    payer = await v2.parties.payers.of_wallet(parse_int("wallet", made["id"]))
    assert made["payer"] == uuid_text("payer", payer.payer_id)
    assert await v2.get(tenant, f"/v2/wallets/{made['id']}", currency="CNY") == made


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "", "currency": "CNY"}, "name_invalid"),
        ({"name": "Mei", "currency": "ZZZ"}, "invalid_currency"),
        ({"name": "Mei", "currency": "CNY", "locale": "??"}, "locale_invalid"),
    ],
)
async def test_wallet_of_a_draft_that_cannot_be_is_refused(
    v2: V2, tenant: Tenant, body: Json, code: str
) -> None:
    refused = await v2.post(tenant, "/v2/wallets", body, 400, key="k")
    assert refused["error"]["code"] == code
    # A refusal frees the key.
    assert (await v2.send(tenant, "/v2/wallets", {"name": "M", "currency": "CNY"}, key="k")).is_success


async def test_many_wallets_opened_at_once_are_all_opened(v2: V2, tenant: Tenant) -> None:
    opened = await asyncio.gather(*(v2.wallet(tenant) for _ in range(20)))
    assert len(set(opened)) == 20


async def test_wallet_opened_twice_at_once_with_one_key_is_one(v2: V2, tenant: Tenant) -> None:
    body = {"name": "Mei", "currency": "CNY"}
    answers = await asyncio.gather(*(v2.send(tenant, "/v2/wallets", body, key="once") for _ in range(5)))
    assert {answer.json()["id"] for answer in answers if answer.status_code == 201} == {
        answers[0].json()["id"]
    }
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1


async def test_merchant_whose_package_has_no_wallets_is_refused(v2: V2) -> None:
    tenant = await v2.tenant()
    wallet, other = await v2.funded(tenant, 100), await v2.wallet(tenant)
    async with v2.house.database.transaction() as connection:
        await v2.parties.merchants.set_feature(
            connection, v2.people.operator, tenant.merchant.merchant_id, Feature.WALLET, False, "test"
        )
    body = {"amount_minor": 1, "currency": "CNY", "payment_method": "pm_" + "0" * 26}
    for path, sent in (
        ("/v2/wallets", {"name": "Mei", "currency": "CNY"}),
        (f"/v2/wallets/{wallet}/top_ups", body),
        ("/v2/wallet_transfers", paying(wallet, other, 1)),
    ):
        refused = await v2.post(tenant, path, sent, 403)
        assert refused["error"]["code"] == "feature_missing"
    assert await balance(v2, tenant, wallet) == 100


async def test_top_up_is_a_payment_of_the_merchant_and_fills_the_wallet(v2: V2, tenant: Tenant) -> None:
    wallet = await v2.wallet(tenant)
    method = uuid_text("pm", await v2.method(tenant))
    body = {"amount_minor": 2_500, "currency": "CNY", "payment_method": method, "merchant_reference": "t1"}
    first = await v2.send(tenant, f"/v2/wallets/{wallet}/top_ups", body, key="top up")
    again = await v2.send(tenant, f"/v2/wallets/{wallet}/top_ups", body, key="top up")
    assert first.json() == again.json()
    intent = first.json()
    assert (intent["status"], intent["wallet"], intent["amount_received_minor"]) == (
        "succeeded",
        wallet,
        2_500,
    )
    assert await balance(v2, tenant, wallet) == 2_500
    story = await v2.get(tenant, f"/v2/payments/{intent['id']}/story")
    assert [row["code"] for row in story["transfers"]] == ["payment.charged"]
    taken = await v2.post(tenant, f"/v2/wallets/{wallet}/top_ups", body, 409)
    assert taken["error"]["code"] == "merchant_reference_taken"


async def test_top_up_that_is_declined_moves_nothing_and_says_why(v2: V2, tenant: Tenant) -> None:
    wallet = await v2.wallet(tenant)
    for name in ("one", "two"):
        v2.channel(name).reply("authorize", declined(Reason.INSUFFICIENT_FUNDS, "51"))
    method = uuid_text("pm", await v2.method(tenant))
    body = {"amount_minor": 100, "currency": "CNY", "payment_method": method}
    intent = await v2.post(tenant, f"/v2/wallets/{wallet}/top_ups", body, 201)
    for name in ("one", "two"):
        v2.channel(name).replies.clear()
    assert (intent["status"], intent["last_error"]["reason"]) == (
        "requires_payment_method",
        "insufficient_funds",
    )
    assert await balance(v2, tenant, wallet) == 0


async def test_top_up_from_a_wallet_is_refused(v2: V2, tenant: Tenant) -> None:
    wallet = await v2.funded(tenant, 100)
    done = await v2.house.payments.methods.create(tenant.scope, Wallet(parse_int("wallet", wallet)))
    assert done.view is not None
    body = {"amount_minor": 100, "currency": "CNY", "payment_method": done.view.reference}
    refused = await v2.post(tenant, f"/v2/wallets/{wallet}/top_ups", body, 400)
    assert refused["error"]["code"] == "payment_method_type_mismatch"


async def test_top_up_in_a_currency_that_the_wallet_is_not_kept_in_is_refused(v2: V2, tenant: Tenant) -> None:
    wallet = await v2.wallet(tenant)
    method = uuid_text("pm", await v2.method(tenant))
    body = {"amount_minor": 100, "currency": "USD", "payment_method": method}
    refused = await v2.post(tenant, f"/v2/wallets/{wallet}/top_ups", body, 404)
    assert refused["error"]["code"] == "wallet_unknown"


async def test_transfer_moves_money_once_and_never_below_zero(v2: V2, tenant: Tenant) -> None:
    source, target = await v2.funded(tenant, 1_000), await v2.wallet(tenant)
    body = paying(source, target, 600) | {"note": "for tea"}
    sent = [await v2.send(tenant, "/v2/wallet_transfers", body, key="once") for _ in range(3)]
    assert [answer.status_code for answer in sent] == [201] * 3
    assert len({answer.content for answer in sent}) == 1
    assert (await balance(v2, tenant, source), await balance(v2, tenant, target)) == (400, 600)
    refused = await v2.post(tenant, "/v2/wallet_transfers", paying(source, target, 401), 409)
    assert refused["error"]["code"] == "insufficient_funds"
    answers = await asyncio.gather(
        *(v2.send(tenant, "/v2/wallet_transfers", paying(source, target, 300)) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert (await balance(v2, tenant, source), await balance(v2, tenant, target)) == (100, 900)


async def test_transfer_to_itself_is_refused(v2: V2, tenant: Tenant) -> None:
    wallet = await v2.funded(tenant, 100)
    await v2.post(tenant, "/v2/wallet_transfers", paying(wallet, wallet, 1), 400)


@pytest.mark.parametrize("name", ["from_wallet", "to_wallet"])
async def test_transfer_with_a_wallet_of_another_mode_or_merchant_is_refused(
    v2: V2, tenant: Tenant, name: str
) -> None:
    body = paying(await v2.funded(tenant, 100), await v2.wallet(tenant), 50)
    live = await v2.tenant(tenant.merchant, live=True)
    stranger = await v2.tenant()
    for other in (live, stranger):
        foreign = await v2.funded(other, 100)
        refused = await v2.post(tenant, "/v2/wallet_transfers", body | {name: foreign}, 404)
        assert refused["error"]["code"] == "wallet_unknown"
        assert await balance(v2, other, foreign) == 100
    assert await balance(v2, tenant, body["from_wallet"]) == 100


async def test_transfers_come_page_by_page_newest_first(v2: V2, tenant: Tenant) -> None:
    source, target = await v2.funded(tenant, 100), await v2.wallet(tenant)
    made = [
        (await v2.post(tenant, "/v2/wallet_transfers", paying(source, target, 10), 201))["id"]
        for _ in range(5)
    ][::-1]
    page = await v2.get(tenant, "/v2/wallet_transfers", limit=2)
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (made[:2], True)
    page = await v2.get(tenant, "/v2/wallet_transfers", limit=3, starting_after=made[1])
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (made[2:], False)
    page = await v2.get(tenant, "/v2/wallet_transfers", ending_before=made[2])
    assert [each["id"] for each in page["data"]] == made[:2]
    await v2.get(tenant, "/v2/wallet_transfers", 400, starting_after=made[0], ending_before=made[1])


async def test_statement_tells_every_entry_with_its_balance(v2: V2, tenant: Tenant) -> None:
    source, target = await v2.funded(tenant, 1_000), await v2.wallet(tenant)
    await v2.post(tenant, "/v2/wallet_transfers", paying(source, target, 300), 201)
    await v2.house.ledger.sealing.seal_all()
    page = await v2.get(tenant, f"/v2/wallets/{source}/statement", currency="CNY")
    told = [(row["code"], row["posted_delta_minor"], row["balance_minor"]) for row in page["entries"]]
    assert told == [("wallet.sent", -300, 700), ("wallet.topped_up", 1_000, 1_000)]
    first = await v2.get(tenant, f"/v2/wallets/{source}/statement", currency="CNY", limit=1)
    rest = await v2.get(
        tenant, f"/v2/wallets/{source}/statement", currency="CNY", before=first["next_before"]
    )
    assert first["entries"] + rest["entries"] == page["entries"]
    await v2.get(tenant, f"/v2/wallets/{source}/statement", 404, currency="USD")
    await v2.get(tenant, f"/v2/wallets/{source}/statement", 400, currency="CNY", before="x")
