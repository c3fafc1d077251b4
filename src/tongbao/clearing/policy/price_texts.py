"""A charge in words, in English and Chinese: what it is for, what it costs, and on what terms."""

from collections.abc import Mapping

from tongbao.clearing.schema.fees import (
    RATE_WHOLE,
    Basis,
    Bearer,
    Charge,
    Match,
    OnRefund,
    Tier,
    TierMode,
)
from tongbao.core.money import Money

_PERCENT = RATE_WHOLE // 100
_BEARERS = {
    Bearer.MERCHANT: ("paid by the merchant", "商户承担"),
    Bearer.HOUSE: ("paid by the house", "平台承担"),
    Bearer.AGENT: ("paid to the agent", "支付给代理商"),
}
_MATCHES = {
    "kinds": ("for", "适用于"),
    "methods": ("method", "支付方式"),
    "channels": ("channel", "渠道"),
    "brands": ("brand", "卡组织"),
    "fundings": ("funding", "卡种"),
    "regions": ("region", "地区"),
    "currencies": ("currency", "币种"),
    "stores": ("store", "门店"),
    "packages": ("package", "套餐"),
    "mccs": ("category", "商户类别"),
}
_TERMS: dict[str, tuple[str, str]] = {
    "bearer": ("borne", "承担方"),
    "price": ("price", "价格"),
    "steps": ("steps", "阶梯方式"),
    "bounds": ("bounds", "上下限"),
    "free": ("free volume", "免费额度"),
    "tax": ("tax", "税"),
    "refund": ("on refund", "退款时"),
    "rounding": ("rounding", "舍入"),
}
"""The terms of a charge that may change under one match, in the order in which they are told."""


def term_name(term: str, language: str) -> str:
    """Return the name of a term."""
    return _TERMS[term][_column(language)]


def terms_of(charge: Charge, language: str) -> dict[str, str]:
    """Return the terms of a charge in words, by name and in order; empty where there is nothing to say."""
    at = _column(language)
    return {
        "bearer": _BEARERS[charge.bearer][at],
        "price": _price(charge, at),
        "steps": _steps(charge, at),
        "bounds": _bounds(charge, at),
        "free": _amounts(charge.free_minor),
        "tax": _tax(charge, at),
        "refund": (("returned", "退还") if charge.on_refund is OnRefund.RETURNED else ("kept", "不退"))[at],
        "rounding": charge.rounding.value.removeprefix("ROUND_").lower().replace("_", " "),
    }


def place_text(charge: Charge, language: str) -> str:
    """Return a charge's name with what it is for: ``card_processing (for sale; currency CNY)``."""
    at = _column(language)
    said = [
        f"{words[at]} {'/'.join(getattr(charge.match, name))}"
        for name, words in _MATCHES.items()
        if getattr(charge.match, name)
    ]
    said += _range(charge.match, at)
    if charge.from_on is not None:
        said.append((f"from {charge.from_on}", f"自 {charge.from_on} 起")[at])
    if charge.until_on is not None:
        said.append((f"before {charge.until_on}", f"至 {charge.until_on} 前")[at])
    return f"{charge.name} ({'; '.join(said)})" if at == 0 else f"{charge.name}（{'；'.join(said)}）"


def charge_text(charge: Charge, language: str) -> str:
    """Return a whole charge in one sentence without its end."""
    at = _column(language)
    terms = terms_of(charge, language)
    said = [terms["bearer"], terms["price"]]
    said += [f"{term_name(name, language)} {terms[name]}" for name in list(_TERMS)[2:] if terms[name]]
    return f"{place_text(charge, language)}{(': ', '：')[at]}{('; ', '；')[at].join(said)}"


def rate_text(rate_e6: int) -> str:
    """Return a rate in percent, exactly: 3800 is ``0.38 %``."""
    whole, rest = divmod(rate_e6, _PERCENT)
    decimals = f"{rest:04}".rstrip("0")
    return f"{whole}.{decimals} %" if decimals else f"{whole} %"


def _price(charge: Charge, at: int) -> str:
    of_fee = (" of the fee", "（按手续费计）")[at] if charge.basis is Basis.FEE else ""
    steps = []
    for tier in charge.tiers:
        text = f"{_tier(tier)}{of_fee}"
        if tier.from_minor:
            start = _minor(tier.from_minor, charge.match.currencies)
            text = (f"from {start} a month {text}", f"月交易额满 {start} 起 {text}")[at]
        steps.append(text)
    return (", ", "，")[at].join(steps)


def _tier(tier: Tier) -> str:
    fixed = _amounts(tier.fixed_minor)
    if tier.rate_e6 or not fixed:
        return f"{rate_text(tier.rate_e6)} + {fixed}" if fixed else rate_text(tier.rate_e6)
    return fixed


def _steps(charge: Charge, at: int) -> str:
    if len(charge.tiers) == 1:
        return ""
    if charge.tier_mode is TierMode.MARGINAL:
        return ("for the part in each step", "分段累进")[at]
    return ("for the whole movement", "全额适用")[at]


def _bounds(charge: Charge, at: int) -> str:
    said = []
    if charge.min_minor:
        said.append(f"{('at least', '最低')[at]} {_amounts(charge.min_minor)}")
    if charge.max_minor:
        said.append(f"{('at most', '最高')[at]} {_amounts(charge.max_minor)}")
    return (", ", "，")[at].join(said)


def _tax(charge: Charge, at: int) -> str:
    if not charge.tax_e6:
        return ""
    how = (("included", "on top"), ("含税", "另加"))[at][not charge.tax_included]
    return f"{charge.tax_name} {rate_text(charge.tax_e6)} {how}".strip()


def _range(match: Match, at: int) -> list[str]:
    said = []
    if match.amount_from_minor is not None:
        start = _minor(match.amount_from_minor, match.currencies)
        said.append((f"amount from {start}", f"金额 {start} 起")[at])
    if match.amount_to_minor is not None:
        end = _minor(match.amount_to_minor, match.currencies)
        said.append((f"amount below {end}", f"金额低于 {end}")[at])
    return said


def _minor(amount_minor: int, currencies: tuple[str, ...]) -> str:
    return "/".join(str(Money(amount_minor, currency)) for currency in currencies)


def _amounts(amounts: Mapping[str, int]) -> str:
    return "/".join(str(Money(minor, currency)) for currency, minor in sorted(amounts.items()))


def _column(language: str) -> int:
    return int(language.startswith("zh"))
