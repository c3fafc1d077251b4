"""What people read of a back-test of rules, in Chinese and English."""

from decimal import Decimal

from tongbao.risk.policy.rules_backtest import Amounts, Backtest, Precision, RuleResult, Split


def rule_sentences(result: RuleResult, language: str) -> tuple[str, ...]:
    """Return what a back-test tells of one rule, in Chinese where ``language`` begins with zh, else in English."""
    return _rule_chinese(result) if language.startswith("zh") else _rule_english(result)


def whole_sentences(tested: Backtest, language: str) -> tuple[str, ...]:
    """Return what a back-test tells of the rules together, in Chinese where ``language`` begins with zh, else in English."""
    return _whole_chinese(tested) if language.startswith("zh") else _whole_english(tested)


def _rule_english(result: RuleResult) -> tuple[str, ...]:
    matched = result.matched
    said = [
        f"{result.name} matches {matched.all.count} payments, {_percent(result.share)} of all{_money(matched.all.amounts)}: "
        f"{matched.succeeded.count} went through, {matched.refunded.count} were refunded, {matched.disputed.count} disputed"
        f"{_money(matched.disputed.amounts)}, {matched.blocked.count} were kept out already.",
        f"Precision: {_precision_english(result.precision)}",
    ]
    said += _moves_english(result.raised, result.lowered)
    if result.covered_count:
        names = ", ".join(f"{name} ({count})" for name, count in result.overlaps)
        said.append(f"{result.covered_count} of them are matched by rules in force too: {names}.")
    if result.is_draft:
        said.append("It is a draft: this is what it would do if it acted.")
    return tuple(said)


def _rule_chinese(result: RuleResult) -> tuple[str, ...]:
    matched = result.matched
    said = [
        f"规则“{result.name}”命中 {matched.all.count} 笔付款，占全部 {_percent(result.share)}{_money_chinese(matched.all.amounts)}："
        f"成功 {matched.succeeded.count} 笔，退款 {matched.refunded.count} 笔，争议 {matched.disputed.count} 笔"
        f"{_money_chinese(matched.disputed.amounts)}，已被拦下 {matched.blocked.count} 笔。",
        f"精确率：{_precision_chinese(result.precision)}",
    ]
    said += _moves_chinese(result.raised, result.lowered)
    if result.covered_count:
        names = "、".join(f"{name}（{count}）" for name, count in result.overlaps)
        said.append(f"其中 {result.covered_count} 笔现行规则也会命中：{names}。")
    if result.is_draft:
        said.append("这是草稿：以上为其生效时的作用。")
    return tuple(said)


def _whole_english(tested: Backtest) -> tuple[str, ...]:
    said = [
        f"Of {tested.payments.all.count} payments, rules that act match {tested.matched.all.count}.",
        f"Precision: {_precision_english(tested.precision)}",
        *_moves_english(tested.raised, tested.lowered),
    ]
    if tested.uncertain_count:
        said.append(
            f"For {tested.uncertain_count} payments the log does not tell what the score alone would have done; the mildest is taken."
        )
    return tuple(said)


def _whole_chinese(tested: Backtest) -> tuple[str, ...]:
    said = [
        f"{tested.payments.all.count} 笔付款中，起作用的规则命中 {tested.matched.all.count} 笔。",
        f"精确率：{_precision_chinese(tested.precision)}",
        *_moves_chinese(tested.raised, tested.lowered),
    ]
    if tested.uncertain_count:
        said.append(f"有 {tested.uncertain_count} 笔付款无法从记录得知单凭评分的结果，按最宽松计。")
    return tuple(said)


def _moves_english(raised: Split, lowered: Split) -> list[str]:
    said: list[str] = []
    if raised.count:
        said.append(
            f"{raised.count} payments would have met more than they did: {raised.good.count} good ones (added friction), "
            f"{raised.bad.count} bad ones{_money(raised.bad.amounts)}, {raised.unclear.count} of which it is not known."
        )
    if lowered.count:
        said.append(
            f"{lowered.count} payments would have met less: {lowered.good.count} good ones, {lowered.bad.count} bad ones"
            f"{_money(lowered.bad.amounts)}, {lowered.unclear.count} of which it is not known."
        )
    return said or ["No payment would have been treated otherwise."]


def _moves_chinese(raised: Split, lowered: Split) -> list[str]:
    said: list[str] = []
    if raised.count:
        said.append(
            f"{raised.count} 笔付款会受到更严的处理：正常 {raised.good.count} 笔（新增打扰），"
            f"欺诈或争议 {raised.bad.count} 笔{_money_chinese(raised.bad.amounts)}，结果未知 {raised.unclear.count} 笔。"
        )
    if lowered.count:
        said.append(
            f"{lowered.count} 笔付款会受到更宽的处理：正常 {lowered.good.count} 笔，"
            f"欺诈或争议 {lowered.bad.count} 笔{_money_chinese(lowered.bad.amounts)}，结果未知 {lowered.unclear.count} 笔。"
        )
    return said or ["没有付款的处理会因此改变。"]


def _precision_english(precision: Precision) -> str:
    if not precision.is_enough:
        return f"only {precision.count} of them went through, too few to speak of a share."
    bounds = f"95 % interval {_percent(precision.low)} to {_percent(precision.high)}"
    share = _percent(precision.bad_count / precision.count)
    return f"{precision.bad_count} of {precision.count} that went through were bad ({share}, {bounds})."


def _precision_chinese(precision: Precision) -> str:
    if not precision.is_enough:
        return f"其中只有 {precision.count} 笔成功，不足以估计。"
    bounds = f"95 % 区间 {_percent(precision.low)} 至 {_percent(precision.high)}"
    share = _percent(precision.bad_count / precision.count)
    return f"成功的 {precision.count} 笔中有 {precision.bad_count} 笔欺诈或争议（{share}，{bounds}）。"


def _money(amounts: Amounts) -> str:
    """Return amounts in brackets, in major units with two decimals whatever the currency; nothing where there are none."""
    if not amounts:
        return ""
    return f" ({', '.join(_amount(*pair) for pair in amounts.items())})"


def _money_chinese(amounts: Amounts) -> str:
    return f"（{'、'.join(_amount(*pair) for pair in amounts.items())}）" if amounts else ""


def _amount(currency: str, value: int) -> str:
    return f"{Decimal(value).scaleb(-2):,.2f} {currency}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
