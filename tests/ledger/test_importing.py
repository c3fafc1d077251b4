"""Importing whole files into a real ledger: nothing is lost, nothing is doubled."""

import csv
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tongbao.core.errors import NotFound, OutcomeUnknown, Unavailable
from tongbao.core.ids import derive
from tongbao.ledger import transfer_rows
from tongbao.ledger.errors import BadTransferFile
from tongbao.ledger.schema import PostResult, Transfer
from tongbao.ledger.service import importing
from tongbao.ledger.service.importing import Importing, ImportReport
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.posting import Posting

HEADER = "book,debit,credit,asset,amount,code,reference,group\n"


@pytest.fixture
def book(ledger: Ledger) -> str:
    return f"import-{ledger.ids.int63()}"


@pytest.fixture
def run(ledger: Ledger) -> Importing:
    return Importing(ledger.accounts, ledger.posting)


def written(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def files_in(folder: Path) -> list[str]:
    return [found.name for found in folder.iterdir()]


def counts(report: ImportReport) -> tuple[int, int, int]:
    assert report.lines == report.posted + report.exists + report.refused
    assert sum(report.refusals.values()) == report.refused
    return report.posted, report.exists, report.refused


def refused_rows(path: Path) -> list[dict[str, str]]:
    with (path.parent / (path.name + ".refused.csv")).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def balances(ledger: Ledger, book: str) -> dict[tuple[str, str], int]:
    owner = await ledger.accounts.book(book)
    found = await ledger.accounts.accounts(owner.book_id, limit=500)
    return {(account.code, account.asset): account.posted_minor for account in found}


async def test_import_again_posts_nothing_twice(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path
) -> None:
    path = written(
        tmp_path, "\ufeff" + HEADER + "".join(f"{book},a,b,CNY,{n}.05,c,r{n},\n" for n in range(1, 101))
    )
    first = await run.import_file(path, create_accounts=True)
    assert counts(first) == (100, 0, 0)
    assert first.totals == (importing.AssetTotal("CNY", 2, 505_500, 0),)
    again = await run.import_file(path)
    assert counts(again) == (0, 100, 0)
    assert again.import_id == first.import_id
    assert again.totals == (importing.AssetTotal("CNY", 2, 0, 505_500),)
    assert await balances(ledger, book) == {("a", "CNY"): -505_500, ("b", "CNY"): 505_500}
    other = await run.import_file(path, import_id=UUID("01890000-0000-7000-8000-000000000001"))
    assert counts(other) == (100, 0, 0)


async def test_every_bad_line_is_refused_and_listed_with_its_reason(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path
) -> None:
    owner = await ledger.accounts.open_book(book, "empty", book)
    for code in ("a", "b"):
        await ledger.accounts.open_account(owner.book_id, code, "CNY")
    await ledger.accounts.open_account(owner.book_id, "low", "CNY", floor_minor=0)
    await ledger.accounts.open_account(owner.book_id, "dollars", "USD")
    lines: list[tuple[str, str | None]] = [
        (f"{book},a,b,CNY,1,c,,", None),
        ("", "line_empty"),
        (f"{book},a,b,CNY", "line_ragged"),
        (f'{book},a,b,CNY,1,"c,,', "line_badly_quoted"),
        (f"{book},a,b,CNY,1.001,c,,", "amount_too_precise"),
        (f"{book},a,b,CNY,-1,c,,", "amount_not_positive"),
        (f"{book},a,b,CNY,0,c,,", "amount_not_positive"),
        (f"{book},a,b,CNY,{10**30},c,,", "amount_too_large"),
        (f"{book},a,b,CNY,one,c,,", "amount_malformed"),
        (f"{book},a,a,CNY,1,c,,", "same_account"),
        (f"{book},a,nope,CNY,1,c,,", "account_unknown"),
        (f"{book},a,b,USD,1,c,,", "account_unknown"),
        (f"{book},a,b,NOPE,1,c,,", "asset_unknown"),
        ("no-such-book,a,b,CNY,1,c,,", "book_unknown"),
        (f"{book},a,b,CNY,1,Not A Code,,", "code_invalid"),
        (f"{book},a,b,CNY,1,c,{'x' * 10_000},", "reference_too_long"),
        (f"{book},low,b,CNY,1,c,,", "below_floor"),
        (f"{book},a,b,CNY,1,c,,g", "group_refused"),
        (f"{book},low,b,CNY,1,c,,g", "below_floor"),
        (f"{book},a,b,CNY,2,c,last,", None),
    ]
    path = written(tmp_path, HEADER + "\n".join(line for line, _ in lines) + "\n")
    report = await run.import_file(path)
    expected = {no: refusal for no, (_, refusal) in enumerate(lines, 2) if refusal is not None}
    assert counts(report) == (2, 0, len(expected))
    assert report.refusals == Counter(expected.values())
    assert {line.line_no: line.refusal for line in report.first_refused} == expected
    listed = refused_rows(path)
    assert {int(row["line"]): row["refusal"] for row in listed} == expected
    assert all(row["detail"] and row["key"] for row in listed)
    assert report.refused_file == path.with_name("t.csv.refused.csv")
    assert await balances(ledger, book) == {
        ("a", "CNY"): -300,
        ("b", "CNY"): 300,
        ("dollars", "USD"): 0,
        ("low", "CNY"): 0,
    }


async def test_mended_list_of_refused_lines_is_a_file_of_its_own(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path
) -> None:
    path = written(tmp_path, HEADER + f"{book},a,b,CNY,1,c,,\n{book},a,b,CNY,2.001,c,,\n")
    first = await run.import_file(path, create_accounts=True)
    assert counts(first) == (1, 0, 1)
    mended = tmp_path / "t.csv.refused.csv"
    mended.write_text(mended.read_text().replace("2.001", "2.00"))
    assert counts(await run.import_file(mended)) == (1, 0, 0)
    assert counts(await run.import_file(mended)) == (0, 1, 0)
    owner = await ledger.accounts.book(book)
    row = await ledger.reading.transfer(owner.book_id, derive(first.import_id, "3"))
    assert row.amount_minor == 200


async def test_list_of_refused_lines_goes_when_nothing_is_refused_any_more(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path
) -> None:
    path = written(tmp_path, HEADER + f"{book},a,b,CNY,1,c,,\n")
    assert counts(await run.import_file(path)) == (0, 0, 1)
    assert len(refused_rows(path)) == 1
    assert counts(await run.import_file(path, create_accounts=True)) == (1, 0, 0)
    assert files_in(tmp_path) == ["t.csv"]


@pytest.mark.parametrize("content", ["", "\n", "a,b\n", "book,debit,credit,asset,code\n"])
async def test_file_without_a_sound_header_is_refused(run: Importing, tmp_path: Path, content: str) -> None:
    with pytest.raises(BadTransferFile):
        await run.import_file(written(tmp_path, content))
    assert files_in(tmp_path) == ["t.csv"]


async def test_file_that_is_not_there_is_refused(run: Importing, tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadTransferFile):
            await run.import_file(path)


async def test_header_alone_imports_nothing(run: Importing, tmp_path: Path) -> None:
    assert counts(await run.import_file(written(tmp_path, HEADER))) == (0, 0, 0)


async def test_key_used_twice_with_other_content_is_a_conflict(
    run: Importing, book: str, tmp_path: Path, ledger: Ledger
) -> None:
    key = ledger.ids.uuid()
    rows = [f"{key},{book},a,b,EUR,{minor},c" for minor in (100, 100, 101)]
    path = written(tmp_path, "key,book,debit,credit,asset,amount_minor,code\n" + "\n".join(rows))
    report = await run.import_file(path, create_accounts=True)
    assert counts(report) == (1, 1, 1)
    assert report.refusals == {"key_conflict": 1}


async def test_groups_stand_or_fall_together_across_blocks(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path
) -> None:
    before = transfer_rows.BLOCK_ROWS - 1
    lines = [f"{book},a,b,CNY,1,c,," for _ in range(before)]
    lines += [f"{book},a,b,CNY,1,c,,good" for _ in range(3)]
    lines += [f"{book},a,b,CNY,1,c,,bad", f"{book},a,b,CNY,x,c,,bad"]
    lines += [f"{book},a,b,CNY,1,c,,large" for _ in range(transfer_rows.BLOCK_ROWS + 50)]
    path = written(tmp_path, HEADER + "\n".join(lines))
    report = await run.import_file(path, create_accounts=True)
    assert counts(report) == (before + 3, 0, transfer_rows.BLOCK_ROWS + 52)
    assert report.refusals == {
        "group_too_large": transfer_rows.BLOCK_ROWS + 50,
        "group_refused": 1,
        "amount_malformed": 1,
    }
    owner = await ledger.accounts.book(book)
    leader = derive(report.import_id, str(before + 2))
    for line_no in range(before + 2, before + 5):
        row = await ledger.reading.transfer(owner.book_id, derive(report.import_id, str(line_no)))
        assert (row.group_key, row.group_size) == (leader, 3)
    assert [int(row["line"]) for row in refused_rows(path)] == list(range(before + 5, len(lines) + 2))
    assert counts(await run.import_file(path)) == (0, before + 3, transfer_rows.BLOCK_ROWS + 52)


class Dying(Posting):
    """A posting that is killed after some calls: what was committed stays, the caller never hears of it."""

    calls_left = 2

    async def post(self, transfers: Sequence[Transfer]) -> list[PostResult]:
        results = await super().post(transfers)
        self.calls_left -= 1
        if self.calls_left == 0:
            raise OutcomeUnknown("outcome_unknown", "the process died")
        return results


async def test_import_that_died_half_way_is_resumed(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3 * transfer_rows.BLOCK_ROWS
    path = written(tmp_path, HEADER + "".join(f"{book},a,b,CNY,1,c,,\n" for _ in range(count)) + "bad\n")
    with monkeypatch.context() as patch:
        patch.setattr(ledger.posting, "__class__", Dying)
        with pytest.raises(OutcomeUnknown):
            await run.import_file(path, create_accounts=True)
    assert files_in(tmp_path) == ["t.csv"]
    assert await balances(ledger, book) == {
        ("a", "CNY"): -200 * transfer_rows.BLOCK_ROWS,
        ("b", "CNY"): 200 * transfer_rows.BLOCK_ROWS,
    }
    resumed = await run.import_file(path)
    assert counts(resumed) == (transfer_rows.BLOCK_ROWS, 2 * transfer_rows.BLOCK_ROWS, 1)
    assert await balances(ledger, book) == {("a", "CNY"): -100 * count, ("b", "CNY"): 100 * count}


async def test_busy_ledger_is_asked_again(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = ledger.posting.post
    busy = iter([True, True])

    async def sometimes(transfers: Sequence[Transfer]) -> list[PostResult]:
        if next(busy, False):
            raise Unavailable("lane_full", "busy", retry_after_s=0.01)
        return await post(transfers)

    monkeypatch.setattr(ledger.posting, "post", sometimes)
    path = written(tmp_path, HEADER + f"{book},a,b,CNY,1,c,,\n")
    assert counts(await run.import_file(path, create_accounts=True)) == (1, 0, 0)


async def test_lines_are_posted_in_the_order_of_the_file(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path
) -> None:
    owner = await ledger.accounts.open_book(book, "empty", book)
    for code in ("source", "sink"):
        await ledger.accounts.open_account(owner.book_id, code, "CNY")
    await ledger.accounts.open_account(owner.book_id, "purse", "CNY", floor_minor=0, ceiling_minor=100)
    pair = f"{book},source,purse,CNY,1,c,,\n{book},purse,sink,CNY,1,c,,\n"
    path = written(tmp_path, HEADER + pair * 8_000)
    assert counts(await run.import_file(path)) == (16_000, 0, 0)


async def test_50_000_lines_equal_an_independent_sum(
    ledger: Ledger, run: Importing, book: str, tmp_path: Path
) -> None:
    rng = random.Random(7)
    sums: dict[tuple[str, str], int] = defaultdict(int)
    lines = []
    debited = 0
    for number in range(50_000):
        debit, credit = rng.sample(range(100), 2)
        minor = rng.randrange(1, 10**7)
        debited += minor
        sums[f"acc/{debit}", "JOD"] -= minor
        sums[f"acc/{credit}", "JOD"] += minor
        lines.append(f"{book};acc/{debit};acc/{credit};JOD;{minor // 1000}.{minor % 1000:03d};c;r{number};")
    path = written(tmp_path, HEADER.replace(",", ";") + "\n".join(lines))
    seen: list[importing.Progress] = []
    report = await run.import_file(path, create_accounts=True, on_progress=seen.append)
    assert counts(report) == (50_000, 0, 0)
    assert report.totals == (importing.AssetTotal("JOD", 3, debited, 0),)
    assert await balances(ledger, book) == sums
    assert seen[-1] == importing.Progress(50_000, path.stat().st_size, path.stat().st_size, 50_000, 0, 0)
    assert [progress.lines for progress in seen] == sorted(progress.lines for progress in seen)


def as_parquet(path: Path, **columns: Any) -> Path:
    target = path.with_suffix(".parquet")
    pq.write_table(pa.table(columns), target, row_group_size=1000)
    return target


async def test_parquet_equals_csv(ledger: Ledger, run: Importing, book: str, tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    count = 10_000
    keys = [str(ledger.ids.uuid()) for _ in range(count)]
    header = "key,book,debit,credit,asset,amount,code,reference,occurred_at\n"
    body = "".join(f"{key},{book},a,b,CNY,{n}.50,c,,{at.isoformat()}\n" for n, key in enumerate(keys, 1))
    path = written(tmp_path, header + body)
    target = as_parquet(
        path,
        key=keys,
        book=pa.array([book] * count).dictionary_encode(),
        debit=["a"] * count,
        credit=["b"] * count,
        asset=["CNY"] * count,
        amount=pa.array([Decimal(n) + Decimal("0.5") for n in range(1, count + 1)], pa.decimal128(18, 4)),
        code=["c"] * count,
        reference=pa.array([None] * count, pa.string()),
        occurred_at=pa.array([at] * count, pa.timestamp("us", "UTC")),
    )
    assert counts(await run.import_file(path, create_accounts=True)) == (count, 0, 0)
    # The same keys with the same content: only then the ledger says that they exist.
    assert counts(await run.import_file(target)) == (0, count, 0)


async def test_parquet_refuses_line_by_line_and_numbers_rows(
    run: Importing, book: str, tmp_path: Path
) -> None:
    columns: dict[str, Any] = {
        name: [value] * 3
        for name, value in {"book": book, "debit": "a", "credit": "b", "asset": "CNY", "code": "c"}.items()
    }
    target = as_parquet(tmp_path / "t", **columns, amount_minor=[5, None, 7])
    report = await run.import_file(target, create_accounts=True)
    assert counts(report) == (2, 0, 1)
    assert report.first_refused[0].line_no == 2
    assert refused_rows(target)[0]["refusal"] == "amount_malformed"


@pytest.mark.parametrize(
    "amount",
    [
        pa.array([1.5]),
        pa.array([[1]]),
        pa.array([b"1"]),
        pa.array([datetime(2026, 1, 1)], pa.timestamp("us")),  # noqa: DTZ001 - without a zone on purpose
    ],
)
async def test_parquet_of_other_types_is_refused(run: Importing, tmp_path: Path, amount: Any) -> None:
    columns = {name: ["x"] for name in ("book", "debit", "credit", "asset", "code")}
    with pytest.raises(BadTransferFile):
        await run.import_file(as_parquet(tmp_path / "t", **columns, amount=amount))


async def test_broken_parquet_is_refused(run: Importing, tmp_path: Path) -> None:
    columns = {name: ["x"] for name in ("book", "debit", "credit", "asset", "code", "amount")}
    target = as_parquet(tmp_path / "t", **columns)
    content = target.read_bytes()
    for cut in (5, 50, len(content) - 1):
        target.write_bytes(content[:cut])
        with pytest.raises(BadTransferFile):
            await run.import_file(target)


async def test_parquet_without_pyarrow_says_what_to_install(
    run: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = as_parquet(tmp_path / "t", book=["x"])
    missing: Callable[[str], None] = lambda _name: None  # noqa: E731 - reads as what it stands for
    monkeypatch.setattr("importlib.util.find_spec", missing)
    with pytest.raises(NotFound, match=r"parquet_missing.*pip install tongbao\[parquet\]"):
        await run.import_file(target)
