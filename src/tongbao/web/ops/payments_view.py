"""Payments of every merchant as the console lists them: the table, what an address asks of it, each payment as a row."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from markupsafe import Markup

from tongbao.core.ids import parse_uuid
from tongbao.payments.schema.house_overviews import HousePayment, HouseWanted
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.standing import Standing
from tongbao.web.ops.health_reading import Owner
from tongbao.web.ops.rendering_desk import Desk
from tongbao.web.stories import standing
from tongbao.web.ui.money import plain_amount
from tongbao.web.ui.tables import Column, Filter, Query, Table
from tongbao.web.wording import Say

METHODS = ("card", "wallet", "alipay", "wechat_pay")


def table(t: Say, channels: tuple[str, ...], merchants: Mapping[str, str]) -> Table:
    """Return what the list is; ``merchants`` are names by id."""
    states = tuple((each.value, str(t(f"stands_{each}"))) for each in Standing)
    methods = tuple((each, str(t(f"method_{each}"))) for each in METHODS)
    return Table(
        "house-payments",
        str(t("payments")),
        (
            Column("amount", str(t("c_amount")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("merchant", str(t("c_merchant"))),
            Column("method", str(t("c_method"))),
            Column("channel", str(t("c_channel"))),
            Column("why", str(t("c_refused"))),
            Column("at", str(t("c_when"))),
            Column("order", str(t("c_order")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter("state", str(t("c_state")), states),
            Filter("merchant", str(t("c_merchant")), tuple(merchants.items())),
            Filter("method", str(t("c_method")), methods),
            Filter("channel", str(t("c_channel")), tuple((each, each) for each in channels)),
            Filter("from", str(t("from_day")), kind="date"),
            Filter("to", str(t("to_day")), kind="date"),
        ),
        search=str(t("payments_find")),
    )


def wanted(query: Query, books: tuple[int, ...], limit: int) -> HouseWanted:
    """Return what an address asks for; what cannot be read of it is passed over. Days are of UTC."""
    asked = query.filters
    return HouseWanted(
        books=books,
        limit=limit,
        after=_cursor(query.after),
        standing=Standing(asked["state"]) if "state" in asked else None,
        method=asked.get("method"),
        channel=asked.get("channel"),
        created_from=_day(asked.get("from", "")),
        created_to=_day(asked.get("to", ""), 1),
    )


def cells(each: HousePayment, books: Mapping[int, Owner], desk: Desk) -> dict[str, str | Markup]:
    """Return a payment as cells; the amount leads to its story."""
    plain = plain_cells(each, books, desk)
    key, tone = standing.of_payment(each.intent)
    return {
        **plain,
        "amount": Markup('<a href="/ops/payments/{}">{}</a>').format(
            each.intent.reference, desk.ui.money(each.intent.amount_minor, each.intent.currency)
        ),
        "state": Markup('<span class="tag {}">{}</span>').format(tone, desk.reader.t(key)),
        "merchant": Markup("<bdi>{}</bdi>").format(plain["merchant"]),
        "order": Markup("<bdi>{}</bdi>").format(plain["order"]) if plain["order"] else "",
        "id": Markup('<code class="mono">{}</code>').format(plain["id"]),
        "at": Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
            each.intent.created_at.isoformat(), desk.ui.instant(each.intent.created_at), plain["at"]
        ),
    }


def plain_cells(each: HousePayment, books: Mapping[int, Owner], desk: Desk) -> dict[str, str]:
    """Return a payment as plain text, as a file holds it."""
    intent, attempt = each.intent, each.attempt
    owner = books.get(each.book_id)
    return {
        "amount": plain_amount(intent.amount_minor, intent.currency),
        "state": str(desk.reader.t(standing.of_payment(intent).key)),
        "merchant": (owner.merchant.display_name or owner.merchant.name) if owner else "",
        "method": str(desk.reader.method(attempt.method)) if attempt is not None else "",
        "channel": attempt.channel if attempt is not None else "",
        "why": desk.reader.why(intent.last_error.reason) if intent.last_error is not None else "",
        "at": desk.ui.when(intent.created_at, "minute"),
        "order": intent.merchant_reference or "",
        "id": intent.reference,
    }


def _cursor(text: str) -> UUID | None:
    try:
        return parse_uuid(Intent.PREFIX, text) if text else None
    except ValueError:
        return None


def _day(text: str, days: int = 0) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time(), UTC)
    except (ValueError, OverflowError):
        return None
