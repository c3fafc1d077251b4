"""What is sent about payments that risk control judges: the payment itself, and what it turned out to be."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints, model_validator

from tongbao.ledger.schema import AMOUNT_MINOR_MAX
from tongbao.risk.schema.signals import KEY_CHARS_MAX, DeviceSign, Signals
from tongbao.risk.service.looking import hundredths
from tongbao.web.api.shapes import Amount, Body, Currency

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


class LabelOrder(About):
    """What became known of a payment."""

    is_fraud: StrictBool

    @model_validator(mode="after")
    def _named(self) -> "LabelOrder":
        if self.payment is None and self.reference is None:
            raise ValueError("payment or reference has to be given")
        return self
