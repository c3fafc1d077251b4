"""What a time would have cost by a draft: movements come in by merchant and time, sums go out, in bounded memory.

Kept are sums by currency, method and charge, those of one merchant at a time with its sales that were refunded, and the
ten merchants of each currency that move most. Movements arrive ordered by book, currency, instant; those before the time
only count towards the volume of their month. A refund is priced by what is charged for refunds, less what goes back of
its payment by the list of the day on which that was sold; of a payment from before the time no new price changes that.
"""

import heapq
from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.policy.fee_regions import region_of
from tongbao.clearing.policy.fee_sums import sum_priced
from tongbao.clearing.policy.price_timeline import Timeline
from tongbao.clearing.policy.pricing import Payment, Seller, Sold
from tongbao.clearing.schema.fees import Bearer, Priceable, Priced
from tongbao.clearing.schema.movements import KIND_NAMES, MovementKind
from tongbao.clearing.schema.schedules import (
    MOVED_MAX,
    PastMovement,
    Role,
    SimulatedCharge,
    SimulatedLine,
    Sums,
)

_REFUNDS = (MovementKind.REFUND, MovementKind.REFUND_FAILED)
_UNKNOWN = "unknown"


class Sides(NamedTuple):
    """What is compared for one merchant: the lists in force by time, and the same with the draft in them."""

    old: Timeline
    new: Timeline


class _Tally:
    """Sums that grow: number, sales, and parts by old and new."""

    __slots__ = ("amount_minor", "count", "new", "old")

    def __init__(self) -> None:
        self.count = self.amount_minor = 0
        self.old = [0, 0, 0, 0]
        self.new = [0, 0, 0, 0]

    def add(self, sold_minor: int, old: Priced, new: Priced) -> None:
        self.count += 1
        self.amount_minor += sold_minor
        for sums, priced in ((self.old, old), (self.new, new)):
            sums[0] += priced.merchant_minor
            sums[1] += priced.tax_minor
            sums[2] += priced.house_minor
            sums[3] += priced.agent_minor

    def line(self, currency: str, key: str) -> SimulatedLine:
        return SimulatedLine(
            currency=currency,
            key=key,
            count=self.count,
            amount_minor=self.amount_minor,
            old=_sums(self.old),
            new=_sums(self.new),
        )


class Simulator:
    """Takes movements and adds up. ``role``: of the draft, whose bearer's side tells which merchants move most."""

    def __init__(self, start_at: datetime, role: Role) -> None:
        self._start_at = start_at
        self._side = {Role.MERCHANTS: 0, Role.COSTS: 2, Role.AGENTS: 3}[role]
        self._totals: dict[str, _Tally] = {}
        self._methods: dict[tuple[str, str], _Tally] = {}
        self._charges: dict[tuple[str, str, Bearer], list[int]] = {}
        self._most: dict[str, list[tuple[int, int, SimulatedLine]]] = {}
        self._merchant: tuple[int, str] | None = None
        self._tally = _Tally()
        self._volumes: dict[tuple[int, int], int] = {}
        self._payments: dict[UUID, tuple[Payment, Payment]] = {}
        self.count = self.left_out_count = self.raised_count = self.lowered_count = 0

    def take(self, movement: PastMovement, on: date, seller: Seller, sides: Sides | None) -> None:
        """Add one movement; ``on`` is its date in the zone of the merchant's agreement.

        ``sides`` is None where other lists than the draft's were agreed on: then it is only part of the month's volume.
        """
        merchant = (movement.book_id, movement.currency)
        if merchant != self._merchant:
            self._close()
            self._merchant = merchant
        month = (on.year, on.month)
        volume = self._volumes.get(month, 0)
        is_sale = movement.kind == MovementKind.SALE
        if is_sale:
            self._volumes[month] = volume + movement.amount_minor
        if sides is None or movement.occurred_at < self._start_at:
            return
        priceable = _priceable(movement, on, seller, volume)
        schedules = (sides.old.at(movement.occurred_at), sides.new.at(movement.occurred_at))
        old, new = (schedule.price(priceable) for schedule in schedules)
        if is_sale and movement.is_refunded and movement.intent_id is not None:
            payments = self._payments.setdefault(movement.intent_id, (Payment(()), Payment(())))
            for payment, paid, schedule in zip(payments, (old, new), schedules, strict=True):
                payment.sales.append(Sold(movement.amount_minor, paid, schedule))
        elif movement.kind in _REFUNDS:
            old, new = self._given_back(movement, old, new)
        self._add(movement, is_sale, old, new)

    def totals(self) -> tuple[SimulatedLine, ...]:
        """Return the sums by currency; ends the last merchant."""
        self._close()
        return tuple(self._totals[currency].line(currency, "") for currency in sorted(self._totals))

    def methods(self) -> tuple[SimulatedLine, ...]:
        """Return the sums by currency and method."""
        return tuple(self._methods[key].line(*key) for key in sorted(self._methods))

    def charges(self) -> tuple[SimulatedCharge, ...]:
        """Return the sums by currency and charge."""
        return tuple(
            SimulatedCharge(currency=key[0], name=key[1], bearer=key[2], old_minor=old, new_minor=new)
            for key, (old, new) in sorted(self._charges.items())
        )

    def moved(self) -> tuple[SimulatedLine, ...]:
        """Return the merchants that move most, by currency, the most moved first; the lower book of equals."""
        return tuple(
            line
            for currency in sorted(self._most)
            for _, _, line in sorted(self._most[currency], key=lambda each: (-each[0], -each[1]))
        )

    def _add(self, movement: PastMovement, is_sale: bool, old: Priced, new: Priced) -> None:
        sold = movement.amount_minor if is_sale else 0
        currency = movement.currency
        self.count += 1
        self._tally.add(sold, old, new)
        self._totals.setdefault(currency, _Tally()).add(sold, old, new)
        self._methods.setdefault((currency, movement.method), _Tally()).add(sold, old, new)
        for place, priced in enumerate((old, new)):
            for part in priced.parts:
                key = (currency, part.name, part.bearer)
                self._charges.setdefault(key, [0, 0])[place] += part.amount_minor

    def _given_back(self, movement: PastMovement, old: Priced, new: Priced) -> tuple[Priced, Priced]:
        """Return the prices of a refund together with what it gives back of its payment."""
        payments = self._payments.get(movement.intent_id) if movement.intent_id is not None else None
        if payments is None:
            self.left_out_count += 1
            return old, new
        both = []
        for payment, priced in zip(payments, (old, new), strict=True):
            both.append(sum_priced((priced, payment.returned(-movement.amount_minor))))
        return both[0], both[1]

    def _close(self) -> None:
        """End a merchant: keep it if it is among the most moved, and forget what only it needed."""
        if self._merchant is not None:
            book_id, currency = self._merchant
            change = self._tally.new[self._side] - self._tally.old[self._side]
            self.raised_count += change > 0
            self.lowered_count += change < 0
            if change:
                most = self._most.setdefault(currency, [])
                heapq.heappush(most, (abs(change), -book_id, self._tally.line(currency, str(book_id))))
                if len(most) > MOVED_MAX:
                    heapq.heappop(most)
        self._merchant, self._tally = None, _Tally()
        self._volumes, self._payments = {}, {}


def _priceable(movement: PastMovement, on: date, seller: Seller, volume_minor: int) -> Priceable:
    return Priceable(
        kind=KIND_NAMES[movement.kind],
        amount_minor=abs(movement.amount_minor),
        currency=movement.currency,
        on=on,
        volume_minor=volume_minor,
        method=movement.method,
        channel=movement.channel,
        brand=movement.brand,
        funding="" if movement.funding == _UNKNOWN else movement.funding,
        region=region_of(movement.card_country, seller.country),
        store=movement.store,
        package=seller.package,
        mcc=seller.mcc,
    )


def _sums(values: Iterable[int]) -> Sums:
    merchant, tax, house, agent = values
    return Sums(merchant_minor=merchant, tax_minor=tax, house_minor=house, agent_minor=agent)
