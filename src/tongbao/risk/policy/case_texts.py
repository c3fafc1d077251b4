"""The words of cases, in English and Chinese: states, causes, kinds of entities, acts, amounts, chances. Pure tables."""

import enum

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.neighborhood import short_of
from tongbao.risk.policy.reason_texts import analyst_words
from tongbao.risk.schema.cases import CaseAct, CaseState, Cause, Disposition, EntityKey, Severity, Stake
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier

LANGUAGES = ("en", "zh-CN")
_COLUMN = {"en": 0, "zh": 1, "zh-CN": 1}

Pair = tuple[str, str]
_CODES = frozenset(ReasonCode)

STATES: dict[CaseState, Pair] = {
    CaseState.OPEN: ("open", "待领取"),
    CaseState.ASSIGNED: ("assigned", "处理中"),
    CaseState.WAITING: ("waiting for a second person", "待复核"),
    CaseState.CLOSED: ("closed", "已结案"),
}
SEVERITIES: dict[Severity, Pair] = {
    Severity.LOW: ("low", "低"),
    Severity.MEDIUM: ("medium", "中"),
    Severity.HIGH: ("high", "高"),
    Severity.CRITICAL: ("critical", "紧急"),
}
CAUSES: dict[Cause, Pair] = {
    Cause.HELD: ("payment held for review", "付款被暂扣待审"),
    Cause.DECLINED: ("payment declined", "付款被拒绝"),
    Cause.WATCHED_RULE: ("watched rule matched", "命中关注规则"),
    Cause.FRAUD_KNOWN: ("fraud reported", "已报告欺诈"),
}
DISPOSITIONS: dict[Disposition, Pair] = {
    Disposition.FRAUD: ("fraud", "欺诈"),
    Disposition.GENUINE: ("genuine", "正常"),
    Disposition.INCONCLUSIVE: ("inconclusive", "无法判定"),
}
ENTITIES: dict[Entity, Pair] = {
    Entity.CUSTOMER: ("Customer", "客户"),
    Entity.CARD: ("Card", "卡"),
    Entity.DEVICE: ("Device", "设备"),
    Entity.MERCHANT: ("Merchant", "商户"),
    Entity.ADDRESS: ("Address", "网络地址"),
    Entity.EMAIL_DOMAIN: ("Mail", "邮箱域"),
    Entity.BENEFICIARY: ("Payee", "收款方"),
}
TIERS: dict[Tier, Pair] = {
    Tier.FRICTIONLESS: ("let through", "放行"),
    Tier.STEP_UP: ("asked for proof", "要求验证"),
    Tier.REVIEW: ("held for review", "暂扣待审"),
    Tier.DECLINE: ("declined", "拒绝"),
}
ACTS: dict[CaseAct, Pair] = {
    CaseAct.OPENED: ("Case opened", "立案"),
    CaseAct.ALERTED: ("More payments rang", "新增告警"),
    CaseAct.LEARNED: ("News of a payment", "付款有新消息"),
    CaseAct.TAKEN: ("Taken from the queue", "从队列领取"),
    CaseAct.ASSIGNED: ("Assigned", "指派"),
    CaseAct.UNASSIGNED: ("Put back", "退回队列"),
    CaseAct.NOTED: ("Note", "备注"),
    CaseAct.INCLUDED: ("Payments added", "加入付款"),
    CaseAct.SIGNED: ("Summary signed", "签署摘要"),
    CaseAct.ASKED: ("Second person asked for", "申请复核"),
    CaseAct.APPROVED: ("Agreed and closed", "复核同意并结案"),
    CaseAct.REFUSED: ("Refused by the second person", "复核退回"),
    CaseAct.WITHDRAWN: ("Request withdrawn", "撤回复核申请"),
    CaseAct.CLOSED: ("Closed", "结案"),
    CaseAct.LAPSED: ("Ended before anybody decided", "逾期未裁决"),
}


class Confidence(enum.StrEnum):
    """How likely it is that a case is fraud, in a word; ``CONFIDENCE_MIN`` says from which chance on."""

    ALMOST_CERTAIN = "almost_certain"
    LIKELY = "likely"
    MORE_LIKELY_THAN_NOT = "more_likely_than_not"
    UNCERTAIN = "uncertain"
    UNLIKELY = "unlikely"
    REMOTE = "remote"


CONFIDENCE_MIN: tuple[tuple[float, Confidence], ...] = (
    (0.9, Confidence.ALMOST_CERTAIN),
    (0.7, Confidence.LIKELY),
    (0.55, Confidence.MORE_LIKELY_THAN_NOT),
    (0.3, Confidence.UNCERTAIN),
    (0.1, Confidence.UNLIKELY),
    (0.0, Confidence.REMOTE),
)
CONFIDENCES: dict[Confidence, Pair] = {
    Confidence.ALMOST_CERTAIN: ("fraud is almost certain", "几乎可以确定是欺诈"),
    Confidence.LIKELY: ("fraud is likely", "很可能是欺诈"),
    Confidence.MORE_LIKELY_THAN_NOT: ("fraud is more likely than not", "偏向于欺诈"),
    Confidence.UNCERTAIN: ("it may be either", "两种可能都有"),
    Confidence.UNLIKELY: ("fraud is unlikely", "不太可能是欺诈"),
    Confidence.REMOTE: ("fraud is hardly possible", "几乎不可能是欺诈"),
}


def column(language: str) -> int:
    """Return the place of a language in a pair of texts. Raises InvalidRequest ``language_unknown``."""
    if language not in _COLUMN:
        raise InvalidRequest("language_unknown", f"there are no words in {language!r}")
    return _COLUMN[language]


def reason_text(code: str, language: str) -> str:
    """Return the words of a reason's code; the code itself where it is of a later version. Raises as ``column``."""
    column(language)
    return analyst_words(ReasonCode(code), language) if code in _CODES else code


def confidence_of(chance: float) -> Confidence:
    """Return the word for a chance of fraud in [0, 1]."""
    return next((word for least, word in CONFIDENCE_MIN if chance >= least), Confidence.REMOTE)


def money(value: int, currency: str) -> str:
    """Return hundredths of a major unit as ``1,234.50 EUR``; without decimals where the currency has none."""
    whole, rest = divmod(value, 100)
    is_whole = currencies.currency(currency).exponent == 0
    return f"{whole:,} {currency}" if is_whole else f"{whole:,}.{rest:02d} {currency}"


def stakes_text(stakes: tuple[Stake, ...], language: str, *, held: bool = False) -> str:
    """Return the amounts of a case by currency, all of them or those that wait; ``0`` where there are none."""
    amounts = [(each.currency, each.held if held else each.value) for each in stakes]
    shown = [money(value, currency) for currency, value in amounts if value]
    return (", ", "、")[column(language)].join(shown) or "0"


def percent(chance: float) -> str:
    """Return a chance in percent, whole from one percent on."""
    return f"{chance * 100:.0f} %" if chance >= 0.01 else f"{chance * 100:.1f} %"


def entity_text(one: EntityKey, language: str) -> str:
    """Return an entity by kind and short pseudonym."""
    return f"{ENTITIES[one.entity][column(language)]} {short_of(one)}"
