"""Writing rules: checked word by word, compared with those in force, kept as a new version of the policy.

What is drafted decides nothing until somebody publishes and rolls it out.
"""

from typing import Any, NamedTuple

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.policies import PolicyVersion, Rollout
from tongbao.decisions.service.policies import Policies
from tongbao.risk.policy import rules_diff, rules_text
from tongbao.risk.policy.rules import Rule, Rules
from tongbao.risk.policy.rules_tests import FailedTest, failing_tests
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.schema.lists import HOUSE_BOOK_ID
from tongbao.risk.schema.spec import RULES_CHARS_MAX, RiskSpec
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.lists import Lists

__all__ = ["RULES_CHARS_MAX", "STARTER_RULES", "Checked", "InForce", "RuleDrafting", "RuleRow", "WrongRules"]


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


class RuleDrafting:
    """Checks and drafts. One object per process."""

    def __init__(self, policies: Policies, lists: Lists) -> None:
        self._policies = policies
        self._lists = lists

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


def _wrong(error: InvalidRequest) -> WrongRules:
    facts = error.facts
    return WrongRules(
        int(facts.get("line", 1)),
        int(facts.get("column", 1)),
        error.detail.partition(": ")[2] or error.detail,
        str(facts.get("rule", "")),
        str(facts.get("suggestion") or ""),
    )
