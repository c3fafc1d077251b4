"""``/merchant/{merchant}/receipts``: receipts for payers and invoices of the house, to read, to print, to have made."""

import re

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.clearing.schema.receipts import RECEIPT_PREFIX, Receipt, ReceiptKind
from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import Permission
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.refunds import Refund
from tongbao.web.api.clearing_pages import printed
from tongbao.web.locale.receipts import HOUSE_NAMES
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import cursor, named
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.ui.forms import Form
from tongbao.web.ui.money import plain_amount
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Column, Filter, Query, Row, Table

PATH = f"{PREFIX}/receipts"
ROWS = 25
READ_MAX = 100


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def receipts(request: Request, merchant: str) -> Response:
        return await _list(await enter(portal, request, merchant, Permission.REPORTS_READ))

    @routes.post(PATH, response_model=None)
    async def issue(request: Request, merchant: str) -> Response:
        return await _issue(await enter(portal, request, merchant, Permission.PAYOUTS_WRITE))

    @routes.get(f"{PATH}/{{receipt}}", response_model=None)
    async def receipt(request: Request, merchant: str, receipt: str) -> Response:
        return await _one(await enter(portal, request, merchant, Permission.REPORTS_READ), receipt)

    return routes


def table(office: Office) -> Table:
    """Return what the table is."""
    t = office.t
    kinds = tuple((each.value, str(t(f"paper_{each}"))) for each in ReceiptKind)
    return Table(
        "receipts",
        str(t("receipts")),
        (
            Column("number", str(t("c_paper_number")), fixed=True),
            Column("kind", str(t("c_paper"))),
            Column("of", str(t("c_of"))),
            Column("total", str(t("c_amount")), number=True),
            Column("tax", str(t("c_tax")), number=True),
            Column("issued", str(t("c_issued"))),
            Column("id", str(t("c_id")), shown=False),
        ),
        (Filter("kind", str(t("c_paper")), kinds),),
    )


async def _list(office: Office, form: Form | None = None, status: int = 200) -> Response:
    what = table(office)
    query = office.query(what)
    if office.wants_csv:
        every = Query(tuple(column.key for column in what.columns))
        rows = [_plain(each, office) for each in await _all(office, query)]
        return office.csv("receipts", what, every, rows)
    wanted = query.filters.get("kind")
    found, more = await office.clearing.receipts.page(
        office.visitor.scope.book_id,
        kind=ReceiptKind(wanted) if wanted else None,
        before=cursor(query.after, RECEIPT_PREFIX),
        limit=ROWS,
    )
    listed = office.listed(
        query,
        what,
        [_row(each, office) for each in found],
        "/receipts",
        after=found[-1].reference if more else "",
        empty="receipts_empty",
        export=True,
    )
    shown = {
        "view": listed,
        "form": form or Form({}, office.ui),
        "is_open": form is not None,
        "can_issue": office.visitor.may(Permission.PAYOUTS_WRITE),
        "currencies": await office.currencies(),
        "last_month": f"{(office.today.replace(day=1)):%Y-%m}",
    }
    return office.page(Shown("receipts.html", "statements", shown, status))


async def _all(office: Office, query: Query) -> list[Receipt]:
    found: list[Receipt] = []
    wanted, more = query.filters.get("kind"), True
    while more and len(found) < EXPORT_ROWS_MAX:
        page, more = await office.clearing.receipts.page(
            office.visitor.scope.book_id,
            kind=ReceiptKind(wanted) if wanted else None,
            before=found[-1].id if found else None,
            limit=READ_MAX,
        )
        found += page
    return found


async def _issue(office: Office) -> Response:
    """Have a paper made: of a payment or refund by its id, or the invoice of a month."""
    form = Form(await office.form(), office.ui)
    what = form.choice("what", ("payment", "month"))
    reference = form.text("reference", 80, required=what == "payment")
    month = form.text("month", 7, required=what == "month")
    currency = form.choice("currency", await office.currencies(), required=what == "month")
    if not form.errors:
        try:
            made = await _made(office, what, reference, month, currency)
            return office.done(f"/receipts/{made.reference}", "receipt_made")
        except AppError as error:
            form.wrong("reference" if what == "payment" else "month", office.problem(error))
            return await _list(office, form, status_of(error))
    return await _list(office, form, 422)


async def _made(office: Office, what: str, reference: str, month: str, currency: str) -> Receipt:
    scope, receipts = office.visitor.scope, office.clearing.receipts
    if what == "month":
        if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", month):
            raise NotFound("month_unknown", "a month is written as 2026-11")
        return await receipts.invoice(scope, currency, int(month[:4]), int(month[5:]))
    for prefix, act in ((Intent.PREFIX, receipts.for_payment), (Refund.PREFIX, receipts.for_refund)):
        try:
            document = parse_uuid(prefix, reference)
        except ValueError:
            continue
        return await act(scope, document)
    raise NotFound("resource_missing", "nothing here has this id")


async def _one(office: Office, reference: str) -> Response:
    scope, receipts = office.visitor.scope, office.clearing.receipts
    found = await receipts.get(scope.book_id, path_id(RECEIPT_PREFIX, reference))
    merchant = office.visitor.merchant
    is_invoice = found.kind is ReceiptKind.INVOICE
    return printed(
        await receipts.html(
            scope.book_id,
            found.id,
            issuer=HOUSE_NAMES[office.language] if is_invoice else merchant.display_name or merchant.name,
            recipient=merchant.name if is_invoice else "",
            language=office.language,
        )
    )


def _row(found: Receipt, office: Office) -> Row:
    of: str | Markup = named(found.merchant_reference or found.description)
    if found.kind is ReceiptKind.INVOICE and found.from_on is not None:
        of = f"{found.from_on:%Y-%m}"
    elif found.source.startswith(f"{Intent.PREFIX}_"):
        of = office.link(f"/payments/{found.source}", of or office.t("c_payment"))
    elif found.source.startswith(f"{Refund.PREFIX}_"):
        of = office.link(f"/refunds/{found.source}", of or office.t("refund"))
    return Row(
        {
            "number": office.link(f"/receipts/{found.reference}", found.text_number),
            "kind": office.t(f"paper_{found.kind}"),
            "of": of,
            "total": office.ui.money(found.total_minor, found.currency),
            "tax": office.ui.money(found.tax_minor, found.currency) if found.tax_minor else "",
            "issued": office.written(found.issued_at),
            "id": Markup('<code class="mono">{}</code>').format(found.reference),
        }
    )


def _plain(found: Receipt, office: Office) -> dict[str, str]:
    return {
        "number": found.text_number,
        "kind": str(office.t(f"paper_{found.kind}")),
        "of": found.source,
        "total": plain_amount(found.total_minor, found.currency),
        "tax": plain_amount(found.tax_minor, found.currency),
        "issued": office.written(found.issued_at),
        "id": found.reference,
    }
