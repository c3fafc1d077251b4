"""The knowledge base: complete, closed, kind to payers, and right about the codes that matter most."""

import re

import pytest

from tongbao.channels.policy import codes_iso8583
from tongbao.channels.policy.reasons import CODES, info, standard
from tongbao.channels.schema import Fault, Reason, Retry

STRIPE_ERROR_CODES = {
    "account_invalid", "amount_too_large", "amount_too_small", "authentication_required", "card_declined",
    "charge_already_refunded", "charge_not_refundable", "expired_card", "incorrect_cvc", "incorrect_number",
    "incorrect_zip", "invalid_expiry_year", "payment_intent_authentication_failure",
    "payment_intent_mandate_invalid", "payment_intent_payment_attempt_expired",
    "payment_intent_unexpected_state", "processing_error",
}  # fmt: skip
SECRET_FROM_PAYERS = (
    Reason.CARD_LOST,
    Reason.CARD_STOLEN,
    Reason.CARD_BLOCKED,
    Reason.FRAUD_SUSPECTED,
    Reason.RISK_BLOCKED,
    Reason.SECURITY_VIOLATION,
)
ACCUSING = re.compile(
    r"fraud|stolen|lost|suspect|risk|blacklist|block|欺诈|盗|挂失|风险|风控|嫌疑|黑名单", re.I
)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_complete_row(reason: Reason) -> None:
    row = info(reason)
    assert row.error_code in STRIPE_ERROR_CODES
    for text in (row.payer_en, row.engineer_en):
        assert text.endswith(".")
        assert not re.search(r"[一-鿿]", text)
    for text in (row.payer_zh, row.engineer_zh):
        assert text.endswith("。")
        assert re.search(r"[一-鿿]", text)


@pytest.mark.parametrize("reason", Reason)
def test_payer_is_never_accused(reason: Reason) -> None:
    row = info(reason)
    assert not ACCUSING.search(row.payer_en + row.payer_zh)
    assert "you failed" not in row.payer_en.lower()


@pytest.mark.parametrize("reason", SECRET_FROM_PAYERS)
def test_payer_reads_the_same_for_all_that_must_stay_secret(reason: Reason) -> None:
    shown = {(info(one).payer_zh, info(one).payer_en) for one in (Reason.DO_NOT_HONOR, Reason.OTHER)}
    assert (info(reason).payer_zh, info(reason).payer_en) in shown


@pytest.mark.parametrize(
    "reason",
    [reason for reason in Reason if info(reason).decline_code and info(reason).error_code != "card_declined"],
)
def test_outward_codes_read_back_as_one_reason(reason: Reason) -> None:
    """A code that we hand out and get back from a system like ours means a reason, not ``other``."""
    row = info(reason)
    assert standard("stripe", row.decline_code or "") is not Reason.OTHER
    assert standard("stripe", row.error_code) is not Reason.OTHER


@pytest.mark.parametrize(
    ("reason", "fault", "retry"),
    [
        (Reason.INSUFFICIENT_FUNDS, Fault.CUSTOMER, Retry.LATER),
        (Reason.CVC_INCORRECT, Fault.CUSTOMER, Retry.NEVER),
        (Reason.CARD_STOLEN, Fault.ISSUER, Retry.NEVER),
        (Reason.AUTHENTICATION_REQUIRED, Fault.ISSUER, Retry.STEP_UP),
        (Reason.CHANNEL_UNAVAILABLE, Fault.CHANNEL, Retry.OTHER_CHANNEL),
        (Reason.NETWORK_ERROR, Fault.NETWORK, Retry.OTHER_CHANNEL),
        (Reason.RISK_BLOCKED, Fault.RISK, Retry.NEVER),
        (Reason.REQUEST_INVALID, Fault.INTERNAL, Retry.NEVER),
    ],
)
def test_fault_and_retry_of_the_reasons_that_routing_lives_by(
    reason: Reason, fault: Fault, retry: Retry
) -> None:
    assert (info(reason).fault, info(reason).retry) == (fault, retry)


def test_nothing_that_a_customer_did_is_tried_on_another_channel() -> None:
    blamed = [r for r in Reason if info(r).fault in (Fault.CUSTOMER, Fault.RISK)]
    assert [r for r in blamed if info(r).retry is Retry.OTHER_CHANNEL] == []


@pytest.mark.parametrize(
    ("network", "code", "reason"),
    [
        ("iso8583", "51", Reason.INSUFFICIENT_FUNDS),
        ("iso8583", "05", Reason.DO_NOT_HONOR),
        ("iso8583", "54", Reason.CARD_EXPIRED),
        ("iso8583", "N7", Reason.CVC_INCORRECT),
        ("iso8583", "n7", Reason.CVC_INCORRECT),
        ("iso8583", "1A", Reason.AUTHENTICATION_REQUIRED),
        ("iso8583", "R0", Reason.RECURRING_REVOKED),
        ("iso8583", "91", Reason.ISSUER_UNAVAILABLE),
        ("iso8583", "ZZ", Reason.OTHER),
        ("stripe", "insufficient_funds", Reason.INSUFFICIENT_FUNDS),
        ("stripe", "card_declined", Reason.DO_NOT_HONOR),
        ("stripe", "expired_card", Reason.CARD_EXPIRED),
        ("stripe", "a_code_of_tomorrow", Reason.OTHER),
        ("alipay", "ACQ.BUYER_BALANCE_NOT_ENOUGH", Reason.INSUFFICIENT_FUNDS),
        ("alipay", "isv.app-call-limited", Reason.CHANNEL_RATE_LIMITED),
        ("alipay", "ACQ.TRADE_HAS_SUCCESS", Reason.DUPLICATE),
        ("wechat_pay", "NOTENOUGH", Reason.INSUFFICIENT_FUNDS),
        ("wechat_pay", "NOT_ENOUGH", Reason.INSUFFICIENT_FUNDS),
        ("wechat_pay", "AUTH_CODE_EXPIRED", Reason.EXPIRED),
        ("wechat_pay", "FREQUENCY_LIMITED", Reason.CHANNEL_RATE_LIMITED),
        ("wechat_pay", "", Reason.OTHER),
        ("no_such_network", "51", Reason.OTHER),
    ],
)
def test_standard_reads_codes_in_any_case_and_knows_what_it_does_not_know(
    network: str, code: str, reason: Reason
) -> None:
    assert standard(network, code) is reason


@pytest.mark.parametrize("network", CODES)
def test_keys_are_upper_case_and_tables_are_not_empty(network: str) -> None:
    table = CODES[network]
    assert len(table) > 50
    assert [code for code in table if code != code.upper()] == []


def test_every_reason_is_reached_by_a_code_or_made_by_this_house() -> None:
    reached = {reason for table in CODES.values() for reason in table.values()}
    assert set(Reason) - reached == set()


@pytest.mark.parametrize(
    "code",
    [
        "01",
        "03",
        "04",
        "05",
        "06",
        "07",
        "12",
        "13",
        "14",
        "15",
        "19",
        "30",
        "39",
        "41",
        "43",
        "46",
        "51",
        "52",
        "53",
        "54",
        "55",
        "57",
        "58",
        "59",
        "61",
        "62",
        "63",
        "65",
        "68",
        "75",
        "78",
        "82",
        "83",
        "86",
        "91",
        "92",
        "93",
        "94",
        "96",
        "97",
        "1A",
        "6P",
        "N7",
        "R0",
        "R1",
        "R3",
    ],
)
def test_common_codes_of_field_39_are_listed(code: str) -> None:
    assert code in codes_iso8583.CODES


def test_no_code_approves_and_declines() -> None:
    assert not codes_iso8583.APPROVED & codes_iso8583.CODES.keys()
    assert codes_iso8583.CODES.keys() >= codes_iso8583.OPEN
    assert {code for code in codes_iso8583.CODES if not re.fullmatch(r"[0-9A-Z]{2}", code)} == set()
