"""How judged payments look under ``/v2/risk``: what is asked, what was answered, and what became known."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints, model_validator

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.decisions.schema.log import Fact, Why
from tongbao.ledger.schema import AMOUNT_MINOR_MAX
from tongbao.payments.schema.intents import Intent
from tongbao.risk.schema.signals import KEY_CHARS_MAX, DeviceSign, Entity, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import explaining
from tongbao.risk.service.assessor import Looked
from tongbao.risk.service.looking import Judged, TierShare, hundredths
from tongbao.web.api.decision_models import Words
from tongbao.web.api.shapes import Amount, Body, Currency, Model, maybe_id

SIGNS = {
    sign.name.lower(): sign for sign in DeviceSign if sign.name is not None and sign is not DeviceSign.NONE
}
Key = Annotated[
    str,
    StringConstraints(max_length=KEY_CHARS_MAX, pattern=r"^[!-~]*$"),
    Field(description="A pseudonym without spaces, never a name or a whole address; empty where unknown."),
]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[ -~]+$")]
Country = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$"), Field(description="ISO 3166 alpha-2.")]
Mcc = Annotated[str, StringConstraints(pattern=r"^([0-9]{4})?$")]
PaymentId = Annotated[str, StringConstraints(max_length=64)]
Sign = Literal["emulator", "vpn", "rooted", "time_zone_mismatch", "headless"]


class About(Body):
    """Which payment: by its id, or by the merchant's own name for it."""

    payment: PaymentId | None = Field(default=None, description="`pi_…`")
    reference: Reference | None = Field(default=None, description="The merchant's own name for the payment.")

    @model_validator(mode="after")
    def _one(self) -> "About":
        if self.payment is not None and self.reference is not None:
            raise ValueError("payment and reference cannot be given together")
        return self


class Assess(About):
    """A payment that is about to be tried. Without ``payment`` and ``reference`` it gets a new id.

    Its amount is ``amount_minor``, or ``value`` in hundredths of the major unit. Keys of entities are pseudonyms that
    nobody could guess: equal keys are the same entity for every merchant of the house.
    """

    amount_minor: Amount | None = None
    value: Annotated[StrictInt, Field(ge=1, le=AMOUNT_MINOR_MAX)] | None = None
    currency: Currency
    method: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z0-9_]+$")] = "card"
    customer: Key = ""
    card: Key = ""
    device: Key = ""
    address: Key = ""
    email_domain: Annotated[
        str, StringConstraints(max_length=KEY_CHARS_MAX, pattern=r"^([a-z0-9-]+(\.[a-z0-9-]+)+)?$")
    ] = ""
    beneficiary: Key = ""
    card_country: Country = ""
    merchant_country: Country = ""
    address_country: Country = ""
    mcc: Mcc = ""
    funding: Literal["", "credit", "debit", "prepaid"] = ""
    is_recurring: StrictBool = False
    device_signs: list[Sign] = Field(default=[], max_length=len(SIGNS))
    latitude: StrictFloat | StrictInt | None = Field(default=None, ge=-90, le=90)
    longitude: StrictFloat | StrictInt | None = Field(default=None, ge=-180, le=180)
    can_step_up: StrictBool = Field(
        default=True, description="Whether the payer is there to prove who it is."
    )
    is_proved: StrictBool = Field(default=False, description="Whether the payer has just proved who it is.")

    @model_validator(mode="after")
    def _whole(self) -> "Assess":
        if (self.amount_minor is None) == (self.value is None):
            raise ValueError("either amount_minor or value has to be given")
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude belong together")
        return self

    def signals(self, look_id: UUID, at: datetime, whose: tuple[int, bool], subject_id: UUID) -> Signals:
        """Return the payment as risk control takes it; ``whose``: the book, and whether it is live.

        Raises InvalidRequest ``currency_unknown`` and ``currency_without_minor_unit``.
        """
        book_id, live = whose
        currency = self.currency.upper()
        value = hundredths(self.amount_minor or 0, currency) if self.value is None else self.value
        signs = DeviceSign.NONE
        for name in self.device_signs:
            signs |= SIGNS[name]
        own = {name: getattr(self, name) for name in _SAME}
        return Signals(
            id=look_id,
            at=at,
            book_id=book_id,
            live=live,
            subject_id=subject_id,
            value=value,
            currency=currency,
            merchant=str(book_id),
            device_signs=signs,
            latitude=None if self.latitude is None else float(self.latitude),
            longitude=None if self.longitude is None else float(self.longitude),
            **own,
        )


_SAME = (
    *("method", "customer", "card", "device", "address", "email_domain", "beneficiary", "card_country"),
    *("merchant_country", "address_country", "mcc", "funding", "is_recurring"),
)


class Reason(Model):
    """One reason: a code of a closed list, its numbers, and its words for analysts."""

    code: str
    facts: dict[str, Fact]
    words: Words

    @classmethod
    def of(cls, why: Why) -> "Reason":
        """Return a reason as it is sent."""
        words = Words.of(lambda language: explaining.said(why, language))
        return cls(code=why.code, facts=why.facts, words=words)


class Assessment(Model):
    """What is to be done with a payment, and why. It was written down before it was answered."""

    object: Literal["risk_assessment"] = "risk_assessment"
    payment: str
    tier: Tier
    score: float | None = Field(description="Calibrated chance of fraud, 0 to 1; null where scoring failed.")
    reasons: list[Reason]
    rules: list[str] = Field(description="Names of the rules that matched.")
    decision: str
    policy_version: str

    @classmethod
    def of(cls, looked: Looked) -> "Assessment":
        """Return a look as it is sent."""
        decision = looked.decision
        return cls(
            payment=looked.fact.signals.subject,
            tier=looked.tier,
            score=looked.fact.score,
            reasons=[Reason.of(each) for each in decision.reasons],
            rules=list(looked.fact.rules),
            decision=decision.reference,
            policy_version=f"{decision.policy}@{decision.version}",
        )


class CodeWords(Model):
    """A code with its words."""

    code: str
    words: Words


class Known(Model):
    """A look at a payment with everything that became known of it; null: nothing yet. ``value`` is in hundredths."""

    object: Literal["risk_look"] = "risk_look"
    decision: str | None
    payment: str
    live: bool
    at: datetime
    tier: str
    score: float | None
    value: int
    currency: str
    method: str
    entities: dict[str, str] = Field(description="Pseudonyms of those who take part, by kind.")
    reasons: list[CodeWords]
    rules: list[str]
    is_approved: bool | None = Field(description="How the payment ended at its channel.")
    end_code: str
    is_passed: bool | None = Field(description="Whether the payer proved who it is.")
    is_fraud: bool | None
    label_source: str
    labelled_at: datetime | None

    @classmethod
    def of(cls, judged: Judged) -> "Known":
        """Return a row as it is sent."""
        signals = judged.signals
        own: dict[str, Any] = {name: getattr(judged, name) for name in _ROW}
        return cls(
            decision=maybe_id(DECISION_PREFIX, judged.decision_id),
            payment=uuid_text(Intent.PREFIX, judged.subject_id),
            method=signals.method,
            entities={each.name.lower(): key for each in Entity if (key := signals.key(each))},
            reasons=[CodeWords(code=code, words=code_words(code)) for code in judged.reasons],
            rules=list(judged.rules),
            **own,
        )


_ROW = (
    *("live", "at", "tier", "score", "value", "currency", "is_approved", "end_code", "is_passed"),
    *("is_fraud", "label_source", "labelled_at"),
)


class Looks(Model):
    """Every look at a payment, oldest first."""

    object: Literal["list"] = "list"
    data: list[Known]


class Share(Model):
    """The payments of one tier; ``value`` sums hundredths of all currencies, without converting them."""

    tier: str
    share: float = Field(description="Of all payments of the time, 0 to 1.")
    payment_count: int
    approved_count: int
    fraud_count: int
    passed_count: int
    failed_count: int
    value: int


class Shares(Model):
    """How payments of a time were spread over tiers, from the least that a payer notices to the most."""

    object: Literal["risk_shares"] = "risk_shares"
    from_at: datetime = Field(serialization_alias="from")
    to_at: datetime = Field(serialization_alias="to")
    payment_count: int
    data: list[Share]

    @classmethod
    def of(cls, from_at: datetime, to_at: datetime, found: list[TierShare]) -> "Shares":
        """Return counts as they are sent."""
        total = sum(each.payment_count for each in found)
        by_tier = {each.tier: each for each in found}
        data = [
            Share(share=by_tier[tier].payment_count / total, **by_tier[tier]._asdict())
            for tier in Tier
            if tier in by_tier
        ]
        return cls(from_at=from_at, to_at=to_at, payment_count=total, data=data)


class LabelOrder(About):
    """What became known of a payment."""

    is_fraud: StrictBool

    @model_validator(mode="after")
    def _named(self) -> "LabelOrder":
        if self.payment is None and self.reference is None:
            raise ValueError("payment or reference has to be given")
        return self


class Label(Model):
    """A label as it was taken; it replaces an earlier one of the same payment."""

    object: Literal["risk_label"] = "risk_label"
    payment: str
    decision: str
    is_fraud: bool
    source: str
    actor: str
    at: datetime


def code_words(code: str) -> Words:
    """Return what a code means to an analyst."""
    return Words.of(lambda language: explaining.code_words(code, language))
