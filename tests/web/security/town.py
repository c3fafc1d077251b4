"""A town to be attacked: two merchants, two payers and somebody of the house, whose names and texts are all hostile.

Everything is made through the program itself. What belongs to somebody is found by reading it as they do, so that a new kind
of thing is found without being named here.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.parties.conftest import DRAFT, PASSWORD, scope_of
from tests.web.clearing_calls import agree
from tests.web.clearing_calls import settled as cut
from tests.web.risk_calls import judged, key, member, rule, settled
from tests.web.security.routes import routes_of
from tests.web.v2_house import Tenant
from tests.web.whole_house import BASE, Whole, open_whole, told

from tongbao.channels.schema import Answer, Notification, NotificationKind, Outcome
from tongbao.core.db import Database
from tongbao.core.ids import int_text, parse_uuid
from tongbao.parties.ports import Means
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    MerchantRole,
    OperatorRole,
    PersonDraft,
    StoreDraft,
)
from tongbao.parties.service.payer_sign_in import Browser, contact_of
from tongbao.web.signing.opening_wallets import open_wallet

MARK = "xss-probe"
HOSTILE = f"\"><{MARK} onfocus=alert(1)>'</title></textarea><script>alert(1)</script>"
"""Leaves attributes, texts and raw elements; 75 characters, so that it fits into every name."""
SHORT = f"<{MARK} onfocus=alert(1)>"
IBAN = "NL84MOCK0000000003"
ID = re.compile(r"(?!req_|sk_|whsec_|card_)[a-z]{2,8}_(?=[a-z]*\d)[0-9a-z]{10,40}")
RULES = 'all: when amount > 500 EUR then review because "hold" owner mei\n'
AUDITOR = (OperatorRole.AUDITOR,)
ROLES = tuple(role for role in OperatorRole if role not in {OperatorRole.SECURITY, OperatorRole.AUDITOR})
"""As many roles as one person may hold; the auditor's is apart."""
CARD = {
    "card[number]": "4242424242424242",
    "card[exp_month]": "12",
    "card[exp_year]": "2030",
    "card[cvc]": "123",
}
EXPERIMENT = {
    "name": "green-button",
    "unit": "customer",
    "arms": ["control", "green"],
    "weights_bps": {"control": 5_000, "green": 5_000},
    "metric": {"outcome": "paid"},
    "guardrails": [],
    "horizon_days": 7,
    "looks": 1,
    "effect_min": 0.05,
    "note": SHORT,
}


@dataclass
class Tenanted:
    """A merchant with its owner, and everything of it that has an id, by prefix."""

    tenant: Tenant
    owner: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    owned: dict[str, list[str]] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)

    @property
    def reference(self) -> str:
        """The merchant as addresses name it."""
        return int_text(MERCHANT_PREFIX, self.tenant.merchant.merchant_id)

    def learn(self, answer: httpx.Response) -> set[str]:
        """Note the ids of an answer; return those that are the first of their kind."""
        new = set()
        for text in _texts(answer.json()) if "json" in answer.headers.get("content-type", "") else ():
            if ID.fullmatch(text):
                of_kind = self.owned.setdefault(text.partition("_")[0], [])
                if not of_kind:
                    new.add(text)
                if text not in of_kind:
                    of_kind.append(text)
        return new

    def one_each(self) -> list[str]:
        """One thing of each kind."""
        return [found[0] for found in self.owned.values()]


@dataclass
class Town:
    """The house and everybody in it, each in a browser of their own."""

    whole: Whole
    ours: Tenanted
    theirs: Tenanted
    staff: httpx.AsyncClient
    auditor: httpx.AsyncClient
    payer: httpx.AsyncClient
    other_payer: httpx.AsyncClient
    nobody: httpx.AsyncClient


@contextlib.asynccontextmanager
async def open_town(database: Database, dsn: str, home: Path) -> AsyncIterator[Town]:
    """Open the house and let everybody in; ends with it."""
    async with contextlib.AsyncExitStack() as stack:
        whole = await stack.enter_async_context(open_whole(database, dsn, home))

        async def browser(name: str = "", token: str = "") -> httpx.AsyncClient:
            made = await stack.enter_async_context(client(whole))
            if token:
                made.cookies.set(name, token)
            return made

        theirs, ours = [await _merchant(whole, name) for name in (HOSTILE, "Harbor Books")]
        await furnish(whole, theirs)
        await harvest(whole, theirs)
        # Time has gone on: sessions from before would be over.
        for side in (theirs, ours):
            owner = await whole.people.member(scope_of(side.tenant.merchant), MerchantRole.OWNER, PASSWORD)
            side.owner = await browser("session", await whole.people.token(owner))
        house = [await browser("session", await of_house(whole, roles)) for roles in (ROLES, AUDITOR)]
        payers = [await browser("wallet", await payer_token(whole, name)) for name in (HOSTILE, "Tom Reed")]
        yield Town(whole, ours, theirs, house[0], house[1], payers[0], payers[1], await browser())


def client(whole: Whole, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A browser that was never here, at an address of its own."""
    transport = httpx.ASGITransport(whole.app, raise_app_exceptions=False, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url=BASE, headers={"accept-language": "en"})


async def _merchant(whole: Whole, name: str) -> Tenanted:
    draft = msgspec.structs.replace(DRAFT, name=name, metadata={"order": SHORT})
    return Tenanted(await whole.tenant(await whole.people.merchant(draft)))


async def of_house(whole: Whole, roles: tuple[OperatorRole, ...]) -> str:
    """The session of somebody who holds roles of the house."""
    parties, people = whole.house.parties, whole.people
    draft = PersonDraft(email=people.email(), name=HOSTILE)
    async with whole.house.runtime.database.transaction() as connection:
        for role in roles:
            person = await parties.people.appoint(connection, people.operator, draft, role)
        await parties.sign_in.set_password(connection, person.person_id, PASSWORD)
    return await people.token(person)


async def payer_token(whole: Whole, name: str) -> str:
    """The session of a payer with a new wallet."""
    payer = await open_wallet(whole.house, name, "en", contact_of(whole.people.email()))
    browser = Browser("203.0.113.9", SHORT)
    issued = await whole.house.parties.payer_sign_in.open(payer.payer_id, Means.CODE, browser)
    return issued.token.get_secret_value()


async def furnish(whole: Whole, side: Tenanted) -> None:
    """Let a merchant own one of each thing, by the interfaces that its own programs use."""
    tenant = side.tenant
    await rule(whole, tenant, RULES)
    await agree(whole, tenant)
    customer = await _buyer(whole, tenant)
    await _payments(whole, tenant, customer)
    side.sessions = await _checkout(whole, tenant)
    await _risk(whole, tenant)
    wallet = await whole.post(tenant, "/v2/wallets", {"name": HOSTILE, "currency": "CNY"}, 201)
    other = await whole.post(tenant, "/v2/wallets", {"name": "Mei", "currency": "CNY"}, 201)
    top_up = {"amount_minor": 900, "currency": "CNY", "payment_method": "pm_card_visa"}
    await whole.send(tenant, "POST", f"/v2/wallets/{wallet['id']}/top_ups", json=top_up)
    moved = {"amount_minor": 100, "currency": "CNY", "from_wallet": wallet["id"], "to_wallet": other["id"]}
    await whole.send(tenant, "POST", "/v2/wallet_transfers", json=moved)
    await whole.post(tenant, "/v2/experiments", EXPERIMENT, 201)
    async with whole.house.runtime.database.transaction() as connection:
        await whole.house.parties.stores.create(
            connection, scope_of(tenant.merchant), StoreDraft(name=HOSTILE)
        )
    async with member(whole, tenant) as browser:
        account = {"currency": "EUR", "holder": "Tea House", "scheme": "iban", "number": IBAN, "note": SHORT}
        told(await browser.post("/v2/payouts/accounts", json=account), 201)
    await cut(whole, tenant)
    made = (await whole.get(tenant, "/v1/payment_intents"))["data"]
    paid = next(each["id"] for each in made if each["status"] == "succeeded")
    await whole.post(tenant, "/v2/receipts", {"payment": paid}, 201)
    for _, step in whole.house.clearing.steps():
        await step()
    await whole.tally()


async def form(whole: Whole, tenant: Tenant, path: str, **fields: str) -> dict[str, Any]:
    """Write over ``/v1`` and return what was made."""
    return told(await whole.send(tenant, "POST", f"/v1/{path}", data=fields))


async def _buyer(whole: Whole, tenant: Tenant) -> str:
    made = await form(
        whole,
        tenant,
        "customers",
        name=HOSTILE,
        email="odd@example.com",
        description=HOSTILE,
        **{f"metadata[{SHORT}]": HOSTILE},
    )
    customer: str = made["id"]
    card = await form(
        whole,
        tenant,
        "payment_methods",
        type="card",
        **CARD,
        **{"billing_details[name]": HOSTILE},
    )
    await form(whole, tenant, f"payment_methods/{card['id']}/attach", customer=customer)
    kept = {"customer": customer, "payment_method": card["id"], "confirm": "true"}
    await form(whole, tenant, "setup_intents", **kept)
    hook = {"url": "https://hooks.teahouse.com/tongbao", "enabled_events[0]": "*", "description": HOSTILE}
    await form(whole, tenant, "webhook_endpoints", **hook)
    return customer


async def _payments(whole: Whole, tenant: Tenant, customer: str) -> None:
    card = {"currency": "cny", "confirm": "true", "payment_method": "pm_card_visa", "customer": customer}
    told_of = {"description": HOSTILE, "receipt_email": "odd@example.com", f"metadata[{SHORT}]": HOSTILE}
    paid = await form(whole, tenant, "payment_intents", amount="16800", **card, **told_of)
    await form(whole, tenant, "payment_intents", amount="5100", capture_method="manual", **card, **told_of)
    await form(
        whole, tenant, "refunds", payment_intent=paid["id"], amount="600", **{f"metadata[{SHORT}]": HOSTILE}
    )
    disputed = await form(whole, tenant, "payment_intents", amount="7200", **card, **told_of)
    payments = whole.house.payments
    view = await payments.intents.get(tenant.scope, parse_uuid("pi", disputed["id"]))
    assert view.attempt is not None
    notice = Notification(
        kind=NotificationKind.DISPUTE,
        event_id=f"evt_{disputed['id']}",
        reference=view.attempt.reference,
        answer=Answer(outcome=Outcome.APPROVED, amount_minor=7_200),
        dispute_reference=f"case-{disputed['id'][-6:]}",
        dispute_status="needs_response",
        reason_code="13.1",
        respond_by=whole.clock.now() + timedelta(days=9),
    )
    await payments.disputes.heard(view.attempt, notice)


async def _checkout(whole: Whole, tenant: Tenant) -> list[str]:
    """A link and sessions: one of the link, one that was paid; returns the addresses of their pages."""
    item = {
        "line_items[0][price_data][currency]": "cny",
        "line_items[0][price_data][unit_amount]": "300",
        "line_items[0][price_data][product_data][name]": HOSTILE,
        "line_items[0][price_data][product_data][description]": HOSTILE,
        "line_items[0][quantity]": "2",
    }
    link = await form(whole, tenant, "payment_links", **item)
    followed = await whole.http.get(f"/l/{link['id']}")
    ways = {
        "mode": "payment",
        "success_url": "https://shop.test/done",
        "cancel_url": "https://shop.test/cart",
    }
    made = await form(whole, tenant, "checkout/sessions", **item, **ways, customer_email="odd@example.com")
    page = f"/c/{made['id']}"
    shown = await whole.http.get(page)
    once = re.search(r'name="key" value="([^"]+)"', shown.text)
    assert once is not None
    typed = {"method": "card", "number": "4242424242424242", "expiry": "12/30", "cvc": "737", "key": once[1]}
    paid = await whole.http.post(f"{page}/pay", data=typed, headers={"origin": BASE})
    assert paid.status_code == 303, paid.text
    return [f"/l/{link['id']}", followed.headers["location"], page, f"{page}/receipt"]


async def _risk(whole: Whole, tenant: Tenant) -> None:
    """A payment that waits for people, an entry of a list, a frozen customer, all with reasons."""
    await judged(whole, tenant, amount_minor=90_000, customer=SHORT.replace(" ", "/"))
    await judged(whole, tenant)
    listed = {"name": "bad customers", "effect": "block", "note": HOSTILE}
    await whole.post(tenant, "/v2/risk/lists", listed, 201)
    entry = {"kind": "customer", "value": key(tenant, "cus"), "reason": HOSTILE}
    await whole.post(tenant, "/v2/risk/lists/bad customers/entries", {"entries": [entry]}, 201)
    await settled(whole)
    frozen = {"entity": "customer", "key": key(tenant, "cus"), "reason": HOSTILE}
    await whole.post(tenant, "/v2/risk/freezes", frozen, 201)
    await settled(whole)


async def harvest(whole: Whole, side: Tenanted) -> None:
    """Note every id that a merchant is told of when it reads what needs no id to be read."""
    for path in _readable(whole):
        answer = await whole.send(side.tenant, "GET", path)
        if answer.status_code == 200:
            side.learn(answer)


def _readable(whole: Whole) -> list[str]:
    """What a key may read without naming anything."""
    return [
        each.path
        for each in routes_of(whole.app)
        if each.method == "GET" and each.path.startswith(("/v1/", "/v2/")) and not each.parameters
    ]


def _texts(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from _texts(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _texts(part)
