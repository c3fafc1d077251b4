"""The reference of the books: what every account must hold, worked out from the documents alone."""

from collections import Counter

from tongbao.core.db import Database
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced
from tongbao.payments.schema.attempts import PAID, Attempt
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.refunds import (
    OPEN_DISPUTES,
    OPEN_REFUNDS,
    Dispute,
    DisputeState,
    Refund,
    RefundState,
)
from tongbao.payments.store import documents as store

DOCUMENTS_MAX = 10_000


async def check_books(database: Database, ledger: Ledger, book_id: int) -> None:
    """Compare the accounts of a merchant with its documents, and the documents with each other."""
    async with database.connection() as connection:
        intents = await store.page(connection, Intent, book_id, limit=DOCUMENTS_MAX)
        attempts = await store.page(connection, Attempt, book_id, limit=DOCUMENTS_MAX)
        refunds = await store.page(connection, Refund, book_id, limit=DOCUMENTS_MAX)
        disputes = await store.page(connection, Dispute, book_id, limit=DOCUMENTS_MAX)
    check_documents(intents, attempts, refunds, disputes)
    lines = await ledger.reading.trial_balance(BookId(book_id))
    assert unbalanced(lines) == {}
    found = {(line.account_code, line.asset): line.credits_minor - line.debits_minor for line in lines}
    expected = _expected(attempts)
    assert {key: value for key, value in found.items() if value} == {
        key: value for key, value in expected.items() if value
    }, int_text("book", book_id)
    held = await ledger.reading.holds(BookId(book_id), limit=500)
    assert {hold.key: hold.remaining_minor for hold in held} == {
        part.key: part.left_minor for attempt in attempts for part in attempt.holds
    }


def check_documents(
    intents: list[Intent], attempts: list[Attempt], refunds: list[Refund], disputes: list[Dispute]
) -> None:
    """Assert that amounts add up over an intent, its attempts, refunds and disputes, and that it was paid once."""
    for attempt in attempts:
        mine = [each for each in refunds if each.attempt_id == attempt.id]
        pending = sum(each.amount_minor for each in mine if each.state in OPEN_REFUNDS)
        done = sum(each.amount_minor for each in mine if each.state is RefundState.SUCCEEDED)
        argued = [each for each in disputes if each.attempt_id == attempt.id]
        open_minor = sum(each.amount_minor for each in argued if each.state in OPEN_DISPUTES)
        lost = sum(each.amount_minor for each in argued if each.state is DisputeState.LOST)
        assert attempt.refund_pending_minor == pending
        assert attempt.refunded_minor == done + lost
        assert attempt.disputed_minor == open_minor
        assert 0 <= pending + done + lost + open_minor <= attempt.captured_minor
        assert attempt.captured_minor <= attempt.authorized_minor
    for intent in intents:
        tries = [each for each in attempts if each.intent_id == intent.id]
        paying = [each for each in tries if each.state in PAID]
        assert len(paying) <= 1
        assert [each.id for each in paying] in ([], [intent.paid_by_id])
        assert intent.amount_received_minor == sum(each.captured_minor for each in paying)
        assert intent.amount_refunded_minor == sum(
            each.refunded_minor + each.refund_pending_minor for each in paying
        )
        assert intent.amount_capturable_minor == sum(each.capturable_minor for each in tries)
        assert intent.attempt_count == len(tries)
        assert (intent.state is IntentState.SUCCEEDED) == (
            bool(paying) and intent.state is not IntentState.REQUIRES_CAPTURE
        )


def _expected(attempts: list[Attempt]) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for each in attempts:
        captured = each.captured_minor if each.state in PAID else 0
        account = f"channel_receivable/{each.channel}"
        sums[account, each.currency] -= captured - each.refunded_minor + each.suspense_minor
        sums["suspense", each.currency] += each.suspense_minor
        sums["refund_clearing", each.currency] += each.refund_pending_minor
        sums["dispute_reserve", each.currency] += each.disputed_minor
        sums["in_transit", each.currency] += captured - (
            each.refunded_minor + each.refund_pending_minor + each.disputed_minor
        )
    return sums
