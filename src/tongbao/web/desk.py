"""The operator's desk: policies, decisions and routing over the database, without channels, vault or payments.

What the command line needs to look and to steer. Nothing here takes part in traffic, and a process that serves hears of a
new policy by itself within seconds. Whoever folds the facts into a board first announces the breakers that turned, each
once, and may keep a snapshot: here as anywhere.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tongbao.channels.schema import Fault, Reason
from tongbao.channels.service import building
from tongbao.channels.service.codes import reason_info
from tongbao.core.config import Settings
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.schema.tiers import TIERS
from tongbao.risk.service import compiling as risk_compiling
from tongbao.risk.service.hindsight import Hindsight
from tongbao.risk.service.replaying import Replaying as RiskReplaying
from tongbao.risk.service.risk import Risk
from tongbao.routing.schema.health import RANGE_DAYS_MAX, Dimension, HealthScope
from tongbao.routing.schema.payments import Mark
from tongbao.routing.service import compiling
from tongbao.routing.service.backtesting import Backtesting
from tongbao.routing.service.health import Health
from tongbao.routing.service.refreshing import Refreshing
from tongbao.routing.service.replaying import Replaying
from tongbao.routing.service.routing import Routing
from tongbao.web.house import WALLET_SPEC
from tongbao.web.runtime import Runtime, open_runtime

ISSUER_LABELS = frozenset(
    {Mark.ISSUER_DECLINED.value, *(each.value for each in Reason if reason_info(each).fault is Fault.ISSUER)}
)
"""Labels of outcomes that are an issuer's no, as ``payments.policy.learning`` writes them."""


@dataclass(frozen=True)
class Desk:
    """What commands reach; ``channels`` are the names that policies and rules may speak of."""

    runtime: Runtime
    decisions: Decisions
    routing: Routing
    replaying: Replaying
    refreshing: Refreshing
    backtesting: Backtesting
    channels: frozenset[str]
    hindsight: Hindsight

    def replaying_of(self, policy: str) -> Replaying | RiskReplaying:
        """Return what replays drafts of a policy: routing's, or risk control's."""
        is_risk = policy.partition("/")[0] == risk_compiling.POLICY
        return self.hindsight.replaying if is_risk else self.replaying


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Open the database that ``settings`` name; raises what ``open_runtime`` and reading the channels' file raise."""
    async with open_runtime(settings) as runtime:
        database, clock, ids = runtime.database, runtime.clock, runtime.ledger.ids
        names = await _names(settings, Health(database, clock))
        validators = {
            compiling.POLICY: compiling.checker(names),
            risk_compiling.POLICY: risk_compiling.checker_over(database),
        }
        choices = {compiling.POLICY: names, risk_compiling.POLICY: TIERS}
        decisions = Decisions(database, clock, ids, validators, choices=choices)
        log, policies = decisions.log, decisions.policies
        routing = Routing(database, clock, ids, policies, names)
        replaying = Replaying(log, policies, clock, ids, names, routing.following.board.tuning)
        refreshing = Refreshing(log, policies, replaying, ISSUER_LABELS)
        backtesting = Backtesting(log, policies, names)
        risk = Risk(database, clock, ids, policies, log, runtime.metrics)
        hindsight = Hindsight(database, clock, ids, (log, policies), risk)
        try:
            yield Desk(runtime, decisions, routing, replaying, refreshing, backtesting, names, hindsight)
        finally:
            await risk.assessing.close()


def configured_names(file: Path) -> frozenset[str]:
    """Return the names of the routes of a channels' file, with the wallets that every house has."""
    return frozenset(each.name for each in building.read_specs(file)) | {WALLET_SPEC.name}


async def _names(settings: Settings, health: Health) -> frozenset[str]:
    """Return the names of the configured routes; of those that ever took a payment, where no file names them.

    A house that was started without a file (a demonstration) made its routes itself; only its payments tell of them.
    """
    if settings.channels_file is not None:
        return configured_names(settings.channels_file)
    # Whole minutes are counted: a day less than may be asked keeps the bound.
    span = health.last(timedelta(days=RANGE_DAYS_MAX - 1))
    names = {WALLET_SPEC.name}
    for live in (True, False):
        rows = await health.rates(HealthScope(live=live), span)
        names |= {row.segment[Dimension.CHANNEL] for row in rows}
    return frozenset(names)
