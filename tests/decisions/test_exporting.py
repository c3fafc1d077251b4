"""Exports read back by pyarrow equal the log, stay small in memory, and are whole or not there."""

import asyncio
import importlib.util
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from tongbao.core.ids import derive, first_uuid_at, uuid_text
from tongbao.decisions.schema.log import Candidate, Decision, Outcome, Range, Shadow, Why
from tongbao.decisions.service import exporting
from tongbao.decisions.service.exporting import PAGE_MAX, Exporting, ExportOrder, Progress
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.tracing import lineage_of

DAY = datetime(2026, 3, 5, tzinfo=UTC)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def made(number: int, at: datetime, book_id: int = 1, **fields: Any) -> Decision:
    decision_id = derive(first_uuid_at(at), f"{book_id}.{number}")
    values: dict[str, Any] = {
        "id": decision_id,
        "book_id": book_id,
        "live": True,
        "kind": "routing",
        "subject_id": derive(decision_id, "subject"),
        "decided_at": at,
        "policy": "routing",
        "version": 3,
        "arm": "challenger",
        "context": {
            "method": "card",
            "currency": "USD",
            "amount_minor": 1_000 + number,
            "hour": 7,
            "night": 0.5,
        },
        "candidates": (
            Candidate(name="a", propensity=0.75, score=1.5, low=1.0, high=2.0, facts={"approval": 0.9}),
            Candidate(name="b", propensity=0.25, score=1.25),
            Candidate(name="c", excluded="breaker_open", facts={"technical_rate": 0.5}),
        ),
        "chosen": "a",
        "reasons": (Why("learned", {"chance": 0.75}), Why("cascade", {"tried": "c"})),
        "shadow": Shadow(version=4, chosen="b", propensities={"a": 0.4, "b": 0.6}),
        "latency_us": 350,
    }
    return Decision(**(values | fields))


def heard(decision: Decision, value: float | None, after_s: int, label: str) -> Outcome:
    at = decision.decided_at + timedelta(seconds=after_s)
    return Outcome(
        book_id=decision.book_id,
        decision_id=decision.id,
        key=derive(decision.id, f"{after_s}"),
        name="approved",
        value=value,
        label=label,
        occurred_at=at,
        recorded_at=at,
    )


async def write(database: Database, decisions: list[Decision], outcomes: list[Outcome]) -> None:
    async with database.transaction() as connection:
        await DecisionLog(database, FrozenClock(NOW)).write(connection, decisions, outcomes)


def order(folder: Path, begin: datetime, **fields: Any) -> ExportOrder:
    return ExportOrder(Range(begin, begin + timedelta(days=1), **fields), folder)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def service(database: Database) -> Exporting:
    return Exporting(database, FrozenClock(NOW))


async def test_export_read_back_equals_the_log(
    service: Exporting, database: Database, tmp_path: Path
) -> None:
    first, second = (
        made(1, DAY),
        made(2, DAY + timedelta(hours=1), effect_id=derive(first_uuid_at(DAY), "pa")),
    )
    bare = made(3, DAY + timedelta(hours=2), shadow=None, context={"amount_minor": "much", "hour": True})
    outcomes = [
        heard(first, 0.0, 2, "do_not_honor"),
        heard(first, 1.0, 9, "approved"),
        heard(second, None, 3, ""),
    ]
    await write(database, [first, second, bare, made(4, DAY + timedelta(days=1))], outcomes)
    told: list[Progress] = []
    done = await service.export(order(tmp_path / "new", DAY), told.append)
    assert (done.decisions_count, done.candidates_count) == (3, 9)
    assert done.bytes_count == sum(path.stat().st_size for path in (tmp_path / "new").iterdir())
    assert told[-1].decisions_count == 3
    rows = parquet.read_table(done.decisions_file).to_pylist()
    assert [row["decision_id"] for row in rows] == [each.reference for each in (first, second, bare)]
    row = rows[0]
    assert {
        name: row[name] for name in ("policy", "version", "arm", "chosen", "propensity", "latency_us")
    } == {
        "policy": "routing",
        "version": 3,
        "arm": "challenger",
        "chosen": "a",
        "propensity": 0.75,
        "latency_us": 350,
    }
    assert (row["decided_at"], row["subject_id"]) == (DAY, str(first.subject_id))
    assert (row["outcome"], row["outcome_value"], row["outcome_label"]) == ("approved", 1.0, "approved")
    assert row["outcome_occurred_at"] == DAY + timedelta(seconds=9)
    assert json.loads(row["context"]) == first.context
    assert (row["method"], row["amount_minor"], row["hour"], row["brand"]) == ("card", 1_001, 7, None)
    assert json.loads(row["reasons"])[0] == {"code": "learned", "facts": {"chance": 0.75}}
    assert (rows[1]["outcome_value"], rows[1]["effect_id"]) == (None, str(second.effect_id))
    assert (rows[2]["amount_minor"], rows[2]["hour"], rows[2]["shadow_version"]) == (None, None, None)
    found = parquet.read_table(done.candidates_file).to_pylist()
    assert [(each["name"], each["propensity"], each["is_chosen"]) for each in found[:3]] == [
        ("a", 0.75, True),
        ("b", 0.25, False),
        ("c", 0.0, False),
    ]
    assert [each["shadow_propensity"] for each in found[:3]] == [0.4, 0.6, 0.0]
    assert (found[2]["excluded"], found[2]["score"]) == ("breaker_open", None)
    assert json.loads(found[0]["facts"]) == {"approval": 0.9}
    assert found[8]["shadow_propensity"] is None


async def test_export_is_narrowed_by_book_policy_and_mode(
    service: Exporting, database: Database, tmp_path: Path
) -> None:
    begin = DAY + timedelta(days=10)
    await write(
        database,
        [
            made(1, begin),
            made(2, begin, book_id=2),
            made(3, begin, policy="risk", kind="risk"),
            made(4, begin, live=False),
        ],
        [],
    )
    narrowed: list[tuple[dict[str, Any], int]] = [
        ({}, 4),
        ({"book_id": 2}, 1),
        ({"policy": "routing"}, 3),
        ({"live": True}, 3),
        ({"book_id": 9}, 0),
    ]
    for number, (fields, count) in enumerate(narrowed):
        done = await service.export(order(tmp_path / str(number), begin, **fields))
        assert (done.decisions_count, done.candidates_count) == (count, 3 * count)
        assert parquet.read_table(done.decisions_file).num_rows == count


async def test_export_leaves_out_what_looks_like_a_person(
    service: Exporting, database: Database, tmp_path: Path
) -> None:
    begin = DAY + timedelta(days=20)
    context = {
        "issuer": "ICBC 中国工商银行",
        "brand": "mei@example.com",
        "mcc": "5812",
        "phone": "+86 138 0013 8000",
        "card_country": "4242 4242 4242 4242",
    }
    await write(database, [made(1, begin, context=context)], [])
    done = await service.export(order(tmp_path, begin))
    (row,) = parquet.read_table(done.decisions_file).to_pylist()
    assert json.loads(row["context"]) == {"issuer": "ICBC 中国工商银行", "mcc": "5812"}
    assert (row["brand"], row["card_country"]) == (None, None)


@pytest.mark.parametrize("page", [500, pytest.param(PAGE_MAX, marks=pytest.mark.nightly)])
async def test_export_of_many_pages_of_decisions_stays_small(
    service: Exporting, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    begin = DAY + timedelta(days=30 if page == PAGE_MAX else 31)
    count = 10 * page
    for part in range(0, count, page):
        await write(database, [made(n, begin + timedelta(seconds=n)) for n in range(part, part + page)], [])
    monkeypatch.setattr(exporting, "PAGE_MAX", page)
    monkeypatch.setattr(exporting, "GROUP_DECISIONS_MAX", 3 * page)
    told: list[Progress] = []
    held: list[int] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        # What this export holds, and not what the process grew by: others have lived in it before.
        held.append(tracemalloc.get_traced_memory()[0] + pyarrow.total_allocated_bytes())

    tracemalloc.start()
    try:
        done = await service.export(order(tmp_path, begin), tell)
    finally:
        tracemalloc.stop()
    assert (done.decisions_count, done.candidates_count) == (count, 3 * count)
    # Pages and a row group of three of them at most: the second half needs no more than the first.
    assert max(held[5:]) < 1.5 * max(held[:5])
    assert [each.decisions_count for each in told] == list(range(page, count + 1, page))
    assert [each.share for each in told] == sorted(each.share for each in told)
    read = parquet.ParquetFile(done.decisions_file)
    assert read.metadata.num_row_groups == 4
    amounts = parquet.read_table(done.decisions_file, columns=["amount_minor"])["amount_minor"].to_pylist()
    assert amounts == [1_000 + number for number in range(count)]


async def test_interrupted_export_leaves_no_half_file(
    service: Exporting, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = DAY + timedelta(days=40)
    await write(database, [made(n, begin + timedelta(seconds=n)) for n in range(50)], [])
    monkeypatch.setattr(exporting, "PAGE_MAX", 10)

    def stop(progress: Progress) -> None:
        if progress.decisions_count >= 30:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await service.export(order(tmp_path, begin), stop)
    assert files(tmp_path) == []
    whole = await service.export(order(tmp_path, begin))
    before = whole.decisions_file.read_bytes()
    with pytest.raises(asyncio.CancelledError):
        await service.export(order(tmp_path, begin)._replace(replace=True), stop)
    assert whole.decisions_file.read_bytes() == before
    assert files(tmp_path) == ["candidates.parquet", "decisions.parquet"]


async def test_export_is_refused_before_anything_is_written(
    service: Exporting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match="export_range_invalid"):
        await service.export(ExportOrder(Range(DAY, DAY), tmp_path / "a"))
    (tmp_path / "decisions.parquet").write_text("precious")
    with pytest.raises(Conflict, match="export_exists"):
        await service.export(order(tmp_path, DAY))
    assert (tmp_path / "decisions.parquet").read_text() == "precious"
    with pytest.raises(Unavailable, match="export_failed"):
        await service.export(order(tmp_path / "decisions.parquet" / "below", DAY))
    found = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "pyarrow" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(NotFound, match=r"parquet_missing.*tongbao\[parquet\]"):
        await service.export(order(tmp_path / "b", DAY))
    assert not (tmp_path / "b").exists()


async def test_lineage_of_a_subject_is_found_in_any_book(database: Database) -> None:
    at = DAY + timedelta(days=50)
    first = made(1, at, book_id=77)
    second = made(2, at + timedelta(seconds=5), book_id=77, subject_id=first.subject_id)
    await write(database, [first, second], [heard(first, 0.0, 1, "do_not_honor")])
    log = DecisionLog(database, FrozenClock(NOW))
    text = uuid_text("pi", first.subject_id)
    found = await lineage_of(database, log, first.subject_id, text)
    assert found.book_id == 77
    assert [(each.decision.id, len(each.outcomes)) for each in found.traced] == [
        (first.id, 1),
        (second.id, 0),
    ]
    with pytest.raises(NotFound, match="decisions_missing"):
        await lineage_of(database, log, first.id, "pi_x")
