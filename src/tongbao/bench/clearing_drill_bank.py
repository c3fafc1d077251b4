"""The bank of the clearing drill: what hands messages to it, and the bank itself with its own book and statements.

They are two because a process that hands over a message may be killed: what it has written into the bank's box is there, whole
or not at all. The bank pays what every new message says and looks at nothing else, so that a payout which is sent in two messages is
paid twice, and seen.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import msgspec

from tongbao.clearing.schema.bank_messages import (
    Acknowledged,
    BankLine,
    BankReport,
    BankTerms,
    Heard,
    Instruction,
    Tidings,
)
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox.settlement_files import Row

MESSAGES_MAX = 100_000


class _Message(msgspec.Struct, frozen=True):
    message_id: str
    instructions: tuple[Instruction, ...]


class BankWay:
    """The way to a bank (``clearing.ports.Bank``): a folder in which both sides leave their messages."""

    def __init__(self, name: str, currencies: frozenset[str], folder: Path, zone: str) -> None:
        self._terms = BankTerms(
            name=name, live=False, test=True, currencies=currencies, refuses_repeats=True, zone=zone
        )
        self.inbox = folder / name / "in"
        self.outbox = folder / name / "out"
        for box in (self.inbox, self.outbox):
            box.mkdir(parents=True, exist_ok=True)

    @property
    def terms(self) -> BankTerms:
        """What is agreed with it."""
        return self._terms

    def prepare(self, message_id: str, made_at: datetime, instructions: Sequence[Instruction]) -> bytes:
        """Return a message as bytes."""
        del made_at
        return msgspec.json.encode(_Message(message_id, tuple(instructions)))

    def part_id(self, message_id: str, execution_on: date) -> str:
        """Return the id of the part of a message that an execution date has."""
        return f"{message_id}-{execution_on:%y%m%d}"

    async def send(self, message_id: str, content: bytes) -> Acknowledged:
        """Leave a message, whole or not at all; one whose id is there already is refused by the bank, which has it."""
        part = self.inbox / f".{message_id}.{os.getpid()}"
        part.write_bytes(content)
        if not (self.inbox / message_id).exists():
            part.rename(self.inbox / message_id)
        else:
            part.unlink()
        return Acknowledged.RECEIVED

    async def collect(self) -> Sequence[Heard]:
        """Return what the bank left, oldest first."""
        return [Heard(each.name, each.read_bytes()) for each in sorted(self.outbox.iterdir())]

    async def done(self, handles: Sequence[str]) -> None:
        """Take away what was kept."""
        for handle in handles:
            (self.outbox / handle).unlink(missing_ok=True)

    def read(self, content: bytes) -> BankReport:
        """Return what a message says; raise InvalidRequest ``bank_message_unreadable``."""
        try:
            return msgspec.json.decode(content, type=BankReport)
        except msgspec.MsgspecError as error:
            raise InvalidRequest("bank_message_unreadable", str(error)) from error


class Paid(msgspec.Struct, frozen=True):
    """One payout that the bank executed: in which message, on which day."""

    instruction: Instruction
    message_id: str
    on: date


class Teller:
    """The bank itself: executes each message once, says so, and tells what stands on the account."""

    def __init__(self, way: BankWay) -> None:
        self._way = way
        self._read: set[str] = set()
        self._reports = 0
        self.paid: list[Paid] = []
        self.returned: dict[str, date] = {}

    def execute(self, on: date, at: datetime) -> list[Row]:
        """Execute what came in; tell that it was accepted and booked, and return the entries of the statement."""
        rows: list[Row] = []
        for path in sorted(self._way.inbox.iterdir()):
            if path.name.startswith(".") or path.name in self._read:
                continue
            self._read.add(path.name)
            message = msgspec.json.decode(path.read_bytes(), type=_Message)
            for each in message.instructions:
                self.paid.append(Paid(each, message.message_id, on))
                rows.append(self._row("payout", each, -each.amount_minor, at))
            self._tell(
                message.message_id,
                [_line(Tidings.STATUS, each, on, status="ACSP") for each in message.instructions],
                "pain.002",
            )
            self._tell(
                message.message_id,
                [_line(Tidings.BOOKED, each, on) for each in message.instructions],
                "camt.053",
            )
        return rows

    def give_back(self, paid: Paid, on: date, at: datetime) -> Row:
        """Let a payout come back that was booked before; return the entry of the statement."""
        each = paid.instruction
        self.returned[each.end_to_end] = on
        return self._row("return", each, each.amount_minor, at)

    def tell_return(self, paid: Paid, on: date) -> None:
        """Tell that a payout came back."""
        line = _line(Tidings.RETURNED, paid.instruction, on, code="AC04")
        self._tell(f"{paid.message_id}R", [line], "camt.054")

    def twice(self) -> int:
        """Return how many executions were of a payout that had been executed before."""
        return len(self.paid) - len({each.instruction.end_to_end for each in self.paid})

    def _row(self, kind: str, of: Instruction, amount_minor: int, at: datetime) -> Row:
        return Row(
            reference=of.end_to_end,
            channel_reference=f"{'b' if kind == 'payout' else 'r'}{of.end_to_end[-20:]}",
            kind=kind,
            amount_minor=amount_minor,
            currency=of.currency,
            at=at,
        )

    def _tell(self, message_id: str, lines: Sequence[BankLine], kind: str) -> None:
        self._reports += 1
        report = BankReport(kind=kind, message_id=f"{message_id}{self._reports}", lines=tuple(lines))
        name = f"{self._reports:06d}"
        part = self._way.outbox.parent / f".{name}"
        part.write_bytes(msgspec.json.encode(report))
        part.rename(self._way.outbox / name)


def _line(kind: Tidings, of: Instruction, on: date, **changes: str) -> BankLine:
    values: Mapping[str, object] = {
        "kind": kind,
        "end_to_end": of.end_to_end,
        "amount_minor": of.amount_minor,
        "currency": of.currency,
        "booked_on": on,
    }
    return msgspec.convert(dict(values) | changes, BankLine)
