"""What payers read of their own wallet: what moved its money, and the payments, refunds and mandates behind it."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.refunds import Refund


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came into a wallet (positive minor units) or left it, for good. ``code`` is the ledger's: what it was.

    ``reference`` names what it was for: an attempt, a refund, the payment of a top-up, a transfer between wallets.
    """

    key: UUID
    code: str
    reference: str
    amount_minor: int
    currency: str
    at: datetime


class Movements(NamedTuple):
    """Movements of a time, newest first; not ``is_whole`` where there were more than are read."""

    items: tuple[Movement, ...]
    is_whole: bool


class OwnPayment(NamedTuple):
    """A payment from a wallet: the wish, the try that the wallet answered, and what was given back of it."""

    intent: Intent
    attempt: Attempt
    refunds: tuple[Refund, ...] = ()
