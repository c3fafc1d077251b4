"""Ids: order under any clock, layout, texts that read back and texts that do not."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.clock import EPOCH, FrozenClock
from tongbao.core.errors import InvariantBroken
from tongbao.core.ids import (
    ALPHABET,
    INT_EPOCH,
    INT_RANDOM_BITS,
    IdFactory,
    derive,
    int_text,
    parse_int,
    parse_uuid,
    uuid_text,
)

START = datetime(2026, 5, 1, tzinfo=UTC)
uuids = st.integers(0, 2**128 - 1).map(lambda value: UUID(int=value))
ints = st.integers(0, 2**63 - 1)
steps_ms = st.lists(st.integers(-5_000, 5_000), min_size=1, max_size=50)
quick = settings(max_examples=150, deadline=None)


class Extreme(random.Random):
    """Randomness that is always the largest, so that every id of a millisecond meets the carry."""

    def getrandbits(self, k: int, /) -> int:
        return (1 << k) - 1


def is_version_7(value: UUID) -> bool:
    return value.version == 7 and value.variant == RFC_4122


def ms_of(value: UUID) -> int:
    return value.int >> 80


@quick
@given(steps_ms, st.sampled_from([random.Random(7), Extreme()]))
def test_make_ids_under_a_clock_jumping_backwards_keeps_them_increasing(
    steps: list[int], rng: random.Random
) -> None:
    clock = FrozenClock(START)
    factory = IdFactory(clock, rng)
    made: list[tuple[UUID, int]] = []
    for step in steps:
        made += [(factory.uuid(), factory.int63()) for _ in range(3)]
        clock.advance(timedelta(milliseconds=step))
    assert all(is_version_7(uuid) and 0 < number < 2**63 for uuid, number in made)
    for (uuid, number), (next_uuid, next_number) in pairwise(made):
        assert uuid < next_uuid
        assert uuid_text("tr", uuid) < uuid_text("tr", next_uuid)
        assert number < next_number
        assert int_text("acct", number) < int_text("acct", next_number)


@quick
@given(st.integers(0, 2**42 - 1))
def test_make_ids_at_a_millisecond_carries_exactly_that_millisecond(ms: int) -> None:
    factory = IdFactory(FrozenClock(INT_EPOCH + timedelta(milliseconds=ms)), random.Random(1))
    assert ms_of(factory.uuid()) == (INT_EPOCH - EPOCH) // timedelta(milliseconds=1) + ms
    assert factory.int63() >> INT_RANDOM_BITS == ms


def test_make_ids_from_equal_seeds_gives_equal_ids() -> None:
    left, right = (IdFactory(FrozenClock(START), random.Random(42)) for _ in range(2))
    assert [left.uuid() for _ in range(9)] == [right.uuid() for _ in range(9)]
    assert [left.int63() for _ in range(9)] == [right.int63() for _ in range(9)]


def test_make_ids_without_a_seed_gives_different_ids_in_two_factories() -> None:
    left, right = (IdFactory(FrozenClock(START)) for _ in range(2))
    assert left.uuid() != right.uuid()


def test_make_ids_before_their_epoch_or_past_their_range_is_refused() -> None:
    def factory(at: datetime) -> IdFactory:
        return IdFactory(FrozenClock(at), random.Random(1))

    for act in (
        factory(EPOCH - timedelta(milliseconds=1)).uuid,
        factory(INT_EPOCH - timedelta(milliseconds=1)).int63,
        factory(INT_EPOCH + timedelta(milliseconds=2**42)).int63,
    ):
        with pytest.raises(InvariantBroken) as broken:
            act()
        assert broken.value.code == "clock_out_of_range"


@quick
@given(uuids, ints)
def test_parse_of_a_text_gives_its_id_back(uuid: UUID, number: int) -> None:
    assert parse_uuid("tr", uuid_text("tr", uuid)) == uuid
    assert parse_int("a_b", int_text("a_b", number)) == number


@quick
@given(uuids, uuids, ints, ints)
def test_order_of_texts_equals_order_of_ids(one: UUID, other: UUID, first: int, second: int) -> None:
    assert (uuid_text("tr", one) < uuid_text("tr", other)) == (one < other)
    assert (int_text("tr", first) < int_text("tr", second)) == (first < second)


GOOD = uuid_text("tr", UUID(int=2**127 + 11))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "_",
        "tr",
        "tr_",
        GOOD[:-1],
        GOOD + "0",
        GOOD + "\n",
        " " + GOOD,
        GOOD.upper(),
        "tr_" + GOOD[3:].upper(),
        GOOD.replace("tr_", "re_"),
        GOOD.replace("tr_", "tr-"),
        "tr_x_" + GOOD[3:],
        "tr_" + "i" * 26,
        "tr_" + "é" * 26,
        "tr_" + "１" * 26,
        "tr_" + "0" * 25 + "\u212a",
        "tr_" + "z" * 26,
        str(UUID(int=5)),
        "tr_" + "0" * 10_000,
    ],
)
def test_parse_of_junk_is_refused_without_repeating_it_all(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_uuid("tr", text)
    assert len(str(refused.value)) < 200


@quick
@given(st.text(max_size=16) | st.text(ALPHABET, min_size=13, max_size=13).map(lambda body: f"acct_{body}"))
def test_parse_of_any_text_refuses_or_gives_the_id_of_that_text(text: str) -> None:
    try:
        number = parse_int("acct", text)
    except ValueError:
        return
    assert int_text("acct", number) == text


@pytest.mark.parametrize("number", [-1, 2**63, 2**70])
def test_text_of_a_number_beyond_63_bits_is_refused(number: Any) -> None:
    with pytest.raises(ValueError, match="63 bits"):
        int_text("acct", number)


@quick
@given(uuids, st.text(max_size=10), st.text(max_size=10))
def test_derive_is_a_stable_uuid7_at_the_parents_time(parent: UUID, label: str, other: str) -> None:
    child = derive(parent, label)
    assert child == derive(UUID(bytes=parent.bytes), label)
    assert is_version_7(child)
    assert ms_of(child) == ms_of(parent)
    assert (child == derive(parent, other)) == (label == other)


def test_derive_gives_the_same_id_in_every_release() -> None:
    parent = UUID("0197a1b2-c3d4-7567-89ab-cdef01234567")
    assert derive(parent, "fee") == UUID("0197a1b2-c3d4-7fbd-86e0-55a88bcfb34a")
