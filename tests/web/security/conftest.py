"""One town for the tests of a file."""

from collections.abc import AsyncIterator

import pytest
from tests.web.security.routes import Map
from tests.web.security.town import Town, open_town

from tongbao.core.db import Database


@pytest.fixture(scope="module")
async def town(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Two merchants, two payers, the house, all with hostile names."""
    async with open_town(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture(scope="module")
def known(town: Town) -> Map:
    """The routes of the application, as it tells them itself."""
    return Map(town.whole.app)
