"""Dump a whole database to a file and restore it, all or nothing.

Works on the embedded server and on any other by its DSN. Invariants: a dump file is complete or not there; a restore
leaves the database as it was or as the dump is, nothing between; a password is never an argument of a program, which
every user of the machine could read.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tongbao.core.embedded.binaries import Binaries, find_client
from tongbao.core.embedded.durability import DURABLE_SQL, connect
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted, Unavailable

POLL_S = 0.1
_TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})
_STEP = re.compile(r"^pg_restore: (creating|processing data|executing) ")
_USED_SQL = """
    SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')"""
_SESSIONS_SQL = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = 'tongbao' AND backend_type = 'client backend'"""
# CREATE and DROP DATABASE cannot share a transaction with anything; the two renames can, and are the exchange.
_EXCHANGE_BEGIN_SQL = (
    "DROP DATABASE IF EXISTS tongbao_replaced",
    "DROP DATABASE IF EXISTS tongbao_restoring",
    "CREATE DATABASE tongbao_restoring TEMPLATE template0",
)
_EXCHANGE_SQL = (
    "BEGIN; ALTER DATABASE tongbao RENAME TO tongbao_replaced;"
    " ALTER DATABASE tongbao_restoring RENAME TO tongbao; COMMIT",
)


@dataclass(frozen=True)
class ServerFacts:
    """What a server tells about itself and one database."""

    version: str
    database: str
    database_bytes: int
    settings: Mapping[str, str]

    @property
    def version_major(self) -> int:
        """Return the number that client programs must reach."""
        return int(self.version.split(".")[0])


@dataclass(frozen=True)
class Target:
    """One database as PostgreSQL's client programs reach it; ``dsn`` holds no password, ``environment`` may."""

    dsn: str
    environment: Mapping[str, str]
    programs: Binaries
    server: EmbeddedServer | None

    def query(self, *statements: str, dsn: str | None = None) -> str:
        """Run ``statements`` one after the other with psql and return what they print.

        Raise Unavailable with psql's message where one fails.
        """
        command: list[str | Path] = [self.programs.path("psql"), "-X", "-q", "-A", "-t", "-w"]
        command += ["-v", "ON_ERROR_STOP=1", "-d", dsn or self.dsn]
        for statement in statements:
            command += ["-c", statement]
        answer = subprocess.run(  # noqa: S603 - a program of PostgreSQL
            command, env=self.environment, capture_output=True, text=True
        )
        if answer.returncode != 0:
            raise Unavailable("database_refused", answer.stderr.strip())
        return answer.stdout.strip()


def target_of_server(server: EmbeddedServer) -> Target:
    """Return the database of the embedded ``server``; raise Unavailable where it is not running."""
    if not server.status().running:
        raise Unavailable(
            "postgres_not_running", "the embedded server is not running: start it with tongbao db up"
        )
    return Target(server.dsn(), server.client_environment(), server.programs, server)


def target_of_dsn(dsn: str, version_major: int, postgres_bin: Path | None = None) -> Target:
    """Return the database ``dsn`` of a server of ``version_major`` with client programs that fit it.

    Raise NotFound where none fit, also where the server wants TLS and only the wheel's, built without, are there.
    """
    programs = find_client("psql", version_major, postgres_bin)
    bare, environment = _without_password(dsn)
    if programs.from_wheel and _TLS_MODES & set(parse_qs(urlsplit(bare).query).get("sslmode", [])):
        detail = (
            "the DSN asks for TLS (sslmode) and the wheel's programs are built without: install the "
            f" PostgreSQL {version_major} client programs"
        )
        raise NotFound("postgres_client_without_tls", detail, version_major=version_major)
    return Target(bare, os.environ | programs.library_path() | environment, programs, None)


async def server_facts(dsn: str) -> ServerFacts:
    """Return what the server behind ``dsn`` tells; raise InvalidRequest or Unavailable as ``connect``."""
    connection = await connect(dsn)
    try:
        row = await connection.fetchrow(
            "SELECT current_setting('server_version') AS version, current_database() AS database,"
            " pg_database_size(current_database()) AS bytes"
        )
        settings = {row["name"]: row["setting"] for row in await connection.fetch(DURABLE_SQL)}
    finally:
        await connection.close()
    return ServerFacts(row["version"].split()[0], row["database"], row["bytes"], settings)


def dump(target: Target, file: Path, *, replace: bool = False, tick: Callable[[int], None]) -> int:
    """Write the database to ``file`` in pg_dump's custom format, readable for the caller alone; return its bytes.

    ``tick`` is called with the bytes written so far. Raise Conflict where ``file`` exists and ``replace`` is False,
    Unavailable where pg_dump fails; then there is no file.
    """
    if file.exists() and not replace:
        raise Conflict("dump_file_exists", f"{file} exists: name another file or use --force", file=str(file))
    if not file.parent.is_dir():
        raise NotFound("dump_folder_missing", f"there is no folder {file.parent}", folder=str(file.parent))
    draft = file.with_name(f"{file.name}.partial")
    draft.unlink(missing_ok=True)
    command: list[str | Path] = [
        target.programs.path("pg_dump"),
        "-w",
        "-F",
        "c",
        "-f",
        draft,
        "-d",
        target.dsn,
    ]
    try:
        with tempfile.TemporaryFile("w+") as messages:
            with subprocess.Popen(  # noqa: S603 - a program of PostgreSQL
                command, env=target.environment, stderr=messages, umask=0o077
            ) as program:
                while program.poll() is None:
                    tick(draft.stat().st_size if draft.exists() else 0)
                    time.sleep(POLL_S)
            messages.seek(0)
            if program.returncode != 0:
                raise Unavailable("dump_failed", messages.read().strip())
        written_bytes = draft.stat().st_size
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return written_bytes


def restore(target: Target, file: Path, *, replace: bool = False, tick: Callable[[int, int], None]) -> None:
    """Bring the database to what the dump ``file`` holds, in one transaction.

    ``replace=True`` puts it in the place of a database that is in use; only on the embedded server. The old one stays
    untouched until the new one is complete. ``tick`` is called with the objects done and the objects in all.
    Raise Conflict where the database is not empty (or has open sessions while it is to be replaced), InvalidRequest
    where ``file`` is no dump, Unavailable where the restore fails; then nothing has changed.
    """
    item_count = _item_count(target, file)
    if target.query(_USED_SQL) == "0":
        _fill(target, target.dsn, file, item_count, tick)
    elif not replace:
        detail = "the database is not empty: restore into a new one, or replace this one with --force"
        raise Conflict("database_not_empty", detail)
    elif target.server is None:
        detail = (
            "only the embedded database can be replaced: make an empty one on your server and name it in "
            "TONGBAO_DATABASE_URL"
        )
        raise NotPermitted("database_not_ours", detail)
    else:
        _exchange(target, target.server, file, item_count, tick)


def _exchange(
    target: Target, server: EmbeddedServer, file: Path, item_count: int, tick: Callable[[int, int], None]
) -> None:
    """Restore beside the database, then let the two swap names."""
    outside = server.dsn("postgres")
    _check_unused(target, outside)
    target.query(*_EXCHANGE_BEGIN_SQL, dsn=outside)
    try:
        _fill(target, server.dsn("tongbao_restoring"), file, item_count, tick)
        _check_unused(target, outside)
        target.query(*_EXCHANGE_SQL, dsn=outside)
    except BaseException:
        target.query("DROP DATABASE IF EXISTS tongbao_restoring", dsn=outside)
        raise
    target.query("DROP DATABASE tongbao_replaced", dsn=outside)


def _check_unused(target: Target, outside: str) -> None:
    count = target.query(_SESSIONS_SQL, dsn=outside)
    if count != "0":
        detail = f"{count} sessions are open in the database: stop the programs that use it"
        raise Conflict("database_in_use", detail, session_count=int(count))


def _item_count(target: Target, file: Path) -> int:
    if not file.is_file():
        raise NotFound("dump_file_missing", f"there is no file {file}", file=str(file))
    listing = subprocess.run(  # noqa: S603 - a program of PostgreSQL
        [target.programs.path("pg_restore"), "--list", file],
        env=target.environment,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        raise InvalidRequest("dump_unreadable", listing.stderr.strip(), file=str(file))
    return sum(not line.startswith(";") for line in listing.stdout.splitlines())


def _fill(target: Target, dsn: str, file: Path, item_count: int, tick: Callable[[int, int], None]) -> None:
    """Restore ``file`` into the empty database ``dsn``, all or nothing."""
    command: list[str | Path] = [target.programs.path("pg_restore"), "-w", "--verbose", "--no-owner"]
    command += ["--single-transaction", "--exit-on-error", "-d", dsn, file]
    done, complaint = 0, ""
    with subprocess.Popen(  # noqa: S603 - a program of PostgreSQL
        command, env=target.environment, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr is not None
        for line in program.stderr:
            if _STEP.match(line):
                done += 1
                tick(min(done, item_count), item_count)
            elif "error: " in line and not complaint:
                # Only the first line: those after it quote rows, which may be personal.
                complaint = line.strip()
    if program.returncode != 0:
        detail = complaint or f"pg_restore ended with {program.returncode}"
        raise Unavailable("restore_failed", f"nothing was changed: {detail}")
    tick(item_count, item_count)


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """Return ``dsn`` without its password, and the environment that carries the password instead."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres"):
        # The DSN is not quoted: it may hold a password.
        raise InvalidRequest("database_url_invalid", "the DSN is not a valid postgresql:// URL")
    account, at, hosts = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    options = parts.query.split("&") if parts.query else []
    for option in options:
        name, _, value = option.partition("=")
        if name == "password":
            password = value
    rest = "&".join(option for option in options if not option.startswith("password="))
    bare = f"{parts.scheme}://{user}{at}{hosts}{parts.path}{'?' if rest else ''}{rest}"
    return bare, {"PGPASSWORD": unquote(password)} if password else {}
