import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.risk.models.artifact import by_judgement
from tongbao.risk.models.contributions import Explainer, Explanation
from tongbao.risk.models.registry import FEATURES, NAMES
from tongbao.risk.policy.reasons import CODES, FEATURES_SHOWN_MAX, LOG_ODDS_MIN, against, reasons
from tongbao.risk.schema.reasons import ReasonCode

NOT_OF_FEATURES = {
    ReasonCode.FAMILIAR,
    ReasonCode.LISTED_BLOCKED,
    ReasonCode.LISTED_ALLOWED,
    ReasonCode.ACCOUNT_FROZEN,
    ReasonCode.RULE,
    ReasonCode.PROVED,
    ReasonCode.EXPLORED,
    ReasonCode.LOW_RISK,
    ReasonCode.UNAVAILABLE,
}
OF_KNOWN_FRAUD = {
    ReasonCode.FRAUD_BEFORE,
    ReasonCode.MERCHANT_UNDER_SUSPICION,
    ReasonCode.EMAIL_RISKY,
    ReasonCode.BENEFICIARY_RISKY,
}


def explained(**log_odds: float) -> Explanation:
    """An explanation in which feature number i has the value i."""
    names = tuple(log_odds)
    parts = np.array(list(log_odds.values()))
    return Explanation(names, np.arange(float(len(names))), parts, -5.0, float(parts.sum()) - 5.0)


def test_every_feature_of_the_registry_has_a_code_and_every_code_of_features_is_used() -> None:
    assert set(CODES) == set(NAMES)
    assert set(CODES.values()) == set(ReasonCode) - NOT_OF_FEATURES


def test_features_of_labels_speak_of_known_fraud() -> None:
    found = {f.name: CODES[f.name] for f in FEATURES if f.delay_s or "fraud" in f.name}
    assert found
    assert {name: code for name, code in found.items() if code not in OF_KNOWN_FRAUD} == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("value", ReasonCode.AMOUNT_HIGH),
        ("customer_ratio", ReasonCode.AMOUNT_UNUSUAL),
        ("merchant_z", ReasonCode.AMOUNT_UNUSUAL),
        ("card_spree_count_14d", ReasonCode.SPREE),
        ("card_count_1h", ReasonCode.BURST_CARD),
        ("customer_merchants_1d", ReasonCode.BURST_CUSTOMER),
        ("device_gap_s", ReasonCode.BURST_DEVICE),
        ("address_customers_1d", ReasonCode.BURST_ADDRESS),
        ("card_declines_1h", ReasonCode.DECLINES_BEFORE),
        ("address_declines_1h", ReasonCode.CARD_TESTING),
        ("merchant_cards_1h", ReasonCode.CARD_TESTING),
        ("card_age_d", ReasonCode.NEW_CARD),
        ("customer_history", ReasonCode.NEW_CUSTOMER),
        ("device_age_d", ReasonCode.NEW_DEVICE),
        ("pair_card_device", ReasonCode.NEW_PAIR),
        ("device_cards_30d", ReasonCode.DEVICE_SHARED),
        ("device_trust", ReasonCode.DEVICE_UNTRUSTED),
        ("address_card_mismatch", ReasonCode.GEO_MISMATCH),
        ("card_velocity_kmh", ReasonCode.GEO_VELOCITY),
        ("merchant_unexplained_28d", ReasonCode.MERCHANT_UNDER_SUSPICION),
        ("device_decayed_rate", ReasonCode.FRAUD_BEFORE),
        ("email_domain_count_1h", ReasonCode.EMAIL_RISKY),
        ("beneficiary_customers_30d", ReasonCode.BENEFICIARY_RISKY),
        ("night", ReasonCode.TIME_UNUSUAL),
    ],
)
def test_code_of_a_feature_says_whose_and_what(name: str, code: ReasonCode) -> None:
    assert CODES[name] == code


def test_against_groups_are_summed_and_sorted_with_the_heaviest_features_behind() -> None:
    found = against(
        explained(
            customer_ratio=0.5, night=0.7, customer_z=0.9, card_ratio=-0.1, value=0.2, customer_mean=0.1
        ),
        2,
    )
    assert [reason.code for reason in found] == [ReasonCode.AMOUNT_UNUSUAL, ReasonCode.TIME_UNUSUAL]
    assert found[0].log_odds == pytest.approx(1.4)
    assert found[0].features == (("customer_z", 2.0), ("customer_ratio", 0.0), ("customer_mean", 5.0))


def test_against_what_speaks_for_a_payment_or_hardly_moves_it_is_no_reason() -> None:
    assert against(explained(value=-1.0, night=LOG_ODDS_MIN / 2), 5) == ()


def test_against_unknown_values_are_not_shown() -> None:
    one = explained(customer_ratio=0.5, customer_z=0.9)
    unknown = Explanation(one.names, np.array([3.0, np.nan]), one.log_odds, one.base, one.raw)
    assert against(unknown, 1)[0].features == (("customer_ratio", 3.0),)


def test_against_features_that_are_no_longer_declared_are_left_out() -> None:
    assert [each.code for each in against(explained(gone=2.0, night=0.3), 5)] == [ReasonCode.TIME_UNUSUAL]


def test_reasons_what_speaks_for_a_payment_is_one_reason_at_the_end() -> None:
    found = reasons(explained(night=0.3, device_trust=-0.9, card_age_d=-0.4, value=-0.001), 3)
    assert [reason.code for reason in found] == [ReasonCode.TIME_UNUSUAL, ReasonCode.FAMILIAR]
    assert found[1].log_odds == pytest.approx(-1.301)
    assert found[1].features == (("device_trust", 1.0), ("card_age_d", 2.0), ("value", 3.0))
    assert reasons(explained(night=0.3), 3) == against(explained(night=0.3), 3)


@given(st.dictionaries(st.sampled_from(NAMES), st.floats(-3, 3), min_size=1, max_size=40))
def test_reasons_of_any_explanation_sum_to_what_features_add(log_odds: dict[str, float]) -> None:
    explanation = explained(**log_odds)
    found = reasons(explanation, len(ReasonCode))
    left_out = LOG_ODDS_MIN * (len(ReasonCode) + 1)
    assert math.fsum(each.log_odds for each in found) == pytest.approx(sum(log_odds.values()), abs=left_out)
    assert [each.log_odds for each in found] == sorted((each.log_odds for each in found), reverse=True)
    assert all(len(each.features) <= FEATURES_SHOWN_MAX for each in found)
    assert len({each.code for each in found}) == len(found)


def test_reasons_of_the_scorecard_name_what_was_noticed() -> None:
    row = np.full(len(NAMES), np.nan)
    row[NAMES.index("card_declines_1h")] = 4.0
    row[NAMES.index("device_trust")] = 0.9
    found = reasons(Explainer(by_judgement(NAMES), NAMES).explain(row), 3)
    assert [each.code for each in found] == [ReasonCode.DECLINES_BEFORE, ReasonCode.FAMILIAR]
    assert found[0].features == (("card_declines_1h", 4.0),)
