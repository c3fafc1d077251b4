"""Agreements: read by the merchant below ``/v2/settlements``, made by the house below ``/v2/fees/agreements``."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from tongbao.clearing.schema.agreements import AgreementVersion
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.clock import Clock
from tongbao.web.api import clearing_agreement_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_sides import CurrencyQuery, Doors, book_of
from tongbao.web.api.shapes import PAGE_SIZE, IdPath, Limit

OWN = "/settlements/agreement"
OF_HOUSE = "/fees/agreements/{book}/{currency}"
CurrencyPath = Annotated[str, Path(pattern="^[A-Z]{3}$", description="Code of ISO 4217.")]
HOUSE_NAME = "house"
"""Stands in a path for the house's own agreement, which holds for whoever agreed on nothing."""


def add_agreements(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse, clock: Clock) -> None:
    """Add both sides."""
    agreements = clearing.agreements

    @routes.get(OWN)
    async def own(who: Annotated[Caller, door.reads], currency: CurrencyQuery) -> models.AgreementModel:
        """Return what is agreed about the money of a currency now."""
        return models.AgreementModel.of(await agreements.at(who.book, currency, clock.now()))

    @routes.get(OF_HOUSE)
    async def holding(
        who: Annotated[Caller, door.books], book: IdPath, currency: CurrencyPath
    ) -> models.AgreementModel:
        """Return what holds for a merchant's book now; `house` for the house's own."""
        found = await agreements.at(_owner(book), currency, clock.now())
        return models.AgreementModel.of(found, is_house=True)

    @routes.get(f"{OF_HOUSE}/history")
    async def history(
        who: Annotated[Caller, door.books], book: IdPath, currency: CurrencyPath, limit: Limit = PAGE_SIZE
    ) -> models.AgreementList:
        """Return what was agreed so far, newest first."""
        found = await agreements.history(_owner(book), currency, limit + 1)
        shown = [models.AgreementModel.of(each, is_house=True) for each in found[:limit]]
        return models.AgreementList(data=shown, has_more=len(found) > limit)

    @routes.post(OF_HOUSE, status_code=201, response_model=models.AgreementModel)
    async def make(
        request: Request,
        who: Annotated[Caller, door.fees],
        book: IdPath,
        currency: CurrencyPath,
        order: models.AgreementOrder,
    ) -> Response:
        """Agree on something else from now on, or later; the same as before is no new version."""

        async def work() -> AgreementVersion:
            return await agreements.make(
                _owner(book),
                currency,
                order.agreement.agreement(),
                actor=who.actor,
                note=order.note,
                effective_at=order.effective_at,
            )

        return await acts.run(
            request, who.book, work, lambda made: rendered(models.AgreementModel.of(made, is_house=True), 201)
        )


def _owner(text: str) -> int:
    return 0 if text == HOUSE_NAME else book_of(text)
