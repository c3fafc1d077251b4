"""Payments with smart routing: the decision in the commit of its effect, the outcome whoever brings it, no failure of it felt."""

import contextlib
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.payments.conftest import CARD, House, open_house
from tests.payments.scripted import UNRESOLVED, Call, approved, declined
from tests.routing.rolled_out import Written

from tongbao.channels.schema import Answer, Authorize, Inquire, NotificationKind, Outcome, Reason
from tongbao.core.db import Database
from tongbao.core.events.facts import decode, topic_of
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.live_policies import LivePolicies
from tongbao.decisions.service.log import DecisionLog, Traced
from tongbao.payments.errors import ReferenceTaken, WrongState
from tongbao.payments.ports import Route, RouteQuestion
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.orders import ConfirmOrder, IntentView
from tongbao.payments.service.smart_routing import SmartRouting, payment_of
from tongbao.routing.models.board import Board
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.service.compiling import POLICY, compile_spec
from tongbao.routing.service.router import Router
from tongbao.routing.service.volumes import Volumes

NAMES = ("one", "two", "wallet")
NOT_SENT = Answer(outcome=Outcome.NOT_SENT, code="connect")
FIRST = {"strategy": "priority", "order": ["one", "two"]}
FUNDS = declined(Reason.INSUFFICIENT_FUNDS, "51")


class Failing:
    """A router that is broken."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    async def choose(self, question: RouteQuestion) -> Route:
        raise self.failure

    def heard(self, attempt: Attempt) -> None:
        del attempt

    def dropped(self, attempt: Attempt) -> None:
        del attempt


class Late:
    """Routing whose router comes once the house has a clock; remembers what it was asked."""

    def __init__(self) -> None:
        self.smart: SmartRouting | None = None
        self.questions: list[RouteQuestion] = []

    async def choose(self, question: RouteQuestion) -> Route:
        assert self.smart is not None
        self.questions.append(question)
        return await self.smart.choose(question)

    def heard(self, attempt: Attempt) -> None:
        assert self.smart is not None
        self.smart.heard(attempt)

    def dropped(self, attempt: Attempt) -> None:
        assert self.smart is not None
        self.smart.dropped(attempt)


class Smart:
    """A house with the real router, whose policy takes ``one`` before ``two``."""

    def __init__(self, house: House, routing: Late, spec: dict[str, Any]) -> None:
        self.house = house
        self.routing = routing
        self.log = DecisionLog(house.database, house.clock)
        written = Written(house.clock.now())
        written.roll_out(POLICY, spec)
        self.live = LivePolicies(
            written,  # type: ignore[arg-type]
            house.clock,
            0.0,
            compile=lambda _, each: compile_spec(each, NAMES),
        )
        volumes = Volumes(house.database, house.clock)
        self.router = Router(Board(), self.live, volumes, house.clock, house.ids, chance=random.Random(1))
        routing.smart = SmartRouting(self.router)

    async def prepare(self) -> "Smart":
        assert await self.live.refresh()
        return self

    async def lineage(self, view: IntentView) -> list[Traced]:
        return await self.log.lineage(self.house.scope.book_id, view.intent.id)

    async def news(self, view: IntentView) -> list[tuple[float | None, str, str]]:
        """Value, label and source of what was heard of the payment's only decision."""
        (traced,) = await self.lineage(view)
        return [(each.value, each.label, each.source) for each in traced.outcomes]

    async def facts(self) -> list[Attempted]:
        """What was told of attempts of the merchant, in the order of telling."""
        async with self.house.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT payload FROM events.outbox WHERE topic = $1 ORDER BY id", topic_of(Attempted)
            )
        told = [decode(topic_of(Attempted), row[0]) for row in rows]
        return [
            each for each in told if isinstance(each, Attempted) and each.book_id == self.house.scope.book_id
        ]

    async def marks(self) -> list[tuple[Mark, Mark | None]]:
        return [(each.mark, each.before) for each in await self.facts()]


@contextlib.asynccontextmanager
async def opened(database: Database, ids: IdFactory, spec: dict[str, Any]) -> AsyncIterator[Smart]:
    routing = Late()
    async with open_house(database, ids, routing=routing) as house:
        yield await Smart(house, routing, spec).prepare()
        await house.check_books()


@pytest.fixture
async def smart(payments_database: Database, ids: IdFactory) -> AsyncIterator[Smart]:
    async with opened(payments_database, ids, FIRST) as made:
        yield made


# Decisions


async def test_decision_is_written_with_the_attempt_that_it_became(smart: Smart) -> None:
    house = smart.house
    done = await house.payments.intents.create(house.scope, house.order(confirm=None))
    view = done.view
    assert view is not None
    seen: list[tuple[str, int]] = []

    async def look(call: Call) -> Answer:
        # The channel is asked after the first commit: the decision is there, and nothing has come of it.
        assert isinstance(call, Authorize)
        seen.extend((each.decision.chosen, len(each.outcomes)) for each in await smart.lineage(view))
        return approved(call, captured=True)

    house.channel("one").reply("authorize", look)
    await house.payments.intents.confirm(house.scope, view.intent.id, ConfirmOrder(method=CARD))
    assert seen == [("one", 0)]
    (traced,) = await smart.lineage(view)
    (attempt,) = await house.attempts(view.intent.id)
    assert (traced.decision.effect_id, traced.decision.id) == (attempt.id, attempt.decision_id)
    assert traced.decision.context["attempt_no"] == 1
    assert traced.decision.context["issuer"] == "424242"
    out = {each.name: each.excluded for each in traced.decision.candidates if each.excluded}
    assert out == {"wallet": "method_not_supported"}


async def test_decision_of_a_refused_commit_is_never_written(smart: Smart) -> None:
    """Two with one reference of the merchant: one payment, one decision."""
    first = await smart.house.pay(merchant_reference="order-1")
    with pytest.raises(ReferenceTaken):
        await smart.house.pay(merchant_reference="order-1")
    async with smart.house.database.connection() as connection:
        count = "SELECT count(*) FROM decisions.decision WHERE book_id = $1"
        assert await connection.fetchval(count, smart.house.scope.book_id) == 1
    assert len(await smart.lineage(first)) == 1


# Outcomes


@pytest.mark.parametrize(
    ("answer", "expected", "mark"),
    [
        (None, (1.0, "approved", "answer"), Mark.APPROVED),
        (declined(Reason.DO_NOT_HONOR), (0.0, "do_not_honor", "answer"), Mark.ISSUER_DECLINED),
        (FUNDS, (0.0, "insufficient_funds", "answer"), Mark.NEUTRAL),
        (declined(Reason.CVC_INCORRECT, "N7"), (0.0, "cvc_incorrect", "answer"), Mark.NEUTRAL),
    ],
)
async def test_answer_of_a_channel_is_the_outcome_of_the_decision(
    smart: Smart, answer: Answer | None, expected: tuple[float, str, str], mark: Mark
) -> None:
    for name in ("one", "two"):
        if answer is not None:
            smart.house.channel(name).reply("authorize", answer)
    view = await smart.house.pay()
    traced = (await smart.lineage(view))[0]
    assert [(each.value, each.label, each.source) for each in traced.outcomes] == [expected]
    facts = await smart.facts()
    assert facts[0].mark is mark
    assert (facts[0].channel, facts[0].decision_id, facts[0].method) == ("one", traced.decision.id, "card")
    assert (facts[0].amount_minor, facts[0].currency, facts[0].issuer) == (1999, "CNY", "424242")


async def test_technical_no_is_a_no_and_speaks_against_the_channel(smart: Smart) -> None:
    smart.house.channel("one").reply("authorize", NOT_SENT)
    view = await smart.house.pay()
    first, second = await smart.lineage(view)
    assert [each.value for each in first.outcomes] == [0.0]
    assert [each.value for each in second.outcomes] == [1.0]
    assert await smart.marks() == [(Mark.TECHNICAL, None), (Mark.APPROVED, None)]


async def test_unresolved_that_an_inquiry_finds_approved_is_an_approval_in_the_end(smart: Smart) -> None:
    one = smart.house.channel("one")
    one.reply("authorize", UNRESOLVED)

    async def found(call: Call) -> Answer:
        assert isinstance(call, Inquire)
        return Answer(outcome=Outcome.APPROVED, amount_minor=1999, currency="CNY", captured=True)

    view = await smart.house.pay()
    assert await smart.news(view) == [(None, "unresolved", "answer")]
    one.reply("inquire", found)
    await smart.house.pass_time(60)
    assert await smart.news(view) == [(None, "unresolved", "answer"), (1.0, "approved", "inquiry")]
    assert await smart.marks() == [(Mark.UNRESOLVED, None), (Mark.APPROVED, Mark.UNRESOLVED)]
    lost, told = await smart.facts()
    assert (told.before_at, told.before_took_ms) == (lost.occurred_at, lost.took_ms)
    assert told.took_ms >= 60_000
    assert told.source == "inquiry"


async def test_unresolved_that_a_notification_finds_approved_is_an_approval_in_the_end(smart: Smart) -> None:
    smart.house.channel("one").reply("authorize", UNRESOLVED)
    view = await smart.house.pay()
    (attempt,) = await smart.house.attempts(view.intent.id)
    smart.house.clock.advance(timedelta(seconds=5))
    answer = Answer(outcome=Outcome.APPROVED, amount_minor=1999, currency="CNY", captured=True)
    for _ in range(2):  # a repeat of it tells nothing new
        await smart.house.notify(NotificationKind.PAYMENT, attempt.reference, answer)
    assert await smart.marks() == [(Mark.UNRESOLVED, None), (Mark.APPROVED, Mark.UNRESOLVED)]
    assert await smart.news(view) == [(None, "unresolved", "answer"), (1.0, "approved", "notification")]


async def test_attempt_that_never_arrived_is_technical(smart: Smart) -> None:
    smart.house.channel("one").reply("authorize", UNRESOLVED)
    view = await smart.house.pay()
    for _ in range(10):
        await smart.house.pass_time(600)
    values = await smart.news(view)
    assert values[-1][:2] == (0.0, "not_found")
    assert await smart.marks() == [(Mark.UNRESOLVED, None), (Mark.TECHNICAL, Mark.UNRESOLVED)]


async def test_one_fact_a_mark_whatever_follows(smart: Smart) -> None:
    """Captures, refunds and voids say nothing new of the channel."""
    view = await smart.house.reserve()
    await smart.house.payments.intents.capture(smart.house.scope, view.intent.id, None)
    assert await smart.marks() == [(Mark.APPROVED, None)]
    assert await smart.news(view) == [(1.0, "approved", "answer")]


# Cascades


async def test_cascade_writes_a_second_decision_that_says_who_was_tried(smart: Smart) -> None:
    smart.house.channel("one").reply("authorize", declined(Reason.DO_NOT_HONOR))
    view = await smart.house.pay()
    assert view.intent.state == "succeeded"
    first, second = await smart.lineage(view)
    attempts = await smart.house.attempts(view.intent.id)
    assert [each.decision.effect_id for each in (first, second)] == [each.id for each in attempts]
    assert (first.decision.chosen, second.decision.chosen) == ("one", "two")
    assert second.decision.context["attempt_no"] == 2
    assert [each.name for each in second.decision.candidates if each.excluded == "tried"] == ["one"]
    assert second.decision.reasons[-1].code == "cascade"
    assert [[each.value for each in traced.outcomes] for traced in (first, second)] == [[0.0], [1.0]]


async def test_unresolved_attempt_is_never_cascaded(smart: Smart) -> None:
    smart.house.channel("one").reply("authorize", UNRESOLVED)
    view = await smart.house.pay()
    assert smart.house.channel("two").calls == []
    assert len(smart.routing.questions) == 1
    assert await smart.house.states(view.intent.id) == ("processing", ["unresolved"])


async def test_what_another_channel_cannot_turn_is_not_cascaded(smart: Smart) -> None:
    smart.house.channel("one").reply("authorize", declined(Reason.CARD_STOLEN, "43"))
    view = await smart.house.pay()
    assert smart.house.channel("two").calls == []
    assert len(await smart.lineage(view)) == 1


# Failures and promises


@pytest.mark.parametrize(
    "failure", [RuntimeError("bug"), TimeoutError(), ValueError("nan"), AssertionError()]
)
async def test_payment_goes_on_over_the_first_channel_where_the_router_fails(
    payments_database: Database, ids: IdFactory, failure: Exception
) -> None:
    async with open_house(payments_database, ids, routing=Failing(failure)) as house:
        view = await house.pay()
        assert view.intent.state == "succeeded"
        (attempt,) = await house.attempts(view.intent.id)
        assert (attempt.channel, attempt.decision_id) == ("one", None)
        assert (
            await DecisionLog(house.database, house.clock).lineage(house.scope.book_id, view.intent.id) == []
        )
        await house.check_books()


@pytest.mark.parametrize(
    "spec",
    [
        FIRST | {"rules": "nobody: when method == 'card' then avoid one, two"},
        FIRST | {"caps": {name: {"currency": "CNY", "amount_minor_max": 100} for name in ("one", "two")}},
        FIRST | {"caps": {name: {"currency": "USD", "amount_minor_max": 10**9} for name in ("one", "two")}},
    ],
)
async def test_rules_and_caps_that_leave_no_channel_send_nothing(
    payments_database: Database, ids: IdFactory, spec: dict[str, Any]
) -> None:
    async with opened(payments_database, ids, spec) as smart:
        with pytest.raises(WrongState) as refused:
            await smart.house.pay()
        assert refused.value.code == "no_channel"
        assert smart.house.channel("one").calls == smart.house.channel("two").calls == []
        assert await smart.facts() == []


async def test_cap_of_a_day_counts_what_is_under_way(payments_database: Database, ids: IdFactory) -> None:
    spec = FIRST | {"caps": {"one": {"currency": "CNY", "day_minor_max": 5_000}}}
    async with opened(payments_database, ids, spec) as smart:
        views = [await smart.house.pay(1_999) for _ in range(4)]
        chosen = [(await smart.house.attempts(view.intent.id))[0].channel for view in views]
        assert chosen == ["one", "one", "two", "two"]
        (traced,) = await smart.lineage(views[2])
        assert {each.name: each.excluded for each in traced.decision.candidates}["one"] == "cap_day"


async def test_repeated_request_leaves_no_call_open(smart: Smart) -> None:
    """A client that repeats its request asks no channel, so no channel owes it an answer."""
    house = smart.house
    for _ in range(12):
        await house.payments.intents.create(house.scope, house.order(), ask=house.ask("again"))
    assert len(house.channel("one").asked("authorize")) == 1
    house.clock.advance(timedelta(seconds=10))
    view = await house.pay()
    (traced,) = await smart.lineage(view)
    assert {each.name: each.excluded for each in traced.decision.candidates}["one"] is None


async def test_channel_that_hangs_is_heard_of_once_it_answers(smart: Smart) -> None:
    smart.house.channel("one").reply("authorize", *[UNRESOLVED] * 8)
    for _ in range(8):
        await smart.house.pay()
    smart.house.clock.advance(timedelta(seconds=10))
    view = await smart.house.pay()
    # Every call was answered, even if with nothing: none is overdue.
    (traced,) = await smart.lineage(view)
    assert {each.name: each.excluded for each in traced.decision.candidates}["one"] is None


# The question


async def test_question_becomes_a_payment_in_the_words_of_routing(smart: Smart) -> None:
    await smart.house.pay(700, currency="usd")
    (question,) = smart.routing.questions
    asked = payment_of(question)
    at = question.intent.updated_at
    assert (asked.method, asked.issuer, asked.brand, asked.funding) == ("card", "424242", "visa", "")
    assert (asked.amount_minor, asked.currency, asked.is_recurring) == (700, "USD", False)
    assert (asked.hour, asked.weekday) == (at.hour, at.weekday())
    assert (asked.book_id, asked.live) == (smart.house.scope.book_id, False)
