"""Disputes as the house sees them: over every book. What becomes of one stays with its merchant (``disputing``)."""

from collections.abc import Collection
from uuid import UUID

from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import OperatorPermission, OperatorScope
from tongbao.parties.service.access import require_operator
from tongbao.payments.schema.orders import Page
from tongbao.payments.schema.refunds import Dispute, DisputeState
from tongbao.payments.store import house_disputes as store

PAGE_MAX = 100


class HouseDisputes:
    """Reads disputes. Stateless beside its database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        operator: OperatorScope,
        live: bool,
        states: Collection[DisputeState] = (),
        before: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> Page[Dispute]:
        """Return disputes of a mode, newest first, 1 to 100 of them: in any of ``states``, or all where none is named.

        ``before`` is the last one of the page before. Raises PermissionMissing, NotFound ``dispute_missing``.
        """
        require_operator(operator, OperatorPermission.ALL_DISPUTES_READ)
        most = max(1, min(limit, PAGE_MAX))
        named = [each.value for each in states] or None
        async with self._database.connection() as connection:
            start = None
            if before is not None:
                last = _found(await store.one(connection, before), before)
                start = (last.created_at, last.id)
            found = await store.found(connection, live, named, start, most + 1)
        return Page(found[:most], len(found) > most)

    async def one(self, operator: OperatorScope, dispute_id: UUID) -> Dispute:
        """Return a dispute of any book; raise PermissionMissing, NotFound ``dispute_missing``."""
        require_operator(operator, OperatorPermission.ALL_DISPUTES_READ)
        async with self._database.connection() as connection:
            return _found(await store.one(connection, dispute_id), dispute_id)


def _found(dispute: Dispute | None, dispute_id: UUID) -> Dispute:
    if dispute is None:
        reference = uuid_text(Dispute.PREFIX, dispute_id)
        raise NotFound("dispute_missing", f"there is no dispute {reference}", id=reference)
    return dispute
