"""Destinations: accounts that money may go to. Proposed by one, confirmed by another, cooled down, then in use.

The account in use stays in use until the new one has cooled down. Whatever happens to an account is kept with who, when and
why, and told as a fact that reaches the owner, so that a change that nobody wanted is seen before money follows it.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from tongbao.clearing.policy import destinations as policy
from tongbao.clearing.schema.payout_facts import DestinationChanged
from tongbao.clearing.schema.payouts import COOLING, Destination, DestinationState
from tongbao.clearing.store import destinations as store
from tongbao.core.clock import Clock
from tongbao.core.currencies import currency as currency_of
from tongbao.core.db import Connection, Database, Failure, failure_of
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory
from tongbao.payments.ports import SecretBox

PAGE_MAX = 100
ROUND_MAX = 100
NOTE_CHARS_MAX = 500
JOB = "job:payouts"


class Destinations:
    """Accounts of merchants. One object per process. ``fingerprint_key``: 32 bytes that find equal numbers within a book."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        box: SecretBox,
        fingerprint_key: bytes,
        *,
        cooling: timedelta = COOLING,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._box = box
        self._key = fingerprint_key
        self._cooling = cooling
        self._outbox = Outbox(clock, ids)

    async def propose(
        self,
        book_id: int,
        currency: str,
        number: policy.AccountNumber,
        holder: str,
        *,
        actor: str,
        note: str = "",
    ) -> Destination:
        """Propose a checked account (``policy.account_number``); return it, waiting for another person.

        Proposing the same number again returns what stands there. Raises InvalidRequest ``currency_unknown``,
        ``holder_invalid``, ``note_too_long``; Conflict ``destination_exists`` where the number stands with another holder.
        """
        currency_of(currency)
        name = policy.holder_name(holder)
        _check_note(note)
        fingerprint = self._fingerprint(book_id, number)
        async with self._database.transaction() as connection:
            standing = await store.same(connection, book_id, currency, fingerprint)
            if standing is not None:
                if standing.holder != name:
                    raise Conflict(
                        "destination_exists", f"{standing.reference} is this account, with another holder"
                    )
                return standing
            now = self._clock.now()
            account = Destination(
                id=self._ids.uuid(),
                book_id=book_id,
                currency=currency,
                state=DestinationState.PROPOSED,
                holder=name,
                scheme=number.scheme,
                last4=number.last4,
                agent_code=number.agent_code,
                country=number.country,
                proposed_by=actor,
                created_at=now,
                updated_at=now,
            )
            sealed = self._box.seal(number.number.encode(), _context(account.id))
            await store.insert(connection, account, fingerprint, sealed)
            await self._tell(connection, account, actor, note)
        return account

    async def confirm(
        self,
        book_id: int,
        account_id: UUID,
        *,
        actor: str,
        seen_version: int,
        has_second_factor: bool = False,
        note: str = "",
    ) -> Destination:
        """Confirm an account that somebody else proposed, or oneself after a second factor that the caller has checked.

        It cools down from now on. Raises NotFound ``destination_unknown``; Conflict ``destination_changed``,
        ``destination_state``; NotPermitted ``confirmation_by_proposer``.
        """
        _check_note(note)
        async with self._database.transaction() as connection:
            account = await self._locked(connection, book_id, account_id)
            if account.version != seen_version:
                raise Conflict("destination_changed", f"{account.reference} has changed; look at it again")
            after = policy.confirmed(
                account, self._clock.now(), actor, self._cooling, has_second_factor=has_second_factor
            )
            factor = "second factor; " if has_second_factor else ""
            return await self._write(connection, after, actor, factor + note)

    async def pause(self, book_id: int, account_id: UUID, *, actor: str, reason: str) -> Destination:
        """Stop payouts to an account at once; anybody who may see it can. Raises as ``confirm`` does."""
        _check_note(reason)
        async with self._database.transaction() as connection:
            account = await self._locked(connection, book_id, account_id)
            return await self._paused(connection, account, actor, reason)

    async def mend(self, book_id: int, account_id: UUID, *, actor: str, note: str) -> Destination:
        """Propose a paused account again: it is confirmed by another person and cools down like a new one."""
        _check_note(note)
        async with self._database.transaction() as connection:
            account = await self._locked(connection, book_id, account_id)
            after = policy.moved(
                account,
                DestinationState.PROPOSED,
                self._clock.now(),
                proposed_by=actor,
                confirmed_by=None,
                usable_at=None,
            )
            return await self._write(connection, after, actor, note)

    async def retire(self, book_id: int, account_id: UUID, *, actor: str, note: str = "") -> Destination:
        """Take an account out of use for ever, whatever it waits for."""
        _check_note(note)
        async with self._database.transaction() as connection:
            account = await self._locked(connection, book_id, account_id)
            after = policy.moved(account, DestinationState.RETIRED, self._clock.now())
            return await self._write(connection, after, actor, note)

    async def step(self, book_id: int | None = None) -> int:
        """Take accounts into use that have cooled down, each in place of the one before; return how many."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            waiting = await store.cooled(connection, now, book_id, ROUND_MAX)
        count = 0
        for place in waiting:
            try:
                count += await self._take(*place)
            except Exception as error:
                # Another process took another account into use at this moment; the next step sees it.
                if failure_of(error) is not Failure.DUPLICATE:
                    raise
        return count

    async def _take(self, book_id: int, account_id: UUID) -> int:
        now = self._clock.now()
        async with self._database.transaction() as connection:
            account = await store.one(connection, book_id, account_id, lock=True)
            if account is None or account.state is not DestinationState.COOLING:
                return 0
            for old in await store.lock_state(
                connection, book_id, account.currency, DestinationState.ACTIVE.value
            ):
                retired = policy.moved(old, DestinationState.RETIRED, now)
                await self._write(connection, retired, JOB, f"replaced by {account.reference}")
            active = policy.moved(account, DestinationState.ACTIVE, now)
            await self._write(connection, active, JOB, "cooled down")
        return 1

    async def pause_joining(
        self, connection: Connection, book_id: int, account_id: UUID, reason: str
    ) -> None:
        """Pause an account to which a payout failed; joins the caller's transaction. Nothing happens where it is paused."""
        account = await store.one(connection, book_id, account_id, lock=True)
        if account is not None and DestinationState.PAUSED in policy.MOVES[account.state]:
            await self._paused(connection, account, JOB, reason)

    def number(self, account: store.Sealed) -> str:
        """Return the clear number of an account, for the message to the bank and nothing else."""
        return self._box.open(account.sealed, _context(account.destination.id)).decode()

    async def get(self, book_id: int, account_id: UUID) -> Destination:
        """Return an account; raise NotFound ``destination_unknown``."""
        async with self._database.connection() as connection:
            account = await store.one(connection, book_id, account_id)
        if account is None:
            raise _unknown(account_id)
        return account

    async def page(
        self, book_id: int, currency: str | None = None, limit: int = PAGE_MAX
    ) -> list[Destination]:
        """Return the accounts of a book, newest first, at most ``PAGE_MAX``."""
        async with self._database.connection() as connection:
            return await store.of_book(connection, book_id, currency, max(1, min(limit, PAGE_MAX)))

    async def trail(self, book_id: int, account_id: UUID) -> Sequence[store.Act]:
        """Return who moved an account, when and why, oldest first, at most ``PAGE_MAX``."""
        async with self._database.connection() as connection:
            return await store.acts(connection, book_id, account_id, PAGE_MAX)

    async def _paused(
        self, connection: Connection, account: Destination, actor: str, reason: str
    ) -> Destination:
        after = policy.moved(
            account, DestinationState.PAUSED, self._clock.now(), paused_reason=reason, usable_at=None
        )
        return await self._write(connection, after, actor, reason)

    async def _locked(self, connection: Connection, book_id: int, account_id: UUID) -> Destination:
        account = await store.one(connection, book_id, account_id, lock=True)
        if account is None:
            raise _unknown(account_id)
        return account

    async def _write(self, connection: Connection, after: Destination, actor: str, note: str) -> Destination:
        if not await store.update(connection, after):
            raise Conflict("destination_changed", f"{after.reference} has changed; look at it again")
        await self._tell(connection, after, actor, note)
        return after

    async def _tell(self, connection: Connection, account: Destination, actor: str, note: str) -> None:
        await store.note(connection, account, actor, note)
        fact = DestinationChanged(
            occurred_at=account.updated_at,
            book_id=account.book_id,
            destination_id=account.id,
            currency=account.currency,
            state=account.state.value,
            scheme=account.scheme,
            last4=account.last4,
            actor=actor,
            usable_at=account.usable_at,
            note=note,
            version=account.version,
        )
        await self._outbox.publish(connection, [fact])

    def _fingerprint(self, book_id: int, number: policy.AccountNumber) -> bytes:
        place = f"{book_id}:{number.scheme}:{number.country}:{number.agent_code}:{number.number}"
        if number.scheme == "iban":
            place = f"{book_id}:iban:{number.number}"
        return hmac.digest(self._key, place.encode(), hashlib.sha256)


def _context(account_id: UUID) -> bytes:
    return b"clearing.destination:" + account_id.bytes


def _check_note(note: str) -> None:
    if len(note) > NOTE_CHARS_MAX:
        raise InvalidRequest("note_too_long", f"a note has at most {NOTE_CHARS_MAX} characters")


def _unknown(account_id: UUID) -> NotFound:
    return NotFound("destination_unknown", f"no destination {account_id}")
