"""Messages, amounts and references of our ISO 8583 dialect, and what calls and answers become in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.channels.cards import CVC, GOOD, NOON, authorize, card, follow, inquire

from tongbao.channels.adapters.iso8583 import dialect, transform
from tongbao.channels.adapters.iso8583.dialect import Unreadable
from tongbao.channels.adapters.iso8583.transform import Terminal
from tongbao.channels.schema import Answer, Initiator, Merchant, Operation, Outcome, Reason
from tongbao.privacy.schema import RevealedCard

TERMINAL = Terminal(terminal_id="TB01", merchant_id="M1", acquirer_id="123456", forwarding_id="9")
REVEALED = RevealedCard(number=GOOD, exp_month=3, exp_year=2031, cvc=CVC)


def test_message_is_written_as_a_frame_of_known_bytes() -> None:
    frame = dialect.encode("0800", {"7": "1120120000", "11": "000001", "70": "301"})
    # Length 39; type; bitmaps with 1, 7, 11 and 70; the three fields.
    assert (
        frame == b"\x00\x270800" + bytes.fromhex("82200000000000000400000000000000") + b"1120120000000001301"
    )
    assert dialect.decode(frame[2:]) == ("0800", {"7": "1120120000", "11": "000001", "70": "301"})


@pytest.mark.parametrize("raw", [b"", b"0110", b"\xff" * 40, b"0110" + b"\xff" * 8, b"junk" * 10])
def test_bytes_that_are_no_message_are_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        dialect.decode(raw)


@given(raw=st.binary(max_size=200))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    try:
        mti, fields = dialect.decode(raw)
    except Unreadable:
        return
    assert len(mti) == 4
    assert all(number.isdigit() for number in fields)


@pytest.mark.parametrize(
    "fields", [{"2": GOOD * 2}, {"2": GOOD, "41": "short"}, {"2": GOOD, "43": "茶" * 40}]
)
def test_field_that_does_not_fit_is_named_and_never_quoted(fields: dict[str, str]) -> None:
    with pytest.raises(Unreadable) as caught:
        dialect.encode("0100", fields)
    assert GOOD not in repr(caught.value) + str(caught.value.__cause__)
    assert caught.value.__suppress_context__


@given(amount_minor=st.integers(0, dialect.AMOUNT_MINOR_MAX))
def test_amount_goes_round(amount_minor: int) -> None:
    text = dialect.amount_text(amount_minor)
    assert len(text) == 12
    assert dialect.amount_minor(text) == amount_minor


@pytest.mark.parametrize("amount_minor", [-1, dialect.AMOUNT_MINOR_MAX + 1])
def test_amount_outside_of_twelve_digits_is_refused(amount_minor: int) -> None:
    with pytest.raises(ValueError, match="12 digits"):
        dialect.amount_text(amount_minor)


@pytest.mark.parametrize("text", ["", "1", "00000000000a", "-00000000001", "٠" * 12, "0000000000001"])
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="12 digits"):
        dialect.amount_minor(text)


def test_currency_is_three_digits_with_its_zeros() -> None:
    assert (dialect.currency_number("CNY"), dialect.currency_number("ALL")) == ("156", "008")
    assert (dialect.currency_code("156"), dialect.currency_code("008")) == ("CNY", "ALL")
    assert dialect.currency_code("000") is None
    assert dialect.currency_code("") is None


@given(reference=st.from_regex(r"[a-zA-Z0-9_]{1,32}", fullmatch=True))
def test_retrieval_reference_is_twelve_characters_and_stable(reference: str) -> None:
    found = dialect.retrieval_reference(reference)
    assert found == dialect.retrieval_reference(reference)
    assert len(found) == 12
    assert found.isalnum()
    assert found == found.upper()


def test_retrieval_references_of_many_payments_differ() -> None:
    assert len({dialect.retrieval_reference(f"pa_{n}") for n in range(20_000)}) == 20_000


@pytest.mark.parametrize(
    ("mti", "answer"), [("0100", "0110"), ("0220", "0230"), ("0420", "0430"), ("0600", "0610")]
)
def test_answer_has_the_type_of_its_request_plus_ten(mti: str, answer: str) -> None:
    assert dialect.answer_type(mti) == answer


def test_authorization_says_all_that_the_dialect_asks_for() -> None:
    call = authorize("pa_1", 2_500, merchant=Merchant(name="茶 Tea", mcc="5812", descriptor=""))
    fields = transform.authorization_fields(call, REVEALED, TERMINAL, NOON)
    assert fields == {
        "2": GOOD, "3": "000000", "4": "000000002500", "7": "1120120000", "12": "120000", "13": "1120",
        "14": "3103", "18": "5812", "22": "812", "24": "000", "25": "59", "32": "123456", "33": "9",
        "37": dialect.retrieval_reference("pa_1"), "41": "TB01    ", "42": "M1             ",
        "43": f"{'Tea':<25}{'SHANGHAI':<13}CN", "48": "pa_1", "49": "840", "61": CVC,
    }  # fmt: skip
    assert dialect.decode(dialect.encode("0200", {**fields, "11": "000001"})[2:])[1] == {
        **fields,
        "11": "000001",
    }


def test_merchant_initiated_payment_names_the_mandate_and_sends_no_code() -> None:
    call = authorize("pa_1", initiator=Initiator.MERCHANT, network_reference="ntx_1")
    fields = transform.authorization_fields(call, REVEALED, TERMINAL, NOON)
    assert (fields["22"], fields["25"], fields["60"]) == ("100", "08", "ntx_1")
    assert "61" not in fields


def test_merchant_without_a_latin_letter_is_named_by_its_trade() -> None:
    call = authorize("pa_1", merchant=Merchant(name="茶馆", mcc="5812"))
    fields = transform.authorization_fields(call, REVEALED, TERMINAL, NOON)
    assert fields["43"].startswith("MCC 5812 ")
    assert len(fields["43"]) == 40


APPROVAL = Answer(outcome=Outcome.APPROVED, channel_reference="AAAABBBBCCCC")


@pytest.mark.parametrize(
    ("operation", "more", "expected"),
    [
        (Operation.CAPTURE, {}, {"3": "000000", "25": "06", "62": "pa_1", "90": "010000000000000000000000012345600000000009"}),
        (Operation.CAPTURE, {"final": False}, {"25": "59"}),
        (Operation.VOID, {}, {"3": "000000", "62": "pa_1", "90": "010000000000000000000000012345600000000009"}),
        (Operation.VOID, {"captured": True}, {"90": "020000000000000000000000012345600000000009"}),
        (Operation.REFUND, {}, {"3": "200000", "62": "pa_1", "14": "3103", "90": None}),
        (Operation.INCREMENT, {}, {"3": "000000", "62": "pa_1", "14": "3103", "90": None}),
    ],
)  # fmt: skip
def test_follow_names_itself_and_what_it_acts_on(
    operation: Operation, more: dict[str, Any], expected: dict[str, str | None]
) -> None:
    call = follow("ac_1", authorize("pa_1"), APPROVAL, 900, **more)
    fields = transform.follow_fields(operation, call, REVEALED, TERMINAL, NOON)
    assert {number: fields.get(number) for number in expected} == expected
    assert (fields["48"], fields["37"]) == ("ac_1", dialect.retrieval_reference("pa_1"))
    assert (fields["4"], "61" in fields) == ("000000000900", False)


SENT = {"3": "000000", "7": "1120120000", "37": "AAAABBBBCCCC"}


@pytest.mark.parametrize(
    ("mti", "got", "outcome", "facts"),
    [
        ("0100", {"39": "00", "4": "000000002500", "49": "840", "38": "A1    "}, "approved",
         {"captured": False, "amount_minor": 2_500, "currency": "USD", "approval_code": "A1",
          "channel_reference": "AAAABBBBCCCC"}),
        ("0200", {"39": "00"}, "approved", {"captured": True, "amount_minor": None, "currency": None}),
        ("0220", {"39": "00", "4": "000000000900"}, "approved", {"captured": True, "amount_minor": 900}),
        ("0400", {"39": "00"}, "approved", {"captured": False}),
        ("0100", {"39": "10", "4": "000000001000"}, "approved", {"amount_minor": 1_000, "code": "10"}),
        ("0100", {"39": "00", "44": "M", "62": "ntx"}, "approved", {"cvc_check": "pass", "network_reference": "ntx"}),
        ("0100", {"39": "51"}, "declined", {"reason": Reason.INSUFFICIENT_FUNDS, "code": "51"}),
        ("0100", {"39": "N7", "44": "N"}, "declined", {"reason": Reason.CVC_INCORRECT, "cvc_check": "fail"}),
        ("0100", {"39": "QQ"}, "declined", {"reason": Reason.OTHER, "code": "QQ"}),
        ("0220", {"39": "25"}, "declined", {"reason": Reason.STATE_INVALID}),
        ("0100", {"39": "68"}, "unresolved", {"reason": None, "code": "68"}),
        ("0100", {"39": "96"}, "unresolved", {"reason": None, "code": "96"}),
        ("0200", {"39": "09"}, "pending", {"reason": None, "captured": False}),
        ("0100", {"39": "  "}, "unresolved", {}),
        ("0100", {}, "unresolved", {"code": "unreadable"}),
        ("0100", {"39": "00", "4": "12 345678901"}, "unresolved", {"code": "unreadable"}),
    ],
)  # fmt: skip
def test_answer_is_read_by_its_code(
    mti: str, got: dict[str, str], outcome: str, facts: dict[str, Any]
) -> None:
    answer = transform.read_answer(mti, SENT, got)
    assert answer.outcome == outcome
    assert {name: getattr(answer, name) for name in facts} == facts


def test_refund_with_an_amount_that_makes_no_sense_is_too_large() -> None:
    answer = transform.read_answer("0200", {**SENT, "3": dialect.REFUND}, {"39": "13"})
    assert (answer.outcome, answer.reason, answer.code) == (Outcome.DECLINED, Reason.REFUND_TOO_LARGE, "13")


def test_refund_is_no_capture() -> None:
    answer = transform.read_answer("0200", {**SENT, "3": dialect.REFUND}, {"39": "00"})
    assert (answer.outcome, answer.captured) == (Outcome.APPROVED, False)


@pytest.mark.parametrize(
    ("operation", "got", "outcome", "facts"),
    [
        ("authorize", {"39": "25"}, "not_found", {}),
        ("authorize", {"39": "00", "63": "authorized", "4": "000000002500", "49": "156"}, "approved",
         {"captured": False, "voided": False, "amount_minor": 2_500, "currency": "CNY", "refunded_minor": 0}),
        ("authorize", {"39": "00", "63": "captured", "60": "000000000300"}, "approved",
         {"captured": True, "refunded_minor": 300}),
        ("authorize", {"39": "00", "63": "voided"}, "approved", {"captured": False, "voided": True}),
        ("authorize", {"39": "00", "63": "refunded", "4": "000000000700"}, "approved",
         {"captured": True, "refunded_minor": 700}),
        ("refund", {"39": "00", "63": "refunded", "4": "000000000700"}, "approved",
         {"amount_minor": 700, "refunded_minor": None}),
        ("authorize", {"39": "51", "63": "declined"}, "declined", {"reason": Reason.INSUFFICIENT_FUNDS}),
        ("authorize", {"39": "00", "63": "pending"}, "pending", {}),
        ("authorize", {"39": "96"}, "unresolved", {"code": "96"}),
        ("authorize", {"39": "00", "63": "dreaming"}, "unresolved", {}),
        ("authorize", {"39": "00", "63": "captured", "4": "x" * 12}, "unresolved", {"code": "unreadable"}),
        ("authorize", {}, "unresolved", {}),
    ],
)  # fmt: skip
def test_inquiry_is_read_by_state(
    operation: str, got: dict[str, str], outcome: str, facts: dict[str, Any]
) -> None:
    answer = transform.read_inquiry(inquire(Operation(operation), "pa_1", "pa_1", method=card()), got)
    assert answer.outcome == outcome
    assert {name: getattr(answer, name) for name in facts} == facts
