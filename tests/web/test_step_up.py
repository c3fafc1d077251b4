"""The step-up pages one by one: a code asked for and sent, right and wrong, late, closed, foreign, in both languages."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from tests.risk.proofs import RIGHT, SECRET, WRONG, Desk
from tests.web.v2_house import EVERY_CALL

from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.ids import IdFactory
from tongbao.risk.schema.challenges import ChallengeOrder, ChallengeState, Means
from tongbao.risk.service.step_up_links import StepUpLinks
from tongbao.web import explorer, pages
from tongbao.web.api.v1.limits import Limits, Rates
from tongbao.web.locale import cashier
from tongbao.web.locale import step_up as words
from tongbao.web.step_up import routes, views
from tongbao.web.step_up.routes import step_up_router

BASE = "http://pay.test"
SHOP = "https://shop.test/cart?id=7"
INLINE = re.compile(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)
PAGE_BYTES_MAX = 25 * 1024


@dataclass
class Site:
    """A payer's browser before the page, and everything behind it."""

    desk: Desk
    links: StepUpLinks
    browser: httpx.AsyncClient
    app: FastAPI
    next_url: str = "/c/cs_1"
    failure: Exception | None = None
    continued: list[tuple[int, UUID]] = field(default_factory=list)

    async def go_on(self, book_id: int, intent_id: UUID) -> str:
        """Go on with a payment as the house would."""
        self.continued.append((book_id, intent_id))
        if self.failure is not None:
            raise self.failure
        return self.next_url

    def path(self, order: ChallengeOrder, return_url: str = SHOP) -> str:
        """The address of a page, without the house."""
        return self.links.url(order, return_url).removeprefix(BASE)

    async def page(self, path: str, status: int = 200, **query: str) -> str:
        """A page as it is shown."""
        answer = await self.browser.get(path, params=query or None)
        assert answer.status_code == status, answer.text
        return answer.text

    async def send(self, path: str, act: str, code: str = "", origin: str | None = BASE) -> httpx.Response:
        """Send a form of the page."""
        headers = {"content-type": "application/x-www-form-urlencoded"} | (
            {"origin": origin} if origin else {}
        )
        return await self.browser.post(f"{path}/{act}", content=urlencode({"code": code}), headers=headers)

    async def follow(self, answer: httpx.Response) -> str:
        """The page that a form leads back to."""
        assert answer.status_code == 303, answer.text
        return await self.page(answer.headers["location"])


def browser_of(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, headers=headers)


def site_of(desk: Desk, limits: Limits | None = None) -> Site:
    app = FastAPI()
    site = Site(desk, StepUpLinks(SECRET, BASE, desk.clock), browser_of(app), app)
    app.include_router(step_up_router(desk.challenging, site.links, site.go_on, limits or Limits(EVERY_CALL)))
    explorer.mount_static(app)
    return site


@pytest.fixture
async def site(database: Database, ids: IdFactory) -> AsyncIterator[Site]:
    made = site_of(Desk(database, ids))
    async with made.browser:
        yield made


def said(key: str, language: str = "en") -> str:
    return words.text(key, language)


async def test_first_look_sends_one_code_and_says_where_it_went(site: Site) -> None:
    path = site.path(site.desk.order())
    text = await site.page(path)
    for shown in ("m***@example.com", "Pay Tea House", "CN¥17.00", said("who"), said("only_this")):
        assert shown in text
    assert f'href="{SHOP}"' in text
    assert "mei@" not in text
    await asyncio.gather(site.page(path), site.page(path))
    assert len(site.desk.postbox.sent) == 1


async def test_looks_at_once_send_one_code(site: Site) -> None:
    path = site.path(site.desk.order())
    await asyncio.gather(*(site.page(path) for _ in range(4)))
    assert len(site.desk.postbox.sent) == 1


async def test_right_code_goes_on_with_the_payment(site: Site) -> None:
    order = site.desk.order()
    path = site.path(order)
    await site.page(path)
    answer = await site.send(path, "answer", "204 816")
    assert (answer.status_code, answer.headers["location"]) == (303, "/c/cs_1")
    assert site.continued == [(order.purpose.book_id, order.purpose.subject_id)]


async def test_payment_that_goes_on_elsewhere_is_led_there_by_a_page(site: Site) -> None:
    site.next_url = "https://acs.bank.test/3ds?a=1&b=茶"
    path = site.path(site.desk.order())
    await site.page(path)
    answer = await site.send(path, "answer", RIGHT)
    assert answer.status_code == 200
    assert answer.headers["refresh"] == "0; url=https://acs.bank.test/3ds?a=1&b=%E8%8C%B6"
    assert 'href="https://acs.bank.test/3ds?a=1&amp;b=茶"' in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil.test", "/\\evil.test", "ftp://x.test/"])
async def test_address_that_is_none_is_not_followed(site: Site, url: str) -> None:
    site.next_url = url
    path = site.path(site.desk.order())
    await site.page(path)
    answer = await site.send(path, "answer", RIGHT)
    assert answer.status_code == 500
    assert said("broken") in answer.text
    assert "evil" not in answer.text + str(answer.headers)


async def test_payment_that_leads_nowhere_ends_on_the_page(site: Site) -> None:
    site.next_url = ""
    path = site.path(site.desk.order())
    await site.page(path)
    answer = await site.send(path, "answer", RIGHT)
    assert answer.status_code == 200
    assert said("done_note").format(merchant="Tea House") in answer.text
    assert f'href="{SHOP}"' in answer.text
    assert "<form" not in answer.text


async def test_wrong_code_says_how_many_attempts_are_left_and_five_close_the_page(site: Site) -> None:
    path = site.path(site.desk.order())
    assert "Attempts left" not in await site.page(path)
    for left in (4, 3, 2, 1):
        text = await site.follow(await site.send(path, "answer", WRONG))
        assert said("p_wrong") in text
        assert said("attempts").format(n=left) in text
        assert 'aria-invalid="true"' in text
    closed = await site.follow(await site.send(path, "answer", WRONG))
    assert said("failed") in closed
    assert "<form" not in closed
    assert f'href="{SHOP}"' in closed
    assert said("failed") in await site.follow(await site.send(path, "answer", RIGHT))
    assert site.continued == []


@pytest.mark.parametrize("code", ["", "12345", "abcdef", "1" * 2_000])
async def test_code_that_is_none_costs_no_attempt(site: Site, code: str) -> None:
    path = site.path(site.desk.order())
    await site.page(path)
    text = await site.follow(await site.send(path, "answer", code))
    assert said("p_form") in text
    assert "Attempts left" not in text


async def test_another_code_is_sent_after_a_pause_and_three_in_all(site: Site) -> None:
    path = site.path(site.desk.order())
    assert said("wait").format(n=30) in await site.page(path)
    assert said("p_soon") in await site.follow(await site.send(path, "resend"))
    for _ in range(2):
        site.desk.later(seconds=30)
        assert said("ready") in await site.page(path)
        assert said("said_sent") in await site.follow(await site.send(path, "resend"))
    site.desk.later(seconds=30)
    text = await site.page(path)
    assert said("no_more") in text
    assert "/resend" not in text
    assert said("p_sends") in await site.follow(await site.send(path, "resend"))
    assert len(site.desk.postbox.sent) == 3


async def test_code_that_could_not_be_sent_is_said_and_can_be_sent_again(site: Site) -> None:
    site.desk.postbox.failure = Unavailable("code_not_sent", "the server is away")
    path = site.path(site.desk.order())
    text = await site.page(path)
    assert said("p_unsent") in text
    assert "m***@example.com" not in text
    site.desk.postbox.failure = None
    site.desk.later(seconds=30)
    assert said("said_sent") in await site.follow(await site.send(path, "resend"))


async def test_late_code_is_expired_and_a_new_one_can_be_had(site: Site) -> None:
    path = site.path(site.desk.order())
    await site.page(path)
    site.desk.later(minutes=10)
    text = await site.page(path)
    assert said("expired") in text
    assert f'href="{SHOP}"' in text
    assert said("expired") in await site.follow(await site.send(path, "answer", RIGHT))
    site.desk.codes = ["333333"]
    assert said("who") in await site.follow(await site.send(path, "again"))
    assert [code for _, code, _, _ in site.desk.postbox.sent] == [RIGHT, "333333"]
    assert (await site.send(path, "answer", "333333")).headers["location"] == "/c/cs_1"


async def test_link_is_late_after_half_an_hour_and_shows_the_way_back(site: Site) -> None:
    path = site.path(site.desk.order())
    await site.page(path)
    site.desk.later(minutes=30)
    text = await site.page(path, 410)
    assert said("late") in text
    assert f'href="{SHOP}"' in text
    assert "<form" not in text
    for act in ("answer", "resend", "again", "continue"):
        answer = await site.send(path, act, RIGHT)
        assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert len(site.desk.postbox.sent) == 1


@pytest.mark.parametrize("path", ["/step-up/x", "/step-up/%00", "/step-up/" + "A" * 200, "/step-up/é"])
async def test_unknown_address_is_a_page_that_tells_nothing(site: Site, path: str) -> None:
    text = await site.page(path, 404)
    assert said("missing") in text
    assert "<form" not in text
    assert (await site.send(path, "answer", RIGHT)).status_code == 404


@pytest.mark.parametrize("act", ["answer", "resend", "again", "continue"])
@pytest.mark.parametrize("origin", [None, "https://evil.test", "null", "http://pay.test.evil.test"])
async def test_form_of_another_site_is_refused(site: Site, act: str, origin: str | None) -> None:
    order = site.desk.order()
    path = site.path(order)
    await site.page(path)
    answer = await site.send(path, act, RIGHT, origin)
    assert answer.status_code == 403
    assert said("foreign") in answer.text
    challenge = await site.desk.challenging.latest(order.purpose)
    assert challenge is not None
    assert (challenge.state, challenge.attempts_left, challenge.sends_left) == (ChallengeState.OPEN, 5, 2)


async def test_code_sent_twice_at_once_goes_on_once(site: Site) -> None:
    path = site.path(site.desk.order())
    await site.page(path)
    answers = await asyncio.gather(*(site.send(path, "answer", RIGHT) for _ in range(3)))
    assert sorted(answer.headers["location"] for answer in answers) == ["/c/cs_1", path, path]
    assert len(site.continued) == 1
    assert said("passed") in await site.page(path)


async def test_payment_that_could_not_go_on_is_taken_up_again_without_a_new_code(site: Site) -> None:
    path = site.path(site.desk.order())
    await site.page(path)
    site.failure = Unavailable("database_busy", "no connection became free")
    text = await site.follow(await site.send(path, "answer", RIGHT))
    assert said("p_busy") in text
    assert f'action="{path}/continue"' in text
    site.failure = None
    assert (await site.send(path, "continue")).headers["location"] == "/c/cs_1"
    assert len(site.desk.postbox.sent) == 1


async def test_payment_does_not_go_on_without_a_proof(site: Site) -> None:
    path = site.path(site.desk.order())
    for _ in range(2):
        assert (await site.send(path, "continue")).headers["location"] == path
        await site.page(path)
    assert (await site.send(path, "again")).headers["location"] == path
    assert site.continued == []


async def test_page_of_an_amount_that_changed_asks_for_nothing(site: Site) -> None:
    order = site.desk.order()
    path = site.path(order)
    await site.page(path)
    dearer = site.path(site.desk.changed(order, amount_minor=1_701))
    assert "CN¥17.01" in await site.page(dearer)
    text = await site.page(path)
    assert said("abandoned") in text
    assert "<form" not in text
    assert said("abandoned") in await site.follow(await site.send(path, "answer", RIGHT))
    assert site.continued == []


async def test_next_look_of_risk_control_starts_anew_after_a_failure(site: Site) -> None:
    order = site.desk.order()
    path = site.path(order)
    await site.page(path)
    for _ in range(5):
        await site.send(path, "answer", WRONG)
    again = site.path(msgspec.structs.replace(order, signals_id=site.desk.ids.uuid()))
    assert said("who") in await site.page(again)
    await site.send(again, "answer", RIGHT)
    assert len(site.continued) == 1
    assert said("passed") in await site.page(again)


@pytest.mark.parametrize(
    ("fields", "face", "status"),
    [({"destination": "email:nobody"}, "no_means", 400), ({"means": Means.PASSKEY}, "no_means", 400)],
)
async def test_payer_who_cannot_be_asked_gets_the_way_back(
    site: Site, fields: dict[str, object], face: str, status: int
) -> None:
    text = await site.page(site.path(site.desk.order(**fields)), status)
    assert said(face) in text
    assert f'href="{SHOP}"' in text
    assert "<form" not in text


async def test_sixth_challenge_within_an_hour_gets_the_way_back(site: Site) -> None:
    order = site.desk.order()
    for _ in range(5):
        path = site.path(msgspec.structs.replace(order, signals_id=site.desk.ids.uuid()))
        await site.page(path)
        site.desk.later(minutes=10)
        await site.page(path)
        await site.desk.challenging.expire_due()
    text = await site.page(site.path(msgspec.structs.replace(order, signals_id=site.desk.ids.uuid())), 429)
    assert said("tries") in text
    assert f'href="{SHOP}"' in text
    late = await site.send(path, "again")
    assert (late.status_code, said("tries") in late.text) == (429, True)


@pytest.mark.parametrize("return_url", ["", "javascript:alert(1)", "//evil.test", "shop"])
async def test_way_back_that_is_no_address_is_not_shown(site: Site, return_url: str) -> None:
    text = await site.page(site.path(site.desk.order(), return_url))
    assert 'class="back"' not in text
    assert "alert(1)" not in text


async def test_payee_is_escaped_and_may_be_missing(site: Site) -> None:
    text = await site.page(site.path(site.desk.order(payee="<script>alert(1)</script>")))
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    assert "Pay the merchant" in await site.page(site.path(site.desk.order(payee="")))


async def test_page_and_message_speak_the_language_of_the_payer(site: Site) -> None:
    async with browser_of(site.app, **{"accept-language": "zh"}) as browser:
        answer = await browser.get(site.path(site.desk.order()))
    assert answer.headers["content-language"] == "zh-CN"
    assert '<html lang="zh-CN"' in answer.text
    assert said("who", "zh-CN") in answer.text
    assert "¥17.00" in answer.text
    assert site.desk.postbox.sent[-1][2] == "zh-CN"


async def test_large_text_is_remembered_until_it_is_switched_off(site: Site) -> None:
    path = site.path(site.desk.order())
    assert "data-elder" in await site.page(path, mode="elder")
    assert "data-elder" in await site.page(path)
    assert "data-elder" not in await site.page(path, mode="standard")


async def test_every_face_is_small_and_has_nothing_inline(site: Site) -> None:
    path = site.path(site.desk.order())
    asked = await site.page(path)
    wrong = await site.follow(await site.send(path, "answer", WRONG))
    site.next_url = "https://shop.test/thanks"
    leaving = (await site.send(path, "answer", RIGHT)).text
    for text in (asked, wrong, leaving, await site.page(path), await site.page("/step-up/x", 404)):
        assert not INLINE.search(text)
        assets = [pages.ASSETS[name].content for name in re.findall(r"/static/ledger/([\w.]+)", text)]
        assert len(gzip.compress(text.encode() + b"".join(assets))) < PAGE_BYTES_MAX
        assert re.search(r"<html lang=.+<title>[^<]+</title>.+<main.+<h1", text, re.DOTALL)
        assert "{" not in re.sub(r"<[^>]+>", "", text)


async def test_answers_are_not_kept_indexed_or_leaked_to_other_sites(site: Site) -> None:
    answer = await site.browser.get(site.path(site.desk.order()))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-robots-tag"] == "noindex"


async def test_address_that_asks_too_often_waits(database: Database, ids: IdFactory) -> None:
    few = Rates(test_reads=2, test_writes=2, live_reads=2, live_writes=2)
    site = site_of(Desk(database, ids), Limits(few, seconds=lambda: 0.0))
    async with site.browser:
        path = site.path(site.desk.order())
        await site.page(path)
        await site.send(path, "answer", WRONG)
        assert said("busy") in await site.page(path, 429)


def test_field_says_what_browsers_need_to_fill_it_in() -> None:
    source = (Path(pages.__file__).parent / "templates" / "step_up" / "code.html").read_text()
    assert 'autocomplete="one-time-code"' in source
    assert 'inputmode="numeric"' in source
    assert '<label for="code">' in source


def test_words_are_complete() -> None:
    for problem in views.PROBLEMS:
        assert {f"p_{problem}", f"p_{problem}_note"} <= set(words.TEXTS)
    states = {state.value for state in ChallengeState if state is not ChallengeState.OPEN}
    for face in (
        states
        | set(routes._ENDS.values())
        | set(routes._ERRORS.values())
        | {"late", "leaving", "done", "broken"}
    ):
        assert {face, f"{face}_note"} <= set(words.TEXTS)
    assert set(routes._UNSENT.values()) <= set(views.PROBLEMS)
    for key, (english, chinese) in words.TEXTS.items():
        assert english, key
        assert chinese, key
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key
    assert words.text("brand", "zh-CN") == cashier.text("brand", "zh-CN")
