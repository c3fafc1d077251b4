"""What detectors without labels add to the boosted trees: the score of each as one more column.

The trees learn with and without a column from the same payments with the same seeds, so the differences are paired. The
detectors are those of ``risk.models``, fitted on the days of training and on nothing else. They see no label, so frauds
are among what they take for usual. What looks back (a card's own median, its own kind) sees earlier payments only.

One more column changes which features each tree may look at, and that alone moves the figures by as much as there is to
gain. So a column of pure chance goes along, and a column earns its place where it is better than that one.

Standard errors are of the mean over folds, each the mean over seeds; the test weeks of the folds share no payment.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tongbao.bench.risk_protocol import (
    Flags,
    Floats,
    Fold,
    Integers,
    Mean,
    Quality,
    Rows,
    Stream,
    mean,
    quality,
    standard_error,
)
from tongbao.risk.models.anomaly import Z_MAX, Isolation, OutlierFactor, RobustZ
from tongbao.risk.models.clusters import Clusters
from tongbao.risk.models.registry import NAMES
from tongbao.risk.service.discovery_detectors import WATCHED
from tongbao.risk.service.discovery_findings import PROFILE

Names = tuple[str, ...]
Score = Callable[[Rows], Floats]
Fit = Callable[[Rows, Flags, int], Score]
"""Takes rows, labels and a seed; returns what scores."""
Learn = Callable[[Names, int], Fit]
"""Takes names of columns and a seed; returns what learns from them."""
OWN_PAYMENTS = 64
"""Earlier payments of a card that tell what is usual for it."""
OWN_MIN = 5
OWN_CHUNK = 100_000
DETECTORS_SEED = 1
BASE = "all features"
CHANCE = "pure chance"
TOGETHER = "all five"
_MAD_TO_SIGMA = 1.4826
_VALUE = NAMES.index("value")


class Difference(NamedTuple):
    """Mean differences over folds, above 0 for the better, with standard errors of them; None of a single fold."""

    ap: float
    ap_se: float | None
    cp100: float
    cp100_se: float | None


class Worth(NamedTuple):
    """What the trees are worth with a column, beside the same trees without it and with a column of pure chance.

    All are means over folds, each the mean over seeds.
    """

    mean: Mean
    gain: Difference
    over_chance: Difference

    def figures(self) -> dict[str, float | None]:
        """Return all figures by name; those of differences begin with ``gain_`` and ``over_chance_``."""
        told = dict(self.mean._asdict())
        for name in ("gain", "over_chance"):
            told |= {f"{name}_{key}": value for key, value in getattr(self, name)._asdict().items()}
        return told


def measure(given: Stream, folds: Sequence[Fold], seeds: Sequence[int], learn: Learn) -> dict[str, Worth]:
    """Return what the trees are worth with each column, by its name, ``BASE`` first.

    ``given`` has the features of the registry, in its order.
    """
    before = earlier(given.cards)
    own = own_deviations(np.asarray(given.rows[:, _VALUE], dtype=np.float64), given.cards)
    found: dict[str, list[list[Quality]]] = {}
    for fold in folds:
        places = np.concatenate([fold.train, fold.test])
        scores = columns(given, fold, before) | {"own robust z": own[places]}
        for name, added in _choices(scores, len(places)):
            played = [_played(given, fold, added, learn, seed) for seed in seeds]
            found.setdefault(name, []).append(played)
    base, chance = found[BASE], found[f"with {CHANCE}"]
    return {
        name: Worth(
            mean([Quality(*row) for row in _by_fold(each).tolist()]),
            _difference(each, base),
            _difference(each, chance),
        )
        for name, each in found.items()
    }


def columns(
    given: Stream, fold: Fold, before: Integers, watched: Names = WATCHED, seed: int = DETECTORS_SEED
) -> dict[str, Floats]:
    """Return what each detector, fitted on the training of ``fold``, says of its training and test payments, in this order.

    ``before`` (n,) is the place of the payment of the same card before each payment, -1 for its first.
    """
    rows = _of(given, np.concatenate([fold.train, fold.test]), watched)
    usual = rows[: len(fold.train)]
    return {
        "isolation forest": Isolation.fit(watched, usual, seed).score(rows),
        "local outlier factor": OutlierFactor.fit(watched, usual, seed).score(rows),
        "robust z": RobustZ.fit(watched, usual).score(rows),
        "distance to own kind": _kind_distances(given, fold, before, seed),
    }


def earlier(cards: Integers) -> Integers:
    """Return the place of the payment of the same card before each of ``cards`` (n,), in order of time; -1: none."""
    order = np.argsort(cards, kind="stable")
    before = np.full(len(cards), -1, dtype=np.int64)
    is_same = cards[order[1:]] == cards[order[:-1]]
    before[order[1:][is_same]] = order[:-1][is_same]
    return before


def own_deviations(values: Floats, cards: Integers) -> Floats:
    """Return how far each amount is from the median of its card's earlier ones, in robust standard deviations (n,).

    It looks at the last ``OWN_PAYMENTS`` before the payment, lies within ``Z_MAX``, and is NaN for fewer than ``OWN_MIN``.
    """
    order = np.argsort(cards, kind="stable")
    sorted_values, sorted_cards = values[order], cards[order]
    number = np.arange(len(values)) - np.searchsorted(sorted_cards, sorted_cards)
    back = np.arange(-OWN_PAYMENTS, 0)
    found = np.full(len(values), np.nan)
    for begin in range(0, len(values), OWN_CHUNK):
        places = np.arange(begin, min(begin + OWN_CHUNK, len(values)))
        places = places[number[places] >= OWN_MIN]
        seen = sorted_values[np.maximum(places[:, None] + back, 0)]
        seen = np.where(back >= -number[places, None], seen, np.nan)
        center = np.nanmedian(seen, axis=1)
        spread = _MAD_TO_SIGMA * np.nanmedian(np.abs(seen - center[:, None]), axis=1)
        # A card that always pays the same has no spread; a hundredth is the least that amounts differ by.
        deviations = (sorted_values[places] - center) / np.maximum(spread, 1.0)
        found[order[places]] = np.clip(deviations, -Z_MAX, Z_MAX)
    return found


def _kind_distances(given: Stream, fold: Fold, before: Integers, seed: int) -> Floats:
    """Return how far each payment leaves its customer from the kind that the customer was of at the payment before.

    Kinds are found among the customers as their last payment of the training shows them.
    """
    places = np.concatenate([fold.train, fold.test])
    _, from_end = np.unique(given.cards[fold.train][::-1], return_index=True)
    last = fold.train[len(fold.train) - 1 - np.sort(from_end)[::-1]]
    kinds = Clusters.fit(PROFILE, _of(given, last, PROFILE), seed)
    shown = np.where(before[places] >= 0, before[places], places)
    own, _ = kinds.nearest(_of(given, shown, PROFILE))
    return kinds.distance(_of(given, places, PROFILE), own)


def _of(given: Stream, places: Integers, names: Names) -> Floats:
    chosen = np.array([NAMES.index(name) for name in names])
    return np.asarray(given.rows[np.ix_(places, chosen)], dtype=np.float64)


def _choices(scores: Mapping[str, Floats], count: int) -> Iterator[tuple[str, Mapping[str, Floats]]]:
    """Yield what is compared: nothing more, each column, all of them, and a column of chance."""
    yield BASE, {}
    for name, score in scores.items():
        yield f"with {name}", {name: score}
    yield f"with {TOGETHER}", scores
    yield f"with {CHANCE}", {CHANCE: np.random.default_rng(DETECTORS_SEED).random(count)}


def _played(given: Stream, fold: Fold, added: Mapping[str, Floats], learn: Learn, seed: int) -> Quality:
    """Return how good the trees are on the test of one fold with the columns ``added`` (n_train + n_test,)."""
    split = len(fold.train)

    def rows(places: Integers, which: slice) -> Floats:
        more = [score[which, None] for score in added.values()]
        return np.hstack([np.asarray(given.rows[places], dtype=np.float64), *more])

    # LightGBM writes blanks in names as it likes.
    fit = learn((*NAMES, *(name.replace(" ", "_") for name in added)), seed)
    score = fit(rows(fold.train, slice(split)), given.is_fraud[fold.train], seed)
    return quality(given, fold.test, score(rows(fold.test, slice(split, None))))


def _difference(played: Sequence[Sequence[Quality]], against: Sequence[Sequence[Quality]]) -> Difference:
    """Return how much better qualities (n_folds, n_seeds) are than others of the same folds and seeds."""
    _, ap, cp100 = (_by_fold(played) - _by_fold(against)).T
    return Difference(float(ap.mean()), standard_error(ap), float(cp100.mean()), standard_error(cp100))


def _by_fold(played: Sequence[Sequence[Quality]]) -> Floats:
    """Return the means over seeds, shape (n_folds, 3)."""
    return np.asarray(np.array(played, dtype=np.float64).mean(axis=1))
