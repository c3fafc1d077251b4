"""The second opinion: what a file says that some orders came to, added up by another way than the replay reads it.

CSV goes through the standard library's reader and exact fractions, Parquet through Arrow's own arithmetic, never through
``reading``, ``lines`` or ``gathering``; only the names of columns are shared.
"""

import csv
import importlib
from collections.abc import Collection, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from tongbao.simulator.histories.schema import Field

Columns = Mapping[Field, tuple[str, ...]]


def sum_minor(path: Path, columns: Columns, exponent: int, orders: Collection[str], delimiter: str) -> int:
    """Return what the lines of ``orders`` come to, minor units: amounts less discounts, each rounded to a minor unit.

    ``delimiter`` is empty for Parquet. Lines of other orders may be whatever they like.
    """
    if not delimiter:
        return _sum_of_parquet(path, columns, exponent, orders)
    scale = 10**exponent
    total = 0
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        names = [name.strip() for name in next(csv.reader((file.readline(),), delimiter=delimiter))]
        for line in file:
            # One line is one record here as well: csv alone would let a stray quote join lines.
            for fields in csv.reader((line.rstrip("\r\n"),), delimiter=delimiter):
                record = dict(zip(names, fields, strict=False))
                if record.get(columns[Field.ORDER][0], "").strip() in orders:
                    total += round(Fraction(record[columns[Field.AMOUNT][0]].strip()) * scale)
                    total -= sum(
                        round(Fraction(record[name].strip() or 0) * scale)
                        for name in columns.get(Field.DISCOUNT, ())
                    )
    return total


def _sum_of_parquet(path: Path, columns: Columns, exponent: int, orders: Collection[str]) -> int:
    arrow: Any = importlib.import_module("pyarrow")
    compute: Any = importlib.import_module("pyarrow.compute")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    order, amounts = columns[Field.ORDER][0], (columns[Field.AMOUNT][0], *columns.get(Field.DISCOUNT, ()))
    wanted = arrow.array(sorted(orders), arrow.string())
    total = 0
    for batch in parquet.ParquetFile(path).iter_batches(columns=[order, *amounts]):
        named = compute.utf8_trim_whitespace(compute.cast(batch.column(order), arrow.string()))
        kept = batch.filter(compute.is_in(named, value_set=wanted))
        for place, name in enumerate(amounts):
            major = compute.cast(compute.fill_null(kept.column(name), 0), arrow.float64())
            minor = compute.cast(compute.round(compute.multiply(major, 10.0**exponent)), arrow.int64())
            total += (1 if place == 0 else -1) * (compute.sum(minor).as_py() or 0)
    return total
