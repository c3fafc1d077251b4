"""What watches over a process asks: does it live, may it serve, what does it count."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.metrics import Metrics
from tongbao.web.app import create_app
from tongbao.web.watching import watched_alone
from tongbao.web.workers import Workers


class Watched:
    """A process and what its checks have found."""

    def __init__(self, whole: Whole) -> None:
        metrics = Metrics()
        self.whole = whole
        self.workers = Workers(whole.house, whole.events, metrics)
        transport = httpx.ASGITransport(create_app(whole.house, self.workers, metrics))
        self.http = httpx.AsyncClient(transport=transport, base_url=BASE)


@pytest.fixture(scope="module")
async def watched(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as whole:
        made = Watched(whole)
        async with made.http:
            yield made


async def test_process_that_lives_says_so_to_anybody(watched: Watched) -> None:
    answer = await watched.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_process_is_ready_while_its_checks_find_nothing(watched: Watched) -> None:
    answer = await watched.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "causes": []})


async def test_process_with_a_finding_is_not_ready_and_tells_why(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [f"unbalanced book_{number}" for number in range(12)]
    monkeypatch.setattr(watched.workers, "findings", found)
    answer = await watched.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "causes": found[:10]}
    assert (await watched.http.get("/healthz")).status_code == 200


async def test_process_without_its_database_is_not_ready_but_lives(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise Unavailable("database_down", "the database does not answer")

    monkeypatch.setattr(watched.whole.house.runtime.database, "connection", gone)
    answer = await watched.http.get("/readyz")
    assert answer.status_code == 503
    assert "database_down" in answer.json()["causes"][0]
    assert (await watched.http.get("/healthz")).status_code == 200


async def test_metrics_are_told_in_the_text_form_of_prometheus(watched: Watched) -> None:
    answer = await watched.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    names = {line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE ")}
    assert "tongbao_worker_failures_total" in names


async def test_worker_with_a_port_is_watched_and_shows_nothing_else(watched: Watched) -> None:
    metrics = Metrics()
    metrics.counter("tested", "Of this test.").inc()
    app = watched_alone(watched.whole.house.runtime.database, watched.workers, metrics)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"ready": True, "causes": []}
        assert "tongbao_tested_total 1.0" in (await http.get("/metrics")).text
        assert (await http.get("/sign-in")).status_code == 404
