"""Experiments under ``/v2``: a whole life, who gets which arm, what is refused, and whose they are."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.parties.conftest import DRAFT as MERCHANT
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal

from tongbao.core.db import Database
from tongbao.parties.schema import Package, Permission

PATH = "/v2/experiments"
DRAFT: Json = {
    "name": "green-button",
    "unit": "customer",
    "arms": ["control", "green"],
    "weights_bps": {"control": 5_000, "green": 5_000},
    "metric": {"outcome": "paid"},
    "guardrails": [{"outcome": "refunded", "higher_is_better": False}],
    "horizon_days": 7,
    "looks": 1,
    "effect_min": 0.05,
    "note": "is green better",
}
P = Permission


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def running(whole: Whole, tenant: Tenant, **fields: Any) -> str:
    """The path of an experiment that runs."""
    await whole.post(tenant, PATH, DRAFT | fields, 201)
    path = f"{PATH}/{DRAFT['name']}"
    await whole.post(tenant, f"{path}/start")
    return path


async def test_experiment_runs_from_draft_to_conclusion(whole: Whole, tenant: Tenant) -> None:
    draft = await whole.post(tenant, PATH, DRAFT, 201)
    assert (draft["state"], draft["version"], draft["note"]) == ("draft", 1, DRAFT["note"])
    assert draft["created_by"].startswith("key:")
    assert "salt" not in draft
    path = f"{PATH}/green-button"
    assert await whole.get(tenant, path) == draft
    started = await whole.post(tenant, f"{path}/start", {"version": 1})
    assert started["state"] == "running"
    arms: dict[str, str] = {}
    for number in range(60):
        shown = await whole.post(tenant, f"{path}/expose", {"unit": f"c{number}"})
        arms[shown["unit"]] = shown["arm"]
    assert set(arms.values()) == {"control", "green"}
    values = [{"unit": unit, "outcome": "paid", "value": float(arm == "green")} for unit, arm in arms.items()]
    kept = await whole.post(tenant, f"{path}/measurements", {"measurements": values})
    assert kept["count"] == 60
    shifted = await whole.post(
        tenant, f"{path}/weights", {"weights_bps": {"control": 1, "green": 9_999}, "version": 2}
    )
    assert [epoch["number"] for epoch in shifted["epochs"]] == [1, 2]
    again = await whole.post(tenant, f"{path}/expose", {"unit": "c0"})
    assert again["arm"] == arms["c0"]
    readout = await whole.get(tenant, f"{path}/readout")
    by_arm = {arm["arm"]: arm for arm in readout["arms"]}
    assert by_arm["green"]["units"] == sum(arm == "green" for arm in arms.values())
    assert (by_arm["green"]["mean"], by_arm["control"]["mean"]) == (1.0, 0.0)
    assert [each["outcome"] for each in readout["guardrails"]] == ["refunded"]
    stopped = await whole.post(tenant, f"{path}/stop", {"note": "enough"})
    assert (stopped["state"], stopped["note"]) == ("stopped", "enough")
    outside = await whole.post(tenant, f"{path}/assign", {"unit": "c1"})
    assert (outside["arm"], outside["epoch"]) == (None, None)
    concluded = await whole.post(tenant, f"{path}/conclude", {"note": "green it is"})
    assert concluded["state"] == "concluded"
    assert [each["name"] for each in (await whole.get(tenant, PATH))["data"]] == ["green-button"]


async def test_arm_that_is_asked_for_is_the_one_that_is_shown(whole: Whole, tenant: Tenant) -> None:
    path = await running(whole, tenant)
    for number in range(10):
        asked = await whole.post(tenant, f"{path}/assign", {"unit": f"c{number}"})
        shown = await whole.post(tenant, f"{path}/expose", {"unit": f"c{number}"})
        assert asked == shown
    whole.clock.advance(timedelta(days=8))
    readout = await whole.get(tenant, f"{path}/readout")
    assert readout["look"] == 1
    assert (await whole.get(tenant, path))["taken"][0]["number"] == 1


async def test_experiment_of_another_merchant_is_unknown(whole: Whole, tenant: Tenant) -> None:
    path = await running(whole, tenant)
    for other in (await whole.tenant(), await whole.tenant(tenant.merchant, live=True)):
        assert (await whole.get(other, PATH))["data"] == []
        for method, act, body in (
            ("GET", "", None),
            ("GET", "/readout", None),
            ("POST", "/start", None),
            ("POST", "/stop", None),
            ("POST", "/conclude", None),
            ("POST", "/weights", {"weights_bps": DRAFT["weights_bps"]}),
            ("POST", "/assign", {"unit": "c1"}),
            ("POST", "/expose", {"unit": "c1"}),
            ("POST", "/measurements", {"measurements": [{"unit": "c", "outcome": "paid", "value": 1}]}),
        ):
            found = await whole.refused(other, method, path + act, body)
            assert found == (404, "experiment_unknown"), act


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "Green"}, "experiment_invalid"),
        ({"name": "x" * 81}, "experiment_invalid"),
        ({"name": "\0"}, "request_invalid"),
        ({"arms": ["control"]}, "experiment_invalid"),
        ({"arms": ["control", "control"]}, "experiment_invalid"),
        ({"arms": [f"a{number}" for number in range(21)]}, "request_invalid"),
        ({"weights_bps": {}}, "experiment_invalid"),
        ({"weights_bps": {"control": 5_000, "green": 4_999}}, "experiment_invalid"),
        ({"weights_bps": {"control": 0, "green": 10_000}}, "experiment_invalid"),
        ({"weights_bps": {"control": -1, "green": 10_001}}, "request_invalid"),
        ({"metric": {"outcome": "paid", "value_min": 1, "value_max": 0}}, "experiment_invalid"),
        ({"metric": {"outcome": "paid", "covariate": "paid"}}, "experiment_invalid"),
        ({"metric": {"outcome": "refunded"}}, "experiment_invalid"),
        ({"metric": {}}, "request_invalid"),
        ({"looks": 0}, "request_invalid"),
        ({"horizon_days": 6}, "experiment_invalid"),
        ({"effect_min": 0}, "experiment_invalid"),
        ({"effect_min": float("inf")}, "body_invalid"),
        ({"layer_to_bps": 5_000}, "experiment_invalid"),
        ({"surprise": 1}, "request_invalid"),
    ],
)
async def test_draft_that_can_never_run_is_refused(
    whole: Whole, tenant: Tenant, fields: Json, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await whole.send(tenant, "POST", PATH, content=json.dumps(DRAFT | fields), headers=headers)
    assert refusal(answer) == (400, code), answer.text


async def test_acts_that_the_state_forbids_are_refused(whole: Whole, tenant: Tenant) -> None:
    await whole.post(tenant, PATH, DRAFT, 201)
    path = f"{PATH}/green-button"
    assert await whole.refused(tenant, "POST", PATH, DRAFT) == (409, "experiment_exists")
    assert await whole.refused(tenant, "GET", f"{path}/readout") == (409, "experiment_state")
    assert await whole.refused(tenant, "POST", f"{path}/stop") == (409, "experiment_state")
    assert await whole.refused(tenant, "POST", f"{path}/start", {"version": 7}) == (
        409,
        "experiment_changed",
    )
    await whole.post(tenant, f"{path}/start")
    assert await whole.refused(tenant, "POST", f"{path}/start") == (409, "experiment_state")
    assert await whole.refused(tenant, "POST", f"{path}/weights", {"weights_bps": {"control": 10_000}}) == (
        400,
        "experiment_invalid",
    )


async def test_second_experiment_in_a_full_layer_is_refused(whole: Whole, tenant: Tenant) -> None:
    await running(whole, tenant, layer="checkout")
    await whole.post(tenant, PATH, DRAFT | {"name": "other", "layer": "checkout"}, 201)
    assert await whole.refused(tenant, "POST", f"{PATH}/other/start") == (409, "layer_full")


@pytest.mark.parametrize(
    ("act", "body", "code"),
    [
        ("assign", {"unit": ""}, "experiment_invalid"),
        ("expose", {"unit": "a\nb"}, "experiment_invalid"),
        ("expose", {"unit": "x" * 201}, "request_invalid"),
        ("expose", {}, "request_invalid"),
        ("expose", {"unit": "4242424242424242"}, "card_data_not_allowed_here"),
        ("measurements", {"measurements": []}, "request_invalid"),
        ("measurements", {"measurements": [{"unit": "c", "outcome": "other", "value": 1}]}, "experiment_invalid"),
        ("measurements", {"measurements": [{"unit": "c", "outcome": "paid", "value": "1"}]}, "request_invalid"),
        ("measurements", {"measurements": [{"unit": "c", "outcome": "paid", "value": 1, "measured_at": "2100-01-01T00:00:00Z"}]}, "experiment_invalid"),
        ("measurements", {"measurements": [{"unit": "c", "outcome": "paid", "value": 1}] * 1_001}, "request_invalid"),
        ("stop", {"note": "x" * 1_001}, "request_invalid"),
        ("stop", {"note": "\0"}, "experiment_invalid"),
        ("weights", {"weights_bps": {}, "version": 0}, "request_invalid"),
    ],
)  # fmt: skip
async def test_act_that_makes_no_sense_is_refused(
    whole: Whole, tenant: Tenant, act: str, body: Json, code: str
) -> None:
    path = await running(whole, tenant)
    assert await whole.refused(tenant, "POST", f"{path}/{act}", body) == (400, code)


async def test_draft_twice_with_one_key_is_written_once(whole: Whole, tenant: Tenant) -> None:
    key = {"Idempotency-Key": "draft"}
    first = await whole.send(tenant, "POST", PATH, json=DRAFT, headers=key)
    again = await whole.send(tenant, "POST", PATH, json=DRAFT, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "", P.EXPERIMENTS_READ),
        ("GET", "/x", P.EXPERIMENTS_READ),
        ("GET", "/x/readout", P.EXPERIMENTS_READ),
        ("POST", "/x/assign", P.EXPERIMENTS_READ),
        ("POST", "", P.EXPERIMENTS_WRITE),
        ("POST", "/x/start", P.EXPERIMENTS_WRITE),
        ("POST", "/x/weights", P.EXPERIMENTS_WRITE),
        ("POST", "/x/stop", P.EXPERIMENTS_WRITE),
        ("POST", "/x/conclude", P.EXPERIMENTS_WRITE),
        ("POST", "/x/expose", P.EXPERIMENTS_WRITE),
        ("POST", "/x/measurements", P.EXPERIMENTS_WRITE),
    ],
)
async def test_call_needs_its_permission(
    whole: Whole, tenant: Tenant, method: str, path: str, permission: Permission
) -> None:
    tenant.key = await whole.key(tenant, *(each for each in P if each is not permission))
    assert await whole.refused(tenant, method, PATH + path) == (403, "permission_missing")
    tenant.key = await whole.key(tenant, permission)
    assert (await whole.send(tenant, method, PATH + path)).status_code in {200, 400, 404}
    assert (await whole.http.request(method, PATH + path)).status_code == 401


async def test_experiment_is_begun_only_where_the_package_holds_them(whole: Whole) -> None:
    merchant = await whole.people.merchant(msgspec.structs.replace(MERCHANT, package=Package.BASIC))
    tenant = await whole.tenant(merchant)
    assert await whole.refused(tenant, "POST", PATH, DRAFT) == (403, "feature_missing")
    assert (await whole.get(tenant, PATH))["data"] == []
