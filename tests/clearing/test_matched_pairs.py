"""Matched pairs and accounts over all books as the house reads them, and who looks after a break."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from tests.clearing.house_books import Books, open_books

from tongbao.clearing.policy.destinations import account_number
from tongbao.clearing.schema.breaks import BreakKind, BreakState, How, Leg
from tongbao.clearing.schema.matched_pairs import PairFilter, PairKey
from tongbao.clearing.schema.payouts import DestinationState
from tongbao.clearing.service.account_changes import AccountChanges
from tongbao.clearing.service.destinations import Destinations
from tongbao.clearing.service.matched_pairs import MatchedPairs
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.ids import IdFactory
from tongbao.payments.adapters.secret_box import AesGcmBox


@pytest.fixture
async def books(database: Database, ids: IdFactory) -> AsyncIterator[Books]:
    async with open_books(database, ids) as opened:
        yield opened


async def test_pairs_come_in_pages_that_never_overlap_with_both_sides(
    books: Books, database: Database
) -> None:
    sales = [books.movement(1_000 + number) for number in range(5)]
    await books.sell(*sales)
    await books.report(*(books.line(sale) for sale in sales))
    await books.run()
    pairs, asked = MatchedPairs(database), PairFilter(source=books.channel)
    first, more = await pairs.page(asked, limit=3)
    assert more
    rest, more = await pairs.page(asked, after=first[-1].key, limit=3)
    assert not more
    found = [*first, *rest]
    assert len({each.key for each in found}) == len(found) == 5
    assert [each.key.line_id for each in found] == sorted((each.key.line_id for each in found), reverse=True)
    for each in found:
        assert each.expected is not None
        assert each.reported is not None
        assert each.expected.amount_minor == each.reported.amount_minor
        assert (each.how, each.confidence, each.source) == (How.REFERENCE, 1.0, books.channel)
    assert not (await pairs.page(PairFilter(source=books.channel, how=How.PERSON)))[0]
    assert not (await pairs.page(PairFilter(leg=Leg.BANK, source=books.channel)))[0]
    one, star = await pairs.get(found[0].key)
    assert star == [one] == [found[0]]
    with pytest.raises(NotFound, match="match_unknown"):
        await pairs.get(PairKey(Leg.CHANNEL, 1, UUID(int=1)))


async def test_break_is_looked_after_by_one_person_until_it_is_closed(books: Books) -> None:
    await books.sell(books.movement(1_000))
    await books.report()
    await books.run()
    known = await books.break_of(BreakKind.MISSING)
    taken = await books.desk.assign(known.id, "person:mei", actor="person:lin", note="yours")
    assert (taken.assignee, taken.state, taken.version) == ("person:mei", BreakState.OPEN, known.version + 1)
    assert await books.desk.assign(known.id, "person:mei", actor="person:lin", note="again") == taken
    with pytest.raises(Conflict, match="break_changed"):
        await books.desk.assign(known.id, "", actor="person:lin", note="x", seen_version=known.version)
    with pytest.raises(InvalidRequest, match="note_invalid"):
        await books.desk.assign(known.id, "", actor="person:lin", note=" ")
    with pytest.raises(InvalidRequest, match="assignee_invalid"):
        await books.desk.assign(known.id, "x" * 200, actor="person:lin", note="x")
    done = await books.desk.resolve(known.id, actor="person:mei", note="mended")
    assert done.assignee == "person:mei"
    with pytest.raises(Conflict, match="break_closed"):
        await books.desk.assign(known.id, "", actor="person:lin", note="late")


async def test_accounts_of_all_books_are_listed_by_state_newest_first(
    database: Database, ids: IdFactory
) -> None:
    clock = FrozenClock(datetime(2027, 3, 1, 9, tzinfo=UTC))
    key = bytes(range(32))
    destinations = Destinations(database, clock, ids, AesGcmBox((key,)), key)
    changes = AccountChanges(database)
    numbers = [
        account_number("iban", each, "", "") for each in ("DE89370400440532013000", "GB29NWBK60161331926819")
    ]
    made = [
        await destinations.propose(ids.int63(), "EUR", number, "Tea House", actor="person:a")
        for number in numbers
    ]
    first, _ = await changes.page(DestinationState.PROPOSED, limit=1)
    assert [each.id for each in first] == [made[1].id]
    rest, _ = await changes.page(DestinationState.PROPOSED, before=made[1].id)
    assert made[0].id in {each.id for each in rest}
    assert made[0].id not in {each.id for each in (await changes.page(DestinationState.ACTIVE))[0]}
