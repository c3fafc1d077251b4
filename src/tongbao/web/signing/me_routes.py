"""``/me``: what people see and change about themselves: name, language, password, passkeys, recovery codes, sessions.

Whatever would let somebody come back later (a password, a passkey, codes) asks for a session that began lately: whoever
finds an open browser does not keep the key to it.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import AppError, NotPermitted
from tongbao.core.ids import int_text, parse_uuid
from tongbao.parties.errors import BadField, PasskeyNotTaken, UnknownSession
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    SESSION_PREFIX,
    Holder,
    HolderKind,
    PasskeyVerdict,
    SessionId,
)
from tongbao.parties.service.holder_passkeys import Enrolling
from tongbao.web import pages
from tongbao.web.locale.ledger import LANGUAGES
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames
from tongbao.web.signing.addresses import own_address
from tongbao.web.signing.agents import browser_name
from tongbao.web.signing.answering import Problem, agent_of, problem_of, said
from tongbao.web.signing.guarding import MODE_COOKIE, MODES, Visitor
from tongbao.web.signing.refusing import error_page
from tongbao.web.signing.rooms import Signing
from tongbao.web.signing.visiting import put_cookie

ME = "/me"
FRESH = timedelta(minutes=15)
_SAID = frozenset(
    {
        "described",
        "password_changed",
        "session_ended",
        "sessions_ended",
        "key_added",
        "key_named",
        "key_removed",
    }
)
_LOCALES = {"en": "en", "zh-CN": "zh-CN"}


class Failed(NamedTuple):
    """An act that was refused: which form, why, and what was typed."""

    form: str
    problem: Problem
    fields: Mapping[str, str]


Act = Callable[[Request, Visitor, dict[str, str]], Awaitable[Response]]


def router(signing: Signing) -> APIRouter:
    """Return the routes."""
    page = _MePage(signing)
    routes = APIRouter(include_in_schema=False, route_class=page_route(error_page))
    routes.add_api_route(ME, page.show, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(f"{ME}/{{form}}", page.act, methods=["POST"], response_model=None)
    return routes


class _MePage:
    """Answers the page and its forms."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing
        self._parties = signing.house.parties
        self._acts: dict[str, Act] = {
            "name": self._describe,
            "password": self._password,
            "end": self._end,
            "end-others": self._end_others,
            "add-passkey": self._add,
            "name-passkey": self._name,
            "remove-passkey": self._remove,
            "codes": self._codes,
            "mode": self._mode,
        }

    async def show(self, request: Request) -> Response:
        """Answer the page."""
        return await self._page(request, await self._signing.guards.staff(request))

    async def act(self, request: Request, form: str) -> Response:
        """Do what one of the forms asks for."""
        visitor = await self._signing.guards.staff(request)
        fields = await self._signing.guards.form(request, visitor)
        act = self._acts.get(form)
        if act is None:
            raise BadField("form", "this page has no such form")
        try:
            return await act(request, visitor, fields)
        except AppError as error:
            return await self._page(request, visitor, Failed(form, problem_of(error), fields))

    async def _describe(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        locale = fields.get("locale", "")
        if locale not in _LOCALES:
            raise BadField("locale", "choose one of the languages")
        await self._parties.people.describe(visitor.person.person_id, fields.get("name", ""), locale)
        response = said(ME, "described")
        response.set_cookie("lang", locale, max_age=pages.YEAR_S, path="/", httponly=True, samesite="lax")
        return response

    async def _password(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        issued = await self._parties.sign_in.change_password(
            visitor.person.email,
            fields.get("password", ""),
            fields.get("new", ""),
            address=visitor.session.address,
            agent=agent_of(request),
        )
        response = said(ME, "password_changed")
        put_cookie(request, response, "session", issued.token.get_secret_value())
        return response

    async def _end(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        reference = fields.get("session", "")
        try:
            session_id = SessionId(parse_uuid(SESSION_PREFIX, reference))
        except ValueError:
            raise UnknownSession(reference[:40]) from None
        await self._parties.sign_in.end(visitor.person.person_id, session_id)
        return said(ME, "session_ended")

    async def _end_others(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        await self._parties.sign_in.end_all(visitor.person.person_id, but=visitor.session.session_id)
        return said(ME, "sessions_ended")

    async def _add(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        self._require_fresh(visitor)
        label = fields.get("label", "").strip() or browser_name(agent_of(request))
        answer = fields.get("response", "").encode()
        kept = await self._signing.passkeys.save(_enrolling(visitor), answer, label)
        if kept.verdict is not PasskeyVerdict.GOOD:
            raise PasskeyNotTaken(kept.verdict)
        return said(ME, "key_added")

    async def _name(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        await self._signing.passkeys.rename(
            _holder(visitor), fields.get("passkey", ""), fields.get("label", "")
        )
        return said(ME, "key_named")

    async def _remove(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        self._require_fresh(visitor)
        await self._signing.passkeys.remove(_holder(visitor), fields.get("passkey", ""))
        return said(ME, "key_removed")

    async def _codes(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        self._require_fresh(visitor)
        made = await self._parties.recovering.make_codes(visitor.person.person_id)
        return await self._page(request, visitor, codes=[each.get_secret_value() for each in made])

    async def _mode(self, request: Request, visitor: Visitor, fields: dict[str, str]) -> Response:
        """Remember whether a merchant's pages show live money or test, and go back."""
        response = RedirectResponse(own_address(fields.get("back", ""), ME), 303)
        if fields.get("mode") in MODES:
            put_cookie(request, response, MODE_COOKIE, fields["mode"], max_age=pages.YEAR_S)
        return response

    def _require_fresh(self, visitor: Visitor) -> None:
        """Raise NotPermitted ``sign_in_again`` where the session began too long ago."""
        if not self._is_fresh(visitor):
            raise NotPermitted("sign_in_again", "sign in again to do this")

    def _is_fresh(self, visitor: Visitor) -> bool:
        return self._signing.house.runtime.clock.now() < visitor.session.created_at + FRESH

    async def _page(
        self,
        request: Request,
        visitor: Visitor,
        failed: Failed | None = None,
        codes: list[str] | None = None,
    ) -> Response:
        person_id = visitor.person.person_id
        told = request.query_params.get("said", "")
        is_fresh = self._is_fresh(visitor)
        sessions = await self._parties.sign_in.sessions(person_id)
        context = {
            "visitor": visitor,
            "languages": [(each, each) for each in LANGUAGES],
            "said": told if told in _SAID else "",
            "failed": failed,
            "problem": failed.problem if failed else None,
            "codes": codes or [],
            "codes_left": await self._parties.recovering.codes_left(person_id),
            "is_fresh": is_fresh,
            "passkeys": await self._signing.passkeys.list(_holder(visitor)),
            "options": await self._signing.passkeys.offer(_enrolling(visitor)) if is_fresh else None,
            "sessions": sessions,
            "browser_name": browser_name,
            "merchants": [
                (int_text(MERCHANT_PREFIX, each.merchant_id), each.role) for each in visitor.memberships
            ],
            "now": self._signing.house.runtime.clock.now(),
        }
        status = failed.problem.status if failed else 200
        return frames.person(request, visitor, frames.Page("signing/me.html", "me", context, status))


def _holder(visitor: Visitor) -> Holder:
    return Holder(HolderKind.PERSON, visitor.person.person_id)


def _enrolling(visitor: Visitor) -> Enrolling:
    return Enrolling(_holder(visitor), visitor.session.session_id, visitor.person.email, visitor.person.name)
