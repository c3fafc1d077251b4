"""The candidates in small: every kind learns what can be learned, and the protocol keeps to its weeks."""

import numpy as np
import pytest

from tongbao.bench import risk_candidates, risk_protocol
from tongbao.bench.risk_candidates import CandidateRow, candidates, fewer, measure
from tongbao.bench.risk_protocol import Fold, Mean, Quality, Stream, card_precision, fold, mean, quality

START = 40


def stream(seed: int, count: int = 12_000) -> Stream:
    """Thirty days of payments; fraud is what is unusual in the first two features."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 5))
    odds = -6 + 1.5 * np.abs(rows[:, 0]) + 1.5 * np.abs(rows[:, 1])
    rows[::97, 4] = np.nan
    return Stream(
        rows=rows,
        days=np.sort(rng.integers(START - 5, START + 25, count)),
        cards=rng.integers(0, 900, count),
        is_fraud=rng.random(count) < 1 / (1 + np.exp(-odds)),
    )


@pytest.fixture(scope="module")
def table() -> list[CandidateRow]:
    given = stream(1)
    said: list[str] = []
    rows = measure(candidates(), given, [fold(given, START)], 3, said.append)
    assert len(said) == len(rows)
    return rows


def test_every_candidate_beats_chance(table: list[CandidateRow]) -> None:
    # Fraud lies on both sides, which a straight line cannot see; all others must.
    for row in table:
        assert row.fit_s >= 0
        assert row.us_per_row > 0
        assert 0 <= row.cp100 <= 1
        # The network has not gone through them often enough yet.
        if row.name not in {"logistic", "linear_svm", "small_mlp"}:
            assert row.auc > 0.65, row.name


def test_network_sees_what_lies_on_both_sides_given_more_payments() -> None:
    given = stream(1, 80_000)
    by_name = {each.name: each for each in candidates()}
    (row,) = measure([by_name["small_mlp"]], given, [fold(given, START)], 3, lambda _: None)
    assert row.auc > 0.75


def test_errors_are_those_of_the_mean_over_folds() -> None:
    told = mean([Quality(0.9, 0.5, 0.3), Quality(0.8, 0.7, 0.3)])
    assert told == pytest.approx(Mean(0.6, 0.1, 0.1, 0.85, 0.3, 0.0))
    alone = mean([Quality(0.9, 0.5, 0.3)])
    assert (alone.ap, alone.ap_se, alone.cp100_se) == (0.5, None, None)


def test_kernel_sees_what_lies_on_both_sides_and_a_straight_line_does_not(table: list[CandidateRow]) -> None:
    found = {row.name: row for row in table}
    assert found["kernel_svm"].auc > found["linear_svm"].auc + 0.1


def test_own_candidates_come_first_and_are_measured_alike() -> None:
    given = stream(2)

    def oracle(rows: risk_protocol.Rows, is_fraud: risk_protocol.Flags, seed: int) -> risk_candidates.Score:
        return lambda judged: np.abs(judged[:, 0]) + np.abs(judged[:, 1])

    chosen = candidates(champion=oracle)
    assert [each.name for each in chosen][:2] == ["lightgbm_champion", "hist_gbdt"]
    first, second = measure([*chosen[:1], chosen[-1]], given, [fold(given, START)], 3, lambda _: None)
    assert first.ap > second.ap


def test_equal_seeds_give_equal_quality(table: list[CandidateRow]) -> None:
    given = stream(1)
    by_name = {each.name: each for each in candidates()}
    for name in ("random_forest", "lof", "small_mlp"):
        (again,) = measure([by_name[name]], given, [fold(given, START)], 3, lambda _: None)
        assert again.ap == next(row.ap for row in table if row.name == name)


def test_fewer_keeps_every_fraud() -> None:
    is_fraud = np.arange(1_000) % 50 == 0
    kept = fewer(np.arange(1_000), is_fraud, 100, 1)
    assert len(kept) == 100
    assert is_fraud[kept].sum() == 20
    assert (np.diff(kept) > 0).all()
    assert len(fewer(np.arange(50), is_fraud[:50], 100, 1)) == 50


def test_fold_trains_before_the_delay_and_leaves_out_known_cards() -> None:
    given = stream(3)
    found = fold(given, START)
    assert set(given.days[found.train]) == set(range(START, START + 7))
    assert set(given.days[found.test]) == set(range(START + 14, START + 21))
    for day in range(START + 14, START + 21):
        tested = set(given.cards[found.test[given.days[found.test] == day]])
        known = (given.days >= START) & (given.days < day - 7) & given.is_fraud
        assert not tested & set(given.cards[known])
        unknown = set(given.cards[given.days == day]) - set(given.cards[known])
        assert tested == unknown


def test_fold_of_more_labels_begins_earlier_but_never_cold() -> None:
    given = stream(3)
    more = fold(given, START, label_days=10)
    assert set(given.days[more.train]) == set(range(START - 3, START + 7))
    assert more.test.tolist() == fold(given, START).test.tolist()
    assert fold(given, START, label_days=99).train[0] == 0
    assert min(given.days) > risk_protocol.WARM_DAY


def test_card_precision_looks_at_each_card_once_and_not_again_when_found() -> None:
    given = Stream(
        rows=np.zeros((6, 1)),
        days=np.array([0, 0, 0, 1, 1, 1]),
        cards=np.array([1, 1, 2, 1, 3, 2]),
        is_fraud=np.array([True, False, False, True, True, False]),
    )
    scores = np.array([0.9, 0.8, 0.7, 0.9, 0.5, 0.6])
    every = np.arange(6)
    assert card_precision(given, every, scores, cards_a_day=1) == pytest.approx((1 + 0) / 2)
    assert card_precision(given, every, scores, cards_a_day=2) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_quality_of_the_truth_is_perfect() -> None:
    given = stream(4)
    found: Fold = fold(given, START)
    truth = quality(given, found.test, given.is_fraud[found.test].astype(float))
    assert (truth.auc, truth.ap) == (1.0, 1.0)
    assert truth.cp100 > quality(given, found.test, given.rows[found.test, 2]).cp100
