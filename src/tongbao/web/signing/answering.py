"""What the pages of sign-in share: forms of nobody yet, cookies of sessions, and words for what was refused."""

from typing import NamedTuple

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from tongbao.core.errors import AppError, InvariantBroken
from tongbao.parties.errors import PasskeyNotTaken
from tongbao.web import errors
from tongbao.web.api.access import address_of
from tongbao.web.api.sessions import UNKNOWN_ADDRESS
from tongbao.web.locale import signing as words
from tongbao.web.page_guard import long_form, refuse_foreign, refuse_strange_host
from tongbao.web.signing.guarding import FIELDS_MAX, FORM_BYTES_MAX
from tongbao.web.signing.pacing import Try
from tongbao.web.signing.rooms import Signing
from tongbao.web.signing.visiting import drop_cookie


class Sent(NamedTuple):
    """A form that somebody not signed in has sent: its fields, its visit, and the network address."""

    fields: dict[str, str]
    visit: str
    address: str

    def text(self, name: str) -> str:
        """Return a field without blanks around it; empty where it was not filled in."""
        return self.fields.get(name, "").strip()


class Problem(NamedTuple):
    """Why a form was not taken: the key of the words, the status, and the seconds to wait where waiting helps."""

    key: str
    status: int
    wait_s: int = 0

    @property
    def wait_min(self) -> int:
        """The minutes to wait, rounded up."""
        return -(-self.wait_s // 60)


async def sent(signing: Signing, request: Request, kind: Try) -> Sent:
    """Return a form of a page before which nobody has signed in.

    Raises NotPermitted ``origin_foreign``, ``host_strange`` and ``https_required``, LimitExceeded, SessionRefused
    ``csrf_invalid``, InvalidRequest ``form_invalid``.
    """
    refuse_strange_host(request, signing.house.base_url)
    refuse_foreign(request)
    signing.guards.count_guest(request)
    address = address_of(request) or UNKNOWN_ADDRESS
    fields = await long_form(request, FORM_BYTES_MAX, FIELDS_MAX)
    visit = signing.visits.answered(request, fields.pop("csrf", ""))
    signing.paces.take(kind, address)
    return Sent(fields, visit, address)


def problem_of(error: AppError) -> Problem:
    """Return why a form was not taken, in words that there are; raise what is a fault of ours."""
    if isinstance(error, InvariantBroken):
        raise error
    key = f"p_{error.code}"
    if isinstance(error, PasskeyNotTaken):
        key = f"p_key_{error.facts['verdict']}"
    wait_s = error.facts.get("retry_after_s")
    status = errors.answer(error).status
    return Problem(
        key if key in words.TEXTS else "p_other",
        status,
        int(wait_s) if isinstance(wait_s, int | float) else 0,
    )


def went(request: Request, address: str) -> Response:
    """Return the answer to somebody who has signed in: they go on, and their visit is over."""
    response = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
    drop_cookie(request, response, "visit")
    return response


def said(address: str, what: str) -> Response:
    """Return the answer to an act that was done: back to the page, which says so."""
    return RedirectResponse(f"{address}?said={what}", 303, {"Cache-Control": "no-store"})


def agent_of(request: Request) -> str:
    """Return what a browser calls itself."""
    return request.headers.get("user-agent", "")
