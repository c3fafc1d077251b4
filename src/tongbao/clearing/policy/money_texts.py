"""The words of bills, statements and receipts, and where money is in one sentence; in English and Chinese. Pure tables."""

from collections.abc import Mapping

from tongbao.clearing.schema.bills import MoneyState
from tongbao.clearing.schema.movements import KIND_NAMES, MovementKind
from tongbao.clearing.schema.statements import Entry
from tongbao.core.errors import InvalidRequest

LANGUAGES = ("en", "zh-CN")
_COLUMN = {"en": 0, "zh": 1, "zh-CN": 1}
Pair = tuple[str, str]

ENTRIES: Mapping[str, Pair] = {
    KIND_NAMES[MovementKind.SALE]: ("Sale", "收款"),
    KIND_NAMES[MovementKind.REFUND]: ("Refund", "退款"),
    KIND_NAMES[MovementKind.REFUND_FAILED]: ("Refund that failed", "退款失败退回"),
    KIND_NAMES[MovementKind.DISPUTE]: ("Withheld for a dispute", "争议扣留"),
    KIND_NAMES[MovementKind.DISPUTE_WON]: ("Dispute won", "争议胜诉返还"),
    KIND_NAMES[MovementKind.ADJUSTMENT]: ("Adjustment", "调账"),
    KIND_NAMES[MovementKind.PAYOUT_RETURNED]: ("Payout returned", "出款退回"),
    KIND_NAMES[MovementKind.DEBT_PAID]: ("Paid by the merchant", "商户还款"),
    KIND_NAMES[MovementKind.DEBT_WRITTEN_OFF]: ("Debt given up", "欠款核销"),
    Entry.FEES: ("Fees with tax", "手续费（含税）"),
    Entry.RESERVE_HELD: ("Withheld as reserve", "扣留保证金"),
    Entry.RESERVE_RELEASED: ("Reserve released", "释放保证金"),
    Entry.PAYOUT: ("Payout", "出款"),
    Entry.PAYOUT_RETURNED: ("Payout that came back", "出款被退回"),
}
STATES: Mapping[MoneyState, Pair] = {
    MoneyState.WAITING: ("waits for settlement", "待结算"),
    MoneyState.CUT: ("in a batch, fees being worked out", "已入批次，计费中"),
    MoneyState.PRICED: ("waits for approval", "待审批"),
    MoneyState.APPROVED: ("approved for payout", "已批准，待出款"),
    MoneyState.SENT: ("on its way to the bank", "出款途中"),
    MoneyState.PAID: ("paid out", "已出款"),
    MoneyState.CARRIED: ("carried into the next batch", "结转下一批次"),
    MoneyState.FAILED: ("payout failed", "出款失败"),
}
COLUMNS: Mapping[str, Pair] = {
    "at": ("Time", "时间"),
    "entry": ("What", "类型"),
    "reference": ("Number", "编号"),
    "payment": ("Payment", "支付单号"),
    "method": ("Method", "支付方式"),
    "channel": ("Channel", "渠道"),
    "store": ("Store", "门店"),
    "channel_reference": ("Channel's number", "渠道单号"),
    "amount_minor": ("Amount", "金额"),
    "fee_minor": ("Fee with tax", "手续费（含税）"),
    "tax_minor": ("Tax in the fee", "其中税额"),
    "net_minor": ("Net", "净额"),
    "change_minor": ("Change of balance", "余额变动"),
    "balance_minor": ("Balance", "余额"),
    "currency": ("Currency", "币种"),
    "batch": ("Batch", "批次号"),
    "payout_on": ("Payout date", "出款日期"),
}
"""The columns of a statement's lines, in their order; those in ``_minor`` are amounts."""
WORDS: Mapping[str, Pair] = {
    "statement": ("Statement", "对账单"),
    "summary": ("Summary", "汇总"),
    "lines": ("Movements", "明细"),
    "days": ("Days", "期间"),
    "zone": ("Time zone", "时区"),
    "opening": ("Opening balance", "期初余额"),
    "closing": ("Closing balance", "期末余额"),
    "in_transit_minor": ("of it not settled yet", "其中：待结算"),
    "payable_minor": ("of it payable or on its way", "其中：待出款及在途"),
    "reserve_minor": ("of it reserve", "其中：保证金"),
    "owed_minor": ("less owed to the house", "减：欠平台款"),
    "fees": ("Fees with tax", "手续费（含税）"),
    "tax": ("Tax in the fees", "其中税额"),
    "held": ("moved into the reserve in this time", "本期转入保证金"),
    "released": ("released from the reserve in this time", "本期释放保证金"),
    "payouts": ("Payouts", "出款"),
    "returned": ("Payouts that came back", "出款被退回"),
    "final": ("Final", "最终版"),
    "not_final": ("Not final: the time is not over yet", "非最终版：期间尚未结束"),
    "left_out": ("further lines are in the file to download", "行明细请下载文件查看"),
    "made_at": ("Made", "生成时间"),
}
SENTENCES: Mapping[str, Pair] = {
    "not_captured": (
        "{amount} has not been collected yet, so there is nothing to pay out.",
        "{amount} 尚未收款成功，暂无可出款金额。",
    ),
    "pending": (
        "{amount} was collected and is being recorded; it will be in a settlement within minutes.",
        "{amount} 已收款，正在入账，几分钟内进入结算。",
    ),
    MoneyState.WAITING: (
        "{amount} waits for its settlement on {cut} and is expected in the account on {payout}.",
        "{amount} 将于 {cut} 进入结算批次，预计 {payout} 到账。",
    ),
    MoneyState.CUT: (
        "{amount} is in batch {batch}, whose fees are being worked out; it is expected on {payout}.",
        "{amount} 已进入批次 {batch}，正在计费，预计 {payout} 到账。",
    ),
    MoneyState.PRICED: (
        "{amount} is in batch {batch}, which waits for approval; it is expected on {payout}.",
        "{amount} 在批次 {batch} 中，等待审批，预计 {payout} 到账。",
    ),
    MoneyState.APPROVED: (
        "{amount} is in batch {batch}, which is approved and paid on {payout}.",
        "{amount} 在批次 {batch} 中，已批准，将于 {payout} 出款。",
    ),
    MoneyState.SENT: (
        "{amount} left with payout {payout_id} and is with the bank; it is expected on {payout}.",
        "{amount} 已随出款 {payout_id} 发往银行，预计 {payout} 到账。",
    ),
    MoneyState.PAID: (
        "{amount} was paid to the account on {paid}.",
        "{amount} 已于 {paid} 付至收款账户。",
    ),
    MoneyState.CARRIED: (
        "{amount} was settled in batch {batch}, of which nothing was paid; its net went on into the next batch.",
        "{amount} 已在批次 {batch} 中结算，该批次无出款，净额结转下一批次。",
    ),
    "carried_on": (
        "{amount} was settled in batch {batch}, of which nothing was paid; its net went on into batch {carried_to}.",
        "{amount} 已在批次 {batch} 中结算，该批次无出款，净额已结转至批次 {carried_to}。",
    ),
    MoneyState.FAILED: (
        "{amount} is in batch {batch}, whose payout failed; it stays with the house until it is sent again.",
        "{amount} 在批次 {batch} 中，出款失败，款项保留在平台，待重新出款。",
    ),
    "several": ("This money is in several places: {parts}", "这笔款项分布在多处：{parts}"),
    "nothing": ("Nothing of this is to be paid out.", "没有需要出款的金额。"),
}
STAGES: Mapping[str, Pair] = {
    "created": ("Payment made", "支付单创建"),
    "moved": ("Recorded", "入账"),
    "reported": ("Reported by the channel", "渠道对账单已列明"),
    "cut": ("Batch cut", "批次截止"),
    "priced": ("Fees worked out", "计费完成"),
    "approved": ("Batch approved", "批次已批准"),
    "carried": ("Carried into the next batch", "结转下一批次"),
    "failed": ("Payout failed", "出款失败"),
    "payout_created": ("Payout made", "出款单创建"),
    "payout_sent": ("Payout sent to the bank", "出款已发往银行"),
    "payout_paid": ("Paid", "已到账"),
    "payout_rejected": ("Refused by the bank", "银行拒绝"),
    "payout_returned": ("Came back", "被退回"),
    "payout_canceled": ("Payout canceled", "出款已取消"),
    "stated": ("On the bank's statement", "银行对账单已列明"),
}
NEXT: Mapping[str, Pair] = {
    "capture": ("is collected", "完成收款"),
    "record": ("is recorded", "入账"),
    "cut": ("the batch is cut", "批次截止"),
    "price": ("the fees are worked out", "计算手续费"),
    "approve": ("the batch is approved", "批次审批"),
    "send": ("the payout is sent", "发送出款"),
    "pay": ("the bank pays", "银行付款"),
    "state": ("the bank's statement shows it", "银行对账单列明"),
    "mend": ("the account is checked and the payout sent again", "核对账户后重新出款"),
    "carry": ("the next batch pays it", "由下一批次支付"),
    "done": ("nothing more", "已完成"),
}
RECEIPTS: Mapping[str, Pair] = {
    "receipt": ("Receipt", "收款凭证"),
    "refund_receipt": ("Receipt of a refund", "退款凭证"),
    "invoice": ("Invoice", "手续费账单"),
}

PAPER: Mapping[str, Pair] = {
    "number": ("Number", "编号"),
    "issued_at": ("Issued", "开具时间"),
    "recipient": ("For", "抬头"),
    "days": ("Days", "期间"),
    "source": ("Payment", "支付单号"),
    "refund": ("Refund", "退款单号"),
    "merchant_reference": ("Order", "订单号"),
    "description": ("Description", "说明"),
    "currency": ("Currency", "币种"),
    "what": ("What", "项目"),
    "count": ("Count", "笔数"),
    "net": ("Without tax", "不含税金额"),
    "tax_rate": ("Tax", "税种税率"),
    "tax": ("Amount of tax", "税额"),
    "amount": ("Amount", "金额"),
    "total": ("Total", "合计"),
    "paid": ("Paid", "实收金额"),
    "given_back": ("Given back", "退还金额"),
    "charged": ("Charged", "应付手续费"),
    "at": ("Time", "时间"),
    "test": ("Made in test mode: no money moved", "测试模式开具，未发生真实资金往来"),
    "taxes": ("Taxes", "税额汇总"),
}
"""The words of receipts and invoices."""
METHODS: Mapping[str, Pair] = {
    "card": ("Card", "银行卡"),
    "alipay": ("Alipay", "支付宝"),
    "wechat_pay": ("WeChat Pay", "微信支付"),
    "wallet": ("Wallet", "钱包"),
}
"""Ways of paying as payers know them."""
PROFIT: Mapping[str, Pair] = {
    "month_on": ("Month", "月份"),
    "book": ("Book", "商户账簿"),
    "method": ("Method", "支付方式"),
    "channel": ("Channel", "渠道"),
    "currency": ("Currency", "币种"),
    "count": ("Movements", "笔数"),
    "volume_minor": ("Sales", "交易额"),
    "fees_minor": ("Fees with tax", "手续费（含税）"),
    "tax_minor": ("Tax in the fees", "其中税额"),
    "cost_minor": ("Cost of channels", "渠道成本"),
    "agent_minor": ("Commissions", "代理佣金"),
    "write_offs_minor": ("Written off", "核销损益"),
    "margin_minor": ("Margin", "毛利"),
}
"""The columns of a profit report, in their order; those in ``_minor`` are amounts."""


def text(words: Pair, language: str) -> str:
    """Return the words of a language; raise InvalidRequest ``language_unknown``."""
    if language not in _COLUMN:
        raise InvalidRequest("language_unknown", f"there are {', '.join(LANGUAGES)}")
    return words[_COLUMN[language]]


def sentence(code: str, language: str, **facts: str) -> str:
    """Return where money is, in one sentence with its facts."""
    return text(SENTENCES[code], language).format(**facts)
