"""The outcome model of doubly robust evaluation: a shrunken mean for each group of context and each action. Pure.

Features: a group of context and an action, both as codes from 0. Output: the expected outcome, in the outcome's unit,
within the range seen. A cell with few decisions leans on its parent, which is the mean of the action plus what the
group differs from all; the parents lean on the overall mean. Cross-fitted: what is said of a decision was learned
from the other folds, so that the model cannot have learned that decision's own noise. Not calibrated, and it need not
be: a poor model widens the interval of DR and does not bias it. Label: the outcome named in the order, at its delay.
Cost: 0.1 us a decision. No chance in it: folds come from the id of a decision by SHA-256.

    >>> import numpy as np
    >>> log = Log(bucket=np.array([0, 0, 0, 0]), action=np.array([0, 0, 1, 1]), fold=np.array([0, 1, 0, 1]),
    ...     outcome=np.array([1.0, 1.0, 0.0, 0.0]))
    >>> model = fit(log, folds=2)
    >>> bool(model.value(np.array([0]), np.array([0]), np.array([0]))[0] > 0.5)
    True
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.off_policy_estimators import Codes, Vector
from tongbao.decisions.schema.evaluation import FOLDS_MAX, FOLDS_MIN

PRIOR_COUNT = 20.0
"""Decisions that a parent's word is worth against a cell's own."""
BUCKETS_MAX = 1_000
ACTIONS_MAX = 1_000


class Log(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is learned from: codes of context group, action and fold, and the outcome, arrays (m,)."""

    bucket: Codes
    action: Codes
    fold: Codes
    outcome: Vector


class RewardModel(msgspec.Struct, frozen=True, eq=False):
    """``means``: an array (n_folds, n_buckets, n_actions); ``means[f]`` was learned from all folds but ``f``."""

    means: npt.NDArray[np.float64]

    def value(self, fold: Codes, bucket: Codes, action: Codes) -> Vector:
        """Return the expected outcome of actions for decisions of the given folds and groups, arrays (k,)."""
        found: Vector = self.means[fold, bucket, action]
        return found


def fold_of(decision_id: UUID, folds: int) -> int:
    """Return the fold of a decision, the same in every run."""
    return int.from_bytes(hashlib.sha256(decision_id.bytes).digest()[:8], "big") % folds


def codes_of(groups: Sequence[Hashable], limit: int = BUCKETS_MAX) -> Codes:
    """Return a code for each group, by how often it occurs; past ``limit`` groups the rarest share the last code."""
    ranked = [group for group, _ in Counter(groups).most_common()]
    code = {group: min(at, limit - 1) for at, group in enumerate(ranked)}
    return np.fromiter((code[group] for group in groups), dtype=np.int64, count=len(groups))


def fit(log: Log, folds: int, buckets: int | None = None, actions: int | None = None) -> RewardModel:
    """Learn from a log.

    ``buckets`` and ``actions`` say how many codes there are where the log does not hold them all. Raises InvalidRequest
    ``evaluation_input_invalid`` for an empty log, arrays of different lengths, codes out of range, outcomes that are not
    finite, or folds other than 2 to 5.
    """
    shape = _shape(log, folds, buckets, actions)
    cell = (log.fold * shape[1] + log.bucket) * shape[2] + log.action
    size = shape[0] * shape[1] * shape[2]
    count = np.bincount(cell, minlength=size).reshape(shape).astype(np.float64)
    total = np.bincount(cell, weights=log.outcome, minlength=size).reshape(shape)
    others_count, others_total = count.sum(axis=0) - count, total.sum(axis=0) - total
    means = _shrunken(others_count, others_total, float(log.outcome.mean()))
    return RewardModel(np.clip(means, log.outcome.min(), log.outcome.max()))


def _shape(log: Log, folds: int, buckets: int | None, actions: int | None) -> tuple[int, int, int]:
    arrays = (log.bucket, log.action, log.fold)
    sound = (
        FOLDS_MIN <= folds <= FOLDS_MAX
        and len(log.outcome) > 0
        and all(each.shape == log.outcome.shape for each in arrays)
        and bool(np.isfinite(log.outcome).all())
        and all(int(each.min()) >= 0 for each in arrays)
    )
    if not sound:
        raise InvalidRequest("evaluation_input_invalid", "the outcome model cannot learn from such arrays")
    most = [int(each.max()) + 1 for each in (log.fold, log.bucket, log.action)]
    shape = folds, buckets or most[1], actions or most[2]
    if any(seen > told for seen, told in zip(most, shape, strict=True)):
        raise InvalidRequest("evaluation_input_invalid", "a code of the outcome model is out of range")
    if shape[1] > BUCKETS_MAX or shape[2] > ACTIONS_MAX:
        raise InvalidRequest(
            "evaluation_input_invalid", f"more than {BUCKETS_MAX} groups or {ACTIONS_MAX} actions"
        )
    return shape


def _shrunken(
    count: npt.NDArray[np.float64], total: npt.NDArray[np.float64], level: float
) -> npt.NDArray[np.float64]:
    """Return the means (n_folds, n_buckets, n_actions) of cells that lean on action plus group minus all.

    ``level`` is the mean of everything: what a fold falls back to that has no decisions outside of it.
    """
    size = count.sum(axis=(1, 2), keepdims=True)
    everything = np.where(size > 0, total.sum(axis=(1, 2), keepdims=True) / np.maximum(size, 1), level)
    by_action = _toward(count.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True), everything)
    by_bucket = _toward(count.sum(axis=2, keepdims=True), total.sum(axis=2, keepdims=True), everything)
    return _toward(count, total, by_action + by_bucket - everything)


def _toward(
    count: npt.NDArray[np.float64], total: npt.NDArray[np.float64], parent: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return (total + PRIOR_COUNT * parent) / (count + PRIOR_COUNT)
