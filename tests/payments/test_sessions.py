"""Sessions and links: completed by the fact that their intent was paid, counted once, expired in time."""

import asyncio
from datetime import timedelta

import pytest
from tests.payments.conftest import CARD, House
from tests.payments.scripted import UNRESOLVED

from tongbao.core.errors import NotFound
from tongbao.core.events.facts import Delivered, topic_of
from tongbao.payments.errors import BadAmount, BadParameter, Missing, WrongState
from tongbao.payments.schema.checkout import LINE_ITEMS_MAX, LineItem, PaymentLink
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.orders import ConfirmOrder, PageOrder
from tongbao.payments.service.sessions import SessionOrder, SessionView

TEA = LineItem(name="Tea", unit_minor=500, quantity=2)
CUP = LineItem(name="Cup", unit_minor=700)


async def open_session(house: House, **fields: object) -> SessionView:
    order = SessionOrder((TEA, CUP), "cny")._replace(**fields)  # type: ignore[arg-type]
    done = await house.payments.sessions.create(house.scope, order)
    assert done.view is not None
    return done.view


async def link(house: House, **fields: object) -> PaymentLink:
    done = await house.payments.sessions.create_link(house.scope, (TEA,), "cny", **fields)  # type: ignore[arg-type]
    assert done.view is not None
    return done.view


async def pay(house: House, view: SessionView) -> None:
    assert view.intent is not None
    await house.payments.intents.confirm(house.scope, view.intent.id, ConfirmOrder(method=CARD))


async def deliver(house: House) -> None:
    """Hand every fact of the merchant to the subscription, as the relay does."""
    now = house.clock.now()
    facts = [
        Delivered(number, house.ids.uuid(), topic_of(Happened), fact.subject, now, now, fact)
        for number, fact in enumerate(await house.facts(), 1)
    ]
    await house.payments.sessions.subscription().handle(facts)


async def test_session_holds_an_intent_of_the_sum_of_its_items(house: House) -> None:
    view = await open_session(house)
    assert view.intent is not None
    assert (view.intent.amount_minor, view.intent.currency, view.intent.session_id) == (
        1700,
        "CNY",
        view.session.id,
    )
    assert await house.payments.sessions.get(house.scope, view.session.id) == view
    assert await house.payments.sessions.by_secret(view.session.client_secret) == view


async def test_session_is_complete_when_its_intent_is_paid_however_often_that_is_told(house: House) -> None:
    view = await open_session(house)
    await pay(house, view)
    for _ in range(3):
        await deliver(house)
    after = await house.payments.sessions.get(house.scope, view.session.id)
    assert (after.session.state, after.session.paid) == ("complete", True)
    assert (await house.events()).count("checkout.session.completed") == 1


async def test_link_opens_sessions_and_counts_each_payment_once(house: House) -> None:
    made = await link(house, completed_count_max=2)
    for _ in range(2):
        await pay(house, await house.payments.sessions.open_link(made.id))
    await asyncio.gather(*(deliver(house) for _ in range(4)))
    after = await house.payments.sessions.link(house.scope, made.id)
    assert after.completed_count == 2
    with pytest.raises(WrongState) as refused:
        await house.payments.sessions.open_link(made.id)
    assert refused.value.code == "payment_link_inactive"
    page = await house.payments.sessions.page(house.scope, PageOrder(parent_id=made.id))
    assert [each.link_id for each in page.items] == [made.id] * 2


async def test_link_that_is_switched_off_says_so(house: House) -> None:
    made = await link(house, inactive_message="sold out")
    await house.payments.sessions.change_link(house.scope, made.id, active=False)
    with pytest.raises(WrongState, match="sold out"):
        await house.payments.sessions.open_link(made.id)
    await house.payments.sessions.change_link(house.scope, made.id, active=True, metadata={"a": "b"})
    assert (await house.payments.sessions.open_link(made.id)).session.link_id == made.id
    assert [
        each.metadata for each in (await house.payments.sessions.links(house.scope, PageOrder())).items
    ] == [{"a": "b"}]
    with pytest.raises(Missing):
        await house.payments.sessions.open_link(house.ids.uuid())


async def test_session_that_nobody_pays_expires_with_its_intent(house: House) -> None:
    view = await open_session(house, expires_at=house.clock.now() + timedelta(minutes=30))
    await house.pass_time(1_800)
    await house.pass_time(61)
    after = await house.payments.sessions.get(house.scope, view.session.id)
    assert after.session.state == "expired"
    assert after.intent is not None
    assert (after.intent.state, after.intent.cancel_reason) == ("canceled", "expired")
    assert (await house.events()).count("payment_intent.canceled") == 1


async def test_session_that_is_paid_and_not_told_of_is_completed_and_never_expired(house: House) -> None:
    view = await open_session(house)
    await pay(house, view)
    with pytest.raises(WrongState) as refused:
        await house.payments.sessions.expire(house.scope, view.session.id)
    assert refused.value.code == "session_being_paid"
    await house.pass_time(86_400)
    assert (await house.payments.sessions.get(house.scope, view.session.id)).session.state == "complete"


async def test_session_whose_payment_is_not_known_yet_does_not_expire(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    house.channel().reply("inquire", *[UNRESOLVED] * 20)
    view = await open_session(house)
    await pay(house, view)
    await house.pass_time(86_400)
    assert (await house.payments.sessions.get(house.scope, view.session.id)).session.state == "open"


async def test_session_that_the_merchant_expires_cancels_its_intent_once(house: House) -> None:
    view = await open_session(house)
    done = await house.payments.sessions.expire(house.scope, view.session.id)
    assert done.view is not None
    assert done.view.intent is not None
    assert (done.view.session.state, done.view.intent.state) == ("expired", "canceled")
    with pytest.raises(WrongState) as refused:
        await house.payments.sessions.expire(house.scope, view.session.id)
    assert refused.value.code == "session_not_open"


@pytest.mark.parametrize("secret", ["", "cs_", "cs_0_secret_x", "nonsense"])
async def test_secret_of_nobody_opens_nothing(house: House, secret: str) -> None:
    view = await open_session(house)
    for each in (secret, view.session.client_secret + "x", f"{view.session.reference}_secret_guess"):
        with pytest.raises(NotFound):
            await house.payments.sessions.by_secret(each)


REFUSED: list[tuple[dict[str, object], type[BadParameter]]] = [
    ({"items": ()}, BadParameter),
    ({"items": (TEA,) * (LINE_ITEMS_MAX + 1)}, BadParameter),
    ({"items": (LineItem(name="x", unit_minor=5, quantity=0),)}, BadParameter),
    ({"items": (LineItem(name="x", unit_minor=-5),)}, BadAmount),
    ({"items": (LineItem(name="", unit_minor=5),)}, BadParameter),
    ({"items": (LineItem(name="free", unit_minor=0),)}, BadAmount),
    ({"success_url": "javascript:alert(1)"}, BadParameter),
    ({"success_url": "https://user@shop.example/"}, BadParameter),
    ({"cancel_url": "ftp://shop.example/"}, BadParameter),
    ({"cancel_url": "https:///nowhere"}, BadParameter),
    ({"currency": "zzz"}, BadParameter),
]


@pytest.mark.parametrize(("fields", "kind"), REFUSED)
async def test_session_that_makes_no_sense_is_refused(
    house: House, fields: dict[str, object], kind: type[BadParameter]
) -> None:
    with pytest.raises(kind):
        await open_session(house, **fields)


@pytest.mark.parametrize("minutes", [29, 24 * 60 + 1])
async def test_session_lives_between_half_an_hour_and_a_day(house: House, minutes: int) -> None:
    with pytest.raises(BadParameter, match="between 30 minutes and 24 hours"):
        await open_session(house, expires_at=house.clock.now() + timedelta(minutes=minutes))
