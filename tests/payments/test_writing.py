"""The one writer: changes of a batch are written whole or not at all, and never fail their neighbors."""

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from tests.payments.conftest import House

from tongbao.core.events.facts import topic_of
from tongbao.core.requests.asks import Ask
from tongbao.ledger.schema import AccountId, BookId, Refusal, Transfer
from tongbao.payments.schema.changes import (
    Change,
    Claimed,
    Reference,
    ReferenceKind,
    Refused,
    Replayed,
    Result,
    Reused,
    Stale,
    Taken,
    Written,
)
from tongbao.payments.schema.facts import Event, Happened
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.service.writing import Writing
from tongbao.payments.store import documents as store


class Desk(NamedTuple):
    """The writer of a house and what builds changes for it."""

    house: House
    writing: Writing

    def intent(self) -> Intent:
        now = self.house.clock.now()
        return Intent(
            id=self.house.ids.uuid(),
            book_id=self.house.scope.book_id,
            live=False,
            created_at=now,
            updated_at=now,
            state=IntentState.REQUIRES_PAYMENT_METHOD,
            amount_minor=100,
            currency="CNY",
            client_secret="secret",
        )

    def change(
        self,
        intent: Intent,
        *,
        claim: Ask | None = None,
        answered: bool = True,
        updates: tuple[Intent, ...] = (),
        reference: str | None = None,
        transfers: tuple[Transfer, ...] = (),
    ) -> Change:
        """Make an intent, or change what ``updates`` says, and tell of it once."""
        value = () if reference is None else (Reference(ReferenceKind.MERCHANT, reference, intent.id),)
        return Change(
            book_id=intent.book_id,
            live=False,
            at=intent.updated_at,
            claim=claim,
            subject_id=intent.id,
            inserts=() if updates else (intent,),
            updates=updates,
            references=value,
            transfers=transfers,
            events=(Event("payment_intent.created"),),
            told=(intent,),
            ask=claim if answered else None,
            answer=claim.render(intent.reference) if claim and answered else None,
        )

    async def known(self) -> dict[object, int]:
        """Version by id of every intent of the merchant."""
        async with self.house.database.connection() as connection:
            intents = await store.page(connection, Intent, self.house.scope.book_id, limit=10_000)
        return {each.id: each.version for each in intents}

    async def told(self) -> list[object]:
        """The ids that facts told of, one a fact."""
        return [fact.documents[0].id for fact in await self.house.facts()]

    async def write(self, changes: list[Change]) -> list[Result]:
        return list(await asyncio.gather(*(self.writing.write(change) for change in changes)))


@pytest.fixture
def desk(house: House) -> Desk:
    """The writer that the use cases of a house share."""
    return Desk(house, house.payments._writing)


async def accounts(desk: Desk) -> dict[str, tuple[AccountId, int]]:
    """Open a wallet; return id and asset of its accounts."""
    book_id = desk.house.scope.book_id
    await desk.house.payments.wallets.open(book_id, "cny")
    found = {}
    for code in ("wallet", "wallet_clearing"):
        account = await desk.house.ledger.accounts.account_by_code(BookId(book_id), code, "CNY")
        found[code] = (account.account_id, account.asset_id)
    return found


async def overdraft(desk: Desk) -> tuple[Transfer, ...]:
    """A transfer that the ledger refuses: the wallet is empty."""
    found = await accounts(desk)
    return (
        Transfer(
            key=desk.house.ids.uuid(),
            book_id=BookId(desk.house.scope.book_id),
            debit_account_id=found["wallet"][0],
            credit_account_id=found["wallet_clearing"][0],
            amount_minor=1,
            asset_id=found["wallet"][1],
            code="test",
        ),
    )


async def test_mixed_batch_gives_each_change_its_own_result(desk: Desk) -> None:
    house = desk.house
    old, moved_on = desk.intent(), desk.intent()
    answered, running, ruled = house.ask("answered"), house.ask("running"), house.ask("ruled")
    await desk.write(
        [
            desk.change(old, claim=answered, reference="taken"),
            desk.change(moved_on, claim=running, answered=False),
            desk.change(desk.intent(), claim=ruled),
        ]
    )
    at = house.clock.now()
    second = moved_on.changed(at, description="second")
    await desk.write([desk.change(second, updates=(second,))])
    refused = await overdraft(desk)
    fresh = [desk.intent() for _ in range(60)]
    stale = [moved_on.changed(at, description=str(number)) for number in range(5)]
    wrong = [
        *(desk.change(each, updates=(each,)) for each in stale),
        *(desk.change(desk.intent(), claim=answered) for _ in range(5)),
        *(desk.change(desk.intent(), claim=running) for _ in range(5)),
        *(desk.change(desk.intent(), claim=house.ask("ruled", "other")) for _ in range(3)),
        *(desk.change(desk.intent(), reference="taken") for _ in range(5)),
        *(desk.change(desk.intent(), transfers=refused) for _ in range(5)),
    ]
    mixed: list[Change] = []
    for number, each in enumerate(fresh):
        mixed.append(desk.change(each, claim=house.ask(f"fresh-{number}"), reference=f"r{number}"))
        mixed.extend(wrong[number : number + 1])
    results = dict(zip([id(each) for each in mixed], await desk.write(mixed), strict=True))
    kinds = [type(results[id(each)]) for each in wrong]
    # Two requests under one key in one batch: the second hears that the first is under way.
    expected = [Stale] * 5 + [Replayed] * 5 + [Claimed] * 5 + [Reused] * 3 + [Taken] * 5 + [Refused] * 5
    told_otherwise = [
        (kind, wanted)
        for kind, wanted in zip(kinds, expected, strict=True)
        if kind is not wanted and not (kind is Claimed and wanted in (Replayed, Reused))
    ]
    assert told_otherwise == []
    assert all(results[id(each)] == Written() for each in mixed if each not in wrong)
    known = await desk.known()
    assert {each.id for each in fresh} <= known.keys()
    assert len(known) == 3 + len(fresh)
    assert known[moved_on.id] == 2
    assert sorted(map(str, await desk.told())) == sorted(map(str, [*known, moved_on.id])), (
        "each committed change is told of exactly once"
    )


async def test_each_objection_says_what_it_objects_to(desk: Desk) -> None:
    house, first = desk.house, desk.intent()
    ask = house.ask("k")
    await desk.write([desk.change(first, claim=ask, reference="order")])
    other = desk.intent()
    (replayed,) = await desk.write([desk.change(other, claim=ask)])
    assert replayed == Replayed(ask.render(first.reference))
    (taken,) = await desk.write([desk.change(other, reference="order")])
    assert taken == Taken(Reference(ReferenceKind.MERCHANT, "order", other.id), first.id)
    (refused,) = await desk.write([desk.change(other, transfers=await overdraft(desk))])
    assert isinstance(refused, Refused)
    assert refused.result.refusal is Refusal.BELOW_FLOOR
    running = house.ask("running")
    await desk.write([desk.change(other, claim=running, answered=False)])
    (claimed,) = await desk.write([desk.change(desk.intent(), claim=running)])
    assert claimed == Claimed(other.id, house.clock.now())


async def test_changes_of_one_document_in_one_batch_are_one_change_and_stale_ones(desk: Desk) -> None:
    first = desk.intent()
    await desk.write([desk.change(first)])
    seconds = [first.changed(first.updated_at, description=str(number)) for number in range(30)]
    results = await desk.write([desk.change(each, updates=(each,)) for each in seconds])
    assert results.count(Written()) == 1
    assert results.count(Stale()) == 29
    assert await desk.known() == {first.id: 2}


async def test_reference_that_many_ask_for_at_once_names_one(desk: Desk) -> None:
    intents = [desk.intent() for _ in range(20)]
    results = await desk.write([desk.change(each, reference="order") for each in intents])
    assert results.count(Written()) == 1
    winner = intents[results.index(Written())]
    assert {each.subject_id for each in results if isinstance(each, Taken)} == {winner.id}
    assert await desk.known() == {winner.id: 1}


async def test_answer_is_kept_by_the_change_that_ends_a_request(desk: Desk) -> None:
    ask, first = desk.house.ask("k"), desk.intent()
    await desk.write([desk.change(first, claim=ask, answered=False)])
    ended = Change(
        book_id=first.book_id,
        live=False,
        at=datetime.now(UTC),
        ask=ask,
        answer=ask.render("the end"),
    )
    assert await desk.write([ended]) == [Written()]
    assert await desk.write([desk.change(desk.intent(), claim=ask)]) == [Replayed(ask.render("the end"))]


async def test_change_that_tells_nothing_publishes_nothing(desk: Desk) -> None:
    first = desk.intent()
    silent = Change(book_id=first.book_id, live=False, at=first.updated_at, inserts=(first,))
    assert await desk.write([silent]) == [Written()]
    async with desk.house.database.connection() as connection:
        count = await connection.fetchval(
            "SELECT count(*) FROM events.outbox WHERE topic = $1 AND subject = $2",
            topic_of(Happened),
            first.reference,
        )
    assert count == 0
