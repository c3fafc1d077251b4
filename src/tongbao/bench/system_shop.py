"""The merchants of the whole system, their payers, and the person at the console.

Each merchant has one key, one webhook endpoint and payers of its own; each payer has a customer account, a card saved there,
a device and an address, and always pays what it usually pays.
"""

import asyncio
import random
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import (
    KeyDraft,
    KeyKind,
    MerchantDraft,
    OperatorPermission,
    OperatorRole,
    Package,
    Permission,
    PersonDraft,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties

JOB = "bench"
MERCHANTS = 20
AT_ONCE_MAX = 16
PASSWORD = "seven green herons wade"  # noqa: S105  # of a person who lives as long as the run
TOLD = "payment_intent.succeeded"
AMOUNT_MINOR = (1_900, 19_900)
CARD_PREFIX = "424242"
SEED = 11


class Payers(NamedTuple):
    """By the secret key of a merchant, the fields of a payment that say who pays with what, and how much."""

    fields: dict[str, list[str]]


class SystemShop:
    """Makes everybody. ``open`` before the processes, ``let_in`` when they answer."""

    def __init__(self, dsn: str, http: HttpClient) -> None:
        self._dsn = dsn
        self._http = http
        self._keys: list[str] = []

    async def open(self) -> str:
        """Open the merchants; return the cookie of somebody who works at the house."""
        clock = RealClock()
        async with Database(self._dsn) as database, Parties(database, clock, IdFactory(clock)) as parties:
            self._keys = [await _merchant(database, parties, number) for number in range(MERCHANTS)]
            return await _operator(database, parties)

    async def let_in(self, base: str, payers: int, hook: str) -> Payers:
        """Let payers save their cards, and merchants say where they hear of payments; raise Unavailable."""
        gate = asyncio.Semaphore(AT_ONCE_MAX)

        async def one(number: int) -> tuple[str, str]:
            async with gate:
                key = self._keys[number % len(self._keys)]
                return key, await self._payer(base, key, number)

        for key in self._keys:
            await self._post(base, key, "webhook_endpoints", {"url": hook, "enabled_events[]": TOLD})
        fields: dict[str, list[str]] = {key: [] for key in self._keys}
        for key, paid in await asyncio.gather(*(one(number) for number in range(payers))):
            fields[key].append(paid)
        return Payers(fields)

    async def _payer(self, base: str, key: str, number: int) -> str:
        card = {"type": "card", "card[number]": card_number(number), "card[cvc]": "123"}
        card |= {"card[exp_month]": "12", "card[exp_year]": "2040"}
        method = (await self._post(base, key, "payment_methods", card))["id"]
        customer = await self._post(
            base, key, "customers", {"email": f"p{number}@bench.example", "payment_method": method}
        )
        return fields_of(number, str(method), str(customer["id"]))

    async def _post(self, base: str, key: str, path: str, form: dict[str, str]) -> Any:
        answer = await self._http.request(
            "POST",
            f"{base}/v1/{path}",
            headers={
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
        )
        if answer.status != 200:
            said = answer.body[:300].decode(errors="replace")
            raise Unavailable("bench_set_up_refused", f"{path}: {answer.status} {said}")
        return msgspec.json.decode(answer.body)


def fields_of(number: int, method: str, customer: str) -> str:
    """Return how a payment names payer ``number``, in a form."""
    amount = random.Random(SEED + number).randint(*AMOUNT_MINOR)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    device = f"radar_options[session]=device-{number:x}&radar_options[ip_address]={address}"
    return f"{method}&customer={customer}&amount={amount}&{device}"


def card_number(number: int) -> str:
    """Return the number of a card, sixteen digits of which the last one checks the others (ISO/IEC 7812-1, annex B)."""
    digits = f"{CARD_PREFIX}{number:09d}"
    doubled = (int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-sum(each // 10 + each % 10 for each in doubled) % 10}"


async def _merchant(database: Database, parties: Parties, number: int) -> str:
    """Open a merchant; return its secret key."""
    operator = operator_of_job(JOB, frozenset(OperatorPermission))
    draft = MerchantDraft(
        name=f"Shop {number}", country="CN", default_currency="CNY", mcc="5411", package=Package.ENTERPRISE
    )
    async with database.transaction() as connection:
        merchant = await parties.merchants.create(connection, operator, draft)
    scope = await parties.access.scope_of_job(
        merchant.merchant_id, live=False, job=JOB, permissions=frozenset(Permission)
    )
    async with database.transaction() as connection:
        issued = await parties.keys.create(connection, scope, KeyDraft(kind=KeyKind.SECRET))
    return issued.text.get_secret_value()


async def _operator(database: Database, parties: Parties) -> str:
    """Appoint somebody who may see the console, and let her in; return her cookie."""
    house = operator_of_job(JOB, frozenset(OperatorPermission))
    draft = PersonDraft(email="ops@bench.example", name="Lin Bo")
    async with database.transaction() as connection:
        person = await parties.people.appoint(connection, house, draft, OperatorRole.OPERATOR_L2)
        await parties.sign_in.set_password(connection, person.person_id, PASSWORD)
    session = await parties.sign_in.let_in(person.person_id, address="127.0.0.1", agent=JOB)
    return f"session={session.token.get_secret_value()}; mode=test"
