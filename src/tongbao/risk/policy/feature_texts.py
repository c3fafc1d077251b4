"""Features in words and numbers for analysts, in English and Chinese: "card: amount over the usual one 6.2 times"."""

import math
from collections.abc import Callable

from tongbao.risk.models.registry import BY_NAME, DAY_S, HOUR_S, Feature, Pair, span
from tongbao.risk.schema.signals import Entity

Words = tuple[str, str]
"""English, Chinese."""
COLUMNS = {"en": 0, "zh": 1, "zh-CN": 1}
"""Where the words of a language stand."""

ENTITIES: dict[Entity, Words] = {
    Entity.CUSTOMER: ("customer", "客户"),
    Entity.CARD: ("card", "卡"),
    Entity.DEVICE: ("device", "设备"),
    Entity.MERCHANT: ("merchant", "商户"),
    Entity.ADDRESS: ("network address", "网络地址"),
    Entity.EMAIL_DOMAIN: ("e-mail domain", "邮箱域"),
    Entity.BENEFICIARY: ("beneficiary", "收款方"),
}
_PAIRS: dict[Pair, Words] = {
    Pair.CUSTOMER_MERCHANT: ("customer and merchant", "客户与商户"),
    Pair.CARD_DEVICE: ("card and device", "卡与设备"),
    Pair.CARD_MERCHANT: ("card and merchant", "卡与商户"),
    Pair.CUSTOMER_DEVICE: ("customer and device", "客户与设备"),
    Pair.CUSTOMER_ADDRESS: ("customer and network address", "客户与网络地址"),
    Pair.CUSTOMER_CARD: ("customer and card", "客户与卡"),
    Pair.CARD_ADDRESS: ("card and network address", "卡与网络地址"),
    Pair.CUSTOMER_BENEFICIARY: ("customer and beneficiary", "客户与收款方"),
    Pair.CARD_COUNTRY: ("card and country", "卡与国家"),
}


def _number(value: float, _: str) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _money(value: float, _: str) -> str:
    return f"{value / 100:,.2f}"


def _share(value: float, _: str) -> str:
    return f"{100 * value:.1f} %"


def _times(value: float, language: str) -> str:
    return f"{value:.1f} 倍" if COLUMNS[language] else f"{value:.1f} times"


def _speed(value: float, _: str) -> str:
    return f"{value:,.0f} km/h"


def _score(value: float, _: str) -> str:
    return f"{value:.2f}"


def _clock(value: float, _: str) -> str:
    minutes = int(value * 60) % 1_440
    return f"{minutes // 60:02d}:{minutes % 60:02d} UTC"


def _days(value: float, language: str) -> str:
    return _seconds(value * DAY_S, language)


def _seconds(value: float, language: str) -> str:
    for size, words in ((DAY_S, ("d", "天")), (HOUR_S, ("h", "小时")), (60, ("min", "分钟"))):
        if value >= size:
            return f"{value / size:.1f} {words[COLUMNS[language]]}"
    return f"{value:.0f} {('s', '秒')[COLUMNS[language]]}"


def _yes(value: float, language: str) -> str:
    return (("no", "否"), ("yes", "是"))[value >= 0.5][COLUMNS[language]]


Format = Callable[[float, str], str]
_OF_PAYMENT: dict[str, tuple[str, str, Format]] = {
    "value": ("amount", "金额", _money),
    "is_round": ("round amount", "整数金额", _yes),
    "hour": ("time of day", "时刻", _clock),
    "night": ("at night", "夜间", _yes),
    "weekend": ("at the weekend", "周末", _yes),
    "recurring": ("standing permission", "免密代扣", _yes),
    "address_card_mismatch": (
        "network address and card of different countries",
        "网络地址与卡不在同一国家",
        _yes,
    ),
    "address_merchant_mismatch": (
        "network address and merchant of different countries",
        "网络地址与商户不在同一国家",
        _yes,
    ),
    "card_merchant_mismatch": ("card and merchant of different countries", "卡与商户不在同一国家", _yes),
    "sign_emulator": ("emulated device", "模拟器", _yes),
    "sign_vpn": ("hidden network location", "网络位置被隐藏", _yes),
    "sign_rooted": ("rooted device", "设备已越狱或提权", _yes),
    "sign_time_zone": ("device clock of another country", "设备时区与网络位置不符", _yes),
    "sign_headless": ("no person at the device", "疑似无人操作", _yes),
    "device_trust": ("trust in the device (0 to 1)", "设备信任度（0 至 1）", _score),
}
_KINDS: dict[str, tuple[str, str, Format]] = {
    "count": ("payments", "付款笔数", _number),
    "sum": ("sum paid", "付款合计", _money),
    "mean": ("usual amount", "平均金额", _money),
    "declines": ("declined payments", "被拒笔数", _number),
    "decline_share": ("share declined", "被拒比例", _share),
    "spree_max": ("largest amount over the usual one", "最大金额与平时之比", _times),
    "spree_count": ("unusually large payments", "异常大额笔数", _number),
    "spree_share": ("share of unusually large payments", "异常大额比例", _share),
    "matured": ("payments with known truth", "已知结果的笔数", _number),
    "risk": ("share of known fraud", "已知欺诈比例", _share),
    "fraud": ("known frauds", "已知欺诈笔数", _number),
    "known_fraud": ("frauds known by now", "目前已知欺诈笔数", _number),
    "fraud_share": ("share of known fraud", "已知欺诈比例", _share),
    "unexplained": ("frauds of ordinary amounts", "金额正常的欺诈笔数", _number),
    "age_d": ("known for", "首次出现至今", _days),
    "gap_s": ("since the last payment", "距上一笔付款", _seconds),
    "history": ("earlier payments", "历史付款笔数", _number),
    "ratio": ("amount over the usual one", "金额与平时之比", _times),
    "ratio_to_max": ("amount over the highest earlier one", "金额与历史最高之比", _times),
    "z": ("amount above the mean, in standard deviations", "金额偏离均值的标准差数", _number),
    "velocity_kmh": ("speed needed since the last payment", "距上一笔付款所需速度", _speed),
    "streak": ("known frauds in a row", "连续已知欺诈笔数", _number),
    "streak_age_d": ("known frauds in a row since", "连续欺诈始于", _days),
    "since_fraud_d": ("since the last known fraud", "距上一笔已知欺诈", _days),
    "since_clean_d": ("since the last clean payment", "距上一笔正常付款", _days),
    "decayed_rate": ("recent rate of known fraud", "近期已知欺诈率", _share),
    "unexplained_age_d": ("frauds of ordinary amounts since", "金额正常的欺诈始于", _days),
    "labelled": ("payments ever with known truth", "累计已知结果的笔数", _number),
    "cards": ("different cards", "不同卡数", _number),
    "devices": ("different devices", "不同设备数", _number),
    "merchants": ("different merchants", "不同商户数", _number),
    "customers": ("different customers", "不同客户数", _number),
    "countries": ("different countries", "不同国家数", _number),
}


def feature_text(name: str, value: float, language: str) -> str:
    """Return a feature with its value for analysts; ``language`` is ``en``, ``zh`` or ``zh-CN``.

    A name that the registry does not declare is shown as it is, an unknown value as such.
    """
    label, form = _label(name, language)
    if not math.isfinite(value):
        return f"{label} {('unknown', '未知')[COLUMNS[language]]}"
    return f"{label} {form(value, language)}"


def feature_words(name: str, language: str) -> str:
    """Return what a feature is, without a value; a name that the registry does not declare as it is."""
    return _label(name, language)[0]


def _label(name: str, language: str) -> tuple[str, Format]:
    feature = BY_NAME.get(name)
    if feature is None:
        return name, _number
    column = COLUMNS[language]
    if feature.source is None:
        english, chinese, form = _OF_PAYMENT[name]
        return (english, chinese)[column], form
    return (_zh(feature) if column else _en(feature)), _KINDS[feature.aggregation][2]


def _en(feature: Feature) -> str:
    kind = _KINDS[feature.aggregation][0]
    if isinstance(feature.source, Pair):
        return f"{_PAIRS[feature.source][0]} together: {kind}"
    assert feature.source is not None, "features of the payment itself have words of their own"
    window = f", {span(feature.window_s)}" if feature.window_s else ""
    late = f", {feature.delay_s // DAY_S} d ago" if feature.delay_s and feature.window_s else ""
    return f"{ENTITIES[feature.source][0]}: {kind}{window}{late}"


def _zh(feature: Feature) -> str:
    kind = _KINDS[feature.aggregation][1]
    if isinstance(feature.source, Pair):
        return f"{_PAIRS[feature.source][1]}同时出现：{kind}"
    assert feature.source is not None, "features of the payment itself have words of their own"
    spans = span(feature.window_s).replace("h", " 小时").replace("d", " 天") if feature.window_s else ""
    late = f"（{feature.delay_s // DAY_S} 天前）" if feature.delay_s and feature.window_s else ""
    return f"{ENTITIES[feature.source][1]}{f'近 {spans}' if spans else ''}{kind}{late}"
