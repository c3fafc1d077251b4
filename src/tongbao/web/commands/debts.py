"""``tongbao debts``: what merchants owe, what they are asked to pay, what came, and what is given up by two people."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from tongbao.clearing.schema.breaks import BREAK_PREFIX
from tongbao.clearing.schema.demands import DEMAND_PREFIX, DebtAge, Debtor, Demand, DemandOrder, DemandState
from tongbao.clearing.service.closing import HOUSE_ZONE
from tongbao.web.commands.at_desk import Actor, Json, Note, actor_of, print_json, print_line, print_table
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

AGES = ("not due", "1–30 days", "31–60 days", "61–90 days", "older")
DemandId = Annotated[str, typer.Argument(metavar="DEMAND", help="Id of a demand: dmd_…")]
Why = Annotated[str, typer.Option("--note", help="Why; kept for good.")]
Minor = Annotated[int, typer.Argument(metavar="MINOR", min=1, help="Minor units.")]
Day = Annotated[
    datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="The day on which it came; today.")
]

app = typer.Typer(no_args_is_help=True, help="Debts of merchants: demands, what came, what is given up.")


@app.command("ageing")
def ageing(as_json: Json = False) -> None:
    """Show what is demanded by how long it is overdue, and who owes."""

    async def work(desk: ClearingDesk) -> tuple[tuple[DebtAge, ...], list[Debtor]]:
        return await desk.clearing.collections.ages(), await desk.clearing.collections.debtors()

    ages, debtors = at_clearing(work)
    if as_json:
        print_json({"ages": ages, "debtors": debtors})
        return
    rows = [
        (
            each.currency,
            "live" if each.live else "test",
            *(money(one, each.currency) for one in each.amounts_minor),
        )
        for each in ages
    ]
    print_table(("Currency", "Mode", *(f"{name}#" for name in AGES)), rows, "Demanded, by age")
    owing = [
        (
            book_text(each.book_id),
            "live" if each.live else "test",
            money(each.debt_minor, each.currency),
            money(each.waiting_minor, each.currency),
            money(each.owed_minor, each.currency),
            money(each.demanded_minor, each.currency),
            "" if each.earliest_due_on is None else str(each.earliest_due_on),
        )
        for each in debtors
    ]
    names = ("Book", "Mode", "Debt#", "Waiting#", "Owed#", "Demanded#", "First due")
    print_table(names, owing, "Who owes")


@app.command("list")
def list_demands(
    state: Annotated[DemandState | None, typer.Option("--state", help="Those in this state.")] = None,
    book: MaybeBook = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most demands to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List demands, newest first."""

    async def work(desk: ClearingDesk) -> list[Demand]:
        book_id = await desk.maybe_book(book)
        return await desk.clearing.collections.page(book_id=book_id, state=state, limit=limit)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    names = ("Demand", "Book", "State", "Asked#", "Received#", "Left#", "Due", "Reference", "Given up by")
    print_table(names, [_row(each) for each in found])


@app.command("demand")
def demand(
    book: BookCode,
    currency: CurrencyCode,
    amount: Minor,
    due: Annotated[datetime, typer.Option("--due", formats=["%Y-%m-%d"], help="Until when.")],
    reference: Annotated[str, typer.Option("--reference", help="On the letter; once in a book.")],
    note: Why,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Ask a merchant to pay what it owes."""
    actor = actor_of(by)

    async def work(desk: ClearingDesk) -> Demand:
        order = DemandOrder(
            book_id=await desk.book(book),
            currency=currency.upper(),
            amount_minor=amount,
            due_on=due.date(),
            reference=reference,
            note=note,
        )
        return await desk.clearing.collections.demand(order, actor=actor)

    _print(at_clearing(work), as_json=as_json)


@app.command("receive")
def receive(
    demand: DemandId,
    amount: Minor,
    reference: Annotated[str, typer.Option("--bank-reference", help="What the bank calls it.")],
    on: Day = None,
    note: Note = "",
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Book money that a merchant paid into the house's account; the same reference again changes nothing."""
    actor, wanted = actor_of(by), id_of(DEMAND_PREFIX, demand)

    async def work(desk: ClearingDesk) -> Demand:
        day = (on or desk.runtime.clock.now().astimezone(ZoneInfo(HOUSE_ZONE))).date()
        made, _ = await desk.clearing.collections.receive(
            wanted, amount, bank_reference=reference, received_on=day, actor=actor, note=note
        )
        return made

    _print(at_clearing(work), as_json=as_json)


@app.command("line")
def line(
    demand: DemandId,
    brk: Annotated[str, typer.Argument(metavar="BREAK", help="An unexpected line of a bank: brk_…")],
    note: Why,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Take a line of a bank's statement as a payment of a demand, and end its break."""
    actor, wanted = actor_of(by), id_of(DEMAND_PREFIX, demand)
    break_id = id_of(BREAK_PREFIX, brk)

    async def work(desk: ClearingDesk) -> Demand:
        made, _, _ = await desk.clearing.debt_lines.receive(wanted, break_id, actor=actor, note=note)
        return made

    _print(at_clearing(work), as_json=as_json)


@app.command("give-up")
def give_up(demand: DemandId, note: Why, by: Actor = None, as_json: Json = False) -> None:
    """Propose to write off what is left of a demand; a second person decides."""
    _act(demand, "give_up", note, by, as_json=as_json)


@app.command("write-off")
def write_off(demand: DemandId, note: Note = "", by: Actor = None, as_json: Json = False) -> None:
    """Give up what is left of a demand, as the second person."""
    _act(demand, "write_off", note, by, as_json=as_json)


@app.command("keep")
def keep(demand: DemandId, note: Note = "", by: Actor = None, as_json: Json = False) -> None:
    """Refuse a write-off, or withdraw your own: the demand stands."""
    _act(demand, "keep", note, by, as_json=as_json)


@app.command("cancel")
def cancel(demand: DemandId, note: Why, by: Actor = None, as_json: Json = False) -> None:
    """Take back a demand of which nothing came."""
    _act(demand, "cancel", note, by, as_json=as_json)


def _act(demand: str, name: str, note: str, by: str | None, *, as_json: bool) -> None:
    actor, wanted = actor_of(by), id_of(DEMAND_PREFIX, demand)

    async def work(desk: ClearingDesk) -> Demand:
        made: Demand = await getattr(desk.clearing.collections, name)(wanted, actor=actor, note=note)
        return made

    _print(at_clearing(work), as_json=as_json)


def _row(found: Demand) -> tuple[str, ...]:
    order = found.order
    return (
        found.text_id,
        book_text(order.book_id),
        found.state.value,
        money(order.amount_minor, order.currency),
        money(found.received_minor, order.currency),
        money(found.left_minor, order.currency),
        str(order.due_on),
        order.reference,
        found.given_up_by,
    )


def _print(made: Demand, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    waits = "; somebody else has to write it off" if made.given_up_by and made.left_minor else ""
    left = money(made.left_minor, made.order.currency)
    print_line(f"{made.text_id} is {made.state.value}, {left} are left{waits}.")
