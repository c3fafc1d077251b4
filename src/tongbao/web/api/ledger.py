"""``/v2/ledger``: read the books, and post transfers. Parses, calls the ledger, renders.

The interface has no sign-in yet, so it answers only callers on this machine: mount it on a server that listens
on loopback. Posting takes ``application/json`` alone, which a foreign web page cannot send without asking first.
Every key of the ledger leads with its book, and so does every path.
"""

import ipaddress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from tongbao.core.errors import InvalidRequest, LimitExceeded, NotFound, NotPermitted
from tongbao.ledger.schema import BULK_SIZE_MAX, Account
from tongbao.ledger.service.accounts import PAGE_SIZE_MAX
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import Axis
from tongbao.web import account_pages
from tongbao.web import ledger_inputs as inputs
from tongbao.web.api import ledger_models as models
from tongbao.web.api import transfer_bodies as bodies

BODY_BYTES_MAX = 16 * 1024 * 1024
PREFIX = "/v2/ledger"
UNKNOWN_ASSET = -1

BookCode = Annotated[str, Path(description="Code of a book.", max_length=64)]
AccountText = Annotated[str, Path(description="Id of an account, `acct_…`.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="Most rows to return.")]
After = Annotated[str, Query(max_length=200, description="Continue after this code.")]


def router(ledger: Ledger) -> APIRouter:
    """Return the routes of the ledger's interface over an open ledger."""
    routes = APIRouter(prefix=PREFIX, tags=["ledger"], dependencies=[Depends(_local_only)])
    _add_books(routes, ledger)
    _add_accounts(routes, ledger)
    _add_transfers(routes, ledger)
    return routes


def _add_books(routes: APIRouter, ledger: Ledger) -> None:
    @routes.get("/books")
    async def books(after: After = "", template: str | None = None, limit: Limit = 100) -> list[models.Book]:
        """List books in order of code."""
        found = await ledger.accounts.books(after=_text(after), template=_text(template), limit=limit)
        return [models.Book.of(book) for book in found]

    @routes.get("/books/{book}")
    async def book(book: BookCode) -> models.Book:
        """Return one book."""
        return models.Book.of(await ledger.accounts.book(_text(book)))

    @routes.get("/books/{book}/seals/head")
    async def head(book: BookCode) -> models.Head:
        """Return the newest seal of a book, whose hash stands for everything before it."""
        owner = await ledger.accounts.book(_text(book))
        return models.Head.of(owner.code, await ledger.sealing.head(owner.book_id))

    @routes.get("/trial-balance")
    async def trial_balance(
        book: Annotated[
            str | None, Query(max_length=64, description="Code of a book; all books without.")
        ] = None,
    ) -> models.TrialBalance:
        """Return debits and credits of every account."""
        book_id = None if book is None else (await ledger.accounts.book(_text(book))).book_id
        return models.TrialBalance.of(await ledger.reading.trial_balance(book_id))


def _add_accounts(routes: APIRouter, ledger: Ledger) -> None:
    @routes.get("/books/{book}/accounts")
    async def accounts(
        book: BookCode,
        below: Annotated[
            str | None, Query(max_length=200, description="Only this account and its tree.")
        ] = None,
        after: After = "",
        limit: Limit = 100,
    ) -> list[models.Account]:
        """List accounts in order of code with their balances; a code is never cut between two pages."""
        owner = await ledger.accounts.book(_text(book))
        found = await account_pages.page(
            ledger.accounts, owner.book_id, below=_text(below), after=_text(after), limit=limit
        )
        return [models.Account.of(account) for account in found]

    @routes.get("/books/{book}/accounts/{account}")
    async def account(book: BookCode, account: AccountText) -> models.Account:
        """Return one account with its balance now."""
        return models.Account.of(await _account(ledger, book, account))

    @routes.get("/books/{book}/accounts/{account}/changes")
    async def changes(book: BookCode, account: AccountText) -> list[models.Change]:
        """Return the history of an account's states and limits, oldest first."""
        found = await _account(ledger, book, account)
        lines = await ledger.accounts.changes(found.book_id, found.account_id)
        return [models.Change.of(line) for line in lines]

    @routes.get("/books/{book}/accounts/{account}/statement")
    async def statement(
        book: BookCode,
        account: AccountText,
        limit: Limit = 50,
        before: Annotated[str | None, Query(description="`next_before` of the page before.")] = None,
    ) -> models.Statement:
        """Return entries, newest first, with the balance after each."""
        found = await _account(ledger, book, account)
        page = await ledger.reading.statement(found.book_id, found.account_id, before=before, limit=limit)
        return models.Statement.of(page)

    @routes.get("/books/{book}/accounts/{account}/balance")
    async def balance(
        book: BookCode,
        account: AccountText,
        at: Annotated[str, Query(max_length=40, description="Instant, ISO 8601 with zone; inclusive.")],
        axis: Annotated[Axis, Query(description="By time of recording or by business time.")] = "recorded",
    ) -> models.Balance:
        """Return the balance of an account as of an instant."""
        found = await _account(ledger, book, account)
        then = await ledger.reading.balance_at(found.book_id, found.account_id, inputs.instant(at), axis=axis)
        return models.Balance.of(then, found, axis)


def _add_transfers(routes: APIRouter, ledger: Ledger) -> None:
    @routes.get("/books/{book}/transfers/{key}")
    async def transfer(
        book: BookCode, key: Annotated[str, Path(description="`tr_…`, or a UUID.")]
    ) -> models.Transfer:
        """Return one row of the journal."""
        owner = await ledger.accounts.book(_text(book))
        return models.Transfer.of(await ledger.reading.transfer(owner.book_id, inputs.transfer_key(key)))

    @routes.post("/transfers", response_model=bodies.Results, openapi_extra=bodies.SCHEMA)
    async def post(request: Request) -> Response:
        """Post one transfer, or a list of up to 8,000 in one commit; a refusal is a result, not an error."""
        asked = bodies.parse(await _body(request))
        if len(asked) > BULK_SIZE_MAX:
            detail = f"at most {BULK_SIZE_MAX} transfers a call"
            raise LimitExceeded("bulk_too_large", detail, count=len(asked))
        assets = {code: await _asset_id(ledger, code) for code in {body.asset for body in asked}}
        transfers = [bodies.to_transfer(body, at, assets[body.asset]) for at, body in enumerate(asked)]
        results = [bodies.to_result(result) for result in await ledger.posting.post(transfers)]
        answer = bodies.RESULTS.dump_json(bodies.Results.model_construct(results=results))
        return Response(answer, media_type="application/json")


async def _account(ledger: Ledger, book: str, account: str) -> Account:
    owner = await ledger.accounts.book(_text(book))
    return await ledger.accounts.account(owner.book_id, inputs.account_id(account))


async def _asset_id(ledger: Ledger, code: str | None) -> int:
    """Return the id of an asset; of one that is not known, an id that no account has (``asset_mismatch``)."""
    if code is None:
        return UNKNOWN_ASSET
    try:
        return (await ledger.accounts.asset(_text(code))).asset_id
    except (InvalidRequest, NotFound):
        return UNKNOWN_ASSET


async def _body(request: Request) -> bytes:
    """Return the body of a request for JSON, reading no more of it than is allowed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequest("content_type_wrong", "send application/json")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise LimitExceeded("body_too_large", f"a body has at most {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _text(text: Any) -> Any:
    """Return text that PostgreSQL can compare; a NUL can stand in no code."""
    if text is not None and "\0" in text:
        raise InvalidRequest("request_invalid", "a NUL character stands in a parameter")
    return text


async def _local_only(request: Request) -> None:
    """Refuse callers from other machines: there is no sign-in yet."""
    client = request.client
    if client is None:
        return
    try:
        is_local = ipaddress.ip_address(client.host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise NotPermitted("local_only", "the ledger's interface answers only on this machine for now")
