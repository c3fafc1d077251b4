"""Whether scores and features still look as they did in training, and whether scores still mean what they say.

The population stability index compares the shares of quantile bins now with those of a reference that is kept with the
model: the sum of (now - then) * ln(now / then), both with half a payment added to each bin. It needs no labels, so it is
the first to speak. Calibration is the logistic fit of matured labels on the log-odds of scores (Cox 1958): a slope of 1
and a level of 0 are right.

Memory is bounded: a table of counts for the newest buckets of time, whatever the traffic.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import array_state
from tongbao.risk.models.base import Floats
from tongbao.risk.models.native import native
from tongbao.risk.schema.models import FEATURES_MAX, CalibrationFit, Interval, Shift

BINS = 10
BINS_MAX = 50
BUCKETS = 7
BUCKETS_MAX = 60
REFERENCE_ROWS_MIN = 100
FRAUDS_MIN = 30
"""Known frauds, and good payments, below which a slope would be a guess."""
STEPS_MAX = 50
PROB_MIN = 1e-9
Z95 = 1.959964
_Z999 = 3.090232
_KIND = "drift"
Counts = NDArray[np.int64]


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What columns looked like: by column the upper edges of all bins but the last, and the counts of bins.

    The last count is of unknown values (NaN). JSON by msgspec, to be kept with the model; what does not fit together raises
    InvalidRequest ``drift_reference_invalid``.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        is_sound = 0 < len(self.names) == len(self.edges) == len(self.counts) and all(
            len(counts) == len(edges) + 2 and min(counts) >= 0 < sum(counts) and sorted(edges) == list(edges)
            for edges, counts in zip(self.edges, self.counts, strict=True)
        )
        if not is_sound:
            raise InvalidRequest("drift_reference_invalid", "edges and counts do not belong together")


def measured(names: tuple[str, ...], rows: Floats, bins: int = BINS) -> Reference:
    """Return the reference of ``rows`` (n, n_columns) with about ``bins`` bins of equal count a column.

    A value that fills a bin by itself gets one of its own. Raises InvalidRequest ``drift_reference_invalid``.
    """
    if rows.ndim != 2 or rows.shape[1] != len(names) or not 0 < len(names) <= FEATURES_MAX + 1:
        raise InvalidRequest("drift_reference_invalid", f"rows {rows.shape} do not fit {len(names)} names")
    if len(set(names)) != len(names) or len(rows) < REFERENCE_ROWS_MIN or not 2 <= bins <= BINS_MAX:
        detail = f"{len(rows)} rows, {bins} bins; {REFERENCE_ROWS_MIN} rows and names once each are needed"
        raise InvalidRequest("drift_reference_invalid", detail)
    edges = tuple(_edges(rows[:, place], bins) for place in range(len(names)))
    table = _padded(edges)
    counts = np.zeros((len(names), table.shape[1] + 2), dtype=np.int64)
    _tally(np.ascontiguousarray(rows, dtype=np.float64), table, counts)
    kept = tuple(
        (*counts[place, : len(each) + 1].tolist(), int(counts[place, -1])) for place, each in enumerate(edges)
    )
    return Reference(names=names, edges=edges, counts=kept)


class Drift:
    """Counts of the newest ``buckets`` of time (days, say) against a reference.

    Example::

        drift = Drift(measured(("score",), scores[:, None]))
        drift.add(day, todays_scores[:, None])
        drift.shifts()[0].psi
    """

    def __init__(self, reference: Reference, buckets: int = BUCKETS) -> None:
        if not 1 <= buckets <= BUCKETS_MAX:
            raise InvalidRequest("drift_buckets_invalid", f"{buckets} buckets are not 1 to {BUCKETS_MAX}")
        self.reference = reference
        self._edges = _padded(reference.edges)
        self._counts = np.zeros((buckets, len(reference.names), self._edges.shape[1] + 2), dtype=np.int64)
        self._newest: int | None = None

    def add(self, bucket: int, rows: Floats) -> bool:
        """Count ``rows`` (n, n_columns) of one bucket; return False, and count nothing, where it is too old.

        Buckets are whole numbers that grow with time; a newer one drops what is no longer among the newest.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.reference.names):
            raise InvalidRequest("drift_rows_invalid", f"rows {rows.shape} do not fit the reference")
        held = len(self._counts)
        if self._newest is None:
            self._newest = bucket
        if bucket <= self._newest - held:
            return False
        for late in range(max(self._newest + 1, bucket - held + 1), bucket + 1):
            self._counts[late % held] = 0
        self._newest = max(self._newest, bucket)
        _tally(np.ascontiguousarray(rows, dtype=np.float64), self._edges, self._counts[bucket % held])
        return True

    def shifts(self) -> tuple[Shift, ...]:
        """Return how far each column moved, in the order of the reference."""
        now = self._counts.sum(axis=0)
        return tuple(
            _shift(name, np.array(then), np.append(now[place, : len(then) - 1], now[place, -1]))
            for place, (name, then) in enumerate(
                zip(self.reference.names, self.reference.counts, strict=True)
            )
        )

    def dump(self) -> bytes:
        """Return the counts as bytes; the reference is kept elsewhere, with the model."""
        newest = [] if self._newest is None else [self._newest]
        arrays = {"counts": self._counts, "newest": np.array(newest, dtype=np.int64)}
        return array_state.packed(_KIND, self.reference.names, arrays)

    @classmethod
    def load(cls, reference: Reference, payload: bytes) -> "Drift":
        """Return what ``dump`` wrote. Raises InvalidRequest ``risk_state_invalid`` where it is of another reference."""
        names, arrays = array_state.unpacked(payload, _KIND)
        if names != reference.names:
            raise array_state.refused("these counts are of other columns")
        counts = array_state.integers(arrays, "counts", (None, None, None))
        newest = array_state.integers(arrays, "newest", (None,))
        if not 1 <= len(counts) <= BUCKETS_MAX or len(newest) > 1 or counts.min(initial=0) < 0:
            raise array_state.refused("these are no counts of buckets")
        drift = cls(reference, len(counts))
        if counts.shape != drift._counts.shape:
            raise array_state.refused("these counts are of other bins")
        drift._counts = counts
        drift._newest = int(newest[0]) if len(newest) else None
        return drift


def calibration_fit(scores: Floats, is_fraud: NDArray[np.bool_]) -> CalibrationFit | None:
    """Return how well scores (n,) in [0, 1] mean what they say, by labels (n,) that had time to arrive.

    None where there are fewer than ``FRAUDS_MIN`` frauds or good payments, or scores that do not vary. Intervals are
    Wald's, of independent payments.
    """
    if scores.shape != is_fraud.shape or scores.ndim != 1:
        raise InvalidRequest("calibration_rows_invalid", f"{scores.shape} scores, {is_fraud.shape} labels")
    frauds = int(np.count_nonzero(is_fraud))
    if min(frauds, len(scores) - frauds) < FRAUDS_MIN:
        return None
    kept = np.clip(scores, PROB_MIN, 1 - PROB_MIN)
    odds = np.log(kept / (1 - kept))
    if not np.all(np.isfinite(odds)):
        raise InvalidRequest("calibration_rows_invalid", "a score is no number")
    labels = is_fraud.astype(np.float64)
    level = _logistic(np.ones((len(odds), 1)), labels, odds)
    if np.ptp(odds) < 1e-6 or level is None:
        return None
    both = _logistic(np.column_stack([np.ones(len(odds)), odds]), labels, np.zeros(len(odds)))
    if both is None:
        return None
    return CalibrationFit(
        slope=both[1], intercept=both[0], level=level[0], count=len(scores), fraud_count=frauds
    )


def _logistic(design: Floats, labels: Floats, offset: Floats) -> list[Interval] | None:
    """Return the coefficients of a logistic fit by Newton's method with halved steps; None where there is no maximum."""
    beta = np.zeros(design.shape[1])
    likelihood = _log_likelihood(offset, labels)
    for _ in range(STEPS_MAX):
        chance = 1 / (1 + np.exp(-np.clip(offset + design @ beta, -500, 500)))
        information = design.T @ (design * (chance * (1 - chance))[:, None])
        if not np.linalg.cond(information) < 1e12:
            return None
        step = np.linalg.solve(information, design.T @ (labels - chance))
        better = _log_likelihood(offset + design @ (beta + step), labels)
        while better < likelihood and np.abs(step).max() > 1e-10:
            step = step / 2
            better = _log_likelihood(offset + design @ (beta + step), labels)
        beta, likelihood = beta + step, better
        if np.abs(step).max() < 1e-9:
            errors = np.sqrt(np.diag(np.linalg.inv(information)))
            rows = zip(beta.tolist(), errors.tolist(), strict=True)
            return [Interval(value, value - Z95 * error, value + Z95 * error) for value, error in rows]
    return None


def _log_likelihood(odds: Floats, labels: Floats) -> float:
    return float(np.sum(labels * odds - np.logaddexp(0, odds)))


def _shift(name: str, then: Counts, now: Counts) -> Shift:
    """Return the index of one column; what no payment of either ever had is no bin."""
    used = (then > 0) | (now > 0)
    before, after = then[used] + 0.5, now[used] + 0.5
    count = int(now.sum())
    if not count:
        return Shift(name=name, psi=0.0, noise=0.0, count=0)
    before, after = before / before.sum(), after / after.sum()
    psi = float(np.sum((after - before) * np.log(after / before)))
    freedom = max(len(before) - 1, 1)
    # The index of independent payments is a chi-square times this; its quantile is that of Wilson and Hilferty.
    quantile = freedom * (1 - 2 / (9 * freedom) + _Z999 * math.sqrt(2 / (9 * freedom))) ** 3
    return Shift(name=name, psi=psi, noise=quantile * (1 / count + 1 / int(then.sum())), count=count)


def _edges(values: Floats, bins: int) -> tuple[float, ...]:
    """Return ascending edges; a bin holds what is above its lower and not above its upper edge."""
    known = values[np.isfinite(values)]
    if not len(known):
        return ()
    cuts = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf")
    edges = set(cuts.tolist())
    for cut in np.unique(cuts):
        if np.count_nonzero(known == cut) * bins >= len(known):
            edges.add(float(np.nextafter(cut, -np.inf)))
    return tuple(sorted(edges))


def _padded(edges: tuple[tuple[float, ...], ...]) -> Floats:
    table = np.full((len(edges), max(len(each) for each in edges)), np.inf)
    for place, each in enumerate(edges):
        table[place, : len(each)] = each
    return table


@native
def _tally(rows: Floats, edges: Floats, counts: Counts) -> None:
    """Add rows to counts of shape (n_columns, n_edges + 2); NaN goes to the last place."""
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            value = rows[row, column]
            low = 0
            high = edges.shape[1]
            if np.isnan(value):
                low = high + 1
                high = low
            while low < high:
                middle = (low + high) // 2
                if edges[column, middle] < value:
                    low = middle + 1
                else:
                    high = middle
            counts[column, low] += 1
