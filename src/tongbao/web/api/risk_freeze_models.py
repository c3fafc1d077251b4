"""How freezes and challenges look under ``/v2/risk``."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.risk.schema.challenges import Challenge as ChallengeFound
from tongbao.risk.schema.challenges import ChallengeState, Means
from tongbao.risk.schema.freezes import REASON_CHARS_MAX, FreezeAct, FreezeActKind, FreezeOrder, FreezeState
from tongbao.risk.schema.freezes import Freeze as FreezeFound
from tongbao.risk.schema.signals import KEY_CHARS_MAX, Entity
from tongbao.web.api.shapes import Body, Model

Kind = Literal["customer", "card", "device", "merchant", "address", "email_domain", "beneficiary"]
Why = Annotated[str, StringConstraints(min_length=1, max_length=REASON_CHARS_MAX)]


class FreezeBody(Body):
    """Who is to be frozen, and why."""

    entity: Kind
    key: Annotated[str, StringConstraints(min_length=1, max_length=KEY_CHARS_MAX)] = Field(
        description="The pseudonym, as looks tell it."
    )
    reason: Why

    def order(self, live: bool) -> FreezeOrder:
        """Return it as the service takes it."""
        return FreezeOrder(live=live, entity=entity_of(self.entity), key=self.key, reason=self.reason)


class ReleaseBody(Body):
    """Why a release is asked for, agreed to or refused."""

    why: Why


class Freeze(Model):
    """A freeze as it stands; it is in force until two people let go."""

    object: Literal["risk_freeze"] = "risk_freeze"
    id: str
    live: bool
    entity: str
    key: str
    state: FreezeState
    reason: str
    frozen_by: str
    frozen_at: datetime
    requested_by: str | None = Field(description="Who asked for its release.")
    released_at: datetime | None

    @classmethod
    def of(cls, found: FreezeFound, mark: str = "") -> "Freeze":
        """Return a freeze as it is sent; ``mark`` is left out of its merchant's names."""
        return cls(
            id=found.reference,
            live=found.live,
            entity=found.entity.name.lower(),
            key=found.key,
            state=found.state,
            reason=found.reason,
            frozen_by=found.frozen_by.removeprefix(mark),
            frozen_at=found.frozen_at,
            requested_by=found.requested_by.removeprefix(mark) or None,
            released_at=found.released_at,
        )


class Freezes(Model):
    """Freezes, newest first."""

    object: Literal["list"] = "list"
    data: list[Freeze]
    has_more: bool


class Act(Model):
    """One line of a freeze's history, which is never edited."""

    number: int
    kind: FreezeActKind
    actor: str
    why: str
    at: datetime

    @classmethod
    def of(cls, act: FreezeAct, mark: str = "") -> "Act":
        """Return a line as it is sent."""
        return cls(
            number=act.number,
            kind=act.kind,
            actor=act.actor.removeprefix(mark),
            why=act.why,
            at=act.at,
        )


class History(Model):
    """Everything that was done to a freeze, oldest first."""

    object: Literal["list"] = "list"
    data: list[Act]


class Challenge(Model):
    """A step-up: a payer is asked to prove who it is, for exactly one payment. The address is told masked."""

    object: Literal["risk_challenge"] = "risk_challenge"
    id: str
    live: bool
    payment: str
    decision: str
    amount_minor: int
    currency: str
    payee: str
    means: Means
    state: ChallengeState
    masked: str
    attempts_left: int
    sends_left: int
    opened_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, found: ChallengeFound, now: datetime) -> "Challenge":
        """Return a challenge as it is sent; one whose time is over has expired, whether or not that is written."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        told = {
            "id": found.reference,
            "payment": found.subject,
            "decision": uuid_text(DECISION_PREFIX, found.signals_id),
            "state": found.state_at(now),
        }
        return cls.model_validate(own | told)


class Challenges(Model):
    """Challenges, newest first."""

    object: Literal["list"] = "list"
    data: list[Challenge]
    has_more: bool


def entity_of(name: str) -> Entity:
    """Return the kind of an entity by its name in small letters."""
    return Entity[name.upper()]
