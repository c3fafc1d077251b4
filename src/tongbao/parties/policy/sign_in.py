"""Which passwords are taken, how long a guesser waits, and when a session is over.

Sources: OWASP ASVS 5.0, chapters 6 and 7 (length instead of composition, common passwords refused, idle and
absolute end); PCI DSS 4.0, 8.3.6 (twelve characters) and 8.2.8 (fifteen minutes idle).
"""

from datetime import datetime, timedelta

from tongbao.parties.errors import BadField
from tongbao.parties.facts import Failures
from tongbao.parties.policy.common_passwords import COMMON
from tongbao.parties.schema import (
    Session,
)

PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 128
FREE_FAILURES = 5
LOCK = timedelta(minutes=1)
LOCK_MAX = timedelta(hours=1)
DOUBLINGS_MAX = 6
FAILURES_FORGOTTEN = timedelta(hours=24)
IDLE = timedelta(minutes=15)
ABSOLUTE = timedelta(hours=8)
SEEN_EVERY = timedelta(minutes=1)
KEPT = timedelta(days=90)


def check_password(password: str, email: str, name: str) -> None:
    """Raise BadField where a new password is too short, too long, or among the first to be guessed.

    Any characters will do. Refused are the commonest passwords, also with digits and signs around them, a few
    characters repeated, and the person's own name or address.
    """
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise BadField("password", f"a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")
    folded = password.casefold()
    core = folded.strip("0123456789!?.,;:@#$%&*+-_= ")
    halves = {folded, core, folded[: len(folded) // 2]} if _is_doubled(folded) else {folded, core}
    if len(set(folded)) < 5 or not COMMON.isdisjoint(halves):
        raise BadField("password", "this password is among the first that are guessed")
    own = {email.casefold(), email.casefold().partition("@")[0], name.casefold()}
    if not own.isdisjoint(halves):
        raise BadField("password", "a password is not one's own name or address")


def check_length_of_guess(password: str) -> None:
    """Raise BadField for a password that nobody can have set; it says nothing about anybody's."""
    if len(password) > PASSWORD_CHARS_MAX:
        raise BadField("password", f"a password has at most {PASSWORD_CHARS_MAX} characters")


def charge(failures: Failures, now: datetime) -> Failures:
    """Return the failures with one more try, charged before it is known whether it is right.

    From the fifth on each locks for a minute, doubled each time, an hour at most. A day without a try forgets
    everything.
    """
    forgotten = failures.last_at is not None and now - failures.last_at >= FAILURES_FORGOTTEN
    count = 1 if forgotten else failures.count + 1
    return Failures(count, now, now + lock_after(count) if count >= FREE_FAILURES else None)


def lock_after(count: int) -> timedelta:
    """Return how long the next try has to wait after so many failures."""
    if count < FREE_FAILURES:
        return timedelta(0)
    doublings = min(count - FREE_FAILURES, DOUBLINGS_MAX)
    return min(LOCK * (1 << doublings), LOCK_MAX)


def seconds_locked(failures: Failures, now: datetime) -> int:
    """Return the whole seconds until the next try is let in, rounded up; 0 where it is let in now."""
    if failures.locked_until is None or failures.locked_until <= now:
        return 0
    return -(-(failures.locked_until - now) // timedelta(seconds=1))


def is_over(session: Session, now: datetime) -> bool:
    """Return whether a session was ended, has idled for 15 minutes, or is 8 hours old."""
    return (
        session.ended_at is not None or now >= session.seen_at + IDLE or now >= session.created_at + ABSOLUTE
    )


def needs_touch(session: Session, now: datetime) -> bool:
    """Return whether the last sight of a session is old enough to be written again."""
    return now >= session.seen_at + SEEN_EVERY


def _is_doubled(text: str) -> bool:
    half = len(text) // 2
    return len(text) % 2 == 0 and text[:half] == text[half:]
