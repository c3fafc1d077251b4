"""The columns of an exported decision log, and how a decision fills them.

Common facts of the context have columns of their own, null where a decision has none of that kind; ``context`` holds all
of them as JSON. Probabilities and scores are doubles, amounts whole minor units, instants microseconds of UTC.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tongbao.decisions.schema.log import Decision, Fact

INSTANT = "instant"
PERSONAL = re.compile(r"@|(?:\d[ -]?){7,}")
"""What an address, or the number of an account, a card or a telephone, looks like. Codes and names of banks do not."""


class Column(NamedTuple):
    """Name and type of a column, as Arrow calls it; ``instant`` is a timestamp."""

    name: str
    type: str


class Known(NamedTuple):
    """What an outcome stood at when the export began; None and empty where nothing was heard."""

    name: str
    value: float | None
    label: str
    occurred_at: datetime | None


FACTS = (
    Column("method", "string"),
    Column("currency", "string"),
    Column("amount_minor", "int64"),
    Column("issuer", "string"),
    Column("brand", "string"),
    Column("funding", "string"),
    Column("card_country", "string"),
    Column("merchant_country", "string"),
    Column("mcc", "string"),
    Column("is_recurring", "bool_"),
    Column("hour", "int64"),
    Column("weekday", "int64"),
    Column("attempt_no", "int64"),
)
"""Facts of the context that most decisions have; one of another type than this is null in its column."""
DECISIONS = (
    Column("decision_id", "string"),
    Column("subject_id", "string"),
    Column("effect_id", "string"),
    Column("book_id", "int64"),
    Column("live", "bool_"),
    Column("kind", "string"),
    Column("decided_at", INSTANT),
    Column("policy", "string"),
    Column("version", "int32"),
    Column("arm", "string"),
    Column("chosen", "string"),
    Column("propensity", "float64"),
    Column("candidates_count", "int32"),
    Column("reason", "string"),
    Column("reasons", "string"),
    Column("shadow_version", "int32"),
    Column("shadow_chosen", "string"),
    Column("latency_us", "int32"),
    *FACTS,
    Column("context", "string"),
    Column("outcome", "string"),
    Column("outcome_value", "float64"),
    Column("outcome_label", "string"),
    Column("outcome_occurred_at", INSTANT),
)
CANDIDATES = (
    Column("decision_id", "string"),
    Column("decided_at", INSTANT),
    Column("place", "int32"),
    Column("name", "string"),
    Column("is_chosen", "bool_"),
    Column("propensity", "float64"),
    Column("score", "float64"),
    Column("low", "float64"),
    Column("high", "float64"),
    Column("excluded", "string"),
    Column("shadow_propensity", "float64"),
    Column("facts", "string"),
)
_KINDS: Mapping[str, type] = {"string": str, "int64": int, "bool_": bool}


def decision_row(decision: Decision, known: Known) -> tuple[Any, ...]:
    """Return the row of ``DECISIONS``; ``reason`` is the first code, ``reasons`` JSON of all with their facts."""
    shadow = decision.shadow
    context = shared(decision.context)
    reasons = [{"code": each.code, "facts": shared(each.facts)} for each in decision.reasons]
    return (
        decision.reference,
        str(decision.subject_id),
        None if decision.effect_id is None else str(decision.effect_id),
        decision.book_id,
        decision.live,
        decision.kind,
        decision.decided_at,
        decision.policy,
        decision.version,
        decision.arm,
        decision.chosen,
        decision.propensity,
        len(decision.candidates),
        decision.reasons[0].code,
        _json(reasons),
        None if shadow is None else shadow.version,
        None if shadow is None else shadow.chosen,
        decision.latency_us,
        *(_fact(context, column) for column in FACTS),
        _json(context),
        known.name,
        known.value,
        known.label or None,
        known.occurred_at,
    )


def candidate_rows(decision: Decision) -> list[tuple[Any, ...]]:
    """Return the rows of ``CANDIDATES``, in the order in which the decision names them."""
    reference = decision.reference
    shadow = {} if decision.shadow is None else decision.shadow.propensities
    watched = decision.shadow is not None
    return [
        (
            reference,
            decision.decided_at,
            place,
            each.name,
            each.name == decision.chosen,
            each.propensity,
            each.score,
            each.low,
            each.high,
            each.excluded,
            shadow.get(each.name, 0.0) if watched else None,
            _json(shared(each.facts)),
        )
        for place, each in enumerate(decision.candidates)
    ]


def shared(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return facts without texts that look like somebody's address or number."""
    return {
        name: value
        for name, value in facts.items()
        if not (isinstance(value, str) and PERSONAL.search(value))
    }


def _fact(context: Mapping[str, Fact], column: Column) -> Fact:
    value = context.get(column.name)
    return value if type(value) is _KINDS[column.type] else None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
