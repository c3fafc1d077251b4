"""``/ops/payments``: every merchant's payments, found by any id; one of them with its whole story, told to the house."""

from fastapi import Response
from fastapi.responses import RedirectResponse
from msgspec import structs

from tongbao.core.errors import NotFound
from tongbao.core.ids import int_text, parse_uuid
from tongbao.parties.schema import MERCHANT_PREFIX, OperatorPermission
from tongbao.payments.schema.house_overviews import PAGE_MAX, HousePayment
from tongbao.payments.schema.intents import Intent
from tongbao.web.ops import payments_view as view
from tongbao.web.ops.lineage import Lineage
from tongbao.web.ops.rendering_desk import ROWS, Desk, Pages, Shown
from tongbao.web.stories import standing, telling, telling_money
from tongbao.web.stories.entries import Part
from tongbao.web.stories.payment_story import PaymentStories
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Row

PATH = "/ops/payments"
MERCHANTS_NAMED = 100
"""So many merchants can be chosen by name; all others by their own page."""


def add(pages: Pages) -> None:
    """Add the pages."""
    pages.get(PATH, _list, OperatorPermission.OPERATIONS_READ, moded=True)
    pages.get(f"{PATH}/{{payment}}", _one, OperatorPermission.OPERATIONS_READ)


async def _list(desk: Desk) -> Response:
    owners = await desk.floor.readings.books()
    named = {
        int_text(MERCHANT_PREFIX, owner.merchant.merchant_id): owner.merchant.display_name
        or owner.merchant.name
        for owner in list(owners.values())[: 2 * MERCHANTS_NAMED]
    }
    channels = tuple(each.name for each in desk.house.channels.all())
    shown = view.table(desk.t, channels, dict(sorted(named.items(), key=lambda each: each[1])))
    query = desk.query(shown)
    if query.q:
        try:
            return RedirectResponse((await Lineage(desk.house).find(query.q)).page, 303)
        except NotFound:
            empty = desk.table(query, shown, (), PATH)
            told = {"title": desk.t("payments"), "line": desk.t("not_found", q=query.q), "view": empty}
            return desk.page(Shown("list.html", "payments", told, 404))
    books = tuple(
        book
        for book, owner in owners.items()
        if owner.live is desk.live
        and query.filters.get("merchant", int_text(MERCHANT_PREFIX, owner.merchant.merchant_id))
        == int_text(MERCHANT_PREFIX, owner.merchant.merchant_id)
    )
    wanted = view.wanted(query, books, ROWS)
    overviews = desk.floor.readings.overviews
    if desk.wants_csv:
        found: list[HousePayment] = []
        while len(found) < EXPORT_ROWS_MAX:
            page = await overviews.newest(structs.replace(wanted, limit=PAGE_MAX))
            found += page.items
            if not page.has_more:
                break
            wanted = structs.replace(wanted, after=page.items[-1].intent.id)
        return desk.csv(shown, query, [view.plain_cells(each, owners, desk) for each in found])
    page = await overviews.newest(wanted)
    rows = [Row(view.cells(each, owners, desk)) for each in page.items]
    after = page.items[-1].intent.reference if page.has_more else ""
    view_table = desk.table(query, shown, rows, PATH, after, str(desk.t("payments_none")))
    return desk.page(
        Shown(
            "list.html",
            "payments",
            {"title": desk.t("payments"), "line": desk.t("payments_all_line"), "view": view_table},
        )
    )


async def _one(desk: Desk) -> Response:
    reference = str(desk.request.path_params["payment"]).replace("\0", "")
    try:
        wanted = parse_uuid(Intent.PREFIX, reference)
    except ValueError:
        raise NotFound("payment_unknown", "no payment has this id") from None
    merchant, scope = await Lineage(desk.house).place(wanted, reference)
    story = await PaymentStories(desk.house).of(scope, wanted)
    intent = story.intent
    part = desk.chosen("show", [each.value for each in Part], "")
    entries = telling.timeline(story, desk.reader)
    counts = {"": len(entries)} | {each.value: sum(one.part is each for one in entries) for each in Part}
    key, tone = standing.of_payment(intent)
    method = story.method.method if story.method is not None else None
    tried = story.attempts[-1] if story.attempts else None
    context = {
        "intent": intent,
        "amount": desk.ui.money(intent.amount_minor, intent.currency),
        "state": (desk.reader.t(key), tone),
        "owner": merchant,
        "owner_reference": int_text(MERCHANT_PREFIX, merchant.merchant_id),
        "method": desk.reader.method(method or (tried.method if tried else None)),
        "channel": tried.channel if tried else "—",
        "entries": telling.timeline(story, desk.reader, Part(part) if part else None),
        "parts": [
            (
                each,
                desk.t(f"part_{each or 'all'}"),
                f"{PATH}/{reference}" + (f"?show={each}" if each else ""),
                count,
            )
            for each, count in counts.items()
            if count or not each
        ],
        "shown_part": part,
        "ledger": telling_money.ledger_table(story.ledger, desk.reader) if story.ledger else "",
        "whereabouts": story.trace.sentences.get(desk.language, "")
        if story.trace and intent.amount_received_minor
        else "",
        "decided": len(story.decisions),
    }
    return desk.page(Shown("payment.html", "payments", context))
