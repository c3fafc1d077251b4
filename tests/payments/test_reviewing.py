"""Reviews: what people will look at is reserved and not taken, and goes where they decide, once."""

from uuid import UUID

import msgspec
import pytest
from tests.payments.conftest import House, open_house
from tests.payments.scripted import ScriptedChannel
from tests.payments.test_disputing import tell

from tongbao.channels.schema import Answer, NotificationKind, Outcome
from tongbao.core.db import Database
from tongbao.core.events.facts import Delivered, Fact, topic_of
from tongbao.core.ids import IdFactory
from tongbao.decisions.schema.log import Candidate, Decision, Why
from tongbao.payments.errors import WrongState
from tongbao.payments.policy.signals import Pseudonyms, signals_of
from tongbao.payments.ports import RiskQuestion, Verdict
from tongbao.payments.schema.intents import CancelReason, CaptureMethod, IntentState, RiskState
from tongbao.risk.schema.cases import CaseDecided, Disposition, Lapsed, PaymentRef
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, LabelSource
from tongbao.risk.schema.tiers import Tier


class Judge:
    """Risk control that gives everybody one tier, with the decision and the fact that belong to it."""

    def __init__(self, tier: Tier, ids: IdFactory) -> None:
        self._tier = tier
        self._ids = ids

    async def assess(self, question: RiskQuestion) -> Verdict:
        intent = question.intent
        signals = signals_of(question, self._ids.uuid(), intent.updated_at, Pseudonyms(b"secret"))
        decision = Decision(
            id=signals.id,
            book_id=intent.book_id,
            live=intent.live,
            kind="risk",
            subject_id=intent.id,
            decided_at=signals.at,
            policy="risk",
            version=0,
            candidates=(Candidate(name=self._tier.value, propensity=1.0),),
            chosen=self._tier.value,
            reasons=(Why("low_risk"),),
        )
        fact = Assessed(occurred_at=signals.at, signals=signals, tier=self._tier, decision_id=decision.id)
        return Verdict(tier=self._tier, step_up_url="https://x", decision=decision, fact=fact)


async def told(house: House, kind: type[Fact]) -> list[Fact]:
    """The facts of a kind that this house's merchant caused, oldest first."""
    async with house.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT payload FROM events.outbox WHERE topic = $1 AND position($2::bytea IN payload) > 0 ORDER BY id",
            topic_of(kind),
            str(house.scope.book_id).encode(),
        )
    return [msgspec.json.decode(row[0], type=kind) for row in rows]


async def decided(house: House, ruling: str, subject_id: UUID) -> None:
    """Let a case decide about a payment, twice: facts are delivered at least once."""
    payments = (PaymentRef(house.scope.book_id, subject_id),)
    fact = CaseDecided(
        occurred_at=house.clock.now(),
        case_id=house.ids.uuid(),
        book_id=house.scope.book_id,
        live=False,
        disposition=Disposition.GENUINE,
        actor="mei",
        release=payments if ruling == "release" else (),
        reject=payments if ruling == "reject" else (),
    )
    delivered = Delivered(
        1, house.ids.uuid(), topic_of(CaseDecided), "", house.clock.now(), house.clock.now(), fact
    )
    for _ in range(2):
        await house.payments.reviewing.heard([delivered])


@pytest.mark.parametrize(
    ("ruling", "state", "risk_state", "calls"),
    [
        ("release", IntentState.SUCCEEDED, RiskState.CLEAR, ("capture", 1)),
        ("reject", IntentState.CANCELED, RiskState.BLOCKED, ("void", 1)),
    ],
)
async def test_held_payment_is_reserved_and_goes_where_people_decide(
    payments_database: Database,
    ids: IdFactory,
    ruling: str,
    state: IntentState,
    risk_state: RiskState,
    calls: tuple[str, int],
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.REVIEW, ids)) as house:
        view = await house.pay()
        assert view.intent.state is IntentState.REQUIRES_CAPTURE
        assert view.intent.risk_state is RiskState.REVIEW
        with pytest.raises(WrongState, match="held for a review"):
            await house.payments.intents.capture(house.scope, view.intent.id)
        with pytest.raises(WrongState, match="held for a review"):
            await house.payments.intents.increment(house.scope, view.intent.id, 5_000)
        await decided(house, ruling, view.intent.id)
        after = await house.intent(view.intent.id)
        assert (after.state, after.risk_state) == (state, risk_state)
        operation, count = calls
        assert len(house.channel().asked(operation)) == count
        await house.check_books()


async def test_rejected_payment_that_could_not_be_held_is_refunded_once(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.REVIEW, ids)) as house:
        for name in ("one", "two"):
            house.channel(name).can(manual_capture=False)
        view = await house.pay(700)
        assert (view.intent.state, view.intent.risk_state) == (IntentState.SUCCEEDED, RiskState.REVIEW)
        await decided(house, "reject", view.intent.id)
        after = await house.intent(view.intent.id)
        assert (after.amount_refunded_minor, after.risk_state) == (700, RiskState.BLOCKED)
        assert len(house.channel().asked("refund")) == 1
        await house.check_books()


async def test_release_of_a_payment_with_manual_capture_leaves_the_capture_to_its_merchant(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.REVIEW, ids)) as house:
        view = await house.pay(700, capture_method=CaptureMethod.MANUAL)
        await decided(house, "release", view.intent.id)
        assert (await house.intent(view.intent.id)).state is IntentState.REQUIRES_CAPTURE
        await house.payments.intents.capture(house.scope, view.intent.id)
        assert (await house.intent(view.intent.id)).state is IntentState.SUCCEEDED


async def test_ruling_on_a_payment_that_went_another_way_alarms_and_changes_nothing(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.REVIEW, ids)) as house:
        view = await house.pay(700)
        await house.payments.intents.cancel(house.scope, view.intent.id)
        await decided(house, "reject", view.intent.id)
        assert (await house.intent(view.intent.id)).state is IntentState.CANCELED
        await decided(house, "release", house.ids.uuid())
        assert house.alarms("review_overtaken") == 2


async def test_every_end_of_a_judged_payment_is_told_with_the_look_behind_it(
    payments_database: Database, ids: IdFactory
) -> None:
    risk = Judge(Tier.FRICTIONLESS, ids)
    async with open_house(payments_database, ids, risk=risk, channels=[ScriptedChannel("a")]) as house:
        house.channel("a").reply("authorize", Answer(outcome=Outcome.NOT_SENT, code="connect"))
        view = await house.pay(700)
        assert view.intent.state is IntentState.SUCCEEDED
        (look,) = await told(house, Assessed)
        ends = await told(house, Ended)
        assert isinstance(look, Assessed)
        assert look.signals.subject_id == view.intent.id
        assert [(end.signals_id, end.is_approved) for end in ends if isinstance(end, Ended)] == [
            (look.signals.id, False),
            (look.signals.id, True),
        ]
        async with house.database.connection() as connection:
            effect = await connection.fetchval(
                "SELECT effect_id FROM decisions.decision WHERE book_id = $1 AND id = $2",
                house.scope.book_id,
                look.signals.id,
            )
        assert effect == (await house.attempts(view.intent.id))[0].id


async def test_dispute_about_fraud_labels_its_payment_until_the_merchant_wins(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.FRICTIONLESS, ids)) as house:
        view = await house.pay(1000)
        await tell(house, view, "needs_response")
        await tell(house, view, "won")
        labels = [each for each in await told(house, Labelled) if isinstance(each, Labelled)]
        assert [(each.is_fraud, each.source) for each in labels] == [
            (True, LabelSource.DISPUTE),
            (False, LabelSource.DISPUTE),
        ]


async def test_refund_labels_its_payment_where_the_merchant_calls_it_fraud(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.FRICTIONLESS, ids)) as house:
        view = await house.pay(1000)
        for cause in ("requested_by_customer", "fraudulent"):
            await house.payments.refunds.create(
                house.scope, intent_id=view.intent.id, amount_minor=100, cause=cause
            )
        labels = [each for each in await told(house, Labelled) if isinstance(each, Labelled)]
        assert [(each.is_fraud, each.source) for each in labels] == [(True, LabelSource.REFUND)]


@pytest.mark.parametrize("tier", [Tier.DECLINE, Tier.STEP_UP])
async def test_payment_that_is_stopped_is_told_in_the_commit_that_stops_it(
    payments_database: Database, ids: IdFactory, tier: Tier
) -> None:
    async with open_house(payments_database, ids, risk=Judge(tier, ids)) as house:
        view = await house.pay(1000)
        (look,) = await told(house, Assessed)
        assert isinstance(look, Assessed)
        assert (look.tier, look.signals.subject_id) == (tier, view.intent.id)
        assert await told(house, Ended) == []


async def test_review_that_nobody_decides_ends_with_the_authorization_and_says_so(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.REVIEW, ids)) as house:
        view, ordinary = await house.pay(700), await house.pay(800)
        await decided(house, "release", ordinary.intent.id)
        assert view.attempt is not None
        await house.pass_time(7 * 86_400 + 1)
        intent = await house.intent(view.intent.id)
        assert (intent.state, intent.cancel_reason) == (IntentState.CANCELED, CancelReason.REVIEW_EXPIRED)
        assert (intent.risk_state, intent.amount_capturable_minor) == (RiskState.UNDECIDED, 0)
        assert len(house.channel().asked("void")) == 1
        assert (await house.events()).count("payment_intent.canceled") == 1
        (lapsed,) = await told(house, Lapsed)
        assert isinstance(lapsed, Lapsed)
        assert (lapsed.subject_id, lapsed.signals_id) == (intent.id, view.attempt.signals_id)
        await decided(house, "release", view.intent.id)
        assert (await house.intent(view.intent.id)).state is IntentState.CANCELED
        await house.check_books()


@pytest.mark.parametrize("end", ["merchant", "channel"])
async def test_held_payment_that_ends_otherwise_is_undecided_too(
    payments_database: Database, ids: IdFactory, end: str
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.REVIEW, ids)) as house:
        view = await house.pay(700)
        assert view.attempt is not None
        if end == "merchant":
            await house.payments.intents.cancel(house.scope, view.intent.id)
        else:
            gone = Answer(outcome=Outcome.APPROVED, voided=True)
            await house.notify(NotificationKind.PAYMENT, view.attempt.reference, gone)
        assert (await house.intent(view.intent.id)).risk_state is RiskState.UNDECIDED
        assert len(await told(house, Lapsed)) == 1
        await house.check_books()


async def test_void_of_an_expired_review_whose_end_was_not_heard_says_so_too(
    payments_database: Database, ids: IdFactory
) -> None:
    async with open_house(payments_database, ids, risk=Judge(Tier.REVIEW, ids)) as house:
        view = await house.pay(700)
        house.channel().reply("void", Answer(outcome=Outcome.UNRESOLVED))
        await house.pass_time(7 * 86_400 + 1)
        await house.pass_time(600)
        intent = await house.intent(view.intent.id)
        assert (intent.state, intent.cancel_reason) == (IntentState.CANCELED, CancelReason.REVIEW_EXPIRED)
