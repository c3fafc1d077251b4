"""``/v2/session``: signing in with a password, who one is, and signing out.

An unknown e-mail address and a wrong password get the same answer (``parties.service.sign_in``). Signing in takes
JSON alone, which a foreign page cannot send without asking first. The cookie is told in ``access``.
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, SecretStr

from tongbao.core.ids import int_text, uuid_text
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    PERSON_PREFIX,
    SESSION_PREFIX,
    Membership,
    Session,
)
from tongbao.parties.service.parties import Parties
from tongbao.parties.service.sign_in import csrf_of
from tongbao.web.api.access import SECURE_COOKIE, Gate, SignedIn, address_of, required_cookie_name
from tongbao.web.api.calls import Calls
from tongbao.web.api.shapes import Body, Email, Model

PREFIX = "/v2/session"
UNKNOWN_ADDRESS = "unknown"


class SignInBody(Body):
    """Who wants in."""

    email: Email
    password: SecretStr


class MembershipShape(Model):
    """One merchant of a person's, and their role there."""

    merchant: str
    role: str

    @classmethod
    def of(cls, membership: Membership) -> "MembershipShape":
        """Return a membership as it is sent."""
        return cls(merchant=int_text(MERCHANT_PREFIX, membership.merchant_id), role=membership.role)


class SessionShape(Model):
    """A session and whose it is."""

    object: Literal["session"] = "session"
    id: str
    person: str
    name: str
    email: str
    locale: str
    csrf_token: str = Field(description="Send it as `X-CSRF-Token` with whatever changes something.")
    merchants: list[MembershipShape]
    house_permissions: list[str] = Field(description="What the person may do for the house.")
    created_at: datetime


def router(calls: Calls, gate: Gate, parties: Parties) -> APIRouter:
    """Return the routes over open parties."""
    routes = calls.router(PREFIX, "sessions", secret_fields=frozenset({"password"}))
    own = Depends(gate.session())

    @routes.post("", response_model=SessionShape, status_code=201)
    async def sign_in(request: Request, response: Response, body: SignInBody) -> SessionShape:
        """Open a session, always with a new token; the one that the browser had ends."""
        name = required_cookie_name(request)
        address = address_of(request) or UNKNOWN_ADDRESS
        gate.take(request, f"address:{address}", live=True)
        issued = await parties.sign_in.sign_in(
            body.email,
            body.password.get_secret_value(),
            address=address,
            agent=request.headers.get("user-agent", ""),
            replaces=request.cookies.get(name),
        )
        token = issued.token.get_secret_value()
        response.set_cookie(
            name, token, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="lax"
        )
        return await _shape(parties, issued.session, token)

    @routes.get("")
    async def session(signed_in: Annotated[SignedIn, own]) -> SessionShape:
        """Return who is signed in, and what they may choose from."""
        return await _shape(parties, signed_in.session, signed_in.token)

    @routes.delete("", status_code=204)
    async def sign_out(request: Request, signed_in: Annotated[SignedIn, own]) -> Response:
        """End this session."""
        await parties.sign_in.sign_out(signed_in.token)
        return _ended(request)

    @routes.delete("/all", status_code=204)
    async def sign_out_everywhere(request: Request, signed_in: Annotated[SignedIn, own]) -> Response:
        """End all sessions of the person, this one included."""
        await parties.sign_in.end_all(signed_in.session.person_id)
        return _ended(request)

    return routes


async def _shape(parties: Parties, session: Session, token: str) -> SessionShape:
    person = await parties.people.get(session.person_id)
    operator = await parties.access.operator_of_session(token)
    memberships = await parties.people.memberships(session.person_id)
    return SessionShape(
        id=uuid_text(SESSION_PREFIX, session.session_id),
        person=uuid_text(PERSON_PREFIX, person.person_id),
        name=person.name,
        email=person.email,
        locale=person.locale,
        csrf_token=csrf_of(token),
        merchants=[MembershipShape.of(membership) for membership in memberships],
        house_permissions=sorted(operator.permissions),
        created_at=session.created_at,
    )


def _ended(request: Request) -> Response:
    """Return the answer that takes the cookie away."""
    name = required_cookie_name(request)
    response = Response(status_code=204)
    response.delete_cookie(name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="lax")
    return response
