import doctest
import warnings
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import forest
from tongbao.risk.models.forest import STUMP, merged, parse

Rows = NDArray[np.float64]
QUIET: dict[str, Any] = {"objective": "binary", "verbosity": -1, "num_threads": 1, "deterministic": True}
N_FEATURES = 5


def rows(seed: int, n: int = 400) -> Rows:
    """A number with gaps, one of few values around zero, a constant, one that is mostly unknown, one that always is."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, N_FEATURES))
    x[:, 1] = rng.integers(-2, 3, n)
    x[:, 2] = 3.5
    x[rng.random(n) < 0.2, 0] = np.nan
    x[rng.random(n) < 0.8, 3] = np.nan
    x[:, 4] = np.nan
    return x


def booster(seed: int, **changed: Any) -> lightgbm.Booster:
    x = rows(seed)
    y = (
        np.nan_to_num(x[:, 0], nan=2.0) + x[:, 1] + np.random.default_rng(seed + 1).normal(size=len(x)) > 1
    ).astype(float)
    config = QUIET | {"num_leaves": 7, "min_data_in_leaf": 2, "seed": seed} | changed
    rounds = config.pop("rounds", 12)
    return lightgbm.train(config, lightgbm.Dataset(x, y, params=config), rounds)


def of_library(trained: lightgbm.Booster, x: Rows) -> Rows:
    return np.asarray(trained.predict(x, raw_score=True), np.float64)


def unseen(seed: int) -> Rows:
    """Rows with values that no training had: infinities, zeros of both signs, the smallest numbers, nothing known."""
    x = rows(seed + 1000, 300)
    odd = [np.inf, -np.inf, 0.0, -0.0, 5e-324, 1e-36, -1e-36, 1.0000000180025095e-35, np.nan]
    places = np.random.default_rng(seed).integers(0, len(odd), x.shape)
    is_odd = np.random.default_rng(seed + 2).random(x.shape) < 0.3
    return np.where(is_odd, np.array(odd)[places], x)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    leaves=st.integers(2, 31),
    depth=st.sampled_from([-1, 1, 3]),
    use_missing=st.booleans(),
    from_average=st.booleans(),
)
def test_score_any_forest_equals_the_library_bit_for_bit(
    seed: int, leaves: int, depth: int, use_missing: bool, from_average: bool
) -> None:
    trained = booster(
        seed,
        num_leaves=leaves,
        max_depth=depth,
        use_missing=use_missing,
        boost_from_average=from_average,
        bagging_freq=1,
        bagging_fraction=0.7,
        feature_fraction=0.7,
    )
    served = parse(trained.model_to_string())
    asked = unseen(seed)
    expected = of_library(trained, asked)
    assert served.raw(asked).tobytes() == expected.tobytes()
    assert [served.raw_one(row) for row in asked] == expected.tolist()


def test_score_unknown_values_go_where_training_sent_them() -> None:
    trained = booster(3)
    served = parse(trained.model_to_string())
    nothing = np.full((1, N_FEATURES), np.nan)
    assert served.raw_one(nothing[0]) == of_library(trained, nothing)[0]
    assert served.raw_one(nothing[0]) != served.raw_one(np.zeros(N_FEATURES))


def test_score_changes_nothing() -> None:
    served = parse(booster(4).model_to_string())
    asked = unseen(4)
    kept, before = asked.copy(), [array.tobytes() for array in served.arrays]
    first = served.raw(asked)
    assert first.tobytes() == served.raw(asked).tobytes()
    assert asked.tobytes() == kept.tobytes()
    assert [array.tobytes() for array in served.arrays] == before


def test_parse_trees_of_one_leaf_are_added_all_the_same() -> None:
    x, y = np.zeros((100, 1)), (np.arange(100) < 30).astype(float)
    trained = lightgbm.train(QUIET, lightgbm.Dataset(x, y), 3)
    served = parse(trained.model_to_string())
    assert served.feature.size == 0
    assert served.raw(x).tobytes() == of_library(trained, x).tobytes()


def test_merge_forests_score_is_the_mean_and_the_library_agrees() -> None:
    trained = [booster(seed) for seed in (1, 2, 3)]
    text = merged([one.model_to_string() for one in trained])
    asked = unseen(1)
    served = parse(text)
    again = lightgbm.Booster(model_str=text)
    assert served.raw(asked).tobytes() == of_library(again, asked).tobytes()
    mean = np.mean([of_library(one, asked) for one in trained], axis=0)
    np.testing.assert_allclose(served.raw(asked), mean, rtol=0, atol=1e-12)
    assert served.roots.size == sum(one.num_trees() for one in trained)


def test_merge_one_forest_scores_as_before() -> None:
    text = booster(5).model_to_string()
    asked = unseen(5)
    assert parse(merged([text])).raw(asked).tobytes() == parse(text).raw(asked).tobytes()


def test_merge_forests_of_different_features_is_rejected() -> None:
    x, y = rows(1)[:, :2], (np.arange(400) % 2).astype(float)
    other = lightgbm.train(QUIET, lightgbm.Dataset(x, y), 2).model_to_string()
    with pytest.raises(InvalidRequest, match="forest_invalid"):
        merged([booster(1).model_to_string(), other])
    with pytest.raises(InvalidRequest, match="forest_invalid"):
        merged([])


def test_parse_splits_by_category_is_refused() -> None:
    x = np.random.default_rng(0).integers(0, 6, (500, 1)).astype(float)
    y = np.isin(x[:, 0], [1, 4]).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = lightgbm.Dataset(x, y, categorical_feature=[0])
        text = lightgbm.train(QUIET | {"min_data_per_group": 1}, data, 2).model_to_string()
    with pytest.raises(InvalidRequest, match=r"forest_unsupported.*category"):
        parse(text)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"objective": "regression"}, "forest_unsupported"),
        ({"zero_as_missing": True}, "forest_unsupported"),
        ({"linear_tree": True}, "forest_unsupported"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "forest_unsupported"),
    ],
)
def test_parse_what_the_walk_does_not_do_is_refused(changed: dict[str, Any], code: str) -> None:
    text = booster(1, **changed).model_to_string()
    with pytest.raises(InvalidRequest, match=code):
        parse(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tree\nversion", "version"),
        ("end of trees", ""),
        ("feature_names=amount", "feature_names="),
        ("num_class=1", "num_class=3"),
        ("num_leaves=2", "num_leaves=3"),
        ("num_leaves=2", "num_leaves=x"),
        ("split_feature=0", "split_feature=1"),
        ("split_feature=0", "split_feature=-1"),
        ("left_child=-1", "left_child=0"),
        ("left_child=-1", "left_child=-2"),
        ("left_child=-1", "left_child=-9"),
        ("leaf_value=-1 2", "leaf_value=nan 2"),
        ("leaf_value=-1 2", "leaf_value=-1"),
        ("leaf_value=-1 2", ""),
        ("threshold=1", "threshold=nan"),
        ("Tree=0", "Bush=0"),
    ],
)
def test_parse_a_broken_text_is_rejected(old: str, new: str) -> None:
    assert parse(STUMP).raw_one(np.array([0.0])) == -1.0
    assert old in STUMP
    with pytest.raises(InvalidRequest, match="forest_invalid"):
        parse(STUMP.replace(old, new))


def test_parse_a_cut_text_is_rejected() -> None:
    text = booster(2).model_to_string()
    with pytest.raises(InvalidRequest, match="forest_invalid"):
        parse(text[: text.index("end of trees") - 200])


def test_example_of_the_module_runs() -> None:
    result = doctest.testmod(forest)
    assert result.attempted
    assert not result.failed
