"""Two that meet in payments: since when, how often, when last; and from that, exact numbers of different partners.

The latest payment of a pair carries a mark. A window of one side counts marks, so a partner is counted once, and leaves the
count when its latest payment leaves the window.
"""

from tongbao.risk.models.arena import Arena
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.layout import (
    DIFFERENT,
    DIFFERENTS,
    EVENT_FLAGS,
    EVICTED_EARLY,
    FIRST_SEQ,
    IDLE_MS,
    IN_ADDRESS_COUNTRY,
    IN_MERCHANT_COUNTRY,
    LATEST,
    LIVE,
    LIVE_MAX,
    MEETINGS,
    MET_AT,
    OLDEST,
    PAIR_SIDES,
    PAIRS,
    PROVED_AT,
    SEEN,
    SEEN_AT,
    SERIAL,
    TAIL,
    WINDOW,
    WINDOW_WIDTH,
)
from tongbao.risk.models.ring import drop_through
from tongbao.risk.models.tables import Ints, find, give_back, link, take, unlink
from tongbao.risk.models.trust import faded

PROOF_FAILED_SHARE = 0.5
"""What remains of a pair's proofs after one that failed."""


@borrowing
def sides(arena: Arena, pair: int, rows: Ints, incoming: Ints) -> tuple[int, int]:
    """Return the serial numbers of both sides of a pair in a payment, 0 for one that is unknown or new.

    ``rows`` are the payment's entities by kind, negative where there is none. Countries stand as negative numbers.
    """
    kind, other = PAIR_SIDES[pair, 0], PAIR_SIDES[pair, 1]
    one = arena.entities.rows[rows[kind], SERIAL] if rows[kind] >= 0 else 0
    if other >= 0:
        return one, arena.entities.rows[rows[other], SERIAL] if rows[other] >= 0 else 0
    country = incoming[IN_ADDRESS_COUNTRY]
    return one, -country if country != 0 else -incoming[IN_MERCHANT_COUNTRY]


@borrowing
def known_pair(arena: Arena, one: int, other: int, now: int) -> int:
    """Return the row of a pair that was seen within the idle time, -1 otherwise."""
    row = find(arena.pairs.places, arena.pairs.rows, one, other)
    if row >= 0 and now - arena.pairs.rows[row, SEEN_AT] > arena.scalars[IDLE_MS]:
        return -1
    return row


@borrowing
def met_pair(arena: Arena, one: int, other: int, now: int) -> int:
    """Return the row of a pair, the youngest from now on; a new one where it was unknown."""
    row = find(arena.pairs.places, arena.pairs.rows, one, other)
    if row >= 0:
        unlink(arena.pairs, row)
        link(arena.pairs, row)
        return row
    if arena.pairs.meta[LIVE] >= arena.pairs.meta[LIVE_MAX]:
        oldest = arena.pairs.meta[OLDEST]
        drop_through(arena, arena.pairs.rows[oldest, SEEN], now)
        give_back(arena.pairs, oldest)
        arena.pairs.meta[EVICTED_EARLY] += 1
    row = take(arena.pairs, one, other)
    arena.pairs.rows[row, MET_AT] = now
    arena.pairs.rows[row, SEEN] = -1
    arena.proofs[row] = 0.0
    return row


@borrowing
def forget_idle_pairs(arena: Arena, now: int) -> None:
    """Forget pairs that were unseen for the idle time."""
    row = arena.pairs.meta[OLDEST]
    while row >= 0 and now - arena.pairs.rows[row, SEEN_AT] > arena.scalars[IDLE_MS]:
        give_back(arena.pairs, row)
        row = arena.pairs.meta[OLDEST]


@borrowing
def meet(arena: Arena, rows: Ints, incoming: Ints, seq: int, now: int) -> int:
    """Take the pairs of a payment into account; return the marks that it carries as the latest of each.

    The windows of all its entities must have been brought to ``now``.
    """
    mask = arena.events.shape[0] - 1
    marks = 0
    for pair in range(PAIRS):
        one, other = sides(arena, pair, rows, incoming)
        if one == 0 or other == 0:
            continue
        row = met_pair(arena, one, other, now)
        before = arena.pairs.rows[row, SEEN]
        if before >= arena.scalars[FIRST_SEQ]:
            arena.events[before & mask, EVENT_FLAGS] &= ~(LATEST << pair)
            uncount(arena, rows, pair, before)
        arena.pairs.rows[row, SEEN], arena.pairs.rows[row, SEEN_AT] = seq, now
        arena.pairs.rows[row, MEETINGS] += 1
        marks |= LATEST << pair
    return marks


@borrowing
def uncount(arena: Arena, rows: Ints, pair: int, seq: int) -> None:
    """Take a payment that is no longer the latest of its pair out of the numbers of different partners."""
    for number in range(DIFFERENTS.shape[0]):
        if DIFFERENTS[number, 1] == pair:
            entity = arena.entities.rows[rows[DIFFERENTS[number, 0]]]
            if 0 <= entity[WINDOW + DIFFERENTS[number, 2] * WINDOW_WIDTH + TAIL] <= seq:
                entity[DIFFERENT + DIFFERENTS[number, 3]] -= 1


@borrowing
def different(arena: Arena, entity: Ints, number: int, pair_row: int, is_known: bool) -> int:
    """Return how many different partners an entity has in a window once this payment counts.

    ``pair_row`` is the pair of the payment or -1, ``is_known`` whether it names a partner at all.
    """
    count = entity[DIFFERENT + DIFFERENTS[number, 3]]
    tail = entity[WINDOW + DIFFERENTS[number, 2] * WINDOW_WIDTH + TAIL]
    is_counted = pair_row >= 0 and 0 <= tail <= arena.pairs.rows[pair_row, SEEN]
    return count + 1 if is_known and not is_counted else count  # type: ignore[no-any-return]  # an int to native code


@borrowing
def proofs_of(arena: Arena, pair_row: int, now: int) -> float:
    """Return the weight of strong authentications that a pair has now."""
    return faded(arena.proofs[pair_row], now - arena.pairs.rows[pair_row, PROVED_AT])


@borrowing
def prove(arena: Arena, pair_row: int, is_passed: bool, at: int) -> None:
    """Take a strong authentication of a pair into account: one that was passed adds one, one that failed halves."""
    at = max(at, arena.pairs.rows[pair_row, PROVED_AT])
    left = proofs_of(arena, pair_row, at)
    arena.proofs[pair_row] = left + 1.0 if is_passed else left * PROOF_FAILED_SHARE
    arena.pairs.rows[pair_row, PROVED_AT] = at
