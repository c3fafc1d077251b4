"""``/v2/risk`` where people decide: freezes that two let go, challenges, cases from the queue to a closing with four eyes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from tests.web.risk_calls import HOUSE, OWN, judged, key, member, rule, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import OperatorRole, Permission
from tongbao.risk.schema.challenges import ChallengeOrder, Means, Purpose

DEAR = 'dear: when amount > 20 EUR then review because "dear" owner mei\n'
NO_FREEZE = "frz_00000000000000000000000000"
NO_CASE = "case_00000000000000000000000000"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def held(whole: Whole, tenant: Tenant, *amounts: int) -> list[Json]:
    """Payments that wait for an analyst, as answered."""
    await rule(whole, tenant, DEAR)
    answers = [await judged(whole, tenant, amount_minor=amount) for amount in amounts]
    assert {each["tier"] for each in answers} == {"review"}
    await settled(whole)
    return answers


async def taken(browser: httpx.AsyncClient, base: str = OWN) -> Json:
    """The next case, given to whoever asks."""
    case: Json = told(await browser.post(f"{base}/cases/take_next"))["case"]
    assert case is not None
    return case


async def test_merchants_customer_is_frozen_and_let_go_by_two_people(whole: Whole, tenant: Tenant) -> None:
    await judged(whole, tenant)
    await settled(whole)
    order: Json = {"entity": "customer", "key": key(tenant, "cus"), "reason": "account taken over"}
    frozen = await whole.post(tenant, f"{OWN}/freezes", order, 201)
    assert (frozen["state"], frozen["entity"], frozen["requested_by"]) == ("frozen", "customer", None)
    assert frozen["frozen_by"].startswith("key:")
    found = await judged(whole, tenant)
    assert (found["tier"], found["reasons"][0]["code"]) == ("decline", "account_frozen")
    path = f"{OWN}/freezes/{frozen['id']}"
    why: Json = {"why": "it was a mistake"}
    for act in ("request_release", "approve_release", "refuse_release"):
        assert await whole.refused(tenant, "POST", f"{path}/{act}", why) == (403, "person_required")
    async with member(whole, tenant) as mei, member(whole, tenant) as chen:
        missing = await mei.post(f"{path}/approve_release", json=why)
        assert refusal(missing) == (409, "release_not_requested")
        asked = told(await mei.post(f"{path}/request_release", json=why))
        assert asked["state"] == "requires_approval"
        assert asked["requested_by"].startswith("person:")
        own = await mei.post(f"{path}/approve_release", json=why)
        assert refusal(own) == (403, "four_eyes_required")
        twice = await chen.post(f"{path}/request_release", json=why)
        assert refusal(twice) == (409, "release_already_requested")
        refused = told(await chen.post(f"{path}/refuse_release", json={"why": "not yet"}))
        assert refused["state"] == "frozen"
        told(await mei.post(f"{path}/request_release", json=why))
        assert told(await chen.post(f"{path}/approve_release", json=why))["state"] == "released"
        gone = await chen.post(f"{path}/approve_release", json=why)
        assert refusal(gone) == (409, "already_released")
    kinds = [each["kind"] for each in (await whole.get(tenant, f"{path}/history"))["data"]]
    assert kinds == ["frozen", "release_requested", "release_refused", "release_requested", "released"]
    assert (await judged(whole, tenant))["tier"] != "decline"
    released = await whole.get(tenant, f"{OWN}/freezes", state="released", entity="customer")
    assert [each["id"] for each in released["data"]] == [frozen["id"]]
    assert (await whole.get(tenant, f"{OWN}/freezes", state="frozen"))["data"] == []


async def test_merchant_freezes_nobody_who_pays_elsewhere(whole: Whole, tenant: Tenant) -> None:
    theirs = await whole.tenant()
    shared = f"shared-{tenant.scope.book_id:x}"
    for each in (tenant, theirs):
        await judged(whole, each, card=shared)
    await settled(whole)
    for entity, name in (("card", shared), ("card", "never-seen"), ("device", key(tenant, "dev"))):
        body = {"entity": entity, "key": name, "reason": "r"}
        assert await whole.refused(tenant, "POST", f"{OWN}/freezes", body) == (403, "freeze_not_yours")
    async with whole.operator(OperatorRole.RISK) as browser:
        body = {"entity": "card", "key": shared, "reason": "stolen"}
        frozen = told(await browser.post(f"{HOUSE}/freezes", json=body), 201)
        assert refusal(await browser.post(f"{HOUSE}/freezes", json=body | {"reason": "again"})) == (
            409,
            "already_frozen",
        )
        assert told(await browser.get(f"{HOUSE}/freezes/{frozen['id']}")) == frozen
        live = await browser.get(f"{HOUSE}/freezes/{frozen['id']}", headers={"Tongbao-Mode": "live"})
        assert refusal(live) == (404, "freeze_unknown")
    for each in (tenant, theirs):
        assert (await judged(whole, each, card=shared))["tier"] == "decline"
        assert await whole.refused(each, "GET", f"{OWN}/freezes/{frozen['id']}") == (404, "freeze_unknown")
    async with member(whole, tenant) as mei:
        path = f"{OWN}/freezes/{frozen['id']}/request_release"
        assert refusal(await mei.post(path, json={"why": "w"})) == (404, "freeze_unknown")
    assert (await whole.get(tenant, f"{OWN}/freezes"))["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"entity": "ghost", "key": "k", "reason": "r"}, 400, "request_invalid"),
        ({"entity": "card", "key": "", "reason": "r"}, 400, "request_invalid"),
        ({"entity": "card", "key": "k", "reason": ""}, 400, "request_invalid"),
        ({"entity": "card", "key": "k", "reason": " "}, 400, "reason_invalid"),
        ({"entity": "card", "key": "k\0", "reason": "r"}, 400, "key_invalid"),
    ],
)
async def test_freeze_that_makes_no_sense_is_refused(
    whole: Whole, body: Json, status: int, code: str
) -> None:
    async with whole.operator(OperatorRole.RISK) as browser:
        assert refusal(await browser.post(f"{HOUSE}/freezes", json=body)) == (status, code)


async def test_unknown_freeze_is_not_found(whole: Whole, tenant: Tenant) -> None:
    for text, code in ((NO_FREEZE, "freeze_unknown"), ("x", "resource_missing")):
        for path in (f"{OWN}/freezes/{text}", f"{OWN}/freezes/{text}/history"):
            assert await whole.refused(tenant, "GET", path) == (404, code)


async def test_challenges_are_seen_by_their_merchant(whole: Whole, tenant: Tenant) -> None:
    look = await judged(whole, tenant)
    purpose = Purpose(
        book_id=tenant.scope.book_id,
        subject_id=parse_uuid("pi", look["payment"]),
        amount_minor=3_000,
        currency="EUR",
    )
    wanted = ChallengeOrder(
        purpose=purpose,
        live=False,
        signals_id=parse_uuid("dec", look["decision"]),
        payee="Tea House",
        means=Means.THREE_DS,
    )
    opened = await whole.house.proofs.challenging.open(wanted)
    found = await whole.get(tenant, f"{OWN}/challenges/{opened.reference}")
    assert (found["payment"], found["decision"]) == (look["payment"], look["decision"])
    assert (found["state"], found["means"], found["payee"]) == ("open", "three_ds", "Tea House")
    assert (await whole.get(tenant, f"{OWN}/challenges", state="open"))["data"] == [found]
    theirs = await whole.tenant()
    path = f"{OWN}/challenges/{opened.reference}"
    assert await whole.refused(theirs, "GET", path) == (404, "challenge_unknown")
    assert (await whole.get(theirs, f"{OWN}/challenges"))["data"] == []
    async with whole.operator(OperatorRole.RISK) as browser:
        seen = told(await browser.get(f"{HOUSE}/challenges"))["data"]
        assert opened.reference in [each["id"] for each in seen]


async def test_case_goes_from_the_queue_to_a_closing_alone(whole: Whole, tenant: Tenant) -> None:
    (payment,) = await held(whole, tenant, 5_000)
    (queued,) = (await whole.get(tenant, f"{OWN}/cases/queue"))["data"]
    assert (queued["state"], queued["kind"], queued["entity"]) == ("open", "held", "card")
    assert queued["minutes"] > 0
    assert queued["stakes"] == [{"currency": "EUR", "value": 5_000, "held": 5_000}]
    async with member(whole, tenant) as mei:
        case = await taken(mei)
        assert (case["id"], case["state"]) == (queued["id"], "assigned")
        assert told(await mei.post(f"{OWN}/cases/take_next"))["case"] is None
        path = f"{OWN}/cases/{case['id']}"
        whole_case = told(await mei.get(path))
        (shown,) = whole_case["payments"]
        assert (shown["decision"], shown["is_held"]) == (payment["decision"], True)
        assert shown["reasons"][0]["words"]["zh"] == "命中规则"

        noted = told(await mei.post(f"{path}/notes", json={"version": case["version"], "text": "called"}))
        stale = await mei.post(f"{path}/notes", json={"version": case["version"], "text": "late"})
        assert refusal(stale) == (409, "case_changed")
        summary = told(await mei.get(f"{path}/summary", params={"language": "zh"}))
        assert "经过" in summary["draft"]
        assert (summary["signed"], summary["is_stale"]) == (None, False)
        body = {"version": noted["version"], "text": summary["draft"], "language": "zh"}
        signed = told(await mei.post(f"{path}/sign", json=body))
        summary = told(await mei.get(f"{path}/summary", params={"language": "zh"}))
        assert (summary["signed"]["is_edited"], summary["signed"]["by"]) == (False, case["assignee"])

        graph = told(await mei.get(f"{path}/graph"))
        assert {each["entity"] for each in graph["nodes"]} >= {"card", "customer", "device"}
        assert graph["edges"]
        picture = await mei.get(f"{path}/graph.svg", params={"language": "zh"})
        assert picture.headers["Content-Type"] == "image/svg+xml"
        assert "付款关联图" in picture.text

        order = {"version": signed["version"], "disposition": "genuine", "note": "the payer answered"}
        closed = told(await mei.post(f"{path}/close", json=order))
        assert (closed["state"], closed["disposition"]) == ("closed", "genuine")
        await settled(whole)
        kinds = [each["kind"] for each in told(await mei.get(f"{path}/timeline"))["data"]]
        assert {"payment", "decision", "alert", "act", "label"} <= set(kinds)
        mine = told(await mei.get(f"{OWN}/cases", params={"assignee": "me", "state": "closed"}))
        assert [each["id"] for each in mine["data"]] == [case["id"]]
    (look,) = (await whole.get(tenant, f"{OWN}/looks/{payment['payment']}"))["data"]
    assert (look["is_fraud"], look["label_source"]) == (False, "case")


async def test_case_over_much_money_is_released_by_two_people(whole: Whole, tenant: Tenant) -> None:
    await held(whole, tenant, 5_000_00)
    async with member(whole, tenant) as mei, member(whole, tenant) as chen:
        case = await taken(mei)
        path = f"{OWN}/cases/{case['id']}"
        order = {"version": case["version"], "disposition": "genuine"}
        waiting = told(await mei.post(f"{path}/close", json=order))
        assert (waiting["state"], waiting["request"]["closing"]["disposition"]) == ("waiting", "genuine")
        version = {"version": waiting["version"]}
        own = await mei.post(f"{path}/approve", json=version)
        assert refusal(own) == (403, "case_same_person")
        assert await whole.refused(tenant, "POST", f"{path}/approve", version) == (403, "person_required")
        (seen,) = told(await chen.get(f"{OWN}/cases/waiting"))["data"]
        assert seen["id"] == case["id"]
        assert told(await mei.get(f"{OWN}/cases/waiting"))["data"] == []
        back = told(await chen.post(f"{path}/refuse", json=version | {"why": "look again"}))
        assert back["state"] == "assigned"
        order["version"] = back["version"]
        waiting = told(await mei.post(f"{path}/close", json=order))
        closed = told(await chen.post(f"{path}/approve", json={"version": waiting["version"]}))
        assert closed["state"] == "closed"
        late = await chen.post(f"{path}/approve", json={"version": closed["version"]})
        assert refusal(late) == (409, "case_state_wrong")


async def test_case_closed_as_fraud_freezes_its_card(whole: Whole, tenant: Tenant) -> None:
    await held(whole, tenant, 5_000)
    async with member(whole, tenant) as mei:
        case = await taken(mei)
        order = {"version": case["version"], "disposition": "fraud", "freeze": True}
        path = f"{OWN}/cases/{case['id']}"
        waiting = told(await mei.post(f"{path}/close", json=order))
        assert (waiting["state"], waiting["request"]["closing"]["freeze"]) == ("waiting", True)
        assert (await whole.get(tenant, f"{OWN}/freezes"))["data"] == []
        async with member(whole, tenant) as chen:
            closed = told(await chen.post(f"{path}/approve", json={"version": waiting["version"]}))
        assert closed["state"] == "closed"
    (frozen,) = (await whole.get(tenant, f"{OWN}/freezes"))["data"]
    assert (frozen["entity"], frozen["key"]) == ("card", key(tenant, "card"))
    assert case["id"] in frozen["reason"]
    assert (await judged(whole, tenant))["reasons"][0]["code"] == "account_frozen"


async def test_case_is_not_closed_with_a_freeze_that_its_merchant_may_not_make(
    whole: Whole, tenant: Tenant
) -> None:
    await held(whole, tenant, 5_000)
    await judged(whole, await whole.tenant(), card=key(tenant, "card"))
    await settled(whole)
    async with member(whole, tenant) as mei:
        case = await taken(mei)
        path = f"{OWN}/cases/{case['id']}"
        order = {"version": case["version"], "disposition": "fraud", "freeze": True}
        assert refusal(await mei.post(f"{path}/close", json=order)) == (403, "freeze_not_yours")
        assert told(await mei.get(path))["state"] == "assigned"


async def test_case_is_handed_over_and_filled(whole: Whole, tenant: Tenant) -> None:
    await held(whole, tenant, 5_000)
    small = await judged(whole, tenant, amount_minor=100)
    await settled(whole)
    async with AsyncExitStack() as stack:
        mei = await stack.enter_async_context(member(whole, tenant))
        chen = await stack.enter_async_context(member(whole, tenant))
        case = await taken(mei)
        path = f"{OWN}/cases/{case['id']}"
        order = {"version": case["version"], "looks": [small["decision"]]}
        assert refusal(await chen.post(f"{path}/include", json=order)) == (403, "case_not_yours")
        filled = told(await mei.post(f"{path}/include", json=order))
        assert filled["payment_count"] == 2
        given = told(await chen.post(f"{path}/assign", json={"version": filled["version"]}))
        assert given["assignee"] not in {None, case["assignee"]}
        body = {"version": given["version"], "assignee": None}
        back = told(await chen.post(f"{path}/assign", json=body))
        assert (back["state"], back["assignee"]) == ("open", None)
        wrong = {"version": back["version"], "looks": ["x"]}
        assert refusal(await mei.post(f"{path}/include", json=wrong)) == (400, "id_malformed")


@pytest.mark.parametrize(
    ("act", "body", "status", "code"),
    [
        ("notes", {"version": 1}, 400, "request_invalid"),
        ("notes", {"version": 2, "text": " "}, 400, "case_text_invalid"),
        ("notes", {"version": 0, "text": "x"}, 400, "request_invalid"),
        ("sign", {"version": 2, "text": "x", "language": "fr"}, 400, "request_invalid"),
        ("close", {"version": 2, "disposition": "perhaps"}, 400, "request_invalid"),
        ("close", {"version": 2, "disposition": "inconclusive"}, 400, "case_held_undecided"),
        ("close", {"version": 2, "disposition": "fraud", "fraud": ["dec_00000000000000000000000000"]}, 400, "case_payment_unknown"),
        ("close", {"version": 2, "disposition": "genuine", "freeze": True}, 400, "case_freeze_invalid"),
        ("approve", {"version": 2}, 409, "case_state_wrong"),
        ("refuse", {"version": 2, "why": "x"}, 409, "case_state_wrong"),
        ("include", {"version": 2, "looks": ["dec_00000000000000000000000000"]}, 404, "case_payment_missing"),
    ],
)  # fmt: skip
async def test_act_on_a_case_that_makes_no_sense_is_refused(
    whole: Whole, tenant: Tenant, act: str, body: Any, status: int, code: str
) -> None:
    await held(whole, tenant, 5_000)
    async with member(whole, tenant) as mei:
        case = await taken(mei)
        answer = await mei.post(f"{OWN}/cases/{case['id']}/{act}", json=body)
        assert refusal(answer) == (status, code)


async def test_case_of_another_merchant_is_unknown(whole: Whole, tenant: Tenant) -> None:
    await held(whole, tenant, 5_000)
    (case,) = (await whole.get(tenant, f"{OWN}/cases"))["data"]
    theirs = await whole.tenant()
    assert (await whole.get(theirs, f"{OWN}/cases"))["data"] == []
    assert (await whole.get(theirs, f"{OWN}/cases/queue"))["data"] == []
    assert (await whole.post(theirs, f"{OWN}/cases/take_next"))["case"] is None
    for text, code in ((case["id"], "case_missing"), (NO_CASE, "case_missing"), ("x", "resource_missing")):
        for below in ("", "/timeline", "/graph", "/graph.svg", "/summary"):
            path = f"{OWN}/cases/{text}{below}"
            assert await whole.refused(theirs, "GET", path) == (404, code), path
        body = {"version": 1, "text": "x"}
        assert await whole.refused(theirs, "POST", f"{OWN}/cases/{text}/notes", body) == (404, code)


async def test_house_works_the_cases_of_all_merchants(whole: Whole, tenant: Tenant) -> None:
    await held(whole, tenant, 5_000)
    (case,) = (await whole.get(tenant, f"{OWN}/cases"))["data"]
    async with whole.operator(OperatorRole.OPERATOR_L1) as looker:
        assert told(await looker.get(f"{HOUSE}/cases/{case['id']}"))["id"] == case["id"]
        body = {"version": 1, "text": "x"}
        refused = await looker.post(f"{HOUSE}/cases/{case['id']}/notes", json=body)
        assert refusal(refused) == (403, "permission_missing")
    async with whole.operator(OperatorRole.RISK) as browser:
        path = f"{HOUSE}/cases/{case['id']}"
        mine = told(await browser.post(f"{path}/assign", json={"version": case["version"]}))
        order = {"version": mine["version"], "disposition": "fraud", "freeze": True}
        waiting = told(await browser.post(f"{path}/close", json=order))
        async with whole.operator(OperatorRole.RISK) as second:
            version = {"version": waiting["version"]}
            assert told(await second.post(f"{path}/approve", json=version))["state"] == "closed"
    assert (await judged(whole, tenant))["reasons"][0]["code"] == "account_frozen"
    tenant.key = await whole.key(tenant, Permission.RISK_READ)
    assert (await whole.get(tenant, f"{OWN}/freezes"))["data"] == []
