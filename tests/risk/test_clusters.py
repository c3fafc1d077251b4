"""Kinds of customers: planted ones are found, told by what sets them apart, and far strangers are far."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.clusters import Cluster, Clusters

NAMES = ("amount_mean", "count_30d", "night_share", "age_days")


def customers(seed: int, count: int = 400) -> NDArray[np.float64]:
    """Three kinds: ordinary ones, big spenders, new ones that pay at night."""
    rng = np.random.default_rng(seed)
    rows = rng.normal([50, 10, 0.1, 300], [8, 2, 0.02, 40], (count, 4))
    rows[: count // 4, 0] += 120
    rows[count // 4 : count // 2, [2, 3]] += [0.3, -250]
    return rows


@pytest.fixture(scope="module")
def found() -> Clusters:
    return Clusters.fit(NAMES, customers(1), seed=1)


def test_planted_kinds_are_found_and_told(found: Clusters) -> None:
    assert len(found.clusters) == 3
    assert found.silhouette > 0.4
    ordinary, *others = found.clusters
    assert ordinary.share == pytest.approx(0.5)
    assert {each.deviations[0].name for each in others} == {"amount_mean", "night_share"}
    texts = sorted(each.text("en") for each in others)
    assert texts[0].startswith("high amount_mean (+")
    assert "low age_days (-" in texts[1]
    assert any("高amount_mean" in each.text("zh-CN") for each in others)


def test_cluster_without_deviations_is_told_as_ordinary() -> None:
    cluster = Cluster(share=1.0, deviations=())
    assert cluster.text("en") == "average in everything"
    assert cluster.text("zh") == "各项平均"


def test_distance_is_one_at_the_usual_and_grows_with_strangeness(found: Clusters) -> None:
    own, distances = found.nearest(customers(2))
    assert np.median(distances) == pytest.approx(1, abs=0.25)
    assert len(np.unique(own[:100])) == 1
    # A big spender that suddenly behaves as a new customer at night is far from its own kind, and near to another.
    swapped = customers(2)[100:101]
    assert found.distance(swapped, own[:1])[0] > 2
    assert found.nearest(swapped)[1][0] < 2


def test_nearest_is_the_least_of_all_distances(found: Clusters) -> None:
    rows = customers(3, 40)
    own, distances = found.nearest(rows)
    every = np.stack([found.distance(rows, np.full(40, cluster)) for cluster in range(3)])
    assert found.distance(rows, own).tolist() == distances.tolist()
    by_hand = (every * found._sizes[:, 1:]).argmin(axis=0)
    assert own.tolist() == by_hand.tolist()


def test_unknown_values_count_as_ordinary(found: Clusters) -> None:
    rows = np.array([[np.nan, np.nan, np.nan, np.nan]])
    middle = np.median(customers(1), axis=0)[None, :]
    assert found.nearest(rows)[1][0] == pytest.approx(found.nearest(middle)[1][0], abs=1e-6)


def test_equal_seeds_give_equal_clusters_that_survive_bytes(found: Clusters) -> None:
    assert Clusters.fit(NAMES, customers(1), seed=1).dump() == found.dump()
    loaded = Clusters.load(found.dump())
    assert loaded.clusters == found.clusters
    assert loaded.nearest(customers(4))[1].tolist() == found.nearest(customers(4))[1].tolist()
    with pytest.raises(InvalidRequest, match="risk_state_invalid"):
        Clusters.load(found.dump()[:-9])


def test_what_makes_no_clusters_is_refused(found: Clusters) -> None:
    with pytest.raises(InvalidRequest, match="anomaly_rows_invalid"):
        Clusters.fit(NAMES, np.ones((100, 4)), seed=1)
    with pytest.raises(InvalidRequest, match="cluster_counts_invalid"):
        Clusters.fit(NAMES, customers(1), seed=1, counts=(1, 2))
    with pytest.raises(InvalidRequest, match="cluster_unknown"):
        found.distance(customers(1)[:2], np.array([0, 3]))
