"""Views of tables kept under names, in a cookie of the reader's browser: addresses only, no data.

A form of the page keeps or drops one and comes back. Whoever wants them kept elsewhere gives ``TableView`` what it read.
"""

import json
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import InvalidRequest
from tongbao.web import pages

VIEWS_MAX = 6
NAME_MAX = 32
QUERY_MAX = 300
COOKIE_CHARS_MAX = 3_600
ADDRESS = "/views"
_TABLE = re.compile(r"[a-z][a-z-]{0,39}")


class SavedView(NamedTuple):
    """A query under a name."""

    name: str
    query: str


def of(request: Request, table: str) -> tuple[SavedView, ...]:
    """Return the views that a browser keeps of a table; none where the cookie is not one of ours."""
    try:
        found = json.loads(unquote(request.cookies.get(_cookie(table), "[]")))
        views = [SavedView(str(name)[:NAME_MAX], str(query)[:QUERY_MAX]) for name, query in found]
    except (ValueError, TypeError):
        return ()
    return tuple(views[:VIEWS_MAX])


def kept(views: tuple[SavedView, ...], fields: dict[str, str]) -> tuple[SavedView, ...]:
    """Return the views after a form: one kept under its name (the oldest goes where there are too many), or one dropped.

    Raises InvalidRequest ``view_invalid`` for a view without a name, or with a longer one or a longer query than is kept.
    """
    if dropped := fields.get("drop"):
        return tuple(view for view in views if view.name != dropped)
    name, query = fields.get("name", "").strip(), fields.get("query", "")
    if not name or len(name) > NAME_MAX or len(query) > QUERY_MAX or not (name + query).isprintable():
        raise InvalidRequest("view_invalid", f"a view needs a name of at most {NAME_MAX} characters")
    others = [view for view in views if view.name != name]
    return (*others[-(VIEWS_MAX - 1) :], SavedView(name, query))


def router() -> APIRouter:
    """Return the route that forms of tables are sent to."""
    routes = APIRouter(include_in_schema=False)

    @routes.post(f"{ADDRESS}/{{table}}")
    async def change(request: Request, table: str) -> Response:
        if not _TABLE.fullmatch(table):
            raise InvalidRequest("view_invalid", "no table has this name")
        fields = await pages.form(request)
        written = quote(json.dumps(kept(of(request, table), fields), ensure_ascii=False))
        if len(written) > COOKIE_CHARS_MAX:
            raise InvalidRequest("view_invalid", "the views of this table are too long to be kept")
        response = RedirectResponse(pages.own_path(fields.get("back", "/")), 303)
        response.set_cookie(
            _cookie(table), written, max_age=pages.YEAR_S, path="/", httponly=True, samesite="lax"
        )
        return response

    return routes


def _cookie(table: str) -> str:
    return f"views_{table}"
