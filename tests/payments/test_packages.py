"""Packages: what the merchant's package does not hold is refused where money is asked for, before anything happens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from tests.payments.conftest import CARD, House, open_house
from tests.payments.permissions import saved_method

from tongbao.channels.schema import Alipay, Merchant, Method, Wallet, WechatPay
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.parties.errors import UnknownMerchant
from tongbao.parties.schema import Feature, MerchantDraft, OperatorPermission, Package
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.payments.errors import NotInPackage
from tongbao.payments.schema.checkout import LineItem
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, PageOrder
from tongbao.payments.service.choosing import FEATURES
from tongbao.payments.service.plain_hooks import EVERYTHING, OneProfile
from tongbao.web.house import PROFILE_LIFE_S, _Profiles

DRAFT = MerchantDraft(
    name="Tea House 茶", country="CN", default_currency="CNY", mcc="5814", package=Package.BASIC
)
Act = Callable[[House], Awaitable[object]]


class Held(OneProfile):
    """A package of which features can be taken, and given back."""

    def __init__(self) -> None:
        super().__init__(Merchant(name="Tea House"))
        self.held = EVERYTHING

    async def features(self, book_id: int) -> frozenset[str]:
        del book_id
        return self.held


@pytest.fixture
async def packaged(payments_database: Database, ids: IdFactory) -> AsyncIterator[tuple[House, Held]]:
    """A house whose merchant's package the test changes."""
    package = Held()
    async with open_house(payments_database, ids, profiles=package) as house:
        yield house, package
        await house.check_books()


def pay(method: Method, **fields: object) -> Act:
    """Make and collect a payment with a method that is given now."""

    async def act(house: House) -> object:
        kinds = ("card", "wallet", "alipay", "wechat_pay")
        return await house.pay(1999, confirm=ConfirmOrder(method=method), method_kinds=kinds, **fields)

    return act


def confirm(method: Method, capture: CaptureMethod | None = None) -> Act:
    """Collect an intent that was made before."""

    async def act(house: House) -> object:
        order = IntentOrder(amount_minor=1999, currency="cny", method_kinds=("card", "alipay"))
        made = (await house.payments.intents.create(house.scope, order)).view
        assert made is not None
        how = ConfirmOrder(method=method, capture_method=capture)
        return await house.payments.intents.confirm(house.scope, made.intent.id, how)

    return act


async def pay_with_saved_card(house: House) -> object:
    return await house.pay(confirm=ConfirmOrder(method_id=(await saved_method(house)).id))


def set_up(usage: str) -> Act:
    async def act(house: House) -> object:
        return await house.payments.setups.create(house.scope, usage=usage)

    return act


async def make_link(house: House) -> object:
    return await house.payments.sessions.create_link(
        house.scope, (LineItem(name="Tea", unit_minor=500),), "cny"
    )


NEEDS: list[tuple[str, Act, str]] = [
    ("card", pay(CARD), "cards"),
    ("card of an earlier intent", confirm(CARD), "cards"),
    ("saved card", pay_with_saved_card, "cards"),
    ("alipay", pay(Alipay()), "alipay"),
    ("alipay of an earlier intent", confirm(Alipay()), "alipay"),
    ("wechat pay", pay(WechatPay()), "wechat_pay"),
    ("wallet", pay(Wallet(book_id=7)), "wallet"),
    ("manual capture", pay(CARD, capture_method=CaptureMethod.MANUAL), "manual_capture"),
    ("capture in parts", pay(CARD, capture_method=CaptureMethod.MANUAL_MULTIPLE), "multiple_capture"),
    ("manual capture said at the end", confirm(CARD, CaptureMethod.MANUAL), "manual_capture"),
    ("payment that is a mandate", pay(CARD, setup_future_usage="off_session"), "mandates"),
    ("set-up", set_up("off_session"), "mandates"),
    ("link", make_link, "payment_links"),
]
NEEDLESS: list[tuple[str, Act, frozenset[str]]] = [
    ("card", pay(CARD), frozenset({"cards"})),
    ("alipay", pay(Alipay()), frozenset({"alipay"})),
    ("wechat pay", pay(WechatPay()), frozenset({"wechat_pay"})),
    (
        "asynchronous capture",
        pay(CARD, capture_method=CaptureMethod.AUTOMATIC_ASYNC),
        frozenset({"cards"}),
    ),
    ("use on session", pay(CARD, setup_future_usage="on_session"), frozenset({"cards"})),
    (
        "capture in parts",
        pay(CARD, capture_method=CaptureMethod.MANUAL_MULTIPLE),
        frozenset({"cards", "multiple_capture"}),
    ),
    ("automatic after all", confirm(CARD, CaptureMethod.AUTOMATIC), frozenset({"cards"})),
    ("set-up on session", set_up("on_session"), frozenset()),
    ("set-up off session", set_up("off_session"), frozenset({"mandates"})),
    ("link", make_link, frozenset({"payment_links"})),
]


@pytest.mark.parametrize(("_name", "act", "feature"), NEEDS, ids=[name for name, _, _ in NEEDS])
async def test_act_that_the_package_does_not_hold_is_refused_and_nothing_is_sent(
    packaged: tuple[House, Held], _name: str, act: Act, feature: str
) -> None:
    house, package = packaged
    package.held = EVERYTHING - {feature}
    with pytest.raises(NotInPackage) as refused:
        await act(house)
    assert (refused.value.code, refused.value.facts["feature"]) == ("feature_missing", feature)
    assert house.channel().calls == []
    assert (await house.payments.intents.attempts(house.scope, PageOrder())).items == []
    assert not {"setup_intent.created", "payment_link.created"} & set(await house.events())


@pytest.mark.parametrize(("_name", "act", "held"), NEEDLESS, ids=[name for name, _, _ in NEEDLESS])
async def test_act_needs_no_more_of_a_package_than_it_uses(
    packaged: tuple[House, Held], _name: str, act: Act, held: frozenset[str]
) -> None:
    house, package = packaged
    package.held = held
    await act(house)


async def test_what_was_begun_is_ended_though_the_package_became_smaller(
    packaged: tuple[House, Held],
) -> None:
    house, package = packaged
    view = await house.reserve()
    package.held = frozenset()
    await house.payments.intents.capture(house.scope, view.intent.id, 400)
    await house.payments.refunds.create(house.scope, intent_id=view.intent.id, amount_minor=100)
    assert await house.balance("in_transit") == 300


async def test_intent_that_was_refused_is_collected_once_the_package_holds_it(
    packaged: tuple[House, Held],
) -> None:
    house, package = packaged
    order = IntentOrder(amount_minor=700, currency="cny")
    made = (await house.payments.intents.create(house.scope, order)).view
    assert made is not None
    package.held = frozenset()
    with pytest.raises(NotInPackage):
        await house.payments.intents.confirm(house.scope, made.intent.id, ConfirmOrder(method=CARD))
    package.held = EVERYTHING
    await house.payments.intents.confirm(house.scope, made.intent.id, ConfirmOrder(method=CARD))
    assert await house.states(made.intent.id) == ("succeeded", ["charged"])


def test_every_feature_that_payments_asks_for_is_one_that_parties_sells() -> None:
    sold = {feature.value for feature in Feature}
    assert set(FEATURES.values()) | {"mandates", "payment_links"} == EVERYTHING
    assert sold >= EVERYTHING


async def test_package_of_a_merchant_counts_in_both_its_books_and_changes_within_seconds(
    payments_database: Database, ids: IdFactory
) -> None:
    clock = FrozenClock(datetime.now(UTC))
    rights = frozenset({OperatorPermission.MERCHANTS_WRITE, OperatorPermission.MERCHANTS_READ})
    operator = operator_of_job("tests", rights)
    async with Parties(payments_database, clock, ids) as parties:
        async with payments_database.transaction() as connection:
            merchant = await parties.merchants.create(connection, operator, DRAFT)
        now_s = 0.0
        profiles = _Profiles(parties, lambda: now_s)
        basic = {"cards", "alipay", "wechat_pay", "wallet", "payment_links"}
        for book_id in (merchant.live_book_id, merchant.test_book_id):
            assert await profiles.features(book_id) == basic
            assert (await profiles.profile(book_id)).descriptor == "Tea House "
        async with payments_database.transaction() as connection:
            for feature, allowed in ((Feature.CARDS, False), (Feature.MANDATES, True)):
                await parties.merchants.set_feature(
                    connection, operator, merchant.merchant_id, feature, allowed, "test"
                )
        now_s = PROFILE_LIFE_S - 0.001
        assert await profiles.features(merchant.live_book_id) == basic
        now_s = PROFILE_LIFE_S
        for book_id in (merchant.live_book_id, merchant.test_book_id):
            assert await profiles.features(book_id) == basic - {"cards"} | {"mandates"}
        with pytest.raises(UnknownMerchant):
            await profiles.features(ids.int63())
