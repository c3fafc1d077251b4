"""``/v2/risk/freezes`` and ``challenges``: who may not pay until two people let go, and who was asked for a proof."""

from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tongbao.core.clock import Clock
from tongbao.core.errors import NotFound
from tongbao.risk.schema.challenges import CHALLENGE_PREFIX, ChallengeQuery, ChallengeState
from tongbao.risk.schema.freezes import FREEZE_PREFIX, Freeze, FreezePage, FreezeQuery, FreezeState
from tongbao.risk.service.challenging import Challenging
from tongbao.risk.service.freezing import Freezing
from tongbao.risk.service.freezing_own import FreezingOwn
from tongbao.web.api import risk_freeze_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.risk_sides import Side, book_mark, named_in_book, person_of
from tongbao.web.api.shapes import PAGE_SIZE, After, IdPath, Limit, cursor, path_id

Release = Callable[[UUID, str, str], Awaitable[Freeze]]


class Freezers(NamedTuple):
    """Who freezes: for the house, and within what a merchant may."""

    freezing: Freezing
    own: FreezingOwn

    async def get(self, who: Caller, text: str) -> Freeze:
        """Return a freeze that the caller may see; raise NotFound."""
        return await self.own.get(path_id(FREEZE_PREFIX, text), mark_of(who), who.live)

    async def page(self, who: Caller, query: FreezeQuery) -> FreezePage:
        """Return the freezes that the caller may see."""
        if who.scope is None:
            return await self.freezing.page(query)
        return await self.own.page(query, mark_of(who))


def add_freezes(routes: APIRouter, side: Side, acts: Acts, freezers: Freezers) -> None:
    """Add what is read of freezes, and freezing."""

    @routes.get(f"{side.path}/freezes")
    async def freezes(
        who: Annotated[Caller, side.reads],
        state: Annotated[FreezeState | None, Query(description="Only those in this state.")] = None,
        entity: Annotated[models.Kind | None, Query(description="Only of this kind.")] = None,
        starting_after: After = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Freezes:
        """List freezes, newest first; a merchant sees those that its own people made."""
        query = FreezeQuery(
            live=who.live,
            state=state,
            entity=None if entity is None else models.entity_of(entity),
            starting_after=cursor(FREEZE_PREFIX, starting_after, "starting_after"),
            limit=limit,
        )
        found = await freezers.page(who, query)
        data = [models.Freeze.of(each, mark_of(who)) for each in found.items]
        return models.Freezes(data=data, has_more=found.has_more)

    @routes.get(f"{side.path}/freezes/{{freeze}}")
    async def one(who: Annotated[Caller, side.reads], freeze: IdPath) -> models.Freeze:
        """Return a freeze, `frz_…`."""
        return models.Freeze.of(await freezers.get(who, freeze), mark_of(who))

    @routes.get(f"{side.path}/freezes/{{freeze}}/history")
    async def history(who: Annotated[Caller, side.reads], freeze: IdPath) -> models.History:
        """Return what was done to a freeze, by whom and why, oldest first."""
        found = await freezers.get(who, freeze)
        lines = await freezers.freezing.history(found.id)
        return models.History(data=[models.Act.of(each, mark_of(who)) for each in lines])

    @routes.post(f"{side.path}/freezes", status_code=201, response_model=models.Freeze)
    async def freeze(
        request: Request, who: Annotated[Caller, side.decides], order: models.FreezeBody
    ) -> Response:
        """Freeze somebody at once, in the payments of every merchant."""

        async def work() -> Freeze:
            actor = named_in_book(who, who.actor)
            if who.scope is None:
                return await freezers.freezing.freeze(order.order(who.live), actor)
            return await freezers.own.freeze(who.book, order.order(who.live), actor)

        return await acts.run(
            request, who.book, work, lambda made: rendered(models.Freeze.of(made, mark_of(who)), 201)
        )


def add_releases(routes: APIRouter, side: Side, acts: Acts, freezers: Freezers) -> None:
    """Add the acts by which two people let go."""
    freezing = freezers.freezing
    for name, act, words in (
        ("request_release", freezing.request_release, "Ask for a release; somebody else has to approve it."),
        ("approve_release", freezing.approve_release, "Let go, as the second person."),
        ("refuse_release", freezing.refuse_release, "Refuse a release, or take the own request back."),
    ):
        _add_release(routes, side, acts, (freezers, name, act, words))


def _add_release(routes: APIRouter, side: Side, acts: Acts, how: tuple[Freezers, str, Release, str]) -> None:
    freezers, name, act, words = how

    @routes.post(
        f"{side.path}/freezes/{{freeze}}/{name}", response_model=models.Freeze, name=name, description=words
    )
    async def release(
        request: Request, who: Annotated[Caller, side.decides], freeze: IdPath, body: models.ReleaseBody
    ) -> Response:
        async def work() -> Freeze:
            found = await freezers.get(who, freeze)
            return await act(found.id, named_in_book(who, person_of(who)), body.why)

        return await acts.run(
            request, who.book, work, lambda made: rendered(models.Freeze.of(made, mark_of(who)))
        )


def add_challenges(routes: APIRouter, side: Side, clock: Clock, challenging: Challenging) -> None:
    """Add the list of challenges of a mode; that of the house holds those of all books."""

    @routes.get(f"{side.path}/challenges")
    async def challenges(
        who: Annotated[Caller, side.reads],
        state: Annotated[ChallengeState | None, Query(description="Only those in this state.")] = None,
        starting_after: After = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Challenges:
        """List challenges, newest first."""
        query = ChallengeQuery(
            book_id=who.book_id,
            live=who.live,
            state=state,
            starting_after=cursor(CHALLENGE_PREFIX, starting_after, "starting_after"),
            limit=limit,
        )
        page = await challenging.page(query)
        now = clock.now()
        return models.Challenges(
            data=[models.Challenge.of(each, now) for each in page.items], has_more=page.has_more
        )


def add_challenge(routes: APIRouter, side: Side, clock: Clock, challenging: Challenging) -> None:
    """Add the route of one challenge, which its merchant knows."""

    @routes.get(f"{side.path}/challenges/{{challenge}}")
    async def challenge(who: Annotated[Caller, side.reads], challenge: IdPath) -> models.Challenge:
        """Return a challenge of this mode, `chl_…`."""
        found = await challenging.get(who.book, path_id(CHALLENGE_PREFIX, challenge))
        if found.live != who.live:
            raise NotFound("challenge_unknown", f"there is no challenge {challenge}", id=challenge)
        return models.Challenge.of(found, clock.now())


def mark_of(who: Caller) -> str:
    """Return what the names of the caller's own people begin with; nothing for the house, which sees everybody."""
    return "" if who.scope is None else book_mark(who.book)
