"""A model of payments as one value: what it learned, how it was calibrated, where it came from; stored as bytes.

- The digest, SHA-256 of the bytes in hexadecimal, names a model: equal digests are equal models.
- A model knows its features by name. ``ModelScorer`` finds them among those that a house computes now, so a model that
  was trained before features were added keeps working; one that needs features which are gone is refused.
- Scoring reads only, and takes no lock: one scorer serves all threads.
- Cost on one core: 300 trees of 15 leaves about 15 us a payment, the walk included.

>>> import numpy as np
>>> model = by_judgement(("customer_ratio", "device_trust"))
>>> scorer = ModelScorer(load(dump(model)), ("value", "device_trust", "customer_ratio"))
>>> 0.001 < scorer.score_one(np.array([900.0, np.nan, 1.0])) < scorer.score_one(np.array([900.0, 0.1, 9.0])) < 0.1
True
"""

import dataclasses
import enum
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import calibration, forest, logistic, scorecard
from tongbao.risk.models.base import Floats

MODEL_BYTES_MAX = 64_000_000
VERSION = 1
_TAG = "tongbao.risk.model"
Places = NDArray[np.int64]
Name = Annotated[str, Meta(min_length=1, max_length=100)]


class Kind(enum.StrEnum):
    """What a model is made of."""

    GBDT = "gbdt"
    LOGISTIC = "logistic"
    SCORECARD = "scorecard"


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model came from.

    ``rows`` examples with ``frauds`` among them, that happened from ``from_at`` to ``to_at`` (the first and the last of
    them, aware UTC; None where nothing was learned). ``versions`` are of the libraries, ``settings`` those that matter.
    """

    rows: int = 0
    frauds: int = 0
    from_at: datetime | None = None
    to_at: datetime | None = None
    seed: int | None = None
    versions: dict[str, str] = {}
    settings: dict[str, str | float] = {}


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model. ``text`` is LightGBM's, empty for other kinds; ``additive`` is of the other kinds, None for trees.

    ``metrics`` are measured on the later slice that calibrated it, by a model of the same settings that had not seen it.
    Raises InvalidRequest ``model_invalid`` where the parts do not belong together.
    """

    kind: Kind
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=logistic.FEATURES_MAX)]
    text: Annotated[str, Meta(max_length=forest.TEXT_CHARS_MAX)] = ""
    additive: logistic.Additive | None = None
    calibration: calibration.Calibration
    training: Training = Training()
    metrics: dict[str, float] = {}

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise InvalidRequest("model_invalid", "a model names each of its features once")
        if (self.kind == Kind.GBDT) != bool(self.text) or (self.kind == Kind.GBDT) != (self.additive is None):
            raise InvalidRequest("model_invalid", f"a model of kind {self.kind} has other parts")
        if self.additive is not None and len(self.additive.curves) != len(self.names):
            raise InvalidRequest("model_invalid", "a sum has one curve for each feature")


class _Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    tag: str
    version: int
    model: Model


_DECODER = msgspec.msgpack.Decoder(_Envelope)
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def by_judgement(names: Sequence[str]) -> Model:
    """Return the model of the built-in scorecard over those of the features ``names`` that it knows.

    Raises InvalidRequest ``model_features_unknown`` where it knows none.
    """
    used = scorecard.used(names)
    if not used:
        raise InvalidRequest("model_features_unknown", "the scorecard knows none of these features")
    return Model(
        kind=Kind.SCORECARD,
        names=used,
        additive=scorecard.scorecard(used),
        calibration=calibration.by_logistic(),
        training=Training(settings={"source": "judgement", "prior_prob": scorecard.PRIOR_PROB}),
    )


def dump(model: Model) -> bytes:
    """Return a model as bytes; equal models give equal bytes."""
    return _ENCODER.encode(_Envelope(_TAG, VERSION, model))


def digest(dumped: bytes) -> str:
    """Return the name of a dumped model: 64 hexadecimal digits."""
    return hashlib.sha256(dumped).hexdigest()


def load(dumped: bytes, expected_digest: str = "") -> Model:
    """Return the model that ``dump`` made these bytes from.

    Raises InvalidRequest ``model_invalid`` for anything else, and where the bytes have another digest than expected.
    """
    if len(dumped) > MODEL_BYTES_MAX:
        raise InvalidRequest(
            "model_invalid", f"a model has at most {MODEL_BYTES_MAX} bytes", size=len(dumped)
        )
    if expected_digest and digest(dumped) != expected_digest:
        raise InvalidRequest(
            "model_invalid", "the model is not the one that its digest names", digest=expected_digest
        )
    try:
        envelope = _DECODER.decode(dumped)
    except msgspec.DecodeError as error:
        raise InvalidRequest("model_invalid", f"these bytes are no model: {error}") from error
    except InvalidRequest as error:
        raise InvalidRequest("model_invalid", error.detail) from error
    if envelope.tag != _TAG or envelope.version != VERSION:
        raise InvalidRequest("model_invalid", f"a model of version {VERSION} was expected")
    return envelope.model


def places(wanted: Sequence[str], names: Sequence[str]) -> Places:
    """Return where each of ``wanted`` stands in ``names``, shape (n_wanted,).

    Raises InvalidRequest ``model_features_unknown`` that names those which are not there.
    """
    found = {name: place for place, name in enumerate(names)}
    unknown = [name for name in wanted if name not in found]
    if unknown:
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise InvalidRequest(
            "model_features_unknown",
            f"the model needs features that are not computed: {shown}",
            count=len(unknown),
        )
    return np.array([found[name] for name in wanted], np.int64)


class ModelScorer:
    """A ``Scorer`` that applies a model to features ``names``, those of the registry in their order.

    Raises InvalidRequest ``model_features_unknown`` where the model needs others, ``model_invalid``, ``forest_invalid``
    and ``forest_unsupported`` where its trees cannot be read.
    """

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        self.model = model
        self._names = tuple(names)
        self._places = places(model.names, names)
        self._points = model.calibration.arrays
        self._forest = None if model.additive else _forest(model, self._places)
        self._sum = (model.additive.bias, *model.additive.arrays()) if model.additive else None
        self.score_one(
            np.full(len(names), np.nan)
        )  # compiles what was not yet, so that no payment waits for it

    @property
    def names(self) -> tuple[str, ...]:
        """See ``Scorer``."""
        return self._names

    def score_one(self, features: Floats) -> float:
        """See ``Scorer``. Raises InvalidRequest ``features_invalid`` for another shape or type."""
        return float(calibration.chance(self.raw_one(features), *self._points))

    def score(self, features: Floats) -> Floats:
        """See ``Scorer``. Raises InvalidRequest ``features_invalid`` for another shape or type."""
        return calibration.chances(self.raw(features), *self._points)

    def raw_one(self, features: Floats) -> float:
        """Return the log-odds of one payment before calibration. Raises InvalidRequest ``features_invalid``."""
        if features.ndim != 1:
            raise InvalidRequest("features_invalid", "one payment is one row of features")
        self._check(features)
        if self._forest is not None:
            # A copy is of the one layout that was compiled for, wherever the row came from.
            return self._forest.raw_one(np.array(features))
        assert self._sum is not None, "a model has trees or a sum"
        return float(logistic.added(features[self._places], *self._sum))

    def raw(self, features: Floats) -> Floats:
        """Return the log-odds of many before calibration, shape (n,); bit for bit as ``raw_one``.

        Unlike chances they have no bounds, so no two payments tie that the model tells apart. Raises InvalidRequest
        ``features_invalid``.
        """
        if features.ndim != 2:
            raise InvalidRequest("features_invalid", "many payments are rows of features")
        self._check(features)
        rows = np.require(features, requirements=["C", "W"])
        if self._forest is not None:
            return self._forest.raw(rows)
        assert self._sum is not None, "a model has trees or a sum"
        return logistic.added_all(np.ascontiguousarray(rows[:, self._places]), *self._sum)

    def _check(self, features: Floats) -> None:
        # Native code looks where it is told to, so nothing of another shape may get there.
        if features.shape[-1] != len(self._names) or features.dtype != np.float64:
            raise InvalidRequest(
                "features_invalid", f"features are {len(self._names)} float64", shape=str(features.shape)
            )


def _forest(model: Model, places_of: Places) -> forest.Forest:
    """Return the trees of a model with questions about the columns at ``places_of``."""
    trees = forest.parse(model.text)
    if trees.names != model.names:
        raise InvalidRequest("model_invalid", "the trees of the model know other features than it names")
    return dataclasses.replace(trees, feature=places_of[trees.feature].astype(np.int32))
