"""``tongbao ledger`` against a migrated database, as people and as programs read it."""

import asyncio
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import Bench
from typer.testing import CliRunner, Result

from tongbao.core.config import Settings
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import AppError, Conflict, InvalidRequest, InvariantBroken, NotFound, Unavailable
from tongbao.core.ids import uuid_text
from tongbao.ledger.schema import Side
from tongbao.web import runtime
from tongbao.web.cli import app
from tongbao.web.commands import ledger as commands
from tongbao.web.commands import ledger_tables as tables

MAIN = [sys.executable, "-c", "from tongbao.web.cli import main; main()"]


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands.console, "width", 100)


async def call(*arguments: str | Path) -> Result:
    """Run the command in a thread, where it starts its own loop; errors of ours are raised."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", *map(str, arguments)])
    if isinstance(result.exception, AppError):
        raise result.exception
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def shown(*arguments: str | Path) -> str:
    """Return what a command prints, its lines without what pads them and its columns by single spaces."""
    result = await call(*arguments)
    assert result.exit_code == 0, result.output
    return "\n".join(" ".join(line.split()) for line in result.output.splitlines())


async def parsed(*arguments: str | Path) -> Any:
    result = await call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.fixture
async def filled(bench: Bench) -> Bench:
    """The bench with a receivable, two stores below ``available``, a sealed sale and an open hold."""
    open_account, book_id = bench.ledger.accounts.open_account, bench.book.book_id
    bench.accounts |= {
        "receivable": await open_account(book_id, "receivable", "CNY", side=Side.DEBIT, ceiling_minor=0),
        "store_1": await open_account(book_id, "available/store_1", "CNY", floor_minor=0),
        "store_2": await open_account(book_id, "available/store_2", "CNY", floor_minor=0),
    }
    sales = [bench.transfer("receivable", "store_1", 123_456_789, reference="order-1", code="card_sale")]
    sales.append(bench.transfer("receivable", "store_2", 5_000, code="card_sale"))
    assert all(result.accepted for result in await bench.ledger.posting.post(sales))
    hold = bench.hold("store_1", "other", 1_000, code="payout")
    assert (await bench.ledger.posting.post_one(hold)).accepted
    await bench.ledger.sealing.seal_all()
    return bench


async def test_books_are_listed(bench: Bench) -> None:
    assert f"{bench.book.code} empty Bench" in await shown("books")
    listed = await parsed("books", "--template", "empty")
    assert bench.book.code in [book["code"] for book in listed]
    assert await parsed("books", "--template", "wallet") == []


async def test_accounts_are_a_tree_with_sums_and_natural_signs(filled: Bench) -> None:
    text = await shown("accounts", filled.book.code)
    assert "Σ available/ (2) CNY 1,234,617.89 10.00 1,234,607.89" in text
    assert "store_1 CNY 1,234,567.89 10.00 1,234,557.89 open ≥ 0.00" in text
    assert "receivable CNY 1,234,617.89 0.00 1,234,617.89 open ≥ 0.00" in text
    assert "capped CNY 0.00 0.00 0.00 open ≤ 10.00" in text
    quiet = await shown("accounts", filled.book.code, "--no-zero")
    assert "capped" not in quiet
    assert "accounts that never moved are not shown" in quiet
    below = await parsed("accounts", filled.book.code, "--below", "available")
    assert [account["code"] for account in below] == ["available/store_1", "available/store_2"]
    assert below[0]["posted_minor"] == 123_456_789
    with pytest.raises(NotFound, match="account_unknown"):
        await call("accounts", filled.book.code, "--below", "nowhere")


async def test_accounts_of_a_large_book_are_cut_with_a_word(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ACCOUNTS_LISTED_MAX", 3)
    monkeypatch.setattr(commands, "PAGE_SIZE_MAX", 3)
    assert "The first 3 accounts only" in await shown("accounts", bench.book.code)


async def test_statement_shows_entries_with_balances(filled: Bench) -> None:
    text = await shown("statement", filled.book.code, "available/store_1")
    assert "CNY 1,234,567.89" in text
    assert "payout [hold] other (-10.00) 1,234,567.89" in text
    assert "card_sale receivable order-1 +1,234,567.89 1,234,567.89" in text
    page = await parsed("statement", filled.book.code, "receivable", "--limit", "1")
    assert page["entries"][0]["balance_minor"] == -123_461_789
    older = await parsed("statement", filled.book.code, "receivable", "--before", page["next_before"])
    assert [entry["posted_delta_minor"] for entry in older["entries"]] == [-123_456_789]
    result = await call("statement", filled.book.code, "receivable", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.output)))
    assert [(row["other_account"], row["reference"]) for row in rows] == [
        ("available/store_2", ""),
        ("available/store_1", "order-1"),
    ]
    assert "No entries." in await shown("statement", filled.book.code, "capped")


async def test_statement_names_its_account_exactly(filled: Bench) -> None:
    await filled.ledger.accounts.open_account(filled.book.book_id, "dollars", "EUR")
    with pytest.raises(Conflict, match=r"asset_needed.*USD, EUR"):
        await call("statement", filled.book.code, "dollars")
    assert "EUR 0.00" in await shown("statement", filled.book.code, "dollars", "--asset", "EUR")
    for wrong, code in ((("none", "a"), "book_unknown"), ((filled.book.code, "none"), "account_unknown")):
        with pytest.raises(NotFound, match=code):
            await call("statement", *wrong)
    with pytest.raises(InvalidRequest, match="cursor_invalid"):
        await call("statement", filled.book.code, "a", "--before", "x")
    assert (await call("statement", filled.book.code, "a", "--limit", "0")).exit_code == 2


async def test_balance_as_of_an_instant(filled: Bench) -> None:
    at = ("--at", "2099-01-01T00:00:00Z")
    assert "receivable: CNY 1,234,617.89, recorded by 2099-01-01 00:00:00 UTC" in await shown(
        "balance", filled.book.code, "receivable", *at
    )
    then = await parsed(
        "balance", filled.book.code, "receivable", "--at", "2020-01-01T00:00:00Z", "--axis", "occurred"
    )
    assert (then["posted_minor"], then["axis"]) == (0, "occurred")
    with pytest.raises(InvalidRequest, match="time_invalid"):
        await call("balance", filled.book.code, "a", "--at", "2020-01-01")


async def test_transfer_is_shown_whole(filled: Bench) -> None:
    page = await parsed("statement", filled.book.code, "receivable")
    key = page["entries"][-1]["transfer"]
    text = await shown("transfer", key, "--book", filled.book.code)
    for said in ("code card_sale", "reference order-1", "debit receivable", "amount CNY 1,234,567.89"):
        assert said in text
    assert (await parsed("transfer", key, "--book", filled.book.code))["amount_minor"] == 123_456_789
    with pytest.raises(InvalidRequest, match="id_malformed"):
        await call("transfer", "tr_x", "--book", filled.book.code)
    with pytest.raises(NotFound, match="transfer_unknown"):
        await call("transfer", uuid_text("tr", filled.key()), "--book", filled.book.code)


async def test_trial_balance_and_verify_find_what_was_altered(filled: Bench, dsn: str) -> None:
    assert (await shown("trial-balance")).endswith("balanced: debits equal credits in every asset")
    one = await parsed("trial-balance", filled.book.code)
    assert (one["balanced"], one["differences_minor"]) == (True, {})
    sound = await parsed("verify", filled.book.code)
    head = sound["books"][0]["head_hash"]
    assert head in await shown("verify", filled.book.code, "--expect", head)
    assert "sound" in await shown("verify", "--all")
    assert (await call("verify", filled.book.code, "--expect", "ab" * 32)).exit_code == 1

    connection = await asyncpg.connect(dsn)
    account_id = filled.accounts["receivable"].account_id
    change = "UPDATE ledger.balance SET debits_minor = debits_minor + $2 WHERE account_id = $1"
    try:
        await connection.execute(change, account_id, 101)
        broken = await call("trial-balance", filled.book.code)
        assert (broken.exit_code, "NOT BALANCED in CNY: debits minus credits 1.01" in broken.output) == (
            1,
            True,
        )
        found = await call("verify", filled.book.code, "--json")
        assert found.exit_code == 1
        assert "balance_differs" in {
            finding["what"] for finding in json.loads(found.output)["books"][0]["findings"]
        }
        assert "balance_differs" in (await call("verify", filled.book.code)).output
    finally:
        await connection.execute(change, account_id, -101)
        await connection.close()


async def test_verify_wants_one_book_or_all(bench: Bench) -> None:
    for wrong in ((), (bench.book.code, "--all"), ("--all", "--expect", "ab" * 32)):
        assert (await call("verify", *wrong)).exit_code == 2
    with pytest.raises(InvalidRequest, match="hash_malformed"):
        await call("verify", bench.book.code, "--expect", "xyz")


async def test_seal_counts_what_it_sealed(bench: Bench) -> None:
    await bench.ledger.sealing.seal_all()
    await bench.ledger.posting.post([bench.transfer("equity", "a", 1), bench.transfer("equity", "a", 2)])
    assert (await shown("seal")) == "2 transfers sealed"
    assert await parsed("seal") == {"sealed": 0}


async def test_import_reports_and_fails_on_refused_lines(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    header = "book,debit,credit,asset,amount,code\n"
    path.write_text(
        header + f"{bench.book.code},new/one,new/two,CNY,12.34,c\n" + f"{bench.book.code},a,b,CNY,x,c\n"
    )
    result = await call("import", path, "--create-accounts")
    assert result.exit_code == 1
    for said in ("CNY 12.34 posted", "amount_malformed", "t.csv.refused.csv"):
        assert said in result.output
    result = await call("import", path, "--create-accounts", "--json")
    report = json.loads(result.output)
    assert (result.exit_code, report["exists"], report["refused"]) == (1, 1, 1)
    path.write_text(header + f"{bench.book.code},new/one,new/two,CNY,1,c\n")
    assert "1" in await shown("import", path, "--import-id", "01890000-0000-7000-8000-000000000001")
    with pytest.raises(InvalidRequest, match="transfer_file_bad"):
        await call("import", tmp_path / "none.csv")


async def test_refusal_ends_the_program_with_2() -> None:
    done = await asyncio.to_thread(
        subprocess.run, [*MAIN, "ledger", "accounts", "none"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "book_unknown: no book none\n")


def test_statement_table_fits_80_columns_with_large_amounts() -> None:
    assert tables.amount(-(2**62), 2) == "-46,116,860,184,273,879.04"
    assert [tables.amount(5, scale) for scale in (0, 2, 3)] == ["5", "0.05", "0.005"]


# --- the runtime beneath ---


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    made = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    made.chmod(0o755)
    yield made
    EmbeddedServer(made / "postgres").stop()
    shutil.rmtree(made)


async def test_runtime_starts_the_embedded_server_and_stops_only_what_it_started(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TONGBAO_DATABASE_URL")
    settings = Settings(data_dir=home)
    server = EmbeddedServer(home / "postgres")
    async with runtime.open_runtime(settings) as first:
        assert (await first.ledger.accounts.books()) == []
        async with runtime.open_runtime(settings) as second:
            await second.ledger.accounts.open_book("b", "empty", "B")
        assert server.status().running
    assert not server.status().running
    async with runtime.open_runtime(settings) as opened:
        other = await asyncpg.connect(opened.dsn)
    assert server.status().running
    await other.close()


async def test_runtime_refuses_what_is_not_durable_or_not_there(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    name = await connection.fetchval("SELECT current_database()")
    try:
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        with pytest.raises(InvariantBroken, match="durability_off"):
            async with runtime.open_runtime(Settings.model_validate({"database_url": dsn})):
                pass
    finally:
        await connection.execute(f"ALTER DATABASE {name} RESET synchronous_commit")
        await connection.close()
    nowhere = Settings.model_validate({"database_url": f"postgresql://x@/x?host={os.getcwd()}"})
    with pytest.raises(Unavailable, match="database_unreachable"):
        async with runtime.open_runtime(nowhere):
            pass
