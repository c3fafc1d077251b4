"""Late truth: lines of a channel about payments and refunds whose end is not known here resolve them.

After a run: everything of its source that any run found reported and not in the books, and every refund without an end that any
run paired; so that a run that nobody followed leaves nothing behind. Payments are asked to inquire first, as
they always do; where the channel cannot be asked any more, or does not say, the file is the truth. It goes to payments as an answer
of the channel, so a contradiction (declined here, paid there) takes their path for it: the money stands apart, people are alarmed,
and the break says so. The movement appears by itself, and the next run pairs it. Repeating changes nothing.
"""

from collections import Counter
from typing import TypeVar
from uuid import UUID

import structlog

from tongbao.clearing.policy import late_truth as policy
from tongbao.clearing.policy.late_truth import Heard
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Leg, Run
from tongbao.clearing.schema.lines import Line
from tongbao.clearing.service.break_desk import BreakDesk
from tongbao.clearing.store import breaks as break_store
from tongbao.clearing.store import late_truth as store
from tongbao.clearing.store import lines as line_store
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvariantBroken
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.refunds import OPEN_REFUNDS, Refund, RefundState
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.reading import Reading

PAGE = 500
SOURCE = "settlement_file"
"""By what those who learn from outcomes know these."""
ACTOR = "job:late_truth"
Doc = TypeVar("Doc", bound=Document)

_log = structlog.get_logger(__name__)


class LateTruth:
    """Hears what files say about open payments. One object per process."""

    def __init__(self, database: Database, payments: Payments, reading: Reading, desk: BreakDesk) -> None:
        self._database = database
        self._payments = payments
        self._reading = reading
        self._desk = desk

    async def follow(self, run: Run) -> dict[Heard, int]:
        """Hear everything that runs of a channel's source left to be heard; return how many lines by what came of them.

        ``run``: the newest of the source; what earlier ones left is heard with it. Repeatable. One that fails is logged and left to the next time; it keeps no other from being heard.
        """
        counts: Counter[Heard] = Counter()
        if run.leg is not Leg.CHANNEL:
            return counts
        channel = await self._channel_of(run.source)
        before = None
        while True:
            async with self._database.connection() as connection:
                of = (BreakKind.UNEXPECTED, run.source, None)
                found = await break_store.page(
                    connection, [BreakState.OPEN, BreakState.EXPLAINED], of, before, PAGE
                )
                named = [line_id for each in found for line_id in each.found.reported]
                lines = await line_store.lines(connection, named)
            for each in found:
                counts[await self._hear_break(channel, each, lines[each.found.reported[0]])] += 1
            if len(found) < PAGE:
                break
            before = found[-1].opened_on, found[-1].id
        return counts + await self._refunds(run.source)

    async def _channel_of(self, source: str) -> str:
        """Return the channel whose files a source brings; one that is not configured any more bears its name."""
        async with self._database.connection() as connection:
            known = {each.source: each.of_channel for each in await line_store.sources(connection)}
        return known.get(source, source)

    async def _refunds(self, source: str) -> Counter[Heard]:
        """Hear the refunds without an end that runs paired: that they stand in the file is their end."""
        counts: Counter[Heard] = Counter()
        after = 0
        while True:
            async with self._database.connection() as connection:
                found = await store.open_refunds(connection, source, after, PAGE)
                lines = await line_store.lines(connection, [each.line_id for each in found])
            for each in found:
                counts[await self._hear_refund(each.book_id, each.refund_id, lines[each.line_id])] += 1
            if len(found) < PAGE:
                return counts
            after = found[-1].line_id

    async def _hear_break(self, channel: str, of: Break, line: Line) -> Heard:
        """Hear the line of a break, and say on the break where it contradicts us; what was said once is not heard again."""
        if of.actor == ACTOR:
            return Heard.KNOWN
        try:
            heard, named = await self._hear(channel, line)
        except AppError as error:
            _log.warning("late_truth_failed", id=of.reference, code=error.code, detail=error.detail)
            return Heard.WAITING
        if heard is Heard.CONTRADICTED and named is not None:
            await self._explain(of, named)
        return heard

    async def _hear(self, channel: str, line: Line) -> tuple[Heard, Document | None]:
        """Hear a line that is in no book; return what came of it, and the document that it is about."""
        attempt_id, refund_id = policy.attempt_id(line), policy.refund_id(line)
        async with self._database.connection() as connection:
            if attempt_id is not None:
                book_id = await store.book_of_attempt(connection, attempt_id)
            elif refund_id is not None:
                book_id = await store.book_of_refund(connection, refund_id)
            else:
                return Heard.FOREIGN, None
        if book_id is None:
            return Heard.FOREIGN, None
        if attempt_id is not None:
            attempt = await self._read(Attempt, book_id, attempt_id)
            return await self._hear_attempt(channel, attempt, line)
        refund = await self._read(Refund, book_id, refund_id or UUID(int=0))
        attempt = await self._read(Attempt, book_id, refund.attempt_id)
        if attempt.channel != channel:
            return Heard.FOREIGN, None
        after = await self._resolved(refund, attempt, line)
        return policy.heard_refund(refund, after), after

    async def _hear_attempt(self, channel: str, before: Attempt, line: Line) -> tuple[Heard, Attempt | None]:
        """Let payments ask the channel, and take the file for its answer where that left the end open, or differs."""
        if before.channel != channel:
            return Heard.FOREIGN, None
        attempt = before
        if policy.asks_first(before):
            try:
                await self._payments.resolving.resolve_attempt(before)
            except AppError as error:
                _log.info("late_truth_not_asked", id=before.reference, code=error.code)
            attempt = await self._read(Attempt, before.book_id, before.id)
        if policy.speaks_to(line, attempt):
            await self._payments.resolving.settle(
                attempt.book_id, attempt.id, policy.answer_of(line), is_inquiry=True, source=SOURCE
            )
            attempt = await self._read(Attempt, before.book_id, before.id)
        return policy.heard(before, attempt), attempt

    async def _hear_refund(self, book_id: int, refund_id: UUID, line: Line) -> Heard:
        """Hear a line that was paired with a refund; one that is over is not asked about again."""
        try:
            before = await self._read(Refund, book_id, refund_id)
            if before.state not in OPEN_REFUNDS:
                return Heard.KNOWN
            attempt = await self._read(Attempt, book_id, before.attempt_id)
            return policy.heard_refund(before, await self._resolved(before, attempt, line))
        except AppError as error:
            _log.warning("late_truth_failed", id=line.reference, code=error.code, detail=error.detail)
            return Heard.WAITING

    async def _resolved(self, before: Refund, attempt: Attempt, line: Line) -> Refund:
        """Return a refund after its channel was asked and the file was heard."""
        refund = before
        if before.state in OPEN_REFUNDS:
            try:
                # Only who can be asked: a refund that is in the file is not sent once more.
                if self._payments.channels.get(attempt.channel).capabilities.refund_inquiry:
                    await self._payments.refunds.resolve(before)
            except AppError as error:
                _log.info("late_truth_not_asked", id=before.reference, code=error.code)
            refund = await self._read(Refund, before.book_id, before.id)
        if refund.state in OPEN_REFUNDS or refund.state is RefundState.FAILED:
            await self._payments.refunds.settle(refund.book_id, refund.id, policy.answer_of(line))
            refund = await self._read(Refund, before.book_id, before.id)
        return refund

    async def _read(self, kind: type[Doc], book_id: int, document_id: UUID) -> Doc:
        found = await self._reading.read(kind, book_id, document_id)
        if found is None:
            raise InvariantBroken("document_vanished", f"no {kind.__name__.lower()} {document_id} any more")
        return found

    async def _explain(self, of: Break, about: Document) -> None:
        name = uuid_text(about.PREFIX, about.id)
        note = f"{name} had another end here and is {about.status} now: its money stands apart until people decide"
        try:
            await self._desk.explain(of.id, actor=ACTOR, note=note)
        except Conflict as error:
            _log.info("late_truth_not_explained", id=of.reference, code=error.code)
