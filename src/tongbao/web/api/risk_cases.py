"""``/v2/risk/cases``: the queue, cases, their evidence, whom they met, their summaries. Changes nothing but who has a case."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tongbao.risk.schema.cases import ACTOR_CHARS_MAX, CaseFile, CaseScope, CaseState
from tongbao.risk.service.case_reading import PAGE_MAX, CaseReading, Wanted
from tongbao.risk.service.case_showing import picture_of
from tongbao.risk.service.cases import Cases
from tongbao.web.api import risk_case_models as models
from tongbao.web.api import risk_case_views as views
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.policies import Language, Svg
from tongbao.web.api.risk_sides import Side
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, path_id

CASE_PREFIX = "case"
Assignee = Annotated[
    str | None, Query(max_length=ACTOR_CHARS_MAX, description="Only of this person; `me` is whoever asks.")
]


def add_lists_of_cases(routes: APIRouter, side: Side, reading: CaseReading) -> None:
    """Add the lists; they come before one case, whose path would take their names."""

    @routes.get(f"{side.path}/cases")
    async def cases(
        who: Annotated[Caller, side.reads],
        state: Annotated[CaseState | None, Query(description="Only those in this state.")] = None,
        assignee: Assignee = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Cases:
        """List cases, newest first; go on with `ending_before` = the last id."""
        person = who.actor if assignee == "me" else assignee
        before = cursor(CASE_PREFIX, ending_before, "ending_before")
        found = await reading.page(Wanted(scope_of(who), state, person), before, _asked(limit))
        return _page(found, limit)

    @routes.get(f"{side.path}/cases/queue")
    async def queue(who: Annotated[Caller, side.reads], limit: Limit = PAGE_SIZE) -> models.Queue:
        """List the cases that nobody has, in the order in which they are taken."""
        found = await reading.queue(scope_of(who), limit)
        return models.Queue(data=[models.QueuedCase.queued(each) for each in found])

    @routes.get(f"{side.path}/cases/waiting")
    async def waiting(who: Annotated[Caller, side.reads], limit: Limit = PAGE_SIZE) -> models.Cases:
        """List the cases that wait for a second person, which whoever asks may be."""
        return _page(await reading.waiting(scope_of(who), who.actor, _asked(limit)), limit)


def add_taking(routes: APIRouter, side: Side, acts: Acts, cases: Cases) -> None:
    """Add the route by which an analyst gets the next case."""

    @routes.post(f"{side.path}/cases/take_next", response_model=models.Taken)
    async def take_next(request: Request, who: Annotated[Caller, side.decides]) -> Response:
        """Take the first case of the queue. Two who ask at once never get the same."""

        async def work() -> CaseFile | None:
            return await cases.take_next(who.actor, scope_of(who))

        return await acts.run(
            request,
            who.book,
            work,
            lambda made: rendered(models.Taken(case=None if made is None else models.Case.of(made))),
        )


def add_case(routes: APIRouter, side: Side, reading: CaseReading) -> None:
    """Add what is read of one case."""

    @routes.get(f"{side.path}/cases/{{case}}")
    async def one(who: Annotated[Caller, side.reads], case: IdPath) -> models.WholeCase:
        """Return a case, `case_…`, with its payments."""
        case_id = path_id(CASE_PREFIX, case)
        found = await reading.one(case_id, who.book_id)
        return models.WholeCase.whole(found, await reading.payments(case_id, who.book_id))

    @routes.get(f"{side.path}/cases/{{case}}/timeline")
    async def timeline(who: Annotated[Caller, side.reads], case: IdPath) -> views.Timeline:
        """Return the evidence in order of time: payments, decisions, proofs, ends, alerts, labels, acts."""
        return views.Timeline.of(await reading.timeline(path_id(CASE_PREFIX, case), who.book_id))

    @routes.get(f"{side.path}/cases/{{case}}/graph")
    async def graph(who: Annotated[Caller, side.reads], case: IdPath) -> views.Graph:
        """Return whom the entity of a case met, two hops far."""
        case_id = path_id(CASE_PREFIX, case)
        found = await reading.one(case_id, who.book_id)
        web = await reading.neighborhood(case_id, who.book_id)
        zh, en = (picture_of(found, web, language) for language in views.LANGUAGES)
        return views.Graph.of(web, views.picture_words(zh, en))

    @routes.get(f"{side.path}/cases/{{case}}/graph.svg", response_class=Svg)
    async def picture(
        who: Annotated[Caller, side.reads], case: IdPath, language: Language = "en"
    ) -> Response:
        """Draw whom the entity of a case met."""
        case_id = path_id(CASE_PREFIX, case)
        found = await reading.one(case_id, who.book_id)
        web = await reading.neighborhood(case_id, who.book_id)
        return Svg(picture_of(found, web, language).svg)

    @routes.get(f"{side.path}/cases/{{case}}/summary")
    async def summary(
        who: Annotated[Caller, side.reads], case: IdPath, language: Language = "en"
    ) -> views.SummaryShown:
        """Return the summary as it would be drafted now, and what was signed."""
        found = await reading.summary(path_id(CASE_PREFIX, case), language, who.book_id)
        return views.SummaryShown.of(found, language)


def scope_of(who: Caller) -> CaseScope:
    """Return whose cases are meant."""
    return CaseScope(who.live, who.book_id)


def case_id_of(text: str) -> UUID:
    """Return the id in a path; raise NotFound ``resource_missing``."""
    return path_id(CASE_PREFIX, text)


def _asked(limit: int) -> int:
    """Return how many cases tell whether there are more than ``limit``, as far as a page goes."""
    return min(limit + 1, PAGE_MAX)


def _page(found: list[CaseFile], limit: int) -> models.Cases:
    """Return a page of cases; a full one of the longest may have others behind it."""
    shown = [models.Case.of(each) for each in found[:limit]]
    return models.Cases(data=shown, has_more=len(found) > limit or len(found) == PAGE_MAX)
