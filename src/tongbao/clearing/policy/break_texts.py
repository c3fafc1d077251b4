"""The words of reconciliation, in English and Chinese: kinds of breaks, states, how a pair was found, what to do. Pure tables."""

from collections.abc import Mapping

from tongbao.clearing.policy.suggesting import Suggestion
from tongbao.clearing.schema.breaks import BreakKind, BreakState, How, Leg

LANGUAGES = ("en", "zh-CN")
_COLUMN = {"en": 0, "zh": 1, "zh-CN": 1}
Pair = tuple[str, str]

KINDS: dict[BreakKind, Pair] = {
    BreakKind.EXPECTED: ("Not reported yet, still in time", "尚未报告，仍在期限内"),
    BreakKind.MISSING: ("Not reported, overdue", "逾期未报告"),
    BreakKind.UNEXPECTED: ("Reported, not in our books", "对方有，我方无"),
    BreakKind.OVER_AMOUNT: ("Reported more than our books say", "对方金额偏大"),
    BreakKind.UNDER_AMOUNT: ("Reported less than our books say", "对方金额偏小"),
    BreakKind.CURRENCY_MISMATCH: ("Another currency", "币种不一致"),
    BreakKind.DATA_MISMATCH: ("Amount agrees, other data do not", "金额一致，其他信息不一致"),
    BreakKind.SPLIT_MISMATCH: ("Parts do not sum to the whole", "分项与总额不符"),
    BreakKind.DUPLICATE: ("Reported more than once", "重复报告"),
    BreakKind.FEE_MISMATCH: ("Another cost than agreed", "手续费与约定不符"),
    BreakKind.STATEMENT_GAP: ("A statement is missing", "缺少对账单"),
    BreakKind.RETURN_LATE: ("A payout came back after it was booked", "出款入账后被退回"),
}
STATES: dict[BreakState, Pair] = {
    BreakState.OPEN: ("open", "待处理"),
    BreakState.EXPLAINED: ("explained", "已说明"),
    BreakState.PROPOSED: ("write-off proposed", "核销待复核"),
    BreakState.RESOLVED: ("resolved", "已解决"),
    BreakState.WRITTEN_OFF: ("written off", "已核销"),
}
LEGS: dict[Leg, Pair] = {
    Leg.CHANNEL: ("journal against channel", "账务对渠道"),
    Leg.BANK: ("channel against bank", "渠道对银行"),
}
HOWS: dict[How, Pair] = {
    How.REFERENCE: (
        "Our reference, the amount and the currency are equal.",
        "我方单号、金额与币种一致。",
    ),
    How.CHANNEL_REFERENCE: (
        "The channel's own number, the amount and the currency are equal.",
        "渠道单号、金额与币种一致。",
    ),
    How.TOTAL: (
        "The parts under one number sum to exactly the other side.",
        "同一编号下的分项之和与对方总额完全相等。",
    ),
    How.AMOUNT_DATE: (
        "The only two of this amount within days of each other; neither has a rival.",
        "相近日期内金额相同且唯一的一对，双方均无其他候选。",
    ),
    How.PERSON: ("A person said so.", "由人工确认。"),
}
CAUSES: dict[str, Pair] = {
    "kind": ("The kinds differ: one side calls it something else.", "类型不一致：双方对该笔的定义不同。"),
    "on": ("The days lie too far apart.", "日期相差过大。"),
    "reference": ("The channel's number is the same, our reference is not.", "渠道单号相同，我方单号不同。"),
    "file_day": ("The day of the line is none of its file's.", "该行的日期不属于其文件所属的日期。"),
}
SUGGESTIONS: dict[Suggestion, Pair] = {
    Suggestion.WAIT: ("Wait: it is due by {due_on}.", "请等待：最迟应于 {due_on} 报告。"),
    Suggestion.ASK_CHANNEL: (
        "Ask {source} for {reference}; nothing of it came in {days} days.",
        "向 {source} 查询 {reference}：已 {days} 天没有回音。",
    ),
    Suggestion.INQUIRE: (
        "Inquire the payment: the channel may know its outcome ({reference}).",
        "查询该笔付款：渠道可能知道结果（{reference}）。",
    ),
    Suggestion.MAJOR_UNITS: (
        "The file seems to write amounts in another unit: exactly {factor} times apart.",
        "文件的金额单位似乎不同：恰好相差 {factor} 倍。",
    ),
    Suggestion.NET_FOR_GROSS: (
        "The difference is exactly the cost: the file tells net where gross was agreed.",
        "差额恰为手续费：文件给出的是净额而非总额。",
    ),
    Suggestion.SWAPPED: (
        "{other} has the opposite difference: the two were confused.",
        "{other} 的差额正好相反：两笔可能混淆。",
    ),
    Suggestion.LOOKS_LIKE: (
        "{other} has this amount within {days} days: match them if they are the same.",
        "{other} 在 {days} 天内金额相同：如为同一笔请人工勾对。",
    ),
    Suggestion.PARTIAL: (
        "Part of it may still come: {percent} % is there.",
        "可能尚有部分未到：已到 {percent}%。",
    ),
    Suggestion.RETURN_TWICE: (
        "Have the channel take the repeat back; keep the first.",
        "请渠道冲回重复的一笔，保留第一笔。",
    ),
    Suggestion.CHECK_PRICE: (
        "Compare the price list with the channel's contract: {told} against {agreed}.",
        "核对价格表与渠道合同：实收 {told}，约定 {agreed}。",
    ),
    Suggestion.FETCH_STATEMENT: (
        "Ask {source} for the statement that is missing.",
        "请向 {source} 补取缺失的对账单。",
    ),
    Suggestion.CREDIT_BACK: (
        "The money is credited to the merchant again; mend the account before paying anew.",
        "款项已退回商户余额；重新出款前请先修正账户。",
    ),
    Suggestion.ASK_WHO: (
        "Find out what {source} booked here; nothing of ours is like it.",
        "请核实 {source} 此笔入账：我方没有类似记录。",
    ),
}


def words(pair: Pair, language: str) -> str:
    """Return one of two texts; English for a language that is not spoken here."""
    return pair[_COLUMN.get(language, 0)]


def suggestion_text(suggestion: Suggestion, facts: Mapping[str, str], language: str) -> str:
    """Return the sentence of a suggestion with its facts in place; a fact that is missing shows as a dash."""
    return words(SUGGESTIONS[suggestion], language).format_map(_Dashes(facts))


class _Dashes(dict[str, str]):
    def __missing__(self, _key: str) -> str:
        return "–"
