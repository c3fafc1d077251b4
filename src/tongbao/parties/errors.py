"""What can go wrong around parties. None of it tells whether an e-mail address, a key or a session exists.

::

    InvalidRequest
    └── BadField            a field that can never be accepted (``<field>_invalid``)
    NotFound
    └── UnknownMerchant, UnknownStore, UnknownKey, UnknownPerson, UnknownSession, UnknownPasskey,
        UnknownCustomer, UnknownPayer, UnknownDevice      also what another merchant owns
    NotPermitted
    ├── NotAuthenticated    who is asking is not known: the HTTP layer answers 401 to these
    │   └── KeyRefused, SessionRefused, SignInRefused, CodeWrong, PasskeyNotTaken, LinkDead
    └── PermissionMissing, FeatureMissing, MerchantNotOpen, GrantTooWide, LiveOnly
    Conflict
    └── VersionChanged, MoveRefused, KeyDead, BooksTaken, LastOwner, RolesClash, PasskeyRefused,
        WalletTaken, CustomerDeleted, ContactTaken
    LimitExceeded
    └── SignInLocked        too many wrong passwords: ``retry_after_s`` says when to come back
"""

from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, NotFound, NotPermitted


class BadField(InvalidRequest):
    """A field that can never be accepted as it is."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}_invalid", rule, field=field)


class _Unknown(NotFound):
    """Nothing of this id is there, or it is not this caller's."""

    what = "thing"

    def __init__(self, name: object) -> None:
        super().__init__(f"{self.what}_unknown", f"no {self.what} {name}", **{self.what: str(name)})


class UnknownMerchant(_Unknown):
    """No merchant has this id, or it is not a sub-merchant of the caller."""

    what = "merchant"


class UnknownStore(_Unknown):
    """The merchant has no such store."""

    what = "store"


class UnknownKey(_Unknown):
    """The merchant has no such key in this mode."""

    what = "key"


class UnknownPerson(_Unknown):
    """No such person here."""

    what = "person"


class UnknownSession(_Unknown):
    """The person has no such session."""

    what = "session"


class UnknownPasskey(_Unknown):
    """The holder has no such passkey."""

    what = "passkey"


class UnknownCustomer(_Unknown):
    """The merchant has no such customer in this mode."""

    what = "customer"


class UnknownPayer(_Unknown):
    """No payer has this id."""

    what = "payer"


class UnknownDevice(_Unknown):
    """The owner has no such device."""

    what = "device"


class NotAuthenticated(NotPermitted):
    """Who is asking is not known."""


class KeyRefused(NotAuthenticated):
    """A key that does not open.

    Codes: ``api_key_invalid``, ``api_key_revoked``, ``api_key_expired``, ``api_key_address``.
    """


class SessionRefused(NotAuthenticated):
    """A session that is over or never was (``session_invalid``), or its request forgery token (``csrf_invalid``)."""


class SignInRefused(NotAuthenticated):
    """The e-mail address and the password do not go together; which of them is wrong is not said."""

    def __init__(self) -> None:
        super().__init__("sign_in_refused", "this e-mail address and password do not go together")


class CodeWrong(NotAuthenticated):
    """A code is not the one that was sent (``code_wrong``), or no longer good (``code_over``)."""


class PasskeyNotTaken(NotAuthenticated):
    """An authenticator's answer lets nobody in; ``verdict`` says why, for the words of the page."""

    def __init__(self, verdict: str) -> None:
        super().__init__("passkey_not_taken", "this passkey lets nobody in here", verdict=verdict)


class LinkDead(NotAuthenticated):
    """A link that sets a password, or a recovery code, was used, replaced, or is too old."""

    def __init__(self) -> None:
        super().__init__("link_dead", "this link or code was used before, or is too old")


class PermissionMissing(NotPermitted):
    """The key or the person may not do this."""

    def __init__(self, permission: str, actor: str) -> None:
        super().__init__(
            "permission_missing",
            f"this needs the permission {permission}",
            permission=permission,
            actor=actor,
        )


class FeatureMissing(NotPermitted):
    """The merchant's package does not hold this."""

    def __init__(self, feature: str) -> None:
        super().__init__("feature_missing", f"the merchant's package has no {feature}", feature=feature)


class MerchantNotOpen(NotPermitted):
    """The merchant is suspended or closed (``merchant_suspended``, ``merchant_closed``)."""

    def __init__(self, state: str) -> None:
        super().__init__(f"merchant_{state}", f"the merchant is {state}", state=state)


class GrantTooWide(NotPermitted):
    """Nobody hands on more than they have."""

    def __init__(self, missing: frozenset[str]) -> None:
        names = ", ".join(sorted(missing))
        super().__init__("grant_too_wide", f"you cannot give what you do not have: {names}", missing=names)


class LiveOnly(NotPermitted):
    """What serves both modes is changed in live mode alone: a test key, often less guarded, must not reach it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "live_only", f"{what} serve live and test alike: change them in live mode", what=what
        )


class VersionChanged(Conflict):
    """Somebody changed it since it was read: read it again."""

    def __init__(self, seen: int, current: int) -> None:
        super().__init__(
            "version_changed", f"version {seen} is not current, {current} is", seen=seen, current=current
        )


class MoveRefused(Conflict):
    """The state does not lead there."""

    def __init__(self, what: str, current: str, wanted: str) -> None:
        super().__init__(
            f"{what}_state",
            f"a {what} that is {current} cannot become {wanted}",
            current=current,
            wanted=wanted,
        )


class KeyDead(Conflict):
    """The key is revoked, expired or replaced already; a rotation starts from a living one."""

    def __init__(self, key: str) -> None:
        super().__init__("key_dead", f"key {key} is revoked, expired or replaced", key=key)


class BooksTaken(Conflict):
    """One of the two books belongs to another merchant."""

    def __init__(self, merchant: str) -> None:
        super().__init__("books_taken", f"a book of {merchant} has another merchant", merchant=merchant)


class LastOwner(Conflict):
    """A merchant keeps at least one owner."""

    def __init__(self) -> None:
        super().__init__("last_owner", "a merchant keeps at least one owner")


class RolesClash(Conflict):
    """Two roles that one person may not hold together."""

    def __init__(self, role: str, held: str) -> None:
        super().__init__("roles_clash", f"{role} and {held} are kept apart", role=role, held=held)


class PasskeyRefused(Conflict):
    """The credential is registered already, or its counter went back (``passkey_taken``, ``passkey_cloned``)."""


class WalletTaken(Conflict):
    """The wallet's book belongs to another payer."""

    def __init__(self, book_id: int) -> None:
        super().__init__("wallet_taken", f"book {book_id} has a payer already", book_id=book_id)


class ContactTaken(Conflict):
    """Another wallet has this address."""

    def __init__(self) -> None:
        super().__init__("contact_taken", "another wallet has this address")


class CustomerDeleted(Conflict):
    """A deleted customer does not change."""

    def __init__(self, customer: str) -> None:
        super().__init__("customer_deleted", f"customer {customer} is deleted", customer=customer)


class SignInLocked(LimitExceeded):
    """Too many wrong passwords for this e-mail address from this network address."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "sign_in_locked",
            f"too many attempts; try again in {retry_after_s} s",
            retry_after_s=retry_after_s,
        )
