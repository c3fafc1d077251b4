"""What goes wrong on purpose in the clearing drill: changes of a day's lines, each with what is then true.

A change takes the lines of one file and returns them changed, and which fault that is; None where the day has nothing to do it
to. Each is done to lines of which nothing else is wrong.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from tongbao.bench.clearing_drill_files import Deed, Entry, Name, total_name
from tongbao.bench.clearing_drill_terms import ALIPAY, CARD, FLOW, GLOBAL, TERMINAL, WECHAT
from tongbao.clearing.schema.breaks import BreakKind

DAYS_OFF = 6
"""A wrong day lies so far away that it is no matter of zones or nights."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. ``kind``: of the break that must name it, or of the problem that the intake must.

    ``deeds`` and ``lines``: whom the break is about, on our side and on theirs. ``stays``: nothing mends it. ``label``: what was
    done. ``gap``: of a missing statement. ``path``: of a file.
    """

    kind: str
    label: str
    source: str
    deeds: frozenset[Deed] = frozenset()
    lines: frozenset[Name] = frozenset()
    stays: bool = True
    gap: str = ""
    path: str = ""


class Changed(NamedTuple):
    """Lines after a change, those that come with the next file of the source, and the faults."""

    entries: list[Entry]
    faults: tuple[Fault, ...]
    later: tuple[Entry, ...] = ()


class Day(NamedTuple):
    """What a change is made to. ``counts``: how often each reference stands in the channel's whole record."""

    source: str
    entries: list[Entry]
    rng: random.Random
    counts: Counter[tuple[str, str]]
    touched: frozenset[Deed]


Change = Callable[[Day], Changed | None]


def missing(day: Day) -> Changed | None:
    """Leave a line out."""
    return _without(day, BreakKind.MISSING, "left out")


def late(day: Day) -> Changed | None:
    """Bring a line with the file of the next day."""
    victim = _one(day)
    if victim is None:
        return None
    fault = _fault(day, BreakKind.EXPECTED, "a day late", victim, is_line=False, stays=False)
    return Changed(_but(day, victim), (fault,), (victim,))


def unexpected(day: Day) -> Changed | None:
    """Report a sale that never was."""
    victim = _one(day)
    if victim is None:
        return None
    number = day.rng.getrandbits(60)
    row = msgspec.structs.replace(
        victim.row, reference=f"pa_{number:026d}", channel_reference=f"zz{number:018d}"
    )
    invented = Entry(row=row, deeds=frozenset(), line=f"invented-{number}")
    name = day.source, row.kind, row.channel_reference
    fault = Fault(kind=BreakKind.UNEXPECTED, label="invented", source=day.source, lines=frozenset((name,)))
    return Changed([*day.entries, invented], (fault,))


def over(day: Day) -> Changed | None:
    """Report more than it was."""
    return _amount(day, BreakKind.OVER_AMOUNT, "more", lambda amount: amount + amount // 2 + 1)


def under(day: Day) -> Changed | None:
    """Report less than it was."""
    return _amount(day, BreakKind.UNDER_AMOUNT, "less", lambda amount: amount // 2 + 1)


def units(day: Day) -> Changed | None:
    """Write one amount in the other unit: a hundredth where minor units stand, a hundredfold where major ones do."""
    if day.source == CARD:
        whole = _whole_hundreds
        return _amount(day, BreakKind.UNDER_AMOUNT, "major units", lambda amount: amount // 100, whole)
    return _amount(day, BreakKind.OVER_AMOUNT, "minor units", lambda amount: amount * 100)


def currency(day: Day) -> Changed | None:
    """Report it in another currency."""
    victim = _one(day, lambda entry: entry.row.currency in {"CNY", "EUR"})
    if victim is None:
        return None
    other = {"CNY": "HKD", "EUR": "USD"}[victim.row.currency]
    changed = _row(victim, currency=other)
    return _swapped(day, victim, changed, BreakKind.CURRENCY_MISMATCH, "currency")


def kind(day: Day) -> Changed | None:
    """Book a refund as a sale."""
    victim = _one(day, kinds=("refund",))
    if victim is None:
        return None
    changed = _row(victim, kind="sale", amount_minor=-victim.row.amount_minor)
    return _swapped(day, victim, changed, BreakKind.DATA_MISMATCH, "kind")


def day_before(day: Day) -> Changed | None:
    """Date it days before it happened."""
    victim = _one(day)
    if victim is None:
        return None
    changed = _row(victim, at=victim.row.at - timedelta(days=DAYS_OFF))
    return _swapped(day, victim, changed, BreakKind.DATA_MISMATCH, "earlier day")


def day_after(day: Day) -> Changed | None:
    """Date it days after it happened."""
    victim = _one(day)
    if victim is None:
        return None
    changed = _row(victim, at=victim.row.at + timedelta(days=DAYS_OFF))
    return _swapped(day, victim, changed, BreakKind.DATA_MISMATCH, "later day")


def reference(day: Day) -> Changed | None:
    """Give it a reference of ours that nobody has."""
    victim = _one(day)
    if victim is None:
        return None
    changed = _row(victim, reference=f"pa_{day.rng.getrandbits(60):026d}")
    return _swapped(day, victim, changed, BreakKind.DATA_MISMATCH, "reference of nobody")


def twin(day: Day) -> Changed | None:
    """Give a sale the reference of another one of the same amount, and put it first."""
    alike: dict[tuple[str, int], Entry] = {}
    for entry in _plain(day, ("sale",)):
        other = alike.setdefault((entry.row.currency, entry.row.amount_minor), entry)
        if other is not entry and other.row.reference != entry.row.reference:
            changed = _row(entry, reference=other.row.reference)
            found = _swapped(day, entry, changed, BreakKind.DATA_MISMATCH, "reference of a twin")
            return found._replace(entries=[changed, *(each for each in found.entries if each is not changed)])
    return None


def merged(day: Day) -> Changed | None:
    """Report the parts of a payment as one line of their sum: nothing is wrong with that."""
    return _merged(day, 0)


def split(day: Day) -> Changed | None:
    """Report the parts of a payment as one line that is not their sum."""
    return _merged(day, 137)


def total(day: Day) -> Changed | None:
    """Let a total of a day be another than that of its payments."""
    victim = _one(day, is_alone=False)
    if victim is None:
        return None
    name = total_name(victim.row)
    parts = [entry for entry in day.entries if total_name(entry.row) == name]
    if any(entry.deeds & day.touched for entry in parts):
        return None
    changed = _row(victim, amount_minor=victim.row.amount_minor + 777)
    fault = Fault(
        kind=BreakKind.SPLIT_MISMATCH,
        label="total",
        source=day.source,
        deeds=frozenset().union(*(entry.deeds for entry in parts)),
        lines=frozenset((name,)),
    )
    return Changed([changed if entry is victim else entry for entry in day.entries], (fault,))


def duplicate(day: Day) -> Changed | None:
    """Report it twice in a file, the second time under another id."""
    victim = _one(day)
    if victim is None:
        return None
    again = _again(day, victim)
    return Changed([*day.entries, again], (_repeated(day, victim, again, "another id"),))


def duplicate_later(day: Day) -> Changed | None:
    """Report it again with the file of the next day, under another id."""
    victim = _one(day)
    if victim is None:
        return None
    again = _again(day, victim)
    return Changed(day.entries, (_repeated(day, victim, again, "another id, a day later"),), (again,))


def fee(day: Day) -> Changed | None:
    """Take another cost than was agreed."""
    victim = _one(day)
    if victim is None:
        return None
    changed = _row(victim, fee_minor=victim.row.fee_minor + 25 + victim.row.amount_minor // 50)
    return _swapped(day, victim, changed, BreakKind.FEE_MISMATCH, "cost")


def line_again(day: Day) -> Changed | None:
    """Bring a line again with the file of the next day, under its own id: it counts once."""
    victim = _one(day)
    if victim is None:
        return None
    fault = Fault(kind="line_in_two_files", label="same id", source=day.source, deeds=victim.deeds)
    return Changed(day.entries, (fault,), (victim,))


def broken_text(day: Day) -> Changed | None:
    """Write a line whose bytes are no text: it is refused, and its record missing."""
    victim = _one(day)
    if victim is None:
        return None
    return _refused(day, victim, msgspec.structs.replace(victim, is_broken=True), "encoding_broken")


def major_text(day: Day) -> Changed | None:
    """Write 19.99 where minor units belong: the line is refused, and its record missing."""
    victim = _one(day)
    if victim is None:
        return None
    amount = victim.row.amount_minor
    text = f"{amount // 100}.{amount % 100:02d}"
    return _refused(day, victim, msgspec.structs.replace(victim, gross=text), "amount_malformed")


CHANGES: dict[str, tuple[Change, ...]] = {
    CARD: (
        missing,
        late,
        unexpected,
        over,
        under,
        units,
        currency,
        kind,
        day_before,
        day_after,
        reference,
        twin,
        split,
        duplicate,
        duplicate_later,
        fee,
        line_again,
        broken_text,
        major_text,
    ),
    GLOBAL: (
        missing,
        late,
        unexpected,
        over,
        under,
        currency,
        day_before,
        reference,
        duplicate,
        duplicate_later,
        fee,
    ),
    TERMINAL: (total,),
    ALIPAY: (missing, late, unexpected, over, under, units, day_before, duplicate, fee),
    WECHAT: (missing, unexpected, over, under, units, day_after, duplicate_later, fee),
    FLOW: (missing, under),
}
"""What can go wrong in the files of each channel."""


def _plain(day: Day, kinds: Sequence[str], *, is_alone: bool = True) -> list[Entry]:
    """Return lines of which nothing is wrong; ``is_alone``: no other deed of the channel has their reference."""
    return [
        entry
        for entry in day.entries
        if entry.row.kind in kinds
        and len(entry.deeds) == 1
        and not entry.deeds & day.touched
        and (not is_alone or day.counts[entry.row.kind, entry.row.reference] == 1)
    ]


def _one(
    day: Day,
    fits: Callable[[Entry], bool] = lambda _entry: True,
    *,
    kinds: Sequence[str] = ("sale",),
    is_alone: bool = True,
) -> Entry | None:
    found = [entry for entry in _plain(day, kinds, is_alone=is_alone) if fits(entry)]
    return day.rng.choice(found) if found else None


def _row(entry: Entry, **changes: object) -> Entry:
    return msgspec.structs.replace(entry, row=msgspec.structs.replace(entry.row, **changes))


def _but(day: Day, victim: Entry) -> list[Entry]:
    return [entry for entry in day.entries if entry is not victim]


def _fault(
    day: Day, kind: str, label: str, entry: Entry, *, is_line: bool = True, stays: bool = True
) -> Fault:
    lines = frozenset(((day.source, *entry.name_in),)) if is_line else frozenset()
    return Fault(kind=kind, label=label, source=day.source, deeds=entry.deeds, lines=lines, stays=stays)


def _without(day: Day, kind: str, label: str) -> Changed | None:
    victim = _one(day)
    if victim is None:
        return None
    return Changed(_but(day, victim), (_fault(day, kind, label, victim, is_line=False),))


def _swapped(day: Day, victim: Entry, changed: Entry, kind: str, label: str) -> Changed:
    entries = [changed if entry is victim else entry for entry in day.entries]
    return Changed(entries, (_fault(day, kind, label, changed),))


def _whole_hundreds(entry: Entry) -> bool:
    return entry.row.amount_minor % 100 == 0


def _amount(
    day: Day,
    kind: str,
    label: str,
    change: Callable[[int], int],
    fits: Callable[[Entry], bool] = lambda _entry: True,
) -> Changed | None:
    victim = _one(day, fits)
    if victim is None:
        return None
    changed = _row(victim, amount_minor=change(victim.row.amount_minor))
    return _swapped(day, victim, changed, kind, label)


def _merged(day: Day, off_minor: int) -> Changed | None:
    parts: dict[str, list[Entry]] = {}
    for entry in _plain(day, ("sale",), is_alone=False):
        parts.setdefault(entry.row.reference, []).append(entry)
    for found in parts.values():
        if len(found) < 2 or day.counts["sale", found[0].row.reference] != len(found):
            continue
        row = msgspec.structs.replace(
            found[0].row,
            amount_minor=sum(entry.row.amount_minor for entry in found) + off_minor,
            fee_minor=sum(entry.row.fee_minor for entry in found),
            channel_reference=f"m{found[0].row.channel_reference}",
        )
        deeds = frozenset().union(*(entry.deeds for entry in found))
        whole = Entry(row=row, deeds=deeds, line=f"merged-{found[0].line}")
        rest = [entry for entry in day.entries if entry not in found]
        faults = (_fault(day, BreakKind.SPLIT_MISMATCH, "parts", whole),) if off_minor else ()
        return Changed([*rest, whole], faults)
    return None


def _again(day: Day, victim: Entry) -> Entry:
    """Return the same under another id: of the line where the source has such ids, else of the payment."""
    if day.source in {CARD, GLOBAL}:
        return msgspec.structs.replace(victim, line=f"{victim.line}-again")
    again = _row(victim, channel_reference=f"{victim.row.channel_reference}x")
    return msgspec.structs.replace(again, line=f"{victim.line}-again")


def _repeated(day: Day, victim: Entry, again: Entry, label: str) -> Fault:
    lines = frozenset(((day.source, *victim.name_in), (day.source, *again.name_in)))
    return Fault(kind=BreakKind.DUPLICATE, label=label, source=day.source, deeds=victim.deeds, lines=lines)


def _refused(day: Day, victim: Entry, changed: Entry, code: str) -> Changed:
    entries = [changed if entry is victim else entry for entry in day.entries]
    refused = Fault(kind=code, label="a line", source=day.source, deeds=victim.deeds)
    return Changed(entries, (refused, _fault(day, BreakKind.MISSING, code, victim, is_line=False)))
