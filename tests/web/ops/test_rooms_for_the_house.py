"""What rooms tell the house over all merchants: newest payments, what waits, trails, acknowledgments, vitals, money by minute."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.web.signed_in import become
from tests.web.whole_house import Whole, open_whole

from tongbao.clearing.service.trail import Trail as ClearingTrail
from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.core.trails import Line, Wanted, merged
from tongbao.core.vitals import vitals
from tongbao.decisions.service.trail import Trail as DecisionsTrail
from tongbao.parties.errors import BadField, PermissionMissing
from tongbao.parties.schema import MerchantState, OperatorPermission, PersonId
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.acknowledgments import Acknowledgments
from tongbao.parties.service.trail import Trail as PartiesTrail
from tongbao.payments.schema.house_overviews import HouseWanted, Waiting
from tongbao.payments.schema.standing import Standing
from tongbao.payments.service.house_overviews import HouseOverviews
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListEffect, ListKey, ListKind, NewEntry
from tongbao.risk.service.trail import Trail as RiskTrail
from tongbao.routing.schema.health import Dimension, HealthScope, Step


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    """The whole program's application."""
    home: Path = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home) as opened:
        yield opened


async def test_newest_payments_of_all_books_come_newest_first_page_by_page(whole: Whole) -> None:
    one, other = await whole.tenant(), await whole.tenant()
    made = []
    for tenant in (one, other, one):
        made.append(await whole.pay(tenant))
        whole.clock.advance(timedelta(seconds=1))
    overviews = HouseOverviews(whole.house.runtime.database)
    books = (one.scope.book_id, other.scope.book_id)
    page = await overviews.newest(HouseWanted(books=books, limit=2))
    assert [each.intent.reference for each in page.items] == [made[2], made[1]]
    assert [each.book_id for each in page.items] == [one.scope.book_id, other.scope.book_id]
    assert page.has_more
    rest = await overviews.newest(HouseWanted(books=books, limit=2, after=page.items[-1].intent.id))
    assert ([each.intent.reference for each in rest.items], rest.has_more) == ([made[0]], False)


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 2),
        ({"standing": Standing.SUCCEEDED}, 2),
        ({"standing": Standing.DECLINED}, 0),
        ({"method": "card"}, 2),
        ({"method": "wallet"}, 0),
        ({"channel": "nowhere"}, 0),
        ({"books": ()}, 0),
    ],
)
async def test_newest_payments_are_narrowed_by_what_is_asked(
    whole: Whole, fields: dict[str, object], count: int
) -> None:
    tenant = await whole.tenant()
    for _ in range(2):
        await whole.pay(tenant)
    wanted = HouseWanted(**({"books": (tenant.scope.book_id,)} | fields))  # type: ignore[arg-type]  # a table of fields
    assert len((await HouseOverviews(whole.house.runtime.database).newest(wanted)).items) == count


async def test_nothing_waits_where_every_payment_was_answered(whole: Whole) -> None:
    tenant = await whole.tenant()
    await whole.pay(tenant)
    overviews, books = HouseOverviews(whole.house.runtime.database), [tenant.scope.book_id]
    assert await overviews.unresolved(books) == Waiting(0, None)
    assert await overviews.hooks(books, whole.clock.now() - timedelta(days=1)) == (0, 0, 0, None)


async def test_suspending_a_merchant_is_a_line_of_the_trail_with_actor_and_reason(whole: Whole) -> None:
    merchant = await whole.people.merchant()
    async with whole.house.runtime.database.transaction() as connection:
        await whole.house.parties.merchants.set_state(
            connection, whole.people.operator, merchant.merchant_id, MerchantState.SUSPENDED, 1, "complaints"
        )
    trail = PartiesTrail(whole.house.runtime.database)
    line = (await trail.lines(Wanted(limit=1)))[0]
    assert (line.room, line.act, line.actor, line.note) == (
        "parties",
        "suspended",
        whole.people.operator.actor,
        "complaints",
    )
    assert line.subject == str(int(merchant.merchant_id))
    older = await trail.lines(Wanted(before=(line.at, line.key)))
    assert line.key not in {each.key for each in older}
    assert await trail.lines(Wanted(actor="nobody")) == []
    assert await trail.lines(Wanted(since=whole.clock.now() + timedelta(days=1))) == []


async def test_sign_in_role_and_link_of_staff_are_lines_of_the_trail(whole: Whole) -> None:
    trail = PartiesTrail(whole.house.runtime.database)
    someone = await become(whole, "Quan")
    signed = (await trail.lines(Wanted(actor=someone.actor, limit=1)))[0]
    assert (signed.act, signed.actor, signed.subject) == ("signed_in", someone.actor, someone.actor)
    assert signed.note
    given = [each for each in await trail.lines(Wanted(limit=50)) if each.subject == someone.actor]
    assert "role_given" in {each.act for each in given}
    before = Wanted(before=(signed.at, signed.key), limit=50)
    assert signed.key not in {each.key for each in await trail.lines(before)}
    assert await trail.lines(Wanted(actor="person:nonsense")) == []
    operator = operator_of_job("tests", frozenset(OperatorPermission))
    person_id = parse_uuid("person", someone.actor.removeprefix("person:"))
    await whole.house.parties.recovering.make_link(operator, PersonId(person_id))
    made = {(each.act, each.subject) for each in await trail.lines(Wanted(actor="job:tests", limit=50))}
    assert ("link_made", someone.actor) in made


async def test_writing_a_policy_is_a_line_of_the_trail(whole: Whole) -> None:
    await whole.house.decisions.policies.draft("routing", {"strategy": "least_cost"}, "cheaper", "mei")
    line = (await DecisionsTrail(whole.house.runtime.database).lines(Wanted(actor="mei")))[0]
    assert (line.act, line.actor) == ("drafted", "mei")
    assert line.subject.startswith("routing@")


@pytest.mark.parametrize("trail", [RiskTrail, ClearingTrail])
async def test_trail_of_a_room_in_which_nobody_did_anything_is_empty(
    whole: Whole, trail: type[RiskTrail]
) -> None:
    assert await trail(whole.house.runtime.database).lines(Wanted()) == []


async def test_list_and_its_entries_are_lines_of_the_trail(whole: Whole) -> None:
    lists, mei = whole.house.risk.lists, "person:mei"
    key = ListKey(HOUSE_BOOK_ID, True, "stolen cards of the trail")
    await lists.declare(key, ListEffect.BLOCK, "Told by issuers", mei)
    (entry,) = await lists.add(key, [NewEntry(kind=ListKind.CARD, value="card_1", reason="stolen")], mei)
    await lists.remove(HOUSE_BOOK_ID, entry.id, "found again", mei)
    lines = await RiskTrail(whole.house.runtime.database).lines(Wanted(actor=mei, limit=9))
    assert {each.act for each in lines} == {"list_declared", "list_added", "list_removed"}
    assert {each.subject for each in lines} == {key.name}
    assert {each.note for each in lines} == {"Told by issuers", "stolen", "found again"}
    assert len({each.key for each in lines}) == 3


def test_merged_trails_are_newest_first_and_tell_of_more(whole: Whole) -> None:
    at = whole.clock.now()
    lines = [Line(at - timedelta(minutes=n), f"k{n}", "r", "a", "x", "s", "") for n in range(5)]
    found, has_more = merged([lines[::2], lines[1::2]], 4)
    assert ([each.key for each in found], has_more) == (["k0", "k1", "k2", "k3"], True)
    assert merged([lines], 5)[1] is False


async def test_acknowledgment_is_kept_with_who_said_it_and_the_latest_counts(whole: Whole) -> None:
    someone = await become(whole, "Ke")
    assert someone.actor
    said = Acknowledgments(whole.house.runtime.database, whole.clock)
    since = whole.clock.now() - timedelta(hours=1)
    operator = operator_of_job("tests", frozenset({OperatorPermission.OPERATIONS_READ}))
    await said.add(operator, "breaker_open:card/east", since, "asked the acquirer")
    whole.clock.advance(timedelta(seconds=1))
    await said.add(operator, "breaker_open:card/east", since, "they are at it")
    found = await said.of(["breaker_open:card/east", "other"])
    assert [(each.note, each.actor) for each in found.values()] == [("they are at it", "job:tests")]
    assert [each.note for each in await said.latest()] == ["they are at it", "asked the acquirer"]


async def test_acknowledgment_without_a_note_or_a_right_is_refused(whole: Whole) -> None:
    said = Acknowledgments(whole.house.runtime.database, whole.clock)
    allowed = operator_of_job("tests", frozenset({OperatorPermission.OPERATIONS_READ}))
    with pytest.raises(BadField):
        await said.add(allowed, "drift", whole.clock.now(), " ")
    with pytest.raises(PermissionMissing):
        await said.add(operator_of_job("tests", frozenset()), "drift", whole.clock.now(), "seen")


async def test_vitals_tell_size_and_how_far_readers_are(whole: Whole) -> None:
    tenant = await whole.tenant()
    await whole.tally()
    await whole.pay(tenant)
    await whole.events.relay.place_all()
    topics = {each.name: each.topic_names() for each in whole.house.subscriptions()}
    database = whole.house.runtime.database
    behind = await vitals(database, topics)
    assert behind.database.size_bytes > 1_000_000
    assert behind.database.session_count >= 1
    assert max(each.lag for each in behind.consumers) > 0
    # Every reader has read what is for it, whatever else was published since it last met something of its own.
    for _ in range(3):
        await whole.tally()
    assert [each.name for each in (await vitals(database, topics)).consumers if each.lag] == []
    everything = {each.name: () for each in behind.consumers}
    assert max(each.lag for each in (await vitals(database, everything)).consumers) > 0


async def test_sealing_leaves_nothing_unsealed(whole: Whole) -> None:
    await whole.pay(await whole.tenant())
    sealing = whole.house.runtime.ledger.sealing
    before = await sealing.unsealed()
    assert before.count > 0
    assert before.oldest_at is not None
    await sealing.seal_all()
    after = await sealing.unsealed()
    assert (after.count, after.oldest_at) == (0, None)


async def test_cells_tell_money_by_minute_and_currency(whole: Whole) -> None:
    tenant = await whole.tenant()
    whole.clock.advance(timedelta(hours=3))
    for amount in (1_000, 2_500):
        await whole.pay(tenant, amount)
    await whole.tally()
    whole.clock.advance(timedelta(minutes=1))
    health = whole.house.routing.health
    scope = HealthScope(live=False, book_id=tenant.scope.book_id)
    by = (Dimension.CURRENCY, Dimension.MARK)
    cells = await health.cells(scope, health.last(timedelta(hours=1)), by, Step.MINUTE)
    assert [(each.currency, each.mark, each.count, each.amount_minor) for each in cells] == [
        ("CNY", "approved", 2, 3_500)
    ]


async def test_decision_is_answered_alike_when_its_version_is_asked_again(whole: Whole) -> None:
    tenant = await whole.tenant()
    payment = await whole.pay(tenant)
    await whole.tally()
    (routed,) = [
        each.decision
        for each in await whole.house.decisions.log.lineage(tenant.scope.book_id, parse_uuid("pi", payment))
        if each.decision.kind == "routing"
    ]
    again = await whole.house.routing.replaying.again(routed)
    assert sum(again.values()) == pytest.approx(1)
    assert set(again) <= {each.name for each in routed.candidates}
