"""``tongbao run``: everything on one port – database, schema, ledger, background work, pages, a living street.

The server of data that are there already starts first, and comes up while the rest of the program is loaded.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer
from rich.console import Console

from tongbao.core.config import Settings
from tongbao.core.embedded.early import EarlyStart
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.web.commands.listening import listen
from tongbao.web.doors import load

RUNNING = "tongbao.web.commands.running"


def run(
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the old data first.")] = False,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    demo: Annotated[bool, typer.Option(help="Show a sandboxed world with merchants and shoppers.")] = True,
) -> None:
    """Start the whole system on this machine; Ctrl-C stops it cleanly, data stay in .tongbao/."""
    began_s = time.perf_counter()
    settings = Settings()
    if port is not None:
        settings = settings.model_copy(update={"http_port": port})
    console = Console(highlight=False)
    with listen(settings) as listening, _early(settings, fresh) as early:
        with console.status("Loading …"):
            running = load(RUNNING)
        start = running.Start(listening, console, began_s, early)
        running.run(settings, start, fresh=fresh, demo=demo)


def _early(settings: Settings, fresh: bool) -> AbstractContextManager[EarlyStart | None]:
    """Return the start of the embedded server where it has data that are to be kept, and that may be written."""
    home = settings.data_dir / "postgres"
    if fresh or settings.read_only or settings.database_url is not None or not home.is_dir():
        return nullcontext()
    return EarlyStart(EmbeddedServer(home, postgres_bin=settings.postgres_bin))
