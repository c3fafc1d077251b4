"""Roles, packages and permissions: the documented matrix is the one that is enforced."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.parties.policy import packages, roles
from tongbao.parties.schema import (
    MERCHANT_MOVES,
    Feature,
    MerchantRole,
    MerchantState,
    OperatorPermission,
    OperatorRole,
    Package,
    Permission,
)

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "parties.md"
READ_BY_ALL = {
    *("payments.read", "refunds.read", "customers.read", "disputes.read", "payouts.read", "ledger.read"),
    *("reports.read", "wallets.read", "routing.read", "risk.read", "marketing.read", "experiments.read"),
    *("merchant.read", "sub_merchants.read"),
}


def table(first_role: str) -> dict[str, dict[str, str]]:
    """The table of the page whose first role is ``first_role``: by role, what each permission's cell says."""
    lines = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    rows = [[cell.strip().strip("`") for cell in line] for line in lines]
    start = next(index for index, row in enumerate(rows) if row[0] == "permission" and row[1] == first_role)
    found: dict[str, dict[str, str]] = {role: {} for role in rows[start][1:]}
    for row in rows[start + 2 :]:
        if len(row) != len(rows[start]) or "." not in row[0]:
            break
        for role, cell in zip(rows[start][1:], row[1:], strict=True):
            found[role][row[0]] = cell
    return found


@pytest.mark.parametrize("role", list(MerchantRole))
def test_merchant_role_may_do_what_the_page_says(role: MerchantRole) -> None:
    cells = table("owner")[role]
    assert {*cells, *READ_BY_ALL} == set(Permission)
    live = READ_BY_ALL | {permission for permission, cell in cells.items() if cell == "yes"}
    test = live | {permission for permission, cell in cells.items() if cell == "test"}
    assert roles.of_merchant_role(role, live=True) == live
    assert roles.of_merchant_role(role, live=False) == test


@pytest.mark.parametrize("role", list(OperatorRole))
def test_operator_role_may_do_what_the_page_says(role: OperatorRole) -> None:
    cells = table("operator_l1")[role]
    assert set(cells) == set(OperatorPermission)
    assert roles.OPERATOR_ROLES[role] == {permission for permission, cell in cells.items() if cell == "yes"}


def test_every_role_is_decided_and_every_permission_is_held_by_somebody() -> None:
    assert set(roles.MERCHANT_ROLES) == set(MerchantRole)
    assert set(roles.OPERATOR_ROLES) == set(OperatorRole)
    assert frozenset().union(*roles.MERCHANT_ROLES.values()) == set(Permission)
    assert frozenset().union(*roles.OPERATOR_ROLES.values()) == set(OperatorPermission)


def test_no_permission_of_the_house_is_one_of_a_merchant() -> None:
    house = {permission.value for permission in OperatorPermission}
    assert house.isdisjoint(permission.value for permission in Permission)
    for permission in [*Permission, *OperatorPermission]:
        resource, _, action = permission.value.partition(".")
        assert resource.replace("_", "").isalpha()
        assert action.isalpha()


@given(st.sets(st.sampled_from(OperatorRole)))
def test_roles_together_may_do_the_sum_of_each_and_nothing_more(held: set[OperatorRole]) -> None:
    together = roles.of_operator_roles(held)
    for permission in OperatorPermission:
        assert (permission in together) == any(permission in roles.OPERATOR_ROLES[role] for role in held)


@given(st.sampled_from(MerchantRole), st.sampled_from(MerchantRole), st.booleans())
def test_no_permission_leaks_between_merchant_roles(
    role: MerchantRole, other: MerchantRole, live: bool
) -> None:
    mine, theirs = (roles.of_merchant_role(each, live=live) for each in (role, other))
    missing = roles.missing(theirs, frozenset[str](mine))
    assert missing == {permission.value for permission in theirs if permission not in mine}
    assert (not missing) == (theirs <= mine)
    assert roles.of_merchant_role(role, live=True) <= roles.of_merchant_role(role, live=False)


@given(st.sampled_from(OperatorRole), st.sets(st.sampled_from(OperatorRole)))
def test_clash_names_a_held_role_that_is_kept_apart(wanted: OperatorRole, held: set[OperatorRole]) -> None:
    clash = roles.clash(wanted, held)
    expected = {role for role in held & roles.KEPT_APART if role is not wanted and wanted in roles.KEPT_APART}
    assert (clash in expected) if expected else clash is None


def test_who_runs_the_system_neither_grants_nor_judges() -> None:
    admin, security, auditor = (
        roles.OPERATOR_ROLES[role]
        for role in (OperatorRole.ADMIN, OperatorRole.SECURITY, OperatorRole.AUDITOR)
    )
    assert OperatorPermission.STAFF_WRITE not in admin | auditor
    assert OperatorPermission.AUDIT_READ not in admin | security
    assert OperatorPermission.SETTINGS_WRITE not in security | auditor
    assert {permission.value.partition(".")[2] for permission in auditor} <= {"read", "verify"}


@given(st.frozensets(st.sampled_from(Permission)))
def test_suspension_leaves_reading_alone(held: frozenset[Permission]) -> None:
    left = roles.while_suspended(held)
    assert left == {permission for permission in held if permission.value.endswith(".read")}


@given(
    st.sampled_from(Package),
    st.sampled_from(Feature),
    st.dictionaries(st.sampled_from(Feature), st.booleans()),
)
def test_own_override_comes_before_the_package(
    package: Package, feature: Feature, overrides: dict[Feature, bool]
) -> None:
    allowed = packages.feature_allowed(package, feature, overrides)
    assert allowed == overrides.get(feature, feature in packages.FEATURES[package])
    assert (feature in packages.features(package, overrides)) == allowed


def test_packages_grow_and_differ() -> None:
    basic, ecommerce, enterprise = (
        packages.FEATURES[package] for package in (Package.BASIC, Package.ECOMMERCE, Package.ENTERPRISE)
    )
    assert basic < ecommerce < enterprise == set(Feature)
    assert Feature.SUB_MERCHANTS not in ecommerce
    assert Feature.MANUAL_CAPTURE not in basic
    assert not packages.feature_allowed(Package.BASIC, Feature.SUB_MERCHANTS)


def test_closed_is_for_good_and_every_state_is_decided() -> None:
    assert set(MERCHANT_MOVES) == set(MerchantState)
    assert MERCHANT_MOVES[MerchantState.CLOSED] == frozenset()
    assert all(state not in moves for state, moves in MERCHANT_MOVES.items())
