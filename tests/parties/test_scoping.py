"""Every access is scoped by type: a query without a scope does not type-check."""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from mypy import api

from tongbao.parties import schema
from tongbao.parties.store import access, customers, keys, merchants, payers, people, sessions

ROOT = Path(__file__).parents[2]
SCOPES = {
    schema.Scope,
    schema.OperatorScope,
    schema.Scope | schema.OperatorScope,
    schema.DeviceOwner,
}
A_PERSONS_OWN = {
    *("insert_person", "person_by_id", "lock_person", "person_by_email", "credentials", "set_password"),
    *("memberships", "describe"),
}
A_PAYERS_OWN = {"insert_payer", "payer_by_id", "payer_by_book"}
OF_SEVERAL_SCOPES = {"by_ids"}
"""Takes the book of each scope that somebody came with at the same moment, beside the thing."""

HEAD = """
from tongbao.core.db import Connection
from tongbao.parties.schema import *
from tongbao.parties.service.access import require
from tongbao.parties.service.customers import Customers
from tongbao.parties.service.keys import Keys
from tongbao.parties.service.merchants import Merchants
from tongbao.parties.store import customers as store

async def act(
    connection: Connection, customers: Customers, keys: Keys, merchants: Merchants, scope: Scope,
    operator: OperatorScope, customer_id: CustomerId, key_id: KeyId, store_id: StoreId,
) -> None:
"""
PASSES = (
    "await customers.get(scope, customer_id)",
    "await customers.list(scope)",
    "await store.by_id(connection, scope, customer_id)",
    "await keys.revoke(connection, scope, key_id)",
    "await keys.revoke_any(connection, operator, key_id)",
    "await merchants.own(scope)",
    "await merchants.all(operator)",
    "require(scope, Permission.PAYMENTS_READ)",
)
FAILS = (
    "await customers.get(customer_id)",
    "await customers.list()",
    "await customers.get(scope.book_id, customer_id)",
    "await customers.get(None, customer_id)",
    "await customers.get(operator, customer_id)",
    "await customers.get(scope, key_id)",
    "await store.by_id(connection, customer_id)",
    "await store.by_id(connection, scope.book_id, customer_id)",
    "await store.customers(connection, operator, PageRequest())",
    "await keys.revoke(connection, operator, key_id)",
    "await keys.revoke_any(connection, scope, key_id)",
    "await merchants.own(operator)",
    "await merchants.all(scope)",
    "require(scope, OperatorPermission.MERCHANTS_READ)",
    "require(operator, Permission.PAYMENTS_READ)",
)


@pytest.mark.slow
def test_unscoped_query_does_not_type_check(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    lines = [*PASSES, *FAILS]
    snippet.write_text(HEAD + textwrap.indent("\n".join(lines), "    ") + "\n")
    found, complaints, _ = api.run(
        [
            # What the linters have read of the project is not read anew.
            *("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")),
            *("--no-warn-unused-configs", "--no-error-summary", str(snippet)),
        ]
    )
    assert complaints == ""
    first = len(HEAD.splitlines()) + 1
    refused = {
        int(line.split(":")[1]) - first
        for line in found.splitlines()
        if "snippet.py" in line and "error" in line
    }
    assert [lines[number] for number in sorted(refused) if number >= 0] == list(FAILS)
    assert all(number >= 0 for number in refused), found


def functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., object]]]:
    """The public functions that a store module defines itself."""
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__ and not name.startswith("_"):
            yield name, function


@pytest.mark.parametrize("module", [customers, keys, merchants, payers, people], ids=lambda m: m.__name__)
def test_store_function_on_what_a_merchant_owns_takes_a_scope_second(module: ModuleType) -> None:
    exempt = {people: A_PERSONS_OWN, payers: A_PAYERS_OWN, customers: OF_SEVERAL_SCOPES}.get(module, set())
    names = [name for name, _ in functions(module)]
    assert exempt <= set(names)
    for name, function in functions(module):
        second = list(inspect.signature(function).parameters.values())[1]
        assert (second.annotation in SCOPES) != (name in exempt), f"{module.__name__}.{name}"


def test_statements_without_a_scope_are_few_and_named() -> None:
    assert {name for name, _ in functions(access)} == {
        *("key_facts", "note_use", "session", "touch_session", "role_at", "operator_roles", "merchant_facts")
    }
    owned = ("parties.customer", "parties.device", "parties.store ", "parties.feature_override")
    for module in (access, sessions):
        assert not any(table in inspect.getsource(module) for table in owned)
