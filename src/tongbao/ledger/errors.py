"""What can go wrong around the ledger, apart from refusals (those are values, ``schema.Refusal``).

::

    InvalidRequest
    └── BadTransferFile     a file that cannot be imported at all (single bad lines are reported, not raised)
    NotFound
    └── UnknownBook, UnknownAccount, UnknownAsset, UnknownTransfer, UnknownHold
    Conflict
    └── AccountTaken, BookTaken, AccountNotEmpty, StripedAccount
    InvariantBroken
    └── BooksBroken         balances, journal and seals contradict each other
"""

from tongbao.core.errors import Conflict, InvalidRequest, InvariantBroken, NotFound


class BadTransferFile(InvalidRequest):
    """A file that cannot be imported at all."""

    def __init__(self, detail: str, **facts: object) -> None:
        super().__init__("transfer_file_bad", detail, **facts)


class UnknownBook(NotFound):
    """No book has this id or code."""

    def __init__(self, book: object) -> None:
        super().__init__("book_unknown", f"no book {book}", book=book)


class UnknownAccount(NotFound):
    """The book has no such account."""

    def __init__(self, account: object) -> None:
        super().__init__("account_unknown", f"no account {account}", account=account)


class UnknownAsset(NotFound):
    """Neither an ISO 4217 currency nor an asset registered here."""

    def __init__(self, asset: object) -> None:
        super().__init__("asset_unknown", f"no asset {asset}", asset=asset)


class UnknownTransfer(NotFound):
    """The book has no transfer with this key."""

    def __init__(self, key: object) -> None:
        super().__init__("transfer_unknown", f"no transfer {key}", key=key)


class UnknownHold(NotFound):
    """The book has no hold with this key."""

    def __init__(self, key: object) -> None:
        super().__init__("hold_unknown", f"no hold {key}", key=key)


class BookTaken(Conflict):
    """Another book has this code already, with another template or name."""

    def __init__(self, code: str) -> None:
        super().__init__("book_taken", f"book {code} exists with another template", book=code)


class AccountTaken(Conflict):
    """The book has an account of this code and asset already, with other properties."""

    def __init__(self, code: str) -> None:
        super().__init__("account_taken", f"account {code} exists with other properties", account=code)


class AccountNotEmpty(Conflict):
    """An account is closed only at balance zero and without holds."""

    def __init__(self, code: str, balance_minor: int, held_minor: int) -> None:
        super().__init__(
            "account_not_empty",
            f"account {code} still has {balance_minor} posted and {held_minor} held",
            account=code,
            balance_minor=balance_minor,
            held_minor=held_minor,
        )


class StripedAccount(Conflict):
    """A striped account carries no limits: it is spread over rows that no single lock covers."""

    def __init__(self, code: str) -> None:
        super().__init__("account_striped", f"account {code} is striped and cannot be limited", account=code)


class BooksBroken(InvariantBroken):
    """Balances, journal and seals contradict each other."""

    def __init__(self, detail: str, **facts: object) -> None:
        super().__init__("books_broken", detail, **facts)
