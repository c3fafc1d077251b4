"""Replays of policies over payments of a house that has learned nothing yet, so that its costs are those written here."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from tests.risk.looking_back import Past

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.decisions.schema.evaluation import Verdict
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import backtesting


@pytest.fixture(scope="module")
async def past(database: Database) -> AsyncIterator[Past]:
    made = Past(database)
    await made.risk.prepare()
    await made.decisions.log.prepare()
    await made.risk.following.start()
    yield made
    await made.risk.assessing.close()


async def test_replay_finds_the_policy_itself_where_it_explored(past: Past) -> None:
    # Costs at which asking the payer and letting it pass come to nearly the same, so that both are tried.
    await past.decide(explore_share=0.2, costs={"fraud_fee": 306_000, "goodwill": 5_000})
    tried: Counter[Tier] = Counter()
    for number in range(260):
        looked = await past.judge(value=1_500, customer=f"c{number % 9}_{past.book_id}", card="")
        tried[looked.tier] += 1
        if looked.tier is Tier.STEP_UP:
            await past.prove(looked, is_passed=number % 7 != 0)
        if looked.tier is Tier.FRICTIONLESS or (looked.tier is Tier.STEP_UP and number % 7):
            await past.end(looked)
    await past.settle()
    policy, policies = backtesting.policy_of(past.book_id), past.decisions.policies
    span = past.span()
    same = await past.hindsight.replaying.replay(policy, 1, (span.from_at, span.to_at), "mei")
    assert same.overlap == pytest.approx(1.0, abs=1e-9)
    assert (same.outcome, same.higher_is_better, same.missing_count) == ("cost", False, 0)
    assert min(tried[Tier.FRICTIONLESS], tried[Tier.STEP_UP]) > 2
    assert same.difference is not None
    assert same.difference.value == pytest.approx(0, abs=1e-6)
    assert same.verdict is Verdict.UNDECIDED
    stern = await policies.draft(
        policy, {"rules": 'all: when amount > 0 EUR then decline because "no" owner mei\n'}, "", "mei"
    )
    report = await past.hindsight.replaying.replay(policy, stern.version, (span.from_at, span.to_at), "mei")
    assert report.verdict is Verdict.REFUSED
    assert report.unsupported > 0.9
    assert (await policies.replays(policy, stern.version))[0] == report
    with pytest.raises(NotFound, match="policy_version_unknown"):
        await past.hindsight.replaying.replay(policy, 9, (span.from_at, span.to_at), "mei")
    with pytest.raises(InvalidRequest, match="replay_order_invalid"):
        await past.hindsight.replaying.replay(policy, 1, (span.to_at, span.from_at), "mei")
