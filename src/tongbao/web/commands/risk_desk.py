"""The desk of risk control: what the commands below ``tongbao risk`` reach, over the database and beside the traffic.

Nothing here judges payments or follows them. A process that serves hears of lists, freezes and policies within seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from tongbao.core.config import Settings
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_uuid
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.schema.lists import HOUSE_BOOK_ID
from tongbao.risk.service import compiling
from tongbao.risk.service.hindsight import Hindsight
from tongbao.risk.service.risk import Risk
from tongbao.web.runtime import Runtime, open_runtime

PAYMENT_PREFIX = "pi"
Result = TypeVar("Result")
Book = Annotated[
    str | None, typer.Option("--book", help="Of this merchant's book, by its code; without, of the house.")
]


@dataclass(frozen=True)
class RiskDesk:
    """Risk control over an open database, without the loops that follow traffic."""

    runtime: Runtime
    decisions: Decisions
    risk: Risk
    hindsight: Hindsight

    async def book(self, code: str | None) -> int | None:
        """Return the number of a book by its code; None where none is named. Raises NotFound."""
        return None if code is None else (await self.runtime.ledger.accounts.book(code)).book_id

    async def owner(self, code: str | None) -> int:
        """Return whose lists are meant: a book's, or those of the house."""
        found = await self.book(code)
        return HOUSE_BOOK_ID if found is None else found


@asynccontextmanager
async def open_risk_desk(settings: Settings) -> AsyncIterator[RiskDesk]:
    """Open the database that ``settings`` name; raises what ``open_runtime`` raises."""
    async with open_runtime(settings) as runtime:
        database, clock, ids = runtime.database, runtime.clock, runtime.ledger.ids
        decisions = Decisions(database, clock, ids, {compiling.POLICY: compiling.checker_over(database)})
        log, policies = decisions.log, decisions.policies
        risk = Risk(database, clock, ids, policies, log, runtime.metrics)
        try:
            yield RiskDesk(runtime, decisions, risk, Hindsight(database, clock, ids, (log, policies), risk))
        finally:
            await risk.assessing.close()


def at_risk_desk(work: Callable[[RiskDesk], Awaitable[Result]]) -> Result:
    """Return what ``work`` makes of an open desk."""

    async def opened() -> Result:
        async with open_risk_desk(Settings.model_validate({})) as desk:
            return await work(desk)

    return asyncio.run(opened())


def id_of(prefix: str, text: str) -> UUID:
    """Return an id as somebody typed it; raise InvalidRequest ``id_malformed``."""
    try:
        return parse_uuid(prefix, text)
    except ValueError as error:
        raise InvalidRequest("id_malformed", f"here stands an id of the form {prefix}_…") from error


def plain(value: object) -> object:
    """Return a value for machines: tuples with names as objects, however deep, all else as it is."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return {name: plain(part) for name, part in value.items()} if isinstance(value, dict) else value
