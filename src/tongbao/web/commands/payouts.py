"""``tongbao payouts``: money on its way to merchants, and one round of sending and hearing banks."""

from typing import Annotated

import typer

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
    money,
    stepped,
)
from tongbao.web.commands.risk_desk import id_of

STEPS = ("accounts", "create", "bundle", "send", "hear", "watch")
app = typer.Typer(no_args_is_help=True, help="Payouts: what is on its way to merchants' accounts.")


@app.command("list")
def list_payouts(
    book: BookCode,
    state: Annotated[PayoutState | None, typer.Option("--state", help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most to show.")] = 20,
    as_json: Json = False,
) -> None:
    """List the payouts of a merchant, newest first."""

    async def work(desk: ClearingDesk) -> list[Payout]:
        return await desk.clearing.paying.page(await desk.book(book), state=state, limit=limit)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.reference,
            each.state.value,
            money(each.amount_minor, each.currency),
            str(each.due_on),
            each.bank,
            each.end_to_end,
            "" if each.sent_at is None else instant(each.sent_at),
            f"{each.code or ''} {each.message or ''}".strip(),
        )
        for each in found
    ]
    print_table(("Payout", "State", "Amount#", "Due", "Bank", "End to end", "Sent (UTC)", "Told"), rows)


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
