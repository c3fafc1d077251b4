"""``/ops/payouts``: money on its way to merchants over all books, and the accounts it goes to, each changed by two people."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.house_lists import LIST_PAGE_MAX, PayoutFilter
from tongbao.clearing.schema.payouts import (
    DESTINATION_PREFIX,
    PAYOUT_PREFIX,
    Destination,
    DestinationState,
    Payout,
    PayoutState,
)
from tongbao.clearing.service.account_changes import AccountChanges
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import uuid_text
from tongbao.web.ops import payouts_view as view
from tongbao.web.ops.batches import CODE_CHARS
from tongbao.web.ops.money_desk import (
    MODES,
    ROWS,
    Desk,
    Failed,
    Money,
    O,
    PageRoute,
    Shown,
    path_book,
    path_id,
    said,
    version_of,
)
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Query

PATH, ACCOUNTS = view.PATH, view.ACCOUNTS
ENDS = (PayoutState.PAID.value, PayoutState.REJECTED.value)
ACCOUNT_STATES = tuple(each.value for each in DestinationState)


def router(money: Money) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    payouts, accounts = _Payouts(money), _Accounts(money)
    # Accounts first: their address has as many parts as one of a payout.
    account = f"{ACCOUNTS}/{{book}}/{{account}}"
    for path, answer, method in (
        (ACCOUNTS, accounts.show, "GET"),
        (account, accounts.one, "GET"),
        (f"{account}/{{act}}", accounts.act, "POST"),
        (PATH, payouts.show, "GET"),
        (f"{PATH}/{{book}}/{{payout}}", payouts.one, "GET"),
        (f"{PATH}/{{book}}/{{payout}}/{{act}}", payouts.act, "POST"),
    ):
        routes.add_api_route(path, answer, methods=[method], response_model=None)
    return routes


class _Payouts:
    """Answers the pages of payouts and their acts."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._paying = money.clearing.paying
        self._lists = money.clearing.lists

    async def show(self, request: Request) -> Response:
        """Answer the list."""
        desk = await self._money.desk(request)
        table = view.table(desk)
        query = desk.query(table)
        asked = _wanted(query)
        if desk.wants_csv:
            every = await self._all(asked)
            names = await self._money.merchants(each.book_id for each in every)
            return desk.csv("payouts", table, [view.plain_row(each, desk, names) for each in every])
        found, more = await self._lists.payouts(asked, before=_before(query.after, PAYOUT_PREFIX), limit=ROWS)
        names = await self._money.merchants(each.book_id for each in found)
        rows = view.rows(found, desk, names)
        after = found[-1].reference if more else ""
        context = {
            "view": desk.table(query, table, rows, after, str(desk.t("payouts_empty"))),
            "near": desk.near("out"),
        }
        return desk.page(Shown("payouts.html", "payouts", context))

    async def one(self, request: Request, book: str, payout: str) -> Response:
        """Answer one payout."""
        return await self._one(await self._money.desk(request), book, payout)

    async def act(self, request: Request, book: str, payout: str, act: str) -> Response:
        """Take a payout back that was not sent, or say what became of one that nobody knows of."""
        desk = await self._money.desk(request, O.SETTLEMENTS_APPROVE)
        if act not in {"cancel", "resolve"}:
            raise NotFound("act_unknown", "a payout has no such act")
        book_id, payout_id = path_book(book), path_id(PAYOUT_PREFIX, payout)

        async def do(fields: Mapping[str, str]) -> str:
            note = fields.get("reason", "").strip()
            if act == "cancel":
                made = await self._paying.cancel(book_id, payout_id, actor=desk.actor, note=note)
                return said(view.address(made), "payout_canceled")
            if fields.get("state", "") not in ENDS:
                raise InvalidRequest("resolution_invalid", "say whether it was paid or rejected")
            state = PayoutState(fields["state"])
            made = await self._paying.resolve(book_id, payout_id, state, actor=desk.actor, note=note)
            return said(view.address(made), "payout_first" if made.resolving else "payout_resolved")

        async def again(failed: Failed) -> Response:
            return await self._one(desk, book, payout, failed, act)

        return await desk.act(do, again)

    async def _one(
        self, desk: Desk, book: str, payout: str, failed: Failed | None = None, act: str = ""
    ) -> Response:
        found = await self._paying.get(path_book(book), path_id(PAYOUT_PREFIX, payout))
        names = await self._money.merchants([found.book_id])
        destination = await self._money.clearing.destinations.get(found.book_id, found.destination_id)
        context = {
            "payout": found,
            "state": view.state_tag(found, desk) + desk.mode(found.live),
            "facts": view.facts(found, destination, desk, names),
            "story": view.story(found, desk),
            "path": view.address(found),
            "ends": [(each, desk.t(f"payout_{each}")) for each in ENDS],
            "is_mine": found.resolving is not None and desk.is_mine(found.resolving.actor),
            "open_act": act,
        }
        return desk.page(Shown("payout.html", "payouts", context), failed)

    async def _all(self, asked: PayoutFilter) -> list[Payout]:
        found: list[Payout] = []
        before: UUID | None = None
        while len(found) < EXPORT_ROWS_MAX:
            page, more = await self._lists.payouts(asked, before=before, limit=LIST_PAGE_MAX)
            found += page
            if not more:
                break
            before = page[-1].id
        return found


class _Accounts:
    """Answers the pages of accounts and their acts."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._destinations = money.clearing.destinations
        self._changes = AccountChanges(money.house.runtime.database)

    async def show(self, request: Request) -> Response:
        """Answer the accounts in one state: those that wait for a second person first."""
        desk = await self._money.desk(request)
        state = desk.choice("state", ACCOUNT_STATES, DestinationState.PROPOSED.value)
        table = view.account_table(desk)
        query = desk.query(table)
        before = _before(query.after, DESTINATION_PREFIX)
        found, more = await self._changes.page(DestinationState(state), before=before, limit=ROWS)
        names = await self._money.merchants(each.book_id for each in found)
        if desk.wants_csv:
            return desk.csv(
                f"accounts-{state}", table, [view.account_plain(each, desk, names) for each in found]
            )
        rows = view.account_rows(found, desk, names)
        after = uuid_text(DESTINATION_PREFIX, found[-1].id) if more else ""
        empty = str(desk.t(f"accounts_empty_{state}"))
        context = {
            "view": desk.table(query, table, rows, after, empty, (("state", state),)),
            "state": state,
            "tabs": desk.tabs("account", ACCOUNTS, ACCOUNT_STATES, "state"),
            "near": desk.near("out"),
        }
        return desk.page(Shown("accounts.html", "payouts", context))

    async def one(self, request: Request, book: str, account: str) -> Response:
        """Answer one account with everything that was done with it."""
        return await self._one(await self._money.desk(request), book, account)

    async def act(self, request: Request, book: str, account: str, act: str) -> Response:
        """Confirm or refuse an account that somebody else proposed, stop payouts to it, or propose it again."""
        desk = await self._money.desk(request, O.SETTLEMENTS_APPROVE)
        acts: Mapping[str, Callable[[Desk, int, UUID, Mapping[str, str]], Awaitable[Destination]]] = {
            "confirm": self._confirm,
            "pause": self._pause,
            "mend": self._mend,
            "retire": self._retire,
        }
        if act not in acts:
            raise NotFound("act_unknown", "an account has no such act")
        book_id, account_id = path_book(book), path_id(DESTINATION_PREFIX, account)

        async def do(fields: Mapping[str, str]) -> str:
            if not fields.get("reason", "").strip():
                raise InvalidRequest("note_missing", "say why")
            made = await acts[act](desk, book_id, account_id, fields)
            return said(view.account_address(made), f"account_{act}")

        async def again(failed: Failed) -> Response:
            return await self._one(desk, book, account, failed, act)

        return await desk.act(do, again)

    async def _one(
        self, desk: Desk, book: str, account: str, failed: Failed | None = None, act: str = ""
    ) -> Response:
        found = await self._destinations.get(path_book(book), path_id(DESTINATION_PREFIX, account))
        names = await self._money.merchants([found.book_id])
        trail = await self._destinations.trail(found.book_id, found.id)
        history = [
            {
                "at": each.at,
                "title": desk.t(f"account_{each.state}"),
                "who": desk.who(each.actor),
                "line": each.note,
                "tone": {"active": "ok", "paused": "error", "proposed": "review"}.get(each.state, "plain"),
            }
            for each in reversed(trail)
        ]
        context = {
            "account": found,
            "title": view.account_text(found, desk),
            "seller": desk.book(found.book_id, names),
            "state": desk.tag("account", found.state.value),
            "history": history,
            "path": view.account_address(found),
            "is_mine": desk.is_mine(found.proposed_by),
            "open_act": act,
        }
        return desk.page(Shown("account_of_merchant.html", "payouts", context), failed)

    async def _confirm(
        self, desk: Desk, book_id: int, account_id: UUID, fields: Mapping[str, str]
    ) -> Destination:
        return await self._destinations.confirm(
            book_id,
            account_id,
            actor=desk.actor,
            seen_version=version_of(fields) or 0,
            note=fields["reason"].strip(),
        )

    async def _pause(
        self, desk: Desk, book_id: int, account_id: UUID, fields: Mapping[str, str]
    ) -> Destination:
        reason = fields["reason"].strip()
        return await self._destinations.pause(book_id, account_id, actor=desk.actor, reason=reason)

    async def _mend(
        self, desk: Desk, book_id: int, account_id: UUID, fields: Mapping[str, str]
    ) -> Destination:
        note = fields["reason"].strip()
        return await self._destinations.mend(book_id, account_id, actor=desk.actor, note=note)

    async def _retire(
        self, desk: Desk, book_id: int, account_id: UUID, fields: Mapping[str, str]
    ) -> Destination:
        note = fields["reason"].strip()
        return await self._destinations.retire(book_id, account_id, actor=desk.actor, note=note)


def _wanted(query: Query) -> PayoutFilter:
    """Return what an address asks for; a currency or day that is none is passed over."""
    asked = query.filters
    code = asked.get("currency", "").upper()
    is_code = len(code) == CODE_CHARS and code.isascii() and code.isalpha()
    return PayoutFilter(
        live=MODES.get(asked.get("mode", "")),
        state=PayoutState(asked["state"]) if "state" in asked else None,
        currency=code if is_code else None,
        due_on=_day(asked.get("on", "")),
    )


def _before(after: str, prefix: str) -> UUID | None:
    try:
        return path_id(prefix, after) if after else None
    except NotFound:
        return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
