"""PostgreSQL dies between the two commits of a payment: money moves once, and what happened is found out."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.payments.conftest import House, open_house
from tests.payments.scripted import approved

from tongbao.channels.schema import Answer, Authorize, Outcome
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import AppError
from tongbao.core.ids import IdFactory

pytestmark = pytest.mark.slow


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that the test may kill."""
    home = Path(tempfile.mkdtemp(prefix="tongbao-kill-"))
    home.chmod(0o755)
    server = EmbeddedServer(home / "postgres", conf={"shared_buffers": "64MB"})
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture
async def fragile(own_server: EmbeddedServer) -> AsyncIterator[House]:
    """A house over it."""
    await migrate.upgrade(own_server.dsn())
    async with (
        Database(own_server.dsn(), pool_size=4) as database,
        open_house(database, IdFactory(RealClock()), retry_s=1.0) as house,
    ):
        await house.pay(1)
        yield house


async def test_database_that_comes_back_in_time_loses_nothing(
    own_server: EmbeddedServer, fragile: House
) -> None:
    async def dies(call: object) -> Answer:
        assert isinstance(call, Authorize)
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        return approved(call, captured=True)

    fragile.channel().reply("authorize", dies)
    view = await fragile.pay(1000)
    assert await fragile.states(view.intent.id) == ("succeeded", ["charged"])
    assert await fragile.balance("in_transit") == 1001
    await fragile.check_books()


async def test_database_that_stays_away_leaves_a_payment_that_the_resolver_settles_once(
    own_server: EmbeddedServer, fragile: House
) -> None:
    sent: list[Authorize] = []

    async def dies(call: object) -> Answer:
        assert isinstance(call, Authorize)
        sent.append(call)
        await asyncio.to_thread(own_server.kill)
        return approved(call, captured=True)

    fragile.channel().reply("authorize", dies)
    with pytest.raises(AppError):
        await fragile.pay(1000)
    await asyncio.to_thread(own_server.start)
    fragile.channel().reply(
        "inquire", Answer(outcome=Outcome.APPROVED, amount_minor=1000, currency="CNY", captured=True)
    )
    await fragile.pass_time(31)
    assert await fragile.balance("in_transit") == 1001
    assert len(sent) == 1
    assert len(fragile.channel().asked("authorize")) == 2
    await fragile.check_books()
