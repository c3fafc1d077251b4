"""Masking: which keys are secret, what is found inside text, and what must stay readable."""

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from tongbao.core.masking import (
    CUT,
    DEPTH_MAX,
    ITEMS_MAX,
    MASK,
    TEXT_MAX,
    mask,
    mask_entry,
    mask_text,
    names_secret,
)

CARD = "4111111111111111"
SHOWN = "411111******1111"


def luhn_valid(body: str) -> str:
    """Return ``body`` with the check digit that makes it a card number."""
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(reversed(body)))
    return body + str(-total % 10)


@pytest.mark.parametrize(
    "key",
    [
        *[
            "password",
            "db_password",
            "PASSWORD",
            "passwd",
            "secret",
            "client_secret",
            "clientSecret",
            "token",
        ],
        *[
            "access_token",
            "accessToken",
            "authorization",
            "Proxy-Authorization",
            "api_key",
            "X-Api-Key",
            "apikey",
        ],
        *["pan", "cardPAN", "card_number", "cardNumber", "cvc", "cvc2", "cvv", "card-cvv", "pin", "otp"],
        *["private_key_pem", "signing_key", "key_material", "kek", "cookie", "Set-Cookie", "credentials"],
    ],
)
def test_key_that_looks_like_a_secret_is_one(key: str) -> None:
    assert names_secret(key)
    assert mask_entry(key, "anything") == mask_entry(key, 123) == mask_entry(key, {"a": 1}) == MASK


@pytest.mark.parametrize(
    "key",
    [
        *["", "_", "event", "key", "idempotency_key", "public_key", "company", "pinned", "expand", "span_id"],
        *[
            "token_count",
            "token_expires_at",
            "authorization_id",
            "authorization_amount_minor",
            "amount_minor",
        ],
    ],
)
def test_key_that_only_resembles_a_secret_is_none(key: str) -> None:
    assert not names_secret(key)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (CARD, SHOWN),
        (f"paid with {CARD}.", f"paid with {SHOWN}."),
        ("4111 1111 1111 1111", "4111 11** **** 1111"),
        ("4111-1111-1111-1111", "4111-11**-****-1111"),
        ("3782 822463 10005", "3782 82**** *0005"),
        ("6304000000000000000", "630400*********0000"),
        ("4222222222222", "422222***2222"),
        (f"{CARD} 12/29", f"{SHOWN} 12/29"),
        (f"order 7 {CARD} 123", f"order 7 {SHOWN} 123"),
        (f"{CARD},5555555555554444", f"{SHOWN},555555******4444"),
        ("４１１１１１１１１１１１１１１１", "４１１１１１******１１１１"),
    ],
)
def test_card_number_in_a_text_keeps_first_six_and_last_four(text: str, masked: str) -> None:
    assert mask_text(text) == masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "411111111111",
        "41111111111111111111",
        "tr_01jd3k8v4yefvb3k4g8h2m5n6p",
        "0197aaaa-4111-1111-1111-111111111111",
        "2026-05-01T12:00:00.000000Z",
        "posted 1234 of 5678 in 12 ms",
        "",
    ],
)
def test_text_without_a_card_number_stays_as_it_is(text: str) -> None:
    assert mask_text(text) == text


@settings(max_examples=150, deadline=None)
@given(
    st.text("0123456789", min_size=12, max_size=18).map(luhn_valid),
    st.sampled_from(["", " ", "-"]),
    st.sampled_from(["", "pan ", "7 ", "x=", "《"]),
    st.sampled_from(["", " 12", " 12/29", "=2512", "!", " end"]),
)
def test_any_card_number_in_groups_of_four_never_shows_its_middle(
    card: str, separator: str, before: str, after: str
) -> None:
    written = separator.join(card[start : start + 4] for start in range(0, len(card), 4))
    masked = mask_text(before + written + after)
    assert written not in masked
    stars = masked[len(before) : len(before) + len(written)].replace(separator or "~", "")
    assert set(stars[6:-4]) == {"*"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:hunter2@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u:hun/ter@2@h/db", "postgresql://u:***@h/db"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("host=h password=hunter2 user=u", "host=h password=*** user=u"),
        ("host=h password='hun ter2' user=u", "host=h password=*** user=u"),
        ("GET /pay?token=hunter2&page=2", "GET /pay?token=***&page=2"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("sent bearer hunter2 twice", "sent bearer *** twice"),
        ("Cookie: sid=hunter2; theme=hunter2", "Cookie: ***"),
        ('{"api_key": "hun\\"ter2", "page": 2}', '{"api_key": ***, "page": 2}'),
        ("Card(cvc='hunter2', name='x')", "Card(cvc=***, name='x')"),
    ],
)
def test_secret_in_a_text_is_hidden(text: str, masked: str) -> None:
    assert mask_text(text) == masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/a@b",
        "https://host/path",
        "mail to a@b",
        "unexpected token }",
        "12:30:45",
        "key=5",
        "a://b:1",
    ],
)
def test_text_that_only_resembles_a_secret_stays(text: str) -> None:
    assert mask_text(text) == text


def test_key_of_a_dsn_hides_it_whole_where_it_has_a_password() -> None:
    assert mask_entry("database_url", "postgresql://u:hunter2@h/db") == MASK
    assert mask_entry("dsn", "host=h password=hunter2") == MASK
    assert mask_entry("dsn", "postgresql://h/db") == "postgresql://h/db"
    assert mask_entry("callback_url", "https://u:hunter2@h/") == "https://u:***@h/"


def test_mask_of_nested_containers_reaches_every_level_and_keeps_the_input() -> None:
    value = {"a": [{"cvc": 1, "note": (CARD, {"token": "x"})}], CARD: 1, "n": 4111111111111111}
    expected = {"a": [{"cvc": MASK, "note": [SHOWN, {"token": MASK}]}], SHOWN: 1, "n": 4111111111111111}
    assert mask(value) == expected
    assert CARD in value


def test_mask_of_endless_containers_is_cut() -> None:
    deep: dict[str, Any] = {}
    deep["again"] = deep
    assert str(mask(deep)).count("again") == DEPTH_MAX
    assert mask(list(range(ITEMS_MAX + 5))) == [*range(ITEMS_MAX), CUT]
    assert mask({str(key): 0 for key in range(ITEMS_MAX + 5)}) == {
        **{str(key): 0 for key in range(ITEMS_MAX)},
        CUT: 5,
    }


@dataclass
class Card:
    number: str
    cvc: int


class Broken:
    def __str__(self) -> str:
        raise RuntimeError(CARD)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (Decimal("1.50"), "1.50"),
        (SecretStr("hunter2"), MASK),
        (SecretBytes(b"hunter2"), MASK),
        (b"hunter2", "<7 bytes>"),
        (Card(CARD, 5), f"Card(number='{SHOWN}', cvc=***)"),
        (ValueError(f"bad card {CARD}"), f"bad card {SHOWN}"),
        (Broken(), "<Broken that cannot be printed>"),
    ],
)
def test_mask_of_other_values_gives_what_may_be_printed(value: object, masked: object) -> None:
    assert mask(value) == masked


@pytest.mark.parametrize(
    "piece", ["A", "1 ", "4", "://a:", "://a:b@", "password", "password='", '"', "\\", "token=", "cookie:"]
)
def test_mask_of_a_hostile_text_is_quick_and_bounded(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    start = time.thread_time()
    assert len(mask_text(text)) <= TEXT_MAX
    # Linear work takes a tenth of a second, quadratic work hours.
    assert time.thread_time() - start < 5.0


@pytest.mark.parametrize("secret", ["postgresql://u:hunter2@h", CARD])
def test_mask_of_a_long_text_never_shows_a_secret_at_its_cut(secret: str) -> None:
    for end in range(len(secret) + 1):
        masked = mask_text("." * (TEXT_MAX - end) + secret + "." * 100)
        assert "hunter2" not in masked
        assert CARD[:13] not in masked
