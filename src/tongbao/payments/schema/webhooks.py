"""Events as merchants are told of them, the endpoints that want them, and how each delivery went.

An event is a snapshot: the document as it was at the commit that it tells of. What happens to the document later
changes neither the event nor the bytes that an endpoint receives, however late.
"""

import enum
from datetime import datetime
from typing import NamedTuple, get_args
from uuid import UUID

import msgspec
from pydantic import SecretStr

from tongbao.core.events.facts import Fact
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.facts import AnyDocument
from tongbao.payments.schema.notices import AccountNotice, Notice, PayoutNotice

EVENT_PREFIX = "evt"
ENDPOINT_PREFIX = "we"
ENDPOINTS_MAX = 16
"""Of one book, disabled ones included."""
URL_CHARS_MAX = 2_048
ENABLED_EVENTS_MAX = 100
DESCRIPTION_CHARS_MAX = 500
SECRET_BYTES = 32
OVERLAP_S_MAX = 24 * 3_600
EVENTS_KEPT_DAYS = 30
PAGE_MAX = 100
REPLAY_MAX = 1_000
"""Events that one call replays."""


class EndpointState(enum.StrEnum):
    """A disabled endpoint gets nothing; what waits for it goes on when it is enabled again."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


class DisabledReason(enum.StrEnum):
    """Why an endpoint is disabled."""

    REQUESTED = "requested"
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # three days of nothing but failures


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="webhook_endpoint"):
    """Where a merchant wants to be told of which events. Its secret is never part of it."""

    id: UUID
    book_id: int
    live: bool
    version: int = 1
    url: str
    enabled_events: tuple[str, ...]
    description: str = ""
    metadata: dict[str, str] = {}
    api_version: str | None = None
    state: EndpointState = EndpointState.ENABLED
    disabled_reason: DisabledReason | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``we_01jd…``."""
        return uuid_text(ENDPOINT_PREFIX, self.id)


class EndpointDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint to be. ``enabled_events``: types, ``*`` for all, ``payment_intent.*`` for all of a kind."""

    url: str
    enabled_events: tuple[str, ...]
    description: str = ""
    metadata: dict[str, str] = {}
    api_version: str | None = None


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True):
    """What may change about an endpoint; what is not set stays. ``metadata`` is replaced as a whole."""

    url: str | msgspec.UnsetType = msgspec.UNSET
    enabled_events: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class IssuedEndpoint(NamedTuple):
    """An endpoint and, this one time, its secret: ``whsec_`` and base64."""

    endpoint: Endpoint
    secret: SecretStr


class UrlRules(msgspec.Struct, frozen=True, kw_only=True):
    """Where webhooks may go beyond the rules of ``policy.web_addresses``.

    ``allow_local`` lets them go anywhere, this machine included: for development, tests and demonstrations only.
    ``own_networks`` (CIDR) are public addresses of the house that webhooks must not reach.
    """

    allow_local: bool = False
    own_networks: tuple[str, ...] = ()


class UrlFault(enum.StrEnum):
    """Why a URL is refused, in the order of the checks."""

    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    SCHEME = "scheme"
    HTTPS_REQUIRED = "https_required"
    CREDENTIALS = "credentials"
    HOST_NOT_PUBLIC = "host_not_public"


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event. ``snapshot`` is the JSON of its document, ``sequence`` the document's version.

    ``previous``: JSON of the attributes that an ``….updated`` event changed, with the values that they had when the
    event before told of the same document; None where there is nothing to compare with. ``position`` and ``place``
    order events as they were committed.
    """

    book_id: int
    id: UUID
    live: bool
    type: str
    object_kind: str
    object_id: UUID
    sequence: int
    created_at: datetime
    position: int
    place: int
    snapshot: str
    previous: str | None = None
    request_id: str | None = None
    idempotency_key: str | None = None

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``evt_01jd…``."""
        return uuid_text(EVENT_PREFIX, self.id)

    def document(self) -> "AnyDocument | Endpoint | Notice":
        """Return the document as it was at the commit."""
        return _SNAPSHOT.decode(self.snapshot)


class EventOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted, newest first: ``types`` exact or ``payment_intent.*`` (all where empty).

    ``limit`` 1 to 100; older than the event ``after`` or newer than the event ``before``; the interval is half-open.
    """

    limit: int = 10
    after: UUID | None = None
    before: UUID | None = None
    types: tuple[str, ...] = ()
    object_id: UUID | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


class DeliveryState(enum.StrEnum):
    """The life of a delivery; a resend takes it back to ``pending``."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"


class DeliveryFailure(enum.StrEnum):
    """Why an attempt did not deliver."""

    URL_REFUSED = "url_refused"  # the URL is against the rules of today
    ADDRESS_REFUSED = "address_refused"  # the name leads where webhooks may not go
    NAME_UNKNOWN = "name_unknown"
    NOT_CONNECTED = "not_connected"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    NO_ANSWER = "no_answer"
    ANSWER_TOO_LARGE = "answer_too_large"
    STATUS = "status"  # an answer other than 2xx
    INTERNAL = "internal"  # ours: counts against nobody's health


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How the delivery of one event to one endpoint stands; ``due_at`` is the next attempt."""

    endpoint_id: UUID
    event_id: UUID
    type: str
    object_id: UUID
    state: DeliveryState
    attempt_count: int
    occurred_at: datetime
    due_at: datetime | None
    ended_at: datetime | None


class DeliveryOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries of an endpoint are wanted, newest event first, older than the event ``after``."""

    limit: int = 10
    after: UUID | None = None
    state: DeliveryState | None = None


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt; ``answer`` is the masked beginning of what came back. Numbers left out were cut short by a crash."""

    endpoint_id: UUID
    event_id: UUID
    attempt_no: int
    attempted_at: datetime
    took_ms: int
    status: int | None
    failure: DeliveryFailure | None
    answer: str


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which events an endpoint is to get again, oldest first, at most ``limit`` (1 to 1,000) newer than ``after``.

    Without ``since`` those whose delivery died. With it all of the book from that instant on that the endpoint wants,
    those included that happened while it was disabled or not yet there.
    """

    since: datetime | None = None
    after: UUID | None = None
    limit: int = REPLAY_MAX


class Replayed(msgspec.Struct, frozen=True):
    """How many deliveries a call made due, and the event ``after`` which the next call begins; None at the end."""

    count: int
    after: UUID | None


class HealthState(enum.StrEnum):
    """How an endpoint does."""

    HEALTHY = "healthy"
    FAILING = "failing"
    DISABLED = "disabled"


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint does over its last ``attempt_count`` (at most 100) attempts.

    ``success_share`` in [0, 1] and ``p95_ms`` are None where there was no attempt. ``failing_since``: the first failure
    after the last success.
    """

    state: HealthState
    attempt_count: int
    success_share: float | None
    p95_ms: int | None
    consecutive_failures: int
    failing_since: datetime | None


class EndpointDisabled(Fact, frozen=True, kw_only=True, tag="payments.webhook_endpoint_disabled"):
    """Fact: the program itself disabled an endpoint; other endpoints of the book are told."""

    endpoint: Endpoint

    @property
    def subject(self) -> str:
        """Return the text id of the endpoint."""
        return self.endpoint.reference


_SNAPSHOT: "msgspec.json.Decoder[AnyDocument | Endpoint | Notice]" = msgspec.json.Decoder(
    AnyDocument | Endpoint | Notice
)
_DEFAULTS = {
    str(kind.__struct_config__.tag): {
        field.encode_name: msgspec.to_builtins(
            field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        )
        for field in msgspec.structs.fields(kind)
        if not field.required
    }
    for kind in (*get_args(AnyDocument), Endpoint, PayoutNotice, AccountNotice)
}


def complete(snapshot: str) -> dict[str, object]:
    """Return a snapshot with the attributes that are left out because they have their defaults."""
    stored: dict[str, object] = msgspec.json.decode(snapshot)
    return _DEFAULTS.get(str(stored["object"]), {}) | stored
