"""Reconciling: what the books expect against what channels and banks report, run by run.

A run takes everything of a source that is still open up to a day, pairs it, and writes matches and breaks in one commit. A run that
is killed leaves nothing; a run that is repeated finds nothing new. Two runs of one source wait for each other.

The leg ``channel`` compares movements with the channel's file, payment by payment; where a channel tells its funds in files of
their own, what moved is compared with what it told of payments. The leg ``bank`` compares what channels say they paid, and our
payouts, with the statement of the account. Sources of one channel that tell the same are one run, under the name of the first.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np

from tongbao.clearing.policy import breaking, matching, sources
from tongbao.clearing.policy.breaking import Sighting
from tongbao.clearing.policy.matching import HOWS, Difference, Matching, Terms
from tongbao.clearing.policy.matching_records import Words, day_number, day_of
from tongbao.clearing.policy.sources import Together
from tongbao.clearing.policy.statement_gaps import gaps_of
from tongbao.clearing.schema.breaks import BreakKind, Found, How, Leg, Run
from tongbao.clearing.schema.lines import LineKind, Side, SourceFile, SourceTerms
from tongbao.clearing.service import file_sightings, record_columns
from tongbao.clearing.service.record_columns import Side as Columns
from tongbao.clearing.store import breaks as break_store
from tongbao.clearing.store import lines as line_store
from tongbao.clearing.store import reconciliation as store
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import IdFactory

BREAKS_MAX = 200_000
"""More differences than this in one run are no reconciliation: the file is of another channel, or another currency unit."""
FILES_MAX = 2_000
LOOK_BACK = timedelta(days=120)
"""Records that found no other half for so long are in no run any more; their breaks stand until a person ends them."""
PAGE_MAX = 500
FEE_TOLERANCE_MINOR = 1
STATEMENT_DAYS = 1
"""Working days after which a statement should show what was to come."""
_ASKED_AT_ONCE = 5_000
_CHANNEL_KINDS = tuple(
    each.value for each in LineKind if each not in {LineKind.FEE, LineKind.TRANSFER, LineKind.PAYOUT}
)
_FUND_KINDS = (*_CHANNEL_KINDS, LineKind.FEE.value)
_BANK_KINDS = tuple(each.value for each in LineKind)
_PROGRESS = ("reading", "matching", "writing")

Progress = Callable[[str], None]
"""Hears which step a run is at: ``reading``, ``matching``, ``writing``."""
WorkingDay = Callable[[Sequence[str], date, int], date]
"""Returns the day that lies so many working days of these calendars after a day."""


class Loaded(NamedTuple):
    """Both sides of a run."""

    expected: Columns
    reported: Columns
    words: Words


class Reconciling:
    """Runs reconciliations. One object a process."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory, working_day: WorkingDay) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._working_day = working_day

    async def run(self, source: str, until_on: date, actor: str, *, progress: Progress | None = None) -> Run:
        """Reconcile a source up to a day (inclusive) and return what came of it; repeatable.

        Raises NotFound ``source_unknown``, InvalidRequest ``breaks_too_many``: nothing is written then.
        """
        tell = progress or (lambda _step: None)
        began = time.perf_counter()
        async with self._database.transaction() as connection:
            known = {each.source: each for each in await line_store.sources(connection)}
            if source not in known:
                raise NotFound("source_unknown", f"nobody called {source} sends files here")
            group = sources.together(source, known)
            await store.lock_source(connection, group.lead.source)
            order = _Order(self._ids.uuid(), group, until_on, self._clock.now(), actor)
            await store.be_patient(connection)
            tell(_PROGRESS[0])
            files = await self._files(connection, group)
            loaded = await self._load(connection, order, known, files)
            tell(_PROGRESS[1])
            found = await asyncio.to_thread(_matched, loaded, until_on)
            tell(_PROGRESS[2])
            await store.add_matched(connection, order.id, order.leg, _rows(found, loaded))
            sightings = await self._sightings(connection, order, found, loaded)
            sightings += await self._of_files(connection, order, files, sightings)
            await self._write_breaks(connection, order, sightings)
            run = _summary(order, found, loaded, sightings)
            run = msgspec.structs.replace(run, took_ms=round((time.perf_counter() - began) * 1_000))
            await store.add_run(connection, run)
        return run

    async def get(self, run_id: UUID) -> Run:
        """Return a run; raise NotFound ``run_unknown``."""
        async with self._database.connection() as connection:
            run = await store.run(connection, run_id)
        if run is None:
            raise NotFound("run_unknown", "there is no such run")
        return run

    async def page(
        self,
        leg: Leg | None = None,
        source: str | None = None,
        before: UUID | None = None,
        limit: int = 50,
    ) -> list[Run]:
        """Return runs, newest first."""
        async with self._database.connection() as connection:
            return await store.runs(connection, leg, source, before, max(1, min(limit, PAGE_MAX)))

    async def _files(self, connection: Connection, group: Together) -> dict[str, list[SourceFile]]:
        """Return the files of each source of a run that were read."""
        return {name: await line_store.of_source(connection, name, FILES_MAX) for name in group.names}

    async def _load(
        self,
        connection: Connection,
        order: "_Order",
        known: dict[str, SourceTerms],
        files: dict[str, list[SourceFile]],
    ) -> Loaded:
        words, terms = Words(), order.terms
        within = store.Within(
            order.since_on, order.until_on, tuple(await store.unread(connection)), terms.zone
        )
        if order.group.is_funds:
            return await self._load_funds(connection, order, within, files)
        if order.leg is Leg.CHANNEL:
            mine = store.movements(connection, terms.of_channel, within)
            expected = await record_columns.of_movements(mine, words, self._due(terms, terms.report_days))
            lines = store.lines(connection, order.group.names, within, Leg.CHANNEL, _CHANNEL_KINDS)
            reported = await record_columns.of_lines(
                lines, words, amount="gross_minor", tells_fees=terms.tells_fees
            )
            return Loaded(expected, reported, words)

        async def mine_of_bank() -> store.Pages:
            async for rows in store.transfers(connection, sources.senders_to(terms.source, known), within):
                yield rows
            async for rows in store.payouts(connection, terms.source, within):
                yield rows

        expected = await record_columns.of_moneys(mine_of_bank(), words, self._due(terms, STATEMENT_DAYS))
        lines = store.lines(connection, order.group.names, within, Leg.BANK, _BANK_KINDS)
        reported = await record_columns.of_lines(lines, words, amount="net_minor", tells_fees=False)
        return Loaded(expected, reported, words)

    async def _load_funds(
        self,
        connection: Connection,
        order: "_Order",
        within: store.Within,
        files: dict[str, list[SourceFile]],
    ) -> Loaded:
        """Return what a channel told of payments from the first file of funds on, and what moved in its account."""
        words, terms = Words(), order.terms
        begun = [each.header.from_on for some in files.values() for each in some if each.header.from_on]
        since_on = max(within.since_on, min(begun, default=within.until_on))
        told = store.told(connection, order.group.tellers, within._replace(since_on=since_on))
        expected = await record_columns.of_moneys(told, words, self._due(terms, terms.report_days))
        lines = store.lines(connection, order.group.names, within, Leg.CHANNEL, _FUND_KINDS)
        reported = await record_columns.of_lines(lines, words, amount="gross_minor", tells_fees=False)
        return Loaded(expected, reported, words)

    def _due(self, terms: SourceTerms, days: int) -> Callable[[date], date]:
        """Return until when something of a day should be reported; each day is reckoned once."""
        known: dict[date, date] = {}

        def due(on: date) -> date:
            found = known.get(on)
            if found is None:
                found = known[on] = self._working_day(terms.calendars, on, days)
            return found

        return due

    async def _sightings(
        self, connection: Connection, order: "_Order", found: Matching, loaded: Loaded
    ) -> list[Sighting]:
        """Return the differences with the records they are about; what was matched before makes a line a repeat of it."""
        unexpected = [
            loaded.reported.line_id(each.reported[0])
            for each in found.differences
            if each.kind is BreakKind.UNEXPECTED
        ]
        known: dict[int, tuple[bool, bool]] = {}
        for begin in range(0, len(unexpected), _ASKED_AT_ONCE):
            known |= await store.seen(connection, unexpected[begin : begin + _ASKED_AT_ONCE], order.leg)
        sightings = [_sighting(each, loaded, known, order.until_on) for each in found.differences]
        if order.group.is_funds:
            sightings = [file_sightings.about_funds(each) for each in sightings]
        return sightings + await self._late_costs(connection, order)

    async def _of_files(
        self,
        connection: Connection,
        order: "_Order",
        files: dict[str, list[SourceFile]],
        sightings: Sequence[Sighting],
    ) -> list[Sighting]:
        """Return what is wrong with files as such: those that are missing, and lines that are of none of their days."""
        found: list[Sighting] = []
        for terms in order.group.sources:
            gaps = gaps_of(files[terms.source], terms, order.until_on, self._days_of(terms))
            found += file_sightings.of_gaps(gaps, terms.source, order.terms.source)
        named = {line for each in sightings for line in each.found.reported}
        strays = file_sightings.strays_of(files.values(), order.since_on)
        lines = await store.strays(connection, [each for each in strays if each not in named])
        return found + file_sightings.of_strays(lines, strays)

    def _days_of(self, terms: SourceTerms) -> Callable[[date, int], date]:
        return lambda on, days: self._working_day(terms.calendars, on, days)

    async def _late_costs(self, connection: Connection, order: "_Order") -> list[Sighting]:
        """Return the costs that differ of pairs whose batch was priced only after they had been made."""
        if order.leg is not Leg.CHANNEL or order.group.is_funds:
            return []
        since = await store.last_run_at(connection, order.terms.source)
        if since is None:
            return []
        rows = await store.priced_since(
            connection,
            order.terms.of_channel,
            since,
            FEE_TOLERANCE_MINOR,
            tells_fees=order.terms.tells_fees,
            limit=BREAKS_MAX,
        )
        return [
            Sighting(
                Found(
                    kind=BreakKind.FEE_MISMATCH,
                    expected=(row["expected_id"],),
                    reported=(row["line_id"],),
                    currency=row["currency"],
                    difference_minor=row["difference"],
                ),
                row["day"],
                row["book_id"],
            )
            for row in rows
        ]

    async def _write_breaks(
        self, connection: Connection, order: "_Order", sightings: Sequence[Sighting]
    ) -> None:
        run = breaking.Run(order.leg, order.terms.source, order.started_at, order.since_on)
        ids = [breaking.break_id(run.leg, run.source, each.found) for each in sightings]
        standing = {
            each.id: each for each in await break_store.standing(connection, run.leg, run.source, ids)
        }
        await break_store.put(connection, breaking.seen(standing, sightings, run))


class _Order(NamedTuple):
    """Which run it is: its id, of whom, up to which day, since when, by whom."""

    id: UUID
    group: Together
    until_on: date
    started_at: datetime
    actor: str

    @property
    def terms(self) -> SourceTerms:
        """What is agreed with the source under whose name it is."""
        return self.group.lead

    @property
    def since_on(self) -> date:
        """The first day whose records are compared."""
        return self.until_on - LOOK_BACK

    @property
    def leg(self) -> Leg:
        """Which two truths it compares."""
        return Leg.CHANNEL if self.terms.side is Side.CHANNEL else Leg.BANK


def _matched(loaded: Loaded, until_on: date) -> Matching:
    """Return what belongs together; raise InvalidRequest ``breaks_too_many``."""
    terms = Terms(until_on=day_number(until_on), fee_tolerance_minor=FEE_TOLERANCE_MINOR)
    found = matching.match(loaded.expected.records, loaded.reported.records, terms)
    if len(found.differences) > BREAKS_MAX:
        raise InvalidRequest(
            "breaks_too_many",
            f"{len(found.differences):,} differences: is this the file of another account, or another unit?",
        )
    return found


def _rows(found: Matching, loaded: Loaded) -> Iterator[tuple[int, UUID, float, int]]:
    """Yield the matches as they are kept; one of several is a star around its first record."""
    mine, theirs = loaded.expected, loaded.reported
    for index, other, how in zip(
        found.expected.tolist(), found.reported.tolist(), found.how.tolist(), strict=True
    ):
        yield theirs.line_id(other), mine.expected_id(index), 1.0, how
    total = HOWS.index(How.TOTAL)
    for group in found.groups:
        for index in group.expected:
            yield theirs.line_id(group.reported[0]), mine.expected_id(index), 1.0, total
        for other in group.reported[1:]:
            yield theirs.line_id(other), mine.expected_id(group.expected[0]), 1.0, total


def _sighting(
    of: Difference, loaded: Loaded, known: dict[int, tuple[bool, bool]], until_on: date
) -> Sighting:
    mine, theirs = loaded.expected, loaded.reported
    first = (mine.records, of.expected[0]) if of.expected else (theirs.records, of.reported[0])
    kind = of.kind
    if kind is BreakKind.UNEXPECTED:
        again, back = known.get(theirs.line_id(of.reported[0]), (False, False))
        kind = BreakKind.RETURN_LATE if back else BreakKind.DUPLICATE if again else kind
    found = Found(
        kind=kind,
        expected=tuple(mine.expected_id(index) for index in of.expected),
        reported=tuple(theirs.line_id(index) for index in of.reported),
        currency=loaded.words.texts[int(first[0].currency[first[1]])],
        difference_minor=of.difference,
        facts={"cause": of.cause} if of.cause else {},
    )
    on = day_of(int(first[0].on[first[1]])) or until_on
    return Sighting(found, on, mine.book_id(of.expected[0]) if of.expected else None)


def _digest(found: Matching, loaded: Loaded) -> "hashlib._Hash":
    """Return a digest over all pairs in the order of their lines, whatever order they were found in."""
    pairs = np.zeros(len(found.expected), dtype=[("line", ">i8"), ("expected", "V16"), ("how", "u1")])
    pairs["line"] = loaded.reported.keys[found.reported]
    pairs["expected"] = loaded.expected.keys[found.expected]
    pairs["how"] = found.how
    digest = hashlib.sha256(pairs[np.argsort(pairs["line"], kind="stable")].tobytes())
    for group in found.groups:
        for side, indexes in ((loaded.expected, group.expected), (loaded.reported, group.reported)):
            digest.update(side.keys[list(indexes)].tobytes())
    return digest


def _summary(order: _Order, found: Matching, loaded: Loaded, sightings: Sequence[Sighting]) -> Run:
    """Return the run by its counts; its digest is over everything that it found, in an order of its own."""
    by_how = Counter(HOWS[how].value for how in found.how.tolist())
    if found.groups:
        by_how[How.TOTAL.value] += len(found.groups)
    digest = _digest(found, loaded)
    for each in sorted(msgspec.json.encode(sighting.found) for sighting in sightings):
        digest.update(each)
    return Run(
        id=order.id,
        leg=order.leg,
        source=order.terms.source,
        until_on=order.until_on,
        expected_count=len(loaded.expected.records),
        reported_count=len(loaded.reported.records),
        matched_count=len(found.expected) + sum(len(group.expected) for group in found.groups),
        break_count=len(sightings),
        by_how=dict(by_how),
        by_kind=dict(Counter(each.found.kind.value for each in sightings)),
        digest=digest.digest(),
        started_at=order.started_at,
        started_by=order.actor,
    )
