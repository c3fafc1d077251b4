"""Value types of the parties: who there is, and the scope in which somebody acts.

Two scopes exist and are different types: ``Scope`` is one merchant in one mode, ``OperatorScope`` is the house. A
query on what a merchant owns takes the first, so that one without a merchant does not type-check.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Generic, NewType, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import SecretStr

MerchantId = NewType("MerchantId", int)
StoreId = NewType("StoreId", UUID)
KeyId = NewType("KeyId", UUID)
PersonId = NewType("PersonId", UUID)
SessionId = NewType("SessionId", UUID)
CustomerId = NewType("CustomerId", UUID)
PayerId = NewType("PayerId", UUID)
DeviceId = NewType("DeviceId", UUID)

MERCHANT_PREFIX = "acct"
STORE_PREFIX = "store"
KEY_PREFIX = "key"
PERSON_PREFIX = "person"
SESSION_PREFIX = "session"
CUSTOMER_PREFIX = "cus"
PAYER_PREFIX = "payer"
DEVICE_PREFIX = "dev"
PASSKEY_PREFIX = "passkey"

PAGE_SIZE = 10
PAGE_SIZE_MAX = 100

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


class Permission(StrEnum):
    """What may be done for one merchant: a thing and an act. Closed; the roles' shares are in ``policy.roles``."""

    PAYMENTS_READ = "payments.read"
    PAYMENTS_WRITE = "payments.write"
    REFUNDS_READ = "refunds.read"
    REFUNDS_WRITE = "refunds.write"
    CUSTOMERS_READ = "customers.read"
    CUSTOMERS_WRITE = "customers.write"
    DISPUTES_READ = "disputes.read"
    DISPUTES_WRITE = "disputes.write"
    PAYOUTS_READ = "payouts.read"
    PAYOUTS_WRITE = "payouts.write"
    LEDGER_READ = "ledger.read"
    REPORTS_READ = "reports.read"
    WALLETS_READ = "wallets.read"
    WALLETS_WRITE = "wallets.write"
    ROUTING_READ = "routing.read"
    ROUTING_WRITE = "routing.write"
    RISK_READ = "risk.read"
    RISK_WRITE = "risk.write"
    MARKETING_READ = "marketing.read"
    MARKETING_WRITE = "marketing.write"
    EXPERIMENTS_READ = "experiments.read"
    EXPERIMENTS_WRITE = "experiments.write"
    WEBHOOKS_READ = "webhooks.read"
    WEBHOOKS_WRITE = "webhooks.write"
    KEYS_READ = "keys.read"
    KEYS_WRITE = "keys.write"
    MERCHANT_READ = "merchant.read"
    MERCHANT_WRITE = "merchant.write"
    SUB_MERCHANTS_READ = "sub_merchants.read"
    SUB_MERCHANTS_WRITE = "sub_merchants.write"
    PEOPLE_READ = "people.read"
    PEOPLE_WRITE = "people.write"
    CHECKOUT_CLIENT = "checkout.client"
    METHODS_CREATE = "methods.create"


class OperatorPermission(StrEnum):
    """What may be done for the whole house. No value is one of ``Permission``: neither ever passes for the other."""

    MERCHANTS_READ = "merchants.read"
    MERCHANTS_WRITE = "merchants.write"
    MERCHANTS_SUSPEND = "merchants.suspend"
    PACKAGES_WRITE = "packages.write"
    OPERATIONS_READ = "operations.read"
    CHANNELS_WRITE = "channels.write"
    BREAKS_RESOLVE = "breaks.resolve"
    FEES_WRITE = "fees.write"
    SETTLEMENTS_APPROVE = "settlements.approve"
    DAYS_CLOSE = "days.close"
    BOOKS_READ = "books.read"
    BOOKS_VERIFY = "books.verify"
    CASES_READ = "cases.read"
    CASES_DECIDE = "cases.decide"
    RULES_WRITE = "rules.write"
    RULES_PUBLISH = "rules.publish"
    ALL_DISPUTES_READ = "all_disputes.read"
    SECRETS_REVEAL = "secrets.reveal"
    PERSONS_ERASE = "persons.erase"
    AUDIT_READ = "audit.read"
    STAFF_READ = "staff.read"
    STAFF_WRITE = "staff.write"
    BANS_WRITE = "bans.write"
    ALL_KEYS_REVOKE = "all_keys.revoke"
    SETTINGS_WRITE = "settings.write"
    BACKUPS_RUN = "backups.run"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf, in which mode and with which rights something is done.

    Made by ``service.access`` from a checked key or session, never by hand outside of tests. ``book_id`` is the
    merchant's ledger book of this mode (live and test never share one) and leads every key of what it owns.
    ``actor`` is ``key:<id>`` or ``person:<id>`` and goes into audit records.
    """

    merchant_id: MerchantId
    book_id: int
    live: bool
    actor: str
    permissions: frozenset[str]


class OperatorScope(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts for the house, with which rights. Not a ``Scope``: operators have methods of their own.

    Made by ``service.access``. ``person_id`` is None for a job of the program itself, whose ``actor`` is
    ``job:<name>``.
    """

    person_id: PersonId | None
    actor: str
    permissions: frozenset[OperatorPermission]


class PageRequest(msgspec.Struct, Generic[Cursor], frozen=True, kw_only=True):
    """Which rows of a list, newest first: those older than one, or those newer than one, never both.

    ``ending_before`` gives the rows next to it, as turning back a page does. A cursor that names nothing of this
    list still marks a place in it, and tells nothing about anybody else's rows.
    """

    limit: int = PAGE_SIZE
    starting_after: Cursor | None = None
    ending_before: Cursor | None = None


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """Rows, newest first, and whether more follow in the direction that was asked for."""

    items: tuple[Item, ...]
    has_more: bool


class Address(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A postal address; ``country`` is ISO 3166-1 alpha-2."""

    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""


class MerchantState(StrEnum):
    """``suspended`` can be lifted, ``closed`` is for good."""

    OPEN = "open"
    SUSPENDED = "suspended"
    CLOSED = "closed"


MERCHANT_MOVES: Mapping[MerchantState, frozenset[MerchantState]] = {
    MerchantState.OPEN: frozenset({MerchantState.SUSPENDED, MerchantState.CLOSED}),
    MerchantState.SUSPENDED: frozenset({MerchantState.OPEN, MerchantState.CLOSED}),
    MerchantState.CLOSED: frozenset(),
}


class Package(StrEnum):
    """What a merchant bought: a set of features (``policy.packages``); its prices are those of clearing."""

    BASIC = "basic"
    ENTERPRISE = "enterprise"
    ECOMMERCE = "ecommerce"


class Feature(StrEnum):
    """What a package may hold."""

    CARDS = "cards"
    ALIPAY = "alipay"
    WECHAT_PAY = "wechat_pay"
    WALLET = "wallet"
    MANUAL_CAPTURE = "manual_capture"
    MULTIPLE_CAPTURE = "multiple_capture"
    PAYMENT_LINKS = "payment_links"
    MANDATES = "mandates"
    SPLITS = "splits"
    MARKETING = "marketing"
    EXPERIMENTS = "experiments"
    SUB_MERCHANTS = "sub_merchants"
    CUSTOM_ROUTING = "custom_routing"


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """Who is paid. ``merchant_id`` is also its live book; ``parent_id`` makes it a sub-merchant.

    ``version`` counts the changes from 1; a change names the version it has seen.
    """

    merchant_id: MerchantId
    test_book_id: int
    parent_id: MerchantId | None
    name: str
    display_name: str
    country: str
    default_currency: str
    mcc: str
    package: Package
    state: MerchantState
    timezone: str
    metadata: dict[str, str]
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def live_book_id(self) -> int:
        """The ledger book of real money."""
        return int(self.merchant_id)


class MerchantDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant to be. ``display_name`` defaults to the name."""

    name: str
    country: str
    default_currency: str
    mcc: str
    package: Package = Package.BASIC
    display_name: str = ""
    timezone: str = "UTC"
    metadata: dict[str, str] = {}


class MerchantChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant may change about itself; what is not set stays."""

    name: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    default_currency: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class StoreState(StrEnum):
    """A closed store keeps its history and can open again."""

    OPEN = "open"
    CLOSED = "closed"


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A place where the merchant sells; it serves both modes."""

    store_id: StoreId
    name: str
    address: Address
    timezone: str
    state: StoreState
    created_at: datetime


class StoreDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A store to be."""

    name: str
    address: Address = Address()
    timezone: str = "UTC"


class StoreChange(msgspec.Struct, frozen=True, kw_only=True):
    """What may change about a store; what is not set stays."""

    name: str | UnsetType = UNSET
    address: Address | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    state: StoreState | UnsetType = UNSET


class KeyKind(StrEnum):
    """A secret key may do everything, a publishable one only what a browser must, a restricted one what it lists."""

    SECRET = "secret"  # noqa: S105  # the name of a kind
    PUBLISHABLE = "publishable"
    RESTRICTED = "restricted"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be shown: its beginning and its last four characters, never the rest.

    ``last_used_at`` is coarse: at most once a minute. ``allowed_addresses`` are networks (CIDR); empty: from
    anywhere. ``replaced_by`` names the key that a rotation made in its place.
    """

    key_id: KeyId
    kind: KeyKind
    live: bool
    label: str
    prefix: str
    last4: str
    permissions: frozenset[Permission]
    allowed_addresses: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaced_by: KeyId | None


class KeyDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A key to be; ``permissions`` are for restricted keys alone, the other kinds have theirs by policy."""

    kind: KeyKind
    label: str = ""
    permissions: frozenset[Permission] = frozenset()
    allowed_addresses: tuple[str, ...] = ()
    expires_at: datetime | None = None


class IssuedKey(msgspec.Struct, frozen=True):
    """A new key and, this one time, its text."""

    key: ApiKey
    text: SecretStr


class MerchantRole(StrEnum):
    """What somebody is to a merchant."""

    OWNER = "owner"
    FINANCE = "finance"
    SUPPORT = "support"
    DEVELOPER = "developer"
    VIEWER = "viewer"


class OperatorRole(StrEnum):
    """What somebody is to the house."""

    OPERATOR_L1 = "operator_l1"
    OPERATOR_L2 = "operator_l2"
    RISK = "risk"
    LEGAL = "legal"
    AUDITOR = "auditor"
    SECURITY = "security"
    ADMIN = "admin"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who signs in: staff of merchants, of the house, or both."""

    person_id: PersonId
    email: str
    name: str
    locale: str
    created_at: datetime
    disabled_at: datetime | None


class PersonDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A person to be; ``email`` tells people apart, without regard to case. ``locale``: a BCP 47 tag."""

    email: str
    name: str
    locale: str = "en"


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """One person's role at one merchant, in both modes."""

    person_id: PersonId
    merchant_id: MerchantId
    role: MerchantRole
    created_at: datetime


class Member(msgspec.Struct, frozen=True):
    """A membership and whose it is."""

    person: Person
    role: MerchantRole


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser. ``seen_at`` is coarse: at most once a minute."""

    session_id: SessionId
    person_id: PersonId
    address: str
    agent: str
    created_at: datetime
    seen_at: datetime
    ended_at: datetime | None


class IssuedSession(msgspec.Struct, frozen=True):
    """A new session and, this one time, its token; ``csrf`` goes into the pages that it is shown."""

    session: Session
    token: SecretStr
    csrf: SecretStr


class HolderKind(StrEnum):
    """Who may hold a passkey."""

    PERSON = "person"
    PAYER = "payer"
    CUSTOMER = "customer"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a passkey: a person who signs in, a payer with a wallet, a merchant's customer in one mode.

    ``book_id`` is the book whose customer it is, None for people and payers.
    """

    kind: HolderKind
    holder_id: UUID
    book_id: int | None = None


class Passkey(msgspec.Struct, frozen=True, kw_only=True):
    """A registered WebAuthn credential; ``public_key`` is the COSE key as the authenticator gave it.

    ``label`` of a customer's is what the authenticator says of it: ``multi_device`` (synchronized) or ``single_device``.
    """

    credential_id: bytes
    holder: Holder
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...]
    label: str
    created_at: datetime
    last_used_at: datetime | None

    @property
    def reference(self) -> str:
        """The passkey as merchants see it: of its credential id, which payers' pages alone need, 128 bits of a digest."""
        return f"{PASSKEY_PREFIX}_{hashlib.sha256(self.credential_id).hexdigest()[:32]}"


class RelyingParty(msgspec.Struct, frozen=True):
    """For whom passkeys are made (WebAuthn level 3, 4): the domain ``id``, the one ``origin`` of its pages, a ``name``."""

    id: str
    origin: str
    name: str


class PasskeyVerdict(StrEnum):
    """What an authenticator's answer is worth; all but the first are a no, and stand in the order of checks."""

    GOOD = "good"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"  # no passkey of this holder, or not one that counts yet
    FOREIGN = "foreign"  # made on another site, or for one
    STALE = "stale"  # signed another challenge: another payment's, another amount's, one from before
    UNVERIFIED = "unverified"  # nobody was there, or the authenticator did not ask who it is
    FORGED = "forged"  # the signature is not the passkey's
    CLONED = "cloned"  # the counter did not grow: two authenticators have the key
    TAKEN = "taken"  # a registration of what is registered, or a second one after one proof
    FULL = "full"  # a registration beyond the most that one holder may have


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who pays one merchant, in one mode. A deleted one keeps its id and nothing that tells who it was."""

    customer_id: CustomerId
    email: str | None
    name: str | None
    phone: str | None
    description: str | None
    address: Address | None
    default_payment_method: str | None
    metadata: dict[str, str]
    version: int
    created_at: datetime
    deleted_at: datetime | None


class CustomerDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A customer to be."""

    email: str | None = None
    name: str | None = None
    phone: str | None = None
    description: str | None = None
    address: Address | None = None
    default_payment_method: str | None = None
    metadata: dict[str, str] = {}


class CustomerChange(msgspec.Struct, frozen=True, kw_only=True):
    """What may change about a customer: what is not set stays, None empties.

    ``metadata`` is merged: each key given is set, a key with an empty value is removed.
    """

    email: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    address: Address | UnsetType | None = UNSET
    default_payment_method: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class Payer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with a wallet of the house, at whichever merchant they pay. One wallet book, one payer."""

    payer_id: PayerId
    wallet_book_id: int
    name: str
    locale: str
    created_at: datetime

    @property
    def book_id(self) -> int:
        """The book that leads every key of what the payer owns."""
        return self.wallet_book_id

    @property
    def owner_id(self) -> UUID:
        """Who owns a device of theirs."""
        return self.payer_id


class CustomerOwner(msgspec.Struct, frozen=True):
    """A merchant's customer as the owner of devices."""

    scope: Scope
    customer_id: CustomerId

    @property
    def book_id(self) -> int:
        """The book that leads every key of what the customer owns."""
        return self.scope.book_id

    @property
    def owner_id(self) -> UUID:
        """Who owns a device of theirs."""
        return self.customer_id


DeviceOwner = Payer | CustomerOwner
"""Whose device it is: nothing about devices is read or written without one."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A phone or browser that was seen with its owner; ``public_key`` is empty until the device has made one."""

    device_id: DeviceId
    label: str
    public_key: bytes
    first_seen_at: datetime
    last_seen_at: datetime


class Acknowledgment(msgspec.Struct, frozen=True):
    """What somebody said about an alert that has stood since an instant."""

    alert: str
    since: datetime
    actor: str
    note: str
    at: datetime
