"""What the tests of decisions under ``/v2`` share: the whole program's application over two channels that approve.

Nothing is scripted: payments are made by ``/v1``, routed by the router of the house and written down by its log. Time
stands still until a test moves it.
"""

import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.parties.conftest import PASSWORD, Town, scope_of
from tests.web.v2_house import Json, Tenant

from tongbao.channels.service.banks import BankSpec
from tongbao.channels.service.building import ChannelSpec
from tongbao.core.clock import FrozenClock
from tongbao.core.config import Settings
from tongbao.core.db import Database
from tongbao.core.events.running import Events
from tongbao.core.ids import IdFactory, parse_uuid, uuid_text
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import KeyDraft, KeyKind, Merchant, OperatorPermission, OperatorRole, Permission
from tongbao.parties.service.access import operator_of_job
from tongbao.web.app import create_app
from tongbao.web.house import House, open_house
from tongbao.web.runtime import Runtime
from tongbao.web.signing.rooms import Doors
from tongbao.web.workers import Workers

BASE = "http://localhost"
CHANNELS = ("east", "west")
CURRENCIES = ["CNY", "USD", "EUR"]


@dataclass
class Whole:
    """The application and short ways to ask it."""

    house: House
    app: Any
    clock: FrozenClock
    ids: IdFactory
    people: Town
    events: Events
    http: httpx.AsyncClient

    async def tenant(self, merchant: Merchant | None = None, *, live: bool = False) -> Tenant:
        """A merchant in one mode, a new one where none is given, with a secret key."""
        merchant = merchant or await self.people.merchant()
        scope = scope_of(merchant, live=live)
        tenant = Tenant(merchant, scope, "")
        tenant.key = await self.key(tenant)
        return tenant

    async def key(self, tenant: Tenant, *permissions: Permission) -> str:
        """The text of a new key: a secret one, or a restricted one with these permissions."""
        kind = KeyKind.RESTRICTED if permissions else KeyKind.SECRET
        draft = KeyDraft(kind=kind, permissions=frozenset(permissions))
        async with self.house.runtime.database.transaction() as connection:
            issued = await self.house.parties.keys.create(connection, tenant.scope, draft)
        return issued.text.get_secret_value()

    async def send(self, tenant: Tenant, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask as a merchant, and return whatever comes of it."""
        headers = tenant.headers | options.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, tenant: Tenant, path: str, status: int = 200, **params: Any) -> Json:
        """Read as a merchant."""
        return told(await self.send(tenant, "GET", path, params=params), status)

    async def post(self, tenant: Tenant, path: str, body: Json | None = None, status: int = 200) -> Json:
        """Write as a merchant."""
        return told(await self.send(tenant, "POST", path, json=body), status)

    async def refused(
        self, tenant: Tenant, method: str, path: str, body: Json | None = None, **params: Any
    ) -> tuple[int, str]:
        """Ask as a merchant for what is refused; return status and code."""
        options: Json = {"params": params} if method == "GET" else {"json": body}
        return refusal(await self.send(tenant, method, path, **options))

    async def pay(self, tenant: Tenant, amount: int = 1999, currency: str = "cny") -> str:
        """A payment by card over ``/v1``; returns its id."""
        order = {
            "amount": str(amount),
            "currency": currency,
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
        answer = await self.send(tenant, "POST", "/v1/payment_intents", data=order)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "succeeded", answer.text
        intent: str = answer.json()["id"]
        return intent

    async def routed(self, tenant: Tenant, payment: str) -> Json:
        """The decision about the channel of a payment; the one about its risk stands before it."""
        found = (await self.get(tenant, f"/v2/payments/{payment}/decisions"))["data"]
        assert [each["kind"] for each in found] == ["risk", "routing"]
        routed: Json = found[1]
        return routed

    async def plant(self, tenant: Tenant, payment: str, ends: Sequence[tuple[str, bool | None]]) -> None:
        """Log decisions like the one about a payment: each for a channel, with its end where it has one."""
        log, book_id = self.house.decisions.log, tenant.scope.book_id
        (traced,) = [
            each
            for each in await log.lineage(book_id, parse_uuid("pi", payment))
            if each.decision.kind == "routing"
        ]
        decisions = [
            msgspec.structs.replace(
                traced.decision,
                id=self.ids.uuid(),
                subject_id=self.ids.uuid(),
                decided_at=self.clock.now(),
                chosen=chosen,
            )
            for chosen, _ in ends
        ]
        outcomes = [
            msgspec.structs.replace(
                traced.outcomes[0], decision_id=each.id, key=self.ids.uuid(), value=float(approved)
            )
            for each, (_, approved) in zip(decisions, ends, strict=True)
            if approved is not None
        ]
        async with self.house.runtime.database.transaction() as connection:
            await log.write(connection, decisions, outcomes)

    @contextlib.asynccontextmanager
    async def operator(self, role: OperatorRole) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody of the house in a browser of their own, signed in, with the header of writes."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as browser:
            person = await self.people.staff(role, PASSWORD)
            body = {"email": person.email, "password": PASSWORD}
            answer = await browser.post("/v2/session", json=body)
            assert answer.status_code == 201, answer.text
            browser.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
            yield browser

    async def follow(self) -> None:
        """Let policies that were rolled out decide from now on in this process."""
        self.clock.advance(timedelta(seconds=3))
        assert await self.house.routing.live.refresh()

    async def tally(self) -> None:
        """Let everything that reads facts read what happened."""
        await self.events.relay.prepare()
        await self.events.relay.place_all()
        for delivery in self.events.deliveries:
            while await delivery.step():
                pass

    def span(self) -> Json:
        """A time that holds everything so far."""
        now = self.clock.now()
        return {
            "from": (now - timedelta(hours=1)).isoformat(),
            "to": (now + timedelta(hours=1)).isoformat(),
        }


def told(answer: httpx.Response, status: int = 200) -> Json:
    """The body of an answer that has this status."""
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a failure, which is told in the house's form."""
    assert set(answer.json()["error"]) == {"code", "detail", "facts"}, answer.text
    assert answer.headers["Request-Id"].startswith("req_")
    return answer.status_code, answer.json()["error"]["code"]


def random_decision() -> str:
    """The id of a decision that nobody made."""
    return uuid_text("dec", IdFactory(FrozenClock(datetime.now(UTC)), random.Random(7)).uuid())


@contextlib.asynccontextmanager
async def open_whole(
    database: Database,
    dsn: str,
    home: Path,
    base: str = BASE,
    banks: Sequence[BankSpec] = (),
    *,
    doors: Doors | None = None,
) -> AsyncIterator[Whole]:
    """The application over a database, wired as the program does it; ``doors`` are those of a demonstration."""
    clock, metrics = FrozenClock(datetime.now(UTC)), Metrics()
    ids = IdFactory(clock)
    settings = Settings(data_dir=home, test_rate_per_s=1e6, live_rate_per_s=1e6, _env_file=None)  # type: ignore[call-arg]  # a setting of the library
    specs = [
        ChannelSpec(name=name, adapter="direct", settings={"currencies": CURRENCIES}) for name in CHANNELS
    ]
    async with Ledger(database, clock, metrics, ids) as ledger:
        runtime = Runtime(dsn, database, ledger, clock, metrics)
        async with open_house(runtime, settings, base, specs, banks) as house:
            events = Events(database, clock, ids, metrics, house.subscriptions())
            app = create_app(house, Workers(house, events, metrics), metrics, doors)
            operator = operator_of_job("tests", frozenset(OperatorPermission))
            people = Town(house.parties, clock, database, ids, operator)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
                yield Whole(house, app, clock, ids, people, events, http)
