"""Codes that sign payers in: sent to an address, answered once, in the visit in which they were asked for.

An address that nobody has gets the same answer as one that somebody has, after the same work: messages leave on their
own, and nobody waits for them.
"""

import asyncio
import hashlib
import random
from collections.abc import Coroutine
from datetime import datetime
from typing import Any
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, LimitExceeded
from tongbao.core.ids import IdFactory
from tongbao.core.logs import get_logger
from tongbao.parties.errors import CodeWrong
from tongbao.parties.policy import fields
from tongbao.parties.policy import payer_sign_in as policy
from tongbao.parties.ports import CodeId, CodeSent, Contact, Messages, Notice, Proved
from tongbao.parties.schema import PayerId
from tongbao.parties.store import payer_sign_in as store

SENDING_MAX = 200
"""So many messages are under way at once; more are not sent, and may be asked for again."""

SHOWN_MAX = 1_000

_log = get_logger("payers")


class PayerCodes:
    """Sends and checks. ``messages`` None: this is a demonstration, codes are shown where they were asked for.

    ``secret`` is the same in every process, ``rng`` cryptographic. Opens its own transactions; ``close`` it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        messages: Messages | None,
        *,
        secret: bytes,
        rng: random.Random | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._messages = messages
        self._secret = secret
        self._rng = rng or random.SystemRandom()
        self._sending: set[asyncio.Task[None]] = set()
        # Of a demonstration alone, the newest last.
        self._shown: dict[UUID, str] = {}

    async def close(self) -> None:
        """Wait for the messages that are under way."""
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def ask(self, contact: Contact, visit: str, *, locale: str, name: str = "") -> CodeSent:
        """Send a code to an address; ``name`` is that of somebody who wants a wallet, empty for signing in.

        Raises BadField, LimitExceeded ``codes_used_up`` with the seconds to wait.
        """
        if name:
            fields.check_name("name", name)
        fields.check_locale(locale)
        now = self._clock.now()
        code_id = CodeId(self._ids.uuid())
        code = f"{self._rng.randrange(10**policy.CODE_DIGITS):0{policy.CODE_DIGITS}d}"
        new = store.NewCode(
            code_id=code_id,
            visit_digest=visit_digest(visit),
            contact=contact,
            name=name,
            locale=locale,
            code_digest=policy.code_digest(self._secret, code_id, code),
            attempts_left=policy.ATTEMPTS_MAX,
            opened_at=now,
        )
        async with self._database.transaction() as connection:
            opened = await store.count_codes(connection, contact, now - policy.OPENED_WITHIN)
            if opened >= policy.OPENED_MAX:
                wait_s = int(policy.OPENED_WITHIN.total_seconds())
                raise LimitExceeded("codes_used_up", "too many codes for this address", retry_after_s=wait_s)
            await store.insert_code(connection, new)
            known = await store.payer_of(connection, contact)
        if known is not None or name:
            self._send_code(contact, code, locale)
        if self._messages is None and (known is not None or name):
            self._show(code_id, code)
        return self._sent(code_id, contact, now)

    async def pending(self, code_id: UUID, visit: str) -> CodeSent | None:
        """Return what a visitor was told who waits for a code; None where there is none that could be typed."""
        async with self._database.connection() as connection:
            row = await store.code(connection, code_id, visit_digest(visit))
        if row is None or not self._is_open(row):
            return None
        return self._sent(CodeId(code_id), row.contact, row.opened_at)

    async def prove(self, code_id: UUID, visit: str, typed: str) -> Proved:
        """Check a code, once; return what it proves.

        Raises BadField for what is no code, CodeWrong ``code_wrong`` and ``code_over``.
        """
        code = policy.normal_code(typed)
        now = self._clock.now()
        async with self._database.transaction() as connection:
            row = await store.lock_code(connection, code_id, visit_digest(visit))
            if row is None or not self._is_open(row):
                raise CodeWrong("code_over", "this code is no longer good")
            given = policy.code_digest(self._secret, code_id, code)
            is_right = policy.is_same(row.code_digest, given)
            payer_id = await store.payer_of(connection, row.contact)
            if is_right and (payer_id is not None or row.name):
                await store.use_code(connection, code_id, now)
                return Proved(contact=row.contact, payer_id=payer_id, name=row.name, locale=row.locale)
            # The attempt is written down although the answer is an error: it is raised after the commit.
            await store.try_code(connection, code_id)
        raise CodeWrong("code_wrong", "this is not the code that was sent")

    async def tell(self, payer_id: PayerId, notice: Notice, locale: str) -> None:
        """Send a notice to every address of a payer."""
        async with self._database.connection() as connection:
            known = await store.contacts(connection, payer_id)
        if self._messages is not None:
            for contact in known:
                self._start(self._noticed(self._messages, contact, notice, locale))

    def _is_open(self, row: store.CodeRow) -> bool:
        is_young = self._clock.now() < row.opened_at + policy.CODE_GOOD
        return row.used_at is None and row.attempts_left > 0 and is_young

    def _sent(self, code_id: CodeId, contact: Contact, opened_at: datetime) -> CodeSent:
        return CodeSent(
            code_id=code_id,
            masked=policy.masked(contact),
            expires_at=opened_at + policy.CODE_GOOD,
            shown=self._shown.get(code_id),
        )

    def _show(self, code_id: UUID, code: str) -> None:
        self._shown[code_id] = code
        if len(self._shown) > SHOWN_MAX:
            del self._shown[next(iter(self._shown))]

    def _send_code(self, contact: Contact, code: str, locale: str) -> None:
        if self._messages is not None:
            self._start(self._carried(self._messages, contact, code, locale))

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        if len(self._sending) >= SENDING_MAX:
            sending.close()
            _log.warning("message_dropped", why="too many are under way")
            return
        task = asyncio.create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _carried(self, messages: Messages, contact: Contact, code: str, locale: str) -> None:
        minutes = int(policy.CODE_GOOD.total_seconds()) // 60
        try:
            await messages.code(contact, code, locale, minutes)
        except AppError as error:
            _log.warning("code_not_sent", to=policy.masked(contact), code=error.code)

    async def _noticed(self, messages: Messages, contact: Contact, notice: Notice, locale: str) -> None:
        try:
            await messages.notice(contact, notice, locale)
        except AppError as error:
            _log.warning("notice_not_sent", to=policy.masked(contact), notice=notice, code=error.code)


def visit_digest(visit: str) -> bytes:
    """Return the form in which a visit is kept with a code."""
    return hashlib.sha256(visit.encode("utf-8", "replace")).digest()
