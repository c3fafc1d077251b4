"""A process that only shows: every page of operations is there, every act is refused in the form of whoever asks."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from pydantic import SecretStr
from tests.web.signed_in import signed_in
from tests.web.v2_house import Tenant
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.core.config import Settings
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, Unavailable
from tongbao.core.events.running import Events
from tongbao.parties.schema import OperatorRole
from tongbao.web.app import SECURITY_HEADERS, create_app
from tongbao.web.house import open_house
from tongbao.web.read_only import guarded, open_reading
from tongbao.web.signing import places
from tongbao.web.workers import Workers

PAGE = {"Accept": "text/html"}
AGE = "UPDATE parties.session SET seen_at = seen_at - interval '5 minutes'"
DESK = (OperatorRole.OPERATOR_L2, OperatorRole.RISK, OperatorRole.LEGAL)
PEOPLE = {
    "Administrator": (*DESK, OperatorRole.ADMIN),
    "Auditor": (OperatorRole.AUDITOR,),
    "Guard": (OperatorRole.SECURITY,),
}
"""Three people who together may see everything; what each does is kept apart."""
SEEN = "SELECT array_agg(seen_at ORDER BY session_id) FROM parties.session"


class Shown(NamedTuple):
    """A writing application with one payment, and one over the same database that only shows."""

    whole: Whole
    tenant: Tenant
    payment: str
    tokens: list[str]
    database: Database
    http: httpx.AsyncClient


@pytest.fixture(scope="module")
async def shown(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shown]:
    home = tmp_path_factory.mktemp("read-only")
    async with open_whole(database, dsn, home) as whole:
        tenant = await whole.tenant()
        payment = await whole.pay(tenant)
        people = [await signed_in(whole, name, roles) for name, roles in PEOPLE.items()]
        settings = _settings(dsn, home)
        async with open_reading(settings) as runtime, open_house(runtime, settings, BASE) as house:
            events = Events(runtime.database, runtime.clock, whole.ids, runtime.metrics, [])
            app = create_app(house, Workers(house, events, runtime.metrics), runtime.metrics)
            front = guarded(app, runtime.database, SECURITY_HEADERS)
            transport = httpx.ASGITransport(front)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
                http.cookies.set("session", people[0].token)
                tokens = [person.token for person in people]
                yield Shown(whole, tenant, payment, tokens, runtime.database, http)


def _settings(dsn: str | None, home: Path) -> Settings:
    url = None if dsn is None else SecretStr(dsn)
    return Settings(database_url=url, data_dir=home, _env_file=None)  # type: ignore[call-arg]  # a setting of the library


@pytest.mark.parametrize("address", [place.address for group in places.OPS for place in group.places])
async def test_page_of_operations_is_shown(shown: Shown, address: str) -> None:
    statuses = set()
    for token in shown.tokens:
        answer = await shown.http.get(address, headers=PAGE | {"Cookie": f"session={token}"})
        statuses.add(answer.status_code)
    assert 200 in statuses
    assert statuses <= {200, 403}


async def test_page_does_not_write_that_a_session_was_seen(shown: Shown, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(AGE)
        before = await connection.fetchval(SEEN)
    assert (await shown.http.get("/ops/today", headers=PAGE)).status_code == 200
    async with database.connection() as connection:
        assert await connection.fetchval(SEEN) == before


async def test_payment_is_read_by_both_interfaces(shown: Shown) -> None:
    first = await shown.http.get(f"/v1/payment_intents/{shown.payment}", headers=shown.tenant.headers)
    assert (first.status_code, first.json()["id"]) == (200, shown.payment)
    second = await shown.http.get(f"/v2/payments/{shown.payment}/decisions", headers=shown.tenant.headers)
    assert [each["kind"] for each in second.json()["data"]] == ["risk", "routing"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/refunds"),
        ("DELETE", "/v1/customers/cus_1"),
        ("POST", "/v2/risk/lists"),
        ("PUT", "/v2/merchants/m_1/pricing"),
        ("PATCH", "/anything"),
    ],
)
async def test_act_of_a_program_is_refused_as_read_only(shown: Shown, method: str, path: str) -> None:
    answer = await shown.http.request(method, path, headers=shown.tenant.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "read_only")
    assert answer.headers["Retry-After"]
    if path.startswith("/v1/"):
        assert answer.json()["error"]["type"] == "api_error"


@pytest.mark.parametrize(
    ("language", "method", "path", "words"),
    [
        ("en", "POST", "/ops/cases/x/decide", "Nothing can be changed here"),
        ("zh-CN", "POST", "/ops/cases/x/decide", "此处只能查看"),
        ("en", "GET", "/sign-in", "Sign in at the main address"),
        ("zh-CN", "GET", "/wallet/sign-in", "请在主地址登录"),
    ],
)
async def test_act_of_a_person_is_refused_by_a_page_in_their_language(
    shown: Shown, language: str, method: str, path: str, words: str
) -> None:
    answer = await shown.http.request(method, path, params={"lang": language}, headers=PAGE)
    assert answer.status_code == 503
    assert words in answer.text
    assert answer.headers["Content-Security-Policy"] == SECURITY_HEADERS["Content-Security-Policy"]


async def test_database_of_a_process_that_only_shows_refuses_to_write_even_on_a_primary(
    shown: Shown,
) -> None:
    with pytest.raises(Unavailable) as refused:
        async with shown.database.connection() as connection:
            await connection.execute("DELETE FROM parties.session")
    assert refused.value.code == "read_only"


async def test_readiness_tells_which_server_answers_and_its_lag(shown: Shown) -> None:
    answer = await shown.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "causes": [],
        "read_only": True,
        "role": "primary",
        "following": False,
        "lag_s": 0.0,
        "lag_bytes": 0,
    }


async def test_open_reading_without_a_dsn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        async with open_reading(_settings(None, tmp_path)):
            pass
    assert refused.value.code == "database_url_missing"


@pytest.mark.parametrize(("revision", "code"), [("0000", "schema_behind"), ("9999", "schema_newer")])
async def test_open_reading_of_another_schema_is_refused(
    dsn: str, database: Database, tmp_path: Path, revision: str, code: str
) -> None:
    async with database.connection() as connection:
        was = await connection.fetchval("SELECT version_num FROM public.alembic_version")
        await connection.execute("UPDATE public.alembic_version SET version_num = $1", revision)
    try:
        with pytest.raises(Conflict) as refused:
            async with open_reading(_settings(dsn, tmp_path)):
                pass
    finally:
        async with database.connection() as connection:
            await connection.execute("UPDATE public.alembic_version SET version_num = $1", was)
    assert refused.value.code == code
