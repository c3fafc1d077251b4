"""What a mandate permits, and how its caps are used up.

A payment is counted when it is sent, under the mandate's version, so two payments at once cannot both take the last of
a cap. A decline is not counted back: a cap may forbid a little too early and never too late.
"""

from datetime import datetime, timedelta

from tongbao.payments.errors import WrongState
from tongbao.payments.schema.methods import Mandate, MandateState, PaymentMethod, Period

_LENGTH = {
    Period.DAY: timedelta(days=1),
    Period.WEEK: timedelta(days=7),
    Period.MONTH: timedelta(days=30),
    Period.YEAR: timedelta(days=365),
}


def check(
    mandate: Mandate, method: PaymentMethod | None, amount_minor: int, currency: str, now: datetime
) -> None:
    """Raise WrongState where a mandate does not permit a payment: ``mandate_paused``, or ``mandate_invalid`` saying why."""
    if mandate.state is MandateState.PAUSED:
        raise WrongState(
            "mandate_paused", f"{mandate.reference} was paused by its payer", mandate=mandate.reference
        )
    why = _objection(mandate, method, amount_minor, currency, now)
    if why is not None:
        raise WrongState("mandate_invalid", f"{mandate.reference} {why}", mandate=mandate.reference)


def paused(mandate: Mandate, now: datetime, *, is_paused: bool) -> Mandate | None:
    """Return a mandate that its payer pauses or lets go on; None where it stands so already.

    Raises WrongState ``mandate_ended`` for one that is not in force.
    """
    if mandate.state not in (MandateState.ACTIVE, MandateState.PAUSED):
        raise WrongState(
            "mandate_ended", f"{mandate.reference} is {mandate.state}", mandate=mandate.reference
        )
    wanted = MandateState.PAUSED if is_paused else MandateState.ACTIVE
    return None if mandate.state is wanted else mandate.changed(now, state=wanted)


def used(mandate: Mandate, amount_minor: int, currency: str, now: datetime) -> Mandate:
    """Return the mandate with one more payment counted; a single-use one is spent by it."""
    began, minor, count = _period(mandate, now)
    return mandate.changed(
        now,
        state=MandateState.INACTIVE if mandate.single_use else mandate.state,
        currency=mandate.currency or currency,
        period_began_at=began,
        used_minor=minor + amount_minor,
        used_count=count + 1,
    )


def _objection(
    mandate: Mandate, method: PaymentMethod | None, amount_minor: int, currency: str, now: datetime
) -> str | None:
    _, minor, count = _period(mandate, now)
    checks = (
        (mandate.state is not MandateState.ACTIVE, "is not active"),
        (mandate.ends_at is not None and now >= mandate.ends_at, "has ended"),
        (method is None or method.id != mandate.method_id, "is for another payment method"),
        (mandate.currency not in (None, currency), f"is in {mandate.currency}"),
        (
            mandate.amount_minor_max is not None and amount_minor > mandate.amount_minor_max,
            f"permits at most {mandate.amount_minor_max} a payment",
        ),
        (
            mandate.period_minor_max is not None and minor + amount_minor > mandate.period_minor_max,
            f"permits at most {mandate.period_minor_max} a {mandate.period}, of which {minor} are used",
        ),
        (
            mandate.period_count_max is not None and count + 1 > mandate.period_count_max,
            f"permits at most {mandate.period_count_max} payments a {mandate.period}",
        ),
    )
    return next((why for wrong, why in checks if wrong), None)


def _period(mandate: Mandate, now: datetime) -> tuple[datetime, int, int]:
    """Return when the running period began, and what it has seen so far."""
    began = mandate.period_began_at
    if began is None:
        return now, 0, 0
    if mandate.period is not None and now >= began + _LENGTH[mandate.period]:
        passed = (now - began) // _LENGTH[mandate.period]
        return began + passed * _LENGTH[mandate.period], 0, 0
    return began, mandate.used_minor, mandate.used_count
