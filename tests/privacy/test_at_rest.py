"""What lies in the database: nothing readable, nothing that opens elsewhere, and keys that can be rotated."""

import asyncio
import base64
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from msgspec import structs
from tests.privacy.conftest import CVC, NAME, VISA, OpenVault, Tokenize

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvariantBroken
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.errors import KeyRefused, PersonShredded, SealBroken
from tongbao.privacy.schema import BOOK_ITSELF, PersonKey, RevealedCard, parse_token
from tongbao.privacy.service.data_keys import DataKeys
from tongbao.privacy.service.vault import Vault

CARD = RevealedCard(VISA, 12, 2030, None, NAME)
OTHER = "371449635398431"


async def reveal(vault: Vault, token: str) -> RevealedCard:
    """Reveal a card without its CVC."""
    return await vault.reveal_card(token, purpose="refund", actor="channel:iso_main", subject="re_1")


async def dump(database: Database) -> tuple[int, bytes]:
    """Every row of every table of every schema of ours, as text and as the server sends bytes."""
    tables = """
        SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname NOT LIKE 'pg_toast%'
    """
    seen, parts = 0, []
    async with database.connection() as connection:
        for schema, table in await connection.fetch(tables):
            for row in await connection.fetch(
                f'SELECT t.*, t::text AS as_text FROM "{schema}"."{table}" AS t'
            ):
                seen += schema == "privacy"
                parts += [
                    value if isinstance(value, bytes) else str(value).encode() for value in row.values()
                ]
    return seen, b"\x00".join(parts)


def forms(secret: str) -> Iterator[bytes]:
    """The ways in which a text could hide in bytes: itself, hex, base64 at every offset, packed BCD, UTF-16."""
    plain = secret.encode()
    yield plain
    yield plain[::-1]
    yield plain.hex().encode()
    yield secret.encode("utf-16-le")
    for offset in range(3):
        # What stands before shifts the groups of three; only characters that depend on the secret alone are kept.
        kept = base64.b64encode(b"\x00" * offset + plain)[offset + 1 : -4]
        yield kept
    if secret.isdecimal():
        yield bytes.fromhex(secret.rjust(len(secret) + len(secret) % 2, "0"))
        yield bytes.fromhex(secret.ljust(len(secret) + len(secret) % 2, "f"))
        yield int(secret).to_bytes(8, "big")
        yield int(secret).to_bytes(8, "little")


async def test_no_table_holds_a_number_or_a_name_in_any_form(
    vault: Vault, tokenize: Tokenize, database: Database, ids: IdFactory
) -> None:
    for number in (VISA, OTHER):
        token = await tokenize(number, person=ids.uuid(), cvc="7391" if number == OTHER else CVC)
        revealed = await vault.reveal_card(
            token.token, purpose="authorize", actor="channel:a", subject="pa_1"
        )
        assert revealed.number == number
    seen, everything = await dump(database)
    assert seen >= 9  # two keys and the book's, two items, two lines of the index, two of the record
    for secret in (VISA, OTHER, NAME):
        found = [form for form in forms(secret) if len(form) >= 6 and form in everything]
        assert found == [], secret


async def test_no_sealed_value_holds_the_cvc(
    vault: Vault, tokenize: Tokenize, keys: FileKeys, database: Database
) -> None:
    """Three digits occur in random bytes by chance, so this looks at lengths: equal with and without a CVC."""
    lengths = []
    for cvc in (CVC, None):
        book_id, token_id = parse_token((await tokenize(cvc=cvc)).token)
        async with database.connection() as connection:
            lengths.append(
                await connection.fetchval(
                    "SELECT octet_length(ciphertext) FROM privacy.item WHERE book_id = $1 AND token_id = $2",
                    book_id,
                    token_id,
                )
            )
    assert lengths[0] == lengths[1]


@pytest.mark.parametrize("secret", ["4242424242424242", "371449635398431", NAME], ids=["even", "odd", "name"])
def test_forms_find_a_planted_secret(secret: str) -> None:
    planted = [
        secret.encode(),
        base64.b64encode(b"ab" + secret.encode() + b"cde"),
        base64.b64encode(b"a" + secret.encode()),
        secret.encode().hex().encode(),
    ]
    for text in planted:
        assert any(form in b"xx" + text + b"yy" for form in forms(secret))


SWAP = """
UPDATE privacy.item AS a SET ciphertext = b.ciphertext, nonce = b.nonce, key_version = b.key_version
FROM privacy.item AS b
WHERE a.book_id = $1 AND a.token_id = $2 AND b.book_id = $3 AND b.token_id = $4
"""
SWAP_KEYS = """
UPDATE privacy.person_key AS a SET wrapped_key = b.wrapped_key, key_version = b.key_version
FROM privacy.person_key AS b, privacy.item AS i, privacy.item AS j
WHERE i.book_id = $1 AND i.token_id = $2 AND j.book_id = $3 AND j.token_id = $4
AND a.book_id = i.book_id AND a.person_id = i.person_id AND b.book_id = j.book_id AND b.person_id = j.person_id
"""


@pytest.mark.parametrize("statements", [[SWAP], [SWAP, SWAP_KEYS]], ids=["item", "item_and_key"])
async def test_sealed_card_moved_to_another_row_does_not_open(
    vault: Vault, tokenize: Tokenize, database: Database, statements: list[str]
) -> None:
    mine, theirs = await tokenize(OTHER, cvc=None), await tokenize()
    await reveal(vault, theirs.token)  # its key is open in memory, which must not help
    async with database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement, *parse_token(mine.token), *parse_token(theirs.token))
    with pytest.raises(SealBroken):
        await reveal(vault, mine.token)
    assert (await reveal(vault, theirs.token)).number == VISA


async def test_sealed_card_moved_between_cards_of_one_person_does_not_open(
    vault: Vault, tokenize: Tokenize, database: Database, ids: IdFactory
) -> None:
    person = ids.uuid()
    mine, theirs = await tokenize(OTHER, cvc=None, person=person), await tokenize(person=person)
    async with database.transaction() as connection:
        await connection.execute(SWAP, *parse_token(mine.token), *parse_token(theirs.token))
    with pytest.raises(SealBroken):
        await reveal(vault, mine.token)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE privacy.item SET ciphertext = set_byte(ciphertext, 3, 255 - get_byte(ciphertext, 3))",
        "UPDATE privacy.item SET nonce = set_byte(nonce, 3, 255 - get_byte(nonce, 3))",
        "UPDATE privacy.item SET key_version = key_version + 1",
        "UPDATE privacy.person_key SET region = 'mars'",
        "UPDATE privacy.person_key SET wrapped_key = set_byte(wrapped_key, 20, 255 - get_byte(wrapped_key, 20))",
        "UPDATE privacy.person_key SET key_version = key_version + 1",
    ],
)
async def test_reveal_of_an_altered_row_is_refused(
    vault: Vault, tokenize: Tokenize, database: Database, book: int, statement: str
) -> None:
    token = (await tokenize()).token
    assert await reveal(vault, token) == CARD
    async with database.transaction() as connection:
        await connection.execute(f"{statement} WHERE book_id = $1", book)
    with pytest.raises((SealBroken, KeyRefused)):
        await reveal(vault, token)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE privacy.item SET nonce = 'short' WHERE book_id = $1",
        "UPDATE privacy.item SET ciphertext = 'too short' WHERE book_id = $1",
        "UPDATE privacy.item SET kind = 'cvc' WHERE book_id = $1",
        "UPDATE privacy.item SET expires_at = created_at WHERE book_id = $1",
        "UPDATE privacy.person_key SET wrapped_key = NULL WHERE book_id = $1",
        "UPDATE privacy.person_key SET destroyed_at = created_at WHERE book_id = $1",
        "UPDATE privacy.person_key SET wrapped_key = 'clear key' WHERE book_id = $1",
        "UPDATE privacy.person_key SET key_version = 0 WHERE book_id = $1",
        "UPDATE privacy.blind_index SET digest = '1234567890123456789' WHERE book_id = $1",
        "UPDATE privacy.reveal SET purpose = 'curiosity' WHERE book_id = $1",
        "UPDATE privacy.reveal SET actor = 'key:1' WHERE book_id = $1",
        "UPDATE privacy.reveal SET subject = '' WHERE book_id = $1",
    ],
)
async def test_database_refuses_rows_that_make_no_sense(
    vault: Vault, tokenize: Tokenize, database: Database, book: int, statement: str
) -> None:
    await reveal(vault, (await tokenize()).token)
    async with database.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(statement, book)


async def rewrap_all(vault: Vault, limit: int) -> int:
    """Rewrap in steps until nothing is left; return the number of steps."""
    steps = 0
    while await vault.rewrap(limit):
        steps += 1
    return steps


@pytest.mark.usefixtures("empty")
async def test_rotation_and_rewrap_keep_every_card_readable_after_the_old_version_retired(
    open_vault: OpenVault, vault: Vault, tokenize: Tokenize, keys: FileKeys, clock: FrozenClock, book: int
) -> None:
    tokens = [await tokenize() for _ in range(5)]
    keys.rotate(timedelta(days=7))
    newer = await tokenize()
    assert (await reveal(vault, tokens[0].token)) == CARD
    assert (await vault.key_usage())[1] == 6  # five cards and the book itself
    assert await rewrap_all(vault, 4) == 2
    assert 1 not in await vault.key_usage()
    clock.advance(timedelta(days=8))
    fresh = await open_vault()
    for token in [*tokens, newer]:
        assert await reveal(fresh, token.token) == CARD
    assert newer.fingerprint == tokens[0].fingerprint == (await tokenize()).fingerprint
    assert len(await fresh.find_by_number(book, VISA)) == 7


@pytest.fixture
async def empty(database: Database) -> None:
    """A vault without the data keys of other tests, which have wrapping keys of their own."""
    async with database.connection() as connection:
        await connection.execute("TRUNCATE privacy.person_key, privacy.item, privacy.blind_index")


async def test_card_that_was_not_rewrapped_in_time_is_refused_also_from_memory(
    vault: Vault, tokenize: Tokenize, keys: FileKeys, clock: FrozenClock
) -> None:
    token = (await tokenize()).token
    assert await reveal(vault, token) == CARD
    keys.rotate(timedelta(days=1))
    clock.advance(timedelta(days=1))
    with pytest.raises(KeyRefused) as raised:
        await reveal(vault, token)
    assert raised.value.code == "key_retired"


@pytest.mark.usefixtures("empty")
async def test_rewrap_goes_round_keys_that_do_not_open_and_then_complains(
    vault: Vault, tokenize: Tokenize, keys: FileKeys, database: Database, ids: IdFactory, book: int
) -> None:
    person = ids.uuid()
    broken, sound = await tokenize(person=person), await tokenize()
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE privacy.person_key SET region = 'mars' WHERE book_id = $1 AND person_id = $2",
            book,
            person,
        )
    keys.rotate()
    with pytest.raises(InvariantBroken) as raised:
        await vault.rewrap()
    assert raised.value.facts == {"broken_count": 1, "rewrapped_count": 2}
    assert await reveal(vault, sound.token) == CARD
    assert await vault.key_usage() == {1: 1, 2: 2}
    with pytest.raises(SealBroken):
        await reveal(vault, broken.token)


@pytest.mark.usefixtures("empty")
async def test_rewrap_beside_shred_brings_nobody_back(
    vault: Vault, tokenize: Tokenize, keys: FileKeys, database: Database, ids: IdFactory
) -> None:
    people = [ids.uuid() for _ in range(10)]
    await asyncio.gather(*[tokenize(person=person) for person in people])
    keys.rotate()
    await asyncio.gather(vault.rewrap(5), vault.rewrap(5), *[vault.shred(person) for person in people])
    async with database.connection() as connection:
        left = await connection.fetch(
            "SELECT person_id FROM privacy.person_key WHERE wrapped_key IS NOT NULL"
        )
    assert [row["person_id"] for row in left] == [BOOK_ITSELF]


async def test_open_key_in_memory_ends_after_a_minute(
    open_vault: OpenVault, tokenize: Tokenize, clock: FrozenClock
) -> None:
    metrics = Metrics()
    vault = await open_vault(metrics=metrics)
    token = (await tokenize()).token
    for expected in (1, 1, 2, 2):
        await reveal(vault, token)
        assert metrics.registry.get_sample_value("tongbao_vault_keys_unwrapped_total") == expected
        clock.advance(timedelta(seconds=30))


async def test_open_keys_in_memory_are_bounded_and_never_printed(keys: FileKeys, clock: FrozenClock) -> None:
    data_keys = DataKeys(keys, clock, secrets.token_bytes, Metrics(), region="home", cached_max=2)
    for number in range(4):
        blank = PersonKey(book_id=7, person_id=UUID(int=number + 1), region="home", wrapped=None)
        wrapped = await keys.wrap(bytes([number]) * 32, blank.context)
        assert await data_keys.open(structs.replace(blank, wrapped=wrapped)) == bytes([number]) * 32
    assert repr(data_keys) == str(data_keys) == "DataKeys(2 open)"
    with pytest.raises(PersonShredded):
        await data_keys.open(blank)


async def test_wrong_key_file_opens_nothing(
    open_vault: OpenVault, tokenize: Tokenize, tmp_path: Path, clock: FrozenClock
) -> None:
    token = (await tokenize()).token
    stranger = await open_vault(FileKeys(tmp_path / "other.json", clock))
    with pytest.raises(SealBroken):
        await reveal(stranger, token)
