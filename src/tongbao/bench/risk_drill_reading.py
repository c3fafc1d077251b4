"""What the risk drill reads back: every look at a payment with its reasons, and whether state survives a kill.

Each decision of the house names the position in the order of commits that it was made at, and the digest of the features
that it saw. Whoever folds the journal up to that position in one go must find the same bits: for the processes that were
never interrupted, for the one that was killed, and for the one that was rebuilt after it.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.events.facts import Fact, decode
from tongbao.decisions.schema.log import Decision
from tongbao.risk.models.memory import Memory
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.signals import Signals
from tongbao.risk.service.assessor import digest_of
from tongbao.risk.service.following import Following

FOLLOW_S = 0.1
JOURNALED_S_MAX = 30.0
_DECISIONS = "SELECT body FROM decisions.decision WHERE kind = 'risk' ORDER BY id"
_JOURNAL = "SELECT position, topic, body FROM risk.journal ORDER BY position"
_SIGNALS = "SELECT signals FROM risk.event WHERE subject_id = $1 LIMIT 1"
_COUNT = "SELECT count(*) FROM risk.journal"


class Look(NamedTuple):
    """One look at a payment: the tier, codes of reasons, and the rules behind them."""

    id: UUID
    book_id: int
    subject_id: UUID
    tier: str
    version: int
    reasons: tuple[str, ...]
    rules: tuple[str, ...]

    @property
    def is_fallback(self) -> bool:
        """Whether scoring failed, so that the tier is the configured one."""
        return ReasonCode.UNAVAILABLE.value in self.reasons


class Rebuilt(NamedTuple):
    """What the proof of rebuilding found: decisions that were checked, those that differ, whether whole states are equal."""

    checked: int
    differing: tuple[str, ...]
    is_state_equal: bool

    @property
    def is_equal(self) -> bool:
        """Whether every decision saw the state that the journal gives, and both states are the same."""
        return self.checked > 0 and not self.differing and self.is_state_equal


class Follower:
    """A memory of the drill itself that follows the house without interruption. ``async with`` follows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.following = Following(database, RealClock())
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Follower":
        await self.following.start()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def equals_a_rebuilt_one(self) -> bool:
        """Return whether a state that is rebuilt now from snapshot and journal is the one that was never interrupted."""
        await self._stop()
        rebuilt = Following(self._database, RealClock())
        await rebuilt.start()
        while await self.following.step() or await rebuilt.step():
            pass
        return rebuilt.memory.digest() == self.following.memory.digest()

    async def _stop(self) -> None:
        """Follow no further in the background: nobody else may fold while somebody looks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await self.following.step()
            await asyncio.sleep(FOLLOW_S)


async def read_looks(database: Database) -> list[Look]:
    """Return every look of risk control, in order of time."""
    return [_look(each) for each in await _decisions(database)]


async def rebuilt(database: Database, follower: Follower) -> Rebuilt:
    """Hold every decision against the journal folded in one go, and the follower against a rebuilt state."""
    checked, differing = differences(await _decisions(database), await _journal(database))
    return Rebuilt(checked, tuple(differing), await follower.equals_a_rebuilt_one())


async def wait_for_journal(database: Database) -> None:
    """Wait until nothing new is journaled; raise Unavailable where that takes too long."""
    last = -1
    for _ in range(round(JOURNALED_S_MAX)):
        async with database.connection() as connection:
            count = int(await connection.fetchval(_COUNT))
        if count == last:
            return
        last = count
        await asyncio.sleep(1.0)
    raise Unavailable("drill_journal_behind", "the journal never came to rest")


async def signals_of(database: Database, subject_id: UUID) -> Signals:
    """Return what risk control knows of a payment; raise Unavailable where it is not written down in time."""
    for _ in range(round(JOURNALED_S_MAX / FOLLOW_S)):
        async with database.connection() as connection:
            found = await connection.fetchval(_SIGNALS, subject_id)
        if found is not None:
            return msgspec.json.decode(found, type=Signals)
        await asyncio.sleep(FOLLOW_S)
    raise Unavailable("drill_journal_behind", f"nothing is known of {subject_id}")


def differences(decisions: Sequence[Decision], journal: Sequence[tuple[int, Fact]]) -> tuple[int, list[str]]:
    """Return how many decisions named what they saw, and the references of those who saw something else.

    A decision that is in no fact of the journal is one of them: nobody could prove it.
    """
    signals: dict[UUID, Signals] = {
        fact.decision_id: fact.signals
        for _, fact in journal
        if isinstance(fact, Assessed) and fact.decision_id is not None
    }
    named = [each for each in decisions if "features" in each.context]
    memory, place, differing = Memory(), 0, []
    for decision in sorted(named, key=lambda each: int(str(each.context["position"]))):
        position = int(str(decision.context["position"]))
        while place < len(journal) and journal[place][0] <= position:
            memory.learn(journal[place][1])
            place += 1
        known = signals.get(decision.id)
        seen = digest_of(memory.of(decision.live).state.features(known)) if known else ""
        if seen != decision.context["features"]:
            differing.append(decision.reference)
    return len(named), differing


def reasons_of(looks: Sequence[Look]) -> dict[str, int]:
    """Return how often looks that stopped or delayed a payment gave which rule or, without one, which reason."""
    found: Counter[str] = Counter()
    for look in looks:
        found.update(look.rules or look.reasons)
    return dict(found.most_common())


def first_looks(looks: Sequence[Look]) -> Mapping[UUID, Look]:
    """Return the first look at each payment."""
    found: dict[UUID, Look] = {}
    for look in looks:
        found.setdefault(look.subject_id, look)
    return found


async def _decisions(database: Database) -> list[Decision]:
    async with database.connection() as connection:
        return [msgspec.json.decode(row[0], type=Decision) for row in await connection.fetch(_DECISIONS)]


async def _journal(database: Database) -> list[tuple[int, Fact]]:
    async with database.connection() as connection:
        rows = await connection.fetch(_JOURNAL)
    facts = [(int(row[0]), decode(row[1], row[2])) for row in rows]
    return [(position, fact) for position, fact in facts if isinstance(fact, Fact)]


def _look(decision: Decision) -> Look:
    rules = tuple(str(why.facts["rule"]) for why in decision.reasons if why.code == ReasonCode.RULE)
    codes = tuple(dict.fromkeys(why.code for why in decision.reasons))
    return Look(
        decision.id, decision.book_id, decision.subject_id, decision.chosen, decision.version, codes, rules
    )
