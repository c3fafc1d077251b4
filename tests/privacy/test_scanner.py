"""The scanner: every card number is found wherever it stands, and what resembles one is let through."""

import json
import time
import timeit
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.privacy.conftest import VISA
from tests.privacy.numbers import TEST_CARDS, card_numbers

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import int_text, uuid_text
from tongbao.privacy.errors import CardDataRefused
from tongbao.privacy.policy.scanner import DEPTH_MAX
from tongbao.privacy.schema import fingerprint_text, token_text
from tongbao.privacy.service.screening import find_card_number, refuse_card_data

FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


@pytest.mark.parametrize("number", [number for number, _ in TEST_CARDS])
def test_scan_of_a_test_card_finds_it(number: str) -> None:
    assert find_card_number(number) == (0, len(number))


@pytest.mark.parametrize(
    "text",
    [
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4242 - 4242 - 4242 - 4242",
        "4242\u00a04242\u20094242\u202f4242",
        "4242–4242—4242−4242",
        "3782 822463 10005",
        "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "my card is 4242424242424242.",
        "card:4242424242424242,exp:12/30",
        "4242424242424242 12 30 737",
        "order 17 4242 4242 4242 4242 99",
        "visa4242424242424242",
        "pan_4242424242424242",
        "4242424242424242x",
        "{'n':'4242424242424242'}",
        "2026-11-22 4242424242424242",
        "卡号4242424242424242有效期",
        "卡号４２４２　４２４２　４２４２　４２４２",
        "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
        "0197aaaa-4111-7111-9111-111111111111 4242424242424242",
        "4111111111111112 4242424242424242",
        ";4242424242424242=30122010000000000000?",
        "%B4242424242424242^LOVELACE/ADA^3012201?",
    ],
)
def test_scan_of_a_text_with_a_card_number_finds_it(text: str) -> None:
    found = find_card_number(text)
    assert found is not None
    digits = "".join(str(int(char)) for char in text[slice(*found)] if char.isdecimal())
    assert digits in {VISA, "378282246310005"}


@pytest.mark.parametrize(
    "text",
    [
        *["", "hello", "4242", "424242424242", "4242424242424241", "42424242424242424242"],
        *["1732233600000", "1732233600000000", "1732233600000000000", "20261122101112", "20261122101112345"],
        *["2026-11-22T10:11:12.123456Z", "2026-11-22 10:11:12", "+86 138 0013 8000", "+49 1512 3456789"],
        *["13800138000 13900139000", "+1 (415) 555-2671, +1 (415) 555-2672", "0000000000000000"],
        # Orders of Alipay and WeChat Pay, an application id, an IBAN, an ICCID, an IMEI.
        *["2026112222001425610501234567", "4200001234202611221234567890", "2021001234567890"],
        *["GB29 NWBK 6016 1331 9268 19", "8986012345678901234", "356938035643809", "DE89370400440532013000"],
        # Bar codes that begin like a Visa card and pass the Luhn check.
        *["4901234567894", "4902505163579", "4902505163678", "9780306406157"],
        # Resident ids of Gansu, which begin like UnionPay's cards and pass the Luhn check.
        *["620102199001010257", "620102199001010265", "62010219900101555X", "62010219900101555x"],
        *["ord_4242x4242424242424242", "a1b4242424242424242", "4242424242424242a1", "9f4242424242424242"],
        *["0197aaaa-4242-4242-4242-424242424242", "ORDER-0197AAAA-4111-7111-9111-111111111111"],
        *["3.14159265358979323846", "1,234,567,890,123,456", "4242.4242.4242.4242", "4242/4242/4242/4242"],
        *["4242424242424242424242424242424242424242", "5018000000000009", "6304000000000000000"],
    ],
)
def test_scan_of_a_text_without_a_card_number_finds_nothing(text: str) -> None:
    assert find_card_number(text) is None


def resident_id(area: str, born: str, serial: int) -> str:
    """A resident id with its check digit, from the definition in GB 11643."""
    body = f"{area}{born}{serial:03d}"
    total = sum(int(digit) * (2 ** (17 - index) % 11) for index, digit in enumerate(body))
    return body + "10X98765432"[total % 11]


@settings(deadline=None)
@given(
    st.sampled_from(["620102", "360102", "650102", "352801"]),
    st.dates().filter(lambda day: 1900 <= day.year < 2100),
    st.integers(0, 999),
)
def test_scan_of_a_resident_id_finds_nothing(area: str, born: Any, serial: int) -> None:
    text = resident_id(area, f"{born:%Y%m%d}", serial)
    assert find_card_number(f"id {text}") is None


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A card number, and a way to write it: separators anywhere, in some script's digits."""
    number = draw(card_numbers().filter(lambda one: find_card_number(one) is not None))
    separator = draw(st.sampled_from(["", " ", "-", "  ", "\u00a0", "–", " - "]))
    cuts = draw(st.sets(st.integers(1, len(number) - 1), max_size=6)) if separator else set()
    text = "".join(separator + digit if index in cuts else digit for index, digit in enumerate(number))
    return number, text.translate(draw(st.sampled_from([{}, FULL_WIDTH, ARABIC])))


AROUND = st.text("abc xyz,.:;()[]{}<>!?'\"=&%#@*|~《》，。é\n", max_size=30)


@settings(max_examples=500, deadline=None)
@given(written(), AROUND, AROUND)
def test_any_card_number_inserted_anywhere_is_found(
    number_and_text: tuple[str, str], before: str, after: str
) -> None:
    number, text = number_and_text
    found = find_card_number(before + text + after)
    assert found is not None
    # In groups, a part of them may be a card number of its own.
    assert (
        "".join(str(int(char)) for char in (before + text + after)[slice(*found)] if char.isdecimal())
        in number
    )
    with pytest.raises(CardDataRefused) as raised:
        refuse_card_data({"metadata": {"note": before + text + after}})
    assert raised.value.facts == {"param": "metadata[note]"}
    assert number not in str(raised.value)


@settings(deadline=None)
@given(card_numbers())
def test_card_numbers_that_are_let_through_are_bar_codes_or_resident_ids(number: str) -> None:
    if find_card_number(number) is None:
        assert len(number) in {13, 18}


@settings(max_examples=500, deadline=None)
@given(st.uuids(), st.integers(0, 2**60 - 1), st.integers(0, 2**48 - 1))
def test_scan_of_ids_and_uuids_finds_nothing(random: UUID, book: int, ms: int) -> None:
    # Ids of ours begin with a time: 48 bits of milliseconds, or 42 of them above 21 random bits.
    ordered = UUID(int=(ms << 80) | (random.int & ((1 << 80) - 1)))
    ids = [
        uuid_text("pi", ordered),
        int_text("book", book),
        token_text(book, random),
        str(random),
        random.urn,
    ]
    for text in [*ids, str(ordered), random.hex[:8] + "f" + random.hex[8:], " ".join(ids)]:
        assert find_card_number(text) is None, text
    refuse_card_data({"ids": ids})


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=16))
def test_scan_of_a_fingerprint_finds_nothing(digest: bytes) -> None:
    assert find_card_number(fingerprint_text(digest)) is None


FORM = {
    "amount": "1999",
    "currency": "usd",
    "payment_method": "pm_01jd3k8v4yefvb3k4g8h2m5n6p",
    "description": "Two tickets for the evening show",
    "metadata": {"order_id": "20261122-000017", "seat": "B12"},
    "items": [{"name": "ticket", "unit_amount": 1999, "quantity": 2}],
    "created": 1795348800,
    "confirm": True,
    "ratio": 0.5,
    "note": None,
}


def test_refuse_card_data_in_an_ordinary_request_lets_it_pass() -> None:
    refuse_card_data(FORM)
    refuse_card_data(json.dumps(FORM))


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (VISA, ""),
        (int(VISA), ""),
        ({"description": f"card {VISA}"}, "description"),
        ({"metadata": {"note": "4242 4242 4242 4242"}}, "metadata[note]"),
        ({"metadata[note]": VISA}, "metadata[note]"),
        ({"items": [{"name": "a"}, {"name": VISA}]}, "items[1][name]"),
        ({"metadata": {"n": int(VISA)}}, "metadata[n]"),
        ({"metadata": {"n": float(VISA)}}, "metadata[n]"),
        ({"metadata": {"n": -int(VISA)}}, "metadata[n]"),
        ({"metadata": {VISA: "x"}}, "metadata[]"),
        ({VISA: "x"}, "[]"),
        ({int(VISA): "x"}, "[]"),
        ({"card": {"number": "x", "name": VISA}}, "card[name]"),
        ({"note": "４２４２４２４２４２４２４２４２"}, "note"),
        ({"number": VISA}, "number"),
        ({"card": {"number": {VISA: VISA}}}, "card[number][]"),
        (({"x": 1}, (VISA,)), "[1][0]"),
    ],
)
def test_refuse_card_data_names_the_field_and_never_the_value(value: object, param: str) -> None:
    with pytest.raises(CardDataRefused) as raised:
        refuse_card_data({**FORM, **value} if isinstance(value, dict) else value)
    assert (raised.value.code, raised.value.facts) == ("card_data_not_allowed_here", {"param": param})
    assert VISA not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        {"card": {"number": VISA, "exp_month": 12}},
        {"card[number]": VISA},
        {"payment_method_data": {"card": {"number": VISA}}},
        {"payment_method_data[card][number]": VISA},
    ],
)
def test_refuse_card_data_in_a_card_field_lets_it_pass(value: object) -> None:
    refuse_card_data(value)
    with pytest.raises(CardDataRefused):
        refuse_card_data(value, allowed=frozenset())


@pytest.mark.parametrize("first", [{}, {"a": VISA}])
def test_refuse_card_data_too_deep_is_refused(first: dict[str, object]) -> None:
    value: object = VISA
    for _ in range(DEPTH_MAX):
        value = [value]
    with pytest.raises(CardDataRefused):
        refuse_card_data(value)
    with pytest.raises(InvalidRequest):
        refuse_card_data({"b": [value], **first})


@pytest.mark.parametrize("piece", ["4 ", "4", "4- -", "4x", "4242424242424241 ", "4111-"])
def test_scan_of_a_hostile_text_takes_time_in_proportion_to_its_length(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        return min(timeit.repeat(lambda: find_card_number(text), timer=time.process_time, number=1, repeat=3))

    # Four times the text: about four times the time where it is linear, sixteen where it is not.
    assert seconds(80_000) < 10 * max(seconds(20_000), 0.01)


def test_scan_of_a_long_text_finds_the_number_at_its_end() -> None:
    assert find_card_number("4- -" * 20_000 + "x" + VISA) == (80_001, 80_017)
