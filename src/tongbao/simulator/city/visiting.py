"""The honest visits of one day: who goes out, where, when, for what, and what comes of it later.

How often a payer goes out is a Poisson count around the city's visits shared out by salary, the day's factor, the mood and
the days since payday. Each payer's day has chance of its own, so one payer more changes nothing for the others but their
share of the city's visits.
"""

import random
from datetime import timedelta
from typing import NamedTuple

from tongbao.simulator.city import days
from tongbao.simulator.city.chances import after, chance, instant, poisson
from tongbao.simulator.city.habits import purse
from tongbao.simulator.city.people import AFTER_PAYDAY_DAYS, BEFORE_PAYDAY_DAYS, days_since_payday, mood
from tongbao.simulator.city.schema import Card, Day, Means, Mood, Payer, Shop, Visit
from tongbao.simulator.city.shops import price, scale_of
from tongbao.simulator.city.town import Town
from tongbao.simulator.city.trades import TRADES

GOING_OUT = {Mood.CALM: 1.0, Mood.BUSY: 0.75, Mood.CHEERFUL: 1.3, Mood.THRIFTY: 0.7}
SPENDING = {Mood.CALM: 1.0, Mood.BUSY: 0.95, Mood.CHEERFUL: 1.2, Mood.THRIFTY: 0.75}
ORDINARY_MOOD = 0.955
"""Mean of ``GOING_OUT`` over the moods of an ordinary working day: the counts are shared out so that it cancels."""
RICH_AFTER_PAYDAY, POOR_BEFORE_PAYDAY = 1.3, 0.85
FIRST_CARD_PROB = 0.75
PASSES_PROB = 0.94
"""Honest payers who finish a step-up; the rest lose patience, or the code."""
TICKETS = (0.1, 12.0)
"""No ticket is smaller or larger than so many times what is usual for the shop."""
FULL_REFUND_PROB = 0.8
PART_SHARES = (0.25, 0.5, 0.75)
CAPTURED_PARTS = (0.1, 0.9)
_LOCAL = "CNY"


class Bill(NamedTuple):
    """What comes after a visit: a refund, a dispute, or nothing."""

    refund_after: timedelta | None = None
    refund_share: float = 1.0
    dispute_after: timedelta | None = None


def honest_visits(town: Town, day: Day) -> list[Visit]:
    """Return the honest visits of a day, by payers, not numbered yet."""
    kinds = days.kind_factors(day)
    factors = town.habits.shop_factors(day, kinds)
    if not any(factors):
        return []
    expected = town.terms.visits_per_day * days.day_factor(day) / ORDINARY_MOOD / town.activity
    found: list[Visit] = []
    for payer in town.people:
        feeling = mood(town.terms.seed, payer, day)
        rng = chance(town.terms.seed, "visits", day.on, payer.number)
        mean = expected * purse(payer) * GOING_OUT[feeling] * _payday_factor(payer, day)
        for _ in range(poisson(rng, mean)):
            likings = [
                like * factor for like, factor in zip(town.habits.likings(payer), factors, strict=True)
            ]
            shop = rng.choices(town.shops, likings)[0]
            found.append(_visit(town, day, payer, shop, feeling, rng))
    return found


def ticket_minor(rng: random.Random, shop: Shop, factor: float) -> int:
    """Return an amount in minor units of the shop's currency, log-normal around its ticket times ``factor``."""
    times = min(max(factor * rng.lognormvariate(0.0, shop.spread), TICKETS[0]), TICKETS[1])
    return price(shop.ticket_minor * times / scale_of(shop.currency), shop.currency)


def means_of(rng: random.Random, payer: Payer, shop: Shop, *, is_busy: bool) -> tuple[Means, ...]:
    """Return the means that a payer will try, in order; wallets take yuan only, and who is busy tries two at most."""
    if shop.currency != _LOCAL:
        return (Means.CARD,)
    left = dict(payer.means)
    order: list[Means] = []
    while left and len(order) < (2 if is_busy else 3):
        chosen = rng.choices(tuple(left), tuple(left.values()))[0]
        order.append(chosen)
        del left[chosen]
    return tuple(order)


def card_of(rng: random.Random, payer: Payer) -> Card:
    """Return the card that a payer takes out: nearly always the same one."""
    if len(payer.cards) == 1 or rng.random() < FIRST_CARD_PROB:
        return payer.cards[0]
    return rng.choice(payer.cards[1:])


def _visit(town: Town, day: Day, payer: Payer, shop: Shop, feeling: Mood, rng: random.Random) -> Visit:
    means = means_of(rng, payer, shop, is_busy=feeling is Mood.BUSY)
    trade = TRADES[shop.kind]
    is_manual = means[0] is Means.CARD and rng.random() < trade.manual_share
    is_whole = not is_manual or rng.random() < trade.whole_share
    if is_manual:
        means = (Means.CARD,)
    bill = _bill(rng, shop)
    return Visit(
        number=0,
        at=instant(day.on, town.habits.second(rng, shop, day), town.zone),
        shop=shop.number,
        payer=payer.number,
        amount_minor=ticket_minor(rng, shop, purse(payer) * SPENDING[feeling]),
        currency=shop.currency,
        item=rng.choice(shop.goods),
        attempt_means=means,
        card=card_of(rng, payer) if Means.CARD in means else None,
        device=payer.device,
        address=payer.address,
        email=payer.email,
        passes_step_up=rng.random() < PASSES_PROB,
        is_manual=is_manual,
        capture_share=1.0 if is_whole else round(rng.uniform(*CAPTURED_PARTS), 2),
        refund_after=bill.refund_after,
        refund_share=bill.refund_share,
        dispute_after=bill.dispute_after,
    )


def _bill(rng: random.Random, shop: Shop) -> Bill:
    roll = rng.random()
    if roll < shop.refund_share:
        share = 1.0 if rng.random() < FULL_REFUND_PROB else rng.choice(PART_SHARES)
        return Bill(after(rng, 1.5, 0.9, (0.02, 20.0)), share)
    if roll < shop.refund_share + shop.dispute_share:
        return Bill(dispute_after=after(rng, 12.0, 0.6, (2.0, 60.0)))
    return Bill()


def _payday_factor(payer: Payer, day: Day) -> float:
    since = days_since_payday(payer, day)
    if since < AFTER_PAYDAY_DAYS:
        return RICH_AFTER_PAYDAY
    return POOR_BEFORE_PAYDAY if since >= 30 - BEFORE_PAYDAY_DAYS else 1.0
