"""``/merchant/{merchant}/people``: who works here and may do what.

Whoever is added and has an account of the house is in at once. Others get the link that sets their first password from the
house: it makes sure whose the e-mail address is, which a merchant cannot.
"""

from fastapi import APIRouter, Request, Response

from tongbao.core.db import Connection
from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import (
    PERSON_PREFIX,
    Member,
    MerchantRole,
    Permission,
    PersonDraft,
    PersonId,
)
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import named
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.signing.agents import browser_name
from tongbao.web.ui.forms import Form

PATH = f"{PREFIX}/people"
NAME_CHARS_MAX = 200
SESSIONS_SHOWN = 10
ROLES = tuple(each.value for each in MerchantRole)


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def people(request: Request, merchant: str) -> Response:
        return await _page(await enter(portal, request, merchant, Permission.PEOPLE_READ))

    @routes.post(PATH, response_model=None)
    async def add(request: Request, merchant: str) -> Response:
        return await _add(await enter(portal, request, merchant, Permission.PEOPLE_WRITE))

    @routes.post(f"{PATH}/{{person}}/{{act}}", response_model=None)
    async def act(request: Request, merchant: str, person: str, act: str) -> Response:
        return await _act(await enter(portal, request, merchant, Permission.PEOPLE_WRITE), person, act)

    return routes


async def _page(office: Office, form: Form | None = None, *, status: int = 200) -> Response:
    parties = office.portal.house.parties
    own = await parties.sign_in.sessions(office.visitor.person.person_id)
    members = await parties.people.members(office.visitor.scope)
    owners = [each for each in members if each.role is MerchantRole.OWNER]
    can_write = office.visitor.scope.live and office.visitor.may(Permission.PEOPLE_WRITE)
    shown = {
        "members": [_row(each, office, is_last=owners == [each]) for each in members],
        "roles": [(each, office.t(f"role_is_{each}"), office.t(f"role_is_{each}_line")) for each in ROLES],
        "form": form or Form({}, office.ui),
        "can_write": can_write,
        "sessions": [
            (
                named(browser_name(each.agent)),
                named(each.address),
                office.when(each.seen_at),
            )
            for each in own[:SESSIONS_SHOWN]
        ],
    }
    return office.page(Shown("people.html", "people", shown, status))


def _row(member: Member, office: Office, *, is_last: bool) -> dict[str, object]:
    """Return a member as the page shows it; ``is_last``: nobody else owns the merchant."""
    person = member.person
    return {
        "reference": uuid_text(PERSON_PREFIX, person.person_id),
        "name": named(person.name),
        "email": person.email,
        "role": member.role.value,
        "role_text": office.t(f"role_is_{member.role}"),
        "is_you": person.person_id == office.visitor.person.person_id,
        "is_last": is_last,
        "is_disabled": person.disabled_at is not None,
    }


async def _add(office: Office) -> Response:
    """Make somebody a member."""
    fields = await office.form()
    form = Form(fields, office.ui)
    name = form.text("name", NAME_CHARS_MAX)
    email = form.email("email")
    role = form.choice("role", ROLES)
    if form.errors:
        return await _page(office, form, status=422)
    scope, people = office.visitor.scope, office.portal.house.parties.people
    draft = PersonDraft(email=email, name=name, locale=office.language)

    async def work(connection: Connection) -> None:
        await people.join(connection, scope, draft, MerchantRole(role))

    try:
        await office.once("join", fields, work)
    except AppError as error:
        form.wrong("email" if error.code == "email_invalid" else "", office.problem(error))
        return await _page(office, form, status=status_of(error))
    return office.done("/people", "person_added")


async def _act(office: Office, reference: str, act: str) -> Response:
    """Give a member another role, or take them out."""
    person_id = PersonId(path_id(PERSON_PREFIX, reference))
    fields = await office.form()
    form = Form(fields, office.ui)
    scope, people = office.visitor.scope, office.portal.house.parties.people
    role = form.choice("role", ROLES) if act == "role" else ""
    if act not in {"role", "remove"}:
        raise NotFound("act_unknown", "a member has no such act")
    if form.errors:
        return await _page(office, form, status=422)

    async def work(connection: Connection) -> None:
        if act == "role":
            await people.change_role(connection, scope, person_id, MerchantRole(role))
        else:
            await people.leave(connection, scope, person_id)

    try:
        await office.once(act, fields, work)
    except NotFound:
        raise
    except AppError as error:
        form.wrong("", office.problem(error))
        return await _page(office, form, status=status_of(error))
    return office.done("/people", f"person_{act}")
