"""What the clearing drill reads when everything is over, and holds against what is true: matches, breaks, files, books, payouts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.bench.clearing_drill_bank import Teller
from tongbao.bench.clearing_drill_courier import PAYOUTS, Truth
from tongbao.bench.clearing_drill_faults import Fault
from tongbao.bench.clearing_drill_files import Deed, Name
from tongbao.bench.clearing_drill_terms import CURRENCIES, FLOW, WECHAT, ZONE
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState
from tongbao.clearing.schema.lines import FileState
from tongbao.clearing.schema.movements import KIND_NAMES, MovementKind
from tongbao.clearing.service.house import ClearingHouse
from tongbao.clearing.service.intake import Taken
from tongbao.clearing.service.payout_books import TEST_PLATFORM_CODE
from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.ledger.schema import BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced

BY_PERSON = 4
"""How a match was made, as it is stored: by somebody."""
STANDING = (BreakState.OPEN, BreakState.EXPLAINED, BreakState.PROPOSED)
_BY_LINE = frozenset({BreakKind.DUPLICATE, BreakKind.RETURN_LATE})
_LINES = "SELECT id, source, kind, channel_reference, currency, batch, fee_minor FROM clearing.line"
_COST = 1 << 62
"""Marks the cost of a line where its channel's account should show it."""
_MOVEMENTS = """
SELECT m.id, m.channel, m.kind, coalesce(m.channel_reference, '') AS theirs FROM clearing.movement AS m
WHERE m.kind IN (1, 2, 4, 5) AND NOT (m.kind = 2 AND EXISTS (
    SELECT 1 FROM clearing.movement AS f WHERE f.book_id = m.book_id AND f.source_id = m.source_id AND f.kind = 3))
"""
_PAYOUTS = """
SELECT id, md5(id::text || ':returned')::uuid AS returned_id, end_to_end, state, batch_id,
    (sent_at AT TIME ZONE $1)::date AS sent_on
FROM clearing.payout
"""
_MATCHED = "SELECT line_id, expected_id, how FROM clearing.matched"
_BREAKS = "SELECT body FROM clearing.break"
_TWICE = """
SELECT count(*) FROM (SELECT expected_id, leg FROM clearing.matched AS d JOIN clearing.line AS l ON l.id = d.line_id
    WHERE l.kind <> 'total' GROUP BY expected_id, leg HAVING count(*) > 1) AS t
"""


class Sighting(NamedTuple):
    """A break as it was once seen, by what it is about."""

    kind: str
    source: str
    deeds: frozenset[Deed]
    lines: frozenset[Name]
    gap: str


class World(NamedTuple):
    """What stands in the house's tables, by what it is about."""

    names: dict[int, Name]
    deeds: dict[UUID, Deed]
    due: frozenset[Deed]
    matched: list[tuple[int, UUID, int]]


class Judged(msgspec.Struct):
    """What came of comparing."""

    expected_count: int = 0
    matched_count: int = 0
    false_matches: int = 0
    found: list[Fault] = []
    missed: list[Fault] = []
    false_breaks: list[str] = []
    notes: list[str] = []


async def read_world(database: Database, until_on: date) -> World:
    """Read lines, records and matches; what was sent after the day is on no statement yet."""
    async with database.connection() as connection:
        rows = await connection.fetch(_LINES)
        names = {row["id"]: _name(row) for row in rows}
        with_cost = {row["id"] for row in rows if row["fee_minor"]}
        deeds: dict[UUID, Deed] = {}
        for row in await connection.fetch(_MOVEMENTS):
            deeds[row["id"]] = row["channel"], KIND_NAMES[MovementKind(row["kind"])], row["theirs"]
        for row in await connection.fetch(_PAYOUTS, ZONE):
            if row["sent_on"] is not None and row["sent_on"] <= until_on:
                deeds[row["id"]] = PAYOUTS, "payout", row["end_to_end"]
            if row["state"] == "returned":
                deeds[row["returned_id"]] = PAYOUTS, "return", row["end_to_end"]
        for line_id, (source, kind, theirs) in names.items():
            if kind == "transfer" and not source.startswith("bank_"):
                deeds[UUID(int=line_id)] = source, kind, theirs
            elif source == WECHAT:
                deeds[UUID(int=line_id)] = FLOW, kind, theirs
                if line_id in with_cost:
                    deeds[UUID(int=line_id | _COST)] = FLOW, "fee", theirs
        matched = [
            (row["line_id"], row["expected_id"], row["how"]) for row in await connection.fetch(_MATCHED)
        ]
    return World(names, deeds, frozenset(deeds.values()), matched)


async def read_breaks(database: Database, world: World) -> dict[UUID, tuple[Sighting, BreakState]]:
    """Return every break by its id, as it is now."""
    async with database.connection() as connection:
        rows = await connection.fetch(_BREAKS)
    breaks = [msgspec.json.decode(row["body"], type=Break) for row in rows]
    return {each.id: (_sighting(each, world), each.state) for each in breaks}


def judge(
    truth: Truth,
    world: World,
    seen: Iterable[Sighting],
    now: Iterable[tuple[Sighting, BreakState]],
    taken: dict[str, Taken | None],
) -> Judged:
    """Hold what was found against what is true."""
    judged = Judged()
    touched = truth.touched
    clean = world.due - touched
    paired: set[Deed] = set()
    for line_id, expected_id, how in world.matched:
        deed = world.deeds.get(expected_id)
        name = world.names[line_id]
        if deed is None or deed not in truth.lines.get(name, frozenset()):
            judged.false_matches += 1
            judged.notes.append(f"false match: {name} with {deed}")
        elif how != BY_PERSON:
            paired.add(deed)
    judged.expected_count, judged.matched_count = len(clean), len(clean & paired)
    judged.notes += [f"not matched: {deed}" for deed in sorted(clean - paired)[:20]]
    standing = {sighting for sighting, state in now if state in STANDING}
    ever = set(seen)
    for fault in truth.faults:
        is_found = _is_taken(fault, taken) if fault.path or fault.kind in _REFUSED else False
        if fault.path and fault.gap:
            # Its day is no silent one, and was never taken for one.
            is_found &= not any((each.source, each.gap) == (fault.source, fault.gap) for each in ever)
        if not is_found:
            alike = {each for each in ever if _is_of(fault, each)}
            is_found = bool(alike & standing) if fault.stays else bool(alike) and not alike & standing
        (judged.found if is_found else judged.missed).append(fault)
    judged.false_breaks = [
        str(each) for each in standing if not any(_is_of(fault, each) for fault in truth.faults)
    ]
    return judged


async def wrong_books(
    ledger: Ledger, house: ClearingHouse, books: Sequence[int], database: Database
) -> list[str]:
    """Return what does not balance: trial balances, what is in transit, what batches come to, and what the house holds."""
    wrong: list[str] = []
    if found := unbalanced(await ledger.reading.trial_balance()):
        wrong.append(f"all books: {found}")
    held: Counter[str] = Counter()
    for book_id in books:
        if found := unbalanced(await ledger.reading.trial_balance(BookId(book_id))):
            wrong.append(f"book {book_id}: {found}")
        unpriced = await house.recording.unpriced(book_id)
        batches = await _batches(house, book_id)
        for currency in CURRENCIES:
            mine = [each for each in batches if each.currency == currency]
            wrong += await _wrong_book(ledger, house, (book_id, currency), unpriced.get(currency, 0), mine)
            held[currency] += await _balance(ledger, book_id, "house_receivable", currency)
    platform = await ledger.accounts.book(TEST_PLATFORM_CODE)
    for currency in CURRENCIES:
        clearing = await _balance(ledger, platform.book_id, "clearing", currency)
        if clearing != held[currency]:
            wrong.append(f"the platform owes {clearing} {currency}, merchants are owed {held[currency]}")
    async with database.connection() as connection:
        if doubled := await connection.fetchval(_TWICE):
            wrong.append(f"{doubled} records are matched more than once")
    return wrong


def paid_twice(tellers: Iterable[Teller], batches: dict[str, UUID]) -> int:
    """Return payouts that banks executed once more than they should, of one id or of one batch.

    ``batches``: the batch of each payout by its end-to-end id. A payout that came back may be made again.
    """
    count = 0
    for teller in tellers:
        count += teller.twice()
        of_batch = Counter(
            batches.get(each.instruction.end_to_end)
            for each in teller.paid
            if each.instruction.end_to_end not in teller.returned
        )
        count += sum(times - 1 for batch, times in of_batch.items() if batch is not None and times > 1)
        count += of_batch[None]
    return count


async def batches_of_payouts(database: Database) -> dict[str, UUID]:
    """Return the batch of each payout by its end-to-end id."""
    async with database.connection() as connection:
        return {row["end_to_end"]: row["batch_id"] for row in await connection.fetch(_PAYOUTS, ZONE)}


def _name(row: Mapping[str, str]) -> Name:
    source, kind = row["source"], row["kind"]
    if kind == "total":
        on, *_, of = row["batch"].split("/")
        return source, kind, f"{on}/{of}/{row['currency']}"
    return source, kind, row["channel_reference"]


def _sighting(of: Break, world: World) -> Sighting:
    nobody: Deed = ("", "", "nobody")
    return Sighting(
        of.found.kind.value,
        of.source,
        frozenset(world.deeds.get(each, nobody) for each in of.found.expected),
        frozenset(world.names[each] for each in of.found.reported),
        of.found.facts.get("gap", ""),
    )


def _is_of(fault: Fault, seen: Sighting) -> bool:
    """Return whether a break names a fault: the right kind about the right records."""
    if (fault.kind, fault.source) != (seen.kind, seen.source):
        return False
    if fault.gap or seen.gap:
        return fault.gap == seen.gap
    if fault.kind in _BY_LINE:
        return bool(seen.lines) and seen.lines <= fault.lines
    return (fault.deeds, fault.lines) == (seen.deeds, seen.lines)


_REFUSED = frozenset({"encoding_broken", "amount_malformed", "line_in_two_files"})


def _is_taken(fault: Fault, taken: dict[str, Taken | None]) -> bool:
    """Return whether the intake said of a file what is wrong with it."""
    if not fault.path:
        files = [
            each.file for path, each in taken.items() if each is not None and f"-{fault.source}-" in path
        ]
        if fault.kind == "line_in_two_files":
            return any(file.repeated_count for file in files)
        return any(refusal.code == fault.kind for file in files for refusal in file.refusals)
    result = taken.get(fault.path)
    match fault.kind:
        case "file_of_another":
            return result is None
        case "file_empty":
            return (
                result is not None
                and result.file.state is FileState.READ
                and not result.file.line_count
                and fault.gap == f"day:{result.file.header.until_on}"
            )
        case "file_twice":
            return result is not None and result.is_repeat
        case "byte_order_mark" | "wide":
            return (
                result is not None and result.file.state is FileState.READ and not result.file.refused_count
            )
        case _:
            return result is not None and fault.kind in result.file.problems


async def _wrong_book(
    ledger: Ledger, house: ClearingHouse, of: tuple[int, str], unpriced: int, batches: list[Batch]
) -> list[str]:
    """Return which accounts of a merchant's book and currency are not what movements and batches say."""
    book_id, currency = of
    priced = [each for each in batches if each.state is not BatchState.CUT]
    carried = await house.settling.carried_minor(book_id, currency, live=False)
    reserve = -sum(each.totals.reserve_held_minor + each.totals.reserve_released_minor for each in priced)
    expected = {
        "in_transit": unpriced,
        "merchant_debt": max(-carried, 0),
        "merchant_reserve": reserve,
        "fee_revenue": -sum(each.totals.fees_minor + each.totals.tax_minor for each in priced),
    }
    found = {code: await _balance(ledger, book_id, code, currency) for code in expected}
    wrong = [] if found == expected else [f"book {book_id} {currency}: {found}, should be {expected}"]
    net = sum(each.totals.net_minor - each.totals.brought_minor for each in priced)
    if net != sum(each.paid_minor for each in priced) + carried:
        wrong.append(f"book {book_id} {currency}: batches do not come to what was paid and carried on")
    return wrong


async def _batches(house: ClearingHouse, book_id: int) -> list[Batch]:
    found: list[Batch] = []
    while page := await house.settling.page(book_id, before=found[-1].id if found else None):
        found += page
    return found


async def _balance(ledger: Ledger, book_id: int, code: str, currency: str) -> int:
    try:
        account = await ledger.accounts.account_by_code(BookId(book_id), code, currency)
    except NotFound:
        return 0
    return account.natural_minor
