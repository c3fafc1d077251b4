"""A whole house with its demonstration's doors: codes are shown on the page, and a browser before it."""

import itertools
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.parties.conftest import PASSWORD
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.core.db import Database
from tongbao.core.ids import int_text
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantRole, OperatorRole, Person
from tongbao.web.signing.rooms import Doors

CSRF = re.compile(r'name="csrf" value="([^"]+)"')
CODE = re.compile(r"the code is (\d{6})")
_NUMBERS = itertools.count()


@dataclass
class Browser:
    """A browser with cookies of its own, and short ways through the pages of sign-in."""

    whole: Whole
    http: httpx.AsyncClient

    async def get(self, path: str, status: int = 200, language: str = "en") -> str:
        """The text of a page."""
        answer = await self.http.get(path, headers={"accept-language": language})
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        return answer.text

    async def csrf(self, path: str) -> str:
        """What the forms of a page carry."""
        return str(CSRF.findall(await self.get(path))[0])

    async def post(self, path: str, fields: dict[str, str], page: str = "", **headers: str) -> httpx.Response:
        """Send a form as the browser does that shows ``page``."""
        own = {"origin": BASE, "accept-language": "en"} | headers
        sent = dict(fields)
        if page:
            sent = {"csrf": await self.csrf(page)} | sent
        return await self.http.post(path, data=sent, headers=own)

    async def sign_in(self, person: Person, password: str = PASSWORD, wanted: str = "") -> httpx.Response:
        """Sign in with a password."""
        fields = {"email": person.email, "password": password, "next": wanted}
        return await self.post("/sign-in", fields, "/sign-in")

    async def code_for(self, contact: str) -> tuple[str, str]:
        """Ask for a code; returns where it is typed, and the code that the demonstration shows."""
        answer = await self.post("/wallet/sign-in/code", {"contact": contact}, "/wallet/sign-in")
        assert answer.status_code == 303, answer.text[:2000]
        path = answer.headers["location"]
        return path, (CODE.findall(await self.get(path)) or [""])[0]

    async def join(self, name: str, contact: str, **fields: str) -> httpx.Response:
        """Open a wallet and be signed in to it."""
        asked = await self.post("/wallet/join", {"name": name, "contact": contact}, "/wallet/join")
        assert asked.status_code == 303, asked.text[:2000]
        path = asked.headers["location"]
        code = CODE.findall(await self.get(path))[0]
        return await self.post(path, {"code": code} | fields, path)

    async def staff(self, role: OperatorRole) -> Person:
        """Somebody of the house with a password."""
        return await self.whole.people.staff(role, PASSWORD)

    async def member(self, role: MerchantRole) -> tuple[Person, str]:
        """Somebody of a new merchant with a password, and that merchant."""
        tenant = await self.whole.tenant(live=True)
        person = await self.whole.people.member(tenant.scope, role, PASSWORD)
        return person, int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    """The program's application, with the doors of a demonstration."""
    home: Path = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home, doors=Doors(shows_codes=True)) as opened:
        yield opened


@pytest.fixture
async def browser(whole: Whole) -> AsyncIterator[Browser]:
    """A browser that was never here."""
    async with another(whole) as made:
        yield Browser(whole, made)


@pytest.fixture
async def other(whole: Whole) -> AsyncIterator[Browser]:
    """A second browser."""
    async with another(whole) as made:
        yield Browser(whole, made)


def another(whole: Whole) -> httpx.AsyncClient:
    """A client with an empty jar, on a network address of its own: tries are paced by it."""
    number = next(_NUMBERS)
    client = (f"127.1.{number // 250}.{number % 250 + 1}", 1)
    transport = httpx.ASGITransport(whole.app, raise_app_exceptions=False, client=client)
    return httpx.AsyncClient(transport=transport, base_url=BASE)
