import doctest
from functools import cache

import lightgbm
import numpy as np
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import contributions
from tongbao.risk.models.artifact import Kind, Model, ModelScorer, by_judgement
from tongbao.risk.models.calibration import by_logistic
from tongbao.risk.models.contributions import TOLERANCE, Explainer
from tongbao.risk.models.forest import STUMP
from tongbao.risk.models.registry import NAMES
from tongbao.risk.models.training import Examples, Options, Trees, fit

USED = ("card_ratio", "hour", "device_trust", "merchant_risk_7d")


def rows(seed: int, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    x = np.full((n, len(NAMES)), np.nan)
    for name in USED:
        x[:, NAMES.index(name)] = np.where(rng.random(n) < 0.2, np.nan, rng.exponential(size=n))
    return x


@cache
def trained(kind: Kind) -> Model:
    if kind == Kind.SCORECARD:
        return by_judgement(NAMES)
    x = rows(1, 3_000)
    ratio, trust = x[:, NAMES.index("card_ratio")], x[:, NAMES.index("device_trust")]
    chance = np.random.default_rng(2).random(3_000)
    is_fraud = chance < np.where(np.nan_to_num(ratio) > 2, 0.3, 0.02) * np.where(trust > 1, 0.5, 1.0)
    options = Options(kind=kind, trees=Trees(bags=2, rounds=30, bins_max=255))
    return fit(Examples(x, is_fraud, np.arange(3_000.0), NAMES), options)


each_kind = pytest.mark.parametrize("kind", list(Kind))


@each_kind
def test_explain_parts_sum_to_the_raw_score(kind: Kind) -> None:
    model = trained(kind)
    explainer, scorer = Explainer(model, NAMES), ModelScorer(model, NAMES)
    for row in rows(3, 50):
        found = explainer.explain(row)
        assert abs(found.log_odds.sum() + found.base - scorer.raw_one(row)) <= TOLERANCE
        assert found.raw == scorer.raw_one(row)
        assert found.names == model.names
        assert found.values.shape == found.log_odds.shape == (len(model.names),)


@each_kind
def test_explain_changes_nothing_and_equals_itself(kind: Kind) -> None:
    explainer = Explainer(trained(kind), NAMES)
    row = rows(4, 1)[0]
    kept = row.copy()
    first, second = explainer.explain(row), explainer.explain(row)
    assert first.log_odds.tobytes() == second.log_odds.tobytes()
    assert row.tobytes() == kept.tobytes()


def test_explain_trees_agrees_with_the_library() -> None:
    model = trained(Kind.GBDT)
    booster = lightgbm.Booster(model_str=model.text)
    explainer = Explainer(model, NAMES)
    places = [NAMES.index(name) for name in model.names]
    for row in rows(5, 50):
        expected = np.asarray(booster.predict(row[None, places], pred_contrib=True))[0]
        found = explainer.explain(row)
        np.testing.assert_allclose(found.log_odds, expected[:-1], rtol=0, atol=1e-9)
        assert found.base == pytest.approx(expected[-1], abs=1e-9)


@each_kind
def test_explain_what_drives_fraud_speaks_against_a_payment(kind: Kind) -> None:
    row = rows(6, 1)[0]
    row[[NAMES.index(name) for name in USED]] = 9.0, 1.0, 0.2, 0.0
    found = Explainer(trained(kind), NAMES).explain(row)
    assert found.names[int(np.argmax(found.log_odds))] == "card_ratio"


def test_explain_features_of_another_shape_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="features_invalid"):
        Explainer(trained(Kind.GBDT), NAMES).explain(np.zeros(3))


def test_make_an_explainer_without_its_features_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="model_features_unknown"):
        Explainer(trained(Kind.GBDT), ("hour",))


def test_explain_trees_that_do_not_count_their_examples_is_refused() -> None:
    text = (
        STUMP.replace("_count=1", "_count=0")
        .replace("leaf_count=0 1", "leaf_count=0 0")
        .replace("_count=2", "_count=0")
    )
    model = Model(kind=Kind.GBDT, names=("amount",), text=text, calibration=by_logistic())
    with pytest.raises(InvalidRequest, match="forest_invalid"):
        Explainer(model, ("amount",))


@pytest.mark.parametrize(("leaves", "depth"), [(2, 1), (31, -1), (8, 3)])
def test_explain_trees_of_any_shape_agrees_with_the_library(leaves: int, depth: int) -> None:
    x = rows(8, 1_500)[:, [NAMES.index(name) for name in USED]]
    y = (np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1], nan=-1.0) * x[:, 2] > 1.5).astype(float)
    config = {
        "objective": "binary",
        "num_leaves": leaves,
        "max_depth": depth,
        "min_data_in_leaf": 3,
        "verbosity": -1,
    }
    booster = lightgbm.train(config, lightgbm.Dataset(x, y, feature_name=list(USED)), 20)
    model = Model(kind=Kind.GBDT, names=USED, text=booster.model_to_string(), calibration=by_logistic())
    explainer = Explainer(model, USED)
    expected = np.asarray(booster.predict(x[:100], pred_contrib=True))
    found = np.array([explainer.explain(row).log_odds for row in x[:100]])
    np.testing.assert_allclose(found, expected[:, :-1], rtol=0, atol=1e-9)


def test_example_of_the_module_runs() -> None:
    result = doctest.testmod(contributions)
    assert result.attempted
    assert not result.failed
