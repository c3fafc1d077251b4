"""Expansion: which paths exist, that each object is loaded once, and that no knot can be tied."""

import msgspec
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Permission
from tongbao.web.api.v1.expansion import EDGES, PERMISSIONS, check, expand
from tongbao.web.api.v1.renderings.bases import Tree


class House:
    """Loads objects that name each other, and counts."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.loaders = {
            kind: self.load(kind)
            for kind in (
                *("customer", "payment_method", "charge", "payment_intent", "balance_transaction", "source"),
                *("mandate", "payment_link", "charge.refunds", "payment_link.line_items"),
                "checkout.session.line_items",
            )
        }

    def load(self, kind: str):  # type: ignore[no-untyped-def]  # a loader
        async def of(text: str) -> Tree:
            self.loaded.append(f"{kind}:{text}")
            if kind == "charge.refunds":
                return {"object": "list", "data": [{"object": "refund", "id": "re_1", "charge": text}]}
            return {
                "object": kind,
                "id": text,
                "customer": "cus_1",
                "payment_intent": "pi_1",
                "latest_charge": "ch_1",
                "payment_method": "pm_1",
                "balance_transaction": "txn_1",
                "invoice_settings": {"default_payment_method": "pm_1"},
            }

        return of


@pytest.fixture
def house() -> House:
    return House()


def intent() -> Tree:
    return {
        "object": "payment_intent",
        "id": "pi_1",
        "customer": "cus_1",
        "latest_charge": "ch_1",
        "payment_method": None,
    }


@pytest.mark.parametrize(
    ("kind", "path", "lists"),
    [
        ("payment_intent", "customer", False),
        ("payment_intent", "latest_charge.balance_transaction", False),
        ("payment_intent", "latest_charge.refunds.data.charge", False),
        ("payment_intent", "data.customer", True),
        ("payment_intent", "data.latest_charge.balance_transaction.source", True),
        ("customer", "invoice_settings.default_payment_method", False),
        ("checkout.session", "line_items", False),
    ],
)
def test_check_of_a_path_that_exists_passes(kind: str, path: str, lists: bool) -> None:
    check(kind, [path], lists=lists)


@pytest.mark.parametrize(
    ("kind", "path", "lists"),
    [
        ("payment_intent", "nothing", False),
        ("payment_intent", "amount", False),
        ("payment_intent", "", False),
        ("payment_intent", ".", False),
        ("payment_intent", "customer.", False),
        ("payment_intent", "customer", True),
        ("payment_intent", "data", True),
        ("payment_intent", "data.data", True),
        ("payment_intent", "data.customer", False),
        ("payment_intent", "latest_charge.refunds.charge", False),
        ("payment_intent", "latest_charge.payment_intent.latest_charge.payment_intent.customer", False),
        ("customer", "invoice_settings", False),
        ("balance", "available", False),
    ],
)
def test_check_of_a_path_that_leads_nowhere_is_refused(kind: str, path: str, lists: bool) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(kind, [path], lists=lists)
    assert caught.value.code == "expand_invalid"


async def test_expand_replaces_ids_by_objects(house: House) -> None:
    tree = intent()
    await expand(tree, ["customer", "latest_charge.balance_transaction", "payment_method"], house.loaders)
    assert tree["customer"]["id"] == "cus_1"  # type: ignore[index]  # a tree is typed loosely
    assert tree["latest_charge"]["balance_transaction"]["id"] == "txn_1"  # type: ignore[index]  # likewise
    assert tree["payment_method"] is None


async def test_expand_of_a_list_loads_each_object_once(house: House) -> None:
    tree: Tree = {"object": "list", "data": [intent(), intent()]}
    await expand(tree, ["data.customer", "data.latest_charge.customer"], house.loaders)
    assert house.loaded == ["customer:cus_1", "charge:ch_1"]
    assert all(item["latest_charge"]["customer"]["object"] == "customer" for item in tree["data"])  # type: ignore[attr-defined]  # likewise


async def test_expand_shows_included_lists_and_goes_on_inside_them(house: House) -> None:
    tree = intent()
    await expand(tree, ["latest_charge.refunds.data.charge"], house.loaders)
    assert tree["latest_charge"]["refunds"]["data"][0]["charge"]["id"] == "ch_1"  # type: ignore[index]  # likewise


async def test_expand_of_paths_that_come_back_ties_no_knot(house: House) -> None:
    tree: Tree = {"object": "payment_method", "id": "pm_1", "customer": "cus_1"}
    path = "customer.invoice_settings.default_payment_method.customer"
    await expand(tree, [path, path, "customer"], house.loaders)
    assert msgspec.json.encode(tree)
    tree = intent()
    await expand(
        tree, ["latest_charge.payment_intent.latest_charge", "latest_charge.payment_intent"], house.loaders
    )
    assert msgspec.json.encode(tree)


def test_every_edge_leads_to_a_kind_that_is_loaded() -> None:
    loaded = set(House().loaders)
    for kind, fields in EDGES.items():
        for name, edge in fields.items():
            assert (f"{kind}.{name}" if edge.of_owner else edge.kind) in loaded


def test_check_says_what_it_takes_to_see_it() -> None:
    paths = ["customer", "latest_charge.balance_transaction"]
    needed = {Permission.CUSTOMERS_READ, Permission.PAYMENTS_READ, Permission.LEDGER_READ}
    assert check("payment_intent", paths, lists=False) == needed
    assert check("payment_intent", [], lists=False) == set()


def test_every_kind_that_an_edge_leads_to_has_its_permission() -> None:
    assert {edge.kind for fields in EDGES.values() for edge in fields.values()} == set(PERMISSIONS)
