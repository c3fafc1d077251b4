"""How webhook endpoints and deliveries look under ``/v2``."""

from datetime import datetime
from typing import Literal

from pydantic import Field, StrictBool, StrictInt, model_validator

from tongbao.core.ids import uuid_text
from tongbao.payments.schema import webhooks as schema
from tongbao.payments.schema.webhooks import ENDPOINT_PREFIX, EVENT_PREFIX, OVERLAP_S_MAX, REPLAY_MAX
from tongbao.web.api.shapes import Body, Instant, Model, Text, maybe_id, same_fields


class ResendOrder(Body):
    """Where an event shall go again."""

    endpoint: Text = Field(description="`we_…`.")


class ReplayOrder(Body):
    """What an endpoint shall get again: all that died, or all that it wants since an instant. One of the two."""

    dead: StrictBool = False
    since: Instant | None = Field(default=None, description="Instant with zone, ISO 8601.")
    after: Text | None = Field(default=None, description="`next_after` of the call before, `evt_…`.")
    limit: StrictInt = Field(default=REPLAY_MAX, ge=1, le=REPLAY_MAX)

    @model_validator(mode="after")
    def _one_of_two(self) -> "ReplayOrder":
        if self.dead == (self.since is not None):
            raise ValueError("say either dead: true or since")
        return self


class RotateOrder(Body):
    """How long the old secret still counts beside the new one."""

    overlap_s: StrictInt = Field(default=OVERLAP_S_MAX, ge=0, le=OVERLAP_S_MAX)


class Endpoint(Model):
    """Where a merchant is told of which events."""

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    live: bool
    url: str
    enabled_events: list[str]
    description: str
    status: str
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, endpoint: schema.Endpoint) -> "Endpoint":
        """Return an endpoint as it is sent, without its secret."""
        return cls.model_validate(_endpoint_fields(cls, endpoint))


class IssuedSecret(Endpoint):
    """An endpoint with its new secret, which is told this one time."""

    secret: str | None = Field(description="`whsec_…`; null in a repeat: rotate again where it was lost.")

    @classmethod
    def issued(cls, endpoint: schema.Endpoint, secret: str | None) -> "IssuedSecret":
        """Return an endpoint as it is sent with a new secret."""
        return cls.model_validate(_endpoint_fields(cls, endpoint) | {"secret": secret})


class Health(Model):
    """How an endpoint does over its last attempts, at most 100."""

    object: Literal["webhook_endpoint_health"] = "webhook_endpoint_health"
    state: str
    attempt_count: int
    success_share: float | None = Field(description="0 to 1; null where there was no attempt.")
    p95_ms: int | None
    consecutive_failures: int
    failing_since: datetime | None

    @classmethod
    def of(cls, health: schema.EndpointHealth) -> "Health":
        """Return how an endpoint does as it is sent."""
        return cls.model_validate(same_fields(cls, health, object="webhook_endpoint_health"))


class Delivery(Model):
    """How the delivery of one event to one endpoint stands."""

    object: Literal["webhook_delivery"] = "webhook_delivery"
    endpoint: str
    event: str
    type: str
    state: str
    attempt_count: int
    occurred_at: datetime
    due_at: datetime | None = Field(description="The next attempt.")
    ended_at: datetime | None

    @classmethod
    def of(cls, delivery: schema.Delivery) -> "Delivery":
        """Return a delivery as it is sent."""
        return cls.model_validate(
            same_fields(
                cls,
                delivery,
                object="webhook_delivery",
                endpoint=uuid_text(ENDPOINT_PREFIX, delivery.endpoint_id),
                event=uuid_text(EVENT_PREFIX, delivery.event_id),
            )
        )


class Deliveries(Model):
    """A page of deliveries, newest event first."""

    object: Literal["list"] = "list"
    data: list[Delivery]
    has_more: bool = False


class Replayed(Model):
    """How many deliveries are due again."""

    count: int
    next_after: str | None = Field(description="Give it as `after` to go on; null at the end.")

    @classmethod
    def of(cls, replayed: schema.Replayed) -> "Replayed":
        """Return what a replay made due as it is sent."""
        return cls(count=replayed.count, next_after=maybe_id(EVENT_PREFIX, replayed.after))


def _endpoint_fields(model: type[Endpoint], endpoint: schema.Endpoint) -> dict[str, object]:
    own = {"object": "webhook_endpoint", "id": endpoint.reference, "status": endpoint.state.value}
    return {**same_fields(model, endpoint), **own, "enabled_events": list(endpoint.enabled_events)}
