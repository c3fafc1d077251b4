"""Decisions under ``/v2``: why a payment went where it went, what came of it, and who may know."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.web.whole_house import CHANNELS, Whole, open_whole

from tongbao.core.db import Database
from tongbao.parties.schema import Permission

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api-v2.md"
OF_CLEARING = ("/risk", "/settlements", "/payouts", "/receipts", "/adjustments", "/demands", "/debts")
"""Told on the same page, by tests of their own."""
ROUTES = ("/v2/decisions", "/v2/policies", "/v2/routing", "/v2/experiments", "/v2/operations")


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    home: Path = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home) as opened:
        yield opened


async def test_payment_by_the_stripe_face_leaves_a_decision_with_reasons_and_outcome(whole: Whole) -> None:
    tenant = await whole.tenant()
    payment = await whole.pay(tenant)
    decision = await whole.routed(tenant, payment)
    assert decision["object"] == "decision"
    assert (decision["kind"], decision["payment"], decision["live"]) == ("routing", payment, False)
    assert decision["attempt"].startswith("pa_")
    assert (decision["policy_version"], decision["arm"]) == ("routing@0", "champion")
    assert decision["context"]["currency"] == "CNY"
    open_to_choice = {each["name"]: each for each in decision["candidates"] if each["excluded"] is None}
    assert set(open_to_choice) == set(CHANNELS)
    assert sum(each["propensity"] for each in decision["candidates"]) == pytest.approx(1)
    assert decision["propensity"] == open_to_choice[decision["chosen"]]["propensity"] > 0
    wallet = next(each for each in decision["candidates"] if each["name"] == "wallet")
    assert (wallet["excluded"], wallet["propensity"]) == ("method_not_supported", 0)
    assert wallet["excluded_words"] == {"zh": "不支持该支付方式", "en": "does not take this method"}
    assert decision["reasons"][0]["code"] in {"learned", "explored"}
    assert decision["reasons"][0]["words"]["zh"]
    assert decision["why"]["en"].startswith(f"Over {decision['chosen']}: ")
    assert decision["why"]["zh"].startswith(f"经由 {decision['chosen']}：")
    assert decision["latency_us"] > 0
    (news,) = decision["outcomes"]
    assert (news["name"], news["value"], news["label"], news["source"]) == (
        "approved",
        1.0,
        "approved",
        "answer",
    )
    assert await whole.get(tenant, f"/v2/decisions/{decision['id']}") == decision


async def test_decision_of_another_merchant_or_mode_is_unknown(whole: Whole) -> None:
    ours, theirs = await whole.tenant(), await whole.tenant()
    live = await whole.tenant(ours.merchant, live=True)
    payment = await whole.pay(ours)
    decision = await whole.routed(ours, payment)
    for other in (theirs, live):
        assert await whole.refused(other, "GET", f"/v2/payments/{payment}/decisions") == (
            404,
            "resource_missing",
        )
        assert await whole.refused(other, "GET", f"/v2/decisions/{decision['id']}") == (
            404,
            "decision_unknown",
        )


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/decisions/dec_01m81s34p4e9nv59tdwh9edd1r", "decision_unknown"),
        ("/v2/decisions/dec_x", "resource_missing"),
        ("/v2/decisions/pi_00000000000000000000000000", "resource_missing"),
        ("/v2/decisions/%00", "resource_missing"),
        ("/v2/payments/pi_00000000000000000000000000/decisions", "resource_missing"),
        ("/v2/payments/%ff/decisions", "resource_missing"),
    ],
)
async def test_decision_by_an_id_that_names_nothing_is_not_found(whole: Whole, path: str, code: str) -> None:
    assert await whole.refused(await whole.tenant(), "GET", path) == (404, code)


async def test_decision_is_read_with_the_permission_for_payments_alone(whole: Whole) -> None:
    tenant = await whole.tenant()
    path = f"/v2/payments/{await whole.pay(tenant)}/decisions"
    tenant.key = await whole.key(tenant, Permission.PAYMENTS_READ)
    assert (await whole.get(tenant, path))["data"]
    others = [each for each in Permission if each is not Permission.PAYMENTS_READ]
    tenant.key = await whole.key(tenant, *others)
    assert await whole.refused(tenant, "GET", path) == (403, "permission_missing")
    answer = await whole.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "api_key_missing")


async def test_reference_page_lists_every_route_around_decisions(whole: Whole) -> None:
    page = PAGE.read_text(encoding="utf-8")
    paths = (await whole.http.get("/v2/openapi.json")).json()["paths"]
    listed = 0
    for path, operations in paths.items():
        if not path.startswith(ROUTES) or any(each in path for each in OF_CLEARING):
            continue
        # Those of the house are named as a whole: each is one of a merchant's.
        own = path.replace("/operations/policies/{name}", "/policies/routing").replace("/operations", "")
        for method in operations:
            line = rf"\| `{method.upper()} {re.escape(own)}` \| `(payments|routing|experiments)\.(read|write)` \|"
            assert re.search(line, page), (method, path)
            listed += 1
    assert listed == 50
