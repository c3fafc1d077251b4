"""Where features stand among all that is read of a payment, so that the registry alone says which are used.

A reading is one row: a block for each kind of entity, two numbers for each pair, a block of the payment itself.
"""

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.layout import KINDS, LABEL_WINDOWS, PAIRS, WINDOWS
from tongbao.risk.models.registry import (
    DISTINCTS,
    FEATURES,
    LABEL_WINDOWS_S,
    PAYMENT_FEATURES,
    WINDOWS_S,
    Feature,
    Pair,
)
from tongbao.risk.schema.signals import DeviceSign, Entity

# A block of an entity: first what exists once a window.
READ_COUNT, READ_SUM, READ_MEAN, READ_DECLINES, READ_KNOWN, READ_DECLINE_SHARE = range(
    0, 6 * WINDOWS, WINDOWS
)
_LABELS = 6 * WINDOWS
READ_MATURED, READ_RISK, READ_FRAUD, READ_UNEXPLAINED = range(
    _LABELS, _LABELS + 4 * LABEL_WINDOWS, LABEL_WINDOWS
)
_LASTING = _LABELS + 4 * LABEL_WINDOWS
_ONCE = (
    *("age_d", "gap_s", "history", "ratio", "ratio_to_max", "z", "mean", "velocity_kmh"),
    *(
        "streak",
        "streak_age_d",
        "since_fraud_d",
        "since_clean_d",
        "decayed_rate",
        "unexplained_age_d",
        "labelled",
    ),
    *("spree_max", "spree_count", "spree_share"),
)
READ_AGE, READ_GAP, READ_HISTORY, READ_RATIO, READ_RATIO_MAX, READ_Z, READ_USUAL, READ_VELOCITY = range(
    _LASTING, _LASTING + 8
)
READ_STREAK, READ_STREAK_AGE, READ_SINCE_FRAUD, READ_SINCE_CLEAN = range(_LASTING + 8, _LASTING + 12)
READ_DECAYED, READ_UNEXPLAINED_AGE, READ_LABELLED = range(_LASTING + 12, _LASTING + 15)
READ_SPREE_MAX, READ_SPREE_COUNT, READ_SPREE_SHARE = range(_LASTING + 15, _LASTING + 18)
READ_DIFFERENT = _LASTING + len(_ONCE)
BLOCK = READ_DIFFERENT + 3

READ_PAIRS = KINDS * BLOCK
READ_PAYMENT = READ_PAIRS + 2 * PAIRS
READ_TRUST = READ_PAYMENT + list(PAYMENT_FEATURES).index("device_trust")
READ_WIDTH = READ_PAYMENT + len(PAYMENT_FEATURES)
SIGNS = len(DeviceSign)

_WINDOWED = {
    "count": READ_COUNT,
    "sum": READ_SUM,
    "mean": READ_MEAN,
    "declines": READ_DECLINES,
    "known_fraud": READ_KNOWN,
    "decline_share": READ_DECLINE_SHARE,
}
_DELAYED = {
    "matured": READ_MATURED,
    "risk": READ_RISK,
    "fraud": READ_FRAUD,
    "fraud_share": READ_RISK,
    "unexplained": READ_UNEXPLAINED,
}


def place_of(feature: Feature) -> int:
    """Return the column of a reading that a feature is."""
    if feature.source is None:
        return READ_PAYMENT + list(PAYMENT_FEATURES).index(feature.aggregation)
    if isinstance(feature.source, Pair):
        return READ_PAIRS + 2 * feature.source + (feature.aggregation == "age_d")
    return feature.source * BLOCK + _place_in_block(feature, feature.source)


def _place_in_block(feature: Feature, entity: Entity) -> int:
    if feature.aggregation in _ONCE:
        return _windowed_mean(feature) or _LASTING + _ONCE.index(feature.aggregation)
    if feature.aggregation in _DELAYED:
        return _DELAYED[feature.aggregation] + LABEL_WINDOWS_S.index(feature.window_s)
    if feature.aggregation in _WINDOWED:
        return _WINDOWED[feature.aggregation] + WINDOWS_S.index(feature.window_s)
    own = [distinct.partners for distinct in DISTINCTS if distinct.entity == entity]
    return READ_DIFFERENT + own.index(feature.aggregation)


def _windowed_mean(feature: Feature) -> int:
    """Return the place of a mean over a window; 0 for the mean of the whole history and for all else."""
    if feature.aggregation != "mean" or not feature.window_s:
        return 0
    return READ_MEAN + WINDOWS_S.index(feature.window_s)


TAKEN: NDArray[np.int64] = np.array([place_of(feature) for feature in FEATURES], np.int64)
"""Shape (n_features,): the columns of a reading that are features, in the order of the registry."""
