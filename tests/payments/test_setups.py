"""Setting up: a method is checked, a mandate says what it may be used for, and its caps hold at once."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from tests.payments.conftest import CARD, House
from tests.payments.scripted import UNRESOLVED, declined

from tongbao.channels.schema import Alipay, Answer, Authorize, Initiator, Outcome, Reason
from tongbao.payments.errors import BadParameter, Contended, WrongState
from tongbao.payments.schema.methods import Mandate, MandateState, PaymentMethod, SetupState
from tongbao.payments.schema.orders import ConfirmOrder, MandateTerms, SetupView


async def method(house: House) -> PaymentMethod:
    done = await house.payments.methods.create(house.scope, CARD)
    assert done.view is not None
    return done.view


async def set_up(house: House, terms: MandateTerms | None = None, **fields: object) -> SetupView:
    values: dict[str, object] = {"method_id": (await method(house)).id, "customer_id": house.ids.uuid()}
    done = await house.payments.setups.create(
        house.scope,
        terms=terms,
        confirm=True,
        **(values | fields),  # type: ignore[arg-type]
    )
    assert done.view is not None
    return done.view


def off_session(mandate: Mandate) -> ConfirmOrder:
    return ConfirmOrder(method_id=mandate.method_id, mandate_id=mandate.id, off_session=True)


async def test_set_up_checks_the_card_and_lets_the_reservation_go(house: House) -> None:
    view = await set_up(house, payer_address="10.0.0.1")
    assert view.setup.state is SetupState.SUCCEEDED
    assert view.mandate is not None
    assert (view.mandate.state, view.mandate.accepted_address) == (MandateState.ACTIVE, "10.0.0.1")
    assert view.method is not None
    assert view.method.customer_id == view.setup.customer_id
    assert [name for name, _ in house.channel().calls] == ["authorize", "void"]
    assert (await house.events())[-1] == "setup_intent.succeeded"


@pytest.mark.parametrize(
    ("answer", "voids"),
    [
        (declined(Reason.CARD_EXPIRED), 0),
        (Answer(outcome=Outcome.NOT_SENT), 0),
        (UNRESOLVED, 1),
        (Answer(outcome=Outcome.PENDING), 1),
    ],
)
async def test_set_up_that_is_not_approved_keeps_no_method_and_may_be_repeated(
    house: House, answer: Answer, voids: int
) -> None:
    house.channel().reply("authorize", answer)
    view = await set_up(house)
    assert (view.setup.state, view.mandate) == (SetupState.REQUIRES_PAYMENT_METHOD, None)
    assert view.setup.last_error is not None
    assert len(house.channel().asked("void")) == voids
    again = await house.payments.setups.confirm(
        house.scope, view.setup.id, method_id=(await method(house)).id
    )
    assert again.view is not None
    assert again.view.setup.state is SetupState.SUCCEEDED


async def test_set_up_on_session_gives_no_mandate(house: House) -> None:
    assert (await set_up(house, usage="on_session")).mandate is None


async def test_terms_that_were_given_at_the_start_hold_when_it_is_confirmed_later(house: House) -> None:
    ends_at = house.clock.now() + timedelta(days=90)
    terms = MandateTerms(currency="usd", amount_minor_max=500, period="week", ends_at=ends_at)
    made = await house.payments.setups.create(house.scope, method_id=(await method(house)).id, terms=terms)
    assert made.view is not None
    done = await house.payments.setups.confirm(house.scope, made.view.setup.id)
    assert done.view is not None
    assert done.view.mandate is not None
    mandate = await house.payments.setups.mandate(house.scope, done.view.mandate.id)
    assert mandate == done.view.mandate
    assert (mandate.currency, mandate.amount_minor_max, mandate.ends_at) == ("USD", 500, ends_at)
    (call,) = house.channel().asked("authorize")
    assert isinstance(call, Authorize)
    assert call.currency == "USD"


async def test_payment_off_session_carries_the_network_reference_of_the_set_up(house: House) -> None:
    view = await set_up(house)
    assert view.mandate is not None
    paid = await house.pay(700, customer_id=view.setup.customer_id, confirm=off_session(view.mandate))
    assert paid.intent.state == "succeeded"
    call = house.channel().asked("authorize")[-1]
    assert isinstance(call, Authorize)
    assert (call.network_reference, call.initiator) == (view.mandate.network_reference, Initiator.MERCHANT)


async def test_caps_hold_when_twenty_payments_are_made_at_once(house: House) -> None:
    view = await set_up(house, MandateTerms(currency="cny", period="day", period_minor_max=1000))
    assert view.mandate is not None
    pay = [
        house.pay(300, customer_id=view.setup.customer_id, confirm=off_session(view.mandate))
        for _ in range(20)
    ]
    results = await asyncio.gather(*pay, return_exceptions=True)
    paid = [each for each in results if not isinstance(each, BaseException)]
    assert len(paid) == 3
    refused = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, WrongState | Contended) for each in refused)
    used = await house.payments.setups.mandate(house.scope, view.mandate.id)
    assert (used.used_minor, used.used_count) == (900, 3)
    assert await house.balance("in_transit") == 900


async def test_payment_that_the_mandate_forbids_is_not_sent(house: House) -> None:
    view = await set_up(house, MandateTerms(amount_minor_max=500))
    assert view.mandate is not None
    with pytest.raises(WrongState) as refused:
        await house.pay(501, customer_id=view.setup.customer_id, confirm=off_session(view.mandate))
    assert refused.value.code == "mandate_invalid"
    assert len(house.channel().asked("authorize")) == 1


async def test_mandate_that_was_ended_permits_nothing_and_ends_once(house: House) -> None:
    view = await set_up(house)
    assert view.mandate is not None
    for _ in range(2):
        done = await house.payments.setups.end_mandate(house.scope, view.mandate.id)
        assert done.view is not None
        assert (done.view.state, done.view.version) == (MandateState.INACTIVE, 2)
    with pytest.raises(WrongState, match="is not active"):
        await house.pay(1, customer_id=view.setup.customer_id, confirm=off_session(view.mandate))
    assert (await house.events()).count("mandate.updated") == 1


async def test_paused_mandate_is_not_charged_until_its_payer_lets_it_go_on(house: House) -> None:
    view = await set_up(house)
    assert view.mandate is not None
    for _ in range(2):
        paused = await house.payments.setups.pause_mandate(house.scope, view.mandate.id, is_paused=True)
        assert (paused.state, paused.version) == (MandateState.PAUSED, 2)
    # Neither named nor found by its method.
    for confirm in (
        off_session(view.mandate),
        ConfirmOrder(method_id=view.mandate.method_id, off_session=True),
    ):
        with pytest.raises(WrongState) as refused:
            await house.pay(1, customer_id=view.setup.customer_id, confirm=confirm)
        assert refused.value.code == "mandate_paused"
    await house.payments.setups.pause_mandate(house.scope, view.mandate.id, is_paused=False)
    paid = await house.pay(1, customer_id=view.setup.customer_id, confirm=off_session(view.mandate))
    assert paid.intent.state == "succeeded"
    await house.payments.setups.end_mandate(house.scope, view.mandate.id)
    with pytest.raises(WrongState) as refused:
        await house.payments.setups.pause_mandate(house.scope, view.mandate.id, is_paused=False)
    assert refused.value.code == "mandate_ended"
    assert (await house.events()).count("mandate.updated") == 3


@pytest.mark.parametrize(
    "terms",
    [
        MandateTerms(amount_minor_max=0),
        MandateTerms(period_minor_max=-1),
        MandateTerms(period_count_max=0),
        MandateTerms(period="fortnight"),
        MandateTerms(currency="zzz"),
    ],
)
async def test_terms_that_make_no_sense_are_refused(house: House, terms: MandateTerms) -> None:
    with pytest.raises(BadParameter):
        await set_up(house, terms)
    with pytest.raises(BadParameter):
        await set_up(house, MandateTerms(ends_at=house.clock.now()))


async def test_set_up_that_can_not_be_done_is_refused(house: House) -> None:
    with pytest.raises(BadParameter, match="one of off_session"):
        await set_up(house, usage="sometimes")
    with pytest.raises(BadParameter, match="give a payment method"):
        await set_up(house, method_id=None)
    kept = await method(house)
    await house.payments.methods.attach(house.scope, kept.id, house.ids.uuid())
    with pytest.raises(BadParameter, match="another customer"):
        await set_up(house, method_id=kept.id)
    with pytest.raises(WrongState, match="no channel can check"):
        await set_up(house, MandateTerms(currency="eur"))


async def test_set_up_cut_short_may_be_confirmed_again(house: House) -> None:
    async def dies(_call: object) -> Answer:
        raise asyncio.CancelledError

    house.channel().reply("authorize", dies)
    made = await house.payments.setups.create(house.scope, method_id=(await method(house)).id)
    assert made.view is not None
    setup_id = made.view.setup.id
    with pytest.raises(asyncio.CancelledError):
        await house.payments.setups.confirm(house.scope, setup_id)
    with pytest.raises(WrongState):
        await house.payments.setups.confirm(house.scope, setup_id)
    await house.pass_time(31)
    assert (await house.payments.setups.confirm(house.scope, setup_id)).view is not None
    assert (await house.payments.setups.get(house.scope, setup_id)).setup.state is SetupState.SUCCEEDED


async def test_set_up_confirmed_twenty_times_at_once_is_checked_once(house: House) -> None:
    made = await house.payments.setups.create(house.scope, method_id=(await method(house)).id)
    assert made.view is not None
    setup_id: UUID = made.view.setup.id
    confirms = [house.payments.setups.confirm(house.scope, setup_id) for _ in range(20)]
    results = await asyncio.gather(*confirms, return_exceptions=True)
    assert sum(1 for each in results if not isinstance(each, BaseException)) == 1
    assert len(house.channel().asked("authorize")) == 1


async def test_set_up_that_was_canceled_is_over(house: House) -> None:
    made = await house.payments.setups.create(house.scope)
    assert made.view is not None
    done = await house.payments.setups.cancel(house.scope, made.view.setup.id, "abandoned")
    assert done.view is not None
    assert done.view.setup.cancel_reason == "abandoned"
    with pytest.raises(WrongState):
        await house.payments.setups.cancel(house.scope, made.view.setup.id)


async def test_method_is_kept_for_one_customer_and_let_go(house: House) -> None:
    kept, customer_id = await method(house), house.ids.uuid()
    methods = house.payments.methods
    await methods.attach(house.scope, kept.id, customer_id)
    with pytest.raises(WrongState, match="another customer"):
        await methods.attach(house.scope, kept.id, house.ids.uuid())
    await methods.detach(house.scope, kept.id)
    with pytest.raises(WrongState, match="belongs to nobody"):
        await methods.detach(house.scope, kept.id)
    changed = await methods.change(
        house.scope, kept.id, exp_year=2035, billing={"name": "Li"}, metadata={"a": "b"}
    )
    assert changed.view is not None
    assert getattr(changed.view.method, "exp_year", None) == 2035
    assert await methods.get(house.scope, kept.id) == changed.view


async def test_method_that_is_no_card_has_no_expiry_to_change(house: House) -> None:
    kept = (await house.payments.methods.create(house.scope, Alipay())).view
    assert kept is not None
    changed = await house.payments.methods.change(house.scope, kept.id, exp_year=2035)
    assert changed.view is not None
    assert changed.view.method == Alipay()
