"""Features of a whole file of payments: the functions of the live state, called in one native loop.

What became known later is passed with the time at which it became known and is folded in between payments at that time, so a
training row knows what the live system would have known. Bit for bit equal to ``FeatureState`` fed one at a time.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import folding
from tongbao.risk.models.arena import Arena, Limits, empty, grown
from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.geo import CENTERS, LETTERS
from tongbao.risk.models.layout import (
    EVENT_AT,
    FIRST_SEQ,
    HORIZON_MS,
    IN_ADDRESS_COUNTRY,
    IN_AT,
    IN_CARD_COUNTRY,
    IN_ID,
    IN_KEYS,
    IN_MERCHANT_COUNTRY,
    IN_RECURRING,
    IN_SIGNS,
    IN_VALUE,
    IN_WIDTH,
    NOW,
)
from tongbao.risk.models.native import native
from tongbao.risk.models.reading import read
from tongbao.risk.models.readout import READ_WIDTH, TAKEN
from tongbao.risk.models.tables import Ints
from tongbao.risk.schema.signals import Entity

Floats = NDArray[np.float64]

LABEL, END, PROOF = 0, 1, 2
"""What an outcome tells: whether a payment was fraud, was approved, was proved by the payer."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Payments in time order. Every array is of shape (n,) and optional but for time and value.

    ``at_ms`` are milliseconds since 1970, ``value`` hundredths. ``keys`` are whole numbers from 0 that stand for the entities
    of a kind, -1 where unknown. Countries are codes of ``geo.country_code``, ``places`` degrees of shape (n, 2), NaN where
    unknown (then the middle of the address's country serves); ``signs`` those of ``DeviceSign``.
    """

    at_ms: Ints
    value: Ints
    keys: dict[Entity, Ints]
    card_country: Ints | None = None
    merchant_country: Ints | None = None
    address_country: Ints | None = None
    signs: Ints | None = None
    recurring: Ints | None = None
    places: Floats | None = None


def _no_ints() -> Ints:
    return np.empty(0, np.int64)


def _no_truths() -> NDArray[np.bool_]:
    return np.empty(0, np.bool_)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became known later, in any order: of which payment (its row), when, what (``LABEL``, ``END``, ``PROOF``), and whether.

    What is known at the time of a payment is known to it; of a payment itself nothing is known before the next one.
    """

    row: Ints = field(default_factory=_no_ints)
    known_ms: Ints = field(default_factory=_no_ints)
    what: Ints = field(default_factory=_no_ints)
    is_so: NDArray[np.bool_] = field(default_factory=_no_truths)


def labels(is_fraud: NDArray[np.bool_], known_ms: Ints) -> Outcomes:
    """Return the outcomes that labels are: frauds only, since a payment counts as good until something else is known.

    ``is_fraud`` and ``known_ms`` are of shape (n,), one for each payment.
    """
    row = np.flatnonzero(is_fraud)
    return Outcomes(row, known_ms[row], np.full(row.size, LABEL), np.ones(row.size, np.bool_))


def build(columns: Columns, outcomes: Outcomes | None = None, limits: Limits | None = None) -> Floats:
    """Return the features of every payment, shape (n, n_features), columns as ``registry.NAMES``.

    Raise ``InvalidRequest``: ``feature_columns_invalid`` where arrays do not fit each other or times run backwards,
    ``feature_outcomes_invalid`` where an outcome is of no payment or of no known kind.
    """
    numbers = numbered(columns)
    places = columns.places if columns.places is not None else np.full((len(numbers), 2), np.nan)
    return build_from(numbers, _placed(places, numbers[:, IN_ADDRESS_COUNTRY]), outcomes, limits)


def build_from(
    numbers: Ints, places: Floats, outcomes: Outcomes | None = None, limits: Limits | None = None
) -> Floats:
    """Do as ``build`` from what ``encoding.encode_many`` returned; ids must differ."""
    if np.any(np.diff(numbers[:, IN_AT]) < 0):
        raise InvalidRequest("feature_columns_invalid", "payments must stand in time order")
    known = _in_order(outcomes or Outcomes(), numbers[:, IN_AT])
    found = np.empty((len(numbers), len(TAKEN)))
    arena, done, told = empty(limits or Limits()), 0, 0
    while done < len(numbers):
        done, told, need = replay(arena, numbers, places, known, found, (done, told))
        arena = grown(arena, need)
    return found


def numbered(columns: Columns) -> Ints:
    """Return payments as native code takes them, shape (n, ``IN_WIDTH``); the id of a payment is its row."""
    count = len(columns.at_ms)
    numbers = np.zeros((count, IN_WIDTH), np.int64)
    numbers[:, IN_ID] = np.arange(1, count + 1)
    filled = (
        (IN_AT, columns.at_ms),
        (IN_VALUE, columns.value),
        (IN_CARD_COUNTRY, columns.card_country),
        (IN_MERCHANT_COUNTRY, columns.merchant_country),
        (IN_ADDRESS_COUNTRY, columns.address_country),
        (IN_SIGNS, columns.signs),
        (IN_RECURRING, columns.recurring),
    )
    for place, values in (*filled, *((IN_KEYS + 2 * kind, keys) for kind, keys in columns.keys.items())):
        if values is None:
            continue
        if values.shape != (count,) or not np.issubdtype(values.dtype, np.integer):
            raise InvalidRequest("feature_columns_invalid", f"whole numbers of shape ({count},) are wanted")
        numbers[:, place] = values
    for kind in columns.keys:
        _mark_kind(numbers, kind)
    countries = numbers[:, [IN_CARD_COUNTRY, IN_MERCHANT_COUNTRY, IN_ADDRESS_COUNTRY]]
    if count and (
        numbers[:, [IN_AT, IN_VALUE]].min() < 0 or countries.min() < 0 or countries.max() > LETTERS * LETTERS
    ):
        raise InvalidRequest("feature_columns_invalid", "a time, value or country is out of its range")
    return numbers


def _mark_kind(numbers: Ints, kind: Entity) -> None:
    """Make a key of an entity differ from equal keys of other kinds; unknown keys become zeros."""
    place = IN_KEYS + 2 * kind
    is_known = numbers[:, place] >= 0
    numbers[:, place] = np.where(is_known, numbers[:, place] + 1, 0)
    numbers[:, place + 1] = np.where(is_known, kind + 1, 0)


def _placed(places: Floats, countries: Ints) -> Floats:
    """Return places, the middle of the address's country where they are unknown."""
    if places.shape != (len(countries), 2):
        raise InvalidRequest("feature_columns_invalid", f"places of shape ({len(countries)}, 2) are wanted")
    is_unknown = np.isnan(places).any(axis=1, keepdims=True)
    return np.ascontiguousarray(np.where(is_unknown, CENTERS[countries], places))


def _in_order(outcomes: Outcomes, at_ms: Ints) -> Ints:
    """Return outcomes in the order in which they became known, shape (m, 4): time, row, what, whether."""
    row, what = outcomes.row, outcomes.what
    if not row.shape == outcomes.known_ms.shape == what.shape == outcomes.is_so.shape:
        raise InvalidRequest("feature_outcomes_invalid", "an outcome needs a row, a time, a kind and a truth")
    if row.size and (row.min() < 0 or row.max() >= at_ms.size or what.min() < LABEL or what.max() > PROOF):
        raise InvalidRequest("feature_outcomes_invalid", "an outcome is of no payment or of no known kind")
    known_ms = np.maximum(outcomes.known_ms, at_ms[row])
    order = np.lexsort((row, known_ms))
    return np.stack([known_ms, row, what, outcomes.is_so.astype(np.int64)], axis=1)[order]


@native
def replay(
    arena: Arena, numbers: Ints, places: Floats, known: Ints, found: Floats, begun: tuple[int, int]
) -> tuple[int, int, int]:
    """Read and fold payments until one is left no room for; return how many payments and outcomes are done, and what must grow."""
    reading = np.empty(READ_WIDTH)
    done, told = begun
    need = 0
    while done < numbers.shape[0] and need == 0:
        while told < known.shape[0] and known[told, 0] <= numbers[done, IN_AT] and known[told, 1] < done:
            tell(arena, known[told])
            told += 1
        latitude, longitude = places[done, 0], places[done, 1]
        read(arena, numbers[done], latitude, longitude, reading)
        for column in range(TAKEN.size):
            found[done, column] = reading[TAKEN[column]]
        need = folding.learn(arena, numbers[done], latitude, longitude)
        done += 1
    return done, told, need


@borrowing
def tell(arena: Arena, known: Ints) -> None:
    """Fold one outcome in; of a payment that is no longer kept, or too old for any window, nothing is told."""
    at, seq, is_so = known[0], known[1], known[3] != 0
    if seq < arena.scalars[FIRST_SEQ]:
        return
    happened = arena.events[seq & (arena.events.shape[0] - 1), EVENT_AT]
    if happened <= max(at, arena.scalars[NOW]) - HORIZON_MS:
        return
    if known[2] == LABEL:
        folding.label(arena, seq, is_so)
    elif known[2] == END:
        folding.end(arena, seq, is_so)
    else:
        folding.proved(arena, seq, is_so, at)
