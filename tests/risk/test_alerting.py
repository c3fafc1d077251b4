"""Alerts on a real database: what rings opens one case, once, and open cases learn what became of their payments."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.risk.case_house import BOOK, LIVE, House

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.risk.schema.cases import CaseAct, CaseSpec, CaseState, Cause, Severity, Stake
from tongbao.risk.schema.facts import LabelSource
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.alerting import ACTOR, ROWS_WAIT


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    await made.clean()


async def test_held_payment_opens_a_case_with_its_line_and_fact(house: House) -> None:
    (case,) = await house.rang(house.known(value=30_000))
    assert (case.state, case.kind, case.key, case.version) == (CaseState.OPEN, Cause.HELD, "card_a", 1)
    assert (case.saving, case.stakes) == (15_000.0, (Stake("EUR", 30_000, 30_000),))
    (line,) = await house.reading.trail(case.id)
    assert (line.act, line.actor, line.before, line.after["key"]) == (CaseAct.OPENED, ACTOR, {}, "card_a")
    (told,) = await house.facts("risk.case_opened")
    assert (told.case_id, told.due_at, told.subject) == (case.id, case.due_at, case.name)


async def test_payment_that_is_let_through_opens_nothing(house: House) -> None:
    assert await house.rang(house.known(tier=Tier.FRICTIONLESS), house.known(tier=Tier.STEP_UP)) == []


async def test_alerts_of_one_card_share_a_case_within_and_over_batches(house: House) -> None:
    await house.rang(house.known(), house.known(), house.known(card="card_b"))
    first, other = await house.rang(house.known(value=600_000, score=0.95))
    assert (first.payment_count, other.payment_count) == (3, 1)
    assert (first.version, other.version) == (2, 1)
    assert (first.severity, other.severity) == (Severity.CRITICAL, Severity.MEDIUM)
    assert first.due_at == house.clock.now() + timedelta(hours=1)
    _, line = await house.reading.trail(first.id)
    assert (line.act, line.before["payment_count"], line.after["payment_count"]) == (CaseAct.ALERTED, 2, 3)
    assert len(await house.facts("risk.case_opened")) == 2


async def test_alert_after_a_quiet_day_opens_a_new_case(house: House) -> None:
    await house.rang(house.known())
    house.clock.advance(timedelta(hours=24))
    assert [each.payment_count for each in await house.rang(house.known())] == [1, 1]


async def test_books_and_modes_have_cases_of_their_own(house: House) -> None:
    cases = await house.rang(house.known(), house.known(book_id=8), house.known(live=False))
    assert [(each.book_id, each.live) for each in cases] == [(BOOK, True), (8, True), (BOOK, False)]


async def test_books_share_a_case_where_the_house_says_so(database: Database, ids: IdFactory) -> None:
    house = House(database, ids, CaseSpec(is_across_books=True))
    await house.relay.prepare()
    (case,) = await house.rang(house.known(), house.known(book_id=8))
    assert (case.book_id, case.payment_count) == (0, 2)
    await house.clean()


async def test_fact_that_comes_again_rings_once(house: House) -> None:
    known = house.known()
    await house.rang(known)
    await house.tell(house.assessed(known), house.assessed(known))
    (case,) = await house.files()
    assert (case.version, case.payment_count) == (1, 1)


async def test_batch_that_is_rolled_back_leaves_nothing_and_rings_once_more(house: House) -> None:
    known = house.known()
    await house.publish(house.assessed(known), house.labelled(house.known()))
    assert await house.delivery.step() == 0
    assert (await house.files(), await house.facts("risk.case_opened")) == ([], [])
    house.clock.advance(ROWS_WAIT)
    await house.delivery.close()
    again = House(house.database, house.ids)
    again.clock.set(house.clock.now())
    while await again.delivery.step():
        pass
    await again.delivery.close()
    assert [each.payment_count for each in await house.files()] == [1]


async def test_fraud_label_opens_a_case_of_a_payment_that_was_let_through(house: House) -> None:
    known = house.known(tier=Tier.FRICTIONLESS, score=0.01, is_approved=True)
    await house.rang(known)
    await house.tell(house.labelled(known))
    (case,) = await house.files()
    assert (case.kind, case.chance_max, case.saving) == (Cause.FRAUD_KNOWN, 1.0, 0.0)


async def test_labels_that_say_nothing_new_open_nothing(house: House) -> None:
    known = house.known(tier=Tier.FRICTIONLESS)
    await house.rang(known)
    await house.tell(house.labelled(known, is_fraud=False), house.labelled(known, source=LabelSource.CASE))
    assert await house.files() == []


async def test_label_in_the_batch_of_its_payment_rings_without_its_row(house: House) -> None:
    known = house.known(tier=Tier.FRICTIONLESS)
    await house.tell(house.assessed(known), house.labelled(known))
    assert [each.kind for each in await house.files()] == [Cause.FRAUD_KNOWN]


async def test_fraud_label_joins_the_case_that_holds_the_payment(house: House) -> None:
    known = house.known()
    (case,) = await house.rang(known)
    house.clock.advance(timedelta(days=9))
    await house.tell(house.labelled(known))
    (after,) = await house.files()
    assert (after.id, after.chance_max, after.version) == (case.id, 1.0, 2)
    (payment,) = await house.reading.payments(case.id)
    assert (payment.is_fraud, payment.is_held) == (True, True)


async def test_held_payment_that_fails_is_no_longer_at_stake(house: House) -> None:
    known, other = house.known(), house.known()
    (case,) = await house.rang(known, other)
    await house.tell(house.ended(known, is_approved=False))
    (after,) = await house.files()
    assert case.stakes == (Stake("EUR", 20_000, 20_000),)
    assert after.stakes == (Stake("EUR", 20_000, 10_000),)
    assert after.saving < case.saving
    assert (await house.reading.trail(case.id))[-1].act is CaseAct.LEARNED
    await house.tell(house.ended(known, is_approved=False))
    assert (await house.files())[0].version == after.version


async def test_genuine_label_lowers_what_a_look_saves(house: House) -> None:
    known = house.known()
    await house.rang(known, house.known(score=0.1))
    await house.tell(house.labelled(known, is_fraud=False))
    (case,) = await house.files()
    assert (case.chance_max, case.saving) == (0.1, 1_000.0)


async def test_case_full_of_payments_lets_the_next_one_open(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tongbao.risk.policy.case_opening.CASE_PAYMENTS_MAX", 3)
    cases = await house.rang(*(house.known() for _ in range(7)))
    assert [each.payment_count for each in cases] == [3, 3, 1]


async def test_low_alerts_beyond_the_room_for_cases_are_kept_without_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tongbao.risk.service.alerting.OPEN_CASES_MAX", 1)
    low = [house.known(tier=Tier.DECLINE, card=f"card_{number}") for number in range(3)]
    cases = await house.rang(*low, house.known(card="card_held"))
    assert [each.key for each in cases] == ["card_0", "card_held"]
    async with house.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM risk.alert WHERE case_id IS NULL") == 2


async def test_alert_while_an_analyst_has_the_case_makes_the_old_version_stale(house: House) -> None:
    await house.rang(house.known())
    taken = await house.taken("ana")
    (case,) = await house.rang(house.known())
    assert (case.assignee, case.payment_count, case.version) == ("ana", 2, taken.version + 1)
    assert await house.cases.take_next("ben", LIVE) is None
