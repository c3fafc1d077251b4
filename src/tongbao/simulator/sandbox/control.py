"""The control API below ``/_sandbox``: look into the books, play the payer, open disputes, change behavior.

For tests, drills and the demo, so it answers callers on this machine only and takes JSON only, which keeps foreign web
pages out. Errors are ``{"error": code, "detail": …}``.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from aiohttp import web

from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.simulator.sandbox.acquirer import Acquirer
from tongbao.simulator.sandbox.behavior import parse_habits
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.notifier import Notifier
from tongbao.simulator.sandbox.payers import DISPUTE_REASON, Payers
from tongbao.simulator.sandbox.schema import Dispute, Payment, Refusal
from tongbao.simulator.sandbox.world import as_fact

PAGE_SIZE_MAX = 1_000
STATUSES: dict[type[AppError], int] = {InvalidRequest: 400, NotPermitted: 403, NotFound: 404, Conflict: 409}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = TypeVar("Body", bound=msgspec.Struct)


class PayerBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which payment a payer acts on. ``channel`` is needed where several channels know the reference."""

    reference: str
    channel: str | None = None


class DisputeBody(msgspec.Struct, forbid_unknown_fields=True):
    """A dispute to open; ``amount_minor`` None is all that was taken."""

    reference: str
    channel: str | None = None
    reason_code: str = DISPUTE_REASON
    amount_minor: int | None = None


class ResolutionBody(msgspec.Struct, forbid_unknown_fields=True):
    """How a dispute ends: ``won``, ``lost`` or ``withdrawn``."""

    status: str


class NotifyUrlBody(msgspec.Struct, forbid_unknown_fields=True):
    """Where an acquirer posts what it has to tell."""

    url: str


class Control:
    """The handlers."""

    def __init__(
        self,
        desk: Desk,
        payers: Payers,
        notifier: Notifier,
        acquirers: dict[str, Acquirer],
        channels: Sequence[str],
    ) -> None:
        self._desk = desk
        self._world = desk.world
        self._payers = payers
        self._notifier = notifier
        self._acquirers = acquirers
        self._channels = channels

    def routes(self) -> list[web.RouteDef]:
        """Return every address of the API."""
        return [
            web.get("/_sandbox/payments", _guarded(self.list_payments)),
            web.get("/_sandbox/payments/{reference}", _guarded(self.show_payment)),
            web.get("/_sandbox/counters", _guarded(self.count)),
            web.get("/_sandbox/notifications", _guarded(self.list_notifications)),
            web.get("/_sandbox/behavior", _guarded(self.show_behavior)),
            web.put("/_sandbox/behavior/{channel}", _guarded(self.set_behavior)),
            web.post("/_sandbox/scan", _guarded(self.scan)),
            web.post("/_sandbox/pay", _guarded(self.pay)),
            web.post("/_sandbox/cancel", _guarded(self.cancel)),
            web.post("/_sandbox/disputes", _guarded(self.open_dispute)),
            web.post("/_sandbox/disputes/{dispute}", _guarded(self.resolve_dispute)),
            web.put("/_sandbox/notify-url/{channel}", _guarded(self.set_notify_url)),
        ]

    async def list_payments(self, request: web.Request) -> web.Response:
        """Return the newest payments, at most 1,000, of one ``channel`` where it is given."""
        found = self._world.payments(channel=request.query.get("channel"))
        return _json(
            {"payments": [as_fact(payment) for payment in found[-PAGE_SIZE_MAX:]], "count": len(found)}
        )

    async def show_payment(self, request: web.Request) -> web.Response:
        """Return what every channel holds under a reference, and what the payer is poorer by."""
        reference = request.match_info["reference"]
        found = self._world.payments(reference=reference)
        if not found:
            raise NotFound("payment_unknown", "no channel knows this reference", reference=reference)
        taken = self._world.taken_minor([reference])
        return _json({"payments": [as_fact(payment) for payment in found], "taken_minor": dict(taken)})

    async def count(self, request: web.Request) -> web.Response:
        """Return sums by channel and currency, asks by channel, operation and fault, and notifications by state."""
        money: dict[str, dict[str, int]] = {}
        for payment in self._world.payments():
            sums = money.setdefault(
                f"{payment.channel}/{payment.currency}", {"payments": 0, "taken_minor": 0}
            )
            sums["payments"] += 1
            sums["taken_minor"] += payment.taken_minor
        told: dict[str, int] = {}
        for delivery in self._notifier.deliveries:
            told[delivery.state] = told.get(delivery.state, 0) + 1
        asked = {"/".join(key): count for key, count in self._desk.asked.items()}
        return _json({"money": money, "asked": asked, "notifications": told})

    async def list_notifications(self, request: web.Request) -> web.Response:
        """Return the last deliveries, of one ``reference`` where it is given."""
        wanted = request.query.get("reference")
        kept = [each for each in self._notifier.deliveries if wanted in (None, each.reference)]
        return _json({"notifications": kept[-PAGE_SIZE_MAX:]})

    async def show_behavior(self, request: web.Request) -> web.Response:
        """Return how every channel behaves now."""
        return _json({channel: self._desk.behaviors.habits(channel) for channel in self._channels})

    async def set_behavior(self, request: web.Request) -> web.Response:
        """Replace how one channel behaves; what is left out becomes the default again."""
        channel = self._channel(request)
        self._desk.behaviors.set(channel, parse_habits(await request.read()))
        return _json(self._desk.behaviors.habits(channel))

    async def scan(self, request: web.Request) -> web.Response:
        """Scan the code of a payment."""
        payment = self._payment(await _read(request, PayerBody))
        self._payers.scan(payment)
        return await self._shown(payment, None)

    async def pay(self, request: web.Request) -> web.Response:
        """Pay as the payer; ``refused`` says why it did not work."""
        payment = self._payment(await _read(request, PayerBody))
        return await self._shown(payment, self._payers.pay(payment))

    async def cancel(self, request: web.Request) -> web.Response:
        """Walk away as the payer."""
        payment = self._payment(await _read(request, PayerBody))
        return await self._shown(payment, self._payers.cancel(payment))

    async def open_dispute(self, request: web.Request) -> web.Response:
        """Complain as the payer; the merchant is notified."""
        body = await _read(request, DisputeBody)
        payment = self._payment(body)
        opened = self._payers.dispute(payment, body.reason_code, body.amount_minor)
        await self._world.settled()
        if isinstance(opened, Refusal):
            raise Conflict(opened, "there is not so much to dispute", reference=payment.reference)
        return _json(opened)

    async def resolve_dispute(self, request: web.Request) -> web.Response:
        """End a dispute; the merchant is notified."""
        body = await _read(request, ResolutionBody)
        if body.status not in ("won", "lost", "withdrawn"):
            raise InvalidRequest("status_invalid", "a dispute is won, lost or withdrawn")
        payment, dispute = self._dispute(request.match_info["dispute"])
        if dispute.status != "needs_response":
            raise Conflict("dispute_closed", f"dispute {dispute.reference} is {dispute.status}")
        self._payers.resolve(payment, dispute, body.status)
        await self._world.settled()
        return _json(dispute)

    async def set_notify_url(self, request: web.Request) -> web.Response:
        """Tell an acquirer where to post notifications."""
        channel, body = self._channel(request), await _read(request, NotifyUrlBody)
        if channel not in self._acquirers:
            raise InvalidRequest("channel_invalid", f"{channel} is told the address in each request")
        self._acquirers[channel].notify_url = body.url
        return _json({"channel": channel, "url": body.url})

    def _channel(self, request: web.Request) -> str:
        channel = request.match_info["channel"]
        if channel not in self._channels:
            raise NotFound("channel_unknown", f"no channel {channel}", channel=channel)
        return channel

    def _payment(self, body: PayerBody | DisputeBody) -> Payment:
        found = self._world.payments(channel=body.channel, reference=body.reference)
        if not found:
            raise NotFound("payment_unknown", "no channel knows this reference", reference=body.reference)
        if len(found) > 1:
            raise InvalidRequest("channel_missing", "several channels know this reference: name one")
        return found[0]

    def _dispute(self, reference: str) -> tuple[Payment, Dispute]:
        for payment in self._world.payments():
            if reference in payment.disputes:
                return payment, payment.disputes[reference]
        raise NotFound("dispute_unknown", f"no dispute {reference}")

    async def _shown(self, payment: Payment, refused: str | None) -> web.Response:
        await self._world.settled()
        return _json({"payment": as_fact(payment), "refused": refused})


def _guarded(handler: Handler) -> Handler:
    """Return the handler, closed to other machines and to forms of web pages, with errors as JSON."""

    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104  # a stand-in
                raise NotPermitted("control_not_local", "the control API answers this machine only")
            if request.method != "GET" and request.content_type != "application/json":
                raise InvalidRequest("content_type_invalid", "the control API takes application/json")
            return await handler(request)
        except AppError as error:
            status = next((code for kind, code in STATUSES.items() if isinstance(error, kind)), 503)
            return _json({"error": error.code, "detail": error.detail}, status)

    return serve


async def _read(request: web.Request, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidRequest("body_invalid", str(error)) from None


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
