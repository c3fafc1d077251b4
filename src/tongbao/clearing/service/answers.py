"""Answers: what banks say is collected, kept, read and applied, each message once, in the order in which it comes.

A message is marked as kept only after everything in it was applied; applying it again changes nothing, so a process that is
killed in between loses nothing. Only a bank's own word about a payout of its own moves that payout.

What a bank hands over and what a person takes in as a file are one: the same bytes are applied once, whichever way they come
first. A person's file is kept before it is applied, and applied again until all of it could be.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from tongbao.clearing.policy import payouts as policy
from tongbao.clearing.ports import Bank
from tongbao.clearing.schema.bank_messages import (
    MESSAGE_PAYOUTS_MAX,
    BankLine,
    BankMessage,
    BankReport,
    Heard,
    MessageState,
)
from tongbao.clearing.schema.payouts import Payout
from tongbao.clearing.service.payout_moves import PayoutMoves
from tongbao.clearing.service.sending import sealing_context
from tongbao.clearing.store import bank_messages as messages
from tongbao.clearing.store import payouts as store
from tongbao.clearing.store.payouts import Address
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, InvariantBroken, NotFound, Unavailable
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.payments.ports import SecretBox

STATEMENT_KIND = "camt.053"
LOOKUP_MAX = 1_000
UNREADABLE = "unreadable"
HEARD_MAX = 100
"""Messages that people took in and that are applied in one step."""

Keep = Callable[[str, str, bytes], Awaitable[None]]
"""Takes a statement that a bank handed over (its name, the kind of message, the bytes) to where it is reconciled; repeatable."""
_log = structlog.get_logger(__name__)


class _Taken(NamedTuple):
    """How many messages were new, and which need not be shown again."""

    fresh: int
    kept: Sequence[Heard]


class Answers:
    """Hears banks. One object per process; any number of processes side by side. ``keep``: takes statements on."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        box: SecretBox,
        banks: Mapping[str, Bank],
        moves: PayoutMoves,
        metrics: Metrics,
        *,
        keep: Keep | None = None,
    ) -> None:
        self._keep = keep
        self._database = database
        self._clock = clock
        self._ids = ids
        self._box = box
        self._banks = banks
        self._moves = moves
        self._heard = metrics.counter("clearing_bank_messages", "Messages of banks", labels=("kind",))
        self._stuck = metrics.counter(
            "clearing_payouts_stuck", "Payouts that could not be moved as a bank says", labels=("code",)
        )
        self._away = metrics.counter("clearing_banks_away", "Collections that failed", labels=("bank",))

    async def collect(self) -> int:
        """Collect from every bank; return how many new messages were read. A bank that is away holds up no other."""
        count = 0
        for name, bank in self._banks.items():
            try:
                heard = await bank.collect()
            except Unavailable as error:
                self._away.labels(name).inc()
                _log.warning("bank_away", bank=name, code=error.code)
                continue
            taken = await self._take(bank, heard)
            await bank.done([each.handle for each in taken.kept if each.handle])
            count += taken.fresh
        return count + await self._again()

    async def hear(self, bank_name: str, content: bytes) -> int:
        """Take a message that came another way, such as one that a person uploads; return 1 where it was new.

        Raises NotFound ``bank_unknown``.
        """
        if bank_name not in self._banks:
            raise NotFound("bank_unknown", f"no bank {bank_name[:64]}")
        return (await self._take(self._banks[bank_name], [Heard("", content)])).fresh

    async def overhear(self, account: str, content: bytes) -> int:
        """Take what came as a file of an account by hand; return 1 where it is news of a bank that pays out here.

        It is kept before this returns, and applied now or, where that cannot be, by the next collections.
        """
        if account not in self._banks:
            return 0
        digest = hashlib.sha256(content).digest()
        new_id, now = self._ids.uuid(), self._clock.now()
        async with self._database.transaction() as connection:
            if await messages.known(connection, account, {digest}):
                return 0
            message = BankMessage(
                id=new_id,
                at=now,
                is_outgoing=False,
                bank=account,
                kind=UNREADABLE,
                message_id="",
                state=MessageState.READY,
                due_at=now,
                digest=digest,
                content=self._box.seal(content, sealing_context(new_id.bytes)),
            )
            await messages.insert(connection, message)
        await self._again()
        return 1

    async def _again(self) -> int:
        """Apply what people took in and was not applied yet; return how many messages were."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            due = await messages.heard(connection, now, HEARD_MAX)
        count = 0
        for message in due:
            bank = self._banks.get(message.bank)
            if bank is None:
                continue
            content = self._box.open(message.content, sealing_context(message.id.bytes))
            report, state = self._report(bank, content)
            is_done = await self._apply(bank, report)
            after = msgspec.structs.replace(
                message,
                kind=report.kind,
                message_id=report.message_id,
                state=state if is_done else MessageState.READY,
                attempts=message.attempts + 1,
                due_at=None if is_done else now + policy.resend_after(message.attempts),
            )
            async with self._database.transaction() as connection:
                await messages.read(connection, after)
            if is_done:
                self._heard.labels(report.kind).inc()
            count += is_done
        return count

    async def contents(self, bank_name: str, kind: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Return kinds and clear contents of messages of a bank, oldest first: for whoever reconciles statements."""
        async with self._database.connection() as connection:
            found = await messages.of_bank(connection, bank_name, kind, limit)
        return [(each.kind, self._box.open(each.content, sealing_context(each.id.bytes))) for each in found]

    async def _take(self, bank: Bank, heard: Sequence[Heard]) -> _Taken:
        digests = {hashlib.sha256(each.content).digest(): each for each in heard}
        async with self._database.connection() as connection:
            known = await messages.known(connection, bank.terms.name, digests.keys())
        fresh = 0
        for digest, each in digests.items():
            if digest not in known and await self._read(bank, digest, each.content):
                known.add(digest)
                fresh += 1
        kept = [each for each in heard if hashlib.sha256(each.content).digest() in known]
        return _Taken(fresh, kept)

    async def _read(self, bank: Bank, digest: bytes, content: bytes) -> bool:
        """Read and apply a message, and keep it; False where something of it has to be tried again."""
        report, state = self._report(bank, content)
        if not await self._apply(bank, report):
            return False
        if self._keep is not None and state is MessageState.READ:
            try:
                await self._keep(bank.terms.name, report.kind, content)
            except InvalidRequest as error:
                # Payouts understood it; what reconciliation cannot read stands there as a file that was refused.
                _log.error(
                    "bank_statement_refused", bank=bank.terms.name, code=error.code, detail=error.detail
                )
        new_id = self._ids.uuid()
        message = BankMessage(
            id=new_id,
            at=self._clock.now(),
            is_outgoing=False,
            bank=bank.terms.name,
            kind=report.kind,
            message_id=report.message_id,
            state=state,
            digest=digest,
            content=self._box.seal(content, sealing_context(new_id.bytes)),
        )
        async with self._database.transaction() as connection:
            await messages.insert(connection, message)
        self._heard.labels(report.kind).inc()
        return True

    def _report(self, bank: Bank, content: bytes) -> tuple[BankReport, MessageState]:
        """Return what a message says, and whether it could be read."""
        try:
            return bank.read(content), MessageState.READ
        except InvalidRequest as error:
            _log.error("bank_message_unreadable", bank=bank.terms.name, detail=error.detail)
            return BankReport(kind=UNREADABLE, message_id=""), MessageState.REFUSED

    async def _apply(self, bank: Bank, report: BankReport) -> bool:
        """Apply every line: what is said of single payouts, then what is said of the rest of a block or a message.

        False where a payout could not be moved; nobody else's waits for it.
        """
        name = bank.terms.name
        single = [line for line in report.lines if policy.payout_of(line.end_to_end) is not None]
        told: set[str] = set()
        is_whole = True
        for lines in _chunks(single):
            addresses = await self._addresses(name, lines)
            for line in lines:
                wire_id = line.end_to_end.upper()
                told.add(wire_id)
                if wire_id in addresses:
                    on_statement = report.kind == STATEMENT_KIND
                    is_whole &= await self._tell(addresses[wire_id], line, on_statement=on_statement)
        wide = [line for line in report.lines if not line.end_to_end and line.message_id]
        # A block says more than its message.
        for line in sorted(wide, key=lambda each: not each.part_id):
            for payout in await self._held(name, line.message_id):
                if payout.end_to_end in told or not _is_within(bank, payout, line):
                    continue
                if policy.meaning(line) is not None:
                    told.add(payout.end_to_end)
                is_whole &= await self._tell(Address(payout.book_id, payout.id), line, on_statement=False)
        return is_whole

    async def _tell(self, address: Address, line: BankLine, *, on_statement: bool) -> bool:
        """Apply one line to one payout; False where that is not possible now, which people are told of."""
        try:
            await self._moves.hear(address, line, on_statement=on_statement)
        except (Conflict, InvariantBroken) as error:
            self._stuck.labels(error.code).inc()
            _log.error("payout_stuck", payout=str(address.id), code=error.code, detail=error.detail)
            return False
        return True

    async def _addresses(self, bank: str, lines: Sequence[BankLine]) -> dict[str, Address]:
        wanted = {line.end_to_end.upper() for line in lines}
        async with self._database.connection() as connection:
            found = await store.named(connection, bank, wanted)
        return {policy.end_to_end_of(each.id): each for each in found}

    async def _held(self, bank: str, message_id: str) -> list[Payout]:
        async with self._database.connection() as connection:
            return await store.of_message(connection, bank, message_id, MESSAGE_PAYOUTS_MAX)


def _is_within(bank: Bank, payout: Payout, line: BankLine) -> bool:
    return not line.part_id or line.part_id == bank.part_id(payout.message_id, payout.due_on)


def _chunks(lines: Sequence[BankLine]) -> Iterator[Sequence[BankLine]]:
    for start in range(0, len(lines), LOOKUP_MAX):
        yield lines[start : start + LOOKUP_MAX]
