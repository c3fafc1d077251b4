"""A profit report as CSV (RFC 4180): UTF-8 with a byte order mark, amounts with the decimals of their currency."""

import csv
import io
from collections.abc import Iterable

from tongbao.clearing.adapters.statement_cells import amount, guarded
from tongbao.clearing.policy.money_texts import PROFIT, text
from tongbao.clearing.schema.statements import ProfitLine
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX

CONTENT_TYPE = "text/csv; charset=utf-8"


def profit_csv(lines: Iterable[ProfitLine], language: str) -> bytes:
    """Return the report with the names of its columns; raise InvalidRequest ``language_unknown``."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([text(words, language) for words in PROFIT.values()])
    writer.writerows([_cell(name, line) for name in PROFIT] for line in lines)
    return ("\ufeff" + written.getvalue()).encode()


def _cell(name: str, line: ProfitLine) -> str:
    key = line.key
    match name:
        case "month_on":
            return key.month_on.isoformat()
        case "book":
            return "" if key.book_id is None else int_text(BOOK_PREFIX, key.book_id)
        case "count":
            return str(line.count)
        case "method" | "channel" | "currency":
            return guarded(getattr(key, name))
    return amount(getattr(line, name), key.currency)
