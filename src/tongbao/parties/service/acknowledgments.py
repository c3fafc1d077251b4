"""What people of the house say about alerts: that they have seen one, and what they do about it. Only ever added to."""

from collections.abc import Sequence
from datetime import datetime

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.parties.policy import fields
from tongbao.parties.schema import Acknowledgment, OperatorPermission, OperatorScope
from tongbao.parties.service.access import require_operator
from tongbao.parties.store import acknowledgments as store

LATEST_MAX = 100


class Acknowledgments:
    """One object per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, operator: OperatorScope, alert: str, since: datetime, note: str) -> Acknowledgment:
        """Keep what an operator says about an alert that has stood ``since``; opens a transaction.

        Raises PermissionMissing, BadField for an empty note or one that is too long.
        """
        require_operator(operator, OperatorPermission.OPERATIONS_READ)
        fields.check_text("note", note, required=True)
        said = Acknowledgment(alert, since, operator.actor, note, self._clock.now())
        async with self._database.transaction() as connection:
            await store.add(connection, said)
        return said

    async def of(self, alerts: Sequence[str]) -> dict[tuple[str, datetime], Acknowledgment]:
        """Return the latest word about each of some alerts, by the alert and since when it stood."""
        async with self._database.connection() as connection:
            return {(each.alert, each.since): each for each in await store.of(connection, alerts)}

    async def latest(self) -> list[Acknowledgment]:
        """Return what was said last, newest first, at most ``LATEST_MAX``."""
        async with self._database.connection() as connection:
            return await store.latest(connection, LATEST_MAX)
