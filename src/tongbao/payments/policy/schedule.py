"""When a worker looks again: inquiries of what is unresolved, polls of what the payer has still to do.

Unresolved: 5 s, 30 s, 2 min, 10 min, 1 h, 6 h, then daily five times; after that only reconciliation decides.
Source: docs/concepts/unknown-outcomes.md.
"""

from datetime import datetime, timedelta

UNRESOLVED_S = (5, 30, 120, 600, 3_600, 21_600, 86_400, 86_400, 86_400, 86_400, 86_400)
POLL_S = (3, 5, 10, 20, 30, 60)
CALL_S_MAX = 30
"""No call to a channel takes longer: an attempt that is still ``sent`` after this was cut short."""
REVERSAL_S = 1
INTENT_LIFE = timedelta(hours=24)


def after_unresolved(now: datetime, inquiry_count: int) -> datetime | None:
    """Return when to inquire after so many inquiries; None once reconciliation has the last word."""
    if inquiry_count >= len(UNRESOLVED_S):
        return None
    return now + timedelta(seconds=UNRESOLVED_S[inquiry_count])


def after_poll(now: datetime, inquiry_count: int) -> datetime:
    """Return when to ask again about something that waits for its payer or for the channel."""
    return now + timedelta(seconds=POLL_S[min(inquiry_count, len(POLL_S) - 1)])


def after_sending(now: datetime) -> datetime:
    """Return when a call that is just going out must have ended, whatever became of this process."""
    return now + timedelta(seconds=CALL_S_MAX)
