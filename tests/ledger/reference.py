"""A small reference ledger of one book: dictionaries, one transfer at a time, no speed, no code of the real one."""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.ledger.schema import Kind, Transfer

LARGEST_AMOUNT = 9_007_199_254_740_991


@dataclass
class Account:
    """One account; ``state`` is open, receive_only, frozen or closed."""

    asset: int
    floor: int | None = None
    ceiling: int | None = None
    state: str = "open"
    debits: int = 0
    credits: int = 0
    debits_held: int = 0
    credits_held: int = 0

    @property
    def posted(self) -> int:
        return self.credits - self.debits


@dataclass
class Hold:
    """One hold; ``state`` is open, captured, voided or expired."""

    debit: int
    credit: int
    asset: int
    left: int
    expires_at: datetime | None
    state: str = "open"


class Answer(NamedTuple):
    """What became of a transfer."""

    outcome: str
    refusal: str | None = None
    amount: int = 0


class Row(NamedTuple):
    """A line of the journal: the request as it came, the size of its group, what it moved."""

    request: Transfer
    group_size: int | None
    moved: tuple[int, int, int, int]


class Refused(Exception):
    """Ends one transfer."""


def malformed(t: Transfer) -> str | None:
    """What is wrong with a transfer by itself."""
    needs_amount = t.kind in (Kind.PLAIN, Kind.HOLD) or (t.kind is Kind.CAPTURE and not t.final)
    if t.amount_minor < needs_amount:
        return "amount_not_positive"
    if t.amount_minor > LARGEST_AMOUNT:
        return "amount_too_large"
    same = t.kind in (Kind.PLAIN, Kind.HOLD) and t.debit_account_id == t.credit_account_id
    return "same_account" if same else None


@dataclass
class ReferenceLedger:
    """Accounts, rows and holds of one book."""

    accounts: dict[int, Account] = field(default_factory=dict)
    rows: dict[UUID, Row] = field(default_factory=dict)
    holds: dict[UUID, Hold] = field(default_factory=dict)

    def post(self, transfers: list[Transfer], now: datetime) -> list[Answer]:
        """Answer transfers one after another; members of a group stand next to each other."""
        together: list[list[Transfer]] = []
        for t in transfers:
            if t.group_key and together and t.group_key == together[-1][0].group_key != t.key:
                together[-1].append(t)
            else:
                together.append([t])
        return [answer for members in together for answer in self._together(members, now)]

    def expire(self, now: datetime) -> int:
        """Release every open hold whose time has come; return how many."""
        due = [h for h in self.holds.values() if h.state == "open" and h.expires_at and h.expires_at <= now]
        for hold in due:
            self._release(hold, hold.left, "expired")
        return len(due)

    def _together(self, members: list[Transfer], now: datetime) -> list[Answer]:
        if members[0].group_key is None:
            return [self._one(members[0], now, None)]
        known = sum(t.key in self.rows for t in members) if not any(map(malformed, members)) else 0
        if 0 < known < len(members):
            return [Answer("refused", "group_split")] * len(members)
        before = deepcopy((self.accounts, self.rows, self.holds))
        answers = [self._one(t, now, len(members)) for t in members]
        if known or all(answer.outcome != "refused" for answer in answers):
            return answers
        self.accounts, self.rows, self.holds = before
        return [a if a.outcome == "refused" else Answer("refused", "group_refused") for a in answers]

    def _one(self, t: Transfer, now: datetime, group_size: int | None) -> Answer:
        try:
            if problem := malformed(t):
                raise Refused(problem)
            if t.key in self.rows:
                row = self.rows[t.key]
                if (row.request, row.group_size) != (t, group_size):
                    raise Refused("key_conflict")
                return Answer("exists", None, row.moved[3])
            moved = self._move(t, now)
        except Refused as refused:
            return Answer("refused", str(refused))
        self.rows[t.key] = Row(t, group_size, moved)
        return Answer("posted", None, moved[3])

    def _move(self, t: Transfer, now: datetime) -> tuple[int, int, int, int]:
        if t.kind in (Kind.CAPTURE, Kind.VOID, Kind.EXPIRY):
            return self._move_held(t, now)
        debit, credit, asset, wanted = (
            int(t.debit_account_id),
            int(t.credit_account_id),
            t.asset_id,
            t.amount_minor,
        )
        if t.kind is Kind.REVERSAL:
            original = self.rows.get(t.refers_to) if t.refers_to else None
            if original is None:
                raise Refused("transfer_unknown")
            if original.request.kind not in (Kind.PLAIN, Kind.CAPTURE):
                raise Refused("not_reversible")
            credit, debit, asset, wanted = original.moved
        self._check_accounts(debit, credit, asset)
        giver, taker = self.accounts[debit], self.accounts[credit]
        down = wanted if giver.floor is None else giver.posted - giver.debits_held - giver.floor
        up = wanted if taker.ceiling is None else taker.ceiling - taker.posted - taker.credits_held
        amount = min(wanted, down, up) if t.up_to else wanted
        if amount <= 0:
            raise Refused("nothing_to_move")
        if amount > down:
            raise Refused("below_floor")
        if amount > up:
            raise Refused("above_ceiling")
        if t.kind is Kind.HOLD:
            self.holds[t.key] = Hold(debit, credit, asset, amount, t.expires_at)
            giver.debits_held += amount
            taker.credits_held += amount
        else:
            giver.debits += amount
            taker.credits += amount
        return debit, credit, asset, amount

    def _move_held(self, t: Transfer, now: datetime) -> tuple[int, int, int, int]:
        hold = self.holds.get(t.refers_to) if t.refers_to else None
        if hold is None:
            raise Refused("hold_unknown")
        if hold.state != "open":
            raise Refused(
                "hold_expired" if hold.state == "expired" and t.kind is Kind.CAPTURE else "hold_closed"
            )
        due = hold.expires_at is not None and hold.expires_at <= now
        if t.kind is Kind.CAPTURE and due:
            raise Refused("hold_expired")
        if t.kind is Kind.EXPIRY and not due:
            raise Refused("hold_not_due")
        amount = t.amount_minor or hold.left
        if amount > hold.left:
            raise Refused("hold_exceeded")
        if t.kind is Kind.CAPTURE:
            self._check_accounts(hold.debit, hold.credit, hold.asset)
            self._release(hold, hold.left if t.final else amount, "captured")
            self.accounts[hold.debit].debits += amount
            self.accounts[hold.credit].credits += amount
        else:
            self._release(hold, amount, "voided" if t.kind is Kind.VOID else "expired")
        return hold.debit, hold.credit, hold.asset, amount

    def _release(self, hold: Hold, amount: int, end: str) -> None:
        hold.left -= amount
        hold.state = hold.state if hold.left else end
        self.accounts[hold.debit].debits_held -= amount
        self.accounts[hold.credit].credits_held -= amount

    def _check_accounts(self, debit: int, credit: int, asset: int) -> None:
        if debit not in self.accounts or credit not in self.accounts:
            raise Refused("account_unknown")
        for side, blocked in ((debit, ("closed", "frozen", "receive_only")), (credit, ("closed", "frozen"))):
            if self.accounts[side].state in blocked:
                raise Refused("account_closed" if self.accounts[side].state == "closed" else "account_frozen")
        if not self.accounts[debit].asset == self.accounts[credit].asset == asset:
            raise Refused("asset_mismatch")
