"""Headers on every answer, whoever gives it: pages, interfaces, files, and errors that nothing else caught.

Stands outside the framework, whose own middleware never sees the answer to an unexpected error and costs every request a task.
What an answer says itself is kept.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CACHE, _TYPE, _HTML = b"cache-control", b"content-type", b"text/html"


class GuardingHeaders:
    """Adds ``headers`` to the answers of an application; a page that does not say otherwise is kept by nobody."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                said = {name.lower() for name, _ in given}
                added = [each for each in self._headers if each[0] not in said]
                if _CACHE not in said and any(
                    name.lower() == _TYPE and value.startswith(_HTML) for name, value in given
                ):
                    added.append((_CACHE, b"no-store"))
                message = {**message, "headers": [*given, *added]}
            await send(message)

        await self._app(scope, receive, guarded)
