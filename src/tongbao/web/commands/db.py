"""``tongbao db``: the database server from the command line.

Works on the embedded server or, when TONGBAO_DATABASE_URL is set, on that server, which is looked at, dumped and
filled but never started or stopped.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from tongbao.core.config import Settings
from tongbao.core.embedded import archive, durability
from tongbao.core.embedded.server import EmbeddedServer, ServerStatus

NOT_RUNNING_EXIT = 3
"""Exit status of ``status`` for a server that is down, so that scripts can ask."""

app = typer.Typer(no_args_is_help=True, help="Start, stop, look at, dump and restore the database.")
console = Console(highlight=False)


@app.command()
def up() -> None:
    """Start the embedded server; on the first start make its data. Does nothing where it runs."""
    settings = _settings()
    if settings.database_url is not None:
        console.print(
            "TONGBAO_DATABASE_URL names a server that is not ours: nothing to start.", soft_wrap=True
        )
        return
    server = _embedded(settings)
    begun = time.perf_counter()
    with console.status("Starting PostgreSQL …"):
        started = server.start()
    status = server.status()
    took = f"started in {time.perf_counter() - begun:.1f} s" if started else "was running already"
    _headline(f"PostgreSQL {status.version} {took}", good=True)
    _print_places(status)


@app.command()
def stop() -> None:
    """Stop the embedded server; open sessions end, committed work is kept."""
    settings = _settings()
    if settings.database_url is not None:
        console.print(
            "TONGBAO_DATABASE_URL names a server that is not ours: nothing to stop.", soft_wrap=True
        )
        return
    with console.status("Stopping PostgreSQL …"):
        stopped = _embedded(settings).stop()
    console.print("PostgreSQL stopped; the data are kept." if stopped else "PostgreSQL was not running.")


@app.command()
def status() -> None:
    """Show whether the server runs, where it is and whether it is durable; exit with 3 where it is down."""
    settings = _settings()
    if settings.database_url is not None:
        dsn = settings.database_url.get_secret_value()
        facts = asyncio.run(archive.server_facts(dsn))
        _headline(f"PostgreSQL {facts.version}, not ours, answers", good=True)
        _line("database", facts.database)
        _line("size", decimal(facts.database_bytes))
        _print_durability(facts)
        return
    server = _embedded(settings)
    found = server.status()
    if not found.running:
        _headline(
            "PostgreSQL is not running" if found.pid is None else "PostgreSQL is not ready yet", good=False
        )
        _print_places(found)
        raise typer.Exit(NOT_RUNNING_EXIT)
    facts = asyncio.run(archive.server_facts(server.dsn()))
    _headline(f"PostgreSQL {facts.version} runs, process {found.pid} of user {found.user}", good=True)
    _print_places(found)
    _print_durability(facts)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open PostgreSQL's own shell on the database; further arguments go to psql."""
    target = _target(_settings())
    program = target.programs.path("psql")
    # psql takes the place of this process, so that the terminal and its signals are psql's alone.
    os.execve(program, [str(program), "-d", target.dsn, *context.args], dict(target.environment))  # noqa: S606


@app.command()
def dump(
    file: Annotated[Path, typer.Argument(help="File to write, in pg_dump's custom format.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the whole database to FILE."""
    target = _target(_settings())
    begun = time.perf_counter()
    with _progress(SpinnerColumn(), TextColumn("Dumping {task.fields[written]}")) as progress:
        task = progress.add_task("dump", total=None, written="")
        written_bytes = archive.dump(
            target,
            file,
            replace=force,
            tick=lambda done_bytes: progress.update(task, written=decimal(done_bytes)),
        )
    _headline(f"{decimal(written_bytes)} written to {file} in {time.perf_counter() - begun:.1f} s", good=True)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="File that `tongbao db dump` has written.")],
    force: Annotated[bool, typer.Option("--force", help="Replace all that the database holds.")] = False,
) -> None:
    """Bring the database to what FILE holds, all or nothing."""
    target = _target(_settings())
    begun = time.perf_counter()
    with _progress(TextColumn("Restoring"), BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task("restore", total=None)
        archive.restore(
            target,
            file,
            replace=force,
            tick=lambda done_count, count: progress.update(task, completed=done_count, total=count),
        )
    _headline(f"{file} restored in {time.perf_counter() - begun:.1f} s", good=True)


def _settings() -> Settings:
    # Reads the environment as Settings() does; the type checker takes that call for one without its arguments.
    return Settings.model_validate({})


def _embedded(settings: Settings) -> EmbeddedServer:
    return EmbeddedServer(settings.data_dir / "postgres", postgres_bin=settings.postgres_bin)


def _target(settings: Settings) -> archive.Target:
    if settings.database_url is None:
        return archive.target_of_server(_embedded(settings))
    dsn = settings.database_url.get_secret_value()
    facts = asyncio.run(archive.server_facts(dsn))
    return archive.target_of_dsn(dsn, facts.version_major, settings.postgres_bin)


def _progress(*columns: ProgressColumn) -> Progress:
    hidden = not console.is_terminal
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden)


def _headline(text: str, *, good: bool) -> None:
    console.print(Text(text, style="bold green" if good else "bold yellow"), soft_wrap=True)


def _line(label: str, value: object) -> None:
    console.print(Text.assemble((f"  {label:<11}", "dim"), str(value)), soft_wrap=True)


def _print_places(found: ServerStatus) -> None:
    _line("data", f"{found.data_dir} ({decimal(found.data_bytes)})")
    _line("log", found.log_file)
    _line("DSN", found.dsn)
    for note in found.notes:
        _line("note", note)


def _print_durability(facts: archive.ServerFacts) -> None:
    wrong = durability.not_durable(facts.settings)
    shown = ", ".join(f"{name} {value}" for name, value in facts.settings.items())
    _line("durability", shown)
    if wrong:
        _headline(f"Acknowledged payments could be lost or spoiled: check {', '.join(wrong)}.", good=False)
