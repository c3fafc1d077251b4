"""From what features add to the reasons people speak of: every feature of the registry belongs to one code.

Contributions of features are log-odds and sum to the score, so those of their groups do too. A group that speaks
against a payment is shown under its code; all that speaks for it is one thing, that the payment looks familiar.

The table goes by kind of feature, with exceptions by whose history it is; a feature of the payment itself has a line of
its own. Which code a feature has does not change while decisions that name it are kept.
"""

import math
from collections import defaultdict

from tongbao.risk.models.contributions import Explanation
from tongbao.risk.models.registry import FEATURES, Feature
from tongbao.risk.schema.reasons import Contribution, ReasonCode
from tongbao.risk.schema.signals import Entity

FEATURES_SHOWN_MAX = 3
"""Behind one reason."""
LOG_ODDS_MIN = 0.01
"""Less than this is no reason: it moves a chance by a hundredth of itself."""

_OF_PAYMENT = {
    "value": ReasonCode.AMOUNT_HIGH,
    "is_round": ReasonCode.AMOUNT_UNUSUAL,
    "hour": ReasonCode.TIME_UNUSUAL,
    "night": ReasonCode.TIME_UNUSUAL,
    "weekend": ReasonCode.TIME_UNUSUAL,
    "recurring": ReasonCode.NEW_PAIR,
    "address_card_mismatch": ReasonCode.GEO_MISMATCH,
    "address_merchant_mismatch": ReasonCode.GEO_MISMATCH,
    "card_merchant_mismatch": ReasonCode.GEO_MISMATCH,
    "sign_time_zone": ReasonCode.GEO_MISMATCH,
    "sign_emulator": ReasonCode.DEVICE_UNTRUSTED,
    "sign_vpn": ReasonCode.DEVICE_UNTRUSTED,
    "sign_rooted": ReasonCode.DEVICE_UNTRUSTED,
    "sign_headless": ReasonCode.DEVICE_UNTRUSTED,
    "device_trust": ReasonCode.DEVICE_UNTRUSTED,
}
_ALL_OF = {
    Entity.EMAIL_DOMAIN: ReasonCode.EMAIL_RISKY,
    Entity.BENEFICIARY: ReasonCode.BENEFICIARY_RISKY,
}
_BY_KIND = {
    **dict.fromkeys(("mean", "ratio", "ratio_to_max", "z"), ReasonCode.AMOUNT_UNUSUAL),
    **dict.fromkeys(("spree_max", "spree_count", "spree_share"), ReasonCode.SPREE),
    **dict.fromkeys(("declines", "decline_share"), ReasonCode.DECLINES_BEFORE),
    **dict.fromkeys(("velocity_kmh", "countries"), ReasonCode.GEO_VELOCITY),
    **dict.fromkeys(
        ("matured", "risk", "fraud", "fraud_share", "unexplained", "labelled"), ReasonCode.FRAUD_BEFORE
    ),
    **dict.fromkeys(("streak", "streak_age_d", "since_fraud_d", "since_clean_d"), ReasonCode.FRAUD_BEFORE),
    **dict.fromkeys(("decayed_rate", "unexplained_age_d", "known_fraud"), ReasonCode.FRAUD_BEFORE),
}
"""Whatever the entity, but for the exceptions."""
_EXCEPTIONS = {
    **{
        (Entity.MERCHANT, kind): ReasonCode.MERCHANT_UNDER_SUSPICION
        for kind, code in _BY_KIND.items()
        if code == ReasonCode.FRAUD_BEFORE
    },
    (Entity.MERCHANT, "declines"): ReasonCode.CARD_TESTING,
    (Entity.MERCHANT, "decline_share"): ReasonCode.CARD_TESTING,
    (Entity.MERCHANT, "cards"): ReasonCode.CARD_TESTING,
    (Entity.ADDRESS, "declines"): ReasonCode.CARD_TESTING,
    (Entity.ADDRESS, "decline_share"): ReasonCode.CARD_TESTING,
    (Entity.ADDRESS, "cards"): ReasonCode.CARD_TESTING,
    (Entity.CUSTOMER, "cards"): ReasonCode.CARD_TESTING,
    (Entity.CUSTOMER, "devices"): ReasonCode.NEW_DEVICE,
    (Entity.CARD, "devices"): ReasonCode.NEW_DEVICE,
    (Entity.DEVICE, "cards"): ReasonCode.DEVICE_SHARED,
    (Entity.DEVICE, "customers"): ReasonCode.DEVICE_SHARED,
    (Entity.CUSTOMER, "age_d"): ReasonCode.NEW_CUSTOMER,
    (Entity.CUSTOMER, "history"): ReasonCode.NEW_CUSTOMER,
    (Entity.CARD, "age_d"): ReasonCode.NEW_CARD,
    (Entity.CARD, "history"): ReasonCode.NEW_CARD,
    (Entity.DEVICE, "age_d"): ReasonCode.NEW_DEVICE,
    (Entity.DEVICE, "history"): ReasonCode.NEW_DEVICE,
}
_REST_OF = {
    Entity.CUSTOMER: ReasonCode.BURST_CUSTOMER,
    Entity.CARD: ReasonCode.BURST_CARD,
    Entity.DEVICE: ReasonCode.BURST_DEVICE,
    Entity.MERCHANT: ReasonCode.MERCHANT_UNDER_SUSPICION,
    Entity.ADDRESS: ReasonCode.BURST_ADDRESS,
}
"""Counts, sums, gaps and partners: how much an entity does."""


def code_of(feature: Feature) -> ReasonCode:
    """Return the code that a feature belongs to."""
    source, kind = feature.source, feature.aggregation
    if source is None:
        return _OF_PAYMENT[feature.name]
    if not isinstance(source, Entity):
        return ReasonCode.NEW_PAIR
    if source in _ALL_OF:
        return _ALL_OF[source]
    return _EXCEPTIONS.get((source, kind)) or _BY_KIND.get(kind) or _REST_OF[source]


CODES = {feature.name: code_of(feature) for feature in FEATURES}
"""The code of every feature of the registry."""


def against(explanation: Explanation, count_max: int) -> tuple[Contribution, ...]:
    """Return up to ``count_max`` reasons that speak against a payment, the heaviest first.

    Behind each stand the known features that add most to it; what is unknown has no value to show. A model trained on
    features that the registry no longer declares is explained without them.
    """
    found = [reason for reason in _grouped(explanation) if reason.log_odds >= LOG_ODDS_MIN]
    return tuple(found[:count_max])


def reasons(explanation: Explanation, count_max: int) -> tuple[Contribution, ...]:
    """Return ``against`` and behind it, where something speaks for the payment, all of that as ``FAMILIAR``."""
    groups = _grouped(explanation)
    favorable = [group for group in groups if group.log_odds < 0.0]
    total = math.fsum(group.log_odds for group in favorable)
    shown = against(explanation, count_max)
    if total > -LOG_ODDS_MIN:
        return shown
    names = [name for group in favorable for name, _ in group.features]
    parts = dict(zip(explanation.names, explanation.log_odds.tolist(), strict=True))
    values = dict(zip(explanation.names, explanation.values.tolist(), strict=True))
    behind = sorted(names, key=lambda name: (parts[name], name))[:FEATURES_SHOWN_MAX]
    familiar = Contribution(
        code=ReasonCode.FAMILIAR, log_odds=total, features=tuple((name, values[name]) for name in behind)
    )
    return (*shown, familiar)


def _grouped(explanation: Explanation) -> list[Contribution]:
    """Return what each code adds, from what speaks most against the payment to what speaks most for it."""
    parts: dict[ReasonCode, list[tuple[float, str, float]]] = defaultdict(list)
    rows = zip(explanation.names, explanation.values.tolist(), explanation.log_odds.tolist(), strict=True)
    for name, value, log_odds in rows:
        if name in CODES:
            parts[CODES[name]].append((log_odds, name, value))
    groups = [_group(code, members) for code, members in parts.items()]
    return sorted(groups, key=lambda group: (-group.log_odds, group.code))


def _group(code: ReasonCode, members: list[tuple[float, str, float]]) -> Contribution:
    total = math.fsum(log_odds for log_odds, _, _ in members)
    way = 1.0 if total >= 0.0 else -1.0
    behind = sorted(
        ((log_odds * way, name, value) for log_odds, name, value in members if log_odds * way > 0.0),
        key=lambda member: (-member[0], member[1]),
    )
    shown = [(name, value) for _, name, value in behind if not math.isnan(value)]
    return Contribution(code=code, log_odds=total, features=tuple(shown[:FEATURES_SHOWN_MAX]))
