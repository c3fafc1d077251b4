"""Schools of fraud: what each does in an episode, and so what it can be known by.

- ``stolen_card``: one card, many shops, high tickets, a phone and an address that nobody has seen.
- ``takeover``: a real payer's card and mailbox from a new phone, at night, in shops where that payer hardly goes.
- ``card_testing``: small amounts seconds apart, another card each time, all at one shop.
- ``collusion``: round amounts at the shop that takes part, from a few stolen cards; some is paid back again.
- ``refund_abuse``: a payer who really pays, with the own card and phone, and always wants the money back.

An episode ends with its day, and where no shop is open it comes to less than was meant.
"""

import msgspec

from tongbao.simulator.city.cards import ASKING, EMPTY, REPORTED, stolen_card
from tongbao.simulator.city.chances import after, instant
from tongbao.simulator.city.disguises import Take, disguise, label, started, theft, throwaway, wanted
from tongbao.simulator.city.episodes import Episode, episodes
from tongbao.simulator.city.habits import is_open
from tongbao.simulator.city.schema import Day, Means, School, Shop, ShopKind, Visit
from tongbao.simulator.city.shops import PER_YUAN, price, scale_of
from tongbao.simulator.city.town import Town
from tongbao.simulator.city.visiting import card_of, means_of, ticket_minor

SPREE_HOURS, NIGHT_HOURS, TESTING_HOURS, ABUSE_HOURS = (9.0, 17.0), (1.0, 4.0), (9.0, 21.0), (10.0, 16.0)
"""Between which hours an episode begins."""
SPREE_TICKETS, NIGHT_TICKETS, ABUSE_TICKETS = (2.0, 5.0), (1.8, 4.0), (1.0, 2.5)
"""How many times the usual ticket."""
REPORTED_PROB = 0.12
DEAD_PROB = 0.45
"""Share of sprees whose card is reported already; share of a tester's cards that are dead."""
ROUND_YUAN = (200, 300, 500, 800, 1_000, 2_000)
TESTED_YUAN = (1, 2, 3, 4, 6, 8, 9)
TESTED_AT = (ShopKind.GAMES, ShopKind.BOOKSHOP, ShopKind.UTILITIES)
"""Shops on the net, where nobody sees how many cards one person has."""
UNUSUAL_SHARE = 0.5
REFUND_PROB = 0.65
_MINUTE_S = 60.0


def stolen_visits(town: Town, day: Day) -> list[Visit]:
    """Return the visits of all schools on a day, not numbered yet."""
    return [
        visit
        for school, act in ACTS.items()
        for episode in episodes(town.terms, school, day)
        for visit in act(town, episode)
    ]


def _spree(town: Town, episode: Episode) -> list[Visit]:
    rng, worn, found = episode.rng, disguise(episode.rng), []
    card = stolen_card(rng, episode.day.on.year, 0.0)
    if rng.random() < REPORTED_PROB:
        card = msgspec.structs.replace(card, number=REPORTED)
    second = started(rng, SPREE_HOURS)
    for _ in range(episode.size):
        shop = wanted(town, episode, second)
        if shop is not None:
            amount_minor = ticket_minor(rng, shop, rng.uniform(*SPREE_TICKETS))
            found.append(theft(town, episode, Take(shop, second, amount_minor, card), worn))
        second += _MINUTE_S * (3 + min(rng.expovariate(1 / 12), 40))
    return found


def _takeover(town: Town, episode: Episode) -> list[Visit]:
    rng, found = episode.rng, []
    owner = town.people[rng.randrange(len(town.people))]
    worn = disguise(rng)._replace(email=owner.email, payer=owner.number)
    # A thief takes the card that works without the owner being asked, if there is one.
    good = [card for card in owner.cards if card.number not in (EMPTY, ASKING)] or owner.cards
    weekday, second = episode.day.on.weekday(), started(rng, NIGHT_HOURS)
    for _ in range(episode.size):
        choice = [shop for shop in town.shops if is_open(shop, weekday, second)]
        if choice:
            choice.sort(key=lambda shop: (owner.tastes[shop.kind], shop.number))
            shop = rng.choice(choice[: max(1, round(len(choice) * UNUSUAL_SHARE))])
            amount_minor = ticket_minor(rng, shop, rng.uniform(*NIGHT_TICKETS))
            found.append(theft(town, episode, Take(shop, second, amount_minor, good[0]), worn))
        second += _MINUTE_S * (2 + min(rng.expovariate(1 / 9), 30))
    return found


def _testing(town: Town, episode: Episode) -> list[Visit]:
    rng, second, found = episode.rng, started(episode.rng, TESTING_HOURS), []
    weekday, worn = episode.day.on.weekday(), disguise(episode.rng)
    choice = [shop for shop in town.shops if is_open(shop, weekday, second)]
    if not choice:
        return []
    shop = rng.choice([shop for shop in choice if shop.kind in TESTED_AT] or choice)
    for _ in range(episode.size):
        if not is_open(shop, weekday, second):
            break
        amount_minor = price(rng.choice(TESTED_YUAN) * float(PER_YUAN[shop.currency]), shop.currency)
        card = stolen_card(rng, episode.day.on.year, DEAD_PROB)
        unknown = worn._replace(email=throwaway(rng))
        found.append(theft(town, episode, Take(shop, second, amount_minor, card), unknown))
        second += rng.uniform(4.0, 40.0)
    return found


def _collusion(town: Town, episode: Episode) -> list[Visit]:
    rng, shop = episode.rng, town.shops[town.bent_shop]
    if shop.hours[episode.day.on.weekday()] is None:
        return []
    worn = disguise(rng)
    hand = [stolen_card(rng, episode.day.on.year, 0.0) for _ in range(max(1, episode.size // 2))]
    found = []
    for _ in range(episode.size):
        second = town.habits.second(rng, shop, episode.day)
        amount_minor = _round(rng.choice(ROUND_YUAN), shop)
        unknown = worn._replace(email=throwaway(rng))
        found.append(theft(town, episode, Take(shop, second, amount_minor, rng.choice(hand)), unknown))
    return found


def _round(yuan: int, shop: Shop) -> int:
    """Return the worth of some yuan in whole tens of a shop's currency, in minor units."""
    tens = max(1, round(yuan * PER_YUAN[shop.currency] / 10))
    return tens * 10 * scale_of(shop.currency)


def _abuse(town: Town, episode: Episode) -> list[Visit]:
    rng, found = episode.rng, []
    payer = town.people[rng.choice(town.abusers)]
    second = started(rng, ABUSE_HOURS)
    for _ in range(episode.size):
        shop = wanted(town, episode, second)
        if shop is not None:
            means = means_of(rng, payer, shop, is_busy=False)
            refunds = rng.random() < REFUND_PROB
            visit = Visit(
                number=0,
                at=instant(episode.day.on, second, town.zone),
                shop=shop.number,
                payer=payer.number,
                amount_minor=ticket_minor(rng, shop, rng.uniform(*ABUSE_TICKETS)),
                currency=shop.currency,
                item=rng.choice(shop.goods),
                attempt_means=means,
                card=card_of(rng, payer) if Means.CARD in means else None,
                device=payer.device,
                address=payer.address,
                email=payer.email,
                school=School.REFUND_ABUSE,
                refund_after=after(rng, 4.0, 0.5, (0.5, 14.0)) if refunds else None,
                dispute_after=None if refunds else after(rng, 9.0, 0.5, (3.0, 40.0)),
                label_after=label(rng),
            )
            found.append(visit)
        second += _MINUTE_S * (10 + min(rng.expovariate(1 / 30), 80))
    return found


ACTS = {
    School.STOLEN_CARD: _spree,
    School.TAKEOVER: _takeover,
    School.CARD_TESTING: _testing,
    School.COLLUSION: _collusion,
    School.REFUND_ABUSE: _abuse,
}
