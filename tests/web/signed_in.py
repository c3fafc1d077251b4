"""People who are signed in before the application of a test: each name is one person, whose cookie the browser has."""

from typing import NamedTuple

from tests.parties.conftest import PASSWORD
from tests.web.whole_house import Whole

from tongbao.core.ids import uuid_text
from tongbao.parties.schema import PERSON_PREFIX, OperatorRole, PersonDraft
from tongbao.parties.service.sign_in import csrf_of

ANALYST = (OperatorRole.RISK, OperatorRole.OPERATOR_L2)


class SignedIn(NamedTuple):
    """Somebody and the token of their session."""

    name: str
    actor: str
    token: str

    @property
    def csrf(self) -> str:
        """What their forms carry."""
        return csrf_of(self.token)


_KNOWN: dict[tuple[str, str], SignedIn] = {}


async def signed_in(whole: Whole, name: str, roles: tuple[OperatorRole, ...] = ANALYST) -> SignedIn:
    """Sign somebody of the house in; the same name is the same person, in the same session."""
    place = (whole.house.runtime.dsn, name)
    if place not in _KNOWN:
        parties, people = whole.house.parties, whole.people
        draft = PersonDraft(email=people.email(), name=name)
        async with whole.house.runtime.database.transaction() as connection:
            for role in roles:
                person = await parties.people.appoint(connection, people.operator, draft, role)
            await parties.sign_in.set_password(connection, person.person_id, PASSWORD)
        actor = f"person:{uuid_text(PERSON_PREFIX, person.person_id)}"
        _KNOWN[place] = SignedIn(name, actor, await people.token(person))
    return _KNOWN[place]


async def become(whole: Whole, name: str, roles: tuple[OperatorRole, ...] = ANALYST) -> SignedIn:
    """Give the browser of the application the session of somebody, whoever had it before."""
    found = await signed_in(whole, name, roles)
    whole.http.cookies.clear()
    whole.http.cookies.set("session", found.token)
    return found
