"""``POST /v2/risk/assess`` past the framework: a judgement is asked for in the middle of somebody's payment, so it is hot.

Only plain calls come this way: JSON of a known, small length without an ``Idempotency-Key``. All others go the way of every
route, and so does what FastAPI documents; orders, answers and errors are the same on both.
"""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from tongbao.core.ids import uuid_text
from tongbao.parties.schema import Permission
from tongbao.privacy.service.screening import refuse_card_data
from tongbao.risk.service.assessor import Asked
from tongbao.web.api.access import Gate
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import Calls, failed, tree_of
from tongbao.web.api.risk_look_models import Assessment
from tongbao.web.api.risk_look_orders import Assess
from tongbao.web.api.risk_looks import assessed
from tongbao.web.api.risk_sides import Services
from tongbao.web.api.v1.requests import JSON_TYPE

PATH = "/v2/risk/assess"
BODY_BYTES_MAX = 16_384


class HotAssess:
    """Answers judgements; what is no plain call is handed to ``app``. ``headers`` go with every answer."""

    def __init__(
        self, app: FastAPI, gate: Gate, calls: Calls, services: Services, headers: dict[str, str]
    ) -> None:
        self._app = app
        self._gate = gate.scope(Permission.RISK_WRITE)
        self._calls = calls
        self._services = services
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            request = Request(dict(scope, app=self._app), receive)
            if _is_plain(request):
                await (await self._answered(request))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        try:
            found = await self._assess(request)
            response = Response(found.model_dump_json(), media_type=JSON_TYPE)
        except Exception as error:
            response = await failed(request, error)
        response.headers.update(self._headers)
        response.headers["Request-Id"] = uuid_text("req", self._calls.ids.uuid())
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _assess(self, request: Request) -> Assessment:
        """Let the caller in, read the order, judge, and return the answer once it is on disk."""
        body = await request.body()
        refuse_card_data(tree_of(request, body), allowed=frozenset())
        scope = await self._gate(request)
        who = Caller(scope.live, scope.actor, scope)
        try:
            order = Assess.model_validate_json(body)
        except ValidationError as error:
            wrong = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            raise RequestValidationError(wrong) from None
        ids, now = self._calls.ids, self._calls.clock.now()
        subject_id = await assessed(who, order, self._services, ids)
        signals = order.signals(ids.uuid(), now, (who.book, who.live), subject_id)
        asked = Asked(signals=signals, is_proved=order.is_proved, can_step_up=order.can_step_up)
        return Assessment.of(await self._services.risk.assessing.assess(asked))


def _is_plain(request: Request) -> bool:
    """Return whether a call is JSON of a small length that is told, with nothing in the query, asked once."""
    headers = request.headers
    length = headers.get("content-length", "")
    return (
        not request.scope["query_string"]
        and headers.get("content-type", "").partition(";")[0].strip().lower() == JSON_TYPE
        and length.isdigit()
        and 0 < int(length) <= BODY_BYTES_MAX
        and "idempotency-key" not in headers
    )
