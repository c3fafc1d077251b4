"""Guarding: looks at every challenger with guardrails, and gives its traffic back where one is breached.

Looking often costs no certainty (``policy/guardrails``), and looking twice does nothing twice: the return names the
epoch that was read, and an epoch is returned once. Another epoch begins another stream of evidence.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, OutcomeUnknown, Unavailable
from tongbao.decisions.policy.guardrails import GuardrailState, Reading, Totals, judge
from tongbao.decisions.policy.rollout import CHALLENGER, CHAMPION
from tongbao.decisions.schema.policies import Guardrail, Rollout, choice_of
from tongbao.decisions.service.policies import Policies
from tongbao.decisions.store import arms as store

ACTOR = "guardrail"
WINDOW_DAYS_MAX = 90
SLICE = timedelta(hours=6)
"""What one statement reads: a window of any length stays below the time-out of statements, at most 361 of them."""

_log = structlog.get_logger(__name__)


class ArmStatistics(Protocol):
    """Where the outcomes of a roll-out's arms are read."""

    async def statistics(self, rollout: Rollout, outcome: str) -> Mapping[str, Totals]:
        """Return by arm the standing values of ``outcome``, of decisions by the roll-out since it began.

        ``chosen=NAME`` stands for 1 where an arm chose that and 0 where not, in every decision.
        """
        ...


class LoggedArms:
    """Reads them from the decision log: ``live`` decisions, or those of test mode.

    At most the last ``WINDOW_DAYS_MAX`` days of an epoch are read. A challenger tried for longer is still guarded,
    by evidence that forgets, which the promise of the confidence sequence does not cover any more.
    """

    def __init__(self, database: Database, clock: Clock, *, live: bool = True) -> None:
        self._database = database
        self._clock = clock
        self._live = live

    async def statistics(self, rollout: Rollout, outcome: str) -> Mapping[str, Totals]:
        """Return by arm the standing values of ``outcome`` until now, across all books."""
        choice = choice_of(outcome)
        # What was decided in this very moment is in.
        end = self._clock.now() + timedelta(microseconds=1)
        start = max(rollout.started_at, end - timedelta(days=WINDOW_DAYS_MAX))
        totals: dict[str, Totals] = {}
        while start < end:
            window = (start, min(start + SLICE, end))
            async with self._database.connection() as connection:
                if choice is None:
                    read = await store.statistics(connection, rollout, outcome, window, live=self._live)
                else:
                    read = await store.choices(connection, rollout, choice, window, live=self._live)
            for arm, values in read.items():
                totals[arm] = totals.get(arm, Totals()) + Totals(*values)
            start += SLICE
        return totals


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at a policy found, by outcome, and whether this look returned it to control."""

    policy: str
    epoch: int
    at: datetime
    readings: dict[str, Reading]
    is_returned: bool


class Guarding:
    """Looks after all policies. Any number of processes may look; each epoch is returned once."""

    def __init__(self, policies: Policies, log_reader: ArmStatistics, clock: Clock) -> None:
        self._policies = policies
        self._log_reader = log_reader
        self._clock = clock

    async def look(self) -> tuple[Guarded, ...]:
        """Look at every challenger once; return what was found and done, by name of the policy.

        Opens a transaction for each return, as ``Policies.return_to_control`` does. A policy whose log cannot be read
        now is left out and does not keep the others from being looked at. Raises Unavailable where none can be.
        """
        found = [await self._try_guard(rollout) for rollout in await self._policies.watched()]
        return tuple(each for each in found if each is not None)

    async def _try_guard(self, rollout: Rollout) -> Guarded | None:
        try:
            return await self._guard(rollout)
        except (Unavailable, OutcomeUnknown) as error:
            _log.warning("guardrail_not_read", policy=rollout.policy, epoch=rollout.epoch, code=error.code)
            return None

    async def _guard(self, rollout: Rollout) -> Guarded:
        readings = {}
        for guardrail in rollout.guardrails:
            totals = await self._log_reader.statistics(rollout, guardrail.outcome)
            champion, challenger = totals.get(CHAMPION, Totals()), totals.get(CHALLENGER, Totals())
            readings[guardrail.outcome] = judge(guardrail, champion, challenger, len(rollout.guardrails))
        breached = [
            each for each in rollout.guardrails if readings[each.outcome].state is GuardrailState.BREACHED
        ]
        is_returned = bool(breached) and await self._returned(
            rollout, _reason(breached[0], readings[breached[0].outcome])
        )
        return Guarded(
            policy=rollout.policy,
            epoch=rollout.epoch,
            at=self._clock.now(),
            readings=readings,
            is_returned=is_returned,
        )

    async def _returned(self, rollout: Rollout, reason: str) -> bool:
        """Return the policy to control; False where somebody else changed it since it was read."""
        try:
            await self._policies.return_to_control(rollout.policy, reason, ACTOR, epoch=rollout.epoch)
        except Conflict:
            return False
        _log.warning("guardrail_breached", policy=rollout.policy, epoch=rollout.epoch, reason=reason)
        return True


def _reason(guardrail: Guardrail, reading: Reading) -> str:
    return (
        f"{guardrail.outcome} is worse by {reading.harm:.4g} ({reading.low:.4g} to {reading.high:.4g}), allowed are "
        f"{guardrail.worse_by:.4g}; {reading.challenger_count} decisions of the challenger, "
        f"{reading.champion_count} of the champion"
    )
