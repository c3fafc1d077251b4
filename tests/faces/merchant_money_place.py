"""A merchant whose money has gone all the way to its bank, in a house that answers: what pages about money out are shown with."""

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Page
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.faces.browser import serving
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.clearing_calls import agree, settled
from tests.web.test_clearing_payouts import STATUS
from tests.web.v2_house import Tenant
from tests.web.whole_house import BASE, Whole, open_whole

from tongbao.channels.schema import Mode
from tongbao.channels.service.banks import BankSettings, BankSpec, FolderWay, OwnAccount
from tongbao.clearing.schema.adjustments import AdjustmentOrder
from tongbao.clearing.service.account_numbers import account_number
from tongbao.core.db import Database
from tongbao.core.ids import int_text, parse_uuid, uuid_text
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    Address,
    KeyDraft,
    KeyKind,
    MerchantRole,
    Permission,
    Person,
    StoreDraft,
)
from tongbao.payments.schema.webhooks import EndpointDraft

HOSTILE = '<script>alert(1)</script> "O\'Brien"'
NUMBER, CODE = "6222020200112233", "102331000014"


@dataclass
class Till:
    """A merchant in test mode, its people, and the ids of what it has by what they are here for."""

    whole: Whole
    base: str
    tenant: Tenant
    live: Tenant
    owner: Person
    second: Person
    bank: Path
    named: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """Where the pages of the merchant begin."""
        return f"/merchant/{int_text(MERCHANT_PREFIX, self.tenant.merchant.merchant_id)}"

    async def signed_in(self, page: Page, person: Person | None = None, mode: str = "test") -> Page:
        """Sign the browser of a page in."""
        token = await self.whole.people.token(person or self.owner)
        cookies: Any = [
            {"name": "session", "value": token, "url": self.base},
            {"name": "mode", "value": mode, "url": self.base},
        ]
        await page.context.add_cookies(cookies)
        return page

    async def member(self, role: MerchantRole) -> Person:
        """Another person of the merchant."""
        return await self.whole.people.member(scope_of(self.tenant.merchant), role, PASSWORD)

    async def paying(self) -> None:
        """Pay out and hear the bank until nothing is to be done."""
        for _ in range(20):
            if not await self.whole.house.clearing.paying.step():
                return

    def answer(self, end_to_end: str, status: str, code: str = "") -> None:
        """Say as the bank what became of a payout."""
        for path in (self.bank / "out").glob("*.xml"):
            tree = ET.parse(path)
            for part in tree.iterfind(".//{*}PmtInf"):
                if end_to_end in [each.text for each in part.iterfind(".//{*}EndToEndId")]:
                    reason = f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>" if code else ""
                    text = STATUS.format(
                        end_to_end=end_to_end,
                        message=tree.findtext(".//{*}GrpHdr/{*}MsgId"),
                        part=part.findtext("{*}PmtInfId"),
                        status=status,
                        reason=reason,
                    )
                    (self.bank / "into" / f"{end_to_end}-{status}.xml").write_text(text)
                    return
        raise AssertionError(f"{end_to_end} never came to the bank")


@contextlib.asynccontextmanager
async def open_till(
    database: Database, dsn: str, home: Path, *, port: bool = False, full: bool = True
) -> AsyncIterator[Till]:
    """Open a house with such a merchant, behind a port where a browser comes; ``full``: with its trade."""
    bank = home / "bank"
    for name in ("out", "into"):
        (bank / name).mkdir(parents=True)
    async with contextlib.AsyncExitStack() as stack:
        front = _Front()
        base = await stack.enter_async_context(serving(front)) if port else BASE
        whole = await stack.enter_async_context(open_whole(database, dsn, home, base, [_spec(bank)]))
        front.app = whole.app
        tenant = await whole.tenant()
        live = await whole.tenant(tenant.merchant, live=True)
        owner, second = [
            await whole.people.member(scope_of(tenant.merchant), role, PASSWORD)
            for role in (MerchantRole.OWNER, MerchantRole.FINANCE)
        ]
        till = Till(whole, base, tenant, live, owner, second, bank)
        if full:
            await _trade(till)
        yield till


class _Front:
    """An application that is known later than the port it is served on."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def _spec(bank: Path) -> BankSpec:
    own = {"CNY": OwnAccount(number="9988776655", scheme="local", agent_code=CODE, country="CN")}
    settings = BankSettings(
        holder="House", accounts=own, folder=FolderWay(out=str(bank / "out"), into=str(bank / "into"))
    )
    return BankSpec(name="bank", mode=Mode.TEST, settings=settings)


async def _trade(till: Till) -> None:
    """A few days of trade: batches that were paid, one that came back, one on its way, and what waits for its cut."""
    whole, tenant, clearing = till.whole, till.tenant, till.whole.house.clearing
    book, destinations = tenant.scope.book_id, clearing.destinations
    account = await destinations.propose(
        book, "CNY", account_number("local", NUMBER, CODE, "CN"), "Tea House 茶馆", actor="person:one"
    )
    await destinations.confirm(book, account.id, actor="person:two", seen_version=account.version)
    whole.clock.advance(timedelta(hours=25))
    await destinations.step()
    till.named["account"] = account.reference
    await agree(whole, tenant, calendars=["CN"], reserve_e6=50_000, reserve_days=30)
    for index, amounts in enumerate(((18_800, 9_900), (45_600,), (23_500, 6_400, 12_800))):
        for amount in amounts:
            till.named["payment"] = await whole.pay(tenant, amount)
        if index == 2:
            refund = await whole.send(
                tenant,
                "POST",
                "/v1/refunds",
                data={"payment_intent": till.named["payment"], "amount": "2800"},
            )
            till.named["refund"] = refund.json()["id"]
        await settled(whole, tenant)
        await till.paying()
        newest = (await clearing.paying.page(book))[0]
        till.named[f"payout{index}"] = newest.reference
        till.named[f"batch{index}"] = uuid_text("bat", newest.batch_id)
        if index == 0:
            till.answer(newest.end_to_end, "ACSC")
            await till.paying()
        if index == 1:
            till.answer(newest.end_to_end, "ACCP")
            await till.paying()
    till.named["waiting"] = await whole.pay(tenant, 7_700)
    await whole.tally()
    await _beside(till)
    await _workshop(till)
    await whole.tally()


async def _beside(till: Till) -> None:
    clearing, book = till.whole.house.clearing, till.tenant.scope.book_id
    order = AdjustmentOrder(
        book_id=book,
        currency="CNY",
        amount_minor=1_500,
        reason=f"Goodwill {HOSTILE}",
        reference="T-1",
        evidence="ticket T-1",
    )
    made = await clearing.adjustments.propose(order, actor="person:a", live=False)
    await clearing.adjustments.approve(made.id, actor="person:b", note="fine", seen_version=made.version)
    proposed = await clearing.destinations.propose(
        book, "CNY", account_number("local", "6222020200998877", CODE, "CN"), HOSTILE, actor="person:one"
    )
    till.named["proposed"] = proposed.reference


async def _workshop(till: Till) -> None:
    house, scope = till.whole.house, till.tenant.scope
    async with house.runtime.database.transaction() as connection:
        draft = EndpointDraft(
            url="https://hooks.teahouse.com/tongbao", enabled_events=("*",), description=HOSTILE
        )
        issued = await house.endpoints.create(connection, scope, draft)
        till.named["endpoint"] = issued.endpoint.reference
        delivery = await house.deliveries.test(connection, scope, issued.endpoint.id)
        till.named["event"] = uuid_text("evt", delivery.event_id)
        narrow = KeyDraft(
            kind=KeyKind.RESTRICTED,
            label=f"warehouse {HOSTILE}",
            permissions=frozenset({Permission.PAYMENTS_READ, Permission.REFUNDS_READ}),
        )
        key = await house.parties.keys.create(connection, scope, narrow)
        till.named["key"] = uuid_text("key", key.key.key_id)
        store = await house.parties.stores.create(
            connection,
            scope_of(till.tenant.merchant),
            StoreDraft(
                name=f"West Lake 西湖店 {HOSTILE}",
                address=Address(line1="1 Lake Road", city="Hangzhou", country="CN"),
                timezone="Asia/Shanghai",
            ),
        )
        till.named["store"] = uuid_text("store", store.store_id)
    receipt = await house.clearing.receipts.for_payment(scope, parse_uuid("pi", till.named["payment"]))
    till.named["receipt"] = receipt.reference
