"""What the portal's lists of documents share: all of them for a file, and until when one is to be answered."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from markupsafe import Markup
from msgspec import structs

from tongbao.parties.schema import Scope
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.orders import Page, PageOrder
from tongbao.web.merchant.portal import Desk
from tongbao.web.ui.tables import EXPORT_ROWS_MAX

PAGE_MAX = 100

Kept = TypeVar("Kept", bound=Document)


async def every(
    page: Callable[[Scope, PageOrder], Awaitable[Page[Kept]]], scope: Scope, order: PageOrder
) -> list[Kept]:
    """Return as many documents of an order as a file holds, newest first, whatever the limit of the order is."""
    found: list[Kept] = []
    wanted = structs.replace(order, limit=PAGE_MAX)
    while len(found) < EXPORT_ROWS_MAX:
        part = await page(scope, wanted)
        found += part.items
        if not part.has_more:
            break
        wanted = structs.replace(wanted, after=part.items[-1].id)
    return found


def due(desk: Desk, until: datetime, soon: timedelta, tone: str) -> Markup:
    """Return the day until when to answer, in words where it is over, in ``tone`` where it is ``soon``."""
    day, left = desk.when(until, "day"), until - desk.portal.now()
    if left < timedelta(0):
        return Markup('{} <span class="tag error">{}</span>').format(day, desk.t("is_over"))
    return Markup('{} <span class="tag {}">{}</span>').format(
        day, tone if left < soon else "plain", desk.t("days_left", count=left.days)
    )
