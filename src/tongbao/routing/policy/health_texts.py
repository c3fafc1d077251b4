"""What people read of a diagnosis, in Chinese and English, made of codes and numbers only.

Channels, issuers and methods are shown by their names as they are configured; codes have short names here.
"""

from collections.abc import Mapping

from tongbao.routing.schema.health import (
    Action,
    ActionKind,
    Basis,
    Cause,
    Diagnosis,
    Dimension,
    Estimate,
    Fault,
    Gain,
    Verdict,
)

LANGUAGES = ("zh", "en")

FAULTS: Mapping[Fault, tuple[str, str]] = {
    Fault.TECHNICAL: ("通道技术故障", "technical failures of the channel"),
    Fault.CONFIGURATION: ("配置或请求错误", "wrong configuration or requests"),
    Fault.AUTHENTICATION: ("身份验证未通过", "missing or failed authentication"),
    Fault.FUNDS: ("付款人余额或限额不足", "payers' lack of funds"),
    Fault.PAYER: ("付款人操作原因", "mistakes and cancellations of payers"),
    Fault.ISSUER: ("发卡行拒绝", "declines of issuers"),
    Fault.MIX: ("流量结构变化", "traffic that moved to where less is approved"),
}
ACTIONS: Mapping[ActionKind, tuple[str, str]] = {
    ActionKind.MOVE_TRAFFIC: ("将{where}的流量切到{to}", "Move the traffic of {where} to {to}"),
    ActionKind.TAKE_OUT: (
        "暂停{where}，流量改走{to}",
        "Take {where} out of traffic and send it to {to}",
    ),
    ActionKind.ASK_ISSUER: (
        "联系发卡行，核实{where}的拒绝原因",
        "Ask the issuer why payments fail at {where}",
    ),
    ActionKind.ASK_ACQUIRER: ("联系收单机构，排查{where}", "Ask the acquirer to look into {where}"),
    ActionKind.STEP_UP: (
        "对{where}提高身份验证比例",
        "Ask for authentication more often at {where}",
    ),
    ActionKind.RETRY_LATER: (
        "对{where}余额不足的付款改日重试",
        "Retry payments without funds at {where} on a later day",
    ),
    ActionKind.FIX_CONFIGURATION: ("检查并修正{where}的配置", "Check and mend the configuration of {where}"),
}
VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.FELL: (
        "支付成功率由 {before} 降至 {now}（{change} 个百分点，95% 区间 {low} 至 {high}）。",
        "The approval rate fell from {before} to {now} ({change} points, 95% interval {low} to {high}).",
    ),
    Verdict.ROSE: (
        "支付成功率由 {before} 升至 {now}（{change} 个百分点，95% 区间 {low} 至 {high}）。",
        "The approval rate rose from {before} to {now} ({change} points, 95% interval {low} to {high}).",
    ),
    Verdict.STEADY: (
        "支付成功率为 {now}，与此前的 {before} 相比没有显著变化（{change} 个百分点，95% 区间 {low} 至 {high}）。",
        "The approval rate is {now}; against {before} before, the change is not significant "
        "({change} points, 95% interval {low} to {high}).",
    ),
    Verdict.TOO_FEW: (
        "支付笔数太少，无法判断。",
        "There are too few payments to say anything.",
    ),
}
CODES: Mapping[str, tuple[str, str]] = {
    "account_closed": ("账户已关闭", "account closed"),
    "account_frozen": ("账户被冻结", "account frozen"),
    "account_unknown": ("账户不存在", "account unknown"),
    "amount_too_large": ("金额超过上限", "amount too large"),
    "amount_too_small": ("金额低于下限", "amount too small"),
    "approve_with_id": ("需核对身份", "identification required"),
    "authentication_failed": ("身份验证失败", "authentication failed"),
    "authentication_required": ("需要身份验证", "authentication required"),
    "card_blocked": ("卡被限制", "card blocked"),
    "card_expired": ("卡已过期", "card expired"),
    "card_lost": ("卡已挂失", "card lost"),
    "card_not_supported": ("不支持该卡", "card not supported"),
    "card_number_invalid": ("卡号有误", "card number invalid"),
    "card_stolen": ("卡被盗", "card stolen"),
    "card_velocity_exceeded": ("刷卡过于频繁", "card used too often"),
    "channel_error": ("通道错误", "channel error"),
    "channel_rate_limited": ("通道限流", "channel rate limited"),
    "channel_unavailable": ("通道不可用", "channel unavailable"),
    "configuration_invalid": ("配置错误", "configuration invalid"),
    "currency_not_supported": ("不支持该币种", "currency not supported"),
    "cvc_incorrect": ("安全码有误", "security code incorrect"),
    "do_not_honor": ("发卡行不予承兑", "do not honor"),
    "duplicate": ("重复交易", "duplicate"),
    "expired": ("付款超时", "payment expired"),
    "expiry_invalid": ("有效期有误", "expiry date invalid"),
    "fraud_suspected": ("疑似欺诈", "fraud suspected"),
    "insufficient_funds": ("余额不足", "insufficient funds"),
    "issuer_error": ("发卡行系统错误", "issuer error"),
    "issuer_unavailable": ("发卡行不可用", "issuer unavailable"),
    "limit_exceeded": ("超过限额", "limit exceeded"),
    "mandate_invalid": ("代扣协议无效", "mandate invalid"),
    "merchant_invalid": ("商户无效", "merchant invalid"),
    "network_error": ("网络错误", "network error"),
    "network_timeout": ("网络超时", "network timeout"),
    "not_permitted_to_cardholder": ("持卡人无权交易", "not permitted to cardholder"),
    "not_permitted_to_merchant": ("商户无权交易", "not permitted to merchant"),
    "other": ("其他原因", "other"),
    "payer_canceled": ("付款人取消", "canceled by payer"),
    "pin_incorrect": ("密码错误", "PIN incorrect"),
    "pin_required": ("需要密码", "PIN required"),
    "pin_tries_exceeded": ("密码错误次数过多", "too many PIN tries"),
    "postal_code_incorrect": ("邮编有误", "postal code incorrect"),
    "recurring_revoked": ("代扣已取消", "recurring revoked"),
    "reference_conflict": ("单号冲突", "reference conflict"),
    "refund_too_large": ("退款金额过大", "refund too large"),
    "refund_too_late": ("超过退款期限", "refund too late"),
    "request_invalid": ("请求有误", "request invalid"),
    "risk_blocked": ("被风控拦截", "blocked by risk rules"),
    "security_violation": ("违反安全规则", "security violation"),
    "state_invalid": ("状态不允许", "state invalid"),
    "try_again_later": ("请稍后再试", "try again later"),
}
_NAMES: Mapping[Dimension, tuple[str, str]] = {
    Dimension.CHANNEL: ("通道 {}", "channel {}"),
    Dimension.METHOD: ("支付方式 {}", "method {}"),
    Dimension.ISSUER: ("发卡行 {}", "issuer {}"),
    Dimension.CURRENCY: ("币种 {}", "currency {}"),
    Dimension.MARK: ("结果 {}", "outcome {}"),
    Dimension.CODE: ("原因 {}", "code {}"),
}


def code_name(code: str, language: str) -> str:
    """Return the short name of a standard reason; the code itself where it has none."""
    return _of(CODES[code], language) if code in CODES else code


def segment_text(segment: Mapping[Dimension, str], language: str) -> str:
    """Return the name of a part of the traffic."""
    if not segment:
        return _of(("全部流量", "all traffic"), language)
    unknown = _of(("（未知）", "(unknown)"), language)
    words = [_of(_NAMES[key], language).format(value or unknown) for key, value in segment.items()]
    return _of(("、", ", "), language).join(words)


def verdict_text(diagnosis: Diagnosis, language: str) -> str:
    """Return in one or two sentences what became of the approval rate."""
    before, now = diagnosis.baseline, diagnosis.current
    text = _of(VERDICTS[diagnosis.verdict], language).format(
        before=_percent(before.approved, before.judged),
        now=_percent(now.approved, now.judged),
        change=_points(diagnosis.change.value),
        low=_points(diagnosis.change.low),
        high=_points(diagnosis.change.high),
    )
    if diagnosis.verdict is Verdict.TOO_FEW or diagnosis.causes:
        return text
    nothing = _of(("没有发现显著的原因。", "No significant cause was found."), language)
    return text + ("" if language == "zh" else " ") + nothing


def cause_text(cause: Cause, language: str) -> str:
    """Return a cause in one sentence: where, what, and how much."""
    where, what = segment_text(cause.segment, language), _of(FAULTS[cause.fault], language)
    lost, low, high = _numbers(cause.lost_a_day)
    if language == "zh":
        text = f"{where}：{what}，每天约少成功 {lost} 笔（95% 区间 {low} 至 {high}）"
        share = "" if cause.share is None else f"，占降幅的 {cause.share.value:.0%}"
        codes = (
            f"；主要是{'、'.join(code_name(code, language) for code in cause.codes)}" if cause.codes else ""
        )
        return f"{text}{share}{codes}。"
    text = f"{where}: {what}, about {lost} approvals lost a day (95% interval {low} to {high})"
    share = "" if cause.share is None else f", {cause.share.value:.0%} of the fall"
    codes = f"; mostly {', '.join(code_name(code, language) for code in cause.codes)}" if cause.codes else ""
    return f"{text[0].upper()}{text[1:]}{share}{codes}."


def action_text(action: Action, language: str) -> str:
    """Return a proposal with its gain, or with the words that there is nothing to compare with."""
    elsewhere = _of(("其他通道", "another channel"), language)
    text = _of(ACTIONS[action.kind], language).format(
        where=segment_text(action.segment, language), to=action.to_channel or elsewhere
    )
    return text + gain_text(action.gain, language)


def gain_text(gain: Gain, language: str) -> str:
    """Return a gain as the end of a sentence."""
    if gain.payments_a_day is None:
        return _of(
            (
                "；没有可比较的流量，收益无法估计。",
                "; there is no traffic to compare with, so the gain is unknown.",
            ),
            language,
        )
    value, low, high = _numbers(gain.payments_a_day)
    if language == "zh":
        basis = "按其他通道目前的表现" if gain.basis is Basis.COMPARISON else "如完全恢复到此前水平"
        return f"；{basis}，每天约可多成功 {value} 笔（90% 区间 {low} 至 {high}）。"
    basis = "as others do now" if gain.basis is Basis.COMPARISON else "if all is as before again"
    return f"; {basis}, about {value} more approvals a day (90% interval {low} to {high})."


def _of(texts: tuple[str, str], language: str) -> str:
    """Return the text in a language of ``LANGUAGES``; raise ValueError for any other."""
    return texts[LANGUAGES.index(language)]


def _numbers(estimate: Estimate) -> tuple[str, str, str]:
    return f"{estimate.value:,.0f}", f"{estimate.low:,.0f}", f"{estimate.high:,.0f}"


def _percent(good: int, count: int) -> str:
    return f"{good / count:.1%}" if count else "-"


def _points(share: float) -> str:
    return f"{share * 100:+.2f}"
