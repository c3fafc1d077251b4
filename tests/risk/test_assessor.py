"""The assessor over a real database: who decides what, in which order, and that every decision can be proved."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.core.events.facts import Delivered, topic_of
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.events.subscriptions import Consumer
from tongbao.core.events.tail import Tail
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.log import check
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.models.memory import Memory
from tongbao.risk.schema.cases import CaseDecided, Disposition
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, Proved
from tongbao.risk.schema.freezes import FreezeOrder
from tongbao.risk.schema.lists import ListEffect, ListKey, ListKind, NewEntry
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.signals import Entity, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import compiling
from tongbao.risk.service.assessor import Asked, Assessor, Looked, digest_of
from tongbao.risk.service.risk import FREEZES, Risk

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Town:
    """Risk control with a merchant of its own, a clock that the test moves, and positions for what is told."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.database = database
        self.ids = ids
        self.clock = FrozenClock(datetime.now(UTC))
        self.book_id = ids.int63()
        self.decisions = Decisions(database, self.clock, ids, {compiling.POLICY: compiling.checker()})
        self.risk = Risk(database, self.clock, ids, self.decisions.policies, self.decisions.log, Metrics())
        self.outbox = Outbox(self.clock, ids)
        self.relay = Relay(database, self.clock, Metrics())

    def signals(self, **fields: object) -> Signals:
        """A payment of 30.00 by a customer of this merchant."""
        values: dict[str, object] = {
            "id": self.ids.uuid(),
            "at": self.clock.now(),
            "book_id": self.book_id,
            "live": False,
            "subject_id": self.ids.uuid(),
            "value": 3000,
            "currency": "EUR",
            "method": "card",
            "customer": f"cus_{self.book_id}",
            "card": f"card_{self.book_id}",
            "device": f"dev_{self.book_id}",
            "merchant": str(self.book_id),
            "card_country": "DE",
            "merchant_country": "DE",
        }
        return Signals(**(values | fields))  # type: ignore[arg-type]

    def look(self, asked: Asked | None = None, **fields: object) -> Looked:
        """Judge a payment; the decision must be sound."""
        looked = self.risk.assessor.assess(asked or Asked(signals=self.signals(**fields)))
        check(looked.decision)
        return looked

    async def tell(self, *facts: Assessed | Ended | Proved | Labelled) -> None:
        """Publish facts, give them their positions, and let the process follow."""
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, facts)
        await self.relay.place_all()
        while await self.risk.following.step():
            pass

    async def rule(self, rules: str, **spec: Any) -> None:
        """Let this merchant's own policy decide by these rules."""
        policy = f"{compiling.POLICY}/{self.book_id}"
        drafted = await self.decisions.policies.draft(policy, {"rules": rules, **spec}, "", "mei")
        await self.decisions.policies.publish(policy, drafted.version, "mei")
        await self.decisions.policies.roll_out(policy, RolloutOrder(champion=drafted.version), "mei")
        await self.refresh()

    async def refresh(self) -> None:
        """Let time pass until every picture is renewed."""
        self.clock.advance(timedelta(seconds=5))
        await self.risk.live.refresh()
        await self.risk.lists.refresh()
        await self.risk.freezing.refresh()


@pytest.fixture
async def town(database: Database, ids: IdFactory) -> AsyncIterator[Town]:
    made = Town(database, ids)
    await made.relay.prepare()
    await made.risk.following.start()
    await made.refresh()
    yield made
    await made.risk.assessing.close()


async def test_look_changes_nothing_and_says_how_it_can_be_proved(town: Town) -> None:
    before = town.risk.following.memory.digest()
    looked = town.look()
    assert town.risk.following.memory.digest() == before
    assert looked.tier is Tier.FRICTIONLESS
    assert looked.fact.reasons == (ReasonCode.LOW_RISK.value,)
    assert looked.decision.context["position"] == town.risk.following.position
    assert looked.decision.id == looked.fact.signals.id
    assert {each.name for each in looked.decision.candidates} == {tier.value for tier in Tier}


async def test_frozen_card_is_declined_until_two_people_let_it_go(town: Town) -> None:
    order = FreezeOrder(live=False, entity=Entity.CARD, key=f"card_{town.book_id}", reason="stolen")
    frozen = await town.risk.freezing.freeze(order, "mei")
    looked = town.look()
    assert (looked.tier, looked.fact.reasons[0]) == (Tier.DECLINE, ReasonCode.ACCOUNT_FROZEN.value)
    assert town.look(card="another").tier is Tier.FRICTIONLESS
    await town.risk.freezing.request_release(frozen.id, "mei", "found again")
    assert town.look().tier is Tier.DECLINE
    await town.risk.freezing.approve_release(frozen.id, "chen")
    assert town.look().tier is Tier.FRICTIONLESS


async def test_block_list_declines_and_allow_list_sets_the_score_aside(town: Town) -> None:
    for name, effect, value in (("bad", ListEffect.BLOCK, "dev_bad"), ("good", ListEffect.ALLOW, "dev_good")):
        key = ListKey(town.book_id, False, name)
        await town.risk.lists.declare(key, effect, "by test", "mei")
        entry = NewEntry(kind=ListKind.DEVICE, value=value, reason="known")
        await town.risk.lists.add(key, [entry], "mei")
    await town.refresh()
    assert town.look(device="dev_bad").fact.reasons[0] == ReasonCode.LISTED_BLOCKED.value
    assert town.look(device="dev_bad").tier is Tier.DECLINE
    costly: dict[str, Any] = {"value": 50_000_000, "device_signs": 31, "customer": ""}
    costly["card"] = f"new_{town.book_id}"
    assert town.look(**costly, device="dev_other").tier is not Tier.FRICTIONLESS
    assert town.look(**costly, device="dev_good").tier is Tier.FRICTIONLESS


async def test_rules_of_a_merchant_bind_its_own_payments_only(town: Town) -> None:
    await town.rule('dear: when amount > 20 EUR then review because "dear" owner mei\n')
    looked = town.look()
    assert (looked.tier, looked.fact.rules) == (Tier.REVIEW, ("dear",))
    assert looked.decision.version == 1
    assert looked.decision.reasons[0].facts["because"] == "dear"
    assert town.look(book_id=town.book_id + 1).decision.version == 0
    assert town.look(value=1000).tier is Tier.FRICTIONLESS


async def test_proof_passes_what_wanted_one_step_and_nothing_stricter(town: Town) -> None:
    await town.rule(
        'ask: when amount > 20 EUR then step_up because "ask" owner mei\n'
        'never: when amount > 900 EUR then decline because "never" owner mei\n'
    )
    assert town.look().tier is Tier.STEP_UP
    proved = Asked(signals=town.signals(), is_proved=True)
    assert town.look(proved).tier is Tier.FRICTIONLESS
    assert ReasonCode.PROVED.value in town.look(proved).fact.reasons
    assert town.look(Asked(signals=town.signals(value=95_000), is_proved=True)).tier is Tier.DECLINE
    cannot = Asked(signals=town.signals(), can_step_up=False)
    assert town.look(cannot).tier is Tier.REVIEW


async def test_shadow_and_drafts_watch_and_never_act(town: Town) -> None:
    policies, policy = town.decisions.policies, f"{compiling.POLICY}/{town.book_id}"
    rules = 'all: when amount > 1 EUR then decline because "draft" owner mei draft\n'
    champion = await policies.draft(policy, {"rules": rules}, "", "mei")
    await policies.publish(policy, champion.version, "mei")
    await policies.roll_out(policy, RolloutOrder(champion=champion.version), "mei")
    await town.refresh()
    looked = town.look()
    assert (looked.tier, looked.fact.rules) == (Tier.FRICTIONLESS, ())
    assert looked.decision.context["drafts"] == "all"


async def test_exploration_is_written_with_its_chances_and_stays_next_door(
    database: Database, ids: IdFactory
) -> None:
    town = Town(database, ids)
    await town.rule("", explore_share=0.2, explore_value_max=1_000_000)
    town.risk.assessor = Assessor(
        town.risk.following,
        town.risk.live,
        town.risk.shelf,
        town.risk.lists,
        town.risk.freezing,
        town.clock,
        chance=random.Random(5),
    )
    looks = [town.look(value=25_000) for _ in range(400)]
    best = max(looks[0].decision.candidates, key=lambda each: each.propensity).name
    shares = {each.name: each.propensity for each in looks[0].decision.candidates}
    tried = [each for each in looks if each.tier.value != best]
    assert 0 < sum(share for name, share in shares.items() if name != best) <= 0.2
    assert tried
    assert all(abs(each.tier.strictness - Tier(best).strictness) == 1 for each in tried)
    assert all(ReasonCode.EXPLORED.value in each.fact.reasons for each in tried)
    await town.risk.assessing.close()


async def test_fallback_is_the_tier_of_the_policy_and_explains_itself(town: Town) -> None:
    looked = town.risk.assessor.fallback(town.signals())
    check(looked.decision)
    assert (looked.tier, looked.fact.reasons) == (Tier.STEP_UP, (ReasonCode.UNAVAILABLE.value,))
    assert town.risk.assessor.fallback(town.signals(), can_step_up=False).tier is Tier.REVIEW
    await town.rule("", fallback="frictionless")
    assert town.risk.assessor.fallback(town.signals()).tier is Tier.FRICTIONLESS
    order = FreezeOrder(live=False, entity=Entity.CARD, key=f"card_{town.book_id}", reason="stolen")
    await town.risk.freezing.freeze(order, "mei")
    stopped = town.risk.assessor.fallback(town.signals())
    assert (stopped.tier, stopped.fact.reasons[0]) == (Tier.DECLINE, ReasonCode.ACCOUNT_FROZEN.value)


async def test_every_score_is_proved_by_folding_the_log_to_its_position(town: Town) -> None:
    looks: list[Looked] = []
    for number in range(30):
        town.clock.advance(timedelta(minutes=3))
        looks.append(town.look(value=1500 + 211 * (number % 9), device=f"dev_{number % 4}_{town.book_id}"))
        await town.tell(looks[-1].fact)
    log, after = [], 0
    tail = Tail(town.database, (Assessed, Ended, Proved, Labelled))
    while True:
        facts, position = await tail.read(after)
        if position == after:
            break
        log += facts
        after = position
    for looked in looks[::7]:
        memory = Memory()
        for each in log:
            if each.position <= int(looked.decision.context["position"] or 0):
                memory.learn(each.fact)  # type: ignore[arg-type]
        row = memory.of(False).state.features(looked.fact.signals)
        assert digest_of(row) == looked.decision.context["features"]
    assert len({each.decision.context["features"] for each in looks}) > 20


async def test_look_of_its_own_is_on_disk_before_the_answer_and_can_be_labelled(town: Town) -> None:
    looked = await town.risk.assessing.assess(Asked(signals=town.signals()))
    traced = await town.decisions.log.decision(town.book_id, looked.decision.id)
    assert traced.decision.chosen == looked.tier.value
    with pytest.raises(NotFound, match="has not judged"):
        await town.risk.assessing.label(town.book_id, town.ids.uuid(), is_fraud=True, actor="mei")


async def test_case_that_says_so_freezes_its_entity_once(town: Town) -> None:
    consumer = next(each for each in town.risk.subscriptions() if each.name == FREEZES)
    assert isinstance(consumer, Consumer)
    fact = CaseDecided(
        occurred_at=town.clock.now(),
        case_id=town.ids.uuid(),
        book_id=town.book_id,
        live=False,
        disposition=Disposition.FRAUD,
        actor="mei",
        approver="chen",
        freeze_entity=Entity.DEVICE,
        freeze_key=f"dev_{town.book_id}",
    )
    delivered = Delivered(
        1, town.ids.uuid(), topic_of(CaseDecided), "", fact.occurred_at, fact.occurred_at, fact
    )
    for _ in range(2):
        await consumer.handle([delivered])
    assert town.look().fact.reasons[0] == ReasonCode.ACCOUNT_FROZEN.value
    assert town.look(device="another").tier is Tier.FRICTIONLESS


async def test_look_of_its_own_gets_the_fallback_where_scoring_fails(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(town.risk.assessor, "assess", broken)
    looked = await town.risk.assessing.assess(Asked(signals=town.signals()))
    assert (looked.tier, looked.fact.reasons) == (Tier.STEP_UP, (ReasonCode.UNAVAILABLE.value,))
    traced = await town.decisions.log.decision(town.book_id, looked.decision.id)
    assert traced.decision.chosen == "step_up"
