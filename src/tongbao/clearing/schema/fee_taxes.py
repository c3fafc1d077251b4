"""Taxes of fees: what stands of each within several charges, and a rate as people write it. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple, Protocol

BPS_E6 = 100
"""Millionths in a basis point."""


class Taxed(Protocol):
    """Anything that holds tax: a part of a fee, a line of an invoice."""

    @property
    def amount_minor(self) -> int:
        """The amount with its tax, minor units."""

    @property
    def tax_minor(self) -> int:
        """The tax within it."""

    @property
    def tax_name(self) -> str:
        """Name of the tax; empty where there is none, or nobody told."""

    @property
    def tax_e6(self) -> int:
        """Rate in millionths; 0 likewise."""


class Tax(NamedTuple):
    """One tax, minor units: ``net_minor`` is what it was taken of, ``amount_minor`` what it came to."""

    name: str
    rate_e6: int
    net_minor: int
    amount_minor: int


def taxes(items: Iterable[Taxed]) -> tuple[Tax, ...]:
    """Return the taxes within some charges, by name and rate; charges without one are left out."""
    sums: dict[tuple[str, int], tuple[int, int]] = {}
    for item in items:
        if item.tax_e6 or item.tax_minor:
            net, tax = sums.get((item.tax_name, item.tax_e6), (0, 0))
            sums[item.tax_name, item.tax_e6] = (
                net + item.amount_minor - item.tax_minor,
                tax + item.tax_minor,
            )
    return tuple(Tax(*key, *sums[key]) for key in sorted(sums))


def rate_bps(rate_e6: int) -> int | None:
    """Return a rate in basis points; None where it is no whole number of them."""
    bps, rest = divmod(rate_e6, BPS_E6)
    return None if rest else bps


def rate_text(rate_e6: int) -> str:
    """Return a rate as ``6%`` or ``2.275%``."""
    return f"{(Decimal(rate_e6) / 10_000).normalize():f}%"
