"""Two merchants to begin with, a tea house in yuan and a bookshop in dollars, with stores and keys.

Their ids are fixed, so opening them again finds them; their keys are random and shown once, when they are made.
"""

from dataclasses import dataclass

from pydantic import SecretStr

from tongbao.core.db import Connection
from tongbao.parties.schema import (
    Address,
    KeyDraft,
    KeyKind,
    Merchant,
    MerchantDraft,
    MerchantId,
    OperatorPermission,
    Package,
    Permission,
    Scope,
    StoreDraft,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties

JOB = "demo"


@dataclass(frozen=True, slots=True)
class DemoMerchant:
    """A merchant of the demonstration before it is opened."""

    merchant_id: MerchantId
    test_book_id: int
    draft: MerchantDraft
    stores: tuple[StoreDraft, ...]


@dataclass(frozen=True, slots=True)
class DemoKeys:
    """The keys of one merchant, in clear, by prefix (``sk_test_``); shown once."""

    merchant: Merchant
    texts: dict[str, SecretStr]


DEMO: tuple[DemoMerchant, ...] = (
    DemoMerchant(
        MerchantId(1_001),
        1_002,
        MerchantDraft(
            name="Jade Spring Tea House",
            display_name="Jade Spring",
            country="CN",
            default_currency="CNY",
            mcc="5814",
            package=Package.ENTERPRISE,
            timezone="Asia/Shanghai",
        ),
        (
            StoreDraft(
                name="West Lake",
                address=Address(line1="18 Hubin Road", city="Hangzhou", country="CN"),
                timezone="Asia/Shanghai",
            ),
            StoreDraft(
                name="The Bund",
                address=Address(line1="3 Zhongshan East 1st Road", city="Shanghai", country="CN"),
                timezone="Asia/Shanghai",
            ),
        ),
    ),
    DemoMerchant(
        MerchantId(1_003),
        1_004,
        MerchantDraft(
            name="Harbor Books",
            country="US",
            default_currency="USD",
            mcc="5942",
            package=Package.ECOMMERCE,
            timezone="America/New_York",
        ),
        (
            StoreDraft(
                name="Harbor Books Online",
                address=Address(line1="40 Pier Street", city="Portland", region="ME", country="US"),
                timezone="America/New_York",
            ),
        ),
    ),
)


async def open_demo(parties: Parties) -> list[DemoKeys]:
    """Open the merchants of the demonstration; return those opened now, with their keys in clear.

    May be repeated, also by several processes at once: a merchant that is open already is left alone and its keys
    are not told again. Opens one transaction a merchant.
    """
    opened = []
    for demo in DEMO:
        async with parties.database.transaction() as connection:
            keys = await _open(connection, parties, demo)
        if keys is not None:
            opened.append(keys)
    return opened


async def _open(connection: Connection, parties: Parties, demo: DemoMerchant) -> DemoKeys | None:
    operator = operator_of_job(JOB, frozenset({OperatorPermission.MERCHANTS_WRITE}))
    merchant = await parties.merchants.create_once(
        connection, operator, demo.draft, demo.merchant_id, demo.test_book_id
    )
    if merchant is None:
        return None
    live = _scope(merchant, live=True)
    for store in demo.stores:
        await parties.stores.create(connection, live, store)
    texts = {}
    for scope in (live, _scope(merchant, live=False)):
        for kind in (KeyKind.SECRET, KeyKind.PUBLISHABLE):
            issued = await parties.keys.create(connection, scope, KeyDraft(kind=kind, label="Demo"))
            texts[issued.key.prefix] = issued.text
    return DemoKeys(merchant, texts)


def _scope(merchant: Merchant, *, live: bool) -> Scope:
    """Return the scope of the seed: its merchant is not committed yet, so nobody else can make one."""
    return Scope(
        merchant_id=merchant.merchant_id,
        book_id=merchant.live_book_id if live else merchant.test_book_id,
        live=live,
        actor=f"job:{JOB}",
        permissions=frozenset(permission.value for permission in Permission),
    )
