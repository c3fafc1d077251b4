"""A city as it stands: its terms with the people, shops and habits that follow from them, worked out once."""

from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tongbao.simulator.city.chances import chance, checked, zone_of
from tongbao.simulator.city.habits import Habits, purse
from tongbao.simulator.city.people import people
from tongbao.simulator.city.schema import CityTerms, Payer, Shop
from tongbao.simulator.city.shops import shops

ABUSERS_SHARE = 0.01


class Town(NamedTuple):
    """What the visits of a day are drawn from.

    ``activity`` is the sum of all payers' shares of the city's visits; ``bent_shop`` is the number of the shop that works
    with thieves; ``abusers`` are the numbers of payers who always want their money back.
    """

    terms: CityTerms
    zone: ZoneInfo
    people: Sequence[Payer]
    shops: Sequence[Shop]
    habits: Habits
    activity: float
    bent_shop: int
    abusers: tuple[int, ...]


def build(terms: CityTerms) -> Town:
    """Return the town of these terms; raise InvalidRequest ``city_terms_invalid``."""
    checked(terms)
    who, where = people(terms), shops(terms)
    abusers = chance(terms.seed, "abusers").sample(range(len(who)), max(1, round(len(who) * ABUSERS_SHARE)))
    return Town(
        terms=terms,
        zone=zone_of(terms),
        people=who,
        shops=where,
        habits=Habits(terms.seed, where),
        activity=sum(purse(payer) for payer in who),
        bent_shop=chance(terms.seed, "bent shop").randrange(len(where)),
        abusers=tuple(sorted(abusers)),
    )
