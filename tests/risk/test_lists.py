"""Lists: what may stand on them, which payment is on them, and rows that stay."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, LimitExceeded, NotFound
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.lists import Picture, bounds, check_entry, check_list, effect_of
from tongbao.risk.policy.rules import settled
from tongbao.risk.schema.lists import (
    ADDED_MAX,
    HOUSE_BOOK_ID,
    LISTS_MAX,
    ListEffect,
    ListEntry,
    ListKey,
    ListKind,
    NewEntry,
)
from tongbao.risk.schema.rules import Act, Hit
from tongbao.risk.schema.signals import Entity, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import lists as service
from tongbao.risk.service.lists import REFRESH_S, Lists

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CARD = NewEntry(kind=ListKind.CARD, value="card_abc", reason="seen in a case")
_numbers = iter(range(1, 1 << 30))


def signals(**fields: Any) -> Signals:
    values: dict[str, Any] = {
        "id": UUID(int=1),
        "at": NOW,
        "book_id": 7,
        "live": True,
        "subject_id": UUID(int=2),
        "value": 500,
        "currency": "EUR",
        "method": "card",
        "card": "card_abc",
        "customer": "cus_abc",
        "card_country": "DE",
        "mcc": "5411",
    }
    return Signals(**(values | fields))


def entry(value: str = "card_abc", kind: ListKind = ListKind.CARD, **fields: Any) -> ListEntry:
    values: dict[str, Any] = {
        "id": UUID(int=next(_numbers)),
        "book_id": 7,
        "live": True,
        "list_name": "a",
        "reason": "x",
        "added_at": NOW,
        "added_by": "mei",
    }
    return ListEntry(kind=kind, value=value, **(values | fields))


def picture(*entries: ListEntry, effect: ListEffect = ListEffect.BLOCK) -> Picture:
    made = Picture()
    for each in entries:
        made.add(each, effect)
    return made


def test_every_entity_has_a_kind_of_list() -> None:
    assert {kind.entity for kind in ListKind} - {None} == set(Entity)
    assert [kind for kind in ListKind if kind.entity is None] == [
        ListKind.CARD_COUNTRY,
        ListKind.ADDRESS_COUNTRY,
        ListKind.MERCHANT_COUNTRY,
        ListKind.MCC,
    ]


@pytest.mark.parametrize("kind", list(ListKind))
def test_listed_asks_for_every_kind(kind: ListKind) -> None:
    made = picture(entry("the.value", kind))
    assert [told.kind for told in made.listed(signals(**{kind.value: "the.value"}))] == [kind]
    assert made.listed(signals(**{kind.value: ""})) == ()


@pytest.mark.parametrize(
    ("fields", "is_listed"),
    [
        ({}, True),
        ({"book_id": 8}, False),
        ({"live": False}, False),
        ({"card": "card_abcd"}, False),
        ({"card": ""}, False),
        ({"at": NOW + HOUR}, False),
        ({"at": NOW + HOUR - timedelta(milliseconds=1)}, True),
    ],
)
def test_listed_keeps_to_book_mode_value_and_expiry(fields: dict[str, Any], is_listed: bool) -> None:
    made = picture(entry(expires_at=NOW + HOUR))
    assert bool(made.listed(signals(**fields))) is is_listed


def test_listed_of_the_house_counts_for_every_book() -> None:
    made = picture(entry(book_id=HOUSE_BOOK_ID))
    assert [told.book_id for told in made.listed(signals(book_id=99))] == [HOUSE_BOOK_ID]


def test_listed_tells_blocks_first_then_allows_then_marks() -> None:
    made = Picture()
    made.add(entry("cus_abc", ListKind.CUSTOMER, list_name="vip"), ListEffect.MARK)
    made.add(entry(list_name="good"), ListEffect.ALLOW)
    made.add(entry("DE", ListKind.CARD_COUNTRY, list_name="bad"), ListEffect.BLOCK)
    assert [told.list_name for told in made.listed(signals())] == ["bad", "good", "vip"]


def test_effect_of_blocks_before_it_allows() -> None:
    made = Picture()
    assert effect_of(made.listed(signals())) is None
    made.add(entry(), ListEffect.MARK)
    assert effect_of(made.listed(signals())) is None
    made.add(entry("cus_abc", ListKind.CUSTOMER), ListEffect.ALLOW)
    assert effect_of(made.listed(signals())) is ListEffect.ALLOW
    made.add(entry("DE", ListKind.CARD_COUNTRY), ListEffect.BLOCK)
    assert effect_of(made.listed(signals())) is ListEffect.BLOCK


@pytest.mark.parametrize(
    ("acts", "effect", "floor", "ceiling"),
    [
        ((), None, Tier.FRICTIONLESS, Tier.DECLINE),
        ((), ListEffect.ALLOW, Tier.FRICTIONLESS, Tier.FRICTIONLESS),
        ((), ListEffect.BLOCK, Tier.DECLINE, Tier.DECLINE),
        ((Act.ALLOW,), None, Tier.FRICTIONLESS, Tier.FRICTIONLESS),
        ((Act.ALLOW,), ListEffect.BLOCK, Tier.DECLINE, Tier.DECLINE),
        ((Act.REVIEW,), ListEffect.ALLOW, Tier.REVIEW, Tier.FRICTIONLESS),
        ((Act.REVIEW,), None, Tier.REVIEW, Tier.DECLINE),
    ],
)
def test_bounds_put_rules_and_lists_together(
    acts: tuple[Act, ...], effect: ListEffect | None, floor: Tier, ceiling: Tier
) -> None:
    applied = settled(tuple(Hit("a", act, "x") for act in acts))
    assert bounds(applied, effect) == (floor, ceiling)


def test_forget_expired_drops_what_expired_long_ago() -> None:
    made = picture(entry(expires_at=NOW), entry(expires_at=NOW + HOUR), entry())
    made.forget_expired(NOW + HOUR, HOUR)
    assert len(made) == 2
    made.forget_expired(NOW + 2 * HOUR, HOUR)
    assert len(made) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30))
def test_picture_knows_exactly_what_was_added_and_not_removed(acts: list[tuple[bool, int]]) -> None:
    entries = [entry(f"card_{number % 3}", id=UUID(int=number + 1)) for number in range(6)]
    made, standing = Picture(), set[UUID]()
    for is_added, number in acts:
        if is_added:
            made.add(entries[number], ListEffect.BLOCK)
            standing.add(entries[number].id)
        else:
            made.remove(entries[number].id)
            standing.discard(entries[number].id)
    found = {told.entry_id for number in range(3) for told in made.listed(signals(card=f"card_{number}"))}
    assert (found, len(made)) == (standing, len(standing))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ListKind.CARD, ""),
        (ListKind.CARD, "a b"),
        (ListKind.CARD, "k" * 81),
        (ListKind.CARD, "4242424242424242"),
        (ListKind.CARD, "5555555555554444"),
        (ListKind.DEVICE, "4242-4242-4242-4242"),
        (ListKind.CUSTOMER, "mei@example.com"),
        (ListKind.EMAIL_DOMAIN, "Example.com"),
        (ListKind.EMAIL_DOMAIN, "example"),
        (ListKind.CARD_COUNTRY, "de"),
        (ListKind.ADDRESS_COUNTRY, "DEU"),
        (ListKind.MCC, "541"),
        (ListKind.CARD, "käfer"),
    ],
)
def test_check_entry_refuses_a_value_without_repeating_it(kind: ListKind, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_entry(NewEntry(kind=kind, value=value, reason="x"), NOW)
    assert refused.value.code == "list_entry_invalid"
    assert len(value) < 4 or value not in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": ""},
        {"reason": "  "},
        {"reason": "x" * 201},
        {"reason": "a\x00"},
        {"expires_at": NOW},
        {"expires_at": datetime(2027, 1, 1)},  # noqa: DTZ001 - that is what is refused
    ],
)
def test_check_entry_refuses_other_faults(fields: dict[str, Any]) -> None:
    values: dict[str, Any] = {"kind": ListKind.CARD, "value": "card_abc", "reason": "x"}
    with pytest.raises(InvalidRequest, match="list_entry_invalid"):
        check_entry(NewEntry(**(values | fields)), NOW)


def test_check_entry_takes_keys_that_only_look_like_numbers() -> None:
    check_entry(NewEntry(kind=ListKind.CARD, value="4242424242424243", reason="x"), NOW)
    check_entry(NewEntry(kind=ListKind.EMAIL_DOMAIN, value="mail.example-1.com", reason="x"), NOW)


@pytest.mark.parametrize("name", ["", "VIP", "vip_cards", " vip", "vip  cards", "x" * 41, "名单"])
def test_check_list_refuses_names_that_rules_cannot_ask_for(name: str) -> None:
    with pytest.raises(InvalidRequest, match="list_invalid"):
        check_list(name, "x", "mei")


def test_listed_takes_microseconds_with_many_entries() -> None:
    made = picture(
        *(entry(f"card_{number}") for number in range(20_000)),
        *(entry(f"cus_{number}", ListKind.CUSTOMER, book_id=HOUSE_BOOK_ID) for number in range(20_000)),
        *(entry(f"dev_{number}", ListKind.DEVICE) for number in range(5_000)),
    )
    asked = signals(card="card_77", device="dev_x", address="addr")
    best = min(_cpu_us(made, asked) for _ in range(5))
    assert len(made.listed(asked)) == 1
    assert best < 30, "about 1 us on a plain core"


def _cpu_us(made: Picture, asked: Signals) -> float:
    began = time.process_time()
    for _ in range(2_000):
        made.listed(asked)
    return (time.process_time() - began) / 2_000 * 1e6


class House:
    """Two processes over one database, each with lists of its own, and one clock."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.clock = FrozenClock(NOW)
        self.here = Lists(database, self.clock, ids)
        self.there = Lists(database, self.clock, ids)
        self.key = ListKey(7, True, "stolen cards")

    async def later(self, lists: Lists | None = None) -> bool:
        self.clock.advance(timedelta(seconds=REFRESH_S))
        return await (lists or self.there).refresh()

    async def declare(self, key: ListKey | None = None, effect: ListEffect = ListEffect.BLOCK) -> None:
        await self.here.declare(key or self.key, effect, "known to be stolen", "mei")

    async def add(self, *entries: NewEntry) -> list[ListEntry]:
        return await self.here.add(self.key, entries or (CARD,), "mei")


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> House:
    async with database.connection() as connection:
        for table in ("list_removal", "list_entry", "list", "list_head"):
            await connection.execute(f"DELETE FROM risk.{table}")
    return House(database, ids)


async def refused(act: Any) -> AppError:
    with pytest.raises(AppError) as raised:
        await act
    return raised.value


async def test_added_entry_is_known_to_another_process_after_a_refresh(house: House) -> None:
    await house.declare()
    (added,) = await house.add()
    assert house.there.listed(signals()) == ()
    assert await house.later()
    (told,) = house.there.listed(signals())
    assert (told.entry_id, told.list_name, told.effect, told.reason) == (
        added.id,
        "stolen cards",
        ListEffect.BLOCK,
        "seen in a case",
    )


async def test_removed_entry_is_gone_and_its_rows_stay(house: House) -> None:
    await house.declare()
    (added,) = await house.add()
    await house.later()
    house.clock.advance(HOUR)
    removed = await house.here.remove(7, added.id, "a mistake", "ann")
    await house.later()
    assert house.there.listed(signals()) == ()
    assert (removed.removed_by, removed.removed_because) == ("ann", "a mistake")
    assert await house.here.entry(7, added.id) == removed
    assert await house.here.entries(house.key) == []
    assert await house.here.entries(house.key, is_history=True) == [removed]
    assert (removed.added_at, removed.added_by) == (added.added_at, "mei")


async def test_remove_twice_keeps_who_was_first(house: House) -> None:
    await house.declare()
    (added,) = await house.add()
    first = await house.here.remove(7, added.id, "a mistake", "ann")
    house.clock.advance(HOUR)
    assert await house.there.remove(7, added.id, "once more", "bob") == first


async def test_add_again_returns_what_stands(house: House) -> None:
    await house.declare()
    other = NewEntry(kind=ListKind.DEVICE, value="dev_1", reason="x", expires_at=NOW + HOUR)
    (added,) = await house.add()
    again, new = await house.add(CARD, other)
    assert again == added
    assert new.id != added.id
    assert len(await house.here.entries(house.key)) == 2


async def test_add_with_another_expiry_conflicts_until_the_old_one_is_gone(house: House) -> None:
    await house.declare()
    brief = NewEntry(kind=ListKind.CARD, value="card_abc", reason="x", expires_at=NOW + HOUR)
    (added,) = await house.add(brief)
    error = await refused(house.add())
    assert isinstance(error, Conflict)
    assert (error.code, error.facts["entry_id"]) == ("list_entry_exists", str(added.id))
    house.clock.advance(HOUR)
    await house.add()
    assert len(await house.here.entries(house.key)) == 1
    assert len(await house.here.entries(house.key, is_history=True)) == 2


async def test_removed_value_may_be_added_anew(house: House) -> None:
    await house.declare()
    (added,) = await house.add()
    await house.here.remove(7, added.id, "a mistake", "ann")
    (anew,) = await house.add()
    await house.later()
    assert [told.entry_id for told in house.there.listed(signals())] == [anew.id]


async def test_refused_act_leaves_nothing_behind(house: House) -> None:
    await house.declare()
    wrong = NewEntry(kind=ListKind.MCC, value="x", reason="x")
    assert (await refused(house.add(CARD, wrong))).code == "list_entry_invalid"
    assert (await refused(house.add(CARD, CARD))).code == "list_entry_invalid"
    assert (await refused(house.here.add(house.key, [CARD], ""))).code == "list_entry_invalid"
    assert await house.here.entries(house.key) == []


async def test_acts_on_what_is_not_there_are_refused(house: House) -> None:
    missing = [
        house.add(),
        house.here.entries(house.key),
        house.here.entry(7, UUID(int=5)),
        house.here.remove(7, UUID(int=5), "x", "mei"),
    ]
    errors = [await refused(act) for act in missing]
    assert all(isinstance(error, NotFound) for error in errors)
    assert [error.code for error in errors] == ["list_not_found"] * 2 + ["list_entry_not_found"] * 2


async def test_entry_of_another_book_is_not_found(house: House) -> None:
    await house.declare()
    (added,) = await house.add()
    assert (await refused(house.here.remove(8, added.id, "x", "mei"))).code == "list_entry_not_found"


async def test_declare_again_is_the_same_list_and_its_effect_stays(house: House) -> None:
    first = await house.here.declare(house.key, ListEffect.BLOCK, "one", "mei")
    assert await house.there.declare(house.key, ListEffect.BLOCK, "two", "ann") == first
    error = await refused(house.here.declare(house.key, ListEffect.ALLOW, "x", "mei"))
    assert (error.code, error.facts["effect"]) == ("list_exists", "block")
    assert await house.here.lists(7, live=True) == [first]
    assert await house.here.lists(7, live=False) == []


async def test_names_are_those_of_the_book_and_the_house(house: House) -> None:
    for key in (
        house.key,
        ListKey(7, False, "vip"),
        ListKey(HOUSE_BOOK_ID, True, "suspects"),
        ListKey(8, True, "x"),
    ):
        await house.declare(key)
    assert await house.here.names(7) == {"stolen cards", "vip", "suspects"}


async def test_lists_and_acts_have_limits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.declare()
    many = [NewEntry(kind=ListKind.CARD, value=f"c{number}", reason="x") for number in range(ADDED_MAX + 1)]
    assert (await refused(house.add(*many))).code == "list_act_too_long"
    monkeypatch.setattr(service, "ENTRIES_MAX", 3)
    await house.add(*many[:3])
    full = await refused(house.add(many[3]))
    assert (type(full), full.code) == (LimitExceeded, "list_full")
    await house.add(*many[:3])
    monkeypatch.setattr(service, "LISTS_MAX", 1)
    assert (await refused(house.declare(ListKey(7, True, "more")))).code == "lists_full"
    assert LISTS_MAX > 1


async def test_refresh_reads_at_most_once_in_its_interval(house: House) -> None:
    await house.declare()
    assert await house.there.refresh()
    await house.add()
    assert await house.there.refresh()
    assert house.there.listed(signals()) == ()
    assert await house.later()
    assert house.there.listed(signals())
    assert house.there.refreshed_at == house.clock.now()


async def test_refresh_reads_in_pages_and_misses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "READ_MAX", 3)
    await house.declare()
    entries = [NewEntry(kind=ListKind.CARD, value=f"c{number}", reason="x") for number in range(10)]
    added = await house.add(*entries)
    await house.later()
    assert all(house.there.listed(signals(card=each.value)) for each in entries)
    for each in added[:7]:
        await house.here.remove(7, each.id, "x", "mei")
    await house.later()
    standing = [each.value for each in entries if house.there.listed(signals(card=each.value))]
    assert standing == ["c7", "c8", "c9"]


async def test_new_process_sees_what_the_others_see(house: House, database: Database, ids: IdFactory) -> None:
    await house.declare()
    first, second = await house.add(CARD, NewEntry(kind=ListKind.CARD, value="card_2", reason="x"))
    await house.here.remove(7, first.id, "x", "mei")
    fresh = Lists(database, house.clock, ids)
    await fresh.refresh()
    assert fresh.listed(signals()) == ()
    assert [told.entry_id for told in fresh.listed(signals(card="card_2"))] == [second.id]


async def test_writers_at_once_add_a_value_once_and_no_reader_misses_it(house: House) -> None:
    await house.declare()
    entries = [NewEntry(kind=ListKind.CARD, value=f"c{number}", reason="x") for number in range(12)]

    async def add(number: int, lists: Lists) -> None:
        await lists.add(house.key, entries[number : number + 6], "mei")

    async def watch() -> None:
        for _ in range(6):
            await house.later()
            await asyncio.sleep(0)

    await asyncio.gather(
        *(add(number, lists) for number in range(7) for lists in (house.here, house.there)), watch()
    )
    assert len(await house.here.entries(house.key)) == len(entries)
    await house.later()
    assert all(len(house.there.listed(signals(card=each.value))) == 1 for each in entries)


async def test_picture_stands_while_the_database_is_away(dsn: str, ids: IdFactory, house: House) -> None:
    await house.declare()
    await house.add()
    async with Database(dsn, pool_size=1) as own:
        lists = Lists(own, house.clock, ids)
        assert await lists.refresh()
    assert await house.later(lists) is False
    assert [told.list_name for told in lists.listed(signals())] == ["stolen cards"]
    assert lists.refreshed_at is not None
    assert lists.refreshed_at < house.clock.now()


async def test_expired_entries_leave_memory(house: House) -> None:
    await house.declare()
    await house.add(NewEntry(kind=ListKind.CARD, value="card_abc", reason="x", expires_at=NOW + HOUR))
    await house.later()
    house.clock.advance(3 * HOUR)
    await house.later()
    assert house.there.listed(signals()) == ()
    assert house.there.listed(signals(at=house.clock.now())) == ()


async def test_entries_are_paged_newest_first(house: House) -> None:
    await house.declare()
    added = await house.add(
        *(NewEntry(kind=ListKind.CARD, value=f"c{number}", reason="x") for number in range(5))
    )
    newest = list(reversed(added))
    assert await house.here.entries(house.key, limit=2) == newest[:2]
    assert await house.here.entries(house.key, limit=2, before=newest[1].id) == newest[2:4]
