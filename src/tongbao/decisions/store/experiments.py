"""The SQL of experiments, of who was exposed to what, and of what was measured; every statement leads with the book."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tongbao.core.db import Connection
from tongbao.decisions.schema.experiments import (
    EXPERIMENTS_MAX,
    Cell,
    Experiment,
    Measurement,
    Metric,
    Place,
)

_INSERT = """
INSERT INTO decisions.experiment (book_id, name, version, created_at, updated_at, state, layer, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (book_id, name) DO NOTHING
"""
_UPDATE = """
UPDATE decisions.experiment SET version = $3, updated_at = $4, state = $5, layer = $6, body = $7
WHERE book_id = $1 AND name = $2
"""
_ONE = "SELECT body FROM decisions.experiment WHERE book_id = $1 AND name = $2"
_LOCK = _ONE + " FOR NO KEY UPDATE"
_COUNT = "SELECT count(*) FROM decisions.experiment WHERE book_id = $1 AND state IN ('draft', 'running')"
_LIST = "SELECT body FROM decisions.experiment WHERE book_id = $1 ORDER BY created_at DESC, name LIMIT $2"
_EVERYWHERE = """
SELECT body FROM decisions.experiment ORDER BY (state = 'running') DESC, created_at DESC, book_id, name LIMIT $1
"""
_RUNNING = """
SELECT body FROM decisions.experiment WHERE book_id = $1 AND state = 'running' ORDER BY name LIMIT $2
"""
_BUSY_BOOKS = (
    "SELECT DISTINCT book_id FROM decisions.experiment WHERE state = 'running' ORDER BY book_id LIMIT $1"
)
# Drafts are locked too: two of them that start at once wait for each other, in the order of their names.
_LOCK_LAYER = """
SELECT body FROM decisions.experiment WHERE book_id = $1 AND layer = $2 AND state IN ('draft', 'running')
ORDER BY name LIMIT $3 FOR NO KEY UPDATE
"""
_EXPOSE = """
INSERT INTO decisions.exposure (book_id, experiment, unit, epoch, exposed_at, arm)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (book_id, experiment, unit) DO NOTHING
"""
_EXPOSED = """
SELECT arm, epoch FROM decisions.exposure WHERE book_id = $1 AND experiment = $2 AND unit = $3
"""
# At equal instants the greater value stands, so that the order of arrival never matters.
_MEASURE = """
INSERT INTO decisions.measurement AS m (book_id, experiment, unit, outcome, measured_at, value)
SELECT $1, $2, u.unit, u.outcome, u.measured_at, u.value
FROM unnest($3::text[], $4::text[], $5::timestamptz[], $6::double precision[])
    AS u (unit, outcome, measured_at, value)
ORDER BY u.unit, u.outcome
ON CONFLICT (book_id, experiment, unit, outcome) DO UPDATE
SET measured_at = excluded.measured_at, value = excluded.value
WHERE (m.measured_at, m.value) < (excluded.measured_at, excluded.value)
"""
_CELLS = """
SELECT arm, epoch, count(*) AS units, avg(value) AS mean, coalesce(var_samp(value), 0) AS variance,
    avg(second) AS second_mean, coalesce(var_samp(second), 0) AS second_variance,
    coalesce(covar_samp(value, second), 0) AS covariance
FROM (
    SELECT e.arm, e.epoch, greatest($4::double precision, least($5::double precision, coalesce(m.value, 0))) AS value,
        coalesce(s.value, 0) AS second
    FROM decisions.exposure AS e
    LEFT JOIN decisions.measurement AS m ON m.book_id = e.book_id AND m.experiment = e.experiment
        AND m.unit = e.unit AND m.outcome = $3
    LEFT JOIN decisions.measurement AS s ON s.book_id = e.book_id AND s.experiment = e.experiment
        AND s.unit = e.unit AND s.outcome = $6
    WHERE e.book_id = $1 AND e.experiment = $2 AND e.epoch > 0 AND ($7::timestamptz IS NULL OR e.exposed_at < $7)
) AS exposed
GROUP BY arm, epoch ORDER BY epoch, arm
"""
_MERGING = """
SELECT x.body FROM decisions.experiment AS x
JOIN decisions.exposure AS e ON e.book_id = x.book_id AND e.experiment = x.name
WHERE x.book_id = $1 AND e.book_id = $1 AND e.unit = $2 AND e.epoch > 0 AND x.state = 'running'
ORDER BY x.name LIMIT $3 FOR NO KEY UPDATE OF x
"""
_LOCK_EXPOSURES = """
SELECT unit, arm, epoch, exposed_at FROM decisions.exposure
WHERE book_id = $1 AND experiment = $2 AND unit = ANY ($3::text[]) ORDER BY unit FOR UPDATE
"""
_PLACE = """
INSERT INTO decisions.exposure (book_id, experiment, unit, epoch, exposed_at, arm)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (book_id, experiment, unit) DO UPDATE
SET epoch = excluded.epoch, exposed_at = excluded.exposed_at, arm = excluded.arm
"""
_MEASURED = """
SELECT unit, outcome, value, measured_at FROM decisions.measurement
WHERE book_id = $1 AND experiment = $2 AND unit = $3
"""


class Exposure(msgspec.Struct, frozen=True):
    """One row of who was exposed: the unit, its place, and since when."""

    unit: str
    arm: str
    epoch: int
    exposed_at: datetime


async def insert(connection: Connection, experiment: Experiment) -> bool:
    """Add an experiment; False where the book has one of the name."""
    status = await connection.execute(
        _INSERT,
        experiment.book_id,
        experiment.name,
        experiment.version,
        experiment.created_at,
        experiment.updated_at,
        experiment.state,
        experiment.layer,
        _text(experiment),
    )
    return not status.endswith(" 0")


async def update(connection: Connection, experiment: Experiment) -> None:
    """Write an experiment over that the caller has locked."""
    await connection.execute(
        _UPDATE,
        experiment.book_id,
        experiment.name,
        experiment.version,
        experiment.updated_at,
        experiment.state,
        experiment.layer,
        _text(experiment),
    )


async def by_name(connection: Connection, book_id: int, name: str) -> Experiment | None:
    """Return an experiment of the book."""
    row = await connection.fetchrow(_ONE, book_id, name)
    return None if row is None else _experiment(row)


async def lock(connection: Connection, book_id: int, name: str) -> Experiment | None:
    """Return an experiment of the book, locked until the caller's transaction ends."""
    row = await connection.fetchrow(_LOCK, book_id, name)
    return None if row is None else _experiment(row)


async def lock_layer(connection: Connection, book_id: int, layer: str) -> list[Experiment]:
    """Return the drafts and the running experiments of a layer, locked until the caller's transaction ends."""
    rows = await connection.fetch(_LOCK_LAYER, book_id, layer, EXPERIMENTS_MAX)
    return [_experiment(row) for row in rows]


async def count(connection: Connection, book_id: int) -> int:
    """Return how many drafts and running experiments a book has."""
    return int(await connection.fetchval(_COUNT, book_id))


async def experiments(connection: Connection, book_id: int) -> list[Experiment]:
    """Return the experiments of a book, the newest first, at most ``EXPERIMENTS_MAX``."""
    rows = await connection.fetch(_LIST, book_id, EXPERIMENTS_MAX)
    return [_experiment(row) for row in rows]


async def everywhere(connection: Connection) -> list[Experiment]:
    """Return the experiments of all books, those that run first, then the newest, at most ``EXPERIMENTS_MAX``."""
    return [_experiment(row) for row in await connection.fetch(_EVERYWHERE, EXPERIMENTS_MAX)]


async def busy_books(connection: Connection, limit: int) -> list[int]:
    """Return the books that have a running experiment."""
    return [row["book_id"] for row in await connection.fetch(_BUSY_BOOKS, limit)]


async def running(connection: Connection, book_id: int) -> list[Experiment]:
    """Return the running experiments of a book by name, at most ``EXPERIMENTS_MAX``."""
    rows = await connection.fetch(_RUNNING, book_id, EXPERIMENTS_MAX)
    return [_experiment(row) for row in rows]


async def exposed(connection: Connection, book_id: int, name: str, unit: str) -> Place | None:
    """Return where an exposed unit stands."""
    row = await connection.fetchrow(_EXPOSED, book_id, name, unit)
    return None if row is None else Place(row["arm"], row["epoch"])


async def expose(connection: Connection, book_id: int, name: str, exposure: Exposure) -> bool:
    """Add the first exposure of a unit; False where it has one."""
    status = await connection.execute(
        _EXPOSE, book_id, name, exposure.unit, exposure.epoch, exposure.exposed_at, exposure.arm
    )
    return not status.endswith(" 0")


async def measure(
    connection: Connection, book_id: int, name: str, measurements: Sequence[Measurement]
) -> None:
    """Keep values, one of a unit and an outcome, where they are newer than what is kept."""
    await connection.execute(
        _MEASURE,
        book_id,
        name,
        [each.unit for each in measurements],
        [each.outcome for each in measurements],
        [each.measured_at for each in measurements],
        [each.value for each in measurements],
    )


async def measured(connection: Connection, book_id: int, name: str, unit: str) -> list[Measurement]:
    """Return the values of a unit, one an outcome."""
    rows = await connection.fetch(_MEASURED, book_id, name, unit)
    return [msgspec.convert(dict(row), Measurement) for row in rows]


async def cells(
    connection: Connection, book_id: int, name: str, metric: Metric, before: datetime | None
) -> list[Cell]:
    """Return the moments of a metric by arm and epoch, of the units exposed before an instant, or of all."""
    rows = await connection.fetch(
        _CELLS, book_id, name, metric.outcome, metric.value_min, metric.value_max, metric.second, before
    )
    return [msgspec.convert(dict(row), Cell) for row in rows]


async def lock_merging(connection: Connection, book_id: int, unit: str) -> list[Experiment]:
    """Return the running experiments in which a unit counts, locked until the caller's transaction ends."""
    rows = await connection.fetch(_MERGING, book_id, unit, EXPERIMENTS_MAX)
    return [_experiment(row) for row in rows]


async def lock_exposures(
    connection: Connection, book_id: int, name: str, units: Sequence[str]
) -> dict[str, Exposure]:
    """Return the exposures of some units by unit, locked until the caller's transaction ends."""
    rows = await connection.fetch(_LOCK_EXPOSURES, book_id, name, list(units))
    return {row["unit"]: msgspec.convert(dict(row), Exposure) for row in rows}


async def place(connection: Connection, book_id: int, name: str, exposure: Exposure) -> None:
    """Write where a unit stands, over what was there."""
    await connection.execute(
        _PLACE, book_id, name, exposure.unit, exposure.epoch, exposure.exposed_at, exposure.arm
    )


def _text(experiment: Experiment) -> str:
    return msgspec.json.encode(experiment).decode()


def _experiment(row: Mapping[str, Any]) -> Experiment:
    return msgspec.json.decode(row["body"], type=Experiment)
