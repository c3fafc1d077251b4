"""Files of the sandbox's channels: what each says that it collected and gave back in a time, as a channel of its kind would.

Everything stands in the file of the time in which it happened: a capture when it was made, not when it was allowed. What is
disputed acquirers take back at once, and give again with a dispute that is won; wallets move no money for a complaint.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from tongbao.simulator.sandbox import alipay_acts, settlement_files, wechat_acts
from tongbao.simulator.sandbox.schema import Operation, Payment, Purpose, State
from tongbao.simulator.sandbox.settlement_files import Row

COST_E6 = 3_800
"""What the channels of the demonstration take of a sale, millionths, rounded down; it stays theirs with a refund."""
WALLETS = frozenset({alipay_acts.CHANNEL, wechat_acts.CHANNEL})
RETURNED = frozenset({"won", "withdrawn"})
"""How a dispute ends whose money comes back."""
TABLE = ("id", "kind", "currency", "gross", "fee", "reference", "channel_reference", "at")
"""The columns of an acquirer's file; amounts are minor units."""


def rows_of(payments: Iterable[Payment], since: datetime, until: datetime) -> list[Row]:
    """Return what was decided or done in a half-open time, oldest first."""
    found = [row for each in payments for row in _rows(each) if since <= row.at < until]
    return sorted(found, key=lambda row: (row.at, row.reference))


def file_of(channel: str, rows: Sequence[Row], on: date) -> bytes:
    """Return the file of a channel by its name: Alipay's bill, WeChat Pay's, or an acquirer's table."""
    if channel == "alipay":
        return settlement_files.alipay(rows, "2088000000000000", on)
    if channel == "wechatpay":
        return settlement_files.wechat_trade(rows)
    return _table(rows)


def net_of(rows: Sequence[Row]) -> int:
    """Return what a channel owes for its rows after its costs, minor units."""
    return sum(row.amount_minor - row.fee_minor for row in rows)


def funds_of(rows: Sequence[Row], sent_minor: int, reference: str, at: datetime) -> bytes:
    """Return WeChat Pay's bill of funds: what its bill of trades tells, as it moved, and what was sent to the bank (0: nothing)."""
    sent = Row(
        reference=reference,
        channel_reference=reference,
        kind="transfer",
        amount_minor=sent_minor,
        currency="CNY",
        at=at,
    )
    return settlement_files.wechat_fund([*rows, sent] if sent_minor else rows)


def _rows(payment: Payment) -> Iterable[Row]:
    if payment.purpose is Purpose.PAYMENT and payment.state is State.CAPTURED:
        yield from _sales(payment)
    for act in payment.acts.values():
        if act.operation is Operation.REFUND and act.done:
            at = act.finish_at or act.at
            yield _row(payment, "refund", (act.reference, act.channel_reference), -act.amount_minor, at)
    if payment.channel not in WALLETS:
        yield from _disputes(payment)


def _sales(payment: Payment) -> Iterable[Row]:
    """Yield what was claimed with the payment itself, and by each capture after it."""
    captures = [each for each in payment.acts.values() if each.operation is Operation.CAPTURE and each.done]
    at_once_minor = payment.captured_minor - sum(each.amount_minor for each in captures)
    if at_once_minor and payment.decided_at is not None:
        called = (payment.reference, payment.channel_reference)
        yield _row(payment, "sale", called, at_once_minor, payment.decided_at)
    for act in captures:
        yield _row(
            payment,
            "sale",
            (payment.reference, act.channel_reference),
            act.amount_minor,
            act.finish_at or act.at,
        )


def _disputes(payment: Payment) -> Iterable[Row]:
    for each in payment.disputes.values():
        called = (payment.reference, each.reference)
        yield _row(payment, "dispute", called, -each.amount_minor, each.opened_at)
        if each.status in RETURNED and each.ended_at is not None:
            yield _row(payment, "dispute_won", called, each.amount_minor, each.ended_at)


def _row(payment: Payment, kind: str, called: tuple[str, str], amount_minor: int, at: datetime) -> Row:
    """Return a row; ``called``: what the house calls it, and what the channel does."""
    return Row(
        reference=called[0],
        channel_reference=called[1],
        kind=kind,
        amount_minor=amount_minor,
        fee_minor=amount_minor * COST_E6 // 1_000_000 if kind == "sale" else 0,
        currency=payment.currency,
        at=at,
        batch=payment.reference if kind == "refund" else "",
    )


def _table(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(TABLE)
    for row in rows:
        table.writerow(
            (
                f"{row.kind}-{row.channel_reference}",
                row.kind,
                row.currency,
                row.amount_minor,
                row.fee_minor,
                row.reference,
                row.channel_reference,
                row.at.isoformat(timespec="seconds"),
            )
        )
    return out.getvalue().encode()
