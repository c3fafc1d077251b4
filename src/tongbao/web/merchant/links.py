"""``/merchant/{merchant}/links``: payment links with their QR posters, and the till that scans a payer's pay code."""

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.core.currencies import currency
from tongbao.core.errors import AppError, InvalidRequest
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import Permission
from tongbao.payments.schema.checkout import LineItem, OpenAmount, PaymentLink
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.service.pay_codes import PayCodeOrder
from tongbao.web.cashier.views import code_file
from tongbao.web.merchant.payments_view import cursor, named
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.ui.forms import Form
from tongbao.web.ui.tables import Column, Filter, Row, Table

ROWS = 25
VISITS_SHOWN = 10
NAME_MAX = 120
CODE_MAX = 64
FIXED, OPEN = "fixed", "open"
"""Who says what is paid: the link, or whoever follows it."""
CURRENCIES = ("CNY", "USD", "EUR", "HKD", "JPY", "GBP")
PATH = f"{PREFIX}/links"


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    pages = _LinkPages(portal)
    for path, answer in (
        (PATH, pages.list),
        (f"{PATH}/new", pages.new),
        (f"{PREFIX}/till", pages.till),
        (f"{PATH}/{{link}}", pages.one),
        (f"{PATH}/{{link}}/poster", pages.poster),
        (f"{PATH}/{{link}}/code.svg", pages.code),
    ):
        routes.add_api_route(path, answer, methods=["GET"], response_model=None)
    for path, act in (
        (f"{PATH}/new", pages.create),
        (f"{PREFIX}/till", pages.charge),
        (f"{PATH}/{{link}}", pages.switch),
    ):
        routes.add_api_route(path, act, methods=["POST"], response_model=None)
    return routes


class _LinkPages:
    """Answers the pages."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._sessions = portal.house.payments.sessions

    async def list(self, request: Request, merchant: str) -> Response:
        """Answer the links of the merchant."""
        desk = await self._desk(request, merchant)
        what = table(desk)
        query = desk.query(what)
        order = PageOrder(
            limit=ROWS,
            after=cursor(query.after, PaymentLink.PREFIX),
            state=query.filters.get("state"),
        )
        page = await self._sessions.links(desk.visitor.scope, order)
        rows = [Row(_cells(each, desk)) for each in page.items]
        after = page.items[-1].reference if page.has_more else ""
        view = desk.table(query, what, rows, "/links", after, str(desk.t("links_empty")), export=False)
        actions = []
        if desk.visitor.may(Permission.PAYMENTS_WRITE):
            actions = [
                (desk.t("new_link"), desk.to("/links/new"), "primary"),
                (desk.t("till"), desk.to("/till"), ""),
            ]
        return desk.page(Shown("list.html", "links", {"view": view, "title": "links", "actions": actions}))

    async def new(self, request: Request, merchant: str) -> Response:
        """Answer the form of a new link."""
        desk = await self._desk(request, merchant, Permission.PAYMENTS_WRITE)
        kind = OPEN if request.query_params.get("kind") == OPEN else FIXED
        return _new(desk, Form({"currency": desk.currency, "kind": kind}, desk.ui))

    async def create(self, request: Request, merchant: str) -> Response:
        """Make a link, and go to it."""
        desk = await self._desk(request, merchant, Permission.PAYMENTS_WRITE)
        fields = await desk.form()
        form = Form(fields, desk.ui)
        name = form.text("name", NAME_MAX)
        unit = _currency(form)
        amount, bounds = _price(form, unit or desk.currency)
        most = form.whole("most", 1, 1_000_000, required=False)
        if form.errors:
            return _new(desk, form, 422)
        try:
            done = await self._sessions.create_link(
                desk.visitor.scope,
                (LineItem(name=name, unit_minor=amount),),
                unit,
                open_amount=bounds,
                completed_count_max=most,
                metadata={"created_by": desk.visitor.actor},
                ask=desk.ask("link", fields),
            )
        except AppError as error:
            form.wrong("", desk.problem(error))
            return _new(desk, form, status_of(error))
        # Sent a second time it was made before: the list begins with it.
        path = "/links" if done.view is None else f"/links/{done.view.reference}"
        return desk.done(path, "link_made")

    async def one(self, request: Request, merchant: str, link: str) -> Response:
        """Answer a link with its code and who came by it."""
        desk = await self._desk(request, merchant)
        found = await self._read(desk, link)
        visits = await self._sessions.page(
            desk.visitor.scope, PageOrder(limit=VISITS_SHOWN, parent_id=found.id)
        )
        rows = [
            (
                desk.when(each.created_at),
                desk.ui.money(each.amount_minor, each.currency),
                desk.t("visit_paid" if each.paid else f"visit_{each.state}"),
                Markup('<a href="{}">{}</a>').format(
                    desk.to(f"/payments/{uuid_text(Intent.PREFIX, each.intent_id)}"), desk.t("payment")
                )
                if each.intent_id is not None
                else "",
            )
            for each in visits.items
        ]
        context = {
            "link": found,
            "address": self._address(found),
            "visits": rows,
            "price": price_text(found, desk),
            "state": _state(found, desk),
        }
        return desk.page(Shown("link.html", "links", context))

    async def switch(self, request: Request, merchant: str, link: str) -> Response:
        """Switch a link off or on."""
        desk = await self._desk(request, merchant, Permission.PAYMENTS_WRITE)
        found = await self._read(desk, link)
        fields = await desk.form()
        active = fields.get("active") == "1"
        await self._sessions.change_link(
            desk.visitor.scope, found.id, active=active, ask=desk.ask("link.switch", fields)
        )
        return desk.done(f"/links/{found.reference}", "link_on" if active else "link_off")

    async def poster(self, request: Request, merchant: str, link: str) -> Response:
        """Answer a page to be printed and hung up beside the till."""
        desk = await self._desk(request, merchant)
        found = await self._read(desk, link)
        return desk.page(
            Shown("link_poster.html", "links", {"link": found, "price": price_text(found, desk)})
        )

    async def code(self, request: Request, merchant: str, link: str) -> Response:
        """Answer the QR code of a link as a picture."""
        desk = await self._desk(request, merchant)
        found = await self._read(desk, link)
        drawn = code_file(self._address(found))
        return Response(drawn, media_type="image/svg+xml", headers={"Cache-Control": "private, max-age=3600"})

    async def till(self, request: Request, merchant: str) -> Response:
        """Answer the till: an amount, and the code of the payer's phone."""
        desk = await self._desk(request, merchant, Permission.PAYMENTS_WRITE)
        return _till(desk, Form({"currency": desk.currency}, desk.ui))

    async def charge(self, request: Request, merchant: str) -> Response:
        """Collect with a scanned code, and show the payment."""
        desk = await self._desk(request, merchant, Permission.PAYMENTS_WRITE)
        fields = await desk.form()
        form = Form(fields, desk.ui)
        unit = _currency(form)
        amount = form.amount("amount", unit or desk.currency)
        text = form.text("code", CODE_MAX).replace(" ", "")
        what = form.text("description", NAME_MAX, required=False)
        if form.errors or amount is None:
            return _till(desk, form, 422)
        order = PayCodeOrder(text=text, amount_minor=amount, currency=unit, description=what or None)
        try:
            done = await self._portal.pay_codes.charge(
                desk.visitor.scope, order, ask=desk.ask("till", fields, moves_money=True)
            )
        except AppError as error:
            form.wrong("", desk.problem(error))
            return _till(desk, form, status_of(error))
        if done.view is None:
            return desk.done("/payments", "charged_before")
        paid = done.view.intent.amount_received_minor > 0
        return desk.done(f"/payments/{done.view.intent.reference}", "charged" if paid else "not_charged")

    def _address(self, link: PaymentLink) -> str:
        return f"{self._portal.house.base_url}/l/{link.reference}"

    async def _read(self, desk: Desk, reference: str) -> PaymentLink:
        wanted = path_id(PaymentLink.PREFIX, reference)
        return await self._sessions.link(desk.visitor.scope, wanted)

    async def _desk(
        self, request: Request, merchant: str, permission: Permission = Permission.PAYMENTS_READ
    ) -> Desk:
        visitor = await self._portal.guards.at_merchant(request, merchant, permission)
        return Desk(self._portal, request, visitor)


def table(desk: Desk) -> Table:
    """Return what the table is."""
    t = desk.t
    return Table(
        "links",
        str(t("links")),
        (
            Column("name", str(t("c_name")), fixed=True),
            Column("amount", str(t("c_amount")), number=True),
            Column("state", str(t("c_state"))),
            Column("used", str(t("c_used")), number=True),
            Column("at", str(t("c_created"))),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter(
                "state",
                str(t("c_state")),
                (("active", str(t("link_active"))), ("inactive", str(t("link_inactive")))),
            ),
        ),
    )


def _cells(link: PaymentLink, desk: Desk) -> dict[str, str | Markup]:
    return {
        "name": Markup('<a href="{}">{}</a>').format(
            desk.to(f"/links/{link.reference}"), named(", ".join(item.name for item in link.items))
        ),
        "amount": price_text(link, desk),
        "state": _state(link, desk),
        "used": desk.ui.count(link.completed_count),
        "at": desk.when(link.created_at),
        "id": Markup('<code class="mono">{}</code>').format(link.reference),
    }


def _state(link: PaymentLink, desk: Desk) -> Markup:
    tone = "ok" if link.active else "plain"
    return Markup('<span class="tag {}">{}</span>').format(tone, desk.t(f"link_{link.status}"))


def _currency(form: Form) -> str:
    """Return the currency of a form, one that there is."""
    text = form.text("currency", 3).upper()
    try:
        return currency(text).code if text else ""
    except InvalidRequest:
        form.choice("currency", CURRENCIES)
        return ""


def _price(form: Form, unit: str) -> tuple[int, OpenAmount | None]:
    """Return the price of a form in minor units; or the sum that is offered first, and the bounds, where payers choose."""
    if form["kind"] != OPEN:
        return form.amount("amount", unit) or 0, None
    least = form.amount("least", unit)
    top = form.amount("top", unit, least or 1)
    if least is None or top is None:
        return 0, None
    preset = form.amount("preset", unit, least, top, required=False)
    return preset or 0, OpenAmount(least_minor=least, most_minor=top, preset_minor=preset)


def price_text(link: PaymentLink, desk: Desk) -> str:
    """Return what a link asks for: its sum, or from how much to how much its payers choose."""
    bounds = link.open_amount
    if bounds is None:
        return desk.ui.money(link.amount_minor, link.currency)
    least, most = (desk.ui.money(each, link.currency) for each in (bounds.least_minor, bounds.most_minor))
    return f"{least} – {most}"


def _new(desk: Desk, form: Form, status: int = 200) -> Response:
    return desk.page(Shown("link_new.html", "links", {"form": form, "currencies": _offered(desk)}, status))


def _till(desk: Desk, form: Form, status: int = 200) -> Response:
    return desk.page(Shown("till.html", "links", {"form": form, "currencies": _offered(desk)}, status))


def _offered(desk: Desk) -> list[tuple[str, str]]:
    codes = dict.fromkeys((desk.currency, *CURRENCIES))
    return [(code, code) for code in codes]
