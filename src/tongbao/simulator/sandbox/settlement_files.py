"""The files that channels and banks send at the end of a day, written as they write them. Pure: rows in, bytes out.

It shares no code with the readers of clearing, so that a mistake on either side shows. Amounts are signed minor units as the house
sees them (a sale is positive, a refund negative); each file writes them in its own units, signs and encodings, with totals
where the real one has totals.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import msgspec

from tongbao.core import currencies

_SHANGHAI = ZoneInfo("Asia/Shanghai")
_STRIPE_CATEGORIES = {
    "sale": "charge",
    "refund": "refund",
    "dispute": "dispute",
    "dispute_won": "dispute_reversal",
    "fee": "fee",
    "transfer": "payout",
}
_STRIPE_EXPONENTS = {"ISK": 2, "UGX": 2, "MGA": 0}
_STRIPE_HEAD = (
    "balance_transaction_id,created_utc,available_on_utc,currency,gross,fee,net,reporting_category,source_id,"
    "description,payment_intent_id,payment_metadata[reference],refund_metadata[reference],automatic_payout_id"
)
_ALIPAY_HEAD = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_WECHAT_HEAD = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,"
    "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_WECHAT_TOTALS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
_FUND_HEAD = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额（元）,账户结余（元）,资金变更提交申请人,备注,业务凭证号"
_FUND_TYPES = {
    "sale": "交易",
    "refund": "退款",
    "fee": "扣除交易手续费",
    "transfer": "提现",
    "payout": "商家转账",
    "return": "商家转账退款",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One payment, refund, dispute, payout or transfer as the other side knows it.

    ``reference``: ours; ``channel_reference``: theirs. ``kind``: a word of ``clearing.schema.lines.LineKind``. ``fee_minor``: what it
    cost. ``batch``: the payout or booking that it is a part of.
    """

    reference: str
    channel_reference: str
    kind: str
    amount_minor: int
    fee_minor: int = 0
    currency: str = "CNY"
    at: datetime
    batch: str = ""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement of a bank says besides its entries. ``opening_minor``: of the balance before the first entry."""

    account: str
    on: date
    number: int
    currency: str = "CNY"
    opening_minor: int = 0
    message: str = "camt.053"
    version: int = 8


def stripe(rows: Sequence[Row]) -> bytes:
    """Return an itemized balance report. A transfer (money to us) leaves Stripe's balance."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(_STRIPE_HEAD.split(","))
    for index, row in enumerate(rows, 1):
        sign = -1 if row.kind == "transfer" else 1
        exponent = _STRIPE_EXPONENTS.get(row.currency, _exponent(row.currency))
        amounts = (row.amount_minor, row.fee_minor, row.amount_minor - row.fee_minor)
        written = [_stripe_major(sign * each, row.currency, exponent) for each in amounts]
        is_refund, is_transfer = row.kind == "refund", row.kind == "transfer"
        table.writerow(
            [
                f"txn_{row.channel_reference}_{row.kind}_{index}",
                _utc(row.at, " "),
                _utc(row.at + timedelta(days=2), " "),
                row.currency.lower(),
                *written,
                _STRIPE_CATEGORIES[row.kind],
                row.channel_reference,
                "",
                row.channel_reference if row.kind == "sale" else "",
                "" if is_refund or is_transfer else row.reference,
                row.reference if is_refund else "",
                row.batch,
            ]
        )
    return out.getvalue().encode()


def alipay(rows: Sequence[Row], account: str, on: date) -> bytes:
    """Return a bill of business details of a day, GBK."""
    line = "-" * 40
    head = [
        "#支付宝业务明细查询",
        f"#账号：[{account}]",
        f"#起始日期：[{_chinese(on)}]   终止日期：[{_chinese(on + timedelta(days=1))}]",
        f"#{line}业务明细列表{line}",
        _ALIPAY_HEAD,
    ]
    tail = [f"#{line}业务明细列表结束{'-' * 36}"]
    for word, kind, noun in (("交易", "sale", ""), ("退款", "refund", "退款")):
        chosen = [row.amount_minor for row in rows if row.kind == kind]
        tail.append(
            f"#{word}合计：{len(chosen)}笔，商家实收{noun}共{_major(sum(chosen), 2)}元，商家优惠{noun}共0.00元"
        )
    tail.append(f"#导出时间：[{_chinese(on + timedelta(days=1))}]")
    lines = [*head, *(_alipay_line(row) for row in rows), *tail]
    return "".join(f"{each}\r\n" for each in lines).encode("gbk")


def wechat_trade(rows: Sequence[Row]) -> bytes:
    """Return a bill of trades, UTF-8 with its mark."""
    lines = [_WECHAT_HEAD, *(_wechat_line(row) for row in rows)]
    sales = sum(row.amount_minor for row in rows if row.kind == "sale")
    refunds = -sum(row.amount_minor for row in rows if row.kind == "refund")
    fees = sum(row.fee_minor for row in rows)
    totals = (
        str(len(rows)),
        _major(sales, 2),
        _major(refunds, 2),
        "0.00",
        f"{_major(fees, 2)}000",
        _major(sales, 2),
        _major(refunds, 2),
    )
    lines += [_WECHAT_TOTALS, ",".join(f"`{each}" for each in totals)]
    return "".join(f"{each}\r\n" for each in lines).encode("utf-8-sig")


def wechat_fund(rows: Sequence[Row], opening_minor: int = 0) -> bytes:
    """Return a bill of the account's flow, UTF-8 with its mark; fees stand on lines of their own."""
    lines, balance = [_FUND_HEAD], opening_minor
    incomes: list[int] = []
    expenses: list[int] = []
    flows = [*_flows(rows)]
    for row, kind, amount in flows:
        balance += amount
        (incomes if amount >= 0 else expenses).append(abs(amount))
        cells = (
            _local(row.at),
            row.channel_reference,
            f"flow{row.channel_reference}",
            _FUND_TYPES[kind],
            _FUND_TYPES[kind],
            "收入" if amount >= 0 else "支出",
            _major(abs(amount), 2),
            _major(balance, 2),
            "1900000109",
            "",
            row.reference,
        )
        lines.append(",".join(f"`{each}" for each in cells))
    totals = (len(flows), len(incomes), _major(sum(incomes), 2), len(expenses), _major(sum(expenses), 2))
    lines += [
        "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额",
        ",".join(f"`{each}" for each in totals),
    ]
    return "".join(f"{each}\r\n" for each in lines).encode("utf-8-sig")


def acquirer_totals(rows: Sequence[Row], zone: str = "UTC") -> bytes:
    """Return the counts and sums of an acquirer by day, currency and kind, in the text form that is handed on for fields 74–89."""
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in rows:
        day = row.at.astimezone(ZoneInfo(zone)).date().isoformat()
        sums[day, row.currency, row.kind].append(row.amount_minor)
    lines = ["date,currency,kind,count,amount_minor"]
    lines += [f"{','.join(key)},{len(amounts)},{sum(amounts)}" for key, amounts in sorted(sums.items())]
    lines.append(f"end,,,{len(sums)},{sum(row.amount_minor for row in rows)}")
    return "".join(f"{each}\n" for each in lines).encode()


def camt(rows: Sequence[Row], statement: Statement) -> bytes:
    """Return a statement (or report, or notification) of ISO 20022; rows of one ``batch`` are one entry with their details."""
    kind = {"camt.052": "Rpt", "camt.053": "Stmt", "camt.054": "Ntfctn"}[statement.message]
    message = {"Rpt": "BkToCstmrAcctRpt", "Stmt": "BkToCstmrStmt", "Ntfctn": "BkToCstmrDbtCdtNtfctn"}[kind]
    entries = _bookings(rows)
    net = sum(row.amount_minor for row in rows)
    name = f"{statement.account}-{statement.on}-{statement.number}"
    stamp = f"{statement.on}T23:59:00Z"
    balances = "" if kind == "Ntfctn" else _camt_balances(statement, net)
    version = f"{statement.message}.001.{statement.version:02d}"
    body = "".join(_camt_entry(each, statement) for each in entries)
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{version}"><{message}>'
        f"<GrpHdr><MsgId>{escape(name)}</MsgId><CreDtTm>{stamp}</CreDtTm></GrpHdr><{kind}><Id>{escape(name)}</Id>"
        f"<ElctrncSeqNb>{statement.number}</ElctrncSeqNb><CreDtTm>{stamp}</CreDtTm>"
        f"<Acct><Id><Othr><Id>{escape(statement.account)}</Id></Othr></Id><Ccy>{statement.currency}</Ccy></Acct>{balances}"
        f"{_camt_totals(len(entries), net, statement)}{body}</{kind}></{message}></Document>\n"
    )
    return text.encode()


def mt940(rows: Sequence[Row], statement: Statement) -> bytes:
    """Return a statement as MT940; the end-to-end id stands in field 86."""
    day = f"{statement.on:%y%m%d}"
    closing = statement.opening_minor + sum(row.amount_minor for row in rows)
    lines = [
        f":20:{statement.number:05d}",
        f":25:{statement.account}",
        f":28C:{statement.number:05d}/1",
        f":60F:{_mt940_balance(day, statement.opening_minor, statement.currency)}",
    ]
    for row in rows:
        mark = "C" if row.amount_minor >= 0 else "D"
        code = "NRTI" if row.kind == "return" else "NCHG" if row.kind == "fee" else "NTRF"
        amount = _major(abs(row.amount_minor), _exponent(row.currency)).replace(".", ",")
        amount = amount if "," in amount else f"{amount},"
        lines.append(f":61:{day}{statement.on:%m%d}{mark}{amount}{code}NONREF//{row.channel_reference}")
        lines.append(f":86:/EREF/{row.reference}/REMI/{row.batch}")
    lines += [f":62F:{_mt940_balance(day, closing, statement.currency)}", "-"]
    return "".join(f"{each}\r\n" for each in lines).encode()


def _alipay_line(row: Row) -> str:
    is_refund = row.kind == "refund"
    amount = _major(row.amount_minor, 2)
    cells = {name: "0.00" if name.endswith("（元）") else "" for name in _ALIPAY_HEAD.split(",")}
    cells |= {
        "支付宝交易号": row.channel_reference,
        "商户订单号": row.batch if is_refund else row.reference,
        "业务类型": "退款" if is_refund else "交易",
        "商品名称": "茶",
        "创建时间": _local(row.at),
        "完成时间": _local(row.at),
        "订单金额（元）": amount,
        "商家实收（元）": amount,
        "退款批次号/请求号": row.reference if is_refund else "",
        "服务费（元）": _major(-row.fee_minor, 2),
    }
    return ",".join(f"{each}\t" for each in cells.values())


def _wechat_line(row: Row) -> str:
    is_refund = row.kind == "refund"
    amount = _major(abs(row.amount_minor), 2)
    cells = dict.fromkeys(_WECHAT_HEAD.split(","), "")
    sale, refund = ("0.00", amount) if is_refund else (amount, "0.00")
    cells |= {
        "交易时间": _local(row.at),
        "微信订单号": row.batch if is_refund and row.batch else row.channel_reference,
        "商户订单号": "" if is_refund else row.reference,
        "交易类型": "NATIVE",
        "交易状态": "REFUND" if is_refund else "SUCCESS",
        "付款银行": "OTHERS",
        "货币种类": "CNY",
        "应结订单金额": sale,
        "代金券金额": "0.00",
        "微信退款单号": row.channel_reference if is_refund else "0",
        "商户退款单号": row.reference if is_refund else "0",
        "退款金额": refund,
        "充值券退款金额": "0.00",
        "退款状态": "SUCCESS" if is_refund else "",
        "手续费": f"{_major(row.fee_minor, 2)}000",
        "费率": "0.60%",
        "订单金额": sale,
        "申请退款金额": refund,
    }
    return ",".join(f"`{each}" for each in cells.values())


def _flows(rows: Iterable[Row]) -> Iterable[tuple[Row, str, int]]:
    for row in rows:
        # Money that is withdrawn to us leaves the account.
        yield row, row.kind, -row.amount_minor if row.kind == "transfer" else row.amount_minor
        if row.fee_minor:
            yield row, "fee", -row.fee_minor


def _bookings(rows: Iterable[Row]) -> list[list[Row]]:
    """Return rows by their batch and day, those without one alone."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for index, row in enumerate(rows):
        key = (row.batch,) if row.batch else ("", str(index))
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _camt_balances(statement: Statement, net: int) -> str:
    codes = (("OPBD", statement.opening_minor), ("CLBD", statement.opening_minor + net))
    return "".join(
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_camt_amount(minor, statement.currency)}"
        f"<Dt><Dt>{statement.on}</Dt></Dt></Bal>"
        for code, minor in codes
    )


def _camt_totals(count: int, net: int, statement: Statement) -> str:
    """Return the summary in the form of the version: one element before the fourth, a pair of them since."""
    amount = _major(abs(net), _exponent(statement.currency))
    side = "CRDT" if net >= 0 else "DBIT"
    told = f"<TtlNetNtry><Amt>{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd></TtlNetNtry>"
    if statement.version < 4:
        told = f"<TtlNetNtryAmt>{amount}</TtlNetNtryAmt><CdtDbtInd>{side}</CdtDbtInd>"
    return f"<TxsSummry><TtlNtries><NbOfNtries>{count}</NbOfNtries>{told}</TtlNtries></TxsSummry>"


def _camt_entry(rows: Sequence[Row], statement: Statement) -> str:
    net = sum(row.amount_minor for row in rows)
    status = "<Sts><Cd>BOOK</Cd></Sts>" if statement.version >= 8 else "<Sts>BOOK</Sts>"
    servicer = rows[0].channel_reference if len(rows) == 1 else f"batch-{rows[0].batch}"[:35]
    batch = ""
    if len(rows) > 1:
        batch = f"<Btch><PmtInfId>{escape(rows[0].batch)}</PmtInfId><NbOfTxs>{len(rows)}</NbOfTxs></Btch>"
    return (
        f"<Ntry>{_camt_amount(net, rows[0].currency)}{status}<BookgDt><Dt>{statement.on}</Dt></BookgDt>"
        f"<ValDt><Dt>{statement.on}</Dt></ValDt><AcctSvcrRef>{escape(servicer)}</AcctSvcrRef>"
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{'RCDT' if net >= 0 else 'ICDT'}</Cd><SubFmlyCd>{_family(rows)}</SubFmlyCd></Fmly>"
        f"</Domn></BkTxCd><NtryDtls>{batch}{''.join(map(_camt_detail, rows))}</NtryDtls></Ntry>"
    )


def _family(rows: Sequence[Row]) -> str:
    return "CHRG" if rows[0].kind == "fee" else "OTHR"


def _camt_detail(row: Row) -> str:
    returned = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>" if row.kind == "return" else ""
    return (
        f"<TxDtls><Refs><AcctSvcrRef>{escape(row.channel_reference)}</AcctSvcrRef>"
        f"<EndToEndId>{escape(row.reference) or 'NOTPROVIDED'}</EndToEndId></Refs>"
        f"{_camt_amount(row.amount_minor, row.currency)}{returned}</TxDtls>"
    )


def _camt_amount(minor: int, currency: str) -> str:
    side = "CRDT" if minor >= 0 else "DBIT"
    return (
        f'<Amt Ccy="{currency}">{_major(abs(minor), _exponent(currency))}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
    )


def _mt940_balance(day: str, minor: int, currency: str) -> str:
    amount = _major(abs(minor), _exponent(currency)).replace(".", ",")
    return f"{'C' if minor >= 0 else 'D'}{day}{currency}{amount if ',' in amount else amount + ','}"


def _exponent(currency: str) -> int:
    return currencies.currency(currency).exponent


def _major(minor: int, exponent: int) -> str:
    """Return major units with all decimals of the currency, by digits alone."""
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}" if exponent else f"{sign}{digits}"


def _stripe_major(minor: int, currency: str, exponent: int) -> str:
    """Return major units as Stripe prints them, with the decimals of its own list."""
    own = _exponent(currency)
    if exponent >= own:
        return _major(int(f"{minor}{'0' * (exponent - own)}"), exponent)
    return _major(minor, own)


def _utc(at: datetime, between: str) -> str:
    return at.astimezone(UTC).strftime(f"%Y-%m-%d{between}%H:%M:%S")


def _local(at: datetime) -> str:
    return at.astimezone(_SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def _chinese(on: date) -> str:
    return f"{on:%Y}年{on:%m}月{on:%d}日 00:00:00"
