"""Discoveries in words, English and Chinese: conditions of mined rules, kinds of customers, why a payment wants a label.

Pure functions; ``language`` is ``en``, ``zh`` or ``zh-CN``.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from tongbao.risk.models.associations import MinedRule
from tongbao.risk.models.clusters import Cluster
from tongbao.risk.models.registry import BY_NAME
from tongbao.risk.policy.feature_texts import COLUMNS, Words, feature_text

HOUR = "hour"
"""Of this name there are a feature and a signal; rules read the signal, whole hours."""
_FLAG = "1 where"
_UNKNOWN = (" unknown", " 未知")
_CONDITION = re.compile(r'(?P<name>\w+) (?:(?P<sign>>|<=) (?P<bound>-?[0-9.]+)|== "(?P<code>[^"]*)")')
_CODES: dict[str, Words] = {
    "method": ("method", "付款方式"),
    "currency": ("currency", "币种"),
    "card_country": ("country of the card", "发卡国家"),
    "address_country": ("country of the network address", "网络地址所在国家"),
    "merchant_country": ("country of the merchant", "商户国家"),
    "mcc": ("merchant category", "商户类别码"),
    "funding": ("kind of card", "卡类型"),
    "email_domain": ("e-mail domain", "邮箱域"),
}
_SIGNS: dict[str, Words] = {">": (" over ", "超过 "), "<=": (" at most ", "不超过 ")}
_ORDINARY: Words = ("average in everything", "各项平均")
_HIGH: Words = ("high: ", "偏高：")
_LOW: Words = ("low: ", "偏低：")


class Wish(NamedTuple):
    """Why a payment wants a label: rank and score in [0, 1], the ``cut``, what sets it apart with values."""

    rank: float
    score: float
    cut: float
    is_unsure: bool
    features: Sequence[tuple[str, float]]


def condition_text(when: str, language: str) -> str:
    """Return the conditions of a mined rule in words, such as ``card: payments, 1h over 5 and emulated device: yes``."""
    parts = [_one(found, language) for found in _CONDITION.finditer(when)]
    return (" and ", "，且")[COLUMNS[language]].join(parts)


def rule_text(mined: MinedRule, language: str) -> str:
    """Return what a mined rule says and how often it was right, in one sentence."""
    said = condition_text(mined.text, language)
    share, lift = f"{mined.precision.value:.1%}", f"{mined.lift.value:.1f}"
    if COLUMNS[language]:
        return (
            f"{said}：较新的付款中命中 {mined.count:,} 笔，其中 {mined.fraud_count:,} 笔为欺诈（{share}），"
            f"是平均水平的 {lift} 倍"
        )
    return (
        f"{said}: of {mined.count:,} newer payments that match {mined.fraud_count:,} are fraud ({share}), "
        f"{lift} times the usual share"
    )


def cluster_text(cluster: Cluster, language: str) -> str:
    """Return what sets a kind of customers apart, such as ``high: customer: payments, 30d (+3.1)``."""
    at = COLUMNS[language]
    parts = [
        f"{(_LOW if each.z < 0 else _HIGH)[at]}{_label(each.name, language)} ({each.z:+.1f})"
        for each in cluster.deviations
    ]
    return ("; ", "；")[at].join(parts) or _ORDINARY[at]


def wish_text(wish: Wish, language: str) -> str:
    """Return why a payment wants a label, in one or two sentences."""
    at = COLUMNS[language]
    # What is more unusual than all of them is still not more than a sample can tell.
    share = f"{math.floor(min(wish.rank, 0.999) * 1000) / 10:.1f} %"
    said = (f"more unusual than {share} of good payments", f"比 {share} 的正常付款更不寻常")[at]
    shown = [feature_text(name, value, language) for name, value in wish.features]
    if shown:
        said += (": ", "：")[at] + ("; ", "；")[at].join(shown)
    if wish.is_unsure:
        score, cut = f"{wish.score:.2%}", f"{wish.cut:.2%}"
        said += (
            f". The model is unsure: {score}, and the tier changes at {cut}",
            f"。模型难以判断：评分 {score}，处置档次在 {cut} 处改变",
        )[at]
    return said


def _one(found: re.Match[str], language: str) -> str:
    """Return one condition in words."""
    at, name = COLUMNS[language], found["name"]
    if found["code"] is not None:
        return (f"{_CODES[name][0]} {found['code']}", f"{_CODES[name][1]}为 {found['code']}")[at]
    bound, is_over = float(found["bound"]), found["sign"] == ">"
    label = _label(name, language)
    if BY_NAME[name].description.startswith(_FLAG):
        value = feature_text(name, float(is_over), language).removeprefix(f"{label} ")
        return f"{label}{(': ', '：')[at]}{value}"
    if name == HOUR:
        # Over three o'clock in whole hours begins at four, and at most three ends there.
        clock = feature_text(name, math.floor(bound) + 1.0, language).removeprefix(f"{label} ")
        return (
            (f"{label} before {clock}", f"{label} from {clock}"),
            (f"{label}早于 {clock}", f"{label}不早于 {clock}"),
        )[at][is_over]
    value = feature_text(name, bound, language).removeprefix(f"{label} ")
    return f"{label}{_SIGNS[found['sign']][at]}{value}"


def _label(name: str, language: str) -> str:
    """Return what a feature is called: its text without a value."""
    return feature_text(name, math.nan, language).removesuffix(_UNKNOWN[COLUMNS[language]])
