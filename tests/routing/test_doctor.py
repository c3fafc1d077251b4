"""The doctor: planted causes are found, named, ranked and priced; chance is called chance; everything adds up."""

import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.routing.planted import CHANNELS, ISSUERS, MEAN_MINOR, Plant, World

from tongbao.channels.schema import Reason
from tongbao.routing.policy import health_texts as texts
from tongbao.routing.policy.doctor import diagnose
from tongbao.routing.policy.doctor_effects import discoveries
from tongbao.routing.policy.doctor_strata import FAULTS, fault_of, lay_out
from tongbao.routing.schema.health import (
    SEGMENT_DIMENSIONS,
    ActionKind,
    Basis,
    Cell,
    Diagnosis,
    Dimension,
    Fault,
    Verdict,
)
from tongbao.routing.schema.payments import Mark

CHANNEL, METHOD, ISSUER = Dimension.CHANNEL, Dimension.METHOD, Dimension.ISSUER
COUNT = 20_000
SEGMENTS: tuple[dict[Dimension, str], ...] = (
    {CHANNEL: "adyen"},
    {CHANNEL: "cybs"},
    {ISSUER: "ccb"},
    {ISSUER: "hsbc"},
    {METHOD: "wallet"},
    {CHANNEL: "bocom", ISSUER: "icbc"},
    {CHANNEL: "adyen", ISSUER: "abc"},
    {CHANNEL: "cybs", METHOD: "wallet"},
    {},
)


def diagnosed(seed: int, *plants: Plant, count: int = COUNT) -> Diagnosis:
    """The diagnosis of a world in which ``plants`` broke between the periods of one day each."""
    world = World(np.random.default_rng(seed))
    return diagnose(world.table(count), world.table(count, plants), 1.0)


def test_diagnose_outage_of_a_channel_blames_it_and_takes_it_out() -> None:
    found = diagnosed(1, Plant(Fault.TECHNICAL, {CHANNEL: "adyen"}, 0.6))
    assert found.verdict is Verdict.FELL
    (cause,) = found.causes
    assert (cause.fault, cause.segment) == (Fault.TECHNICAL, {CHANNEL: "adyen"})
    assert set(cause.codes) == {"channel_unavailable", "network_timeout"}
    assert cause.share is not None
    assert cause.share.low <= 1.0 <= cause.share.high
    assert (cause.before < 0.05, cause.now > 0.5) == (True, True)
    out, ask = cause.actions
    assert (out.kind, ask.kind) == (ActionKind.TAKE_OUT, ActionKind.ASK_ACQUIRER)
    assert out.to_channel in CHANNELS
    assert out.gain.basis is Basis.COMPARISON
    assert out.gain.payments_a_day is not None
    # 40 % of the attempts, of which 60 % failed, and of those about 85 % pass elsewhere.
    assert out.gain.payments_a_day.low < 0.4 * 0.6 * 0.85 * COUNT < out.gain.payments_a_day.high * 1.05
    minor = sum(each.value for each in out.gain.minor_a_day.values())
    assert minor == pytest.approx(out.gain.payments_a_day.value * MEAN_MINOR, rel=1e-3)


def test_diagnose_one_issuer_on_one_channel_moves_its_traffic_and_asks_the_issuer() -> None:
    segment = {CHANNEL: "bocom", ISSUER: "ccb"}
    (cause,) = diagnosed(2, Plant(Fault.ISSUER, segment, 0.35)).causes
    assert (cause.fault, cause.segment) == (Fault.ISSUER, segment)
    assert [action.kind for action in cause.actions] == [ActionKind.MOVE_TRAFFIC, ActionKind.ASK_ISSUER]
    assert all(action.segment == segment for action in cause.actions)


def test_diagnose_authentication_codes_proposes_step_up() -> None:
    (cause,) = diagnosed(3, Plant(Fault.AUTHENTICATION, {ISSUER: "icbc"}, 0.2)).causes
    assert (cause.fault, cause.segment) == (Fault.AUTHENTICATION, {ISSUER: "icbc"})
    assert cause.codes == ("authentication_required",)
    assert [action.kind for action in cause.actions] == [ActionKind.STEP_UP]
    assert cause.actions[0].gain.basis is Basis.BASELINE


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.FUNDS, [ActionKind.RETRY_LATER]),
        (Fault.CONFIGURATION, [ActionKind.FIX_CONFIGURATION]),
        (Fault.PAYER, []),
    ],
)
def test_diagnose_neutral_codes_blames_no_channel_and_leaves_approval_alone(
    fault: Fault, expected: list[ActionKind]
) -> None:
    found = diagnosed(4, Plant(fault, {}, 0.1))
    (cause,) = found.causes
    assert (cause.fault, cause.segment) == (fault, {})
    assert [action.kind for action in cause.actions] == expected
    assert found.verdict is Verdict.STEADY
    assert found.completion_change.high < 0


def test_diagnose_traffic_that_moved_is_mix_and_nobody_fault() -> None:
    world = World(np.random.default_rng(5))
    world.slack["cmb", Fault.ISSUER] = 4.0
    moved = {"icbc": 0.2, "ccb": 0.2, "abc": 0.15, "hsbc": 0.1, "cmb": 0.35}
    found = diagnose(world.table(COUNT), world.table(COUNT, shares={"issuer": moved}), 1.0)
    assert found.verdict is Verdict.FELL
    (cause,) = found.causes
    assert (cause.fault, cause.segment, cause.actions) == (Fault.MIX, {ISSUER: "cmb"}, ())
    assert found.mix.high < 0
    assert found.rate.low <= 0 <= found.rate.high
    assert not any(effect.significant for effect in found.effects)


def test_diagnose_nothing_wrong_says_that_nothing_is_significant() -> None:
    found = [diagnosed(seed) for seed in range(100, 130)]
    # A false discovery rate of 5 % lets one or two of 30 through on average.
    assert sum(bool(each.causes) for each in found) <= 5
    calm = next(each for each in found if not each.causes and each.verdict is Verdict.STEADY)
    assert "not significant" in texts.verdict_text(calm, "en")
    assert "没有显著变化" in texts.verdict_text(calm, "zh")
    assert sum(effect.significant for effect in calm.effects) == 0


def test_diagnose_two_causes_at_once_ranks_them_by_size() -> None:
    small = Plant(Fault.AUTHENTICATION, {ISSUER: "abc"}, 0.15)
    large = Plant(Fault.TECHNICAL, {CHANNEL: "cybs"}, 0.3)
    found = diagnosed(6, small, large)
    assert [(cause.fault, cause.segment) for cause in found.causes[:2]] == [
        (large.fault, large.segment),
        (small.fault, small.segment),
    ]
    assert found.causes[0].lost_a_day.value > found.causes[1].lost_a_day.value


def test_diagnose_planted_causes_names_nearly_all_of_them_first() -> None:
    right = cases = covered = 0
    for seed in range(216):
        fault, segment = FAULTS[seed // len(SEGMENTS) % len(FAULTS)], SEGMENTS[seed % len(SEGMENTS)]
        more = (0.05, 0.1, 0.2, 0.35)[seed // 54]
        found = diagnosed(1_000 + seed, Plant(fault, segment, more))
        cases += 1
        first = found.causes[0] if found.causes else None
        if first is not None and (first.fault, first.segment) == (fault, segment):
            right += 1
            covered += first.share is not None and first.share.low <= 1.0 <= first.share.high
    assert cases >= 200
    assert right / cases >= 0.95
    # The share's interval holds the truth (all of it) about as often as it says, where there is a clear fall.
    assert covered / right >= 0.6


def test_diagnose_comparison_gain_covers_what_a_move_would_bring() -> None:
    inside = 0
    segment = {CHANNEL: "adyen", ISSUER: "icbc"}
    for seed in range(40):
        world = World(np.random.default_rng(2_000 + seed))
        plant = Plant(Fault.TECHNICAL, segment, 0.25)
        (cause, *_) = diagnose(world.table(COUNT), world.table(COUNT, (plant,)), 2.0).causes
        gain = cause.actions[0].gain
        assert gain.payments_a_day is not None
        assert gain.coverage == pytest.approx(1.0)
        truth = _true_gain(world, cause.actions[0].to_channel) / 2.0
        inside += gain.payments_a_day.low <= truth <= gain.payments_a_day.high
    assert inside >= 31  # 90 % of 40, less what the choice of the best and chance take


def _true_gain(world: World, to: str) -> float:
    """Approvals more, of the attempts of adyen and icbc with a quarter failing, had they gone to another channel."""

    def passing(channel: str, more: float) -> float:
        product = 1.0
        for fault, usual in zip(FAULTS, (0.008, 0.002, 0.02, 0.03, 0.02, 0.07), strict=True):
            rate = usual * world.slack[channel, fault] * world.slack["icbc", fault]
            product *= 1 - rate - (more if fault is Fault.TECHNICAL else 0.0)
        return product

    return COUNT * CHANNELS["adyen"] * ISSUERS["icbc"] * (passing(to, 0.0) - passing("adyen", 0.25))


def test_diagnose_without_comparable_traffic_gives_no_number() -> None:
    def table(technical: int) -> list[Cell]:
        return [
            Cell("only", "card", "icbc", "CNY", "approved", "", 1_000 - technical, 10**6),
            Cell("only", "card", "icbc", "CNY", "technical", "channel_error", technical, 10**4),
            Cell("other", "wallet", "", "CNY", "approved", "", 1_000, 10**6),
        ]

    (cause,) = diagnose(table(10), table(200), 1.0).causes
    move = cause.actions[0]
    assert (move.kind, move.gain.basis, move.gain.payments_a_day) == (
        ActionKind.MOVE_TRAFFIC,
        Basis.NONE,
        None,
    )
    assert "no traffic to compare" in texts.action_text(move, "en")


def test_diagnose_too_few_attempts_says_so() -> None:
    cells = [Cell("a", "card", "", "CNY", "approved", "", 29)]
    found = diagnose(cells, cells, 1.0)
    assert (found.verdict, found.causes) == (Verdict.TOO_FEW, ())
    assert diagnose([], [], 1.0).verdict is Verdict.TOO_FEW
    assert "too few" in texts.verdict_text(found, "en")


def test_diagnose_period_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        diagnose([], [], 0.0)


NAMES = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from(["card", "wallet"]),
    st.sampled_from("xyz"),
    st.sampled_from(["CNY", "USD"]),
)
ENDS = st.sampled_from(
    [
        (Mark.APPROVED, ""),
        (Mark.ISSUER_DECLINED, "do_not_honor"),
        (Mark.ISSUER_DECLINED, "authentication_required"),
        (Mark.TECHNICAL, "channel_error"),
        (Mark.UNRESOLVED, "network_timeout"),
        (Mark.NEUTRAL, "insufficient_funds"),
        (Mark.NEUTRAL, ""),
    ]
)


def _cell(name: tuple[str, str, str, str], end: tuple[Mark, str], count: int) -> Cell:
    return Cell(*name, end[0].value, end[1], count, count * 7)


CELLS = st.lists(
    st.builds(
        _cell,
        NAMES,
        ENDS,
        st.integers(1, 300),
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(CELLS, CELLS)
def test_contributions_of_any_two_tables_sum_to_the_change(baseline: list[Cell], current: list[Cell]) -> None:
    found = diagnose(baseline, current, 1.0)
    if found.verdict is Verdict.TOO_FEW:
        return
    change = _approval(current) - _approval(baseline)
    assert found.change.value == pytest.approx(change, abs=1e-9)
    assert found.mix.value + found.rate.value == pytest.approx(change, abs=1e-9)
    for order in (1, 2):
        for dimensions in combinations(SEGMENT_DIMENSIONS, order):
            of_them = [effect for effect in found.effects if set(effect.segment) == set(dimensions)]
            assert sum(each.mix + each.rate.value for each in of_them) == pytest.approx(change, abs=1e-9)
    judged = [code.rate.value for code in found.codes if code.mark is not Mark.NEUTRAL]
    assert sum(judged) == pytest.approx(change, abs=1e-9)
    assert found.current.total == sum(cell.count for cell in current)


def _approval(cells: list[Cell]) -> float:
    judged = sum(cell.count for cell in cells if cell.mark != Mark.NEUTRAL)
    return sum(cell.count for cell in cells if cell.mark == Mark.APPROVED) / judged


def test_diagnose_many_issuers_stays_quick() -> None:
    rng = np.random.default_rng(8)
    names: list[tuple[str, str, str, str]] = [
        (c, "card", f"bank{i}", "CNY") for c in "abcdefgh" for i in range(100)
    ]
    tables = [
        [
            cell
            for name in names
            for cell in (
                Cell(*name, "approved", "", int(rng.poisson(90)), 9_000),
                Cell(*name, "issuer_declined", "do_not_honor", int(rng.poisson(10)), 1_000),
            )
        ]
        for _ in range(2)
    ]
    began = time.thread_time()
    diagnose(tables[0], tables[1], 1.0)
    assert time.thread_time() - began < 10.0


@pytest.mark.parametrize(
    ("mark", "code", "expected"),
    [
        ("approved", "", None),
        ("technical", "channel_error", Fault.TECHNICAL),
        ("unresolved", "", Fault.TECHNICAL),
        ("technical", "configuration_invalid", Fault.CONFIGURATION),
        ("issuer_declined", "do_not_honor", Fault.ISSUER),
        ("issuer_declined", "authentication_required", Fault.AUTHENTICATION),
        ("neutral", "authentication_failed", Fault.AUTHENTICATION),
        ("neutral", "insufficient_funds", Fault.FUNDS),
        ("neutral", "cvc_incorrect", Fault.PAYER),
    ],
)
def test_fault_of_an_end_is_whoever_can_mend_it(mark: str, code: str, expected: Fault | None) -> None:
    assert fault_of(mark, code) is expected


def test_at_risk_leaves_out_who_was_stopped_before() -> None:
    cells = [
        Cell("a", "card", "", "CNY", "approved", "", 60),
        Cell("a", "card", "", "CNY", "technical", "channel_error", 30),
        Cell("a", "card", "", "CNY", "issuer_declined", "do_not_honor", 10),
    ]
    strata = lay_out(cells, [])
    assert strata.at_risk(Fault.TECHNICAL)[0, 0] == 100
    assert strata.at_risk(Fault.ISSUER)[0, 0] == 70


def test_discoveries_follow_benjamini_and_hochberg() -> None:
    assert discoveries([0.01, 0.04, 0.03, 0.5], 0.05) == [True, False, False, False]
    assert discoveries([0.01, 0.035, 0.03, 0.5], 0.05) == [True, True, True, False]
    assert discoveries([0.02, 0.03, 0.035, 0.04], 0.05) == [True] * 4
    assert discoveries([], 0.05) == []


def test_every_standard_reason_has_a_name_in_both_languages() -> None:
    assert set(texts.CODES) == {reason.value for reason in Reason}
    assert texts.code_name("insufficient_funds", "zh") == "余额不足"
    assert texts.code_name("raw_77", "en") == "raw_77"


def test_texts_tell_cause_and_actions_in_both_languages() -> None:
    found = diagnosed(1, Plant(Fault.TECHNICAL, {CHANNEL: "adyen"}, 0.6))
    cause = found.causes[0]
    assert texts.verdict_text(found, "zh").startswith("支付成功率由")
    assert texts.verdict_text(found, "en").startswith("The approval rate fell from")
    assert texts.cause_text(cause, "zh").startswith("通道 adyen：通道技术故障，每天约少成功")
    assert texts.cause_text(cause, "en").startswith("Channel adyen: technical failures of the channel, about")
    assert texts.action_text(cause.actions[0], "zh").startswith("暂停通道 adyen，流量改走")
    assert "approvals a day (90% interval" in texts.action_text(cause.actions[0], "en")
    assert texts.segment_text({}, "en") == "all traffic"
    assert texts.segment_text({ISSUER: ""}, "zh") == "发卡行 （未知）"
    with pytest.raises(ValueError):
        texts.segment_text({}, "fr")
