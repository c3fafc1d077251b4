"""Fitting the context prior of one channel off-line, and judging whether context foretells issuers better than none.

Model: penalized logistic regression of an issuer's yes on the features of ``models.prior``, beside the log-odds that
routing believed when it chose; so the weights are what context adds to a belief, not the belief again. Label: approved
against declined by the issuer, minutes late. Weights are centered: over the channel's own traffic the mean chance stays
what it is, for that the board has learned itself. Judged on the part of the log that is later than everything fitted:
log-loss and calibration against (a) the belief recalibrated without context and (b) gradient-boosted trees with the same
features. Kept where it beats (a) by a one-sided paired z test. Seeds are fixed: equal examples give equal fits. Cost:
about 2 s for 100,000 examples.

References: Hosmer, Lemeshow and Sturdivant 2013 (logistic regression); Ke et al. 2017 (LightGBM).
"""

import importlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse import csr_matrix, hstack
from scipy.special import ndtri

from tongbao.routing.models.prior import ALWAYS, Key, feature_of
from tongbao.routing.schema.spec import FEATURES_MAX, WEIGHT_MAX

Floats = NDArray[np.float64]

EACH_MIN = 60
"""Approvals, and declines, that a channel needs in the earlier part; half as many in the later one."""
SEEN_MIN = 40
"""A feature that fewer examples have is left out."""
WEIGHT_MIN = 0.02
"""Smaller weights change nothing that could be seen."""
PENALTIES = (0.003, 0.02, 0.1, 0.5)
"""Inverse strengths that are tried on the last quarter of the earlier part; the first is the strongest."""
BELIEF_SCALE = 10.0
"""The belief is fitted a hundred times more freely than a feature."""
ODDS_MAX = 6.0
BINS = 10
ROUNDS = 120
TREES = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 60,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
    "verbose": -1,
}


class Example(NamedTuple):
    """One attempt that an issuer answered: features, the log-odds believed at the choice, and whether it said yes."""

    keys: tuple[Key, ...]
    belief: float
    approved: bool


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How well chances foretold the later part: mean log-loss in nats, and the mean gap between chance and rate.

    The gap is taken over ten equally large groups by chance, weighted by size; 0 is perfect.
    """

    log_loss: float
    calibration_error: float


class ChannelFit(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one channel. ``gain``: log-loss without context minus with it, ``gain_error`` its standard error.

    ``weights`` are what was fitted, also where it is not ``kept``; scores are None where nothing was fitted.
    """

    channel: str
    earlier_count: int
    later_count: int
    kept: bool
    why: str
    weights: dict[str, float] = {}
    no_context: Scores | None = None
    context: Scores | None = None
    trees: Scores | None = None
    gain: float = 0.0
    gain_error: float = 0.0


class _Part(NamedTuple):
    """Examples as arrays: features (n, v) of 0 and 1, log-odds believed (n,), answers (n,)."""

    features: csr_matrix
    belief: Floats
    answers: Floats


def fit_channel(
    channel: str, earlier: Sequence[Example], later: Sequence[Example], error_share: float
) -> ChannelFit:
    """Return what ``earlier`` teaches of a channel and how it does on ``later``; both in the order of time.

    ``error_share``: the chance with which a prior may be kept that is worth nothing (0.01 over all channels, as a rule).
    """
    if why := _too_few(earlier, later):
        return ChannelFit(
            channel=channel, earlier_count=len(earlier), later_count=len(later), kept=False, why=why
        )
    vocabulary = _vocabulary(earlier)
    train, held = _part(earlier, vocabulary), _part(later, vocabulary)
    middle = float(train.belief.mean())
    train, held = (each._replace(belief=each.belief - middle) for each in (train, held))
    penalty = _penalty(train)
    # Both are fitted alike, so that the features are all that tells them apart.
    base, model = _fitted(_without(train), penalty), _fitted(train, penalty)
    weights = _weights(model.coef_[0][:-1])
    always = _always(base.decision_function(_design(_without(train))), train.features @ weights)
    odds = base.decision_function(_design(_without(held))) + held.features @ weights + always
    plain = _loss(_chances(base, _without(held)), held.answers)
    better = plain - _loss(_sigmoid(odds), held.answers)
    gain = float(better.mean())
    gain_error = float(better.std(ddof=1)) / math.sqrt(len(better))
    needed = float(-ndtri(error_share)) * gain_error
    kept = bool(gain > needed and weights.any())
    return ChannelFit(
        channel=channel,
        earlier_count=len(earlier),
        later_count=len(later),
        kept=kept,
        why="context foretells better" if kept else "context foretells no better than no context",
        weights=_named(vocabulary, weights, always),
        no_context=_scores(_chances(base, _without(held)), held.answers),
        context=_scores(_sigmoid(odds), held.answers),
        trees=_scores(_grown(train, held), held.answers),
        gain=gain,
        gain_error=gain_error,
    )


def _too_few(earlier: Sequence[Example], later: Sequence[Example]) -> str:
    for part, name, least in ((earlier, "earlier", EACH_MIN), (later, "later", EACH_MIN // 2)):
        yes = sum(each.approved for each in part)
        if min(yes, len(part) - yes) < least:
            return f"the {name} part has fewer than {least} approvals or declines of issuers"
    return ""


def _vocabulary(examples: Sequence[Example]) -> dict[Key, int]:
    """Return the features that are common enough and not shared by all, the most common first."""
    counts = Counter(key for each in examples for key in each.keys if key != ALWAYS)
    telling = [key for key, count in counts.most_common() if SEEN_MIN <= count <= len(examples) - SEEN_MIN]
    return {key: place for place, key in enumerate(sorted(telling[: FEATURES_MAX - 1]))}


def _part(examples: Sequence[Example], vocabulary: dict[Key, int]) -> _Part:
    rows = [[vocabulary[key] for key in each.keys if key in vocabulary] for each in examples]
    begins = np.cumsum([0, *map(len, rows)])
    places = np.array([place for row in rows for place in row], dtype=np.int64)
    features = csr_matrix(
        (np.ones(len(places)), places, begins), shape=(len(examples), len(vocabulary)), dtype=np.float64
    )
    belief = np.clip(np.array([each.belief for each in examples]), -ODDS_MAX, ODDS_MAX)
    return _Part(features, belief, np.array([float(each.approved) for each in examples]))


def _without(part: _Part) -> _Part:
    return part._replace(features=part.features[:, :0])


def _design(part: _Part) -> csr_matrix:
    """Return the features with the scaled belief as the last column."""
    belief = csr_matrix(part.belief[:, None] * BELIEF_SCALE)
    return csr_matrix(hstack([part.features, belief]))


def _fitted(part: _Part, penalty: float) -> Any:
    """Return the logistic regression of a part. Its library loads in seconds, which no other command should wait for."""
    linear: Any = importlib.import_module("sklearn.linear_model")
    return linear.LogisticRegression(C=penalty, solver="newton-cholesky").fit(_design(part), part.answers)


def _penalty(part: _Part) -> float:
    """Return the inverse strength that does best on the last quarter after learning from the rest."""
    cut = len(part.answers) * 3 // 4
    head = _Part(part.features[:cut], part.belief[:cut], part.answers[:cut])
    tail = _Part(part.features[cut:], part.belief[cut:], part.answers[cut:])
    if len(set(head.answers)) < 2:
        return PENALTIES[0]
    losses = [_loss(_chances(_fitted(head, each), tail), tail.answers).mean() for each in PENALTIES]
    return PENALTIES[int(np.argmin(losses))]


def _weights(fitted: Floats) -> Floats:
    """Return the weights as they will be served: bounded, and without those that are next to nothing."""
    bounded = np.clip(np.round(fitted, 4), -WEIGHT_MAX, WEIGHT_MAX)
    return np.where(np.abs(bounded) >= WEIGHT_MIN, bounded, 0.0)


def _always(odds: Floats, added: Floats) -> float:
    """Return what every payment gets, so that the channel's mean chance stays what it was believed to be."""
    wanted = float(_sigmoid(odds).mean())
    found = brentq(
        lambda more: float(_sigmoid(odds + added + more).mean()) - wanted, -2 * ODDS_MAX, 2 * ODDS_MAX
    )
    return round(max(-WEIGHT_MAX, min(float(found), WEIGHT_MAX)), 4)


def _named(vocabulary: dict[Key, int], weights: Floats, always: float) -> dict[str, float]:
    named = {feature_of(key): float(weights[place]) for key, place in vocabulary.items() if weights[place]}
    if named:
        named[feature_of(ALWAYS)] = always
    return dict(sorted(named.items()))


def _chances(model: Any, part: _Part) -> Floats:
    return np.asarray(model.predict_proba(_design(part))[:, 1])


def _grown(train: _Part, held: _Part) -> Floats:
    """Return the chances that gradient-boosted trees give to the later part."""
    lightgbm: Any = importlib.import_module("lightgbm")
    data = lightgbm.Dataset(_design(train), label=train.answers, params=dict(TREES))
    booster = lightgbm.train(dict(TREES), data, num_boost_round=ROUNDS)
    return np.asarray(booster.predict(_design(held)))


def _sigmoid(odds: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def _loss(chances: Floats, answers: Floats) -> Floats:
    safe = np.clip(chances, 1e-6, 1 - 1e-6)
    return -(answers * np.log(safe) + (1 - answers) * np.log(1 - safe))


def _scores(chances: Floats, answers: Floats) -> Scores:
    groups = np.array_split(np.argsort(chances, kind="stable"), BINS)
    gaps = [abs(float(chances[group].mean() - answers[group].mean())) * len(group) for group in groups]
    return Scores(
        log_loss=round(float(_loss(chances, answers).mean()), 6),
        calibration_error=round(sum(gaps) / len(answers), 6),
    )
