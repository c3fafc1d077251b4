"""Examples come back as they were kept, whatever stays the same in a block, and the oldest leave first."""

import numpy as np

from tongbao.risk.service.kept_examples import BLOCK_ROWS, KeptExamples


def test_rows_come_back_without_columns_that_are_the_same_everywhere() -> None:
    rng = np.random.default_rng(1)
    count = BLOCK_ROWS * 2 + 100
    rows = rng.normal(size=(count, 5))
    rows[:, 1] = 7.0
    rows[:, 2] = np.nan
    rows[:, 3] = np.where(np.arange(count) < BLOCK_ROWS, np.nan, 2.0)  # the same within each block
    rows[5, 4] = np.nan
    kept = KeptExamples(5)
    for row in rows:
        kept.add(row)
    found, places = kept.rows(10, count)
    assert places.tolist() == [0, 3, 4]
    np.testing.assert_array_equal(found, rows[10:, places])
    part, few = kept.rows(BLOCK_ROWS + 5, BLOCK_ROWS + 9)
    assert 3 not in few
    np.testing.assert_array_equal(part, rows[BLOCK_ROWS + 5 : BLOCK_ROWS + 9, few])


def test_oldest_leave_beyond_the_limit_and_when_told() -> None:
    kept = KeptExamples(1, rows_max=BLOCK_ROWS)
    for number in range(BLOCK_ROWS * 4):
        kept.add(np.array([float(number)]))
    assert kept.first == BLOCK_ROWS * 3
    kept = KeptExamples(1)
    for number in range(BLOCK_ROWS * 3):
        kept.add(np.array([float(number)]))
    kept.forget_before(BLOCK_ROWS + 1)
    assert kept.first == BLOCK_ROWS
    assert kept.rows(BLOCK_ROWS, BLOCK_ROWS + 2)[0][:, 0].tolist() == [BLOCK_ROWS, BLOCK_ROWS + 1]
