"""What statements of accounts have in common, whatever they are written in: several in one file, and whose account it is."""

from datetime import date

import msgspec

from tongbao.clearing.schema.lines import STATEMENTS_MAX, Header, Line, LineKind, Told

REPEATED = "statement_repeated"


class Statements:
    """The statements of one file, in their order, each once."""

    def __init__(self) -> None:
        self._kept: list[Told] = []
        self._seen: set[Told] = set()

    @property
    def kept(self) -> tuple[Told, ...]:
        """Those that were told, at most ``STATEMENTS_MAX``."""
        return tuple(self._kept)

    def add(self, told: Told) -> bool:
        """Take one up; False where it stood before in the file, with its name or number, its days and its balances.

        Past ``STATEMENTS_MAX`` none is told apart any more: their entries count all the same.
        """
        if told in self._seen:
            return False
        if len(self._kept) < STATEMENTS_MAX:
            self._kept.append(told)
            if told.statement or told.sequence is not None:
                self._seen.add(told)
        return True

    def joined(self, header: Header) -> Header:
        """Return the header of a file for all of them: first opening, last closing, number and name of the last."""
        last = self._kept[-1]
        opening = next((each.opening for each in self._kept if each.opening is not None), None)
        return msgspec.structs.replace(
            header,
            statement=last.statement,
            account=last.account or header.account,
            sequence=header.sequence if last.sequence is None else last.sequence,
            from_on=_earliest([each.from_on for each in self._kept]),
            until_on=_latest([each.until_on for each in self._kept]),
            opening=opening,
            closing=last.closing,
        )


def of_channel(line: Line) -> Line:
    """Return an entry of our account at a channel as what it is there: nothing on it is a payout of ours.

    What comes in is a sale. What leaves for no payment that we know by a reference of ours is money on its way to our bank, which is
    positive from the house's view; with one it is given back. Costs stay what they are.
    """
    if line.kind is LineKind.FEE:
        return line
    if line.kind is LineKind.RETURN or (line.gross_minor < 0 and not line.reference):
        # Money that came back from the bank is as good as taken from us there.
        changes: dict[str, object] = {"kind": LineKind.TRANSFER}
        return msgspec.structs.replace(
            line, **changes, gross_minor=-line.gross_minor, net_minor=-line.net_minor
        )
    return msgspec.structs.replace(line, kind=LineKind.REFUND if line.gross_minor < 0 else LineKind.SALE)


def _earliest(days: list[date | None]) -> date | None:
    return min((each for each in days if each is not None), default=None)


def _latest(days: list[date | None]) -> date | None:
    return max((each for each in days if each is not None), default=None)
