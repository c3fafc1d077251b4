"""The guards of pages: who may see one, what they may do there, and whose a form is.

The checks are those of ``parties.service.access``, as for the routes of ``/v2``; what differs is how a browser is known (its
cookie) and how it is told (pages, ``refusing``). A guard leaves what it found at ``request.state.visitor``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from tongbao.core.ids import parse_int, uuid_text
from tongbao.parties.errors import SessionRefused, UnknownMerchant
from tongbao.parties.ports import PayerSession, RememberedDevice
from tongbao.parties.schema import (
    MERCHANT_PREFIX,
    PAYER_PREFIX,
    Membership,
    Merchant,
    MerchantId,
    MerchantRole,
    OperatorPermission,
    OperatorRole,
    OperatorScope,
    Payer,
    Permission,
    Person,
    Scope,
    Session,
)
from tongbao.parties.service.access import require, require_operator
from tongbao.parties.service.parties import Parties
from tongbao.parties.service.sign_in import check_csrf, csrf_of
from tongbao.web.api.access import Gate, cookie_name
from tongbao.web.api.v1.limits import Limits
from tongbao.web.page_guard import guest, long_form, refuse_foreign, refuse_strange_host
from tongbao.web.signing.visiting import cookie_of

MODE_COOKIE = "mode"
MODES = {"live": True, "test": False}
WALLET_COOKIE = "wallet"
DEVICE_COOKIE = "wallet_device"
FORM_BYTES_MAX = 32_000
FIELDS_MAX = 60


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """A person who is signed in. ``csrf`` goes into every form of the page."""

    person: Person
    session: Session
    csrf: str
    memberships: tuple[Membership, ...]
    operator: OperatorScope
    roles: tuple[OperatorRole, ...]
    token: str = field(repr=False)

    @property
    def actor(self) -> str:
        """The person as trails name them: ``person:person_…``."""
        return self.operator.actor


@dataclass(frozen=True, kw_only=True)
class OperatorVisitor(Visitor):
    """Somebody of the house."""

    @property
    def scope(self) -> OperatorScope:
        """What they may do for it."""
        return self.operator

    def may(self, permission: OperatorPermission) -> bool:
        """Return whether they hold a permission."""
        return permission in self.operator.permissions


@dataclass(frozen=True, kw_only=True)
class MerchantVisitor(Visitor):
    """Somebody of a merchant, in one mode."""

    merchant: Merchant
    scope: Scope
    role: MerchantRole

    def may(self, permission: Permission) -> bool:
        """Return whether they hold a permission here and in this mode."""
        return permission in self.scope.permissions


@dataclass(frozen=True, kw_only=True)
class PayerVisitor:
    """A payer who is signed in. ``device`` is this browser where its payer wants it to be known again."""

    payer: Payer
    session: PayerSession
    csrf: str
    device: RememberedDevice | None
    token: str = field(repr=False)

    @property
    def actor(self) -> str:
        """The payer as trails name them: ``payer:payer_…``."""
        return f"payer:{uuid_text(PAYER_PREFIX, self.payer.payer_id)}"


class Guards:
    """Lets visitors in. Stateless beside its services: several may stand before one house."""

    def __init__(self, parties: Parties, limits: Limits, base_url: str) -> None:
        self._parties = parties
        self._gate = Gate(parties.access, limits)
        self._base_url = base_url

    async def staff(self, request: Request) -> Visitor:
        """Let in whoever is signed in as a person; raise SessionRefused, LimitExceeded."""
        visitor = Visitor(**await self._known(request))
        request.state.visitor = visitor
        return visitor

    async def operator(self, request: Request, *permissions: OperatorPermission) -> OperatorVisitor:
        """Let in who holds every one of ``permissions`` for the house, any role without one.

        Raises SessionRefused, LimitExceeded, PermissionMissing.
        """
        visitor = OperatorVisitor(**await self._known(request))
        request.state.visitor = visitor
        for permission in permissions or (OperatorPermission.OPERATIONS_READ,):
            require_operator(visitor.operator, permission)
        return visitor

    async def at_merchant(self, request: Request, merchant: str, *permissions: Permission) -> MerchantVisitor:
        """Let in members of the merchant of an address (``acct_…``) who hold every one of ``permissions``.

        Raises SessionRefused, LimitExceeded, UnknownMerchant also for those who are no members, MerchantNotOpen,
        PermissionMissing.
        """
        known = await self._known(request)
        token = str(known["token"])
        try:
            merchant_id = MerchantId(parse_int(MERCHANT_PREFIX, merchant))
        except ValueError:
            raise UnknownMerchant(merchant[:40]) from None
        scope = await self._parties.access.scope_of_session(
            token, merchant_id=merchant_id, live=wanted_mode(request)
        )
        memberships: tuple[Membership, ...] = known["memberships"]
        role = next((each.role for each in memberships if each.merchant_id == merchant_id), None)
        if role is None:
            raise UnknownMerchant(merchant)
        own = await self._parties.merchants.own(scope)
        visitor = MerchantVisitor(**known, merchant=own, scope=scope, role=role)
        request.state.visitor = visitor
        for permission in permissions:
            require(scope, permission)
        return visitor

    async def payer(self, request: Request) -> PayerVisitor:
        """Let in a payer who is signed in to a wallet; raise SessionRefused, LimitExceeded."""
        refuse_strange_host(request, self._base_url)
        token = request.cookies.get(cookie_of(request, WALLET_COOKIE))
        if not token:
            raise SessionRefused("session_missing", "sign in first")
        signed_in = await self._parties.payer_sign_in.signed_in(token)
        device = await self._parties.payer_sign_in.recognized(
            request.cookies.get(cookie_of(request, DEVICE_COOKIE), "")
        )
        is_own = device is not None and device.payer_id == signed_in.payer.payer_id
        visitor = PayerVisitor(
            payer=signed_in.payer,
            session=signed_in.session,
            csrf=csrf_of(token),
            device=device if is_own else None,
            token=token,
        )
        self._gate.take(request, visitor.actor, live=True)
        request.state.visitor = visitor
        return visitor

    def of_operator(
        self, *permissions: OperatorPermission
    ) -> Callable[[Request], Awaitable[OperatorVisitor]]:
        """Return the dependency of a page of the house."""

        async def guard(request: Request) -> OperatorVisitor:
            return await self.operator(request, *permissions)

        return guard

    def of_merchant(self, *permissions: Permission) -> Callable[[Request, str], Awaitable[MerchantVisitor]]:
        """Return the dependency of a page of a merchant, whose address has a part ``{merchant}``."""

        async def guard(request: Request, merchant: str) -> MerchantVisitor:
            return await self.at_merchant(request, merchant, *permissions)

        return guard

    async def form(
        self,
        request: Request,
        visitor: Visitor | PayerVisitor,
        bytes_max: int = FORM_BYTES_MAX,
        fields_max: int = FIELDS_MAX,
    ) -> dict[str, str]:
        """Return the fields of a form that a visitor's own page has sent.

        Raises NotPermitted ``origin_foreign``, SessionRefused ``csrf_invalid``, InvalidRequest ``form_invalid``.
        """
        refuse_foreign(request)
        fields = await long_form(request, bytes_max, fields_max)
        check_csrf(visitor.token, fields.pop("csrf", ""))
        return fields

    def count_guest(self, request: Request) -> None:
        """Count a request of nobody known by its network address; raise LimitExceeded."""
        self._gate.take(request, guest(request), live=True)

    async def _known(self, request: Request) -> dict[str, Any]:
        """Return what every visitor is made of."""
        refuse_strange_host(request, self._base_url)
        token = request.cookies.get(cookie_name(request) or "")
        if not token:
            raise SessionRefused("session_missing", "sign in first")
        known = await self._parties.access.who(token)
        self._gate.take(request, known.operator.actor, live=True)
        return {
            "person": known.person,
            "session": known.session,
            "csrf": csrf_of(token),
            "memberships": known.memberships,
            "operator": known.operator,
            "roles": known.roles,
            "token": token,
        }


def wanted_mode(request: Request) -> bool:
    """Return whether a merchant's page shows live money: as its address says, else as was chosen last, else not."""
    asked = request.query_params.get("mode") or request.cookies.get(MODE_COOKIE) or ""
    return MODES.get(asked, False)
