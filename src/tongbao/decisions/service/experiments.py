"""Experiments: their life, and what may be concluded from them.

Every act names the book; an experiment of another book is unknown. A running experiment changes only in its weights, by
epochs. A change names the version that its author saw, or none where any will do; it fails if another came before.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, LimitExceeded
from tongbao.decisions.policy import assignment, experiment_drafts, looks
from tongbao.decisions.policy import readout as conclusions
from tongbao.decisions.schema.experiments import (
    EPOCHS_MAX,
    EXPERIMENTS_MAX,
    Epoch,
    Experiment,
    ExperimentDraft,
    ExperimentState,
    Look,
    Readout,
    ReadoutState,
)
from tongbao.decisions.service.units import Units, found
from tongbao.decisions.store import experiments as store

BOOKS_MAX = 10_000
"""Books whose experiments one round of a worker looks after."""


class Experiments(Units):
    """The use cases, with those of ``Units``. ``new_salt`` returns random text of 16 characters or more."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        new_salt: Callable[[], str],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(database, clock, monotonic_s=monotonic_s)
        self._new_salt = new_salt

    async def draft(self, book_id: int, draft: ExperimentDraft, actor: str) -> Experiment:
        """Write a draft; opens a transaction.

        Raises InvalidRequest ``experiment_invalid``, Conflict ``experiment_exists`` where the book has one of the
        name, LimitExceeded ``experiments_max`` above 200 drafts and running experiments.
        """
        experiment_drafts.check(draft)
        now = self._clock.now()
        fields = msgspec.structs.asdict(draft)
        weights = fields.pop("weights_bps")
        experiment = Experiment(
            book_id=book_id,
            version=1,
            state=ExperimentState.DRAFT,
            salt=self._new_salt(),
            epochs=(Epoch(number=1, started_at=now, weights_bps=weights),),
            created_at=now,
            updated_at=now,
            created_by=actor,
            **fields,
        )
        async with self._database.transaction() as connection:
            if await store.count(connection, book_id) >= EXPERIMENTS_MAX:
                raise LimitExceeded(
                    "experiments_max", f"a book has at most {EXPERIMENTS_MAX} experiments open"
                )
            if not await store.insert(connection, experiment):
                raise Conflict("experiment_exists", f"there is an experiment {draft.name} already")
        self._forget(experiment)
        return experiment

    async def start(self, book_id: int, name: str, version: int | None = None) -> Experiment:
        """Let units in; opens a transaction.

        Raises Conflict ``layer_full`` where another experiment runs in its slice of the layer; and as ``stop``.
        """
        now = self._clock.now()
        async with self._database.transaction() as connection:
            draft = found(await store.by_name(connection, book_id, experiment_drafts.storable(name)), name)
            if draft.layer is not None:
                await _check_layer(connection, draft)
            current = await _current(connection, (book_id, name), version, ExperimentState.DRAFT)
            epoch = msgspec.structs.replace(current.epochs[0], started_at=now)
            changed = _changed(current, now, state=ExperimentState.RUNNING, started_at=now, epochs=(epoch,))
            await store.update(connection, changed)
        self._forget(changed)
        return changed

    async def change_weights(
        self, book_id: int, name: str, weights_bps: Mapping[str, int], version: int | None = None
    ) -> Experiment:
        """Begin an epoch with other weights; units exposed before keep their arms. Opens a transaction.

        Raises InvalidRequest ``experiment_invalid``, LimitExceeded ``epochs_max`` after 200 changes; and as ``stop``.
        """
        now = self._clock.now()

        def change(current: Experiment) -> Experiment:
            experiment_drafts.check_weights(current.arms, weights_bps)
            if len(current.epochs) >= EPOCHS_MAX:
                raise LimitExceeded("epochs_max", f"weights change at most {EPOCHS_MAX} times")
            number = current.epochs[-1].number + 1
            epoch = Epoch(number=number, started_at=now, weights_bps=dict(weights_bps))
            return _changed(current, now, epochs=(*current.epochs, epoch))

        return await self._change((book_id, name), version, change, ExperimentState.RUNNING)

    async def stop(self, book_id: int, name: str, version: int | None = None, note: str = "") -> Experiment:
        """Let no more units in: all are outside from now on. Opens a transaction.

        Raises NotFound ``experiment_unknown``, Conflict ``experiment_changed`` where ``version`` is not the current
        one, Conflict ``experiment_state`` where it does not run.
        """
        return await self._end((book_id, name), version, ExperimentState.STOPPED, note)

    async def conclude(
        self, book_id: int, name: str, version: int | None = None, note: str = ""
    ) -> Experiment:
        """Close a running or stopped experiment for good, with what was learned. Opens a transaction, raises as ``stop``."""
        return await self._end((book_id, name), version, ExperimentState.CONCLUDED, note)

    async def get(self, book_id: int, name: str) -> Experiment:
        """Return an experiment; raise NotFound ``experiment_unknown``."""
        async with self._database.connection() as connection:
            return found(await store.by_name(connection, book_id, experiment_drafts.storable(name)), name)

    async def experiments(self, book_id: int) -> list[Experiment]:
        """Return the experiments of a book, the newest first, at most 200."""
        async with self._database.connection() as connection:
            return await store.experiments(connection, book_id)

    async def everywhere(self) -> list[Experiment]:
        """Return the experiments of all books, those that run first, then the newest, at most 200; for the house."""
        async with self._database.connection() as connection:
            return await store.everywhere(connection)

    async def read(self, book_id: int, name: str) -> Readout:
        """Return what may be concluded now. A planned look that is due is taken and kept; reading more often adds nothing.

        Raises NotFound ``experiment_unknown``, Conflict ``experiment_state`` for a draft.
        """
        now = self._clock.now()
        taken = None
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            experiment = found(
                await store.by_name(connection, book_id, experiment_drafts.storable(name)), name
            )
            if experiment.started_at is None:
                raise _wrong_state(experiment)
            facts = await _facts(connection, experiment, now)
            due = conclusions.look_due(experiment, now)
            ratio_p = looks.sample_ratio_p(facts.cells, experiment.epochs)
            if due is not None and ratio_p >= looks.SAMPLE_RATIO_P_MIN:
                until = conclusions.planned_at(experiment, due)
                cells = await store.cells(connection, book_id, name, experiment.metric, until)
                taken = conclusions.take(experiment, due, cells, now)
        if taken is not None:
            experiment = await self._keep(experiment, taken)
        return conclusions.readout(experiment, facts)

    async def stop_harmful(self, book_id: int) -> tuple[str, ...]:
        """Read every running experiment of a book, stop those that surely do harm, and return their names."""
        stopped = []
        async with self._database.connection() as connection:
            running = await store.running(connection, book_id)
        for name in [experiment.name for experiment in running]:
            if (await self.read(book_id, name)).state is not ReadoutState.HARMFUL:
                continue
            # Somebody who ends it at this moment does the same.
            with suppress(Conflict):
                await self.stop(book_id, name, note="stopped because it surely does harm")
                stopped.append(name)
        return tuple(stopped)

    async def stop_harmful_anywhere(self) -> tuple[tuple[int, str], ...]:
        """Do so in every book that has a running experiment; return book and name of each that was stopped."""
        async with self._database.connection() as connection:
            books = await store.busy_books(connection, BOOKS_MAX)
        return tuple([(book_id, name) for book_id in books for name in await self.stop_harmful(book_id)])

    async def _keep(self, experiment: Experiment, look: Look) -> Experiment:
        """Keep a look, unless somebody took it in the meantime; the version stays, nobody's edit is in the way."""
        async with self._database.transaction() as connection:
            current = found(
                await store.lock(connection, experiment.book_id, experiment.name), experiment.name
            )
            if current.taken and current.taken[-1].number >= look.number:
                return current
            kept = msgspec.structs.replace(current, taken=(*current.taken, look))
            await store.update(connection, kept)
            return kept

    async def _end(
        self, key: tuple[int, str], version: int | None, state: ExperimentState, note: str
    ) -> Experiment:
        experiment_drafts.check_note(note)
        now = self._clock.now()
        stopped = (ExperimentState.STOPPED,) if state is ExperimentState.CONCLUDED else ()

        def change(current: Experiment) -> Experiment:
            ended_at = current.ended_at or now
            return _changed(current, now, state=state, ended_at=ended_at, note=note or current.note)

        return await self._change(key, version, change, ExperimentState.RUNNING, *stopped)

    async def _change(
        self,
        key: tuple[int, str],
        version: int | None,
        change: Callable[[Experiment], Experiment],
        *states: ExperimentState,
    ) -> Experiment:
        """Write what ``change`` makes of the experiment as it stands, where it is in one of the states."""
        async with self._database.transaction() as connection:
            changed = change(await _current(connection, key, version, *states))
            await store.update(connection, changed)
        self._forget(changed)
        return changed


async def _current(
    connection: Connection, key: tuple[int, str], version: int | None, *states: ExperimentState
) -> Experiment:
    """Return an experiment, locked, in the version and one of the states that the caller expects."""
    current = found(await store.lock(connection, key[0], experiment_drafts.storable(key[1])), key[1])
    if version is not None and version != current.version:
        raise Conflict(
            "experiment_changed",
            f"the experiment was changed by somebody else: it has version {current.version}, not {version}",
            version=current.version,
        )
    if current.state not in states:
        raise _wrong_state(current)
    return current


async def _check_layer(connection: Connection, draft: Experiment) -> None:
    """Raise Conflict ``layer_full`` where a running experiment has units of the slice; locks the layer."""
    assert draft.layer is not None
    for other in await store.lock_layer(connection, draft.book_id, draft.layer):
        if other.state is ExperimentState.RUNNING and assignment.overlaps(draft, other):
            raise Conflict(
                "layer_full",
                f"experiment {other.name} has {other.layer_from_bps} to {other.layer_to_bps} of the layer",
                experiment=other.name,
            )


async def _facts(connection: Connection, experiment: Experiment, now: datetime) -> conclusions.Facts:
    book_id, name = experiment.book_id, experiment.name
    cells = await store.cells(connection, book_id, name, experiment.metric, None)
    guardrails = {
        metric.outcome: await store.cells(connection, book_id, name, metric, None)
        for metric in experiment.guardrails
    }
    return conclusions.Facts(now, cells, guardrails)


def _changed(current: Experiment, now: datetime, **changes: object) -> Experiment:
    return msgspec.structs.replace(current, version=current.version + 1, updated_at=now, **changes)


def _wrong_state(experiment: Experiment) -> Conflict:
    return Conflict("experiment_state", f"the experiment is {experiment.state}", state=experiment.state.value)
