"""How well the product's features and models tell fraud, by the protocol of the Fraud Detection Handbook.

The features are those of the live state, the models those of ``risk.models.training`` with the settings that a house gets:
nothing is tuned here, and settings were chosen on the weeks of validation only. Scores are log-odds before calibration,
which does not change who is more suspicious but would tie some.

The simulator is public and its scenarios were known when features were designed, so the figures flatter: on
real payments of the same authors published average precision is about a tenth.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tongbao.bench import risk_candidates, risk_quality_detectors
from tongbao.bench.risk_data import FIRST_DAY_MS, Payments
from tongbao.bench.risk_policy_world import STARTS, Scored
from tongbao.bench.risk_protocol import (
    DAYS,
    Flags,
    Floats,
    Integers,
    Mean,
    Quality,
    Rows,
    Stream,
    fold,
    mean,
    quality,
)
from tongbao.risk.models import training
from tongbao.risk.models.artifact import Kind, ModelScorer
from tongbao.risk.models.registry import BY_NAME, NAMES
from tongbao.risk.models.training import Examples, Options, Trees

Names = tuple[str, ...]
Row = dict[str, float | None]
MONTH = 28
BAGS = 4
DETECTOR_SEEDS = {DAYS: (1, 2), MONTH: (1,)}
"""By days of labels: what a column adds is smaller than what another seed does, and a month takes four times as long."""
HISTORY = NAMES.index("customer_history")
PUBLISHED = (
    ("logistic regression", 0.623, 0.868, 0.297),
    ("random forest, 100 trees", 0.678, 0.870, 0.299),
    ("XGBoost, tuned (best published)", 0.687, 0.869, 0.303),
    ("neural network", 0.675, 0.876, 0.303),
    ("LSTM", 0.665, 0.876, 0.297),
    ("LSTM with attention", 0.667, 0.874, 0.295),
)
"""The book's chapters 5 to 7: name, average precision, AUC, card precision; 15 features, or sequences of 5 to 20 payments."""

_HANDBOOK = (
    *("value", "night", "weekend"),
    *(f"customer_{what}_{span}" for span in ("1d", "7d", "30d") for what in ("count", "mean")),
    *(f"merchant_{what}_{span}" for span in ("1d", "7d", "30d") for what in ("matured", "risk")),
)
_LABEL_KINDS = {
    *(
        "matured",
        "risk",
        "fraud",
        "fraud_share",
        "known_fraud",
        "unexplained",
        "unexplained_age_d",
        "labelled",
    ),
    *("streak", "streak_age_d", "since_fraud_d", "since_clean_d", "decayed_rate"),
}
_AMOUNT_KINDS = {"ratio", "ratio_to_max", "z", "mean", "spree_max", "spree_count", "spree_share"}


class Measured(NamedTuple):
    """Means over folds, and the standard deviation of average precision between them."""

    ap: float
    ap_sd: float
    auc: float
    cp100: float


def groups() -> dict[str, Names]:
    """Return the sets of features that the ablation compares."""
    kinds = {name: BY_NAME[name].aggregation for name in NAMES}
    return {
        "all features": NAMES,
        "without known fraud": tuple(name for name in NAMES if kinds[name] not in _LABEL_KINDS),
        "without streaks and decayed rates": tuple(
            name
            for name in NAMES
            if kinds[name] not in {"streak", "streak_age_d", "since_fraud_d", "since_clean_d", "decayed_rate"}
            and not kinds[name].startswith("unexplained")
        ),
        "without amounts against own history": tuple(
            name for name in NAMES if kinds[name] not in _AMOUNT_KINDS
        ),
        "without sprees": tuple(name for name in NAMES if not kinds[name].startswith("spree")),
        "without the merchant": tuple(name for name in NAMES if not name.startswith("merchant_")),
        "without the customer": tuple(name for name in NAMES if not name.startswith("customer_")),
        "without pairs": tuple(name for name in NAMES if not name.startswith("pair_")),
        "the book's 15": _HANDBOOK,
        "the payment alone": tuple(name for name in NAMES if BY_NAME[name].source is None),
    }


def own(options: Options | None = None, names: Names = NAMES) -> risk_candidates.Fit:
    """Return what fits the product's model, as the bench of candidates takes it."""

    def fit(rows: Rows, is_fraud: Flags, seed: int) -> risk_candidates.Score:
        chosen = options or Options(seed=seed)
        # Examples stand in order of time already; the instants only have to say so.
        examples = Examples(
            np.asarray(rows, dtype=np.float64), is_fraud, np.arange(len(is_fraud), dtype=np.float64), names
        )
        scorer = ModelScorer(training.fit(examples, chosen), names)
        return lambda judged: scorer.raw(np.asarray(judged, dtype=np.float64))

    return fit


def measure(
    given: Stream, starts: Sequence[int], label_days: int = DAYS, names: Names = NAMES, bags: int = BAGS
) -> Measured:
    """Return how good the champion is with ``label_days`` of training and features ``names``."""
    places = np.array([NAMES.index(name) for name in names])
    fit = own(Options(trees=Trees(bags=bags)), names)
    found: list[Quality] = []
    for start in starts:
        train, test = fold(given, start, label_days)
        score = fit(given.rows[np.ix_(train, places)], given.is_fraud[train], 1)
        found.append(quality(given, test, score(given.rows[np.ix_(test, places)])))
    told = mean(found)
    return Measured(ap=told.ap, ap_sd=told.ap_sd, auc=told.auc, cp100=told.cp100)


def ablation(given: Stream, starts: Sequence[int]) -> dict[str, Row]:
    """Return what is left without each group of features, and what detectors without labels add as features."""
    found = {}
    for name, names in groups().items():
        found[name] = _rounded(measure(given, starts, names=names, bags=1)._asdict())
    for label_days, seeds in DETECTOR_SEEDS.items():
        for name, row in detectors(given, starts, label_days, seeds).items():
            found[f"{label_days} days, {BAGS} bags: {name}"] = row
    return found


def detectors(
    given: Stream, starts: Sequence[int], label_days: int, seeds: Sequence[int], trees: Trees | None = None
) -> dict[str, Row]:
    """Return what the champion is worth with the score of each detector as one more feature, by its name.

    Beside the figures of every row: standard errors, and the paired differences to the champion without it (``gain_``)
    and with a column of pure chance (``over_chance_``).
    """

    def learn(names: Names, seed: int) -> risk_candidates.Fit:
        return own(Options(seed=seed, trees=trees or Trees(bags=BAGS)), names)

    folds = [fold(given, start, label_days) for start in starts]
    found = risk_quality_detectors.measure(given, folds, seeds, learn)
    return {name: _rounded(worth.figures()) for name, worth in found.items()}


def candidates(given: Stream, starts: Sequence[int]) -> list[dict[str, Any]]:
    """Return the table of kinds of models on the same features and folds."""
    given, names = telling(given)
    chosen = risk_candidates.candidates(own(names=names), own(Options(kind=Kind.LOGISTIC), names))
    folds = [fold(given, start) for start in starts]
    told = risk_candidates.measure(chosen, given, folds, 1, lambda _: None)
    return [
        {
            "name": row.name,
            **_rounded({key: getattr(row, key) for key in Mean._fields}),
            "fit_s": round(row.fit_s, 2),
            "us_per_row": round(row.us_per_row, 2),
            "note": row.note,
        }
        for row in told
    ]


def _rounded(figures: Mapping[str, float | None]) -> Row:
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def telling(given: Stream) -> tuple[Stream, Names]:
    """Return the stream without features that are the same in all payments, and the names of those that are left."""
    least = np.fmin.reduce(given.rows, axis=0)
    places = np.flatnonzero(least < np.fmax.reduce(given.rows, axis=0))
    left = Stream(rows=given.rows[:, places], days=given.days, cards=given.cards, is_fraud=given.is_fraud)
    return left, tuple(NAMES[place] for place in places)


def scored(given: Stream, payments: Payments) -> Scored:
    """Return the weeks that policies are judged on, scored by the champion that learned from the week before last."""
    parts: list[tuple[Integers, Floats]] = []
    for start in STARTS:
        train, test = fold(given, start)
        examples = Examples(
            np.asarray(given.rows[train], dtype=np.float64),
            given.is_fraud[train],
            payments.at_ms[train] / 1000,
            NAMES,
        )
        scorer = ModelScorer(training.fit(examples), NAMES)
        parts.append((test, scorer.raw(np.asarray(given.rows[test], dtype=np.float64))))
    rows = np.concatenate([part for part, _ in parts])
    raw = np.concatenate([part for _, part in parts])
    past_to_day = STARTS[len(STARTS) // 2] + 2 * DAYS
    return Scored(
        at_s=(payments.at_ms[rows] - FIRST_DAY_MS) // 1000,
        score=1 / (1 + np.exp(-raw)),
        value=payments.value[rows],
        is_fraud=payments.is_fraud[rows],
        history=given.rows[rows, HISTORY].astype(np.int64),
        is_past=given.days[rows] < past_to_day,
    )
