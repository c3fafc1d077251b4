"""The closed list of routing's reasons, and the sentence that answers "why this channel" in Chinese and English.

Codes come in two kinds: why a channel was chosen, and why another one could not be. Facts are plain numbers: chances
as shares in [0, 1], money in minor units of the payment's currency, written out here.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tongbao.core.money import Money
from tongbao.decisions.schema.log import Candidate, Decision, Fact, Why


class Text(NamedTuple):
    """One code in both languages, with places for its facts."""

    zh: str
    en: str


CHOSEN: Mapping[str, Text] = {
    "learned": Text("预期收益最高", "highest expected value"),
    "explored": Text("为学习而试：预期收益略低", "tried to learn from it: slightly lower expected value"),
    "probe": Text("故障恢复后的试探", "a probe of a channel that was out of traffic"),
    "only_channel": Text("唯一可用通道", "the only channel that can carry it"),
    "all_open": Text(
        "所有通道均已熔断，选等待最久者", "every channel is out of traffic; this one has waited longest"
    ),
    "rule": Text("商户规则「{rule}」", "the merchant's rule “{rule}”"),
    "least_cost": Text("费用最低", "lowest cost"),
    "priority": Text("优先级最高", "first in the order of priority"),
    "split": Text("按比例分配", "shares of the split"),
    "round_robin": Text("轮流", "each channel in turn"),
    "cascade": Text("在 {tried} 拒绝之后", "after a no from {tried}"),
    "rule_skipped": Text(
        "规则「{rule}」会排除所有通道，已跳过", "the rule “{rule}” would leave no channel and was skipped"
    ),
}
"""Why a channel was chosen."""

EXCLUDED: Mapping[str, Text] = {
    "breaker_open": Text("技术故障，已熔断", "out of traffic for technical failures"),
    "together": Text("与故障通道同一上游", "shares an upstream with a channel that is down"),
    "silent": Text("多笔请求没有回音", "several calls have had no answer"),
    "rule_only": Text("规则只允许其他通道", "a rule allows other channels only"),
    "rule_avoid": Text("规则排除", "a rule avoids it"),
    "cap_amount": Text("超过单笔上限", "above its cap for one payment"),
    "cap_day": Text("超过当日上限", "above its cap for the day"),
    "cap_month": Text("超过当月上限", "above its cap for the month"),
    "cap_count": Text("超过当日笔数上限", "above its number of payments for the day"),
    "cap_rate_unknown": Text("上限币种无汇率", "its cap is in a currency without a rate"),
    "tried": Text("本笔已拒绝", "said no to this payment"),
    "disabled": Text("已停用", "switched off"),
    "other_mode": Text("测试与正式环境不符", "takes payments of the other mode"),
    "method_not_supported": Text("不支持该支付方式", "does not take this method"),
    "presentment_not_supported": Text("不支持该出示方式", "does not take this way of showing it"),
    "currency_not_supported": Text("不支持该币种", "does not take this currency"),
    "amount_too_small": Text("低于最低金额", "below its least amount"),
    "amount_too_large": Text("高于最高金额", "above its greatest amount"),
    "manual_capture_not_supported": Text("不支持预授权", "does not authorize without capturing"),
    "authentication_not_supported": Text(
        "不支持发卡行验证付款人", "has no way to let the issuer authenticate the payer"
    ),
    "mandates_not_supported": Text("不支持代扣", "takes no payments under a mandate"),
}
"""Why a channel could not be chosen. Objections of the channel registry have the registry's own codes."""


def text_of(code: str) -> Text:
    """Return the words of a code; a code of a later version is its own words."""
    return CHOSEN.get(code) or EXCLUDED.get(code) or Text(code, code)


def said(why: Why, language: str) -> str:
    """Return a reason in words, with its facts in place."""
    text = text_of(why.code)
    words = text.zh if language.startswith("zh") else text.en
    try:
        return words.format_map(why.facts)
    except KeyError:
        return words


def sentence(decision: Decision, language: str) -> str:
    """Return why this channel, in one sentence with numbers."""
    chosen = next(each for each in decision.candidates if each.name == decision.chosen)
    chinese = language.startswith("zh")
    parts = [_lead(decision, chosen, language)]
    rival = _rival(decision)
    if rival is not None:
        parts.append(_against(chosen, rival, chinese=chinese))
    out = [each for each in decision.candidates if each.excluded in {"breaker_open", "together", "silent"}]
    for code in dict.fromkeys(str(each.excluded) for each in out):
        names = ("、" if chinese else ", ").join(each.name for each in out if each.excluded == code)
        words = text_of(code)
        parts.append(f"{names}：{words.zh}" if chinese else f"{names}: {words.en}")
    end, joint = ("。", "；") if chinese else (".", "; ")
    return joint.join(part for part in parts if part) + end


def _lead(decision: Decision, chosen: Candidate, language: str) -> str:
    chinese = language.startswith("zh")
    because = ("，" if chinese else ", ").join(said(why, language) for why in decision.reasons)
    figures = _figures(chosen, str(decision.context.get("currency", "")), chinese=chinese)
    if chinese:
        return f"经由 {chosen.name}：{because}{figures}"
    return f"Over {chosen.name}: {because}{figures}"


def _figures(candidate: Candidate, currency: str, *, chinese: bool) -> str:
    facts = candidate.facts
    chance, low, high = (facts.get(name) for name in ("approval", "approval_low", "approval_high"))
    if not isinstance(chance, float) or not isinstance(low, float) or not isinstance(high, float):
        return ""
    cost = _money(facts.get("cost_minor"), currency)
    spread = f"{chance:.1%} ({low:.1%}–{high:.1%})"
    if chinese:
        return f"，预计通过率 {spread}" + (f"，费用 {cost}" if cost else "")
    return f", {spread} expected approval" + (f" at a cost of {cost}" if cost else "")


def _rival(decision: Decision) -> Candidate | None:
    """Return the best of the others that could have been chosen."""
    others = [
        each
        for each in decision.candidates
        if each.name != decision.chosen and each.excluded is None and each.score is not None
    ]
    return max(others, key=lambda each: each.score or 0.0, default=None)


def _against(chosen: Candidate, rival: Candidate, *, chinese: bool) -> str:
    mine, other = chosen.facts.get("approval"), rival.facts.get("approval")
    if not isinstance(mine, float) or not isinstance(other, float):
        return ""
    points = 100 * (mine - other)
    if chinese:
        word = "高" if points >= 0 else "低"
        return f"比 {rival.name} {word} {abs(points):.1f} 个百分点"
    word = "more" if points >= 0 else "less"
    return f"{abs(points):.1f} points {word} than {rival.name}"


def _money(minor: Fact, currency: str) -> str:
    if not isinstance(minor, int | float) or not currency:
        return ""
    return f"{Money(round(minor), currency)}"
