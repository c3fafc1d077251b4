"""The book of the card host with instants: iso8583sim remembers nothing, so the recorder before it keeps every act it approved."""

from datetime import UTC, datetime

import msgspec

from tongbao.bench.payment_drill_recorder import Recorder

SALE, REFUND = "sale", "refund"


class HostEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of money that the host approved: under which reference of ours, of which payment, when."""

    kind: str
    reference: str
    payment: str
    amount_minor: int
    at: datetime


class HostBook(Recorder):
    """A recorder that also keeps, in order, what moved money."""

    def __init__(self, port: int, host_port: int) -> None:
        super().__init__(port, host_port)
        self.entries: list[HostEntry] = []

    def note(self, question: dict[str, str], answer: dict[str, str]) -> None:
        """Write down what an answer of the host did, as ``Recorder.note`` does, and what it moved."""
        act = question.get("48", "")
        reference = question.get("62") or act
        before = self._moved(reference)
        super().note(question, answer)
        captured, refunded = (now - then for now, then in zip(self._moved(reference), before, strict=True))
        for kind, amount in ((SALE, captured), (REFUND, refunded)):
            if amount:
                entry = HostEntry(
                    kind=kind,
                    reference=act,
                    payment=reference,
                    amount_minor=amount,
                    at=datetime.now(UTC),
                )
                self.entries.append(entry)

    def _moved(self, reference: str) -> tuple[int, int]:
        known = self.book.get(reference)
        return (known.captured_minor, known.refunded_minor) if known is not None else (0, 0)
