"""What a replay says at its end: how well scores told fraud, what was done with payments, what was learned and what was odd.

Truth is what the labels say in the end, of the payments that were old enough for it by then; scores are judged by it and were
made without it. Alarms hold the scores of a model against those that it gave to the last payments that it was trained on, and
what it lets pass unseen against what the model before it did.
"""

from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from tongbao.risk.models import drift
from tongbao.risk.models.base import Floats
from tongbao.risk.policy import alarms
from tongbao.risk.schema.models import AlertCounts, DriftFacts
from tongbao.risk.schema.tiers import TIERS
from tongbao.risk.service.label_files import Ints, Labels

REPORT_FRAUDS_MIN = 5
"""Below so few frauds nothing is said of precision."""
ALARMS_MAX = 50
SKIPPED_MAX = 20


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was trained on the way: when, on what, and which payment it judged first.

    ``metrics`` are those of its training, on the later part of its examples.
    """

    digest: str
    trained_at: datetime
    rows: int
    frauds: int
    from_at: datetime
    to_at: datetime
    first_row: int
    metrics: dict[str, float] = {}


class Told(NamedTuple):
    """What a replay knows at its end; arrays (n,) by payment.

    ``references``: what the scores of each model looked like in training. ``has_all_labels``: every payment has its truth in the file, so what has no label is not known; else it counts as good.
    """

    at_ms: Ints
    scores: Floats
    tiers: NDArray[np.int8]
    labels: Labels
    models: tuple[ModelLine, ...]
    references: tuple[drift.Reference, ...]
    skipped: tuple[tuple[datetime, str], ...]
    has_all_labels: bool
    maturity_ms: int
    counts: dict[str, int]


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """How well scores tell fraud: average precision and AUC, of so many payments with so many frauds."""

    ap: float
    auc: float
    payments: int
    frauds: int


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The payments that one model judged; ``model`` is None for the scorecard before the first."""

    model: ModelLine | None
    payments: int
    precision: Precision | None
    frictionless_share: float
    alarms: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a replay. ``precision`` is over all payments, ``trained`` over those that a trained model judged.

    ``skipped``: when nothing could be trained, and why. ``strangers``: labels of payments that the file does not have.
    """

    payments: int
    from_at: datetime
    to_at: datetime
    tiers: dict[str, float]
    precision: Precision | None
    trained: Precision | None
    labels: int
    strangers: int
    periods: tuple[Period, ...]
    skipped: tuple[tuple[datetime, str], ...]
    unused_columns: tuple[str, ...]
    state: dict[str, int]


def report(told: Told, unused: tuple[str, ...]) -> Report:
    """Return the report of what is told."""
    is_fraud, is_known = _truth(told)
    begun = told.models[0].first_row if told.models else len(told.at_ms)
    shares = np.bincount(told.tiers, minlength=len(TIERS)) / len(told.tiers)
    everything = np.arange(len(told.at_ms))
    return Report(
        payments=len(told.at_ms),
        from_at=_at(int(told.at_ms[0])),
        to_at=_at(int(told.at_ms[-1])),
        tiers={tier.value: float(share) for tier, share in zip(TIERS, shares, strict=True)},
        precision=_precision(told, is_fraud, is_known, everything),
        trained=_precision(told, is_fraud, is_known, everything[begun:]),
        labels=len(told.labels.row),
        strangers=told.labels.strangers,
        periods=_periods(told, is_fraud, is_known),
        skipped=told.skipped[:SKIPPED_MAX],
        unused_columns=unused,
        state=told.counts,
    )


def _truth(told: Told) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what is fraud by the last label of each payment, and of which payments that is known."""
    is_fraud = np.zeros(len(told.at_ms), np.bool_)
    is_known = np.zeros(len(told.at_ms), np.bool_)
    if not len(told.labels.row):
        return is_fraud, is_known
    # Labels stand in the order in which they became known, and of several assignments the last one stays.
    is_fraud[told.labels.row] = told.labels.is_fraud
    is_known[told.labels.row] = True
    if not told.has_all_labels:
        end_ms = max(int(told.at_ms[-1]), int(told.labels.known_ms[-1]))
        is_known |= told.at_ms <= end_ms - told.maturity_ms
    return is_fraud, is_known


def _precision(
    told: Told, is_fraud: NDArray[np.bool_], is_known: NDArray[np.bool_], rows: Ints
) -> Precision | None:
    rows = rows[is_known[rows] & np.isfinite(told.scores[rows])]
    frauds = int(is_fraud[rows].sum())
    if min(frauds, len(rows) - frauds) < REPORT_FRAUDS_MIN:
        return None
    return Precision(
        ap=float(average_precision_score(is_fraud[rows], told.scores[rows])),
        auc=float(roc_auc_score(is_fraud[rows], told.scores[rows])),
        payments=len(rows),
        frauds=frauds,
    )


def _periods(told: Told, is_fraud: NDArray[np.bool_], is_known: NDArray[np.bool_]) -> tuple[Period, ...]:
    """Return the payments by the model that judged them."""
    firsts = [0, *(model.first_row for model in told.models), len(told.at_ms)]
    found: list[Period] = []
    for number, model in enumerate((None, *told.models)):
        rows = np.arange(firsts[number], firsts[number + 1])
        if not len(rows):
            continue
        found.append(
            Period(
                model=model,
                payments=len(rows),
                precision=_precision(told, is_fraud, is_known, rows),
                frictionless_share=float((told.tiers[rows] == 0).mean()),
                alarms=_alarms(told, number - 1, rows) if model else (),
            )
        )
    return tuple(found)


def _alarms(told: Told, number: int, rows: Ints) -> tuple[str, ...]:
    """Return what is wrong with what the model of a number did to ``rows``, in sentences."""
    scores = drift.Drift(told.references[number])
    scores.add(0, told.scores[rows][:, None])
    facts = DriftFacts(
        model=told.models[number].digest,
        at=_at(int(told.at_ms[rows[-1]])),
        score=scores.shifts()[0],
        # The scorecard before the first model is none that a model could be held against.
        alerts=_alerts(told, told.models[number - 1].first_row, rows) if number else None,
    )
    return tuple(alarms.alarm_text(each, "en") for each in alarms.alarms(facts))[:ALARMS_MAX]


def _alerts(told: Told, first: int, rows: Ints) -> AlertCounts:
    before = told.tiers[first : rows[0]]
    return AlertCounts(
        alerts=int((told.tiers[rows] > 0).sum()),
        payments=len(rows),
        alerts_before=int((before > 0).sum()),
        payments_before=len(before),
    )


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
