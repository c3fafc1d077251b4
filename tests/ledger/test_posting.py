"""Posting through the service on a real database: what each act and each bad input comes to."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.conftest import USD, Bench, make_bench, utc

from tongbao.core.clock import FrozenClock
from tongbao.core.errors import Conflict, LimitExceeded, Unavailable
from tongbao.core.ids import derive
from tongbao.ledger.errors import AccountNotEmpty
from tongbao.ledger.schema import (
    AMOUNT_MINOR_MAX,
    BALANCE_MINOR_MAX,
    BULK_SIZE_MAX,
    GROUP_SIZE_MAX,
    AccountId,
    AccountState,
    BookId,
    HoldState,
    Kind,
    Outcome,
    PostResult,
    Refusal,
    Transfer,
    capture,
    linked,
    reversal,
    void,
)
from tongbao.ledger.service.ledger import Ledger

OpenLedger = Callable[..., Ledger]
START = utc(2026, 3, 1, 12)
FITTING = 512  # amounts of AMOUNT_MINOR_MAX that fit below BALANCE_MINOR_MAX


async def post(bench: Bench, *transfers: Transfer) -> list[PostResult]:
    return await bench.ledger.posting.post(transfers)


async def refusals(bench: Bench, *transfers: Transfer) -> list[Refusal | None]:
    return [result.refusal for result in await post(bench, *transfers)]


async def fund(bench: Bench, name: str, amount_minor: int) -> None:
    assert await refusals(bench, bench.transfer("equity", name, amount_minor)) == [None]


async def place(bench: Bench, debit: str, credit: str, amount_minor: int, **fields: object) -> Transfer:
    placed = bench.hold(debit, credit, amount_minor, **fields)
    assert await refusals(bench, placed) == [None]
    return placed


def capture_of(bench: Bench, placed: Transfer, amount_minor: int, *, final: bool = False) -> Transfer:
    return capture(bench.key(), placed.book_id, placed.key, amount_minor, "capture", final=final)


def void_of(bench: Bench, placed: Transfer) -> Transfer:
    return void(bench.key(), placed.book_id, placed.key, "void")


async def held(bench: Bench, name: str) -> tuple[int, int]:
    account = await bench.balance(name)
    return account.debits_held_minor, account.credits_held_minor


async def change(bench: Bench, name: str, **changes: Any) -> None:
    account = bench.accounts[name]
    await bench.ledger.accounts.change_account(
        account.book_id, account.account_id, actor="test", reason="test", **changes
    )


async def hold_state(bench: Bench, placed: Transfer) -> tuple[HoldState, int, int]:
    holds = await bench.ledger.reading.holds(placed.book_id, open_only=False, limit=500)
    row = next(hold for hold in holds if hold.key == placed.key)
    return row.state, row.captured_minor, row.remaining_minor


async def assert_sound(bench: Bench) -> None:
    """Seal and verify: balances, holds, seals and journal agree."""
    await bench.ledger.sealing.seal_all()
    assert (await bench.ledger.verifying.verify(bench.book.code)).findings == ()


# One transfer, and many together


async def test_post_one_refused_item_in_a_batch_leaves_its_neighbors_posted(bench: Bench) -> None:
    assert await refusals(
        bench,
        bench.transfer("equity", "a", 100),
        bench.transfer("a", "b", 101),
        bench.transfer("a", "b", 60),
        bench.transfer("a", "b", 41),
        bench.transfer("b", "a", 10),
        bench.transfer("a", "b", 50),
    ) == [None, Refusal.BELOW_FLOOR, None, Refusal.BELOW_FLOOR, None, None]
    assert [await bench.posted(name) for name in ("equity", "a", "b")] == [-100, 0, 100]
    await assert_sound(bench)


async def test_post_nothing_answers_nothing(bench: Bench) -> None:
    assert await post(bench) == []


async def test_post_repeated_key_returns_the_original_answer(open_ledger: OpenLedger) -> None:
    clock = FrozenClock(START)
    async with open_ledger(clock) as ledger:
        bench = await make_bench(ledger)
        await fund(bench, "a", 100)
        sent = [
            bench.transfer("a", "b", 70),
            bench.transfer("a", "b", 50, up_to=True),
            bench.hold("b", "c", 40),
        ]
        first = await post(bench, *sent)
        clock.advance(timedelta(days=1))
        again = await post(bench, *sent[::-1])
        assert [r.outcome for r in again] == [Outcome.EXISTS] * 3
        assert [(r.key, r.amount_minor, r.recorded_at) for r in again[::-1]] == [
            (r.key, r.amount_minor, START) for r in first
        ]
        assert [await bench.posted(name) for name in ("a", "b")] == [0, 100]


async def test_post_repeat_of_a_refused_transfer_may_succeed(bench: Bench) -> None:
    early = bench.transfer("a", "b", 10)
    assert await refusals(bench, early) == [Refusal.BELOW_FLOOR]
    await fund(bench, "a", 10)
    assert await refusals(bench, early) == [None]


@pytest.mark.parametrize(
    "change",
    [
        {"amount_minor": 11},
        {"code": "changed"},
        {"reference": "changed"},
        {"asset_id": USD},
        {"occurred_at": START},
        {"up_to": True},
        {"kind": Kind.HOLD},
        {"kind": Kind.HOLD, "expires_at": START},
        {"debit_account_id": "b"},
        {"credit_account_id": "c"},
        {"group_key": "itself"},
    ],
    ids=lambda change: "-".join(change),
)
async def test_post_known_key_with_other_content_is_a_conflict(bench: Bench, change: dict[str, Any]) -> None:
    sent = bench.transfer("equity", "a", 10)
    await post(bench, sent)
    other = {
        name: sent.key
        if value == "itself"
        else bench.accounts[value].account_id
        if value in bench.accounts
        else value
        for name, value in change.items()
    }
    assert await refusals(bench, msgspec.structs.replace(sent, **other)) == [Refusal.KEY_CONFLICT]
    assert await bench.posted("a") == 10


async def test_post_same_key_twice_in_one_call_moves_money_once(bench: Bench) -> None:
    sent = bench.transfer("equity", "a", 10)
    results = await post(bench, sent, sent, msgspec.structs.replace(sent, amount_minor=11))
    assert [r.outcome for r in results] == [Outcome.POSTED, Outcome.EXISTS, Outcome.REFUSED]
    assert results[2].refusal is Refusal.KEY_CONFLICT
    assert await bench.posted("a") == 10


async def test_post_same_key_in_two_books_is_two_transfers(bench: Bench) -> None:
    other = await make_bench(bench.ledger)
    sent = bench.transfer("equity", "a", 10)
    twin = other.transfer("equity", "a", 20, key=sent.key)
    assert await refusals(bench, sent, twin) == [None, None]
    assert [await bench.posted("a"), await other.posted("a")] == [10, 20]


async def test_post_fifty_identical_calls_at_once_post_once(bench: Bench) -> None:
    sent = bench.transfer("equity", "a", 10)
    results = await asyncio.gather(*(bench.ledger.posting.post_one(sent) for _ in range(50)))
    outcomes = [result.outcome for result in results]
    assert (outcomes.count(Outcome.POSTED), outcomes.count(Outcome.EXISTS)) == (1, 49)
    assert {result.recorded_at for result in results} == {results[0].recorded_at}
    assert await bench.posted("a") == 10


async def test_post_bulk_of_8000_is_one_call_and_8001_too_large(bench: Bench) -> None:
    bulk = [bench.transfer("equity", "abc"[n % 3], 1 + n % 7) for n in range(BULK_SIZE_MAX)]
    results = await bench.ledger.posting.post(bulk)
    assert [r.outcome for r in results] == [Outcome.POSTED] * BULK_SIZE_MAX
    assert [await bench.posted(name) for name in "abc"] == [
        sum(1 + n % 7 for n in range(i, BULK_SIZE_MAX, 3)) for i in range(3)
    ]
    with pytest.raises(LimitExceeded, match="bulk_too_large"):
        await bench.ledger.posting.post([*bulk, bench.transfer("equity", "a", 1)])
    assert (await bench.ledger.posting.post(bulk))[0].outcome is Outcome.EXISTS


async def test_post_past_the_queue_is_unavailable_with_a_time_to_come_back(open_ledger: OpenLedger) -> None:
    async with open_ledger(queue_max=10) as ledger:
        bench = await make_bench(ledger)
        first = [bench.transfer("equity", "a", 1) for _ in range(8)]
        second = [bench.transfer("equity", "a", 1) for _ in range(5)]
        posted, turned_away = await asyncio.gather(
            ledger.posting.post(first), ledger.posting.post(second), return_exceptions=True
        )
        assert isinstance(posted, list)
        assert isinstance(turned_away, Unavailable)
        assert (turned_away.code, turned_away.retry_after_s) == ("lane_full", 1)
        assert all(result.accepted for result in await ledger.posting.post(second))
        assert await bench.posted("a") == 13


# Groups


async def test_post_group_with_a_refused_member_posts_nothing_of_it(bench: Bench) -> None:
    await fund(bench, "a", 100)
    doomed = linked([bench.transfer("a", "b", 60), bench.hold("a", "b", 10), bench.transfer("a", "b", 60)])
    sound = linked([bench.transfer("a", "b", 70), bench.transfer("b", "c", 70)])
    single = bench.transfer("a", "c", 30)
    assert await refusals(bench, *doomed, *sound, single) == [
        *[Refusal.GROUP_REFUSED] * 2,
        Refusal.BELOW_FLOOR,
        *[None] * 3,
    ]
    assert [await bench.posted(name) for name in "abc"] == [0, 0, 100]
    assert await held(bench, "a") == (0, 0)
    assert [r.outcome for r in await post(bench, *sound)] == [Outcome.EXISTS] * 2
    await assert_sound(bench)


async def test_post_torn_group_is_refused_and_its_neighbors_are_posted(bench: Bench) -> None:
    group = linked([bench.transfer("equity", "a", 1) for _ in range(3)])
    single = bench.transfer("equity", "a", 5)
    assert await refusals(bench, *group[:2], single, group[2]) == [
        *[Refusal.GROUP_SPLIT] * 2,
        None,
        Refusal.GROUP_SPLIT,
    ]
    assert await refusals(bench, *group[1:]) == [Refusal.GROUP_SPLIT] * 2
    assert (await bench.ledger.posting.post_one(group[1])).refusal is Refusal.GROUP_SPLIT
    assert await bench.posted("a") == 5
    assert await refusals(bench, *group) == [None] * 3


async def test_post_known_group_in_other_shape_is_refused(bench: Bench) -> None:
    group = linked([bench.transfer("equity", "a", 1) for _ in range(3)])
    await post(bench, *group)
    assert await refusals(bench, *group[:2]) == [Refusal.KEY_CONFLICT] * 2
    longer = [*group, bench.transfer("equity", "a", 1, group_key=group[0].key)]
    assert await refusals(bench, *longer) == [Refusal.GROUP_SPLIT] * 4
    assert await bench.posted("a") == 3


async def test_post_group_of_100_is_posted_and_of_101_refused(bench: Bench) -> None:
    whole = linked([bench.transfer("equity", "a", 1) for _ in range(GROUP_SIZE_MAX)])
    large = linked([bench.transfer("equity", "a", 1) for _ in range(GROUP_SIZE_MAX + 1)])
    assert await refusals(bench, *whole) == [None] * GROUP_SIZE_MAX
    assert await refusals(bench, *large) == [Refusal.GROUP_TOO_LARGE] * (GROUP_SIZE_MAX + 1)
    assert await bench.posted("a") == GROUP_SIZE_MAX


async def test_post_cyclic_group_needs_money_only_at_its_start(bench: Bench) -> None:
    circle = linked(
        [bench.transfer("a", "b", 50), bench.transfer("b", "c", 50), bench.transfer("c", "a", 50)]
    )
    assert await refusals(bench, *circle) == [Refusal.BELOW_FLOOR] * 3
    await fund(bench, "a", 50)
    assert await refusals(bench, *circle) == [None] * 3
    assert [await bench.posted(name) for name in "abc"] == [50, 0, 0]
    await assert_sound(bench)


# Limits


async def test_post_up_to_moves_what_both_limits_allow(bench: Bench) -> None:
    await fund(bench, "a", 5_000)
    results = await post(
        bench,
        bench.transfer("a", "capped", 400, up_to=True),
        bench.transfer("a", "capped", 900, up_to=True),
        bench.transfer("a", "capped", 1, up_to=True),
        bench.transfer("a", "b", 9_000, up_to=True),
        bench.transfer("a", "b", 1, up_to=True),
    )
    assert [r.amount_minor for r in results] == [400, 600, 0, 4_000, 0]
    assert [r.refusal for r in results] == [
        None,
        None,
        Refusal.NOTHING_TO_MOVE,
        None,
        Refusal.NOTHING_TO_MOVE,
    ]
    assert await bench.posted("capped") == 1_000
    await assert_sound(bench)


@pytest.mark.parametrize("together", [True, False])
async def test_hold_six_of_1000_against_5000_refuses_one(bench: Bench, together: bool) -> None:
    await fund(bench, "a", 5_000)
    six = [bench.hold("a", "b", 1_000) for _ in range(6)]
    if together:
        answers = await refusals(bench, *six)
    else:
        answers = [
            result.refusal for result in await asyncio.gather(*map(bench.ledger.posting.post_one, six))
        ]
    assert sorted(answers, key=str) == [*[None] * 5, Refusal.BELOW_FLOOR]
    assert await held(bench, "a") == (5_000, 0)
    assert await refusals(bench, bench.transfer("a", "c", 1)) == [Refusal.BELOW_FLOOR]


async def test_hold_incoming_counts_against_the_ceiling(bench: Bench) -> None:
    placed = await place(bench, "equity", "capped", 700)
    assert await refusals(
        bench,
        bench.transfer("equity", "capped", 301),
        bench.hold("equity", "capped", 300),
        bench.transfer("equity", "capped", 1),
    ) == [Refusal.ABOVE_CEILING, None, Refusal.ABOVE_CEILING]
    assert await refusals(
        bench, capture_of(bench, placed, 500, final=True), bench.transfer("equity", "capped", 200)
    ) == [
        None,
        None,
    ]
    assert (await bench.posted("capped"), await held(bench, "capped")) == (700, (0, 300))


async def test_change_limits_while_transfers_flow_holds_from_then_on(bench: Bench) -> None:
    await fund(bench, "a", 1_000)
    flow = [bench.transfer("a", "b", 20) for _ in range(60)]

    async def raise_floor() -> None:
        await change(bench, "a", floor_minor=300)

    results = await asyncio.gather(
        *map(bench.ledger.posting.post_one, flow[:30]),
        raise_floor(),
        *map(bench.ledger.posting.post_one, flow[30:]),
    )
    posted = sum(result is not None and result.accepted for result in results)
    assert await bench.posted("a") == 1_000 - 20 * posted >= 300
    assert await refusals(bench, bench.transfer("a", "b", await bench.posted("a") - 299)) == [
        Refusal.BELOW_FLOOR
    ]
    await change(bench, "a", floor_minor=-50)
    assert await refusals(bench, bench.transfer("a", "b", await bench.posted("a") + 50)) == [None]
    await change(bench, "a", floor_minor=None)
    assert await refusals(bench, bench.transfer("a", "b", 10**9)) == [None]


async def test_change_floor_above_the_balance_lets_money_only_in(bench: Bench) -> None:
    await fund(bench, "a", 100)
    placed = await place(bench, "a", "b", 40)
    await change(bench, "a", floor_minor=500)
    assert await refusals(
        bench, bench.transfer("a", "b", 1), bench.transfer("equity", "a", 1), capture_of(bench, placed, 40)
    ) == [Refusal.BELOW_FLOOR, None, None]


async def test_post_two_ledgers_on_one_limited_account_never_overdraw(
    open_ledger: OpenLedger, bench: Bench
) -> None:
    await fund(bench, "a", 1_000)
    async with open_ledger() as second:
        results = await asyncio.gather(
            *(
                ledger.posting.post_one(bench.transfer("a", "b", 10))
                for _ in range(75)
                for ledger in (bench.ledger, second)
            )
        )
    assert [r.accepted for r in results].count(True) == 100
    assert [await bench.posted(name) for name in "ab"] == [0, 1_000]


# Holds


async def test_capture_in_parts_moves_each_part_and_the_last_releases_the_rest(bench: Bench) -> None:
    await fund(bench, "a", 1_000)
    placed = await place(bench, "a", "b", 600)
    for amount, final, expected in (
        (100, False, (HoldState.OPEN, 100, 500)),
        (150, False, (HoldState.OPEN, 250, 350)),
        (50, True, (HoldState.CAPTURED, 300, 0)),
    ):
        assert await refusals(bench, capture_of(bench, placed, amount, final=final)) == [None]
        assert await hold_state(bench, placed) == expected
    assert (await bench.posted("a"), await held(bench, "a")) == (700, (0, 0))
    assert (await bench.posted("b"), await held(bench, "b")) == (300, (0, 0))
    await assert_sound(bench)


async def test_capture_everything_closes_the_hold_and_its_repeat_exists(bench: Bench) -> None:
    placed = await place(bench, "equity", "b", 600)
    everything = capture_of(bench, placed, 0, final=True)
    assert [(r.outcome, r.amount_minor) for r in await post(bench, everything)] == [(Outcome.POSTED, 600)]
    assert [(r.outcome, r.amount_minor) for r in await post(bench, everything)] == [(Outcome.EXISTS, 600)]
    assert await refusals(bench, capture_of(bench, placed, 1)) == [Refusal.HOLD_CLOSED]


async def test_capture_of_part_repeated_as_of_everything_is_a_conflict(bench: Bench) -> None:
    placed = await place(bench, "equity", "b", 600)
    part = capture_of(bench, placed, 200, final=True)
    assert await refusals(bench, part, msgspec.structs.replace(part, amount_minor=0)) == [
        None,
        Refusal.KEY_CONFLICT,
    ]


async def test_capture_more_than_is_left_is_refused(bench: Bench) -> None:
    placed = await place(bench, "equity", "b", 600)
    assert await refusals(
        bench, capture_of(bench, placed, 601), capture_of(bench, placed, 400), capture_of(bench, placed, 201)
    ) == [Refusal.HOLD_EXCEEDED, None, Refusal.HOLD_EXCEEDED]
    assert await hold_state(bench, placed) == (HoldState.OPEN, 400, 200)


async def test_capture_after_void_is_refused(bench: Bench) -> None:
    placed = await place(bench, "equity", "b", 600)
    assert await refusals(
        bench, void_of(bench, placed), capture_of(bench, placed, 1), void_of(bench, placed)
    ) == [
        None,
        Refusal.HOLD_CLOSED,
        Refusal.HOLD_CLOSED,
    ]
    assert await held(bench, "b") == (0, 0)


async def test_capture_twice_at_once_by_two_ledgers_succeeds_once(
    open_ledger: OpenLedger, bench: Bench
) -> None:
    placed = await place(bench, "equity", "b", 600)
    async with open_ledger() as second:
        results = await asyncio.gather(
            bench.ledger.posting.post_one(capture_of(bench, placed, 600)),
            second.posting.post_one(capture_of(bench, placed, 600)),
        )
    assert {r.refusal for r in results} == {None, Refusal.HOLD_CLOSED}
    assert await bench.posted("b") == 600


async def test_hold_and_its_end_in_one_call_are_decided_in_order(bench: Bench) -> None:
    placed = bench.hold("equity", "b", 600)
    assert await refusals(
        bench, capture_of(bench, placed, 1), placed, capture_of(bench, placed, 200), void_of(bench, placed)
    ) == [Refusal.HOLD_UNKNOWN, None, None, None]
    assert await hold_state(bench, placed) == (HoldState.VOIDED, 200, 0)
    await assert_sound(bench)


@pytest.mark.parametrize("swept", [False, True])
async def test_capture_of_an_overdue_hold_is_refused_before_and_after_the_sweep(
    open_ledger: OpenLedger, swept: bool
) -> None:
    clock = FrozenClock(START)
    async with open_ledger(clock) as ledger:
        bench = await make_bench(ledger)
        placed = await place(bench, "equity", "b", 600, expires_at=START + timedelta(hours=1))
        clock.advance(timedelta(hours=1) - timedelta(microseconds=1))
        assert await refusals(bench, capture_of(bench, placed, 100)) == [None]
        assert await ledger.posting.expire_due_holds() == 0
        clock.advance(timedelta(microseconds=1))
        assert await ledger.posting.expire_due_holds() == 1 if swept else True
        assert await refusals(bench, capture_of(bench, placed, 100)) == [Refusal.HOLD_EXPIRED]
        assert await held(bench, "b") == ((0, 0) if swept else (0, 500))
        # A void releases what no sweep has released yet.
        assert await refusals(bench, void_of(bench, placed)) == [Refusal.HOLD_CLOSED if swept else None]
        assert await ledger.posting.expire_due_holds() == 0
        assert (await bench.posted("b"), await held(bench, "b")) == (100, (0, 0))
        await assert_sound(bench)


async def test_expire_due_holds_more_than_one_sweep_takes_several_calls(open_ledger: OpenLedger) -> None:
    clock = FrozenClock(START)
    async with open_ledger(clock) as ledger, open_ledger(clock) as second:
        bench = await make_bench(ledger)
        due = [bench.hold("equity", "b", 1, expires_at=START) for _ in range(620)]
        assert all(result.accepted for result in await ledger.posting.post(due))
        both = await asyncio.gather(ledger.posting.expire_due_holds(), second.posting.expire_due_holds())
        assert sum(both) == 500
        assert [await ledger.posting.expire_due_holds() for _ in range(2)] == [120, 0]
        assert await held(bench, "b") == (0, 0)
        await assert_sound(bench)


async def test_expire_due_holds_on_frozen_accounts_releases_them(open_ledger: OpenLedger) -> None:
    async with open_ledger(FrozenClock(START)) as ledger:
        bench = await make_bench(ledger)
        await fund(bench, "a", 100)
        await place(bench, "a", "b", 60, expires_at=START)
        await change(bench, "a", state=AccountState.FROZEN)
        assert await ledger.posting.expire_due_holds() == 1
        assert await held(bench, "a") == (0, 0)


async def test_void_on_a_frozen_account_passes_and_capture_does_not(bench: Bench) -> None:
    await fund(bench, "a", 100)
    placed = await place(bench, "a", "b", 60)
    await change(bench, "a", state=AccountState.FROZEN)
    assert await refusals(bench, capture_of(bench, placed, 10), void_of(bench, placed)) == [
        Refusal.ACCOUNT_FROZEN,
        None,
    ]
    assert await held(bench, "a") == (0, 0)


# Reversals


async def test_reversal_of_a_transfer_happens_once(bench: Bench) -> None:
    sent = bench.transfer("equity", "a", 80)
    await post(bench, sent)
    back = reversal(sent.book_id, sent.key, "refund")
    assert [r.outcome for r in await post(bench, back, back)] == [Outcome.POSTED, Outcome.EXISTS]
    assert [r.outcome for r in await post(bench, back)] == [Outcome.EXISTS]
    assert await refusals(
        bench,
        msgspec.structs.replace(back, code="other"),
        msgspec.structs.replace(back, key=bench.key()),
        reversal(sent.book_id, back.key, "refund"),
    ) == [Refusal.KEY_CONFLICT, Refusal.FIELDS_INVALID, Refusal.NOT_REVERSIBLE]
    row = await bench.ledger.reading.transfer(sent.book_id, back.key)
    assert (row.debit_account_id, row.credit_account_id) == (sent.credit_account_id, sent.debit_account_id)
    assert (row.amount_minor, row.refers_to, back.key) == (80, sent.key, derive(sent.key, "reversal"))
    assert await bench.posted("a") == 0


async def test_reversal_of_what_was_spent_or_is_a_hold_is_refused(bench: Bench) -> None:
    sent, placed = bench.transfer("equity", "a", 80), bench.hold("equity", "b", 50)
    taken = capture_of(bench, placed, 20)
    await post(bench, sent, placed, taken, bench.transfer("a", "c", 1))
    book_id = sent.book_id
    assert await refusals(
        bench,
        reversal(book_id, sent.key, "refund"),
        reversal(book_id, placed.key, "refund"),
        reversal(book_id, bench.key(), "refund"),
        reversal(book_id, taken.key, "refund"),
    ) == [Refusal.BELOW_FLOOR, Refusal.NOT_REVERSIBLE, Refusal.TRANSFER_UNKNOWN, None]
    assert (await bench.posted("b"), await hold_state(bench, placed)) == (0, (HoldState.OPEN, 20, 30))


# States of accounts


@pytest.mark.parametrize(
    ("state", "incoming", "outgoing"),
    [
        (AccountState.OPEN, None, None),
        (AccountState.RECEIVE_ONLY, None, Refusal.ACCOUNT_FROZEN),
        (AccountState.FROZEN, Refusal.ACCOUNT_FROZEN, Refusal.ACCOUNT_FROZEN),
        (AccountState.CLOSED, Refusal.ACCOUNT_CLOSED, Refusal.ACCOUNT_CLOSED),
    ],
)
@pytest.mark.parametrize("name", ["b", "striped"])
async def test_post_by_state_of_account_passes_or_is_refused(
    bench: Bench, name: str, state: AccountState, incoming: Refusal | None, outgoing: Refusal | None
) -> None:
    if state is not AccountState.CLOSED:
        await fund(bench, name, 100)
    await change(bench, name, state=state)
    for make in (bench.transfer, bench.hold):
        assert await refusals(bench, make("equity", name, 1), make(name, "equity", 1)) == [incoming, outgoing]


async def test_close_account_with_money_or_holds_is_a_conflict(bench: Bench) -> None:
    await fund(bench, "a", 10)
    with pytest.raises(AccountNotEmpty):
        await change(bench, "a", state=AccountState.CLOSED)
    placed = await place(bench, "a", "b", 10)
    for name in "ab":
        with pytest.raises(AccountNotEmpty):
            await change(bench, name, state=AccountState.CLOSED)
    assert await refusals(bench, void_of(bench, placed), bench.transfer("a", "c", 10)) == [None, None]
    await change(bench, "a", state=AccountState.CLOSED)
    with pytest.raises(Conflict, match="account_closed"):
        await change(bench, "a", state=AccountState.OPEN)


# Bad input: each row has one fault, is refused alone, and leaves its neighbors alone

NAIVE = datetime(2026, 3, 1)  # noqa: DTZ001 - the fault that is tested
BAD_FIELDS: list[tuple[dict[str, Any], Refusal]] = [
    ({"amount_minor": 0}, Refusal.AMOUNT_NOT_POSITIVE),
    ({"amount_minor": -1}, Refusal.AMOUNT_NOT_POSITIVE),
    ({"amount_minor": AMOUNT_MINOR_MAX + 1}, Refusal.AMOUNT_TOO_LARGE),
    ({"amount_minor": 2**200}, Refusal.AMOUNT_TOO_LARGE),
    ({"amount_minor": 1.0}, Refusal.FIELDS_INVALID),
    ({"amount_minor": True}, Refusal.FIELDS_INVALID),
    ({"amount_minor": "1"}, Refusal.FIELDS_INVALID),
    ({"code": "Upper"}, Refusal.CODE_INVALID),
    ({"code": "x" * 10_000}, Refusal.CODE_INVALID),
    ({"code": None}, Refusal.FIELDS_INVALID),
    ({"reference": "x" * 10_000}, Refusal.REFERENCE_TOO_LONG),
    ({"reference": ""}, Refusal.REFERENCE_TOO_LONG),
    ({"reference": "a\x00b"}, Refusal.REFERENCE_TOO_LONG),
    ({"reference": "a\x1b[2J"}, Refusal.REFERENCE_TOO_LONG),
    ({"reference": "\u202eabc"}, Refusal.REFERENCE_TOO_LONG),
    ({"reference": "\ud800"}, Refusal.REFERENCE_TOO_LONG),
    ({"reference": b"bytes"}, Refusal.FIELDS_INVALID),
    ({"occurred_at": NAIVE}, Refusal.TIME_INVALID),
    ({"expires_at": NAIVE, "kind": Kind.HOLD}, Refusal.TIME_INVALID),
    ({"occurred_at": "2026-03-01T00:00:00Z"}, Refusal.FIELDS_INVALID),
    ({"expires_at": START}, Refusal.FIELDS_INVALID),
    ({"final": True}, Refusal.FIELDS_INVALID),
    ({"refers_to": UUID(int=7)}, Refusal.FIELDS_INVALID),
    ({"refers_to": "no uuid", "kind": Kind.CAPTURE}, Refusal.FIELDS_INVALID),
    ({"refers_to": "no uuid", "kind": Kind.REVERSAL, "amount_minor": 0}, Refusal.FIELDS_INVALID),
    ({"key": "no uuid"}, Refusal.FIELDS_INVALID),
    ({"key": None}, Refusal.FIELDS_INVALID),
    ({"kind": 7}, Refusal.FIELDS_INVALID),
    ({"asset_id": 2**31}, Refusal.FIELDS_INVALID),
    ({"asset_id": None}, Refusal.FIELDS_INVALID),
    ({"debit_account_id": 2**63}, Refusal.FIELDS_INVALID),
    ({"credit_account_id": 1.5}, Refusal.FIELDS_INVALID),
    ({"book_id": "book"}, Refusal.FIELDS_INVALID),
    ({"asset_id": USD}, Refusal.ASSET_MISMATCH),
    ({"asset_id": -1}, Refusal.ASSET_MISMATCH),
    ({"debit_account_id": AccountId(404)}, Refusal.ACCOUNT_UNKNOWN),
    ({"credit_account_id": AccountId(-(2**63))}, Refusal.ACCOUNT_UNKNOWN),
    ({"book_id": BookId(404)}, Refusal.ACCOUNT_UNKNOWN),
]


def bad_name(value: object) -> str:
    return (
        "-".join(f"{name}={str(field)[:12]!a}" for name, field in value.items())
        if isinstance(value, dict)
        else ""
    )


@pytest.mark.parametrize(("fields", "expected"), BAD_FIELDS, ids=bad_name)
async def test_post_bad_input_is_refused_alone(
    bench: Bench, fields: dict[str, Any], expected: Refusal
) -> None:
    bad = msgspec.structs.replace(bench.transfer("equity", "a", 1), **fields)
    placed = bench.hold("equity", "b", 5)
    in_one_call = await refusals(bench, bench.transfer("equity", "a", 1), bad, placed)
    assert in_one_call == [None, expected, None]
    callers = [
        bench.transfer("equity", "a", 1),
        bad,
        capture_of(bench, placed, 1),
        bench.transfer("equity", "a", 1),
    ]
    in_one_batch = await asyncio.gather(*map(bench.ledger.posting.post_one, callers))
    assert [r.refusal for r in in_one_batch] == [None, expected, None, None]
    assert [await bench.posted(name) for name in "ab"] == [3, 1]


async def test_post_group_with_a_bad_member_is_refused_as_a_whole(bench: Bench) -> None:
    bad = msgspec.structs.replace(bench.transfer("equity", "a", 1), key="no uuid")
    group = linked([bench.transfer("equity", "a", 1), bad])
    assert await refusals(bench, *group, bench.transfer("equity", "a", 2)) == [
        Refusal.GROUP_REFUSED,
        Refusal.FIELDS_INVALID,
        None,
    ]
    assert await bench.posted("a") == 2


async def test_post_currencies_mixed_in_one_transfer_are_refused(bench: Bench) -> None:
    assert (
        await refusals(bench, bench.transfer("equity", "dollars", 1), bench.transfer("dollars", "equity", 1))
        == [Refusal.ASSET_MISMATCH] * 2
    )


async def test_post_account_named_in_a_wrong_book_is_refused_and_found_by_the_others(bench: Bench) -> None:
    other = await make_bench(bench.ledger)
    for name in ("a", "striped"):
        wrong = [bench.transfer("equity", name, 1, book_id=BookId(n)) for n in (other.book.book_id, 404, 405)]
        across = bench.transfer("equity", name, 1, credit_account_id=other.accounts[name].account_id)
        sound = [bench.transfer("equity", name, 1), other.transfer("equity", name, 1)]
        for batch in ([*wrong, across, *sound], [*sound[::-1], across, *wrong[::-1]]):
            fresh = [msgspec.structs.replace(t, key=bench.key()) for t in batch]
            answers = await refusals(bench, *fresh)
            assert answers == [None if t in sound else Refusal.ACCOUNT_UNKNOWN for t in batch]
        assert [await bench.posted(name), await other.posted(name)] == [2, 2]


@pytest.mark.parametrize("kind", [Kind.PLAIN, Kind.HOLD])
async def test_post_more_than_an_account_can_count_is_refused(bench: Bench, kind: Kind) -> None:
    bulk = [bench.transfer("equity", "other", AMOUNT_MINOR_MAX, kind=kind) for _ in range(2 * FITTING + 10)]
    answers = await refusals(bench, *bulk)
    assert answers == [None] * FITTING + [Refusal.BALANCE_TOO_LARGE] * (FITTING + 10)
    account = await bench.balance("other")
    assert (
        max(account.credits_minor, account.credits_held_minor)
        == FITTING * AMOUNT_MINOR_MAX
        <= BALANCE_MINOR_MAX
    )
    assert await refusals(bench, bench.transfer("equity", "a", 1, kind=kind)) == [None]


async def test_void_at_the_end_of_the_range_still_passes(bench: Bench) -> None:
    placed = await place(bench, "equity", "other", 5)
    await post(bench, *(bench.transfer("equity", "other", AMOUNT_MINOR_MAX) for _ in range(FITTING)))
    late = [capture_of(bench, placed, 5) for _ in range(2)]
    unknown = bench.transfer("equity", "other", 1, debit_account_id=AccountId(404))
    full = bench.transfer("equity", "other", BALANCE_MINOR_MAX - FITTING * AMOUNT_MINOR_MAX)
    assert await refusals(bench, unknown, full, *late, void_of(bench, placed)) == [
        Refusal.ACCOUNT_UNKNOWN,
        None,
        *[Refusal.BALANCE_TOO_LARGE] * 2,
        None,
    ]
    assert await hold_state(bench, placed) == (HoldState.VOIDED, 0, 0)


async def test_post_more_than_an_account_can_count_is_refused_by_the_fast_way_too(bench: Bench) -> None:
    for _ in range(2):
        bulk = [bench.transfer("equity", "other", AMOUNT_MINOR_MAX) for _ in range(FITTING - 1)]
        await post(bench, *bulk)
    assert (await bench.balance("other")).credits_minor <= BALANCE_MINOR_MAX


# Time


async def test_post_clock_jumping_back_and_forth_keeps_books_and_seals_sound(open_ledger: OpenLedger) -> None:
    clock = FrozenClock(START)
    async with open_ledger(clock) as ledger:
        bench = await make_bench(ledger)
        sent: list[Transfer] = []
        stamps = []
        for step in (0, 3_600, -86_400, 400 * 86_400, -800 * 86_400, 1):
            clock.advance(timedelta(seconds=step))
            sent.append(bench.transfer("equity", "a", 1))
            stamps.append((await ledger.posting.post_one(sent[-1])).recorded_at)
            await ledger.sealing.seal_all()
        clock.set(START)
        assert [r.recorded_at for r in await ledger.posting.post(sent)] == stamps
        assert await bench.posted("a") == len(sent)
        await assert_sound(bench)


async def test_hold_clock_jumping_back_before_the_sweep_leaves_it_open(open_ledger: OpenLedger) -> None:
    clock = FrozenClock(START)
    async with open_ledger(clock) as ledger:
        bench = await make_bench(ledger)
        placed = await place(bench, "equity", "b", 5, expires_at=START + timedelta(hours=1))
        clock.advance(timedelta(hours=2))
        assert await refusals(bench, capture_of(bench, placed, 1)) == [Refusal.HOLD_EXPIRED]
        clock.advance(timedelta(hours=-2))
        assert await ledger.posting.expire_due_holds() == 0
        assert await refusals(bench, capture_of(bench, placed, 1)) == [None]


# Several processes


async def test_post_one_new_key_by_two_ledgers_on_other_accounts_is_posted_by_one(
    open_ledger: OpenLedger, bench: Bench
) -> None:
    async with open_ledger() as second:
        for _ in range(10):
            key = bench.key()
            one = bench.transfer("equity", "a", 1, key=key)
            two = bench.transfer("other", "b", 1, key=key)
            neighbors = [[bench.transfer("equity", "c", 1)], [bench.transfer("other", "c", 1)]]
            answers = await asyncio.gather(
                bench.ledger.posting.post([one, *neighbors[0]]), second.posting.post([two, *neighbors[1]])
            )
            assert {a[0].refusal for a in answers} == {None, Refusal.KEY_CONFLICT}
            assert [a[1].outcome for a in answers] == [Outcome.POSTED] * 2
    assert await bench.posted("a") + await bench.posted("b") == 10
    assert await bench.posted("c") == 20
    await assert_sound(bench)


async def test_post_one_new_transfer_by_two_ledgers_is_posted_once(
    open_ledger: OpenLedger, bench: Bench
) -> None:
    async with open_ledger() as second:
        for _ in range(10):
            sent = bench.transfer("equity", "striped", 1)
            answers = await asyncio.gather(bench.ledger.posting.post_one(sent), second.posting.post_one(sent))
            assert {a.outcome for a in answers} == {Outcome.POSTED, Outcome.EXISTS}
    assert await bench.posted("striped") == 10


async def test_post_striped_account_by_several_ledgers_adds_up(open_ledger: OpenLedger, bench: Bench) -> None:
    # Another number of lanes makes another first stripe, as another process would.
    async with open_ledger(lane_count=1) as second, open_ledger(lane_count=3) as third:
        everyone = (bench.ledger, second, third)
        placed = await place(bench, "striped", "a", 60)
        flow: Sequence[Transfer] = [
            bench.transfer(*(("equity", "striped") if n % 3 else ("striped", "b")), 1 + n) for n in range(90)
        ]
        results = await asyncio.gather(*(everyone[n % 3].posting.post_one(t) for n, t in enumerate(flow)))
        assert all(result.accepted for result in results)
        # The hold is released on another stripe than it was placed on: only the sum counts.
        assert (await third.posting.post_one(capture_of(bench, placed, 20, final=True))).accepted
    account = await bench.balance("striped")
    out = sum(1 + n for n in range(0, 90, 3))
    assert (account.debits_minor, account.credits_minor) == (out + 20, sum(range(1, 91)) - out)
    assert await held(bench, "striped") == (0, 0)
    await assert_sound(bench)
