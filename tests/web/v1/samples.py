"""One document of each kind, as the services would return it, at a fixed instant and with fixed ids."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tongbao.channels.schema import Alipay, Card, Fault, Reason, Retry
from tongbao.core.clock import FrozenClock
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import (
    Address,
    Customer,
    CustomerId,
    Merchant,
    MerchantId,
    MerchantState,
    Package,
    Permission,
    Scope,
)
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.checkout import CheckoutSession, LineItem, PaymentLink, SessionState
from tongbao.payments.schema.intents import Intent, IntentState, PaymentError
from tongbao.payments.schema.methods import (
    Mandate,
    MandateState,
    PaymentMethod,
    Period,
    SetupIntent,
    SetupState,
)
from tongbao.payments.schema.refunds import Dispute, DisputeState, Refund, RefundState
from tongbao.payments.schema.webhooks import Endpoint

AT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
BOOK = 7
CLOCK = FrozenClock(AT)
IDS = IdFactory(CLOCK, random.Random(11))
PI, PA, RE, DP, PM, SETI, MANDATE, PLINK, CS, CUS, WE, EVT = (IDS.uuid() for _ in range(12))
CASHIER = "https://pay.example.com"
SCOPE = Scope(
    merchant_id=MerchantId(5),
    book_id=BOOK,
    live=False,
    actor="key:1",
    permissions=frozenset(permission.value for permission in Permission),
)
CARD = Card("tok_x", 12, 2030, "visa", "42424242", "4242", "credit", "US")
NO_FUNDS = PaymentError(
    reason=Reason.INSUFFICIENT_FUNDS,
    fault=Fault.CUSTOMER,
    retry=Retry.LATER,
    channel="line",
    channel_code="51",
    attempt_id=PA,
)


def intent(**changes: object) -> Intent:
    fields = {
        "id": PI,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "state": IntentState.SUCCEEDED,
        "amount_minor": 1999,
        "currency": "USD",
        "client_secret": "pi_1_secret_2",
        "amount_received_minor": 1999,
        "attempt_id": PA,
        "customer_id": CUS,
        "method_id": PM,
        "metadata": {"order": "6735"},
    }
    return Intent(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def attempt(**changes: object) -> Attempt:
    fields = {
        "id": PA,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "state": AttemptState.CHARGED,
        "intent_id": PI,
        "customer_id": CUS,
        "method_id": PM,
        "channel": "line",
        "method": CARD,
        "amount_minor": 1999,
        "currency": "USD",
        "capture": True,
        "authorized_minor": 1999,
        "captured_minor": 1999,
        "sent_at": AT,
        "approval_code": "A1B2C3",
    }
    return Attempt(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def method(**changes: object) -> PaymentMethod:
    fields = {
        "id": PM,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "method": CARD,
        "customer_id": CUS,
        "fingerprint": "fp_x",
        "billing": {"name": "A. Payer", "address": {"city": "Linz"}},
    }
    return PaymentMethod(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def refund(**changes: object) -> Refund:
    fields = {
        "id": RE,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "state": RefundState.SUCCEEDED,
        "intent_id": PI,
        "attempt_id": PA,
        "amount_minor": 500,
        "currency": "USD",
        "cause": "duplicate",
        "sent_at": AT,
    }
    return Refund(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def dispute(**changes: object) -> Dispute:
    fields = {
        "id": DP,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "state": DisputeState.NEEDS_RESPONSE,
        "intent_id": PI,
        "attempt_id": PA,
        "amount_minor": 1999,
        "currency": "USD",
        "cause": "fraudulent",
        "channel_reference": "d1",
        "respond_by": AT + timedelta(days=7),
        "evidence": {"receipt": "r"},
    }
    return Dispute(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def setup(**changes: object) -> SetupIntent:
    fields = {
        "id": SETI,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "state": SetupState.SUCCEEDED,
        "customer_id": CUS,
        "method_id": PM,
        "mandate_id": MANDATE,
        "client_secret": "seti_1_secret_2",
    }
    return SetupIntent(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def mandate(**changes: object) -> Mandate:
    fields = {
        "id": MANDATE,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "state": MandateState.ACTIVE,
        "method_id": PM,
        "customer_id": CUS,
        "currency": "USD",
        "amount_minor_max": 5000,
        "period": Period.MONTH,
        "accepted_at": AT,
        "accepted_address": "203.0.113.9",
    }
    return Mandate(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def link(**changes: object) -> PaymentLink:
    fields = {
        "id": PLINK,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "currency": "USD",
        "items": (LineItem(name="Tea", unit_minor=300, quantity=2),),
    }
    return PaymentLink(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def session(**changes: object) -> CheckoutSession:
    fields = {
        "id": CS,
        "book_id": BOOK,
        "live": False,
        "created_at": AT,
        "updated_at": AT,
        "state": SessionState.OPEN,
        "currency": "USD",
        "items": (LineItem(name="Tea", unit_minor=300, quantity=2),),
        "intent_id": PI,
        "customer_email": "a@example.com",
        "client_secret": "cs_1_secret_2",
        "expires_at": AT + timedelta(days=1),
        "method_kinds": ("card",),
    }
    return CheckoutSession(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def customer(**changes: object) -> Customer:
    fields = {
        "customer_id": CustomerId(CUS),
        "email": "a@example.com",
        "name": "A. Payer",
        "phone": None,
        "description": None,
        "address": Address(city="Linz", country="AT"),
        "default_payment_method": None,
        "metadata": {},
        "version": 1,
        "created_at": AT,
        "deleted_at": None,
    }
    return Customer(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def endpoint(**changes: object) -> Endpoint:
    fields = {
        "id": WE,
        "book_id": BOOK,
        "live": False,
        "url": "https://example.com/hook",
        "enabled_events": ("*",),
        "created_at": AT,
        "updated_at": AT,
    }
    return Endpoint(**(fields | changes))  # type: ignore[arg-type]  # a table of fields


def merchant() -> Merchant:
    return Merchant(
        merchant_id=MerchantId(5),
        test_book_id=BOOK,
        parent_id=None,
        name="Tea House Ltd",
        display_name="Tea House",
        country="AT",
        default_currency="EUR",
        mcc="5499",
        package=Package.BASIC,
        state=MerchantState.OPEN,
        timezone="Europe/Vienna",
        metadata={},
        version=1,
        created_at=AT,
        updated_at=AT,
    )


ALIPAY = Alipay()
NOBODY = UUID(int=3)
