"""What the page of a session shows by its face: reads what the face needs beside the session, and nothing more."""

from typing import NamedTuple

from fastapi import Request

from tongbao.channels.schema import kind_of
from tongbao.core.clock import Clock
from tongbao.parties.schema import Merchant, MerchantState
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import CancelReason, Intent
from tongbao.payments.schema.orders import IntentView, PageOrder
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.sessions import EXTENSIONS_MAX, SessionView
from tongbao.web.cashier import devices, faces, ordering, telling, views
from tongbao.web.cashier.faces import Face
from tongbao.web.cashier.ordering import Way, Ways
from tongbao.web.cashier.paying import Paying, Problem, payer_scope

ATTEMPTS_READ = 30
"""Enough for every try that a session takes, with the routes that each went on over."""
CUSTOMER_ATTEMPTS_READ = 5
OF_CARDS = frozenset({Problem.NUMBER, Problem.EXPIRY, Problem.CVC, Problem.NAME})
"""What can be wrong with a card as it was typed."""
SAID = frozenset({devices.FORGOTTEN, "longer"})
"""What a page may be told to say after a form of it was sent."""


class Visit(NamedTuple):
    """One look at a session: how it stands, whose it is, which face it has."""

    view: SessionView
    intent: Intent
    merchant: Merchant
    face: Face


class Showing:
    """Reads what pages show."""

    def __init__(self, payments: Payments, paying: Paying, clock: Clock) -> None:
        self._payments = payments
        self._paying = paying
        self._clock = clock

    async def chances(self, visit: Visit) -> dict[str, float | None]:
        """Return the ways to pay that can be used now, with the chance of each.

        None for a merchant who is suspended, and at the most tries.
        """
        if visit.merchant.state is not MerchantState.OPEN or visit.intent.attempt_count >= faces.TRIES_MAX:
            return {}
        return await self._payments.prospects.ways(visit.intent, faces.PRESENTMENTS)

    async def details(self, request: Request, visit: Visit, language: str) -> dict[str, object]:
        """Return what the page of one face shows beside what all of them show."""
        match visit.face:
            case Face.OPEN:
                return await self._form(request, visit, language)
            case Face.SCAN:
                return await self._code(visit)
            case Face.LEAVE:
                return await self._way_on(visit, language)
            case Face.PAID:
                return await self.receipt(visit, language)
            case Face.EXPIRED | Face.CANCELED:
                is_undecided = visit.intent.cancel_reason is CancelReason.REVIEW_EXPIRED
                return {"text": "undecided" if is_undecided else visit.face.value, "said": None}
            case Face.WAIT:
                return await self._waiting(visit)

    async def receipt(self, visit: Visit, language: str) -> dict[str, object]:
        """Return what is told of a payment that was made."""
        return {
            "receipt": views.receipt(await self._intent(visit), language),
            "text": views.end_text(visit.intent),
            "success_url": views.success_url(visit.view.session),
        }

    async def _form(self, request: Request, visit: Visit, language: str) -> dict[str, object]:
        """Return what the page of an open session asks for, and what went wrong before."""
        session, intent = visit.view.session, visit.intent
        asked = request.query_params
        attempts = await self._attempts(visit)
        ways = await self._ways(request, visit, attempts, is_elder=views.wishes(request, session).elder)
        problem = asked.get("problem", "")
        is_lost = bool(attempts) and telling.is_lost(attempts[0])
        declined = views.declined(intent, language, is_lost=is_lost)
        closes_soon = session.expires_at - self._clock.now() <= views.CLOSES_SOON
        return {
            "ways": ways,
            "refused": self._refused(visit, ways),
            "key": self._paying.new_key(),
            "problem": problem if problem in set(Problem) else None,
            "said": asked.get("said") if asked.get("said") in SAID else None,
            "declined": declined,
            "says_charged": declined is not None and views.tells_of_money(declined),
            "tried": views.tried_texts(telling.tried(attempts), language),
            "closes_soon": closes_soon,
            "can_extend": session.extension_count < EXTENSIONS_MAX,
            "remembers": devices.reference_of(request) is not None,
            "last_way": devices.last_way(request),
        }

    def _refused(self, visit: Visit, ways: Ways) -> str | None:
        """Return why nothing can be paid here now; None where something can."""
        if ways.shown:
            return None
        if visit.merchant.state is not MerchantState.OPEN:
            return "paused"
        return "tries" if visit.intent.attempt_count >= faces.TRIES_MAX else "no_way"

    async def _ways(self, request: Request, visit: Visit, attempts: list[Attempt], *, is_elder: bool) -> Ways:
        chances = await self.chances(visit)
        last_used = await self._habit(request, visit) if len(chances) > 1 else None
        error = visit.intent.last_error
        refused = telling.refused_kinds(attempts) if error else []
        ways = ordering.ordered(chances, last_used, refused, error.reason if error else None)
        if request.query_params.get("problem") in OF_CARDS and "card" in chances:
            # A form that was not taken is shown again as the payer had it open.
            ways = (Way("card"), *(each for each in ways if each.kind != "card"))
        if views.is_minimal(request):
            return Ways(ways[: ordering.MINIMAL_MAX], ())
        return ordering.split(ways, ordering.ELDER_MAX if is_elder else None)

    async def _habit(self, request: Request, visit: Visit) -> str | None:
        """Return how the payer paid last: in this browser, else as the customer that the session is for."""
        known, session = devices.last_way(request), visit.view.session
        if known is not None or session.customer_id is None:
            return known
        order = PageOrder(limit=CUSTOMER_ATTEMPTS_READ, owner_id=session.customer_id)
        page = await self._payments.intents.attempts(payer_scope(visit.merchant, session), order)
        return telling.last_paid_kind(page.items)

    async def _attempts(self, visit: Visit) -> list[Attempt]:
        if not visit.intent.attempt_count:
            return []
        order = PageOrder(limit=ATTEMPTS_READ, parent_id=visit.intent.id)
        scope = payer_scope(visit.merchant, visit.view.session)
        return (await self._payments.intents.attempts(scope, order)).items

    async def _waiting(self, visit: Visit) -> dict[str, object]:
        """Return what is known of a payment whose outcome is not."""
        _, attempt, _ = await self._intent(visit)
        return {
            "leave_url": None,
            "asked": None,
            "known": telling.waiting(visit.intent, attempt),
            "since": visit.intent.updated_at if attempt is None else attempt.sent_at,
        }

    async def _way_on(self, visit: Visit, language: str) -> dict[str, object]:
        """Return where the payer has to go on, and what is asked of it there, where this house asks."""
        action = visit.intent.next_action
        assert action is not None
        return {
            "leave_url": action.url,
            "asked": views.asked(await self._intent(visit), language),
            "leave_until": action.expires_at,
        }

    async def _code(self, visit: Visit) -> dict[str, object]:
        """Return the code that is to be scanned, and for which app it is."""
        action = visit.intent.next_action
        assert action is not None
        assert action.qr_text is not None
        attempt = (await self._intent(visit)).attempt
        kind = None if attempt is None else kind_of(attempt.method)
        return {
            "code": views.code(action.qr_text),
            "kind": kind if kind in faces.CODES else "other",
            "app_url": faces.web_url(action.qr_text),
            "code_until": action.expires_at,
        }

    async def _intent(self, visit: Visit) -> IntentView:
        scope = payer_scope(visit.merchant, visit.view.session)
        return await self._payments.intents.get(scope, visit.intent.id)
