"""The review queue: what to look at next, what one has, what waits for a second person, what was closed lately."""

from fastapi import Request, Response

from tongbao.core.errors import NotFound
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.schema.cases import CaseScope, CaseState
from tongbao.risk.service import case_showing
from tongbao.risk.service.case_reading import Wanted
from tongbao.web.ops.entering import visitor_of
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed, language_of

SHOWN = 50
CLOSED_SHOWN = 10
TONES = {"low": "", "medium": "", "high": "warn", "critical": "er"}


class QueuePage:
    """Answers the page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reading = desk.house.risk.case_reading

    async def show(self, request: Request) -> Response:
        """Answer the queue of a mode."""
        return await self._page(request, await self._desk.mode(request), None)

    async def take_next(self, request: Request) -> Response:
        """Give the first case of the queue to whoever asks, and go to it."""
        mode = await self._desk.mode(request)

        async def take(typed: Typed) -> str:
            typed.require(OperatorPermission.CASES_DECIDE)
            case = await self._desk.house.risk.cases.take_next(typed.actor, CaseScope(live=MODES[mode]))
            if case is None:
                raise NotFound("queue_empty", "nobody waits")
            return f"/ops/risk/cases/{case.name}?said=taken"

        async def again(failed: Failed) -> Response:
            return await self._page(request, mode, failed)

        return await self._desk.act(await self._desk.read(request), take, again)

    async def _page(self, request: Request, mode: str, failed: Failed | None) -> Response:
        scope, reading = CaseScope(live=MODES[mode]), self._reading
        language = language_of(request)
        actor = visitor_of(request).actor
        others = await reading.page(Wanted(scope, CaseState.ASSIGNED), limit=SHOWN)
        context = {
            "mode": mode,
            "queue": await reading.queue(scope, SHOWN),
            "mine": await reading.page(Wanted(scope, CaseState.ASSIGNED, actor), limit=SHOWN),
            "asked": await reading.waiting(scope, actor, SHOWN),
            "others": [each for each in others if each.assignee != actor],
            "closed": await reading.page(Wanted(scope, CaseState.CLOSED), limit=CLOSED_SHOWN),
            "words": lambda case: case_showing.case_words(case, language),
            "tones": TONES,
            "shown_max": SHOWN,
        }
        return self._desk.page(request, Shown("risk_cases.html", "cases", context, failed))
