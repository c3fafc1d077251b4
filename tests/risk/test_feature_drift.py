"""Drift of single features and of errors: told where payments changed, silent where they did not, never by late labels."""

import random
from datetime import datetime, timedelta

import numpy as np
import pytest
from tests.risk.test_retraining import Year

from tongbao.core.db import Database
from tongbao.core.ids import first_uuid_at
from tongbao.risk.models import drift
from tongbao.risk.models.artifact import by_judgement
from tongbao.risk.models.registry import LABEL_DELAY_S, NAMES
from tongbao.risk.policy import model_weights
from tongbao.risk.policy.alarms import alarm_text, alarms, must_roll_back
from tongbao.risk.schema.models import AlarmKind, DriftFacts, Shift, Standing
from tongbao.risk.schema.watches import KeptAlarm, Watch
from tongbao.risk.service import feature_drift
from tongbao.risk.service.examples import gather
from tongbao.risk.service.feature_drift import Span
from tongbao.risk.service.watching import error_changes
from tongbao.risk.store import watches
from tongbao.risk.store.events import Judged

DUE = timedelta(seconds=LABEL_DELAY_S)
WATCHED = ("value", "device_trust", "sign_emulator")
TEXT = """tree
Tree=0
num_leaves=3
split_feature=1 0
split_gain=30 10
Tree=1
num_leaves=2
split_feature=1
split_gain=60
"""


@pytest.fixture(scope="module")
async def year(database: Database) -> Year:
    made = Year(database)
    await made.live_through(900, 12)
    return made


@pytest.fixture(scope="module")
async def reference(year: Year) -> drift.Reference:
    gathered = await gather(year.database, year.clock, 12, live=False)
    places = [NAMES.index(name) for name in WATCHED]
    return drift.measured(WATCHED, gathered.x[:, places])


async def test_features_that_did_not_change_do_not_move(year: Year, reference: drift.Reference) -> None:
    now = year.clock.now()
    found = await feature_drift.shifts(year.database, reference, Span(now - timedelta(days=12), now, False))
    assert [each.name for each in found] == list(WATCHED)
    assert {each.count for each in found} == {899}  # the last is of this very moment
    assert [each.name for each in found if each.psi > max(each.noise, 0.1)] == []
    assert (
        await feature_drift.shifts(year.database, reference, Span(now - timedelta(days=1), now, True)) == ()
    )
    assert await feature_drift.shifts(year.database, reference, Span(now, now, False)) == ()


async def test_feature_that_changed_is_named_in_words_and_rolls_nothing_back(
    year: Year, reference: drift.Reference
) -> None:
    counts = list(reference.counts)
    counts[0] = (*([0] * (len(counts[0]) - 2)), 700, 0)  # all amounts were once above the greatest edge
    other = drift.Reference(names=reference.names, edges=reference.edges, counts=tuple(counts))
    now = year.clock.now()
    moved = await feature_drift.shifts(year.database, other, Span(now - timedelta(days=12), now, False))
    found = alarms(DriftFacts(model="m", at=now, features=moved))
    assert [(each.kind, each.subject) for each in found] == [(AlarmKind.FEATURE_DRIFT, "value")]
    assert not must_roll_back(found)
    assert '"amount" changed' in alarm_text(found[0], "en")
    assert "金额" in alarm_text(found[0], "zh")


async def test_feature_that_is_no_longer_computed_is_left_out(year: Year, reference: drift.Reference) -> None:
    strange = drift.Reference(
        names=("gone", *reference.names[1:]), edges=reference.edges, counts=reference.counts
    )
    now = year.clock.now()
    found = await feature_drift.shifts(year.database, strange, Span(now - timedelta(days=12), now, False))
    assert [each.name for each in found] == list(WATCHED[1:])


def test_features_that_a_model_leans_on_are_read_from_its_trees() -> None:
    found = model_weights.importances(("value", "device_trust", "card_count_1h"), TEXT)
    assert [(each.name, each.share) for each in found] == [("device_trust", 0.9), ("value", 0.1)]
    assert model_weights.importances(("value",), "") == ()
    assert feature_drift.reference_of(by_judgement(NAMES), np.zeros((200, len(NAMES)))) is None


async def test_look_is_kept_for_every_process_and_replaced_by_the_next(year: Year) -> None:
    now = year.clock.now()
    (alarm,) = alarms(
        DriftFacts(model="m1", at=now, score=Shift(name="score", psi=0.5, noise=0.01, count=900))
    )
    kept = KeptAlarm(alarm=alarm, since=now, last_at=now, worst=alarm.severity)
    for standing in (Standing.KEEP, Standing.RETRAIN):
        watch = Watch(
            facts=DriftFacts(model="m1", at=now), alarms=(kept,), past=(), standing=standing, feature_count=3
        )
        async with year.database.transaction() as connection:
            await watches.save(connection, False, watch)
        assert await year.watching.kept("m1", live=False) == watch
    assert await year.watching.kept("m1", live=True) is None


def stream(year: Year, wrong: list[bool], *, late: bool = False) -> list[Judged]:
    """Payments that scored 0.05 an hour apart; where ``wrong`` is true they were fraud, known in time or late."""
    begun: datetime = year.clock.now() - timedelta(days=60)
    found = []
    for number, is_fraud in enumerate(wrong):
        at = begun + timedelta(minutes=number)
        signals = year.signals(at=at)
        known = at + (DUE * 3 if late else DUE / 2)
        found.append(
            Judged(
                *(signals.book_id, first_uuid_at(at), at, False, signals.subject_id, None, 1_000, "EUR"),
                *("frictionless", 0.05, (), (), signals, True, "", None),
                *((True, "dispute", known) if is_fraud else (None, "", None)),
            )
        )
    return found


def test_errors_that_grew_are_told_once_with_the_newest_change(year: Year) -> None:
    rng = random.Random(5)
    calm = [rng.random() < 0.03 for _ in range(1_500)]
    bad = [rng.random() < 0.25 for _ in range(800)]
    assert error_changes(stream(year, calm)) == ()
    (change,) = error_changes(stream(year, calm + bad))
    assert change.after > 2 * change.before
    (alarm,) = alarms(DriftFacts(model="m", at=year.clock.now(), changes=(change,)))
    assert alarm.kind is AlarmKind.MEAN_CHANGED
    assert not must_roll_back([alarm])
    assert "errors of scores" in alarm_text(alarm, "en")
    assert "评分误差" in alarm_text(alarm, "zh")


def test_errors_that_shrank_and_labels_that_came_late_are_no_alarm(year: Year) -> None:
    rng = random.Random(6)
    calm = [rng.random() < 0.03 for _ in range(1_500)]
    bad = [rng.random() < 0.25 for _ in range(800)]
    assert error_changes(stream(year, bad + calm)) == ()
    assert error_changes(stream(year, calm) + stream(year, bad, late=True)) == ()
    declined = [each._replace(tier="decline") for each in stream(year, bad)]
    assert error_changes(stream(year, calm) + declined) == ()
