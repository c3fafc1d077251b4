"""The router: decisions that explain themselves, draws that match what is written, and fallbacks that may be tried."""

import ast
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tests.payments.scripted import capabilities
from tests.routing.board_facts import BEGIN, attempted, folded, run, streams
from tests.routing.rolled_out import Written
from tests.routing.routing_worlds import CHANNELS as NAMED
from tests.routing.routing_worlds import NAMES, payment, specs

import tongbao.routing
from tongbao.channels.schema import Presentment
from tongbao.channels.service.registry import Wish, objection
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.rollout import CHALLENGER, CHAMPION
from tongbao.decisions.schema.log import Candidate, Decision, Why, check
from tongbao.decisions.service.live_policies import LivePolicies
from tongbao.routing.errors import NoChannel
from tongbao.routing.models.board import Board, BoardTuning
from tongbao.routing.policy.reasons import CHOSEN, EXCLUDED, said, sentence, text_of
from tongbao.routing.schema.payments import Mark
from tongbao.routing.schema.spec import RoutingSpec, Strategy
from tongbao.routing.service.compiling import POLICY, compile_spec, policy_of
from tongbao.routing.service.replaying import chances
from tongbao.routing.service.router import BUILT_IN, Asked, Routed, Router
from tongbao.routing.service.volumes import Volumes

NOW = BEGIN + timedelta(seconds=2)
THREE = ("one", "two", "three")


class House:
    """A router over a board of its own; chance is seeded, time stands still."""

    def __init__(self, database: Database, board: Board | None = None, seed: int = 1) -> None:
        self.clock = FrozenClock(NOW)
        self.ids = IdFactory(self.clock, random.Random(seed))
        self.board = board or Board()
        self.written = Written(NOW)
        self.live = LivePolicies(self.written, self.clock, 0.0, compile=self._compile)  # type: ignore[arg-type]
        self.router = Router(
            self.board,
            self.live,
            Volumes(database, self.clock),
            self.clock,
            self.ids,
            chance=random.Random(seed),
        )

    def _compile(self, policy: str, spec: dict[str, Any]) -> object:
        return compile_spec(spec, (*THREE, *NAMED))

    async def roll_out(self, policy: str, *specs_of: dict[str, Any], **fields: Any) -> None:
        """Let versions 1, 2, … of a policy decide as a roll-out says."""
        self.written.roll_out(policy, *specs_of, **fields)
        assert await self.live.refresh()

    def choose(self, *channels: str, **fields: Any) -> Routed:
        """Route a new payment; its answer comes at once."""
        asked = {name: fields.pop(name) for name in ("excluded", "tried") if name in fields}
        of = payment(**({"subject_id": self.ids.uuid()} | fields))
        routed = self.router.choose(Asked(payment=of, candidates=channels or THREE, **asked))
        self.router.ended(routed.decision.id, approved=False)
        return routed


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def propensities(decision: Decision) -> dict[str, float]:
    """The written probabilities of those that had a chance."""
    return {each.name: each.propensity for each in decision.candidates if each.propensity > 0}


# Decisions


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams(40), specs(), st.data())
async def test_every_decision_of_a_random_world_is_sound_and_explains_itself(
    database: Database, facts: list[Any], spec: RoutingSpec, data: st.DataObject
) -> None:
    house = House(database, folded(facts), data.draw(st.integers(0, 99)))
    # The policy speaks of channels by the names of its own world; the facts of one of them are these.
    names = data.draw(st.lists(st.sampled_from((*THREE, *NAMES)), min_size=1, unique=True))
    await house.roll_out(POLICY, spec_json(spec), spec_json(spec), shadow=2)
    tried = ("said_no",) if data.draw(st.booleans()) else ()
    try:
        routed = house.choose(*names, tried=tried, excluded={"off": "disabled"})
    except NoChannel:
        return
    decision = routed.decision
    check(decision)
    assert decision.chosen == routed.channel in names
    out = {each.name for each in decision.candidates if each.excluded is not None}
    assert out >= {"off", *tried}
    assert not {routed.channel, *out} & set(routed.fallbacks)
    assert set(routed.fallbacks) <= set(names)
    assert decision.shadow is not None
    assert propensities(decision) == {k: v for k, v in decision.shadow.propensities.items() if v > 0}
    for language in ("zh", "en"):
        assert routed.channel in sentence(decision, language)


def spec_json(spec: RoutingSpec) -> dict[str, Any]:
    """A specification as plain JSON."""
    built: dict[str, Any] = msgspec.to_builtins(spec)
    return built


async def test_draws_match_the_written_propensities(house: House) -> None:
    house.board.become(folded([*run(Mark.APPROVED, 30), *run(Mark.ISSUER_DECLINED, 4, channel="two")]))
    first = propensities(house.choose().decision)
    drawn = Counter(house.choose().channel for _ in range(3_000))
    expected = [3_000 * first[name] for name in THREE]
    result = chisquare([drawn[name] for name in THREE], expected)
    assert result.pvalue > 1e-4, (drawn, expected)


async def test_draws_match_shares_of_a_split_and_of_probes(house: House) -> None:
    house.board.become(folded(run(Mark.TECHNICAL, 6, begin_s=-40, channel="three")))
    await house.roll_out(POLICY, {"strategy": "split", "weights": {"one": 3, "two": 1}})
    first = propensities(house.choose().decision)
    assert first["one"] == pytest.approx(3 * first["two"])
    assert 0 < first["three"] < 0.2
    drawn = Counter(house.choose().channel for _ in range(3_000))
    result = chisquare([drawn[name] for name in THREE], [3_000 * first[name] for name in THREE])
    assert result.pvalue > 1e-4, (drawn, first)


async def test_equal_seeds_choose_equally(database: Database) -> None:
    first, second = (House(database, seed=5) for _ in range(2))
    one, two = ([house.choose().channel for _ in range(50)] for house in (first, second))
    assert one == two
    assert len(set(one)) > 1


def test_decision_holds_what_the_choice_depended_on(house: House) -> None:
    decision = house.choose(brand="visa", card_country="DE", is_recurring=True).decision
    assert decision.context == {
        "method": "card",
        "currency": "CNY",
        "amount_minor": 5_000,
        "hour": 0,
        "weekday": 0,
        "issuer": "411111",
        "brand": "visa",
        "card_country": "DE",
        "is_recurring": True,
        "attempt_no": 1,
    }
    for each in decision.candidates:
        assert each.low is not None
        assert each.high is not None
        assert each.score is not None
        assert each.low <= each.score <= each.high
        assert 0 <= each.facts["approval_low"] <= each.facts["approval"] <= each.facts["approval_high"] <= 1  # type: ignore[operator]
    assert (decision.decided_at, decision.kind, decision.effect_id) == (NOW, POLICY, None)
    assert decision.latency_us > 0


# Policies


async def test_choose_without_a_policy_is_decided_by_the_built_in_one(house: House) -> None:
    decision = house.choose().decision
    assert (decision.policy, decision.version, decision.arm, decision.shadow) == (
        POLICY,
        BUILT_IN,
        CHAMPION,
        None,
    )
    assert decision.reasons[0].code in {"learned", "explored"}


async def test_merchants_own_policy_goes_before_that_of_the_house(house: House) -> None:
    await house.roll_out(POLICY, {"strategy": "priority", "order": ["two"]})
    await house.roll_out(policy_of(7), {"strategy": "priority", "order": ["three"]})
    assert house.choose().channel == "three"
    other = house.choose(book_id=8)
    assert (other.channel, other.decision.policy, other.decision.version) == ("two", POLICY, 1)


async def test_challenger_decides_for_its_share_of_payments_and_always_for_the_same(house: House) -> None:
    await house.roll_out(
        POLICY,
        {"strategy": "priority", "order": ["one"]},
        {"strategy": "priority", "order": ["two"]},
        challenger=2,
        share_bps=3_000,
    )
    arms = {}
    for _ in range(400):
        subject = house.ids.uuid()
        decision = house.choose(subject_id=subject).decision
        again = house.choose(subject_id=subject, tried=("three",)).decision
        assert (decision.arm, decision.version) == (again.arm, again.version)
        assert decision.chosen == ("two" if decision.arm == CHALLENGER else "one")
        arms[subject] = decision.arm
    share = list(arms.values()).count(CHALLENGER) / len(arms)
    assert 0.2 < share < 0.4


async def test_shadow_is_written_down_and_decides_nothing(house: House) -> None:
    await house.roll_out(
        POLICY,
        {"strategy": "priority", "order": ["one"]},
        {"strategy": "split", "weights": {"two": 3, "three": 1}},
        shadow=2,
    )
    decision = house.choose().decision
    assert decision.chosen == "one"
    assert decision.shadow is not None
    assert (decision.shadow.version, decision.shadow.chosen) == (2, "two")
    assert decision.shadow.propensities == pytest.approx({"one": 0, "two": 0.75, "three": 0.25})


async def test_shadow_that_leaves_no_channel_is_nobodys_trouble(house: House) -> None:
    rules = "none: when method == 'card' then avoid one, two, three"
    await house.roll_out(POLICY, {}, {"rules": rules}, shadow=2)
    assert house.choose().decision.shadow is None


async def test_no_channel_names_the_payment_and_the_candidates(house: House) -> None:
    await house.roll_out(POLICY, {"rules": "none: when method == 'card' then avoid one, two, three"})
    with pytest.raises(NoChannel) as refused:
        house.choose()
    assert refused.value.code == "no_channel_left"
    assert refused.value.facts["candidates"] == list(THREE)
    assert str(refused.value.facts["payment_intent"]).startswith("pi_")


# Cascades


def test_cascade_says_who_was_tried_and_never_goes_back(house: House) -> None:
    decision = house.choose("two", "three", tried=("one",)).decision
    assert decision.context["attempt_no"] == 2
    out = {each.name: each.excluded for each in decision.candidates if each.excluded}
    assert out == {"one": "tried"}
    assert decision.reasons[-1] == Why("cascade", {"tried": "one"})


def test_fallbacks_leave_out_what_is_open_and_end_with_what_is_half_open(house: House) -> None:
    facts = [
        *run(Mark.TECHNICAL, 6, begin_s=-5, channel="two"),
        *run(Mark.TECHNICAL, 6, begin_s=-60, channel="three"),
    ]
    house.board.become(folded([*facts, *run(Mark.APPROVED, 50, begin_s=-50, channel="four")]))
    for _ in range(40):
        routed = house.choose("one", "two", "three", "four")
        assert "two" not in (routed.channel, *routed.fallbacks)
        if routed.channel in ("one", "four"):
            assert routed.fallbacks[-1] == "three"


# Calls under way


def test_channel_that_does_not_answer_is_left_alone_until_it_is_heard_of(house: House) -> None:
    pending = []
    for _ in range(12):
        routed = house.router.choose(Asked(payment=payment(subject_id=house.ids.uuid()), candidates=("one",)))
        pending.append(routed.decision.id)
    house.clock.advance(timedelta(seconds=10))
    decision = house.choose("one", "two").decision
    assert decision.chosen == "two"
    assert [each.excluded for each in decision.candidates] == ["silent", None]
    for each in pending:
        house.router.heard(each)
    decision = house.choose("one", "two").decision
    assert [each.excluded for each in decision.candidates] == [None, None]


def test_calls_that_nobody_ever_answers_are_forgotten(house: House) -> None:
    for _ in range(12):
        house.router.choose(Asked(payment=payment(subject_id=house.ids.uuid()), candidates=("one",)))
    house.clock.advance(timedelta(seconds=61))
    assert [each.excluded for each in house.choose("one", "two").decision.candidates] == [None, None]


def test_silence_in_test_payments_is_none_of_live_ones(house: House) -> None:
    for _ in range(12):
        asked = payment(subject_id=house.ids.uuid(), live=False)
        house.router.choose(Asked(payment=asked, candidates=("one",)))
    house.clock.advance(timedelta(seconds=10))
    assert [each.excluded for each in house.choose("one", "two").decision.candidates] == [None, None]


# Replays


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    streams(40),
    st.sampled_from(
        [RoutingSpec(), RoutingSpec(strategy=Strategy.ROUND_ROBIN), RoutingSpec(retry_cost_minor=30)]
    ),
)
async def test_replay_of_the_same_policy_gives_what_was_written(
    database: Database, facts: list[Any], spec: RoutingSpec
) -> None:
    house = House(database, folded(facts))
    await house.roll_out(POLICY, spec_json(spec))
    decision = house.choose().decision
    compiled = compile_spec(spec_json(spec), THREE)
    found = chances(compiled, decision, BoardTuning())
    written = {each.name: each.propensity for each in decision.candidates}
    assert found == pytest.approx(written, abs=0.01)


# Words


def decision_for(reasons: tuple[Why, ...], *out: Candidate) -> Decision:
    """A decision over ``one`` against ``two``, with numbers."""
    facts: dict[str, Any] = {
        "approval": 0.9312,
        "approval_low": 0.91,
        "approval_high": 0.95,
        "cost_minor": 45.0,
    }
    return Decision(
        id=payment().subject_id,
        book_id=7,
        live=True,
        kind=POLICY,
        subject_id=payment().subject_id,
        decided_at=datetime(2026, 3, 1, tzinfo=UTC),
        policy=POLICY,
        version=3,
        context={"currency": "CNY"},
        candidates=(
            Candidate(name="one", propensity=0.8, score=116.0, facts=facts),
            Candidate(name="two", propensity=0.2, score=90.0, facts=facts | {"approval": 0.8912}),
            *out,
        ),
        chosen="one",
        reasons=reasons,
    )


FACTS: dict[str, dict[str, Any]] = {
    "rule": {"rule": "big tickets"},
    "rule_skipped": {"rule": "big tickets"},
    "cascade": {"tried": "three, four"},
}


@pytest.mark.parametrize("code", sorted(CHOSEN))
@pytest.mark.parametrize("language", ["zh", "en", "zh-CN"])
def test_sentence_of_every_reason_has_names_and_numbers(code: str, language: str) -> None:
    facts = FACTS.get(code, {})
    words = sentence(decision_for((Why(code, facts),)), language)
    assert said(Why(code, facts), language) in words
    for expected in ("one", "two", "93.1%", "91.0%", "95.0%", "0.45", "CNY", "4.0", *facts.values()):
        assert str(expected) in words
    assert words.endswith("。" if language.startswith("zh") else ".")
    assert "{" not in words


@pytest.mark.parametrize("code", ["breaker_open", "together", "silent"])
def test_sentence_names_channels_that_are_out_of_traffic(code: str) -> None:
    decision = decision_for((Why("learned"),), Candidate(name="ill", excluded=code))
    for language, words in (("zh", EXCLUDED[code].zh), ("en", EXCLUDED[code].en)):
        assert "ill" in sentence(decision, language)
        assert words in sentence(decision, language)


def test_sentence_of_what_is_out_for_different_reasons_says_each_of_its_own() -> None:
    out = (Candidate(name="ill", excluded="breaker_open"), Candidate(name="mute", excluded="silent"))
    words = sentence(decision_for((Why("learned"),), *out), "en")
    assert EXCLUDED["breaker_open"].en in words
    assert EXCLUDED["silent"].en in words


@pytest.mark.parametrize("code", sorted({**CHOSEN, **EXCLUDED}))
def test_every_code_has_words_in_both_languages(code: str) -> None:
    text = text_of(code)
    assert text.zh
    assert text.en
    assert code not in (text.zh, text.en)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh)
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in text.en)


def test_code_of_a_later_version_is_its_own_words() -> None:
    assert said(Why("brand_new"), "en") == said(Why("brand_new"), "zh") == "brand_new"
    assert text_of("brand_new").en == "brand_new"


def codes_in(path: str) -> set[str]:
    """The texts of a module that look like codes."""
    source = Path(str(tongbao.routing.__file__)).parent / path
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def test_codes_that_routing_writes_and_texts_are_the_same_list() -> None:
    used = set()
    for path in ("policy/reckoning.py", "policy/recording.py", "policy/strategies.py", "policy/caps.py"):
        used |= codes_in(path)
    # An objection of the registry is passed on by its code.
    registry = OBJECTIONS | {"disabled", "other_mode"}
    texts = {*CHOSEN, *EXCLUDED}
    # ``rule_skipped`` is made in the rules, from the word for what happened to one.
    assert texts - used - registry - {"rule_skipped"} == set()
    assert {"rule", "learned", "explored", "only_channel", "all_open", "probe", "cascade"} <= set(CHOSEN)


OBJECTIONS = {
    "method_not_supported",
    "presentment_not_supported",
    "currency_not_supported",
    "amount_too_small",
    "amount_too_large",
    "manual_capture_not_supported",
    "mandates_not_supported",
    "authentication_not_supported",
}


@pytest.mark.parametrize(
    ("can", "wish", "expected"),
    [
        ({"methods": frozenset()}, {}, "method_not_supported"),
        ({"presentments": frozenset()}, {}, "presentment_not_supported"),
        ({"currencies": frozenset({"USD"})}, {}, "currency_not_supported"),
        ({"amount_minor_min": 5_001}, {}, "amount_too_small"),
        ({"amount_minor_max": 4_999}, {}, "amount_too_large"),
        ({"manual_capture": False}, {"manual_capture": True}, "manual_capture_not_supported"),
        ({"mandates": False}, {"mandate": True}, "mandates_not_supported"),
        ({"authenticates": False}, {"authenticate": True}, "authentication_not_supported"),
    ],
)
def test_every_objection_of_the_registry_has_words(
    can: dict[str, Any], wish: dict[str, Any], expected: str
) -> None:
    wanted = Wish(kind="card", presentment=Presentment.DIRECT, currency="CNY", amount_minor=5_000, **wish)
    assert objection(capabilities(**can), wanted) == expected
    assert expected in EXCLUDED
    assert expected in OBJECTIONS


def test_every_code_that_random_worlds_write_has_words(database: Database) -> None:
    """Everything that can be seen in the log is in the list."""
    seen = set()
    for seed in range(40):
        rng = random.Random(seed)
        facts = [
            attempted(
                number - 60.0,
                channel=rng.choice(THREE),
                mark=rng.choice((Mark.APPROVED, Mark.TECHNICAL, Mark.TECHNICAL)),
            )
            for number in range(rng.randrange(1, 60))
        ]
        decision = (
            House(database, folded(facts), seed).choose(tried=("x",), excluded={"y": "disabled"}).decision
        )
        seen |= {why.code for why in decision.reasons}
        seen |= {each.excluded for each in decision.candidates if each.excluded}
    assert seen <= {*CHOSEN, *EXCLUDED}
    assert {"breaker_open", "tried", "disabled", "cascade"} <= seen
