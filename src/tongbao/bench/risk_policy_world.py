"""The world of the policy benchmark: scored payments with known truth, and what tiers do to them.

A fraud that passes costs its amount and 15.00, a good payment that is lost costs 1.5 % and 2.00: the default ``Costs``. A
step-up costs 0.05, stops 90 % of frauds and loses 6 % of good payments (10 % on cards with fewer than 20 payments); a
review costs 4.00, stops 99 % and loses 12 %. All of it is invented and no promise for a real house.
"""

from pathlib import Path
from typing import NamedTuple

import lightgbm
import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from tongbao.bench.risk_protocol import DAYS, TEST_STARTS, VALIDATION_STARTS, Rows, Stream, fold
from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.tiers import Costs

DAY_S = 86_400
NEW_BELOW = 20
"""Payments of a card before this one, below which it counts as new."""
STEP_UP_LOST, STEP_UP_LOST_NEW, STEP_UP_CAUGHT = 0.06, 0.10, 0.90
REVIEW_LOST, REVIEW_CAUGHT = 0.12, 0.99
STARTS = tuple(sorted((*TEST_STARTS, *VALIDATION_STARTS[:2])))
"""Days on which weeks of training begin; a week is judged 14 days later, and the first three of these are the past."""

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Events(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Payments in order of time, arrays (n,): seconds from the first day, card, value in hundredths, truth."""

    at_s: Codes
    card: Codes
    value: Codes
    is_fraud: Mask


class Scored(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Payments with a score from a model that saw neither them nor labels younger than a week, arrays (n,) in order of time.

    ``score``: chance of fraud, calibrated or not; ``value`` in hundredths; ``history``: payments of the card before;
    ``is_past``: what thresholds, calibration and first rates may be learned from.
    """

    at_s: Codes
    score: Array
    value: Codes
    is_fraud: Mask
    history: Codes
    is_past: Mask


class World(NamedTuple):
    """What happens to each payment in each tier, all (n, 4) but ``fees`` (4,); money in major units.

    ``stops``: chance that the payment ends there; ``if_stopped`` and ``if_passed`` (n,): what follows costs.
    """

    stops: Array
    if_stopped: Array
    if_passed: Array
    fees: Array

    def expected(self) -> Array:
        """Return the expected cost of each tier, (n, 4)."""
        cost: Array = self.fees + self.stops * self.if_stopped[:, None]
        cost += (1 - self.stops) * self.if_passed[:, None]
        return cost

    def drawn(self, tier: Codes, uniform: Array) -> Array:
        """Return what one draw costs, (n,)."""
        is_stopped = uniform < self.stops[np.arange(len(tier)), tier]
        cost: Array = self.fees[tier] + np.where(is_stopped, self.if_stopped, self.if_passed)
        return cost

    def at(self, rows: npt.NDArray[np.intp]) -> "World":
        """Return the world of some of the payments."""
        return World(self.stops[rows], self.if_stopped[rows], self.if_passed[rows], self.fees)


def world_of(scored: Scored) -> World:
    """Return the world of the published comparison for these payments."""
    costs = Costs()
    value = scored.value / 100
    lost = np.where(scored.history < NEW_BELOW, STEP_UP_LOST_NEW, STEP_UP_LOST)
    zero, one = np.zeros(len(value)), np.ones(len(value))
    good = np.stack([zero, lost, REVIEW_LOST * one, one], axis=1)
    bad = np.stack([zero, STEP_UP_CAUGHT * one, REVIEW_CAUGHT * one, one], axis=1)
    return World(
        stops=np.where(scored.is_fraud[:, None], bad, good),
        if_stopped=np.where(scored.is_fraud, 0.0, value * costs.margin_bps / 10_000 + costs.goodwill / 100),
        if_passed=np.where(scored.is_fraud, value + costs.fraud_fee / 100, 0.0),
        fees=np.array([0.0, costs.step_up_fee, costs.review_fee, 0.0]) / 100,
    )


def thinned(scored: Scored, payments: int) -> Scored:
    """Return at most ``payments`` of them, evenly over time."""
    count = len(scored.score)
    if count <= payments:
        return scored
    rows = np.arange(payments) * count // payments
    return Scored(**{name: getattr(scored, name)[rows] for name in Scored.__struct_fields__})


def calibrated(scored: Scored) -> Array:
    """Return chances of fraud by isotonic regression on the past."""
    past = scored.is_past
    curve = IsotonicRegression(out_of_bounds="clip", y_min=1e-5, y_max=0.999)
    curve.fit(scored.score[past], scored.is_fraud[past])
    chance: Array = curve.predict(scored.score)
    return chance


def score(features: Rows, history: Codes, events: Events, seed: int = 0) -> Scored:
    """Return the weeks of ``STARTS`` scored by LightGBM (100 trees of 15 leaves), each trained on one week, a week before.

    ``features`` (n, n_features) belong to ``events``, which begin on day 0; ``history`` (n,): payments of the card before.
    Cards with fraud that was known by then are left out, as in the Handbook's protocol.
    """
    day = events.at_s // DAY_S
    stream = Stream(rows=features, days=day, cards=events.card, is_fraud=events.is_fraud)
    parts: list[tuple[Codes, Array]] = []
    for start in STARTS:
        training, testing = fold(stream, start)
        model = lightgbm.LGBMClassifier(
            n_estimators=100,
            num_leaves=15,
            learning_rate=0.1,
            min_child_samples=20,
            colsample_bytree=0.6,
            reg_lambda=5.0,
            n_jobs=1,
            verbose=-1,
            random_state=seed,
            deterministic=True,
            force_row_wise=True,
        )
        model.fit(features[training], events.is_fraud[training])
        parts.append((testing, np.asarray(model.predict_proba(features[testing]))[:, 1]))
    rows = np.concatenate([part for part, _ in parts])
    past_to_day = STARTS[len(STARTS) // 2] + 2 * DAYS
    return Scored(
        at_s=events.at_s[rows],
        score=np.concatenate([part for _, part in parts]),
        value=events.value[rows],
        is_fraud=events.is_fraud[rows],
        history=history[rows],
        is_past=day[rows] < past_to_day,
    )


def check(scored: Scored) -> None:
    """Raise InvalidRequest ``scores_invalid`` for arrays that do not fit, or a past or present without fraud."""
    arrays = [getattr(scored, name) for name in Scored.__struct_fields__]
    count = len(scored.score)
    sound = count > 0 and all(each.shape == (count,) for each in arrays)
    if not sound or not (np.diff(scored.at_s) >= 0).all():
        raise InvalidRequest("scores_invalid", "scored payments are arrays of one length in order of time")
    for part, when in ((scored.is_past, "past"), (~scored.is_past, "present")):
        if len(np.unique(scored.is_fraud[part])) < 2:
            raise InvalidRequest("scores_invalid", f"there are not frauds and good payments in the {when}")


def read_scores(path: Path) -> Scored:
    """Return scored payments from an NPZ file with the arrays of ``Scored``.

    Raises InvalidRequest ``scores_invalid`` where one is missing.
    """
    with np.load(path) as data:
        missing = sorted(set(Scored.__struct_fields__) - set(data.files))
        if missing:
            raise InvalidRequest("scores_invalid", f"{path.name} has no {', '.join(missing)}")
        return Scored(**{name: data[name] for name in Scored.__struct_fields__})
