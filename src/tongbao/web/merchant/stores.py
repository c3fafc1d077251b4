"""``/merchant/{merchant}/stores``: the places of a merchant, opened, changed and closed; they serve both modes."""

from zoneinfo import available_timezones

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.core.db import Connection
from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import (
    PAGE_SIZE_MAX,
    STORE_PREFIX,
    Address,
    PageRequest,
    Permission,
    Store,
    StoreChange,
    StoreDraft,
    StoreId,
    StoreState,
)
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import cursor, named
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.ui.forms import Form
from tongbao.web.ui.tables import Column, Row, Table

PATH = f"{PREFIX}/stores"
NEW = "new"
NAME_CHARS_MAX = 200
LINE_CHARS_MAX = 200
ADDRESS_FIELDS = ("line1", "line2", "city", "region", "postal_code", "country")
NEAR_ZONES = (
    *("Asia/Shanghai", "Asia/Hong_Kong", "Asia/Singapore", "Asia/Tokyo", "Europe/London"),
    *("Europe/Berlin", "America/New_York", "America/Los_Angeles", "UTC"),
)


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def stores(request: Request, merchant: str) -> Response:
        return await _list(await enter(portal, request, merchant, Permission.MERCHANT_READ))

    @routes.get(f"{PATH}/{{store}}", response_model=None)
    async def store(request: Request, merchant: str, store: str) -> Response:
        office = await enter(portal, request, merchant, Permission.MERCHANT_READ)
        known = await _known(office, store)
        return _form(office, known, Form(_fields(office, known), office.ui))

    @routes.post(f"{PATH}/{{store}}", response_model=None)
    async def keep(request: Request, merchant: str, store: str) -> Response:
        return await _keep(await enter(portal, request, merchant, Permission.MERCHANT_WRITE), store)

    @routes.post(f"{PATH}/{{store}}/{{act}}", response_model=None)
    async def act(request: Request, merchant: str, store: str, act: str) -> Response:
        return await _act(await enter(portal, request, merchant, Permission.MERCHANT_WRITE), store, act)

    return routes


async def _list(office: Office) -> Response:
    t = office.t
    table = Table(
        "stores",
        str(t("stores")),
        (
            Column("name", str(t("c_store")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("address", str(t("c_address"))),
            Column("zone", str(t("c_zone"))),
            Column("opened", str(t("c_opened"))),
        ),
    )
    query = office.query(table)
    after = cursor(query.after, STORE_PREFIX)
    page = await office.portal.house.parties.stores.list(
        office.visitor.scope,
        PageRequest(limit=PAGE_SIZE_MAX, starting_after=StoreId(after) if after is not None else None),
    )
    rows = [Row(_cells(each, office)) for each in page.items]
    last = uuid_text(STORE_PREFIX, page.items[-1].store_id) if page.has_more else ""
    shown = office.listed(query, table, rows, "/stores", after=last, empty="stores_empty")
    return office.page(Shown("stores.html", "stores", {"view": shown, "can_write": _can_write(office)}))


def _cells(store: Store, office: Office) -> dict[str, str | Markup]:
    tone = "ok" if store.state is StoreState.OPEN else "plain"
    return {
        "name": office.link(f"/stores/{uuid_text(STORE_PREFIX, store.store_id)}", named(store.name)),
        "state": office.tag(f"store_{store.state}", tone),
        "address": named(", ".join(filter(None, (store.address.line1, store.address.city)))),
        "zone": store.timezone,
        "opened": office.written(store.created_at, "day"),
    }


async def _known(office: Office, reference: str) -> Store | None:
    """Return the store of an address; None for the page of a new one."""
    if reference == NEW:
        return None
    store_id = StoreId(path_id(STORE_PREFIX, reference))
    return await office.portal.house.parties.stores.get(office.visitor.scope, store_id)


def _fields(office: Office, store: Store | None) -> dict[str, str]:
    if store is None:
        return {"timezone": office.visitor.merchant.timezone, "country": office.visitor.merchant.country}
    kept = {name: getattr(store.address, name) for name in ADDRESS_FIELDS}
    return kept | {"name": store.name, "timezone": store.timezone}


def _form(office: Office, store: Store | None, form: Form, status: int = 200) -> Response:
    zones = dict.fromkeys((form["timezone"], *NEAR_ZONES))
    shown = {
        "store": store,
        "reference": NEW if store is None else uuid_text(STORE_PREFIX, store.store_id),
        "form": form,
        "zones": [(each, each) for each in zones if each],
        "can_write": _can_write(office),
        "is_open": store is not None and store.state is StoreState.OPEN,
    }
    return office.page(Shown("store.html", "stores", shown, status))


def _can_write(office: Office) -> bool:
    """Return whether a visitor may change stores here: they are real, so in live mode."""
    return office.visitor.scope.live and office.visitor.may(Permission.MERCHANT_WRITE)


async def _keep(office: Office, reference: str) -> Response:
    store = await _known(office, reference)
    fields = await office.form()
    form = Form(fields, office.ui)
    name = form.text("name", NAME_CHARS_MAX)
    zone = form.choice("timezone", available_timezones())
    given = {each: form.text(each, LINE_CHARS_MAX, required=False) for each in ADDRESS_FIELDS}
    if form.errors:
        return _form(office, store, form, 422)
    address = Address(**(given | {"country": given["country"].upper()}))
    scope, stores = office.visitor.scope, office.portal.house.parties.stores

    async def work(connection: Connection) -> Store:
        if store is None:
            return await stores.create(
                connection, scope, StoreDraft(name=name, address=address, timezone=zone)
            )
        change = StoreChange(name=name, address=address, timezone=zone)
        return await stores.change(connection, scope, store.store_id, change)

    try:
        await office.once("store", fields, work)
    except AppError as error:
        form.wrong(_field_of(error), office.problem(error))
        return _form(office, store, form, status_of(error))
    return office.done("/stores", "store_opened" if store is None else "store_kept")


def _field_of(error: AppError) -> str:
    """Return the field that a service refuses, where the form has it."""
    named_field = str(error.facts.get("field", "")).rpartition(".")[2]
    return named_field if named_field in {"name", "timezone", *ADDRESS_FIELDS} else ""


async def _act(office: Office, reference: str, act: str) -> Response:
    wanted = {"close": StoreState.CLOSED, "open": StoreState.OPEN}.get(act)
    store = await _known(office, reference)
    if wanted is None or store is None:
        raise NotFound("act_unknown", "a store has no such act")
    fields = await office.form()
    scope, stores = office.visitor.scope, office.portal.house.parties.stores

    async def work(connection: Connection) -> Store:
        return await stores.change(connection, scope, store.store_id, StoreChange(state=wanted))

    try:
        await office.once(act, fields, work)
    except AppError as error:
        form = Form(_fields(office, store), office.ui)
        form.wrong("", office.problem(error))
        return _form(office, store, form, status_of(error))
    return office.done(f"/stores/{reference}", f"store_{wanted}")
