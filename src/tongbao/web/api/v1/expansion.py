"""``expand[]``: ids in an answer are replaced by the objects that they name, up to four levels deep.

Works on the finished tree, so it is the same for a fresh answer and for one that is kept; what is kept is never
expanded, and an expanded object is as it is now. Paths are checked against a table before anything is done.
"""

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Permission
from tongbao.web.api.v1.renderings.bases import Tree

DEPTH_MAX = 4

Loader = Callable[[str], Awaitable[Tree]]
"""Returns the object of an id; for what an object does not show unasked, takes the id of that object."""


class Edge(NamedTuple):
    """Where a field leads: the kind of its object. ``of_owner``: it is loaded by the id of the object around it."""

    kind: str
    of_owner: bool = False
    lists: bool = False


_CUSTOMER = Edge("customer")
_METHOD = Edge("payment_method")
_INTENT = Edge("payment_intent")
_CHARGE = Edge("charge")
_TRANSACTION = Edge("balance_transaction")
EDGES: Mapping[str, Mapping[str, Edge]] = {
    "payment_intent": {
        "customer": _CUSTOMER,
        "payment_method": _METHOD,
        "latest_charge": _CHARGE,
        "mandate": Edge("mandate"),
    },
    "charge": {
        "customer": _CUSTOMER,
        "payment_intent": _INTENT,
        "balance_transaction": _TRANSACTION,
        "refunds": Edge("refund", of_owner=True, lists=True),
    },
    "refund": {
        "customer": _CUSTOMER,
        "payment_method": _METHOD,
        "payment_intent": _INTENT,
        "charge": _CHARGE,
        "balance_transaction": _TRANSACTION,
    },
    "dispute": {"charge": _CHARGE, "payment_intent": _INTENT},
    "payment_method": {"customer": _CUSTOMER},
    "setup_intent": {"customer": _CUSTOMER, "payment_method": _METHOD, "mandate": Edge("mandate")},
    "mandate": {"payment_method": _METHOD},
    "customer": {"default_payment_method": _METHOD},
    "payment_link": {"line_items": Edge("item", of_owner=True, lists=True)},
    "checkout.session": {
        "customer": _CUSTOMER,
        "payment_intent": _INTENT,
        "payment_link": Edge("payment_link"),
        "line_items": Edge("item", of_owner=True, lists=True),
    },
    "balance_transaction": {"source": Edge("source")},
}
"""By kind of object, which of its fields can be expanded."""
PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    "balance_transaction": (Permission.LEDGER_READ,),
    "charge": (Permission.PAYMENTS_READ,),
    "customer": (Permission.CUSTOMERS_READ,),
    "item": (Permission.PAYMENTS_READ,),
    "mandate": (Permission.PAYMENTS_READ,),
    "payment_intent": (Permission.PAYMENTS_READ,),
    "payment_link": (Permission.PAYMENTS_READ,),
    "payment_method": (Permission.PAYMENTS_READ,),
    "refund": (Permission.REFUNDS_READ,),
    "source": (Permission.PAYMENTS_READ, Permission.REFUNDS_READ),
}
"""What one must be permitted to see an object of a kind: an expansion shows nothing beyond that."""
_WITHIN = {"default_payment_method": "invoice_settings"}
"""Fields that stand inside another one."""


def check(kind: str, paths: Sequence[str], *, lists: bool) -> set[Permission]:
    """Return what it takes to see what the paths lead to.

    Raises InvalidRequest ``expand_invalid`` for a path that leads nowhere or too deep.
    """
    needed: set[Permission] = set()
    for path in paths:
        here, is_list = kind, lists
        steps = path.split(".")
        if len(steps) > DEPTH_MAX:
            raise _refused(path, f"at most {DEPTH_MAX} levels can be expanded")
        for step in _own_steps(steps):
            if is_list:
                if step != "data":
                    raise _refused(path, "this property cannot be expanded; a list begins with data")
                is_list = False
                continue
            edge = EDGES.get(here, {}).get(step)
            if edge is None:
                raise _refused(path, "this property cannot be expanded")
            here, is_list = edge.kind, edge.lists
            needed.update(PERMISSIONS[edge.kind])
        if steps[-1] in ("data", "invoice_settings"):
            raise _refused(path, "this property cannot be expanded")
    return needed


async def expand(tree: Tree, paths: Sequence[str], loaders: Mapping[str, Loader]) -> None:
    """Replace ids in ``tree`` along ``paths``, which ``check`` has passed. Each object is loaded once."""
    loaded: dict[tuple[str, str], Tree] = {}
    for path in paths:
        await _follow(tree, _own_steps(path.split(".")), loaders, loaded)


async def _follow(
    tree: Any, steps: Sequence[str], loaders: Mapping[str, Loader], loaded: dict[tuple[str, str], Tree]
) -> None:
    if not steps:
        return
    if tree.get("object") in ("list", "search_result"):
        for item in tree["data"]:
            await _follow(item, steps[1:], loaders, loaded)
        return
    step, rest = steps[0], steps[1:]
    edge = EDGES.get(str(tree.get("object")), {}).get(step)
    if edge is None:
        return
    holder = tree[_WITHIN[step]] if step in _WITHIN else tree
    value = tree["id"] if edge.of_owner else holder.get(step)
    inner = holder.get(step)
    if not isinstance(inner, dict):
        if not isinstance(value, str):
            return
        name = f"{tree['object']}.{step}" if edge.of_owner else edge.kind
        inner = loaded.get((name, value))
        if inner is None:
            inner = loaded[name, value] = await loaders[name](value)
        # No two places share one object, or a path that comes back to where it was would tie a knot.
        inner = holder[step] = copy.deepcopy(inner)
    await _follow(inner, rest, loaders, loaded)


def _own_steps(steps: Sequence[str]) -> list[str]:
    """Return the steps without those that only name the place of a field."""
    return [step for step in steps if step != "invoice_settings"]


def _refused(path: str, detail: str) -> InvalidRequest:
    return InvalidRequest("expand_invalid", detail, param=f"expand[{path[:100]}]")
