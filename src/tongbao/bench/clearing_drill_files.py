"""The files of the clearing drill: what channels and banks send at the end of a day, from their own record, each in its own form."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import msgspec

from tongbao.bench import clearing_drill_terms
from tongbao.bench.clearing_drill_terms import (
    ALIPAY,
    BANK_OF,
    CARD,
    CHANNELS,
    FLOW,
    GLOBAL,
    TERMINAL,
    WECHAT,
    YUAN_BANK,
    ZONE,
)
from tongbao.simulator.paper_channels import Act
from tongbao.simulator.sandbox import settlement_files
from tongbao.simulator.sandbox.settlement_files import Row, Statement

Deed = tuple[str, str, str]
"""Which deed of the other side it is: channel, kind, and what the channel calls it."""
Name = tuple[str, str, str]
"""By what a line is known whatever its file: source, kind, and the channel's reference (of totals: day, kind, currency)."""
_HEAD = ("line", "what", "currency", "gross", "fee", "net", "ours", "theirs", "batch", "at", "end")
_OPENING_MINOR = 100_000_000_00


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line to be written, and the deeds that it stands for. ``gross``: written instead of the amount; ``is_broken``: no text."""

    row: Row
    deeds: frozenset[Deed]
    line: str
    gross: str = ""
    is_broken: bool = False

    @property
    def name_in(self) -> tuple[str, str]:
        """By what the line is known in its source."""
        return self.row.kind, self.row.channel_reference


class Account:
    """An account at a bank: its statements go on from each other."""

    def __init__(self, source: str, currency: str) -> None:
        self.source = source
        self._currency = currency
        self._balance = _OPENING_MINOR
        self._number = 0

    def statement(self, on: date, rows: Sequence[Row]) -> bytes:
        """Return the statement of a day."""
        self._number += 1
        told = Statement(
            account=f"DRILL{self._currency}0001",
            on=on,
            number=self._number,
            currency=self._currency,
            opening_minor=self._balance,
        )
        self._balance += sum(row.amount_minor for row in rows)
        write = settlement_files.camt if self.source == YUAN_BANK else settlement_files.mt940
        return write(rows, told)

    @property
    def number(self) -> int:
        """The number of the last statement."""
        return self._number


class Owed:
    """What channels owe to banks of ours: summed up day by day, sent where it is positive."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], int] = defaultdict(int)

    def close(
        self, channel: str, on: date, entries: list[Entry]
    ) -> tuple[list[Entry], list[tuple[str, Row]]]:
        """Return the lines of a day with their batch, and what the channel sends for them to which bank."""
        sends = next(each.sends for each in CHANNELS if each.name == channel)
        closed, sent = [], []
        for entry in entries:
            row = entry.row
            if row.currency in sends and channel != WECHAT:
                row = msgspec.structs.replace(row, batch=_batch(channel, row.currency, on))
            self._sums[channel, row.currency] += row.amount_minor - row.fee_minor
            closed.append(msgspec.structs.replace(entry, row=row))
        at = datetime.combine(on, time(23, 30), ZoneInfo(ZONE))
        for currency in sorted(sends):
            amount = self._sums[channel, currency]
            if amount <= 0:
                continue
            self._sums[channel, currency] = 0
            batch = _batch(channel, currency, on)
            row = Row(
                reference=batch,
                channel_reference=batch,
                kind="transfer",
                amount_minor=amount,
                currency=currency,
                at=at,
                batch=batch if channel != WECHAT else "",
            )
            sent.append((BANK_OF[currency], row))
        return closed, sent


def entries_of(channel: str, acts: Iterable[Act]) -> list[Entry]:
    """Return a channel's day as lines, one for each deed."""
    found = []
    for act in acts:
        batch = ""
        if act.kind == "refund":
            # The bills of wallets name the payment of a refund: one by our number, one by its own.
            batch = {ALIPAY: act.order, WECHAT: act.payment}.get(channel, "")
        row = Row(
            reference=act.reference,
            channel_reference=act.channel_reference,
            kind=act.kind,
            amount_minor=act.amount_minor,
            fee_minor=act.fee_minor,
            currency=act.currency,
            at=act.at,
            batch=batch,
        )
        deed = channel, act.kind, act.channel_reference
        found.append(Entry(row=row, deeds=frozenset((deed,)), line=f"{act.kind}-{act.channel_reference}"))
    return found


def flow_of(entry: Entry) -> list[Entry]:
    """Return what moves in the account at a channel for a line of its bill: the amount, and its cost on a line of its own."""
    row = msgspec.structs.replace(entry.row, fee_minor=0, batch="")
    found = [_moved(row, entry.line)]
    if entry.row.fee_minor:
        cost = msgspec.structs.replace(row, kind="fee", amount_minor=-entry.row.fee_minor)
        found.append(_moved(cost, f"{entry.line}-fee"))
    return found


def transfer_entry(row: Row) -> Entry:
    """Return the line by which a channel says that it sent money."""
    return Entry(row=row, deeds=frozenset(), line=row.reference)


def written(source: str, on: date, entries: Sequence[Entry]) -> bytes:
    """Return the file of a channel for a day, in its form."""
    rows = [entry.row for entry in entries]
    match source:
        case clearing_drill_terms.CARD:
            return _table(entries)
        case clearing_drill_terms.GLOBAL:
            return settlement_files.stripe(rows)
        case clearing_drill_terms.TERMINAL:
            return settlement_files.acquirer_totals(rows, ZONE)
        case clearing_drill_terms.ALIPAY:
            return settlement_files.alipay(rows, "20881234", on)
        case clearing_drill_terms.WECHAT:
            return settlement_files.wechat_trade(rows)
        case _:
            return settlement_files.wechat_fund(rows)


def names_of(source: str, entries: Sequence[Entry]) -> dict[Name, frozenset[Deed]]:
    """Return by which names the lines of a file are known, and for which deeds each stands."""
    found: dict[Name, frozenset[Deed]] = {}
    for entry in entries:
        name = total_name(entry.row) if source == TERMINAL else (source, *entry.name_in)
        found[name] = found.get(name, frozenset()) | entry.deeds
    return found


def total_name(row: Row) -> Name:
    """Return the name of the total that a payment over the terminal is part of."""
    on = row.at.astimezone(ZoneInfo(ZONE)).date()
    return TERMINAL, "total", f"{on}/{row.kind}/{row.currency}"


def _moved(row: Row, line: str) -> Entry:
    return Entry(row=row, deeds=frozenset(((FLOW, row.kind, row.channel_reference),)), line=line)


def _table(entries: Sequence[Entry]) -> bytes:
    """Return a table in minor units; its last column tells nothing, so that a line cut in it is told by its missing break."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_HEAD)
    for entry in entries:
        row = entry.row
        gross = entry.gross or str(row.amount_minor)
        net = row.amount_minor - row.fee_minor
        ours = "\udcff\udcff" if entry.is_broken else row.reference
        cells = (entry.line, row.kind, row.currency, gross, row.fee_minor, net, ours, row.channel_reference)
        table.writerow((*cells, row.batch, row.at.isoformat(), "."))
    return out.getvalue().encode(errors="surrogateescape")


def _batch(channel: str, currency: str, on: date) -> str:
    return f"{channel.replace('_', '')}{currency}{on:%y%m%d}"


CHANNEL_FILES = (CARD, GLOBAL, TERMINAL, ALIPAY, WECHAT)
