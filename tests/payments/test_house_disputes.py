"""Disputes over every book: pages, states, modes, and who may see them."""

import pytest
from tests.payments.conftest import House
from tests.payments.test_disputing import disputes, tell

from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.parties.errors import PermissionMissing
from tongbao.parties.schema import OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.payments.schema.refunds import Dispute, DisputeState
from tongbao.payments.service.house_disputes import HouseDisputes

LOOKS = operator_of_job("tests", frozenset({OperatorPermission.ALL_DISPUTES_READ}))
NOBODY = operator_of_job("tests", frozenset({OperatorPermission.CASES_READ}))


async def everything(reading: HouseDisputes, *states: DisputeState) -> list[Dispute]:
    """All disputes in test mode, page by page of two."""
    found: list[Dispute] = []
    while True:
        before = found[-1].id if found else None
        page = await reading.page(LOOKS, False, states, before, 2)
        found += page.items
        if not page.has_more:
            return found


async def test_pages_lead_through_every_book_newest_first(house: House, payments_database: Database) -> None:
    for case in ("case-1", "case-2", "case-3"):
        await tell(house, await house.pay(1000), "needs_response", 600, case)
    reading = HouseDisputes(payments_database)
    found = await everything(reading)
    assert len({each.id for each in found}) == len(found)
    assert [(each.created_at, each.id) for each in found] == sorted(
        ((each.created_at, each.id) for each in found), reverse=True
    )
    own = {each.id for each in await disputes(house)}
    assert own <= {each.id for each in found}
    assert (await reading.page(LOOKS, True)).items == []
    assert await reading.one(LOOKS, found[0].id) == found[0]


async def test_state_leaves_out_the_others(house: House, payments_database: Database) -> None:
    await tell(house, await house.pay(1000), "needs_response", 600, "case-open")
    await tell(house, await house.pay(1000), "lost", 600, "case-lost")
    reading = HouseDisputes(payments_database)
    lost = await everything(reading, DisputeState.LOST)
    assert {each.state for each in lost} == {DisputeState.LOST}
    both = await everything(reading, DisputeState.LOST, DisputeState.NEEDS_RESPONSE)
    assert {each.id for each in await disputes(house)} <= {each.id for each in both}


async def test_dispute_nobody_knows_and_reader_without_permission_are_refused(
    house: House, payments_database: Database
) -> None:
    reading = HouseDisputes(payments_database)
    view = await house.pay(1000)
    with pytest.raises(NotFound, match="dispute_missing"):
        await reading.one(LOOKS, view.intent.id)
    with pytest.raises(NotFound, match="dispute_missing"):
        await reading.page(LOOKS, False, (), view.intent.id)
    with pytest.raises(PermissionMissing):
        await reading.page(NOBODY, False)
    with pytest.raises(PermissionMissing):
        await reading.one(NOBODY, view.intent.id)
