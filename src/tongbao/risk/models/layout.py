"""Where each number of the feature state stands: columns of payments, entities and pairs, and of what is read from them.

Native functions index plain arrays, so every place is a constant here. Times are milliseconds since 1970, pointers to payments
are sequence numbers that are never used twice, -1 where there is none.
"""

import numpy as np

from tongbao.risk.models.registry import (
    DAY_S,
    DISTINCTS,
    HORIZON_S,
    LABEL_DELAY_S,
    LABEL_WINDOWS_S,
    WINDOWS_S,
    Pair,
)
from tongbao.risk.schema.signals import Entity

KINDS = len(Entity)
PAIRS = len(Pair)
DAY_MS = DAY_S * 1000
DELAY_MS = LABEL_DELAY_S * 1000
HORIZON_MS = HORIZON_S * 1000
WINDOWS = len(WINDOWS_S)
LABEL_WINDOWS = len(LABEL_WINDOWS_S)
WINDOW_MS = np.array(WINDOWS_S, np.int64) * 1000
LABEL_WINDOW_MS = np.array(LABEL_WINDOWS_S, np.int64) * 1000

# A payment as it comes in, int64. Keys of entities are two numbers each, both zero where unknown.
IN_ID, IN_AT, IN_VALUE, IN_CARD_COUNTRY, IN_MERCHANT_COUNTRY, IN_ADDRESS_COUNTRY, IN_SIGNS, IN_RECURRING = (
    0,
    *range(2, 9),
)
IN_KEYS = 9
IN_WIDTH = IN_KEYS + 2 * KINDS

# Rows of every table open with the key (two numbers) and, for entities and pairs, their place in the order of use.
KEY_A, KEY_B, OLDER, NEWER = 0, 1, 2, 3

# A payment as it is kept, int64.
EVENT_AT, EVENT_VALUE, EVENT_FLAGS = 2, 3, 4
EVENT_WIDTH = 5
# Flags of a payment.
FRAUD, DECLINED, NORMAL = 1, 2, 4  # normal: an amount that is usual for the payer
BIG = 8  # and 16: an amount far above the usual, for the customer and for the card
LATEST = 256  # and the bits above it: the latest payment of its pair
# Its links, int32: rows of its entities, steps to the next and the previous payment of each, steps between peaks.
ROW, NEXT, PREVIOUS, PEAK_NEXT, PEAK_PREVIOUS = 0, KINDS, 2 * KINDS, 3 * KINDS, 3 * KINDS + 2
LINK_WIDTH = 3 * KINDS + 4
SPREE_KINDS = 2
"""Customers and cards: entities of lower numbers keep the peaks of their ratios."""

# An entity, int64.
KIND, SERIAL, FIRST_AT, LAST_AT, NEWEST, HISTORY, VALUE_MAX, PLACE_AT = range(4, 12)
UNRIPE, LABELLED, STREAK, STREAK_AT, FRAUD_AT, CLEAN_AT, UNEXPLAINED_AT, DECAYED_AT = range(12, 20)
PEAK_FRONT, PEAK_BACK = 20, 21
DIFFERENT = 22  # and two more: numbers of different partners
DIFFERENT_MAX = 3
# A window without delay: its oldest payment, and exact sums.
WINDOW = DIFFERENT + DIFFERENT_MAX
TAIL, COUNT, SUM, DECLINES, BIGS, KNOWN_FRAUDS = range(6)
WINDOW_WIDTH = 6
# A window of labels: its oldest payment, and what is known.
LABEL_WINDOW = WINDOW + WINDOWS * WINDOW_WIDTH
MATURED, FRAUDS, UNEXPLAINED = 1, 2, 3
LABEL_WINDOW_WIDTH = 4
ENTITY_WIDTH = LABEL_WINDOW + LABEL_WINDOWS * LABEL_WINDOW_WIDTH
# Its means, float64.
USUAL, MEAN, SQUARES, DECAYED_FRAUD, DECAYED_COUNT, LATITUDE, LONGITUDE = range(7)
PROFILE_WIDTH = 7

# A pair, int64.
MET_AT, SEEN_AT, SEEN, MEETINGS, PROVED_AT = range(4, 9)
PAIR_WIDTH = 9

# Numbers of a whole state, int64.
NEXT_SEQ, FIRST_SEQ, NOW, SERIALS, IDLE_MS, EVENTS_MAX, DROPPED_EARLY = range(7)
SCALARS = 7
# Numbers of a table of entities or pairs, int64.
USED, FREE, OLDEST, YOUNGEST, LIVE, LIVE_MAX, EVICTED_EARLY = range(7)
META = 7

PAIR_SIDES = np.array(
    [
        [Entity.CUSTOMER, Entity.MERCHANT],
        [Entity.CARD, Entity.DEVICE],
        [Entity.CARD, Entity.MERCHANT],
        [Entity.CUSTOMER, Entity.DEVICE],
        [Entity.CUSTOMER, Entity.ADDRESS],
        [Entity.CUSTOMER, Entity.CARD],
        [Entity.CARD, Entity.ADDRESS],
        [Entity.CUSTOMER, Entity.BENEFICIARY],
        [Entity.CARD, -1],
    ],
    np.int64,
)
"""Shape (pairs, 2): the two kinds of each pair; -1 stands for the country that the payment comes from."""


def _different() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return shape (n, 4): kind, pair, place of the window, column, for each number of different partners."""
    seen: dict[Entity, int] = {}
    rows = []
    for distinct in DISTINCTS:
        column = seen.get(distinct.entity, 0)
        seen[distinct.entity] = column + 1
        rows.append([distinct.entity, distinct.pair, WINDOWS_S.index(distinct.window_s), column])
    return np.array(rows, np.int64)


DIFFERENTS = _different()
SPREE_WINDOW = WINDOWS_S.index(14 * DAY_S)
CARDS_PER_DEVICE = int(
    DIFFERENTS[(DIFFERENTS[:, 0] == Entity.DEVICE) & (DIFFERENTS[:, 1] == Pair.CARD_DEVICE)][0, 3]
)
