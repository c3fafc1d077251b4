"""How rules of risk control look under ``/v2/risk``: read, compared with those in force, tried on the log."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tongbao.risk.schema.spec import RULES_CHARS_MAX
from tongbao.risk.service.rule_checking import CheckedRules, sentences
from tongbao.risk.service.rule_checking import FailedTest as FailedTestFound
from tongbao.risk.service.rule_checking import Rule as RuleRead
from tongbao.web.api.decision_models import Words
from tongbao.web.api.rule_models import Problem
from tongbao.web.api.shapes import Body, Model

# Longer text reaches the reader of rules, which says what is wrong with it.
RulesText = Annotated[str, StringConstraints(max_length=2 * RULES_CHARS_MAX)]


class RulesBody(Body):
    """Rules as somebody wrote them."""

    text: RulesText


class Rule(Model):
    """One rule as it was read; ``share`` is in percent of payments."""

    name: str
    condition: str
    act: str
    because: str
    owner: str
    until: str | None = Field(description="The first day on which it is gone.")
    share: int
    is_draft: bool
    test_count: int

    @classmethod
    def of(cls, rule: RuleRead) -> "Rule":
        """Return a rule as it is sent."""
        return cls(
            name=rule.name,
            condition=rule.when.text,
            act=rule.act.value,
            because=rule.because,
            owner=rule.owner,
            until=None if rule.until is None else rule.until.isoformat(),
            share=rule.share,
            is_draft=rule.is_draft,
            test_count=len(rule.tests),
        )


class FailedTest(Model):
    """A test that its rule does not pass."""

    rule: str
    test: str
    words: Words

    @classmethod
    def of(cls, failed: FailedTestFound) -> "FailedTest":
        """Return a test as it is sent."""
        return cls(rule=failed.rule, test=failed.test, words=Words.of(failed.text))


class PartChange(Model):
    """One part of a rule before and after."""

    part: str
    before: str
    after: str


class RuleChange(Model):
    """A rule that differs."""

    name: str
    parts: list[PartChange]


class Diff(Model):
    """What leads from the rules in force to these."""

    is_empty: bool
    added: list[str]
    removed: list[str]
    changed: list[RuleChange]
    sentences_zh: list[str]
    sentences_en: list[str]


class Checked(Model):
    """What became of a text: whether it may be drafted, and all that it says, or what is wrong with it."""

    object: Literal["risk_rules"] = "risk_rules"
    valid: bool = Field(description="Readable, and all of its own tests pass.")
    text: str | None = Field(description="The canonical form.")
    rules: list[Rule]
    test_count: int
    failed_tests: list[FailedTest]
    diff: Diff | None
    errors: list[Problem]

    @classmethod
    def of(cls, found: CheckedRules) -> "Checked":
        """Return rules that can be read as they are sent."""
        return cls(
            valid=not found.failed,
            text=found.text,
            rules=[Rule.of(each) for each in found.rules.rules],
            test_count=found.test_count,
            failed_tests=[FailedTest.of(each) for each in found.failed],
            diff=_diff(found),
            errors=[],
        )

    @classmethod
    def unreadable(cls, problem: Problem) -> "Checked":
        """Return what is sent for rules that cannot be read."""
        return cls(
            valid=False, text=None, rules=[], test_count=0, failed_tests=[], diff=None, errors=[problem]
        )


class Starter(Model):
    """Rules to start with: first guesses that are to be back-tested on a house's own log."""

    object: Literal["risk_rules_starter"] = "risk_rules_starter"
    text: str


def _diff(found: CheckedRules) -> Diff:
    diff = found.diff
    return Diff(
        is_empty=diff.is_empty,
        added=[each.name for each in diff.added],
        removed=[each.name for each in diff.removed],
        changed=[
            RuleChange(name=each.name, parts=[PartChange(**part._asdict()) for part in each.parts])
            for each in diff.changed
        ],
        sentences_zh=list(sentences(diff, "zh")),
        sentences_en=list(sentences(diff, "en")),
    )
