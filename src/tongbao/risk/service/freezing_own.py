"""Freezes of one merchant: its people freeze customers and cards that pay nowhere else, and see their own freezes only.

A freeze stops an entity in the payments of every merchant, so whoever pays elsewhere too is the house's to freeze; a block
list of the merchant's own does for its payments. The names of a merchant's people begin with a mark, by which their
freezes are told from all others; who was frozen by somebody else is unknown here and cannot be let go.
"""

from uuid import UUID

from tongbao.core.db import Database
from tongbao.core.errors import NotFound, NotPermitted
from tongbao.core.ids import uuid_text
from tongbao.risk.schema.freezes import FREEZE_PREFIX, Freeze, FreezeOrder, FreezePage, FreezeQuery
from tongbao.risk.schema.signals import Entity
from tongbao.risk.service.freezing import Freezing
from tongbao.risk.store import freezes_by

OWN_KINDS = frozenset({Entity.CUSTOMER, Entity.CARD})
LINKS_MAX = 1_000
"""The latest payments of an entity that are looked at."""


class FreezingOwn:
    """Freezes for merchants. One object a process."""

    def __init__(self, database: Database, freezing: Freezing) -> None:
        self._database = database
        self._freezing = freezing

    async def freeze(self, book_id: int, order: FreezeOrder, actor: str) -> Freeze:
        """Freeze a customer or card of a book, see ``Freezing.freeze``; raises as ``check`` too."""
        await self.check(book_id, (order.entity, order.key), order.live)
        return await self._freezing.freeze(order, actor)

    async def check(self, book_id: int, who: tuple[Entity, str], live: bool) -> None:
        """Raise NotPermitted ``freeze_not_yours`` for whom the people of a book may not freeze."""
        entity, key = who
        async with self._database.connection() as connection:
            books = await freezes_by.books_of(connection, entity, key, live, LINKS_MAX)
        if entity not in OWN_KINDS or books != {book_id}:
            raise NotPermitted(
                "freeze_not_yours",
                "a merchant freezes a customer or card that pays nowhere but here; a block list of its own does for others",
            )

    async def get(self, freeze_id: UUID, mark: str, live: bool) -> Freeze:
        """Return a freeze that people with this mark made in a mode; raise NotFound ``freeze_unknown`` for any other."""
        found = await self._freezing.get(freeze_id)
        if found.live != live or not found.frozen_by.startswith(mark):
            reference = uuid_text(FREEZE_PREFIX, freeze_id)
            raise NotFound("freeze_unknown", f"there is no freeze {reference}", freeze=reference)
        return found

    async def page(self, query: FreezeQuery, mark: str) -> FreezePage:
        """Return the freezes of people with this mark, newest first."""
        async with self._database.connection() as connection:
            found = await freezes_by.page_by(connection, query, mark)
        return FreezePage(items=tuple(found[: query.limit]), has_more=len(found) > query.limit)
