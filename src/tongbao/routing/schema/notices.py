"""What routing tells people by itself: a channel was taken out of traffic, came back, or behaves differently."""

import enum
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.events.facts import Fact


class NoticeKind(enum.StrEnum):
    """Why people are told."""

    OPENED = "opened"  # a breaker opened: the channel gets no payments but probes
    CLOSED = "closed"  # it is well again
    TOGETHER = "together"  # several channels, or everything of one issuer, fail at once
    ACCEPTANCE_FELL = "acceptance_fell"
    ACCEPTANCE_ROSE = "acceptance_rose"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One announcement with its numbers; texts in two languages are made from ``kind`` and ``facts``."""

    id: UUID
    at: datetime
    kind: NoticeKind
    channel: str
    live: bool
    method: str = ""
    issuer: str = ""
    facts: dict[str, str | int | float] = {}


class Announced(Fact, frozen=True, kw_only=True, tag="routing.announced"):
    """Fact: routing announced something."""

    notice: Notice

    @property
    def subject(self) -> str:
        """Return the channel."""
        return self.notice.channel
