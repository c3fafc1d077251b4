"""``/v2/receipts``: what payers and merchants keep. A merchant has its own papers made and reads them; the house reads all."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tongbao.clearing.schema.receipts import RECEIPT_PREFIX, Receipt, ReceiptKind
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.parties.schema import Scope
from tongbao.parties.service.merchants import Merchants
from tongbao.web.api import clearing_receipt_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import OPERATIONS, Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_bill_models import INTENT_PREFIX
from tongbao.web.api.clearing_bills import scope_of
from tongbao.web.api.clearing_pages import printed
from tongbao.web.api.clearing_sides import Doors, Language, book_of
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, given_id, path_id
from tongbao.web.locale.receipts import HOUSE_NAMES

PATH = "/receipts"
OF_HOUSE = OPERATIONS + PATH
REFUND_PREFIX = "re"
KindQuery = Annotated[ReceiptKind | None, Query(description="Only of this kind.")]


def add_receipts(
    routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse, merchants: Merchants
) -> None:
    """Add what merchants do with their papers."""
    receipts = clearing.receipts

    @routes.get(PATH)
    async def papers(
        who: Annotated[Caller, door.reports],
        kind: KindQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Receipts:
        """List receipts and invoices, those of the newest payments and months first; go on with `ending_before` = the last id."""
        return await _listed(clearing, who.book, (kind, ending_before, limit), is_house=False)

    @routes.post(PATH, status_code=201, response_model=models.Receipt)
    async def issue(
        request: Request, who: Annotated[Caller, door.writes], order: models.ReceiptOrder
    ) -> Response:
        """Issue the receipt of a payment or a refund, or the invoice of a month; asked again it is the same paper."""

        async def work() -> Receipt:
            return await _issued(clearing, scope_of(who), order)

        return await acts.run(request, who.book, work, lambda made: rendered(models.Receipt.of(made), 201))

    @routes.get(f"{PATH}/{{receipt}}")
    async def paper(who: Annotated[Caller, door.reports], receipt: IdPath) -> models.Receipt:
        """Return a receipt or invoice, `rcpt_…`."""
        return models.Receipt.of(await receipts.get(who.book, path_id(RECEIPT_PREFIX, receipt)))

    @routes.get(f"{PATH}/{{receipt}}/page", response_model=None)
    async def page(
        who: Annotated[Caller, door.reports], receipt: IdPath, language: Language = "en"
    ) -> Response:
        """Return a receipt or invoice as a page to read and to print."""
        found = await receipts.get(who.book, path_id(RECEIPT_PREFIX, receipt))
        merchant = await merchants.own(scope_of(who))
        is_invoice = found.kind is ReceiptKind.INVOICE
        return printed(
            await receipts.html(
                who.book,
                found.id,
                issuer=HOUSE_NAMES[language] if is_invoice else merchant.display_name or merchant.name,
                recipient=merchant.name if is_invoice else "",
                language=language,
            )
        )


def add_house(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add what the house sees of a merchant's papers."""

    @routes.get(f"{OF_HOUSE}/{{book}}")
    async def of_book(
        who: Annotated[Caller, door.books],
        book: IdPath,
        kind: KindQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Receipts:
        """List the receipts and invoices of a merchant's book, those of the newest payments and months first."""
        return await _listed(clearing, book_of(book), (kind, ending_before, limit), is_house=True)

    @routes.get(f"{OF_HOUSE}/{{book}}/{{receipt}}")
    async def one(who: Annotated[Caller, door.books], book: IdPath, receipt: IdPath) -> models.Receipt:
        """Return a receipt or invoice of a merchant."""
        found = await clearing.receipts.get(book_of(book), path_id(RECEIPT_PREFIX, receipt))
        if found.live != who.live:
            raise NotFound("receipt_unknown", f"no receipt {found.reference} in this mode")
        return models.Receipt.of(found, is_house=True)


async def _listed(
    clearing: ClearingHouse,
    book_id: int,
    asked: tuple[ReceiptKind | None, str | None, int],
    *,
    is_house: bool,
) -> models.Receipts:
    kind, ending_before, limit = asked
    before = cursor(RECEIPT_PREFIX, ending_before, "ending_before")
    found, more = await clearing.receipts.page(book_id, kind=kind, before=before, limit=limit)
    shown = [models.Receipt.of(each, is_house=is_house) for each in found]
    return models.Receipts(data=shown, has_more=more)


async def _issued(clearing: ClearingHouse, scope: Scope, order: models.ReceiptOrder) -> Receipt:
    """Return the paper of an order; raise InvalidRequest ``receipt_order_invalid`` for none, or for several at once."""
    receipts = clearing.receipts
    named = [each for each in (order.payment, order.refund, order.month) if each is not None]
    if len(named) != 1 or (order.month is None) != (order.currency is None):
        raise InvalidRequest(
            "receipt_order_invalid", "a paper is of a payment, of a refund, or of a month and a currency"
        )
    if order.payment is not None:
        return await receipts.for_payment(scope, given_id(INTENT_PREFIX, order.payment, "payment"))
    if order.refund is not None:
        return await receipts.for_refund(scope, given_id(REFUND_PREFIX, order.refund, "refund"))
    year, month = map(int, (order.month or "").split("-"))
    return await receipts.invoice(scope, order.currency or "", year, month)
