"""What changes a feature state: a payment, the end of it, a proof, a label. Everything else only reads.

One payment costs a look-up per entity and pair and moves each window by what has left it since, so O(1) a payment over time.
"""

import numpy as np

from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.entities import NORMAL_RATIO, OUTLIER_RATIO, forget_idle, met_row, ratio_of, remember
from tongbao.risk.models.label_profile import relabel
from tongbao.risk.models.layout import (
    BIG,
    DECLINED,
    DECLINES,
    EVENT_AT,
    EVENT_FLAGS,
    EVENT_VALUE,
    EVENTS_MAX,
    FIRST_SEQ,
    FRAUD,
    HISTORY,
    HORIZON_MS,
    IN_AT,
    IN_ID,
    IN_KEYS,
    IN_VALUE,
    KEY_A,
    KEY_B,
    KINDS,
    NEWEST,
    NEXT,
    NEXT_SEQ,
    NORMAL,
    NOW,
    PAIRS,
    PREVIOUS,
    ROW,
    SERIAL,
    SPREE_KINDS,
    TAIL,
    USED,
    WINDOW,
    WINDOW_WIDTH,
    WINDOWS,
)
from tongbao.risk.models.native import native
from tongbao.risk.models.pairs import forget_idle_pairs, known_pair, meet, prove
from tongbao.risk.models.ring import drop_old, drop_oldest
from tongbao.risk.models.tables import Ints, enter, find
from tongbao.risk.models.windows import advance, push

CUSTOMER, CARD, DEVICE = 0, 1, 2


@borrowing
def need(arena: Arena) -> int:
    """Return what must grow before the next payment: 1 the ring, 2 entities, 4 pairs, added up."""
    kept = arena.scalars[NEXT_SEQ] - arena.scalars[FIRST_SEQ]
    answer = 1 if kept >= arena.events.shape[0] and kept < arena.scalars[EVENTS_MAX] else 0
    answer += 2 if arena.entities.meta[USED] + KINDS > arena.entities.rows.shape[0] else 0
    answer += 4 if arena.pairs.meta[USED] + PAIRS > arena.pairs.rows.shape[0] else 0
    return answer


@native
def learn(arena: Arena, incoming: Ints, latitude: float, longitude: float) -> int:
    """Fold a payment in and return what must grow before the next; one that is kept already changes nothing.

    A payment that is older than the last one counts as if it happened with the last one.
    """
    if find(arena.event_index, arena.events, incoming[IN_ID], incoming[IN_ID + 1]) >= 0:
        return need(arena)
    now = max(incoming[IN_AT], arena.scalars[NOW])
    arena.scalars[NOW] = now
    drop_old(arena, now)
    forget_idle_pairs(arena, now)
    forget_idle(arena, now)
    if arena.scalars[NEXT_SEQ] - arena.scalars[FIRST_SEQ] >= arena.events.shape[0]:
        drop_oldest(arena, now)
    rows = np.full(KINDS, -1, np.int64)
    for kind in range(KINDS):
        a, b = incoming[IN_KEYS + 2 * kind], incoming[IN_KEYS + 2 * kind + 1]
        if a != 0 or b != 0:
            rows[kind] = met_row(arena, kind, a, b, now)
    for kind in range(KINDS):
        if rows[kind] >= 0:
            advance(arena, arena.entities.rows[rows[kind]], arena.profiles[rows[kind]], now)
    seq = arena.scalars[NEXT_SEQ]
    marks = meet(arena, rows, incoming, seq, now)
    write(arena, rows, incoming, now, marks)
    for kind in range(KINDS):
        if rows[kind] >= 0:
            push(arena, arena.entities.rows[rows[kind]], seq)
            remember(arena, rows[kind], seq, latitude, longitude)
    return need(arena)


@borrowing
def write(arena: Arena, rows: Ints, incoming: Ints, now: int, marks: int) -> None:
    """Write a payment into the ring and link it to the last payment of each of its entities."""
    seq = arena.scalars[NEXT_SEQ]
    mask = arena.events.shape[0] - 1
    place = seq & mask
    event, links = arena.events[place], arena.links[place]
    event[KEY_A], event[KEY_B] = incoming[IN_ID], incoming[IN_ID + 1]
    event[EVENT_AT], event[EVENT_VALUE] = now, incoming[IN_VALUE]
    event[EVENT_FLAGS] = marks | amount_flags(arena, rows, incoming[IN_VALUE], place)
    links[:] = 0
    for kind in range(KINDS):
        links[ROW + kind] = rows[kind]
        if rows[kind] >= 0:
            before = arena.entities.rows[rows[kind], NEWEST]
            if before >= arena.scalars[FIRST_SEQ]:
                arena.links[before & mask, NEXT + kind] = seq - before
                links[PREVIOUS + kind] = seq - before
    arena.scalars[NEXT_SEQ] = seq + 1
    enter(arena.event_index, arena.events, place)


@borrowing
def amount_flags(arena: Arena, rows: Ints, value: int, place: int) -> int:
    """Return the flags of an amount and keep its ratios: far above the usual, or normal for whoever pays.

    The payer is the customer, or the card where the customer has no history; without any history nothing is normal.
    """
    flags, is_judged = 0, False
    for kind in range(SPREE_KINDS):
        ratio = 1.0
        if rows[kind] >= 0:
            ratio = ratio_of(arena.entities.rows[rows[kind]], arena.profiles[rows[kind]], value)
            if ratio > OUTLIER_RATIO:
                flags |= BIG << kind
            if not is_judged and arena.entities.rows[rows[kind], HISTORY] > 0:
                is_judged = True
                flags |= NORMAL if ratio <= NORMAL_RATIO else 0
        arena.ratios[place, kind] = ratio
    return flags


@borrowing
def seq_of(arena: Arena, a: int, b: int, at: int) -> int:
    """Return the number of a payment by its id, -1 where it is unknown or too old at ``at`` to matter to any window."""
    place = find(arena.event_index, arena.events, a, b)
    if place < 0 or arena.events[place, EVENT_AT] <= max(at, arena.scalars[NOW]) - HORIZON_MS:
        return -1
    first = arena.scalars[FIRST_SEQ]
    return first + ((place - first) & (arena.events.shape[0] - 1))  # type: ignore[no-any-return]  # an int


@borrowing
def label(arena: Arena, seq: int, is_fraud: bool) -> None:
    """Write down whether a kept payment was fraud, and tell its entities where that is new."""
    place = seq & (arena.events.shape[0] - 1)
    flags = arena.events[place, EVENT_FLAGS]
    if ((flags & FRAUD) != 0) == is_fraud:
        return
    arena.events[place, EVENT_FLAGS] = flags ^ FRAUD
    for kind in range(KINDS):
        row = arena.links[place, ROW + kind]
        if row >= 0:
            relabel(arena, arena.entities.rows[row], arena.profiles[row], seq)


@borrowing
def end(arena: Arena, seq: int, is_approved: bool) -> None:
    """Write down whether a kept payment was declined, and tell its entities where that is new."""
    place = seq & (arena.events.shape[0] - 1)
    flags = arena.events[place, EVENT_FLAGS]
    if ((flags & DECLINED) == 0) == is_approved:
        return
    arena.events[place, EVENT_FLAGS] = flags ^ DECLINED
    change = -1 if is_approved else 1
    for kind in range(KINDS):
        row = arena.links[place, ROW + kind]
        for window in range(WINDOWS):
            base = WINDOW + window * WINDOW_WIDTH
            if row >= 0 and 0 <= arena.entities.rows[row, base + TAIL] <= seq:
                arena.entities.rows[row, base + DECLINES] += change


@borrowing
def proved(arena: Arena, seq: int, is_passed: bool, at: int) -> None:
    """Count a strong authentication for the device of a kept payment with its card, or its customer where it has none."""
    place = seq & (arena.events.shape[0] - 1)
    card, device = arena.links[place, ROW + CARD], arena.links[place, ROW + DEVICE]
    payer = card if card >= 0 else arena.links[place, ROW + CUSTOMER]
    if payer < 0 or device < 0:
        return
    rows = arena.entities.rows
    pair = known_pair(arena, rows[payer, SERIAL], rows[device, SERIAL], at)
    if pair >= 0:
        prove(arena, pair, is_passed, at)
