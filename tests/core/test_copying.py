"""Rows in the binary format of COPY: what is written is what PostgreSQL reads."""

import math
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tongbao.core import copying
from tongbao.core.db import Database

DOUBLES = [0.0, -0.0, 1.5, -1e308, 5e-324, math.pi, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (copying.boolean(True), b"\0\0\0\x01\x01"),
        (copying.boolean(False), b"\0\0\0\x01\x00"),
        (copying.double(1.0), b"\0\0\0\x08\x3f\xf0\0\0\0\0\0\0"),
        (copying.double(-2.0), b"\0\0\0\x08\xc0\0\0\0\0\0\0\0"),
        (copying.uuid(None), copying.NULL),
        (copying.text(None), copying.NULL),
        (copying.text(""), b"\0\0\0\0"),
        (copying.instant(None), copying.NULL),
        (copying.instant(datetime(2000, 1, 1, tzinfo=UTC)), b"\0\0\0\x08" + bytes(8)),
        (copying.row((copying.boolean(True),)), b"\0\x01\0\0\0\x01\x01"),
    ],
)
def test_field_is_its_length_and_its_value(encoded: bytes, expected: bytes) -> None:
    assert encoded == expected


async def through(database: Database, kind: str, fields: list[bytes]) -> list[object]:
    """Copy one column into a table and read it back."""
    async with database.transaction() as connection:
        await connection.execute("CREATE SCHEMA scratch")
        await connection.execute(f"CREATE TABLE scratch.made (place integer, value {kind})")
        rows = [copying.row((copying.integer(place), field)) for place, field in enumerate(fields)]
        await copying.copy(connection, "scratch", "made", ("place", "value"), rows)
        found = await connection.fetch(f"SELECT value::{kind} FROM scratch.made ORDER BY place")
        await connection.execute("DROP SCHEMA scratch CASCADE")
    return [row[0] for row in found]


async def test_doubles_come_back_to_the_last_bit(database: Database) -> None:
    found = await through(database, "double precision", [copying.double(each) for each in DOUBLES])
    assert [repr(each) for each in found] == [repr(each) for each in DOUBLES]


async def test_booleans_come_back(database: Database) -> None:
    found = await through(database, "boolean", [copying.boolean(each) for each in (True, False, True)])
    assert found == [True, False, True]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.floats(), min_size=1, max_size=40))
async def test_any_double_comes_back(database: Database, values: list[float]) -> None:
    found = await through(database, "double precision", [copying.double(each) for each in values])
    assert [repr(each) for each in found] == [repr(each) for each in values]


async def test_every_kind_of_field_comes_back_in_one_row(database: Database) -> None:
    at = datetime(2026, 11, 3, 9, 0, 0, 123_456, tzinfo=UTC)
    fields = (
        copying.bigint(-(2**63)),
        copying.smallint(-7),
        copying.uuid(UUID(int=5)),
        copying.text("通宝"),
        copying.blob(b"\0\xff"),
        copying.jsonb(b'{"a":1}'),
        copying.instant(at),
        copying.double(0.1),
        copying.boolean(True),
        copying.NULL,
    )
    kinds = (
        "bigint",
        "smallint",
        "uuid",
        "text",
        "bytea",
        "jsonb",
        "timestamptz",
        "double precision",
        "boolean",
    )
    columns = [f"c{place}" for place in range(len(fields))]
    made = ", ".join(f"{name} {kind}" for name, kind in zip(columns, (*kinds, "text"), strict=True))
    async with database.transaction() as connection:
        await connection.execute(f"CREATE TEMP TABLE wide ({made}) ON COMMIT DROP")
        schema = await connection.fetchval("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")
        await copying.copy(connection, schema, "wide", columns, [copying.row(fields)])
        row = await connection.fetchrow("SELECT * FROM wide")
    found = list(row.values())
    assert found[:2] == [-(2**63), -7]
    assert found[2].int == 5
    assert found[3:] == ["通宝", b"\0\xff", '{"a": 1}', at, 0.1, True, None]
