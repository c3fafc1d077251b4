"""What watches over a process asks whether it lives (``/healthz``), may serve (``/readyz``), and what it counts (``/metrics``).

Every process that faces payers answers these beside its other routes; a worker answers nothing else, where it is given a port.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tongbao.core import metrics as prometheus
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.core.metrics import Metrics
from tongbao.web.workers import Workers

CAUSES_MAX = 10


def routes(database: Database, workers: Workers, metrics: Metrics) -> list[Route]:
    """Return the routes by which a process is watched; anybody who reaches them may ask."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> JSONResponse:
        causes = list(workers.findings[:CAUSES_MAX])
        try:
            async with database.connection() as connection:
                await connection.fetchval("SELECT 1")
        except AppError as error:
            causes.append(str(error))
        return JSONResponse({"ready": not causes, "causes": causes}, status_code=503 if causes else 200)

    async def exposition(_: Request) -> Response:
        return Response(metrics.render(), media_type=prometheus.CONTENT_TYPE)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]


def watched_alone(database: Database, workers: Workers, metrics: Metrics) -> ASGIApp:
    """Return the application of a process that has no other face."""
    return Starlette(routes=routes(database, workers, metrics))
