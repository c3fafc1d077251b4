"""What a payer reads of its wallet: what moved its money and for what, and never anything of another wallet."""

from datetime import timedelta

import pytest
from tests.payments.conftest import House
from tests.payments.test_wallets import pay_from, wallet

from tongbao.channels.schema import Wallet
from tongbao.core.errors import NotFound
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.schema.methods import Mandate, MandateState
from tongbao.payments.schema.payer_reads import Movements
from tongbao.payments.service.payer_reads import Held, PayerReads
from tongbao.payments.store import documents


def reads(house: House) -> PayerReads:
    return PayerReads(house.database, house.ledger)


async def today(house: House, book_id: int, currency: str = "CNY") -> Movements:
    now = house.clock.now()
    return await reads(house).movements(book_id, currency, now - timedelta(days=1), now + timedelta(days=1))


async def test_movements_tell_what_came_in_went_out_and_came_back(house: House) -> None:
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, 300)
    await house.payments.refunds.create(house.scope, intent_id=view.intent.id, amount_minor=50)
    found, is_whole = await today(house, book_id)
    assert is_whole
    told = [(each.code, each.amount_minor) for each in found]
    assert sorted(told) == [("wallet.paid", -300), ("wallet.refunded", 50), ("wallet.topped_up", 1000)]
    assert await reads(house).balances(book_id) == [Held("CNY", 750, 750)]
    assert (await today(house, book_id, "USD")).items == ()
    past = house.clock.now() - timedelta(days=3)
    assert (await reads(house).movements(book_id, "CNY", past, past + timedelta(days=1))).items == ()


async def test_every_movement_leads_to_its_payment_in_the_merchants_book(house: House) -> None:
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, 300)
    await house.payments.refunds.create(house.scope, intent_id=view.intent.id, amount_minor=50)
    items = (await today(house, book_id)).items
    found = await reads(house).payments(book_id, [each.reference for each in items])
    assert {paid.intent.id for paid in found.values()} == {view.intent.id}
    assert {name.partition("_")[0] for name in found} == {"pa", "re"}
    for each in items:
        assert await reads(house).movement(book_id, each.reference) == each
    assert view.attempt is not None
    paid = await reads(house).payment(book_id, view.attempt.reference)
    assert paid is not None
    assert [each.amount_minor for each in paid.refunds] == [50]


async def test_capture_of_a_hold_is_told_by_the_payment_that_held(house: House) -> None:
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, 300, capture_method=CaptureMethod.MANUAL)
    assert [each.code for each in (await today(house, book_id)).items] == ["wallet.topped_up"]
    assert await reads(house).balances(book_id) == [Held("CNY", 1000, 700)]
    await house.payments.intents.capture(house.scope, view.intent.id)
    newest = (await today(house, book_id)).items[0]
    assert view.attempt is not None
    assert (newest.amount_minor, newest.reference) == (-300, view.attempt.reference)


async def test_wallet_of_somebody_else_reads_nothing_of_it(house: House) -> None:
    book_id, other = await wallet(house, 1000), await wallet(house, 500)
    view = await pay_from(house, book_id, 300)
    assert view.attempt is not None
    reference = view.attempt.reference
    assert await reads(house).payment(other, reference) is None
    assert await reads(house).payments(other, [reference]) == {}
    assert (await reads(house).intent(book_id, house.scope.book_id, view.intent.id)).id == view.intent.id
    for book in (other, house.ids.int63()):
        with pytest.raises(NotFound):
            await reads(house).movement(book, reference)
        with pytest.raises(NotFound):
            await reads(house).intent(book, house.scope.book_id, view.intent.id)
    for text in ("", "pa_", "pa_x", "xx_00000000000000000000000000", "'; --"):
        with pytest.raises(NotFound):
            await reads(house).movement(book_id, text)


async def test_mandates_over_a_wallet_are_found_whoever_holds_them(house: House) -> None:
    book_id, other = await wallet(house, 1000), await wallet(house)
    made = await house.payments.methods.create(house.scope, Wallet(book_id=book_id))
    assert made.view is not None
    now = house.clock.now()
    mandate = Mandate(
        id=house.ids.uuid(),
        book_id=house.scope.book_id,
        live=False,
        created_at=now,
        updated_at=now,
        state=MandateState.ACTIVE,
        method_id=made.view.id,
        accepted_at=now,
    )
    async with house.database.transaction() as connection:
        await documents.insert(connection, [mandate])
    assert await reads(house).mandates(book_id) == [mandate]
    assert await reads(house).mandate(book_id, mandate.id) == mandate
    assert await reads(house).mandates(other) == []
    with pytest.raises(NotFound):
        await reads(house).mandate(other, mandate.id)


async def test_payment_that_waits_for_nobody_is_not_waiting(house: House) -> None:
    book_id = await wallet(house, 1000)
    await pay_from(house, book_id, 300)
    assert await reads(house).waiting(book_id) == []
