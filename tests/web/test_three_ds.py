"""3-D Secure from end to end: the whole program before the sandbox's acquirer and issuer, over their sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.parties.conftest import Town
from tests.web.risk_calls import rule, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import BASE, Whole

from tongbao.core.clock import FrozenClock
from tongbao.core.config import Settings
from tongbao.core.db import Database
from tongbao.core.events.running import Events
from tongbao.core.ids import IdFactory, parse_uuid
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig
from tongbao.simulator.sandbox_routes import routes
from tongbao.web.app import create_app
from tongbao.web.house import open_house
from tongbao.web.runtime import Runtime
from tongbao.web.workers import Workers

ASKS, FRICTIONLESS, NEEDS = "4000002760003184", "4242424242424242", "4000002500003155"
BROKEN, ABSENT, DECLINED_AFTERWARDS = "4000000000003097", "378282246310005", "4000008400001629"
SHOP = "https://shop.test/back"
EVERYBODY = 'ask: when amount > 1 EUR then step_up because "ask" owner mei\n'


@contextlib.asynccontextmanager
async def sandboxed(database: Database, dsn: str, home: Path, sandbox: Sandbox) -> AsyncIterator[Whole]:
    """The program over a database, whose channels are the sandbox's."""
    clock, metrics = FrozenClock(datetime.now(UTC)), Metrics()
    ids = IdFactory(clock)
    settings = Settings(data_dir=home, test_rate_per_s=1e6, live_rate_per_s=1e6, _env_file=None)  # type: ignore[call-arg]  # a setting of the library
    async with Ledger(database, clock, metrics, ids) as ledger:
        runtime = Runtime(dsn, database, ledger, clock, metrics)
        async with open_house(runtime, settings, BASE, routes(sandbox.credentials.merchant)) as house:
            events = Events(database, clock, ids, metrics, house.subscriptions())
            app = create_app(house, Workers(house, events, metrics), metrics)
            operator = operator_of_job("tests", frozenset(OperatorPermission))
            people = Town(house.parties, clock, database, ids, operator)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
                yield Whole(house, app, clock, ids, people, events, http)


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(SandboxConfig(acquirers={"east": 0})) as running:
        yield running


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox
) -> AsyncIterator[Whole]:
    async with sandboxed(database, dsn, tmp_path_factory.mktemp("house"), sandbox) as opened:
        yield opened


@pytest.fixture
async def asking(whole: Whole) -> Tenant:
    """A merchant whose payers are all asked who they are."""
    tenant = await whole.tenant()
    await rule(whole, tenant, EVERYBODY)
    return tenant


async def pay(whole: Whole, tenant: Tenant, number: str) -> Json:
    form = {
        "amount": "3000",
        "currency": "eur",
        "confirm": "true",
        "return_url": SHOP,
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": number,
        "payment_method_data[card][exp_month]": "12",
        "payment_method_data[card][exp_year]": "2030",
        "payment_method_data[card][cvc]": "7373" if number == ABSENT else "737",
    }
    answer = await whole.send(tenant, "POST", "/v1/payment_intents", data=form)
    body: Json = answer.json()
    # A decline is an error of status 402 that carries its intent.
    intent: Json = body.get("error", {}).get("payment_intent") or body
    assert "id" in intent, answer.text
    return intent


async def intent_of(whole: Whole, tenant: Tenant, payment: str) -> Json:
    query = {"expand[]": "latest_charge"}
    answer = await whole.send(tenant, "GET", f"/v1/payment_intents/{payment}", params=query)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def told(whole: Whole, tenant: Tenant, payment: str) -> Json:
    """The payment after the channel was asked how it ended."""
    whole.clock.advance(timedelta(minutes=1))
    while await whole.house.payments.resolving.resolve_due():
        pass
    return await intent_of(whole, tenant, payment)


async def outcomes(whole: Whole, tenant: Tenant, payment: str) -> list[tuple[str, float, str]]:
    """What became known of the decision about a payment's risk, with the means of its proof."""
    await settled(whole)
    lineage = await whole.house.decisions.log.lineage(tenant.scope.book_id, parse_uuid("pi", payment))
    (risk,) = [each for each in lineage if each.decision.kind == "risk"]
    found = [(each.name, each.value or 0.0, each.label) for each in risk.outcomes]
    return sorted(each for each in found if each[0] == "passed")


def page_of(intent: Json) -> str:
    assert intent["next_action"]["type"] == "redirect_to_url"
    url: str = intent["next_action"]["redirect_to_url"]["url"]
    return url


async def press(url: str, act: str) -> httpx.Response:
    async with httpx.AsyncClient() as browser:
        shown = await browser.get(url)
        assert "Sandbox issuer" in shown.text
        assert "€30.00" in shown.text
        return await browser.post(url, data={"act": act})


async def test_payer_passes_on_the_issuers_page_and_the_payment_goes_on(whole: Whole, asking: Tenant) -> None:
    intent = await pay(whole, asking, ASKS)
    assert intent["status"] == "requires_action"
    again = await told(whole, asking, intent["id"])
    assert again["status"] == "requires_action"
    answer = await press(page_of(intent), "pass")
    assert (answer.status_code, answer.headers["location"]) == (303, SHOP)
    paid = await told(whole, asking, intent["id"])
    assert paid["status"] == "succeeded"
    assert paid["latest_charge"]["payment_method_details"]["card"]["three_d_secure"] == {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "exemption_indicator_applied": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
    assert paid["latest_charge"]["outcome"]["risk_level"] == "elevated"
    assert await outcomes(whole, asking, intent["id"]) == [("passed", 1.0, "three_ds")]


@pytest.mark.parametrize("act", ["fail", "nothing"])
async def test_payer_who_fails_or_never_comes_back_is_declined(
    whole: Whole, asking: Tenant, sandbox: Sandbox, act: str
) -> None:
    intent = await pay(whole, asking, ASKS)
    if act == "fail":
        assert (await press(page_of(intent), "fail")).headers["location"] == SHOP
    else:
        payment = sandbox.world.by_channel_reference(page_of(intent).rpartition("/")[2])
        assert payment is not None
        payment.expires_at = datetime.now(UTC)
    failed = await told(whole, asking, intent["id"])
    assert failed["status"] == "requires_payment_method"
    error = failed["last_payment_error"]
    assert error["code"] == "payment_intent_authentication_failure"
    charge = failed["latest_charge"]
    assert charge["payment_method_details"]["card"]["three_d_secure"]["result"] == "failed"
    assert charge["status"] == "failed"
    assert await outcomes(whole, asking, intent["id"]) == [("passed", 0.0, "three_ds")]


async def test_issuer_that_knows_the_payer_lets_it_pass_at_once(whole: Whole, asking: Tenant) -> None:
    intent = await pay(whole, asking, FRICTIONLESS)
    assert intent["status"] == "succeeded"
    assert await outcomes(whole, asking, intent["id"]) == [("passed", 1.0, "three_ds")]


async def test_issuer_that_cannot_check_is_a_decline(whole: Whole, asking: Tenant) -> None:
    intent = await pay(whole, asking, BROKEN)
    assert intent["status"] == "requires_payment_method"
    assert intent["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert await outcomes(whole, asking, intent["id"]) == [("passed", 0.0, "three_ds")]


async def test_yes_of_an_issuer_that_takes_no_part_is_given_back(
    whole: Whole, asking: Tenant, sandbox: Sandbox
) -> None:
    intent = await pay(whole, asking, ABSENT)
    assert intent["status"] == "requires_payment_method"
    after = await told(whole, asking, intent["id"])
    assert after["status"] == "requires_payment_method"
    assert after["latest_charge"]["attempt_state"] == "reversed"
    reference = after["latest_charge"]["id"].replace("ch_", "pa_")
    assert sandbox.world.taken_minor([reference])["EUR"] == 0


async def test_decline_after_the_check_is_the_issuers(whole: Whole, asking: Tenant) -> None:
    intent = await pay(whole, asking, DECLINED_AFTERWARDS)
    await press(page_of(intent), "pass")
    failed = await told(whole, asking, intent["id"])
    assert failed["last_payment_error"]["decline_code"] == "do_not_honor"
    assert await outcomes(whole, asking, intent["id"]) == [("passed", 1.0, "three_ds")]


async def test_issuer_that_asks_for_the_check_gets_it_where_risk_control_did_not(whole: Whole) -> None:
    tenant = await whole.tenant()
    intent = await pay(whole, tenant, NEEDS)
    assert intent["status"] == "requires_action"
    charges = await whole.send(tenant, "GET", "/v1/charges", params={"payment_intent": intent["id"]})
    declined: list[Any] = [each["outcome"] for each in charges.json()["data"] if each["status"] == "failed"]
    assert [each["reason"] for each in declined] == ["authentication_required"]
    await press(page_of(intent), "pass")
    assert (await told(whole, tenant, intent["id"]))["status"] == "succeeded"


async def test_cancel_and_pass_at_once_end_as_one_of_them_and_nobody_pays_for_nothing(
    whole: Whole, asking: Tenant, sandbox: Sandbox
) -> None:
    for _ in range(3):
        intent = await pay(whole, asking, ASKS)
        cancel = whole.send(asking, "POST", f"/v1/payment_intents/{intent['id']}/cancel")
        await asyncio.gather(cancel, press(page_of(intent), "pass"), return_exceptions=True)
        for _ in range(3):
            after = await told(whole, asking, intent["id"])
        reference = after["latest_charge"]["id"].replace("ch_", "pa_")
        taken = sandbox.world.taken_minor([reference])["EUR"]
        assert (after["status"], taken) in (("canceled", 0), ("succeeded", 3_000))


async def test_pressing_twice_is_pressing_once(whole: Whole, asking: Tenant, sandbox: Sandbox) -> None:
    intent = await pay(whole, asking, ASKS)
    url = page_of(intent)
    await asyncio.gather(press(url, "pass"), press(url, "pass"))
    await press(url, "fail")
    paid = await told(whole, asking, intent["id"])
    assert paid["status"] == "succeeded"
    reference = paid["latest_charge"]["id"].replace("ch_", "pa_")
    assert sandbox.world.taken_minor([reference])["EUR"] == 3_000


async def test_page_of_nothing_is_not_found(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=sandbox.http_url) as browser:
        assert (await browser.get("/acs/4200000000000000000000000000")).status_code == 404
