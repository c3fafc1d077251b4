"""Complaining: who may, what it is told as, that one is open at a time, and how answers and refunds end it."""

import asyncio

import pytest
from tests.payments.conftest import House
from tests.payments.test_wallets import pay_from, wallet

from tongbao.core.errors import NotFound
from tongbao.payments.errors import WrongState
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.complaints import Complaint, ComplaintCause, ComplaintState, Said
from tongbao.payments.schema.orders import PageOrder

SAID = Said(ComplaintCause.WRONG_AMOUNT, "It was to be 200")


async def paid(house: House, amount_minor: int = 300) -> tuple[int, Attempt]:
    """A wallet and a payment from it."""
    book_id = await wallet(house, 1000)
    view = await pay_from(house, book_id, amount_minor)
    assert view.attempt is not None
    return book_id, view.attempt


async def complain(house: House, book_id: int, attempt: Attempt, said: Said = SAID) -> Complaint:
    return await house.payments.complaints.complain(book_id, attempt.book_id, attempt.id, said)


async def test_complaint_is_kept_told_and_found_by_both_sides(house: House) -> None:
    book_id, attempt = await paid(house)
    made = await complain(house, book_id, attempt)
    desk = house.payments.complaints
    assert await desk.own(book_id, attempt.book_id, attempt.intent_id) == [made]
    assert await desk.recent(book_id) == [made]
    assert await desk.get(house.scope, made.id) == made
    assert (await desk.page(house.scope, PageOrder(state="open"))).items == [made]
    assert (await house.intent(attempt.intent_id)).complaint_id == made.id
    told = (await house.facts())[-1]
    assert ([each.type for each in told.events], told.documents) == (["complaint.created"], (made,))
    await house.check_books()


async def test_complaint_about_the_payment_of_another_is_unknown(house: House) -> None:
    book_id, attempt = await paid(house)
    other = await wallet(house)
    with pytest.raises(NotFound):
        await complain(house, other, attempt)
    card = (await house.pay()).attempt
    assert card is not None
    with pytest.raises(NotFound):
        await complain(house, book_id, card)
    made = await complain(house, book_id, attempt)
    desk = house.payments.complaints
    assert await desk.own(other, attempt.book_id, attempt.intent_id) == []
    assert await desk.recent(other) == []
    with pytest.raises(NotFound):
        await desk.withdraw(other, attempt.book_id, made.id)
    with pytest.raises(NotFound):
        await desk.get(house.new_scope(), made.id)
    with pytest.raises(NotFound):
        await desk.answer(house.new_scope(), made.id, "No")


async def test_of_two_complaints_at_once_one_is_open(house: House) -> None:
    book_id, attempt = await paid(house)
    ends = await asyncio.gather(
        *(complain(house, book_id, attempt) for _ in range(3)), return_exceptions=True
    )
    codes = [each.code for each in ends if isinstance(each, WrongState)]
    assert codes == ["complaint_open"] * 2
    assert len(await house.payments.complaints.own(book_id, attempt.book_id, attempt.intent_id)) == 1
    assert house.payments.complaints.objection(attempt, []) is None


async def test_answer_in_words_ends_it_once(house: House) -> None:
    book_id, attempt = await paid(house)
    made = await complain(house, book_id, attempt)
    desk, ask = house.payments.complaints, house.ask("k1")
    done = await desk.answer(house.scope, made.id, "The rest is a deposit", ask=ask)
    assert done.view is not None
    assert (done.view.state, done.view.answered_by) == (ComplaintState.ANSWERED, "key:test")
    again = await desk.answer(house.scope, made.id, "The rest is a deposit", ask=ask)
    assert again.rendered is not None
    with pytest.raises(WrongState) as refused:
        await desk.answer(house.scope, made.id, "Other words")
    assert refused.value.code == "complaint_closed"
    assert (await house.events())[-1] == "complaint.closed"
    assert [each.answer for each in await desk.recent(book_id)] == ["The rest is a deposit"]


async def test_taken_back_complaint_leaves_room_for_the_next(house: House) -> None:
    book_id, attempt = await paid(house)
    made = await complain(house, book_id, attempt)
    desk = house.payments.complaints
    gone = await desk.withdraw(book_id, attempt.book_id, made.id)
    assert gone.state is ComplaintState.WITHDRAWN
    again = await complain(house, book_id, attempt, Said(ComplaintCause.DUPLICATE))
    assert [each.id for each in await desk.recent(book_id)] == [again.id, made.id]


async def test_refund_ends_an_open_complaint_in_its_own_commit(house: House) -> None:
    book_id, attempt = await paid(house)
    made = await complain(house, book_id, attempt)
    refunded = await house.payments.refunds.create(house.scope, intent_id=attempt.intent_id, amount_minor=100)
    assert refunded.view is not None
    (found,) = await house.payments.complaints.recent(book_id)
    assert (found.id, found.state, found.refunded_minor) == (made.id, ComplaintState.REFUNDED, 100)
    assert found.refund_id == refunded.view.refund.id
    told = (await house.facts())[-1]
    assert [each.type for each in told.events][-1] == "complaint.closed"
    # A second refund has nothing left to end.
    await house.payments.refunds.create(house.scope, intent_id=attempt.intent_id)
    assert await house.payments.complaints.recent(book_id) == [found]
    with pytest.raises(WrongState) as refused:
        await complain(house, book_id, attempt)
    assert refused.value.code == "complaint_refunded"
    await house.check_books()
