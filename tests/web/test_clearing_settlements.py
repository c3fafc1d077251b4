"""``/v2/settlements`` and the house's side of it: batches from gross to net, calendars, agreements, approvals by two."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.web.clearing_calls import HOUSE, OWN, agree, book, clerk, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole, Permission

NO_BATCH = "bat_00000000000000000000000000"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def test_paid_sales_become_a_batch_whose_steps_sum_to_its_net(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant)
    for amount in (10_000, 2_000):
        await whole.pay(tenant, amount)
    await settled(whole, tenant)
    (batch,) = (await whole.get(tenant, f"{OWN}/batches"))["data"]
    assert (batch["object"], batch["state"], batch["currency"]) == ("settlement_batch", "approved", "CNY")
    fall = batch["waterfall"]
    assert fall["count"] == 2
    steps = {each["step"]: each["amount_minor"] for each in fall["steps"]}
    assert steps["gross"] == 12_000
    assert steps["fees"] < 0
    assert sum(steps.values()) == fall["net_minor"] == fall["paid_minor"] + fall["carried_minor"]
    assert fall["steps"][-1]["after_minor"] == fall["net_minor"]
    assert [each["state"] for each in batch["history"]] == ["cut", "priced", "approved"]
    assert {each["actor"] for each in batch["history"]} == {"automatic"}
    assert batch["costs"] is None
    assert await whole.get(tenant, f"{OWN}/batches/{batch['id']}") == batch


async def test_batches_come_in_pages_newest_first_and_by_state(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant)
    for _ in range(3):
        await whole.pay(tenant)
        await settled(whole, tenant)
    first = await whole.get(tenant, f"{OWN}/batches", limit=2)
    assert (len(first["data"]), first["has_more"]) == (2, True)
    rest = await whole.get(tenant, f"{OWN}/batches", limit=2, ending_before=first["data"][-1]["id"])
    assert (len(rest["data"]), rest["has_more"]) == (1, False)
    cuts = [each["cut_at"] for each in first["data"] + rest["data"]]
    assert cuts == sorted(cuts, reverse=True)
    assert not (await whole.get(tenant, f"{OWN}/batches", state="cut"))["data"]
    assert not (await whole.get(tenant, f"{OWN}/batches", currency="USD"))["data"]


async def test_batch_of_another_merchant_is_unknown(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant)
    await whole.pay(tenant)
    await settled(whole, tenant)
    (batch,) = (await whole.get(tenant, f"{OWN}/batches"))["data"]
    other = await whole.tenant()
    assert not (await whole.get(other, f"{OWN}/batches"))["data"]
    assert await whole.refused(other, "GET", f"{OWN}/batches/{batch['id']}") == (404, "batch_unknown")
    assert await whole.refused(tenant, "GET", f"{OWN}/batches/{NO_BATCH}") == (404, "batch_unknown")
    assert await whole.refused(tenant, "GET", f"{OWN}/batches/x") == (404, "resource_missing")


async def test_key_without_the_permission_sees_no_batch(whole: Whole, tenant: Tenant) -> None:
    narrow = Tenant(tenant.merchant, tenant.scope, await whole.key(tenant, Permission.PAYMENTS_READ))
    status, _ = await whole.refused(narrow, "GET", f"{OWN}/batches")
    assert status == 403


async def test_calendar_tells_the_cuts_to_come_and_the_agreement_their_reason(
    whole: Whole, tenant: Tenant
) -> None:
    before = await whole.get(tenant, f"{OWN}/agreement", currency="CNY")
    assert (before["book"], before["version"], before["agreement"]["cycle"]) == (None, 0, "t")
    made = await agree(whole, tenant)
    assert (made["book"], made["version"]) == (book(tenant), 1)
    found = await whole.get(tenant, f"{OWN}/agreement", currency="CNY")
    assert (found["made_by"], found["note"]) == ("house", "")
    assert "agent_schedule" not in found["agreement"]
    calendar = await whole.get(tenant, f"{OWN}/calendar", currency="CNY", count=3)
    assert (calendar["carried_minor"], len(calendar["data"])) == (0, 3)
    assert await whole.refused(tenant, "GET", f"{OWN}/calendar", currency="XXQ") == (400, "currency_unknown")
    assert (await agree(whole, tenant))["version"] == 1


async def test_agreement_that_cannot_be_kept_is_refused_with_its_code(whole: Whole, tenant: Tenant) -> None:
    path = f"/v2/fees/agreements/{book(tenant)}/CNY"
    async with clerk(whole) as mei:
        for terms, code in (
            ({"zone": "Moon/Base"}, "zone_unknown"),
            ({"cycle": "real_time"}, "cycle_days_invalid"),
            ({"reserve_e6": 1}, "reserve_incomplete"),
            ({"calendars": ["XX"]}, "calendar_unknown"),
        ):
            answer = await mei.post(path, json={"agreement": terms, "note": "why"})
            assert refusal(answer) == (400, code)
        late = {"agreement": {}, "note": "why", "effective_at": "2020-01-01T00:00:00Z"}
        assert refusal(await mei.post(path, json=late)) == (409, "agreement_backdated")
        assert refusal(await mei.post(path, json={"agreement": {}, "note": ""})) == (400, "request_invalid")
        for body in ({"agreement": {}, "note": "why"}, {"agreement": {"days": 2}, "note": "why"}):
            told(await mei.post(path, json=body), 201)
        history = told(await mei.get(f"{path}/history"))
        assert [each["version"] for each in history["data"]] == [2, 1]
        assert history["data"][0]["made_by"].startswith("person:")


async def test_large_batch_waits_for_two_people(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant, approval_above_minor=1_000)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    async with clerk(whole) as mei, clerk(whole) as chen:
        waiting = told(await mei.get(f"{HOUSE}/batches", params={"book": book(tenant)}))
        (batch,) = waiting["data"]
        assert (batch["state"], batch["needs_two"], batch["approval_count"]) == ("priced", True, 0)
        assert batch["costs"]["margin_minor"] <= -batch["waterfall"]["steps"][4]["amount_minor"]
        path = f"{HOUSE}/batches/{book(tenant)}/{batch['id']}"
        assert told(await mei.get(path)) == batch
        stale = await mei.post(f"{path}/approve", json={"version": batch["version"] - 1})
        assert refusal(stale) == (409, "batch_changed")
        once = told(await mei.post(f"{path}/approve", json={"version": batch["version"], "note": "seen"}))
        assert (once["state"], once["approval_count"]) == ("priced", 1)
        again = await mei.post(f"{path}/approve", json={"version": once["version"]})
        assert refusal(again) == (403, "approval_twice")
        both = told(await chen.post(f"{path}/approve", json={"version": once["version"]}))
        assert (both["state"], both["approval_count"]) == ("approved", 2)
    own = await whole.get(tenant, f"{OWN}/batches/{batch['id']}")
    assert [each["actor"] for each in own["history"]][-1] == "house"
    assert all(not each["note"] or each["actor"] == "automatic" for each in own["history"])


async def test_approval_is_done_once_for_each_key(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant, approval_above_minor=1_000)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    async with clerk(whole) as mei:
        (batch,) = told(await mei.get(f"{HOUSE}/batches", params={"book": book(tenant)}))["data"]
        path = f"{HOUSE}/batches/{book(tenant)}/{batch['id']}/approve"
        headers = {"Idempotency-Key": f"approve-{batch['id']}"}
        first = await mei.post(path, json={"version": batch["version"]}, headers=headers)
        second = await mei.post(path, json={"version": batch["version"]}, headers=headers)
        assert first.json() == second.json()
        assert second.headers["Idempotent-Replayed"] == "true"


async def test_house_sees_batches_of_its_mode_and_only_with_the_right(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant, approval_above_minor=1_000)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    params = {"book": book(tenant)}
    async with clerk(whole) as mei:
        (batch,) = told(await mei.get(f"{HOUSE}/batches", params=params))["data"]
        live = {"Tongbao-Mode": "live"}
        assert not told(await mei.get(f"{HOUSE}/batches", params=params, headers=live))["data"]
        path = f"{HOUSE}/batches/{book(tenant)}/{batch['id']}"
        assert refusal(await mei.get(path, headers=live)) == (404, "batch_unknown")
    async with whole.operator(OperatorRole.AUDITOR) as auditor:
        assert told(await auditor.get(path)) == batch
        denied = await auditor.post(f"{path}/approve", json={"version": batch["version"]})
        assert denied.status_code == 403
    async with whole.operator(OperatorRole.OPERATOR_L1) as desk:
        assert (await desk.get(path)).status_code == 403
    assert await whole.refused(tenant, "GET", path) == (401, "session_missing")


async def test_small_net_is_carried_into_the_next_batch(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant, payout_min_minor=50_000)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    (batch,) = (await whole.get(tenant, f"{OWN}/batches"))["data"]
    assert (batch["waterfall"]["paid_minor"], batch["payout"]) == (0, None)
    carried = batch["waterfall"]["carried_minor"]
    calendar = await whole.get(tenant, f"{OWN}/calendar", currency="CNY")
    assert calendar["carried_minor"] == carried == batch["waterfall"]["net_minor"] > 0
    whole.clock.advance(timedelta(hours=1))


async def test_bill_tells_fee_net_and_place_of_every_movement(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant)
    payment = await whole.pay(tenant, 10_000)
    await whole.tally()
    (waiting,) = (await whole.get(tenant, f"{OWN}/bill"))["data"]
    assert (waiting["state"], waiting["is_estimated"], waiting["parts"]) == ("waiting", True, None)
    assert (waiting["payment"], waiting["kind"], waiting["amount_minor"]) == (payment, "sale", 10_000)
    await settled(whole, tenant)
    (priced,) = (await whole.get(tenant, f"{OWN}/bill"))["data"]
    assert (priced["state"], priced["is_estimated"]) == ("approved", False)
    assert (
        priced["fee_minor"] == waiting["fee_minor"] == sum(each["amount_minor"] for each in priced["parts"])
    )
    assert priced["net_minor"] == 10_000 - priced["fee_minor"]
    of_batch = await whole.get(tenant, f"{OWN}/batches/{priced['batch']}/movements")
    assert of_batch["data"] == [priced]
    (total,) = (await whole.get(tenant, f"{OWN}/bill/totals"))["data"]
    assert (total["count"], total["sales_minor"], total["net_minor"]) == (1, 10_000, priced["net_minor"])


async def test_bill_is_filtered_and_goes_on_page_by_page(whole: Whole, tenant: Tenant) -> None:
    for amount in (1_000, 2_000, 3_000):
        await whole.pay(tenant, amount)
        await whole.tally()
        whole.clock.advance(timedelta(seconds=1))
    first = await whole.get(tenant, f"{OWN}/bill", limit=2)
    assert [each["amount_minor"] for each in first["data"]] == [3_000, 2_000]
    rest = await whole.get(tenant, f"{OWN}/bill", limit=2, cursor=first["next_cursor"])
    assert ([each["amount_minor"] for each in rest["data"]], rest["has_more"]) == ([1_000], False)
    assert not (await whole.get(tenant, f"{OWN}/bill", kind="refund"))["data"]
    assert len((await whole.get(tenant, f"{OWN}/bill", kind="sale", state="waiting"))["data"]) == 3
    late = (whole.clock.now() + timedelta(hours=1)).isoformat()
    later = await whole.send(tenant, "GET", f"{OWN}/bill", params={"from": late})
    assert not told(later)["data"]
    wrong: tuple[tuple[Json, str], ...] = (
        ({"kind": "gift"}, "kind_unknown"),
        ({"cursor": "x"}, "cursor_invalid"),
        ({"state": "lost"}, "request_invalid"),
        ({"payment": "x"}, "id_malformed"),
        ({"surprise": "1"}, "parameter_unknown"),
    )
    for params, code in wrong:
        assert await whole.refused(tenant, "GET", f"{OWN}/bill", **params) == (400, code)


async def test_statement_of_a_day_sums_and_comes_in_every_form(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant)
    on = whole.clock.now().date()
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    path = f"{OWN}/statements"
    found = await whole.get(tenant, path, currency="CNY", month=f"{on:%Y-%m}")
    moved = found["movements_minor"] - found["fees_minor"] - found["payouts_minor"] + found["returned_minor"]
    assert found["closing"]["total_minor"] == found["opening"]["total_minor"] + moved
    assert (found["movements_minor"], found["is_final"]) == (10_000, False)
    assert found["line_count"] == len(found["data"]) >= 2
    csv = await whole.send(
        tenant, "GET", path, params={"currency": "CNY", "month": f"{on:%Y-%m}", "format": "csv"}
    )
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text.startswith("\ufeff")
    assert csv.text.count("\n") == found["line_count"] + 1
    xlsx = await whole.send(
        tenant, "GET", path, params={"currency": "CNY", "month": f"{on:%Y-%m}", "format": "xlsx"}
    )
    assert xlsx.content.startswith(b"PK")
    assert "attachment" in xlsx.headers["content-disposition"]
    page = await whole.send(
        tenant, "GET", path, params={"currency": "CNY", "on": str(on), "format": "html", "language": "zh"}
    )
    assert "sha256-" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert tenant.merchant.name in page.text
    both: tuple[Json, ...] = ({}, {"on": str(on), "month": f"{on:%Y-%m}"})
    for params in both:
        refused = await whole.refused(tenant, "GET", path, currency="CNY", **params)
        assert refused == (400, "statement_time_invalid")


async def test_money_is_found_by_any_of_its_ids_and_by_nobody_else(whole: Whole, tenant: Tenant) -> None:
    await agree(whole, tenant)
    payment = await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    (movement,) = (await whole.get(tenant, f"{OWN}/bill"))["data"]
    other = await whole.tenant()
    for asked in (payment, movement["id"], movement["batch"]):
        found = await whole.get(tenant, f"/v2/money/{asked}")
        (place,) = found["places"]
        assert (place["state"], place["batch"], place["next"]) == ("approved", movement["batch"], "send")
        assert set(found["sentences"]) >= {"en"}
        assert await whole.refused(other, "GET", f"/v2/money/{asked}") == (404, "money_unknown")
