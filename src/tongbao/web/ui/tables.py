"""Tables whose whole state is their address: ``q``, filters, ``sort``, ``columns``, ``density`` and the cursor ``after``.

So a table can be sent as a link, kept as a view, walked back through the browser's history, and used without a script.
What an address asks for and the table does not know is passed over: an old link still opens. Nothing here touches rows;
whoever answers the page reads them with ``Query`` and hands back finished cells.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from markupsafe import Markup

TEXT_MAX = 200
CURSOR_MAX = 400
FILTERS_MAX = 12
COLUMNS_MAX = 24
EXPORT_ROWS_MAX = 10_000
DENSITIES = ("normal", "dense")
RESERVED = frozenset({"q", "sort", "columns", "density", "after", "format", "lang"})
_RISKY = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``fixed`` ones cannot be taken away; ``shown`` ones are there until the reader chooses."""

    key: str
    title: str
    number: bool = False
    sortable: bool = False
    shown: bool = True
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """One field of the query row: a choice of ``options`` (value, text), a ``text``, or a ``date``."""

    key: str
    title: str
    options: tuple[tuple[str, str], ...] = ()
    kind: str = "choice"


@dataclass(frozen=True, slots=True)
class Table:
    """What a table is. ``name`` is of lower-case letters and hyphens; ``sort`` as in addresses: ``-at`` is falling."""

    name: str
    title: str
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...] = ()
    sort: str = ""
    search: str = ""

    def __post_init__(self) -> None:
        taken = [each.key for each in self.filters]
        if len(self.columns) > COLUMNS_MAX or len(taken) > FILTERS_MAX or RESERVED & set(taken):
            raise ValueError("too many columns or filters, or a filter with a name of the table's own")


@dataclass(frozen=True, slots=True)
class Query:
    """What the reader asks of a table. ``filters`` hold only what is set; ``columns`` are the keys shown, in order."""

    columns: tuple[str, ...]
    q: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    sort: str = ""
    density: str = "normal"
    after: str = ""

    @property
    def sort_key(self) -> str:
        """The column that rows are sorted by; empty for the table's own order."""
        return self.sort.removeprefix("-")

    @property
    def falling(self) -> bool:
        """Whether the largest stands first."""
        return self.sort.startswith("-")

    @property
    def narrowed(self) -> bool:
        """Whether rows are left out by what was asked."""
        return bool(self.q or self.filters)


@dataclass(frozen=True, slots=True)
class Row:
    """Finished cells by column key; ``tone`` marks the row, ``chosen`` the one that is open."""

    cells: Mapping[str, str | Markup]
    chosen: bool = False


def read(table: Table, params: Mapping[str, str]) -> Query:
    """Return what an address asks of a table; what it does not know is passed over."""
    asked = {each.key: _clean(params.get(each.key, "")) for each in table.filters}
    kept = {each.key: asked[each.key] for each in table.filters if _fits(each, asked[each.key])}
    sort = params.get("sort", table.sort)
    sortable = {column.key for column in table.columns if column.sortable}
    wanted = params.get("columns", "").split(".")
    columns = tuple(column.key for column in table.columns if column.fixed or column.key in wanted)
    density = params.get("density", "")
    return Query(
        columns if "columns" in params else usual_columns(table),
        _clean(params.get("q", "")) if table.search else "",
        kept,
        sort if sort.removeprefix("-") in sortable else table.sort,
        density if density in DENSITIES else DENSITIES[0],
        _clean(params.get("after", ""), CURSOR_MAX),
    )


def usual_columns(table: Table) -> tuple[str, ...]:
    """Return the columns that are shown until the reader chooses."""
    return tuple(column.key for column in table.columns if column.shown or column.fixed)


def pairs(table: Table, query: Query) -> list[tuple[str, str]]:
    """Return the parameters that mean this query; what is usual is left out, so that equal queries have one address."""
    found = [("q", query.q), *query.filters.items()]
    found.append(("sort", query.sort if query.sort != table.sort else ""))
    found.append(("columns", ".".join(query.columns) if query.columns != usual_columns(table) else ""))
    found.append(("density", query.density if query.density != DENSITIES[0] else ""))
    found.append(("after", query.after))
    return [(name, value) for name, value in found if value]


def address(path: str, table: Table, query: Query, more: Sequence[tuple[str, str]] = ()) -> str:
    """Return the address of a query; ``more`` are parameters of the page itself."""
    text = urlencode([*more, *pairs(table, query)])
    return f"{path}?{text}" if text else path


def sorted_by(query: Query, column: Column) -> Query:
    """Return the query sorted by a column: numbers fall first, a second choice turns the order; from its first page."""
    same = query.sort_key == column.key
    falling = not query.falling if same else column.number
    return replace(query, sort=("-" if falling else "") + column.key, after="")


def csv_text(table: Table, query: Query, rows: Iterable[Mapping[str, str]]) -> str:
    """Return rows of plain text as CSV, at most ``EXPORT_ROWS_MAX``, in the columns that are shown.

    A cell that a spreadsheet would take for a formula is written as text, unless it is a number.
    """
    shown = [column for column in table.columns if column.key in query.columns]
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([column.title for column in shown])
    for count, row in enumerate(rows):
        if count >= EXPORT_ROWS_MAX:
            break
        writer.writerow([_safe(row.get(column.key, "")) for column in shown])
    return written.getvalue()


def _safe(text: str) -> str:
    if text.startswith(_RISKY) and not text.removeprefix("-").replace(".", "", 1).isdigit():
        return f"'{text}"
    return text


def _fits(each: Filter, value: str) -> bool:
    if each.kind == "choice":
        return value in {option for option, _ in each.options if option}
    return bool(value)


def _clean(text: str, most: int = TEXT_MAX) -> str:
    return text[:most].replace("\0", "").strip()
