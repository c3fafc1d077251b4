"""Exact windows over chains of payments: each window is a pointer to its oldest payment and sums of whole numbers.

Payments stand once in a ring and are linked per entity, so no entity overflows and nothing is sampled. Time only moves the
pointers, which is why ``advance`` gives the same whether it is called at every payment or once a month.
"""

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.chains import step
from tongbao.risk.models.label_profile import ripen
from tongbao.risk.models.layout import (
    BIG,
    BIGS,
    COUNT,
    DECLINED,
    DECLINES,
    DELAY_MS,
    DIFFERENT,
    DIFFERENTS,
    EVENT_AT,
    EVENT_FLAGS,
    EVENT_VALUE,
    FRAUD,
    FRAUDS,
    KIND,
    KNOWN_FRAUDS,
    LABEL_WINDOW,
    LABEL_WINDOW_MS,
    LABEL_WINDOW_WIDTH,
    LABEL_WINDOWS,
    LATEST,
    MATURED,
    NEXT,
    NORMAL,
    PEAK_BACK,
    PEAK_FRONT,
    PEAK_NEXT,
    PEAK_PREVIOUS,
    SPREE_KINDS,
    SPREE_WINDOW,
    SUM,
    TAIL,
    UNEXPLAINED,
    UNRIPE,
    WINDOW,
    WINDOW_MS,
    WINDOW_WIDTH,
    WINDOWS,
)
from tongbao.risk.models.tables import Ints

Floats = NDArray[np.float64]


@borrowing
def leave(arena: Arena, entity: Ints, window: int, seq: int) -> None:
    """Take the oldest payment out of a window without delay."""
    mask = arena.events.shape[0] - 1
    kind, base = entity[KIND], WINDOW + window * WINDOW_WIDTH
    flags = arena.events[seq & mask, EVENT_FLAGS]
    entity[base + COUNT] -= 1
    entity[base + SUM] -= arena.events[seq & mask, EVENT_VALUE]
    entity[base + DECLINES] -= 1 if flags & DECLINED else 0
    entity[base + KNOWN_FRAUDS] -= 1 if flags & FRAUD else 0
    if kind < SPREE_KINDS:
        entity[base + BIGS] -= 1 if flags & (BIG << kind) else 0
    for number in range(DIFFERENTS.shape[0]):
        if (
            DIFFERENTS[number, 0] == kind
            and DIFFERENTS[number, 2] == window
            and flags & (LATEST << DIFFERENTS[number, 1])
        ):
            entity[DIFFERENT + DIFFERENTS[number, 3]] -= 1
    entity[base + TAIL] = step(arena, seq, NEXT + kind)


@borrowing
def leave_labelled(arena: Arena, entity: Ints, window: int, seq: int) -> None:
    """Take the oldest payment out of a window of labels."""
    base = LABEL_WINDOW + window * LABEL_WINDOW_WIDTH
    flags = arena.events[seq & (arena.events.shape[0] - 1), EVENT_FLAGS]
    entity[base + MATURED] -= 1
    if flags & FRAUD:
        entity[base + FRAUDS] -= 1
        entity[base + UNEXPLAINED] -= 1 if flags & NORMAL else 0
    entity[base + TAIL] = step(arena, seq, NEXT + entity[KIND])


@borrowing
def advance(arena: Arena, entity: Ints, profile: Floats, now: int) -> None:
    """Bring the windows of an entity to ``now``: what is too old leaves, what is old enough is asked for its label."""
    mask = arena.events.shape[0] - 1
    for window in range(WINDOWS):
        oldest = entity[WINDOW + window * WINDOW_WIDTH + TAIL]
        while oldest >= 0 and arena.events[oldest & mask, EVENT_AT] <= now - WINDOW_MS[window]:
            leave(arena, entity, window, oldest)
            oldest = entity[WINDOW + window * WINDOW_WIDTH + TAIL]
    young = entity[UNRIPE]
    while young >= 0 and arena.events[young & mask, EVENT_AT] <= now - DELAY_MS:
        ripen(arena, entity, profile, young)
        young = step(arena, young, NEXT + entity[KIND])
        entity[UNRIPE] = young
    for window in range(LABEL_WINDOWS):
        oldest = entity[LABEL_WINDOW + window * LABEL_WINDOW_WIDTH + TAIL]
        while (
            oldest >= 0
            and oldest != young
            and arena.events[oldest & mask, EVENT_AT] <= now - DELAY_MS - LABEL_WINDOW_MS[window]
        ):
            leave_labelled(arena, entity, window, oldest)
            oldest = entity[LABEL_WINDOW + window * LABEL_WINDOW_WIDTH + TAIL]
    if entity[KIND] < SPREE_KINDS:
        peak = entity[PEAK_FRONT]
        while peak >= 0 and arena.events[peak & mask, EVENT_AT] <= now - WINDOW_MS[SPREE_WINDOW]:
            peak = step(arena, peak, PEAK_NEXT + entity[KIND])
        entity[PEAK_FRONT] = peak


@borrowing
def push(arena: Arena, entity: Ints, seq: int) -> None:
    """Put a payment, already linked, into every window of an entity that has been brought to its time."""
    mask = arena.events.shape[0] - 1
    value, flags, kind = (
        arena.events[seq & mask, EVENT_VALUE],
        arena.events[seq & mask, EVENT_FLAGS],
        entity[KIND],
    )
    for window in range(WINDOWS):
        base = WINDOW + window * WINDOW_WIDTH
        if entity[base + TAIL] < 0:
            entity[base + TAIL] = seq
        entity[base + COUNT] += 1
        entity[base + SUM] += value
        if kind < SPREE_KINDS:
            entity[base + BIGS] += 1 if flags & (BIG << kind) else 0
    if entity[UNRIPE] < 0:
        entity[UNRIPE] = seq
    for window in range(LABEL_WINDOWS):
        base = LABEL_WINDOW + window * LABEL_WINDOW_WIDTH
        if entity[base + TAIL] < 0:
            entity[base + TAIL] = seq
    for number in range(DIFFERENTS.shape[0]):
        if DIFFERENTS[number, 0] == kind and flags & (LATEST << DIFFERENTS[number, 1]):
            entity[DIFFERENT + DIFFERENTS[number, 3]] += 1
    if kind < SPREE_KINDS:
        push_peak(arena, entity, seq)


@borrowing
def push_peak(arena: Arena, entity: Ints, seq: int) -> None:
    """Enter a payment among the peaks of its entity: falling ratios, of which the first is the highest in the window."""
    mask, kind = arena.events.shape[0] - 1, entity[KIND]
    ratio = arena.ratios[seq & mask, kind]
    front, back = entity[PEAK_FRONT], entity[PEAK_BACK]
    while front >= 0 and back >= front and arena.ratios[back & mask, kind] <= ratio:
        back = back - arena.links[back & mask, PEAK_PREVIOUS + kind] if back > front else -1
    if front < 0 or back < front:
        entity[PEAK_FRONT] = seq
    else:
        arena.links[back & mask, PEAK_NEXT + kind] = seq - back
        arena.links[seq & mask, PEAK_PREVIOUS + kind] = seq - back
    entity[PEAK_BACK] = seq


@borrowing
def expel(arena: Arena, entity: Ints, seq: int) -> None:
    """Take the oldest payment of all out of every window that still holds it: it leaves the ring before its time."""
    kind = entity[KIND]
    for window in range(WINDOWS):
        if entity[WINDOW + window * WINDOW_WIDTH + TAIL] == seq:
            leave(arena, entity, window, seq)
    after = step(arena, seq, NEXT + kind)
    for window in range(LABEL_WINDOWS):
        base = LABEL_WINDOW + window * LABEL_WINDOW_WIDTH
        if entity[base + TAIL] == seq:
            if entity[UNRIPE] == seq:
                entity[base + TAIL] = after
            else:
                leave_labelled(arena, entity, window, seq)
    if entity[UNRIPE] == seq:
        entity[UNRIPE] = after
    if kind < SPREE_KINDS and entity[PEAK_FRONT] == seq:
        entity[PEAK_FRONT] = step(arena, seq, PEAK_NEXT + kind)
