"""Walking from a payment to the next and the previous one of the same entity."""

import numpy as np

from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.layout import FIRST_SEQ, PREVIOUS


@borrowing
def step(arena: Arena, seq: int, link: int) -> int:
    """Return the payment that a forward link of a payment leads to, -1 at the end."""
    distance = np.int64(arena.links[seq & (arena.events.shape[0] - 1), link])
    return seq + distance if distance > 0 else -1  # type: ignore[return-value]  # an int to native code


@borrowing
def step_back(arena: Arena, seq: int, kind: int) -> int:
    """Return the payment before this one of its entity of a kind, -1 where it is not kept any more."""
    distance = np.int64(arena.links[seq & (arena.events.shape[0] - 1), PREVIOUS + kind])
    before = seq - distance
    return before if distance > 0 and before >= arena.scalars[FIRST_SEQ] else -1  # type: ignore[return-value]  # likewise
