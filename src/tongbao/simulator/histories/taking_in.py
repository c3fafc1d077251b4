"""Taking a whole file in: opened, its columns understood, every line read and gathered, refused lines written down."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.histories.columns import mapped
from tongbao.simulator.histories.gathering import Gathering
from tongbao.simulator.histories.lines import Reader
from tongbao.simulator.histories.reading import opened
from tongbao.simulator.histories.refused_file import refused_to
from tongbao.simulator.histories.schema import Counts, Field, Order, Refused, Terms

TOLD_EVERY_LINES = 20_000
Told = Callable[[int], None]


class Wanted(NamedTuple):
    """How a file should be understood. ``columns``: what is told of them; the rest follows from their names."""

    currency: str
    zone: str
    columns: dict[Field, tuple[str, ...]]


class History(NamedTuple):
    """A file taken in: its terms, what it holds, its stores and its orders in order of time. ``delimiter``: empty in Parquet."""

    terms: Terms
    delimiter: str
    counts: Counts
    stores: tuple[str, ...]
    orders: list[Order]


def take_in(path: Path, wanted: Wanted, refused_path: Path, told: Told = lambda _: None) -> History:
    """Read a file of purchases; lines that take no part are written to ``refused_path``. ``told`` hears how many were read.

    Raises what opening and mapping raise; InvalidRequest ``history_empty`` where nothing is to be paid,
    ``currency_unknown``; LimitExceeded ``history_too_long``.
    """
    exponent = currencies.currency(wanted.currency).exponent
    with opened(path) as source, refused_to(refused_path) as write:
        columns = mapped(source.header, wanted.columns)
        terms = Terms(currency=wanted.currency, exponent=exponent, zone=wanted.zone, columns=columns)
        reader, gathering = Reader(source.header, terms), Gathering()
        for row in source.rows(_needed(columns), columns[Field.ORDER][0]):
            line = row if isinstance(row, Refused) else reader.read(row)
            if isinstance(line, Refused):
                gathering.refuse(line)
                write(line)
            elif (refused := gathering.add(line)) is not None:
                write(refused)
            if gathering.counts.lines % TOLD_EVERY_LINES == 0:
                told(gathering.counts.lines)
        orders = list(gathering.orders())
    if not orders:
        raise InvalidRequest(
            "history_empty",
            f"{path}: no order has anything to pay; see {refused_path} for lines that were refused",
        )
    return History(terms, source.delimiter, gathering.counts, gathering.stores, orders)


def _needed(columns: dict[Field, tuple[str, ...]]) -> Iterable[str]:
    return {name for field, names in columns.items() if field is not Field.PRODUCT for name in names}
