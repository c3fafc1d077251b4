"""The books of the outside world: what every channel believes to have happened, by the merchant's reference.

Idempotent as the real ones are: a reference that is known with the same amount is the same payment, with another
amount it is refused. Nothing is taken twice, no more is claimed than was approved and no more goes back than was
claimed. Drills read from here what the payer was really charged.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.errors import LimitExceeded
from tongbao.simulator.sandbox.journal import Journal
from tongbao.simulator.sandbox.schema import (
    FINISHED,
    PAYABLE,
    Act,
    Dispute,
    Operation,
    Payment,
    Purpose,
    Refusal,
    State,
)

PAYMENTS_MAX = 1_000_000
ACTS_MAX = 1_000
"""Most captures, refunds, increments and voids of one payment."""
CHANNEL_REFERENCE_DIGITS = 28
RESPOND_DAYS = 7


class World:
    """All payments and payouts. Every change is appended to the journal; ``settled`` waits until it is on disk."""

    def __init__(self, clock: Clock, seed: int, journal: Journal | None = None) -> None:
        self._clock = clock
        self._seed = seed
        self._journal = journal
        self._payments: dict[tuple[str, str], Payment] = {}
        self._by_channel_reference: dict[str, Payment] = {}
        self._by_act: dict[tuple[str, str], Payment] = {}
        for payment in journal.replay() if journal else ():
            self._index(payment)

    def payment(self, channel: str, reference: str) -> Payment | None:
        """Return the payment or payout of this reference in one channel."""
        return self._payments.get((channel, reference))

    def by_channel_reference(self, channel_reference: str) -> Payment | None:
        """Return the payment that a channel calls so."""
        return self._by_channel_reference.get(channel_reference)

    def by_act(self, channel: str, reference: str) -> tuple[Payment, Act] | None:
        """Return the act of this reference in one channel, with its payment."""
        payment = self._by_act.get((channel, reference))
        return None if payment is None else (payment, payment.acts[reference])

    def payments(self, *, channel: str | None = None, reference: str | None = None) -> list[Payment]:
        """Return payments and payouts, oldest first, of one channel and of one reference where these are given."""
        return [
            payment
            for payment in self._payments.values()
            if channel in (None, payment.channel) and reference in (None, payment.reference)
        ]

    def taken_minor(self, references: Iterable[str]) -> Counter[str]:
        """Return by currency what payers are poorer by under these references, over all channels."""
        wanted = set(references)
        taken: Counter[str] = Counter()
        for payment in self._payments.values():
            if payment.reference in wanted:
                taken[payment.currency] += payment.taken_minor
        return taken

    async def settled(self) -> None:
        """Return when every change so far is on disk; at once without a journal."""
        if self._journal is not None:
            await self._journal.settled()

    def ask(
        self,
        channel: str,
        reference: str,
        amount_minor: int,
        currency: str,
        *,
        purpose: Purpose = Purpose.PAYMENT,
        state: State = State.WAITING,
        expires_at: datetime | None = None,
        details: dict[str, str] | None = None,
    ) -> Payment | Refusal:
        """Return the payment of this reference, opened now unless it is known; count the ask.

        ``Refusal.REFERENCE_CONFLICT`` where it is known with another amount, currency or purpose.
        """
        known = self.payment(channel, reference)
        if known is not None:
            same = (known.details.get("asked_minor"), known.currency, known.purpose)
            if same != (str(amount_minor), currency, purpose):
                return Refusal.REFERENCE_CONFLICT
            known.asked += 1
            self._keep(known)
            return known
        if len(self._payments) >= PAYMENTS_MAX:
            raise LimitExceeded("sandbox_full", f"the sandbox holds at most {PAYMENTS_MAX} payments")
        payment = Payment(
            channel=channel,
            reference=reference,
            channel_reference=self._number(channel, reference),
            purpose=purpose,
            amount_minor=amount_minor,
            currency=currency,
            state=state,
            scanned=state is not State.PRESENTED,
            opened_at=self._clock.now(),
            expires_at=expires_at,
            details=(details or {}) | {"asked_minor": str(amount_minor)},
        )
        self._index(payment)
        self._keep(payment)
        return payment

    def note(self, payment: Payment, **details: str) -> None:
        """Keep more about a payment."""
        payment.details |= details
        self._keep(payment)

    def scan(self, payment: Payment) -> None:
        """Let a payer stand before it."""
        if payment.state is State.PRESENTED:
            payment.state = State.WAITING
            payment.scanned = True
            self._keep(payment)

    def postpone(self, payment: Payment, delay_ms: float, decline: str | None) -> None:
        """Accept it and decide later: then approve it, or decline it where a reason is given."""
        payment.state = State.PENDING
        payment.decline = decline
        payment.finish_at = self._clock.now() + timedelta(milliseconds=delay_ms)
        self._keep(payment)

    def approve(
        self,
        payment: Payment,
        *,
        captured: bool,
        tampered_by_minor: int = 0,
        approve_minor: int | None = None,
    ) -> Refusal | None:
        """Grant the amount, or ``approve_minor`` of it where that is less; claim it where ``captured``."""
        if payment.state not in PAYABLE | {State.PENDING}:
            return Refusal.STATE_INVALID
        if self.expire(payment):
            return Refusal.EXPIRED
        payment.state = State.CAPTURED if captured else State.AUTHORIZED
        payment.approved_minor = min(payment.amount_minor, approve_minor or payment.amount_minor)
        payment.captured_minor = payment.approved_minor if captured else 0
        payment.closed_for_capture = captured
        payment.tampered_minor = tampered_by_minor
        payment.approval_code = payment.channel_reference[-6:]
        payment.decline = None
        self._decide(payment)
        return None

    def decline(self, payment: Payment, reason: str) -> None:
        """Refuse it for good."""
        payment.state = State.DECLINED
        payment.decline = reason
        self._decide(payment)

    def expire(self, payment: Payment) -> bool:
        """Close a payment whose time to be paid is over; return whether it was."""
        late = payment.expires_at is not None and self._clock.now() >= payment.expires_at
        if late and payment.state in PAYABLE:
            payment.state = State.VOIDED
            self._decide(payment)
        return late and payment.state is State.VOIDED

    def bury(self, channel: str, reference: str, currency: str) -> None:
        """Remember that a payment that never came was reversed: should it come now, it is dead."""
        grave = self.ask(channel, reference, 0, currency, state=State.VOIDED, details={"grave": "yes"})
        assert isinstance(grave, Payment)
        grave.asked = 0
        self._decide(grave)

    def increment(self, payment: Payment, reference: str, amount_minor: int) -> Act | Refusal:
        """Grant ``amount_minor`` more on an open authorization."""
        known = self._known(payment, Operation.INCREMENT, reference, amount_minor)
        if known is not None:
            return known
        if payment.state is not State.AUTHORIZED:
            return Refusal.STATE_INVALID
        payment.amount_minor += amount_minor
        payment.approved_minor += amount_minor
        return self._act(payment, Operation.INCREMENT, reference, amount_minor)

    def capture(self, payment: Payment, reference: str, amount_minor: int, *, final: bool) -> Act | Refusal:
        """Claim ``amount_minor`` of what was approved; ``final`` lets go of the rest."""
        known = self._known(payment, Operation.CAPTURE, reference, amount_minor)
        if known is not None:
            return known
        if payment.state not in (State.AUTHORIZED, State.CAPTURED) or payment.closed_for_capture:
            return Refusal.STATE_INVALID
        if payment.captured_minor + amount_minor > payment.approved_minor:
            return Refusal.AMOUNT_TOO_LARGE
        payment.captured_minor += amount_minor
        payment.state = State.CAPTURED
        payment.closed_for_capture = final or payment.captured_minor == payment.approved_minor
        return self._act(payment, Operation.CAPTURE, reference, amount_minor)

    def void(self, payment: Payment, reference: str) -> Act | Refusal:
        """Give it back: close it unpaid, let go of what is held, or undo its capture where nothing was refunded.

        Where a part was captured and the rest is still held, the rest is let go of and the captured part stays.
        """
        known = self._known(payment, Operation.VOID, reference, None)
        if known is not None:
            return known
        if payment.state in FINISHED or payment.reserved_for_refunds_minor:
            return Refusal.STATE_INVALID
        if payment.state is State.CAPTURED and not payment.closed_for_capture:
            payment.closed_for_capture = True
            given_back_minor = payment.approved_minor - payment.captured_minor
        else:
            given_back_minor = payment.captured_minor or payment.approved_minor
            payment.state = State.VOIDED
            payment.captured_minor = 0
            payment.decided_at = payment.decided_at or self._clock.now()
        return self._act(payment, Operation.VOID, reference, given_back_minor)

    def refund(
        self, payment: Payment, reference: str, amount_minor: int, delay_ms: float = 0.0
    ) -> Act | Refusal:
        """Send ``amount_minor`` back, now or ``delay_ms`` later (``finish`` does it)."""
        known = self._known(payment, Operation.REFUND, reference, amount_minor)
        if known is not None:
            return known
        if payment.state is not State.CAPTURED or payment.purpose is not Purpose.PAYMENT:
            return Refusal.STATE_INVALID
        if payment.reserved_for_refunds_minor + amount_minor > payment.captured_minor:
            return Refusal.AMOUNT_TOO_LARGE
        finish_at = self._clock.now() + timedelta(milliseconds=delay_ms) if delay_ms else None
        return self._act(payment, Operation.REFUND, reference, amount_minor, finish_at)

    def refuse(
        self, payment: Payment, operation: Operation, reference: str, amount_minor: int, reason: str
    ) -> Act | Refusal:
        """Keep an act that the channel says no to; it moves nothing."""
        known = self._known(payment, operation, reference, amount_minor)
        if known is not None:
            return known
        act = self._act(payment, operation, reference, amount_minor)
        act.done, act.decline = False, reason
        self._keep(payment)
        return act

    def finish(self, payment: Payment, act: Act) -> None:
        """Let an act that was under way be done."""
        act.done = True
        self._keep(payment)

    def dispute(
        self, payment: Payment, reason_code: str, amount_minor: int | None = None
    ) -> Dispute | Refusal:
        """Open a dispute about all that was taken, or about ``amount_minor`` of it; no money moves yet."""
        amount_minor = payment.taken_minor if amount_minor is None else amount_minor
        if not 0 < amount_minor <= payment.taken_minor:
            return Refusal.STATE_INVALID if payment.taken_minor == 0 else Refusal.AMOUNT_TOO_LARGE
        if len(payment.disputes) >= ACTS_MAX:
            return Refusal.STATE_INVALID
        now = self._clock.now()
        dispute = Dispute(
            reference=f"dsp_{self._number(payment.channel, f'{payment.reference}/{len(payment.disputes)}')}",
            reason_code=reason_code,
            amount_minor=amount_minor,
            status="needs_response",
            opened_at=now,
            respond_by=now + timedelta(days=RESPOND_DAYS),
        )
        payment.disputes[dispute.reference] = dispute
        self._keep(payment)
        return dispute

    def resolve(self, payment: Payment, dispute: Dispute, status: str) -> None:
        """End a dispute as ``won``, ``lost`` or ``withdrawn``, from the merchant's point of view."""
        dispute.status = status
        dispute.ended_at = self._clock.now()
        self._keep(payment)

    def _known(
        self, payment: Payment, operation: Operation, reference: str, amount_minor: int | None
    ) -> Act | Refusal | None:
        """Return the act of this reference (and count the ask), a refusal of a new one, or None for "go on"."""
        act = payment.acts.get(reference)
        if act is None:
            return Refusal.STATE_INVALID if len(payment.acts) >= ACTS_MAX else None
        if act.operation is not operation or amount_minor not in (None, act.amount_minor):
            return Refusal.REFERENCE_CONFLICT
        act.asked += 1
        self._keep(payment)
        return act

    def _act(
        self,
        payment: Payment,
        operation: Operation,
        reference: str,
        amount_minor: int,
        finish_at: datetime | None = None,
    ) -> Act:
        act = Act(
            operation=operation,
            reference=reference,
            channel_reference=self._number(payment.channel, f"{payment.reference}/{operation}/{reference}"),
            amount_minor=amount_minor,
            done=finish_at is None,
            at=self._clock.now(),
            finish_at=finish_at,
        )
        payment.acts[reference] = act
        self._by_act[payment.channel, reference] = payment
        self._keep(payment)
        return act

    def _decide(self, payment: Payment) -> None:
        payment.decided_at = self._clock.now()
        payment.finish_at = None
        self._keep(payment)

    def _number(self, channel: str, reference: str) -> str:
        """Return the channel's own number for something: digits, always the same, unlike any other."""
        digest = hashlib.sha256(f"{self._seed}/{channel}/{reference}".encode()).digest()
        return f"42{int.from_bytes(digest, 'big') % 10 ** (CHANNEL_REFERENCE_DIGITS - 2):026d}"

    def _index(self, payment: Payment) -> None:
        self._payments[payment.channel, payment.reference] = payment
        self._by_channel_reference[payment.channel_reference] = payment
        for reference in payment.acts:
            self._by_act[payment.channel, reference] = payment

    def _keep(self, payment: Payment) -> None:
        if self._journal is not None:
            self._journal.append(payment)


def as_fact(payment: Payment) -> dict[str, object]:
    """Return a payment as the control API shows it: every field, and the sums that follow from them."""
    shown: dict[str, object] = msgspec.to_builtins(payment)
    return shown | {"refunded_minor": payment.refunded_minor, "taken_minor": payment.taken_minor}
