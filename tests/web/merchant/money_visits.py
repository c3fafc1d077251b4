"""Visits to the pages about money out and the workshop without a browser: somebody signed in, pages read, forms sent."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from tests.faces.merchant_money_place import Till
from tests.web.whole_house import BASE

from tongbao.parties.schema import Person

HIDDEN = re.compile(r'<input type="hidden" name="(csrf|once|version)" value="([^"]+)">')


class Visit:
    """One person with cookies of their own; paths begin behind the merchant's address."""

    def __init__(self, till: Till, http: httpx.AsyncClient) -> None:
        self.till = till
        self.http = http

    async def answer(self, path: str, language: str = "en", home: str = "") -> httpx.Response:
        """Whatever a page answers."""
        return await self.http.get((home or self.till.home) + path, headers={"accept-language": language})

    async def page(self, path: str, status: int = 200, language: str = "en") -> str:
        """The text of a page with this status."""
        found = await self.answer(path, language)
        assert found.status_code == status, (found.status_code, found.text[-3000:])
        return found.text

    async def send(self, path: str, page: str, home: str = "", **fields: str) -> httpx.Response:
        """Send a form as the browser does that shows ``page``."""
        sent = dict(HIDDEN.findall(await self.page(page))) | fields
        url = (home or self.till.home) + path
        return await self.http.post(url, data=sent, headers={"origin": BASE, "accept-language": "en"})


@asynccontextmanager
async def visit(till: Till, person: Person | None = None, mode: str = "test") -> AsyncIterator[Visit]:
    """Somebody of the merchant, its owner where nobody is named, signed in."""
    transport = httpx.ASGITransport(till.whole.app, raise_app_exceptions=False)
    token = await till.whole.people.token(person or till.owner)
    cookies = {"session": token, "mode": mode}
    async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies) as http:
        yield Visit(till, http)
