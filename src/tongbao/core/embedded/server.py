"""Start, stop and look at the embedded PostgreSQL server of one folder.

Synchronous: it waits for processes and belongs to program start, commands and tests, not into an event loop that
serves payments. The server outlives the program that started it.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tongbao.core.embedded import durability, identity, place
from tongbao.core.embedded.binaries import Binaries, find_binaries
from tongbao.core.embedded.launch import RETRY_S, launch, make_cluster, runnable
from tongbao.core.embedded.postmaster import POLL_S, Child, Postmaster, find_postmaster, read_pid_file
from tongbao.core.errors import AppError, Conflict, InvalidRequest, Unavailable

DATABASE = "tongbao"
READY_S = 180.0
"""How long a server may recover before a start gives up; it goes on recovering."""
STOP_S = 30.0
LOCK_S = READY_S + RETRY_S
QUERY_S = 60.0
LOG_TAIL_LINES = 6
_TRANSIENT = re.compile(r"pre-existing shared memory block|lock file .* already exists")
# Who may connect and where the files are is not for settings to decide.
_RESERVED = frozenset(
    {
        "data_directory",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "port",
        "unix_socket_directories",
        "unix_socket_permissions",
    }
)
# These refuse to run as root or must be able to write the data; all others are clients of the caller.
_SERVER_PROGRAMS = frozenset(
    {"initdb", "pg_checksums", "pg_ctl", "pg_resetwal", "pg_rewind", "pg_upgrade", "postgres"}
)
_DATABASE_SQL = """
    SELECT 'CREATE DATABASE tongbao' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'tongbao') \\gexec
    \\connect tongbao"""


@dataclass(frozen=True)
class ServerStatus:
    """What is known about one embedded server; ``notes`` are sentences about unusual places."""

    running: bool
    pid: int | None
    version: str | None
    user: str | None
    home: Path
    data_dir: Path
    socket_dir: Path
    log_file: Path
    data_bytes: int
    dsn: str
    notes: tuple[str, ...]


class EmbeddedServer:
    """The PostgreSQL server whose data are in ``home``.

    ``postgres_bin`` is a ``bin`` folder of PostgreSQL 15 or later to use instead of the installed wheel's; ``conf``
    are server settings that replace the defaults of ``durability.tuning``.
    """

    def __init__(
        self, home: Path, *, postgres_bin: Path | None = None, conf: Mapping[str, str] | None = None
    ) -> None:
        self.home = home.expanduser().resolve()
        self._postgres_bin = postgres_bin
        self._conf = _checked(conf or {})

    @cached_property
    def programs(self) -> Binaries:
        """Return the PostgreSQL programs; raise NotFound or InvalidRequest as ``find_binaries``."""
        return find_binaries(self._postgres_bin)

    def start(self) -> bool:
        """Make sure that the server runs and is durable; make its cluster and database on the first start.

        Return True if this call started it, False if it ran already. Starts are serialised between processes.
        Raise InvariantBroken where it could lose a commit (a server started by this call is stopped again),
        NotPermitted where no user or folder fits, Unavailable where it does not come up.
        """
        with _file_errors():
            user = identity.choose_user(place.find_place(self.home).data)
            place.make_home(self.home)
            with place.exclusive(self.home / "lock", LOCK_S):
                where = place.make_place(self.home, user)
                place.trim_log(where)
                started = self._bring_up(where, user)
                try:
                    self._verify(where)
                except BaseException:
                    if started:
                        self._halt(STOP_S)
                    raise
                return started

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """Stop the server after a checkpoint, ending open sessions; return False if it was not running.

        Raise Unavailable where it is still stopping after ``timeout_s`` seconds.
        """
        if not self.home.is_dir():
            return False
        with _file_errors(), place.exclusive(self.home / "lock", LOCK_S):
            return self._halt(timeout_s)

    def kill(self) -> bool:
        """Kill the server's first process without warning, as a crash would; for tests and drills.

        Return False if it was not running.
        """
        postmaster = self._postmaster()
        return postmaster is not None and postmaster.end(signal.SIGKILL, STOP_S)

    def status(self) -> ServerStatus:
        """Return what is known about the server; changes nothing."""
        where = place.find_place(self.home)
        postmaster = self._postmaster()
        try:
            version = self.programs.version
        except AppError:
            version = None
        return ServerStatus(
            running=postmaster is not None and postmaster.is_ready(),
            pid=postmaster.pid if postmaster else None,
            version=version,
            user=identity.name_of_owner(where.data),
            home=self.home,
            data_dir=where.data,
            socket_dir=where.socket_dir,
            log_file=where.log,
            data_bytes=_bytes_below(where.data),
            dsn=self.dsn(),
            notes=tuple(where.notes),
        )

    @property
    def postmaster_pid(self) -> int | None:
        """Return the id of the server's first process; None where it is not running."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster else None

    def dsn(self, database: str = DATABASE) -> str:
        """Return the URL of ``database`` for asyncpg, psql and pgbench; only root and the server's user may use it."""
        folder = quote(str(place.find_place(self.home).socket_dir), safe="/")
        return f"postgresql://{place.ROLE}@/{quote(database, safe='')}?host={folder}&port={place.PORT}"

    def binary(self, name: str) -> Path:
        """Return the path of PostgreSQL program ``name`` as the caller runs it."""
        return self.programs.path(name)

    def client_environment(self) -> dict[str, str]:
        """Return the environment in which PostgreSQL programs find this server without further arguments."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return own | {
            **self.programs.library_path(),
            "PGHOST": str(place.find_place(self.home).socket_dir),
            "PGPORT": str(place.PORT),
            "PGUSER": place.ROLE,
            "PGDATABASE": DATABASE,
        }

    def run(self, name: str, *args: str | Path, **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run PostgreSQL program ``name`` against this server, as text, and return how it ended.

        ``options`` are those of ``subprocess.run``; ``env`` adds to the environment. Programs that work on the data
        folder (initdb, pg_ctl, pg_checksums ...) run as the server's user, all others as the caller.
        """
        programs = self.programs
        env = self.client_environment() | options.pop("env", {})
        options = {"text": True, **options}
        if name in _SERVER_PROGRAMS:
            where = place.find_place(self.home)
            user = identity.choose_user(where.data)
            programs = runnable(programs, where, user)
            env |= programs.library_path()
            options = {"cwd": "/", **user.ids, **options}
        command = [programs.path(name), *args]
        return subprocess.run(command, env=env, **options)  # noqa: S603 - a program of PostgreSQL

    def trim_log(self) -> None:
        """Move the log's content to ``postgres.log.1`` once it is large; the server may run.

        Every start does it; a program that runs for months calls it now and then.
        """
        with _file_errors():
            place.trim_log(place.find_place(self.home))

    def _postmaster(self) -> Postmaster | None:
        return find_postmaster(place.find_place(self.home).data)

    def _bring_up(self, where: place.Place, user: identity.ServerUser) -> bool:
        """Return once a server is ready: True if it was started here."""
        child: Child | None = None
        log_offset = 0
        begun = time.monotonic()
        while True:
            postmaster = find_postmaster(where.data)
            waited_s = time.monotonic() - begun
            if postmaster is not None:
                _check_socket(where)
                if postmaster.is_ready():
                    return child is not None and child.pid == postmaster.pid
            elif child is None or child.poll() is not None:
                if child is not None:
                    _check_transient(where, log_offset, waited_s)
                log_offset = where.log.stat().st_size if where.log.exists() else 0
                child = self._launch(where, user)
            if waited_s > READY_S:
                detail = f"the server is still recovering after {READY_S:.0f} s and goes on; see {where.log}"
                raise Unavailable("postgres_recovering", detail, retry_after_s=RETRY_S)
            time.sleep(POLL_S)

    def _launch(self, where: place.Place, user: identity.ServerUser) -> Child:
        programs = runnable(self.programs, where, user)
        if not where.data.exists():
            make_cluster(programs, where, user)
        return launch(programs, where, user, self._conf)

    def _verify(self, where: place.Place) -> None:
        """Make the database where missing and refuse a server that could lose a commit."""
        script = "\n".join((_DATABASE_SQL, durability.DURABLE_SQL, ";"))
        arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]
        try:
            answer = self.run("psql", *arguments, input=script, capture_output=True, timeout=QUERY_S)
        except subprocess.TimeoutExpired:
            detail = f"the server does not answer within {QUERY_S:.0f} s; see {where.log}"
            raise Unavailable("postgres_unreachable", detail) from None
        if answer.returncode != 0:
            detail = f"the server runs but does not answer; see {where.log}: {answer.stderr.strip()}"
            raise Unavailable("postgres_unreachable", detail)
        durability.check_durable(dict(line.split("|") for line in answer.stdout.split()))

    def _halt(self, timeout_s: float) -> bool:
        postmaster = self._postmaster()
        if postmaster is None:
            return False
        # SIGINT is PostgreSQL's "fast" stop: sessions end, a checkpoint follows.
        if not postmaster.end(signal.SIGINT, timeout_s):
            detail = f"the server, process {postmaster.pid}, is still stopping after {timeout_s:.0f} s"
            raise Unavailable("postgres_stop_timeout", detail, pid=postmaster.pid)
        return True


def _check_socket(where: place.Place) -> None:
    """Refuse a living server that listens elsewhere: its socket folder was cleaned away or somebody started it."""
    claim = read_pid_file(where.data)
    if claim is not None and claim.socket_dir and claim.socket_dir != str(where.socket_dir):
        detail = f"the server, process {claim.pid}, listens in {claim.socket_dir}: stop it and start it again"
        raise Conflict("postgres_socket_elsewhere", detail, pid=claim.pid, socket_dir=claim.socket_dir)


def _check_transient(where: place.Place, log_offset: int, waited_s: float) -> None:
    """Return if what ended the last try passes by itself, as processes of a killed server do; raise otherwise."""
    with where.log.open("rb") as log:
        log.seek(log_offset)
        text = log.read().decode(errors="replace")
    if _TRANSIENT.search(text) and waited_s < RETRY_S:
        return
    tail = "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
    raise Unavailable("postgres_start_failed", f"the server did not start; {where.log} ends with\n{tail}")


def _checked(conf: Mapping[str, str]) -> dict[str, str]:
    """Return ``conf`` in lower case; raise InvalidRequest for settings on which access or the files depend."""
    settings = {name.lower(): value for name, value in conf.items()}
    wrong = [name for name in settings if name in _RESERVED or not re.fullmatch(r"[a-z_][a-z0-9_.]*", name)]
    if wrong:
        detail = f"the embedded server decides itself on {', '.join(wrong)}"
        raise InvalidRequest("postgres_setting_reserved", detail, settings=wrong)
    return settings


def _bytes_below(folder: Path) -> int:
    """Return the size of the files below ``folder``, which may change meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


@contextmanager
def _file_errors() -> Iterator[None]:
    """Turn errors of the operating system - no space, no right, no answer - into ours."""
    try:
        yield
    except subprocess.TimeoutExpired as error:
        detail = f"{Path(error.cmd[0]).name} did not end within {error.timeout:.0f} s"
        raise Unavailable("postgres_files_unusable", detail) from error
    except OSError as error:
        raise Unavailable("postgres_files_unusable", f"the server's files cannot be used: {error}") from error
