"""Pricing: what each movement of a batch costs, what is withheld of it, and what all of them come to.

Sales come first, in the order in which they happened, so that each is priced by what the month had sold before it. What goes
back follows by payment: a refund gives back its proportion of the payment's fee, a refund that failed takes that and its own
fee back. Of a payment that was claimed in parts the first part goes back first.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from tongbao.clearing.policy.cycles import local_date
from tongbao.clearing.policy.fee_regions import region_of
from tongbao.clearing.policy.fee_sums import NOTHING, priced_of, sum_priced
from tongbao.clearing.policy.fees import Schedule
from tongbao.clearing.schema.agreements import Agreement
from tongbao.clearing.schema.batches import Batch, Totals
from tongbao.clearing.schema.fees import RATE_WHOLE, FeePart, Priceable, Priced
from tongbao.clearing.schema.movements import KIND_NAMES, Movement, MovementKind, PricedMovement

_GOES_BACK = (MovementKind.REFUND, MovementKind.REFUND_FAILED)
_DISPUTES = (MovementKind.DISPUTE, MovementKind.DISPUTE_WON)


class Seller(NamedTuple):
    """What prices go by of a merchant; empty is not known."""

    country: str = ""
    package: str = ""
    mcc: str = ""


class Sold(NamedTuple):
    """A priced sale of a payment: its amount, what it cost, and the list it was priced by."""

    amount_minor: int
    paid: Priced
    schedule: Schedule


class Payment:
    """What of a payment was priced so far: its sales, what went back of it, and what each refund itself cost."""

    def __init__(self, sales: Iterable[Sold]) -> None:
        self.sales = list(sales)
        self.refunded_minor = 0
        self.refunds: dict[object, Priced] = {}

    def returned(self, amount_minor: int) -> Priced:
        """Return what a refund of an amount gives back (negative parts), or a negative one takes again; and count it.

        What goes beyond the sales that were priced gives nothing back.
        """
        before = self._given(self.refunded_minor)
        self.refunded_minor += amount_minor
        return sum_priced((self._given(self.refunded_minor), negated(before)))

    def _given(self, refunded_minor: int) -> Priced:
        """Return everything that was given back once so much was refunded."""
        found, left = [], refunded_minor
        for sale in self.sales:
            amount = min(max(left, 0), sale.amount_minor)
            left -= sale.amount_minor
            if amount:
                given = sale.schedule.give_back(
                    sale.paid,
                    amount_minor=amount,
                    original_minor=sale.amount_minor,
                    refunded_before_minor=0,
                    given_before=NOTHING,
                )
                found.append(given)
        return sum_priced(found)


class Tally:
    """The sums of one batch while its movements are priced, and what the month had sold by its first day."""

    def __init__(self, batch: Batch, agreement: Agreement, seller: Seller, volumes: dict[date, int]) -> None:
        self._batch = batch
        self._agreement = agreement
        self._seller = seller
        self.volumes = volumes
        self.held_minor = 0
        self._count = self._gross = self._refunds = self._disputes = self._adjustments = 0
        self._fees = self._tax = self._cost = self._agent = 0

    def sale(self, movement: Movement, schedule: Schedule) -> PricedMovement:
        """Price a sale and withhold its share of the reserve, rounded down."""
        priceable = self._priceable(movement)
        priced = schedule.price(priceable)
        month = priceable.on.replace(day=1)
        self.volumes[month] = priceable.volume_minor + movement.amount_minor
        reserve = movement.amount_minor * self._agreement.reserve_e6 // RATE_WHOLE
        return self._taken(movement, schedule, priced, reserve)

    def other(self, movement: Movement, schedule: Schedule, payment: Payment) -> PricedMovement:
        """Price anything else; ``payment`` is what it takes from or gives back to."""
        priced = schedule.price(self._priceable(movement))
        if movement.kind is MovementKind.REFUND:
            payment.refunds[movement.source_id] = priced
        if movement.kind is MovementKind.REFUND_FAILED:
            own = payment.refunds.get(movement.source_id, NOTHING)
            priced = sum_priced((priced, negated(own)))
        if movement.kind in _GOES_BACK:
            # Side by side, not summed: what the refund itself cost stays told apart from what it gave back.
            priced = priced_of((*priced.parts, *payment.returned(-movement.amount_minor).parts))
        return self._taken(movement, schedule, priced, 0)

    def totals(self, released_minor: int, brought_minor: int) -> Totals:
        """Return what everything so far adds up to, with what is released and what earlier batches carried on."""
        return Totals(
            count=self._count,
            gross_minor=self._gross,
            refunds_minor=self._refunds,
            disputes_minor=self._disputes,
            adjustments_minor=self._adjustments,
            fees_minor=-self._fees,
            reserve_held_minor=-self.held_minor,
            reserve_released_minor=released_minor,
            brought_minor=brought_minor,
            tax_minor=self._tax,
            cost_minor=self._cost,
            agent_minor=self._agent,
        )

    def _priceable(self, movement: Movement) -> Priceable:
        on = local_date(self._agreement, movement.occurred_at)
        return Priceable(
            kind=KIND_NAMES[movement.kind],
            amount_minor=abs(movement.amount_minor),
            currency=movement.currency,
            on=on,
            volume_minor=self.volumes.get(on.replace(day=1), 0),
            method=movement.method,
            channel=movement.channel,
            brand=movement.brand,
            funding=movement.funding,
            region=region_of(movement.card_country, self._seller.country),
            store=movement.store,
            package=self._seller.package,
            mcc=self._seller.mcc,
        )

    def _taken(
        self, movement: Movement, schedule: Schedule, priced: Priced, reserve_minor: int
    ) -> PricedMovement:
        amount = movement.amount_minor
        self._count += 1
        self._fees += priced.merchant_minor
        self._tax += priced.tax_minor
        self._cost += priced.house_minor
        self._agent += priced.agent_minor
        self.held_minor += reserve_minor
        if movement.kind is MovementKind.SALE:
            self._gross += amount
        elif movement.kind in _GOES_BACK:
            self._refunds += amount
        elif movement.kind in _DISPUTES:
            self._disputes += amount
        else:
            self._adjustments += amount
        return PricedMovement(
            movement_id=movement.id,
            book_id=movement.book_id,
            batch_id=self._batch.id,
            schedule=schedule.name,
            schedule_version=schedule.version,
            fee_minor=priced.merchant_minor,
            tax_minor=priced.tax_minor,
            cost_minor=priced.house_minor,
            agent_minor=priced.agent_minor,
            reserve_minor=reserve_minor,
            net_minor=amount - priced.merchant_minor - reserve_minor,
            parts=priced.parts,
        )


def negated(priced: Priced) -> Priced:
    """Return the opposite of what was charged."""
    return priced_of(
        [
            FeePart(part.name, part.bearer, -part.amount_minor, -part.tax_minor, part.tax_name, part.tax_e6)
            for part in priced.parts
        ]
    )


def own_cost(parts: Iterable[FeePart]) -> Priced:
    """Return what a priced refund itself cost: what it gave back stands beside it, with the other sign."""
    return priced_of([part for part in parts if part.amount_minor > 0])
