"""``/merchant/{merchant}/payments/{payment}``: the whole story of a payment, and what may be done with it.

An act has a page of its own: first it is filled in, then it is read again as it will happen, then it is done. What a channel
answers is told on the payment's page.
"""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from tongbao.core.db import Connection
from tongbao.core.errors import AppError, NotFound
from tongbao.parties.schema import Permission
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.webhooks import ENDPOINT_PREFIX, EVENT_PREFIX
from tongbao.web.merchant import payment_view as view
from tongbao.web.merchant.payment_acts import ACTS, Filled, fill, perform
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.stories import telling_money
from tongbao.web.stories.payment_story import Story
from tongbao.web.ui.forms import Form
from tongbao.web.ui.money import plain_amount

PATH = f"{PREFIX}/payments/{{payment}}"


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _PaymentPage(portal)
    routes.add_api_route(PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/resend", page.resend, methods=["POST"], response_model=None)
    routes.add_api_route(f"{PATH}/{{act}}", page.form, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{act}}", page.act, methods=["POST"], response_model=None)
    return routes


class _PaymentPage:
    """Answers the page and its acts."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    async def show(self, request: Request, merchant: str, payment: str) -> Response:
        """Answer the story."""
        desk, story = await self._read(request, merchant, payment, Permission.PAYMENTS_READ)
        wanted = request.query_params.get("show", "")
        shown = {
            "story": story,
            "intent": story.intent,
            "acts": view.acts(story, desk),
            "state": view.state(story, desk),
            "about": view.about(story, desk),
            "money": view.money(story, desk),
            "whereabouts": view.whereabouts(story, desk),
            "documents": view.documents(story, desk),
            "parts": view.parts(story, desk, payment),
            "shown_part": wanted,
            "entries": view.entries(story, desk, wanted),
            "ledger": telling_money.ledger_table(story.ledger, desk.reader) if story.ledger else "",
            "hooks": view.hooks(story, desk),
            "can_trace": desk.visitor.may(Permission.REPORTS_READ),
        }
        return desk.page(Shown("payment.html", "payments", shown))

    async def form(self, request: Request, merchant: str, payment: str, act: str) -> Response:
        """Answer the form of an act; raise NotFound ``act_unknown``."""
        desk, story = await self._read(request, merchant, payment, _permission(act))
        return _form(desk, story, act, Form(_usual(desk, story, act), desk.ui))

    async def act(self, request: Request, merchant: str, payment: str, act: str) -> Response:
        """Show what an act will do, and do it once that was agreed to."""
        desk, story = await self._read(request, merchant, payment, _permission(act))
        fields = await desk.form()
        form = Form(fields, desk.ui)
        filled = fill(act, form, story, view.refundable_minor(story))
        if filled is None:
            return _form(desk, story, act, form, 422)
        if fields.get("step") != "do":
            return _form(desk, story, act, form, filled=filled)
        try:
            await perform(desk, story, act, filled, fields)
        except NotFound:
            raise
        except AppError as error:
            form.wrong("", desk.problem(error))
            return _form(desk, story, act, form, status_of(error))
        return desk.done(f"/payments/{payment}", ACTS[act].said)

    async def resend(self, request: Request, merchant: str, payment: str) -> Response:
        """Send a webhook of the payment again."""
        desk, _ = await self._read(request, merchant, payment, Permission.WEBHOOKS_WRITE)
        fields = await desk.form()
        event = path_id(EVENT_PREFIX, fields.get("event", ""))
        endpoint = path_id(ENDPOINT_PREFIX, fields.get("endpoint", ""))
        house = self._portal.house

        async def work(connection: Connection) -> object:
            return await house.deliveries.resend(connection, desk.visitor.scope, event, endpoint)

        await house.requests.run(desk.visitor.scope.book_id, desk.ask("resend", fields), work)
        return desk.done(f"/payments/{payment}", "resent")

    async def _read(
        self, request: Request, merchant: str, payment: str, permission: Permission
    ) -> tuple[Desk, Story]:
        visitor = await self._portal.guards.at_merchant(request, merchant, permission)
        intent_id: UUID = path_id(Intent.PREFIX, payment)
        return Desk(self._portal, request, visitor), await self._portal.stories.of(visitor.scope, intent_id)


def _permission(act: str) -> Permission:
    if act not in ACTS:
        raise NotFound("act_unknown", "a payment has no such act")
    return ACTS[act].permission


def _usual(desk: Desk, story: Story, act: str) -> dict[str, str]:
    """Return what stands in the fields before anybody has filled them in: all that there is, and the reason of an address."""
    most = next((each.most_minor for each in view.acts(story, desk) if each.key == act), 0)
    usual = {"amount": plain_amount(most, story.intent.currency)} if most else {}
    cause = desk.request.query_params.get("cause", "")
    return usual | ({"cause": cause} if cause in ACTS[act].causes else {})


def _form(
    desk: Desk, story: Story, act: str, form: Form, status: int = 200, filled: Filled | None = None
) -> Response:
    most = next((each.most_minor for each in view.acts(story, desk) if each.key == act), None)
    shown = {
        "intent": story.intent,
        "act": act,
        "form": form,
        "most_minor": most,
        "filled": filled,
        "state": view.state(story, desk),
        "causes": ACTS[act].causes,
    }
    return desk.page(Shown("payment_act.html", "payments", shown, status))
