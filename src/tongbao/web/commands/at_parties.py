"""The parties over an open database: what ``tongbao people`` and ``tongbao merchants`` reach."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tongbao.core.config import Settings
from tongbao.parties.service.parties import Parties
from tongbao.web.runtime import open_runtime

RESET_PATH = "/sign-in/reset"
"""Where a link leads: the page of ``web.signing`` that sets a password."""
Result = TypeVar("Result")


def at_parties(work: Callable[[Parties], Awaitable[Result]]) -> Result:
    """Return what ``work`` makes of the parties of the database that the settings name."""

    async def opened() -> Result:
        async with (
            open_runtime(Settings.model_validate({})) as runtime,
            Parties(runtime.database, runtime.clock, runtime.ledger.ids) as parties,
        ):
            return await work(parties)

    return asyncio.run(opened())


def address_of_link(token: str) -> str:
    """Return the address at which whoever holds the token sets a password."""
    settings = Settings.model_validate({})
    house = settings.public_url or f"http://localhost:{settings.http_port}"
    return f"{house.rstrip('/')}{RESET_PATH}/{token}"
