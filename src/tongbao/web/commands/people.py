"""``tongbao people``: who works for the house. The first person of a new house comes in here, by a link that is good once.

Whoever can reach the database can do this, as with every command: it is the way in where nobody can sign in yet, and the way
back where nobody can any more. Each act names who acted; ``/ops/audit`` shows it.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple, TypeVar

import typer

from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import (
    PERSON_PREFIX,
    OperatorPermission,
    OperatorRole,
    OperatorScope,
    Person,
    PersonDraft,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.parties.service.recovering import LINK_GOOD
from tongbao.web.commands.at_desk import Actor, Json, actor_of, console, print_json, print_line, print_table
from tongbao.web.commands.at_parties import address_of_link, at_parties
from tongbao.web.locale.ledger import LANGUAGES

Result = TypeVar("Result")
Email = Annotated[str, typer.Argument(help="E-mail address, which is the name to sign in with.")]
Role = Annotated[OperatorRole, typer.Option("--role", help="What they are to the house.")]

app = typer.Typer(
    no_args_is_help=True, help="People of the house: the first one, their roles, a way back in."
)


class _Added(NamedTuple):
    """Somebody of the house, and the token of the link that sets their password."""

    person: Person
    token: str


@app.command("add")
def add(
    email: Email,
    role: Role,
    name: Annotated[str, typer.Option("--name", help="Their name; the e-mail address without one.")] = "",
    lang: Annotated[str, typer.Option("--lang", help="Their language: en or zh-CN.")] = LANGUAGES[0],
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Give somebody a role in the house, and print the link by which they set a password: good for an hour, once."""
    if lang not in LANGUAGES:
        raise InvalidRequest("locale_invalid", f"the pages speak {' and '.join(LANGUAGES)}")
    draft = PersonDraft(email=email, name=name or email, locale=lang)
    operator = _operator(actor)

    async def work(parties: Parties) -> _Added:
        async with parties.database.transaction() as connection:
            person = await parties.people.appoint(connection, operator, draft, role)
            if person.disabled_at is not None:
                raise Conflict("person_disabled", f"{person.email} was kept out for good")
        return _Added(
            person, (await parties.recovering.make_link(operator, person.person_id)).get_secret_value()
        )

    _print(at_parties(work), as_json)


@app.command("link")
def link(email: Email, actor: Actor = None, as_json: Json = False) -> None:
    """Print a new link for somebody of the house who cannot sign in: good for an hour, once; the one before is dead."""
    operator = _operator(actor)

    async def work(parties: Parties) -> _Added:
        person = await parties.people.staff_member(operator, email)
        return _Added(
            person, (await parties.recovering.make_link(operator, person.person_id)).get_secret_value()
        )

    _print(at_parties(work), as_json)


@app.command("dismiss")
def dismiss(email: Email, role: Role, actor: Actor = None) -> None:
    """Take a role in the house away; it holds from their next request on."""
    operator = _operator(actor)

    async def work(parties: Parties) -> None:
        person = await parties.people.staff_member(operator, email)
        async with parties.database.transaction() as connection:
            await parties.people.dismiss(connection, operator, person.person_id, role)

    at_parties(work)
    print_line(f"{email} is no longer {role.value}.")


@app.command("list")
def list_people(as_json: Json = False) -> None:
    """List the people of the house with their roles."""
    found = at_parties(_with_all(lambda parties, operator: parties.people.staff(operator)))
    if as_json:
        print_json(
            [
                {
                    "person": uuid_text(PERSON_PREFIX, each.person.person_id),
                    "email": each.person.email,
                    "name": each.person.name,
                    "roles": [role.value for role in each.roles],
                    "disabled": each.person.disabled_at is not None,
                }
                for each in found
            ]
        )
        return
    if not found:
        console.print("Nobody yet: tongbao people add you@example.com --role security")
        return
    rows = [
        (
            each.person.email,
            each.person.name,
            ", ".join(role.value for role in each.roles),
            "kept out" if each.person.disabled_at else "",
        )
        for each in found
    ]
    print_table(("e-mail", "name", "roles", ""), rows)


def _operator(actor: str | None) -> OperatorScope:
    return operator_of_job(f"people/{actor_of(actor)}", frozenset(OperatorPermission))


def _with_all(
    work: Callable[[Parties, OperatorScope], Awaitable[Result]],
) -> Callable[[Parties], Awaitable[Result]]:
    return lambda parties: work(parties, operator_of_job("people", frozenset(OperatorPermission)))


def _print(added: _Added, as_json: bool) -> None:
    address = address_of_link(added.token)
    if as_json:
        print_json(
            {
                "person": uuid_text(PERSON_PREFIX, added.person.person_id),
                "email": added.person.email,
                "link": address,
                "good_for_s": int(LINK_GOOD.total_seconds()),
            }
        )
        return
    hours = int(LINK_GOOD.total_seconds()) // 3600
    print_line(f"{added.person.email} sets a password here, within {hours} hour, once:")
    print_line(f"  {address}", style="bold")
    print_line("Whoever has this link can do it: hand it over by a way that only they read.")
