"""How the story of a payment looks under ``/v2``: attempts with their acts, refunds, disputes, the money trail.

The timeline names what stands in the lists beside it, in the order of instants.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import Field

from tongbao.channels.schema import kind_of
from tongbao.core.ids import uuid_text
from tongbao.ledger.schema import TRANSFER_PREFIX, Account, AccountId, JournalRow
from tongbao.payments.schema import attempts, intents, refunds
from tongbao.payments.service.intents import Story
from tongbao.web.api.payment_models import Intent, Minor
from tongbao.web.api.shapes import Model, maybe_id, same_fields

ACT_PREFIX = "act"


class Act(Model):
    """One act on an authorization: increment, capture or void."""

    id: str
    operation: str
    amount_minor: Minor
    status: str
    final: bool
    sent_at: datetime
    channel_reference: str | None
    code: str | None
    reason: str | None

    @classmethod
    def of(cls, act: attempts.Act) -> "Act":
        """Return an act as it is sent."""
        return cls.model_validate(
            same_fields(cls, act, id=uuid_text(ACT_PREFIX, act.id), status=act.state.value)
        )


class Attempt(Model):
    """One try over one channel, with the acts that followed on it."""

    id: str
    status: str
    channel: str
    method: str = Field(description="`card`, `wallet`, `alipay` or `wechat_pay`.")
    initiator: str
    amount_minor: Minor
    currency: str
    authorized_minor: Minor
    captured_minor: Minor
    refunded_minor: Minor
    refund_pending_minor: Minor
    disputed_minor: Minor
    suspense_minor: Minor = Field(description="What came unexpectedly and is not explained yet.")
    channel_reference: str | None
    network_reference: str | None
    approval_code: str | None
    code: str | None
    reason: str | None
    inquiry_count: int
    acts: list[Act]
    sent_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, attempt: attempts.Attempt) -> "Attempt":
        """Return an attempt as it is sent."""
        return cls.model_validate(
            same_fields(
                cls,
                attempt,
                id=attempt.reference,
                method=kind_of(attempt.method),
                acts=[Act.of(act) for act in attempt.acts],
            )
        )


class Refund(Model):
    """The return of captured money."""

    id: str
    attempt: str
    status: str
    amount_minor: Minor
    currency: str
    cause: str | None
    channel_reference: str | None
    code: str | None
    reason: str | None
    sent_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, refund: refunds.Refund) -> "Refund":
        """Return a refund as it is sent."""
        attempt = uuid_text(attempts.Attempt.PREFIX, refund.attempt_id)
        return cls.model_validate(same_fields(cls, refund, id=refund.reference, attempt=attempt))


class Dispute(Model):
    """A payer's objection; the amount is withheld while it lasts."""

    id: str
    attempt: str
    status: str
    amount_minor: Minor
    currency: str
    cause: str
    network_reason_code: str | None
    channel_reference: str
    respond_by: datetime | None
    evidence_submitted_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, dispute: refunds.Dispute) -> "Dispute":
        """Return a dispute as it is sent."""
        attempt = uuid_text(attempts.Attempt.PREFIX, dispute.attempt_id)
        return cls.model_validate(same_fields(cls, dispute, id=dispute.reference, attempt=attempt))


class Transfer(Model):
    """One row of the journal, with the accounts by their codes in the merchant's book."""

    key: str
    kind: str
    code: str
    debit_account: str
    credit_account: str
    amount_minor: Minor
    currency: str
    reference: str | None = Field(description="The attempt, refund or dispute that it belongs to.")
    refers_to: str | None = Field(description="The hold or transfer that it follows, `tr_…`.")
    occurred_at: datetime
    recorded_at: datetime

    @classmethod
    def of(cls, row: JournalRow, accounts: Mapping[AccountId, Account]) -> "Transfer":
        """Return a row as it is sent."""
        debited = accounts[row.debit_account_id]
        return cls.model_validate(
            same_fields(
                cls,
                row,
                key=uuid_text(TRANSFER_PREFIX, row.key),
                kind=row.kind.name.lower(),
                debit_account=debited.code,
                credit_account=accounts[row.credit_account_id].code,
                currency=debited.asset,
                refers_to=maybe_id(TRANSFER_PREFIX, row.refers_to),
            )
        )


class Moment(Model):
    """One line of a story: when, what, about which object, and how it stands today."""

    at: datetime
    what: str = Field(description="Such as `attempt.sent`, `refund.ended`, `transfer.recorded`.")
    id: str
    status: str
    amount_minor: Minor
    currency: str


class PaymentStory(Model):
    """Everything that belongs to one payment, each list oldest first, and all of it as one line of time."""

    object: Literal["payment_story"] = "payment_story"
    payment_intent: Intent
    attempts: list[Attempt]
    refunds: list[Refund]
    disputes: list[Dispute]
    transfers: list[Transfer]
    timeline: list[Moment]

    @classmethod
    def of(cls, story: Story, accounts: Mapping[AccountId, Account]) -> "PaymentStory":
        """Return a story as it is sent; ``accounts`` holds those that its transfers name."""
        transfers = [Transfer.of(row, accounts) for row in story.transfers]
        return cls(
            payment_intent=Intent.of(story.intent),
            attempts=[Attempt.of(attempt) for attempt in reversed(story.attempts)],
            refunds=[Refund.of(refund) for refund in reversed(story.refunds)],
            disputes=[Dispute.of(dispute) for dispute in reversed(story.disputes)],
            transfers=transfers,
            timeline=sorted((*_moments(story), *map(_recorded, transfers)), key=lambda moment: moment.at),
        )


class _Part(NamedTuple):
    """What happened at an instant to a part of a payment."""

    at: datetime | None
    what: str


def _moments(story: Story) -> Iterable[Moment]:
    """Return what happened to the documents of a story; what has not ended has no such moment."""
    yield from _told(story.intent, _Part(story.intent.created_at, "payment_intent.created"))
    for attempt in reversed(story.attempts):
        yield from _told(
            attempt, _Part(attempt.sent_at, "attempt.sent"), _Part(attempt.ended_at, "attempt.ended")
        )
        for act in attempt.acts:
            yield Moment(
                at=act.sent_at,
                what=f"{act.operation}.sent",
                id=uuid_text(ACT_PREFIX, act.id),
                status=act.state,
                amount_minor=act.amount_minor,
                currency=attempt.currency,
            )
    for refund in reversed(story.refunds):
        yield from _told(refund, _Part(refund.sent_at, "refund.sent"), _Part(refund.ended_at, "refund.ended"))
    for dispute in reversed(story.disputes):
        submitted = _Part(dispute.evidence_submitted_at, "dispute.evidence_submitted")
        yield from _told(dispute, _Part(dispute.created_at, "dispute.opened"), submitted)


def _told(
    document: intents.Intent | attempts.Attempt | refunds.Refund | refunds.Dispute, *parts: _Part
) -> Iterable[Moment]:
    for part in parts:
        if part.at is not None:
            yield Moment(
                at=part.at,
                what=part.what,
                id=document.reference,
                status=document.status,
                amount_minor=document.amount_minor,
                currency=document.currency,
            )


def _recorded(transfer: Transfer) -> Moment:
    return Moment(
        at=transfer.recorded_at,
        what="transfer.recorded",
        id=transfer.key,
        status=transfer.code,
        amount_minor=transfer.amount_minor,
        currency=transfer.currency,
    )
