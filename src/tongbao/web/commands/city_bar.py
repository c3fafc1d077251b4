"""The progress bar of a city: the day it is, its weather, how many came, and the time that is left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tongbao.simulator.city.schema import CityTerms, Day, Visited


class Bar:
    """Tells how far a city is: the day, visits, and the time that is left."""

    def __init__(self, bar: Progress, terms: CityTerms) -> None:
        self._bar = bar
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

    def visited(self, visited: Visited) -> None:
        """Count a visit once."""
        if visited.number not in self._seen:
            self._seen.add(visited.number)
            count = len(self._seen)
            self._bar.update(self._task, completed=min(count, self._expected), visits=f"{count:,} visits")


@contextmanager
def shown_days(console: Console, terms: CityTerms, *, hidden: bool) -> Iterator[Bar]:
    """Show how far a city is, on a terminal; elsewhere nothing is shown."""
    columns = (
        TextColumn("{task.fields[day]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[visits]}"),
        TimeRemainingColumn(compact=True),
    )
    off = hidden or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=off) as bar:
        yield Bar(bar, terms)
