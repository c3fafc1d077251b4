"""How payments look under ``/v2``: intents, set-ups, mandates, and what a search finds.

States, reasons and certainty are the house's own words, untranslated: an attempt that is ``unresolved`` is told so.
Of persons nothing is shown: no e-mail address, no evidence, no secret of a client.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tongbao.channels import schema as channels
from tongbao.core.ids import int_text, uuid_text
from tongbao.parties.schema import CUSTOMER_PREFIX
from tongbao.payments.schema import attempts, intents, methods
from tongbao.web.api.shapes import Model, maybe_id, same_fields

WALLET_PREFIX = "wallet"
Minor = Annotated[int, Field(description="Whole minor units of the currency.")]


class Action(Model):
    """What the payer has to do before the channel goes on."""

    kind: str
    url: str | None
    qr_text: str | None
    data: dict[str, str]
    expires_at: datetime | None

    @classmethod
    def of(cls, action: channels.Action | None) -> "Action | None":
        """Return what the payer has to do as it is sent, where there is anything."""
        return None if action is None else cls.model_validate(same_fields(cls, action))


class PaymentError(Model):
    """Why the last attempt ended in a no: in standard words, and in the channel's own."""

    reason: str
    fault: str
    retry: str
    channel: str | None
    channel_code: str | None
    attempt: str | None

    @classmethod
    def of(cls, error: intents.PaymentError | None) -> "PaymentError | None":
        """Return a no as it is sent, where there was one."""
        if error is None:
            return None
        attempt = maybe_id(attempts.Attempt.PREFIX, error.attempt_id)
        return cls.model_validate(same_fields(cls, error, attempt=attempt))


class Intent(Model):
    """The wish to collect one amount."""

    object: Literal["payment_intent"] = "payment_intent"
    id: str
    live: bool
    status: str
    capture_state: str
    risk_state: str
    certainty: str = Field(description="`unknown`: an attempt has not told how it ended.")
    amount_minor: Minor
    amount_capturable_minor: Minor
    amount_received_minor: Minor
    amount_refunded_minor: Minor
    currency: str
    merchant_reference: str | None
    description: str | None
    customer: str | None
    payment_method: str | None
    mandate: str | None
    latest_attempt: str | None
    wallet: str | None = Field(description="The wallet that the money tops up.")
    next_action: Action | None
    last_error: PaymentError | None
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, intent: intents.Intent) -> "Intent":
        """Return an intent as it is sent."""
        wallet = None if intent.wallet_book_id is None else int_text(WALLET_PREFIX, intent.wallet_book_id)
        return cls.model_validate(
            same_fields(
                cls,
                intent,
                object="payment_intent",
                id=intent.reference,
                customer=maybe_id(CUSTOMER_PREFIX, intent.customer_id),
                payment_method=maybe_id(methods.PaymentMethod.PREFIX, intent.method_id),
                mandate=maybe_id(methods.Mandate.PREFIX, intent.mandate_id),
                latest_attempt=maybe_id(attempts.Attempt.PREFIX, intent.attempt_id),
                wallet=wallet,
                next_action=Action.of(intent.next_action),
                last_error=PaymentError.of(intent.last_error),
            )
        )


class SetupIntent(Model):
    """The wish to keep a method for later."""

    object: Literal["setup_intent"] = "setup_intent"
    id: str
    live: bool
    status: str
    usage: str
    customer: str | None
    payment_method: str | None
    mandate: str | None
    last_error: PaymentError | None
    created_at: datetime

    @classmethod
    def of(cls, setup: methods.SetupIntent) -> "SetupIntent":
        """Return a set-up intent as it is sent."""
        return cls.model_validate(
            same_fields(
                cls,
                setup,
                object="setup_intent",
                id=setup.reference,
                customer=maybe_id(CUSTOMER_PREFIX, setup.customer_id),
                payment_method=maybe_id(methods.PaymentMethod.PREFIX, setup.method_id),
                mandate=maybe_id(methods.Mandate.PREFIX, setup.mandate_id),
                last_error=PaymentError.of(setup.last_error),
            )
        )


class Found(Model):
    """What a search found; nothing is an answer too."""

    object: Literal["search_result"] = "search_result"
    data: list[Intent | SetupIntent]
    has_more: bool = Field(default=False, description="More payments of this customer than are shown.")


class Mandate(Model):
    """A payer's standing permission with its caps; null is no cap."""

    object: Literal["mandate"] = "mandate"
    id: str
    live: bool
    status: str
    payment_method: str
    customer: str | None
    currency: str | None
    amount_minor_max: int | None
    period: str | None
    period_minor_max: int | None
    period_count_max: int | None
    used_minor: Minor
    used_count: int
    ends_at: datetime | None
    accepted_at: datetime
    created_at: datetime

    @classmethod
    def of(cls, mandate: methods.Mandate) -> "Mandate":
        """Return a mandate as it is sent."""
        return cls.model_validate(
            same_fields(
                cls,
                mandate,
                object="mandate",
                id=mandate.reference,
                customer=maybe_id(CUSTOMER_PREFIX, mandate.customer_id),
                payment_method=uuid_text(methods.PaymentMethod.PREFIX, mandate.method_id),
            )
        )


class Mandates(Model):
    """A page of mandates, those given last first."""

    object: Literal["list"] = "list"
    data: list[Mandate]
    next_after: str | None = Field(description="Give it as `after` for the next page; null at the end.")
