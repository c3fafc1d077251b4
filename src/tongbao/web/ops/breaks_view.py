"""Breaks as they are read: the list, the heat map of their ages, both sides beside each other, whom to match with. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import zip_longest
from typing import NamedTuple

from markupsafe import Markup

from tongbao.clearing.schema.break_sides import ExpectedSide, ReportedSide, View
from tongbao.clearing.schema.breaks import BreakKind, BreakState
from tongbao.clearing.schema.days import AgeLine
from tongbao.clearing.service import break_words
from tongbao.web.ops.money_desk import Desk
from tongbao.web.ui import money
from tongbao.web.ui.charts_grids import heat_map
from tongbao.web.ui.figure import Axis, Figure
from tongbao.web.ui.tables import Column, Filter, Row, Table

AGES = ("age_today", "age_3", "age_7", "age_30", "age_older")
NEAR_DAYS = 7
CANDIDATES_MAX = 6
STANDING = (BreakState.OPEN, BreakState.EXPLAINED, BreakState.PROPOSED)


class Candidate(NamedTuple):
    """A break that may be the other half: how far apart they are, and how sure that is (one over its rivals)."""

    reference: str
    amount_minor: int
    currency: str
    days: int
    gap_minor: int
    confidence: float
    who: str


class Compared(NamedTuple):
    """One line of both sides beside each other; ``is_same`` None where one of them says nothing."""

    label: Markup
    ours: Markup | str
    theirs: Markup | str
    is_same: bool | None


def table(desk: Desk, sources: Sequence[str]) -> Table:
    """Return what the list is."""
    kinds = tuple((kind.value, desk.words(words)) for kind, words in break_words.kinds().items())
    states = (("", ""), *((state.value, desk.words(words)) for state, words in break_words.states().items()))
    t = desk.t
    return Table(
        "breaks",
        str(t("breaks")),
        (
            Column("kind", str(t("c_difference")), fixed=True),
            Column("amount", str(t("c_amount")), number=True),
            Column("state", str(t("c_state"))),
            Column("source", str(t("c_source"))),
            Column("merchant", str(t("c_merchant"))),
            Column("age", str(t("c_age")), number=True),
            Column("advice", str(t("c_advice"))),
            Column("who", str(t("c_assignee"))),
            Column("on", str(t("c_day")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter("state", str(t("c_state")), states[1:]),
            Filter("kind", str(t("c_difference")), kinds),
            Filter("source", str(t("c_source")), tuple((each, each) for each in sources)),
        ),
    )


def rows(views: Sequence[View], desk: Desk, names: Mapping[int, str], today: date) -> list[Row]:
    """Return breaks as rows; the difference leads to the break."""
    found = []
    for view in views:
        of = view.of
        words = break_words.words_of(of)
        found.append(
            Row(
                {
                    "kind": desk.link(f"/ops/breaks/{of.reference}", desk.words(words["kind"])),
                    "amount": amount(view, desk),
                    "state": state_tag(view, desk),
                    "source": Markup("<bdi>{}</bdi>").format(of.source),
                    "merchant": desk.book(of.book_id, names),
                    "age": age(of.opened_on, of.closed_at.date() if of.closed_at else today, desk),
                    "advice": view.suggested.get(desk.language, "") if of.state in STANDING else "",
                    "who": desk.who(of.assignee),
                    "on": str(of.opened_on),
                    "id": Markup('<code class="mono">{}</code>').format(of.reference),
                }
            )
        )
    return found


def plain_rows(
    views: Sequence[View], desk: Desk, names: Mapping[int, str], today: date
) -> list[dict[str, str]]:
    """Return breaks as rows of a file."""
    found = []
    for view in views:
        of = view.of
        words = break_words.words_of(of)
        minor, currency = _amount(view)
        found.append(
            {
                "kind": desk.words(words["kind"]),
                "amount": money.plain_amount(minor, currency) if currency else str(minor),
                "state": desk.words(words["state"]),
                "source": of.source,
                "merchant": names.get(of.book_id or 0, ""),
                "age": str(((of.closed_at.date() if of.closed_at else today) - of.opened_on).days),
                "advice": view.suggested.get(desk.language, ""),
                "who": str(desk.who(of.assignee).striptags()),
                "on": str(of.opened_on),
                "id": of.reference,
            }
        )
    return found


def heat(lines: Sequence[AgeLine], desk: Desk) -> Figure | None:
    """Return standing breaks by cause and age as a heat map; None where nothing stands."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * len(AGES))
    for line in lines:
        counts[line.kind] = [a + b for a, b in zip(counts[line.kind], line.counts, strict=True)]
    if not counts:
        return None
    words = break_words.kinds()
    names = [desk.words(words[BreakKind(kind)]) for kind in counts]
    values = [[number or None for number in line] for line in counts.values()]
    axis = Axis(
        str(desk.t("heat_caption")), str(desk.t("c_difference")), lambda n: desk.ui.count(int(n)), low=0
    )
    return heat_map(names, [str(desk.t(key)) for key in AGES], values, axis)


def sums(lines: Sequence[AgeLine], desk: Desk) -> list[tuple[str, str, str]]:
    """Return what stands by currency: its code, how many breaks, and the sum of their amounts without signs."""
    counts: dict[str, int] = defaultdict(int)
    amounts: dict[str, int] = defaultdict(int)
    for line in lines:
        counts[line.currency] += sum(line.counts)
        amounts[line.currency] += sum(line.amounts_minor)
    return [
        (each or "—", desk.ui.count(counts[each]), desk.ui.money(amounts[each], each) if each else "—")
        for each in sorted(counts)
    ]


def figures(lines: Sequence[AgeLine]) -> dict[str, int]:
    """Return the key figures: how many stand, are overdue, still in time, and older than a week."""
    standing = sum(sum(line.counts) for line in lines)
    in_time = sum(sum(line.counts) for line in lines if line.kind == BreakKind.EXPECTED.value)
    old = sum(sum(line.counts[3:]) for line in lines)
    return {"standing": standing, "overdue": standing - in_time, "in_time": in_time, "old": old}


def amount(view: View, desk: Desk) -> Markup:
    """Return what a break is about: the difference with its sign; of one that is about no money, nothing."""
    minor, currency = _amount(view)
    if not currency:
        return Markup()
    return Markup('<span class="money">{}</span>').format(desk.ui.money(minor, currency, True))


def state_tag(view: View, desk: Desk) -> Markup:
    """Return the state of a break as a tag."""
    tone = {"open": "warn", "explained": "plain", "proposed": "review", "resolved": "ok", "written_off": "ok"}
    words = desk.words(break_words.words_of(view.of)["state"])
    return Markup('<span class="tag {}">{}</span>').format(tone[view.of.state.value], words)


def age(since: date, until: date, desk: Desk) -> str:
    """Return how old something is, in days."""
    days = max((until - since).days, 0)
    return str(desk.t("age_today") if not days else desk.plural("days", days))


def comparisons(view: View, desk: Desk, names: Mapping[int, str]) -> list[list[Compared]]:
    """Return both sides beside each other, record by record."""
    return [compared(ours, theirs, desk, names) for ours, theirs in zip_longest(view.expected, view.reported)]


def compared(
    ours: ExpectedSide | None, theirs: ReportedSide | None, desk: Desk, names: Mapping[int, str]
) -> list[Compared]:
    """Return a record of ours beside a line of theirs, field by field; fields that neither tells are left out."""
    t, ui = desk.t, desk.ui
    both = ours is not None and theirs is not None
    found: list[Compared] = []

    def put(key: str, mine: str | Markup, other: str | Markup, *, compare: bool = True) -> None:
        if mine or other:
            same = (mine == other) if both and compare and mine and other else None
            found.append(Compared(t(key), mine or "—", other or "—", same))

    put(
        "c_amount",
        ui.money(ours.amount_minor, ours.currency) if ours else "",
        ui.money(theirs.amount_minor, theirs.currency) if theirs else "",
    )
    put(
        "c_cost",
        ui.money(ours.fee_minor, ours.currency) if ours and ours.fee_minor is not None else "",
        ui.money(theirs.fee_minor, theirs.currency) if theirs and theirs.fee_minor else "",
    )
    put("c_kind", _kind(ours.kind if ours else "", desk), _kind(theirs.kind.value if theirs else "", desk))
    put("c_day", str(ours.on) if ours else "", str(theirs.on or "") if theirs else "")
    put("c_reference", _code(ours.reference if ours else ""), _code(theirs.reference if theirs else ""))
    put(
        "c_theirs",
        _code(ours.channel_reference if ours else ""),
        _code(theirs.channel_reference if theirs else ""),
    )
    put("c_statement", "", _code(theirs.batch if theirs else ""))
    put("c_text", "", Markup("<bdi>{}</bdi>").format(theirs.text) if theirs and theirs.text else "")
    put("c_merchant", desk.book(ours.book_id, names) if ours else "", "", compare=False)
    put("c_payment", _payment(ours, desk) if ours else "", "", compare=False)
    put("c_document", _code(ours.document) if ours else "", "", compare=False)
    return found


def candidates(view: View, others: Sequence[View]) -> list[Candidate]:
    """Return the breaks beside this one that hold what it lacks, the likeliest first.

    ``confidence`` is 1 over the number of rivals with exactly this amount within a week; 0 for another amount.
    """
    mine, currency = _amount(view)
    is_ours = not view.reported
    found: list[tuple[int, int, View]] = []
    for other in others:
        minor, code = _amount(other)
        lacks = bool(other.expected) != bool(other.reported)
        if other.of.id == view.of.id or code != currency or not lacks or bool(other.reported) != is_ours:
            continue
        # What we expect counts against the difference, what they report for it: together they come to nothing.
        found.append((abs(mine + minor), abs((other.of.opened_on - view.of.opened_on).days), other))
    found.sort(key=lambda each: (each[0], each[1], each[2].of.reference))
    rivals = sum(gap == 0 and days <= NEAR_DAYS for gap, days, _ in found)
    return [
        Candidate(
            other.of.reference,
            _amount(other)[0],
            currency,
            days,
            gap,
            1 / rivals if gap == 0 and days <= NEAR_DAYS else 0.0,
            next((each.reference for each in other.expected if each.reference), "")
            or next((each.reference for each in other.reported if each.reference), ""),
        )
        for gap, days, other in found[:CANDIDATES_MAX]
    ]


def _amount(view: View) -> tuple[int, str]:
    """Return the amount of a break, reported less expected, and its currency."""
    found = view.of.found
    if found.difference_minor:
        return found.difference_minor, found.currency
    reported = sum(each.amount_minor for each in view.reported)
    expected = sum(each.amount_minor for each in view.expected)
    if not view.expected or not view.reported:
        return reported - expected, found.currency
    return 0, found.currency


def _kind(kind: str, desk: Desk) -> str:
    return str(desk.t(f"line_{kind}")) if kind else ""


def _code(text: str) -> Markup | str:
    return Markup('<code class="mono wrap">{}</code>').format(text) if text else ""


def _payment(side: ExpectedSide, desk: Desk) -> Markup | str:
    if not side.payment:
        return ""
    return desk.link(f"/ops/payments?q={side.payment}", _code(side.payment))
