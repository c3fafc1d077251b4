"""Payouts as they are read: how they stand, a month as a calendar, accounts with the end of their number. Pure."""

import calendar
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from markupsafe import Markup

from tongbao.clearing.schema.bills import Upcoming
from tongbao.clearing.schema.payouts import Destination, DestinationState, Payout, PayoutState
from tongbao.web.merchant.office import Office
from tongbao.web.merchant.payments_view import named
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.ui.money import plain_amount
from tongbao.web.ui.tables import Column, Filter, Row, Table

TONES: Mapping[PayoutState, str] = {
    PayoutState.PAID: "ok",
    PayoutState.REJECTED: "error",
    PayoutState.RETURNED: "error",
    PayoutState.UNRESOLVED: "review",
    PayoutState.CREATED: "warn",
    PayoutState.SENT: "warn",
    PayoutState.ACCEPTED: "warn",
}
ACCOUNT_TONES: Mapping[DestinationState, str] = {
    DestinationState.ACTIVE: "ok",
    DestinationState.PROPOSED: "warn",
    DestinationState.COOLING: "warn",
    DestinationState.PAUSED: "error",
}
GONE = frozenset({PayoutState.REJECTED, PayoutState.RETURNED, PayoutState.CANCELED})
"""States after which the money is not on its way."""
WEEK_DAYS = 7
Cell = str | Markup


class Month(NamedTuple):
    """A month of the calendar, by its first day."""

    first: date

    @property
    def until(self) -> date:
        """The first day of the month after it."""
        return (self.first + timedelta(days=31)).replace(day=1)

    @property
    def before(self) -> "Month":
        """The month before it."""
        return Month((self.first - timedelta(days=1)).replace(day=1))

    @property
    def text(self) -> str:
        """The month as addresses write it: ``2026-11``."""
        return f"{self.first.year}-{self.first.month:02}"


def month_of(text: str, today: date) -> Month:
    """Return the month that an address asks for; the one of today for what is none."""
    try:
        asked = date.fromisoformat(f"{text}-01")
    except ValueError:
        asked = today.replace(day=1)
    within = 2000 <= asked.year < 2100
    return Month(asked if within else today.replace(day=1))


def state(payout: Payout, office: Office) -> Markup:
    """Return how a payout stands, as a tag."""
    return office.tag(f"payout_{payout.state}", TONES.get(payout.state, "plain"))


def account_state(account: Destination, office: Office) -> Markup:
    """Return how an account stands, as a tag."""
    return office.tag(f"account_{account.state}", ACCOUNT_TONES.get(account.state, "plain"))


def masked(account: Destination) -> Markup:
    """Return an account by the end of its number."""
    return Markup('<span class="mono">•••• {}</span>').format(account.last4)


def next_of(coming: Sequence[Upcoming]) -> Upcoming | None:
    """Return the next payout that brings something; the first of all where none does."""
    return next((each for each in coming if each.expected_minor), coming[0] if coming else None)


def table(office: Office) -> Table:
    """Return what the list of payouts is."""
    t = office.t
    states = tuple((each.value, str(t(f"payout_{each}"))) for each in PayoutState)
    return Table(
        "payouts",
        str(t("payouts")),
        (
            Column("amount", str(t("c_amount")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("due_on", str(t("c_due_on"))),
            Column("account", str(t("c_account"))),
            Column("ended", str(t("c_ended_at"))),
            Column("why", str(t("c_bank_says"))),
            Column("end_to_end", str(t("c_end_to_end")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (Filter("state", str(t("c_state")), states),),
    )


def row(payout: Payout, accounts: Mapping[UUID, Destination], office: Office) -> Row:
    """Return a payout as a row; its amount leads to it."""
    account = accounts.get(payout.destination_id)
    return Row(
        {
            "amount": office.link(
                f"/payouts/{payout.reference}", office.ui.money(payout.amount_minor, payout.currency)
            ),
            "state": state(payout, office),
            "due_on": office.day(payout.due_on),
            "account": masked(account) if account is not None else "",
            "ended": office.written(payout.ended_at) if payout.ended_at is not None else "",
            "why": bank_says(payout, office),
            "end_to_end": Markup('<code class="mono">{}</code>').format(payout.end_to_end),
            "id": Markup('<code class="mono">{}</code>').format(payout.reference),
        }
    )


def plain(payout: Payout, accounts: Mapping[UUID, Destination], office: Office) -> dict[str, str]:
    """Return a payout as a row of a file."""
    account = accounts.get(payout.destination_id)
    return {
        "amount": plain_amount(payout.amount_minor, payout.currency),
        "state": str(office.t(f"payout_{payout.state}")),
        "due_on": office.day(payout.due_on),
        "account": account.last4 if account is not None else "",
        "ended": office.written(payout.ended_at) if payout.ended_at is not None else "",
        "why": str(bank_says(payout, office)),
        "end_to_end": payout.end_to_end,
        "id": payout.reference,
    }


def row_of_batch(payout: Payout, office: Office) -> tuple[Cell, ...]:
    """Return a payout as the page of its batch lists it."""
    return (
        office.link(f"/payouts/{payout.reference}", office.ui.money(payout.amount_minor, payout.currency)),
        state(payout, office),
    )


def bank_says(payout: Payout, office: Office) -> Cell:
    """Return why a bank refused or returned a payout: in words where its code is known, as the bank wrote it else."""
    if payout.state not in GONE or not (payout.code or payout.message):
        return ""
    words = office.known(f"bank_{payout.code}", "") if payout.code else ""
    return words or named(" ".join(part for part in (payout.code, payout.message) if part))


def calendar_rows(
    month: Month,
    made: Sequence[Payout],
    expected: Sequence[Upcoming],
    off: Mapping[date, str],
    office: Office,
) -> list[tuple[Cell, ...]]:
    """Return a month week by week, Monday first: the number of each week, then its days with what is paid on them."""
    paid: dict[date, list[Payout]] = defaultdict(list)
    for payout in made:
        paid[payout.due_on].append(payout)
    coming: dict[date, list[Upcoming]] = defaultdict(list)
    on_the_way = {payout.batch_id for payout in made if payout.state not in GONE}
    for each in (upcoming for upcoming in expected if upcoming.batch_id not in on_the_way):
        coming[each.payout_on].append(each)
    rows = []
    for week in calendar.Calendar().monthdatescalendar(month.first.year, month.first.month):
        cells: list[Cell] = [office.t("week", number=week[0].isocalendar().week)]
        for on in week:
            inside = on.month == month.first.month
            cells.append(_day(on, paid[on], coming[on], off, office) if inside else "")
        rows.append(tuple(cells))
    return rows


def calendar_heads(office: Office) -> tuple[str, ...]:
    """Return the heads of the calendar."""
    return (str(office.t("c_week")), *(str(office.t(f"weekday_{number}")) for number in range(WEEK_DAYS)))


def history(payout: Payout, office: Office) -> list[Entry]:
    """Return the story of a payout: made, sent, accepted, and how it ended."""
    t = office.t
    found = [
        Entry(
            at=payout.created_at,
            part=Part.MONEY,
            title=t("payout_is_created"),
            line=t("payout_is_created_line", day=office.day(payout.due_on)),
            glyph="plus",
        )
    ]
    if payout.sent_at is not None:
        sent = t("payout_is_sent_line", end_to_end=payout.end_to_end)
        found.append(
            Entry(
                at=payout.sent_at,
                part=Part.MONEY,
                title=t("payout_is_sent"),
                line=sent,
                glyph="right",
            )
        )
    if payout.state in {PayoutState.ACCEPTED, PayoutState.UNRESOLVED} or payout.ended_at is not None:
        found.append(
            Entry(
                at=(payout.ended_at or payout.updated_at),
                part=Part.MONEY,
                title=t(f"payout_is_{payout.state}"),
                line=bank_says(payout, office) or office.known(f"payout_is_{payout.state}_line", ""),
                tone=TONES.get(payout.state, "plain"),
                glyph="check" if payout.state is PayoutState.PAID else "bank",
            )
        )
    return found


def _day(
    on: date,
    made: Sequence[Payout],
    coming: Sequence[Upcoming],
    off: Mapping[date, str],
    office: Office,
) -> Markup:
    """Return a day: its number, whose holiday it is, what was paid, and what is likely paid."""
    today = Markup(' <span class="tag plain">{}</span>').format(office.t("today_word"))
    number = Markup("<b>{}</b>{}").format(on.day, today if on == office.today else "")
    lines = [number if on not in off else Markup('<span class="mut">{}</span>').format(number)]
    if off.get(on):
        lines.append(Markup('<span class="mut">{}</span>').format(holiday(off[on], office)))
    for payout in made:
        link = office.link(
            f"/payouts/{payout.reference}", office.ui.money(payout.amount_minor, payout.currency)
        )
        lines.append(link + _mark(payout, office))
    expected = sum(each.expected_minor or 0 for each in coming)
    if expected > 0:
        amount = office.ui.money(expected, coming[0].currency)
        fixed = all(each.is_fixed for each in coming)
        lines.append(
            Markup('<span class="mut">{}</span>').format(
                office.t("fixed" if fixed else "about", amount=amount)
            )
        )
        if any(each.is_provisional for each in coming):
            lines.append(office.tag("provisional", "warn"))
    return Markup("<br>").join(lines)


def _mark(payout: Payout, office: Office) -> Markup:
    """Return what is to be known of a payout of the calendar besides that it is paid."""
    if payout.state is PayoutState.PAID:
        return Markup()
    is_gone = payout.state in GONE
    tag = office.tag("came_to_nothing" if is_gone else "on_the_way", "error" if is_gone else "warn")
    return Markup(" ") + tag


def holiday(name: str, office: Office) -> str:
    """Return the name of a holiday in the reader's language; calendars write both, Chinese first."""
    own, _, foreign = name.partition(" ")
    if not foreign or own.isascii():
        return name
    return own if office.language.startswith("zh") else foreign
