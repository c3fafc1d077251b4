"""Which reader reads which format. The one entrance to this house's readers (``ports.FileOpener``)."""

from collections.abc import Callable, Mapping
from typing import BinaryIO

from tongbao.clearing.adapters.alipay_bill import AlipayBill
from tongbao.clearing.adapters.bank_notices import BankNotice, is_notice
from tongbao.clearing.adapters.batch_totals import BatchTotals
from tongbao.clearing.adapters.camt import Camt
from tongbao.clearing.adapters.csv_columns import CsvFile
from tongbao.clearing.adapters.mt940 import Mt940
from tongbao.clearing.adapters.stripe_balance import StripeBalance
from tongbao.clearing.adapters.wechat_bills import WechatFund, WechatTrade
from tongbao.clearing.ports import FileReader
from tongbao.clearing.schema.lines import Format, SourceTerms
from tongbao.core.errors import InvalidRequest

_READERS: Mapping[Format, Callable[[BinaryIO, SourceTerms], FileReader]] = {
    Format.STRIPE_BALANCE: StripeBalance,
    Format.ALIPAY_BILL: AlipayBill,
    Format.WECHAT_TRADE: WechatTrade,
    Format.WECHAT_FUND: WechatFund,
    Format.ISO8583_TOTALS: BatchTotals,
    Format.CAMT_052: Camt,
    Format.CAMT_053: Camt,
    Format.CAMT_054: Camt,
    Format.MT940: Mt940,
    Format.CSV: CsvFile,
}


def open_file(stream: BinaryIO, terms: SourceTerms) -> FileReader:
    """Return the reader of a file, its head already read.

    Raises InvalidRequest ``format_unknown``, or ``file_unreadable`` where the file is empty, is no file of this format, or the terms
    cannot read it. A bank's message that is no statement is read as a notice, whatever format was agreed.
    """
    reader = _READERS.get(terms.format)
    if reader is None:
        raise InvalidRequest("format_unknown", f"nobody here reads {terms.format}")
    return BankNotice(stream, terms) if is_notice(stream, terms) else reader(stream, terms)
