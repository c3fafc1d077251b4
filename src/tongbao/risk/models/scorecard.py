"""The scorecard that judges before any model was trained: points for what people who fight fraud look at first.

It is judgement, not learned from any data, and says so in its model's settings. It is meant to be timid: a payment of
which nothing is known has a chance of 0.3 %, in the order of what card networks report of remote payments; one odd sign
moves it to at most 2 %, and only several together to where a review pays. Nothing in it lowers the chance to less than
about a third. Models that learned replace it as soon as there are labels enough.

- Features: those of ``models.registry`` by name, in their units; one that the registry lacks is left out. NaN adds
  nothing.
- Output: log-odds, a sum of points; higher speaks against the payment. Not calibrated: nothing was measured.
- Label, seed: none. Baseline to beat: the prior for everybody.

>>> import numpy as np
>>> card = scorecard(("customer_ratio",))
>>> card.raw_one(np.array([8.0])) > card.raw_one(np.array([1.0]))
True
"""

import math
from collections.abc import Sequence

from tongbao.risk.models.logistic import Additive, Curve

PRIOR_PROB = 0.003
"""The chance of fraud where nothing is known."""
NOTHING = Curve()


def _curve(first: float, *bands: tuple[float, float]) -> Curve:
    """Return the curve that adds ``first`` up to the first edge, and above each edge what stands beside it."""
    return Curve(edges=tuple(edge for edge, _ in bands), steps=(first, *(points for _, points in bands)))


_UNUSUAL = _curve(0.0, (2.5, 0.4), (4.0, 0.7), (8.0, 1.0))
_COUNT_1H = _curve(0.0, (3.0, 0.3), (6.0, 0.7), (12.0, 1.1))
_SHARED = _curve(0.0, (2.0, 0.3), (4.0, 0.9), (8.0, 1.5))
_DECLINES_1H = _curve(0.0, (0.5, 0.2), (2.5, 0.8), (5.5, 1.3))
_FRAUD_SHARE = _curve(0.0, (0.05, 0.4), (0.2, 0.8), (0.5, 1.2))
_RATE = _curve(0.0, (0.03, 0.5), (0.1, 1.2), (0.3, 1.8))
_SIGN = _curve(0.0, (0.5, 0.5))

POINTS: dict[str, Curve] = {
    "customer_ratio": _UNUSUAL,
    "card_ratio": _UNUSUAL,
    "customer_spree_count_14d": _curve(0.0, (0.5, 0.3), (2.5, 0.9)),
    "card_spree_count_14d": _curve(0.0, (0.5, 0.3), (2.5, 0.9)),
    "customer_count_1h": _COUNT_1H,
    "card_count_1h": _COUNT_1H,
    "device_count_1h": _curve(0.0, (5.0, 0.4), (10.0, 1.0)),
    "address_count_1h": _curve(0.0, (10.0, 0.3), (30.0, 0.9)),
    "customer_cards_30d": _SHARED,
    "device_cards_30d": _SHARED,
    "device_customers_30d": _SHARED,
    "address_cards_1d": _curve(0.0, (5.0, 0.4), (15.0, 1.2)),
    "card_countries_1d": _curve(0.0, (1.5, 0.8), (2.5, 1.4)),
    "customer_declines_1h": _DECLINES_1H,
    "card_declines_1h": _DECLINES_1H,
    "device_declines_1h": _DECLINES_1H,
    "address_declines_1h": _curve(0.0, (3.5, 0.6), (9.5, 1.6)),
    "device_trust": _curve(0.4, (0.2, 0.2), (0.4, 0.0), (0.7, -0.5)),
    "address_card_mismatch": _curve(0.0, (0.5, 0.8)),
    "card_merchant_mismatch": _curve(0.0, (0.5, 0.2)),
    "card_velocity_kmh": _curve(0.0, (500.0, 0.5), (1_000.0, 1.4)),
    "sign_emulator": _curve(0.0, (0.5, 1.2)),
    "sign_headless": _curve(0.0, (0.5, 1.2)),
    "sign_rooted": _SIGN,
    "sign_vpn": _SIGN,
    "sign_time_zone": _SIGN,
    "card_age_d": _curve(0.2, (1.0, 0.0), (180.0, -0.3)),
    "customer_age_d": _curve(0.2, (1.0, 0.0), (180.0, -0.3)),
    "card_fraud_share_14d": _FRAUD_SHARE,
    "customer_fraud_share_14d": _FRAUD_SHARE,
    "device_decayed_rate": _RATE,
    "merchant_decayed_rate": _RATE,
    "address_decayed_rate": _RATE,
    "beneficiary_decayed_rate": _RATE,
    "email_domain_decayed_rate": _curve(0.0, (0.05, 0.4), (0.2, 0.9)),
    "value": _curve(0.0, (50_000.0, 0.2), (200_000.0, 0.6)),
    "recurring": _curve(0.0, (0.5, -0.4)),
}
"""Points in log-odds by feature."""


def scorecard(names: Sequence[str]) -> Additive:
    """Return the scorecard over features ``names``; those that it knows nothing of add nothing."""
    return Additive(
        bias=math.log(PRIOR_PROB / (1.0 - PRIOR_PROB)),
        curves=tuple(POINTS.get(name, NOTHING) for name in names),
    )


def used(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of ``names`` that the scorecard gives points for."""
    return tuple(name for name in names if name in POINTS)
