"""The courier of the clearing drill: brings the files of each day to the house, some of them wrong, and knows what is true."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from tongbao.bench.clearing_drill_bank import Paid, Teller
from tongbao.bench.clearing_drill_faults import CHANGES, Change, Day, Fault, day_after, fee, merged
from tongbao.bench.clearing_drill_files import (
    CHANNEL_FILES,
    Account,
    Deed,
    Entry,
    Name,
    Owed,
    entries_of,
    flow_of,
    names_of,
    transfer_entry,
    written,
)
from tongbao.bench.clearing_drill_terms import (
    ALIPAY,
    CARD,
    EURO_BANK,
    FLOW,
    GLOBAL,
    TERMINAL,
    WECHAT,
    YUAN_BANK,
    ZONE,
)
from tongbao.bench.clearing_drill_work import Arrived
from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.service.working_days import working_day
from tongbao.simulator.paper_channels import PaperChannel
from tongbao.simulator.sandbox.settlement_files import Row

CALM_DAYS = 3
"""On the last days nothing new goes wrong, so that everything has its time to be overdue, or mended."""
LATE_DAYS = 3
"""So much later a statement comes that was held back; a line that is further off its file is no late one."""
RETURN_DAYS = 2
_OFF = 6
PAYOUTS = "payout"
TOLD_LATER = timedelta(days=1)


class Truth(msgspec.Struct):
    """What is true: which deeds each line stands for, and what is wrong on purpose."""

    lines: dict[Name, frozenset[Deed]] = {}
    faults: list[Fault] = []
    not_done: list[str] = []

    @property
    def touched(self) -> frozenset[Deed]:
        """Deeds of which something is wrong."""
        return frozenset().union(*(fault.deeds for fault in self.faults))

    def add(self, names: Mapping[Name, frozenset[Deed]]) -> None:
        """Learn what lines stand for."""
        for name, deeds in names.items():
            self.lines[name] = self.lines.get(name, frozenset()) | deeds


class Courier:
    """Brings files. ``days``: how many days the month has; ``times``: how often each change is made."""

    def __init__(
        self,
        channels: Mapping[str, PaperChannel],
        tellers: Mapping[str, Teller],
        folder: Path,
        rng: random.Random,
        *,
        first: date,
        days: int,
        times: int,
    ) -> None:
        self._channels = channels
        self._tellers = tellers
        self._folder = folder
        self._rng = rng
        self._first = first
        self._days = days
        self._owed = Owed()
        self._accounts = {YUAN_BANK: Account(YUAN_BANK, "CNY"), EURO_BANK: Account(EURO_BANK, "EUR")}
        self._carried: dict[str, list[Entry]] = defaultdict(list)
        self._booked_later: dict[tuple[str, date], list[Row]] = defaultdict(list)
        self._held_back: dict[date, list[Arrived]] = defaultdict(list)
        self._to_tell: list[tuple[date, str, Paid]] = []
        self._told: dict[str, list[Entry]] = {}
        self._joining: dict[str, list[bytes]] = {}
        self._count = 0
        self.truth = Truth()
        self._whole = self._planned_files()
        self._changes = self._planned(times)

    def day(self, on: date) -> list[Arrived]:
        """Return the files that come for a day, in their order."""
        found: list[Arrived] = self._held_back.pop(on, [])
        sent: dict[str, list[tuple[str, Row]]] = defaultdict(list)
        for source in CHANNEL_FILES:
            acts = self._channels[source].of_day(on, ZONE)
            closed, transfers = self._owed.close(source, on, entries_of(source, acts))
            for bank, row in transfers:
                teller_of = FLOW if source == WECHAT else source
                sent[bank].append((teller_of, row))
                if source != WECHAT:
                    closed.append(transfer_entry(row))
            found += self._channel_files(source, on, closed)
        sent_on = [row for pair in sent.values() for source, row in pair if source == FLOW]
        found.append(self._flow(on, sent_on))
        for bank in self._accounts:
            found += self._statement(bank, on, sent[bank])
        return found

    def _flow(self, on: date, sent: Sequence[Row]) -> Arrived:
        """Return what moved in the account at WeChat Pay on a day: what its bill of trades tells, and what it sent to the bank."""
        touched = self.truth.touched
        moved: list[Entry] = []
        spoiled: set[Deed] = set()
        for entry in self._told[WECHAT]:
            flow = flow_of(entry)
            moved += flow
            if not entry.deeds or entry.deeds & touched:
                spoiled |= frozenset().union(*(each.deeds for each in flow))
        moved = self._changed(FLOW, on, moved, frozenset(spoiled))
        self.truth.add(names_of(FLOW, moved))
        self.truth.faults += [
            Fault(
                kind=BreakKind.DATA_MISMATCH,
                label="day of another file",
                source=FLOW,
                lines=frozenset(((FLOW, *entry.name_in),)),
            )
            for entry in moved
            if abs((entry.row.at.astimezone(ZoneInfo(ZONE)).date() - on).days) > LATE_DAYS
        ]
        return self._put(FLOW, on, written(FLOW, on, [*moved, *(transfer_entry(row) for row in sent)]))

    def _channel_files(self, source: str, on: date, entries: list[Entry]) -> list[Arrived]:
        """Return the files of a channel: as they are, changed, or with something wrong about the whole."""
        what = self._whole.get((source, on), "")
        carried, self._carried[source] = self._carried[source], []
        if not what:
            entries = self._changed(source, on, entries)
        entries = [*entries, *carried]
        if self._whole.get((source, on - timedelta(days=1))) == "silent":
            entries = _with_stray(entries)
        self._told[source] = entries
        self.truth.add(names_of(source, entries))
        content = written(source, on, entries)
        match what:
            case "truncated":
                cut = content[: len(content) * 3 // 5]
                part = self._put(source, on, cut)
                self._wrong("file_truncated", source, part.path)
                self._held_back[on + timedelta(days=1)].append(self._put(source, on, content))
                return [part]
            case "twice":
                whole = self._put(source, on, content)
                again = self._put(source, on, content)
                self._wrong("file_twice", source, again.path)
                return [whole, again]
            case "byte_order_mark" | "wide":
                encoding = "utf-8-sig" if what == "byte_order_mark" else "utf-16"
                marked = self._put(source, on, content.decode().encode(encoding))
                self._wrong(what, source, marked.path)
                return [marked]
            case "other_source":
                lost = self._put(ALIPAY, on, content)
                self._wrong("file_of_another", ALIPAY, lost.path)
                return [lost, self._put(source, on, content)]
            case "empty":
                empty = self._put(source, on, written(source, on, []))
                self.truth.faults.append(
                    Fault(kind="file_empty", label="a file", source=source, path=empty.path, gap=f"day:{on}")
                )
                self._held_back[on + timedelta(days=LATE_DAYS)].append(self._put(source, on, content))
                return [empty]
            case "late" | "silent":
                self._gap(source, f"day:{on}")
                self._held_back[on + timedelta(days=LATE_DAYS)].append(self._put(source, on, content))
                return []
            case _:
                return [self._put(source, on, content)]

    def _changed(
        self, source: str, on: date, entries: list[Entry], spoiled: frozenset[Deed] = frozenset()
    ) -> list[Entry]:
        """Return the lines of a day after everything that is planned for it; none of it is done to what is spoiled."""
        channel = self._channels[WECHAT if source == FLOW else source]
        counts = Counter((act.kind, act.reference) for act in channel.record)
        waiting, self._changes[source, on] = self._changes[source, on], []
        for change in waiting:
            done = change(Day(source, entries, self._rng, counts, self.truth.touched | spoiled))
            if done is None:
                self._put_off(source, on, change)
                continue
            entries = done.entries
            self.truth.faults += done.faults
            self._carried[source] += done.later
            self.truth.add(names_of(source, done.later))
        return entries

    def _statement(self, bank: str, on: date, sent: Sequence[tuple[str, Row]]) -> list[Arrived]:
        """Return the statement of a bank for a day."""
        at = datetime.combine(on, time(23, 45), ZoneInfo(ZONE))
        teller = self._tellers[bank]
        rows = self._booked_later.pop((bank, on), [])
        for source, row in sent:
            booked = msgspec.structs.replace(row, channel_reference=f"bk{row.reference}", batch="", at=at)
            self.truth.add(
                {
                    (bank, "transfer", booked.channel_reference): frozenset(
                        ((source, "transfer", row.reference),)
                    )
                }
            )
            later = bank == EURO_BANK and on < self._first + timedelta(days=self._days - 1)
            (self._booked_later[bank, on + timedelta(days=1)] if later else rows).append(booked)
        rows = self._bank_faults(bank, on, rows)
        for row in [*teller.execute(on, at), *self._returns(bank, on, at)]:
            deed = PAYOUTS, row.kind, row.reference
            self.truth.add({(bank, row.kind, row.channel_reference): frozenset((deed,))})
            rows.append(row)
        content = self._accounts[bank].statement(on, rows)
        if self._whole.get((bank, on)) == "late":
            return self._held(bank, on, content)
        return self._joined(bank, on, content)

    def _held(self, bank: str, on: date, content: bytes) -> list[Arrived]:
        """Let a statement come days later than the next ones."""
        number = self._accounts[bank].number
        self._gap(bank, f"sequence:{number}-{number}")
        self._held_back[on + timedelta(days=LATE_DAYS)].append(self._put(bank, on, content))
        return []

    def _joined(self, bank: str, on: date, content: bytes) -> list[Arrived]:
        """Let two statements come in one file where that is planned, without the one between them, which comes later."""
        if self._whole.get((bank, on)) == "joined":
            self._joining[bank] = [content]
            return []
        waiting = self._joining.get(bank)
        if waiting is None:
            return [self._put(bank, on, content)]
        if len(waiting) == 1:
            waiting.append(content)
            return self._held(bank, on, content)
        del self._joining[bank]
        return [self._put(bank, on, waiting[0] + content)]

    def _bank_faults(self, bank: str, on: date, rows: list[Row]) -> list[Row]:
        """Return the entries after what is wrong at the bank on a day: one is lost, short, or from nobody."""
        what = self._whole.get((bank, on), "")
        transfers = [row for row in rows if row.kind == "transfer"]
        if not transfers:
            return rows
        row = transfers[0]
        name = bank, "transfer", row.channel_reference
        deeds = self.truth.lines[name]
        match what:
            case "lost":
                self._bank_fault(BreakKind.MISSING, bank, deeds, frozenset())
                return [each for each in rows if each is not row]
            case "short":
                self._bank_fault(BreakKind.UNDER_AMOUNT, bank, deeds, frozenset((name,)))
                short = msgspec.structs.replace(row, amount_minor=row.amount_minor - 31)
                return [short if each is row else each for each in rows]
            case "foreign":
                other = msgspec.structs.replace(
                    row, reference="NOBODYKNOWS", channel_reference=f"bkx{on:%y%m%d}", amount_minor=12_345
                )
                stranger = frozenset(((bank, "transfer", other.channel_reference),))
                self._bank_fault(BreakKind.UNEXPECTED, bank, frozenset(), stranger)
                return [*rows, other]
            case _:
                return rows

    def _returns(self, bank: str, on: date, at: datetime) -> list[Row]:
        """Return what comes back of earlier payouts; the house is told a day after it stands on the statement."""
        teller = self._tellers[bank]
        for told in [each for each in self._to_tell if each[0] <= on and each[1] == bank]:
            teller.tell_return(told[2], on)
            self._to_tell.remove(told)
        if self._whole.get((bank, on)) != "return":
            return []
        old = [each for each in teller.paid if each.on <= on - timedelta(days=RETURN_DAYS)]
        old = [each for each in old if each.instruction.end_to_end not in teller.returned]
        if not old:
            self.truth.not_done.append(f"return at {bank}")
            return []
        paid = self._rng.choice(old)
        row = teller.give_back(paid, on, at)
        self._to_tell.append((on + TOLD_LATER, bank, paid))
        name = bank, "return", row.channel_reference
        self.truth.faults.append(
            Fault(
                kind=BreakKind.RETURN_LATE,
                label="came back",
                source=bank,
                lines=frozenset((name,)),
                stays=False,
            )
        )
        return [row]

    def _bank_fault(self, kind: str, bank: str, deeds: frozenset[Deed], lines: frozenset[Name]) -> None:
        self.truth.faults.append(Fault(kind=kind, label="at the bank", source=bank, deeds=deeds, lines=lines))

    def _wrong(self, kind: str, source: str, path: str) -> None:
        self.truth.faults.append(Fault(kind=kind, label="a file", source=source, path=path))

    def _gap(self, source: str, gap: str) -> None:
        self.truth.faults.append(
            Fault(kind=BreakKind.STATEMENT_GAP, label="days late", source=source, gap=gap, stays=False)
        )

    def _put(self, source: str, on: date, content: bytes) -> Arrived:
        self._count += 1
        path = self._folder / f"{self._count:05d}-{source}-{on}.txt"
        path.write_bytes(content)
        return Arrived(str(path), source)

    def _planned(self, times: int) -> dict[tuple[str, date], list[Change]]:
        """Return on which days which changes are made: each ``times``, spread over the month by chance."""
        plan: dict[tuple[str, date], list[Change]] = defaultdict(list)
        for source, changes in CHANGES.items():
            for change in changes * times:
                fit = [on for on in self._dates() if self._fits(source, change, on)]
                plan[source, self._rng.choice(fit)].append(change)
        for on in self._dates():
            plan[CARD, on].insert(0, merged)
        return plan

    def _put_off(self, source: str, on: date, change: Change) -> None:
        """Make a change on the next day that fits; note where there is none."""
        if change is merged:
            return
        later = [each for each in self._dates() if each > on and self._fits(source, change, each)]
        if later:
            self._changes[source, later[0]].append(change)
        else:
            self.truth.not_done.append(f"{change.__name__} at {source}")

    def _fits(self, source: str, change: Change, on: date) -> bool:
        if (source, on) in self._whole:
            return False
        if change is day_after:
            return on + timedelta(days=_OFF) < self._first + timedelta(days=self._days)
        # A cost is compared with what was priced when the line comes: that takes a working day behind and ahead.
        return change is not fee or (_is_worked(on) and _is_worked(on + timedelta(days=1)))

    def _dates(self) -> list[date]:
        return [self._first + timedelta(days=number) for number in range(self._days - CALM_DAYS)]

    def _planned_files(self) -> dict[tuple[str, date], str]:
        """Return what is wrong with whole files, each on a day of its own, and what is wrong at banks."""
        plan: dict[tuple[str, date], str] = {}
        for source, names in _WHOLE.items():
            days = self._rng.sample(self._dates()[2:-LATE_DAYS], len(names))
            for name, on in zip(names, sorted(days), strict=True):
                plan[source, on] = name
        # A plain statement stands between what is late and what is joined: each shows its own gap.
        late = next(on for (source, on), name in plan.items() if (source, name) == (EURO_BANK, "late"))
        plan[EURO_BANK, late + timedelta(days=2)] = "joined"
        return plan


def _with_stray(entries: list[Entry]) -> list[Entry]:
    """Return lines of which one sale is dated a day early: on a day whose own file did not come."""
    for index, entry in enumerate(entries):
        if entry.row.kind == "sale" and entry.deeds:
            row = msgspec.structs.replace(entry.row, at=entry.row.at - timedelta(days=1))
            return [*entries[:index], msgspec.structs.replace(entry, row=row), *entries[index + 1 :]]
    return entries


def _is_worked(on: date) -> bool:
    return working_day(("CN", "TARGET"), on, 0) == on


_WHOLE = {
    CARD: ("truncated", "byte_order_mark", "wide"),
    GLOBAL: ("other_source", "empty"),
    TERMINAL: (),
    ALIPAY: ("late", "twice"),
    WECHAT: ("truncated", "silent"),
    YUAN_BANK: ("lost", "short", "late", "return"),
    EURO_BANK: ("foreign", "late"),
}
"""What is wrong with whole files of each source, once a month, in order of time."""
