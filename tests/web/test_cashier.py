"""The hosted checkout page by page: links, cards, codes, ends, both languages, foreign forms, and no card anywhere."""

import asyncio
import gzip
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from tests.payments.scripted import UNRESOLVED, ScriptedChannel, approved, declined
from tests.privacy.test_at_rest import dump
from tests.web.v2_house import EVERY_CALL, V2, Tenant, open_v2

from tongbao.channels.schema import Action, ActionKind, Answer, Authorize, NotificationKind, Outcome, Reason
from tongbao.channels.service.codes import reason_info
from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.core.events.facts import Delivered, topic_of
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.parties.schema import MerchantState
from tongbao.payments.schema.checkout import LineItem, OpenAmount, PaymentLink
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.service.sessions import SessionOrder, SessionView
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.service.vault import Vault
from tongbao.web import explorer, pages
from tongbao.web.api.v1.joining import VaultCards
from tongbao.web.api.v1.limits import Limits, Rates
from tongbao.web.cashier import faces, routes
from tongbao.web.cashier.paying import Problem, Typed, read_form
from tongbao.web.locale import cashier as words

BASE = "http://pay.test"
VISA = "4242424242424242"
TEA = LineItem(name="Longjing, 100 g", unit_minor=850, quantity=2)
CUP = LineItem(name="<script>alert(1)</script>", unit_minor=299, description="Blue & white")
CARD_FORM = {
    "method": "card",
    "number": "4242 4242 4242 4242",
    "expiry": "12 / 30",
    "cvc": "737",
    "name": "Mei",
}
QR = Answer(
    outcome=Outcome.ACTION_REQUIRED,
    action=Action(kind=ActionKind.SHOW_QR, qr_text="https://qr.alipay.com/bax0"),
)
EVERY_KIND = ("card", "alipay", "wechat_pay")
INLINE = re.compile(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)
PAGE_BYTES_MAX = 25 * 1024


@dataclass
class Site:
    """A payer's browser before the checkout, and everything behind it."""

    v2: V2
    tenant: Tenant
    browser: httpx.AsyncClient
    app: FastAPI

    @property
    def channel(self) -> ScriptedChannel:
        """The channel that every payment goes over."""
        return self.v2.channel()

    async def session(self, *items: LineItem, **fields: Any) -> SessionView:
        """An open session of the merchant, for cards unless it is said."""
        fields = {"method_kinds": ("card",)} | fields
        order = SessionOrder(items or (TEA,), fields.pop("currency", "cny"), **fields)
        done = await self.v2.house.payments.sessions.create(self.tenant.scope, order)
        assert done.view is not None
        return done.view

    async def link(self, **fields: Any) -> PaymentLink:
        """A link of the merchant, for cards unless it is said."""
        sessions = self.v2.house.payments.sessions
        fields = {"method_kinds": ("card",)} | fields
        done = await sessions.create_link(self.tenant.scope, (TEA,), "cny", **fields)
        assert done.view is not None
        return done.view

    async def page(self, view: SessionView, status: int = 200, **query: str) -> str:
        """The page of a session."""
        answer = await self.browser.get(f"/c/{view.session.reference}", params=query)
        assert answer.status_code == status, answer.text
        return answer.text

    async def key(self, view: SessionView) -> str:
        """The key of a form that the page shows now."""
        found = re.search(r'name="key" value="([^"]+)"', await self.page(view))
        assert found is not None
        return found[1]

    async def send(
        self,
        view: SessionView,
        fields: dict[str, str] | None = None,
        *,
        origin: str | None = BASE,
        **more: str,
    ) -> httpx.Response:
        """Send a form: the card form with a fresh key, with changes."""
        form = (fields or CARD_FORM) | more
        if "key" not in form:
            form["key"] = await self.key(view)
        headers = {"content-type": "application/x-www-form-urlencoded"} | (
            {"origin": origin} if origin else {}
        )
        path = f"/c/{view.session.reference}/pay"
        return await self.browser.post(path, content=urlencode(form), headers=headers)

    async def deliver(self) -> None:
        """Hand every fact of the merchant to the subscription that completes sessions."""
        house = self.v2.house
        now = house.clock.now()
        facts = [
            Delivered(number, house.ids.uuid(), topic_of(Happened), fact.subject, now, now, fact)
            for number, fact in enumerate(await house.facts(self.tenant.scope), 1)
        ]
        await house.payments.sessions.subscription().handle(facts)

    async def state(self, view: SessionView) -> str:
        """What a waiting page is told."""
        answer = await self.browser.get(f"/c/{view.session.reference}/state")
        assert set(answer.json()) == {"state"}
        said: str = answer.json()["state"]
        return said


def checkout(v2: V2, vault: Vault, limits: Limits | None = None) -> FastAPI:
    """The checkout alone, under the headers of the real application."""
    house = v2.house
    app = FastAPI()
    till = routes.Till(
        house.payments,
        v2.parties.merchants,
        VaultCards(vault, house.database),
        limits or Limits(EVERY_CALL),
        house.clock,
        house.ids,
        BASE,
    )
    app.include_router(routes.router(till))
    explorer.mount_static(app)
    return app


def browser_of(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, headers=headers)


@pytest.fixture
async def site(database: Database, ids: IdFactory, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_v2(database, ids) as v2:
        clock = v2.house.clock
        keys = FileKeys(tmp_path / "keys.json", clock)
        async with Vault(database, keys, clock, ids, Metrics()) as vault:
            app = checkout(v2, vault)
            async with browser_of(app) as browser:
                yield Site(v2, await v2.tenant(), browser, app)


async def test_link_opens_a_session_of_its_own_for_everybody(site: Site) -> None:
    link = await site.link()
    first = await site.browser.get(f"/l/{link.reference}")
    second = await site.browser.get(f"/l/{link.reference}?lang=zh-CN&other=1")
    assert (first.status_code, second.status_code) == (303, 303)
    assert re.fullmatch(r"/c/cs_[0-9a-z]{26}", first.headers["location"])
    assert second.headers["location"] != first.headers["location"]
    assert second.headers["location"].endswith("?lang=zh-CN&other=1")
    shown = await site.browser.get(first.headers["location"])
    assert shown.status_code == 200
    assert "CN¥17.00" in shown.text


async def open_link(site: Site) -> PaymentLink:
    """A link whose payer chooses 10 to 500 yuan."""
    done = await site.v2.house.payments.sessions.create_link(
        site.tenant.scope,
        (LineItem(name="<b>Gift</b>", unit_minor=2_000),),
        "cny",
        open_amount=OpenAmount(least_minor=1_000, most_minor=50_000, preset_minor=2_000),
    )
    assert done.view is not None
    return done.view


async def chosen(site: Site, link: PaymentLink, amount: str, **headers: str) -> httpx.Response:
    """Send the sum that a payer typed."""
    sent = {"content-type": "application/x-www-form-urlencoded", "origin": BASE, **headers}
    return await site.browser.post(
        f"/l/{link.reference}", content=urlencode({"amount": amount}), headers=sent
    )


async def test_payer_chooses_the_sum_of_an_open_link_and_pays_it(site: Site) -> None:
    link = await open_link(site)
    asked = await site.browser.get(f"/l/{link.reference}")
    assert asked.status_code == 200
    assert 'value="20.00"' in asked.text
    assert "From CN¥10.00 to CN¥500.00." in asked.text or "From ¥10.00 to ¥500.00." in asked.text
    assert "&lt;b&gt;Gift" in asked.text
    assert not INLINE.search(asked.text)
    opened = await chosen(site, link, "88.80")
    assert opened.status_code == 303
    view = await site.v2.house.payments.sessions.by_reference(opened.headers["location"].rpartition("/")[2])
    assert view.intent is not None
    assert (view.intent.amount_minor, view.session.link_id) == (8_880, link.id)
    assert (await site.send(view)).status_code == 303
    assert "88.80" in await site.page(view)


@pytest.mark.parametrize("typed", ["", "9.99", "500.01", "-20", "1e3", "12.345", "tea", "20;DROP", "9" * 30])
async def test_sum_that_an_open_link_does_not_take_is_asked_for_again(site: Site, typed: str) -> None:
    link = await open_link(site)
    answer = await chosen(site, link, typed)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    page = await site.v2.house.payments.sessions.page(site.tenant.scope, PageOrder(parent_id=link.id))
    assert page.items == []


async def test_open_link_is_not_paid_from_another_site_and_a_fixed_one_takes_no_sum(site: Site) -> None:
    link = await open_link(site)
    assert (await chosen(site, link, "20", origin="https://evil.test")).status_code == 403
    fixed = await site.link()
    answer = await chosen(site, fixed, "1.00")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/l/{fixed.reference}")
    await site.v2.house.payments.sessions.change_link(site.tenant.scope, link.id, active=False)
    assert (await chosen(site, link, "20")).status_code == 410


async def test_link_counts_each_payment_once_and_closes_at_its_most(site: Site) -> None:
    link = await site.link(completed_count_max=1, inactive_message="<b>Sold out</b>")
    opened = await site.browser.get(f"/l/{link.reference}")
    view = await site.v2.house.payments.sessions.by_reference(opened.headers["location"].removeprefix("/c/"))
    await site.send(view)
    await site.deliver()
    await site.deliver()
    counted = await site.v2.house.payments.sessions.link(site.tenant.scope, link.id)
    assert counted.completed_count == 1
    closed = await site.browser.get(f"/l/{link.reference}")
    assert closed.status_code == 410
    assert words.text("inactive", "en") in closed.text
    assert "&lt;b&gt;Sold out&lt;/b&gt;" in closed.text


async def test_link_without_a_message_says_so_in_the_language_of_the_payer(site: Site) -> None:
    link = await site.link()
    await site.v2.house.payments.sessions.change_link(site.tenant.scope, link.id, active=False)
    closed = await site.browser.get(f"/l/{link.reference}", headers={"accept-language": "zh"})
    assert words.text("inactive_note", "zh-CN") in closed.text


@pytest.mark.parametrize(
    "path",
    [
        "/c/cs_0000000000000000000000000e",
        "/c/nonsense",
        "/c/%00",
        "/l/plink_0000000000000000000000000e",
        "/l/x",
    ],
)
async def test_unknown_address_is_a_page_that_tells_nothing(site: Site, path: str) -> None:
    answer = await site.browser.get(path)
    assert answer.status_code == 404
    assert words.text("missing", "en") in answer.text


async def test_page_names_merchant_items_and_total_and_escapes_them(site: Site) -> None:
    text = await site.page(
        await site.session(TEA, CUP, method_kinds=EVERY_KIND, cancel_url="https://shop.test/x")
    )
    assert site.tenant.merchant.display_name in text
    for shown in ("Longjing, 100 g", "2 × CN¥8.50", "CN¥2.99", "CN¥19.99", "Blue &amp; white"):
        assert shown in text
    assert "<script>alert" not in text
    assert 'href="https://shop.test/x"' in text
    assert words.text("test_mode", "en") in text


@pytest.mark.parametrize(
    ("currency", "unit_minor", "lang", "shown"),
    [
        ("cny", 1999, "zh-CN", "¥19.99"),
        ("usd", 123456, "en", "$1,234.56"),
        ("jpy", 1999, "en", "¥1,999"),
        ("kwd", 1999, "en", "KWD1.999"),
    ],
)
async def test_total_has_the_decimals_of_its_currency(
    site: Site, currency: str, unit_minor: int, lang: str, shown: str
) -> None:
    view = await site.session(LineItem(name="Tea", unit_minor=unit_minor), currency=currency)
    text = (await site.page(view, lang=lang)).replace("\xa0", "")
    assert f'<p class="amount">{shown}</p>' in text


async def test_page_offers_what_session_and_channels_allow(site: Site) -> None:
    every = await site.page(await site.session(method_kinds=("wallet", *EVERY_KIND)))
    assert re.findall(r'name="method" value="(\w+)"', every) == list(EVERY_KIND)
    unsaid = await site.page(await site.session(method_kinds=()))
    assert re.findall(r'name="method" value="(\w+)"', unsaid) == list(EVERY_KIND)
    card = await site.page(await site.session())
    assert re.findall(r'name="method" value="(\w+)"', card) == ["card"]
    for name in ("one", "two"):
        site.v2.house.payments.channels.switch(name, enabled=False)
    none = await site.page(await site.session(method_kinds=EVERY_KIND))
    assert words.text("no_way", "en") in none
    assert '/pay"' not in none


async def test_card_pays_once_and_shows_a_receipt(site: Site) -> None:
    view = await site.session(success_url="https://shop.test/thanks?session={CHECKOUT_SESSION_ID}")
    answer = await site.send(view)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/c/{view.session.reference}")
    text = await site.page(view)
    assert view.intent is not None
    for shown in (words.text("paid", "en"), "Visa •••• 4242", view.intent.reference, "CN¥17.00"):
        assert shown in text
    assert f'href="https://shop.test/thanks?session={view.session.reference}"' in text
    assert "<form" not in text
    [call] = site.channel.asked("authorize")
    assert isinstance(call, Authorize)
    assert call.amount_minor == 1700
    assert call.return_url == f"{BASE}/c/{view.session.reference}"
    assert await site.state(view) == "paid"
    await site.v2.house.check_books()


async def test_payment_that_is_captured_later_is_shown_as_reserved(site: Site) -> None:
    view = await site.session(capture_method=CaptureMethod.MANUAL)
    await site.send(view)
    assert words.text("reserved", "en") in await site.page(view)


async def test_form_that_is_sent_twice_at_once_pays_once(site: Site) -> None:
    view, arrived, go_on = await site.session(), asyncio.Event(), asyncio.Event()

    async def slow(call: Any) -> Answer:
        arrived.set()
        await go_on.wait()
        return approved(call, captured=True)

    site.channel.reply("authorize", slow)
    key = await site.key(view)
    first = asyncio.create_task(site.send(view, CARD_FORM | {"key": key}))
    await arrived.wait()
    second = await site.send(view, CARD_FORM | {"key": key})
    other_tab = await site.send(view, CARD_FORM | {"key": key[:-1] + "z"})
    assert await site.state(view) == "wait"
    assert words.text("wait", "en") in await site.page(view)
    go_on.set()
    for answer in (await first, second, other_tab, await site.send(view, CARD_FORM | {"key": key})):
        assert (answer.status_code, answer.headers["location"]) == (303, f"/c/{view.session.reference}")
    assert len(site.channel.asked("authorize")) == 1
    assert await site.state(view) == "paid"


async def test_forms_that_race_pay_once(site: Site) -> None:
    view = await site.session()
    keys = [await site.key(view) for _ in range(4)]
    await asyncio.gather(*(site.send(view, CARD_FORM | {"key": key}) for key in keys for _ in range(2)))
    assert len(site.channel.asked("authorize")) == 1
    assert await site.state(view) == "paid"


@pytest.mark.parametrize("lang", words.LANGUAGES)
async def test_decline_is_told_in_the_payers_language_and_may_be_tried_again(site: Site, lang: str) -> None:
    view = await site.session()
    site.channel.reply("authorize", declined(Reason.INSUFFICIENT_FUNDS, "51"))
    await site.send(view)
    info = reason_info(Reason.INSUFFICIENT_FUNDS)
    text = await site.page(view, lang=lang)
    assert (info.payer_zh if lang == "zh-CN" else info.payer_en) in text
    assert 'role="alert"' in text
    assert VISA not in text
    await site.send(view)
    assert words.text("paid", lang) in await site.page(view)


async def test_form_of_a_declined_card_sent_again_is_not_another_attempt(site: Site) -> None:
    view = await site.session()
    key = await site.key(view)
    site.channel.reply("authorize", declined(Reason.INSUFFICIENT_FUNDS))
    await site.send(view, CARD_FORM | {"key": key})
    await site.send(view, CARD_FORM | {"key": key})
    assert len(site.channel.asked("authorize")) == 1
    other_card = await site.send(view, CARD_FORM | {"key": key, "number": "5555555555554444"})
    assert other_card.headers["location"].endswith("?problem=again")
    assert len(site.channel.asked("authorize")) == 1


async def test_session_takes_only_so_many_attempts(site: Site) -> None:
    view = await site.session()
    key = await site.key(view)
    for number in range(faces.TRIES_MAX):
        site.channel.reply("authorize", declined(Reason.CARD_NUMBER_INVALID, "14"))
        await site.send(view, CARD_FORM | {"key": f"{key[:-2]}{number:02}"})
    assert words.text("tries", "en") in await site.page(view)
    refused = await site.send(view, CARD_FORM | {"key": key})
    assert refused.headers["location"].endswith("?problem=method")
    assert len(site.channel.asked("authorize")) == faces.TRIES_MAX


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"number": ""}, "number"),
        ({"number": "4242424242424241"}, "number"),
        ({"number": "letters"}, "number"),
        ({"expiry": ""}, "expiry"),
        ({"expiry": "13/30"}, "expiry"),
        ({"expiry": "01/20"}, "expiry"),
        ({"expiry": "٠١/٣٠"}, "expiry"),
        ({"cvc": ""}, "cvc"),
        ({"cvc": "12"}, "cvc"),
        ({"name": "x" * 300}, "name"),
        ({"name": VISA}, "name"),
        ({"method": "wallet"}, "method"),
        ({"method": "alipay"}, "method"),
        ({"key": "?"}, "again"),
    ],
)
async def test_form_that_cannot_be_says_which_field_and_repeats_nothing(
    site: Site, fields: dict[str, str], problem: str
) -> None:
    view = await site.session()
    answer = await site.send(view, {"key": await site.key(view)} | CARD_FORM | fields)
    assert answer.headers["location"] == f"/c/{view.session.reference}?problem={problem}"
    text = (await site.browser.get(answer.headers["location"])).text
    assert words.text(f"p_{problem}", "en") in text
    assert 'name="number" required' in re.sub(r"\s+", " ", text)
    # An id may hold any digits; what was typed may stand nowhere else.
    assert not re.search(r"4242|(?<![0-9a-z])737(?![0-9a-z])|value=\"12", re.sub(r"_[0-9a-z]{26}", "", text))
    assert not site.channel.calls


async def test_problem_in_the_address_is_one_of_a_few_words(site: Site) -> None:
    view = await site.session()
    assert 'role="alert"' not in await site.page(view, problem="<b>x</b>")


@pytest.mark.parametrize("origin", ["https://evil.test", "http://pay.test.evil.test", "null", "", None])
async def test_form_from_another_site_is_refused(site: Site, origin: str | None) -> None:
    view = await site.session()
    answer = await site.send(view, origin=origin)
    assert answer.status_code == 403
    assert words.text("foreign", "en") in answer.text
    assert not site.channel.calls


async def test_large_form_is_refused(site: Site) -> None:
    view = await site.session()
    answer = await site.send(view, name="x" * 10_000)
    assert answer.status_code == 400
    assert not site.channel.calls


@pytest.mark.parametrize(
    ("kind", "words_key"), [("alipay", "scan_alipay"), ("wechat_pay", "scan_wechat_pay")]
)
async def test_code_is_shown_and_the_page_moves_on_when_it_is_paid(
    site: Site, kind: str, words_key: str
) -> None:
    view = await site.session(method_kinds=EVERY_KIND)
    site.channel.reply("authorize", QR)
    await site.send(view, {"method": kind})
    text = await site.page(view)
    assert words.text(words_key, "en") in text
    assert '<svg viewBox="0 0 ' in text
    assert f'data-watch="/c/{view.session.reference}/state"' in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert f'href="/c/{view.session.reference}">{words.text("check_now", "en")}' in text
    assert await site.state(view) == "scan"
    [call] = site.channel.asked("authorize")
    assert isinstance(call, Authorize)
    told = approved(call, captured=True)
    await site.v2.house.notify(NotificationKind.PAYMENT, call.reference, told)
    assert await site.state(view) == "paid"
    assert words.text(f"m_{kind}", "en") in await site.page(view)


async def test_code_that_is_over_is_waited_out_and_a_deep_link_leads_nowhere(site: Site) -> None:
    view = await site.session(method_kinds=EVERY_KIND)
    until = site.v2.house.clock.now() + timedelta(minutes=5)
    action = Action(kind=ActionKind.SHOW_QR, qr_text="weixin://wxpay/bizpayurl?pr=x", expires_at=until)
    site.channel.reply("authorize", Answer(outcome=Outcome.ACTION_REQUIRED, action=action))
    await site.send(view, {"method": "wechat_pay"})
    text = await site.page(view)
    assert until.isoformat() in text
    assert "weixin://" not in text
    site.v2.house.clock.advance(timedelta(minutes=5))
    assert await site.state(view) == "wait"


@pytest.mark.parametrize(
    ("url", "state"),
    [("https://bank.test/3ds?a=1&b=2", "leave"), ("javascript:alert(1)", "wait"), (None, "wait")],
)
async def test_confirmation_elsewhere_is_a_link_to_a_web_page_only(
    site: Site, url: str | None, state: str
) -> None:
    view = await site.session()
    action = Action(kind=ActionKind.REDIRECT, url=url)
    site.channel.reply("authorize", Answer(outcome=Outcome.ACTION_REQUIRED, action=action))
    answer = await site.send(view)
    assert answer.headers["location"] == f"/c/{view.session.reference}"
    text = await site.page(view)
    assert await site.state(view) == state
    assert ('href="https://bank.test/3ds?a=1&amp;b=2"' in text) is (state == "leave")
    assert "javascript:" not in text


async def test_payment_without_an_answer_is_waited_for_and_not_offered_again(site: Site) -> None:
    view = await site.session()
    site.channel.reply("authorize", UNRESOLVED)
    await site.send(view)
    text = await site.page(view)
    assert words.text("w_known_unknown", "en") in text
    assert "<form" not in text
    await site.send(view, CARD_FORM | {"key": "try_another0001"})
    assert len(site.channel.asked("authorize")) == 1


async def test_session_expires_at_its_time_and_is_not_paid_afterwards(site: Site) -> None:
    view = await site.session()
    key = await site.key(view)
    site.v2.house.clock.advance(timedelta(hours=24))
    assert await site.state(view) == "expired"
    text = await site.page(view)
    assert words.text("expired", "en") in text
    await site.send(view, CARD_FORM | {"key": key})
    assert not site.channel.calls
    await site.v2.house.payments.sessions.resolve(view.session)
    assert words.text("expired", "en") in await site.page(view)


async def test_canceled_payment_says_so(site: Site) -> None:
    view = await site.session()
    assert view.intent is not None
    await site.v2.house.payments.intents.cancel(site.tenant.scope, view.intent.id)
    assert words.text("canceled", "en") in await site.page(view)
    assert await site.state(view) == "canceled"


async def test_suspended_merchant_takes_nothing(site: Site) -> None:
    view = await site.session()
    key = await site.key(view)
    await suspend(site)
    text = await site.page(view)
    assert words.text("paused_note", "en") in text
    assert '/pay"' not in text
    await site.send(view, CARD_FORM | {"key": key})
    assert not site.channel.calls


async def test_refund_is_shown_on_the_receipt(site: Site) -> None:
    view = await site.session()
    await site.send(view)
    assert view.intent is not None
    await site.v2.house.payments.refunds.create(site.tenant.scope, intent_id=view.intent.id, amount_minor=500)
    text = await site.page(view)
    assert words.text("r_refunded", "en") in text
    assert "CN¥5.00" in text


async def test_card_is_in_no_table_log_line_or_address_afterwards(
    site: Site, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    number, cvc, name = "4000056655665556", "918273", "Zerubbabel Q. Payer"
    view = await site.session()
    form = CARD_FORM | {"number": number, "name": name}
    wrong = await site.send(view, form | {"cvc": cvc})
    answer = await site.send(view, form)
    said = [str(each.headers) + each.text for each in (wrong, answer)] + [await site.page(view)]
    assert "•••• 5556" in said[-1]
    out = capfd.readouterr()
    for text in (*said, out.out, out.err, caplog.text):
        assert number not in text
        assert cvc not in text
        assert name not in text
    _, stored = await dump(site.v2.house.database)
    for secret in (number, cvc, name):
        assert secret.encode() not in stored
        assert secret.encode().hex().encode() not in stored
    assert b'"last4": "5556"' in stored


async def test_address_that_asks_too_often_is_slowed_down(site: Site, tmp_path: Path) -> None:
    v2 = site.v2
    async with Vault(
        v2.house.database,
        FileKeys(tmp_path / "more.json", v2.house.clock),
        v2.house.clock,
        v2.house.ids,
        Metrics(),
    ) as vault:
        app = checkout(v2, vault, Limits(Rates(live_writes=2), seconds=lambda: 0.0))
        link = await site.link()
        async with browser_of(app) as browser:
            statuses = [(await browser.get(f"/l/{link.reference}")).status_code for _ in range(3)]
    assert statuses == [303, 303, 429]


@pytest.mark.parametrize(
    ("headers", "query", "locale", "language"),
    [
        ({}, {}, "auto", "en"),
        ({"accept-language": "zh-TW,zh;q=0.9,en;q=0.1"}, {}, "auto", "zh-CN"),
        ({"accept-language": "zh"}, {"lang": "en"}, "auto", "en"),
        ({"accept-language": "en"}, {}, "zh", "zh-CN"),
        ({"accept-language": "en"}, {}, "fr", "en"),
        ({"cookie": "lang=en"}, {}, "zh", "en"),
    ],
)
async def test_language_is_asked_for_chosen_wished_or_negotiated(
    site: Site, headers: dict[str, str], query: dict[str, str], locale: str, language: str
) -> None:
    view = await site.session(locale=locale)
    async with browser_of(site.app, **headers) as browser:
        answer = await browser.get(f"/c/{view.session.reference}", params=query)
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}"' in answer.text
    assert str(words.text("how", language)) in answer.text


async def test_large_text_is_remembered_until_it_is_switched_off(site: Site) -> None:
    view = await site.session()
    assert "data-elder" in await site.page(view, mode="elder")
    assert "data-elder" in await site.page(view)
    assert "data-elder" not in await site.page(view, mode="standard")
    assert "data-elder" not in await site.page(view)


async def test_every_face_is_small_and_has_nothing_inline(site: Site) -> None:
    view = await site.session(method_kinds=EVERY_KIND)
    site.channel.reply("authorize", QR)
    pay = await site.page(view)
    await site.send(view, {"method": "alipay"})
    paid = await site.session()
    await site.send(paid)
    for text in (pay, await site.page(view), await site.page(paid), (await site.browser.get("/c/x")).text):
        assert not INLINE.search(text)
        assets = [pages.ASSETS[name].content for name in re.findall(r"/static/ledger/([\w.]+)", text)]
        assert len(gzip.compress(text.encode() + b"".join(assets))) < PAGE_BYTES_MAX
        assert re.search(r"<html lang=.+<title>[^<]+</title>.+<main.+<h1", text, re.DOTALL)


async def test_answers_are_not_kept_indexed_or_leaked_to_other_sites(site: Site) -> None:
    view = await site.session()
    answer = await site.browser.get(f"/c/{view.session.reference}")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-robots-tag"] == "noindex"
    assert view.session.client_secret not in answer.text
    assert view.intent is not None
    assert view.intent.client_secret not in answer.text


async def test_receipt_does_not_tell_where_the_page_of_its_session_is(site: Site) -> None:
    view = await site.session()
    assert view.intent is not None
    assert abs(view.intent.id.int - view.session.id.int) > 1 << 40
    with pytest.raises(NotFound):
        await site.v2.house.payments.sessions.by_reference(view.intent.reference)


def test_fields_say_what_browsers_need_to_fill_them_in() -> None:
    source = (Path(pages.__file__).parent / "templates" / "cashier" / "pay.html").read_text()
    for token in ("cc-number", "cc-exp", "cc-csc", "cc-name"):
        assert f'autocomplete="{token}"' in source
    assert source.count('inputmode="numeric"') == 3
    assert '<label for="{{ name }}">' in source


@pytest.mark.parametrize("expiry", ["1230", "12/30", "12 / 30", "12-2030", "12/2030", " 12.30 "])
def test_expiry_is_read_as_people_write_it(expiry: str) -> None:
    typed = read_form(CARD_FORM | {"key": "try_0000000000", "expiry": expiry})
    assert isinstance(typed, Typed)
    assert typed.card is not None
    assert (typed.card.exp_month, typed.card.exp_year % 100) == (12, 30)
    assert VISA[:4] not in repr(typed)


def test_words_are_complete() -> None:
    for problem in Problem:
        assert f"p_{problem}" in words.TEXTS
    for text in set(routes._TEXTS.values()):
        assert {text, f"{text}_note"} <= set(words.TEXTS)
    for key, (english, chinese) in words.TEXTS.items():
        assert english, key
        assert chinese, key
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key


async def suspend(site: Site) -> None:
    """Suspend the merchant, as the house does."""
    people, merchant = site.v2.people, site.tenant.merchant
    async with people.database.transaction() as connection:
        await site.v2.parties.merchants.set_state(
            connection,
            people.operator,
            merchant.merchant_id,
            MerchantState.SUSPENDED,
            merchant.version,
            "a test",
        )
