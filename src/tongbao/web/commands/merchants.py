"""``tongbao merchants``: open a merchant with its first owner, and list those that are there.

Everything after that (people, stores, keys, accounts for payouts) the owner does in the portal. Whoever can reach the database
can do this, as with every command; each act names who acted, and stands in the audit trail.
"""

from typing import Annotated, NamedTuple

import typer

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import int_text, parse_int
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    PAGE_SIZE_MAX,
    Merchant,
    MerchantDraft,
    MerchantId,
    MerchantRole,
    OperatorPermission,
    OperatorScope,
    Package,
    PageRequest,
    Permission,
    PersonDraft,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.parties.service.people import check_draft
from tongbao.web.commands.at_desk import Actor, Json, actor_of, console, print_json, print_line, print_table
from tongbao.web.commands.at_parties import address_of_link, at_parties

SHOWN = ("name", "merchant", "test_book", "live_book", "state")
"""What a table shows of a merchant; JSON has everything."""

app = typer.Typer(no_args_is_help=True, help="Merchants: open one with its first owner, list them.")


class _Opened(NamedTuple):
    """A merchant, and the token of the link by which its owner sets a password."""

    merchant: Merchant
    token: str


@app.command("open")
def open_merchant(
    name: Annotated[str, typer.Argument(help="Its legal name.")],
    owner: Annotated[str, typer.Option("--owner", help="E-mail address of its first owner.")],
    country: Annotated[str, typer.Option("--country", help="Where it is: two letters of ISO 3166.")],
    currency: Annotated[str, typer.Option("--currency", help="Its currency: three letters of ISO 4217.")],
    mcc: Annotated[str, typer.Option("--mcc", help="Its trade: four digits of ISO 18245.")],
    package: Annotated[Package, typer.Option("--package", help="What it may use.")] = Package.BASIC,
    timezone: Annotated[str, typer.Option("--timezone", help="Where its days end.")] = "UTC",
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Open a merchant and print the link by which its owner sets a password: good for an hour, once."""
    draft = MerchantDraft(
        name=name, country=country, default_currency=currency, mcc=mcc, package=package, timezone=timezone
    )
    job, person = f"merchants/{actor_of(actor)}", PersonDraft(email=owner, name=owner)
    opened = at_parties(lambda parties: _open(parties, draft, person, job))
    reference = int_text(MERCHANT_PREFIX, opened.merchant.merchant_id)
    address = address_of_link(opened.token)
    if as_json:
        print_json({"merchant": reference, "name": name, "owner": owner, "link": address})
        return
    print_line(f"{reference}: {name}")
    print_line(f"{owner} sets a password here, within an hour, once:")
    print_line(f"  {address}", style="bold")
    print_line("Whoever has this link can do it: hand it over by a way that only they read.")


@app.command("list")
def list_merchants(
    after: Annotated[str | None, typer.Option("--after", help="Go on after this merchant.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE_SIZE_MAX)] = PAGE_SIZE_MAX,
    as_json: Json = False,
) -> None:
    """List merchants, those opened last first."""
    request = PageRequest(limit=limit, starting_after=_merchant_of(after) if after else None)
    page = at_parties(lambda parties: parties.merchants.all(_operator("merchants"), request))
    rows = [
        {
            "merchant": int_text(MERCHANT_PREFIX, each.merchant_id),
            "name": each.name,
            "country": each.country,
            "currency": each.default_currency,
            "mcc": each.mcc,
            "package": each.package.value,
            "state": each.state.value,
            "test_book": int_text(BOOK_PREFIX, each.test_book_id),
            "live_book": int_text(BOOK_PREFIX, each.live_book_id),
        }
        for each in page.items
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        console.print("None yet: tongbao merchants open NAME --owner you@example.com …", soft_wrap=True)
        return
    print_table(SHOWN, [tuple(row[title] for title in SHOWN) for row in rows])
    if page.has_more:
        print_line(f"more follow: --after {rows[-1]['merchant']}")


async def _open(parties: Parties, draft: MerchantDraft, person: PersonDraft, job: str) -> _Opened:
    """Open a merchant and let its owner in."""
    # A merchant whose owner has no address would be nobody's.
    check_draft(person)
    operator = _operator(job)
    async with parties.database.transaction() as connection:
        merchant = await parties.merchants.create(connection, operator, draft)
    scope = await parties.access.scope_of_job(
        merchant.merchant_id, live=True, job=job, permissions=frozenset(Permission)
    )
    async with parties.database.transaction() as connection:
        joined = await parties.people.join(connection, scope, person, MerchantRole.OWNER)
    token = await parties.recovering.make_link(operator, joined.person_id)
    return _Opened(merchant, token.get_secret_value())


def _operator(job: str) -> OperatorScope:
    return operator_of_job(job, frozenset(OperatorPermission))


def _merchant_of(text: str) -> MerchantId:
    """Return the merchant of ``acct_…``; raise InvalidRequest ``id_malformed``."""
    try:
        return MerchantId(parse_int(MERCHANT_PREFIX, text))
    except ValueError as error:
        raise InvalidRequest("id_malformed", f"a merchant is named by {MERCHANT_PREFIX}_…") from error
