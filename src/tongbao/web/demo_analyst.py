"""The analyst of the demonstration: decides the payments that risk control holds, some minutes after they were held.

It works through the product's own cases as people do: takes one, looks at it for a while, closes it; what two people have to agree
to a colleague looks at afterwards. It knows of a payer of the city whether it was a thief. What it knows nothing of, and
the newest cases, stay for whoever looks at the console.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from tongbao.core.clock import Clock, SteppedClock
from tongbao.core.errors import AppError
from tongbao.core.ids import uuid_text
from tongbao.core.logs import get_logger
from tongbao.parties.schema import PERSON_PREFIX, OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.people import People
from tongbao.payments.schema.intents import Intent
from tongbao.risk.schema.cases import (
    CaseFile,
    CasePayment,
    CaseScope,
    CaseState,
    Disposal,
    Disposition,
    HeldAct,
)
from tongbao.risk.service.case_reading import PAGE_MAX, CaseReading, Wanted
from tongbao.risk.service.cases import Cases, Hand

JOB = "demo"
ANALYST, COLLEAGUE = "risk.one@tongbao.example", "risk.two@tongbao.example"
"""Two of the demonstration's people."""
ROUND_S = 20.0
KEPT_OPEN = 3
"""So many of the newest cases nobody takes: who opens the console finds something to decide."""
PAGES_MAX = 10
KNOWN_MAX = 10_000
WAIT_MINUTES_MIN, WAIT_MINUTES_SPAN = 3, 20
LOOK_S_MIN, LOOK_S_SPAN = 30, 90
DOUBT_ONE_IN = 10
"""Of so many good payments one is given back: the payer could not be reached."""
NOTES = {
    Disposition.FRAUD: "The holder of the account did not make this payment. 账户持有人否认该笔付款。",
    Disposition.GENUINE: "The payer confirmed this payment. 付款人已确认该笔付款。",
    Disposition.INCONCLUSIVE: "The payer could not be reached. 未能联系到付款人。",
}
Pause = Callable[[datetime], Awaitable[None]]
"""Lets it be an instant for whoever works."""

_log = get_logger("demo")


class Analysts(NamedTuple):
    """Who decides and who agrees where two are needed, by how trails name them."""

    analyst: str
    colleague: str


Who = Callable[[], Awaitable[Analysts]]


async def analysts_of(people: People) -> Analysts:
    """Return the two of the demonstration's people who decide; raise UnknownPerson where one of them left."""
    operator = operator_of_job(JOB, frozenset(OperatorPermission))
    found = [await people.staff_member(operator, email) for email in (ANALYST, COLLEAGUE)]
    return Analysts(*(f"person:{uuid_text(PERSON_PREFIX, each.person_id)}" for each in found))


class DemoAnalyst:
    """Works as long as the people of the demonstration are there. One object a process; ``clock`` is that of the cases."""

    def __init__(self, cases: Cases, reading: CaseReading, clock: Clock, who: Who) -> None:
        self._cases = cases
        self._reading = reading
        self._clock = clock
        self._who = who
        self._thefts: dict[str, bool] = {}

    def hear(self, payment: str, *, is_theft: bool) -> None:
        """Learn who made a payment; ``payment`` is the intent's reference. The oldest are forgotten."""
        self._thefts[payment] = is_theft
        while len(self._thefts) > KNOWN_MAX:
            del self._thefts[next(iter(self._thefts))]

    async def round(self) -> None:
        """Decide what is due where the clock is stepped: every case takes its time of its own."""
        await asyncio.create_task(self._work(self._step), name="demo analyst")

    async def live(self) -> None:
        """Decide what is due, one case after the other, for ever; what fails is told and tried again."""
        while True:
            try:
                await self._work(self._sleep)
            except AppError as error:
                _log.warning("demo_analyst_failed", code=error.code, detail=error.detail)
            await asyncio.sleep(ROUND_S)

    async def _work(self, pause: Pause) -> None:
        people, scope = await self._who(), CaseScope(live=False)
        for case in await self._reading.waiting(scope, people.colleague):
            if case.request is not None and case.request.by == people.analyst:
                await self._cases.approve(Hand(case.id, people.colleague, case.version))
        for case in await self._held(scope):
            payments = await self._reading.payments(case.id)
            if self._is_due(payments):
                await self._decide(case, look_of(payments[-1]), people.analyst, pause)

    async def _held(self, scope: CaseScope) -> list[CaseFile]:
        """Return the open cases that hold money back, oldest first, without those that are kept open."""
        found: list[CaseFile] = []
        before = None
        for _ in range(PAGES_MAX):
            page = await self._reading.page(Wanted(scope, CaseState.OPEN), before)
            found += [each for each in page if any(stake.held for stake in each.stakes)]
            if len(page) < PAGE_MAX:
                break
            before = page[-1].id
        return found[KEPT_OPEN:][::-1]

    def _is_due(self, payments: Sequence[CasePayment]) -> bool:
        """Return whether everything that waits is known, and was held long enough ago."""
        now = self._clock.now()
        return self._is_known(payments) and all(
            each.at + wait_of(each) <= now for each in payments if each.is_held
        )

    def _is_known(self, payments: Sequence[CasePayment]) -> bool:
        held = [each for each in payments if each.is_held]
        return bool(held) and all(_named(each) in self._thefts for each in held)

    async def _decide(self, case: CaseFile, look: timedelta, actor: str, pause: Pause) -> None:
        """Take a case, look at it for a while, close it. Where somebody was quicker it is theirs."""
        try:
            await self._cases.assign(Hand(case.id, actor, case.version), actor)
        except AppError as error:
            _log.info("demo_case_went_on", case=case.name, code=error.code)
            return
        try:
            await pause(self._clock.now() + look)
        except asyncio.CancelledError:
            await asyncio.shield(self._end(case.id, actor, is_looked_at=False))
            raise
        await self._end(case.id, actor)

    async def _end(self, case_id: UUID, actor: str, *, is_looked_at: bool = True) -> None:
        """Close a case that the actor has as it is now; put it back where it was not looked at, or holds what nobody knows."""
        case = await self._reading.one(case_id)
        if case.state is not CaseState.ASSIGNED or case.assignee != actor:
            return
        payments, hand = await self._reading.payments(case_id), Hand(case_id, actor, case.version)
        if not is_looked_at or not self._is_known(payments):
            await self._cases.unassign(hand)
            return
        thefts = {each.event_id: self._thefts.get(_named(each)) for each in payments}
        await self._cases.close(hand, disposal_of(payments, thefts))

    async def _sleep(self, until: datetime) -> None:
        await asyncio.sleep(max(0.0, (until - self._clock.now()).total_seconds()))

    async def _step(self, until: datetime) -> None:
        assert isinstance(self._clock, SteppedClock)
        self._clock.of_own(until)


def disposal_of(payments: Sequence[CasePayment], thefts: Mapping[UUID, bool | None]) -> Disposal:
    """Return how a case is closed; ``thefts`` tells by look who made a payment, None where nobody knows.

    A theft is refused; of good payments most go on, and one in ``DOUBT_ONE_IN`` is given back without being called a theft.
    """
    unlabelled = [each for each in payments if each.is_fraud is None]
    fraud = tuple(each.event_id for each in unlabelled if thefts[each.event_id])
    good = [each for each in unlabelled if thefts[each.event_id] is False]
    genuine = tuple(each.event_id for each in good if not is_doubted(each))
    disposition = Disposition.GENUINE
    if fraud or any(each.is_fraud for each in payments):
        disposition = Disposition.FRAUD
    elif len(genuine) < len(good):
        disposition = Disposition.INCONCLUSIVE
    return Disposal(
        disposition=disposition,
        fraud=fraud,
        genuine=genuine,
        on_held=HeldAct.REJECT,
        note=NOTES[disposition],
    )


def is_doubted(payment: CasePayment) -> bool:
    """Return whether the analyst does not believe in a payment, however good it is: one in ``DOUBT_ONE_IN``, always the same."""
    return payment.subject_id.int % DOUBT_ONE_IN == 0


def wait_of(payment: CasePayment) -> timedelta:
    """Return how long after it was held a payment is looked at, always the same of one payment."""
    return timedelta(minutes=WAIT_MINUTES_MIN + payment.subject_id.int % WAIT_MINUTES_SPAN)


def look_of(payment: CasePayment) -> timedelta:
    """Return how long somebody looks at a case whose last payment this is."""
    return timedelta(seconds=LOOK_S_MIN + payment.subject_id.int % LOOK_S_SPAN)


def _named(payment: CasePayment) -> str:
    return uuid_text(Intent.PREFIX, payment.subject_id)
