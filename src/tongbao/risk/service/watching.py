"""Watching the model in force: what its scores look like today against the day it was made, and back to the one before.

Scores move before any label comes, so they alarm first; the share of payments that are not let pass and, with labels, the
calibration follow. Where an alarm says so and the policy before this one had another model that is not alarmed itself, that
one is rolled out again, by name and with the reason in the audit trail. What cannot be mended by going back is told.

Two more things are looked at and only ever told: single features that moved from what the model learned on, and the squared
errors of scores (ADWIN), each payment's by what was known of it when its label was due, so that late labels do not make the
past look worse than the present. A look is kept, so every process tells the same; an alarm that stands is told once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.core.ids import first_uuid_at
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.policies import Action, PolicyVersion
from tongbao.decisions.service.policies import Policies
from tongbao.risk.models import drift
from tongbao.risk.models.adwin import Adwin
from tongbao.risk.models.drift import Drift
from tongbao.risk.models.registry import LABEL_DELAY_S
from tongbao.risk.policy import alarm_log, alarms
from tongbao.risk.schema.models import (
    Alarm,
    AlertCounts,
    CalibrationFit,
    Change,
    DriftFacts,
    Shift,
    Standing,
)
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.schema.watches import Watch
from tongbao.risk.service import feature_drift
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.feature_drift import Span
from tongbao.risk.service.retraining import Card, card_of
from tongbao.risk.service.shelf import Shelf
from tongbao.risk.store import events, watches
from tongbao.risk.store.events import Judged

WINDOW = timedelta(days=1)
MATURED = timedelta(days=28)
"""How far back labels are looked for, beyond the time that they take to come."""
PAYMENTS_MAX = 200_000
PAGE_MAX = 5_000
ACTOR = "drift watch"

_log = structlog.get_logger(__name__)


class Watching:
    """Watches for one house."""

    def __init__(self, database: Database, clock: Clock, policies: Policies, shelf: Shelf) -> None:
        self._database = database
        self._clock = clock
        self._policies = policies
        self._shelf = shelf

    async def kept(self, digest: str, *, live: bool = True) -> Watch | None:
        """Return the latest look at a model by any process; None where nobody has looked."""
        async with self._database.connection() as connection:
            return await watches.one(connection, digest, live)

    async def look(self, *, live: bool = True) -> Watch | None:
        """Look at the model in force, and roll back where an alarm says so; None where no trained model decides.

        What was seen is kept in the place of the look before it.
        """
        rollout = await self._policies.current(POLICY)
        if rollout is None:
            return None
        standing_version = await self._policies.version(POLICY, rollout.champion)
        digest = standing_version.spec.get("model", "")
        if not digest:
            return None
        card = card_of((await self._shelf.row(digest)).card)
        facts = await self._facts(digest, card, rollout.started_at, live)
        found = tuple(alarms.alarms(facts))
        before = await self._before(standing_version) if alarms.must_roll_back(found) else None
        standing = alarms.standing(found, [] if before is not None else None)
        back = None
        if standing is Standing.ROLL_BACK and before is not None:
            back = await self._rolled_back(before, found)
        return await self._keep(live, card, (facts, found), (standing, back))

    async def _keep(
        self,
        live: bool,
        card: Card,
        seen: tuple[DriftFacts, tuple[Alarm, ...]],
        came: tuple[Standing, int | None],
    ) -> Watch:
        """Keep a look with its alarms over time, and tell those that are news."""
        facts, found = seen
        async with self._database.transaction() as connection:
            before = await watches.one(connection, facts.model, live)
            alarmed, past = ((), ()) if before is None else (before.alarms, before.past)
            told = alarm_log.followed(alarmed, past, found, facts.at)
            watch = Watch(
                facts=facts,
                alarms=told.standing,
                past=told.past,
                standing=came[0],
                feature_count=0 if card.features is None else len(card.features.names),
                rolled_back_to=came[1],
            )
            await watches.save(connection, live, watch)
        for alarm in told.news:
            _log.warning("risk_model_alarm", kind=alarm.kind.value, said=alarms.alarm_text(alarm, "en"))
        return watch

    async def _facts(self, digest: str, card: Card, since: datetime, live: bool) -> DriftFacts:
        """Return what payments since the roll-out tell of its model: scores and features of a day, matured labels."""
        now = self._clock.now()
        today = await self._judged(max(since, now - WINDOW), now, live)
        scores = np.array([each.score for each in today if each.score is not None], dtype=np.float64)
        seen = Drift(card.reference, buckets=1)
        if scores.size:
            seen.add(0, scores[:, None])
        due = now - timedelta(seconds=LABEL_DELAY_S)
        matured = await self._judged(max(since, due - MATURED), due, live)
        return DriftFacts(
            model=digest,
            at=now,
            score=seen.shifts()[0] if scores.size else None,
            features=await self._features(card, Span(max(since, now - WINDOW), now, live)),
            alerts=await self._alerts(today, since, live),
            calibration=_calibration(matured),
            changes=error_changes(matured),
        )

    async def _features(self, card: Card, of: Span) -> tuple[Shift, ...]:
        """Return how far the features that the model leans on moved; nothing for a model kept without what they were."""
        if card.features is None:
            return ()
        return await feature_drift.shifts(self._database, card.features, of)

    async def _alerts(self, today: Sequence[Judged], since: datetime, live: bool) -> AlertCounts | None:
        """Return how many payments are not let pass, today and in the week before the roll-out."""
        earlier = await self._judged(since - timedelta(days=7), since, live)
        if not today or not earlier:
            return None
        return AlertCounts(
            alerts=_stopped(today),
            payments=len(today),
            alerts_before=_stopped(earlier),
            payments_before=len(earlier),
        )

    async def _judged(self, from_at: datetime, to_at: datetime, live: bool) -> list[Judged]:
        """Return the payments of a time, the oldest ``PAYMENTS_MAX`` of them."""
        found: list[Judged] = []
        after = first_uuid_at(from_at)
        while from_at < to_at and len(found) < PAYMENTS_MAX:
            async with self._database.connection() as connection:
                page = await events.page(connection, (after, to_at), live, None, PAGE_MAX)
            found += page
            if len(page) < PAGE_MAX:
                break
            after = page[-1].id
        return found

    async def _before(self, standing: PolicyVersion) -> PolicyVersion | None:
        """Return the version that decided last with another model; None where there was none."""
        changes = await self._policies.changes(POLICY)
        put = [each.version for each in changes if each.action in (Action.ROLLED_OUT, Action.PROMOTED)]
        for number in reversed(put):
            if number is None or number == standing.version:
                continue
            version = await self._policies.version(POLICY, number)
            if version.spec.get("model", "") != standing.spec.get("model", ""):
                return version
        return None

    async def _rolled_back(self, before: PolicyVersion, found: Sequence[Alarm]) -> int | None:
        """Let the version before decide again; what forbids it is logged, and people have the word."""
        worst = next(each for each in found if alarms.must_roll_back([each]))
        note = f"rolled back: {alarms.alarm_text(worst, 'en')}"[:400]
        try:
            await self._policies.roll_out(POLICY, RolloutOrder(champion=before.version, note=note), ACTOR)
        except AppError as error:
            _log.error("risk_not_rolled_back", version=before.version, code=error.code, detail=error.detail)
            return None
        _log.warning("risk_rolled_back", version=before.version, said=note)
        return before.version


def _stopped(judged: Sequence[Judged]) -> int:
    return sum(each.tier != Tier.FRICTIONLESS for each in judged)


def _calibration(matured: Sequence[Judged]) -> CalibrationFit | None:
    """Return how scores and labels agree among payments that went on: of those that were stopped nobody knows."""
    known = _known(matured)
    if not known:
        return None
    scores = np.array([each.score for each in known], dtype=np.float64)
    return drift.calibration_fit(scores, np.array([bool(each.is_fraud) for each in known]))


def error_changes(matured: Sequence[Judged]) -> tuple[Change, ...]:
    """Return the newest change of the mean of squared errors where it grew: the model is wrong more often than before."""
    watch = Adwin(alarms.ERRORS)
    errors = [(each.score - was) ** 2 for each, was in _as_due(matured) if each.score is not None]
    found = watch.add_many(np.array(errors, dtype=np.float64))
    return tuple(each for each in found[-1:] if each.after > each.before)


def _as_due(matured: Sequence[Judged]) -> list[tuple[Judged, bool]]:
    """Return payments with what was known of each when its label was due: what came later says nothing yet."""
    due = timedelta(seconds=LABEL_DELAY_S)
    return [
        (each, bool(each.is_fraud) and each.labelled_at is not None and each.labelled_at <= each.at + due)
        for each in _known(matured)
    ]


def _known(matured: Sequence[Judged]) -> list[Judged]:
    """Return the payments whose truth can be known: those that were scored and went on."""
    return [each for each in matured if each.score is not None and each.tier != Tier.DECLINE]
