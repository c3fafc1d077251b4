"""The break desk: what people do about differences. They look, explain, match by hand, and write off by two.

Every act is one commit under the lock that runs of the source wait for, so that no run pairs a record while somebody decides
about it. Each is kept with who, when and why, and the same act again by the same person changes nothing. What is written off or
matched by hand stands in the matches, so that no later run sees it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.policy import break_sides, breaking, closing
from tongbao.clearing.policy.break_sides import NO_LINE, NO_RECORD
from tongbao.clearing.policy.break_texts import LANGUAGES, suggestion_text
from tongbao.clearing.policy.house_postings import WrittenOff, written_off
from tongbao.clearing.policy.matching import HOWS
from tongbao.clearing.policy.suggesting import Advice, advise
from tongbao.clearing.schema.break_sides import Match, Part, Sides, View
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Found, How, Leg
from tongbao.clearing.schema.days import AgeLine
from tongbao.clearing.schema.lines import SourceTerms
from tongbao.clearing.service.house_money import HouseMoney
from tongbao.clearing.service.reconciling import STATEMENT_DAYS, WorkingDay
from tongbao.clearing.store import batches, modes
from tongbao.clearing.store import break_sides as sides_store
from tongbao.clearing.store import breaks as store
from tongbao.clearing.store import lines as line_store
from tongbao.clearing.store import reconciliation as match_store
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, InvariantBroken, NotFound
from tongbao.core.ids import derive
from tongbao.ledger.service.ledger import Ledger

PAGE_MAX = 200
BESIDE_MAX = 500
"""So many other breaks of a source are looked at for one that a suggestion may point to."""
MATCHED_MAX = 100
"""Breaks that one act puts together at most."""
PERSON = HOWS.index(How.PERSON)


class _Act(NamedTuple):
    """What a person does with a break, and the state in which it is then."""

    state: BreakState
    actor: str
    note: str
    change: Callable[[Break, datetime, str, str], Break]


class BreakDesk:
    """Reads and ends breaks. One object per process; any number of people at any number of them."""

    def __init__(
        self, database: Database, ledger: Ledger, clock: Clock, money: HouseMoney, working_day: WorkingDay
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._money = money
        self._working_day = working_day

    async def page(
        self,
        *,
        states: Sequence[BreakState] | None = tuple(breaking.STANDING),
        of: tuple[BreakKind | None, str | None, int | None] = (None, None, None),
        before: tuple[date, UUID] | None = None,
        limit: int = 50,
    ) -> list[View]:
        """Return breaks with both sides and a suggestion, newest day first, at most ``PAGE_MAX``.

        ``of``: kind, source and the merchant's book, None for any; ``states``: None for any; ``before``: the day and id of the
        last one of the page before.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            found = await store.page(connection, states, of, before, max(1, min(limit, PAGE_MAX)))
            return await self._views(connection, found)

    async def get(self, break_id: UUID) -> tuple[View, list[dict[str, object]]]:
        """Return a break with both sides, and what was done about it, oldest first; raise NotFound ``break_unknown``.

        The acts: ``version``, ``at``, ``state``, ``actor``, ``note``.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            found = await store.by_id(connection, break_id)
            if found is None:
                raise _unknown(break_id)
            (view,) = await self._views(connection, [found])
            return view, await store.acts(connection, break_id)

    async def ages(self, on: date) -> tuple[AgeLine, ...]:
        """Return the breaks that stand on a day by kind, currency and age, amounts without their signs."""
        async with self._database.connection() as connection:
            return closing.age_lines(await store.ages(connection, on))

    async def explain(
        self, break_id: UUID, *, actor: str, note: str, seen_version: int | None = None
    ) -> Break:
        """Say why there is a difference; it still has to be mended.

        This and the other acts raise NotFound ``break_unknown``, InvalidRequest ``note_invalid``, Conflict ``break_closed``, and
        ``break_changed`` where ``seen_version`` is given and not the newest.
        """
        act = _Act(BreakState.EXPLAINED, actor, note, breaking.explained)
        return await self._change(break_id, act, seen_version)

    async def resolve(
        self, break_id: UUID, *, actor: str, note: str, seen_version: int | None = None
    ) -> Break:
        """End a break that was mended elsewhere; a run that still sees the difference opens it again."""
        act = _Act(BreakState.RESOLVED, actor, note, breaking.resolved)
        return await self._change(break_id, act, seen_version)

    async def assign(
        self, break_id: UUID, assignee: str, *, actor: str, note: str, seen_version: int | None = None
    ) -> Break:
        """Let somebody look after a break, by how trails name them; nobody where ``assignee`` is empty.

        The same once more changes nothing. Raises InvalidRequest ``assignee_invalid`` too.
        """
        async with self._database.transaction() as connection:
            known = await self._locked(connection, break_id)
            if known.assignee == assignee:
                return known
            _check_seen(known, seen_version)
            after = breaking.assigned(known, self._clock.now(), actor, note, assignee)
            await store.put(connection, [after])
        return after

    async def propose(
        self, break_id: UUID, *, actor: str, note: str, seen_version: int | None = None
    ) -> Break:
        """Propose to write a difference off; raises InvalidRequest ``nothing_to_write_off`` too."""
        act = _Act(BreakState.PROPOSED, actor, note, breaking.proposed)
        return await self._change(break_id, act, seen_version)

    async def decline(
        self, break_id: UUID, *, actor: str, note: str, seen_version: int | None = None
    ) -> Break:
        """Refuse a write-off as the second person. Raises NotPermitted ``four_eyes``, Conflict ``break_not_proposed``."""
        act = _Act(BreakState.OPEN, actor, note, breaking.declined)
        return await self._change(break_id, act, seen_version)

    async def approve(
        self, break_id: UUID, *, actor: str, note: str = "", seen_version: int | None = None
    ) -> Break:
        """Write a proposed break off as the second person: state, matches and transfers in one commit; return it.

        Two approvals at once write it off once. Raises as ``decline`` does; Conflict ``record_matched`` where one of its records
        was matched meanwhile, ``side_missing``; InvariantBroken ``write_off_refused``.
        """
        await self._accounts_for(break_id)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            known = await self._locked(connection, break_id)
            if known.state is BreakState.WRITTEN_OFF and known.actor == actor:
                return known
            _check_seen(known, seen_version)
            after = breaking.written_off(known, self._clock.now(), actor, note)
            sides = (await self._sides(connection, [known]))[known.id]
            parts, matches = break_sides.write_off(known, sides)
            await self._keep(connection, known, matches)
            await store.put(connection, [after])
            await self._post(connection, turn, known, parts)
        return after

    async def match(
        self,
        break_ids: Sequence[UUID],
        *,
        actor: str,
        note: str,
        expected: Collection[UUID] | None = None,
        reported: Collection[int] | None = None,
    ) -> list[Break]:
        """Put the records of breaks of one source together by hand; return these breaks, and a new one for what is left.

        ``expected`` and ``reported`` keep only these of their records; of what is not taken the next run opens breaks anew. The
        same match again by the same person changes nothing. Raises InvalidRequest ``breaks_invalid``, ``note_invalid`` and as
        ``policy.break_sides.paired`` does; Conflict ``break_closed``, ``record_matched``.
        """
        wanted = list(dict.fromkeys(break_ids))
        if not 0 < len(wanted) <= MATCHED_MAX:
            raise InvalidRequest("breaks_invalid", f"from 1 to {MATCHED_MAX} breaks are matched at once")
        now = self._clock.now()
        async with self._database.transaction() as connection:
            first = await self._locked(connection, wanted[0])
            known = [first, *[await self._locked(connection, each, first) for each in sorted(wanted[1:])]]
            if all(
                (each.state, each.actor, each.note) == (BreakState.RESOLVED, actor, note) for each in known
            ):
                return known
            for each in known:
                _check_standing(each)
            after = [breaking.resolved(each, now, actor, note) for each in known]
            sides = await self._sides(connection, known)
            chosen = _chosen(known, sides, expected, reported)
            matches, rest_minor, currency = break_sides.paired(chosen)
            await self._keep(connection, after[0], matches)
            if rest_minor:
                found = _rest(chosen, rest_minor, currency)
                after.append(breaking.rest_of(after[0], found, now, actor, note))
            await store.put(connection, after)
        return after

    async def _change(self, break_id: UUID, act: "_Act", seen_version: int | None) -> Break:
        async with self._database.transaction() as connection:
            known = await self._locked(connection, break_id)
            if (known.state, known.actor, known.note) == act[:3]:
                return known
            _check_seen(known, seen_version)
            if act.state is not BreakState.OPEN:  # Refusing says by itself that nothing waits to be refused.
                _check_standing(known)
            after = act.change(known, self._clock.now(), act.actor, act.note)
            await store.put(connection, [after])
        return after

    async def _locked(self, connection: Connection, break_id: UUID, held: Break | None = None) -> Break:
        """Return a break under the lock of its source and its own; ``held``: one whose source is locked already."""
        known = await store.by_id(connection, break_id)
        if known is None:
            raise _unknown(break_id)
        if held is None:
            await batches.be_patient(connection)
            await match_store.lock_source(connection, known.source)
        elif (known.leg, known.source) != (held.leg, held.source):
            raise InvalidRequest("breaks_invalid", "only breaks of one source are matched with each other")
        return await store.by_id(connection, break_id, lock=True) or known

    async def _keep(self, connection: Connection, of: Break, matches: Sequence[Match]) -> None:
        """Write matches; raise Conflict ``record_matched`` where one of the records is in one already."""
        lines = [line for line, _ in matches if line != NO_LINE]
        records = [record for _, record in matches if record != NO_RECORD]
        if await sides_store.matched(connection, of.leg, lines, records):
            raise Conflict("record_matched", f"a record of {of.reference} was matched meanwhile")
        rows = [(line, record, 1.0, PERSON) for line, record in matches]
        await match_store.add_matched(connection, derive(of.id, f"hand:{of.version}"), of.leg, rows)

    async def _post(
        self, connection: Connection, turn: AsyncExitStack, of: Break, parts: Sequence[Part]
    ) -> None:
        """Post a write-off in the caller's transaction; ``turn`` is left after its commit."""
        live = await modes.is_live(connection, of.source)
        found = [await self._part(of.source, part, live=live) for part in parts]
        transfers = written_off(of.id, of.opened_at, of.reference, found)
        posting = await turn.enter_async_context(self._ledger.posting.joining(transfers, exactly=True))
        for result in await posting.write(connection) or ():
            if not result.accepted:
                raise InvariantBroken(
                    "write_off_refused",
                    f"the ledger refused {result.refusal}: {result.detail}",
                    id=of.reference,
                )

    async def _part(self, source: str, part: Part, *, live: bool) -> WrittenOff:
        """Return a part with the accounts that it goes to; opens what is missing of them."""
        label = f"{part.account}:{part.book_id or 'house'}:{part.currency}"
        if part.book_id is None:
            house = await self._money.platform(part.currency, live=live)
            account = house.bank if part.account == "bank" else house.suspense
            return WrittenOff(label, house, account, part.amount_minor)
        money = await self._money.merchant(part.book_id, source, part.currency)
        account = money.channel_cost if part.account == "cost" else money.receivable
        return WrittenOff(label, money, account, part.amount_minor)

    async def _accounts_for(self, break_id: UUID) -> None:
        """Open the accounts of a write-off before its transaction begins, so that it waits for nobody else's."""
        async with self._database.transaction(read_only=True) as connection:
            known = await store.by_id(connection, break_id)
            if known is None or known.state is not BreakState.PROPOSED:
                return
            sides = (await self._sides(connection, [known]))[known.id]
            live = await modes.is_live(connection, known.source)
        for part in break_sides.write_off(known, sides)[0]:
            await self._part(known.source, part, live=live)

    async def _sides(self, connection: Connection, breaks: Iterable[Break]) -> dict[UUID, Sides]:
        """Return both sides of breaks; a record that is nowhere is left out."""
        known = list(breaks)
        found: dict[UUID, Sides] = {}
        for leg in Leg:
            mine = [each for each in known if each.leg is leg]
            ids = [record for each in mine for record in each.found.expected]
            books = {each.book_id for each in mine if each.book_id is not None}
            expected = await sides_store.expected(connection, leg, ids, books)
            lines = [line for each in mine for line in each.found.reported]
            reported = await sides_store.reported(connection, leg, lines)
            for each in mine:
                found[each.id] = Sides(
                    tuple(expected[record] for record in each.found.expected if record in expected),
                    tuple(reported[line] for line in each.found.reported if line in reported),
                )
        return found

    async def _views(self, connection: Connection, breaks: Sequence[Break]) -> list[View]:
        beside: dict[UUID, Break] = {each.id: each for each in breaks}
        for source in dict.fromkeys(each.source for each in breaks):
            more = await store.page(
                connection, list(breaking.STANDING), (None, source, None), None, BESIDE_MAX
            )
            beside |= {each.id: each for each in more}
        sides = await self._sides(connection, beside.values())
        terms = {each.source: each for each in await line_store.sources(connection)}
        due = {each.id: self._due(each, sides[each.id], terms.get(each.source)) for each in beside.values()}
        told = [(each, break_sides.amounts(each, sides[each.id], due[each.id])) for each in beside.values()]
        advice = advise(told, self._clock.now().date())
        return [_view(each, sides[each.id], due[each.id], advice[each.id]) for each in breaks]

    def _due(self, of: Break, sides: Sides, terms: SourceTerms | None) -> date | None:
        """Return until when what is expected alone is in time."""
        if of.found.kind is not BreakKind.EXPECTED or terms is None or not sides.expected:
            return None
        days = terms.report_days if of.leg is Leg.CHANNEL else STATEMENT_DAYS
        return self._working_day(terms.calendars, sides.expected[0].on, days)


def _view(of: Break, sides: Sides, due_on: date | None, advice: Advice) -> View:
    return View(
        of=of,
        expected=sides.expected,
        reported=sides.reported,
        due_on=due_on,
        suggestion=advice.suggestion.value,
        suggested={each: suggestion_text(advice.suggestion, advice.facts, each) for each in LANGUAGES},
    )


def _chosen(
    breaks: Sequence[Break],
    sides: dict[UUID, Sides],
    expected: Collection[UUID] | None,
    reported: Collection[int] | None,
) -> Sides:
    """Return the open records of breaks, of those named only these; raise InvalidRequest ``record_not_in_breaks``."""
    by_record = {side.id: side for each in breaks for side in sides[each.id].expected}
    by_line = {side.id: side for each in breaks for side in sides[each.id].reported}
    mine: dict[UUID, None] = {}
    theirs: dict[int, None] = {}
    for each in breaks:
        records, lines = break_sides.open_records(each.found)
        mine |= dict.fromkeys(record for record in records if record in by_record)
        theirs |= dict.fromkeys(line for line in lines if line in by_line)
    if not set(expected or ()) <= mine.keys() or not set(reported or ()) <= theirs.keys():
        raise InvalidRequest("record_not_in_breaks", "a record that was named is not open in these breaks")
    return Sides(
        tuple(by_record[each] for each in mine if expected is None or each in expected),
        tuple(by_line[each] for each in theirs if reported is None or each in reported),
    )


def _rest(chosen: Sides, rest_minor: int, currency: str) -> Found:
    whole = sum(each.amount_minor for each in chosen.expected)
    is_over = abs(whole + rest_minor) > abs(whole)
    return Found(
        kind=BreakKind.OVER_AMOUNT if is_over else BreakKind.UNDER_AMOUNT,
        expected=tuple(each.id for each in chosen.expected),
        reported=tuple(each.id for each in chosen.reported),
        currency=currency,
        difference_minor=rest_minor,
    )


def _check_seen(known: Break, seen_version: int | None) -> None:
    if seen_version is not None and known.version != seen_version:
        raise Conflict("break_changed", f"{known.reference} has changed; look at it again")


def _check_standing(known: Break) -> None:
    """Raise Conflict ``break_closed`` for a break that somebody, or a run, ended already."""
    if known.state not in breaking.STANDING:
        raise Conflict("break_closed", f"{known.reference} is {known.state}", state=known.state)


def _unknown(break_id: UUID) -> NotFound:
    return NotFound("break_unknown", f"no break {break_id}")
