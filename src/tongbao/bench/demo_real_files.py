"""The files of a day: what each channel reports from its own book, in its own form, and what it sends to the house's bank for it.

Pure but for the names of files: rows in, bytes out. The card host reports a table, localstripe a balance report of Stripe, the
wallets their bills; all but Alipay pay what they owe to the bank, under a reference that their file names.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from tongbao.bench import clearing_drill_files
from tongbao.bench.clearing_drill_files import Entry
from tongbao.bench.clearing_drill_terms import CARD, COLUMNS
from tongbao.bench.demo_real_channels import ALIPAY, HOUSE_BANK, WECHAT
from tongbao.bench.demo_real_peers import HOST_SIM, REPLICA
from tongbao.clearing.schema.lines import CsvColumns, Format, Side, SourceTerms, Tells
from tongbao.simulator import day_files
from tongbao.simulator.sandbox import settlement_files
from tongbao.simulator.sandbox.settlement_files import Row

FUNDS = "wechatpay_funds"
SHANGHAI = "Asia/Shanghai"
_FORMATS = {
    HOST_SIM: Format.CSV,
    REPLICA: Format.STRIPE_BALANCE,
    ALIPAY: Format.ALIPAY_BILL,
    WECHAT: Format.WECHAT_TRADE,
    FUNDS: Format.WECHAT_FUND,
}
_PREFIXES = {HOST_SIM: "HOST", REPLICA: "REPLICA", WECHAT: "WX"}
"""How a channel's transfers to the bank are called; a channel that is not here keeps what it owes."""


class Report(NamedTuple):
    """A file of a source, and what the channel sent to the bank for it (None: nothing)."""

    source: str
    content: bytes
    sent: Row | None


def terms_of(source: str, *, pays: bool) -> SourceTerms:
    """Return what is agreed with a channel about its files; ``pays``: the house has a bank that it may pay."""
    is_wallet = source in (ALIPAY, WECHAT, FUNDS)
    tells_transfers = pays and source in (HOST_SIM, REPLICA, FUNDS)
    return SourceTerms(
        source=source,
        side=Side.CHANNEL,
        format=_FORMATS[source],
        zone=SHANGHAI if is_wallet else "UTC",
        currency="CNY" if is_wallet else "",
        report_days=1,
        is_daily=False,
        channel=WECHAT if source == FUNDS else "",
        tells=Tells.FUNDS if source == FUNDS else Tells.PAYMENTS,
        bank=HOUSE_BANK if tells_transfers else "",
        columns=COLUMNS if source == HOST_SIM else CsvColumns(),
    )


def bank_terms() -> SourceTerms:
    """Return what is agreed with the house's bank about its statements."""
    return SourceTerms(
        source=HOUSE_BANK, side=Side.BANK, format=Format.CAMT_053, report_days=1, is_daily=False, zone="UTC"
    )


def reports_of(channel: str, rows: Sequence[Row], at: datetime, *, pays: bool) -> list[Report]:
    """Return the files of a channel's day; none where nothing happened."""
    if not rows:
        return []
    sent = _sent(channel, rows, at) if pays else None
    if channel == WECHAT:
        funds = day_files.funds_of(rows, sent.amount_minor if sent else 0, sent.reference if sent else "", at)
        return [
            Report(channel, day_files.file_of(channel, rows, at.date()), None),
            Report(FUNDS, funds, sent),
        ]
    if channel == ALIPAY:
        return [Report(channel, day_files.file_of(channel, rows, at.date()), None)]
    told = [msgspec.structs.replace(row, batch=sent.reference) for row in rows] if sent else list(rows)
    told += [sent] if sent else []
    if channel == REPLICA:
        return [Report(channel, settlement_files.stripe(told), sent)]
    entries = [Entry(row=row, deeds=frozenset(), line=f"{row.kind}-{row.channel_reference}") for row in told]
    return [Report(channel, clearing_drill_files.written(CARD, at.date(), entries), sent)]


def _sent(channel: str, rows: Sequence[Row], at: datetime) -> Row | None:
    """Return what a channel sends to the bank: what it owes after its costs, all in one currency."""
    owed = day_files.net_of(rows)
    if channel not in _PREFIXES or owed <= 0:
        return None
    reference = f"{_PREFIXES[channel]}{at:%Y%m%d%H%M%S}"
    return Row(
        reference=reference,
        channel_reference=reference,
        kind="transfer",
        amount_minor=owed,
        currency=rows[0].currency,
        at=at,
        batch=reference,
    )
