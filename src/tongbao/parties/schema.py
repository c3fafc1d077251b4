"""Value types of the parties: who there is, and the scope in which somebody acts."""

from typing import NewType

import msgspec

MerchantId = NewType("MerchantId", int)
MERCHANT_PREFIX = "acct"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf, in which mode and with which rights something is done.

    Made by ``service.access`` from a checked key or session, never by hand outside of tests. ``book_id`` is the
    merchant's ledger book of this mode (live and test never share one) and leads every key of what it owns.
    ``actor`` is ``key:<id>`` or ``person:<id>`` and goes into audit records.
    """

    merchant_id: MerchantId
    book_id: int
    live: bool
    actor: str
    permissions: frozenset[str]
