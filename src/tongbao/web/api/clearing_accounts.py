"""``/v2/payouts/accounts``: where a merchant's money goes. Proposed by one person, confirmed by another, cooled down, in use.

A key may look and pause. Proposing, confirming, mending and retiring take people who are signed in: who holds a stolen key
must not move where money goes. The whole number is never told again.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tongbao.clearing.schema.payouts import DESTINATION_PREFIX, Destination, DestinationState
from tongbao.clearing.service.account_numbers import account_number
from tongbao.clearing.service.house import ClearingHouse
from tongbao.web.api import clearing_payout_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_sides import Doors
from tongbao.web.api.risk_sides import person_of
from tongbao.web.api.shapes import PAGE_SIZE, IdPath, Limit, path_id

PATH = "/payouts/accounts"
SECRET_FIELDS = frozenset({"number"})
"""A bank account's number may look like a card's."""
CurrencyMaybe = Annotated[str | None, Query(pattern="^[A-Z]{3}$", description="Only of this currency.")]
Work = Callable[[], Awaitable[Destination]]


def add_reads(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add the list of accounts, and one with its history."""
    destinations = clearing.destinations

    @routes.get(PATH)
    async def accounts(
        who: Annotated[Caller, door.reads], currency: CurrencyMaybe = None, limit: Limit = PAGE_SIZE
    ) -> models.Accounts:
        """List the accounts that money may go to, newest first."""
        found = await destinations.page(who.book, currency, limit + 1)
        shown = [models.Account.of(each) for each in found[:limit]]
        return models.Accounts(data=shown, has_more=len(found) > limit)

    @routes.get(f"{PATH}/{{account}}")
    async def one(who: Annotated[Caller, door.reads], account: IdPath) -> models.AccountFile:
        """Return an account, `dst_…`, with who did what with it."""
        found = await destinations.get(who.book, _id(account))
        history = [
            models.Act(
                version=each.version,
                state=DestinationState(each.state),
                at=each.at,
                actor=models.shown_actor(each.actor),
                note=each.note,
            )
            for each in await destinations.trail(who.book, found.id)
        ]
        return models.AccountFile(of=models.Account.of(found), history=history)


def add_writes(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add the life of an account."""
    destinations = clearing.destinations

    @routes.post(PATH, status_code=201, response_model=models.Account)
    async def propose(
        request: Request, who: Annotated[Caller, door.writes], order: models.AccountOrder
    ) -> Response:
        """Propose an account; the one in use stays in use until somebody else confirmed this and it cooled down."""

        async def work() -> Destination:
            actor = person_of(who)
            number = account_number(order.scheme, order.number, order.agent_code, order.country)
            return await destinations.propose(
                who.book, order.currency, number, order.holder, actor=actor, note=order.note
            )

        return await _done(acts, request, who, work, 201)

    @routes.post(f"{PATH}/{{account}}/confirm", response_model=models.Account)
    async def confirm(
        request: Request, who: Annotated[Caller, door.writes], account: IdPath, order: models.ConfirmOrder
    ) -> Response:
        """Confirm an account that somebody else proposed; it cools down from now on."""

        async def work() -> Destination:
            return await destinations.confirm(
                who.book, _id(account), actor=person_of(who), seen_version=order.version, note=order.note
            )

        return await _done(acts, request, who, work)

    @routes.post(f"{PATH}/{{account}}/pause", response_model=models.Account)
    async def pause(
        request: Request, who: Annotated[Caller, door.writes], account: IdPath, order: models.PauseOrder
    ) -> Response:
        """Stop payouts to an account at once."""

        async def work() -> Destination:
            return await destinations.pause(who.book, _id(account), actor=who.actor, reason=order.reason)

        return await _done(acts, request, who, work)

    @routes.post(f"{PATH}/{{account}}/mend", response_model=models.Account)
    async def mend(
        request: Request, who: Annotated[Caller, door.writes], account: IdPath, order: models.NoteOrder
    ) -> Response:
        """Propose a paused account again; it is confirmed and cools down like a new one."""

        async def work() -> Destination:
            return await destinations.mend(who.book, _id(account), actor=person_of(who), note=order.note)

        return await _done(acts, request, who, work)

    @routes.post(f"{PATH}/{{account}}/retire", response_model=models.Account)
    async def retire(
        request: Request, who: Annotated[Caller, door.writes], account: IdPath, order: models.NoteOrder
    ) -> Response:
        """Take an account out of use for good."""

        async def work() -> Destination:
            return await destinations.retire(who.book, _id(account), actor=person_of(who), note=order.note)

        return await _done(acts, request, who, work)


async def _done(acts: Acts, request: Request, who: Caller, work: Work, status: int = 200) -> Response:
    return await acts.run(request, who.book, work, lambda made: rendered(models.Account.of(made), status))


def _id(text: str) -> UUID:
    return path_id(DESTINATION_PREFIX, text)
