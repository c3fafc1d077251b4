"""``tongbao fees``: price lists checked, drafted, simulated and published, and what one payment would cost."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tongbao.clearing.schema.fees import Priceable
from tongbao.clearing.schema.schedules import ScheduleVersion
from tongbao.clearing.service.quoting import Quote
from tongbao.clearing.service.simulating import Span
from tongbao.core.clock import RealClock
from tongbao.core.errors import InvalidRequest
from tongbao.web import ledger_inputs
from tongbao.web.commands import profits
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    Note,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
    span_of,
    status,
    text_of,
)
from tongbao.web.commands.clearing_desk import ClearingDesk, at_clearing, money
from tongbao.web.commands.decisions import Language

LEAD = timedelta(minutes=1)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a price list: house, house_costs, …")]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of a version.")]
SpecFile = Annotated[Path, typer.Argument(metavar="FILE", help="The list as JSON: charges with tiers.")]

app = typer.Typer(no_args_is_help=True, help="Fees: price lists, simulated before they are published.")
profits.mount(app)


@app.command("list")
def list_lists(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Versions of this list; all lists without.")
    ] = "",
    as_json: Json = False,
) -> None:
    """List price lists, or the versions of one, newest first."""

    async def work(desk: ClearingDesk) -> list[ScheduleVersion]:
        prices = desk.clearing.prices
        if name:
            return await prices.versions(name)
        return [(await prices.versions(each, limit=1))[0] for each in await prices.names()]

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.name,
            str(each.version),
            each.state.value,
            "" if each.effective_at is None else instant(each.effective_at),
            str(len(each.spec.charges)),
            each.made_by,
            each.published_by or "",
            each.note,
        )
        for each in found
    ]
    print_table(
        ("List", "Version#", "State", "Holds from (UTC)", "Charges#", "Made by", "Published", "Note"), rows
    )


@app.command("show")
def show(name: Name, version: Number, as_json: Json = False) -> None:
    """Print a version as the JSON that it was made from, or with everything about it (--json)."""

    async def work(desk: ClearingDesk) -> ScheduleVersion:
        return await desk.clearing.prices.version(name, version)

    found = at_clearing(work)
    print_json(found if as_json else found.spec)


@app.command("check")
def check(file: SpecFile, as_json: Json = False) -> None:
    """Check a price list in a file as a draft is; tells the place of a fault."""
    spec = _spec(file)

    async def work(desk: ClearingDesk) -> dict[str, object]:
        found, role = await desk.clearing.quoting.check(spec, desk.runtime.clock.now())
        return {"role": role.value, "charges": len(found.charges), "spec": found}

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    print_line(f"A list of {found['role']} with {found['charges']} charges; it can be drafted.")


@app.command("draft")
def draft(name: Name, file: SpecFile, note: Note = "", by: Actor = None, as_json: Json = False) -> None:
    """Write a new version of a list from a file; the draft that says the same is found again."""
    actor, spec = actor_of(by), _spec(file)

    async def work(desk: ClearingDesk) -> ScheduleVersion:
        return await desk.clearing.prices.draft(name, spec, note, actor)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    print_line(
        f"{made.name} version {made.version} is a draft: simulate it, then somebody else publishes it."
    )


@app.command("diff")
def diff(
    name: Name,
    version: Number,
    against: Annotated[
        int | None, typer.Option("--against", min=1, help="A version; the one in force.")
    ] = None,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the words.")] = Language.EN,
) -> None:
    """Tell in words what a version changes."""

    async def work(desk: ClearingDesk) -> tuple[str, ...]:
        return await desk.clearing.prices.diff(name, version, lang, against=against)

    for line in at_clearing(work) or ("It changes nothing.",):
        print_line(line)


@app.command("simulate")
def simulate(
    name: Name,
    version: Number,
    begin: Annotated[
        str | None, typer.Option("--from", help="A day or an instant; a week before --to.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Not included; now.")] = None,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Tell what a time would have cost by a draft, and keep it on the draft."""
    actor, span = actor_of(by), Span(*span_of(begin, end))

    async def work(desk: ClearingDesk) -> ScheduleVersion:
        return await desk.clearing.simulating.simulate(name, version, span, actor)

    with status("Pricing everything of that time twice …", hidden=as_json):
        made = at_clearing(work)
    found = made.simulation
    assert found is not None
    if as_json:
        print_json(found)
        return
    print_line(
        f"{found.count:,} movements: dearer for {found.raised_count:,} merchants, cheaper for "
        f"{found.lowered_count:,}; {found.left_out_count:,} refunds of older payments stay as they are.",
        "bold",
    )
    rows = [
        (
            each.currency,
            each.key or "all",
            f"{each.count:,}",
            money(each.amount_minor, each.currency),
            money(each.old.merchant_minor, each.currency),
            money(each.new.merchant_minor, each.currency),
            money(each.old.margin_minor, each.currency),
            money(each.new.margin_minor, each.currency),
        )
        for each in (*found.totals, *found.methods)
    ]
    names = (
        "Currency",
        "Method",
        "Count#",
        "Sales#",
        "Fees now#",
        "Fees then#",
        "Margin now#",
        "Margin then#",
    )
    print_table(names, rows)


@app.command("publish")
def publish(
    name: Name,
    version: Number,
    at: Annotated[str | None, typer.Option("--at", help="An instant; a minute from now.")] = None,
    note: Note = "",
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Let a simulated draft hold from an instant on, as somebody else than its maker."""
    actor = actor_of(by)
    effective_at = RealClock().now() + LEAD if at is None else ledger_inputs.instant(at)

    async def work(desk: ClearingDesk) -> ScheduleVersion:
        return await desk.clearing.prices.publish(name, version, effective_at, actor, note=note)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    print_line(f"{made.name} version {made.version} holds from {instant(effective_at)} UTC on.")


@app.command("withdraw")
def withdraw(name: Name, version: Number, note: Note, by: Actor = None, as_json: Json = False) -> None:
    """Take back a draft, or a version that has not taken effect."""
    actor = actor_of(by)

    async def work(desk: ClearingDesk) -> ScheduleVersion:
        return await desk.clearing.prices.withdraw(name, version, note, actor)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    print_line(f"{made.name} version {made.version} is withdrawn.")


@app.command("quote")
def quote(
    amount_minor: Annotated[int, typer.Argument(metavar="AMOUNT", min=0, help="Minor units: 1999 is 19.99.")],
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="Code of ISO 4217.")],
    method: Annotated[str, typer.Option("--method", help="card, alipay, wechat_pay, …")] = "card",
    channel: Annotated[str, typer.Option("--channel", help="The channel that takes it.")] = "",
    name: Annotated[str, typer.Option("--list", help="By this list; the house's.")] = "",
    version: Annotated[int | None, typer.Option("--version", min=1, help="By this version of it.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what one payment would cost whom."""
    now = RealClock().now()
    example = Priceable(
        kind="sale",
        amount_minor=amount_minor,
        currency=currency.upper(),
        on=now.date(),
        method=method,
        channel=channel,
    )

    async def work(desk: ClearingDesk) -> Quote:
        return await desk.clearing.quoting.quote(example, now, name=name, version=version)

    found = at_clearing(work)
    if as_json:
        print_json({"schedule": found.schedule, "version": found.version, "priced": found.priced})
        return
    rows = [
        (
            each.name,
            each.bearer.value,
            money(each.amount_minor, example.currency),
            money(each.tax_minor, example.currency),
        )
        for each in found.priced.parts
    ]
    print_table(
        ("Charge", "Paid by", "Amount#", "Tax in it#"), rows, f"{found.schedule} version {found.version}"
    )


def _spec(file: Path) -> object:
    """Return the JSON of a file; raise InvalidRequest ``schedule_invalid`` for what is none."""
    try:
        return msgspec.json.decode(text_of(file))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest("schedule_invalid", f"{file} is no JSON: {error}") from error
