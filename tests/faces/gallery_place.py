"""The gallery as an application of its own, under the content policy of the real one."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.responses import Response

from tongbao.web import pages
from tongbao.web.app import SECURITY_HEADERS
from tongbao.web.ui import assets, gallery, saved_views
from tongbao.web.ui.live import Hub


def gallery_app(hub: Hub | None = None) -> FastAPI:
    """The gallery with its files, preferences and views."""
    app = FastAPI()
    app.include_router(gallery.router(hub))
    app.include_router(saved_views.router())
    app.add_api_route("/preferences", pages.change_preferences, methods=["POST"], response_model=None)
    assets.mount(app)

    @app.middleware("http")
    async def secure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(SECURITY_HEADERS)
        return response

    return app
