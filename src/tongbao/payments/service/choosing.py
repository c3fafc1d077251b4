"""Choosing, before anything is sent: with what, under which permission, judged by whom, over which channel.

Risk control and routing are others' rooms behind ports, and a failure of theirs never fails a payment: without a verdict
a payment is reviewed, without a choice the first channel that can carry it is taken.
"""

from typing import NamedTuple

import structlog

from tongbao.channels.schema import Card, Initiator, Method, Presentment, Reason, kind_of
from tongbao.channels.service.registry import Wish
from tongbao.core.errors import Conflict
from tongbao.payments.errors import BadParameter, WrongState
from tongbao.payments.policy import mandates, orders
from tongbao.payments.ports import RiskQuestion, Route, RouteQuestion, Verdict
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import CaptureMethod, Intent
from tongbao.payments.schema.methods import Mandate, MandateState, PaymentMethod
from tongbao.payments.schema.orders import ConfirmOrder
from tongbao.payments.service.desk import Desk
from tongbao.payments.store import documents as store
from tongbao.risk.schema.tiers import Tier

MANDATES_MAX = 20
REVIEWED = Verdict(tier=Tier.REVIEW, reasons=("risk_control_unavailable",))
FEATURES = {
    "card": "cards",
    "alipay": "alipay",
    "wechat_pay": "wechat_pay",
    "wallet": "wallet",
    CaptureMethod.MANUAL: "manual_capture",
    CaptureMethod.MANUAL_MULTIPLE: "multiple_capture",
}
"""What a merchant's package must hold for a kind of method or of capture."""

_log = structlog.get_logger(__name__)


class Chosen(NamedTuple):
    """What a payment is collected with: the method, the saved one that it comes from, and the payer's permission."""

    method: Method
    kept: PaymentMethod | None
    mandate: Mandate | None
    initiator: Initiator


class Way(NamedTuple):
    """How a payment goes out; ``captures``: its money is taken at once. The others as in ``Attempt``."""

    route: Route
    captures: bool
    authenticates: bool = False
    must_prove: bool = False


class Choosing:
    """Reads and asks; writes nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def means(self, intent: Intent, confirm: ConfirmOrder, given: Method | None) -> Chosen:
        """Return what to collect with; raise BadParameter, NotInPackage, or WrongState where a mandate forbids it."""
        kept, method = await self._method(intent, confirm, given)
        capture = confirm.capture_method or intent.capture_method
        orders.check_method(intent, method)
        orders.check_top_up(intent.wallet_book_id, capture)
        mandate = await self._mandate(intent, confirm, kept)
        wanted = [FEATURES[each] for each in (kind_of(method), capture) if each in FEATURES]
        if intent.setup_future_usage == "off_session":
            wanted.append("mandates")
        await self._desk.require(intent.book_id, *wanted)
        return Chosen(method, kept, mandate, Initiator.MERCHANT if confirm.off_session else Initiator.PAYER)

    async def verdict(self, intent: Intent, chosen: Chosen, confirm: ConfirmOrder) -> Verdict:
        """Return what risk control says of a payment, or that it is to be reviewed where it says nothing."""
        question = RiskQuestion(
            intent=intent,
            method=chosen.method,
            merchant=await self._desk.profiles.profile(intent.book_id),
            initiator=chosen.initiator,
            payer_address=confirm.payer_address,
            device=confirm.device,
            can_authenticate=self.can_authenticate(intent, chosen),
        )
        try:
            return await self._desk.risk.assess(question)
        except Exception:
            # Whatever breaks there is theirs to mend; the payer's payment goes on, and people look at it.
            _log.exception("risk_control_failed", id=intent.reference)
            return REVIEWED

    def can_authenticate(self, intent: Intent, chosen: Chosen) -> bool:
        """Return whether a channel that can carry a payment lets the issuer make sure of its payer, who is here."""
        if chosen.initiator is not Initiator.PAYER or not isinstance(chosen.method, Card):
            return False
        wish = _wish(intent, chosen.method, is_held=False, authenticates=True)
        return bool(self._desk.channels.eligible(wish).channels)

    async def way(self, intent: Intent, chosen: Chosen, verdict: Verdict) -> Way:
        """Return how a payment goes out that may; raise WrongState ``no_channel``.

        What people will look at is reserved only. A payer that risk control wants to be sure of, or whose issuer asked for
        that the last time, is authenticated by the issuer.
        """
        method, initiator = chosen.method, chosen.initiator
        if verdict.tier is Tier.REVIEW and verdict.fact is not None:
            route, is_held = await self.held_route(intent, method, initiator)
            return Way(route, captures=not is_held)
        must_prove = verdict.tier is Tier.STEP_UP
        if must_prove or (was_asked_for_it(intent) and self.can_authenticate(intent, chosen)):
            route = await self.authenticating_route(intent, method, initiator)
            return Way(
                route, captures=intent.capture_method.at_once, authenticates=True, must_prove=must_prove
            )
        return Way(await self.route(intent, method, initiator), captures=intent.capture_method.at_once)

    async def authenticating_route(
        self, intent: Intent, method: Method, initiator: Initiator, *, is_held: bool = False
    ) -> Route:
        """Return the route of a payment whose payer the issuer is to make sure of; raise WrongState as ``route``."""
        return await self._route(intent, method, initiator, is_held=is_held, authenticates=True)

    async def route(self, intent: Intent, method: Method, initiator: Initiator) -> Route:
        """Return the channel for a payment and those to fall back on; raise WrongState where none can carry it."""
        return await self._route(intent, method, initiator, is_held=False)

    async def held_route(self, intent: Intent, method: Method, initiator: Initiator) -> tuple[Route, bool]:
        """Return the route of a payment that people will look at, and whether its money can be held meanwhile.

        Where no channel reserves money without taking it, it is taken, and given back if people say no.
        """
        if intent.capture_method.at_once:
            try:
                return await self._route(intent, method, initiator, is_held=True), True
            except WrongState:
                pass
        return await self._route(intent, method, initiator, is_held=False), not intent.capture_method.at_once

    async def _route(
        self,
        intent: Intent,
        method: Method,
        initiator: Initiator,
        *,
        is_held: bool,
        authenticates: bool = False,
    ) -> Route:
        kind = kind_of(method)
        wish = _wish(intent, method, is_held=is_held, authenticates=authenticates)
        eligibility = self._desk.channels.eligible(wish)
        names = tuple(channel.name for channel in eligibility.channels)
        objections = {each.channel: each.code for each in eligibility.objections}
        if not names:
            raise WrongState(
                "no_channel",
                f"no channel takes {kind} in {intent.currency} for this amount now",
                payment_intent=intent.reference,
                objections=objections,
            )
        return await self._chosen(
            RouteQuestion(
                intent=intent,
                method=method,
                merchant=await self._desk.profiles.profile(intent.book_id),
                initiator=initiator,
                candidates=names,
                excluded=objections,
            )
        )

    async def next_route(self, intent: Intent, dead: Attempt, tried: tuple[str, ...]) -> Route | None:
        """Return where a payment goes on after a no; None where nothing is left of what its first choice allowed."""
        left = tuple(name for name in dead.fallbacks if self._desk.channels.is_enabled(name))
        if not left:
            return None
        return await self._chosen(
            RouteQuestion(
                intent=intent,
                method=dead.method,
                merchant=await self._desk.profiles.profile(intent.book_id),
                initiator=dead.initiator,
                candidates=left,
                tried=tried,
            )
        )

    async def _chosen(self, question: RouteQuestion) -> Route:
        """Ask routing; where it fails, or names what cannot carry the payment, the first candidate is taken."""
        names = question.candidates
        try:
            route = await self._desk.routing.choose(question)
        except Conflict as error:
            # Rules and caps are promises, not opinions: what they leave nothing of is not sent.
            raise WrongState("no_channel", error.detail, **error.facts) from error
        except Exception:
            _log.exception("routing_failed", id=question.intent.reference)
            return Route(names[0], names[1:])
        if route.channel not in names:
            _log.error("routing_unsound", id=question.intent.reference, channel=route.channel)
            return Route(names[0], names[1:])
        known = [name for name in dict.fromkeys(route.fallbacks) if name in names and name != route.channel]
        return Route(route.channel, tuple(known), route.decision)

    async def _method(
        self, intent: Intent, confirm: ConfirmOrder, given: Method | None
    ) -> tuple[PaymentMethod | None, Method]:
        """Return the saved method, where it is one, and the method itself."""
        method = confirm.method or given
        if method is not None:
            return None, method
        method_id = confirm.method_id or intent.method_id
        if method_id is None:
            raise BadParameter(
                "payment_intent_payment_method_missing",
                "payment_method",
                f"{intent.reference} has no payment method yet: give one to confirm it",
                payment_intent=intent.reference,
            )
        kept = await self._desk.read(PaymentMethod, intent.book_id, method_id, "payment_method")
        if kept.customer_id is not None and kept.customer_id != intent.customer_id:
            raise BadParameter(
                "payment_method_customer_mismatch",
                "payment_method",
                "the payment method belongs to a customer that the intent does not name",
            )
        return kept, kept.method

    async def _mandate(
        self, intent: Intent, confirm: ConfirmOrder, kept: PaymentMethod | None
    ) -> Mandate | None:
        """Return the permission under which a payment is made: the one that is named, else the method's newest.

        A payer who is not here has given one, or is not charged: its caps hold whether the merchant names it or not.
        Each confirmation stands for itself: one whose payer came back is not under the mandate of the one that failed.
        """
        mandate = None
        if confirm.mandate_id is not None:
            mandate = await self._desk.read(Mandate, intent.book_id, confirm.mandate_id, "mandate")
        elif confirm.off_session:
            mandate = await self._newest_mandate(intent.book_id, kept)
            if mandate is None:
                raise WrongState(
                    "mandate_missing",
                    "the payer is not here and has given no mandate for this payment method: set it up first",
                    payment_intent=intent.reference,
                )
        if mandate is not None:
            mandates.check(mandate, kept, intent.amount_minor, intent.currency, self._desk.clock.now())
        return mandate

    async def _newest_mandate(self, book_id: int, kept: PaymentMethod | None) -> Mandate | None:
        """Return the newest mandate of a method, an active one before all others."""
        if kept is None:
            return None
        async with self._desk.database.connection() as connection:
            found = await store.children(connection, Mandate, book_id, kept.id, MANDATES_MAX)
        return next(
            (each for each in found if each.state is MandateState.ACTIVE), found[0] if found else None
        )


def was_asked_for_it(intent: Intent) -> bool:
    """Return whether the last attempt was refused for want of an authentication."""
    return intent.last_error is not None and intent.last_error.reason is Reason.AUTHENTICATION_REQUIRED


def _wish(intent: Intent, method: Method, *, is_held: bool, authenticates: bool) -> Wish:
    return Wish(
        kind=kind_of(method),
        presentment=getattr(method, "presentment", Presentment.DIRECT),
        currency=intent.currency,
        amount_minor=intent.amount_minor,
        live=intent.live,
        manual_capture=is_held or not intent.capture_method.at_once,
        mandate=intent.mandate_id is not None,
        authenticate=authenticates,
    )
