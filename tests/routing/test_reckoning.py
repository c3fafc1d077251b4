"""Reckoning: filters first, then breakers, then the strategy; what is out gets nothing, and everything says why."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.routing.routing_worlds import NAMES, known, payment, reckoned, specs, states

from tongbao.decisions.schema.log import CANDIDATES_MAX, REASONS_MAX, Decision, check
from tongbao.routing.models.board import BoardTuning
from tongbao.routing.models.breakers import CLOSED, HALF_OPEN, OPEN
from tongbao.routing.policy import recording
from tongbao.routing.policy.ranking import PROBES_SHARE_MAX
from tongbao.routing.policy.reckoning import Reckoned
from tongbao.routing.policy.traffic import Known
from tongbao.routing.schema.spec import Cap, Cost, RoutingSpec, Strategy
from tongbao.routing.schema.volumes import Used

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = settings(max_examples=150, deadline=None)
PLAIN = RoutingSpec(strategy=Strategy.ROUND_ROBIN)


def shares(spec: RoutingSpec, state: Known, **fields: Any) -> dict[str, float]:
    """The probabilities of a policy, by channel."""
    found = reckoned(spec, state, **fields)
    assert found is not None
    return {name: round(share, 6) for name, share in zip(found.channels, found.shares, strict=True)}


def why_out(found: Reckoned | None) -> dict[str, str]:
    """Codes of what may not be chosen, by channel."""
    assert found is not None
    return {name: why.code for name, why in (*found.filtered.items(), *found.closed.items())}


def decision_of(found: Reckoned, place: int, excluded: dict[str, str], tried: tuple[str, ...]) -> Decision:
    """The decision for one of the channels, as the router writes it."""
    asked = payment()
    return Decision(
        id=asked.subject_id,
        book_id=asked.book_id,
        live=asked.live,
        kind="routing",
        subject_id=asked.subject_id,
        decided_at=AT,
        policy="routing",
        version=1,
        context=recording.context(asked, len(tried)),
        candidates=recording.candidates(found, excluded, tried),
        chosen=found.channels[place],
        reasons=recording.reasons(found, place, tried),
    )


@SETTINGS
@given(specs(), states(), st.sampled_from((5_000, 20_000)))
def test_reckon_gives_no_chance_to_who_is_filtered_capped_or_open(
    spec: RoutingSpec, state: Known, amount_minor: int
) -> None:
    found = reckoned(spec, state, asked=payment(amount_minor=amount_minor))
    if found is None:
        return
    each = found.shares
    assert math.isclose(math.fsum(each), 1.0, abs_tol=1e-9)
    forced = [] if found.gate.forced is None else [found.gate.forced]
    for place, name in enumerate(found.channels):
        is_out = name in found.filtered or found.known.state[place] == OPEN
        if is_out and place not in forced:
            assert each[place] == 0
        assert not (name in found.filtered and name in found.closed)
    if forced:
        # Nothing else was left: exactly one is let through, and says so.
        assert each[forced[0]] == pytest.approx(1)
        assert len(forced) == 1
        assert recording.reasons(found, forced[0], ())[0].code == "all_open"
    elif found.gate.traffic:
        probing = sum(each[place] for place in found.gate.probes)
        assert probing <= PROBES_SHARE_MAX + 1e-9


@SETTINGS
@given(specs(), states(), st.booleans())
def test_every_choice_is_a_sound_decision_with_reasons(
    spec: RoutingSpec, state: Known, cascades: bool
) -> None:
    found = reckoned(spec, state)
    if found is None:
        return
    excluded, tried = {"off": "disabled", "zzz": "amount_too_large"}, ("said_no",) if cascades else ()
    for place, share in enumerate(found.shares):
        if share <= 0:
            continue
        decision = decision_of(found, place, excluded, tried)
        check(decision)
        assert 0 < len(decision.reasons) <= REASONS_MAX
        assert len(decision.candidates) <= CANDIDATES_MAX
        assert {each.name for each in decision.candidates} == {*found.channels, *excluded, *tried}
        for each in decision.candidates:
            # Whoever had no chance says why, unless the strategy just preferred others.
            assert (each.excluded is None) or each.propensity == 0
            assert each.score is None or math.isfinite(each.score)
        fallbacks = found.fallbacks(place)
        places = {*found.gate.traffic, *found.gate.probes} - {found.gate.forced}
        usable = {found.channels[each] for each in places}
        assert set(fallbacks) == usable - {decision.chosen}


# What filters


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("a: when method == 'card' then avoid adyen, bocom, cybs", None),
        ("a: when method == 'card' then only cybs", {"adyen": 0, "bocom": 0, "cybs": 1}),
        ("a: when method == 'card' then avoid cybs", {"adyen": 0.5, "bocom": 0.5, "cybs": 0}),
        ("a: when method == 'alipay' then avoid cybs", {"adyen": 1 / 3, "bocom": 1 / 3, "cybs": 1 / 3}),
        ("a: when method == 'card' then only zzz", {"adyen": 1 / 3, "bocom": 1 / 3, "cybs": 1 / 3}),
        ("a: when method == 'card' then prefer cybs, adyen", {"adyen": 0, "bocom": 0, "cybs": 1}),
        ("a: when method == 'card' then split bocom 20, cybs 80", {"adyen": 0, "bocom": 0.2, "cybs": 0.8}),
        (
            "a: when method == 'card' then avoid cybs\nb: when method == 'card' then prefer cybs, bocom",
            {"adyen": 0, "bocom": 1, "cybs": 0},
        ),
    ],
)
def test_reckon_follows_the_rules_of_a_merchant(rules: str, expected: dict[str, float] | None) -> None:
    spec = RoutingSpec(strategy=Strategy.ROUND_ROBIN, rules=rules)
    state = known(CLOSED, CLOSED, CLOSED)
    if expected is None:
        assert reckoned(spec, state) is None
    else:
        assert shares(spec, state) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("rules", "states_of", "expected"),
    [
        ("a: when method == 'card' then prefer cybs, adyen", (CLOSED, CLOSED, OPEN), (1, 0, 0)),
        ("a: when method == 'card' then prefer cybs", (CLOSED, CLOSED, OPEN), (0.5, 0.5, 0)),
        ("a: when method == 'card' then split bocom 20, cybs 80", (CLOSED, OPEN, CLOSED), (0, 0, 1)),
        ("a: when method == 'card' then split bocom 20, cybs 80", (CLOSED, OPEN, OPEN), (1, 0, 0)),
        ("a: when method == 'card' then only cybs", (CLOSED, CLOSED, OPEN), (0, 0, 1)),
    ],
)
def test_rule_that_names_an_open_channel_passes_over_it_and_filters_stand(
    rules: str, states_of: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    spec = RoutingSpec(strategy=Strategy.ROUND_ROBIN, rules=rules)
    assert tuple(shares(spec, known(*states_of)).values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cap", "used", "expected"),
    [
        (Cap(currency="CNY", amount_minor_max=4_999), Used(), "cap_amount"),
        (Cap(currency="CNY", amount_minor_max=5_000), Used(), None),
        (Cap(currency="CNY", day_minor_max=6_000), Used(day_minor={"CNY": 1_001}), "cap_day"),
        (Cap(currency="CNY", month_minor_max=6_000), Used(month_minor={"CNY": 1_001}), "cap_month"),
        (Cap(currency="CNY", day_count_max=3), Used(day_count=3), "cap_count"),
        (Cap(currency="USD", amount_minor_max=10**9), Used(), "cap_rate_unknown"),
    ],
)
def test_cap_takes_a_channel_out_and_says_which(cap: Cap, used: Used, expected: str | None) -> None:
    spec = RoutingSpec(strategy=Strategy.ROUND_ROBIN, caps={"adyen": cap})
    found = reckoned(spec, known(CLOSED, CLOSED), adyen=used)
    assert why_out(found) == ({} if expected is None else {"adyen": expected})
    assert found is not None
    assert found.shares[0] == pytest.approx(0.5 if expected is None else 0)
    if expected is not None:
        assert reckoned(spec, known(CLOSED), adyen=used) is None


# What breakers, silence and upstreams do


@pytest.mark.parametrize(
    ("overdue", "rate", "expected"),
    [
        (0, 0.3, {}),
        (1, 0.0, {}),
        (2, 0.0, {}),
        (64, 0.0, {"adyen": "silent"}),
        (1, 0.34, {"adyen": "silent"}),
        (0, 0.99, {}),
    ],
)
def test_channel_with_calls_overdue_is_taken_for_ill(
    overdue: int, rate: float, expected: dict[str, str]
) -> None:
    state = known(CLOSED, CLOSED, overdue=[overdue, 0], rate=[rate, 0])
    assert why_out(reckoned(PLAIN, state)) == expected


def test_silent_says_how_many_are_overdue() -> None:
    found = reckoned(PLAIN, known(CLOSED, CLOSED, overdue=[9, 0]))
    assert found is not None
    assert dict(found.closed["adyen"].facts) == {"overdue": 9}


@pytest.mark.parametrize(
    ("each", "rate", "expected"),
    [
        ((OPEN, CLOSED, CLOSED), 0.3, {"adyen": "breaker_open", "bocom": "together"}),
        ((HALF_OPEN, CLOSED, CLOSED), 0.3, {"bocom": "together"}),
        ((OPEN, CLOSED, CLOSED), 0.1, {"adyen": "breaker_open"}),
        ((CLOSED, CLOSED, OPEN), 0.3, {"cybs": "breaker_open"}),
        ((CLOSED, CLOSED, CLOSED), 0.3, {}),
    ],
)
def test_sibling_on_a_sick_upstream_goes_out_sooner(
    each: tuple[int, ...], rate: float, expected: dict[str, str]
) -> None:
    spec = RoutingSpec(strategy=Strategy.ROUND_ROBIN, upstreams={"first_data": ("adyen", "bocom")})
    found = reckoned(spec, known(*each, rate=[0.0, rate, rate]))
    assert why_out(found) == expected


def test_siblings_that_are_both_half_open_are_still_probed() -> None:
    """The rate of an open breaker stands still, so two that keep each other out would be out for ever."""
    spec = RoutingSpec(upstreams={"first_data": ("adyen", "bocom")})
    state = known(HALF_OPEN, HALF_OPEN, CLOSED, rate=[0.4, 0.4, 0.0], waiting_s=[900.0, 900.0, -math.inf])
    found = shares(spec, state)
    assert found["adyen"] > 0
    assert found["bocom"] > 0


@pytest.mark.parametrize(
    ("waiting_s", "expected"), [([-9.0, -2.0], "bocom"), ([-2.0, -9.0], "adyen"), ([-2.0, -2.0], "adyen")]
)
def test_where_every_breaker_is_open_the_one_that_waited_longest_is_let_through(
    waiting_s: list[float], expected: str
) -> None:
    found = reckoned(PLAIN, known(OPEN, OPEN, waiting_s=waiting_s))
    assert found is not None
    place = found.channels.index(expected)
    assert found.shares[place] == 1
    assert found.fallbacks(place) == ()
    decision = decision_of(found, place, {}, ())
    assert [why.code for why in decision.reasons] == ["all_open"]
    assert [each.excluded for each in decision.candidates if each.name != expected] == ["breaker_open"]


# What strategies want


@pytest.mark.parametrize(
    ("fields", "states_of", "expected"),
    [
        ({"strategy": Strategy.ROUND_ROBIN}, (CLOSED, CLOSED, CLOSED, CLOSED), (0.25, 0.25, 0.25, 0.25)),
        ({"strategy": Strategy.ROUND_ROBIN}, (CLOSED, OPEN, CLOSED, OPEN), (0.5, 0, 0.5, 0)),
        ({"strategy": Strategy.PRIORITY, "order": ("cybs", "adyen")}, (CLOSED,) * 4, (0, 0, 1, 0)),
        (
            {"strategy": Strategy.PRIORITY, "order": ("cybs", "adyen")},
            (CLOSED, CLOSED, OPEN, CLOSED),
            (1, 0, 0, 0),
        ),
        ({"strategy": Strategy.PRIORITY, "order": ("cybs",)}, (OPEN, CLOSED, OPEN, CLOSED), (0, 1, 0, 0)),
        ({"strategy": Strategy.SPLIT, "weights": {"adyen": 3, "cybs": 1}}, (CLOSED,) * 4, (0.75, 0, 0.25, 0)),
        (
            {"strategy": Strategy.SPLIT, "weights": {"adyen": 3, "cybs": 1}},
            (OPEN, CLOSED, CLOSED, CLOSED),
            (0, 0, 1, 0),
        ),
        (
            {"strategy": Strategy.SPLIT, "weights": {"adyen": 3}},
            (OPEN, CLOSED, CLOSED, OPEN),
            (0, 0.5, 0.5, 0),
        ),
        (
            {"strategy": Strategy.ROUND_ROBIN},
            (CLOSED, CLOSED, HALF_OPEN, OPEN),
            (0.475, 0.475, 0.05, 0),
        ),
    ],
)
def test_each_strategy_shares_the_traffic_that_is_left(
    fields: dict[str, Any], states_of: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    found = shares(RoutingSpec(**fields), known(*states_of))
    assert tuple(found.values()) == pytest.approx(expected)


def test_least_cost_takes_the_cheapest_and_shares_evenly_among_equals() -> None:
    costs = {name: Cost(currency="CNY", bps=bps) for name, bps in zip(NAMES, (60, 40, 40, 90), strict=False)}
    spec = RoutingSpec(strategy=Strategy.LEAST_COST, costs=costs)
    assert shares(spec, known(CLOSED, CLOSED, CLOSED, CLOSED)) == {
        "adyen": 0,
        "bocom": 0.5,
        "cybs": 0.5,
        "dlocal": 0,
    }
    assert shares(spec, known(CLOSED, OPEN, CLOSED, CLOSED))["cybs"] == 1


def test_learned_prefers_the_likelier_and_by_cost_among_equals() -> None:
    likelier = shares(RoutingSpec(), known(CLOSED, CLOSED, mean=[0.95, 0.8], sd=[0.01, 0.01]))
    assert likelier["adyen"] > 0.99
    costs = {"adyen": Cost(currency="CNY", bps=150)}
    dearer = shares(RoutingSpec(costs=costs), known(CLOSED, CLOSED, sd=[0.01, 0.01]))
    assert dearer["bocom"] > 0.99


def test_learned_keeps_the_floor_for_every_channel_in_traffic_and_others_keep_none() -> None:
    state = known(CLOSED, CLOSED, OPEN, mean=[0.95, 0.3, 0.9], sd=[0.001, 0.001, 0.001])
    found = shares(RoutingSpec(explore_floor=0.01), state)
    assert found["bocom"] == pytest.approx(0.01, abs=1e-4)
    assert found["cybs"] == 0
    ordered = shares(RoutingSpec(strategy=Strategy.PRIORITY, order=("adyen",), explore_floor=0.01), state)
    assert ordered == {"adyen": 1, "bocom": 0, "cybs": 0}


@pytest.mark.parametrize("strategy", list(Strategy))
def test_every_strategy_lets_half_open_channels_probe(strategy: Strategy) -> None:
    spec = RoutingSpec(strategy=strategy, order=("adyen",), weights={"adyen": 1})
    assert shares(spec, known(CLOSED, HALF_OPEN, probe_share=[0.0, 0.1]))["bocom"] == pytest.approx(0.1)


def test_same_knowledge_gives_the_same_probabilities() -> None:
    spec = RoutingSpec(costs={"adyen": Cost(currency="CNY", bps=80)}, upstreams={"x": ("adyen", "bocom")})
    state = known(CLOSED, HALF_OPEN, CLOSED, mean=[0.9, 0.8, 0.89], rate=[0.25, 0.0, 0.0])
    assert shares(spec, state) == shares(spec, state)
    # Nothing of what was known is changed by reckoning with it.
    assert state.state == [CLOSED, HALF_OPEN, CLOSED]


def test_settings_of_the_breakers_decide_when_silence_counts() -> None:
    breakers = BoardTuning().breakers
    enough = math.ceil(math.log(1 - breakers.threshold) / math.log(1 - breakers.step)) + 1
    assert why_out(reckoned(PLAIN, known(CLOSED, CLOSED, overdue=[enough, 0]))) == {"adyen": "silent"}
    assert why_out(reckoned(PLAIN, known(CLOSED, CLOSED, overdue=[1, 0]))) == {}
