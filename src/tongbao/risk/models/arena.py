"""The arrays that a feature state lives in, how they begin and how they grow.

Payments stand in a ring by sequence number; the ring, the entities and the pairs double until their limits. Memory per payment
is about 170 bytes, per entity 750, per pair 90, and up to twice that just after a doubling.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.layout import (
    ENTITY_WIDTH,
    EVENT_WIDTH,
    EVENTS_MAX,
    FIRST_SEQ,
    FREE,
    HORIZON_MS,
    IDLE_MS,
    KINDS,
    LINK_WIDTH,
    LIVE_MAX,
    META,
    NEXT_SEQ,
    OLDEST,
    PAIR_WIDTH,
    PAIRS,
    PROFILE_WIDTH,
    SCALARS,
    SPREE_KINDS,
    YOUNGEST,
)
from tongbao.risk.models.tables import Ints, Shorts, Table, enter, enter_all

FIRST_ROWS = 1_024
"""How much room there is at first; a power of two."""


class Limits(NamedTuple):
    """How much a state may hold. Beyond a limit the oldest leaves early, which is counted.

    ``events`` are payments (raised to the next power of two), ``entities`` and ``pairs`` those in memory at once.
    Entities and pairs that were unseen for ``idle_ms`` are as good as never seen; no less than the longest window.
    """

    events: int = 2**22
    entities: int = 2_000_000
    pairs: int = 8_000_000
    idle_ms: int = 180 * 86_400_000


class Arena(NamedTuple):
    """Everything a state knows, as native code sees it; columns are those of ``models.layout``.

    ``events``, ``links`` and ``ratios`` are rings over the same places; ``profiles`` stands beside the rows of ``entities``,
    ``proofs`` (strong authentications, decayed) beside those of ``pairs``.
    """

    scalars: Ints
    events: Ints
    links: Shorts
    ratios: NDArray[np.float64]
    event_index: Shorts
    entities: Table
    profiles: NDArray[np.float64]
    pairs: Table
    proofs: NDArray[np.float64]


def _table(rows: int, width: int, live_max: int) -> Table:
    meta = np.zeros(META, np.int64)
    meta[[FREE, OLDEST, YOUNGEST]] = -1
    meta[LIVE_MAX] = live_max
    return Table(np.zeros((rows, width), np.int64), np.zeros(2 * rows, np.int32), meta)


def empty(limits: Limits) -> Arena:
    """Return an empty state. Raise ``InvalidRequest`` ``feature_limits_invalid`` for limits that it could not keep."""
    if (
        limits.idle_ms < HORIZON_MS
        or limits.entities < 8 * KINDS
        or limits.pairs < 8 * PAIRS
        or limits.events < 1
    ):
        raise InvalidRequest("feature_limits_invalid", f"a feature state cannot keep within {limits}")
    scalars = np.zeros(SCALARS, np.int64)
    scalars[IDLE_MS] = limits.idle_ms
    scalars[EVENTS_MAX] = 1 << (limits.events - 1).bit_length()
    ring = min(FIRST_ROWS, int(scalars[EVENTS_MAX]))
    return Arena(
        scalars,
        np.zeros((ring, EVENT_WIDTH), np.int64),
        np.zeros((ring, LINK_WIDTH), np.int32),
        np.zeros((ring, SPREE_KINDS), np.float64),
        np.zeros(2 * ring, np.int32),
        _table(FIRST_ROWS, ENTITY_WIDTH, limits.entities),
        np.zeros((FIRST_ROWS, PROFILE_WIDTH), np.float64),
        _table(FIRST_ROWS, PAIR_WIDTH, limits.pairs),
        np.zeros(FIRST_ROWS, np.float64),
    )


def grown(arena: Arena, need: int) -> Arena:
    """Return the arena with room where ``need`` (the answer of ``folding.learn``) asks for it; the old one is spent."""
    if need & 1:
        arena = _with_larger_ring(arena)
    if need & 2:
        arena = arena._replace(entities=_larger(arena.entities), profiles=_doubled(arena.profiles))
    if need & 4:
        arena = arena._replace(pairs=_larger(arena.pairs), proofs=_doubled(arena.proofs))
    return arena


def _doubled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    larger = np.zeros((2 * values.shape[0], *values.shape[1:]), np.float64)
    larger[: values.shape[0]] = values
    return larger


def _larger(table: Table) -> Table:
    rows = np.zeros((2 * table.rows.shape[0], table.rows.shape[1]), np.int64)
    rows[: table.rows.shape[0]] = table.rows
    index = np.zeros(2 * rows.shape[0], np.int32)
    enter_all(index, rows, int(table.meta[YOUNGEST]))
    return Table(rows, index, table.meta)


def _with_larger_ring(arena: Arena) -> Arena:
    first, after = int(arena.scalars[FIRST_SEQ]), int(arena.scalars[NEXT_SEQ])
    sequence = np.arange(first, after)
    before = sequence & (arena.events.shape[0] - 1)
    return with_ring(arena, first, arena.events[before], arena.links[before], arena.ratios[before])


def with_ring(arena: Arena, first: int, events: Ints, links: Shorts, ratios: NDArray[np.float64]) -> Arena:
    """Return the arena with a ring of twice these payments or more, the first of which has the number ``first``."""
    size = max(FIRST_ROWS, 1 << (2 * len(events) - 1).bit_length()) if len(events) else FIRST_ROWS
    size = min(size, int(arena.scalars[EVENTS_MAX]))
    places = (first + np.arange(len(events))) & (size - 1)
    ring = arena._replace(
        events=np.zeros((size, EVENT_WIDTH), np.int64),
        links=np.zeros((size, LINK_WIDTH), np.int32),
        ratios=np.zeros((size, SPREE_KINDS), np.float64),
        event_index=np.zeros(2 * size, np.int32),
    )
    ring.events[places], ring.links[places], ring.ratios[places] = events, links, ratios
    for place in places:
        enter(ring.event_index, ring.events, int(place))
    return ring
