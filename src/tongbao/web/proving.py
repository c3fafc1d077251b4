"""Proving, wired: where codes go, who carries them, and how a payment goes on once its payer has proved who it is."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.config import Settings
from tongbao.core.errors import Conflict, NotFound
from tongbao.core.ids import IdFactory, parse_uuid, uuid_text
from tongbao.core.requests.asks import Ask, Rendered, ask_digest
from tongbao.core.requests.running import kept_until
from tongbao.parties.schema import Customer, CustomerId, OperatorPermission, Scope
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.parties.service.passkey_ceremonies import Payer
from tongbao.payments.schema.checkout import CheckoutSession
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.orders import ConfirmOrder
from tongbao.payments.service.intents import Intents
from tongbao.risk.ports import CodeSender
from tongbao.risk.schema.challenges import Destination, DestinationKind
from tongbao.risk.schema.mail import MailServer, Security
from tongbao.risk.service.challenging import Carriers, Challenging
from tongbao.risk.service.senders import open_sender
from tongbao.risk.service.step_up_links import StepUpLinks, open_step_up_secret
from tongbao.web.runtime import Runtime
from tongbao.web.step_up.passkeys import PayerPasskeys


@dataclass(frozen=True)
class Proofs:
    """What payers prove themselves with: challenges, the addresses of their pages, and the secret behind both.

    ``sender`` carries codes; ``mails``: it has a mail server.
    """

    challenging: Challenging
    links: StepUpLinks
    addresses: "Addresses"
    passkeys: PayerPasskeys
    secret: bytes
    sender: CodeSender
    mails: bool


@contextlib.contextmanager
def open_proofs(runtime: Runtime, settings: Settings, secrets_dir: Path, base_url: str) -> Iterator[Proofs]:
    """Lend the proofs of a house; raise NotPermitted ``key_file_exposed``, ValueError for an open mail password."""
    clock = runtime.clock
    secret = open_step_up_secret(secrets_dir / "risk.key")
    addresses = Addresses()
    passkeys = PayerPasskeys(runtime.database, clock, addresses, secret=secret, base_url=base_url)
    with open_sender(_mail_server(settings), clock) as sender:
        carriers = Carriers({DestinationKind.EMAIL: sender}, addresses, passkeys)
        challenging = Challenging(runtime.database, clock, runtime.ledger.ids, carriers, secret=secret)
        yield Proofs(
            challenging,
            StepUpLinks(secret, base_url, clock),
            addresses,
            passkeys,
            secret,
            sender,
            settings.mail_host is not None,
        )


class Addresses:
    """Who payers are, and their addresses (``risk.ports.Destinations``); known once payments are open."""

    def __init__(self) -> None:
        self.proving: Proving | None = None

    async def find(self, book_id: int, reference: str, *, live: bool) -> Destination | None:
        """See ``risk.ports.Destinations``."""
        return None if self.proving is None else await self.proving.find(book_id, reference, live=live)

    async def payer(self, book_id: int, intent_id: UUID) -> Payer | None:
        """See ``Proving.payer``."""
        return None if self.proving is None else await self.proving.payer(book_id, intent_id)


class Proving:
    """Reads and confirms on behalf of payers who hold the address of a step-up page, and of nobody else."""

    def __init__(
        self, intents: Intents, parties: Parties, clock: Clock, ids: IdFactory, base_url: str
    ) -> None:
        self._intents = intents
        self._parties = parties
        self._clock = clock
        self._ids = ids
        self._base_url = base_url
        self._operator = operator_of_job("step_up", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def find(self, book_id: int, reference: str, *, live: bool) -> Destination | None:
        """Return the address that the payer of a payment is known by; None where there is none.

        That is the address of the merchant's customer, where the customer was there before the payment: one that came
        with the payment proves nothing. In test mode the address for the receipt will do.
        """
        try:
            scope = await self._scope(book_id)
            intent = (await self._intents.get(scope, parse_uuid(Intent.PREFIX, reference))).intent
            customer = await self._known(scope, intent)
        except (ValueError, NotFound):
            return None
        address = None if customer is None else customer.email
        if not address and not live:
            address = intent.receipt_email
        return Destination(kind=DestinationKind.EMAIL, address=address) if address else None

    async def payer(self, book_id: int, intent_id: UUID) -> Payer | None:
        """Return whose passkeys may prove a payment, in test mode too: a customer who was there before it; or None."""
        try:
            scope = await self._scope(book_id)
            intent = (await self._intents.get(scope, intent_id)).intent
            customer = await self._known(scope, intent)
        except NotFound:
            return None
        return None if customer is None else Payer(scope, customer.customer_id, intent.created_at)

    async def go_on(self, book_id: int, intent_id: UUID) -> str:
        """Confirm a payment whose payer has proved who it is; return where the payer goes now. A repeat changes nothing."""
        scope = await self._scope(book_id)
        intent = (await self._intents.get(scope, intent_id)).intent
        if intent.state is IntentState.REQUIRES_ACTION:
            # Where somebody was faster, the merchant or another tab, what is stored tells how it went.
            with contextlib.suppress(Conflict):
                await self._intents.confirm(scope, intent_id, ConfirmOrder(), ask=self._ask(intent))
            intent = (await self._intents.get(scope, intent_id)).intent
        return self._way_on(intent)

    async def _known(self, scope: Scope, intent: Intent) -> Customer | None:
        """Return the customer of a payment who was there before it began; raise UnknownCustomer."""
        if intent.customer_id is None:
            return None
        customer = await self._parties.customers.get(scope, CustomerId(intent.customer_id))
        is_known = customer.created_at < intent.created_at and customer.deleted_at is None
        return customer if is_known else None

    def _way_on(self, intent: Intent) -> str:
        """Return where the payer goes: the channel's page, the checkout of this house, or the merchant's own page."""
        action = intent.next_action
        if intent.state is IntentState.REQUIRES_ACTION and action is not None and action.url:
            return action.url
        if intent.session_id is not None:
            return f"{self._base_url}/c/{uuid_text(CheckoutSession.PREFIX, intent.session_id)}"
        if intent.return_url:
            joint = "&" if "?" in intent.return_url else "?"
            return f"{intent.return_url}{joint}payment_intent={intent.reference}"
        return ""

    async def _scope(self, book_id: int) -> Scope:
        """Return the scope of a payer: the merchant's book, and no permission; raise UnknownMerchant."""
        merchant = await self._parties.merchants.of_book(self._operator, book_id)
        return Scope(
            merchant_id=merchant.merchant_id,
            book_id=book_id,
            live=book_id != merchant.test_book_id,
            actor="payer",
            permissions=frozenset(),
        )

    def _ask(self, intent: Intent) -> Ask:
        """Return the request that goes on: one for each time that a proof was asked for."""
        return Ask(
            digest=ask_digest("step_up.continue", intent.reference, str(intent.version)),
            fingerprint=ask_digest(intent.reference),
            key=intent.reference,
            request_id=uuid_text("req", self._ids.uuid()),
            render=lambda _: Rendered(303, b""),
            kept_until=kept_until(self._clock.now(), moves_money=True),
        )


def _mail_server(settings: Settings) -> MailServer | None:
    if settings.mail_host is None:
        return None
    return MailServer(
        host=settings.mail_host,
        port=settings.mail_port,
        sender=settings.mail_sender,
        security=Security(settings.mail_security),
        username=settings.mail_username,
        password=settings.mail_password,
    )
