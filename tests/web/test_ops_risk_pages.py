"""Risk control in the console: every page in both languages, a case from queue to closing by two people, typing never lost."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.risk.case_house import signals
from tests.web.risk_pages import LANGUAGES, SCRIPT, get
from tests.web.signed_in import SignedIn, become, signed_in
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.core.db import Database
from tongbao.core.errors import LimitExceeded
from tongbao.core.events.facts import Fact
from tongbao.core.events.outbox import Outbox
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.parties.schema import OperatorRole
from tongbao.parties.service.sign_in import csrf_of
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.cases import CaseFile, CaseScope, CaseState, Disposition
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, LabelSource
from tongbao.risk.schema.freezes import FreezeOrder, FreezeQuery, FreezeState
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListKey
from tongbao.risk.schema.models import ModelFacts, ModelMetrics, ModelVersions
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.case_reading import Wanted
from tongbao.web.ops import card_text, risk_desk
from tongbao.web.ops import risk_words as words

LIVE = CaseScope(live=True)
RULE = 'burst: when card_count_1h > 10 then step_up because "many payments" owner mei\n'


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    """The whole program's application."""
    home: Path = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def mei(whole: Whole) -> SignedIn:
    """Every test begins with Mei before the browser."""
    return await become(whole, "Mei")


async def publish(whole: Whole, *facts: Fact) -> None:
    """Let risk control hear of facts: rows, cases and memory."""
    outbox = Outbox(whole.clock, whole.ids)
    async with whole.house.runtime.database.transaction() as connection:
        await outbox.publish(connection, facts)
    await whole.tally()


def judged(whole: Whole, tier: Tier = Tier.REVIEW, /, **fields: Any) -> Assessed:
    """A payment of 100.00 EUR that was judged now."""
    own = {name: fields.pop(name) for name in ("score", "reasons", "rules") if name in fields}
    now = whole.clock.now()
    fresh = {"id": whole.ids.uuid(), "subject_id": whole.ids.uuid(), "at": now}
    score = {Tier.FRICTIONLESS: 0.004, Tier.STEP_UP: 0.06, Tier.REVIEW: 0.55, Tier.DECLINE: 0.93}[tier]
    told: dict[str, Any] = {"score": score, "reasons": ("spree", "new_device"), "rules": ()} | own
    return Assessed(occurred_at=now, signals=signals(1, **(fresh | fields)), tier=tier, **told)


def known(whole: Whole, of: Assessed, *, is_fraud: bool) -> Labelled:
    """The label of a payment, from a dispute."""
    one = of.signals
    return Labelled(
        occurred_at=whole.clock.now(),
        signals_id=one.id,
        book_id=one.book_id,
        live=one.live,
        subject_id=one.subject_id,
        is_fraud=is_fraud,
        source=LabelSource.DISPUTE,
    )


def ended(whole: Whole, of: Assessed, *, is_approved: bool) -> Ended:
    """The end of a payment."""
    one = of.signals
    return Ended(
        occurred_at=whole.clock.now(),
        signals_id=one.id,
        book_id=one.book_id,
        live=one.live,
        subject_id=one.subject_id,
        is_approved=is_approved,
        code="" if is_approved else "suspected_fraud",
    )


async def seeded(whole: Whole, card: str, value: int = 10_000, count: int = 2) -> CaseFile:
    """A case of a card with held payments."""
    payments = [
        judged(whole, card=card, value=value, device=f"device_of_{card}", customer=f"customer_{at}")
        for at in range(count)
    ]
    await publish(whole, *payments)
    return await case_of(whole, card)


async def case_of(whole: Whole, card: str) -> CaseFile:
    """The case of a card, as it is now."""
    found = await whole.house.risk.case_reading.page(Wanted(LIVE))
    return next(each for each in found if each.key == card)


async def send(
    whole: Whole, path: str, fields: dict[str, str], language: str = "en", **headers: str
) -> httpx.Response:
    """Send a form as the browser does of whoever is signed in."""
    own = {"origin": BASE, "accept-language": language} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    csrf = csrf_of(whole.http.cookies.get("session") or "")
    return await whole.http.post(path, data={"csrf": csrf} | fields, headers=own)


async def act(whole: Whole, case: CaseFile, form: str, actor: str, **fields: str) -> httpx.Response:
    """Send a form of a case as somebody, on the version that is there now."""
    await become(whole, actor)
    version = str((await whole.house.risk.case_reading.one(case.id)).version)
    typed = {"form": form, "version": version} | fields
    return await send(whole, f"/ops/risk/cases/{case.name}", typed)


def went_to(answer: httpx.Response, address: str) -> None:
    """The act was done, and the browser is sent to where it is shown."""
    assert (answer.status_code, answer.headers.get("location")) == (303, address), answer.text[:3000]


def risk_query() -> FreezeQuery:
    """The freezes in force."""
    return FreezeQuery(live=True, state=FreezeState.FROZEN)


def risk_order(key: str) -> FreezeOrder:
    """A freeze of a device."""
    return FreezeOrder(live=True, entity=Entity.DEVICE, key=key, reason=SCRIPT)


def model_facts() -> ModelFacts:
    """What a card is written from."""
    return ModelFacts(
        digest="0" * 64,
        kind="forest",
        trained_from=date(2026, 1, 1),
        trained_to=date(2026, 3, 1),
        labels_known_at=datetime(2026, 3, 29, tzinfo=UTC),
        label_delay_s=28 * 86_400,
        train_count=40_000,
        train_fraud_count=120,
        seed=7,
        metrics=ModelMetrics(ap=0.731, auc=0.97, count=9_000, fraud_count=31),
        versions=ModelVersions(features="1", policy="risk@1", libraries={"lightgbm": "4"}),
    )


async def test_empty_house_says_so_on_every_page(whole: Whole) -> None:
    cases = {
        "/ops/risk?mode=live": ("there is nothing to judge", "暂无可评判的内容"),
        "/ops/risk/cases?mode=live": ("Nobody waits", "队列为空"),
        "/ops/risk/freezes?mode=live": ("Nobody is frozen", "没有冻结的主体"),
        "/ops/risk/lists?mode=live": ("There is no list yet", "还没有名单"),
        "/ops/risk/rules": ("Load the starter rules", "载入入门规则"),
        "/ops/risk/rules?starter=1": ("card testing from an address", "card testing from an address"),
        "/ops/risk/models": ("No model was trained yet", "尚未训练任何模型"),
    }
    for path, texts in cases.items():
        for language, text in zip(LANGUAGES, texts, strict=True):
            assert text in await get(whole, path, language=language), path


async def test_first_page_counts_tiers_frauds_patterns_and_what_waits(whole: Whole) -> None:
    frauds = [judged(whole, Tier.DECLINE, card="today", reasons=("card_testing",)) for _ in range(2)]
    passing = [judged(whole, Tier.FRICTIONLESS, card=f"good_{at}", reasons=("low_risk",)) for at in range(6)]
    await publish(whole, *frauds, *passing)
    await publish(
        whole,
        known(whole, frauds[0], is_fraud=True),
        *(ended(whole, each, is_approved=True) for each in passing),
    )
    for language, texts in zip(
        LANGUAGES,
        (("75.0%", "The pattern is that of cards being tested", "6 of 6"), ("75.0%", "批量试卡", "6 / 6")),
        strict=True,
    ):
        html = await get(whole, "/ops/risk?mode=live", language=language)
        assert [text for text in texts if text not in html] == []
    assert "there is nothing to judge" in await get(whole, "/ops/risk?mode=test")
    assert "75.0%" in await get(whole, "/ops/risk")  # live is what people look for first


async def test_case_shows_its_summary_graph_evidence_and_trail(whole: Whole) -> None:
    case = await seeded(whole, "card_seen")
    for language, texts in zip(
        LANGUAGES,
        (
            ("Case of <bdi>Card ", "What happened.", "Suggested:", "Case opened", "200.00 EUR", "first hop"),
            ("<bdi>卡 ", "经过。", "建议：", "立案", "200.00 EUR", "一跳"),
        ),
        strict=True,
    ):
        html = await get(whole, f"/ops/risk/cases/{case.name}", language=language)
        assert [text for text in texts if text not in html] == []
        assert 'class="neighborhood"' in html
        assert f"/ops/risk/cases/{case.name}" in await get(whole, "/ops/risk/cases", language=language)


async def test_case_goes_from_the_queue_to_two_people_and_freezes(whole: Whole) -> None:
    case = await seeded(whole, "card_two_people")
    went_to(await act(whole, case, "take", "Mei"), f"/ops/risk/cases/{case.name}?said=taken")
    assert "This case is yours." in await get(whole, f"/ops/risk/cases/{case.name}?said=taken")
    await become(whole, "Wei")
    assert "Take it over from <bdi>Mei</bdi>" in await get(whole, f"/ops/risk/cases/{case.name}")
    assert (await act(whole, case, "close", "Wei", disposition="fraud", note="x")).status_code == 403
    silent = await act(whole, case, "close", "Mei", disposition="fraud")
    assert (silent.status_code, words.TEXTS["x_case_note_missing"][0] in silent.text) == (400, True)
    went_to(
        await act(whole, case, "close", "Mei", disposition="fraud", freeze="1", note="known pattern"),
        f"/ops/risk/cases/{case.name}?said=asked",
    )
    alone = await act(whole, case, "approve", "Mei")
    assert alone.status_code == 403
    assert words.TEXTS["x_case_same_person"][0] in alone.text
    assert "would be frozen" in alone.text
    went_to(await act(whole, case, "approve", "Wei"), f"/ops/risk/cases/{case.name}?said=closed")
    closed = await case_of(whole, "card_two_people")
    assert (closed.state, closed.disposition) == (CaseState.CLOSED, Disposition.FRAUD)
    html = await get(whole, f"/ops/risk/cases/{case.name}")
    assert "Closed as fraud" in html
    assert "Agreed and closed" in html


async def test_second_person_refuses_and_the_case_is_back(whole: Whole) -> None:
    case = await seeded(whole, "card_refused")
    await act(whole, case, "take", "Mei")
    await act(whole, case, "close", "Mei", disposition="fraud", freeze="1", note="known")
    await become(whole, "Wei")
    assert "wait for your agreement" in (await get(whole, "/ops/risk/cases")).replace("waits", "wait")
    assert case.name in await get(whole, "/ops/risk/cases?tab=asked")
    assert (await act(whole, case, "refuse", "Wei")).status_code == 400
    went_to(
        await act(whole, case, "refuse", "Wei", text="look again"),
        f"/ops/risk/cases/{case.name}?said=refused",
    )
    assert (await case_of(whole, "card_refused")).state is CaseState.ASSIGNED


async def test_single_labels_and_held_choice_close_a_mixed_case(whole: Whole) -> None:
    case = await seeded(whole, "card_mixed")
    first, second = await whole.house.risk.case_reading.payments(case.id)
    await act(whole, case, "take", "Mei")
    single = {f"label_{first.event_id}": "fraud", "disposition": "fraud", "note": "one of the two"}
    undecided = await act(whole, case, "close", "Mei", **single)
    assert undecided.status_code == 400
    assert words.TEXTS["x_case_held_undecided"][0] in undecided.text
    assert "one of the two</textarea>" in undecided.text
    assert re.search(r'value="fraud" checked', undecided.text)
    await act(whole, case, "close", "Mei", on_held="release", **single)
    await whole.tally()
    labels = {each.event_id: each.is_fraud for each in await whole.house.risk.case_reading.payments(case.id)}
    assert labels == {first.event_id: True, second.event_id: None}


async def test_case_that_went_on_keeps_what_was_typed(whole: Whole) -> None:
    case = await seeded(whole, "card_went_on")
    await act(whole, case, "note", "Wei", text="first")
    typed = {"form": "note", "version": str(case.version), "text": "second thoughts"}
    for language in LANGUAGES:
        answer = await send(whole, f"/ops/risk/cases/{case.name}", typed, language)
        assert answer.status_code == 409
        assert words.TEXTS["x_case_changed"][LANGUAGES.index(language)] in answer.text
        assert "second thoughts</textarea>" in answer.text
    again = typed | {"version": re.findall(r'name="version" value="(\d+)"', answer.text)[0]}
    went_to(
        await send(whole, f"/ops/risk/cases/{case.name}", again), f"/ops/risk/cases/{case.name}?said=noted"
    )


async def test_summary_is_signed_with_a_name_and_the_case_handed_over(whole: Whole) -> None:
    case = await seeded(whole, "card_signed")
    await act(whole, case, "sign", "Mei", text="Seen and understood.", language="en")
    wei = await signed_in(whole, "Wei")
    refused = await act(whole, case, "assign", "Mei", assignee="nobody")
    assert (refused.status_code, words.TEXTS["x_case_actor_invalid"][0] in refused.text) == (400, True)
    await act(whole, case, "assign", "Mei", assignee=wei.actor)
    html = await get(whole, f"/ops/risk/cases/{case.name}")
    assert "Signed by <bdi>Mei</bdi>" in html
    assert "Seen and understood." in html
    assert (await case_of(whole, "card_signed")).assignee == wei.actor
    went_to(await act(whole, case, "unassign", "Wei"), f"/ops/risk/cases/{case.name}?said=unassigned")


async def test_take_next_gives_the_first_and_says_when_nobody_waits(whole: Whole, mei: SignedIn) -> None:
    await seeded(whole, "card_next", value=900_000)
    answer = await send(whole, "/ops/risk/cases?mode=live", {"form": "next"})
    assert answer.headers["location"].endswith("?said=taken")
    assert (await case_of(whole, "card_next")).assignee == mei.actor
    for _ in range(50):
        answer = await send(whole, "/ops/risk/cases?mode=test", {"form": "next"})
        if answer.status_code != 303:
            break
    assert answer.status_code == 404
    assert words.TEXTS["x_queue_empty"][0] in answer.text


async def test_who_may_only_look_cannot_act(whole: Whole) -> None:
    case = await seeded(whole, "card_looked_at")
    await become(whole, "Ann", (OperatorRole.AUDITOR,))
    html = await get(whole, f"/ops/risk/cases/{case.name}")
    assert "<bdi>Ann</bdi>" in html
    version = str((await case_of(whole, "card_looked_at")).version)
    typed = {"form": "note", "version": version, "text": "kept text"}
    answer = await send(whole, f"/ops/risk/cases/{case.name}", typed)
    assert (answer.status_code, "kept text</textarea>" in answer.text) == (403, True)
    assert "cases.decide" in answer.text
    for page, fields in (
        ("cases?mode=live", {"form": "next"}),
        ("freezes?mode=live", {"form": "freeze"}),
        ("lists?mode=live", {"form": "declare"}),
        ("case-settings", {"form": "settings"}),
        ("tradeoff?mode=live", {"form": "draft"}),
    ):
        assert (await send(whole, f"/ops/risk/{page}", fields)).status_code == 403, page
    draft = {"form": "rules", "act": "draft", "rules": RULE, "note": "x"}
    assert (await send(whole, "/ops/risk/rules", draft)).status_code == 403
    assert (await send(whole, "/ops/risk/rules", draft | {"act": "check"})).status_code == 200


async def test_name_that_is_typed_into_a_form_names_nobody(whole: Whole, mei: SignedIn) -> None:
    case = await seeded(whole, "card_typed_name")
    typed = {"form": "take", "version": str(case.version), "actor": (await signed_in(whole, "Wei")).actor}
    await send(whole, f"/ops/risk/cases/{case.name}", typed)
    assert (await case_of(whole, "card_typed_name")).assignee == mei.actor


@pytest.mark.parametrize("csrf", ["", "0" * 64, "Wei"])
async def test_form_without_the_token_of_its_session_does_nothing(whole: Whole, csrf: str) -> None:
    case = await seeded(whole, f"card_csrf_{csrf[:3]}")
    wei = await signed_in(whole, "Wei")
    typed = {"form": "take", "version": str(case.version), "csrf": wei.csrf if csrf == "Wei" else csrf}
    assert (await send(whole, f"/ops/risk/cases/{case.name}", typed)).status_code == 403
    assert (await case_of(whole, case.key)).assignee in {None, ""}


async def test_nobody_is_led_to_the_sign_in_and_back(whole: Whole) -> None:
    whole.http.cookies.clear()
    for path in ("/ops/risk/cases", "/ops/routing", "/ops/policies"):
        answer = await whole.http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")
    answer = await send(whole, "/ops/risk/cases?mode=live", {"form": "next"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({}, 404),
    ],
)
async def test_form_of_another_site_is_refused(whole: Whole, headers: dict[str, str], status: int) -> None:
    await whole.house.risk.cases.take_next("Mei", CaseScope(live=False))
    answer = await send(whole, "/ops/risk/cases?mode=test", {"form": "next"}, **headers)
    assert answer.status_code == status


async def test_freeze_is_let_go_by_two_people(whole: Whole) -> None:
    page = "/ops/risk/freezes?mode=live"
    order = {"form": "freeze", "entity": "card", "key": "card_frozen", "reason": "stolen"}
    for field, code in (("entity", "entity_missing"), ("key", "key_invalid"), ("reason", "reason_invalid")):
        answer = await send(whole, page, order | {field: ""})
        assert (answer.status_code, words.TEXTS[f"x_{code}"][0] in answer.text) == (400, True)
    went_to(await send(whole, page, order), f"{page}&said=frozen")
    found = (await whole.house.risk.freezing.page(risk_query())).items[0]
    assert found.key == "card_frozen"
    ask = {"form": f"request {found.reference}", "why": "the owner called"}
    went_to(await send(whole, page, ask), f"{page}&said=release_asked")
    assert "You asked: another person has to agree." in await get(whole, page)
    alone = await send(whole, page, {"form": f"approve {found.reference}"})
    assert (alone.status_code, words.TEXTS["x_four_eyes_required"][0] in alone.text) == (403, True)
    mei = await signed_in(whole, "Mei")
    await become(whole, "Wei")
    went_to(
        await send(whole, page, {"form": f"refuse {found.reference}", "why": "not sure"}),
        f"{page}&said=release_refused",
    )
    await whole.house.risk.freezing.request_release(found.id, mei.actor, "sure now")
    went_to(await send(whole, page, {"form": f"approve {found.reference}"}), f"{page}&said=released")
    assert (await whole.house.risk.freezing.get(found.id)).state is FreezeState.RELEASED
    assert "Released lately" in await get(whole, page)
    assert (await send(whole, page, {"form": "approve frz_none"})).status_code == 404


async def test_list_is_declared_filled_and_emptied(whole: Whole) -> None:
    page = "/ops/risk/lists?mode=live"
    declare = {"form": "declare", "list": "bad cards", "effect": "block", "note": "stolen"}
    wrong = await send(whole, page, declare | {"list": "Bad_Cards"})
    assert (wrong.status_code, 'value="Bad_Cards"' in wrong.text) == (400, True)
    went_to(await send(whole, page, declare), f"{page}&list=bad+cards&said=declared")
    entry = {"form": "add", "list": "bad cards", "kind": "card", "value": "card_x", "reason": "seen twice"}
    for change, code in (
        ({"kind": ""}, "list_kind_missing"),
        ({"value": "mei@example.com"}, "list_entry_invalid"),
        ({"until": "soon"}, "list_until_invalid"),
    ):
        answer = await send(whole, page, entry | change)
        assert (answer.status_code, words.TEXTS[f"x_{code}"][0] in answer.text) == (400, True)
        assert 'value="seen twice"' in answer.text
    until = (whole.clock.now() + timedelta(days=9)).date()
    went_to(
        await send(whole, page, entry | {"until": until.isoformat()}), f"{page}&list=bad+cards&said=added"
    )
    assert "card_x" in await get(whole, f"{page}&list=bad+cards")
    key = ListKey(HOUSE_BOOK_ID, True, "bad cards")
    (stands,) = await whole.house.risk.lists.entries(key)
    assert stands.expires_at is not None
    assert stands.expires_at.date() == until + timedelta(days=1)
    reference = re.findall(r"remove (le_\w+)", await get(whole, f"{page}&list=bad+cards"))[0]
    went_to(
        await send(whole, page, {"form": f"remove {reference}", "list": "bad cards", "reason": "a mistake"}),
        f"{page}&list=bad+cards&said=removed",
    )
    assert await whole.house.risk.lists.entries(key) == []
    assert (await whole.http.get(f"{page}&list=unheard")).status_code == 404


async def test_editor_tells_line_and_column_failing_tests_and_the_difference(whole: Whole) -> None:
    check = {"form": "rules", "act": "check"}
    wrong = await send(
        whole,
        "/ops/risk/rules",
        check | {"rules": RULE + RULE.replace("card_count_1h", "crad_count_1h").replace("burst", "two")},
    )
    assert wrong.status_code == 200
    assert "Line 2, column 11" in wrong.text
    assert "<mark>crad_count_1h" in wrong.text
    failing = RULE + '    test "eleven": card_count_1h = 11 -> does not match\n'
    failed = await send(whole, "/ops/risk/rules", check | {"rules": failing}, "zh-CN")
    assert "1 项测试未通过" in failed.text
    refused = await send(
        whole,
        "/ops/risk/rules",
        {"form": "rules", "act": "draft", "rules": failing, "note": "x"},
    )
    assert (refused.status_code, "does not match\n</textarea>" in refused.text) == (400, True)
    well = await send(
        whole,
        "/ops/risk/rules",
        check | {"rules": RULE + 'vip: when listed("vips") then allow because "known" owner mei\n'},
    )
    assert "2 rules, 0 tests" in well.text
    assert "added – burst" in well.text
    assert "not declared yet" in well.text


async def deciding(whole: Whole) -> str:
    """The digest of a model that decides together with one rule, by the first version of the policy."""
    model = artifact.by_judgement(NAMES)
    card = {"facts": msgspec.to_builtins(model_facts())}
    digest = await whole.house.risk.shelf.keep(model, SCRIPT, card)
    policies = whole.house.decisions.policies
    if await policies.current("risk") is None:
        made = await policies.draft("risk", {"model": digest, "rules": RULE}, "a first rule", "mei")
        await policies.publish("risk", made.version, "wei")
        await policies.roll_out("risk", RolloutOrder(champion=made.version), "wei")
    return digest


async def test_rules_in_force_are_counted_changed_and_drafted(whole: Whole, mei: SignedIn) -> None:
    digest = await deciding(whole)
    await publish(whole, judged(whole, Tier.STEP_UP, card="ruled", rules=("burst",)))
    for language, texts in zip(
        LANGUAGES, (("asks for proof", "1 stopped"), ("要求验证", "拦下 1")), strict=True
    ):
        html = await get(whole, "/ops/risk/rules", language=language)
        assert [text for text in texts if text not in html] == []
    changed = RULE.replace("> 10", "> 5")
    tried = await send(whole, "/ops/risk/rules?mode=live", {"form": "rules", "act": "test", "rules": changed})
    assert "changed – burst" in tried.text
    assert "What these rules would have done" in tried.text
    assert "No payment of this time can be looked at again" in tried.text  # none was judged by this process
    draft = {"form": "rules", "act": "draft", "rules": changed}
    silent = await send(whole, "/ops/risk/rules", draft)
    assert (silent.status_code, words.TEXTS["x_policy_text_invalid"][0] in silent.text) == (400, True)
    answer = await send(whole, "/ops/risk/rules", draft | {"note": "fewer payments"})
    version = answer.headers["location"].removeprefix("/ops/risk/rules?drafted=")
    made = await whole.house.decisions.policies.version("risk", int(version))
    assert (made.spec, made.created_by) == ({"model": digest, "rules": changed}, mei.actor)
    html = await get(whole, f"/ops/risk/rules?drafted={version}")
    assert f"Version {version} was drafted" in html
    assert "card_count_1h &gt; 10</code>" in html


async def test_model_shows_its_card_and_its_part_in_the_policy(whole: Whole) -> None:
    digest = await deciding(whole)
    for language, texts in zip(
        LANGUAGES, (("decides", "0.731", "120 frauds"), ("决策中", "0.731", "120 笔欺诈")), strict=True
    ):
        html = await get(whole, "/ops/risk/models", language=language)
        assert [text for text in texts if text not in html] == []
        card = await get(whole, f"/ops/risk/models/{digest}", language=language)
        assert "0.7310" in card
        assert "<table" in card
        today = await get(whole, "/ops/risk", language=language)
        assert digest[:12] in today
        assert words.TEXTS["drift_unseen"][LANGUAGES.index(language)] in today


async def test_model_kept_without_a_card_says_so(whole: Whole) -> None:
    row = artifact.by_judgement((*NAMES[:3],))
    digest = await whole.house.risk.shelf.keep(row, "mei", {})
    for language in LANGUAGES:
        html = await get(whole, f"/ops/risk/models/{digest}", language=language)
        assert words.TEXTS["no_card"][LANGUAGES.index(language)] in html


async def test_payment_shows_why_risk_control_let_it_pass(whole: Whole) -> None:
    tenant = await whole.tenant()
    intent = await whole.pay(tenant)
    await whole.tally()
    for language, texts in zip(
        LANGUAGES,
        (
            ("Risk control: let through", "Expected cost", "Nothing speaks against"),
            ("风控处置：放行", "预期成本", "未见风险"),
        ),
        strict=True,
    ):
        html = await get(whole, f"/ops/payments/{intent}/decisions", language=language)
        assert [text for text in texts if text not in html] == []


async def test_back_test_tells_what_a_rule_would_have_matched(whole: Whole) -> None:
    tenant = await whole.tenant()
    for _ in range(3):
        await whole.pay(tenant)
        await whole.tally()
    rule = 'any: when value > 0 then review because "everything" owner mei\n'
    form = {"form": "rules", "act": "test", "rules": rule}
    for language, texts in zip(
        LANGUAGES, (("Went through", "good ones (added friction)"), ("成功", "新增打扰")), strict=True
    ):
        html = (await send(whole, "/ops/risk/rules?mode=test", form, language)).text
        assert [text for text in texts if text not in html] == []
        assert "CNY</span>" in html


async def test_hostile_keys_and_notes_are_escaped_wherever_they_are_shown(whole: Whole) -> None:
    case = await seeded(whole, SCRIPT)
    await act(whole, case, "note", "Mei", text=SCRIPT)
    await act(whole, case, "sign", "Mei", text=SCRIPT, language="en")
    await whole.house.risk.freezing.freeze(risk_order(SCRIPT), "Mei")
    for path in (
        f"/ops/risk/cases/{case.name}",
        "/ops/risk/cases",
        "/ops/risk/freezes?mode=live",
        "/ops/risk",
    ):
        for language in LANGUAGES:
            await get(whole, path, language=language)
    failed = await send(
        whole,
        "/ops/risk/lists?mode=live",
        {"form": "declare", "list": SCRIPT, "effect": "block", "note": SCRIPT},
    )
    assert failed.status_code == 400
    assert SCRIPT not in failed.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ops/risk/cases/case_00000000000000000000000001", 404),
        ("/ops/risk/cases/nonsense", 404),
        ("/ops/risk/models/0000", 404),
        ("/ops/risk/models/%00", 404),
        ("/ops/risk?mode=both", 400),
        ("/ops/risk?period=2000y", 400),
        ("/ops/risk/lists?mode=live&list=unheard%20of", 404),
    ],
)
async def test_wrong_address_is_a_page_with_its_status(whole: Whole, path: str, status: int) -> None:
    for language in LANGUAGES:
        await get(whole, path, status, language)


async def test_form_that_nobody_offers_is_refused(whole: Whole) -> None:
    case = await seeded(whole, "card_odd_form")
    for form, fields in (
        ("burn", {}),
        ("close", {"disposition": "fraud", "label_x": "fraud"}),
        ("close", {}),
    ):
        answer = await act(whole, case, form, "Mei", **fields)
        assert answer.status_code == 400
    for page in ("freezes", "lists"):
        answer = await send(whole, f"/ops/risk/{page}?mode=live", {"form": "burn"})
        assert answer.status_code == 400
    large = await send(whole, "/ops/risk/rules", {"rules": "x" * risk_desk.FORM_BYTES_MAX})
    assert large.status_code == 400


def test_card_of_a_model_becomes_blocks_without_markup() -> None:
    text = "# Card\n\n## One\n\nA \\*b\\* c\n\n- x\n- y \\| z\n\n| h | i |\n| --- | --- |\n| a \\| b |  |\n"
    kinds = card_text.blocks(text)
    assert [each.kind for each in kinds] == ["heading", "heading", "text", "list", "table"]
    assert kinds[2].lines == ("A *b* c",)
    assert kinds[3].lines == ("x", "y | z")
    assert kinds[4].rows == (("h", "i"), ("a | b", ""))
    assert card_text.blocks("") == []


def test_words_of_errors_that_nobody_foresaw_are_still_told() -> None:
    error = LimitExceeded("nobody_knows", "too <many>")
    assert risk_desk.problem_text(error, "en") == "This could not be done: too &lt;many&gt;."
    assert "too &lt;many&gt;" in risk_desk.problem_text(error, "zh-CN")
    assert risk_desk.value_text(1_250, "???") == "12.50 ???"
    assert risk_desk.value_text(125_000, "JPY") == "1,250 JPY"


async def test_queue_is_filtered_by_its_address_and_given_out_as_a_file(whole: Whole) -> None:
    case = await seeded(whole, "card_filtered", value=450_000)
    kept = await get(whole, f"/ops/risk/cases?mode=live&severity={case.severity}&kind=held")
    assert case.name in kept
    assert case.name not in await get(whole, "/ops/risk/cases?mode=live&kind=declined")
    assert case.name in await get(whole, "/ops/risk/cases?mode=live&severity=unheard&kind=of&sort=up")
    answer = await whole.http.get("/ops/risk/cases?mode=live&format=csv&columns=who.severity")
    assert answer.headers["content-disposition"] == 'attachment; filename="cases.csv"'
    assert answer.text.splitlines()[0] == "About,Severity"
    assert (await whole.http.get("/ops/risk/cases?tab=nonsense")).status_code == 400
    closed = await get(whole, "/ops/risk/cases?mode=live&tab=closed&after=case_nonsense")
    assert words.TEXTS["tab_closed"][0] in closed


async def test_case_shows_the_weights_of_its_riskiest_payment_and_similar_cases(whole: Whole) -> None:
    tenant = await whole.tenant()
    await whole.pay(tenant, 88_800)
    await whole.tally()
    first = await seeded(whole, "card_beside")
    await publish(whole, judged(whole, card="card_beside_2", device="device_of_card_beside"))
    html = await get(whole, f"/ops/risk/cases/{first.name}")
    assert words.TEXTS["reasons_plain"][0] in html  # told by facts alone, no decision was written
    assert (await case_of(whole, "card_beside_2")).name in html


async def test_version_is_tested_published_and_watches_with_reasons(whole: Whole) -> None:
    await deciding(whole)
    policies = whole.house.decisions.policies
    spec = {"rules": RULE.replace("> 10", "> 3")}
    made = await policies.draft("risk", spec, "tighter", "mei")
    page = f"/ops/risk/rules/{made.version}"
    for language, key in zip(LANGUAGES, (0, 1), strict=True):
        html = await get(whole, page, language=language)
        assert words.TEXTS["test_now"][key] in html
        assert 'name="tested"' not in html
    tested = await get(whole, f"{page}?mode=test&tested=1")
    assert words.TEXTS["replay_line"][0] in tested
    assert "card_count_1h &gt; 3" in tested
    untested = await send(whole, page, {"form": "publish", "reason": "now"})
    assert (untested.status_code, words.TEXTS["x_rules_untested"][0] in untested.text) == (400, True)
    early = await send(whole, page, {"form": "publish", "tested": "1", "reason": "now"})
    assert (early.status_code, words.TEXTS["x_policy_not_replayed"][0] in early.text) == (409, True)
    silent = await send(whole, page, {"form": "publish", "tested": "1"})
    assert (silent.status_code, words.TEXTS["x_policy_reason_missing"][0] in silent.text) == (400, True)
    force = {"form": "force", "how": "shadow", "reason": "watch first"}
    assert (await send(whole, page, force)).status_code == 409
    assert (await send(whole, page, force | {"how": "burn"})).status_code == 400
    assert (await send(whole, page, {"form": "burn"})).status_code == 400
    first = (await policies.current("risk")).champion  # type: ignore[union-attr]  # it was rolled out above
    went_to(
        await send(whole, f"/ops/risk/rules/{first}?mode=test", force | {"how": "champion"}),
        f"/ops/risk/rules/{first}?mode=test&tested=1&said=in_force",
    )
    assert words.TEXTS["said_in_force"][0] in await get(whole, f"/ops/risk/rules/{first}?said=in_force")
    for wrong in ("/ops/risk/rules/0", "/ops/risk/rules/99", "/ops/risk/rules/nonsense"):
        await get(whole, wrong, 404)
    await become(whole, "Ann", (OperatorRole.AUDITOR,))
    assert 'id="form-publish"' not in await get(whole, f"{page}?mode=test&tested=1")
    assert (await send(whole, page, {"form": "publish", "tested": "1", "reason": "x"})).status_code == 403
    assert (await send(whole, page, force)).status_code == 403


async def test_rows_make_a_rule_in_the_editor_or_say_what_they_lack(whole: Whole) -> None:
    rows = {
        "form": "rules",
        "act": "append",
        "rules": RULE,
        "row_name": 'two "signs"',
        "row_1_signal": "card_ratio",
        "row_1_compare": ">",
        "row_1_value": "2.5",
        "row_2_signal": "card_history",
        "row_2_compare": ">=",
        "row_2_value": "5",
        "row_act": "step_up",
        "row_because": "far above the usual",
        "row_owner": "mei",
        "row_draft": "1",
    }
    html = (await send(whole, "/ops/risk/rules?mode=live", rows)).text
    line = "two  signs: when card_ratio &gt; 2.5 and card_history &gt;= 5 then step_up"
    assert line in html
    assert "2 rules, 0 tests" in html
    for lack in (
        {"row_name": ""},
        {"row_1_value": "many"},
        {"row_1_signal": "os.system"},
        {"row_1_signal": "", "row_2_signal": ""},
        {"row_act": "burn"},
        {"row_1_compare": "is"},
    ):
        answer = await send(whole, "/ops/risk/rules?mode=live", rows | lack)
        assert answer.status_code == 400, lack
        assert words.TEXTS["x_rule_rows_missing"][0] in answer.text
        assert 'value="far above the usual"' in answer.text
