"""``/v2/money/{id}``: where the money is that an id names, in one answer."""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path
from pydantic import Field

from tongbao.clearing.schema.batches import BATCH_PREFIX
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX
from tongbao.clearing.schema.tracing import Next, Stage
from tongbao.clearing.schema.tracing import Place as PlaceFound
from tongbao.clearing.schema.tracing import Trace as TraceFound
from tongbao.clearing.service.house import ClearingHouse
from tongbao.web.api.callers import Caller
from tongbao.web.api.clearing_bills import scope_of
from tongbao.web.api.clearing_sides import Doors
from tongbao.web.api.shapes import Model, maybe_id

AskedPath = Annotated[
    str, Path(max_length=200, description="`pi_` `pa_` `re_` `dp_` `mv_` `bat_` `po_`, or an order number.")
]


class Step(Model):
    """One step of the way; a step known by its day alone has `on` and no `at`. Minor units."""

    stage: Stage
    at: datetime | None
    on: date | None
    reference: str
    amount_minor: int | None
    facts: dict[str, str]


class Place(Model):
    """Money of one currency in one place, and what comes next. `net_minor` is null where it is not known. Minor units."""

    state: str
    currency: str
    amount_minor: int
    net_minor: int | None
    movement_count: int
    cut_at: datetime | None
    payout_on: date | None
    paid_at: datetime | None
    batch: str | None
    payout: str | None
    carried_to: str | None = Field(description="The batch that brings it, where it was carried on.")
    next: Next
    next_at: datetime | None
    next_on: date | None

    @classmethod
    def of(cls, found: PlaceFound) -> "Place":
        """Return a place as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        ids = {
            "batch": maybe_id(BATCH_PREFIX, found.batch_id),
            "carried_to": maybe_id(BATCH_PREFIX, found.carried_to),
            "payout": maybe_id(PAYOUT_PREFIX, found.payout_id),
        }
        return cls.model_validate(own | ids)


class Trace(Model):
    """Where money is: its way so far, where it is now, and that in one sentence by language."""

    object: Literal["money_trace"] = "money_trace"
    asked: str
    kind: str = Field(description="What the id names.")
    steps: list[Step]
    places: list[Place]
    sentences: dict[str, str]

    @classmethod
    def of(cls, found: TraceFound) -> "Trace":
        """Return an answer as it is sent."""
        return cls(
            asked=found.asked,
            kind=found.kind,
            steps=[Step.model_validate(msgspec.structs.asdict(each)) for each in found.steps],
            places=[Place.of(each) for each in found.places],
            sentences=found.sentences,
        )


def add_money(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add the question, where this process knows payments."""
    tracing = clearing.tracing
    if tracing is None:
        return

    @routes.get("/money/{asked}")
    async def money(who: Annotated[Caller, door.reports], asked: AskedPath) -> Trace:
        """Tell where the money of a payment, refund, dispute, movement, batch or payout is, and what comes next."""
        return Trace.of(await tracing.trace(scope_of(who), asked))
