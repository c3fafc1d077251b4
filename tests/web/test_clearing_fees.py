"""``/v2/fees``: price lists checked, drafted, simulated, published by a second person, withdrawn; quotes; who may."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.web.clearing_calls import clerk, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.store import movements
from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole

FEES = "/v2/fees"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


def spec(rate_e6: int, **charge: Any) -> Json:
    """A list of one charge."""
    return {"charges": [{"name": "processing", "tiers": [{"rate_e6": rate_e6}]} | charge]}


async def sold_live(whole: Whole, tenant: Tenant, amount_minor: int) -> None:
    """Record a sale with real money, which no channel of the tests takes."""
    now = whole.clock.now()
    sale = Movement(
        id=whole.ids.uuid(),
        book_id=tenant.scope.book_id,
        live=True,
        kind=MovementKind.SALE,
        transfer_key=whole.ids.uuid(),
        source_id=whole.ids.uuid(),
        intent_id=whole.ids.uuid(),
        channel="east",
        method="card",
        currency="CNY",
        amount_minor=amount_minor,
        reference="pa_live",
        channel_reference=None,
        occurred_at=now - timedelta(minutes=1),
        recorded_at=now,
        cut_at=now,
        payout_on=now.date(),
    )
    async with whole.house.runtime.database.transaction() as connection:
        await movements.write(connection, [sale])


async def test_house_begins_with_lists_that_hold(whole: Whole) -> None:
    async with clerk(whole) as mei:
        lists = told(await mei.get(f"{FEES}/schedules"))["data"]
        assert {"house", "house_costs"} <= {each["name"] for each in lists}
        (version,) = told(await mei.get(f"{FEES}/versions", params={"name": "house"}))["data"]
        assert (version["version"], version["state"], version["made_by"]) == (1, "published", "tongbao")
        one = told(await mei.get(f"{FEES}/versions/1", params={"name": "house"}))
        assert one == version
        missing = await mei.get(f"{FEES}/versions/9", params={"name": "house"})
        assert refusal(missing) == (404, "schedule_unknown")


async def test_draft_is_simulated_and_published_by_somebody_else(whole: Whole) -> None:
    tenant = await whole.tenant()
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    async with clerk(whole) as mei, clerk(whole) as chen:
        body = {"name": "tea/houses", "spec": spec(6_000), "note": "for tea houses"}
        draft = told(await mei.post(f"{FEES}/versions", json=body), 201)
        assert (draft["version"], draft["state"]) == (1, "draft")
        assert draft["spec"]["charges"][0]["tiers"] == [{"rate_e6": 6_000}]
        again = told(await mei.post(f"{FEES}/versions", json=body), 201)
        assert again["version"] == 1
        path, name = f"{FEES}/versions/1", {"name": "tea/houses"}
        changes = told(await mei.get(f"{path}/diff", params=name | {"language": "zh"}))["changes"]
        assert len(changes) == 1
        early = await chen.post(f"{path}/publish", json=name)
        assert refusal(early) == (409, "schedule_not_simulated")
        now = whole.clock.now()
        span = {"from": (now - timedelta(days=1)).isoformat(), "to": now.isoformat()}
        simulated = told(await mei.post(f"{path}/simulate", json=name | span))
        assert simulated["simulation"]["made_by"].startswith("person:")
        assert simulated["simulation"]["count"] == 0  # nobody agreed on this list yet
        own = await mei.post(f"{path}/publish", json=name)
        assert refusal(own) == (403, "schedule_four_eyes")
        published = told(await chen.post(f"{path}/publish", json=name))
        assert (published["state"], [each["act"] for each in published["history"]]) == (
            "published",
            ["drafted", "simulated", "published"],
        )
        gone = await mei.post(f"{path}/simulate", json=name | span)
        assert refusal(gone) == (409, "schedule_no_draft")


async def test_simulation_of_the_houses_list_tells_old_and_new_sums(whole: Whole) -> None:
    live = await whole.tenant(live=True)
    await sold_live(whole, live, 10_000)
    async with clerk(whole) as mei:
        body = {"name": "house", "spec": spec(10_000)}
        draft = told(await mei.post(f"{FEES}/versions", json=body), 201)
        now = whole.clock.now()
        order = {"name": "house", "from": (now - timedelta(days=1)).isoformat(), "to": now.isoformat()}
        made = told(await mei.post(f"{FEES}/versions/{draft['version']}/simulate", json=order))
        found = made["simulation"]
        assert found["count"] == 1  # live payments alone
        total = next(each for each in found["totals"] if each["currency"] == "CNY")
        assert total["new"]["merchant_minor"] == total["amount_minor"] // 100
        for side in (total["old"], total["new"]):
            kept = side["merchant_minor"] - side["tax_minor"] - side["house_minor"] - side["agent_minor"]
            assert side["margin_minor"] == kept
        withdrawn = told(
            await mei.post(
                f"{FEES}/versions/{draft['version']}/withdraw", json={"name": "house", "reason": "no"}
            )
        )
        assert withdrawn["state"] == "withdrawn"
        first = await mei.post(f"{FEES}/versions/1/withdraw", json={"name": "house", "reason": "no"})
        assert refusal(first) == (409, "schedule_in_force")


async def test_quote_sums_to_the_whole_by_the_list_in_force_and_by_a_draft(whole: Whole) -> None:
    example = {"amount_minor": 10_000, "currency": "CNY", "method": "card", "channel": "east"}
    async with clerk(whole) as mei:
        quote = told(await mei.post(f"{FEES}/quote", json={"example": example}))
        assert (quote["schedule"], quote["version"]) == ("house", 1)
        assert quote["fee_minor"] == sum(
            each["amount_minor"] for each in quote["parts"] if each["bearer"] == "merchant"
        )
        assert quote["net_minor"] == 10_000 - quote["fee_minor"]
        body = {"name": "cheap", "spec": spec(1_000)}
        draft = told(await mei.post(f"{FEES}/versions", json=body), 201)
        order = {"example": example, "name": "cheap", "version": draft["version"]}
        cheap = told(await mei.post(f"{FEES}/quote", json=order))
        assert (cheap["schedule"], cheap["fee_minor"]) == ("cheap", 10)
        nowhere = await mei.post(f"{FEES}/quote", json={"example": example, "name": "cheap"})
        assert refusal(nowhere) == (404, "schedule_unknown")
        strange = await mei.post(f"{FEES}/quote", json={"example": example | {"currency": "XXQ"}})
        assert strange.status_code == 400


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"charges": [{"name": "fee", "tiers": [{"rate_e6": -1}]}]}, "$.charges[0].tiers[0].rate_e6"),
        ({"charges": [{"name": "fee", "surprise": 1}]}, "$.charges[0]"),
        ({"charges": [{"name": "fee", "tiers": [{"from_minor": 5}]}]}, "$.charges[0].tiers[0].from_minor"),
        ({"charges": 7}, "$.charges"),
    ],
)
async def test_list_that_cannot_be_priced_by_is_refused_with_the_place_of_its_fault(
    whole: Whole, bad: Json, path: str
) -> None:
    async with clerk(whole) as mei:
        for address, body in (("validate", {"spec": bad}), ("versions", {"name": "bad", "spec": bad})):
            answer = await mei.post(f"{FEES}/{address}", json=body)
            assert refusal(answer) == (400, "schedule_invalid"), answer.text
            assert answer.json()["error"]["facts"]["path"] == path
        assert not told(await mei.get(f"{FEES}/versions", params={"name": "bad"}))["data"]
        good = told(await mei.post(f"{FEES}/validate", json={"spec": spec(10)}))
        assert (good["role"], good["charge_count"]) == ("merchants", 1)


async def test_lists_are_the_houses_alone(whole: Whole) -> None:
    tenant = await whole.tenant()
    assert await whole.refused(tenant, "GET", f"{FEES}/schedules") == (401, "session_missing")
    async with whole.operator(OperatorRole.AUDITOR) as auditor:
        told(await auditor.get(f"{FEES}/schedules"))
        denied = await auditor.post(f"{FEES}/versions", json={"name": "x", "spec": spec(1)})
        assert denied.status_code == 403
    async with whole.operator(OperatorRole.RISK) as risk:
        assert (await risk.get(f"{FEES}/schedules")).status_code == 403
