"""Alipay as a channel against the sandbox, which plays Alipay on real sockets with an implementation of its own."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from pydantic import SecretStr
from tests.channels.signed_world import Stub, raw, serving
from tests.channels.test_alipay import authorize, follow, inquire, payout

from tongbao.channels.adapters.alipay.channel import AlipayChannel
from tongbao.channels.adapters.alipay.settings import AlipaySettings
from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import (
    Alipay,
    NotificationKind,
    Operation,
    Outcome,
    Presentment,
    RawNotification,
    Reason,
)
from tongbao.core.clock import RealClock
from tongbao.core.http import HttpClient
from tongbao.simulator.sandbox.behavior import Fault, Habits, Script
from tongbao.simulator.sandbox.schema import Operation as SandboxOperation
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig

PAYER_CODE = Alipay(Presentment.PAYER_CODE, payer_code="2876344382566439")
WAIT_S_MAX = 30.0


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(SandboxConfig()) as opened:
        yield opened


@pytest.fixture
async def merchant() -> AsyncIterator[Stub]:
    async with serving() as stub:
        stub.will(*[raw(200, b"success")] * 10)
        yield stub


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
def route(sandbox: Sandbox, http: HttpClient) -> AlipayChannel:
    return open_alipay(sandbox, http)


def open_alipay(sandbox: Sandbox, http: HttpClient, timeout_s: float = 5.0) -> AlipayChannel:
    known = sandbox.credentials.merchant.alipay
    settings = AlipaySettings(
        app_id=known.app_id,
        seller_id=known.seller_id,
        app_private_key_pem=SecretStr(known.app_private_key),
        alipay_public_key_pem=known.alipay_public_key,
        gateway_url=known.gateway_url,
        timeout_s=timeout_s,
    )
    return AlipayChannel("alipay_sandbox", settings, http, RealClock(), standard)


async def told(merchant: Stub, count: int) -> list[RawNotification]:
    """The first notifications that the merchant got, as the channel takes them."""
    async with asyncio.timeout(WAIT_S_MAX):
        while len(merchant.requests) < count:  # noqa: ASYNC110  # what is waited for is seen from outside only
            await asyncio.sleep(0.01)
    return [
        RawNotification(
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            query=request.query_string,
            body=body,
            received_at=RealClock().now(),
        )
        for request, body in merchant.requests[:count]
    ]


async def test_payment_by_payer_code_with_its_refunds_and_notifications(
    sandbox: Sandbox, route: AlipayChannel, merchant: Stub
) -> None:
    call = authorize(reference="pa_code", method=PAYER_CODE, notify_url=merchant.url, expires_at=None)
    paid, again = await route.authorize(call), await route.authorize(call)
    assert (paid.outcome, paid.captured, paid.amount_minor) == (Outcome.APPROVED, True, 1999)
    assert paid == again
    back = follow("re_1", authorization_reference="pa_code", captured=True)
    first, repeated = await route.refund(back), await route.refund(back)
    assert (first.outcome, first.refunded_minor) == (Outcome.APPROVED, 500)
    assert (repeated.outcome, repeated.amount_minor) == (Outcome.APPROVED, 500)
    conflict = await route.refund(msgspec.structs.replace(back, amount_minor=501))
    assert (conflict.outcome, conflict.reason) == (Outcome.DECLINED, Reason.REFERENCE_CONFLICT)
    too_much = await route.refund(follow("re_2", authorization_reference="pa_code", amount_minor=1_900))
    assert (too_much.outcome, too_much.reason) == (Outcome.DECLINED, Reason.REFUND_TOO_LARGE)
    question = msgspec.structs.replace(inquire(Operation.REFUND, "re_1"), authorization_reference="pa_code")
    found = await route.inquire(question)
    assert (found.outcome, found.amount_minor) == (Outcome.APPROVED, 500)
    missing = await route.inquire(msgspec.structs.replace(question, reference="re_none"))
    assert missing.outcome is Outcome.NOT_FOUND
    notifications = [route.parse_notification(raw) for raw in await told(merchant, 2)]
    assert {(one.kind, one.reference) for one in notifications} == {
        (NotificationKind.PAYMENT, "pa_code"),
        (NotificationKind.REFUND, "re_1"),
    }


async def test_payment_by_merchant_code_is_known_once_scanned_and_paid(
    sandbox: Sandbox, route: AlipayChannel, merchant: Stub
) -> None:
    call = authorize(reference="pa_qr", notify_url=merchant.url, expires_at=None)
    shown = await route.authorize(call)
    assert shown.action is not None
    assert shown.action.qr_text
    question = msgspec.structs.replace(inquire(), reference="pa_qr", authorization_reference="pa_qr")
    assert (await route.inquire(question)).outcome is Outcome.NOT_FOUND
    payment = sandbox.world.payment("alipay", "pa_qr")
    assert payment is not None
    sandbox.payers.scan(payment)
    assert (await route.inquire(question)).outcome is Outcome.PENDING
    sandbox.payers.pay(payment)
    found = await route.inquire(question)
    assert (found.outcome, found.captured, found.amount_minor) == (Outcome.APPROVED, True, 1999)
    [raw_notification] = await told(merchant, 1)
    assert route.parse_notification(raw_notification).answer.amount_minor == 1999
    assert (await route.authorize(call)).outcome is Outcome.APPROVED
    late = await route.void(follow("vo_1", authorization_reference="pa_qr"))
    assert (late.outcome, late.reason) == (Outcome.DECLINED, Reason.STATE_INVALID)


@pytest.mark.parametrize("scanned", [False, True])
async def test_void_of_an_unpaid_code_ends_it_for_good(
    sandbox: Sandbox, route: AlipayChannel, scanned: bool
) -> None:
    reference = f"pa_void_{scanned}"
    await route.authorize(authorize(reference=reference, notify_url=None, expires_at=None))
    payment = sandbox.world.payment("alipay", reference)
    assert payment is not None
    if scanned:
        sandbox.payers.scan(payment)
    act = follow("vo_2", authorization_reference=reference)
    for _ in range(2):
        voided = await route.void(act)
        assert (voided.outcome, voided.voided) == (Outcome.APPROVED, True)
    sandbox.payers.pay(payment)
    assert payment.taken_minor == 0


async def test_void_of_captured_gives_the_money_back(sandbox: Sandbox, route: AlipayChannel) -> None:
    call = authorize(reference="pa_cancel", method=PAYER_CODE, notify_url=None, expires_at=None)
    await route.authorize(call)
    act = follow("vo_3", authorization_reference="pa_cancel", method=PAYER_CODE, captured=True)
    assert (await route.void(act)).voided
    payment = sandbox.world.payment("alipay", "pa_cancel")
    assert payment is not None
    assert payment.taken_minor == 0
    question = msgspec.structs.replace(inquire(), reference="pa_cancel", authorization_reference="pa_cancel")
    found = await route.inquire(question)
    assert found.voided


async def test_payout_arrives_once_and_is_found(sandbox: Sandbox, route: AlipayChannel) -> None:
    first, second = await route.payout(payout()), await route.payout(payout())
    assert (first.outcome, first) == (Outcome.APPROVED, second)
    found = await route.inquire(inquire(Operation.PAYOUT, payout().reference))
    assert (found.outcome, found.amount_minor) == (Outcome.APPROVED, 12_345)
    missing = await route.inquire(inquire(Operation.PAYOUT, "po_none"))
    assert missing.outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize("fault", sorted(Fault))
async def test_whatever_goes_wrong_the_answer_and_the_inquiry_never_contradict_the_world(
    sandbox: Sandbox, http: HttpClient, fault: Fault
) -> None:
    # Only where no answer comes is the wait for it part of the test.
    route = open_alipay(sandbox, http, timeout_s=0.5 if "silent" in fault else 10.0)
    reference = f"pa_fault_{fault}"
    script = Script(operation=SandboxOperation.AUTHORIZE, fault=fault)
    sandbox.behavior.set("alipay", Habits(scripts=(script,)))
    answer = await route.authorize(authorize(reference=reference, method=PAYER_CODE, expires_at=None))
    sandbox.behavior.set("alipay", Habits())
    question = msgspec.structs.replace(inquire(), reference=reference, authorization_reference=reference)
    found = await route.inquire(question)
    payment = sandbox.world.payment("alipay", reference)
    taken_minor = payment.taken_minor if payment else 0
    assert found.outcome is (Outcome.APPROVED if taken_minor else Outcome.NOT_FOUND)
    if answer.outcome is not Outcome.UNRESOLVED:
        assert (answer.outcome is Outcome.APPROVED) is (taken_minor == 1999)
    assert (answer.outcome is Outcome.APPROVED) is (fault in {Fault.NONE, Fault.TAMPERED})
    if fault is Fault.TAMPERED:
        assert {answer.amount_minor, found.amount_minor} == {2000}, "the caller compares and sees the lie"
