"""The Stripe channels in what the conformance checks do not ask: forms, searches, steps of the payer, webhooks."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr
from tests.channels.cards import (
    CVC,
    GOOD,
    NOON,
    Cards,
    Server,
    authorize,
    card,
    follow,
    http_answer,
    inquire,
    read_http,
    serving,
)
from tests.peers import programs

from tongbao.channels.adapters.stripe.channel import StripeChannel, StripeChargesChannel
from tongbao.channels.adapters.stripe.requests import PAGE_SIZE, PAGES_MAX, StripeSettings
from tongbao.channels.schema import (
    ActionKind,
    Answer,
    Initiator,
    Merchant,
    NotificationKind,
    Operation,
    Outcome,
    RawNotification,
    Reason,
)
from tongbao.core.http import HttpClient

SUCCEEDED = {
    "id": "pi_1",
    "status": "succeeded",
    "amount": 2_500,
    "amount_received": 2_500,
    "currency": "usd",
}
Handler = Callable[[str, str, dict[str, str]], Any]


def parsed(request: bytes) -> tuple[str, str, dict[str, str], dict[str, str]]:
    """Method, target, headers (lower case) and form of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return method, target, headers, {name: values[0] for name, values in parse_qs(body.decode()).items()}


@asynccontextmanager
async def scripted(
    handle: Handler, kind: type[StripeChannel] = StripeChannel, **settings: Any
) -> AsyncIterator[tuple[StripeChannel, Server, Cards]]:
    """A channel whose other side answers objects as ``handle(method, target, form)`` says; (status, object) too."""

    def respond(request: bytes) -> bytes:
        method, target, _, form = parsed(request)
        found = handle(method, target, form)
        status, body = found if isinstance(found, tuple) else (200, found)
        return http_answer(json.dumps(body).encode(), status)

    cards, http = Cards(), HttpClient()
    async with serving(read_http, respond) as (address, server):
        values = {
            "base_url": address.url + "/",
            "secret_key": SecretStr("sk_test_1234"),
            "timeout_s": 2.0,
            **settings,
        }
        yield kind("stripe_a", StripeSettings(**values), http, cards), server, cards
        await http.close()


def succeed(_method: str, target: str, _form: dict[str, str]) -> Any:
    return {"id": "pm_1"} if target == "/v1/payment_methods" else SUCCEEDED


async def test_sale_sends_a_card_then_an_intent_under_our_reference() -> None:
    async with scripted(succeed) as (channel, server, cards):
        call = authorize(
            "pa_1",
            description="Tea",
            return_url="https://shop.test/back",
            merchant=Merchant(name="茶", descriptor="TEA 茶 HOUSE"),
        )
        await channel.authorize(call)
        (_, first, first_headers, pm), (_, second, headers, form) = map(parsed, server.requests)
    assert (first, second) == ("/v1/payment_methods", "/v1/payment_intents")
    assert (pm["card[number]"], pm["card[cvc]"]) == (GOOD, CVC)
    assert form == {
        "amount": "2500",
        "currency": "usd",
        "confirm": "true",
        "capture_method": "automatic",
        "payment_method": "pm_1",
        "payment_method_types[0]": "card",
        "metadata[reference]": "pa_1",
        "description": "Tea",
        "return_url": "https://shop.test/back",
        "statement_descriptor_suffix": "TEA  HOUSE",
    }
    assert (first_headers["idempotency-key"], headers["idempotency-key"]) == ("pa_1_pm", "pa_1")
    assert headers["authorization"] == "Bearer sk_test_1234"
    assert cards.reveals == [(f"tok_{GOOD}", "authorize", "channel:stripe_a", "pa_1")]


async def test_plain_replica_gets_no_extras_and_merchants_payment_is_off_session() -> None:
    async with scripted(succeed, plain=True) as (channel, server, _):
        await channel.authorize(
            authorize("pa_1", capture=False, description="Tea", initiator=Initiator.MERCHANT)
        )
        form = parsed(server.requests[1])[3]
    assert (form["capture_method"], form["off_session"]) == ("manual", "true")
    assert "description" not in form


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        ((500, {}), Outcome.NOT_SENT, None),
        ((409, {"error": {"code": "lock_timeout"}}), Outcome.NOT_SENT, None),
        ({"object": "payment_method"}, Outcome.NOT_SENT, None),
        ((402, {"error": {"code": "incorrect_number"}}), Outcome.DECLINED, Reason.CARD_NUMBER_INVALID),
    ],
)
async def test_card_that_stripe_did_not_take_means_no_payment_was_sent(
    answer: Any, outcome: Outcome, reason: Reason | None
) -> None:
    async with scripted(lambda *_: answer) as (channel, server, _):
        ended = await channel.authorize(authorize("pa_1"))
        assert (ended.outcome, ended.reason) == (outcome, reason)
        assert len(server.requests) == 1


async def test_unknown_token_is_declined_and_nothing_is_sent() -> None:
    async with scripted(succeed) as (channel, server, _):
        stranger = card()
        call = authorize("pa_1", method=type(stranger)("lost", 1, 2030, "visa", "424242", "4242"))
        ended = await channel.authorize(call)
        assert (ended.outcome, ended.reason) == (Outcome.DECLINED, Reason.ACCOUNT_UNKNOWN)
        assert server.requests == []


async def test_amount_that_stripe_cannot_write_is_refused_and_not_sent() -> None:
    async with scripted(succeed) as (channel, server, _):
        ended = await channel.authorize(authorize("pa_1", 1_235, currency="KWD"))
        assert (ended.outcome, ended.reason) == (Outcome.DECLINED, Reason.REQUEST_INVALID)
        assert server.requests == []


async def test_follow_ups_go_to_the_intent_with_their_own_keys() -> None:
    async with scripted(succeed, increments=True) as (channel, server, _):
        call, known = authorize("pa_1"), Answer(outcome=Outcome.APPROVED, channel_reference="pi_1")
        await channel.increment(follow("in_1", call, known, 500))
        await channel.capture(follow("ca_1", call, known, 700))
        await channel.void(follow("vo_1", call, known, 2_500))
        await channel.refund(follow("re_1", call, known, 900, captured=True))
        sent = [parsed(request) for request in server.requests]
    assert [(target, headers["idempotency-key"], form) for _, target, headers, form in sent] == [
        ("/v1/payment_intents/pi_1/increment_authorization", "in_1", {"amount": "3000"}),
        ("/v1/payment_intents/pi_1/capture", "ca_1", {"amount_to_capture": "700"}),
        ("/v1/payment_intents/pi_1/cancel", "vo_1", {}),
        (
            "/v1/refunds",
            "re_1",
            {
                "amount": "900",
                "payment_intent": "pi_1",
                "metadata[reference]": "re_1",
                "metadata[authorization_reference]": "pa_1",
            },
        ),
    ]


@pytest.mark.parametrize("kind", [StripeChannel, StripeChargesChannel])
async def test_follow_up_without_stripes_own_id_is_refused(kind: type[StripeChannel]) -> None:
    async with scripted(succeed, kind) as (channel, server, _):
        unknown = Answer(outcome=Outcome.UNRESOLVED)
        for act in (channel.capture, channel.void, channel.refund):
            ended = await act(follow("ac_1", authorize("pa_1"), unknown, 2_500))
            assert ended.reason is Reason.REQUEST_INVALID
        assert server.requests == []


async def test_void_that_did_not_cancel_is_not_believed() -> None:
    async with scripted(succeed) as (channel, _, __):
        known = Answer(outcome=Outcome.APPROVED, channel_reference="pi_1")
        ended = await channel.void(follow("vo_1", authorize("pa_1"), known, 2_500))
        assert ended.outcome is Outcome.UNRESOLVED


def pages_of(count: int) -> Handler:
    """A list of ``count`` intents, ``pa_0`` first, in pages."""
    rows = [{**SUCCEEDED, "id": f"pi_{n}", "metadata": {"reference": f"pa_{n}"}} for n in range(count)]

    def handle(_method: str, target: str, _form: dict[str, str]) -> Any:
        query = parse_qs(urlsplit(target).query)
        after = query.get("starting_after", [""])[0]
        start = int(after.removeprefix("pi_")) + 1 if after else 0
        page = rows[start : start + PAGE_SIZE]
        return {"object": "list", "data": page, "has_more": start + PAGE_SIZE < len(rows)}

    return handle


@pytest.mark.parametrize(
    ("count", "wanted", "outcome", "pages"),
    [
        (0, 0, Outcome.NOT_FOUND, 1),
        (5, 4, Outcome.APPROVED, 1),
        (250, 249, Outcome.APPROVED, 3),
        (250, 250, Outcome.NOT_FOUND, 3),
        (PAGE_SIZE * PAGES_MAX, PAGE_SIZE * PAGES_MAX, Outcome.NOT_FOUND, PAGES_MAX),
        (PAGE_SIZE * PAGES_MAX + 1, PAGE_SIZE * PAGES_MAX, Outcome.UNRESOLVED, PAGES_MAX),
    ],
)
async def test_search_reads_pages_and_never_calls_absent_what_it_did_not_reach(
    count: int, wanted: int, outcome: Outcome, pages: int
) -> None:
    async with scripted(pages_of(count)) as (channel, server, _):
        found = await channel.inquire(
            inquire(Operation.AUTHORIZE, f"pa_{wanted}", f"pa_{wanted}", sent_at=NOON)
        )
        assert found.outcome is outcome
        assert len(server.requests) == pages
        query = parse_qs(urlsplit(parsed(server.requests[0])[1]).query)
    at = int(NOON.timestamp())
    assert (query["created[gte]"], query["created[lte]"]) == ([str(at - 300)], [str(at + 300)])


@pytest.mark.parametrize(
    "answer", [(500, {}), (401, {}), {"data": "x", "has_more": True}, {"data": [1, None]}]
)
async def test_list_that_makes_no_sense_is_not_read_as_absence_of_errors(answer: Any) -> None:
    async with scripted(lambda *_: answer) as (channel, _, __):
        found = await channel.inquire(inquire(Operation.AUTHORIZE, "pa_1", "pa_1"))
        assert found.outcome in (Outcome.UNRESOLVED, Outcome.NOT_FOUND)
        assert (found.outcome is Outcome.UNRESOLVED) == isinstance(answer, tuple)


@pytest.mark.parametrize(
    ("operation", "status", "outcome"),
    [
        ("authorize", "succeeded", Outcome.APPROVED),
        ("capture", "succeeded", Outcome.APPROVED),
        ("capture", "requires_capture", Outcome.NOT_FOUND),
        ("capture", "canceled", Outcome.DECLINED),
        ("void", "canceled", Outcome.APPROVED),
        ("void", "requires_capture", Outcome.NOT_FOUND),
        ("void", "succeeded", Outcome.DECLINED),
        ("increment", "requires_capture", Outcome.UNRESOLVED),
    ],
)
async def test_state_of_the_intent_tells_what_became_of_an_act(
    operation: str, status: str, outcome: Outcome
) -> None:
    thing = {**SUCCEEDED, "status": status, "latest_charge": "ch_1"}
    async with scripted(lambda *_: thing, increments=True) as (channel, _, __):
        asked = inquire(Operation(operation), "ac_1", "pa_1", channel_reference="pi_1")
        assert (await channel.inquire(asked)).outcome is outcome


async def test_missing_intent_is_not_found_and_refund_needs_its_payment() -> None:
    async with scripted(lambda *_: (404, {"error": {}})) as (channel, server, _):
        asked = inquire(Operation.AUTHORIZE, "pa_1", "pa_1", channel_reference="pi_1")
        assert (await channel.inquire(asked)).outcome is Outcome.NOT_FOUND
        blind = inquire(Operation.REFUND, "re_1", "pa_1")
        assert (await channel.inquire(blind)).outcome is Outcome.UNRESOLVED
        assert len(server.requests) == 1


async def test_charge_is_made_from_the_card_itself_where_no_source_is_given() -> None:
    charge = {"id": "ch_1", "status": "succeeded", "captured": True, "amount": 2_500, "currency": "usd"}
    async with scripted(lambda *_: charge, StripeChargesChannel) as (channel, server, _):
        await channel.authorize(authorize("pa_1"))
        form = parsed(server.requests[0])[3]
    assert (form["source[object]"], form["source[number]"]) == ("card", GOOD)
    assert not [name for name in form if name.startswith("card") or name == "type"]


def test_settings_never_print_their_secrets() -> None:
    settings = StripeSettings(
        base_url="https://x", secret_key=SecretStr("sk_live_1"), webhook_secret=SecretStr("whsec_1")
    )
    assert "sk_live_1" not in f"{settings} {settings!r}"
    assert "whsec_1" not in f"{settings} {settings!r}"


@pytest.fixture(scope="module")
async def replica() -> AsyncIterator[tuple[StripeChannel, HttpClient, str]]:
    """A channel to localstripe that believes its webhooks, with the client and the address."""
    with programs.localstripe() as address:
        http = HttpClient()
        settings = StripeSettings(
            base_url=address.url,
            secret_key=SecretStr("sk_test_1234"),
            webhook_secret=SecretStr("whsec_real"),
            plain=True,
        )
        yield StripeChannel("stripe_a", settings, http, Cards()), http, address.url
        await http.close()


_numbers = itertools.count(1)


async def test_card_that_wants_authentication_asks_the_payer(
    replica: tuple[StripeChannel, HttpClient, str],
) -> None:
    channel, http, url = replica
    call = authorize(f"pa_sca_{next(_numbers)}", method=card("4000002500003155"))
    answer = await channel.authorize(call)
    assert (answer.outcome, answer.captured) == (Outcome.ACTION_REQUIRED, False)
    assert answer.action is not None
    assert answer.action.kind is ActionKind.INVOKE_APP
    secret = answer.action.data["client_secret"]
    done = await http.request(
        "POST",
        f"{url}/v1/payment_intents/{answer.channel_reference}/_authenticate",
        headers={"authorization": "Bearer sk_test_1234", "content-type": "application/json"},
        body=json.dumps({"client_secret": secret, "success": True}).encode(),
    )
    assert done.status == 200
    asked = inquire(
        Operation.AUTHORIZE, call.reference, call.reference, channel_reference=answer.channel_reference
    )
    found = await channel.inquire(asked)
    assert (found.outcome, found.captured, found.amount_minor) == (Outcome.APPROVED, True, 2_500)


async def test_webhook_that_the_replica_signed_is_believed(
    replica: tuple[StripeChannel, HttpClient, str],
) -> None:
    channel, http, url = replica
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def take(request: bytes) -> bytes:
        arrived.put_nowait(request)
        return http_answer(b"{}")

    async with serving(read_http, take) as (address, _):
        hook = {"url": address.url + "/hook", "secret": "whsec_real"}
        await http.request(
            "POST",
            f"{url}/_config/webhooks/ours",
            headers={"content-type": "application/json"},
            body=json.dumps(hook).encode(),
        )
        call = authorize(f"pa_hook_{next(_numbers)}")
        answer = await channel.authorize(call)
        async with asyncio.timeout(30):
            while True:
                request = await arrived.get()
                raw = RawNotification(
                    method="POST",
                    path="/hook",
                    headers=parsed(request)[2],
                    query="",
                    body=request.partition(b"\r\n\r\n")[2],
                    received_at=datetime.now(UTC),
                )
                told = channel.parse_notification(raw)
                if told.reference == call.reference:
                    break
        await asyncio.sleep(0.05)
    assert told.kind is NotificationKind.PAYMENT
    assert (told.answer.outcome, told.answer.captured, told.answer.amount_minor) == (
        Outcome.APPROVED,
        True,
        2_500,
    )
    assert told.answer.channel_reference == answer.channel_reference
    assert channel.acknowledge(accepted=True).status == 200


async def test_payer_is_authenticated_where_that_was_asked_and_what_came_of_it_is_read() -> None:
    charge = {"payment_method_details": {"card": {"three_d_secure": {"result": "authenticated"}}}}

    def handle(method: str, target: str, _form: dict[str, str]) -> Any:
        if target == "/v1/payment_methods":
            return {"id": "pm_1"}
        if method == "GET":
            return {**SUCCEEDED, "latest_charge": charge}
        page = {"redirect_to_url": {"url": "https://hooks.stripe.test/3ds"}}
        return {**SUCCEEDED, "status": "requires_action", "next_action": page}

    async with scripted(handle) as (channel, server, _):
        call = authorize("pa_1", authenticate=True, return_url="https://shop.test/back")
        asked = await channel.authorize(call)
        form = parsed(server.requests[1])[3]
        known = await channel.inquire(
            inquire(Operation.AUTHORIZE, "pa_1", "pa_1", channel_reference=asked.channel_reference)
        )
        target = parsed(server.requests[2])[1]
        assert channel.capabilities.authenticates
    assert form["payment_method_options[card][request_three_d_secure]"] == "any"
    assert form["expand[0]"] == "latest_charge"
    assert asked.outcome is Outcome.ACTION_REQUIRED
    assert asked.action is not None
    assert asked.action.url == "https://hooks.stripe.test/3ds"
    assert target.endswith("?expand%5B0%5D=latest_charge")
    assert known.authentication is not None
    assert known.authentication.is_good


async def test_replica_that_authenticates_nobody_does_not_say_that_it_does() -> None:
    async with scripted(succeed, plain=True) as (channel, server, _):
        assert not channel.capabilities.authenticates
        await channel.inquire(inquire(Operation.AUTHORIZE, "pa_1", "pa_1", channel_reference="pi_1"))
        assert "expand" not in parsed(server.requests[0])[1]
    async with scripted(succeed, StripeChargesChannel) as (channel, _, _):
        assert not channel.capabilities.authenticates
