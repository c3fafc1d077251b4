"""``/ops/merchants``: who is paid through the house; one of them with what was done to it, and what may be done."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import Response
from markupsafe import Markup

from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import int_text, parse_int
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    Merchant,
    MerchantId,
    MerchantState,
    OperatorPermission,
    Package,
)
from tongbao.payments.schema.house_overviews import HouseWanted
from tongbao.web.ops import payments_view
from tongbao.web.ops.rendering_desk import ROWS, Desk, Pages, Shown
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Column, Filter, Query, Row, Table
from tongbao.web.wording import Say

PATH = "/ops/merchants"
TONES = {MerchantState.OPEN: "ok", MerchantState.SUSPENDED: "warn", MerchantState.CLOSED: "plain"}
PAYMENTS_SHOWN = 5
O = OperatorPermission  # noqa: E741  # one letter keeps the routes readable
ACTS = {"suspend": MerchantState.SUSPENDED, "open": MerchantState.OPEN, "close": MerchantState.CLOSED}
POSSIBLE = {
    MerchantState.OPEN: ("suspend", "close"),
    MerchantState.SUSPENDED: ("open", "close"),
    MerchantState.CLOSED: (),
}


def add(pages: Pages) -> None:
    """Add the pages and their acts."""
    pages.get(PATH, _list, O.MERCHANTS_READ)
    pages.get(f"{PATH}/{{merchant}}", _one, O.MERCHANTS_READ)
    pages.post(f"{PATH}/{{merchant}}/state", _set_state, O.MERCHANTS_SUSPEND)
    pages.post(f"{PATH}/{{merchant}}/package", _set_package, O.PACKAGES_WRITE)


def table(t: Say) -> Table:
    """Return what the list is."""
    states = tuple((each.value, str(t(f"ms_{each}"))) for each in MerchantState)
    packages = tuple((each.value, str(t(f"pk_{each}"))) for each in Package)
    return Table(
        "merchants",
        str(t("merchants")),
        (
            Column("name", str(t("c_name")), sortable=True, fixed=True),
            Column("state", str(t("c_state")), sortable=True),
            Column("package", str(t("c_package")), sortable=True),
            Column("country", str(t("c_country")), sortable=True),
            Column("currency", str(t("c_currency"))),
            Column("mcc", str(t("c_mcc"))),
            Column("since", str(t("c_since")), sortable=True),
            Column("id", str(t("c_id")), shown=False),
        ),
        (Filter("state", str(t("c_state")), states), Filter("package", str(t("c_package")), packages)),
        sort="-since",
        search=str(t("merchants_search")),
    )


async def _list(desk: Desk) -> Response:
    shown = table(desk.t)
    query = desk.query(shown)
    found = chosen(
        [each.merchant for each in (await desk.floor.readings.books()).values() if each.live], query
    )
    if desk.wants_csv:
        return desk.csv(shown, query, [_plain(each, desk) for each in found[:EXPORT_ROWS_MAX]])
    start = int(query.after) if query.after.isdecimal() and len(query.after) < 6 else 0
    rows = [Row(_cells(each, desk)) for each in found[start : start + ROWS]]
    after = str(start + ROWS) if start + ROWS < len(found) else ""
    view = desk.table(query, shown, rows, PATH, after, str(desk.t("merchants_empty")))
    return desk.page(
        Shown(
            "list.html",
            "merchants",
            {
                "title": desk.t("merchants"),
                "line": desk.t("merchants_line", n=desk.ui.count(len(found))),
                "view": view,
            },
        )
    )


def chosen(merchants: Sequence[Merchant], query: Query) -> list[Merchant]:
    """Return the merchants that a query asks for, in its order. A word is part of a name, or the whole id."""
    word, asked = query.q.lower(), query.filters
    found = [
        each
        for each in merchants
        if (not word or word in f"{each.name}\n{each.display_name}".lower() or word == reference_of(each))
        and asked.get("state", each.state) == each.state
        and asked.get("package", each.package) == each.package
    ]
    keys: Mapping[str, Any] = {
        "name": lambda each: (each.display_name or each.name).lower(),
        "state": lambda each: each.state,
        "package": lambda each: each.package,
        "country": lambda each: each.country,
        "since": lambda each: (each.created_at, each.merchant_id),
    }
    return sorted(found, key=keys.get(query.sort_key, keys["since"]), reverse=query.falling)


def reference_of(merchant: Merchant) -> str:
    """Return the id of a merchant as people write it."""
    return int_text(MERCHANT_PREFIX, merchant.merchant_id)


def _cells(merchant: Merchant, desk: Desk) -> Mapping[str, str | Markup]:
    reference = reference_of(merchant)
    plain = _plain(merchant, desk)
    name = Markup('<a href="{}/{}"><bdi>{}</bdi></a>').format(PATH, reference, plain["name"])
    return {
        **plain,
        "name": name,
        "state": _state(merchant, desk.t),
        "id": Markup('<code class="mono">{}</code>').format(reference),
    }


def _plain(merchant: Merchant, desk: Desk) -> dict[str, str]:
    return {
        "name": merchant.display_name or merchant.name,
        "state": str(desk.t(f"ms_{merchant.state}")),
        "package": str(desk.t(f"pk_{merchant.package}")),
        "country": merchant.country,
        "currency": merchant.default_currency,
        "mcc": merchant.mcc,
        "since": desk.ui.when(merchant.created_at, "day"),
        "id": reference_of(merchant),
    }


def _state(merchant: Merchant, t: Say) -> Markup:
    return Markup('<span class="tag {}">{}</span>').format(TONES[merchant.state], t(f"ms_{merchant.state}"))


async def _named(desk: Desk) -> Merchant:
    """Return the merchant that the address names; raise NotFound ``merchant_unknown``."""
    try:
        merchant_id = MerchantId(parse_int(MERCHANT_PREFIX, str(desk.request.path_params["merchant"])))
    except ValueError:
        raise NotFound("merchant_unknown", "no merchant has this id") from None
    return await desk.house.parties.merchants.any(desk.visitor.operator, merchant_id)


async def _one(desk: Desk) -> Response:
    return await _answer(desk, await _named(desk))


async def _answer(desk: Desk, merchant: Merchant, status: int = 200, wrong: str = "") -> Response:
    merchants, operator = desk.house.parties.merchants, desk.visitor.operator
    history = await merchants.history(operator, merchant.merchant_id)
    books = await desk.floor.readings.books()
    context = {
        "merchant": merchant,
        "title": merchant.display_name or merchant.name,
        "state": _state(merchant, desk.t),
        "reference": reference_of(merchant),
        "features": sorted(
            str(desk.word(f"ft_{each}", each)) for each in await merchants.features_of(operator, merchant)
        ),
        "acts": [
            (each, desk.t(f"do_{each}"), "danger" if each != "open" else "primary")
            for each in POSSIBLE[merchant.state]
        ]
        if desk.visitor.may(O.MERCHANTS_SUSPEND)
        else [],
        "packages": [(each.value, desk.t(f"pk_{each}")) for each in Package]
        if desk.visitor.may(O.PACKAGES_WRITE)
        else [],
        "wrong": wrong,
        "history": [_entry(each, desk) for each in reversed(history)],
        "payments": [],
    }
    if desk.visitor.may(O.OPERATIONS_READ):
        wanted = HouseWanted(books=(merchant.live_book_id, merchant.test_book_id), limit=PAYMENTS_SHOWN)
        page = await desk.floor.readings.overviews.newest(wanted)
        context["payments"] = [payments_view.cells(each, books, desk) for each in page.items]
    return desk.page(
        Shown("merchant.html", "merchants", {**context, "merchant": None, "about": merchant}, status)
    )


def _entry(event: Mapping[str, object], desk: Desk) -> dict[str, object]:
    act, reason, at = str(event["act"]), str(event["reason"]), event["occurred_at"]
    assert isinstance(at, datetime)
    return {
        "at": at,
        "title": desk.word(f"act_{act.partition('=')[0]}", act),
        "line": Markup("<bdi>{}</bdi>").format(reason) if reason else "",
        "who": desk.who(str(event["actor"])),
        "tone": {"open": "ok", "suspended": "warn", "closed": "error"}.get(act, "plain"),
    }


async def _set_state(desk: Desk) -> Response:
    fields = await desk.form()
    merchant = await _named(desk)
    act = fields.get("act", "")
    if act not in ACTS:
        raise NotFound("act_unknown", "a merchant has no such act")
    try:
        async with desk.house.runtime.database.transaction() as connection:
            await desk.house.parties.merchants.set_state(
                connection,
                desk.visitor.operator,
                merchant.merchant_id,
                ACTS[act],
                _version(fields),
                fields.get("reason", "").strip(),
            )
    except AppError as error:
        return await _answer(desk, merchant, desk.wrong(error), act)
    desk.floor.readings.forget_books()
    return desk.done(f"{PATH}/{reference_of(merchant)}", f"merchant_{act}")


async def _set_package(desk: Desk) -> Response:
    fields = await desk.form()
    merchant = await _named(desk)
    if fields.get("package") not in set(Package):
        raise NotFound("package_unknown", "no such package is sold")
    try:
        async with desk.house.runtime.database.transaction() as connection:
            await desk.house.parties.merchants.set_package(
                connection,
                desk.visitor.operator,
                merchant.merchant_id,
                Package(fields["package"]),
                _version(fields),
            )
    except AppError as error:
        return await _answer(desk, merchant, desk.wrong(error), "package")
    desk.floor.readings.forget_books()
    return desk.done(f"{PATH}/{reference_of(merchant)}", "merchant_package")


def _version(fields: Mapping[str, str]) -> int:
    """Return the version that the visitor has seen; none for what is no number, which then is not the current one."""
    text = fields.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0
