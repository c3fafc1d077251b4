"""What was agreed with a merchant about its money: cycle, cut-off, calendar, reserve, limits. One version a change."""

import enum
from datetime import date, datetime, time
from typing import Annotated

import msgspec
from msgspec import Meta

from tongbao.clearing.schema.fees import MinorUnits, RateE6

CUTS_A_DAY_MAX = 24
RESERVE_DAYS_MAX = 540


class Cycle(enum.StrEnum):
    """When what was cut is paid: D counts all days, T working days of the calendar."""

    REAL_TIME = "real_time"  # a cut for each sale as it comes; needs a limit, and pays at once
    D = "d"
    T = "t"


class Agreement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How one merchant's money in one currency is settled.

    ``cycle`` and ``days``: D0, D1, T0, T1, T2 … ``cuts``: local times of day at which a batch is cut, ascending; a movement
    at or after the last one belongs to the first of the next day (T: the next working day). ``zone``: IANA name.
    ``calendars``: codes; a day is worked where all of them work. ``payout_min_minor``: below it the net is carried into the
    next batch. ``reserve_e6``: share of sales withheld for ``reserve_days``. ``approval_above_minor``: batches of a larger
    net need two people. ``schedule``: name of the merchant's price list; empty: the house's. ``agent_schedule``: what is owed
    to whoever brought the merchant; empty: nobody did.
    """

    cycle: Cycle = Cycle.T
    days: Annotated[int, Meta(ge=0, le=60)] = 1
    cuts: Annotated[tuple[time, ...], Meta(min_length=1, max_length=CUTS_A_DAY_MAX)] = (time(0, 0),)
    zone: Annotated[str, Meta(max_length=64)] = "Asia/Shanghai"
    calendars: Annotated[tuple[str, ...], Meta(max_length=5)] = ("CN",)
    payout_min_minor: MinorUnits = 0
    reserve_e6: RateE6 = 0
    reserve_days: Annotated[int, Meta(ge=0, le=RESERVE_DAYS_MAX)] = 0
    approval_above_minor: MinorUnits | None = None
    schedule: Annotated[str, Meta(max_length=64)] = ""
    agent_schedule: Annotated[str, Meta(max_length=64)] = ""


class AgreementVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement with its place: what holds for a book and currency from an instant on. ``book_id`` 0 is the house's own."""

    book_id: int
    currency: str
    version: int
    effective_at: datetime
    agreement: Agreement
    made_by: str
    made_at: datetime
    note: str = ""


class Cut(msgspec.Struct, frozen=True):
    """Where a movement belongs: the instant at which its batch is cut, and the date on which it is paid.

    ``is_provisional``: a day of the calendar on the way there was not announced yet.
    """

    cut_at: datetime
    payout_on: date
    is_provisional: bool = False
