"""``/v2/experiments``: a merchant's experiments, who gets which arm, what was measured, what may be concluded.

Units are named by the merchant. An exposure is asked for before anything is shown; the first one of a unit holds.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from tongbao.core.requests.asks import Rendered
from tongbao.decisions.schema import experiments as schema
from tongbao.decisions.service.experiments import Experiments
from tongbao.parties.schema import Feature, Permission, Scope
from tongbao.parties.service.merchants import Merchants
from tongbao.web.api import experiment_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.acts import Acts
from tongbao.web.api.calls import Calls, rendered

PREFIX = "/v2/experiments"
BODY_BYTES_MAX = 512 * 1024
"""A thousand measurements with long names."""
Name = Annotated[str, Path(max_length=80, description="Name of the experiment.")]
Place = Callable[[int, str, str], Awaitable[schema.Place | None]]


def router(calls: Calls, gate: Gate, acts: Acts, experiments: Experiments, merchants: Merchants) -> APIRouter:
    """Return the routes over open services."""
    routes = calls.router(PREFIX, "experiments", body_bytes_max=BODY_BYTES_MAX)
    _add_reads(routes, gate, experiments)
    _add_life(routes, gate, acts, experiments, merchants)
    _add_ends(routes, gate, acts, experiments)
    _add_units(routes, gate, acts, experiments)
    _add_measurements(routes, calls, gate, acts, experiments)
    return routes


def _add_reads(routes: APIRouter, gate: Gate, experiments: Experiments) -> None:
    reader = Depends(gate.scope(Permission.EXPERIMENTS_READ))

    @routes.get("")
    async def listed(scope: Annotated[Scope, reader]) -> models.Experiments:
        """List the experiments of this mode, the newest first, at most 200."""
        found = await experiments.experiments(scope.book_id)
        return models.Experiments(data=[models.Experiment.of(each) for each in found])

    @routes.get("/{experiment}")
    async def one(scope: Annotated[Scope, reader], experiment: Name) -> models.Experiment:
        """Return an experiment."""
        return models.Experiment.of(await experiments.get(scope.book_id, experiment))

    @routes.get("/{experiment}/readout")
    async def readout(scope: Annotated[Scope, reader], experiment: Name) -> models.Readout:
        """Return what may be concluded now; a planned look that is due is taken, and reading more often adds nothing."""
        return models.Readout.of(await experiments.read(scope.book_id, experiment))


def _add_life(
    routes: APIRouter, gate: Gate, acts: Acts, experiments: Experiments, merchants: Merchants
) -> None:
    may = gate.scope(Permission.EXPERIMENTS_WRITE)

    async def writing(scope: Annotated[Scope, Depends(may)]) -> Scope:
        """Let in whose package holds experiments; to end one nobody needs it."""
        await merchants.require_feature(scope, Feature.EXPERIMENTS)
        return scope

    writer = Depends(writing)

    @routes.post("", status_code=201, response_model=models.Experiment)
    async def draft(request: Request, scope: Annotated[Scope, writer], order: models.Draft) -> Response:
        """Write a draft."""

        async def work() -> schema.Experiment:
            return await experiments.draft(scope.book_id, order.draft(), scope.actor)

        return await acts.run(request, scope.book_id, work, _drafted)

    @routes.post("/{experiment}/start", response_model=models.Experiment)
    async def start(
        request: Request,
        scope: Annotated[Scope, writer],
        experiment: Name,
        order: models.StartOrder | None = None,
    ) -> Response:
        """Let units in."""
        version = None if order is None else order.version

        async def work() -> schema.Experiment:
            return await experiments.start(scope.book_id, experiment, version)

        return await acts.run(request, scope.book_id, work, _experiment)

    @routes.post("/{experiment}/weights", response_model=models.Experiment)
    async def weights(
        request: Request, scope: Annotated[Scope, writer], experiment: Name, order: models.WeightsOrder
    ) -> Response:
        """Share what comes from now on by other weights; units that were exposed keep their arms."""

        async def work() -> schema.Experiment:
            return await experiments.change_weights(
                scope.book_id, experiment, order.weights_bps, order.version
            )

        return await acts.run(request, scope.book_id, work, _experiment)


def _add_ends(routes: APIRouter, gate: Gate, acts: Acts, experiments: Experiments) -> None:
    writer = Depends(gate.scope(Permission.EXPERIMENTS_WRITE))

    @routes.post("/{experiment}/stop", response_model=models.Experiment)
    async def stop(
        request: Request,
        scope: Annotated[Scope, writer],
        experiment: Name,
        order: models.EndOrder | None = None,
    ) -> Response:
        """Let no more units in."""
        wanted = order or models.EndOrder()

        async def work() -> schema.Experiment:
            return await experiments.stop(scope.book_id, experiment, wanted.version, wanted.note)

        return await acts.run(request, scope.book_id, work, _experiment)

    @routes.post("/{experiment}/conclude", response_model=models.Experiment)
    async def conclude(
        request: Request,
        scope: Annotated[Scope, writer],
        experiment: Name,
        order: models.EndOrder | None = None,
    ) -> Response:
        """Close an experiment for good, with what was learned."""
        wanted = order or models.EndOrder()

        async def work() -> schema.Experiment:
            return await experiments.conclude(scope.book_id, experiment, wanted.version, wanted.note)

        return await acts.run(request, scope.book_id, work, _experiment)


def _add_units(routes: APIRouter, gate: Gate, acts: Acts, experiments: Experiments) -> None:
    reader = Depends(gate.scope(Permission.EXPERIMENTS_READ))
    writer = Depends(gate.scope(Permission.EXPERIMENTS_WRITE))

    async def placed(scope: Scope, name: str, unit: str, place: Place) -> models.Placed:
        found = await place(scope.book_id, name, unit)
        if found is None:
            # Outside is an answer, an experiment that is not there is none.
            await experiments.get(scope.book_id, name)
            return models.Placed(experiment=name, unit=unit, arm=None, epoch=None)
        return models.Placed(experiment=name, unit=unit, arm=found.arm, epoch=found.epoch)

    @routes.post("/{experiment}/assign", response_model=models.Placed)
    async def assign(
        request: Request, scope: Annotated[Scope, reader], experiment: Name, body: models.UnitBody
    ) -> Response:
        """Return the arm of a unit; writes nothing."""

        async def work() -> models.Placed:
            return await placed(scope, experiment, body.unit, experiments.place)

        return await acts.run(request, scope.book_id, work, rendered)

    @routes.post("/{experiment}/expose", response_model=models.Placed)
    async def expose(
        request: Request, scope: Annotated[Scope, writer], experiment: Name, body: models.UnitBody
    ) -> Response:
        """Note that a unit is now shown its arm, and return which; once more changes nothing."""

        async def work() -> models.Placed:
            return await placed(scope, experiment, body.unit, experiments.expose)

        return await acts.run(request, scope.book_id, work, rendered)


def _add_measurements(
    routes: APIRouter, calls: Calls, gate: Gate, acts: Acts, experiments: Experiments
) -> None:
    writer = Depends(gate.scope(Permission.EXPERIMENTS_WRITE))

    @routes.post("/{experiment}/measurements", response_model=models.Kept)
    async def measure(
        request: Request, scope: Annotated[Scope, writer], experiment: Name, body: models.Measurements
    ) -> Response:
        """Keep what was measured of units; doubles change nothing."""

        async def work() -> models.Kept:
            values = body.values(calls.clock.now())
            await experiments.measure(scope.book_id, experiment, values)
            return models.Kept(experiment=experiment, count=len(values))

        return await acts.run(request, scope.book_id, work, rendered)


def _drafted(experiment: schema.Experiment) -> Rendered:
    return rendered(models.Experiment.of(experiment), 201)


def _experiment(experiment: schema.Experiment) -> Rendered:
    return rendered(models.Experiment.of(experiment))
