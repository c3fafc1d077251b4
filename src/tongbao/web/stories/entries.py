"""One line of a told story, as the timeline of the kit draws it."""

import enum
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

NOTHING = Markup()


class Part(enum.StrEnum):
    """What a line is about; a face may show some of them alone."""

    PAYMENT = "payment"
    DECISION = "decision"
    MONEY = "money"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: when, what, and what there is to tell of it. Texts are escaped where they are drawn.

    ``tone`` and ``glyph`` are names of the kit; ``details`` unfold; ``href`` leads to what the line is about.
    """

    at: datetime
    part: Part
    title: str | Markup
    line: str | Markup = ""
    tone: str = "plain"
    glyph: str = "dot"
    details: Markup = NOTHING
    href: str = ""
    who: str | Markup = ""
