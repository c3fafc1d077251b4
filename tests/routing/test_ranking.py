"""Ranking: written probabilities that sum to one and give nothing to whom nothing is due."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.routing.routing_worlds import known, prospect_of, states

from tongbao.routing.models.breakers import CLOSED, HALF_OPEN, OPEN
from tongbao.routing.policy import ranking, traffic
from tongbao.routing.policy.ranking import PROBES_SHARE_MAX, Worth
from tongbao.routing.policy.traffic import Known


def value_of(state: Known) -> Worth:
    """The expected value of a gain of 100."""
    return ranking.worth(prospect_of(state), np.full(prospect_of(state).mean.shape, 100.0), 0.0)


def all_of(state: Known) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Everything is allowed."""
    return np.ones((1, len(state.channels)), dtype=np.bool_)


@pytest.mark.parametrize(
    ("each", "allowed", "traffic", "probes", "forced"),
    [
        ((CLOSED, CLOSED), "yy", "yy", "nn", "nn"),
        ((CLOSED, OPEN), "yy", "yn", "nn", "nn"),
        ((CLOSED, HALF_OPEN), "yy", "yn", "ny", "nn"),
        ((HALF_OPEN, OPEN), "yy", "nn", "yn", "nn"),
        ((OPEN, OPEN), "yy", "nn", "yn", "yn"),
        ((OPEN, OPEN), "ny", "nn", "ny", "ny"),
        ((CLOSED, OPEN), "ny", "nn", "ny", "ny"),
        ((CLOSED, CLOSED), "ny", "ny", "nn", "nn"),
        ((HALF_OPEN, CLOSED), "yn", "nn", "yn", "nn"),
    ],
)
def test_gates_by_breaker_and_filter(
    each: tuple[int, ...], allowed: str, traffic: str, probes: str, forced: str
) -> None:
    mask = np.array([[letter == "y" for letter in allowed]])
    gate = ranking.gates(prospect_of(known(*each)), mask)
    written = ["".join("y" if here else "n" for here in row[0]) for row in gate]
    assert written == [traffic, probes, forced]


def test_gates_where_all_are_open_let_the_one_through_that_waited_longest() -> None:
    state = known(OPEN, OPEN, OPEN, waiting_s=[-9.0, -2.0, -5.0])
    gate = ranking.gates(prospect_of(state), all_of(state))
    assert gate.forced.tolist() == [[False, True, False]]


def test_gates_of_many_payments_side_by_side_are_those_of_each_alone() -> None:
    each = [known(OPEN, OPEN, OPEN), known(CLOSED, OPEN, HALF_OPEN), known(CLOSED, CLOSED, CLOSED)]
    together = ranking.Prospect(
        *(np.concatenate(rows) for rows in zip(*(prospect_of(x) for x in each), strict=True))
    )
    gate = ranking.gates(together, np.ones((3, 3), dtype=np.bool_))
    for row, alone in enumerate(each):
        for whole, one in zip(gate, ranking.gates(prospect_of(alone), all_of(alone)), strict=True):
            assert whole[row].tolist() == one[0].tolist()


@settings(max_examples=150, deadline=None)
@given(states(), st.floats(0.0, 1.0 / 64), st.data())
def test_shares_sum_to_one_and_leave_out_who_is_out(state: Known, floor: float, data: st.DataObject) -> None:
    count = len(state.channels)
    mask = np.array([data.draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(any))])
    gate = ranking.gates(prospect_of(state), mask)
    shares = ranking.shared(ranking.thompson(value_of(state), gate), prospect_of(state), gate, floor)[0]
    assert abs(shares.sum() - 1) < 1e-9
    assert (shares[~(gate.traffic | gate.probes)[0]] == 0).all()
    if gate.traffic.any():
        probing = shares[gate.probes[0]].sum()
        assert probing <= PROBES_SHARE_MAX + 1e-9
        assert (shares[gate.traffic[0]] >= floor * (1 - probing) - 1e-9).all()
        assert (shares[gate.probes[0]] > 0).all()
    else:
        assert (shares[gate.probes[0]] > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(states(3), min_size=2, max_size=4))
def test_shares_of_many_payments_side_by_side_are_those_of_each_alone(each: list[Known]) -> None:
    prospect = ranking.Prospect(
        *(np.concatenate(rows) for rows in zip(*(prospect_of(x) for x in each), strict=True))
    )
    gate = ranking.gates(prospect, np.ones((len(each), 3), dtype=np.bool_))
    value = ranking.worth(prospect, np.full((len(each), 3), 100.0), 0.0)
    together = ranking.shared(ranking.thompson(value, gate), prospect, gate, 0.002)
    for row, alone in enumerate(each):
        own = ranking.gates(prospect_of(alone), all_of(alone))
        shares = ranking.shared(ranking.thompson(value_of(alone), own), prospect_of(alone), own, 0.002)
        # Integrals over another grid of points differ by up to 6e-4 (``decisions.models.choosing``).
        assert np.allclose(together[row], shares[0], rtol=0, atol=1.2e-3)


def test_probes_take_their_share_off_the_top_and_leave_the_rest_in_proportion() -> None:
    state = known(CLOSED, CLOSED, HALF_OPEN, probe_share=[0.0, 0.0, 0.1])
    gate = ranking.gates(prospect_of(state), all_of(state))
    shares = ranking.shared(np.array([[0.75, 0.25, 0.0]]), prospect_of(state), gate, 0.0)
    assert shares[0] == pytest.approx([0.675, 0.225, 0.1])


def test_probes_of_many_channels_together_are_capped() -> None:
    state = known(CLOSED, HALF_OPEN, HALF_OPEN, HALF_OPEN, probe_share=[0.0, 0.2, 0.2, 0.1])
    gate = ranking.gates(prospect_of(state), all_of(state))
    shares = ranking.shared(np.array([[1.0, 0.0, 0.0, 0.0]]), prospect_of(state), gate, 0.0)[0]
    assert shares == pytest.approx([0.7, 0.12, 0.12, 0.06])


def test_probes_share_everything_where_nothing_is_in_traffic() -> None:
    state = known(HALF_OPEN, HALF_OPEN, OPEN, probe_share=[0.15, 0.05, 0.0])
    gate = ranking.gates(prospect_of(state), all_of(state))
    shares = ranking.shared(np.zeros((1, 3)), prospect_of(state), gate, 0.01)
    assert shares[0] == pytest.approx([0.75, 0.25, 0.0])


def test_floor_gives_the_worst_channel_its_chance() -> None:
    state = known(CLOSED, CLOSED, mean=[0.95, 0.2], sd=[0.001, 0.001])
    gate = ranking.gates(prospect_of(state), all_of(state))
    shares = ranking.shared(ranking.thompson(value_of(state), gate), prospect_of(state), gate, 0.01)
    assert shares[0, 1] == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize(
    ("mean", "gain", "loss", "expected"),
    [(0.9, 100.0, 0.0, 90.0), (0.9, 100.0, 50.0, 85.0), (0.0, 100.0, 50.0, -50.0), (1.0, 3.0, 50.0, 3.0)],
)
def test_worth_is_gain_of_a_yes_less_loss_of_a_no(
    mean: float, gain: float, loss: float, expected: float
) -> None:
    state = known(CLOSED, mean=[mean], sd=[0.1])
    value = ranking.worth(prospect_of(state), np.array([[gain]]), loss)
    assert value.mean[0, 0] == pytest.approx(expected)
    assert value.sd[0, 0] == pytest.approx(0.1 * (gain + loss))


def test_thompson_prefers_the_better_and_what_is_little_known() -> None:
    state = known(CLOSED, CLOSED, CLOSED, mean=[0.95, 0.9, 0.9], sd=[0.02, 0.02, 0.2])
    gate = ranking.gates(prospect_of(state), all_of(state))
    shares = ranking.thompson(value_of(state), gate)[0]
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1]
    assert shares[2] > shares[1]


@settings(max_examples=80, deadline=None)
@given(states(), st.floats(0.0, 1.0 / 64))
def test_one_payment_gets_the_same_shares_as_many_side_by_side(state: Known, floor: float) -> None:
    gate, one = ranking.gates(prospect_of(state), all_of(state)), traffic.gates(state, ())
    assert tuple(np.flatnonzero(gate.traffic[0])) == one.traffic
    assert set(np.flatnonzero(gate.probes[0])) == set(one.probes)
    wanted = ranking.thompson(value_of(state), gate)
    shares = traffic.shared(wanted[0].tolist(), state, one, floor)
    assert shares == pytest.approx(
        ranking.shared(wanted, prospect_of(state), gate, floor)[0].tolist(), abs=1e-9
    )


@settings(max_examples=80, deadline=None)
@given(states())
def test_order_names_others_that_may_be_tried_those_in_traffic_first(state: Known) -> None:
    gate = traffic.gates(state, ())
    nobody = [0.0] * len(state.channels)
    for chosen in range(len(state.channels)):
        places = traffic.order(state.chance, state.chance_sd, gate, nobody, chosen)
        assert set(places) == {*gate.traffic, *gate.probes} - {chosen, gate.forced}
        ranks = [place not in gate.traffic for place in places]
        assert ranks == sorted(ranks)


def test_order_puts_what_a_rule_wants_in_whole_before_value() -> None:
    state = known(CLOSED, CLOSED, HALF_OPEN, CLOSED, mean=[0.9, 0.95, 0.99, 0.5])
    gate = traffic.gates(state, ())
    assert list(traffic.order(state.chance, state.chance_sd, gate, [0.0, 0.0, 0.0, 1.0], 0)) == [3, 1, 2]
