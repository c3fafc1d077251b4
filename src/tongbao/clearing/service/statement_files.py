"""Statements as files that people keep: a table (CSV), a workbook (XLSX), a page to print. Written line by line to disk."""

import asyncio
from pathlib import Path
from typing import BinaryIO

from tongbao.clearing.adapters.statement_csv import StatementCsv
from tongbao.clearing.adapters.statement_html import LINES_SHOWN_MAX, page
from tongbao.clearing.adapters.statement_xlsx import StatementXlsx
from tongbao.clearing.schema.statements import Period, Statement, StatementLine
from tongbao.clearing.service.statements import Statements
from tongbao.parties.schema import Scope


class StatementFiles:
    """Writes statements. One object per process. Every act raises as ``Statements.open`` does, and ``language_unknown``."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def csv(self, scope: Scope, currency: str, period: Period, language: str, path: Path) -> None:
        """Write the lines as a table to ``path``."""
        async with self._statements.open(scope, currency, period) as opened:
            writer = StatementCsv(opened.statement, language)
            with path.open("wb") as file:
                await _written(file, writer.begin())
                async for lines in opened.lines():
                    await _written(file, writer.rows(lines))

    async def xlsx(self, scope: Scope, currency: str, period: Period, language: str, path: Path) -> None:
        """Write summary and lines as a workbook to ``path``."""
        async with self._statements.open(scope, currency, period) as opened:
            with StatementXlsx(path, opened.statement, language) as book:
                async for lines in opened.lines():
                    await asyncio.to_thread(book.rows, lines)

    async def html(self, scope: Scope, currency: str, period: Period, language: str, merchant: str) -> str:
        """Return the page that is printed, with its style in it; of very many lines it holds the first."""
        statement, lines, count = await self.lines(scope, currency, period, LINES_SHOWN_MAX)
        return page(statement, lines, merchant=merchant, language=language, line_count=count)

    async def lines(
        self, scope: Scope, currency: str, period: Period, limit: int
    ) -> tuple[Statement, list[StatementLine], int]:
        """Return a statement, its first ``limit`` lines, and how many lines there are."""
        kept: list[StatementLine] = []
        count = 0
        async with self._statements.open(scope, currency, period) as opened:
            async for lines in opened.lines():
                count += len(lines)
                kept += lines[: limit - len(kept)]
            return opened.statement, kept, count


async def _written(file: BinaryIO, content: bytes) -> None:
    await asyncio.to_thread(file.write, content)
