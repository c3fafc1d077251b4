"""The protocol of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot and Bontempi 2022, chapter 5), without pandas.

A model learns from seven days, waits seven days for labels, and is judged on the seven days after. Cards that are known
to be compromised by then are taken out of the test. Four test folds lie a week apart; four validation folds before them
are for settings, and only for settings.

Card precision: each day the 100 riskiest cards are looked at; those found compromised are not looked at again. It is the
mean share of cards looked at that were compromised, so a perfect model reaches no more than frauds allow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = NDArray[np.float64]
Rows = NDArray[np.float32] | NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

DAYS = 7
"""Of training, of delay, of test."""
FIRST_START = 115
"""Day of the data on which the published fold begins to train: 2018-07-25, counted from 2018-04-01."""
TEST_STARTS = tuple(FIRST_START + 21 - 7 * fold for fold in range(4))
VALIDATION_STARTS = tuple(FIRST_START - 14 - 7 * fold for fold in range(4))
WARM_DAY = 30
"""Training never begins earlier: windows of 30 days are not full before."""
CARDS_A_DAY = 100


class Stream(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Payments in the order of time: features (n, n_features), and arrays (n,): day, card, label."""

    rows: Rows
    days: Integers
    cards: Integers
    is_fraud: Flags


class Fold(NamedTuple):
    """Places in the stream that are trained on and judged on, ascending within each day."""

    train: Integers
    test: Integers


class Quality(NamedTuple):
    """Area under the ROC curve, average precision, card precision among 100 cards a day; higher is better."""

    auc: float
    ap: float
    cp100: float


class Mean(NamedTuple):
    """Means over folds; ``ap_sd`` is the deviation between folds, ``_se`` are standard errors of the mean.

    Errors are None of a single fold. Test weeks of different folds share no payment.
    """

    ap: float
    ap_sd: float
    ap_se: float | None
    auc: float
    cp100: float
    cp100_se: float | None


def fold(stream: Stream, start: int, label_days: int = DAYS) -> Fold:
    """Return the fold whose last week of training begins on day ``start``; training takes ``label_days`` in all."""
    days, cards, is_fraud = stream.days, stream.cards, stream.is_fraud
    end = start + DAYS
    begin = max(end - label_days, WARM_DAY) if label_days > DAYS else start
    train = np.flatnonzero((days >= begin) & (days < end))
    known = cards[(days >= start) & (days < end) & is_fraud]
    kept = []
    for day in range(end + DAYS, end + 2 * DAYS):
        # On each day of the test one more day of labels has come in.
        known = np.union1d(known, cards[(days == day - DAYS - 1) & is_fraud])
        of_day = np.flatnonzero(days == day)
        kept.append(of_day[~np.isin(cards[of_day], known)])
    return Fold(train, np.concatenate(kept))


def quality(stream: Stream, test: Integers, scores: Floats) -> Quality:
    """Return how good ``scores`` (n_test,) of the payments at ``test`` are; higher scores are more suspicious."""
    is_fraud = stream.is_fraud[test]
    return Quality(
        auc=float(roc_auc_score(is_fraud, scores)),
        ap=float(average_precision_score(is_fraud, scores)),
        cp100=card_precision(stream, test, scores),
    )


def mean(qualities: Sequence[Quality]) -> Mean:
    """Return the means over folds, one quality for each."""
    auc, ap, cp100 = np.array(qualities, dtype=np.float64).T
    return Mean(
        ap=float(ap.mean()),
        ap_sd=float(ap.std()),
        ap_se=standard_error(ap),
        auc=float(auc.mean()),
        cp100=float(cp100.mean()),
        cp100_se=standard_error(cp100),
    )


def standard_error(values: Floats) -> float | None:
    """Return the standard error of the mean of values (n_folds,); None of fewer than two."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def card_precision(stream: Stream, test: Integers, scores: Floats, cards_a_day: int = CARDS_A_DAY) -> float:
    """Return the mean share of the riskiest cards of each day that are compromised; cards found before are left out.

    A card is as risky as its riskiest payment of the day; of equally risky ones the lower number comes first.
    """
    days, cards, is_fraud = stream.days[test], stream.cards[test], stream.is_fraud[test]
    found = np.array([], dtype=np.int64)
    shares = []
    for day in np.unique(days):
        of_day = np.flatnonzero(days == day)
        of_day = of_day[~np.isin(cards[of_day], found)]
        names, places = np.unique(cards[of_day], return_inverse=True)
        risk = np.full(len(names), -np.inf)
        np.maximum.at(risk, places, scores[of_day])
        compromised = np.zeros(len(names), dtype=bool)
        np.logical_or.at(compromised, places, is_fraud[of_day])
        looked_at = np.argsort(-risk, kind="stable")[:cards_a_day]
        hits = names[looked_at[compromised[looked_at]]]
        shares.append(len(hits) / cards_a_day)
        found = np.append(found, hits)
    return float(np.mean(shares))
