"""The close of a day: its list of checks from facts, its score, and who may close and open it. Pure.

A check that failed keeps the day open. One that warns may be closed over by two people, each of whom saw it. The score counts
points of seven parts, half of them where a part warns; the part of breaks by the share of movements that are matched.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

import msgspec

from tongbao.clearing.policy.breaking import NOTE_CHARS_MAX, aged
from tongbao.clearing.policy.calendars import CALENDARS, Known
from tongbao.clearing.policy.cycles import cut_of
from tongbao.clearing.schema.agreements import Agreement, Cut
from tongbao.clearing.schema.days import AgeLine, Check, CheckState, Day, DayReport, DayState
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted

POINTS = {"files": 15, "runs": 15, "payments": 10, "batches": 15, "payouts": 10, "books": 20, "breaks": 15}
"""What each part of the score counts at most; together 100."""
NAMES_MAX = 10
"""Names that a check lists; the rest is counted."""
CLOSE, REOPEN = "close", "reopen"
_PASSED, _WARNED, _FAILED = CheckState.PASSED, CheckState.WARNED, CheckState.FAILED


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a day, as far as it can be closed.

    ``silent_sources``: daily ones without a file that covers the day; ``behind_sources``: those without a run up to it.
    ``unresolved``: payments whose end nobody knows after a day. ``batches_*``: of movements cut by the end of the day.
    ``payouts_*``: of those due by the day; ``unbooked`` ones are with the bank, which has not said that it executed them.
    ``unbalanced`` and ``law``: by currency, minor units, only where it is not zero. ``findings``: of the ledger's own checks.
    ``ages``: of standing breaks as ``store.breaks.ages`` tells them; ``overdue`` those that are not merely still in time.
    """

    silent_sources: tuple[str, ...] = ()
    behind_sources: tuple[str, ...] = ()
    files_reading: int = 0
    files_refused: int = 0
    unresolved: int = 0
    movements_uncut: int = 0
    batches_unpriced: int = 0
    batches_unapproved: int = 0
    payouts_unknown: int = 0
    payouts_unbooked: int = 0
    dead_letters: int = 0
    trial_balance: dict[str, int] = {}
    law: dict[str, int] = {}
    findings: int = 0
    ages: tuple[tuple[str, str, int, int, int], ...] = ()
    overdue: int = 0
    proposed: int = 0
    movement_count: int = 0
    matched_count: int = 0
    late_count: int = 0
    earlier_open: date | None = None

    @property
    def matched_share(self) -> float:
        """Share of the day's movements that are matched, in [0, 1]; 1 where there are none."""
        return self.matched_count / self.movement_count if self.movement_count else 1.0


def report(on: date, facts: Facts) -> DayReport:
    """Return the report of a day: its list, its score with the parts that sum to it, breaks by age."""
    parts = _parts(facts)
    points = {name: _points(name, checks, facts) for name, checks in parts.items()}
    return DayReport(
        on=on,
        checks=(*_order(facts), *(each for checks in parts.values() for each in checks)),
        score=sum(points.values()),
        score_parts=points,
        trial_balance=facts.trial_balance,
        breaks=age_lines(facts.ages),
        movement_count=facts.movement_count,
        matched_share=facts.matched_share,
        late_count=facts.late_count,
    )


def age_lines(rows: Sequence[tuple[str, str, int, int, int]]) -> tuple[AgeLine, ...]:
    """Return breaks by kind and currency in five ages; ``rows`` as ``store.breaks.ages`` tells them."""
    return tuple(
        AgeLine(kind=kind, currency=currency, counts=_five(counts), amounts_minor=_five(amounts))
        for kind, currency, counts, amounts in aged(rows)
    )


def warned(of: DayReport) -> frozenset[str]:
    """Return the codes of the checks that warn."""
    return frozenset(check.code for check in of.checks if check.state is _WARNED)


def closed(day: Day, of: DayReport, at: datetime, actor: str, note: str) -> Day:
    """Return a day that is closed, or that waits for a second person where something warns.

    A second look that finds other warnings than the first is a first look again. Raises Conflict ``day_closed``,
    ``day_not_closable`` with the codes that failed, InvalidRequest ``note_invalid``, NotPermitted ``four_eyes``.
    """
    if day.state is DayState.CLOSED:
        raise Conflict("day_closed", f"{day.on} is closed already", on=str(day.on))
    failed = [check.code for check in of.checks if check.state is _FAILED]
    if failed:
        raise Conflict(
            "day_not_closable",
            f"{day.on} cannot be closed: {', '.join(failed)}",
            on=str(day.on),
            checks=failed,
        )
    over = warned(of)
    seen = warned(day.report) if day.report is not None and day.asked == CLOSE else None
    if over:
        check_note(note)
    if over and (seen is None or not over <= seen):
        return _next(day, report=of, note=note, asked=CLOSE, asked_by=actor)
    if over and actor == day.asked_by:
        raise NotPermitted("four_eyes", "over warnings a day is closed by two people")
    asked_by = day.asked_by if over else ""
    return _next(
        day,
        state=DayState.CLOSED,
        report=of,
        closed_at=at,
        closed_by=actor,
        note=note,
        asked="",
        asked_by=asked_by,
    )


def reopened(day: Day, actor: str, note: str) -> Day:
    """Return a closed day that somebody wants to open again, or that a second person opens.

    Raises Conflict ``day_not_closed``, InvalidRequest ``note_invalid``, NotPermitted ``four_eyes``.
    """
    if day.state is not DayState.CLOSED:
        raise Conflict("day_not_closed", f"{day.on} is open", on=str(day.on))
    check_note(note)
    if day.asked != REOPEN:
        return _next(day, note=note, asked=REOPEN, asked_by=actor)
    if actor == day.asked_by:
        raise NotPermitted("four_eyes", "a day is opened again by two people")
    return _next(day, state=DayState.OPEN, closed_at=None, closed_by="", note=note, asked="", asked_by="")


def not_before(agreement: Agreement, cut: Cut, opens_at: datetime, known: Known = CALENDARS) -> Cut:
    """Return a cut, or where it lies in closed days the first one after ``opens_at``, the instant from which days are open."""
    return cut if cut.cut_at > opens_at else cut_of(agreement, opens_at, known)


def act_of(before: Day, after: Day) -> str:
    """Return the name of what was done between two versions of a day."""
    if after.state is not before.state:
        return "closed" if after.state is DayState.CLOSED else "reopened"
    return f"asked_{after.asked}"


def check_note(note: str) -> None:
    """Raise InvalidRequest ``note_invalid`` for no reason, or a novel."""
    if not 0 < len(note.strip()) <= NOTE_CHARS_MAX:
        raise InvalidRequest("note_invalid", f"a reason of 1 to {NOTE_CHARS_MAX} characters is needed")


def law_of(held: Mapping[str, int], owed: Mapping[str, int]) -> dict[str, int]:
    """Return by currency what merchants hold against the house less what its clearing owes them, where it is not zero."""
    found = {each: held.get(each, 0) - owed.get(each, 0) for each in sorted({*held, *owed})}
    return {each: difference for each, difference in found.items() if difference}


def _order(facts: Facts) -> tuple[Check, ...]:
    """Days are closed one after the other."""
    if facts.earlier_open is None:
        return (Check(code="earlier_days_closed", state=_PASSED),)
    return (Check(code="earlier_days_closed", state=_FAILED, facts={"on": str(facts.earlier_open)}),)


def _parts(facts: Facts) -> dict[str, list[Check]]:
    out_of_balance = {each: minor for each, minor in facts.trial_balance.items() if minor}
    return {
        "files": [
            _named("files_in", facts.silent_sources, _WARNED),
            _counted("files_read", facts.files_reading, _FAILED),
            _counted("files_accepted", facts.files_refused, _WARNED),
        ],
        "runs": [_named("runs_done", facts.behind_sources, _FAILED)],
        "payments": [
            _counted("payments_resolved", facts.unresolved, _WARNED),
            _counted("facts_handled", facts.dead_letters, _FAILED),
        ],
        "batches": [
            _counted("movements_cut", facts.movements_uncut, _FAILED),
            _counted("batches_priced", facts.batches_unpriced, _FAILED),
            _counted("batches_approved", facts.batches_unapproved, _WARNED),
        ],
        "payouts": [
            _counted("payouts_known", facts.payouts_unknown, _WARNED),
            _counted("payouts_booked", facts.payouts_unbooked, _WARNED),
        ],
        "books": [
            _named("trial_balance", tuple(out_of_balance), _FAILED),
            _named("house_law", tuple(facts.law), _FAILED),
            _counted("ledger_proved", facts.findings, _FAILED),
        ],
        "breaks": [
            _counted("breaks_ended", facts.overdue, _WARNED),
            _counted("write_offs_decided", facts.proposed, _WARNED),
        ],
    }


def _counted(code: str, count: int, otherwise: CheckState) -> Check:
    return Check(code=code, state=otherwise if count else _PASSED, facts={"count": count})


def _named(code: str, names: Sequence[str], otherwise: CheckState) -> Check:
    facts: dict[str, str | int] = {"count": len(names)}
    if names:
        facts["names"] = ", ".join(names[:NAMES_MAX])
    return Check(code=code, state=otherwise if names else _PASSED, facts=facts)


def _points(name: str, checks: Iterable[Check], facts: Facts) -> int:
    whole = POINTS[name]
    states = {check.state for check in checks}
    if _FAILED in states:
        return 0
    if name == "breaks":
        # Rounded down: only a day of which everything is matched has all points.
        whole = facts.matched_count * whole // facts.movement_count if facts.movement_count else whole
    return whole // 2 if _WARNED in states else whole


def _five(numbers: Sequence[int]) -> tuple[int, int, int, int, int]:
    first, second, third, fourth, fifth = numbers
    return first, second, third, fourth, fifth


def _next(day: Day, **changes: object) -> Day:
    return msgspec.structs.replace(day, version=day.version + 1, **changes)
