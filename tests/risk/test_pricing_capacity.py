"""Prices of capacity over a real log: what decides today is told as it decided, and drafts keep to what is wanted."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.risk.looking_back import Past

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.backtesting import policy_of
from tongbao.risk.service.pricing_capacity import Budgets, SpecPrices

ASK = 'ask: when amount > 500 EUR then step_up because "dear" owner mei\n'
COSTS = {"fraud_fee": 400_000, "goodwill": 5_000, "margin_bps": 1_000}
"""Costs at which many payments are worth a step-up, and some a review."""


@pytest.fixture(scope="module")
async def past(database: Database) -> AsyncIterator[Past]:
    made = Past(database)
    await made.risk.prepare()
    await made.decisions.log.prepare()
    await made.risk.following.start()
    await made.decide(costs=COSTS, rules=ASK)
    yield made
    await made.risk.assessing.close()


@pytest.fixture(scope="module")
async def tiers(past: Past) -> Counter[Tier]:
    """Sixty payments of growing amounts, some above what the rule asks about, and how they were decided."""
    found: Counter[Tier] = Counter()
    for number in range(60):
        looked = await past.judge(value=1_000 + 1_500 * number, customer=f"c{number}", card=f"k{number % 4}")
        found[looked.tier] += 1
    await past.settle()
    return found


async def test_today_is_told_as_it_was_decided(past: Past, tiers: Counter[Tier]) -> None:
    found = await past.hindsight.pricing.trade_off(past.span(), Budgets())
    assert (found.policy, found.version) == (policy_of(past.book_id), 1)
    assert (found.payment_count, found.left_out_count, found.prices) == (60, 0, None)
    assert found.today.step_up_share == tiers[Tier.STEP_UP] / 60
    assert found.today.review_share == tiers[Tier.REVIEW] / 60
    assert found.today.decline_share == tiers[Tier.DECLINE] / 60
    assert tiers[Tier.STEP_UP] > 5
    bothered = [each.bothered_share for each in found.points]
    assert bothered == sorted(bothered)
    assert [each.cost for each in found.points] == sorted((each.cost for each in found.points), reverse=True)


async def test_days_count_from_the_first_payment(past: Past, tiers: Counter[Tier]) -> None:
    week = past.span(from_at=past.begun - timedelta(days=7))
    assert (await past.hindsight.pricing.trade_off(week, Budgets())).days < 1


async def test_prices_for_a_capacity_are_drafted_and_keep_to_it(past: Past, tiers: Counter[Tier]) -> None:
    pricing, policy = past.hindsight.pricing, policy_of(past.book_id)
    ruled = 27 / 60
    found = await pricing.trade_off(past.span(), Budgets(0.0, 0.6))
    assert found.prices is not None
    assert found.priced is not None
    assert found.spec_prices is not None
    assert found.prices.is_met
    assert found.priced.review_share == 0
    assert found.priced.step_up_share <= 0.6
    assert found.spec is not None
    assert found.spec["costs"] == COSTS
    drafted = await pricing.draft(found.spec_prices, "", "mei", book_id=past.book_id)
    assert drafted.spec == found.spec
    # A draft decides nothing, and is replayed before it may.
    standing = await past.decisions.policies.current(policy)
    assert standing is not None
    assert standing.champion == 1
    with pytest.raises(Exception, match="replay"):
        await past.decisions.policies.publish(policy, drafted.version, "mei")
    never = await pricing.trade_off(past.span(), Budgets(0.0, 0.0))
    assert never.prices is not None
    assert not never.prices.is_met
    assert never.priced is not None
    # What the rule asks about, and is not declined at such prices, is asked about at any price.
    assert 0 < never.priced.step_up_share <= ruled


async def test_words_rows_and_picture_tell_the_same(past: Past, tiers: Counter[Tier]) -> None:
    found = await past.hindsight.pricing.trade_off(past.span(), Budgets(1.0, 0.1))
    for language, today in (("en", "policy of today"), ("zh", "当前策略")):
        rows = found.rows(language)
        assert rows[0].cells[0] == today
        assert [each.is_marked for each in rows].count(True) == 2
        assert all(len(each.cells) == len(found.header(language)) for each in rows)
        assert today in found.chart(language)
        assert found.sentences(language)


async def test_time_without_a_payment_is_refused(past: Past, tiers: Counter[Tier]) -> None:
    old = past.span(from_at=past.begun - timedelta(days=9), to_at=past.begun - timedelta(days=8))
    with pytest.raises(InvalidRequest, match="tradeoff_empty"):
        await past.hindsight.pricing.trade_off(old, Budgets())
    with pytest.raises(InvalidRequest, match="budget_invalid"):
        await past.hindsight.pricing.trade_off(past.span(), Budgets(-1.0, None))
    with pytest.raises(InvalidRequest, match="policy_spec_invalid"):
        await past.hindsight.pricing.draft(SpecPrices(2e6, 0.0), "", "mei", book_id=past.book_id)
