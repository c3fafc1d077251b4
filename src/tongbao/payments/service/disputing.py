"""Disputing: a payer's objection from the channel's first notice to its outcome, the money withheld meanwhile."""

from datetime import datetime
from uuid import UUID

from tongbao.channels.schema import Notification
from tongbao.core.ids import derive
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, WrongState
from tongbao.payments.policy import orders, postings
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.changes import Reference, ReferenceKind
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import Done, Page, PageOrder
from tongbao.payments.schema.refunds import (
    EVIDENCE_CHARS_MAX,
    EVIDENCE_FIELDS,
    OPEN_DISPUTES,
    Dispute,
    DisputeState,
)
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.store import documents as store

_ENDS = {"won": DisputeState.WON, "withdrawn": DisputeState.WON, "lost": DisputeState.LOST}


class Disputing:
    """Opens disputes that channels tell of, keeps the merchant's evidence, and posts the outcome."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def get(self, scope: Scope, dispute_id: UUID) -> Dispute:
        """Return a dispute; raise Missing."""
        return await self._desk.read(Dispute, scope.book_id, dispute_id)

    async def page(self, scope: Scope, order: PageOrder) -> Page[Dispute]:
        """Return disputes, newest first; ``parent_id`` keeps those of one intent."""
        return await self._desk.page(Dispute, scope.book_id, order)

    async def change(
        self,
        scope: Scope,
        dispute_id: UUID,
        *,
        evidence: dict[str, str] | None = None,
        metadata: dict[str, str] | None = None,
        submit: bool = False,
        ask: Ask | None = None,
    ) -> Done[Dispute]:
        """Add evidence, and with ``submit`` hand all of it in.

        Raises Missing, BadParameter for evidence of no such kind or too long, WrongState ``dispute_closed``, or
        ``dispute_evidence_late`` after ``respond_by``.
        """
        evidence = evidence or {}
        _check_evidence(evidence)

        async def plan() -> Planned:
            dispute = await self._desk.read(Dispute, scope.book_id, dispute_id)
            now = self._desk.clock.now()
            if evidence or submit:
                _check_open(dispute, now)
            after = dispute.changed(
                now,
                evidence={key: text for key, text in (dispute.evidence | evidence).items() if text},
                metadata=orders.merged_metadata(dispute.metadata, metadata or {}),
                state=DisputeState.UNDER_REVIEW if submit else dispute.state,
                evidence_submitted_at=now if submit else dispute.evidence_submitted_at,
                submission_count=dispute.submission_count + submit,
            )
            return self._planned(after, now, ask, (("charge.dispute.updated", after),))

        return await self._desk.decide(plan, reference="the dispute", asked=(scope.book_id, ask))

    async def close(self, scope: Scope, dispute_id: UUID, *, ask: Ask | None = None) -> Done[Dispute]:
        """Accept a dispute as lost; raise Missing, WrongState ``dispute_closed``."""

        async def plan() -> Planned:
            dispute = await self._desk.read(Dispute, scope.book_id, dispute_id)
            if dispute.state not in OPEN_DISPUTES:
                raise WrongState("dispute_closed", f"{dispute.reference} is {dispute.state}")
            return await self._ended(dispute, DisputeState.LOST, ask)

        return await self._desk.decide(plan, reference="the dispute", asked=(scope.book_id, ask))

    async def heard(self, attempt: Attempt, notification: Notification) -> None:
        """Take in what a channel tells of a dispute; repeats change nothing."""
        dispute_id = derive(attempt.id, f"dispute:{notification.dispute_reference}")

        async def plan() -> Planned:
            async with self._desk.database.connection() as connection:
                dispute = await store.one(connection, Dispute, attempt.book_id, dispute_id)
            state = _ENDS.get(notification.dispute_status or "")
            if dispute is None:
                return await self._opened(attempt.id, attempt.book_id, dispute_id, notification)
            if state is None or dispute.state not in OPEN_DISPUTES:
                if state not in (None, dispute.state):
                    # Money moved the other way after the end: people and reconciliation have the word.
                    self._desk.alarm("dispute_contradicted", dispute)
                return Planned(None, dispute)
            return await self._ended(dispute, state, None)

        done: Done[Dispute] = await self._desk.decide(plan, reference=attempt.reference)
        is_open = done.view is not None and done.view.state in OPEN_DISPUTES
        if is_open and notification.dispute_status in _ENDS:
            # Where the first notice was the last one, the outcome follows the opening in a commit of its own.
            await self._desk.decide(plan, reference=attempt.reference)

    async def _opened(
        self, attempt_id: UUID, book_id: int, dispute_id: UUID, notification: Notification
    ) -> Planned:
        """Withhold what is disputed: at most what was captured and not given back yet."""
        now = self._desk.clock.now()
        attempt = await self._desk.read(Attempt, book_id, attempt_id)
        claimed = notification.answer.amount_minor or attempt.captured_minor
        left = attempt.refundable_minor - attempt.disputed_minor
        amount = min(claimed, left)
        if amount <= 0:
            # Everything went back already: the merchant answers with the refund, nothing can be withheld.
            self._desk.alarm("dispute_without_money", attempt)
            return Planned(None, None)
        dispute = Dispute(
            id=dispute_id,
            book_id=attempt.book_id,
            live=attempt.live,
            created_at=now,
            updated_at=now,
            state=DisputeState.NEEDS_RESPONSE,
            intent_id=attempt.intent_id,
            attempt_id=attempt.id,
            amount_minor=amount,
            currency=attempt.currency,
            network_reason_code=notification.reason_code,
            signals_id=attempt.signals_id,
            channel_reference=notification.dispute_reference or notification.event_id,
            respond_by=notification.respond_by,
        )
        held = attempt.changed(now, disputed_minor=attempt.disputed_minor + amount)
        change = self._desk.change(
            dispute,
            now,
            inserts=(dispute,),
            updates=(held,),
            references=(Reference(ReferenceKind.DISPUTE, dispute.reference, dispute.id),),
            transfers=(postings.disputed(await self._desk.money(attempt), attempt, dispute),),
            events=(("charge.dispute.created", dispute), ("charge.dispute.funds_withdrawn", dispute)),
        )
        return Planned(change, dispute)

    async def _ended(self, dispute: Dispute, state: DisputeState, ask: Ask | None) -> Planned:
        now = self._desk.clock.now()
        attempt = await self._desk.read(Attempt, dispute.book_id, dispute.attempt_id)
        won = state is DisputeState.WON
        after = dispute.changed(now, state=state)
        # A lost amount counts as refunded: it cannot be given back a second time.
        freed = attempt.changed(
            now,
            disputed_minor=attempt.disputed_minor - dispute.amount_minor,
            refunded_minor=attempt.refunded_minor + (0 if won else dispute.amount_minor),
        )
        intent = await self._desk.read(Intent, dispute.book_id, dispute.intent_id)
        returned = intent.changed(
            now, amount_refunded_minor=intent.amount_refunded_minor + dispute.amount_minor
        )
        money = await self._desk.money(attempt)
        events: tuple[tuple[str, Document], ...] = (("charge.dispute.closed", after),)
        if won:
            events = (*events, ("charge.dispute.funds_reinstated", after))
        change = self._desk.change(
            after,
            now,
            claim=ask,
            ask=ask,
            view=after,
            updates=(after, freed, None if won else returned),
            transfers=(postings.dispute_ended(money, attempt, dispute, won=won),),
            events=events,
        )
        return Planned(change, after)

    def _planned(
        self, after: Dispute, now: datetime, ask: Ask | None, events: tuple[tuple[str, Document], ...]
    ) -> Planned:
        change = self._desk.change(
            after, now, claim=ask, ask=ask, view=after, updates=(after,), events=events
        )
        return Planned(change, after)


def _check_open(dispute: Dispute, now: datetime) -> None:
    if dispute.state not in OPEN_DISPUTES:
        raise WrongState("dispute_closed", f"{dispute.reference} is {dispute.state}")
    if dispute.respond_by is not None and now > dispute.respond_by:
        raise WrongState(
            "dispute_evidence_late", f"{dispute.reference} had to be answered by {dispute.respond_by}"
        )


def _check_evidence(evidence: dict[str, str]) -> None:
    for field, text in evidence.items():
        if field not in EVIDENCE_FIELDS:
            raise BadParameter("parameter_unknown", f"evidence[{field}]", "no such kind of evidence")
        if len(text) > EVIDENCE_CHARS_MAX:
            raise BadParameter(
                "parameter_too_long", f"evidence[{field}]", f"at most {EVIDENCE_CHARS_MAX} characters"
            )
