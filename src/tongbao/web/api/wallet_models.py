"""How wallets look under ``/v2``: the bodies that open, fill and empty them, and what is answered."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tongbao.core.ids import int_text, uuid_text
from tongbao.parties.schema import PAYER_PREFIX, Payer
from tongbao.payments.schema.checkout import WalletTransfer as Paid
from tongbao.payments.service.wallets import NOTE_CHARS_MAX, Balance
from tongbao.web.api.payment_models import WALLET_PREFIX, Minor
from tongbao.web.api.shapes import Amount, Body, Currency, Model, Text, Url, same_fields

Note = Annotated[Text, StringConstraints(max_length=NOTE_CHARS_MAX)]


class WalletDraft(Body):
    """A wallet to be, in one currency."""

    name: Text = Field(description="Whose it is.")
    currency: Currency
    locale: Text = Field(default="en", description="Language tag, BCP 47.")


class TopUpOrder(Body):
    """Money into a wallet, by a payment with a saved method."""

    amount_minor: Amount
    currency: Currency
    payment_method: Text = Field(description="`pm_…`; not a wallet.")
    customer: Text | None = Field(default=None, description="`cus_…` whose method it is.")
    merchant_reference: Text | None = Field(
        default=None, description="Your own number of it: one number, one payment."
    )
    return_url: Url | None = Field(
        default=None, description="Where the payer comes back to from a page of the channel."
    )


class TransferOrder(Body):
    """Money from one of your wallets to another."""

    from_wallet: Text = Field(description="`wallet_…`.")
    to_wallet: Text = Field(description="`wallet_…`.")
    amount_minor: Amount
    currency: Currency
    note: Note | None = None


class Wallet(Model):
    """A wallet and what is in it, in one currency."""

    object: Literal["wallet"] = "wallet"
    id: str
    live: bool
    payer: str
    name: str
    currency: str
    posted_minor: Minor
    available_minor: Minor = Field(description="Posted, less what is held for payments under way.")
    created_at: datetime

    @classmethod
    def of(cls, payer: Payer, balance: Balance, *, live: bool) -> "Wallet":
        """Return a wallet as it is sent."""
        return cls(
            id=int_text(WALLET_PREFIX, balance.book_id),
            live=live,
            payer=uuid_text(PAYER_PREFIX, payer.payer_id),
            name=payer.name,
            currency=balance.currency,
            posted_minor=balance.posted_minor,
            available_minor=balance.available_minor,
            created_at=payer.created_at,
        )


class WalletTransfer(Model):
    """Money that went from one wallet to another."""

    object: Literal["wallet_transfer"] = "wallet_transfer"
    id: str
    live: bool
    from_wallet: str
    to_wallet: str
    amount_minor: Minor
    currency: str
    note: str | None
    status: str
    created_at: datetime

    @classmethod
    def of(cls, paid: Paid) -> "WalletTransfer":
        """Return a transfer as it is sent."""
        return cls.model_validate(
            same_fields(
                cls,
                paid,
                object="wallet_transfer",
                id=paid.reference,
                from_wallet=int_text(WALLET_PREFIX, paid.from_book_id),
                to_wallet=int_text(WALLET_PREFIX, paid.to_book_id),
            )
        )


class WalletTransfers(Model):
    """A page of transfers, newest first."""

    object: Literal["list"] = "list"
    data: list[WalletTransfer]
    has_more: bool
