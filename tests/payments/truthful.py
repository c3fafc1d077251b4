"""A channel with a memory of what really happened: it answers whatever the test wants, and tells the truth when asked.

It is the reference model of the money: what it claimed less what it gave back is what the books must end at.
"""

import enum
from collections import deque

import msgspec
from tests.payments.scripted import ScriptedChannel, declined

from tongbao.channels.schema import (
    Action,
    ActionKind,
    Answer,
    Authorize,
    Follow,
    Inquire,
    Operation,
    Outcome,
    Reason,
)


class Fate(enum.StrEnum):
    """What becomes of one call."""

    DONE = "done"
    DECLINED = "declined"
    DONE_UNTOLD = "done_untold"  # it happened, and the answer was lost
    LOST = "lost"  # it never arrived, and nobody knows
    LATE = "late"  # it arrives some time, and nobody knows
    NOT_SENT = "not_sent"
    PENDING = "pending"  # it happened, and the channel says so later
    ASKS_PAYER = "asks_payer"


class Truth(msgspec.Struct):
    """One authorization as it really stands at the channel; amounts are minor units."""

    call: Authorize
    total_minor: int
    is_held: bool = False
    is_over: bool = False
    waits: bool = False
    was_declined: bool = False
    captured_minor: int = 0
    refunded_minor: int = 0

    @property
    def net_minor(self) -> int:
        """What the channel took and did not give back."""
        return self.captured_minor - self.refunded_minor


class TruthfulChannel(ScriptedChannel):
    """Approves everything unless ``fates`` says otherwise; idempotent by our references."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.fates: deque[Fate] = deque()
        self.truths: dict[str, Truth] = {}
        self.late: list[Authorize] = []
        self.acts: dict[str, Answer] = {}
        self.told: list[tuple[str, Answer]] = []
        self.sent_authorizations: list[str] = []

    def _fate(self) -> Fate:
        return self.fates.popleft() if self.fates else Fate.DONE

    async def authorize(self, call: Authorize) -> Answer:
        assert call.reference not in self.sent_authorizations, "one reference is sent once"
        self.sent_authorizations.append(call.reference)
        match fate := self._fate():
            case Fate.NOT_SENT:
                return Answer(outcome=Outcome.NOT_SENT)
            case Fate.LOST:
                return Answer(outcome=Outcome.UNRESOLVED)
            case Fate.LATE:
                self.late.append(call)
                return Answer(outcome=Outcome.UNRESOLVED)
        truth = self.truths[call.reference] = Truth(call, call.amount_minor)
        if fate is Fate.DECLINED:
            truth.was_declined = truth.is_over = True
            return self._tell(call.reference)
        if fate is Fate.ASKS_PAYER:
            truth.waits = True
            return self._standing(truth)
        self._pay(truth)
        if fate is Fate.DONE_UNTOLD:
            return Answer(outcome=Outcome.UNRESOLVED)
        if fate is Fate.PENDING:
            return Answer(outcome=Outcome.PENDING)
        return self._tell(call.reference)

    async def capture(self, call: Follow) -> Answer:
        return self._act(call, Operation.CAPTURE)

    async def increment(self, call: Follow) -> Answer:
        return self._act(call, Operation.INCREMENT)

    async def void(self, call: Follow) -> Answer:
        return self._act(call, Operation.VOID)

    async def refund(self, call: Follow) -> Answer:
        return self._act(call, Operation.REFUND)

    async def inquire(self, call: Inquire) -> Answer:
        if self._fate() in (Fate.LOST, Fate.NOT_SENT):
            return Answer(outcome=Outcome.UNRESOLVED)
        if call.operation is not Operation.AUTHORIZE:
            return self.acts.get(call.reference, Answer(outcome=Outcome.NOT_FOUND))
        truth = self.truths.get(call.reference)
        return Answer(outcome=Outcome.NOT_FOUND) if truth is None else self._standing(truth)

    def payer_acts(self, *, pays: bool) -> None:
        """Let every payer who is asked pay, or turn away."""
        for reference, truth in self.truths.items():
            if truth.waits:
                truth.waits = False
                if pays:
                    self._pay(truth)
                else:
                    truth.was_declined = truth.is_over = True
                self._tell(reference)

    def let_arrive(self) -> None:
        """Let calls arrive that were on their way."""
        for call in self.late:
            if call.reference not in self.truths:
                truth = self.truths[call.reference] = Truth(call, call.amount_minor)
                self._pay(truth)
                self._tell(call.reference)
        self.late.clear()

    def _pay(self, truth: Truth) -> None:
        truth.is_held = not truth.call.capture
        truth.is_over = truth.call.capture
        truth.captured_minor = truth.total_minor if truth.call.capture else 0

    def _tell(self, reference: str) -> Answer:
        answer = self._standing(self.truths[reference])
        self.told.append((reference, answer))
        return answer

    def _standing(self, truth: Truth) -> Answer:
        if truth.waits:
            action = Action(kind=ActionKind.SHOW_QR, qr_text="qr")
            return Answer(outcome=Outcome.ACTION_REQUIRED, action=action)
        if truth.was_declined:
            return declined(Reason.CARD_EXPIRED)
        if truth.captured_minor:
            return _yes(truth.captured_minor, captured=True)
        if truth.is_held:
            return _yes(truth.total_minor)
        return Answer(outcome=Outcome.DECLINED, voided=True, reason=Reason.EXPIRED)

    def _act(self, call: Follow, operation: Operation) -> Answer:
        known = self.acts.get(call.reference)
        if known is not None:
            return known
        fate = self._fate()
        if fate is Fate.NOT_SENT:
            return Answer(outcome=Outcome.NOT_SENT)
        if fate in (Fate.LOST, Fate.LATE) or (fate is Fate.DECLINED and call.reason == "late success"):
            return Answer(outcome=Outcome.UNRESOLVED)
        did = fate is not Fate.DECLINED and self._do(call, operation)
        moved = None if operation is Operation.VOID else call.amount_minor
        answer = _yes(moved) if did else declined(Reason.STATE_INVALID)
        self.acts[call.reference] = answer
        if did and operation is not Operation.REFUND:
            self._tell(call.authorization_reference)
        if fate is Fate.DONE_UNTOLD:
            return Answer(outcome=Outcome.UNRESOLVED)
        return Answer(outcome=Outcome.PENDING) if fate is Fate.PENDING else answer

    def _do(self, call: Follow, operation: Operation) -> bool:
        """Do an act at the channel; return whether it could be done."""
        truth = self.truths.get(call.authorization_reference)
        if truth is None:
            return False
        match operation:
            case Operation.CAPTURE:
                possible = truth.is_held and truth.captured_minor + call.amount_minor <= truth.total_minor
                if possible:
                    truth.captured_minor += call.amount_minor
                    truth.is_held = not call.final and truth.captured_minor < truth.total_minor
            case Operation.INCREMENT:
                possible = truth.is_held
                truth.total_minor += call.amount_minor if possible else 0
            case Operation.VOID:
                possible = truth.is_held or truth.waits
                if possible:
                    truth.is_held = truth.waits = False
            case _:
                possible = call.amount_minor <= truth.net_minor
                truth.refunded_minor += call.amount_minor if possible else 0
        return possible


def _yes(amount_minor: int | None, *, captured: bool = False) -> Answer:
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=amount_minor,
        currency=None if amount_minor is None else "CNY",
        captured=captured,
    )
