"""What the checkout chooses and tells without a browser: the order of ways, tries, contacts, parts of the sum, more time."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.payments.scripted import UNRESOLVED, declined
from tests.web.test_cashier import EVERY_KIND, QR, Site, browser_of, checkout
from tests.web.v2_house import open_v2

from tongbao.channels.schema import Alipay, Presentment, Reason
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.payments.errors import BadAmount, BadParameter, WrongState
from tongbao.payments.schema.checkout import EXTRAS_MAX, Extra, ExtraKind
from tongbao.payments.service.sessions import EXTENSION, EXTENSIONS_MAX
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.service.vault import Vault
from tongbao.web.cashier import ordering, telling
from tongbao.web.cashier.ordering import Way
from tongbao.web.locale import cashier as words

KINDS = st.lists(st.sampled_from(EVERY_KIND), unique=True)
CHANCES = st.dictionaries(st.sampled_from(EVERY_KIND), st.none() | st.floats(0, 1), min_size=1)


@pytest.fixture
async def site(database: Database, ids: IdFactory, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_v2(database, ids) as v2:
        clock = v2.house.clock
        keys = FileKeys(tmp_path / "keys.json", clock)
        async with Vault(database, keys, clock, ids, Metrics()) as vault:
            app = checkout(v2, vault)
            async with browser_of(app) as browser:
                yield Site(v2, await v2.tenant(), browser, app)


def kinds(ways: tuple[Way, ...]) -> list[str]:
    return [each.kind for each in ways]


@pytest.mark.parametrize(
    ("chances", "last_used", "refused", "reason", "expected"),
    [
        ({"card": None, "alipay": None}, None, (), None, Way("card")),
        ({"card": 0.91, "alipay": 0.93}, None, (), None, Way("card")),
        ({"card": 0.7, "alipay": 0.92}, None, (), None, Way("alipay", "reliable")),
        ({"card": 0.7, "alipay": 0.92}, "card", (), None, Way("card", "last")),
        ({"card": 0.9, "alipay": 0.9}, "card", ("card",), Reason.INSUFFICIENT_FUNDS, Way("alipay", "next")),
        ({"card": 0.9, "alipay": 0.9}, None, ("card",), Reason.CVC_INCORRECT, Way("card", "again")),
        ({"card": 0.9}, "card", ("card",), Reason.DO_NOT_HONOR, Way("card")),
    ],
)
def test_first_way_is_the_payers_best_and_says_why(
    chances: dict[str, float | None],
    last_used: str | None,
    refused: tuple[str, ...],
    reason: Reason | None,
    expected: Way,
) -> None:
    assert ordering.ordered(chances, last_used, refused, reason)[0] == expected


@given(CHANCES, st.none() | st.sampled_from(EVERY_KIND), KINDS, st.none() | st.sampled_from(Reason))
def test_order_loses_no_way_and_gives_a_reason_for_the_first_only(
    chances: dict[str, float | None], last_used: str | None, refused: list[str], reason: Reason | None
) -> None:
    ways = ordering.ordered(chances, last_used, refused, reason)
    assert sorted(kinds(ways)) == sorted(chances)
    assert all(each.why is None for each in ways[1:])
    for most in (None, ordering.ELDER_MAX, ordering.MINIMAL_MAX):
        shown, more = ordering.split(ways, most)
        assert (*shown, *more) == ways
        assert most is None or len(shown) <= most


def test_nothing_to_pay_with_is_no_way() -> None:
    assert ordering.ordered({}, "card") == ()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, telling.Contact(None, None, None)),
        ({"support_email": "help@shop.test"}, telling.Contact("help@shop.test", None, None)),
        ({"support_phone": "+86 571 8888"}, telling.Contact(None, "+86 571 8888", None)),
        ({"support_url": "https://shop.test/help"}, telling.Contact(None, None, "https://shop.test/help")),
        (
            {"support_email": 'a"@b', "support_phone": "call me", "support_url": "javascript:alert(1)"},
            telling.Contact(None, None, None),
        ),
    ],
)
def test_contact_is_what_can_be_a_link(said: dict[str, str], expected: telling.Contact) -> None:
    merchant: Any = SimpleNamespace(metadata=said)
    assert telling.contact(merchant) == expected
    assert bool(expected) is any(expected)


async def test_tries_over_several_routes_are_one_try_of_the_payer(site: Site) -> None:
    view = await site.session(method_kinds=EVERY_KIND)
    site.channel.reply("authorize", declined(Reason.CHANNEL_UNAVAILABLE, "91"))
    site.v2.channel("two").reply("authorize", declined(Reason.INSUFFICIENT_FUNDS, "51"))
    await site.send(view)
    text = await site.page(view)
    assert words.text("tried_routes", "en").format(n=2) in text
    assert text.index('value="alipay"') < text.index('value="card"')
    assert words.text("pay_instead", "en").format(method="Alipay") in text


async def test_payment_that_never_arrived_may_be_made_again_and_says_so(site: Site) -> None:
    view = await site.session()
    site.channel.reply("authorize", UNRESOLVED)
    await site.send(view)
    assert words.text("w_known_unknown", "en") in await site.page(view)
    site.v2.house.clock.advance(timedelta(minutes=10))
    while await site.v2.house.payments.resolving.resolve_due():
        pass
    text = await site.page(view)
    assert words.text("never_made", "en") in text
    assert words.text("tried_lost", "en") in text


async def test_sum_is_told_in_parts_that_add_up(site: Site) -> None:
    extras = (
        Extra(kind=ExtraKind.DISCOUNT, amount_minor=-200, label="<b>Spring</b>"),
        Extra(kind=ExtraKind.SHIPPING, amount_minor=300),
        Extra(kind=ExtraKind.TAX, amount_minor=0),
        Extra(kind=ExtraKind.FEE, amount_minor=50),
    )
    view = await site.session(extras=extras)
    assert view.intent is not None
    assert (view.session.subtotal_minor, view.session.amount_minor, view.intent.amount_minor) == (
        1_700,
        1_850,
        1_850,
    )
    text = (await site.page(view)).replace("\xa0", "")
    for shown in (
        "−CN¥2.00",
        "CN¥3.00",
        "CN¥0.50",
        "CN¥18.50",
        "&lt;b&gt;Spring",
        words.text("part_fee", "en"),
    ):
        assert shown in text
    assert words.text("part_tax", "en") not in text


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        (Extra(kind=ExtraKind.DISCOUNT, amount_minor=1), BadAmount),
        (Extra(kind=ExtraKind.FEE, amount_minor=-1), BadAmount),
        (Extra(kind=ExtraKind.TAX, amount_minor=1, label=""), BadParameter),
        (Extra(kind=ExtraKind.DISCOUNT, amount_minor=-1_700), BadAmount),
    ],
)
async def test_part_of_the_sum_that_cannot_be_is_refused(
    site: Site, extra: Extra, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await site.session(extras=(extra,))


async def test_too_many_parts_are_refused(site: Site) -> None:
    with pytest.raises(BadParameter):
        await site.session(extras=(Extra(kind=ExtraKind.TAX, amount_minor=1),) * (EXTRAS_MAX + 1))


async def test_payer_gets_more_time_ten_times_and_not_after_the_end(site: Site) -> None:
    view = await site.session()
    sessions = site.v2.house.payments.sessions
    for _ in range(EXTENSIONS_MAX):
        extended = await sessions.extend(view.session)
    assert extended.session.expires_at == view.session.expires_at + EXTENSION * EXTENSIONS_MAX
    assert extended.intent is not None
    assert extended.intent.expires_at == extended.session.expires_at
    with pytest.raises(WrongState, match="session_extended_enough"):
        await sessions.extend(view.session)
    assert words.text("more_time", "en") not in await site.page(view)
    site.v2.house.clock.advance(timedelta(days=2))
    with pytest.raises(WrongState, match="session_not_open"):
        await sessions.extend(view.session)


async def test_forms_of_other_sites_extend_and_forget_nothing(site: Site) -> None:
    view = await site.session()
    for act in ("more_time", "forget"):
        answer = await site.browser.post(f"/c/{view.session.reference}/{act}")
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_receipt_of_what_was_not_paid_is_its_page(site: Site) -> None:
    view = await site.session()
    path = f"/c/{view.session.reference}"
    assert (await site.browser.get(f"{path}/receipt")).headers["location"] == path
    await site.send(view)
    answer = await site.browser.get(f"{path}/receipt")
    assert answer.status_code == 200
    assert "CN¥17.00" in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_code_of_a_link_is_a_drawing_that_opens_nothing(site: Site) -> None:
    link = await site.link()
    answer = await site.browser.get(f"/l/{link.reference}/code.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.content.startswith(b"<?xml")
    assert b"<path" in answer.content
    assert (await site.browser.get("/l/nonsense/code.svg")).status_code == 404


async def test_minimal_page_has_one_form_and_keeps_to_it(site: Site) -> None:
    view = await site.session(method_kinds=EVERY_KIND)
    for text in (await site.page(view, mode="minimal"), await site.page(view)):
        assert text.count('/pay"') == 1
        assert "Longjing" not in text
    assert (await site.page(view, mode="standard")).count('/pay"') == 3


async def test_customer_who_paid_with_a_method_before_finds_it_first(site: Site) -> None:
    customer_id: UUID = await site.v2.customer(site.tenant)
    before = await site.session(method_kinds=EVERY_KIND, customer_id=customer_id)
    assert before.intent is not None
    site.channel.reply("authorize", QR)
    await site.send(before, {"method": "alipay"})
    site.browser.cookies.clear()
    now = await site.session(method_kinds=EVERY_KIND, customer_id=customer_id)
    # A code that was only shown is no habit.
    assert words.text("why_last", "en") not in await site.page(now)
    scope = site.tenant.scope
    attempts = (await site.v2.house.payments.intents.story(scope, before.intent.id)).attempts
    assert isinstance(attempts[0].method, Alipay)
    assert telling.last_paid_kind(attempts) is None


async def test_ways_are_only_those_that_channels_carry(site: Site) -> None:
    view = await site.session(method_kinds=EVERY_KIND)
    assert view.intent is not None
    prospects = site.v2.house.payments.prospects
    asked = dict.fromkeys(EVERY_KIND, Presentment.MERCHANT_QR)
    assert await prospects.ways(view.intent, asked) == dict.fromkeys(EVERY_KIND)
    for name in ("one", "two"):
        site.v2.house.payments.channels.switch(name, enabled=False)
    assert await prospects.ways(view.intent, asked) == {}
