"""The laws of what reconciliation posts: books balance, house and merchants agree, shares sum, keys belong to what they are for."""

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy import break_sides, house_postings
from tongbao.clearing.policy.channel_shares import shared
from tongbao.clearing.policy.house_postings import MerchantMoney, Paid, PlatformMoney, Round, WrittenOff
from tongbao.clearing.schema.break_sides import ExpectedSide, Part, ReportedSide, Sides
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Found, Leg
from tongbao.clearing.schema.lines import LineKind
from tongbao.ledger.schema import AccountId, BookId, Transfer

AT = datetime(2026, 11, 2, tzinfo=UTC)
PLATFORM = PlatformMoney(BookId(1), 156, *map(AccountId, range(11, 16)))
AMOUNTS = st.integers(-(10**12), 10**12)
BOOKS = st.dictionaries(st.integers(2, 40), st.tuples(AMOUNTS, AMOUNTS), max_size=12)


def _merchant(book_id: int) -> MerchantMoney:
    return MerchantMoney(BookId(book_id), 156, *map(AccountId, range(book_id * 100, book_id * 100 + 4)))


def _balances(transfers: list[Transfer]) -> Counter[int]:
    """Debits minus credits of each account."""
    found: Counter[int] = Counter()
    for each in transfers:
        assert each.amount_minor > 0
        found[each.debit_account_id] += each.amount_minor
        found[each.credit_account_id] -= each.amount_minor
    return found


@given(BOOKS, AMOUNTS, AMOUNTS)
def test_round_leaves_house_and_merchants_agreed(
    books: dict[int, tuple[int, int]], bank_minor: int, cost_minor: int
) -> None:
    merchants = {book_id: Paid(*amounts) for book_id, amounts in books.items()}
    of = Round(7, 0, AT, "set_1", bank_minor, cost_minor, merchants)
    money = {book_id: _merchant(book_id) for book_id in books}
    transfers = house_postings.settled(of, PLATFORM, money)
    found = _balances(transfers)
    assert sum(found[each.house_receivable] for each in money.values()) == -found[PLATFORM.clearing]
    for book_id, paid in merchants.items():
        mine = money[book_id]
        assert found[mine.receivable] == -paid.gross_minor
        assert found[mine.house_receivable] + found[mine.channel_cost] == paid.gross_minor
    assert (found[PLATFORM.bank], found[PLATFORM.channel_cost]) == (bank_minor, cost_minor)
    assert len({each.key for each in transfers}) == len(transfers)
    assert house_postings.settled(of, PLATFORM, money) == transfers
    again = house_postings.settled(of._replace(number=1), PLATFORM, money)
    assert not {each.key for each in again} & {each.key for each in transfers}


@given(st.lists(st.tuples(st.integers(1, 99), AMOUNTS), min_size=1, max_size=20), AMOUNTS)
def test_shares_of_a_line_sum_to_the_line(books: list[tuple[int, int]], fee_minor: int) -> None:
    unique = list(dict(books).items())
    gross = sum(amount for _, amount in unique)
    parts = shared(Paid(gross, fee_minor), "CNY", unique)
    assert sum(each.gross_minor for each in parts.values()) == gross
    assert sum(each.fee_minor for each in parts.values()) == fee_minor


@given(AMOUNTS)
def test_write_off_debits_what_was_reported_more(amount_minor: int) -> None:
    money = _merchant(3)
    parts = [WrittenOff("receivable", money, money.receivable, amount_minor)]
    found = _balances(house_postings.written_off(UUID(int=9), AT, "brk_9", parts))
    assert (found[money.receivable], found[money.write_offs]) == (amount_minor, -amount_minor)


def _expected(number: int, amount_minor: int, book_id: int = 5, currency: str = "CNY") -> ExpectedSide:
    return ExpectedSide(
        id=UUID(int=number),
        document="mv",
        kind="sale",
        currency=currency,
        amount_minor=amount_minor,
        reference="",
        on=AT.date(),
        book_id=book_id,
    )


def _reported(number: int, amount_minor: int, fee_minor: int = 0) -> ReportedSide:
    return ReportedSide(
        id=number,
        kind=LineKind.SALE,
        currency="CNY",
        amount_minor=amount_minor,
        net_minor=amount_minor - fee_minor,
        fee_minor=fee_minor,
        reference="",
        channel_reference="",
        batch="",
        on=None,
        text="",
    )


def _break(kind: BreakKind, sides: Sides, leg: Leg = Leg.CHANNEL) -> Break:
    found = Found(
        kind=kind,
        expected=tuple(each.id for each in sides.expected),
        reported=tuple(each.id for each in sides.reported),
        currency="CNY",
    )
    return Break(
        id=UUID(int=1),
        leg=leg,
        source="one",
        found=found,
        state=BreakState.PROPOSED,
        opened_on=AT.date(),
        opened_at=AT,
        updated_at=AT,
    )


def test_repeat_is_written_off_alone_and_its_pair_stands() -> None:
    sides = Sides((_expected(70, 500),), (_reported(4, 500, 3),))
    parts, matches = break_sides.write_off(_break(BreakKind.DUPLICATE, sides), sides)
    assert parts == [Part(None, "suspense", "CNY", 497)]
    assert matches == [(4, UUID(int=0))]


def test_records_of_several_merchants_that_differ_are_written_off_apart() -> None:
    sides = Sides((_expected(70, 500, 5), _expected(71, 300, 6)), (_reported(4, 700),))
    parts, matches = break_sides.write_off(_break(BreakKind.SPLIT_MISMATCH, sides), sides)
    assert parts == [
        Part(5, "receivable", "CNY", -500),
        Part(6, "receivable", "CNY", -300),
        Part(None, "suspense", "CNY", 700),
    ]
    assert matches == [(0, UUID(int=70)), (0, UUID(int=71)), (4, UUID(int=0))]


def test_difference_of_a_bank_is_the_houses_whosever_payout_it_is() -> None:
    sides = Sides((_expected(70, -500),), (_reported(4, -510),))
    parts, matches = break_sides.write_off(_break(BreakKind.OVER_AMOUNT, sides, Leg.BANK), sides)
    assert (parts, matches) == ([Part(None, "bank", "CNY", -10)], [(4, UUID(int=70))])


def test_several_of_both_sides_are_matched_as_a_star() -> None:
    sides = Sides((_expected(70, 500), _expected(71, 300)), (_reported(4, 600), _reported(5, 200)))
    matches, rest, currency = break_sides.paired(sides)
    assert matches == [(4, UUID(int=70)), (4, UUID(int=71)), (5, UUID(int=70))]
    assert (rest, currency) == (0, "CNY")
    lone = msgspec.structs.replace(_reported(4, 5), currency="USD")
    assert break_sides.amounts(
        _break(BreakKind.UNEXPECTED, Sides((), (lone,))), Sides((), (lone,)), None
    ) == (
        None,
        5,
        None,
        "",
        None,
    )
