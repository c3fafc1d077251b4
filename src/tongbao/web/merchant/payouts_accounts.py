"""``/merchant/{merchant}/payouts/accounts``: where money goes. One person proposes, another confirms, then it cools down."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.clearing.schema.payouts import DESTINATION_PREFIX, Destination, DestinationState
from tongbao.clearing.service.account_numbers import account_number
from tongbao.core.errors import AppError, NotFound
from tongbao.parties.schema import Permission
from tongbao.web.merchant import payouts_view as view
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import named
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.ui.forms import Form

PATH = f"{PREFIX}/payouts/accounts"
NUMBER_CHARS_MAX = 64
CODE_CHARS_MAX = 32
NOTE_CHARS_MAX = 500
SCHEMES = ("iban", "local")
FIELDS = {
    "currency_unknown": "currency",
    "iban_invalid": "number",
    "account_number_invalid": "number",
    "holder_invalid": "holder",
    "account_country_invalid": "country",
    "agent_code_invalid": "agent_code",
}
"""Where the form tells what is wrong with an account."""
ACTS: Mapping[str, frozenset[DestinationState]] = {
    "confirm": frozenset({DestinationState.PROPOSED}),
    "pause": frozenset({DestinationState.ACTIVE, DestinationState.COOLING}),
    "mend": frozenset({DestinationState.PAUSED}),
    "retire": frozenset(DestinationState) - {DestinationState.RETIRED},
}
"""What may be done with an account, by how it stands."""
GLYPHS = {"active": "check", "paused": "alert", "proposed": "plus", "cooling": "clock"}


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def accounts(request: Request, merchant: str) -> Response:
        return await _list(await enter(portal, request, merchant, Permission.PAYOUTS_READ))

    @routes.get(f"{PATH}/new", response_model=None)
    async def form(request: Request, merchant: str) -> Response:
        office = await enter(portal, request, merchant, Permission.PAYOUTS_WRITE)
        return _form(office, Form({"currency": office.currency, "scheme": "local"}, office.ui))

    @routes.post(f"{PATH}/new", response_model=None)
    async def propose(request: Request, merchant: str) -> Response:
        return await _propose(await enter(portal, request, merchant, Permission.PAYOUTS_WRITE))

    @routes.get(f"{PATH}/{{account}}", response_model=None)
    async def one(request: Request, merchant: str, account: str) -> Response:
        return await _one(await enter(portal, request, merchant, Permission.PAYOUTS_READ), account)

    @routes.post(f"{PATH}/{{account}}/{{act}}", response_model=None)
    async def act(request: Request, merchant: str, account: str, act: str) -> Response:
        return await _act(await enter(portal, request, merchant, Permission.PAYOUTS_WRITE), account, act)

    return routes


async def _list(office: Office) -> Response:
    found = await office.clearing.destinations.page(office.visitor.scope.book_id)
    rows = [
        (
            office.link(f"/payouts/accounts/{each.reference}", view.masked(each)),
            view.account_state(each, office),
            named(each.holder),
            each.currency,
            office.when(each.usable_at) if each.state is DestinationState.COOLING and each.usable_at else "",
        )
        for each in found
    ]
    return office.page(Shown("payouts_accounts.html", "payouts", {"rows": rows}))


def _form(office: Office, form: Form, status: int = 200) -> Response:
    return office.page(Shown("payouts_account_new.html", "payouts", {"form": form}, status))


async def _propose(office: Office) -> Response:
    form = Form(await office.form(), office.ui)
    currency = form.text("currency", 3, 3).upper()
    holder = form.text("holder", 140)
    scheme = form.choice("scheme", SCHEMES)
    number = form.secret("number", NUMBER_CHARS_MAX)
    agent = form.text("agent_code", CODE_CHARS_MAX, required=False)
    country = form.text("country", 2, required=False).upper()
    note = form.text("note", NOTE_CHARS_MAX, required=False)
    if form.errors:
        return _form(office, form, 422)
    scope = office.visitor.scope
    try:
        checked = account_number(scheme, number, agent, country)
        made = await office.clearing.destinations.propose(
            scope.book_id, currency, checked, holder, actor=scope.actor, note=note
        )
    except AppError as error:
        form.wrong(FIELDS.get(error.code, ""), office.problem(error))
        return _form(office, form, status_of(error))
    return office.done(f"/payouts/accounts/{made.reference}", "account_proposed")


async def _one(
    office: Office, reference: str, form: Form | None = None, failed: str = "", status: int = 200
) -> Response:
    scope, destinations = office.visitor.scope, office.clearing.destinations
    account = await destinations.get(scope.book_id, path_id(DESTINATION_PREFIX, reference))
    trail = await destinations.trail(scope.book_id, account.id)
    names = await office.names()
    t = office.t
    facts: list[tuple[Markup, str | Markup]] = [
        (t("c_holder"), named(account.holder)),
        (t("c_number"), view.masked(account)),
        (t("c_scheme"), t(f"scheme_{account.scheme}")),
        (t("c_currency"), account.currency),
        (t("c_country"), account.country),
        (t("c_agent_code"), named(account.agent_code)),
        (t("c_proposed_by"), office.actor(account.proposed_by, names)),
    ]
    if account.confirmed_by:
        facts.append((t("c_confirmed_by"), office.actor(account.confirmed_by, names)))
    if account.usable_at is not None:
        facts.append((t("c_usable_at"), office.when(account.usable_at)))
    history = [
        Entry(
            at=each.at,
            part=Part.MONEY,
            title=t(f"account_is_{each.state}"),
            line=named(each.note) if not each.actor.startswith("job:") else "",
            who=office.actor(each.actor, names),
            tone=view.ACCOUNT_TONES.get(DestinationState(each.state), "plain"),
            glyph=GLYPHS.get(each.state, "dot"),
        )
        for each in trail
    ]
    shown = {
        "account": account,
        "masked": view.masked(account),
        "state": view.account_state(account, office),
        "facts": [(label, value) for label, value in facts if value],
        "history": history,
        "acts": _acts(office, account),
        "is_own": account.proposed_by == scope.actor,
        "form": form,
        "failed": failed,
        "until": office.written(account.usable_at) if account.usable_at is not None else "",
    }
    return office.page(Shown("payouts_account.html", "payouts", shown, status))


async def _act(office: Office, reference: str, act: str) -> Response:
    if act not in ACTS:
        raise NotFound("act_unknown", "an account has no such act")
    form = Form(await office.form(), office.ui)
    seen = form.whole("version", 1)
    note = form.text("reason", NOTE_CHARS_MAX, required=act != "confirm")
    if form.errors or seen is None:
        return await _one(office, reference, form, act, 422)
    try:
        await _work(office, reference, act, note, seen)()
    except NotFound:
        raise
    except AppError as error:
        form.wrong("", office.problem(error))
        return await _one(office, reference, form, act, status_of(error))
    return office.done(f"/payouts/accounts/{reference}", f"account_{act}")


def _work(
    office: Office, reference: str, act: str, note: str, seen: int
) -> Callable[[], Awaitable[Destination]]:
    scope, destinations = office.visitor.scope, office.clearing.destinations
    account_id = path_id(DESTINATION_PREFIX, reference)

    async def work() -> Destination:
        if act == "confirm":
            return await destinations.confirm(
                scope.book_id, account_id, actor=scope.actor, seen_version=seen, note=note
            )
        if act == "pause":
            return await destinations.pause(scope.book_id, account_id, actor=scope.actor, reason=note)
        if act == "mend":
            return await destinations.mend(scope.book_id, account_id, actor=scope.actor, note=note)
        return await destinations.retire(scope.book_id, account_id, actor=scope.actor, note=note)

    return work


def _acts(office: Office, account: Destination) -> list[str]:
    """Return what the visitor may do with an account as it stands; who proposed one does not confirm it."""
    if not office.visitor.may(Permission.PAYOUTS_WRITE):
        return []
    own = account.proposed_by == office.visitor.scope.actor
    return [act for act, states in ACTS.items() if account.state in states and not (own and act == "confirm")]
