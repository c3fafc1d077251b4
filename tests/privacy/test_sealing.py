"""Seals and the blind index as such."""

import hashlib
import hmac
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.privacy.conftest import VISA

from tongbao.privacy.errors import SealBroken
from tongbao.privacy.schema import (
    DIGEST_BYTES,
    fingerprint_text,
    parse_fingerprint,
    parse_token,
    token_text,
)
from tongbao.privacy.sealing import NONCE_BYTES, blind_index, seal, unseal

KEYS = st.binary(min_size=32, max_size=32)
NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)


@settings(deadline=None)
@given(KEYS, NONCES, st.binary(max_size=300), st.binary(max_size=60))
def test_unseal_in_its_place_returns_what_was_sealed(
    key: bytes, nonce: bytes, clear: bytes, context: bytes
) -> None:
    sealed = seal(key, nonce, clear, context)
    assert unseal(key, nonce, sealed, context) == clear
    assert len(sealed) == len(clear) + 16


@settings(deadline=None)
@given(KEYS, NONCES, st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60), st.data())
def test_unseal_with_any_bit_changed_is_refused(
    key: bytes, nonce: bytes, clear: bytes, context: bytes, data: st.DataObject
) -> None:
    parts = [key, nonce, seal(key, nonce, clear, context), context]
    which = data.draw(st.integers(0, 3))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    value = int.from_bytes(parts[which], "big") ^ (1 << bit)
    parts[which] = value.to_bytes(len(parts[which]), "big")
    with pytest.raises(SealBroken):
        unseal(*parts)


def test_blind_index_is_hmac_under_a_key_derived_by_hkdf() -> None:
    book_key = bytes(range(32))
    # RFC 5869, 2.3, written out for one block of output.
    derived = hmac.digest(book_key, b"tongbao/vault/blind-index/card-number/v1\x01", hashlib.sha256)
    expected = hmac.digest(derived, VISA.encode(), hashlib.sha256)[:16]
    assert blind_index(book_key, VISA) == expected
    assert blind_index(bytes(32), VISA) != expected


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.uuids(), st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES))
def test_text_of_a_token_and_a_fingerprint_can_be_read_back(
    book_id: int, token_id: UUID, digest: bytes
) -> None:
    token = token_text(book_id, token_id)
    assert parse_token(token) == (book_id, token_id)
    assert (len(token), token[:4]) == (43, "tok_")
    assert parse_fingerprint(fingerprint_text(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        *["", "tok_", VISA, "tok_" + "0" * 38, "tok_" + "0" * 40, "pm_" + "0" * 39, "TOK_" + "0" * 39],
        *["tok_" + "U" * 39, "tok_8" + "0" * 38, "tok_" + "0" * 13 + "8" + "0" * 25],
        *["tok_" + "0" * 12 + "_" + "0" * 26, " tok_" + "0" * 39, "tok_" + "0" * 13 + "_" + "0" * 25],
    ],
)
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_token(text)
