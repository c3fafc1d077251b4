"""Following: each process folds the facts of all attempts into a board of its own, in commit order.

A process that starts takes the newest snapshot and the facts after it; then it reads what is new. So every process knows
the same, and after a kill the state is what it was: nothing but the log has it. Breakers that turn are announced once,
by a row whose id follows from the fact that turned them.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.events.facts import Delivered
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.tail import Tail
from tongbao.core.ids import IdFactory, derive
from tongbao.routing.models.board import Board, BoardTuning, Key, Turned
from tongbao.routing.schema.notices import Announced, Notice, NoticeKind
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.store import notices as notice_store
from tongbao.routing.store import snapshots as store
from tongbao.routing.store.snapshots import SnapshotRow

SNAPSHOT_FACTS = 20_000
SNAPSHOT_EVERY = timedelta(hours=1)
SNAPSHOTS_KEPT = 5
ROUNDS_MAX = 10_000
QUIET_MAX = 10_000
"""Issuers' breakers that opened while their channel was out; beyond it the oldest are forgotten."""
TOGETHER_S = 60.0
"""Channels that go out of traffic within so long are told of together: as a rule they share an upstream."""

_log = structlog.get_logger(__name__)

Ended = Callable[[UUID, bool], None]


class Following:
    """Keeps one board up to date. ``ended`` is called for attempts of decisions, with whether they were approved."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        tuning: BoardTuning | None = None,
        ended: Ended | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._outbox = Outbox(clock, ids)
        self._tail = Tail(database, [Attempted])
        self._tuning = tuning or BoardTuning()
        self._ended = ended
        self.board = Board(self._tuning)
        self.position = 0
        self._untold: list[Notice] = []
        # Issuers' breakers that opened without anybody being told, oldest first.
        self._quiet: dict[Key, None] = {}
        self._since_snapshot = 0
        self._snapshot_at = clock.now()

    async def start(self) -> int:
        """Take the newest snapshot that fits and read everything after it; return how many facts were read."""
        async with self._database.connection() as connection:
            row = await store.newest(connection)
        if row is not None:
            self._take(row)
        count = 0
        for _ in range(ROUNDS_MAX):
            read = await self.step()
            if not read:
                break
            count += read
        return count

    async def step(self) -> int:
        """Read what is new and fold it in; return how many facts there were."""
        await self._tell()
        facts, position = await self._tail.read(self.position)
        # The board has turned with these facts: what cannot be told now is told by the next step.
        self._untold = self._fold(facts)
        self.position = position
        self._since_snapshot += len(facts)
        await self._tell()
        if self._is_due():
            await self.snapshot()
        return len(facts)

    async def snapshot(self) -> SnapshotRow:
        """Keep the state as it is; whichever process is first at a position does it."""
        row = SnapshotRow(self.position, self._clock.now(), self.board.digest(), self.board.dump())
        async with self._database.transaction() as connection:
            await store.save(connection, row, SNAPSHOTS_KEPT)
        self._since_snapshot = 0
        self._snapshot_at = row.taken_at
        return row

    def _take(self, row: SnapshotRow) -> None:
        """Take a snapshot; one of another program, or of other settings, is left alone and everything is read anew."""
        try:
            board = Board.load(row.body)
        except InvalidRequest as error:
            _log.warning("routing_snapshot_unreadable", position=row.position, detail=error.detail)
            return
        if board.tuning != self._tuning:
            _log.warning("routing_snapshot_of_other_settings", position=row.position)
            return
        self.board.become(board)
        self.position = row.position
        self._snapshot_at = row.taken_at

    def _fold(self, facts: Sequence[Delivered]) -> list[Notice]:
        notices = []
        for delivered in facts:
            fact = delivered.fact
            if not isinstance(fact, Attempted):
                continue
            notices += self._told(delivered, fact, self.board.learn(fact))
            if self._ended is not None and fact.decision_id is not None and fact.mark is not Mark.UNRESOLVED:
                self._ended(fact.decision_id, fact.mark is Mark.APPROVED)
        return notices

    def _told(self, delivered: Delivered, fact: Attempted, turned: Sequence[Turned]) -> list[Notice]:
        """Return what people should hear: a channel that went out or came back, and that several went at once.

        An issuer's own breaker is news only while its channel is in traffic, and its closing only where its opening was.
        """
        if not turned:
            return []
        news = [each for each in turned if not each.key[3]]
        is_channel_out = fact.channel in self.board.opened_since(fact.live, fact.method, 0.0)
        for each in turned:
            if each.key[3] and self._is_news(each, is_quiet=bool(news) or is_channel_out):
                news.append(each)
        notices = [_notice(delivered, fact, each) for each in news]
        since_s = fact.occurred_at.timestamp() - TOGETHER_S
        others = self.board.opened_since(fact.live, fact.method, since_s)
        is_out = any(each.is_out and not each.key[3] for each in news)
        if is_out and len(others) > 1:
            notices.append(
                Notice(
                    id=derive(delivered.id, NoticeKind.TOGETHER.value),
                    at=fact.occurred_at,
                    kind=NoticeKind.TOGETHER,
                    channel=fact.channel,
                    live=fact.live,
                    method=fact.method,
                    facts={"channels": ", ".join(sorted(others))},
                )
            )
        return notices

    def _is_news(self, turned: Turned, *, is_quiet: bool) -> bool:
        """Return whether people are told that an issuer's breaker turned; remember which openings they were not told of.

        A process that started from a snapshot after such an opening tells of the closing: better once too often.
        """
        if turned.is_out and is_quiet:
            if len(self._quiet) >= QUIET_MAX:
                del self._quiet[next(iter(self._quiet))]
            self._quiet[turned.key] = None
            return False
        was_quiet = turned.key in self._quiet
        self._quiet.pop(turned.key, None)
        return not (is_quiet or was_quiet)

    async def _tell(self) -> None:
        if self._untold:
            await self._announce(self._untold)
            self._untold = []

    async def _announce(self, notices: Sequence[Notice]) -> None:
        """Tell people; every process sees the same breaker turn, and the first one tells."""
        async with self._database.transaction() as connection:
            new = await notice_store.insert(connection, notices)
            await self._outbox.publish(
                connection,
                [Announced(occurred_at=each.at, notice=each) for each in notices if each.id in new],
            )
        for notice in notices:
            if notice.id in new:
                _log.warning("routing_" + notice.kind.value, channel=notice.channel, method=notice.method)

    def _is_due(self) -> bool:
        if self._since_snapshot >= SNAPSHOT_FACTS:
            return True
        return self._since_snapshot > 0 and self._clock.now() - self._snapshot_at >= SNAPSHOT_EVERY


def _notice(delivered: Delivered, fact: Attempted, turned: Turned) -> Notice:
    live, method, channel, issuer = turned.key
    return Notice(
        id=derive(delivered.id, f"{turned.is_out}.{issuer}"),
        at=fact.occurred_at,
        kind=NoticeKind.OPENED if turned.is_out else NoticeKind.CLOSED,
        channel=channel,
        live=live,
        method=method,
        issuer=issuer,
        facts={"technical_rate": round(turned.rate, 4), "code": fact.code},
    )
