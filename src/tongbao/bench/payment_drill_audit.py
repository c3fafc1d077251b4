"""The audit of the payment drill: acknowledged answers, our documents, our ledger and the books outside, side by side.

Pure but for the reading of documents: facts in, what is wrong with them out. Amounts are minor units.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from tongbao.bench.payment_drill_books import Outside
from tongbao.bench.payment_drill_client import Acknowledged
from tongbao.core.db import Database
from tongbao.ledger.schema import Account
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced
from tongbao.payments.schema.attempts import OPEN, PAID, Attempt, AttemptState
from tongbao.payments.schema.documents import Kind
from tongbao.payments.schema.intents import Certainty, Intent, IntentState
from tongbao.payments.schema.refunds import OPEN_REFUNDS, Refund, RefundState

BOOKS_MAX = 100
ACCOUNTS_MAX = 500
_BODIES = "SELECT body FROM payments.document WHERE kind = $1 ORDER BY id"
_ALLOWED: dict[str, frozenset[IntentState]] = {
    "succeeded": frozenset({IntentState.SUCCEEDED}),
    "canceled": frozenset({IntentState.CANCELED}),
    "requires_capture": frozenset(
        {IntentState.REQUIRES_CAPTURE, IntentState.SUCCEEDED, IntentState.CANCELED}
    ),
}
"""From what was acknowledged, where an intent may stand at the end; anything else may have gone on."""


class Documents(msgspec.Struct):
    """Everything that payments keep of the drill."""

    intents: list[Intent]
    attempts: list[Attempt]
    refunds: list[Refund]


class Findings(msgspec.Struct):
    """What is wrong, one line each, with ids and amounts."""

    double_charges: list[str] = []
    lost: list[str] = []
    unresolved: list[str] = []
    conflicts: list[str] = []
    ledger: list[str] = []


async def read_documents(database: Database) -> Documents:
    """Return every intent, attempt and refund."""
    async with database.connection() as connection:
        bodies = {
            kind: [row[0] for row in await connection.fetch(_BODIES, kind)]
            for kind in (Kind.INTENT, Kind.ATTEMPT, Kind.REFUND)
        }
    return Documents(
        [msgspec.json.decode(body, type=Intent) for body in bodies[Kind.INTENT]],
        [msgspec.json.decode(body, type=Attempt) for body in bodies[Kind.ATTEMPT]],
        [msgspec.json.decode(body, type=Refund) for body in bodies[Kind.REFUND]],
    )


async def audit(
    documents: Documents, answers: Sequence[Acknowledged], outside: Outside, ledger: Ledger
) -> Findings:
    """Return everything that does not fit."""
    findings = Findings(unresolved=unresolved(documents), conflicts=_conflicts(documents))
    compare(documents, outside, findings)
    findings.lost += lost_answers(documents, answers)
    findings.ledger += await _ledger_faults(documents, ledger)
    return findings


def unresolved(documents: Documents) -> list[str]:
    """Return what nobody here knows the end of: attempts, acts on them, refunds."""
    waiting = OPEN | {AttemptState.REVERSING}
    found = []
    for attempt in documents.attempts:
        act = attempt.open_act
        if attempt.state in waiting:
            found.append(f"{attempt.reference} on {attempt.channel} is {attempt.state}")
        elif act is not None:
            found.append(f"{act.operation} of {attempt.reference} on {attempt.channel} is {act.state}")
    found += [
        f"{refund.reference} is {refund.state}"
        for refund in documents.refunds
        if refund.state in OPEN_REFUNDS
    ]
    return found


def net_minor(attempt: Attempt) -> int:
    """Return what we believe the payer is poorer by through this attempt."""
    if attempt.state in PAID:
        return attempt.captured_minor - attempt.refunded_minor + attempt.suspense_minor
    return attempt.suspense_minor


def compare(documents: Documents, outside: Outside, findings: Findings) -> None:
    """Add to the findings where an intent's money is not what was taken for it outside, or was taken twice."""
    findings.double_charges += _orders_paid_twice(documents, outside)
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    detail: dict[str, list[str]] = defaultdict(list)
    intents = {intent.id: intent for intent in documents.intents}
    for attempt in documents.attempts:
        reference = intents[attempt.intent_id].reference
        taken = outside.taken_minor.get((attempt.channel, attempt.reference), 0)
        ours[reference] += net_minor(attempt)
        theirs[reference] += taken
        detail[reference].append(
            f"{attempt.reference} {attempt.state} on {attempt.channel}: {net_minor(attempt)} here, {taken} there"
        )
    for reference in detail:
        if theirs[reference] > ours[reference]:
            findings.double_charges.append(f"{reference}: {'; '.join(detail[reference])}")
        elif theirs[reference] < ours[reference]:
            findings.lost.append(f"{reference}: {'; '.join(detail[reference])}")
    findings.lost += outside.unexplained
    for intent in documents.intents:
        if intent.amount_received_minor > intent.amount_minor:
            findings.double_charges.append(f"{intent.reference} received more than its amount")


def _orders_paid_twice(documents: Documents, outside: Outside) -> list[str]:
    """Return orders for which more than one intent took money."""
    taken: Counter[str] = Counter()
    for attempt in documents.attempts:
        if outside.taken_minor.get((attempt.channel, attempt.reference), 0) > 0:
            taken[str(attempt.intent_id)] += 1
    intents_of: dict[str, list[str]] = defaultdict(list)
    for intent in documents.intents:
        intents_of[intent.metadata.get("order", intent.reference)].append(str(intent.id))
    paid = {order: sum(taken[each] > 0 for each in ids) for order, ids in intents_of.items()}
    twice = [
        f"{intent_id} took money over {count} attempts" for intent_id, count in taken.items() if count > 1
    ]
    return twice + [
        f"order {order} was paid by {count} intents" for order, count in paid.items() if count > 1
    ]


def lost_answers(documents: Documents, answers: Iterable[Acknowledged]) -> list[str]:
    """Return acknowledged successes that are missing, or that say something else now."""
    intents = {intent.reference: intent for intent in documents.intents}
    refunds = {refund.reference: refund for refund in documents.refunds}
    lost = []
    for answer in answers:
        if answer.id is None:
            continue
        if answer.id.startswith(f"{Refund.PREFIX}_"):
            refund = refunds.get(answer.id)
            kept = refund is not None and _refund_stands(refund, answer)
        else:
            intent = intents.get(answer.id)
            kept = intent is not None and _intent_stands(intent, answer)
        if not kept:
            lost.append(
                f"{answer.what} of {answer.id} was acknowledged as {answer.status}, {answer.amount_minor}"
            )
    return lost


def _intent_stands(intent: Intent, answer: Acknowledged) -> bool:
    allowed = _ALLOWED.get(answer.status or "")
    if allowed is not None and intent.state not in allowed:
        return False
    return answer.status != "succeeded" or intent.amount_received_minor == answer.amount_minor


def _refund_stands(refund: Refund, answer: Acknowledged) -> bool:
    if answer.status == "succeeded" and refund.state is not RefundState.SUCCEEDED:
        return False
    return refund.amount_minor == answer.amount_minor


def _conflicts(documents: Documents) -> list[str]:
    return [
        f"{each.reference} on {each.channel}, {each.code}"
        for each in documents.attempts
        if each.state is AttemptState.CONFLICTED
    ] + [each.reference for each in documents.intents if each.certainty is Certainty.CONFLICTED]


async def _ledger_faults(documents: Documents, ledger: Ledger) -> list[str]:
    """Return what is wrong with the books themselves, and where they differ from the documents."""
    await ledger.sealing.seal_all()
    faults = [
        f"{asset} is out of balance by {by}"
        for asset, by in unbalanced(await ledger.reading.trial_balance()).items()
    ]
    held: Counter[tuple[int, str, str]] = Counter()
    standing: Counter[tuple[int, str, str]] = Counter()
    for book in await ledger.accounts.books(limit=BOOKS_MAX):
        proof = await ledger.verifying.verify(book.code)
        faults += [f"{book.code}: {found.what} {found.where}: {found.detail}" for found in proof.findings]
        if proof.unsealed_count:
            faults.append(f"{book.code}: {proof.unsealed_count} transfers were never sealed")
        accounts: list[Account] = await ledger.accounts.accounts(book.book_id, limit=ACCOUNTS_MAX)
        for account in accounts:
            place = (int(book.book_id), account.code, account.asset)
            standing[place] += account.posted_minor
            held[place] += account.debits_held_minor
    expected, reserved = expected_balances(documents)
    for what, said, due in (("stands at", standing, expected), ("holds", held, reserved)):
        for which in sorted(said.keys() | due.keys()):
            if said[which] != due[which]:
                book_id, code, asset = which
                faults.append(
                    f"book {book_id} {code} {asset} {what} {said[which]}, the documents say {due[which]}"
                )
    return faults


def expected_balances(
    documents: Documents,
) -> tuple[Counter[tuple[int, str, str]], Counter[tuple[int, str, str]]]:
    """Return, by book, account and currency, the balances and the debits on hold that the documents mean.

    Signs are the ledger's: credits minus debits, so that what a channel owes is negative.
    """
    balances: Counter[tuple[int, str, str]] = Counter()
    reserved: Counter[tuple[int, str, str]] = Counter()
    for attempt in documents.attempts:
        book, asset = attempt.book_id, attempt.currency
        receivable = (book, f"channel_receivable/{attempt.channel}", asset)
        balances[receivable] -= net_minor(attempt)
        balances[(book, "suspense", asset)] += attempt.suspense_minor
        if attempt.state in PAID:
            balances[(book, "in_transit", asset)] += attempt.captured_minor
        reserved[receivable] += sum(part.left_minor for part in attempt.holds)
    for refund in documents.refunds:
        if refund.state in (RefundState.FAILED, RefundState.CANCELED):
            continue
        balances[(refund.book_id, "in_transit", refund.currency)] -= refund.amount_minor
        if refund.state in OPEN_REFUNDS:
            balances[(refund.book_id, "refund_clearing", refund.currency)] += refund.amount_minor
    return balances, reserved
