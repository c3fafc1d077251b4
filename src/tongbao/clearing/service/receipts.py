"""Receipts and invoices: numbered without gaps for each merchant, kind and year, in the commit that writes them.

Asking twice gives the same paper. What is claimed of a payment after its receipt gets a receipt of its own, so that no sale is
shown twice or not at all. A receipt shows a payer what it paid and nothing of the fees between merchant and house.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from tongbao.clearing.adapters import receipt_html
from tongbao.clearing.policy import statements as policy
from tongbao.clearing.policy.cycles import local_date
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.schema.receipts import ITEMS_MAX, Receipt, ReceiptItem, ReceiptKind
from tongbao.clearing.schema.statements import BatchAct, Period
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import movements as movement_store
from tongbao.clearing.store import receipts as store
from tongbao.clearing.store import statements as statement_store
from tongbao.core import currencies
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvariantBroken, LimitExceeded, NotFound
from tongbao.core.ids import derive, first_uuid_at
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.refunds import Refund, RefundState
from tongbao.payments.service.reading import Reading

PAGE_MAX = 100
PARTS_MAX = 1_000
BATCHES_MAX = 200_000
GRACE = timedelta(hours=1)
"""So long after a month its invoice can be made: whatever was priced in it is committed by then."""
SERIES = {ReceiptKind.RECEIPT: "R", ReceiptKind.REFUND_RECEIPT: "C", ReceiptKind.INVOICE: "F"}


class Behalf(Protocol):
    """Whose paper is made, in which mode, and by whom: a merchant's scope, or what somebody of the house says."""

    @property
    def book_id(self) -> int:
        """The merchant's book."""

    @property
    def live(self) -> bool:
        """Whether the book is of real money."""

    @property
    def actor(self) -> str:
        """Who asks, for the paper's record."""


class ByHouse(NamedTuple):
    """Somebody of the house who has a merchant's paper made."""

    book_id: int
    live: bool
    actor: str


class _Paper(NamedTuple):
    """What a paper is of, before it has a number."""

    kind: ReceiptKind
    source_id: UUID
    source: str
    currency: str
    method: str = ""
    description: str = ""
    merchant_reference: str = ""
    period: Period | None = None


Items = Callable[[Connection, Sequence[Receipt]], Awaitable[tuple[ReceiptItem, ...]]]
"""Reads what a paper shows, once the papers before it are known; nothing where they show all of it."""


class Receipts:
    """Numbers papers. One object per process; any number of processes side by side."""

    def __init__(self, database: Database, clock: Clock, agreements: Agreements, reading: Reading) -> None:
        self._database = database
        self._clock = clock
        self._agreements = agreements
        self._reading = reading

    async def for_payment(self, scope: Behalf, intent_id: UUID) -> Receipt:
        """Return the newest receipt of a payment, made where something was claimed since the one before.

        Raises NotFound ``payment_unknown``; Conflict ``receipt_without_sale`` before anything was claimed and recorded.
        """
        intent = await self._reading.read(Intent, scope.book_id, intent_id)
        if intent is None:
            raise NotFound("payment_unknown", f"no payment {intent_id}")
        paper = _Paper(
            ReceiptKind.RECEIPT,
            intent.id,
            intent.reference,
            intent.currency,
            description=intent.description or "",
            merchant_reference=intent.merchant_reference or "",
        )

        async def items(connection: Connection, before: Sequence[Receipt]) -> tuple[ReceiptItem, ...]:
            movements = await movement_store.of_intent(connection, scope.book_id, intent.id, ITEMS_MAX)
            shown = {item.movement_id for receipt in before for item in receipt.items}
            return tuple(
                ReceiptItem(
                    name=movement.method,
                    count=1,
                    amount_minor=movement.amount_minor,
                    at=movement.occurred_at,
                    movement_id=movement.id,
                )
                for movement in movements
                if movement.kind is MovementKind.SALE and movement.id not in shown
            )

        return await self._issued(scope, paper, items, "receipt_without_sale")

    async def for_refund(self, scope: Behalf, refund_id: UUID) -> Receipt:
        """Return the receipt of a refund that reached its payer; amounts are negative.

        Raises NotFound ``refund_unknown``; Conflict ``refund_not_done``, ``receipt_without_sale`` before it was recorded.
        """
        refund = await self._reading.read(Refund, scope.book_id, refund_id)
        if refund is None:
            raise NotFound("refund_unknown", f"no refund {refund_id}")
        if refund.state is not RefundState.SUCCEEDED:
            raise Conflict("refund_not_done", f"{refund.reference} is {refund.state}: nothing went back yet")
        paper = _Paper(ReceiptKind.REFUND_RECEIPT, refund.id, refund.reference, refund.currency)

        async def items(connection: Connection, before: Sequence[Receipt]) -> tuple[ReceiptItem, ...]:
            if before:
                return ()
            movements = await movement_store.of_intent(connection, scope.book_id, refund.intent_id, ITEMS_MAX)
            return tuple(
                ReceiptItem(
                    name=movement.method,
                    count=1,
                    amount_minor=movement.amount_minor,
                    at=movement.occurred_at,
                    movement_id=movement.id,
                )
                for movement in movements
                if movement.source_id == refund.id
            )

        return await self._issued(scope, paper, items, "receipt_without_sale")

    async def invoice(self, scope: Behalf, currency: str, year: int, month: int) -> Receipt:
        """Return the invoice of a month: the fees of everything that was priced in it, by the name of the charge, with tax.

        Raises InvalidRequest ``currency_unknown``, ``statement_time_invalid``; Conflict ``invoice_too_early`` until the month is
        over, ``invoice_empty`` where nothing was charged; LimitExceeded ``invoice_too_large``.
        """
        currencies.currency(currency)
        now = self._clock.now()
        holding = await self._agreements.at(scope.book_id, currency, now)
        period = policy.month(year, month, holding.agreement.zone)
        if now < period.until_at + GRACE:
            raise Conflict("invoice_too_early", "the month is not over yet; its fees may still change")
        source_id = derive(
            first_uuid_at(period.from_at), f"invoice:{scope.book_id}:{currency}:{year}-{month:02}"
        )
        paper = _Paper(ReceiptKind.INVOICE, source_id, f"{year}-{month:02}", currency, period=period)

        async def items(connection: Connection, before: Sequence[Receipt]) -> tuple[ReceiptItem, ...]:
            return () if before else await self._charges(connection, scope.book_id, currency, period)

        return await self._issued(scope, paper, items, "invoice_empty")

    async def get(self, book_id: int, receipt_id: UUID) -> Receipt:
        """Return a paper of a book; raise NotFound ``receipt_unknown``."""
        async with self._database.connection() as connection:
            found = await store.one(connection, book_id, receipt_id)
        if found is None:
            raise NotFound("receipt_unknown", f"no receipt {receipt_id}")
        return found

    async def page(
        self,
        book_id: int,
        *,
        kind: ReceiptKind | None = None,
        before: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> tuple[list[Receipt], bool]:
        """Return papers, those of the newest payments and months first, at most ``PAGE_MAX``, and whether there are more.

        ``before``: the last one of the page before.
        """
        limit = max(1, min(limit, PAGE_MAX))
        async with self._database.connection() as connection:
            found = await store.page(connection, book_id, kind, before, limit + 1)
        return found[:limit], len(found) > limit

    async def html(
        self,
        book_id: int,
        receipt_id: UUID,
        *,
        issuer: str,
        recipient: str = "",
        language: str,
        css_href: str | None = None,
    ) -> str:
        """Return a paper as a page to print; ``issuer`` is the merchant, or of an invoice the house.

        Raises NotFound ``receipt_unknown``, InvalidRequest ``language_unknown``.
        """
        receipt = await self.get(book_id, receipt_id)
        return receipt_html.page(
            receipt, issuer=issuer, recipient=recipient, language=language, css_href=css_href
        )

    async def _charges(
        self, connection: Connection, book_id: int, currency: str, period: Period
    ) -> tuple[ReceiptItem, ...]:
        """Return the charges of a month by name; together they are what its batches posted as fees."""
        await batch_store.be_patient(connection)
        between = (period.from_at, period.until_at)
        events = await statement_store.events(connection, book_id, currency, between, BATCHES_MAX + 1)
        if len(events) > BATCHES_MAX:
            raise LimitExceeded("invoice_too_large", "there are too many batches in this month")
        priced = [each for each in events if each.act is BatchAct.PRICED]
        rows = await statement_store.charges(connection, book_id, [each.batch_id for each in priced])
        posted = -sum(each.totals.fees_minor for each in priced)
        if sum(each.amount_minor for each in rows) != posted:
            raise InvariantBroken(
                "invoice_differs",
                f"the charges are not the {posted} that the batches posted",
                book_id=book_id,
            )
        return tuple(
            ReceiptItem(
                name=each.name,
                count=each.movement_count,
                amount_minor=each.amount_minor,
                tax_minor=each.tax_minor,
                tax_name=each.tax_name,
                tax_e6=each.tax_e6,
            )
            for each in rows
        )

    async def _issued(self, scope: Behalf, paper: _Paper, items: Items, code: str) -> Receipt:
        """Return the newest paper of a source, numbered where there is something new to show; one transaction.

        Raises Conflict ``code`` where there is nothing to show, ``receipt_contended`` where somebody else numbers the same.
        """
        now = self._clock.now()
        agreement = (await self._agreements.at(scope.book_id, paper.currency, now)).agreement
        year, series = local_date(agreement, now).year, SERIES[paper.kind]
        async with self._database.transaction() as connection:
            last = await store.lock_series(connection, scope.book_id, series, year)
            before = await store.of_source(connection, scope.book_id, paper.kind, paper.source_id, PARTS_MAX)
            shown = await items(connection, before)
            if not shown:
                if before:
                    return before[-1]
                raise Conflict(code, f"there is nothing to show for {paper.source}")
            part = len(before) + 1
            made = Receipt(
                id=derive(paper.source_id, f"{paper.kind}:{part}"),
                book_id=scope.book_id,
                live=scope.live,
                kind=paper.kind,
                series=series,
                year=year,
                number=last + 1,
                part=part,
                source_id=paper.source_id,
                source=paper.source,
                currency=paper.currency,
                items=shown,
                issued_at=now,
                issued_by=scope.actor,
                zone=agreement.zone,
                method=_method(shown, paper.kind),
                description=paper.description,
                merchant_reference=paper.merchant_reference,
                from_on=None if paper.period is None else paper.period.from_on,
                until_on=None if paper.period is None else paper.period.until_on,
            )
            if not await store.insert(connection, made):
                raise Conflict("receipt_contended", f"somebody else numbers {paper.source}; ask again")
        return made


def _method(items: Iterable[ReceiptItem], kind: ReceiptKind) -> str:
    """Return how was paid; several ways are told side by side."""
    return "" if kind is ReceiptKind.INVOICE else ", ".join(sorted({item.name for item in items}))
