"""Pay codes: shown by a payer, scanned by a merchant, good for a minute, one payment and one mode; a proof above a limit."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from tests.web.stepped_up import MAIL, Counter
from tests.web.v2_house import EVERY_CALL, V2, Json, Tenant, open_v2
from tests.web.whole_house import BASE, Whole, open_whole, told

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory, parse_int
from tongbao.core.requests.running import Requests
from tongbao.parties.schema import Payer, Permission
from tongbao.payments.policy import pay_codes as policy
from tongbao.payments.service.pay_codes import PayCodes
from tongbao.web.api import answers, pay_codes
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls
from tongbao.web.api.v1.limits import Limits

SECRET = b"s" * 32
KEY = policy.key_of(SECRET)
PATH = "/v2/pay_codes/charges"


class Desk:
    """A merchant's till over the application, with a payer whose wallet holds 5,000 yuan."""

    def __init__(self, v2: V2, tenant: Tenant, codes: PayCodes, payer: Payer) -> None:
        self.v2, self.tenant, self.codes, self.payer = v2, tenant, codes, payer

    async def scan(
        self, amount_minor: int = 1_250, *, code: str | None = None, key: str | None = None, **more: Any
    ) -> httpx.Response:
        """Scan a code, a new one where none is given."""
        tenant = more.pop("tenant", self.tenant)
        shown = code or (await self.codes.make(self.payer)).text
        body = {"code": shown, "amount_minor": amount_minor, "currency": "CNY"} | more
        return await self.v2.send(tenant, PATH, body, key=key)

    async def balance(self) -> int:
        """What is left in the wallet."""
        return (
            await self.v2.house.payments.wallets.balance(self.payer.wallet_book_id, "CNY")
        ).available_minor


@pytest.fixture(scope="module")
async def v2(database: Database, ids: IdFactory) -> AsyncIterator[V2]:
    async with open_v2(database, ids) as opened:
        house = opened.house
        codes = pay_codes.open_pay_codes(
            house.payments, Requests(database, house.clock), opened.parties, house.ledger, secret=SECRET
        )
        gate = Gate(opened.parties.access, Limits(EVERY_CALL))
        opened.app.include_router(
            pay_codes.router(Calls(database, house.clock, ids), gate, opened.parties, codes)
        )
        opened.app.state.codes = codes
        yield opened


@pytest.fixture
async def desk(v2: V2) -> Desk:
    tenant = await v2.tenant()
    wallet = await v2.funded(tenant, 500_000)
    payer = await v2.parties.payers.of_wallet(parse_int("wallet", wallet))
    return Desk(v2, tenant, v2.app.state.codes, payer)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_scanned_code_pays_and_the_payer_is_told_for_what(desk: Desk) -> None:
    code = await desk.codes.make(desk.payer)
    assert code.expires_at - desk.v2.house.clock.now() <= timedelta(seconds=60)
    assert await desk.codes.use(desk.payer, code.text) is None
    answer = await desk.scan(code=code.text.lower())
    assert answer.status_code == 201, answer.text
    assert (answer.json()["status"], answer.json()["amount_received_minor"]) == ("succeeded", 1_250)
    assert await desk.balance() == 500_000 - 1_250
    used = await desk.codes.use(desk.payer, code.text)
    assert used is not None
    assert (used.payment, used.book_id) == (answer.json()["id"], desk.tenant.scope.book_id)


async def test_merchant_who_is_not_the_wallets_own_may_scan_it(desk: Desk) -> None:
    other = await desk.v2.tenant()
    answer = await desk.scan(tenant=other)
    assert answer.json()["status"] == "succeeded"


async def test_code_is_used_once_whoever_scans_it_again(desk: Desk) -> None:
    code = (await desk.codes.make(desk.payer)).text
    first = await desk.scan(code=code, key="first")
    again = await desk.scan(code=code, key="first")
    assert (first.json(), again.headers["idempotent-replayed"]) == (again.json(), "true")
    for answer in (
        await desk.scan(code=code),
        await desk.scan(code=code, key="second"),
        await desk.scan(2_000, code=code, key="first"),
        await desk.scan(code=code, tenant=await desk.v2.tenant()),
    ):
        assert refusal(answer) == (409, "pay_code_used")
    assert await desk.balance() == 500_000 - 1_250


async def test_code_that_many_scan_at_once_pays_once(desk: Desk) -> None:
    code = (await desk.codes.make(desk.payer)).text
    found = await asyncio.gather(*(desk.scan(code=code) for _ in range(6)))
    assert sorted(answer.status_code for answer in found) == [201, *[409] * 5]
    assert await desk.balance() == 500_000 - 1_250


async def test_code_is_over_after_a_minute_and_pays_nothing(desk: Desk) -> None:
    code = (await desk.codes.make(desk.payer)).text
    desk.v2.house.clock.advance(policy.LIFE)
    assert refusal(await desk.scan(code=code)) == (409, "pay_code_expired")
    assert await desk.balance() == 500_000


async def test_code_of_test_money_pays_nobody_in_live_mode(desk: Desk) -> None:
    live = await desk.v2.tenant(desk.tenant.merchant, live=True)
    code = (await desk.codes.make(desk.payer)).text
    assert refusal(await desk.scan(code=code, tenant=live)) == (409, "pay_code_other_mode")
    assert (await desk.scan(code=code)).status_code == 201


async def test_made_up_and_changed_codes_are_none(desk: Desk) -> None:
    code = (await desk.codes.make(desk.payer)).text
    changed = code[:20] + ("A" if code[20] != "A" else "B") + code[21:]
    for text in (changed, "TB1", "TB1" + "1" * 60, "0" * policy.TEXT_CHARS):
        assert refusal(await desk.scan(code=text)) == (400, "pay_code_invalid")
    assert policy.facts_of(code, policy.key_of(b"another")) is None
    assert await desk.codes.use(desk.payer, changed) is None


async def test_code_of_another_payer_tells_nothing(desk: Desk) -> None:
    wallet = await desk.v2.funded(desk.tenant, 100)
    stranger = await desk.v2.parties.payers.of_wallet(parse_int("wallet", wallet))
    code = (await desk.codes.make(desk.payer)).text
    await desk.scan(code=code)
    assert await desk.codes.use(stranger, code) is None


async def test_empty_wallet_is_a_decline_with_its_reason(desk: Desk) -> None:
    wallet = await desk.v2.funded(desk.tenant, 100)
    poor = await desk.v2.parties.payers.of_wallet(parse_int("wallet", wallet))
    answer = await desk.scan(code=(await desk.codes.make(poor)).text)
    assert answer.status_code == 201
    assert answer.json()["last_error"]["reason"] == "insufficient_funds"


async def test_key_that_may_not_write_payments_scans_nothing(desk: Desk) -> None:
    key = await desk.v2.key(desk.tenant.scope, Permission.PAYMENTS_READ)
    reader = Tenant(desk.tenant.merchant, desk.tenant.scope, key)
    assert (await desk.scan(tenant=reader)).status_code == 403


async def test_large_amount_of_a_payer_who_cannot_be_asked_is_refused_and_uses_nothing_up(desk: Desk) -> None:
    code = (await desk.codes.make(desk.payer)).text
    assert refusal(await desk.scan(100_001, code=code))[1] == "pay_code_limit"
    assert (await desk.scan(100_000, code=code)).json()["status"] == "succeeded"


async def test_large_amount_waits_for_a_proof_of_its_payer(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as whole:
        await check_proof(whole)


async def check_proof(whole: Whole) -> None:
    """Scan for 51 dollars, try to go on without a proof, then prove and be paid."""
    house = whole.house
    codes = pay_codes.open_pay_codes(
        house.payments, house.requests, house.parties, house.runtime.ledger, secret=house.proofs.secret
    )
    app = FastAPI()
    answers.install(app)
    calls = Calls(house.runtime.database, whole.clock, whole.ids)
    app.include_router(
        pay_codes.router(calls, Gate(house.parties.access, house.limits), house.parties, codes)
    )
    tenant = await whole.tenant()
    payer = await funded(whole, tenant)
    body = {
        "code": (await codes.make(payer)).text,
        "amount_minor": 5_100,
        "currency": "USD",
        "receipt_email": MAIL,
        "return_url": f"{BASE}/healthz",
    }
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as till:
        answer = await till.post(PATH, json=body, headers=tenant.headers)
    made = told(answer, 201)
    assert made["status"] == "requires_action", made
    story = await whole.send(tenant, "POST", f"/v1/payment_intents/{made['id']}/confirm")
    assert story.json()["status"] == "requires_action"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(whole.app, raise_app_exceptions=False), base_url=BASE
    ) as browser:
        counter = Counter(whole, tenant, "", browser, BASE)
        path = urlsplit(story.json()["next_action"]["redirect_to_url"]["url"]).path
        await counter.page(path)
        await counter.send(f"{path}/answer", code=counter.code)
        assert await counter.status(made["id"]) == "succeeded"


async def funded(whole: Whole, tenant: Tenant) -> Payer:
    """The payer of a wallet with 60 dollars in it."""
    made: Json = await whole.post(tenant, "/v2/wallets", {"name": "Mei", "currency": "USD"}, 201)
    card = {
        "type": "card",
        "card[number]": "4242424242424242",
        "card[exp_month]": "12",
        "card[exp_year]": "2030",
        "card[cvc]": "737",
    }
    method = told(await whole.send(tenant, "POST", "/v1/payment_methods", data=card))["id"]
    body = {"amount_minor": 6_000, "currency": "USD", "payment_method": method}
    done = await whole.post(tenant, f"/v2/wallets/{made['id']}/top_ups", body, 201)
    assert done["status"] == "succeeded", done
    return await whole.house.parties.payers.of_wallet(parse_int("wallet", made["id"]))
