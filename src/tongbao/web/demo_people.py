"""People of the demonstration: owners and a clerk of the merchants, operators of the house, payers with wallets.

Opening them again finds them. Passwords are made at the first start and kept in a file of mode 600 beside the demo keys;
where a file outlives its database, its passwords are set once more. Payers have none: a code is shown to them.
"""

import asyncio
import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from tongbao.core.ids import int_text
from tongbao.parties.errors import WalletTaken
from tongbao.parties.ports import Contact, ContactKind
from tongbao.parties.schema import (
    MerchantId,
    MerchantRole,
    OperatorPermission,
    OperatorRole,
    Permission,
    PersonDraft,
    PersonId,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.demo import DEMO
from tongbao.parties.service.payer_sign_in import contact_of
from tongbao.web.house import House
from tongbao.web.signing.opening_wallets import open_wallet
from tongbao.web.signing.rooms import DemoLogIn

PEOPLE_FILE = "demo-people.json"
JOB = "demo"
WORDS = (
    *("amber", "basil", "cedar", "delta", "ember", "fjord", "garnet", "hazel", "indigo", "juniper", "kelp"),
    *("linden", "maple", "nectar", "onyx", "pebble", "quartz", "raven", "saffron", "thistle", "umber"),
    *("velvet", "willow", "yarrow", "zephyr"),
)
WORDS_IN_PASSWORD = 4
NUMBER_MAX = 9_999


class _Staff(NamedTuple):
    """Somebody who signs in with a password: of a merchant of ``DEMO`` by its place, or of the house."""

    email: str
    name: str
    role: MerchantRole | OperatorRole
    merchant: int | None = None
    locale: str = "en"


class _DemoPayer(NamedTuple):
    """Somebody with a wallet, whose book has a number of its own."""

    email: str
    name: str
    locale: str
    book_id: int


STAFF: tuple[_Staff, ...] = (
    _Staff("owner@jade-spring.example", "Chen Mei", MerchantRole.OWNER, 0, "zh-CN"),
    _Staff("clerk@jade-spring.example", "Wang Lei", MerchantRole.SUPPORT, 0, "zh-CN"),
    _Staff("owner@harbor-books.example", "Ada Harbor", MerchantRole.OWNER, 1),
    _Staff("risk.one@tongbao.example", "Lin Bo", OperatorRole.RISK, None, "zh-CN"),
    _Staff("risk.two@tongbao.example", "Rosa Diaz", OperatorRole.RISK),
    _Staff("finance@tongbao.example", "Zhao Yun", OperatorRole.OPERATOR_L2, None, "zh-CN"),
    _Staff("auditor@tongbao.example", "Erik Holm", OperatorRole.AUDITOR),
    _Staff("admin@tongbao.example", "Sam Okoye", OperatorRole.ADMIN),
)
PAYERS: tuple[_DemoPayer, ...] = (
    _DemoPayer("li.na@payers.example", "Li Na", "zh-CN", 1_101),
    _DemoPayer("tom.reed@payers.example", "Tom Reed", "en", 1_102),
)


class DemoPeople:
    """Opens them. ``home`` is the folder of the demonstration; ``rng`` must be cryptographic."""

    def __init__(self, home: Path, rng: random.Random | None = None) -> None:
        self._path = home / PEOPLE_FILE
        self._rng = rng or random.SystemRandom()

    async def open(self, house: House) -> list[DemoLogIn]:
        """Bring everybody in whose merchant is there (``open_demo`` comes before), and return how they sign in.

        Every start sets the passwords of the file anew only where they do not open the door any more.
        """
        passwords = self._read()
        for each in STAFF:
            passwords.setdefault(each.email, self._password())
        self._write(passwords)
        # Passwords are slow to check, by intention, and not one after the other.
        await asyncio.gather(*(self._bring(house, each, passwords[each.email]) for each in STAFF))
        for payer in PAYERS:
            await _bring_payer(house, payer)
        return _log_ins(passwords)

    async def _bring(self, house: House, staff: _Staff, password: str) -> None:
        """Bring somebody in; who is there keeps role and sessions."""
        parties = house.parties
        draft = PersonDraft(email=staff.email, name=staff.name, locale=staff.locale)
        async with house.runtime.database.transaction() as connection:
            if isinstance(staff.role, OperatorRole):
                operator = operator_of_job(JOB, frozenset(OperatorPermission))
                person = await parties.people.appoint(connection, operator, draft, staff.role)
                person_id: PersonId = person.person_id
            else:
                merchant_id = MerchantId(DEMO[staff.merchant or 0].merchant_id)
                scope = await parties.access.scope_of_job(
                    merchant_id, live=True, job=JOB, permissions=frozenset(Permission)
                )
                joined = await parties.people.join(connection, scope, draft, staff.role)
                person_id = joined.person_id
            if not await parties.sign_in.has_password(connection, person_id, password):
                await parties.sign_in.set_password(connection, person_id, password)

    def _password(self) -> str:
        words = [self._rng.choice(WORDS) for _ in range(WORDS_IN_PASSWORD)]
        return "-".join([*words, f"{self._rng.randint(0, NUMBER_MAX):04d}"])

    def _read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])

    def _write(self, passwords: dict[str, str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(passwords), indent=2) + b"\n")


async def _bring_payer(house: House, payer: _DemoPayer) -> None:
    contact: Contact = contact_of(payer.email)
    assert contact.kind is ContactKind.EMAIL
    try:
        await open_wallet(house, payer.name, payer.locale, contact, book_id=payer.book_id)
    except WalletTaken:
        return


def _log_ins(passwords: dict[str, str]) -> list[DemoLogIn]:
    staff: Iterable[DemoLogIn] = (
        DemoLogIn(
            "ops" if isinstance(each.role, OperatorRole) else "merchant",
            each.email,
            passwords[each.email],
            each.role.value,
        )
        for each in STAFF
    )
    return [*staff, *(DemoLogIn("wallet", each.email, "", "payer") for each in PAYERS)]


def merchant_of(log_in: DemoLogIn) -> str:
    """Return the merchant whom a log-in belongs to, as addresses name it; empty for the house and for payers."""
    place = next((each.merchant for each in STAFF if each.email == log_in.email), None)
    return "" if place is None else int_text("acct", DEMO[place].merchant_id)
