"""What the tests of events and webhooks share: facts to publish, a receiver that answers as told, and the workers."""

import random
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from tongbao.core.clock import Clock, FrozenClock
from tongbao.core.db import Database
from tongbao.core.events.delivery import Delivery as FactDelivery
from tongbao.core.events.facts import Fact
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.events.subscriptions import Projection
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.parties.schema import MerchantId, Scope
from tongbao.payments.adapters.secret_box import AesGcmBox
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.facts import Event, Happened
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.webhooks import (
    Delivery,
    EndpointDraft,
    EventOrder,
    EventRow,
    IssuedEndpoint,
    UrlRules,
)
from tongbao.payments.service.deliveries import Deliveries
from tongbao.payments.service.delivering import Delivering, DeliveryLimits
from tongbao.payments.service.events import Events, event_projection
from tongbao.payments.service.webhooks import WebhookEndpoints

PATIENT = DeliveryLimits(patience_s=5.0)
ANYWHERE = UrlRules(allow_local=True)
KEY = bytes(range(32))


def render(event: EventRow) -> bytes:
    """Put an event into words as the web layer does, only shorter."""
    body = {
        "id": event.reference,
        "object": "event",
        "type": event.type,
        "created": int(event.created_at.timestamp()),
        "livemode": event.live,
        "sequence": event.sequence,
        "data": {"object": msgspec.json.decode(event.snapshot)},
    }
    return msgspec.json.encode(body)


class Got(NamedTuple):
    """A request that the receiver got."""

    path: str
    headers: CIMultiDict[str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The body, read."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """A merchant's server on this machine: keeps what it got and answers by path, 200 where nothing is said."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.got: list[Got] = []
        self.answers: dict[str, list[int | Handler]] = defaultdict(list)
        self._runner: web.ServerRunner | None = None
        self.base = ""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.base = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def url(self, path: str = "/hooks") -> str:
        """The URL of a path."""
        return self.base + path

    def at(self, path: str) -> list[Got]:
        """What came to a path."""
        return [each for each in self.got if each.path == path]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.got.append(Got(request.path, CIMultiDict(request.headers), body))
        answers = self.answers[request.path]
        answer = answers.pop(0) if len(answers) > 1 else (answers or [200])[0]
        if isinstance(answer, int):
            return web.Response(status=answer, text="thank you")
        return await answer(request)  # type: ignore[arg-type]  # a handler needs no application


class House:
    """Outbox, relay, projection and services over one database, on one clock."""

    def __init__(self, database: Database, ids: IdFactory, clock: FrozenClock) -> None:
        self.database = database
        self.ids = ids
        self.clock = clock
        self.metrics = Metrics()
        self.box = AesGcmBox([KEY])
        self.outbox = Outbox(clock, ids)
        self.relay = Relay(database, clock, self.metrics)
        self.projection = self.new_projection()
        self.events = Events(database, clock)
        self.endpoints = WebhookEndpoints(database, self.box, ANYWHERE, clock, ids)
        self.deliveries = Deliveries(database, clock)
        self.scope = self.new_scope()
        self._workers: list[Delivering] = []

    def new_scope(self, *, live: bool = False) -> Scope:
        """A merchant of its own."""
        book_id = self.ids.int63()
        return Scope(
            merchant_id=MerchantId(book_id),
            book_id=book_id,
            live=live,
            actor="key:test",
            permissions=frozenset(),
        )

    def new_projection(self, subscription: Projection | None = None) -> FactDelivery:
        """The projection as another process would run it."""
        subscription = subscription or event_projection(self.clock)
        return FactDelivery(self.database, subscription, self.clock, self.ids, self.metrics, lease_s=0.5)

    def worker(self, rules: UrlRules = ANYWHERE, clock: Clock | None = None, **options: Any) -> Delivering:
        """A worker as another process would run it, closed with the house."""
        options = {"chance": random.Random(7), "limits": PATIENT, "render": render, **options}
        worker = Delivering(
            self.database,
            options.pop("render"),
            options.pop("box", self.box),
            rules,
            clock or self.clock,
            self.ids,
            self.metrics,
            **options,
        )
        self._workers.append(worker)
        return worker

    def intent(self, scope: Scope | None = None, **fields: Any) -> Intent:
        """An intent of a merchant."""
        now = self.clock.now()
        scope = scope or self.scope
        values: dict[str, Any] = {
            "id": self.ids.uuid(),
            "book_id": scope.book_id,
            "live": scope.live,
            "created_at": now,
            "updated_at": now,
            "state": IntentState.REQUIRES_PAYMENT_METHOD,
            "amount_minor": 1_280,
            "currency": "CNY",
            "client_secret": "pi_secret_x",
        }
        return Intent(**(values | fields))

    def happened(self, *told: tuple[str, Document], **fields: Any) -> Happened:
        """A fact: each type with its document."""
        return Happened(
            occurred_at=self.clock.now(),
            book_id=told[0][1].book_id,
            live=told[0][1].live,
            events=tuple(Event(kind, index) for index, (kind, _) in enumerate(told)),
            documents=tuple(document for _, document in told),  # type: ignore[misc]  # of the union
            **fields,
        )

    async def tell(self, *facts: Fact) -> None:
        """Publish facts in one commit and project whatever is new."""
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, facts)
        await self.project()

    async def project(self, projection: FactDelivery | None = None) -> None:
        """Relay and project everything."""
        await self.relay.place_all()
        while await (projection or self.projection).step():
            pass

    async def tell_of(self, *kinds: str, scope: Scope | None = None) -> list[Intent]:
        """Tell of one new intent for each type, each in a fact of its own."""
        intents = [self.intent(scope) for _ in kinds]
        await self.tell(*(self.happened((kind, intent)) for kind, intent in zip(kinds, intents, strict=True)))
        return intents

    async def endpoint(
        self, url: str, *enabled_events: str, scope: Scope | None = None, **fields: Any
    ) -> IssuedEndpoint:
        """Create an endpoint, for all events where none is named."""
        draft = EndpointDraft(url=url, enabled_events=enabled_events or ("*",), **fields)
        async with self.database.transaction() as connection:
            return await self.endpoints.create(connection, scope or self.scope, draft)

    async def all_events(self, scope: Scope | None = None) -> list[EventRow]:
        """The events of a merchant, oldest first."""
        return (await self.events.list(scope or self.scope, EventOrder(limit=100))).items[::-1]

    async def delivery(self, event_id: UUID | None = None) -> Delivery:
        """The one delivery of an event; of the only event where none is named."""
        if event_id is None:
            (event,) = await self.all_events()
            event_id = event.id
        (delivery,) = await self.deliveries.of_event(self.scope, event_id)
        return delivery

    async def deliver_all(self, worker: Delivering) -> None:
        """Deliver until nothing is due."""
        await worker.settle()
        while await worker.deliver_due():
            await worker.settle()

    async def close(self) -> None:
        """Close the workers and forget everything."""
        for worker in self._workers:
            await worker.close()
        await self.projection.close()
        async with self.database.transaction() as connection:
            await connection.execute(
                "TRUNCATE webhooks.event, webhooks.endpoint, webhooks.delivery, webhooks.attempt"
            )


def moment() -> datetime:
    """The instant at which the tests' clocks begin: the machine's, so that official verifiers accept signatures."""
    return datetime.now(UTC).replace(microsecond=0)
