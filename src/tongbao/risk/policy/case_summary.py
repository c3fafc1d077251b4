"""A summary of a case, drafted from facts for an analyst to sign, in English and Chinese. No language model.

What is suggested follows from weights of evidence that are written down here: the highest chance among the payments, and in
log-odds what speaks for and against. They are assumptions of the house, not learned; the words say "suggested", and a draft
is nothing until somebody signs it.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from tongbao.risk.policy.case_texts import (
    CAUSES,
    CONFIDENCES,
    DISPOSITIONS,
    Confidence,
    Pair,
    column,
    confidence_of,
    entity_text,
    percent,
    stakes_text,
)
from tongbao.risk.policy.neighborhood import Neighborhood, Node
from tongbao.risk.schema.cases import CaseFile, Disposition, EntityKey, Known
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.tiers import Tier

FRAUD_MIN = 0.7
GENUINE_MAX = 0.15
"""A chance from the first on suggests fraud, up to the second genuine; between them the case is inconclusive."""
CHANCE_FLOOR = 0.005
KNOWN_FRAUD_CHANCE = 0.97
LINKED_FRAUD = math.log(4.0)
"""An entity of the neighborhood that is no hub took part in a known fraud."""
PROOF_PASSED = -math.log(5.0)
PROOF_FAILED = math.log(2.0)
FAMILIAR = -math.log(2.0)
NAMED_MAX = 6
"""Reasons, rules or entities that a sentence names."""

_HAPPENED = (
    "What happened. Payments of {who} that stood out between {start} and {end} (UTC): {count}, over {money}; {held} held "
    "for review, {declined} declined, {passed} let through. First alert: {cause}.",
    "经过。{start} 至 {end}（UTC）之间，{who} 有 {count} 笔付款异常，合计 {money}：暂扣待审 {held} 笔，拒绝 {declined} 笔，"
    "放行 {passed} 笔。首个告警：{cause}。",
)
_WHY = (
    "Why it stood out. {reasons}. Highest chance of fraud: {chance}.",
    "异常原因。{reasons}。最高欺诈概率：{chance}。",
)
_NO_REASON = ("No reason was recorded", "未记录原因")
_TIMES = ("{reason} ({count} of {all})", "{reason}（{count}/{all}）")
_RULES = ("Rules that matched: {rules}.", "命中规则：{rules}。")
_LINKED = (
    "Linked. Entities met over two hops: {count}; known from fraud: {frauds}.",
    "关联。两跳之内共有 {count} 个实体，其中涉及已知欺诈：{frauds}。",
)
_LINKED_NONE = (
    "Linked. Entities met over two hops: {count}; none of them is known from fraud.",
    "关联。两跳之内共有 {count} 个实体，均未涉及已知欺诈。",
)
_FRAUD_OF = ("{who} ({frauds} of {count})", "{who}（{frauds}/{count} 笔）")
_MONEY = ("Money at stake. {money}, of which {held} waits.", "涉及金额。{money}，其中 {held} 尚在暂扣。")
_FOR_GENUINE = ("What speaks for genuine. {facts}.", "支持正常的证据。{facts}。")
_NOTHING = ("Nothing that is known", "暂无")
_PASSED = ("payments proved by the payer: {count}", "{count} 笔付款通过了付款人验证")
_FAMILIAR = ("familiar payments: {count}", "{count} 笔付款符合既往习惯")
_GOOD = ("payments labelled genuine: {count}", "{count} 笔付款已标记为正常")
_CLEAN = ("no linked entity is known from fraud", "关联实体均无已知欺诈")
_SUGGESTED = (
    "Suggested: {disposition} – {confidence} (estimate {chance}).",
    "建议：{disposition}——{confidence}（估计 {chance}）。",
)
_BEFORE = (
    "Cases of this kind closed lately: {count}, of which fraud {fraud}, genuine {genuine}.",
    "近期同类已结案 {count} 件，其中欺诈 {fraud} 件，正常 {genuine} 件。",
)
_DRAFT = (
    "Draft put together from records; it counts once an analyst has signed it.",
    "本文为系统依据记录生成的草稿，经分析人员签署后生效。",
)


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What closed cases of the same kind came to."""

    count: int = 0
    fraud_count: int = 0
    genuine_count: int = 0


class SummaryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a summary is made of: the case, what is known of its payments (one at least), whom its entity met."""

    case: CaseFile
    payments: tuple[Known, ...]
    web: Neighborhood
    before: Before = msgspec.field(default_factory=Before)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An unsigned summary; ``chance`` in [0, 1] is the estimate behind the suggestion."""

    text: str
    suggestion: Disposition
    confidence: Confidence
    chance: float


def draft_of(facts: SummaryFacts, language: str, reason_text: Callable[[str], str]) -> Draft:
    """Return the draft in a language; ``reason_text`` gives the words of a reason's code in it.

    Raises InvalidRequest ``language_unknown``.
    """
    at = column(language)
    chance = estimate(facts)
    suggestion = suggested(chance)
    paragraphs = [
        _happened(facts, language),
        _why(facts, at, reason_text),
        _linked(facts, language),
        _MONEY[at].format(
            money=stakes_text(facts.case.stakes, language),
            held=stakes_text(facts.case.stakes, language, held=True),
        ),
        _genuine(facts, at),
        _suggestion(facts, at, chance),
        _DRAFT[at],
    ]
    return Draft(
        text="\n\n".join(paragraphs), suggestion=suggestion, confidence=confidence_of(chance), chance=chance
    )


def estimate(facts: SummaryFacts) -> float:
    """Return the estimated chance that the case is fraud, in (0, 1)."""
    if any(each.is_fraud for each in facts.payments):
        return KNOWN_FRAUD_CHANCE
    chance = min(max(facts.case.chance_max, CHANCE_FLOOR), 1 - CHANCE_FLOOR)
    odds = math.log(chance / (1 - chance))
    odds += LINKED_FRAUD * bool(_bad(facts.web))
    odds += PROOF_PASSED * any(each.is_passed for each in facts.payments)
    odds += PROOF_FAILED * any(each.is_passed is False for each in facts.payments)
    odds += FAMILIAR * any(ReasonCode.FAMILIAR in each.reasons for each in facts.payments)
    return 1 / (1 + math.exp(-odds))


def suggested(chance: float) -> Disposition:
    """Return the disposition that a chance suggests."""
    if chance >= FRAUD_MIN:
        return Disposition.FRAUD
    return Disposition.GENUINE if chance <= GENUINE_MAX else Disposition.INCONCLUSIVE


def _happened(facts: SummaryFacts, language: str) -> str:
    at, case = column(language), facts.case
    tiers = Counter(each.tier for each in facts.payments)
    times = [each.signals.at for each in facts.payments] or [case.opened_at]
    who = case.key if case.entity is None else entity_text(EntityKey(case.entity, case.key), language)
    return _HAPPENED[at].format(
        count=len(facts.payments),
        who=who,
        money=stakes_text(case.stakes, language),
        start=_minute(min(times)),
        end=_minute(max(times)),
        held=tiers[Tier.REVIEW],
        declined=tiers[Tier.DECLINE],
        passed=tiers[Tier.FRICTIONLESS] + tiers[Tier.STEP_UP],
        cause=CAUSES[case.kind][at],
    )


def _why(facts: SummaryFacts, at: int, reason_text: Callable[[str], str]) -> str:
    counts = Counter(
        code for each in facts.payments for code in dict.fromkeys(each.reasons) if code != ReasonCode.FAMILIAR
    )
    named = [
        _TIMES[at].format(reason=reason_text(code), count=count, all=len(facts.payments))
        for code, count in _heaviest(counts)
    ]
    told = _WHY[at].format(
        reasons=("; ", "；")[at].join(named) or _NO_REASON[at], chance=percent(facts.case.chance_max)
    )
    rules = _heaviest(Counter(rule for each in facts.payments for rule in each.rules))
    if not rules:
        return told
    return (" ", "")[at].join((told, _RULES[at].format(rules=_list([rule for rule, _ in rules], at))))


def _linked(facts: SummaryFacts, language: str) -> str:
    at, bad = column(language), _bad(facts.web)
    count = max(len(facts.web.nodes) - 1, 0) + facts.web.left_out_count
    if not bad:
        return _LINKED_NONE[at].format(count=count)
    named = [
        _FRAUD_OF[at].format(
            who=entity_text(EntityKey(each.entity, each.key), language),
            frauds=each.tally.fraud_count,
            count=each.tally.count,
        )
        for each in bad[:NAMED_MAX]
    ]
    return _LINKED[at].format(count=count, frauds=_list(named, at))


def _genuine(facts: SummaryFacts, at: int) -> str:
    counted: list[tuple[Pair, int]] = [
        (_PASSED, sum(each.is_passed is True for each in facts.payments)),
        (_FAMILIAR, sum(ReasonCode.FAMILIAR in each.reasons for each in facts.payments)),
        (_GOOD, sum(each.is_fraud is False for each in facts.payments)),
    ]
    told = [words[at].format(count=count) for words, count in counted if count]
    if len(facts.web.nodes) > 1 and not _bad(facts.web):
        told.append(_CLEAN[at])
    return _FOR_GENUINE[at].format(facts=_list(told, at) or _NOTHING[at])


def _suggestion(facts: SummaryFacts, at: int, chance: float) -> str:
    told = _SUGGESTED[at].format(
        disposition=DISPOSITIONS[suggested(chance)][at],
        confidence=CONFIDENCES[confidence_of(chance)][at],
        chance=percent(chance),
    )
    before = facts.before
    if not before.count:
        return told
    history = _BEFORE[at].format(count=before.count, fraud=before.fraud_count, genuine=before.genuine_count)
    return (" ", "")[at].join((told, history))


def _bad(web: Neighborhood) -> list[Node]:
    """Return the nodes that took part in known fraud, hubs left out: some fraud passes through every one of them."""
    found = [each for each in web.nodes if each.tally.fraud_count and not each.is_hub]
    return sorted(found, key=lambda each: (-each.tally.fraud_count, each.entity, each.key))


def _heaviest(counts: "Counter[str]") -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NAMED_MAX]


def _list(words: Sequence[str], at: int) -> str:
    return (", ", "、")[at].join(words)


def _minute(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
