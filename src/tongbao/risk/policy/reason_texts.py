"""What people read about a reason: the payer in kind words that say what to do, the analyst in plain ones with numbers.

Payers are never accused, and never told what was noticed: who steals cards reads these texts too. They say what the
payer can do now, nothing else. Analysts read what was noticed, with the features behind it.
"""

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.feature_texts import COLUMNS, feature_text
from tongbao.risk.schema.reasons import Contribution, ReasonCode

LANGUAGES = ("en", "zh-CN")
Texts = tuple[str, str, str, str]

_CONFIRM = (
    "为了保护您的账户，请按提示确认是您本人在付款；如果无法完成，请换一种支付方式或联系客服。",
    "To protect your account, please follow the steps to confirm that it is you; if you cannot, please choose another payment method or contact support.",
)
_LATER = (
    "这笔付款暂时无法完成，请稍后再试，或换一种支付方式。",
    "This payment cannot be completed right now. Please try again later, or choose another payment method.",
)
_WHOM = (
    "付款前请再次确认您认识并信任收款方；如有疑问，请先联系对方或客服。",
    "Before you pay, please make sure that you know and trust whom you pay; if in doubt, please contact them or our support first.",
)
_OTHER = (
    "这次未能用这种方式付款，请换一种支付方式或联系客服。",
    "This payment method cannot be used this time. Please choose another one, or contact support.",
)
_NOTHING = (
    "一切正常，您无需进行任何操作。",
    "All is well; there is nothing that you need to do.",
)

TEXTS: dict[ReasonCode, Texts] = {
    # reason: payer zh, payer en, analyst zh, analyst en
    ReasonCode.AMOUNT_UNUSUAL: (
        *_CONFIRM,
        "金额与该卡、客户或商户平时不同",
        "The amount is unusual for this card, customer or merchant",
    ),
    ReasonCode.AMOUNT_HIGH: (*_CONFIRM, "金额较高", "The amount is high"),
    ReasonCode.SPREE: (
        *_CONFIRM,
        "数日内出现多笔异常大额付款",
        "Several unusually large payments within days",
    ),
    ReasonCode.BURST_CARD: (*_LATER, "该卡付款异常密集", "The card pays unusually often or much"),
    ReasonCode.BURST_CUSTOMER: (*_LATER, "该客户付款异常密集", "The customer pays unusually often or much"),
    ReasonCode.BURST_DEVICE: (*_LATER, "该设备付款异常密集", "The device pays unusually often or much"),
    ReasonCode.BURST_ADDRESS: (
        *_LATER,
        "该网络地址付款异常密集",
        "Unusually many payments come from the network address",
    ),
    ReasonCode.DECLINES_BEFORE: (
        *_OTHER,
        "此前刚有付款被发卡行或渠道拒绝",
        "Issuers or channels declined payments just before",
    ),
    ReasonCode.CARD_TESTING: (*_LATER, "呈现批量试卡特征", "The pattern is that of cards being tested"),
    ReasonCode.NEW_CARD: (*_CONFIRM, "该卡首次出现或历史很短", "The card is new or has little history"),
    ReasonCode.NEW_CUSTOMER: (
        *_CONFIRM,
        "该客户首次出现或历史很短",
        "The customer is new or has little history",
    ),
    ReasonCode.NEW_DEVICE: (
        *_CONFIRM,
        "设备首次出现或频繁更换",
        "The device is new, or devices change often",
    ),
    ReasonCode.NEW_PAIR: (
        *_CONFIRM,
        "付款双方或其工具的组合此前少见",
        "Those who meet in this payment have hardly met before",
    ),
    ReasonCode.DEVICE_SHARED: (
        *_CONFIRM,
        "同一设备上有多张卡或多个客户",
        "Many cards or customers use the device",
    ),
    ReasonCode.DEVICE_UNTRUSTED: (
        *_CONFIRM,
        "设备信任度低或带有可疑迹象",
        "The device has earned little trust, or shows signs against it",
    ),
    ReasonCode.GEO_MISMATCH: (
        *_CONFIRM,
        "网络地址、卡、商户或时区所属国家不一致",
        "Countries of network address, card, merchant or device clock differ",
    ),
    ReasonCode.GEO_VELOCITY: (
        *_CONFIRM,
        "短时间内的位置变化不合常理",
        "The places of the last payments are too far apart",
    ),
    ReasonCode.MERCHANT_UNDER_SUSPICION: (
        *_WHOM,
        "该商户近期有已知欺诈或异常流量",
        "The merchant has known fraud or unusual traffic",
    ),
    ReasonCode.FRAUD_BEFORE: (
        *_CONFIRM,
        "该客户、卡、设备或网络地址曾有已知欺诈",
        "Known fraud of this customer, card, device or network address",
    ),
    ReasonCode.EMAIL_RISKY: (
        *_CONFIRM,
        "邮箱域的历史或流量可疑",
        "History or traffic of the e-mail domain speaks against it",
    ),
    ReasonCode.BENEFICIARY_RISKY: (
        *_WHOM,
        "收款方的历史或流量可疑",
        "History or traffic of the beneficiary speaks against it",
    ),
    ReasonCode.TIME_UNUSUAL: (*_CONFIRM, "付款时间特殊", "The time of the payment is unusual"),
    ReasonCode.FAMILIAR: (*_NOTHING, "以下情况支持这笔付款", "These speak for the payment"),
    ReasonCode.LISTED_BLOCKED: (*_OTHER, "命中拦截名单", "An entry of a block list matches"),
    ReasonCode.LISTED_ALLOWED: (*_NOTHING, "命中放行名单", "An entry of an allow list matches"),
    ReasonCode.ACCOUNT_FROZEN: (
        "为了保护您的账户，它目前暂停付款，请联系客服恢复使用。",
        "To protect your account, payments from it are paused. Please contact support to use it again.",
        "账户或相关主体被冻结，须双人复核后解冻",
        "The account, or somebody in the payment, is frozen; two people release it",
    ),
    ReasonCode.RULE: (*_CONFIRM, "命中规则", "A rule matches"),
    ReasonCode.PROVED: (
        "谢谢，已确认是您本人。",
        "Thank you, you confirmed that it is you.",
        "付款人已完成本人验证",
        "The payer proved who it is",
    ),
    ReasonCode.EXPLORED: (
        *_CONFIRM,
        "为学习效果而在相邻处置之间随机选择",
        "A neighboring tier was tried in order to learn",
    ),
    ReasonCode.LOW_RISK: (*_NOTHING, "未见风险", "Nothing speaks against the payment"),
    ReasonCode.UNAVAILABLE: (
        *_CONFIRM,
        "风控无法判断，已按策略的备用处置执行",
        "Risk control could not judge; the policy's fallback was applied",
    ),
}


def payer_text(code: ReasonCode, language: str) -> str:
    """Return what a payer reads; ``language`` is ``en``, ``zh`` or ``zh-CN``.

    Raises InvalidRequest ``language_unknown``.
    """
    return TEXTS[code][0 if _column(language) else 1]


def analyst_text(contribution: Contribution, language: str) -> str:
    """Return what an analyst reads: the reason, the features behind it with their values, and what it adds.

    Raises InvalidRequest ``language_unknown``.
    """
    is_chinese = _column(language) == 1
    text = TEXTS[contribution.code][2 if is_chinese else 3]
    behind = [feature_text(name, value, language) for name, value in contribution.features]
    weight = f"{contribution.log_odds:+.2f}"
    if is_chinese:
        numbers = f"：{'；'.join(behind)}" if behind else ""
        return f"{text}{numbers}（对数几率 {weight}）。"
    numbers = f": {'; '.join(behind)}" if behind else ""
    return f"{text}{numbers} (log-odds {weight})."


def analyst_words(code: ReasonCode, language: str) -> str:
    """Return what a code means to an analyst, without numbers. Raises InvalidRequest ``language_unknown``."""
    return TEXTS[code][2 if _column(language) else 3]


def _column(language: str) -> int:
    if language not in COLUMNS:
        raise InvalidRequest(
            "language_unknown", f"texts are in {' and '.join(LANGUAGES)}", language=language[:20]
        )
    return COLUMNS[language]
