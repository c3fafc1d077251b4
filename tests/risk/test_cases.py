"""Working cases on a real database: taking, versions, four eyes, labels, the trail, the evidence, signed summaries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.risk.case_house import BOOK, LIVE, House, hand

from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, LimitExceeded, NotFound, NotPermitted
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.case_priority import CASE_MINUTES_MAX, PRIOR_CASES
from tongbao.risk.policy.case_timeline import EvidenceKind, evidence_text
from tongbao.risk.schema.cases import (
    CASE_PAYMENTS_MAX,
    CaseAct,
    CaseFile,
    CaseScope,
    CaseState,
    Disposal,
    Disposition,
    HeldAct,
    PaymentRef,
    Stake,
    case_text,
    parse_case,
)
from tongbao.risk.schema.facts import LabelSource
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.case_reading import PAGE_MAX, Wanted
from tongbao.risk.service.cases import INCLUDED_MAX

FRAUD = Disposal(disposition=Disposition.FRAUD)
GENUINE = Disposal(disposition=Disposition.GENUINE)
FREEZE = Disposal(disposition=Disposition.FRAUD, freeze=True)
BIG = 200_000
"""Hundredths: more than one person may release alone."""


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    await made.clean()


async def acts(house: House, case: CaseFile) -> list[tuple[CaseAct, str]]:
    return [(each.act, each.actor) for each in await house.reading.trail(case.id)]


async def test_take_next_goes_by_money_saved_per_minute_and_past_due_first(house: House) -> None:
    await house.rang(house.known(card="late", value=10_000))
    house.clock.advance(timedelta(hours=25))
    await house.rang(
        house.known(card="small", value=1_000),
        house.known(card="large", value=300_000, score=0.1),
        house.known(card="declined", value=300_000, tier=Tier.DECLINE, score=0.9),
    )
    listed = await house.reading.queue(LIVE)
    assert [each.case.key for each in listed] == ["late", "large", "declined", "small"]
    assert [each.rank.is_overdue for each in listed] == [True, False, False, False]
    assert [(await house.taken("ana")).key for _ in listed] == ["late", "large", "declined", "small"]
    assert await house.cases.take_next("ana", LIVE) is None


async def test_analysts_who_take_at_once_never_get_the_same_case(house: House) -> None:
    await house.rang(*(house.known(card=f"card_{number}") for number in range(12)))
    took = await asyncio.gather(*(house.cases.take_next(f"analyst_{number}", LIVE) for number in range(16)))
    got = [each for each in took if each is not None]
    assert len({each.id for each in got}) == len(got) == 12
    stored = {each.id: each for each in await house.files()}
    assert all(stored[each.id].assignee == each.assignee for each in got)


async def test_take_next_stays_within_the_book_and_mode_asked_for(house: House) -> None:
    await house.rang(house.known(book_id=8), house.known(live=False))
    assert await house.cases.take_next("ana", CaseScope(live=True, book_id=BOOK)) is None
    theirs = await house.cases.take_next("ana", CaseScope(live=True, book_id=8))
    assert theirs is not None
    assert theirs.book_id == 8
    test = await house.cases.take_next("ana", CaseScope(live=False))
    assert test is not None
    assert not test.live


async def test_assigning_and_putting_back_add_up_the_time_and_leave_lines(house: House) -> None:
    await house.rang(house.known())
    case = await house.taken("ana")
    house.clock.advance(timedelta(minutes=4))
    case = await house.cases.assign(hand(case, "lead"), "ben")
    assert (case.assignee, case.worked_ms) == ("ben", 240_000)
    house.clock.advance(timedelta(minutes=1))
    case = await house.cases.unassign(hand(case, "ben"))
    assert (case.state, case.assignee, case.worked_ms) == (CaseState.OPEN, "", 300_000)
    lines = await house.reading.trail(case.id)
    assert [each.version for each in lines] == [1, 2, 3, 4]
    assert (lines[2].act, lines[2].actor) == (CaseAct.ASSIGNED, "lead")
    assert (lines[2].before["assignee"], lines[2].after["assignee"]) == ("ana", "ben")
    assert await house.reading.trail(case.id, after=3) == lines[3:]


async def test_closing_as_fraud_labels_rejects_and_tells(house: House) -> None:
    held, passed = house.known(), house.known(tier=Tier.DECLINE)
    await house.rang(held, passed)
    case = await house.taken("ana")
    house.clock.advance(timedelta(minutes=3))
    closed = await house.cases.close(hand(case, "ana"), FRAUD)
    subject = PaymentRef(BOOK, held.signals.subject_id)
    assert (closed.release, closed.reject, closed.is_waiting) == ((), (subject,), False)
    assert (closed.case.state, closed.case.disposition) == (CaseState.CLOSED, Disposition.FRAUD)
    assert (closed.case.worked_ms, closed.case.closed_at) == (180_000, house.clock.now())
    assert (closed.case.stakes, closed.case.saving) == ((Stake("EUR", 20_000, 0),), 0.0)
    labels = await house.facts("risk.labelled")
    assert {(each.signals_id, each.is_fraud, each.source, each.actor) for each in labels} == {
        (each.signals.id, True, LabelSource.CASE, "ana") for each in (held, passed)
    }
    (told,) = await house.facts("risk.case_decided")
    assert (told.case_id, told.disposition, told.reject, told.release) == (
        case.id,
        Disposition.FRAUD,
        (subject,),
        (),
    )
    assert (told.actor, told.approver, told.freeze_entity) == ("ana", "", None)
    await house.tell()
    assert len(await house.files()) == 1


async def test_closing_a_subset_labels_only_that(house: House) -> None:
    good, bad = house.known(), house.known()
    await house.rang(good, bad)
    case = await house.taken("ana")
    disposal = Disposal(
        disposition=Disposition.FRAUD, fraud=(bad.signals.id,), on_held=HeldAct.RELEASE, note="one of two"
    )
    closed = await house.cases.close(hand(case, "ana"), disposal)
    assert closed.release == (PaymentRef(BOOK, good.signals.subject_id),)
    assert closed.reject == (PaymentRef(BOOK, bad.signals.subject_id),)
    (label,) = await house.facts("risk.labelled")
    assert label.signals_id == bad.signals.id
    line = (await house.reading.trail(case.id))[-1]
    assert (line.act, line.note) == (CaseAct.CLOSED, "one of two")
    assert line.after["disposal"]["fraud"] == [str(bad.signals.id)]


async def test_refused_closing_leaves_nothing_behind(house: House) -> None:
    await house.rang(house.known())
    case = await house.taken("ana")
    with pytest.raises(InvalidRequest, match="case_held_undecided"):
        await house.cases.close(hand(case, "ana"), Disposal(disposition=Disposition.INCONCLUSIVE))
    assert await house.reading.one(case.id) == case
    assert await house.facts("risk.labelled") == []


@pytest.mark.parametrize(("disposal", "value"), [(GENUINE, BIG), (FREEZE, 100)])
async def test_release_of_much_and_freeze_wait_for_a_second_person(
    house: House, disposal: Disposal, value: int
) -> None:
    await house.rang(house.known(value=value))
    case = await house.taken("ana")
    asked = await house.cases.close(hand(case, "ana"), disposal)
    assert asked.is_waiting
    assert (asked.release, asked.reject, asked.freeze) == ((), (), False)
    assert await house.facts("risk.labelled") == await house.facts("risk.case_decided") == []
    assert await house.reading.waiting(LIVE, "ana") == []
    (waits,) = await house.reading.waiting(LIVE, "ben")
    with pytest.raises(NotPermitted, match="case_same_person"):
        await house.cases.approve(hand(waits, "ana"))
    closed = await house.cases.approve(hand(waits, "ben"))
    assert closed.case.state is CaseState.CLOSED
    assert closed.freeze is disposal.freeze
    assert bool(closed.release) is (disposal is GENUINE)
    (told,) = await house.facts("risk.case_decided")
    assert (told.actor, told.approver) == ("ana", "ben")
    assert told.freeze_key == ("card_a" if disposal.freeze else "")
    assert told.freeze_entity == (Entity.CARD if disposal.freeze else None)
    assert (await acts(house, case))[-2:] == [(CaseAct.ASKED, "ana"), (CaseAct.APPROVED, "ben")]
    with pytest.raises(Conflict, match="case_state_wrong"):
        await house.cases.approve(hand(closed.case, "eve"))


async def test_refusal_gives_the_case_back_and_the_asker_may_withdraw(house: House) -> None:
    await house.rang(house.known(value=BIG))
    case = await house.taken("ana")
    for by, act in (("ben", CaseAct.REFUSED), ("ana", CaseAct.WITHDRAWN)):
        waits = (await house.cases.close(hand(case, "ana"), GENUINE)).case
        case = await house.cases.refuse(hand(waits, by), "look at the device first")
        assert (case.state, case.assignee, case.request) == (CaseState.ASSIGNED, "ana", None)
        line = (await house.reading.trail(case.id))[-1]
        assert (line.act, line.actor, line.note) == (act, by, "look at the device first")
    with pytest.raises(Conflict, match="case_state_wrong"):
        await house.cases.refuse(hand(case, "ben"), "not now")


async def test_request_covers_the_payments_that_were_there_and_no_alert_joins(house: House) -> None:
    first = house.known(value=BIG)
    await house.rang(first)
    waits = (await house.cases.close(hand(await house.taken("ana"), "ana"), GENUINE)).case
    _, other = await house.rang(house.known())
    assert other.payment_count == 1
    closed = await house.cases.approve(hand(waits, "ben"))
    assert closed.release == (PaymentRef(BOOK, first.signals.subject_id),)


async def test_news_of_a_waiting_case_make_the_second_person_look_again(house: House) -> None:
    known = house.known(value=BIG)
    await house.rang(known)
    waits = (await house.cases.close(hand(await house.taken("ana"), "ana"), GENUINE)).case
    await house.tell(house.labelled(known))
    with pytest.raises(Conflict, match="case_changed"):
        await house.cases.approve(hand(waits, "ben"))


async def test_two_who_close_at_once_close_once(house: House) -> None:
    await house.rang(house.known())
    case = await house.taken("ana")
    ends = await asyncio.gather(
        *(house.cases.close(hand(case, "ana"), each) for each in (FRAUD, GENUINE) * 4), return_exceptions=True
    )
    lost = [each for each in ends if isinstance(each, Conflict)]
    assert ({each.code for each in lost}, len(lost)) == ({"case_changed"}, 7)
    assert len(await house.facts("risk.case_decided")) == len(await house.facts("risk.labelled")) == 1
    assert [version for version, _ in enumerate(await acts(house, case), 1)] == [1, 2, 3]


async def test_two_who_agree_at_once_agree_once(house: House) -> None:
    await house.rang(house.known(value=BIG))
    waits = (await house.cases.close(hand(await house.taken("ana"), "ana"), GENUINE)).case
    ends = await asyncio.gather(
        house.cases.approve(hand(waits, "ben")),
        house.cases.approve(hand(waits, "eve")),
        house.cases.refuse(hand(waits, "kim"), "no"),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Conflict) for each in ends) == 2
    assert len(await acts(house, waits)) == waits.version + 1


async def test_alert_and_closing_at_once_leave_no_payment_undecided(house: House) -> None:
    await house.rang(house.known())
    for _ in range(6):
        case = await house.taken("ana")
        fresh = house.known()
        await house.write(fresh)
        await house.publish(house.assessed(fresh))
        await asyncio.gather(
            house.cases.close(hand(case, "ana"), FRAUD), house.tell(), return_exceptions=True
        )
        stored = await house.reading.one(case.id)
        payments = await house.reading.payments(case.id)
        if stored.state is CaseState.CLOSED:
            assert not any(each.is_held for each in payments)
        else:
            await house.cases.close(hand(stored, "ana"), FRAUD)
        if all(each.state is CaseState.CLOSED for each in await house.files()):
            await house.rang(house.known())


Act = Callable[[House, CaseFile], Awaitable[Any]]

WRONG_HANDS: list[tuple[Act, type[AppError], str]] = [
    (lambda house, case: house.cases.close(hand(case, "ben"), FRAUD), NotPermitted, "case_not_yours"),
    (lambda house, case: house.cases.include(hand(case, "ben"), [case.id]), NotPermitted, "case_not_yours"),
    (lambda house, case: house.cases.note(hand(case, ""), "x"), InvalidRequest, "case_actor_invalid"),
    (lambda house, case: house.cases.assign(hand(case, "ana"), " "), InvalidRequest, "case_actor_invalid"),
    (lambda house, case: house.cases.take_next("a" * 121, LIVE), InvalidRequest, "case_actor_invalid"),
    (lambda house, case: house.cases.note(hand(case, "ana"), " "), InvalidRequest, "case_text_invalid"),
    (lambda house, case: house.cases.note(hand(case, "ana"), "a\x00"), InvalidRequest, "case_text_invalid"),
    (
        lambda house, case: house.cases.note(hand(case, "ana"), "a" * 4_001),
        InvalidRequest,
        "case_text_invalid",
    ),
    (lambda house, case: house.cases.note(hand(case, "ana", 8), "x"), NotFound, "case_missing"),
    (lambda house, case: house.reading.one(case.id, 8), NotFound, "case_missing"),
    (lambda house, case: house.reading.summary(case.id, "en", 8), NotFound, "case_missing"),
    (lambda house, case: house.reading.summary(case.id, "fr"), InvalidRequest, "language_unknown"),
    (
        lambda house, case: house.cases.sign_summary(hand(case, "ana"), "text", "fr"),
        InvalidRequest,
        "language_unknown",
    ),
    (lambda house, case: house.cases.approve(hand(case, "ben")), Conflict, "case_state_wrong"),
    (lambda house, case: house.cases.include(hand(case, "ana"), []), InvalidRequest, "case_payments_invalid"),
    (
        lambda house, case: house.cases.include(hand(case, "ana"), [case.id] * (INCLUDED_MAX + 1)),
        InvalidRequest,
        "case_payments_invalid",
    ),
    (
        lambda house, case: house.cases.include(hand(case, "ana"), [case.id]),
        NotFound,
        "case_payment_missing",
    ),
    (lambda house, case: house.reading.queue(LIVE, 0), InvalidRequest, "case_limit_invalid"),
    (
        lambda house, case: house.reading.page(Wanted(LIVE), None, PAGE_MAX + 1),
        InvalidRequest,
        "case_limit_invalid",
    ),
]


@pytest.mark.parametrize(
    ("act", "kind", "code"), WRONG_HANDS, ids=[f"{each[2]}-{n}" for n, each in enumerate(WRONG_HANDS)]
)
async def test_act_that_may_not_be_is_refused_with_its_code(
    house: House, act: Act, kind: type[AppError], code: str
) -> None:
    await house.rang(house.known())
    case = await house.taken("ana")
    with pytest.raises(kind) as refused:
        await act(house, case)
    assert refused.value.code == code
    assert await house.reading.one(case.id) == case


async def test_open_case_is_closed_by_nobody_and_a_closed_one_stays(house: House) -> None:
    (case,) = await house.rang(house.known())
    with pytest.raises(Conflict, match="case_state_wrong"):
        await house.cases.close(hand(case, "ana"), FRAUD)
    with pytest.raises(Conflict, match="case_state_wrong"):
        await house.cases.unassign(hand(case, "ana"))
    closed = (await house.cases.close(hand(await house.taken("ana"), "ana"), FRAUD)).case
    for act in (house.cases.unassign(hand(closed, "ana")), house.cases.assign(hand(closed, "ana"), "ben")):
        with pytest.raises(Conflict, match="case_state_wrong"):
            await act
    noted = await house.cases.note(hand(closed, "ana"), "the payer called")
    assert (noted.state, noted.version) == (CaseState.CLOSED, closed.version + 1)


async def test_included_payments_count_and_are_labelled(house: House) -> None:
    extra = house.known(card="card_z", tier=Tier.FRICTIONLESS, score=0.05)
    await house.write(extra)
    await house.rang(house.known())
    case = await house.taken("ana")
    more = await house.cases.include(hand(case, "ana"), [extra.signals.id])
    assert (more.payment_count, more.version) == (2, case.version + 1)
    assert more.saving > case.saving
    await house.cases.close(hand(more, "ana"), FRAUD)
    assert extra.signals.id in {each.signals_id for each in await house.facts("risk.labelled")}


async def test_included_payments_of_other_cases_books_and_modes_are_refused(house: House) -> None:
    other = house.known(card="card_b", value=1)
    foreign, test = house.known(book_id=8, tier=Tier.DECLINE), house.known(live=False, tier=Tier.DECLINE)
    await house.rang(house.known(value=90_000), other, foreign, test)
    case = await house.taken("ana")
    assert case.key == "card_a"
    with pytest.raises(Conflict, match="case_payment_elsewhere"):
        await house.cases.include(hand(case, "ana"), [other.signals.id])
    for each in (foreign, test):
        with pytest.raises(NotFound, match="case_payment_missing"):
            await house.cases.include(hand(case, "ana"), [each.signals.id])


async def test_full_case_takes_in_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tongbao.risk.service.cases.CASE_PAYMENTS_MAX", 1)
    extra = house.known(tier=Tier.FRICTIONLESS)
    await house.write(extra)
    await house.rang(house.known())
    with pytest.raises(LimitExceeded, match="case_full"):
        await house.cases.include(hand(await house.taken("ana"), "ana"), [extra.signals.id])


async def test_minutes_are_learned_from_closed_cases(house: House) -> None:
    await house.rang(*(house.known(card=f"card_{number}") for number in range(3)))
    assert {each.minutes for each in await house.reading.queue(LIVE)} == {6.0}
    for minutes in (10, 10_000):
        case = await house.taken("ana")
        house.clock.advance(timedelta(minutes=minutes))
        await house.cases.close(hand(case, "ana"), FRAUD)
    (left,) = await house.reading.queue(LIVE)
    assert left.minutes == pytest.approx((PRIOR_CASES * 6 + 10 + CASE_MINUTES_MAX) / (PRIOR_CASES + 2))
    house.clock.advance(timedelta(days=91))
    assert (await house.reading.queue(LIVE))[0].minutes == 6.0


async def test_pages_go_backwards_in_time_by_state_person_and_book(house: House) -> None:
    for number in range(4):
        await house.rang(house.known(card=f"card_{number}", book_id=BOOK + number % 2))
    files = (await house.files())[::-1]
    first = await house.reading.page(Wanted(LIVE), limit=3)
    assert first == files[:3]
    assert await house.reading.page(Wanted(LIVE), first[-1].id) == files[3:]
    own = await house.reading.page(Wanted(CaseScope(live=True, book_id=BOOK)))
    assert {each.book_id for each in own} == {BOOK}
    taken = await house.taken("ana")
    assert await house.reading.page(Wanted(LIVE, assignee="ana")) == [taken]
    assert await house.reading.page(Wanted(LIVE, CaseState.ASSIGNED)) == [taken]
    assert len(await house.reading.page(Wanted(LIVE, CaseState.OPEN))) == 3
    assert await house.reading.page(Wanted(CaseScope(live=False))) == []


async def test_timeline_tells_payments_news_and_acts_in_order(house: House) -> None:
    earlier = house.known(
        tier=Tier.STEP_UP,
        score=0.02,
        is_passed=True,
        is_approved=False,
        end_code="do_not_honor",
        is_fraud=True,
        label_source="dispute",
        labelled_at=house.clock.now() + timedelta(seconds=30),
        decision_id=house.ids.uuid(),
    )
    await house.write(earlier)
    house.clock.advance(timedelta(minutes=1))
    (case,) = await house.rang(house.known(score=None))
    house.clock.advance(timedelta(minutes=1))
    await house.cases.note(hand(case, "ana"), "calls the payer")
    entries = await house.reading.timeline(case.id)
    assert [each.kind for each in entries] == [
        EvidenceKind.PAYMENT,
        EvidenceKind.DECISION,
        EvidenceKind.PROOF,
        EvidenceKind.END,
        EvidenceKind.LABEL,
        EvidenceKind.PAYMENT,
        EvidenceKind.DECISION,
        EvidenceKind.ALERT,
        EvidenceKind.ACT,
        EvidenceKind.ACT,
    ]
    assert [each.at for each in entries] == sorted(each.at for each in entries)
    assert [each.is_of_case for each in entries[:6]] == [False] * 5 + [True]
    told = [evidence_text(each, "en") for each in entries]
    assert told[0] == f"Payment {earlier.signals.subject} over 100.00 EUR"
    assert told[1:5] == [
        "Decision: asked for proof, chance of fraud 2 %",
        "The payer proved who it is",
        "Not approved: do_not_honor",
        "Labelled fraud by dispute",
    ]
    assert told[6:] == [
        "Decision: held for review, without a score",
        "Alert: payment held for review (medium)",
        "Case opened by risk",
        "Note by ana: calls the payer",
    ]
    assert all(not evidence_text(each, "zh-CN").isascii() for each in entries)


async def test_summary_is_a_draft_until_somebody_signs(house: House) -> None:
    (case,) = await house.rang(house.known(score=0.9, reasons=("spree",)))
    summary = await house.reading.summary(case.id, "en")
    assert (summary.signed, summary.is_stale) == (None, False)
    assert summary.draft.suggestion is Disposition.FRAUD
    signed = await house.cases.sign_summary(hand(case, "ana"), summary.draft.text, "en")
    kept = await house.reading.summary(case.id, "en")
    assert kept.signed is not None
    assert (kept.signed.actor, kept.signed.at, kept.signed.note) == (
        "ana",
        house.clock.now(),
        summary.draft.text,
    )
    assert kept.signed.after == {
        "language": "en",
        "is_edited": False,
        "suggestion": "fraud",
        "chance": pytest.approx(0.9),
    }
    assert not kept.is_stale
    edited = await house.cases.sign_summary(hand(signed, "ben"), "The payer confirmed it.", "en")
    again = await house.reading.summary(case.id, "en")
    assert again.signed is not None
    assert (again.signed.actor, again.signed.after["is_edited"]) == ("ben", True)
    await house.cases.note(hand(edited, "ana"), "one more call")
    assert (await house.reading.summary(case.id, "en")).is_stale
    assert [each.note for each in await house.reading.trail(case.id) if each.act is CaseAct.SIGNED] == [
        summary.draft.text,
        "The payer confirmed it.",
    ]


async def test_trail_rebuilds_every_version_of_a_case(house: House) -> None:
    await house.rang(house.known(value=BIG))
    case = await house.taken("ana")
    case = (await house.cases.close(hand(case, "ana"), GENUINE)).case
    case = await house.cases.refuse(hand(case, "ben"), "no")
    case = (await house.cases.close(hand(case, "ana"), FRAUD)).case
    state: dict[str, Any] = {}
    for line in await house.reading.trail(case.id):
        assert {name: state.get(name) for name in line.before} == line.before
        for name in line.before.keys() - line.after.keys():
            del state[name]
        state |= line.after
    stored = msgspec.json.decode(msgspec.json.encode(case))
    assert {name: state[name] for name in stored if name in state} == {
        name: value for name, value in stored.items() if name not in ("id", "version", "updated_at")
    }


def test_case_ids_are_read_back_as_written(ids: IdFactory) -> None:
    case_id = ids.uuid()
    assert case_text(case_id).startswith("case_")
    assert parse_case(case_text(case_id)) == case_id
    with pytest.raises(ValueError):
        parse_case("pi_" + case_text(case_id)[5:])
    assert CASE_PAYMENTS_MAX >= INCLUDED_MAX
