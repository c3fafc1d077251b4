"""What every channel must do against its real peer, and against peers that misbehave."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.channels.cards import CVC, follow, serving
from tests.contracts.cases import CASES, KEY, Case
from tests.peers.programs import Address, free_address

from tongbao.channels.errors import NotificationForged
from tongbao.channels.ports import Channel
from tongbao.channels.schema import (
    Answer,
    Authorize,
    Card,
    Operation,
    Outcome,
    RawNotification,
    Reason,
    WechatPay,
)
from tongbao.core import currencies

AddressOf = Callable[[Case], Awaitable[Address]]
PATIENCE_S = 5.0
IMPATIENCE_S = 0.4
_numbers = itertools.count(int(time.time() * 1_000))


def reference(prefix: str = "pa") -> str:
    """A reference that no earlier test of any run used."""
    return f"{prefix}_{next(_numbers)}"


@pytest.fixture(scope="module")
async def peers() -> AsyncIterator[AddressOf]:
    """Each case's peer, started when first asked for."""
    running: dict[str, Address] = {}
    async with AsyncExitStack() as stack:

        async def address_of(case: Case) -> Address:
            if case.name not in running:
                running[case.name] = await stack.enter_async_context(case.peer())
            return running[case.name]

        yield address_of


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """Each case in turn."""
    found: Case = request.param
    return found


@pytest.fixture
async def channel(case: Case, peers: AddressOf) -> AsyncIterator[Channel]:
    """The case's channel, connected to its peer."""
    async with case.open(await peers(case), PATIENCE_S) as opened:
        yield opened


async def authorized(channel: Channel, case: Case) -> tuple[Authorize, Answer]:
    """An approved authorization of 25.00, not captured where the channel can wait."""
    call = case.call(reference(), capture=not channel.capabilities.manual_capture)
    answer = await channel.authorize(call)
    assert answer.outcome is Outcome.APPROVED
    return call, answer


async def test_sale_is_approved_and_captured(channel: Channel, case: Case) -> None:
    answer = await channel.authorize(case.call(reference()))
    assert (answer.outcome, answer.captured, answer.reason) == (Outcome.APPROVED, True, None)
    assert (answer.amount_minor, answer.currency) == (2_500, case.currency)
    assert answer.channel_reference


async def test_capture_of_authorization_claims_it(channel: Channel, case: Case) -> None:
    call, answer = await authorized(channel, case)
    if not channel.capabilities.manual_capture:
        pytest.skip("captures at once")
    assert not answer.captured
    assert (answer.amount_minor, answer.currency) == (2_500, case.currency)
    captured = await channel.capture(follow(reference("ca"), call, answer, 2_500))
    assert (captured.outcome, captured.captured) == (Outcome.APPROVED, True)


async def test_capture_of_a_part_claims_that_part(channel: Channel, case: Case) -> None:
    if not channel.capabilities.partial_capture:
        pytest.skip("captures whole authorizations only")
    call, answer = await authorized(channel, case)
    captured = await channel.capture(follow(reference("ca"), call, answer, 1_500))
    assert (captured.outcome, captured.captured) == (Outcome.APPROVED, True)
    assert captured.amount_minor == (1_500 if case.says_amount_captured else None)


async def test_decline_maps_to_its_reason_and_keeps_the_code(channel: Channel, case: Case) -> None:
    answer = await channel.authorize(case.call(reference(), **case.bad))
    assert (answer.outcome, answer.reason) == (Outcome.DECLINED, case.bad_reason)
    assert answer.code
    assert not answer.captured


async def test_void_gives_the_authorization_back(channel: Channel, case: Case) -> None:
    if not channel.capabilities.void:
        pytest.skip("cannot void")
    can = channel.capabilities
    if not (can.manual_capture or can.void_after_capture):
        pytest.skip("voids only what the payer has not paid yet")
    call, answer = await authorized(channel, case)
    voided = await channel.void(follow(reference("vo"), call, answer, 2_500, captured=answer.captured))
    assert voided.outcome is Outcome.APPROVED
    assert not voided.captured


async def test_refund_of_a_part_and_of_the_rest(channel: Channel, case: Case) -> None:
    call = case.call(reference())
    answer = await channel.authorize(call)
    for amount_minor in (1_000, 1_500):
        refunded = await channel.refund(follow(reference("re"), call, answer, amount_minor, captured=True))
        assert refunded.outcome in (Outcome.APPROVED, Outcome.PENDING)
        assert refunded.amount_minor in (amount_minor, None)


async def test_refund_above_what_was_captured_is_refused(channel: Channel, case: Case) -> None:
    if case.large_refund_reason is None:
        pytest.skip("this peer pays back whatever it is asked")
    call = case.call(reference())
    answer = await channel.authorize(call)
    refused = await channel.refund(follow(reference("re"), call, answer, 2_600, captured=True))
    assert (refused.outcome, refused.reason) == (Outcome.DECLINED, case.large_refund_reason)


async def test_repeat_with_the_same_reference_is_the_same_payment(channel: Channel, case: Case) -> None:
    if not case.repeats_safely:
        pytest.skip("this peer takes repeats for new payments")
    call = case.call(reference())
    first, second = await channel.authorize(call), await channel.authorize(call)
    assert first == second
    other = await channel.authorize(case.call(call.reference, 2_600))
    assert other.outcome is Outcome.DECLINED
    assert other.reason in (Reason.REFERENCE_CONFLICT, Reason.DUPLICATE)


async def test_inquiry_by_our_reference_finds_the_payment_and_its_end(channel: Channel, case: Case) -> None:
    if not channel.capabilities.inquires_by_our_reference:
        unanswered = await channel.inquire(case.ask(Operation.AUTHORIZE, "pa_1", "pa_1"))
        assert unanswered.outcome is Outcome.UNRESOLVED
        return
    call, answer = await authorized(channel, case)
    question = case.ask(Operation.AUTHORIZE, call.reference, call.reference)
    found = await channel.inquire(question)
    assert (found.outcome, found.captured) == (Outcome.APPROVED, answer.captured)
    assert (found.amount_minor, found.channel_reference) == (2_500, answer.channel_reference)
    if channel.capabilities.manual_capture:
        await channel.capture(follow(reference("ca"), call, answer, 2_500))
        assert (await channel.inquire(question)).captured
    unknown = reference()
    missing = await channel.inquire(case.ask(Operation.AUTHORIZE, unknown, unknown))
    assert missing.outcome is Outcome.NOT_FOUND


async def test_inquiry_of_a_refund_finds_it_or_says_so(channel: Channel, case: Case) -> None:
    if not channel.capabilities.refund_inquiry:
        pytest.skip("cannot inquire refunds")
    call = case.call(reference())
    answer = await channel.authorize(call)
    refund = follow(reference("re"), call, answer, 700, captured=True)
    known = {"channel_reference": answer.channel_reference}
    question = case.ask(Operation.REFUND, refund.reference, call.reference, **known)
    found = await channel.refund(refund)
    # Some finish a refund later, and say so; inquiring them is how one learns of the end.
    for _ in range(100):
        found = await channel.inquire(question)
        if found.outcome is not Outcome.PENDING:
            break
        await asyncio.sleep(0.05)
    assert (found.outcome, found.amount_minor) == (Outcome.APPROVED, 700)
    missing = await channel.inquire(case.ask(Operation.REFUND, reference("re"), call.reference, **known))
    assert missing.outcome is Outcome.NOT_FOUND


async def test_slow_answer_within_the_time_is_an_answer(channel: Channel, case: Case) -> None:
    if case.slow is None:
        pytest.skip("this peer cannot be slowed down")
    answer = await channel.authorize(case.call(reference(), method=case.slow))
    assert answer.outcome is Outcome.APPROVED


async def test_many_payments_at_once_get_their_own_answers(channel: Channel, case: Case) -> None:
    calls = [case.call(reference(), 1_000 + 100 * index) for index in range(20)]
    answers = await asyncio.gather(*(channel.authorize(call) for call in calls))
    assert [answer.amount_minor for answer in answers] == [call.amount_minor for call in calls]
    assert len({answer.channel_reference for answer in answers}) == len(calls)


BAD_SERVERS = ["silence", "garbage", "cut"]


@pytest.mark.parametrize("how", BAD_SERVERS)
async def test_bad_peer_leaves_the_payment_unresolved(case: Case, how: str) -> None:
    wrong = {"silence": None, "garbage": case.garbage, "cut": b""}[how]

    def respond(request: bytes) -> bytes | None:
        honest = case.prelude(request)
        return wrong if honest is None else honest

    async with (
        serving(case.read_request, respond) as (address, server),
        case.open(address, IMPATIENCE_S) as channel,
    ):
        call = case.call(reference())
        answer = await channel.authorize(call)
        assert (answer.outcome, answer.reason) == (Outcome.UNRESOLVED, None)
        assert server.requests
        known = Answer(outcome=Outcome.APPROVED, channel_reference="pi_1")
        for act in (channel.refund, channel.capture, channel.void):
            ended = await act(follow(reference("ac"), call, known, 2_500))
            excluded = ended.reason is Reason.REQUEST_INVALID and ended.code == "excluded"
            assert ended.outcome is Outcome.UNRESOLVED or excluded
        asked = case.ask(Operation.AUTHORIZE, call.reference, call.reference)
        assert (await channel.inquire(asked)).outcome is Outcome.UNRESOLVED


async def test_peer_that_is_down_means_nothing_was_sent(case: Case) -> None:
    async with case.open(free_address(), PATIENCE_S) as channel:
        call = case.call(reference())
        assert (await channel.authorize(call)).outcome is Outcome.NOT_SENT
        known = Answer(outcome=Outcome.APPROVED, channel_reference="pi_1")
        refund = follow(reference("re"), call, known, 2_500, captured=True)
        assert (await channel.refund(refund)).outcome is Outcome.NOT_SENT


async def test_excluded_calls_are_refused_and_never_sent(case: Case) -> None:
    async with (
        serving(case.read_request, lambda _request: b"") as (address, server),
        case.open(address, PATIENCE_S) as channel,
    ):
        can = channel.capabilities
        call = case.call(reference())
        calls = [
            case.call(reference(), currency="XAU"),
            case.call(reference(), can.amount_minor_min - 1),
            case.call("a reference with spaces"),
            case.call("x" * 33),
        ]
        if can.amount_minor_max is not None:
            calls.append(case.call(reference(), can.amount_minor_max + 1))
        if "wechat_pay" not in can.methods:
            calls.append(case.call(reference(), method=WechatPay()))
        if not can.manual_capture:
            calls.append(case.call(reference(), capture=False))
        answers = [await channel.authorize(excluded) for excluded in calls]
        known = Answer(outcome=Outcome.APPROVED, channel_reference="pi_1")
        if not can.increment:
            answers.append(await channel.increment(follow(reference("in"), call, known, 100)))
        if not can.void_after_capture:
            answers.append(await channel.void(follow(reference("vo"), call, known, 2_500, captured=True)))
        assert {(answer.outcome, answer.reason) for answer in answers} == {
            (Outcome.DECLINED, Reason.REQUEST_INVALID)
        }
        assert server.requests == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": "evt_1"}', b"\xff\xfe", b"a=1&sign=x"])
async def test_forged_notification_is_refused(case: Case, body: bytes) -> None:
    async with case.open(free_address(), PATIENCE_S) as channel:
        for headers in ({}, {"stripe-signature": "t=1,v1=00"}, {"wechatpay-signature": "AAAA"}):
            raw = RawNotification(
                method="POST",
                path="/notify",
                headers=headers,
                query="",
                body=body,
                received_at=datetime.now(UTC),
            )
            with pytest.raises(NotificationForged):
                channel.parse_notification(raw)


async def test_no_card_number_is_logged_or_printed(
    channel: Channel, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [repr(channel), repr(vars(channel))]
    for fields in ({}, case.bad):
        call = case.call(reference(), **fields)
        answer = await channel.authorize(call)
        said += [repr(answer), repr(await channel.refund(follow(reference("re"), call, answer, 100)))]
    async with (
        serving(case.read_request, lambda _request: case.garbage) as (address, _),
        case.open(address, IMPATIENCE_S) as bad,
    ):
        said.append(repr(await bad.authorize(case.call(reference()))))
    text = "\n".join([caplog.text, *said])
    for method in (case.good, case.bad.get("method")):
        if isinstance(method, Card):
            assert method.token.removeprefix("tok_") not in text
    assert f"={CVC}" not in caplog.text
    assert KEY not in text


MONEY = [row for row in currencies.CURRENCIES if row.kind is currencies.Kind.MONEY]


@given(amount_minor=st.integers(0, 99_999_999), row=st.sampled_from(MONEY))
@pytest.mark.parametrize("checked", CASES, ids=lambda case: case.name)
def test_amount_goes_round_over_the_wire_unit(
    checked: Case, amount_minor: int, row: currencies.Currency
) -> None:
    wire = checked.to_wire(amount_minor, row.code)
    if wire is not None:
        assert checked.from_wire(wire, row.code) == amount_minor
    if row.code == checked.currency or not checked.only_this_currency:
        major = 100 * 10**row.exponent
        assert checked.to_wire(major, row.code) is not None, "whole amounts can always be written"
