"""Both sides of a break: what our books and theirs say, what of it is still open, and what writing it off means. Pure."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from tongbao.clearing.policy import breaking
from tongbao.clearing.policy.suggesting import Amounts
from tongbao.clearing.schema.break_sides import ExpectedSide, Match, Part, Sides
from tongbao.clearing.schema.breaks import Break, BreakKind, Found, Leg
from tongbao.core.errors import Conflict, InvalidRequest

NO_LINE = 0
"""Stands in a match for a line that there is not."""
NO_RECORD = UUID(int=0)
"""Stands in a match for a record of ours that there is not."""


def amounts(of: Break, sides: Sides, due_on: date | None) -> Amounts:
    """Return what advice is given by."""
    costs = [each.fee_minor for each in sides.expected if each.fee_minor is not None]
    told = sum(each.fee_minor for each in sides.reported)
    references = [each.reference for each in sides.expected] + [each.reference for each in sides.reported]
    return Amounts(
        sum(each.amount_minor for each in sides.expected) if sides.expected else None,
        sum(each.amount_minor for each in sides.reported) if sides.reported else None,
        sum(costs) if costs else told or None,
        next(filter(None, references), ""),
        due_on,
    )


def open_records(of: Found) -> tuple[tuple[UUID, ...], tuple[int, ...]]:
    """Return the records of a difference that are matched with nothing yet; of a repeat only the repeat is."""
    if breaking.is_about_pair(of):
        return (), ()
    return (() if of.kind is BreakKind.DUPLICATE else of.expected), of.reported


def paired(sides: Sides) -> tuple[list[Match], int, str]:
    """Return the matches of records that a person puts together, what is left (reported less expected) and its currency.

    Raises InvalidRequest ``side_missing``, ``currencies_differ``; ``match_ambiguous`` where it would not be known how much of
    which line is whose: records of several merchants go together with one line only, whose amount they come to.
    """
    expected, reported = sides
    if not expected or not reported:
        raise InvalidRequest("side_missing", "a match has records of both sides")
    currencies = _currencies(sides)
    if len(currencies) > 1:
        raise InvalidRequest("currencies_differ", f"{', '.join(sorted(currencies))} do not go together")
    rest = sum(each.amount_minor for each in reported) - sum(each.amount_minor for each in expected)
    if len({each.book_id for each in expected}) > 1 and (rest or len(reported) > 1):
        raise InvalidRequest(
            "match_ambiguous",
            "records of several merchants belong to one line that they come to, or to nothing",
        )
    star = [(reported[0].id, each.id) for each in expected]
    star += [(each.id, expected[0].id) for each in reported[1:]]
    return star, rest, currencies.pop()


def write_off(of: Break, sides: Sides) -> tuple[list[Part], list[Match]]:
    """Return what is posted where a break is written off, and the matches by which no run sees its records again.

    Raises Conflict ``side_missing`` where a record of it is no longer there.
    """
    found = of.found
    if len(sides.expected) != len(found.expected) or len(sides.reported) != len(found.reported):
        raise Conflict("side_missing", f"{of.reference} names records that are not there any more")
    if breaking.is_about_pair(found):
        return [_of_pair(of, sides)], []
    mine, theirs = open_records(found)
    if mine and theirs and _is_one(sides):
        matches, rest, currency = paired(sides)
        return [_part(of.leg, sides.expected[0], currency, rest)], matches
    parts = [_part(of.leg, each, each.currency, -each.amount_minor) for each in sides.expected if mine]
    matches = [(NO_LINE, each) for each in mine]
    account = "suspense" if of.leg is Leg.CHANNEL else "bank"
    parts += [Part(None, account, each.currency, each.net_minor) for each in sides.reported]
    return _summed(parts), [*matches, *((each, NO_RECORD) for each in theirs)]


def _of_pair(of: Break, sides: Sides) -> Part:
    first, moved = sides.expected[0], of.found.difference_minor
    if of.found.kind is BreakKind.FEE_MISMATCH:
        return Part(first.book_id, "cost", of.found.currency, -moved)
    return _part(of.leg, first, of.found.currency, moved)


def _part(leg: Leg, side: ExpectedSide, currency: str, amount_minor: int) -> Part:
    if leg is Leg.BANK:
        return Part(None, "bank", currency, amount_minor)
    return Part(side.book_id, "receivable", currency, amount_minor)


def _is_one(sides: Sides) -> bool:
    """Return whether both sides speak of one currency and one merchant, so that only the difference is written off."""
    return len(_currencies(sides)) == 1 and len({each.book_id for each in sides.expected}) == 1


def _currencies(sides: Sides) -> set[str]:
    return {each.currency for each in sides.expected} | {each.currency for each in sides.reported}


def _summed(parts: Sequence[Part]) -> list[Part]:
    """Return one part for each account, in order."""
    sums: dict[tuple[int | None, str, str], int] = {}
    for part in parts:
        sums[part[:3]] = sums.get(part[:3], 0) + part.amount_minor
    return [Part(*key, amount_minor) for key, amount_minor in sums.items()]
