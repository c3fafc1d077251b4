"""How unlike good traffic a payment is, learned without labels: robust z, isolation forest, local outlier factor.

None of the three decides anything: they are features of the model and order the queue for labels. All are fitted on a
bounded sample of good traffic with scikit-learn, kept as flat arrays and walked natively, so that the isolation forest
can serve as one live feature. Unknown values (NaN) count as the median of good traffic, which is the least unusual.

Sources: Liu, Ting and Zhou, "Isolation forest" (ICDM 2008); Breunig et al., "LOF" (SIGMOD 2000); Iglewicz and Hoaglin
(1993) for the median and the median absolute deviation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.core.lazy import Lazily
from tongbao.risk.models import array_state
from tongbao.risk.models.base import Floats
from tongbao.risk.models.native import native

ROWS_MIN = 50
FOREST_ROWS_MAX = 20_000
TREES = 100
TREES_MAX = 500
ROWS_OF_TREE = 256
LOF_ROWS_MAX = 4_000
NEIGHBORS = 20
NEIGHBORS_MAX = 100
Z_MAX = 20.0
"""Beyond it a value is as unusual as can be."""
HEAVIEST = 3
"""Features whose deviations make the score of robust z."""
_MAD_TO_SIGMA = 1.4826
_MEAN_TO_SIGMA = 1.2533
_TINY = 1e-10
ensemble = Lazily("sklearn.ensemble")
sklearn_neighbors = Lazily("sklearn.neighbors")
Integers = NDArray[np.int64]


class RobustZ:
    """Deviations from the median of good traffic in units of its spread, each within ``Z_MAX``.

    The spread is the median absolute deviation; where more than half of the values are equal the mean one; where all
    are, whatever differs has ``Z_MAX``.
    """

    def __init__(self, names: tuple[str, ...], centers: Floats, scales: Floats) -> None:
        self.names = names
        self.centers = centers
        self.scales = scales

    @classmethod
    def fit(cls, names: tuple[str, ...], good: Floats) -> "RobustZ":
        """Learn from good traffic (n, n_features). Raises InvalidRequest ``anomaly_rows_invalid``."""
        _check(names, good)
        centers = np.zeros(len(names))
        scales = np.zeros(len(names))
        for column in range(len(names)):
            known = good[~np.isnan(good[:, column]), column]
            if len(known):
                centers[column] = np.median(known)
                apart = np.abs(known - centers[column])
                scales[column] = _MAD_TO_SIGMA * np.median(apart) or _MEAN_TO_SIGMA * np.mean(apart)
        return cls(names, centers, scales)

    def z(self, rows: Floats) -> Floats:
        """Return the deviations of rows (n, n_features), in the same shape; 0 where unknown."""
        result = np.zeros(rows.shape)
        _deviate(np.ascontiguousarray(rows, dtype=np.float64), self.centers, self.scales, result)
        return result

    def score(self, rows: Floats) -> Floats:
        """Return the mean size of the ``HEAVIEST`` deviations of each row, in [0, Z_MAX]; higher is more unusual."""
        sizes = np.sort(np.abs(self.z(rows)), axis=1)
        heaviest: Floats = sizes[:, -HEAVIEST:].mean(axis=1)
        return heaviest

    def dump(self) -> bytes:
        """Return it as bytes."""
        return array_state.packed("robust_z", self.names, {"centers": self.centers, "scales": self.scales})

    @classmethod
    def load(cls, payload: bytes) -> "RobustZ":
        """Return what ``dump`` wrote. Raises InvalidRequest ``risk_state_invalid``."""
        names, arrays = array_state.unpacked(payload, "robust_z")
        return cls(names, *(array_state.floats(arrays, key, (len(names),)) for key in ("centers", "scales")))


class Isolation:
    """An isolation forest: the fewer random cuts set a payment apart, the more unusual it is.

    Scores lie in (0, 1]; about 0.5 is usual, higher is more unusual; they are scikit-learn's ``score_samples`` with the
    sign turned, to the last digits. About 10 microseconds a payment.
    """

    def __init__(self, names: tuple[str, ...], fill: Floats, nodes: Integers, values: Floats) -> None:
        """``nodes`` (n, 3): feature (-1: a leaf), left, right; ``values`` (n,): threshold, or depth of a leaf.

        A tree begins where no node leads to; ``values`` ends with the number of trees times the usual depth.
        """
        self.names = names
        self._fill = fill
        self._nodes = nodes
        self._values = values[:-1].copy()
        self._usual = float(values[-1])
        self._roots = np.setdiff1d(np.arange(len(nodes)), nodes[nodes[:, 0] >= 0, 1:].ravel())

    @classmethod
    def fit(cls, names: tuple[str, ...], good: Floats, seed: int, trees: int = TREES) -> "Isolation":
        """Learn from good traffic (n, n_features), of which at most ``FOREST_ROWS_MAX`` rows are looked at.

        Raises InvalidRequest ``anomaly_rows_invalid`` for too few rows and ``anomaly_trees_invalid``.
        """
        _check(names, good)
        if not 1 <= trees <= TREES_MAX:
            raise InvalidRequest("anomaly_trees_invalid", f"{trees} trees are not 1 to {TREES_MAX}")
        rows = _sampled(good, FOREST_ROWS_MAX, seed)
        fill = RobustZ.fit(names, rows).centers
        forest = ensemble.IsolationForest(n_estimators=trees, max_samples=ROWS_OF_TREE, random_state=seed)
        if len(rows) < ROWS_OF_TREE:
            forest.set_params(max_samples=len(rows))
        forest.fit(np.where(np.isnan(rows), fill, rows))
        return cls(names, fill, *_flattened(forest))

    def score_one(self, features: Floats) -> float:
        """Return the score of one payment (n_features,)."""
        return float(_isolation(features, self._fill, self._nodes, self._values, self._roots, self._usual))

    def score(self, rows: Floats) -> Floats:
        """Return the scores (n,) of rows (n, n_features); bit for bit as ``score_one``."""
        result = np.empty(len(rows))
        kept = np.ascontiguousarray(rows, dtype=np.float64)
        _isolations(kept, self._fill, self._nodes, self._values, self._roots, self._usual, result)
        return result

    def dump(self) -> bytes:
        """Return it as bytes."""
        values = np.append(self._values, self._usual)
        arrays: dict[str, array_state.Array] = {"fill": self._fill, "nodes": self._nodes, "values": values}
        return array_state.packed("isolation_forest", self.names, arrays)

    @classmethod
    def load(cls, payload: bytes) -> "Isolation":
        """Return what ``dump`` wrote. Raises InvalidRequest ``risk_state_invalid``, also for trees that lead nowhere."""
        names, arrays = array_state.unpacked(payload, "isolation_forest")
        nodes = array_state.integers(arrays, "nodes", (None, 3))
        fill = array_state.floats(arrays, "fill", (len(names),))
        values = array_state.floats(arrays, "values", (len(nodes) + 1,))
        inner = np.flatnonzero(nodes[:, 0] >= 0)
        children = nodes[inner, 1:]
        # Every branch leads forward, so that each walk ends.
        is_whole = len(nodes) > 0 and nodes[:, 0].max() < len(names) and values[-1] > 0
        if not is_whole or np.any(children <= inner[:, None]) or np.any(children >= len(nodes)):
            raise array_state.refused("the trees are not whole")
        return cls(names, fill, nodes, values)


class OutlierFactor:
    """The local outlier factor against a sample of good traffic, on its robust z: about 1 is usual, higher is more unusual.

    About 0.1 ms a payment, so it is asked in batches beside the payments, never within one.
    """

    def __init__(
        self, scaling: RobustZ, sample: Floats, reach: Floats, density: Floats, neighbors: int
    ) -> None:
        """``sample`` (n, n_features) of z; ``reach`` and ``density`` (n,): distance of the last neighbor, local density."""
        self.names = scaling.names
        self._scaling = scaling
        self._sample = sample
        self._reach = reach
        self._density = density
        self._neighbors = neighbors

    @classmethod
    def fit(
        cls, names: tuple[str, ...], good: Floats, seed: int, neighbors: int = NEIGHBORS
    ) -> "OutlierFactor":
        """Learn from good traffic (n, n_features), of which at most ``LOF_ROWS_MAX`` different rows are kept.

        Raises InvalidRequest ``anomaly_rows_invalid`` where fewer different rows than ``neighbors`` + 1 are given, and
        ``anomaly_neighbors_invalid``.
        """
        _check(names, good)
        if not 1 <= neighbors <= NEIGHBORS_MAX:
            raise InvalidRequest("anomaly_neighbors_invalid", f"{neighbors} is not 1 to {NEIGHBORS_MAX}")
        scaling = RobustZ.fit(names, good)
        # Equal rows would be infinitely dense.
        sample = np.unique(scaling.z(_sampled(good, LOF_ROWS_MAX, seed)), axis=0)
        if len(sample) <= neighbors:
            raise InvalidRequest("anomaly_rows_invalid", f"only {len(sample)} different rows")
        found = sklearn_neighbors.NearestNeighbors(n_neighbors=neighbors, algorithm="kd_tree").fit(sample)
        distances, near = found.kneighbors()
        reach = np.ascontiguousarray(distances[:, -1])
        density = 1 / (np.maximum(distances, reach[near]).mean(axis=1) + _TINY)
        return cls(scaling, sample, reach, density, neighbors)

    def score(self, rows: Floats) -> Floats:
        """Return the factors (n,) of rows (n, n_features)."""
        result = np.empty(len(rows))
        rows = self._scaling.z(rows)
        _outlier_factors(rows, self._sample, self._reach, self._density, self._neighbors, result)
        return result

    def dump(self) -> bytes:
        """Return it as bytes."""
        arrays: dict[str, array_state.Array] = {
            "centers": self._scaling.centers,
            "scales": self._scaling.scales,
            "sample": self._sample,
            "reach": self._reach,
            "density": self._density,
            "neighbors": np.array([self._neighbors], dtype=np.int64),
        }
        return array_state.packed("outlier_factor", self.names, arrays)

    @classmethod
    def load(cls, payload: bytes) -> "OutlierFactor":
        """Return what ``dump`` wrote. Raises InvalidRequest ``risk_state_invalid``."""
        names, arrays = array_state.unpacked(payload, "outlier_factor")
        width = (len(names),)
        scaling = RobustZ(names, *(array_state.floats(arrays, key, width) for key in ("centers", "scales")))
        sample = array_state.floats(arrays, "sample", (None, len(names)))
        reach, density = (array_state.floats(arrays, key, (len(sample),)) for key in ("reach", "density"))
        neighbors = int(array_state.integers(arrays, "neighbors", (1,))[0])
        if not 1 <= neighbors <= min(NEIGHBORS_MAX, len(sample)):
            raise array_state.refused("too few rows for their neighbors")
        return cls(scaling, sample, reach, density, neighbors)


def _check(names: tuple[str, ...], rows: Floats) -> None:
    if rows.ndim != 2 or rows.shape[1] != len(names) or not names:
        raise InvalidRequest("anomaly_rows_invalid", f"rows {rows.shape} do not fit {len(names)} names")
    if len(rows) < ROWS_MIN or np.any(np.isinf(rows)):
        raise InvalidRequest("anomaly_rows_invalid", f"{ROWS_MIN} rows without infinity are needed")


def _sampled(rows: Floats, count_max: int, seed: int) -> Floats:
    """Return at most ``count_max`` rows in their order, chosen by ``seed``."""
    if len(rows) <= count_max:
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), count_max, replace=False)
    return rows[np.sort(chosen)]


def _flattened(forest: Any) -> tuple[Integers, Floats]:
    """Return nodes and values of a fitted scikit-learn forest, as ``Isolation`` takes them."""
    nodes, values, begin = [], [], 0
    for estimator in forest.estimators_:
        tree = estimator.tree_
        left, right = tree.children_left, tree.children_right
        is_leaf = left < 0
        feature = np.where(is_leaf, -1, tree.feature)
        nodes.append(np.column_stack([feature, left + begin, right + begin]).astype(np.int64))
        depth = tree.compute_node_depths() - 1 + _usual_depth(tree.n_node_samples)
        values.append(np.where(is_leaf, depth, tree.threshold))
        begin += len(left)
    usual = len(nodes) * _usual_depth(np.array([forest.max_samples_]))
    return np.concatenate(nodes), np.concatenate([*values, usual])


def _usual_depth(counts: NDArray[Any]) -> Floats:
    """Return the mean depth of a search for what is not in a tree of so many rows (equation 1 of the paper)."""
    many = np.maximum(counts, 3).astype(np.float64)
    depth = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, depth))


@native
def _isolation(
    row: Floats, fill: Floats, nodes: Integers, values: Floats, roots: Integers, usual: float
) -> float:
    total = 0.0
    for root in roots:
        node = root
        while nodes[node, 0] >= 0:
            feature = nodes[node, 0]
            value = row[feature]
            if np.isnan(value):
                value = fill[feature]
            # The trees were grown on single precision, and a value at a threshold must fall to the same side.
            node = nodes[node, 1] if np.float32(value) <= values[node] else nodes[node, 2]
        total += values[node]
    return float(2.0 ** (-total / usual))


@native
def _isolations(
    rows: Floats,
    fill: Floats,
    nodes: Integers,
    values: Floats,
    roots: Integers,
    usual: float,
    result: Floats,
) -> None:
    for row in range(rows.shape[0]):
        result[row] = _isolation(rows[row], fill, nodes, values, roots, usual)


@native
def _deviate(rows: Floats, centers: Floats, scales: Floats, result: Floats) -> None:
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            apart = rows[row, column] - centers[column]
            if np.isnan(apart) or apart == 0.0:
                continue
            size = Z_MAX
            if scales[column] > 0.0:
                size = min(abs(apart) / scales[column], Z_MAX)
            result[row, column] = size if apart > 0 else -size


@native
def _outlier_factors(
    rows: Floats, sample: Floats, reach: Floats, density: Floats, neighbors: int, result: Floats
) -> None:
    """Write the factors of ``rows``; the nearest are kept in order by insertion."""
    squares = np.empty(neighbors)
    nearest = np.empty(neighbors, dtype=np.int64)
    for row in range(rows.shape[0]):
        squares[:] = np.inf
        nearest[:] = 0
        for other in range(sample.shape[0]):
            square = 0.0
            for column in range(sample.shape[1]):
                apart = rows[row, column] - sample[other, column]
                square += apart * apart
            if square >= squares[neighbors - 1]:
                continue
            place = neighbors - 1
            while place > 0 and squares[place - 1] > square:
                squares[place] = squares[place - 1]
                nearest[place] = nearest[place - 1]
                place -= 1
            squares[place] = square
            nearest[place] = other
        apart = 0.0
        around = 0.0
        for place in range(neighbors):
            apart += max(np.sqrt(squares[place]), reach[nearest[place]])
            around += density[nearest[place]]
        own = 1.0 / (apart / neighbors + _TINY)
        result[row] = around / neighbors / own
