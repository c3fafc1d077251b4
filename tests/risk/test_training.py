from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import calibration
from tongbao.risk.models.artifact import Kind, Model, ModelScorer, digest, dump, load
from tongbao.risk.models.registry import NAMES
from tongbao.risk.models.training import Examples, Options, Trees, fit, rising

USED = (
    "value",
    "customer_ratio",
    "card_declines_1h",
    "device_trust",
    "merchant_risk_7d",
    "night",
    "email_domain_risk_30d",
)
SMALL = Trees(bags=2, rounds=25, learning_rate=0.2, feature_share=0.7, bins_max=255)
FAST = Options(trees=SMALL)
OF_KIND = {Kind.GBDT: FAST, Kind.LOGISTIC: Options(kind=Kind.LOGISTIC)}


def drawn(seed: int, n: int = 4_000) -> Examples:
    """Payments of which 4 % are fraud, by amount, declines and trust; the night never varies, the e-mail is unknown."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.exponential(5_000.0, n),
            rng.lognormal(0.0, 0.7, n),
            rng.poisson(0.2, n).astype(float),
            rng.random(n),
            rng.beta(0.5, 9.0, n),
            np.zeros(n),
            np.full(n, np.nan),
        ]
    )
    x[rng.random(n) < 0.3, 3] = np.nan
    log_odds = (
        -6.5
        + 2.0 * (x[:, 1] > 2.0)
        + 1.5 * x[:, 2]
        + 2.0 * np.nan_to_num(1.0 - x[:, 3], nan=0.5)
        + 8.0 * x[:, 4]
    )
    is_fraud = rng.random(n) < 1.0 / (1.0 + np.exp(-log_odds))
    return Examples(x, is_fraud, 1.7e9 + np.sort(rng.random(n)) * 30 * 86_400, USED)


TAUGHT = drawn(1)


@cache
def trained(kind: Kind) -> Model:
    return fit(TAUGHT, OF_KIND[kind])


KINDS = pytest.mark.parametrize("options", OF_KIND.values(), ids=OF_KIND)


@KINDS
def test_fit_ranks_later_payments_and_its_chances_come_true(options: Options) -> None:
    scorer = ModelScorer(trained(options.kind), USED)
    later = drawn(2, 8_000)
    chances = scorer.score(later.x)
    share = float(later.is_fraud.mean())
    assert average_precision_score(later.is_fraud, chances) > 3.0 * share
    assert chances.mean() == pytest.approx(share, rel=0.35)
    assert 0.6 < calibration.slope(chances, later.is_fraud) < 1.5


@KINDS
def test_fit_equal_examples_and_seed_give_an_equal_digest(options: Options) -> None:
    first, second = dump(trained(options.kind)), dump(fit(drawn(1), options))
    assert digest(first) == digest(second)


def test_fit_another_seed_gives_other_trees() -> None:
    assert trained(Kind.GBDT).text != fit(TAUGHT, Options(trees=SMALL, seed=2)).text


def test_fit_order_of_the_examples_does_not_matter() -> None:
    order = np.random.default_rng(9).permutation(len(TAUGHT.at_s))
    mixed = Examples(TAUGHT.x[order], TAUGHT.is_fraud[order], TAUGHT.at_s[order], USED)
    assert digest(dump(fit(mixed, FAST))) == digest(dump(trained(Kind.GBDT)))


def test_fit_changes_nothing_of_the_examples() -> None:
    kept = TAUGHT.x.copy(), TAUGHT.is_fraud.copy()
    fit(TAUGHT, FAST)
    assert TAUGHT.x.tobytes() == kept[0].tobytes()
    assert TAUGHT.is_fraud.tobytes() == kept[1].tobytes()


@KINDS
def test_fit_leaves_out_what_never_varies_and_serves_among_all_features(options: Options) -> None:
    model = trained(options.kind)
    assert model.names == USED[:5]
    row = np.full(len(NAMES), np.nan)
    row[NAMES.index("card_declines_1h")] = 6.0
    scorer = ModelScorer(load(dump(model)), NAMES)
    calm = row.copy()
    calm[NAMES.index("card_declines_1h")] = 0.0
    assert scorer.score_one(row) > scorer.score_one(calm)


@KINDS
def test_score_one_and_many_of_a_trained_model_are_equal_bit_for_bit(options: Options) -> None:
    scorer = ModelScorer(trained(options.kind), USED)
    x = drawn(3, 500).x
    x[::5] = np.nan
    x[1::7, 0] = np.inf
    assert [scorer.score_one(row) for row in x] == scorer.score(x).tolist()


def test_fit_tells_where_the_model_came_from() -> None:
    model = trained(Kind.GBDT)
    told = model.training
    assert (told.rows, told.frauds, told.seed) == (4_000, int(TAUGHT.is_fraud.sum()), 1)
    assert told.from_at is not None
    assert told.to_at is not None
    assert (told.from_at.timestamp(), told.to_at.timestamp()) == pytest.approx(
        (TAUGHT.at_s[0], TAUGHT.at_s[-1])
    )
    assert set(told.versions) == {"lightgbm", "numpy", "scikit-learn"}
    assert told.settings["rounds"] == 25
    assert model.metrics["rows"] == 1_000
    assert model.metrics["brier"] < model.metrics["brier_of_share"]
    assert model.metrics["ap"] > 0.1


def test_fit_calibrates_on_later_examples_only() -> None:
    """Truth turned around in the last quarter turns the curve, not the trees that served it."""
    late = np.arange(4_000) >= 3_000
    turned = replace(TAUGHT, is_fraud=np.where(late, np.roll(TAUGHT.is_fraud, 517), TAUGHT.is_fraud))
    assert fit(turned, FAST).metrics["auc"] < 0.6 < trained(Kind.GBDT).metrics["auc"]


def test_fit_monotone_features_only_raise_or_lower_the_score() -> None:
    ways = rising(USED)
    model = fit(TAUGHT, Options(trees=SMALL, monotone=ways))
    scorer = ModelScorer(model, USED)
    assert model.training.settings["monotone.device_trust"] == -1
    for name, way in ways.items():
        if name not in model.names:
            continue
        rows = np.repeat(drawn(4, 40).x, 30, axis=0).reshape(40, 30, len(USED))
        rows[:, :, USED.index(name)] = np.linspace(0.0, 5.0, 30)
        raw = np.array([scorer.raw(of_one) for of_one in rows])
        assert (np.diff(raw, axis=1) * way >= -1e-12).all()
        assert np.ptp(raw, axis=1).max() > 0


def test_rising_holds_what_everybody_expects_and_nothing_else() -> None:
    found = rising(NAMES)
    expected = {
        "merchant_decayed_rate": 1,
        "merchant_risk_7d": 1,
        "card_fraud_14d": 1,
        "customer_fraud_share_14d": 1,
        "card_declines_1h": 1,
        "device_decline_share_7d": 1,
        "merchant_unexplained_28d": 1,
        "merchant_streak": 1,
        "sign_vpn": 1,
        "device_trust": -1,
        "card_since_fraud_d": -1,
    }
    assert expected.items() <= found.items()
    assert not {"value", "hour", "merchant_streak_age_d", "card_age_d", "card_ratio"} & found.keys()


def taught(**changed: Any) -> Examples:
    return replace(TAUGHT, **changed)


@pytest.mark.parametrize(
    "few",
    [
        Examples(TAUGHT.x[:100], TAUGHT.is_fraud[:100], TAUGHT.at_s[:100], USED),
        taught(is_fraud=np.zeros(4_000, np.bool_)),
        taught(is_fraud=np.ones(4_000, np.bool_)),
        taught(is_fraud=np.arange(4_000) < 29),
        taught(is_fraud=np.arange(4_000) < 500),
        taught(is_fraud=np.arange(4_000) >= 3_500),
    ],
    ids=["rows", "none", "all", "frauds", "late", "early"],
)
def test_fit_too_few_examples_of_one_kind_is_rejected(few: Examples) -> None:
    with pytest.raises(InvalidRequest, match="too_few_labels"):
        fit(few, FAST)


@pytest.mark.parametrize(
    "bad",
    [
        taught(names=USED[:-1]),
        taught(names=("value", *USED[:-1])),
        taught(at_s=TAUGHT.at_s[:-1]),
        taught(at_s=np.full(4_000, np.nan)),
        taught(is_fraud=TAUGHT.is_fraud.astype(np.float64)),
        taught(x=TAUGHT.x.astype(np.float32)),
        taught(x=np.where(TAUGHT.x > 10_000, np.inf, TAUGHT.x)),
        taught(x=np.ones_like(TAUGHT.x)),
    ],
    ids=["columns", "twice", "instants", "no instants", "truths", "floats", "infinite", "constant"],
)
def test_fit_examples_of_wrong_shape_or_type_are_rejected(bad: Examples) -> None:
    with pytest.raises(InvalidRequest, match="examples_invalid"):
        fit(bad, FAST)


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": Kind.SCORECARD},
        {"seed": -1},
        {"calibration_share": 0.9},
        {"monotone": {"value": 2}},
        {"trees": Trees(bags=0)},
        {"trees": Trees(rounds=10_000)},
        {"trees": Trees(bags=32, rounds=1_000)},
        {"trees": Trees(learning_rate=0.0)},
        {"trees": Trees(feature_share=1.5)},
        {"trees": Trees(l2=-1.0)},
    ],
)
def test_make_options_out_of_range_is_rejected(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="training_options_invalid"):
        Options(**changed)
