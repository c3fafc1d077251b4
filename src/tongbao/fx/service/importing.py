"""Taking in files of reference rates: read line by line, kept in one commit, the same file once."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, InvalidRequest
from tongbao.fx import store
from tongbao.fx.policy import ecb_lines
from tongbao.fx.schema import ECB, REFUSED_SHOWN_MAX, ImportedFile, PublishedRate, RefusedLine
from tongbao.fx.service.rate_files import digest_of, open_rows

CHUNK_RATES = 4_000
"""So many rates are written in one statement: a hundred days of forty currencies."""
AHEAD = timedelta(days=1)
"""Nowhere is it later than a day after the clock's own date."""


class Importing:
    """Takes in files; one object per process, several processes follow one another."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def take(
        self, path: Path, *, actor: str, tell: Callable[[int], None] = lambda _lines: None
    ) -> ImportedFile:
        """Keep the rates of a file of the European Central Bank, CSV or ZIP; one commit, all of its good lines or nothing.

        The same bytes again change nothing and return what came of them. A rate that was known otherwise is a new revision.
        A bad line is left out, counted, and told with its number and reason. ``tell`` hears how many lines were read.
        Raises as ``rate_files`` and ``ecb_lines.heading`` do, InvalidRequest ``rates_file_empty``, ``rates_file_refused``
        where no line at all is good.
        """
        digest = digest_of(path)
        now = self._clock.now()
        async with self._database.transaction() as connection:
            await store.begin(connection, ECB, now)
            known = await store.file(connection, ECB, digest)
            if known is not None:
                return msgspec.structs.replace(known, is_repeat=True)
            with open_rows(path) as rows:
                taking = _Taking(rows, (now + AHEAD).date())
                for chunk in taking.chunks():
                    added = await store.add(connection, (ECB, digest), now, chunk)
                    taking.count(len(chunk), added)
                    tell(taking.line_count)
            made = taking.result(digest)
            await self._keep(connection, made, actor)
        return made

    async def _keep(self, connection: Connection, made: ImportedFile, actor: str) -> None:
        if not made.line_count:
            raise InvalidRequest("rates_file_empty", "the file has a heading and no rates")
        if made.refused_count == made.line_count:
            first = made.refused[0]
            raise InvalidRequest(
                "rates_file_refused", f"no line is good; line {first.number}: {first.code}: {first.detail}"
            )
        await store.keep_file(connection, made, self._clock.now(), actor)


class _Taking:
    """A file on its way: its lines as chunks of rates, and what came of them."""

    def __init__(self, rows: Iterator[list[str]], last_on: date) -> None:
        self._rows = rows
        self._last_on = last_on
        self._heading = ecb_lines.heading(next(rows, []))
        self._days: set[date] = set()
        self._refused: list[RefusedLine] = []
        self._refused_count = self._missing_count = 0
        self._new_count = self._corrected_count = self._rate_count = 0
        self.line_count = 0

    def chunks(self) -> Iterator[list[PublishedRate]]:
        """Yield rates, each pair and day once in the whole file, about ``CHUNK_RATES`` at a time."""
        waiting: list[PublishedRate] = []
        for number, cells in enumerate(self._rows, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            self.line_count += 1
            waiting += self._line(number, cells)
            if len(waiting) >= CHUNK_RATES:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def count(self, rate_count: int, added: store.Added) -> None:
        """Take note of what was written."""
        self._rate_count += rate_count
        self._new_count += added.new_count
        self._corrected_count += added.corrected_count

    def result(self, digest: str) -> ImportedFile:
        """Return what came of the file."""
        return ImportedFile(
            source=ECB,
            digest=digest,
            line_count=self.line_count,
            new_count=self._new_count,
            same_count=self._rate_count - self._new_count - self._corrected_count,
            corrected_count=self._corrected_count,
            missing_count=self._missing_count,
            refused_count=self._refused_count,
            refused=tuple(self._refused),
            withdrawn=self._heading.withdrawn,
            first_on=min(self._days, default=None),
            last_on=max(self._days, default=None),
        )

    def _line(self, number: int, cells: list[str]) -> tuple[PublishedRate, ...]:
        try:
            found = ecb_lines.day(self._heading, cells)
            if found.published_on > self._last_on:
                raise InvalidRequest("rates_day_invalid", f"{found.published_on} is still to come")
            if found.published_on in self._days:
                raise InvalidRequest("rates_day_twice", f"{found.published_on} stands in the file already")
        except AppError as error:
            self._refused_count += 1
            if len(self._refused) < REFUSED_SHOWN_MAX:
                self._refused.append(RefusedLine(number, error.code, error.detail))
            return ()
        self._days.add(found.published_on)
        self._missing_count += found.missing_count
        return found.rates
