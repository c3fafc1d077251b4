"""``/sign-in``: people sign in with a password or a passkey, come back who lost a password, and sign out.

An unknown e-mail address and a wrong password get the same page. Whatever lets somebody in opens a session with a new token
and ends the one that the browser had.
"""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import AppError
from tongbao.core.ids import int_text
from tongbao.parties.schema import MERCHANT_PREFIX, HolderKind, IssuedSession, Person, PersonId
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames, places
from tongbao.web.signing.addresses import own_address
from tongbao.web.signing.answering import Problem, Sent, agent_of, problem_of, sent, went
from tongbao.web.signing.pacing import Try
from tongbao.web.signing.refusing import SIGN_IN, error_page
from tongbao.web.signing.rooms import Signing
from tongbao.web.signing.visiting import cookie_of, drop_cookie, put_cookie

SESSION = "session"
RECOVER = f"{SIGN_IN}/recover"
RESET = f"{SIGN_IN}/reset"
_SAID = frozenset({"signed_out", "password_set"})


def router(signing: Signing) -> APIRouter:
    """Return the routes."""
    pages = _StaffPages(signing)
    routes = APIRouter(include_in_schema=False, route_class=page_route(error_page))
    for path, answer in (
        (SIGN_IN, pages.show),
        (RECOVER, pages.show_recovery),
        (f"{RESET}/{{token}}", pages.show_reset),
    ):
        routes.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)
    for path, act in (
        (SIGN_IN, pages.by_password),
        (f"{SIGN_IN}/passkey", pages.by_passkey),
        (RECOVER, pages.recover),
        (f"{RESET}/{{token}}", pages.reset),
        ("/sign-out", pages.sign_out),
    ):
        routes.add_api_route(path, act, methods=["POST"], response_model=None)
    return routes


class _StaffPages:
    """Answers the pages."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing
        self._parties = signing.house.parties

    async def show(self, request: Request) -> Response:
        """Answer the form."""
        return await self._page(request, own_address(request.query_params.get("next", ""), ""))

    async def by_password(self, request: Request) -> Response:
        """Sign in with an e-mail address and a password."""
        form = await sent(self._signing, request, Try.SIGN_IN)
        wanted = own_address(form.text("next"), "")
        try:
            issued = await self._parties.sign_in.sign_in(
                form.text("email"),
                form.fields.get("password", ""),
                address=form.address,
                agent=agent_of(request),
                replaces=request.cookies.get(cookie_of(request, SESSION)),
            )
        except AppError as error:
            return await self._page(request, wanted, problem_of(error), form.text("email"))
        return await self._in(request, issued, wanted)

    async def by_passkey(self, request: Request) -> Response:
        """Sign in with a passkey, which says whose it is."""
        form = await sent(self._signing, request, Try.SIGN_IN)
        wanted = own_address(form.text("next"), "")
        answer = form.fields.get("response", "").encode()
        try:
            holder = await self._signing.passkeys.recognize(HolderKind.PERSON, form.visit, answer)
            issued = await self._parties.sign_in.let_in(
                PersonId(holder.holder_id),
                address=form.address,
                agent=agent_of(request),
                replaces=request.cookies.get(cookie_of(request, SESSION)),
            )
        except AppError as error:
            return await self._page(request, wanted, problem_of(error))
        return await self._in(request, issued, wanted)

    async def sign_out(self, request: Request) -> Response:
        """End the session of this browser."""
        visitor = await self._signing.guards.staff(request)
        await self._signing.guards.form(request, visitor)
        await self._parties.sign_in.sign_out(visitor.token)
        response = RedirectResponse(f"{SIGN_IN}?said=signed_out", 303, {"Cache-Control": "no-store"})
        drop_cookie(request, response, SESSION)
        return response

    async def show_recovery(self, request: Request) -> Response:
        """Answer the form for a recovery code."""
        return await self._recovery(request)

    async def recover(self, request: Request) -> Response:
        """Set a new password with a recovery code."""
        form = await sent(self._signing, request, Try.SIGN_IN)
        try:
            await self._parties.recovering.use_code(
                form.text("email"), form.text("code"), form.fields.get("password", ""), form.address
            )
        except AppError as error:
            return await self._recovery(request, problem_of(error), form)
        return went(request, f"{SIGN_IN}?said=password_set")

    async def show_reset(self, request: Request, token: str) -> Response:
        """Answer the form of a link that an operator has made."""
        return await self._reset(request, token)

    async def reset(self, request: Request, token: str) -> Response:
        """Set a new password with a link."""
        form = await sent(self._signing, request, Try.SIGN_IN)
        try:
            await self._parties.recovering.use_link(token, form.fields.get("password", ""))
        except AppError as error:
            return await self._reset(request, token, problem_of(error))
        return went(request, f"{SIGN_IN}?said=password_set")

    async def _page(
        self, request: Request, wanted: str, problem: Problem | None = None, email: str = ""
    ) -> Response:
        told = request.query_params.get("said", "")
        context: dict[str, object] = {
            "wanted": wanted,
            "email": email[:254],
            "problem": problem,
            "said": told if told in _SAID else "",
            "log_ins": [each for each in self._signing.doors.log_ins if each.face != "wallet"],
        }
        return await self._visit(request, "signing/sign_in.html", context, problem)

    async def _recovery(
        self, request: Request, problem: Problem | None = None, form: Sent | None = None
    ) -> Response:
        context: dict[str, object] = {
            "problem": problem,
            "email": form.text("email")[:254] if form else "",
            "code": form.text("code")[:100] if form else "",
        }
        return await self._visit(request, "signing/recover.html", context, problem)

    async def _reset(self, request: Request, token: str, problem: Problem | None = None) -> Response:
        person: Person | None = None
        try:
            person = await self._parties.recovering.person_of_link(token)
        except AppError as error:
            problem = problem_of(error)
        context: dict[str, object] = {"problem": problem, "for": person, "token": token}
        return await self._visit(request, "signing/reset.html", context, problem)

    async def _visit(
        self, request: Request, template: str, context: dict[str, object], problem: Problem | None
    ) -> Response:
        """Answer a page with forms that belong to a visit."""
        signing = self._signing
        visit = signing.visits.of(request)
        page = frames.Page(
            template,
            "",
            {**context, "options": await signing.passkeys.question(visit)},
            problem.status if problem else 200,
        )
        response = frames.plain(request, page, signing.visits.csrf(visit))
        return signing.visits.keep(request, response, visit)

    async def _in(self, request: Request, issued: IssuedSession, wanted: str) -> Response:
        token = issued.token.get_secret_value()
        response = went(request, wanted or await self._home(request, token))
        put_cookie(request, response, SESSION, token)
        return response

    async def _home(self, request: Request, token: str) -> str:
        """Return the first page of somebody: the house's console, their merchant's portal, or the page about them."""
        known = await self._parties.access.who(token)
        there = places.built(request.app)
        if known.roles and "/ops" in there:
            return "/ops"
        if known.memberships and "/merchant/{merchant}" in there:
            return f"/merchant/{int_text(MERCHANT_PREFIX, known.memberships[0].merchant_id)}"
        return "/me"
