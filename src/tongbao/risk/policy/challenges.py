"""How a challenge moves: time, attempts, sends, and how a code is kept and compared.

A code of six digits and five attempts is guessed with a chance of 5 in a million; five challenges an hour and payment
bound the rest. The code is kept as HMAC-SHA-256 (RFC 2104) under a key of the house over the challenge and the code, so a
copy of the table tells nothing, and is compared in constant time.
"""

import hashlib
import hmac
import unicodedata
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded
from tongbao.risk.schema.challenges import (
    ATTEMPTS_MAX,
    CODE_DIGITS,
    MOVES,
    PAYEE_CHARS_MAX,
    Challenge,
    ChallengeOrder,
    ChallengeState,
    Destination,
    DestinationKind,
)

DURATION = timedelta(minutes=10)
SENDS_MAX = 3
SEND_PAUSE = timedelta(seconds=30)
OPENED_MAX = 5
OPENED_WITHIN = timedelta(hours=1)
TYPED_CHARS_MAX = 32
_BETWEEN = str.maketrans("", "", " \t\u00a0-\u2010\u2011")
_SHOWN_DIGITS = 4


def opened(order: ChallengeOrder, challenge_id: UUID, masked: str, now: datetime) -> Challenge:
    """Return a new challenge, good for ten minutes."""
    purpose = order.purpose
    return Challenge(
        id=challenge_id,
        book_id=purpose.book_id,
        live=order.live,
        subject_id=purpose.subject_id,
        signals_id=order.signals_id,
        amount_minor=purpose.amount_minor,
        currency=purpose.currency.upper(),
        payee=order.payee[:PAYEE_CHARS_MAX],
        digest=purpose.digest,
        means=order.means,
        state=ChallengeState.OPEN,
        destination=order.destination,
        masked=masked,
        attempts_left=ATTEMPTS_MAX,
        sends_left=SENDS_MAX,
        opened_at=now,
        expires_at=now + DURATION,
    )


def taken_over(challenge: Challenge, before: Challenge) -> Challenge:
    """Return a new challenge after the one it replaces: where only the means changed it has no attempt more than that."""
    is_switched = before.state is ChallengeState.ABANDONED and before.digest == challenge.digest
    left = min(challenge.attempts_left, before.attempts_left) if is_switched else challenge.attempts_left
    return msgspec.structs.replace(challenge, attempts_left=left)


def ended(challenge: Challenge, state: ChallengeState, now: datetime) -> Challenge:
    """Return a challenge that ended in ``state``; raise Conflict ``challenge_closed`` where it ended before."""
    if state not in MOVES[challenge.state]:
        raise Conflict(
            "challenge_closed",
            "this challenge has ended",
            challenge=challenge.reference,
            state=challenge.state.value,
        )
    return msgspec.structs.replace(challenge, state=state, ended_at=now)


def answered(challenge: Challenge, now: datetime, *, is_right: bool) -> Challenge:
    """Return an open challenge after an answer: passed, one attempt poorer, or failed with the last of them."""
    counted = msgspec.structs.replace(challenge, attempts_left=challenge.attempts_left - 1)
    if is_right:
        return ended(counted, ChallengeState.PASSED, now)
    return counted if counted.attempts_left > 0 else ended(counted, ChallengeState.FAILED, now)


def seconds_until_send(challenge: Challenge, now: datetime) -> int:
    """Return the whole seconds until another code may be sent, rounded up; 0 where it may be now."""
    if challenge.sent_at is None:
        return 0
    wait = min(challenge.sent_at + SEND_PAUSE - now, SEND_PAUSE)
    return max(0, -(-wait // timedelta(seconds=1)))


def sent(challenge: Challenge, now: datetime) -> Challenge:
    """Return a challenge after one more code was made for it, whether or not that arrives.

    Raises LimitExceeded ``sends_used_up``, or ``send_too_soon`` with the seconds to wait.
    """
    if challenge.sends_left <= 0:
        raise LimitExceeded("sends_used_up", f"at most {SENDS_MAX} codes are sent for one challenge")
    if wait_s := seconds_until_send(challenge, now):
        raise LimitExceeded("send_too_soon", "a code was sent just now", retry_after_s=wait_s)
    return msgspec.structs.replace(challenge, sends_left=challenge.sends_left - 1, sent_at=now)


def normal_code(typed: str) -> str:
    """Return the digits of a code as it was typed: spaces and dashes dropped, digits of full width read.

    Raises InvalidRequest ``code_malformed`` for what cannot be a code; that costs no attempt.
    """
    digits = unicodedata.normalize("NFKC", typed[:TYPED_CHARS_MAX]).translate(_BETWEEN)
    if (
        len(typed) > TYPED_CHARS_MAX
        or len(digits) != CODE_DIGITS
        or not (digits.isascii() and digits.isdigit())
    ):
        raise InvalidRequest("code_malformed", f"a code has {CODE_DIGITS} digits")
    return digits


def code_digest(secret: bytes, challenge_id: UUID, code: str) -> bytes:
    """Return the only form in which a code is kept; the same code of another challenge has another one."""
    return hmac.digest(
        secret, b"tongbao/step-up-code/v1" + challenge_id.bytes + code.encode(), hashlib.sha256
    )


def is_same(kept: bytes, given: bytes) -> bool:
    """Return whether two digests are equal, in time that tells nothing of where they differ."""
    return hmac.compare_digest(kept, given)


def masked(destination: Destination) -> str:
    """Return an address as it may be shown: ``m***@example.com``, ``***4567``."""
    address = destination.address
    if destination.kind is DestinationKind.EMAIL:
        name, _, domain = address.rpartition("@")
        return f"{name[:1]}***@{domain}"
    digits = "".join(char for char in address if char.isdigit())
    # Of a short number less than half is shown.
    shown = min(_SHOWN_DIGITS, (len(digits) - 1) // 2)
    return "***" + (digits[-shown:] if shown > 0 else "")
