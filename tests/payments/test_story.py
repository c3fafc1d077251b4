"""The story of an intent: its whole money trail, compared with every row of the journal that carries its references."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from tests.payments.conftest import House
from tests.payments.scripted import UNRESOLVED, approved, declined

from tongbao.channels.schema import Answer, Authorize, NotificationKind, Outcome, Reason
from tongbao.payments.errors import Missing

Case = Callable[[House], Awaitable[UUID]]
PAID = Answer(outcome=Outcome.APPROVED, amount_minor=1000, currency="CNY", captured=True)


async def charged(house: House) -> UUID:
    return (await house.pay(1000)).intent.id


async def captured_in_parts_over_holds(house: House) -> UUID:
    intent_id = (await house.reserve(1000)).intent.id
    await house.payments.intents.increment(house.scope, intent_id, 1500)
    for amount in (700, 400):
        await house.payments.intents.capture(house.scope, intent_id, amount)
    await house.payments.intents.cancel(house.scope, intent_id)
    return intent_id


async def voided(house: House) -> UUID:
    intent_id = (await house.reserve(1000)).intent.id
    await house.payments.intents.cancel(house.scope, intent_id)
    return intent_id


async def refunded(house: House) -> UUID:
    intent_id = await charged(house)
    house.channel().reply("refund", declined(Reason.CHANNEL_ERROR), Answer(outcome=Outcome.PENDING))
    for amount in (100, 200, 300):
        await house.payments.refunds.create(house.scope, intent_id=intent_id, amount_minor=amount)
    return intent_id


async def disputed(house: House) -> UUID:
    view = await house.pay(1000)
    assert view.attempt is not None
    for case, statuses in (("a", ("needs_response", "won")), ("b", ("lost",)), ("c", ("needs_response",))):
        for status in statuses:
            await house.notify(
                NotificationKind.DISPUTE,
                view.attempt.reference,
                Answer(outcome=Outcome.APPROVED, amount_minor=200),
                dispute_reference=case,
                dispute_status=status,
            )
    return view.intent.id


async def late(house: House) -> UUID:
    house.channel().reply("authorize", declined(Reason.CARD_EXPIRED))
    intent_id = await charged(house)
    (dead,) = await house.attempts(intent_id)
    await house.payments.resolving.settle(dead.book_id, dead.id, PAID, is_inquiry=True)
    await house.pass_time(1)
    return intent_id


async def conflicted(house: House) -> UUID:
    async def more(call: object) -> Answer:
        assert isinstance(call, Authorize)
        return approved(call, captured=True, amount_minor=1001)

    house.channel().reply("authorize", more)
    return await charged(house)


async def contradicted(house: House) -> UUID:
    view = await house.pay(1000)
    assert view.attempt is not None
    for amount in (1100, 900):
        odd = Answer(outcome=Outcome.APPROVED, amount_minor=amount, currency="CNY", captured=True)
        await house.notify(NotificationKind.PAYMENT, view.attempt.reference, odd)
    return view.intent.id


async def captured_elsewhere(house: House) -> UUID:
    view = await house.reserve(1000)
    assert view.attempt is not None
    await house.notify(NotificationKind.PAYMENT, view.attempt.reference, PAID)
    return view.intent.id


async def cascaded(house: House) -> UUID:
    house.channel().reply("authorize", declined(Reason.DO_NOT_HONOR))
    return await charged(house)


async def unresolved(house: House) -> UUID:
    house.channel().reply("authorize", UNRESOLVED)
    return await charged(house)


CASES: list[tuple[Case, int]] = [
    (charged, 1),
    (captured_in_parts_over_holds, 6),
    (voided, 2),
    (refunded, 1 + 2 + 1 + 2),
    (disputed, 1 + 2 + 2 + 1),
    (late, 2),
    (conflicted, 1),
    (contradicted, 3),
    (captured_elsewhere, 3),
    (cascaded, 1),
    (unresolved, 0),
]


@pytest.mark.parametrize(("case", "row_count"), CASES)
async def test_story_holds_every_row_of_the_journal(house: House, case: Case, row_count: int) -> None:
    intent_id = await case(house)
    story = await house.payments.intents.story(house.scope, intent_id)
    references = [attempt.reference for attempt in story.attempts]
    async with house.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT key FROM ledger.transfer WHERE book_id = $1 AND reference = ANY ($2::text[])",
            house.scope.book_id,
            references,
        )
    assert {row["key"] for row in rows} == {transfer.key for transfer in story.transfers}
    assert len(story.transfers) == row_count
    times = [(transfer.recorded_at, transfer.batch_index) for transfer in story.transfers]
    assert times == sorted(times)


async def test_story_names_the_refunds_and_disputes_of_its_intent_only(house: House) -> None:
    first, second = await refunded(house), await disputed(house)
    one = await house.payments.intents.story(house.scope, first)
    other = await house.payments.intents.story(house.scope, second)
    assert ([each.amount_minor for each in one.refunds], one.disputes) == ([300, 200, 100], [])
    assert (other.refunds, len(other.disputes)) == ([], 3)
    with pytest.raises(Missing):
        await house.payments.intents.story(house.new_scope(), first)
