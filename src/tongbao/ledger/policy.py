"""The posting decision: which transfers of a batch are accepted, and what they change. Pure.

Two ways to the same answer:

- ``plan_if_all_fit`` decides without reading a single balance. It adds up what the batch takes from and gives
  to each account; the store then updates each touched balance once, under the condition that the whole outflow
  fits. If every row was updated, every transfer was acceptable in any order. This is the path of nearly all
  batches and the reason why a hot account is no slower than a cold one.
- ``decide`` goes through the batch in order on locked rows and answers each transfer by itself. It runs when
  the first way fails: a limit bites, a key exists, an account is unknown, a reversal or ``up_to`` is asked for.

``tests/ledger/test_policy.py`` proves that the second accepts whatever the first accepts.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tongbao.ledger.form import malformed, same_content, spans
from tongbao.ledger.schema import (
    BALANCE_MINOR_MAX,
    AccountId,
    AccountRow,
    AccountState,
    Address,
    BookId,
    HoldRow,
    HoldState,
    JournalRow,
    Kind,
    Outcome,
    PostResult,
    Refusal,
    Total,
    Transfer,
)

_ON_HOLD = frozenset({Kind.CAPTURE, Kind.VOID, Kind.EXPIRY})
_CREDIT_BLOCKED = {
    AccountState.CLOSED: Refusal.ACCOUNT_CLOSED,
    AccountState.FROZEN: Refusal.ACCOUNT_FROZEN,
}
_DEBIT_BLOCKED = _CREDIT_BLOCKED | {AccountState.RECEIVE_ONLY: Refusal.ACCOUNT_FROZEN}

_Undo = list[tuple[AccountRow | HoldRow, tuple[object, ...]]]


class Refused(Exception):
    """Ends the decision on one transfer with a reason; never leaves this module."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(refusal, detail)
        self.refusal = refusal
        self.detail = detail


class Plan:
    """What is to be written: journal rows, totals by account, holds that are new or changed."""

    def __init__(self) -> None:
        self.rows: list[JournalRow] = []
        self.totals: dict[AccountId, Total] = {}
        self.holds: dict[Address, HoldRow] = {}
        self.results: list[PostResult] = []


class View:
    """What the database says about everything that a batch names, under lock."""

    def __init__(
        self,
        accounts: dict[AccountId, AccountRow],
        journal: dict[Address, JournalRow],
        holds: dict[Address, HoldRow],
    ) -> None:
        self.accounts = accounts
        self.journal = journal
        self.holds = holds


def plan_if_all_fit(items: Sequence[Transfer], holds: dict[Address, HoldRow], now: datetime) -> Plan | None:
    """Return what accepting every item would write, or None where that needs a closer look.

    The caller must make the balance updates conditional on each total's ``outflow`` and ``inflow``. ``holds``
    are the locked rows of the holds that items refer to; those of a returned plan are changed in place.
    """
    plan = Plan()
    rows, totals = plan.rows, plan.totals
    size: int | None = None
    for index, t in enumerate(items):
        kind = t.kind
        if kind is Kind.REVERSAL or t.up_to or malformed(t) is not None:
            return None
        if t.group_key is None:
            size = None
        elif t.key == t.group_key:
            size = _group_size(items, index)
        elif size is None or items[index - 1].group_key != t.group_key:
            return None
        if kind is Kind.PLAIN or kind is Kind.HOLD:
            row = JournalRow(
                t.book_id,
                t.key,
                t.debit_account_id,
                t.credit_account_id,
                t.amount_minor,
                t.asset_id,
                kind,
                t.code,
                t.reference,
                t.occurred_at or now,
                now,
                index,
                t.group_key,
                size,
                None,
                None,
                None,
                t.expires_at,
            )
            if kind is Kind.HOLD:
                _place(plan.holds, t)
        else:
            address = (t.book_id, t.refers_to)
            hold = holds.get(address) or plan.holds.get(address)  # type: ignore[arg-type]  # refers_to is checked
            if hold is None:
                return None
            try:
                row = _row_on_hold(t, hold, now, index, size)
            except Refused:
                return None
            plan.holds[hold.book_id, hold.key] = hold
        rows.append(row)
        if not _add(totals, row, checked=False):
            return None
    return plan


def decide(items: Sequence[Transfer], view: View, now: datetime) -> Plan:
    """Answer every item, in order, each seeing the effect of those accepted before it.

    ``view`` is changed as the decision goes. Linked groups are accepted or refused as a whole: the member at
    fault carries its reason, the others ``group_refused``.
    """
    plan = Plan()
    for start, end in spans(items):
        undo: _Undo = []
        kept = len(plan.rows)
        members = items[start:end]
        size = end - start if members[0].group_key is not None else None
        replay = _replay_of_group(members, view) if size and not any(map(malformed, members)) else None
        if replay is not None:
            plan.results.extend(replay)
            continue
        answers = [_decide_one(t, view, plan, now, size, undo) for t in members]
        if size and not all(answer.accepted for answer in answers):
            _roll_back(undo, 0)
            for row in plan.rows[kept:]:
                view.journal.pop((row.book_id, row.key), None)
                if row.kind is Kind.HOLD:
                    view.holds.pop((row.book_id, row.key), None)
            del plan.rows[kept:]
            answers = [_with_group(answer) for answer in answers]
        plan.results.extend(answers)
    for row in plan.rows:
        _add(plan.totals, row, checked=True)
        address = (row.book_id, row.key) if row.kind is Kind.HOLD else (row.book_id, row.refers_to)
        if row.kind in _ON_HOLD or row.kind is Kind.HOLD:
            plan.holds[address] = view.holds[address]  # type: ignore[index]  # an accepted one refers to a hold
    return plan


def posted_and_held(row: JournalRow) -> tuple[int, int]:
    """Return how much a journal row moves between the posted and between the held sums of its two accounts."""
    if row.kind is Kind.PLAIN or row.kind is Kind.REVERSAL:
        return row.amount_minor, 0
    if row.kind is Kind.HOLD:
        return 0, row.amount_minor
    if row.kind is Kind.CAPTURE:
        return row.amount_minor, -(row.amount_minor if row.released_minor is None else row.released_minor)
    return 0, -row.amount_minor


def _decide_one(
    t: Transfer, view: View, plan: Plan, now: datetime, group_size: int | None, undo: _Undo
) -> PostResult:
    """Answer one transfer; when accepted, change the view and add the journal row to the plan."""
    kept = len(undo)
    try:
        problem = malformed(t)
        if problem is not None:
            raise Refused(*problem)
        stored = view.journal.get((t.book_id, t.key))
        if stored is not None:
            return _replay(t, stored, group_size)
        row = _row_for(t, view, now, len(plan.rows), group_size, undo)
    except Refused as refused:
        _roll_back(undo, kept)
        return PostResult(t.key, Outcome.REFUSED, refusal=refused.refusal, detail=refused.detail)
    view.journal[t.book_id, t.key] = row
    plan.rows.append(row)
    return PostResult(t.key, Outcome.POSTED, row.amount_minor, now)


def _row_for(
    t: Transfer, view: View, now: datetime, index: int, group_size: int | None, undo: _Undo
) -> JournalRow:
    """Return the journal row of an acceptable transfer and apply it to the view; raise Refused otherwise."""
    if t.kind in _ON_HOLD:
        hold = view.holds.get((t.book_id, t.refers_to))  # type: ignore[arg-type]  # checked by malformed
        if hold is None:
            raise Refused(Refusal.HOLD_UNKNOWN, f"no hold {t.refers_to}")
        undo.append((hold, msgspec.structs.astuple(hold)))
        row = _row_on_hold(t, hold, now, index, group_size)
        if t.kind is Kind.CAPTURE:
            _sides(view, t.book_id, hold.debit_account_id, hold.credit_account_id, hold.asset_id)
    elif t.kind is Kind.REVERSAL:
        row = _row_of_reversal(t, view, now, index, group_size)
    else:
        debit, credit = _sides(view, t.book_id, t.debit_account_id, t.credit_account_id, t.asset_id)
        row = _row(t, t, _fitting_amount(t, debit, credit), now, index, group_size)
    debit, credit = view.accounts[row.debit_account_id], view.accounts[row.credit_account_id]
    posted, held = posted_and_held(row)
    if posted and max(debit.debits_minor, credit.credits_minor) + posted > BALANCE_MINOR_MAX:
        raise Refused(Refusal.BALANCE_TOO_LARGE, "the account's turnover would leave its range")
    if held > 0 and max(debit.debits_held_minor, credit.credits_held_minor) + held > BALANCE_MINOR_MAX:
        raise Refused(Refusal.BALANCE_TOO_LARGE, "the account's holds would leave their range")
    undo.append((debit, msgspec.structs.astuple(debit)))
    undo.append((credit, msgspec.structs.astuple(credit)))
    debit.debits_minor += posted
    debit.debits_held_minor += held
    credit.credits_minor += posted
    credit.credits_held_minor += held
    if row.kind is Kind.HOLD:
        _place(view.holds, t)
    return row


def _sides(
    view: View, book_id: BookId, debit_id: AccountId, credit_id: AccountId, asset_id: int
) -> tuple[AccountRow, AccountRow]:
    """Return both accounts where they exist in the book, are open to this and count the same asset."""
    sides = []
    for account_id, blocked in ((debit_id, _DEBIT_BLOCKED), (credit_id, _CREDIT_BLOCKED)):
        row = view.accounts.get(account_id)
        if row is None or row.book_id != book_id:
            raise Refused(Refusal.ACCOUNT_UNKNOWN, f"book {book_id} has no account {account_id}")
        sides.append((row, blocked))
    for row, blocked in sides:
        refusal = blocked.get(row.state)
        if refusal is not None:
            raise Refused(refusal, f"account {row.account_id} is {row.state.name.lower()}")
    for row, _ in sides:
        if row.asset_id != asset_id:
            detail = f"account {row.account_id} counts asset {row.asset_id}, not {asset_id}"
            raise Refused(Refusal.ASSET_MISMATCH, detail)
    return sides[0][0], sides[1][0]


def _fitting_amount(t: Transfer, debit: AccountRow, credit: AccountRow) -> int:
    """Return the amount to move: all of it, or as much as both limits allow for a balancing transfer."""
    amount = t.amount_minor
    room_down = amount if debit.floor_minor is None else debit_room(debit)
    room_up = amount if credit.ceiling_minor is None else credit_room(credit)
    if t.up_to:
        amount = min(amount, room_down, room_up)
        if amount <= 0:
            raise Refused(Refusal.NOTHING_TO_MOVE, "the limits leave nothing to move")
        return amount
    if amount > room_down:
        raise Refused(
            Refusal.BELOW_FLOOR, f"account {debit.account_id} has room for {max(room_down, 0)}, not {amount}"
        )
    if amount > room_up:
        raise Refused(
            Refusal.ABOVE_CEILING, f"account {credit.account_id} has room for {max(room_up, 0)}, not {amount}"
        )
    return amount


def debit_room(row: AccountRow) -> int:
    """Return how much may leave an account that has a floor; holds count as gone."""
    return row.credits_minor - row.debits_minor - row.debits_held_minor - (row.floor_minor or 0)


def credit_room(row: AccountRow) -> int:
    """Return how much may enter an account that has a ceiling; incoming holds count as arrived."""
    return (row.ceiling_minor or 0) - (row.credits_minor - row.debits_minor + row.credits_held_minor)


def _row(
    t: Transfer,
    sides: Transfer | HoldRow,
    amount_minor: int,
    now: datetime,
    index: int,
    group_size: int | None = None,
    released_minor: int | None = None,
) -> JournalRow:
    """Return the journal row of a transfer between the accounts of ``sides``: itself, or the hold it is on."""
    return JournalRow(
        t.book_id,
        t.key,
        sides.debit_account_id,
        sides.credit_account_id,
        amount_minor,
        sides.asset_id,
        t.kind,
        t.code,
        t.reference,
        t.occurred_at or now,
        now,
        index,
        t.group_key,
        group_size,
        t.refers_to,
        released_minor,
        t.amount_minor if t.up_to else None,
        t.expires_at,
    )


def _row_on_hold(
    t: Transfer, hold: HoldRow, now: datetime, index: int, group_size: int | None = None
) -> JournalRow:
    """Return the row of a capture, void or expiry and move the hold on; raise Refused where it may not."""
    if hold.state is not HoldState.OPEN:
        late = hold.state is HoldState.EXPIRED and t.kind is Kind.CAPTURE
        refusal = Refusal.HOLD_EXPIRED if late else Refusal.HOLD_CLOSED
        raise Refused(refusal, f"hold {hold.key} is {hold.state.name.lower()}")
    due = hold.expires_at is not None and hold.expires_at <= now
    if t.kind is Kind.CAPTURE and due:
        raise Refused(Refusal.HOLD_EXPIRED, f"hold {hold.key} expired at {hold.expires_at}")
    if t.kind is Kind.EXPIRY and not due:
        raise Refused(Refusal.HOLD_NOT_DUE, f"hold {hold.key} is not due")
    amount = hold.remaining_minor if t.amount_minor == 0 else t.amount_minor
    if amount > hold.remaining_minor:
        raise Refused(Refusal.HOLD_EXCEEDED, f"hold {hold.key} has {hold.remaining_minor} left, not {amount}")
    released = None
    if t.kind is Kind.CAPTURE:
        released = hold.remaining_minor if t.final else None
        hold.captured_minor += amount
        hold.remaining_minor -= hold.remaining_minor if t.final else amount
        hold.state = HoldState.OPEN if hold.remaining_minor else HoldState.CAPTURED
    else:
        hold.remaining_minor = 0
        hold.state = HoldState.VOIDED if t.kind is Kind.VOID else HoldState.EXPIRED
    return _row(t, hold, amount, now, index, group_size, released)


def _row_of_reversal(
    t: Transfer, view: View, now: datetime, index: int, group_size: int | None
) -> JournalRow:
    """Return the mirror image of an earlier transfer, within the limits of both accounts."""
    original = view.journal.get((t.book_id, t.refers_to))  # type: ignore[arg-type]  # checked by malformed
    if original is None:
        raise Refused(Refusal.TRANSFER_UNKNOWN, f"no transfer {t.refers_to}")
    if original.kind not in (Kind.PLAIN, Kind.CAPTURE):
        raise Refused(Refusal.NOT_REVERSIBLE, f"a {original.kind.name.lower()} cannot be reversed")
    mirrored = msgspec.structs.replace(
        t,
        debit_account_id=original.credit_account_id,
        credit_account_id=original.debit_account_id,
        amount_minor=original.amount_minor,
        asset_id=original.asset_id,
    )
    debit, credit = _sides(
        view, t.book_id, mirrored.debit_account_id, mirrored.credit_account_id, mirrored.asset_id
    )
    return _row(mirrored, mirrored, _fitting_amount(mirrored, debit, credit), now, index, group_size)


def _place(holds: dict[Address, HoldRow], t: Transfer) -> None:
    holds[t.book_id, t.key] = HoldRow(
        t.book_id,
        t.key,
        t.debit_account_id,
        t.credit_account_id,
        t.asset_id,
        t.amount_minor,
        t.amount_minor,
        0,
        HoldState.OPEN,
        t.expires_at,
        is_new=True,
    )


def _group_size(items: Sequence[Transfer], start: int) -> int:
    """Return how many items from ``start`` on, where a group's leader stands, belong to its group."""
    group = items[start].group_key
    end = start + 1
    while end < len(items) and items[end].group_key == group and items[end].key != group:
        end += 1
    return end - start


def _add(totals: dict[AccountId, Total], row: JournalRow, *, checked: bool) -> bool:
    """Add one row to the totals of its accounts; False where an account is named with two books or assets.

    ``checked``: the limits were decided already, so nothing is demanded of the update.
    """
    amount = row.amount_minor
    debit = totals.get(row.debit_account_id)
    if debit is None:
        totals[row.debit_account_id] = debit = Total(row.book_id, row.asset_id)
    credit = totals.get(row.credit_account_id)
    if credit is None:
        totals[row.credit_account_id] = credit = Total(row.book_id, row.asset_id)
    if row.kind is Kind.PLAIN:
        debit.debits += amount
        credit.credits += amount
        if not checked:
            debit.outflow += amount
            credit.inflow += amount
    else:
        posted, held = posted_and_held(row)
        debit.touches_holds = credit.touches_holds = True
        debit.debits += posted
        debit.debits_held += held
        credit.credits += posted
        credit.credits_held += held
        if row.kind is Kind.HOLD and not checked:
            debit.outflow += amount
            credit.inflow += amount
    return (
        debit.book_id == row.book_id
        and credit.book_id == row.book_id
        and debit.asset_id == row.asset_id
        and credit.asset_id == row.asset_id
    )


def _replay_of_group(members: Sequence[Transfer], view: View) -> list[PostResult] | None:
    """Answer a group that was posted before, or was posted in part (which is a split); None where it is new."""
    stored = [view.journal.get((t.book_id, t.key)) for t in members]
    if not any(stored):
        return None
    if all(stored):
        return [_replay(t, row, len(members)) for t, row in zip(members, stored, strict=True) if row]
    detail = "some members of this group were posted before, others were not"
    return [PostResult(t.key, Outcome.REFUSED, refusal=Refusal.GROUP_SPLIT, detail=detail) for t in members]


def _replay(t: Transfer, stored: JournalRow, group_size: int | None) -> PostResult:
    """Return the original answer for a repeated key, a conflict where the content differs."""
    if same_content(t, stored, group_size):
        return PostResult(t.key, Outcome.EXISTS, stored.amount_minor, stored.recorded_at)
    detail = f"key {t.key} was used for another transfer"
    return PostResult(t.key, Outcome.REFUSED, refusal=Refusal.KEY_CONFLICT, detail=detail)


def _with_group(answer: PostResult) -> PostResult:
    if not answer.accepted:
        return answer
    return PostResult(
        answer.key, Outcome.REFUSED, refusal=Refusal.GROUP_REFUSED, detail="another member was refused"
    )


def _roll_back(undo: _Undo, kept: int) -> None:
    """Take back every change after the first ``kept``, newest first."""
    while len(undo) > kept:
        row, before = undo.pop()
        for name, value in zip(row.__struct_fields__, before, strict=True):
            setattr(row, name, value)
