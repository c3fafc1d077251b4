"""``/wallet/security``: a payer's passkeys, remembered browsers, sessions, and the way back who has lost all passkeys.

A code alone opens the wallet and adds a first passkey; it does not replace the ones that are there. For that a recovery is
begun: every address of the payer is told, whoever is signed in may stop it, and a day later a new passkey is let in.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response

from tongbao.core.errors import AppError, NotPermitted
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.parties.errors import BadField, PasskeyNotTaken, UnknownDevice, UnknownSession
from tongbao.parties.ports import (
    PAYER_DEVICE_PREFIX,
    PAYER_SESSION_PREFIX,
    Enrolment,
    Notice,
    PayerDeviceId,
    PayerSessionId,
)
from tongbao.parties.schema import Holder, HolderKind, PasskeyVerdict
from tongbao.parties.service import payer_sign_in
from tongbao.parties.service.holder_passkeys import Enrolling
from tongbao.web.page_route import page_route
from tongbao.web.signing import frames
from tongbao.web.signing.agents import browser_name
from tongbao.web.signing.answering import Problem, agent_of, problem_of, said
from tongbao.web.signing.guarding import DEVICE_COOKIE, PayerVisitor
from tongbao.web.signing.refusing import wallet_error_page
from tongbao.web.signing.rooms import Signing
from tongbao.web.signing.visiting import put_cookie
from tongbao.web.signing.wallet_routes import DEVICE_S, SECURITY

_SAID = frozenset(
    {
        *("key_added", "key_named", "key_removed", "device_kept", "device_forgotten"),
        *("session_ended", "sessions_ended", "recovery_begun", "recovery_stopped", "recovery_done"),
    }
)
_OPEN = frozenset({Enrolment.ALLOWED, Enrolment.RECOVERED})

Act = Callable[[Request, PayerVisitor, dict[str, str]], Awaitable[Response]]


def router(signing: Signing) -> APIRouter:
    """Return the routes."""
    page = _SecurityPage(signing)
    routes = APIRouter(include_in_schema=False, route_class=page_route(wallet_error_page))
    routes.add_api_route(SECURITY, page.show, methods=["GET", "HEAD"], response_model=None)
    routes.add_api_route(f"{SECURITY}/{{form}}", page.act, methods=["POST"], response_model=None)
    return routes


class _SecurityPage:
    """Answers the page and its forms."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing
        self._sign_in = signing.house.parties.payer_sign_in
        self._acts: dict[str, Act] = {
            "add-passkey": self._add,
            "name-passkey": self._name,
            "remove-passkey": self._remove,
            "remember": self._remember,
            "forget-device": self._forget_device,
            "end": self._end,
            "end-others": self._end_others,
            "recover": self._recover,
            "stop-recovery": self._stop,
        }

    async def show(self, request: Request) -> Response:
        """Answer the page."""
        return await self._page(request, await self._signing.guards.payer(request))

    async def act(self, request: Request, form: str) -> Response:
        """Do what one of the forms asks for."""
        visitor = await self._signing.guards.payer(request)
        fields = await self._signing.guards.form(request, visitor)
        act = self._acts.get(form)
        if act is None:
            raise BadField("form", "this page has no such form")
        try:
            return await act(request, visitor, fields)
        except AppError as error:
            return await self._page(request, visitor, problem_of(error))

    async def _add(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        enrolment = await self._sign_in.enrolment(visitor.session)
        if enrolment is Enrolment.WAITS:
            raise NotPermitted("enrolment_waits", "a recovery has begun, and its time is not over")
        if enrolment not in _OPEN:
            raise NotPermitted("enrolment_needs_passkey", "sign in with a passkey to add one")
        label = fields.get("label", "").strip() or browser_name(agent_of(request))
        answer = fields.get("response", "").encode()
        kept = await self._signing.passkeys.save(_enrolling(visitor), answer, label)
        if kept.verdict is not PasskeyVerdict.GOOD:
            raise PasskeyNotTaken(kept.verdict)
        if enrolment is Enrolment.RECOVERED:
            await self._sign_in.recovered(visitor.session, kept.credential_id)
            await self._tell(visitor, Notice.RECOVERY_DONE)
            return said(SECURITY, "recovery_done")
        await self._tell(visitor, Notice.PASSKEY_ADDED)
        return said(SECURITY, "key_added")

    async def _name(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        await self._signing.passkeys.rename(
            _holder(visitor), fields.get("passkey", ""), fields.get("label", "")
        )
        return said(SECURITY, "key_named")

    async def _remove(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        """Remove a passkey; who came by a code alone may not, or the day of a recovery would mean nothing."""
        if await self._sign_in.enrolment(visitor.session) not in _OPEN:
            raise NotPermitted("enrolment_needs_passkey", "sign in with a passkey to remove one")
        await self._signing.passkeys.remove(_holder(visitor), fields.get("passkey", ""))
        return said(SECURITY, "key_removed")

    async def _remember(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        key = await self._sign_in.remember(visitor.payer.payer_id, browser_name(agent_of(request)))
        response = said(SECURITY, "device_kept")
        put_cookie(request, response, DEVICE_COOKIE, key.get_secret_value(), max_age=DEVICE_S)
        return response

    async def _forget_device(
        self, request: Request, visitor: PayerVisitor, fields: dict[str, str]
    ) -> Response:
        reference = fields.get("device", "")
        try:
            device_id = PayerDeviceId(parse_uuid(PAYER_DEVICE_PREFIX, reference))
        except ValueError:
            raise UnknownDevice(reference[:40]) from None
        await self._sign_in.forget_device(visitor.payer.payer_id, device_id)
        return said(SECURITY, "device_forgotten")

    async def _end(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        reference = fields.get("session", "")
        try:
            session_id = PayerSessionId(parse_uuid(PAYER_SESSION_PREFIX, reference))
        except ValueError:
            raise UnknownSession(reference[:40]) from None
        await self._sign_in.end(visitor.payer.payer_id, session_id)
        return said(SECURITY, "session_ended")

    async def _end_others(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        await self._sign_in.end_all(visitor.payer.payer_id, but=visitor.session.session_id)
        return said(SECURITY, "sessions_ended")

    async def _recover(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        if await self._sign_in.begin_recovery(visitor.payer.payer_id):
            await self._tell(visitor, Notice.RECOVERY_BEGUN)
        return said(SECURITY, "recovery_begun")

    async def _stop(self, request: Request, visitor: PayerVisitor, fields: dict[str, str]) -> Response:
        await self._sign_in.call_off_recovery(visitor.payer.payer_id)
        return said(SECURITY, "recovery_stopped")

    async def _tell(self, visitor: PayerVisitor, notice: Notice) -> None:
        await self._signing.codes.tell(visitor.payer.payer_id, notice, visitor.payer.locale)

    async def _page(
        self, request: Request, visitor: PayerVisitor, problem: Problem | None = None
    ) -> Response:
        payer_id = visitor.payer.payer_id
        enrolment = await self._sign_in.enrolment(visitor.session)
        told = request.query_params.get("said", "")
        is_open = enrolment in _OPEN
        context = {
            "visitor": visitor,
            "problem": problem,
            "said": told if told in _SAID else "",
            "enrolment": enrolment.value,
            "can_add": is_open,
            "options": await self._signing.passkeys.offer(_enrolling(visitor)) if is_open else None,
            "has_passkeys_at_all": self._signing.passkeys.is_open,
            "passkeys": await self._signing.passkeys.list(_holder(visitor)),
            "ready_at": await self._sign_in.recovery_ready_at(payer_id),
            "contacts": [payer_sign_in.masked(each) for each in await self._sign_in.contacts(payer_id)],
            "devices": [
                (uuid_text(PAYER_DEVICE_PREFIX, each.device_id), each)
                for each in await self._sign_in.devices(payer_id)
            ],
            "sessions": [
                (uuid_text(PAYER_SESSION_PREFIX, each.session_id), each)
                for each in await self._sign_in.sessions(payer_id)
            ],
            "browser_name": browser_name,
        }
        status = problem.status if problem else 200
        return frames.payer(
            request, visitor, frames.Page("signing/wallet_security.html", "security", context, status)
        )


def _holder(visitor: PayerVisitor) -> Holder:
    return Holder(HolderKind.PAYER, visitor.payer.payer_id)


def _enrolling(visitor: PayerVisitor) -> Enrolling:
    name = visitor.payer.name
    return Enrolling(_holder(visitor), visitor.session.session_id, name, name)
