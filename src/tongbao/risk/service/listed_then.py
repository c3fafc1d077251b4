"""Which lists payments of the past were on: from the rows of lists, which are never edited."""

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from tongbao.core.errors import LimitExceeded, NotFound
from tongbao.risk.policy.language import list_of_field
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, PAGE_MAX, ListEntry, ListKey, ListKind
from tongbao.risk.schema.signals import Signals
from tongbao.risk.service.lists import Lists

ENTRIES_READ_MAX = 500_000
"""Entries, gone ones included, that one look back reads."""


class _Place(NamedTuple):
    book_id: int
    kind: ListKind
    value: str


class ListedThen:
    """The lists that some rules ask for, with everybody who ever was on them."""

    def __init__(self) -> None:
        self._entries: dict[_Place, list[ListEntry]] = defaultdict(list)
        self._count = 0

    @classmethod
    async def read(
        cls, lists: Lists, fields: Collection[str], books: Collection[int], live: bool
    ) -> "ListedThen":
        """Return the lists that ``fields`` of rules ask for, those of these books and of the house.

        Raises LimitExceeded ``backtest_too_long`` beyond ``ENTRIES_READ_MAX`` entries.
        """
        made = cls()
        names = [asked for field in fields if (asked := list_of_field(field)) is not None]
        for book_id in sorted({HOUSE_BOOK_ID, *books}) if names else ():
            for name in sorted(names):
                await made._read(lists, ListKey(book_id, live, name))
        return made

    def names(self, signals: Signals) -> frozenset[str]:
        """Return the lists that a payment was on at its own instant."""
        if not self._entries:
            return frozenset()
        return frozenset(
            entry.list_name
            for book_id in (HOUSE_BOOK_ID, signals.book_id)
            for kind in ListKind
            for entry in self._entries.get(_Place(book_id, kind, getattr(signals, kind.value)), ())
            if _stood(entry, signals)
        )

    async def _read(self, lists: Lists, key: ListKey) -> None:
        before: UUID | None = None
        while True:
            try:
                page = await lists.entries(key, before=before, is_history=True, limit=PAGE_MAX)
            except NotFound:
                return
            for entry in page:
                self._entries[_Place(entry.book_id, entry.kind, entry.value)].append(entry)
            self._count += len(page)
            if self._count > ENTRIES_READ_MAX:
                detail = f"the lists that the rules ask for hold more than {ENTRIES_READ_MAX:,} entries"
                raise LimitExceeded("backtest_too_long", detail, limit=ENTRIES_READ_MAX)
            if len(page) < PAGE_MAX:
                return
            before = page[-1].id


def _stood(entry: ListEntry, signals: Signals) -> bool:
    """Return whether an entry stood when a payment was judged."""
    ends = [each for each in (entry.expires_at, entry.removed_at) if each is not None]
    return entry.added_at <= signals.at and all(signals.at < each for each in ends)
