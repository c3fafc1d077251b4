"""Endpoints on a real database: created within bounds, changed, rotated, deleted, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import pytest
from tests.payments.webhook_house import House, moment

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded, NotFound
from tongbao.core.ids import IdFactory
from tongbao.payments.schema.webhooks import (
    ENDPOINTS_MAX,
    DisabledReason,
    EndpointChange,
    EndpointDraft,
    EndpointState,
    HealthState,
    UrlRules,
)
from tongbao.payments.service.webhooks import WebhookEndpoints

URL = "https://merchant.example.com/hooks"
Answer = TypeVar("Answer")


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids, FrozenClock(moment()))
    made.endpoints = WebhookEndpoints(database, made.box, UrlRules(), made.clock, ids)
    yield made
    await made.close()


async def within(house: House, act: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """Do something in a transaction."""
    async with house.database.transaction() as connection:
        return await act(connection)


async def test_created_endpoint_is_found_and_its_secret_is_shown_once(house: House) -> None:
    endpoint, secret = await house.endpoint(URL, "refund.*", description="店铺", metadata={"a": "b"})
    assert await house.endpoints.get(house.scope, endpoint.id) == endpoint
    assert await house.endpoints.list(house.scope) == [endpoint]
    assert secret.get_secret_value().startswith("whsec_")
    assert secret.get_secret_value() not in repr((endpoint, secret))
    assert endpoint.reference.startswith("we_")
    async with house.database.connection() as connection:
        stored = await connection.fetchval("SELECT secret FROM webhooks.endpoint")
    assert secret.get_secret_value().encode() not in stored


async def test_create_joins_the_transaction_of_the_caller(house: House) -> None:
    async def undone(connection: Connection) -> None:
        draft = EndpointDraft(url=URL, enabled_events=("*",))
        await house.endpoints.create(connection, house.scope, draft)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await within(house, undone)
    assert await house.endpoints.list(house.scope) == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "https://127.0.0.1/"}, "url_invalid"),
        ({"url": "https://user:pass@example.org/"}, "url_invalid"),
        ({"enabled_events": ()}, "enabled_events_invalid"),
        ({"enabled_events": ("Refund",)}, "enabled_events_invalid"),
        ({"enabled_events": ("a.b",) * 101}, "enabled_events_invalid"),
        ({"description": "x" * 501}, "description_invalid"),
        ({"description": "a\x00"}, "description_invalid"),
        ({"metadata": {"": "x"}}, "metadata_invalid"),
        ({"metadata": {"k" * 41: "x"}}, "metadata_invalid"),
        ({"metadata": {"k": "x" * 501}}, "metadata_invalid"),
        ({"metadata": {str(n): "x" for n in range(51)}}, "metadata_invalid"),
    ],
)
async def test_bad_draft_and_bad_change_are_refused(
    house: House, fields: dict[str, object], code: str
) -> None:
    draft = {"url": URL, "enabled_events": ("*",)} | fields
    with pytest.raises(InvalidRequest, match=code):
        await within(
            house,
            lambda connection: house.endpoints.create(
                connection,
                house.scope,
                EndpointDraft(**draft),  # type: ignore[arg-type]  # a table of wrong values
            ),
        )
    endpoint, _ = await house.endpoint(URL)
    change = EndpointChange(**fields)  # type: ignore[arg-type]  # a table of wrong values
    with pytest.raises(InvalidRequest, match=code):
        await within(
            house, lambda connection: house.endpoints.update(connection, house.scope, endpoint.id, change)
        )
    assert await house.endpoints.get(house.scope, endpoint.id) == endpoint


async def test_url_without_encryption_is_for_test_mode_only(house: House) -> None:
    live = house.new_scope(live=True)
    await house.endpoint("http://merchant.example.com/")
    with pytest.raises(InvalidRequest) as refused:
        await house.endpoint("http://merchant.example.com/", scope=live)
    assert refused.value.facts["fault"] == "https_required"


async def test_seventeenth_endpoint_is_refused_until_one_is_deleted(house: House) -> None:
    made = [await house.endpoint(URL) for _ in range(ENDPOINTS_MAX)]
    with pytest.raises(LimitExceeded, match="webhook_endpoints_too_many"):
        await house.endpoint(URL)
    await within(
        house, lambda connection: house.endpoints.delete(connection, house.scope, made[3].endpoint.id)
    )
    await house.endpoint(URL)
    assert len(await house.endpoints.list(house.scope)) == ENDPOINTS_MAX


async def test_endpoints_made_at_the_same_time_stay_within_the_limit(house: House) -> None:
    async def create() -> bool:
        try:
            await house.endpoint(URL)
        except AppError:
            return False
        return True

    for _ in range(4):
        await asyncio.gather(*(create() for _ in range(6)))
    assert len(await house.endpoints.list(house.scope)) == ENDPOINTS_MAX


async def test_update_changes_what_is_set(house: House) -> None:
    endpoint, _ = await house.endpoint(URL, "refund.*", description="old")
    house.clock.advance(timedelta(seconds=1))
    change = EndpointChange(url="https://other.example.com/", metadata={"k": "v"})
    changed = await within(
        house, lambda connection: house.endpoints.update(connection, house.scope, endpoint.id, change)
    )
    assert await house.endpoints.get(house.scope, endpoint.id) == changed
    assert (changed.url, changed.metadata, changed.version) == (
        "https://other.example.com/",
        {"k": "v"},
        2,
    )
    assert (changed.description, changed.enabled_events) == ("old", ("refund.*",))
    assert changed.updated_at == house.clock.now()


async def test_disabled_endpoint_gets_no_deliveries_until_it_is_enabled(house: House) -> None:
    endpoint, _ = await house.endpoint(URL)
    disabled = await within(
        house, lambda connection: house.endpoints.disable(connection, house.scope, endpoint.id)
    )
    assert (disabled.state, disabled.disabled_reason) == (
        EndpointState.DISABLED,
        DisabledReason.REQUESTED,
    )
    assert (await house.endpoints.health(house.scope, endpoint.id)).state is HealthState.DISABLED
    await house.tell_of("a.missed")
    enabled = await within(
        house, lambda connection: house.endpoints.enable(connection, house.scope, endpoint.id)
    )
    assert (enabled.state, enabled.disabled_reason) == (EndpointState.ENABLED, None)
    await house.tell_of("a.seen")
    missed, seen = await house.all_events()
    assert await house.deliveries.of_event(house.scope, missed.id) == []
    assert len(await house.deliveries.of_event(house.scope, seen.id)) == 1


async def test_rotation_returns_a_new_secret(house: House) -> None:
    endpoint, first = await house.endpoint(URL)
    rotated, second = await within(
        house, lambda connection: house.endpoints.rotate_secret(connection, house.scope, endpoint.id)
    )
    assert first.get_secret_value() != second.get_secret_value()
    assert rotated.version == 2


@pytest.mark.parametrize("overlap_s", [-1, 24 * 3_600 + 1])
async def test_rotation_with_a_bad_overlap_is_refused(house: House, overlap_s: int) -> None:
    endpoint, _ = await house.endpoint(URL)
    with pytest.raises(InvalidRequest, match="overlap_invalid"):
        await within(
            house,
            lambda connection: house.endpoints.rotate_secret(
                connection, house.scope, endpoint.id, overlap_s=overlap_s
            ),
        )


async def test_deleted_endpoint_is_gone_with_its_secret_and_what_waited(house: House) -> None:
    endpoint, _ = await house.endpoint(URL)
    await house.tell_of("a.x")
    await within(house, lambda connection: house.endpoints.delete(connection, house.scope, endpoint.id))
    with pytest.raises(NotFound):
        await house.endpoints.get(house.scope, endpoint.id)
    with pytest.raises(NotFound):
        await within(house, lambda connection: house.endpoints.delete(connection, house.scope, endpoint.id))
    assert await house.endpoints.list(house.scope) == []
    async with house.database.connection() as connection:
        row = await connection.fetchrow("SELECT secret, previous_secret FROM webhooks.endpoint")
        assert (
            await connection.fetchval("SELECT count(*) FROM webhooks.delivery WHERE due_at IS NOT NULL") == 0
        )
    assert (row[0], row[1]) == (b"", None)


async def test_endpoint_of_another_book_is_missing_in_every_way(house: House) -> None:
    endpoint, _ = await house.endpoint(URL)
    stranger, key = house.new_scope(), endpoint.id
    acts: list[Callable[[Connection, UUID], Awaitable[object]]] = [
        lambda connection, key: house.endpoints.update(connection, stranger, key, EndpointChange()),
        lambda connection, key: house.endpoints.enable(connection, stranger, key),
        lambda connection, key: house.endpoints.disable(connection, stranger, key),
        lambda connection, key: house.endpoints.rotate_secret(connection, stranger, key),
        lambda connection, key: house.endpoints.delete(connection, stranger, key),
        lambda _, key: house.endpoints.get(stranger, key),
        lambda _, key: house.endpoints.health(stranger, key),
        lambda _, key: house.deliveries.attempts(stranger, key),
    ]
    for act in acts:
        async with house.database.transaction() as connection:
            with pytest.raises(NotFound):
                await act(connection, key)
    assert await house.endpoints.list(stranger) == []


async def test_health_of_an_unused_endpoint_knows_nothing(house: House) -> None:
    endpoint, _ = await house.endpoint(URL)
    health = await house.endpoints.health(house.scope, endpoint.id)
    assert (health.state, health.attempt_count) == (HealthState.HEALTHY, 0)
    assert (health.success_share, health.p95_ms, health.failing_since) == (None, None, None)
