"""``tongbao settle``, ``fees``, ``recon``, ``payouts`` and ``days`` against a migrated database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from tests.web.desk_calls import call, parsed, shown

from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.store import movements
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.core.ids import IdFactory, int_text, uuid_text
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BOOK_PREFIX, BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.web.commands import at_desk

BOOK = 4_711
CODE = int_text(BOOK_PREFIX, BOOK)
NO_BREAK = "brk_00000000000000000000000000"
COLUMNS = {
    "key": ["id"],
    "kind": "kind",
    "kinds": {"sale": "sale"},
    "currency": "currency",
    "gross": "gross",
    "reference": "reference",
    "occurred_at": "at",
    "amount_unit": "minor",
}


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 220)


@pytest.fixture
async def merchant(database: Database, ids: IdFactory) -> str:
    """A merchant's book; returns its code."""
    async with Ledger(database, RealClock(), Metrics(), ids) as ledger:
        await ledger.accounts.open_book(CODE, "merchant", "Tea", ("CNY",), book_id=BookId(BOOK))
    return CODE


async def sold(database: Database, ids: IdFactory, *amounts: int) -> list[Movement]:
    """Record sales of an hour ago over a channel called acme, cut a moment later."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    made = [
        Movement(
            id=ids.uuid(),
            book_id=BOOK,
            live=False,
            kind=MovementKind.SALE,
            transfer_key=ids.uuid(),
            source_id=ids.uuid(),
            intent_id=ids.uuid(),
            channel="acme",
            method="card",
            currency="CNY",
            amount_minor=amount,
            reference=f"ref{number}",
            channel_reference=None,
            occurred_at=at,
            recorded_at=at,
            cut_at=at + timedelta(minutes=1),
            payout_on=at.date(),
        )
        for number, amount in enumerate(amounts)
    ]
    async with database.transaction() as connection:
        await movements.write(connection, made)
    return made


async def source(tmp_path: Path, name: str = "acme") -> None:
    """Agree with a source."""
    file = tmp_path / f"{name}.json"
    terms = {"source": name, "side": "channel", "format": "csv", "report_days": 0, "is_daily": False} | {
        "columns": COLUMNS
    }
    file.write_bytes(msgspec.json.encode(terms))
    assert "version 1" in await shown("recon", "agree", file)


def reported(tmp_path: Path, made: list[Movement], *more: str) -> Path:
    """A file that tells these sales."""
    rows = [
        f"t{number},sale,CNY,{each.amount_minor},{each.reference},{each.occurred_at:%Y-%m-%dT%H:%M:%SZ}"
        for number, each in enumerate(made)
    ]
    file = tmp_path / "day.csv"
    file.write_text("\n".join(("id,kind,currency,gross,reference,at", *rows, *more, "")))
    return file


async def test_lists_are_checked_drafted_and_published_by_somebody_else(tmp_path: Path) -> None:
    assert "house_costs 1 published" in await shown("fees", "list")
    file = tmp_path / "list.json"
    file.write_text('{"charges": [{"name": "processing", "tiers": [{"rate_e6": 6000}]}]}')
    assert "list of merchants with 1 charges" in await shown("fees", "check", file)
    bad = tmp_path / "bad.json"
    bad.write_text('{"charges": [{"name": "processing", "tiers": [{"rate_e6": -1}]}]}')
    with pytest.raises(InvalidRequest, match=r"\$\.charges\[0\]\.tiers\[0\]\.rate_e6"):
        await call("fees", "check", bad)
    bad.write_text("{")
    with pytest.raises(InvalidRequest, match="no JSON"):
        await call("fees", "check", bad)
    draft = await parsed("fees", "draft", "tea", file, "--as", "mei")
    assert (draft["version"], draft["state"]) == (1, "draft")
    assert await shown("fees", "diff", "tea", 1)
    with pytest.raises(Conflict, match="see first"):
        await call("fees", "publish", "tea", 1, "--as", "chen")
    assert "0 movements" in await shown("fees", "simulate", "tea", 1, "--as", "mei")
    with pytest.raises(NotPermitted, match="does not publish"):
        await call("fees", "publish", "tea", 1, "--as", "mei")
    assert "holds from" in await shown("fees", "publish", "tea", 1, "--as", "chen")
    assert "tea 1 published" in await shown("fees", "list", "tea")
    assert "withdrawn" in await shown("fees", "withdraw", "tea", 1, "--note", "not yet", "--as", "mei")
    assert await parsed("fees", "show", "tea", 1)
    quoted = await parsed("fees", "quote", 10_000, "cny", "--list", "tea", "--version", 1)
    assert quoted["priced"]["merchant_minor"] == 60
    assert "processing merchant" in await shown(
        "fees", "quote", 10_000, "cny", "--list", "tea", "--version", 1
    )


async def test_file_is_taken_run_and_its_break_written_off(
    database: Database, ids: IdFactory, tmp_path: Path, merchant: str
) -> None:
    made = await sold(database, ids, 500, 700, 900)
    await source(tmp_path)
    assert "acme channel csv" in await shown("recon", "sources")
    file = reported(tmp_path, made[:2], "t9,sale,CNY,much,x,2026-01-01T00:00:00Z")
    taken = await call("recon", "take", file, "--source", "acme", "--as", "mei")
    assert taken.exit_code == 1
    assert "2 lines, 0 repeated, 1 refused" in taken.output
    assert "line 4" in taken.output
    again = await call("recon", "take", file, "--source", "acme", "--json")
    assert (again.exit_code, msgspec.json.decode(again.output)["is_repeat"]) == (1, True)
    assert "lines_refused" in await shown("recon", "files", "--source", "acme")
    until = (datetime.now(UTC) + timedelta(days=2)).date()
    (run,) = await parsed("recon", "run", "acme", "--until", until, "--as", "mei")
    assert (run["expected_count"], run["matched_count"], run["break_count"]) == (3, 2, 1)
    assert "1 missing" in await shown("recon", "runs", "--source", "acme")
    (found,) = await parsed("recon", "breaks", "--source", "acme")
    brk = uuid_text("brk", UUID(found["of"]["id"]))
    assert "Not reported, overdue" in await shown("recon", "breaks", "--book", merchant)
    assert "逾期未报告" in await shown("recon", "show", brk, "--lang", "zh")
    assert "is explained" in await shown("recon", "explain", brk, "--note", "their strike", "--as", "mei")
    assert "is proposed" in await shown("recon", "propose", brk, "--note", "gone", "--as", "mei")
    with pytest.raises(NotPermitted, match="does not approve"):
        await call("recon", "approve", brk, "--note", "me too", "--as", "mei")
    assert "is written_off" in await shown("recon", "approve", brk, "--note", "agreed", "--as", "chen")
    assert "written off" in await shown("recon", "show", brk)
    assert await parsed("recon", "breaks", "--source", "acme") == []


async def test_errors_are_one_sentence_with_a_code(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        await call("recon", "take", tmp_path / "nothing.csv", "--source", "acme")
    file = tmp_path / "day.csv"
    file.write_text("x")
    with pytest.raises(NotFound, match="nobody called"):
        await call("recon", "take", file, "--source", "nobody")
    with pytest.raises(NotFound):
        await call("recon", "run", "nobody")
    with pytest.raises(NotFound):
        await call("recon", "show", NO_BREAK)
    with pytest.raises(InvalidRequest, match="brk_"):
        await call("recon", "show", "x")
    with pytest.raises(NotFound):
        await call("settle", "calendar", "nowhere", "CNY")
    file.write_text('{"source": "x", "side": "moon", "format": "csv"}')
    with pytest.raises(InvalidRequest, match="side"):
        await call("recon", "agree", file)


async def test_agreement_calendar_and_batches_are_shown(
    database: Database, ids: IdFactory, merchant: str
) -> None:
    assert "version 0" in await shown("settle", "agreement", merchant, "cny")
    terms = '{"cycle": "d", "days": 0, "cuts": ["00:00:00", "12:00:00"], "calendars": []}'
    made = await shown("settle", "agree", merchant, "CNY", terms, "--note", "daily", "--as", "mei")
    assert "Version 1 holds" in made
    assert len(await parsed("settle", "calendar", merchant, "CNY", "--count", 3)) == 3
    assert "Paid on" in await shown("settle", "calendar", merchant, "CNY")
    with pytest.raises(InvalidRequest, match="moon"):
        await call("settle", "agree", merchant, "CNY", '{"cycle": "moon"}', "--note", "x")
    await sold(database, ids, 10_000)
    done = await parsed("settle", "cut", "--book", merchant)
    assert done["cut"] == done["priced"] == done["approved"] == 1
    assert await parsed("settle", "batches", "--book", merchant) == []
    (batch,) = await parsed("settle", "batches", "--book", merchant, "--state", "approved")
    reference = uuid_text("bat", UUID(batch["id"]))
    assert reference in await shown("settle", "batches", "--book", merchant, "--state", "approved")
    told = await shown("settle", "show", merchant, reference)
    assert f"{reference} · approved" in told
    assert "gross" in told
    with pytest.raises(Conflict, match="cannot be approved"):
        await call("settle", "approve", merchant, reference, "--as", "mei")


async def test_payouts_and_accounts_of_a_new_merchant_are_empty(merchant: str) -> None:
    assert await parsed("payouts", "list", merchant) == []
    assert await parsed("payouts", "accounts", merchant) == []
    done = await parsed("payouts", "send")
    assert (done["create"], done["send"]) == (0, 0)


async def test_day_is_checked_and_closed(tmp_path: Path) -> None:
    on = (datetime.now(UTC) - timedelta(days=3)).date()
    with pytest.raises(Conflict, match="never closed"):
        await call("days", "report", on)
    result = await call("days", "check", on)
    assert "score" in result.output
    ahead = (datetime.now(UTC) + timedelta(days=3)).date()
    with pytest.raises(Conflict, match="still runs"):
        await call("days", "close", ahead)
