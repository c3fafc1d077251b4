"""How back-tests of rules of risk control look under ``/v2/risk``."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field

from tongbao.risk.service import explaining
from tongbao.risk.service.backtesting import Matched as MatchedFound
from tongbao.risk.service.backtesting import RuleResult, Tested
from tongbao.risk.service.backtesting import Split as SplitFound
from tongbao.web.api.decision_models import Words
from tongbao.web.api.policy_models import Span
from tongbao.web.api.risk_rule_models import RulesText
from tongbao.web.api.shapes import Model


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
