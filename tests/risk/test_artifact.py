import doctest
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import artifact
from tongbao.risk.models.artifact import Kind, Model, ModelScorer, Training, by_judgement, digest, dump, load
from tongbao.risk.models.base import Scorer
from tongbao.risk.models.calibration import Calibration, by_logistic
from tongbao.risk.models.forest import STUMP
from tongbao.risk.models.logistic import Additive, Curve
from tongbao.risk.models.registry import NAMES

TREES = Model(
    kind=Kind.GBDT,
    names=("amount",),
    text=STUMP,
    calibration=Calibration(raw=(-1.0, 2.0), log_odds=(-6.0, -1.0)),
    training=Training(
        rows=1_000,
        frauds=20,
        from_at=datetime(2026, 1, 1, tzinfo=UTC),
        to_at=datetime(2026, 2, 1, tzinfo=UTC),
        seed=3,
        versions={"lightgbm": "4.7.0", "numpy": "2.4.6"},
        settings={"rounds": 80.0, "objective": "binary"},
    ),
    metrics={"auc": 0.875, "ap": 0.7421},
)
SUM = Model(
    kind=Kind.LOGISTIC,
    names=("hour", "amount"),
    additive=Additive(-4.0, (Curve(slope=0.1, low=0.0, high=24.0), Curve((1.0,), (0.0, 1.0), missing=0.3))),
    calibration=by_logistic(),
)
each_model = pytest.mark.parametrize("model", [TREES, SUM, by_judgement(NAMES)], ids=lambda model: model.kind)


def rows(n_features: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng = np.random.default_rng(5)
    x = rng.normal(scale=3.0, size=(200, n_features))
    x[rng.random(x.shape) < 0.3] = np.nan
    x[0], x[1], x[2] = np.nan, np.inf, -np.inf
    return x


@each_model
def test_load_what_was_dumped_is_the_same_model_with_the_same_scores(model: Model) -> None:
    again = load(dump(model), digest(dump(model)))
    assert again == model
    assert dump(again) == dump(model)
    x = rows(len(model.names))
    first, second = ModelScorer(model, model.names), ModelScorer(again, model.names)
    assert first.score(x).tobytes() == second.score(x).tobytes()


@each_model
def test_score_one_and_many_are_equal_bit_for_bit_and_change_nothing(model: Model) -> None:
    names = ("before", *reversed(model.names), "behind")
    scorer: Scorer = ModelScorer(model, names)
    x = rows(len(names))
    kept, dumped = x.copy(), dump(model)
    many = scorer.score(x)
    assert [scorer.score_one(row) for row in x] == many.tolist()
    assert ((many > 0) & (many < 1)).all()
    x.setflags(write=False)
    assert scorer.score(x).tobytes() == many.tobytes()
    assert scorer.score(np.asfortranarray(x)).tobytes() == many.tobytes()
    assert [scorer.score_one(row) for row in np.asfortranarray(x)] == many.tolist()
    assert x.tobytes() == kept.tobytes()
    assert dump(model) == dumped
    assert scorer.names == names


@each_model
def test_score_finds_its_features_by_name_wherever_they_stand(model: Model) -> None:
    x = rows(len(model.names))
    expected = ModelScorer(model, model.names).score(x)
    names = ("added_later", *reversed(model.names))
    moved = np.column_stack([np.full(len(x), 9.0), x[:, ::-1]])
    assert ModelScorer(model, names).score(moved).tobytes() == expected.tobytes()


@each_model
def test_score_many_of_none_is_none(model: Model) -> None:
    assert ModelScorer(model, model.names).score(np.empty((0, len(model.names)))).shape == (0,)


def test_score_is_the_calibrated_raw_score() -> None:
    scorer = ModelScorer(TREES, ("amount",))
    row = np.array([0.5])
    assert scorer.raw_one(row) == -1.0
    assert scorer.score_one(row) == TREES.calibration.chance(-1.0) == pytest.approx(1 / (1 + np.exp(6.0)))


def test_score_without_its_features_is_rejected_by_their_names() -> None:
    with pytest.raises(InvalidRequest, match=r"model_features_unknown.*hour, amount"):
        ModelScorer(SUM, ("night", "weekend"))
    with pytest.raises(InvalidRequest, match="model_features_unknown"):
        by_judgement(("no_such_feature",))


@pytest.mark.parametrize(
    "features",
    [np.zeros(2), np.zeros(4), np.zeros((1, 3)), np.zeros(3, np.float32), np.zeros(3, np.int64)],
)
def test_score_one_of_another_shape_or_type_is_rejected(features: Any) -> None:
    with pytest.raises(InvalidRequest, match="features_invalid"):
        ModelScorer(SUM, ("amount", "night", "hour")).score_one(features)


@pytest.mark.parametrize("features", [np.zeros(3), np.zeros((2, 2)), np.zeros((2, 3), np.float32)])
def test_score_many_of_another_shape_or_type_is_rejected(features: Any) -> None:
    with pytest.raises(InvalidRequest, match="features_invalid"):
        ModelScorer(SUM, ("amount", "night", "hour")).score(features)


def test_digest_of_any_change_is_another() -> None:
    names = {
        digest(dump(model)) for model in (TREES, SUM, msgspec.structs.replace(TREES, metrics={"auc": 0.876}))
    }
    assert len(names) == 3
    assert all(len(name) == 64 for name in names)


def test_digest_does_not_depend_on_the_order_of_metrics() -> None:
    turned = msgspec.structs.replace(TREES, metrics=dict(reversed(TREES.metrics.items())))
    assert digest(dump(turned)) == digest(dump(TREES))


@pytest.mark.parametrize("cut", [0, 1, 10, 100])
def test_load_a_part_of_the_bytes_is_rejected(cut: int) -> None:
    with pytest.raises(InvalidRequest, match="model_invalid"):
        load(dump(TREES)[:cut])


def test_load_other_bytes_than_the_digest_names_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="model_invalid"):
        load(dump(TREES), digest(dump(SUM)))


@pytest.mark.parametrize(
    "envelope",
    [
        ["tongbao.other", artifact.VERSION, TREES],
        ["tongbao.risk.model", artifact.VERSION + 1, TREES],
        ["tongbao.risk.model", artifact.VERSION, {"kind": "gbdt"}],
        ["tongbao.risk.model", artifact.VERSION, {**msgspec.structs.asdict(SUM), "kind": "gbdt"}],
        ["tongbao.risk.model", artifact.VERSION, {**msgspec.structs.asdict(SUM), "names": ["hour", "hour"]}],
        [
            "tongbao.risk.model",
            artifact.VERSION,
            {**msgspec.structs.asdict(SUM), "calibration": {"raw": [], "log_odds": []}},
        ],
        "nothing",
    ],
)
def test_load_what_is_no_model_of_this_version_is_rejected(envelope: Any) -> None:
    with pytest.raises(InvalidRequest, match="model_invalid"):
        load(msgspec.msgpack.encode(envelope))


@pytest.mark.parametrize(
    "changed",
    [{"names": ("amount", "amount")}, {"text": ""}, {"additive": SUM.additive}, {"kind": Kind.LOGISTIC}],
)
def test_make_a_model_of_parts_that_do_not_belong_together_is_rejected(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="model_invalid"):
        msgspec.structs.replace(TREES, **changed)


def test_score_trees_over_other_names_than_the_model_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="model_invalid"):
        ModelScorer(msgspec.structs.replace(TREES, names=("hour",)), ("hour",))


def test_example_of_the_module_runs() -> None:
    result = doctest.testmod(artifact)
    assert result.attempted
    assert not result.failed
