"""Checking rules before anybody drafts them: whether they can be read, pass their own tests, and what they would change."""

from typing import NamedTuple

from tongbao.risk.policy import rules_text
from tongbao.risk.policy.rules import Rule, Rules
from tongbao.risk.policy.rules_diff import RulesDiff, diff, sentences
from tongbao.risk.policy.rules_tests import FailedTest, failing_tests
from tongbao.risk.policy.starter_rules import STARTER_RULES
from tongbao.risk.service.backtesting import Backtesting

__all__ = ["STARTER_RULES", "CheckedRules", "FailedTest", "Rule", "RulesDiff", "check", "sentences"]


class CheckedRules(NamedTuple):
    """Rules that can be read: their canonical text, the tests that they fail, and what differs from those in force."""

    rules: Rules
    text: str
    failed: tuple[FailedTest, ...]
    diff: RulesDiff

    @property
    def test_count(self) -> int:
        """How many tests the rules have."""
        return sum(len(rule.tests) for rule in self.rules.rules)


async def check(backtesting: Backtesting, text: str, book_id: int | None) -> CheckedRules:
    """Return what is to be known of a text of rules for a book (None: for the house); raise InvalidRequest ``rules_invalid``."""
    rules = await backtesting.rules(text, book_id)
    before = await backtesting.in_force(book_id)
    return CheckedRules(rules, rules_text.format_rules(rules), failing_tests(rules), diff(before, rules))
