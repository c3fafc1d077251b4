"""The open house: every room over one database, wired once for the process that serves it.

``open_house`` takes an open ``Runtime`` (database, ledger) and the routes for money; what it opens it closes again.
"""

import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tongbao.channels.schema import Merchant, Mode
from tongbao.channels.service import building
from tongbao.channels.service.banks import BankSpec
from tongbao.channels.service.building import ChannelSpec
from tongbao.channels.service.registry import Channels
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.config import Settings
from tongbao.core.events.subscriptions import Consumer, Projection
from tongbao.core.http import HttpClient
from tongbao.core.requests.running import Requests
from tongbao.decisions.service.decisions import Decisions, random_salt
from tongbao.fx.service.rates import Rates as ExchangeRates
from tongbao.parties.schema import OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.payments.schema.webhooks import UrlRules
from tongbao.payments.service.deliveries import Deliveries
from tongbao.payments.service.delivering import Delivering
from tongbao.payments.service.events import Events, event_projection
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.secret_keys import open_box
from tongbao.payments.service.smart_risk import SmartRisk
from tongbao.payments.service.smart_routing import SmartRouting
from tongbao.payments.service.webhooks import WebhookEndpoints
from tongbao.privacy.service import screening
from tongbao.privacy.service.keys import open_keys
from tongbao.privacy.service.vault import Vault
from tongbao.risk.schema.tiers import TIERS
from tongbao.risk.service import compiling as risk_compiling
from tongbao.risk.service.judge_lines import open_line
from tongbao.risk.service.risk import Risk
from tongbao.routing.service import compiling
from tongbao.routing.service.routing import Routing
from tongbao.web.api.v1.app import Api
from tongbao.web.api.v1.joining import JoinedCustomers, JoinedEndpoints, Joining, VaultCards
from tongbao.web.api.v1.limits import Limits, Rates
from tongbao.web.api.v1.ports import Services
from tongbao.web.api.v1.renderings.events import event_bytes
from tongbao.web.clearing_rooms import open_clearing, open_purse
from tongbao.web.pace import Pace
from tongbao.web.proving import Proofs, Proving, open_proofs
from tongbao.web.runtime import Runtime
from tongbao.web.ui.live import Hub

PROFILES_MAX = 10_000
PROFILE_LIFE_S = 10.0
"""So soon a merchant's new name or package counts in every process."""
WALLET_SPEC = ChannelSpec(name="wallet", adapter="wallet", mode=Mode.BOTH)
"""The channel that every house has: its own wallets."""


@dataclass(frozen=True)
class House:
    """Everything that faces and workers reach."""

    runtime: Runtime
    parties: Parties
    vault: Vault
    channels: Channels
    decisions: Decisions
    routing: Routing
    risk: Risk
    proofs: Proofs
    payments: Payments
    clearing: ClearingHouse
    proving: Proving
    requests: Requests
    events: Events
    endpoints: WebhookEndpoints
    deliveries: Deliveries
    delivering: Delivering
    base_url: str
    api: Api
    limits: Limits
    hub: Hub = field(default_factory=Hub)
    """The live parts of pages; whoever serves closes it before it waits for open requests."""

    @cached_property
    def exchange_rates(self) -> ExchangeRates:
        """The reference rates, told and never held."""
        runtime = self.runtime
        return ExchangeRates(runtime.database, runtime.clock, runtime.metrics)

    def subscriptions(self) -> list[Consumer | Projection]:
        """Return everything in this house that reads facts."""
        return [
            event_projection(self.runtime.clock),
            self.payments.sessions.subscription(),
            self.payments.reviewing.subscription(),
            self.payments.step_ups.subscription(),
            *self.clearing.subscriptions(),
            *self.routing.subscriptions(),
            *self.risk.subscriptions(),
        ]


@asynccontextmanager
async def open_house(
    runtime: Runtime,
    settings: Settings,
    base_url: str,
    specs: Sequence[ChannelSpec] | None = None,
    bank_specs: Sequence[BankSpec] = (),
    pace: Pace | None = None,
) -> AsyncIterator[House]:
    """Open every room; ``specs`` and ``bank_specs`` are routes for money beside those that the settings' file names.

    ``pace``: what is followed in the background is followed by whoever paces the house, and chance comes from its seed.

    Raises ChannelMisconfigured, KeysUnusable, NotPermitted ``key_file_exposed``.
    """
    clock, ids, database = runtime.clock, runtime.ledger.ids, runtime.database
    secrets_dir = _secrets_dir(settings)
    async with AsyncExitStack() as stack:
        keys = open_keys(secrets_dir / "keys.json", os.environ, clock)
        vault = await stack.enter_async_context(Vault(database, keys, clock, ids, runtime.metrics))
        parties = await stack.enter_async_context(Parties(database, clock, ids))
        http, channels = _outside(stack, runtime, vault, _specs(settings, specs))
        names = frozenset(channel.name for channel in channels.all())
        decisions, routing, risk = await _deciders(stack, runtime, names, settings, pace)
        proofs = stack.enter_context(open_proofs(runtime, settings, secrets_dir, base_url))
        payments = await stack.enter_async_context(
            Payments(
                database,
                runtime.ledger,
                channels,
                clock,
                ids,
                runtime.metrics,
                risk=_judge(runtime, risk, proofs),
                routing=SmartRouting(routing.router),
                profiles=_Profiles(parties),
                notify_base=base_url,
                cards=vault,
                proofs=proofs.challenging,
                lane_count=settings.lane_count,
            )
        )
        purse = open_purse(settings, secrets_dir, http, bank_specs)
        clearing = await stack.enter_async_context(open_clearing(runtime, parties, purse, payments))
        proofs.addresses.proving = proving = Proving(payments.intents, parties, clock, ids, base_url)
        webhooks = _Webhooks(runtime, settings, secrets_dir, base_url)
        stack.push_async_callback(webhooks.delivering.close)
        requests = Requests(database, clock)
        services = _services(runtime, base_url, vault, parties, payments, webhooks, requests)
        limits = Limits(_rates(settings))
        yield House(
            runtime,
            parties,
            vault,
            channels,
            decisions,
            routing,
            risk,
            proofs,
            payments,
            clearing,
            proving,
            requests,
            webhooks.events,
            webhooks.endpoints,
            webhooks.deliveries,
            webhooks.delivering,
            base_url,
            Api(services, limits),
            limits,
        )


def _judge(runtime: Runtime, risk: Risk, proofs: Proofs) -> SmartRisk:
    """Return what asks risk control about payments, and lets those through that were proved."""
    clock, ids = runtime.clock, runtime.ledger.ids
    return SmartRisk(
        risk.judge, proofs.links, proofs.challenging.passed_for, clock, ids, secret=proofs.secret
    )


def _outside(
    stack: AsyncExitStack, runtime: Runtime, vault: Vault, specs: Sequence[ChannelSpec]
) -> tuple[HttpClient, Channels]:
    """Open the way out of the house, and the routes for money over it."""
    http = HttpClient()
    stack.push_async_callback(http.close)
    channels = building.build(specs, building.House(http, vault, runtime.ledger, runtime.clock))
    stack.push_async_callback(channels.close)
    return http, channels


async def _deciders(
    stack: AsyncExitStack, runtime: Runtime, names: frozenset[str], settings: Settings, pace: Pace | None
) -> tuple[Decisions, Routing, Risk]:
    """Open the rooms that decide by themselves; ``names`` are the routes for money."""
    clock, ids, database = runtime.clock, runtime.ledger.ids, runtime.database
    line = await stack.enter_async_context(
        open_line(
            settings.risk_url, _secrets_dir(settings), settings.risk_timeout_ms / 1_000, runtime.metrics
        )
    )
    validators = {
        compiling.POLICY: compiling.checker(names),
        risk_compiling.POLICY: risk_compiling.checker_over(database),
    }
    decisions = Decisions(
        database,
        clock,
        ids,
        validators,
        new_salt=random_salt if pace is None else pace.new_salt,
        choices={compiling.POLICY: names, risk_compiling.POLICY: TIERS},
    )
    await decisions.log.prepare()
    policies, is_paced = decisions.policies, pace is not None
    routing = await stack.enter_async_context(
        Routing(
            database,
            clock,
            ids,
            policies,
            names,
            chance=pace.chance("routing") if pace else None,
            is_paced=is_paced,
        )
    )
    risk = Risk(
        database,
        clock,
        ids,
        policies,
        decisions.log,
        runtime.metrics,
        line=line,
        chance=pace.chance("risk") if pace else None,
        is_paced=is_paced,
    )
    await risk.prepare()
    return decisions, routing, await stack.enter_async_context(risk)


def _secrets_dir(settings: Settings) -> Path:
    return settings.vault_dir or settings.data_dir / "vault"


class _Webhooks:
    """Everything around webhooks: their log, endpoints, and the deliverer with its key and rules."""

    def __init__(self, runtime: Runtime, settings: Settings, secrets_dir: Path, base_url: str) -> None:
        database, clock, ids = runtime.database, runtime.clock, runtime.ledger.ids
        box = open_box(secrets_dir / "webhooks.key")
        rules = UrlRules(allow_local=settings.webhooks_allow_local)
        self.events = Events(database, clock)
        self.endpoints = WebhookEndpoints(database, box, rules, clock, ids)
        self.deliveries = Deliveries(database, clock)
        self.delivering = Delivering(
            database,
            lambda event: event_bytes(event, base_url),
            box,
            rules,
            clock,
            ids,
            runtime.metrics,
            chance=random.SystemRandom(),
        )


def _services(
    runtime: Runtime,
    base_url: str,
    vault: Vault,
    parties: Parties,
    payments: Payments,
    webhooks: _Webhooks,
    requests: Requests,
) -> Services:
    """Return what the Stripe-shaped interface reaches."""
    joining = Joining(runtime.database, requests)
    return Services(
        keys=parties.access,
        intents=payments.intents,
        refunds=payments.refunds,
        disputes=payments.disputes,
        methods=payments.methods,
        setups=payments.setups,
        sessions=payments.sessions,
        customers=JoinedCustomers(parties.customers, joining),
        events=webhooks.events,
        endpoints=JoinedEndpoints(webhooks.endpoints, joining),
        balances=payments.balances,
        cards=VaultCards(vault, runtime.database),
        accounts=parties.merchants,
        scan=screening.refuse_card_data,
        clock=runtime.clock,
        ids=runtime.ledger.ids,
        cashier_url=base_url,
        docs_url=None,
    )


def _rates(settings: Settings) -> Rates:
    return Rates(
        test_reads=settings.test_rate_per_s,
        test_writes=settings.test_rate_per_s,
        live_reads=settings.live_rate_per_s,
        live_writes=settings.live_rate_per_s,
    )


def _specs(settings: Settings, given: Sequence[ChannelSpec] | None) -> list[ChannelSpec]:
    """Return the routes that were given, or those of the file, and the wallets of the house."""
    specs = list(given or ())
    if settings.channels_file is not None:
        specs += building.read_specs(Path(settings.channels_file))
    if not any(spec.adapter == WALLET_SPEC.adapter for spec in specs):
        specs.append(WALLET_SPEC)
    return specs


class _Profiles:
    """What payments must know of merchants, remembered for a short while; see ``payments.ports.MerchantProfiles``."""

    def __init__(self, parties: Parties, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._parties = parties
        # Real seconds, whatever a clock plays: it is other processes that may have changed a merchant.
        self._monotonic_s = monotonic_s
        self._known: dict[int, tuple[float, Merchant, frozenset[str]]] = {}
        self._operator = operator_of_job("payments", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def profile(self, book_id: int) -> Merchant:
        """Return what channels may know of the merchant whose book this is; raise UnknownMerchant."""
        return (await self._read(book_id))[1]

    async def features(self, book_id: int) -> frozenset[str]:
        """Return what the merchant's package holds; raise UnknownMerchant."""
        return (await self._read(book_id))[2]

    async def _read(self, book_id: int) -> tuple[float, Merchant, frozenset[str]]:
        now_s = self._monotonic_s()
        known = self._known.get(book_id)
        if known is not None and now_s - known[0] < PROFILE_LIFE_S:
            return known
        found = await self._parties.merchants.of_book(self._operator, book_id)
        features = await self._parties.merchants.features_of(self._operator, found)
        profile = Merchant(
            name=found.name,
            mcc=found.mcc,
            country=found.country,
            descriptor=re.sub(r"[^ -~]", "", found.display_name or found.name)[:22],
        )
        if len(self._known) >= PROFILES_MAX:
            self._known.clear()
        known = self._known[book_id] = (now_s, profile, frozenset[str](features))
        return known
