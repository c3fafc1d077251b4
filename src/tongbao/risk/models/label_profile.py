"""What labels say of an entity: windows of known fraud, the present row of frauds, a decayed rate.

A payment counts once it is ``LABEL_DELAY_S`` old, with what is known of it by then; until then nobody would know of its fraud,
and counting it as clean would teach that young payments are safe. A label that comes later, or is taken back, is
put in where it belongs, so that windows and rows of frauds are what they would be had it come in time.
"""

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.chains import step, step_back
from tongbao.risk.models.layout import (
    CLEAN_AT,
    DECAYED_AT,
    DECAYED_COUNT,
    DECAYED_FRAUD,
    EVENT_AT,
    EVENT_FLAGS,
    FRAUD,
    FRAUD_AT,
    FRAUDS,
    KIND,
    KNOWN_FRAUDS,
    LABEL_WINDOW,
    LABEL_WINDOW_WIDTH,
    LABEL_WINDOWS,
    LABELLED,
    MATURED,
    NEWEST,
    NEXT,
    NORMAL,
    STREAK,
    STREAK_AT,
    TAIL,
    UNEXPLAINED,
    UNEXPLAINED_AT,
    UNRIPE,
    WINDOW,
    WINDOW_WIDTH,
    WINDOWS,
)
from tongbao.risk.models.tables import Ints

Floats = NDArray[np.float64]

HALF_LIFE_MS = 7 * 86_400_000
"""Of the decayed rate of fraud."""
EPISODE_MS = 28 * 86_400_000
"""A row of unexplained frauds that goes on for longer is a new one, so that its age keeps telling something."""


@borrowing
def ripen(arena: Arena, entity: Ints, profile: Floats, seq: int) -> None:
    """Count a payment that has become old enough, the next in line of its entity."""
    mask = arena.events.shape[0] - 1
    at, flags = arena.events[seq & mask, EVENT_AT], arena.events[seq & mask, EVENT_FLAGS]
    for window in range(LABEL_WINDOWS):
        base = LABEL_WINDOW + window * LABEL_WINDOW_WIDTH
        entity[base + MATURED] += 1
        if flags & FRAUD:
            entity[base + FRAUDS] += 1
            entity[base + UNEXPLAINED] += 1 if flags & NORMAL else 0
    entity[LABELLED] += 1
    weight = 0.5 ** ((at - entity[DECAYED_AT]) / HALF_LIFE_MS)
    profile[DECAYED_FRAUD] = profile[DECAYED_FRAUD] * weight + (1.0 if flags & FRAUD else 0.0)
    profile[DECAYED_COUNT] = profile[DECAYED_COUNT] * weight + 1.0
    entity[DECAYED_AT] = at
    if flags & FRAUD:
        entity[FRAUD_AT] = at
        lengthen(entity, at, flags)
    else:
        entity[CLEAN_AT] = at
        entity[STREAK], entity[STREAK_AT], entity[UNEXPLAINED_AT] = 0, -1, -1


@borrowing
def lengthen(entity: Ints, at: int, flags: int) -> None:
    """Add a fraud to the present row of frauds."""
    if entity[STREAK] == 0:
        entity[STREAK_AT] = at
    entity[STREAK] += 1
    if flags & NORMAL and (entity[UNEXPLAINED_AT] < 0 or at - entity[UNEXPLAINED_AT] > EPISODE_MS):
        entity[UNEXPLAINED_AT] = at


@borrowing
def relabel(arena: Arena, entity: Ints, profile: Floats, seq: int) -> None:
    """Put right what an entity knows after the label of one of its payments, kept and just rewritten, has changed."""
    mask = arena.events.shape[0] - 1
    at, flags = arena.events[seq & mask, EVENT_AT], arena.events[seq & mask, EVENT_FLAGS]
    change = 1 if flags & FRAUD else -1
    for window in range(WINDOWS):
        base = WINDOW + window * WINDOW_WIDTH
        if 0 <= entity[base + TAIL] <= seq:
            entity[base + KNOWN_FRAUDS] += change
    if 0 <= entity[UNRIPE] <= seq:
        return
    for window in range(LABEL_WINDOWS):
        base = LABEL_WINDOW + window * LABEL_WINDOW_WIDTH
        if 0 <= entity[base + TAIL] <= seq:
            entity[base + FRAUDS] += change
            entity[base + UNEXPLAINED] += change if flags & NORMAL else 0
    weight = 0.5 ** ((entity[DECAYED_AT] - at) / HALF_LIFE_MS)
    profile[DECAYED_FRAUD] = max(profile[DECAYED_FRAUD] + change * weight, 0.0)
    tell_again(arena, entity, at, change > 0)


@borrowing
def tell_again(arena: Arena, entity: Ints, at: int, is_fraud: bool) -> None:
    """Find the present row of frauds anew, from the youngest payment that counts back to the last clean one.

    Takes as long as that row, or as the way back to a fraud before the one that was taken back. Where the
    row began before the oldest payment that is kept, it is told from there.
    """
    mask, kind = arena.events.shape[0] - 1, entity[KIND]
    last = entity[NEWEST] if entity[UNRIPE] < 0 else step_back(arena, entity[UNRIPE], kind)
    seq, start = last, last
    while seq >= 0 and arena.events[seq & mask, EVENT_FLAGS] & FRAUD:
        start = seq
        seq = step_back(arena, seq, kind)
    if seq >= 0:
        entity[CLEAN_AT] = arena.events[seq & mask, EVENT_AT]
    elif entity[CLEAN_AT] >= arena.events[start & mask, EVENT_AT]:
        entity[CLEAN_AT] = -1
    if is_fraud:
        entity[FRAUD_AT] = max(entity[FRAUD_AT], at)
    elif at >= entity[FRAUD_AT]:
        entity[FRAUD_AT] = last_fraud(arena, last, kind)
    entity[STREAK], entity[STREAK_AT], entity[UNEXPLAINED_AT] = 0, -1, -1
    seq = start if seq != start else -1
    while seq >= 0:
        lengthen(entity, arena.events[seq & mask, EVENT_AT], arena.events[seq & mask, EVENT_FLAGS])
        seq = step(arena, seq, NEXT + kind) if seq != last else -1


@borrowing
def last_fraud(arena: Arena, seq: int, kind: int) -> int:
    """Return when the youngest known fraud happened, from a payment of an entity backwards; -1 where none is kept."""
    mask = arena.events.shape[0] - 1
    while seq >= 0 and not arena.events[seq & mask, EVENT_FLAGS] & FRAUD:
        seq = step_back(arena, seq, kind)
    return arena.events[seq & mask, EVENT_AT] if seq >= 0 else -1
