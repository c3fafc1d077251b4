"""``/v2/operations/settlements/profits``: what the house earned, for the house alone; as data, or as a table."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from tongbao.clearing.schema.statements import ProfitFilter
from tongbao.clearing.service.house import ClearingHouse
from tongbao.clearing.service.profits import totals
from tongbao.web.api import clearing_profit_models as models
from tongbao.web.api.callers import OPERATIONS, Caller
from tongbao.web.api.clearing_batches import CurrencyMaybe
from tongbao.web.api.clearing_pages import saved
from tongbao.web.api.clearing_profit_models import Apart
from tongbao.web.api.clearing_sides import BookQuery, Doors, Language, maybe_book

PATH = f"{OPERATIONS}/settlements/profits"
CSV_TYPE = "text/csv; charset=utf-8"


class Form(StrEnum):
    """What a report is wanted as."""

    JSON = "json"
    CSV = "csv"


FromQuery = Annotated[date, Query(alias="from", description="The first day.")]
ToQuery = Annotated[date, Query(alias="to", description="The day after the last.")]
ZoneQuery = Annotated[str, Query(max_length=64, description="The zone of the days.")]
ByQuery = Annotated[list[Apart], Query(max_length=4, description="What it is told apart by.")]
ChannelQuery = Annotated[str | None, Query(max_length=80, description="Only over this channel.")]
FormQuery = Annotated[Form, Query(alias="format", description="What it is wanted as.")]


def add_profits(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add the report."""
    profits = clearing.profits

    @routes.get(PATH, response_model=models.Report)
    async def report(
        who: Annotated[Caller, door.books],
        of: Annotated[ProfitFilter, Depends(_filter)],
        from_on: FromQuery,
        until_on: ToQuery,
        zone: ZoneQuery = "UTC",
        by: ByQuery = [Apart.MONTH, Apart.BOOK],  # noqa: B006  # the framework reads it, nobody changes it
        form: FormQuery = Form.JSON,
        language: Language = "en",
    ) -> Response:
        """Tell what the house earned with what was priced in a time, by month, merchant, method or channel."""
        apart = frozenset(by)
        names = [models.FIELDS[each] for each in models.FIELDS if each in apart]
        lines = await profits.report(from_on, until_on, zone=zone, live=who.live, by=names, of=of)
        if form is Form.CSV:
            name = f"profits-{from_on}-{until_on}.csv"
            return saved(profits.csv(lines, language), name, CSV_TYPE)
        told = models.Report(
            from_on=from_on,
            until_on=until_on,
            zone=zone,
            live=who.live,
            by=[each for each in models.FIELDS if each in apart],
            totals=models.sums_of(totals(lines)),
            line_count=len(lines),
            data=models.lines_of(lines, apart),
            has_more=len(lines) > models.LINES_MAX,
        )
        return JSONResponse(told.model_dump(mode="json"))


def _filter(
    book: BookQuery = None, currency: CurrencyMaybe = None, channel: ChannelQuery = None
) -> ProfitFilter:
    """Return the filter of a query; raise NotFound ``resource_missing`` for what can be no book."""
    return ProfitFilter(book_id=maybe_book(book), currency=currency, channel=channel)
