"""What an application answers, read from itself: routes, so that a new one cannot be forgotten, and pages, by their links."""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
from fastapi import FastAPI
from tests.web.whole_house import BASE

from tongbao.web.api.v1.table import ROUTES

PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
PAGES_MAX = 240
EACH_MAX = 2
"""Pages of one route that are looked at: the third tells nothing that the first two did not."""
MACHINES = ("/v1", "/v2", "/static", "/healthz", "/readyz", "/metrics")


class Known(NamedTuple):
    """A route: its method and its address with the names of ids."""

    method: str
    path: str
    route: Any

    @property
    def parameters(self) -> list[str]:
        """The names of what stands in the address."""
        return PARAMETER.findall(self.path)

    @property
    def is_page(self) -> bool:
        """Whether people look at it, or their forms are sent there."""
        return not self.path.startswith(MACHINES)

    @property
    def gates(self) -> list[type]:
        """Who is let in, by the kinds of gates that the route depends on."""
        dependant = getattr(self.route, "dependant", None)
        return [type(each) for each in _guards(dependant)] if dependant else []

    def filled(self, values: Iterable[str]) -> str:
        """The address with values in the places of its names."""
        waiting = iter(values)
        return PARAMETER.sub(lambda _: next(waiting), self.path)


def _guards(dependant: Any) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _guards(inner)


def application(app: Any) -> FastAPI:
    """The application of the framework inside those that stand before it."""
    while not isinstance(app, FastAPI):
        app = app._app
    return app


def routes_of(app: Any) -> list[Known]:
    """Every method and address that an application answers, those of ``/v1`` among them."""
    found = [Known(route.method, f"/v1{route.path}", route) for route in ROUTES]
    for route in _flat(application(app).routes):
        methods = (getattr(route, "methods", None) or {"GET"}) - {"HEAD"}
        found += [Known(method, route.path, route) for method in sorted(methods)]
    assert len(found) > len(ROUTES) + 100, "the application hides its routes"
    return found


def _flat(routes: Iterable[Any]) -> Iterator[Any]:
    for route in routes:
        if (inner := getattr(route, "original_router", None)) is not None:
            yield from _flat(inner.routes)
        elif getattr(route, "path", ""):
            yield route


@dataclass
class Form:
    """A form of a page, as a browser would send it."""

    page: str
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Reading(HTMLParser):
    """The elements of a page, its links and its forms."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.page = page
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.links: list[str] = []
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and where it leads."""
        values = {name: value or "" for name, value in attrs}
        self.elements.append((tag, values))
        for name in ("href", "data-href", "data-drawer", "data-live", "src"):
            if values.get(name):
                self.links.append(values[name])
        if tag == "form":
            action = values.get("action") or self.page
            self.forms.append(Form(self.page, self.own(action), values.get("method", "get").lower()))
        elif tag in {"input", "button", "select", "textarea"} and values.get("name") and self.forms:
            self.forms[-1].fields.setdefault(values["name"], values.get("value", "1"))
        if values.get("formaction") and self.forms:
            form = self.forms[-1]
            self.forms.append(Form(self.page, self.own(values["formaction"]), "post", form.fields))

    def own(self, address: str) -> str:
        """An address of this house without its name, empty for any other."""
        whole = urlsplit(urljoin(BASE + self.page, address))
        if f"{whole.scheme}://{whole.netloc}" != BASE:
            return ""
        return whole.path + (f"?{whole.query}" if whole.query else "")


@dataclass
class Looked:
    """A page that somebody looked at."""

    address: str
    template: str
    answer: httpx.Response
    read: Reading


class Map:
    """Finds the route of an address, words before names."""

    def __init__(self, app: Any) -> None:
        self.known = routes_of(app)
        paths = dict.fromkeys(each.path for each in self.known)
        self._patterns = [
            (re.compile(PARAMETER.sub(r"([^/]+)", path.replace(".", r"\."))), path)
            for path in sorted(paths, key=lambda path: len(PARAMETER.findall(path)))
        ]
        # Every page carries the same links, and hundreds of patterns are tried for each.
        self._found = functools.cache(self._matched)

    def template(self, address: str) -> str:
        """The address of the route that answers, with names; empty where none does."""
        return self._found(address.partition("?")[0])

    def _matched(self, path: str) -> str:
        return next((found for pattern, found in self._patterns if pattern.fullmatch(path)), "")

    async def walked(self, browser: httpx.AsyncClient, begin: Iterable[str]) -> list[Looked]:
        """Every page that is reached by links from those that ``begin``, a few of each route."""
        waiting = list(dict.fromkeys(begin))
        seen, counts, looked = set(waiting), dict[str, int](), list[Looked]()
        while waiting and len(looked) < PAGES_MAX:
            address = waiting.pop(0)
            template = self.template(address)
            if counts.get(template, 0) >= EACH_MAX:
                continue
            answer = await browser.get(address)
            read = Reading(address)
            if "html" in answer.headers.get("content-type", ""):
                read.feed(answer.text)
            looked.append(Looked(address, template, answer, read))
            counts[template] = counts.get(template, 0) + 1
            further = [*read.links, answer.headers.get("location", "")]
            for link in further:
                own = read.own(link).partition("#")[0] if link else ""
                if own and own not in seen and self._is_walked(own):
                    seen.add(own)
                    waiting.append(own)
        return looked

    def starts(self, prefix: str, **values: str) -> list[str]:
        """The addresses of pages below a prefix that need no names but those given."""
        return [
            each.path.format(**values)
            for each in self.known
            if each.method == "GET"
            and each.is_page
            and f"{each.path}/".startswith(prefix)
            and set(each.parameters) <= set(values)
            and not is_endless(each.path)
        ]

    def _is_walked(self, address: str) -> bool:
        template = self.template(address)
        # Whoever follows a payment link opens a session by it: a walk changes nothing.
        return bool(template) and not template.startswith((*MACHINES, "/l/")) and not is_endless(template)


def is_endless(path: str) -> bool:
    """Whether an address answers a stream, which ends when its reader goes."""
    return path.endswith(("/stream", "/live", "/events/stream"))
