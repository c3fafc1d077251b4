"""Smart routing behind the port: an intent in payments' words becomes a payment in routing's, and back."""

from tongbao.channels.schema import Card, Initiator, Merchant, Method, kind_of
from tongbao.payments.policy.learning import issuer_of
from tongbao.payments.ports import Route, RouteQuestion
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.routing.schema.payments import UNKNOWN, Payment
from tongbao.routing.service.router import Asked, Router


class SmartRouting:
    """Asks the router of this process."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def choose(self, question: RouteQuestion) -> Route:
        """Return the router's choice with the decision behind it; raise NoChannel where rules and caps leave none."""
        asked = Asked(
            payment=payment_of(question),
            candidates=question.candidates,
            excluded=question.excluded,
            tried=question.tried,
        )
        routed = self._router.choose(asked)
        return Route(routed.channel, routed.fallbacks, routed.decision)

    def chance(
        self, intent: Intent, kind: str, merchant: Merchant, candidates: tuple[str, ...]
    ) -> float | None:
        """Return how likely a kind of method works for an intent; see ``ports.Foresight``."""
        payment = Payment(
            book_id=intent.book_id,
            live=intent.live,
            subject_id=intent.id,
            amount_minor=intent.amount_minor,
            currency=intent.currency,
            method=kind,
            merchant_country=merchant.country,
            mcc=merchant.mcc,
            hour=intent.updated_at.hour,
            weekday=intent.updated_at.weekday(),
        )
        return self._router.chance(payment, candidates)

    def heard(self, attempt: Attempt) -> None:
        """Tell the router that the channel of an attempt has answered."""
        if attempt.decision_id is not None:
            self._router.heard(attempt.decision_id)

    def dropped(self, attempt: Attempt) -> None:
        """Tell the router that an attempt will not be made."""
        if attempt.decision_id is not None:
            self._router.ended(attempt.decision_id, approved=False)


def payment_of(question: RouteQuestion) -> Payment:
    """Return what routing may know of a payment."""
    intent, method = question.intent, question.method
    at = intent.updated_at
    return Payment(
        book_id=intent.book_id,
        live=intent.live,
        subject_id=intent.id,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        method=kind_of(method),
        issuer=issuer_of(method),
        brand=_of_card(method, "brand"),
        funding=_of_card(method, "funding"),
        card_country=_of_card(method, "country"),
        merchant_country=question.merchant.country,
        mcc=question.merchant.mcc,
        is_recurring=question.initiator is Initiator.MERCHANT,
        hour=at.hour,
        weekday=at.weekday(),
    )


def _of_card(method: Method, field: str) -> str:
    value = getattr(method, field) if isinstance(method, Card) else None
    return UNKNOWN if value in (None, "unknown") else str(value)
