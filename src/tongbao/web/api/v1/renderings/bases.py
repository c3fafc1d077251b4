"""What all renderings share: instants, currencies, lists, deleted objects, encoding."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

Tree = dict[str, object]
"""An object in Stripe's form, ready for JSON."""

CHARGE_PREFIX = "ch"
TRANSACTION_PREFIX = "txn"
encode = msgspec.json.Encoder().encode
"""Write a tree as JSON bytes."""


def seconds(at: datetime) -> int:
    """Return an instant in whole seconds of Unix time."""
    return int(at.timestamp())


def maybe_seconds(at: datetime | None) -> int | None:
    """Return an instant in whole seconds of Unix time, where there is one."""
    return None if at is None else int(at.timestamp())


def maybe_id(prefix: str, value: UUID | None) -> str | None:
    """Return an id as text, where there is one."""
    return None if value is None else uuid_text(prefix, value)


def list_object(url: str, items: Sequence[Tree], *, has_more: bool) -> Tree:
    """Return a page of a list; ``url`` is its path."""
    return {"object": "list", "data": list(items), "has_more": has_more, "url": url}


def search_object(url: str, items: Sequence[Tree], *, has_more: bool) -> Tree:
    """Return a page of a search; the next one begins after its last object."""
    next_page = items[-1]["id"] if has_more and items else None
    return {
        "object": "search_result",
        "data": list(items),
        "has_more": has_more,
        "next_page": next_page,
        "url": url,
    }


def deleted_object(kind: str, reference: str) -> Tree:
    """Return what is left of an object after its deletion."""
    return {"id": reference, "object": kind, "deleted": True}


def nulls(*names: str) -> Tree:
    """Return fields in which we have nothing to say."""
    return dict.fromkeys(names)
