"""What decides in ``tongbao demo real``: the starter rules of risk control, and a routing policy over the card channels that are there."""

from tongbao.bench.demo_real_channels import ALIPAY, CARD_CURRENCY, WECHAT
from tongbao.bench.demo_real_orders import LARGE_MINOR_FROM, SMALL_MINOR_BELOW
from tongbao.bench.demo_real_peers import HOST_SIM, REPLICA
from tongbao.bench.demo_real_world import World
from tongbao.bench.risk_drill_desk import Desk
from tongbao.bench.risk_drill_measures import FALLBACK
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.money import Money
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.routing.service import compiling

ACTOR = "person:demo"
COSTS_BPS = {HOST_SIM: 60, REPLICA: 140, ALIPAY: 38, WECHAT: 38}
"""What each channel takes of a sale, as it was agreed: routing weighs it, and reconciliation expects it, rounded half up."""


async def roll_out(world: World, database: Database) -> None:
    """Roll out the first versions of both policies. Raises what drafting and publishing raise."""
    desk = Desk(database)
    await desk.declare_suspects()
    await desk.roll_out("starter rules", fallback=FALLBACK.value)
    cards = [each for each in (HOST_SIM, REPLICA) if world.peers.has(each)]
    if not cards:
        return
    clock = RealClock()
    checked = {compiling.POLICY: compiling.checker(world.channels)}
    policies = Decisions(database, clock, IdFactory(clock), checked).policies
    spec = {
        "strategy": "learned",
        "costs": {each: {"currency": CARD_CURRENCY, "bps": COSTS_BPS[each]} for each in cards},
        "rules": _rules() if len(cards) > 1 else "",
    }
    version = (await policies.draft(compiling.POLICY, spec, "terms of the demonstration", ACTOR)).version
    await policies.publish(compiling.POLICY, version, ACTOR)
    await policies.roll_out(compiling.POLICY, RolloutOrder(champion=version, note="the day begins"), ACTOR)


def _rules() -> str:
    """Return rules that send small amounts to the card host alone and large ones to the second channel first."""
    small, large = (
        format(Money(each, CARD_CURRENCY).major, "f") for each in (SMALL_MINOR_BELOW, LARGE_MINOR_FROM)
    )
    return (
        f"small amounts: when amount < {small} {CARD_CURRENCY} then only {HOST_SIM}\n"
        f"large amounts: when amount >= {large} {CARD_CURRENCY} then prefer {REPLICA}\n"
    )
