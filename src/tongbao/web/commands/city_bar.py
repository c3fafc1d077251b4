"""The progress bar of a city: the day it is, its weather, how many came, and the time that is left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tongbao.simulator.city.schema import CityTerms, Day, Visited

LINE_EVERY_DAYS = 5
"""Where there is no terminal, so often a line is printed."""


class Bar:
    """Tells how far a city is: the day, visits, and the time that is left. ``lines`` is told in lines instead."""

    def __init__(self, bar: Progress, terms: CityTerms, lines: Console | None) -> None:
        self._bar = bar
        self._lines = lines
        self._seen: set[int] = set()
        self._days = 0
        self._expected = terms.days * terms.visits_per_day
        self._all_days = terms.days
        self._task = bar.add_task("city", total=self._expected, day="opening the house", visits="")

    def begun(self, day: Day, visits: int) -> None:
        """Show the day; what is left follows from the days that are known."""
        self._days += 1
        name = f"{day.on:%d %b} {day.sky.value}{f', {day.holiday}' if day.holiday else ''}"
        self._bar.update(self._task, day=f"day {self._days}/{self._all_days}: {name}")
        if self._lines is not None and self._days % LINE_EVERY_DAYS == 1:
            self._lines.print(f"City: day {self._days} of {self._all_days}, {len(self._seen):,} visits")

    def visited(self, visited: Visited) -> None:
        """Count a visit once."""
        if visited.number not in self._seen:
            self._seen.add(visited.number)
            count = len(self._seen)
            self._bar.update(self._task, completed=min(count, self._expected), visits=f"{count:,} visits")


@contextmanager
def shown_days(console: Console, terms: CityTerms, *, hidden: bool) -> Iterator[Bar]:
    """Show how far a city is: a bar on a terminal, a line now and then elsewhere."""
    columns = (
        TextColumn("{task.fields[day]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[visits]}"),
        TimeRemainingColumn(compact=True),
    )
    off = hidden or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=off) as bar:
        yield Bar(bar, terms, console if off and not hidden else None)
