"""The ISO 8583 channel against an acquirer that loses answers, fails, and tells of it later; and its notices."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.channels.cards import (
    CVC,
    GOOD,
    NOON,
    Cards,
    authorize,
    card,
    follow,
    http_answer,
    inquire,
    read_frame,
    read_http,
    serving,
)

from tongbao.channels.adapters.hmac_header import signature
from tongbao.channels.adapters.iso8583 import dialect, transform
from tongbao.channels.adapters.iso8583.channel import Iso8583Channel, Iso8583Settings
from tongbao.channels.adapters.iso8583.line import LineSettings
from tongbao.channels.adapters.iso8583.transform import Terminal
from tongbao.channels.errors import NotificationForged, NotificationMalformed
from tongbao.channels.schema import (
    Answer,
    Authentication,
    AuthenticationFlow,
    AuthenticationResult,
    Authorize,
    Initiator,
    Inquire,
    NotificationKind,
    Operation,
    Outcome,
    Payout,
    RawNotification,
    Reason,
)
from tongbao.core.clock import FrozenClock
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig

_numbers = itertools.count(1)
SECRET = "a secret"
TERMINAL = Terminal(terminal_id="T", merchant_id="M", acquirer_id="1")


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox with one acquirer."""
    async with Sandbox(SandboxConfig(acquirers={"east": 0}, notify_intervals_s=(0.05,))) as running:
        yield running


@pytest.fixture
async def channel(sandbox: Sandbox) -> AsyncIterator[Iso8583Channel]:
    """A channel to the acquirer that waits a second."""
    known = sandbox.credentials.merchant.acquirers["east"]
    settings = Iso8583Settings(
        line=LineSettings(host=known.host, port=known.port, timeout_s=1.0),
        terminal=Terminal(
            terminal_id=known.terminal_id, merchant_id=known.merchant_id, acquirer_id=known.acquirer_id
        ),
        inquires=True,
        increments=True,
        captures_often=True,
        notice_secret=SecretStr(known.notification_secret),
    )
    opened = Iso8583Channel("acquirer_east", settings, Cards(), FrozenClock(NOON))
    yield opened
    await opened.close()


def new(amount_minor: int = 2_500, **fields: Any) -> Authorize:
    return authorize(f"pa_{next(_numbers)}", amount_minor, **fields)


def about(call: Authorize, reference: str = "", operation: Operation = Operation.AUTHORIZE) -> Inquire:
    return inquire(operation, reference or call.reference, call.reference)


# The acquirer's magic: the last two digits of an amount say what goes wrong.
@pytest.mark.parametrize(
    ("amount_minor", "truth"),
    [
        (2_581, Outcome.NOT_FOUND),
        (2_582, Outcome.APPROVED),
        (2_583, Outcome.NOT_FOUND),
        (2_584, Outcome.APPROVED),
        (2_585, Outcome.APPROVED),
        (2_587, Outcome.NOT_FOUND),
        (2_596, Outcome.DECLINED),
    ],
    ids=["silent", "silent, done", "cut", "cut, done", "garbage", "malfunction", "malfunction, declined"],
)
async def test_lost_answer_is_unresolved_and_an_inquiry_tells_the_truth(
    channel: Iso8583Channel, amount_minor: int, truth: Outcome
) -> None:
    call = new(amount_minor)
    lost = await channel.authorize(call)
    assert (lost.outcome, lost.reason) == (Outcome.UNRESOLVED, None)
    found = await channel.inquire(about(call))
    assert found.outcome is truth
    if truth is Outcome.APPROVED:
        assert (found.amount_minor, found.captured) == (amount_minor, True)


async def test_payment_that_got_lost_can_be_reversed_blindly(channel: Iso8583Channel) -> None:
    call = new(2_582, capture=False)
    lost = await channel.authorize(call)
    voided = await channel.void(follow("vo_blind", call, lost, call.amount_minor))
    assert voided.outcome is Outcome.APPROVED
    found = await channel.inquire(about(call))
    assert (found.outcome, found.voided) == (Outcome.APPROVED, True)


async def test_whole_life_of_an_authorization_is_read_back(channel: Iso8583Channel) -> None:
    call = new(10_000, capture=False)
    answer = await channel.authorize(call)
    assert (answer.cvc_check, answer.approval_code is not None) == ("pass", True)
    more = await channel.increment(follow("in_life", call, answer, 2_000))
    assert more.outcome is Outcome.APPROVED
    assert (await channel.inquire(about(call))).amount_minor == 12_000
    for number, (amount_minor, final) in enumerate([(7_000, False), (3_000, True)]):
        captured = await channel.capture(follow(f"ca_life_{number}", call, answer, amount_minor, final=final))
        assert (captured.outcome, captured.captured) == (Outcome.APPROVED, True)
    refunded = await channel.refund(follow("re_life", call, answer, 4_000, captured=True))
    assert refunded.outcome is Outcome.APPROVED
    found = await channel.inquire(about(call))
    assert (found.captured, found.amount_minor, found.refunded_minor) == (True, 10_000, 4_000)
    refund = await channel.inquire(about(call, "re_life", Operation.REFUND))
    assert (refund.outcome, refund.amount_minor, refund.refunded_minor) == (Outcome.APPROVED, 4_000, None)
    capture = await channel.inquire(about(call, "ca_life_0", Operation.CAPTURE))
    assert (capture.outcome, capture.captured, capture.amount_minor) == (Outcome.APPROVED, True, 7_000)


async def test_late_approval_is_told_by_a_signed_notice(channel: Iso8583Channel, sandbox: Sandbox) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def take(request: bytes) -> bytes:
        arrived.put_nowait(request)
        return http_answer(b"")

    async with serving(read_http, take) as (address, _):
        sandbox.acquirers["east"].notify_url = f"{address.url}/notices/acquirer_east"
        call = new(2_582)
        assert (await channel.authorize(call)).outcome is Outcome.UNRESOLVED
        async with asyncio.timeout(30):
            head, _, body = (await arrived.get()).partition(b"\r\n\r\n")
        sandbox.acquirers["east"].notify_url = None
        await asyncio.sleep(0.05)
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    told = channel.parse_notification(raw(body, **{name.lower(): value for name, _, value in lines}))
    assert (told.kind, told.reference) == (NotificationKind.PAYMENT, call.reference)
    assert (told.answer.outcome, told.answer.captured, told.answer.amount_minor) == (
        Outcome.APPROVED,
        True,
        2_582,
    )


def raw(body: bytes, **headers: str) -> RawNotification:
    return RawNotification(
        method="POST", path="/n", headers=headers, query="", body=body, received_at=datetime.now(UTC)
    )


def offline(**settings: Any) -> Iso8583Channel:
    """A channel that is never connected."""
    line = LineSettings(host="127.0.0.1", port=1, signs_on=False, echo_s=0)
    values = {"line": line, "terminal": TERMINAL, "notice_secret": SecretStr(SECRET), **settings}
    return Iso8583Channel("acquirer_off", Iso8583Settings(**values), Cards(), FrozenClock(NOON))


def signed(body: bytes, secret: str = SECRET) -> RawNotification:
    at = int(datetime.now(UTC).timestamp())
    return raw(body, **{"sandbox-signature": f"t={at},v1={signature(secret, at, body)}"})


def notice(kind: str, **data: Any) -> bytes:
    whole = {"reference": "pa_1", "amount_minor": 5, "currency": "CNY", "channel_reference": "net", **data}
    return json.dumps({"id": "evt_1", "type": kind, "created": 1, "data": whole}).encode()


@pytest.mark.parametrize(
    ("body", "kind", "reference", "outcome", "reason"),
    [
        (notice("payment.approved"), "payment", "pa_1", "approved", None),
        (notice("payment.declined", reason="card_stolen"), "payment", "pa_1", "declined", "card_stolen"),
        (
            notice("payment.declined", reason="processing_error"),
            "payment",
            "pa_1",
            "declined",
            "network_error",
        ),
        (notice("payment.declined", reason="new_words"), "payment", "pa_1", "declined", "other"),
        (notice("payment.declined"), "payment", "pa_1", "declined", "other"),
        (notice("refund.succeeded", refund_reference="re_1"), "refund", "re_1", "approved", None),
        (notice("refund.succeeded"), "ignored", "pa_1", "pending", None),
        (notice("weather.changed"), "ignored", "pa_1", "pending", None),
    ],
)
def test_notice_is_read_by_its_type(
    body: bytes, kind: str, reference: str, outcome: str, reason: str | None
) -> None:
    told = offline().parse_notification(signed(body))
    assert (told.kind, told.reference, told.event_id) == (kind, reference, "evt_1")
    assert (told.answer.outcome, told.answer.reason) == (outcome, reason)
    assert told.authorization_reference == "pa_1"


def test_dispute_notice_names_amount_reason_and_deadline() -> None:
    dispute = {
        "reference": "dp_1",
        "status": "needs_response",
        "reason_code": "10.4",
        "respond_by": 1_800_000_000,
    }
    told = offline().parse_notification(signed(notice("dispute.opened", dispute=dispute)))
    assert (told.kind, told.reference, told.answer.amount_minor) == (NotificationKind.DISPUTE, "pa_1", 5)
    assert (told.dispute_reference, told.dispute_status, told.reason_code) == (
        "dp_1",
        "needs_response",
        "10.4",
    )
    assert told.respond_by == datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        notice("payment.approved", reference=7),
        notice("payment.approved", amount_minor="5"),
        notice("dispute.opened", dispute={"reference": "dp", "status": "lost", "respond_by": 10**30}),
    ],
)
def test_signed_nonsense_is_malformed(body: bytes) -> None:
    with pytest.raises(NotificationMalformed):
        offline().parse_notification(signed(body))


def test_notice_with_another_secret_or_none_is_forged() -> None:
    body = notice("payment.approved")
    for forged in (signed(body, "another"), raw(body)):
        with pytest.raises(NotificationForged):
            offline().parse_notification(forged)
    with pytest.raises(NotificationForged, match="no secret"):
        offline(notice_secret=SecretStr("")).parse_notification(signed(body, ""))
    assert (offline().acknowledge(accepted=True).status, offline().acknowledge(accepted=False).status) == (
        204,
        503,
    )


def test_capabilities_follow_the_settings() -> None:
    bare, full = (
        offline(notice_secret=SecretStr("")).capabilities,
        offline(inquires=True, increments=True, captures_often=True, voids_captured=True).capabilities,
    )
    names = (
        *("inquires_by_our_reference", "refund_inquiry", "increment", "multiple_capture"),
        *("void_after_capture", "notifies"),
    )
    assert {name: getattr(bare, name) for name in names} == dict.fromkeys(names, False)
    assert {name: getattr(full, name) for name in names} == dict.fromkeys(names, True)
    assert {"CNY", "JPY", "KWD"} <= bare.currencies
    assert "XAU" not in bare.currencies


def test_settings_print_no_secret() -> None:
    settings = Iso8583Settings(
        line=LineSettings(host="h", port=1), terminal=TERMINAL, notice_secret=SecretStr("very secret")
    )
    assert "very secret" not in f"{settings} {settings!r}"


async def test_reversal_is_repeated_as_an_advice_and_only_once() -> None:
    said: list[str] = []

    def respond(request: bytes) -> bytes | None:
        mti, fields = dialect.decode(request)
        said.append(mti)
        answer = dialect.encode(dialect.answer_type(mti), {"11": fields["11"], "39": "00"})
        return answer if mti == "0420" else None

    async with serving(read_frame, respond) as (address, server):
        line = LineSettings(host=address.host, port=address.port, timeout_s=0.2, signs_on=False, echo_s=0)
        channel = offline(line=line)
        ended = await channel.void(follow("vo_1", authorize("pa_1"), Answer(outcome=Outcome.APPROVED), 2_500))
        first, second = (dialect.decode(request)[1] for request in server.requests)
        await channel.close()
    assert (ended.outcome, said) == (Outcome.APPROVED, ["0400", "0420"])
    assert first.pop("11") != second.pop("11")
    assert first == second


async def test_call_that_fits_no_message_is_refused_without_its_content() -> None:
    async with serving(read_frame, lambda _: None) as (address, server):
        line = LineSettings(host=address.host, port=address.port, signs_on=False, echo_s=0)
        channel = offline(line=line)
        long = "4" * 24
        refused = await channel.authorize(authorize("pa_1", method=card(long)))
        mandate = authorize("pa_2", initiator=Initiator.MERCHANT, network_reference="茶")
        also = await channel.authorize(mandate)
        await channel.close()
        assert server.requests == []
    for answer in (refused, also):
        assert (answer.outcome, answer.reason) == (Outcome.DECLINED, Reason.REQUEST_INVALID)
        assert long not in repr(answer)


async def test_payout_is_refused_and_vault_is_told_who_asked() -> None:
    cards = Cards()
    line = LineSettings(host="127.0.0.1", port=1, signs_on=False, echo_s=0)
    settings = Iso8583Settings(line=line, terminal=TERMINAL)
    channel = Iso8583Channel("acquirer_off", settings, cards, FrozenClock(NOON))
    payout = Payout(reference="po_1", amount_minor=1, currency="CNY", destination_reference="d")
    assert (await channel.payout(payout)).reason is Reason.REQUEST_INVALID
    call = authorize("pa_1")
    assert (await channel.authorize(call)).outcome is Outcome.NOT_SENT
    await channel.refund(follow("re_1", call, Answer(outcome=Outcome.APPROVED), 100, captured=True))
    assert cards.reveals == [
        (f"tok_{GOOD}", "authorize", "channel:acquirer_off", "pa_1"),
        (f"tok_{GOOD}", "refund", "channel:acquirer_off", "re_1"),
    ]
    assert CVC not in repr(cards.reveals)
    await channel.close()


ASKS, BROKEN, ABSENT = "4000002760003184", "4000000000003097", "378282246310005"
KNOWN = Authentication(
    result=AuthenticationResult.AUTHENTICATED, flow=AuthenticationFlow.CHALLENGE, version="2.2.0", eci="05"
)


async def press(answer: Answer, act: str) -> str:
    """Press a button on the issuer's page; where that leads."""
    assert answer.action is not None
    assert answer.action.url is not None
    async with httpx.AsyncClient() as browser:
        led = await browser.post(answer.action.url, data={"act": act})
        return str(led.headers.get("location", ""))


async def test_issuer_asks_on_its_page_and_the_inquiry_tells_how_it_ended(channel: Iso8583Channel) -> None:
    for act, ended in (("pass", Outcome.APPROVED), ("fail", Outcome.DECLINED)):
        call = new(method=card(ASKS), authenticate=True, return_url="https://shop.test/back")
        asked = await channel.authorize(call)
        assert (asked.outcome, asked.code) == (Outcome.ACTION_REQUIRED, "3D")
        again = await channel.inquire(about(call))
        assert (again.outcome, again.action) == (Outcome.ACTION_REQUIRED, asked.action)
        assert (await channel.authorize(call)).action == asked.action
        assert await press(asked, act) == "https://shop.test/back"
        known = await channel.inquire(about(call))
        assert known.outcome is ended
        assert known.authentication is not None
        if act == "pass":
            assert (known.authentication, known.captured) == (KNOWN, True)
        else:
            assert known.reason is Reason.AUTHENTICATION_FAILED
            assert known.authentication.result is AuthenticationResult.FAILED
            assert not known.authentication.is_good


@pytest.mark.parametrize(
    ("number", "outcome", "result"),
    [
        (GOOD, Outcome.APPROVED, AuthenticationResult.AUTHENTICATED),
        (BROKEN, Outcome.DECLINED, AuthenticationResult.PROCESSING_ERROR),
        (ABSENT, Outcome.APPROVED, AuthenticationResult.NOT_SUPPORTED),
    ],
)
async def test_issuer_that_asks_nobody_says_so_in_its_answer_and_in_the_inquiry(
    channel: Iso8583Channel, number: str, outcome: Outcome, result: AuthenticationResult
) -> None:
    call = new(method=card(number), authenticate=True)
    for answer in (await channel.authorize(call), await channel.inquire(about(call))):
        assert answer.outcome is outcome
        assert answer.authentication is not None
        assert (answer.authentication.result, answer.action) == (result, None)


async def test_nobody_is_authenticated_who_was_not_to_be(channel: Iso8583Channel) -> None:
    call = new()
    assert (await channel.authorize(call)).authentication is None
    refused = await channel.authorize(new(method=card(ASKS)))
    assert refused.reason is Reason.AUTHENTICATION_REQUIRED


async def test_check_that_was_reversed_is_over(channel: Iso8583Channel) -> None:
    call = new(method=card(ASKS), authenticate=True)
    asked = await channel.authorize(call)
    assert (await channel.void(follow("vo_3ds", call, asked, 2_500))).outcome is Outcome.APPROVED
    assert await press(asked, "pass") == ""
    assert (await channel.inquire(about(call))).voided


async def test_end_of_a_check_is_told_by_a_signed_notice(channel: Iso8583Channel, sandbox: Sandbox) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def take(request: bytes) -> bytes:
        arrived.put_nowait(request)
        return http_answer(b"")

    async with serving(read_http, take) as (address, _):
        sandbox.acquirers["east"].notify_url = f"{address.url}/notices/acquirer_east"
        call = new(method=card(ASKS), authenticate=True)
        await press(await channel.authorize(call), "pass")
        async with asyncio.timeout(30):
            head, _, body = (await arrived.get()).partition(b"\r\n\r\n")
        sandbox.acquirers["east"].notify_url = None
        await asyncio.sleep(0.05)
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    told = channel.parse_notification(raw(body, **{name.lower(): value for name, _, value in lines}))
    assert (told.reference, told.answer.outcome, told.answer.authentication) == (
        call.reference,
        Outcome.APPROVED,
        KNOWN,
    )


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "acs.test"])
def test_page_that_cannot_be_opened_leaves_the_payment_open(url: str) -> None:
    sent = {"37": "R", "3": dialect.PURCHASE, "46": dialect.AUTHENTICATE}
    answer = transform.read_answer(dialect.SALE, sent, {"39": "3D", "47": url})
    assert (answer.outcome, answer.action) == (Outcome.UNRESOLVED, None)


def test_acquirer_declares_whether_it_authenticates() -> None:
    assert offline(authenticates=True).capabilities.authenticates
    assert not offline().capabilities.authenticates
