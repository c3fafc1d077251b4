"""Hard caps: whether a payment may still go over a channel. A cap is a promise to somebody else and fails closed."""

from tongbao.decisions.schema.log import Fact, Why
from tongbao.routing.policy.volumes import total_in
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import Cap
from tongbao.routing.schema.volumes import Convert, Used

CAP_AMOUNT = "cap_amount"
CAP_DAY = "cap_day"
CAP_MONTH = "cap_month"
CAP_COUNT = "cap_count"
CAP_RATE_UNKNOWN = "cap_rate_unknown"
"""The cap is in another currency and there is no rate: a payment that cannot be measured does not go there."""


def passed(cap: Cap, payment: Payment, used: Used, convert: Convert) -> Why | None:
    """Return which cap ``payment`` would pass, None where it may go.

    Checked in this order: count of the day, rate, single amount, day, month. A payment that just reaches a cap may go.
    Facts are minor units in the cap's currency: ``max``, ``used`` and ``amount``. Volume in currencies without a rate is left
    out of ``used`` and told by ``is_partial``.
    """
    if cap.day_count_max is not None and used.day_count >= cap.day_count_max:
        return Why(CAP_COUNT, {"max": cap.day_count_max, "used": used.day_count})
    limits = (cap.amount_minor_max, cap.day_minor_max, cap.month_minor_max)
    if all(each is None for each in limits):
        return None
    minor: int | None = payment.amount_minor
    if payment.currency != cap.currency:
        minor = convert(payment.amount_minor, payment.currency, cap.currency)
    if minor is None:
        return Why(CAP_RATE_UNKNOWN, {"currency": payment.currency, "cap_currency": cap.currency})
    single, day, month = limits
    if single is not None and minor > single:
        return Why(CAP_AMOUNT, {"max": single, "amount": minor, "currency": cap.currency})
    for code, limit, volumes in ((CAP_DAY, day, used.day_minor), (CAP_MONTH, month, used.month_minor)):
        if limit is None:
            continue
        total = total_in(volumes, cap.currency, convert)
        if total.minor + minor > limit:
            facts: dict[str, Fact] = {
                "max": limit,
                "used": total.minor,
                "amount": minor,
                "currency": cap.currency,
            }
            return Why(code, facts | ({"is_partial": True} if total.is_partial else {}))
    return None
