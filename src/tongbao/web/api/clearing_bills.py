"""The bill below ``/v2/settlements``: every movement with its fee, its net and where that money is; and what is to come."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from tongbao.clearing.schema.bills import BillFilter, BillPage, MoneyState
from tongbao.clearing.schema.movements import KIND_NAMES, MovementKind
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Scope
from tongbao.web.api import clearing_bill_models as models
from tongbao.web.api.callers import Caller
from tongbao.web.api.clearing_batches import own_batch
from tongbao.web.api.clearing_sides import CurrencyQuery, Doors
from tongbao.web.api.shapes import PAGE_SIZE, IdPath, Instant, Limit, given_id

PATH = "/settlements"
CUTS = 10
CUTS_MAX = 60
VALUES_MAX = 20
PROVISIONAL = "Holidays on the way are not announced yet: dates that are provisional may move."
KINDS = {name: kind for kind, name in KIND_NAMES.items()}
Words = Annotated[list[Annotated[str, Query(max_length=80)]], Query(max_length=VALUES_MAX)]
States = Annotated[list[MoneyState], Query(max_length=VALUES_MAX, description="Where the money is.")]
Cursor = Annotated[str | None, Query(max_length=80, description="`next_cursor` of the page before.")]
Count = Annotated[int, Query(ge=1, le=CUTS_MAX, description="So many cuts to come.")]


def add_bills(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add the bill, its sums, and the movements of a batch."""
    bills = clearing.bills

    @routes.get(f"{PATH}/bill")
    async def bill(
        who: Annotated[Caller, door.reports],
        asked: Annotated[BillFilter, Depends(_filter)],
        cursor: Cursor = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Bill:
        """List movements of a filter as they stand now, newest first."""
        page = await bills.page(scope_of(who), asked, cursor=cursor, limit=limit)
        return await _priced(clearing, who, page)

    @routes.get(f"{PATH}/bill/totals")
    async def totals(
        who: Annotated[Caller, door.reports], asked: Annotated[BillFilter, Depends(_filter)]
    ) -> models.TotalList:
        """Sum the movements of a filter, one line a currency."""
        found = await bills.totals(scope_of(who), asked)
        return models.TotalList(data=[models.Total.of(each) for each in found])

    @routes.get(f"{PATH}/batches/{{batch}}/movements")
    async def movements(
        who: Annotated[Caller, door.reads], batch: IdPath, cursor: Cursor = None, limit: Limit = PAGE_SIZE
    ) -> models.Bill:
        """List the movements of a batch with the charges of their fees, newest first."""
        found = await own_batch(clearing, who, batch)
        page = await bills.page(scope_of(who), BillFilter(batch_id=found.id), cursor=cursor, limit=limit)
        return await _priced(clearing, who, page)


def add_calendar(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add the payouts to come."""

    @routes.get(f"{PATH}/calendar")
    async def calendar(
        who: Annotated[Caller, door.reads], currency: CurrencyQuery, count: Count = CUTS
    ) -> models.Calendar:
        """Return what is still to be paid and the next cuts by what is agreed now, each with what waits for it so far."""
        found = await clearing.bills.calendar(scope_of(who), currency, count)
        carried = await clearing.settling.carried_minor(who.book, currency, live=who.live)
        data = [models.Upcoming.of(each) for each in found]
        warning = PROVISIONAL if any(each.is_provisional for each in found) else None
        return models.Calendar(currency=currency, carried_minor=carried, warning=warning, data=data)


def scope_of(who: Caller) -> Scope:
    """Return the scope of a merchant's caller; these routes let in nobody else."""
    assert who.scope is not None
    return who.scope


async def _priced(clearing: ClearingHouse, who: Caller, page: BillPage) -> models.Bill:
    """Return a page with the charges of what is priced."""
    ids = [each.movement.id for each in page.lines if each.cost is not None and not each.cost.is_estimated]
    priced = await clearing.settling.priced(who.book, ids) if ids else {}
    return models.Bill.of(page.lines, page.next_cursor, priced)


def _filter(
    start_at: Annotated[Instant | None, Query(alias="from", description="From then on.")] = None,
    until_at: Annotated[Instant | None, Query(alias="to", description="Until then, not included.")] = None,
    kind: Words = [],  # noqa: B006  # the framework reads it, nobody changes it
    channel: Words = [],  # noqa: B006
    method: Words = [],  # noqa: B006
    store: Words = [],  # noqa: B006
    currency: Words = [],  # noqa: B006
    state: States = [],  # noqa: B006
    payment: Annotated[str | None, Query(max_length=64, description="Only of this payment, `pi_…`.")] = None,
) -> BillFilter:
    """Return the filter of a query; raise InvalidRequest ``kind_unknown``, ``id_malformed``."""
    return BillFilter(
        from_at=start_at,
        until_at=until_at,
        kinds=tuple(_kinds(kind)),
        channels=tuple(channel),
        methods=tuple(method),
        stores=tuple(store),
        currencies=tuple(currency),
        states=tuple(state),
        intent_id=None if payment is None else given_id(models.INTENT_PREFIX, payment, "payment"),
    )


def _kinds(names: Sequence[str]) -> list[MovementKind]:
    unknown = [each for each in names if each not in KINDS]
    if unknown:
        raise InvalidRequest("kind_unknown", f"kinds are {', '.join(KINDS)}", param="kind")
    return [KINDS[each] for each in names]
