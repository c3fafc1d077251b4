"""A synchronous standby of an embedded server, on the same machine: for tests and drills of what a second machine does.

``ReplicatedServer`` is a primary with one standby that confirms every commit before it is acknowledged. Who decides that
a primary is dead, and that the standby takes its place, is not written here: in earnest that is Patroni, in a drill it is
the drill, by ``fail_over``. After a fail-over the old primary must never start again as it is: its history may hold
commits that nobody was told of, so ``start`` refuses it.

Invariant: ``start`` returns only once the primary says of the standby that it streams and is synchronous.
Source: PostgreSQL 18 manual, 26.2.8 "Synchronous Replication", 26.3 "Failover".
"""

import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from tongbao.core.embedded import identity, place
from tongbao.core.embedded.launch import runnable
from tongbao.core.embedded.server import DATABASE, EmbeddedServer
from tongbao.core.errors import Conflict, InvalidRequest, Unavailable

NAME = "tongbao_standby"
"""What the standby calls itself when it connects, and what the primary waits for."""
SYNC_S_MAX = 60.0
PROMOTE_S_MAX = 60
BACKUP_S_MAX = 300.0
POLL_S = 0.02
COMMIT_MODES = ("on", "remote_apply")
"""``on``: the standby has the commit on its disk; ``remote_apply``: a read on the standby sees it, too."""
_SYNC_SQL = """
    SELECT sync_state FROM pg_stat_replication
    WHERE application_name = 'tongbao_standby' AND state = 'streaming'"""
_WAIT_SQL = (
    "ALTER SYSTEM SET synchronous_commit = '{mode}'",
    f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({NAME})'",
    "SELECT pg_reload_conf()",
)
_SHOW_SQL = (
    "SELECT current_setting('synchronous_commit') || ' ' || current_setting('synchronous_standby_names')"
)


class ReplicatedServer(EmbeddedServer):
    """An embedded server whose commits wait for a standby beside it, ``standby``, in a folder of its own.

    ``commit_mode``: one of ``COMMIT_MODES``. ``dsn`` names both hosts and asks for the one that takes writes.
    """

    def __init__(
        self,
        home: Path,
        standby_home: Path,
        *,
        postgres_bin: Path | None = None,
        conf: Mapping[str, str] | None = None,
        commit_mode: str = "on",
    ) -> None:
        if commit_mode not in COMMIT_MODES:
            detail = (
                f"a standby confirms a commit in the modes {' and '.join(COMMIT_MODES)}, not {commit_mode}"
            )
            raise InvalidRequest("commit_mode_unknown", detail)
        # The command line would win over ALTER SYSTEM, and the first commits cannot wait for a standby to come.
        super().__init__(home, postgres_bin=postgres_bin, conf=dict(conf or {}))
        self.standby = EmbeddedServer(
            standby_home, postgres_bin=postgres_bin, conf={**(conf or {}), "hot_standby": "on"}
        )
        self.commit_mode = commit_mode

    def start(self) -> bool:
        """Start both servers, make the standby of a copy where there is none; return whether the primary was started.

        Raise what ``EmbeddedServer.start`` raises; Conflict ``standby_promoted`` after a fail-over, Unavailable
        ``standby_copy_failed``, ``standby_not_synchronous``.
        """
        if self.is_failed_over:
            detail = f"the standby in {self.standby.home} has taken over: remove {self.home} and make it its standby"
            raise Conflict("standby_promoted", detail)
        started = super().start()
        if not _data(self.standby).exists():
            self._copy()
        self.standby.start()
        for statement in _WAIT_SQL:
            self._ask(self, statement.format(mode=self.commit_mode))
        self._wait_for_sync()
        return started

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Stop both, the primary first, so that the standby has everything; return False if neither ran."""
        was_running = super().stop(timeout_s)
        return self.standby.stop(timeout_s) or was_running

    def dsn(self, database: str = DATABASE) -> str:
        """Return the URL that names both hosts; a connection is made to the one that takes writes."""
        folders = ",".join(
            quote(str(place.find_place(each.home).socket_dir), safe="/") for each in (self, self.standby)
        )
        ports = f"{place.PORT},{place.PORT}"
        hosts = f"host={folders}&port={ports}&target_session_attrs=read-write"
        return f"postgresql://{place.ROLE}@/{quote(database, safe='')}?{hosts}"

    @property
    def is_failed_over(self) -> bool:
        """Tell whether the standby has taken over: it has data, and no longer the file that makes it follow."""
        data = _data(self.standby)
        return data.exists() and not (data / "standby.signal").exists()

    def waits_for(self) -> tuple[str, str, str]:
        """Return what the primary says: ``synchronous_commit``, ``synchronous_standby_names``, the standby's state.

        The state is ``sync`` where each commit waits for the standby, and empty where it is not connected.
        """
        mode, _, names = self._ask(self, _SHOW_SQL).partition(" ")
        return mode, names, self._ask(self, _SYNC_SQL)

    def kill_machine(self) -> bool:
        """Kill -9 every process of the primary at once, as far as one machine can die alone; False if it did not run."""
        pid = self.postmaster_pid
        if pid is None:
            return False
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(pid).children(recursive=True)
        killed = self.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return killed

    def fail_over(self) -> None:
        """Let the standby take over, and return once it takes writes; the primary must be dead.

        Raise Conflict ``primary_alive`` where it is not: two servers that take writes are two truths.
        Raise Unavailable ``standby_not_promoted``.
        """
        if self.postmaster_pid is not None:
            raise Conflict("primary_alive", f"the primary in {self.home} still runs: kill or stop it first")
        promoted = self.standby.run(
            "pg_ctl",
            *("promote", "-D", _data(self.standby), "-w", "-t", str(PROMOTE_S_MAX)),
            capture_output=True,
        )
        if promoted.returncode != 0:
            raise Unavailable("standby_not_promoted", f"pg_ctl promote: {_one_line(promoted.stderr)}")

    def _copy(self) -> None:
        """Make the standby's cluster: a copy of the primary's, taken while it runs."""
        home = self.standby.home
        user = identity.choose_user(_data(self))
        place.make_home(home)
        where = place.make_place(home, user)
        draft = where.seat / "data.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        place.give(draft, user)
        programs = runnable(self.programs, place.find_place(self.home), user)
        source = (
            f"host={_quoted(str(place.find_place(self.home).socket_dir))} port={place.PORT}"
            f" user={place.ROLE} application_name={NAME}"
        )
        copied = user.run(
            [programs.path("pg_basebackup"), "-D", draft, "-d", source, "-R", "-X", "stream", "-c", "fast"],
            env={"LC_ALL": "C", "HOME": "/", **programs.library_path()},
        )
        if copied.returncode != 0:
            raise Unavailable("standby_copy_failed", f"pg_basebackup: {_one_line(copied.stderr)}")
        draft.rename(where.data)

    def _wait_for_sync(self) -> None:
        deadline = time.monotonic() + SYNC_S_MAX
        while self._ask(self, _SYNC_SQL) != "sync":
            if time.monotonic() > deadline:
                detail = f"the standby is not synchronous after {SYNC_S_MAX:.0f} s; see {self.standby.home}"
                raise Unavailable("standby_not_synchronous", detail)
            time.sleep(POLL_S)

    @staticmethod
    def _ask(server: EmbeddedServer, statement: str) -> str:
        """Return what psql prints for one statement."""
        answer = server.run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, capture_output=True
        )
        if answer.returncode != 0:
            raise Unavailable("postgres_unreachable", f"psql: {_one_line(answer.stderr)}")
        return str(answer.stdout).strip()


def _data(server: EmbeddedServer) -> Path:
    return place.find_place(server.home).data


def _quoted(value: str) -> str:
    """Return a value of a libpq connection string."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _one_line(text: str) -> str:
    return " ".join(text.split())[-400:]
