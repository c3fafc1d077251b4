"""A merchant's client as it should be: what is not answered is repeated, the same request under the same key.

On no answer, a lost connection, 409 (under way), 429 and 5xx it waits and asks another process, until it has an answer
that ends the request. Whatever was acknowledged is kept for the audit.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from tongbao.bench.payment_drill_programs import HOST
from tongbao.core.http import HttpClient, NoAnswer, NotSent

REQUEST_S = 12.0
PAUSE_S = 0.2
PAUSE_S_MAX = 2.0
GIVE_UP_S = 240.0
REPEATED = frozenset({409, 429, 500, 502, 503, 504})


class Unanswered(Exception):
    """The drill gave up on a request."""


class Acknowledged(msgspec.Struct):
    """One answer that ended a request: of a payment intent, or of a refund of it."""

    order: int
    what: str
    status_code: int
    id: str | None
    status: str | None
    amount_minor: int
    code_of_channel: str | None = None


class Client:
    """Asks the API's processes in turn."""

    def __init__(self, http: HttpClient, ports: list[int], key: str) -> None:
        self.answers: list[Acknowledged] = []
        self.repeats: Counter[str] = Counter()
        self.contradictions: list[str] = []
        self.latencies_s: list[float] = []
        self._http = http
        self._authorization = f"Bearer {key}"
        self._urls = itertools.cycle([f"http://{HOST}:{port}" for port in ports])

    async def post(self, path: str, key: str, form: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        """Send a request until it is answered; return status and body. Raises Unanswered."""
        began = time.monotonic()
        body = urlencode({name: str(value) for name, value in form.items()}).encode()
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/x-www-form-urlencoded",
            "Idempotency-Key": key,
        }
        answer = await self._insist("POST", path, headers, body)
        self.latencies_s.append(time.monotonic() - began)
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        """Read something until it is answered. Raises Unanswered."""
        _, body = await self._insist("GET", path, {"Authorization": self._authorization}, None)
        return body

    async def twice(self, path: str, key: str, form: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        """Send the same request twice at the same time; what they answer must be one and the same."""
        first, second = await asyncio.gather(self.post(path, key, form), self.post(path, key, form))
        self._compare(key, first, second)
        return first

    async def again(
        self, path: str, key: str, form: Mapping[str, object], first: tuple[int, dict[str, Any]]
    ) -> None:
        """Repeat a request that was answered; the answer must be the one that was given."""
        self._compare(key, first, await self.post(path, key, form))

    def acknowledge(self, order: int, what: str, answer: tuple[int, dict[str, Any]]) -> Acknowledged:
        """Keep what an answer said."""
        status_code, body = answer
        error = body.get("error", {})
        thing = error.get("payment_intent") or {} if error else body
        known = Acknowledged(
            order=order,
            what=what,
            status_code=status_code,
            id=thing.get("id"),
            status=thing.get("status"),
            amount_minor=int(thing.get("amount_received", thing.get("amount", 0)) or 0),
            code_of_channel=error.get("standardised_code"),
        )
        self.answers.append(known)
        return known

    def _compare(
        self, key: str, first: tuple[int, dict[str, Any]], second: tuple[int, dict[str, Any]]
    ) -> None:
        self.repeats["deliberate"] += 1
        # A refusal before anything was begun is not kept, so its repeat may meet another state; money cannot differ.
        if first != second and 200 in (first[0], second[0]):
            self.contradictions.append(f"{key}: {_told(first)}, and then {_told(second)}")

    async def _insist(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, Any]]:
        give_up = time.monotonic() + GIVE_UP_S
        pause_s = PAUSE_S
        while time.monotonic() < give_up:
            try:
                answer = await self._http.request(
                    method, next(self._urls) + path, headers=headers, body=body, timeout_s=REQUEST_S
                )
            except (NotSent, NoAnswer) as error:
                self.repeats[type(error).__name__] += 1
            else:
                if answer.status not in REPEATED:
                    return answer.status, msgspec.json.decode(answer.body)
                self.repeats[str(answer.status)] += 1
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, PAUSE_S_MAX)
        raise Unanswered(path)


def _told(answer: tuple[int, dict[str, Any]]) -> str:
    status, body = answer
    return f"{status} {body.get('id') or body.get('error', {}).get('code')} {body.get('status')}"
