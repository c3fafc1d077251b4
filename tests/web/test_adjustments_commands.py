"""``tongbao adjustments``, ``debts`` and ``settle backfill`` against a migrated database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.web.desk_calls import call, parsed, shown

from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.store import movements
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.core.ids import IdFactory, int_text
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BOOK_PREFIX, BookId, Transfer
from tongbao.ledger.service.ledger import Ledger
from tongbao.web.commands import at_desk

BOOK = 4_712
CODE = int_text(BOOK_PREFIX, BOOK)
WHY = ("--reason", "charged twice", "--evidence", "mail of 3 June")
NO_DEMAND = "dmd_00000000000000000000000000"


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 240)


@pytest.fixture
async def merchant(database: Database, ids: IdFactory) -> str:
    """A merchant's book from which 50.00 were taken more than it had; returns its code."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    async with Ledger(database, RealClock(), Metrics(), ids) as ledger:
        await ledger.accounts.open_book(CODE, "merchant", "Tea", ("CNY",), book_id=BookId(BOOK))
        account = ledger.accounts.account_by_code
        waiting = await account(BookId(BOOK), "in_transit", "CNY")
        other = await account(BookId(BOOK), "refund_clearing", "CNY")
        made = _refund(ids, at)
        await ledger.posting.post_one(
            Transfer(
                key=made.id,
                book_id=BookId(BOOK),
                debit_account_id=waiting.account_id,
                credit_account_id=other.account_id,
                amount_minor=5_000,
                asset_id=waiting.asset_id,
                code="refund.made",
            )
        )
    async with database.transaction() as connection:
        await movements.write(connection, [made])
    return CODE


def _refund(ids: IdFactory, at: datetime) -> Movement:
    return Movement(
        id=ids.uuid(),
        book_id=BOOK,
        live=False,
        kind=MovementKind.REFUND,
        transfer_key=ids.uuid(),
        source_id=ids.uuid(),
        intent_id=ids.uuid(),
        channel="acme",
        method="card",
        currency="CNY",
        amount_minor=-5_000,
        reference="ref",
        channel_reference=None,
        occurred_at=at,
        recorded_at=at,
        cut_at=at + timedelta(minutes=1),
        payout_on=at.date(),
    )


async def test_adjustment_goes_from_one_person_to_another(merchant: str) -> None:
    order = ("adjustments", "propose", CODE, "CNY", 500, *WHY, "--reference", "T-1")
    made = await parsed(*order, "--as", "mei")
    assert made["state"] == "proposed"
    listed = await shown("adjustments", "list", "--book", CODE, "--state", "proposed")
    assert f"{int_text(BOOK_PREFIX, BOOK)} proposed" in listed
    (adjustment,) = [each for each in listed.split() if each.startswith("adj_")]
    with pytest.raises(NotPermitted) as same:
        await call("adjustments", "approve", adjustment, "--as", "mei")
    assert same.value.code == "four_eyes"
    assert "is posted, version 2." in await shown("adjustments", "approve", adjustment, "--as", "li")
    text = await shown("adjustments", "show", adjustment)
    assert "charged twice (T-1)" in text
    assert "mail of 3 June" in text
    with pytest.raises(Conflict):
        await call("adjustments", "decline", adjustment, "--as", "li")
    back = ("adjustments", "propose", CODE, "cny", 500, "--take", *WHY, "--reference", "T-2")
    assert "somebody else has to approve it" in await shown(*back, "--reverses", adjustment, "--as", "li")


async def test_debt_goes_from_demand_to_its_end(merchant: str) -> None:
    await shown("settle", "cut", "--book", CODE)
    assert CODE in await shown("debts", "ageing")
    due = (datetime.now(UTC) + timedelta(days=20)).date()
    made = await shown(
        *(
            "debts",
            "demand",
            CODE,
            "CNY",
            100,
            "--due",
            due,
            "--reference",
            "D-1",
            "--note",
            "owed",
            "--as",
            "mei",
        )
    )
    demand = made.split(" ")[0]
    assert "is open" in made
    paid = ("debts", "receive", demand, 40, "--bank-reference", "B-1", "--as", "mei")
    assert "is part_paid" in await shown(*paid)
    assert "is part_paid" in await shown(*paid)
    assert "somebody else has to write it off" in await shown(
        "debts", "give-up", demand, "--note", "gone", "--as", "mei"
    )
    with pytest.raises(NotPermitted):
        await call("debts", "write-off", demand, "--as", "mei")
    assert "is written_off" in await shown("debts", "write-off", demand, "--as", "li")
    assert demand in await shown("debts", "list", "--state", "written_off")
    with pytest.raises(Conflict):
        await call("debts", "cancel", demand, "--note", "no", "--as", "li")


async def test_commands_refuse_what_cannot_be(merchant: str) -> None:
    rows: tuple[tuple[type[Exception], tuple[object, ...]], ...] = (
        (InvalidRequest, ("adjustments", "propose", CODE, "CNY", 0, *WHY, "--reference", "T-8")),
        (InvalidRequest, ("adjustments", "propose", CODE, "EUR", 1, *WHY, "--reference", "T-8")),
        (NotFound, ("adjustments", "propose", "book_none", "CNY", 1, *WHY, "--reference", "T-8")),
        (InvalidRequest, ("adjustments", "approve", "adj_x")),
        (NotFound, ("debts", "keep", NO_DEMAND)),
        (InvalidRequest, ("debts", "keep", "x")),
    )
    for error, arguments in rows:
        with pytest.raises(error):
            await call(*arguments)
    assert (await call("debts", "receive", NO_DEMAND, 0, "--bank-reference", "B")).exit_code == 2


async def test_back_fill_tells_what_it_found_and_fails_while_sums_differ(
    merchant: str, database: Database, ids: IdFactory
) -> None:
    done = await parsed("settle", "backfill", "--again")
    assert done["is_equal"]
    assert done["backfill"]["done_count"] == done["backfill"]["account_count"] > 0
    assert "equal in every book" in await shown("settle", "backfill")
    lonely = _refund(ids, datetime.now(UTC))
    async with database.transaction() as connection:
        await movements.write(connection, [lonely])
    result = await call("settle", "backfill")
    assert result.exit_code == 1
    assert "Difference" in result.output
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM clearing.movement WHERE id = $1", lonely.id)
