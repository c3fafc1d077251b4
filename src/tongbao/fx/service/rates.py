"""Rates told and amounts converted: by the last day that was published, never by a later one, never by one too old.

A quotation: nothing is held, promised or posted.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import NotFound
from tongbao.core.metrics import Metrics
from tongbao.core.money import Money, Rounding
from tongbao.fx import store
from tongbao.fx.policy import converting, crossing
from tongbao.fx.schema import AGE_DAYS_MAX, ECB, PIVOT, Conversion, KnownRate, Rate

REVISIONS_MAX = 100
AHEAD = timedelta(days=1)


class Rates:
    """Tells rates of one source. One object per process."""

    def __init__(self, database: Database, clock: Clock, metrics: Metrics, source: str = ECB) -> None:
        self._database = database
        self._clock = clock
        self._source = source
        self._age = metrics.gauge(
            "fx_newest_rate_age_days", "Days since the newest published rate", labels=("source",)
        )

    async def rate(
        self, base: str, quote: str, on: date | None = None, *, age_days_max: int = AGE_DAYS_MAX
    ) -> Rate:
        """Return what one unit of ``base`` is in ``quote`` by the last day published until ``on`` (UTC; None: today).

        A pair without the euro is made of two rates of the same day. Raises InvalidRequest ``currency_unknown``,
        ``currency_without_minor_unit``, ``rate_in_future``, ``rate_age_invalid``; NotFound ``rate_unknown``; Conflict
        ``rate_too_old``.
        """
        async with self._database.connection() as connection:
            return await self.rate_in(connection, (base, quote), on, age_days_max)

    async def rate_in(
        self, connection: Connection, pair: tuple[str, str], on: date | None, age_days_max: int = AGE_DAYS_MAX
    ) -> Rate:
        """Return a rate as ``rate`` does; joins the caller's transaction."""
        crossing.check(self._source, *pair)
        asked_on = self._day(on)
        wanted = crossing.legs_of(*pair)
        legs: list[KnownRate] = []
        if wanted:
            key = (self._source, PIVOT)
            day = await store.common_day(connection, key, wanted, asked_on)
            legs = [] if day is None else await store.of_day(connection, key, day, wanted)
        return crossing.check_age(crossing.crossed(self._source, pair, asked_on, legs), age_days_max)

    async def convert(
        self,
        amount: Money,
        quote: str,
        on: date | None = None,
        *,
        rounding: Rounding = Rounding.HALF_EVEN,
        age_days_max: int = AGE_DAYS_MAX,
    ) -> Conversion:
        """Return what an amount is in another currency, minor units, rounded once. Raises as ``rate`` does, ``amount_out_of_range``."""
        rate = await self.rate(amount.currency, quote, on, age_days_max=age_days_max)
        return converting.converted(amount, rate, rounding)

    async def of_day(self, on: date | None = None, *, age_days_max: int = AGE_DAYS_MAX) -> list[Rate]:
        """Return every rate of the last day published until ``on``, by currency, against the euro. Raises as ``rate`` does."""
        asked_on = self._day(on)
        async with self._database.connection() as connection:
            day = await store.newest_day(connection, self._source, asked_on)
            if day is None:
                raise NotFound("rate_unknown", f"{self._source} published no rate by {asked_on}")
            found = await store.of_day(connection, (self._source, PIVOT), day)
        made = [crossing.crossed(self._source, (PIVOT, each.quote), asked_on, (each,)) for each in found]
        return [crossing.check_age(each, age_days_max) for each in made]

    async def revisions(self, quote: str, on: date) -> Sequence[KnownRate]:
        """Return what was ever told of the euro's rate of a day, the newest first, at most ``REVISIONS_MAX``."""
        async with self._database.connection() as connection:
            return await store.revisions(connection, (self._source, PIVOT, quote), on, REVISIONS_MAX)

    async def watch(self) -> dict[str, int]:
        """Return how many days old the newest rate of each source is, and set the gauge; for a worker."""
        async with self._database.connection() as connection:
            newest = await store.ages(connection)
        today = self._clock.now().date()
        ages = {source: (today - on).days for source, on in newest.items()}
        for source, days in ages.items():
            self._age.labels(source).set(days)
        return ages

    def _day(self, on: date | None) -> date:
        today = self._clock.now().date()
        # Somewhere it is tomorrow already; what is not published yet is not there to be told.
        crossing.check_day(on or today, today + AHEAD)
        return on or today
