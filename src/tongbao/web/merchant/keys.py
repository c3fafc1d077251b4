"""``/merchant/{merchant}/keys``: what programs of the merchant sign in with: made, narrowed, replaced, revoked."""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.core.db import Connection
from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import (
    KEY_PREFIX,
    PAGE_SIZE_MAX,
    ApiKey,
    IssuedKey,
    KeyDraft,
    KeyId,
    KeyKind,
    PageRequest,
    Permission,
)
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import cursor, named
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.ui.forms import Form
from tongbao.web.ui.tables import Column, Row, Table

PATH = f"{PREFIX}/keys"
LABEL_CHARS_MAX = 80
NETWORKS_CHARS_MAX = 2_000
REASON_CHARS_MAX = 500
KINDS = tuple(each.value for each in KeyKind)
ENDS = {"": None, "30": 30, "90": 90, "365": 365}
OVERLAPS = {"0": 0, "24": 24, "72": 72, "168": 168}
"""Hours for which a key that is replaced goes on."""
FORM_FIELDS_MAX = 80
FIELDS = {"label": "label", "allowed_addresses": "networks", "permissions": "permissions"}
_log = structlog.get_logger(__name__)


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def keys(request: Request, merchant: str) -> Response:
        return await _list(await enter(portal, request, merchant, Permission.KEYS_READ))

    @routes.get(f"{PATH}/new", response_model=None)
    async def form(request: Request, merchant: str) -> Response:
        office = await enter(portal, request, merchant, Permission.KEYS_WRITE)
        return _form(office, Form({"kind": KeyKind.SECRET.value}, office.ui))

    @routes.post(f"{PATH}/new", response_model=None)
    async def create(request: Request, merchant: str) -> Response:
        return await _create(await enter(portal, request, merchant, Permission.KEYS_WRITE))

    @routes.get(f"{PATH}/{{key}}", response_model=None)
    async def one(request: Request, merchant: str, key: str) -> Response:
        return await _one(await enter(portal, request, merchant, Permission.KEYS_READ), key)

    @routes.post(f"{PATH}/{{key}}/{{act}}", response_model=None)
    async def act(request: Request, merchant: str, key: str, act: str) -> Response:
        return await _act(await enter(portal, request, merchant, Permission.KEYS_WRITE), key, act)

    return routes


async def _list(office: Office) -> Response:
    t = office.t
    table = Table(
        "keys",
        str(t("keys")),
        (
            Column("label", str(t("c_key")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("kind", str(t("c_kind"))),
            Column("used", str(t("c_used"))),
            Column("made", str(t("c_made"))),
            Column("ends", str(t("c_ends"))),
        ),
    )
    query = office.query(table)
    after = cursor(query.after, KEY_PREFIX)
    page = await office.portal.house.parties.keys.list(
        office.visitor.scope,
        PageRequest(limit=PAGE_SIZE_MAX, starting_after=KeyId(after) if after is not None else None),
    )
    rows = [Row(_cells(each, office)) for each in page.items]
    last = uuid_text(KEY_PREFIX, page.items[-1].key_id) if page.has_more else ""
    shown = {
        "view": office.listed(query, table, rows, "/keys", after=last, empty="keys_empty"),
        "can_write": office.visitor.may(Permission.KEYS_WRITE),
    }
    return office.page(Shown("keys.html", "keys", shown))


def _cells(key: ApiKey, office: Office) -> dict[str, str | Markup]:
    name = Markup('{} <code class="mono">{}…{}</code>').format(named(key.label), key.prefix, key.last4)
    return {
        "label": office.link(f"/keys/{uuid_text(KEY_PREFIX, key.key_id)}", name),
        "state": state(key, office),
        "kind": office.t(f"key_{key.kind}"),
        "used": office.written(key.last_used_at) if key.last_used_at is not None else office.t("never"),
        "made": office.written(key.created_at, "day"),
        "ends": office.written(key.expires_at) if key.expires_at is not None else "",
    }


def state(key: ApiKey, office: Office) -> Markup:
    """Return whether a key opens, as a tag."""
    if key.revoked_at is not None:
        return office.tag("key_is_revoked", "error")
    if key.expires_at is not None and key.expires_at <= office.portal.now():
        return office.tag("key_is_expired", "plain")
    return office.tag("key_is_replaced", "warn") if key.replaced_by else office.tag("key_is_alive", "ok")


def _form(office: Office, form: Form, chosen: Sequence[str] = (), status: int = 200) -> Response:
    held = office.visitor.scope.permissions
    offered = [each.value for each in Permission if each.value in held and "." in each.value]
    kinds = [(each, office.t(f"key_{each}"), office.t(f"key_{each}_line")) for each in KINDS]
    shown = {
        "form": form,
        "kinds": kinds,
        "bundles": _grouped(office, offered),
        "chosen": frozenset(chosen),
        "ends": [(each or "", office.t(f"key_ends_{each or 'never'}")) for each in ENDS],
    }
    return office.page(Shown("key_new.html", "keys", shown, status))


def _grouped(office: Office, values: Sequence[str]) -> list[tuple[object, list[tuple[str, object]]]]:
    """Return permissions by what they are about."""
    groups: dict[str, list[tuple[str, object]]] = {}
    for value in values:
        about, _, verb = value.partition(".")
        groups.setdefault(about, []).append((value, office.t(f"verb_{verb}")))
    return [(office.t(f"about_{about}"), found) for about, found in groups.items()]


async def _create(office: Office) -> Response:
    fields = await office.portal.guards.form(office.request, office.visitor, fields_max=FORM_FIELDS_MAX)
    form = Form(fields, office.ui)
    kind = form.choice("kind", KINDS)
    label = form.text("label", LABEL_CHARS_MAX)
    networks = form.text("networks", NETWORKS_CHARS_MAX, required=False)
    days = ENDS.get(form.choice("ends", ENDS, required=False))
    chosen = [each.value for each in Permission if form.checked(f"may_{each.value}")]
    is_narrow = kind == KeyKind.RESTRICTED
    if is_narrow and not chosen:
        form.wrong("permissions", office.t("p_permissions_missing"))
    if form.errors:
        return _form(office, form, chosen, 422)
    draft = KeyDraft(
        kind=KeyKind(kind),
        label=label,
        permissions=frozenset(map(Permission, chosen)) if is_narrow else frozenset(),
        allowed_addresses=tuple(networks.replace(",", " ").split()),
        expires_at=None if days is None else office.portal.now() + timedelta(days=days),
    )
    issued: list[IssuedKey] = []
    scope, keys = office.visitor.scope, office.portal.house.parties.keys

    async def work(connection: Connection) -> None:
        issued.append(await keys.create(connection, scope, draft))

    try:
        is_new = await office.once("key", fields, work)
    except AppError as error:
        form.wrong(FIELDS.get(str(error.facts.get("field", "")), ""), office.problem(error))
        return _form(office, form, chosen, status_of(error))
    return _told(office, issued[0]) if is_new else office.done("/keys", "key_made_before")


def _told(office: Office, issued: IssuedKey) -> Response:
    """Answer the page that shows a key's text, this one time."""
    shown = {
        "secret": issued.text.get_secret_value(),
        "key": issued.key,
        "reference": uuid_text(KEY_PREFIX, issued.key.key_id),
        "is_public": issued.key.kind is KeyKind.PUBLISHABLE,
    }
    return office.page(Shown("key_made.html", "keys", shown))


async def _one(office: Office, reference: str, form: Form | None = None, status: int = 200) -> Response:
    key = await office.portal.house.parties.keys.get(
        office.visitor.scope, KeyId(path_id(KEY_PREFIX, reference))
    )
    names = await office.names()
    t = office.t
    facts: list[tuple[Markup, str | Markup]] = [
        (t("c_kind"), t(f"key_{key.kind}")),
        (t("c_made"), office.when(key.created_at)),
        (t("c_made_by"), office.actor(key.created_by, names)),
        (t("c_used"), office.when(key.last_used_at) if key.last_used_at is not None else t("never")),
        (t("c_networks"), Markup("<br>").join(key.allowed_addresses) or t("anywhere")),
    ]
    if key.expires_at is not None:
        facts.append((t("c_ends"), office.when(key.expires_at)))
    if key.revoked_at is not None:
        facts.append((t("key_is_revoked"), office.when(key.revoked_at)))
    if key.replaced_by is not None:
        new = uuid_text(KEY_PREFIX, key.replaced_by)
        facts.append(
            (
                t("c_replaced_by"),
                office.link(f"/keys/{new}", Markup('<span class="mono">{}</span>').format(new)),
            )
        )
    is_alive = key.revoked_at is None and (key.expires_at is None or key.expires_at > office.portal.now())
    can_write = office.visitor.may(Permission.KEYS_WRITE)
    shown = {
        "key": key,
        "reference": reference,
        "name": named(key.label) or t("key"),
        "state": state(key, office),
        "facts": facts,
        "bundles": _grouped(office, sorted(each.value for each in key.permissions))
        if key.kind is KeyKind.RESTRICTED
        else [],
        "can_replace": can_write and is_alive and key.replaced_by is None,
        "can_revoke": can_write and key.revoked_at is None,
        "overlaps": [(each, t(f"overlap_{each}")) for each in OVERLAPS],
        "form": form or Form({}, office.ui),
    }
    return office.page(Shown("key.html", "keys", shown, status))


async def _act(office: Office, reference: str, act: str) -> Response:
    key_id = KeyId(path_id(KEY_PREFIX, reference))
    fields = await office.form()
    form = Form(fields, office.ui)
    scope, keys = office.visitor.scope, office.portal.house.parties.keys
    if act not in {"roll", "revoke"}:
        raise NotFound("act_unknown", "a key has no such act")
    overlap = form.choice("overlap", OVERLAPS) if act == "roll" else ""
    reason = form.text("reason", REASON_CHARS_MAX) if act == "revoke" else ""
    if form.errors:
        return await _one(office, reference, form, 422)
    issued: list[IssuedKey] = []

    async def work(connection: Connection) -> None:
        if act == "roll":
            life = timedelta(hours=OVERLAPS[overlap])
            issued.append(await keys.rotate(connection, scope, key_id, life))
        else:
            await keys.revoke(connection, scope, key_id)

    try:
        is_new = await office.once(act, fields, work)
    except NotFound:
        raise
    except AppError as error:
        form.wrong("", office.problem(error))
        return await _one(office, reference, form, status_of(error))
    if act == "roll":
        return _told(office, issued[0]) if is_new else office.done("/keys", "key_made_before")
    _log.info("key_revoked", key=reference, actor=scope.actor, reason=reason)
    return office.done(f"/keys/{reference}", "key_revoked")
