"""Writes of ``/v2`` whose services open their transactions themselves: each is done once for each key.

``calls.Calls.write`` joins claim, work and answer in one transaction; here they stand apart (``core.requests.apart``).
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request, Response

from tongbao.core.requests.apart import RequestsApart
from tongbao.core.requests.asks import Rendered
from tongbao.web.api.calls import Calls, answer

Made = TypeVar("Made")


class Acts:
    """Runs the acts of both sides; those of the house are kept under the book ``callers.HOUSE``."""

    def __init__(self, calls: Calls, requests: RequestsApart) -> None:
        self._calls = calls
        self._requests = requests

    async def run(
        self,
        request: Request,
        book_id: int,
        work: Callable[[], Awaitable[Made]],
        render: Callable[[Made], Rendered],
    ) -> Response:
        """Do ``work`` and answer it, once for each ``Idempotency-Key``. Raises what both raise."""
        ask = self._calls.ask(request, render)
        if ask is None:
            return answer(render(await work()))
        rendered, is_replay = await self._requests.run(book_id, ask, work)
        return answer(rendered, is_replay=is_replay)
