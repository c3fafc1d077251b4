"""A first payment with the official ``stripe`` client, against a house that runs (``make run``).

Run it with ``.venv/bin/python examples/first_payment.py``; it takes the demonstration's key from ``.tongbao/``. Another
house is named by its address and a secret test key: ``first_payment.py http://127.0.0.1:8080 sk_test_…``. What it
prints stands in docs/start/first-payment.md, and a test compares them.
"""

import json
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import stripe

ADDRESS = "http://127.0.0.1:8080"
KEYS = Path(".tongbao/demo-keys.json")
WAIT_S = 20.0


class Inbox(HTTPServer):
    """Your own server, as far as webhooks need one: keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.letters: list[tuple[bytes, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def about(self, intent_id: str) -> tuple[bytes, str]:
        """Return the body and the signature of the webhook about a payment, once it has come."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            for body, signature in list(self.letters):
                if intent_id.encode() in body:
                    return body, signature
            time.sleep(0.05)
        raise TimeoutError(f"no webhook about {intent_id} came within {WAIT_S} s")


class _Handler(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.letters.append((body, self.headers["Stripe-Signature"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Open an inbox on a free port."""
    with Inbox() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def pay() -> None:
    """Collect 19.99 yuan with a test card."""
    print("1. A payment of 19.99 with a test card")
    order = str(uuid.uuid4())
    intent = stripe.PaymentIntent.create(
        amount=19_99, currency="cny", payment_method="pm_card_visa", confirm=True, idempotency_key=order
    )
    print(f"   {intent.status}, {intent.amount_received} fen received")
    again = stripe.PaymentIntent.create(
        amount=19_99, currency="cny", payment_method="pm_card_visa", confirm=True, idempotency_key=order
    )
    print(
        f"   asked again with the same key: {'the same payment' if again.id == intent.id else 'another one'}"
    )


def be_declined() -> None:
    """Meet a card without funds, and let the payer try another one."""
    print("2. A card without funds")
    intent = stripe.PaymentIntent.create(amount=50_00, currency="cny")
    try:
        intent.confirm(payment_method="pm_card_chargeDeclinedInsufficientFunds")
    except stripe.CardError as error:
        print(f"   {error.code}: {error.user_message}")
    intent.refresh()
    print(f"   {intent.status}, and the payer takes another card")
    print(f"   {intent.confirm(payment_method='pm_card_visa').status}")


def capture_in_parts() -> None:
    """Reserve 100 yuan, take 40 and 35 of them, give 5 back."""
    print("3. 100.00 reserved, captured in two parts, a little of it refunded")
    intent = stripe.PaymentIntent.create(
        amount=100_00, currency="cny", payment_method="pm_card_visa", confirm=True, capture_method="manual"
    )
    print(f"   {intent.status}, {intent.amount_capturable} can be captured")
    intent = intent.capture(amount_to_capture=40_00, final_capture=False)
    print(f"   {intent.status}, {intent.amount_received} captured")
    intent = intent.capture(amount_to_capture=35_00)
    print(f"   {intent.status}, {intent.amount_received} captured, {intent.amount_capturable} left: released")
    refund = stripe.Refund.create(payment_intent=intent.id, amount=5_00)
    print(f"   refund of {refund.amount}: {refund.status}")


def hear_of_it() -> None:
    """Take a webhook, and do not believe one that was changed on its way."""
    print("4. A webhook")
    with inbox() as server:
        endpoint = stripe.WebhookEndpoint.create(url=server.url, enabled_events=["payment_intent.succeeded"])
        secret = endpoint.secret
        assert secret is not None
        intent = stripe.PaymentIntent.create(
            amount=8_00, currency="cny", payment_method="pm_card_visa", confirm=True
        )
        body, signature = server.about(intent.id)
        endpoint.delete()
    event = stripe.Webhook.construct_event(body, signature, secret)
    print(f"   {event.type}, {event.data.object['amount']} fen, signature good")
    try:
        stripe.Webhook.construct_event(body.replace(b"800", b"900"), signature, secret)
    except stripe.SignatureVerificationError:
        print("   the same with another amount: refused")


def main() -> None:
    """Point the client at the house and pay."""
    if len(sys.argv) == 3:
        stripe.api_base, stripe.api_key = sys.argv[1:]
    else:
        stripe.api_base = ADDRESS
        stripe.api_key = next(iter(json.loads(KEYS.read_text()).values()))["sk_test_"]
    for step in (pay, be_declined, capture_in_parts, hear_of_it):
        step()


if __name__ == "__main__":
    main()
