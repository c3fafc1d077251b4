"""Rates with their intervals from sums by mark."""

import math
from collections.abc import Collection, Sequence
from datetime import datetime

from tongbao.routing.schema.health import Cell, CodeRow, Counts, Dimension, Estimate, RateRow

Z95 = 1.959964


def wilson(good: float, count: float, z: float = Z95) -> tuple[float, float, float]:
    """Return the rate with the bounds of Wilson's interval; ``count`` is positive."""
    rate = good / count
    center = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return rate, min(max(center - half, 0.0), rate), max(min(center + half, 1.0), rate)


def estimate_of(good: int, count: int) -> Estimate | None:
    """Return a rate with Wilson's interval of 95 %; None of nothing."""
    return Estimate(*wilson(good, count)) if count else None


def rate_rows(cells: Sequence[Cell], dimensions: Collection[Dimension]) -> list[RateRow]:
    """Return the rates of sums by ``dimensions`` and mark: by time, then the most attempts first."""
    sums: dict[tuple[datetime | None, tuple[str, ...]], dict[str, int]] = {}
    took: dict[tuple[datetime | None, tuple[str, ...]], int] = {}
    wanted = [dimension for dimension in Dimension if dimension in dimensions]
    for cell in cells:
        key = (cell.at, tuple(str(getattr(cell, dimension.value)) for dimension in wanted))
        marks = sums.setdefault(key, {})
        marks[cell.mark] = marks.get(cell.mark, 0) + cell.count
        took[key] = took.get(key, 0) + cell.took_ms
    rows = []
    for (at, values), marks in sums.items():
        counts = Counts(**marks)
        rows.append(
            RateRow(
                segment=dict(zip(wanted, values, strict=True)),
                counts=counts,
                approval=estimate_of(counts.approved, counts.judged),
                completion=estimate_of(counts.approved, counts.total),
                took_ms=took[at, values] / counts.total,
                at=at,
            )
        )
    return sorted(rows, key=lambda row: (row.at is not None and row.at.timestamp(), -row.counts.total))


def code_rows(cells: Sequence[Cell], dimensions: Collection[Dimension]) -> list[CodeRow]:
    """Return how often each code came, of all attempts of its segment; cells carry mark and code."""
    wanted = [dimension for dimension in Dimension if dimension in dimensions]
    totals: dict[tuple[str, ...], int] = {}
    named = [(tuple(str(getattr(cell, each.value)) for each in wanted), cell) for cell in cells]
    for values, cell in named:
        totals[values] = totals.get(values, 0) + cell.count
    return [
        CodeRow(
            segment=dict(zip(wanted, values, strict=True)),
            code=cell.code,
            mark=cell.mark,
            count=cell.count,
            share=Estimate(*wilson(cell.count, totals[values])),
        )
        for values, cell in sorted(named, key=lambda each: -each[1].count)
        if cell.code
    ]
