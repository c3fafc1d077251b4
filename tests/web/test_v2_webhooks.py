"""Webhook endpoints and deliveries under ``/v2``: seen, sent again, switched, with new secrets."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.payments.webhook_house import Receiver
from tests.web.v2_house import V2, Tenant, open_v2

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.payments.service.delivering import Delivering


@pytest.fixture
async def v2(database: Database, ids: IdFactory) -> AsyncIterator[V2]:
    async with open_v2(database, ids) as opened:
        yield opened


@pytest.fixture
async def tenant(v2: V2) -> Tenant:
    return await v2.tenant()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


async def endpoint(v2: V2, tenant: Tenant, url: str) -> str:
    return (await v2.hooks.endpoint(url, scope=tenant.scope)).endpoint.reference


async def until_dead(v2: V2, worker: Delivering) -> None:
    for _ in range(60):
        await v2.hooks.deliver_all(worker)
        v2.house.clock.advance(timedelta(hours=2))


async def test_health_and_deliveries_tell_how_it_went(v2: V2, tenant: Tenant, receiver: Receiver) -> None:
    good = await endpoint(v2, tenant, receiver.url("/good"))
    bad = await endpoint(v2, tenant, receiver.url("/bad"))
    receiver.answers["/bad"] = [500]
    await v2.hooks.tell_of("payment_intent.created", "payment_intent.succeeded", scope=tenant.scope)
    await v2.hooks.deliver_all(v2.hooks.worker())

    health = await v2.get(tenant, f"/v2/webhook_endpoints/{good}/health")
    assert (health["state"], health["attempt_count"], health["success_share"]) == ("healthy", 2, 1.0)
    health = await v2.get(tenant, f"/v2/webhook_endpoints/{bad}/health")
    assert (health["success_share"], health["consecutive_failures"]) == (0.0, 2)

    events = [event.reference for event in await v2.events(tenant)][::-1]
    path = f"/v2/webhook_endpoints/{good}/deliveries"
    first = await v2.get(tenant, path, limit=1)
    assert ([each["event"] for each in first["data"]], first["has_more"]) == (events[:1], True)
    rest = await v2.get(tenant, path, starting_after=events[0], state="delivered")
    assert ([each["event"] for each in rest["data"]], rest["has_more"]) == (events[1:], False)
    assert (await v2.get(tenant, path, state="dead"))["data"] == []
    await v2.get(tenant, path, 400, state="lost")
    both = (await v2.get(tenant, f"/v2/events/{events[0]}/deliveries"))["data"]
    assert {each["endpoint"]: each["state"] for each in both} == {good: "delivered", bad: "pending"}


async def test_resend_delivers_an_event_once_more(v2: V2, tenant: Tenant, receiver: Receiver) -> None:
    hook = await endpoint(v2, tenant, receiver.url())
    await v2.hooks.tell_of("payment_intent.created", scope=tenant.scope)
    worker = v2.hooks.worker()
    await v2.hooks.deliver_all(worker)
    (event,) = await v2.events(tenant)
    path, body = f"/v2/events/{event.reference}/resend", {"endpoint": hook}
    for _ in range(2):
        sent = await v2.post(tenant, path, body, key="again")
        assert (sent["state"], sent["endpoint"], sent["event"]) == ("pending", hook, event.reference)
    await v2.hooks.deliver_all(worker)
    assert len(receiver.got) == 2
    assert receiver.got[0].body == receiver.got[1].body


async def test_replay_sends_what_died_again(v2: V2, tenant: Tenant, receiver: Receiver) -> None:
    hook = await endpoint(v2, tenant, receiver.url())
    path = f"/v2/webhook_endpoints/{hook}"
    receiver.answers["/hooks"] = [400]
    await v2.hooks.tell_of("payment_intent.created", scope=tenant.scope)
    worker = v2.hooks.worker()
    await until_dead(v2, worker)
    listed = await v2.get(tenant, f"{path}/deliveries", state="dead")
    assert [each["attempt_count"] for each in listed["data"]] == [10]
    # Three days of nothing but failures have disabled it.
    refused = await v2.post(tenant, f"{path}/replay", {"dead": True}, 409)
    assert refused["error"]["code"] == "webhook_endpoint_disabled"
    assert (await v2.post(tenant, f"{path}/enable"))["status"] == "enabled"
    receiver.answers["/hooks"] = [200]
    assert await v2.post(tenant, f"{path}/replay", {"dead": True}) == {"count": 1, "next_after": None}
    await v2.hooks.deliver_all(worker)
    assert (await v2.get(tenant, f"{path}/deliveries"))["data"][0]["state"] == "delivered"


async def test_replay_since_an_instant_goes_on_from_call_to_call(
    v2: V2, tenant: Tenant, receiver: Receiver
) -> None:
    began = v2.house.clock.now().isoformat()
    await v2.hooks.tell_of(*["payment_intent.created"] * 3, scope=tenant.scope)
    hook = await endpoint(v2, tenant, receiver.url())
    path = f"/v2/webhook_endpoints/{hook}/replay"
    page = await v2.post(tenant, path, {"since": began, "limit": 2})
    assert page["count"] == 2
    rest = await v2.post(tenant, path, {"since": began, "limit": 2, "after": page["next_after"]})
    assert rest == {"count": 1, "next_after": None}
    await v2.hooks.deliver_all(v2.hooks.worker())
    assert len(receiver.got) == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dead": False},
        {"dead": True, "since": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00"},
        {"since": "yesterday"},
        {"since": "1999-12-31T23:59:59Z"},
        {"dead": True, "limit": 0},
        {"dead": True, "limit": 1_001},
        {"dead": True, "after": "x"},
    ],
)
async def test_replay_of_what_cannot_be_meant_is_refused(
    v2: V2, tenant: Tenant, body: dict[str, object]
) -> None:
    hook = await endpoint(v2, tenant, "http://localhost:1/hooks")
    await v2.post(tenant, f"/v2/webhook_endpoints/{hook}/replay", body, 400)


async def test_endpoint_that_is_disabled_gets_nothing_until_it_is_enabled(
    v2: V2, tenant: Tenant, receiver: Receiver
) -> None:
    hook = await endpoint(v2, tenant, receiver.url())
    path = f"/v2/webhook_endpoints/{hook}"
    off = await v2.post(tenant, f"{path}/disable")
    assert (off["status"], off["disabled_reason"]) == ("disabled", "requested")
    assert (await v2.get(tenant, f"{path}/health"))["state"] == "disabled"
    await v2.hooks.tell_of("payment_intent.created", scope=tenant.scope)
    await v2.hooks.deliver_all(v2.hooks.worker())
    assert receiver.got == []
    (event,) = await v2.events(tenant)
    await v2.post(tenant, f"/v2/events/{event.reference}/resend", {"endpoint": hook}, 409)
    on = await v2.post(tenant, f"{path}/enable")
    assert (on["status"], on["disabled_reason"]) == ("enabled", None)


async def test_secret_that_is_rotated_is_told_once_and_stored_nowhere_in_clear(
    v2: V2, tenant: Tenant
) -> None:
    hook = await endpoint(v2, tenant, "http://localhost:1/hooks")
    path = f"/v2/webhook_endpoints/{hook}/rotate_secret"
    first = await v2.post(tenant, path, {"overlap_s": 0}, key="rotate")
    again = await v2.post(tenant, path, {"overlap_s": 0}, key="rotate")
    assert first["secret"].startswith("whsec_")
    assert again == first | {"secret": None}
    other = await v2.post(tenant, path)
    assert other["secret"] not in {None, first["secret"]}
    async with v2.house.database.connection() as connection:
        kept = await connection.fetch("SELECT answer FROM requests.claim WHERE answer IS NOT NULL")
    assert not any(first["secret"].encode() in row[0] for row in kept)
    for overlap_s in (-1, 86_401, "1", 1.5):
        await v2.post(tenant, path, {"overlap_s": overlap_s}, 400)
