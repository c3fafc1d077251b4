"""How rules of risk control look under ``/v2/risk``: read, compared with those in force, tried on the log."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from tongbao.risk.schema.spec import RULES_CHARS_MAX
from tongbao.risk.service import explaining
from tongbao.risk.service.backtesting import Matched as MatchedFound
from tongbao.risk.service.backtesting import RuleResult, Tested
from tongbao.risk.service.backtesting import Split as SplitFound
from tongbao.risk.service.rule_checking import CheckedRules, sentences
from tongbao.risk.service.rule_checking import FailedTest as FailedTestFound
from tongbao.risk.service.rule_checking import Rule as RuleRead
from tongbao.web.api.decision_models import Words
from tongbao.web.api.policy_models import Span
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


class BacktestOrder(Span):
    """Rules to try on the log of a time; ``old``: those that judged then, the ones in force where left out."""

    new: RulesText
    old: RulesText | None = None


class Sums(Model):
    """How many payments, and their money in hundredths by currency."""

    count: int
    amounts: dict[str, int]


class Matched(Model):
    """Payments and what became of them; the four endings overlap, and not every payment has one."""

    all: Sums
    succeeded: Sums
    refunded: Sums
    disputed: Sums
    blocked: Sums


class Split(Model):
    """Payments by what became of them."""

    good: Sums
    bad: Sums
    unclear: Sums


class Precision(Model):
    """``bad_count`` of ``count`` that went through were bad; the share lies between ``low`` and ``high`` (95 %)."""

    count: int
    bad_count: int
    low: float
    high: float
    is_enough: bool = Field(description="Whether there are payments enough to speak of a share.")


class Result(Model):
    """One new rule on the log, drafts as if they acted."""

    name: str
    act: str
    is_draft: bool
    matched: Matched
    share: float
    precision: Precision
    raised: Split
    lowered: Split
    covered_count: int
    overlaps: dict[str, int]
    words: Words


class Backtest(Model):
    """What new rules would have done. ``raised`` payments would have met more than they did, ``lowered`` ones less."""

    object: Literal["risk_backtest"] = "risk_backtest"
    payments: Matched
    matched: Matched
    precision: Precision
    before: dict[str, int]
    after: dict[str, int]
    raised: Split
    lowered: Split
    uncertain_count: int
    stopped_count: int = Field(description="Left out: a freeze or a block list stopped them.")
    unproved_count: int = Field(description="Left out: their features of then could not be found again.")
    rules: list[Result]
    words: Words

    @classmethod
    def of(cls, tested: Tested) -> "Backtest":
        """Return a back-test as it is sent."""
        found = tested.backtest
        return cls.model_validate(
            {
                "payments": _plain(found.payments),
                "matched": _plain(found.matched),
                "precision": _precision(found.precision),
                "before": {tier.value: count for tier, count in found.before.items()},
                "after": {tier.value: count for tier, count in found.after.items()},
                "raised": _plain(found.raised),
                "lowered": _plain(found.lowered),
                "uncertain_count": found.uncertain_count,
                "stopped_count": tested.stopped_count,
                "unproved_count": tested.unproved_count,
                "rules": [_result(each) for each in found.rules],
                "words": Words.of(lambda language: " ".join(explaining.whole_sentences(found, language))),
            }
        )


def _plain(found: MatchedFound | SplitFound) -> dict[str, Any]:
    return asdict(found)


def _precision(found: Any) -> dict[str, Any]:
    return asdict(found) | {"is_enough": found.is_enough}


def _result(result: RuleResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "act": result.act.value,
        "is_draft": result.is_draft,
        "matched": _plain(result.matched),
        "share": result.share,
        "precision": _precision(result.precision),
        "raised": _plain(result.raised),
        "lowered": _plain(result.lowered),
        "covered_count": result.covered_count,
        "overlaps": dict(result.overlaps),
        "words": Words.of(lambda language: " ".join(explaining.rule_sentences(result, language))),
    }


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
