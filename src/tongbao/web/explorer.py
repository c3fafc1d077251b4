"""The ledger explorer: the books for people's eyes. Overview, books, statements, transfers, proof on demand.

Server-rendered and complete without JavaScript; a small script refreshes the overview's numbers from
``/ops/ledger?fragment=live``. It reads only: the one form that does something asks for a verification. It stands behind a
guard that lets in operators who may read books and leaves them at ``request.state.visitor``. The addresses that it had
before lead to those that it has now.
"""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_int, parse_uuid
from tongbao.ledger.errors import UnknownAccount, UnknownBook, UnknownTransfer
from tongbao.ledger.schema import ACCOUNT_PREFIX, TRANSFER_PREFIX, AccountId, BalanceAt, Book, StatementPage
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import Axis
from tongbao.parties.service.sign_in import check_csrf
from tongbao.web import ledger_views, pages
from tongbao.web.figures import Figures
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames
from tongbao.web.signing.addresses import FRONT
from tongbao.web.signing.guarding import OperatorVisitor
from tongbao.web.signing.refusing import error_page
from tongbao.web.ui import figure
from tongbao.web.ui.charts_lines import area

PREFIX = "/ops/ledger"
OLD_FRONT = "/"
"""Where the explorer was; it leads to the front door until that stands there itself."""
ENTRIES_SHOWN = 50
FINDINGS_SHOWN = 100
QUERY_CHARS_MAX = 200
HASH_BYTES = 32


def router(ledger: Ledger) -> APIRouter:
    """Return the routes of the explorer over an open ledger."""
    explorer = _Explorer(ledger)
    routes = APIRouter(include_in_schema=False, route_class=page_route(error_page))
    for path, answer in (
        (PREFIX, explorer.overview),
        (f"{PREFIX}/books/{{code}}", explorer.book),
        (f"{PREFIX}/books/{{code}}/accounts/{{account}}", explorer.account),
        (f"{PREFIX}/transfers/{{code}}/{{key}}", explorer.transfer),
    ):
        routes.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(
        f"{PREFIX}/books/{{code}}/verify", explorer.verify, methods=["POST"], response_model=None
    )
    for path in ("/books/{code}", "/books/{code}/accounts/{account}", "/transfers/{code}/{key}"):
        routes.add_api_route(path, _moved, methods=["GET", "HEAD"], response_model=None)
    if FRONT != OLD_FRONT:
        routes.add_api_route(OLD_FRONT, _front, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route("/preferences", pages.change_preferences, methods=["POST"], response_model=None)
    return routes


def mount_static(app: FastAPI) -> None:
    """Serve style sheet, script and mark under names that carry their hash, so that they may be kept for ever."""

    async def asset(name: str) -> Response:
        found = pages.ASSETS.get(name)
        if found is None:
            return Response(status_code=404)
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(found.content, media_type=found.media_type, headers=kept)

    app.add_api_route(
        pages.STATIC_PREFIX + "/{name}",
        asset,
        methods=["GET", "HEAD"],
        response_model=None,
        include_in_schema=False,
    )


async def _moved(request: Request) -> Response:
    """Answer where a page is now."""
    query = f"?{request.url.query}" if request.url.query else ""
    # The path as it was asked for: what was encoded in it stays so.
    raw = request.scope.get("raw_path") or request.url.path.encode()
    return RedirectResponse(f"{PREFIX}{raw.decode('latin-1').partition('?')[0]}{query}", 308)


async def _front(request: Request) -> Response:
    """Answer where the front door is; not for ever, since it may come to stand here."""
    del request
    return RedirectResponse(FRONT, 307, {"Cache-Control": "no-store"})


def _answer(request: Request, template: str, context: dict[str, object], status: int = 200) -> Response:
    """Answer a page in the console's frame, whose visitor the guard has left at the request."""
    visitor: OperatorVisitor = request.state.visitor
    # The books have words of their own, some of which sign-in uses for something else.
    own = {"t": pages.translator(pages.preferences(request).language), "flash": None}
    page = frames.Page(f"ops/ledger/{template}", "ledger", {**own, **context}, status)
    return frames.operator(request, visitor, page)


class _Explorer:
    """Answers the pages."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._overviews = ledger_views.Overviews(ledger)
        self._verifying = asyncio.Lock()

    async def overview(self, request: Request) -> Response:
        """Answer the first page, or its live part alone."""
        context: dict[str, object] = {"view": await self._overviews.read(), "now": self._ledger.clock.now()}
        if request.query_params.get("fragment") == "live":
            return pages.render(request, "ops/ledger/_live.html", context)
        wanted = _query(request, "q").strip().lower()
        found = await ledger_views.find_books(self._ledger, wanted, _query(request, "after"))
        return _answer(request, "overview.html", {**context, "wanted": wanted, "found": found})

    async def book(self, request: Request, code: str) -> Response:
        """Answer one book: its accounts, holds and newest seal."""
        book = await self._book(code)
        trees, accounts, after = await ledger_views.accounts_page(
            self._ledger, book, _query(request, "after")
        )
        holds, named = await ledger_views.open_holds(self._ledger, book, accounts)
        context = {
            "book": book,
            "trees": trees,
            "account_count": len(accounts),
            "after": after,
            "is_first": not _query(request, "after"),
            "holds": holds,
            "holds_shown": ledger_views.HOLDS_SHOWN,
            "named": named,
            "head": await self._ledger.reading.newest_seal(book.book_id),
            "limits": ledger_views.limits,
            "now": self._ledger.clock.now(),
        }
        return _answer(request, "book.html", context)

    async def verify(self, request: Request, code: str) -> Response:
        """Answer with the result of verifying a book now; one at a time, since it reads everything."""
        fields = await pages.form(request)
        visitor: OperatorVisitor = request.state.visitor
        check_csrf(visitor.token, fields.get("csrf", ""))
        book = await self._book(code)
        remembered = _hash(fields.get("remembered", ""))
        async with self._verifying:
            report = await self._ledger.verifying.verify(book.code, expected_hash=remembered)
        findings = [
            (finding, pages.finding_key(finding.what), _transfer_key(finding.where))
            for finding in report.findings[:FINDINGS_SHOWN]
        ]
        context = {"book": book, "report": report, "findings": findings, "shown": FINDINGS_SHOWN}
        return _answer(request, "verified.html", context)

    async def account(self, request: Request, code: str, account: str) -> Response:
        """Answer the statement of one account."""
        book = await self._book(code)
        try:
            account_id = AccountId(parse_int(ACCOUNT_PREFIX, account))
        except ValueError:
            raise UnknownAccount(account) from None
        before = _query(request, "before") or None
        page = await self._ledger.reading.statement(
            book.book_id, account_id, before=before, limit=ENTRIES_SHOWN
        )
        at, wrong = await self._balance_at(request, page)
        balances = ledger_views.balances(page)
        context = {
            "book": book,
            "page": page,
            "account": page.account,
            "side": page.account.normal_side,
            "before": before,
            "others": await ledger_views.named(
                self._ledger, book.book_id, (entry.other_account_id for entry in page.entries)
            ),
            "has_holds": any(entry.held_delta_minor for entry in page.entries),
            "limits": ledger_views.limits,
            "reserved_change": ledger_views.reserved_change,
            "changes": await self._ledger.accounts.changes(book.book_id, account_id),
            "balances": balances,
            "chart": _chart(request, page, balances),
            "at": at,
            "at_wrong": wrong,
            "asked_at": _query(request, "at"),
            "axis": _axis(request),
            "now": self._ledger.clock.now(),
        }
        return _answer(request, "account.html", context, 400 if wrong else 200)

    async def transfer(self, request: Request, code: str, key: str) -> Response:
        """Answer one transfer."""
        book = await self._book(code)
        try:
            wanted = parse_uuid(TRANSFER_PREFIX, key)
        except ValueError:
            raise UnknownTransfer(key) from None
        view = await ledger_views.transfer_view(self._ledger, book, wanted)
        return _answer(request, "transfer.html", {"book": book, "view": view, "row": view.row})

    async def _book(self, code: str) -> Book:
        """Return a book by its code; text that the database cannot even hold names none."""
        if "\0" in code:
            raise UnknownBook(code)
        return await self._ledger.accounts.book(code)

    async def _balance_at(self, request: Request, page: StatementPage) -> tuple[BalanceAt | None, bool]:
        """Return the balance at the moment asked for, and whether that was no moment at all."""
        asked = _query(request, "at")
        if not asked:
            return None, False
        try:
            at = datetime.fromisoformat(asked)
        except ValueError:
            return None, True
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        if not 1970 <= at.year < 9999:
            return None, True
        account = page.account
        found = await self._ledger.reading.balance_at(
            account.book_id, account.account_id, at, axis=_axis(request)
        )
        return found, False


def _query(request: Request, name: str) -> str:
    """Return a parameter of the address, cut to a sane length and without what no text column can hold."""
    return request.query_params.get(name, "")[:QUERY_CHARS_MAX].replace("\0", "")


def _axis(request: Request) -> Axis:
    return "occurred" if _query(request, "axis") == "occurred" else "recorded"


def _hash(text: str) -> bytes | None:
    """Return a seal hash that somebody typed; None for an empty field, InvalidRequest ``hash_invalid`` for others."""
    plain = "".join(text.split())
    if not plain:
        return None
    try:
        digest = bytes.fromhex(plain)
    except ValueError:
        digest = b""
    if len(digest) != HASH_BYTES:
        raise InvalidRequest("hash_invalid", "a seal hash is 64 characters of 0-9 and a-f")
    return digest


def _chart(request: Request, page: StatementPage, balances: list[int]) -> figure.Figure | None:
    """Return the line of a page's balances; None where there is nothing to draw."""
    if len(balances) < 2:
        return None
    language = pages.preferences(request).language
    figures, account = Figures(language), page.account
    t = pages.translator(language)
    words = t(
        "chart_words",
        n=len(balances),
        first=figures.amount(balances[0], account.scale),
        last=figures.amount(balances[-1], account.scale),
        low=figures.amount(min(balances), account.scale),
        high=figures.amount(max(balances), account.scale),
        asset=account.asset,
    )
    sealed = [entry for entry in reversed(page.entries) if entry.balance_minor is not None]
    axis = figure.Axis(str(words), str(t("time")), lambda minor: figures.amount(round(minor), account.scale))
    return area(balances, [f"{each.recorded_at:%Y-%m-%d %H:%M}" for each in sealed], axis, str(t("balance")))


def _transfer_key(where: str) -> UUID | None:
    """Return the transfer that a finding names, where it names one."""
    try:
        return UUID(where)
    except ValueError:
        return None
