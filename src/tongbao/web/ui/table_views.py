"""A table ready to be drawn: its query with rows, the addresses of everything that can be changed about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tongbao.web.ui import tables
from tongbao.web.ui.saved_views import SavedView
from tongbao.web.ui.tables import Column, Query, Row, Table


@dataclass(frozen=True, slots=True)
class TableView:
    """What ``ui/table.html`` draws. ``next_after`` is the cursor of the page behind this one, empty on the last.

    ``page`` are parameters of the page itself that every address keeps (a mode, a merchant). ``export`` says whether the
    page answers ``format=csv``, ``saving`` whether views can be kept; ``drawer`` is the id of a drawer of the page.
    """

    table: Table
    query: Query
    rows: Sequence[Row]
    path: str
    next_after: str = ""
    page: Sequence[tuple[str, str]] = field(default_factory=tuple)
    saved: Sequence[SavedView] = field(default_factory=tuple)
    export: bool = False
    saving: bool = False
    empty_line: str = ""

    @property
    def id(self) -> str:
        """The id of the part that is exchanged in place."""
        return f"table-{self.table.name}"

    @property
    def columns(self) -> list[Column]:
        """The columns that are shown."""
        return [column for column in self.table.columns if column.key in self.query.columns]

    @property
    def here(self) -> str:
        """The address of what is shown."""
        return self._to(self.query)

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the query row carries along unseen: everything that it has no field for."""
        own = {"q", "after", *(each.key for each in self.table.filters)}
        return [*self.page, *(pair for pair in tables.pairs(self.table, self.query) if pair[0] not in own)]

    @property
    def saved_text(self) -> str:
        """The query as a view keeps it, from its first page."""
        return self._to(replace(self.query, after="")).partition("?")[2]

    def sort_href(self, column: Column) -> str:
        """Return the address sorted by a column."""
        return self._to(tables.sorted_by(self.query, column))

    def sort_state(self, column: Column) -> str:
        """``ascending``, ``descending`` or nothing, as ``aria-sort`` says it."""
        if self.query.sort_key != column.key:
            return ""
        return "descending" if self.query.falling else "ascending"

    @property
    def next_href(self) -> str:
        """The address of the next page; empty on the last."""
        return self._to(replace(self.query, after=self.next_after)) if self.next_after else ""

    @property
    def first_href(self) -> str:
        """The address of the first page; empty on it."""
        return self._to(replace(self.query, after="")) if self.query.after else ""

    @property
    def clear_href(self) -> str:
        """Return the address without search and filters; empty where there are none."""
        return self._to(replace(self.query, q="", filters={}, after="")) if self.query.narrowed else ""

    def density_href(self, density: str) -> str:
        """Return the address with another distance of rows."""
        return self._to(replace(self.query, density=density))

    def column_href(self, column: Column) -> str:
        """Return the address with a column shown or not shown, whichever it is not now."""
        keys = set(self.query.columns) ^ {column.key}
        ordered = tuple(each.key for each in self.table.columns if each.key in keys)
        return self._to(replace(self.query, columns=ordered))

    @property
    def export_href(self) -> str:
        """The address of the rows as CSV."""
        return tables.address(
            self.path, self.table, replace(self.query, after=""), [*self.page, ("format", "csv")]
        )

    def view_href(self, view: SavedView) -> str:
        """Return the address of a kept view."""
        return f"{self.path}?{view.query}"

    def _to(self, query: Query) -> str:
        return tables.address(self.path, self.table, query, self.page)
