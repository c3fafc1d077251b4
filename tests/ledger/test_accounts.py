"""Books, accounts, virtual accounts, their limits and their history."""

import asyncio
from typing import Any

import pytest
from tests.conftest import CNY, Bench

from tongbao.core.errors import AppError, Conflict, InvalidRequest
from tongbao.ledger import charts
from tongbao.ledger.errors import (
    AccountNotEmpty,
    AccountTaken,
    BookTaken,
    StripedAccount,
    UnknownAccount,
    UnknownAsset,
    UnknownBook,
)
from tongbao.ledger.schema import Account, AccountId, AccountState, BookId, RollUp, Side
from tongbao.ledger.service.ledger import Ledger


def code_of(ledger: Ledger, name: str) -> str:
    """A code that no other test uses."""
    return f"{name}-{ledger.ids.int63()}"


def opened(account: Account) -> charts.AccountSpec:
    return charts.AccountSpec(
        account.code,
        account.name,
        account.normal_side,
        account.floor_minor,
        account.ceiling_minor,
        account.striped,
    )


def sums(line: RollUp) -> tuple[str, int, int]:
    return line.asset, line.account_count, line.posted_minor


@pytest.mark.parametrize("template", sorted(charts.TEMPLATES))
async def test_open_book_by_template_opens_its_accounts_in_each_asset(ledger: Ledger, template: str) -> None:
    book = await ledger.accounts.open_book(code_of(ledger, template), template, "A book", ("CNY", "JPY"))
    accounts = await ledger.accounts.accounts(book.book_id)
    for asset, scale in (("CNY", 2), ("JPY", 0)):
        in_asset = [account for account in accounts if account.asset == asset]
        assert sorted(map(opened, in_asset), key=lambda spec: spec.code) == sorted(
            charts.template(template), key=lambda spec: spec.code
        )
        assert {account.scale for account in in_asset} <= {scale}
        assert {(a.posted_minor, a.available_minor, a.state) for a in in_asset} <= {(0, 0, AccountState.OPEN)}
    assert len(accounts) == 2 * len(charts.template(template))


async def test_open_book_again_returns_the_same_and_adds_only_what_is_new(ledger: Ledger) -> None:
    code = code_of(ledger, "shop")
    first = await ledger.accounts.open_book(code, "merchant", "Shop", ("CNY",))
    before = await ledger.accounts.accounts(first.book_id)
    again = await ledger.accounts.open_book(code, "merchant", "Shop", ("CNY", "USD"))
    after = await ledger.accounts.accounts(first.book_id)
    assert again == first == await ledger.accounts.book(code)
    assert [account for account in after if account.asset == "CNY"] == before
    assert len(after) == 2 * len(before)
    assert len(await ledger.accounts.changes(first.book_id, before[0].account_id)) == 1
    with pytest.raises(BookTaken):
        await ledger.accounts.open_book(code, "wallet", "Shop")


async def test_open_book_ten_times_at_once_opens_one(ledger: Ledger) -> None:
    code = code_of(ledger, "shop")
    books = await asyncio.gather(
        *(ledger.accounts.open_book(code, "wallet", "Wallet", ("CNY",)) for _ in range(10))
    )
    assert len({book.book_id for book in books}) == 1
    assert len(await ledger.accounts.accounts(books[0].book_id)) == len(charts.template("wallet"))


@pytest.mark.parametrize(
    ("code", "template", "assets", "error"),
    [
        ("", "empty", (), "book_code_invalid"),
        ("Shop", "empty", (), "book_code_invalid"),
        ("x" * 65, "empty", (), "book_code_invalid"),
        ("shop\n", "empty", (), "book_code_invalid"),
        ("shop-1", "unheard", (), "template_unknown"),
        ("shop-2", "wallet", ("ZZZ",), "asset_unknown"),
    ],
)
async def test_open_book_bad_input_is_refused(
    ledger: Ledger, code: str, template: str, assets: tuple[str, ...], error: str
) -> None:
    with pytest.raises(AppError) as caught:
        await ledger.accounts.open_book(code, template, "Name", assets)
    assert caught.value.code == error
    with pytest.raises(UnknownBook):
        await ledger.accounts.book(code)


async def test_books_in_pages_by_code_and_template(ledger: Ledger) -> None:
    prefix = code_of(ledger, "page")
    for n in range(5):
        await ledger.accounts.open_book(f"{prefix}-{n}", "empty" if n % 2 else "platform", "Name")
    first = await ledger.accounts.books(after=prefix, limit=3)
    rest = await ledger.accounts.books(after=first[-1].code, limit=2)
    assert [book.code for book in (*first, *rest)] == [f"{prefix}-{n}" for n in range(5)]
    odd = await ledger.accounts.books(after=prefix, template="empty", limit=2)
    assert [book.code for book in odd] == [f"{prefix}-1", f"{prefix}-3"]


async def test_open_account_again_returns_the_same(bench: Bench) -> None:
    accounts, book_id = bench.ledger.accounts, bench.book.book_id
    again = await asyncio.gather(
        *(accounts.open_account(book_id, "till", "CNY", floor_minor=0) for _ in range(8))
    )
    assert len({account.account_id for account in again}) == 1
    dollars = await accounts.open_account(book_id, "till", "USD", floor_minor=0)
    assert dollars.account_id != again[0].account_id
    assert await accounts.account_by_code(book_id, "till", "CNY") == again[0]
    for other in ({"side": Side.DEBIT}, {"striped": True}):
        with pytest.raises(AccountTaken):
            await accounts.open_account(book_id, "till", "CNY", **other)


BAD_ACCOUNTS: list[tuple[dict[str, Any], str]] = [
    ({"code": ""}, "account_code_invalid"),
    ({"code": "Upper"}, "account_code_invalid"),
    ({"code": "a//b"}, "account_code_invalid"),
    ({"code": "a/"}, "account_code_invalid"),
    ({"code": "/a"}, "account_code_invalid"),
    ({"code": "a\n"}, "account_code_invalid"),
    ({"code": "a/" + "x" * 199}, "account_code_invalid"),
    ({"floor_minor": 0, "striped": True}, "account_striped"),
    ({"ceiling_minor": 0, "striped": True}, "account_striped"),
    ({"floor_minor": 1, "ceiling_minor": 0}, "limits_crossed"),
    ({"asset": "ZZZ"}, "asset_unknown"),
    ({"book_id": BookId(404)}, "book_unknown"),
]


@pytest.mark.parametrize(("fields", "error"), BAD_ACCOUNTS)
async def test_open_account_bad_input_is_refused(bench: Bench, fields: dict[str, Any], error: str) -> None:
    values: dict[str, Any] = {"book_id": bench.book.book_id, "code": "new", "asset": "CNY"} | fields
    with pytest.raises(AppError) as caught:
        await bench.ledger.accounts.open_account(**values)
    assert caught.value.code == error


async def test_asset_custom_is_registered_once_with_its_scale(ledger: Ledger) -> None:
    points = await ledger.accounts.asset("POINTS", 0)
    assert await ledger.accounts.asset("POINTS") == await ledger.accounts.asset("POINTS", 0) == points
    assert (points.code, points.scale, points.asset_id >= 10_000) == ("POINTS", 0, True)
    assert (await ledger.accounts.asset("CNY")).asset_id == CNY
    with pytest.raises(Conflict, match="asset_taken"):
        await ledger.accounts.asset("POINTS", 2)
    with pytest.raises(Conflict, match="asset_taken"):
        await ledger.accounts.asset("CNY", 3)
    with pytest.raises(UnknownAsset):
        await ledger.accounts.asset("MILES")
    for code, scale in (("miles", 0), ("M", 0), ("MILES", 19), ("MILES", -1)):
        with pytest.raises(InvalidRequest, match="asset_code_invalid"):
            await ledger.accounts.asset(code, scale)


async def test_roll_up_virtual_accounts_count_in_every_account_above(bench: Bench) -> None:
    accounts, book_id = bench.ledger.accounts, bench.book.book_id
    amounts = {
        "available": 1,
        "available/store_1": 20,
        "available/store_1/Till-9": 300,
        "available/storex1": 4_000,
    }
    amounts |= {"available_x": 50_000, "available/pool": 600_000}
    for code, amount in amounts.items():
        bench.accounts[code] = await accounts.open_account(
            book_id, code, "CNY", striped=code.endswith("pool")
        )
        await bench.ledger.posting.post_one(bench.transfer("equity", code, amount))
    for name in ("available", "available/dollar_store"):
        bench.accounts[f"{name} in USD"] = await accounts.open_account(book_id, name, "USD")
    await bench.ledger.posting.post_one(bench.transfer("dollars", "available/dollar_store in USD", 7))
    await bench.ledger.posting.post_one(bench.hold("available", "equity", 1))

    async def lines(code: str) -> list[tuple[str, int, int]]:
        return [sums(line) for line in await bench.ledger.reading.roll_up(book_id, code)]

    assert await lines("available") == [("CNY", 5, 604_321), ("USD", 2, 7)]
    assert await lines("available/store_1") == [("CNY", 2, 320)]
    assert await lines("available/store_1/Till-9") == [("CNY", 1, 300)]
    assert await lines("availab") == []
    assert [line.debits_held_minor for line in await bench.ledger.reading.roll_up(book_id, "available")] == [
        1,
        0,
    ]


async def test_accounts_below_a_path_keeps_the_tree_and_pages_through_it(bench: Bench) -> None:
    accounts, book_id = bench.ledger.accounts, bench.book.book_id
    tree = ["s_1", "s_1/a", "s_1/b", "s_1/b/c"]
    for code in [*tree, "sx1/a", "s_10"]:
        await accounts.open_account(book_id, code, "CNY")
    assert sorted(a.code for a in await accounts.accounts(book_id, below="s_1")) == tree
    seen: list[str] = []
    while page := await accounts.accounts(
        book_id, below="s_1", after=(seen[-1], CNY) if seen else ("", 0), limit=2
    ):
        assert len(page) <= 2
        seen += [account.code for account in page]
    assert seen == tree
    assert await accounts.accounts(book_id, below="nothing") == []


async def test_accounts_pages_cut_between_two_assets_of_one_code_lose_none(bench: Bench) -> None:
    accounts, book_id = bench.ledger.accounts, bench.book.book_id
    for asset in ("CNY", "USD"):
        await accounts.open_account(book_id, "till", asset)
    first = await accounts.accounts(book_id, below="till", limit=1)
    second = await accounts.accounts(book_id, below="till", after=(first[0].code, first[0].asset_id), limit=1)
    assert [account.asset for account in (*first, *second)] == ["CNY", "USD"]


async def test_change_account_every_change_is_a_line_of_history(bench: Bench) -> None:
    accounts, account = bench.ledger.accounts, bench.accounts["a"]
    where = (account.book_id, account.account_id)
    await accounts.change_account(*where, actor="ann", reason="credit line", floor_minor=-500)
    await accounts.change_account(*where, actor="bob", reason="too much", ceiling_minor=10_000)
    await accounts.change_account(*where, actor="bob", reason="court order", state=AccountState.FROZEN)
    last = await accounts.change_account(
        *where, actor="ann", reason="over", state=AccountState.OPEN, floor_minor=None, ceiling_minor=None
    )
    history = await accounts.changes(*where)
    assert [(c.change_no, c.state, c.floor_minor, c.ceiling_minor, c.actor, c.reason) for c in history] == [
        (1, AccountState.OPEN, 0, None, "ledger", "opened"),
        (2, AccountState.OPEN, -500, None, "ann", "credit line"),
        (3, AccountState.OPEN, -500, 10_000, "bob", "too much"),
        (4, AccountState.FROZEN, -500, 10_000, "bob", "court order"),
        (5, AccountState.OPEN, None, None, "ann", "over"),
    ]
    assert sorted(c.changed_at for c in history) == [c.changed_at for c in history]
    assert await accounts.account(*where) == last


async def test_change_account_refused_leaves_account_and_history_alone(bench: Bench) -> None:
    accounts, account = bench.ledger.accounts, bench.accounts["striped"]
    await bench.ledger.posting.post_one(bench.transfer("equity", "striped", 5))
    where = (account.book_id, account.account_id)
    for change, error in (
        ({"floor_minor": 0}, StripedAccount),
        ({"ceiling_minor": 0}, StripedAccount),
        ({"state": AccountState.CLOSED}, AccountNotEmpty),
    ):
        with pytest.raises(error):
            await accounts.change_account(*where, actor="test", reason="test", **change)
    assert len(await accounts.changes(*where)) == 1
    assert (await accounts.account(*where)).state is AccountState.OPEN


async def test_change_account_closed_is_closed_for_good(bench: Bench) -> None:
    accounts, account = bench.ledger.accounts, bench.accounts["striped"]
    where = (account.book_id, account.account_id)
    closed = await accounts.change_account(*where, actor="test", reason="test", state=AccountState.CLOSED)
    assert closed.state is (await accounts.account(*where)).state is AccountState.CLOSED
    for change in ({"state": AccountState.OPEN}, {"floor_minor": 0}):
        with pytest.raises(Conflict, match="account_closed"):
            await accounts.change_account(*where, actor="test", reason="test", **change)


async def test_change_account_floor_above_ceiling_is_refused(bench: Bench) -> None:
    account = bench.accounts["capped"]
    with pytest.raises(InvalidRequest, match="limits_crossed"):
        await bench.ledger.accounts.change_account(
            account.book_id, account.account_id, actor="test", reason="test", floor_minor=1_001
        )


async def test_change_account_by_many_at_once_numbers_every_change(bench: Bench) -> None:
    accounts, account = bench.ledger.accounts, bench.accounts["a"]
    where = (account.book_id, account.account_id)
    await asyncio.gather(
        *(accounts.change_account(*where, actor=f"n{n}", reason="race", floor_minor=-n) for n in range(12))
    )
    history = await accounts.changes(*where)
    assert [c.change_no for c in history] == list(range(1, 14))
    assert (await accounts.account(*where)).floor_minor == history[-1].floor_minor


async def test_account_unknown_is_named(bench: Bench) -> None:
    accounts, book_id = bench.ledger.accounts, bench.book.book_id
    with pytest.raises(UnknownAccount):
        await accounts.account(book_id, AccountId(404))
    with pytest.raises(UnknownAccount):
        await accounts.account(BookId(404), bench.accounts["a"].account_id)
    with pytest.raises(UnknownAccount):
        await accounts.account_by_code(book_id, "a", "USD")
    with pytest.raises(UnknownAsset):
        await accounts.account_by_code(book_id, "a", "ZZZ")
    with pytest.raises(UnknownAccount):
        await accounts.change_account(book_id, AccountId(404), actor="test", reason="test")


async def test_account_balances_show_posted_held_and_natural_side(bench: Bench) -> None:
    accounts = bench.ledger.accounts
    bench.accounts["bank"] = await accounts.open_account(bench.book.book_id, "bank", "CNY", side=Side.DEBIT)
    await bench.ledger.posting.post([bench.transfer("bank", "a", 100), bench.hold("a", "b", 30)])
    bank, owner, other = [await bench.balance(name) for name in ("bank", "a", "b")]
    assert (bank.posted_minor, bank.natural_minor) == (-100, 100)
    assert (owner.posted_minor, owner.available_minor, owner.natural_minor) == (100, 70, 100)
    assert (other.posted_minor, other.available_minor, other.credits_held_minor) == (0, 0, 30)
