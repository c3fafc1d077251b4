"""Back-testing: what new rules of risk control would have done to the payments of the log.

Every payment is looked at again with what was known when it was judged (``service.revisiting``), and on the lists of
then. Payments whose features cannot be proved to be those of then are counted and left out, and so are those that a freeze
or a block list stopped: rules have no say in these.
"""

import asyncio
from typing import NamedTuple

from tongbao.decisions.schema.log import Decision, Range
from tongbao.decisions.service.policies import Policies
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Mode
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import rules_backtest, rules_text
from tongbao.risk.policy.language import ValuesReader
from tongbao.risk.policy.rules import Rule, Rules
from tongbao.risk.policy.rules_backtest import Backtest, Logged, Matched, RuleResult, Split, Sums
from tongbao.risk.schema.facts import LabelSource
from tongbao.risk.schema.lists import HOUSE_BOOK_ID
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.compiling import POLICY, compile_spec
from tongbao.risk.service.listed_then import ListedThen
from tongbao.risk.service.lists import Lists
from tongbao.risk.service.revisiting import LoggedPayment, Revisiting

__all__ = ["Backtest", "Backtesting", "Matched", "Rule", "RuleResult", "Rules", "Split", "Sums", "Tested"]

STOPPED = frozenset({ReasonCode.ACCOUNT_FROZEN.value, ReasonCode.LISTED_BLOCKED.value})
NO_MEANS = "no_means"


class Tested(NamedTuple):
    """A back-test, and the payments that it says nothing of.

    ``stopped_count``: a freeze or a block list stopped them. ``unproved_count``: scoring failed, or their features could not
    be found again.
    """

    backtest: Backtest
    stopped_count: int
    unproved_count: int


class Backtesting:
    """Reads rules and tries them on the log; writes nothing. One object a process."""

    def __init__(self, revisiting: Revisiting, policies: Policies, lists: Lists) -> None:
        self._revisiting = revisiting
        self._policies = policies
        self._lists = lists

    async def rules(self, text: str, book_id: int | None) -> Rules:
        """Return the rules of a text, which may ask for the lists of a book and of the house (None: of the house).

        Raises InvalidRequest ``rules_invalid`` with line and column.
        """
        names = await self._lists.names(HOUSE_BOOK_ID if book_id is None else book_id)
        return rules_text.parse(text, lists=names)

    async def in_force(self, book_id: int | None) -> Rules:
        """Return the rules that decide for a book (None: for the house): its own policy's, else the house's, else none."""
        names = [POLICY] if book_id is None else [policy_of(book_id), POLICY]
        for policy in names:
            rollout = await self._policies.current(policy)
            if rollout is not None:
                champion = await self._policies.version(policy, rollout.champion)
                return compile_spec(champion.spec).rules
        return Rules()

    async def backtest(self, of: Range, old: Rules, new: Rules) -> Tested:
        """Return what ``new`` would have done to the payments of a range, which were judged under ``old``.

        Raises InvalidRequest ``backtest_span_invalid``, LimitExceeded ``backtest_too_long`` and ``past_too_far``.
        """
        found = await self._revisiting.payments(of)
        fields = old.fields | new.fields
        books = {each.row.book_id for each in found.payments}
        listed = await ListedThen.read(self._lists, fields, books, bool(of.live))
        reader = ValuesReader(fields, NAMES)
        rows: list[Logged] = []
        stopped = unproved = 0

        def visit(logged: LoggedPayment, _mode: Mode, features: Floats | None) -> None:
            nonlocal stopped, unproved
            if STOPPED & set(logged.row.reasons):
                stopped += 1
            elif features is None:
                unproved += 1
            else:
                names = listed.names(logged.row.signals)
                values = reader.read(logged.row.signals, features, logged.row.score, names)
                rows.append(_row(logged, values))

        await self._revisiting.revisit(found.payments, visit)
        # Some seconds of arithmetic must not hold up the payments of this process.
        tested = await asyncio.to_thread(rules_backtest.backtest, rows, old, new)
        return Tested(tested, stopped, unproved + found.unjudged_count)


def policy_of(book_id: int) -> str:
    """Return the name of a merchant's own risk policy."""
    return f"{POLICY}/{book_id}"


def _row(logged: LoggedPayment, values: dict[str, object]) -> Logged:
    row, tier = logged.row, Tier(logged.row.tier)
    is_succeeded = bool(row.is_approved)
    is_unproved_payer = tier is Tier.STEP_UP and not row.is_passed
    return Logged(
        values=values,
        at=row.at,
        unit=row.signals.subject,
        value=row.value,
        currency=row.currency,
        tier=tier,
        is_succeeded=is_succeeded,
        is_refunded=row.label_source == LabelSource.REFUND.value,
        is_disputed=bool(row.is_fraud),
        is_blocked=not is_succeeded and (tier is Tier.DECLINE or is_unproved_payer),
        scored=_scored(logged.decision),
    )


def _scored(decision: Decision) -> Tier | None:
    """Return the tier that score and costs alone gave, the mildest of the cheapest; None where the log does not tell.

    An entry that allows set the score aside. A tier that was tried in order to learn is not what the score gave.
    """
    codes = {each.code for each in decision.reasons}
    if ReasonCode.LISTED_ALLOWED.value in codes:
        return Tier.FRICTIONLESS
    costs = {
        Tier(each.name): each.score
        for each in decision.candidates
        if each.score is not None and each.excluded != NO_MEANS
    }
    if not costs or ReasonCode.EXPLORED.value in codes:
        return None
    return min(costs, key=lambda tier: (costs[tier], tier.strictness))
