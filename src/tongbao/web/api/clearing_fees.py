"""``/v2/fees``: price lists drafted, checked, simulated, published by a second person; and what one payment would cost."""

from datetime import timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from tongbao.clearing.schema.schedules import NAME_CHARS_MAX, ScheduleVersion
from tongbao.clearing.service.house import ClearingHouse
from tongbao.clearing.service.simulating import Span
from tongbao.core.clock import Clock
from tongbao.core.requests.asks import Rendered
from tongbao.web.api import clearing_fee_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_sides import Doors, Language
from tongbao.web.api.shapes import PAGE_SIZE, Limit

PATH = "/fees"
VERSION_MAX = 1_000_000
LEAD = timedelta(minutes=1)
"""So long after it was published a version holds, where nobody says from when."""
NameQuery = Annotated[str, Query(min_length=1, max_length=NAME_CHARS_MAX, description="Name of the list.")]
AfterName = Annotated[str, Query(max_length=NAME_CHARS_MAX, description="Continue after this name.")]
VersionPath = Annotated[int, Path(ge=1, le=VERSION_MAX, description="Number of the version.")]
NumberQuery = Annotated[int | None, Query(ge=1, le=VERSION_MAX)]


def add_reads(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add what is read of price lists."""
    prices = clearing.prices

    @routes.get(f"{PATH}/schedules")
    async def schedules(
        who: Annotated[Caller, door.books], starting_after: AfterName = "", limit: Limit = PAGE_SIZE
    ) -> models.Schedules:
        """List price lists by name; go on with `starting_after` = the last name."""
        names = await prices.names(after=starting_after, limit=limit + 1)
        newest = [(await prices.versions(name, limit=1))[0] for name in names[:limit]]
        shown = [models.Schedule.of(each) for each in newest]
        return models.Schedules(data=shown, has_more=len(names) > limit)

    @routes.get(f"{PATH}/versions")
    async def versions(
        who: Annotated[Caller, door.books],
        name: NameQuery,
        before: NumberQuery = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Versions:
        """List the versions of a price list, newest first; go on with `before` = the last number."""
        found = await prices.versions(name, before=before, limit=limit + 1)
        shown = [models.Version.of(each) for each in found[:limit]]
        return models.Versions(data=shown, has_more=len(found) > limit)

    @routes.get(f"{PATH}/versions/{{version}}")
    async def version(
        who: Annotated[Caller, door.books], version: VersionPath, name: NameQuery
    ) -> models.Version:
        """Return a version with its specification, its simulation and its trail."""
        return models.Version.of(await prices.version(name, version))

    @routes.get(f"{PATH}/versions/{{version}}/diff")
    async def diff(
        who: Annotated[Caller, door.books],
        version: VersionPath,
        name: NameQuery,
        against: NumberQuery = None,
        language: Language = "en",
    ) -> models.Diff:
        """Tell in words what a version changes, against another or the one in force."""
        changes = await prices.diff(name, version, language, against=against)
        return models.Diff(changes=changes)


def add_questions(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse, clock: Clock) -> None:
    """Add what is asked of prices and writes nothing."""

    @routes.post(f"{PATH}/validate", response_model=models.Checked)
    async def validate(
        request: Request, who: Annotated[Caller, door.books], order: models.SpecOrder
    ) -> Response:
        """Check a price list as a draft is; a list that cannot be priced by is refused with the place of its fault."""

        async def work() -> models.Checked:
            spec, role = await clearing.quoting.check(order.spec, clock.now())
            told = msgspec.to_builtins(spec)
            return models.Checked(role=role, charge_count=len(spec.charges), spec=told)

        return await acts.run(request, who.book, work, rendered)

    @routes.post(f"{PATH}/quote", response_model=models.Quote)
    async def quote(
        request: Request, who: Annotated[Caller, door.books], order: models.QuoteOrder
    ) -> Response:
        """Price one payment, by what is in force or by a draft."""

        async def work() -> models.Quote:
            at = order.at or clock.now()
            example = order.example.priceable(at.date())
            found = await clearing.quoting.quote(example, at, name=order.name, version=order.version)
            return models.Quote.of(found, order.example)

        return await acts.run(request, who.book, work, rendered)


def add_writes(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse, clock: Clock) -> None:
    """Add the life of a version: drafted, simulated, published, withdrawn."""
    prices = clearing.prices

    @routes.post(f"{PATH}/versions", status_code=201, response_model=models.Version)
    async def draft(
        request: Request, who: Annotated[Caller, door.fees], order: models.DraftOrder
    ) -> Response:
        """Write a version; the draft that says the same is returned as it is."""

        async def work() -> ScheduleVersion:
            return await prices.draft(order.name, order.spec, order.note, who.actor)

        return await acts.run(request, who.book, work, lambda made: rendered(models.Version.of(made), 201))

    @routes.post(f"{PATH}/versions/{{version}}/simulate", response_model=models.Version)
    async def simulate(
        request: Request, who: Annotated[Caller, door.fees], version: VersionPath, order: models.SimulateOrder
    ) -> Response:
        """Tell what a time would have cost by a draft, and keep it on the draft."""

        async def work() -> ScheduleVersion:
            span = Span(order.start_at, order.until_at)
            return await clearing.simulating.simulate(order.name, version, span, who.actor)

        return await acts.run(request, who.book, work, _version)

    @routes.post(f"{PATH}/versions/{{version}}/publish", response_model=models.Version)
    async def publish(
        request: Request, who: Annotated[Caller, door.fees], version: VersionPath, order: models.PublishOrder
    ) -> Response:
        """Let a draft hold from an instant on, as somebody else than its maker."""

        async def work() -> ScheduleVersion:
            effective_at = order.effective_at or clock.now() + LEAD
            return await prices.publish(order.name, version, effective_at, who.actor, note=order.note)

        return await acts.run(request, who.book, work, _version)

    @routes.post(f"{PATH}/versions/{{version}}/withdraw", response_model=models.Version)
    async def withdraw(
        request: Request, who: Annotated[Caller, door.fees], version: VersionPath, order: models.WithdrawOrder
    ) -> Response:
        """Take back a draft, or a published version that has not taken effect."""

        async def work() -> ScheduleVersion:
            return await prices.withdraw(order.name, version, order.reason, who.actor)

        return await acts.run(request, who.book, work, _version)


def _version(made: ScheduleVersion) -> Rendered:
    return rendered(models.Version.of(made))
