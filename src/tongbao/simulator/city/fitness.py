"""What can be acted out: shops, bad hours and visits that somebody else wrote, each looked at by itself."""

from datetime import datetime, timedelta

from tongbao.core import currencies
from tongbao.core.errors import AppError
from tongbao.simulator.city.schema import Means, Shop, Trouble, Visit
from tongbao.simulator.sandbox.declines import passes_luhn

AMOUNT_MINOR_MAX = 10**12
NUMBER_MAX = 2**53
TEXT_MAX = 250
AFTER_MAX = timedelta(days=400)
YEARS = range(2000, 2200)
_NEVER = timedelta()
_MINUTES = 24 * 60


def unfit_visit(visit: Visit) -> str | None:
    """Return what is wrong with a visit by itself; None where it could be acted out."""
    if not (_is_aware(visit.at) and visit.at.year in YEARS):
        return "an instant has a time zone and is of this century or the next"
    if not 0 < visit.amount_minor <= AMOUNT_MINOR_MAX:
        return f"amount_minor is 1 to {AMOUNT_MINOR_MAX}, not {visit.amount_minor}"
    if not 0 <= visit.number <= NUMBER_MAX or (visit.payer is not None and visit.payer < 0):
        return "numbers of visits and payers are not negative"
    if not (0 < visit.refund_share <= 1 and 0 < visit.capture_share <= 1):
        return "refund_share and capture_share are above 0 and at most 1"
    if not visit.attempt_means or len(set(visit.attempt_means)) != len(visit.attempt_means):
        return "attempt_means are one or more, each once"
    if Means.CARD in visit.attempt_means and (visit.card is None or not passes_luhn(visit.card.number)):
        return "a card is to be tried, and there is none with a right number"
    if any(len(text) > TEXT_MAX for text in (visit.item, visit.device, visit.address, visit.email)):
        return f"a text is longer than {TEXT_MAX} characters"
    later = (visit.refund_after, visit.dispute_after, visit.label_after)
    if any(wait is not None and not _NEVER <= wait <= AFTER_MAX for wait in later):
        return f"what comes later comes within {AFTER_MAX.days} days, and not before"
    return None


def unfit_shop(shop: Shop) -> str | None:
    """Return what is wrong with a shop by itself; None where it could be opened."""
    if not _is_currency(shop.currency) or not shop.name or not shop.goods or shop.ticket_minor <= 0:
        return "a shop has a name, a currency of ISO 4217, goods and a ticket above 0"
    if len(shop.hours) != 7 or any(day and not 0 <= day[0] < day[1] <= _MINUTES for day in shop.hours):
        return f"a shop has hours of seven weekdays, from 0 to {_MINUTES} minutes"
    return None


def unfit_trouble(trouble: Trouble) -> str | None:
    """Return what is wrong with a spell of bad health by itself; None where it could happen."""
    if not (_is_aware(trouble.begins_at) and _is_aware(trouble.ends_at)):
        return "an instant without a time zone"
    if trouble.ends_at <= trouble.begins_at:
        return "a trouble ends after it begins"
    return None


def _is_aware(at: datetime) -> bool:
    return at.tzinfo is not None


def _is_currency(code: str) -> bool:
    try:
        currencies.currency(code)
    except AppError:
        return False
    return True
