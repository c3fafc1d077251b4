"""Repeating: a request is answered as it was the first time, however far its documents have moved on since."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.payments.conftest import CARD, House, open_house

from tongbao.channels.schema import Answer, Outcome
from tongbao.core.db import Database
from tongbao.core.errors import Conflict
from tongbao.core.ids import IdFactory
from tongbao.payments.errors import BadParameter
from tongbao.payments.ports import RiskQuestion, Verdict
from tongbao.payments.schema.intents import CaptureMethod, Intent
from tongbao.payments.schema.orders import ConfirmOrder, Done, IntentOrder
from tongbao.payments.store import documents as store
from tongbao.risk.schema.tiers import Tier

Send = Callable[[], Awaitable[Done[Any]]]


async def intent_count(house: House) -> int:
    async with house.database.connection() as connection:
        return len(await store.page(connection, Intent, house.scope.book_id, limit=1_000))


async def test_payment_cut_short_is_resumed_under_its_key_and_never_sent_again(house: House) -> None:
    async def dies(_call: object) -> Answer:
        raise asyncio.CancelledError

    house.channel().reply("authorize", dies)
    with pytest.raises(asyncio.CancelledError):
        await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    with pytest.raises(Conflict):
        await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    house.clock.advance(timedelta(seconds=61))
    resumed = await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    assert resumed.view is not None
    assert resumed.view.intent.state == "processing"
    house.channel().reply("inquire", Answer(outcome=Outcome.APPROVED, amount_minor=1999, captured=True))
    await house.pass_time(1)
    assert await house.states(resumed.view.intent.id) == ("succeeded", ["charged"])
    again = await house.payments.intents.create(house.scope, house.order(), ask=house.ask("k"))
    assert again == Done(None, resumed.rendered)
    assert len(house.channel().asked("authorize")) == 1
    assert await intent_count(house) == 1


REPEATED: list[str] = ["confirm", "capture", "cancel", "refund", "increment"]


@pytest.mark.parametrize("operation", REPEATED)
async def test_request_that_succeeded_is_answered_as_it_was(house: House, operation: str) -> None:
    """The state has moved on by the first run; a repeat is not judged by it."""
    send = await _repeatable(house, operation)
    first = await send()
    assert first.rendered is not None
    again = await send()
    assert again == Done(None, first.rendered)


async def _repeatable(house: House, operation: str) -> Send:
    ask, scope, intents = house.ask("again", operation=operation), house.scope, house.payments.intents
    if operation == "confirm":
        made = await intents.create(scope, IntentOrder(amount_minor=700, currency="cny"))
        assert made.view is not None
        intent_id = made.view.intent.id
        return lambda: intents.confirm(scope, intent_id, ConfirmOrder(method=CARD), ask=ask)
    if operation == "refund":
        paid = await house.pay(1000)
        return lambda: house.payments.refunds.create(scope, intent_id=paid.intent.id, ask=ask)
    held = (await house.reserve(1000)).intent.id
    sends: dict[str, Send] = {
        "capture": lambda: intents.capture(scope, held, ask=ask),
        "cancel": lambda: intents.cancel(scope, held, ask=ask),
        "increment": lambda: intents.increment(scope, held, 1500, ask=ask),
    }
    return sends[operation]


class StepUp:
    """Risk control that wants everybody to prove itself."""

    async def assess(self, question: RiskQuestion) -> Verdict:
        del question
        return Verdict(tier=Tier.STEP_UP, step_up_url="https://bank.example/")


async def test_step_up_of_an_intent_that_exists_waits_for_its_payer(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=StepUp()) as house:
        made = await house.payments.intents.create(house.scope, IntentOrder(amount_minor=700, currency="cny"))
        assert made.view is not None
        done = await house.payments.intents.confirm(
            house.scope, made.view.intent.id, ConfirmOrder(method=CARD)
        )
        assert done.view is not None
        assert done.view.intent.state == "requires_action"


async def test_confirmation_cannot_turn_a_top_up_into_a_manual_capture(house: House) -> None:
    book_id = house.ids.int63()
    await house.payments.wallets.open(book_id, "cny")
    confirm = ConfirmOrder(method=CARD, capture_method=CaptureMethod.MANUAL)
    with pytest.raises(BadParameter, match="automatic captures"):
        await house.pay(1000, wallet_book_id=book_id, confirm=confirm)
    assert house.channel().calls == []
