"""What shops do over the public interface: ask for a payment, capture, refund, read, report fraud; and what networks do.

Every request has the merchant's own key and an idempotency key that follows from the city's name and the visit, so a
repeat is the same request. A line that breaks is told as status 0: what came of it nobody knows.
"""

from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.simulator.city.running import Ways
from tongbao.simulator.city.schema import Card, Means, Visit
from tongbao.simulator.instants import made_at

INTENTS = "/v1/payment_intents"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
REQUEST_S = 30.0
CVC = "123"
FOUND_WITHIN_S = 180
"""So long after its visit a payment was made at the latest: nobody makes up for one that is longer ago."""
CHARGE_PREFIX, ATTEMPT_PREFIX = "ch_", "pa_"
"""A charge is what merchants see of an attempt: the same id under another prefix."""


class Answer(NamedTuple):
    """Status and body of an answer; status 0 is none."""

    status: int
    body: dict[str, Any]

    @property
    def intent(self) -> dict[str, Any]:
        """The payment, also where the answer is a decline."""
        if "error" not in self.body:
            return self.body
        found: dict[str, Any] = self.body["error"].get("payment_intent") or {}
        return found

    @property
    def error_code(self) -> str | None:
        """The reason of a no in one word, the most exact that is told."""
        error = self.body.get("error") or {}
        code: str | None = error.get("decline_code") or error.get("code")
        return code


class Acting:
    """Asks the house and the networks. ``city`` names this run: it stands before every idempotency key."""

    def __init__(self, ways: Ways, http: HttpClient, city: str) -> None:
        self.ways = ways
        self._http = http
        self._city = city

    async def pay(self, visit: Visit, means: Means, at: datetime) -> Answer:
        """Ask for the payment of a visit by its first means, and confirm it at once."""
        form = {
            "amount": str(visit.amount_minor),
            "currency": visit.currency.lower(),
            "description": visit.item,
            "metadata[order]": str(visit.number),
            "confirm": "true",
            "receipt_email": visit.email,
            "radar_options[session]": visit.device,
            "radar_options[ip_address]": visit.address,
            **{f"payment_method_types[{at}]": each.value for at, each in enumerate(_offered(visit))},
            **_method(means, visit.card),
        }
        if visit.is_manual and means is Means.CARD:
            form["capture_method"] = "manual"
        return await self.post(visit.shop, INTENTS, form, f"{visit.number}/pay", at)

    async def try_again(self, visit: Visit, intent: str, means: Means, tries: int, at: datetime) -> Answer:
        """Confirm a payment with the next means."""
        path, key = f"{INTENTS}/{intent}/confirm", f"{visit.number}/again-{tries}"
        return await self.post(visit.shop, path, _method(means, visit.card), key, at)

    async def capture(self, visit: Visit, intent: str, amount_minor: int, at: datetime) -> Answer:
        """Claim what was reserved, or a part of it."""
        form = {"amount_to_capture": str(amount_minor)}
        return await self.post(visit.shop, f"{INTENTS}/{intent}/capture", form, f"{visit.number}/capture", at)

    async def refund(self, visit: Visit, intent: str, amount_minor: int, at: datetime) -> Answer:
        """Give money back."""
        form = {"payment_intent": intent, "amount": str(amount_minor)}
        return await self.post(visit.shop, "/v1/refunds", form, f"{visit.number}/refund", at)

    async def read(self, shop: int, intent: str, at: datetime) -> Answer:
        """Return a payment as it stands."""
        return await self._send(
            "GET", self.ways.base_url + f"{INTENTS}/{intent}", self._headers(shop, at), None
        )

    async def find(self, visit: Visit) -> dict[str, Any] | None:
        """Return the payment of a visit that happened in an earlier run; None where there is none."""
        first_s = int(visit.at.timestamp())
        window = {"created[gte]": str(first_s), "created[lt]": str(first_s + FOUND_WITHIN_S), "limit": "100"}
        url = f"{self.ways.base_url}{INTENTS}?{urlencode(window)}"
        answer = await self._send("GET", url, self._headers(visit.shop, visit.at), None)
        for intent in answer.body.get("data", []):
            order = intent["metadata"].get("order")
            if (order, intent["amount"]) == (str(visit.number), visit.amount_minor):
                found: dict[str, Any] = intent
                return found
        return None

    async def disputes_of(self, channel_reference: str) -> list[dict[str, Any]]:
        """Return what payers complained of to the network about a payment, oldest first."""
        url = f"{self.ways.sandbox_url}/_sandbox/payments/{channel_reference}"
        answer = await self._send("GET", url, {}, None)
        held = answer.body.get("payments", [])
        return [dispute for payment in held for dispute in payment["disputes"].values()]

    async def report_fraud(self, shop: int, intent: str, at: datetime) -> Answer:
        """Say that a payment was fraud, as its issuer reported to the shop."""
        headers = self._headers(shop, at) | {
            "Content-Type": JSON,
            "Idempotency-Key": f"{self._city}/{intent}/label",
        }
        body = msgspec.json.encode({"payment": intent, "is_fraud": True})
        return await self._send("POST", f"{self.ways.base_url}/v2/risk/labels", headers, body)

    async def pay_in_app(self, channel_reference: str) -> Answer:
        """Let the payer scan a code with a wallet's app and pay."""
        return await self._network("pay", {"reference": channel_reference})

    async def dispute(self, channel_reference: str, reason_code: str) -> Answer:
        """Let the payer complain to the network, which tells the house."""
        body = {"reference": channel_reference, "reason_code": reason_code}
        return await self._network("disputes", body)

    async def decide_dispute(self, dispute: str, status: str) -> Answer:
        """Let the network end a dispute: ``won`` by the merchant, or ``lost``."""
        return await self._network(f"disputes/{dispute}", {"status": status})

    async def post(self, shop: int, path: str, form: dict[str, str], key: str, at: datetime) -> Answer:
        """Send a form with a shop's key."""
        headers = self._headers(shop, at) | {"Content-Type": FORM, "Idempotency-Key": f"{self._city}/{key}"}
        return await self._send("POST", self.ways.base_url + path, headers, urlencode(form).encode())

    async def _network(self, path: str, body: dict[str, str]) -> Answer:
        url = f"{self.ways.sandbox_url}/_sandbox/{path}"
        return await self._send("POST", url, {"Content-Type": JSON}, msgspec.json.encode(body))

    async def _send(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        try:
            answer = await self._http.request(method, url, headers=headers, body=body, timeout_s=REQUEST_S)
        except (NotSent, NoAnswer):
            return Answer(0, {})
        try:
            return Answer(answer.status, msgspec.json.decode(answer.body, type=dict[str, Any]))
        except msgspec.MsgspecError:
            return Answer(answer.status, {})

    def _headers(self, shop: int, at: datetime) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.ways.keys[shop]}"} | made_at(at)


def channel_reference(intent: dict[str, Any]) -> str | None:
    """Return what the channel calls the last attempt of a payment; None where there was none."""
    charge = intent.get("latest_charge")
    if not isinstance(charge, str) or not charge.startswith(CHARGE_PREFIX):
        return None
    return ATTEMPT_PREFIX + charge.removeprefix(CHARGE_PREFIX)


def _offered(visit: Visit) -> tuple[Means, ...]:
    return tuple(dict.fromkeys(visit.attempt_means))


def _method(means: Means, card: Card | None) -> dict[str, str]:
    form = {"payment_method_data[type]": means.value}
    if means is Means.CARD and card is not None:
        form |= {
            "payment_method_data[card][number]": card.number,
            "payment_method_data[card][exp_month]": str(card.exp_month),
            "payment_method_data[card][exp_year]": str(card.exp_year),
            "payment_method_data[card][cvc]": CVC,
        }
    return form
