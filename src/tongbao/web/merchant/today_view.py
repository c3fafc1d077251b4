"""The day of a merchant in words and drawings. Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastapi import Request
from markupsafe import Markup

from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.bills import Upcoming
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.schema.overviews import Rail
from tongbao.web import pages
from tongbao.web.merchant.payments_view import named, tag, what_of
from tongbao.web.merchant.portal import Desk, text
from tongbao.web.merchant.today_figures import TARGET_SHARE, Back, Share, Taken
from tongbao.web.stories import standing
from tongbao.web.ui.charts_bars import dots
from tongbao.web.ui.charts_lines import spark
from tongbao.web.ui.figure import Axis, Figure

ABSENT = "—"


class Tile(NamedTuple):
    """One key figure as the kit draws it."""

    value: str | Markup
    note: str | Markup
    tone: str = ""
    spark: Markup | str = ""


def language_of(request: Request) -> str:
    """Return the reader's language."""
    return pages.preferences(request).language


def words(language: str) -> Callable[..., Markup]:
    """Return the function that gives a text of the portal by its key."""
    return lambda key, **values: text(language, key, **values)


def taken(found: Taken, desk: Desk) -> Tile:
    """Return what was taken today against the same weekday a week ago."""
    before = desk.ui.money(found.before_minor, desk.currency)
    if found.change is None:
        note = desk.t("taken_first")
    else:
        note = desk.t("taken_against", change=desk.ui.percent(found.change, 0, sign=True), before=before)
    if found.others:
        more = ", ".join(desk.ui.money(minor, code) for code, minor in found.others)
        note = Markup("{} {}").format(note, desk.t("taken_others", more=more))
    return Tile(taken_now(found, desk), note, spark=_spark(found.by_hour))


def taken_now(found: Taken, desk: Desk) -> Markup:
    """Return the sum of today alone, which is brought up to date."""
    return Markup("{}").format(desk.ui.money(found.today_minor, desk.currency))


def approval(found: Share, desk: Desk) -> Tile:
    """Return the share of payments with a yes, with its interval."""
    if found.value is None:
        return Tile(ABSENT, desk.t("approval_none"))
    note = desk.t(
        "approval_interval",
        low=desk.ui.percent(found.low, 0),
        high=desk.ui.percent(found.high, 0),
        cases=desk.ui.count(found.cases),
    )
    # Only where even the favorable end of the interval is too low is there something to be alarmed about.
    tone = "warn" if found.high < TARGET_SHARE else ""
    return Tile(desk.ui.percent(found.value), note, tone, _spark(found.by_day))


def back(found: Back, desk: Desk) -> Tile:
    """Return what went back today."""
    counts = (
        desk.plural("count_refunds", found.refund_count),
        desk.plural("count_disputes", found.dispute_count),
    )
    note = desk.t("back_line", refunds=counts[0], disputes=counts[1])
    amount = desk.ui.money(found.refund_minor + found.dispute_minor, desk.currency)
    return Tile(amount, note, "error" if found.dispute_count else "", _spark(found.by_day))


def payout(coming: Sequence[Upcoming], batches: Sequence[Batch], desk: Desk) -> Tile:
    """Return the next payout and its day; the small line is of those before."""
    before = _spark([batch.paid_minor for batch in reversed(batches)])
    if not coming:
        return Tile(ABSENT, desk.t("payout_none"), spark=before)
    first = min(coming, key=lambda each: (each.payout_on, each.cut_at))
    expected = first.expected_minor if first.expected_minor is not None else first.amount_minor
    key = "payout_fixed" if first.is_fixed else "payout_expected"
    if first.payout_on < desk.portal.now().date():
        key = "payout_late"
    note = desk.t(key, day=first.payout_on.isoformat())
    return Tile(desk.ui.money(expected, first.currency), note, spark=before)


def rails(found: Sequence[tuple[Rail, float]], desk: Desk) -> Figure | None:
    """Return how each way to pay does against the target; None where nothing was tried."""
    if not found:
        return None
    axis = Axis(str(desk.t("rails_caption")), str(desk.t("rail")), lambda share: desk.ui.percent(share, 0))
    items = [(f"{desk.reader.method_kind(rail.method)} · {rail.channel}", share) for rail, share in found]
    low = min(0.5, *(share for _, share in items)) if len(items) > 1 else min(0.5, items[0][1])
    bounded = Axis(axis.caption, axis.head, axis.text, low=low, high=1.0)
    return dots(items, TARGET_SHARE, bounded, (str(desk.t("share_yes")), str(desk.t("target"))))


def latest(views: Sequence[IntentView], desk: Desk) -> Markup:
    """Return the latest payments as a table, which is brought up to date."""
    if not views:
        return Markup('<p class="mut">{}</p>').format(desk.t("payments_empty"))
    heads = Markup().join(
        Markup('<th scope="col">{}</th>').format(desk.t(key))
        for key in ("c_amount", "c_state", "c_what", "c_method", "c_when")
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{0}"><table class="cards">'
        '<caption class="vh">{0}</caption><thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>'
    ).format(desk.t("latest"), heads, Markup().join(_row(each, desk) for each in views))


def _row(view: IntentView, desk: Desk) -> Markup:
    intent, attempt = view.intent, view.attempt
    return Markup('<tr><th scope="row" data-label="{}"><a href="{}">{}</a></th>{}</tr>').format(
        desk.t("c_amount"),
        desk.to(f"/payments/{intent.reference}"),
        desk.ui.money(intent.amount_minor, intent.currency),
        Markup().join(
            Markup('<td data-label="{}"{}>{}</td>').format(
                desk.t(key), "" if value else Markup(' class="empty-cell"'), value
            )
            for key, value in (
                ("c_state", tag(*standing.of_payment(intent, attempt), desk.reader)),
                ("c_what", named(what_of(intent) or intent.receipt_email)),
                ("c_method", desk.reader.method_short(attempt.method) if attempt is not None else ""),
                ("c_when", desk.when(intent.created_at)),
            )
        ),
    )


def _spark(values: Sequence[float]) -> Markup:
    """Return the small line; nothing of fewer than two values, or of nothing."""
    return spark(values) if len(values) > 1 and any(values) else Markup()
