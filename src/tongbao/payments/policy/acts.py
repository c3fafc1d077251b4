"""What follows on an authorization: captures, voids, increments. Pure: states and amounts in, next documents out."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.channels.schema import Answer, Capabilities, Operation, Outcome
from tongbao.ledger.schema import Transfer
from tongbao.payments.errors import BadAmount, WrongState
from tongbao.payments.policy import postings, schedule
from tongbao.payments.policy.orders import unexpected
from tongbao.payments.policy.outcomes import intent_moved, moved
from tongbao.payments.policy.postings import Money
from tongbao.payments.schema.attempts import (
    DEAD,
    HOLDING,
    OPEN,
    OPEN_ACTS,
    Act,
    ActState,
    Attempt,
    AttemptState,
    HoldPart,
)
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import ENDS, CancelReason, Intent, IntentState, RiskState

INCREMENTS_MAX = 10
VOIDS_MAX = 10
VOID_AGAIN = timedelta(days=1)
"""After this an expired authorization is voided again that the channel would not let go of."""


_ELSEWHERE = frozenset({AttemptState.REVERSING, AttemptState.REVERSED, AttemptState.CONFLICTED})
"""States that are ended by other means than a void that was on its way when they began."""


class ActStep(NamedTuple):
    """What the end of an act changes."""

    intent: Intent | None
    attempt: Attempt | None
    transfers: tuple[Transfer, ...] = ()
    events: tuple[tuple[str, Document], ...] = ()
    alarm: str | None = None


def begin_capture(
    intent: Intent,
    attempt: Attempt | None,
    capabilities: Capabilities | None,
    amount_minor: int | None,
    *,
    final: bool | None,
    act_id: UUID,
    now: datetime,
) -> tuple[Attempt, Act]:
    """Return the attempt with a capture on its way.

    No amount captures everything that is left; ``final`` is true unless the intent is captured in several parts and
    something is left. Raises WrongState, BadAmount ``amount_too_large``.
    """
    if intent.state is not IntentState.REQUIRES_CAPTURE or attempt is None or attempt.state not in HOLDING:
        raise unexpected(intent, "capture")
    _check_idle(attempt)
    left = attempt.capturable_minor
    amount = left if amount_minor is None else amount_minor
    if amount <= 0:
        raise BadAmount("amount_too_small", "amount_to_capture", "at least one minor unit is captured")
    if amount > left:
        raise BadAmount(
            "amount_too_large",
            "amount_to_capture",
            f"{left} may be captured, not {amount}",
            payment_intent=intent.reference,
        )
    assert capabilities is not None
    last = amount == left or (
        final if final is not None else not capabilities.multiple_capture or not _in_parts(intent)
    )
    if amount < left and last and not capabilities.partial_capture:
        raise WrongState("partial_capture_not_supported", f"{attempt.channel} captures everything or nothing")
    if not last and not (capabilities.multiple_capture and capabilities.partial_capture):
        raise WrongState("multiple_capture_not_supported", f"{attempt.channel} captures once")
    return _with_act(attempt, Operation.CAPTURE, amount, act_id, now, final=last)


def begin_void(attempt: Attempt, act_id: UUID, now: datetime) -> tuple[Attempt, Act]:
    """Return the attempt with a void on its way, of everything that is not captured.

    Raises WrongState, also where the channel refused ``VOIDS_MAX`` voids already.
    """
    _check_idle(attempt)
    if _count(attempt, Operation.VOID) >= VOIDS_MAX:
        raise WrongState("voids_exhausted", f"{attempt.channel} does not let go of {attempt.reference}")
    amount = attempt.capturable_minor or attempt.amount_minor
    return _with_act(attempt, Operation.VOID, amount, act_id, now, final=True)


def begin_increment(
    intent: Intent,
    attempt: Attempt | None,
    capabilities: Capabilities | None,
    total_minor: int,
    act_id: UUID,
    now: datetime,
) -> tuple[Attempt, Act]:
    """Return the attempt with an increment to ``total_minor`` on its way.

    Raises WrongState, BadAmount where the total is not above what is authorized.
    """
    if (
        intent.state is not IntentState.REQUIRES_CAPTURE
        or attempt is None
        or attempt.state is not AttemptState.AUTHORIZED
    ):
        raise unexpected(intent, "increment its authorization")
    _check_idle(attempt)
    if capabilities is None or not capabilities.increment:
        raise WrongState("increment_not_supported", f"{attempt.channel} does not increment authorizations")
    if total_minor <= attempt.authorized_minor:
        raise BadAmount(
            "amount_too_small", "amount", f"{attempt.authorized_minor} is authorized already, ask for more"
        )
    if _count(attempt, Operation.INCREMENT) >= INCREMENTS_MAX:
        raise WrongState("increments_exhausted", f"an authorization grows at most {INCREMENTS_MAX} times")
    more = total_minor - attempt.authorized_minor
    return _with_act(attempt, Operation.INCREMENT, more, act_id, now, final=False)


def end(
    intent: Intent,
    attempt: Attempt,
    act: Act,
    answer: Answer,
    money: Money,
    now: datetime,
    *,
    cancel: CancelReason | None = None,
    top_up: tuple[Transfer, ...] = (),
) -> ActStep:
    """Return what the answer to an act changes; nothing where the act has ended already.

    ``cancel``: this void cancels the intent, for that reason. ``top_up``: what a capture puts into a wallet.
    """
    standing = next((each for each in attempt.acts if each.id == act.id), None)
    if standing is None or standing.state not in OPEN_ACTS:
        return ActStep(None, None)
    if answer.outcome is Outcome.APPROVED:
        if (
            answer.amount_minor is not None
            and answer.amount_minor != standing.amount_minor
            and _moves(standing)
        ):
            return _mismatched(attempt, standing, answer, now)
        done = _answered(standing, ActState.APPROVED, answer)
        match standing.operation:
            case Operation.CAPTURE:
                return _captured(intent, attempt, done, money, now, top_up)
            case Operation.INCREMENT:
                return _incremented(intent, attempt, done, money, now)
            case _:
                return _voided(intent, attempt, done, money, now, cancel)
    if answer.outcome in (Outcome.DECLINED, Outcome.NOT_FOUND) or (
        answer.outcome is Outcome.NOT_SENT and not standing.inquiry_count
    ):
        return _refused(attempt, _answered(standing, ActState.DECLINED, answer), now)
    waiting = msgspec.structs.replace(
        _answered(
            standing, ActState.PENDING if answer.outcome is Outcome.PENDING else ActState.UNRESOLVED, answer
        ),
        inquiry_count=standing.inquiry_count + 1,
    )
    due_at = schedule.after_unresolved(now, standing.inquiry_count)
    after = attempt.changed(now, acts=_replaced(attempt, waiting), due_at=due_at)
    return ActStep(None, after, alarm=None if due_at else "never_resolved")


def canceled(intent: Intent, reason: CancelReason | None, now: datetime) -> Intent:
    """Return the intent canceled; one that people were to look at is undecided from now on."""
    is_held = intent.risk_state is RiskState.REVIEW and reason is not CancelReason.FRAUDULENT
    return intent_moved(
        intent,
        IntentState.CANCELED,
        now,
        cancel_reason=reason,
        canceled_at=now,
        amount_capturable_minor=0,
        next_action=None,
        due_at=None,
        risk_state=RiskState.UNDECIDED if is_held else intent.risk_state,
    )


def _refused(attempt: Attempt, act: Act, now: datetime) -> ActStep:
    """Leave the attempt as it was: what waits is asked again, what has expired is voided again, but not for ever."""
    due_at = None
    if attempt.state in OPEN:
        due_at = schedule.after_poll(now, attempt.inquiry_count)
    elif attempt.expires_at is not None and attempt.state in HOLDING:
        due_at = (
            max(attempt.expires_at, now + VOID_AGAIN) if _has_expired(attempt, now) else attempt.expires_at
        )
    is_stuck = attempt.state in HOLDING and _count(attempt, Operation.VOID) >= VOIDS_MAX
    after = attempt.changed(now, acts=_replaced(attempt, act), due_at=None if is_stuck else due_at)
    told = (("charge.capture_failed", after),) if act.operation is Operation.CAPTURE else ()
    return ActStep(None, after, (), told, alarm="authorization_stuck" if is_stuck else None)


def _captured(
    intent: Intent, attempt: Attempt, act: Act, money: Money, now: datetime, top_up: tuple[Transfer, ...]
) -> ActStep:
    transfers, holds = postings.captured(money, attempt, act)
    captured_minor = attempt.captured_minor + act.amount_minor
    ends = act.final or captured_minor == attempt.authorized_minor
    after = moved(
        attempt,
        AttemptState.CAPTURED if ends else AttemptState.CAPTURED_PARTIAL,
        now,
        acts=_replaced(attempt, act),
        holds=holds,
        captured_minor=captured_minor,
        due_at=None if ends else attempt.expires_at,
    )
    paid = intent_moved(
        intent,
        IntentState.SUCCEEDED if ends else IntentState.REQUIRES_CAPTURE,
        now,
        amount_received_minor=captured_minor,
        amount_capturable_minor=0 if ends else after.capturable_minor,
        last_error=None,
    )
    told = "payment_intent.succeeded" if ends else "payment_intent.amount_capturable_updated"
    return ActStep(paid, after, (*transfers, *top_up), ((told, paid), ("charge.captured", after)))


def _incremented(intent: Intent, attempt: Attempt, act: Act, money: Money, now: datetime) -> ActStep:
    hold = postings.authorized(money, attempt, act.amount_minor, act.id)
    total = attempt.authorized_minor + act.amount_minor
    after = attempt.changed(
        now,
        acts=_replaced(attempt, act),
        authorized_minor=total,
        amount_minor=total,
        holds=(*attempt.holds, HoldPart(hold.key, act.amount_minor)),
        due_at=attempt.expires_at,
    )
    grown = intent.changed(now, amount_minor=total, amount_capturable_minor=after.capturable_minor)
    told = (("payment_intent.amount_capturable_updated", grown), ("charge.updated", after))
    return ActStep(grown, after, (hold,), told)


def _voided(
    intent: Intent, attempt: Attempt, act: Act, money: Money, now: datetime, cancel: CancelReason | None
) -> ActStep:
    """Release everything; an intent of which part was captured succeeds with that part."""
    if attempt.state is AttemptState.CHARGED:
        # The payer was faster, and yet the channel says that it let go: the money's whereabouts are for people.
        odd = attempt.changed(now, acts=_replaced(attempt, act), due_at=None)
        return ActStep(None, odd, (), (("attempt.conflicted", odd),), alarm="void_after_charge")
    if attempt.state in _ELSEWHERE:
        return ActStep(None, attempt.changed(now, acts=_replaced(attempt, act)))
    state = AttemptState.CAPTURED if attempt.captured_minor else AttemptState.VOIDED
    if attempt.state in DEAD:
        # The channel told of the end before it answered the void.
        state = attempt.state
    transfers = tuple(postings.voided(money, attempt))
    after = moved(attempt, state, now, acts=_replaced(attempt, act), holds=(), due_at=None)
    if intent.attempt_id != attempt.id or intent.state in ENDS:
        return ActStep(None, after, transfers, (("charge.updated", after),))
    if attempt.captured_minor:
        paid = intent_moved(intent, IntentState.SUCCEEDED, now, amount_capturable_minor=0)
        return ActStep(paid, after, transfers, (("payment_intent.succeeded", paid),))
    gone = canceled(intent, cancel, now)
    return ActStep(gone, after, transfers, (("payment_intent.canceled", gone), ("charge.updated", after)))


def _mismatched(attempt: Attempt, act: Act, answer: Answer, now: datetime) -> ActStep:
    """Leave an act unresolved whose answer tells of another amount; people look, reconciliation decides."""
    odd = _answered(act, ActState.UNRESOLVED, answer)
    after = attempt.changed(now, acts=_replaced(attempt, odd), due_at=None)
    return ActStep(None, after, (), (("attempt.conflicted", after),), alarm="amount_conflict")


def _with_act(
    attempt: Attempt, operation: Operation, amount_minor: int, act_id: UUID, now: datetime, *, final: bool
) -> tuple[Attempt, Act]:
    act = Act(
        id=act_id,
        operation=operation,
        amount_minor=amount_minor,
        state=ActState.SENT,
        final=final,
        sent_at=now,
    )
    due_at = now + timedelta(seconds=schedule.CALL_S_MAX)
    return attempt.changed(now, acts=(*attempt.acts, act), due_at=due_at), act


def _check_idle(attempt: Attempt) -> None:
    if attempt.open_act is not None:
        raise WrongState(
            "act_in_progress",
            f"a {attempt.open_act.operation} of {attempt.reference} is under way; wait until it is known",
        )


def _answered(act: Act, state: ActState, answer: Answer) -> Act:
    return msgspec.structs.replace(
        act,
        state=state,
        channel_reference=answer.channel_reference or act.channel_reference,
        code=answer.code or act.code,
        reason=answer.reason,
    )


def _replaced(attempt: Attempt, act: Act) -> tuple[Act, ...]:
    return tuple(act if each.id == act.id else each for each in attempt.acts)


def _count(attempt: Attempt, operation: Operation) -> int:
    return sum(1 for act in attempt.acts if act.operation is operation)


def _has_expired(attempt: Attempt, now: datetime) -> bool:
    return attempt.expires_at is not None and now >= attempt.expires_at


def _moves(act: Act) -> bool:
    return act.operation in (Operation.CAPTURE, Operation.INCREMENT)


def _in_parts(intent: Intent) -> bool:
    return intent.capture_method.value == "manual_multiple"
