"""A report of an evaluation in words, in English and Chinese, for whoever decides whether a policy meets traffic. Pure.

One paragraph: what was compared, over which time and how many decisions, what was seen, what the policy would have
earned, the verdict, how far the log carries, and every caveat. A refusal says why and what would help. Plain text: whoever
puts it into a page escapes it.
"""

from datetime import UTC, datetime

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.evaluation import Caveat, Estimate, Missing, Refusal, Report, Verdict

LANGUAGES = ("en", "zh-CN")
_COLUMN = {"en": 0, "zh": 1, "zh-CN": 1}

ESTIMATORS: dict[str, tuple[str, str]] = {
    "logged": ("Logged", "实际"),
    "ips": ("IPS", "逆倾向加权 IPS"),
    "snips": ("SNIPS", "自归一加权 SNIPS"),
    "dr": ("DR", "双重稳健 DR"),
    "direct": ("Model alone", "仅模型"),
}

_COMPARED = (
    "Version {version} of {policy} was replayed on {count} decisions that {against} made from {start} to {end} (UTC). "
    "The outcome is {outcome}; {direction}.",
    "在 {start} 至 {end}（UTC）期间，用 {against} 留下的 {count} 条决策记录重放了 {policy} 第 {version} 版。"
    "衡量结果为 {outcome}，{direction}。",
)
_DIRECTIONS = {True: ("higher is better", "越高越好"), False: ("lower is better", "越低越好")}
_SEEN = ("What was seen: {logged}.", "实际结果：{logged}。")
_ESTIMATED = (
    "Version {version} would have reached {estimate} by {estimator}. The difference is {difference}. "
    "All intervals are of 95 %.",
    "按{estimator} 估计，第 {version} 版会达到 {estimate}，与实际相差 {difference}。区间均为 95 %。",
)
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    Verdict.BETTER: ("Verdict: better than what was logged.", "结论：优于实际策略。"),
    Verdict.WORSE: ("Verdict: worse than what was logged.", "结论：劣于实际策略。"),
    Verdict.UNDECIDED: (
        "Verdict: undecided, the interval of the difference holds zero.",
        "结论：尚无定论，差值的区间包含零。",
    ),
    Verdict.REFUSED: ("Verdict: refused, this log does not tell.", "结论：拒绝评估，这份记录不足以判断。"),
}
_REACH = (
    "The two policies overlap by {overlap} (mean chance of doing what was logged: {agreement}); the weighted log is "
    "worth {effective} equal decisions, and the largest weight is {weight_max}.",
    "两个策略的重合度为 {overlap}（作出同样选择的平均概率：{agreement}）；加权后的记录相当于 {effective} 条等权决策，"
    "最大权重为 {weight_max}。",
)
_COUNTED = (
    "{missing} decisions without an outcome after {days} days count as {value}.",
    "{missing} 条决策在 {days} 天后仍无结果，按 {value} 计。",
)

_REFUSALS: dict[Refusal, tuple[str, str]] = {
    Refusal.COUNT_SMALL: (
        "Only {count} decisions have an outcome, {count_min} are needed: wait, or take a longer time.",
        "只有 {count} 条决策有结果，至少需要 {count_min} 条：请等待，或选更长的时间段。",
    ),
    Refusal.OUTCOMES_CONSTANT: (
        "All outcomes are equal and nobody said how far they may range: name the range, or take a longer time.",
        "所有结果都相同，且没有给出取值范围：请给出范围，或选更长的时间段。",
    ),
    Refusal.SUPPORT_MISSING: (
        "The policy gives {unsupported} of its choices to what the logging policy never could have chosen: "
        "no log can tell what would have come of it. Let a small share of traffic try it first.",
        "新策略有 {unsupported} 的选择是原策略不可能作出的，任何记录都无法说明其结果。请先用小份流量试行。",
    ),
    Refusal.AGREEMENT_LOW: (
        "The two policies overlap by {overlap}, {agreement_min} is needed: the log hardly holds what the policy "
        "would have done.",
        "两个策略的重合度只有 {overlap}，至少需要 {agreement_min}：记录里几乎没有新策略会作的选择。",
    ),
    Refusal.EFFECTIVE_LOW: (
        "The weighted log is worth only {effective} equal decisions, {effective_min} are needed: "
        "take a longer time, or explore more.",
        "加权后的记录只相当于 {effective} 条等权决策，至少需要 {effective_min} 条：请选更长的时间段，或增加探索。",
    ),
    Refusal.PROPENSITIES_OFF: (
        "The weights do not average one: either the probabilities in the log are not those by which was chosen, or the "
        "policy wants what the log did so rarely that too few of it are in the sample. Check the log, or take a longer time.",
        "权重的平均值不为一：要么记录中的概率不是当时选择所用的概率，要么新策略想要的选择在记录中过于罕见。请核对记录，或选更长的时间段。",
    ),
    Refusal.WEIGHTS_CLIPPED: (
        "Cutting weights at {limit} would take away {clipped} of all weight; what is left speaks of another policy.",
        "把权重截到 {limit} 会去掉全部权重的 {clipped}，剩下的已不是这个策略。",
    ),
}
_CAVEATS: dict[Caveat, tuple[str, str]] = {
    Caveat.OUTCOMES_MISSING: (
        "Note: {missing} decisions have no outcome; if what is missing is not like the rest, the result is off.",
        "注意：{missing} 条决策没有结果；如果它们与其余的不同，结论会有偏差。",
    ),
    Caveat.WEIGHTS_CLIPPED: (
        "Note: weights were cut at {limit}, which took {clipped} of all weight and moved estimates by at most {bias}.",
        "注意：权重截到 {limit}，去掉了全部权重的 {clipped}，估计值因此最多偏移 {bias}。",
    ),
    Caveat.FEW_COUNT_MOST: (
        "Note: a few decisions carry most of the result; the intervals were found by resampling and are rough.",
        "注意：少数决策左右了结果；区间由重抽样得到，较为粗略。",
    ),
    Caveat.ESTIMATORS_DISAGREE: (
        "Note: the estimators contradict each other; check the log before acting on this.",
        "注意：几种估计互相矛盾；采取行动之前请先核查记录。",
    ),
}


def report_text(report: Report, language: str) -> str:
    """Return the paragraph. Raises InvalidRequest ``language_unknown`` for other than ``en``, ``zh``, ``zh-CN``."""
    at = column(language)
    facts = _facts(report, at)
    parts = [_COMPARED[at], _SEEN[at]]
    if report.difference is not None:
        parts.append(_ESTIMATED[at])
    parts.append(_VERDICTS[report.verdict][at])
    if report.refusal is not None:
        parts.append(_REFUSALS[Refusal(report.refusal)][at])
    parts.append(_REACH[at])
    if report.missing is Missing.COUNTED and report.missing_count:
        parts.append(_COUNTED[at])
    parts += [_CAVEATS[caveat][at] for caveat in report.caveats]
    return (" ", "")[at].join(part.format(**facts) for part in parts)


def refusal_text(report: Report, language: str) -> str:
    """Return why a report is refused in one or two sentences; empty where it is not.

    Raises InvalidRequest ``language_unknown``.
    """
    at = column(language)
    if report.refusal is None:
        return ""
    return _REFUSALS[Refusal(report.refusal)][at].format(**_facts(report, at))


def verdict_text(report: Report, language: str) -> str:
    """Return the verdict in one sentence. Raises InvalidRequest ``language_unknown``."""
    return _VERDICTS[report.verdict][column(language)]


def column(language: str) -> int:
    """Return the place of a language in a pair of texts. Raises InvalidRequest ``language_unknown``."""
    if language not in _COLUMN:
        raise InvalidRequest("language_unknown", f"there are no words in {language!r}")
    return _COLUMN[language]


def figure(value: float, *, is_share: bool) -> str:
    """Return an outcome as people write it: a share in percent to two places, others to four digits or whole."""
    if is_share:
        return _percent(value, 2)
    size = abs(value)
    form = ",.0f" if size >= 10_000 else ",.2f" if size >= 1 else ".4g"
    return format(value, form).replace("-", "−")


def chosen(report: Report) -> Estimate:
    """Return the estimate of the verdict; what was logged where the report is refused."""
    return next((each for each in report.estimates if each.estimator == report.recommended), report.logged)


def _facts(report: Report, at: int) -> dict[str, object]:
    guards = report.safeguards
    share = report.is_share
    value = report.missing_value
    return {
        "policy": report.policy,
        "version": report.version,
        "against": report.against,
        "outcome": report.outcome,
        "start": _instant(report.from_at),
        "end": _instant(report.to_at),
        "count": f"{report.count:,}",
        "direction": _DIRECTIONS[report.higher_is_better][at],
        "logged": _with_interval(report.logged, share, at),
        "estimate": _with_interval(chosen(report), share, at),
        "estimator": ESTIMATORS[chosen(report).estimator][at],
        "difference": "" if report.difference is None else _change(report.difference, share, at),
        "overlap": _percent(report.overlap, 1),
        "agreement": _percent(report.agreement, 1),
        "effective": f"{report.effective_count:,.0f}",
        "weight_max": f"{report.weight_max:.4g}",
        "unsupported": _percent(report.unsupported, 2),
        "clipped": _percent(report.clipped_share, 2),
        "bias": figure(report.clipped_bias_max, is_share=share),
        "limit": f"{guards.weight_max:g}",
        "count_min": f"{guards.count_min:,}",
        "agreement_min": _percent(guards.agreement_min, 0),
        "effective_min": f"{guards.effective_min:,.0f}",
        "missing": f"{report.missing_count:,}",
        "days": f"{report.horizon_s / 86_400:.3g}",
        "value": "" if value is None else figure(value, is_share=share),
    }


def _percent(share: float, places: int) -> str:
    return f"{share * 100:.{places}f} %".replace("-", "−")


def _with_interval(estimate: Estimate, is_share: bool, at: int) -> str:
    return _written([figure(each, is_share=is_share) for each in _numbers(estimate)], at)


def _change(estimate: Estimate, is_share: bool, at: int) -> str:
    """Return a difference, always with its sign; that of two shares is in points."""
    written = []
    for number in _numbers(estimate):
        text = f"{number * 100:.2f}" if is_share else figure(number, is_share=False)
        written.append(("+" if number > 0 else "") + text.replace("-", "−"))
    if is_share:
        unit = (" points", " 个百分点")[at]
        written[0] += unit
    return _written(written, at)


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _written(texts: list[str], at: int) -> str:
    value, low, high = texts
    return (f"{value} ({low} to {high})", f"{value}（{low} 至 {high}）")[at]


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
