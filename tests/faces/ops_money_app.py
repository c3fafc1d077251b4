"""Money and books in the console, on a port or not: a whole house with merchants, files, breaks, batches and payouts in it."""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.clearing.test_announcements import ORDER
from tests.faces.browser import serving
from tests.parties.conftest import PASSWORD
from tests.web.clearing_calls import agree, clerk, settled
from tests.web.signed_in import SignedIn
from tests.web.test_clearing_payouts import Gateway, stepped, usable
from tests.web.test_clearing_recon import HEAD, row, send
from tests.web.test_clearing_recon import agree as agree_source
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import BASE, Whole, open_whole, told

from tongbao.core.db import Database
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import PERSON_PREFIX, OperatorPermission, OperatorRole, Person, PersonDraft
from tongbao.web import explorer
from tongbao.web.app import SECURITY_HEADERS
from tongbao.web.house import House
from tongbao.web.ops import money
from tongbao.web.signing import routes as signing
from tongbao.web.signing.refusing import behind, error_page
from tongbao.web.signing.rooms import guards_of, open_signing
from tongbao.web.ui import assets, saved_views

CLERK = (OperatorRole.OPERATOR_L2,)
HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def money_app(house: House) -> FastAPI:
    """The pages of money and books with sign-in, under the content policy of the real application."""
    app = FastAPI()
    for routes in money.routers(house):
        app.include_router(routes)
    guard = guards_of(house).of_operator(OperatorPermission.BOOKS_READ)
    app.include_router(
        behind(explorer.router(house.runtime.ledger), guard, error_page, frozenset({"/preferences"}))
    )
    for routes in signing.routers(open_signing(house)):
        app.include_router(routes)
    app.include_router(saved_views.router())
    assets.mount(app)

    @app.middleware("http")
    async def secure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(SECURITY_HEADERS)
        return response

    return app


@dataclass
class Place:
    """A house with money in it, and a browser before its pages."""

    whole: Whole
    base: str
    app: FastAPI
    http: httpx.AsyncClient
    tenant: Tenant
    gateway: Gateway
    people: dict[str, Person] = field(default_factory=dict)

    async def become(self, name: str, *roles: OperatorRole) -> SignedIn:
        """Give the browser a new session of somebody; the same name is the same person, however late it has become."""
        parties, people = self.whole.house.parties, self.whole.people
        if name not in self.people:
            draft = PersonDraft(email=people.email(), name=name)
            async with self.whole.house.runtime.database.transaction() as connection:
                for role in roles or CLERK:
                    person = await parties.people.appoint(connection, people.operator, draft, role)
                await parties.sign_in.set_password(connection, person.person_id, PASSWORD)
            self.people[name] = person
        person = self.people[name]
        found = SignedIn(
            name, f"person:{uuid_text(PERSON_PREFIX, person.person_id)}", await people.token(person)
        )
        self.http.cookies.clear()
        self.http.cookies.set("session", found.token)
        return found

    async def get(self, path: str, status: int = 200, language: str = "en") -> str:
        """Read a page."""
        answer = await self.http.get(path, headers={"accept-language": language})
        assert answer.status_code == status, answer.text[:600]
        return answer.text

    async def post(self, path: str, who: SignedIn, **fields: str) -> httpx.Response:
        """Send a form of a page as somebody who is signed in."""
        headers = {"origin": self.base}
        return await self.http.post(path, data={"csrf": who.csrf, **fields}, headers=headers)


@contextlib.asynccontextmanager
async def open_place(
    database: Database, dsn: str, home: Path, *, on_port: bool = False
) -> AsyncIterator[Place]:
    """Open everything; ends with it."""
    gateway = Gateway(home / "bank")
    front = _Front()
    async with contextlib.AsyncExitStack() as stack:
        base = await stack.enter_async_context(serving(front)) if on_port else BASE
        whole = await stack.enter_async_context(
            open_whole(database, dsn, home / "house", base, [gateway.spec()])
        )
        app = money_app(whole.house)
        front.app = app
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=base))
        yield Place(whole, base, app, http, await whole.tenant(), gateway)


async def fill(place: Place) -> None:
    """Let the house have a bit of everything."""
    await recon(place)
    await batches(place)
    await payouts(place)
    chen = await place.become("Chen")
    await place.whole.house.clearing.announcements.propose(ORDER, actor=chen.actor)


async def recon(place: Place) -> list[Json]:
    """Two sources, files with and without faults, matched pairs and breaks of several causes; returns the breaks."""
    whole, tenant = place.whole, place.tenant
    for amount in (12_800, 45_000, 9_990, 230_050, 1_500, 66_600):
        await whole.pay(tenant, amount)
    await whole.tally()
    movements = (await whole.get(tenant, "/v2/settlements/bill"))["data"]
    async with clerk(whole) as mei:
        for name in ("east", "west"):
            await agree_source(mei, name, report_days=0)
            mine = [each for each in movements if each["channel"] == name]
            lines = [
                row(
                    whole,
                    number,
                    each["amount_minor"] + (each["amount_minor"] == 45_000) * 100,
                    each["reference"],
                )
                for number, each in enumerate(mine)
                if each["amount_minor"] != 66_600
            ]
            lines.append(row(whole, 901, 7_770, f"late-{name}"))
            lines.append(f"t902,sale,CNY,not money,{HOSTILE.replace(',', '')},2026-01-01T00:00:00Z\n")
            await send(mei, name, HEAD + "".join(lines))
            told(await mei.post("/v2/recon/runs", json={"source": name}), 201)
        found: list[Json] = told(await mei.get("/v2/recon/breaks", params={"limit": 50}))["data"]
    return found


async def batches(place: Place) -> Tenant:
    """A batch that two people have to approve; returns its merchant."""
    whole = place.whole
    tenant = await whole.tenant()
    await agree(whole, tenant, approval_above_minor=1_000)
    for amount in (250_000, 61_900):
        await whole.pay(tenant, amount)
    await settled(whole, tenant)
    return tenant


async def payouts(place: Place) -> Json:
    """A payout with the bank, and one that it refused; returns the refused one."""
    whole = place.whole
    tenant = await whole.tenant()
    await usable(whole, tenant)
    await agree(whole, tenant, "EUR")
    await whole.pay(tenant, 10_000, "eur")
    await settled(whole, tenant)
    await stepped(whole)
    (first,) = (await whole.get(tenant, "/v2/payouts"))["data"]
    place.gateway.answer(first["end_to_end"], "RJCT", "AC04")
    await stepped(whole)
    whole.clock.advance(timedelta(seconds=1))
    refused: Json = await whole.get(tenant, f"/v2/payouts/{first['id']}")
    return refused


class _Front:
    """An application that is known later than the port it is served on."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


LISTS = (
    *("/ops/breaks", "/ops/matched", "/ops/sources", "/ops/batches", "/ops/payouts", "/ops/payouts/accounts"),
    *("/ops/fees", "/ops/fees/draft", "/ops/days", "/ops/days/profits?mode=test&by=method", "/ops/ledger"),
    "/ops/holidays",
)
LEADS = (
    ("/ops/breaks", r'href="(/ops/breaks/brk_[^"]+)"'),
    ("/ops/matched", r'href="(/ops/matched/channel/[^"]+)"'),
    ("/ops/sources", r'href="(/ops/sources/files/[^"]+)"'),
    ("/ops/batches", r'href="(/ops/batches/book_[^"]+)"'),
    ("/ops/payouts", r'href="(/ops/payouts/book_[^"]+)"'),
    ("/ops/payouts/accounts?state=paused", r'href="(/ops/payouts/accounts/book_[^"]+)"'),
    ("/ops/fees", r'href="(/ops/fees/1\?[^"]+)"'),
    ("/ops/holidays", r'href="(/ops/holidays/ann_[^"]+)"'),
    ("/ops/ledger", r'href="(/ops/ledger/books/[^"/?]+)"'),
)
"""Where a page of one thing is found, and how."""


async def seen_paths(place: Place) -> list[str]:
    """Return the address of every page, with something on it."""
    await place.become("Mei")
    found = list(LISTS)
    for path, pattern in LEADS:
        html = await place.get(path)
        match = re.search(pattern, html)
        assert match, path
        found.append(match[1])
    book = found[-1]
    account = re.search(r'href="(/ops/ledger/books/[^"]+/accounts/[^"]+)"', await place.get(book))
    assert account
    transfer = re.search(r'href="(/ops/ledger/transfers/[^"]+)"', await place.get(account[1]))
    found += [account[1], *([transfer[1]] if transfer else [])]
    on = place.whole.clock.now().date() - timedelta(days=40)
    return [*found, f"/ops/days/{on}"]
