"""Recalling: why a payment was judged as it was, exactly: the features of then and what each added to the score.

Nothing of that is stored. The journal is folded to the position that the decision names; where the features have the digest
that the decision holds they are proved to be the very ones, otherwise it is said that they cannot be found again.
"""

import asyncio
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import PREFIX, Decision
from tongbao.decisions.service.log import DecisionLog
from tongbao.risk.models.base import Floats
from tongbao.risk.models.contributions import Explainer, Explanation
from tongbao.risk.models.memory import Mode
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import reasons
from tongbao.risk.schema.reasons import Contribution
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.revisiting import LoggedPayment, Revisiting
from tongbao.risk.service.shelf import Shelf
from tongbao.risk.store import events

GROUPS_MAX = 40
"""More than there are codes: all of them are told."""


class Part(NamedTuple):
    """One feature, its value (None: unknown), and what it added in log-odds."""

    name: str
    value: float | None
    log_odds: float


class Account(NamedTuple):
    """What made a score: ``base`` and all parts sum to ``raw``, in log-odds before calibration.

    ``contributions`` are the same by reason, what speaks for the payment as one; ``parts`` are the heaviest first.
    """

    chance: float
    base: float
    raw: float
    contributions: tuple[Contribution, ...]
    parts: tuple[Part, ...]


class Recalled(NamedTuple):
    """A decision with the account of its score; None where the features of then cannot be found again."""

    decision: Decision
    model: str
    account: Account | None


class Recalling:
    """Explains decisions. One object a process."""

    def __init__(self, database: Database, log: DecisionLog, revisiting: Revisiting, shelf: Shelf) -> None:
        self._database = database
        self._log = log
        self._revisiting = revisiting
        self._shelf = shelf

    async def decision(self, book_id: int, decision_id: UUID) -> Recalled:
        """Return a decision about risk of a book with the account of its score.

        Raises NotFound ``decision_unknown``, also for a decision of another kind, and ``model_unknown``; LimitExceeded
        ``past_too_far``.
        """
        decision = (await self._log.decision(book_id, decision_id)).decision
        if decision.kind != POLICY:
            reference = uuid_text(PREFIX, decision_id)
            raise NotFound("decision_unknown", f"{reference} is no decision about risk", id=reference)
        digest = str(decision.context.get("model", ""))
        features = await self._features(decision)
        if features is None:
            return Recalled(decision, digest, None)
        explainer = await self._explainer(digest)
        explanation = await asyncio.to_thread(explainer.explain, features)
        score = decision.context.get("score")
        chance = float(score) if isinstance(score, int | float) else 0.0
        return Recalled(decision, digest, _account(explanation, chance))

    async def _features(self, decision: Decision) -> Floats | None:
        """Return the features of a decision, None where they cannot be proved to be those."""
        if "position" not in decision.context:
            return None
        async with self._database.connection() as connection:
            row = await events.one(connection, decision.book_id, decision.id)
            if row is None:
                return None
        found: list[Floats | None] = []

        def visit(_logged: LoggedPayment, _mode: Mode, features: Floats | None) -> None:
            found.append(features)

        await self._revisiting.revisit([LoggedPayment(row, decision)], visit)
        return found[0]

    async def _explainer(self, digest: str) -> Explainer:
        if not digest:
            return self._shelf.built_in.explainer
        return await asyncio.to_thread(Explainer, await self._shelf.load(digest), NAMES)


def _account(explanation: Explanation, chance: float) -> Account:
    rows = zip(explanation.names, explanation.values.tolist(), explanation.log_odds.tolist(), strict=True)
    # NaN is unknown, and differs from itself.
    parts = [Part(name, value if value == value else None, log_odds) for name, value, log_odds in rows]
    parts.sort(key=lambda each: (-abs(each.log_odds), each.name))
    told = reasons.reasons(explanation, GROUPS_MAX)
    return Account(chance, explanation.base, explanation.raw, told, tuple(parts))
