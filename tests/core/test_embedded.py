"""The embedded server's life: start, verify, stop, crash, recover. A real server, shared by the tests of this file."""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from tongbao.core.embedded import durability, launch, place, server
from tongbao.core.embedded.durability import check_durable, tuning, verify_durability
from tongbao.core.embedded.early import EarlyStart
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import AppError, Conflict, InvalidRequest, InvariantBroken, Unavailable

GIB = 1024**3
START = "import sys, pathlib; from tongbao.core.embedded.server import EmbeddedServer; "
START += "print(EmbeddedServer(pathlib.Path(sys.argv[1])).start())"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    home = folder / "state" / "postgres"
    yield home
    EmbeddedServer(home).stop()
    shutil.rmtree(folder)


@pytest.fixture
def running(home: Path) -> EmbeddedServer:
    embedded = EmbeddedServer(home)
    embedded.start()
    return embedded


@pytest.fixture
def stopped(home: Path) -> EmbeddedServer:
    embedded = EmbeddedServer(home)
    embedded.start()
    embedded.stop()
    return embedded


def sql(embedded: EmbeddedServer, statement: str, database: str = "tongbao") -> str:
    done = embedded.run(
        "psql",
        "-X",
        "-q",
        "-A",
        "-t",
        "-d",
        embedded.dsn(database),
        "-c",
        statement,
        capture_output=True,
        check=True,
    )
    return str(done.stdout).strip()


def server_user_ids(embedded: EmbeddedServer) -> dict[str, Any]:
    """Return the subprocess arguments that make a program run as the server's user."""
    name = embedded.status().user
    assert name is not None
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def wait_for(embedded: EmbeddedServer, question: str) -> None:
    """Wait until ``question`` (SQL) is true."""
    deadline = time.monotonic() + 60
    while sql(embedded, f"SELECT {question}") != "t":
        assert time.monotonic() < deadline, question
        time.sleep(0.02)


def data_file(embedded: EmbeddedServer, name: str) -> Path:
    return embedded.status().data_dir / name


# --- start and stop ---


def test_start_on_an_empty_folder_makes_a_cluster_and_its_database(home: Path) -> None:
    embedded = EmbeddedServer(home)
    assert embedded.stop() is False
    assert embedded.postmaster_pid is None
    assert embedded.start() is True
    status = embedded.status()
    assert status.running
    assert status.pid == embedded.postmaster_pid
    assert status.version is not None
    assert int(status.version.split(".")[0]) >= 15
    assert status.data_bytes > 1_000_000
    assert status.notes == ()
    assert sql(embedded, "SELECT current_database()") == "tongbao"


def test_early_start_that_is_taken_outlives_its_block_and_any_other_is_undone(
    stopped: EmbeddedServer,
) -> None:
    with EarlyStart(stopped):
        pass
    assert stopped.postmaster_pid is None
    with EarlyStart(stopped) as early:
        assert early.take() is True
    assert stopped.postmaster_pid is not None


def test_early_start_leaves_a_server_alone_that_ran_before(running: EmbeddedServer) -> None:
    with EarlyStart(running) as early:
        assert early.take() is False
    with EarlyStart(running):
        pass
    assert running.postmaster_pid is not None


def test_early_start_that_fails_is_told_to_whoever_takes_it(home: Path, tmp_path: Path) -> None:
    without_programs = EmbeddedServer(home, postgres_bin=tmp_path)
    with pytest.raises(AppError), EarlyStart(without_programs) as early:
        early.take()
    with EarlyStart(without_programs):
        pass


def test_start_when_running_says_so_and_keeps_the_process(running: EmbeddedServer) -> None:
    pid = running.postmaster_pid
    assert EmbeddedServer(running.home).start() is False
    assert running.postmaster_pid == pid


def test_stop_ends_open_sessions_and_stops_once(running: EmbeddedServer) -> None:
    with subprocess.Popen(
        [running.binary("psql"), "-c", "SELECT pg_sleep(60)"],
        env=running.client_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as session:
        wait_for(running, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
        assert running.stop() is True
        assert session.wait(10) != 0
    assert running.stop() is False
    assert not running.status().running


def test_stop_of_a_server_that_hangs_is_unavailable_after_the_timeout(running: EmbeddedServer) -> None:
    pid = running.postmaster_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="postgres_stop_timeout"):
            running.stop(timeout_s=0.1)
    finally:
        os.kill(pid, signal.SIGCONT)
    while running.postmaster_pid is not None:
        time.sleep(0.02)


def test_start_by_several_processes_at_once_starts_one_server_that_outlives_them(
    stopped: EmbeddedServer,
) -> None:
    command = [sys.executable, "-c", START, str(stopped.home)]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = sorted(starter.communicate(timeout=60)[0].strip() for starter in starters)
    assert answers == ["False", "False", "True"]
    assert sql(stopped, "SELECT 1") == "1"


def test_server_has_a_session_of_its_own_so_that_ctrl_c_passes_it_by(running: EmbeddedServer) -> None:
    pid = running.postmaster_pid
    assert pid is not None
    assert os.getsid(pid) == pid
    assert os.getpgid(pid) != os.getpgid(0)


def test_start_with_a_wrong_setting_fails_at_once_with_the_log(stopped: EmbeddedServer) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="shared_buffers") as caught:
        EmbeddedServer(stopped.home, conf={"shared_buffers": "bananas"}).start()
    assert caught.value.code == "postgres_start_failed"
    assert time.monotonic() - begun < launch.RETRY_S / 2


@pytest.mark.parametrize("name", ["listen_addresses", "HBA_File", "unix_socket_permissions", "a b", "x=y"])
def test_construct_with_a_setting_that_decides_on_access_is_refused(home: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="postgres_setting_reserved"):
        EmbeddedServer(home, conf={name: "*"})


def test_start_while_another_start_goes_on_gives_up_in_time(
    stopped: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LOCK_S", 0.1)
    with (
        place.exclusive(stopped.home / "lock", 1.0),
        pytest.raises(Unavailable, match="postgres_lock_busy"),
    ):
        stopped.start()


# --- connections ---


async def test_dsn_serves_asyncpg_whatever_the_environment_says(
    running: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGHOST": "nowhere", "PGPORT": "1", "PGUSER": "eve", "PGDATABASE": "x"}.items():
        monkeypatch.setenv(name, value)
    connection = await asyncpg.connect(running.dsn())
    assert await connection.fetchval("SELECT current_user::text") == "tongbao"
    await connection.close()


@pytest.mark.parametrize("with_dsn", [True, False])
@pytest.mark.parametrize(
    "program", [("psql", "-c", "SELECT 1"), ("pgbench", "-i", "-I", "dt", "-q"), ("pg_dump", "-s")]
)
def test_client_programs_reach_the_server_by_dsn_and_by_environment(
    running: EmbeddedServer, program: tuple[str, ...], with_dsn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c no_such_setting=1")
    monkeypatch.setenv("PGHOST", "nowhere")
    running.run(*program, *(["-d", running.dsn()] if with_dsn else []), capture_output=True, check=True)


def test_server_listens_on_a_private_socket_alone_and_trusts_nobody(running: EmbeddedServer) -> None:
    status = running.status()
    rules = sql(running, "SELECT DISTINCT type || ' ' || auth_method FROM pg_hba_file_rules")
    maps = sql(running, "SELECT string_agg(sys_name, ' ' ORDER BY sys_name) FROM pg_ident_file_mappings")
    assert rules == "local peer"
    assert set(maps.split()) == {"root", status.user}
    assert sql(running, "SHOW listen_addresses") == ""
    assert status.socket_dir.stat().st_mode & 0o777 == 0o700
    assert status.socket_dir.owner() == status.user
    assert status.data_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")
def test_other_users_are_refused_even_where_the_socket_folder_is_open(running: EmbeddedServer) -> None:
    own = pwd.getpwnam(str(running.status().user)).pw_uid
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, own))
    socket_dir = running.status().socket_dir

    def ask(**ids: Any) -> subprocess.CompletedProcess[Any]:
        return running.run("psql", "-w", "-c", "SELECT 1", capture_output=True, cwd="/", **ids)

    closed = ask(user=other.pw_uid, group=other.pw_gid, extra_groups=[])
    assert "Permission denied" in closed.stderr
    socket_dir.chmod(0o755)
    (socket_dir / ".s.PGSQL.5432").chmod(0o777)
    opened = ask(user=other.pw_uid, group=other.pw_gid, extra_groups=[])
    assert "Peer authentication failed" in opened.stderr
    assert ask(**server_user_ids(running)).returncode == 0
    running.stop()
    running.start()
    assert socket_dir.stat().st_mode & 0o777 == 0o700


# --- durability ---


def test_start_sets_every_setting_of_the_tuning(running: EmbeddedServer) -> None:
    expected = tuning(durability.memory_available_bytes())
    same = [
        f"(lower(name) = '{name}' AND sourcefile IS NULL AND source = 'command line')" for name in expected
    ]
    assert sql(running, f"SELECT count(*) FROM pg_settings WHERE {' OR '.join(same)}") == str(len(expected))
    assert sql(running, "SHOW max_wal_size") == "2GB"
    assert sql(running, "SHOW track_commit_timestamp") == "on"
    assert sql(running, "SHOW data_checksums") == "on"


@pytest.mark.parametrize(
    ("memory_bytes", "shared_buffers"),
    [(GIB // 4, "128MB"), (GIB, "256MB"), (4 * GIB, "1024MB"), (64 * GIB, "2048MB")],
)
def test_tuning_takes_a_quarter_of_the_memory_within_bounds(memory_bytes: int, shared_buffers: str) -> None:
    assert tuning(memory_bytes)["shared_buffers"] == shared_buffers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("full_page_writes", "off"),
    ],
)
def test_start_without_durability_is_refused_and_leaves_no_server(
    stopped: EmbeddedServer, name: str, value: str
) -> None:
    with pytest.raises(InvariantBroken, match=f"{name} is {value}") as caught:
        EmbeddedServer(stopped.home, conf={name: value}).start()
    assert caught.value.code == "durability_off"
    assert stopped.postmaster_pid is None


async def test_durability_lost_by_an_alter_database_is_refused_and_the_server_left_alone(
    running: EmbeddedServer,
) -> None:
    sql(running, "ALTER DATABASE tongbao SET synchronous_commit = off")
    try:
        with pytest.raises(InvariantBroken, match="synchronous_commit is off"):
            running.start()
        with pytest.raises(InvariantBroken, match="synchronous_commit is off"):
            await verify_durability(running.dsn())
        assert running.status().running
    finally:
        sql(running, "ALTER DATABASE tongbao RESET synchronous_commit")
    assert (await verify_durability(running.dsn()))["synchronous_commit"] == "on"


def test_start_after_alter_system_switched_durability_off_is_durable(running: EmbeddedServer) -> None:
    sql(running, "ALTER SYSTEM SET fsync = off")
    running.stop()
    assert running.start() is True
    assert sql(running, "SHOW fsync") == "on"
    sql(running, "ALTER SYSTEM RESET fsync")


async def test_start_without_data_checksums_is_refused(stopped: EmbeddedServer) -> None:
    data = stopped.status().data_dir
    stopped.run("pg_checksums", "--disable", "-D", data, capture_output=True, check=True)
    try:
        with pytest.raises(InvariantBroken, match="data_checksums is off"):
            stopped.start()
        assert stopped.postmaster_pid is None
    finally:
        stopped.run("pg_checksums", "--enable", "-D", data, capture_output=True, check=True)


@pytest.mark.parametrize(
    ("changed", "require_checksums", "accepted"),
    [
        ({}, True, True),
        ({"synchronous_commit": "remote_apply"}, True, True),
        ({"synchronous_commit": "remote_write"}, True, True),
        ({"synchronous_commit": "local"}, True, False),
        ({"fsync": "off"}, False, False),
        ({"data_checksums": "off"}, True, False),
        ({"data_checksums": "off"}, False, True),
    ],
)
def test_check_durable_accepts_only_what_keeps_commits(
    changed: dict[str, str], require_checksums: bool, accepted: bool
) -> None:
    settings = dict.fromkeys(durability.DURABLE, "on") | changed
    if accepted:
        check_durable(settings, require_checksums=require_checksums)
    else:
        with pytest.raises(InvariantBroken, match="durability_off"):
            check_durable(settings, require_checksums=require_checksums)


def test_check_durable_of_a_server_that_hides_its_settings_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="fsync is unknown"):
        check_durable({})


@pytest.mark.parametrize("dsn", ["postgresql://x@/x?host=/nowhere", "postgresql://x@127.0.0.1:1/x"])
async def test_verify_durability_of_an_absent_server_is_unavailable(dsn: str) -> None:
    with pytest.raises(Unavailable, match="database_unreachable"):
        await verify_durability(dsn)


@pytest.mark.parametrize(
    "dsn", ["no dsn", "mysql://h/d", "postgresql://eve:hid#den@h/d", "postgresql://[::1/d"]
)
async def test_verify_durability_of_what_is_no_dsn_is_refused_without_quoting_it(dsn: str) -> None:
    with pytest.raises(InvalidRequest, match="database_url_invalid") as caught:
        await verify_durability(dsn)
    assert "hid" not in str(caught.value)


# --- crashes, and what postmaster.pid claims after them ---


def test_start_after_kill_keeps_every_acknowledged_row(running: EmbeddedServer) -> None:
    sql(running, "CREATE TABLE IF NOT EXISTS kept (i int PRIMARY KEY)")
    for number in range(20):
        sql(running, f"INSERT INTO kept VALUES ({number}) ON CONFLICT DO NOTHING")
    assert running.kill() is True
    assert running.postmaster_pid is None
    assert not running.status().running
    assert running.start() is True
    assert sql(running, "SELECT count(*) FROM kept") == "20"
    assert running.kill() is True
    assert running.kill() is False


def test_start_after_kill_waits_for_an_orphan_that_holds_the_memory(running: EmbeddedServer) -> None:
    busy = """DO $$ DECLARE until timestamptz := clock_timestamp() + interval '3 s';
        BEGIN WHILE clock_timestamp() < until LOOP END LOOP; END $$"""
    with subprocess.Popen(
        [running.binary("psql"), "-c", busy], env=running.client_environment(), stderr=subprocess.DEVNULL
    ) as session:
        wait_for(running, "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'DO $$ DECLARE%')")
        # Counted from the begin of its work: a machine that is slow in between only makes it longer.
        begun = float(
            sql(
                running,
                "SELECT extract(epoch FROM query_start) FROM pg_stat_activity WHERE query LIKE 'DO $$ DECLARE%'",
            )
        )
        running.kill()
        assert running.start() is True
        assert time.time() - begun > 1.0
        session.wait(60)
    assert sql(running, "SELECT 1") == "1"


def test_start_after_kill_does_not_need_the_starter_to_reap_the_dead_server(stopped: EmbeddedServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"{START}; sys.stdout.flush(); sys.stdin.read()", str(stopped.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "True\n"
        pid = stopped.postmaster_pid
        assert stopped.kill() is True
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert stopped.start() is True
        assert sql(stopped, "SELECT 1") == "1"


def make_dead(_: dict[str, Any]) -> tuple[int, Callable[[], object]]:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid, lambda: None


def make_zombie(ids: dict[str, Any]) -> tuple[int, Callable[[], object]]:
    child = subprocess.Popen(["true"], **ids)
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    return child.pid, child.wait


def make_stranger(ids: dict[str, Any]) -> tuple[int, Callable[[], object]]:
    child = subprocess.Popen(["sleep", "60"], **ids)

    def release() -> None:
        assert child.poll() is None, "the stranger was hurt"
        child.kill()
        child.wait()

    return child.pid, release


def make_own(_: dict[str, Any]) -> tuple[int, Callable[[], object]]:
    return os.getpid(), lambda: None


@pytest.mark.parametrize("claim", [make_dead, make_zombie, make_stranger, make_own])
def test_start_with_a_pid_file_that_names_no_server_starts_one(
    running: EmbeddedServer, claim: Callable[[dict[str, Any]], tuple[int, Callable[[], object]]]
) -> None:
    pid, release = claim(server_user_ids(running))
    pid_file = data_file(running, "postmaster.pid")
    running.kill()
    # What a crash leaves: the state still says "ready" and the number has passed on.
    lines = pid_file.read_text().splitlines()
    with pid_file.open("r+") as file:
        file.write("\n".join([str(pid), *lines[1:]]) + "\n")
        file.truncate()
    try:
        assert not running.status().running
        assert running.kill() is False
        assert running.stop() is False
        assert running.start() is True
        assert running.postmaster_pid not in (None, pid)
        assert sql(running, "SELECT 1") == "1"
    finally:
        release()


def test_start_with_an_empty_pid_file_asks_for_a_person(stopped: EmbeddedServer) -> None:
    pid_file = data_file(stopped, "postmaster.pid")
    pid_file.touch()
    try:
        with pytest.raises(Conflict, match="postgres_pid_file_damaged"):
            stopped.start()
        assert pid_file.exists()
    finally:
        pid_file.unlink()


def test_start_on_data_in_use_by_another_container_is_unavailable(
    stopped: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "RETRY_S", 0.2)
    with (stopped.home / "running.lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="postgres_data_in_use"):
            stopped.start()
    assert stopped.start() is True


def test_running_server_holds_its_lock_until_its_last_process_ends(running: EmbeddedServer) -> None:
    with pytest.raises(Unavailable):
        place.take(running.home / "running.lock", 0.0)
    running.stop()
    os.close(place.take(running.home / "running.lock", 5.0))


def test_start_of_a_server_that_listens_elsewhere_is_a_conflict_until_it_is_stopped(
    stopped: EmbeddedServer,
) -> None:
    data = stopped.status().data_dir
    with tempfile.TemporaryDirectory() as elsewhere:
        Path(elsewhere).chmod(0o777)
        options = f"-k {elsewhere} -h ''"
        stopped.run(
            "pg_ctl",
            "start",
            "-w",
            "-D",
            data,
            "-l",
            "/dev/null",
            "-o",
            options,
            capture_output=True,
            check=True,
        )
        with pytest.raises(Conflict, match="postgres_socket_elsewhere"):
            stopped.start()
        assert stopped.stop() is True
    assert stopped.start() is True


# --- the log ---


def test_log_beyond_its_cap_is_moved_and_the_server_goes_on_writing(
    running: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = running.status().log_file
    size_bytes = log.stat().st_size
    running.trim_log()
    assert log.stat().st_size == size_bytes
    monkeypatch.setattr(place, "LOG_BYTES_MAX", size_bytes - 1)
    running.trim_log()
    assert log.stat().st_size == 0
    assert log.with_name("postgres.log.1").stat().st_size == size_bytes
    sql(running, "DO $$ BEGIN RAISE LOG 'still here'; END $$")
    text = log.read_text()
    assert "still here" in text
    assert "\0" not in text
    assert log.stat().st_mode & 0o777 == 0o600


def test_errors_of_the_operating_system_become_ours(stopped: EmbeddedServer) -> None:
    broken = stopped.home / "broken"
    broken.write_text("a file where a folder should be")
    with pytest.raises(AppError) as caught:
        EmbeddedServer(broken / "home").start()
    assert caught.value.code == "postgres_files_unusable"
