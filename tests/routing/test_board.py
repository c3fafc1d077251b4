"""The board: one fold over facts, the same in every process, that forgets, stays small and is read without a trace."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.routing.board_facts import BEGIN, CHANNELS, attempted, corrected, folded, run, streams

from tongbao.core.errors import InvalidRequest
from tongbao.routing.models import board as boards
from tongbao.routing.models.beliefs import BeliefTuning
from tongbao.routing.models.board import Board, BoardTuning, Sight
from tongbao.routing.models.breakers import CLOSED, OPEN
from tongbao.routing.policy import ranking
from tongbao.routing.schema.payments import Mark
from tongbao.routing.schema.spec import RoutingSpec
from tongbao.routing.service.simulating import APPROVED, ISSUER_DECLINED, NEUTRAL, TECHNICAL, Simulated

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
BEGIN_S = BEGIN.timestamp()
SIMULATED_MARKS = {
    APPROVED: Mark.APPROVED,
    ISSUER_DECLINED: Mark.ISSUER_DECLINED,
    TECHNICAL: Mark.TECHNICAL,
    NEUTRAL: Mark.NEUTRAL,
}


def sight(
    board: Board,
    after_s: float = 1_000.0,
    *,
    live: bool = True,
    method: str = "card",
    issuer: str = "411111",
    channels: tuple[str, ...] = CHANNELS,
) -> Sight:
    """What the board knows of channels for a segment."""
    path = board.path(live, method, issuer, channels)
    return board.read(path, np.array([BEGIN_S + after_s]))


def numbers(seen: Sight) -> list[Any]:
    """All numbers of a sight as lists, so that two can be compared to the last bit."""
    arrays = (*seen.acceptance, *seen.health, seen.rate, *seen.breaker)
    return [each.tolist() for each in arrays]


# The fold


@FEW
@given(streams())
def test_learn_of_the_same_facts_gives_the_same_state_to_the_last_bit(facts: list[Any]) -> None:
    assert folded(facts).digest() == folded(facts).digest()


@FEW
@given(streams(), st.data())
def test_dump_and_load_midway_changes_nothing_of_what_follows(facts: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(facts)))
    resumed = folded(facts[cut:], Board.load(folded(facts[:cut]).dump()))
    whole = folded(facts)
    assert resumed.dump() == whole.dump()
    for issuer in ("", "411111", "999999"):
        assert numbers(sight(resumed, issuer=issuer)) == numbers(sight(whole, issuer=issuer))


@FEW
@given(streams(), st.data())
def test_turned_breakers_are_the_same_from_a_loaded_state(facts: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(facts)))
    whole, resumed = folded(facts[:cut]), Board.load(folded(facts[:cut]).dump())
    assert [whole.learn(fact) for fact in facts[cut:]] == [resumed.learn(fact) for fact in facts[cut:]]


@FEW
@given(streams())
def test_test_and_live_payments_never_learn_from_each_other(facts: list[Any]) -> None:
    mixed = folded(facts)
    for live in (True, False):
        alone = folded([fact for fact in facts if fact.live is live])
        for method in ("card", "alipay"):
            seen = sight(mixed, live=live, method=method)
            assert numbers(seen) == numbers(sight(alone, live=live, method=method))


@FEW
@given(streams())
def test_everything_that_is_read_is_a_probability_with_a_finite_spread(facts: list[Any]) -> None:
    board = folded(facts)
    for issuer in ("", "411111", "999999"):
        seen = sight(board, issuer=issuer)
        for belief in (seen.acceptance, seen.health):
            assert ((belief.mean >= 0) & (belief.mean <= 1)).all()
            assert ((belief.sd >= 0) & (belief.sd <= 0.5)).all()
        assert ((seen.rate >= 0) & (seen.rate <= 1)).all()


def test_correction_teaches_acceptance_its_first_verdict_and_health_nothing() -> None:
    lost = attempted(0, mark=Mark.UNRESOLVED)
    board = folded([lost])
    before = sight(board)
    board.learn(corrected(lost, Mark.APPROVED, 3))
    after = sight(board)
    assert after.acceptance.mean[0, 0] > before.acceptance.mean[0, 0]
    assert after.health.mean[0, 0] == before.health.mean[0, 0]
    assert after.rate[0, 0] == before.rate[0, 0]


def test_correction_of_one_verdict_by_another_changes_nothing() -> None:
    said = attempted(0, mark=Mark.APPROVED)
    board = folded([said])
    digest = board.digest()
    assert board.learn(corrected(said, Mark.ISSUER_DECLINED, 3)) == []
    assert board.digest() == digest


@pytest.mark.parametrize(
    ("mark", "acceptance", "health"),
    [
        (Mark.APPROVED, 1, 1),
        (Mark.ISSUER_DECLINED, -1, 1),
        (Mark.TECHNICAL, 0, -1),
        (Mark.UNRESOLVED, 0, -1),
        (Mark.NEUTRAL, 0, 1),
    ],
)
def test_learn_of_a_mark_moves_only_what_it_speaks_of(mark: Mark, acceptance: int, health: int) -> None:
    unseen, seen = sight(Board(), 0.0), sight(folded(run(mark, 5)), 5.0)
    moved = np.sign(np.round(seen.acceptance.mean[0, 0] - unseen.acceptance.mean[0, 0], 9))
    assert moved == acceptance
    assert np.sign(np.round(seen.health.mean[0, 0] - unseen.health.mean[0, 0], 9)) == health


# Reading


@FEW
@given(streams())
def test_read_changes_nothing_and_makes_no_row(facts: list[Any]) -> None:
    board = folded(facts)
    digest, rows = board.digest(), board.rows
    once = numbers(sight(board, issuer="404040", channels=("one", "nowhere")))
    sight(board, method="unheard_of")
    assert numbers(sight(board, issuer="404040", channels=("one", "nowhere"))) == once
    assert (board.digest(), board.rows) == (digest, rows)


def test_read_of_an_unseen_segment_is_that_of_the_level_above() -> None:
    facts = [fact for number in range(40) for fact in run(Mark.ISSUER_DECLINED, 1, begin_s=number)]
    board = folded(facts)
    known, stranger = sight(board, 50), sight(board, 50, issuer="999999")
    nobody = sight(Board(), 50)
    # The channel's own declines speak for a bank that it has never seen, though less than for the one that it has.
    assert known.acceptance.mean[0, 0] < stranger.acceptance.mean[0, 0] < nobody.acceptance.mean[0, 0]
    assert stranger.acceptance.mean[0, 0] < stranger.acceptance.mean[0, 1]
    assert stranger.breaker.state.tolist() == [[CLOSED] * 3]


def test_read_of_a_channel_that_appears_later_is_seen_without_asking_anew() -> None:
    board = folded(run(Mark.APPROVED, 3))
    before = sight(board, 10, channels=("one", "two"))
    folded(run(Mark.ISSUER_DECLINED, 30, begin_s=10, channel="two"), board)
    after = sight(board, 40, channels=("one", "two"))
    assert after.acceptance.mean[0, 1] < before.acceptance.mean[0, 1] - 0.1


def test_pending_attempts_narrow_the_belief_and_leave_its_mean() -> None:
    board = folded(run(Mark.APPROVED, 3))
    path = board.path(True, "card", "411111", CHANNELS)
    at_s = np.array([BEGIN_S + 5])
    free = board.read(path, at_s)
    busy = board.read(path, at_s, None, np.array([[50.0, 0.0, 0.0]]))
    assert busy.acceptance.sd[0, 0] < free.acceptance.sd[0, 0]
    assert busy.acceptance.sd[0, 1] == free.acceptance.sd[0, 1]
    assert busy.acceptance.mean.tolist() == free.acceptance.mean.tolist()


def test_issuer_that_is_out_over_a_channel_is_out_for_its_own_payments_only() -> None:
    facts = []
    for number in range(30):
        facts += run(Mark.TECHNICAL, 1, begin_s=number)
        facts += run(Mark.APPROVED, 4, begin_s=number, issuer="522222")
    board = folded(facts)
    assert sight(board, 30).breaker.state[0, 0] == OPEN
    assert sight(board, 30, issuer="522222").breaker.state[0, 0] == CLOSED


# Forgetting


def test_channel_without_traffic_forgets_as_the_pool_goes_on() -> None:
    board = folded(run(Mark.ISSUER_DECLINED, 60))
    bad = sight(board, 60).acceptance.mean[0, 0]
    # Not one more attempt over it: the attempts of others make it forget, and so worth a try again.
    folded(run(Mark.APPROVED, 6_000, begin_s=60, channel="two"), board)
    later = sight(board, 6_060)
    assert later.acceptance.mean[0, 0] > bad + 0.2
    assert later.acceptance.sd[0, 0] > 0.02


def test_other_pools_do_not_make_a_channel_forget() -> None:
    board = folded(run(Mark.ISSUER_DECLINED, 60))
    before = numbers(sight(board, 60))
    folded(run(Mark.APPROVED, 500, begin_s=60, method="alipay"), board)
    folded(run(Mark.APPROVED, 500, begin_s=60, live=False), board)
    assert numbers(sight(board, 60)) == before


def test_everything_fades_with_time_alone() -> None:
    board = folded(run(Mark.ISSUER_DECLINED, 60))
    month_s = 30 * 86_400
    assert sight(board, month_s).acceptance.mean[0, 0] > sight(board, 60).acceptance.mean[0, 0] + 0.1


# Bounds


def test_rows_stay_bounded_and_what_is_busy_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "ROWS_MAX", 40)
    board = Board()
    for number in range(400):
        board.learn(attempted(number, mark=Mark.ISSUER_DECLINED, issuer="411111"))
        board.learn(attempted(number, issuer=f"{number:06d}", channel=CHANNELS[number % 3]))
        assert board.rows <= 40
    seen, stranger = sight(board, 400), sight(board, 400, issuer="000399", channels=("three",))
    assert seen.acceptance.mean[0, 0] < 0.3
    assert stranger.acceptance.mean[0, 0] > 0.6


@FEW
@given(st.integers(13, 20), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 40))))
def test_pools_and_channels_know_the_same_however_few_issuers_are_kept(
    most: int, places: list[tuple[int, int, int]]
) -> None:
    """Rows are numbered anew when some are dropped, and that may happen in the middle of a fact whose rows are new."""
    pools = [(live, method) for live in (True, False) for method in ("card", "alipay")]
    facts = []
    for number, (pool, channel, issuer) in enumerate(places):
        live, method = pools[pool]
        mark = (Mark.APPROVED, Mark.ISSUER_DECLINED, Mark.TECHNICAL)[issuer % 3]
        where = {"live": live, "method": method, "channel": CHANNELS[channel], "issuer": f"i{issuer}"}
        facts.append(attempted(number, mark=mark, **where))
    whole = folded(facts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boards, "ROWS_MAX", most)
        bounded = folded(facts)
    for live, method in pools:
        seen = sight(bounded, live=live, method=method, issuer="unseen")
        assert numbers(seen) == numbers(sight(whole, live=live, method=method, issuer="unseen"))


def test_forgetting_is_part_of_the_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "ROWS_MAX", 12)
    facts = [attempted(number, issuer=f"{number % 17:06d}", live=number % 5 > 0) for number in range(120)]
    whole = folded(facts)
    for cut in (11, 40, 77):
        assert folded(facts[cut:], Board.load(folded(facts[:cut]).dump())).digest() == whole.digest()


# Simulations


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), max_size=80),
    st.integers(0, 1),
)
def test_simulated_learning_equals_that_of_facts(ends: list[tuple[int, int, int]], issuer: int) -> None:
    simulated = Simulated(1, 3, 2)
    board = Board()
    for number, (channel, group, end) in enumerate(ends):
        at_s = np.array([BEGIN_S + number])
        world, over, of = (np.array([each]) for each in (0, channel, group))
        simulated.learn(world, over, of, at_s, at_s - 0.2, np.array([end]))
        mark = SIMULATED_MARKS[end]
        board.learn(attempted(number, channel=CHANNELS[channel], issuer=f"i{group}", mark=mark))
    at_s = np.array([BEGIN_S + len(ends) + 1])
    simulated.choose(np.array([issuer]), at_s, np.full((1, 3), 100.0), np.array([0.5]))
    seen = sight(board, len(ends) + 1, issuer=f"i{issuer}")
    assert np.allclose(simulated.shares, shares(seen), rtol=0, atol=1e-9)


def shares(seen: Sight) -> Any:
    """The probabilities of the learned strategy where an approval is worth 100 over every channel."""
    prospect = ranking.prospect(seen)
    value = ranking.worth(prospect, np.full((1, 3), 100.0), 0.0)
    gate = ranking.gates(prospect, np.ones((1, 3), dtype=np.bool_))
    return ranking.shared(ranking.thompson(value, gate), prospect, gate, RoutingSpec().explore_floor)


def test_learn_many_worlds_at_once_equals_each_alone() -> None:
    rng = np.random.default_rng(3)
    together = Simulated(4, 3, 2)
    alone = [Simulated(1, 3, 2) for _ in range(4)]
    for number in range(150):
        at_s = np.full(4, BEGIN_S + number)
        channel, issuer, end = (rng.integers(0, most, 4) for most in (3, 2, 4))
        together.learn(np.arange(4), channel, issuer, at_s, at_s - 1, end)
        for world, each in enumerate(alone):
            one = slice(world, world + 1)
            each.learn(np.array([0]), channel[one], issuer[one], at_s[one], at_s[one] - 1, end[one])
    at_s, gain = np.full(4, BEGIN_S + 151.0), np.full((4, 3), 50.0)
    together.choose(np.zeros(4, dtype=np.int64), at_s, gain, np.full(4, 0.5))
    for world, each in enumerate(alone):
        each.choose(np.zeros(1, dtype=np.int64), at_s[:1], gain[:1], np.full(1, 0.5))
        assert np.allclose(each.shares[0], together.shares[world], rtol=0, atol=1e-9)


# Dumps


@pytest.mark.parametrize(
    "dumped",
    [
        b"",
        b"\x00",
        b"not a dump",
        msgspec.msgpack.encode({"form": 1}),
        msgspec.msgpack.encode([1, 2, 3]),
        folded(run(Mark.APPROVED, 3)).dump()[:-5],
    ],
)
def test_load_of_anything_but_a_dump_is_refused(dumped: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Board.load(dumped)
    assert refused.value.code == "board_invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"form": 999},
        {"tables": {}},
        {"seen": [0.0] * 2_000},
        {"keys": []},
    ],
)
def test_load_of_a_dump_of_another_form_is_refused(change: dict[str, Any]) -> None:
    # As many rows as make the tables longer than what an empty board holds.
    facts = [attempted(number, issuer=f"{number:06d}") for number in range(400)]
    whole = msgspec.msgpack.decode(folded(facts).dump())
    with pytest.raises(InvalidRequest, match="not a dump"):
        Board.load(msgspec.msgpack.encode(whole | change))


def test_load_keeps_the_settings_and_become_hands_the_state_to_whoever_holds_the_board() -> None:
    tuning = BoardTuning(beliefs=BeliefTuning(half_s=86_400.0))
    other = folded(run(Mark.APPROVED, 9), Board(tuning))
    held = Board()
    before = sight(held)
    held.become(Board.load(other.dump()))
    assert (held.tuning, held.digest()) == (tuning, other.digest())
    assert numbers(sight(held)) == numbers(sight(other)) != numbers(before)


def test_opened_since_names_the_channels_that_went_out_lately_and_no_issuers() -> None:
    board = folded(run(Mark.TECHNICAL, 6, channel="one"))
    folded(run(Mark.TECHNICAL, 6, begin_s=100, channel="two"), board)
    folded(run(Mark.APPROVED, 6, begin_s=100, channel="three"), board)
    assert sorted(board.opened_since(True, "card", BEGIN_S)) == ["one", "two"]
    assert board.opened_since(True, "card", BEGIN_S + 50) == ["two"]
    assert board.opened_since(False, "card", BEGIN_S) == []
    assert board.opened_since(True, "alipay", BEGIN_S) == []
