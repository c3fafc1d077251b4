"""A replay decides by what was known at the time of each payment, learns on the way, and writes all or nothing."""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.risk.event_files import HEAD, START, Row, labels_of, some_payments, write

from tongbao.core.errors import InvalidRequest
from tongbao.risk.service import replaying_files
from tongbao.risk.service.replay_report import Report
from tongbao.risk.service.replaying_files import Plan, Progress, replay

LABELS = ("id", "is_fraud", "known_at")


EVERY = timedelta(days=14)
"""Training once is enough here."""


def run(events: Path, out: Path, **options: Any) -> Report:
    return replay(Plan(events=events, out=out, **({"retrain_every": EVERY} | options)), lambda _: None)


def decided(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], list[Row]]:
    folder = tmp_path_factory.mktemp("replay")
    rows, frauds = some_payments()
    labels = labels_of(rows, frauds)
    write(folder / "events.csv", HEAD, rows)
    write(folder / "labels.csv", LABELS, labels)
    run(folder / "events.csv", folder / "out.csv", labels=folder / "labels.csv")
    return folder, rows, labels


def test_replay_writes_a_decision_for_every_payment_and_learns_on_the_way(
    files: tuple[Path, list[Row], list[Row]], tmp_path: Path
) -> None:
    folder, rows, _ = files
    told: list[Progress] = []
    plan = Plan(
        events=folder / "events.csv",
        out=tmp_path / "out.csv",
        labels=folder / "labels.csv",
        retrain_every=EVERY,
    )
    report = replay(plan, told.append)
    written = decided(tmp_path / "out.csv")
    assert [row["id"] for row in written] == [row[0] for row in rows]
    assert all(0 <= float(row["score"]) <= 1 and row["tier"] and row["reasons"] for row in written)
    models = [period.model for period in report.periods if period.model]
    assert [each.digest for each in models] == list(
        dict.fromkeys(row["model"] for row in written if row["model"])
    )
    assert len(models) == 1
    assert written[0]["model"] == ""
    assert report.trained is not None
    # A few tens of frauds are enough to beat what judges before anything was learned.
    assert report.trained.ap > 0.5 > 3 * report.trained.frauds / report.trained.payments
    assert sum(report.tiers.values()) == pytest.approx(1)
    assert told[-1].done == told[-1].total == len(rows)
    assert (tmp_path / "out.csv").read_bytes() == (folder / "out.csv").read_bytes()


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1_250, 1_990), seed=st.integers(0, 1_000))
def test_score_does_not_move_when_later_payments_and_labels_do(
    files: tuple[Path, list[Row], list[Row]], tmp_path: Path, cut: int, seed: int
) -> None:
    folder, rows, labels = files
    rng = np.random.default_rng(seed)
    other, flipped = some_payments(count=len(rows) - cut, seed=seed + 10)
    at = rows[cut][1]
    # Others come instead of all payments from the cut on, and every label that was not known by then says something else.
    moved = [(f"q{row[0]}", later[1], *row[2:]) for row, later in zip(other, rows[cut:], strict=True)]
    changed = [
        label if label[2] < at else (label[0], str(int(rng.random() < 0.5)), label[2]) for label in labels
    ]
    write(tmp_path / "events.csv", HEAD, [*rows[:cut], *moved])
    write(tmp_path / "labels.csv", LABELS, [*changed[:cut], *labels_of(moved, flipped)])
    run(tmp_path / "events.csv", tmp_path / "out.csv", labels=tmp_path / "labels.csv")
    assert decided(tmp_path / "out.csv")[:cut] == decided(folder / "out.csv")[:cut]


def test_label_moves_scores_from_the_instant_on_at_which_it_is_known(
    files: tuple[Path, list[Row], list[Row]], tmp_path: Path
) -> None:
    folder, rows, labels = files
    known = (START + timedelta(days=12)).isoformat()
    early = [(key, is_fraud, known if is_fraud == "1" else at) for key, is_fraud, at in labels]
    write(tmp_path / "labels.csv", LABELS, early)
    run(
        folder / "events.csv",
        tmp_path / "out.csv",
        labels=tmp_path / "labels.csv",
        retrain_every=timedelta(0),
    )
    write(tmp_path / "none.csv", LABELS, [])
    run(
        folder / "events.csv",
        tmp_path / "none_out.csv",
        labels=tmp_path / "none.csv",
        retrain_every=timedelta(0),
    )
    scores, without = decided(tmp_path / "out.csv"), decided(tmp_path / "none_out.csv")
    before = sum(row[1] < known for row in rows)
    assert [row["score"] for row in scores[:before]] == [row["score"] for row in without[:before]]
    assert [row["score"] for row in scores[before:]] != [row["score"] for row in without[before:]]


def test_column_of_labels_does_as_a_file_of_them(
    files: tuple[Path, list[Row], list[Row]], tmp_path: Path
) -> None:
    folder, rows, labels = files
    head = (*HEAD, "tx_fraud")
    write(tmp_path / "events.csv", head, [(*row, label[1]) for row, label in zip(rows, labels, strict=True)])
    run(tmp_path / "events.csv", tmp_path / "out.csv")
    assert decided(tmp_path / "out.csv") == decided(folder / "out.csv")


def test_labels_by_row_do_as_labels_by_id(files: tuple[Path, list[Row], list[Row]], tmp_path: Path) -> None:
    folder, rows, labels = files
    write(tmp_path / "events.csv", HEAD[1:], [row[1:] for row in rows])
    numbered = [(str(number), *label[1:]) for number, label in enumerate(labels)]
    write(tmp_path / "labels.csv", ("row", "fraud", "known_at"), numbered[::-1])
    run(tmp_path / "events.csv", tmp_path / "out.csv", labels=tmp_path / "labels.csv")
    found, expected = decided(tmp_path / "out.csv"), decided(folder / "out.csv")
    assert [row["score"] for row in found] == [row["score"] for row in expected]
    assert [row["id"] for row in found] == [str(number) for number in range(len(rows))]


def test_parquet_and_csv_say_the_same(files: tuple[Path, list[Row], list[Row]], tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder, rows, _ = files
    columns = dict(zip(HEAD, map(list, zip(*rows, strict=True)), strict=True))
    table = arrow.table(columns)
    times = table["time"].cast(arrow.timestamp("us", tz="UTC"))
    amounts = arrow.array([float(row[4]) for row in rows])
    table = table.set_column(1, "time", times).set_column(4, "amount", amounts)
    parquet.write_table(table, tmp_path / "events.parquet")
    run(tmp_path / "events.parquet", tmp_path / "out.parquet", labels=folder / "labels.csv")
    found = parquet.ParquetFile(tmp_path / "out.parquet").read().to_pylist()
    expected = decided(folder / "out.csv")
    assert [(row["id"], row["score"], row["tier"]) for row in found] == [
        (row["id"], float(row["score"]), row["tier"]) for row in expected
    ]
    assert [";".join(row["reasons"]) for row in found] == [row["reasons"] for row in expected]


GOOD = ("a", "2026-01-05T00:00:00Z", "c", "t", "1.00", "EUR", "", "FR")


@pytest.mark.parametrize(
    ("rows", "said", "line"),
    [
        ([GOOD, (*GOOD[:1], "yesterday", *GOOD[2:])], "is no time", 3),
        ([GOOD, ("b", "1969-12-31T00:00:00Z", *GOOD[2:])], "before 1970", 3),
        ([("a", *GOOD[1:4], "-1", *GOOD[5:])], "negative", 2),
        ([("a", *GOOD[1:4], "nan", *GOOD[5:])], "no number", 2),
        ([("a", *GOOD[1:4], "", *GOOD[5:])], "no number", 2),
        ([("a", *GOOD[1:4], "1e20", *GOOD[5:])], "too large", 2),
        ([("a", *GOOD[1:5], "EURO", *GOOD[6:])], "no currency", 2),
        ([("a", GOOD[1], "c" * 81, *GOOD[3:])], "more than 80", 2),
        ([GOOD, ("b", "2026-01-04T23:59:59Z", *GOOD[2:])], "sort the file", 3),
        ([GOOD, ("b", *GOOD[1:]), GOOD], "was there before", 4),
        ([GOOD, ("", *GOOD[1:])], "id is empty", 3),
        ([GOOD, GOOD[:5]], "5 values, but 8 columns", 3),
        ([], "no payments", None),
    ],
)
def test_line_that_is_no_payment_is_an_error_with_its_number_and_writes_nothing(
    tmp_path: Path, rows: list[Row], said: str, line: int | None
) -> None:
    write(tmp_path / "events.csv", HEAD, rows)
    with pytest.raises(InvalidRequest) as refused:
        run(tmp_path / "events.csv", tmp_path / "out.csv")
    assert refused.value.code == "table_file_invalid"
    assert said in refused.value.detail
    assert refused.value.facts.get("line") == line
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]


HEADER = ",".join(HEAD).encode() + b"\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b"\n", "empty line"),
        (HEADER + b"a,2026-01-05,c\xff,t,1,EUR,,\n", "line 2: the line is not UTF-8"),
        (HEADER + b'a,2026-01-05,"c,t,1,EUR,,\nb,2026-01-05,c,t,1,EUR,,\n', "line 2"),
        (HEADER + b"a,2026-01-05,c\x00,t,1,EUR,,\n", "NUL"),
        (HEADER + b"a" * 70_000, "longer than"),
        (HEADER + b"\n", "line 2: the line is empty"),
        (",".join(HEAD).encode("utf-16"), "UTF-16"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04....", "ZIP"),
        (b"PAR1 and no more", "no readable Parquet"),
        (b"time,time,amount,customer\n", "two columns"),
        (b"when,amount,customer\n", "no column for time"),
        (b"time,customer\n", "no column for amount"),
        (b"time,amount\n", "no column for customer"),
    ],
)
def test_file_that_is_no_table_of_payments_is_refused(tmp_path: Path, body: bytes, said: str) -> None:
    (tmp_path / "events.csv").write_bytes(body)
    with pytest.raises(InvalidRequest, match=said):
        run(tmp_path / "events.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]


def test_mark_of_byte_order_and_semicolons_are_read(tmp_path: Path) -> None:
    body = "\ufeffTX_DATETIME;CUSTOMER_ID;TERMINAL_ID;TX_AMOUNT;scenario\n2026-01-05 10:00:00;1;2;3.50;x\n"
    (tmp_path / "events.csv").write_text(body, encoding="utf-8")
    report = run(tmp_path / "events.csv", tmp_path / "out.csv")
    assert report.unused_columns == ("scenario",)
    assert decided(tmp_path / "out.csv")[0]["time"] == "2026-01-05T10:00:00+00:00"


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"time": "when"}, "no column"), ({"colour": "time"}, "no column can be")],
)
def test_named_column_that_is_not_there_is_refused(
    tmp_path: Path, columns: dict[str, str], said: str
) -> None:
    write(tmp_path / "events.csv", HEAD, [GOOD])
    with pytest.raises(InvalidRequest, match=said):
        run(tmp_path / "events.csv", tmp_path / "out.csv", columns=columns)


def test_seconds_of_the_handbook_count_from_its_first_day(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", ("t", "cust", "term", "cents", "fraud"), [("60", "1", "2", "350", "0")])
    run(tmp_path / "events.csv", tmp_path / "out.csv")
    assert decided(tmp_path / "out.csv")[0]["time"] == "2018-04-01T00:01:00+00:00"


@pytest.mark.parametrize(
    ("head", "rows", "said"),
    [
        (LABELS, [("a", "maybe", GOOD[1])], "neither yes nor no"),
        (LABELS, [("a", "1", "soon")], "line 2: .*is no time"),
        (LABELS, [("", "1", GOOD[1])], "id of the payment is empty"),
        (("id", "known_at"), [("a", GOOD[1])], "no column that tells fraud"),
        (("is_fraud",), [("1",), ("0",)], "one line a payment"),
    ],
)
def test_file_that_is_no_labels_is_refused(
    tmp_path: Path, head: tuple[str, ...], rows: list[Row], said: str
) -> None:
    write(tmp_path / "events.csv", HEAD, [GOOD])
    write(tmp_path / "labels.csv", head, rows)
    with pytest.raises(InvalidRequest, match=said):
        run(tmp_path / "events.csv", tmp_path / "out.csv", labels=tmp_path / "labels.csv")
    assert not (tmp_path / "out.csv").exists()


def test_labels_of_strangers_are_counted_and_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", HEAD, [GOOD])
    write(tmp_path / "labels.csv", LABELS, [("z", "1", GOOD[1]), ("a", "1", GOOD[1])])
    report = run(tmp_path / "events.csv", tmp_path / "out.csv", labels=tmp_path / "labels.csv")
    assert (report.labels, report.strangers) == (1, 1)


def test_label_known_with_its_payment_counts_from_the_next_one_on(tmp_path: Path) -> None:
    many = [(f"p{number}", f"2026-01-05T00:00:{number:02}Z", *GOOD[2:]) for number in range(30)]
    write(tmp_path / "events.csv", HEAD, many)
    write(tmp_path / "none.csv", LABELS, [])
    write(tmp_path / "early.csv", LABELS, [("p9", "1", "2026-01-01T00:00:00Z")])
    scores = []
    for labels in ("none.csv", "early.csv"):
        run(tmp_path / "events.csv", tmp_path / "out.csv", labels=tmp_path / labels, policy=CARED)
        scores.append([row["rules"] for row in decided(tmp_path / "out.csv")])
    assert scores[0] == [""] * 30
    assert scores[1] == [""] * 10 + ["known"] * 20


CARED = {"rules": 'known: when customer_known_fraud_30d > 0 then watch because "fraud before" owner risk'}


def test_answer_never_overwrites_what_it_is_made_of(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", HEAD, [GOOD])
    with pytest.raises(InvalidRequest, match="overwrite"):
        run(tmp_path / "events.csv", tmp_path / "events.csv")
    with pytest.raises(InvalidRequest, match="no file can be written"):
        run(tmp_path / "events.csv", tmp_path / "nowhere" / "out.csv")


def test_file_longer_than_allowed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying_files, "ROWS_MAX", 1)
    write(tmp_path / "events.csv", HEAD, [GOOD, ("b", *GOOD[1:])])
    with pytest.raises(Exception, match="in parts"):
        run(tmp_path / "events.csv", tmp_path / "out.csv")
