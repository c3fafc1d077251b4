"""Cases beside a case: of the same entity or of one within two hops; hubs, other modes and old ones are left out."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.risk.case_house import House, hand

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.risk.schema.cases import CaseFile, CaseScope, Disposal, Disposition
from tongbao.risk.service.case_reading import LEARNED_DAYS, Wanted


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    await made.clean()


async def beside(house: House, key: str) -> list[CaseFile]:
    """The cases beside the latest one of a card."""
    found = await house.reading.page(Wanted(CaseScope(live=True)))
    case = next(each for each in found if each.key == key)
    return await house.reading.similar(case, await house.reading.neighborhood(case.id))


async def test_cards_of_one_device_stand_beside_each_other_and_strangers_do_not(house: House) -> None:
    await house.rang(house.known(card="card_one", device="device_both"))
    await house.rang(house.known(card="card_two", device="device_both"))
    await house.rang(house.known(card="card_far", device="device_far"))
    assert [each.key for each in await beside(house, "card_one")] == ["card_two"]
    assert await beside(house, "card_far") == []


async def test_closed_case_of_the_same_card_counts_until_it_is_old(house: House) -> None:
    await house.rang(house.known(card="card_again"))
    case = await house.taken("ana")
    await house.cases.close(hand(case, "ana"), Disposal(disposition=Disposition.FRAUD))
    await house.rang(house.known(card="card_again"))
    assert [each.id for each in await beside(house, "card_again")] == [case.id]
    house.clock.advance(timedelta(days=LEARNED_DAYS, seconds=1))
    assert await beside(house, "card_again") == []


async def test_more_than_a_page_of_cases_is_refused(house: House) -> None:
    await house.rang(house.known(card="card_many"))
    case = (await house.reading.page(Wanted(CaseScope(live=True))))[0]
    with pytest.raises(InvalidRequest, match="case_limit_invalid"):
        await house.reading.similar(case, await house.reading.neighborhood(case.id), 0)
