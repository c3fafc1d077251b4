"""The features of a payment, each declared once: whose history, what of it, over which window, how late.

What is trained on and what is scored with come from this list and the native functions behind it (``models.reading``).
Conventions of every feature:

- The payment itself counts in windows without delay, as if it were the next event; windows are half-open, ``(t - window, t]``.
- With a delay the window is ``(t - delay - window, t - delay]`` and holds what is known of its payments now.
- NaN: the key of the entity is unknown, or there is nothing to compute from.
- Values are in hundredths of a major unit, ``_s`` seconds, ``_d`` days, shares in [0, 1].

The kinds of features follow the Fraud Detection Handbook (chapter 3, feature transformation) and extend them by label-aware
state: a fraud is credited to the entity that explains it.
"""

import enum
from dataclasses import dataclass

from tongbao.risk.schema.signals import Entity

HOUR_S = 3_600
DAY_S = 86_400
LABEL_DELAY_S = 7 * DAY_S
"""How old a payment is before windows of labels look at it: most disputes and reports of its kind have come by then."""
WINDOWS_S = (HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S, 14 * DAY_S, 30 * DAY_S)
"""The windows without delay that are kept for every entity."""
LABEL_WINDOWS_S = (DAY_S, 7 * DAY_S, 14 * DAY_S, 28 * DAY_S, 30 * DAY_S)
"""The windows of labels that are kept for every entity, each after ``LABEL_DELAY_S``."""
HORIZON_S = LABEL_DELAY_S + max(LABEL_WINDOWS_S)
"""How long a payment is kept: no window reaches further back."""
_SPANS = {HOUR_S: "1h", 6 * HOUR_S: "6h", DAY_S: "1d", 7 * DAY_S: "7d", 14 * DAY_S: "14d", 28 * DAY_S: "28d"}
_SPANS[30 * DAY_S] = "30d"


class Pair(enum.IntEnum):
    """Two that meet in a payment. The value is the place of its state and never changes."""

    CUSTOMER_MERCHANT = 0
    CARD_DEVICE = 1
    CARD_MERCHANT = 2
    CUSTOMER_DEVICE = 3
    CUSTOMER_ADDRESS = 4
    CUSTOMER_CARD = 5
    CARD_ADDRESS = 6
    CUSTOMER_BENEFICIARY = 7
    CARD_COUNTRY = 8  # the country that the payment comes from


@dataclass(frozen=True, slots=True)
class Feature:
    """One number about a payment. ``source`` is the entity or pair whose history it is, None for the payment itself."""

    name: str
    source: Entity | Pair | None
    aggregation: str
    window_s: int
    delay_s: int
    description: str


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many different partners an entity had in a window: an exact count."""

    entity: Entity
    pair: Pair
    partners: str
    window_s: int


DISTINCTS = (
    Distinct(Entity.CUSTOMER, Pair.CUSTOMER_CARD, "cards", 30 * DAY_S),
    Distinct(Entity.CUSTOMER, Pair.CUSTOMER_DEVICE, "devices", 30 * DAY_S),
    Distinct(Entity.CUSTOMER, Pair.CUSTOMER_MERCHANT, "merchants", DAY_S),
    Distinct(Entity.CARD, Pair.CARD_DEVICE, "devices", 30 * DAY_S),
    Distinct(Entity.CARD, Pair.CARD_MERCHANT, "merchants", DAY_S),
    Distinct(Entity.CARD, Pair.CARD_COUNTRY, "countries", DAY_S),
    Distinct(Entity.DEVICE, Pair.CARD_DEVICE, "cards", 30 * DAY_S),
    Distinct(Entity.DEVICE, Pair.CUSTOMER_DEVICE, "customers", 30 * DAY_S),
    Distinct(Entity.MERCHANT, Pair.CARD_MERCHANT, "cards", HOUR_S),
    Distinct(Entity.ADDRESS, Pair.CARD_ADDRESS, "cards", DAY_S),
    Distinct(Entity.ADDRESS, Pair.CUSTOMER_ADDRESS, "customers", DAY_S),
    Distinct(Entity.BENEFICIARY, Pair.CUSTOMER_BENEFICIARY, "customers", 30 * DAY_S),
)

PAYMENT_FEATURES = {
    "value": "the amount in hundredths",
    "is_round": "1 where the amount is a whole multiple of 100 major units",
    "hour": "hours since midnight, UTC",
    "night": "1 from midnight to before seven, UTC",
    "weekend": "1 on Saturday and Sunday, UTC",
    "recurring": "1 where a standing permission is used",
    "address_card_mismatch": "1 where the network address and the card are of different countries",
    "address_merchant_mismatch": "1 where the network address and the merchant are of different countries",
    "card_merchant_mismatch": "1 where the card and the merchant are of different countries",
    "sign_emulator": "1 where the device looks emulated",
    "sign_vpn": "1 where the device hides where it is",
    "sign_rooted": "1 where the device is rooted",
    "sign_time_zone": "1 where the device's clock is not of the country of its address",
    "sign_headless": "1 where no person seems to hold the device",
    "device_trust": "trust in this device for this card (or customer), 0 to 1: age, proofs, sharing, signs",
}

_WINDOWED = {
    "count": "payments",
    "sum": "sum of amounts",
    "mean": "mean amount",
    "declines": "payments known to be declined",
    "decline_share": "share of earlier payments known to be declined, 0 without any",
    "spree_max": "highest ratio of an earlier payment, 0 without any",
    "spree_count": "earlier payments of more than 2.5 times the usual amount",
    "spree_share": "share of payments of more than 2.5 times the usual amount",
    "known_fraud": "payments known to be fraud by now, however young,",
    "matured": "payments old enough for their labels",
    "risk": "share of known fraud, 0 without payments",
    "fraud": "known frauds",
    "fraud_share": "share of known fraud, 0 without payments",
    "unexplained": "known frauds of an amount that was normal for the payer",
}
_LASTING = {
    "age_d": "days since the first payment",
    "gap_s": "seconds since the last payment, at most 30 days; 30 days at the first",
    "history": "earlier payments",
    "ratio": "amount over the usual amount, which is a mean that outliers cannot drag",
    "ratio_to_max": "amount over the highest earlier one",
    "z": "amount less the mean, in standard deviations",
    "mean": "usual amount",
    "velocity_kmh": "speed needed to get here from where the last payment came from",
    "streak": "known frauds in a row, up to the youngest payment old enough for its label",
    "streak_age_d": "days since that row began, 99 without one",
    "since_fraud_d": "days since the last known fraud, at most 99; 99 without one",
    "since_clean_d": "days since the last payment not known to be fraud, at most 99; 99 without one",
    "decayed_rate": "rate of known fraud, each payment weighted by half per 7 days, towards 1 %",
    "unexplained_age_d": "days since a row of unexplained frauds began, 99 without one",
    "labelled": "payments ever old enough for their labels",
}
_LABELLED = {"matured", "risk", "fraud", "fraud_share", "unexplained"}
_LABEL_STATE = {
    "streak",
    "streak_age_d",
    "since_fraud_d",
    "since_clean_d",
    "decayed_rate",
    "unexplained_age_d",
    "labelled",
}

_ALWAYS = ("count_1h", "count_6h", "count_1d", "count_7d", "count_30d", "age_d", "gap_s", "history")
_DECLINES = ("declines_1h", "declines_1d", "decline_share_7d")
_PAYER = (
    *("mean_1d", "mean_7d", "mean_30d", "sum_1d", "ratio", "ratio_to_max", "z", "mean"),
    *("spree_max_14d", "spree_count_14d", "spree_share_14d", "velocity_kmh"),
    *("fraud_14d", "fraud_share_14d", "since_fraud_d", "known_fraud_30d"),
    *_DECLINES,
)
_OTHERS = ("sum_1d", "fraud_30d", "risk_30d", "decayed_rate", "since_fraud_d", "known_fraud_30d")
_DECLARED: dict[Entity, tuple[str, ...]] = {
    Entity.CUSTOMER: _PAYER,
    Entity.CARD: _PAYER,
    Entity.DEVICE: (*_OTHERS, *_DECLINES),
    Entity.MERCHANT: (
        *("mean_7d", "mean_30d", "ratio", "z", "mean", "declines_1h", "declines_1d"),
        *("matured_1d", "matured_7d", "matured_30d", "risk_1d", "risk_7d", "risk_30d"),
        *("streak", "streak_age_d", "since_fraud_d", "since_clean_d", "decayed_rate"),
        *("unexplained_28d", "unexplained_age_d", "labelled", "known_fraud_30d"),
    ),
    Entity.ADDRESS: (*_OTHERS, *_DECLINES),
    Entity.EMAIL_DOMAIN: ("risk_30d", "decayed_rate"),
    Entity.BENEFICIARY: (*_OTHERS, "mean_30d"),
}
"""Beyond what every entity has."""
_PAIRS_SHOWN = (
    Pair.CUSTOMER_MERCHANT,
    Pair.CARD_DEVICE,
    Pair.CARD_MERCHANT,
    Pair.CUSTOMER_DEVICE,
    Pair.CUSTOMER_ADDRESS,
    Pair.CUSTOMER_BENEFICIARY,
)


def span(window_s: int) -> str:
    """Return a window as names of features write it: ``1h``, ``30d``."""
    return _SPANS[window_s]


def entity_name(entity: Entity) -> str:
    """Return an entity as names of features begin: ``customer``, ``email_domain``."""
    return entity.name.lower()


def _of_entity(entity: Entity, short: str) -> Feature:
    """Return the feature that ``short`` ("count_1h", "age_d") names for an entity."""
    stem, _, tail = short.rpartition("_")
    window_s = {text: seconds for seconds, text in _SPANS.items()}.get(tail, 0)
    name = f"{entity_name(entity)}_{short}"
    of = f"of the {entity_name(entity).replace('_', ' ')}"
    if not window_s:
        delay_s = LABEL_DELAY_S if short in _LABEL_STATE else 0
        return Feature(name, entity, short, 0, delay_s, f"{_LASTING[short]}, {of}")
    delay_s = LABEL_DELAY_S if stem in _LABELLED else 0
    what = f"{_WINDOWED[stem]} {of} in {tail}" + (f", {delay_s // DAY_S} days ago" if delay_s else "")
    return Feature(name, entity, stem, window_s, delay_s, what)


def _of_distinct(distinct: Distinct) -> Feature:
    entity, tail = entity_name(distinct.entity), span(distinct.window_s)
    what = f"different {distinct.partners} of the {entity} in {tail}"
    name = f"{entity}_{distinct.partners}_{tail}"
    return Feature(name, distinct.entity, distinct.partners, distinct.window_s, 0, what)


def _of_pair(pair: Pair) -> tuple[Feature, Feature]:
    name = f"pair_{pair.name.lower()}"
    one, _, other = pair.name.lower().partition("_")
    return (
        Feature(name, pair, "count", 0, 0, f"earlier payments of this {one} with this {other}"),
        Feature(f"{name}_age_d", pair, "age_d", 0, 0, f"days since this {one} and this {other} first met"),
    )


def _declared() -> tuple[Feature, ...]:
    found = [Feature(name, None, name, 0, 0, what) for name, what in PAYMENT_FEATURES.items()]
    for entity in Entity:
        found += [_of_entity(entity, short) for short in (*_ALWAYS, *_DECLARED[entity])]
        found += [_of_distinct(distinct) for distinct in DISTINCTS if distinct.entity == entity]
    for pair in _PAIRS_SHOWN:
        found += _of_pair(pair)
    return tuple(found)


FEATURES = _declared()
"""Every feature, in the order of the columns that models are trained on."""
NAMES = tuple(feature.name for feature in FEATURES)
BY_NAME = {feature.name: feature for feature in FEATURES}
