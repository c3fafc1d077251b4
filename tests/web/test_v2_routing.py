"""Routing under ``/v2``: health, the doctor, announcements, rules, and payments that are only supposed."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import OperatorRole, Permission
from tongbao.routing.schema.notices import Notice, NoticeKind
from tongbao.routing.store import notices, tallies
from tongbao.routing.store.tallies import Key, Sums

OWN = "/v2/routing"
HOUSE = "/v2/operations/routing"
SUPPOSED: Json = {"amount_minor": 5_000, "currency": "cny", "method": "card", "issuer": "424242"}
RULES = "Big ones:   when amount > 100 CNY then prefer west,east"
BIG_WEST = "big: when amount > 10 CNY then prefer west\n"
AVOID_ALL = "never: when amount > 1 CNY then avoid east, west"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def tenant(whole: Whole) -> Tenant:
    return await whole.tenant()


async def tallied(whole: Whole, tenant: Tenant, at: datetime, counts: dict[tuple[str, str], int]) -> None:
    """Store tallies of one minute: counts by mark and code, all over one channel."""
    minute = at.replace(second=0, microsecond=0)
    book_id, live = tenant.scope.book_id, tenant.scope.live
    async with whole.house.runtime.database.transaction() as connection:
        await tallies.add(
            connection,
            [
                (
                    Key(book_id, minute, live, "east", "card", "424242", "CNY", mark, code),
                    Sums(count, 100 * count, 30 * count),
                )
                for (mark, code), count in counts.items()
            ],
        )


async def announced(whole: Whole, kind: NoticeKind, facts: dict[str, str | int | float]) -> str:
    """The id of an announcement about a channel in test mode."""
    notice = Notice(
        id=whole.ids.uuid(), at=whole.clock.now(), kind=kind, channel="east", live=False, method="card", facts=facts
    )  # fmt: skip
    async with whole.house.runtime.database.transaction() as connection:
        await notices.insert(connection, [notice])
    return uuid_text("note", notice.id)


async def test_payments_are_counted_for_their_merchant_and_the_house(whole: Whole, tenant: Tenant) -> None:
    other = await whole.tenant()
    for payer, count in ((tenant, 3), (other, 2)):
        for _ in range(count):
            await whole.pay(payer)
    await whole.tally()
    whole.clock.advance(timedelta(minutes=1))
    found = await whole.get(tenant, f"{OWN}/health", by=["channel", "method", "issuer", "currency", "code"])
    assert sum(row["counts"]["approved"] for row in found["rates"]) == 3
    assert found["rates"][0]["segment"].keys() == {"channel", "method", "issuer", "currency"}
    assert found["rates"][0]["approval"]["value"] == 1.0
    assert found["codes"] == []  # an approval has none
    plain = await whole.get(tenant, f"{OWN}/health")
    assert {tuple(row["segment"]) for row in plain["rates"]} == {("channel",)}
    series = await whole.get(tenant, f"{OWN}/series", step="minute")
    assert sum(point["counts"]["approved"] for point in series["points"]) == 3
    async with whole.operator(OperatorRole.OPERATOR_L1) as browser:
        everything = told(await browser.get(f"{HOUSE}/health"))
        assert sum(row["counts"]["approved"] for row in everything["rates"]) >= 5
        live = told(await browser.get(f"{HOUSE}/health", headers={"Tongbao-Mode": "live"}))
        assert live["rates"] == []


async def test_doctor_says_in_words_why_less_is_approved(whole: Whole, tenant: Tenant) -> None:
    now = whole.clock.now()
    before = {("approved", ""): 950, ("issuer_declined", "do_not_honor"): 50}
    after = {
        ("approved", ""): 700,
        ("issuer_declined", "do_not_honor"): 50,
        ("technical", "channel_error"): 250,
    }
    await tallied(whole, tenant, now - timedelta(hours=3), before)
    await tallied(whole, tenant, now - timedelta(hours=1), after)
    span: Json = {
        "from": (now - timedelta(hours=2)).isoformat(),
        "to": now.isoformat(),
        "baseline_from": (now - timedelta(hours=4)).isoformat(),
    }
    found = await whole.get(tenant, f"{OWN}/doctor", **span)
    assert found["verdict"] == "fell"
    assert (found["baseline"]["approved"], found["current"]["approved"]) == (950, 700)
    assert "from 95.0% to 70.0%" in found["words"]["en"]
    assert "由 95.0% 降至 70.0%" in found["words"]["zh"]
    cause = found["causes"][0]
    assert (cause["fault"], cause["codes"]) == ("technical", ["channel_error"])
    assert "通道技术故障" in cause["words"]["zh"]
    assert "technical failures of the channel" in cause["words"]["en"]
    assert cause["actions"]
    assert all(action["words"]["en"] and action["words"]["zh"] for action in cause["actions"])
    health = await whole.get(tenant, f"{OWN}/health", by=["code"])
    shown = [(row["code"], row["mark"], row["count"]) for row in health["codes"]]
    assert shown == [("channel_error", "technical", 250), ("do_not_honor", "issuer_declined", 100)]
    quiet = await whole.get(await whole.tenant(), f"{OWN}/doctor", **span)
    assert (quiet["verdict"], quiet["causes"]) == ("too_few", [])


async def test_announcements_are_told_to_merchants_without_the_numbers_of_the_house(
    whole: Whole, tenant: Tenant
) -> None:
    first = await announced(whole, NoticeKind.OPENED, {"technical_rate": 0.5, "code": "channel_error"})
    whole.clock.advance(timedelta(seconds=1))
    second = await announced(whole, NoticeKind.ACCEPTANCE_FELL, {"before": 0.9, "after": 0.8})
    page = await whole.get(tenant, f"{OWN}/notices", limit=1)
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([second], True)
    rest = await whole.get(tenant, f"{OWN}/notices", after=second, channel="east")
    (opened,) = rest["data"]
    assert (opened["id"], opened["facts"]) == (first, {})
    assert opened["words"]["en"] == "Channel east, method card is out of traffic for technical failures."
    assert opened["words"]["zh"] == "通道 east、支付方式 card因技术故障暂停。"
    assert (await whole.get(tenant, f"{OWN}/notices", channel="west"))["data"] == []
    async with whole.operator(OperatorRole.OPERATOR_L1) as browser:
        fell, opened = told(await browser.get(f"{HOUSE}/notices"))["data"]
    assert opened["facts"]["technical_rate"] == 0.5
    assert opened["words"]["en"].endswith(", 50.0% technical failures.")
    assert fell["words"]["en"].endswith("fell, from 90.0% to 80.0%.")


async def test_rules_are_read_back_in_their_canonical_form(whole: Whole, tenant: Tenant) -> None:
    checked = await whole.post(tenant, f"{OWN}/rules/check", {"text": RULES})
    assert checked["text"] == "Big ones: when amount > 100.00 CNY then prefer west, east\n"
    assert (checked["valid"], checked["errors"]) == (True, [])
    (rule,) = checked["rules"]
    assert (rule["name"], rule["action"], rule["channels"]) == ("Big ones", "prefer", ["west", "east"])
    again = await whole.post(tenant, f"{OWN}/rules/check", {"text": checked["text"]})
    assert again == checked


@pytest.mark.parametrize(
    ("text", "problem", "line", "suggestion"),
    [
        ("a: when amount > 1 CNY then prefer wset", "unknown_channel", 1, "west"),
        ("a: when amount > 1 CNY then prefer east\nb: when methd == 'card' then avoid west", "unknown_field", 2, "method"),
        ("a: when amount > then avoid west", "syntax", 1, None),
        ("nonsense", "name", 1, None),
        ("#" * 30_000, "too_long", 1, None),
        ("a: when amount > 1 CNY then split east 70, west 40", "shares", 1, None),
    ],
)  # fmt: skip
async def test_rules_that_are_wrong_are_told_where(
    whole: Whole, tenant: Tenant, text: str, problem: str, line: int, suggestion: str | None
) -> None:
    checked = await whole.post(tenant, f"{OWN}/rules/check", {"text": text})
    assert (checked["valid"], checked["text"], checked["rules"]) == (False, None, [])
    (error,) = checked["errors"]
    assert (error["problem"], error["line"], error["suggestion"]) == (problem, line, suggestion)
    assert error["column"] >= 1
    assert error["detail"].startswith(f"line {line}, column {error['column']}: ")


async def test_rules_are_tried_on_the_payments_of_the_log(whole: Whole, tenant: Tenant) -> None:
    payment = await whole.pay(tenant)
    ends: list[tuple[str, bool | None]] = [("east", True)] * 40
    ends += [("east", False)] * 10
    ends += [("west", True)] * 45
    ends += [("west", False)] * 5
    ends += [("east", None)] * 3
    await whole.plant(tenant, payment, ends)
    chosen = (await whole.routed(tenant, payment))["chosen"]
    tested = await whole.post(tenant, f"{OWN}/rules/backtest", {"new": BIG_WEST} | whole.span())
    assert (tested["payments_count"], tested["without_outcome_count"]) == (101, 3)
    moved = 50 + (chosen == "east")
    assert tested["changed_count"] == moved
    (rule,) = tested["rules"]
    assert (rule["name"], rule["matched_count"]) == ("big", 101)
    (move,) = rule["moves"]
    assert (move["from_channel"], move["to_channel"], move["count"]) == ("east", "west", moved)
    assert (move["seen"]["count"], move["there"]["count"]) == (moved, 101 - moved)
    assert f"{moved} payments would have left east" in move["words"]["en"]
    assert f"{moved} 笔付款将离开 east" in move["words"]["zh"]
    undone = await whole.post(tenant, f"{OWN}/rules/backtest", {"new": "", "old": BIG_WEST} | whole.span())
    assert (undone["rules"], undone["released"][0]["rule"]) == ([], "big")
    nothing = await whole.post(await whole.tenant(), f"{OWN}/rules/backtest", {"new": RULES} | whole.span())
    assert nothing["payments_count"] == 0
    async with whole.operator(OperatorRole.OPERATOR_L1) as browser:
        body = {"new": BIG_WEST} | whole.span()
        everything = told(await browser.post(f"{HOUSE}/rules/backtest", json=body))
    assert everything["payments_count"] >= 101


async def test_old_rules_of_a_backtest_are_those_in_force(whole: Whole, tenant: Tenant) -> None:
    await whole.post(tenant, "/v2/policies/routing/versions", {"spec": {"rules": BIG_WEST}})
    await whole.post(tenant, "/v2/policies/routing/versions/1/publish")
    await whole.post(tenant, "/v2/policies/routing/rollout", {"champion": 1})
    await whole.follow()
    await whole.pay(tenant)
    tested = await whole.post(tenant, f"{OWN}/rules/backtest", {"new": BIG_WEST} | whole.span())
    assert (tested["payments_count"], tested["changed_count"]) == (1, 0)


async def test_supposed_payment_is_chosen_for_and_leaves_no_trace(whole: Whole, tenant: Tenant) -> None:
    found = await whole.post(tenant, f"{OWN}/simulate", SUPPOSED)
    names = {each["name"]: each for each in found["candidates"]}
    assert found["chosen"] in {"east", "west"}
    assert [found["chosen"], *found["fallbacks"]] in (["east", "west"], ["west", "east"])
    assert names["wallet"]["excluded"] == "method_not_supported"
    assert sum(each["propensity"] for each in found["candidates"]) == pytest.approx(1)
    assert found["why"]["en"].startswith(f"Over {found['chosen']}: ")
    assert found["context"]["merchant_country"] == "CN"
    assert found["context"]["mcc"] == "5814"
    before = whole.house.routing.volumes.used(False, found["chosen"])
    await whole.post(tenant, f"{OWN}/simulate", SUPPOSED)
    assert whole.house.routing.volumes.used(False, found["chosen"]) == before
    async with whole.house.runtime.database.connection() as connection:
        count = await connection.fetchval(
            "SELECT count(*) FROM decisions.decision WHERE book_id = $1", tenant.scope.book_id
        )
    assert count == 0


async def test_supposed_payment_follows_the_rules_of_its_merchant(whole: Whole, tenant: Tenant) -> None:
    versions = "/v2/policies/routing/versions"
    await whole.post(tenant, versions, {"spec": {"rules": BIG_WEST}})
    await whole.post(tenant, f"{versions}/1/publish")
    await whole.post(tenant, "/v2/policies/routing/rollout", {"champion": 1})
    await whole.follow()
    found = await whole.post(tenant, f"{OWN}/simulate", SUPPOSED)
    assert (found["chosen"], found["propensity"]) == ("west", 1.0)
    assert found["reasons"][0]["words"]["en"] == "the merchant's rule “big”"
    async with whole.operator(OperatorRole.OPERATOR_L1) as browser:
        house = told(await browser.post(f"{HOUSE}/simulate", json=SUPPOSED))
    assert house["policy_version"] == "routing@0"
    assert "mcc" not in house["context"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"currency": "jpy"}, 409, "no_channel"),
        ({"method": "cowrie"}, 409, "no_channel"),
        ({"method": "wallet"}, 200, ""),
        ({"method": "\0"}, 400, "request_invalid"),
        ({"amount_minor": 0}, 400, "request_invalid"),
        ({"amount_minor": 2**63}, 400, "request_invalid"),
        ({"presentment": "smoke"}, 400, "request_invalid"),
        ({"card_country": "China"}, 400, "request_invalid"),
        ({"mcc": "58"}, 400, "request_invalid"),
        ({"issuer": "4242424242424242"}, 400, "card_data_not_allowed_here"),
        ({"surprise": 1}, 400, "request_invalid"),
    ],
)
async def test_supposed_payment_hears_what_a_payment_would(
    whole: Whole, tenant: Tenant, fields: Json, status: int, code: str
) -> None:
    answer = await whole.send(tenant, "POST", f"{OWN}/simulate", json=SUPPOSED | fields)
    if status == 200:
        assert (answer.status_code, answer.json()["chosen"]) == (200, "wallet")
    else:
        assert refusal(answer) == (status, code)


async def test_supposed_payment_that_rules_leave_nothing_of_is_refused(whole: Whole, tenant: Tenant) -> None:
    versions = "/v2/policies/routing/versions"
    await whole.post(tenant, versions, {"spec": {"rules": AVOID_ALL}})
    await whole.post(tenant, f"{versions}/1/publish")
    await whole.post(tenant, "/v2/policies/routing/rollout", {"champion": 1})
    await whole.follow()
    assert await whole.refused(tenant, "POST", f"{OWN}/simulate", SUPPOSED) == (409, "no_channel_left")


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("health", {"by": "mark"}, 400, "request_invalid"),
        ("health", {"by": "x"}, 400, "request_invalid"),
        ("health", {"from": "yesterday"}, 400, "request_invalid"),
        ("health", {"from": "2026-01-02T00:00:00"}, 400, "request_invalid"),
        ("health", {"from": "9999-12-31T23:59:59-23:59"}, 400, "request_invalid"),
        ("health", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 400, "health_period_invalid"),
        ("health", {"from": "2020-01-01T00:00:00Z"}, 400, "health_period_invalid"),
        ("health", {"surprise": "1"}, 400, "parameter_unknown"),
        ("series", {"step": "second"}, 400, "request_invalid"),
        ("series", {"step": "minute", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}, 413, "health_rows_too_many"),
        ("doctor", {"baseline_to": "2200-01-01T00:00:00Z"}, 400, "request_invalid"),
        ("doctor", {"baseline_from": "2026-01-02T00:00:00Z", "baseline_to": "2026-01-01T00:00:00Z"}, 400, "health_period_invalid"),
        ("doctor", {"from": "2000-01-01T00:00:00Z", "to": "2000-01-01T00:00:30Z"}, 400, "health_period_invalid"),
        ("notices", {"after": "x"}, 400, "id_malformed"),
        ("notices", {"after": "note_00000000000000000000000000"}, 404, "notice_not_found"),
        ("notices", {"limit": "0"}, 400, "request_invalid"),
        ("notices", {"channel": "x\0"}, 400, "request_invalid"),
    ],
)  # fmt: skip
async def test_question_that_makes_no_sense_is_refused(
    whole: Whole, tenant: Tenant, path: str, params: Json, status: int, code: str
) -> None:
    assert await whole.refused(tenant, "GET", f"{OWN}/{path}", **params) == (status, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"new": RULES}, "request_invalid"),
        ({"new": RULES, "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "backtest_span_invalid"),
        ({"new": "x", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, "rules_invalid"),
        ({"new": "", "old": "x", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, "rules_invalid"),
        ({"new": "x" * 50_000, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, "request_invalid"),
    ],
)  # fmt: skip
async def test_backtest_that_makes_no_sense_is_refused(
    whole: Whole, tenant: Tenant, body: Json, code: str
) -> None:
    assert await whole.refused(tenant, "POST", f"{OWN}/rules/backtest", body) == (400, code)


ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/health", None),
    ("GET", "/series", None),
    ("GET", "/doctor", None),
    ("GET", "/notices", None),
    ("POST", "/rules/check", {"text": ""}),
    ("POST", "/rules/backtest", {}),
    ("POST", "/simulate", {}),
)


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_call_needs_its_permission(
    whole: Whole, tenant: Tenant, method: str, path: str, body: Any
) -> None:
    others = [each for each in Permission if each is not Permission.ROUTING_READ]
    tenant.key = await whole.key(tenant, *others)
    assert await whole.refused(tenant, method, OWN + path, body) == (403, "permission_missing")
    tenant.key = await whole.key(tenant, Permission.ROUTING_READ)
    assert (await whole.send(tenant, method, OWN + path, json=body)).status_code in {200, 400}
    assert (await whole.http.request(method, OWN + path)).status_code == 401
    assert await whole.refused(tenant, method, HOUSE + path, body) == (401, "session_missing")
    async with whole.operator(OperatorRole.LEGAL) as browser:
        answer = await browser.request(method, HOUSE + path, json=body)
        assert refusal(answer) == (403, "permission_missing")


async def test_question_twice_with_one_key_gets_one_answer(whole: Whole, tenant: Tenant) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = [
        await whole.send(tenant, "POST", f"{OWN}/simulate", json=SUPPOSED, headers=key) for _ in range(2)
    ]
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
