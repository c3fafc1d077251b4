"""What thieves look like from outside, and what a theft leaves behind: reports of issuers, disputes, days later."""

import random
from datetime import timedelta
from typing import NamedTuple

from tongbao.simulator.city import names
from tongbao.simulator.city.chances import after, instant
from tongbao.simulator.city.episodes import Episode
from tongbao.simulator.city.habits import is_open
from tongbao.simulator.city.schema import Card, Means, School, Shop, ShopKind, Visit
from tongbao.simulator.city.town import Town

LABEL_DAYS, LABEL_MEDIAN_DAYS, LABEL_SPREAD = (2.0, 25.0), 8.0, 0.6
"""How long after a theft its issuer reports it: log-normal, cut to these days."""
PASSES_PROBS = {
    School.STOLEN_CARD: 0.03,
    School.TAKEOVER: 0.25,
    School.CARD_TESTING: 0.0,
    School.COLLUSION: 0.1,
}
"""Thieves who get through a step-up; one who took an account over sometimes has the mailbox too."""
DISPUTED_PROBS = {School.CARD_TESTING: 0.1}
DISPUTED_PROB = 0.45
"""Share of thefts that the card's owner disputes after the report; of small amounts, few."""
REFUNDED_PROB = 0.3
"""Share of a colluding shop's takings that it pays back, to clean them."""
WANTED = {ShopKind.ELECTRONICS: 6.0, ShopKind.GAMES: 3.0, ShopKind.CLOTHES: 3.0, ShopKind.HOTEL: 2.0}
"""What is easily sold on, beside 1 for all else."""
ADDRESSES = "203.0.113."
"""Addresses of thieves (RFC 5737); no payer of the city has one of them."""


class Disguise(NamedTuple):
    """What is seen of a thief. ``payer`` is whose account it is, if anybody's."""

    device: str
    address: str
    email: str
    payer: int | None = None


class Take(NamedTuple):
    """What is taken: at which shop, at which second of the day, how much, with which card."""

    shop: Shop
    second: float
    amount_minor: int
    card: Card


def disguise(rng: random.Random) -> Disguise:
    """Return a phone and an address that nobody has seen, and a mailbox made for the day."""
    return Disguise(
        f"emulator-{rng.getrandbits(64):016x}", f"{ADDRESSES}{rng.randrange(1, 255)}", throwaway(rng)
    )


def throwaway(rng: random.Random) -> str:
    """Return a mailbox that nobody will look into again."""
    return f"{rng.getrandbits(40):010x}@{rng.choice(names.MAIL_DOMAINS)}"


def theft(town: Town, episode: Episode, take: Take, worn: Disguise) -> Visit:
    """Return the visit of a thief, with what follows it."""
    rng, school, shop = episode.rng, episode.school, take.shop
    label_after = label(rng)
    dispute_after = label_after + after(rng, 3.0, 0.6, (0.5, 15.0))
    is_disputed = rng.random() < DISPUTED_PROBS.get(school, DISPUTED_PROB)
    is_refunded = school is School.COLLUSION and rng.random() < REFUNDED_PROB
    return Visit(
        number=0,
        at=instant(episode.day.on, take.second, town.zone),
        shop=shop.number,
        payer=worn.payer,
        amount_minor=take.amount_minor,
        currency=shop.currency,
        item=rng.choice(shop.goods),
        attempt_means=(Means.CARD,),
        card=take.card,
        device=worn.device,
        address=worn.address,
        email=worn.email,
        passes_step_up=rng.random() < PASSES_PROBS[school],
        school=school,
        refund_after=after(rng, 0.2, 0.8, (0.01, 3.0)) if is_refunded else None,
        dispute_after=dispute_after if is_disputed and not is_refunded else None,
        label_after=label_after,
    )


def label(rng: random.Random) -> timedelta:
    """Return how long it takes until a theft is known as one."""
    return after(rng, LABEL_MEDIAN_DAYS, LABEL_SPREAD, LABEL_DAYS)


def started(rng: random.Random, hours: tuple[float, float]) -> float:
    """Return the second of the day at which an episode begins, between two hours."""
    return rng.uniform(*hours) * 3_600


def wanted(town: Town, episode: Episode, second: float) -> Shop | None:
    """Return an open shop with something to sell on; None where all are closed."""
    weekday = episode.day.on.weekday()
    open_shops = [shop for shop in town.shops if is_open(shop, weekday, second)]
    if not open_shops:
        return None
    return episode.rng.choices(open_shops, [WANTED.get(shop.kind, 1.0) for shop in open_shops])[0]
