"""The vault on a real database: tokens, reveals and their record, lookups, forgetting, erasure."""

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.privacy.conftest import CVC, NAME, NOW, VISA, OpenVault, Tokenize, card

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.errors import (
    CardDataRefused,
    CardInvalid,
    KeysUnusable,
    PersonShredded,
    RevealNotPermitted,
    TokenShredded,
    TokenUnknown,
)
from tongbao.privacy.schema import BOOK_ITSELF, RevealedCard, WrappedKey, parse_token, token_text
from tongbao.privacy.service.vault import Vault

CHANNEL = "channel:iso_main"
MASTERCARD = "5555555555554444"


async def reveal(vault: Vault, token: str, purpose: str = "authorize") -> RevealedCard:
    """Reveal a card to a channel."""
    return await vault.reveal_card(token, purpose=purpose, actor=CHANNEL, subject="pa_1")


async def test_tokenize_card_then_reveal_gives_the_card_back(vault: Vault, tokenize: Tokenize) -> None:
    token = await tokenize("4242 4242 4242 4242", exp_year=30)
    assert (token.card_bin, token.last4, token.brand, token.funding) == ("424242", "4242", "visa", "unknown")
    assert (token.exp_month, token.exp_year) == (12, 2030)
    assert await reveal(vault, token.token) == RevealedCard(VISA, 12, 2030, CVC, NAME)


async def test_describe_card_gives_what_may_be_shown_and_leaves_no_record(
    vault: Vault, tokenize: Tokenize, book: int, ids: IdFactory
) -> None:
    person = ids.uuid()
    token = await tokenize(MASTERCARD, person=person)
    assert await vault.describe_card(token.token) == token
    assert await vault.reveals(book, token.token) == []
    await vault.shred(person)
    with pytest.raises(TokenShredded):
        await vault.describe_card(token.token)
    with pytest.raises(TokenUnknown):
        await vault.describe_card(VISA)


async def test_tokenize_card_joins_the_transaction_of_its_caller(
    vault: Vault, database: Database, book: int
) -> None:
    tokens: list[str] = []

    async def take_in_and_fail() -> None:
        async with database.transaction() as connection:
            tokens.append((await vault.tokenize_card(connection, book, card())).token)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await take_in_and_fail()
    with pytest.raises(TokenUnknown):
        await reveal(vault, tokens[0])
    async with database.transaction() as connection:
        tokens.append((await vault.tokenize_card(connection, book, card())).token)
    assert (await reveal(vault, tokens[1])).number == VISA


@pytest.mark.parametrize(
    ("fields", "options", "error"),
    [
        ({"number": "4242424242424241"}, {}, CardInvalid),
        ({"exp_year": 2020}, {}, CardInvalid),
        ({"holder_name": VISA}, {}, CardDataRefused),
        ({}, {"person": BOOK_ITSELF}, InvalidRequest),
        ({}, {"expires_at": NOW}, InvalidRequest),
    ],
)
async def test_tokenize_card_that_is_refused_stores_nothing(
    vault: Vault,
    database: Database,
    book: int,
    fields: dict[str, Any],
    options: dict[str, Any],
    error: type[AppError],
) -> None:
    async with database.transaction() as connection:
        with pytest.raises(error):
            await vault.tokenize_card(connection, book, card(**fields), **options)
        assert not await connection.fetchval("SELECT count(*) FROM privacy.item WHERE book_id = $1", book)


@pytest.mark.parametrize(("hours", "accepted"), [(11, True), (12, False)])
async def test_card_is_good_until_its_month_has_ended_everywhere(
    tokenize: Tokenize, clock: FrozenClock, hours: int, accepted: bool
) -> None:
    clock.set(NOW.replace(month=12, day=1, hour=hours))
    if accepted:
        assert (await tokenize(exp_month=11, exp_year=2026)).exp_month == 11
    else:
        with pytest.raises(CardInvalid):
            await tokenize(exp_month=11, exp_year=2026)


async def test_equal_cards_of_one_book_share_the_fingerprint_and_no_token(
    vault: Vault, tokenize: Tokenize, book: int
) -> None:
    first, second, other = await tokenize(), await tokenize("4242-4242-4242-4242"), await tokenize(MASTERCARD)
    assert first.token != second.token
    assert first.fingerprint == second.fingerprint != other.fingerprint
    pair = sorted([first.token, second.token])
    assert sorted(await vault.find_by_number(book, "4242 4242 4242 4242")) == pair
    assert sorted(await vault.find_by_fingerprint(book, first.fingerprint)) == pair
    assert await vault.find_by_number(book, VISA, limit=1) == pair[:1]


async def test_equal_cards_of_two_books_share_nothing(
    vault: Vault, tokenize: Tokenize, book: int, ids: IdFactory
) -> None:
    elsewhere = ids.int63()
    here, there = await tokenize(), await tokenize(book_id=elsewhere)
    assert here.fingerprint != there.fingerprint
    assert here.token[17:] != there.token[17:]
    assert await vault.find_by_number(book, VISA) == [here.token]
    assert await vault.find_by_fingerprint(book, there.fingerprint) == []


async def test_find_in_a_book_without_cards_returns_nothing(vault: Vault, book: int) -> None:
    assert await vault.find_by_number(book, VISA) == []
    assert await vault.find_by_fingerprint(book, "fp_" + "0" * 26) == []
    assert await vault.find_by_fingerprint(book, VISA) == []
    with pytest.raises(CardInvalid):
        await vault.find_by_number(book, "4242")


@pytest.mark.parametrize(
    ("purpose", "cvc"), [("authorize", CVC), ("verify", CVC), ("increment", None), ("refund", None)]
)
async def test_reveal_hands_out_the_cvc_for_authorizing_only(
    vault: Vault, tokenize: Tokenize, purpose: str, cvc: str | None
) -> None:
    assert (await reveal(vault, (await tokenize()).token, purpose)).cvc == cvc


async def test_reveal_after_the_life_of_the_cvc_gives_the_card_without_it(
    vault: Vault, tokenize: Tokenize, clock: FrozenClock, open_vault: OpenVault
) -> None:
    token, dropped = (await tokenize()).token, (await tokenize()).token
    vault.forget_cvc(dropped)
    assert (await reveal(vault, dropped)).cvc is None
    assert (await reveal(await open_vault(), token)).cvc is None  # another process never had it
    assert (await reveal(vault, token)).cvc == CVC
    clock.advance(timedelta(minutes=15))
    assert await reveal(vault, token) == RevealedCard(VISA, 12, 2030, None, NAME)


@pytest.mark.parametrize("text", ["", "tok_1", VISA, "tok_" + "0" * 39])
async def test_reveal_of_an_unknown_token_is_refused_without_repeating_it(vault: Vault, text: str) -> None:
    with pytest.raises(TokenUnknown) as raised:
        await reveal(vault, text)
    assert raised.value.code == "token_unknown"
    assert not text or text not in str(raised.value)
    assert raised.value.facts == {}


async def test_reveal_of_a_token_under_another_book_is_unknown(
    vault: Vault, tokenize: Tokenize, ids: IdFactory
) -> None:
    _, token_id = parse_token((await tokenize()).token)
    with pytest.raises(TokenUnknown):
        await reveal(vault, token_text(ids.int63(), token_id))


async def test_reveal_writes_a_line_of_the_record(
    vault: Vault, tokenize: Tokenize, book: int, clock: FrozenClock
) -> None:
    token = (await tokenize()).token
    await reveal(vault, token)
    clock.advance(timedelta(seconds=5))
    await vault.reveal_card(token, purpose="legal", actor="legal:7", subject="case 9")
    record = await vault.reveals(book, token)
    assert [(one.purpose, one.actor, one.subject, one.revealed_at, one.token) for one in record] == [
        ("legal", "legal:7", "case 9", NOW + timedelta(seconds=5), token),
        ("authorize", CHANNEL, "pa_1", NOW, token),
    ]
    assert len(await vault.reveals(book, token, limit=1)) == 1
    with pytest.raises(TokenUnknown):
        await vault.reveals(book + 1, token)


async def test_reveal_that_is_not_permitted_leaves_the_card_and_the_record_alone(
    vault: Vault, tokenize: Tokenize, book: int
) -> None:
    token = (await tokenize()).token
    with pytest.raises(RevealNotPermitted):
        await vault.reveal_card(token, purpose="authorize", actor="key:1", subject="pa_1")
    assert await vault.reveals(book, token) == []


class Watched(FileKeys):
    """A key file that looks at the database, over a connection of its own, before it opens a key, and then fails."""

    dsn = ""
    seen: int | None = None

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """Count the lines of the record that are committed by now."""
        if not context.endswith(BOOK_ITSELF.hex.encode() + b"|home"):
            connection = await asyncpg.connect(self.dsn)
            self.seen = await connection.fetchval(
                "SELECT count(*) FROM privacy.reveal WHERE subject = 'watched'"
            )
            await connection.close()
            raise KeysUnusable("keys_gone", "the key source is away")
        return await super().unwrap(wrapped, context)


async def test_reveal_is_recorded_before_the_key_is_even_opened(
    tokenize: Tokenize, open_vault: OpenVault, key_path: Path, clock: FrozenClock, dsn: str, book: int
) -> None:
    token = (await tokenize()).token
    watched = Watched(key_path, clock)
    watched.dsn = dsn
    crashing = await open_vault(watched)
    with pytest.raises(KeysUnusable):
        await crashing.reveal_card(token, purpose="authorize", actor=CHANNEL, subject="watched")
    assert watched.seen == 1
    assert len(await crashing.reveals(book, token)) == 1


REVEAL_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.service.vault import Vault

async def main(dsn, keys, token):
    clock = RealClock()
    async with Database(dsn) as database:
        vault = Vault(database, FileKeys(Path(keys), clock), clock, IdFactory(clock), Metrics())
        card = await vault.reveal_card(token, purpose="authorize", actor="channel:dying", subject="pa_9")
        assert card.number.endswith("4242")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_reveal_stays_recorded_when_the_process_dies_with_the_card(
    vault: Vault, tokenize: Tokenize, key_path: Path, dsn: str, book: int
) -> None:
    token = (await tokenize()).token
    dying = await asyncio.create_subprocess_exec(
        sys.executable, "-c", REVEAL_AND_DIE, dsn, str(key_path), token
    )
    assert await dying.wait() == -signal.SIGKILL
    assert [one.actor for one in await vault.reveals(book, token)] == ["channel:dying"]


async def test_reveals_at_once_are_all_recorded_and_share_their_commits(
    open_vault: OpenVault, tokenize: Tokenize, book: int
) -> None:
    tokens = [(await tokenize(number)).token for number in (VISA, MASTERCARD)]
    metrics = Metrics()
    vault = await open_vault(metrics=metrics)
    revealed = await asyncio.gather(*[reveal(vault, tokens[index % 2]) for index in range(200)])
    assert [one.number for one in revealed] == [VISA, MASTERCARD] * 100
    for token in tokens:
        record = await vault.reveals(book, token, limit=500)
        assert len(record) == len({one.reveal_id for one in record}) == 100
    batches = metrics.registry.get_sample_value("tongbao_lane_batches_total", {"lane": "vault_reveals"})
    assert batches is not None
    assert batches < 200
    assert metrics.registry.get_sample_value("tongbao_vault_keys_unwrapped_total") == 2
    assert metrics.registry.get_sample_value("tongbao_vault_reveals_total", {"purpose": "authorize"}) == 200


async def test_first_cards_of_a_book_at_once_share_one_index_key(
    vault: Vault, tokenize: Tokenize, book: int, database: Database
) -> None:
    tokens = await asyncio.gather(*[tokenize() for _ in range(5)])
    assert len({one.fingerprint for one in tokens}) == 1
    assert len(await vault.find_by_number(book, VISA)) == 5


async def test_first_cards_of_a_person_at_once_share_one_key(
    vault: Vault, tokenize: Tokenize, book: int, ids: IdFactory, database: Database
) -> None:
    person = ids.uuid()
    tokens = await asyncio.gather(*[tokenize(person=person) for _ in range(5)])
    assert [(await reveal(vault, one.token)).number for one in tokens] == [VISA] * 5
    assert await key_count(database, book) == 2  # the person's, and the book's own


async def key_count(database: Database, book: int) -> int:
    """How many data keys a book has."""
    async with database.connection() as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM privacy.person_key WHERE book_id = $1", book
        )
    return count


async def test_forget_removes_the_card_and_its_key_and_keeps_the_record(
    vault: Vault, tokenize: Tokenize, book: int, database: Database
) -> None:
    token, kept = (await tokenize()).token, (await tokenize()).token
    await reveal(vault, token)
    assert (await vault.forget(token), await vault.forget(token)) == (True, False)
    with pytest.raises(TokenUnknown):
        await reveal(vault, token)
    assert await vault.find_by_number(book, VISA) == [kept]
    assert await key_count(database, book) == 2
    assert len(await vault.reveals(book, token)) == 1
    with pytest.raises(TokenUnknown):
        await vault.forget(VISA)


async def test_forget_of_one_card_of_a_person_leaves_the_others_readable(
    vault: Vault, tokenize: Tokenize, ids: IdFactory, database: Database, book: int
) -> None:
    person = ids.uuid()
    first, second = await tokenize(person=person), await tokenize(MASTERCARD, person=person)
    await vault.forget(first.token)
    assert (await reveal(vault, second.token)).number == MASTERCARD
    await vault.forget(second.token)
    assert await key_count(database, book) == 1
    assert (await reveal(vault, (await tokenize(person=person)).token)).number == VISA


async def test_forget_beside_tokenize_of_the_same_person_never_loses_a_key(
    vault: Vault, tokenize: Tokenize, ids: IdFactory
) -> None:
    person = ids.uuid()
    token = await tokenize(person=person)
    for _ in range(10):
        _, token = await asyncio.gather(vault.forget(token.token), tokenize(person=person))
        assert (await reveal(vault, token.token)).number == VISA


async def test_card_with_an_end_is_unknown_from_then_on_and_removed(
    vault: Vault, database: Database, book: int, clock: FrozenClock
) -> None:
    async with database.transaction() as connection:
        end = NOW + timedelta(hours=1)
        token = (await vault.tokenize_card(connection, book, card(), expires_at=end)).token
    assert await vault.forget_expired() == 0
    assert (await reveal(vault, token)).number == VISA
    clock.advance(timedelta(hours=1))
    with pytest.raises(TokenUnknown):
        await reveal(vault, token)
    assert (await vault.forget_expired(), await vault.forget_expired()) == (1, 0)
    assert await vault.find_by_number(book, VISA) == []


async def test_shred_makes_every_card_of_the_person_unreadable_in_every_book(
    vault: Vault, tokenize: Tokenize, book: int, ids: IdFactory
) -> None:
    person, elsewhere = ids.uuid(), ids.int63()
    tokens = [
        await tokenize(person=person),
        await tokenize(MASTERCARD, person=person),
        await tokenize(person=person, book_id=elsewhere),
    ]
    kept = await tokenize()
    await reveal(vault, tokens[0].token)
    assert (await vault.shred(person), await vault.shred(person)) == (2, 0)
    for one in tokens:
        with pytest.raises(TokenShredded) as raised:
            await reveal(vault, one.token)
        assert raised.value.code == "token_shredded"
    assert (await reveal(vault, kept.token)).number == VISA
    assert await vault.find_by_number(book, VISA) == [kept.token]
    assert await vault.find_by_number(elsewhere, VISA) == []
    with pytest.raises(PersonShredded):
        await tokenize(person=person)


@pytest.mark.parametrize("person", [BOOK_ITSELF])
async def test_shred_of_a_book_is_refused(vault: Vault, person: UUID) -> None:
    with pytest.raises(InvalidRequest):
        await vault.shred(person)


async def test_closed_vault_reveals_nothing(open_vault: OpenVault, tokenize: Tokenize) -> None:
    token, closed = (await tokenize()).token, await open_vault()
    await closed.close()
    with pytest.raises(AppError, match="lane_closed"):
        await reveal(closed, token)


@pytest.mark.parametrize("region", ["", "EU", "a|b", "x" * 33])
async def test_vault_in_a_malformed_region_is_refused(open_vault: OpenVault, region: str) -> None:
    with pytest.raises(InvalidRequest):
        await open_vault(region=region)
