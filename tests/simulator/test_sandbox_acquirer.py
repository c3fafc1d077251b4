"""Card acquirers over TCP: the dialect, the book behind it, and every way in which they can misbehave."""

import asyncio
import hashlib
import hmac
from pathlib import Path

import pytest
from tests.simulator.conftest import Merchant, OpenWorld, World, eventually

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.simulator.sandbox.iso8583_wire import Unreadable, decode, encode
from tongbao.simulator.sandbox.schema import State
from tongbao.simulator.sandbox.wire import span


def taken(world: World, reference: str) -> int:
    return world.sandbox.world.taken_minor([reference])["USD"]


async def test_sign_on_and_echo_are_answered(world: World) -> None:
    async with world.card() as card:
        for code in ("001", "301", "002"):
            answer = await card.send("0800", {"70": code})
            assert (answer["t"], answer["39"], answer["70"]) == ("0810", "00", code)


async def test_authorization_capture_and_refund(world: World) -> None:
    async with world.card() as card:
        reserved = await card.authorize("pa_1", 5000, f61="123", f37="RETRIEVAL001")
        assert (reserved["t"], reserved["39"], reserved["4"]) == ("0110", "00", "000000005000")
        assert (reserved["44"], reserved["37"], len(reserved["38"])) == ("M", "RETRIEVAL001", 6)
        assert len(reserved["62"]) == 15
        first = await card.follow("0220", "ca_1", "pa_1", 2000, f25="59")
        last = await card.follow("0220", "ca_2", "pa_1", 1000, f25="06")
        assert (first["t"], first["39"], last["39"]) == ("0230", "00", "00")
        assert (await card.follow("0220", "ca_3", "pa_1", 1))["39"] == "12"
        assert (await card.refund("re_1", "pa_1", 500))["39"] == "00"
        asked = await card.inquire("pa_1")
        assert (asked["39"], asked["63"], asked["4"]) == ("00", "captured", "000000003000")
        assert (asked["60"], asked["49"], asked["38"]) == ("000000000500", "840", reserved["38"])
        assert [(await card.inquire(reference))["63"] for reference in ("ca_1", "re_1")] == [
            "captured",
            "refunded",
        ]
        assert (await card.refund("re_2", "pa_1", 2501))["39"] == "13"
        assert (await card.refund("re_3", "pa_1", 2500))["39"] == "00"
        assert (await card.inquire("pa_1"))["63"] == "refunded"
    assert taken(world, "pa_1") == 0


async def test_every_message_repeated_is_one_act_with_the_same_answer(world: World) -> None:
    async with world.card() as card:

        async def twice(first: dict[str, str], second: dict[str, str]) -> None:
            assert first | {"11": ""} == second | {"11": ""}

        await twice(await card.authorize("pa_1", 5000), await card.authorize("pa_1", 5000))
        await twice(
            await card.follow("0100", "in_1", "pa_1", 500), await card.follow("0100", "in_1", "pa_1", 500)
        )
        capture = ("0220", "ca_1", "pa_1", 5500)
        await twice(await card.follow(*capture), await card.follow(*capture))
        await twice(await card.refund("re_1", "pa_1", 700), await card.refund("re_1", "pa_1", 700))
        assert (await card.authorize("pa_1", 5001))["39"] == "94"
        assert (await card.refund("re_1", "pa_1", 701))["39"] == "94"
    payment = world.sandbox.world.payment("card_a", "pa_1")
    assert payment is not None
    assert (payment.asked, payment.acts["ca_1"].asked, payment.taken_minor) == (2, 2, 4800)


async def test_sale_is_claimed_at_once_and_reversed_once(world: World) -> None:
    async with world.card() as card:
        assert (await card.authorize("pa_1", 900, sale=True))["t"] == "0210"
        assert taken(world, "pa_1") == 900
        assert (await card.follow("0400", "vo_1", "pa_1", 900))["39"] == "00"
        assert (await card.follow("0420", "vo_1", "pa_1", 900))["t"] == "0430"
        assert (await card.follow("0420", "vo_2", "pa_1", 900))["39"] == "00"
        assert (await card.inquire("pa_1"))["63"] == "voided"
        assert (await card.inquire("vo_1"))["63"] == "voided"
        await card.authorize("pa_2", 900, sale=True)
        await card.refund("re_1", "pa_2", 1)
        assert (await card.follow("0400", "vo_3", "pa_2", 900))["39"] == "21"
    assert (taken(world, "pa_1"), taken(world, "pa_2")) == (0, 899)


async def test_reversal_that_overtakes_its_payment_kills_it(world: World) -> None:
    async with world.card() as card:
        assert (await card.follow("0400", "vo_1", "pa_1", 900))["39"] == "25"
        assert (await card.inquire("pa_1"))["39"] == "25"
        assert (await card.authorize("pa_1", 900, sale=True))["39"] == "12"
        assert (await card.follow("0220", "ca_1", "pa_1", 900))["39"] == "25"
    assert taken(world, "pa_1") == 0


@pytest.mark.parametrize(
    ("card_number", "code"),
    [
        ("4242424242424242", "00"),
        ("4000000000000002", "05"),
        ("4000000000009995", "51"),
        ("4000000000000069", "54"),
        ("4000000000000127", "N7"),
        ("4000000000000119", "96"),
        ("4000002500003155", "1A"),
        ("4242424242424241", "14"),
    ],
)
async def test_test_cards_are_answered_and_stay_so(world: World, card_number: str, code: str) -> None:
    async with world.card() as card:
        answers = [await card.authorize("pa_1", 1000, card=card_number, f61="123") for _ in range(2)]
        assert [answer["39"] for answer in answers] == [code, code]
        assert answers[0]["44"] == ("N" if code == "N7" else "M")
        asked = await card.inquire("pa_1")
        assert (asked["39"], asked["63"]) == (code, "authorized" if code == "00" else "declined")


async def test_card_past_its_expiry_is_declined(open_world: OpenWorld) -> None:
    clock = FrozenClock(RealClock().now())
    world = await open_world(clock)
    async with world.card() as card:
        assert (await card.authorize("pa_1", 1000, f14=clock.now().strftime("%y%m")))["39"] == "00"
        month = span("31d")
        assert month is not None
        clock.advance(month)
        last_month = (clock.now() - month).strftime("%y%m")
        assert (await card.authorize("pa_2", 1000, f14=last_month))["39"] == "54"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"48": ""}, "30"),
        ({"4": ""}, "30"),
        ({"49": "000"}, "30"),
        ({"41": "00000000"}, "03"),
        ({"42": "000000000000000"}, "03"),
        ({"3": "200000", "62": ""}, "30"),
        ({"3": "200000", "62": "nowhere"}, "25"),
    ],
)
async def test_sale_with_a_bad_field_is_refused(world: World, fields: dict[str, str], code: str) -> None:
    async with world.card() as card:
        good = {"2": "4242424242424242", "3": "000000", "4": "000000001000", "48": "pa_1"}
        assert (await card.send("0200", good | fields))["39"] == code
    assert world.sandbox.world.payments() == []


async def test_act_in_another_currency_is_refused(world: World) -> None:
    async with world.card() as card:
        await card.authorize("pa_1", 1000)
        assert (await card.follow("0220", "ca_1", "pa_1", 1000, f49="978"))["39"] == "12"


async def test_scripted_no_to_a_refund_is_remembered(world: World) -> None:
    world.behave("card_a", scripts=[{"operation": "refund", "decline": "not_permitted", "times": 1}])
    async with world.card() as card:
        await card.authorize("pa_1", 1000, sale=True)
        assert (await card.refund("re_1", "pa_1", 100))["39"] == "57"
        assert (await card.refund("re_1", "pa_1", 100))["39"] == "57"
        assert (await card.inquire("re_1"))["63"] == "declined"
        assert (await card.refund("re_2", "pa_1", 100))["39"] == "00"
    assert taken(world, "pa_1") == 900


async def test_approval_for_less_is_said_and_repeated(world: World) -> None:
    world.behave("card_a", scripts=[{"operation": "authorize", "approve_minor": 600, "times": 1}])
    async with world.card() as card:
        for _ in range(2):
            answer = await card.authorize("pa_1", 1000)
            assert (answer["39"], answer["4"]) == ("10", "000000000600")
        asked = await card.inquire("pa_1")
        assert (asked["39"], asked["4"], asked["63"]) == ("10", "000000000600", "authorized")
        assert (await card.follow("0220", "ca_1", "pa_1", 601))["39"] == "13"
        assert (await card.follow("0220", "ca_2", "pa_1", 600))["39"] == "00"
    assert taken(world, "pa_1") == 600


@pytest.mark.parametrize(
    ("ending", "error", "done"),
    [
        (81, TimeoutError, False),
        (82, TimeoutError, True),
        (83, ConnectionError, False),
        (84, ConnectionError, True),
        (85, ConnectionError, True),
    ],
)
async def test_answer_that_never_comes_whole(
    world: World, ending: int, error: type[Exception], done: bool
) -> None:
    async with world.card() as card:
        # Only where nothing comes is the wait part of the test.
        timeout_s = 0.5 if error is TimeoutError else 10.0
        with pytest.raises(error):
            await card.authorize("pa_1", 1000 + ending, sale=True, timeout_s=timeout_s)
    async with world.card() as card:
        assert (await card.inquire("pa_1"))["39"] == ("00" if done else "25")
    assert taken(world, "pa_1") == (1000 + ending if done else 0)


async def test_errors_limits_and_lies(world: World) -> None:
    async with world.card() as card:
        assert (await card.authorize("pa_1", 1087))["39"] == "96"
        assert (await card.inquire("pa_1"))["39"] == "25"
        lie = await card.authorize("pa_2", 1086)
        assert (lie["39"], lie["4"]) == ("00", "000000001087")
        assert (await card.inquire("pa_2"))["4"] == "000000001087"
        world.behave("card_a", rate_per_s=0)
        assert (await card.authorize("pa_3", 1000))["39"] == "91"


async def test_answers_overtake_each_other_on_one_connection(world: World) -> None:
    slow = {"reference_prefix": "slow", "latency_ms": 150}
    world.behave("card_a", scripts=[slow])
    done: list[str] = []
    async with world.card() as card:

        async def pay(reference: str) -> None:
            await card.authorize(reference, 1000)
            done.append(reference)

        await asyncio.gather(pay("slow_1"), *(pay(f"fast_{number}") for number in range(20)))
    assert done[-1] == "slow_1"


async def is_refused(port: int) -> bool:
    """Whether nothing listens on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (ConnectionRefusedError, ConnectionResetError):
        # Reset: it was closed while we were still waiting to be accepted.
        return True
    else:
        writer.close()
        return False
    finally:
        await asyncio.sleep(0.01)


async def test_refused_window_closes_the_port_and_opens_it_again(world: World) -> None:
    port = world.sandbox.acquirer_ports["card_a"]
    async with world.card() as card:
        elapsed = world.sandbox.desk.elapsed_s
        window = {"kind": "refused", "from_s": elapsed, "until_s": elapsed + 600.0}
        world.behave("card_a", troubles=[window])
        with pytest.raises(ConnectionError):
            await card.authorize("pa_1", 1000)
    async with asyncio.timeout(30):
        while not await is_refused(port):
            pass
    async with world.card("card_b") as other:
        assert (await other.authorize("pa_2", 1000))["39"] == "00"
    world.behave("card_a", troubles=[{**window, "until_s": world.sandbox.desk.elapsed_s + 0.2}])
    async with asyncio.timeout(30):
        while await is_refused(port):
            pass
    async with world.card() as card:
        assert (await card.authorize("pa_3", 1000))["39"] == "00"


async def test_unreadable_bytes_end_the_connection_and_nothing_else(world: World) -> None:
    port = world.sandbox.acquirer_ports["card_a"]
    unknown_type = encode({"t": "0500", "11": "000001"})
    for raw in (b"\xff\xff", b"\x00\x04spam", len(unknown_type).to_bytes(2, "big") + unknown_type):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x00\x00\x00")
    writer.close()
    async with world.card() as card:
        assert (await card.authorize("pa_1", 1000))["39"] == "00"


@pytest.mark.parametrize(
    "raw", [b"", b"0100", b"01\xff0", b"0100" + b"\xff" * 16, b"abcd" + b"\x00" * 8 + b"1"]
)
def test_decode_of_no_message_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(raw)


def test_encode_of_what_does_not_fit_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        encode({"t": "0110", "39": "000"})
    with pytest.raises(Unreadable):
        encode({"t": "0110", "99": "1"})


async def told(world: World, merchant: Merchant, count: int) -> list[dict[str, object]]:
    """What an acquirer posted, its signature checked by hand."""
    await eventually(lambda: len(merchant.told) == count)
    secret = world.sandbox.credentials.merchant.acquirers["card_a"].notification_secret
    for headers, body in merchant.told:
        at, _, signature = headers["sandbox-signature"].removeprefix("t=").partition(",v1=")
        assert signature == hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        assert abs(int(at) - RealClock().now().timestamp()) < 60
    return merchant.objects()


async def test_pending_payments_are_decided_and_told(world: World, merchant: Merchant) -> None:
    await world.control("PUT", "notify-url/card_a", {"url": merchant.url})
    late = {"operation": "authorize", "pending_ms": 100}
    world.behave("card_a", scripts=[late | {"amount_minor": 700, "decline": "do_not_honor"}, late])
    async with world.card() as card:
        assert (await card.authorize("pa_1", 1000, sale=True))["39"] == "09"
        assert (await card.authorize("pa_2", 700))["39"] == "09"
        asked = await card.inquire("pa_1")
        assert (asked["39"], asked["63"]) == ("09", "pending")
        events = {event["type"]: event["data"] for event in await told(world, merchant, 2)}
        assert (await card.inquire("pa_1"))["63"] == "captured"
        assert (await card.inquire("pa_2"))["39"] == "05"
    approved = events["payment.approved"]
    assert isinstance(approved, dict)
    assert (approved["reference"], approved["amount_minor"], approved["captured"]) == ("pa_1", 1000, True)
    assert "payment.declined" in events


async def test_approval_that_nobody_heard_is_told(world: World, merchant: Merchant) -> None:
    world.sandbox.acquirers["card_a"].notify_url = merchant.url
    async with world.card() as card:
        with pytest.raises(ConnectionError):
            await card.authorize("pa_1", 1084)
    events = await told(world, merchant, 1)
    assert events[0]["type"] == "payment.approved"


async def test_slow_refund_is_pending_and_told(world: World, merchant: Merchant) -> None:
    world.sandbox.acquirers["card_a"].notify_url = merchant.url
    world.behave("card_a", refund_ms=120)
    async with world.card() as card:
        await card.authorize("pa_1", 1000, sale=True)
        assert (await card.refund("re_1", "pa_1", 400))["39"] == "09"
        assert (await card.inquire("re_1"))["63"] == "pending"
        events = await told(world, merchant, 1)
        assert (await card.inquire("re_1"))["63"] == "refunded"
    assert events[0]["type"] == "refund.succeeded"


@pytest.mark.parametrize("sale", [True, False], ids=["sale", "captured later"])
async def test_card_of_disputes_is_disputed_after_the_money_was_taken(
    world: World, merchant: Merchant, sale: bool
) -> None:
    world.sandbox.acquirers["card_a"].notify_url = merchant.url
    world.behave("card_a", dispute_ms=20)
    async with world.card() as card:
        await card.authorize("pa_1", 1000, card="4000000000000259", sale=sale)
        if not sale:
            await asyncio.sleep(0.05)
            assert merchant.told == []
            await card.follow("0220", "ca_1", "pa_1", 600, f25="06")
    event = (await told(world, merchant, 1))[0]
    data = event["data"]
    assert isinstance(data, dict)
    assert (event["type"], data["amount_minor"]) == ("dispute.opened", 1000 if sale else 600)
    assert data["dispute"]["status"] == "needs_response"
    dispute = data["dispute"]["reference"]
    status, _ = await world.control("POST", f"disputes/{dispute}", {"status": "lost"})
    assert status == 200
    assert (await told(world, merchant, 2))[1]["type"] == "dispute.closed"
    assert (await world.control("POST", f"disputes/{dispute}", {"status": "won"}))[0] == 409


async def test_book_keeps_no_card_number(world: World) -> None:
    async with world.card() as card:
        await card.authorize("pa_1", 1000, f61="123")
    _, shown = await world.control("GET", "payments/pa_1")
    assert "4242424242424242" not in str(shown)
    assert shown["payments"][0]["details"]["card"] == "424242…4242"


async def test_equal_seeds_give_equal_outcomes_over_the_wire(open_world: OpenWorld) -> None:
    habits = {
        "decline_prob": 0.4,
        "declines": {"insufficient_funds": 1, "card_lost": 1},
        "magic_amounts": False,
    }

    async def outcomes(seed: int) -> list[str]:
        world = await open_world(seed=seed)
        world.behave("card_a", **habits)
        async with world.card() as card:
            return [(await card.authorize(f"pa_{number}", 1000))["39"] for number in range(60)]

    first, again, other = await outcomes(1), await outcomes(1), await outcomes(2)
    assert first == again
    assert first != other
    assert set(first) == {"00", "41", "51"}


async def test_only_what_was_done_is_in_the_book_under_chaos(world: World) -> None:
    shares = {
        "silent": 0.1,
        "silent_done": 0.1,
        "cut": 0.05,
        "cut_done": 0.05,
        "garbage": 0.05,
        "error_done": 0.1,
    }
    world.behave("card_a", faults=shares, magic_amounts=False)
    approved: set[str] = set()
    unknown: set[str] = set()
    for number in range(60):
        async with world.card() as card:
            try:
                answer = await card.authorize(f"pa_{number}", 1000, sale=True, timeout_s=0.1)
            except (TimeoutError, ConnectionError):
                unknown.add(f"pa_{number}")
                continue
        (approved if answer["39"] == "00" else unknown).add(f"pa_{number}")
    world.behave("card_a")
    async with world.card() as card:
        found = {reference for reference in unknown if (await card.inquire(reference))["39"] == "00"}
        for reference in approved | unknown:
            assert (await card.authorize(reference, 1000, sale=True))["39"] == "00"
    assert found
    assert found < unknown
    payments = world.sandbox.world.payments(channel="card_a")
    assert len(payments) == 60
    assert all(payment.taken_minor == 1000 and payment.state is State.CAPTURED for payment in payments)


@pytest.mark.parametrize(("act", "state"), [("pay", State.CAPTURED), ("cancel", State.DECLINED)])
async def test_payer_of_the_control_api_passes_or_fails_the_check_of_the_issuer(
    world: World, act: str, state: State
) -> None:
    async with world.card() as card:
        asked = await card.authorize("pa_1", 900, sale=True, card="4000002760003184", f46="3DS")
        assert (asked["39"], "/acs/" in asked["47"], "38" in asked) == ("3D", True, False)
        assert (await card.inquire("pa_1"))["63"] == "authenticating"
        for _ in range(2):
            url = f"{world.sandbox.http_url}/_sandbox/{act}"
            async with world.session.post(url, json={"reference": "pa_1"}):
                pass
        payment = world.sandbox.world.payment("card_a", "pa_1")
        assert payment is not None
        assert payment.state is state
        told = await card.inquire("pa_1")
        assert (
            told["46"]
            == f"{'authenticated' if act == 'pay' else 'failed'}/challenge/2.2.0/{'05' if act == 'pay' else '07'}"
        )
        assert told["39"] == ("00" if act == "pay" else "6P")
    assert taken(world, "pa_1") == (900 if act == "pay" else 0)


async def test_check_that_waits_is_taken_up_after_a_restart_and_ends_by_its_time(
    open_world: OpenWorld, tmp_path: Path
) -> None:
    journal = tmp_path / "book.jsonl"
    world = await open_world(journal=journal)
    async with world.card() as card:
        await card.authorize("pa_1", 900, card="4000002760003184", f46="3DS")
    await world.sandbox.close()
    world = await open_world(journal=journal)
    async with world.card() as card:
        assert (await card.inquire("pa_1"))["63"] == "authenticating"
        payment = world.sandbox.world.payment("card_a", "pa_1")
        assert payment is not None
        payment.expires_at = RealClock().now()
        assert (await card.inquire("pa_1"))["39"] == "6P"
