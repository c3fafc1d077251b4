"""Agreements: what was agreed with merchants about their money, version by version, and what the house does otherwise."""

from collections.abc import Collection
from datetime import datetime

from tongbao.clearing.policy.agreements import HOUSE_BOOK, Terms, check
from tongbao.clearing.policy.cycles import settlement_calendar
from tongbao.clearing.schema.agreements import Agreement, AgreementVersion, Cut
from tongbao.clearing.service.working_days import WorkingDays
from tongbao.clearing.store import agreements as store
from tongbao.core import currencies
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest

HISTORY_MAX = 200
NOTE_CHARS_MAX = 1_000
TRIES_MAX = 5


class Agreements:
    """Makes and finds agreements. Book 0 is the house: what it agrees on holds for whoever agreed on nothing.

    ``days``: the calendars by which they count, as they were known when agreements were last read.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.days = WorkingDays()

    async def make(
        self,
        book_id: int,
        currency: str,
        agreement: Agreement,
        *,
        actor: str,
        note: str,
        effective_at: datetime | None = None,
    ) -> AgreementVersion:
        """Keep a new version, from ``effective_at`` on (now where it is None), and return it.

        What happened before stays under the agreement of its time. The same again as the newest version says is no new
        one. Raises InvalidRequest as ``policy.agreements.check`` does, ``currency_unknown``, ``note_missing``,
        ``note_too_long``; Conflict ``agreement_backdated``, ``agreement_contended``.
        """
        check(agreement)
        currencies.currency(currency)
        _check_note(note)
        now = self._clock.now()
        if effective_at is not None and effective_at < now:
            raise Conflict(
                "agreement_backdated", "what was agreed before cannot be changed: begin now or later"
            )
        for _ in range(TRIES_MAX):
            async with self._database.transaction() as connection:
                newest = await store.latest(connection, book_id, currency, 1)
                if (
                    newest
                    and newest[0].agreement == agreement
                    and _begins_alike(newest[0], effective_at, now)
                ):
                    return newest[0]
                made = AgreementVersion(
                    book_id=book_id,
                    currency=currency,
                    version=newest[0].version + 1 if newest else 1,
                    effective_at=effective_at or now,
                    agreement=agreement,
                    made_by=actor,
                    made_at=now,
                    note=note,
                )
                if await store.insert(connection, made):
                    return made
        raise Conflict("agreement_contended", "others keep changing the same agreement; look at it again")

    async def at(self, book_id: int, currency: str, instant: datetime) -> AgreementVersion:
        """Return what holds for a book at an instant; version 0 is what is built in. Raises ``currency_unknown``."""
        async with self._database.connection() as connection:
            return (await self.terms(connection, (book_id,))).at(book_id, currency, instant)

    async def terms(self, connection: Connection, books: Collection[int]) -> Terms:
        """Return the agreements of these books and of the house; joins the caller's transaction."""
        known = await self.days.learn(connection)
        return Terms(await store.of_books(connection, {*books, HOUSE_BOOK}), known)

    async def history(self, book_id: int, currency: str, limit: int = HISTORY_MAX) -> list[AgreementVersion]:
        """Return the versions of one book and currency, newest first, at most ``HISTORY_MAX``."""
        async with self._database.connection() as connection:
            return await store.latest(connection, book_id, currency, max(1, min(limit, HISTORY_MAX)))

    async def calendar(self, book_id: int, currency: str, count: int) -> tuple[Cut, ...]:
        """Return the next ``count`` cuts of a book by what holds now; raise ``settlement_days_invalid``."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            terms = await self.terms(connection, (book_id,))
        holding = terms.at(book_id, currency, now)
        return settlement_calendar(holding.agreement, now, count, terms.known)


def _begins_alike(newest: AgreementVersion, effective_at: datetime | None, now: datetime) -> bool:
    return newest.effective_at == effective_at if effective_at else newest.effective_at <= now


def _check_note(note: str) -> None:
    if not note.strip():
        raise InvalidRequest("note_missing", "say why: the note stays beside the change")
    if len(note) > NOTE_CHARS_MAX:
        raise InvalidRequest("note_too_long", f"a note has at most {NOTE_CHARS_MAX} characters")
