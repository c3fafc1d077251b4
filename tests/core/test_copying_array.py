"""Integers as PostgreSQL's text form of an array: what goes in comes out, and nothing else goes in."""

import enum
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core import copying
from tongbao.core.db import Database

BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1
ECHO = "SELECT $1::text::bigint[]"


class Kind(enum.IntEnum):
    """An enumeration of the kind that rows hold."""

    FIRST = 1
    LAST = 32_767


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "{}"),
        ([0], "{0}"),
        ([-1, 1], "{-1,1}"),
        ([Kind.FIRST, Kind.LAST], "{1,32767}"),
        ([True, False], "{1,0}"),
        ((1, 2), "{1,2}"),
        ((value for value in (3, 4)), "{3,4}"),
        ([BIGINT_MIN, BIGINT_MAX], "{-9223372036854775808,9223372036854775807}"),
    ],
)
def test_array_is_written_in_braces_with_commas(values: Iterable[int], text: str) -> None:
    assert copying.array(values) == text


@pytest.mark.parametrize("value", ["1", "1},{2", None, 1.0, b"1"])
def test_array_of_anything_but_integers_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        copying.array([1, value])


@given(st.lists(st.integers(BIGINT_MIN, BIGINT_MAX), max_size=50))
def test_array_holds_its_numbers_in_their_order_and_nothing_but_digits(values: list[int]) -> None:
    text = copying.array(values)
    assert (text[0], text[-1], set(text) <= set("{},-0123456789")) == ("{", "}", True)
    assert [int(each) for each in text[1:-1].split(",") if each] == values


@pytest.mark.parametrize(
    "values",
    [[], [0], [BIGINT_MIN, -1, 0, 1, BIGINT_MAX], [Kind.LAST, Kind.FIRST], [7] * 3, list(range(-500, 500))],
)
async def test_database_reads_the_array_as_it_was(database: Database, values: list[int]) -> None:
    async with database.connection() as connection:
        assert await connection.fetchval(ECHO, copying.array(values)) == values
