"""Keys: a request that is repeated is answered as it was, and never done twice."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.payments.conftest import CARD, House
from tests.payments.scripted import declined

from tongbao.channels.schema import Answer, Outcome, Reason
from tongbao.core.errors import Conflict
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import Done, IntentOrder, PageOrder
from tongbao.payments.store import documents as store

Send = Callable[[], Awaitable[Done[Any]]]


async def insist(send: Send) -> Done[Any]:
    """Repeat while the first run is under way, as a client does."""
    while True:
        try:
            return await send()
        except Conflict as error:
            if error.code != "idempotency_key_in_use":
                raise
            await asyncio.sleep(0.02)


async def intent_count(house: House) -> int:
    async with house.database.connection() as connection:
        return len(await store.page(connection, Intent, house.scope.book_id, limit=1_000))


@pytest.mark.parametrize("confirms", [True, False])
async def test_create_fifty_times_at_once_under_one_key_makes_one_intent(
    house: House, *, confirms: bool
) -> None:
    order = house.order() if confirms else IntentOrder(amount_minor=1999, currency="cny")
    results = await asyncio.gather(
        *(
            insist(lambda: house.payments.intents.create(house.scope, order, ask=house.ask("k")))
            for _ in range(50)
        )
    )
    assert len({each.rendered for each in results}) == 1
    assert sum(1 for each in results if not each.is_replay) == 1
    assert await intent_count(house) == 1
    assert len(house.channel().asked("authorize")) == confirms


async def test_create_again_under_the_key_of_other_parameters_conflicts(house: House) -> None:
    await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    with pytest.raises(Conflict) as refused:
        await house.payments.intents.create(house.scope, house.order(5), ask=house.ask("k", "other"))
    assert refused.value.code == "idempotency_key_reused"
    assert await intent_count(house) == 1


async def test_key_of_another_operation_or_merchant_is_another_key(house: House) -> None:
    await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k", operation="other"))
    await house.payments.intents.create(house.new_scope(), house.order(), ask=house.ask("k"))
    assert await intent_count(house) == 2
    assert len(house.channel().asked("authorize")) == 3


async def test_decline_is_an_answer_that_is_replayed(house: House) -> None:
    house.channel().reply("authorize", declined(Reason.CARD_EXPIRED))
    first = await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    again = await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    assert again == Done(None, first.rendered)
    assert len(house.channel().asked("authorize")) == 1


async def test_create_that_was_refused_leaves_its_key_free(house: House) -> None:
    with pytest.raises(Conflict):
        await house.payments.intents.create(house.scope, house.order(currency="eur"), ask=house.ask("k"))
    done = await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    assert not done.is_replay


async def test_key_whose_first_run_is_under_way_conflicts(house: House) -> None:
    called, released = asyncio.Event(), asyncio.Event()

    async def waits(_call: object) -> Answer:
        called.set()
        await released.wait()
        return Answer(outcome=Outcome.APPROVED, captured=True)

    house.channel().reply("authorize", waits)
    first = asyncio.create_task(house.payments.intents.create(house.scope, house.order(), ask=house.ask("k")))
    await called.wait()
    with pytest.raises(Conflict) as refused:
        await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    assert refused.value.code == "idempotency_key_in_use"
    released.set()
    answer = (await first).rendered
    again = await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    assert again.rendered == answer


async def test_task_canceled_while_the_channel_works_leaves_a_payment_that_resolves(house: House) -> None:
    called = asyncio.Event()

    async def hangs(_call: object) -> Answer:
        called.set()
        await asyncio.sleep(3_600)
        raise AssertionError("canceled before")

    house.channel().reply("authorize", hangs)
    task = asyncio.create_task(house.payments.intents.create(house.scope, house.order()))
    await called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (intent,) = [view.intent for view in (await house.payments.intents.page(house.scope, PageOrder())).items]
    assert await house.states(intent.id) == ("processing", ["sent"])
    await house.pass_time(31)
    await house.pass_time(60)
    assert await house.states(intent.id) == ("requires_payment_method", ["not_found"])


async def test_payment_cut_short_is_answered_with_how_it_stands_under_its_key(house: House) -> None:
    async def dies(_call: object) -> Answer:
        raise asyncio.CancelledError

    def send() -> Awaitable[Done[Any]]:
        return house.payments.intents.create(house.scope, house.order(), ask=house.ask("p"))

    house.channel().reply("authorize", dies)
    with pytest.raises(asyncio.CancelledError):
        await send()
    house.clock.advance(timedelta(seconds=61))
    resumed = await send()
    assert resumed.view is not None
    assert resumed.view.intent.state == "processing"
    assert (await send()).rendered == resumed.rendered
    assert len(house.channel().asked("authorize")) == 1


async def test_refund_cut_short_is_resumed_under_its_key(house: House) -> None:
    view = await house.pay(1000)

    async def dies(_call: object) -> Answer:
        raise asyncio.CancelledError

    def send() -> Awaitable[Done[Any]]:
        return house.payments.refunds.create(
            house.scope, intent_id=view.intent.id, amount_minor=400, ask=house.ask("r")
        )

    house.channel().reply("refund", dies)
    with pytest.raises(asyncio.CancelledError):
        await send()
    house.clock.advance(timedelta(seconds=61))
    resumed = await send()
    assert resumed.view is not None
    assert resumed.view.refund.state == "sent"
    await house.pass_time(1)
    assert (await send()).rendered == resumed.rendered
    assert (await house.intent(view.intent.id)).amount_refunded_minor == 400


async def test_capture_cut_short_is_resumed_under_its_key(house: House) -> None:
    view = await house.reserve(1000)

    async def dies(_call: object) -> Answer:
        raise asyncio.CancelledError

    def send() -> Awaitable[Done[Any]]:
        return house.payments.intents.capture(house.scope, view.intent.id, 400, ask=house.ask("c"))

    house.channel().reply("capture", dies)
    with pytest.raises(asyncio.CancelledError):
        await send()
    await house.pass_time(61)
    resumed = await send()
    assert resumed.view is not None
    assert resumed.view.intent.amount_received_minor == 400
    assert len({call.reference for call in house.channel().asked("capture")}) == 1


async def test_refused_capture_is_answered_with_its_refusal_again(house: House) -> None:
    view = await house.reserve(1000)
    house.channel().reply("capture", declined(Reason.CHANNEL_ERROR))

    def send() -> Awaitable[Done[Any]]:
        return house.payments.intents.capture(house.scope, view.intent.id, ask=house.ask("c"))

    first = await send()
    assert first.rendered is not None
    assert b"ActRefused" in first.rendered.body
    assert (await send()).rendered == first.rendered
    assert len(house.channel().asked("capture")) == 1


async def test_fact_names_the_request_that_caused_it(house: House) -> None:
    await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    facts = await house.facts()
    assert {(fact.request_id, fact.idempotency_key) for fact in facts} == {("req_k", "k")}
    assert CARD.token not in repr([fact.events for fact in facts])
