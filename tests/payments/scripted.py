"""A channel whose other side is the test: it answers what it is told, and remembers what it was asked."""

from collections import deque
from collections.abc import Awaitable, Callable

from tongbao.channels.errors import NotificationForged
from tongbao.channels.schema import (
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
    Reason,
    WireUnit,
)

Call = Authorize | Follow | Inquire | Payout
Reply = Answer | Callable[[Call], Awaitable[Answer]]
CURRENCIES = frozenset({"CNY", "USD", "JPY", "KWD"})


def capabilities(**changes: object) -> Capabilities:
    """Capabilities of a channel that can do everything, with changes."""
    values: dict[str, object] = {
        "adapter": "scripted",
        "methods": frozenset({"card", "alipay", "wechat_pay"}),
        "presentments": frozenset(Presentment),
        "currencies": CURRENCIES,
        "wire_unit": WireUnit.MINOR,
        "manual_capture": True,
        "partial_capture": True,
        "multiple_capture": True,
        "void": True,
        "increment": True,
        "refund": True,
        "partial_refund": True,
        "refund_inquiry": True,
        "mandates": True,
        "inquires_by_our_reference": True,
        "settles_not_found_s": 60,
        "notifies": True,
    }
    return Capabilities(**(values | changes))  # type: ignore[arg-type]


class ScriptedChannel:
    """Approves everything that no reply was scripted for."""

    def __init__(self, name: str, **changes: object) -> None:
        self._name = name
        self._capabilities = capabilities(**changes)
        self.calls: list[tuple[str, Call]] = []
        self.replies: dict[str, deque[Reply]] = {}
        self.notification: Notification | None = None

    def reply(self, operation: str, *replies: Reply) -> None:
        """Script the next replies to an operation."""
        self.replies.setdefault(operation, deque()).extend(replies)

    def can(self, **changes: object) -> None:
        """Change what the channel can do."""
        self._capabilities = capabilities(**changes)

    def asked(self, operation: str) -> list[Call]:
        """The calls of an operation so far."""
        return [call for name, call in self.calls if name == operation]

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def _answer(self, operation: str, call: Call, default: Answer) -> Answer:
        self.calls.append((operation, call))
        waiting = self.replies.get(operation)
        if not waiting:
            return default
        reply = waiting.popleft()
        return reply if isinstance(reply, Answer) else await reply(call)

    async def authorize(self, call: Authorize) -> Answer:
        return await self._answer("authorize", call, approved(call, captured=call.capture))

    async def increment(self, call: Follow) -> Answer:
        return await self._answer("increment", call, approved(call))

    async def capture(self, call: Follow) -> Answer:
        return await self._answer("capture", call, approved(call, captured=True))

    async def void(self, call: Follow) -> Answer:
        return await self._answer("void", call, Answer(outcome=Outcome.APPROVED))

    async def refund(self, call: Follow) -> Answer:
        return await self._answer("refund", call, approved(call))

    async def inquire(self, call: Inquire) -> Answer:
        return await self._answer("inquire", call, Answer(outcome=Outcome.NOT_FOUND))

    async def payout(self, call: Payout) -> Answer:
        return await self._answer("payout", call, Answer(outcome=Outcome.APPROVED))

    def parse_notification(self, raw: RawNotification) -> Notification:
        if self.notification is None:
            raise NotificationForged(self._name, "the test sent none")
        return self.notification

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        return Acknowledgment(200 if accepted else 500, "text/plain", b"ok" if accepted else b"no")

    async def close(self) -> None:
        return None


def approved(call: Authorize | Follow, *, captured: bool = False, **changes: object) -> Answer:
    """A yes to just what was asked."""
    values: dict[str, object] = {
        "outcome": Outcome.APPROVED,
        "amount_minor": call.amount_minor,
        "currency": call.currency,
        "captured": captured,
        "channel_reference": f"ch-{call.reference}",
        "network_reference": f"net-{call.reference[-12:]}",
        "approval_code": "A1B2C3",
        "code": "00",
    }
    return Answer(**(values | changes))  # type: ignore[arg-type]


def declined(reason: Reason, code: str = "05") -> Answer:
    """An explicit no."""
    return Answer(outcome=Outcome.DECLINED, reason=reason, code=code)


UNRESOLVED = Answer(outcome=Outcome.UNRESOLVED)
