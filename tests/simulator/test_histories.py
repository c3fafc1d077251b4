"""Purchase histories: columns understood, lines read or refused by name, orders gathered, days planned, files added up twice."""

import csv
import importlib.util
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.errors import AppError, InvalidRequest
from tongbao.core.ids import INT_EPOCH
from tongbao.simulator.histories import columns, gathering, independent, planning, reading
from tongbao.simulator.histories.gathering import Gathering
from tongbao.simulator.histories.lines import Reader
from tongbao.simulator.histories.schema import Field, Line, Refusal, Refused, Row, Terms
from tongbao.simulator.histories.taking_in import History, Wanted, take_in
from tongbao.simulator.sandbox.declines import passes_luhn

HEADER = "household_id,store_id,basket_id,product_id,quantity,sales_value,coupon_disc,transaction_timestamp"
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DOLLARS = Wanted("USD", "UTC", {})


def taken(folder: Path, *lines: str | bytes, header: str = HEADER, wanted: Wanted = DOLLARS) -> History:
    """A file of these lines, taken in."""
    path = folder / "till.csv"
    texts = (header, *lines)
    path.write_bytes(b"\n".join(each if isinstance(each, bytes) else each.encode() for each in texts) + b"\n")
    return take_in(path, wanted, folder / "refused.csv")


def refused(folder: Path) -> list[tuple[str, str, str]]:
    """Line, order and reason of what was refused."""
    with (folder / "refused.csv").open(encoding="utf-8", newline="") as file:
        return [(each["line"], each["order"], each["refusal"]) for each in csv.DictReader(file)]


def line(
    order: str, amount_minor: int, *, at: datetime = AT, customer: str = "h1", store: str = "s1"
) -> Line:
    """A readable line."""
    return Line(2, order, customer, store, amount_minor, at)


def test_take_in_lines_of_an_order_anywhere_gives_one_order_less_its_coupons(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        "h1,s1,b2,p1,1,5.00,0,2026-03-02 10:00:00",
        "h1,s1,b1,p1,1,2.50,0.50,2026-03-02T09:30:00",
        "h2,s2,b3,p9,2,1.10,,2026-03-02T12:00:00+02:00",
        "h1,s1,b1,p2,1,0.30000000000000004,0,2026-03-02T09:31:00Z",
    )
    assert [(each.number, each.order, each.amount_minor) for each in found.orders] == [
        (1, "b1", 230),
        (2, "b2", 500),
        (3, "b3", 110),
    ]
    assert found.orders[0].at == AT + timedelta(minutes=1)
    assert found.orders[2].at == AT + timedelta(minutes=30)
    counts = found.counts
    assert (counts.lines, counts.refused_lines, counts.orders, counts.stores, counts.customers) == (
        4,
        0,
        3,
        2,
        2,
    )
    assert refused(tmp_path) == []


def test_take_in_bad_lines_names_each_and_leaves_their_orders_out(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        "h1,s1,good,p,1,1.00,0,2026-03-02",
        "",
        "h1,s1,ragged,p,1,1.00",
        b"h1,s1,latin,p\xe9,1,1.00,0,2026-03-02",
        'h1,s1,quoted,"p,1,1.00,0,2026-03-02',
        ",s1,nameless,p,1,1.00,0,2026-03-02",
        "h1,s1,worded,p,1,much,0,2026-03-02",
        "h1,s1,fine,p,1,1.005,0,2026-03-02",
        "h1,s1,huge,p,1,1e30,0,2026-03-02",
        "h1,s1,dozen,p,many,1.00,0,2026-03-02",
        "h1,s1,timeless,p,1,1.00,0,yesterday",
        "h1,s1,ragged,p,1,1.00,0,2026-03-02",
        "h2,s1,good2,p,1,1.00,0,2026-03-02",
        "h2,s2,good2,p,1,1.00,0,2026-03-02",
        "h1,s1,long," + "p" * 70_000 + ",1,1.00,0,2026-03-02",
        "h1,s1,back,p,1,-1.00,0,2026-03-02",
    )
    assert [each.order for each in found.orders] == ["good"]
    assert refused(tmp_path) == [
        ("3", "", "line_empty"),
        ("4", "ragged", "line_ragged"),
        ("5", "latin", "line_not_utf8"),
        ("6", "quoted", "line_badly_quoted"),
        ("7", "nameless", "name_missing"),
        ("8", "worded", "amount_malformed"),
        ("9", "fine", "amount_too_precise"),
        ("10", "huge", "amount_too_large"),
        ("11", "dozen", "quantity_malformed"),
        ("12", "timeless", "instant_malformed"),
        ("15", "good2", "order_contradicts"),
        ("16", "long", "line_too_long"),
    ]
    counts = found.counts
    assert (counts.lines, counts.refused_lines, counts.orders_empty, counts.orders_incomplete) == (
        16,
        12,
        1,
        11,
    )
    assert counts.orders == 13
    assert set(Refusal) - {each for _, _, each in refused(tmp_path)} == {"name_malformed"}


def test_take_in_parquet_reads_as_csv_does(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    arrow = importlib.import_module("pyarrow")
    table = arrow.table(
        {
            "household_id": [1, 1, 2, None],
            "store_id": [7, 7, 8, 8],
            "basket_id": [10, 10, 11, 12],
            "sales_value": [0.1, 0.2, 3.99, 1.0],
            "coupon_disc": [0.0, 0.05, None, 0.0],
            "transaction_timestamp": arrow.array([AT.replace(tzinfo=None)] * 4, arrow.timestamp("ns")),
        }
    )
    path = tmp_path / "till.parquet"
    importlib.import_module("pyarrow.parquet").write_table(table, path)
    assert reading.is_history(path)
    found = take_in(path, DOLLARS, tmp_path / "refused.csv")
    assert [(each.order, each.amount_minor, each.at) for each in found.orders] == [
        ("10", 25, AT),
        ("11", 399, AT),
    ]
    assert refused(tmp_path) == [("4", "12", "name_missing")]
    assert independent.sum_minor(path, found.terms.columns, 2, {"10", "11"}, "") == 424


def test_mapped_by_option_and_by_name_follows_the_option_first() -> None:
    header = ["Who", "Where", "Basket_ID", "Total", "coupon_disc", "off", "When"]
    given_columns = columns.told("customer=who, store=where,amount=total,at=when,discount=off+coupon_disc")
    found = columns.mapped(header, given_columns)
    assert found[Field.ORDER] == ("Basket_ID",)
    assert found[Field.AMOUNT] == ("Total",)
    assert found[Field.DISCOUNT] == ("off", "coupon_disc")
    assert Field.DISCOUNT not in columns.mapped(header, given_columns | {Field.DISCOUNT: ()})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("customer", "history_columns_invalid"),
        ("buyer=a", "history_columns_invalid"),
        ("order=a,order=b", "history_columns_invalid"),
        ("order=", "history_columns_invalid"),
        ("amount=a+b", "history_columns_invalid"),
        ("order=absent", "history_columns_invalid"),
        ("at=quantity", "history_columns_missing"),
    ],
)
def test_mapped_for_a_mapping_that_says_nothing_is_refused(text: str, code: str) -> None:
    header = ["household_id", "basket_id", "quantity", "sales_value"]
    with pytest.raises(InvalidRequest) as told:
        columns.mapped(header, columns.told(text))
    assert told.value.code == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "history_unreadable"),
        (b"\xff\xfe", "history_unreadable"),
        (b"PAR1 is no Parquet", "history_unreadable"),
        (f"{HEADER}\n".encode(), "history_empty"),
        (b"a,a\n", "history_columns_invalid"),
    ],
)
def test_take_in_what_is_no_history_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "till.csv"
    path.write_bytes(content)
    with pytest.raises(AppError) as told:
        take_in(path, DOLLARS, tmp_path / "refused.csv")
    assert told.value.code == code
    assert not list(tmp_path.glob(".*.part"))


def test_history_without_pyarrow_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "till.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert reading.is_history(path)
    with pytest.raises(AppError) as told:
        take_in(path, DOLLARS, tmp_path / "refused.csv")
    assert told.value.code == "parquet_missing"


def test_is_history_of_a_plan_and_of_foreign_columns_is_false(tmp_path: Path) -> None:
    plan, foreign = tmp_path / "plan.jsonl", tmp_path / "foreign.csv"
    plan.write_text('{"terms": {"seed": 3}}\n')
    foreign.write_text("a,b,c\n")
    assert [reading.is_history(each) for each in (plan, foreign, tmp_path / "none")] == [False] * 3


def test_gathering_more_orders_than_there_may_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ORDERS_MAX", 2)
    found = Gathering()
    for name in ("a", "b", "a"):
        found.add(line(name, 1))
    with pytest.raises(AppError) as told:
        found.add(line("c", 1))
    assert told.value.code == "history_too_long"


AMOUNTS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-5_000, 5_000)), min_size=1, max_size=30)


@given(AMOUNTS)
def test_gathering_any_lines_sums_to_what_the_file_sums_to(lines: list[tuple[str, int]]) -> None:
    found = Gathering()
    for order, amount_minor in lines:
        assert found.add(line(order, amount_minor)) is None
    orders = list(found.orders())
    assert all(each.amount_minor > 0 for each in orders)
    assert len(orders) + found.counts.orders_empty == found.counts.orders == len({each for each, _ in lines})
    for each in orders:
        assert each.amount_minor == sum(amount for order, amount in lines if order == each.order)


@given(st.integers(-(10**9), 10**9), st.integers(0, 3))
def test_reading_any_amount_as_text_or_as_a_float_gives_it_back(amount_minor: int, exponent: int) -> None:
    terms = Terms(
        currency="XTS",
        exponent=exponent,
        zone="UTC",
        columns={
            field: (field.value,)
            for field in (Field.CUSTOMER, Field.ORDER, Field.STORE, Field.AMOUNT, Field.AT)
        },
    )
    reader = Reader(["customer", "order", "store", "amount", "at"], terms)
    exact = Decimal(amount_minor).scaleb(-exponent)
    for text in (format(exact, "f"), repr(float(exact) + 0.0)):
        got = reader.read(Row(2, ("h", "o", "s", text, "2026-03-02")))
        assert isinstance(got, Line)
        assert got.amount_minor == amount_minor


def test_reading_an_instant_without_a_zone_takes_that_of_the_file() -> None:
    names = ("customer", "order", "store", "amount", "at")
    terms = Terms(
        currency="CNY", exponent=2, zone="Asia/Shanghai", columns={Field(each): (each,) for each in names}
    )
    got = Reader(names, terms).read(Row(2, ("h", "o", "s", "1", "2026-03-02T17:30:00")))
    assert isinstance(got, Line)
    assert got.at == AT
    bad = Reader(names, terms).read(Row(2, ("h", "o\x07", "s", "1", "2026-03-02")))
    assert isinstance(bad, Refused)
    assert bad.refusal is Refusal.NAME_MALFORMED


@given(st.integers(-250_000, 150_000))
def test_moving_a_history_keeps_weekdays_and_reaches_an_age_of_ids(hours: int) -> None:
    first_at = INT_EPOCH + timedelta(hours=hours, minutes=7)
    moved = planning.moved_by(first_at, None)
    assert moved >= timedelta(0)
    assert moved % timedelta(weeks=1) == timedelta(0)
    assert first_at + moved > INT_EPOCH
    if first_at > INT_EPOCH + timedelta(weeks=1):
        assert moved == timedelta(0)


def test_moving_a_history_to_a_day_begins_there_or_is_refused() -> None:
    assert AT + planning.moved_by(AT, date(2027, 1, 1)) == datetime(2027, 1, 1, 9, 30, tzinfo=UTC)
    with pytest.raises(InvalidRequest, match="2020"):
        planning.moved_by(AT, date(2019, 1, 1))


def test_days_of_orders_are_cut_at_midnight_and_stop_where_told(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        "h,s,b1,p,1,1,0,2026-03-02T23:59:59",
        "h,s,b2,p,1,1,0,2026-03-03T00:00:00",
        "h,s,b3,p,1,1,0,2026-03-03T01:00:00",
    )
    got = [
        (day, [each.order for each in of_day]) for day, of_day in planning.days(found.orders, timedelta(0), 2)
    ]
    assert got == [(date(2026, 3, 2), ["b1"]), (date(2026, 3, 3), ["b2"])]


def test_households_are_equal_for_equal_seeds_and_have_cards_that_pass_the_check() -> None:
    first, again, other = (planning.household("900", seed, 2026) for seed in (1, 1, 2))
    assert first == again
    assert first.device != other.device
    assert passes_luhn(first.card.number)
    assert first.card.exp_year > 2026


def test_independent_sum_counts_approved_orders_alone_and_forgives_other_lines(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        "h,s,b1,p,1,1.10,0.10,2026-03-02",
        "h,s,b2,p,1,9.99,0,2026-03-02",
        "h,s,b3,p,1,nothing,0,2026-03-02",
        'h,s,b1,"p, large",1,2.00,,2026-03-02',
        "ragged",
    )
    path, terms = tmp_path / "till.csv", found.terms
    assert independent.sum_minor(path, terms.columns, 2, {"b1"}, found.delimiter) == 300
    assert independent.sum_minor(path, terms.columns, 2, {"b1", "b2"}, found.delimiter) == 1299
    assert independent.sum_minor(path, terms.columns, 2, set(), found.delimiter) == 0
