"""What amounts of different currencies are worth beside each other, roughly, so that one table of costs fits them all.

Costs are written for a major unit like the euro's. A policy may say for any currency what one unit of it counts for; where
it says nothing, currencies with hundredths or thousandths count as they are, and those without (yen, won, dong) for a
hundredth: their unit is about what a cent is elsewhere. Exchange rates are another room's.
"""

from collections.abc import Mapping
from functools import lru_cache

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest

WITHOUT_HUNDREDTHS = 0.01


def counted(value: int, currency: str, worth: Mapping[str, float]) -> int:
    """Return ``value`` hundredths of a currency in the units of the costs; what is no currency counts as it is."""
    factor = worth.get(currency) or _by_itself(currency)
    return value if factor == 1.0 else round(value * factor)


@lru_cache(maxsize=512)
def _by_itself(currency: str) -> float:
    try:
        exponent = currencies.currency(currency).exponent
    except InvalidRequest:
        return 1.0
    return WITHOUT_HUNDREDTHS if exponent == 0 else 1.0
