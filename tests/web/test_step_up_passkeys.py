"""Passkeys on the step-up pages of a whole house: offered after a code, asked for next time, refused where they should be."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.parties.authenticator import PRESENT, Authenticator
from tests.web.stepped_up import MAIL, Counter, customer_of, open_counter, options_of
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.core.db import Database
from tongbao.parties.schema import RelyingParty
from tongbao.web import pages
from tongbao.web.locale import step_up as words
from tongbao.web.step_up import routes, views
from tongbao.web.step_up.passkeys import relying_party

INLINE = re.compile(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)
SHOP = "https://shop.test/thanks"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def counter(whole: Whole) -> AsyncIterator[Counter]:
    transport = httpx.ASGITransport(whole.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as browser:
        yield await open_counter(whole, BASE, browser)


@pytest.fixture
def phone(whole: Whole) -> Authenticator:
    return Authenticator(whole.ids, BASE)


def said(key: str, **values: object) -> str:
    return words.text(key, "en").format(**values)


async def offered(counter: Counter) -> tuple[str, str]:
    """Pay with a code from a device that could keep a passkey; the payment and the path of its page."""
    payment, path = await counter.pay()
    await counter.page(path)
    answer = await counter.send(f"{path}/answer", code=counter.code, device="passkeys")
    assert answer.headers["location"] == f"{path}/save", answer.text
    return payment, path


async def saved(counter: Counter, phone: Authenticator, *, step: int = 0) -> None:
    _, path = await offered(counter)
    made = phone.create(options_of(await counter.page(f"{path}/save")), step=step)
    answer = await counter.send(f"{path}/save", response=made.decode())
    assert answer.headers["refresh"].startswith("0; url=https://shop.test/thanks")


async def proofs(whole: Whole, payment: str) -> list[tuple[str, bool]]:
    async with whole.house.runtime.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT payload FROM events.outbox WHERE topic = 'risk.proved' AND subject = $1 ORDER BY id",
            payment,
        )
    told = [json.loads(row["payload"]) for row in rows]
    return [(each["means"], each["is_passed"]) for each in told]


async def test_passkey_is_offered_after_a_code_and_asked_for_next_time(
    counter: Counter, phone: Authenticator
) -> None:
    payment, path = await offered(counter)
    # Nothing waits for the offer: the payment went on already.
    assert await counter.status(payment) == "succeeded"
    page = await counter.page(f"{path}/save")
    for shown in (said("save_ask"), said("save_key"), said("save_later"), "m***@example.com"):
        assert shown in page
    assert MAIL not in page
    answer = await counter.send(f"{path}/save", response=phone.create(options_of(page)).decode())
    assert answer.headers["refresh"].startswith(f"0; url={SHOP}")
    assert len(await counter.passkeys()) == 1

    payment, path = await counter.pay()
    counter.code = ""
    page = await counter.page(path)
    assert said("key_ask") in page
    assert said("use_code") in page
    assert counter.code == ""
    answer = await counter.send(f"{path}/passkey", response=phone.get(options_of(page)).decode())
    assert answer.status_code == 200, answer.text
    assert await counter.status(payment) == "succeeded"
    assert [(each["means"], each["state"]) for each in await counter.challenges(payment)] == [
        ("passkey", "passed")
    ]
    assert await proofs(counter.whole, payment) == [("passkey", True)]
    [kept] = await counter.passkeys()
    assert kept["last_used_at"] is not None


async def test_who_wants_no_passkey_goes_on_and_is_not_asked_again_here(counter: Counter) -> None:
    _, path = await offered(counter)
    answer = await counter.send(f"{path}/continue", later="1")
    assert answer.headers["refresh"].startswith(f"0; url={SHOP}")
    assert "passkey_later=1" in answer.headers["set-cookie"]
    _, path = await counter.pay()
    await counter.page(path)
    answer = await counter.send(f"{path}/answer", code=counter.code, device="passkeys")
    assert answer.headers["refresh"].startswith(f"0; url={SHOP}")
    assert await counter.passkeys() == []


async def test_device_that_keeps_no_passkeys_and_a_guest_are_offered_none(counter: Counter) -> None:
    payment, path = await counter.pay()
    await counter.page(path)
    answer = await counter.send(f"{path}/answer", code=counter.code)
    assert answer.headers["refresh"].startswith(f"0; url={SHOP}")
    assert await counter.status(payment) == "succeeded"

    newcomer = await customer_of(counter)
    # The customer came with the payment: the clock stands still between the two.
    counter.whole.clock.advance(-timedelta(minutes=1))
    _, path = await counter.pay(customer=newcomer)
    await counter.page(path)
    answer = await counter.send(f"{path}/answer", code=counter.code, device="passkeys")
    assert answer.headers["refresh"].startswith(f"0; url={SHOP}")
    answer = await counter.send(f"{path}/save", response="{}")
    assert answer.headers["location"] == f"{path}/save?problem=key_unknown"
    assert said("passed") in await counter.follow(await counter.browser.get(answer.headers["location"]))


async def test_passkey_of_one_payment_is_refused_for_another_amount(
    counter: Counter, phone: Authenticator
) -> None:
    await saved(counter, phone)
    cheap, cheap_path = await counter.pay(45_000)
    dear, dear_path = await counter.pay(46_000)
    signed = phone.get(options_of(await counter.page(cheap_path))).decode()
    await counter.page(dear_path)
    page = await counter.follow(await counter.send(f"{dear_path}/passkey", response=signed))
    assert said("p_key_stale") in page
    assert said("key_attempts", n=4) in page
    assert await counter.status(dear) == "requires_action"
    assert (await counter.send(f"{cheap_path}/passkey", response=signed)).status_code == 200
    assert await counter.status(cheap) == "succeeded"
    # What passed once does not pass again, anywhere.
    assert (await counter.send(f"{cheap_path}/passkey", response=signed)).headers["location"] == cheap_path
    again = await counter.follow(await counter.send(f"{dear_path}/passkey", response=signed))
    assert said("key_attempts", n=3) in again
    assert await counter.status(dear) == "requires_action"


@pytest.mark.parametrize(
    ("cheat", "problem"),
    [
        ({"origin": "https://evil.test"}, "key_foreign"),
        ({"rp_id": "evil.test"}, "key_foreign"),
        ({"flags": PRESENT}, "key_unverified"),
    ],
)
async def test_answer_that_does_not_count_says_why_and_costs_an_attempt(
    counter: Counter, phone: Authenticator, cheat: dict[str, object], problem: str
) -> None:
    await saved(counter, phone)
    for name, value in cheat.items():
        setattr(phone, name, value)
    payment, path = await counter.pay()
    signed = phone.get(options_of(await counter.page(path))).decode()
    page = await counter.follow(await counter.send(f"{path}/passkey", response=signed))
    assert said(f"p_{problem}") in page
    assert said("key_attempts", n=4) in page
    assert await counter.status(payment) == "requires_action"


async def test_five_forged_answers_close_the_page(counter: Counter, phone: Authenticator) -> None:
    await saved(counter, phone)
    payment, path = await counter.pay()
    options = options_of(await counter.page(path))
    forged = phone.get(options, key=ec.generate_private_key(ec.SECP256R1())).decode()
    pages_seen = [
        await counter.follow(await counter.send(f"{path}/passkey", response=forged)) for _ in range(5)
    ]
    assert all(said("p_key") in page for page in pages_seen[:4])
    assert said("failed_key") in pages_seen[4]
    assert "<form" not in pages_seen[4]
    right = await counter.send(f"{path}/passkey", response=phone.get(options).decode())
    assert said("failed_key") in await counter.follow(right)
    assert await proofs(counter.whole, payment) == [("passkey", False)]


async def test_copied_passkey_is_refused_and_a_code_still_proves(
    counter: Counter, phone: Authenticator
) -> None:
    await saved(counter, phone, step=1)
    phone.credentials[0].count = 0
    phone.credentials[0].step = 0
    payment, path = await counter.pay()
    signed = phone.get(options_of(await counter.page(path))).decode()
    page = await counter.follow(await counter.send(f"{path}/passkey", response=signed))
    assert said("p_key_cloned") in page
    await counter.follow(await counter.send(f"{path}/switch", means="code"))
    await counter.send(f"{path}/answer", code=counter.code)
    assert await counter.status(payment) == "succeeded"


async def test_change_of_means_keeps_the_attempts_and_is_on_record(
    counter: Counter, phone: Authenticator
) -> None:
    await saved(counter, phone)
    payment, path = await counter.pay()
    options = options_of(await counter.page(path))
    phone.origin = "https://evil.test"
    await counter.send(f"{path}/passkey", response=phone.get(options).decode())
    page = await counter.follow(await counter.send(f"{path}/switch", means="code"))
    assert said("sent_to", masked="m***@example.com") in page
    assert said("attempts", n=4) in page
    assert said("use_key") in page
    assert (await counter.send(f"{path}/passkey", response="{}")).headers["location"] == path
    wrong = "000000" if counter.code != "000000" else "111111"
    await counter.send(f"{path}/answer", code=wrong)
    page = await counter.follow(await counter.send(f"{path}/switch", means="passkey"))
    assert said("key_attempts", n=3) in page
    # The answer to the question of before is worth nothing now.
    phone.origin = BASE
    old = await counter.send(f"{path}/passkey", response=phone.get(options).decode())
    assert said("p_key_stale") in await counter.follow(old)
    await counter.send(f"{path}/passkey", response=phone.get(options_of(page)).decode())
    assert await counter.status(payment) == "succeeded"
    trail = [
        (each["means"], each["state"], each["attempts_left"]) for each in await counter.challenges(payment)
    ]
    assert trail == [("passkey", "abandoned", 4), ("code", "abandoned", 3), ("passkey", "passed", 1)]
    assert await proofs(counter.whole, payment) == [("passkey", True)]


async def test_form_that_makes_no_sense_changes_nothing(counter: Counter) -> None:
    payment, path = await counter.pay()
    await counter.page(path)
    for act, fields in (
        ("switch", {"means": "passkey"}),
        ("switch", {"means": "code"}),
        ("switch", {"means": "three_ds"}),
        ("switch", {}),
        ("save", {"response": "{}"}),
        ("passkey", {"response": "{}"}),
        ("passkey", {}),
    ):
        answer = await counter.send(f"{path}/{act}", **fields)
        assert answer.status_code == 303, (act, answer.text)
        assert answer.headers["location"].partition("?")[0] == path
    assert [(each["means"], each["attempts_left"]) for each in await counter.challenges(payment)] == [
        ("code", 5)
    ]
    long = await counter.send(f"{path}/passkey", response="x" * 40_000)
    assert long.status_code == 400
    foreign = await counter.browser.post(f"{path}/switch", content="means=code", headers={"origin": SHOP})
    assert foreign.status_code == 403


async def test_page_for_a_passkey_works_without_its_script(counter: Counter, phone: Authenticator) -> None:
    await saved(counter, phone)
    payment, path = await counter.pay()
    page = await counter.page(path)
    assert f"<noscript><p>{said('key_no_script')}</p></noscript>" in page
    assert re.search(r'<form class="proof" [^>]*data-passkey="get"[^>]* hidden>', page)
    assert said("p_key_script") in await counter.follow(await counter.send(f"{path}/passkey", response=""))
    assert said("only_this") in await counter.follow(await counter.send(f"{path}/switch", means="code"))
    await counter.send(f"{path}/answer", code=counter.code)
    assert await counter.status(payment) == "succeeded"


async def test_late_question_is_expired_and_is_asked_once_more(
    counter: Counter, phone: Authenticator
) -> None:
    await saved(counter, phone)
    payment, path = await counter.pay()
    signed = phone.get(options_of(await counter.page(path))).decode()
    counter.whole.clock.advance(timedelta(minutes=10))
    page = await counter.follow(await counter.send(f"{path}/passkey", response=signed))
    assert said("expired_key") in page
    assert said("once_more") in page
    page = await counter.follow(await counter.send(f"{path}/again"))
    assert said("p_key_stale") in await counter.follow(await counter.send(f"{path}/passkey", response=signed))
    await counter.send(f"{path}/passkey", response=phone.get(options_of(page)).decode())
    assert await counter.status(payment) == "succeeded"


async def test_passkey_saved_after_the_payment_began_is_not_asked_for(
    counter: Counter, phone: Authenticator
) -> None:
    early, early_path = await counter.pay()
    await saved(counter, phone)
    assert said("only_this") in await counter.page(early_path)
    _, path = await counter.pay()
    options = options_of(await counter.page(path))
    answer = await counter.send(f"{early_path}/passkey", response=phone.get(options).decode())
    assert answer.headers["location"] == early_path
    assert await counter.status(early) == "requires_action"


async def test_offer_ends_ten_minutes_after_the_code_and_with_one_passkey(
    counter: Counter, phone: Authenticator
) -> None:
    _, path = await offered(counter)
    options = options_of(await counter.page(f"{path}/save"))
    one, other = (phone.create(options).decode() for _ in range(2))
    answers = await asyncio.gather(*(counter.send(f"{path}/save", response=each) for each in (one, other)))
    assert sorted(answer.status_code for answer in answers) == [200, 303]
    assert len(await counter.passkeys()) == 1
    _, path = await offered_again(counter)
    late = phone.create(options_of(await counter.page(f"{path}/save"))).decode()
    counter.whole.clock.advance(timedelta(minutes=10))
    answer = await counter.send(f"{path}/save", response=late)
    assert answer.headers["location"] == f"{path}/save?problem=key_stale"
    assert said("passed") in await counter.follow(await counter.browser.get(answer.headers["location"]))
    assert len(await counter.passkeys()) == 1


async def offered_again(counter: Counter) -> tuple[str, str]:
    """Pay with a code though there is a passkey; the payment and the path of its page."""
    payment, path = await counter.pay()
    await counter.page(path)
    await counter.follow(await counter.send(f"{path}/switch", means="code"))
    answer = await counter.send(f"{path}/answer", code=counter.code, device="passkeys")
    assert answer.headers["location"] == f"{path}/save"
    return payment, path


async def test_removed_passkey_is_not_asked_for_and_an_open_page_says_so(
    counter: Counter, phone: Authenticator
) -> None:
    await saved(counter, phone)
    _, path = await counter.pay()
    signed = phone.get(options_of(await counter.page(path))).decode()
    [kept] = await counter.passkeys()
    gone = await counter.whole.post(
        counter.tenant, f"/v2/customers/{counter.customer}/passkeys/{kept['id']}/remove"
    )
    assert gone == kept
    assert said("p_key_unknown") in await counter.follow(
        await counter.send(f"{path}/passkey", response=signed)
    )
    page = await counter.page(path)
    assert said("key_none") in page
    assert "data-options" not in page
    assert said("only_this") in await counter.follow(await counter.send(f"{path}/switch", means="code"))
    _, path = await counter.pay()
    assert said("only_this") in await counter.page(path)


async def test_every_face_is_small_has_nothing_inline_and_speaks_both_languages(
    counter: Counter, phone: Authenticator
) -> None:
    _, path = await offered(counter)
    offer = await counter.browser.get(f"{path}/save", params={"lang": "zh-CN"})
    counter.browser.cookies.clear()
    await saved(counter, phone)
    _, path = await counter.pay()
    asked = await counter.browser.get(path, params={"lang": "zh-CN"})
    for answer, key in ((offer, "save_ask"), (asked, "key_ask")):
        assert words.text(key, "zh-CN") in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert not INLINE.search(answer.text)
        assets = [pages.ASSETS[name].content for name in re.findall(r"/static/ledger/([\w.]+)", answer.text)]
        assert len(answer.content) + sum(map(len, assets)) < 40 * 1024
        assert re.search(r"<html lang=.+<title>[^<]+</title>.+<main.+<h1", answer.text, re.DOTALL)


@pytest.mark.parametrize(
    ("base_url", "party"),
    [
        ("https://pay.example.com", ("pay.example.com", "https://pay.example.com")),
        ("https://pay.example.com:443", ("pay.example.com", "https://pay.example.com")),
        ("https://Pay.Example.com:8443/", ("pay.example.com", "https://pay.example.com:8443")),
        ("http://localhost:8080", ("localhost", "http://localhost:8080")),
        ("http://shop.localhost", ("shop.localhost", "http://shop.localhost")),
        ("http://pay.example.com", None),
        ("http://127.0.0.1:8080", None),
        ("https://127.0.0.1", None),
        ("https://[::1]:8443", None),
        ("https://[", None),
        ("https://pay.example.com:99999", None),
        ("ftp://localhost", None),
        ("", None),
    ],
)
def test_passkeys_need_a_name_and_a_safe_line(base_url: str, party: tuple[str, str] | None) -> None:
    found = relying_party(base_url)
    assert found == (None if party is None else RelyingParty(*party, "Tongbao"))


def test_words_of_passkeys_are_complete() -> None:
    assert set(routes._REFUSED.values()) <= set(views.PROBLEMS)
    for problem in views.PROBLEMS:
        assert {f"p_{problem}", f"p_{problem}_note"} <= set(words.TEXTS)
    for face in ("save", "expired_key", "failed_key"):
        assert {face, f"{face}_note"} <= set(words.TEXTS)
    script = pages.ASSETS[pages.ADDRESSES["passkeys.js"].rpartition("/")[2]].content.decode()
    causes = set(
        re.findall(r": '(\w+)'", script[script.index("const causes") : script.index("for (const form")])
    )
    sheets = (pages.HERE / "templates" / "step_up").glob("*.html")
    named = {name for sheet in sheets for name in re.findall(r"data-(\w+)=", sheet.read_text())}
    assert causes <= named
