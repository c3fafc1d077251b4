"""Writing rules: checked word by word, compared with those in force, kept as a new version of the policy.

What is drafted decides nothing until somebody publishes and rolls it out.
"""

from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.log import Range
from tongbao.decisions.schema.policies import PolicyVersion, Rollout
from tongbao.decisions.service.policies import Policies
from tongbao.risk.policy import backtest_texts, rules_diff, rules_text
from tongbao.risk.policy.rules import Rule, Rules
from tongbao.risk.policy.rules_tests import FailedTest, failing_tests
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.schema.lists import HOUSE_BOOK_ID
from tongbao.risk.schema.spec import RULES_CHARS_MAX, RiskSpec
from tongbao.risk.service.backtesting import Backtesting, RuleResult
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.lists import Lists

__all__ = [
    "RULES_CHARS_MAX",
    "STARTER_RULES",
    "Checked",
    "InForce",
    "RuleDrafting",
    "RuleRow",
    "TriedRule",
    "TriedRules",
    "WrongRules",
]


class RuleRow(NamedTuple):
    """A rule as it is shown; ``text`` is its condition, ``until`` an ISO date or empty, ``share`` in percent."""

    name: str
    text: str
    act: str
    because: str
    owner: str
    until: str
    share: int
    is_draft: bool
    test_count: int


class InForce(NamedTuple):
    """What decides now: the roll-out (None: the built-in policy), its version, its rules as text and one by one."""

    rollout: Rollout | None
    version: PolicyVersion | None
    text: str
    rules: tuple[RuleRow, ...]


class WrongRules(NamedTuple):
    """The first thing that is wrong with a text: where (from 1), what, and what was probably meant."""

    line: int
    column: int
    detail: str
    rule: str
    suggestion: str


class Checked(NamedTuple):
    """What a check of a text says. ``wrong`` is None where it can be read; only then the rest means anything.

    ``undeclared`` is what is said of a list that no rule can find anybody on yet.
    """

    wrong: WrongRules | None
    rule_count: int = 0
    test_count: int = 0
    failed: tuple[str, ...] = ()
    diff: tuple[str, ...] = ()
    is_same: bool = False
    undeclared: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether it may be drafted."""
        return self.wrong is None and not self.failed


class TriedRule(NamedTuple):
    """What a rule would have matched: payments, what became of them, their money by currency in hundredths.

    ``sentences`` say how precise it is and whose treatment it would have changed; none where it matched nothing.
    """

    name: str
    is_draft: bool
    matched_count: int
    succeeded_count: int
    refunded_count: int
    disputed_count: int
    blocked_count: int
    amounts: tuple[tuple[str, int], ...]
    sentences: tuple[str, ...]


class TriedRules(NamedTuple):
    """What rules would have done to payments of the past: together in sentences, and rule by rule.

    ``stopped_count`` payments were stopped by a freeze or a block list, of ``unproved_count`` nothing can be said.
    """

    payment_count: int
    whole: tuple[str, ...]
    rules: tuple[TriedRule, ...]
    stopped_count: int
    unproved_count: int


class RuleDrafting:
    """Checks, tries and drafts. One object per process."""

    def __init__(self, policies: Policies, lists: Lists, backtesting: Backtesting, clock: Clock) -> None:
        self._policies = policies
        self._lists = lists
        self._backtesting = backtesting
        self._clock = clock

    async def in_force(self) -> InForce:
        """Return what decides for the house now."""
        rollout = await self._policies.current(POLICY)
        if rollout is None:
            return InForce(None, None, "", ())
        version = await self._policies.version(POLICY, rollout.champion)
        text = _rules_of(version.spec)
        return InForce(rollout, version, text, tuple(_row(each) for each in rules_text.parse(text).rules))

    async def check(self, text: str, language: str) -> Checked:
        """Return what is wrong with ``text``, or how it differs from the rules in force, in words of a language."""
        try:
            rules = rules_text.parse(text)
        except InvalidRequest as error:
            return Checked(_wrong(error))
        standing = rules_text.parse((await self.in_force()).text)
        found = rules_diff.diff(standing, rules)
        failed: tuple[FailedTest, ...] = failing_tests(rules)
        return Checked(
            None,
            len(rules.rules),
            sum(len(each.tests) for each in rules.rules),
            tuple(each.text(language) for each in failed),
            rules_diff.sentences(found, language),
            found.is_empty,
            await self._undeclared(text),
        )

    async def tried(self, text: str, length: timedelta, language: str, *, live: bool) -> TriedRules:
        """Return what the rules of a text would have done to the payments of the time of ``length`` until now.

        Raises InvalidRequest ``rules_invalid``, LimitExceeded as ``Backtesting.backtest``.
        """
        now = self._clock.now()
        rules = rules_text.parse(text)
        old = await self._backtesting.in_force(None)
        # The payments of this very moment count too.
        of = Range(now - length, now + timedelta(seconds=1), live=live)
        tested = await self._backtesting.backtest(of, old, rules)
        return TriedRules(
            tested.backtest.payments.all.count,
            backtest_texts.whole_sentences(tested.backtest, language),
            tuple(_tried(each, language) for each in tested.backtest.rules),
            tested.stopped_count,
            tested.unproved_count,
        )

    async def draft(self, text: str, note: str, actor: str) -> PolicyVersion:
        """Keep the policy in force with these rules as a new version; the one that says the same, where one does.

        Raises InvalidRequest ``rules_invalid``, ``rules_tests_failed``, and as ``Policies.draft``.
        """
        standing = await self.in_force()
        spec: dict[str, Any] = {} if standing.version is None else dict(standing.version.spec)
        rules: Rules = rules_text.parse(text)
        spec["rules"] = rules_text.format_rules(rules)
        return await self._policies.draft(POLICY, spec, note, actor)

    async def _undeclared(self, text: str) -> str:
        try:
            rules_text.parse(text, lists=await self._lists.names(HOUSE_BOOK_ID))
        except InvalidRequest as error:
            return error.detail
        return ""


def _rules_of(spec: dict[str, Any]) -> str:
    return msgspec.convert(spec, RiskSpec).rules


def _row(rule: Rule) -> RuleRow:
    until = "" if rule.until is None else rule.until.isoformat()
    return RuleRow(
        rule.name,
        rule.when.text,
        rule.act.value,
        rule.because,
        rule.owner,
        until,
        rule.share,
        rule.is_draft,
        len(rule.tests),
    )


def _tried(result: RuleResult, language: str) -> TriedRule:
    matched = result.matched
    return TriedRule(
        result.name,
        result.is_draft,
        matched.all.count,
        matched.succeeded.count,
        matched.refunded.count,
        matched.disputed.count,
        matched.blocked.count,
        tuple(matched.all.amounts.items()),
        backtest_texts.rule_sentences(result, language)[1:] if matched.all.count else (),
    )


def _wrong(error: InvalidRequest) -> WrongRules:
    facts = error.facts
    return WrongRules(
        int(facts.get("line", 1)),
        int(facts.get("column", 1)),
        error.detail.partition(": ")[2] or error.detail,
        str(facts.get("rule", "")),
        str(facts.get("suggestion") or ""),
    )
