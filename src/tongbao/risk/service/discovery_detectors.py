"""The three detectors of unusual payments together, fitted on good traffic: what they watch, and one rank out of their scores.

- Features: ``WATCHED``, none of which knows labels; NaN where unknown, which counts as ordinary.
- Output: the rank of the mean of the ranks that the detectors give, in [0, 1]: 0.99 is more unusual than 99 % of good
  payments, among those that the detectors were not fitted on. Not a chance of fraud.
- Label: none; payments that are known to be fraud are left out. Seed: an argument, equal seeds give equal detectors.
- Cost: about 0.2 ms a payment, nearly all of it the local outlier factor, so they are asked in batches.
"""

import hashlib
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest, InvariantBroken
from tongbao.risk.models import array_state
from tongbao.risk.models.anomaly import HEAVIEST, Isolation, OutlierFactor, RobustZ
from tongbao.risk.models.base import Floats
from tongbao.risk.models.label_queue import POINTS, Ranks
from tongbao.risk.models.registry import NAMES

GOOD_MIN = 200
"""Good payments without which nothing can be said about what is usual."""
SAMPLE_MAX = 20_000
RANKED_MAX = 2_000
"""Good payments that are kept back to rank scores with, a quarter of the sample at most."""
TELLING_Z = 3.0
"""From so many robust standard deviations on a feature is named."""
WATCHED = (
    *("value", "device_trust", "night", "address_card_mismatch", "card_merchant_mismatch"),
    *("sign_emulator", "sign_vpn", "sign_rooted", "sign_time_zone", "sign_headless"),
    *("card_count_1h", "card_count_1d", "card_declines_1d", "card_ratio", "card_z", "card_gap_s"),
    *("card_velocity_kmh", "card_merchants_1d", "card_countries_1d", "card_devices_30d"),
    *("customer_count_1h", "customer_count_1d", "customer_ratio", "customer_merchants_1d"),
    *("customer_cards_30d", "customer_devices_30d"),
    *("device_count_1h", "device_cards_30d", "device_customers_30d", "device_declines_1h"),
    *("address_count_1h", "address_cards_1d", "address_customers_1d"),
    *("merchant_ratio", "merchant_cards_1h", "beneficiary_customers_30d"),
)
_PLACES = np.array([NAMES.index(name) for name in WATCHED], dtype=np.intp)
_KIND = "anomaly_ranks"
_Parts = tuple[RobustZ, Isolation, OutlierFactor]


class Detectors:
    """Robust z, isolation forest and local outlier factor, with how each of them scores good payments."""

    def __init__(
        self, robust_z: RobustZ, isolation: Isolation, outlier: OutlierFactor, quantiles: Floats
    ) -> None:
        """``quantiles`` (4, POINTS + 1): of what each detector, and the mean of their ranks, gives good payments."""
        self._robust_z = robust_z
        self._isolation = isolation
        self._outlier = outlier
        self._quantiles = quantiles
        self._ranks = [Ranks(each) for each in quantiles]

    @classmethod
    def fit(cls, x: Floats, is_good: NDArray[np.bool_], seed: int) -> "Detectors":
        """Learn from the payments (n, n_features) that are good, of which at most ``SAMPLE_MAX`` are looked at.

        Raises InvalidRequest ``discovery_payments_few`` for fewer than ``GOOD_MIN``, and ``anomaly_rows_invalid`` where
        hardly any two of them differ.
        """
        good = np.flatnonzero(is_good)
        if len(good) < GOOD_MIN:
            detail = f"{len(good)} payments that are not known to be fraud; {GOOD_MIN} are needed"
            raise InvalidRequest("discovery_payments_few", detail, count=len(good), needed=GOOD_MIN)
        order = np.random.default_rng(seed).permutation(good)[:SAMPLE_MAX]
        kept_back = min(len(order) // 4, RANKED_MAX)
        ranked, rows = (x[np.ix_(np.sort(each), _PLACES)] for each in (order[:kept_back], order[kept_back:]))
        parts: _Parts = (
            RobustZ.fit(WATCHED, rows),
            Isolation.fit(WATCHED, rows, seed),
            OutlierFactor.fit(WATCHED, rows, seed),
        )
        scores = _scores(parts, ranked)
        mean = np.mean([Ranks(each).rank(each) for each in scores], axis=0)
        points = np.linspace(0, 1, POINTS + 1)
        return cls(*parts, np.array([np.quantile(each, points) for each in (*scores, mean)]))

    def rank(self, x: Floats) -> Floats:
        """Return the ranks (n,) of payments (n, n_features) in [0, 1], higher is more unusual."""
        scores = _scores((self._robust_z, self._isolation, self._outlier), x[:, _PLACES])
        *alone, together = self._ranks
        mean = np.mean([ranks.rank(each) for ranks, each in zip(alone, scores, strict=True)], axis=0)
        return np.clip(together.rank(mean), 0.0, 1.0)

    def telling(self, features: Floats) -> list[str]:
        """Return which features set a payment (n_features,) apart, at most ``HEAVIEST``, the most telling first."""
        sizes = np.abs(self._robust_z.z(features[None, _PLACES])[0])
        order = np.argsort(-sizes, kind="stable")[:HEAVIEST]
        return [WATCHED[place] for place in order.tolist() if sizes[place] >= TELLING_Z]

    def dumps(self) -> dict[str, bytes]:
        """Return each detector, and the ranks, as bytes by name."""
        return {
            "robust_z": self._robust_z.dump(),
            "isolation_forest": self._isolation.dump(),
            "outlier_factor": self._outlier.dump(),
            _KIND: array_state.packed(_KIND, WATCHED, {"quantiles": self._quantiles}),
        }

    @classmethod
    def load(cls, dumps: Mapping[str, bytes]) -> "Detectors":
        """Return what ``dumps`` wrote. Raises InvalidRequest ``risk_state_invalid``, also for features of another version."""
        missing = {"robust_z", "isolation_forest", "outlier_factor", _KIND} - dumps.keys()
        if missing:
            raise array_state.refused(f"{', '.join(sorted(missing))} is missing")
        parts = (
            RobustZ.load(dumps["robust_z"]),
            Isolation.load(dumps["isolation_forest"]),
            OutlierFactor.load(dumps["outlier_factor"]),
        )
        names, arrays = array_state.unpacked(dumps[_KIND], _KIND)
        if any(each != WATCHED for each in (names, *(part.names for part in parts))):
            raise array_state.refused("it watches other features than this version does")
        return cls(*parts, array_state.floats(arrays, "quantiles", (len(parts) + 1, POINTS + 1)))


def _scores(parts: _Parts, rows: Floats) -> Floats:
    """Return what each detector says, shape (3, n), of rows (n, n_watched)."""
    robust_z, isolation, outlier = parts
    return np.stack([robust_z.score(rows), isolation.score(rows), outlier.score(rows)])


def digests(dumps: Mapping[str, bytes]) -> dict[str, str]:
    """Return SHA-256 of each dump, hexadecimal, by name."""
    return {name: hashlib.sha256(payload).hexdigest() for name, payload in sorted(dumps.items())}


def packed(dumps: Mapping[str, bytes]) -> bytes:
    """Return dumps by name as one."""
    return msgspec.msgpack.encode(dict(sorted(dumps.items())))


def unpacked(payload: bytes, expected: Mapping[str, str]) -> dict[str, bytes]:
    """Return what ``packed`` wrote; raise InvariantBroken ``discovery_damaged`` where it is not what was ``expected``."""
    try:
        dumps = msgspec.msgpack.decode(payload, type=dict[str, bytes])
    except msgspec.MsgspecError as error:
        raise InvariantBroken("discovery_damaged", f"kept detectors cannot be read: {error}") from error
    if digests(dumps) != dict(expected):
        raise InvariantBroken("discovery_damaged", "kept detectors are not those that were fitted")
    return dumps
