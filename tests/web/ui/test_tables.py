"""Tables: an address means one query, a query has one address, and what is not known is passed over."""

import csv
import io
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.web.ui import tables
from tongbao.web.ui.table_views import TableView
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

TABLE = Table(
    "payments",
    "Payments",
    (
        Column("id", "Payment", fixed=True),
        Column("at", "Time", sortable=True),
        Column("amount", "Amount", number=True, sortable=True),
        Column("risk", "Risk", number=True, sortable=True, shown=False),
    ),
    (
        Filter("state", "State", (("paid", "Paid"), ("failed", "Declined"))),
        Filter("since", "Since", kind="date"),
    ),
    "-at",
    "Find",
)
USUAL = tables.read(TABLE, {})


def test_empty_address_is_the_usual_query_and_the_other_way_round() -> None:
    usual = Query(("id", "at", "amount"), sort="-at")
    assert tables.read(TABLE, {}) == usual
    assert tables.address("/p", TABLE, USUAL) == "/p"


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30).map(str.strip),
    st.sampled_from(["", "paid", "failed"]),
    st.sampled_from(["-at", "at", "amount", "-risk"]),
    st.sets(st.sampled_from(["at", "amount", "risk"])),
    st.sampled_from(tables.DENSITIES),
)
def test_query_is_read_back_from_its_address(
    q: str, state: str, sort: str, shown: set[str], density: str
) -> None:
    columns = tuple(column.key for column in TABLE.columns if column.fixed or column.key in shown)
    query = Query(columns, q, {"state": state} if state else {}, sort, density, "cursor")
    address = tables.address("/p", TABLE, query, [("mode", "test")])
    params = dict(parse_qsl(urlsplit(address).query))
    assert params.pop("mode") == "test"
    assert tables.read(TABLE, params) == query


@pytest.mark.parametrize(
    "params",
    [
        {"sort": "id"},
        {"sort": "-nothing"},
        {"state": "stolen"},
        {"density": "huge"},
        {"q": "\0  "},
        {"unknown": "1"},
    ],
)
def test_what_the_table_does_not_know_is_passed_over(params: dict[str, str]) -> None:
    assert tables.read(TABLE, params) == USUAL


def test_columns_asked_for_keep_the_order_of_the_table_and_its_fixed_ones() -> None:
    assert tables.read(TABLE, {"columns": "risk.at.nothing"}).columns == ("id", "at", "risk")
    assert tables.read(TABLE, {"columns": ""}).columns == ("id",)


def test_second_choice_of_a_column_turns_its_order_and_goes_to_the_first_page() -> None:
    amount = TABLE.columns[2]
    once = tables.sorted_by(tables.read(TABLE, {"after": "x"}), amount)
    assert (once.sort, once.after) == ("-amount", "")
    assert tables.sorted_by(once, amount).sort == "amount"
    assert tables.sorted_by(USUAL, TABLE.columns[1]).sort == "at"


def test_export_writes_formulas_as_text_and_numbers_as_numbers() -> None:
    rows = [{"id": "=HYPERLINK(1)", "at": "@x", "amount": "-12.50"}, {"id": "a,b", "at": "+1", "amount": "3"}]
    written = list(csv.reader(io.StringIO(tables.csv_text(TABLE, USUAL, rows))))
    assert written == [
        ["Payment", "Time", "Amount"],
        ["'=HYPERLINK(1)", "'@x", "-12.50"],
        ["a,b", "'+1", "3"],
    ]


def test_export_ends_at_its_most_rows() -> None:
    text = tables.csv_text(TABLE, USUAL, ({"id": "x"} for _ in range(tables.EXPORT_ROWS_MAX + 5)))
    assert text.count("\n") == tables.EXPORT_ROWS_MAX + 1


def test_view_keeps_what_the_page_itself_means_in_every_address() -> None:
    query = tables.read(TABLE, {"state": "paid", "after": "c1", "sort": "amount"})
    view = TableView(TABLE, query, [Row({"id": "x"})], "/p", "c2", page=[("mode", "test")])
    assert view.here == "/p?mode=test&state=paid&sort=amount&after=c1"
    assert view.next_href == "/p?mode=test&state=paid&sort=amount&after=c2"
    assert view.first_href == "/p?mode=test&state=paid&sort=amount"
    assert view.clear_href == "/p?mode=test&sort=amount"
    assert view.saved_text == "mode=test&state=paid&sort=amount"
    assert view.kept == [("mode", "test"), ("sort", "amount")]
    assert view.column_href(TABLE.columns[3]).endswith("columns=id.at.amount.risk&after=c1")
    assert view.density_href("dense").endswith("density=dense&after=c1")
    assert view.export_href == "/p?mode=test&format=csv&state=paid&sort=amount"
    assert (view.sort_state(TABLE.columns[2]), view.sort_state(TABLE.columns[1])) == ("ascending", "")


def test_table_with_a_filter_of_its_own_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a filter with a name"):
        Table("x", "X", (), (Filter("sort", "Sort"),))
