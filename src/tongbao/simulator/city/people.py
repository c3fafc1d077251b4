"""The payers of a city, each the same whenever the city begins: who they are, what they earn, like and pay with.

Salaries are log-normal around a median by age, in CNY minor units a month (a pension, or what a student gets from home,
counts as one). All identities are invented: mailboxes of RFC 2606, addresses of RFC 5737 and RFC 3849, and mobile numbers
that begin with 100, as no network's do.
"""

import random
from typing import NamedTuple

from tongbao.simulator.city import names
from tongbao.simulator.city.cards import own_card
from tongbao.simulator.city.chances import chance, checked
from tongbao.simulator.city.schema import Card, CityTerms, Day, Means, Mood, Payer, ShopKind, Sky
from tongbao.simulator.city.shops import DISTRICTS
from tongbao.simulator.city.trades import TRADES

AGE_MIN, AGE_MAX, AGE_USUAL = 16, 85, 34
ENGLISH_SHARE = 0.12
SALARY_SPREAD = 0.42
PAYDAYS, PAYDAY_WEIGHTS = (5, 8, 10, 15, 20, 25), (2, 1, 6, 5, 1, 2)
HOME_ADDRESSES = ("198.51.100.", "192.0.2.")
HOSTS = 254
CARDS_MAX = 3
TASTE_SPREAD = 0.5
MEANS_SPREAD = 0.35
_YOUNG = {ShopKind.GAMES: 3.0, ShopKind.COFFEE: 1.5, ShopKind.CINEMA: 1.5, ShopKind.CLOTHES: 1.4}
_OLD = {
    ShopKind.TEA_HOUSE: 2.5,
    ShopKind.PHARMACY: 2.5,
    ShopKind.GROCERY: 1.4,
    ShopKind.GAMES: 0.1,
    ShopKind.COFFEE: 0.5,
    ShopKind.ELECTRONICS: 0.6,
}
YOUNG_UP_TO, OLD_FROM = 27, 58


class _Stage(NamedTuple):
    """A stage of life: up to which age, the median income, and weights of the means of paying."""

    up_to: int
    median_minor: int
    means: tuple[float, float, float]


_STAGES = (
    _Stage(22, 3_200_00, (0.15, 0.40, 0.45)),
    _Stage(30, 9_000_00, (0.35, 0.37, 0.28)),
    _Stage(45, 12_500_00, (0.48, 0.28, 0.24)),
    _Stage(59, 10_500_00, (0.52, 0.18, 0.30)),
    _Stage(AGE_MAX, 5_200_00, (0.45, 0.10, 0.45)),
)
_MOODS: dict[Mood, float] = {Mood.CALM: 0.45, Mood.BUSY: 0.25, Mood.CHEERFUL: 0.18, Mood.THRIFTY: 0.12}
AFTER_PAYDAY_DAYS, BEFORE_PAYDAY_DAYS = 3, 5


def people(terms: CityTerms) -> tuple[Payer, ...]:
    """Return the payers of a city, numbered from 0; raise InvalidRequest ``city_terms_invalid``."""
    checked(terms)
    return tuple(_payer(terms, number) for number in range(terms.payers))


def mood(seed: int, payer: Payer, day: Day) -> Mood:
    """Return how a payer is on a day: busy on working days, cheerful in the sun and after payday, thrifty before it."""
    weights = dict(_MOODS)
    if day.is_off:
        weights[Mood.BUSY] *= 0.3
        weights[Mood.CHEERFUL] *= 1.8
    if day.sky is Sky.CLEAR:
        weights[Mood.CHEERFUL] *= 1.4
    since = days_since_payday(payer, day)
    if since < AFTER_PAYDAY_DAYS:
        weights[Mood.CHEERFUL] *= 1.8
    elif since >= 30 - BEFORE_PAYDAY_DAYS:
        weights[Mood.THRIFTY] *= 2.5
    rng = chance(seed, "mood", day.on, payer.number)
    return rng.choices(tuple(weights), tuple(weights.values()))[0]


def days_since_payday(payer: Payer, day: Day) -> int:
    """Return how many days ago the salary came, from 0 to 30, in months of 31 days."""
    return (day.on.day - payer.payday) % 31


def _payer(terms: CityTerms, number: int) -> Payer:
    rng = chance(terms.seed, "payer", number)
    is_english = rng.random() < ENGLISH_SHARE
    name = names.english(rng) if is_english else names.chinese(rng)
    age = round(rng.triangular(AGE_MIN, AGE_MAX, AGE_USUAL))
    stage = next(each for each in _STAGES if age <= each.up_to)
    return Payer(
        number=number,
        name=name.text,
        email=f"{name.mailbox}.{number}@{rng.choice(names.MAIL_DOMAINS)}",
        phone=f"+86100{number:08d}",
        device=f"phone-{number}-{rng.getrandbits(48):012x}",
        address=_address(number),
        locale="en" if is_english else "zh-CN",
        age=age,
        home=rng.randrange(DISTRICTS),
        salary_minor=round(stage.median_minor * rng.lognormvariate(0.0, SALARY_SPREAD) / 100_00) * 100_00
        or 100_00,
        payday=rng.choices(PAYDAYS, PAYDAY_WEIGHTS)[0],
        cards=_cards(rng, age, terms.began_on.year),
        means=_means(rng, stage, is_english=is_english),
        tastes=_tastes(rng, age),
    )


def _address(number: int) -> str:
    """Return a home's address: of IPv4 as long as there are examples of it, then a network of IPv6 of its own."""
    block, host = divmod(number, HOSTS)
    if block < len(HOME_ADDRESSES):
        return f"{HOME_ADDRESSES[block]}{host + 1}"
    return f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"


def _cards(rng: random.Random, age: int, year: int) -> tuple[Card, ...]:
    count = rng.choices(range(1, CARDS_MAX + 1), (6, 3, 1) if age < YOUNG_UP_TO else (4, 4, 2))[0]
    found: dict[str, Card] = {}
    for _ in range(count):
        card = own_card(rng, year)
        found.setdefault(card.number, card)
    return tuple(found.values())


def _means(rng: random.Random, stage: _Stage, *, is_english: bool) -> dict[Means, float]:
    """Return weights of means that sum to 1; those who write English mostly pay by card."""
    usual = (0.85, 0.10, 0.05) if is_english else stage.means
    drawn = [weight * rng.lognormvariate(0.0, MEANS_SPREAD) for weight in usual]
    whole = sum(drawn)
    return {means: weight / whole for means, weight in zip(Means, drawn, strict=True)}


def _tastes(rng: random.Random, age: int) -> dict[ShopKind, float]:
    by_age = _YOUNG if age <= YOUNG_UP_TO else _OLD if age >= OLD_FROM else {}
    return {
        kind: trade.taste * by_age.get(kind, 1.0) * rng.lognormvariate(0.0, TASTE_SPREAD)
        for kind, trade in TRADES.items()
    }
