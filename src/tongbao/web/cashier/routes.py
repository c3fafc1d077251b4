"""The routes of the hosted checkout: a link opens a session, a session has one page, its forms go to ``/pay``.

Every form is answered with a redirect to the page of the session, so that going back or loading again never pays.
A form must come from this site (``Origin``); whoever has no account here has no cookie that another site could use.
"""

from dataclasses import dataclass
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from tongbao.channels.schema import kind_of
from tongbao.core.clock import Clock
from tongbao.core.errors import AppError, InvariantBroken, NotFound
from tongbao.core.ids import IdFactory, parse_uuid
from tongbao.core.logs import get_logger
from tongbao.parties.schema import Merchant, MerchantState, OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.merchants import Merchants
from tongbao.payments.schema.checkout import PaymentLink
from tongbao.payments.schema.intents import CancelReason, Intent
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.sessions import SessionView
from tongbao.web import errors, pages
from tongbao.web.api.v1.limits import Limits
from tongbao.web.api.v1.ports import Cards
from tongbao.web.cashier import devices, faces, views
from tongbao.web.cashier.faces import Face
from tongbao.web.cashier.paying import Payer, Paying, Problem, payer_scope, read_form
from tongbao.web.page_guard import guest, refuse_foreign
from tongbao.web.page_route import page_route

LINK_INACTIVE = "payment_link_inactive"
_TEXTS = {400: "failed", 403: "foreign", 404: "missing", 429: "busy", 503: "busy"}
_TEMPLATES = {
    Face.OPEN: "pay.html",
    Face.SCAN: "scan.html",
    Face.LEAVE: "wait.html",
    Face.WAIT: "wait.html",
    Face.PAID: "paid.html",
    Face.EXPIRED: "ended.html",
    Face.CANCELED: "ended.html",
}
_WATCHED = (Face.SCAN, Face.LEAVE, Face.WAIT)

_log = get_logger("cashier")


@dataclass(frozen=True)
class Till:
    """What the checkout needs of the house. ``base_url``: how payers and channels reach it."""

    payments: Payments
    merchants: Merchants
    cards: Cards
    limits: Limits
    clock: Clock
    ids: IdFactory
    base_url: str


class _Visit(NamedTuple):
    """One look at a session: how it stands, whose it is, which face it has."""

    view: SessionView
    intent: Intent
    merchant: Merchant
    face: Face


def router(till: Till) -> APIRouter:
    """Return the routes of the checkout."""
    checkout = _Checkout(till)
    routes = APIRouter(include_in_schema=False, route_class=page_route(_error_page))
    for method, path, answer in (
        ("GET", "/l/{reference}", checkout.follow),
        ("GET", "/c/{reference}", checkout.show),
        ("GET", "/c/{reference}/state", checkout.state),
        ("POST", "/c/{reference}/pay", checkout.pay),
    ):
        routes.add_api_route(path, answer, methods=[method], response_model=None)
    return routes


class _Checkout:
    """Answers the pages."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._sessions = till.payments.sessions
        self._paying = Paying(till.payments.intents, till.cards, till.clock, till.ids)
        self._operator = operator_of_job("cashier", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def follow(self, request: Request, reference: str) -> Response:
        """Open a session for whoever followed a link, and go to its page."""
        self._till.limits.take(guest(request), live=True, writes=True)
        try:
            link_id = parse_uuid(PaymentLink.PREFIX, reference)
        except ValueError as error:
            raise NotFound("resource_missing", "No such payment link") from error
        view = await self._sessions.open_link(link_id)
        asked = f"?{request.url.query}" if {"lang", "mode"} & set(request.query_params) else ""
        return RedirectResponse(f"/c/{view.session.reference}{asked}", 303, {"Cache-Control": "no-store"})

    async def show(self, request: Request, reference: str) -> Response:
        """Answer the page of a session."""
        visit = await self._visit(reference)
        session = visit.view.session
        language = views.wishes(request, session).language
        shown = views.of_session(request, session, visit.intent, visit.merchant)
        shown["face"] = visit.face.value
        if visit.face in _WATCHED:
            shown["watch"] = f"/c/{session.reference}/state"
        shown |= await self._details(request, visit, language)
        page = views.page(request, _TEMPLATES[visit.face], shown, session=session)
        return devices.remembered(request, page, self._till.ids)

    async def state(self, reference: str) -> Response:
        """Answer which face the page of a session has now: what a waiting page asks every two seconds."""
        view = await self._sessions.by_reference(reference)
        face = faces.face_of(view, self._till.clock.now())
        return JSONResponse({"state": face.value}, headers={"Cache-Control": "no-store"})

    async def pay(self, request: Request, reference: str) -> Response:
        """Pay with what the form says, and go back to the page, which tells how it went."""
        refuse_foreign(request)
        self._till.limits.take(guest(request), live=True, writes=True)
        fields = await pages.form(request)
        visit = await self._visit(reference)
        session = visit.view.session
        page_url = f"/c/{session.reference}"
        if visit.face is Face.OPEN:
            problem = await self._paid(request, visit, fields)
            if problem is not None:
                page_url += f"?problem={problem.value}"
        return RedirectResponse(page_url, 303, {"Cache-Control": "no-store"})

    async def _paid(self, request: Request, visit: _Visit, fields: dict[str, str]) -> Problem | None:
        """Try to pay an open session once; return why the form was not taken."""
        typed = read_form(fields)
        if isinstance(typed, Problem):
            return typed
        if typed.kind not in self._ways(visit):
            return Problem.METHOD
        session = visit.view.session
        payer = Payer(
            session,
            visit.intent,
            payer_scope(visit.merchant, session),
            request.client.host if request.client else None,
            f"{self._till.base_url}/c/{session.reference}",
            devices.reference_of(request),
        )
        return await self._paying.pay(payer, typed)

    async def _visit(self, reference: str) -> _Visit:
        """Return how a session stands; raise NotFound."""
        view = await self._sessions.by_reference(reference)
        if view.intent is None:
            raise NotFound("resource_missing", "This session has nothing to pay")
        merchant = await self._till.merchants.of_book(self._operator, view.session.book_id)
        return _Visit(view, view.intent, merchant, faces.face_of(view, self._till.clock.now()))

    def _ways(self, visit: _Visit) -> tuple[str, ...]:
        """Return the ways to pay that the page offers; a merchant who is suspended takes nothing."""
        if visit.merchant.state is not MerchantState.OPEN:
            return ()
        return faces.ways(self._till.payments.channels, visit.view)

    async def _details(self, request: Request, visit: _Visit, language: str) -> dict[str, object]:
        """Return what the page of one face shows beside what all of them show."""
        session, intent = visit.view.session, visit.intent
        match visit.face:
            case Face.OPEN:
                return self._form(request, visit, language)
            case Face.SCAN:
                return await self._code(visit)
            case Face.LEAVE:
                return await self._way_on(visit, language)
            case Face.PAID:
                scope = payer_scope(visit.merchant, session)
                paid = await self._till.payments.intents.get(scope, intent.id)
                return {
                    "receipt": views.receipt(paid, language),
                    "text": views.end_text(intent),
                    "success_url": views.success_url(session),
                }
            case Face.EXPIRED | Face.CANCELED:
                is_undecided = intent.cancel_reason is CancelReason.REVIEW_EXPIRED
                return {"text": "undecided" if is_undecided else visit.face.value, "said": None}
            case Face.WAIT:
                return {"leave_url": None, "asked": None}

    async def _way_on(self, visit: _Visit, language: str) -> dict[str, object]:
        """Return where the payer has to go on, and what is asked of it there, where this house asks."""
        assert visit.intent.next_action is not None
        scope = payer_scope(visit.merchant, visit.view.session)
        view = await self._till.payments.intents.get(scope, visit.intent.id)
        action = visit.intent.next_action
        return {
            "leave_url": action.url,
            "asked": views.asked(view, language),
            "leave_until": action.expires_at,
        }

    def _form(self, request: Request, visit: _Visit, language: str) -> dict[str, object]:
        """Return what the page of an open session asks for, and what went wrong before."""
        ways = self._ways(visit)
        problem = request.query_params.get("problem", "")
        refused = None
        if not ways:
            refused = "tries" if visit.intent.attempt_count >= faces.TRIES_MAX else "no_way"
            refused = refused if visit.merchant.state is MerchantState.OPEN else "paused"
        last = visit.intent.last_error
        return {
            "ways": ways,
            "refused": refused,
            "key": self._paying.new_key(),
            "problem": problem if problem in set(Problem) else None,
            "declined": views.declined(visit.intent, language) if last is not None else None,
        }

    async def _code(self, visit: _Visit) -> dict[str, object]:
        """Return the code that is to be scanned, and for which app it is."""
        action = visit.intent.next_action
        assert action is not None
        assert action.qr_text is not None
        scope = payer_scope(visit.merchant, visit.view.session)
        attempt = (await self._till.payments.intents.get(scope, visit.intent.id)).attempt
        kind = None if attempt is None else kind_of(attempt.method)
        return {
            "code": views.code(action.qr_text),
            "kind": kind if kind in faces.CODES else "other",
            "app_url": faces.web_url(action.qr_text),
            "code_until": action.expires_at,
        }


def _error_page(request: Request, error: AppError) -> Response:
    """Return the page for an error, with the status of its kind; a link that was used up is a friendly page."""
    status = errors.answer(error).status
    if isinstance(error, InvariantBroken):
        _log.error("cashier_failed", code=error.code, detail=error.detail)
    inactive = error.code == LINK_INACTIVE
    text = "inactive" if inactive else _TEXTS.get(status, "failed")
    said = error.facts.get("message") if inactive else None
    shown = {"text": text, "said": said, "face": "ended"}
    return views.page(request, "ended.html", shown, 410 if inactive else status)
