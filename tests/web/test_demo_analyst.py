"""The analyst of the demonstration: what is held is decided some time later, by who made the payment; a few stay."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from tests.risk.case_house import House, payment

from tongbao.core.clock import SteppedClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.risk.schema.cases import (
    CaseFile,
    CasePayment,
    CaseScope,
    CaseSpec,
    CaseState,
    Disposition,
    HeldAct,
)
from tongbao.risk.service.case_reading import CaseReading, Wanted
from tongbao.risk.service.cases import Cases, Hand
from tongbao.web.demo_analyst import KEPT_OPEN, NOTES, Analysts, DemoAnalyst, disposal_of, is_doubted, wait_of

WHO = Analysts("person:lin", "person:rosa")
TESTS = CaseScope(live=False)
LATER = timedelta(hours=12)


async def who() -> Analysts:
    """Two people of the house."""
    return WHO


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids, CaseSpec(release_alone_max=50_000))
    await made.relay.prepare()
    yield made
    await made.clean()


def numbered(*, doubted: bool) -> CasePayment:
    """A held payment that the analyst believes in, or not."""
    return next(each for each in map(payment, range(1, 100)) if is_doubted(each) is doubted)


@pytest.mark.parametrize(
    ("is_theft", "doubted", "disposition"),
    [
        (True, False, Disposition.FRAUD),
        (False, False, Disposition.GENUINE),
        (False, True, Disposition.INCONCLUSIVE),
    ],
)
def test_thefts_are_refused_and_most_good_payments_go_on(
    is_theft: bool, doubted: bool, disposition: Disposition
) -> None:
    one = numbered(doubted=doubted)
    found = disposal_of([one], {one.event_id: is_theft})
    assert (found.disposition, found.note) == (disposition, NOTES[disposition])
    assert found.fraud == ((one.event_id,) if is_theft else ())
    assert found.genuine == (() if is_theft or doubted else (one.event_id,))
    assert found.on_held is HeldAct.REJECT


def test_about_one_good_payment_in_ten_is_doubted_and_none_waits_for_hours() -> None:
    some = [payment(1, subject_id=UUID(int=number)) for number in range(1_000)]
    assert sum(map(is_doubted, some)) == len(some) / 10
    assert {timedelta(0) < wait_of(each) < timedelta(minutes=30) for each in some} == {True}


async def test_what_is_known_and_old_enough_is_decided_and_the_newest_stay(
    house: House, database: Database, ids: IdFactory
) -> None:
    clock = SteppedClock(house.clock.now())
    analyst = DemoAnalyst(
        Cases(database, clock, ids, CaseSpec(release_alone_max=50_000)),
        reading := CaseReading(database, clock),
        clock,
        who,
    )
    cases: dict[str, CaseFile] = {}
    wanted = ("unknown", "theft", "good", "dear", *(f"newest {each}" for each in range(KEPT_OPEN)))
    for name in wanted:
        known = house.known(card=name, live=False, value=90_000 if name == "dear" else 10_000)
        cases[name] = (await house.rang(known))[-1]
        if name != "unknown":
            analyst.hear(uuid_text("pi", known.signals.subject_id), is_theft=name == "theft")
    await analyst.round()
    assert len(await reading.page(Wanted(TESTS, CaseState.OPEN))) == len(wanted)
    clock.go_to(clock.now() + LATER)
    await analyst.round()
    held = clock.now()
    await analyst.round()
    found = {name: await reading.one(case.id) for name, case in cases.items()}
    assert {name for name, case in found.items() if case.state is CaseState.OPEN} == {
        name for name in wanted if name not in ("theft", "good", "dear")
    }
    assert found["theft"].disposition is Disposition.FRAUD
    assert {found[name].state for name in ("theft", "good", "dear")} == {CaseState.CLOSED}
    assert found["theft"].worked_ms > 0
    assert clock.now() == held
    assert {each.actor for each in await reading.trail(found["theft"].id)} >= {WHO.analyst}


async def test_a_case_that_grows_by_an_unknown_payment_goes_back_to_the_queue(
    house: House, database: Database, ids: IdFactory
) -> None:
    clock = SteppedClock(house.clock.now())
    reading, cases = CaseReading(database, clock), Cases(database, clock, ids)
    analyst = DemoAnalyst(cases, reading, clock, who)
    first = house.known(card="grows", live=False)
    (case,) = await house.rang(first)
    analyst.hear(uuid_text("pi", first.signals.subject_id), is_theft=True)
    for each in range(KEPT_OPEN):
        await house.rang(house.known(card=f"newest {each}", live=False))
    await cases.assign(Hand(case.id, WHO.analyst, case.version), WHO.analyst)
    await house.rang(house.known(card="grows", live=False))
    await analyst._end(case.id, WHO.analyst)
    found = await reading.one(case.id)
    assert (found.state, found.assignee, found.payment_count) == (CaseState.OPEN, "", 2)
