"""The books of the world outside, read through its own interfaces: what payers are poorer by, by our reference.

The sandbox through its control API, localstripe through its lists, iso8583sim through the recorder before it.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from tongbao.bench.payment_drill_recorder import Recorder
from tongbao.bench.payment_drill_world import HOST_SIM, STRIPE_REPLICA, World
from tongbao.core.errors import Unavailable

READERS = 16
PAGE_SIZE = 100
READ_S = 30.0
SANDBOX_NAMES = {"wechatpay": "wechat_pay"}
"""What the sandbox calls a channel of ours, where that differs."""
PEER_CHANNELS = frozenset({HOST_SIM, STRIPE_REPLICA})
Control = Callable[[str, str], Awaitable[Any]]
"""Asks a sandbox's control API: method and path in, what it answered out."""


class Outside(msgspec.Struct):
    """Money outside: net taken by (channel, reference) in minor units, and what none of our references explains."""

    taken_minor: dict[tuple[str, str], int] = {}
    unexplained: list[str] = []


async def read(world: World, attempts: Iterable[tuple[str, str]]) -> Outside:
    """Return what the outside world holds against these (channel, reference) of our attempts."""
    asked = set(attempts)
    outside = Outside({}, [])
    await read_sandbox(world.control, {each for each in asked if each[0] not in PEER_CHANNELS}, outside)
    if world.has(STRIPE_REPLICA):
        for intent in await _replica_intents(world):
            _add(outside, asked, STRIPE_REPLICA, intent["metadata"].get("reference", ""), _kept_minor(intent))
    if world.has(HOST_SIM):
        read_recorder(world.recorder, asked, outside)
    return outside


async def read_sandbox(control: Control, asked: set[tuple[str, str]], outside: Outside) -> None:
    """Add what one sandbox holds by (channel, reference), and hold the sums of its whole book against what we know."""
    sums: dict[str, int] = {}
    counts: dict[str, int] = {}
    gate = asyncio.Semaphore(READERS)

    async def one(channel: str, reference: str) -> None:
        async with gate:
            told = await control("GET", f"payments/{reference}")
        for payment in told.get("payments", []):
            name = f"{payment['channel']}/{payment['currency']}"
            sums[name] = sums.get(name, 0) + payment["taken_minor"]
            counts[name] = counts.get(name, 0) + 1
            ours = (
                channel if payment["channel"] == SANDBOX_NAMES.get(channel, channel) else payment["channel"]
            )
            place = (ours, reference)
            outside.taken_minor[place] = outside.taken_minor.get(place, 0) + payment["taken_minor"]

    await asyncio.gather(*(one(channel, reference) for channel, reference in asked))
    for name, whole in (await control("GET", "counters"))["money"].items():
        if whole["taken_minor"] != sums.get(name, 0) or whole["payments"] != counts.get(name, 0):
            outside.unexplained.append(
                f"{name}: {whole['payments']} payments and {whole['taken_minor']} taken outside, "
                f"{counts.get(name, 0)} and {sums.get(name, 0)} under our references"
            )


def read_recorder(recorder: Recorder, asked: set[tuple[str, str]], outside: Outside) -> None:
    """Add what iso8583sim approved, from the book that the recorder before it keeps."""
    for reference, payment in recorder.book.items():
        _add(outside, asked, HOST_SIM, reference, payment.taken_minor)


async def _replica_intents(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = base64.b64encode(b"sk_test_drill:").decode()
    while True:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        answer = await world.http.request(
            "GET",
            f"{world.replica_url}/v1/payment_intents?limit={PAGE_SIZE}{after}",
            headers={"Authorization": f"Basic {token}"},
            timeout_s=READ_S,
            answer_bytes_max=64 * 1024 * 1024,
        )
        if answer.status != 200:
            raise Unavailable("drill_replica_unreadable", f"localstripe answered {answer.status} to a list")
        page = msgspec.json.decode(answer.body)
        found += page["data"]
        if not page["has_more"]:
            return found


def _kept_minor(intent: dict[str, Any]) -> int:
    """Return what the charges of an intent claimed and did not give back."""
    return sum(
        charge["amount"] - charge["amount_refunded"]
        for charge in intent["charges"]["data"]
        if charge["captured"] and charge["status"] == "succeeded"
    )


def _add(outside: Outside, asked: set[tuple[str, str]], channel: str, reference: str, minor: int) -> None:
    place = (channel, reference)
    outside.taken_minor[place] = outside.taken_minor.get(place, 0) + minor
    if minor and place not in asked:
        outside.unexplained.append(f"{channel}: {minor} taken under {reference or 'no reference'}")
