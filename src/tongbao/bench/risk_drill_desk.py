"""The desk of the risk drill: what people of the house do, through the services that the command line uses too.

Policies are drafted, published and rolled out, customers marked and frozen, cases closed. One version names a model that
passes every check of the shelf and yet has no score for any payment: two of its curves are infinite and cancel out to
nothing that is a number. So scoring fails as a defective model makes it fail, without a switch in the product.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import NotPermitted, Unavailable
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.models import artifact, calibration
from tongbao.risk.models.artifact import Kind, Model
from tongbao.risk.models.logistic import Additive, Curve
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.schema.cases import CaseScope, Disposal, Disposition
from tongbao.risk.schema.freezes import Freeze, FreezeOrder
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListEffect, ListKey, ListKind, NewEntry
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import compiling
from tongbao.risk.service.case_reading import CaseReading, Wanted
from tongbao.risk.service.cases import Cases, Closed, Hand
from tongbao.risk.service.freezing import Freezing
from tongbao.risk.service.lists import Lists
from tongbao.risk.service.shelf import Shelf

ANALYST, SECOND = "analyst Wei", "analyst Ada"
SUSPECTS = ListKey(HOUSE_BOOK_ID, False, "suspects")
SEEN_S = 3.0
"""So long after an act every process of the house knows of it: they look every two seconds."""
CASE_S_MAX = 15.0
POLL_S = 0.2
_HUGE = 1e300


class Desk:
    """Everything that operators do in the drill."""

    def __init__(self, database: Database) -> None:
        clock = RealClock()
        ids = IdFactory(clock)
        self._policies = Decisions(
            database, clock, ids, {compiling.POLICY: compiling.checker_over(database)}
        ).policies
        self._lists = Lists(database, clock, ids)
        self._freezing = Freezing(database, clock, ids)
        self._shelf = Shelf(database, clock)
        self._cases = Cases(database, clock, ids)
        self._reading = CaseReading(database, clock)

    async def declare_suspects(self) -> None:
        """Declare the list that the starter rules ask for."""
        await self._lists.declare(SUSPECTS, ListEffect.MARK, "whom we want to look at", ANALYST)

    async def suspect(self, customers: Sequence[str]) -> None:
        """Mark customers, by the key that risk control knows them by."""
        entries = [
            NewEntry(kind=ListKind.CUSTOMER, value=each, reason="told by the bank") for each in customers
        ]
        await self._lists.add(SUSPECTS, entries, ANALYST)

    async def roll_out(self, note: str, policy: str = compiling.POLICY, **spec: Any) -> int:
        """Draft, publish and roll out the first version of a policy: the starter rules, with further settings.

        A later version would have to be replayed on the log first, which is what keeps defective models away; so a merchant
        that never had a policy of its own is given one.
        """
        whole = {"rules": STARTER_RULES, **spec}
        version = (await self._policies.draft(policy, whole, note, ANALYST)).version
        await self._policies.publish(policy, version, ANALYST)
        await self._policies.roll_out(policy, RolloutOrder(champion=version, note=note), ANALYST)
        return version

    async def keep_defective_model(self) -> str:
        """Put the model that has no score for anybody on the shelf; return its digest."""
        return await self._shelf.keep(defective_model(), ANALYST, {})

    async def freeze(self, entity: Entity, key: str) -> Freeze:
        """Freeze somebody."""
        order = FreezeOrder(live=False, entity=entity, key=key, reason="account taken over")
        return await self._freezing.freeze(order, ANALYST)

    async def release(self, freeze: Freeze) -> bool:
        """Release a freeze by two people; return whether one person alone was refused before."""
        await self._freezing.request_release(freeze.id, ANALYST, "the owner called")
        is_refused = False
        try:
            await self._freezing.approve_release(freeze.id, ANALYST)
        except NotPermitted:
            is_refused = True
        await self._freezing.approve_release(freeze.id, SECOND)
        return is_refused

    async def close_case(self, payment: UUID, disposition: Disposition) -> Closed:
        """Take the case that holds a payment, and close it; raise Unavailable where none was opened in time."""
        case_id = await self._case_of(payment)
        case = await self._reading.one(case_id)
        taken = await self._cases.assign(Hand(case_id, ANALYST, case.version), ANALYST)
        disposal = Disposal(disposition=disposition, note="looked at the evidence")
        return await self._cases.close(Hand(case_id, ANALYST, taken.version), disposal)

    async def case_count(self) -> int:
        """Return how many cases there are."""
        return len(await self._reading.page(Wanted(CaseScope(False))))

    async def _case_of(self, payment: UUID) -> UUID:
        for _ in range(round(CASE_S_MAX / POLL_S)):
            for case in await self._reading.page(Wanted(CaseScope(False))):
                held = [each for each in await self._reading.payments(case.id) if each.is_held]
                if payment in {each.subject_id for each in held}:
                    return case.id
            await asyncio.sleep(POLL_S)
        raise Unavailable("drill_case_missing", f"no case was opened for {payment}")


def broken_spec(model: str, fallback: Tier) -> dict[str, Any]:
    """Return the settings of a policy whose scoring fails, with the tier that is taken then."""
    return {"model": model, "fallback": fallback.value}


def defective_model() -> Model:
    """Return a model that is well formed and gives no number for any payment; see the module."""
    up = Curve(slope=_HUGE, low=_HUGE, high=_HUGE)
    down = msgspec.structs.replace(up, slope=-_HUGE)
    return Model(
        kind=Kind.LOGISTIC,
        names=("value", "hour"),
        additive=Additive(0.0, (up, down)),
        calibration=calibration.by_logistic(),
        training=artifact.Training(settings={"source": "drill"}),
    )
