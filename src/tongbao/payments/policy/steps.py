"""What one answer can change, and what its meaning depends on: the types and moves that the policies of answers share."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from tongbao.channels.schema import Answer, Capabilities, Fault, Reason, Retry
from tongbao.core.errors import InvariantBroken
from tongbao.ledger.schema import Transfer
from tongbao.payments.policy import schedule
from tongbao.payments.policy.postings import Money
from tongbao.payments.schema.attempts import ATTEMPT_MOVES, Attempt, AttemptState
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import ENDS, INTENT_MOVES, Intent, IntentState, PaymentError


class Step(NamedTuple):
    """What one answer changes: the documents in their next versions, the transfers, and what is told of it."""

    intent: Intent | None = None
    attempt: Attempt | None = None
    transfers: tuple[Transfer, ...] = ()
    events: tuple[tuple[str, Document], ...] = ()
    alarm: str | None = None

    @property
    def is_empty(self) -> bool:
        """True where nothing changes."""
        return self.intent is None and self.attempt is None and not self.transfers


def announced(intent: Intent, step: Step) -> tuple[tuple[str, Document], ...]:
    """Return what is told of a step on ``intent``, its creation first where nobody was told of that yet.

    An intent that is collected in the request that makes it is stored ``processing``; its first change tells both.
    """
    born = intent.version == 1 and intent.state is IntentState.PROCESSING
    if not born or step.intent is None:
        return step.events
    return (("payment_intent.created", intent), *step.events)


class Standing(NamedTuple):
    """Everything that the meaning of an answer depends on."""

    intent: Intent
    attempt: Attempt
    money: Money
    capabilities: Capabilities
    explain: "Explain"
    now: datetime
    top_up: tuple[Transfer, ...] = ()

    @property
    def is_awaited(self) -> bool:
        """True where the intent waits for just this attempt."""
        return self.intent.attempt_id == self.attempt.id and self.intent.state not in ENDS

    def due(self, otherwise: datetime | None) -> datetime | None:
        """Return when to look again: soon where an act, a void as a rule, has still to be followed to its end."""
        return otherwise if self.attempt.open_act is None else schedule.after_sending(self.now)


class Explain(msgspec.Struct, frozen=True):
    """Who is at fault for a no and what may be tried next, as the knowledge base of codes has it."""

    fault: Fault
    retry: Retry


def error_of(standing: Standing, answer: Answer, reason: Reason) -> PaymentError:
    """Return a no in standard words."""
    return PaymentError(
        reason=reason,
        fault=standing.explain.fault,
        retry=standing.explain.retry,
        channel=standing.attempt.channel,
        channel_code=answer.code,
        channel_message=answer.message,
        attempt_id=standing.attempt.id,
    )


def moved(attempt: Attempt, state: AttemptState, at: datetime, **changes: object) -> Attempt:
    """Return the next version of an attempt in ``state``; raise InvariantBroken for a move that does not exist."""
    if state is not attempt.state and state not in ATTEMPT_MOVES[attempt.state]:
        raise InvariantBroken(
            "attempt_move", f"{attempt.reference} cannot go from {attempt.state} to {state}"
        )
    return attempt.changed(at, state=state, **changes)


def intent_moved(intent: Intent, state: IntentState, at: datetime, **changes: object) -> Intent:
    """Return the next version of an intent in ``state``; raise InvariantBroken for a move that does not exist."""
    if state is not intent.state and state not in INTENT_MOVES[intent.state]:
        raise InvariantBroken("intent_move", f"{intent.reference} cannot go from {intent.state} to {state}")
    return intent.changed(at, state=state, **changes)


def said(attempt: Attempt, answer: Answer) -> dict[str, object]:
    """Return what the channel said, over what it had said before."""
    return {
        "channel_reference": answer.channel_reference or attempt.channel_reference,
        "network_reference": answer.network_reference or attempt.network_reference,
        "approval_code": answer.approval_code or attempt.approval_code,
        "cvc_check": answer.cvc_check or attempt.cvc_check,
        "code": answer.code or attempt.code,
        "message": answer.message or attempt.message,
        "authentication": (answer.authentication if attempt.authenticates else None)
        or attempt.authentication,
    }
