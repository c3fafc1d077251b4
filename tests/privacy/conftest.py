"""A vault over a key file, on a clock that stands still."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.schema import CardInput, CardToken
from tongbao.privacy.service.vault import Vault

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VISA = "4242424242424242"
NAME = "Ada Lovelace"
CVC = "737"

OpenVault = Callable[..., Awaitable[Vault]]
Tokenize = Callable[..., Awaitable[CardToken]]


def card(number: str = VISA, **fields: Any) -> CardInput:
    """A card that is good in 2026; any field may be overridden."""
    values: dict[str, Any] = {"exp_month": 12, "exp_year": 2030, "cvc": CVC, "holder_name": NAME}
    return CardInput(number=number, **(values | fields))


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands at noon of 22 November 2026."""
    return FrozenClock(NOW)


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    """Where the key file of this test is, once it is made."""
    return tmp_path / "vault" / "keys.json"


@pytest.fixture
def keys(key_path: Path, clock: FrozenClock) -> FileKeys:
    """A key file of this test's own."""
    return FileKeys(key_path, clock)


@pytest.fixture
def book(ids: IdFactory) -> int:
    """A book of this test's own."""
    return ids.int63()


@pytest.fixture
async def open_vault(
    database: Database, keys: FileKeys, clock: FrozenClock, ids: IdFactory
) -> AsyncIterator[OpenVault]:
    """Return a function that opens a vault with options of the test's choice, as another process would."""
    async with AsyncExitStack() as stack:

        async def make(source: Any = None, metrics: Metrics | None = None, **options: Any) -> Vault:
            opened = Vault(database, source or keys, clock, ids, metrics or Metrics(), **options)
            return await stack.enter_async_context(opened)

        yield make


@pytest.fixture
async def vault(open_vault: OpenVault) -> Vault:
    """A vault over the key file."""
    return await open_vault()


@pytest.fixture
def tokenize(vault: Vault, database: Database, book: int) -> Tokenize:
    """Return a function that takes in a card in a transaction of its own."""

    async def make(
        number: str = VISA, *, book_id: int = book, person: UUID | None = None, **fields: Any
    ) -> CardToken:
        async with database.transaction() as connection:
            return await vault.tokenize_card(connection, book_id, card(number, **fields), person=person)

    return make
