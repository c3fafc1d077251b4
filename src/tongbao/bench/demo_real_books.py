"""The books of the parties outside, read over their own interfaces: every sale and refund that each of them holds.

iso8583sim through the recorder before it, localstripe through its lists, the wallets through their sandbox's control API. One
sale is one charge of a payer. Nothing of the house is asked, so that its own books can be held against these.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from tongbao.bench.demo_real_channels import CARD_CURRENCY, WALLETS
from tongbao.bench.demo_real_peers import HOST_SIM, REPLICA
from tongbao.bench.demo_real_policies import COSTS_BPS
from tongbao.bench.demo_real_recorder import REFUND, SALE, HostEntry
from tongbao.bench.demo_real_world import World
from tongbao.core.money import Money, Rounding
from tongbao.simulator import day_files
from tongbao.simulator.sandbox.schema import Payment
from tongbao.simulator.sandbox.settlement_files import Row

PAGE_SIZE = 100
_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


async def read(world: World) -> dict[str, list[Row]]:
    """Return what each channel holds, oldest first: sales, and refunds as negative amounts.

    ``reference`` is ours; ``batch`` of a refund names the payment that it gives back.
    """
    books = {name: await _wallet(world, name) for name in WALLETS}
    if world.peers.has(HOST_SIM):
        books[HOST_SIM] = _host(world)
    if world.peers.has(REPLICA):
        books[REPLICA] = await _replica(world)
    return books


async def _wallet(world: World, channel: str) -> list[Row]:
    told = await world.control("GET", f"payments?channel={WALLETS[channel]}")
    rows = day_files.rows_of([msgspec.convert(each, Payment) for each in told["payments"]], _BEGIN, _END)
    return [_priced(channel, row) for row in rows]


def _host(world: World) -> list[Row]:
    """Return what stands in the recorder's book; a payment that was reversed took nothing."""
    taken = {each.reference: each.captured_minor for each in world.host_book.book.values()}
    rows = []
    for entry in world.host_book.entries:
        if entry.kind == REFUND or (entry.amount_minor > 0 and taken[entry.payment]):
            rows.append(_host_row(entry))
    return [_priced(HOST_SIM, row) for row in rows]


def _host_row(entry: HostEntry) -> Row:
    is_refund = entry.kind == REFUND
    return Row(
        reference=entry.reference if is_refund else entry.payment,
        channel_reference=entry.reference,
        kind=entry.kind,
        amount_minor=-entry.amount_minor if is_refund else entry.amount_minor,
        currency=CARD_CURRENCY,
        at=entry.at,
        batch=entry.payment if is_refund else "",
    )


async def _replica(world: World) -> list[Row]:
    rows: list[Row] = []
    for intent in await _replica_intents(world):
        reference = str(intent["metadata"].get("reference", ""))
        for charge in intent["charges"]["data"]:
            if charge["captured"] and charge["status"] == "succeeded":
                rows.append(_replica_row(charge, SALE, reference, charge["amount"]))
                for refund in charge["refunds"]["data"]:
                    own = str(refund["metadata"].get("reference", ""))
                    given_back = _replica_row(refund, REFUND, own, -refund["amount"])
                    rows.append(msgspec.structs.replace(given_back, batch=reference))
    return [_priced(REPLICA, row) for row in sorted(rows, key=lambda row: (row.at, row.reference))]


def _replica_row(thing: dict[str, Any], kind: str, reference: str, amount_minor: int) -> Row:
    return Row(
        reference=reference,
        channel_reference=thing["id"],
        kind=kind,
        amount_minor=amount_minor,
        currency=str(thing["currency"]).upper(),
        at=datetime.fromtimestamp(thing["created"], UTC),
    )


async def _replica_intents(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        page = await world.replica(f"/v1/payment_intents?limit={PAGE_SIZE}{after}")
        found += page["data"]
        if not page["has_more"]:
            return found


def _priced(channel: str, row: Row) -> Row:
    """Return a row with what the channel takes of it: of sales its rate, of refunds nothing."""
    if row.kind != SALE:
        return msgspec.structs.replace(row, fee_minor=0)
    cost = Money(row.amount_minor, row.currency).bps(COSTS_BPS[channel], Rounding.HALF_UP)
    return msgspec.structs.replace(row, fee_minor=cost.amount_minor)
