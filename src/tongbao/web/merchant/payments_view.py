"""The list of payments as it is read: its table, what an address asks of it, and each payment as a row. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from markupsafe import Markup

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_uuid
from tongbao.core.money import parse_money
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.schema.overviews import Wanted
from tongbao.payments.schema.standing import Standing
from tongbao.web.stories import standing
from tongbao.web.stories.reader import Reader
from tongbao.web.ui import money
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

METHODS = ("card", "wallet", "alipay", "wechat_pay")
DRAWER = "payment-drawer"
WHEN = Callable[[datetime], Markup]
"""Writes an instant as a page does."""


def table(reader: Reader, t: Callable[..., Markup]) -> Table:
    """Return what the table is."""
    states = tuple((each.value, str(reader.t(f"stands_{each}"))) for each in Standing)
    methods = tuple((each, str(reader.method_kind(each))) for each in METHODS)
    return Table(
        "payments",
        str(t("payments")),
        (
            Column("amount", str(t("c_amount")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("what", str(t("c_what"))),
            Column("payer", str(t("c_payer"))),
            Column("method", str(t("c_method"))),
            Column("at", str(t("c_created"))),
            Column("refunded", str(t("c_refunded")), number=True, shown=False),
            Column("channel", str(t("c_channel")), shown=False),
            Column("why", str(t("c_why")), shown=False),
            Column("currency", str(t("c_currency")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter("state", str(t("c_state")), states),
            Filter("method", str(t("c_method")), methods),
            Filter("from", str(t("from_day")), kind="date"),
            Filter("to", str(t("to_day")), kind="date"),
            Filter("least", str(t("least_amount")), kind="text"),
            Filter("most", str(t("most_amount")), kind="text"),
        ),
        search=str(t("payments_search")),
    )


def wanted(query: Query, currency: str, language: str, limit: int) -> Wanted:
    """Return what an address asks for; what cannot be read of it is passed over.

    Days are of UTC, as every instant on these pages; amounts are read as the language writes them in ``currency``.
    """
    asked = query.filters
    amount = amount_of(query.q, currency, language)
    return Wanted(
        limit=limit,
        after=cursor(query.after),
        standing=Standing(asked["state"]) if "state" in asked else None,
        method=asked.get("method"),
        least_minor=amount_of(asked.get("least", ""), currency, language),
        most_minor=amount_of(asked.get("most", ""), currency, language),
        created_from=instant_of(asked.get("from", "")),
        created_to=instant_of(asked.get("to", ""), days=1),
        word=query.q or None,
        amounts=() if amount is None else (amount,),
    )


def rows(views: Sequence[IntentView], reader: Reader, base: str, when: WHEN) -> list[Row]:
    """Return payments as rows of the table; the amount leads to the payment."""
    return [Row(_cells(view, reader, base, when)) for view in views]


def plain_rows(views: Sequence[IntentView], reader: Reader) -> list[dict[str, str]]:
    """Return payments as rows of a file: amounts as a machine reads them, and no address of anything."""
    found = []
    for view in views:
        intent = view.intent
        cells = {key: str(value) for key, value in _words(view, reader).items()}
        amounts = {
            "amount": money.plain_amount(intent.amount_minor, intent.currency),
            "refunded": money.plain_amount(intent.amount_refunded_minor, intent.currency),
        }
        found.append(cells | amounts)
    return found


def amount_of(text: str, currency: str, language: str) -> int | None:
    """Return an amount that somebody wrote, in minor units; None for what is none."""
    if not text or len(text) > 32:
        return None
    try:
        return parse_money(text, currency, money.LOCALES[language]).amount_minor
    except InvalidRequest:
        return None


def instant_of(day: str, days: int = 0) -> datetime | None:
    """Return the beginning of a day, ``days`` later, in UTC; None for what is no day."""
    try:
        found = date.fromisoformat(day)
        return datetime.combine(found + timedelta(days=days), time(), UTC)
    except (ValueError, OverflowError):
        return None


def cursor(text: str, prefix: str = Intent.PREFIX) -> UUID | None:
    """Return the document that a page comes after; None at the first page, and for what is no such place."""
    try:
        return parse_uuid(prefix, text) if text else None
    except ValueError:
        return None


def tag(key: str, tone: str, reader: Reader) -> Markup:
    """Return a state as the kit's tag."""
    return Markup('<span class="tag {}">{}</span>').format(tone, reader.t(key))


def named(text: str | None) -> Markup:
    """Return what somebody else wrote: its direction of writing ends where it ends."""
    return Markup("<bdi>{}</bdi>").format(text) if text else Markup()


def what_of(intent: Intent) -> str:
    """Return what was bought: the merchant's order number and description, as far as there are any."""
    return " · ".join(part for part in (intent.merchant_reference, intent.description) if part)


def _cells(view: IntentView, reader: Reader, base: str, when: WHEN) -> Mapping[str, str | Markup]:
    intent = view.intent
    told = standing.of_payment(intent, view.attempt)
    link = Markup('<a href="{}/payments/{}" data-drawer="#{}">{}</a>').format(
        base, intent.reference, DRAWER, reader.money(intent.amount_minor, intent.currency)
    )
    words = _words(view, reader)
    return {
        **words,
        "amount": link,
        "state": tag(*told, reader),
        "what": named(str(words["what"])),
        "payer": named(str(words["payer"])),
        "at": when(intent.created_at),
        "refunded": reader.money(intent.amount_refunded_minor, intent.currency)
        if intent.amount_refunded_minor
        else "",
        "id": Markup('<code class="mono">{}</code>').format(intent.reference),
    }


def _words(view: IntentView, reader: Reader) -> dict[str, str | Markup]:
    intent, attempt = view.intent, view.attempt
    kinds = intent.method_kinds
    shown = reader.method_short(attempt.method) if attempt is not None else ""
    if not shown and len(kinds) == 1:
        shown = reader.method_kind(kinds[0])
    error = intent.last_error
    return {
        "state": reader.t(standing.of_payment(intent, attempt).key),
        "what": what_of(intent),
        "payer": intent.receipt_email or "",
        "method": shown,
        "at": money.instant(intent.created_at),
        "channel": attempt.channel if attempt is not None else "",
        "why": reader.why(error.reason) if error is not None else "",
        "currency": intent.currency,
        "id": intent.reference,
    }
