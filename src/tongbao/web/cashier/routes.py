"""The routes of the hosted checkout: a link opens a session, a session has one page, its forms go to ``/pay``.

Every form is answered with a redirect to the page of the session, so that going back or loading again never pays.
A form must come from this site (``Origin``); whoever has no account here has no cookie that another site could use.
"""

from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from tongbao.core.clock import Clock
from tongbao.core.errors import AppError, Conflict, InvariantBroken, NotFound
from tongbao.core.ids import IdFactory, parse_uuid, uuid_text
from tongbao.core.logs import get_logger
from tongbao.parties.schema import OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.merchants import Merchants
from tongbao.payments.schema.checkout import PaymentLink
from tongbao.payments.service.payments import Payments
from tongbao.web import errors, pages
from tongbao.web.api.v1.limits import Limits
from tongbao.web.api.v1.ports import Cards
from tongbao.web.cashier import amounts, devices, faces, views
from tongbao.web.cashier.faces import Face
from tongbao.web.cashier.paying import Payer, Paying, Problem, payer_scope, read_form
from tongbao.web.cashier.showing import Showing, Visit
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


def router(till: Till) -> APIRouter:
    """Return the routes of the checkout."""
    checkout = _Checkout(till)
    routes = APIRouter(include_in_schema=False, route_class=page_route(_error_page))
    for method, path, answer in (
        ("GET", "/l/{reference}", checkout.follow),
        ("POST", "/l/{reference}", checkout.choose),
        ("GET", "/l/{reference}/code.svg", checkout.code),
        ("GET", "/c/{reference}", checkout.show),
        ("GET", "/c/{reference}/receipt", checkout.receipt),
        ("GET", "/c/{reference}/state", checkout.state),
        ("POST", "/c/{reference}/pay", checkout.pay),
        ("POST", "/c/{reference}/more_time", checkout.more_time),
        ("POST", "/c/{reference}/forget", checkout.forget),
    ):
        routes.add_api_route(path, answer, methods=[method], response_model=None)
    return routes


class _Checkout:
    """Answers the pages."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._sessions = till.payments.sessions
        self._paying = Paying(till.payments.intents, till.cards, till.clock, till.ids)
        self._showing = Showing(till.payments, self._paying, till.clock)
        self._operator = operator_of_job("cashier", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def follow(self, request: Request, reference: str) -> Response:
        """Open a session for whoever followed a link, and go to its page."""
        self._till.limits.take(guest(request), live=True, writes=True)
        link = await self._sessions.followed(_link_id(reference))
        if link.open_amount is not None:
            return await self._asking(request, link, amounts.blank(request, link))
        view = await self._sessions.open_link(link.id)
        asked = f"?{request.url.query}" if {"lang", "mode", "theme"} & set(request.query_params) else ""
        return _see_other(f"/c/{view.session.reference}{asked}")

    async def choose(self, request: Request, reference: str) -> Response:
        """Open a session of the sum that a payer chose, and go to its page; a sum that cannot be is asked for again."""
        refuse_foreign(request)
        self._till.limits.take(guest(request), live=True, writes=True)
        link = await self._sessions.followed(_link_id(reference))
        if link.open_amount is None:
            return _see_other(f"/l/{link.reference}")
        form = amounts.read(request, link, await pages.form(request))
        amount = form.chosen(link)
        if amount is None:
            return await self._asking(request, link, form, 422)
        view = await self._sessions.open_link(link.id, amount)
        return _see_other(f"/c/{view.session.reference}")

    async def code(self, request: Request, reference: str) -> Response:
        """Answer the code of a link, to be printed or shown: a payer who scans it is led to a session of its own."""
        self._till.limits.take(guest(request), live=True, writes=False)
        link_id = _link_id(reference)
        drawn = views.code_file(f"{self._till.base_url}/l/{uuid_text(PaymentLink.PREFIX, link_id)}")
        return Response(drawn, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})

    async def show(self, request: Request, reference: str) -> Response:
        """Answer the page of a session."""
        visit = await self._visit(reference)
        session = visit.view.session
        shown = await self._shown(request, visit)
        if visit.face in _WATCHED:
            shown["watch"] = f"/c/{session.reference}/state"
        page = views.page(request, _TEMPLATES[visit.face], shown, session=session)
        if request.query_params.get("said") == devices.FORGOTTEN:
            return devices.forgotten(page)
        return devices.remembered(request, page, self._till.ids)

    async def receipt(self, request: Request, reference: str) -> Response:
        """Answer the receipt of a payment that was made, to be printed; anything else is told on the session's page."""
        visit = await self._visit(reference)
        session = visit.view.session
        if visit.face is not Face.PAID:
            return _see_other(f"/c/{session.reference}")
        return views.page(request, "receipt.html", await self._shown(request, visit), session=session)

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
        answer = _see_other(f"/c/{session.reference}")
        if visit.face is Face.OPEN:
            problem = await self._paid(request, visit, fields)
            if problem is None:
                return devices.used(request, answer, fields["method"])
            return _see_other(f"/c/{session.reference}?problem={problem.value}")
        return answer

    async def more_time(self, request: Request, reference: str) -> Response:
        """Keep a session open for longer, and go back to its page."""
        refuse_foreign(request)
        self._till.limits.take(guest(request), live=True, writes=True)
        view = await self._sessions.by_reference(reference)
        page_url = f"/c/{view.session.reference}"
        try:
            await self._sessions.extend(view.session)
        except Conflict:
            # It is over, or was long enough: the page tells until when.
            return _see_other(page_url)
        return _see_other(f"{page_url}?said=longer")

    async def forget(self, request: Request, reference: str) -> Response:
        """Let the browser forget what it keeps for this house, and go back to the page."""
        refuse_foreign(request)
        self._till.limits.take(guest(request), live=True, writes=True)
        view = await self._sessions.by_reference(reference)
        return devices.forgotten(_see_other(f"/c/{view.session.reference}?said={devices.FORGOTTEN}"))

    async def _paid(self, request: Request, visit: Visit, fields: dict[str, str]) -> Problem | None:
        """Try to pay an open session once; return why the form was not taken."""
        typed = read_form(fields)
        if isinstance(typed, Problem):
            return typed
        if typed.kind not in await self._showing.chances(visit):
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

    async def _asking(
        self, request: Request, link: PaymentLink, form: amounts.AmountForm, status: int = 200
    ) -> Response:
        merchant = await self._till.merchants.of_book(self._operator, link.book_id)
        return views.page(request, "amount.html", amounts.shown(request, link, merchant, form), status)

    async def _visit(self, reference: str) -> Visit:
        """Return how a session stands; raise NotFound."""
        view = await self._sessions.by_reference(reference)
        if view.intent is None:
            raise NotFound("resource_missing", "This session has nothing to pay")
        merchant = await self._till.merchants.of_book(self._operator, view.session.book_id)
        return Visit(view, view.intent, merchant, faces.face_of(view, self._till.clock.now()))

    async def _shown(self, request: Request, visit: Visit) -> dict[str, object]:
        session = visit.view.session
        language = views.wishes(request, session).language
        shown = views.of_session(request, session, visit.intent, visit.merchant)
        shown["face"] = visit.face.value
        return shown | await self._showing.details(request, visit, language)


def _link_id(reference: str) -> UUID:
    try:
        return parse_uuid(PaymentLink.PREFIX, reference)
    except ValueError as error:
        raise NotFound("resource_missing", "No such payment link") from error


def _see_other(address: str) -> Response:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _error_page(request: Request, error: AppError) -> Response:
    """Return the page for an error, with the status of its kind; a link that was used up is a friendly page."""
    status = errors.answer(error).status
    if isinstance(error, InvariantBroken):
        _log.error("cashier_failed", code=error.code, detail=error.detail)
    inactive = error.code == LINK_INACTIVE
    text = "inactive" if inactive else _TEXTS.get(status, "failed")
    said = error.facts.get("message") if inactive else None
    shown = {
        "text": text,
        "said": said,
        "face": "ended",
        "contact": None,
        "reference": None,
        "cancel_url": None,
    }
    return views.page(request, "ended.html", shown, 410 if inactive else status)
