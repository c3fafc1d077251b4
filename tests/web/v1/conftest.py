"""The interface over everything real: parties, payments, the ledger and the vault on one database.

Only the channels' other side is scripted. The official client talks to it without a network.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.payments.conftest import House, open_house
from tests.payments.scripted import ScriptedChannel

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.core.requests.running import Requests
from tongbao.parties.schema import (
    KeyDraft,
    KeyKind,
    MerchantDraft,
    OperatorPermission,
    Package,
    Permission,
    Scope,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.payments.schema.webhooks import UrlRules
from tongbao.payments.service.events import Events
from tongbao.payments.service.secret_keys import open_box
from tongbao.payments.service.webhooks import WebhookEndpoints
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.service.screening import refuse_card_data
from tongbao.privacy.service.vault import Vault
from tongbao.web.api.v1.app import Api
from tongbao.web.api.v1.joining import JoinedCustomers, JoinedEndpoints, Joining, VaultCards
from tongbao.web.api.v1.limits import Limits, Rates
from tongbao.web.api.v1.ports import Services

CASHIER = "https://pay.example.com"
BASE = "http://test"


class AppTransport(stripe.HTTPClient):
    """Carries the official client's requests to the application in this process."""

    name = "app"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        answer = await self._http.request(method.upper(), url, headers=dict(headers), content=post_data)
        return answer.content, answer.status_code, answer.headers

    async def sleep_async(self, secs: float) -> None:
        """Do not wait between tries."""


@dataclass
class Shop:
    """One merchant in test mode with its keys, and the interface that it calls."""

    services: Services
    house: House
    parties: Parties
    scope: Scope
    http: httpx.AsyncClient
    key: str

    @property
    def client(self) -> stripe.StripeClient:
        """The official client with the merchant's secret key."""
        return self.client_with(self.key)

    def client_with(self, key: str) -> stripe.StripeClient:
        """The official client with another key."""
        return stripe.StripeClient(
            key, base_addresses={"api": BASE}, http_client=AppTransport(self.http), max_network_retries=0
        )

    @property
    def channel(self) -> ScriptedChannel:
        """The channel that payments go over."""
        return self.house.channel()

    async def new_key(self, kind: KeyKind, *permissions: Permission) -> str:
        """Another key of the merchant."""
        draft = KeyDraft(kind=kind, permissions=frozenset(permissions))
        async with self.house.database.transaction() as connection:
            issued = await self.parties.keys.create(connection, self.scope, draft)
        return issued.text.get_secret_value()

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request as it is."""
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        return await self.http.request(method, f"/v1{path}", headers=headers, **options)


@pytest.fixture
async def shop(database: Database, ids: IdFactory, tmp_path: Path) -> AsyncIterator[Shop]:
    """A new merchant with a secret test key, and the interface over real services."""
    async with open_house(database, ids) as house, Parties(database, house.clock, ids) as parties:
        operator = operator_of_job("tests", frozenset(OperatorPermission))
        draft = MerchantDraft(
            name="Tea House", country="CN", default_currency="CNY", mcc="5814", package=Package.ENTERPRISE
        )
        async with database.transaction() as connection:
            merchant = await parties.merchants.create(connection, operator, draft)
        scope = Scope(
            merchant_id=merchant.merchant_id,
            book_id=merchant.test_book_id,
            live=False,
            actor="person:test",
            permissions=frozenset(permission.value for permission in Permission),
        )
        joining = Joining(database, Requests(database, house.clock))
        endpoints = WebhookEndpoints(
            database, open_box(tmp_path / "box" / "key"), UrlRules(), house.clock, ids
        )
        async with Vault(
            database, FileKeys(tmp_path / "keys.json", house.clock), house.clock, ids, Metrics()
        ) as vault:
            payments = house.payments
            services = Services(
                keys=parties.access,
                intents=payments.intents,
                refunds=payments.refunds,
                disputes=payments.disputes,
                methods=payments.methods,
                setups=payments.setups,
                sessions=payments.sessions,
                customers=JoinedCustomers(parties.customers, joining),
                events=Events(database, house.clock),
                endpoints=JoinedEndpoints(endpoints, joining),
                balances=payments.balances,
                cards=VaultCards(vault, database),
                accounts=parties.merchants,
                scan=refuse_card_data,
                clock=house.clock,
                ids=ids,
                cashier_url=CASHIER,
            )
            api = Api(services, Limits(Rates(test_reads=1_000, test_writes=1_000)))
            mounted = Starlette(routes=[Mount("/v1", app=api)])
            transport = httpx.ASGITransport(mounted, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
                made = Shop(services, house, parties, scope, http, "")
                made.key = await made.new_key(KeyKind.SECRET)
                house.scope = scope
                yield made
