"""Metrics: counters, gauges and histograms of one process in a registry of its own, as Prometheus text.

Nothing registers itself in the library's global registry: whoever starts a process makes one ``Metrics`` and
passes it down, so two servers in one test do not share their numbers. Times are in seconds, names end in their
unit, and labels take few values that are known beforehand: never ids, never anything of a person.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Latencies of requests, statements and batches.
FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Durations of jobs: imports, reports, backups.
SLOW_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
# Items in a batch or a queue.
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)

_Instrument = TypeVar("_Instrument", Counter, Gauge, Histogram)


class Metrics:
    """Declares instruments in one registry; every name gets the prefix ``tongbao_``.

    Declaring the same instrument again returns the first one, so that each lane or worker of a process may
    declare what it counts; the same name with another kind, labels or buckets raises ValueError.
    """

    def __init__(self, registry: CollectorRegistry | None = None, prefix: str = "tongbao") -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._prefix = prefix
        self._declared: dict[str, tuple[tuple[object, ...], Counter | Gauge | Histogram]] = {}

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """Return a counter, which only grows; its printed name ends in ``_total``."""

        def make() -> Counter:
            return Counter(name, help_text, labels, namespace=self._prefix, registry=self.registry)

        return self._declare(Counter, make, name, tuple(labels))

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        """Return a gauge, which goes up and down."""

        def make() -> Gauge:
            return Gauge(name, help_text, labels, namespace=self._prefix, registry=self.registry)

        return self._declare(Gauge, make, name, tuple(labels))

    def histogram(
        self, name: str, help_text: str, labels: Sequence[str] = (), buckets: Sequence[float] = FAST_S
    ) -> Histogram:
        """Return a histogram whose ``buckets`` are upper bounds, ascending; the last, infinite one is added."""

        def make() -> Histogram:
            return Histogram(
                name, help_text, labels, namespace=self._prefix, registry=self.registry, buckets=buckets
            )

        return self._declare(Histogram, make, name, tuple(labels), tuple(buckets))

    def render(self) -> bytes:
        """Return all values in the text format of Prometheus, to be served as ``CONTENT_TYPE``."""
        return generate_latest(self.registry)

    def _declare(
        self, kind: type[_Instrument], make: Callable[[], _Instrument], name: str, *shape: object
    ) -> _Instrument:
        if name not in self._declared:
            self._declared[name] = (shape, make())
        known_shape, instrument = self._declared[name]
        if not isinstance(instrument, kind) or known_shape != shape:
            raise ValueError(f"metric {name} was declared before in another form")
        return instrument
