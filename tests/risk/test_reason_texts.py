import re

import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.registry import FEATURES, NAMES
from tongbao.risk.policy.feature_texts import feature_text
from tongbao.risk.policy.reason_texts import LANGUAGES, TEXTS, analyst_text, analyst_words, payer_text
from tongbao.risk.schema.reasons import Contribution, ReasonCode

HAN = re.compile(r"[\u4e00-\u9fff]")
TELLING_EN = re.compile(
    r"\b(fraud|risk|suspic|stolen|device|address|vpn|ip|limit|amount|declin|rule|model|score|list|velocity|often|"
    r"country|location|night|new|merchant|beneficiary|test|frozen|block)",
    re.IGNORECASE,
)
TELLING_ZH = re.compile(
    "风险|风控|欺诈|可疑|盗|设备|网络|限额|金额|拒绝|规则|模型|分数|名单|频繁|次数|国家|位置|夜|新|商户|试卡|冻结|拦截"
)
CALM = {ReasonCode.FAMILIAR, ReasonCode.LOW_RISK, ReasonCode.LISTED_ALLOWED, ReasonCode.PROVED}


def test_every_code_has_texts_in_both_languages() -> None:
    assert set(TEXTS) == set(ReasonCode)
    for payer_zh, payer_en, analyst_zh, analyst_en in TEXTS.values():
        assert HAN.search(payer_zh)
        assert HAN.search(analyst_zh)
        assert not HAN.search(payer_en + analyst_en)
        assert payer_zh.endswith("。")
        assert payer_en.endswith(".")


@pytest.mark.parametrize("code", list(ReasonCode))
def test_payer_text_of_any_code_says_what_to_do_and_nothing_that_was_noticed(code: ReasonCode) -> None:
    english, chinese = payer_text(code, "en"), payer_text(code, "zh")
    assert not TELLING_EN.search(english)
    assert not TELLING_ZH.search(chinese)
    if code not in CALM:
        assert "please" in english.lower()
        assert "请" in chinese


def test_analyst_texts_of_all_codes_are_told_apart() -> None:
    for language in LANGUAGES:
        assert len({analyst_words(code, language) for code in ReasonCode}) == len(ReasonCode)


def test_analyst_text_holds_the_numbers_behind() -> None:
    reason = Contribution(
        code=ReasonCode.AMOUNT_UNUSUAL,
        log_odds=1.234,
        features=(("card_ratio", 6.24), ("value", 123_450.0), ("merchant_risk_7d", 0.125)),
    )
    assert analyst_text(reason, "en") == (
        "The amount is unusual for this card, customer or merchant: card: amount over the usual one 6.2 times; "
        "amount 1,234.50; merchant: share of known fraud, 7d, 7 d ago 12.5 % (log-odds +1.23)."
    )
    assert analyst_text(reason, "zh-CN") == (
        "金额与该卡、客户或商户平时不同：卡金额与平时之比 6.2 倍；金额 1,234.50；商户近 7 天已知欺诈比例（7 天前） 12.5 %"
        "（对数几率 +1.23）。"
    )
    bare = Contribution(code=ReasonCode.NEW_PAIR, log_odds=-0.5)
    assert (
        analyst_text(bare, "en") == "Those who meet in this payment have hardly met before (log-odds -0.50)."
    )


def test_every_feature_has_words_in_both_languages() -> None:
    for language in LANGUAGES:
        texts = {name: feature_text(name, 1.5, language) for name in NAMES}
        assert len(set(texts.values())) == len(NAMES)
        assert not [name for name, text in texts.items() if "_" in name and name in text]
    assert not [f.name for f in FEATURES if not HAN.search(feature_text(f.name, 1.0, "zh"))]
    assert not [f.name for f in FEATURES if HAN.search(feature_text(f.name, 1.0, "en"))]


@pytest.mark.parametrize(
    ("name", "value", "english", "chinese"),
    [
        ("hour", 13.5, "time of day 13:30 UTC", "时刻 13:30 UTC"),
        ("night", 1.0, "at night yes", "夜间 是"),
        ("device_trust", 0.25, "trust in the device (0 to 1) 0.25", "设备信任度（0 至 1） 0.25"),
        ("card_age_d", 0.5, "card: known for 12.0 h", "卡首次出现至今 12.0 小时"),
        ("card_gap_s", 42.0, "card: since the last payment 42 s", "卡距上一笔付款 42 秒"),
        ("card_gap_s", 90.0, "card: since the last payment 1.5 min", "卡距上一笔付款 1.5 分钟"),
        (
            "card_velocity_kmh",
            1_234.4,
            "card: speed needed since the last payment 1,234 km/h",
            "卡距上一笔付款所需速度 1,234 km/h",
        ),
        ("device_cards_30d", 7.0, "device: different cards, 30d 7", "设备近 30 天不同卡数 7"),
        ("card_ratio", float("nan"), "card: amount over the usual one unknown", "卡金额与平时之比 未知"),
        ("no_such_feature", 2.0, "no_such_feature 2", "no_such_feature 2"),
    ],
)
def test_feature_text_formats_each_kind_of_number(
    name: str, value: float, english: str, chinese: str
) -> None:
    assert feature_text(name, value, "en") == english
    assert feature_text(name, value, "zh") == chinese


def test_texts_in_an_unknown_language_are_rejected() -> None:
    with pytest.raises(InvalidRequest, match="language_unknown"):
        payer_text(ReasonCode.RULE, "fr")
    with pytest.raises(InvalidRequest, match="language_unknown"):
        analyst_text(Contribution(code=ReasonCode.RULE, log_odds=0.0), "fr")
    with pytest.raises(InvalidRequest, match="language_unknown"):
        analyst_words(ReasonCode.RULE, "fr")
