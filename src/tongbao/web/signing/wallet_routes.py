"""``/wallet/sign-in`` and ``/wallet/join``: payers sign in by a passkey or a code, and open a wallet.

An address that nobody has gets the same pages as one that somebody has. A browser that its payer wants to be known again
spares them the typing of the address, nothing else.
"""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.parties.ports import CODE_PREFIX, CodeSent, Contact, Means, Proved
from tongbao.parties.schema import HolderKind, PayerId
from tongbao.parties.service import payer_sign_in
from tongbao.parties.service.payer_sign_in import Browser
from tongbao.web import pages
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames, places
from tongbao.web.signing.addresses import own_address, with_next
from tongbao.web.signing.agents import browser_name
from tongbao.web.signing.answering import Problem, Sent, agent_of, problem_of, sent, went
from tongbao.web.signing.guarding import DEVICE_COOKIE, WALLET_COOKIE
from tongbao.web.signing.opening_wallets import open_wallet
from tongbao.web.signing.pacing import Try
from tongbao.web.signing.refusing import WALLET_SIGN_IN, wallet_error_page
from tongbao.web.signing.rooms import Signing
from tongbao.web.signing.visiting import cookie_of, drop_cookie, put_cookie

JOIN = "/wallet/join"
SECURITY = "/wallet/security"
DEVICE_S = 90 * 24 * 3600


def router(signing: Signing) -> APIRouter:
    """Return the routes."""
    page = _WalletPages(signing)
    routes = APIRouter(include_in_schema=False, route_class=page_route(wallet_error_page))
    for path, answer in (
        (WALLET_SIGN_IN, page.show),
        (JOIN, page.show_join),
        (f"{WALLET_SIGN_IN}/code/{{code}}", page.show_code),
    ):
        routes.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)
    for path, act in (
        (f"{WALLET_SIGN_IN}/code", page.ask),
        (f"{WALLET_SIGN_IN}/code/{{code}}", page.answer),
        (f"{WALLET_SIGN_IN}/passkey", page.by_passkey),
        (JOIN, page.join),
        ("/wallet/sign-out", page.sign_out),
    ):
        routes.add_api_route(path, act, methods=["POST"], response_model=None)
    return routes


class _WalletPages:
    """Answers the pages."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing
        self._sign_in = signing.house.parties.payer_sign_in

    async def show(self, request: Request) -> Response:
        """Answer the first page of signing in."""
        return await self._page(request, own_address(request.query_params.get("next", ""), ""))

    async def show_join(self, request: Request) -> Response:
        """Answer the form for a new wallet."""
        return await self._join_page(request, own_address(request.query_params.get("next", ""), ""))

    async def ask(self, request: Request) -> Response:
        """Send a code to an address that was typed, or to the one of whoever this browser remembers."""
        form = await sent(self._signing, request, Try.CODE)
        wanted = own_address(form.text("next"), "")
        try:
            contact = await self._remembered(request) if form.text("device") else None
            if contact is None:
                contact = payer_sign_in.contact_of(form.text("contact"))
            told = await self._signing.codes.ask(contact, form.visit, locale=_language(request))
        except AppError as error:
            return await self._page(request, wanted, problem_of(error), form)
        return _to_code(told, wanted)

    async def join(self, request: Request) -> Response:
        """Send a code to the address of somebody who wants a wallet."""
        form = await sent(self._signing, request, Try.CODE)
        wanted = own_address(form.text("next"), "")
        try:
            contact = payer_sign_in.contact_of(form.text("contact"))
            name = payer_sign_in.checked_name(form.text("name"))
            told = await self._signing.codes.ask(contact, form.visit, locale=_language(request), name=name)
        except AppError as error:
            return await self._join_page(request, wanted, problem_of(error), form)
        return _to_code(told, wanted)

    async def show_code(self, request: Request, code: str) -> Response:
        """Answer the form for a code."""
        return await self._code_page(request, code, own_address(request.query_params.get("next", ""), ""))

    async def answer(self, request: Request, code: str) -> Response:
        """Sign in with a code, and open the wallet of somebody new."""
        form = await sent(self._signing, request, Try.SIGN_IN)
        wanted = own_address(form.text("next"), "")
        try:
            proved = await self._signing.codes.prove(_code_id(code), form.visit, form.text("code"))
            payer_id = proved.payer_id or await self._opened(proved)
        except AppError as error:
            return await self._code_page(request, code, wanted, problem_of(error))
        return await self._in(request, payer_id, Means.CODE, form, wanted)

    async def by_passkey(self, request: Request) -> Response:
        """Sign in with a passkey, which says whose it is."""
        form = await sent(self._signing, request, Try.SIGN_IN)
        wanted = own_address(form.text("next"), "")
        answer = form.fields.get("response", "").encode()
        try:
            holder = await self._signing.passkeys.recognize(HolderKind.PAYER, form.visit, answer)
        except AppError as error:
            return await self._page(request, wanted, problem_of(error))
        return await self._in(request, PayerId(holder.holder_id), Means.PASSKEY, form, wanted)

    async def sign_out(self, request: Request) -> Response:
        """End the session of this browser."""
        visitor = await self._signing.guards.payer(request)
        await self._signing.guards.form(request, visitor)
        await self._sign_in.sign_out(visitor.token)
        response = RedirectResponse(f"{WALLET_SIGN_IN}?said=signed_out", 303, {"Cache-Control": "no-store"})
        drop_cookie(request, response, WALLET_COOKIE)
        return response

    async def _opened(self, proved: Proved) -> PayerId:
        return (await open_wallet(self._signing.house, proved.name, proved.locale, proved.contact)).payer_id

    async def _in(
        self, request: Request, payer_id: PayerId, means: Means, form: Sent, wanted: str
    ) -> Response:
        agent = agent_of(request)
        browser = Browser(form.address, agent, request.cookies.get(cookie_of(request, WALLET_COOKIE)))
        issued = await self._sign_in.open(payer_id, means, browser)
        home = "/wallet" if "/wallet" in places.built(request.app) else SECURITY
        response = went(request, wanted or home)
        put_cookie(request, response, WALLET_COOKIE, issued.token.get_secret_value())
        if form.text("remember") == "1":
            key = await self._sign_in.remember(payer_id, browser_name(agent))
            put_cookie(request, response, DEVICE_COOKIE, key.get_secret_value(), max_age=DEVICE_S)
        return response

    async def _remembered(self, request: Request) -> Contact | None:
        """Return the first address of whoever this browser remembers."""
        key = request.cookies.get(cookie_of(request, DEVICE_COOKIE), "")
        device = await self._sign_in.recognized(key)
        contacts = [] if device is None else await self._sign_in.contacts(device.payer_id)
        return contacts[0] if contacts else None

    async def _page(
        self, request: Request, wanted: str, problem: Problem | None = None, form: Sent | None = None
    ) -> Response:
        signing = self._signing
        remembered = await self._remembered(request)
        visit = signing.visits.of(request)
        context: dict[str, object] = {
            "wanted": wanted,
            "contact": form.text("contact")[:254] if form else "",
            "problem": problem,
            "said": "signed_out" if request.query_params.get("said") == "signed_out" else "",
            "remembered": payer_sign_in.masked(remembered) if remembered else "",
            "sends": signing.sends_codes,
            "options": await signing.passkeys.question(visit),
            "join": with_next(JOIN, wanted),
            "log_ins": [each for each in signing.doors.log_ins if each.face == "wallet"],
        }
        return self._visit(request, visit, "signing/wallet_sign_in.html", context, problem)

    async def _join_page(
        self, request: Request, wanted: str, problem: Problem | None = None, form: Sent | None = None
    ) -> Response:
        context: dict[str, object] = {
            "wanted": wanted,
            "problem": problem,
            "name": form.text("name")[:200] if form else "",
            "contact": form.text("contact")[:254] if form else "",
            "sends": self._signing.sends_codes,
            "sign_in": with_next(WALLET_SIGN_IN, wanted),
        }
        visit = self._signing.visits.of(request)
        return self._visit(request, visit, "signing/wallet_join.html", context, problem)

    async def _code_page(
        self, request: Request, code: str, wanted: str, problem: Problem | None = None
    ) -> Response:
        visit = self._signing.visits.of(request)
        told = await self._signing.codes.pending(_code_id(code), visit)
        if told is None and problem is None:
            problem = Problem("p_code_over", 410)
        context: dict[str, object] = {
            "wanted": wanted,
            "problem": problem,
            "told": told,
            "code": code,
            "again": with_next(WALLET_SIGN_IN, wanted),
        }
        return self._visit(request, visit, "signing/wallet_code.html", context, problem)

    def _visit(
        self,
        request: Request,
        visit: str,
        template: str,
        context: dict[str, object],
        problem: Problem | None,
    ) -> Response:
        page = frames.Page(template, "", context, problem.status if problem else 200)
        response = frames.plain(request, page, self._signing.visits.csrf(visit))
        return self._signing.visits.keep(request, response, visit)


def _to_code(told: CodeSent, wanted: str) -> Response:
    """Send somebody to where the code is typed."""
    address = f"{WALLET_SIGN_IN}/code/{uuid_text(CODE_PREFIX, told.code_id)}"
    return RedirectResponse(with_next(address, wanted), 303, {"Cache-Control": "no-store"})


def _code_id(text: str) -> UUID:
    try:
        return parse_uuid(CODE_PREFIX, text)
    except ValueError:
        raise NotFound("code_unknown", "there is no such page") from None


def _language(request: Request) -> str:
    return pages.preferences(request).language
