"""Sending: payouts are bundled into messages, kept as the bytes that go, and only then handed over.

A message is committed with its content before a bank is called. A repeat hands over the same bytes under the same id, and
happens by itself only where nothing can have arrived, or where the bank refuses what it has had. Everything else waits,
unresolved, for the bank's own word.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

import msgspec
import structlog

from tongbao.clearing.policy import payouts as policy
from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.ports import Bank
from tongbao.clearing.schema.bank_messages import (
    MESSAGE_PAYOUTS_MAX,
    Acknowledged,
    BankMessage,
    Instruction,
    MessageState,
)
from tongbao.clearing.schema.payouts import Payout, PayoutState
from tongbao.clearing.service.destinations import Destinations
from tongbao.clearing.service.payout_moves import PayoutMoves
from tongbao.clearing.service.working_days import in_force
from tongbao.clearing.store import bank_messages as messages
from tongbao.clearing.store import destinations as accounts
from tongbao.clearing.store import payouts as store
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import OutcomeUnknown
from tongbao.payments.ports import SecretBox

LEASE = timedelta(minutes=2)
"""A process that hands a message over for longer is taken for dead."""
ROUND_MAX = 100
OUTGOING_KIND = "pain.001"
_log = structlog.get_logger(__name__)


class Sending:
    """Bundles and hands over. One object per process; any number of processes side by side."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        box: SecretBox,
        banks: Mapping[str, Bank],
        destinations: Destinations,
        moves: PayoutMoves,
    ) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self._banks = banks
        self._destinations = destinations
        self._moves = moves

    async def bundle(self) -> int:
        """Put what is to go today into messages; return how many messages were made. Each is a commit of its own."""
        count = 0
        for bank in self._banks.values():
            for _ in range(ROUND_MAX):
                if not await self._bundle(bank):
                    break
                count += 1
        return count

    async def dispatch(self) -> int:
        """Hand over what is due, at most ``ROUND_MAX`` messages; return how many were tried."""
        count = 0
        while count < ROUND_MAX:
            message = await self._claim()
            if message is None:
                break
            count += 1
            if message.state is MessageState.SENDING:
                await self._hand_over(message)
        return count

    async def _bundle(self, bank: Bank) -> bool:
        """Make the next message of a bank: payouts of one currency and mode; False where there is none."""
        now = self._clock.now()
        today = now.astimezone(zone_of(bank.terms.zone)).date()
        async with self._database.transaction() as connection:
            known = await in_force(connection)
            waiting = await store.to_send(connection, bank.terms.name, today, MESSAGE_PAYOUTS_MAX)
            if not waiting:
                return False
            keys = {(each.book_id, each.currency) for each in waiting}
            usable = await accounts.active(connection, keys)
            ready = [each for each in waiting if (each.book_id, each.currency) in usable]
            if not ready:
                return False
            kind = (ready[0].currency, ready[0].live)
            ready = list(takewhile(lambda each: (each.currency, each.live) == kind, ready))
            message_uuid = policy.message_uuid(ready[0].id)
            message_id = policy.message_id_of(message_uuid)
            sent = [
                policy.moved(
                    each,
                    PayoutState.SENT,
                    now,
                    destination_id=usable[(each.book_id, each.currency)].destination.id,
                    message_id=message_id,
                    due_on=policy.execution_on(bank.terms, each.due_on, now, known),
                    sent_at=now,
                    due_at=now + policy.INQUIRY_FIRST,
                )
                for each in ready
            ]
            content = bank.prepare(message_id, now, self._instructions(sent, usable))
            message = BankMessage(
                id=message_uuid,
                at=now,
                is_outgoing=True,
                bank=bank.terms.name,
                kind=OUTGOING_KIND,
                message_id=message_id,
                state=MessageState.READY,
                due_at=now,
                digest=hashlib.sha256(content).digest(),
                content=self._box.seal(content, sealing_context(message_uuid.bytes)),
            )
            await messages.insert(connection, message)
            await store.update(connection, sent)
            await self._moves.publish(connection, sent)
        return True

    def _instructions(
        self, payouts: Sequence[Payout], usable: Mapping[tuple[int, str], accounts.Sealed]
    ) -> list[Instruction]:
        found = []
        for payout in payouts:
            account = usable[(payout.book_id, payout.currency)]
            to = account.destination
            found.append(
                Instruction(
                    end_to_end=payout.end_to_end,
                    amount_minor=payout.amount_minor,
                    currency=payout.currency,
                    execution_on=payout.due_on,
                    holder=to.holder,
                    scheme=to.scheme,
                    number=self._destinations.number(account),
                    agent_code=to.agent_code,
                    country=to.country,
                    text=payout.reference,
                )
            )
        return found

    async def _claim(self) -> BankMessage | None:
        """Take the next message: ``sending`` where it is to be handed over now, ``unknown`` where that must not be."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            message = await messages.claim(connection, now)
            if message is None:
                return None
            bank = self._banks.get(message.bank)
            if bank is None:
                # Taken out of the configuration: what it has is not forgotten, only looked at rarely.
                later = msgspec.structs.replace(message, due_at=now + policy.RESEND_LONGEST)
                await messages.move(connection, later)
                return msgspec.structs.replace(later, state=MessageState.UNKNOWN)
            if message.state is MessageState.SENDING and not bank.terms.refuses_repeats:
                # Whoever sent it died; it may have arrived, and this bank would take it twice.
                lost = msgspec.structs.replace(message, state=MessageState.UNKNOWN, due_at=None)
                await messages.move(connection, lost)
                await self._unresolve(connection, lost, now)
                return lost
            mine = msgspec.structs.replace(
                message, state=MessageState.SENDING, attempts=message.attempts + 1, due_at=now + LEASE
            )
            await messages.move(connection, mine)
        return mine

    async def _hand_over(self, message: BankMessage) -> None:
        bank = self._banks[message.bank]
        content = self._box.open(message.content, sealing_context(message.id.bytes))
        try:
            answer = await bank.send(message.message_id, content)
        except OutcomeUnknown:
            answer = Acknowledged.UNKNOWN
        now = self._clock.now()
        async with self._database.transaction() as connection:
            standing = await messages.lock(connection, message.id)
            if standing is None or (standing.state, standing.attempts) != (
                MessageState.SENDING,
                message.attempts,
            ):
                return
            await messages.move(connection, _after(standing, answer, now, bank))
            if answer is Acknowledged.UNKNOWN:
                await self._unresolve(connection, standing, now)
        if answer is not Acknowledged.RECEIVED:
            _log.warning("bank_message_not_received", message=message.message_id, answer=answer.value)

    async def _unresolve(self, connection: Connection, message: BankMessage, now: datetime) -> None:
        """Mark the payouts of a message as unresolved where nothing is known of them yet."""
        held = await store.of_message(
            connection, message.bank, message.message_id, MESSAGE_PAYOUTS_MAX, lock=True
        )
        lost = [
            policy.moved(each, PayoutState.UNRESOLVED, now) for each in held if each.state is PayoutState.SENT
        ]
        await store.update(connection, lost)
        await self._moves.publish(connection, lost)


def _after(message: BankMessage, answer: Acknowledged, now: datetime, bank: Bank) -> BankMessage:
    """Return a message after it was handed over: done, to be repeated later, or left to the bank's word."""
    if answer is Acknowledged.RECEIVED:
        return msgspec.structs.replace(message, state=MessageState.SENT, due_at=None)
    is_safe = answer is Acknowledged.NOT_SENT or (
        bank.terms.refuses_repeats and message.attempts < policy.RESENDS_MAX
    )
    if is_safe:
        due_at = now + policy.resend_after(message.attempts)
        return msgspec.structs.replace(message, state=MessageState.READY, due_at=due_at)
    return msgspec.structs.replace(message, state=MessageState.UNKNOWN, due_at=None)


def sealing_context(message_id: bytes) -> bytes:
    """Return what the content of a message is bound to."""
    return b"clearing.bank_message:" + message_id
