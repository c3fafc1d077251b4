"""How the books look to programs: the JSON of the ledger's interface and of ``tongbao ledger … --json``.

Ids are text with a prefix (``core.ids``). Amounts are whole numbers of the asset's minor units (``scale`` tells
its decimals); sums of an account may exceed 2**53, so read them as 64-bit integers. Balances are signed credits
minus debits, whatever the normal side. Instants are ISO 8601 in UTC.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tongbao.core.ids import int_text, uuid_text
from tongbao.ledger import schema
from tongbao.ledger.schema import ACCOUNT_PREFIX, BOOK_PREFIX, TRANSFER_PREFIX
from tongbao.ledger.service.reading import Axis, unbalanced
from tongbao.ledger.service.sealing import SealHead

BookText = Annotated[str, Field(description="Id of a book, `book_…`.")]
AccountText = Annotated[str, Field(description="Id of an account, `acct_…`.")]
TransferText = Annotated[str, Field(description="Key of a transfer, `tr_…`; it is the idempotency key.")]
Minor = Annotated[int, Field(description="Whole minor units of the asset.")]
Scale = Annotated[int, Field(description="Decimals of the asset: 2 means that 1234 is 12.34.")]
Posted = Annotated[int, Field(description="Credits minus debits, minor units, signed.")]
At = Annotated[datetime, Field(description="Instant, UTC.")]
State = Literal["open", "receive_only", "frozen", "closed"]


class Model(BaseModel):
    """What is sent."""

    model_config = ConfigDict(frozen=True, defer_build=True)


class Book(Model):
    """A closed set of accounts that balances by itself."""

    id: BookText
    code: str
    template: str
    name: str
    created_at: At

    @classmethod
    def of(cls, book: schema.Book) -> "Book":
        """Return a book as it is sent."""
        return cls.model_validate(_same_fields(cls, book) | {"id": int_text(BOOK_PREFIX, book.book_id)})


class Account(Model):
    """An account and its balance now."""

    id: AccountText
    book_id: BookText
    code: str = Field(description="Path; what stands below a slash is a virtual account.")
    name: str
    asset: str
    scale: Scale
    normal_side: Literal["debit", "credit"]
    striped: bool = Field(description="Spread over several rows for load; carries no limits.")
    state: State
    floor_minor: int | None = Field(
        description="Least credits minus debits allowed, minor units; null: none."
    )
    ceiling_minor: int | None = Field(
        description="Most credits minus debits allowed, minor units; null: none."
    )
    debits_minor: Minor
    credits_minor: Minor
    debits_held_minor: Minor
    credits_held_minor: Minor
    posted_minor: Posted
    available_minor: int = Field(description="Posted minus what outgoing holds reserve, minor units, signed.")

    @classmethod
    def of(cls, account: schema.Account) -> "Account":
        """Return an account as it is sent."""
        own = {
            "id": int_text(ACCOUNT_PREFIX, account.account_id),
            "book_id": int_text(BOOK_PREFIX, account.book_id),
            "normal_side": account.normal_side.name.lower(),
            "state": account.state.name.lower(),
        }
        return cls.model_validate(_same_fields(cls, account) | own)


class Change(Model):
    """One line of an account's history of states and limits."""

    change_no: int
    changed_at: At
    state: State
    floor_minor: int | None = Field(description="Floor from then on, minor units; null: none.")
    ceiling_minor: int | None = Field(description="Ceiling from then on, minor units; null: none.")
    actor: str
    reason: str

    @classmethod
    def of(cls, change: schema.AccountChange) -> "Change":
        """Return one line of an account's history as it is sent."""
        return cls.model_validate(_same_fields(cls, change) | {"state": change.state.name.lower()})


class Entry(Model):
    """One leg of a transfer as its account sees it."""

    transfer: TransferText
    seq: int | None = Field(description="Place in the book's sealed order; null while unsealed.")
    kind: str
    code: str
    reference: str | None
    other_account_id: AccountText
    posted_delta_minor: int = Field(description="Change of the balance, minor units, credits positive.")
    held_delta_minor: int = Field(description="Change of what is held, minor units, credits positive.")
    balance_minor: int | None = Field(
        description="Credits minus debits after it, minor units; null: unsealed."
    )
    occurred_at: At
    recorded_at: At

    @classmethod
    def of(cls, entry: schema.Entry) -> "Entry":
        """Return one entry as it is sent."""
        own = {
            "transfer": uuid_text(TRANSFER_PREFIX, entry.key),
            "kind": entry.kind.name.lower(),
            "other_account_id": int_text(ACCOUNT_PREFIX, entry.other_account_id),
        }
        return cls.model_validate(_same_fields(cls, entry) | own)


class Statement(Model):
    """A page of entries, newest first."""

    account: Account
    entries: list[Entry]
    next_before: str | None = Field(description="Give it as `before` for the next page; null at the end.")

    @classmethod
    def of(cls, page: schema.StatementPage) -> "Statement":
        """Return a page of a statement as it is sent."""
        entries = [Entry.of(entry) for entry in page.entries]
        return cls(account=Account.of(page.account), entries=entries, next_before=page.next_before)


class Balance(Model):
    """The balance of an account as of an instant, inclusive."""

    account_id: AccountText
    at: At
    axis: Axis
    asset: str
    scale: Scale
    debits_minor: Minor
    credits_minor: Minor
    debits_held_minor: Minor
    credits_held_minor: Minor
    posted_minor: Posted

    @classmethod
    def of(cls, balance: schema.BalanceAt, account: schema.Account, axis: Axis) -> "Balance":
        """Return a balance as of an instant as it is sent."""
        own = {
            "account_id": int_text(ACCOUNT_PREFIX, account.account_id),
            "axis": axis,
            "asset": account.asset,
            "scale": account.scale,
        }
        return cls.model_validate(_same_fields(cls, balance) | own)


class TrialBalanceLine(Model):
    """Sums of one account; over all books, of the accounts of one template with their trees."""

    book_code: str = Field(description="Code of the book; over all books, the template.")
    account_code: str
    asset: str
    scale: Scale
    debits_minor: Minor
    credits_minor: Minor


class TrialBalance(Model):
    """Sums of every account, and whether debits equal credits."""

    balanced: bool
    differences_minor: dict[str, int] = Field(description="Debits minus credits by asset, where not zero.")
    lines: list[TrialBalanceLine]

    @classmethod
    def of(cls, lines: Sequence[schema.TrialBalanceLine]) -> "TrialBalance":
        """Return a trial balance as it is sent."""
        rows = [TrialBalanceLine.model_validate(_same_fields(TrialBalanceLine, line)) for line in lines]
        differences = unbalanced(list(lines))
        return cls(balanced=not differences, differences_minor=differences, lines=rows)


class Transfer(Model):
    """One row of the journal."""

    key: TransferText
    book_id: BookText
    kind: str
    debit_account_id: AccountText
    credit_account_id: AccountText
    amount_minor: Minor
    asset_id: int = Field(description="ISO 4217 number, or the id of a custom asset.")
    code: str
    reference: str | None
    occurred_at: At
    recorded_at: At
    refers_to: str | None = Field(description="The hold or transfer that it follows, `tr_…`.")
    group: str | None = Field(description="Key of the first transfer of its linked group, `tr_…`.")
    group_size: int | None
    requested_minor: int | None = Field(
        description="Of a balancing transfer: the most asked for, minor units."
    )
    released_minor: int | None = Field(
        description="Of a final capture: what it freed of the hold, minor units."
    )
    expires_at: datetime | None = Field(description="End of a hold, UTC.")

    @classmethod
    def of(cls, row: schema.JournalRow) -> "Transfer":
        """Return one row of the journal as it is sent."""
        own = {
            "key": uuid_text(TRANSFER_PREFIX, row.key),
            "book_id": int_text(BOOK_PREFIX, row.book_id),
            "kind": row.kind.name.lower(),
            "debit_account_id": int_text(ACCOUNT_PREFIX, row.debit_account_id),
            "credit_account_id": int_text(ACCOUNT_PREFIX, row.credit_account_id),
            "refers_to": None if row.refers_to is None else uuid_text(TRANSFER_PREFIX, row.refers_to),
            "group": None if row.group_key is None else uuid_text(TRANSFER_PREFIX, row.group_key),
        }
        return cls.model_validate(_same_fields(cls, row) | own)


class Head(Model):
    """The newest seal of a book: remember its hash outside of the house."""

    book: str
    seal_no: int = Field(description="0 where nothing is sealed yet.")
    transfer_count: int = Field(description="Transfers sealed up to here.")
    seal_hash: str = Field(description="SHA-256 in hex; chains this seal to all before it.")

    @classmethod
    def of(cls, book_code: str, head: SealHead) -> "Head":
        """Return the newest seal of a book as it is sent."""
        return cls(
            book=book_code,
            seal_no=head.seal_no,
            transfer_count=head.transfer_count,
            seal_hash=head.seal_hash.hex(),
        )


def _same_fields(model: type[Model], source: object) -> dict[str, object]:
    """Return the fields that a model and its source call by the same name."""
    return {name: getattr(source, name) for name in model.model_fields if hasattr(source, name)}
