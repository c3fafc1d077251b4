"""A payer before the pages of the wallet, over the application and without a browser."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from tests.faces.wallet_place import Purse, furnished
from tests.web.whole_house import BASE, open_whole

from tongbao.core.db import Database
from tongbao.parties.schema import Payer

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Phone:
    """The browser of one payer who is signed in."""

    http: httpx.AsyncClient

    async def get(self, path: str, status: int = 200, language: str = "en", **cookies: str) -> str:
        """The text of a page."""
        for name, value in cookies.items():
            self.http.cookies.set(name, value)
        answer = await self.http.get(path, headers={"accept-language": language})
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        return answer.text

    async def post(self, path: str, page: str, **fields: str) -> httpx.Response:
        """Send a form of ``page`` as a browser does."""
        csrf = _CSRF.findall(await self.get(page))[0]
        headers = {"origin": BASE, "accept-language": "en"}
        return await self.http.post(path, data={"csrf": csrf} | fields, headers=headers)


@pytest.fixture(scope="module")
async def purse(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Purse]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as whole:
        yield await furnished(whole, BASE)


@pytest.fixture
async def phone(purse: Purse) -> AsyncIterator[Phone]:
    """The phone of the payer with a month of bills."""
    async with signed_in(purse, purse.payer) as http:
        yield Phone(http)


def signed_in(purse: Purse, payer: Payer) -> "_SignedIn":
    """The client of a payer, to be entered."""
    return _SignedIn(purse, payer)


class _SignedIn:
    def __init__(self, purse: Purse, payer: Payer) -> None:
        self._purse, self._payer = purse, payer
        transport = httpx.ASGITransport(purse.whole.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url=BASE)

    async def __aenter__(self) -> httpx.AsyncClient:
        self.http.cookies.set("wallet", await self._purse.token(self._payer))
        return self.http

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
