"""The banks of ``channels`` as clearing asks for them."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from tongbao.channels.schema import Mode
from tongbao.channels.service import banks
from tongbao.clearing.schema.bank_messages import Acknowledged, BankReport, BankTerms, Heard, Instruction


class ChannelBank:
    """One configured bank, as ``ports.Bank``."""

    def __init__(self, bank: banks.Bank) -> None:
        self._bank = bank
        settings = bank.settings
        self._terms = BankTerms(
            name=bank.name,
            live=bank.mode in (Mode.LIVE, Mode.BOTH),
            test=bank.mode in (Mode.TEST, Mode.BOTH),
            currencies=frozenset(settings.accounts),
            refuses_repeats=settings.refuses_repeats,
            zone=settings.zone,
            cut_off=settings.cut_off,
            calendars=settings.calendars,
        )

    @property
    def terms(self) -> BankTerms:
        """What is agreed with it."""
        return self._terms

    def prepare(self, message_id: str, made_at: datetime, instructions: Sequence[Instruction]) -> bytes:
        """Return a message as bytes; raises InvalidRequest ``bank_message_invalid``."""
        orders = tuple(msgspec.convert(each, banks.Order, from_attributes=True) for each in instructions)
        return self._bank.prepare(banks.OrderMessage(message_id=message_id, made_at=made_at, orders=orders))

    def part_id(self, message_id: str, execution_on: date) -> str:
        """Return the id of the block that an execution date has in a message."""
        return banks.part_id(message_id, execution_on)

    async def send(self, message_id: str, content: bytes) -> Acknowledged:
        """Hand a message over."""
        return Acknowledged((await self._bank.send(message_id, content)).value)

    async def collect(self) -> Sequence[Heard]:
        """Return what the bank has said; raises Unavailable ``bank_away``."""
        return [Heard(each.handle, each.content) for each in await self._bank.collect()]

    async def done(self, handles: Sequence[str]) -> None:
        """Let the way there forget what was kept."""
        await self._bank.done(handles)

    def read(self, content: bytes) -> BankReport:
        """Return what a message says; raises InvalidRequest ``bank_message_unreadable``."""
        return msgspec.convert(msgspec.to_builtins(self._bank.read(content)), BankReport)
