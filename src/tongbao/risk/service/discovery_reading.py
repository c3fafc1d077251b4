"""What discoveries are made of: the journal folded once more, payments with the features they had and the labels known now."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tongbao.core.db import Database
from tongbao.core.events.facts import Fact, decode
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Mode
from tongbao.risk.models.rates import TierBeliefs
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, Proved
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.examples import PAGE_MAX, Told
from tongbao.risk.store import journal
from tongbao.risk.store.journal import JournalRow

PAYMENTS_MAX = 200_000
"""The newest payments of a look; 180 features of each are 300 MB."""
GOOD, FRAUD, UNKNOWN = 0, 1, -1
Flags = NDArray[np.bool_]
CODES: Mapping[str, Callable[[Signals], str]] = {
    "method": lambda of: of.method,
    "currency": lambda of: of.currency,
    "card_country": lambda of: of.card_country,
    "address_country": lambda of: of.address_country,
    "merchant_country": lambda of: of.merchant_country,
    "mcc": lambda of: of.mcc,
    "funding": lambda of: of.funding,
    "email_domain": lambda of: of.email_domain,
}
"""The codes of a payment that rules may speak of, by their name there."""


class Look(NamedTuple):
    """Which payments are wanted, live or test, and the instant before which they are old enough for their labels."""

    live: bool
    from_at: datetime
    matured_at: datetime
    to_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Payments in the order of time: features (n, n_features), what was judged, labels (n,), which are old enough (n,).

    A label is ``GOOD``, ``FRAUD`` or ``UNKNOWN``, where nobody said anything. ``beliefs`` are those about the tiers now.
    """

    x: Floats
    judged: tuple[Assessed, ...]
    labels: NDArray[np.int64]
    is_matured: Flags
    beliefs: TierBeliefs

    @property
    def is_telling(self) -> Flags:
        """Which payments tell whether they were fraud: a label does, and silence where it would have been heard.

        Of a payment that was declined nobody complains.
        """
        went_on = np.array([each.tier is not Tier.DECLINE for each in self.judged], dtype=np.bool_)
        telling: Flags = self.is_matured & (went_on | (self.labels != UNKNOWN))
        return telling

    @property
    def is_waiting(self) -> Flags:
        """Which payments are too young to be taken for good, and nobody has said anything of."""
        waiting: Flags = ~self.is_matured & (self.labels == UNKNOWN)
        return waiting

    def codes(self, rows: NDArray[np.int64]) -> dict[str, Sequence[str]]:
        """Return the codes of the payments at some places, by the name that rules know them by."""
        signals = [self.judged[row].signals for row in rows.tolist()]
        return {name: [read(each) for each in signals] for name, read in CODES.items()}


class _Fold:
    """Folds pages of the journal and keeps the payments that are wanted; runs in a thread of its own."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._mode = Mode()
        self._rows: deque[Floats] = deque(maxlen=PAYMENTS_MAX)
        self._judged: deque[Assessed] = deque(maxlen=PAYMENTS_MAX)
        self._labels: dict[UUID, int] = {}

    def take(self, rows: list[JournalRow]) -> None:
        """Fold one page."""
        for row in rows:
            fact = decode(row.topic, row.body)
            if isinstance(fact, Fact):
                self._take(fact)

    def seen(self) -> Seen:
        """Return everything that was kept."""
        judged = list(self._judged)
        at_ms = np.array([each.signals.at_ms for each in judged], dtype=np.int64)
        order = np.argsort(at_ms, kind="stable")
        labels = [self._labels.get(each.signals.id, UNKNOWN) for each in judged]
        rows = list(self._rows)
        x = np.stack([rows[place] for place in order.tolist()]) if judged else np.empty((0, len(NAMES)))
        return Seen(
            x=x,
            judged=tuple(judged[place] for place in order.tolist()),
            labels=np.array(labels, dtype=np.int64)[order],
            is_matured=at_ms[order] < int(self._look.matured_at.timestamp() * 1000),
            beliefs=self._mode.rates.beliefs((), self._look.to_at.timestamp()),
        )

    def _take(self, fact: Fact) -> None:
        match fact:
            case Assessed(is_again=False):
                if fact.signals.live is not self._look.live:
                    return
                if self._look.from_at <= fact.signals.at < self._look.to_at:
                    self._rows.append(self._mode.state.features(fact.signals))
                    self._judged.append(fact)
                self._mode.learn(fact)
            case Labelled():
                if fact.live is self._look.live:
                    self._labels[fact.signals_id] = FRAUD if fact.is_fraud else GOOD
                    self._mode.learn(fact)
            case Ended() | Proved():
                if fact.live is self._look.live:
                    self._mode.learn(fact)


async def read(database: Database, look: Look, told: Told) -> Seen:
    """Return the newest ``PAYMENTS_MAX`` payments of a look; reads the whole journal, as state is a fold over all of it."""
    fold = _Fold(look)
    after = count = 0
    while True:
        async with database.connection() as connection:
            rows = await journal.page(connection, after, PAGE_MAX)
        if not rows:
            return await asyncio.to_thread(fold.seen)
        await asyncio.to_thread(fold.take, rows)
        after = rows[-1].position
        count += len(rows)
        told("reading", count)
