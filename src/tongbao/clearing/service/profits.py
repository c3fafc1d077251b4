"""Profits: what the house earned with what was priced in a time, by merchant, method, channel and month.

Fees and their tax are those that the batches posted to the merchants' books, costs and commissions those of the lists that were
in force. What was written off counts on the day on which somebody approved it. For operators of the house alone.
"""

from collections.abc import Collection, Iterable
from datetime import date

import msgspec

from tongbao.clearing.adapters.profit_csv import profit_csv
from tongbao.clearing.policy.statements import period
from tongbao.clearing.schema.statements import ProfitFilter, ProfitKey, ProfitLine
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import statements as store
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, LimitExceeded

ROWS_MAX = 200_000
"""Combinations of month, merchant, method and channel that one report is made from."""
FIELDS = ("month_on", "book_id", "method", "channel")
"""By what a report may be told apart, beside the currency."""
EVERYTHING = ProfitFilter()
_SUMS = tuple(name for name in ProfitLine.__struct_fields__ if name != "key")


class Profits:
    """Makes profit reports. One object per process; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(
        self,
        from_on: date,
        until_on: date,
        *,
        zone: str,
        live: bool = True,
        by: Collection[str] = FIELDS,
        of: ProfitFilter = EVERYTHING,
    ) -> tuple[ProfitLine, ...]:
        """Return one line for each combination of ``by`` and currency, ordered by them; days are half-open, in ``zone``.

        ``month_on`` is the first day of the month; where a report is not told apart by month, the first day asked for. Sums of
        the lines are the same whatever they are told apart by. ``live`` keeps real money apart from that of tests; write-offs
        are of real money. Raises InvalidRequest ``profit_field_unknown``, ``zone_unknown``, ``statement_time_invalid``;
        LimitExceeded ``profit_too_large``.
        """
        if not set(by) <= set(FIELDS):
            raise InvalidRequest("profit_field_unknown", f"profits are told apart by {', '.join(FIELDS)}")
        asked = period(from_on, until_on, zone)
        between = (asked.from_at, asked.until_at)
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await batch_store.be_patient(connection)
            rows = await store.profits(connection, between, zone, of, live=live, limit=ROWS_MAX + 1)
            if live:
                rows += await store.write_offs(connection, between, zone, of, limit=ROWS_MAX + 1)
        if len(rows) > ROWS_MAX:
            raise LimitExceeded("profit_too_large", "ask for fewer days or one merchant")
        return _grouped(rows, by, from_on)

    def csv(self, lines: Iterable[ProfitLine], language: str) -> bytes:
        """Return lines as a table with the decimals of their currencies; raise InvalidRequest ``language_unknown``."""
        return profit_csv(lines, language)


def totals(lines: Iterable[ProfitLine]) -> tuple[ProfitLine, ...]:
    """Return the sums of a report's lines, one line a currency."""
    return _grouped(lines, (), date.min)


def _grouped(rows: Iterable[ProfitLine], by: Collection[str], from_on: date) -> tuple[ProfitLine, ...]:
    found: dict[ProfitKey, ProfitLine] = {}
    for row in rows:
        key = ProfitKey(
            currency=row.key.currency,
            month_on=row.key.month_on if "month_on" in by else from_on,
            book_id=row.key.book_id if "book_id" in by else None,
            method=row.key.method if "method" in by else "",
            channel=row.key.channel if "channel" in by else "",
        )
        before = found.get(key) or ProfitLine(key=key)
        sums = {name: getattr(before, name) + getattr(row, name) for name in _SUMS}
        found[key] = msgspec.structs.replace(before, **sums)
    return tuple(found[key] for key in sorted(found, key=_order))


def _order(key: ProfitKey) -> tuple[str, date, int, str, str]:
    return key.currency, key.month_on, key.book_id or 0, key.method, key.channel
