"""Held payments that nobody decided about: with the last of them ends the case, once, by nobody."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.risk.case_house import LIVE, House

from tongbao.core.db import Database
from tongbao.core.errors import Conflict
from tongbao.core.events.delivery import Delivery
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.risk.schema.cases import (
    CaseAct,
    CaseState,
    Cause,
    Disposal,
    Disposition,
    Known,
    Lapsed,
)
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.case_lapsing import ACTOR, NOTE, lapse_projection
from tongbao.risk.service.cases import Hand


class Lapsing(House):
    """A house of cases that listens for what lapsed, too."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        super().__init__(database, ids)
        projection = lapse_projection(self.clock, self.outbox)
        self.lapses = Delivery(database, projection, self.clock, ids, Metrics())

    async def lapsed(self, *payments: Known) -> None:
        """Tell that held payments ended undecided, twice: another attempt of the same may end, too."""
        for _ in range(2):
            await self.tell(
                *(
                    Lapsed(
                        occurred_at=self.clock.now(),
                        signals_id=each.signals.id,
                        book_id=each.signals.book_id,
                        live=each.signals.live,
                        subject_id=each.signals.subject_id,
                    )
                    for each in payments
                )
            )
            while await self.lapses.step():
                pass


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[Lapsing]:
    made = Lapsing(database, ids)
    await made.relay.prepare()
    yield made
    await made.lapses.close()
    await made.clean()


async def test_case_ends_with_the_last_payment_that_it_held(house: Lapsing) -> None:
    first, last = house.known(), house.known()
    await house.rang(first, last)
    await house.lapsed(first)
    (case,) = await house.files()
    assert (case.state, case.stakes[0].held, case.stakes[0].value) == (CaseState.OPEN, 10_000, 20_000)
    await house.lapsed(last)
    (case,) = await house.files()
    assert (case.state, case.disposition, case.stakes[0].held) == (
        CaseState.CLOSED,
        Disposition.INCONCLUSIVE,
        0,
    )
    assert case.closed_at == house.clock.now()
    trail = await house.reading.trail(case.id)
    assert [each.act for each in trail][-2:] == [CaseAct.LEARNED, CaseAct.LAPSED]
    assert (trail[-1].actor, trail[-1].note) == (ACTOR, NOTE)
    assert [each.version for each in trail] == [1, 2, 3]
    (told,) = await house.facts("risk.case_decided")
    assert (told.disposition, told.release, told.reject) == (Disposition.INCONCLUSIVE, (), ())
    assert await house.facts("risk.labelled") == []


async def test_case_that_an_analyst_has_ends_under_their_hands_and_their_act_is_refused(
    house: Lapsing,
) -> None:
    known = house.known()
    await house.rang(known)
    case = await house.cases.take_next("ana", LIVE)
    assert case is not None
    house.clock.advance(timedelta(minutes=3))
    await house.lapsed(known)
    (closed,) = await house.files()
    assert (closed.state, closed.worked_ms, closed.assigned_at) == (CaseState.CLOSED, 180_000, None)
    with pytest.raises(Conflict, match="is at version"):
        await house.cases.close(Hand(case.id, "ana", case.version), Disposal(disposition=Disposition.GENUINE))


async def test_case_that_was_decided_stays_as_it_was(house: Lapsing) -> None:
    known = house.known()
    await house.rang(known)
    case = await house.cases.take_next("ana", LIVE)
    assert case is not None
    await house.cases.close(Hand(case.id, "ana", case.version), Disposal(disposition=Disposition.GENUINE))
    before = await house.files()
    await house.lapsed(known)
    assert await house.files() == before


async def test_case_of_another_cause_stays_open(house: Lapsing) -> None:
    declined, held = house.known(tier=Tier.DECLINE), house.known()
    await house.rang(declined)
    await house.rang(held)
    await house.lapsed(held)
    (case,) = await house.files()
    assert (case.kind, case.state, case.stakes[0].held) == (Cause.DECLINED, CaseState.OPEN, 0)
