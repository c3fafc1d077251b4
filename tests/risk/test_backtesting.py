"""Back-tests and replays over a real database: payments are looked at again with exactly what was known of them."""

import math
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.risk.looking_back import Past

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Mode
from tongbao.risk.policy.rules import Rules
from tongbao.risk.schema.freezes import FreezeOrder
from tongbao.risk.schema.lists import ListEffect, ListKey, ListKind, NewEntry
from tongbao.risk.schema.signals import DeviceSign, Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import backtesting, revisiting
from tongbao.risk.service.assessor import digest_of
from tongbao.risk.service.revisiting import LoggedPayment, Revisiting

DEAR = 'dear: when amount > 20 EUR then review because "dear" owner mei\n'
BURST = 'burst: when card_count_1h > 3 then review because "often" owner mei\n'


@pytest.fixture(scope="module")
async def house(database: Database) -> AsyncIterator[Past]:
    made = Past(database)
    await made.risk.prepare()
    await made.decisions.log.prepare()
    await made.risk.following.start()
    yield made
    await made.risk.assessing.close()


@pytest.fixture
async def past(house: Past) -> Past:
    house.anew()
    return house


async def tried(past: Past, text: str, old: Rules | None = None) -> backtesting.Tested:
    """The back-test of rules on everything of the merchant, against none where nothing is given."""
    new = await past.hindsight.backtesting.rules(text, past.book_id)
    return await past.hindsight.backtesting.backtest(past.span(), old or Rules(), new)


async def test_rule_over_counts_matches_the_payments_that_came_late_in_a_burst(past: Past) -> None:
    for _ in range(6):
        await past.judge()
        await past.settle()
    tested = await tried(past, BURST)
    (result,) = tested.backtest.rules
    # The payment itself counts: the fourth, fifth and sixth.
    assert (result.matched.all.count, tested.backtest.payments.all.count) == (3, 6)
    assert (tested.unproved_count, tested.stopped_count) == (0, 0)


async def test_what_became_known_later_does_not_change_what_is_matched(past: Past) -> None:
    first = await past.judge()
    await past.settle()
    await past.judge()
    await past.settle()
    await past.label(first, is_fraud=True)
    await past.settle()
    rule = 'fraud before: when card_known_fraud_30d > 0 then decline because "known" owner mei\n'
    tested = await tried(past, rule)
    (result,) = tested.backtest.rules
    assert result.matched.all.count == 0
    assert tested.backtest.payments.disputed.count == 1


async def test_endings_are_told_from_each_other(past: Past) -> None:
    await past.decide(rules='ask: when amount > 50 EUR then step_up because "dear" owner mei\n')
    good, bad, refused = [await past.judge(value=value) for value in (2_500, 2_600, 2_700)]
    asked, lost = [await past.judge(value=value) for value in (6_000, 7_000)]
    assert asked.tier is lost.tier is Tier.STEP_UP
    await past.prove(asked, is_passed=True)
    await past.prove(lost, is_passed=False)
    for each in (good, bad, asked):
        await past.end(each)
    await past.end(refused, is_approved=False)
    await past.settle()
    await past.label(bad, is_fraud=True)
    await past.settle()
    old = await past.hindsight.backtesting.in_force(past.book_id)
    assert [rule.name for rule in old.rules] == ["ask"]
    found = (await tried(past, DEAR, old)).backtest
    endings = found.payments
    assert [each.count for each in (endings.all, endings.succeeded, endings.disputed, endings.blocked)] == [
        5,
        3,
        1,
        1,
    ]
    assert (found.before[Tier.STEP_UP], found.after[Tier.REVIEW]) == (2, 5)
    assert (found.raised.good.count, found.raised.bad.count, found.raised.unclear.count) == (2, 1, 2)
    assert found.uncertain_count == 0


async def test_lists_are_those_of_then(past: Past) -> None:
    lists = past.risk.lists
    key = ListKey(past.book_id, True, "suspects")
    await lists.declare(key, ListEffect.MARK, "by test", "mei")
    await past.judge()
    await past.settle()
    entry = NewEntry(kind=ListKind.CARD, value=f"card_{past.book_id}", reason="seen")
    (added,) = await lists.add(key, [entry], "mei")
    await past.settle()
    await past.judge()
    await past.settle()
    await lists.remove(past.book_id, added.id, "cleared", "mei")
    await past.settle()
    await past.judge()
    await past.settle()
    tested = await tried(past, 'suspects: when listed("suspects") then review because "listed" owner mei\n')
    assert tested.backtest.rules[0].matched.all.count == 1


async def test_payments_that_a_freeze_or_a_block_list_stopped_are_left_out(past: Past) -> None:
    await past.judge()
    await past.settle()
    order = FreezeOrder(live=True, entity=Entity.CARD, key=f"card_{past.book_id}", reason="stolen")
    await past.risk.freezing.freeze(order, "mei")
    await past.judge()
    key = ListKey(past.book_id, True, "bad")
    await past.risk.lists.declare(key, ListEffect.BLOCK, "by test", "mei")
    await past.risk.lists.add(key, [NewEntry(kind=ListKind.CARD, value="c2", reason="x")], "mei")
    await past.settle()
    assert (await past.judge(card="c2")).tier is Tier.DECLINE
    await past.settle()
    tested = await tried(past, DEAR)
    assert (tested.stopped_count, tested.backtest.payments.all.count) == (2, 1)


async def test_payment_whose_scoring_failed_is_counted_as_unproved(past: Past) -> None:
    await past.judge()
    fallen = past.risk.assessor.fallback(
        msgspec.structs.replace(
            (await past.judge()).fact.signals, id=past.ids.uuid(), subject_id=past.ids.uuid()
        )
    )
    async with past.database.transaction() as connection:
        await past.decisions.log.write(connection, [fallen.decision], ())
        await past.outbox.publish(connection, [fallen.fact])
    await past.settle()
    tested = await tried(past, DEAR)
    assert (tested.unproved_count, tested.backtest.payments.all.count) == (1, 2)


async def test_looking_back_from_a_snapshot_finds_the_same_features(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [await past.judge(value=1_000 + number) for number in range(3)]
    await past.settle()
    await past.risk.following.snapshot()
    for number in range(3):
        looks.append(await past.judge(value=2_000 + number))
        await past.settle()
    monkeypatch.setattr(revisiting, "PAGE_MAX", 2)  # many pages
    again = Revisiting(past.database, past.decisions.log)
    found = await again.payments(past.span())
    seen: dict[object, str] = {}

    def visit(logged: LoggedPayment, _mode: Mode, features: Floats | None) -> None:
        assert features is not None
        seen[logged.row.id] = digest_of(features)

    await again.revisit(found.payments[-2:], visit)
    await again.revisit(found.payments, visit)
    assert seen == {each.decision.id: each.decision.context["features"] for each in looks}


async def test_time_that_runs_backward_is_refused(past: Past) -> None:
    span = past.span()
    with pytest.raises(InvalidRequest, match="backtest_span_invalid"):
        await past.hindsight.backtesting.backtest(
            span._replace(from_at=span.to_at, to_at=span.from_at), Rules(), Rules()
        )


async def test_account_of_a_score_is_the_one_of_then(past: Past) -> None:
    await past.judge()
    await past.settle()
    looked = await past.judge(value=8_000_000, device="emulated", device_signs=DeviceSign.EMULATOR)
    await past.judge()
    await past.settle()
    found = await past.hindsight.recalling.decision(past.book_id, looked.decision.id)
    account = found.account
    assert account is not None
    assert math.isclose(
        account.base + math.fsum(each.log_odds for each in account.parts), account.raw, abs_tol=1e-6
    )
    assert account.chance == looked.fact.score
    with pytest.raises(NotFound, match="decision_unknown"):
        await past.hindsight.recalling.decision(past.book_id + 1, looked.decision.id)
