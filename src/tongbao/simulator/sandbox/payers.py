"""The people on the other side: they scan, pay, walk away and complain; and what time does by itself.

By hand through the control API and the payer's pages, or by themselves as ``behavior.Payers`` says.
"""

from tongbao.simulator.sandbox.behavior import Ask
from tongbao.simulator.sandbox.declines import Decline
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.issuers import Issuers, is_asking
from tongbao.simulator.sandbox.schema import PAYABLE, Act, Dispute, Operation, Payment, Refusal, State

DISPUTE_REASON = "10.4"
"""Visa's code for fraud in card-absent payments, the commonest dispute of all."""


class Payers:
    """Acts of payers on payments, told to the merchant by the teller of the channel."""

    def __init__(self, desk: Desk, issuers: Issuers) -> None:
        self._desk = desk
        self._issuers = issuers

    def resume(self) -> None:
        """Take up after a restart what was under way: refunds, and payments to be decided later."""
        for payment in self._desk.world.payments():
            if payment.state is State.PENDING:
                self.decide_later(payment)
            if is_asking(payment):
                self._issuers.lapse_later(payment)
            for act in payment.refunds():
                if not act.done:
                    self.finish_later(payment, act)

    def expect(self, payment: Payment) -> None:
        """Let a payer come by and pay or cancel, where the channel has payers of its own."""
        habits = self._desk.behaviors.habits(payment.channel).payers
        rng = self._desk.behaviors.draw(payment.channel, "payer")
        roll, delay_s = rng.random(), habits.delay.draw_ms(rng) / 1000
        if roll < habits.pays_prob:
            self._desk.later(delay_s, lambda: self._come_and(payment, pays=True))
        elif roll < habits.pays_prob + habits.cancels_prob:
            self._desk.later(delay_s, lambda: self._come_and(payment, pays=False))

    def _come_and(self, payment: Payment, *, pays: bool) -> None:
        if pays:
            self.pay(payment)
        else:
            self.cancel(payment)

    def scan(self, payment: Payment) -> None:
        """Scan the code: from now on the channel knows the payment."""
        if not self._desk.world.expire(payment):
            self._desk.world.scan(payment)

    def pay(self, payment: Payment) -> Refusal | Decline | None:
        """Pay what waits; None when it worked. The same person paying twice pays once.

        Where the issuer asks, this is to pass its check.
        """
        if is_asking(payment):
            self._issuers.conclude(payment, is_passed=True)
            return None if payment.decline is None else Decline(payment.decline)
        world, behaviors = self._desk.world, self._desk.behaviors
        self.scan(payment)
        if payment.state not in PAYABLE:
            return Refusal.EXPIRED if world.expire(payment) else Refusal.STATE_INVALID
        ask = Ask(operation=Operation.PAY, reference=payment.reference, amount_minor=payment.amount_minor)
        plan = behaviors.plan(payment.channel, ask, self._desk.elapsed_s)
        if plan.decline is not None:
            world.note(payment, last_decline=plan.decline)
            return plan.decline
        refused = world.approve(payment, captured=True, tampered_by_minor=plan.tampered_by_minor)
        if refused is None:
            self.paid(payment, disputed=plan.disputed)
        return refused

    def cancel(self, payment: Payment) -> Refusal | None:
        """Walk away for good: the payment is closed unpaid; where the issuer asks, its check has failed."""
        if is_asking(payment):
            self._issuers.conclude(payment, is_passed=False)
            return None
        if payment.state not in PAYABLE:
            return Refusal.STATE_INVALID
        self._desk.world.void(payment, f"payer_{payment.reference}")
        return None

    def paid(self, payment: Payment, *, disputed: bool = False, tell: bool = True) -> None:
        """Do what follows an approval: tell the merchant, and let the payer complain where that is planned."""
        if tell:
            self._desk.tellers[payment.channel].tell_decided(payment)
        if disputed:
            delay_s = self._desk.behaviors.habits(payment.channel).dispute_ms / 1000
            self._desk.later(delay_s, lambda: self._complain(payment))

    def _complain(self, payment: Payment) -> None:
        self.dispute(payment, DISPUTE_REASON)

    def dispute(
        self, payment: Payment, reason_code: str, amount_minor: int | None = None
    ) -> Dispute | Refusal:
        """Open a dispute and tell the merchant."""
        dispute = self._desk.world.dispute(payment, reason_code, amount_minor)
        if isinstance(dispute, Dispute):
            self._desk.tellers[payment.channel].tell_disputed(payment, dispute)
        return dispute

    def resolve(self, payment: Payment, dispute: Dispute, status: str) -> None:
        """End a dispute and tell the merchant."""
        self._desk.world.resolve(payment, dispute, status)
        self._desk.tellers[payment.channel].tell_disputed(payment, dispute)

    def decide_later(self, payment: Payment) -> None:
        """Decide a pending payment at its time: the reason of a coming no is in the book already."""
        assert payment.finish_at is not None
        self._desk.later(self._desk.until(payment.finish_at), lambda: self._decide(payment))

    def _decide(self, payment: Payment) -> None:
        if payment.state is not State.PENDING:
            return
        if payment.decline is not None:
            self._desk.world.decline(payment, payment.decline)
            self._desk.tellers[payment.channel].tell_decided(payment)
            return
        self._desk.world.approve(payment, captured=payment.details.get("capture") == "yes")
        self.paid(payment)

    def finish_later(self, payment: Payment, act: Act) -> None:
        """Finish a refund at its time and tell the merchant."""
        assert act.finish_at is not None
        self._desk.later(self._desk.until(act.finish_at), lambda: self.finish(payment, act))

    def finish(self, payment: Payment, act: Act) -> None:
        """Finish a refund now and tell the merchant."""
        self._desk.world.finish(payment, act)
        self._desk.tellers[payment.channel].tell_refunded(payment, act)
