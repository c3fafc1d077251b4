"""A channel with nobody behind it: it approves at once, in process. For benchmarks and first steps in test mode.

It keeps what it approved in memory, bounded, so that a repeat gets the same answer and an inquiry the truth.
"""

from collections import OrderedDict

from tongbao.channels.errors import NotificationForged
from tongbao.channels.schema import (
    METHOD_KINDS,
    Acknowledgment,
    Answer,
    Authorize,
    Capabilities,
    Follow,
    Inquire,
    Notification,
    Outcome,
    Payout,
    Presentment,
    RawNotification,
    WireUnit,
)

KEPT_MAX = 100_000


class DirectChannel:
    """Approves everything; see ``ports.Channel`` for the methods."""

    def __init__(self, name: str, currencies: frozenset[str]) -> None:
        self._name = name
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._capabilities = Capabilities(
            adapter="direct",
            methods=frozenset(METHOD_KINDS) - {"wallet"},
            presentments=frozenset(Presentment),
            currencies=currencies,
            wire_unit=WireUnit.MINOR,
            manual_capture=True,
            partial_capture=True,
            multiple_capture=True,
            void=True,
            increment=True,
            refund=True,
            partial_refund=True,
            refund_inquiry=True,
            payout=True,
            mandates=True,
            inquires_by_our_reference=True,
            extended_authorization_days=30,
        )

    @property
    def name(self) -> str:
        """Name of the route."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._capabilities

    async def authorize(self, call: Authorize) -> Answer:
        """Approve."""
        return self._approve(call.reference, call.amount_minor, call.currency, captured=call.capture)

    async def increment(self, call: Follow) -> Answer:
        """Approve."""
        return self._approve(call.reference, call.amount_minor, call.currency)

    async def capture(self, call: Follow) -> Answer:
        """Approve."""
        return self._approve(call.reference, call.amount_minor, call.currency, captured=True)

    async def void(self, call: Follow) -> Answer:
        """Approve."""
        return self._approve(call.reference, call.amount_minor, call.currency)

    async def refund(self, call: Follow) -> Answer:
        """Approve."""
        return self._approve(call.reference, call.amount_minor, call.currency)

    async def inquire(self, call: Inquire) -> Answer:
        """Return what was answered; what another process answered is unknown here."""
        return self._kept.get(call.reference) or Answer(outcome=Outcome.NOT_FOUND)

    async def payout(self, call: Payout) -> Answer:
        """Approve."""
        return self._approve(call.reference, call.amount_minor, call.currency)

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Refuse: nobody is there to notify."""
        del raw
        raise NotificationForged(self._name, "it sends no notifications")

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return an empty answer."""
        return Acknowledgment(204 if accepted else 400, "text/plain", b"")

    async def close(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def _approve(self, reference: str, amount_minor: int, currency: str, *, captured: bool = False) -> Answer:
        known = self._kept.get(reference)
        if known is not None:
            return known
        answer = Answer(
            outcome=Outcome.APPROVED,
            amount_minor=amount_minor,
            currency=currency,
            captured=captured,
            channel_reference=reference,
            code="00",
        )
        self._kept[reference] = answer
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return answer
