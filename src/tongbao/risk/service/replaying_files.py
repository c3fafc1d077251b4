"""A file of payments through the real module, in the order of time: what it would have decided, and what it learned on the way.

Each payment is judged by the assessor with a memory that holds what was known then: the payments before it, and of their labels
those that had become known. Once a week the module trains itself from the labels that it has at that moment, and judges
by the new model from then on; until the first one it judges by the built-in scorecard. Nothing that comes later in the
file, and no label that becomes known later, moves a score: the first reading of the file checks every line and
counts, and nothing of what it finds but the places of labels is used.

Training takes the payments of the last ``history`` that are at least ``maturity`` old: what is not known to be fraud by then
counts as good, as it does in production. Equal files and options give equal bytes.
"""

import random
from array import array
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tongbao.core.clock import FrozenClock
from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.risk.models import drift, training
from tongbao.risk.models.artifact import ModelScorer
from tongbao.risk.models.memory import Memory
from tongbao.risk.models.registry import LABEL_DELAY_S, NAMES
from tongbao.risk.models.training import Examples, Options
from tongbao.risk.schema.facts import Labelled, LabelSource
from tongbao.risk.schema.tiers import TIERS
from tongbao.risk.service import label_files, scored_files
from tongbao.risk.service.assessor import Asked, Looked
from tongbao.risk.service.event_files import (
    DEFAULT_CURRENCY,
    EPOCH,
    Event,
    EventRows,
    Mapped,
    key_hash,
    row_id,
)
from tongbao.risk.service.kept_examples import KeptExamples
from tongbao.risk.service.label_files import MS, UNKNOWN, Labels, Seen
from tongbao.risk.service.replay_report import ModelLine, Report, Told, report
from tongbao.risk.service.scored_files import Scored, Writer
from tongbao.risk.service.standing_alone import Alone, alone
from tongbao.risk.service.table_files import bad

ROWS_MAX = 20_000_000
TELL_ROWS = 512
"""Progress is told after so many payments."""
WEEK = timedelta(days=7)
REFERENCE_ROWS = 50_000
"""The last examples of a training whose scores later ones are held against."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is replayed and how.

    ``columns`` and ``label_columns`` name columns by field. ``labels``: a file; None takes a column of the payments, where there
    is one. ``label_delay``: when a label without an instant becomes known. ``retrain_every`` of zero: never. ``policy``:
    a ``RiskSpec`` as plain values. Raises InvalidRequest ``replay_plan_invalid``.
    """

    events: Path
    out: Path
    labels: Path | None = None
    columns: Mapping[str, str] = {}
    label_columns: Mapping[str, str] = {}
    currency: str = DEFAULT_CURRENCY
    label_delay: timedelta = timedelta(seconds=LABEL_DELAY_S)
    maturity: timedelta = timedelta(seconds=LABEL_DELAY_S)
    history: timedelta = timedelta(days=28)
    retrain_every: timedelta = WEEK
    policy: Mapping[str, Any] = {}
    seed: int = 1

    def __post_init__(self) -> None:
        none = timedelta(0)
        if min(self.label_delay, self.maturity, self.retrain_every) < none or self.history <= none:
            raise InvalidRequest(
                "replay_plan_invalid", "delays and periods are not negative, and history is not empty"
            )
        if none < self.retrain_every < timedelta(hours=1):
            raise InvalidRequest("replay_plan_invalid", "training takes place once an hour at the most")
        for path in (self.events, self.labels):
            if path is not None and not path.is_file():
                raise InvalidRequest("replay_plan_invalid", f"there is no file {path}")
        if self.out.resolve() in {self.events.resolve(), self.labels.resolve() if self.labels else None}:
            raise InvalidRequest("replay_plan_invalid", "the answer would overwrite what it is made of")


class Progress(NamedTuple):
    """How far a replay is: what it does, payments done, and of how many (0: not known yet)."""

    doing: str
    done: int
    total: int


Tell = Callable[[Progress], None]


def replay(plan: Plan, tell: Tell) -> Report:
    """Replay a file and write what was decided to ``plan.out``; progress is told by the way.

    Raises InvalidRequest ``table_file_invalid`` with the line for what is no payment or label, ``out_invalid``,
    LimitExceeded ``replay_too_long``, NotFound ``parquet_missing``, and as ``compiling.compile_spec`` for a policy. Then nothing is
    written.
    """
    rows = EventRows(plan.events, plan.columns, plan.currency)
    mapped = rows.columns()
    seen = _first_reading(plan, rows, tell)
    labels = _labels(plan, mapped, seen)
    run = _Run(plan, seen, labels)
    with scored_files.writing(plan.out) as writer:
        for number, event in enumerate(rows.read()):
            run.judge(number, event, writer)
            if number % TELL_ROWS == 0:
                tell(Progress(run.doing, number, len(seen.at_ms)))
    tell(Progress(run.doing, len(seen.at_ms), len(seen.at_ms)))
    return report(run.told(), mapped.unused)


def _first_reading(plan: Plan, rows: EventRows, tell: Tell) -> Seen:
    """Read the file once, so that whatever is wrong with it is said before anything is done."""
    keys, at_ms, frauds = bytearray(), array("q"), array("b")
    for number, event in enumerate(rows.read()):
        if number >= ROWS_MAX:
            raise LimitExceeded(
                "replay_too_long", f"a file of more than {ROWS_MAX:,} payments is replayed in parts"
            )
        keys += key_hash(event.key)
        at_ms.append((event.signals.at - EPOCH) // MS)
        frauds.append(UNKNOWN if event.is_fraud is None else int(event.is_fraud))
        if number % TELL_ROWS == 0:
            tell(Progress("checking", number, 0))
    if not at_ms:
        raise bad(plan.events.name, "the file holds no payments")
    seen = Seen(np.array(at_ms, np.int64), np.frombuffer(bytes(keys), dtype="V16"), np.array(frauds, np.int8))
    again = label_files.twice(seen.keys)
    if again is not None:
        event = next(each for number, each in enumerate(rows.read()) if number == again)
        raise bad(plan.events.name, f'the id "{event.key[:60]}" was there before', event.number)
    return seen


def _labels(plan: Plan, mapped: Mapped, seen: Seen) -> Labels:
    if plan.labels is None:
        return label_files.of_column(seen, plan.label_delay)
    return label_files.of_file(plan.labels, plan.label_columns, seen, plan.label_delay, mapped)


class _Run:
    """One replay under way."""

    def __init__(self, plan: Plan, seen: Seen, labels: Labels) -> None:
        self._plan = plan
        self._seen = seen
        self._labels = labels
        self._memory = Memory()
        self._clock = FrozenClock(_at(int(seen.at_ms[0])))
        chance = random.Random(plan.seed)  # noqa: S311 - equal runs are equal
        self._alone: Alone = alone(self._memory, self._clock, plan.policy, chance=chance)
        self._kept = KeptExamples(len(NAMES))
        self._next_label = 0
        self._known = np.zeros(len(seen.at_ms), np.bool_)
        self._due_ms = int(seen.at_ms[0]) + plan.retrain_every // MS
        self._model = ""
        self._lines: list[ModelLine] = []
        self._references: list[drift.Reference] = []
        self._scores = np.empty(len(seen.at_ms))
        self._tiers = np.empty(len(seen.at_ms), np.int8)
        self._skipped: list[tuple[datetime, str]] = []
        self.doing = "judging"

    def judge(self, row: int, event: Event, writer: Writer) -> None:
        """Let everything become known that is known by then, judge a payment, write what was decided, and remember it."""
        now_ms = int(self._seen.at_ms[row])
        while self._plan.retrain_every and self._due_ms <= now_ms:
            self._hear(self._due_ms)
            self._retrain(row)
            self._due_ms = self._next_due(now_ms)
        self._hear(now_ms)
        self._clock.set(event.signals.at)
        features = self._memory.of(event.signals.live).state.features(event.signals)
        looked = self._alone.assessor.assess(Asked(signals=event.signals))
        self._memory.learn(looked.fact)
        if self._plan.retrain_every:
            self._kept.add(features)
        self._note(row, looked)
        writer.write(_scored(event, looked, self._model))

    def _next_due(self, now_ms: int) -> int:
        """Return when to train next; after a long silence training once is enough."""
        step = self._plan.retrain_every // MS
        behind = max(now_ms - self._due_ms, 0) // step
        return self._due_ms + (step * behind or step)

    def _hear(self, until_ms: int) -> None:
        """Learn the labels that are known by an instant, in the order in which they became known."""
        row, known_ms, is_fraud, _ = self._labels
        while self._next_label < len(row) and known_ms[self._next_label] <= until_ms:
            place = self._next_label
            self._next_label += 1
            about = int(row[place])
            # A payment counts as good until something else is said, so only news are told.
            if bool(is_fraud[place]) == bool(self._known[about]):
                continue
            self._known[about] = is_fraud[place]
            self._memory.learn(_label(about, _at(int(known_ms[place])), is_fraud=bool(is_fraud[place])))

    def _retrain(self, end: int) -> None:
        """Train on the payments before row ``end`` that are old enough, by what is known of them now."""
        plan, at_ms = self._plan, self._seen.at_ms
        mature_ms = self._due_ms - plan.maturity // MS
        first = int(np.searchsorted(at_ms, mature_ms - plan.history // MS, side="right"))
        last = min(int(np.searchsorted(at_ms, mature_ms, side="right")), end)
        self._kept.forget_before(first)
        first = max(first, self._kept.first)
        self.doing = "training"
        try:
            if last - first < training.ROWS_MIN:
                raise InvalidRequest("too_few_labels", f"{max(last - first, 0)} payments are old enough")
            x, places = self._kept.rows(first, last)
            names = tuple(NAMES[place] for place in places)
            examples = Examples(x, self._known[first:last].copy(), at_ms[first:last] / 1000, names)
            model = training.fit(examples, Options(seed=plan.seed))
        except InvalidRequest as error:
            self._skipped.append((_at(self._due_ms), error.detail))
        else:
            self._model = self._alone.use(model)
            last_scores = ModelScorer(model, names).score(x[-REFERENCE_ROWS:])
            self._references.append(drift.measured(("score",), last_scores[:, None]))
            self._lines.append(
                ModelLine(
                    digest=self._model,
                    trained_at=_at(self._due_ms),
                    rows=model.training.rows,
                    frauds=model.training.frauds,
                    from_at=_at(int(at_ms[first])),
                    to_at=_at(int(at_ms[last - 1])),
                    first_row=end,
                    metrics=model.metrics,
                )
            )
        self.doing = "judging"

    def _note(self, row: int, looked: Looked) -> None:
        self._scores[row] = looked.fact.score if looked.fact.score is not None else np.nan
        self._tiers[row] = TIERS.index(looked.tier)

    def told(self) -> Told:
        """Return everything that the report is made of."""
        return Told(
            at_ms=self._seen.at_ms,
            scores=self._scores,
            tiers=self._tiers,
            labels=self._labels,
            models=tuple(self._lines),
            references=tuple(self._references),
            skipped=tuple(self._skipped),
            has_all_labels=self._plan.labels is None,
            maturity_ms=self._plan.maturity // MS,
            counts=self._memory.of(True).state.counts(),
        )


def _scored(event: Event, looked: Looked, model: str) -> Scored:
    fact = looked.fact
    score = fact.score if fact.score is not None else float("nan")
    return Scored(event.key, event.signals.at, score, fact.tier.value, fact.reasons, fact.rules, model)


def _label(row: int, at: datetime, *, is_fraud: bool) -> Labelled:
    """Return the fact that the payment of a row turned out to be fraud, or not."""
    return Labelled(
        occurred_at=at,
        signals_id=row_id(row),
        book_id=1,
        live=True,
        subject_id=row_id(row),
        is_fraud=is_fraud,
        source=LabelSource.FILE,
    )


def _at(ms: int) -> datetime:
    return EPOCH + ms * MS
