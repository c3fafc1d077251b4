"""``/v2/risk``: capacity and its prices, settings of cases, looks at models, fairness, what lists did, keys that close."""

from collections.abc import AsyncIterator

import pytest
from tests.web.risk_calls import HOUSE, OWN, judged, key, member, rule, settled
from tests.web.v2_house import Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.challenges import ChallengeOrder, Means, Purpose
from tongbao.risk.schema.models import DriftFacts, Shift, Standing
from tongbao.risk.schema.watches import Watch
from tongbao.risk.store import watches

DEAR = 'dear: when amount > 20 EUR then review because "dear" owner mei\n'


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def test_tradeoff_tells_prices_that_may_be_drafted_and_draws_them(whole: Whole, tenant: Tenant) -> None:
    assert await whole.refused(tenant, "GET", f"{OWN}/tradeoff") == (400, "tradeoff_empty")
    await rule(whole, tenant, DEAR)
    for number in range(8):
        await judged(whole, tenant, amount_minor=1_000 + 500 * number)
    await settled(whole)
    found = await whole.get(tenant, f"{OWN}/tradeoff")
    assert (found["payment_count"], found["priced"]) == (8, None)
    # Five of the eight are above 20 euros, and the rule holds them whatever they cost.
    assert found["today"]["review_share"] == 0.625
    found = await whole.get(tenant, f"{OWN}/tradeoff", reviews_per_day=0, step_up_share=0)
    assert not found["priced"]["is_met"]
    assert "rules and lists alone" in found["words"]["en"]
    spec = (await whole.get(tenant, f"{OWN}/tradeoff", step_up_share=0))["priced"]["spec"]
    assert spec["rules"] == DEAR
    drafted = await whole.post(tenant, "/v2/policies/risk/versions", {"spec": spec})
    assert drafted["spec"] == spec
    picture = await whole.send(
        tenant, "GET", f"{OWN}/tradeoff.svg", params={"language": "zh", "step_up_share": 0}
    )
    assert picture.headers["Content-Type"] == "image/svg+xml"
    assert "打扰换来什么" in picture.text
    for wrong in ({"step_up_share": 2}, {"reviews_per_day": -1}, {"reviews_per_day": "many"}):
        status, _ = await whole.refused(tenant, "GET", f"{OWN}/tradeoff", None, **wrong)
        assert status in (400, 422)


async def test_settings_of_cases_take_rights_people_and_a_second_of_them(whole: Whole) -> None:
    path = f"{HOUSE}/case_settings"
    async with whole.operator(OperatorRole.RISK) as mei, whole.operator(OperatorRole.RISK) as li:
        now = told(await mei.get(path))
        assert (now["version"], now["spec"]["release_alone_max"], now["waiting"]) == (0, 100_000, None)
        order = {"spec": {"sla_h": {"critical": 0.5}}, "latest": 0, "note": "faster"}
        made = told(await mei.post(path, json=order), 201)
        assert (made["version"], made["state"]) == (1, "in_force")
        assert refusal(await li.post(path, json=order)) == (409, "case_settings_changed")
        wrong = await mei.post(path, json={**order, "latest": 1, "spec": {"fresh_h": -1}})
        assert refusal(wrong) == (400, "case_settings_invalid")
        more = {"spec": {"release_alone_max": 500_000}, "latest": 1, "note": "more"}
        assert told(await mei.post(path, json=more), 201)["state"] == "waiting"
        assert refusal(await mei.post(f"{path}/2/approve")) == (403, "case_same_person")
        assert told(await li.get(path))["waiting"]["version"] == 2
        assert told(await li.post(f"{path}/2/approve"))["state"] == "in_force"
        assert refusal(await li.post(f"{path}/2/refuse")) == (409, "case_settings_not_waiting")
        versions = told(await li.get(f"{path}/history", params={"limit": 1}))
        assert ([each["version"] for each in versions["data"]], versions["has_more"]) == ([2], True)
    async with whole.operator(OperatorRole.AUDITOR) as chen:
        assert refusal(await chen.post(path, json=order))[0] == 403


async def test_look_at_a_model_names_features_in_words(whole: Whole, tenant: Tenant) -> None:
    digest = await whole.house.risk.shelf.keep(artifact.by_judgement(NAMES), "mei", {})
    path = f"{HOUSE}/models/{digest}/watch"
    async with whole.operator(OperatorRole.RISK) as browser:
        assert told(await browser.get(path))["looked_at"] is None
        moved = Shift(name="device_trust", psi=0.4, noise=0.01, count=900)
        facts = DriftFacts(model=digest, at=whole.clock.now(), features=(moved,))
        watch = Watch(facts=facts, alarms=(), past=(), standing=Standing.KEEP, feature_count=1)
        async with whole.house.runtime.database.transaction() as connection:
            await watches.save(connection, False, watch)
        found = told(await browser.get(path))
        assert (found["standing"], found["feature_count"], found["alarms"]) == ("keep", 1, [])
        (shift,) = found["features"]
        assert (shift["name"], shift["psi"]) == ("device_trust", 0.4)
        assert "设备信任度" in shift["words"]["zh"]
        assert (await browser.get(f"{HOUSE}/models/00/watch")).status_code == 404


async def test_fairness_is_of_the_callers_payments_and_tells_no_small_group(
    whole: Whole, tenant: Tenant
) -> None:
    for _ in range(3):
        await judged(whole, tenant)
    await settled(whole)
    found = await whole.get(tenant, f"{OWN}/fairness")
    assert found["payment_count"] == 3
    country = next(each for each in found["segments"] if each["segment"] == "card_country")
    (group,) = country["groups"]
    assert (group["count"], group["step_up"], group["false_positive"]) == (3, None, None)
    assert (await whole.get(await whole.tenant(), f"{OWN}/fairness"))["payment_count"] == 0
    async with whole.operator(OperatorRole.RISK) as browser:
        assert told(await browser.get(f"{HOUSE}/fairness"))["payment_count"] >= 3


async def test_entry_of_a_list_tells_what_it_did(whole: Whole, tenant: Tenant) -> None:
    await whole.post(tenant, f"{OWN}/lists", {"name": "bad", "effect": "block", "note": "stolen"}, 201)
    entries = {"entries": [{"kind": "card", "value": key(tenant, "card"), "reason": "stolen"}]}
    (entry,) = (await whole.post(tenant, f"{OWN}/lists/bad/entries", entries, 201))["data"]
    await settled(whole)
    await judged(whole, tenant)
    await settled(whole)
    found = await whole.get(tenant, f"{OWN}/list_entries/{entry['id']}/effect")
    assert (found["payment_count"], found["blocked_count"], found["blocked_values"]) == (1, 1, {"EUR": 3_000})
    listed = await whole.get(tenant, f"{OWN}/lists/bad/effects")
    assert (listed["data"], listed["has_more"]) == ([found], False)
    theirs = await whole.tenant()
    path = f"{OWN}/list_entries/{entry['id']}/effect"
    assert await whole.refused(theirs, "GET", path) == (404, "list_entry_not_found")


async def test_key_closes_what_one_may_close_alone_and_nothing_that_takes_two(
    whole: Whole, tenant: Tenant
) -> None:
    await rule(whole, tenant, DEAR)
    for card, amount in (("small", 5_000), ("great", 9_000_00)):
        await judged(whole, tenant, amount_minor=amount, card=f"{card}-{tenant.scope.book_id:x}")
    await settled(whole)
    taken = [(await whole.post(tenant, f"{OWN}/cases/take_next"))["case"] for _ in range(2)]
    small, great = sorted(taken, key=lambda case: case["stakes"][0]["value"])
    order = {"version": great["version"], "disposition": "genuine"}
    path = f"{OWN}/cases/{great['id']}/close"
    assert await whole.refused(tenant, "POST", path, order) == (403, "person_required")
    frozen = {"version": small["version"], "disposition": "fraud", "freeze": True}
    path = f"{OWN}/cases/{small['id']}/close"
    assert (await whole.refused(tenant, "POST", path, frozen))[0] == 403
    closed = await whole.post(tenant, path, {"version": small["version"], "disposition": "genuine"})
    assert (closed["state"], closed["disposition"]) == ("closed", "genuine")
    async with member(whole, tenant) as mei:
        body = {"version": great["version"], "assignee": "me"}
        again = told(await mei.post(f"{OWN}/cases/{great['id']}/assign", json=body))
        order["version"] = again["version"]
        waiting = told(await mei.post(f"{OWN}/cases/{great['id']}/close", json=order))
        assert waiting["state"] == "waiting"
        version = {"version": waiting["version"]}
        path = f"{OWN}/cases/{great['id']}/approve"
        assert await whole.refused(tenant, "POST", path, version) == (403, "person_required")


async def test_challenges_are_those_of_the_mode_that_is_asked_in(whole: Whole) -> None:
    test = await whole.tenant()
    live = await whole.tenant(test.merchant, live=True)
    purpose = Purpose(
        book_id=test.scope.book_id, subject_id=whole.ids.uuid(), amount_minor=3_000, currency="EUR"
    )
    wanted = ChallengeOrder(
        purpose=purpose, live=False, signals_id=whole.ids.uuid(), payee="Tea House", means=Means.THREE_DS
    )
    opened = await whole.house.proofs.challenging.open(wanted)
    path = f"{OWN}/challenges"
    assert [each["id"] for each in (await whole.get(test, path))["data"]] == [opened.reference]
    assert (await whole.get(live, path))["data"] == []
    assert await whole.refused(live, "GET", f"{path}/{opened.reference}") == (404, "challenge_unknown")
    async with whole.operator(OperatorRole.RISK) as browser:
        headers = {"Tongbao-Mode": "live"}
        seen = told(await browser.get(f"{HOUSE}/challenges", headers=headers))["data"]
        assert opened.reference not in [each["id"] for each in seen]
