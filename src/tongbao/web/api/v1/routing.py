"""The table of routes and how a path finds its route: one dictionary lookup a segment, no patterns."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import msgspec

from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import Permission
from tongbao.payments.schema.orders import Done, View
from tongbao.web.api.v1.fields import Field, Form, Id, Many, Text
from tongbao.web.api.v1.renderings.bases import Tree, encode
from tongbao.web.api.v1.requests import Call

ID_SEGMENT = "{id}"
EXPANSIONS_MAX = 20
EXPAND: Field = Many(
    item=Text(chars_max=200), items_max=EXPANSIONS_MAX, about="Ids to answer with their objects."
)


class Reply(NamedTuple):
    """What a handler answers with: a tree, or bytes that were rendered inside the commit."""

    tree: Tree | None = None
    body: bytes = b""
    status: int = 200
    is_replay: bool = False


Handler = Callable[[Call], Awaitable[Reply]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One act of the interface.

    ``path``: below ``/v1``, with at most one ``{id}``. ``subject``: what that id must be. ``answers``: the kind of
    the object in the answer, ``lists``: whether it is a page of them. ``moves_money``: its answer is kept for
    repeats for a week instead of a day.
    """

    method: str
    path: str
    handler: Handler
    permission: Permission
    form: Form
    answers: str
    summary: str
    subject: Id | None = None
    lists: bool = False
    moves_money: bool = False

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"


class _Node:
    """One place in the tree of paths."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.children: dict[str, _Node] = {}


class Routes:
    """Finds the route of a method and a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.all = tuple(routes)
        self._root = _Node()
        for route in self.all:
            node = self._root
            for segment in _segments(route.path):
                node = node.children.setdefault(segment, _Node())
            if route.method in node.routes:
                raise ValueError(f"two routes for {route.method} {route.path}")
            node.routes[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, str]:
        """Return the route and the text of its ``{id}``.

        A word of the path goes before an id. Raises NotFound ``route_unknown``, InvalidRequest
        ``method_not_allowed`` with the methods that are (fact ``allowed``).
        """
        node, subject = self._root, ""
        for segment in _segments(path):
            inner = node.children.get(segment)
            if inner is None or segment == ID_SEGMENT:
                inner, subject = node.children.get(ID_SEGMENT), segment
            if inner is None or not segment:
                raise _unknown()
            node = inner
        if not node.routes:
            raise _unknown()
        route = node.routes.get(method)
        if route is None:
            raise InvalidRequest(
                "method_not_allowed",
                "this path does not take this method",
                allowed=", ".join(sorted(node.routes)),
            )
        return route, subject


def replied(done: Done[View], render: Callable[[View], Rendered]) -> Reply:
    """Return the reply to a write: the answer that is kept, or one rendered now where no key was sent."""
    rendered = done.rendered
    if rendered is None:
        assert done.view is not None
        rendered = render(done.view)
    return Reply(None, rendered.body, rendered.status, done.is_replay)


def rendered(tree: Tree) -> Rendered:
    """Return a tree as the answer to a request that succeeded."""
    return Rendered(200, encode(tree))


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").split("/")


def _unknown() -> NotFound:
    return NotFound("route_unknown", "there is nothing at this path")
