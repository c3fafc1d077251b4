"""Who calls the routes of clearing: merchants about their own money, and the house about everybody's.

A merchant's routes are ``/v2/settlements``, ``/v2/payouts`` and ``/v2/money``; it sees its own book, in the mode of its key. The
house's are ``/v2/fees``, ``/v2/recon`` and ``/v2/days``, which merchants do not have, and ``/v2/operations/settlements``
and ``/v2/operations/payouts`` over all books. Where two people are needed both have to be signed in: a key is nobody.
"""

from typing import Annotated, Any, NamedTuple

from fastapi import Query

from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import OperatorPermission, Permission
from tongbao.web.api.access import Gate
from tongbao.web.api.callers import of_house, of_merchant
from tongbao.web.api.shapes import path_number

P = Permission
O = OperatorPermission  # noqa: E741  # one letter, as in the matrix of roles

Language = Annotated[str, Query(pattern="^(en|zh|zh-CN)$", description="Language of the words.")]
BookQuery = Annotated[str | None, Query(max_length=64, description="Only of this merchant's book, `book_…`.")]
CurrencyQuery = Annotated[str, Query(pattern="^[A-Z]{3}$", description="Code of ISO 4217.")]


class Doors(NamedTuple):
    """The dependencies of the routes, by what they let their callers do."""

    reads: Any
    reports: Any
    writes: Any
    books: Any
    fees: Any
    approves: Any
    breaks: Any
    days: Any


def doors(gate: Gate) -> Doors:
    """Return the dependencies: three for merchants, then those of the house."""
    return Doors(
        of_merchant(gate, P.PAYOUTS_READ),
        of_merchant(gate, P.REPORTS_READ),
        of_merchant(gate, P.PAYOUTS_WRITE),
        of_house(gate, O.BOOKS_READ),
        of_house(gate, O.FEES_WRITE),
        of_house(gate, O.SETTLEMENTS_APPROVE),
        of_house(gate, O.BREAKS_RESOLVE),
        of_house(gate, O.DAYS_CLOSE),
    )


def book_of(text: str) -> int:
    """Return the book in a path; raise NotFound ``resource_missing`` for what can be no book."""
    return path_number(BOOK_PREFIX, text)


def maybe_book(text: str | None) -> int | None:
    """Return the book of a query, where one is named; raise NotFound ``resource_missing``."""
    return None if text is None else book_of(text)


def who_did(actor: str, *, is_house: bool) -> str:
    """Return an actor as a caller may know it: merchants learn that the house did it, not who of its people.

    A merchant's own people (``book_…/person:…``) keep their names.
    """
    if is_house or actor.startswith(f"{BOOK_PREFIX}_"):
        return actor
    return "automatic" if actor.startswith("job:") else "house"
