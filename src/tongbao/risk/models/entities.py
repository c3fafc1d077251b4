"""The life of an entity: how it begins, what it keeps of a payment beyond windows, when it is forgotten."""

import math

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.layout import (
    CLEAN_AT,
    EVENT_AT,
    EVENT_VALUE,
    EVICTED_EARLY,
    FIRST_AT,
    FRAUD_AT,
    HISTORY,
    IDLE_MS,
    KIND,
    LABEL_WINDOW,
    LABEL_WINDOW_WIDTH,
    LABEL_WINDOWS,
    LAST_AT,
    LATITUDE,
    LIVE,
    LIVE_MAX,
    LONGITUDE,
    MEAN,
    NEWEST,
    OLDEST,
    PEAK_BACK,
    PEAK_FRONT,
    PLACE_AT,
    SERIAL,
    SERIALS,
    SQUARES,
    STREAK_AT,
    TAIL,
    UNEXPLAINED_AT,
    UNRIPE,
    USUAL,
    VALUE_MAX,
    WINDOW,
    WINDOW_WIDTH,
    WINDOWS,
)
from tongbao.risk.models.ring import drop_through
from tongbao.risk.models.tables import Ints, find, give_back, link, take, unlink

Floats = NDArray[np.float64]

OUTLIER_RATIO = 2.5
"""An amount above this multiple of the usual one is unusual, and moves the usual one by no more than this multiple."""
NORMAL_RATIO = 2.0
"""An amount of at most this multiple is normal. A fraud of a normal amount tells against the merchant rather than the payer.

No limit in money is needed, so it holds in every currency: on the Handbook's stream it takes 98 % of the frauds of rogue
terminals for unexplained, and 2 % of the frauds by amount, where 2.5 would take 68 %."""
TRUSTED_HISTORY = 3
"""So many payments set what is usual before outliers are cut."""
TINY = 1e-7


@borrowing
def begin(entity: Ints, profile: Floats, kind: int, at: int) -> None:
    """Make a row of zeros, but for its key, an entity that has just been met."""
    entity[KIND], entity[FIRST_AT], entity[LAST_AT] = kind, at, at
    entity[NEWEST], entity[UNRIPE], entity[PEAK_FRONT], entity[PEAK_BACK] = -1, -1, -1, -1
    entity[STREAK_AT], entity[FRAUD_AT], entity[CLEAN_AT], entity[UNEXPLAINED_AT] = -1, -1, -1, -1
    for window in range(WINDOWS):
        entity[WINDOW + window * WINDOW_WIDTH + TAIL] = -1
    for window in range(LABEL_WINDOWS):
        entity[LABEL_WINDOW + window * LABEL_WINDOW_WIDTH + TAIL] = -1
    entity[PLACE_AT] = -1
    profile[:] = 0.0
    profile[LATITUDE], profile[LONGITUDE] = math.nan, math.nan


@borrowing
def known_row(arena: Arena, a: int, b: int, now: int) -> int:
    """Return the row of an entity that was seen within the idle time, -1 otherwise."""
    row = find(arena.entities.places, arena.entities.rows, a, b)
    if row >= 0 and now - arena.entities.rows[row, LAST_AT] > arena.scalars[IDLE_MS]:
        return -1
    return row


@borrowing
def met_row(arena: Arena, kind: int, a: int, b: int, now: int) -> int:
    """Return the row of an entity, the youngest from now on; a new one where it was unknown."""
    row = find(arena.entities.places, arena.entities.rows, a, b)
    if row >= 0:
        unlink(arena.entities, row)
        link(arena.entities, row)
        return row
    if arena.entities.meta[LIVE] >= arena.entities.meta[LIVE_MAX]:
        forget_oldest(arena, now)
        arena.entities.meta[EVICTED_EARLY] += 1
    row = take(arena.entities, a, b)
    begin(arena.entities.rows[row], arena.profiles[row], kind, now)
    arena.scalars[SERIALS] += 1
    arena.entities.rows[row, SERIAL] = arena.scalars[SERIALS]
    return row


@borrowing
def forget_oldest(arena: Arena, now: int) -> None:
    """Forget the entity that was unseen for longest; its payments, older than all others' newest, leave with it."""
    row = arena.entities.meta[OLDEST]
    drop_through(arena, arena.entities.rows[row, NEWEST], now)
    give_back(arena.entities, row)


@borrowing
def forget_idle(arena: Arena, now: int) -> None:
    """Forget entities that were unseen for the idle time; their payments have left long before."""
    row = arena.entities.meta[OLDEST]
    while row >= 0 and now - arena.entities.rows[row, LAST_AT] > arena.scalars[IDLE_MS]:
        forget_oldest(arena, now)
        row = arena.entities.meta[OLDEST]


@borrowing
def ratio_of(entity: Ints, profile: Floats, value: int) -> float:
    """Return an amount over the usual amount of an entity; 1 where it has no history."""
    return value / (profile[USUAL] + TINY) if entity[HISTORY] > 0 else 1.0


@borrowing
def remember(arena: Arena, row: int, seq: int, latitude: float, longitude: float) -> None:
    """Take a payment into what an entity keeps for good: means, highest amount, times and its last place."""
    entity, profile = arena.entities.rows[row], arena.profiles[row]
    event = arena.events[seq & (arena.events.shape[0] - 1)]
    value, count = event[EVENT_VALUE], entity[HISTORY]
    tamed = float(value)
    if count >= TRUSTED_HISTORY:
        tamed = min(tamed, OUTLIER_RATIO * profile[USUAL])
    profile[USUAL] = (profile[USUAL] * count + tamed) / (count + 1)
    profile[MEAN] = (profile[MEAN] * count + value) / (count + 1)
    profile[SQUARES] = (profile[SQUARES] * count + float(value) * value) / (count + 1)
    entity[VALUE_MAX] = max(entity[VALUE_MAX], value)
    entity[HISTORY] = count + 1
    entity[LAST_AT] = event[EVENT_AT]
    entity[NEWEST] = seq
    if not math.isnan(latitude):
        profile[LATITUDE], profile[LONGITUDE] = latitude, longitude
        entity[PLACE_AT] = event[EVENT_AT]
