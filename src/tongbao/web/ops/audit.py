"""``/ops/audit``: who did what, when and why, over every room that keeps a trail; filtered, exported, walked back by pages."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Response
from markupsafe import Markup

from tongbao.clearing.service.trail import Trail as ClearingTrail
from tongbao.core import trails
from tongbao.core.db import Database
from tongbao.core.ids import int_text, uuid_text
from tongbao.core.trails import Line, Trail, Wanted
from tongbao.decisions.service.trail import Trail as DecisionsTrail
from tongbao.parties.schema import MERCHANT_PREFIX, OperatorPermission
from tongbao.parties.service.trail import Trail as PartiesTrail
from tongbao.risk.schema.cases import case_text
from tongbao.risk.service.trail import Trail as RiskTrail
from tongbao.web.ops.entering import PERSON, names_of
from tongbao.web.ops.people import role_text
from tongbao.web.ops.rendering_desk import ROWS, Desk, Pages, Shown
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Column, Filter, Query, Row, Table
from tongbao.web.wording import Say

PATH = "/ops/audit"
TRAILS: dict[str, Callable[[Database], Trail]] = {
    "parties": PartiesTrail,
    "decisions": DecisionsTrail,
    "risk": RiskTrail,
    "clearing": ClearingTrail,
}


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get(PATH, _page, OperatorPermission.AUDIT_READ)


def table(t: Say, people: Mapping[str, str]) -> Table:
    """Return what the list is; ``people`` are names by actor."""
    actors = tuple(sorted(((actor, name) for actor, name in people.items()), key=lambda each: each[1]))
    return Table(
        "audit",
        str(t("audit")),
        (
            Column("at", str(t("c_when")), fixed=True),
            Column("who", str(t("c_who"))),
            Column("act", str(t("c_act"))),
            Column("subject", str(t("c_subject"))),
            Column("why", str(t("c_why"))),
            Column("room", str(t("c_room")), shown=False),
        ),
        (
            Filter("room", str(t("c_room")), tuple((each, str(t(f"room_{each}"))) for each in TRAILS)),
            Filter("who", str(t("c_who")), actors),
            Filter("from", str(t("from_day")), kind="date"),
            Filter("to", str(t("to_day")), kind="date"),
        ),
    )


async def _page(desk: Desk) -> Response:
    shown = table(desk.t, names_of(desk.request))
    query = desk.query(shown)
    if desk.wants_csv:
        return desk.csv(shown, query, [_plain(each, desk) for each in await _all(desk, query)])
    lines, has_more = await read(desk, query, _place(query.after), ROWS)
    rows = [Row(_cells(each, desk)) for each in lines]
    after = f"{lines[-1].at.isoformat()}|{lines[-1].key}" if has_more else ""
    view = desk.table(query, shown, rows, PATH, after, str(desk.t("audit_empty")))
    return desk.page(
        Shown("list.html", "audit", {"title": desk.t("audit"), "line": desk.t("audit_line"), "view": view})
    )


async def read(
    desk: Desk, query: Query, before: tuple[datetime, str] | None, limit: int
) -> tuple[list[Line], bool]:
    """Return the newest lines of the trails that a query asks for, and whether older ones follow."""
    asked = query.filters
    wanted = Wanted(
        before, asked.get("who"), _day(asked.get("from", "")), _day(asked.get("to", ""), 1), limit
    )
    rooms = [asked["room"]] if "room" in asked else list(TRAILS)
    database = desk.house.runtime.database
    found = await asyncio.gather(*(TRAILS[room](database).lines(wanted) for room in rooms))
    return trails.merged(found, limit)


async def _all(desk: Desk, query: Query) -> list[Line]:
    """Return as many lines as a file holds."""
    found: list[Line] = []
    before = None
    while len(found) < EXPORT_ROWS_MAX:
        lines, has_more = await read(desk, query, before, trails.PAGE_MAX)
        found += lines
        if not has_more:
            break
        before = (lines[-1].at, lines[-1].key)
    return found


def _place(text: str) -> tuple[datetime, str] | None:
    """Return the place that a cursor names; None at the first page, and for what is no such place."""
    at, mark, key = text.partition("|")
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (found, key) if mark and found.tzinfo is not None and key.isascii() else None


def _day(text: str, days: int = 0) -> datetime | None:
    """Return the beginning of a day in UTC, ``days`` later; None for what is no day."""
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time(), UTC)
    except (ValueError, OverflowError):
        return None


def _cells(line: Line, desk: Desk) -> dict[str, str | Markup]:
    plain = _plain(line, desk)
    subject, href = _subject(line, desk.t, names_of(desk.request))
    told = (
        Markup('<a href="{}">{}</a>').format(href, subject)
        if href
        else Markup("<bdi>{}</bdi>").format(subject)
    )
    return {
        **plain,
        "subject": told,
        "why": Markup("<bdi>{}</bdi>").format(plain["why"]) if line.note else "",
        "who": Markup("<bdi>{}</bdi>").format(plain["who"]),
    }


def _plain(line: Line, desk: Desk) -> dict[str, str]:
    act = line.act.partition("=")[0]
    return {
        "at": desk.ui.when(line.at),
        "who": str(desk.who(line.actor)),
        "act": str(desk.word(f"act_{act}", line.act.replace("_", " "))),
        "subject": str(_subject(line, desk.t, names_of(desk.request))[0]),
        "why": _why(line, desk),
        "room": str(desk.t(f"room_{line.room}")),
    }


def _why(line: Line, desk: Desk) -> str:
    """Return why; of a role that was given, which one, of a sign-in, from where."""
    if line.act == "role_given":
        return role_text(line.note, desk.language)
    return str(desk.t("signed_in_from", address=line.note)) if line.act == "signed_in" else line.note


def _subject(line: Line, t: Say, names: Mapping[str, str]) -> tuple[str | Markup, str]:
    """Return what a line is about, in words, and where it is shown."""
    if line.subject.startswith(PERSON):
        return names.get(line.subject, t("who_left")), "/ops/people"
    if line.room == "parties":
        reference = int_text(MERCHANT_PREFIX, int(line.subject))
        return t("s_merchant", id=reference), f"/ops/merchants/{reference}"
    if line.room == "decisions":
        policy, _, version = line.subject.partition("@")
        named = t("s_version", policy=policy, n=version) if version else t("s_policy", policy=policy)
        return named, f"/ops/policies?policy={policy}" if policy.replace("/", "").replace(
            "_", ""
        ).isalnum() else ""
    if line.act.startswith("case_"):
        reference = case_text(UUID(line.subject))
        return t("s_case", id=reference), f"/ops/risk/cases/{reference}"
    if line.act.startswith("list_"):
        return t("s_list", name=line.subject), f"/ops/risk/lists?{urlencode({'list': line.subject})}"
    if line.act.startswith("account_"):
        return t("s_account"), "/ops/payouts/accounts"
    if line.act.startswith("freeze_"):
        return t("s_freeze"), "/ops/risk/freezes"
    if line.act.startswith("break_"):
        return t("s_break"), f"/ops/breaks/{uuid_text('brk', UUID(line.subject))}"
    if line.act.startswith("announcement_"):
        return t("s_announcement"), f"/ops/holidays/{uuid_text('ann', UUID(line.subject))}"
    return t("s_day", day=line.subject), f"/ops/days/{line.subject}"
