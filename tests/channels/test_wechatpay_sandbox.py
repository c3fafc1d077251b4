"""WeChat Pay as a channel against the sandbox, which plays API v3 on real sockets with its own implementation."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from pydantic import SecretStr
from tests.channels.signed_world import Stub, raw, serving
from tests.channels.test_alipay_sandbox import told
from tests.channels.test_wechatpay import IN_APP, PAGE, authorize, follow, inquire, payout

from tongbao.channels.adapters.wechatpay.channel import WechatPayChannel
from tongbao.channels.adapters.wechatpay.settings import WechatPaySettings
from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import (
    NotificationKind,
    Operation,
    Outcome,
    Presentment,
    Reason,
    WechatPay,
)
from tongbao.core.clock import RealClock
from tongbao.core.http import HttpClient
from tongbao.simulator.sandbox.behavior import Fault, Habits, Script
from tongbao.simulator.sandbox.schema import Operation as SandboxOperation
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig

PAYER_CODE = WechatPay(Presentment.PAYER_CODE, payer_code="130061098828009406")


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(SandboxConfig()) as opened:
        yield opened


@pytest.fixture
async def merchant() -> AsyncIterator[Stub]:
    async with serving() as stub:
        stub.will(*[raw(200, b"")] * 10)
        yield stub


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
def route(sandbox: Sandbox, http: HttpClient) -> WechatPayChannel:
    return open_wechat(sandbox, http)


def open_wechat(
    sandbox: Sandbox, http: HttpClient, timeout_s: float = 5.0, *, certified: bool = False
) -> WechatPayChannel:
    """The channel of the sandbox's merchant; ``certified`` knows the platform's certificate and no public key."""
    known = sandbox.credentials.merchant.wechat_pay
    keys = {known.platform_certificate_serial: known.platform_certificate}
    if not certified:
        keys[known.platform_public_key_id] = known.platform_public_key
    settings = WechatPaySettings(
        app_id=known.app_id,
        mch_id=known.mch_id,
        merchant_private_key_pem=SecretStr(known.merchant_private_key),
        merchant_serial=known.merchant_serial,
        platform_public_keys=keys,
        api_v3_key=SecretStr(known.api_v3_key),
        base_url=known.base_url,
        notify_url="http://127.0.0.1:9/notify",
        timeout_s=timeout_s,
    )
    return WechatPayChannel("wechat_sandbox", settings, http, RealClock(), standard)


@pytest.mark.parametrize("certified", [False, True])
async def test_payment_by_payer_code_with_its_refunds_and_notifications(
    sandbox: Sandbox, http: HttpClient, merchant: Stub, certified: bool
) -> None:
    route = open_wechat(sandbox, http, certified=certified)
    reference, refund = f"pa_code_{certified}", f"re_1_{certified}"
    call = authorize(reference=reference, method=PAYER_CODE, expires_at=None)
    paid, again = await route.authorize(call), await route.authorize(call)
    assert (paid.outcome, paid.captured, paid.amount_minor) == (Outcome.APPROVED, True, 1999)
    assert paid == again
    back = follow(refund, authorization_reference=reference, captured=True, notify_url=merchant.url)
    assert (await route.refund(back)).outcome in {Outcome.APPROVED, Outcome.PENDING}
    [raw_notification] = await told(merchant, 1)
    notification = route.parse_notification(raw_notification)
    assert (notification.kind, notification.reference) == (NotificationKind.REFUND, refund)
    assert (notification.answer.outcome, notification.answer.amount_minor) == (Outcome.APPROVED, 500)
    repeated = await route.refund(back)
    assert (repeated.outcome, repeated.amount_minor) == (Outcome.APPROVED, 500)
    question = msgspec.structs.replace(inquire(Operation.REFUND, refund), authorization_reference=reference)
    found = await route.inquire(question)
    assert (found.outcome, found.amount_minor) == (Outcome.APPROVED, 500)
    missing = await route.inquire(msgspec.structs.replace(question, reference="re_none_1"))
    assert missing.outcome is Outcome.NOT_FOUND


async def test_payment_by_merchant_code_is_pending_until_it_is_paid(
    sandbox: Sandbox, route: WechatPayChannel, merchant: Stub
) -> None:
    call = authorize(reference="pa_native", notify_url=merchant.url, expires_at=None)
    shown = await route.authorize(call)
    assert shown.action is not None
    assert shown.action.qr_text
    question = msgspec.structs.replace(inquire(), reference="pa_native", authorization_reference="pa_native")
    assert (await route.inquire(question)).outcome is Outcome.PENDING
    payment = sandbox.world.payment("wechat_pay", "pa_native")
    assert payment is not None
    sandbox.payers.pay(payment)
    found = await route.inquire(question)
    assert (found.outcome, found.captured, found.amount_minor) == (Outcome.APPROVED, True, 1999)
    [raw_notification] = await told(merchant, 1)
    notification = route.parse_notification(raw_notification)
    assert (notification.kind, notification.answer.amount_minor) == (NotificationKind.PAYMENT, 1999)
    assert (await route.authorize(call)).outcome is Outcome.APPROVED
    late = await route.void(follow("vo_1", authorization_reference="pa_native"))
    assert (late.outcome, late.reason) == (Outcome.DECLINED, Reason.STATE_INVALID)


@pytest.mark.parametrize("method", [IN_APP, PAGE])
async def test_payment_in_app_and_by_page_leads_on(route: WechatPayChannel, method: WechatPay) -> None:
    call = authorize(reference=f"pa_{method.presentment}", method=method, expires_at=None)
    answer = await route.authorize(call)
    assert answer.outcome is Outcome.ACTION_REQUIRED
    assert answer.action is not None
    assert answer.action.url or answer.action.data["paySign"]


async def test_void_of_an_unpaid_order_ends_it_for_good(sandbox: Sandbox, route: WechatPayChannel) -> None:
    await route.authorize(authorize(reference="pa_void", expires_at=None))
    act = follow("vo_2", authorization_reference="pa_void")
    for _ in range(2):
        voided = await route.void(act)
        assert (voided.outcome, voided.voided) == (Outcome.APPROVED, True)
    question = msgspec.structs.replace(inquire(), reference="pa_void", authorization_reference="pa_void")
    closed = await route.inquire(question)
    assert (closed.outcome, closed.voided) == (Outcome.DECLINED, True)
    unknown = msgspec.structs.replace(question, reference="pa_none", authorization_reference="pa_none")
    assert (await route.inquire(unknown)).outcome is Outcome.NOT_FOUND


async def test_payout_arrives_once_and_is_found(route: WechatPayChannel) -> None:
    first, second = await route.payout(payout()), await route.payout(payout())
    assert first.outcome in {Outcome.APPROVED, Outcome.PENDING}
    assert first.channel_reference == second.channel_reference
    found = await route.inquire(inquire(Operation.PAYOUT, payout().reference))
    assert found.channel_reference == first.channel_reference
    missing = await route.inquire(inquire(Operation.PAYOUT, "po_none"))
    assert missing.outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize("fault", sorted(Fault))
async def test_whatever_goes_wrong_the_answer_and_the_inquiry_never_contradict_the_world(
    sandbox: Sandbox, http: HttpClient, fault: Fault
) -> None:
    # Only where no answer comes is the wait for it part of the test.
    route = open_wechat(sandbox, http, timeout_s=0.5 if "silent" in fault else 10.0)
    reference = f"pa_fault_{fault}"
    script = Script(operation=SandboxOperation.AUTHORIZE, fault=fault)
    sandbox.behavior.set("wechat_pay", Habits(scripts=(script,)))
    answer = await route.authorize(authorize(reference=reference, method=PAYER_CODE, expires_at=None))
    sandbox.behavior.set("wechat_pay", Habits())
    question = msgspec.structs.replace(inquire(), reference=reference, authorization_reference=reference)
    found = await route.inquire(question)
    payment = sandbox.world.payment("wechat_pay", reference)
    taken_minor = payment.taken_minor if payment else 0
    assert found.outcome is (Outcome.APPROVED if taken_minor else Outcome.NOT_FOUND)
    if answer.outcome is not Outcome.UNRESOLVED:
        assert (answer.outcome is Outcome.APPROVED) is (taken_minor == 1999)
    assert (answer.outcome is Outcome.APPROVED) is (fault in {Fault.NONE, Fault.TAMPERED})
    if fault is Fault.TAMPERED:
        assert {answer.amount_minor, found.amount_minor} == {2000}, "the caller compares and sees the lie"
