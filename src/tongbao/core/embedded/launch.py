"""Make a cluster and start PostgreSQL on it, as the server's user, out of reach of the caller's terminal.

The caller holds the start lock and has found no living server. Invariant: at most one server works on a data folder,
also across containers that share it: every process of a server holds ``running.lock``.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tongbao.core.embedded import place
from tongbao.core.embedded.binaries import Binaries, copy_wheel, remove_other_copies
from tongbao.core.embedded.durability import memory_available_bytes, tuning
from tongbao.core.embedded.identity import ServerUser
from tongbao.core.embedded.postmaster import Child, read_pid_file, remember_child
from tongbao.core.errors import Conflict, NotPermitted, Unavailable

RETRY_S = 30.0
"""How long processes of a killed server may keep its memory before a start gives up."""


def runnable(own: Binaries, where: place.Place, user: ServerUser) -> Binaries:
    """Return programs ``own``, or their copy beside the data where ``user`` cannot run them where they are."""
    if not user.dropped or user.can_run(own.path("postgres")):
        return own
    if not own.from_wheel:
        detail = f"user {user.name}, as whom the server runs, cannot run the programs in {own.folder}"
        raise NotPermitted("postgres_bin_unreachable", detail, folder=str(own.folder))
    return copy_wheel(own, where.seat / "binaries")


def make_cluster(programs: Binaries, where: place.Place, user: ServerUser) -> None:
    """Make the cluster aside and rename it, so that a broken-off attempt is never taken for a cluster."""
    draft = where.seat / "data.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    place.give(draft, user)
    command: list[str | Path] = [programs.path("initdb"), "-D", draft, "--username", place.ROLE]
    command += ["--encoding", "UTF8", "--locale", "C", "--data-checksums"]
    command += ["--auth-local", "peer", "--auth-host", "reject"]
    made = user.run(command, env=_environment(programs))
    if made.returncode != 0:
        detail = f"initdb failed: {' '.join(made.stderr.split())}"
        raise Unavailable("postgres_initdb_failed", detail, folder=str(draft))
    draft.rename(where.data)
    seat = os.open(where.seat, os.O_RDONLY)
    os.fsync(seat)
    os.close(seat)


def launch(programs: Binaries, where: place.Place, user: ServerUser, conf: Mapping[str, str]) -> Child:
    """Start the server's first process and return it without waiting until it is ready.

    ``conf`` replaces settings of ``tuning``. Raise Conflict where another major version wrote the data, Unavailable
    where processes of an earlier server, or of one in another container, still use them after ``RETRY_S`` seconds.
    """
    _check_version(programs, where)
    if programs.from_wheel:
        remove_other_copies(where.seat / "binaries")
    claim = read_pid_file(where.data)
    pid_file = where.data / "postmaster.pid"
    if claim is None and pid_file.exists():
        # PostgreSQL refuses an empty file too, and only a person can tell that it may go.
        detail = (
            f"{pid_file} is damaged: make sure that no PostgreSQL runs on this folder, then delete the file"
        )
        raise Conflict("postgres_pid_file_damaged", detail, path=str(pid_file))
    # PostgreSQL will not start while a process of its user bears the number in postmaster.pid, be it a zombie or a
    # stranger, except its own grandparent. The caller has looked at that process: it is no server of this folder.
    stale = {"PG_GRANDPARENT_PID": str(claim.pid)} if claim else {}
    command = [str(programs.path("postgres")), "-D", str(where.data)]
    for name, value in _settings(where, user, conf).items():
        command += ["-c", f"{name}={value}"]
    with _running_lock(where) as lock, _log(where) as log:
        child = Child(
            command,
            env=_environment(programs) | stale,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            # Ctrl-C in the terminal must reach the program first, which then stops the server.
            start_new_session=True,
            **user.ids,
        )
    remember_child(child)
    return child


def _settings(where: place.Place, user: ServerUser, conf: Mapping[str, str]) -> dict[str, str]:
    return {
        **tuning(memory_available_bytes()),
        **conf,
        **place.write_access_rules(where, user),
        "listen_addresses": "",
        "unix_socket_directories": str(where.socket_dir),
        "unix_socket_permissions": "0700",
        "port": str(place.PORT),
    }


def _check_version(programs: Binaries, where: place.Place) -> None:
    """Refuse data of another major version, which this server cannot read."""
    version = (where.data / "PG_VERSION").read_text().strip()
    if version != str(programs.version_major):
        detail = (
            f"{where.data} was written by PostgreSQL {version} and the programs are {programs.version}: set "
            f"TONGBAO_POSTGRES_BIN to a {version} bin folder, dump, and restore into a new TONGBAO_DATA_DIR"
        )
        raise Conflict("postgres_version_mismatch", detail, data=version, programs=programs.version)


def _environment(programs: Binaries) -> dict[str, str]:
    """Return a plain environment: messages in English, because some are recognised, and no home folder."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "HOME": "/", **programs.library_path()}


@contextmanager
def _running_lock(where: place.Place) -> Iterator[int]:
    try:
        lock = place.take(where.running_lock, RETRY_S)
    except Unavailable:
        detail = (
            f"processes of an earlier server, or a server in another container, still use {where.data} after "
            f"{RETRY_S:.0f} s: end them, or wait"
        )
        raise Unavailable(
            "postgres_data_in_use", detail, retry_after_s=RETRY_S, data=str(where.data)
        ) from None
    try:
        yield lock
    finally:
        os.close(lock)


@contextmanager
def _log(where: place.Place) -> Iterator[int]:
    log = place.open_log(where)
    try:
        yield log
    finally:
        os.close(log)
