"""``/v2/operations/adjustments``, ``demands`` and ``debts``: two people of the house, what merchants see, and what is refused."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.web.clearing_calls import agree, book, clerk, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole

ADJUSTMENTS = "/v2/operations/adjustments"
DEMANDS = "/v2/operations/demands"
DEBTS = "/v2/operations/debts"
NO_ADJUSTMENT = "adj_00000000000000000000000000"
NO_DEMAND = "dmd_00000000000000000000000000"
NO_BREAK = "brk_00000000000000000000000000"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


def proposal(tenant: Tenant, **fields: object) -> Json:
    return {
        "book": book(tenant),
        "currency": "CNY",
        "amount_minor": 500,
        "reason": "charged twice",
        "reference": "T-1",
        "evidence": "mail of 3 June",
        **fields,
    }


async def paid(whole: Whole) -> Tenant:
    """A merchant with a settled payment of 100.00."""
    tenant = await whole.tenant()
    await agree(whole, tenant)
    await whole.pay(tenant, 10_000)
    await settled(whole, tenant)
    return tenant


async def owing(whole: Whole) -> tuple[Tenant, int]:
    """A merchant that owes what was refunded after it was paid out, and how much."""
    tenant = await paid(whole)
    found = await whole.house.clearing.settling.page(tenant.scope.book_id)
    assert found
    view = (await whole.http.get("/v1/payment_intents", headers=tenant.headers)).json()["data"][0]
    order = {"payment_intent": view["id"], "amount": "10000"}
    answer = await whole.send(tenant, "POST", "/v1/refunds", data=order)
    assert answer.status_code == 200, answer.text
    await settled(whole, tenant)
    async with clerk(whole) as mei:
        debts = told(await mei.get(DEBTS, params={"limit": 100}))
    (mine,) = [each for each in debts["data"] if each["book"] == book(tenant)]
    return tenant, mine["owed_minor"]


async def test_adjustment_is_proposed_approved_by_another_and_seen_by_its_merchant(whole: Whole) -> None:
    tenant, other = await paid(whole), await whole.tenant()
    async with clerk(whole) as mei, clerk(whole) as li:
        made = told(await mei.post(ADJUSTMENTS, json=proposal(tenant)), 201)
        assert (made["state"], made["evidence"]) == ("proposed", "mail of 3 June")
        path = f"{ADJUSTMENTS}/{made['id']}"
        assert refusal(await mei.post(f"{path}/approve", json={})) == (403, "four_eyes")
        own = "/v2/settlements/adjustments"
        assert told(await whole.http.get(own, headers=tenant.headers))["data"] == []
        done = told(await li.post(f"{path}/approve", json={"version": made["version"], "note": "seen"}))
        assert (done["state"], [each["act"] for each in done["history"]]) == (
            "posted",
            ["proposed", "approved"],
        )
        assert refusal(await mei.post(f"{path}/decline", json={})) == (409, "adjustment_state")
        (seen,) = told(await whole.http.get(own, headers=tenant.headers))["data"]
        assert (seen["id"], seen["reason"], seen["movement"]) == (
            made["id"],
            "charged twice",
            done["movement"],
        )
        assert {seen[name] for name in ("evidence", "proposed_by", "history", "approvals")} == {None}
        assert told(await whole.http.get(own, headers=other.headers))["data"] == []
        listed = told(await mei.get(ADJUSTMENTS, params={"book": book(tenant), "state": "posted"}))
        assert [each["id"] for each in listed["data"]] == [made["id"]]
        assert told(await mei.get(path)) == listed["data"][0]
    bill = told(
        await whole.http.get("/v2/settlements/bill", params={"kind": "adjustment"}, headers=tenant.headers)
    )
    assert [each["amount_minor"] for each in bill["data"]] == [500]
    answer = told(await whole.http.get(f"/v2/money/{done['movement']}", headers=tenant.headers))
    assert answer["places"][0]["amount_minor"] == 500


async def test_key_makes_one_proposal_of_two_requests(whole: Whole) -> None:
    tenant = await paid(whole)
    async with clerk(whole) as mei:
        headers = {"Idempotency-Key": "one"}
        first = await mei.post(ADJUSTMENTS, json=proposal(tenant), headers=headers)
        again = await mei.post(ADJUSTMENTS, json=proposal(tenant), headers=headers)
        assert told(first, 201) == told(again, 201)
        changed = await mei.post(ADJUSTMENTS, json=proposal(tenant, amount_minor=1), headers=headers)
        assert changed.status_code >= 400


async def test_adjustment_that_cannot_be_is_refused(whole: Whole) -> None:
    tenant = await paid(whole)
    live = {"Tongbao-Mode": "live"}
    rows: list[tuple[Json, tuple[int, str]]] = [
        ({"amount_minor": 0}, (400, "amount_invalid")),
        ({"amount_minor": 2**60}, (400, "body_invalid")),
        ({"currency": "EUR"}, (400, "currency_not_of_book")),
        ({"currency": "12"}, (400, "body_invalid")),
        ({"book": "book_x"}, (404, "resource_missing")),
        ({"payment": "pi_x"}, (400, "id_malformed")),
        ({"reverses": "adj_x"}, (400, "id_malformed")),
        ({"reverses": NO_ADJUSTMENT}, (404, "adjustment_unknown")),
        ({"reference": ""}, (400, "body_invalid")),
        ({"more": 1}, (400, "body_invalid")),
    ]
    async with clerk(whole) as mei:
        for fields, expected in rows:
            answer = await mei.post(ADJUSTMENTS, json=proposal(tenant, **fields))
            assert refusal(answer)[0] == expected[0], (fields, answer.text)
            if expected[1] != "body_invalid":
                assert refusal(answer) == expected
        assert refusal(await mei.post(ADJUSTMENTS, json=proposal(tenant), headers=live)) == (
            404,
            "book_unknown",
        )
        assert refusal(await mei.get(f"{ADJUSTMENTS}/{NO_ADJUSTMENT}")) == (404, "adjustment_unknown")
        assert refusal(await mei.get(f"{ADJUSTMENTS}/adj_x")) == (404, "resource_missing")
        assert refusal(await mei.get(ADJUSTMENTS, params={"ending_before": "x"})) == (400, "id_malformed")
        assert refusal(await mei.post(f"{ADJUSTMENTS}/{NO_ADJUSTMENT}/approve", json={}))[0] == 404
        made = told(await mei.post(ADJUSTMENTS, json=proposal(tenant, reference="T-9")), 201)
        path = f"{ADJUSTMENTS}/{made['id']}"
        assert refusal(await mei.get(path, headers=live)) == (404, "adjustment_unknown")
        assert refusal(await mei.post(f"{path}/decline", json={}, headers=live)) == (
            404,
            "adjustment_unknown",
        )
    async with whole.operator(OperatorRole.AUDITOR) as auditor:
        assert refusal(await auditor.post(ADJUSTMENTS, json=proposal(tenant)))[0] == 403
        assert told(await auditor.get(ADJUSTMENTS))["data"]
    assert (await whole.http.get(ADJUSTMENTS, headers=tenant.headers)).status_code in (401, 403)


async def test_debt_is_demanded_paid_and_the_rest_given_up_by_two(whole: Whole) -> None:
    tenant, owed = await owing(whole)
    today = whole.clock.now().date()
    body = {
        "book": book(tenant),
        "currency": "CNY",
        "amount_minor": owed,
        "due_on": str(today + timedelta(days=14)),
        "reference": "D-1",
        "note": "refunded after the payout",
    }
    async with clerk(whole) as mei, clerk(whole) as li:
        assert refusal(await mei.post(DEMANDS, json=body | {"amount_minor": owed + 1})) == (
            409,
            "debt_smaller",
        )
        made = told(await mei.post(DEMANDS, json=body), 201)
        path = f"{DEMANDS}/{made['id']}"
        paid_in = {"amount_minor": 10, "bank_reference": "B-1", "received_on": str(today)}
        part = told(await mei.post(f"{path}/receive", json=paid_in))
        assert (part["state"], part["left_minor"]) == ("part_paid", owed - 10)
        assert refusal(await mei.post(f"{path}/receive", json=paid_in | {"amount_minor": owed}))[0] == 409
        assert refusal(await mei.post(f"{path}/receive", json=paid_in | {"amount_minor": 0}))[0] in (400, 422)
        far = paid_in | {"bank_reference": "B-2", "received_on": "2001-01-01"}
        assert refusal(await mei.post(f"{path}/receive", json=far)) == (400, "received_invalid")
        line = {"break": NO_BREAK, "note": "theirs"}
        assert refusal(await mei.post(f"{path}/lines", json=line)) == (404, "break_unknown")
        assert refusal(await li.post(f"{path}/write_off", json={})) == (409, "write_off_not_proposed")
        told(await mei.post(f"{path}/give_up", json={"note": "dissolved"}))
        assert refusal(await mei.post(f"{path}/write_off", json={})) == (403, "four_eyes")
        told(await li.post(f"{path}/keep", json={"note": "they answered"}))
        told(await mei.post(f"{path}/give_up", json={"note": "dissolved after all"}))
        done = told(await li.post(f"{path}/write_off", json={"note": "seen"}))
        assert (done["state"], done["written_off_minor"], done["left_minor"]) == ("written_off", owed - 10, 0)
        assert refusal(await mei.post(f"{path}/cancel", json={"note": "no"})) == (409, "demand_state")
        shown = told(await mei.get(path))
        assert [each["bank_reference"] for each in shown["receipts"]] == ["B-1"]
        live = {"Tongbao-Mode": "live"}
        assert refusal(await mei.get(path, headers=live)) == (404, "demand_unknown")
        assert refusal(await mei.get(f"{DEMANDS}/{NO_DEMAND}")) == (404, "demand_unknown")
        assert refusal(await mei.post(f"{DEMANDS}/{NO_DEMAND}/keep", json={})) == (404, "demand_unknown")
        assert refusal(await mei.get(DEBTS, params={"starting_after": "x"})) == (404, "resource_missing")
    (own,) = told(await whole.http.get("/v2/settlements/demands", headers=tenant.headers))["data"]
    assert (own["state"], own["history"], own["given_up_by"]) == ("written_off", None, None)
    await settled(whole, tenant)
    async with clerk(whole) as mei:
        left = told(await mei.get(DEBTS, params={"limit": 100}))["data"]
        assert book(tenant) not in {each["book"] for each in left}
