"""Policies under ``/v2``: a merchant's own from draft to roll-out and back, the house's, and everything refused."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest
from tests.parties.conftest import DRAFT
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole, Package, Permission

OWN = "/v2/policies/routing"
HOUSE = "/v2/operations/policies/routing"
WEST_FIRST: Json = {"spec": {"strategy": "priority", "order": ["west", "east"]}, "note": "west is cheaper"}
EVEN: Json = {"spec": {"strategy": "round_robin"}}
GOOD = {"east": 5, "west": 9}
"""Of ten payments over each channel, so many are approved."""
GUARDRAIL: Json = {"outcome": "approved", "worse_by": 0.05}


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def published(whole: Whole, tenant: Tenant, draft: Json = WEST_FIRST) -> int:
    """The number of a tenant's first version, published."""
    version: int = (await whole.post(tenant, f"{OWN}/versions", draft))["version"]
    await whole.post(tenant, f"{OWN}/versions/{version}/publish")
    return version


async def tried(
    whole: Whole, tenant: Tenant, ends: Sequence[tuple[str, bool]] = (), *, publish: bool = True
) -> Json:
    """The replay of a second version that prefers west, on payments that were routed evenly and ended so."""
    await published(whole, tenant, EVEN)
    await whole.post(tenant, f"{OWN}/rollout", {"champion": 1})
    await whole.follow()
    await whole.plant(tenant, await whole.pay(tenant), ends)
    await whole.post(tenant, f"{OWN}/versions", WEST_FIRST)
    report = await whole.post(tenant, f"{OWN}/versions/2/replay", whole.span())
    if publish:
        await whole.post(tenant, f"{OWN}/versions/2/publish")
    return report


async def decision_of(whole: Whole, tenant: Tenant) -> Json:
    """The decision about a new payment."""
    payment = await whole.pay(tenant)
    decision = await whole.routed(tenant, payment)
    found: Json = decision
    return found


async def test_policy_of_a_merchant_goes_from_draft_to_traffic_and_back(whole: Whole) -> None:
    tenant = await whole.tenant()
    assert (await whole.get(tenant, OWN))["rollout"] is None
    actor = (await whole.post(tenant, f"{OWN}/versions", WEST_FIRST))["created_by"]
    assert actor.startswith("key:")
    assert await published(whole, tenant) == 1
    rollout = await whole.post(tenant, f"{OWN}/rollout", {"champion": 1, "note": "go"})
    assert (rollout["epoch"], rollout["champion"], rollout["challenger"]) == (1, 1, None)
    assert "salt" not in rollout
    await whole.follow()
    for _ in range(3):
        decision = await decision_of(whole, tenant)
        assert (decision["chosen"], decision["reasons"][0]["code"]) == ("west", "priority")
        assert decision["policy_version"] == f"{rollout['policy']}@1"

    draft = await whole.post(tenant, f"{OWN}/versions", EVEN)
    assert (draft["version"], draft["state"]) == (2, "draft")
    report = await whole.post(tenant, f"{OWN}/versions/2/replay", whole.span())
    assert (report["count"], report["verdict"], report["refusal"]) == (3, "refused", "count_small")
    assert report["words"]["en"].startswith("Version 2 of routing/")
    assert "拒绝评估" in report["words"]["zh"]
    assert report["made_by"] == actor
    shown = await whole.get(tenant, f"{OWN}/versions/2")
    assert (shown["state"], shown["replay"], shown["spec"]) == ("replayed", report["id"], EVEN["spec"])
    assert shown["replays"] == [report]
    await whole.post(tenant, f"{OWN}/versions/2/publish", {"note": "try it"})

    order: Json = {"champion": 1, "challenger": 2, "share_bps": 500, "guardrails": [GUARDRAIL], "epoch": 1}
    tried = await whole.post(tenant, f"{OWN}/rollout", order)
    assert (tried["epoch"], tried["challenger"], tried["share_bps"]) == (2, 2, 500)
    assert tried["guardrails"] == [
        GUARDRAIL | {"higher_is_better": True, "value_range": 1.0, "count_min": 100}
    ]
    returned = await whole.post(tenant, f"{OWN}/return_to_control", {"reason": "enough seen"})
    assert (returned["champion"], returned["challenger"], returned["note"]) == (1, None, "enough seen")
    assert (await whole.get(tenant, OWN))["rollout"] == returned
    assert (await whole.post(tenant, f"{OWN}/versions/2/retire", {"note": "no"}))["state"] == "retired"

    trail = (await whole.get(tenant, f"{OWN}/changes", limit=100))["data"]
    assert [each["action"] for each in trail] == [
        *("drafted", "published", "rolled_out", "drafted", "replayed", "published"),
        *("rolled_out", "returned", "retired"),
    ]
    assert {each["actor"] for each in trail} == {actor}
    page = await whole.get(tenant, f"{OWN}/changes", after=8, limit=1)
    assert ([each["change_no"] for each in page["data"]], page["has_more"]) == ([9], False)


async def test_challenger_whose_replay_tells_nothing_gets_a_small_share_at_most(whole: Whole) -> None:
    tenant = await whole.tenant()
    await tried(whole, tenant)
    order: Json = {"champion": 1, "challenger": 2, "share_bps": 501}
    assert await whole.refused(tenant, "POST", f"{OWN}/rollout", order) == (409, "policy_unproved")
    await whole.post(tenant, f"{OWN}/rollout", order | {"share_bps": 500})
    assert await whole.refused(tenant, "POST", f"{OWN}/promote", {}) == (409, "policy_unproved")
    assert await whole.refused(tenant, "POST", f"{OWN}/promote", {"epoch": 1}) == (409, "policy_changed")


async def test_challenger_whose_replay_says_better_is_promoted(whole: Whole) -> None:
    tenant = await whole.tenant()
    ends = [(channel, number % 10 < good) for number in range(750) for channel, good in GOOD.items()]
    report = await tried(whole, tenant, ends)
    assert (report["verdict"], report["count"]) == ("better", 1_501)
    order: Json = {"champion": 1, "challenger": 2, "share_bps": 5_000, "guardrails": [GUARDRAIL]}
    await whole.post(tenant, f"{OWN}/rollout", order)
    promoted = await whole.post(tenant, f"{OWN}/promote", {"note": "better", "epoch": 2})
    assert (promoted["epoch"], promoted["champion"], promoted["challenger"]) == (3, 2, None)
    await whole.follow()
    assert (await decision_of(whole, tenant))["chosen"] == "west"


async def test_version_whose_replay_says_worse_is_published_by_force_alone(whole: Whole) -> None:
    tenant = await whole.tenant()
    ends = [(channel, number % 10 >= good) for number in range(750) for channel, good in GOOD.items()]
    report = await tried(whole, tenant, ends, publish=False)
    assert report["verdict"] == "worse"
    path = f"{OWN}/versions/2/publish"
    assert await whole.refused(tenant, "POST", path) == (409, "policy_verdict_worse")
    assert await whole.refused(tenant, "POST", path, {"force": True}) == (400, "policy_text_invalid")
    forced = await whole.post(tenant, path, {"force": True, "note": "west pays our rent"})
    assert forced["state"] == "published"


async def test_replay_is_drawn_in_both_languages(whole: Whole) -> None:
    tenant = await whole.tenant()
    await whole.pay(tenant)
    await whole.post(tenant, f"{OWN}/versions", EVEN)
    report = await whole.post(tenant, f"{OWN}/versions/1/replay", whole.span())
    path = f"{OWN}/versions/1/replays/{report['id']}.svg"
    for language, words in (("en", "Replay of version 1"), ("zh", "重放")):
        answer = await whole.send(tenant, "GET", path, params={"language": language})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/svg+xml")
        assert answer.text.startswith("<svg")
        assert words in answer.text
    assert await whole.refused(tenant, "GET", path, language="fr") == (400, "request_invalid")
    for other in ("replay_x", "replay_00000000000000000000000000"):
        path = f"{OWN}/versions/1/replays/{other}.svg"
        assert await whole.refused(tenant, "GET", path) == (404, "resource_missing")


async def test_policy_of_one_merchant_is_none_of_anothers(whole: Whole) -> None:
    ours, theirs = await whole.tenant(), await whole.tenant()
    await whole.pay(ours)
    await whole.post(ours, f"{OWN}/versions", EVEN)
    report = await whole.post(ours, f"{OWN}/versions/1/replay", whole.span())
    assert (await whole.get(theirs, f"{OWN}/versions"))["data"] == []
    assert (await whole.get(theirs, f"{OWN}/changes"))["data"] == []
    for method, path in (
        ("GET", "/versions/1"),
        ("POST", "/versions/1/publish"),
        ("POST", "/versions/1/retire"),
        ("GET", f"/versions/1/replays/{report['id']}.svg"),
    ):
        found = await whole.refused(theirs, method, OWN + path)
        assert found == (404, "policy_version_unknown"), path
    live = await whole.tenant(ours.merchant, live=True)
    assert (await whole.get(live, f"{OWN}/versions"))["data"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/versions", {"spec": {"strategy": "best"}}, 400, "policy_spec_invalid"),
        ("/versions", {"spec": {"order": ["north"]}}, 400, "policy_spec_invalid"),
        ("/versions", {"spec": {"rules": "a: when nonsense then prefer west"}}, 400, "policy_spec_invalid"),
        ("/versions", {"spec": {"margin_bps": 10**40}}, 400, "policy_spec_invalid"),
        ("/versions", {"spec": {"margin_bps": 1.5e308}}, 400, "policy_spec_invalid"),
        ("/versions", {"spec": {"\0": 1}}, 400, "policy_spec_invalid"),
        ("/versions", {"spec": {}, "note": "\0"}, 400, "policy_text_invalid"),
        ("/versions", {"spec": {}, "note": "x" * 1_001}, 400, "request_invalid"),
        ("/versions", {"spec": [1]}, 400, "request_invalid"),
        ("/versions", {"spec": {}, "surprise": 1}, 400, "request_invalid"),
        ("/versions", {}, 400, "request_invalid"),
        ("/versions/9/publish", None, 404, "policy_version_unknown"),
        ("/versions/0/publish", None, 400, "request_invalid"),
        ("/versions/9999999999/publish", None, 400, "request_invalid"),
        ("/versions/x/publish", None, 400, "request_invalid"),
        ("/versions/1/publish", {"force": "yes"}, 400, "request_invalid"),
        ("/versions/1/publish", {"force": True}, 400, "policy_text_invalid"),
        ("/versions/1/replay", {}, 400, "request_invalid"),
        ("/versions/1/replay", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 400, "replay_order_invalid"),
        ("/versions/1/replay", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, 400, "replay_empty"),
        ("/versions/1/replay", {"from": "2026-01-01", "to": "2026-01-02"}, 400, "request_invalid"),
        ("/versions/7/replay", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, 404, "policy_version_unknown"),
        ("/rollout", {"champion": 1}, 409, "policy_not_published"),
        ("/rollout", {"champion": 7}, 404, "policy_version_unknown"),
        ("/rollout", {"champion": 1, "challenger": 1, "share_bps": 5}, 400, "policy_rollout_invalid"),
        ("/rollout", {"champion": 1, "share_bps": 5}, 400, "policy_rollout_invalid"),
        ("/rollout", {"champion": 1, "share_bps": 10_001}, 400, "request_invalid"),
        ("/rollout", {"champion": 2**40}, 400, "request_invalid"),
        ("/rollout", {"champion": 1, "epoch": 5}, 409, "policy_changed"),
        ("/rollout", {"champion": 1, "guardrails": [GUARDRAIL | {"worse_by": -1}], "challenger": 2}, 400, "policy_rollout_invalid"),
        ("/rollout", {"champion": 1, "guardrails": [GUARDRAIL | {"worse_by": "1"}]}, 400, "request_invalid"),
        ("/promote", None, 404, "policy_not_rolled_out"),
        ("/return_to_control", {"reason": "x"}, 404, "policy_not_rolled_out"),
        ("/return_to_control", {"reason": " "}, 400, "policy_text_invalid"),
        ("/return_to_control", {}, 400, "request_invalid"),
    ],
)  # fmt: skip
async def test_act_that_makes_no_sense_is_refused(
    whole: Whole, path: str, body: Any, status: int, code: str
) -> None:
    tenant = await whole.tenant()
    await whole.post(tenant, f"{OWN}/versions", EVEN)
    assert await whole.refused(tenant, "POST", OWN + path, body) == (status, code)


async def test_acts_that_the_state_forbids_are_refused(whole: Whole) -> None:
    tenant = await whole.tenant()
    await published(whole, tenant)
    assert await whole.refused(tenant, "POST", f"{OWN}/versions/1/publish") == (409, "policy_not_replayed")
    await whole.post(tenant, f"{OWN}/rollout", {"champion": 1})
    assert await whole.refused(tenant, "POST", f"{OWN}/promote") == (409, "policy_without_challenger")
    assert await whole.refused(tenant, "POST", f"{OWN}/versions/1/retire") == (409, "policy_version_in_use")
    await whole.post(tenant, f"{OWN}/versions", EVEN)
    assert await whole.refused(tenant, "POST", f"{OWN}/versions/2/publish") == (409, "policy_not_replayed")
    await whole.pay(tenant)
    await whole.post(tenant, f"{OWN}/versions/2/retire")
    found = await whole.refused(tenant, "POST", f"{OWN}/versions/2/replay", whole.span())
    assert found == (409, "policy_version_retired")


async def test_versions_are_paged_from_the_newest(whole: Whole) -> None:
    tenant = await whole.tenant()
    for margin in (100, 200, 300):
        await whole.post(tenant, f"{OWN}/versions", {"spec": {"margin_bps": margin}})
    first = await whole.get(tenant, f"{OWN}/versions", limit=2)
    assert ([each["version"] for each in first["data"]], first["has_more"]) == ([3, 2], True)
    rest = await whole.get(tenant, f"{OWN}/versions", limit=2, before=2)
    assert ([each["version"] for each in rest["data"]], rest["has_more"]) == ([1], False)
    for params in ({"limit": 0}, {"limit": 101}, {"before": "x"}, {"surprise": 1}):
        status, _ = await whole.refused(tenant, "GET", f"{OWN}/versions", **params)
        assert status == 400, params


async def test_act_twice_with_one_key_is_done_once(whole: Whole) -> None:
    tenant = await whole.tenant()
    await whole.post(tenant, f"{OWN}/versions", EVEN)
    key = {"Idempotency-Key": "publish-1"}
    path = f"{OWN}/versions/1/publish"
    first = await whole.send(tenant, "POST", path, headers=key)
    again = await whole.send(tenant, "POST", path, headers=key)
    assert first.json() == again.json()
    assert (first.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    other = await whole.send(tenant, "POST", path, json={"note": "other"}, headers=key)
    assert refusal(other) == (409, "idempotency_key_reused")
    assert [each["action"] for each in (await whole.get(tenant, f"{OWN}/changes"))["data"]] == [
        "drafted",
        "published",
    ]


async def test_act_that_was_refused_frees_its_key(whole: Whole) -> None:
    tenant = await whole.tenant()
    key = {"Idempotency-Key": "publish-2"}
    path = f"{OWN}/versions/1/publish"
    assert refusal(await whole.send(tenant, "POST", path, headers=key)) == (404, "policy_version_unknown")
    await whole.post(tenant, f"{OWN}/versions", EVEN)
    told(await whole.send(tenant, "POST", path, headers=key))


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "", Permission.ROUTING_READ),
        ("GET", "/versions", Permission.ROUTING_READ),
        ("GET", "/versions/1", Permission.ROUTING_READ),
        ("GET", "/changes", Permission.ROUTING_READ),
        ("GET", "/versions/1/replays/replay_x.svg", Permission.ROUTING_READ),
        ("POST", "/versions", Permission.ROUTING_WRITE),
        ("POST", "/versions/1/replay", Permission.ROUTING_WRITE),
        ("POST", "/versions/1/publish", Permission.ROUTING_WRITE),
        ("POST", "/versions/1/retire", Permission.ROUTING_WRITE),
        ("POST", "/rollout", Permission.ROUTING_WRITE),
        ("POST", "/promote", Permission.ROUTING_WRITE),
        ("POST", "/return_to_control", Permission.ROUTING_WRITE),
    ],
)
async def test_call_needs_its_permission(
    whole: Whole, method: str, path: str, permission: Permission
) -> None:
    tenant = await whole.tenant()
    others = [each for each in Permission if each is not permission]
    tenant.key = await whole.key(tenant, *others)
    assert await whole.refused(tenant, method, OWN + path) == (403, "permission_missing")
    tenant.key = await whole.key(tenant, permission)
    assert (await whole.send(tenant, method, OWN + path)).status_code in {200, 400, 404}
    assert (await whole.http.request(method, OWN + path)).status_code == 401


async def test_policy_of_the_house_is_the_operators(whole: Whole) -> None:
    tenant = await whole.tenant()
    payment = await whole.pay(tenant)
    async with whole.operator(OperatorRole.RISK) as browser:
        drafted = told(await browser.post(f"{HOUSE}/versions", json=WEST_FIRST))
        assert (drafted["policy"], drafted["version"]) == ("routing", 1)
        assert drafted["created_by"].startswith("person:")
        told(await browser.post(f"{HOUSE}/versions/1/publish"))
        told(await browser.post(f"{HOUSE}/rollout", json={"champion": 1}))
        report = told(await browser.post(f"{HOUSE}/versions/1/replay", json=whole.span()))
        assert report["count"] >= 1
        live = await browser.post(
            f"{HOUSE}/versions/1/replay", json=whole.span(), headers={"Tongbao-Mode": "live"}
        )
        assert refusal(live) == (400, "replay_empty")
        await whole.follow()
        decision = await decision_of(whole, tenant)
        assert (decision["policy_version"], decision["chosen"]) == ("routing@1", "west")
        assert len(told(await browser.get(f"{HOUSE}/changes"))["data"]) == 4
        other = HOUSE.replace("routing", "marketing")
        assert refusal(await browser.get(other)) == (404, "resource_missing")
        wrong = await browser.get(HOUSE, headers={"Tongbao-Mode": "both"})
        assert refusal(wrong) == (400, "mode_invalid")
        wrong = await browser.post(f"{HOUSE}/promote", headers={"X-CSRF-Token": "x"})
        assert refusal(wrong) == (403, "csrf_invalid")
    first = await whole.routed(tenant, payment)
    assert first["policy_version"] == "routing@0"


async def _all(browser: httpx.AsyncClient) -> dict[str, int]:
    """Statuses of every kind of route for operators, by kind."""
    return {
        "read": (await browser.get(HOUSE)).status_code,
        "draft": (await browser.post(f"{HOUSE}/versions", json={})).status_code,
        "replay": (await browser.post(f"{HOUSE}/versions/1/replay", json={})).status_code,
        "publish": (await browser.post(f"{HOUSE}/versions/99/publish")).status_code,
        "rollout": (await browser.post(f"{HOUSE}/rollout", json={})).status_code,
        "promote": (await browser.post(f"{HOUSE}/promote", json={"epoch": 99})).status_code,
        "return": (await browser.post(f"{HOUSE}/return_to_control", json={})).status_code,
        "retire": (await browser.post(f"{HOUSE}/versions/99/retire")).status_code,
    }


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [
        (OperatorRole.RISK, True, True),
        (OperatorRole.OPERATOR_L2, True, False),
        (OperatorRole.AUDITOR, True, False),
        (OperatorRole.LEGAL, False, False),
    ],
)
async def test_operators_may_what_their_role_says(
    whole: Whole, role: OperatorRole, reads: bool, writes: bool
) -> None:
    async with whole.operator(role) as browser:
        found = await _all(browser)
    assert (found.pop("read") == 200) is reads
    assert {kind for kind, status in found.items() if status != 403} == (set(found) if writes else set())


async def test_house_policy_is_out_of_reach_of_keys(whole: Whole) -> None:
    tenant = await whole.tenant()
    assert await whole.refused(tenant, "GET", HOUSE) == (401, "session_missing")
    assert await whole.refused(tenant, "POST", f"{HOUSE}/versions", EVEN) == (401, "session_missing")


async def test_document_tells_that_a_replay_is_drawn(whole: Whole) -> None:
    paths = (await whole.http.get("/v2/openapi.json")).json()["paths"]
    drawn = paths[f"{OWN}/versions/{{version}}/replays/{{replay}}.svg"]["get"]["responses"]["200"]
    assert list(drawn["content"]) == ["image/svg+xml"]


async def test_versions_are_written_only_where_the_package_holds_custom_routing(whole: Whole) -> None:
    merchant = await whole.people.merchant(msgspec.structs.replace(DRAFT, package=Package.ECOMMERCE))
    tenant = await whole.tenant(merchant)
    assert await whole.refused(tenant, "POST", f"{OWN}/versions", WEST_FIRST) == (403, "feature_missing")
    assert (await whole.get(tenant, OWN))["rollout"] is None
