"""The story of a payment as it is read: documents, money, decisions, step-ups, clearing and webhooks, each oldest first.

``PaymentStories.of`` takes the scope of the merchant whose payment it is, a merchant's own or one that the house made for
reading; another book's payment is not found. Nothing is put into words here: see ``telling``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.schema.bills import BillLine
from tongbao.clearing.schema.tracing import Trace
from tongbao.core.errors import NotFound
from tongbao.decisions.service.log import Traced
from tongbao.ledger.schema import Account, AccountId, BookId, JournalRow
from tongbao.parties.schema import Customer, CustomerId, Scope
from tongbao.payments.errors import Missing
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.refunds import Dispute, Refund
from tongbao.payments.schema.webhooks import Delivery, Endpoint
from tongbao.payments.service.intents import Story as Documents
from tongbao.risk.schema.challenges import Challenge
from tongbao.web.house import House


class LedgerLine(NamedTuple):
    """A row of the journal with its two accounts."""

    row: JournalRow
    debited: Account
    credited: Account


class Hook(NamedTuple):
    """How one event about the payment reached one address; the endpoint is None where it was deleted since."""

    delivery: Delivery
    endpoint: Endpoint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything about one payment, each list oldest first.

    ``decisions``: every automatic choice with what came of it. ``challenges``: what its payer was asked. ``bill``: its
    movements with fees and where that money is; ``trace``: the same as steps, None where nothing moved yet.
    """

    intent: Intent
    method: PaymentMethod | None
    customer: Customer | None
    attempts: tuple[Attempt, ...]
    refunds: tuple[Refund, ...]
    disputes: tuple[Dispute, ...]
    ledger: tuple[LedgerLine, ...]
    decisions: tuple[Traced, ...]
    challenges: tuple[Challenge, ...]
    bill: tuple[BillLine, ...]
    trace: Trace | None
    hooks: tuple[Hook, ...]

    @property
    def paid_by(self) -> Attempt | None:
        """The attempt whose money counts."""
        return next((each for each in self.attempts if each.id == self.intent.paid_by_id), None)


class PaymentStories:
    """Reads stories over an open house."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def of(self, scope: Scope, intent_id: UUID) -> Story:
        """Return the story of a payment in the book of a scope; raise Missing for one that is not there."""
        house = self._house
        told = await house.payments.intents.story(scope, intent_id)
        intent = told.intent
        return Story(
            intent=intent,
            method=await self._method(scope, told),
            customer=await self._customer(scope, intent),
            attempts=tuple(reversed(told.attempts)),
            refunds=tuple(reversed(told.refunds)),
            disputes=tuple(reversed(told.disputes)),
            ledger=await self._ledger(told.transfers),
            decisions=tuple(await house.decisions.log.lineage(scope.book_id, intent.id)),
            challenges=tuple(await house.proofs.challenging.of_subject(scope.book_id, intent.id)),
            bill=await house.clearing.bills.lines(scope, [intent.id]),
            trace=await self._trace(scope, intent),
            hooks=await self._hooks(scope, told),
        )

    async def _method(self, scope: Scope, told: Documents) -> PaymentMethod | None:
        """Return the method that was tried last; one that was detached since is still known."""
        method_id = next((each.method_id for each in told.attempts if each.method_id), told.intent.method_id)
        if method_id is None:
            return None
        try:
            return await self._house.payments.methods.get(scope, method_id)
        except Missing:
            return None

    async def _customer(self, scope: Scope, intent: Intent) -> Customer | None:
        if intent.customer_id is None:
            return None
        try:
            return await self._house.parties.customers.get(scope, CustomerId(intent.customer_id))
        except NotFound:
            return None

    async def _ledger(self, rows: Sequence[JournalRow]) -> tuple[LedgerLine, ...]:
        """Return rows with their accounts: a handful, however many rows there are."""
        accounts = self._house.runtime.ledger.accounts
        named = {
            (row.book_id, each) for row in rows for each in (row.debit_account_id, row.credit_account_id)
        }
        known: dict[tuple[BookId, AccountId], Account] = {
            place: await accounts.account(*place) for place in sorted(named)
        }
        return tuple(
            LedgerLine(
                row, known[row.book_id, row.debit_account_id], known[row.book_id, row.credit_account_id]
            )
            for row in rows
        )

    async def _trace(self, scope: Scope, intent: Intent) -> Trace | None:
        tracing = self._house.clearing.tracing
        return None if tracing is None else await tracing.trace(scope, intent.reference)

    async def _hooks(self, scope: Scope, told: Documents) -> tuple[Hook, ...]:
        house = self._house
        parts = (told.intent, *told.attempts, *told.refunds, *told.disputes)
        found = await house.deliveries.of_objects(scope, [each.id for each in parts])
        if not found:
            return ()
        endpoints = {each.id: each for each in await house.endpoints.list(scope)}
        return tuple(Hook(each, endpoints.get(each.endpoint_id)) for each in found)
