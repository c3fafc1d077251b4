"""Everything that can be read of a payment before it is known how it ends, as if it were the next event.

Nothing is changed: windows are brought to the payment's time on copies of the rows of its entities.
"""

import math

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models import layout, readout
from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.entities import begin, known_row, ratio_of
from tongbao.risk.models.geo import kilometers, mismatch, speed_kmh
from tongbao.risk.models.native import native
from tongbao.risk.models.pairs import different, known_pair, proofs_of, sides
from tongbao.risk.models.tables import Ints
from tongbao.risk.models.trust import device_trust
from tongbao.risk.models.windows import advance

Floats = NDArray[np.float64]

DAY_MS = float(layout.DAY_MS)
NEVER_D = 99.0
"""Days since what never happened, and the most days since anything that labels tell."""
GAP_S_MAX = 30 * 86_400.0
MAJOR_UNIT = 100.0
"""Hundredths; added to a standard deviation so that equal amounts do not make any other infinitely unusual."""
PRIOR_FRAUDS, PRIOR_PAYMENTS = 0.02, 2.0
"""A rate of fraud without evidence: 1 %, worth two payments."""
ROUND = 100 * 100
CUSTOMER, CARD, DEVICE = 0, 1, 2
CARD_DEVICE, CUSTOMER_DEVICE = 1, 3
BLOCK, READ_PAIRS, READ_PAYMENT = readout.BLOCK, readout.READ_PAIRS, readout.READ_PAYMENT


@native
def read(arena: Arena, incoming: Ints, latitude: float, longitude: float, out: Floats) -> None:
    """Write the reading of a payment into ``out``, shape (``READ_WIDTH``,): what ``models.readout`` says, NaN where unknown."""
    now = max(incoming[layout.IN_AT], arena.scalars[layout.NOW])
    out[:] = math.nan
    rows = np.full(layout.KINDS, -1, np.int64)
    copies = np.zeros((layout.KINDS, layout.ENTITY_WIDTH), np.int64)
    profile = np.zeros(layout.PROFILE_WIDTH)
    for kind in range(layout.KINDS):
        a, b = incoming[layout.IN_KEYS + 2 * kind], incoming[layout.IN_KEYS + 2 * kind + 1]
        if a == 0 and b == 0:
            continue
        row = known_row(arena, a, b, now)
        if row >= 0:
            copies[kind], profile[:] = arena.entities.rows[row], arena.profiles[row]
            advance(arena, copies[kind], profile, now)
        else:
            begin(copies[kind], profile, kind, now)
        rows[kind] = row
        block = out[kind * BLOCK : (kind + 1) * BLOCK]
        read_windows(copies[kind], incoming[layout.IN_VALUE], block)
        read_labels(copies[kind], profile, now, block)
        read_history(copies[kind], profile, incoming[layout.IN_VALUE], now, block)
        read_speed(copies[kind], profile, now, latitude, longitude, block)
        if kind < layout.SPREE_KINDS:
            read_spree(arena, copies[kind], block)
    read_pairs(arena, incoming, rows, copies, now, out)
    read_payment(incoming, now, out)


@borrowing
def read_windows(entity: Ints, value: int, block: Floats) -> None:
    """Read the windows without delay, this payment included."""
    for window in range(layout.WINDOWS):
        base = layout.WINDOW + window * layout.WINDOW_WIDTH
        earlier, declines = entity[base + layout.COUNT], entity[base + layout.DECLINES]
        block[readout.READ_COUNT + window] = earlier + 1
        block[readout.READ_SUM + window] = entity[base + layout.SUM] + value
        block[readout.READ_MEAN + window] = (entity[base + layout.SUM] + value) / (earlier + 1)
        block[readout.READ_DECLINES + window] = declines
        block[readout.READ_DECLINE_SHARE + window] = declines / earlier if earlier > 0 else 0.0
        block[readout.READ_KNOWN + window] = entity[base + layout.KNOWN_FRAUDS]


@borrowing
def read_labels(entity: Ints, profile: Floats, now: int, block: Floats) -> None:
    """Read what labels say."""
    for window in range(layout.LABEL_WINDOWS):
        base = layout.LABEL_WINDOW + window * layout.LABEL_WINDOW_WIDTH
        matured, frauds = entity[base + layout.MATURED], entity[base + layout.FRAUDS]
        block[readout.READ_MATURED + window] = matured
        block[readout.READ_FRAUD + window] = frauds
        block[readout.READ_RISK + window] = frauds / matured if matured > 0 else 0.0
        block[readout.READ_UNEXPLAINED + window] = entity[base + layout.UNEXPLAINED]
    block[readout.READ_STREAK] = entity[layout.STREAK]
    block[readout.READ_STREAK_AGE] = days_since(entity[layout.STREAK_AT], now)
    block[readout.READ_SINCE_FRAUD] = days_since(entity[layout.FRAUD_AT], now)
    block[readout.READ_SINCE_CLEAN] = days_since(entity[layout.CLEAN_AT], now)
    block[readout.READ_UNEXPLAINED_AGE] = days_since(entity[layout.UNEXPLAINED_AT], now)
    block[readout.READ_LABELLED] = entity[layout.LABELLED]
    block[readout.READ_DECAYED] = (profile[layout.DECAYED_FRAUD] + PRIOR_FRAUDS) / (
        profile[layout.DECAYED_COUNT] + PRIOR_PAYMENTS
    )


@borrowing
def days_since(at: int, now: int) -> float:
    """Return days, at most ``NEVER_D``, which also stands for never (a negative instant)."""
    return min((now - at) / DAY_MS, NEVER_D) if at >= 0 else NEVER_D


@borrowing
def read_history(entity: Ints, profile: Floats, value: int, now: int, block: Floats) -> None:
    """Read what an entity keeps for good, and how the amount compares."""
    count = entity[layout.HISTORY]
    block[readout.READ_AGE] = (now - entity[layout.FIRST_AT]) / DAY_MS
    block[readout.READ_HISTORY] = count
    block[readout.READ_GAP] = GAP_S_MAX
    if count == 0:
        return
    block[readout.READ_GAP] = min((now - entity[layout.LAST_AT]) / 1_000.0, GAP_S_MAX)
    spread = math.sqrt(max(profile[layout.SQUARES] - profile[layout.MEAN] * profile[layout.MEAN], 0.0))
    block[readout.READ_RATIO] = ratio_of(entity, profile, value)
    block[readout.READ_RATIO_MAX] = value / max(entity[layout.VALUE_MAX], 1)
    block[readout.READ_Z] = (value - profile[layout.MEAN]) / (spread + MAJOR_UNIT)
    block[readout.READ_USUAL] = profile[layout.USUAL]


@borrowing
def read_speed(
    entity: Ints, profile: Floats, now: int, latitude: float, longitude: float, block: Floats
) -> None:
    """Read how fast the payer would have come from the place of the last payment that told one."""
    if entity[layout.PLACE_AT] < 0 or math.isnan(latitude):
        return
    away = kilometers(profile[layout.LATITUDE], profile[layout.LONGITUDE], latitude, longitude)
    block[readout.READ_VELOCITY] = speed_kmh(away, now - entity[layout.PLACE_AT])


@borrowing
def read_spree(arena: Arena, entity: Ints, block: Floats) -> None:
    """Read whether earlier payments of two weeks were far above the usual amount."""
    base = layout.WINDOW + layout.SPREE_WINDOW * layout.WINDOW_WIDTH
    peak = entity[layout.PEAK_FRONT]
    block[readout.READ_SPREE_MAX] = 0.0
    if peak >= 0:
        block[readout.READ_SPREE_MAX] = arena.ratios[peak & (arena.events.shape[0] - 1), entity[layout.KIND]]
    block[readout.READ_SPREE_COUNT] = entity[base + layout.BIGS]
    block[readout.READ_SPREE_SHARE] = entity[base + layout.BIGS] / (entity[base + layout.COUNT] + 1)


@native
def read_pairs(arena: Arena, incoming: Ints, rows: Ints, copies: Ints, now: int, out: Floats) -> None:
    """Read since when and how often those who meet here have met, numbers of different partners, and trust."""
    pair_rows = np.full(layout.PAIRS, -1, np.int64)
    is_known = np.zeros(layout.PAIRS, np.bool_)
    for pair in range(layout.PAIRS):
        is_known[pair] = names_both(incoming, pair)
        if not is_known[pair]:
            continue
        one, other = sides(arena, pair, rows, incoming)
        if one != 0 and other != 0:
            pair_rows[pair] = known_pair(arena, one, other, now)
        row = pair_rows[pair]
        out[READ_PAIRS + 2 * pair] = arena.pairs.rows[row, layout.MEETINGS] if row >= 0 else 0
        out[READ_PAIRS + 2 * pair + 1] = (
            (now - arena.pairs.rows[row, layout.MET_AT]) / DAY_MS if row >= 0 else 0.0
        )
    for number in range(layout.DIFFERENTS.shape[0]):
        kind, pair = layout.DIFFERENTS[number, 0], layout.DIFFERENTS[number, 1]
        if names(incoming, kind):
            column = kind * BLOCK + readout.READ_DIFFERENT + layout.DIFFERENTS[number, 3]
            out[column] = different(arena, copies[kind], number, pair_rows[pair], is_known[pair])
    payer_device = CARD_DEVICE if names(incoming, CARD) else CUSTOMER_DEVICE
    if is_known[payer_device]:
        row = pair_rows[payer_device]
        acquainted_ms = now - arena.pairs.rows[row, layout.MET_AT] if row >= 0 else 0
        proofs = proofs_of(arena, row, now) if row >= 0 else 0.0
        cards = out[DEVICE * BLOCK + readout.READ_DIFFERENT + layout.CARDS_PER_DEVICE]
        out[readout.READ_TRUST] = device_trust(acquainted_ms, proofs, cards, incoming[layout.IN_SIGNS])


@borrowing
def names(incoming: Ints, kind: int) -> bool:
    """Return whether a payment names an entity of a kind."""
    return incoming[layout.IN_KEYS + 2 * kind] != 0 or incoming[layout.IN_KEYS + 2 * kind + 1] != 0  # type: ignore[no-any-return]  # a truth to native code


@borrowing
def names_both(incoming: Ints, pair: int) -> bool:
    """Return whether a payment names both sides of a pair."""
    kind, other = layout.PAIR_SIDES[pair, 0], layout.PAIR_SIDES[pair, 1]
    if other >= 0:
        return names(incoming, kind) and names(incoming, other)
    has_country = incoming[layout.IN_ADDRESS_COUNTRY] != 0 or incoming[layout.IN_MERCHANT_COUNTRY] != 0
    return names(incoming, kind) and has_country


@borrowing
def read_payment(incoming: Ints, now: int, out: Floats) -> None:
    """Read the payment itself, in the order of ``registry.PAYMENT_FEATURES``."""
    value, time_of_day = incoming[layout.IN_VALUE], now % layout.DAY_MS
    card, merchant = incoming[layout.IN_CARD_COUNTRY], incoming[layout.IN_MERCHANT_COUNTRY]
    address = incoming[layout.IN_ADDRESS_COUNTRY]
    out[READ_PAYMENT] = value
    out[READ_PAYMENT + 1] = 1.0 if value > 0 and value % ROUND == 0 else 0.0
    out[READ_PAYMENT + 2] = time_of_day / 3_600_000.0
    out[READ_PAYMENT + 3] = 1.0 if time_of_day < 7 * 3_600_000 else 0.0
    out[READ_PAYMENT + 4] = 1.0 if (now // layout.DAY_MS + 3) % 7 >= 5 else 0.0  # 1970 began on a Thursday
    out[READ_PAYMENT + 5] = incoming[layout.IN_RECURRING]
    out[READ_PAYMENT + 6] = mismatch(address, card)
    out[READ_PAYMENT + 7] = mismatch(address, merchant)
    out[READ_PAYMENT + 8] = mismatch(card, merchant)
    for sign in range(readout.SIGNS):
        shown = incoming[layout.IN_SIGNS] & (1 << sign)
        out[READ_PAYMENT + 9 + sign] = 1.0 if shown else 0.0
