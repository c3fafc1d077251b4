"""Examples to learn from: the journal folded once more, each payment with the features it had before anybody knew its end.

The same functions that score make these rows, so what is trained on is what is scored with. A payment whose label has had
time to come (``LABEL_DELAY_S``) and did not is taken for good.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import LimitExceeded
from tongbao.core.events.facts import Fact, decode
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Mode
from tongbao.risk.models.registry import LABEL_DELAY_S, NAMES
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, Proved
from tongbao.risk.store import journal
from tongbao.risk.store.journal import JournalRow

PAGE_MAX = 5_000
EXAMPLES_MAX = 2_000_000
"""Payments that one training reads; 130 features of each are 2 GB."""
NEVER_S = np.iinfo(np.int64).max

Told = Callable[[str, int], None]
"""Hears what is being done and how many facts were read so far."""


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Payments of a time in order: features (n, n_features), truth and instants (n,).

    ``known_at_s`` is when a label said fraud, ``NEVER_S`` where none did; ``scores`` are those they were judged with,
    NaN where scoring failed; ``customers`` a number for whoever paid.
    """

    x: Floats
    is_fraud: NDArray[np.bool_]
    at_s: NDArray[np.int64]
    known_at_s: NDArray[np.int64]
    values: NDArray[np.int64]
    scores: Floats
    customers: NDArray[np.int64]

    def part(self, chosen: NDArray[np.bool_]) -> "Gathered":
        """Return the payments that are chosen."""
        return Gathered(
            self.x[chosen],
            self.is_fraud[chosen],
            self.at_s[chosen],
            self.known_at_s[chosen],
            self.values[chosen],
            self.scores[chosen],
            self.customers[chosen],
        )


class _Fold:
    """Folds pages of the journal and keeps rows of the payments that are wanted; runs in a thread of its own."""

    def __init__(self, live: bool, from_at: datetime, to_at: datetime) -> None:
        self._live = live
        self._span = (from_at, to_at)
        self._mode = Mode()
        self._rows: list[Floats] = []
        self._looks: list[Assessed] = []
        self._labels: dict[UUID, tuple[bool, int]] = {}

    def take(self, rows: list[JournalRow]) -> None:
        """Fold one page."""
        for row in rows:
            fact = decode(row.topic, row.body)
            if isinstance(fact, Fact):
                self._take(fact)

    def gathered(self) -> Gathered:
        """Return everything that was kept."""
        labels = [self._labels.get(each.signals.id, (False, NEVER_S)) for each in self._looks]
        numbers: dict[str, int] = {}
        return Gathered(
            x=np.stack(self._rows) if self._rows else np.empty((0, len(NAMES))),
            is_fraud=np.array([is_fraud for is_fraud, _ in labels], dtype=np.bool_),
            at_s=np.array([each.signals.at_ms // 1000 for each in self._looks], dtype=np.int64),
            known_at_s=np.array([known for _, known in labels], dtype=np.int64),
            values=np.array([each.signals.value for each in self._looks], dtype=np.int64),
            scores=np.array(
                [np.nan if each.score is None else each.score for each in self._looks], dtype=np.float64
            ),
            customers=np.array(
                [
                    numbers.setdefault(each.signals.customer or str(each.signals.id), len(numbers))
                    for each in self._looks
                ],
                dtype=np.int64,
            ),
        )

    def _take(self, fact: Fact) -> None:
        match fact:
            case Assessed():
                if fact.signals.live is not self._live or fact.is_again:
                    return
                if self._span[0] <= fact.signals.at < self._span[1]:
                    self._keep(fact)
                self._mode.learn(fact)
            case Labelled():
                if fact.live is self._live:
                    known_at_s = int(fact.occurred_at.timestamp()) if fact.is_fraud else NEVER_S
                    self._labels[fact.signals_id] = (fact.is_fraud, known_at_s)
                    self._mode.learn(fact)
            case Ended() | Proved():
                if fact.live is self._live:
                    self._mode.learn(fact)

    def _keep(self, fact: Assessed) -> None:
        if len(self._rows) >= EXAMPLES_MAX:
            raise LimitExceeded(
                "examples_too_many", f"at most {EXAMPLES_MAX:,} payments are learned from at a time"
            )
        self._rows.append(self._mode.state.features(fact.signals))
        self._looks.append(fact)


async def gather(
    database: Database, clock: Clock, days: int, *, live: bool, told: Told = lambda _step, _count: None
) -> Gathered:
    """Return the payments of ``days`` days that are old enough for their labels, with the labels known now.

    Reads the whole journal, as state is a fold over all of it. Raises LimitExceeded ``examples_too_many``.
    """
    to_at = clock.now() - timedelta(seconds=LABEL_DELAY_S)
    fold = _Fold(live, to_at - timedelta(days=days), to_at)
    after = count = 0
    while True:
        async with database.connection() as connection:
            rows = await journal.page(connection, after, PAGE_MAX)
        if not rows:
            return fold.gathered()
        await asyncio.to_thread(fold.take, rows)
        after = rows[-1].position
        count += len(rows)
        told("reading", count)
