"""A merchant's back end, as a merchant writes it: the official ``stripe`` client, and a little server for webhooks.

It is a program of its own that knows an address and a key and nothing else of the product: it imports none of it and is run as a
file by an isolated interpreter. Each line on standard input is a JSON object that names an act and its values; one line on standard
output answers it. Where a library is missing it speaks plain HTTP, or verifies webhooks by the other library alone, and says so.
"""

import http.server
import importlib
import json
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

REQUEST_S = 60.0
RETRIES_MAX = 2
AT_ONCE_MAX = 16
BODY_BYTES_MAX = 1_000_000
PATHS = {
    "customer": "customers",
    "method": "payment_methods",
    "want": "payment_intents",
    "endpoint": "webhook_endpoints",
    "pay": "payment_intents",
    "refund": "refunds",
    "cancel": "payment_intents/{}/cancel",
    "read": "payment_intents/{}",
}
Json = dict[str, Any]


def library(name: str) -> ModuleType | None:
    """Return a library by its name; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


class Official:
    """The interface by the official client."""

    def __init__(self, stripe: Any, url: str, key: str) -> None:
        self.name = f"stripe {stripe.VERSION}"
        self._stripe = stripe
        self._v1 = stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=RETRIES_MAX).v1

    def act(self, what: str, subject: str, form: Json, key: str) -> Json:
        """Do one act and return what it made; what the interface refuses is returned as ``error``."""
        options = {"idempotency_key": key}
        acts: dict[str, Callable[[], Any]] = {
            "customer": lambda: self._v1.customers.create(form, options),
            "method": lambda: self._v1.payment_methods.create(form, options),
            "want": lambda: self._v1.payment_intents.create(form, options),
            "endpoint": lambda: self._v1.webhook_endpoints.create(form, options),
            "pay": lambda: self._v1.payment_intents.create(form, options),
            "refund": lambda: self._v1.refunds.create(form, options),
            "cancel": lambda: self._v1.payment_intents.cancel(subject, form, options),
            "read": lambda: self._v1.payment_intents.retrieve(subject),
        }
        try:
            made: Json = acts[what]().to_dict()
        except self._stripe.StripeError as error:
            return {"error": error.json_body["error"] if error.json_body else {"code": type(error).__name__}}
        return made


class Plain:
    """The same over plain HTTP, for a machine without the client."""

    def __init__(self, url: str, key: str) -> None:
        self.name = "plain HTTP"
        self._url = url
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def act(self, what: str, subject: str, form: Json, key: str) -> Json:
        """Do one act; see ``Official.act``."""
        path = PATHS[what].format(subject)
        body = None if what == "read" else urlencode(list(fields(form))).encode()
        request = urllib.request.Request(  # noqa: S310 - the address that the merchant was given
            f"{self._url}/v1/{path}",
            data=body,
            headers={**self._headers, "Idempotency-Key": key},
            method="GET" if body is None else "POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:  # noqa: S310 - as above
                made: Json = json.load(answer)
        except urllib.error.HTTPError as error:
            made = json.load(error)
        return made


def fields(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield a nested object as the fields of a form."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from fields(each, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from fields(each, f"{name}[{place}]")
    else:
        yield name, str(value).lower() if isinstance(value, bool) else str(value)


class Webhooks:
    """A server that takes webhooks and lets the published verifiers judge each; a forged copy of each must be refused."""

    def __init__(self) -> None:
        self.secret = ""
        self.counts: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stripe, self._standard = library("stripe"), library("standardwebhooks")
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers["Content-Length"]), BODY_BYTES_MAX))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(200 if outer.take(headers, body) else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/webhooks"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def take(self, headers: Json, body: bytes) -> bool:
        """Judge one delivery and count it; return whether every verifier that is here believes it."""
        said = [self._by_stripe(headers, body), self._by_standard(headers, body)]
        forged = body.replace(b'"id"', b'"ID"', 1)
        lies = [self._by_stripe(headers, forged), self._by_standard(headers, forged)]
        is_believed = False not in said and any(said)
        with self._lock:
            self.counts["received"] += 1
            self.counts["stripe"] += said[0] is True
            self.counts["standardwebhooks"] += said[1] is True
            self.counts["verified"] += is_believed
            self.counts["refused"] += False in said
            self.counts["forgeries_believed"] += True in lies
            if is_believed:
                self.types[str(json.loads(body).get("type"))] += 1
        return is_believed

    def _by_stripe(self, headers: Json, body: bytes) -> bool | None:
        if self._stripe is None:
            return None
        try:
            self._stripe.Webhook.construct_event(body, headers.get("stripe-signature", ""), self.secret)
        except (self._stripe.SignatureVerificationError, ValueError):
            return False
        return True

    def _by_standard(self, headers: Json, body: bytes) -> bool | None:
        if self._standard is None:
            return None
        try:
            self._standard.Webhook(self.secret).verify(body, headers)
        except self._standard.WebhookVerificationError:
            return False
        return True


class Shop:
    """Carries out what it is told, several orders at once."""

    def __init__(self, url: str, key: str) -> None:
        stripe = library("stripe")
        self._api = Plain(url, key) if stripe is None else Official(stripe, url, key)
        self._webhooks = Webhooks()

    def open(self) -> Json:
        """Ask to be told of everything; return by what the shop speaks."""
        form = {"url": self._webhooks.url, "enabled_events": ["*"]}
        made = self._api.act("endpoint", "", form, "endpoint")
        self._webhooks.secret = made.get("secret", "")
        return {"client": self._api.name, "error": made.get("error")}

    def act(self, what: str, orders: list[Json], at_once: int) -> Json:
        """Do one act for each order, at most ``at_once`` at the same time; return what each came to, in order."""

        def one(order: Json) -> Json:
            return self._api.act(what, order.get("subject", ""), order.get("form", {}), order["key"])

        with ThreadPoolExecutor(min(max(at_once, 1), AT_ONCE_MAX)) as pool:
            return {"done": list(pool.map(one, orders))}

    def webhooks(self) -> Json:
        """Return how many webhooks came, and who believed them."""
        return {"counts": dict(self._webhooks.counts), "types": dict(self._webhooks.types)}


def main() -> None:
    """Answer line by line until the input ends."""
    shop = Shop(*sys.argv[1:3])
    for line in sys.stdin:
        asked = json.loads(line)
        acts: dict[str, Callable[[], Json]] = {"open": shop.open, "webhooks": shop.webhooks}
        known = acts.get(asked["act"])
        told = known() if known else shop.act(asked["act"], asked["orders"], asked.get("at_once", 1))
        sys.stdout.write(json.dumps(told, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
