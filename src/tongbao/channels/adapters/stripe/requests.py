"""One request to Stripe's API and what its end means: the part that intents and charges share."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from pydantic import SecretStr

from tongbao.channels.adapters.exclusions import refuse
from tongbao.channels.adapters.stripe import transform
from tongbao.channels.adapters.stripe.transform import Json
from tongbao.channels.schema import Answer, Inquire, Operation, Outcome
from tongbao.core.currencies import CURRENCIES, Kind
from tongbao.core.http import TIMEOUT_S, HttpClient, NoAnswer, NotSent

PAGE_SIZE = 100
PAGES_MAX = 10
"""Of a search by our reference; what lies further away stays unresolved, it is not called absent."""
SEARCH_AROUND_S = 300
CURRENCIES_TAKEN = frozenset(row.code for row in CURRENCIES if row.kind is Kind.MONEY and row.exponent < 4)


class StripeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the API is and how we are known there.

    ``plain``: send only what every replica of the API understands: no description, return address, filters or
    descriptor. ``increments``: the account may raise authorizations. ``webhook_secret`` empty: no notification
    is believed.
    """

    base_url: str
    secret_key: SecretStr
    webhook_secret: SecretStr = SecretStr("")
    plain: bool = False
    increments: bool = False
    currencies: frozenset[str] = CURRENCIES_TAKEN
    timeout_s: float = TIMEOUT_S


class StripeRequests:
    """Sends forms, reads JSON, and tells explicit refusals from open ends."""

    def __init__(self, settings: StripeSettings, http: HttpClient) -> None:
        self._settings = settings
        self._http = http
        self._base_url = settings.base_url.rstrip("/")

    async def post(
        self,
        path: str,
        form: Mapping[str, str],
        *,
        key: str,
        operation: Operation,
        read: Callable[[Json], Answer],
    ) -> Answer:
        """Act: send ``form`` under an idempotency key and read the object that comes back."""
        try:
            status, body = await self._send("POST", path, urlencode(form).encode("ascii"), key)
        except NotSent as error:
            return Answer(outcome=Outcome.NOT_SENT, code="not_sent", message=str(error))
        except NoAnswer as error:
            return Answer(outcome=Outcome.UNRESOLVED, code="no_answer", message=str(error))
        return read(body) if status == 200 else transform.read_error(status, body, operation)

    async def get(self, path: str, read: Callable[[Json], Answer], missing: Outcome) -> Answer:
        """Ask; an end that is not an object leaves it unresolved, 404 is ``missing``."""
        body = await self._fetch(path, {})
        if isinstance(body, Answer):
            return body if body.outcome is not Outcome.NOT_FOUND else Answer(outcome=missing, code=body.code)
        return read(body)

    async def search(self, path: str, filters: Mapping[str, str], reference: str) -> Json | Answer:
        """Return the object of a list whose metadata names our reference, else why there is none.

        Lists are read page by page; the end of the list is NOT_FOUND, the last page we read is UNRESOLVED.
        """
        query = {**filters, "limit": str(PAGE_SIZE)}
        for _ in range(PAGES_MAX):
            body = await self._fetch(path, query)
            if isinstance(body, Answer):
                return body
            page = [one for one in _rows(body) if isinstance(one, dict)]
            for one in page:
                if transform.reference_of(one) == reference:
                    return one
            if body.get("has_more") is not True or not page:
                return Answer(outcome=Outcome.NOT_FOUND, code="not_listed")
            query["starting_after"] = str(page[-1].get("id", ""))
        return Answer(outcome=Outcome.UNRESOLVED, code="list_too_long")

    def around(self, call: Inquire) -> dict[str, str]:
        """Return list filters for what was created when the call was sent; none for a plain replica."""
        if self._settings.plain:
            return {}
        at = int(call.sent_at.timestamp())
        return {"created[gte]": str(at - SEARCH_AROUND_S), "created[lte]": str(at + SEARCH_AROUND_S)}

    async def _fetch(self, path: str, query: Mapping[str, str]) -> Json | Answer:
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            status, body = await self._send("GET", target, None, None)
        except (NotSent, NoAnswer) as error:
            return Answer(outcome=Outcome.UNRESOLVED, code="no_answer", message=str(error))
        if status == 404:
            return Answer(outcome=Outcome.NOT_FOUND, code="resource_missing")
        return body if status == 200 else Answer(outcome=Outcome.UNRESOLVED, code=f"http_{status}")

    async def _send(self, method: str, path: str, body: bytes | None, key: str | None) -> tuple[int, Json]:
        """Return status and object of an answer; raise NotSent, NoAnswer (also for what is no JSON object)."""
        headers = {"authorization": f"Bearer {self._settings.secret_key.get_secret_value()}"}
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        if key is not None:
            headers["idempotency-key"] = key
        answer = await self._http.request(
            method, self._base_url + path, headers=headers, body=body, timeout_s=self._settings.timeout_s
        )
        try:
            parsed: Any = json.loads(answer.body)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            raise NoAnswer("unreadable")
        return answer.status, parsed


def amount_form(name: str, amount_minor: int, currency: str) -> dict[str, str] | Answer:
    """Return an amount as a form field, or the refusal of one that Stripe cannot express."""
    try:
        return {name: str(transform.to_wire(amount_minor, currency))}
    except transform.Unwritable as error:
        return refuse(f"cannot be written: {error}")


def _rows(body: Json) -> list[Any]:
    rows = body.get("data")
    return rows if isinstance(rows, list) else []
