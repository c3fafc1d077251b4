"""The queue for labels: what is unusual or unsure first, one an entity, bounded."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.label_queue import HELD_MAX, Candidate, LabelQueue, Ranks


def candidate(name: str, rank: float, score: float, entity: str = "") -> Candidate:
    return Candidate(id=name, entity=entity, anomaly_rank=rank, score=score)


def ids(queue: LabelQueue, count: int = HELD_MAX) -> list[str]:
    return [each.candidate.id for each in queue.first(count)]


def test_first_are_the_unusual_and_the_unsure() -> None:
    queue = LabelQueue(cut=0.05)
    for each in (
        candidate("usual", 0.5, 0.001),
        candidate("unusual", 0.999, 0.001),
        candidate("unsure", 0.5, 0.05),
        candidate("both", 0.999, 0.05),
        candidate("certain", 0.5, 0.999),
    ):
        queue.offer(each)
    assert ids(queue) == ["both", "unsure", "unusual", "usual", "certain"]
    assert queue.first(1)[0].priority == pytest.approx(0.9995)


def test_entity_is_stood_for_by_its_best_payment_alone() -> None:
    queue = LabelQueue(cut=0.05)
    for place in range(20):
        queue.offer(candidate(f"spree{place:02}", 0.9 + place / 1_000, 0.05, "card:a"))
    queue.offer(candidate("other", 0.1, 0.01, "card:b"))
    assert ids(queue) == ["spree19", "other"]


def test_labelled_payments_leave() -> None:
    queue = LabelQueue(cut=0.05)
    queue.offer(candidate("a", 0.9, 0.05))
    queue.offer(candidate("b", 0.8, 0.05))
    queue.drop(frozenset({"a", "never held"}))
    assert ids(queue) == ["b"]
    assert len(queue) == 1


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5)), max_size=30), st.randoms())
@settings(max_examples=50, deadline=None)
def test_order_of_offers_does_not_matter(
    rows: list[tuple[float, float, int]], shuffle: random.Random
) -> None:
    offers = [
        candidate(f"p{place:02}", rank, score, f"card:{key}") for place, (rank, score, key) in enumerate(rows)
    ]
    one, other = LabelQueue(cut=0.1), LabelQueue(cut=0.1)
    for each in offers:
        one.offer(each)
    shuffle.shuffle(offers)
    for each in offers:
        other.offer(each)
    assert one.first(100) == other.first(100)
    priorities = [each.priority for each in one.first(100)]
    assert priorities == sorted(priorities, reverse=True)
    assert all(0 <= each <= 1 for each in priorities)


def test_queue_keeps_the_best_within_its_size() -> None:
    queue = LabelQueue(cut=0.05, held_max=3)
    for place in range(50):
        queue.offer(candidate(f"p{place:02}", (place * 37 % 50) / 50, 0.01))
    assert len(queue) == 3
    assert [each.candidate.anomaly_rank for each in queue.first(9)] == [0.98, 0.96, 0.94]
    queue.drop(frozenset(each.candidate.id for each in queue.first(2)))
    queue.offer(candidate("little", 0.1, 0.01))
    assert [each.candidate.anomaly_rank for each in queue.first(9)] == [0.94, 0.1]


def test_rank_is_the_share_of_good_traffic_that_is_less_unusual() -> None:
    good = np.random.default_rng(1).normal(size=5_000)
    ranks = Ranks(good).rank(np.array([-99.0, np.median(good), np.quantile(good, 0.99), 99.0]))
    assert ranks == pytest.approx([0, 0.5, 0.99, 1], abs=0.003)


def test_what_is_out_of_range_is_refused() -> None:
    queue = LabelQueue(cut=0.05)
    for wrong in (candidate("a", 1.1, 0.1), candidate("a", 0.1, float("nan"))):
        with pytest.raises(InvalidRequest, match="label_candidate_invalid"):
            queue.offer(wrong)
    for cut, weight, held in ((0.0, 0.5, 5), (0.1, 1.5, 5), (0.1, 0.5, HELD_MAX + 1)):
        with pytest.raises(InvalidRequest, match="label_queue_invalid"):
            LabelQueue(cut, weight, held)
    with pytest.raises(InvalidRequest, match="ranks_invalid"):
        Ranks(np.array([]))
