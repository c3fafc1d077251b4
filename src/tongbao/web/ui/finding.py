"""What an id names: the beginning of an id leads to the pages that may know it. Faces fill the registry.

    finders = Finders()
    finders.add("pi", lambda reference, who: f"/ops/payments/{reference}")

A builder gives an address, or None where it does not know the id or the reader may not see it; the next one is asked then
(``acct_`` names merchants and accounts of the ledger). Nothing tells a reader apart what is not there and what is not theirs.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

REFERENCE_CHARS_MAX = 80
BUILDERS_MAX = 8
_REFERENCE = re.compile(r"([a-z]{1,12}(?:_[a-z]{1,12})?)_([0-9A-Za-z]{4,64})")
Build = Callable[[str, Any], str | Awaitable[str | None] | None]
"""Gives the address for a reference and whoever asks."""


class Finders:
    """The registry of one face: builders by the beginnings of ids, and one for what has no such beginning."""

    def __init__(self) -> None:
        self._builders: dict[str, list[Build]] = defaultdict(list)
        self._words: list[Build] = []

    def add(self, prefix: str, build: Build) -> None:
        """Let ``build`` answer for ids that begin with ``prefix`` and an underscore; asked in the order added."""
        self._add(self._builders[prefix], build)

    def add_words(self, build: Build) -> None:
        """Let ``build`` answer for what is no id: a name, an e-mail address, a merchant's own reference."""
        self._add(self._words, build)

    @property
    def prefixes(self) -> list[str]:
        """The beginnings that are known, for whoever tells the reader."""
        return sorted(self._builders)

    async def find(self, text: str, who: object = None) -> str | None:
        """Return the address of what ``text`` names for ``who``; None where nobody knows it."""
        wanted = text.strip()[:REFERENCE_CHARS_MAX]
        prefix = prefix_of(wanted)
        for build in [*self._builders.get(prefix or "", []), *(self._words if wanted else [])]:
            found = build(wanted, who)
            address = await found if isawaitable(found) else found
            # Only addresses of this house, whatever a builder makes of what was typed.
            if address and address.startswith("/") and address[1:2] not in {"/", "\\"}:
                return address
        return None

    @staticmethod
    def _add(builders: list[Build], build: Build) -> None:
        if len(builders) >= BUILDERS_MAX:
            raise ValueError(f"at most {BUILDERS_MAX} builders answer for one kind of id")
        builders.append(build)


def prefix_of(text: str) -> str | None:
    """Return the beginning of an id, as far as ``text`` has the form of one."""
    found = _REFERENCE.fullmatch(text)
    return found[1] if found else None
