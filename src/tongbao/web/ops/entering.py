"""Who enters the console: operators who are signed in, and the names of those whom its trails name by id."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request

from tongbao.core.ids import uuid_text
from tongbao.parties.schema import PERSON_PREFIX, OperatorPermission
from tongbao.parties.service.access import roles_with
from tongbao.web.house import House
from tongbao.web.signing.guarding import OperatorVisitor
from tongbao.web.signing.rooms import guards_of

PERSON = "person:"


class Entrance:
    """Makes the dependencies of the console's routes."""

    def __init__(self, house: House) -> None:
        self._guards = guards_of(house)
        self._people = house.parties.people

    def of(self, permission: OperatorPermission) -> Callable[[Request], Awaitable[OperatorVisitor]]:
        """Return the dependency that lets in who holds a permission, and reads the names of the house's people."""

        async def enter(request: Request) -> OperatorVisitor:
            visitor = await self._guards.operator(request, permission)
            deciding = set(roles_with(OperatorPermission.CASES_DECIDE))
            names, colleagues = {visitor.actor: visitor.person.name}, {}
            for each in await self._people.staff(visitor.operator):
                actor = f"{PERSON}{uuid_text(PERSON_PREFIX, each.person.person_id)}"
                names[actor] = each.person.name
                if each.person.disabled_at is None and deciding.intersection(each.roles):
                    colleagues[actor] = each.person.name
            request.state.names, request.state.colleagues = names, colleagues
            return visitor

        return enter


def visitor_of(request: Request) -> OperatorVisitor:
    """Return who entered; to be asked behind an ``Entrance``."""
    visitor: OperatorVisitor = request.state.visitor
    return visitor


def names_of(request: Request) -> Mapping[str, str]:
    """Return the names of the house's people by how trails name them; empty before anybody has entered."""
    found: Mapping[str, str] = getattr(request.state, "names", {})
    return found


def colleagues_of(request: Request) -> Mapping[str, str]:
    """Return those who may decide cases, by how trails name them."""
    found: Mapping[str, str] = request.state.colleagues
    return found


def with_names(request: Request, text: str) -> str:
    """Return a text of the house with names in place of its people's ids."""
    if PERSON in text:
        for actor, name in names_of(request).items():
            text = text.replace(actor, name)
    return text
