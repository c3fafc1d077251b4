"""Units of experiments: which arm is theirs, when they were exposed, what was measured of them.

This is all that a decision on its way needs of experiments. Who gets which arm is computed (``policy.assignment``); rows are
written at exposure, the first of a unit wins, and an exposed unit keeps its arm whatever the weights become. A change that
another process made is followed within ``FRESH_S_MAX`` seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import NotFound
from tongbao.decisions.policy import assignment, experiment_drafts
from tongbao.decisions.schema.experiments import Experiment, ExperimentState, Measurement, Place
from tongbao.decisions.store import experiments as store

FRESH_S_MAX = 5.0
"""Seconds for which a process trusts what it has read of an experiment or of a unit."""
EXPERIMENTS_KNOWN_MAX = 10_000
UNITS_KNOWN_MAX = 100_000
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Fresh(Generic[Key, Value]):
    """A bounded memory of what was read a moment ago; what was not asked for longest is forgotten first."""

    def __init__(self, entries_max: int, monotonic_s: Callable[[], float]) -> None:
        self._entries_max = entries_max
        self._monotonic_s = monotonic_s
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        entry = self._entries.get(key)
        if entry is None or entry[0] <= self._monotonic_s():
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: Key, value: Value) -> None:
        self._entries[key] = (self._monotonic_s() + FRESH_S_MAX, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)


class _Known(NamedTuple):
    """An experiment as it was read, with the plan of a running one.

    ``is_computed``: the names of units tell all, since weights never changed and nobody was merged.
    """

    experiment: Experiment | None
    plan: assignment.Plan | None
    is_computed: bool


class Units:
    """Assigns, exposes, measures and merges units. ``monotonic_s`` measures freshness in real seconds."""

    def __init__(
        self, database: Database, clock: Clock, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._known: _Fresh[tuple[int, str], _Known] = _Fresh(EXPERIMENTS_KNOWN_MAX, monotonic_s)
        self._placed: _Fresh[tuple[int, str, str], Place] = _Fresh(UNITS_KNOWN_MAX, monotonic_s)

    async def assign(self, book_id: int, name: str, unit: str) -> str | None:
        """Return the arm of a unit; None where it is not in the experiment, or none of the name is running.

        Costs some microseconds where the experiment is known and its weights never changed, else a read of one row.
        Raises InvalidRequest ``experiment_invalid`` for what names no unit, and Unavailable where a read fails: the
        caller then acts as for a unit outside.
        """
        placed = await self.place(book_id, name, unit)
        return None if placed is None else placed.arm

    async def place(self, book_id: int, name: str, unit: str) -> Place | None:
        """Return arm and epoch of a unit; otherwise as ``assign``."""
        experiment_drafts.check_unit(unit)
        known = await self._read_known(book_id, name)
        if known.plan is None:
            return None
        if known.is_computed:
            return assignment.place(known.plan, unit)
        return await self._exposed(book_id, name, unit) or assignment.place(known.plan, unit)

    async def expose(self, book_id: int, name: str, unit: str) -> Place | None:
        """Note that a unit is now shown its arm, and return which: the first exposure holds, once more changes nothing.

        To be called before anything is shown. None, and nothing is written, where the unit is not in the experiment.
        Writes one row without a transaction of the caller. Raises as ``assign``.
        """
        placed = await self.place(book_id, name, unit)
        if placed is None:
            return None
        known = self._placed.get((book_id, name, unit))
        if known is not None:
            return known
        exposure = store.Exposure(unit, placed.arm, placed.epoch, self._clock.now())
        async with self._database.connection() as connection:
            if not await store.expose(connection, book_id, name, exposure):
                placed = await store.exposed(connection, book_id, name, unit) or placed
        self._placed.put((book_id, name, unit), placed)
        return placed

    async def measure(self, book_id: int, name: str, measurements: Sequence[Measurement]) -> None:
        """Keep the latest value by ``measured_at`` of each unit and outcome, in whatever order they arrive.

        Doubles change nothing; at equal instants the greater value stands. Values of units that are not exposed, yet or
        ever, are kept and not read. Raises NotFound ``experiment_unknown``, InvalidRequest ``experiment_invalid``.
        """
        known = await self._read_known(book_id, name)
        experiment_drafts.check_measurements(found(known.experiment, name), measurements, self._clock.now())
        async with self._database.connection() as connection:
            await store.measure(connection, book_id, name, _latest(measurements))

    async def merge(self, book_id: int, from_unit: str, to_unit: str) -> int:
        """Count two units as one in all running experiments of the book: a device becomes known as a customer.

        The first exposure wins, its arm and epoch go to ``to_unit``; ``from_unit`` keeps the arm and no longer counts. Of
        the measured values the later ones stand. Returns in how many experiments it changed something, 0 when repeated.
        Opens a transaction. Raises InvalidRequest ``experiment_invalid``.
        """
        experiment_drafts.check_unit(from_unit)
        experiment_drafts.check_unit(to_unit)
        if from_unit == to_unit:
            return 0
        async with self._database.transaction() as connection:
            merging = await store.lock_merging(connection, book_id, from_unit)
            for experiment in merging:
                await _merge_units(connection, experiment, from_unit, to_unit)
                if not experiment.has_merges:
                    await store.update(connection, msgspec.structs.replace(experiment, has_merges=True))
        for experiment in merging:
            self._forget(experiment, (from_unit, to_unit))
        return len(merging)

    async def _read_known(self, book_id: int, name: str) -> _Known:
        key = (book_id, name)
        known = self._known.get(key)
        if known is None:
            async with self._database.connection() as connection:
                experiment = await store.by_name(connection, book_id, experiment_drafts.storable(name))
            known = _as_known(experiment)
            self._known.put(key, known)
        return known

    async def _exposed(self, book_id: int, name: str, unit: str) -> Place | None:
        """Return where a unit stands that may have been exposed before."""
        placed = self._placed.get((book_id, name, unit))
        if placed is None:
            async with self._database.connection() as connection:
                placed = await store.exposed(connection, book_id, name, unit)
            if placed is not None:
                self._placed.put((book_id, name, unit), placed)
        return placed

    def _forget(self, experiment: Experiment, units: Iterable[str] = ()) -> None:
        """Read an experiment, and some of its units, anew when they are asked for next."""
        self._known.drop((experiment.book_id, experiment.name))
        for unit in units:
            self._placed.drop((experiment.book_id, experiment.name, unit))


def found(experiment: Experiment | None, name: str) -> Experiment:
    """Return an experiment that was looked for; raise NotFound ``experiment_unknown`` where there is none."""
    if experiment is None:
        raise NotFound("experiment_unknown", f"there is no experiment {name[:80]!r}")
    return experiment


def _as_known(experiment: Experiment | None) -> _Known:
    if experiment is None or experiment.state is not ExperimentState.RUNNING:
        return _Known(experiment, None, is_computed=True)
    is_computed = len(experiment.epochs) == 1 and not experiment.has_merges
    return _Known(experiment, assignment.plan(experiment), is_computed)


def _latest(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the latest value of each unit and outcome."""
    latest: dict[tuple[str, str], Measurement] = {}
    for each in measurements:
        known = latest.get((each.unit, each.outcome))
        if known is None or (known.measured_at, known.value) < (each.measured_at, each.value):
            latest[each.unit, each.outcome] = each
    return list(latest.values())


async def _merge_units(connection: Connection, experiment: Experiment, from_unit: str, to_unit: str) -> None:
    book_id, name = experiment.book_id, experiment.name
    exposures = await store.lock_exposures(connection, book_id, name, (from_unit, to_unit))
    gone, kept = exposures[from_unit], exposures.get(to_unit)
    placed, since = assignment.first(
        (Place(gone.arm, gone.epoch), gone.exposed_at),
        None if kept is None else (Place(kept.arm, kept.epoch), kept.exposed_at),
    )
    await store.place(connection, book_id, name, store.Exposure(to_unit, placed.arm, placed.epoch, since))
    left = store.Exposure(from_unit, placed.arm, assignment.MERGED, gone.exposed_at)
    await store.place(connection, book_id, name, left)
    values = await store.measured(connection, book_id, name, from_unit)
    moved = [msgspec.structs.replace(value, unit=to_unit) for value in values]
    await store.measure(connection, book_id, name, moved)
