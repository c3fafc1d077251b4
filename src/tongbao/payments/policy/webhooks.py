"""Webhooks without input or output: which events a fact means, who wants them, signatures, schedule and health.

Both signatures are HMAC-SHA256 over the raw body and the time of the attempt:

- Stripe's: ``t=<unix seconds>,v1=<hex>`` over ``t.body``, keyed with the text of the secret;
- Standard Webhooks' (standardwebhooks.com, 1.0.0): ``v1,<base64>`` over ``id.t.body``, keyed with the bytes that the
  secret encodes.

While a secret is being replaced each header holds one signature for each, so that a receiver may use either.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from tongbao.core.errors import InvariantBroken
from tongbao.core.events.facts import Delivered
from tongbao.core.ids import derive
from tongbao.core.masking import mask_text
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.notices import Notice, Told
from tongbao.payments.schema.webhooks import (
    DeliveryState,
    Endpoint,
    EndpointDisabled,
    EndpointState,
    EventRow,
    HealthState,
    complete,
)

SECRET_PREFIX = "whsec_"  # noqa: S105  # the beginning of every secret, no secret itself
DISABLED_EVENT = "webhook_endpoint.disabled"
TEST_EVENT = "webhook_endpoint.test"
RETRY_AFTER_S = (10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400, 86_400)
"""Pauses after the first, second … failed attempt, about 2.9 days in all; then the delivery is dead."""
JITTER_SHARE = 0.1
GIVE_UP_AFTER = timedelta(days=3)
"""An endpoint that did nothing but fail for so long is disabled."""
FAILING_FROM = 3
"""Failures in a row from which an endpoint counts as failing."""
STATUS_GONE = 410
EXCERPT_BYTES_MAX = 1_024

_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?")
_PATTERN_CHARS_MAX = 100
_MASKED_BYTES_MAX = 8 * EXCERPT_BYTES_MAX
_ENCODER = msgspec.json.Encoder()


def events_of(delivered: Delivered) -> list[EventRow]:
    """Return the events that a fact means, each with an id that follows from the fact's.

    Raises InvariantBroken ``fact_unreadable`` for a fact of a form that this program does not know.
    """
    fact = delivered.fact
    if isinstance(fact, EndpointDisabled):
        return [_event(delivered, 0, DISABLED_EVENT, fact.endpoint)]
    if isinstance(fact, Happened):
        return [
            msgspec.structs.replace(
                _event(delivered, place, event.type, fact.documents[event.index]),
                request_id=fact.request_id,
                idempotency_key=fact.idempotency_key,
            )
            for place, event in enumerate(fact.events)
        ]
    raise InvariantBroken("fact_unreadable", f"no event can be made of the fact {delivered.id}")


def events_told(told: Told) -> list[EventRow]:
    """Return the events of what an upper room tells, each with an id that follows from its fact's."""
    return [_event(told.delivered, place, kind, told.notice) for place, kind in enumerate(told.types)]


def _event(delivered: Delivered, place: int, kind: str, document: Document | Endpoint | Notice) -> EventRow:
    return EventRow(
        book_id=document.book_id,
        id=derive(delivered.id, f"event/{place}"),
        live=document.live,
        type=kind,
        object_kind=str(document.__struct_config__.tag),
        object_id=document.id,
        sequence=document.version,
        created_at=delivered.occurred_at,
        position=delivered.position,
        place=place,
        snapshot=_ENCODER.encode(document).decode(),
    )


def test_event(endpoint: Endpoint, at: datetime) -> EventRow:
    """Return the event by which a merchant tries an endpoint: about the endpoint itself, one for each instant."""
    return EventRow(
        book_id=endpoint.book_id,
        id=derive(endpoint.id, f"test/{at.isoformat()}"),
        live=endpoint.live,
        type=TEST_EVENT,
        object_kind=str(endpoint.__struct_config__.tag),
        object_id=endpoint.id,
        sequence=endpoint.version,
        created_at=at,
        position=0,
        place=0,
        snapshot=_ENCODER.encode(endpoint).decode(),
    )


def tells_changes(kind: str) -> bool:
    """Return whether events of this type carry what the changed attributes were before."""
    return kind.endswith(".updated")


def previous_attributes(snapshot: str, before: str) -> str | None:
    """Return, as JSON, the attributes in which two snapshots of a document differ, as they were before."""
    now, then = complete(snapshot), complete(before)
    changed = {
        name: then.get(name) for name in now if name not in _ALWAYS_NEW and then.get(name) != now[name]
    }
    return _ENCODER.encode(changed).decode() if changed else None


_ALWAYS_NEW = frozenset({"version", "updated_at"})


def is_pattern(text: str) -> bool:
    """Return whether a text can name events: a type, ``*``, or a beginning with ``.*``."""
    return len(text) <= _PATTERN_CHARS_MAX and _PATTERN.fullmatch(text) is not None


def wants(patterns: Iterable[str], kind: str) -> bool:
    """Return whether one of the patterns names events of this type."""
    exact, beginnings = split_patterns(patterns)
    return kind in exact or kind.startswith(tuple(beginnings))


def split_patterns(patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the exact types and the beginnings of types (with their dot; empty for all) that patterns name."""
    exact: list[str] = []
    beginnings: list[str] = []
    for pattern in patterns:
        if pattern.endswith("*"):
            beginnings.append(pattern[:-1])
        else:
            exact.append(pattern)
    return exact, beginnings


def secret_text(key: bytes) -> str:
    """Return the text of a secret made of random bytes."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signed_headers(secrets: Sequence[str], message_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
    """Return the headers of one attempt: both signatures, with every secret that is valid at ``at``."""
    seconds = int(at.timestamp())
    standard = " ".join(standard_signature(secret, message_id, seconds, body) for secret in secrets)
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": ",".join(
            [f"t={seconds}", *(f"v1={stripe_signature(secret, seconds, body)}" for secret in secrets)]
        ),
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": standard,
    }


def stripe_signature(secret: str, seconds: int, body: bytes) -> str:
    """Return the hexadecimal signature that clients of Stripe verify."""
    return hmac.new(secret.encode(), b"%d.%b" % (seconds, body), hashlib.sha256).hexdigest()


def standard_signature(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """Return the signature of Standard Webhooks, with its version: ``v1,<base64>``."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b"%b.%d.%b" % (message_id.encode(), seconds, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def retry_at(now: datetime, tries: int, chance: float) -> datetime | None:
    """Return when to try again after ``tries`` failed tries; None where that was the last.

    ``chance`` in [0, 1) spreads the pauses by a tenth to either side, so that what failed together is not repeated
    together.
    """
    if tries > len(RETRY_AFTER_S):
        return None
    spread = 1 + JITTER_SHARE * (2 * chance - 1)
    return now + timedelta(seconds=RETRY_AFTER_S[max(tries, 1) - 1] * spread)


def is_success(status: int) -> bool:
    """Return whether an answer takes an event as received: any 2xx. A redirect does not."""
    return 200 <= status < 300


def health_state(state: EndpointState, consecutive_failures: int) -> HealthState:
    """Return how an endpoint does."""
    if state is not EndpointState.ENABLED:
        return HealthState.DISABLED
    return HealthState.FAILING if consecutive_failures >= FAILING_FROM else HealthState.HEALTHY


def ended_state(succeeded: bool, again_at: datetime | None) -> DeliveryState:
    """Return what becomes of a delivery after an attempt."""
    if succeeded:
        return DeliveryState.DELIVERED
    return DeliveryState.DEAD if again_at is None else DeliveryState.PENDING


def excerpt(body: bytes) -> str:
    """Return the beginning of an answer fit to be kept and shown: masked, at most ``EXCERPT_BYTES_MAX`` bytes."""
    text = body[:_MASKED_BYTES_MAX].decode(errors="replace").replace("\x00", "")
    return mask_text(text).encode()[:EXCERPT_BYTES_MAX].decode(errors="ignore")
