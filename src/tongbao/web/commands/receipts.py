"""``tongbao receipts``: what payers and merchants keep: made, listed, shown, and written as pages to print."""

from datetime import UTC
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from tongbao.clearing.schema.receipts import RECEIPT_PREFIX, Receipt, ReceiptKind
from tongbao.clearing.service.receipts import ByHouse
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_uuid
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
)
from tongbao.web.commands.clearing_desk import (
    BookCode,
    ClearingDesk,
    CurrencyCode,
    at_clearing,
    money,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import id_of
from tongbao.web.locale.receipts import HOUSE_NAMES

INTENT_PREFIX = "pi"
REFUND_PREFIX = "re"
ReceiptId = Annotated[str, typer.Argument(metavar="RECEIPT", help="Id of a receipt: rcpt_…")]

app = typer.Typer(no_args_is_help=True, help="Receipts and invoices: numbered without gaps, never changed.")


@app.command("list")
def list_papers(
    book: BookCode,
    kind: Annotated[ReceiptKind | None, typer.Option("--kind", help="Only of this kind.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most to show.")] = 20,
    as_json: Json = False,
) -> None:
    """List the receipts and invoices of a merchant, those of the newest payments and months first."""

    async def work(desk: ClearingDesk) -> tuple[list[Receipt], bool]:
        return await desk.clearing.receipts.page(await desk.book(book), kind=kind, limit=limit)

    found, more = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.reference,
            each.text_number,
            each.kind.value.replace("_", " "),
            money(each.total_minor, each.currency),
            each.source,
        )
        for each in found
    ]
    print_table(("Receipt", "Number", "Kind", "Amount#", "Of"), rows)
    if more:
        print_line("There are more: --limit shows up to 100 of them.")


@app.command("issue")
def issue(
    book: BookCode,
    of: Annotated[str, typer.Argument(metavar="PAYMENT|REFUND", help="A payment pi_… or a refund re_….")],
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Issue the receipt of a payment or a refund; asked again it is the same paper."""
    actor = actor_of(by)
    is_refund = of.startswith(f"{REFUND_PREFIX}_")
    source_id = _id(REFUND_PREFIX if is_refund else INTENT_PREFIX, of)

    async def work(desk: ClearingDesk) -> Receipt:
        asker = await _asker(desk, book, actor)
        receipts = desk.clearing.receipts
        return await (receipts.for_refund if is_refund else receipts.for_payment)(asker, source_id)

    _made(at_clearing(work), as_json=as_json)


@app.command("invoice")
def invoice(
    book: BookCode,
    currency: CurrencyCode,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="Such as 2026-01.")],
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Issue the invoice of a month: the fees of all that was priced in it, with their tax."""
    actor = actor_of(by)
    year, _, number = month.partition("-")
    if not (month.isascii() and len(month) == 7 and year.isdigit() and number.isdigit()):
        raise InvalidRequest("statement_time_invalid", f"{month[:20]!r} is no month such as 2026-01")

    async def work(desk: ClearingDesk) -> Receipt:
        asker = await _asker(desk, book, actor)
        return await desk.clearing.receipts.invoice(asker, currency.upper(), int(year), int(number))

    _made(at_clearing(work), as_json=as_json)


@app.command("show")
def show(book: BookCode, receipt: ReceiptId, as_json: Json = False) -> None:
    """Show a receipt or invoice with its lines."""
    receipt_id = id_of(RECEIPT_PREFIX, receipt)

    async def work(desk: ClearingDesk) -> Receipt:
        return await desk.clearing.receipts.get(await desk.book(book), receipt_id)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    mode = "" if found.live else " · test"
    title = f"{found.text_number} · {found.kind.value.replace('_', ' ')} of {found.source}{mode}"
    print_line(f"{title} · issued {instant(found.issued_at)} UTC by {found.issued_by}", "bold")
    rows = [
        (
            item.name,
            f"{item.count:,}",
            "" if item.at is None else instant(item.at.astimezone(UTC)),
            f"{item.tax_name} {item.tax_e6 / 10_000:g}%".strip() if item.tax_e6 else "",
            money(item.tax_minor, found.currency),
            money(item.amount_minor, found.currency),
        )
        for item in found.items
    ]
    rows.append(
        (
            "total",
            "",
            "",
            "",
            money(found.tax_minor, found.currency),
            money(found.total_minor, found.currency),
        )
    )
    print_table(("What", "Count#", "At (UTC)", "Tax", "Amount of tax#", "Amount#"), rows)


@app.command("page")
def page(
    book: BookCode,
    receipt: ReceiptId,
    out: Annotated[Path, typer.Option("--out", help="The page to write: paper.html")],
    lang: Annotated[Language, typer.Option("--lang", help="Language of the words.")] = Language.EN,
) -> None:
    """Write a receipt or invoice as a page to print."""
    receipt_id = id_of(RECEIPT_PREFIX, receipt)

    async def work(desk: ClearingDesk) -> str:
        book_id = await desk.book(book)
        found = await desk.clearing.receipts.get(book_id, receipt_id)
        merchant = await desk.merchant(book_id)
        is_invoice = found.kind is ReceiptKind.INVOICE
        return await desk.clearing.receipts.html(
            book_id,
            receipt_id,
            issuer=HOUSE_NAMES[lang] if is_invoice else merchant.display_name or merchant.name,
            recipient=merchant.name if is_invoice else "",
            language=lang,
        )

    text = at_clearing(work)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest("file_unwritable", f"{out} cannot be written: {error.strerror}") from error
    print_line(f"The page is in {out}.")


async def _asker(desk: ClearingDesk, book: str, actor: str) -> ByHouse:
    book_id = await desk.book(book)
    return ByHouse(book_id, (await desk.merchant(book_id)).live_book_id == book_id, actor)


def _made(made: Receipt, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    print_line(f"{made.text_number} ({made.reference}): {money(made.total_minor, made.currency)}.")


def _id(prefix: str, text: str) -> UUID:
    try:
        return parse_uuid(prefix, text)
    except ValueError:
        raise InvalidRequest(
            "id_malformed", f"a payment is pi_…, a refund re_…; {text[:40]!r} is neither"
        ) from None
