"""The SQL of settings of cases. Rows are added; only a version that waits is answered, once."""

from datetime import datetime
from typing import Any

import msgspec

from tongbao.core.db import Connection
from tongbao.risk.schema.case_settings import CaseSetting, SettingState

_FIELDS = (
    "SELECT version, made_at, made_by, note, spec, state, decided_at, decided_by FROM risk.case_setting "
)
_STANDING = _FIELDS + "WHERE state = 'in_force' ORDER BY version DESC LIMIT 1"
_LATEST = _FIELDS + "ORDER BY version DESC LIMIT 1"
_PAGE = _FIELDS + "WHERE $1::integer IS NULL OR version < $1 ORDER BY version DESC LIMIT $2"
_ADD = """
INSERT INTO risk.case_setting (version, made_at, made_by, note, spec, state, decided_at, decided_by)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, NULL, '') ON CONFLICT DO NOTHING
"""
_ANSWER = """
UPDATE risk.case_setting SET state = $2, decided_at = $3, decided_by = $4 WHERE version = $1 AND state = 'waiting'
"""


async def standing(connection: Connection) -> CaseSetting | None:
    """Return the version in force; None where none ever was."""
    return _setting(await connection.fetchrow(_STANDING))


async def latest(connection: Connection) -> CaseSetting | None:
    """Return the newest version, whatever became of it."""
    return _setting(await connection.fetchrow(_LATEST))


async def page(connection: Connection, before: int | None, limit: int) -> list[CaseSetting]:
    """Return versions, newest first."""
    rows = await connection.fetch(_PAGE, before, limit)
    return [each for row in rows if (each := _setting(row)) is not None]


async def add(connection: Connection, made: CaseSetting) -> bool:
    """Add a version; False where somebody else has added it meanwhile. Joins the transaction."""
    status = await connection.execute(
        _ADD,
        *(made.version, made.made_at, made.made_by, made.note),
        msgspec.json.encode(made.spec).decode(),
        made.state.value,
    )
    return str(status).endswith(" 1")


async def answer(connection: Connection, version: int, state: SettingState, at: datetime, actor: str) -> bool:
    """Say what became of a version that waits; False where it waits no longer. Joins the transaction."""
    status = await connection.execute(_ANSWER, version, state.value, at, actor)
    return str(status).endswith(" 1")


def _setting(row: Any) -> CaseSetting | None:
    if row is None:
        return None
    values = dict(row)
    if isinstance(values["spec"], str):
        values["spec"] = msgspec.json.decode(values["spec"])
    return msgspec.convert(values, CaseSetting)
