"""``/ops/people``: who works for the house, with which roles, and what each role may do."""

from fastapi import Response
from markupsafe import Markup

from tongbao.parties.schema import OperatorPermission, OperatorRole
from tongbao.parties.service.access import roles_with
from tongbao.web.locale import frames as frame_words
from tongbao.web.locale.ledger import LANGUAGES
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown

TICK = "✓"


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get("/ops/people", _page, OperatorPermission.STAFF_READ)


def role_text(role: str, language: str) -> str:
    """Return what a role is called."""
    known = frame_words.TEXTS.get(f"role_{role}")
    return known[LANGUAGES.index(language)] if known else role


async def _page(desk: Desk) -> Response:
    staff = await desk.house.parties.people.staff(desk.visitor.operator)
    people = [
        (
            Markup("<bdi>{}</bdi>").format(each.person.name),
            Markup("<bdi>{}</bdi>").format(each.person.email),
            " · ".join(role_text(role, desk.language) for role in each.roles) or "—",
            Markup('<span class="tag {}">{}</span>').format(
                *(("plain", desk.t("pp_off")) if each.person.disabled_at else ("ok", desk.t("pp_on")))
            ),
        )
        for each in staff
    ]
    held = {each: frozenset(roles_with(each)) for each in OperatorPermission}
    matrix = [
        (
            desk.word(f"may_{each.replace('.', '_')}", each.value),
            *(TICK if role in held[each] else "" for role in OperatorRole),
        )
        for each in OperatorPermission
    ]
    context = {
        "people": people,
        "matrix": matrix,
        "roles": [role_text(role, desk.language) for role in OperatorRole],
    }
    return desk.page(Shown("people.html", "people", context))
