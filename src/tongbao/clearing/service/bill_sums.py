"""Sums of a bill: what its rows come to by currency, and what the estimates of unpriced movements add to them. No I/O."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from tongbao.clearing.schema.bills import BillTotal
from tongbao.clearing.schema.movements import Movement, MovementKind, PricedMovement
from tongbao.clearing.store.bills import TotalRow

OTHERS = "adjustments_minor"
SUMS = {
    MovementKind.SALE: "sales_minor",
    MovementKind.REFUND: "refunds_minor",
    MovementKind.REFUND_FAILED: "refunds_minor",
    MovementKind.DISPUTE: "disputes_minor",
    MovementKind.DISPUTE_WON: "disputes_minor",
}
"""Where movements are counted by their kind; the others are adjustments."""


def summed(rows: Iterable[TotalRow]) -> dict[str, BillTotal]:
    """Return the sums of rows by currency; what is not priced stands in them with its amounts alone."""
    found: dict[str, BillTotal] = {}
    for row in rows:
        total = found.get(row.currency) or BillTotal(currency=row.currency)
        found[row.currency] = _added(
            total,
            count=row.movement_count,
            amount_minor=row.amount_minor,
            fee_minor=row.fee_minor,
            tax_minor=row.tax_minor,
            reserve_minor=row.reserve_minor,
            open_count=0 if row.is_priced else row.movement_count,
            **{SUMS.get(row.kind, OTHERS): row.amount_minor},
        )
    return found


def add_estimates(
    to: dict[str, BillTotal], movements: Iterable[Movement], estimates: Mapping[UUID, PricedMovement]
) -> None:
    """Put the estimates of movements into sums that hold their amounts already."""
    more: dict[str, dict[str, int]] = {}
    for movement in movements:
        if (estimate := estimates.get(movement.id)) is not None:
            sums = more.setdefault(
                movement.currency, {"fee_minor": 0, "tax_minor": 0, "reserve_minor": 0, "estimated_count": 0}
            )
            sums["fee_minor"] += estimate.fee_minor
            sums["tax_minor"] += estimate.tax_minor
            sums["reserve_minor"] += estimate.reserve_minor
            sums["estimated_count"] += 1
    for currency, sums in more.items():
        to[currency] = _added(to[currency], **sums, open_count=-sums["estimated_count"])


def _added(total: BillTotal, **more: int) -> BillTotal:
    return msgspec.structs.replace(
        total, **{name: getattr(total, name) + value for name, value in more.items()}
    )
