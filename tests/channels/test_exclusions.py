from datetime import timedelta

import msgspec
import pytest
from tests.conftest import utc

from tongbao.channels.adapters import exclusions
from tongbao.channels.schema import (
    Alipay,
    Authorize,
    Capabilities,
    Card,
    Follow,
    Initiator,
    Inquire,
    Merchant,
    Operation,
    Outcome,
    Payout,
    Presentment,
    Reason,
    Wallet,
    WechatPay,
    WireUnit,
)

CAN = Capabilities(
    adapter="testpay",
    methods=frozenset({"alipay"}),
    presentments=frozenset({Presentment.MERCHANT_QR}),
    currencies=frozenset({"CNY"}),
    wire_unit=WireUnit.MINOR,
    void=True,
    refund=True,
    amount_minor_min=10,
    amount_minor_max=1_000,
)
AUTHORIZE = Authorize(
    reference="pa_1",
    amount_minor=100,
    currency="CNY",
    capture=True,
    method=Alipay(),
    merchant=Merchant(name="Shop"),
)
FOLLOW = Follow(
    reference="re_1",
    authorization_reference="pa_1",
    channel_reference=None,
    amount_minor=100,
    total_minor=100,
    currency="CNY",
    method=Alipay(),
)
INQUIRE = Inquire(
    operation=Operation.AUTHORIZE,
    reference="pa_1",
    authorization_reference="pa_1",
    channel_reference=None,
    amount_minor=0,
    currency="CNY",
    method=Alipay(),
    sent_at=utc(2026, 11, 22) + timedelta(seconds=1),
)
PAYOUT = Payout(reference="po_1", amount_minor=100, currency="CNY", destination_reference="2088")
CARD = Card(token="tok", exp_month=1, exp_year=2030, brand="visa", card_bin="424242", last4="4242")


@pytest.mark.parametrize(
    ("operation", "call", "changes"),
    [
        (Operation.AUTHORIZE, AUTHORIZE, {}),
        (Operation.AUTHORIZE, AUTHORIZE, {"amount_minor": 10}),
        (Operation.AUTHORIZE, AUTHORIZE, {"amount_minor": 1_000}),
        (Operation.AUTHORIZE, AUTHORIZE, {"reference": "a" * 32}),
        (Operation.REFUND, FOLLOW, {}),
        (Operation.VOID, FOLLOW, {"amount_minor": 0}),
        (Operation.AUTHORIZE, INQUIRE, {}),
        (Operation.VOID, INQUIRE, {"operation": Operation.VOID}),
        (Operation.AUTHORIZE, INQUIRE, {"operation": Operation.PAYOUT, "method": Wallet(1)}),
    ],
)
def test_refusal_of_what_is_possible_is_none(
    operation: Operation, call: exclusions.Call, changes: dict[str, object]
) -> None:
    assert exclusions.refusal(CAN, operation, msgspec.structs.replace(call, **changes)) is None


@pytest.mark.parametrize(
    ("operation", "call", "changes", "why"),
    [
        (Operation.CAPTURE, FOLLOW, {}, "no capture"),
        (Operation.INCREMENT, FOLLOW, {}, "no increment"),
        (Operation.PAYOUT, PAYOUT, {}, "no payout"),
        (Operation.AUTHORIZE, AUTHORIZE, {"currency": "USD"}, "no USD"),
        (Operation.REFUND, FOLLOW, {"currency": "cny"}, "no cny"),
        (Operation.AUTHORIZE, AUTHORIZE, {"reference": ""}, "reference"),
        (Operation.AUTHORIZE, AUTHORIZE, {"reference": "a" * 33}, "reference"),
        (Operation.AUTHORIZE, AUTHORIZE, {"reference": "a/b"}, "reference"),
        (Operation.AUTHORIZE, AUTHORIZE, {"reference": "a\n"}, "reference"),
        (Operation.REFUND, FOLLOW, {"authorization_reference": "pa_1?x"}, "reference"),
        (Operation.AUTHORIZE, AUTHORIZE, {"amount_minor": 0}, "less than 10"),
        (Operation.AUTHORIZE, AUTHORIZE, {"amount_minor": -100}, "less than 10"),
        (Operation.AUTHORIZE, AUTHORIZE, {"amount_minor": 1_001}, "more than 1000"),
        (Operation.REFUND, FOLLOW, {"amount_minor": 0}, "less than 10"),
        (Operation.AUTHORIZE, AUTHORIZE, {"method": CARD}, "no card"),
        (Operation.AUTHORIZE, AUTHORIZE, {"method": Wallet(1)}, "no wallet"),
        (Operation.AUTHORIZE, INQUIRE, {"method": WechatPay()}, "no wechat_pay"),
        (Operation.AUTHORIZE, AUTHORIZE, {"method": Alipay(Presentment.PAGE)}, "no page"),
        (Operation.AUTHORIZE, AUTHORIZE, {"capture": False}, "at once"),
        (Operation.AUTHORIZE, AUTHORIZE, {"initiator": Initiator.MERCHANT}, "mandates"),
        (Operation.VOID, FOLLOW, {"captured": True}, "voids nothing"),
        (Operation.REFUND, FOLLOW, {"amount_minor": 99}, "whole payments"),
    ],
)
def test_refusal_of_what_is_excluded_declines_with_its_objection(
    operation: Operation, call: exclusions.Call, changes: dict[str, object], why: str
) -> None:
    answer = exclusions.refusal(CAN, operation, msgspec.structs.replace(call, **changes))
    assert answer is not None
    assert (answer.outcome, answer.reason) == (Outcome.DECLINED, Reason.REQUEST_INVALID)
    assert why in (answer.message or "")


def test_presentment_of_a_card_is_direct() -> None:
    assert exclusions.presentment_of(CARD) is Presentment.DIRECT
    assert exclusions.presentment_of(Alipay(Presentment.PAGE)) is Presentment.PAGE
