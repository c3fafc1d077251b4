"""What new rules would have done to payments that are in the log."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.risk.policy import rules_backtest
from tongbao.risk.policy.backtest_texts import rule_sentences, whole_sentences
from tongbao.risk.policy.rules import Rules, apply
from tongbao.risk.policy.rules_backtest import Backtest, Logged, RuleResult, backtest, wilson
from tongbao.risk.policy.rules_text import parse
from tongbao.risk.schema.tiers import TIERS, Tier

AT = datetime(2026, 11, 1, tzinfo=UTC)
NONE = Rules()
OWNER = 'because "x" owner mei'


def rules(*lines: str) -> Rules:
    return parse("\n".join(f"{line} {OWNER}" for line in lines))


def row(count: float, tier: Tier = Tier.FRICTIONLESS, **fields: Any) -> Logged:
    values: dict[str, Any] = {
        "values": {"card_count_1h": count, "hour": 3},
        "at": AT,
        "unit": "pi_1",
        "value": 1_000,
        "currency": "EUR",
        "tier": tier,
        "is_succeeded": tier is not Tier.DECLINE,
        "is_blocked": tier is Tier.DECLINE,
    }
    return Logged(**(values | fields))


def judged(rows: Iterable[Logged], new: Rules, old: Rules = NONE) -> Backtest:
    return backtest(rows, old, new)


def only(found: Backtest) -> RuleResult:
    (result,) = found.rules
    return result


CAPPED = rules("cap: when card_count_1h > 5 then decline")


def test_backtest_counts_what_a_rule_matches_and_how_it_ended() -> None:
    rows = [
        row(9, is_disputed=True),
        row(8, is_refunded=True, value=300),
        row(7, currency="JPY", value=50_000),
        row(6, Tier.DECLINE),
        row(6, is_succeeded=False),
        row(2, is_disputed=True),
    ]
    result = only(judged(rows, CAPPED))
    assert (result.matched.all.count, result.share) == (5, 5 / 6)
    assert result.matched.all.amounts == {"EUR": 3_300, "JPY": 50_000}
    assert (result.matched.disputed.count, result.matched.disputed.amounts) == (1, {"EUR": 1_000})
    assert (result.matched.refunded.count, result.matched.refunded.amounts) == (1, {"EUR": 300})
    assert (result.matched.succeeded.count, result.matched.blocked.count) == (3, 1)
    assert (result.precision.count, result.precision.bad_count) == (3, 1)


def test_backtest_tells_friction_apart_from_fraud_that_meets_more() -> None:
    rows = [row(9, is_disputed=True), row(8), row(7), row(6, is_succeeded=False), row(9, Tier.DECLINE)]
    found = judged(rows, CAPPED)
    for moved in (only(found).raised, found.raised):
        assert (moved.good.count, moved.bad.count, moved.unclear.count, moved.count) == (2, 1, 1, 4)
        assert moved.good.amounts == {"EUR": 2_000}
    assert found.lowered.count == 0
    assert (found.before, found.after) == (
        {Tier.FRICTIONLESS: 4, Tier.DECLINE: 1},
        {Tier.DECLINE: 5},
    )


def test_backtest_of_a_draft_tells_what_it_would_do_and_changes_nothing() -> None:
    found = judged([row(9)], rules("cap: when card_count_1h > 5 then decline draft"))
    assert (only(found).is_draft, only(found).raised.good.count) == (True, 1)
    assert (found.raised.count, found.matched.all.count) == (0, 0)
    assert found.after == {Tier.FRICTIONLESS: 1}


def test_backtest_of_watch_counts_and_moves_nothing() -> None:
    found = judged([row(9)], rules("look: when card_count_1h > 5 then watch"))
    assert (only(found).matched.all.count, only(found).raised.count, found.raised.count) == (1, 0, 0)


def test_backtest_keeps_to_expiry_and_share() -> None:
    rows = [row(9, unit=f"pi_{number}") for number in range(1_000)]
    half = judged(rows, rules("cap: when card_count_1h > 5 then decline share 50"))
    assert 400 < only(half).matched.all.count < 600
    assert only(judged(rows, rules(f"cap: when true then decline until {AT.date()}"))).matched.all.count == 0


def test_backtest_names_rules_in_force_that_match_too() -> None:
    old = rules(
        "cap: when card_count_1h > 5 then step_up",
        "other: when card_count_1h > 7 then step_up",
        "third: when card_count_1h > 8 then review",
        "look: when true then watch",
        "draft: when true then decline draft",
    )
    result = only(judged([row(9), row(8), row(6)], CAPPED, old))
    assert (result.covered_count, result.overlaps) == (2, (("other", 2), ("third", 1)))


def test_backtest_of_an_allow_lowers_what_only_the_score_had_raised() -> None:
    old = rules("cap: when card_count_1h > 8 then step_up")
    new = rules("cap: when card_count_1h > 8 then step_up", "vip: when true then allow")
    rows = [row(1, Tier.REVIEW), row(9, Tier.REVIEW, is_disputed=True), row(9, Tier.STEP_UP), row(1)]
    found = judged(rows, new, old)
    assert (found.lowered.good.count, found.lowered.bad.count, found.raised.count) == (1, 1, 0)
    assert found.rules[1].lowered.count == 2
    assert found.after == {Tier.FRICTIONLESS: 2, Tier.STEP_UP: 2}
    assert found.uncertain_count == 0


@pytest.mark.parametrize(
    ("old", "new", "tier", "scored", "expected", "uncertain"),
    [
        ("", "step_up", Tier.REVIEW, None, Tier.REVIEW, 0),
        ("step_up", "", Tier.REVIEW, None, Tier.REVIEW, 0),
        ("step_up", "", Tier.STEP_UP, None, Tier.FRICTIONLESS, 1),
        ("step_up", "", Tier.STEP_UP, Tier.STEP_UP, Tier.STEP_UP, 0),
        ("step_up", "review", Tier.STEP_UP, None, Tier.REVIEW, 0),
        ("review", "step_up", Tier.REVIEW, None, Tier.STEP_UP, 1),
        ("review", "review", Tier.REVIEW, None, Tier.REVIEW, 0),
        ("allow", "", Tier.FRICTIONLESS, None, Tier.FRICTIONLESS, 1),
        ("allow", "decline", Tier.FRICTIONLESS, None, Tier.DECLINE, 0),
        ("allow", "step_up", Tier.FRICTIONLESS, Tier.DECLINE, Tier.DECLINE, 0),
        ("decline", "allow", Tier.DECLINE, None, Tier.FRICTIONLESS, 0),
    ],
)
def test_backtest_is_certain_of_a_tier_only_where_the_log_tells(
    old: str, new: str, tier: Tier, scored: Tier | None, expected: Tier, uncertain: int
) -> None:
    before, after = (rules(f"a: when true then {act}") if act else NONE for act in (old, new))
    found = judged([row(1, tier, scored=scored)], after, before)
    assert (found.after, found.uncertain_count) == ({expected: 1}, uncertain)


conditions = ["true", "card_count_1h > 3", "card_count_1h > 6"]
lines = st.lists(
    st.tuples(
        st.sampled_from(conditions), st.sampled_from(["allow", "step_up", "review", "decline", "watch"])
    ),
    max_size=3,
).map(
    lambda pairs: rules(*(f"r{number}: when {when} then {act}" for number, (when, act) in enumerate(pairs)))
)
payments = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(TIERS), st.booleans(), st.booleans()), max_size=12
)


@settings(deadline=None)
@given(lines, lines, payments)
def test_backtest_never_takes_a_payment_for_stricter_than_it_was_to_become(
    old: Rules, new: Rules, drawn: list[tuple[int, Tier, bool, bool]]
) -> None:
    rows, truth = [], 0
    for count, scored, good, bad in drawn:
        values = {"card_count_1h": float(count)}
        tier = apply(old, values, AT, "pi_1").over(scored)
        truth += apply(new, values, AT, "pi_1").over(scored).strictness
        rows.append(row(count, tier, is_succeeded=good, is_disputed=bad))
    found = judged(rows, new, old)
    guessed = sum(tier.strictness * count for tier, count in found.after.items())
    assert guessed <= truth
    assert guessed == truth or found.uncertain_count
    assert sum(found.after.values()) == sum(found.before.values()) == len(rows)


@settings(deadline=None)
@given(lines, payments)
def test_backtest_of_the_rules_in_force_changes_nothing(
    same: Rules, drawn: list[tuple[int, Tier, bool, bool]]
) -> None:
    rows = [
        row(count, apply(same, {"card_count_1h": float(count)}, AT, "pi_1").over(scored))
        for count, scored, _, _ in drawn
    ]
    found = judged(rows, same, same)
    assert (found.raised.count, found.lowered.count, found.uncertain_count) == (0, 0, 0)
    assert found.before == found.after


def test_backtest_without_payments_gives_empty_sheets() -> None:
    found = judged([], CAPPED)
    assert (only(found).share, only(found).precision.low, only(found).precision.high) == (0.0, 0.0, 1.0)
    assert not found.precision.is_enough


@pytest.mark.parametrize("fields", [{"values": {"hour": 3}}, {"value": -1}])
def test_backtest_of_a_row_that_lacks_something_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        judged([row(1, **fields)], CAPPED)
    assert refused.value.code == "backtest_row_invalid"
    assert refused.value.facts == {"unit": "pi_1"}


def test_backtest_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_backtest, "ROWS_MAX", 3)
    assert judged([row(1)] * 3, CAPPED).payments.all.count == 3
    with pytest.raises(LimitExceeded, match="backtest_too_long"):
        judged([row(1)] * 4, CAPPED)


@pytest.mark.parametrize(
    ("bad", "count", "low", "high"),
    [(0, 0, 0.0, 1.0), (40, 100, 0.3094, 0.4980), (0, 30, 0.0, 0.1135), (30, 30, 0.8865, 1.0)],
)
def test_wilson_gives_the_published_interval(bad: int, count: int, low: float, high: float) -> None:
    assert wilson(bad, count) == pytest.approx((low, high), abs=5e-5)


def spoken() -> Backtest:
    old = rules("other: when card_count_1h > 8 then step_up")
    rows = (
        [row(9, Tier.STEP_UP, is_disputed=True)] * 12
        + [row(7)] * 28
        + [row(6, Tier.DECLINE)] * 2
        + [row(1)] * 58
    )
    return judged(rows, CAPPED, old)


def test_sentences_speak_english() -> None:
    found = spoken()
    assert rule_sentences(only(found), "en") == (
        "cap matches 42 payments, 42.0 % of all (420.00 EUR): 40 went through, 0 were refunded, 12 disputed "
        "(120.00 EUR), 2 were kept out already.",
        "Precision: 12 of 40 that went through were bad (30.0 %, 95 % interval 18.1 % to 45.4 %).",
        "40 payments would have met more than they did: 28 good ones (added friction), 12 bad ones (120.00 EUR), "
        "0 of which it is not known.",
        "12 of them are matched by rules in force too: other (12).",
    )
    assert whole_sentences(found, "en")[0] == "Of 100 payments, rules that act match 42."


def test_sentences_speak_chinese() -> None:
    found = spoken()
    assert rule_sentences(only(found), "zh-CN") == (
        "规则“cap”命中 42 笔付款，占全部 42.0 %（420.00 EUR）：成功 40 笔，退款 0 笔，争议 12 笔（120.00 EUR），已被拦下 2 笔。",
        "精确率：成功的 40 笔中有 12 笔欺诈或争议（30.0 %，95 % 区间 18.1 % 至 45.4 %）。",
        "40 笔付款会受到更严的处理：正常 28 笔（新增打扰），欺诈或争议 12 笔（120.00 EUR），结果未知 0 笔。",
        "其中 12 笔现行规则也会命中：other（12）。",
    )
    assert whole_sentences(found, "zh")[0] == "100 笔付款中，起作用的规则命中 42 笔。"


@pytest.mark.parametrize(
    ("language", "few", "draft", "same", "uncertain"),
    [
        ("en", "too few to speak of a share", "It is a draft", "No payment would", "For 1 payments the log"),
        ("zh", "不足以估计", "这是草稿", "没有付款的处理", "有 1 笔付款无法"),
    ],
)
def test_sentences_say_what_is_not_known(
    language: str, few: str, draft: str, same: str, uncertain: str
) -> None:
    drafted = only(judged([row(9)], rules("cap: when card_count_1h > 5 then watch draft")))
    said = "\n".join(rule_sentences(drafted, language))
    assert few in said
    assert draft in said
    assert same in said
    old = rules("a: when true then step_up")
    assert uncertain in whole_sentences(judged([row(9, Tier.STEP_UP)], NONE, old), language)[-1]
    lowered = judged([row(9, Tier.REVIEW)], rules("vip: when true then allow"))
    assert any("1" in each for each in whole_sentences(lowered, language)[2:])


def test_rule_that_expired_within_the_log_counts_until_then() -> None:
    late = row(9, at=datetime(2026, 11, 5, tzinfo=UTC))
    new = rules(f"cap: when card_count_1h > 5 then decline until {date(2026, 11, 3)}")
    assert only(judged([row(9), late], new)).matched.all.count == 1
