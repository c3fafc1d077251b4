"""The progress bar of an import: lines by outcome, share of the file, rate and the time that is left."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tongbao.ledger.service.importing import Progress


@contextlib.contextmanager
def shown_progress(console: Console, *, hidden: bool) -> Iterator[Callable[[Progress], None]]:
    """Show how far an import is: share of the file, lines by outcome, rate and the time that is left."""
    columns = (
        TextColumn("{task.fields[counts]}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    off = hidden or not console.is_terminal
    begun = time.perf_counter()
    with Bar(*columns, console=console, transient=True, disable=off) as bar:
        task = bar.add_task("import", total=None, counts="reading", rate="")

        def tell(progress: Progress) -> None:
            counts = f"{progress.posted:,} posted"
            for name in ("exists", "refused"):
                count = getattr(progress, name)
                counts += f", {count:,} {name}" if count else ""
            rate = f"{progress.lines / (time.perf_counter() - begun):,.0f}/s"
            bar.update(
                task, total=progress.bytes_total, completed=progress.bytes_done, counts=counts, rate=rate
            )

        yield tell
