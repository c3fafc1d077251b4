"""Every act of clearing that takes two people, in one table: the first cannot be the second, and a second one can."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
import pytest
from tests.web.clearing_calls import HOUSE, agree, book, clerk, settled
from tests.web.risk_calls import member
from tests.web.test_clearing_payouts import Gateway, sent
from tests.web.test_clearing_recon import HEAD, ran, row, send
from tests.web.test_clearing_recon import agree as agree_source
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.clearing.policy.payouts import moved
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX, PayoutState
from tongbao.clearing.store import payouts as payout_store
from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid

RECON = "/v2/recon"
ACCOUNTS = "/v2/payouts/accounts"
IBAN = "NL84MOCK0000000003"
Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


class Scene(NamedTuple):
    """Where an act is done: the house, a merchant of it, and the two people."""

    whole: Whole
    tenant: Tenant
    first: httpx.AsyncClient
    second: httpx.AsyncClient


class Act(NamedTuple):
    """An act that takes two: how it is begun by the first, and what the second then asks; the same from the first is refused."""

    name: str
    begin: Callable[[Scene], Awaitable[Ask]]
    code: str
    ended: tuple[str, object]
    """What the second person's answer says."""
    before: Callable[[Whole, Tenant], Awaitable[object]] | None = None
    """What takes hours, and so comes before anybody signs in."""
    is_merchants: bool = False


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    gateway = Gateway(tmp_path_factory.mktemp("bank"))
    home = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home, banks=[gateway.spec()]) as opened:
        yield opened


def posting(path: str, body: Json) -> Ask:
    """What a person posts."""
    return lambda client: client.post(path, json=body)


async def large_batch(whole: Whole, tenant: Tenant) -> None:
    """Let a merchant have a batch above its limit."""
    await agree(whole, tenant, approval_above_minor=1_000)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)


async def approved_batch(scene: Scene) -> Ask:
    """A batch above the limit."""
    (batch,) = told(await scene.first.get(f"{HOUSE}/batches", params={"book": book(scene.tenant)}))["data"]
    path = f"{HOUSE}/batches/{book(scene.tenant)}/{batch['id']}/approve"
    once = told(await scene.first.post(path, json={"version": batch["version"]}))
    return posting(path, {"version": once["version"]})


async def published_list(scene: Scene) -> Ask:
    """A price list that was drafted and simulated."""
    name, now = f"eyes_{scene.tenant.scope.book_id:x}", scene.whole.clock.now()
    spec = {"charges": [{"name": "processing", "tiers": [{"rate_e6": 6_000}]}]}
    body = {"name": name, "spec": spec, "note": "cheaper"}
    draft = told(await scene.first.post("/v2/fees/versions", json=body), 201)
    path = f"/v2/fees/versions/{draft['version']}"
    span = {"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()}
    told(await scene.first.post(f"{path}/simulate", json={"name": name} | span))
    return posting(f"{path}/publish", {"name": name, "note": "seen"})


async def proposed_write_off(scene: Scene) -> tuple[str, int]:
    """The path and version of a break whose write-off the first person proposed."""
    name = f"s{scene.tenant.scope.book_id:x}"
    await agree_source(scene.first, name)
    await send(scene.first, name, HEAD + row(scene.whole, 1, 777, f"nobody-{name}"))
    await ran(scene.first, name)
    (brk,) = told(await scene.first.get(f"{RECON}/breaks", params={"source": name}))["data"]
    path = f"{RECON}/breaks/{brk['id']}"
    order = {"version": brk["version"], "note": "too small to ask for"}
    proposed = told(await scene.first.post(f"{path}/propose", json=order))
    return path, proposed["version"]


async def approved_write_off(scene: Scene) -> Ask:
    """A write-off to be approved."""
    path, version = await proposed_write_off(scene)
    return posting(f"{path}/approve", {"version": version, "note": "agreed"})


async def declined_write_off(scene: Scene) -> Ask:
    """A write-off to be refused."""
    path, version = await proposed_write_off(scene)
    return posting(f"{path}/decline", {"version": version, "note": "ask them"})


async def closed_day(scene: Scene) -> Ask:
    """A day that the first person asks to close over a warning: a write-off that nobody decided."""
    await proposed_write_off(scene)
    on = datetime.now(UTC).date() - timedelta(days=2)  # Before anything that these tests sell.
    path = f"/v2/days/{on}/close"
    asked = told(await scene.first.post(path, json={"note": "the rest is explained"}))
    assert (asked["state"], asked["asked"]) == ("open", "close")
    return posting(path, {"note": "seen"})


async def reopened_day(scene: Scene) -> Ask:
    """The day that was closed last, which the first person asks to open."""
    listed = told(await scene.first.get("/v2/days"))["data"]
    if not any(each["state"] == "closed" for each in listed):
        close = await closed_day(scene)
        told(await close(scene.second))
        listed = told(await scene.first.get("/v2/days"))["data"]
    on = next(each["on"] for each in listed if each["state"] == "closed")
    path = f"/v2/days/{on}/reopen"
    told(await scene.first.post(path, json={"note": "a file came late"}))
    return posting(path, {"note": "agreed"})


async def unresolved_payout(whole: Whole, tenant: Tenant) -> None:
    """Let a merchant have a payout that its bank says nothing of."""
    payout = await sent(whole, tenant)
    book_id, payout_id = tenant.scope.book_id, parse_uuid(PAYOUT_PREFIX, payout["id"])
    async with whole.house.runtime.database.transaction() as connection:
        known = await payout_store.one(connection, book_id, payout_id, lock=True)
        assert known is not None
        await payout_store.update(connection, [moved(known, PayoutState.UNRESOLVED, whole.clock.now())])


async def resolved_payout(scene: Scene) -> Ask:
    """A payout of which the first person says that it was paid."""
    base = f"/v2/operations/payouts/{book(scene.tenant)}"
    (payout,) = told(await scene.first.get(base, params={"state": "unresolved"}))["data"]
    path, body = f"{base}/{payout['id']}/resolve", {"state": "paid", "note": "their desk said so"}
    said = told(await scene.first.post(path, json=body))
    assert (said["state"], said["resolving"]["state"]) == ("unresolved", "paid")
    own = await scene.whole.get(scene.tenant, f"/v2/payouts/{payout['id']}")
    assert own["resolving"] is None
    return posting(path, body)


async def confirmed_account(scene: Scene) -> Ask:
    """An account that the first person proposed."""
    body = {"currency": "EUR", "holder": "Tea House", "scheme": "iban", "number": IBAN}
    made = told(await scene.first.post(ACCOUNTS, json=body), 201)
    return posting(f"{ACCOUNTS}/{made['id']}/confirm", {"version": made["version"]})


async def sold(whole: Whole, tenant: Tenant) -> None:
    """Let a merchant have accounts, and something on them."""
    await agree(whole, tenant)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)


async def approved_adjustment(scene: Scene) -> Ask:
    """An adjustment that the first person proposed."""
    body: Json = {
        "book": book(scene.tenant),
        "currency": "CNY",
        "amount_minor": 100,
        "reason": "a fee was taken twice",
        "reference": "ticket-7",
        "evidence": "the bill of the day shows both",
    }
    made = told(await scene.first.post("/v2/operations/adjustments", json=body), 201)
    path = f"/v2/operations/adjustments/{made['id']}/approve"
    return posting(path, {"version": made["version"], "note": "seen"})


ACTS = (
    Act("approve an adjustment", approved_adjustment, "four_eyes", ("state", "posted"), sold),
    Act("approve a batch", approved_batch, "approval_twice", ("state", "approved"), large_batch),
    Act("resolve a payout", resolved_payout, "resolution_twice", ("state", "paid"), unresolved_payout),
    Act("publish a price list", published_list, "schedule_four_eyes", ("state", "published")),
    Act("write a difference off", approved_write_off, "four_eyes", ("state", "written_off")),
    Act("refuse a write-off", declined_write_off, "four_eyes", ("state", "open")),
    Act("close a day over warnings", closed_day, "four_eyes", ("state", "closed")),
    Act("open a day again", reopened_day, "four_eyes", ("state", "open")),
    Act(
        "confirm an account",
        confirmed_account,
        "confirmation_by_proposer",
        ("state", "cooling"),
        is_merchants=True,
    ),
)


@contextlib.asynccontextmanager
async def people(whole: Whole, tenant: Tenant, act: Act) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Two people of the side whose act it is."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(member(whole, tenant) if act.is_merchants else clerk(whole))
            for _ in range(2)
        ]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
async def test_act_that_takes_two_is_refused_to_the_first_and_done_by_the_second(
    whole: Whole, act: Act
) -> None:
    tenant = await whole.tenant()
    if act.before is not None:
        await act.before(whole, tenant)
    async with people(whole, tenant, act) as (first, second):
        ask = await act.begin(Scene(whole, tenant, first, second))
        assert refusal(await ask(first)) == (403, act.code)
        assert refusal(await ask(first)) == (403, act.code)
        name, value = act.ended
        assert told(await ask(second))[name] == value
