"""How well payments go: rates by channel, method, issuer and currency, their course, and why they changed."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, LimitExceeded, NotFound
from tongbao.core.ids import uuid_text
from tongbao.routing.policy.doctor import diagnose
from tongbao.routing.policy.rates import code_rows, rate_rows
from tongbao.routing.schema.health import (
    CELLS_MAX,
    ISSUERS_MAX,
    NOTICES_PAGE_MAX,
    POINTS_MAX,
    RANGE_DAYS_MAX,
    ROWS_MAX,
    SEGMENT_DIMENSIONS,
    Cell,
    CodeRow,
    Diagnosis,
    Dimension,
    HealthScope,
    NoticePage,
    Period,
    RateRow,
    Step,
)
from tongbao.routing.store import notices, tallies

NOTICE_PREFIX = "note"
SEGMENTS = frozenset(SEGMENT_DIMENSIONS)


class Health:
    """Reads the tallies; writes nothing. Periods are half-open and taken in whole minutes of UTC."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def last(self, length: timedelta = timedelta(days=1)) -> Period:
        """Return the period of ``length`` that ends with the last whole minute."""
        end = _minute(self._clock.now())
        return Period(end - length, end)

    async def rates(
        self, scope: HealthScope, period: Period, by: Collection[Dimension] = (Dimension.CHANNEL,)
    ) -> list[RateRow]:
        """Return approval and completion rates by any of channel, method, issuer and currency, the busiest first.

        Raises InvalidRequest ``health_period_invalid`` or ``health_dimension_invalid``, LimitExceeded
        ``health_rows_too_many``.
        """
        wanted = _dimensions(by)
        cells = await self._grouped(scope, period, wanted | {Dimension.MARK})
        return rate_rows(cells, wanted)

    async def codes(
        self, scope: HealthScope, period: Period, by: Collection[Dimension] = ()
    ) -> list[CodeRow]:
        """Return how often each code came, of all attempts of its segment, the most frequent first.

        Raises as ``rates`` does.
        """
        wanted = _dimensions(by)
        cells = await self._grouped(scope, period, wanted | {Dimension.MARK, Dimension.CODE})
        return code_rows(cells, wanted)

    async def cells(
        self, scope: HealthScope, period: Period, by: Collection[Dimension] = (), step: Step | None = None
    ) -> list[Cell]:
        """Return attempts with their money, told apart by any dimensions, and by time where a ``step`` is given.

        Oldest first, then the most attempts first. Raises InvalidRequest ``health_period_invalid``, LimitExceeded
        ``health_rows_too_many``.
        """
        return await self._grouped(scope, period, set(by), step)

    async def series(
        self, scope: HealthScope, period: Period, step: Step, by: Collection[Dimension] = ()
    ) -> list[RateRow]:
        """Return the rates by time, oldest first; a step without attempts has no row.

        Raises as ``rates`` does, and LimitExceeded ``health_rows_too_many`` for more than ``POINTS_MAX`` steps.
        """
        wanted = _dimensions(by)
        if (period.end - period.start) / step.length > POINTS_MAX:
            raise _too_many(f"a series has at most {POINTS_MAX} points")
        cells = await self._grouped(scope, period, wanted | {Dimension.MARK}, step)
        return rate_rows(cells, wanted)

    async def doctor(
        self, scope: HealthScope, period: Period | None = None, baseline: Period | None = None
    ) -> Diagnosis:
        """Return what changed in ``period`` (the last day, where none is named) against ``baseline``.

        Without a baseline, what came right before is compared, in equal length. Both tables are of one instant.
        Raises InvalidRequest ``health_period_invalid``, LimitExceeded ``health_rows_too_many``.
        """
        current = _checked(period or self.last())
        earlier = _checked(baseline or Period(current.start - (current.end - current.start), current.start))
        if earlier.start < current.end and current.start < earlier.end:
            raise InvalidRequest("health_period_invalid", "period and baseline overlap")
        tables = []
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            for which in (0, 1):
                cells = await tallies.table(
                    connection, scope, (earlier, current), which, (ISSUERS_MAX, CELLS_MAX + 1)
                )
                if len(cells) > CELLS_MAX:
                    raise _too_many(f"a period has at most {CELLS_MAX} different cells")
                tables.append(cells)
        return await asyncio.to_thread(diagnose, tables[0], tables[1], current.days)

    async def notices(
        self, *, live: bool, channel: str | None = None, after: UUID | None = None, limit: int = 20
    ) -> NoticePage:
        """Return a page of what was announced, newest first; raise NotFound ``notice_not_found`` for ``after``."""
        kept = max(1, min(limit, NOTICES_PAGE_MAX))
        async with self._database.connection() as connection:
            place = None if after is None else await notices.place_of(connection, after)
            if after is not None and place is None:
                raise NotFound("notice_not_found", f"no notice {uuid_text(NOTICE_PREFIX, after)}")
            found = await notices.page(connection, live=live, channel=channel, place=place, limit=kept + 1)
        return NoticePage(items=found[:kept], has_more=len(found) > kept)

    async def _grouped(
        self, scope: HealthScope, period: Period, by: Collection[Dimension], step: Step | None = None
    ) -> list[Cell]:
        length = None if step is None else step.length
        async with self._database.connection() as connection:
            found = await tallies.grouped(
                connection, scope, _checked(period), by, step=length, limit=ROWS_MAX + 1
            )
        if len(found) > ROWS_MAX:
            raise _too_many(f"an answer has at most {ROWS_MAX} rows; ask for fewer dimensions, or less time")
        return found


def _checked(period: Period) -> Period:
    if period.start.utcoffset() is None or period.end.utcoffset() is None:
        raise InvalidRequest("health_period_invalid", "a period needs a time zone")
    whole = Period(_minute(period.start), _minute(period.end))
    if not timedelta(0) < whole.end - whole.start <= timedelta(days=RANGE_DAYS_MAX):
        raise InvalidRequest("health_period_invalid", f"a period has one minute to {RANGE_DAYS_MAX} days")
    return whole


def _dimensions(by: Collection[Dimension]) -> set[Dimension]:
    if not SEGMENTS.issuperset(by):
        raise InvalidRequest(
            "health_dimension_invalid", "rates are told apart by channel, method, issuer and currency"
        )
    return set(by)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _too_many(detail: str) -> LimitExceeded:
    return LimitExceeded("health_rows_too_many", detail)
