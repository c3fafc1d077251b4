"""Routes whose errors are pages: what goes wrong for somebody who looks at a page is told by a page of the same face."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from tongbao.core.errors import AppError

ErrorPage = Callable[[Request, AppError], Response]


def page_route(error_page: ErrorPage) -> type[APIRoute]:
    """Return the kind of route that answers an error with ``error_page``."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """Return the handler, guarded."""
            handler = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    return await handler(request)
                except AppError as error:
                    return error_page(request, error)

            return guarded

    return PageRoute
