"""The hooks of a house without risk control and smart routing: everything passes, the first channel is taken."""

from uuid import UUID

from tongbao.channels.schema import Merchant
from tongbao.core.errors import NotFound
from tongbao.payments.ports import RiskQuestion, Route, RouteQuestion, Verdict
from tongbao.payments.schema.attempts import Attempt
from tongbao.risk.schema.challenges import Challenge, Purpose
from tongbao.risk.schema.tiers import Tier

EVERYTHING = frozenset(
    {
        "cards",
        "alipay",
        "wechat_pay",
        "wallet",
        "manual_capture",
        "multiple_capture",
        "mandates",
        "payment_links",
    }
)
_PASS = Verdict(tier=Tier.FRICTIONLESS)


class PassRisk:
    """Lets every payment pass."""

    async def assess(self, question: RiskQuestion) -> Verdict:
        """Return the frictionless tier."""
        del question
        return _PASS


class NoProofs:
    """Asks no payer for a proof."""

    async def latest(self, purpose: Purpose) -> Challenge | None:
        """Return None."""
        del purpose
        return None

    async def abandon(self, book_id: int, challenge_id: UUID) -> Challenge:
        """Raise NotFound."""
        del book_id, challenge_id
        raise NotFound("challenge_unknown", "nobody is asked for a proof here")


class FirstChannel:
    """Takes channels in the order in which they were configured."""

    async def choose(self, question: RouteQuestion) -> Route:
        """Return the first candidate, with the others to fall back on."""
        return Route(question.candidates[0], question.candidates[1:])

    def heard(self, attempt: Attempt) -> None:
        """Learn nothing."""
        del attempt

    def dropped(self, attempt: Attempt) -> None:
        """Learn nothing."""
        del attempt


class OneProfile:
    """Tells channels the same of every merchant; for benchmarks and drills."""

    def __init__(self, merchant: Merchant, features: frozenset[str] = EVERYTHING) -> None:
        self._merchant = merchant
        self._features = features

    async def profile(self, book_id: int) -> Merchant:
        """Return the one profile."""
        del book_id
        return self._merchant

    async def features(self, book_id: int) -> frozenset[str]:
        """Return everything that a payment can need."""
        del book_id
        return self._features
