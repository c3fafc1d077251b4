"""What a tier cost in the end: a table of endings, and that nothing that a payer is spared is charged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.risk.policy.realized_costs import Ending, realized_cost
from tongbao.risk.policy.tiering import terms_of
from tongbao.risk.schema.tiers import Costs, Tier

TERMS = terms_of(Costs(fraud_fee=1_500, margin_bps=100, goodwill=200, step_up_fee=5, review_fee=400))
HARM, LOSS = 11_500.0, 300.0
"""Of 10,000 hundredths."""
MAYBE = st.sampled_from([None, True, False])


@pytest.mark.parametrize(
    ("tier", "known", "cost"),
    [
        (Tier.FRICTIONLESS, {"is_approved": True}, 0.0),
        (Tier.FRICTIONLESS, {"is_approved": True, "is_fraud": True}, HARM),
        (Tier.FRICTIONLESS, {"is_approved": False, "is_fraud": True}, 0.0),
        (Tier.FRICTIONLESS, {}, None),
        (Tier.STEP_UP, {"is_passed": True, "is_approved": True}, 5.0),
        (Tier.STEP_UP, {"is_passed": True, "is_approved": True, "is_fraud": True}, 5.0 + HARM),
        (Tier.STEP_UP, {"is_passed": True}, None),
        (Tier.STEP_UP, {"is_passed": False}, 5.0 + 0.75 * LOSS),
        (Tier.STEP_UP, {"is_passed": False, "is_fraud": True}, 5.0),
        (Tier.STEP_UP, {}, 5.0 + 0.75 * LOSS),
        (Tier.REVIEW, {"is_approved": True}, None),
        (Tier.REVIEW, {"is_fraud": True, "is_ruled": True}, 400.0),
        (Tier.REVIEW, {"is_fraud": True}, 400.0 + HARM),
        (Tier.REVIEW, {"is_fraud": False, "is_ruled": True}, 400.0),
        (Tier.DECLINE, {}, 0.75 * LOSS),
        (Tier.DECLINE, {"is_fraud": False}, LOSS),
        (Tier.DECLINE, {"is_fraud": True}, 0.0),
    ],
)
def test_cost_of_an_ending(tier: Tier, known: dict[str, bool], cost: float | None) -> None:
    found = realized_cost(Ending(tier, 10_000, 0.25, **known), TERMS)
    assert found == (None if cost is None else pytest.approx(cost))


@given(st.sampled_from(Tier), st.integers(0, 10**9), st.floats(0, 1), MAYBE, MAYBE, MAYBE, st.booleans())
def test_cost_is_never_negative_nor_more_than_both_harms(
    tier: Tier, value: int, chance: float, approved: bool, passed: bool, fraud: bool, ruled: bool
) -> None:
    found = realized_cost(Ending(tier, value, chance, approved, passed, fraud, ruled), TERMS)
    if found is not None:
        assert 0 <= found <= value + 1_500 + 0.01 * value + 200 + 400
