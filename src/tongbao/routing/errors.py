"""What can go wrong in routing.

::

    Conflict
    └── NoChannel       rules and caps leave no channel for a payment
"""

from collections.abc import Sequence

from tongbao.core.errors import Conflict


class NoChannel(Conflict):
    """Rules and caps leave no channel."""

    def __init__(self, payment: str, candidates: Sequence[str]) -> None:
        super().__init__(
            "no_channel_left",
            f"rules and caps leave none of {', '.join(candidates)} for {payment}",
            payment_intent=payment,
            candidates=list(candidates),
        )
