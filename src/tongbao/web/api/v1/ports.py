"""What the interface asks of the rooms behind it. Every method acts in one ``Scope`` and raises their errors.

Writes take the ``Ask`` of a repeatable request, or None, and return ``Done``; reads raise NotFound
``resource_missing``. Wiring is the business of ``web.app``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from tongbao.channels.schema import Method
from tongbao.core.clock import Clock
from tongbao.core.ids import IdFactory
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Customer, CustomerChange, CustomerDraft, Merchant, Scope
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.balances import BalanceLine, BalanceTransaction
from tongbao.payments.schema.checkout import CheckoutSession, LineItem, OpenAmount, PaymentLink
from tongbao.payments.schema.intents import CancelReason, CaptureMethod
from tongbao.payments.schema.methods import Mandate, PaymentMethod, SetupIntent
from tongbao.payments.schema.orders import (
    ConfirmOrder,
    Done,
    IntentChange,
    IntentOrder,
    IntentView,
    MandateTerms,
    Page,
    PageOrder,
    RefundView,
    SetupView,
)
from tongbao.payments.schema.refunds import Dispute, Refund
from tongbao.payments.schema.webhooks import (
    Endpoint,
    EndpointChange,
    EndpointDraft,
    EventOrder,
    EventRow,
    IssuedEndpoint,
)
from tongbao.payments.service.sessions import SessionOrder, SessionView
from tongbao.privacy.schema import CardInput, CardToken
from tongbao.web.api.v1.forms import Params


class Intents(Protocol):
    """Payment intents and their attempts; see ``payments.service.intents``."""

    async def create(self, scope: Scope, order: IntentOrder, *, ask: Ask | None) -> Done[IntentView]:
        """Make an intent, and collect it where the order says so."""
        ...

    async def confirm(
        self, scope: Scope, intent_id: UUID, order: ConfirmOrder, *, ask: Ask | None
    ) -> Done[IntentView]:
        """Try to collect."""
        ...

    async def change(
        self, scope: Scope, intent_id: UUID, change: IntentChange, *, ask: Ask | None
    ) -> Done[IntentView]:
        """Change what is not confirmed yet."""
        ...

    async def capture(
        self, scope: Scope, intent_id: UUID, amount_minor: int | None, *, final: bool | None, ask: Ask | None
    ) -> Done[IntentView]:
        """Claim authorized money, all of it without an amount."""
        ...

    async def increment(
        self, scope: Scope, intent_id: UUID, total_minor: int, *, ask: Ask | None
    ) -> Done[IntentView]:
        """Raise an authorization to a new total."""
        ...

    async def cancel(
        self, scope: Scope, intent_id: UUID, reason: CancelReason | None, *, ask: Ask | None
    ) -> Done[IntentView]:
        """End an intent that was not paid."""
        ...

    async def get(self, scope: Scope, intent_id: UUID) -> IntentView:
        """Return one."""
        ...

    async def page(self, scope: Scope, order: PageOrder) -> Page[IntentView]:
        """Return a page."""
        ...

    async def attempt(self, scope: Scope, attempt_id: UUID) -> Attempt:
        """Return one attempt."""
        ...

    async def attempts(self, scope: Scope, order: PageOrder) -> Page[Attempt]:
        """Return a page of attempts."""
        ...


class Refunds(Protocol):
    """Refunds; see ``payments.service.refunding``."""

    async def create(
        self,
        scope: Scope,
        *,
        intent_id: UUID | None,
        attempt_id: UUID | None,
        amount_minor: int | None,
        cause: str | None,
        metadata: dict[str, str] | None,
        ask: Ask | None,
    ) -> Done[RefundView]:
        """Give captured money of an intent or an attempt back, all that is left without an amount."""
        ...

    async def change(
        self, scope: Scope, refund_id: UUID, metadata: dict[str, str], *, ask: Ask | None
    ) -> Done[Refund]:
        """Merge metadata."""
        ...

    async def get(self, scope: Scope, refund_id: UUID) -> Refund:
        """Return one."""
        ...

    async def page(self, scope: Scope, order: PageOrder) -> Page[Refund]:
        """Return a page."""
        ...


class Disputes(Protocol):
    """Disputes; see ``payments.service.disputing``."""

    async def change(
        self,
        scope: Scope,
        dispute_id: UUID,
        *,
        evidence: dict[str, str] | None,
        metadata: dict[str, str] | None,
        submit: bool,
        ask: Ask | None,
    ) -> Done[Dispute]:
        """Merge evidence and metadata; hand the evidence in where ``submit`` says so."""
        ...

    async def close(self, scope: Scope, dispute_id: UUID, *, ask: Ask | None) -> Done[Dispute]:
        """Accept a dispute as lost."""
        ...

    async def get(self, scope: Scope, dispute_id: UUID) -> Dispute:
        """Return one."""
        ...

    async def page(self, scope: Scope, order: PageOrder) -> Page[Dispute]:
        """Return a page."""
        ...


class Methods(Protocol):
    """Saved payment methods; see ``payments.service.methods``."""

    async def create(
        self,
        scope: Scope,
        method: Method,
        *,
        billing: dict[str, object] | None,
        fingerprint: str | None,
        metadata: dict[str, str] | None,
        ask: Ask | None,
    ) -> Done[PaymentMethod]:
        """Keep a method."""
        ...

    async def change(
        self,
        scope: Scope,
        method_id: UUID,
        *,
        billing: dict[str, object] | None,
        exp_month: int | None,
        exp_year: int | None,
        metadata: dict[str, str] | None,
        ask: Ask | None,
    ) -> Done[PaymentMethod]:
        """Change what surrounds a method, or its expiry."""
        ...

    async def attach(
        self, scope: Scope, method_id: UUID, customer_id: UUID, *, ask: Ask | None
    ) -> Done[PaymentMethod]:
        """Give a method to a customer."""
        ...

    async def detach(self, scope: Scope, method_id: UUID, *, ask: Ask | None) -> Done[PaymentMethod]:
        """Take a method from its customer."""
        ...

    async def get(self, scope: Scope, method_id: UUID) -> PaymentMethod:
        """Return one."""
        ...

    async def page(self, scope: Scope, order: PageOrder) -> Page[PaymentMethod]:
        """Return a page."""
        ...


class Setups(Protocol):
    """Set-up intents and mandates; see ``payments.service.setups``."""

    async def create(
        self,
        scope: Scope,
        *,
        customer_id: UUID | None,
        method_id: UUID | None,
        usage: str,
        description: str | None,
        terms: MandateTerms | None,
        metadata: dict[str, str] | None,
        confirm: bool,
        payer_address: str | None,
        ask: Ask | None,
    ) -> Done[SetupView]:
        """Make a set-up intent; ``confirm`` keeps the method at once."""
        ...

    async def confirm(
        self,
        scope: Scope,
        setup_id: UUID,
        *,
        method_id: UUID | None,
        terms: MandateTerms | None,
        payer_address: str | None,
        ask: Ask | None,
    ) -> Done[SetupView]:
        """Check the method at a channel and keep it."""
        ...

    async def cancel(
        self, scope: Scope, setup_id: UUID, reason: str | None, *, ask: Ask | None
    ) -> Done[SetupView]:
        """End a set-up intent."""
        ...

    async def get(self, scope: Scope, setup_id: UUID) -> SetupView:
        """Return one."""
        ...

    async def page(self, scope: Scope, order: PageOrder) -> Page[SetupIntent]:
        """Return a page."""
        ...

    async def mandate(self, scope: Scope, mandate_id: UUID) -> Mandate:
        """Return a mandate."""
        ...


class Checkouts(Protocol):
    """Payment links and checkout sessions; see ``payments.service.sessions``."""

    async def create(self, scope: Scope, order: SessionOrder, *, ask: Ask | None) -> Done[SessionView]:
        """Open a session."""
        ...

    async def get(self, scope: Scope, session_id: UUID) -> SessionView:
        """Return one."""
        ...

    async def page(self, scope: Scope, order: PageOrder) -> Page[CheckoutSession]:
        """Return a page."""
        ...

    async def expire(self, scope: Scope, session_id: UUID, *, ask: Ask | None) -> Done[SessionView]:
        """Close a session that nobody completed."""
        ...

    async def create_link(
        self,
        scope: Scope,
        items: tuple[LineItem, ...],
        currency: str,
        *,
        method_kinds: tuple[str, ...],
        capture_method: CaptureMethod,
        redirect_url: str | None,
        completed_count_max: int | None,
        inactive_message: str | None,
        open_amount: OpenAmount | None,
        metadata: dict[str, str] | None,
        ask: Ask | None,
    ) -> Done[PaymentLink]:
        """Make a link."""
        ...

    async def change_link(
        self,
        scope: Scope,
        link_id: UUID,
        *,
        active: bool | None,
        metadata: dict[str, str] | None,
        ask: Ask | None,
    ) -> Done[PaymentLink]:
        """Switch a link, or merge its metadata."""
        ...

    async def link(self, scope: Scope, link_id: UUID) -> PaymentLink:
        """Return one link."""
        ...

    async def links(self, scope: Scope, order: PageOrder) -> Page[PaymentLink]:
        """Return a page of links."""
        ...


class Customers(Protocol):
    """Customers; ``joining.JoinedCustomers`` makes this of those of ``parties``."""

    async def create(self, scope: Scope, draft: CustomerDraft, *, ask: Ask | None) -> Done[Customer]:
        """Make a customer."""
        ...

    async def change(
        self, scope: Scope, customer_id: UUID, change: CustomerChange, *, ask: Ask | None
    ) -> Done[Customer]:
        """Change a customer."""
        ...

    async def delete(self, scope: Scope, customer_id: UUID, *, ask: Ask | None) -> Done[Customer]:
        """Delete a customer; nothing that tells who it was is left."""
        ...

    async def get(self, scope: Scope, customer_id: UUID) -> Customer:
        """Return one, also a deleted one."""
        ...

    async def page(
        self, scope: Scope, *, email: str | None, limit: int, after: UUID | None, before: UUID | None
    ) -> Page[Customer]:
        """Return a page, of those with an e-mail address only where one is given."""
        ...


class EventLog(Protocol):
    """Events; see ``payments.service.events``."""

    async def get(self, scope: Scope, event_id: UUID) -> EventRow:
        """Return one."""
        ...

    async def list(self, scope: Scope, order: EventOrder) -> Page[EventRow]:
        """Return a page."""
        ...


class Endpoints(Protocol):
    """Webhook endpoints; ``joining.JoinedEndpoints`` makes this of those of ``payments``."""

    async def create(self, scope: Scope, draft: EndpointDraft, *, ask: Ask | None) -> Done[IssuedEndpoint]:
        """Make an endpoint."""
        ...

    async def change(
        self,
        scope: Scope,
        endpoint_id: UUID,
        change: EndpointChange,
        *,
        enabled: bool | None,
        ask: Ask | None,
    ) -> Done[Endpoint]:
        """Change an endpoint, and switch it where ``enabled`` says so."""
        ...

    async def delete(self, scope: Scope, endpoint_id: UUID, *, ask: Ask | None) -> Done[Endpoint]:
        """Delete an endpoint; return what it was."""
        ...

    async def get(self, scope: Scope, endpoint_id: UUID) -> Endpoint:
        """Return one."""
        ...

    async def list(self, scope: Scope) -> list[Endpoint]:
        """Return all of them; there are few."""
        ...


class Balances(Protocol):
    """What a merchant has, and what moved it."""

    async def balance(self, scope: Scope) -> list[BalanceLine]:
        """Return one line a currency, in order of its code."""
        ...

    async def get(self, scope: Scope, transaction_id: UUID) -> BalanceTransaction:
        """Return one; raise NotFound ``resource_missing``."""
        ...

    async def page(
        self, scope: Scope, order: PageOrder, *, kind: str | None, currency: str | None
    ) -> Page[BalanceTransaction]:
        """Return a page, of this kind (``charge``, ``refund`` …) and currency only where they are given."""
        ...


class Cards(Protocol):
    """The vault, as far as callers reach it; ``joining.VaultCards`` makes this of that of ``privacy``."""

    async def keep(self, scope: Scope, card: CardInput) -> CardToken:
        """Seal a card and return its token; raise CardInvalid, CardDataRefused."""
        ...


class Accounts(Protocol):
    """The merchant itself."""

    async def own(self, scope: Scope) -> Merchant:
        """Return the merchant of the scope."""
        ...


class Keys(Protocol):
    """Who is asking; see ``parties.service.access``."""

    async def scope_of_key(self, text: str, *, address: str | None) -> Scope:
        """Return the scope that a key opens from a network address; raise NotAuthenticated."""
        ...


@dataclass(frozen=True)
class Services:
    """Everything that the interface reaches. ``scan`` raises where a card number stands in a forbidden place.

    ``cashier_url`` begins the addresses of the cashier's pages; ``docs_url`` explains error codes, by fragment.
    """

    keys: Keys
    intents: Intents
    refunds: Refunds
    disputes: Disputes
    methods: Methods
    setups: Setups
    sessions: Checkouts
    customers: Customers
    events: EventLog
    endpoints: Endpoints
    balances: Balances
    cards: Cards
    accounts: Accounts
    scan: Callable[[Params], None]
    clock: Clock
    ids: IdFactory
    cashier_url: str
    docs_url: str | None = None
