"""Disputes over all merchants: who has to answer by when, and one of them in full. Merchants answer; the house reads."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from markupsafe import Markup

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.parties.schema import Merchant, OperatorPermission
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.refunds import OPEN_DISPUTES, Dispute, DisputeState
from tongbao.payments.service.house_disputes import HouseDisputes
from tongbao.web.house import House
from tongbao.web.ops import risk_cells as cells
from tongbao.web.ops.entering import Entrance, visitor_of
from tongbao.web.ops.rendering import query
from tongbao.web.ops.risk_desk import MODES, Desk, Shown, error_page, language_of
from tongbao.web.ops.risk_words import TEXTS, translator
from tongbao.web.page_route import page_route
from tongbao.web.ui import saved_views, tables
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.table_views import TableView
from tongbao.web.ui.tables import Column, Filter, Row, Table
from tongbao.web.wording import Say

PATH = "/ops/disputes"
SHOWN = 50
SOON = timedelta(days=2)
TONES = {
    DisputeState.NEEDS_RESPONSE: "warn",
    DisputeState.UNDER_REVIEW: "review",
    DisputeState.WON: "ok",
    DisputeState.LOST: "error",
}


class Told(NamedTuple):
    """A line of what happened, as the timeline of the kit draws it."""

    at: datetime
    title: Markup
    tone: str
    glyph: str


class DisputesPage:
    """Answers the pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._disputes = HouseDisputes(desk.house.runtime.database)
        self._merchants = desk.house.parties.merchants

    async def show(self, request: Request) -> Response:
        """Answer disputes of a mode, newest first; with ``format=csv`` as a file."""
        mode, language = await self._desk.mode(request), language_of(request)
        say, ui = translator(language), Kit(language, self._desk.clock.now())
        table = _table(say)
        asked = tables.read(table, request.query_params)
        states = [each for each in DisputeState if asked.filters.get("state") == each.value]
        operator = visitor_of(request).operator
        found = await self._disputes.page(operator, MODES[mode], states, _cursor(asked.after), SHOWN)
        owners = {
            each: await self._merchants.of_book(operator, each) for each in {d.book_id for d in found.items}
        }
        if query(request, "format") == "csv":
            plain = [_plain(each, owners[each.book_id], ui, say) for each in found.items]
            named = {
                "Content-Disposition": 'attachment; filename="disputes.csv"',
                "Cache-Control": "no-store",
            }
            return PlainTextResponse(
                tables.csv_text(table, asked, plain), media_type="text/csv; charset=utf-8", headers=named
            )
        view = TableView(
            table,
            asked,
            [Row(_cells(each, owners[each.book_id], ui, say)) for each in found.items],
            PATH,
            found.items[-1].reference if found.has_more else "",
            page=(("mode", mode),),
            saved=saved_views.of(request, table.name),
            export=True,
            saving=True,
            empty_line=say("disputes_empty"),
        )
        return self._desk.page(request, Shown("disputes.html", "disputes", {"mode": mode, "view": view}))

    async def one(self, request: Request, dispute: str) -> Response:
        """Answer one dispute."""
        try:
            dispute_id = parse_uuid(Dispute.PREFIX, dispute)
        except ValueError:
            raise NotFound("dispute_missing", "there is no such dispute") from None
        operator, language = visitor_of(request).operator, language_of(request)
        found = await self._disputes.one(operator, dispute_id)
        say, now = translator(language), self._desk.clock.now()
        context = {
            "mode": "live" if found.live else "test",
            "dispute": found,
            "owner": await self._merchants.of_book(operator, found.book_id),
            "intent": uuid_text(Intent.PREFIX, found.intent_id),
            "tone": TONES[found.state],
            "cause": cause_text(found.cause, say),
            "is_open": found.state in OPEN_DISPUTES,
            "story": story_of(found, now, say),
            "evidence": sorted(found.evidence.items()),
        }
        return self._desk.page(request, Shown("dispute.html", "disputes", context))


def router(house: House) -> APIRouter:
    """Return the routes of disputes over an open house."""
    page = DisputesPage(Desk(house))
    routes = APIRouter(prefix=PATH, include_in_schema=False, route_class=page_route(error_page))
    enters = [Depends(Entrance(house).of(OperatorPermission.ALL_DISPUTES_READ))]
    for path, answer in (("", page.show), ("/{dispute}", page.one)):
        routes.add_api_route(path, answer, methods=["GET", "HEAD"], dependencies=enters, response_model=None)
    return routes


def story_of(dispute: Dispute, now: datetime, say: Say) -> list[Told]:
    """Return what happened to a dispute, oldest first; the date of its answer stands where it will be."""
    told = [Told(dispute.created_at, say("d_story_opened"), "warn", "flag")]
    if dispute.evidence_submitted_at is not None:
        told.append(Told(dispute.evidence_submitted_at, say("d_story_submitted"), "plain", "mail"))
    if dispute.respond_by is not None and dispute.state is DisputeState.NEEDS_RESPONSE:
        late = dispute.respond_by < now
        told.append(Told(dispute.respond_by, say("d_story_due"), "error" if late else "plain", "clock"))
    if dispute.state not in OPEN_DISPUTES:
        ended = say("d_story_ended", state=say(f"d_state_{dispute.state}"))
        told.append(Told(dispute.updated_at, ended, TONES[dispute.state], "check"))
    return sorted(told, key=lambda each: each.at)


def cause_text(cause: str, say: Say) -> str:
    """Return why a payer objects, in words; the cause itself where it is unknown here."""
    return say(f"d_c_{cause}") if f"d_c_{cause}" in TEXTS else cause


def _table(say: Say) -> Table:
    columns = (
        Column("dispute", say("dispute"), fixed=True),
        Column("merchant", say("d_merchant")),
        Column("amount", say("d_amount"), number=True),
        Column("cause", say("d_cause")),
        Column("state", say("state")),
        Column("due", say("d_due")),
        Column("opened", say("d_opened")),
    )
    states = tuple((each.value, say(f"d_state_{each}")) for each in DisputeState)
    return Table("disputes", say("disputes"), columns, (Filter("state", say("state"), states),))


def _plain(dispute: Dispute, owner: Merchant, ui: Kit, say: Say) -> dict[str, str]:
    return {
        "dispute": dispute.reference,
        "merchant": owner.display_name or owner.name,
        "amount": ui.money(dispute.amount_minor, dispute.currency.upper()),
        "cause": cause_text(dispute.cause, say),
        "state": say(f"d_state_{dispute.state}"),
        "due": "" if dispute.respond_by is None else dispute.respond_by.isoformat(),
        "opened": dispute.created_at.isoformat(),
    }


def _cells(dispute: Dispute, owner: Merchant, ui: Kit, say: Say) -> dict[str, str | Markup]:
    own = _plain(dispute, owner, ui, say)
    return {
        **own,
        "dispute": Markup('<a class="mono" href="{}/{}">{}</a>').format(
            PATH, own["dispute"], f"…{own['dispute'][-8:]}"
        ),
        "merchant": cells.name(own["merchant"]),
        "state": cells.tag(own["state"], TONES[dispute.state]),
        "due": _due(dispute, ui, say),
        "opened": cells.when(ui, dispute.created_at),
    }


def _due(dispute: Dispute, ui: Kit, say: Say) -> Markup | str:
    """Return by when a dispute is to be answered; nothing matters any more once it is."""
    if dispute.state is not DisputeState.NEEDS_RESPONSE:
        return Markup('<span class="mut">{}</span>').format(say("d_answered"))
    if dispute.respond_by is None:
        return Markup('<span class="mut">{}</span>').format(say("d_no_date"))
    told, now = cells.due(ui, say, dispute.respond_by), ui.now or dispute.created_at
    if dispute.respond_by < now:
        return cells.tag(told, "error")
    return cells.tag(told, "warn") if dispute.respond_by - now < SOON else told


def _cursor(after: str) -> UUID | None:
    try:
        return parse_uuid(Dispute.PREFIX, after) if after else None
    except ValueError:
        return None
