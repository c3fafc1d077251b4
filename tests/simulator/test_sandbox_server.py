"""The sandbox as a whole: control API, notifications, keys, the command, and its own death."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.simulator.conftest import Merchant, OpenWorld, World, eventually
from tests.simulator.raw_acquirer import AcquirerClient

from tongbao.core.clock import RealClock
from tongbao.core.errors import AppError, Conflict, InvalidRequest
from tongbao.simulator.sandbox.behavior import Habits
from tongbao.simulator.sandbox.credentials import Credentials, MerchantCredentials
from tongbao.simulator.sandbox.notifier import is_loopback
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig
from tongbao.web.commands import sandbox as command

CREATE = "alipay.trade.create"


def order(reference: str, **more: object) -> dict[str, object]:
    return {"out_trade_no": reference, "total_amount": "10.00", "subject": "tea", "buyer_id": "1", **more}


async def pay(world: World, reference: str, url: str) -> None:
    """Place an Alipay trade and pay it."""
    await world.alipay(CREATE, order(reference), notify_url=url)
    status, _ = await world.control("POST", "pay", {"reference": reference, "channel": "alipay"})
    assert status == 200


async def test_control_shows_payments_counters_and_notifications(world: World, merchant: Merchant) -> None:
    await pay(world, "pa_1", merchant.url)
    await world.alipay(CREATE, order("pa_1"))
    async with world.card() as card:
        await card.authorize("pa_1", 700, sale=True)
    status, shown = await world.control("GET", "payments/pa_1")
    assert (status, shown["taken_minor"]) == (200, {"CNY": 1000, "USD": 700})
    assert [(each["channel"], each["asked"]) for each in shown["payments"]] == [("alipay", 2), ("card_a", 1)]
    _, listed = await world.control("GET", "payments?channel=card_a")
    assert (listed["count"], listed["payments"][0]["reference"]) == (1, "pa_1")
    await eventually(lambda: world.sandbox.notifier.deliveries[0].state == "accepted")
    _, counted = await world.control("GET", "counters")
    assert counted["money"]["alipay/CNY"] == {"payments": 1, "taken_minor": 1000}
    assert counted["asked"] == {"alipay/authorize/none": 2, "card_a/authorize/none": 1}
    assert counted["notifications"] == {"accepted": 1}
    _, told = await world.control("GET", "notifications?reference=pa_1")
    assert [each["attempts"] for each in told["notifications"]] == [1]
    assert (await world.control("GET", "notifications?reference=other"))[1]["notifications"] == []


async def test_control_changes_behavior_of_one_channel(world: World) -> None:
    status, shown = await world.control("PUT", "behavior/alipay", {"decline_prob": 0.25})
    assert (status, shown["decline_prob"]) == (200, 0.25)
    _, everything = await world.control("GET", "behavior")
    assert {name: each["decline_prob"] for name, each in everything.items()} == {
        "alipay": 0.25,
        "wechat_pay": 0.0,
        "card_a": 0.0,
        "card_b": 0.0,
    }


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "error"),
    [
        ("GET", "payments/none", None, 404, "payment_unknown"),
        ("POST", "pay", {"reference": "none"}, 404, "payment_unknown"),
        ("POST", "pay", {"ref": "x"}, 400, "body_invalid"),
        ("POST", "disputes", {"reference": "none"}, 404, "payment_unknown"),
        ("POST", "disputes/none", {"status": "won"}, 404, "dispute_unknown"),
        ("POST", "disputes/none", {"status": "forgotten"}, 400, "status_invalid"),
        ("PUT", "behavior/nobody", {}, 404, "channel_unknown"),
        ("PUT", "behavior/alipay", {"decline_prob": 2}, 400, "behavior_invalid"),
        ("PUT", "notify-url/alipay", {"url": "http://127.0.0.1:1"}, 400, "channel_invalid"),
    ],
)
async def test_control_refuses_what_makes_no_sense(
    world: World, method: str, path: str, content: object, status: int, error: str
) -> None:
    answer = await world.control(method, path, content)
    assert (answer[0], answer[1]["error"]) == (status, error)


async def test_control_asks_which_channel_and_refuses_too_large_disputes(
    world: World, merchant: Merchant
) -> None:
    await pay(world, "pa_1", merchant.url)
    dispute = {"reference": "pa_1", "amount_minor": 1001}
    assert (await world.control("POST", "disputes", dispute))[1]["error"] == "amount_too_large"
    async with world.card() as card:
        await card.authorize("pa_1", 700)
    assert (await world.control("POST", "pay", {"reference": "pa_1"}))[1]["error"] == "channel_missing"


async def test_control_is_closed_to_forms_of_web_pages(world: World) -> None:
    url = f"{world.sandbox.http_url}/_sandbox/pay"
    async with world.session.post(url, data=b'{"reference":"x"}') as response:
        assert (response.status, (await response.json())["error"]) == (400, "content_type_invalid")


async def test_notifications_are_lost_doubled_and_late_as_told(world: World, merchant: Merchant) -> None:
    deliveries = world.sandbox.notifier.deliveries
    world.behave("alipay", notifying={"lost_prob": 1.0})
    await pay(world, "lost", merchant.url)
    world.behave("alipay", notifying={"duplicate_prob": 1.0})
    await pay(world, "doubled", merchant.url)
    await eventually(lambda: deliveries[1].state == "accepted")
    assert [form["out_trade_no"] for form in merchant.forms()] == ["doubled", "doubled"]
    world.behave("alipay", notifying={"late_prob": 1.0, "late": {"median_ms": 80}})
    await pay(world, "late", merchant.url)
    await asyncio.sleep(0.02)
    assert len(merchant.told) == 2
    await eventually(lambda: len(merchant.told) == 3)
    assert deliveries[0].state == "lost"


async def test_notifications_overtake_each_other(world: World, merchant: Merchant) -> None:
    world.behave("alipay", notifying={"shuffle_ms": 150})
    references = [f"pa_{number}" for number in range(12)]
    for reference in references:
        await world.alipay(CREATE, order(reference), notify_url=merchant.url)
    for reference in references:
        payment = world.sandbox.world.payment("alipay", reference)
        assert payment is not None
        world.sandbox.payers.pay(payment)
    await eventually(lambda: len(merchant.told) == len(references))
    heard = [form["out_trade_no"] for form in merchant.forms()]
    assert sorted(heard) == sorted(references)
    assert heard != references


async def test_notification_nobody_accepts_is_given_up(world: World, merchant: Merchant) -> None:
    await pay(world, "unheard", "http://127.0.0.1:9/nobody")
    delivery = world.sandbox.notifier.deliveries[0]
    await eventually(lambda: delivery.state == "given_up")
    assert delivery.attempts == 4
    assert (delivery.last_answer or "").startswith("NotSent")


async def test_notification_beyond_this_machine_is_not_sent(world: World) -> None:
    await pay(world, "far", "http://192.0.2.1/notify")
    assert world.sandbox.notifier.deliveries[0].state == "refused"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:80/x", True),
        ("https://localhost/", True),
        ("http://[::1]:9/", True),
        ("http://127.0.0.1.evil.example/", False),
        ("http://10.0.0.1/", False),
        ("file:///etc/passwd", False),
        ("http://", False),
        ("", False),
        ("http://localhost@192.0.2.1/", False),
    ],
)
def test_loopback_addresses(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_keys_are_made_once_kept_private_and_read_again(tmp_path: Path) -> None:
    home = tmp_path / "sandbox"
    made = Credentials.open(home, RealClock(), ("card_a",))
    again = Credentials.open(home, RealClock(), ("card_a", "card_c"))
    assert again.merchant.alipay == made.merchant.alipay
    assert again.merchant.acquirers["card_a"] == made.merchant.acquirers["card_a"]
    assert again.merchant.acquirers["card_c"].notification_secret.startswith("whsec_")
    for name in ("credentials.json", "world_keys.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    merchant_file = (home / "credentials.json").read_text()
    assert json.dumps(made.world.alipay_private_key)[1:-1] not in merchant_file
    assert "PRIVATE" not in repr(made)


@pytest.mark.parametrize("spoil", ["missing", "damaged"])
def test_keys_that_cannot_be_read_are_never_replaced(tmp_path: Path, keys: Path, spoil: str) -> None:
    for name in ("credentials.json", "world_keys.json"):
        (tmp_path / name).write_bytes((keys / name).read_bytes())
    if spoil == "missing":
        (tmp_path / "world_keys.json").unlink()
    else:
        (tmp_path / "world_keys.json").write_text("{}")
    with pytest.raises(Conflict, match="credentials_damaged"):
        Credentials.open(tmp_path, RealClock())


async def test_addresses_are_written_for_the_app(world: World, keys: Path) -> None:
    read = msgspec.json.decode((keys / "credentials.json").read_bytes(), type=MerchantCredentials)
    assert read.alipay.gateway_url == f"{world.sandbox.http_url}/gateway.do"
    assert read.wechat_pay.base_url == world.sandbox.http_url
    assert {name: each.port for name, each in read.acquirers.items()} == world.sandbox.acquirer_ports


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (SandboxConfig(host="0.0.0.0"), "listen_not_loopback"),
        (SandboxConfig(acquirers={"alipay": 0}), "channel_name_invalid"),
        (SandboxConfig(acquirers={"a/b": 0}), "channel_name_invalid"),
        (SandboxConfig(habits={"nobody": Habits()}), "channel_unknown"),
    ],
)
def test_configuration_that_cannot_work_is_refused(config: SandboxConfig, code: str) -> None:
    with pytest.raises(AppError, match=code):
        Sandbox(config)


async def test_port_that_is_taken_is_said(world: World, keys: Path) -> None:
    for options in (
        {"http_port": world.sandbox.http_port},
        {"acquirers": {"card_a": world.sandbox.acquirer_ports["card_a"]}},
    ):
        with pytest.raises(AppError, match="port_taken"):
            async with Sandbox(msgspec.convert({"home": keys} | options, SandboxConfig)):
                pass


async def test_closing_does_not_wait_for_silences(open_world: OpenWorld, keys: Path) -> None:
    async with Sandbox(SandboxConfig(home=keys, acquirers={"card_a": 0})) as sandbox:
        session = aiohttp.ClientSession()
        world = World(sandbox, session)
        world.behave("alipay", troubles=[{"kind": "silent"}])
        waiting = asyncio.create_task(world.alipay(CREATE, order("pa_1"), timeout_s=30))
        await eventually(lambda: bool(sandbox.desk.asked))
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3
    with pytest.raises(aiohttp.ClientError):
        await waiting
    await session.close()


async def test_what_was_under_way_goes_on_after_a_restart(open_world: OpenWorld, tmp_path: Path) -> None:
    file = tmp_path / "book.jsonl"
    world = await open_world(journal=file)
    world.behave("card_a", refund_ms=60_000, scripts=[{"reference_prefix": "slow", "pending_ms": 60_000}])
    async with world.card() as card:
        await card.authorize("slow_1", 800, sale=True)
        await card.authorize("pa_1", 1000, sale=True)
        await card.refund("re_1", "pa_1", 400)
    await world.sandbox.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if line["finish_at"]:
            line["finish_at"] = line["opened_at"]
        for act in line["acts"].values():
            act["finish_at"] = act["at"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = (await open_world(journal=file)).sandbox.world
    await eventually(lambda: again.taken_minor(["slow_1", "pa_1"])["USD"] == 800 + 600)


@contextlib.asynccontextmanager
async def serving(
    keys: Path, *options: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """``tongbao sandbox serve`` as a process of its own, and what it printed first."""
    program = "from tongbao.web.commands.sandbox import app; app()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "serve", "--home", str(keys), *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_command_serves_says_where_and_stops_cleanly(keys: Path, tmp_path: Path) -> None:
    behavior = tmp_path / "behavior.json"
    behavior.write_text('{"card_a": {"decline_prob": 1.0}}')
    options = ("--acquirer", "card_a:0", "--behavior", str(behavior), "--seed", "3")
    async with serving(keys, *options) as (process, where):
        assert set(where["acquirers"]) == {"card_a"}
        assert Path(where["credentials"]) == keys / "credentials.json"
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{where['http_url']}/_sandbox/behavior") as response,
        ):
            assert (await response.json())["card_a"]["decline_prob"] == 1.0
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0


def has_more_than(items: set[str], count: int) -> bool:
    return len(items) > count


async def test_book_survives_a_kill_in_the_middle_of_payments(keys: Path, tmp_path: Path) -> None:
    options = ("--acquirer", "card_a:0", "--journal", str(tmp_path / "book.jsonl"))
    credentials = Credentials.open(keys, RealClock()).merchant.acquirers["card_a"]
    approved: set[str] = set()
    for life in range(2):
        async with serving(keys, *options) as (process, where):
            client = AcquirerClient(credentials.terminal_id, credentials.merchant_id)
            await client.connect(where["acquirers"]["card_a"])

            async def keep_paying(client: AcquirerClient, life: int, payer: int) -> None:
                for number in range(10_000):
                    reference = f"pa_{life}_{payer}_{number}"
                    if (await client.authorize(reference, 1000, sale=True))["39"] == "00":
                        approved.add(reference)

            payers = [asyncio.create_task(keep_paying(client, life, payer)) for payer in range(8)]
            await eventually(partial(has_more_than, approved, 60 * (life + 1)))
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            results = await asyncio.gather(*payers, return_exceptions=True)
            assert all(isinstance(result, ConnectionError) for result in results)
            client.close()
    async with (
        serving(keys, *options) as (_, where),
        aiohttp.ClientSession() as session,
        session.get(f"{where['http_url']}/_sandbox/payments") as response,
    ):
        book = (await response.json())["payments"]
    taken = {payment["reference"]: payment["taken_minor"] for payment in book}
    assert approved <= taken.keys()
    assert set(taken.values()) <= {0, 1000}
    assert all(taken[reference] == 1000 for reference in approved)
    assert len(taken) - len(approved) <= 16


@pytest.mark.parametrize("text", ["card_a", ":80", "card_a:x", "card_a:70000", "card_a:٣"])
def test_command_refuses_a_bad_acquirer(text: str) -> None:
    with pytest.raises(InvalidRequest, match="acquirer_invalid"):
        command._parse_acquirer(text)
