"""The vault: cards go in by ``tokenize_card`` and come out by ``reveal_card``, recorded, and by nothing else.

A card is sealed under a data key of its person, the data key is wrapped by the key source, and each is bound to
its row. Tokens are random and belong to one book; equal numbers of a book are found by a keyed digest. What may be shown
of a card (``describe_card``) is no reveal: the number does not leave this module.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from types import TracebackType
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.gathering import Gathering
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.privacy import store
from tongbao.privacy.errors import TokenShredded, TokenUnknown
from tongbao.privacy.policy.access import check_reveal
from tongbao.privacy.policy.brands import brand_of
from tongbao.privacy.policy.cards import check_card, check_number
from tongbao.privacy.ports import KeySource
from tongbao.privacy.schema import (
    BOOK_ITSELF,
    WITH_CVC,
    CardInput,
    CardToken,
    Hidden,
    Item,
    PersonKey,
    Reveal,
    RevealedCard,
    ValidCard,
    fingerprint_text,
    parse_fingerprint,
    parse_token,
    token_text,
)
from tongbao.privacy.sealing import NONCE_BYTES, blind_index, seal, unseal
from tongbao.privacy.service.cvc_memory import CvcMemory
from tongbao.privacy.service.data_keys import DataKeys
from tongbao.privacy.service.reveal_record import RevealRecord

PAGE_SIZE_MAX = 500
EXPIRED_PER_SWEEP_MAX = 500
LAST_MIDNIGHT = timedelta(hours=12)
"""A day ends this much later than in UTC at UTC-12, the last place where a card is still good."""
_REGION = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


class _Content(Hidden, frozen=True, array_like=True):
    """What is sealed, in this order; the brand follows from the number, and a CVC is never among it."""

    number: str
    exp_month: int
    exp_year: int
    holder_name: str | None


class Vault:
    """The vault of one process. ``async with Vault(…) as vault``; leaving finishes what waits.

    ``region`` names where its keys and rows live; it is bound into every seal.
    """

    def __init__(
        self,
        database: Database,
        keys: KeySource,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        region: str = "home",
        cvc_memory: CvcMemory | None = None,
    ) -> None:
        if not _REGION.match(region):
            raise InvalidRequest("region_invalid", "a region is 1 to 32 of a-z, 0-9 and -", region=region)
        self._database = database
        self._keys = keys
        self._clock = clock
        self._ids = ids
        self._random_bytes = random_bytes
        self._codes = CvcMemory(clock) if cvc_memory is None else cvc_memory
        self._data_keys = DataKeys(keys, clock, random_bytes, metrics, region=region)
        self._record = RevealRecord(database, clock, ids, metrics)
        self._reading = Gathering(database, self._read)
        self._tokens = metrics.counter("vault_tokens", "Cards taken in", labels=("brand",))
        self._revealed = metrics.counter("vault_reveals", "Cards revealed", labels=("purpose",))

    async def __aenter__(self) -> "Vault":
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish the reveals that wait and let go of their connections."""
        await self._record.close()

    async def tokenize_card(
        self,
        connection: Connection,
        book_id: int,
        card: CardInput,
        *,
        person: UUID | None = None,
        expires_at: datetime | None = None,
    ) -> CardToken:
        """Check a card, keep it sealed, and return its token; joins the caller's transaction.

        Each call makes a new token. Without a ``person`` the card gets one of its own, which goes with it. From
        ``expires_at`` on the token is unknown. The CVC is remembered by this process alone, for minutes.
        Raises CardInvalid, CardDataRefused, PersonShredded, KeysUnusable, InvalidRequest ``person_invalid`` and
        ``expires_at_past``.
        """
        now = self._clock.now()
        valid = check_card(card, self._today())
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("expires_at_past", "a card cannot be kept until an instant that is past")
        digest = blind_index(await self._data_keys.of_book(connection, book_id), valid.number)
        item = await self._sealed(connection, book_id, valid, person)
        await store.insert_item(connection, item, digest, now, expires_at)
        token = token_text(book_id, item.token_id)
        if valid.cvc is not None:
            self._codes.remember(token, valid.cvc)
        self._tokens.labels(valid.brand).inc()
        return _card_token(token, _content_of(valid), digest)

    async def reveal_card(self, token: str, *, purpose: str, actor: str, subject: str) -> RevealedCard:
        """Return the card behind a token, after the commit of a line that says who saw it and what for.

        ``actor`` is ``channel:<name>`` or ``legal:<id>``, ``purpose`` one of ``schema.Purpose``, ``subject`` our
        reference of the act. The CVC comes with ``authorize`` and ``verify``, while it is remembered.
        Raises RevealNotPermitted, InvalidRequest, TokenUnknown, TokenShredded, RevealNotRecorded, KeysUnusable;
        SealBroken and KeyRefused where rows or keys were tampered with.
        """
        allowed = check_reveal(purpose, actor, subject)
        book_id, token_id = _place(token)
        item, key = _usable(await self._reading.one((book_id, token_id)), token)
        await self._record.add(book_id, token_id, allowed, actor, subject)
        content = await self._opened(item, key)
        self._revealed.labels(allowed).inc()
        return RevealedCard(
            number=content.number,
            exp_month=content.exp_month,
            exp_year=content.exp_year,
            cvc=self._codes.recall(token) if allowed in WITH_CVC else None,
            holder_name=content.holder_name,
        )

    async def describe_card(self, token: str) -> CardToken:
        """Return what may be kept and shown of a card, as ``tokenize_card`` did; nothing is revealed.

        Raises TokenUnknown, TokenShredded, KeysUnusable, SealBroken, KeyRefused.
        """
        async with self._database.connection() as connection:
            item, key = await self._found(connection, token)
            digest = await store.digest_of(connection, item.book_id, item.token_id)
        if digest is None:
            raise TokenUnknown  # it was forgotten between the two questions
        return _card_token(token, await self._opened(item, key), digest)

    def forget_cvc(self, token: str) -> None:
        """Drop the CVC of a token: its authorization has ended, in whichever way."""
        self._codes.forget(token)

    async def find_by_number(self, book_id: int, number: str, limit: int = 100) -> list[str]:
        """Return the tokens of a book for this card number, at most 500; raise CardInvalid.

        Opens a transaction: the first question to a book makes its index key.
        """
        digits = check_number(number)
        async with self._database.transaction() as connection:
            digest = blind_index(await self._data_keys.of_book(connection, book_id), digits)
            return await self._tokens_of(connection, book_id, digest, limit)

    async def find_by_fingerprint(self, book_id: int, fingerprint: str, limit: int = 100) -> list[str]:
        """Return the tokens of a book with this fingerprint, at most 500; none for what is no fingerprint."""
        try:
            digest = parse_fingerprint(fingerprint)
        except ValueError:
            return []
        async with self._database.connection() as connection:
            return await self._tokens_of(connection, book_id, digest, limit)

    async def forget(self, token: str) -> bool:
        """Remove a card for good, with its person's key where it was their last; return whether there was one.

        The record of its reveals stays. Opens a transaction; repeatable. Raises TokenUnknown for what is no token.
        """
        book_id, token_id = _place(token)
        self._codes.forget(token)
        async with self._database.transaction() as connection:
            return await store.delete_item(connection, book_id, token_id)

    async def forget_expired(self) -> int:
        """Remove cards whose time has come, at most 500 a call; return how many. Repeatable."""
        async with self._database.connection() as connection:
            expired = await store.expired_items(connection, self._clock.now(), EXPIRED_PER_SWEEP_MAX)
        return sum([await self.forget(token_text(book_id, token_id)) for book_id, token_id in expired])

    async def shred(self, person: UUID) -> int:
        """Destroy a person's data key in every book, so that nobody can read their cards; return how many books.

        Sealed rows stay, as noise: ``reveal_card`` raises TokenShredded. Equal numbers are no longer found. Opens a
        transaction; repeatable. Copies in backups end with the backups of the key table (docs/reference/vault.md).
        """
        _check_person(person)
        async with self._database.transaction() as connection:
            books = await store.destroy_keys(connection, person, self._clock.now())
            for book_id in books:
                for token_id in await store.delete_index_of_person(connection, book_id, person):
                    self._codes.forget(token_text(book_id, token_id))
        return len(books)

    async def rewrap(self, limit: int = 1_000) -> int:
        """Wrap up to ``limit`` data keys again under the current version; return how many (``DataKeys.rewrap``)."""
        return await self._data_keys.rewrap(self._database, limit)

    async def key_usage(self) -> dict[int, int]:
        """Return how many data keys each version of the wrapping key holds: a version not named may go."""
        async with self._database.connection() as connection:
            return await store.keys_by_version(connection)

    async def reveals(self, book_id: int, token: str, limit: int = 100) -> list[Reveal]:
        """Return the record of a token of this book, newest first, at most 500; raise TokenUnknown."""
        owner, token_id = _place(token)
        if owner != book_id:
            raise TokenUnknown
        async with self._database.connection() as connection:
            return await store.reveals(connection, book_id, token_id, _page_size(limit))

    async def _sealed(
        self, connection: Connection, book_id: int, card: ValidCard, person: UUID | None
    ) -> Item:
        """Seal a card under its person's data key, as the row to store."""
        if person is None:
            key, clear = await self._data_keys.of_new_person(connection, book_id, self._ids.uuid())
        else:
            _check_person(person)
            key, clear = await self._data_keys.of_person(connection, book_id, person)
        assert key.wrapped is not None  # an open key has a wrapped form
        place = Item(
            book_id=book_id,
            token_id=UUID(bytes=self._random_bytes(16)),
            person_id=key.person_id,
            region=key.region,
            key_version=key.wrapped.version,
            nonce=self._random_bytes(NONCE_BYTES),
            ciphertext=b"",
        )
        sealed = seal(clear, place.nonce, msgspec.msgpack.encode(_content_of(card)), place.context)
        return msgspec.structs.replace(place, ciphertext=sealed)

    async def _found(self, connection: Connection, token: str) -> tuple[Item, PersonKey]:
        """Return the sealed card behind a token and the data key it opens with."""
        return _usable(await store.item_with_key(connection, *_place(token), self._clock.now()), token)

    async def _read(
        self, connection: Connection, places: Sequence[tuple[int, UUID]]
    ) -> dict[tuple[int, UUID], tuple[Item, PersonKey]]:
        return await store.items_with_keys(connection, places, self._clock.now())

    async def _opened(self, item: Item, key: PersonKey) -> _Content:
        clear = unseal(await self._data_keys.open(key), item.nonce, item.ciphertext, item.context)
        return msgspec.msgpack.decode(clear, type=_Content)

    async def _tokens_of(self, connection: Connection, book_id: int, digest: bytes, limit: int) -> list[str]:
        found = await store.tokens_by_digest(connection, book_id, digest, _page_size(limit))
        return [token_text(book_id, token_id) for token_id in found]

    def _today(self) -> date:
        return (self._clock.now() - LAST_MIDNIGHT).date()


def _usable(found: tuple[Item, PersonKey] | None, token: str) -> tuple[Item, PersonKey]:
    """Return what was found of a card; raise TokenUnknown, and TokenShredded where its key was destroyed."""
    if found is None:
        raise TokenUnknown
    if found[1].wrapped is None:
        raise TokenShredded(token)
    return found


def _content_of(card: ValidCard) -> _Content:
    return _Content(card.number, card.exp_month, card.exp_year, card.holder_name)


def _card_token(token: str, content: _Content, digest: bytes) -> CardToken:
    return CardToken(
        token=token,
        card_bin=content.number[:6],
        last4=content.number[-4:],
        brand=brand_of(content.number),
        exp_month=content.exp_month,
        exp_year=content.exp_year,
        fingerprint=fingerprint_text(digest),
    )


def _place(token: str) -> tuple[int, UUID]:
    """Return book and id of a token; raise TokenUnknown, which does not repeat what was given."""
    try:
        return parse_token(token)
    except ValueError:
        raise TokenUnknown from None


def _check_person(person: UUID) -> None:
    if person == BOOK_ITSELF:
        raise InvalidRequest("person_invalid", "the nil id stands for a book, not for a person")


def _page_size(limit: int) -> int:
    return max(1, min(limit, PAGE_SIZE_MAX))
