"""A bounded memory of answers that are good for a moment."""

from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """Answers by digest, the least recently used forgotten first, none given after its time.

    Times are seconds of a monotonic clock, so that nobody who sets the machine's clock keeps an old answer alive.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._entries: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes, now_s: float) -> Value | None:
        """Return what is remembered, if it is fresh."""
        entry = self._entries.get(digest)
        if entry is None or entry[0] <= now_s:
            return None
        self._entries.move_to_end(digest)
        return entry[1]

    def put(self, digest: bytes, value: Value, fresh_until_s: float) -> None:
        """Remember an answer until an instant, forgetting another where there are too many."""
        self._entries[digest] = (fresh_until_s, value)
        self._entries.move_to_end(digest)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        """Forget an answer."""
        self._entries.pop(digest, None)
