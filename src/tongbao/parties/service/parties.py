"""The parties as one object: what a process wires once and hands to every room above."""

import random
from types import TracebackType

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.parties.service.access import Access
from tongbao.parties.service.customer_passkeys import CustomerPasskeys
from tongbao.parties.service.customers import Customers
from tongbao.parties.service.keys import Keys
from tongbao.parties.service.merchants import Merchants
from tongbao.parties.service.passkeys import Passkeys
from tongbao.parties.service.passwords import Passwords
from tongbao.parties.service.payer_sign_in import PayerSignIn
from tongbao.parties.service.payers import Devices, Payers
from tongbao.parties.service.people import People
from tongbao.parties.service.recovering import Recovering
from tongbao.parties.service.sign_in import SignIn
from tongbao.parties.service.stores import Stores


class Parties:
    """All use cases over one database. ``async with Parties(database, clock, ids) as parties``.

    ``database`` must be open and migrated. ``rng`` makes keys and tokens and must be cryptographic; the system's
    is taken where none is given. Leaving finishes what waits.
    """

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, rng: random.Random | None = None
    ) -> None:
        self.database = database
        self.access = Access(database, clock)
        self.merchants = Merchants(database, clock, ids)
        self.stores = Stores(database, clock, ids)
        self.keys = Keys(database, clock, ids, rng)
        self.people = People(database, clock, ids)
        self.passwords = Passwords()
        self.sign_in = SignIn(database, clock, ids, self.passwords, rng)
        self.recovering = Recovering(database, clock, self.sign_in, rng)
        self.passkeys = Passkeys(database, clock)
        self.customers = Customers(database, clock, ids)
        self.customer_passkeys = CustomerPasskeys(database)
        self.payers = Payers(database, clock, ids)
        self.payer_sign_in = PayerSignIn(database, clock, ids, rng)
        self.devices = Devices(database, clock, ids)

    async def __aenter__(self) -> "Parties":
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.access.close()
        self.passwords.close()
