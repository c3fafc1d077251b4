"""``/v2/channels``: what channels tell us, what they can do, and switching them.

Notifications come from outside and carry no key of ours: the channel's own signature is what lets them in. What
cannot be taken in because of us is answered 503, so that the channel sends it again.
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import Field, StrictBool

from tongbao.channels.errors import NotificationForged, NotificationMalformed, UnknownChannel
from tongbao.channels.ports import Channel
from tongbao.channels.schema import Mode, RawNotification
from tongbao.core.errors import AppError, Unavailable
from tongbao.core.logs import get_logger
from tongbao.core.metrics import Metrics
from tongbao.parties.errors import NotAuthenticated
from tongbao.parties.schema import OperatorPermission, OperatorScope, Permission, Scope
from tongbao.payments.service.payments import Payments
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls
from tongbao.web.api.shapes import Body, Model, same_fields

PREFIX = "/v2/channels"
NOTIFICATION_BYTES_MAX = 256 * 1024
RETRY_S = 5.0
UNKNOWN = "unknown"
ChannelName = Annotated[str, Path(max_length=64, description="Name of a channel.")]

_log = get_logger(__name__)


class ChannelState(Model):
    """A channel: what it can do, and whether new payments may go over it."""

    object: Literal["channel"] = "channel"
    name: str
    enabled: bool = Field(description="What was begun before it was switched off is still finished there.")
    adapter: str
    mode: Mode = Field(description="Whose payments it takes: a test key never reaches a live channel.")
    methods: list[str]
    presentments: list[str]
    currencies: list[str]
    manual_capture: bool
    partial_capture: bool
    multiple_capture: bool
    void: bool
    increment: bool
    refund: bool
    partial_refund: bool
    payout: bool
    mandates: bool
    notifies: bool
    authorization_days: int
    extended_authorization_days: int | None
    amount_minor_min: int
    amount_minor_max: int | None

    @classmethod
    def of(cls, channel: Channel, *, mode: Mode, enabled: bool) -> "ChannelState":
        """Return a channel as it is sent."""
        can = channel.capabilities
        return cls.model_validate(
            same_fields(
                cls,
                can,
                object="channel",
                name=channel.name,
                enabled=enabled,
                mode=mode,
                methods=sorted(can.methods),
                presentments=sorted(can.presentments),
                currencies=sorted(can.currencies),
            )
        )


class ChannelStates(Model):
    """All channels, in the order in which they were configured."""

    object: Literal["list"] = "list"
    data: list[ChannelState]


class Switch(Body):
    """Whether new payments may go over a channel."""

    enabled: StrictBool


def router(calls: Calls, gate: Gate, payments: Payments) -> APIRouter:
    """Return the routes for merchants and operators."""
    routes = calls.router(PREFIX, "channels")

    def state(name: str) -> ChannelState:
        channels = payments.channels
        return ChannelState.of(
            channels.get(name), mode=channels.mode(name), enabled=channels.is_enabled(name)
        )

    @routes.get("")
    async def channels(
        _scope: Annotated[Scope, Depends(gate.scope(Permission.ROUTING_READ))],
    ) -> ChannelStates:
        """List the channels of the house."""
        return ChannelStates(data=[state(channel.name) for channel in payments.channels.all()])

    @routes.post("/{channel}/switch")
    async def switch(
        operator: Annotated[OperatorScope, Depends(gate.operator(OperatorPermission.CHANNELS_WRITE))],
        channel: ChannelName,
        wanted: Switch,
    ) -> ChannelState:
        """Switch a channel on or off for new payments, in this process; saying it twice changes nothing more."""
        payments.channels.switch(channel, enabled=wanted.enabled)
        _log.warning("channel_switched", channel=channel, enabled=wanted.enabled, actor=operator.actor)
        return state(channel)

    return routes


def notification_router(calls: Calls, payments: Payments, metrics: Metrics) -> APIRouter:
    """Return the route on which channels tell us what happened; it lets in whoever signed as the channel."""
    routes = calls.router(PREFIX, "channels", body_bytes_max=NOTIFICATION_BYTES_MAX, raw=True)
    counted = metrics.counter(
        "channel_notifications", "Notifications by channel and end", labels=("channel", "end")
    )

    @routes.api_route("/{channel}/notifications", methods=["GET", "POST"], include_in_schema=False)
    async def notified(request: Request, channel: ChannelName) -> Response:
        """Take in a notification, and answer what the channel wants to hear."""
        raw = await _raw(request, calls.clock.now())
        try:
            heard = await payments.resolving.notified(channel, raw)
        except UnknownChannel:
            counted.labels(UNKNOWN, "unknown_channel").inc()
            raise
        except NotificationForged as error:
            counted.labels(channel, "forged").inc()
            _log.warning("notification_forged", channel=channel, detail=error.detail)
            raise NotAuthenticated(error.code, f"this is not a notification of {channel}") from error
        except NotificationMalformed:
            counted.labels(channel, "malformed").inc()
            raise
        except Exception as error:
            counted.labels(channel, "failed").inc()
            raise _trouble(channel, error) from error
        counted.labels(channel, "accepted").inc()
        return Response(heard.body, heard.status, media_type=heard.content_type)

    return routes


async def _raw(request: Request, now: datetime) -> RawNotification:
    """Return a request as it came in; of a header that stands twice the last."""
    return RawNotification(
        method=request.method,
        path=request.url.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        query=request.url.query,
        body=await request.body(),
        received_at=now,
    )


def _trouble(channel: str, error: Exception) -> Unavailable:
    """Return the answer to a notification that we could not take in, whatever kept us from it."""
    if isinstance(error, AppError):
        _log.warning("notification_failed", channel=channel, code=error.code, detail=error.detail)
    else:
        _log.error("notification_broken", channel=channel, exc_info=error)
    return Unavailable(
        "notification_not_taken", "it could not be taken in; send it again", retry_after_s=RETRY_S
    )
