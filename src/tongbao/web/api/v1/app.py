"""The ASGI application of ``/v1``. Mounted below that path; knows nothing of the framework around it.

Order of checks, the same for every route: the path, who is asking, how often, what the key may do, whether the
request can be read, card numbers in the wrong place, the parameters. Only then is anything done. Every failure is an
error object, and every answer names its request.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

import msgspec

from tongbao.core.errors import AppError, InvalidRequest, InvariantBroken, NotFound
from tongbao.core.ids import uuid_text
from tongbao.core.logs import get_logger
from tongbao.parties.errors import PermissionMissing
from tongbao.parties.schema import Permission, Scope
from tongbao.web.api.v1 import errors, expansion, requests
from tongbao.web.api.v1.forms import BODY_BYTES_MAX, Params, malformed, parse_form
from tongbao.web.api.v1.limits import Limits
from tongbao.web.api.v1.loading import Loading
from tongbao.web.api.v1.openapi import document
from tongbao.web.api.v1.ports import Services
from tongbao.web.api.v1.renderings.bases import Tree, encode
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routing import EXPAND, Reply, Route, Routes
from tongbao.web.api.v1.table import ROUTES

OPENAPI_PATH = "/openapi.json"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[str, str]

_log = get_logger(__name__)


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: Headers


class Api:
    """The application over its services."""

    def __init__(self, services: Services, limits: Limits | None = None) -> None:
        self._services = services
        self._limits = limits or Limits()
        self._routes = Routes(ROUTES)
        self._openapi = encode(document(ROUTES))

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        headers = _headers(scope)
        request_id = uuid_text("req", self._services.ids.uuid())
        answer = await self._answered(scope, headers, request_id, receive)
        fields = {
            "content-type": "application/json",
            "content-length": str(len(answer.body)),
            "cache-control": "no-store",
            "request-id": request_id,
            **{name.lower(): value for name, value in answer.headers.items()},
        }
        listed = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": listed})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answered(
        self, scope: Mapping[str, Any], headers: Headers, request_id: str, receive: Receive
    ) -> _Answer:
        """Return the answer, whatever happens."""
        chinese = requests.prefers_chinese(headers.get("accept-language"))
        docs_url = self._services.docs_url
        try:
            return await self._served(scope, headers, request_id, receive, chinese)
        except AppError as error:
            if isinstance(error, InvariantBroken):
                _log.error("invariant broken", code=error.code, request_id=request_id, exc_info=error)
            failure = errors.failure(error, chinese=chinese, docs_url=docs_url)
        except Exception as error:
            _log.error("unexpected error", request_id=request_id, exc_info=error)
            failure = errors.bug(chinese=chinese, docs_url=docs_url)
        return _Answer(failure.status, encode(failure.body), failure.headers)

    async def _served(
        self,
        scope: Mapping[str, Any],
        headers: Headers,
        request_id: str,
        receive: Receive,
        chinese: bool,
    ) -> _Answer:
        method, path = scope["method"], _path(scope)
        if method == "GET" and path == OPENAPI_PATH:
            return _Answer(200, self._openapi, {})
        route, subject = self._routes.find(method, path)
        caller = await self._caller(route, scope, headers)
        version = requests.version(headers.get("stripe-version"))
        key = requests.idempotency_key(headers.get("idempotency-key")) if route.writes else None
        params = await _params(route, scope, headers, receive)
        self._services.scan({**params, "Idempotency-Key": key or ""})
        fingerprint = requests.fingerprint(params) if key else b""
        paths = EXPAND.read(params.pop("expand"), "expand") if "expand" in params else ()
        _require(caller, expansion.check(route.answers, paths, lists=route.lists))
        call = Call(
            services=self._services,
            scope=caller,
            request_id=request_id,
            method=method,
            path=path,
            got=route.form.read(params),
            key=key,
            fingerprint=fingerprint,
            moves_money=route.moves_money,
            chinese=chinese,
            **_subject(route, subject),
        )
        reply = await route.handler(call)
        return await _told(reply, paths, call, version)

    async def _caller(self, route: Route, scope: Mapping[str, Any], headers: Headers) -> Scope:
        """Return who is asking; raise NotAuthenticated, LimitExceeded or PermissionMissing."""
        client = scope.get("client")
        key = requests.api_key(headers.get("authorization"))
        caller = await self._services.keys.scope_of_key(key, address=client[0] if client else None)
        self._limits.take(caller.actor, live=caller.live, writes=route.writes)
        _require(caller, {route.permission})
        return caller


async def _told(reply: Reply, paths: tuple[str, ...], call: Call, version: str) -> _Answer:
    """Return a reply as it goes out, expanded where that was asked; a refusal is not expanded.

    What was done stays done: where an expansion of a write fails, its answer goes out as it is.
    """
    body, tree = reply.body, reply.tree
    if paths and reply.status == 200:
        expanded: Tree = msgspec.json.decode(body) if tree is None else tree
        try:
            await expansion.expand(expanded, paths, Loading(call).loaders)
            tree = expanded
        except AppError as error:
            if call.method == "GET":
                raise
            _log.warning("expansion failed", code=error.code, request_id=call.request_id)
    headers = {"Stripe-Version": version}
    if call.key is not None:
        headers["Idempotency-Key"] = call.key
    if reply.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return _Answer(reply.status, body if tree is None else encode(tree), headers)


async def _params(route: Route, scope: Mapping[str, Any], headers: Headers, receive: Receive) -> Params:
    """Return the parameters: of a POST in its body, of others in the query."""
    query: bytes = scope.get("query_string", b"")
    if route.method != "POST":
        if len(query) > BODY_BYTES_MAX:
            raise requests.body_too_large()
        return parse_form(query)
    if query:
        raise malformed("parameters of a POST go into its body")
    return requests.parse_body(headers.get("content-type"), await _body(receive))


async def _body(receive: Receive) -> bytes:
    """Return the body, reading no more of it than is allowed; raise LimitExceeded ``body_too_large``."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("parameters_malformed", "the request ended before its body did")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise requests.body_too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _require(caller: Scope, permissions: set[Permission]) -> None:
    """Raise PermissionMissing for the first permission that the caller lacks."""
    for permission in sorted(permissions):
        if permission not in caller.permissions:
            raise PermissionMissing(permission, caller.actor)


def _subject(route: Route, text: str) -> dict[str, Any]:
    """Return the id in the path; raise NotFound for what can be no id of this kind."""
    if route.subject is None:
        return {}
    try:
        return {"subject_id": route.subject.read(text, "id")}
    except InvalidRequest:
        raise NotFound("resource_missing", f"no such {route.subject.what}", param="id") from None


def _headers(scope: Mapping[str, Any]) -> Headers:
    """Return the headers by their names in lower case; of one that stands twice the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _path(scope: Mapping[str, Any]) -> str:
    """Return the path below the place where this application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
