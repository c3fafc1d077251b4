"""Endpoints and deliveries as they are read: how they do, what was tried, what came back. Pure."""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from markupsafe import Markup

from tongbao.core.ids import uuid_text
from tongbao.payments.schema.webhooks import (
    EVENT_PREFIX,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    Endpoint,
    EndpointHealth,
    EndpointState,
    EventRow,
    HealthState,
)
from tongbao.web.api.v1.renderings.events import event_object
from tongbao.web.merchant.office import Office
from tongbao.web.merchant.payments_view import named
from tongbao.web.merchant.webhooks_events import EVENTS, TYPES
from tongbao.web.ui.tables import Column, Filter, Row, Table

TONES = {
    DeliveryState.DELIVERED: "ok",
    DeliveryState.DEAD: "error",
    DeliveryState.PENDING: "warn",
    DeliveryState.SENDING: "warn",
}
HEALTH_TONES = {HealthState.HEALTHY: "ok", HealthState.FAILING: "error", HealthState.DISABLED: "plain"}
Cells = tuple[str | Markup, ...]


def host(endpoint: Endpoint) -> str:
    """Return where an endpoint is, without its path, which may be secret."""
    return urlsplit(endpoint.url).hostname or endpoint.url


def state(endpoint: Endpoint, health: EndpointHealth, office: Office) -> Markup:
    """Return how an endpoint does, as a tag."""
    return office.tag(f"endpoint_{health.state}", HEALTH_TONES[health.state])


def row(endpoint: Endpoint, health: EndpointHealth, office: Office) -> Cells:
    """Return an endpoint as a row of the list."""
    share = "—" if health.success_share is None else office.ui.percent(health.success_share, 0)
    return (
        office.link(f"/webhooks/{endpoint.reference}", named(endpoint.url)),
        state(endpoint, health, office),
        named(endpoint.description),
        wanted(endpoint, office),
        share,
    )


def wanted(endpoint: Endpoint, office: Office) -> Markup:
    """Return of what an endpoint is told, in words."""
    if "*" in endpoint.enabled_events:
        return office.t("all_events")
    count = len(endpoint.enabled_events)
    return office.t("one_event" if count == 1 else "some_events", count=count)


def facts(endpoint: Endpoint, health: EndpointHealth, office: Office) -> list[tuple[Markup, str | Markup]]:
    """Return what is known of an endpoint."""
    t = office.t
    events = Markup("<br>").join(
        Markup('<code class="mono">{}</code>').format(each) for each in endpoint.enabled_events if each != "*"
    )
    found: list[tuple[Markup, str | Markup]] = [
        (t("c_url"), named(endpoint.url)),
        (t("c_description"), named(endpoint.description)),
        (t("c_events"), events or t("all_events")),
        (t("c_made"), office.when(endpoint.created_at)),
        (t("c_tried"), office.ui.count(health.attempt_count) if health.attempt_count else ""),
    ]
    if health.success_share is not None:
        found.append((t("c_success"), office.ui.percent(health.success_share, 0)))
    if health.p95_ms is not None:
        found.append((t("c_p95"), f"{office.ui.count(round(health.p95_ms))} ms"))
    if endpoint.state is EndpointState.DISABLED and endpoint.disabled_reason is not None:
        found.append((t("c_disabled"), t(f"disabled_{endpoint.disabled_reason}")))
    if health.failing_since is not None:
        found.append((t("c_failing"), office.when(health.failing_since)))
    return [pair for pair in found if pair[1]]


def log_table(office: Office) -> Table:
    """Return what the log of deliveries is."""
    t = office.t
    states = tuple((each.value, str(t(f"delivery_{each}"))) for each in DeliveryState)
    return Table(
        "deliveries",
        str(t("deliveries")),
        (
            Column("type", str(t("c_event")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("at", str(t("c_at"))),
            Column("tries", str(t("c_tries")), number=True),
            Column("next", str(t("c_next_try"))),
            Column("id", str(t("c_id")), shown=False),
        ),
        (Filter("state", str(t("c_state")), states),),
    )


def log_row(delivery: Delivery, endpoint: Endpoint, office: Office) -> Row:
    """Return a delivery as a row; its type leads to it."""
    reference = reference_of(delivery)
    code = Markup('<code class="mono">{}</code>').format(delivery.type)
    return Row(
        {
            "type": office.link(f"/webhooks/{endpoint.reference}/events/{reference}", code),
            "state": delivery_state(delivery, office),
            "at": office.written(delivery.occurred_at),
            "tries": office.ui.count(delivery.attempt_count),
            "next": office.written(delivery.due_at) if delivery.due_at is not None else "",
            "id": Markup('<code class="mono">{}</code>').format(reference),
        }
    )


def reference_of(delivery: Delivery) -> str:
    """Return the id of the event that is delivered."""
    return uuid_text(EVENT_PREFIX, delivery.event_id)


def delivery_state(delivery: Delivery, office: Office) -> Markup:
    """Return how a delivery stands, as a tag."""
    return office.tag(f"delivery_{delivery.state}", TONES[delivery.state])


def delivery_facts(delivery: Delivery, office: Office) -> list[tuple[Markup, str | Markup]]:
    """Return what is known of a delivery."""
    t = office.t
    found: list[tuple[Markup, str | Markup]] = [
        (t("c_at"), office.when(delivery.occurred_at)),
        (t("c_tries"), office.ui.count(delivery.attempt_count)),
    ]
    if delivery.due_at is not None:
        found.append((t("c_next_try"), office.when(delivery.due_at)))
    if delivery.ended_at is not None:
        found.append((t("c_ended_at"), office.when(delivery.ended_at)))
    return found


def attempts(found: Sequence[DeliveryAttempt], office: Office) -> list[Cells]:
    """Return the tries of a delivery as rows, newest first: when, how long, what came back."""
    return [
        (
            office.when(each.attempted_at),
            office.ui.count(each.attempt_no),
            outcome(each, office),
            f"{office.ui.count(each.took_ms)} ms",
            Markup('<code class="mono">{}</code>').format(each.answer) if each.answer else "",
        )
        for each in found
    ]


def outcome(attempt: DeliveryAttempt, office: Office) -> Markup:
    """Return what came of a try: the status of the answer, or why there was none."""
    if attempt.failure is None:
        return office.tag("try_ok", "ok") + Markup(" {}").format(attempt.status)
    words = office.t(f"try_{attempt.failure}")
    status = Markup(" {}").format(attempt.status) if attempt.status is not None else Markup()
    return Markup('<span class="tag error">{}</span>{}').format(words, status)


def body_of(event: EventRow, base_url: str) -> Mapping[str, object]:
    """Return what is sent, as JSON has it."""
    sent: Mapping[str, object] = json.loads(json.dumps(event_object(event, base_url), default=str))
    return sent


def event_groups(
    office: Office, chosen: Sequence[str]
) -> list[tuple[Markup, list[tuple[str, Markup | str]]]]:
    """Return the events to choose from, group by group; what an endpoint wants beyond them stands last."""
    found: list[tuple[Markup, list[tuple[str, Markup | str]]]] = [
        (office.t(f"events_{group}"), [(kind, office.t(f"event_{kind}")) for kind in kinds])
        for group, kinds in EVENTS.items()
    ]
    others = [each for each in chosen if each not in TYPES and each != "*"]
    if others:
        found.append((office.t("events_other"), [(each, "") for each in others]))
    return found
