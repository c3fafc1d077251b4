"""Drift of single features: what the features that a model leans on look like today against the payments it learned from.

The journal is folded from the last snapshot before the time on, and each payment of it gets the features it had then, by
the functions that made the rows of training. Only counts are kept, whatever the traffic.
"""

import asyncio
from datetime import datetime
from typing import NamedTuple

import numpy as np
import structlog

from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.events.facts import Fact, decode
from tongbao.risk.models import drift
from tongbao.risk.models.artifact import Model
from tongbao.risk.models.base import Floats
from tongbao.risk.models.drift import Drift, Reference
from tongbao.risk.models.memory import Memory
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import model_weights
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.models import Shift
from tongbao.risk.store import journal, past
from tongbao.risk.store.journal import JournalRow

TOP = 20
"""Features that are watched of a model: those by which its trees gain most."""
PAGE_MAX = 5_000
FACTS_MAX = 1_000_000
"""Facts that one look folds, the snapshot's hour included; beyond it nothing is said of features."""
_PLACES = {name: place for place, name in enumerate(NAMES)}
_log = structlog.get_logger(__name__)


class Span(NamedTuple):
    """Payments from an instant to before another, live or test."""

    from_at: datetime
    to_at: datetime
    live: bool


def reference_of(model: Model, rows: Floats) -> Reference | None:
    """Return what the features that ``model`` leans on looked like in ``rows`` (n, n_features), in the order of ``NAMES``.

    None for a model without trees, and for fewer rows than a histogram takes.
    """
    heaviest = [each.name for each in model_weights.importances(model.names, model.text)[:TOP]]
    names = tuple(name for name in heaviest if name in _PLACES)
    if not names or len(rows) < drift.REFERENCE_ROWS_MIN:
        return None
    return drift.measured(names, rows[:, [_PLACES[name] for name in names]])


async def shifts(database: Database, reference: Reference, of: Span) -> tuple[Shift, ...]:
    """Return how far each feature of ``reference`` moved in a time; nothing where there is no payment or too much to fold.

    Features that this version no longer computes are left out.
    """
    known = [name for name in reference.names if name in _PLACES]
    if not known or of.from_at >= of.to_at:
        return ()
    kept = _part(reference, known)
    seen = Drift(kept, buckets=1)
    async with database.connection() as connection:
        memory, position = await _start(connection, of.from_at)
    columns = np.array([_PLACES[name] for name in known])
    count = 0
    while True:
        async with database.connection() as connection:
            rows = await journal.page(connection, position, PAGE_MAX)
        if rows:
            await asyncio.to_thread(_fold, memory, rows, (seen, columns), of)
            position = rows[-1].position
            count += len(rows)
        if len(rows) < PAGE_MAX:
            return tuple(each for each in seen.shifts() if each.count)
        if count >= FACTS_MAX:
            _log.warning("risk_feature_drift_skipped", facts=count, most=FACTS_MAX)
            return ()


async def _start(connection: Connection, at: datetime) -> tuple[Memory, int]:
    """Return the memory of the last snapshot before ``at`` and its position; an empty one where there is none to be read."""
    row = await past.snapshot_before(connection, at)
    if row is None:
        return Memory(), 0
    try:
        return await asyncio.to_thread(Memory.load, row.body), row.position
    except InvalidRequest as error:
        _log.warning("risk_snapshot_unreadable", position=row.position, detail=error.detail)
        return Memory(), 0


def _fold(
    memory: Memory, rows: list[JournalRow], counted: tuple[Drift, np.typing.NDArray[np.int64]], of: Span
) -> None:
    seen, columns = counted
    found: list[Floats] = []
    for row in rows:
        fact = decode(row.topic, row.body)
        if isinstance(fact, Assessed) and _is_wanted(fact, of):
            found.append(memory.of(of.live).state.features(fact.signals)[columns])
        if isinstance(fact, Fact):
            memory.learn(fact)
    if found:
        seen.add(0, np.stack(found))


def _is_wanted(fact: Assessed, of: Span) -> bool:
    return fact.signals.live is of.live and not fact.is_again and of.from_at <= fact.signals.at < of.to_at


def _part(reference: Reference, names: list[str]) -> Reference:
    places = [reference.names.index(name) for name in names]
    return Reference(
        names=tuple(names),
        edges=tuple(reference.edges[place] for place in places),
        counts=tuple(reference.counts[place] for place in places),
    )
