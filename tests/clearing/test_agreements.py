"""Agreements: versions from an instant on, the house where nothing was agreed, and what is refused."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from tongbao.clearing.policy.agreements import HOUSE_BOOK
from tongbao.clearing.schema.agreements import Agreement
from tongbao.clearing.service.agreements import HISTORY_MAX, NOTE_CHARS_MAX, Agreements
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.core.ids import IdFactory

NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)
DAY = timedelta(days=1)
FAST = Agreement(days=0, cuts=(time(18),))
SLOW = Agreement(days=3)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def agreements(database: Database, clock: FrozenClock) -> Agreements:
    return Agreements(database, clock)


async def agree(agreements: Agreements, book_id: int, agreement: Agreement, **fields: object) -> int:
    values: dict[str, object] = {"actor": "person:ann", "note": "asked for"}
    made = await agreements.make(book_id, "CNY", agreement, **(values | fields))  # type: ignore[arg-type]
    return made.version


async def test_at_takes_the_version_of_the_instant(
    agreements: Agreements, clock: FrozenClock, ids: IdFactory
) -> None:
    book_id = ids.int63()
    assert await agree(agreements, book_id, FAST) == 1
    assert await agree(agreements, book_id, SLOW, effective_at=NOW + DAY) == 2
    for instant, version, agreement in (
        (NOW, 1, FAST),
        (NOW + DAY - timedelta(microseconds=1), 1, FAST),
        (NOW + DAY, 2, SLOW),
    ):
        found = await agreements.at(book_id, "CNY", instant)
        assert (found.version, found.agreement) == (version, agreement)
    # The latest word counts, also where an earlier one was to begin later.
    clock.advance(timedelta(hours=1))
    assert await agree(agreements, book_id, FAST) == 3
    assert (await agreements.at(book_id, "CNY", NOW + 2 * DAY)).version == 3
    history = await agreements.history(book_id, "CNY", HISTORY_MAX + 1)
    assert [(each.version, each.made_by, each.note) for each in history] == [
        (3, "person:ann", "asked for"),
        (2, "person:ann", "asked for"),
        (1, "person:ann", "asked for"),
    ]


async def test_at_without_an_agreement_is_the_house_and_then_what_is_built_in(
    agreements: Agreements, ids: IdFactory
) -> None:
    book_id = ids.int63()
    built_in = await agreements.at(book_id, "EUR", NOW)
    assert (built_in.book_id, built_in.version, built_in.agreement.calendars) == (0, 0, ("TARGET",))
    await agreements.make(HOUSE_BOOK, "EUR", SLOW, actor="person:ann", note="for all")
    house = await agreements.at(book_id, "EUR", NOW)
    assert (house.book_id, house.version, house.agreement) == (HOUSE_BOOK, 1, SLOW)
    assert (await agreements.at(book_id, "EUR", NOW - DAY)).version == 0
    await agreements.make(book_id, "EUR", FAST, actor="person:bob", note="for one")
    assert (await agreements.at(book_id, "EUR", NOW)).agreement == FAST
    with pytest.raises(InvalidRequest, match="currency_unknown"):
        await agreements.at(book_id, "XQQ", NOW)


async def test_make_the_same_again_is_the_same_version(
    agreements: Agreements, clock: FrozenClock, ids: IdFactory
) -> None:
    book_id = ids.int63()
    for _ in range(2):
        assert await agree(agreements, book_id, FAST) == 1
        clock.advance(timedelta(seconds=1))
    for _ in range(2):
        assert await agree(agreements, book_id, FAST, effective_at=NOW + DAY) == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"note": " "}, "note_missing"),
        ({"note": "n" * (NOTE_CHARS_MAX + 1)}, "note_too_long"),
        ({"currency": "XQQ"}, "currency_unknown"),
        ({"agreement": Agreement(zone="Mars/Olympus")}, "zone_unknown"),
    ],
)
async def test_make_of_what_is_not_sound_is_refused(
    agreements: Agreements, ids: IdFactory, fields: dict[str, object], code: str
) -> None:
    values: dict[str, object] = {
        "book_id": ids.int63(),
        "currency": "CNY",
        "agreement": FAST,
        "note": "asked for",
    }
    with pytest.raises(InvalidRequest) as refused:
        await agreements.make(**(values | fields), actor="person:ann")  # type: ignore[arg-type]
    assert refused.value.code == code


async def test_make_from_before_now_is_refused(agreements: Agreements, ids: IdFactory) -> None:
    with pytest.raises(Conflict, match="agreement_backdated"):
        await agree(agreements, ids.int63(), FAST, effective_at=NOW - timedelta(microseconds=1))


async def test_calendar_tells_the_next_payouts_of_a_book(agreements: Agreements, ids: IdFactory) -> None:
    book_id = ids.int63()
    await agree(agreements, book_id, FAST)
    found = await agreements.calendar(book_id, "CNY", 2)
    assert [each.payout_on for each in found] == [date(2026, 3, 2), date(2026, 3, 3)]
