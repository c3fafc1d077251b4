"""Issuers that make sure of their cardholders (EMV 3-D Secure), as far as an acquirer's merchant sees of it.

An authorization that asks for it is authenticated without a question, or waits until the payer passed or failed on the
issuer's page (``acs_pages``), by the test cards of ``declines``. What came of it is kept with the payment as the wire says
it: ``result/flow/version/eci``.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from tongbao.simulator.sandbox.declines import THREE_DS, Decline, ThreeDs
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.schema import Payment, State

PATIENCE = timedelta(minutes=15)
"""So long an issuer waits for its cardholder; then the authentication has failed."""
VERSION = "2.2.0"
PASSED, FRICTIONLESS = f"authenticated/challenge/{VERSION}/05", f"authenticated/frictionless/{VERSION}/05"
FAILED, BROKEN, ABSENT = (
    f"failed/challenge/{VERSION}/07",
    f"processing_error//{VERSION}/07",
    "not_supported///07",
)
PATH = "/acs/"


class Issuers:
    """Checks cardholders for acquirers. ``base_url`` is where payers reach the sandbox."""

    def __init__(self, desk: Desk, base_url: Callable[[], str]) -> None:
        self._desk = desk
        self._base_url = base_url

    def begin(self, payment: Payment, number: str, back: str, decline: Decline | None) -> bool:
        """Check a payment that was just asked for; return whether it is to be decided now.

        Where the payer has to be asked first, it waits with ``decline`` for what follows a passed check, and with
        ``back`` for where the payer goes then.
        """
        how = ThreeDs.FRICTIONLESS
        if self._desk.behaviors.habits(payment.channel).magic_cards:
            how = THREE_DS.get(number, ThreeDs.FRICTIONLESS)
        if how is ThreeDs.CHALLENGE:
            payment.expires_at = self._desk.clock.now() + PATIENCE
            self._desk.world.note(payment, acs="waiting", back=back, then=decline or "")
            self.lapse_later(payment)
            return False
        if how is ThreeDs.BROKEN:
            self._end(payment, BROKEN, Decline.AUTHENTICATION_FAILED)
            return False
        self._desk.world.note(payment, authentication=ABSENT if how is ThreeDs.ABSENT else FRICTIONLESS)
        return True

    def conclude(self, payment: Payment, *, is_passed: bool) -> None:
        """Take in what the payer did on the issuer's page, and tell the merchant; a second time changes nothing."""
        if not is_asking(payment):
            return
        if self._desk.clock.now() >= _deadline(payment) or not is_passed:
            self._end(payment, FAILED, Decline.AUTHENTICATION_FAILED)
        elif then := payment.details.get("then"):
            self._end(payment, PASSED, Decline(then))
        else:
            self._desk.world.note(payment, acs="over", authentication=PASSED)
            payment.expires_at = None
            self._desk.world.approve(payment, captured=payment.details.get("capture") == "yes")
        self._desk.tellers[payment.channel].tell_decided(payment)

    def lapse(self, payment: Payment) -> None:
        """Let a check fail whose payer did not come in time."""
        if is_asking(payment) and self._desk.clock.now() >= _deadline(payment):
            self.conclude(payment, is_passed=False)

    def lapse_later(self, payment: Payment) -> None:
        """Let a check fail once its time is over."""
        self._desk.later(self._desk.until(_deadline(payment)), lambda: self.lapse(payment))

    def url(self, payment: Payment) -> str:
        """Return the issuer's page for a payment."""
        return f"{self._base_url()}{PATH}{payment.channel_reference}"

    def _end(self, payment: Payment, said: str, decline: Decline) -> None:
        self._desk.world.note(payment, acs="over", authentication=said)
        payment.expires_at = None
        self._desk.world.decline(payment, decline)


def is_asking(payment: Payment) -> bool:
    """Return whether an issuer's page waits for the payer of a payment."""
    return payment.state is State.WAITING and payment.details.get("acs") == "waiting"


def _deadline(payment: Payment) -> datetime:
    assert payment.expires_at is not None
    return payment.expires_at
