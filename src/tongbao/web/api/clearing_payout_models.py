"""How payouts, and the accounts that they go to, look under ``/v2/payouts``."""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from pydantic import Field, StringConstraints

from tongbao.clearing.schema.batches import BATCH_PREFIX
from tongbao.clearing.schema.payouts import DESTINATION_PREFIX, DestinationState, PayoutState
from tongbao.clearing.schema.payouts import Destination as DestinationFound
from tongbao.clearing.schema.payouts import Payout as PayoutFound
from tongbao.core.ids import int_text, uuid_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.web.api.clearing_sides import who_did
from tongbao.web.api.shapes import Body, Model, Text

Note = Annotated[str, StringConstraints(max_length=500)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Resolving(Model):
    """What one person says became of a payout; another one has to say the same."""

    state: PayoutState
    actor: str
    note: str
    at: datetime

    @classmethod
    def of(cls, found: PayoutFound) -> "Resolving | None":
        """Return what was said of a payout, where somebody did."""
        return (
            None if found.resolving is None else cls.model_validate(msgspec.structs.asdict(found.resolving))
        )


class Payout(Model):
    """Money on its way to one account. `end_to_end` is what every bank on the way finds it by."""

    object: Literal["payout"] = "payout"
    id: str
    book: str
    live: bool
    batch: str
    account: str
    amount_minor: int
    currency: str
    state: PayoutState
    version: int
    end_to_end: str
    due_on: date
    sent_at: datetime | None
    ended_at: datetime | None
    bank: str
    bank_reference: str | None
    code: str | None = Field(
        description="Why the bank refused or returned it, as the bank's standard codes it."
    )
    message: str | None
    created_at: datetime
    updated_at: datetime
    resolving: Resolving | None = Field(
        default=None, description="What a first person of the house says became of it; for the house only."
    )

    @classmethod
    def of(cls, found: PayoutFound, *, is_house: bool = False) -> "Payout":
        """Return a payout as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        told = {
            "id": found.reference,
            "book": int_text(BOOK_PREFIX, found.book_id),
            "batch": uuid_text(BATCH_PREFIX, found.batch_id),
            "account": uuid_text(DESTINATION_PREFIX, found.destination_id),
            "resolving": Resolving.of(found) if is_house else None,
        }
        return cls.model_validate(own | told)


class Payouts(Model):
    """Payouts, newest first."""

    object: Literal["list"] = "list"
    data: list[Payout]
    has_more: bool = False


class CancelOrder(Body):
    """Why a payout that was not sent is taken back."""

    note: Why


class ResolveOrder(Body):
    """What became of an unresolved payout, and how that is known."""

    state: Literal[PayoutState.PAID, PayoutState.REJECTED]
    note: Why


class AccountOrder(Body):
    """An account that money is to go to: an IBAN, or a local number with its bank's code (CNAPS, ABA) and country."""

    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
    holder: Text
    scheme: Literal["iban", "local"]
    number: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    agent_code: Annotated[str, StringConstraints(max_length=32)] = ""
    country: Annotated[str, StringConstraints(pattern="^([A-Za-z]{2})?$")] = ""
    note: Note = ""


class ConfirmOrder(Body):
    """Confirmation, by somebody else, of the version of an account that was looked at."""

    version: int = Field(ge=1)
    note: Note = ""


class PauseOrder(Body):
    """Why an account is paused."""

    reason: Why


class NoteOrder(Body):
    """Why something is done with an account."""

    note: Why


class Account(Model):
    """An account that money may go to; of its number only the end is ever told."""

    object: Literal["payout_account"] = "payout_account"
    id: str
    currency: str
    state: DestinationState
    version: int
    holder: str
    scheme: str
    last4: str
    agent_code: str
    country: str
    proposed_by: str
    confirmed_by: str | None
    usable_at: datetime | None = Field(description="Until then it cools down: nothing is paid to it.")
    paused_reason: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, found: DestinationFound) -> "Account":
        """Return an account as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls.model_validate(own | {"id": found.reference})


class Accounts(Model):
    """Accounts, newest first."""

    object: Literal["list"] = "list"
    data: list[Account]
    has_more: bool = False


class Act(Model):
    """Who moved an account, when and why."""

    version: int
    state: DestinationState
    at: datetime
    actor: str
    note: str


class AccountFile(Model):
    """An account with everything that was done with it, oldest first."""

    object: Literal["payout_account_file"] = "payout_account_file"
    of: Account
    history: list[Act]


def shown_actor(actor: str) -> str:
    """Return who moved an account as its merchant may know it: its own people by name."""
    return actor if actor.startswith(("person:", "key:")) else who_did(actor, is_house=False)
