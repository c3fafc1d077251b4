"""Payments as one object: what a process wires once and hands to every face and room above."""

from types import TracebackType

from tongbao.channels.service.registry import Channels
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.ports import CardMemory, MerchantProfiles, Proofs, RiskControl, Routing
from tongbao.payments.service.accounts import MoneyAccounts
from tongbao.payments.service.acting import Acting
from tongbao.payments.service.balances import Balances
from tongbao.payments.service.complaining import Complaining
from tongbao.payments.service.confirming import Confirming
from tongbao.payments.service.desk import Desk
from tongbao.payments.service.disputing import Disputing
from tongbao.payments.service.intents import Intents
from tongbao.payments.service.methods import Methods
from tongbao.payments.service.prospects import Prospects
from tongbao.payments.service.reading import Reading
from tongbao.payments.service.refunding import Refunding
from tongbao.payments.service.resolving import Resolving
from tongbao.payments.service.reviewing import Reviewing
from tongbao.payments.service.sessions import Sessions
from tongbao.payments.service.setups import Setups
from tongbao.payments.service.step_ups import StepUps
from tongbao.payments.service.wallets import Wallets
from tongbao.payments.service.writing import Writing


class Payments:
    """All use cases over one database. ``async with Payments(…) as payments``; leaving finishes what waits.

    ``notify_base``: the address under which channels reach this house; None where they cannot. ``proofs``: where payers
    are asked for proofs; None where they are not.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        channels: Channels,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        *,
        risk: RiskControl,
        routing: Routing,
        profiles: MerchantProfiles,
        notify_base: str | None = None,
        cards: CardMemory | None = None,
        proofs: Proofs | None = None,
        lane_count: int = 2,
        batch_max: int = 1_000,
        queue_max: int = 10_000,
        retry_s: float = 10.0,
    ) -> None:
        self._writing = Writing(
            database,
            ledger.posting,
            clock,
            ids,
            metrics,
            lane_count=lane_count,
            batch_max=batch_max,
            queue_max=queue_max,
            retry_s=retry_s,
        )
        self._reading = Reading(database, metrics)
        desk = Desk(
            database,
            ledger,
            self._writing,
            self._reading,
            MoneyAccounts(ledger, clock),
            channels,
            risk,
            routing,
            profiles,
            clock,
            ids,
            metrics,
            notify_base=notify_base,
            cards=cards,
            proofs=proofs,
        )
        acting = Acting(desk)
        self.channels = channels
        self.clock = clock
        self.intents = Intents(desk, Confirming(desk), acting)
        self.methods = Methods(desk)
        self.refunds = Refunding(desk)
        self.disputes = Disputing(desk)
        self.complaints = Complaining(desk)
        self.setups = Setups(desk)
        self.sessions = Sessions(desk)
        self.prospects = Prospects(desk)
        self.wallets = Wallets(desk, ledger)
        self.balances = Balances(desk, ledger)
        self.reviewing = Reviewing(desk, acting, self.refunds)
        self.step_ups = StepUps(desk)
        self.resolving = Resolving(
            desk, acting, self.refunds, self.disputes, self.setups, self.sessions, self.step_ups
        )

    async def __aenter__(self) -> "Payments":
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._writing.close()
        await self._reading.close()
