"""How routing rules look under ``/v2``: checked, tried on the log, and a payment that is only supposed."""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StrictBool, StringConstraints

from tongbao.channels.schema import Presentment
from tongbao.core.errors import InvalidRequest
from tongbao.routing.schema.spec import RULES_CHARS_MAX
from tongbao.routing.service import explaining
from tongbao.routing.service.backtesting import Move as MoveFound
from tongbao.routing.service.backtesting import Rule as RuleRead
from tongbao.routing.service.backtesting import RuleResult, Tested
from tongbao.web.api.decision_models import Choice, Words
from tongbao.web.api.policy_models import Span
from tongbao.web.api.shapes import Amount, Body, Currency, Model, Text

# Longer text reaches the reader of rules, which says what is wrong with it.
RulesText = Annotated[str, StringConstraints(max_length=2 * RULES_CHARS_MAX)]
Country = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$")]
Mcc = Annotated[str, StringConstraints(pattern=r"^([0-9]{4})?$")]


class RulesBody(Body):
    """Rules as somebody wrote them."""

    text: RulesText


class Rule(Model):
    """One rule as it was read."""

    name: str
    condition: str
    action: str
    channels: list[str]
    shares: list[int]

    @classmethod
    def of(cls, rule: RuleRead) -> "Rule":
        """Return a rule as it is sent."""
        action = rule.action
        return cls(
            name=rule.name,
            condition=rule.when.text,
            action=action.kind.value,
            channels=list(action.channels),
            shares=list(action.shares),
        )


class Problem(Model):
    """The first thing that is wrong with rules; places count from 1."""

    problem: str
    detail: str
    line: int
    column: int
    rule: str | None
    suggestion: str | None

    @classmethod
    def of(cls, error: InvalidRequest) -> "Problem":
        """Return what the reader of rules raised as it is sent."""
        facts = error.facts
        return cls(
            problem=str(facts["problem"]),
            detail=error.detail,
            line=int(facts["line"]),
            column=int(facts["column"]),
            rule=facts.get("rule"),
            suggestion=facts.get("suggestion"),
        )


class Checked(Model):
    """What became of a text: its canonical form, or what is wrong with it."""

    object: Literal["routing_rules"] = "routing_rules"
    valid: bool
    text: str | None
    rules: list[Rule]
    errors: list[Problem]


class BacktestOrder(Span):
    """Rules to try on the log of a time; ``old``: those that routed then, the ones in force where left out."""

    new: RulesText
    old: RulesText | None = None


class Approval(Model):
    """How many of ``count`` payments were approved; the share lies between ``low`` and ``high`` (95 %)."""

    count: int
    approved_count: int
    low: float
    high: float


class Move(Model):
    """Payments that a rule takes elsewhere; counts and amounts are expectations where a split draws."""

    from_channel: str
    to_channel: str = Field(description="`(ranked)`: the ranking decides; `(none)`: nothing is left.")
    count: float
    amounts: dict[str, int]
    seen: Approval
    there: Approval
    words: Words

    @classmethod
    def of(cls, move: MoveFound) -> "Move":
        """Return a move as it is sent."""
        words = Words.of(lambda language: explaining.move_text(move, language))
        return cls.model_validate(msgspec.to_builtins(move) | {"words": words})


class Result(Model):
    """One new rule on the log; amounts and costs are minor units by currency."""

    name: str
    matched_count: int
    changed_count: float
    amounts: dict[str, int]
    approval: Approval
    costs: dict[str, int]
    moves: list[Move]

    @classmethod
    def of(cls, result: RuleResult) -> "Result":
        """Return what a rule did as it is sent."""
        moves = [Move.of(each) for each in result.moves]
        return cls.model_validate(msgspec.to_builtins(result) | {"moves": moves})


class Released(Model):
    """Payments that an old rule decided and no new one does."""

    rule: str
    count: int
    amounts: dict[str, int]


class Backtest(Model):
    """What new rules would have done; ``without_outcome_count`` decisions tell nothing yet and are left out."""

    object: Literal["routing_backtest"] = "routing_backtest"
    payments_count: int
    changed_count: float
    without_outcome_count: int
    rules: list[Result]
    released: list[Released]

    @classmethod
    def of(cls, tested: Tested) -> "Backtest":
        """Return a back-test as it is sent."""
        told: dict[str, Any] = {
            "rules": [Result.of(each) for each in tested.backtest.rules],
            "without_outcome_count": tested.without_outcome_count,
        }
        return cls.model_validate(msgspec.to_builtins(tested.backtest) | told)


class Supposed(Body):
    """A payment that nobody makes. Country and category of the merchant are its own where they are left out."""

    amount_minor: Amount
    currency: Currency
    method: Text
    presentment: Presentment = Presentment.DIRECT
    issuer: Text = ""
    brand: Text = ""
    funding: Text = ""
    card_country: Country = ""
    merchant_country: Country | None = None
    mcc: Mcc | None = None
    is_recurring: StrictBool = False
    manual_capture: StrictBool = False


class Simulation(Choice):
    """What would be chosen for a payment now, with which probabilities, and why. Nothing was written."""

    object: Literal["routing_simulation"] = "routing_simulation"
    fallbacks: list[str] = Field(description="Where it would go after a no, in order.")
