"""What every request of ``/v2`` goes through, whatever it asks: a size, a request id, one form of failure, a key.

A route made here reads at most its share of a body, as JSON where it is not raw, and refuses card numbers in it.
Every answer, a failure too, names its request (``Request-Id``). A write may carry an ``Idempotency-Key``: its first
answer is kept, and a repeat gets it again with ``Idempotent-Replayed: true``.
"""

import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.core.requests.asks import Ask, Rendered, ask_digest
from tongbao.core.requests.running import Requests, kept_until
from tongbao.parties.errors import NotAuthenticated
from tongbao.parties.schema import Scope
from tongbao.payments.schema.orders import Done, View
from tongbao.privacy.service.screening import refuse_card_data
from tongbao.web.api.v1.requests import JSON_TYPE, fingerprint, idempotency_key

BODY_BYTES_MAX = 64 * 1024
CHALLENGE = 'Bearer realm="/v2"'
REPLAYED = "Idempotent-Replayed"
CSRF_CODE = "csrf_invalid"

Made = TypeVar("Made")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Calls:
    """Makes routers whose routes behave as the module says, and runs what their handlers write."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._requests = Requests(database, clock)
        self.clock = clock
        self.ids = ids

    def router(
        self,
        prefix: str,
        tag: str,
        *,
        body_bytes_max: int = BODY_BYTES_MAX,
        raw: bool = False,
        streamed: bool = False,
        secret_fields: frozenset[str] = frozenset(),
    ) -> APIRouter:
        """Return a router.

        ``raw`` leaves queries and bodies as they come: neither JSON, nor checked. ``streamed`` does not even read the body:
        the route reads its stream, within a limit of its own. ``secret_fields`` are not searched for card numbers: any
        password may be chosen.
        """
        ids = self.ids

        class Route(APIRoute):
            """A route of this router."""

            def get_route_handler(self) -> Handler:
                """Return the framework's handler inside of ours."""
                inner = super().get_route_handler()

                async def handle(request: Request) -> Response:
                    request.state.request_id = uuid_text("req", ids.uuid())
                    try:
                        if streamed:
                            response = await inner(request)
                        else:
                            body = await _body(request, body_bytes_max)
                            if not raw:
                                self._check(request, body)
                            response = await inner(Request(request.scope, _once(body)))
                    except Exception as error:
                        response = await failed(request, error)
                    response.headers["Request-Id"] = request.state.request_id
                    response.headers.setdefault("Cache-Control", "no-store")
                    return response

                return handle

            def _check(self, request: Request, body: bytes) -> None:
                """Refuse what is no parameter of this route, and note the digest of what is."""
                if not _names(self.dependant).issuperset(request.query_params):
                    raise InvalidRequest("parameter_unknown", "the query holds a parameter that is not known")
                tree = tree_of(request, body)
                if tree and self.body_field is None:
                    raise InvalidRequest("body_invalid", "this takes no body")
                refuse_card_data(tree, allowed=secret_fields)
                request.state.fingerprint = fingerprint(tree)

        return APIRouter(prefix=prefix, tags=[tag], route_class=Route)

    def ask(
        self, request: Request, render: Callable[[Any], Rendered], *, moves_money: bool = False
    ) -> Ask | None:
        """Return a write as one that may be repeated, where it carries an ``Idempotency-Key``.

        ``render`` puts the result into words inside the commit. The key counts for this method and path alone, and
        the parameters are told apart by their digest. Raises InvalidRequest ``idempotency_key_invalid``.
        """
        key = idempotency_key(request.headers.get("idempotency-key"))
        if key is None:
            return None
        refuse_card_data({"Idempotency-Key": key}, allowed=frozenset())
        return Ask(
            digest=ask_digest(request.method, request.url.path, key),
            fingerprint=request.state.fingerprint,
            key=key,
            request_id=request.state.request_id,
            render=render,
            kept_until=kept_until(self.clock.now(), moves_money=moves_money),
        )

    async def write(
        self,
        request: Request,
        scope: Scope,
        work: Callable[[Connection], Awaitable[Made]],
        render: Callable[[Made], Rendered],
        *,
        kept: Callable[[Made], Rendered] | None = None,
    ) -> Response:
        """Do ``work`` in one transaction and answer it, once for each key.

        ``kept`` renders what repeats get, where that must not be all that the first caller gets: a secret is told
        once and never stored in clear. Raises what ``work`` and ``Requests.run`` raise.
        """
        made: list[Made] = []

        async def noted(connection: Connection) -> Made:
            made[:] = [await work(connection)]
            return made[0]

        ask = self.ask(request, kept or render)
        if ask is None:
            async with self._database.transaction() as connection:
                return answer(render(await work(connection)))
        rendered, is_replay = await self._requests.run(scope.book_id, ask, noted)
        return answer(rendered if is_replay else render(made[0]), is_replay=is_replay)


def answer(rendered: Rendered, *, is_replay: bool = False) -> Response:
    """Return a rendered answer as it goes out."""
    headers = {REPLAYED: "true"} if is_replay else {}
    return Response(rendered.body, rendered.status, headers, JSON_TYPE)


def replied(done: Done[View], render: Callable[[View], Rendered]) -> Response:
    """Return the answer to a write: the one that is kept, or one rendered now where no key was sent."""
    rendered = done.rendered
    if rendered is None:
        assert done.view is not None
        rendered = render(done.view)
    return answer(rendered, is_replay=done.is_replay)


def rendered(model: BaseModel, status: int = 200) -> Rendered:
    """Return a model as an answer that can be kept."""
    return Rendered(status, model.model_dump_json().encode())


def _names(dependant: Dependant) -> set[str]:
    """Return the parameters of a query that a route knows, those of what it depends on among them."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(_names(inner) for inner in dependant.dependencies))


async def _body(request: Request, bytes_max: int) -> bytes:
    """Return the body, reading no more of it than is allowed."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > bytes_max:
                raise LimitExceeded("body_too_large", f"a body has at most {bytes_max} bytes")
    except ClientDisconnect as error:
        raise InvalidRequest("body_incomplete", "the request ended before its body did") from error
    return bytes(body)


def tree_of(request: Request, body: bytes) -> dict[str, Any]:
    """Return what a body says; one that is not there says the same as an empty object.

    Raises InvalidRequest ``content_type_wrong`` and ``body_invalid``.
    """
    if not body:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON_TYPE:
        raise InvalidRequest("content_type_wrong", f"send {JSON_TYPE}")
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest("body_invalid", "the body is not JSON") from error
    if not isinstance(tree, dict):
        raise InvalidRequest("body_invalid", "the body is a JSON object")
    return tree


def _once(body: bytes) -> Callable[[], Awaitable[dict[str, object]]]:
    """Return a channel from which a body that was read can be read again."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def failed(request: Request, error: Exception) -> Response:
    """Return a failure in the house's one form, as ``web.api.answers`` has it, with headers that help a client."""
    handlers = request.app.exception_handlers
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    if handler is None:
        raise error
    response: Response = await handler(request, error)
    if isinstance(error, NotAuthenticated) and error.code != CSRF_CODE:
        response.status_code = 401
        response.headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, AppError) and "retry_after_s" in error.facts:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.facts["retry_after_s"])))
    return response
