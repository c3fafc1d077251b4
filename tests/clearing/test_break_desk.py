"""The break desk over a real database and ledger: what people see, match and write off, and what no run sees afterwards."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest
from tests.clearing.house_books import UNTIL, Books, open_books
from tests.clearing.ledgers_of_others import opposite

from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Leg
from tongbao.clearing.schema.lines import LineKind
from tongbao.clearing.store import reconciliation as match_store
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, InvariantBroken, NotFound, NotPermitted
from tongbao.core.ids import IdFactory
from tongbao.ledger.schema import AccountState


@pytest.fixture
async def books(database: Database, ids: IdFactory) -> AsyncIterator[Books]:
    async with open_books(database, ids) as opened:
        yield opened


async def _missing(books: Books, amount_minor: int = 1_000) -> Break:
    """A sale that nobody reported."""
    await books.sell(books.movement(amount_minor))
    await books.report()
    await books.run()
    return await books.break_of(BreakKind.MISSING)


async def test_page_shows_both_sides_and_a_suggestion_in_both_languages(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    await books.report(books.line(sale, gross_minor=940, net_minor=940, fee_minor=60))
    await books.run()
    (view,) = await books.desk.page(of=(None, books.channel, None))
    assert [each.id for each in view.expected] == [sale.id]
    assert [each.amount_minor for each in view.reported] == [940]
    assert view.expected[0].payment.startswith("pi_")
    assert view.suggestion == "net_for_gross"
    assert view.suggested["en"].startswith("The difference is exactly the cost")
    assert view.suggested["zh-CN"].startswith("差额恰为手续费")


async def test_suggestion_of_a_single_break_points_to_its_other_half(books: Books) -> None:
    sale = books.movement(777)
    await books.sell(sale)
    await books.report(books.line(sale, reference="theirs", channel_reference="x", kind=LineKind.OTHER))
    await books.run()
    missing = await books.break_of(BreakKind.MISSING)
    other = await books.break_of(BreakKind.UNEXPECTED)
    view, acts = await books.desk.get(missing.id)
    assert view.suggestion == "looks_like"
    assert other.reference in view.suggested["en"]
    assert [(each["version"], each["state"]) for each in acts] == [(1, "open")]


async def test_expected_break_tells_until_when_it_is_in_time(books: Books) -> None:
    sale = books.movement()
    await books.sell(sale)
    await books.report()
    await books.reconciling.run(books.channel, sale.occurred_at.date(), "mei")
    (view,) = await books.desk.page(of=(BreakKind.EXPECTED, books.channel, None))
    assert str(view.due_on) == "2026-11-04"
    assert view.suggested["en"] == "Wait: it is due by 2026-11-04."


async def test_acts_are_kept_with_who_and_why_and_repeat_without_effect(books: Books) -> None:
    found = await _missing(books)
    explained = await books.desk.explain(found.id, actor="mei", note="their file was cut")
    again = await books.desk.explain(
        found.id, actor="mei", note="their file was cut", seen_version=found.version
    )
    assert again == explained
    await books.desk.resolve(found.id, actor="li", note="they paid in cash")
    _, acts = await books.desk.get(found.id)
    assert [(each["state"], each["actor"], each["note"]) for each in acts] == [
        ("open", "job:reconciliation", ""),
        ("explained", "mei", "their file was cut"),
        ("resolved", "li", "they paid in cash"),
    ]


async def test_difference_that_still_stands_opens_a_resolved_break_again(books: Books) -> None:
    found = await _missing(books)
    await books.desk.resolve(found.id, actor="li", note="said to be mended")
    await books.run()
    assert (await books.break_of(BreakKind.MISSING)).id == found.id


async def test_acts_with_bad_input_are_refused_with_their_codes(books: Books) -> None:
    found = await _missing(books)
    with pytest.raises(NotFound) as unknown:
        await books.desk.explain(uuid4(), actor="mei", note="x")
    with pytest.raises(InvalidRequest) as noteless:
        await books.desk.explain(found.id, actor="mei", note="  ")
    with pytest.raises(Conflict) as changed:
        await books.desk.explain(found.id, actor="mei", note="x", seen_version=9)
    with pytest.raises(Conflict) as unproposed:
        await books.desk.approve(found.id, actor="li")
    with pytest.raises(InvalidRequest) as one_sided:
        await books.desk.match([found.id], actor="mei", note="x")
    with pytest.raises(InvalidRequest) as none:
        await books.desk.match([], actor="mei", note="x")
    codes = [each.value.code for each in (unknown, noteless, changed, unproposed, one_sided, none)]
    assert codes == [
        "break_unknown",
        "note_invalid",
        "break_changed",
        "break_not_proposed",
        "side_missing",
        "breaks_invalid",
    ]


async def test_write_off_of_what_is_missing_is_borne_by_the_house_and_seen_by_no_run(books: Books) -> None:
    found = await _missing(books)
    assert await books.held("receivable") == 1_000
    done = await books.write_off(found)
    assert (done.state, done.proposed_by, done.actor) == (BreakState.WRITTEN_OFF, "mei", "li")
    assert (await books.held("receivable"), await books.held("write_offs")) == (0, 1_000)
    run = await books.reconciling.run(books.channel, UNTIL, "mei")
    assert (run.expected_count, run.break_count) == (0, 0)


async def test_write_off_of_a_refund_nobody_took_is_a_surplus(books: Books) -> None:
    sale = books.movement(1_000)
    refund = opposite(sale, id=books.ids.uuid(), amount_minor=-400)
    await books.sell(sale, refund)
    await books.report(books.line(sale))
    await books.run()
    await books.write_off(await books.break_of(BreakKind.MISSING))
    assert (await books.held("receivable"), await books.held("write_offs")) == (1_000, -400)


async def test_write_off_of_a_difference_accepts_the_pair(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    await books.report(books.line(sale, gross_minor=990, net_minor=990))
    await books.run()
    await books.write_off(await books.break_of(BreakKind.UNDER_AMOUNT))
    assert (await books.held("receivable"), await books.held("write_offs")) == (990, 10)
    run = await books.reconciling.run(books.channel, UNTIL, "mei")
    assert (run.expected_count, run.reported_count, run.break_count) == (0, 0, 0)


async def test_write_off_of_two_currencies_writes_off_each(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    await books.report(books.line(sale, currency="EUR"))
    await books.run()
    await books.write_off(await books.break_of(BreakKind.CURRENCY_MISMATCH))
    assert (await books.held("receivable"), await books.held("write_offs")) == (0, 1_000)
    house = await books.house("EUR")
    assert (house["suspense"], house["write_offs"]) == (-1_000, -1_000)


async def test_write_off_of_a_bank_charge_takes_it_from_the_bank(books: Books) -> None:
    before = await books.house()
    charge = books.line(books.movement(), kind=LineKind.FEE, gross_minor=-15, net_minor=-15, reference="")
    await books.report(charge, source=books.bank)
    await books.run()
    await books.write_off(await books.break_of(BreakKind.UNEXPECTED, books.bank))
    after = await books.house()
    assert (after["bank"] - before["bank"], after["write_offs"] - before["write_offs"]) == (-15, 15)


async def test_write_off_of_another_cost_moves_it_out_of_the_merchants_costs(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    async with books.database.connection() as connection:
        await connection.execute(
            "INSERT INTO clearing.priced VALUES ($1, $2, $3, 0, 0, 6, 0, 0, 0, 1, '', '[]')",
            sale.book_id,
            sale.id,
            books.ids.uuid(),
        )
    await books.report(books.line(sale, fee_minor=9, net_minor=991))
    await books.run()
    found = await books.break_of(BreakKind.FEE_MISMATCH)
    await books.write_off(found)
    assert (await books.held("channel_cost"), await books.held("write_offs")) == (-3, 3)


async def test_one_person_alone_writes_nothing_off(books: Books) -> None:
    found = await _missing(books)
    await books.desk.propose(found.id, actor="mei", note="small")
    with pytest.raises(NotPermitted) as alone:
        await books.desk.approve(found.id, actor="mei")
    assert alone.value.code == "four_eyes"
    declined = await books.desk.decline(found.id, actor="li", note="ask them first")
    assert (declined.state, declined.proposed_by) == (BreakState.OPEN, "")
    assert await books.held("write_offs") == 0


async def test_two_approvals_at_once_write_it_off_once(books: Books) -> None:
    found = await _missing(books)
    await books.desk.propose(found.id, actor="mei", note="small")
    done = await asyncio.gather(
        *(books.desk.approve(found.id, actor=actor) for actor in ("li", "wang", "zhao", "li")),
        return_exceptions=True,
    )
    codes = [each.code for each in done if isinstance(each, Conflict)]
    assert set(codes) <= {"break_not_proposed"}
    assert len({each.actor for each in done if isinstance(each, Break)}) == 1
    assert await books.held("write_offs") == 1_000
    _, acts = await books.desk.get(found.id)
    assert [each["state"] for each in acts].count("written_off") == 1


async def test_approval_beside_a_run_that_finds_the_other_half_counts_once(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    await books.report()
    await books.run()
    found = await books.break_of(BreakKind.MISSING)
    await books.desk.propose(found.id, actor="mei", note="small")
    await books.report(books.line(sale))
    await asyncio.gather(
        books.desk.approve(found.id, actor="li"),
        books.reconciling.run(books.channel, UNTIL, "mei"),
        return_exceptions=True,
    )
    view, _ = await books.desk.get(found.id)
    is_written_off = view.of.state is BreakState.WRITTEN_OFF
    assert view.of.state in {BreakState.WRITTEN_OFF, BreakState.RESOLVED}
    assert await books.held("write_offs") == (1_000 if is_written_off else 0)
    run = await books.reconciling.run(books.channel, UNTIL, "mei")
    assert run.expected_count == 0


async def test_match_by_hand_pairs_the_halves_and_no_run_sees_them_again(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    await books.report(
        books.line(sale, reference="a", channel_reference="b", kind=LineKind.OTHER, gross_minor=600),
        books.line(sale, reference="c", channel_reference="d", kind=LineKind.OTHER, gross_minor=400),
    )
    await books.run()
    known = await books.breaks()
    assert len(known) == 3
    done = await books.desk.match([each.id for each in known], actor="mei", note="paid in two parts")
    assert {each.state for each in done} == {BreakState.RESOLVED}
    again = await books.desk.match([each.id for each in known], actor="mei", note="paid in two parts")
    assert again == done
    assert not await books.breaks()
    run = await books.reconciling.run(books.channel, UNTIL, "mei")
    assert (run.expected_count, run.reported_count, run.break_count) == (0, 0, 0)


async def test_acts_on_a_break_that_somebody_ended_are_conflicts(books: Books) -> None:
    await books.sell(books.movement(1_000), books.movement(500))
    await books.report()
    await books.run()
    first, second = await books.breaks()
    await books.desk.resolve(first.id, actor="mei", note="paid in cash")
    desk = books.desk
    for act in (
        desk.match([first.id], actor="li", note="late"),
        desk.match([second.id, first.id], actor="li", note="late"),
        desk.resolve(first.id, actor="li", note="me too"),
        desk.resolve(first.id, actor="mei", note="for another reason"),
        desk.explain(first.id, actor="li", note="late"),
        desk.propose(first.id, actor="li", note="late"),
    ):
        with pytest.raises(Conflict) as refused:
            await act
        assert refused.value.code == "break_closed"
    with pytest.raises(Conflict) as approved:
        await desk.approve(first.id, actor="li")
    assert approved.value.code == "break_not_proposed"
    _, acts = await desk.get(first.id)
    assert [each["state"] for each in acts] == ["open", "resolved"]
    await books.write_off(second)
    for late in (desk.approve(second.id, actor="chen"), desk.decline(second.id, actor="chen", note="no")):
        with pytest.raises(Conflict) as refused:
            await late
        assert refused.value.code == "break_not_proposed"


async def test_match_with_a_difference_leaves_a_break_that_runs_do_not_close(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    await books.report(books.line(sale, gross_minor=1_100, net_minor=1_100))
    await books.run()
    over = await books.break_of(BreakKind.OVER_AMOUNT)
    _, rest = await books.desk.match([over.id], actor="mei", note="same payment")
    assert (rest.found.difference_minor, rest.found.facts) == (100, {"rest_of": over.reference})
    await books.run()
    (standing,) = await books.breaks()
    assert (standing.id, standing.book_id) == (rest.id, books.book_id)
    await books.write_off(standing)
    assert (await books.held("receivable"), await books.held("write_offs")) == (1_100, -100)
    assert not await books.breaks()


async def test_match_of_some_records_leaves_the_others_to_the_next_run(books: Books) -> None:
    sale = books.movement(1_000)
    await books.sell(sale)
    await books.report(books.line(sale, reference="a", channel_reference="b", kind=LineKind.OTHER))
    await books.report(
        books.line(sale, reference="c", channel_reference="d", kind=LineKind.OTHER, gross_minor=7)
    )
    await books.run()
    known = await books.breaks()
    lines = [each.found.reported[0] for each in known if each.found.difference_minor == 1_000]
    with pytest.raises(InvalidRequest) as foreign:
        await books.desk.match([each.id for each in known], actor="mei", note="x", reported=[12])
    assert foreign.value.code == "record_not_in_breaks"
    await books.desk.match([each.id for each in known], actor="mei", note="that one", reported=lines)
    await books.run()
    (left,) = await books.breaks()
    assert (left.found.kind, left.found.difference_minor) == (BreakKind.UNEXPECTED, 7)


async def test_match_that_nobody_could_undo_is_refused(books: Books) -> None:
    sale, other = books.movement(1_000), books.movement(500, book_id=books.ids.int63())
    await books.sell(sale, other)
    coin = msgspec.structs.replace(
        books.line(sale, gross_minor=1_600, kind=LineKind.OTHER), reference="a", channel_reference="b"
    )
    await books.report(coin, books.line(books.movement(9), currency="USD", kind=LineKind.OTHER))
    await books.run()
    known = {each.found.difference_minor: each.id for each in await books.breaks()}
    with pytest.raises(InvalidRequest) as ambiguous:
        await books.desk.match([known[-1_000], known[-500], known[1_600]], actor="mei", note="x")
    with pytest.raises(InvalidRequest) as currencies:
        await books.desk.match([known[-1_000], known[9]], actor="mei", note="x")
    assert (ambiguous.value.code, currencies.value.code) == ("match_ambiguous", "currencies_differ")


async def test_write_off_that_the_ledger_refuses_leaves_everything_as_it_was(books: Books) -> None:
    found = await _missing(books)
    await books.desk.propose(found.id, actor="mei", note="small")
    money = await books.money.merchant(books.book_id, books.channel, "CNY")
    await books.ledger.accounts.change_account(
        money.book_id, money.write_offs, actor="test", reason="closed for a test", state=AccountState.CLOSED
    )
    with pytest.raises(InvariantBroken) as refused:
        await books.desk.approve(found.id, actor="li")
    assert refused.value.code == "write_off_refused"
    assert (await books.break_of(BreakKind.MISSING)).state is BreakState.PROPOSED
    run = await books.reconciling.run(books.channel, UNTIL, "mei")
    assert (run.expected_count, await books.held("receivable")) == (1, 1_000)


async def test_record_that_somebody_matched_meanwhile_is_not_written_off(books: Books) -> None:
    found = await _missing(books)
    await books.desk.propose(found.id, actor="mei", note="small")
    async with books.database.transaction() as connection:
        rows = [(12, found.found.expected[0], 1.0, 0)]
        await match_store.add_matched(connection, found.id, Leg.CHANNEL, rows)
    with pytest.raises(Conflict) as matched:
        await books.desk.approve(found.id, actor="li")
    assert (matched.value.code, await books.held("write_offs")) == ("record_matched", 0)


async def test_ages_tell_what_stands_by_kind_and_currency(books: Books) -> None:
    currency = "NOK"
    await books.sell(books.movement(300, currency=currency), books.movement(200, currency=currency))
    await books.report()
    await books.run()
    lines = {(each.kind, each.currency): each for each in await books.desk.ages(UNTIL)}
    mine = lines["missing", currency]
    assert (mine.counts, mine.amounts_minor) == ((0, 0, 2, 0, 0), (0, 0, 500, 0, 0))
