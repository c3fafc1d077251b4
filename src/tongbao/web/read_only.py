"""A process that only shows: pages and reads of the interfaces from a standby, every act refused with ``read_only``.

Three things make it so, each enough alone: the front lets through reads only, the server refuses to write, and no
background work runs. People sign in at the main address, under the same host name: a sign-in writes a session, and a
session is read here like everything else, without the note that it was seen just now. So a session that is used only
here ends after the usual idle time.

``/readyz`` says which server answers, and how old what it shows is.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.config import Settings
from tongbao.core.db import Database, refused_here
from tongbao.core.errors import AppError, Conflict, InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.core.standing import revision, standing
from tongbao.ledger.service.ledger import Ledger
from tongbao.web.api.access import SAFE_METHODS
from tongbao.web.guarding_headers import GuardingHeaders
from tongbao.web.refusing import refusal
from tongbao.web.runtime import Runtime

READY = "/readyz"
SIGN_INS = frozenset({"/sign-in", "/wallet/sign-in"})
LAG_S_MAX = 60.0
"""A standby whose data are older says that it is not ready; it goes on showing them."""


@asynccontextmanager
async def open_reading(settings: Settings) -> AsyncIterator[Runtime]:
    """Open the books that ``settings`` name for reading, from a standby where the DSN names one.

    Nothing is started, migrated or written. Raises InvalidRequest ``database_url_missing`` without a DSN, Conflict
    ``schema_behind`` or ``schema_newer`` where the schema is not this program's, Unavailable ``database_down``.
    """
    if settings.database_url is None:
        raise InvalidRequest(
            "database_url_missing", "a read-only process needs a server that runs: set TONGBAO_DATABASE_URL"
        )
    dsn = settings.database_url.get_secret_value()
    clock, metrics = RealClock(), Metrics()
    async with AsyncExitStack() as stack:
        reading = Database(
            dsn,
            pool_size=settings.pool_size,
            statement_timeout_ms=settings.statement_timeout_ms,
            read_only=True,
        )
        database = await stack.enter_async_context(reading)
        await _check_schema(database)
        # Not entered: opening it for posting makes partitions, and nothing is posted here.
        ledger = Ledger(database, clock, metrics, IdFactory(clock))
        yield Runtime(dsn, database, ledger, clock, metrics)


def refuse_work(settings: Settings) -> None:
    """Refuse background work where nothing may be written: all of it writes. Raises InvalidRequest ``read_only_worker``."""
    if settings.read_only:
        raise InvalidRequest(
            "read_only_worker",
            "TONGBAO_READ_ONLY is set and background work writes: run `tongbao serve console`, or unset it",
        )


async def _check_schema(database: Database) -> None:
    """Refuse a database whose schema this program does not know; only a process that writes may migrate it."""
    async with database.connection() as connection:
        found = await revision(connection)
    newest = migrate.head()
    if found is None or found < newest:
        detail = f"the database is at revision {found}, this program at {newest}: start a process that writes first"
        raise Conflict("schema_behind", detail)
    if found > newest:
        raise Conflict("schema_newer", f"the database is at revision {found}, unknown to this program")


class ReadOnlyFront:
    """Answers every act with ``read_only`` in the form of whoever asks, tells the standby's lag, and passes reads on."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == READY:
            await (await self._ready())(scope, receive, send)
        elif scope["method"] not in SAFE_METHODS or scope["path"] in SIGN_INS:
            key = "e_read_only_sign_in" if scope["path"] in SIGN_INS else "e_read_only"
            await refusal(Request(scope, receive), refused_here(), key)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _ready(self) -> Response:
        """Say whether pages can be shown, from what, and how old that is."""
        try:
            async with self._database.connection() as connection:
                found = await standing(connection)
        except AppError as error:
            return JSONResponse({"ready": False, "causes": [str(error)], "read_only": True}, 503)
        causes = []
        if found.is_standby and not found.is_following:
            causes.append("the standby is not connected to its primary")
        if found.lag_s is None or found.lag_s > LAG_S_MAX:
            causes.append(f"what is shown is more than {LAG_S_MAX:.0f} s old")
        told = {
            "ready": not causes,
            "causes": causes,
            "read_only": True,
            "role": "standby" if found.is_standby else "primary",
            "following": found.is_following,
            "lag_s": found.lag_s,
            "lag_bytes": found.lag_bytes,
        }
        return JSONResponse(told, 503 if causes else 200)


def guarded(app: ASGIApp, database: Database, headers: dict[str, str]) -> ASGIApp:
    """Return the application as it may be reached: behind the front, whose own answers carry ``headers``, too."""
    return GuardingHeaders(ReadOnlyFront(app, database), headers)
