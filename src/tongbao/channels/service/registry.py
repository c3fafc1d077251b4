"""The channels of this house: which there are, which are switched on, which could take a payment.

``eligible`` is pure arithmetic on capabilities; it chooses nothing and prefers nothing, that is routing's. A
channel that is switched off is never among the eligible, neither first nor as a fallback, and can still be
reached by name: what was begun on it is captured, refunded and inquired there.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tongbao.channels.errors import ChannelMisconfigured, UnknownChannel
from tongbao.channels.ports import Channel
from tongbao.channels.schema import Capabilities, Mode, Presentment

NO_MODES: Mapping[str, Mode] = {}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment needs of a channel; ``kind`` as in ``schema.METHOD_KINDS``, the amount in minor units."""

    kind: str
    presentment: Presentment
    currency: str
    amount_minor: int
    live: bool = False
    manual_capture: bool = False
    mandate: bool = False
    authenticate: bool = False


class Objection(msgspec.Struct, frozen=True):
    """Why a channel cannot take a payment: a stable code, one sentence is made of it elsewhere."""

    channel: str
    code: str


class Eligibility(msgspec.Struct, frozen=True):
    """Who could take a payment, in order of registration, and why each other one could not."""

    channels: tuple[Channel, ...]
    objections: tuple[Objection, ...]


class Channels:
    """The registry. Switches are the process's own and start as ``disabled`` says.

    ``modes``: whose payments each channel takes, by name; one that is not named takes both.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        disabled: frozenset[str] = frozenset(),
        modes: Mapping[str, Mode] = NO_MODES,
    ) -> None:
        self._modes = dict(modes)
        self._channels: dict[str, Channel] = {}
        for channel in channels:
            if channel.name in self._channels:
                raise ChannelMisconfigured(channel.name, "another channel has this name")
            self._channels[channel.name] = channel
        self._disabled: set[str] = set()
        for name in disabled:
            self.switch(name, enabled=False)

    def get(self, name: str) -> Channel:
        """Return a channel, whether it is switched on or off; raise UnknownChannel."""
        channel = self._channels.get(name)
        if channel is None:
            raise UnknownChannel(name)
        return channel

    def all(self) -> list[Channel]:
        """Return all channels in order of registration."""
        return list(self._channels.values())

    def switch(self, name: str, *, enabled: bool) -> None:
        """Switch a channel on or off for new payments, from the next choice on; raise UnknownChannel."""
        self.get(name)
        if enabled:
            self._disabled.discard(name)
        else:
            self._disabled.add(name)

    def is_enabled(self, name: str) -> bool:
        """Return whether new payments may go over a channel; raise UnknownChannel."""
        return self.get(name).name not in self._disabled

    def eligible(self, wish: Wish) -> Eligibility:
        """Return who could take a payment now, with an objection for each that could not."""
        fit: list[Channel] = []
        objections: list[Objection] = []
        for channel in self._channels.values():
            code = self._closed(channel.name, wish) or objection(channel.capabilities, wish)
            if code is None:
                fit.append(channel)
            else:
                objections.append(Objection(channel.name, code))
        return Eligibility(tuple(fit), tuple(objections))

    def mode(self, name: str) -> Mode:
        """Return whose payments a channel takes; raise UnknownChannel."""
        return self._modes.get(self.get(name).name, Mode.BOTH)

    def _closed(self, name: str, wish: Wish) -> str | None:
        """Return why a channel takes no payment of this mode now."""
        if name in self._disabled:
            return "disabled"
        wanted = Mode.LIVE if wish.live else Mode.TEST
        return None if self.mode(name) in (Mode.BOTH, wanted) else "other_mode"

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()


def objection(can: Capabilities, wish: Wish) -> str | None:
    """Return why a channel of these capabilities cannot take a payment, the first reason; None where it can."""
    if wish.kind not in can.methods:
        return "method_not_supported"
    if wish.presentment not in can.presentments:
        return "presentment_not_supported"
    if wish.currency not in can.currencies:
        return "currency_not_supported"
    if wish.amount_minor < can.amount_minor_min:
        return "amount_too_small"
    if can.amount_minor_max is not None and wish.amount_minor > can.amount_minor_max:
        return "amount_too_large"
    if wish.manual_capture and not can.manual_capture:
        return "manual_capture_not_supported"
    if wish.mandate and not can.mandates:
        return "mandates_not_supported"
    if wish.authenticate and not can.authenticates:
        return "authentication_not_supported"
    return None
