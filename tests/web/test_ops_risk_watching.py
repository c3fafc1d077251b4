"""Capacity, settings of cases, looks at models and fairness in the console, in both languages."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.web.risk_pages import LANGUAGES, get
from tests.web.signed_in import SignedIn, become
from tests.web.test_ops_risk_pages import judged, model_facts, publish, send, went_to
from tests.web.whole_house import Whole, open_whole

from tongbao.core.db import Database
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListEffect, ListKey, ListKind, NewEntry
from tongbao.risk.schema.models import Alarm, AlarmKind, DriftFacts, Severity, Shift, Standing
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.schema.watches import KeptAlarm, Watch
from tongbao.risk.service.case_setting import CaseSettingDesk
from tongbao.risk.store import watches
from tongbao.web.ops import risk_words as words

SETTINGS = "/ops/risk/case-settings"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    home: Path = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def mei(whole: Whole) -> SignedIn:
    return await become(whole, "Mei")


async def test_time_without_payments_has_no_trade_off(whole: Whole) -> None:
    for language, place in zip(LANGUAGES, (0, 1), strict=True):
        page = await get(whole, "/ops/risk/tradeoff?mode=live&period=1d", language=language)
        assert words.TEXTS["x_tradeoff_empty"][place] in page


async def test_prices_for_a_capacity_are_drafted_from_the_page(whole: Whole, mei: SignedIn) -> None:
    tenant = await whole.tenant()
    for amount in (1_999, 4_999, 99_999):
        await whole.pay(tenant, amount)
    await whole.tally()
    while await whole.house.risk.following.step():
        pass
    page = "/ops/risk/tradeoff?mode=test&period=7d&reviews=0&step_ups=50"
    for language, said in zip(LANGUAGES, ("policy of today", "当前策略"), strict=True):
        text = await get(whole, page, language=language)
        assert said in text
        assert words.TEXTS["front_chart"][LANGUAGES.index(language)] in text
        assert words.TEXTS["tradeoff_draft"][LANGUAGES.index(language)] in text
    form = {"form": "draft", "step_up_price": "12.5", "review_price": "300", "note": "fewer"}
    went_to(await send(whole, page, form), f"{page}&drafted=1")
    drafted = await whole.house.decisions.policies.version("risk", 1)
    assert (drafted.spec, drafted.note, drafted.created_by) == (
        {"step_up_price": 12.5, "review_price": 300.0},
        "fewer",
        mei.actor,
    )
    assert "Version 1 is drafted" in await get(whole, f"{page}&drafted=1")
    wrong = await send(whole, page, form | {"step_up_price": "much"})
    assert (wrong.status_code, words.TEXTS["x_budget_invalid"][0] in wrong.text) == (400, True)
    assert words.TEXTS["x_budget_invalid"][0] in await get(whole, f"{page[:-2]}500")


async def test_settings_are_changed_and_a_second_person_agrees(whole: Whole) -> None:
    for language, place in zip(LANGUAGES, (0, 1), strict=True):
        assert words.TEXTS["settings_built_in"][place] in await get(whole, SETTINGS, language=language)
    form = {
        "form": "settings",
        "latest": "0",
        "sla_critical": "0.5",
        "fresh_h": "12",
        "release_alone_max": "1,000.00",
        "declined_value_min": "20",
        "rules": "burst\nspree\n",
        "worth": "",
        "note": "faster",
    }
    wrong = await send(whole, SETTINGS, form | {"fresh_h": "soon"})
    assert (wrong.status_code, 'value="soon"' in wrong.text) == (400, True)
    went_to(await send(whole, SETTINGS, form), f"{SETTINGS}?said=settings_made")
    standing = (await CaseSettingDesk(whole.house.runtime.database, whole.clock).now()).spec
    assert (standing.fresh_h, standing.declined_value_min, standing.rules) == (
        12.0,
        2_000,
        ("burst", "spree"),
    )
    more = form | {"latest": "1", "release_alone_max": "9000", "is_across_books": "1"}
    went_to(await send(whole, SETTINGS, more), f"{SETTINGS}?said=settings_asked")
    for language, said in zip(LANGUAGES, ("9,000.00", "9,000.00"), strict=True):
        assert said in await get(whole, SETTINGS, language=language)
    answer = {"form": "approve", "version": "2"}
    assert (await send(whole, SETTINGS, answer)).status_code == 403
    await become(whole, "Li")
    went_to(await send(whole, SETTINGS, answer), f"{SETTINGS}?said=settings_made")
    assert (await send(whole, SETTINGS, {"form": "refuse", "version": "2"})).status_code == 409


async def test_models_page_tells_alarms_features_and_whom_it_bothers(whole: Whole) -> None:
    model = artifact.by_judgement(NAMES)
    digest = await whole.house.risk.shelf.keep(model, "mei", {"facts": model_facts()})
    now = whole.clock.now()
    alarm = Alarm(
        kind=AlarmKind.FEATURE_DRIFT,
        severity=Severity.WARNING,
        value=0.4,
        high=0.2,
        subject="device_trust",
        count=900,
    )
    facts = DriftFacts(
        model=digest, at=now, features=(Shift(name="device_trust", psi=0.4, noise=0.01, count=900),)
    )
    kept = KeptAlarm(alarm=alarm, since=now, last_at=now, worst=alarm.severity)
    watch = Watch(facts=facts, alarms=(kept,), past=(kept,), standing=Standing.KEEP, feature_count=20)
    async with whole.house.runtime.database.transaction() as connection:
        await watches.save(connection, True, watch)
    for language, said in zip(LANGUAGES, ("trust in the device", "设备信任度"), strict=True):
        assert said in await get(whole, f"/ops/risk/models/{digest}?mode=live", language=language)
    await publish(whole, *(judged(whole, Tier.FRICTIONLESS) for _ in range(2)))
    for language, place in zip(LANGUAGES, (0, 1), strict=True):
        text = await get(whole, "/ops/risk/models?mode=live", language=language)
        assert words.TEXTS["fair"][place] in text
        assert words.TEXTS["fair_few"][place] in text


async def test_lists_page_tells_what_an_entry_did(whole: Whole) -> None:
    key = ListKey(HOUSE_BOOK_ID, True, "seen")
    await whole.house.risk.lists.declare(key, ListEffect.MARK, "by test", "mei")
    entry = NewEntry(kind=ListKind.CARD, value="card_seen", reason="x")
    await whole.house.risk.lists.add(key, [entry], "mei")
    page = "/ops/risk/lists?mode=live&list=seen"
    assert words.TEXTS["did_nothing"][0] in await get(whole, page)
    whole.clock.advance(timedelta(seconds=1))
    await publish(whole, judged(whole, Tier.FRICTIONLESS, card="card_seen", value=12_345))
    assert "payments: 1" in await get(whole, page)
    assert "命中 1 笔" in await get(whole, page, language="zh-CN")
