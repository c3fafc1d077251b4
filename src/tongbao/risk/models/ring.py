"""The ring of payments: the oldest leave when no window reaches them, or early where there is no more room."""

from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.layout import (
    DROPPED_EARLY,
    EVENT_AT,
    FIRST_SEQ,
    HORIZON_MS,
    KINDS,
    LABEL_WINDOW,
    LABEL_WINDOW_WIDTH,
    LABEL_WINDOWS,
    NEXT_SEQ,
    ROW,
    SPREE_KINDS,
    TAIL,
    UNRIPE,
    WINDOW,
    WINDOW_WIDTH,
    WINDOWS,
)
from tongbao.risk.models.layout import PEAK_FRONT as PEAK
from tongbao.risk.models.tables import Ints, strike
from tongbao.risk.models.windows import advance, expel

LONGEST = WINDOW + (WINDOWS - 1) * WINDOW_WIDTH + TAIL
LONGEST_LABELLED = LABEL_WINDOW + (LABEL_WINDOWS - 1) * LABEL_WINDOW_WIDTH + TAIL


@borrowing
def holds(entity: Ints, kind: int, seq: int) -> bool:
    """Return whether anything of an entity still points to its oldest payment."""
    if kind < SPREE_KINDS and entity[PEAK] == seq:
        return True
    return entity[UNRIPE] == seq or entity[LONGEST] == seq or entity[LONGEST_LABELLED] == seq  # type: ignore[no-any-return]  # a truth to native code


@borrowing
def drop_oldest(arena: Arena, now: int) -> None:
    """Let the oldest payment of all leave every window and the ring."""
    seq = arena.scalars[FIRST_SEQ]
    place = seq & (arena.events.shape[0] - 1)
    if arena.events[place, EVENT_AT] > now - HORIZON_MS:
        arena.scalars[DROPPED_EARLY] += 1
    for kind in range(KINDS):
        row = arena.links[place, ROW + kind]
        if row >= 0 and holds(arena.entities.rows[row], kind, seq):
            advance(arena, arena.entities.rows[row], arena.profiles[row], now)
            expel(arena, arena.entities.rows[row], seq)
    strike(arena.event_index, arena.events, place)
    arena.scalars[FIRST_SEQ] = seq + 1


@borrowing
def drop_through(arena: Arena, seq: int, now: int) -> None:
    """Let the oldest payments leave, up to and with one that may have left before."""
    while arena.scalars[FIRST_SEQ] <= seq:
        drop_oldest(arena, now)


@borrowing
def drop_old(arena: Arena, now: int) -> None:
    """Let payments leave that no window reaches."""
    mask = arena.events.shape[0] - 1
    while (
        arena.scalars[FIRST_SEQ] < arena.scalars[NEXT_SEQ]
        and arena.events[arena.scalars[FIRST_SEQ] & mask, EVENT_AT] <= now - HORIZON_MS
    ):
        drop_oldest(arena, now)
