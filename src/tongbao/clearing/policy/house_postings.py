"""What reconciliation means for the books: money that channels paid, and differences that are written off. Pure.

A channel paid, and the bank shows it::

    merchant's book   house_receivable ← channel_receivable/<channel>      the net
                      channel_cost     ← channel_receivable/<channel>      the cost
    platform's book   bank             ← suspense                          all of it, once
                      suspense         ← clearing                          the net of what is a merchant's
                      channel_cost     ← suspense                          costs on lines of their own

(debited ← credited; the other way round where an amount is negative). What is in suspense is what a channel paid and nobody can
yet say for whom. After every commit ``house_receivable`` of all merchants is ``clearing`` of the platform.

A difference of ``d`` (reported less expected) that is written off debits what is owed, or held, with ``d`` and credits ``write_offs``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.ids import derive, first_uuid_at
from tongbao.ledger.schema import AccountId, BookId, Transfer


class MerchantMoney(NamedTuple):
    """The accounts of a merchant's book in one currency that reconciliation posts to; ``receivable`` is of one channel."""

    book_id: BookId
    asset_id: int
    receivable: AccountId
    house_receivable: AccountId
    channel_cost: AccountId
    write_offs: AccountId


class PlatformMoney(NamedTuple):
    """The accounts of the platform's book in one currency that reconciliation posts to."""

    book_id: BookId
    asset_id: int
    bank: AccountId
    clearing: AccountId
    suspense: AccountId
    channel_cost: AccountId
    write_offs: AccountId


class Paid(NamedTuple):
    """What a channel paid for a merchant, minor units: ``net`` is ``gross`` less ``fee``."""

    gross_minor: int
    fee_minor: int

    @property
    def net_minor(self) -> int:
        """What the house holds of it."""
        return self.gross_minor - self.fee_minor

    def plus(self, other: "Paid") -> "Paid":
        """Return both together."""
        return Paid(self.gross_minor + other.gross_minor, self.fee_minor + other.fee_minor)


class Round(NamedTuple):
    """One round of posting what a channel's transfer paid for.

    ``bank_minor``: what the bank shows, in the first round only. ``own_cost_minor``: costs on lines of their own (a cost is
    positive). ``number`` counts the rounds of the transfer from 0.
    """

    transfer_id: int
    number: int
    at: datetime
    reference: str
    bank_minor: int
    own_cost_minor: int
    merchants: Mapping[int, Paid]


def settled(of: Round, platform: PlatformMoney, merchants: Mapping[int, MerchantMoney]) -> list[Transfer]:
    """Return the transfers of a round, merchants in order of their books; nothing for amounts of nothing."""
    clearing_minor = sum(paid.net_minor for paid in of.merchants.values())
    house = (
        _Move("bank", platform.bank, platform.suspense, of.bank_minor),
        _Move("clearing", platform.suspense, platform.clearing, clearing_minor),
        _Move("own_cost", platform.channel_cost, platform.suspense, of.own_cost_minor),
    )
    key = round_key(of)
    found = [*_transfers(platform, key, of.reference, house)]
    for book_id, paid in sorted(of.merchants.items()):
        money = merchants[book_id]
        moves = (
            _Move(f"net:{book_id}", money.house_receivable, money.receivable, paid.net_minor),
            _Move(f"cost:{book_id}", money.channel_cost, money.receivable, paid.fee_minor),
        )
        found += _transfers(money, key, of.reference, moves)
    return found


def round_key(of: Round) -> UUID:
    """Return the id from which the keys of a round derive: that of the transfer's line and the round."""
    return derive(first_uuid_at(of.at), f"channel_transfer:{of.transfer_id}:{of.number}")


class WrittenOff(NamedTuple):
    """One amount to be written off: on which account of a book, and how much it is to be debited (negative: credited)."""

    label: str
    money: MerchantMoney | PlatformMoney
    account_id: AccountId
    amount_minor: int


def written_off(break_id: UUID, at: datetime, reference: str, parts: Sequence[WrittenOff]) -> list[Transfer]:
    """Return the transfers that write a break off; ``at``: when it was opened. Their keys are the break's."""
    key = derive(first_uuid_at(at), f"write_off:{break_id}")
    found: list[Transfer] = []
    for part in parts:
        move = _Move(f"write_off:{part.label}", part.account_id, part.money.write_offs, part.amount_minor)
        found += _transfers(part.money, key, reference, (move,))
    return found


class _Move(NamedTuple):
    """What goes from ``credit`` to ``debit``, the other way round where it is negative. ``label`` makes its key."""

    label: str
    debit: AccountId
    credit: AccountId
    amount_minor: int


def _transfers(
    money: MerchantMoney | PlatformMoney, key: UUID, reference: str, moves: Sequence[_Move]
) -> Iterator[Transfer]:
    """Yield the transfers of one book; nothing for amounts of nothing."""
    for move in moves:
        if not move.amount_minor:
            continue
        pair = move.debit, move.credit
        debit, credit = pair if move.amount_minor > 0 else pair[::-1]
        yield Transfer(
            key=derive(key, move.label),
            book_id=money.book_id,
            debit_account_id=debit,
            credit_account_id=credit,
            amount_minor=abs(move.amount_minor),
            asset_id=money.asset_id,
            code=f"clearing.{move.label.partition(':')[0]}",
            reference=reference,
        )
