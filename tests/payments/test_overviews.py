"""Overviews of payments: what SQL says of one is what Python says, words find what they name, sums are those of the rows."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.faces.merchant_place import Shop, open_quiet_shop

from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.payments.errors import BadParameter
from tongbao.payments.schema.overviews import WORD_CHARS_MAX, Wanted
from tongbao.payments.schema.standing import Standing, standing_of
from tongbao.payments.service.overviews import Overviews


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_quiet_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
def overviews(shop: Shop) -> Overviews:
    return Overviews(shop.whole.house.runtime.database)


async def test_search_by_standing_finds_exactly_those_that_stand_so(shop: Shop, overviews: Overviews) -> None:
    every = (await overviews.search(shop.tenant.scope, Wanted(limit=100))).items
    expected = {view.intent.reference: standing_of(view.intent, view.attempt) for view in every}
    found = {
        view.intent.reference: standing
        for standing in Standing
        for view in (await overviews.search(shop.tenant.scope, Wanted(limit=100, standing=standing))).items
    }
    assert found == expected
    named = {
        name: expected[shop.named[name]] for name in ("plain", "declined", "held", "refunded", "disputed")
    }
    assert named == {
        "plain": Standing.SUCCEEDED,
        "declined": Standing.DECLINED,
        "held": Standing.REQUIRES_CAPTURE,
        "refunded": Standing.PARTLY_REFUNDED,
        "disputed": Standing.DISPUTED,
    }


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (Wanted(word="A-1042"), "plain"),
        (Wanted(word="a-1042"), "plain"),
        (Wanted(word="BO@example.com"), "declined"),
        (Wanted(word="room"), "held"),
        (Wanted(word="龙井"), "cascaded"),
        (Wanted(word="¥299.00", amounts=(29_900,)), "declined"),
        (Wanted(least_minor=64_000), "held"),
    ],
)
async def test_search_finds_by_what_people_know(
    shop: Shop, overviews: Overviews, wanted: Wanted, name: str
) -> None:
    found = await overviews.search(shop.tenant.scope, wanted)
    assert [view.intent.reference for view in found.items] == [shop.named[name]]


async def test_search_goes_on_where_a_page_ended(shop: Shop, overviews: Overviews) -> None:
    scope = shop.tenant.scope
    every = [view.intent.id for view in (await overviews.search(scope, Wanted(limit=100))).items]
    first = await overviews.search(scope, Wanted(limit=3))
    second = await overviews.search(scope, Wanted(limit=3, after=first.items[-1].intent.id))
    assert first.has_more
    assert [view.intent.id for view in (*first.items, *second.items)] == every[:6]


async def test_search_of_another_book_finds_nothing(shop: Shop, overviews: Overviews) -> None:
    other = await shop.whole.tenant()
    assert (await overviews.search(other.scope, Wanted(word="A-1042"))).items == []
    assert (await overviews.search(other.scope, Wanted())).items == []


async def test_search_for_an_endless_word_is_refused(shop: Shop, overviews: Overviews) -> None:
    with pytest.raises(BadParameter, match="word_invalid"):
        await overviews.search(shop.tenant.scope, Wanted(word="a" * (WORD_CHARS_MAX + 1)))


async def test_sums_are_those_of_the_payments(shop: Shop, overviews: Overviews) -> None:
    scope, now = shop.tenant.scope, shop.whole.clock.now() + timedelta(seconds=1)
    since = now - timedelta(days=30)
    views = (await overviews.search(scope, Wanted(limit=100))).items
    hours = await overviews.takings(scope, since, now)
    assert sum(each.payment_count for each in hours) == len(views)
    assert sum(each.taken_minor for each in hours) == sum(view.intent.amount_received_minor for view in views)
    refused = {"declined", "unresolved"}
    assert sum(each.approved_count for each in hours) == len(views) - len(refused)
    assert sum(each.tried_count for each in hours) == len(views) - 1
    back = await overviews.gone_back(scope, since, now)
    assert sum(each.refund_minor for each in back) == 6_000
    assert sum(each.dispute_minor for each in back) == 45_600
    rails = await overviews.rails(scope, since, now)
    assert {each.method for each in rails} == {"card"}
    assert sum(each.approved_count for each in rails) == len(views) - len(refused)


async def test_sums_of_an_hour_hold_that_hour_alone(shop: Shop, overviews: Overviews) -> None:
    intents = shop.whole.house.payments.intents
    first = (await intents.get(shop.tenant.scope, parse_uuid("pi", shop.named["day0"]))).intent
    hours = await overviews.takings(
        shop.tenant.scope, first.created_at, first.created_at + timedelta(hours=1)
    )
    assert [(each.hour, each.payment_count, each.taken_minor) for each in hours] == [(0, 1, 8_800)]


@pytest.mark.parametrize("days", [0, -1, 93])
async def test_sums_of_an_impossible_span_are_refused(shop: Shop, overviews: Overviews, days: int) -> None:
    now = shop.whole.clock.now()
    with pytest.raises(BadParameter, match="span_invalid"):
        await overviews.takings(shop.tenant.scope, now, now + timedelta(days=days))
