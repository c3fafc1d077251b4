"""Security codes: minutes in memory, bounded, and without a trace."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.privacy.conftest import CVC, NOW

from tongbao.core.clock import FrozenClock
from tongbao.privacy.service.cvc_memory import LIFETIME, CvcMemory


def test_recall_before_the_end_of_its_life_returns_the_code_each_time(clock: FrozenClock) -> None:
    codes = CvcMemory(clock)
    codes.remember("tok_a", CVC)
    clock.advance(LIFETIME - timedelta(microseconds=1))
    assert (codes.recall("tok_a"), codes.recall("tok_a"), codes.recall("tok_b")) == (CVC, CVC, None)


def test_recall_after_fifteen_minutes_returns_none_and_frees_the_entry(clock: FrozenClock) -> None:
    codes = CvcMemory(clock)
    codes.remember("tok_a", CVC)
    clock.advance(timedelta(minutes=15))
    assert codes.recall("tok_a") is None
    assert len(codes) == 0


def test_forget_drops_the_code_at_once(clock: FrozenClock) -> None:
    codes = CvcMemory(clock)
    codes.remember("tok_a", CVC)
    codes.forget("tok_a")
    codes.forget("tok_a")
    assert codes.recall("tok_a") is None


def test_remember_past_the_maximum_drops_the_oldest(clock: FrozenClock) -> None:
    codes = CvcMemory(clock, entries_max=2)
    for token in ("tok_a", "tok_b", "tok_c"):
        codes.remember(token, CVC)
    assert [codes.recall(token) for token in ("tok_a", "tok_b", "tok_c")] == [None, CVC, CVC]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 400)), max_size=30))
def test_memory_under_any_order_of_acts_is_bounded_and_never_too_old(acts: list[tuple[str, int]]) -> None:
    clock = FrozenClock(NOW)
    codes = CvcMemory(clock, entries_max=3, lifetime=timedelta(seconds=600))
    remembered: dict[str, float] = {}
    elapsed = 0.0
    for token, pause_s in acts:
        codes.remember(token, CVC)
        remembered[token] = elapsed
        clock.advance(timedelta(seconds=pause_s))
        elapsed += pause_s
        assert len(codes) <= 3
        for known, since in remembered.items():
            if elapsed - since >= 600:
                assert codes.recall(known) is None
        if pause_s < 600:
            assert codes.recall(token) == CVC


def test_memory_that_is_printed_shows_its_size_only(clock: FrozenClock) -> None:
    codes = CvcMemory(clock)
    codes.remember("tok_a", CVC)
    assert repr(codes) == str(codes) == "CvcMemory(1 entries)"
