"""Buckets of permits: how many at once, how they fill, whose they are, and that they do not pile up."""

import pytest

from tongbao.core.errors import LimitExceeded
from tongbao.web.api.v1 import limits
from tongbao.web.api.v1.limits import Limits, Rates


class Watch:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def drain(limits: Limits, actor: str = "key:1", *, writes: bool = True) -> int:
    """Take permits until there are none; return how many there were."""
    for count in range(10_000):
        try:
            limits.take(actor, live=False, writes=writes)
        except LimitExceeded:
            return count
    raise AssertionError("no limit")


def test_take_allows_a_second_s_worth_at_once_and_then_refuses() -> None:
    watch = Watch()
    bucket = Limits(Rates(test_writes=5), seconds=watch)
    assert drain(bucket) == 5
    with pytest.raises(LimitExceeded) as caught:
        bucket.take("key:1", live=False, writes=True)
    assert (caught.value.code, caught.value.facts["retry_after_s"]) == ("rate_limit", 1)


def test_bucket_fills_steadily_and_never_over() -> None:
    watch = Watch()
    bucket = Limits(Rates(test_writes=10), seconds=watch)
    drain(bucket)
    watch.at += 0.35
    assert drain(bucket) == 3
    watch.at += 3_600
    assert drain(bucket) == 10


def test_buckets_are_of_one_key_and_kind() -> None:
    bucket = Limits(Rates(test_writes=3, test_reads=4), seconds=Watch())
    assert drain(bucket) == 3
    assert drain(bucket, writes=False) == 4
    assert drain(bucket, "key:2") == 3


def test_slow_rates_allow_one_and_say_how_long_to_wait() -> None:
    bucket = Limits(Rates(live_writes=0.1), seconds=Watch())
    bucket.take("k", live=True, writes=True)
    with pytest.raises(LimitExceeded) as caught:
        bucket.take("k", live=True, writes=True)
    assert caught.value.facts["retry_after_s"] == 10


def test_buckets_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUCKETS_MAX", 3)
    bucket = Limits(Rates(test_writes=1), seconds=Watch())
    for at in range(10):
        bucket.take(f"key:{at}", live=False, writes=True)
    assert len(bucket._buckets) == 3
