"""Warming: everything native is compiled, or read from what was compiled before, ahead of the first payment.

The first time on a machine this takes some twenty seconds of one core; after that a fraction of a second. ``python -m
tongbao.risk.models.warming`` does it as a step of the set-up.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np

from tongbao.risk.models import artifact
from tongbao.risk.models.artifact import ModelScorer
from tongbao.risk.models.memory import Memory
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, LabelSource, Proved
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier

_AT = datetime(2026, 1, 1, tzinfo=UTC)


def warm() -> None:
    """Judge and learn one payment that never was, in a memory that is thrown away."""
    memory = Memory()
    scorer = ModelScorer(artifact.by_judgement(NAMES), NAMES)
    for number in range(2):
        signals = Signals(
            id=UUID(int=number + 1),
            at=_AT + timedelta(seconds=number),
            book_id=1,
            live=False,
            subject_id=UUID(int=number + 1),
            value=100,
            currency="EUR",
            method="card",
            customer="c",
            card="c",
            device="d",
            merchant="1",
            address="a",
            email_domain="e",
            beneficiary="b",
            card_country="DE",
        )
        row = memory.of(False).state.features(signals)
        scorer.score_one(row)
        scorer.score(np.stack([row, row]))
        about = {
            "occurred_at": signals.at,
            "signals_id": signals.id,
            "book_id": 1,
            "live": False,
            "subject_id": signals.subject_id,
        }
        memory.learn(Assessed(occurred_at=signals.at, signals=signals, tier=Tier.STEP_UP, score=0.01))
        memory.learn(Proved(**about, means="code", is_passed=True))  # type: ignore[arg-type]
        memory.learn(Ended(**about, is_approved=False))  # type: ignore[arg-type]
        memory.learn(Labelled(**about, is_fraud=True, source=LabelSource.API))  # type: ignore[arg-type]
    Memory.load(memory.dump()).of(False).state.features(signals)


if __name__ == "__main__":
    warm()
