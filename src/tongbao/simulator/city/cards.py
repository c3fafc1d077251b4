"""Cards of the city: invented numbers in ranges that networks publish for tests, and the sandbox's own test cards.

The sandbox approves every number with a right check digit that is none of its test cards (``sandbox.declines``), so
payers have numbers of their own and thieves have numbers that nobody else has.
"""

import random

from tongbao.simulator.city.schema import Card
from tongbao.simulator.sandbox.declines import passes_luhn

DIGITS = 16
ISSUERS: dict[str, tuple[str, float]] = {
    "622848": ("Osmanthus Bank", 0.26),
    "620000": ("Bund Commercial Bank", 0.22),
    "424242": ("Harbor Bank", 0.18),
    "411111": ("Lantern Bank", 0.10),
    "400005": ("River Savings", 0.06),
    "555555": ("Crane Credit", 0.10),
    "545454": ("Pagoda Bank", 0.05),
    "356600": ("Maple Card", 0.03),
}
"""First six digits of the cards of each issuer, its name, and its share of all cards. The banks are invented."""
STOLEN_FROM = ("401288", "510510", "601111", "424242", "555555")
"""Ranges of the cards that thieves trade in: mostly issuers from elsewhere."""
EMPTY = "4000000000009995"
ASKING = "4000002760003184"
"""The sandbox's cards without money, and whose issuer asks on its page."""
REPORTED = "4000000000009979"
DEAD = (
    "4000000000000002",
    "4000000000009987",
    REPORTED,
    "4000000000000069",
    "4000000000000127",
    "4100000000000019",
)
"""The sandbox's cards that are declined: the useless part of a thief's list, and the one that is reported stolen."""
EMPTY_SHARE, ASKING_SHARE = 0.02, 0.01
VALID_YEARS = (3, 8)
"""Cards expire so many years (half-open range) after the year in which the city begins."""
_PREFIXES = tuple(ISSUERS)
_SHARES = tuple(share for _, share in ISSUERS.values())


def own_card(rng: random.Random, year: int) -> Card:
    """Return a payer's card: nearly always good, sometimes one of an empty account or of an issuer that asks.

    ``year`` is the year in which the city begins.
    """
    roll = rng.random()
    if roll < EMPTY_SHARE:
        return _card(rng, EMPTY, "River Savings", year)
    if roll < EMPTY_SHARE + ASKING_SHARE:
        return _card(rng, ASKING, "Crane Credit", year)
    prefix = rng.choices(_PREFIXES, _SHARES)[0]
    return _card(rng, number(rng, prefix), ISSUERS[prefix][0], year)


def stolen_card(rng: random.Random, year: int, dead_prob: float) -> Card:
    """Return a card that a thief holds; with ``dead_prob`` one that its issuer declines."""
    if rng.random() < dead_prob:
        return _card(rng, rng.choice(DEAD), "elsewhere", year)
    return _card(rng, number(rng, rng.choice(STOLEN_FROM)), "elsewhere", year)


def number(rng: random.Random, prefix: str) -> str:
    """Return a number of ``DIGITS`` digits that begins with ``prefix`` and has the right check digit (ISO/IEC 7812-1)."""
    missing = DIGITS - len(prefix) - 1
    body = prefix + f"{rng.randrange(10**missing):0{missing}d}"
    return next(body + str(check) for check in range(10) if passes_luhn(body + str(check)))


def _card(rng: random.Random, digits: str, issuer: str, year: int) -> Card:
    return Card(
        number=digits,
        exp_month=rng.randrange(1, 13),
        exp_year=year + rng.randrange(*VALID_YEARS),
        issuer=issuer,
    )
