"""Which kind of model should score payments: the candidates in one bench, on the same features, folds and one thread.

Settings are common ones and were not tuned here, so the table ranks kinds as anybody would first run them. Only those of
the champion and of the network, which with common ones learns frauds by heart, were chosen, on weeks before the test.
Detectors without labels (isolation forest, local outlier factor, robust z) are fitted on good training payments and
judged alone; what they add to the champion is measured in ``risk_quality_detectors``. Times are of the processor, of one
thread; scoring is in batches, where libraries are at their best.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from tongbao.bench.risk_protocol import Flags, Floats, Fold, Quality, Rows, Stream, mean, quality

ROWS_OF_SLOW = 100_000
"""Of slow kinds: all of a week; of eight weeks all frauds and about every sixth good payment."""
ROWS_OF_KERNEL = 20_000
"""Of a machine whose time to learn grows faster than the square of them."""
LOF_ROWS = 4_000
NEIGHBORS = 20
TREES = 100
ROUNDS_OF_NETWORK = 10
"""With so few frauds more rounds learn them by heart: with 40, and without the penalty, it falls behind a straight line."""
HEAVIEST = 3
Z_MAX = 20.0
Score = Callable[[Rows], Floats]
Fit = Callable[[Rows, Flags, int], Score]
Say = Callable[[str], None]


class Candidate(NamedTuple):
    """One kind of model. ``fit``: features (n, k), labels (n,) and seed in, a function from features to scores out.

    Scores: higher is more suspicious. ``rows_max``: trained on all frauds and so many payments in all; 0 takes all.
    """

    name: str
    fit: Fit
    note: str = ""
    rows_max: int = 0


class CandidateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: means over folds; seconds to fit one fold, microseconds to score a row.

    ``ap_sd`` is the deviation between folds; ``_se`` are standard errors of the mean, None of a single fold.
    """

    name: str
    ap: float
    ap_sd: float
    ap_se: float | None
    auc: float
    cp100: float
    cp100_se: float | None
    fit_s: float
    us_per_row: float
    note: str = ""


def candidates(champion: Fit | None = None, challenger: Fit | None = None) -> tuple[Candidate, ...]:
    """Return the candidates; ``champion`` and ``challenger`` are the house's own, left out where None."""
    own = [
        Candidate(name, fit, "the house's own")
        for name, fit in (("lightgbm_champion", champion), ("logistic_challenger", challenger))
        if fit is not None
    ]
    return (
        *own,
        Candidate("hist_gbdt", _classifier(_hist_gbdt), "scikit-learn, 200 rounds of 15 leaves"),
        Candidate(
            "random_forest",
            _classifier(_random_forest),
            f"{TREES} trees of depth 20; at most {ROWS_OF_SLOW:,} rows",
            ROWS_OF_SLOW,
        ),
        Candidate("logistic", _classifier(_logistic), "scaled features"),
        Candidate("decision_tree", _classifier(_decision_tree), "depth 8"),
        Candidate(
            "linear_svm",
            _classifier(_linear_svm),
            f"scaled, calibrated by three folds; at most {ROWS_OF_SLOW:,} rows",
            ROWS_OF_SLOW,
        ),
        Candidate(
            "kernel_svm",
            _kernel_svm,
            f"radial kernel, scaled; at most {ROWS_OF_KERNEL:,} rows",
            ROWS_OF_KERNEL,
        ),
        Candidate(
            "small_mlp",
            _classifier(_small_mlp),
            f"32 and 16 units, {ROUNDS_OF_NETWORK} rounds; at most {ROWS_OF_SLOW:,} rows",
            ROWS_OF_SLOW,
        ),
        Candidate("isolation_forest", _isolation_forest, "no labels"),
        Candidate("lof", _outlier_factor, f"no labels; against {LOF_ROWS:,} good payments"),
        Candidate("robust_z", _robust_z, f"no labels; mean of the {HEAVIEST} largest deviations"),
    )


def measure(
    chosen: Iterable[Candidate], stream: Stream, folds: Sequence[Fold], seed: int, say: Say
) -> list[CandidateRow]:
    """Return the table, in the order of the candidates; progress is told by the way."""
    table = []
    for candidate in chosen:
        with threadpool_limits(1):
            played = [_played(candidate, stream, each, seed) for each in folds]
        row = CandidateRow(
            name=candidate.name,
            **mean([each for each, _, _ in played])._asdict(),
            fit_s=float(np.mean([fit_s for _, fit_s, _ in played])),
            us_per_row=float(np.mean([us for _, _, us in played])),
            note=candidate.note,
        )
        say(f"{row.name}: AP {row.ap:.3f}, {row.fit_s:.1f} s to fit, {row.us_per_row:.1f} us a row")
        table.append(row)
    return table


def _played(candidate: Candidate, stream: Stream, fold: Fold, seed: int) -> tuple[Quality, float, float]:
    """Return quality, seconds to fit and microseconds a row of one fold."""
    places = fold.train
    if candidate.rows_max:
        places = fewer(places, stream.is_fraud[places], candidate.rows_max, seed)
    rows, is_fraud, judged = stream.rows[places], stream.is_fraud[places], stream.rows[fold.test]
    begun = time.process_time()
    score = candidate.fit(rows, is_fraud, seed)
    fitted = time.process_time()
    scores = score(judged)
    ended = time.process_time()
    return quality(stream, fold.test, scores), fitted - begun, (ended - fitted) / len(judged) * 1e6


def fewer(places: Any, is_fraud: Flags, rows_max: int, seed: int) -> Any:
    """Return ``places`` in order: all frauds, and good payments drawn by ``seed``, at most ``rows_max`` in all."""
    if len(places) <= rows_max:
        return places
    frauds, good = places[is_fraud], places[~is_fraud]
    drawn = np.random.default_rng(seed).choice(good, max(rows_max - len(frauds), 1), replace=False)
    return np.sort(np.concatenate([frauds, drawn]))


def _classifier(make: Callable[[int], Any]) -> Fit:
    def fit(rows: Rows, is_fraud: Flags, seed: int) -> Score:
        model = make(seed)
        with warnings.catch_warnings():
            # The number of rounds is part of a candidate, whether it has come to rest by then or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows, is_fraud)

        def score(judged: Rows) -> Floats:
            return np.asarray(model.predict_proba(judged)[:, 1], dtype=np.float64)

        return score

    return fit


def _hist_gbdt(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=200,
        max_leaf_nodes=15,
        learning_rate=0.05,
        l2_regularization=5,
        early_stopping=False,
        random_state=seed,
    )


def _random_forest(seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(TREES, max_depth=20, random_state=seed)


def _decision_tree(seed: int) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=8, min_samples_leaf=10, random_state=seed)


def _logistic(seed: int) -> Pipeline:
    return _scaled(LogisticRegression(max_iter=500, random_state=seed))


def _linear_svm(seed: int) -> Pipeline:
    return _scaled(CalibratedClassifierCV(LinearSVC(C=0.1, max_iter=500, random_state=seed), cv=3))


def _small_mlp(seed: int) -> Pipeline:
    return _scaled(
        MLPClassifier((32, 16), alpha=1.0, batch_size=256, max_iter=ROUNDS_OF_NETWORK, random_state=seed)
    )


def _scaled(model: Any) -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), model)


def _kernel_svm(rows: Rows, is_fraud: Flags, seed: int) -> Score:
    # Distances to the border rank as well as chances do, and ask for no folds.
    model = _scaled(SVC(C=1.0, cache_size=500, random_state=seed)).fit(rows, is_fraud)
    return lambda judged: np.asarray(model.decision_function(judged), dtype=np.float64)


def _isolation_forest(rows: Rows, is_fraud: Flags, seed: int) -> Score:
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        IsolationForest(n_estimators=TREES, random_state=seed),
    ).fit(rows[~is_fraud])

    def score(judged: Rows) -> Floats:
        return -np.asarray(model.score_samples(judged), dtype=np.float64)

    return score


def _outlier_factor(rows: Rows, is_fraud: Flags, seed: int) -> Score:
    good = rows[~is_fraud]
    chosen = np.random.default_rng(seed).permutation(len(good))[:LOF_ROWS]
    deviations = _deviations(good)
    # Equal rows would be infinitely dense.
    sample = np.unique(deviations(good[chosen]), axis=0)
    model = LocalOutlierFactor(n_neighbors=NEIGHBORS, novelty=True, algorithm="brute").fit(sample)

    def score(judged: Rows) -> Floats:
        return -np.asarray(model.score_samples(deviations(judged)), dtype=np.float64)

    return score


def _robust_z(rows: Rows, is_fraud: Flags, seed: int) -> Score:
    deviations = _deviations(rows[~is_fraud])

    def score(judged: Rows) -> Floats:
        heaviest = np.sort(np.abs(deviations(judged)), axis=1)[:, -HEAVIEST:]
        return np.asarray(heaviest.mean(axis=1), dtype=np.float64)

    return score


def _deviations(good: Rows) -> Score:
    """Return what turns features into distances from the median of good payments in units of their spread."""
    rows = np.asarray(good, dtype=np.float64)
    centers: Floats = np.nanmedian(rows, axis=0)
    apart = np.abs(rows - centers)
    usual: Floats = 1.4826 * np.nanmedian(apart, axis=0)
    scales: Floats = np.where(usual > 0, usual, 1.2533 * np.nanmean(apart, axis=0))

    def deviations(judged: Rows) -> Floats:
        z = (np.asarray(judged, dtype=np.float64) - centers) / np.maximum(scales, 1e-9)
        return np.nan_to_num(np.clip(z, -Z_MAX, Z_MAX))

    return deviations
