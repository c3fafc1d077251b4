"""Logged decisions read back: the payment, the beliefs of then, and what another context prior would have made of them."""

import math

import msgspec

from tongbao.decisions.schema.log import Candidate, Decision
from tongbao.routing.models.prior import Prior, offsets
from tongbao.routing.schema.payments import Payment

CHANCE_MIN = 1e-4
LOGGED_OFFSET = "offset"
"""The fact of a candidate that says which offset its belief holds already."""
_INTERVAL = ("approval", "approval_low", "approval_high")
_ASKED = frozenset(Payment.__struct_fields__) - {"book_id", "live", "subject_id"}


def payment_of(decision: Decision) -> Payment | None:
    """Return the payment that a decision of the log was about; None where its context is not one of routing's."""
    known = {name: value for name, value in decision.context.items() if name in _ASKED and value is not None}
    try:
        return msgspec.convert(
            {"book_id": decision.book_id, "live": decision.live, "subject_id": decision.subject_id, **known},
            Payment,
        )
    except msgspec.ValidationError:
        return None


def shifted(prior: Prior, decision: Decision) -> Decision:
    """Return a logged decision with its beliefs as ``prior`` would have made them, in place of the prior of then.

    The offset acts on the chance of an approval as a whole, of which technical failures are a small part.
    """
    payment = payment_of(decision)
    had = any(LOGGED_OFFSET in each.facts for each in decision.candidates)
    if payment is None or not (prior or had):
        return decision
    added = offsets(prior, payment, [each.name for each in decision.candidates])[0]
    candidates = tuple(
        _moved(each, float(more)) for each, more in zip(decision.candidates, added, strict=True)
    )
    return msgspec.structs.replace(decision, candidates=candidates)


def _moved(candidate: Candidate, offset: float) -> Candidate:
    change = offset - (number_of(candidate, LOGGED_OFFSET) or 0.0)
    moved = {
        name: 1.0 / (1.0 + math.exp(-odds_of(value) - change))
        for name in _INTERVAL
        if (value := number_of(candidate, name)) is not None
    }
    if not change or not moved:
        return candidate
    return msgspec.structs.replace(candidate, facts={**candidate.facts, **moved, LOGGED_OFFSET: offset})


def number_of(candidate: Candidate, name: str) -> float | None:
    """Return a number of a candidate's facts; None where it has none of the name."""
    value = candidate.facts.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value is not None else None


def odds_of(chance: float) -> float:
    """Return the log-odds of a probability, which is kept off 0 and 1."""
    safe = min(max(chance, CHANCE_MIN), 1 - CHANCE_MIN)
    return math.log(safe / (1 - safe))
