"""The shops of a city: all kinds in turn, each with its own hours, tickets and goods.

The order of kinds is fixed, so a small city has varied shops too: the second sells in dollars, the fourth in yen (which
have no decimals), all others of the first round in yuan. Of later rounds every seventh shop sells in dollars.
"""

import random
from decimal import Decimal

from tongbao.core import currencies
from tongbao.simulator.city.chances import chance, checked
from tongbao.simulator.city.schema import CityTerms, Shop, ShopKind
from tongbao.simulator.city.trades import TRADES, Hours

DISTRICTS = 12
ORDER = (
    ShopKind.TEA_HOUSE,
    ShopKind.BOOKSHOP,
    ShopKind.NOODLES,
    ShopKind.GAMES,
    ShopKind.GROCERY,
    ShopKind.HOTEL,
    ShopKind.COFFEE,
    ShopKind.CLOTHES,
    ShopKind.ELECTRONICS,
    ShopKind.BIKES,
    ShopKind.PHARMACY,
    ShopKind.CINEMA,
    ShopKind.FLOWERS,
    ShopKind.UTILITIES,
)
ABROAD = {ShopKind.BOOKSHOP: ("US", "USD"), ShopKind.GAMES: ("JP", "JPY")}
"""Where the first shop of a kind is at home, if not in China."""
DOLLARS_EVERY = 7
PER_YUAN = {"CNY": Decimal(1), "USD": Decimal("0.14"), "JPY": Decimal(21)}
"""Rough worth of a yuan: tickets of shops abroad are like those at home, not a rate that anybody pays by."""
_STEPS = {"CNY": 10, "JPY": 10}
_MINUTES = 24 * 60


def shops(terms: CityTerms) -> tuple[Shop, ...]:
    """Return the shops of a city, numbered from 0; raise InvalidRequest ``city_terms_invalid``."""
    checked(terms)
    return tuple(_shop(terms.seed, number) for number in range(terms.shops))


def scale_of(currency: str) -> int:
    """Return how many minor units a major unit has: 100 for yuan, 1 for yen."""
    return int(10 ** currencies.currency(currency).exponent)


def price(major: float, currency: str) -> int:
    """Return a price near ``major`` units, in minor units and above 0.

    It ends in 0, 49 or 99, as prices do; the sandbox answers none of these endings in a special way.
    """
    scale = scale_of(currency)
    step = _STEPS.get(currency)
    if step is None:
        # What is sold in dollars and the like ends in 99, cheap things in 49 as well.
        whole, ending = max(round(major), 1), 49 if major < 5 and major % 1 < 0.5 else 99
        return scale * (whole - 1) + scale * ending // 100
    return max(round(major * scale / step), 1) * step


def _shop(seed: int, number: int) -> Shop:
    rng = chance(seed, "shop", number)
    kind, turn = ORDER[number % len(ORDER)], number // len(ORDER)
    trade = TRADES[kind]
    name = trade.names[turn % len(trade.names)]
    branch = turn // len(trade.names)
    if branch:
        name = f"{name} No. {branch + 1}"
    country, currency = _home(kind, number)
    major = trade.ticket_minor / 100 * float(PER_YUAN[currency]) * rng.lognormvariate(0.0, 0.15)
    return Shop(
        number=number,
        name=name,
        display_name=_display(name),
        kind=kind,
        district=rng.randrange(DISTRICTS),
        mcc=trade.mcc,
        country=country,
        currency=currency,
        hours=_hours(rng, trade.hours),
        ticket_minor=price(major, currency),
        spread=trade.spread,
        refund_share=trade.refund_share,
        dispute_share=trade.dispute_share,
        goods=trade.goods,
    )


def _home(kind: ShopKind, number: int) -> tuple[str, str]:
    if number < len(ORDER):
        return ABROAD.get(kind, ("CN", "CNY"))
    return ("US", "USD") if number % DOLLARS_EVERY == 0 else ("CN", "CNY")


def _display(name: str) -> str:
    """Return the English part of a name, which every statement of a card can print."""
    return "".join(letter for letter in name if letter.isascii()).replace("  ", " ").strip()


def _hours(rng: random.Random, usual: Hours) -> Hours:
    """Return the hours of one shop: half an hour earlier or later than is usual, where it ever closes."""
    shift = rng.choice((-30, 0, 0, 30))
    return tuple(
        day
        if day is None or day == (0, _MINUTES)
        else (max(day[0] + shift, 0), min(day[1] + shift, _MINUTES))
        for day in usual
    )
