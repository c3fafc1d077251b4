"""What analysts do with a case: note, hand over, add payments, sign, close with four eyes.

A key works a case that it took like a person and closes it where one person may do so alone; what takes two people (a
freeze, releasing much), agreeing, refusing and signing take people who are signed in: a key may be held by anybody. Who
closes as fraud may have the entity of the case frozen; a merchant within what its people may freeze, otherwise the case is
not closed.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Request, Response

from tongbao.core.errors import Conflict
from tongbao.risk.schema.cases import CaseFile
from tongbao.risk.schema.freezes import FreezeOrder
from tongbao.risk.service.case_reading import CaseReading
from tongbao.risk.service.cases import Cases, Closed, Hand
from tongbao.web.api import risk_case_models as models
from tongbao.web.api import risk_case_orders as orders
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.risk_cases import case_id_of
from tongbao.web.api.risk_freezes import Freezers
from tongbao.web.api.risk_sides import Side, is_person, named_in_book, person_of
from tongbao.web.api.shapes import IdPath

ME = "me"


class Analysts(NamedTuple):
    """What acts on cases reach."""

    cases: Cases
    reading: CaseReading
    freezers: Freezers


def add_work(routes: APIRouter, side: Side, acts: Acts, cases: Cases) -> None:
    """Add what is done with a case before it is closed."""

    @routes.post(f"{side.path}/cases/{{case}}/notes", response_model=models.Case)
    async def note(
        request: Request, who: Annotated[Caller, side.decides], case: IdPath, order: orders.NoteOrder
    ) -> Response:
        """Write a note into the trail, in any state."""
        return await _done(acts, request, who, lambda: cases.note(hand_of(who, case, order), order.text))

    @routes.post(f"{side.path}/cases/{{case}}/assign", response_model=models.Case)
    async def assign(
        request: Request, who: Annotated[Caller, side.decides], case: IdPath, order: orders.AssignOrder
    ) -> Response:
        """Give a case to somebody, whoever has it now, or put it back into the queue."""

        async def work() -> CaseFile:
            hand = hand_of(who, case, order)
            if order.assignee is None:
                return await cases.unassign(hand)
            return await cases.assign(hand, who.actor if order.assignee == ME else order.assignee)

        return await _done(acts, request, who, work)

    @routes.post(f"{side.path}/cases/{{case}}/include", response_model=models.Case)
    async def include(
        request: Request, who: Annotated[Caller, side.decides], case: IdPath, order: orders.IncludeOrder
    ) -> Response:
        """Add judged payments to the own case; those that it holds already stay."""
        return await _done(acts, request, who, lambda: cases.include(hand_of(who, case, order), order.ids()))

    @routes.post(f"{side.path}/cases/{{case}}/sign", response_model=models.Case)
    async def sign(
        request: Request, who: Annotated[Caller, side.decides], case: IdPath, order: orders.SignOrder
    ) -> Response:
        """Sign the summary, as drafted or edited."""

        async def work() -> CaseFile:
            hand = hand_of(who, case, order)._replace(actor=person_of(who))
            return await cases.sign_summary(hand, order.text, order.language)

        return await _done(acts, request, who, work)


def add_closing(routes: APIRouter, side: Side, acts: Acts, analysts: Analysts) -> None:
    """Add how a case is closed: alone, or by two people."""
    cases = analysts.cases

    @routes.post(f"{side.path}/cases/{{case}}/close", response_model=models.Case)
    async def close(
        request: Request, who: Annotated[Caller, side.decides], case: IdPath, order: orders.CloseOrder
    ) -> Response:
        """Close the own case, or ask for a second person where one is needed: the state is then `waiting`."""

        async def work() -> CaseFile:
            disposal = order.disposal()
            if disposal.freeze:
                await _check_freezable(analysts, who, case)
            return await _frozen(analysts, who, await cases.close(hand_of(who, case, order), disposal))

        return await _done(acts, request, who, work)

    @routes.post(f"{side.path}/cases/{{case}}/approve", response_model=models.Case)
    async def approve(
        request: Request, who: Annotated[Caller, side.decides], case: IdPath, order: orders.VersionOrder
    ) -> Response:
        """Agree, as the second person, to how a case is to be closed, and close it."""

        async def work() -> CaseFile:
            person_of(who)
            return await _frozen(analysts, who, await cases.approve(hand_of(who, case, order)))

        return await _done(acts, request, who, work)

    @routes.post(f"{side.path}/cases/{{case}}/refuse", response_model=models.Case)
    async def refuse(
        request: Request, who: Annotated[Caller, side.decides], case: IdPath, order: orders.RefuseOrder
    ) -> Response:
        """Give a waiting case back to whoever asked; by that person, take the request back."""

        async def work() -> CaseFile:
            person_of(who)
            return await cases.refuse(hand_of(who, case, order), order.why)

        return await _done(acts, request, who, work)


def hand_of(who: Caller, case: str, order: orders.VersionOrder) -> Hand:
    """Return who acts on which version of which case."""
    return Hand(case_id_of(case), who.actor, order.version, who.book_id, is_person(who))


async def _done(
    acts: Acts, request: Request, who: Caller, work: Callable[[], Awaitable[CaseFile]]
) -> Response:
    return await acts.run(request, who.book, work, lambda made: rendered(models.Case.of(made)))


async def _check_freezable(analysts: Analysts, who: Caller, case: str) -> None:
    """Raise NotPermitted ``freeze_not_yours`` where a merchant's people may not freeze the entity of a case."""
    found = await analysts.reading.one(case_id_of(case), who.book_id)
    if who.scope is not None and found.entity is not None:
        await analysts.freezers.own.check(who.book, (found.entity, found.key), who.live)


async def _frozen(analysts: Analysts, who: Caller, closed: Closed) -> CaseFile:
    """Freeze the entity of a case that was closed so; one that is frozen already stays so."""
    case = closed.case
    if closed.freeze and case.entity is not None:
        reason = f"{case.name} was closed as fraud"
        order = FreezeOrder(live=case.live, entity=case.entity, key=case.key, reason=reason)
        try:
            await analysts.freezers.freezing.freeze(order, named_in_book(who, who.actor))
        except Conflict as error:
            if error.code != "already_frozen":
                raise
    return case
