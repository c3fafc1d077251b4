"""``tongbao settle``: batches cut, priced and approved, what is agreed with merchants, and when they are paid."""

from datetime import date, datetime
from typing import Annotated

import msgspec
import typer

from tongbao.clearing.schema.agreements import Agreement, AgreementVersion, Cut
from tongbao.clearing.schema.batches import BATCH_PREFIX, Batch, BatchState
from tongbao.clearing.schema.house_lists import BatchFilter
from tongbao.core.errors import InvalidRequest
from tongbao.web.commands import settle_backfill, settle_holidays
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

BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of a batch: bat_…")]
SHOWN_MAX = 10_000
STEPS = ("gross", "refunds", "disputes", "adjustments", "fees", "reserve_held", "reserve_released", "brought")

app = typer.Typer(no_args_is_help=True, help="Settlement: batches, agreements, and when merchants are paid.")
settle_backfill.mount(app)
settle_holidays.mount(app)


@app.command("batches")
def batches(
    state: Annotated[BatchState, typer.Option("--state", help="Those in this state.")] = BatchState.PRICED,
    until: Annotated[datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Paid by.")] = None,
    book: MaybeBook = None,
    currency: Annotated[str | None, typer.Option("--currency", help="Only of this currency.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=SHOWN_MAX, help="Most batches to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List batches in a state, the earliest date of payment first: those that wait for people, unless said otherwise."""
    last = date.max if until is None else until.date()

    async def work(desk: ClearingDesk) -> tuple[list[Batch], bool]:
        asked = BatchFilter(
            state=state,
            until_on=last,
            book_id=await desk.maybe_book(book),
            currency=None if currency is None else currency.upper(),
        )
        found: list[Batch] = []
        cursor: str | None = None
        while True:
            page = await desk.clearing.lists.batches(asked, cursor=cursor, limit=limit - len(found))
            found += page.batches
            cursor = page.next_cursor
            if cursor is None or len(found) >= limit:
                return found, cursor is not None

    found, more = at_clearing(work)
    if as_json:
        print_json(found)
        return
    print_table(
        (
            "Batch",
            "Book",
            "Mode",
            "State",
            "Cut (UTC)",
            "Paid on",
            "Movements#",
            "Net#",
            "Paid#",
            "Approvals",
        ),
        [_row(each) for each in found],
    )
    if more:
        print_line(f"There are more: --limit shows up to {SHOWN_MAX:,} of them.")


@app.command("show")
def show(book: BookCode, batch: BatchId, as_json: Json = False) -> None:
    """Show a batch from gross to net, with its history."""
    batch_id = id_of(BATCH_PREFIX, batch)

    async def work(desk: ClearingDesk) -> Batch:
        return await desk.clearing.settling.get(await desk.book(book), batch_id)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    print_line(f"{found.reference} · {found.state.value} · cut {instant(found.cut_at)} UTC", "bold")
    rows = [
        (name.replace("_", " "), money(getattr(found.totals, f"{name}_minor"), found.currency))
        for name in STEPS
    ]
    rows += [
        ("net", money(found.totals.net_minor, found.currency)),
        ("paid", money(found.paid_minor, found.currency)),
        ("carried on", money(found.carried_minor, found.currency)),
    ]
    print_table(("Step", "Amount#"), rows)
    for step in found.history:
        print_line(f"{instant(step.at)}  {step.state.value:<10} {step.actor}  {step.note}")


@app.command("cut")
def cut(book: MaybeBook = None, as_json: Json = False) -> None:
    """Cut, price and approve what is due now, as the workers do."""

    async def work(desk: ClearingDesk) -> dict[str, int]:
        book_id, settling = await desk.maybe_book(book), desk.clearing.settling
        return {
            "cut": await settling.cut_due(book_id),
            "priced": await settling.price_due(book_id),
            "approved": await settling.approve_small(book_id),
        }

    done = at_clearing(work)
    if as_json:
        print_json(done)
        return
    print_line(", ".join(f"{count} {name}" for name, count in done.items()) + ".")


@app.command("approve")
def approve(
    book: BookCode,
    batch: BatchId,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="The version you looked at.")
    ] = None,
    note: Note = "",
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Approve a priced batch, or one that failed and was mended; above the limit two different people do."""
    actor, batch_id = actor_of(by), id_of(BATCH_PREFIX, batch)

    async def work(desk: ClearingDesk) -> Batch:
        return await desk.clearing.settling.approve(
            await desk.book(book), batch_id, actor=actor, note=note, seen_version=version
        )

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    waits = "" if made.state is not BatchState.PRICED else "; a second person has to approve it"
    print_line(f"{made.reference} is {made.state.value}{waits}.")


@app.command("calendar")
def calendar(
    book: BookCode,
    currency: CurrencyCode,
    count: Annotated[int, typer.Option("--count", min=1, max=60, help="So many cuts.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the next cuts of a merchant and when they are paid."""

    async def work(desk: ClearingDesk) -> tuple[Cut, ...]:
        return await desk.clearing.agreements.calendar(await desk.book(book), currency.upper(), count)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (instant(each.cut_at), str(each.payout_on), "provisional" if each.is_provisional else "")
        for each in found
    ]
    print_table(("Cut (UTC)", "Paid on", "Calendar"), rows)
    if any(each.is_provisional for each in found):
        print_line(
            "Provisional: holidays on the way are not announced yet, and these dates may move.", "yellow"
        )


@app.command("agreement")
def agreement(book: BookCode, currency: CurrencyCode, as_json: Json = False) -> None:
    """Show what is agreed with a merchant about its money now; `house` for the house's own."""

    async def work(desk: ClearingDesk) -> AgreementVersion:
        owner, now = await _owner(desk, book), desk.runtime.clock.now()
        return await desk.clearing.agreements.at(owner, currency.upper(), now)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    print_line(
        f"version {found.version}, since {instant(found.effective_at)} UTC, by {found.made_by}", "bold"
    )
    facts = msgspec.structs.asdict(found.agreement)
    print_table(("Term", "Value"), [(name, _plain(value)) for name, value in facts.items()])


@app.command("agree")
def agree(
    book: BookCode,
    currency: CurrencyCode,
    terms: Annotated[str, typer.Argument(metavar="JSON", help='Such as \'{"cycle": "d", "days": 0}\'.')],
    note: Note = "",
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Agree with a merchant on something else from now on; `house` for the house's own."""
    actor = actor_of(by)
    try:
        wanted = msgspec.json.decode(terms, type=Agreement)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest("agreement_invalid", str(error)) from error

    async def work(desk: ClearingDesk) -> AgreementVersion:
        owner = await _owner(desk, book)
        return await desk.clearing.agreements.make(owner, currency.upper(), wanted, actor=actor, note=note)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    print_line(f"Version {made.version} holds from {instant(made.effective_at)} UTC on.")


async def _owner(desk: ClearingDesk, book: str) -> int:
    return 0 if book == "house" else await desk.book(book)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _row(batch: Batch) -> tuple[str, ...]:
    return (
        batch.reference,
        book_text(batch.book_id),
        "live" if batch.live else "test",
        batch.state.value,
        instant(batch.cut_at),
        f"{batch.payout_on} (provisional)" if batch.is_provisional else str(batch.payout_on),
        f"{batch.totals.count:,}",
        money(batch.totals.net_minor, batch.currency),
        money(batch.paid_minor, batch.currency),
        f"{len(batch.approvals)} of {2 if batch.needs_two else 1}",
    )
