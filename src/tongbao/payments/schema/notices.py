"""What merchants are told of money on its way to them, and of the accounts that it may go to.

Rooms above own payouts and accounts; these are their snapshots as events carry them, so that webhooks, signatures and
``/v1/events`` are the same for everything that a merchant hears. No number of an account is ever part of one, only its end.
"""

from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.events.facts import Delivered


class PayoutNotice(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="payout"):
    """A payout as it was at a commit. ``state`` is that of ``clearing``; ``arrive_on`` the day on which its bank is to book it.

    ``version`` orders the events of one payout. ``failure_code``: the bank's, where it refused or returned it.
    """

    id: UUID
    book_id: int
    live: bool
    version: int
    state: str
    amount_minor: int
    currency: str
    arrive_on: date
    batch_id: UUID
    destination_id: UUID
    end_to_end: str
    failure_code: str = ""
    created_at: datetime


class AccountNotice(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="bank_account"):
    """An account as it was at a commit. ``state`` is that of ``clearing``; ``usable_at``: from when on money may go there."""

    id: UUID
    book_id: int
    live: bool
    version: int
    state: str
    currency: str
    country: str
    holder: str
    last4: str
    usable_at: datetime | None = None
    created_at: datetime


Notice = PayoutNotice | AccountNotice


class Told(NamedTuple):
    """What a fact of an upper room means to a merchant: events of these types about a snapshot."""

    delivered: Delivered
    types: tuple[str, ...]
    notice: Notice
