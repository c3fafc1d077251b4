"""Metrics: instruments in a registry of their own, declared once, printed as text."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tongbao.core.metrics import CONTENT_TYPE, FAST_S, SIZES, SLOW_S, Metrics


def values(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_render_after_use_tells_every_instrument() -> None:
    metrics = Metrics()
    metrics.counter("events", "Events seen.", ("kind",)).labels("a").inc(3)
    metrics.gauge("queue_length", "Items waiting.").set(7)
    seconds = metrics.histogram(
        "lane_batch_seconds", "Time of a batch.", labels=("lane",), buckets=(0.1, 1.0)
    )
    seconds.labels(lane="0").observe(0.5)
    assert values(metrics) == {
        ("tongbao_events_total", (("kind", "a"),)): 3,
        ("tongbao_queue_length", ()): 7,
        ("tongbao_lane_batch_seconds_bucket", (("lane", "0"), ("le", "0.1"))): 0,
        ("tongbao_lane_batch_seconds_bucket", (("lane", "0"), ("le", "1.0"))): 1,
        ("tongbao_lane_batch_seconds_bucket", (("lane", "0"), ("le", "+Inf"))): 1,
        ("tongbao_lane_batch_seconds_count", (("lane", "0"),)): 1,
        ("tongbao_lane_batch_seconds_sum", (("lane", "0"),)): 0.5,
    }
    assert CONTENT_TYPE.startswith("text/plain")


def test_declare_in_two_sets_shares_nothing_and_leaves_the_global_registry_alone() -> None:
    left, right = Metrics(), Metrics()
    left.counter("events", "Events seen.").inc()
    right.counter("events", "Events seen.")
    assert values(left) == {("tongbao_events_total", ()): 1}
    assert values(right) == {("tongbao_events_total", ()): 0}
    assert REGISTRY.get_sample_value("tongbao_events_total") is None


def test_declare_in_a_given_registry_uses_it_and_the_prefix() -> None:
    registry = CollectorRegistry()
    Metrics(registry, prefix="city").gauge("payers", "Payers awake.").set(2)
    assert registry.get_sample_value("city_payers") == 2


def test_declare_the_same_instrument_again_gives_the_first() -> None:
    metrics = Metrics()
    assert metrics.counter("a", "A.", ["x"]) is metrics.counter("a", "A.", ("x",))
    assert metrics.gauge("b", "B.") is metrics.gauge("b", "B.")
    assert metrics.histogram("c", "C.") is metrics.histogram("c", "C.", buckets=list(FAST_S))


@pytest.mark.parametrize(
    "again",
    [
        lambda metrics: metrics.gauge("a", "A.", ("x",)),
        lambda metrics: metrics.histogram("a", "A."),
        lambda metrics: metrics.counter("a", "A."),
        lambda metrics: metrics.counter("a", "A.", ("x", "y")),
        lambda metrics: metrics.histogram("c", "C.", buckets=SLOW_S),
    ],
)
def test_declare_a_known_name_in_another_form_is_refused(again: Callable[[Metrics], object]) -> None:
    metrics = Metrics()
    metrics.counter("a", "A.", ("x",))
    metrics.histogram("c", "C.")
    with pytest.raises(ValueError, match="another form"):
        again(metrics)


@pytest.mark.parametrize("buckets", [FAST_S, SLOW_S, SIZES])
def test_bucket_sets_ascend(buckets: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
    assert buckets[0] > 0
