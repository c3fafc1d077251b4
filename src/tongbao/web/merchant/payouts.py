"""``/merchant/{merchant}/payouts``: what came and what comes, day by day, and each payout with its story."""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.clearing.schema.batches import BATCH_PREFIX
from tongbao.clearing.schema.bills import Upcoming
from tongbao.clearing.schema.calendars import SETTLEMENT_DAYS_MAX
from tongbao.clearing.schema.house_lists import PayoutFilter
from tongbao.clearing.schema.payouts import (
    PAYOUT_PREFIX,
    Destination,
    DestinationState,
    Payout,
    PayoutState,
)
from tongbao.core.errors import NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import Permission
from tongbao.web.merchant import payouts_view as view
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import cursor, named
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Query

PATH = f"{PREFIX}/payouts"
ROWS = 20
READ_MAX = 100
MONTH_PAGES_MAX = 10
"""Pages of payouts that are read to find those of one month."""


def router(portal: Portal) -> APIRouter:
    """Return the routes; those of accounts (``payouts_accounts``) come before them."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def payouts(request: Request, merchant: str) -> Response:
        return await _list(await enter(portal, request, merchant, Permission.PAYOUTS_READ))

    @routes.get(f"{PATH}/{{payout}}", response_model=None)
    async def payout(request: Request, merchant: str, payout: str) -> Response:
        return await _one(await enter(portal, request, merchant, Permission.PAYOUTS_READ), payout)

    return routes


async def _list(office: Office) -> Response:
    currencies = await office.currencies()
    currency = office.chosen(currencies)
    accounts = await office.clearing.destinations.page(office.visitor.scope.book_id, currency)
    known = {each.id: each for each in accounts}
    table = view.table(office)
    query = office.query(table)
    if office.wants_csv:
        found = await _all(office, currency, query)
        every = Query(tuple(column.key for column in table.columns))
        rows = [view.plain(each, known, office) for each in found]
        return office.csv(f"payouts-{currency}", table, every, rows)
    found, more = await _payouts(office, currency, query, cursor(query.after, PAYOUT_PREFIX), ROWS)
    month = view.month_of(office.request.query_params.get("month", ""), office.today)
    kept = {"currency": currency} if currency != office.currency else {}
    moved = {"month": month.text} if month.first != office.today.replace(day=1) else {}
    listed = office.listed(
        query,
        table,
        [view.row(each, known, office) for each in found],
        "/payouts",
        after=found[-1].reference if more else "",
        empty="payouts_empty",
        page=kept | moved,
        export=True,
    )
    expected, off, open_years = await _expected(office, currency, month)
    made = await _of_month(office, currency, month)
    coming = await office.clearing.bills.coming(office.visitor.scope, currency)
    shown = {
        "view": listed,
        "tabs": office.currency_tabs(currencies, "/payouts"),
        "month": month,
        "month_text": office.t(
            "month_text", year=month.first.year, month=office.t(f"month_{month.first.month}")
        ),
        "before_href": office.to("/payouts", **(kept | {"month": month.before.text})),
        "after_href": office.to("/payouts", **(kept | {"month": f"{month.until:%Y-%m}"})),
        "heads": view.calendar_heads(office),
        "weeks": view.calendar_rows(month, made, expected, off, office),
        "next": view.next_of(coming),
        "open_years": ", ".join(open_years),
        "currency": currency,
        "account": _in_use(accounts),
        "changing": [each for each in accounts if each.state in _CHANGING],
        "masked": view.masked,
        "account_state": lambda each: view.account_state(each, office),
    }
    return office.page(Shown("payouts.html", "payouts", shown))


_CHANGING = frozenset({DestinationState.PROPOSED, DestinationState.COOLING, DestinationState.PAUSED})


def _in_use(accounts: Sequence[Destination]) -> Destination | None:
    return next((each for each in accounts if each.state is DestinationState.ACTIVE), None)


async def _expected(
    office: Office, currency: str, month: view.Month
) -> tuple[list[Upcoming], dict[date, str], list[str]]:
    """Return the payouts to come of a month, its days off by the calendars agreed on, and years that are not announced."""
    scope, clearing = office.visitor.scope, office.clearing
    holding = await clearing.agreements.at(scope.book_id, currency, office.portal.now())
    days, calendars = clearing.agreements.days, holding.agreement.calendars
    off = days.days_off(calendars, month.first, month.until)
    open_years = [f"{code} {year}" for code, year in days.unannounced(calendars, month.first, month.until)]
    if month.until <= office.today:
        return [], off, open_years
    coming = await clearing.bills.calendar(scope, currency, SETTLEMENT_DAYS_MAX)
    return [each for each in coming if month.first <= each.payout_on < month.until], off, open_years


async def _payouts(
    office: Office, currency: str, query: Query, before: UUID | None, limit: int
) -> tuple[list[Payout], bool]:
    scope, wanted = office.visitor.scope, query.filters.get("state")
    asked = PayoutFilter(
        live=scope.live,
        book_id=scope.book_id,
        currency=currency,
        state=PayoutState(wanted) if wanted else None,
    )
    return await office.clearing.lists.payouts(asked, before=before, limit=limit)


async def _all(office: Office, currency: str, query: Query) -> list[Payout]:
    """Return as many payouts as a file holds, newest first."""
    found: list[Payout] = []
    more = True
    while more and len(found) < EXPORT_ROWS_MAX:
        page, more = await _payouts(office, currency, query, found[-1].id if found else None, READ_MAX)
        found += page
    return found


async def _of_month(office: Office, currency: str, month: view.Month) -> list[Payout]:
    """Return the payouts that go in a month; of a month long ago those that are among the newest."""
    found: list[Payout] = []
    before: UUID | None = None
    for _ in range(MONTH_PAGES_MAX):
        page, more = await _payouts(office, currency, Query(()), before, READ_MAX)
        found += [each for each in page if month.first <= each.due_on < month.until]
        if not more or page[-1].created_at.date() < month.first - timedelta(days=view.WEEK_DAYS):
            break
        before = page[-1].id
    return found


async def _one(office: Office, reference: str) -> Response:
    scope, clearing = office.visitor.scope, office.clearing
    payout = await clearing.paying.get(scope.book_id, path_id(PAYOUT_PREFIX, reference))
    if payout.live != scope.live:
        raise NotFound("payout_unknown", f"no payout {payout.reference} in this mode")
    account = await clearing.destinations.get(scope.book_id, payout.destination_id)
    t = office.t
    batch = uuid_text(BATCH_PREFIX, payout.batch_id)
    facts = [
        (t("c_due_on"), office.day(payout.due_on)),
        (t("c_account"), office.link(f"/payouts/accounts/{account.reference}", view.masked(account))),
        (t("c_holder"), named(account.holder)),
        (t("c_batch"), office.link(f"/settlements/{batch}", t("its_batch"))),
        (t("c_end_to_end"), Markup('<code class="mono">{}</code>').format(payout.end_to_end)),
    ]
    if payout.bank_reference:
        facts.append((t("c_bank_reference"), named(payout.bank_reference)))
    shown = {
        "payout": payout,
        "state": view.state(payout, office),
        "facts": facts,
        "history": view.history(payout, office),
        "is_gone": payout.state in view.GONE,
        "why": view.bank_says(payout, office),
        "account": account,
    }
    return office.page(Shown("payout.html", "payouts", shown))
