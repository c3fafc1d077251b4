"""How days and their close look under ``/v2/days``."""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from pydantic import Field, StringConstraints

from tongbao.clearing.schema.days import CheckState, DayAct, DayState
from tongbao.clearing.schema.days import Day as DayFound
from tongbao.clearing.schema.days import DayReport as ReportFound
from tongbao.web.api.shapes import Body, Model

Note = Annotated[str, StringConstraints(max_length=500)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class CloseOrder(Body):
    """A day is to be closed; over warnings only with a reason, and by two people."""

    note: Note = ""


class ReopenOrder(Body):
    """Why a closed day is to be opened again; the first person asks, a second one opens."""

    note: Why


class Check(Model):
    """One line of the list; `failed` keeps the day open, `warned` may be closed over by two people."""

    code: str
    state: CheckState
    facts: dict[str, str | int]


class Ages(Model):
    """Open breaks of one kind and currency by age: today, 1–3, 4–7, 8–30 days, older. Amounts are minor units."""

    kind: str
    currency: str
    counts: list[int]
    amounts_minor: list[int]


class Report(Model):
    """How a day stands or stood: the list, the score (0 to 100, higher is better) whose parts sum to it, breaks by age."""

    object: Literal["day_report"] = "day_report"
    on: date
    checks: list[Check]
    score: int
    score_parts: dict[str, int]
    trial_balance: dict[str, int] = Field(description="Debits less credits by currency, minor units: 0.")
    breaks: list[Ages]
    movement_count: int
    matched_share: float
    late_count: int

    @classmethod
    def of(cls, found: ReportFound) -> "Report":
        """Return a report as it is sent."""
        return cls.model_validate(msgspec.to_builtins(found))


class Act(Model):
    """One line of a day's trail: `asked_close`, `closed`, `asked_reopen`, `reopened`."""

    version: int
    act: str
    at: datetime
    actor: str
    note: str

    @classmethod
    def of(cls, found: DayAct) -> "Act":
        """Return a line as it is sent."""
        return cls.model_validate(msgspec.structs.asdict(found))


class Day(Model):
    """A business day of the house. `asked` is what one person wants and a second one has to: `close`, `reopen`."""

    object: Literal["business_day"] = "business_day"
    on: date
    state: DayState
    version: int
    closed_at: datetime | None
    closed_by: str
    note: str
    asked: str
    asked_by: str
    report: Report | None

    @classmethod
    def of(cls, found: DayFound) -> "Day":
        """Return a day as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls.model_validate(own | {"report": None if found.report is None else Report.of(found.report)})


class DayFile(Model):
    """A day with everything that was done about it, oldest first."""

    object: Literal["business_day_file"] = "business_day_file"
    of: Day
    history: list[Act]


class Days(Model):
    """Days that somebody closed or wanted to, newest first; go on with `before` = the last date."""

    object: Literal["list"] = "list"
    data: list[Day]
    has_more: bool = False
