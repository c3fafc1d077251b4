"""What the decision log holds: a decision with its candidates and reasons, and the outcomes that join it later.

Scores are in the unit that the policy names (routing: minor units of expected value, risk: expected cost). They are
estimates and may be floats; money itself never is.
"""

import math
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.errors import InvariantBroken
from tongbao.core.ids import uuid_text

CANDIDATES_MAX = 64
REASONS_MAX = 32
PROPENSITY_TOLERANCE = 1e-6
PREFIX = "dec"

Fact = str | int | float | bool | None
"""One value of a context or of a reason. Never personal data: groups, codes, counts, amounts."""


class Why(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reason: a code of the closed list of its kind of decision, and the numbers that its sentence needs."""

    code: str
    facts: dict[str, Fact] = {}


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that could have been chosen, with the interval of its score (90 %).

    ``propensity``: the probability with which the policy chose it, 0 where ``excluded`` names the code of a filter.
    """

    name: str
    propensity: float = 0.0
    score: float | None = None
    low: float | None = None
    high: float | None = None
    excluded: str | None = None
    facts: dict[str, Fact] = {}


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """What a version that acts on nothing would have chosen, with its probabilities by candidate."""

    version: int
    chosen: str
    propensities: dict[str, float]


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One automatic choice.

    ``id`` is a UUIDv7 of the moment; ``subject_id`` what it is about (a payment intent), ``effect_id`` what it became
    (an attempt). ``arm``: champion or challenger of the policy's roll-out.
    """

    id: UUID
    book_id: int
    live: bool
    kind: str
    subject_id: UUID
    effect_id: UUID | None = None
    decided_at: datetime
    policy: str
    version: int
    arm: str = "champion"
    context: dict[str, Fact] = {}
    candidates: tuple[Candidate, ...]
    chosen: str
    reasons: tuple[Why, ...]
    shadow: Shadow | None = None
    latency_us: int = 0

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``dec_01jd…``."""
        return uuid_text(PREFIX, self.id)

    @property
    def propensity(self) -> float:
        """The probability with which what was chosen was chosen."""
        return next(each.propensity for each in self.candidates if each.name == self.chosen)


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a decision, as known at ``recorded_at``: one row a piece of news, never changed.

    ``name``: which outcome (``approved``, ``technical``, ``fraud``, ``redeemed``). ``key`` makes a repeat of the same
    news one row. ``value`` None takes back what was said before. The standing value is that of the latest
    ``occurred_at``, and of the latest ``recorded_at`` among equals.
    """

    book_id: int
    decision_id: UUID
    key: UUID
    name: str
    value: float | None
    label: str = ""
    source: str = ""
    occurred_at: datetime
    recorded_at: datetime


class Range(NamedTuple):
    """Which decisions: from an instant, before another one, of a book, a policy, a mode (None: all)."""

    from_at: datetime
    to_at: datetime
    book_id: int | None = None
    policy: str | None = None
    live: bool | None = None


def check(decision: Decision) -> None:
    """Raise InvariantBroken ``decision_unsound`` for a decision that nobody could learn from or explain.

    There are reasons, the chosen candidate exists, is not excluded and had a chance, and the probabilities sum to one.
    """
    names = {each.name for each in decision.candidates}
    total = math.fsum(each.propensity for each in decision.candidates)
    wrong = ""
    if not 0 < len(decision.reasons) <= REASONS_MAX:
        wrong = f"it has not 1 to {REASONS_MAX} reasons"
    elif len(names) != len(decision.candidates) or not 0 < len(names) <= CANDIDATES_MAX:
        wrong = f"its candidates are not 1 to {CANDIDATES_MAX} different ones"
    elif decision.chosen not in names or decision.propensity <= 0:
        wrong = "what was chosen had no chance"
    elif any(each.excluded is not None and each.propensity != 0 for each in decision.candidates):
        wrong = "an excluded candidate had a chance"
    elif not abs(total - 1) <= PROPENSITY_TOLERANCE:
        wrong = f"its propensities sum to {total}"
    if wrong:
        raise InvariantBroken(
            "decision_unsound", f"a decision about {decision.kind}: {wrong}", kind=decision.kind
        )
