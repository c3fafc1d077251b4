"""What a payer reads on the checkout where risk control declines, holds or asks for a proof; and what its merchant reads."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from tests.web.risk_calls import rule
from tests.web.test_cashier import CARD_FORM, INLINE, TEA
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.core.db import Database
from tongbao.core.ids import uuid_text
from tongbao.payments.service.sessions import SessionOrder, SessionView
from tongbao.payments.service.smart_risk import purpose_of
from tongbao.risk.policy.reason_texts import TEXTS
from tongbao.risk.schema.challenges import Challenge, ChallengeState
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.payer_words import payer_sentence
from tongbao.web.cashier.faces import PRESENTMENTS
from tongbao.web.locale import cashier as words

LANGUAGES = ("en", "zh-CN")


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def judged_as(whole: Whole, tier: str) -> Tenant:
    """A merchant all of whose payers get one tier."""
    tenant = await whole.tenant()
    await rule(whole, tenant, f'all: when amount > 1 CNY then {tier} because "all" owner mei\n')
    return tenant


async def paid(whole: Whole, tenant: Tenant) -> SessionView:
    """A session whose payer sent the card form."""
    order = SessionOrder((TEA,), "cny", customer_email="mei@example.com")
    done = await whole.house.payments.sessions.create(tenant.scope, order)
    assert done.view is not None
    key = re.search(r'name="key" value="([^"]+)"', await page(whole, done.view))
    assert key is not None
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": BASE}
    form = urlencode(CARD_FORM | {"key": key[1]})
    answer = await whole.http.post(f"/c/{done.view.session.reference}/pay", content=form, headers=headers)
    assert answer.status_code == 303, answer.text
    return done.view


async def page(whole: Whole, view: SessionView, language: str = "en") -> str:
    answer = await whole.http.get(f"/c/{view.session.reference}", params={"lang": language})
    assert answer.status_code == 200, answer.text
    assert not INLINE.search(answer.text)
    return answer.text


def said(key: str, language: str, merchant: str = "") -> str:
    return words.text(key, language).format(merchant=merchant)


async def intent_of(whole: Whole, tenant: Tenant, view: SessionView) -> Json:
    assert view.intent is not None
    path = f"/v1/payment_intents/{uuid_text('pi', view.intent.id)}"
    answer = await whole.send(tenant, "GET", path, params={"expand[]": "latest_charge"})
    found: Json = answer.json()
    return found


async def test_declined_payer_is_told_what_to_do_and_not_why(whole: Whole) -> None:
    tenant = await judged_as(whole, "decline")
    view = await paid(whole, tenant)
    for language in LANGUAGES:
        text = await page(whole, view, language)
        sentence = payer_sentence(Tier.DECLINE, ("rule",), language)
        assert sentence is not None
        assert sentence in text
        assert said("declined", language) in text
        assert 'name="key"' in text
        assert TEXTS[ReasonCode.RULE][3] not in text
    intent = await intent_of(whole, tenant, view)
    error = intent["last_payment_error"]
    assert (error["code"], intent["risk_state"]) == ("card_declined", "blocked")
    outcome = error["outcome"]
    assert (outcome["type"], outcome["reason"], outcome["risk_level"]) == ("blocked", "rule", "highest")
    assert outcome["network_status"] == "not_sent_to_network"
    assert "too risky" in outcome["seller_message"]


async def test_payer_who_has_to_prove_something_reads_why_and_where(whole: Whole) -> None:
    tenant = await judged_as(whole, "step_up")
    view = await paid(whole, tenant)
    for language in LANGUAGES:
        text = await page(whole, view, language)
        sentence = payer_sentence(Tier.STEP_UP, (), language)
        assert sentence is not None
        for shown in (sentence, said("leave", language), said("asked_note", language), "/step-up/"):
            assert shown in text
        assert said("leave_until", language) in text
        assert said("leave_note", language) not in text
    whole.clock.advance(timedelta(minutes=30))
    assert said("wait", "en") in await page(whole, view)
    while await whole.house.payments.resolving.resolve_due():
        pass
    text = await page(whole, view)
    assert said("declined", "en") in text
    assert 'name="key"' in text
    error = (await intent_of(whole, tenant, view))["last_payment_error"]
    assert error["code"] == "payment_intent_authentication_failure"
    assert (error["outcome"]["type"], error["outcome"]["risk_level"]) == ("blocked", "elevated")
    assert error["outcome"]["seller_message"].startswith("The payer did not prove")


async def opened(whole: Whole, tenant: Tenant, view: SessionView) -> Challenge:
    """The challenge of a payment whose payer opened the page."""
    intent = await intent_of(whole, tenant, view)
    url = intent["next_action"]["redirect_to_url"]["url"]
    assert (await whole.http.get(url)).status_code == 200
    assert view.intent is not None
    challenge = await whole.house.proofs.challenging.latest(purpose_of(view.intent))
    assert challenge is not None
    assert challenge.state is ChallengeState.OPEN
    return challenge


async def test_payer_who_does_not_prove_it_in_time_may_pay_anew(whole: Whole) -> None:
    tenant = await judged_as(whole, "step_up")
    view = await paid(whole, tenant)
    await opened(whole, tenant, view)
    whole.clock.advance(timedelta(minutes=10))
    assert await whole.house.proofs.challenging.expire_due()
    for _ in range(2):
        await whole.tally()
    intent = await intent_of(whole, tenant, view)
    assert intent["status"] == "requires_payment_method"
    assert intent["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert said("declined", "en") in await page(whole, view)


async def test_challenge_of_a_payment_that_its_merchant_cancels_is_abandoned(whole: Whole) -> None:
    tenant = await judged_as(whole, "step_up")
    view = await paid(whole, tenant)
    challenge = await opened(whole, tenant, view)
    payment = (await intent_of(whole, tenant, view))["id"]
    answer = await whole.send(tenant, "POST", f"/v1/payment_intents/{payment}/cancel")
    assert answer.json()["status"] == "canceled"
    after = await whole.house.proofs.challenging.get(challenge.book_id, challenge.id)
    assert after.state is ChallengeState.ABANDONED


async def test_held_payer_is_told_to_wait_and_not_to_pay_again(whole: Whole) -> None:
    tenant = await judged_as(whole, "review")
    view = await paid(whole, tenant)
    merchant = tenant.merchant.display_name
    for language in LANGUAGES:
        text = await page(whole, view, language)
        for key in ("held", "held_note"):
            assert said(key, language, merchant) in text
        assert said("reserved", language) not in text
    charge = (await intent_of(whole, tenant, view))["latest_charge"]
    outcome = charge["outcome"]
    assert (outcome["type"], outcome["reason"]) == ("manual_review", "elevated_risk_level")
    assert (outcome["risk_level"], outcome["risk_score"] is None) == ("elevated", False)
    assert 0 <= outcome["risk_score"] <= 99
    whole.clock.advance(timedelta(days=7, seconds=1))
    while await whole.house.payments.resolving.resolve_due():
        pass
    after = await intent_of(whole, tenant, view)
    assert (after["cancellation_reason"], after["risk_state"]) == ("review_expired", "undecided")
    for language in LANGUAGES:
        text = await page(whole, view, language)
        assert said("undecided_note", language, merchant) in text


async def test_payment_that_passes_is_a_normal_risk_and_shows_nothing_of_it(whole: Whole) -> None:
    tenant = await whole.tenant()
    view = await paid(whole, tenant)
    assert said("paid", "en") in await page(whole, view)
    charge = (await intent_of(whole, tenant, view))["latest_charge"]
    assert charge["outcome"]["risk_level"] == "normal"
    assert charge["outcome"]["seller_message"] == "Payment complete."
    assert charge["payment_method_details"]["card"]["three_d_secure"] is None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ReasonCode)
def test_no_declined_payer_is_sent_to_steps_that_are_not_there(code: ReasonCode, language: str) -> None:
    steps = payer_sentence(Tier.STEP_UP, (), language)
    sentence = payer_sentence(Tier.DECLINE, (code.value, "of another version"), language)
    assert sentence
    assert sentence != steps
    assert payer_sentence(Tier.REVIEW, (code.value,), language) is None
    assert payer_sentence(Tier.FRICTIONLESS, (code.value,), language) is None


async def test_routing_tells_how_likely_each_way_works(whole: Whole) -> None:
    tenant = await whole.tenant()
    order = SessionOrder((TEA,), "cny", method_kinds=("card", "alipay"))
    done = await whole.house.payments.sessions.create(tenant.scope, order)
    assert done.view is not None
    assert done.view.intent is not None
    chances = await whole.house.payments.prospects.ways(done.view.intent, PRESENTMENTS)
    assert list(chances) == ["card", "alipay"]
    assert all(chance is not None and 0 < chance < 1 for chance in chances.values())
