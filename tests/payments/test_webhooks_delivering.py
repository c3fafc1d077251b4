"""Deliveries over real sockets to a server of this machine: retries, isolation, crashes, health, replays."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe
from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from tests.payments.webhook_house import KEY, House, Receiver, moment, render

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.payments.adapters.secret_box import AesGcmBox
from tongbao.payments.policy.webhooks import RETRY_AFTER_S
from tongbao.payments.schema.intents import IntentState
from tongbao.payments.schema.webhooks import (
    Delivery,
    DeliveryFailure,
    DeliveryState,
    DisabledReason,
    EndpointState,
    EventRow,
    HealthState,
)
from tongbao.payments.service.delivering import LEASE_S, DeliveryLimits, counting_attempts, tallies_of
from tongbao.payments.store.deliveries import Ended

GUIDE = Path(__file__).parents[2] / "docs/howto/receive-webhooks.md"


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids, FrozenClock(moment()))
    await made.relay.prepare()
    yield made
    await made.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as opened:
        yield opened


# What arrives


async def test_delivered_event_is_verified_by_both_official_libraries(
    house: House, receiver: Receiver
) -> None:
    endpoint, secret = await house.endpoint(receiver.url(), "payment_intent.succeeded")
    intent = house.intent(description="红豆汤 ☕ ×2", state=IntentState.SUCCEEDED)
    await house.tell(house.happened(("payment_intent.succeeded", intent)))
    worker = house.worker()
    await house.deliver_all(worker)
    (got,) = receiver.got
    (event,) = await house.all_events()
    assert got.body == render(event)
    text = secret.get_secret_value()
    told = stripe.Webhook.construct_event(got.body, got.headers["Stripe-Signature"], text)
    assert (told.type, told["data"]["object"]["description"]) == ("payment_intent.succeeded", "红豆汤 ☕ ×2")
    assert Webhook(text).verify(got.body, dict(got.headers))["id"] == event.reference
    assert got.headers["webhook-id"] == event.reference
    assert got.headers["Content-Type"] == "application/json; charset=utf-8"
    delivery = await house.delivery()
    assert (delivery.state, delivery.attempt_count, delivery.due_at) == (DeliveryState.DELIVERED, 1, None)
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    assert (attempt.status, attempt.failure, attempt.answer) == (200, None, "thank you")


async def test_receiver_of_the_documentation_verifies_what_is_delivered(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    _, secret = await house.endpoint(receiver.url())
    monkeypatch.setenv("WEBHOOK_SECRET", secret.get_secret_value())
    await house.tell_of("a.x")
    await house.deliver_all(house.worker())
    (got,) = receiver.got
    assert names["verified"](got.body, dict(got.headers)) == got.event
    with pytest.raises(stripe.SignatureVerificationError):
        names["verified"](got.body + b" ", dict(got.headers))


def test_documentation_states_the_schedule() -> None:
    units = {"s": 1, "min": 60, "h": 3_600}
    rows = re.findall(r"\| (\d+) \| (\d+) (s|min|h) \|", GUIDE.read_text())
    assert [int(number) for number, _, _ in rows] == list(range(2, len(RETRY_AFTER_S) + 2))
    assert tuple(int(count) * units[unit] for _, count, unit in rows) == RETRY_AFTER_S


async def test_each_endpoint_gets_what_it_wants_once(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver.url("/all"))
    await house.endpoint(receiver.url("/refunds"), "refund.*")
    await house.endpoint(receiver.url("/other"), scope=house.new_scope())
    await house.tell_of("refund.created", "payment_intent.created")
    await house.deliver_all(house.worker())
    assert sorted(got.event["type"] for got in receiver.at("/all")) == [
        "payment_intent.created",
        "refund.created",
    ]
    assert [got.event["type"] for got in receiver.at("/refunds")] == ["refund.created"]
    assert receiver.at("/other") == []


async def test_later_change_of_the_document_does_not_change_what_is_delivered(
    house: House, receiver: Receiver
) -> None:
    await house.endpoint(receiver.url(), "payment_intent.created")
    receiver.answers["/hooks"] = [500, 200]
    intent = house.intent()
    await house.tell(house.happened(("payment_intent.created", intent)))
    worker = house.worker()
    await house.deliver_all(worker)
    canceled = intent.changed(house.clock.now(), state=IntentState.CANCELED)
    await house.tell(house.happened(("payment_intent.canceled", canceled)))
    house.clock.advance(timedelta(seconds=11))
    await house.deliver_all(worker)
    first, second = receiver.got
    assert first.body == second.body
    assert second.event["data"]["object"]["state"] == "requires_payment_method"


async def test_events_of_one_object_arrive_in_order(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver.url())

    async def slower_at_first(request: web.Request) -> web.Response:
        await asyncio.sleep(0.02 / len(receiver.got))
        return web.Response()

    receiver.answers["/hooks"] = [slower_at_first]
    intents = [house.intent() for _ in range(3)]
    for version in range(1, 7):
        for place, intent in enumerate(intents):
            await house.tell(house.happened((f"a.v{version}", intent)))
            intents[place] = intent.changed(house.clock.now())
    workers = [house.worker(), house.worker()]
    await asyncio.gather(*(house.deliver_all(worker) for worker in workers))
    await house.deliver_all(workers[0])
    for intent in intents:
        seen = [
            g.event["sequence"] for g in receiver.got if g.event["data"]["object"]["id"] == str(intent.id)
        ]
        assert seen == [1, 2, 3, 4, 5, 6]


async def test_rotated_secret_signs_beside_the_old_one_until_the_overlap_ends(
    house: House, receiver: Receiver
) -> None:
    endpoint, first = await house.endpoint(receiver.url())
    async with house.database.transaction() as connection:
        _, second = await house.endpoints.rotate_secret(connection, house.scope, endpoint.id, overlap_s=3_600)
    await house.tell_of("a.x")
    worker = house.worker()
    await house.deliver_all(worker)
    old, new = first.get_secret_value(), second.get_secret_value()
    (during,) = receiver.got
    for text in (old, new):
        stripe.Webhook.construct_event(during.body, during.headers["Stripe-Signature"], text)
        Webhook(text).verify(during.body, dict(during.headers))
    house.clock.advance(timedelta(seconds=3_600))
    await house.tell_of("a.y")
    await house.deliver_all(worker)
    after = receiver.got[-1]
    stripe.Webhook.construct_event(after.body, after.headers["Stripe-Signature"], new)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(after.body, after.headers["Stripe-Signature"], old)
    with pytest.raises(WebhookVerificationError, match="signature"):
        Webhook(old).verify(after.body, dict(after.headers) | {"webhook-timestamp": str(int(time.time()))})


# What fails


async def test_failures_are_repeated_on_schedule_signed_anew_and_then_dead(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [503]
    await house.tell_of("a.x")
    worker = house.worker()
    for tries, seconds in enumerate([10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400, 86_400], start=1):
        await house.deliver_all(worker)
        delivery = await house.delivery()
        assert (delivery.state, delivery.attempt_count) == (DeliveryState.PENDING, tries)
        assert delivery.due_at is not None
        pause_s = (delivery.due_at - house.clock.now()).total_seconds()
        assert 0.9 * seconds <= pause_s <= 1.1 * seconds
        house.clock.set(delivery.due_at - timedelta(milliseconds=1))
        assert await worker.deliver_due() == 0
        house.clock.set(delivery.due_at)
    await house.deliver_all(worker)
    delivery = await house.delivery()
    assert (delivery.state, delivery.attempt_count, delivery.due_at) == (DeliveryState.DEAD, 10, None)
    assert len(receiver.got) == 10
    assert len({got.headers["Stripe-Signature"] for got in receiver.got}) == 10
    attempts = await house.deliveries.attempts(house.scope, endpoint.id, delivery.event_id)
    assert [attempt.attempt_no for attempt in attempts] == list(range(10, 0, -1))
    assert {(attempt.status, attempt.failure) for attempt in attempts} == {(503, DeliveryFailure.STATUS)}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_failures_and_are_not_followed(
    house: House, receiver: Receiver, status: int
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": receiver.url("/elsewhere")})

    await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [elsewhere]
    await house.tell_of("a.x")
    await house.deliver_all(house.worker())
    assert [got.path for got in receiver.got] == ["/hooks"]
    assert (await house.delivery()).state is DeliveryState.PENDING


async def test_answer_410_disables_the_endpoint_and_tells_the_others(
    house: House, receiver: Receiver
) -> None:
    gone, _ = await house.endpoint(receiver.url("/gone"))
    await house.endpoint(receiver.url("/other"), "webhook_endpoint.disabled")
    receiver.answers["/gone"] = [410]
    await house.tell_of("a.x")
    worker = house.worker()
    await house.deliver_all(worker)
    disabled = await house.endpoints.get(house.scope, gone.id)
    assert (disabled.state, disabled.disabled_reason) == (EndpointState.DISABLED, DisabledReason.GONE)
    await house.project()
    _, told = await house.all_events()
    assert (told.type, told.object_kind) == ("webhook_endpoint.disabled", "webhook_endpoint")
    assert told.document() == disabled
    await house.deliver_all(worker)
    (got,) = receiver.at("/other")
    assert "secret" not in got.event["data"]["object"]
    house.clock.advance(timedelta(days=1))
    await house.tell_of("a.y")
    await house.deliver_all(worker)
    assert len(receiver.at("/gone")) == 1


async def test_three_days_of_nothing_but_failures_disable_the_endpoint(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver.url(), "a.*")
    receiver.answers["/hooks"] = [500]
    worker = house.worker()
    await house.tell_of("a.x")
    for _ in range(3):
        await house.deliver_all(worker)
        house.clock.advance(timedelta(days=1) - timedelta(seconds=1))
        await house.tell_of("a.x")
    await house.deliver_all(worker)
    assert (await house.endpoints.get(house.scope, endpoint.id)).state is EndpointState.ENABLED
    health = await house.endpoints.health(house.scope, endpoint.id)
    assert (health.state, health.success_share) == (HealthState.FAILING, 0.0)
    house.clock.advance(timedelta(days=1))
    await house.deliver_all(worker)
    disabled = await house.endpoints.get(house.scope, endpoint.id)
    assert (disabled.state, disabled.disabled_reason) == (
        EndpointState.DISABLED,
        DisabledReason.FAILING,
    )
    await house.project()
    assert (await house.all_events())[-1].type == "webhook_endpoint.disabled"


async def test_one_success_forgives_what_failed_before(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [500, 500, 500, 500, 200]
    worker = house.worker()
    for _ in range(4):
        await house.tell_of("a.x")
        await house.deliver_all(worker)
    failing = await house.endpoints.health(house.scope, endpoint.id)
    assert (failing.state, failing.consecutive_failures) == (HealthState.FAILING, 4)
    assert failing.failing_since == house.clock.now()
    house.clock.advance(timedelta(seconds=5))
    await house.tell_of("a.x")
    await house.deliver_all(worker)
    health = await house.endpoints.health(house.scope, endpoint.id)
    assert (health.state, health.consecutive_failures, health.failing_since) == (HealthState.HEALTHY, 0, None)
    assert (health.attempt_count, health.success_share) == (5, 0.2)
    assert health.p95_ms is not None


async def test_failing_endpoint_is_tried_one_at_a_time(house: House, receiver: Receiver) -> None:
    under_way = most = 0

    async def counted(_: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return web.Response(status=500)

    await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [500]
    worker = house.worker()
    await house.tell_of("a.x", "a.x", "a.x")
    await house.deliver_all(worker)
    receiver.answers["/hooks"] = [counted]
    await house.tell_of(*["a.x"] * 10)
    await house.deliver_all(worker)
    assert most == 1
    assert len(receiver.got) == 13


async def big(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * 65_537)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 1_024)
        await asyncio.sleep(0.01)


async def dropped(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def silent(_: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (big, DeliveryFailure.ANSWER_TOO_LARGE),
        (endless, DeliveryFailure.TIMED_OUT),
        (silent, DeliveryFailure.TIMED_OUT),
        (dropped, DeliveryFailure.NO_ANSWER),
    ],
)
async def test_answers_that_never_end_or_never_come_are_failures(
    house: House, receiver: Receiver, handler: web.Request, expected: DeliveryFailure
) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [handler]  # type: ignore[list-item]  # one of the handlers above
    await house.tell_of("a.x")
    await house.deliver_all(house.worker(limits=DeliveryLimits(patience_s=5, timeout_s=0.3)))
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    assert (attempt.failure, attempt.status) == (expected, None)
    assert (await house.delivery()).state is DeliveryState.PENDING


async def test_answer_is_kept_masked_and_short(house: House, receiver: Receiver) -> None:
    async def chatty(_: web.Request) -> web.Response:
        return web.Response(status=500, text="token=abc card 4111111111111111 " + "é" * 4_000)

    endpoint, _ = await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [chatty]
    await house.tell_of("a.x")
    await house.deliver_all(house.worker())
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    assert attempt.answer.startswith("token=*** card 411111******1111")
    assert len(attempt.answer.encode()) <= 1_024


async def test_event_that_cannot_be_rendered_blames_nobody_and_stops_nobody(
    house: House, receiver: Receiver
) -> None:
    def broken(event: EventRow) -> bytes:
        if event.type == "a.bad":
            raise KeyError("no words for it")
        return render(event)

    endpoint, _ = await house.endpoint(receiver.url())
    await house.tell_of("a.bad", "a.good")
    await house.deliver_all(house.worker(render=broken))
    assert [got.event["type"] for got in receiver.got] == ["a.good"]
    attempts = await house.deliveries.attempts(house.scope, endpoint.id)
    assert DeliveryFailure.INTERNAL in {attempt.failure for attempt in attempts}
    assert (await house.endpoints.health(house.scope, endpoint.id)).consecutive_failures == 0


async def test_secret_sealed_with_a_lost_key_is_our_failure(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    await house.tell_of("a.x")
    await house.deliver_all(house.worker(box=AesGcmBox([KEY[::-1]])))
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    assert (attempt.failure, receiver.got) == (DeliveryFailure.INTERNAL, [])


# Fairness, crashes and several workers


async def test_slow_endpoint_holds_up_nobody_else(house: House, receiver: Receiver) -> None:
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    receiver.answers["/slow"] = [slow]
    await house.endpoint(receiver.url("/slow"))
    await house.tell_of(*["a.x"] * 60)
    await house.endpoint(receiver.url("/fast"))
    await house.tell_of(*["a.x"] * 40)
    worker = house.worker(limits=DeliveryLimits(in_flight_max=32, endpoint_in_flight_max=8, patience_s=0.02))
    began = asyncio.get_running_loop().time()
    while len(receiver.at("/fast")) < 40:
        await worker.deliver_due(20)
        assert asyncio.get_running_loop().time() - began < 10
    assert len(receiver.at("/slow")) == 8
    release.set()
    await house.deliver_all(worker)
    assert len(receiver.at("/slow")) == 100


async def test_long_queue_of_one_endpoint_does_not_take_the_turn_of_another(
    house: House, receiver: Receiver
) -> None:
    await house.endpoint(receiver.url("/long"))
    await house.tell_of(*["a.x"] * 100)
    for number in range(5):
        await house.endpoint(receiver.url(f"/short{number}"), "b.*")
    await house.tell_of("b.x")
    worker = house.worker(limits=DeliveryLimits(endpoint_in_flight_max=4, patience_s=5))
    for _ in range(4):
        await worker.deliver_due(4)
        await worker.settle()
    assert [len(receiver.at(f"/short{number}")) for number in range(5)] == [1] * 5


async def test_worker_that_is_full_waits_for_room(house: House, receiver: Receiver) -> None:
    receiver.answers["/hooks"] = [silent]
    await house.endpoint(receiver.url())
    await house.tell_of(*["a.x"] * 5)
    worker = house.worker(limits=DeliveryLimits(in_flight_max=2, patience_s=0.05))
    assert await worker.deliver_due() == 2
    assert await worker.deliver_due() == 0
    assert len(receiver.got) == 2


async def test_delivery_of_a_worker_that_died_is_repeated_after_its_lease(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [silent, 200]
    await house.tell_of("a.x")
    dying = house.worker(limits=DeliveryLimits(patience_s=0.1))
    await dying.deliver_due()
    assert len(receiver.got) == 1
    await dying.close()
    worker = house.worker()
    assert await worker.deliver_due() == 0
    assert (await house.delivery()).state is DeliveryState.SENDING
    house.clock.advance(timedelta(seconds=LEASE_S))
    await house.deliver_all(worker)
    assert len(receiver.got) == 2
    delivery = await house.delivery()
    assert (delivery.state, delivery.attempt_count) == (DeliveryState.DELIVERED, 2)
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    assert attempt.attempt_no == 2


async def test_late_yes_of_a_worker_whose_lease_ended_counts_and_a_late_no_does_not(
    house: House, receiver: Receiver
) -> None:
    answers: list[asyncio.Future[int]] = []

    async def asked(_: web.Request) -> web.Response:
        answers.append(asyncio.get_running_loop().create_future())
        return web.Response(status=await answers[-1])

    receiver.answers["/hooks"] = [asked]
    await house.endpoint(receiver.url())
    await house.tell_of("a.x")
    late, prompt = (house.worker(limits=DeliveryLimits(patience_s=0.1)) for _ in range(2))
    await late.deliver_due()
    house.clock.advance(timedelta(seconds=LEASE_S))
    await prompt.deliver_due()
    answers[0].set_result(500)
    await late.settle()
    assert (await house.delivery()).state is DeliveryState.SENDING
    answers[1].set_result(200)
    await prompt.settle()
    assert (await house.delivery()).state is DeliveryState.DELIVERED


async def test_two_workers_take_no_delivery_twice(house: House, receiver: Receiver) -> None:
    for number in range(4):
        await house.endpoint(receiver.url(f"/{number}"))
    await house.tell_of(*["a.x"] * 50)
    workers = [house.worker() for _ in range(3)]
    await asyncio.gather(*(house.deliver_all(worker) for worker in workers))
    seen = [(got.path, got.event["id"]) for got in receiver.got]
    assert len(seen) == len(set(seen)) == 200


async def test_hundreds_a_second_are_delivered(house: House, receiver: Receiver) -> None:
    for number in range(8):
        await house.endpoint(receiver.url(f"/{number}"))
    await house.tell_of(*["a.x"] * 100)
    worker = house.worker(limits=DeliveryLimits())
    # The time of this process alone: what else the machine does is no matter.
    began = time.process_time()
    await house.deliver_all(worker)
    seconds = time.process_time() - began
    assert len(receiver.got) == 800
    assert 800 / seconds > 100, "far below what one slow core manages"


async def test_delivery_under_way_while_its_endpoint_is_deleted_is_not_repeated(
    house: House, receiver: Receiver
) -> None:
    release: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def asked(_: web.Request) -> web.Response:
        return web.Response(status=await release)

    receiver.answers["/hooks"] = [asked]
    endpoint, _ = await house.endpoint(receiver.url())
    await house.tell_of("a.x")
    worker = house.worker(limits=DeliveryLimits(patience_s=0.1))
    await worker.deliver_due()
    async with house.database.transaction() as connection:
        await house.endpoints.delete(connection, house.scope, endpoint.id)
    release.set_result(500)
    await worker.settle()
    delivery = await house.delivery()
    assert (delivery.state, delivery.due_at) == (DeliveryState.DEAD, None)


async def test_record_that_is_written_twice_counts_once(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [500]
    await house.tell_of("a.x")
    worker = house.worker()
    await house.deliver_all(worker)
    before = await house.delivery()
    async with house.database.connection() as connection:
        for _ in range(2):
            await worker._record(connection, 0, [ended(before)._replace(book_id=house.scope.book_id)])
    assert await house.delivery() == before
    assert len(await house.deliveries.attempts(house.scope, endpoint.id)) == 1
    assert (await house.endpoints.health(house.scope, endpoint.id)).consecutive_failures == 1


def ended(
    delivery: Delivery, number: int = 1, failure: DeliveryFailure | None = DeliveryFailure.STATUS
) -> Ended:
    """An attempt as a worker would record it."""
    return Ended(
        book_id=1,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        attempt_no=number,
        attempted_at=delivery.occurred_at + timedelta(seconds=number),
        took_ms=3,
        status=500 if failure else 200,
        failure=failure,
        answer="",
        state=DeliveryState.PENDING if failure else DeliveryState.DELIVERED,
        due_at=delivery.occurred_at,
        ended_at=delivery.occurred_at,
        gone=False,
    )


@pytest.mark.parametrize(
    ("outcomes", "succeeded", "failures", "since"),
    [
        ("y", True, 0, None),
        ("n", False, 1, 1),
        ("nn", False, 2, 1),
        ("ny", True, 0, None),
        ("nynn", True, 2, 3),
        ("in", False, 1, 2),
    ],
)
async def test_tally_counts_failures_after_the_last_success(
    house: House, outcomes: str, succeeded: bool, failures: int, since: int | None
) -> None:
    await house.endpoint("http://127.0.0.1:1/")
    await house.tell_of("a.x")
    delivery = await house.delivery()
    meanings = {"y": None, "n": DeliveryFailure.STATUS, "i": DeliveryFailure.INTERNAL}
    batch = [ended(delivery, number, meanings[each]) for number, each in enumerate(outcomes, start=1)]
    (tally,) = tallies_of(batch)
    began = None if since is None else delivery.occurred_at + timedelta(seconds=since)
    assert (tally.succeeded, tally.failures, tally.failed_at) == (succeeded, failures, began)


async def test_attempt_that_delivered_counts_before_a_later_one_that_failed(house: House) -> None:
    await house.endpoint("http://127.0.0.1:1/")
    await house.tell_of("a.x")
    delivery = await house.delivery()
    late_yes, no, later_no = ended(delivery, 1, None), ended(delivery, 2), ended(delivery, 3)
    assert counting_attempts([late_yes, no]) == [late_yes]
    assert counting_attempts([later_no, no]) == [later_no]
