"""What entries of lists did over a real log: payments matched while they stood, declined, let through, and their money."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.risk.looking_back import Past

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.lists import EntryEffect, ListEffect, ListEntry, ListKey, ListKind, NewEntry
from tongbao.risk.schema.tiers import Tier


@pytest.fixture(scope="module")
async def house(database: Database) -> AsyncIterator[Past]:
    made = Past(database)
    await made.risk.prepare()
    await made.decisions.log.prepare()
    await made.risk.following.start()
    yield made
    await made.risk.assessing.close()


@pytest.fixture
async def past(house: Past) -> Past:
    house.anew()
    return house


async def listed(past: Past, name: str, effect: ListEffect, kind: ListKind, value: str) -> ListEntry:
    key = ListKey(past.book_id, True, name)
    await past.risk.lists.declare(key, effect, "by test", "mei")
    (entry,) = await past.risk.lists.add(key, [NewEntry(kind=kind, value=value, reason="seen")], "mei")
    await past.settle()
    return entry


async def effect_of(past: Past, entry: ListEntry) -> EntryEffect:
    await past.settle()
    current = await past.risk.lists.entry(past.book_id, entry.id)
    return (await past.risk.lists.effects([current]))[entry.id]


async def test_block_counts_what_it_declined_while_it_stood(past: Past) -> None:
    card = f"card_{past.book_id}"
    await past.judge()
    await past.settle()
    entry = await listed(past, "bad", ListEffect.BLOCK, ListKind.CARD, card)
    assert await effect_of(past, entry) == EntryEffect()
    for value in (1_000, 2_500):
        assert (await past.judge(value=value)).tier is Tier.DECLINE
    await past.judge(card="other")
    found = await effect_of(past, entry)
    assert (found.payment_count, found.blocked_count, found.allowed_count) == (2, 2, 0)
    assert (found.values, found.blocked_values) == ((("EUR", 3_500),), (("EUR", 3_500),))
    assert not found.is_partial
    await past.risk.lists.remove(past.book_id, entry.id, "cleared", "mei")
    await past.settle()
    past.clock.advance(timedelta(seconds=5))
    await past.judge()
    assert (await effect_of(past, entry)).payment_count == 2


async def test_sum_that_is_a_round_number_is_told_to_the_last_hundredth(past: Past) -> None:
    card = f"card_{past.book_id}"
    entry = await listed(past, "round", ListEffect.BLOCK, ListKind.CARD, card)
    for value in (4_000, 6_000):
        await past.judge(value=value)
    found = await effect_of(past, entry)
    assert (found.values, found.blocked_values) == ((("EUR", 10_000),), (("EUR", 10_000),))


async def test_allow_counts_what_it_let_through_and_the_frauds_among_them(past: Past) -> None:
    entry = await listed(past, "good", ListEffect.ALLOW, ListKind.CUSTOMER, f"cus_{past.book_id}")
    looked = await past.judge()
    await past.settle()
    await past.label(looked, is_fraud=True)
    found = await effect_of(past, entry)
    assert (found.payment_count, found.blocked_count, found.allowed_count) == (1, 0, 1)
    assert (found.fraud_count, found.blocked_values) == (1, ())


async def test_country_is_found_among_the_newest_payments_of_its_book(past: Past) -> None:
    entry = await listed(past, "places", ListEffect.MARK, ListKind.CARD_COUNTRY, "NZ")
    await past.judge(card_country="NZ", currency="NZD")
    await past.judge(card_country="DE")
    await past.judge(card_country="NZ", book_id=past.book_id + 1)
    found = await effect_of(past, entry)
    assert (found.payment_count, found.blocked_count, found.values) == (1, 0, (("NZD", 3_000),))
    past.clock.advance(timedelta(days=31))
    late = (await past.risk.lists.effects([entry]))[entry.id]
    assert (late.payment_count, late.is_partial) == (0, True)


async def test_entries_of_two_modes_are_refused(past: Past) -> None:
    live = await listed(past, "one", ListEffect.MARK, ListKind.CARD, "c")
    key = ListKey(past.book_id, False, "one")
    await past.risk.lists.declare(key, ListEffect.MARK, "by test", "mei")
    test, *_ = await past.risk.lists.add(key, [NewEntry(kind=ListKind.CARD, value="c", reason="x")], "mei")
    with pytest.raises(InvalidRequest, match="list_entry_invalid"):
        await past.risk.lists.effects([live, test])
    assert await past.risk.lists.effects([]) == {}
