"""Smart risk: a tier becomes a verdict, a failure becomes the configured tier, a proof is found once it was given."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.payments.test_signals import intent

from tongbao.channels.schema import Card, Initiator, Merchant
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.payments.policy.step_ups import not_authenticated
from tongbao.payments.ports import RiskQuestion
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.service.smart_risk import SmartRisk, purpose_of
from tongbao.risk.schema.challenges import Challenge, ChallengeState, Means
from tongbao.risk.schema.freezes import FreezeOrder
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import compiling
from tongbao.risk.service.risk import Risk
from tongbao.risk.service.step_up_links import LINK_LIFE, StepUpLinks

SECRET = b"s" * 32
CARD = Card(
    token="t", exp_month=1, exp_year=2030, brand="visa", card_bin="42424242", last4="4242", fingerprint="f"
)


class Desk:
    """Risk control behind the port, over a real database; the test says which proofs there are."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.ids = ids
        self.clock = FrozenClock(datetime.now(UTC))
        self.book_id = ids.int63()
        self.decisions = Decisions(database, self.clock, ids, {compiling.POLICY: compiling.checker()})
        self.risk = Risk(database, self.clock, ids, self.decisions.policies, self.decisions.log, Metrics())
        self.links = StepUpLinks(SECRET, "https://pay.example", self.clock)
        self.proof: Challenge | Exception | None = None
        self.asked: list[tuple[int, UUID, bytes, timedelta]] = []
        self.smart = SmartRisk(self.risk.judge, self.links, self._passed_for, self.clock, ids, secret=SECRET)

    async def rules(self, rules: str, **spec: Any) -> None:
        """Let this merchant's own policy decide by these rules."""
        policy = f"{compiling.POLICY}/{self.book_id}"
        drafted = await self.decisions.policies.draft(policy, {"rules": rules, **spec}, "", "mei")
        await self.decisions.policies.publish(policy, drafted.version, "mei")
        await self.decisions.policies.roll_out(policy, RolloutOrder(champion=drafted.version), "mei")
        self.clock.advance(timedelta(seconds=5))
        await self.risk.live.refresh()

    def question(self, of: Intent | None = None, **fields: object) -> RiskQuestion:
        values: dict[str, object] = {
            "intent": of or self.intent(),
            "method": CARD,
            "merchant": Merchant(name="Tea House"),
            "initiator": Initiator.PAYER,
        }
        return RiskQuestion(**(values | fields))  # type: ignore[arg-type]

    def intent(self, **fields: object) -> Intent:
        return intent(**({"book_id": self.book_id, "customer_id": UUID(int=5)} | fields))

    def passed(self, of: Intent) -> Challenge:
        """A challenge that this payment's payer passed."""
        return Challenge(
            id=self.ids.uuid(),
            book_id=self.book_id,
            live=of.live,
            subject_id=of.id,
            signals_id=self.ids.uuid(),
            amount_minor=of.amount_minor,
            currency=of.currency,
            payee="Tea House",
            digest=purpose_of(of).digest,
            means=Means.CODE,
            state=ChallengeState.PASSED,
            destination="",
            masked="",
            attempts_left=4,
            sends_left=2,
            opened_at=self.clock.now(),
            expires_at=self.clock.now(),
        )

    async def _passed_for(
        self, book_id: int, subject_id: UUID, digest: bytes, within: timedelta
    ) -> Challenge | None:
        self.asked.append((book_id, subject_id, digest, within))
        if isinstance(self.proof, Exception):
            raise self.proof
        return self.proof


@pytest.fixture
async def desk(database: Database, ids: IdFactory) -> AsyncIterator[Desk]:
    made = Desk(database, ids)
    yield made
    await made.risk.assessing.close()


ASK = 'ask: when amount > 1 EUR then step_up because "ask" owner mei\n'


async def test_calm_payment_passes_with_a_decision_and_a_fact(desk: Desk) -> None:
    verdict = await desk.smart.assess(desk.question())
    assert (verdict.tier, verdict.step_up_url) == (Tier.FRICTIONLESS, None)
    assert verdict.decision is not None
    assert verdict.fact is not None
    assert verdict.decision.id == verdict.fact.signals.id
    assert desk.asked == []


async def test_step_up_leads_to_a_page_that_is_good_for_this_payment_only(desk: Desk) -> None:
    await desk.rules(ASK)
    of = desk.intent(return_url="https://shop.example/back")
    verdict = await desk.smart.assess(desk.question(of))
    assert verdict.tier is Tier.STEP_UP
    assert verdict.step_up_url is not None
    link = desk.links.read(verdict.step_up_url.rpartition("/")[2])
    assert link.order.purpose == purpose_of(of)
    assert link.order.signals_id == verdict.fact.signals.id if verdict.fact else False
    assert (link.return_url, link.order.destination) == ("https://shop.example/back", of.reference)
    dearer = msgspec.structs.replace(of, amount_minor=of.amount_minor + 1)
    assert purpose_of(dearer).digest != purpose_of(of).digest


@pytest.mark.parametrize(
    "fields",
    [{"customer_id": None}, {"customer_id": None, "receipt_email": None}],
)
async def test_payer_whom_no_code_can_reach_is_reviewed_instead(
    desk: Desk, fields: dict[str, object]
) -> None:
    await desk.rules(ASK)
    verdict = await desk.smart.assess(desk.question(desk.intent(**fields)))
    assert verdict.tier is Tier.REVIEW
    absent = desk.question(initiator=Initiator.MERCHANT)
    assert (await desk.smart.assess(absent)).tier is Tier.REVIEW


async def test_receipt_address_will_do_in_test_mode(desk: Desk) -> None:
    await desk.rules(ASK)
    of = desk.intent(live=False, customer_id=None)
    assert (await desk.smart.assess(desk.question(of))).tier is Tier.STEP_UP


async def test_proof_is_looked_for_where_a_step_was_wanted_and_told_under_the_first_look(desk: Desk) -> None:
    await desk.rules(ASK)
    of = desk.intent(state=IntentState.REQUIRES_ACTION)
    assert (await desk.smart.assess(desk.question(of))).tier is Tier.STEP_UP
    desk.proof = proof = desk.passed(of)
    verdict = await desk.smart.assess(desk.question(of))
    assert verdict.tier is Tier.FRICTIONLESS
    assert ReasonCode.PROVED.value in verdict.reasons
    assert verdict.fact is not None
    assert (verdict.fact.signals.id, verdict.fact.is_again) == (proof.signals_id, True)
    assert verdict.decision is not None
    assert verdict.decision.id != proof.signals_id
    assert [each[:3] for each in desk.asked] == [(desk.book_id, of.id, purpose_of(of).digest)] * 2


async def test_proof_that_cannot_be_looked_up_is_no_proof(desk: Desk) -> None:
    await desk.rules(ASK)
    desk.proof = Unavailable("database_busy", "later")
    of = desk.intent(state=IntentState.REQUIRES_ACTION)
    assert (await desk.smart.assess(desk.question(of))).tier is Tier.STEP_UP


async def test_failure_gives_the_tier_of_the_policy_and_never_an_exception(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.rules("", fallback="review")

    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.risk.assessor, "assess", broken)
    verdict = await desk.smart.assess(desk.question())
    assert (verdict.tier, verdict.reasons) == (Tier.REVIEW, (ReasonCode.UNAVAILABLE.value,))
    assert verdict.fact is not None
    assert verdict.fact.score is None


async def test_proved_payer_goes_on_while_scoring_fails_unless_a_list_stops_the_payment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.rules("", fallback="step_up")

    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.risk.assessor, "assess", broken)
    of = desk.intent(state=IntentState.REQUIRES_ACTION)
    assert (await desk.smart.assess(desk.question(of))).tier is Tier.STEP_UP
    desk.proof = proof = desk.passed(of)
    verdict = await desk.smart.assess(desk.question(of))
    assert verdict.tier is Tier.FRICTIONLESS
    assert verdict.reasons == (ReasonCode.PROVED.value, ReasonCode.UNAVAILABLE.value)
    assert verdict.decision is not None
    assert verdict.decision.chosen == Tier.FRICTIONLESS.value
    assert [each.name for each in verdict.decision.candidates if each.propensity] == ["frictionless"]
    assert verdict.fact is not None
    assert (verdict.fact.tier, verdict.fact.is_again) == (Tier.FRICTIONLESS, True)
    assert verdict.fact.signals.id == proof.signals_id
    freeze = FreezeOrder(live=of.live, entity=Entity.CUSTOMER, key=UUID(int=5).hex, reason="stolen")
    await desk.risk.freezing.freeze(freeze, "mei")
    await desk.risk.freezing.refresh()
    stopped = await desk.smart.assess(desk.question(of))
    assert stopped.tier is Tier.DECLINE
    assert stopped.reasons == (ReasonCode.ACCOUNT_FROZEN.value, ReasonCode.UNAVAILABLE.value)
    assert ReasonCode.PROVED.value not in stopped.reasons


@pytest.mark.parametrize("fallback", ["review", "decline"])
async def test_proof_does_not_soften_another_tier_for_failures(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, fallback: str
) -> None:
    await desk.rules("", fallback=fallback)

    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.risk.assessor, "assess", broken)
    of = desk.intent(state=IntentState.REQUIRES_ACTION)
    desk.proof = desk.passed(of)
    assert (await desk.smart.assess(desk.question(of))).tier.value == fallback


async def test_payer_whom_only_the_issuer_can_ask_is_left_to_the_issuer(desk: Desk) -> None:
    await desk.rules(ASK)
    of = desk.intent(customer_id=None)
    verdict = await desk.smart.assess(desk.question(of, can_authenticate=True))
    assert (verdict.tier, verdict.by_issuer, verdict.step_up_url) == (Tier.STEP_UP, True, None)
    assert verdict.decision is not None
    assert verdict.decision.context["means"] == "three_ds"
    known = await desk.smart.assess(desk.question(can_authenticate=True))
    assert (known.by_issuer, known.step_up_url is None) == (False, False)
    assert known.step_up_until == desk.clock.now() + LINK_LIFE
    absent = desk.question(of, can_authenticate=True, initiator=Initiator.MERCHANT)
    assert (await desk.smart.assess(absent)).tier is Tier.REVIEW


async def test_proof_that_came_after_the_payment_had_stopped_waiting_counts(desk: Desk) -> None:
    await desk.rules(ASK)
    state = IntentState.REQUIRES_PAYMENT_METHOD
    of = desk.intent(state=state, last_error=not_authenticated())
    desk.proof = desk.passed(of)
    assert (await desk.smart.assess(desk.question(of))).tier is Tier.FRICTIONLESS
    fresh = desk.intent(state=state)
    assert (await desk.smart.assess(desk.question(fresh))).tier is Tier.STEP_UP
