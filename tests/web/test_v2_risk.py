"""``/v2/risk``: payments judged over HTTP, what becomes of them, lists, rules, explanations, and who may see what."""

import math
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.risk_calls import HOUSE, OWN, judged, key, order, rule, settled
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import OperatorRole, Permission
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api-v2.md"
NOWHERE = "pi_00000000000000000000000000"
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


async def test_payment_is_judged_with_reasons_and_its_decision_is_on_disk(
    whole: Whole, tenant: Tenant
) -> None:
    found = await judged(whole, tenant)
    assert (found["object"], found["tier"], found["rules"]) == ("risk_assessment", "frictionless", [])
    assert 0 < found["score"] < 0.05
    (reason,) = found["reasons"]
    assert reason["code"] == "low_risk"
    assert reason["words"] == {"zh": "未见风险。", "en": "Nothing speaks against the payment."}
    decision = await whole.get(tenant, f"/v2/decisions/{found['decision']}")
    assert (decision["kind"], decision["chosen"]) == ("risk", "frictionless")
    assert found["policy_version"] == decision["policy_version"] == "risk@0"


async def test_own_reference_names_one_payment_of_one_merchant(whole: Whole, tenant: Tenant) -> None:
    first = await judged(whole, tenant, reference="order 7")
    again = await judged(whole, tenant, reference="order 7")
    other = await judged(whole, await whole.tenant(), reference="order 7")
    assert first["payment"] == again["payment"] != other["payment"]
    assert first["decision"] != again["decision"]
    await settled(whole)
    looks = (await whole.get(tenant, f"{OWN}/looks/{first['payment']}"))["data"]
    assert [each["decision"] for each in looks] == [first["decision"], again["decision"]]


async def test_payment_intent_that_is_judged_has_to_be_the_merchants_own(
    whole: Whole, tenant: Tenant
) -> None:
    payment = await whole.pay(tenant)
    assert (await judged(whole, tenant, payment=payment))["payment"] == payment
    theirs = await whole.tenant()
    body = order(tenant, payment=payment)
    assert await whole.refused(theirs, "POST", f"{OWN}/assess", body) == (404, "resource_missing")


async def test_one_key_judges_a_payment_once(whole: Whole, tenant: Tenant) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await whole.send(tenant, "POST", f"{OWN}/assess", json=order(tenant), headers=headers)
    again = await whole.send(tenant, "POST", f"{OWN}/assess", json=order(tenant), headers=headers)
    assert told(first) == told(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await whole.send(
        tenant, "POST", f"{OWN}/assess", json=order(tenant, is_recurring=True), headers=headers
    )
    assert refusal(other) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amount_minor": None}, "request_invalid"),
        ({"value": 100}, "request_invalid"),
        ({"amount_minor": 0}, "request_invalid"),
        ({"amount_minor": 10**19}, "request_invalid"),
        ({"amount_minor": 1.5}, "request_invalid"),
        ({"currency": "EURO"}, "request_invalid"),
        ({"currency": "QQQ"}, "currency_unknown"),
        ({"card": "a b"}, "request_invalid"),
        ({"card": "x" * 81}, "request_invalid"),
        ({"card": "4242424242424242"}, "card_data_not_allowed_here"),
        ({"card_country": "de"}, "request_invalid"),
        ({"mcc": "12"}, "request_invalid"),
        ({"email_domain": "mei@example.com"}, "request_invalid"),
        ({"funding": "gift"}, "request_invalid"),
        ({"device_signs": ["ghost"]}, "request_invalid"),
        ({"latitude": 91, "longitude": 0}, "request_invalid"),
        ({"latitude": 1.0}, "request_invalid"),
        ({"is_recurring": "yes"}, "request_invalid"),
        ({"payment": "pi_x"}, "id_malformed"),
        ({"payment": NOWHERE, "reference": "a"}, "request_invalid"),
        ({"reference": ""}, "request_invalid"),
        ({"surprise": 1}, "request_invalid"),
    ],
)
async def test_payment_that_makes_no_sense_is_refused(
    whole: Whole, tenant: Tenant, fields: Json, code: str
) -> None:
    answer = await whole.send(tenant, "POST", f"{OWN}/assess", json=order(tenant, **fields))
    assert refusal(answer) == (400, code), answer.text
    (name,) = [each for each in fields if each not in {"longitude", "reference"}] or ["reference"]
    told_about = {"amount_minor", "value", "latitude", "payment"}
    if code == "request_invalid" and name not in told_about and fields.get("amount_minor", 1):
        assert name in answer.json()["error"]["detail"]


async def test_value_in_hundredths_and_amount_in_minor_units_are_one(whole: Whole, tenant: Tenant) -> None:
    for currency, fields, value in (
        ("JPY", {"amount_minor": 500}, 50_000),
        ("KWD", {"amount_minor": 5_000}, 500),
        ("EUR", {"amount_minor": None, "value": 500}, 500),
    ):
        found = await judged(whole, tenant, currency=currency, **fields)
        decision = await whole.get(tenant, f"/v2/decisions/{found['decision']}")
        assert decision["context"]["value"] == value, currency


async def test_look_tells_everything_that_became_known(whole: Whole, tenant: Tenant) -> None:
    found = await judged(whole, tenant, device_signs=["vpn", "emulator"], latitude=52.5, longitude=13)
    await settled(whole)
    label = await whole.post(tenant, f"{OWN}/labels", {"payment": found["payment"], "is_fraud": True})
    assert (label["decision"], label["source"], label["is_fraud"]) == (found["decision"], "api", True)
    assert label["actor"].startswith("key:")
    await settled(whole)
    (look,) = (await whole.get(tenant, f"{OWN}/looks/{found['payment']}"))["data"]
    assert look["decision"] == found["decision"]
    assert (look["value"], look["currency"], look["method"]) == (3_000, "EUR", "card")
    assert look["entities"]["customer"] == key(tenant, "cus")
    assert look["entities"]["merchant"] == str(tenant.scope.book_id)
    assert (look["is_fraud"], look["label_source"], look["is_approved"]) == (True, "api", None)
    assert look["reasons"][0]["words"]["zh"]
    again = {"payment": found["payment"], "is_fraud": False}
    await whole.post(tenant, f"{OWN}/labels", again)
    await settled(whole)
    (look,) = (await whole.get(tenant, f"{OWN}/looks/{found['payment']}"))["data"]
    assert look["is_fraud"] is False


async def test_label_needs_a_payment_that_was_judged(whole: Whole, tenant: Tenant) -> None:
    for body, status, code in (
        ({"payment": NOWHERE, "is_fraud": True}, 404, "payment_not_judged"),
        ({"reference": "never", "is_fraud": True}, 404, "payment_not_judged"),
        ({"is_fraud": True}, 400, "request_invalid"),
        ({"payment": NOWHERE}, 400, "request_invalid"),
        ({"payment": "x", "is_fraud": True}, 400, "id_malformed"),
    ):
        assert await whole.refused(tenant, "POST", f"{OWN}/labels", body) == (status, code), body


async def test_payments_of_another_merchant_or_mode_are_unknown(whole: Whole, tenant: Tenant) -> None:
    found = await judged(whole, tenant)
    await settled(whole)
    theirs, live = await whole.tenant(), await whole.tenant(tenant.merchant, live=True)
    for other in (theirs, live):
        path = f"{OWN}/looks/{found['payment']}"
        assert await whole.refused(other, "GET", path) == (404, "payment_not_judged")
        path = f"{OWN}/decisions/{found['decision']}/explanation"
        assert await whole.refused(other, "GET", path) == (404, "decision_unknown")
        body = {"payment": found["payment"], "is_fraud": True}
        assert await whole.refused(other, "POST", f"{OWN}/labels", body) == (404, "payment_not_judged")
    for path in (f"{OWN}/looks/{NOWHERE}", f"{OWN}/decisions/dec_00000000000000000000000000/explanation"):
        assert (await whole.refused(tenant, "GET", path))[0] == 404
    for path in (f"{OWN}/looks/x", f"{OWN}/decisions/x/explanation"):
        assert await whole.refused(tenant, "GET", path) == (404, "resource_missing")


async def test_shares_count_the_tiers_of_a_time(whole: Whole, tenant: Tenant) -> None:
    await rule(whole, tenant, DEAR)
    for amount in (1_000, 1_500, 3_000):
        await judged(whole, tenant, amount_minor=amount)
    await settled(whole)
    found = await whole.get(tenant, f"{OWN}/shares")
    assert found["payment_count"] == 3
    assert [(each["tier"], each["payment_count"]) for each in found["data"]] == [
        ("frictionless", 2),
        ("review", 1),
    ]
    assert math.isclose(sum(each["share"] for each in found["data"]), 1)
    span: Json = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
    assert (await whole.get(tenant, f"{OWN}/shares", **span))["data"] == []
    for wrong in ({"from": span["to"], "to": span["from"]}, {"from": span["from"]}):
        assert await whole.refused(tenant, "GET", f"{OWN}/shares", **wrong) == (400, "risk_span_invalid")


async def test_explanation_is_found_again_exactly_and_adds_up(whole: Whole, tenant: Tenant) -> None:
    await judged(whole, tenant, card="card-x")
    await settled(whole)
    found = await judged(whole, tenant, card="card-x", amount_minor=900_000, device_signs=["emulator"])
    await settled(whole)
    for _ in range(3):  # what happens later changes nothing
        await judged(whole, tenant, card="card-x")
    await settled(whole)
    told_ = await whole.get(tenant, f"{OWN}/decisions/{found['decision']}/explanation")
    assert told_["is_reproduced"]
    account = told_["account"]
    total = account["base"] + sum(each["log_odds"] for each in account["parts"])
    assert math.isclose(total, account["raw"], abs_tol=1e-6)
    assert math.isclose(
        sum(each["log_odds"] for each in account["contributions"]),
        account["raw"] - account["base"],
        abs_tol=0.1,
    )
    assert account["chance"] == found["score"]
    assert account["contributions"][0]["words"]["en"]
    assert (told_["tier"], told_["model"]) == (found["tier"], "")


async def test_explanation_says_where_it_cannot_be_given(whole: Whole, tenant: Tenant) -> None:
    found = await judged(whole, tenant)
    path = f"{OWN}/decisions/{found['decision']}/explanation"
    early = await whole.get(tenant, path)
    assert (early["is_reproduced"], early["account"]) == (False, None)
    assert "cannot be found again" in early["words"]["en"]
    await settled(whole)
    assert (await whole.get(tenant, path))["is_reproduced"]
    payment = await whole.pay(tenant)
    decisions = (await whole.get(tenant, f"/v2/payments/{payment}/decisions"))["data"]
    routed = next(each for each in decisions if each["kind"] == "routing")
    wrong = f"{OWN}/decisions/{routed['id']}/explanation"
    assert await whole.refused(tenant, "GET", wrong) == (404, "decision_unknown")


async def test_list_blocks_and_is_taken_back(whole: Whole, tenant: Tenant) -> None:
    body: Json = {"name": "bad devices", "effect": "block", "note": "seen in fraud"}
    made = await whole.post(tenant, f"{OWN}/lists", body, 201)
    assert (made["name"], made["effect"], made["live"]) == ("bad devices", "block", False)
    assert await whole.post(tenant, f"{OWN}/lists", body, 201) == made
    path = f"{OWN}/lists/bad devices/entries"
    entry: Json = {"kind": "device", "value": "dev-bad", "reason": "stolen"}
    (added,) = (await whole.post(tenant, path, {"entries": [entry]}, 201))["data"]
    assert (added["id"][:3], added["stands"], added["list"]) == ("le_", True, "bad devices")
    await settled(whole)
    blocked = await judged(whole, tenant, device="dev-bad")
    assert (blocked["tier"], blocked["reasons"][0]["code"]) == ("decline", "listed_blocked")
    assert "bad devices" in blocked["reasons"][0]["words"]["zh"]
    assert (await judged(whole, await whole.tenant(), device="dev-bad"))["tier"] == "frictionless"

    removed = await whole.post(tenant, f"{OWN}/list_entries/{added['id']}/remove", {"reason": "a mistake"})
    assert (removed["stands"], removed["removed_because"]) == (False, "a mistake")
    assert await whole.get(tenant, f"{OWN}/list_entries/{added['id']}") == removed
    assert (await whole.get(tenant, path))["data"] == []
    assert (await whole.get(tenant, path, history="true"))["data"] == [removed]
    await settled(whole)
    assert (await judged(whole, tenant, device="dev-bad"))["tier"] == "frictionless"
    assert [each["name"] for each in (await whole.get(tenant, f"{OWN}/lists"))["data"]] == ["bad devices"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/lists", {"name": "Bad", "effect": "block", "note": "x"}, 400, "list_invalid"),
        ("/lists", {"name": "good", "effect": "block", "note": "x"}, 409, "list_exists"),
        ("/lists", {"name": "good", "effect": "ban", "note": "x"}, 400, "request_invalid"),
        ("/lists/none/entries", {"entries": [{"kind": "card", "value": "c", "reason": "r"}]}, 404, "list_not_found"),
        ("/lists/good/entries", {"entries": []}, 400, "request_invalid"),
        ("/lists/good/entries", {"entries": [{"kind": "mcc", "value": "1", "reason": "r"}]}, 400, "list_entry_invalid"),
        ("/lists/good/entries", {"entries": [{"kind": "card", "value": "c", "reason": ""}]}, 400, "list_entry_invalid"),
        ("/lists/good/entries", {"entries": [{"kind": "card", "value": "c", "reason": "r"}] * 2}, 400, "list_entry_invalid"),
        ("/lists/good/entries", {"entries": [{"kind": "card", "value": "known", "reason": "r", "expires_at": "2190-01-01T00:00:00Z"}]}, 409, "list_entry_exists"),
        ("/list_entries/le_00000000000000000000000000/remove", {"reason": "r"}, 404, "list_entry_not_found"),
        ("/list_entries/x/remove", {"reason": "r"}, 404, "resource_missing"),
    ],
)  # fmt: skip
async def test_act_on_lists_that_makes_no_sense_is_refused(
    whole: Whole, tenant: Tenant, path: str, body: Any, status: int, code: str
) -> None:
    await whole.post(tenant, f"{OWN}/lists", {"name": "good", "effect": "allow", "note": "known"}, 201)
    known: Json = {"entries": [{"kind": "card", "value": "known", "reason": "r"}]}
    await whole.post(tenant, f"{OWN}/lists/good/entries", known, 201)
    assert await whole.refused(tenant, "POST", OWN + path, body) == (status, code)


async def test_list_of_another_merchant_is_unknown(whole: Whole, tenant: Tenant) -> None:
    await whole.post(tenant, f"{OWN}/lists", {"name": "mine", "effect": "mark", "note": "x"}, 201)
    body: Json = {"entries": [{"kind": "card", "value": "c", "reason": "r"}]}
    (entry,) = (await whole.post(tenant, f"{OWN}/lists/mine/entries", body, 201))["data"]
    theirs = await whole.tenant()
    path = f"{OWN}/lists/mine/entries"
    assert await whole.refused(theirs, "GET", path) == (404, "list_not_found")
    path = f"{OWN}/list_entries/{entry['id']}"
    assert await whole.refused(theirs, "GET", path) == (404, "list_entry_not_found")
    found = await whole.refused(theirs, "POST", f"{path}/remove", {"reason": "r"})
    assert found == (404, "list_entry_not_found")
    async with whole.operator(OperatorRole.RISK) as browser:
        found = refusal(await browser.get(f"{HOUSE}/list_entries/{entry['id']}"))
        assert found == (404, "list_entry_not_found")


async def test_list_of_the_house_applies_to_every_merchant(whole: Whole, tenant: Tenant) -> None:
    async with whole.operator(OperatorRole.RISK) as browser:
        body = {"name": "house", "effect": "block", "note": "x"}
        told(await browser.post(f"{HOUSE}/lists", json=body), 201)
        entries = {"entries": [{"kind": "card", "value": "card-house", "reason": "r"}]}
        (entry,) = told(await browser.post(f"{HOUSE}/lists/house/entries", json=entries), 201)["data"]
        await settled(whole)
        assert (await judged(whole, tenant, card="card-house"))["tier"] == "decline"
        live = await browser.get(f"{HOUSE}/list_entries/{entry['id']}", headers={"Tongbao-Mode": "live"})
        assert refusal(live) == (404, "list_entry_not_found")
    assert (await whole.get(tenant, f"{OWN}/lists"))["data"] == []


async def test_rules_are_checked_with_their_tests_and_compared(whole: Whole, tenant: Tenant) -> None:
    await rule(whole, tenant, DEAR)
    text = (
        'dear: when amount > 30 EUR then review because "dear" owner mei\n'
        '    test "forty": amount = 40 EUR -> matches\n'
        '    test "ten": amount = 10 EUR -> matches\n'
        'fresh: when card_history < 1 then watch because "new" owner mei draft\n'
    )
    found = await whole.post(tenant, f"{OWN}/rules/check", {"text": text})
    assert (found["valid"], found["test_count"], found["errors"]) == (False, 2, [])
    (failed,) = found["failed_tests"]
    assert (failed["rule"], failed["test"]) == ("dear", "ten")
    assert "应命中" in failed["words"]["zh"]
    assert (found["diff"]["added"], found["diff"]["removed"]) == (["fresh"], [])
    assert found["diff"]["changed"][0]["parts"][0]["part"] == "condition"
    assert "condition from amount > 20.00 EUR to amount > 30.00 EUR" in " ".join(
        found["diff"]["sentences_en"]
    )
    same = await whole.post(tenant, f"{OWN}/rules/check", {"text": DEAR})
    assert (same["valid"], same["diff"]["is_empty"]) == (True, True)
    broken = await whole.post(tenant, f"{OWN}/rules/check", {"text": "a: when amont > 1 EUR then review"})
    (error,) = broken["errors"]
    assert (broken["valid"], error["line"], error["suggestion"]) == (False, 1, "amount")
    unknown = 'a: when listed("none") then review because "b" owner c\n'
    assert not (await whole.post(tenant, f"{OWN}/rules/check", {"text": unknown}))["valid"]
    starter = (await whole.get(tenant, f"{OWN}/rules/starter"))["text"]
    suspects: Json = {"name": "suspects", "effect": "mark", "note": "x"}
    await whole.post(tenant, f"{OWN}/lists", suspects, 201)
    assert (await whole.post(tenant, f"{OWN}/rules/check", {"text": starter}))["valid"]


async def test_backtest_tells_what_rules_would_have_done(whole: Whole, tenant: Tenant) -> None:
    answers = [await judged(whole, tenant, amount_minor=1_000 * number) for number in range(1, 6)]
    await settled(whole)
    await whole.post(tenant, f"{OWN}/labels", {"payment": answers[4]["payment"], "is_fraud": True})
    await settled(whole)
    body = {**whole.span(), "new": DEAR}
    found = await whole.post(tenant, f"{OWN}/rules/backtest", body)
    assert found["payments"]["all"] == {"count": 5, "amounts": {"EUR": 15_000}}
    (result,) = found["rules"]
    assert (result["name"], result["matched"]["all"]["count"]) == ("dear", 3)
    assert result["matched"]["disputed"]["count"] == 1
    assert (found["raised"]["bad"]["count"], found["lowered"]["bad"]["count"]) == (1, 0)
    assert (found["stopped_count"], found["unproved_count"]) == (0, 0)
    assert "dear" in result["words"]["en"]
    for wrong, code in (
        ({**body, "new": "nonsense"}, "rules_invalid"),
        ({**body, "from": body["to"], "to": body["from"]}, "backtest_span_invalid"),
        ({**body, "old": 5}, "request_invalid"),
    ):
        assert await whole.refused(tenant, "POST", f"{OWN}/rules/backtest", wrong) == (400, code)


async def test_policy_of_a_merchant_is_replayed_before_a_second_version_is_published(
    whole: Whole, tenant: Tenant
) -> None:
    path = "/v2/policies/risk"
    await rule(whole, tenant, DEAR, explore_share=0.2)
    answers = [await judged(whole, tenant, amount_minor=1_000 * number) for number in range(1, 7)]
    await settled(whole)
    for each in answers:
        body = {"payment": each["payment"], "is_fraud": each is answers[-1]}
        await whole.post(tenant, f"{OWN}/labels", body)
    await settled(whole)
    assert await whole.refused(tenant, "POST", f"{path}/versions/1/publish") == (409, "policy_not_replayed")
    second = await whole.post(tenant, f"{path}/versions", {"spec": {"explore_share": 0.1}})
    assert await whole.refused(tenant, "POST", f"{path}/versions/2/publish") == (409, "policy_not_replayed")
    report = await whole.post(tenant, f"{path}/versions/2/replay", whole.span())
    assert (report["outcome"], report["version"], report["verdict"]) == ("cost", second["version"], "refused")
    assert report["refusal"] == "count_small"
    assert (await whole.post(tenant, f"{path}/versions/2/publish"))["state"] == "published"
    for fields, code in (
        ({"spec": {"fallback": "nothing"}}, "policy_spec_invalid"),
        ({"spec": {"rules": DEAR + '    test "x": amount = 1 EUR -> matches\n'}}, "policy_spec_invalid"),
    ):
        assert await whole.refused(tenant, "POST", f"{path}/versions", fields) == (400, code)
    tenant.key = await whole.key(tenant, Permission.RISK_READ)
    assert await whole.refused(tenant, "POST", f"{path}/versions", {"spec": {}}) == (
        403,
        "permission_missing",
    )
    assert (await whole.get(tenant, path))["rollout"]["champion"] == 1


async def test_models_and_their_cards_are_the_houses(whole: Whole, tenant: Tenant) -> None:
    digest = await whole.house.risk.shelf.keep(artifact.by_judgement(NAMES), "tests", {})
    async with whole.operator(OperatorRole.OPERATOR_L1) as browser:
        (model,) = told(await browser.get(f"{HOUSE}/models"))["data"]
        assert (model["digest"], model["kind"], model["in_force"]) == (digest, "scorecard", False)
        assert told(await browser.get(f"{HOUSE}/models/{digest}")) == model
        card = await browser.get(f"{HOUSE}/models/{digest}/card")
        assert refusal(card) == (404, "model_card_missing")
        assert refusal(await browser.get(f"{HOUSE}/models/00")) == (404, "model_unknown")
    assert (await whole.send(tenant, "GET", f"{HOUSE}/models")).status_code == 401


async def test_house_sees_the_payments_of_all_merchants_in_a_mode(whole: Whole, tenant: Tenant) -> None:
    found = await judged(whole, tenant)
    await settled(whole)
    async with whole.operator(OperatorRole.RISK) as browser:
        (look,) = told(await browser.get(f"{HOUSE}/looks/{found['payment']}"))["data"]
        assert look["decision"] == found["decision"]
        assert told(await browser.get(f"{HOUSE}/shares"))["payment_count"] > 0
        path = f"{HOUSE}/decisions/{found['decision']}/explanation"
        assert told(await browser.get(path))["is_reproduced"]
        body = {"payment": found["payment"], "is_fraud": True}
        assert told(await browser.post(f"{HOUSE}/labels", json=body))["actor"].startswith("person:")
        for path, code in (
            (f"{HOUSE}/looks/{NOWHERE}", "payment_not_judged"),
            (f"{HOUSE}/decisions/{uuid_text('dec', whole.ids.uuid())}/explanation", "decision_unknown"),
        ):
            assert refusal(await browser.get(path)) == (404, code)
        named = await browser.post(f"{HOUSE}/labels", json={"reference": "a", "is_fraud": True})
        assert refusal(named) == (400, "reference_ambiguous")
    async with whole.operator(OperatorRole.OPERATOR_L1) as browser:
        refused = await browser.post(f"{HOUSE}/labels", json=body)
        assert refusal(refused) == (403, "permission_missing")


async def test_calls_need_their_permissions(whole: Whole, tenant: Tenant) -> None:
    reads = [each for each in Permission if each is not Permission.RISK_READ]
    writes = [each for each in Permission if each is not Permission.RISK_WRITE]
    paths = (await whole.http.get("/v2/openapi.json")).json()["paths"]
    asked = 0
    questions = ("/rules/check", "/rules/backtest")
    for path, operations in paths.items():
        if not path.startswith((f"{OWN}/", "/v2/policies/risk")):
            continue
        filled = re.sub(r"{version}", "1", re.sub(r"{(?!version)[a-z]+}", "x", path))
        for method in operations:
            is_read = method == "get" or path.endswith(questions)
            tenant.key = await whole.key(tenant, *(reads if is_read else writes))
            found = await whole.refused(tenant, method.upper(), filled)
            assert found == (403, "permission_missing"), (method, path)
            answer = await whole.http.request(method, filled)
            assert answer.status_code == 401, (method, path)
            asked += 1
    assert asked == 56


async def test_reference_page_lists_every_route_of_risk_control(whole: Whole) -> None:
    page = PAGE.read_text(encoding="utf-8")
    paths = (await whole.http.get("/v2/openapi.json")).json()["paths"]
    listed = 0
    for path, operations in paths.items():
        if "/risk" not in path:
            continue
        # Those of the house are named as a whole, but for models and settings of cases, which are its alone.
        is_house = "/risk/models" in path or "/risk/case_settings" in path
        own = path if is_house else path.replace("/operations", "")
        right = r"operations\.read|cases\.read|rules\.write" if is_house else r"risk\.(read|write)"
        for method in operations:
            line = rf"\| `{method.upper()} {re.escape(own)}` \| `({right})` \|"
            assert re.search(line, page), (method, path)
            listed += 1
    assert listed == 107
