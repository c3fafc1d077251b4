"""What can go wrong at a channel's door, apart from answers (those are values, ``schema.Answer``).

::

    NotPermitted
    └── NotificationForged      the signature, the time or the sender of a notification is wrong
    InvalidRequest
    └── NotificationMalformed   signed, yet unreadable
    └── ChannelMisconfigured    settings of a channel that cannot work
    NotFound
    └── UnknownChannel
"""

from tongbao.core.errors import InvalidRequest, NotFound, NotPermitted


class NotificationForged(NotPermitted):
    """A notification that its channel did not sign, or that is too old to be believed."""

    def __init__(self, channel: str, why: str) -> None:
        super().__init__("notification_forged", f"not a notification of {channel}: {why}", channel=channel)


class NotificationMalformed(InvalidRequest):
    """A notification with a good signature and content that makes no sense."""

    def __init__(self, channel: str, why: str) -> None:
        super().__init__(
            "notification_malformed", f"{channel} said what cannot be read: {why}", channel=channel
        )


class ChannelMisconfigured(InvalidRequest):
    """Settings with which a channel cannot work."""

    def __init__(self, channel: str, why: str) -> None:
        super().__init__("channel_misconfigured", f"channel {channel}: {why}", channel=channel)


class UnknownChannel(NotFound):
    """No channel has this name."""

    def __init__(self, channel: str) -> None:
        super().__init__("channel_unknown", f"no channel {channel}", channel=channel)
