"""The routes of the step-up pages: one address a payment, its forms below it, each answered with a redirect.

Opening the page asks for a passkey where the payer has one, or sends the first code, once: the payer came here for nothing
else; a form changes to the other means. A form must come from this site (``Origin``). Once the proof is right the payment
goes on by itself, on a page of this house or of another one; where a passkey can be saved, that is offered first.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import (
    AppError,
    Conflict,
    InvalidRequest,
    InvariantBroken,
    LimitExceeded,
    OutcomeUnknown,
    Unavailable,
)
from tongbao.core.logs import get_logger
from tongbao.parties.schema import PasskeyVerdict
from tongbao.risk.schema.challenges import Challenge, ChallengeState, Means, StepUpLink
from tongbao.risk.service.challenging import Challenging
from tongbao.risk.service.step_up_links import StepUpLinks
from tongbao.web import errors, pages
from tongbao.web.api.v1.limits import Limits
from tongbao.web.cashier import faces
from tongbao.web.cashier.views import wishes
from tongbao.web.page_guard import guest, long_form, refuse_foreign
from tongbao.web.page_route import page_route
from tongbao.web.step_up import views
from tongbao.web.step_up.passkeys import PayerPasskeys

ContinuePayment = Callable[[int, UUID], Awaitable[str]]
"""Goes on with the payment intent of a book after its proof and returns where the payer is sent then.

Empty: nowhere, the page is the last one. It may be called again for one payment, by a reload or a second click, and
answers the same.
"""
_ENDS = {
    "challenges_too_many": "tries",
    "destination_missing": "no_means",
    "means_unavailable": "no_means",
}
"""Faces of the page where no challenge can be opened."""
_UNSENT = {
    "send_too_soon": "soon",
    "sends_used_up": "sends",
    "code_not_sent": "unsent",
    "destination_refused": "unsent",
    "destination_missing": "unsent",
    "means_unavailable": "unsent",
}
_REFUSED = {
    PasskeyVerdict.MALFORMED: "key",
    PasskeyVerdict.UNKNOWN: "key_unknown",
    PasskeyVerdict.FOREIGN: "key_foreign",
    PasskeyVerdict.STALE: "key_stale",
    PasskeyVerdict.UNVERIFIED: "key_unverified",
    PasskeyVerdict.FORGED: "key",
    PasskeyVerdict.CLONED: "key_cloned",
    PasskeyVerdict.TAKEN: "key_taken",
    PasskeyVerdict.FULL: "key_full",
}
"""How the page tells why a passkey was not taken."""
_ANSWER_BYTES_MAX = 32 * 1024
"""Of a form with what an authenticator said: 12,000 bytes of JSON, each quote in three."""
_LATER = "passkey_later"
_LATER_S = 90 * 24 * 3600
"""So long a browser whose payer wanted no passkey is not offered one again."""
_URL_SAFE = ":/%#?=@[]!$&'()*+,;~"
_ERRORS = {403: "foreign", 404: "missing", 429: "busy", 503: "busy"}

_log = get_logger("step_up")


def step_up_router(
    challenging: Challenging,
    links: StepUpLinks,
    continue_payment: ContinuePayment,
    limits: Limits,
    passkeys: PayerPasskeys | None = None,
) -> APIRouter:
    """Return the routes of the step-up pages; without ``passkeys`` they ask for codes alone."""
    step_up = _StepUp(challenging, links, continue_payment, limits, passkeys)
    routes = APIRouter(include_in_schema=False, route_class=page_route(_error_page))
    for method, path, answer in (
        ("GET", "/step-up/{token}", step_up.show),
        ("POST", "/step-up/{token}/answer", step_up.answer),
        ("POST", "/step-up/{token}/resend", step_up.resend),
        ("POST", "/step-up/{token}/again", step_up.again),
        ("POST", "/step-up/{token}/passkey", step_up.prove),
        ("POST", "/step-up/{token}/switch", step_up.switch),
        ("GET", "/step-up/{token}/save", step_up.offer),
        ("POST", "/step-up/{token}/save", step_up.save),
        ("POST", "/step-up/{token}/continue", step_up.go_on),
    ):
        routes.add_api_route(path, answer, methods=[method], response_model=None)
    return routes


class _StepUp:
    """Answers the pages."""

    def __init__(
        self,
        challenging: Challenging,
        links: StepUpLinks,
        continue_payment: ContinuePayment,
        limits: Limits,
        passkeys: PayerPasskeys | None,
    ) -> None:
        self._challenging = challenging
        self._links = links
        self._continue_payment = continue_payment
        self._limits = limits
        self._passkeys = passkeys
        self._means = (Means.CODE,) if passkeys is None else (Means.CODE, Means.PASSKEY)

    async def show(self, request: Request, token: str) -> Response:
        """Answer the page of a link; the first look at it opens the challenge and sends its code, if it is one."""
        self._limits.take(guest(request), live=True, writes=True)
        link = self._links.read(token, is_late_allowed=True)
        if self._links.is_over(link):
            return self._end(request, link, "late", 410)
        if link.order.means is not Means.CODE:
            return self._end(request, link, "no_means", 400)
        challenge = await self._challenging.latest(link.order.purpose)
        problem = request.query_params.get("problem", "")
        if challenge is None or challenge.means not in self._means or _is_of_before(challenge, link):
            try:
                challenge = await self._open(link, await self._first_means(link))
            except (InvalidRequest, LimitExceeded) as error:
                return self._unopened(request, link, error)
        if (
            challenge.means is Means.CODE
            and challenge.sent_at is None
            and challenge.state is ChallengeState.OPEN
        ):
            problem = await self._sent(request, challenge) or problem
            challenge = await self._challenging.get(challenge.book_id, challenge.id)
        return await self._of(request, link, challenge, problem)

    async def answer(self, request: Request, token: str) -> Response:
        """Judge the code of a form; a right one goes on with the payment, any other leads back to the page."""
        fields = await self._form(request)
        link, challenge = await self._now(token)
        if challenge is None:
            return _to_page(token)
        try:
            code = fields.get("code", "")
            judged = await self._challenging.answer(challenge.book_id, challenge.id, code)
        except InvalidRequest:
            return _to_page(token, "form")
        except Conflict:
            # It ended meanwhile, in another tab or by its time: the page tells.
            return _to_page(token)
        if judged.state is ChallengeState.PASSED:
            has_passkeys = fields.get("device") == "passkeys" and _LATER not in request.cookies
            if has_passkeys and await self._offer_of(judged) is not None:
                return await self._offered(token, link)
            return await self._continued(request, token, link)
        return _to_page(token, "wrong" if judged.state is ChallengeState.OPEN else None)

    async def prove(self, request: Request, token: str) -> Response:
        """Judge what an authenticator answered; a right answer goes on with the payment, any other leads back."""
        response = (await self._form(request, _ANSWER_BYTES_MAX)).get("response", "").encode()
        link, challenge = await self._now(token)
        if challenge is None or self._passkeys is None:
            return _to_page(token)
        if not response:
            # Without its script the page has nothing to send: no attempt was made.
            return _to_page(token, "key_script")
        try:
            judged = await self._challenging.prove(challenge.book_id, challenge.id, response)
        except (InvalidRequest, Conflict):
            # It ended, or asks for a code now: the page tells.
            return _to_page(token)
        if judged.state is ChallengeState.PASSED:
            return await self._continued(request, token, link)
        verdict = await self._passkeys.verdict(challenge, response)
        return _to_page(token, _REFUSED.get(verdict, "key") if judged.state is ChallengeState.OPEN else None)

    async def switch(self, request: Request, token: str) -> Response:
        """Ask for the other means from now on: a new challenge with the attempts that are left replaces the open one."""
        means = (await self._form(request)).get("means", "")
        link, challenge = await self._now(token)
        is_open = challenge is not None and self._challenging.state_now(challenge) is ChallengeState.OPEN
        if challenge is None or not is_open or means not in self._means or means == challenge.means:
            return _to_page(token)
        if means == Means.PASSKEY and await self._first_means(link) is not Means.PASSKEY:
            return _to_page(token, "key_unknown")
        try:
            opened = await self._open(link, Means(means))
        except (InvalidRequest, LimitExceeded) as error:
            return self._unopened(request, link, error)
        _log.info("step_up_means_switched", before=challenge.reference, now=opened.reference, means=means)
        return _to_page(token)

    async def offer(self, request: Request, token: str) -> Response:
        """Answer the page on which a passkey can be saved, once a code was right; otherwise lead back."""
        self._limits.take(guest(request), live=True, writes=True)
        link, challenge = await self._now(token)
        options = None if challenge is None else await self._offer_of(challenge)
        if options is None:
            return _to_page(token)
        problem = request.query_params.get("problem", "")
        shown = views.of_link(request, link) | {
            "face": "save",
            "path": f"/step-up/{token}",
            "options": options,
        }
        return views.page(
            request, "save.html", shown | {"problem": problem if problem in views.PROBLEMS else None}
        )

    async def save(self, request: Request, token: str) -> Response:
        """Save the passkey of an answer, and go on with the payment; what is not saved is told."""
        response = (await self._form(request, _ANSWER_BYTES_MAX)).get("response", "").encode()
        link, challenge = await self._now(token)
        if challenge is None or challenge.state is not ChallengeState.PASSED or self._passkeys is None:
            return _to_page(token)
        verdict = await self._passkeys.save(challenge, response)
        if verdict is PasskeyVerdict.GOOD:
            return await self._continued(request, token, link)
        return RedirectResponse(
            f"/step-up/{token}/save?problem={_REFUSED[verdict]}", 303, {"Cache-Control": "no-store"}
        )

    async def resend(self, request: Request, token: str) -> Response:
        """Send another code, if it is time for one, and go back to the page."""
        await self._form(request)
        _, challenge = await self._now(token)
        if challenge is None or self._challenging.state_now(challenge) is not ChallengeState.OPEN:
            return _to_page(token)
        problem = await self._sent(request, challenge)
        return _to_page(token, problem) if problem else _to_page(token, said="sent")

    async def again(self, request: Request, token: str) -> Response:
        """Open a new challenge after one whose time ran out, and go back to the page, which sends its code."""
        await self._form(request)
        link, challenge = await self._now(token)
        if challenge is not None and self._challenging.state_now(challenge) is ChallengeState.EXPIRED:
            try:
                await self._open(link, await self._first_means(link))
            except (InvalidRequest, LimitExceeded) as error:
                return self._unopened(request, link, error)
        return _to_page(token)

    async def go_on(self, request: Request, token: str) -> Response:
        """Go on with a payment whose payer has proved who it is; who wants no passkey is not asked for a while."""
        fields = await self._form(request)
        link, challenge = await self._now(token)
        if challenge is None or challenge.state is not ChallengeState.PASSED:
            return _to_page(token)
        response = await self._continued(request, token, link)
        if fields.get("later") == "1":
            response.set_cookie(_LATER, "1", max_age=_LATER_S, path="/step-up", httponly=True, samesite="lax")
        return response

    async def _form(self, request: Request, bytes_max: int = 0) -> dict[str, str]:
        """Return the fields of a form of this site, counted by who sends it; ``bytes_max`` for a long one."""
        refuse_foreign(request)
        self._limits.take(guest(request), live=True, writes=True)
        return await (long_form(request, bytes_max, 4) if bytes_max else pages.form(request))

    async def _first_means(self, link: StepUpLink) -> Means:
        return Means.CODE if self._passkeys is None else await self._passkeys.first_means(link)

    async def _open(self, link: StepUpLink, means: Means) -> Challenge:
        return await self._challenging.open(msgspec.structs.replace(link.order, means=means))

    def _unopened(self, request: Request, link: StepUpLink, error: AppError) -> Response:
        """Return the page of a payer who cannot be asked."""
        return self._end(request, link, _ENDS.get(error.code, "broken"), errors.answer(error).status)

    async def _offer_of(self, challenge: Challenge) -> str | None:
        return None if self._passkeys is None else await self._passkeys.offer(challenge)

    async def _offered(self, token: str, link: StepUpLink) -> Response:
        """Go on with the payment, which waits for nobody's passkey, and lead to the page that offers one."""
        purpose = link.order.purpose
        try:
            await self._continue_payment(purpose.book_id, purpose.subject_id)
        except (Unavailable, OutcomeUnknown, LimitExceeded):
            return _to_page(token, "busy")
        return RedirectResponse(f"/step-up/{token}/save", 303, {"Cache-Control": "no-store"})

    async def _now(self, token: str) -> tuple[StepUpLink, Challenge | None]:
        """Return a link and its newest challenge; None also where the time of the link is over, as the page tells."""
        link = self._links.read(token, is_late_allowed=True)
        if self._links.is_over(link):
            return link, None
        return link, await self._challenging.latest(link.order.purpose)

    async def _sent(self, request: Request, challenge: Challenge) -> str | None:
        """Send a code in the language of the page; return why none was sent."""
        try:
            language = wishes(request).language
            await self._challenging.send(challenge.book_id, challenge.id, language)
        except Conflict:
            return None
        except (InvalidRequest, LimitExceeded, Unavailable) as error:
            if error.code not in _UNSENT:
                raise
            return _UNSENT[error.code]
        return None

    async def _continued(self, request: Request, token: str, link: StepUpLink) -> Response:
        """Go on with the payment and send the payer where it goes on."""
        purpose = link.order.purpose
        try:
            url = await self._continue_payment(purpose.book_id, purpose.subject_id)
        except (Unavailable, OutcomeUnknown, LimitExceeded):
            # The proof stands: the page offers to go on once more.
            return _to_page(token, "busy")
        if not url:
            return self._end(request, link, "done")
        if _is_own(request, url):
            return RedirectResponse(url, 303, {"Cache-Control": "no-store"})
        if faces.web_url(url) is None:
            raise InvariantBroken("continue_url_invalid", "a payment goes on at an address that is none")
        # A redirect would be a form that leaves this site, which the content policy forbids; a page may lead there.
        shown = views.of_link(request, link) | {"face": "leaving", "leave_url": url}
        response = views.page(request, "end.html", _END | shown)
        response.headers["Refresh"] = f"0; url={quote(url, safe=_URL_SAFE)}"
        return response

    async def _of(self, request: Request, link: StepUpLink, challenge: Challenge, problem: str) -> Response:
        """Return the page of a challenge as it stands."""
        state = self._challenging.state_now(challenge)
        known = problem if problem in views.PROBLEMS else None
        if state is not ChallengeState.OPEN:
            acts = {ChallengeState.PASSED: "continue", ChallengeState.EXPIRED: "again"}
            face = views.face_of_end(challenge, state)
            return self._end(request, link, face, problem=known, act=acts.get(state))
        shown = views.of_link(request, link) | {"problem": known}
        if challenge.means is Means.PASSKEY and self._passkeys is not None:
            options = await self._passkeys.question(challenge)
            return views.page(request, "passkey.html", shown | views.of_passkey(challenge, options))
        shown |= views.of_challenge(challenge, self._challenging.seconds_until_send(challenge))
        has_passkey = await self._first_means(link) is Means.PASSKEY
        is_resent = request.query_params.get("said") == "sent"
        return views.page(request, "code.html", shown | {"is_resent": is_resent, "has_passkey": has_passkey})

    def _end(
        self, request: Request, link: StepUpLink, face: str, status: int = 200, **more: object
    ) -> Response:
        """Return a page on which no code is asked for."""
        shown = _END | views.of_link(request, link) | {"face": face} | more
        return views.page(request, "end.html", shown, status)


_END: dict[str, object] = {
    "problem": None,
    "act": None,
    "leave_url": None,
    "total": None,
    "payee": None,
    "face": "broken",
}
"""What a page without a code shows where nothing else is known."""


def _is_of_before(challenge: Challenge, link: StepUpLink) -> bool:
    """Return whether a challenge ended before risk control asked for this proof; ids of looks are in order of time."""
    is_closed = challenge.state is not ChallengeState.OPEN
    return is_closed and challenge.signals_id < link.order.signals_id


def _is_own(request: Request, url: str) -> bool:
    """Return whether an address is one of this house, so that a redirect from a form may lead there."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url.startswith("/") and url[1:2] not in {"/", "\\"}
    return faces.web_url(url) is not None and parts.netloc == request.headers.get("host")


def _to_page(token: str, problem: str | None = None, said: str | None = None) -> Response:
    asked = f"?problem={problem}" if problem else f"?said={said}" if said else ""
    return RedirectResponse(f"/step-up/{token}{asked}", 303, {"Cache-Control": "no-store"})


def _error_page(request: Request, error: AppError) -> Response:
    """Return the page for an error, with the status of its kind."""
    status = errors.answer(error).status
    if isinstance(error, InvariantBroken):
        _log.error("step_up_failed", code=error.code, detail=error.detail)
    return views.page(request, "end.html", _END | {"face": _ERRORS.get(status, "broken")}, status)
