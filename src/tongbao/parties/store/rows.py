"""Rows of the database as typed values, and pages of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from tongbao.parties.schema import Page, PageRequest

Item = TypeVar("Item")


def read(row: Mapping[str, Any], kind: type[Item], json: Iterable[str] = ()) -> Item:
    """Return a row as ``kind``, whose fields are named like the columns; those in ``json`` are decoded."""
    fields = dict(row)
    for name in json:
        if fields[name] is not None:
            fields[name] = msgspec.json.decode(fields[name])
    return msgspec.convert(fields, kind)


def to_json(value: object) -> str:
    """Return a value as the text of a JSON column."""
    return msgspec.json.encode(value).decode()


def page(
    rows: Iterable[Mapping[str, Any]], request: PageRequest[Any], make: Callable[[Mapping[str, Any]], Item]
) -> Page[Item]:
    """Return a page from up to one row more than was asked for, in the order in which they were read.

    A page before a row is read away from it, oldest first, and turned here: pages are newest first.
    """
    made = [make(row) for row in rows]
    items = made[: request.limit]
    if request.ending_before is not None:
        items.reverse()
    return Page(tuple(items), len(made) > request.limit)


def changed_one(status: str) -> bool:
    """Return whether a statement touched a row, from the driver's ``INSERT 0 1``, ``UPDATE 1``, ``DELETE 0``."""
    return not status.endswith(" 0")
