"""Lines gathered into orders. Pure; memory grows with orders, of which there is a named maximum, not with lines.

The lines of an order may stand anywhere in a file. An order with a refused line is no order that could be charged: it is
counted apart, and its other lines with it. So is one with nothing to pay.
"""

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.simulator.histories.schema import (
    ORDERS_MAX,
    STORES_MAX,
    Counts,
    Line,
    Order,
    Refusal,
    Refused,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Gathering:
    """Takes lines in any order; gives orders in order of time, those of one instant as the file first named them."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._orders: dict[str, int] = {}
        self._customers: dict[str, int] = {}
        self._stores: dict[str, int] = {}
        self._spoiled: set[str] = set()
        self._amounts, self._instants = array("q"), array("q")
        self._of_customer, self._of_store = array("l"), array("l")

    def add(self, line: Line) -> Refused | None:
        """Take a line; return why not where it contradicts what other lines say of its order.

        Raises LimitExceeded ``history_too_long``, InvalidRequest ``history_stores_too_many``.
        """
        self.counts.lines += 1
        customer = self._customers.setdefault(line.customer, len(self._customers))
        store = self._stores.setdefault(line.store, len(self._stores))
        if len(self._stores) > STORES_MAX:
            raise InvalidRequest("history_stores_too_many", f"a history has at most {STORES_MAX} stores")
        slot = self._orders.setdefault(line.order, len(self._amounts))
        if slot == len(self._amounts):
            self._begin(customer, store)
        if (self._of_customer[slot], self._of_store[slot]) != (customer, store):
            detail = "another line of the order names another customer or store"
            return self._refuse(Refused(line.line_no, line.order, Refusal.ORDER_CONTRADICTS, detail))
        self._amounts[slot] += line.amount_minor
        self._instants[slot] = max(self._instants[slot], (line.at - _EPOCH) // _MICROSECOND)
        return None

    def refuse(self, refused: Refused) -> None:
        """Count a line that cannot be read; the order that it names is incomplete."""
        self.counts.lines += 1
        self._refuse(refused)

    def orders(self) -> Iterator[Order]:
        """Yield what is to be paid, in order of time, and complete the counts."""
        names = list(self._orders)
        customers, stores = list(self._customers), list(self._stores)
        counts = self.counts
        counts.orders_incomplete = len(self._spoiled)
        counts.customers, counts.stores = len(customers), len(stores)
        counts.orders = len(self._orders.keys() | self._spoiled)
        counts.orders_empty = sum(
            amount <= 0 and name not in self._spoiled
            for name, amount in zip(names, self._amounts, strict=True)
        )
        number = 0
        for slot in sorted(range(len(names)), key=self._instants.__getitem__):
            if self._amounts[slot] <= 0 or names[slot] in self._spoiled:
                continue
            number += 1
            yield Order(
                number,
                names[slot],
                customers[self._of_customer[slot]],
                stores[self._of_store[slot]],
                self._amounts[slot],
                _EPOCH + self._instants[slot] * _MICROSECOND,
            )

    @property
    def stores(self) -> tuple[str, ...]:
        """Every store that was named so far, first ones first."""
        return tuple(self._stores)

    def _begin(self, customer: int, store: int) -> None:
        if len(self._amounts) >= ORDERS_MAX:
            raise LimitExceeded(
                "history_too_long", f"a history has at most {ORDERS_MAX:,} orders: cut it, or use --orders"
            )
        self._amounts.append(0)
        self._instants.append(0)
        self._of_customer.append(customer)
        self._of_store.append(store)

    def _refuse(self, refused: Refused) -> Refused:
        self.counts.refused_lines += 1
        if refused.order:
            self._spoiled.add(refused.order)
        return refused
