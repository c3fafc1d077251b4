"""Wallets: topped up in the commit that pays for it, spent through a channel, never below zero."""

import asyncio

import pytest
from tests.payments.conftest import CARD, House
from tests.payments.scripted import UNRESOLVED, approved

from tongbao.channels.schema import Answer, Authorize, Merchant, Outcome, Reason, Wallet
from tongbao.core.errors import NotFound
from tongbao.ledger.schema import AccountState, BookId
from tongbao.ledger.service.reading import unbalanced
from tongbao.payments.errors import BadAmount, BadParameter, WrongState
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, IntentView, PageOrder


async def wallet(house: House, amount_minor: int = 0) -> int:
    """Open a wallet, and top it up by a card."""
    book_id = house.ids.int63()
    await house.payments.wallets.open(book_id, "cny")
    if amount_minor:
        await house.pay(amount_minor, wallet_book_id=book_id)
    return book_id


async def holds(house: House, book_id: int) -> tuple[int, int]:
    """What is in a wallet: posted, available."""
    balance = await house.payments.wallets.balance(book_id, "cny")
    lines = await house.ledger.reading.trial_balance(BookId(book_id))
    assert unbalanced(lines) == {}
    return balance.posted_minor, balance.available_minor


async def pay_from(house: House, book_id: int, amount_minor: int, **fields: object) -> IntentView:
    confirm = ConfirmOrder(method=Wallet(book_id=book_id))
    return await house.pay(amount_minor, method_kinds=("wallet",), confirm=confirm, **fields)


async def test_top_up_credits_the_wallet_in_the_commit_that_pays_it(house: House) -> None:
    book_id = await wallet(house, 1000)
    assert await holds(house, book_id) == (1000, 1000)
    assert await house.balance("in_transit") == 1000
    assert (await house.payments.wallets.open(book_id, "CNY")).posted_minor == 1000


async def test_top_up_that_is_only_reserved_credits_the_wallet_when_it_is_captured(house: House) -> None:
    async def only_reserved(call: object) -> Answer:
        assert isinstance(call, Authorize)
        return approved(call)

    house.channel().reply("authorize", only_reserved)
    book_id = await wallet(house, 1000)
    assert await holds(house, book_id) == (0, 0)
    await house.pass_time(0)
    assert await holds(house, book_id) == (1000, 1000)


async def test_top_up_whose_outcome_is_unknown_credits_nothing_until_it_is_known(house: House) -> None:
    house.channel().reply("authorize", UNRESOLVED)
    book_id = await wallet(house, 1000)
    assert await holds(house, book_id) == (0, 0)
    (attempt,) = (await house.payments.intents.attempts(house.scope, PageOrder())).items
    for _ in range(3):
        await house.payments.resolving.settle(
            attempt.book_id, attempt.id, Answer(outcome=Outcome.APPROVED, captured=True), is_inquiry=True
        )
    assert await holds(house, book_id) == (1000, 1000)


async def test_top_up_is_not_refunded_over_the_card(house: House) -> None:
    book_id = await wallet(house)
    view = await house.pay(1000, wallet_book_id=book_id)
    with pytest.raises(WrongState) as refused:
        await house.payments.refunds.create(house.scope, intent_id=view.intent.id)
    assert refused.value.code == "wallet_top_up_not_refundable"


async def test_top_up_by_a_manual_capture_is_refused(house: House) -> None:
    book_id = await wallet(house)
    with pytest.raises(BadParameter):
        await house.pay(1000, wallet_book_id=book_id, capture_method=CaptureMethod.MANUAL)


async def test_payment_from_a_wallet_moves_between_two_books(house: House) -> None:
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, 400)
    assert view.intent.state == "succeeded"
    assert await holds(house, book_id) == (600, 600)
    assert await house.balance("channel_receivable/wallet") == -400


async def test_wallet_reservation_is_captured_in_part_voided_and_refunded(house: House) -> None:
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, 500, capture_method=CaptureMethod.MANUAL_MULTIPLE)
    assert await holds(house, book_id) == (1000, 500)
    await house.payments.intents.capture(house.scope, view.intent.id, 200)
    assert await holds(house, book_id) == (800, 500)
    await house.payments.intents.cancel(house.scope, view.intent.id)
    assert await holds(house, book_id) == (800, 800)
    await house.payments.refunds.create(house.scope, intent_id=view.intent.id, amount_minor=50)
    assert await holds(house, book_id) == (850, 850)


async def test_wallet_authorization_does_not_grow(house: House) -> None:
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, 500, capture_method=CaptureMethod.MANUAL)
    with pytest.raises(WrongState) as refused:
        await house.payments.intents.increment(house.scope, view.intent.id, 600)
    assert refused.value.code == "increment_not_supported"


async def test_payment_of_more_than_there_is_is_declined(house: House) -> None:
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, 1001)
    assert view.intent.last_error is not None
    assert view.intent.last_error.reason is Reason.INSUFFICIENT_FUNDS
    assert await holds(house, book_id) == (1000, 1000)


async def test_payment_from_no_wallet_is_declined(house: House) -> None:
    view = await pay_from(house, house.ids.int63(), 1)
    assert view.intent.last_error is not None
    assert view.intent.last_error.reason is Reason.ACCOUNT_UNKNOWN


async def test_payments_at_once_never_take_more_than_there_is(house: House) -> None:
    book_id = await wallet(house, 1000)
    views = await asyncio.gather(*(pay_from(house, book_id, 300) for _ in range(10)))
    assert sum(view.intent.state == "succeeded" for view in views) == 3
    assert await holds(house, book_id) == (100, 100)


async def test_unresolved_wallet_payment_is_found_in_the_journal(house: House) -> None:
    book_id = await wallet(house, 1000)
    channel = house.payments.channels.get("wallet")
    view = await pay_from(house, book_id, 300)
    assert view.attempt is not None
    call = Authorize(
        reference=view.attempt.reference,
        amount_minor=300,
        currency="CNY",
        capture=True,
        method=Wallet(book_id=book_id),
        merchant=Merchant(name="Tea House"),
    )
    assert (await channel.authorize(call)).outcome == "approved"
    assert await holds(house, book_id) == (700, 700)


async def freeze(house: House, book_id: int) -> None:
    account = await house.ledger.accounts.account_by_code(BookId(book_id), "wallet", "CNY")
    await house.ledger.accounts.change_account(
        BookId(book_id), account.account_id, state=AccountState.FROZEN, reason="test", actor="test"
    )


async def test_frozen_wallet_pays_nothing(house: House) -> None:
    book_id = await wallet(house, 1000)
    await freeze(house, book_id)
    view = await pay_from(house, book_id, 300)
    assert view.intent.last_error is not None
    assert view.intent.last_error.reason is Reason.ACCOUNT_FROZEN
    other = await wallet(house)
    with pytest.raises(WrongState) as refused:
        await house.payments.wallets.pay(house.scope, book_id, other, 1, "cny")
    assert refused.value.code == "wallet_frozen"


async def test_wallet_pays_wallet_in_one_commit_and_once_a_key(house: House) -> None:
    giver, taker = await wallet(house, 1000), await wallet(house)
    for _ in range(3):
        await house.payments.wallets.pay(
            house.scope, giver, taker, 400, "cny", note="tea", ask=house.ask("w")
        )
    assert (await holds(house, giver), await holds(house, taker)) == ((600, 600), (400, 400))
    (made,) = (await house.payments.wallets.page(house.scope, PageOrder())).items
    assert (made.amount_minor, made.note) == (400, "tea")
    assert (await house.events()).count("wallet_transfer.created") == 1


async def test_wallet_never_gives_what_it_has_not(house: House) -> None:
    giver, taker = await wallet(house, 1000), await wallet(house)
    pay = [house.payments.wallets.pay(house.scope, giver, taker, 300, "cny") for _ in range(10)]
    results = await asyncio.gather(*pay, return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert [each.code for each in refused if isinstance(each, WrongState)] == ["insufficient_funds"] * 7
    assert (await holds(house, giver), await holds(house, taker)) == ((100, 100), (900, 900))


async def test_refused_wallet_transfer_leaves_its_key_free(house: House) -> None:
    giver, taker = await wallet(house), await wallet(house)
    pay = house.payments.wallets.pay
    with pytest.raises(WrongState):
        await pay(house.scope, giver, taker, 300, "cny", ask=house.ask("w"))
    await house.pay(300, wallet_book_id=giver)
    assert not (await pay(house.scope, giver, taker, 300, "cny", ask=house.ask("w"))).is_replay


async def test_wallet_transfer_that_makes_no_sense_is_refused(house: House) -> None:
    giver, taker = await wallet(house, 1000), await wallet(house)
    pay = house.payments.wallets.pay
    with pytest.raises(BadParameter, match="does not pay itself"):
        await pay(house.scope, giver, giver, 1, "cny")
    with pytest.raises(BadAmount):
        await pay(house.scope, giver, taker, 0, "cny")
    with pytest.raises(BadParameter, match="at most 200"):
        await pay(house.scope, giver, taker, 1, "cny", note="x" * 201)
    with pytest.raises(NotFound, match="no wallet"):
        await pay(house.scope, giver, house.ids.int63(), 1, "cny")
    with pytest.raises(NotFound, match="no wallet"):
        await pay(house.scope, giver, taker, 1, "usd")


async def test_top_up_confirmed_later_credits_the_amount_that_was_paid(house: House) -> None:
    book_id = await wallet(house)
    order = IntentOrder(amount_minor=700, currency="cny", wallet_book_id=book_id)
    made = await house.payments.intents.create(house.scope, order)
    assert made.view is not None
    await house.payments.intents.confirm(house.scope, made.view.intent.id, ConfirmOrder(method=CARD))
    assert await holds(house, book_id) == (700, 700)
