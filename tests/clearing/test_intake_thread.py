"""A file is read from its beginning to its end in one thread: readers of XML do not survive more."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

from tongbao.clearing.schema.lines import Format, Header, Line, LineKind, Side, SourceTerms
from tongbao.clearing.service import intake as module
from tongbao.clearing.service.intake import Intake
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory

TERMS = SourceTerms(source="bank_of_threads", side=Side.BANK, format=Format.CAMT_053)
LINES = 2 * module.CHUNK + 5


class Reader:
    """Notes in which threads it is used."""

    threads: ClassVar[set[str]] = set()

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        del stream
        self.threads.add(threading.current_thread().name)
        self.header = Header(source=terms.source, format=terms.format, side=terms.side)

    def __iter__(self) -> Iterator[Line]:
        for number in range(1, LINES + 1):
            self.threads.add(threading.current_thread().name)
            yield Line(
                number=number,
                key=f"k{number}",
                kind=LineKind.TRANSFER,
                currency="CNY",
                gross_minor=number,
                net_minor=number,
            )


async def test_take_reads_a_long_file_in_one_thread(
    database: Database, ids: IdFactory, tmp_path: Path
) -> None:
    path = tmp_path / "statement.xml"
    path.write_bytes(b"whatever")
    intake = Intake(database, RealClock(), ids, Reader)
    await intake.agree(TERMS, "mei")
    taken = await intake.take(path, TERMS, "mei")
    assert (taken.file.line_count, taken.file.repeated_count) == (LINES, 0)
    (name,) = Reader.threads
    # The threads of asyncio's own pool are shared by everybody, so that one of them is no promise.
    assert name.startswith("intake")
