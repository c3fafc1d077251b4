"""Security codes, in memory for minutes and nowhere else.

A CVC may not be stored after authorization (PCI DSS 4.0, requirement 3.3.1), not even encrypted; here it is not
stored before either. The process that took the card must send it: another one sees no CVC, nor does this one
after a restart, and the payment goes on without.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from tongbao.core.clock import Clock

ENTRIES_MAX = 10_000
LIFETIME = timedelta(minutes=15)


class CvcMemory:
    """Remembers security codes by token, at most ``entries_max``: past that the oldest is forgotten first."""

    def __init__(
        self, clock: Clock, *, entries_max: int = ENTRIES_MAX, lifetime: timedelta = LIFETIME
    ) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._lifetime = lifetime
        self._codes: OrderedDict[str, tuple[str, datetime]] = OrderedDict()

    def __repr__(self) -> str:
        return f"CvcMemory({len(self._codes)} entries)"

    def __len__(self) -> int:
        return len(self._codes)

    def remember(self, token: str, cvc: str) -> None:
        """Keep the code of a token until its lifetime ends, or ``forget``."""
        now = self._clock.now()
        self._drop_expired(now)
        self._codes[token] = (cvc, now + self._lifetime)
        self._codes.move_to_end(token)
        if len(self._codes) > self._entries_max:
            self._codes.popitem(last=False)

    def recall(self, token: str) -> str | None:
        """Return the code, which stays: a cascade to another channel needs it again. None once it is gone."""
        self._drop_expired(self._clock.now())
        found = self._codes.get(token)
        return None if found is None else found[0]

    def forget(self, token: str) -> None:
        """Drop the code: the authorization is over."""
        self._codes.pop(token, None)

    def _drop_expired(self, now: datetime) -> None:
        """Drop what has expired; entries stand in order of their end, as all live equally long."""
        while self._codes:
            token, (_, ends_at) = next(iter(self._codes.items()))
            if ends_at > now:
                return
            del self._codes[token]
