"""What prices know of merchants: country, package and category, as whoever keeps the merchants tells them.

See ``pricing.Sellers``. What is told is remembered for ``SELLER_LIFE``: so soon a merchant's new package counts.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.clearing.policy.pricing import Seller
from tongbao.core.clock import Clock
from tongbao.core.errors import NotFound

SELLERS_MAX = 50_000
SELLER_LIFE = timedelta(minutes=1)


class Known(NamedTuple):
    """What is known of a merchant: ISO 3166 country, name of its package, merchant category code."""

    country: str
    package: str
    mcc: str


Ask = Callable[[int], Awaitable[Known]]
"""Returns what is known of the merchant whose book it is; raises NotFound for a book of nobody."""


class KnownSellers:
    """Merchants as prices see them. One object per process."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._found: dict[int, tuple[datetime, Seller]] = {}

    async def seller(self, book_id: int) -> Seller:
        """Return what is known of a merchant; of the book of nobody (the house's own) nothing is."""
        now = self._clock.now()
        found = self._found.get(book_id)
        if found is not None and now - found[0] < SELLER_LIFE:
            return found[1]
        try:
            seller = Seller(*await self._ask(book_id))
        except NotFound:
            seller = Seller()
        if len(self._found) >= SELLERS_MAX:
            self._found.clear()
        self._found[book_id] = (now, seller)
        return seller
