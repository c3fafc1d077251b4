"""Breaks from differences: a run finds, opens, changes and resolves them; people explain and write off.

A difference keeps its break as long as it is about the same records: what was expected yesterday and is missing today is one
break that grew older. A break whose records found each other is resolved by the run that paired them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.breaks import BREAK_MOVES, Break, BreakKind, BreakState, Found, Leg
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted
from tongbao.core.ids import derive

BY_PEOPLE = frozenset({BreakKind.FEE_MISMATCH})
"""Breaks about a pair that stands: no run sees them again, so only a person closes them."""
REST_OF = "rest_of"
"""In the facts of a break: what is left of a pair that a person made, and of which break. A pair that stands, too."""
FILE_DAY = "file_day"
"""The cause of a break about a line whose day lies far outside of the days of its file; once closed it stays so."""
ABOUT, FUNDS = "about", "funds"
"""In the facts of a break between two files of a channel: neither side of it stands in the books."""
STANDING = frozenset({BreakState.OPEN, BreakState.EXPLAINED, BreakState.PROPOSED})
NOTE_CHARS_MAX = 2_000
ASSIGNEE_CHARS_MAX = 100
RUN_ACTOR = "job:reconciliation"


class Sighting(NamedTuple):
    """A difference as a run found it, on whose book and business day."""

    found: Found
    on: date
    book_id: int | None = None


class Run(NamedTuple):
    """Which run it is that looks, and from which business day on."""

    leg: Leg
    source: str
    at: datetime
    since_on: date = date.min


def break_id(leg: Leg, source: str, found: Found) -> UUID:
    """Return the id of the break of a difference: by its first record, and by itself where it is about a pair that stands."""
    label = f"break:{leg}:{source}"
    if found.facts.get("cause") == FILE_DAY:
        return derive(UUID(int=found.reported[0]), f"{label}:{FILE_DAY}")
    if found.kind in BY_PEOPLE:
        return derive(found.expected[0], f"{label}:{found.kind}")
    if found.kind is BreakKind.DUPLICATE or not found.expected:
        return derive(
            UUID(int=found.reported[0] if found.reported else 0), f"{label}:{found.facts.get('gap', '')}"
        )
    return derive(found.expected[0], label)


def is_about_pair(found: Found) -> bool:
    """Return whether the records of a difference are matched with each other already, so that no run looks at them again."""
    return found.kind in BY_PEOPLE or REST_OF in found.facts


def rest_of(of: Break, rest: Found, at: datetime, actor: str, note: str) -> Break:
    """Return the break for what is left of a pair that a person made; ``of`` is the break that the pair ended."""
    about = {name: text for name, text in of.found.facts.items() if name == ABOUT}
    kept = msgspec.structs.replace(rest, facts=about | {REST_OF: of.reference})
    opened = _opened(
        derive(of.id, f"rest:{of.version}"),
        Sighting(kept, of.opened_on, of.book_id),
        Run(of.leg, of.source, at),
    )
    return msgspec.structs.replace(opened, actor=actor, note=note)


def seen(standing: Mapping[UUID, Break], sightings: Iterable[Sighting], run: Run) -> list[Break]:
    """Return the versions of breaks that a run writes: new, changed, opened again and resolved ones, in order of their ids.

    ``standing``: breaks of this leg and source that are not closed, and those of the sightings whatever their state.
    """
    written: dict[UUID, Break] = {}
    sighted: set[UUID] = set()
    for sighting in sightings:
        identity = break_id(run.leg, run.source, sighting.found)
        sighted.add(identity)
        known = standing.get(identity)
        if known is None:
            written[identity] = _opened(identity, sighting, run)
        elif known.state is BreakState.WRITTEN_OFF:
            continue
        elif known.state is BreakState.RESOLVED and known.found.facts.get("cause") == FILE_DAY:
            # The file will always say so: a person has seen it, or the line has a break that says more.
            continue
        elif known.state is BreakState.RESOLVED or known.found != sighting.found:
            written[identity] = _moved(known, run.at, RUN_ACTOR, "", BreakState.OPEN, found=sighting.found)
    for identity, known in standing.items():
        # What is about a pair that stands, or older than what was looked at, no run sees: it says nothing of its end.
        is_looked_at = known.opened_on >= run.since_on and not is_about_pair(known.found)
        if is_looked_at and known.state in STANDING and identity not in sighted:
            written[identity] = _moved(known, run.at, RUN_ACTOR, "", BreakState.RESOLVED)
    return [written[identity] for identity in sorted(written)]


def explained(known: Break, at: datetime, actor: str, note: str) -> Break:
    """Return a break that somebody explained. Raises ``break_closed``, ``note_invalid``."""
    _check_note(note)
    return _moved(known, at, actor, note, BreakState.EXPLAINED)


def resolved(known: Break, at: datetime, actor: str, note: str) -> Break:
    """Return a break that a person closed because it was mended elsewhere. Raises ``break_closed``, ``note_invalid``."""
    _check_note(note)
    return _moved(known, at, actor, note, BreakState.RESOLVED)


def proposed(known: Break, at: datetime, actor: str, note: str) -> Break:
    """Return a break that somebody wants written off. Raises ``break_closed``, ``note_invalid``, ``nothing_to_write_off``."""
    _check_note(note)
    if known.found.facts.get(ABOUT) == FUNDS:
        raise InvalidRequest(
            "nothing_to_write_off",
            "two files of the channel differ: the books are compared with the payments",
        )
    # Two currencies are two amounts, each of which is written off.
    if known.found.difference_minor == 0 and known.found.kind is not BreakKind.CURRENCY_MISMATCH:
        raise InvalidRequest("nothing_to_write_off", "this break is about no money: resolve it with a reason")
    return _moved(known, at, actor, note, BreakState.PROPOSED, proposed_by=actor)


def declined(known: Break, at: datetime, actor: str, note: str) -> Break:
    """Return a break whose write-off a second person refused: it is open again. Raises as ``written_off`` does."""
    _check_second(known, actor)
    _check_note(note)
    return _moved(known, at, actor, note, BreakState.OPEN, proposed_by="")


def written_off(known: Break, at: datetime, actor: str, note: str) -> Break:
    """Return a break that a second person wrote off. Raises NotPermitted ``four_eyes``, Conflict ``break_not_proposed``."""
    _check_second(known, actor)
    return _moved(known, at, actor, note, BreakState.WRITTEN_OFF)


def assigned(known: Break, at: datetime, actor: str, note: str, assignee: str) -> Break:
    """Return a break that somebody looks after from now on; nobody where ``assignee`` is empty.

    Its state stays. Raises ``break_closed``, ``note_invalid``, InvalidRequest ``assignee_invalid``.
    """
    _check_note(note)
    if len(assignee) > ASSIGNEE_CHARS_MAX:
        raise InvalidRequest("assignee_invalid", "nobody is named so")
    if known.state not in STANDING:
        raise Conflict("break_closed", f"{known.reference} is {known.state}", state=known.state)
    return _moved(known, at, actor, note, known.state, assignee=assignee)


def _check_second(known: Break, actor: str) -> None:
    if known.state is not BreakState.PROPOSED:
        raise Conflict(
            "break_not_proposed", f"{known.reference} waits for nobody's second look", state=known.state
        )
    if actor == known.proposed_by:
        raise NotPermitted("four_eyes", "who proposes a write-off does not approve it")


def _check_note(note: str) -> None:
    if not 0 < len(note.strip()) <= NOTE_CHARS_MAX:
        raise InvalidRequest("note_invalid", f"a reason of 1 to {NOTE_CHARS_MAX} characters is needed")


def _opened(identity: UUID, sighting: Sighting, run: Run) -> Break:
    return Break(
        id=identity,
        leg=run.leg,
        source=run.source,
        found=sighting.found,
        state=BreakState.OPEN,
        book_id=sighting.book_id,
        opened_on=sighting.on,
        opened_at=run.at,
        updated_at=run.at,
        actor=RUN_ACTOR,
    )


def _moved(known: Break, at: datetime, actor: str, note: str, state: BreakState, **changes: object) -> Break:
    is_same = state is known.state
    if not is_same and state not in BREAK_MOVES[known.state]:
        raise Conflict("break_closed", f"{known.reference} is {known.state}", state=known.state)
    closed_at = at if state not in STANDING else None
    fields = {"state": state, "version": known.version + 1, "updated_at": at, "actor": actor, "note": note}
    return msgspec.structs.replace(known, **(fields | {"closed_at": closed_at} | changes))


def aged(rows: Sequence[tuple[str, str, int, int, int]]) -> list[tuple[str, str, list[int], list[int]]]:
    """Return counts and amounts of breaks by kind and currency in the five ages of ``schema.days.AgeLine``."""
    lines: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for kind, currency, days, count, amount in rows:
        counts, amounts = lines.setdefault((kind, currency), ([0] * 5, [0] * 5))
        place = sum(days > bound for bound in (0, 3, 7, 30))
        counts[place] += count
        amounts[place] += amount
    return [(kind, currency, *sums) for (kind, currency), sums in sorted(lines.items())]
