"""Money that no payment moves, on the books: movements that people make, and their transfers. Pure.

All of it goes over ``in_transit``, so that the next batch nets it like everything else::

    adjustment    merchant: adjustments → in_transit              (the other way round where the house takes)
    debt paid     merchant: house_receivable → in_transit         platform: bank → clearing
    written off   merchant: house_receivable → in_transit         platform: bad_debts → clearing

(debited → credited.) What is given or taken by agreement is the house's cost or income with this merchant; what is given up is
the house's own loss. After each commit ``house_receivable`` of all merchants is ``clearing`` of the platform.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.schema.agreements import Cut
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.core.ids import derive
from tongbao.ledger.schema import AccountId, BookId, Transfer

POSTED = "posted"
"""Labels the key of a movement by hand and of its transfer, which are one."""


class HandMoney(NamedTuple):
    """The accounts of a merchant's book and of the platform in one currency that people's movements post to."""

    book_id: BookId
    platform_id: BookId
    asset_id: int
    in_transit: AccountId
    adjustments: AccountId
    house_receivable: AccountId
    bank: AccountId
    bad_debts: AccountId
    clearing: AccountId


class HandMove(NamedTuple):
    """One movement that people make: about what, how much (signed, minor units), and by which words it is found.

    ``document_id``: of the adjustment, receipt or demand from which its key derives; ``theirs``: what others call it.
    """

    kind: MovementKind
    book_id: int
    live: bool
    currency: str
    amount_minor: int
    document_id: UUID
    ours: str
    theirs: str
    intent_id: UUID | None = None


def movement(move: HandMove, at: datetime, cut: Cut) -> Movement:
    """Return the movement; no channel moved it, and it happens when it is decided."""
    key = derive(move.document_id, POSTED)
    return Movement(
        id=key,
        book_id=move.book_id,
        live=move.live,
        kind=move.kind,
        transfer_key=key,
        source_id=move.document_id,
        intent_id=move.intent_id,
        channel="",
        method="",
        currency=move.currency,
        amount_minor=move.amount_minor,
        reference=move.ours,
        channel_reference=move.theirs,
        occurred_at=at,
        recorded_at=at,
        cut_at=cut.cut_at,
        payout_on=cut.payout_on,
    )


def transfers(move: HandMove, money: HandMoney) -> list[Transfer]:
    """Return what a movement means for the books, the merchant's first."""
    if move.kind is MovementKind.ADJUSTMENT:
        return [_transfer(move, money, POSTED, (money.book_id, money.adjustments, money.in_transit))]
    source = money.bank if move.kind is MovementKind.DEBT_PAID else money.bad_debts
    return [
        _transfer(move, money, POSTED, (money.book_id, money.house_receivable, money.in_transit)),
        _transfer(move, money, "house", (money.platform_id, source, money.clearing)),
    ]


def _transfer(
    move: HandMove, money: HandMoney, label: str, way: tuple[BookId, AccountId, AccountId]
) -> Transfer:
    """Return one transfer, the other way round for what is negative."""
    book_id, debit, credit = way
    if move.amount_minor < 0:
        debit, credit = credit, debit
    return Transfer(
        key=derive(move.document_id, label),
        book_id=book_id,
        debit_account_id=debit,
        credit_account_id=credit,
        amount_minor=abs(move.amount_minor),
        asset_id=money.asset_id,
        code=f"clearing.{move.kind.name.lower()}",
        reference=move.ours,
    )
