"""Small files of payments for tests of replays: people, shops, and a shop that goes bad for a week."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

START = datetime(2026, 1, 5, tzinfo=UTC)
HEAD = ("id", "time", "customer", "terminal", "amount", "currency", "device", "country")
Row = tuple[str, ...]


def some_payments(count: int = 2_000, days: float = 24.0, seed: int = 3) -> tuple[list[Row], list[bool]]:
    """Return rows of payments as a file has them, and which are fraud: unusual amounts and three bad shops."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, int(days * 86_400), count))
    rows: list[Row] = []
    frauds: list[bool] = []
    for number, second in enumerate(seconds.tolist()):
        person, shop = int(rng.integers(60)), int(rng.integers(25))
        is_fraud = bool(rng.random() < (0.6 if shop < 3 else 0.01))
        amount = float(rng.lognormal(3.0, 0.4)) * (6 if is_fraud else 1)
        rows.append(
            (
                f"p{number}",
                (START + timedelta(seconds=second)).isoformat(),
                f"c{person}",
                f"t{shop}",
                f"{amount:.2f}",
                "EUR",
                f"d{person}" if person % 3 else "",
                "FR",
            )
        )
        frauds.append(is_fraud)
    return rows, frauds


def labels_of(rows: list[Row], frauds: list[bool], days: float = 7.0) -> list[Row]:
    """Return labels of all payments, each known some days after its payment."""
    return [
        (row[0], str(int(is_fraud)), (datetime.fromisoformat(row[1]) + timedelta(days=days)).isoformat())
        for row, is_fraud in zip(rows, frauds, strict=True)
    ]


def write(path: Path, head: tuple[str, ...], rows: Sequence[Row]) -> Path:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
    return path
