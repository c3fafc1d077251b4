"""Freezes on a real database: four eyes under races, a history that only grows, a picture that every process shares."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, LimitExceeded, NotFound
from tongbao.core.ids import IdFactory
from tongbao.risk.policy import freezes as policy
from tongbao.risk.schema.freezes import Freeze, FreezeActKind, FreezeOrder, FreezeQuery, FreezeState
from tongbao.risk.schema.signals import Entity, Signals
from tongbao.risk.service.freezing import REFRESH_S, Freezing

ANA, BO, CY = "per_ana", "per_bo", "per_cy"


class Room:
    """Two processes over one database, with one clock that stands still."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.ids = ids
        self.clock = FrozenClock(datetime.now(UTC))
        self.here = Freezing(database, self.clock, ids)
        self.there = Freezing(database, self.clock, ids)

    def order(self, **fields: object) -> FreezeOrder:
        """An order for a card that nobody has frozen."""
        values: dict[str, object] = {
            "live": True,
            "entity": Entity.CARD,
            "key": f"card_{self.ids.int63()}",
            "reason": "stolen",
        }
        return FreezeOrder(**(values | fields))  # type: ignore[arg-type]

    async def frozen(self, **fields: object) -> Freeze:
        """A new freeze by Ana."""
        return await self.here.freeze(self.order(**fields), ANA)

    def signals(self, **fields: object) -> Signals:
        """A live payment; keys are given by name."""
        values: dict[str, object] = {
            "id": self.ids.uuid(),
            "at": self.clock.now(),
            "book_id": 1,
            "live": True,
            "subject_id": self.ids.uuid(),
            "value": 1_700,
            "currency": "CNY",
            "method": "card",
        }
        return Signals(**(values | fields))  # type: ignore[arg-type]


@pytest.fixture
def room(database: Database, ids: IdFactory) -> Room:
    return Room(database, ids)


async def code_of(work: Awaitable[Freeze]) -> str:
    """The state that an act ends with, or the code of why it did not happen."""
    try:
        return (await work).state.value
    except AppError as error:
        return error.code


async def kinds(room: Room, freeze: Freeze) -> list[tuple[int, str, str]]:
    return [(act.number, act.kind.value, act.actor) for act in await room.here.history(freeze.id)]


async def test_frozen_card_is_released_by_two_people(room: Room) -> None:
    freeze = await room.frozen()
    payment = room.signals(card=freeze.key)
    assert room.here.frozen(payment) == freeze
    await room.here.request_release(freeze.id, BO, "its owner called")
    assert room.here.frozen(payment) is not None
    assert await code_of(room.here.approve_release(freeze.id, BO)) == "four_eyes_required"
    released = await room.here.approve_release(freeze.id, CY, "papers seen")
    assert released.state is FreezeState.RELEASED
    assert room.here.frozen(payment) is None
    assert await kinds(room, freeze) == [
        (1, "frozen", ANA),
        (2, "release_requested", BO),
        (3, "released", CY),
    ]
    assert [act.why for act in await room.here.history(freeze.id)] == [
        "stolen",
        "its owner called",
        "papers seen",
    ]
    assert await room.here.get(freeze.id) == released


async def test_refused_release_leaves_it_frozen_and_may_be_asked_for_again(room: Room) -> None:
    freeze = await room.frozen()
    await room.here.request_release(freeze.id, ANA, "a mistake")
    refused = await room.here.refuse_release(freeze.id, BO, "no papers")
    assert refused.state is FreezeState.FROZEN
    assert await code_of(room.here.approve_release(freeze.id, CY)) == "release_not_requested"
    await room.here.request_release(freeze.id, BO, "papers came")
    assert await code_of(room.here.approve_release(freeze.id, ANA)) == "released"
    assert [kind for _, kind, _ in await kinds(room, freeze)] == [
        "frozen",
        "release_requested",
        "release_refused",
        "release_requested",
        "released",
    ]


async def test_approvals_at_once_release_once(room: Room) -> None:
    freeze = await room.frozen()
    await room.here.request_release(freeze.id, ANA, "a mistake")
    approvals = [
        code_of(each.approve_release(freeze.id, who))
        for each in (room.here, room.there)
        for who in (ANA, BO, CY)
    ]
    counted = Counter(await asyncio.gather(*approvals))
    assert counted["released"] == 1
    assert set(counted) <= {"released", "already_released", "four_eyes_required"}
    assert len(await kinds(room, freeze)) == 3


async def test_approval_and_refusal_at_once_leave_one_of_both(room: Room) -> None:
    for _ in range(6):
        freeze = await room.frozen()
        await room.here.request_release(freeze.id, ANA, "a mistake")
        outcomes = await asyncio.gather(
            code_of(room.here.approve_release(freeze.id, BO)),
            code_of(room.there.refuse_release(freeze.id, CY, "no")),
        )
        assert tuple(outcomes) in {("released", "already_released"), ("release_not_requested", "frozen")}
        assert len(await kinds(room, freeze)) == 3


async def test_requests_at_once_are_one(room: Room) -> None:
    freeze = await room.frozen()
    asked = [code_of(room.here.request_release(freeze.id, who, "please")) for who in (ANA, BO, CY)]
    counted = Counter(await asyncio.gather(*asked))
    assert counted == {"requires_approval": 1, "release_already_requested": 2}


async def test_same_entity_is_frozen_once_and_a_repeat_is_the_same(room: Room) -> None:
    order = room.order()
    frozen = await asyncio.gather(*(each.freeze(order, ANA) for each in (room.here, room.there, room.here)))
    assert len({freeze.id for freeze in frozen}) == 1
    assert await kinds(room, frozen[0]) == [(1, "frozen", ANA)]
    with pytest.raises(Conflict, match="already_frozen") as caught:
        await room.here.freeze(order, BO)
    assert caught.value.facts["freeze"] == frozen[0].reference
    another = msgspec.structs.replace(order, reason="other")
    assert await code_of(room.here.freeze(another, ANA)) == "already_frozen"


async def test_released_entity_can_be_frozen_anew(room: Room) -> None:
    order = room.order()
    first = await room.here.freeze(order, ANA)
    await room.here.request_release(first.id, ANA, "a mistake")
    await room.here.approve_release(first.id, BO)
    second = await room.here.freeze(order, ANA)
    assert second.id != first.id
    assert room.here.frozen(room.signals(card=order.key)) == second


@pytest.mark.parametrize(
    ("entity", "name"),
    list(
        zip(
            Entity,
            ("customer", "card", "device", "merchant", "address", "email_domain", "beneficiary"),
            strict=True,
        )
    ),
)
async def test_every_kind_of_entity_stops_its_own_payments_only(
    room: Room, entity: Entity, name: str
) -> None:
    freeze = await room.frozen(entity=entity)
    assert room.here.frozen(room.signals(**{name: freeze.key})) == freeze
    other = "device" if name != "device" else "card"
    assert room.here.frozen(room.signals(**{other: freeze.key})) is None
    assert room.here.frozen(room.signals(**{name: freeze.key}, live=False)) is None


async def test_other_process_learns_of_it_within_the_pause(room: Room) -> None:
    assert await room.there.refresh()
    freeze = await room.frozen(live=False)
    payment = room.signals(card=freeze.key, live=False)
    assert await room.there.refresh()
    assert room.there.frozen(payment) is None
    room.clock.advance(timedelta(seconds=REFRESH_S))
    assert await room.there.refresh()
    assert room.there.frozen(payment) == freeze
    assert room.there.refreshed_at == room.clock.now()
    room.clock.advance(timedelta(hours=-1))
    await room.here.request_release(freeze.id, BO, "please")
    assert await room.there.refresh()
    found = room.there.frozen(payment)
    assert found is not None
    assert found.requested_by == BO


async def test_without_the_database_the_last_picture_stands(room: Room, dsn: str) -> None:
    freeze = await room.frozen()
    async with Database(dsn, pool_size=1) as closing:
        apart = Freezing(closing, room.clock, room.ids)
        assert await apart.refresh()
    room.clock.advance(timedelta(seconds=REFRESH_S))
    assert not await apart.refresh()
    assert apart.frozen(room.signals(card=freeze.key)) == freeze


async def test_unknown_freeze_is_not_found(room: Room) -> None:
    unknown: UUID = room.ids.uuid()
    for work in (
        room.here.get(unknown),
        room.here.history(unknown),
        room.here.request_release(unknown, ANA, "please"),
        room.here.approve_release(unknown, ANA),
        room.here.refuse_release(unknown, ANA, "no"),
    ):
        with pytest.raises(NotFound, match="freeze_unknown"):
            await work


async def test_act_without_reason_or_person_changes_nothing(room: Room) -> None:
    freeze = await room.frozen()
    with pytest.raises(InvalidRequest, match="reason_invalid"):
        await room.here.request_release(freeze.id, BO, " ")
    with pytest.raises(InvalidRequest, match="actor_invalid"):
        await room.here.request_release(freeze.id, "", "please")
    assert await room.here.get(freeze.id) == freeze
    assert len(await kinds(room, freeze)) == 1


async def test_full_house_freezes_no_more_until_one_is_released(
    room: Room, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze = await room.frozen()
    async with database.connection() as connection:
        in_force = await connection.fetchval("SELECT in_force_count FROM risk.freeze_head")
    monkeypatch.setattr(policy, "FREEZES_MAX", in_force)
    with pytest.raises(LimitExceeded, match="freezes_full"):
        await room.frozen()
    await room.here.request_release(freeze.id, BO, "please")
    await room.here.approve_release(freeze.id, CY)
    assert (await room.frozen()).state is FreezeState.FROZEN


async def test_head_counts_what_is_in_force(room: Room, database: Database) -> None:
    freezes = [await room.frozen() for _ in range(3)]
    await room.here.request_release(freezes[0].id, ANA, "a mistake")
    await room.here.approve_release(freezes[0].id, BO)
    async with database.connection() as connection:
        counted = await connection.fetchval("SELECT in_force_count FROM risk.freeze_head")
        standing = await connection.fetchval("SELECT count(*) FROM risk.freeze WHERE released_at IS NULL")
    assert counted == standing


async def test_freezes_are_listed_by_state_and_entity_newest_first(room: Room) -> None:
    made = [await room.frozen(entity=Entity.BENEFICIARY, live=False) for _ in range(4)]
    await room.here.request_release(made[1].id, ANA, "a mistake")
    await room.here.approve_release(made[1].id, BO)
    waiting = await room.here.request_release(made[3].id, ANA, "a mistake")
    query = FreezeQuery(live=False, entity=Entity.BENEFICIARY, limit=3)
    first = await room.here.page(query)
    assert [each.id for each in first.items] == [each.id for each in reversed(made[1:])]
    assert first.has_more
    second = await room.here.page(msgspec.structs.replace(query, starting_after=first.items[-1].id))
    assert [each.id for each in second.items] == [made[0].id]
    by_state = {
        state: [each.id for each in (await room.here.page(msgspec.structs.replace(query, state=state))).items]
        for state in FreezeState
    }
    assert by_state[FreezeState.REQUIRES_APPROVAL] == [waiting.id]
    assert by_state[FreezeState.RELEASED] == [made[1].id]
    assert by_state[FreezeState.FROZEN] == [made[2].id, made[0].id]


async def test_history_can_only_grow(room: Room) -> None:
    freeze = await room.frozen()
    before = await room.here.history(freeze.id)
    await room.here.request_release(freeze.id, BO, "please")
    after = await room.here.history(freeze.id)
    assert after[: len(before)] == before
    assert after[-1].kind is FreezeActKind.RELEASE_REQUESTED


async def test_look_costs_microseconds(room: Room) -> None:
    await room.frozen()
    payment = room.signals(customer="c", card="k", device="d", merchant="m", address="a", email_domain="e")
    looks = 5_000
    began = time.process_time()
    for _ in range(looks):
        room.here.frozen(payment)
    assert (time.process_time() - began) / looks < 50e-6
