"""The house's lists over all books: batches and payouts, page by page, each once, and nothing of the other mode."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from uuid import UUID

import httpx
import pytest
from tests.web.clearing_calls import HOUSE, OWN, agree, book, clerk, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.clearing.schema.payouts import Payout, PayoutState
from tongbao.clearing.store import payouts as payout_store
from tongbao.core.db import Database
from tongbao.core.ids import derive
from tongbao.parties.schema import OperatorRole

PAYOUTS = "/v2/operations/payouts"
BATCHES = f"{HOUSE}/batches"
DUE = date(2031, 5, 5)


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def mei(whole: Whole) -> AsyncIterator[httpx.AsyncClient]:
    async with clerk(whole) as opened:
        yield opened


async def paged(
    client: httpx.AsyncClient, path: str, params: Json, headers: Json | None = None
) -> list[Json]:
    """Everything of a list, page by page."""
    found: list[Json] = []
    more: Json = {}
    for _ in range(60):
        page = told(await client.get(path, params=params | more, headers=headers or {}))
        found += page["data"]
        if not page["has_more"]:
            return found
        is_batches = path == BATCHES
        more = {"cursor": page["next_cursor"]} if is_batches else {"ending_before": page["data"][-1]["id"]}
    raise AssertionError("a list never came to its end")


async def waiting(whole: Whole, *, count: int = 1) -> Tenant:
    """A merchant with batches that wait for two people, one an hour."""
    tenant = await whole.tenant()
    await agree(whole, tenant, approval_above_minor=1)
    for _ in range(count):
        await whole.pay(tenant, 10_000)
        await settled(whole, tenant)
    return tenant


async def test_batches_of_all_merchants_come_each_once_in_their_order(whole: Whole) -> None:
    tenants = [await waiting(whole, count=2) for _ in range(3)]
    async with clerk(whole) as mei:  # Hours went by: who was signed in before them is not any more.
        found = await paged(mei, BATCHES, {"limit": 2})
        ids = [each["id"] for each in found]
        assert len(set(ids)) == len(ids) >= 6
        assert [each["payout_on"] for each in found] == sorted(each["payout_on"] for each in found)
        for tenant in tenants:
            mine = await paged(mei, BATCHES, {"limit": 1, "book": book(tenant)})
            assert len(mine) == 2
            assert {each["id"] for each in mine} <= set(ids)
            assert len(await paged(mei, BATCHES, {"book": book(tenant), "currency": "CNY"})) == 2
            assert await paged(mei, BATCHES, {"book": book(tenant), "currency": "EUR"}) == []
        assert not await paged(mei, BATCHES, {}, {"Tongbao-Mode": "live"})


async def test_merchants_list_of_a_whole_page_says_whether_there_is_more(whole: Whole) -> None:
    tenant = await waiting(whole, count=2)
    first = await whole.get(tenant, f"{OWN}/batches", limit=1)
    assert first["has_more"]
    both = await whole.get(tenant, f"{OWN}/batches", limit=2)
    assert (len(both["data"]), both["has_more"]) == (2, False)


async def planted(whole: Whole, tenant: Tenant, count: int, **fields: object) -> list[str]:
    """Payouts of a merchant as they stand, newest first."""
    made: list[str] = []
    for _ in range(count):
        whole.clock.advance(timedelta(seconds=1))
        now, payout_id = whole.clock.now(), whole.ids.uuid()
        values: Json = {
            "id": payout_id,
            "book_id": tenant.scope.book_id,
            "live": tenant.scope.live,
            "batch_id": derive(payout_id, "batch"),
            "destination_id": UUID(int=1),
            "bank": "bank",
            "amount_minor": 1_000,
            "currency": "EUR",
            "state": PayoutState.ACCEPTED,
            "end_to_end": payout_id.hex,
            "due_on": DUE,
            "created_at": now,
            "updated_at": now,
        }
        payout = Payout(**(values | fields))
        async with whole.house.runtime.database.transaction() as connection:
            await payout_store.insert(connection, payout)
        made.insert(0, payout.reference)
    return made


async def test_payouts_of_all_merchants_come_newest_first_and_by_filter(
    whole: Whole, mei: httpx.AsyncClient
) -> None:
    one, two = await whole.tenant(), await whole.tenant()
    live = await whole.tenant(one.merchant, live=True)
    first = await planted(whole, one, 3)
    second = await planted(whole, two, 3, state=PayoutState.RETURNED)
    dollars = await planted(whole, two, 1, currency="USD", due_on=DUE + timedelta(days=1))
    real = await planted(whole, live, 1)
    cases: list[tuple[Json, list[str]]] = [
        ({}, dollars + second + first),
        ({"state": "returned"}, second),
        ({"state": "created"}, []),
        ({"currency": "USD"}, dollars),
        ({"on": str(DUE)}, second + first),
        ({"on": str(DUE), "book": book(one)}, first),
        ({"book": book(two), "currency": "EUR", "state": "returned"}, second),
    ]
    for asked, expected in cases:
        for limit in (2, 100):
            found = await paged(mei, PAYOUTS, asked | {"limit": limit})
            assert [each["id"] for each in found] == expected, asked
    found = await paged(mei, PAYOUTS, {}, {"Tongbao-Mode": "live"})
    assert [each["id"] for each in found] == real
    mine = await paged(mei, f"{PAYOUTS}/{book(one)}", {"limit": 2})
    assert [each["id"] for each in mine] == first
    own = await whole.get(two, "/v2/payouts", limit=3)
    assert ([each["id"] for each in own["data"]], own["has_more"]) == (dollars + second[:2], True)


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        (PAYOUTS, {"state": "lost"}, 400, "request_invalid"),
        (PAYOUTS, {"currency": "eur"}, 400, "request_invalid"),
        (PAYOUTS, {"on": "yesterday"}, 400, "request_invalid"),
        (PAYOUTS, {"book": "x"}, 404, "resource_missing"),
        (PAYOUTS, {"ending_before": "bat_00000000000000000000000000"}, 400, "id_malformed"),
        (PAYOUTS, {"ending_before": "x" * 65}, 400, "request_invalid"),
        (PAYOUTS, {"limit": 101}, 400, "request_invalid"),
        (BATCHES, {"cursor": "x"}, 400, "cursor_invalid"),
        (BATCHES, {"cursor": "2026-01-01.x." + "0" * 32}, 400, "cursor_invalid"),
        (BATCHES, {"cursor": "2026-13-01.7." + "0" * 32}, 400, "cursor_invalid"),
        (BATCHES, {"cursor": "2026-01-01.7." + "g" * 32}, 400, "cursor_invalid"),
        (BATCHES, {"cursor": f"2026-01-01.{'9' * 19}." + "0" * 32}, 400, "cursor_invalid"),
        (BATCHES, {"cursor": "2026-01-01.²." + "0" * 32}, 400, "cursor_invalid"),
        (BATCHES, {"cursor": "x" * 81}, 400, "request_invalid"),
        (BATCHES, {"currency": "cny"}, 400, "request_invalid"),
        (BATCHES, {"book": "book_x"}, 404, "resource_missing"),
    ],
)
async def test_question_that_cannot_be_is_refused(
    mei: httpx.AsyncClient, path: str, params: Json, status: int, code: str
) -> None:
    assert refusal(await mei.get(path, params=params)) == (status, code)


async def test_lists_over_all_books_are_closed_to_merchants_and_to_the_first_desk(whole: Whole) -> None:
    tenant = await whole.tenant()
    async with whole.operator(OperatorRole.OPERATOR_L1) as desk:
        for path in (PAYOUTS, BATCHES):
            assert (await whole.refused(tenant, "GET", path))[0] == 401
            assert (await desk.get(path)).status_code == 403
