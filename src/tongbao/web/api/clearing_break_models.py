"""How breaks look under ``/v2/recon/breaks``: both sides, what may be done, and what was done."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from pydantic import Field, StringConstraints

from tongbao.clearing.schema.break_sides import ExpectedSide, ReportedSide, View
from tongbao.clearing.schema.breaks import BREAK_PREFIX, BreakKind, BreakState, Leg
from tongbao.clearing.schema.breaks import Break as BreakFound
from tongbao.clearing.schema.lines import LineKind
from tongbao.clearing.service.break_words import words_of
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.web.api.shapes import Body, Model, given_id

BREAKS_MAX = 100
RECORDS_MAX = 1_000
Why = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Id = Annotated[str, StringConstraints(max_length=64)]


class ActOrder(Body):
    """What is done about the version of a break that was looked at, and why."""

    version: int = Field(ge=1)
    note: Why


class ApproveOrder(Body):
    """Approval of a write-off by the second person."""

    version: int = Field(ge=1)
    note: Annotated[str, StringConstraints(max_length=500)] = ""


class MatchOrder(Body):
    """Breaks of one source whose records belong together; `expected` and `reported` keep only these of them."""

    breaks: Annotated[list[Id], Field(min_length=1, max_length=BREAKS_MAX)]
    note: Why
    expected: Annotated[list[UUID], Field(max_length=RECORDS_MAX)] | None = None
    reported: Annotated[list[int], Field(max_length=RECORDS_MAX)] | None = None

    def ids(self) -> list[UUID]:
        """Return the ids of the breaks; raise InvalidRequest ``id_malformed``."""
        return [given_id(BREAK_PREFIX, each, "breaks") for each in self.breaks]


class Expected(Model):
    """A record of our books. `document` is its id as people see it."""

    id: UUID
    document: str
    kind: str
    currency: str
    amount_minor: int
    reference: str
    channel_reference: str
    on: date
    book: str | None
    payment: str
    fee_minor: int | None

    @classmethod
    def of(cls, found: ExpectedSide) -> "Expected":
        """Return a record as it is sent."""
        own = msgspec.structs.asdict(found)
        book_id = own.pop("book_id")
        return cls.model_validate(own | {"book": None if book_id is None else int_text(BOOK_PREFIX, book_id)})


class Reported(Model):
    """A line of a file. `amount_minor` is what is compared: gross of a channel, net of a bank."""

    id: int
    kind: LineKind
    currency: str
    amount_minor: int
    net_minor: int
    fee_minor: int
    reference: str
    channel_reference: str
    batch: str
    on: date | None
    text: str

    @classmethod
    def of(cls, found: ReportedSide) -> "Reported":
        """Return a line as it is sent."""
        return cls.model_validate(msgspec.structs.asdict(found))


class Break(Model):
    """A difference. `words` tells kind, state and leg in `en` and `zh`; `suggested` what may be done, in `en` and `zh-CN`."""

    object: Literal["recon_break"] = "recon_break"
    id: str
    leg: Leg
    source: str
    kind: BreakKind
    state: BreakState
    version: int
    book: str | None
    currency: str
    difference_minor: int = Field(description="Reported less expected, minor units.")
    facts: dict[str, str]
    opened_on: date
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    age_days: int
    note: str
    actor: str
    proposed_by: str
    words: dict[str, dict[str, str]]
    expected: list[Expected] = Field(default_factory=list)
    reported: list[Reported] = Field(default_factory=list)
    due_on: date | None = None
    suggestion: str = ""
    suggested: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, found: BreakFound, today: date, **more: Any) -> "Break":
        """Return a break as it is sent."""
        own = {
            name: getattr(of, name)
            for of in (found, found.found)
            for name in cls.model_fields
            if hasattr(of, name) and name not in {"expected", "reported"}
        }
        told = {
            "id": found.reference,
            "book": None if found.book_id is None else int_text(BOOK_PREFIX, found.book_id),
            "age_days": ((found.closed_at.date() if found.closed_at else today) - found.opened_on).days,
            "words": words_of(found),
        }
        return cls.model_validate(own | told | more)

    @classmethod
    def seen(cls, view: View, today: date) -> "Break":
        """Return a break with both sides and a suggestion."""
        return cls.of(
            view.of,
            today,
            expected=[Expected.of(each) for each in view.expected],
            reported=[Reported.of(each) for each in view.reported],
            due_on=view.due_on,
            suggestion=view.suggestion,
            suggested=view.suggested,
        )


class Act(Model):
    """What was done about a break: by whom, and why."""

    version: int
    at: datetime
    state: BreakState
    actor: str
    note: str


class BreakFile(Model):
    """A break with everything that was done about it, oldest first."""

    object: Literal["recon_break_file"] = "recon_break_file"
    of: Break
    history: list[Act]


class Breaks(Model):
    """Breaks, newest day first."""

    object: Literal["list"] = "list"
    data: list[Break]
    has_more: bool = False
