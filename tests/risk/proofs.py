"""Short ways to challenges: orders, codes that are known beforehand, a carrier that keeps what it was handed."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.risk.ports import PasskeyProver
from tongbao.risk.schema.challenges import (
    ChallengeOrder,
    CodeFacts,
    Destination,
    DestinationKind,
    Purpose,
)
from tongbao.risk.schema.facts import Proved
from tongbao.risk.service.challenging import Carriers, Challenging

SECRET = bytes(range(32))
RIGHT = "204816"
WRONG = "000000"
MEI = Destination(kind=DestinationKind.EMAIL, address="mei@example.com")
REFERENCE = "email:cus_1"


class Postbox:
    """A carrier whose messages are read instead of sent, and the address book in front of it."""

    def __init__(self, known: Iterable[tuple[str, Destination]] = ((REFERENCE, MEI),)) -> None:
        self.known = dict(known)
        self.sent: list[tuple[Destination, str, str, CodeFacts]] = []
        self.failure: Exception | None = None

    async def send(self, destination: Destination, code: str, locale: str, facts: CodeFacts) -> None:
        """Keep a message, or fail as told."""
        if self.failure is not None:
            raise self.failure
        self.sent.append((destination, code, locale, facts))

    async def find(self, book_id: int, reference: str, *, live: bool) -> Destination | None:
        """Return what is known under a reference in test mode of any book."""
        return None if live else self.known.get(reference)


class Desk:
    """Challenges of one test: a clock that stands still, codes in a given order, a postbox."""

    def __init__(self, database: Database, ids: IdFactory, prover: PasskeyProver | None = None) -> None:
        self.database = database
        self.ids = ids
        # Ids come from the real clock; only differences of this one matter.
        self.clock = FrozenClock(datetime.now(UTC))
        self.postbox = Postbox()
        self.codes: list[str] = []
        self.carriers = Carriers({DestinationKind.EMAIL: self.postbox}, self.postbox, prover)
        self.challenging = Challenging(
            database, self.clock, ids, self.carriers, secret=SECRET, new_code=self._code
        )

    def _code(self) -> str:
        return self.codes.pop(0) if self.codes else RIGHT

    def order(self, **fields: object) -> ChallengeOrder:
        """An order for a new payment of 17 yuan; any field of it or of its purpose may be overridden."""
        purpose: dict[str, object] = {
            "book_id": self.ids.int63(),
            "subject_id": self.ids.uuid(),
            "amount_minor": 1_700,
            "currency": "CNY",
        }
        purpose |= {name: fields.pop(name) for name in tuple(fields) if name in purpose}
        values: dict[str, object] = {
            "purpose": Purpose(**purpose),  # type: ignore[arg-type]
            "live": False,
            "signals_id": self.ids.uuid(),
            "payee": "Tea House",
            "destination": REFERENCE,
        }
        return ChallengeOrder(**(values | fields))  # type: ignore[arg-type]

    def changed(self, order: ChallengeOrder, **purpose: object) -> ChallengeOrder:
        """The same order after another look of risk control, for a changed purpose."""
        changed = msgspec.structs.replace(order.purpose, **purpose)
        return msgspec.structs.replace(order, purpose=changed, signals_id=self.ids.uuid())

    def later(self, **step: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**step))

    async def facts(self, subject_id: UUID) -> list[Proved]:
        """What was published of a payment, in order."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT payload FROM events.outbox WHERE topic = 'risk.proved' AND subject = $1 ORDER BY id",
                uuid_text("pi", subject_id),
            )
        return [msgspec.json.decode(row["payload"], type=Proved) for row in rows]
