"""``/ops/settings``: how this house is set up, and where each of its settings is changed."""

from fastapi import Response

from tongbao.parties.schema import OperatorPermission
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown

PLACES: tuple[tuple[str, str, OperatorPermission], ...] = (
    ("set_cases", "/ops/risk/settings", OperatorPermission.CASES_READ),
    ("set_policies", "/ops/policies", OperatorPermission.OPERATIONS_READ),
    ("set_fees", "/ops/fees", OperatorPermission.BOOKS_READ),
    ("set_people", "/ops/people", OperatorPermission.STAFF_READ),
    ("set_merchants", "/ops/merchants", OperatorPermission.MERCHANTS_READ),
)


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get("/ops/settings", _page, OperatorPermission.SETTINGS_WRITE)


async def _page(desk: Desk) -> Response:
    house, t = desk.house, desk.t
    channels = [
        (
            each.name,
            type(each).__module__.rpartition(".")[2].replace("_", " "),
            t("set_on") if house.channels.is_enabled(each.name) else t("b_off"),
        )
        for each in house.channels.all()
    ]
    facts = [
        (t("set_address"), house.base_url),
        (t("set_clock"), desk.ui.when(house.runtime.clock.now())),
        (t("set_mail"), t("set_yes" if house.proofs.mails else "set_no")),
        (t("set_streams"), desk.ui.count(desk.floor.hub.clients)),
    ]
    doors = [
        (t(key), t(f"{key}_line"), path) for key, path, permission in PLACES if desk.visitor.may(permission)
    ]
    return desk.page(
        Shown("settings.html", "settings", {"facts": facts, "channels": channels, "ways": doors})
    )
