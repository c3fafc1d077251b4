"""The scoring process: one memory of everybody's history, and judgements for the processes that take payments.

``POST /judgements`` answers sealed questions of this house (``risk.adapters.judge_seal``), ``GET /healthz`` says that it is
there and how far it has read, ``GET /metrics`` counts. It listens on loopback, and nothing of the public interfaces is here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tongbao.core import metrics as prometheus
from tongbao.core.config import Settings
from tongbao.core.errors import AppError, InvalidRequest, NotFound, Unavailable
from tongbao.core.logs import get_logger
from tongbao.core.metrics import Metrics
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.schema.scoring import (
    HEALTH_PATH,
    JUDGED,
    JUDGEMENTS_PATH,
    MEDIA_TYPE,
    REQUEST_BYTES_MAX,
    SEAL_HEADER,
    answers_bytes,
)
from tongbao.risk.service import compiling
from tongbao.risk.service.answering import Answering, too_large
from tongbao.risk.service.judge_lines import open_answering
from tongbao.risk.service.risk import Risk
from tongbao.web import errors
from tongbao.web.runtime import Runtime

METRICS_PATH = "/metrics"
OPEN_MAX = 256
"""Requests that are read at once; more are told to come back. A question is judged in well under a millisecond."""
BODY_S_MAX = 2.0
JSON = "application/json"

_log = get_logger("scoring")


@asynccontextmanager
async def open_scoring(runtime: Runtime, settings: Settings) -> AsyncIterator["Scoring"]:
    """Open risk control alone over an open database, its memory up to date before the first question.

    Raises NotPermitted ``key_file_exposed`` and what reading the state raises.
    """
    database, clock, ids = runtime.database, runtime.clock, runtime.ledger.ids
    secrets_dir = settings.vault_dir or settings.data_dir / "vault"
    decisions = Decisions(database, clock, ids, {compiling.POLICY: compiling.checker()})
    risk = Risk(database, clock, ids, decisions.policies, decisions.log, runtime.metrics)
    await risk.prepare()
    async with risk:
        answering = open_answering(risk.assessor, secrets_dir, runtime.metrics)
        yield Scoring(risk, answering, runtime.metrics)


class Scoring:
    """The ASGI application of the scoring process."""

    def __init__(self, risk: Risk, answering: Answering, metrics: Metrics) -> None:
        self._risk = risk
        self._answering = answering
        self._metrics = metrics
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error is told in the form that all interfaces of the house have."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answered(request)
        except ClientDisconnect:
            return
        except AppError as error:
            told = errors.answer(error)
            response = Response(msgspec.json.encode(told.body), told.status, told.headers, JSON)
        except Exception as error:
            _log.error("scoring_broken", code=type(error).__name__, exc_info=error)
            told_body = errors.body_of("internal", errors.INTERNAL_DETAIL, {})
            response = Response(msgspec.json.encode(told_body), 500, media_type=JSON)
        await response(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        match request.method, request.url.path:
            case "POST", path if path == JUDGEMENTS_PATH:
                return await self._judged(request)
            case "GET", path if path == HEALTH_PATH:
                told = {"status": "ok", "position": self._risk.following.position}
                return Response(msgspec.json.encode(told), media_type=JSON)
            case "GET", path if path == METRICS_PATH:
                return Response(self._metrics.render(), media_type=prometheus.CONTENT_TYPE)
        raise NotFound("route_unknown", f"there is {JUDGEMENTS_PATH} to POST and {HEALTH_PATH} to GET")

    async def _judged(self, request: Request) -> Response:
        """Return the sealed answers to sealed questions.

        Raises Unavailable ``scoring_busy``, InvalidRequest ``body_incomplete`` and what ``Answering.admit`` raises.
        """
        if self._open >= OPEN_MAX:
            raise Unavailable("scoring_busy", f"{OPEN_MAX} requests are being read", retry_after_s=0.1)
        self._open += 1
        try:
            body = await _body(request)
        finally:
            self._open -= 1
        seal = request.headers.get(SEAL_HEADER, "")
        answers = [self._answer(each) for each in self._answering.admit(seal, body)]
        told = answers_bytes(answers)
        return Response(told, 200, {SEAL_HEADER: self._answering.sealed(seal, 200, told)}, MEDIA_TYPE)

    def _answer(self, question: bytes) -> tuple[int, bytes]:
        answer = self._answering.answer(question)
        return errors.answer(answer.error).status if answer.error else JUDGED, answer.body


async def _body(request: Request) -> bytes:
    """Return the whole body, which is short and comes at once; what is longer is not read to its end."""
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > REQUEST_BYTES_MAX:
        raise too_large()
    body = b""
    try:
        async with asyncio.timeout(BODY_S_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > REQUEST_BYTES_MAX:
                    raise too_large()
    except TimeoutError:
        raise InvalidRequest("body_incomplete", f"questions come whole within {BODY_S_MAX:.0f} s") from None
    return body
