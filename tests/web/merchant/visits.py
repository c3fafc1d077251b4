"""Visits to the portal's pages without a browser: somebody signed in, and short ways to read pages and send their forms."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from tests.faces.merchant_place import Shop
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.whole_house import BASE

from tongbao.parties.schema import MerchantRole, Person

HIDDEN = re.compile(r'<input type="hidden" name="(csrf|once)" value="([^"]+)">')


class Visit:
    """One person with cookies of their own, in test mode; paths begin behind the merchant's address."""

    def __init__(self, shop: Shop, http: httpx.AsyncClient) -> None:
        self.shop = shop
        self.http = http

    async def answer(self, path: str, language: str = "en", home: str | None = None) -> httpx.Response:
        """Whatever a page answers."""
        home = self.shop.home if home is None else home
        return await self.http.get(home + path, headers={"accept-language": language})

    async def page(self, path: str, status: int = 200, language: str = "en") -> str:
        """The text of a page with this status."""
        found = await self.answer(path, language)
        assert found.status_code == status, (found.status_code, found.text[:3000])
        return found.text

    async def hidden(self, path: str) -> dict[str, str]:
        """What the forms of a page carry unseen."""
        return dict(HIDDEN.findall(await self.page(path)))

    async def send(self, path: str, page: str, home: str | None = None, **fields: str) -> httpx.Response:
        """Send a form as the browser does that shows ``page``."""
        sent = await self.hidden(page) | fields
        home = self.shop.home if home is None else home
        return await self.http.post(home + path, data=sent, headers={"origin": BASE, "accept-language": "en"})


@asynccontextmanager
async def visit(shop: Shop, person: Person | None = None) -> AsyncIterator[Visit]:
    """Somebody of the merchant, its owner where nobody is named, signed in."""
    transport = httpx.ASGITransport(shop.whole.app, raise_app_exceptions=False)
    token = await shop.whole.people.token(person or shop.owner)
    cookies = {"session": token, "mode": "test"}
    async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies) as http:
        yield Visit(shop, http)


async def member(shop: Shop, role: MerchantRole) -> Person:
    """Another member of the merchant."""
    return await shop.whole.people.member(scope_of(shop.tenant.merchant), role, PASSWORD)
