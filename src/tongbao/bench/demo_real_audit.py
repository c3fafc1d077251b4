"""What came of ``tongbao demo real``, counted twice: from the house's own tables, and from the books of the parties outside.

Amounts are minor units. A double charge is a sale that a party outside holds beyond one for each payment, or more money than the
house believes it took.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from tongbao.bench import payment_drill_audit, risk_drill_reading
from tongbao.bench.demo_real_recorder import SALE
from tongbao.bench.demo_real_report import Counted
from tongbao.bench.payment_drill_audit import Documents, Findings
from tongbao.bench.payment_drill_books import Outside
from tongbao.bench.risk_drill_reading import Look
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.core.db import Database
from tongbao.core.events.facts import decode
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced
from tongbao.payments.schema.attempts import AttemptState
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.intents import Certainty, Intent, IntentState
from tongbao.risk.schema.tiers import Tier
from tongbao.simulator.sandbox.settlement_files import Row

BOOKS_MAX = 100
SEALED_S_MAX, POLL_S = 15.0, 0.2
PAID_OUT = frozenset({BatchState.PAID, BatchState.RECONCILED})
_HAPPENED = "SELECT topic, payload FROM events.outbox WHERE topic = $1"
_TOPIC = "payments.happened"
_BREAKS = "SELECT state, kind, source, count(*) AS count FROM clearing.break GROUP BY 1, 2, 3 ORDER BY 3, 2"
_MATCHES = "SELECT leg, count(*) AS count FROM clearing.matched GROUP BY leg"
_LEGS = {0: "channel", 1: "bank"}
_ENDED = ("resolved", "written_off")
_EXPLAINED = ("explained", "proposed", *_ENDED)


async def count(
    database: Database,
    ledger: Ledger,
    books: Mapping[str, Sequence[Row]],
    batches: Sequence[Batch],
    booked_minor: dict[str, int],
    carried_minor: dict[str, int],
) -> Counted:
    """Return everything that is counted; ``booked_minor``: what the bank says that left the house's accounts."""
    documents = await payment_drill_audit.read_documents(database)
    looks = await risk_drill_reading.read_looks(database)
    findings = compared(documents, books)
    unbalanced_by, wrong_books = await _ledger(ledger)
    breaks, standing = await _breaks(database)
    was_open = await _ever_unresolved(database)
    known = {each.id for each in documents.intents if each.certainty is Certainty.KNOWN}
    still = payment_drill_audit.unresolved(documents)
    firsts = risk_drill_reading.first_looks(looks)
    paid_out = _sums((each.currency, each.paid_minor) for each in batches if each.state in PAID_OUT)
    asked = {each.subject_id for each in looks if each.tier == Tier.STEP_UP}
    succeeded = {each.id for each in documents.intents if each.state is IntentState.SUCCEEDED}
    taken = _sums((row.currency, row.amount_minor) for rows in books.values() for row in rows)
    fees = _sums((each.currency, -each.totals.fees_minor) for each in batches)
    passed_on = _sums(each for sums in (paid_out, fees, carried_minor) for each in sums.items())
    wrong_pay = [] if paid_out == booked_minor else [f"paid out {paid_out}, the bank booked {booked_minor}"]
    return Counted(
        payments=len(documents.intents),
        approvals=len(succeeded),
        declines=sum(each.state is AttemptState.DECLINED for each in documents.attempts),
        refunds=len(documents.refunds),
        by_channel=dict(Counter(each.channel for each in documents.attempts)),
        steps_up=len(asked),
        steps_up_passed=len(asked & succeeded),
        fraud_stopped=len(stopped(firsts)),
        unresolved=len(still),
        unresolved_resolved=len(was_open & known),
        double_charges=len(findings.double_charges),
        charges={name: sum(row.kind == SALE for row in rows) for name, rows in sorted(books.items())},
        taken_minor=taken,
        fees_minor=fees,
        settled_minor=paid_out,
        carried_minor=carried_minor,
        bank_booked_minor=booked_minor,
        batches=len(batches),
        matches=await _matches(database),
        breaks=sum(breaks.values()),
        breaks_unexplained=len(standing),
        trial_balance_zero=not unbalanced_by,
        chain_verified=not wrong_books,
        faults=(
            *(f"double charge: {each}" for each in findings.double_charges),
            *(f"lost: {each}" for each in findings.lost),
            *(f"unresolved: {each}" for each in still),
            *(f"break: {each}" for each in standing),
            *unbalanced_by,
            *wrong_books,
            *wrong_pay,
            *([f"taken {taken}, passed on {passed_on}"] if booked_minor and taken != passed_on else []),
        ),
    )


def compared(documents: Documents, books: Mapping[str, Sequence[Row]]) -> Findings:
    """Hold the books outside against the documents of the house: sales beyond one for each payment, and money that differs."""
    intents = {intent.id: intent for intent in documents.intents}
    payments = {(each.channel, each.reference): each.intent_id for each in documents.attempts}
    outside, sales = Outside({}, []), Counter[UUID]()
    for channel, rows in books.items():
        for row in rows:
            place = (channel, row.batch if row.kind != SALE else row.reference)
            if place not in payments:
                outside.unexplained.append(
                    f"{channel}: a {row.kind} of {row.amount_minor} under {place[1] or 'no reference'}"
                )
                continue
            outside.taken_minor[place] = outside.taken_minor.get(place, 0) + row.amount_minor
            sales[payments[place]] += row.kind == SALE
    findings = Findings([], [], [], [], [])
    payment_drill_audit.compare(documents, outside, findings)
    findings.double_charges += [
        f"{intents[intent_id].reference} was charged {times} times"
        for intent_id, times in sales.items()
        for _ in range(times - 1)
    ]
    return findings


def stopped(firsts: Mapping[UUID, Look]) -> list[UUID]:
    """Return the payments that risk control declined at its first look."""
    return [subject for subject, look in firsts.items() if look.tier == Tier.DECLINE]


async def _ever_unresolved(database: Database) -> set[UUID]:
    """Return intents whose outcome was unknown at any commit, by the facts that were published of each."""
    async with database.connection() as connection:
        rows = await connection.fetch(_HAPPENED, _TOPIC)
    facts = [decode(row["topic"], row["payload"]) for row in rows]
    return {
        document.id
        for fact in facts
        if isinstance(fact, Happened)
        for document in fact.documents
        if isinstance(document, Intent) and document.certainty is Certainty.UNKNOWN
    }


async def _all_sealed(ledger: Ledger) -> None:
    """Seal until everything is, while the worker goes on working; what was not after ``SEALED_S_MAX`` is found unsealed."""
    deadline = time.monotonic() + SEALED_S_MAX
    await ledger.sealing.seal_all()
    while (await ledger.sealing.unsealed()).count and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        await ledger.sealing.seal_all()


async def _ledger(ledger: Ledger) -> tuple[list[str], list[str]]:
    """Return what is out of balance over all books, and which books' chains do not prove what stands in them."""
    await _all_sealed(ledger)
    balance = [
        f"{asset} is out of balance by {by}"
        for asset, by in unbalanced(await ledger.reading.trial_balance()).items()
    ]
    wrong = []
    for book in await ledger.accounts.books(limit=BOOKS_MAX):
        proof = await ledger.verifying.verify(book.code)
        wrong += [f"{book.code}: {found.what} {found.where}: {found.detail}" for found in proof.findings]
        if proof.unsealed_count:
            wrong.append(f"{book.code}: {proof.unsealed_count} transfers were never sealed")
    return balance, wrong


async def _breaks(database: Database) -> tuple[dict[str, int], list[str]]:
    """Return every difference ever found, by its kind, and those that nobody and nothing has explained."""
    async with database.connection() as connection:
        rows = await connection.fetch(_BREAKS)
    found: Counter[str] = Counter()
    standing = []
    for row in rows:
        found[row["kind"]] += row["count"]
        if row["state"] not in _EXPLAINED:
            standing += [f"{row['kind']} at {row['source']}"] * row["count"]
    return dict(found), standing


async def _matches(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        rows = await connection.fetch(_MATCHES)
    return {_LEGS.get(row["leg"], str(row["leg"])): row["count"] for row in rows}


def _sums(amounts: Any) -> dict[str, int]:
    found: Counter[str] = Counter()
    for currency, minor in amounts:
        found[currency] += minor
    return {currency: minor for currency, minor in sorted(found.items()) if minor}
