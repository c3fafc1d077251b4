"""``tongbao adjustments``: money given to merchants, or taken, beside payments; one proposes, another approves."""

from typing import Annotated

import typer

from tongbao.clearing.schema.adjustments import (
    ADJUSTMENT_PREFIX,
    Adjustment,
    AdjustmentOrder,
    AdjustmentState,
)
from tongbao.payments.schema.intents import Intent
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    Note,
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
    MaybeBook,
    at_clearing,
    book_text,
    money,
)
from tongbao.web.commands.risk_desk import id_of

AdjustmentId = Annotated[str, typer.Argument(metavar="ADJUSTMENT", help="Id of an adjustment: adj_…")]
Seen = Annotated[int | None, typer.Option("--version", min=1, help="The version you looked at.")]

app = typer.Typer(no_args_is_help=True, help="Adjustments: money that no payment moves, by two people.")


@app.command("propose")
def propose(
    book: BookCode,
    currency: CurrencyCode,
    amount: Annotated[
        int, typer.Argument(metavar="MINOR", help="Minor units: 1250 is given; --take takes it.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; the merchant reads it.")],
    reference: Annotated[str, typer.Option("--reference", help="Yours, of a ticket; once in a book.")],
    evidence: Annotated[str, typer.Option("--evidence", help="What shows it to be right; for the house.")],
    take: Annotated[bool, typer.Option("--take", help="Take the amount instead of giving it.")] = False,
    payment: Annotated[str | None, typer.Option("--payment", help="The payment it is about: pi_…")] = None,
    reverses: Annotated[
        str | None, typer.Option("--reverses", help="The posted adjustment it takes back: adj_…")
    ] = None,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Propose to give a merchant money, or to take some; somebody else approves it."""
    actor = actor_of(by)
    intent_id = None if payment is None else id_of(Intent.PREFIX, payment)
    first = None if reverses is None else id_of(ADJUSTMENT_PREFIX, reverses)

    async def work(desk: ClearingDesk) -> Adjustment:
        order = AdjustmentOrder(
            book_id=await desk.book(book),
            currency=currency.upper(),
            amount_minor=-amount if take else amount,
            reason=reason,
            reference=reference,
            evidence=evidence,
            intent_id=intent_id,
            reverses=first,
        )
        return await desk.clearing.adjustments.propose(order, actor=actor)

    _print(at_clearing(work), as_json=as_json)


@app.command("approve")
def approve(
    adjustment: AdjustmentId, version: Seen = None, note: Note = "", by: Actor = None, as_json: Json = False
) -> None:
    """Approve an adjustment as another person; above the limit of the agreement two others do. It is posted at once."""
    actor, found = actor_of(by), id_of(ADJUSTMENT_PREFIX, adjustment)

    async def work(desk: ClearingDesk) -> Adjustment:
        return await desk.clearing.adjustments.approve(found, actor=actor, note=note, seen_version=version)

    _print(at_clearing(work), as_json=as_json)


@app.command("decline")
def decline(
    adjustment: AdjustmentId, version: Seen = None, note: Note = "", by: Actor = None, as_json: Json = False
) -> None:
    """Refuse an adjustment, or withdraw your own."""
    actor, found = actor_of(by), id_of(ADJUSTMENT_PREFIX, adjustment)

    async def work(desk: ClearingDesk) -> Adjustment:
        return await desk.clearing.adjustments.decline(found, actor=actor, note=note, seen_version=version)

    _print(at_clearing(work), as_json=as_json)


@app.command("list")
def list_adjustments(
    state: Annotated[AdjustmentState | None, typer.Option("--state", help="Those in this state.")] = None,
    book: MaybeBook = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most adjustments to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List adjustments, newest first."""

    async def work(desk: ClearingDesk) -> list[Adjustment]:
        book_id = await desk.maybe_book(book)
        return await desk.clearing.adjustments.page(book_id=book_id, state=state, limit=limit)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("Adjustment", "Book", "State", "Amount#", "Reason", "Reference", "Proposed by", "Approved by"),
        [_row(each) for each in found],
    )


@app.command("show")
def show(adjustment: AdjustmentId, as_json: Json = False) -> None:
    """Show an adjustment with its evidence and what was done about it."""
    wanted = id_of(ADJUSTMENT_PREFIX, adjustment)

    async def work(desk: ClearingDesk) -> Adjustment:
        return await desk.clearing.adjustments.get(wanted)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    order = found.order
    print_line(
        f"{found.text_id} · {found.state.value} · {money(order.amount_minor, order.currency)} · version {found.version}",
        "bold",
    )
    print_line(f"{order.reason} ({order.reference})")
    print_line(order.evidence)
    for deed in found.history:
        print_line(f"{instant(deed.at)}  {deed.act:<10} {deed.actor}  {deed.note}")


def _row(found: Adjustment) -> tuple[str, ...]:
    order = found.order
    return (
        found.text_id,
        book_text(order.book_id),
        found.state.value,
        money(order.amount_minor, order.currency),
        order.reason,
        order.reference,
        found.proposed_by,
        ", ".join(found.approvals),
    )


def _print(made: Adjustment, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    open_words = (
        "; somebody else has to approve it" if not made.approvals else "; a second person has to approve it"
    )
    waits = open_words if made.state is AdjustmentState.PROPOSED else ""
    print_line(f"{made.text_id} is {made.state.value}, version {made.version}{waits}.")
