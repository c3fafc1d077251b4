"""How models of risk control and the accounts of scores look under ``/v2/risk``."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import Fact
from tongbao.payments.schema.intents import Intent
from tongbao.risk.schema.reasons import Contribution as ContributionFound
from tongbao.risk.service import explaining
from tongbao.risk.service.explaining import ModelRow
from tongbao.risk.service.recalling import Account as AccountFound
from tongbao.risk.service.recalling import Recalled
from tongbao.web.api.decision_models import Words
from tongbao.web.api.risk_look_models import Reason
from tongbao.web.api.shapes import Model


class Scoring(Model):
    """A model on the shelf."""

    object: Literal["risk_model"] = "risk_model"
    digest: str
    kind: str
    made_at: datetime
    made_by: str
    size_bytes: int
    in_force: bool = Field(description="Whether a policy that decides, is tried or watches names it.")

    @classmethod
    def of(cls, row: ModelRow, in_force: set[str]) -> "Scoring":
        """Return a model as it is sent."""
        return cls(
            digest=row.digest,
            kind=row.kind,
            made_at=row.made_at,
            made_by=row.made_by,
            size_bytes=row.size_bytes,
            in_force=row.digest in in_force,
        )


class Scorings(Model):
    """The newest models. The scorecard that the house comes with is on no shelf; policies name it by an empty digest."""

    object: Literal["list"] = "list"
    data: list[Scoring]


class Contribution(Model):
    """What one reason adds to the score in log-odds; positive speaks against the payment."""

    code: str
    log_odds: float
    features: dict[str, float]
    words: Words

    @classmethod
    def of(cls, found: ContributionFound) -> "Contribution":
        """Return a contribution as it is sent."""
        return cls(
            code=found.code.value,
            log_odds=found.log_odds,
            features=dict(found.features),
            words=Words.of(lambda language: explaining.analyst_text(found, language)),
        )


class Part(Model):
    """One feature, its value (null: unknown), and what it added in log-odds."""

    name: str
    value: float | None
    log_odds: float


class Account(Model):
    """``base`` and all ``parts`` sum to ``raw``, the score in log-odds; ``chance`` is that after calibration."""

    chance: float
    base: float
    raw: float
    contributions: list[Contribution]
    parts: list[Part]

    @classmethod
    def of(cls, found: AccountFound) -> "Account":
        """Return an account as it is sent."""
        return cls(
            chance=found.chance,
            base=found.base,
            raw=found.raw,
            contributions=[Contribution.of(each) for each in found.contributions],
            parts=[Part(**each._asdict()) for each in found.parts],
        )


class Explanation(Model):
    """Why a payment was judged as it was, exactly."""

    object: Literal["risk_explanation"] = "risk_explanation"
    decision: str
    payment: str
    policy_version: str
    model: str = Field(description="Digest of the model that scored; empty: the scorecard of the house.")
    tier: str
    position: Fact = Field(description="Position of the last fact that the decision knew.")
    features_digest: Fact
    is_reproduced: bool = Field(description="Whether the features were found again with this very digest.")
    reasons: list[Reason]
    account: Account | None = Field(description="Null where the features could not be found again.")
    words: Words

    @classmethod
    def of(cls, found: Recalled) -> "Explanation":
        """Return an explanation as it is sent."""
        decision, account = found.decision, found.account
        return cls(
            decision=decision.reference,
            payment=uuid_text(Intent.PREFIX, decision.subject_id),
            policy_version=f"{decision.policy}@{decision.version}",
            model=found.model,
            tier=decision.chosen,
            position=decision.context.get("position"),
            features_digest=decision.context.get("features"),
            is_reproduced=account is not None,
            reasons=[Reason.of(each) for each in decision.reasons],
            account=None if account is None else Account.of(account),
            words=REPRODUCED if account is not None else LOST,
        )


REPRODUCED = Words(
    zh="已按当时的数据重算全部特征，与决策记录的摘要一致。",
    en="All features were computed again from what was known then; their digest is that of the decision.",
)
LOST = Words(
    zh="无法重现当时的特征（评分未完成、记录尚未写入或更早的数据已不可用），因此不给出逐项说明。",
    en="The features of then cannot be found again (scoring failed, its facts are not written down yet, or older ones are "
    "gone), so no account of single features is given.",
)
