"""``tongbao payouts``: money on its way to merchants, and one round of sending and hearing banks."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from tongbao.clearing.schema.house_lists import PayoutFilter
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX, Destination, Payout, PayoutState
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
    at_clearing,
    book_text,
    money,
    stepped,
)
from tongbao.web.commands.risk_desk import id_of

SHOWN_MAX = 10_000
STEPS = ("accounts", "create", "bundle", "send", "hear", "watch")


class Became(StrEnum):
    """What may have become of a payout that the bank says nothing of."""

    PAID = "paid"
    REJECTED = "rejected"


app = typer.Typer(no_args_is_help=True, help="Payouts: what is on its way to merchants' accounts.")


@app.command("list")
def list_payouts(
    book: Annotated[
        str | None, typer.Argument(metavar="[BOOK]", help="Code of a merchant's book: book_…; all without.")
    ] = None,
    state: Annotated[PayoutState | None, typer.Option("--state", help="Only those in this state.")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="Only of this currency.")] = None,
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="Only those that go on this day.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=SHOWN_MAX, help="Most to show.")] = 20,
    as_json: Json = False,
) -> None:
    """List payouts of all merchants or of one, newest first."""

    async def work(desk: ClearingDesk) -> tuple[list[Payout], bool]:
        asked = PayoutFilter(
            book_id=await desk.maybe_book(book),
            state=state,
            currency=None if currency is None else currency.upper(),
            due_on=None if on is None else on.date(),
        )
        found: list[Payout] = []
        more = True
        while more and len(found) < limit:
            last = found[-1].id if found else None
            page, more = await desk.clearing.lists.payouts(asked, before=last, limit=limit - len(found))
            found += page
        return found, more

    found, more = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.reference,
            book_text(each.book_id),
            "live" if each.live else "test",
            each.state.value,
            money(each.amount_minor, each.currency),
            str(each.due_on),
            each.bank,
            "" if each.sent_at is None else instant(each.sent_at),
            f"{each.code or ''} {each.message or ''}".strip(),
        )
        for each in found
    ]
    heads = ("Payout", "Book", "Mode", "State", "Amount#", "Due", "Bank", "Sent (UTC)", "Told")
    print_table(heads, rows)
    if more:
        print_line(f"There are more: --limit shows up to {SHOWN_MAX:,} of them.")


@app.command("accounts")
def accounts(book: BookCode, as_json: Json = False) -> None:
    """List the accounts that a merchant's money may go to."""

    async def work(desk: ClearingDesk) -> list[Destination]:
        return await desk.clearing.destinations.page(await desk.book(book))

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.reference,
            each.state.value,
            each.currency,
            each.holder,
            f"{each.scheme} …{each.last4}",
            "" if each.usable_at is None else instant(each.usable_at),
            each.paused_reason,
        )
        for each in found
    ]
    print_table(("Account", "State", "Currency", "Holder", "Number", "Usable from (UTC)", "Paused"), rows)


@app.command("send")
def send(as_json: Json = False) -> None:
    """Create, send and inquire what is due now, and hear the banks, as the workers do."""

    async def work(desk: ClearingDesk) -> dict[str, int]:
        paying = desk.clearing.paying
        jobs = (
            desk.clearing.destinations.step,
            paying.create,
            paying.sending.bundle,
            paying.sending.dispatch,
            paying.answers.collect,
            paying.watch,
        )
        done: dict[str, int] = {}
        with stepped("Paying", len(STEPS), hidden=as_json) as tell:
            for number, (name, job) in enumerate(zip(STEPS, jobs, strict=True)):
                tell(name, number)
                done[name] = await job()
        return done

    done = at_clearing(work)
    if as_json:
        print_json(done)
        return
    print_line(
        f"{done['create']} payouts made, {done['send']} messages sent, {done['hear']} answers heard, "
        f"{done['watch']} looked after."
    )


@app.command("cancel")
def cancel(
    book: BookCode,
    payout: Annotated[str, typer.Argument(metavar="PAYOUT", help="Id of a payout: po_…")],
    note: Note,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Take back a payout that was not sent; its batch has to be approved anew."""
    actor, payout_id = actor_of(by), id_of(PAYOUT_PREFIX, payout)

    async def work(desk: ClearingDesk) -> Payout:
        return await desk.clearing.paying.cancel(await desk.book(book), payout_id, actor=actor, note=note)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    print_line(f"{made.reference} is {made.state.value}.")


@app.command("resolve")
def resolve(
    book: BookCode,
    payout: Annotated[str, typer.Argument(metavar="PAYOUT", help="Id of a payout: po_…")],
    state: Annotated[Became, typer.Argument(metavar="paid|rejected", help="What became of it.")],
    note: Note,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Say what became of an unresolved payout; it counts once a second person says the same."""
    actor, payout_id = actor_of(by), id_of(PAYOUT_PREFIX, payout)

    async def work(desk: ClearingDesk) -> Payout:
        return await desk.clearing.paying.resolve(
            await desk.book(book), payout_id, PayoutState(state), actor=actor, note=note
        )

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    waits = "" if made.state is not PayoutState.UNRESOLVED else "; a second person has to say the same"
    print_line(f"{made.reference} is {made.state.value}{waits}.")
