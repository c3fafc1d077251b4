"""What the tests of ``/v2`` share: the whole application over real services, and two furnished merchants.

Only the channels' other side is scripted. Time stands still until a test moves it.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from fastapi import APIRouter, FastAPI
from tests.parties.conftest import PASSWORD, Town, scope_of
from tests.payments import webhook_house
from tests.payments.conftest import CARD, House, open_house
from tests.payments.scripted import ScriptedChannel

from tongbao.channels.schema import Answer, Notification, NotificationKind, Outcome
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory, int_text, uuid_text
from tongbao.core.metrics import Metrics
from tongbao.parties.schema import (
    CustomerDraft,
    Holder,
    HolderKind,
    KeyDraft,
    KeyKind,
    Merchant,
    OperatorPermission,
    Permission,
    Person,
    Scope,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.orders import ConfirmOrder, IntentOrder, IntentView
from tongbao.payments.schema.webhooks import EventRow
from tongbao.web.api import answers, channels, passkeys, payments, sessions, wallets, webhooks
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls
from tongbao.web.api.v1.limits import Limits, Rates

BASE = "http://localhost"
EVERY_CALL = Rates(test_reads=1e6, test_writes=1e6, live_reads=1e6, live_writes=1e6)
Json = dict[str, Any]


@dataclass
class Tenant:
    """A merchant in one mode with a key that may do everything, and the ids of what it owns."""

    merchant: Merchant
    scope: Scope
    key: str
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """The key as a header."""
        return {"Authorization": f"Bearer {self.key}"}


@dataclass
class V2:
    """The application and short ways to bring somebody and something into it."""

    house: House
    parties: Parties
    people: Town
    hooks: webhook_house.House
    metrics: Metrics
    routers: list[APIRouter]
    app: FastAPI
    http: httpx.AsyncClient

    def channel(self, name: str = "one") -> ScriptedChannel:
        """A channel by name."""
        return self.house.channel(name)

    def client(self, base: str = BASE, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """Another caller: with cookies of its own, from an address of its own."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url=base)

    async def get(self, tenant: Tenant, path: str, status: int = 200, **params: Any) -> Json:
        """Read as a merchant."""
        answer = await self.http.get(path, params=params, headers=tenant.headers)
        assert answer.status_code == status, answer.text
        found: Json = answer.json()
        return found

    async def post(
        self, tenant: Tenant, path: str, body: Json | None = None, status: int = 200, key: str | None = None
    ) -> Json:
        """Write as a merchant."""
        answer = await self.send(tenant, path, body, key=key)
        assert answer.status_code == status, answer.text
        made: Json = answer.json()
        return made

    async def send(
        self, tenant: Tenant, path: str, body: Json | None = None, *, key: str | None = None
    ) -> httpx.Response:
        """Write as a merchant, and return whatever comes of it."""
        headers = tenant.headers | ({"Idempotency-Key": key} if key else {})
        return await self.http.post(path, json=body, headers=headers)

    async def tenant(self, merchant: Merchant | None = None, *, live: bool = False) -> Tenant:
        """A merchant in one mode, a new one where none is given, with a secret key."""
        merchant = merchant or await self.people.merchant()
        scope = scope_of(merchant, live=live)
        return Tenant(merchant, scope, await self.key(scope))

    async def key(self, scope: Scope, *permissions: Permission) -> str:
        """The text of a new key: a secret one, or a restricted one with these permissions."""
        kind = KeyKind.RESTRICTED if permissions else KeyKind.SECRET
        draft = KeyDraft(kind=kind, permissions=frozenset(permissions))
        async with self.house.database.transaction() as connection:
            issued = await self.parties.keys.create(connection, scope, draft)
        return issued.text.get_secret_value()

    async def signed_in(self, person: Person, client: httpx.AsyncClient) -> dict[str, str]:
        """Sign somebody in who has ``PASSWORD``; the client keeps the cookie. Returns the header of writes."""
        answer = await client.post("/v2/session", json={"email": person.email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return {"X-CSRF-Token": answer.json()["csrf_token"]}

    async def pay(self, tenant: Tenant, **fields: Any) -> IntentView:
        """A payment by card, created and confirmed at once."""
        values: Json = {"amount_minor": 1999, "currency": "CNY", "confirm": ConfirmOrder(method=CARD)}
        done = await self.house.payments.intents.create(tenant.scope, IntentOrder(**(values | fields)))
        assert done.view is not None
        return done.view

    async def customer(self, tenant: Tenant) -> UUID:
        """A customer of a merchant."""
        async with self.house.database.transaction() as connection:
            made = await self.parties.customers.create(connection, tenant.scope, CustomerDraft(name="Mei"))
        return made.customer_id

    async def passkey(self, tenant: Tenant, customer_id: UUID) -> str:
        """A passkey of a customer, by its id."""
        holder = Holder(HolderKind.CUSTOMER, customer_id, tenant.scope.book_id)
        async with self.house.database.transaction() as connection:
            made = await self.parties.passkeys.register(
                connection, holder, self.people.ids.uuid().bytes, b"key", label="multi_device"
            )
        return made.reference

    async def method(self, tenant: Tenant) -> UUID:
        """A saved card of a merchant."""
        done = await self.house.payments.methods.create(tenant.scope, CARD)
        assert done.view is not None
        return done.view.id

    async def wallet(self, tenant: Tenant, **fields: Any) -> str:
        """A wallet, by its id."""
        made = await self.post(tenant, "/v2/wallets", {"name": "Mei", "currency": "CNY"} | fields, 201)
        wallet: str = made["id"]
        return wallet

    async def funded(self, tenant: Tenant, amount_minor: int) -> str:
        """A wallet with so much in it."""
        wallet = await self.wallet(tenant)
        method = uuid_text("pm", await self.method(tenant))
        body = {"amount_minor": amount_minor, "currency": "CNY", "payment_method": method}
        made = await self.post(tenant, f"/v2/wallets/{wallet}/top_ups", body, 201)
        assert made["status"] == "succeeded"
        return wallet

    async def dispute(self, attempt: Attempt, channel: str = "one") -> None:
        """Let a channel tell of a dispute over the whole of an attempt."""
        answer = Answer(
            outcome=Outcome.APPROVED, amount_minor=attempt.amount_minor, currency=attempt.currency
        )
        self.channel(channel).notification = Notification(
            kind=NotificationKind.DISPUTE,
            event_id="ev",
            reference=attempt.reference,
            authorization_reference=attempt.reference,
            dispute_reference=f"case-{attempt.reference}",
            dispute_status="needs_response",
            reason_code="10.4",
            answer=answer,
        )
        told = await self.http.post(f"/v2/channels/{channel}/notifications", content=b"{}")
        assert told.status_code == 200, told.text

    async def events(self, tenant: Tenant) -> list[EventRow]:
        """Everything that was told of a merchant so far, projected now, oldest first."""
        await self.hooks.project()
        return await self.hooks.all_events(tenant.scope)

    async def furnished(self) -> Tenant:
        """A merchant that owns one of each thing that a path or a body can name."""
        tenant = await self.tenant()
        customer_id = await self.customer(tenant)
        endpoint = (await self.hooks.endpoint("http://localhost:1/hooks", scope=tenant.scope)).endpoint
        view = await self.pay(tenant, customer_id=customer_id)
        refund = await self.house.payments.refunds.create(
            tenant.scope, intent_id=view.intent.id, amount_minor=500
        )
        method_id = await self.method(tenant)
        setup = await self.house.payments.setups.create(
            tenant.scope, customer_id=customer_id, method_id=method_id, confirm=True
        )
        assert refund.view is not None
        assert setup.view is not None
        assert setup.view.mandate is not None
        events = await self.events(tenant)
        tenant.ids = {
            "payment": view.intent.reference,
            "attempt": uuid_text("pa", view.intent.attempt_id or UUID(int=0)),
            "refund": refund.view.refund.reference,
            "setup": setup.view.setup.reference,
            "mandate": setup.view.mandate.reference,
            "customer": uuid_text("cus", customer_id),
            "passkey": await self.passkey(tenant, customer_id),
            "method": uuid_text("pm", method_id),
            "wallet": await self.funded(tenant, 1_000),
            "other_wallet": await self.wallet(tenant),
            "endpoint": endpoint.reference,
            "event": events[0].reference,
            "merchant": int_text("acct", tenant.merchant.merchant_id),
        }
        return tenant

    def count(self, name: str, **labels: str) -> int:
        """The value of a counter."""
        return int(self.metrics.registry.get_sample_value(f"tongbao_{name}_total", labels) or 0)


@contextlib.asynccontextmanager
async def open_v2(database: Database, ids: IdFactory, limits: Limits | None = None) -> AsyncIterator[V2]:
    """The application over a database, wired as a process does it."""
    metrics = Metrics()
    async with open_house(database, ids) as house, Parties(database, house.clock, ids) as parties:
        hooks = webhook_house.House(database, ids, house.clock)
        calls = Calls(database, house.clock, ids)
        gate = Gate(parties.access, limits or Limits(EVERY_CALL))
        routers = [
            payments.router(calls, gate, parties, house.payments, house.ledger),
            wallets.router(calls, gate, parties, house.payments, house.ledger),
            channels.router(calls, gate, house.payments),
            channels.notification_router(calls, house.payments, metrics),
            sessions.router(calls, gate, parties),
            passkeys.router(calls, gate, parties.customer_passkeys),
            webhooks.router(calls, gate, webhooks.Webhooks(hooks.endpoints, hooks.deliveries)),
        ]
        app = FastAPI()
        answers.install(app)
        for router in routers:
            app.include_router(router)
        people = Town(
            parties,
            house.clock,
            database,
            ids,
            operator_of_job("tests", frozenset(OperatorPermission)),
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            yield V2(house, parties, people, hooks, metrics, routers, app, http)
        await hooks.close()


def session_headers(tenant: Tenant, mode: str = "test", **others: str) -> Mapping[str, str]:
    """What a signed-in browser says beside its cookie."""
    merchant = int_text("acct", tenant.merchant.merchant_id)
    return {"Tongbao-Merchant": merchant, "Tongbao-Mode": mode, **others}
