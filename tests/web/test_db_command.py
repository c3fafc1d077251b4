"""``tongbao db`` and the command line around it, against real servers."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tongbao.core.embedded import archive
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound, NotPermitted, Unavailable
from tongbao.web.cli import app

DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
MAIN = [sys.executable, "-c", "from tongbao.web.cli import main; main()"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    made = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    made.chmod(0o755)
    yield made
    EmbeddedServer(made / "postgres").stop()
    EmbeddedServer(made / "external").stop()
    shutil.rmtree(made)


@pytest.fixture(autouse=True)
def environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(folder))
    monkeypatch.delenv("TONGBAO_DATABASE_URL", raising=False)
    monkeypatch.delenv("TONGBAO_POSTGRES_BIN", raising=False)
    monkeypatch.chdir(folder)


@pytest.fixture
def server(folder: Path) -> EmbeddedServer:
    """Return the running server with one table of 1,000 rows."""
    embedded = EmbeddedServer(folder / "postgres")
    embedded.start()
    sql(embedded.dsn(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    sql(embedded.dsn(), "CREATE TABLE paid AS SELECT generate_series(1, 1000) AS i")
    return embedded


@pytest.fixture(scope="module")
def external_dsn(folder: Path) -> str:
    """Return the DSN of a server that plays somebody else's; Debian's where it is installed."""
    postgres_bin = DEBIAN_BIN if DEBIAN_BIN.is_dir() else None
    embedded = EmbeddedServer(folder / "external", postgres_bin=postgres_bin)
    embedded.start()
    return embedded.dsn()


def call(*arguments: str | Path) -> Result:
    """Run the command and return how it ended; errors of ours are raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, AppError):
        raise result.exception
    return result


def call_main(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MAIN, *arguments], capture_output=True, text=True, timeout=60)


def sql(dsn: str, statement: str) -> str:
    program = EmbeddedServer(Path("unused")).binary("psql")
    command: list[str | Path] = [program, "-X", "-q", "-A", "-t", "-d", dsn, "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# --- the embedded server ---


def test_up_status_and_stop_tell_what_they_did(folder: Path) -> None:
    down = call("db", "status")
    assert down.exit_code == 3
    assert "not running" in down.output
    first = call("db", "up")
    assert first.exit_code == 0
    assert "started in" in first.output
    assert str(folder / "postgres" / "data") in first.output
    assert "was running already" in call("db", "up").output
    status = call("db", "status")
    assert status.exit_code == 0
    assert "fsync on" in status.output
    assert "postgresql://tongbao@/tongbao" in status.output
    assert "PostgreSQL stopped" in call("db", "stop").output
    assert "was not running" in call("db", "stop").output


def test_status_of_a_server_that_is_not_durable_warns(server: EmbeddedServer) -> None:
    sql(server.dsn(), "ALTER DATABASE tongbao SET synchronous_commit = off")
    try:
        assert "could be lost" in call("db", "status").output
    finally:
        sql(server.dsn(), "ALTER DATABASE tongbao RESET synchronous_commit")


def test_psql_passes_its_arguments_and_exit_status_on(server: EmbeddedServer) -> None:
    assert server.postmaster_pid is not None
    done = call_main("db", "psql", "-A", "-t", "-c", "SELECT count(*) FROM paid")
    assert (done.returncode, done.stdout) == (0, "1000\n")
    assert call_main("db", "psql", "-c", "SELECT no_such_column").returncode == 1


def test_dump_and_restore_bring_back_what_was_there(server: EmbeddedServer, folder: Path) -> None:
    file = folder / "whole.dump"
    result = call("db", "dump", file)
    assert "written to" in result.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(folder.glob("*.partial"))
    sql(server.dsn(), "DROP TABLE paid")
    assert "restored in" in call("db", "restore", file).output
    assert sql(server.dsn(), "SELECT sum(i) FROM paid") == "500500"


def test_dump_onto_an_existing_file_needs_force(server: EmbeddedServer, folder: Path) -> None:
    assert server.postmaster_pid is not None
    file = folder / "existing.dump"
    file.write_text("precious")
    with pytest.raises(Conflict, match="dump_file_exists"):
        call("db", "dump", file)
    assert file.read_text() == "precious"
    assert call("db", "dump", "--force", file).exit_code == 0
    assert file.read_bytes().startswith(b"PGDMP")


def test_dump_that_fails_leaves_no_file(server: EmbeddedServer, folder: Path) -> None:
    with pytest.raises(NotFound, match="dump_folder_missing"):
        call("db", "dump", folder / "nowhere" / "x.dump")
    target = archive.target_of_server(server)
    broken = archive.Target(server.dsn("no_such_database"), target.environment, target.programs, server)
    with pytest.raises(Unavailable, match="dump_failed"):
        archive.dump(broken, folder / "failed.dump", tick=lambda _: None)
    assert not list(folder.glob("failed.dump*"))


def test_restore_into_a_used_database_needs_force_and_then_replaces_all(
    server: EmbeddedServer, folder: Path
) -> None:
    file = folder / "replace.dump"
    call("db", "dump", "--force", file)
    sql(
        server.dsn(),
        "CREATE SCHEMA newer; CREATE TABLE newer.left_over (i int); DELETE FROM paid WHERE i > 10",
    )
    with pytest.raises(Conflict, match="database_not_empty"):
        call("db", "restore", file)
    assert sql(server.dsn(), "SELECT count(*) FROM paid") == "10"
    assert call("db", "restore", "--force", file).exit_code == 0
    assert sql(server.dsn(), "SELECT count(*) FROM paid") == "1000"
    assert sql(server.dsn(), "SELECT to_regclass('newer.left_over') IS NULL") == "t"
    databases = sql(server.dsn(), "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
    assert databases == "postgres template0 template1 tongbao"


def test_restore_that_breaks_off_changes_nothing(server: EmbeddedServer, folder: Path) -> None:
    file = folder / "broken.dump"
    sql(
        server.dsn(),
        "CREATE TABLE more AS SELECT i, repeat(md5(i::text), 20) AS t FROM generate_series(1, 5000) i",
    )
    call("db", "dump", "--force", file)
    with file.open("r+b") as archived:
        archived.truncate(file.stat().st_size * 2 // 3)
    with pytest.raises(Unavailable, match="restore_failed"):
        call("db", "restore", "--force", file)
    assert sql(server.dsn(), "SELECT count(*) FROM more") == "5000"
    assert sql(server.dsn(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'tongbao%'") == "1"
    sql(server.dsn(), "DROP TABLE more; DROP TABLE paid")
    with pytest.raises(Unavailable, match="restore_failed"):
        call("db", "restore", file)
    assert sql(server.dsn(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


def test_restore_over_a_database_in_use_is_a_conflict(server: EmbeddedServer, folder: Path) -> None:
    file = folder / "used.dump"
    call("db", "dump", "--force", file)
    command: list[str | Path] = [server.binary("psql"), "-d", server.dsn(), "-c", "SELECT pg_sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as session:
        while (
            sql(server.dsn(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
            != "t"
        ):
            pass
        with pytest.raises(Conflict, match="database_in_use"):
            call("db", "restore", "--force", file)
        session.terminate()


@pytest.mark.parametrize("content", [None, b"", b"CREATE TABLE x (i int);", b"PGDMP and nonsense"])
def test_restore_of_what_is_no_dump_is_refused(
    server: EmbeddedServer, folder: Path, content: bytes | None
) -> None:
    assert server.postmaster_pid is not None
    file = folder / "no.dump"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((NotFound, InvalidRequest), match=r"dump_file_missing|dump_unreadable"):
        call("db", "restore", file)


# --- a server that is not ours ---


def test_commands_leave_a_foreign_server_running_and_read_it(
    external_dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", external_dsn)
    assert "not ours" in call("db", "up").output
    assert "not ours" in call("db", "stop").output
    status = call("db", "status")
    assert status.exit_code == 0
    assert "not ours, answers" in status.output
    file = folder / "external.dump"
    sql(external_dsn, "CREATE TABLE theirs AS SELECT 7 AS i")
    assert call("db", "dump", file).exit_code == 0
    with pytest.raises(Conflict, match="database_not_empty"):
        call("db", "restore", file)
    with pytest.raises(NotPermitted, match="database_not_ours"):
        call("db", "restore", "--force", file)
    sql(external_dsn, "DROP TABLE theirs")
    assert call("db", "restore", file).exit_code == 0
    assert call_main("db", "psql", "-A", "-t", "-c", "SELECT i FROM theirs").stdout == "7\n"


def test_foreign_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", "postgresql://eve:hidden@127.0.0.1:1/x")
    done = call_main("db", "status")
    assert done.returncode == 2
    assert done.stderr.startswith("database_unreachable: ")
    assert "hidden" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("dsn", "bare", "password"),
    [
        (
            "postgresql://eve:p%40ss:x@h:1/d?sslmode=disable",
            "postgresql://eve@h:1/d?sslmode=disable",
            "p@ss:x",
        ),
        ("postgresql://eve@/d?host=/run/x&password=a+b", "postgresql://eve@/d?host=/run/x", "a+b"),
        ("postgres://eve:s@h1:1,h2:2/d", "postgres://eve@h1:1,h2:2/d", "s"),
        ("postgres://eve:s@[::1]:2/d", "postgres://eve@[::1]:2/d", "s"),
        ("postgresql:///d", "postgresql:///d", None),
    ],
)
def test_password_of_a_dsn_travels_in_the_environment_alone(
    dsn: str, bare: str, password: str | None
) -> None:
    target = archive.target_of_dsn(dsn, 15)
    assert target.dsn == bare
    assert target.environment.get("PGPASSWORD") == password


@pytest.mark.parametrize("dsn", ["host=x dbname=y", "mysql://eve:hidden@h/d", "postgresql://[::1/d"])
def test_dsn_that_is_no_url_of_postgresql_is_refused(dsn: str) -> None:
    with pytest.raises(InvalidRequest, match="database_url_invalid") as caught:
        archive.target_of_dsn(dsn, 15)
    assert "hidden" not in str(caught.value)


def test_dsn_that_asks_for_tls_is_not_given_to_programs_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(Path(__file__).parent))
    with pytest.raises(NotFound, match="postgres_client_without_tls"):
        archive.target_of_dsn("postgresql://eve@db.example/x?sslmode=verify-full", 15)


# --- the command line itself ---


def test_main_prints_an_error_in_one_line_and_exits_with_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONGBAO_POSTGRES_BIN", str(folder))
    done = call_main("db", "up")
    assert done.returncode == 2
    assert done.stderr.startswith("postgres_bin_invalid: ")
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() == ""


def test_main_with_a_wrong_setting_names_it_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_HTTP_PORT", "hidden")
    done = call_main("db", "up")
    assert done.returncode == 2
    assert done.stderr.startswith("settings_invalid: http_port")
    assert "hidden" not in done.stderr


def test_main_prints_its_version() -> None:
    assert call_main("--version").stdout == "tongbao 0.1.0\n"
