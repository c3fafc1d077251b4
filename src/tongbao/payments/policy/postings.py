"""Which transfers each step of a payment means. Amounts are minor units; keys derive from what they are for.

One payment posts inside one merchant's book::

    authorized     hold       channel_receivable/<channel> → in_transit
    captured       capture of the hold
    charged        transfer   channel_receivable/<channel> → in_transit
    voided         void of the hold
    refund made    transfer   in_transit → refund_clearing          (put aside at once)
    refund done    transfer   refund_clearing → channel_receivable/<channel>
    refund failed  transfer   refund_clearing → in_transit
    disputed       transfer   in_transit → dispute_reserve
    dispute lost   transfer   dispute_reserve → channel_receivable/<channel>
    dispute won    transfer   dispute_reserve → in_transit
    suspended      transfer   channel_receivable/<channel> → suspense, and back when it was returned

Because a key says which step of which document it is, a step that is taken twice posts once.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from tongbao.core.ids import derive
from tongbao.ledger.schema import AccountId, BookId, Kind, Transfer, capture, void
from tongbao.payments.schema.attempts import Act, Attempt, HoldPart
from tongbao.payments.schema.refunds import Dispute, Refund


class Money(msgspec.Struct, frozen=True, gc=False):
    """The accounts that a payment of one book, channel and currency posts to."""

    book_id: BookId
    asset_id: int
    receivable: AccountId
    in_transit: AccountId
    refund_clearing: AccountId
    dispute_reserve: AccountId
    suspense: AccountId


def hold_key(attempt: Attempt, step: UUID | None = None) -> UUID:
    """Return the key of the hold behind an authorization, or behind one increment of it."""
    return derive(step or attempt.id, "hold")


def authorized(money: Money, attempt: Attempt, amount_minor: int, step: UUID | None = None) -> Transfer:
    """Return the hold for what was authorized, first or by an increment."""
    return _transfer(
        money,
        hold_key(attempt, step),
        money.receivable,
        money.in_transit,
        amount_minor,
        "payment.authorized",
        attempt,
        kind=Kind.HOLD,
    )


def charged(money: Money, attempt: Attempt, amount_minor: int) -> Transfer:
    """Return the transfer for money that was claimed at once."""
    return _transfer(
        money,
        derive(attempt.id, "charged"),
        money.receivable,
        money.in_transit,
        amount_minor,
        "payment.charged",
        attempt,
    )


def captured(money: Money, attempt: Attempt, act: Act) -> tuple[list[Transfer], tuple[HoldPart, ...]]:
    """Return the captures of an act, oldest hold first, and what is left of the holds.

    A final act releases everything that it does not capture.
    """
    transfers: list[Transfer] = []
    left: list[HoldPart] = []
    wanted = act.amount_minor
    for part in attempt.holds:
        taken = min(part.left_minor, wanted)
        wanted -= taken
        if taken:
            final = act.final or taken == part.left_minor
            transfers.append(
                capture(
                    derive(act.id, f"capture:{part.key}"),
                    money.book_id,
                    part.key,
                    taken,
                    "payment.captured",
                    final=final,
                    reference=attempt.reference,
                )
            )
            if not final:
                left.append(HoldPart(part.key, part.left_minor - taken))
        elif act.final:
            transfers.append(_void(money, attempt, part))
        else:
            left.append(part)
    return transfers, tuple(left)


def voided(money: Money, attempt: Attempt) -> list[Transfer]:
    """Return the voids of everything that an attempt still holds."""
    return [_void(money, attempt, part) for part in attempt.holds]


def refund_made(money: Money, attempt: Attempt, refund: Refund) -> Transfer:
    """Return the transfer that puts the money of a refund aside."""
    return _transfer(
        money,
        derive(refund.id, "made"),
        money.in_transit,
        money.refund_clearing,
        refund.amount_minor,
        "refund.made",
        attempt,
    )


def refund_done(money: Money, attempt: Attempt, refund: Refund) -> Transfer:
    """Return the transfer for a refund that the channel has paid."""
    return _transfer(
        money,
        derive(refund.id, "done"),
        money.refund_clearing,
        money.receivable,
        refund.amount_minor,
        "refund.done",
        attempt,
    )


def refund_failed(money: Money, attempt: Attempt, refund: Refund) -> Transfer:
    """Return the transfer that gives the merchant back what a failed refund had put aside."""
    return _transfer(
        money,
        derive(refund.id, "failed"),
        money.refund_clearing,
        money.in_transit,
        refund.amount_minor,
        "refund.failed",
        attempt,
    )


def disputed(money: Money, attempt: Attempt, dispute: Dispute) -> Transfer:
    """Return the transfer that withholds what a payer disputes."""
    return _transfer(
        money,
        derive(dispute.id, "opened"),
        money.in_transit,
        money.dispute_reserve,
        dispute.amount_minor,
        "dispute.opened",
        attempt,
    )


def dispute_ended(money: Money, attempt: Attempt, dispute: Dispute, *, won: bool) -> Transfer:
    """Return the transfer for the outcome of a dispute: back to the merchant, or to the channel."""
    return _transfer(
        money,
        derive(dispute.id, "ended"),
        money.dispute_reserve,
        money.in_transit if won else money.receivable,
        dispute.amount_minor,
        "dispute.won" if won else "dispute.lost",
        attempt,
    )


def suspended(money: Money, before: Attempt, after: Attempt) -> tuple[Transfer, ...]:
    """Return what moves the suspense of an attempt from what one version says to what a later one says; none if equal.

    Money of which the channel tells and we know no reason stands there. The only way in and out, so that the books follow
    the document whatever order answers come in.
    """
    change = after.suspense_minor - before.suspense_minor
    if not change:
        return ()
    into = change > 0
    transfer = _transfer(
        money,
        derive(after.id, f"suspense:{after.version}"),
        money.receivable if into else money.suspense,
        money.suspense if into else money.receivable,
        abs(change),
        "payment.unexpected" if into else "payment.returned",
        after,
    )
    return (transfer,)


def trail_keys(
    attempts: Sequence[Attempt], refunds: Sequence[Refund], disputes: Sequence[Dispute]
) -> list[UUID]:
    """Return the keys of every transfer that these documents can have posted."""
    keys: list[UUID] = []
    for attempt in attempts:
        holds = [hold_key(attempt), *(hold_key(attempt, act.id) for act in attempt.acts)]
        keys += holds
        keys += [derive(hold, label) for hold in holds for label in ("void", "expiry")]
        keys += [derive(act.id, f"capture:{hold}") for act in attempt.acts for hold in holds]
        keys.append(derive(attempt.id, "charged"))
        keys += [derive(attempt.id, f"suspense:{version}") for version in range(1, attempt.version + 1)]
    keys += [derive(refund.id, label) for refund in refunds for label in ("made", "done", "failed")]
    keys += [derive(dispute.id, label) for dispute in disputes for label in ("opened", "ended")]
    return keys


def _void(money: Money, attempt: Attempt, part: HoldPart) -> Transfer:
    return void(
        derive(part.key, "void"), money.book_id, part.key, "payment.voided", reference=attempt.reference
    )


def _transfer(
    money: Money,
    key: UUID,
    debit: AccountId,
    credit: AccountId,
    amount_minor: int,
    code: str,
    attempt: Attempt,
    *,
    kind: Kind = Kind.PLAIN,
) -> Transfer:
    return Transfer(
        key=key,
        book_id=money.book_id,
        debit_account_id=debit,
        credit_account_id=credit,
        amount_minor=amount_minor,
        asset_id=money.asset_id,
        code=code,
        kind=kind,
        reference=attempt.reference,
    )
