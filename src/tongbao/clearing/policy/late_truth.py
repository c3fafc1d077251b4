"""Late truth: what a channel's file says about a payment whose end is not known here, or known otherwise. Pure.

A line is an answer like any other, only late: payments decide what it means. What a payment has got already is left alone.
"""

import enum
from uuid import UUID

from tongbao.channels.schema import Answer, Outcome
from tongbao.clearing.schema.lines import Line, LineKind
from tongbao.core.ids import parse_uuid
from tongbao.payments.schema.attempts import DEAD, OPEN, PAID, Attempt, AttemptState
from tongbao.payments.schema.refunds import OPEN_REFUNDS, Refund, RefundState

CONTRADICTED = frozenset({AttemptState.CONFLICTED, AttemptState.REVERSING, AttemptState.REVERSED})
"""Where payments put money that nobody here waits for: it stands in suspense, and is given back or looked at."""


class Heard(enum.StrEnum):
    """What came of a line."""

    RESOLVED = "resolved"  # its end was unknown, and is known now
    CONTRADICTED = "contradicted"  # it had another end here: its money stands apart, people are alarmed
    WAITING = "waiting"  # payments still do not know
    KNOWN = "known"  # nothing to be learned from it
    FOREIGN = "foreign"  # no payment of ours, or of another channel


def attempt_id(line: Line) -> UUID | None:
    """Return the attempt that a sale names by our reference; None for anything else."""
    return _named(line, LineKind.SALE, Attempt.PREFIX)


def refund_id(line: Line) -> UUID | None:
    """Return the refund that a line names by our reference; None for anything else."""
    return _named(line, LineKind.REFUND, Refund.PREFIX)


def answer_of(line: Line) -> Answer:
    """Return what a line says: so much was claimed, or went back."""
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=abs(line.gross_minor),
        currency=line.currency,
        captured=line.kind is LineKind.SALE,
        channel_reference=line.channel_reference or None,
        occurred_at=line.occurred_at,
    )


def asks_first(attempt: Attempt) -> bool:
    """Return whether the channel is asked before the file counts: the attempt, or an act on it, has no known end."""
    return attempt.state in OPEN or attempt.open_act is not None


def speaks_to(line: Line, attempt: Attempt) -> bool:
    """Return whether a line tells of an attempt what is not known here.

    Of what is only reserved a line of the whole amount does; parts are captures whose own acts are followed.
    """
    if attempt.state in OPEN:
        return True
    if attempt.state is AttemptState.AUTHORIZED:
        return not attempt.acts and line.gross_minor == attempt.amount_minor
    return attempt.state in DEAD and attempt.state is not AttemptState.REVERSED


def heard(before: Attempt, after: Attempt) -> Heard:
    """Return what came of a line from the attempt before and after it."""
    if after.version != before.version and after.state in CONTRADICTED:
        return Heard.CONTRADICTED
    if asks_first(after):
        return Heard.WAITING
    return Heard.RESOLVED if asks_first(before) or _is_paid_now(before, after) else Heard.KNOWN


def heard_refund(before: Refund, after: Refund) -> Heard:
    """Return what came of a line from the refund before and after it."""
    if after.state is RefundState.FAILED:
        return Heard.CONTRADICTED
    if after.state in OPEN_REFUNDS:
        return Heard.WAITING
    return Heard.RESOLVED if before.state in OPEN_REFUNDS else Heard.KNOWN


def _is_paid_now(before: Attempt, after: Attempt) -> bool:
    return before.state not in PAID and after.state in PAID


def _named(line: Line, kind: LineKind, prefix: str) -> UUID | None:
    if line.kind is not kind or not line.reference.startswith(f"{prefix}_"):
        return None
    try:
        return parse_uuid(prefix, line.reference)
    except ValueError:
        return None
