"""The query language of ``/search``, as far as it is an index lookup: clauses joined with AND.

``status:'succeeded' AND amount:1999 AND currency:'usd' AND customer:'cus_…' AND metadata['order']:'7' AND
created>=1700000000``. Anything else (OR, negation, substrings) is refused, never half obeyed.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_uuid
from tongbao.payments.schema.intents import IntentState
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.api.v1.fields import AMOUNT_MINOR_MAX, SECONDS_MAX
from tongbao.web.api.v1.routes.parameters import PAGE_SIZE

CLAUSES_MAX = 10
_QUOTED = r"""'([^'\\]{0,500})'|"([^"\\]{0,500})\""""
_CLAUSE = re.compile(
    rf"""\s*([a-z_]{{1,40}})(?:\[(?:{_QUOTED})\])?\s*(:|>=|<=|>|<)\s*(?:{_QUOTED}|([0-9]{{1,18}}))\s*"""
)
_AND = re.compile(r"AND\b")


def page_order(got: Mapping[str, Any]) -> PageOrder:
    """Return the page that a search asks for; raise InvalidRequest ``query_invalid``."""
    found: dict[str, Any] = {}
    containing: dict[str, object] = {}
    metadata: dict[str, str] = {}
    for name, key, sign, value in _clauses(got["query"]):
        if name == "metadata" and key is not None and sign == ":":
            _once(metadata, key, value)
        elif key is not None:
            raise _refused("only metadata has keys")
        elif name == "created":
            _created(found, sign, value)
        elif sign != ":":
            raise _refused("only created can be compared")
        else:
            _exact(found, containing, name, value)
    if metadata:
        containing["metadata"] = metadata
    return PageOrder(
        limit=got.get("limit", PAGE_SIZE), after=got.get("page"), containing=containing or None, **found
    )


def _clauses(query: str) -> list[tuple[str, str | None, str, str]]:
    """Return name, key, sign and value of each clause."""
    clauses: list[tuple[str, str | None, str, str]] = []
    at = 0
    while True:
        match = _CLAUSE.match(query, at)
        if match is None or len(clauses) >= CLAUSES_MAX:
            raise _refused(f"a query is 1 to {CLAUSES_MAX} clauses like status:'succeeded', joined with AND")
        name, key, other_key, sign, value, other_value, number = match.groups()
        said = next(text for text in (value, other_value, number) if text is not None)
        clauses.append((name, key if key is not None else other_key, sign, said))
        at = match.end()
        if at == len(query):
            return clauses
        joined = _AND.match(query, at)
        if joined is None:
            raise _refused("clauses are joined with AND, and nothing else")
        at = joined.end()


def _exact(found: dict[str, Any], containing: dict[str, object], name: str, value: str) -> None:
    """Add one clause that compares for equality."""
    if name == "status":
        if value not in {state.value for state in IntentState}:
            raise _refused("there is no such status")
        _once(found, "state", value)
    elif name == "customer":
        try:
            _once(found, "owner_id", parse_uuid("cus", value))
        except ValueError:
            raise _refused("customer is an id like cus_…") from None
    elif name == "currency":
        _once(containing, "currency", value.upper())
    elif name == "amount":
        if not (value.isascii() and value.isdigit() and int(value) <= AMOUNT_MINOR_MAX):
            raise _refused("amount is an integer of minor units")
        _once(containing, "amount_minor", int(value))
    else:
        raise _refused("status, customer, currency, amount, created and metadata can be searched")


def _created(found: dict[str, Any], sign: str, value: str) -> None:
    """Narrow the half-open interval of creation."""
    if not (value.isascii() and value.isdigit() and int(value) < SECONDS_MAX):
        raise _refused("created is in seconds of Unix time")
    second = int(value)
    if sign in (":", ">", ">="):
        _once(found, "created_from", datetime.fromtimestamp(second + (sign == ">"), UTC))
    if sign in (":", "<", "<="):
        _once(found, "created_to", datetime.fromtimestamp(second + (sign != "<"), UTC))


def _once(found: dict[str, Any], name: str, value: object) -> None:
    if name in found:
        raise _refused("a condition is given once")
    found[name] = value


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest("query_invalid", detail, param="query")
