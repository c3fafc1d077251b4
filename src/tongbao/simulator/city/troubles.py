"""Bad hours: spells in which an acquirer, or one issuer's cards, do badly. Seeded by date, like everything of a city.

Kinds are those of the sandbox (``TroubleKind``): an acquirer stops listening, is silent, answers with errors or declines more
than usual; where an issuer cannot be reached from an acquirer, its cards are declined over that one.
"""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from tongbao.simulator.city.cards import ISSUERS
from tongbao.simulator.city.chances import chance, checked, instant, poisson, zone_of
from tongbao.simulator.city.schema import CityTerms, Trouble
from tongbao.simulator.sandbox.behavior import TroubleKind

ACQUIRERS = ("card_east", "card_west", "card_north")
"""The acquirers of the city, by the names of their channels."""
WALLETS = ("alipay", "wechatpay")
ACQUIRER_PER_DAY, WALLET_PER_DAY, ISSUER_PER_DAY = 0.15, 0.03, 0.04
"""Mean number of spells a day, for each."""
MEDIAN_MINUTES, SPREAD, MINUTES = 25.0, 0.8, (5.0, 180.0)
_KINDS = (TroubleKind.REFUSED, TroubleKind.ERROR, TroubleKind.DECLINING, TroubleKind.SILENT)
_WEIGHTS = (4.0, 3.0, 3.0, 1.0)
_DAY_S = 24 * 3_600


def troubles(terms: CityTerms) -> tuple[Trouble, ...]:
    """Return the spells that begin in a city's days, by when they begin; InvalidRequest ``city_terms_invalid``.

    The last one may end after the last day. Spells of different channels may meet, and those of one as well.
    """
    checked(terms)
    zone = zone_of(terms)
    days = (terms.began_on + timedelta(days=each) for each in range(terms.days))
    found = [spell for on in days for spell in _of_day(terms.seed, on, zone)]
    return tuple(sorted(found, key=lambda spell: (spell.begins_at, spell.channel, spell.issuer or "")))


def _of_day(seed: int, on: date, zone: ZoneInfo) -> Iterator[Trouble]:
    midnight = instant(on, 0.0, zone)
    for channels, mean in ((ACQUIRERS, ACQUIRER_PER_DAY), (WALLETS, WALLET_PER_DAY)):
        for channel in channels:
            rng = chance(seed, "trouble", channel, on)
            for _ in range(poisson(rng, mean)):
                kind = rng.choices(_KINDS, _WEIGHTS)[0]
                yield _spell(rng, midnight, channel, None, kind)
    for name, _ in ISSUERS.values():
        rng = chance(seed, "trouble of issuer", name, on)
        for _ in range(poisson(rng, ISSUER_PER_DAY)):
            yield _spell(rng, midnight, rng.choice(ACQUIRERS), name, TroubleKind.DECLINING)


def _spell(
    rng: random.Random, midnight: datetime, channel: str, issuer: str | None, kind: TroubleKind
) -> Trouble:
    begins_at = midnight + timedelta(seconds=int(rng.random() * _DAY_S))
    minutes = min(max(MEDIAN_MINUTES * rng.lognormvariate(0.0, SPREAD), MINUTES[0]), MINUTES[1])
    return Trouble(
        channel=channel,
        issuer=issuer,
        begins_at=begins_at,
        ends_at=begins_at + timedelta(seconds=round(minutes * 60)),
        kind=kind.value,
    )
