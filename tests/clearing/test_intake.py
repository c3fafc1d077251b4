"""Intake over a real database: every line of a file once, however often the file comes and whenever its reading dies."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest
from tests.clearing.reader_files import DAY, plain_csv, row, statement, terms

from tongbao.clearing.adapters.opening import open_file
from tongbao.clearing.schema.lines import FileState, Format, Header, Line, Refusal, SourceTerms
from tongbao.clearing.service import intake as module
from tongbao.clearing.service import intake_tally
from tongbao.clearing.service.intake import Intake
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound, Unavailable
from tongbao.core.ids import IdFactory
from tongbao.simulator.sandbox import settlement_files as written


class Desk:
    """Takes files of one source in, under a name of its own."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = FrozenClock(datetime(2026, 11, 3, 6, tzinfo=UTC))
        self.ids = IdFactory(self.clock)
        self.intake = Intake(database, self.clock, self.ids)
        self.source = f"source_{self.ids.int63()}"
        self.folder = folder

    def path(self, data: bytes, name: str = "file") -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def terms(self, form: Format, **fields: object) -> SourceTerms:
        """The terms of the source."""
        return msgspec.structs.replace(terms(form), source=self.source, **fields)

    async def take(self, form: Format, data: bytes, **fields: object) -> module.Taken:
        """Take a file in."""
        return await self.intake.take(self.path(data), self.terms(form, **fields), "mei")


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


async def test_file_is_taken_once_and_answers_the_same_when_it_comes_again(desk: Desk) -> None:
    data = written.alipay([row(1), row(2), row(3, -500)], "20881234", DAY)
    first = await desk.take(Format.ALIPAY_BILL, data)
    again = await desk.take(Format.ALIPAY_BILL, data)
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert again.file == first.file
    assert (first.file.state, first.file.line_count, first.file.repeated_count) == (FileState.READ, 3, 0)
    assert (first.file.problems, first.file.header.declared_minor) == ((), 1_500)
    kept = await desk.intake.lines(first.file.id)
    assert [(each.line.number, each.line.gross_minor) for each in kept] == [(6, 1_000), (7, 1_000), (8, -500)]
    assert [each.line.reference for each in kept] == [
        row(1).reference,
        row(2).reference,
        row(3, -500).reference,
    ]


@pytest.mark.parametrize("keys", [("id",), ()])
async def test_file_sent_again_with_another_mark_brings_nothing_new(
    desk: Desk, keys: tuple[str, ...]
) -> None:
    columns = msgspec.structs.replace(terms(Format.CSV).columns, key=keys)
    data = plain_csv([row(1), row(2), row(2)])
    first = await desk.take(Format.CSV, data, columns=columns)
    marked = await desk.take(Format.CSV, b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"), columns=columns)
    assert (first.file.line_count, first.file.repeated_count) == (3, 0)
    assert (marked.is_repeat, marked.file.line_count, marked.file.repeated_count) == (False, 3, 3)
    assert not await desk.intake.lines(marked.file.id)


async def test_lines_that_overlap_with_another_file_count_once(desk: Desk) -> None:
    await desk.take(Format.WECHAT_TRADE, written.wechat_trade([row(1), row(2)]))
    later = await desk.take(Format.WECHAT_TRADE, written.wechat_trade([row(2), row(3)]))
    assert (later.file.line_count, later.file.repeated_count) == (2, 1)
    assert [each.line.reference for each in await desk.intake.lines(later.file.id)] == [row(3).reference]


async def test_reading_that_dies_half_way_is_taken_up_and_counts_nothing_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)
    path, agreed = desk.path(plain_csv([row(number) for number in range(1_000)])), desk.terms(Format.CSV)
    half = asyncio.Event()

    def progress(count: int) -> None:
        if count >= 500:
            half.set()

    reading = asyncio.create_task(desk.intake.take(path, agreed, "mei", progress=progress))
    await half.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    (died,) = await desk.intake.page(desk.source)
    assert died.state is FileState.READING
    before = len(await desk.intake.lines(died.id, limit=1_000))
    assert 0 < before < 1_000
    taken = await desk.intake.take(path, agreed, "mei")
    assert (taken.file.id, taken.file.state) == (died.id, FileState.READ)
    assert (taken.file.line_count, taken.file.repeated_count) == (1_000, 0)
    assert len(await desk.intake.lines(died.id, limit=1_000)) == 1_000


async def test_two_readings_of_one_file_at_once_end_alike(desk: Desk) -> None:
    path, agreed = desk.path(plain_csv([row(number) for number in range(300)])), desk.terms(Format.CSV)
    taken = await asyncio.gather(*(desk.intake.take(path, agreed, "mei") for _ in range(3)))
    assert len({each.file.id for each in taken}) == 1
    assert {(each.file.line_count, each.file.repeated_count) for each in taken} == {(300, 0)}


async def test_truncated_file_keeps_what_was_whole_and_says_so(desk: Desk) -> None:
    data = written.wechat_trade([row(1), row(2), row(3)])
    taken = await desk.take(Format.WECHAT_TRADE, data[: data.index(b"\r\n`2026-11-02 12:00:03") + 60])
    assert (taken.file.state, taken.file.line_count) == (FileState.READ, 2)
    assert taken.file.problems == ("file_truncated",)
    assert [(each.number, each.code) for each in taken.file.refusals] == [(4, "file_truncated")]
    whole = await desk.take(Format.WECHAT_TRADE, data)
    assert (whole.file.line_count, whole.file.repeated_count, whole.file.problems) == (3, 2, ())


async def test_refused_lines_are_kept_with_number_and_reason_and_totals_differ(desk: Desk) -> None:
    data = written.wechat_trade([row(1), row(2)]).replace(b"`SUCCESS", b"`PERHAPS", 1)
    taken = await desk.take(Format.WECHAT_TRADE, data)
    assert (taken.file.line_count, taken.file.refused_count) == (1, 1)
    assert taken.file.problems == ("lines_refused", "count_differs", "total_differs")
    (refusal,) = (await desk.intake.get(taken.file.id)).refusals
    assert (refusal.number, refusal.code, refusal.column, refusal.value) == (
        2,
        "state_unknown",
        "交易状态",
        "PERHAPS",
    )


async def test_truncation_after_more_refusals_than_are_kept_is_still_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_tally, "REFUSALS_MAX", 3)
    data = plain_csv([row(number) for number in range(6)]).replace(b"CNY", b"CNX")
    taken = await desk.take(Format.CSV, data[:-20])
    assert (taken.file.refused_count, len(taken.file.refusals)) == (6, 3)
    assert taken.file.problems == ("file_truncated", "lines_refused")


async def test_balances_that_the_entries_do_not_explain_are_told(desk: Desk) -> None:
    rows = [row(1, 900, kind="transfer"), row(2, -70, kind="payout")]
    data = written.mt940(rows, statement())
    assert (await desk.take(Format.MT940, data)).file.problems == ()
    wrong = data.replace(b":62F:C261102CNY58,30", b":62F:C261102CNY58,31")
    assert wrong != data
    assert (await desk.take(Format.MT940, wrong)).file.problems == ("balances_differ",)


async def test_statement_of_another_account_counts_nothing_and_says_so(desk: Desk) -> None:
    data = written.camt([row(1, 900, kind="transfer")], statement())
    other = await desk.take(Format.CAMT_053, data, account="999")
    assert (other.file.line_count, "account_differs" in other.file.problems) == (0, True)
    right = await desk.take(Format.CAMT_053, data + b"\n", account="622848001234")
    assert (right.file.line_count, right.file.problems, right.file.header.account) == (1, (), "****1234")


async def test_unreadable_file_is_kept_as_refused_until_its_agreement_is_corrected(desk: Desk) -> None:
    data = plain_csv([row(1), row(2)])
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="file_unreadable"):
            await desk.take(Format.CAMT_053, data)
    (file,) = await desk.intake.page(desk.source)
    assert (file.state, file.problems) == (FileState.REFUSED, ("file_unreadable",))
    taken = await desk.take(Format.CSV, data)
    assert (taken.file.id, taken.file.state, taken.file.line_count) == (file.id, FileState.READ, 2)
    assert (taken.is_repeat, taken.file.problems) == (False, ())


async def test_same_bytes_of_two_sources_are_two_files(
    desk: Desk, database: Database, tmp_path: Path
) -> None:
    other = Desk(database, tmp_path)
    data = written.wechat_trade([])
    first, second = await desk.take(Format.WECHAT_TRADE, data), await other.take(Format.WECHAT_TRADE, data)
    assert first.file.id != second.file.id
    assert (second.is_repeat, second.file.state) == (False, FileState.READ)


async def test_file_with_too_many_lines_is_refused_and_none_of_them_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)
    monkeypatch.setattr(intake_tally, "LINES_MAX", 25)
    with pytest.raises(InvalidRequest, match="file_too_long"):
        await desk.take(Format.CSV, plain_csv([row(number) for number in range(30)]))
    (file,) = await desk.intake.page(desk.source)
    assert (file.state, file.problems) == (FileState.REFUSED, ("file_too_long",))
    assert not await desk.intake.lines(file.id)


class Dying:
    """A reader whose disk dies behind the first line."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        self._reader = open_file(stream, terms)

    @property
    def header(self) -> Header:
        """What the file says of itself."""
        return self._reader.header

    def __iter__(self) -> Iterator[Line | Refusal]:
        """Yield one line, and die."""
        yield next(iter(self._reader))
        raise InvalidRequest("file_unreadable", "the disk is gone")


async def test_reader_that_fails_in_the_middle_leaves_a_refused_file_without_lines(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 1)
    intake = Intake(desk.database, desk.clock, desk.ids, Dying)
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        await intake.take(desk.path(plain_csv([row(1), row(2)])), desk.terms(Format.CSV), "mei")
    (file,) = await intake.page(desk.source)
    assert (file.state, file.problems) == (FileState.REFUSED, ("file_unreadable",))
    assert not await intake.lines(file.id)


async def test_statement_counts_as_read_only_once_payouts_have_heard_it(desk: Desk) -> None:
    heard: list[tuple[str, bytes]] = []

    async def hear(account: str, content: bytes) -> int:
        heard.append((account, content))
        if len(heard) == 1:
            raise Unavailable("database_down", "for a moment")
        return 1

    intake = Intake(desk.database, desk.clock, desk.ids, hear=hear)
    data = written.camt([row(1, kind="transfer")], statement())
    path, agreed = desk.path(data), desk.terms(Format.CAMT_053)
    with pytest.raises(Unavailable):
        await intake.take(path, agreed, "mei")
    [file] = await intake.page(desk.source)
    assert file.state is FileState.READING
    assert (await intake.take(path, agreed, "mei")).file.state is FileState.READ
    assert (await intake.take(path, agreed, "mei")).is_repeat
    assert heard == [(desk.source, data)] * 2


@pytest.mark.parametrize("form", [Format.MT940, Format.CAMT_053])
async def test_gap_between_two_statements_of_a_file_is_no_fault_of_its_lines(
    desk: Desk, form: Format
) -> None:
    opened = [statement(number=7), statement(number=9, opening_minor=9_000)]
    entries = [[row(each.number, kind="transfer", channel_reference=f"B{each.number}")] for each in opened]
    write = written.mt940 if form is Format.MT940 else written.camt
    first, second = (write(*each) for each in zip(entries, opened, strict=True))
    body = second.partition(b"<Stmt>")[2].partition(b"</Stmt>")[0]
    data = first + second
    if form is Format.CAMT_053:
        data = first.replace(b"</Stmt>", b"</Stmt><Stmt>" + body + b"</Stmt>")
    taken = await desk.take(form, data, currency="CNY")
    assert (taken.file.line_count, taken.file.problems) == (2, ())
    again = await desk.take(form, second, currency="CNY")
    assert (again.file.line_count, again.file.repeated_count) == (1, 1)


async def test_sources_are_agreed_in_versions_and_unknown_ones_are_told(desk: Desk) -> None:
    agreed = desk.terms(Format.ALIPAY_BILL, zone="Asia/Shanghai")
    assert await desk.intake.agree(agreed, "mei") == 1
    assert await desk.intake.agree(msgspec.structs.replace(agreed, report_days=3), "mei") == 2
    assert (await desk.intake.source(desk.source)).report_days == 3
    with pytest.raises(NotFound, match="source_unknown"):
        await desk.intake.source(f"{desk.source}_of_nobody")
    with pytest.raises(InvalidRequest, match="source_invalid"):
        await desk.intake.agree(msgspec.structs.replace(agreed, zone="Mars/Base"), "mei")
