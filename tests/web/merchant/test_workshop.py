"""Stores, people, keys, webhooks and the page of developers: read by whom, changed by whom, secrets told once."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from tests.faces.browser import serving
from tests.faces.merchant_money_place import Till, open_till
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.merchant.money_visits import Visit, visit

from tongbao.core.db import Database
from tongbao.core.ids import int_text, parse_uuid, uuid_text
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    PERSON_PREFIX,
    KeyId,
    KeyKind,
    MerchantRole,
    PageRequest,
    Permission,
    StoreId,
    StoreState,
)
from tongbao.payments.schema.webhooks import DeliveryOrder, EndpointState
from tongbao.web.locale import merchant_money, merchant_workshop
from tongbao.web.merchant import developers_samples as samples
from tongbao.web.merchant.webhooks_events import TYPES

PAGES = (
    "/stores",
    "/stores/new",
    "/stores/{store}",
    "/people",
    "/keys",
    "/keys/new",
    "/keys/{key}",
    "/webhooks",
    "/webhooks/new",
    "/webhooks/{endpoint}",
    "/webhooks/{endpoint}/change",
    "/webhooks/{endpoint}/events/{event}",
    "/developers",
)
SECRET = re.compile(r"sk_test_[0-9a-z]{52}")


@pytest.fixture(scope="module")
async def till(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Till]:
    async with open_till(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def owner(till: Till) -> AsyncIterator[Visit]:
    async with visit(till) as made:
        yield made


@pytest.fixture
async def live(till: Till) -> AsyncIterator[Visit]:
    async with visit(till, mode="live") as made:
        yield made


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_page_in_each_language_escapes_what_others_wrote(
    till: Till, owner: Visit, path: str, language: str
) -> None:
    text = await owner.page(path.format_map(till.named), language=language)
    assert f'lang="{language}"' in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("path", ["/stores/{store}", "/keys/{key}", "/webhooks/{endpoint}"])
async def test_ids_of_another_merchant_are_not_found(till: Till, path: str) -> None:
    other = await till.whole.people.merchant()
    stranger = await till.whole.people.member(scope_of(other), MerchantRole.OWNER, PASSWORD)
    home = f"/merchant/{int_text(MERCHANT_PREFIX, other.merchant_id)}"
    async with visit(till, stranger) as outside:
        assert (await outside.answer(path.format_map(till.named), home=home)).status_code == 404
        assert (await outside.answer(path.format_map(till.named))).status_code == 404


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/keys", MerchantRole.FINANCE, 403),
        ("/webhooks", MerchantRole.SUPPORT, 403),
        ("/people", MerchantRole.DEVELOPER, 403),
        ("/keys/new", MerchantRole.DEVELOPER, 200),
        ("/stores", MerchantRole.VIEWER, 200),
        ("/developers", MerchantRole.VIEWER, 200),
    ],
)
async def test_page_is_shown_to_who_may_see_it(
    till: Till, path: str, role: MerchantRole, status: int
) -> None:
    async with visit(till, await till.member(role)) as somebody:
        await somebody.page(path, status=status)


async def test_store_is_opened_changed_and_closed(till: Till, live: Visit) -> None:
    fields = {"name": "North Gate", "timezone": "Asia/Shanghai", "city": "Hangzhou", "country": "cn"}
    made = await live.send("/stores/new", "/stores/new", **fields)
    assert made.status_code == 303, made.text[-2000:]
    scope, stores = scope_of(till.tenant.merchant), till.whole.house.parties.stores
    page = await stores.list(scope, PageRequest(limit=10))
    (store,) = [each for each in page.items if each.name == "North Gate"]
    assert (store.address.city, store.address.country) == ("Hangzhou", "CN")
    path = f"/stores/{uuid_text('store', store.store_id)}"
    await live.send(path, path, **(fields | {"name": "North Gate 2"}))
    closed = await live.send(f"{path}/close", path)
    assert closed.status_code == 303
    found = await stores.get(scope, StoreId(store.store_id))
    assert (found.name, found.state) == ("North Gate 2", StoreState.CLOSED)
    assert "Open it again" in await live.page(path)


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"timezone": "Mars/Phobos"}, {"country": "C1"}, {"name": "x" * 201}]
)
async def test_wrong_store_is_told_and_not_made(till: Till, live: Visit, wrong: dict[str, str]) -> None:
    fields = {"name": "South Gate", "timezone": "UTC", "country": "CN"} | wrong
    answer = await live.send("/stores/new", "/stores/new", **fields)
    assert answer.status_code in {400, 422}
    assert "wrong" in answer.text or "flash error" in answer.text


async def test_store_in_test_mode_leads_to_live(till: Till, owner: Visit) -> None:
    text = await owner.page("/stores")
    assert "/stores?mode=live" in text
    refused = await owner.send("/stores/new", "/developers", name="X", timezone="UTC", once="once-1234567")
    assert refused.status_code in {401, 403}


async def test_person_is_added_promoted_and_taken_out(till: Till, live: Visit) -> None:
    email = till.whole.people.email()
    added = await live.send("/people", "/people", name="Lin Bo", email=email, role="viewer")
    assert added.status_code == 303, added.text[-2000:]
    people, scope = till.whole.house.parties.people, scope_of(till.tenant.merchant)
    (member,) = [each for each in await people.members(scope) if each.person.email == email]
    path = f"/people/{uuid_text(PERSON_PREFIX, member.person.person_id)}"
    assert (await live.send(f"{path}/role", "/people", role="support")).status_code == 303
    (member,) = [each for each in await people.members(scope) if each.person.email == email]
    assert member.role is MerchantRole.SUPPORT
    assert (await live.send(f"{path}/remove", "/people")).status_code == 303
    assert not [each for each in await people.members(scope) if each.person.email == email]
    assert (await live.send(f"{path}/remove", "/people")).status_code == 404
    assert (await live.send(f"{path}/praise", "/people")).status_code == 404


@pytest.mark.parametrize(
    ("act", "fields"), [("role", {"role": "viewer"}), ("remove", {}), ("role", {"role": "king"})]
)
async def test_last_owner_stays(till: Till, live: Visit, act: str, fields: dict[str, str]) -> None:
    person = uuid_text(PERSON_PREFIX, till.owner.person_id)
    answer = await live.send(f"/people/{person}/{act}", "/people", **fields)
    assert answer.status_code in {409, 422}
    assert "The only owner" in answer.text


async def test_wrong_person_is_told(till: Till, live: Visit) -> None:
    answer = await live.send("/people", "/people", name="", email="nobody", role="viewer")
    assert answer.status_code == 422
    assert answer.text.count('class="wrong"') == 2


async def test_secret_of_a_key_is_shown_once(till: Till, owner: Visit) -> None:
    page = await owner.page("/keys/new")
    once = re.search(r'name="once" value="([^"]+)"', page)
    assert once
    fields = {"kind": "secret", "label": "shop server", "ends": "30", "once": once[1]}
    made = await owner.send("/keys/new", "/keys/new", **fields)
    assert made.status_code == 200
    (secret,) = set(SECRET.findall(made.text))
    scope = await till.whole.house.parties.access.scope_of_key(secret, address="127.0.0.1")
    assert scope.book_id == till.tenant.scope.book_id
    again = await owner.send("/keys/new", "/keys/new", **fields)
    assert again.status_code == 303
    listed = await owner.page("/keys")
    assert not SECRET.search(listed)
    assert listed.count("shop server") == 1


async def test_restricted_key_may_what_was_ticked_and_is_replaced_and_revoked(
    till: Till, owner: Visit
) -> None:
    fields = {"kind": "restricted", "label": "narrow", "networks": "203.0.113.0/24\n198.51.100.7"}
    missing = await owner.send("/keys/new", "/keys/new", **fields)
    assert missing.status_code == 422
    assert "Tick what the key may do" in missing.text
    made = await owner.send("/keys/new", "/keys/new", **fields, **{"may_payments.read": "1"})
    assert made.status_code == 200, made.text[-2000:]
    keys, scope = till.whole.house.parties.keys, till.tenant.scope
    page = await keys.list(scope, PageRequest(limit=100))
    (key,) = [each for each in page.items if each.label == "narrow"]
    assert (key.kind, key.permissions) == (KeyKind.RESTRICTED, frozenset({Permission.PAYMENTS_READ}))
    assert len(key.allowed_addresses) == 2
    path = f"/keys/{uuid_text('key', key.key_id)}"
    rolled = await owner.send(f"{path}/roll", path, overlap="24")
    assert rolled.status_code == 200
    assert "rk_test_" in rolled.text
    assert (await keys.get(scope, KeyId(key.key_id))).replaced_by is not None
    silent = await owner.send(f"{path}/revoke", path, reason="")
    assert silent.status_code == 422
    assert (await owner.send(f"{path}/revoke", path, reason="leaked")).status_code == 303
    assert (await keys.get(scope, KeyId(key.key_id))).revoked_at is not None


@pytest.mark.parametrize(
    "wrong", [{"kind": "golden"}, {"label": "x" * 81}, {"networks": "everywhere"}, {"ends": "7000"}]
)
async def test_wrong_key_is_not_made(till: Till, owner: Visit, wrong: dict[str, str]) -> None:
    answer = await owner.send("/keys/new", "/keys/new", **({"kind": "secret", "label": "bad one"} | wrong))
    assert answer.status_code in {400, 422}
    assert "wrong" in answer.text
    assert "bad one" not in await owner.page("/keys")


async def test_developer_cannot_make_a_key_that_may_more(till: Till) -> None:
    async with visit(till, await till.member(MerchantRole.DEVELOPER), mode="live") as developer:
        answer = await developer.send("/keys/new", "/keys/new", kind="secret", label="too much")
        assert answer.status_code == 403
        assert "what you do not have" in answer.text


async def test_endpoint_is_made_changed_switched_and_deleted(till: Till, owner: Visit) -> None:
    fields = {"url": "https://hooks.example.com/a", "which": "some", "description": "warehouse"}
    empty = await owner.send("/webhooks/new", "/webhooks/new", **fields)
    assert empty.status_code == 422
    made = await owner.send("/webhooks/new", "/webhooks/new", **fields, **{"on_refund.created": "1"})
    assert made.status_code == 200, made.text[-2000:]
    assert "whsec_" in made.text
    endpoints, scope = till.whole.house.endpoints, till.tenant.scope
    (endpoint,) = [each for each in await endpoints.list(scope) if each.description == "warehouse"]
    assert endpoint.enabled_events == ("refund.created",)
    path = f"/webhooks/{endpoint.reference}"
    assert "whsec_" not in await owner.page(path)
    changed = await owner.send(path, f"{path}/change", **(fields | {"which": "all"}))
    assert changed.status_code == 303
    assert (await endpoints.get(scope, endpoint.id)).enabled_events == ("*",)
    await owner.send(f"{path}/disable", path)
    assert (await endpoints.get(scope, endpoint.id)).state is EndpointState.DISABLED
    off = await owner.send(f"{path}/test", path)
    assert off.status_code == 409
    assert "switch it on first" in off.text
    await owner.send(f"{path}/enable", path)
    renewed = await owner.send(f"{path}/secret", path, overlap="1")
    assert "whsec_" in renewed.text
    assert (await owner.send(f"{path}/paint", path)).status_code == 404
    assert (await owner.send(f"{path}/delete", path)).status_code == 303
    assert (await owner.answer(path)).status_code == 404


@pytest.mark.parametrize("url", ["nonsense", "https://user:pass@example.com/", "https://" + "x" * 2_100])
async def test_wrong_address_is_told_beside_its_field(till: Till, owner: Visit, url: str) -> None:
    answer = await owner.send("/webhooks/new", "/webhooks/new", url=url, which="all")
    assert answer.status_code in {400, 422}
    assert "wrong" in answer.text


async def test_test_event_goes_to_its_endpoint_alone_and_can_be_sent_again(till: Till, owner: Visit) -> None:
    path = f"/webhooks/{till.named['endpoint']}"
    assert (await owner.send(f"{path}/test", path)).status_code == 303
    deliveries, scope = till.whole.house.deliveries, till.tenant.scope
    endpoint = parse_uuid("we", till.named["endpoint"])
    page = await deliveries.of_endpoint(scope, endpoint, DeliveryOrder(limit=100))
    tests = [each for each in page.items if each.type == "webhook_endpoint.test"]
    assert tests
    shown = await owner.page(f"{path}/events/{till.named['event']}")
    assert "webhook_endpoint.test" in shown
    assert "&#34;type&#34;" in shown
    again = await owner.send(f"{path}/resend", path, event=till.named["event"])
    assert again.status_code == 303
    lost = await owner.send(f"{path}/resend", path, event="evt_nothing")
    assert lost.status_code == 404
    assert (await owner.send(f"{path}/replay", path)).status_code == 303


@pytest.mark.parametrize("language", sorted(samples.LANGUAGES))
async def test_developers_find_each_language(till: Till, owner: Visit, language: str) -> None:
    text = await owner.page(f"/developers?in={language}")
    assert "/v1/payment_intents" in text
    assert "pm_card_visa" in text
    assert not SECRET.search(text)


async def test_quick_start_in_curl_and_python_pays(till: Till) -> None:
    async with serving(till.whole.app) as base:
        python = samples.sample("python", base, till.tenant.key)
        done = await _run([sys.executable, "-c", python])
        assert re.search(r"pi_\w+ succeeded\nre_\w+ \w+", done), done
        if shutil.which("curl") is None:
            pytest.skip("no curl on the path")
        done = await _run(["sh", "-c", samples.sample("curl", base, till.tenant.key)])
        assert '"status":"succeeded"' in done.replace(" ", ""), done


async def _run(command: list[str]) -> str:
    """What a program prints."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told, _ = await asyncio.wait_for(process.communicate(), 30)
    return told.decode()


def test_every_event_has_its_words() -> None:
    assert {f"event_{kind}" for kind in TYPES} <= set(merchant_workshop.TEXTS)


def test_catalogues_are_complete_and_do_not_overlap() -> None:
    for catalogue in (merchant_money.TEXTS, merchant_workshop.TEXTS):
        assert all(all(pair) for pair in catalogue.values())
    assert not set(merchant_money.TEXTS) & set(merchant_workshop.TEXTS)
