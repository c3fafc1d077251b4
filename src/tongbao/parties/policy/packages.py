"""What the service packages hold: features. What a package costs stands in the price lists of clearing, and only there."""

from collections.abc import Mapping

from tongbao.parties.schema import Feature, Package

F = Feature

_BASIC = frozenset({F.CARDS, F.ALIPAY, F.WECHAT_PAY, F.WALLET, F.PAYMENT_LINKS})
_ECOMMERCE = _BASIC | {F.MANUAL_CAPTURE, F.MANDATES, F.MARKETING, F.EXPERIMENTS}

FEATURES: Mapping[Package, frozenset[Feature]] = {
    Package.BASIC: _BASIC,
    Package.ECOMMERCE: _ECOMMERCE,
    Package.ENTERPRISE: _ECOMMERCE | {F.MULTIPLE_CAPTURE, F.SPLITS, F.SUB_MERCHANTS, F.CUSTOM_ROUTING},
}


def feature_allowed(
    package: Package, feature: Feature, overrides: Mapping[Feature, bool] | None = None
) -> bool:
    """Return whether a merchant may use a feature; its own override comes before its package."""
    return (overrides or {}).get(feature, feature in FEATURES[package])


def features(package: Package, overrides: Mapping[Feature, bool]) -> frozenset[Feature]:
    """Return everything that a merchant may use."""
    return frozenset(feature for feature in Feature if feature_allowed(package, feature, overrides))
