"""The posting decision by itself: every refusal, the order of checks, and that both ways agree."""

import copy
from collections.abc import Sequence
from datetime import timedelta, timezone
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import CNY, USD, utc

from tongbao.core.ids import derive
from tongbao.ledger import form, policy
from tongbao.ledger.schema import (
    AMOUNT_MINOR_MAX,
    BALANCE_MINOR_MAX,
    GROUP_SIZE_MAX,
    AccountId,
    AccountRow,
    AccountState,
    Address,
    BookId,
    HoldRow,
    HoldState,
    JournalRow,
    Kind,
    Outcome,
    PostResult,
    Refusal,
    Total,
    Transfer,
    capture,
    linked,
    reversal,
    void,
)

NOW = utc(2026, 3, 1)
SOON, PAST = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
BOOK, OTHER_BOOK = BookId(1), BookId(2)
OPEN, SAVINGS, CAPPED, FROZEN, RECEIVE_ONLY, CLOSED, DOLLARS, FULL, FOREIGN = (
    AccountId(n) for n in range(1, 10)
)
NOWHERE = AccountId(404)
Sums = dict[AccountId, tuple[int, int, int, int]]


def key(n: int) -> UUID:
    """The n-th key of a test."""
    return UUID(int=n)


def account(
    account_id: AccountId,
    *,
    posted: int = 0,
    floor: int | None = None,
    ceiling: int | None = None,
    asset_id: int = CNY,
    state: AccountState = AccountState.OPEN,
    book_id: BookId = BOOK,
) -> AccountRow:
    debits, credits = max(-posted, 0), max(posted, 0)
    return AccountRow(book_id, account_id, debits, credits, 0, 0, floor, ceiling, asset_id, state)


def plain(n: int, debit: AccountId, credit: AccountId, amount_minor: int, **fields: Any) -> Transfer:
    return Transfer(
        key=key(n),
        book_id=fields.pop("book_id", BOOK),
        debit_account_id=debit,
        credit_account_id=credit,
        amount_minor=amount_minor,
        asset_id=fields.pop("asset_id", CNY),
        code=fields.pop("code", "test"),
        **fields,
    )


def hold(n: int, debit: AccountId, credit: AccountId, amount_minor: int, **fields: Any) -> Transfer:
    return plain(n, debit, credit, amount_minor, kind=Kind.HOLD, **fields)


def expiry(n: int, hold_n: int) -> Transfer:
    return msgspec.structs.replace(void(key(n), BOOK, key(hold_n), "test"), kind=Kind.EXPIRY)


def world() -> policy.View:
    """One account of each sort: 500 saved above a floor of 0, 1,000 at most on the capped one."""
    accounts = [
        account(OPEN),
        account(SAVINGS, posted=500, floor=0),
        account(CAPPED, ceiling=1_000),
        account(FROZEN, state=AccountState.FROZEN),
        account(RECEIVE_ONLY, state=AccountState.RECEIVE_ONLY),
        account(CLOSED, state=AccountState.CLOSED),
        account(DOLLARS, asset_id=USD),
        account(FULL, posted=BALANCE_MINOR_MAX),
        account(FOREIGN, book_id=OTHER_BOOK),
    ]
    return policy.View({row.account_id: row for row in accounts}, {}, {})


def answer(items: Sequence[Transfer], view: policy.View) -> list[PostResult]:
    """Answer a call as the service does: torn groups first, the rest in order."""
    misplaced = form.misplaced_in_groups(items)
    decided = iter(policy.decide([t for i, t in enumerate(items) if i not in misplaced], view, NOW).results)
    return [
        PostResult(t.key, Outcome.REFUSED, refusal=misplaced[i][0]) if i in misplaced else next(decided)
        for i, t in enumerate(items)
    ]


def picture(view: policy.View) -> tuple[object, ...]:
    """Everything that a decision may change."""
    return (
        {i: msgspec.structs.astuple(row) for i, row in view.accounts.items()},
        dict(view.journal),
        {at: msgspec.structs.astuple(row) for at, row in view.holds.items()},
    )


class Row(NamedTuple):
    """A call whose last transfer is refused for the reason beside it."""

    items: list[Transfer]
    refusal: Refusal


SPENT = [plain(1, SAVINGS, OPEN, 500)]
HELD = [hold(1, SAVINGS, OPEN, 300, expires_at=SOON)]
OVERDUE = [hold(1, SAVINGS, OPEN, 300, expires_at=PAST)]
BIG_GROUP = linked([plain(n, OPEN, SAVINGS, 1) for n in range(1, GROUP_SIZE_MAX + 2)])
DEEP = [hold(n, FULL, OPEN, AMOUNT_MINOR_MAX) for n in range(1, 513)]
REFUSED_ROWS = [
    Row([plain(1, OPEN, SAVINGS, 0)], Refusal.AMOUNT_NOT_POSITIVE),
    Row([plain(1, OPEN, SAVINGS, -1)], Refusal.AMOUNT_NOT_POSITIVE),
    Row([hold(1, OPEN, SAVINGS, 0)], Refusal.AMOUNT_NOT_POSITIVE),
    Row([*HELD, capture(key(2), BOOK, key(1), 0, "test")], Refusal.AMOUNT_NOT_POSITIVE),
    Row([*HELD, capture(key(2), BOOK, key(1), -3, "test", final=True)], Refusal.AMOUNT_NOT_POSITIVE),
    Row([plain(1, OPEN, SAVINGS, AMOUNT_MINOR_MAX + 1)], Refusal.AMOUNT_TOO_LARGE),
    Row([plain(1, SAVINGS, SAVINGS, 1)], Refusal.SAME_ACCOUNT),
    Row([hold(1, SAVINGS, SAVINGS, 1)], Refusal.SAME_ACCOUNT),
    Row([plain(1, OPEN, SAVINGS, 1, code="")], Refusal.CODE_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, code="Card Sale")], Refusal.CODE_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, code="x" * 49)], Refusal.CODE_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, code="test\n")], Refusal.CODE_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, reference="")], Refusal.REFERENCE_TOO_LONG),
    Row([plain(1, OPEN, SAVINGS, 1, reference="x" * 10_000)], Refusal.REFERENCE_TOO_LONG),
    Row([plain(1, OPEN, SAVINGS, 1, reference="a\x00b")], Refusal.REFERENCE_TOO_LONG),
    Row([plain(1, OPEN, SAVINGS, 1, reference="a\nb")], Refusal.REFERENCE_TOO_LONG),
    Row([plain(1, OPEN, SAVINGS, 1, reference="\ud800")], Refusal.REFERENCE_TOO_LONG),
    Row([plain(1, OPEN, SAVINGS, 1, occurred_at=NOW.replace(tzinfo=None))], Refusal.TIME_INVALID),
    Row([hold(1, OPEN, SAVINGS, 1, expires_at=NOW.replace(tzinfo=None))], Refusal.TIME_INVALID),
    Row(
        [plain(1, OPEN, SAVINGS, 1, occurred_at=NOW.replace(year=1, tzinfo=timezone(timedelta(hours=14))))],
        Refusal.TIME_INVALID,
    ),
    Row([plain(1, OPEN, SAVINGS, 1.0)], Refusal.FIELDS_INVALID),  # type: ignore[arg-type]  # what callers do
    Row([plain(1, OPEN, SAVINGS, True)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, AccountId(2**63), 1)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, asset_id=2**31)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, book_id="1")], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, code=7)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, reference=7)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, kind=0)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, occurred_at="2026-03-01")], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, refers_to=key(2))], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, expires_at=SOON)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, final=True)], Refusal.FIELDS_INVALID),
    Row([hold(1, OPEN, SAVINGS, 1, up_to=True)], Refusal.FIELDS_INVALID),
    Row([plain(1, OPEN, SAVINGS, 1, kind=Kind.CAPTURE)], Refusal.FIELDS_INVALID),
    Row(
        [*HELD, msgspec.structs.replace(void(key(2), BOOK, key(1), "test"), amount_minor=5)],
        Refusal.FIELDS_INVALID,
    ),
    Row(
        [*SPENT, msgspec.structs.replace(reversal(BOOK, key(1), "test"), key=key(2))],
        Refusal.FIELDS_INVALID,
    ),
    Row([plain(1, OPEN, SAVINGS, 1, group_key=key(9))], Refusal.GROUP_SPLIT),
    Row(
        [
            *linked([plain(1, OPEN, SAVINGS, 1)]),
            plain(2, OPEN, SAVINGS, 1),
            plain(3, OPEN, SAVINGS, 1, group_key=key(1)),
        ],
        Refusal.GROUP_SPLIT,
    ),
    Row(BIG_GROUP, Refusal.GROUP_TOO_LARGE),
    Row([plain(1, OPEN, SAVINGS, 1), plain(1, OPEN, SAVINGS, 2)], Refusal.KEY_CONFLICT),
    Row([reversal(BOOK, key(1), "test")], Refusal.TRANSFER_UNKNOWN),
    Row([*HELD, reversal(BOOK, key(1), "test")], Refusal.NOT_REVERSIBLE),
    Row([*HELD, void(key(2), BOOK, key(1), "test"), reversal(BOOK, key(2), "test")], Refusal.NOT_REVERSIBLE),
    Row(
        [*SPENT, reversal(BOOK, key(1), "test"), reversal(BOOK, derive(key(1), "reversal"), "test")],
        Refusal.NOT_REVERSIBLE,
    ),
    Row([void(key(2), BOOK, key(1), "test")], Refusal.HOLD_UNKNOWN),
    Row([*SPENT, capture(key(2), BOOK, key(1), 1, "test")], Refusal.HOLD_UNKNOWN),
    Row([*HELD, void(key(2), OTHER_BOOK, key(1), "test")], Refusal.HOLD_UNKNOWN),
    Row([*HELD, void(key(2), BOOK, key(1), "test"), void(key(3), BOOK, key(1), "test")], Refusal.HOLD_CLOSED),
    Row(
        [*HELD, void(key(2), BOOK, key(1), "test"), capture(key(3), BOOK, key(1), 1, "test")],
        Refusal.HOLD_CLOSED,
    ),
    Row(
        [
            *HELD,
            capture(key(2), BOOK, key(1), 0, "test", final=True),
            capture(key(3), BOOK, key(1), 1, "test"),
        ],
        Refusal.HOLD_CLOSED,
    ),
    Row([*OVERDUE, capture(key(2), BOOK, key(1), 1, "test")], Refusal.HOLD_EXPIRED),
    Row([*OVERDUE, expiry(2, 1), capture(key(3), BOOK, key(1), 1, "test")], Refusal.HOLD_EXPIRED),
    Row([*HELD, expiry(2, 1)], Refusal.HOLD_NOT_DUE),
    Row([hold(1, SAVINGS, OPEN, 300), expiry(2, 1)], Refusal.HOLD_NOT_DUE),
    Row([*HELD, capture(key(2), BOOK, key(1), 301, "test")], Refusal.HOLD_EXCEEDED),
    Row(
        [*HELD, capture(key(2), BOOK, key(1), 200, "test"), capture(key(3), BOOK, key(1), 101, "test")],
        Refusal.HOLD_EXCEEDED,
    ),
    Row([plain(1, NOWHERE, SAVINGS, 1)], Refusal.ACCOUNT_UNKNOWN),
    Row([plain(1, OPEN, FOREIGN, 1)], Refusal.ACCOUNT_UNKNOWN),
    Row([plain(1, CLOSED, SAVINGS, 1)], Refusal.ACCOUNT_CLOSED),
    Row([hold(1, OPEN, CLOSED, 1)], Refusal.ACCOUNT_CLOSED),
    Row([plain(1, FROZEN, SAVINGS, 1)], Refusal.ACCOUNT_FROZEN),
    Row([plain(1, OPEN, FROZEN, 1)], Refusal.ACCOUNT_FROZEN),
    Row([plain(1, RECEIVE_ONLY, SAVINGS, 1)], Refusal.ACCOUNT_FROZEN),
    Row([plain(1, OPEN, DOLLARS, 1)], Refusal.ASSET_MISMATCH),
    Row([plain(1, OPEN, SAVINGS, 1, asset_id=USD)], Refusal.ASSET_MISMATCH),
    Row([plain(1, SAVINGS, OPEN, 501)], Refusal.BELOW_FLOOR),
    Row([*HELD, plain(2, SAVINGS, OPEN, 201)], Refusal.BELOW_FLOOR),
    Row(
        [plain(1, OPEN, SAVINGS, 100), plain(2, SAVINGS, OPEN, 600), reversal(BOOK, key(1), "test")],
        Refusal.BELOW_FLOOR,
    ),
    Row([plain(1, OPEN, CAPPED, 1_001)], Refusal.ABOVE_CEILING),
    Row([hold(1, OPEN, CAPPED, 900), hold(2, OPEN, CAPPED, 101)], Refusal.ABOVE_CEILING),
    Row([plain(1, OPEN, FULL, 1)], Refusal.BALANCE_TOO_LARGE),
    Row([*DEEP, hold(600, FULL, OPEN, AMOUNT_MINOR_MAX)], Refusal.BALANCE_TOO_LARGE),
    Row([*SPENT, plain(2, SAVINGS, OPEN, 1, up_to=True)], Refusal.NOTHING_TO_MOVE),
    Row([plain(1, OPEN, CAPPED, 1_000), plain(2, OPEN, CAPPED, 1, up_to=True)], Refusal.NOTHING_TO_MOVE),
    Row(linked([plain(1, OPEN, NOWHERE, 1), plain(2, OPEN, SAVINGS, 1)]), Refusal.GROUP_REFUSED),
]


@pytest.mark.parametrize("row", REFUSED_ROWS, ids=lambda row: row.refusal.value)
def test_decide_refusable_transfer_is_refused_for_the_documented_reason(row: Row) -> None:
    view = world()
    results = answer(row.items[:-1], view) if row.items[-1].group_key is None else []
    assert all(result.accepted for result in results)
    before = picture(view)
    assert answer(row.items if row.items[-1].group_key else row.items[-1:], view)[-1].refusal is row.refusal
    if row.items[-1].group_key is None:
        assert picture(view) == before


def test_table_of_refusals_names_every_refusal() -> None:
    assert {row.refusal for row in REFUSED_ROWS} == set(Refusal)


def test_decide_many_faults_in_one_transfer_names_the_first_check() -> None:
    faulty = plain(
        1,
        CLOSED,
        CLOSED,
        0,
        asset_id=USD,
        code="?",
        reference="",
        occurred_at=NOW.replace(tzinfo=None),
        final=True,
    )
    mended: list[tuple[dict[str, Any], Refusal | None]] = [
        ({}, Refusal.AMOUNT_NOT_POSITIVE),
        ({"amount_minor": AMOUNT_MINOR_MAX + 1}, Refusal.AMOUNT_TOO_LARGE),
        ({"amount_minor": 501}, Refusal.SAME_ACCOUNT),
        ({"credit_account_id": NOWHERE}, Refusal.CODE_INVALID),
        ({"code": "test"}, Refusal.REFERENCE_TOO_LONG),
        ({"reference": None}, Refusal.TIME_INVALID),
        ({"occurred_at": None}, Refusal.FIELDS_INVALID),
        ({"final": False}, Refusal.ACCOUNT_UNKNOWN),
        ({"credit_account_id": OPEN}, Refusal.ACCOUNT_CLOSED),
        ({"debit_account_id": FROZEN}, Refusal.ACCOUNT_FROZEN),
        ({"debit_account_id": SAVINGS}, Refusal.ASSET_MISMATCH),
        ({"asset_id": CNY}, Refusal.BELOW_FLOOR),
        ({"amount_minor": 500}, None),
    ]
    for change, expected in mended:
        faulty = msgspec.structs.replace(faulty, **change)
        assert answer([faulty], world())[0].refusal is expected


def test_decide_hold_faults_come_before_account_faults() -> None:
    view = world()
    answer([hold(1, SAVINGS, OPEN, 100)], view)
    view.accounts[SAVINGS].state = AccountState.FROZEN
    answers = answer(
        [capture(key(2), BOOK, key(1), 101, "test"), capture(key(3), BOOK, key(1), 100, "test")], view
    )
    assert [a.refusal for a in answers] == [Refusal.HOLD_EXCEEDED, Refusal.ACCOUNT_FROZEN]
    assert view.holds[BOOK, key(1)].remaining_minor == 100


def test_decide_items_of_a_batch_sees_the_effect_of_those_before() -> None:
    income, spending = plain(1, OPEN, SAVINGS, 100), plain(2, SAVINGS, OPEN, 600)
    assert [a.refusal for a in answer([income, spending], world())] == [None, None]
    assert [a.refusal for a in answer([spending, income], world())] == [Refusal.BELOW_FLOOR, None]


def test_decide_capture_refused_late_leaves_its_hold_as_it_was() -> None:
    view = world()
    answer([hold(1, OPEN, FULL, 100)], view)
    late, released = answer(
        [capture(key(2), BOOK, key(1), 40, "test"), void(key(3), BOOK, key(1), "test")], view
    )
    assert (late.refusal, released.outcome, released.amount_minor) == (
        Refusal.BALANCE_TOO_LARGE,
        Outcome.POSTED,
        100,
    )
    assert view.holds[BOOK, key(1)].captured_minor == 0


def test_decide_refused_hold_cannot_be_captured_in_the_same_batch() -> None:
    view = world()
    view.accounts[FULL].debits_held_minor = BALANCE_MINOR_MAX
    answers = answer([hold(1, FULL, OPEN, 1), capture(key(2), BOOK, key(1), 1, "test")], view)
    assert [a.refusal for a in answers] == [Refusal.BALANCE_TOO_LARGE, Refusal.HOLD_UNKNOWN]


def test_spans_mixed_batch_cuts_at_leaders() -> None:
    group = linked([plain(2, OPEN, SAVINGS, 1), plain(3, OPEN, SAVINGS, 1)])
    items = [
        plain(1, OPEN, SAVINGS, 1),
        *group,
        *group,
        plain(4, OPEN, SAVINGS, 1),
        *linked([plain(5, OPEN, SAVINGS, 1)]),
    ]
    assert list(form.spans(items)) == [(0, 1), (1, 3), (3, 5), (5, 6), (6, 7)]
    assert list(form.spans([])) == []


def test_misplaced_in_groups_torn_leaderless_doubled_and_large_are_named() -> None:
    single = plain(100, OPEN, SAVINGS, 1)
    whole = linked([plain(n, OPEN, SAVINGS, 1) for n in range(1, GROUP_SIZE_MAX + 1)])
    other = linked([plain(n, OPEN, SAVINGS, 1) for n in (201, 202)])
    rows: list[tuple[list[Transfer], dict[int, Refusal]]] = [
        ([single, *whole, *other], {}),
        ([*other[1:], single], {0: Refusal.GROUP_SPLIT}),
        ([other[0], single, other[1]], {0: Refusal.GROUP_SPLIT, 2: Refusal.GROUP_SPLIT}),
        ([*other, *other], dict.fromkeys(range(4), Refusal.GROUP_SPLIT)),
        ([other[1], other[0]], dict.fromkeys(range(2), Refusal.GROUP_SPLIT)),
        (BIG_GROUP, dict.fromkeys(range(GROUP_SIZE_MAX + 1), Refusal.GROUP_TOO_LARGE)),
        ([*other, single, *BIG_GROUP], dict.fromkeys(range(3, GROUP_SIZE_MAX + 4), Refusal.GROUP_TOO_LARGE)),
    ]
    for items, expected in rows:
        assert {i: refusal for i, (refusal, _) in form.misplaced_in_groups(items).items()} == expected


SAME_BASE = plain(
    1, OPEN, SAVINGS, 10, reference="r", occurred_at=PAST, group_key=key(1), kind=Kind.HOLD, expires_at=SOON
)
SAME_CAPTURE = msgspec.structs.replace(capture(key(2), BOOK, key(1), 10, "test"), occurred_at=PAST)
OTHER_CONTENT: list[tuple[Transfer, dict[str, Any]]] = [
    (SAME_BASE, {"debit_account_id": CAPPED}),
    (SAME_BASE, {"credit_account_id": CAPPED}),
    (SAME_BASE, {"amount_minor": 11}),
    (SAME_BASE, {"asset_id": USD}),
    (SAME_BASE, {"code": "other"}),
    (SAME_BASE, {"kind": Kind.PLAIN, "expires_at": None}),
    (SAME_BASE, {"reference": "s"}),
    (SAME_BASE, {"reference": None}),
    (SAME_BASE, {"occurred_at": NOW}),
    (SAME_BASE, {"group_key": None}),
    (SAME_BASE, {"expires_at": NOW}),
    (SAME_BASE, {"expires_at": None}),
    (plain(1, OPEN, SAVINGS, 10), {"up_to": True}),
    (plain(1, OPEN, SAVINGS, 10, up_to=True), {"up_to": False}),
    (plain(1, OPEN, CAPPED, 1_001, up_to=True), {"amount_minor": 1_000}),
    (SAME_CAPTURE, {"refers_to": key(9)}),
    (SAME_CAPTURE, {"final": True}),
    (SAME_CAPTURE, {"amount_minor": 9}),
    (msgspec.structs.replace(SAME_CAPTURE, final=True), {"final": False}),
    # All of what is left is not the 10 of 500 that the first final capture took.
    (msgspec.structs.replace(SAME_CAPTURE, final=True), {"amount_minor": 0}),
    (void(key(2), BOOK, key(1), "test"), {"kind": Kind.EXPIRY}),
]


@pytest.mark.parametrize(
    ("first", "change"), OTHER_CONTENT, ids=lambda value: "-".join(value) if isinstance(value, dict) else ""
)
def test_same_content_any_field_changed_is_other_content(first: Transfer, change: dict[str, Any]) -> None:
    view = world()
    before = [hold(1, SAVINGS, OPEN, 500), hold(9, OPEN, CAPPED, 500)] if first.refers_to else []
    posted = answer([*before, first], view)[-1]
    assert posted.outcome is Outcome.POSTED
    stored = view.journal[BOOK, first.key]
    size = None if first.group_key is None else 1
    other = msgspec.structs.replace(first, **change)
    assert form.same_content(first, stored, size)
    assert not form.same_content(other, stored, size if other.group_key else None)


def test_same_content_table_names_every_field() -> None:
    named = {name for _, change in OTHER_CONTENT for name in change}
    assert named == set(Transfer.__struct_fields__) - {
        "key",
        "book_id",
    }  # those two are where it is looked up


def test_same_content_other_size_of_group_is_other_content() -> None:
    view = world()
    group = linked([plain(1, OPEN, SAVINGS, 1), plain(2, OPEN, SAVINGS, 1)])
    answer(group, view)
    assert [a.refusal for a in answer(group[:1], view)] == [Refusal.KEY_CONFLICT]
    assert [a.outcome for a in answer(group, view)] == [Outcome.EXISTS] * 2
    longer = linked([*group, plain(3, OPEN, SAVINGS, 1)])
    assert {a.refusal for a in answer(longer, view)} == {Refusal.GROUP_SPLIT}


def test_same_content_unsaid_business_time_and_everything_left_are_the_same() -> None:
    view = world()
    everything = capture(key(2), BOOK, key(1), 0, "test", final=True)
    answer([hold(1, SAVINGS, OPEN, 300), everything, plain(3, OPEN, SAVINGS, 1, occurred_at=PAST)], view)
    repeats = [
        plain(3, OPEN, SAVINGS, 1),
        everything,
        msgspec.structs.replace(everything, amount_minor=300),
    ]
    assert [a.outcome for a in answer(repeats, view)] == [Outcome.EXISTS] * 3


def small_accounts() -> st.SearchStrategy[list[AccountRow]]:
    sums = st.integers(0, 60)
    # Mostly open, in the same book and asset: otherwise nearly nothing is ever accepted.
    row = st.builds(
        AccountRow,
        st.sampled_from([BOOK] * 9 + [OTHER_BOOK]),
        st.just(AccountId(0)),
        sums,
        sums,
        sums,
        sums,
        st.none() | st.integers(-80, 40),
        st.none() | st.integers(-40, 120),
        st.sampled_from([CNY] * 9 + [USD]),
        st.sampled_from([AccountState.OPEN] * 12 + list(AccountState)),
    )
    return st.lists(row, min_size=2, max_size=4).map(
        lambda rows: [msgspec.structs.replace(row, account_id=AccountId(n)) for n, row in enumerate(rows)]
    )


@st.composite
def small_batches(draw: st.DrawFn, account_count: int, groups: bool) -> list[Transfer]:
    """Transfers between a few accounts, some on holds placed by earlier ones."""
    items: list[Transfer] = []
    hold_numbers: list[int] = []
    for n in range(1, draw(st.integers(1, 6)) + 1):
        kind = draw(
            st.sampled_from(
                [Kind.PLAIN] * 3 + [Kind.HOLD] * 2 + [Kind.CAPTURE] * 2 + [Kind.VOID, Kind.EXPIRY]
            )
        )
        amount = draw(st.integers(1, 25))
        if kind in (Kind.PLAIN, Kind.HOLD) or not hold_numbers:
            debit, credit = draw(st.permutations(range(account_count)))[:2]
            expires = draw(st.sampled_from([None, SOON, PAST])) if kind is Kind.HOLD else None
            make = hold if kind is Kind.HOLD else plain
            item = make(n, AccountId(debit), AccountId(credit), amount)
            items.append(msgspec.structs.replace(item, expires_at=expires))
            hold_numbers += [n] if kind is Kind.HOLD else []
            continue
        on = key(draw(st.sampled_from(hold_numbers)))
        if kind is Kind.CAPTURE:
            items.append(capture(key(n), BOOK, on, amount, "test", final=draw(st.booleans())))
        else:
            items.append(msgspec.structs.replace(void(key(n), BOOK, on, "test"), kind=kind))
    return linked(items) if groups else items


@st.composite
def worlds(draw: st.DrawFn, groups: bool = False) -> tuple[list[AccountRow], list[Transfer]]:
    accounts = draw(small_accounts())
    return accounts, draw(small_batches(len(accounts), groups))


def fits(total: Total, row: AccountRow | None) -> bool:
    """The condition under which the store updates a balance, as its SQL says it."""
    if row is None or (row.book_id, row.asset_id, row.state) != (
        total.book_id,
        total.asset_id,
        AccountState.OPEN,
    ):
        return False
    if not total.touches_holds:
        assert (total.outflow, total.inflow) == (
            total.debits,
            total.credits,
        )  # the short statement uses these
    room_down = row.credits_minor - row.debits_minor - row.debits_held_minor - total.outflow
    room_up = row.credits_minor - row.debits_minor + row.credits_held_minor + total.inflow
    return (row.floor_minor is None or total.outflow == 0 or room_down >= row.floor_minor) and (
        row.ceiling_minor is None or total.inflow == 0 or room_up <= row.ceiling_minor
    )


def added(accounts: dict[AccountId, AccountRow], totals: dict[AccountId, Total]) -> Sums:
    """The sums of all accounts after the totals were added."""
    sums = {}
    for account_id, row in accounts.items():
        total = totals.get(account_id) or Total(row.book_id, row.asset_id)
        sums[account_id] = (
            row.debits_minor + total.debits,
            row.credits_minor + total.credits,
            row.debits_held_minor + total.debits_held,
            row.credits_held_minor + total.credits_held,
        )
    return sums


def standing(accounts: dict[AccountId, AccountRow]) -> Sums:
    return added(accounts, {})


def without_size(row: JournalRow) -> JournalRow:
    return row._replace(group_size=None)


def test_plan_if_all_fit_whatever_it_accepts_decide_accepts_alike() -> None:
    accepted: list[int] = []

    @settings(max_examples=700, derandomize=True, deadline=None, database=None)
    @given(worlds())
    def agree(drawn: tuple[list[AccountRow], list[Transfer]]) -> None:
        accounts = {row.account_id: row for row in drawn[0]}
        items = drawn[1]
        plan = policy.plan_if_all_fit(items, {}, NOW)
        if plan is None or not all(fits(total, accounts.get(i)) for i, total in plan.totals.items()):
            return
        accepted.append(len(items))
        before = copy.deepcopy(accounts)
        exact = policy.decide(items, policy.View(accounts, {}, {}), NOW)
        assert [result.outcome for result in exact.results] == [Outcome.POSTED] * len(items)
        assert exact.rows == plan.rows
        assert exact.holds == plan.holds
        assert added(before, plan.totals) == added(before, exact.totals) == standing(accounts)

    agree()
    assert len(accepted) > 80
    assert max(accepted) > 3


@settings(max_examples=250, derandomize=True, deadline=None, database=None)
@given(worlds())
def test_decide_batch_at_once_or_one_by_one_is_the_same(
    drawn: tuple[list[AccountRow], list[Transfer]],
) -> None:
    accounts, items = drawn
    at_once = policy.View({row.account_id: row for row in copy.deepcopy(accounts)}, {}, {})
    one_by_one = policy.View({row.account_id: row for row in accounts}, {}, {})
    before = copy.deepcopy(one_by_one.accounts)
    plan = policy.decide(items, at_once, NOW)
    results = [policy.decide([t], one_by_one, NOW).results[0] for t in items]
    assert plan.results == results
    assert standing(at_once.accounts) == standing(one_by_one.accounts) == added(before, plan.totals)
    for row in at_once.accounts.values():
        floor = row.floor_minor
        first = before[row.account_id]
        if floor is not None and policy.debit_room(first) >= 0:
            assert policy.debit_room(row) >= 0
        if row.ceiling_minor is not None and policy.credit_room(first) >= 0:
            assert policy.credit_room(row) >= 0
    assert sum(row.debits_minor - before[i].debits_minor for i, row in at_once.accounts.items()) == sum(
        row.credits_minor - before[i].credits_minor for i, row in at_once.accounts.items()
    )


@settings(max_examples=250, derandomize=True, deadline=None, database=None)
@given(worlds(groups=True), st.booleans())
def test_decide_refused_group_leaves_no_trace(
    drawn: tuple[list[AccountRow], list[Transfer]], with_open_hold: bool
) -> None:
    accounts, group = drawn
    doomed = [*group, msgspec.structs.replace(plain(99, AccountId(0), NOWHERE, 1), group_key=group[0].key)]
    holds: dict[Address, HoldRow] = {}
    if with_open_hold:
        ends = (AccountId(0), AccountId(1))
        holds[BOOK, key(50)] = HoldRow(BOOK, key(50), *ends, CNY, 20, 20, 0, HoldState.OPEN, None)
        on_hold = msgspec.structs.replace(capture(key(51), BOOK, key(50), 5, "test"), group_key=group[0].key)
        doomed.insert(1, on_hold)
    view = policy.View({row.account_id: row for row in accounts}, {}, holds)
    before = copy.deepcopy(picture(view))
    plan = policy.decide(doomed, view, NOW)
    assert picture(view) == before
    assert (plan.rows, plan.totals, plan.holds) == ([], {}, {})
    assert plan.results[-1].refusal is Refusal.ACCOUNT_UNKNOWN
    assert all(not result.accepted for result in plan.results)


def test_decide_group_after_others_refused_keeps_the_others() -> None:
    view = world()
    group = linked([plain(2, SAVINGS, OPEN, 400), plain(3, SAVINGS, OPEN, 400)])
    plan = policy.decide([plain(1, SAVINGS, OPEN, 100), *group, plain(4, SAVINGS, OPEN, 400)], view, NOW)
    assert [r.refusal for r in plan.results] == [None, Refusal.GROUP_REFUSED, Refusal.BELOW_FLOOR, None]
    assert [without_size(row).batch_index for row in plan.rows] == [0, 1]
    assert policy.debit_room(view.accounts[SAVINGS]) == 0


@pytest.mark.parametrize(
    "item",
    [
        plain(1, OPEN, SAVINGS, 1, up_to=True),
        plain(1, OPEN, SAVINGS, 0),
        reversal(BOOK, key(1), "test"),
        capture(key(2), BOOK, key(1), 1, "test"),
        plain(1, OPEN, SAVINGS, 1, group_key=key(7)),
    ],
)
def test_plan_if_all_fit_what_needs_a_closer_look_is_left_to_decide(item: Transfer) -> None:
    assert policy.plan_if_all_fit([plain(9, OPEN, SAVINGS, 1), item], {}, NOW) is None


def test_plan_if_all_fit_groups_are_planned_as_decide_would_accept_them() -> None:
    items = [
        plain(1, OPEN, SAVINGS, 1),
        *linked([plain(2, OPEN, SAVINGS, 2), plain(3, SAVINGS, OPEN, 1), plain(4, OPEN, SAVINGS, 3)]),
        *linked([plain(5, OPEN, SAVINGS, 4)]),
        plain(6, OPEN, SAVINGS, 5),
    ]
    plan = policy.plan_if_all_fit(items, {}, NOW)
    assert plan is not None
    assert [row.group_size for row in plan.rows] == [None, 3, 3, 3, 1, None]
    assert plan.rows == policy.decide(items, world(), NOW).rows
