"""Payments that risk control steps up in a whole house, and the pages on which their payers prove who they are."""

import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import structlog
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, told

from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.risk.service import compiling

ASK = 'ask: when amount > 1 CNY then step_up because "ask" owner mei\n'
MAIL = "mei@example.com"


@dataclass
class Counter:
    """A merchant whose every payment is stepped up, one customer of it, and the customer's browser."""

    whole: Whole
    tenant: Tenant
    customer: str
    browser: httpx.AsyncClient
    base: str
    code: str = ""
    return_url: str = "https://shop.test/thanks"

    async def pay(self, amount: int = 45_000, customer: str | None = None) -> tuple[str, str]:
        """A new payment of the customer, a minute after what was before; its id and the path of its page."""
        self.whole.clock.advance(timedelta(minutes=1))
        order = {
            "amount": str(amount),
            "currency": "cny",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "customer": customer or self.customer,
            "receipt_email": MAIL,
            "return_url": self.return_url,
        }
        made = told(await self.whole.send(self.tenant, "POST", "/v1/payment_intents", data=order))
        assert made["status"] == "requires_action", made
        return made["id"], urlsplit(made["next_action"]["redirect_to_url"]["url"]).path

    async def status(self, payment: str) -> str:
        """How a payment stands."""
        found = await self.whole.get(self.tenant, f"/v1/payment_intents/{payment}")
        return str(found["status"])

    async def page(self, path: str, **query: str) -> str:
        """A page as it is shown, notes included; a code that was sent for it is remembered."""
        with heard() as logs:
            answer = await self.browser.get(path, params=query or None)
        assert answer.status_code == 200, answer.text
        self._note(logs)
        return html.unescape(answer.text)

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of a page."""
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": self.base}
        with heard() as logs:
            answer = await self.browser.post(path, content=urlencode(fields), headers=headers)
        self._note(logs)
        return answer

    async def follow(self, answer: httpx.Response) -> str:
        """The page that a form leads to."""
        assert answer.status_code == 303, answer.text
        return await self.page(answer.headers["location"])

    async def challenges(self, payment: str) -> list[Json]:
        """The challenges of a payment as the merchant sees them, oldest first."""
        found = (await self.whole.get(self.tenant, "/v2/risk/challenges"))["data"]
        return [each for each in reversed(found) if each["payment"] == payment]

    async def passkeys(self, customer: str | None = None) -> list[Json]:
        """The customer's passkeys as the merchant sees them."""
        path = f"/v2/customers/{customer or self.customer}/passkeys"
        found: list[Json] = (await self.whole.get(self.tenant, path))["data"]
        return found

    def _note(self, logs: list[Any]) -> None:
        for each in logs:
            if each["event"] == "step_up_code_for_development":
                self.code = each["code"]


@contextmanager
def heard() -> Iterator[list[Json]]:
    """What is logged meanwhile. Several may listen at once; structlog's own capture would put back another's pipeline."""
    logs: list[Json] = []

    def tap(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        logs.append(dict(event))
        return event

    pipeline = structlog.get_config()["processors"]
    pipeline.insert(0, tap)
    try:
        yield logs
    finally:
        pipeline.remove(tap)


async def open_counter(whole: Whole, base: str, browser: httpx.AsyncClient) -> Counter:
    """A merchant that asks always, with a customer from before."""
    tenant = await whole.tenant()
    policies, policy = whole.house.decisions.policies, f"{compiling.POLICY}/{tenant.scope.book_id}"
    drafted = await policies.draft(policy, {"rules": ASK}, "", "mei")
    await policies.publish(policy, drafted.version, "mei")
    await policies.roll_out(policy, RolloutOrder(champion=drafted.version), "mei")
    whole.clock.advance(timedelta(seconds=5))
    await whole.house.risk.live.refresh()
    counter = Counter(whole, tenant, "", browser, base)
    counter.customer = await customer_of(counter)
    return counter


async def customer_of(counter: Counter) -> str:
    """A new customer of the merchant."""
    made = await counter.whole.send(counter.tenant, "POST", "/v1/customers", data={"email": MAIL})
    return str(told(made)["id"])


def options_of(page: str) -> str:
    """What a page asks the browser for, as JSON."""
    found = re.search(r'data-options="(\{.*?\})" data-', page)
    assert found is not None, page
    json.loads(found[1])
    return found[1]
