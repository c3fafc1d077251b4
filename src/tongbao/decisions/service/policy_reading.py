"""Reading policies: versions, what is in force, replays and the audit trail. Nothing here writes."""

from collections.abc import Sequence

from tongbao.core.db import Connection, Database
from tongbao.core.errors import NotFound
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.policies import PolicyChange, PolicyVersion, Rollout
from tongbao.decisions.store import policies as store

POLICIES_MAX = 20_000
PAGE_MAX = 200
NAMED_MAX = 100
NUMBER_MAX = 2**31 - 1


class PolicyReading:
    """All that is read about policies. Every method opens a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, policy: str) -> Rollout | None:
        """Return the roll-out in force; None where the policy was never rolled out."""
        async with self._database.connection() as connection:
            return await store.current(connection, policy)

    async def version(self, policy: str, version: int) -> PolicyVersion:
        """Return one version. Raises NotFound ``policy_version_unknown``."""
        async with self._database.connection() as connection:
            return await found(connection, policy, version)

    async def versions(
        self, policy: str, *, before: int | None = None, limit: int = PAGE_MAX
    ) -> tuple[PolicyVersion, ...]:
        """Return up to ``limit`` versions (at most ``PAGE_MAX``), newest first, those below ``before``."""
        below = None if before is None else max(min(before, NUMBER_MAX), 0)
        async with self._database.connection() as connection:
            return tuple(await store.versions(connection, policy, below, _page(limit)))

    async def replays(self, policy: str, version: int, *, limit: int = PAGE_MAX) -> tuple[Report, ...]:
        """Return up to ``limit`` replays of a version (at most ``PAGE_MAX``), newest first.

        Raises NotFound ``policy_version_unknown``.
        """
        async with self._database.connection() as connection:
            await found(connection, policy, version)
            return tuple(await store.replays(connection, policy, version, _page(limit)))

    async def changes(self, policy: str, after: int = 0, limit: int = PAGE_MAX) -> tuple[PolicyChange, ...]:
        """Return up to ``limit`` lines of the audit trail (at most ``PAGE_MAX``) beyond ``after``, oldest first."""
        beyond = max(min(after, NUMBER_MAX), 0)
        async with self._database.connection() as connection:
            return tuple(await store.changes(connection, policy, beyond, _page(limit)))

    async def in_force(self) -> tuple[Rollout, ...]:
        """Return what is in force for every policy, by name; there are at most ``POLICIES_MAX``."""
        async with self._database.connection() as connection:
            return tuple(await store.in_force(connection, POLICIES_MAX))

    async def watched(self) -> tuple[Rollout, ...]:
        """Return those in force whose challenger decides for some units and has guardrails, by name."""
        async with self._database.connection() as connection:
            return tuple(await store.watched(connection, POLICIES_MAX))

    async def rollout_count(self) -> int:
        """Return how many roll-outs there ever were; equal counts mean that nothing came into force between."""
        async with self._database.connection() as connection:
            return await store.rollout_count(connection)

    async def versions_named(self, named: Sequence[tuple[str, int]]) -> list[PolicyVersion]:
        """Return versions by policy and number, ``NAMED_MAX`` a statement; unknown ones are left out."""
        read: list[PolicyVersion] = []
        async with self._database.connection() as connection:
            for start in range(0, len(named), NAMED_MAX):
                read += await store.versions_named(connection, named[start : start + NAMED_MAX])
        return read


async def found(connection: Connection, policy: str, version: int) -> PolicyVersion:
    """Return a version; raise NotFound ``policy_version_unknown`` where there is none."""
    known = await store.version(connection, policy, version) if 0 < version <= NUMBER_MAX else None
    if known is None:
        raise NotFound("policy_version_unknown", f"{policy} has no version {version}", version=version)
    return known


def _page(limit: int) -> int:
    return max(min(limit, PAGE_MAX), 1)
