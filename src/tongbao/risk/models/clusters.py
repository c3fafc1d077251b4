"""Kinds of customers by how they behave: k-means on robust z of profile features, and how far each is from its own kind.

The number of clusters is the one with the largest mean silhouette on a sample (Rousseeuw 1987). A cluster is told by the
features in which its middle deviates most from all customers. The distance is a feature of the model: 1 is usual for a
customer's own cluster, higher is less like it.
"""

import math

import msgspec
import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.core.lazy import Lazily
from tongbao.risk.models import array_state
from tongbao.risk.models.anomaly import Integers, RobustZ
from tongbao.risk.models.base import Floats
from tongbao.risk.models.native import native

COUNTS = (2, 3, 4, 5, 6, 7, 8)
COUNT_MAX = 20
ROWS_MAX = 50_000
SILHOUETTE_ROWS_MAX = 2_000
STARTS = 4
Z_WITHIN = 5.0
"""Beyond it a customer is an outlier, which must not become a cluster of its own."""
NAMED = 3
NAMED_FROM = 0.5
_KIND = "clusters"
cluster = Lazily("sklearn.cluster")
metrics = Lazily("sklearn.metrics")
threadpoolctl = Lazily("threadpoolctl")
_ORDINARY = ("各项平均", "average in everything")


class Deviation(msgspec.Struct, frozen=True):
    """A feature in which a cluster differs, in robust standard deviations from all customers."""

    name: str
    z: float


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of customers: the share of all, and what sets them apart, the most first."""

    share: float
    deviations: tuple[Deviation, ...]

    def text(self, language: str) -> str:
        """Return what sets them apart in words: ``high amount_mean (+3.1), low age_days (-1.2)``."""
        chinese = language.startswith("zh")
        if not self.deviations:
            return _ORDINARY[0 if chinese else 1]
        words = {True: ("高", "低"), False: ("high ", "low ")}[chinese]
        parts = [f"{words[each.z < 0]}{each.name} ({each.z:+.1f})" for each in self.deviations]
        return ("、" if chinese else ", ").join(parts)


class Clusters:
    """Clusters over profile features ``names``, in the order of their size.

    ``silhouette``: of the chosen number of clusters, in [-1, 1]; below about 0.25 customers have no kinds to speak of.
    """

    def __init__(self, scaling: RobustZ, centers: Floats, sizes: Floats, silhouette: float) -> None:
        """``centers`` (n_clusters, n_features) of z; ``sizes`` (n_clusters, 2): share of all, usual distance."""
        self.names = scaling.names
        self.silhouette = silhouette
        self._scaling = scaling
        self._centers = centers
        self._sizes = sizes

    @classmethod
    def fit(
        cls, names: tuple[str, ...], profiles: Floats, seed: int, counts: tuple[int, ...] = COUNTS
    ) -> "Clusters":
        """Learn from profiles (n_customers, n_features); at most ``ROWS_MAX`` of them are looked at.

        Raises InvalidRequest ``anomaly_rows_invalid`` for malformed or too few rows, ``cluster_counts_invalid``.
        """
        if not counts or min(counts) < 2 or max(counts) > COUNT_MAX:
            raise InvalidRequest("cluster_counts_invalid", f"{counts} are not counts from 2 to {COUNT_MAX}")
        scaling = RobustZ.fit(names, profiles)
        rng = np.random.default_rng(seed)
        rows = _within(scaling.z(profiles[_chosen(len(profiles), ROWS_MAX, rng)]))
        if len(np.unique(rows, axis=0)) <= max(counts):
            raise InvalidRequest(
                "anomaly_rows_invalid", "there are hardly more different profiles than clusters"
            )
        judged = _chosen(len(rows), SILHOUETTE_ROWS_MAX, rng)
        # One thread: sums in the order of several would differ in the last digits, and waiting for each other costs more.
        with threadpoolctl.threadpool_limits(1):
            fitted = [
                cluster.KMeans(count, n_init=STARTS, random_state=seed).fit(rows) for count in sorted(counts)
            ]
            silhouettes = [_silhouette(rows[judged], each.labels_[judged]) for each in fitted]
        best = int(np.argmax(silhouettes))
        centers, labels = fitted[best].cluster_centers_, fitted[best].labels_
        apart = np.linalg.norm(rows - centers[labels], axis=1)
        order = sorted(range(len(centers)), key=lambda each: (-int(np.sum(labels == each)), each))
        sizes = [(np.mean(labels == each), np.median(apart[labels == each])) for each in order]
        return cls(scaling, np.ascontiguousarray(centers[order]), np.array(sizes), silhouettes[best])

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """What each cluster is like."""
        return tuple(
            Cluster(share=float(share), deviations=self._deviations(center))
            for center, (share, _) in zip(self._centers, self._sizes, strict=True)
        )

    def nearest(self, profiles: Floats) -> tuple[Integers, Floats]:
        """Return the clusters (n,) of profiles (n, n_features) and the distances (n,) to their middles.

        Distances are in units of what is usual for the cluster; unknown values (NaN) count as ordinary.
        """
        own = np.full(len(profiles), -1, dtype=np.int64)
        distances = np.empty(len(profiles))
        _distances(_within(self._scaling.z(profiles)), self._centers, self._sizes[:, 1], own, distances)
        return own, distances

    def distance(self, profiles: Floats, own: Integers) -> Floats:
        """Return the distances (n,) of profiles to the clusters ``own`` (n,) that their customers belong to."""
        if own.shape != (len(profiles),) or np.any((own < 0) | (own >= len(self._centers))):
            raise InvalidRequest("cluster_unknown", "there is no such cluster")
        distances = np.empty(len(profiles))
        rows = _within(self._scaling.z(profiles))
        _distances(rows, self._centers, self._sizes[:, 1], own.astype(np.int64, copy=True), distances)
        return distances

    def dump(self) -> bytes:
        """Return them as bytes."""
        arrays: dict[str, array_state.Array] = {
            "z_centers": self._scaling.centers,
            "z_scales": self._scaling.scales,
            "centers": self._centers,
            "sizes": self._sizes,
            "silhouette": np.array([self.silhouette]),
        }
        return array_state.packed(_KIND, self.names, arrays)

    @classmethod
    def load(cls, payload: bytes) -> "Clusters":
        """Return what ``dump`` wrote. Raises InvalidRequest ``risk_state_invalid``."""
        names, arrays = array_state.unpacked(payload, _KIND)
        width = len(names)
        scaling = RobustZ(
            names, *(array_state.floats(arrays, key, (width,)) for key in ("z_centers", "z_scales"))
        )
        centers = array_state.floats(arrays, "centers", (None, width))
        sizes = array_state.floats(arrays, "sizes", (len(centers), 2))
        silhouette = float(array_state.floats(arrays, "silhouette", (1,))[0])
        if not 1 <= len(centers) <= COUNT_MAX:
            raise array_state.refused("there are no clusters or too many")
        return cls(scaling, centers, sizes, silhouette)

    def _deviations(self, center: Floats) -> tuple[Deviation, ...]:
        heaviest = sorted(range(len(center)), key=lambda each: (-abs(center[each]), each))[:NAMED]
        return tuple(
            Deviation(self.names[each], float(center[each]))
            for each in heaviest
            if abs(center[each]) >= NAMED_FROM
        )


def _within(rows: Floats) -> Floats:
    return np.clip(rows, -Z_WITHIN, Z_WITHIN)


def _chosen(count: int, count_max: int, rng: np.random.Generator) -> Integers:
    """Return at most ``count_max`` of the places below ``count``, in order."""
    if count <= count_max:
        return np.arange(count)
    return np.sort(rng.choice(count, count_max, replace=False))


def _silhouette(rows: Floats, labels: Integers) -> float:
    """Return the mean silhouette; -1 where the sample has but one cluster."""
    found = len(np.unique(labels))
    return float(metrics.silhouette_score(rows, labels)) if 1 < found < len(rows) else -1.0


@native
def _distances(rows: Floats, centers: Floats, usual: Floats, own: Integers, distances: Floats) -> None:
    """Write distances to ``own``, or, where that is -1, own and distance of the nearest."""
    for row in range(rows.shape[0]):
        best = math.inf
        chosen = own[row]
        for cluster in range(centers.shape[0]):
            if own[row] not in (-1, cluster):
                continue
            square = 0.0
            for column in range(rows.shape[1]):
                apart = rows[row, column] - centers[cluster, column]
                square += apart * apart
            if square < best:
                best = square
                chosen = cluster
        own[row] = chosen
        distances[row] = math.sqrt(best) / max(usual[chosen], 1e-9)
