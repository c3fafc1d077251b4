"""Tracing a subject through the whole house: everything that was decided about it, whoever's it is."""

from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.decisions.service.log import DecisionLog, Traced
from tongbao.decisions.store import subjects as store


class Lineage(NamedTuple):
    """The book of a subject, and what was decided about it, oldest first, with what came of it."""

    book_id: int
    traced: list[Traced]


async def lineage_of(database: Database, log: DecisionLog, subject_id: UUID, named: str) -> Lineage:
    """Return everything that was decided about a subject of any book; for operators, merchants name their book.

    ``named``: the subject's id as people wrote it. Raises NotFound ``decisions_missing``.
    """
    async with database.connection() as connection:
        book_id = await store.book_of(connection, subject_id)
    if book_id is None:
        raise NotFound("decisions_missing", f"nothing was decided about {named}", id=named)
    return Lineage(book_id, await log.lineage(book_id, subject_id))
