"""Facts for tests of what is learned from them: one attempt's end, and random streams of ends."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from tongbao.routing.models.board import Board
from tongbao.routing.schema.payments import Attempted, Mark

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNELS = ("one", "two", "three")
ISSUERS = ("", "411111", "522222", "633333")
CORRECTIONS = {
    Mark.UNRESOLVED: (Mark.APPROVED, Mark.ISSUER_DECLINED, Mark.TECHNICAL),
    Mark.TECHNICAL: (Mark.APPROVED,),
    Mark.APPROVED: (Mark.ISSUER_DECLINED,),
    Mark.ISSUER_DECLINED: (Mark.APPROVED,),
    Mark.NEUTRAL: (Mark.APPROVED,),
}


def attempted(after_s: float = 0.0, **fields: Any) -> Attempted:
    """An approval over ``one``, ``after_s`` seconds after the beginning; any field may be another."""
    values: dict[str, Any] = {
        "occurred_at": BEGIN + timedelta(seconds=after_s),
        "attempt_id": UUID(int=1),
        "decision_id": None,
        "book_id": 7,
        "live": True,
        "channel": "one",
        "method": "card",
        "issuer": "411111",
        "currency": "CNY",
        "amount_minor": 1_000,
        "mark": Mark.APPROVED,
        "took_ms": 200,
    }
    return Attempted(**(values | fields))


def run(mark: Mark, count: int, *, begin_s: float = 0.0, **fields: Any) -> list[Attempted]:
    """The same end again and again, one a second."""
    return [attempted(begin_s + number, mark=mark, **fields) for number in range(count)]


def folded(facts: Sequence[Attempted], board: Board | None = None) -> Board:
    """The board after these facts."""
    board = board or Board()
    for fact in facts:
        board.learn(fact)
    return board


@st.composite
def streams(draw: st.DrawFn, most: int = 60) -> list[Attempted]:
    """Random ends over a few segments: both modes, late ones, repeats of a mark and corrections of it."""
    facts: list[Attempted] = []
    at_s = 0.0
    for number in range(draw(st.integers(1, most))):
        at_s += draw(st.sampled_from((0.0, 0.3, 5.0, 90.0, -2.0)))
        fact = attempted(
            at_s,
            attempt_id=UUID(int=number + 1),
            live=draw(st.booleans()),
            method=draw(st.sampled_from(("card", "alipay"))),
            channel=draw(st.sampled_from(CHANNELS)),
            issuer=draw(st.sampled_from(ISSUERS)),
            mark=draw(st.sampled_from((*Mark, Mark.TECHNICAL, Mark.TECHNICAL))),
            took_ms=draw(st.sampled_from((0, 40, 2_000, 30_000))),
        )
        facts.append(fact)
        more = draw(st.sampled_from(("", "", "again", "corrected")))
        if more == "again":
            facts.append(fact)
        elif more == "corrected":
            facts.append(corrected(fact, draw(st.sampled_from(CORRECTIONS[fact.mark])), at_s + 1))
    return facts


def corrected(fact: Attempted, mark: Mark, at_s: float) -> Attempted:
    """Later news of the same attempt, which replaces what was said before."""
    return attempted(
        at_s,
        attempt_id=fact.attempt_id,
        live=fact.live,
        method=fact.method,
        channel=fact.channel,
        issuer=fact.issuer,
        mark=mark,
        before=fact.mark,
        before_at=fact.occurred_at,
        before_took_ms=fact.took_ms,
        source="inquiry",
    )
