"""The two sides of ``/v2/risk``: a merchant's, below ``/v2/risk``, and the house's, below ``/v2/operations/risk``.

A merchant sees and changes what belongs to its book; whatever belongs to others is unknown to it. Where two people are
needed both have to be signed in: a key is nobody, and one person may hold several.
"""

from typing import Any, NamedTuple

from tongbao.core.errors import NotPermitted
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import OperatorPermission, Permission
from tongbao.payments.service.payments import Payments
from tongbao.risk.service.challenging import Challenging
from tongbao.risk.service.hindsight import Hindsight
from tongbao.risk.service.risk import Risk
from tongbao.web.api.access import Gate
from tongbao.web.api.callers import OPERATIONS, Caller, of_house, of_merchant

PATH = "/risk"
PERSON = "person:"


class Services(NamedTuple):
    """The services behind the routes."""

    risk: Risk
    hindsight: Hindsight
    challenging: Challenging
    payments: Payments


class Side(NamedTuple):
    """One side: its path, and the dependencies of who looks, reads cases and freezes, writes lists, and decides."""

    path: str
    looks: Any
    reads: Any
    lists: Any
    decides: Any


def sides(gate: Gate) -> tuple[Side, Side]:
    """Return the merchant's side and that of the house."""
    reads, writes = of_merchant(gate, Permission.RISK_READ), of_merchant(gate, Permission.RISK_WRITE)
    return (
        Side(PATH, reads, reads, writes, writes),
        Side(
            OPERATIONS + PATH,
            of_house(gate, OperatorPermission.OPERATIONS_READ),
            of_house(gate, OperatorPermission.CASES_READ),
            of_house(gate, OperatorPermission.RULES_WRITE),
            of_house(gate, OperatorPermission.CASES_DECIDE),
        ),
    )


def is_person(who: Caller) -> bool:
    """Return whether somebody who is signed in asks, not a key."""
    return who.actor.startswith(PERSON)


def person_of(who: Caller) -> str:
    """Return who acts where two people are needed; raise NotPermitted ``person_required`` for a key."""
    if not is_person(who):
        raise NotPermitted("person_required", "two people are needed for this: sign in, a key is nobody")
    return who.actor


def named_in_book(who: Caller, actor: str) -> str:
    """Return an actor by a name that tells whose people it belongs to; the house's own go by theirs."""
    return actor if who.scope is None else f"{book_mark(who.book)}{actor}"


def book_mark(book_id: int) -> str:
    """Return what the names of a merchant's actors begin with."""
    return f"{int_text(BOOK_PREFIX, book_id)}/"
