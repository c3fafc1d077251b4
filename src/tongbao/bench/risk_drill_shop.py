"""The shop of the risk drill: who pays, what a payment asks for, and what its payer met.

Everything goes over HTTP, Stripe-shaped, with the payer's device and network address as a shop tells them. A request whose
line breaks is sent again under its key at the other process; a process that is away is passed over.
"""

import asyncio
import itertools
import random
import time
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from tongbao.bench.payment_drill_client import Acknowledged
from tongbao.bench.payment_drill_programs import HOST
from tongbao.bench.payment_drill_search import luhn_digit
from tongbao.bench.risk_drill_world import CURRENCY
from tongbao.core.http import HttpAnswer, HttpClient, NoAnswer, NotSent

INTENTS = "/v1/payment_intents"
REQUEST_S = 15.0
ASKED_MAX = 6
"""How often a request is sent at most while processes are away."""
PAUSE_S = 0.1
USUAL_MINOR_MIN, USUAL_MINOR_MAX = 2_000, 6_000
DAILY_MINOR_MIN_SHARE, DAILY_MINOR_MAX_SHARE = 0.5, 1.6
ROUND_MINOR = 100
"""Amounts are whole units: the sandbox declines by the last two digits."""
CARD_BEGINNING = "421337"
CARD_DIGITS = 16
FORM = "application/x-www-form-urlencoded"
PASSED, STEPPED_UP, HELD, STOPPED = "frictionless", "step_up", "review", "decline"
ISSUER, OPEN, BROKEN = "issuer_declined", "open", "broken"


class Payer(NamedTuple):
    """Who pays, with what and from where; ``customer`` is empty for a guest. ``usual_minor``: what it spends as a rule."""

    card: str
    device: str
    address: str
    email: str
    customer: str = ""
    usual_minor: int = USUAL_MINOR_MIN


class Paid(NamedTuple):
    """One payment as its payer met it: ``met`` is one of the words above; ``url`` is where a stepped-up payer goes."""

    scene: str
    id: str
    met: str
    status: str
    amount_minor: int
    began_s: float
    took_s: float
    url: str = ""


class Shop:
    """Asks the house. ``errors`` holds every answer that no payer should get, ``cut`` requests that a kill left open."""

    def __init__(self, http: HttpClient, ports: list[int], key: str) -> None:
        self.answers: list[Acknowledged] = []
        self.paid: list[Paid] = []
        self.errors: list[str] = []
        self.cut = 0
        self._http = http
        self._ports = ports
        self._turn = itertools.count()
        self._numbers = itertools.count(1)
        self._authorization = f"Bearer {key}"

    async def customer(self, email: str) -> str:
        """Open a customer account; return its id."""
        _, body = await self.post("/v1/customers", f"customer-{email}", {"email": email}, None)
        return str(body["id"])

    async def save_card(self, payer: Payer) -> dict[str, Any]:
        """Save a card as a method, without a payment; return the method."""
        form = {
            name.replace("payment_method_data[card]", "card"): each for name, each in _card(payer).items()
        }
        _, body = await self.post(
            "/v1/payment_methods", f"method-{payer.device}", {"type": "card", **form}, None
        )
        return body

    async def want(self) -> None:
        """Make an intent that nobody pays."""
        await self.post(INTENTS, "wanted", {"amount": ROUND_MINOR, "currency": CURRENCY.lower()}, None)

    async def pay(self, scene: str, payer: Payer, amount_minor: int, port: int | None = None) -> Paid:
        """Let somebody pay, first at the process that ``port`` names where it does; return what it met."""
        number = next(self._numbers)
        began_s, began = time.time(), time.monotonic()
        form = _form(payer, amount_minor, number)
        status, body = await self.post(INTENTS, f"order-{number}", form, port)
        paid = paid_of(scene, status, body, Paid(scene, "", OPEN, "", amount_minor, began_s, 0.0))
        paid = paid._replace(took_s=time.monotonic() - began)
        self.paid.append(paid)
        if paid.met is OPEN:
            self.cut += 1
        elif paid.met is BROKEN:
            self.errors.append(f"order {number}: {status} {str(body)[:200]}")
        else:
            self._acknowledge(number, status, paid)
        return paid

    async def post(
        self, path: str, key: str, form: dict[str, object], port: int | None
    ) -> tuple[int, dict[str, Any]]:
        """Send a request until somebody answers it; return status and body, 0 and nothing where nobody did."""
        headers = {
            "Authorization": self._authorization,
            "Content-Type": FORM,
            "Idempotency-Key": key,
        }
        body = urlencode({name: str(value) for name, value in form.items()}).encode()
        for asked in range(ASKED_MAX):
            is_named = port is not None and not asked
            at = port if is_named else self._ports[next(self._turn) % len(self._ports)]
            try:
                answer = await self._http.request(
                    "POST", f"http://{HOST}:{at}{path}", headers=headers, body=body, timeout_s=REQUEST_S
                )
                return answer.status, msgspec.json.decode(answer.body)
            except (NotSent, NoAnswer):
                await asyncio.sleep(PAUSE_S)
        return 0, {}

    async def read(self, reference: str) -> dict[str, Any]:
        """Return a payment as it stands."""
        headers = {"Authorization": self._authorization}
        url = f"http://{HOST}:{self._ports[0]}{INTENTS}/{reference}"
        answer = await self._http.request("GET", url, headers=headers, timeout_s=REQUEST_S)
        found: dict[str, Any] = msgspec.json.decode(answer.body)
        return found

    async def look(self, url: str) -> HttpAnswer:
        """Open a page as a payer does."""
        return await self._page("GET", url, None)

    async def type_code(self, url: str, code: str) -> HttpAnswer:
        """Send the form of a step-up page with a code."""
        return await self._page("POST", f"{url}/answer", urlencode({"code": code}).encode())

    async def _page(self, method: str, url: str, body: bytes | None) -> HttpAnswer:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        headers = {"Origin": origin, "Content-Type": FORM} if body is not None else {}
        answer = await self._http.request(method, url, headers=headers, body=body, timeout_s=REQUEST_S)
        if answer.status >= 500:
            self.errors.append(f"{method} {parts.path[:20]}…: {answer.status}")
        return answer

    def _acknowledge(self, number: int, status: int, paid: Paid) -> None:
        taken = paid.amount_minor if paid.status == "succeeded" else 0
        self.answers.append(
            Acknowledged(
                order=number,
                what="create",
                status_code=status,
                id=paid.id,
                status=paid.status,
                amount_minor=taken,
            )
        )


def paid_of(scene: str, status: int, body: dict[str, Any], unknown: Paid) -> Paid:
    """Return what an answer says that a payer met; ``unknown`` holds what is known without it."""
    if status in (0, 409):
        return unknown
    intent = body if "error" not in body else body["error"].get("payment_intent") or {}
    if status >= 500 or not intent.get("id"):
        return unknown._replace(met=BROKEN)
    action = intent.get("next_action") or {}
    url = (action.get("redirect_to_url") or {}).get("url") or ""
    said = {"succeeded": PASSED, "requires_capture": PASSED, "processing": OPEN}
    met = said.get(intent["status"], ISSUER)
    if intent["risk_state"] == "review" and met is PASSED:
        met = HELD
    elif intent["risk_state"] == "blocked":
        met = STOPPED
    elif "/step-up/" in url:
        met = STEPPED_UP
    return unknown._replace(scene=scene, id=intent["id"], met=met, status=intent["status"], url=url)


def card_of(chance: random.Random) -> str:
    """Return a card number that no other card of the drill has, with its check digit."""
    length = CARD_DIGITS - 1 - len(CARD_BEGINNING)
    body = CARD_BEGINNING + "".join(str(chance.randrange(10)) for _ in range(length))
    return body + luhn_digit(body)


def daily_minor(payer: Payer, chance: random.Random) -> int:
    """Return what a payer spends on an ordinary day, in minor units."""
    share = chance.uniform(DAILY_MINOR_MIN_SHARE, DAILY_MINOR_MAX_SHARE)
    return max(1, round(payer.usual_minor * share / ROUND_MINOR)) * ROUND_MINOR


def _form(payer: Payer, amount_minor: int, number: int) -> dict[str, object]:
    form: dict[str, object] = {
        "amount": amount_minor,
        "currency": CURRENCY.lower(),
        "confirm": "true",
        "metadata[order]": number,
        "payment_method_types[0]": "card",
        "payment_method_data[type]": "card",
        **_card(payer),
        "radar_options[session]": payer.device,
        "radar_options[ip_address]": payer.address,
    }
    if payer.email:
        form["receipt_email"] = payer.email
    return form | ({"customer": payer.customer} if payer.customer else {})


def _card(payer: Payer) -> dict[str, object]:
    return {
        "payment_method_data[card][number]": payer.card,
        "payment_method_data[card][exp_month]": 11,
        "payment_method_data[card][exp_year]": 2031,
        "payment_method_data[card][cvc]": 123,
    }
