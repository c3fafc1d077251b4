"""Which role may do what: the matrix of docs/concepts/parties.md as data, deny by default.

The operator roles keep three powers apart, as the Chinese multi-level protection scheme asks (GB/T 22239-2019,
8.1.5: system, security and audit administration): who runs the system neither grants rights nor judges the record
of it.
"""

from collections.abc import Iterable, Mapping

from tongbao.parties.schema import MerchantRole, OperatorPermission, OperatorRole, Permission

P = Permission
O = OperatorPermission  # noqa: E741  # one letter keeps the matrix readable

_READS = frozenset(permission for permission in Permission if permission.value.endswith(".read"))
_VIEWS = _READS - {P.KEYS_READ, P.WEBHOOKS_READ, P.PEOPLE_READ}

MERCHANT_ROLES: Mapping[MerchantRole, frozenset[Permission]] = {
    MerchantRole.OWNER: frozenset(Permission),
    MerchantRole.FINANCE: _VIEWS | {P.REFUNDS_WRITE, P.PAYOUTS_WRITE, P.DISPUTES_WRITE, P.WALLETS_WRITE},
    MerchantRole.SUPPORT: _VIEWS | {P.REFUNDS_WRITE, P.CUSTOMERS_WRITE, P.DISPUTES_WRITE},
    MerchantRole.DEVELOPER: _VIEWS
    | {P.KEYS_READ, P.KEYS_WRITE, P.WEBHOOKS_READ, P.WEBHOOKS_WRITE, P.ROUTING_WRITE, P.EXPERIMENTS_WRITE},
    MerchantRole.VIEWER: _VIEWS,
}

_DESK = frozenset({O.MERCHANTS_READ, O.OPERATIONS_READ, O.CASES_READ, O.ALL_DISPUTES_READ})

OPERATOR_ROLES: Mapping[OperatorRole, frozenset[OperatorPermission]] = {
    OperatorRole.OPERATOR_L1: _DESK,
    OperatorRole.OPERATOR_L2: _DESK
    | {O.MERCHANTS_WRITE, O.PACKAGES_WRITE, O.CHANNELS_WRITE, O.BOOKS_READ}
    | {O.BREAKS_RESOLVE, O.FEES_WRITE, O.SETTLEMENTS_APPROVE, O.DAYS_CLOSE},
    OperatorRole.RISK: _DESK
    | {O.MERCHANTS_SUSPEND, O.CASES_DECIDE, O.RULES_WRITE, O.RULES_PUBLISH, O.BANS_WRITE},
    OperatorRole.LEGAL: frozenset(
        {O.MERCHANTS_READ, O.CASES_READ, O.ALL_DISPUTES_READ, O.SECRETS_REVEAL, O.PERSONS_ERASE}
    ),
    OperatorRole.AUDITOR: frozenset(
        {
            *(O.MERCHANTS_READ, O.OPERATIONS_READ, O.BOOKS_READ, O.BOOKS_VERIFY, O.CASES_READ),
            *(O.ALL_DISPUTES_READ, O.AUDIT_READ, O.STAFF_READ),
        }
    ),
    OperatorRole.SECURITY: frozenset(
        {O.STAFF_READ, O.STAFF_WRITE, O.BANS_WRITE, O.ALL_KEYS_REVOKE, O.OPERATIONS_READ}
    ),
    OperatorRole.ADMIN: frozenset({O.SETTINGS_WRITE, O.BACKUPS_RUN, O.OPERATIONS_READ}),
}

DEVELOPER_IN_TEST = frozenset(
    {
        *(P.PAYMENTS_WRITE, P.REFUNDS_WRITE, P.CUSTOMERS_WRITE, P.DISPUTES_WRITE, P.PAYOUTS_WRITE),
        *(P.WALLETS_WRITE, P.CHECKOUT_CLIENT, P.METHODS_CREATE),
    }
)
"""What a developer may do besides where no money is real."""

KEPT_APART = frozenset({OperatorRole.ADMIN, OperatorRole.SECURITY, OperatorRole.AUDITOR})
"""No person holds two of these."""


def of_merchant_role(role: MerchantRole, *, live: bool = True) -> frozenset[Permission]:
    """Return what a role may do at its merchant in a mode."""
    if role is MerchantRole.DEVELOPER and not live:
        return MERCHANT_ROLES[role] | DEVELOPER_IN_TEST
    return MERCHANT_ROLES[role]


def of_operator_roles(roles: Iterable[OperatorRole]) -> frozenset[OperatorPermission]:
    """Return what somebody with these roles may do for the house: the sum of them, nothing more."""
    return frozenset[OperatorPermission]().union(*(OPERATOR_ROLES[role] for role in roles))


def clash(wanted: OperatorRole, held: Iterable[OperatorRole]) -> OperatorRole | None:
    """Return the role among ``held`` that may not be held together with ``wanted``."""
    if wanted not in KEPT_APART:
        return None
    return next((role for role in held if role in KEPT_APART and role is not wanted), None)


def while_suspended(permissions: frozenset[Permission]) -> frozenset[Permission]:
    """Return what people keep while their merchant is suspended: they may look, and change nothing."""
    return permissions & _READS


def missing(wanted: Iterable[Permission], held: frozenset[str]) -> frozenset[str]:
    """Return what somebody would hand on without having it."""
    return frozenset(permission.value for permission in wanted) - held
