"""Whose money a line is: shares of merchants in what a channel paid. Pure; every split sums exactly."""

from collections.abc import Sequence

from tongbao.clearing.policy.house_postings import Paid
from tongbao.core.money import Money

MERCHANTS_MAX = 10_000
"""So many merchants may share one line: the total of a day."""


def shared(paid: Paid, currency: str, books: Sequence[tuple[int, int]]) -> dict[int, Paid]:
    """Return what a line pays to each book; ``books``: each with the amount of its movements, minor units.

    Of several the amounts are theirs (they come to the line), and its cost goes by the size of the amounts.
    """
    if len(books) == 1:
        return {books[0][0]: paid}
    sizes = [abs(amount_minor) for _, amount_minor in books]
    fees = Money(paid.fee_minor, currency).allocate(sizes if any(sizes) else [1] * len(sizes))
    return {
        book_id: Paid(amount_minor, fee.amount_minor)
        for (book_id, amount_minor), fee in zip(books, fees, strict=True)
    }
