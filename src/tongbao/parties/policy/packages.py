"""What the service packages hold: features, and prices by method and currency.

The prices are list prices of the demonstration house in the order of the field's; they are data to be edited, no
source is claimed. A currency without a price of its own falls under ``OTHER``, which has no fixed part, since an
amount of minor units means nothing without its currency.
"""

from collections.abc import Iterable, Mapping

from tongbao.core.money import Rounding
from tongbao.parties.schema import Feature, Package, PricedMethod, Rate

F = Feature
OTHER = "***"

_BASIC = frozenset({F.CARDS, F.ALIPAY, F.WECHAT_PAY, F.WALLET, F.PAYMENT_LINKS})
_ECOMMERCE = _BASIC | {F.MANUAL_CAPTURE, F.MANDATES, F.MARKETING, F.EXPERIMENTS}

FEATURES: Mapping[Package, frozenset[Feature]] = {
    Package.BASIC: _BASIC,
    Package.ECOMMERCE: _ECOMMERCE,
    Package.ENTERPRISE: _ECOMMERCE | {F.MULTIPLE_CAPTURE, F.SPLITS, F.SUB_MERCHANTS, F.CUSTOM_ROUTING},
}


def _rate(bps: int, fixed_minor: int = 0) -> Rate:
    return Rate(bps, fixed_minor, Rounding.HALF_UP)


RATES: Mapping[Package, Mapping[tuple[PricedMethod, str], Rate]] = {
    Package.BASIC: {
        (PricedMethod.CARDS, "CNY"): _rate(60),
        (PricedMethod.CARDS, "USD"): _rate(290, 30),
        (PricedMethod.CARDS, "EUR"): _rate(250, 25),
        (PricedMethod.CARDS, "JPY"): _rate(325),
        (PricedMethod.CARDS, OTHER): _rate(340),
        (PricedMethod.ALIPAY, "CNY"): _rate(60),
        (PricedMethod.ALIPAY, OTHER): _rate(220),
        (PricedMethod.WECHAT_PAY, "CNY"): _rate(60),
        (PricedMethod.WECHAT_PAY, OTHER): _rate(220),
        (PricedMethod.WALLET, OTHER): _rate(30),
    },
    Package.ECOMMERCE: {
        (PricedMethod.CARDS, "CNY"): _rate(55),
        (PricedMethod.CARDS, "USD"): _rate(270, 30),
        (PricedMethod.CARDS, "EUR"): _rate(220, 25),
        (PricedMethod.CARDS, "JPY"): _rate(310),
        (PricedMethod.CARDS, OTHER): _rate(320),
        (PricedMethod.ALIPAY, "CNY"): _rate(55),
        (PricedMethod.ALIPAY, OTHER): _rate(200),
        (PricedMethod.WECHAT_PAY, "CNY"): _rate(55),
        (PricedMethod.WECHAT_PAY, OTHER): _rate(200),
        (PricedMethod.WALLET, OTHER): _rate(25),
    },
    Package.ENTERPRISE: {
        (PricedMethod.CARDS, "CNY"): _rate(38),
        (PricedMethod.CARDS, "USD"): _rate(220, 20),
        (PricedMethod.CARDS, "EUR"): _rate(180, 20),
        (PricedMethod.CARDS, "JPY"): _rate(280),
        (PricedMethod.CARDS, OTHER): _rate(280),
        (PricedMethod.ALIPAY, "CNY"): _rate(38),
        (PricedMethod.ALIPAY, OTHER): _rate(160),
        (PricedMethod.WECHAT_PAY, "CNY"): _rate(38),
        (PricedMethod.WECHAT_PAY, OTHER): _rate(160),
        (PricedMethod.WALLET, OTHER): _rate(15),
    },
}


def feature_allowed(
    package: Package, feature: Feature, overrides: Mapping[Feature, bool] | None = None
) -> bool:
    """Return whether a merchant may use a feature; its own override comes before its package."""
    return (overrides or {}).get(feature, feature in FEATURES[package])


def features(package: Package, overrides: Mapping[Feature, bool]) -> frozenset[Feature]:
    """Return everything that a merchant may use."""
    return frozenset(feature for feature in Feature if feature_allowed(package, feature, overrides))


def rate(package: Package, method: PricedMethod, currency: str) -> Rate:
    """Return the price of a payment by this method in this currency; every package prices every method."""
    prices = RATES[package]
    return prices.get((method, currency)) or prices[method, OTHER]


def priced(package: Package) -> Iterable[PricedMethod]:
    """Return the methods of the package that payers can be offered."""
    return tuple(method for method in PricedMethod if Feature(method.value) in FEATURES[package])
