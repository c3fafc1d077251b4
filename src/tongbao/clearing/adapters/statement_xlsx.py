"""A statement as a workbook: one sheet with what it comes to, then its lines, as many sheets as they need.

Rows go to a temporary file as they come, so memory stays the same however many there are. Every cell is text and none a
formula; amounts have the decimals of their currency.
"""

from collections.abc import Iterable
from pathlib import Path

import xlsxwriter

from tongbao.clearing.adapters.statement_cells import Cells, head, heading, summary
from tongbao.clearing.policy.money_texts import COLUMNS, WORDS, text
from tongbao.clearing.schema.statements import Statement, StatementLine

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SHEET_ROWS_MAX = 1_000_000
"""A sheet has 1,048,576 rows at most."""
_WIDTHS = {"at": 25, "entry": 22, "reference": 31, "payment": 31, "batch": 31, "channel_reference": 24}
_WIDTH = 14


class StatementXlsx:
    """Writes one statement to a file. Use it as a context manager: leaving it finishes the file."""

    def __init__(
        self, path: Path, statement: Statement, language: str, *, sheet_rows_max: int = SHEET_ROWS_MAX
    ) -> None:
        """Raise InvalidRequest ``language_unknown``."""
        self._cells = Cells(statement, language)
        self._head = head(language)
        self._name = text(WORDS["lines"], language)
        self._rows_max = sheet_rows_max
        self._book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
        self._bold = self._book.add_format({"bold": True})
        self._right = self._book.add_format({"align": "right"})
        self._book.set_properties({"created": statement.made_at.replace(tzinfo=None)})
        self._summary(statement, language)
        self._is_closed = False
        self._sheets = 0
        self._sheet()

    def __enter__(self) -> "StatementXlsx":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Put the file together; again, it does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._book.close()

    def rows(self, lines: Iterable[StatementLine]) -> None:
        """Write some lines, on a new sheet where the last one is full."""
        for line in lines:
            if self._row >= self._rows_max:
                self._sheet()
            for column, (name, value) in enumerate(zip(COLUMNS, self._cells.of(line), strict=True)):
                if value:  # an empty cell is none
                    is_amount = name.endswith("_minor")
                    self._lines.write_string(self._row, column, value, self._right if is_amount else None)
            self._row += 1

    def _summary(self, statement: Statement, language: str) -> None:
        sheet = self._book.add_worksheet(text(WORDS["summary"], language))
        sheet.set_column(0, 0, 40)
        sheet.set_column(1, 2, 18)
        sheet.ignore_errors({"number_stored_as_text": "A1:C1048576"})
        head_rows = [(text(WORDS["statement"], language), ""), *heading(statement, language)]
        head_rows.append((text(WORDS["final" if statement.is_final else "not_final"], language), ""))
        for place, (name, value) in enumerate(head_rows):
            sheet.write_string(place, 0, name)
            sheet.write_string(place, 2, value, self._right)
        for place, row in enumerate(summary(statement, language), len(head_rows) + 1):
            bold = self._bold if row.kind == "sum" else None
            sheet.write_string(place, 0, f"    {row.name}" if row.kind == "part" else row.name, bold)
            sheet.write_string(place, 1, row.number, self._right)
            sheet.write_string(place, 2, row.amount, self._right)

    def _sheet(self) -> None:
        self._sheets += 1
        name = self._name if self._sheets == 1 else f"{self._name} {self._sheets}"
        self._lines = self._book.add_worksheet(name)
        self._lines.ignore_errors({"number_stored_as_text": "A1:Z1048576"})
        self._lines.freeze_panes(1, 0)
        for column, (code, words) in enumerate(zip(COLUMNS, self._head, strict=True)):
            self._lines.set_column(column, column, _WIDTHS.get(code, _WIDTH))
            self._lines.write_string(0, column, words, self._bold)
        self._row = 1
